//! What is in `config.md`.

use serde_json::{Value, json};

use super::Proof::{In, Prints, Refused, Waits};
use super::{ANY, Field, HOOKS, PROCESS, ROOT, mapped, process};

/// `mounts+` adds to the bundle's own.
fn mount(mount: Value) -> Value {
    json!({ "mounts+": [mount] })
}

fn tmpfs() -> Value {
    mount(
        json!({ "destination": "/tmp", "type": "tmpfs", "source": "named", "options": ["size=64k"] }),
    )
}

fn hook(hook: Value) -> Value {
    json!({ "hooks": { "startContainer": [hook] } })
}

fn capabilities(set: &str) -> Value {
    let mut sets = json!({ "bounding": ["CAP_KILL"], "permitted": ["CAP_KILL"],
        "effective": ["CAP_KILL"], "inheritable": ["CAP_KILL"], "ambient": [] });
    sets[set] = json!(["CAP_KILL"]);
    process(json!({ "capabilities": sets }))
}

const UNTIMELY: &str = "set scheduler `SCHED_DEADLINE`";

fn deadline(runtime: u64, deadline: u64, period: u64) -> Value {
    process(json!({ "scheduler": { "policy": "SCHED_DEADLINE", "runtime": runtime,
        "deadline": deadline, "period": period } }))
}

/// What is root's of the host is root's of the container, who is another.
fn idmapped(format: &'static str) -> super::Proof {
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 1000 }]);
    let mut change = mapped();
    change["mounts+"] = json!([{ "destination": "/tmp", "type": "bind", "source": "rootfs/bin",
        "options": ["bind"], "uidMappings": map, "gidMappings": map }]);
    let command = match format {
        "uid" => "busybox stat -c 'is %u' /tmp/busybox",
        _ => "busybox stat -c 'is %g' /tmp/busybox",
    };
    Prints(change, command, "is 0")
}

