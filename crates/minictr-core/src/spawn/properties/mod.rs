//! Properties of random requests: each is refused with a sentence or becomes a plan, and a plan runs
//! or fails with a sentence. Nothing panics, nothing is left behind.
//!
//! A request is a JSON document, so a random one is a good one with a few of its values changed for
//! others, left out, doubled or added: it gets past the reader far more often than one made of chance
//! alone, and what fails is printed as the document that it is. `MINICTR_TEST_SEED` repeats a run.

mod random;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::rc::Rc;

use minictr_testkit::{Snapshot, lay_out_rootfs};
use serde_json::{Value, json};

use self::random::{Random, good, random_request};
use super::compile::{Host, compile, is_new};
use super::event::Event;
use super::filters::Filters;
use super::ids::{Caller, IdPlan, MapLines};
use super::plan::{Plan, Step};
use super::request::LaunchRequest;
use super::supervisor::Supervisor;
use super::validate;
use crate::error::{Error, ErrorCode};
use crate::spec::{self, IdMapping, NamespaceKind, Spec};

/// Runs `body`; a panic of its is told with what it was about.
fn without_panic<T>(seed: u64, about: &dyn Fn() -> String, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body))
        .unwrap_or_else(|_| panic!("panicked; MINICTR_TEST_SEED={seed}: {}", about()))
}

/// A refusal says something, and is nobody's bug.
fn assert_refusal(error: &Error, about: &str) {
    assert!(error.code != ErrorCode::Internal, "{error} for {about}");
    assert!(!error.operation.is_empty() && !error.to_string().ends_with('.'), "{error}: {about}");
}

fn assert_whole(plan: &Plan, spec: &Spec, about: &str) {
    assert_eq!(plan.steps.len(), plan.notes.len(), "{about}");
    assert!(matches!(plan.steps.last(), Some(Step::Execute)), "{about}");
    let roots = plan.steps.iter().filter(|step| matches!(step, Step::EnterRoot { .. })).count();
    assert_eq!(roots, 1, "{about}");
    let at = |wanted: fn(&Step) -> bool| plan.steps.iter().position(wanted);
    let (entered, dropped) =
        (at(|s| matches!(s, Step::EnterRoot { .. })), at(|s| matches!(s, Step::DropBounding(_))));
    assert!(entered < dropped, "capabilities are dropped in the container's root: {about}");
    let alone = spec.linux.as_ref().is_some_and(|linux| is_new(linux, NamespaceKind::Mount));
    let own_dev = at(|s| matches!(s, Step::Mount(mount) if mount.own_dev));
    assert!(alone || own_dev.is_none(), "others may change that /dev: {about}");
}

fn id_plan(random: &mut Random) -> IdPlan {
    let map = |size| vec![IdMapping { container_id: 0, host_id: 100_000, size }];
    let lines = |size| MapLines { uids: map(size), gids: map(size) };
    match random.below(6) {
        0 => IdPlan::Host,
        1 => IdPlan::Joined,
        2 => IdPlan::Own,
        3 => IdPlan::Helper(lines(65_536)),
        4 => IdPlan::Parent(MapLines::default()),
        _ => IdPlan::Parent(lines(u32::MAX)),
    }
}

#[test]
fn a_random_request_is_refused_or_becomes_a_whole_plan() {
    let (mut random, seed) = Random::seeded();
    let (mut read, mut planned) = (0, 0);
    for _ in 0..4000 {
        let document = random_request(&mut random, Path::new("/rootfs"), 8, &|_| false);
        let about = document.to_string();
        without_panic(seed, &|| about.clone(), || {
            let request: LaunchRequest = match spec::parse_json(about.as_bytes(), "read") {
                Ok(request) => request,
                Err(error) => return assert_refusal(&error, &about),
            };
            read += 1;
            if let Err(error) = validate::request(&request, 2) {
                return assert_refusal(&error, &about);
            }
            let caller = Caller {
                euid: 0,
                egid: 0,
                initial_namespace: true,
                privileged: random.below(2) == 0,
                capabilities: u64::MAX >> 23,
                namespace_ids: None,
            };
            let ids = id_plan(&mut random);
            let mut filters = Filters::default();
            let host =
                Host { caller: &caller, cgroup_mounts: Rc::default(), ids, filters: &mut filters };
            match compile(&request, host) {
                Ok(plan) => {
                    planned += 1;
                    assert_whole(&plan, &request.spec, &about);
                }
                Err(error) => assert_refusal(&error, &about),
            }
        });
    }
    assert!(read > 1000 && planned > 300, "{read} were read, {planned} planned");
}

