//! Network devices of the host's that a container gets.

mod support;

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use minictr_testkit::{Feature, missing, skip};
use serde_json::json;
use support::Engine;

/// Both ends of a new pair of devices, which goes with either.
struct Pair {
    name: String,
    peer: String,
}

fn ip(arguments: &[&str]) -> bool {
    let ip = Command::new("ip").args(arguments).output();
    ip.is_ok_and(|output| output.status.success())
}

impl Pair {
    fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("mt{}x{number}", std::process::id());
        let peer = format!("{name}p");
        if !ip(&["link", "add", &name, "type", "veth", "peer", "name", &peer]) {
            skip("iproute2 and veth devices");
            return None;
        }
        Some(Self { name, peer })
    }

    fn is_here(&self) -> bool {
        ip(&["link", "show", &self.name])
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        ip(&["link", "del", &self.peer]);
    }
}

fn moves(engine: &Engine, devices: serde_json::Value) {
    engine.change(|config| config["linux"]["netDevices"] = devices);
}

#[test]
fn a_device_moves_with_its_addresses_gets_its_new_name_and_is_up() {
    let Some(engine) = Engine::new() else { return };
    if missing(Feature::Root) {
        return;
    }
    let Some(pair) = Pair::new() else { return };
    for address in ["10.211.7.2/24", "10.211.7.3/32", "fd00:6d74::2/64"] {
        assert!(
            ip(&["addr", "add", address, "dev", &pair.name, "nodad"]) || {
                ip(&["addr", "add", address, "dev", &pair.name])
            }
        );
    }
    assert!(ip(&["addr", "add", "169.254.7.7/16", "scope", "link", "dev", &pair.name]));
    assert!(ip(&["link", "set", &pair.name, "up"]) && ip(&["link", "set", &pair.peer, "up"]));
    moves(&engine, json!({ &pair.name: { "name": "inner0" } }));
    engine.start("c1");
    assert!(!pair.is_here());
    let said = engine.call(&["exec", "c1", "busybox", "ip", "addr", "show", "inner0"]).well();
    assert!(said.contains("UP"), "{said}");
    for address in ["inet 10.211.7.2/24", "inet 10.211.7.3/32", "inet6 fd00:6d74::2/64"] {
        assert!(said.contains(address), "{address}: {said}");
    }
    assert!(!said.contains("169.254.7.7"), "what holds on one link alone stays: {said}");
    let routes = engine.call(&["exec", "c1", "busybox", "ip", "route"]).well();
    assert!(routes.contains("10.211.7.0/24 dev inner0"), "{routes}");
}

#[test]
fn a_device_that_is_not_renamed_keeps_its_name() {
    let Some(engine) = Engine::new() else { return };
    if missing(Feature::Root) {
        return;
    }
    let Some(pair) = Pair::new() else { return };
    moves(&engine, json!({ &pair.name: {} }));
    engine.create("c1");
    engine.call(&["start", "c1"]).well();
    let said = engine.call(&["exec", "c1", "busybox", "ip", "link", "show", &pair.name]).well();
    assert!(said.contains("UP"), "{said}");
}

/// The device stays where it is, and nothing of the container is left.
#[test]
fn a_device_that_cannot_be_moved_as_written_stays() {
    let Some(engine) = Engine::new() else { return };
    if missing(Feature::Root) {
        return;
    }
    let Some(pair) = Pair::new() else { return };
    let Some(other) = Pair::new() else { return };
    for (devices, words) in [
        (json!({ &pair.name: { "name": "lo" } }), "File exists (EEXIST)"),
        (json!({ "lo": { "name": "lo2" } }), "move network device `lo` as `lo2`"),
        (json!({ "absent0": {} }), "`absent0` of linux.netDevices: No such device"),
        (json!({ &pair.name: { "name": "a/b" } }), "`a/b` can't be the name of a network device"),
        (
            json!({ &pair.name: { "name": "same" }, &other.name: { "name": "same" } }),
            "two are called `same`",
        ),
    ] {
        moves(&engine, devices);
        engine.call(&["create", "c1"]).failed_with(words);
        assert!(!engine.root().join("c1").exists());
        assert!(pair.is_here() && other.is_here(), "{words}");
    }
    moves(&engine, json!({ &pair.name: {} }));
    engine.change(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "network");
    });
    engine.call(&["create", "c1"]).failed_with("`linux.netDevices` of the spec");
    assert!(pair.is_here());
}

#[test]
fn only_root_moves_a_device() {
    let Some(engine) = Engine::new() else { return };
    if missing(Feature::Unprivileged) {
        return;
    }
    moves(&engine, json!({ "lo": { "name": "lo2" } }));
    engine.change(|config| {
        let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.push(json!({ "type": "network" }));
    });
    engine.call(&["create", "c1"]).failed_with("`linux.netDevices` of the spec: only root");
}