pub(crate) fn general() -> Vec<Field> {
    let set = |set| capabilities(set);
    vec![
        ("ociVersion", ANY, Refused(json!({ "ociVersion": "2.0.0" }), "`2.0.0`")),
        ("hostname", ANY, Prints(json!({ "hostname": "here" }), "busybox hostname", "here")),
        (
            "domainname",
            ANY,
            Prints(json!({ "domainname": "there" }), "cat /proc/sys/kernel/domainname", "there"),
        ),
        (
            "annotations.{}",
            ANY,
            In("minictr-oci/tests/annotations.rs", "annotations_of_others_are_passed_over"),
        ),
        ("solaris", ANY, Refused(json!({ "solaris": {} }), "`solaris` of the spec")),
        ("windows", ANY, Refused(json!({ "windows": {} }), "`windows` of the spec")),
        ("vm", ANY, Refused(json!({ "vm": {} }), "`vm` of the spec")),
        ("zos", ANY, Refused(json!({ "zos": {} }), "`zos` of the spec")),
        ("freebsd", ANY, Refused(json!({ "freebsd": {} }), "`freebsd` of the spec")),
        ("root.path", ANY, Refused(json!({ "root": { "path": "absent" } }), "`absent`")),
        (
            "root.readonly",
            ANY,
            Prints(json!({ "root": { "readonly": false } }), "echo > /etc/x && echo yes", "yes"),
        ),
        (
            "process.terminal",
            ANY,
            Refused(process(json!({ "terminal": true })), "no `--console-socket`"),
        ),
        (
            "process.consoleSize.height",
            ANY,
            Prints(
                process(json!({ "terminal": true, "consoleSize": { "height": 31, "width": 97 } })),
                "busybox stty size",
                "31 97",
            ),
        ),
        (
            "process.consoleSize.width",
            ANY,
            Prints(
                process(json!({ "terminal": true, "consoleSize": { "height": 25, "width": 132 } })),
                "busybox stty size",
                "25 132",
            ),
        ),
        ("process.cwd", ANY, Prints(process(json!({ "cwd": "/tmp" })), "pwd", "/tmp")),
        (
            "process.env",
            ANY,
            Prints(process(json!({ "env": ["A=b", "PATH=/bin"] })), "echo $A", "b"),
        ),
        ("process.args", ANY, Prints(process(json!({ "args": ["echo", "these"] })), "", "these")),
        (
            "process.commandLine",
            ANY,
            Refused(process(json!({ "commandLine": "x" })), "`process.commandLine` of the spec"),
        ),
        (
            "process.rlimits[].type",
            ANY,
            Refused(
                process(json!({ "rlimits": [{ "type": "RLIMIT_X", "soft": 1, "hard": 1 }] })),
                "`RLIMIT_X`",
            ),
        ),
        (
            "process.rlimits[].soft",
            ANY,
            Prints(
                process(
                    json!({ "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": 77, "hard": 99 }] }),
                ),
                "ulimit -Sn",
                "77",
            ),
        ),
        (
            "process.rlimits[].hard",
            ANY,
            Prints(
                process(
                    json!({ "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": 77, "hard": 99 }] }),
                ),
                "ulimit -Hn",
                "99",
            ),
        ),
        // Whether the kernel runs it or not: there is no such profile.
        (
            "process.apparmorProfile",
            ANY,
            Refused(process(json!({ "apparmorProfile": "minictr-absent" })), "AppArmor"),
        ),
        (
            "process.selinuxLabel",
            ANY,
            Refused(process(json!({ "selinuxLabel": "no:such:label" })), "SELinux"),
        ),
        ("process.capabilities.bounding", ANY, Waits(set("bounding"), "status", "CapBnd: KILL")),
        ("process.capabilities.permitted", ANY, Waits(set("permitted"), "status", "CapPrm: KILL")),
        ("process.capabilities.effective", ANY, Waits(set("effective"), "status", "CapEff: KILL")),
        (
            "process.capabilities.inheritable",
            ANY,
            Waits(set("inheritable"), "status", "CapInh: KILL"),
        ),
        ("process.capabilities.ambient", ANY, Waits(set("ambient"), "status", "CapAmb: KILL")),
        (
            "process.noNewPrivileges",
            ANY,
            Waits(process(json!({ "noNewPrivileges": false })), "status", "NoNewPrivs: 0"),
        ),
        (
            "process.oomScoreAdj",
            ANY,
            Prints(process(json!({ "oomScoreAdj": 777 })), "cat /proc/self/oom_score_adj", "777"),
        ),
        (
            "process.scheduler.policy",
            ANY,
            Prints(
                process(json!({ "scheduler": { "policy": "SCHED_BATCH", "nice": 7 } })),
                "busybox awk '{print $41, $19}' /proc/self/stat",
                "3 7",
            ),
        ),
        (
            "process.scheduler.nice",
            ANY,
            Prints(
                process(json!({ "scheduler": { "policy": "SCHED_OTHER", "nice": 9 } })),
                "busybox awk '{print $41, $19}' /proc/self/stat",
                "0 9",
            ),
        ),
        (
            "process.scheduler.priority",
            ANY,
            Refused(
                process(json!({ "scheduler": { "policy": "SCHED_OTHER", "priority": 5 } })),
                "set scheduler `SCHED_OTHER`",
            ),
        ),
        (
            "process.scheduler.flags",
            ANY,
            Refused(
                process(
                    json!({ "scheduler": { "policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_X"] } }),
                ),
                "scheduler flag `SCHED_FLAG_X`",
            ),
        ),
        // Each breaks the order of the three.
        (
            "process.scheduler.runtime",
            ANY,
            Refused(deadline(40_000_000, 20_000_000, 30_000_000), UNTIMELY),
        ),
        (
            "process.scheduler.deadline",
            ANY,
            Refused(deadline(10_000_000, 40_000_000, 30_000_000), UNTIMELY),
        ),
        (
            "process.scheduler.period",
            ANY,
            Refused(deadline(10_000_000, 20_000_000, 15_000_000), UNTIMELY),
        ),
        (
            "process.ioPriority.class",
            ANY,
            Prints(
                process(json!({ "ioPriority": { "class": "IOPRIO_CLASS_IDLE", "priority": 0 } })),
                "busybox ionice",
                "idle",
            ),
        ),
        (
            "process.ioPriority.priority",
            ANY,
            Prints(
                process(json!({ "ioPriority": { "class": "IOPRIO_CLASS_BE", "priority": 6 } })),
                "busybox ionice",
                "best-effort: prio 6",
            ),
        ),
        (
            "process.execCPUAffinity.initial",
            ANY,
            In(PROCESS, "a_process_that_joins_runs_on_its_own_cpus"),
        ),
        (
            "process.execCPUAffinity.final",
            ANY,
            In(PROCESS, "a_process_that_joins_runs_on_its_own_cpus"),
        ),
        (
            "process.user.uid",
            ROOT,
            Prints(process(json!({ "user": { "uid": 5, "gid": 6 } })), "id -u", "5"),
        ),
        (
            "process.user.gid",
            ROOT,
            Prints(process(json!({ "user": { "uid": 5, "gid": 6 } })), "id -g", "6"),
        ),
        (
            "process.user.umask",
            ANY,
            Prints(process(json!({ "user": { "umask": 0o77 } })), "umask", "0077"),
        ),
        (
            "process.user.additionalGids",
            ROOT,
            Prints(process(json!({ "user": { "additionalGids": [4243] } })), "id -G", "4243"),
        ),
        (
            "process.user.username",
            ANY,
            Refused(
                process(json!({ "user": { "username": "x" } })),
                "`process.user.username` of the spec",
            ),
        ),
        ("mounts[].destination", ANY, Prints(tmpfs(), "cat /proc/self/mountinfo", " / /tmp ")),
        ("mounts[].type", ANY, Prints(tmpfs(), "cat /proc/self/mountinfo", "- tmpfs named ")),
        ("mounts[].source", ANY, Prints(tmpfs(), "cat /proc/self/mountinfo", "- tmpfs named ")),
        ("mounts[].options", ANY, Prints(tmpfs(), "cat /proc/self/mountinfo", "size=64k")),
        ("mounts[].uidMappings[].containerID", ROOT, idmapped("uid")),
        ("mounts[].uidMappings[].hostID", ROOT, idmapped("uid")),
        ("mounts[].uidMappings[].size", ROOT, idmapped("uid")),
        ("mounts[].gidMappings[].containerID", ROOT, idmapped("gid")),
        ("mounts[].gidMappings[].hostID", ROOT, idmapped("gid")),
        ("mounts[].gidMappings[].size", ROOT, idmapped("gid")),
        ("hooks.prestart[].path", ANY, In(HOOKS, "all_hooks_run_in_their_order")),
        ("hooks.createRuntime[].path", ANY, In(HOOKS, "all_hooks_run_in_their_order")),
        ("hooks.createContainer[].path", ANY, In(HOOKS, "all_hooks_run_in_their_order")),
        ("hooks.poststart[].path", ANY, In(HOOKS, "all_hooks_run_in_their_order")),
        ("hooks.poststop[].path", ANY, In(HOOKS, "all_hooks_run_in_their_order")),
        (
            "hooks.startContainer[].path",
            ANY,
            Refused(hook(json!({ "path": "x" })), "`x`: its path isn't absolute"),
        ),
        (
            "hooks.startContainer[].args",
            ANY,
            Prints(
                hook(
                    json!({ "path": "/bin/sh", "args": ["sh", "-c", "echo $0 > /dev/shm/x", "hooked"] }),
                ),
                "cat /dev/shm/x",
                "hooked",
            ),
        ),
        (
            "hooks.startContainer[].env",
            ANY,
            Prints(
                hook(
                    json!({ "path": "/bin/sh", "args": ["sh", "-c", "echo $A > /dev/shm/x"], "env": ["A=given"] }),
                ),
                "cat /dev/shm/x",
                "given",
            ),
        ),
        (
            "hooks.startContainer[].timeout",
            ANY,
            Refused(hook(json!({ "path": "/bin/sh", "timeout": -1 })), "its timeout isn't over 0"),
        ),
    ]
}
