//! Where a process goes that joins a container: `exec --cgroup`, and without it.

mod support;

use std::path::PathBuf;

use minictr_testkit::{Feature, missing};
use serde_json::json;
use support::Engine;

fn engine() -> Option<Engine> {
    if missing(Feature::Root) {
        return None;
    }
    let engine = Engine::new()?;
    let name = format!("minictr-c1-{}", engine.unique_id());
    // What a container with its own cgroup namespace can't show.
    engine.change(|config| {
        config["linux"]["cgroupsPath"] = json!(format!("{name}-"));
        config["linux"]["namespaces"]
            .as_array_mut()
            .unwrap()
            .retain(|namespace| namespace["type"] != "cgroup");
    });
    Some(engine)
}

/// The cgroup of a process that `exec` runs, of the pids controller.
fn joined(engine: &Engine, options: &[&str]) -> String {
    let mut arguments = vec!["exec"];
    arguments.extend(options);
    arguments.extend(["c1", "cat", "/proc/self/cgroup"]);
    let text = engine.call(&arguments).well();
    let line = text.lines().find(|line| line.contains(":pids:") || line.starts_with("0::"));
    line.unwrap().rsplit(':').next().unwrap().to_owned()
}

fn cgroups(engine: &Engine) -> Vec<PathBuf> {
    engine.cgroups(&format!("c1-{}", engine.unique_id().trim_end_matches('-')))
}

#[test]
fn a_process_joins_a_cgroup_below_the_containers() {
    let Some(engine) = engine() else { return };
    engine.start("c1");
    let own = joined(&engine, &[]);
    for cgroup in cgroups(&engine) {
        std::fs::create_dir(cgroup.join("below")).unwrap();
    }
    assert_eq!(joined(&engine, &["--cgroup", "below"]), format!("{own}/below"));
    assert_eq!(joined(&engine, &["--cgroup", "/"]), own);
    for path in ["../x", "below/../..", "."] {
        engine.call(&["exec", "--cgroup", path, "c1", "true"]).failed_with("leads out of");
    }
    engine.call(&["exec", "--cgroup", "absent", "c1", "true"]).failed_with("absent`: No such file");
    engine.call(&["delete", "--force", "c1"]).well();
    assert_eq!(cgroups(&engine), Vec::<PathBuf>::new());
}

#[test]
fn a_controller_chooses_the_hierarchy_of_v1() {
    let Some(engine) = engine() else { return };
    engine.start("c1");
    engine.call(&["exec", "--cgroup", "nothing:x", "c1", "true"]).failed_with("no cgroup v1 of");
    if missing(Feature::CgroupV1Pids) {
        return;
    }
    let own = joined(&engine, &[]);
    let pids = cgroups(&engine).into_iter().find(|path| path.to_string_lossy().contains("/pids/"));
    std::fs::create_dir(pids.unwrap().join("below")).unwrap();
    assert_eq!(joined(&engine, &["--cgroup", "pids:below"]), format!("{own}/below"));
}

#[test]
fn a_process_follows_a_container_that_moved_itself() {
    let Some(engine) = engine() else { return };
    if missing(Feature::CgroupV2) {
        return;
    }
    engine.start("c1");
    let own = cgroups(&engine).remove(0);
    let moved = own.join("moved");
    std::fs::create_dir(&moved).unwrap();
    let pid = engine.state("c1")["pid"].to_string();
    std::fs::write(moved.join("cgroup.procs"), pid).unwrap();
    std::fs::write(own.join("cgroup.subtree_control"), "+pids").unwrap();
    assert!(joined(&engine, &[]).ends_with("/moved"));
    engine.call(&["exec", "--cgroup", "/", "c1", "true"]).failed_with("(EBUSY)");
}

#[test]
fn a_cgroup_that_is_in_use_is_refused_in_runcs_words() {
    let Some(engine) = engine() else { return };
    engine.start("c1");
    let said = engine.call(&["create", "c2"]);
    assert!(
        said.stderr.contains("container's cgroup is not empty: 1 process(es) found"),
        "{}",
        said.stderr
    );
    assert_eq!(engine.status("c1"), "running");
}

#[test]
fn a_frozen_cgroup_is_refused_in_runcs_words() {
    let Some(engine) = engine() else { return };
    if missing(Feature::CgroupV2) {
        return;
    }
    let membership = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let own = membership.trim().strip_prefix("0::").unwrap().trim_end_matches('/');
    let path = format!("{own}/minictr-frozen-{}", engine.unique_id());
    let frozen = PathBuf::from(format!("/sys/fs/cgroup{path}"));
    std::fs::create_dir(&frozen).unwrap();
    std::fs::write(frozen.join("cgroup.freeze"), "1").unwrap();
    engine.change(|config| config["linux"]["cgroupsPath"] = json!(format!("{path}/inner")));
    engine.call(&["create", "c1"]).failed_with("container's cgroup unexpectedly frozen");
    engine.call(&["state", "c1"]).failed_with("does not exist");
    assert!(!frozen.join("inner").exists());
    std::fs::remove_dir(frozen).unwrap();
}

#[test]
fn threaded_cgroups_are_entered_killed_and_deleted() {
    let Some(engine) = engine() else { return };
    if missing(Feature::CgroupV2) {
        return;
    }
    engine.start("c1");
    let own = cgroups(&engine).remove(0);
    let threads = own.join("threads");
    std::fs::create_dir(&threads).unwrap();
    std::fs::write(threads.join("cgroup.type"), "threaded").unwrap();
    let pid = engine.state("c1")["pid"].to_string();
    std::fs::write(threads.join("cgroup.threads"), &pid).unwrap();
    assert!(joined(&engine, &["--cgroup", "threads"]).ends_with("/threads"));
    joined(&engine, &[]);
    let processes = engine.call(&["ps", "--format", "json", "c1"]).well();
    let processes: Vec<i64> = serde_json::from_str(&processes).unwrap();
    assert_eq!(processes, [pid.parse::<i64>().unwrap()]);
    engine.call(&["kill", "--all", "c1", "KILL"]).well();
    engine.wait_for("c1", "stopped");
    engine.call(&["delete", "c1"]).well();
    assert!(!own.exists());
}
