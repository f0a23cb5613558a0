//! Options of mounts that only configs of engines have.

mod support;

use serde_json::json;
use support::{Engine, Said};

/// Runs a command with these mounts behind those of the bundle.
fn with_mounts(engine: &Engine, mounts: &[serde_json::Value], command: &str) -> Said {
    let original = engine.config();
    engine.change(|config| {
        config["mounts"].as_array_mut().unwrap().extend_from_slice(mounts);
        config["process"]["args"] = json!(["sh", "-c", command]);
    });
    let said = engine.call(&["run", "c1"]);
    engine.change(|config| *config = original);
    said
}

#[test]
fn a_remount_changes_what_is_mounted_there_and_what_it_does_not_name_stays() {
    let Some(engine) = Engine::new() else { return };
    let tmpfs = json!({ "destination": "/tmp", "type": "tmpfs", "source": "tmpfs",
        "options": ["nosuid", "noexec", "size=64k"] });
    let show = "grep ' /tmp ' /proc/self/mountinfo; echo > /tmp/x && echo written";
    let remount = |options: serde_json::Value| {
        let again = json!({ "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": options });
        with_mounts(&engine, &[tmpfs.clone(), again], show)
    };
    let said = remount(json!(["remount", "bind", "ro"]));
    assert!(said.stdout.contains(" ro,nosuid,noexec"), "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("size=64k") && !said.stdout.contains("written"));
    let said = remount(json!(["remount", "size=128k"]));
    assert!(said.stdout.contains("size=128k"), "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.ends_with("written\n"));
}

#[test]
fn a_remount_of_what_is_not_mounted_is_refused() {
    let Some(engine) = Engine::new() else { return };
    for destination in ["/etc", "/absent"] {
        let mount = json!({ "destination": destination, "options": ["remount", "bind", "ro"] });
        with_mounts(&engine, &[mount], "true").failed_with(&format!("remount on `{destination}`"));
        assert!(!engine.rootfs().join("absent").exists());
    }
}
