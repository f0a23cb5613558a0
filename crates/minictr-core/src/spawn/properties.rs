//! Properties of random requests: each is refused with a sentence or becomes a plan, and a plan runs
//! or fails with a sentence. Nothing panics, nothing is left behind.
//!
//! A request is a JSON document, so a random one is a good one with a few of its values changed for
//! others, left out, doubled or added: it gets past the reader far more often than one made of chance
//! alone, and what fails is printed as the document that it is. `MINICTR_TEST_SEED` repeats a run.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::rc::Rc;

use minictr_testkit::{Snapshot, lay_out_rootfs};
use serde_json::{Value, json};

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

/// A sequence of choices, the same for the same seed (xorshift).
struct Random(u64);

impl Random {
    fn seeded() -> (Self, u64) {
        let seed = std::env::var("MINICTR_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.expect("it is after 1970").as_nanos() as u64
        });
        (Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1), seed)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }
}

/// Sections that the reader takes, by the path of the object that they are added to.
fn sections() -> Vec<(&'static str, &'static str, Value)> {
    let options = json!(["ro", "nosuid", "rbind", "mode=755", "size=1k", "gid=5", "idmap"]);
    let seccomp = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1, "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [{ "names": ["personality", "mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
            "args": [{ "index": 0, "value": 8, "valueTwo": 1, "op": "SCMP_CMP_MASKED_EQ" }] }],
    });
    let resources = json!({
        "memory": { "limit": 67108864, "swap": 67108864, "reservation": 1 },
        "cpu": { "shares": 512, "quota": 50000, "period": 100000, "cpus": "0", "mems": "0" },
        "pids": { "limit": 20 }, "unified": { "memory.high": "max" },
        "devices": [{ "allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm" }],
    });
    vec![
        ("/spec/linux", "seccomp", seccomp),
        ("/spec/linux", "resources", resources),
        ("/spec/linux", "sysctl", json!({ "net.ipv4.ip_forward": "1", "kernel.msgmax": "9" })),
        ("/spec/linux", "uidMappings", json!([{ "containerID": 0, "hostID": 0, "size": 1 }])),
        ("/spec/linux", "gidMappings", json!([{ "containerID": 0, "hostID": 0, "size": 1 }])),
        ("/spec/linux", "timeOffsets", json!({ "boottime": { "secs": 1, "nanosecs": 2 } })),
        ("/spec/linux", "personality", json!({ "domain": "LINUX32" })),
        ("/spec/linux", "rootfsPropagation", json!("rslave")),
        ("/spec/linux", "maskedPaths", json!(["/proc/kcore", "/none", "/bin"])),
        ("/spec/linux", "readonlyPaths", json!(["/proc/sys", "/none", "/etc/passwd"])),
        (
            "/spec/linux",
            "devices",
            json!([{ "type": "c", "path": "/dev/fuse", "major": 10, "minor": 229, "uid": 1 },
                { "type": "p", "path": "/dev/fifo", "fileMode": 438 }]),
        ),
        ("/spec", "domainname", json!("there")),
        ("/spec", "annotations", json!({ "a": "b" })),
        ("/spec/process", "terminal", json!(true)),
        ("/spec/process", "consoleSize", json!({ "height": 24, "width": 80 })),
        ("/spec/process", "oomScoreAdj", json!(500)),
        ("/spec/process", "ioPriority", json!({ "class": "IOPRIO_CLASS_BE", "priority": 4 })),
        ("/spec/process", "scheduler", json!({ "policy": "SCHED_BATCH", "nice": 3 })),
        (
            "/spec/process",
            "rlimits",
            json!([{ "type": "RLIMIT_NOFILE", "soft": 10, "hard": 20 },
                { "type": "RLIMIT_CORE", "soft": 0, "hard": 0 }]),
        ),
        (
            "/spec/process",
            "user",
            json!({ "uid": 1000, "gid": 1000, "umask": 18, "additionalGids": [1, 2] }),
        ),
        ("/spec/mounts/0", "options", options),
        ("", "user", json!("user:extra")),
        ("", "groups", json!(["extra", "7"])),
        ("", "init", json!(true)),
        ("", "overlay", json!(true)),
        ("", "idMapping", json!("subordinate")),
        ("", "cgroup", json!({ "mode": "none", "defaultPids": 10 })),
        ("", "cpuTimeMs", json!(1000)),
        ("", "preserveFds", json!([0, 1])),
    ]
}

/// Words that mean something somewhere, and such as mean nothing anywhere.
const WORDS: &[&str] = &[
    "",
    "/",
    "//",
    ".",
    "..",
    "/../..",
    "/proc",
    "/proc/self/fd/0",
    "/dev",
    "/dev/null",
    "/tmp",
    "/bin/probe",
    "/etc/passwd",
    "/no/such/thing",
    "relative/path",
    "nul\0inside",
    "new\nline",
    "\u{fffd}é漢",
    "-1",
    "0",
    "4294967296",
    "root",
    "nobody:",
    "1000:1000",
    "bind",
    "proc",
    "sysfs",
    "tmpfs",
    "cgroup",
    "mqueue",
    "devpts",
    "overlay",
    "nosuch",
    "user",
    "pid",
    "network",
    "mount",
    "time",
    "ro",
    "rbind",
    "rshared",
    "rro",
    "tmpcopyup",
    "idmap",
    "mode=9999999999",
    "size=-1",
    "private",
    "create",
    "auto",
    "spec",
    "default",
    "none",
    "CAP_SYS_ADMIN",
    "CAP_NOPE",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_NOTIFY",
    "SCMP_CMP_GE",
    "SCMP_ARCH_S390X",
    "RLIMIT_NPROC",
    "RLIMIT_STACK",
    "SCHED_FIFO",
    "SCHED_DEADLINE",
    "IOPRIO_CLASS_RT",
    "net.ipv4.conf/all.forwarding",
    "kernel.hostname",
    "boottime",
    "2.0.0",
    "1",
];

