//! What the core does on cgroup v2 alone: starting in a cgroup, killing and removing a whole one.

mod support;

use std::path::PathBuf;

use minictr_core::error::ErrorCode;
use minictr_core::spawn::{Event, LaunchRequest, Supervisor};
use minictr_testkit::{Feature, require};
use nix::errno::Errno;
use serde_json::{Value, json};

use support::{busybox_rootfs, cgroups_of, request, run};

const SIGKILL: i32 = nix::sys::signal::Signal::SIGKILL as i32;

/// The default container with limits, in which more than one process may be.
fn limited(rootfs: &support::Scratch, script: &str, resources: Value) -> Value {
    let mut request = request(rootfs.path(), &["sh", "-c", script]);
    request["spec"]["linux"]["resources"] = resources;
    request["cgroup"] = json!({ "defaultPids": 4096 });
    request
}

fn without_pid_namespace(request: &mut Value) {
    let namespaces = request["spec"]["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "pid");
    // A new /proc needs a pid namespace of the container's own.
    let mounts = request["spec"]["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| mount["destination"] != "/proc");
    for paths in ["maskedPaths", "readonlyPaths"] {
        request["spec"]["linux"][paths] = json!([]);
    }
}

#[test]
fn the_first_process_is_cloned_into_its_cgroup() {
    require!(Feature::CgroupV2);
    let Some(rootfs) = busybox_rootfs("into") else { return };
    // A process that moves in later isn't counted: only a clone can be refused.
    let request = limited(&rootfs, "true", json!({ "pids": { "limit": 0 } }));
    let error = run(&mut Supervisor::new().unwrap(), request).unwrap_err();
    assert_eq!(error.code, ErrorCode::ResourceExhausted);
    assert_eq!(error.errno, Some(Errno::EAGAIN as i32));
}

#[test]
fn a_kill_of_the_whole_reaches_processes_that_no_namespace_ends() {
    require!(Feature::CgroupV2);
    let Some(rootfs) = busybox_rootfs("whole") else { return };
    let script = "trap '' TERM; for i in 1 2 3 4 5; do sleep 300 & done; wait";
    let mut request = limited(&rootfs, script, json!({}));
    without_pid_namespace(&mut request);
    let id = request["id"].as_str().unwrap().to_owned();
    request["stdio"] = json!([null, null, null]);
    let request: LaunchRequest = serde_json::from_value(request).unwrap();

    let mut supervisor = Supervisor::new().unwrap();
    supervisor.launch(1, request, Vec::new());
    let mut events = Vec::new();
    let mut inside: Option<PathBuf> = None;
    loop {
        supervisor.wait(&mut events).unwrap();
        for emitted in events.drain(..) {
            match emitted.event {
                Event::Started { .. } => {
                    let [cgroup] = &cgroups_of(&format!("minictr-{id}"))[..] else {
                        panic!("one cgroup")
                    };
                    let procs = cgroup.join("cgroup.procs");
                    // until all of the six are there
                    while std::fs::read_to_string(&procs).unwrap().lines().count() < 6 {
                        std::thread::sleep(std::time::Duration::from_millis(10));
                    }
                    inside = Some(cgroup.clone());
                    supervisor.kill(1, SIGKILL, true).unwrap();
                }
                Event::Exited { exit, .. } => {
                    assert_eq!(exit.signal, Some(SIGKILL));
                    assert!(!inside.unwrap().exists());
                    return;
                }
                Event::Failed { error, .. } => panic!("{error}"),
                _ => {}
            }
        }
    }
}

#[test]
fn cgroups_that_a_container_made_below_go_with_it() {
    require!(Feature::CgroupV2);
    let Some(rootfs) = busybox_rootfs("below") else { return };
    let script = "mkdir -p /sys/fs/cgroup/a/b && echo $$ > /sys/fs/cgroup/a/b/cgroup.procs";
    let mut request = limited(&rootfs, script, json!({}));
    let mounts = request["spec"]["mounts"].as_array_mut().unwrap();
    for mount in mounts.iter_mut().filter(|mount| mount["type"] == "cgroup") {
        mount["options"] = json!(["nosuid", "noexec", "nodev"]);
    }
    // Its files are the caller's, who isn't root of the container when that is another's id.
    if nix::unistd::Uid::effective().is_root() {
        request["idMapping"] = json!("spec");
        let namespaces = request["spec"]["linux"]["namespaces"].as_array_mut().unwrap();
        namespaces.retain(|namespace| namespace["type"] != "user");
    }
    let id = request["id"].as_str().unwrap().to_owned();
    let finished = run(&mut Supervisor::new().unwrap(), request).unwrap();
    assert_eq!(finished.exit.code, Some(0), "{finished:?}");
    assert_eq!(cgroups_of(&format!("minictr-{id}")), [] as [PathBuf; 0]);
}
