//! Who a container's program is, what its files and annotations may ask of the host, and bounds.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use minictr_testkit::{Feature, install_probe};
use nix::sys::stat::Mode;
use serde_json::{Value, json};

use crate::attack::{Victim, attempt, in_time, running};
use crate::support::Engine;

/// CVE-2022-29162 (crun: CVE-2022-27650): the config that `spec` writes has no inheritable
/// capabilities, nor has the program of it.
#[test]
fn a_new_config_has_no_inheritable_capabilities() {
    let Some(engine) = running("cat /proc/self/status") else { return };
    let capabilities = &engine.config()["process"]["capabilities"];
    for set in ["inheritable", "ambient"] {
        assert!(capabilities[set].as_array().is_none_or(Vec::is_empty), "{capabilities}");
    }
    let status = attempt(&engine, "c1").well();
    for set in ["CapInh:", "CapAmb:"] {
        let line = status.lines().find(|line| line.starts_with(set)).unwrap();
        assert!(line.ends_with("\t0000000000000000"), "{line}");
    }
}

/// CVE-2021-43784: a length that doesn't fit lets a config's text be read as another setting.
#[test]
fn texts_longer_than_a_message_are_refused_and_change_nothing_else() {
    let Some(engine) = running("readlink /proc/self/ns/pid; id") else { return };
    let own = std::fs::read_link("/proc/self/ns/pid").unwrap();
    let base = engine.config();
    let long = format!("/proc/self/{}ns/net", "./".repeat(40_000));
    engine.change(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "network");
        namespaces.push(json!({ "type": "network", "path": long }));
    });
    let said = attempt(&engine, "c1");
    assert_ne!(said.status, 0);
    assert!(said.stderr.contains("ENAMETOOLONG"), "{}", &said.stderr[said.stderr.len() - 200..]);
    // as many lines as fit in no message: refused, or all in force
    engine.change(|config| {
        *config = base.clone();
        config["process"]["env"] =
            (0..5000).map(|n| json!(format!("V{n}={}", "x".repeat(20)))).collect();
        config["process"]["env"].as_array_mut().unwrap().push(json!("PATH=/bin"));
        config["hostname"] = json!("h".repeat(70_000));
    });
    assert_ne!(attempt(&engine, "c1").status, 0);
    engine.change(|config| config["hostname"] = json!("short"));
    engine.change(|config| {
        let script = "busybox readlink /proc/self/ns/pid; busybox env | busybox wc -l";
        config["process"]["args"] = json!(["sh", "-c", script]);
    });
    let seen = attempt(&engine, "c1").well();
    let lines: Vec<&str> = seen.lines().collect();
    assert_ne!(lines[0], own.to_str().unwrap(), "the namespaces are its own");
    assert!(lines[1].parse::<u32>().unwrap() >= 5001, "{seen}");
}

/// CVE-2023-25809: without a cgroup namespace the user's own part of the host's hierarchy can be
/// written through `/sys/fs/cgroup`.
#[test]
fn cgroups_of_the_host_cannot_be_written_without_a_cgroup_namespace() {
    let script = "for f in $(busybox find /sys/fs/cgroup -maxdepth 3 -name cgroup.procs \
        2>/dev/null | busybox head -n 60); do \
        (exec 3>>$f) 2>/dev/null && echo \"open $f\"; \
        busybox mkdir ${f%/*}/made 2>/dev/null && echo \"made in $f\"; done; echo end";
    let Some(engine) = running(script) else { return };
    let base = engine.config();
    for sys in ["new", "bound", "none"] {
        engine.change(|config| {
            *config = base.clone();
            config["linux"]["namespaces"].as_array_mut().unwrap().retain(|n| n["type"] != "cgroup");
            let mounts = config["mounts"].as_array_mut().unwrap();
            mounts.retain(|m| m["type"] != "cgroup" || sys != "none");
            if sys == "bound" {
                // as rootless engines have it, who can't mount a new one
                let at = mounts.iter().position(|m| m["destination"] == "/sys").unwrap();
                mounts[at] = json!({
                    "destination": "/sys", "type": "none", "source": "/sys",
                    "options": ["rbind", "nosuid", "noexec", "nodev", "ro"],
                });
            }
        });
        let said = attempt(&engine, "c1");
        assert!(!said.stdout.contains("open"), "{sys}: {}", said.stdout);
        assert!(!said.stdout.contains("made"), "{sys}: {}", said.stdout);
    }
}

