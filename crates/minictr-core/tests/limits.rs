//! Cgroup limits and accounts, in real containers.
mod support;

use minictr_core::error::ErrorCode;
use minictr_core::spawn::Supervisor;
use minictr_testkit::skip;
use serde_json::{Value, json};
use support::{busybox_rootfs, cgroups_of, limited, request, run};

/// A request with these resources; `None` and a skip where this user can't have a cgroup.
fn with(rootfs: &support::Scratch, args: &[&str], resources: Value) -> Option<Value> {
    if !limited() {
        skip("limits");
        return None;
    }
    let mut request = request(rootfs.path(), args);
    request["spec"]["linux"]["resources"] = resources;
    Some(request)
}

#[test]
fn a_memory_hog_is_killed_at_its_limit_and_said_to_be() {
    let Some(rootfs) = busybox_rootfs("hog") else { return };
    let script = "x=a; while :; do x=$x$x; done";
    let resources = json!({ "memory": { "limit": 16 << 20 } });
    let Some(request) = with(&rootfs, &["sh", "-c", script], resources) else {
        return;
    };
    let finished = run(&mut Supervisor::new().unwrap(), request).unwrap();
    assert!(finished.exit.oom_killed, "{finished:?}");
    assert_eq!(finished.exit.signal, Some(9));
    assert!(finished.exit.peak_memory_bytes <= 16 << 20, "{finished:?}");
}

#[test]
fn a_fork_bomb_is_held_at_its_limit() {
    let Some(rootfs) = busybox_rootfs("bomb") else { return };
    let script = "i=0; while [ $i -lt 40 ]; do sleep 1 & i=$((i+1)); done; wait";
    let resources = json!({ "pids": { "limit": 8 } });
    let Some(request) = with(&rootfs, &["sh", "-c", script], resources) else {
        return;
    };
    let finished = run(&mut Supervisor::new().unwrap(), request).unwrap();
    assert!(finished.stderr.contains("can't fork"), "{finished:?}");
}

#[test]
fn cpu_time_of_all_processes_is_accounted_and_limited() {
    let Some(rootfs) = busybox_rootfs("cpu") else { return };
    let script = "(while :; do :; done) & while :; do :; done";
    let mut request = request(rootfs.path(), &["sh", "-c", script]);
    request["cpuTimeMs"] = json!(300);
    let finished = run(&mut Supervisor::new().unwrap(), request).unwrap();
    assert!(finished.exit.cpu_time_exceeded, "{finished:?}");
    let used = finished.exit.cpu_user_us + finished.exit.cpu_system_us;
    assert!((250_000..2_000_000).contains(&used), "{finished:?}");
}

#[test]
fn the_container_sees_itself_at_the_root_of_read_only_hierarchies() {
    let Some(rootfs) = busybox_rootfs("view") else { return };
    let script =
        "cat /proc/self/cgroup; ls /sys/fs/cgroup; mkdir /sys/fs/cgroup/x /sys/fs/cgroup/*/x";
    let Some(request) = with(&rootfs, &["sh", "-c", script], json!({})) else {
        return;
    };
    let finished = run(&mut Supervisor::new().unwrap(), request).unwrap();
    for line in finished.stdout.lines().filter(|line| line.contains(':')) {
        assert!(line.ends_with(":/"), "{finished:?}");
    }
    assert!(finished.stderr.contains("Read-only file system"), "{finished:?}");
    assert_ne!(finished.exit.code, Some(0));
}

#[test]
fn nothing_of_a_cgroup_is_left_behind() {
    let Some(rootfs) = busybox_rootfs("left") else { return };
    let resources = json!({ "memory": { "limit": 64 << 20 }, "cpu": { "quota": 50000, "period": 100000, "shares": 512 } });
    let Some(request) = with(&rootfs, &["true"], resources) else { return };
    let id = request["id"].as_str().unwrap().to_owned();
    let mut supervisor = Supervisor::new().unwrap();
    run(&mut supervisor, request).unwrap();
    assert_eq!(cgroups_of(&format!("minictr-{id}")), [] as [std::path::PathBuf; 0]);
}

#[test]
fn refuses_a_memory_limit_where_no_cgroup_can_be_had() {
    let Some(rootfs) = busybox_rootfs("refuse") else { return };
    let mut request = request(rootfs.path(), &["true"]);
    request["spec"]["linux"]["resources"] = json!({ "memory": { "limit": 64 << 20 } });
    request["cgroup"] = json!({ "mode": "none" });
    let error = run(&mut Supervisor::new().unwrap(), request).unwrap_err();
    assert_eq!(error.code, ErrorCode::CgroupUnavailable);
    assert!(error.hint.is_some());
}
