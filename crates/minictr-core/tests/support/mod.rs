//! A container for tests: busybox in a directory, the default spec, one supervisor.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use minictr_core::spawn::{Event, Exit, LaunchRequest, Supervisor};
use minictr_testkit::{Feature, missing};
use serde_json::{Value, json};

/// A word that no other test of this machine has.
pub fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A directory that is removed at the end of the test.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        // tests run as threads of one process
        let path = std::env::temp_dir().join(format!("minictr-test-{name}-{}", unique()));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A rootfs with Debian's static busybox, or `None` where that isn't installed.
pub fn busybox_rootfs(name: &str) -> Option<Scratch> {
    if missing(Feature::Busybox) {
        return None;
    }
    let rootfs = Scratch::new(name);
    for directory in ["bin", "proc", "sys", "dev", "etc", "tmp"] {
        std::fs::create_dir(rootfs.path().join(directory)).unwrap();
    }
    std::fs::copy("/bin/busybox", rootfs.path().join("bin/busybox")).unwrap();
    for applet in ["sh", "cat", "ls", "id", "sleep", "true", "hostname", "mount", "ps", "echo"] {
        std::os::unix::fs::symlink("busybox", rootfs.path().join("bin").join(applet)).unwrap();
    }
    Some(rootfs)
}

/// The default container of the library, as a request.
pub fn request(rootfs: &Path, args: &[&str]) -> Value {
    json!({
        "id": format!("minictr-test-{}", unique()),
        "idMapping": "auto",
        "mountPoints": "private",
        "seccomp": "default",
        "spec": {
            "ociVersion": "1.3.0",
            "root": { "path": rootfs },
            "hostname": "test",
            "process": {
                "cwd": "/",
                "args": args,
                "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root"],
                "noNewPrivileges": true,
                "capabilities": {
                    "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES,
                },
            },
            "mounts": [
                { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] },
                { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
                { "destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"] },
                { "destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
                { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"] },
                { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] },
                { "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "noexec", "nodev", "relatime", "ro"] },
            ],
            "linux": {
                "namespaces": [
                    { "type": "user" }, { "type": "pid" }, { "type": "mount" }, { "type": "uts" },
                    { "type": "ipc" }, { "type": "network" }, { "type": "cgroup" },
                ],
                "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi", "/sys/firmware"],
                "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            },
        },
    })
}

const CAPABILITIES: &[&str] = &[
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_SETFCAP",
];

/// What a finished container left: how it ended and what it wrote.
#[derive(Debug)]
pub struct Finished {
    pub exit: Exit,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a request to its end.
pub fn run(
    supervisor: &mut Supervisor,
    mut request: Value,
) -> Result<Finished, minictr_core::error::Error> {
    let output = Scratch::new("output");
    let open =
        |name: &str| -> OwnedFd { std::fs::File::create(output.path().join(name)).unwrap().into() };
    request["stdio"] = json!([null, 0, 1]);
    let request: LaunchRequest = serde_json::from_value(request).unwrap();
    supervisor.launch(1, request, vec![open("out"), open("err")]);
    let mut events = Vec::new();
    loop {
        supervisor.wait(&mut events).unwrap();
        for emitted in events.drain(..) {
            match emitted.event {
                Event::Exited { exit, .. } => {
                    let read = |name: &str| {
                        String::from_utf8_lossy(&std::fs::read(output.path().join(name)).unwrap())
                            .into_owned()
                    };
                    return Ok(Finished { exit, stdout: read("out"), stderr: read("err") });
                }
                Event::Failed { error, .. } => return Err(error),
                _ => {}
            }
        }
    }
}

/// Whether this user can have a cgroup with limits.
pub fn limited() -> bool {
    let hierarchies = minictr_core::cgroups::Hierarchies::detect().unwrap();
    let request: LaunchRequest = serde_json::from_value(json!({
        "id": format!("trial-{}", unique()), "spec": { "ociVersion": "1.3.0" },
        "cgroup": { "defaultPids": 10 },
    }))
    .unwrap();
    let spec = minictr_core::cgroups::CgroupSpec::of(&request, None, false);
    match hierarchies.create(&spec) {
        Ok(Some(cgroup)) => {
            cgroup.remove().unwrap();
            true
        }
        _ => false,
    }
}

/// Cgroups of that name, anywhere.
pub fn cgroups_of(name: &str) -> Vec<PathBuf> {
    fn look(directory: &Path, name: &str, depth: usize, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) && depth < 5 {
                if entry.file_name() == *name {
                    found.push(entry.path());
                }
                look(&entry.path(), name, depth + 1, found);
            }
        }
    }
    let mut found = Vec::new();
    look(Path::new("/sys/fs/cgroup"), name, 0, &mut found);
    found
}
