//! What the config says of a process that other runtimes have learned late.

mod support;

use serde_json::json;
use support::Engine;

/// A field of the status of a process that joins the container with these `process` fields.
fn joined(engine: &Engine, change: serde_json::Value, path: &str) -> support::Said {
    let mut process = engine.config()["process"].clone();
    process["args"] = json!(["cat", path]);
    for (name, value) in change.as_object().unwrap() {
        process[name] = value.clone();
    }
    let file = engine.path.join("process.json");
    std::fs::write(&file, process.to_string()).unwrap();
    engine.call(&["exec", "--process", file.to_str().unwrap(), "c1"])
}

fn cpus_of(status: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    line.unwrap().trim().to_owned()
}

#[test]
fn a_process_that_joins_runs_on_its_own_cpus_and_the_first_ones_hold_for_the_set_up_alone() {
    let Some(engine) = Engine::new() else { return };
    engine.start("c1");
    let status = "/proc/self/status";
    let all = cpus_of(&joined(&engine, json!({}), status).well());
    let with = |affinity: serde_json::Value| {
        cpus_of(&joined(&engine, json!({ "execCPUAffinity": affinity }), status).well())
    };
    let first = all.split(['-', ',']).next().unwrap();
    let last = all.split(['-', ',']).next_back().unwrap();
    assert_eq!(with(json!({ "initial": first, "final": last })), last);
    assert_eq!(with(json!({ "final": format!("{first}-{last}") })), all);
    assert_eq!(with(json!({ "initial": first })), all);
    assert_eq!(with(json!({ "initial": "", "final": "" })), all);

    // A CPU that isn't there shows that each is really asked for, and is never asked for otherwise.
    for name in ["initial", "final"] {
        let said = joined(&engine, json!({ "execCPUAffinity": { name: "8000" } }), status);
        said.failed_with(&format!("execCPUAffinity.{name}"));
        for wrong in ["1-", "a", "3-1", "8192"] {
            let said = joined(&engine, json!({ "execCPUAffinity": { name: wrong } }), status);
            said.failed_with(&format!("process.execCPUAffinity.{name} `{wrong}`"));
        }
    }
}

#[test]
fn the_first_process_has_no_affinity_of_those_that_join_but_a_wrong_one_is_refused() {
    let Some(engine) = Engine::new() else { return };
    engine.change(|config| config["process"]["execCPUAffinity"] = json!({ "final": "8000" }));
    engine.start("c1");
    engine.call(&["exec", "c1", "true"]).failed_with("execCPUAffinity.final");
    engine.change(|config| config["process"]["execCPUAffinity"] = json!({ "final": "x" }));
    engine.call(&["create", "c2"]).failed_with("process.execCPUAffinity.final `x`");
}

#[test]
fn the_memory_policy_holds_for_every_process_of_the_container() {
    if !std::path::Path::new("/proc/self/numa_maps").exists() {
        return minictr_testkit::skip("a kernel with NUMA");
    }
    let Some(engine) = Engine::new() else { return };
    let policy = |policy: serde_json::Value| {
        engine.change(|config| config["linux"]["memoryPolicy"] = policy);
    };
    policy(json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"] }));
    engine.start("c1");
    let maps = engine.call(&["exec", "c1", "cat", "/proc/self/numa_maps"]).well();
    let first = std::fs::read_to_string(format!("/proc/{}/numa_maps", engine.state("c1")["pid"]));
    for maps in [maps, first.unwrap()] {
        assert!(maps.lines().all(|line| line.contains(" bind=static:0")), "{maps}");
    }
    // The two that take no nodes, with the list left out.
    for (mode, word) in [("MPOL_LOCAL", " local "), ("MPOL_DEFAULT", " default ")] {
        policy(json!({ "mode": mode }));
        engine.change(|config| config["process"]["args"] = json!(["cat", "/proc/self/numa_maps"]));
        let said = engine.call(&["run", "c2"]);
        assert!(said.stdout.contains(word), "{mode}: {}{}", said.stdout, said.stderr);
    }
    for (wrong, words) in [
        (json!({ "mode": "MPOL_NICE" }), "mode `MPOL_NICE`"),
        (json!({ "mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_X"] }), "flag `MPOL_F_X`"),
        (json!({ "mode": "MPOL_BIND", "nodes": "0-" }), "linux.memoryPolicy.nodes `0-`"),
        (json!({ "mode": "MPOL_BIND", "nodes": "1000" }), "set memory policy `MPOL_BIND`"),
        (json!({ "mode": "MPOL_BIND" }), "set memory policy `MPOL_BIND`"),
    ] {
        policy(wrong);
        engine.call(&["create", "c3"]).failed_with(words);
        assert!(!engine.root().join("c3").exists());
    }
}

#[test]
fn a_capability_that_no_kernel_has_is_passed_over_and_said() {
    let Some(engine) = Engine::new() else { return };
    engine.change(|config| {
        for set in ["bounding", "effective", "permitted"] {
            config["process"]["capabilities"][set] = json!(["CAP_KILL", "CAP_TIME_TRAVEL"]);
        }
        config["process"]["args"] = json!(["grep", "CapEff", "/proc/self/status"]);
    });
    let log = engine.path.join("log");
    let said = engine.call(&["--log-format", "json", "--log", log.to_str().unwrap(), "run", "c1"]);
    assert_eq!((said.status, said.stdout.trim()), (0, "CapEff:\t0000000000000020"));
    assert_eq!(said.stderr.lines().count(), 1, "{}", said.stderr);
    assert!(said.stderr.starts_with("warning: ") && said.stderr.contains("`CAP_TIME_TRAVEL`"));
    assert!(!log.exists(), "what is passed over is no failure");

    engine.change(|config| config["process"]["args"] = json!(["sleep", "300"]));
    engine.call(&["create", "c1"]);
    engine.call(&["start", "c1"]).well();
    let said = engine.call(&["exec", "--cap", "CAP_SHRINK", "c1", "true"]);
    assert_eq!(said.status, 0, "{}", said.stderr);
    assert!(said.stderr.contains("`CAP_SHRINK`"), "{}", said.stderr);
}
