//! Which cgroup driver takes which `cgroupsPath`, and what is said where there is no systemd.

mod support;

use serde_json::json;
use support::Engine;

#[test]
fn a_path_is_refused_by_the_systemd_driver_in_runcs_words() {
    let Some(engine) = Engine::new() else { return };
    engine.change(|config| config["linux"]["cgroupsPath"] = json!("/a/b"));
    engine.call(&["--systemd-cgroup", "create", "c1"]).failed_with(
        "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got \"/a/b\" instead",
    );
    engine.call(&["state", "c1"]).failed_with("does not exist");
}

#[test]
fn a_unit_is_refused_by_the_cgroupfs_driver() {
    let Some(engine) = Engine::new() else { return };
    engine.change(|config| config["linux"]["cgroupsPath"] = json!("machine.slice:libpod:x"));
    let said = engine.call(&["create", "c1"]);
    assert!(said.stderr.contains("cgroup driver `cgroupfs`"), "{}", said.stderr);
    said.failed_with("\"slice:prefix:name\" for the cgroup driver `systemd`");
    engine.call(&["state", "c1"]).failed_with("does not exist");
}

#[test]
fn without_systemd_the_driver_says_what_is_missing_and_leaves_nothing() {
    let Some(engine) = Engine::new() else { return };
    let with = |arguments: &[&str]| {
        let mut command = engine.command(arguments);
        let nowhere = "unix:path=/nonexistent/bus";
        command.env("DBUS_SYSTEM_BUS_ADDRESS", nowhere).env("DBUS_SESSION_BUS_ADDRESS", nowhere);
        command.env("XDG_RUNTIME_DIR", "/nonexistent");
        engine.call_command(command)
    };
    if std::path::Path::new("/run/systemd/private").exists() {
        minictr_testkit::skip("a machine without systemd");
        return;
    }
    let said = with(&["--cgroup-manager", "systemd", "create", "c1"]);
    assert!(
        said.stderr.contains("use cgroup driver `systemd`: connect to D-Bus"),
        "{}",
        said.stderr
    );
    assert!(said.stderr.contains("systemd doesn't run on this machine"), "{}", said.stderr);
    engine.call(&["state", "c1"]).failed_with("does not exist");
}

#[test]
fn a_bus_without_systemd_is_told_apart_from_none() {
    let Some(engine) = Engine::new() else { return };
    let folder = engine.path.join("bus");
    std::fs::create_dir(&folder).unwrap();
    let address = format!("unix:path={}/socket", folder.display());
    let config = folder.join("bus.conf");
    let text = format!(
        "<busconfig><type>session</type><listen>{address}</listen><auth>EXTERNAL</auth>\
         <policy context=\"default\"><allow send_destination=\"*\"/>\
         <allow receive_sender=\"*\"/></policy></busconfig>"
    );
    std::fs::write(&config, text).unwrap();
    let spawned = std::process::Command::new("dbus-daemon")
        .args(["--nofork", "--nosyslog", "--config-file"])
        .arg(&config)
        .stderr(std::process::Stdio::null())
        .spawn();
    let Ok(mut daemon) = spawned else { return minictr_testkit::skip("dbus-daemon") };
    support::wait_until(|| folder.join("socket").exists());
    let mut command = engine.command(&["--systemd-cgroup", "create", "c1"]);
    command.env("DBUS_SYSTEM_BUS_ADDRESS", &address).env("DBUS_SESSION_BUS_ADDRESS", &address);
    let said = engine.call_command(command);
    let _ = daemon.kill();
    let _ = daemon.wait();
    said.failed_with("ask systemd: it isn't on this bus");
}
