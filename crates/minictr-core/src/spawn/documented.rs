//! `docs/concepts/startup.md` against the plan: the same steps, by the same names, in the same order.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use nix::sched::CloneFlags;

use super::compile::{Host, compile};
use super::filters::Filters;
use super::gate::Gate;
use super::hooks::Subject;
use super::ids::{Caller, IdPlan, MapLines};
use super::request::{HostRoot, IdMappingSource, LaunchRequest};
use super::runtime::{Joined, RuntimeOptions};
use crate::cgroups::{Addresses, Scope};
use crate::spec::IdMapping;

/// A spec that calls for every step.
const SPEC: &str = r#"{
  "ociVersion": "1.3.0",
  "process": {
    "terminal": true,
    "cwd": "/",
    "args": ["true"],
    "apparmorProfile": "someones",
    "selinuxLabel": "someones",
    "execCPUAffinity": { "initial": "0", "final": "0" },
    "ioPriority": { "class": "IOPRIO_CLASS_IDLE", "priority": 0 },
    "scheduler": { "policy": "SCHED_BATCH" },
    "user": { "uid": 0, "gid": 0, "umask": 18 }
  },
  "root": { "path": "/rootfs", "readonly": true },
  "hooks": {
    "createRuntime": [{ "path": "/bin/true" }],
    "createContainer": [{ "path": "/bin/true" }],
    "startContainer": [{ "path": "/bin/true" }]
  },
  "hostname": "here",
  "domainname": "there",
  "mounts": [{ "destination": "/proc", "type": "proc", "source": "proc" }],
  "linux": {
    "namespaces": [
      { "type": "user" }, { "type": "pid" }, { "type": "mount" }, { "type": "uts" },
      { "type": "ipc", "path": "/proc/1/ns/ipc" }, { "type": "network" }, { "type": "cgroup" }, { "type": "time" }
    ],
    "sysctl": { "net.ipv4.ip_forward": "0" },
    "timeOffsets": { "boottime": { "secs": 1 } },
    "personality": { "domain": "LINUX" },
    "memoryPolicy": { "mode": "MPOL_LOCAL" },
    "rootfsPropagation": "private",
    "maskedPaths": ["/proc/kcore"],
    "readonlyPaths": ["/proc/sys"],
    "seccomp": { "defaultAction": "SCMP_ACT_ALLOW" }
  }
}"#;

/// The page's steps: numbered entries whose name is in bold.
fn documented() -> Vec<&'static str> {
    let page = include_str!("../../../../docs/concepts/startup.md");
    page.lines()
        .filter(|line| line.starts_with(|first: char| first.is_ascii_digit()))
        .filter_map(|line| line.split_once(". **")?.1.split_once("**"))
        .map(|(name, _)| name)
        .collect()
}

/// The names of a plan's steps, each run of the same step once.
fn planned(
    ids: IdPlan,
    no_new_privileges: bool,
    host_root: bool,
    runtime: RuntimeOptions,
) -> Vec<&'static str> {
    let mut request = LaunchRequest {
        id: "documented".to_owned(),
        spec: serde_json::from_str(SPEC).expect("the spec is one"),
        user: Some("someone".to_owned()),
        id_mapping: IdMappingSource::Auto,
        init: true,
        runtime,
        host_root: host_root.then(HostRoot::default),
        ..LaunchRequest::default()
    };
    request.spec.process.as_mut().expect("it has one").no_new_privileges = Some(no_new_privileges);
    let caller = Caller {
        euid: 0,
        egid: 0,
        initial_namespace: true,
        privileged: true,
        capabilities: u64::MAX,
        namespace_ids: None,
    };
    let mut filters = Filters::default();
    let host = Host { caller: &caller, cgroup_mounts: Rc::default(), ids, filters: &mut filters };
    let plan = compile(&request, host).expect("the request compiles");
    let mut names: Vec<_> = plan.steps.iter().map(super::plan::Step::name).collect();
    names.dedup();
    names
}

fn plans() -> Vec<Vec<&'static str>> {
    let range = vec![IdMapping { container_id: 0, host_id: 100_000, size: 65_536 }];
    let parent = IdPlan::Parent(MapLines { uids: range.clone(), gids: range });
    let null = || -> OwnedFd { std::fs::File::open("/dev/null").expect("it opens").into() };
    let scope = || {
        let none = Default::default();
        Scope::of(None, "c1", String::new(), &none, false, &Addresses::default())
            .expect("it is a scope")
    };
    let waiting = || RuntimeOptions {
        outlives: true,
        hooks: Some(Subject::default()),
        scope: Some(Arc::new(scope())),
        gate: Some(Arc::new(Gate { start: null(), report: null() })),
        ..RuntimeOptions::default()
    };
    let joining = || RuntimeOptions {
        join: Some(Arc::new(Joined {
            process: null(),
            namespaces: CloneFlags::CLONE_NEWUSER,
            cgroup_namespace: Some(null()),
            cgroup: None,
            way_in: None,
        })),
        ..RuntimeOptions::default()
    };
    let mut plans: Vec<_> = [IdPlan::Own, parent, IdPlan::Host]
        .into_iter()
        .flat_map(|ids| {
            [
                planned(ids.clone(), true, false, waiting()),
                planned(ids.clone(), true, true, RuntimeOptions::default()),
                planned(ids, false, false, RuntimeOptions::default()),
            ]
        })
        .collect();
    plans.push(planned(IdPlan::Joined, true, false, joining()));
    plans
}

#[test]
fn every_plan_has_its_steps_in_the_documented_order() {
    let documented = documented();
    for plan in plans() {
        let mut page = documented.iter();
        for step in &plan {
            assert!(
                page.any(|name| name == step),
                "`{step}` is not where startup.md has it; the plan is {plan:#?}"
            );
        }
    }
}

#[test]
fn the_page_documents_no_step_that_no_plan_has() {
    let planned: BTreeSet<_> = plans().into_iter().flatten().collect();
    let documented: BTreeSet<_> = documented().into_iter().collect();
    assert_eq!(documented, planned);
}
