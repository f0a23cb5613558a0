//! CVE-2024-21626: descriptors of the host that the runtime has open lead a container out of its root.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use minictr_testkit::install_probe;
use serde_json::json;

use crate::attack::{SECRET, Victim, in_time};
use crate::support::{Engine, Said};

const NUMBERS: std::ops::RangeInclusive<i32> = 3..=64;

/// The runtime with the victim's directory open on every descriptor from 3 to 64.
fn with_descriptors(engine: &Engine, victim: &Victim, arguments: &[&str]) -> Command {
    let direct = engine.command(arguments);
    let mut bash = Command::new("bash");
    let script =
        "for ((n = 3; n <= 64; n++)); do eval \"exec $n< \\\"\\$0\\\"\"; done; exec \"$@\"";
    bash.args(["-c", script]).arg(&victim.path);
    bash.arg(direct.get_program()).args(direct.get_args());
    bash
}

/// A victim with a program that says that it is the host's.
fn victim(engine: &Engine) -> Victim {
    let victim = Victim::new(engine);
    let program = victim.path.join("program");
    std::fs::write(&program, format!("#!/bin/sh\necho {SECRET}\n")).unwrap();
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    install_probe(&victim.path.join("binary")).unwrap();
    victim.seen_again()
}

#[track_caller]
fn run(engine: &Engine, victim: &Victim, arguments: &[&str]) -> Said {
    let said = in_time(engine, with_descriptors(engine, victim, arguments));
    victim.is_unseen(&said);
    said
}

#[test]
fn a_working_directory_on_an_inherited_descriptor_is_refused() {
    let Some(engine) = Engine::new() else { return };
    let victim = victim(&engine);
    engine.change(|config| {
        let script = "cat marker ../victim/marker; ls -a . ..; /bin/busybox pwd";
        config["process"]["args"] = json!(["sh", "-c", script]);
    });
    for number in NUMBERS {
        engine.change(|config| config["process"]["cwd"] = json!(format!("/proc/self/fd/{number}")));
        let said = run(&engine, &victim, &["run", "c1"]);
        assert_ne!(said.status, 0, "{number}: {}", said.stdout);
    }
    for (text, link) in [("/place", "/proc/self/fd/7"), ("/place/below", "/proc/self/fd/8")] {
        let _ = std::fs::remove_file(engine.rootfs().join("place"));
        symlink(link, engine.rootfs().join("place")).unwrap();
        engine.change(|config| config["process"]["cwd"] = json!(text));
        assert_ne!(run(&engine, &victim, &["run", "c1"]).status, 0);
    }
}

/// The runtime's own descriptors, of its state and of the bundle, are as good a way.
#[test]
fn nor_is_one_of_the_runtimes_own_a_way_out() {
    let Some(engine) = Engine::new() else { return };
    let victim = victim(&engine);
    let binary = victim.path.join("binary");
    for number in 0..=24 {
        let program = format!("/proc/self/fd/{number}/../../../../../../..{}", binary.display());
        engine.change(|config| config["process"]["args"] = json!([program, "self"]));
        let said = in_time(&engine, engine.command(&["run", "c1"]));
        assert!(!said.stdout.contains("\"uid\""), "{program}: {}", said.stdout);
        victim.is_unseen(&said);
    }
    engine.change(|config| config["process"]["args"] = json!(["sleep", "300"]));
    engine.start("c2");
    for number in 0..=24 {
        let program = format!("/proc/self/fd/{number}/../../../../../../..{}", binary.display());
        let said = in_time(&engine, engine.command(&["exec", "c2", &program, "self"]));
        assert!(!said.stdout.contains("\"uid\""), "{program}: {}", said.stdout);
    }
}

/// A filter without `no_new_privs` is loaded before the directory is entered: one that doesn't know
/// the careful way of opening it must not bring the careless one back.
#[test]
fn nor_does_a_filter_that_denies_openat2_let_one_through() {
    let Some(engine) = Engine::new() else { return };
    let victim = victim(&engine);
    engine.change(|config| {
        config["process"]["noNewPrivileges"] = json!(false);
        config["process"]["args"] = json!(["sh", "-c", "cat marker; ls -a ."]);
        config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": ["openat2"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 }],
        });
    });
    for number in NUMBERS.step_by(5) {
        for below in ["", "/below"] {
            let directory = format!("/proc/self/fd/{number}{below}");
            engine.change(|config| config["process"]["cwd"] = json!(directory));
            // a number may be one that leads inside by then
            let said = run(&engine, &victim, &["run", "c1"]);
            assert!(!said.stdout.contains("below"), "{number}: {}", said.stdout);
        }
    }
}

/// The advisory's third attack: the program itself is reached through the descriptor, and is a
/// program of the host's, which the container may then write.
#[test]
fn a_program_on_an_inherited_descriptor_is_not_found() {
    let Some(engine) = Engine::new() else { return };
    let victim = victim(&engine);
    std::fs::write(engine.rootfs().join("bin/script"), "#!/bin/fd-program self\n").unwrap();
    let script = engine.rootfs().join("bin/script");
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    for number in NUMBERS.step_by(8) {
        let link = engine.rootfs().join("bin/fd-program");
        let _ = std::fs::remove_file(&link);
        let binary = format!("/proc/self/fd/{number}/binary");
        symlink(&binary, &link).unwrap();
        let up = format!("/proc/self/fd/{number}/../victim/binary");
        for name in [binary.as_str(), up.as_str(), "/bin/fd-program", "/bin/script"] {
            engine.change(|config| config["process"]["args"] = json!([name, "self"]));
            let said = run(&engine, &victim, &["run", "c1"]);
            assert!(!said.stdout.contains("\"uid\""), "{name}: {}", said.stdout);
            assert_ne!(said.status, 0, "{name}");
        }
    }
}

#[test]
fn nor_is_anything_of_it_reached_by_a_process_that_joins() {
    let Some(engine) = Engine::new() else { return };
    let victim = victim(&engine);
    engine.start("c1");
    for number in NUMBERS.step_by(3) {
        let directory = format!("/proc/self/fd/{number}");
        let exec = ["exec", "--cwd", &directory, "c1", "cat", "marker"];
        assert_ne!(run(&engine, &victim, &exec).status, 0, "{number}");
        let binary = format!("{directory}/binary");
        let said = run(&engine, &victim, &["exec", "c1", &binary, "self"]);
        assert!(!said.stdout.contains("\"uid\""), "{binary}: {}", said.stdout);
    }
}

/// Nothing but the standard streams arrives, in a program or in one that joins.
#[test]
fn no_inherited_descriptor_arrives() {
    let Some(engine) = Engine::new() else { return };
    let victim = victim(&engine);
    install_probe(&engine.rootfs().join("bin/probe")).unwrap();
    let leak = ["/bin/probe", "leak-through-fds", "etc/passwd"];
    std::fs::remove_dir_all(engine.rootfs().join("etc")).unwrap();
    engine.change(|config| config["process"]["args"] = json!(leak));
    assert_eq!(run(&engine, &victim, &["run", "c1"]).well(), "ENOENT\n");
    engine.change(|config| config["process"]["args"] = json!(["sleep", "300"]));
    let said = run(&engine, &victim, &["run", "--detach", "c2"]);
    assert_eq!(said.status, 0, "{}", said.stderr);
    let joined = ["exec", "c2", "/bin/probe", "leak-through-fds", "etc/passwd"];
    assert_eq!(run(&engine, &victim, &joined).well(), "ENOENT\n");
    assert!(Path::new("/etc/passwd").exists());
}
