//! Containers from start to end, through the supervisor.
mod support;

use minictr_core::rootfs::overlay;
use minictr_core::spawn::Supervisor;
use minictr_testkit::{Feature, require};
use support::{busybox_rootfs, request, run};

#[test]
fn runs_a_program_as_root_of_its_own_root() {
    let Some(rootfs) = busybox_rootfs("root") else { return };
    let mut supervisor = Supervisor::new().unwrap();
    let script = "id -u; hostname; ls /; ls /proc/self/fd; cat /proc/self/status | grep -i -E 'cap|secc|nonew'; ls -la /dev; mount; cat /proc/self/uid_map";
    let finished = run(&mut supervisor, request(rootfs.path(), &["sh", "-c", script])).unwrap();
    assert_eq!(finished.exit.code, Some(0), "{finished:?}");
    assert!(finished.stdout.starts_with("0\ntest\n"), "{finished:?}");
}

#[test]
fn joins_a_network_namespace_by_path_and_still_has_its_own_user_namespace() {
    require!(Feature::Root);
    let Some(rootfs) = busybox_rootfs("join") else { return };
    let mut other =
        std::process::Command::new("unshare").args(["-n", "sleep", "30"]).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    let path = format!("/proc/{}/ns/net", other.id());
    let expected = std::fs::read_link(&path).unwrap();
    let mut request =
        request(rootfs.path(), &["sh", "-c", "ls -l /proc/self/ns/net /proc/self/ns/user"]);
    for namespace in request["spec"]["linux"]["namespaces"].as_array_mut().unwrap() {
        if namespace["type"] == "network" {
            namespace["path"] = path.clone().into();
        }
    }
    // A new sysfs needs a network namespace of the container's own.
    request["spec"]["mounts"]
        .as_array_mut()
        .unwrap()
        .retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/sys"));
    let mut supervisor = Supervisor::new().unwrap();
    let finished = run(&mut supervisor, request);
    other.kill().unwrap();
    other.wait().unwrap();
    let finished = finished.unwrap();
    assert!(finished.stdout.contains(expected.to_str().unwrap()), "{finished:?}");
    let own_user = std::fs::read_link("/proc/self/ns/user").unwrap();
    assert!(!finished.stdout.contains(own_user.to_str().unwrap()), "{finished:?}");
}

#[test]
fn refuses_to_join_what_is_no_namespace() {
    let Some(rootfs) = busybox_rootfs("nojoin") else { return };
    let mut request = request(rootfs.path(), &["true"]);
    request["spec"]["linux"]["namespaces"][4] =
        serde_json::json!({ "type": "ipc", "path": "/etc/passwd" });
    let error = run(&mut Supervisor::new().unwrap(), request).unwrap_err();
    assert_eq!(error.to_string(), "join namespace `/etc/passwd`: Invalid argument (EINVAL)");
    assert!(error.hint.is_some());
}

#[test]
fn what_is_said_of_removing_directories_in_a_private_layer_is_true() {
    require!(Feature::UserNamespaces);
    let Some(rootfs) = busybox_rootfs("layer") else { return };
    std::fs::create_dir_all(rootfs.path().join("kept/inside")).unwrap();
    let mut request = request(rootfs.path(), &["sh", "-c", "rm -r /kept && mkdir /kept"]);
    request["overlay"] = true.into();
    let finished = run(&mut Supervisor::new().unwrap(), request).unwrap();
    let removed = finished.exit.code == Some(0);
    assert_eq!(removed, overlay::layer_loses_directories(), "{finished:?}");
    assert!(rootfs.path().join("kept/inside").exists());
}
