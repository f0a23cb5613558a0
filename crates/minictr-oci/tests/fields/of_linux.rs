//! What is in `config-linux.md`, without limits.

use serde_json::{Value, json};

use super::Proof::{In, Prints, Refused, Waits};
use super::{ANY, Field, NETWORK, RANDOM_PROFILES, RESCTRL, ROOT, SECCOMP, linux, mapped};

fn filter(rule: Value) -> Value {
    linux(json!({ "seccomp": { "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] } }))
}

const STAT: &str = "busybox stat -c '%F %t %T %a %u %g' /dev/mine";
const DEVICE: &str = "character special file 1 7 600 7 8";

fn device() -> Value {
    linux(json!({ "devices": [{ "type": "c", "path": "/dev/mine", "major": 1, "minor": 7,
        "fileMode": 0o600, "uid": 7, "gid": 8 }] }))
}

pub(crate) fn of_linux() -> Vec<Field> {
    let map = |name| match name {
        "uid" => Prints(mapped(), "cat /proc/self/uid_map", " 0 100000 1000"),
        _ => Prints(mapped(), "cat /proc/self/gid_map", " 0 100000 1000"),
    };
    let offset = || {
        linux(json!({ "namespaces+": [{ "type": "time" }],
            "timeOffsets": { "boottime": { "secs": 100_000, "nanosecs": 5 } } }))
    };
    let policy = |policy: Value| linux(json!({ "memoryPolicy": policy }));
    vec![
        ("linux.uidMappings[].containerID", ROOT, map("uid")),
        ("linux.uidMappings[].hostID", ROOT, map("uid")),
        ("linux.uidMappings[].size", ROOT, map("uid")),
        ("linux.gidMappings[].containerID", ROOT, map("gid")),
        ("linux.gidMappings[].hostID", ROOT, map("gid")),
        ("linux.gidMappings[].size", ROOT, map("gid")),
        (
            "linux.sysctl.{}",
            ANY,
            Prints(
                linux(json!({ "sysctl": { "kernel.msgmax": "4242" } })),
                "cat /proc/sys/kernel/msgmax",
                "4242",
            ),
        ),
        (
            "linux.cgroupsPath",
            ROOT,
            Waits(
                linux(json!({ "cgroupsPath": "minictr-fields-own" })),
                "cgroup",
                "minictr-fields-own",
            ),
        ),
        (
            "linux.namespaces[].type",
            ANY,
            Refused(linux(json!({ "namespaces+": [{ "type": "x" }] })), "namespaces"),
        ),
        (
            "linux.namespaces[].path",
            ANY,
            Refused(
                linux(
                    json!({ "namespaces": [{ "type": "mount" }, { "type": "ipc", "path": "x" }] }),
                ),
                "`x`: it isn't absolute",
            ),
        ),
        ("linux.devices[].type", ROOT, Prints(device(), STAT, DEVICE)),
        ("linux.devices[].path", ROOT, Prints(device(), STAT, DEVICE)),
        ("linux.devices[].major", ROOT, Prints(device(), STAT, DEVICE)),
        ("linux.devices[].minor", ROOT, Prints(device(), STAT, DEVICE)),
        ("linux.devices[].fileMode", ROOT, Prints(device(), STAT, DEVICE)),
        ("linux.devices[].uid", ROOT, Prints(device(), STAT, DEVICE)),
        ("linux.devices[].gid", ROOT, Prints(device(), STAT, DEVICE)),
        ("linux.netDevices.{}.name", ANY, In(NETWORK, "a_device_moves_with_its_addresses")),
        (
            "linux.seccomp.defaultAction",
            ANY,
            Refused(linux(json!({ "seccomp": { "defaultAction": "X" } })), "unknown action `X`"),
        ),
        (
            "linux.seccomp.defaultErrnoRet",
            ANY,
            Refused(
                linux(
                    json!({ "seccomp": { "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4096 } }),
                ),
                "errnoRet 4096",
            ),
        ),
        (
            "linux.seccomp.architectures",
            ANY,
            Refused(
                linux(
                    json!({ "seccomp": { "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_Z80"] } }),
                ),
                "`SCMP_ARCH_Z80`",
            ),
        ),
        ("linux.seccomp.flags", ANY, In(SECCOMP, "unknown flag `SECCOMP_FILTER_FLAG_NEW`")),
        (
            "linux.seccomp.listenerPath",
            ANY,
            In(SECCOMP, "a_listener_gets_the_state_of_the_container"),
        ),
        (
            "linux.seccomp.listenerMetadata",
            ANY,
            In(SECCOMP, "a_listener_gets_the_state_of_the_container"),
        ),
        (
            "linux.seccomp.syscalls[].names",
            ANY,
            Prints(
                filter(json!({ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO" })),
                "busybox mkdir /tmp/x 2>&1",
                "Operation not permitted",
            ),
        ),
        (
            "linux.seccomp.syscalls[].action",
            ANY,
            Refused(filter(json!({ "names": ["mkdir"], "action": "X" })), "unknown action `X`"),
        ),
        (
            "linux.seccomp.syscalls[].errnoRet",
            ANY,
            Prints(
                filter(
                    json!({ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 16 }),
                ),
                "busybox mkdir /tmp/x 2>&1",
                "busy",
            ),
        ),
        (
            "linux.seccomp.syscalls[].args[].index",
            ANY,
            In(RANDOM_PROFILES, "random_profiles_answer_as_libseccomp_has_them"),
        ),
        (
            "linux.seccomp.syscalls[].args[].value",
            ANY,
            In(RANDOM_PROFILES, "random_profiles_answer_as_libseccomp_has_them"),
        ),
        (
            "linux.seccomp.syscalls[].args[].valueTwo",
            ANY,
            In(RANDOM_PROFILES, "random_profiles_answer_as_libseccomp_has_them"),
        ),
        (
            "linux.seccomp.syscalls[].args[].op",
            ANY,
            In(RANDOM_PROFILES, "random_profiles_answer_as_libseccomp_has_them"),
        ),
        (
            "linux.rootfsPropagation",
            ANY,
            Prints(
                linux(json!({ "rootfsPropagation": "shared" })),
                "grep ' / / ' /proc/self/mountinfo || grep ' / ' /proc/self/mountinfo",
                "shared:",
            ),
        ),
        (
            "linux.maskedPaths",
            ANY,
            Prints(
                linux(json!({ "maskedPaths": ["/proc/version"] })),
                "busybox wc -c < /proc/version",
                "0",
            ),
        ),
        (
            "linux.readonlyPaths",
            ANY,
            Prints(
                linux(json!({ "readonlyPaths": ["/dev/shm"] })),
                "echo > /dev/shm/x || echo refused",
                "refused",
            ),
        ),
        (
            "linux.mountLabel",
            ANY,
            Refused(linux(json!({ "mountLabel": "no:such:label" })), "mount"),
        ),
        (
            "linux.intelRdt.closID",
            ANY,
            Refused(linux(json!({ "intelRdt": { "closID": "a/b" } })), "linux.intelRdt"),
        ),
        ("linux.intelRdt.schemata", ANY, In(RESCTRL, "the_lines_are_combined_as_the_spec_says")),
        (
            "linux.intelRdt.l3CacheSchema",
            ANY,
            In(RESCTRL, "the_lines_are_combined_as_the_spec_says"),
        ),
        ("linux.intelRdt.memBwSchema", ANY, In(RESCTRL, "the_lines_are_combined_as_the_spec_says")),
        (
            "linux.intelRdt.enableMonitoring",
            ANY,
            In(RESCTRL, "a_class_without_a_name_is_the_containers_own"),
        ),
        ("linux.memoryPolicy.mode", ANY, Refused(policy(json!({ "mode": "X" })), "mode `X`")),
        (
            "linux.memoryPolicy.nodes",
            ANY,
            Refused(
                policy(json!({ "mode": "MPOL_BIND", "nodes": "x" })),
                "linux.memoryPolicy.nodes `x`",
            ),
        ),
        (
            "linux.memoryPolicy.flags",
            ANY,
            Refused(policy(json!({ "mode": "MPOL_LOCAL", "flags": ["X"] })), "flag `X`"),
        ),
        (
            "linux.personality.domain",
            ANY,
            Prints(
                linux(json!({ "personality": { "domain": "LINUX32" } })),
                "case $(busybox uname -m) in i?86|armv*) echo 32;; esac",
                "32",
            ),
        ),
        (
            "linux.personality.flags",
            ANY,
            Refused(
                linux(json!({ "personality": { "domain": "LINUX", "flags": ["X"] } })),
                "personality flag `X`",
            ),
        ),
        (
            "linux.timeOffsets.{}.secs",
            ANY,
            Prints(offset(), "busybox awk '$1 > 100000 { print \"later\" }' /proc/uptime", "later"),
        ),
        (
            "linux.timeOffsets.{}.nanosecs",
            ANY,
            Prints(offset(), "cat /proc/self/timens_offsets", "boottime 100000 5"),
        ),
    ]
}
