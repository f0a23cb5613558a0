//! What `features` promises, held against what a container gets.

mod support;

use serde_json::{Value, json};
use support::Engine;

fn features(engine: &Engine) -> Value {
    serde_json::from_str(&engine.call(&["features"]).well()).unwrap()
}

fn words(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

/// Makes a container of a changed config, and says with what words that failed.
fn create(engine: &Engine, change: impl FnOnce(&mut Value)) -> String {
    let original = engine.config();
    engine.change(change);
    let said = engine.call(&["create", "c1"]);
    assert_eq!(said.status == 0, said.stderr.is_empty(), "{}", said.stderr);
    engine.call(&["delete", "--force", "c1"]).well();
    engine.change(|config| *config = original);
    said.stderr
}

#[test]
fn every_word_of_seccomp_that_it_lists_makes_a_filter() {
    let Some(engine) = Engine::new() else { return };
    let features = features(&engine);
    let seccomp = &features["linux"]["seccomp"];
    let filter = |engine: &Engine, filter: Value| {
        create(engine, |config| config["linux"]["seccomp"] = filter)
    };
    for action in words(&seccomp["actions"]) {
        let rule = json!({ "names": ["ptrace"], "action": action });
        let said =
            filter(&engine, json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] }));
        match action {
            "SCMP_ACT_NOTIFY" => assert!(said.contains("listenerPath"), "{said}"),
            _ => assert_eq!(said, "", "{action}"),
        }
    }
    for operator in words(&seccomp["operators"]) {
        let arg = json!({ "index": 0, "value": 1, "valueTwo": 1, "op": operator });
        let rule = json!({ "names": ["ptrace"], "action": "SCMP_ACT_ERRNO", "args": [arg] });
        let said =
            filter(&engine, json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] }));
        assert_eq!(said, "", "{operator}");
    }
    let said = filter(
        &engine,
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": seccomp["archs"],
            "flags": seccomp["supportedFlags"] }),
    );
    assert_eq!(said, "");
    let known = words(&seccomp["knownFlags"]);
    assert!(words(&seccomp["supportedFlags"]).iter().all(|flag| known.contains(flag)));
}

#[test]
fn every_other_word_that_it_lists_is_one_that_a_config_may_have() {
    let Some(engine) = Engine::new() else { return };
    let features = features(&engine);
    let linux = &features["linux"];
    let said = create(&engine, |config| {
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set] = linux["capabilities"].clone();
        }
    });
    assert_eq!(said, "");
    for mode in words(&linux["memoryPolicy"]["modes"]) {
        let said =
            create(&engine, |config| config["linux"]["memoryPolicy"] = json!({ "mode": mode }));
        // With the nodes that most modes want, or without: the word itself is known.
        assert!(!said.contains("linux.memoryPolicy"), "{mode}: {said}");
    }
    for flag in words(&linux["memoryPolicy"]["flags"]) {
        let said = create(&engine, |config| {
            config["linux"]["memoryPolicy"] =
                json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": [flag] });
        });
        assert!(!said.contains("linux.memoryPolicy"), "{flag}: {said}");
    }
    for namespace in words(&linux["namespaces"]) {
        let said = create(&engine, |config| {
            let list = config["linux"]["namespaces"].as_array_mut().unwrap();
            list.retain(|one| one["type"] != namespace && one["type"] != "user");
            list.push(json!({ "type": namespace }));
            if !minictr_testkit::Feature::Root.present() && namespace != "user" {
                list.push(json!({ "type": "user" }));
            }
            if namespace == "user" {
                let map = config["linux"]["uidMappings"].clone();
                let own = json!([{ "containerID": 0, "hostID": 100_000, "size": 1000 }]);
                let map = if map.is_null() { own } else { map };
                config["linux"]["gidMappings"] = match &config["linux"]["gidMappings"] {
                    Value::Null => map.clone(),
                    own => own.clone(),
                };
                config["linux"]["uidMappings"] = map;
            }
        });
        assert_eq!(said, "", "{namespace}");
    }
    for moment in words(&features["hooks"]) {
        let said = create(&engine, |config| config["hooks"][moment] = json!([{ "path": "x" }]));
        assert!(said.contains(moment), "{said}");
    }
}

#[test]
fn it_says_which_annotations_reach_out_of_a_container_and_what_it_implements() {
    let Some(engine) = Engine::new() else { return };
    let features = features(&engine);
    for name in words(&features["potentiallyUnsafeConfigAnnotations"]) {
        // Each means something: a value that can't be meant is refused, but for the socket that only
        // a filter's listener goes to.
        let said = create(&engine, |config| config["annotations"] = json!({ name: "x y" }));
        assert!(said.contains(name), "{name}: {said}");
    }
    let linux = &features["linux"];
    for field in ["apparmor", "selinux", "intelRdt", "netDevices", "seccomp"] {
        assert_eq!(linux[field]["enabled"], true, "{field}");
    }
    assert_eq!(linux["intelRdt"]["schemata"], true);
    assert_eq!(linux["intelRdt"]["monitoring"], true);
    assert_eq!(linux["mountExtensions"]["idmap"]["enabled"], true);
    assert!(words(&features["mountOptions"]).contains(&"remount"));
}
