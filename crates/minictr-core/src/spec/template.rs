//! The config that `spec` writes: the start of a bundle, with what runc's has.

use serde_json::{Value, json};

use super::OCI_VERSION;

const CAPABILITIES: [&str; 3] = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

/// A config for a shell in `rootfs`; with `ids` for that user and group alone, who become root of a
/// user namespace.
///
/// No set is inheritable (CVE-2022-29162).
#[must_use]
pub fn template(ids: Option<(u32, u32)>) -> Value {
    let options = |words: &[&str]| json!(words);
    let mut mounts = vec![
        json!({ "destination": "/proc", "type": "proc", "source": "proc" }),
        json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
            "options": options(&["nosuid", "strictatime", "mode=755", "size=65536k"]) }),
        json!({ "destination": "/dev/pts", "type": "devpts", "source": "devpts",
            "options": options(&["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]) }),
        json!({ "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
            "options": options(&["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]) }),
        json!({ "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue",
            "options": options(&["nosuid", "noexec", "nodev"]) }),
    ];
    let mut namespaces = vec!["pid", "network", "ipc", "uts", "mount", "cgroup"];
    let mut linux = json!({
        "maskedPaths": ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
            "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi"],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    });
    match ids {
        None => {
            mounts.push(json!({ "destination": "/sys", "type": "sysfs", "source": "sysfs",
                "options": options(&["nosuid", "noexec", "nodev", "ro"]) }));
            mounts.push(
                json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                "options": options(&["nosuid", "noexec", "nodev", "relatime", "ro"]) }),
            );
            linux["resources"] = json!({ "devices": [{ "allow": false, "access": "rwm" }] });
        }
        Some((uid, gid)) => {
            // Without the group 5, which isn't mapped.
            mounts[2]["options"] =
                options(&["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]);
            mounts.push(json!({ "destination": "/sys", "type": "bind", "source": "/sys",
                "options": options(&["rbind", "nosuid", "noexec", "nodev", "rro"]) }));
            // The caller's own network: nobody would set up another one.
            namespaces.retain(|name| *name != "network");
            namespaces.push("user");
            linux["uidMappings"] = json!([{ "containerID": 0, "hostID": uid, "size": 1 }]);
            linux["gidMappings"] = json!([{ "containerID": 0, "hostID": gid, "size": 1 }]);
        }
    }
    linux["namespaces"] = namespaces.iter().map(|name| json!({ "type": name })).collect();
    json!({
        "ociVersion": OCI_VERSION,
        "process": {
            "terminal": true,
            "user": { "uid": 0, "gid": 0 },
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": {
                "bounding": CAPABILITIES, "effective": CAPABILITIES, "permitted": CAPABILITIES,
            },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024 }],
            "noNewPrivileges": true,
        },
        "root": { "path": "rootfs", "readonly": true },
        "hostname": "container",
        "mounts": mounts,
        "linux": linux,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_config() {
        for ids in [None, Some((1000, 1000))] {
            super::super::parse(template(ids).to_string().as_bytes()).unwrap();
        }
    }
}
