//! Random requests: a good document with a few of its values changed.

use std::path::Path;

use serde_json::{Value, json};

/// A sequence of choices, the same for the same seed (xorshift).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn seeded() -> (Self, u64) {
        let seed = std::env::var("MINICTR_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.expect("it is after 1970").as_nanos() as u64
        });
        (Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1), seed)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    pub(super) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
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
pub(super) fn good(rootfs: &Path) -> Value {
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

pub(super) fn random_request(
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
