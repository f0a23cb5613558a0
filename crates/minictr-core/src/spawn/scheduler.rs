//! Scheduling attributes of the program: CPU and I/O.

use nix::errno::Errno;

use crate::error::{Error, Result};
use crate::rootfs::mounts::Fault;
use crate::spec::{IoPriority, Scheduler};
use crate::sys::security::{SchedulerAttributes, sched_setattr};

/// Ready for `sched_setattr(2)`.
pub(super) type Attributes = SchedulerAttributes;

/// Policies by name, `sched(7)`.
const POLICIES: &[(&str, u32)] = &[
    ("SCHED_OTHER", 0),
    ("SCHED_FIFO", 1),
    ("SCHED_RR", 2),
    ("SCHED_BATCH", 3),
    ("SCHED_ISO", 4),
    ("SCHED_IDLE", 5),
    ("SCHED_DEADLINE", 6),
];

/// Flags by name, `sched_setattr(2)`.
const FLAGS: &[(&str, u64)] = &[
    ("SCHED_FLAG_RESET_ON_FORK", 0x01),
    ("SCHED_FLAG_RECLAIM", 0x02),
    ("SCHED_FLAG_DL_OVERRUN", 0x04),
    ("SCHED_FLAG_KEEP_POLICY", 0x08),
    ("SCHED_FLAG_KEEP_PARAMS", 0x10),
    ("SCHED_FLAG_UTIL_CLAMP_MIN", 0x20),
    ("SCHED_FLAG_UTIL_CLAMP_MAX", 0x40),
];

fn known<T: Copy>(table: &[(&str, T)], name: &str, what: &str) -> Result<T> {
    table.iter().find(|(known, _)| *known == name).map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = table.iter().map(|(name, _)| *name).collect();
        Error::invalid("use", format!("{what} `{name}`"))
            .hint(format!("it is one of {}", names.join(", ")))
    })
}

/// `process.scheduler`.
pub(super) fn compile(scheduler: &Scheduler) -> Result<Attributes> {
    let mut flags = 0;
    for flag in &scheduler.flags {
        flags |= known(FLAGS, flag, "scheduler flag")?;
    }
    Ok(Attributes {
        policy: known(POLICIES, &scheduler.policy, "scheduler policy")?,
        flags,
        nice: scheduler.nice.unwrap_or(0),
        priority: scheduler.priority.unwrap_or(0).unsigned_abs(),
        runtime_ns: scheduler.runtime.unwrap_or(0),
        deadline_ns: scheduler.deadline.unwrap_or(0),
        period_ns: scheduler.period.unwrap_or(0),
    })
}

/// Child: applies them to itself.
pub(super) fn apply(attributes: &Attributes) -> Result<(), Fault> {
    let result: Result<(), Errno> = sched_setattr(attributes);
    Ok(result?)
}

/// `process.ioPriority`, as class and level.
pub(super) fn io_priority(priority: &IoPriority) -> Result<(u32, u32)> {
    const CLASSES: &[(&str, u32)] =
        &[("IOPRIO_CLASS_RT", 1), ("IOPRIO_CLASS_BE", 2), ("IOPRIO_CLASS_IDLE", 3)];
    let class = known(CLASSES, &priority.class, "I/O priority class")?;
    match u32::try_from(priority.priority) {
        Ok(level) if level < 8 => Ok((class, level)),
        _ => Err(Error::invalid("use", format!("I/O priority {}", priority.priority))
            .hint("it is 0 (highest) to 7")),
    }
}