const NUMBERS: &[i128] = &[
    -1,
    0,
    1,
    2,
    5,
    7,
    63,
    64,
    100,
    1000,
    65_535,
    65_536,
    i32::MAX as i128,
    u32::MAX as i128,
    u32::MAX as i128 + 1,
    i64::MIN as i128,
    i64::MAX as i128,
    u64::MAX as i128,
];

fn number(random: &mut Random) -> Value {
    let number = *random.pick(NUMBERS);
    u64::try_from(number).map_or_else(|_| json!(number as i64), |number| json!(number))
}

fn word(random: &mut Random) -> Value {
    match random.below(40) {
        0 => json!("x".repeat(5000)),
        1 => json!("/d".repeat(3000)),
        _ => json!(random.pick(WORDS)),
    }
}

/// Everything in a document, by JSON pointer.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointers(item, &format!("{at}/{index}"), found);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                pointers(field, &format!("{at}/{name}"), found);
            }
        }
        _ => {}
    }
}

/// Changes one thing of a document, unless `fixed` says of its pointer that it stays.
fn change(random: &mut Random, document: &mut Value, fixed: &dyn Fn(&str) -> bool) {
    if random.below(3) == 0 {
        let sections = sections();
        let (at, name, section) = random.pick(&sections).clone();
        if let Some(Value::Object(fields)) = document.pointer_mut(at) {
            fields.insert(name.to_owned(), section);
        }
        return;
    }
    let mut all = Vec::new();
    pointers(document, "", &mut all);
    let at = random.pick(&all).clone();
    if at.is_empty() || fixed(&at) {
        return;
    }
    let (above, name) = at.rsplit_once('/').expect("a pointer begins with a slash");
    match random.below(8) {
        0 => match document.pointer_mut(above) {
            Some(Value::Object(fields)) => {
                fields.remove(name);
            }
            Some(Value::Array(items)) => {
                let last = items.len().saturating_sub(1);
                items.remove(name.parse::<usize>().unwrap_or(0).min(last));
            }
            _ => {}
        },
        1 => {
            if let Some(Value::Array(items)) = document.pointer_mut(above) {
                let again = random.pick(items).clone();
                items.push(again);
            }
        }
        _ => {
            let Some(value) = document.pointer_mut(&at) else { return };
            *value = match (&*value, random.below(12)) {
                (_, 0) => number(random),
                (_, 1) => word(random),
                (_, 2) => Value::Null,
                (Value::Number(_), _) => number(random),
                (Value::String(_), _) => word(random),
                (Value::Bool(is), _) => json!(!is),
                (Value::Array(items), _) => {
                    let mut items = items.clone();
                    items.reverse();
                    items.push(word(random));
                    Value::Array(items)
                }
                (other, _) => other.clone(),
            };
        }
    }
}

/// A container like the library's, of a program that ends at once.
fn good(rootfs: &Path) -> Value {
    json!({
        "id": "random", "idMapping": "auto", "mountPoints": "private", "seccomp": "default",
        "timeoutMs": 5000, "stdio": [null, null, null],
        "spec": {
            "ociVersion": "1.3.0", "hostname": "random",
            "root": { "path": rootfs, "readonly": false },
            "process": {
                "cwd": "/", "args": ["/bin/probe", "end-with", "7"], "env": ["PATH=/bin", "HOME=/"],
                "noNewPrivileges": true,
                "capabilities": { "bounding": ["CAP_KILL", "CAP_CHOWN"], "effective": ["CAP_KILL"],
                    "permitted": ["CAP_KILL"], "inheritable": [], "ambient": [] },
            },
            "mounts": [
                { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid"] },
                { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755", "size=64k"] },
                { "destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "gid=5", "ptmxmode=0666"] },
                { "destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "nodev"] },
                { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"] },
                { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"] },
                { "destination": "/given", "type": "bind", "source": rootfs, "options": ["rbind", "ro"] },
            ],
            "linux": {
                "namespaces": [{ "type": "user" }, { "type": "pid" }, { "type": "mount" },
                    { "type": "uts" }, { "type": "ipc" }, { "type": "network" }, { "type": "cgroup" }],
                "maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"],
            },
        },
    })
}

fn random_request(
    random: &mut Random,
    rootfs: &Path,
    most: usize,
    fixed: &dyn Fn(&str) -> bool,
) -> Value {
    let mut document = good(rootfs);
    for _ in 0..=random.below(most) {
        change(random, &mut document, fixed);
    }
    document
}

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
