//! Pausing, limits and accounts, as engines ask for them.

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use minictr_testkit::{Feature, missing};
use serde_json::{Value, json};
use support::Engine;

/// An engine whose containers have cgroups.
fn engine() -> Option<Engine> {
    if missing(Feature::Root) {
        return None;
    }
    Engine::new()
}

fn stats(engine: &Engine) -> Value {
    let event: Value =
        serde_json::from_str(&engine.call(&["events", "--stats", "c1"]).well()).unwrap();
    assert_eq!((&event["type"], &event["id"]), (&json!("stats"), &json!("c1")));
    event["data"].clone()
}

#[test]
fn a_paused_container_stands_still_and_goes_on() {
    let Some(engine) = engine() else { return };
    engine.change(|config| {
        config["process"]["args"] = json!(["sh", "-c", "while true; do :; done"]);
    });
    engine.start("c1");
    engine.call(&["resume", "c1"]).failed_with("container not paused");
    engine.call(&["pause", "c1"]).well();
    assert_eq!(engine.status("c1"), "paused");
    let used = || stats(&engine)["cpu"]["usage"]["total"].as_u64().unwrap();
    let before = used();
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(used(), before);
    engine.call(&["pause", "c1"]).failed_with("container paused");
    engine.call(&["exec", "c1", "true"]).failed_with("cannot exec in a paused container");
    engine.call(&["resume", "c1"]).well();
    assert_eq!(engine.status("c1"), "running");
    support::wait_until(|| used() > before);
}

#[test]
fn a_paused_container_can_be_killed_and_deleted() {
    let Some(engine) = engine() else { return };
    engine.start("c1");
    engine.call(&["pause", "c1"]).well();
    engine.call(&["kill", "c1", "KILL"]).well();
    engine.wait_for("c1", "stopped");
    engine.call(&["pause", "c1"]).failed_with("container not running");
    engine.call(&["delete", "c1"]).well();
    engine.start("c1");
    engine.call(&["pause", "c1"]).well();
    engine.call(&["delete", "--force", "c1"]).well();
}

#[test]
fn update_changes_limits_from_options_and_from_a_document() {
    let Some(engine) = engine() else { return };
    engine.change(|config| config["linux"]["resources"] = json!({ "pids": { "limit": 50 } }));
    engine.start("c1");
    let limit = |what: &str| stats(&engine)[what]["limit"].clone();
    assert_eq!(limit("pids"), 50);
    engine.call(&["update", "--pids-limit", "70", "--memory=67108864", "c1"]).well();
    assert_eq!(limit("pids"), 70);
    assert_eq!(stats(&engine)["memory"]["usage"]["limit"], 67_108_864);

    let mut command: Command = engine.command(&["update", "--resources=-", "c1"]);
    let mut update = command.stdin(Stdio::piped()).spawn().unwrap();
    update.stdin.take().unwrap().write_all(br#"{"pids":{"limit":90}}"#).unwrap();
    assert!(update.wait().unwrap().success());
    assert_eq!(limit("pids"), 90);
    assert_eq!(stats(&engine)["memory"]["usage"]["limit"], 67_108_864, "what isn't named stays");
    engine.call(&["update", "--resources", "/absent", "c1"]).failed_with("/absent");
    engine.call(&["update", "--memory", "96m", "--kernel-memory=1", "c1"]).well();
    assert_eq!(stats(&engine)["memory"]["usage"]["limit"], 96 << 20);
    let shares = ["update", "--l3-cache-schema", "L3:0=f", "c1"];
    engine.call(&shares).failed_with("its config has no `linux.intelRdt`");
}

#[test]
fn a_process_that_joins_is_accounted_and_limited_with_the_container() {
    let Some(engine) = engine() else { return };
    engine.change(|config| config["linux"]["resources"] = json!({ "pids": { "limit": 3 } }));
    engine.start("c1");
    engine.call(&["exec", "--detach", "c1", "sleep", "301"]).well();
    assert_eq!(stats(&engine)["pids"]["current"], 2);
    let said = engine.call(&["exec", "c1", "sh", "-c", "sleep 1 & sleep 1"]);
    assert!(said.stderr.contains("fork"), "{}", said.stderr);
}

#[test]
fn events_are_a_stream_that_ends_with_the_container() {
    let Some(engine) = engine() else { return };
    engine.start("c1");
    let events = engine
        .command(&["events", "--interval=50ms", "c1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    engine.call(&["delete", "--force", "c1"]).well();
    let output = events.wait_with_output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.lines().count() > 1, "{text}");
    for line in text.lines() {
        assert_eq!(serde_json::from_str::<Value>(line).unwrap()["type"], "stats");
    }
}

/// What `runc spec` writes: every device denied, but those that each container has.
#[test]
fn denied_devices_are_not_those_that_every_container_has() {
    let Some(engine) = engine() else { return };
    engine.change(|config| {
        config["linux"]["resources"] =
            json!({ "devices": [{ "allow": false, "access": "rwm" }] });
        let program = "echo x > /dev/null && head -c 4 /dev/zero | wc -c && head -c 1 /dev/urandom > /dev/null";
        config["process"]["args"] =
            json!(["busybox", "sh", "-c", program.replace("head", "busybox head").replace("wc", "busybox wc")]);
    });
    let said = engine.call(&["run", "c1"]);
    assert_eq!((said.status, said.stdout.as_str()), (0, "4\n"), "{}", said.stderr);
}

#[test]
fn without_a_cgroup_namespace_a_container_sees_its_own_cgroup_and_not_the_machines() {
    let Some(engine) = engine() else { return };
    engine.change(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "cgroup");
        let mounts = config["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| mount["destination"] != "/sys/fs/cgroup");
        mounts.push(json!({
            "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev", "ro"],
        }));
        config["linux"]["resources"]["pids"] = json!({ "limit": 20 });
        let script = "cd /sys/fs/cgroup; cat cgroup.procs pids/cgroup.procs 2>/dev/null; \
            cat pids.max pids/pids.max 2>/dev/null; mkdir x pids/x";
        config["process"]["args"] = json!(["sh", "-c", script]);
    });
    let said = engine.call(&["run", "c1"]);
    let lines: Vec<&str> = said.stdout.lines().collect();
    assert_eq!((lines.first(), lines.last()), (Some(&"1"), Some(&"20")), "{}", said.stdout);
    // A process that the container's pid namespace has not is shown as 0.
    assert!(!lines.contains(&"0"), "{}", said.stdout);
    assert!(said.stderr.contains("Read-only file system"), "{}", said.stderr);
}