#[test]
fn a_damaged_document_is_never_more_than_an_error() {
    let (mut random, seed) = Random::seeded();
    let text = good(Path::new("/rootfs")).to_string().into_bytes();
    for _ in 0..3000 {
        let mut bytes = text.clone();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] = random.below(256) as u8,
                1 => bytes.truncate(at.max(1)),
                2 => bytes.insert(at, *random.pick(b"\"{}[]:,\\09-.e \0\xff")),
                _ => {
                    bytes.remove(at);
                    bytes.push(b' ');
                }
            }
        }
        let about = || String::from_utf8_lossy(&bytes).into_owned();
        without_panic(seed, &about, || {
            if let Err(error) = spec::parse_json::<LaunchRequest>(&bytes, "read") {
                assert_refusal(&error, &about());
            }
        });
    }
}

/// What stays as it is where the container is really started: whatever could touch more than the
/// root filesystem of the test, or take longer than it.
fn is_fixed(pointer: &str) -> bool {
    let ends = ["/source", "/timeoutMs", "/cgroupsPath", "/parent", "/hostID", "/oomScoreAdj"];
    pointer == "/spec/root"
        || pointer == "/spec"
        || pointer == "/bundle"
        || pointer.starts_with("/spec/root/path")
        || pointer.starts_with("/spec/process/args/0")
        || ends.iter().any(|end| pointer.ends_with(end))
}

#[test]
fn what_becomes_a_plan_runs_or_fails_with_a_sentence_and_leaves_nothing() {
    let (mut random, seed) = Random::seeded();
    // In everything that these containers have and that can be left behind: others' may come and go.
    let name = format!("minictr-test-random-{}", std::process::id());
    let rootfs = std::env::temp_dir().join(&name);
    std::fs::create_dir(&rootfs).unwrap();
    let before = Snapshot::take();
    let mut supervisor = Supervisor::new().unwrap();
    let (mut ran, mut failed) = (0, 0);
    for launch in 0..150 {
        // Each its own: some starts may make files and mount points in it.
        lay_out_rootfs(&rootfs).unwrap();
        let mut document = random_request(&mut random, &rootfs, 4, &is_fixed);
        document["id"] = json!(format!("{name}-{launch}"));
        if let Some(args) = document.pointer_mut("/spec/process/args").and_then(Value::as_array_mut)
        {
            args.push(json!(name));
        }
        let about = document.to_string();
        let Ok(request) = spec::parse_json::<LaunchRequest>(about.as_bytes(), "read") else {
            continue;
        };
        let null = || std::fs::File::open("/dev/null").unwrap().into();
        without_panic(seed, &|| about.clone(), || {
            supervisor.launch(launch, request, vec![null(), null()]);
            let mut events = Vec::new();
            loop {
                supervisor.wait(&mut events).unwrap();
                for emitted in events.drain(..) {
                    match emitted.event {
                        Event::Exited { exit, .. } => {
                            ran += 1;
                            let ended = exit.code.is_some() || exit.signal.is_some();
                            assert!(ended, "{exit:?} for {about}");
                            return;
                        }
                        Event::Failed { error, .. } => {
                            failed += 1;
                            assert_refusal(&error, &about);
                            return;
                        }
                        _ => {}
                    }
                }
            }
        });
    }
    drop(supervisor);
    let mut leaked = before.leaked();
    leaked.retain(|line| line.contains(&name) && !line.starts_with("temporary file"));
    std::fs::remove_dir_all(&rootfs).unwrap();
    assert!(leaked.is_empty(), "MINICTR_TEST_SEED={seed}: {leaked:?}");
    assert!(ran > 20 && failed > 20, "{ran} ran, {failed} failed");
}
