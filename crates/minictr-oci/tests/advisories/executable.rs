//! CVE-2019-5736: a container overwrites the runtime's executable, which the host's root runs next.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use minictr_testkit::install_probe;
use serde_json::{Value, json};

use crate::support::{Engine, runs, runtime, wait_until};

/// An engine that starts, by its path, a copy of the runtime that this user may write.
fn with_own_runtime() -> Option<(Engine, PathBuf, Vec<u8>)> {
    let engine = Engine::new()?;
    let copy = engine.path.join("runtime");
    std::fs::copy(runtime(), &copy).unwrap();
    std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o777)).unwrap();
    install_probe(&engine.rootfs().join("bin/probe")).unwrap();
    let bytes = std::fs::read(&copy).unwrap();
    Some((engine.with_program(copy.clone()), copy, bytes))
}

#[track_caller]
fn is_whole(path: &PathBuf, bytes: &[u8]) {
    assert!(std::fs::read(path).unwrap() == bytes, "the executable was written");
}

/// The entrypoint is the runtime itself, by name or as the interpreter of a script.
#[test]
fn an_entrypoint_that_is_the_runtime_cannot_write_it() {
    let Some((engine, copy, bytes)) = with_own_runtime() else { return };
    let script = engine.rootfs().join("bin/script");
    std::fs::write(&script, "#!/proc/self/exe\n").unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    for entrypoint in ["/proc/self/exe", "/bin/script", "/proc/1/exe"] {
        engine.change(|config| config["process"]["args"] = json!([entrypoint, "--version"]));
        engine.call(&["run", "c1"]);
        is_whole(&copy, &bytes);
    }
    // a process of the same container holds the image while it runs, and writes it once it doesn't
    engine.change(|config| {
        let attack = "probe hold-images 1500 & \
            for n in 1 2 3 4 5 6 7 8 9 10; do /bin/script; /proc/1/exe --version; done; wait";
        config["process"]["args"] = json!(["sh", "-c", attack]);
        config["process"]["env"] = json!(["PATH=/bin"]);
    });
    engine.call(&["run", "c1"]);
    is_whole(&copy, &bytes);
}

/// The container is running and the engine joins it: the joining process is there to be seen.
#[test]
fn a_container_that_waits_for_an_exec_cannot_write_the_runtime() {
    let Some((engine, copy, bytes)) = with_own_runtime() else { return };
    let script = engine.rootfs().join("bin/script");
    std::fs::write(&script, "#!/proc/self/exe\n").unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let out = engine.path.join("answers");
    engine.change(|config| {
        config["process"]["args"] = json!(["/bin/probe", "hold-images", "4000"]);
    });
    let mut create = engine.command(&["create", "c1"]);
    create.stdout(std::fs::File::create(&out).unwrap()).stderr(Stdio::null());
    assert!(create.status().unwrap().success());
    engine.call(&["start", "c1"]).well();
    let answers = || std::fs::read_to_string(&out).unwrap();
    wait_until(|| answers().contains("ready"));
    let mut joined = 0;
    while !answers().contains("held") {
        // programs that are the runtime's executable, and one that isn't
        for command in [["/bin/script", ""], ["/proc/self/exe", "--version"], ["sleep", "0.01"]] {
            engine.call(&["exec", "c1", command[0], command[1]]);
            joined += 1;
        }
        is_whole(&copy, &bytes);
    }
    let text = answers();
    let said: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert!(joined > 5, "{joined} processes joined");
    assert!(said["held"].as_u64().unwrap() > 0, "none was seen: {said}");
    assert!(!said["answers"].as_str().unwrap().contains("ok"), "{said}");
    is_whole(&copy, &bytes);
}

/// CVE-2016-9962, bubblewrap's CVE-2026-41163: a process that joins can be traced or read before it
/// is the container's. With `CAP_SYS_PTRACE`, where the container has a user namespace; without one
/// this capability is over every process of the host.
#[test]
fn a_process_that_joins_shows_nothing_of_itself() {
    for own_users in [false, true] {
        let Some((engine, ..)) = with_own_runtime() else { return };
        let out = engine.path.join("answers");
        engine.change(|config| {
            config["process"]["args"] = json!(["/bin/probe", "hunt", "2000"]);
            let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
            let has_users = namespaces.iter().any(|namespace| namespace["type"] == "user");
            if own_users && !has_users {
                namespaces.push(json!({ "type": "user" }));
                let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
                config["linux"]["uidMappings"] = map.clone();
                config["linux"]["gidMappings"] = map;
            }
            if own_users || has_users {
                for set in ["bounding", "effective", "permitted"] {
                    let list = config["process"]["capabilities"][set].as_array_mut().unwrap();
                    list.push(json!("CAP_SYS_PTRACE"));
                }
            }
        });
        let mut create = engine.command(&["create", "c1"]);
        create.stdout(std::fs::File::create(&out).unwrap());
        assert!(create.status().unwrap().success());
        engine.call(&["start", "c1"]).well();
        let pid = engine.state("c1")["pid"].as_i64().unwrap();
        while runs(pid) {
            engine.call(&["exec", "c1", "/bin/true"]);
        }
        let text = std::fs::read_to_string(&out).unwrap();
        let said: Value = serde_json::from_str(&text).unwrap();
        assert!(said["seen"].as_u64().unwrap() > 0, "{said}");
        // The program that joined, once it is the container's, may be looked at. Kernels call it by its
        // own name or by that of the link which it was executed by.
        let opened = said["opened"].as_str().unwrap();
        for found in opened.split(';').filter(|found| !found.is_empty()) {
            assert!(found.starts_with("busybox:") || found.starts_with("true:"), "{opened}");
        }
    }
}
