//! What a container's memory limit counts on cgroup v1, and limits that are too small.

mod support;

use minictr_testkit::{Feature, missing};
use serde_json::{Value, json};
use support::Engine;

const KIB: u64 = 1024;

/// An engine whose containers see the host's cgroups, with this memory limit in bytes.
fn engine(limit: u64) -> Option<Engine> {
    if missing(Feature::Root) || missing(Feature::CgroupV1Memory) {
        return None;
    }
    let engine = Engine::new()?;
    engine.change(|config| {
        config["linux"]["resources"] = json!({ "memory": { "limit": limit } });
        namespaces(config).retain(|namespace| namespace["type"] != "cgroup");
    });
    Some(engine)
}

fn namespaces(config: &mut Value) -> &mut Vec<Value> {
    config["linux"]["namespaces"].as_array_mut().unwrap()
}

/// Mounts whose bookkeeping in the kernel is far more than the limits here.
fn add_mounts(config: &mut Value) {
    for number in 0..400 {
        config["mounts"].as_array_mut().unwrap().push(json!({
            "destination": format!("/tmp/{number}"), "type": "tmpfs", "source": "tmpfs",
        }));
    }
}

/// A line of `/proc/PID/cgroup`, of the memory controller.
fn memory_cgroup(text: &str) -> &str {
    let line = text.lines().find(|line| line.contains(":memory:"));
    line.unwrap().rsplit(':').next().unwrap()
}

#[test]
fn what_the_set_up_uses_is_not_counted() {
    let Some(engine) = engine(512 * KIB) else { return };
    engine.change(|config| {
        config["process"]["args"] = json!(["true"]);
        add_mounts(config);
    });
    for number in 0..20 {
        engine.call(&["run", &format!("c{number}")]).well();
    }
}

#[test]
fn with_a_cgroup_namespace_it_is_since_its_root_is_where_it_was_made() {
    let Some(engine) = engine(512 * KIB) else { return };
    engine.change(|config| {
        add_mounts(config);
        namespaces(config).push(json!({ "type": "cgroup" }));
    });
    engine.call(&["create", "c1"]).failed_with("OOM-killed (memory limit too low?)");
    engine.change(|config| {
        config["process"]["args"] = json!(["cat", "/proc/self/cgroup"]);
        config["linux"]["resources"] = json!({ "memory": { "limit": 64 << 20 } });
    });
    assert_eq!(memory_cgroup(&engine.call(&["run", "c1"]).well()), "/");
}

#[test]
fn what_waits_and_what_joins_is_in_the_cgroup() {
    let Some(engine) = engine(64 << 20) else { return };
    engine.create("c1");
    let pid = &engine.state("c1")["pid"];
    let waiting = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let own = memory_cgroup(&waiting).to_owned();
    assert!(own.contains("/minictr-c1-"), "{waiting}");
    engine.call(&["start", "c1"]).well();
    let joined = engine.call(&["exec", "c1", "cat", "/proc/self/cgroup"]).well();
    assert_eq!(memory_cgroup(&joined), own);
}

#[test]
fn what_an_image_makes_the_set_up_write_is_limited() {
    let Some(engine) = engine(2 << 20) else { return };
    std::fs::write(engine.rootfs().join("tmp/large"), vec![1u8; 16 << 20]).unwrap();
    engine.change(|config| {
        config["mounts"].as_array_mut().unwrap().push(json!({
            "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["tmpcopyup"],
        }));
    });
    let id = engine.unique_id();
    engine.call(&["create", &id]).failed_with("OOM-killed (memory limit too low?)");
    assert!(engine.cgroups(&id).is_empty());
}

#[test]
fn a_limit_that_nothing_fits_in_is_named_and_nothing_is_left() {
    let Some(engine) = engine(4 * KIB) else { return };
    let id = engine.unique_id();
    for verb in ["create", "run"] {
        engine.call(&[verb, &id]).failed_with("OOM-killed (memory limit too low?)");
        engine.call(&["state", &id]).failed_with("container does not exist");
        assert!(engine.cgroups(&id).is_empty());
    }
}