/// crun's CVE-2025-24965, containerd's CVE-2026-53488 and CVE-2026-53492: annotations that an image can
/// set make the host's side write a file of the rootfs, or execute something.
#[test]
fn annotations_ask_nothing_of_the_host() {
    let Some(engine) = running("echo end") else { return };
    let victim = Victim::new(&engine);
    for name in [".krun_config.json", "krun-sev.json", ".krun_vm.json"] {
        symlink(victim.path.join("new"), engine.rootfs().join(name)).unwrap();
    }
    let program = victim.path.join("new-program");
    engine.change(|config| {
        config["root"]["readonly"] = json!(false);
        config["annotations"] = json!({
            "run.oci.handler": "krun",
            "run.oci.hooks.stdout": victim.path.join("new"),
            "run.oci.hooks.stderr": victim.path.join("new"),
            "run.oci.seccomp_bpf_data": "AAAA",
            "run.oci.seccomp.receiver": victim.path.join("new"),
            "org.criu.config": victim.path.join("new"),
            "org.systemd.property.ExecStart": program,
            "containerd.io/restart.loguri": format!("binary://{}", program.display()),
            "cdi.k8s.io/x": "vendor.com/device=all",
        });
    });
    attempt(&engine, "c1");
    victim.is_untouched();
    // what of them means something is named for whoever lets others choose annotations
    let features: Value = serde_json::from_str(&engine.call(&["features"]).well()).unwrap();
    let named = features["potentiallyUnsafeConfigAnnotations"].as_array().unwrap();
    for name in ["run.oci.hooks.stdout", "run.oci.hooks.stderr", "run.oci.seccomp.receiver"] {
        assert!(named.contains(&json!(name)), "{name}");
    }
}

/// CVE-2026-41567 of Docker: a helper is executed from the container's files.
#[test]
fn no_program_of_the_rootfs_runs_but_the_containers_own() {
    let Some(engine) = running("busybox ls /ran") else { return };
    for directory in ["bin", "sbin", "usr/bin", "usr/sbin", "usr/local/bin"] {
        let directory = engine.rootfs().join(directory);
        std::fs::create_dir_all(&directory).unwrap();
        for name in [
            "newuidmap",
            "newgidmap",
            "criu",
            "tar",
            "xz",
            "unpigz",
            "mount",
            "ldconfig",
            "modprobe",
            "iptables",
            "nsenter",
            "getent",
            "apparmor_parser",
        ] {
            let program = directory.join(name);
            std::fs::write(&program, "#!/bin/sh\necho $0 >> /ran/by; exit 1\n").unwrap();
            std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        }
    }
    let ran = engine.rootfs().join("ran");
    std::fs::create_dir(&ran).unwrap();
    std::fs::set_permissions(&ran, PermissionsExt::from_mode(0o777)).unwrap();
    engine.change(|config| config["root"]["readonly"] = json!(false));
    assert_eq!(attempt(&engine, "c1").well(), "");
    engine.change(|config| config["process"]["args"] = json!(["sleep", "300"]));
    engine.start("c2");
    engine.call(&["exec", "-u", "0", "c2", "true"]).well();
    engine.call(&["update", "--pids-limit", "0", "c2"]);
    engine.call(&["delete", "--force", "c2"]).well();
    assert_eq!(std::fs::read_dir(&ran).unwrap().count(), 0);
}

/// containers-storage's CVE-2024-9676, containerd's CVE-2026-47262: the container's lists of users and
/// groups are read to their end, which never comes.
#[test]
fn lists_of_users_that_never_end_hold_nothing_up() {
    let Some(engine) = Engine::new() else { return };
    install_probe(&engine.rootfs().join("bin/probe")).unwrap();
    // itself it looks at no list
    engine.change(|config| config["process"]["args"] = json!(["/bin/probe", "list", "/tmp"]));
    let passwd = engine.rootfs().join("etc/passwd");
    let group = engine.rootfs().join("etc/group");
    let victim = Victim::new(&engine);
    let forms: [&dyn Fn(&PathBuf); 5] = [
        &|path| nix::unistd::mkfifo(path, Mode::from_bits_truncate(0o666)).unwrap(),
        &|path| symlink("/dev/zero", path).unwrap(),
        &|path| symlink(victim.marker(), path).unwrap(),
        &|path| symlink("/proc/self/fd/0", path).unwrap(),
        &|path| std::fs::File::create(path).unwrap().set_len(1 << 40).unwrap(),
    ];
    for (index, make) in forms.iter().enumerate() {
        for path in [&passwd, &group] {
            let _ = std::fs::remove_file(path);
            make(path);
        }
        let begun = Instant::now();
        let said = within_memory(&engine, "c1");
        assert!(begun.elapsed() < Duration::from_secs(5), "form {index}: {said:?}");
        victim.is_unseen(&said);
        assert!(said.stdout.contains("[]"), "form {index}: {said:?}");
    }
    let (id, user) = ("c2", if Feature::Root.present() { "7:8" } else { "0" });
    engine.change(|config| config["process"]["args"] = json!(["sleep", "300"]));
    engine.start(id);
    let begun = Instant::now();
    let exec = ["exec", "-u", user, id, "/bin/probe", "list", "/tmp"];
    in_time(&engine, engine.command(&exec)).well();
    assert!(begun.elapsed() < Duration::from_secs(5));
}

/// Runs the bundle's container by a runtime that has 512 MiB of addresses.
fn within_memory(engine: &Engine, id: &str) -> crate::support::Said {
    let direct = engine.command(&["run", id]);
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "ulimit -v 524288; exec \"$@\"", "sh"]);
    shell.arg(direct.get_program()).args(direct.get_args());
    in_time(engine, shell)
}
