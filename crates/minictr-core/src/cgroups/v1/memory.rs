//! `memory.*` of v1, `Documentation/admin-guide/cgroup-v1/memory.rst`.

use std::os::fd::BorrowedFd;

use super::super::files::{keyed, number, set};
use crate::cgroups::{Stats, Usage};
use crate::error::Result;
use crate::spec::MemoryLimits;

/// A limit above this is none: what the kernel shows for "unlimited", rounded to pages.
const UNLIMITED_FROM: u64 = 1 << 62;

/// Writes the limits. Memory may never be over memory plus swap, so which comes first depends on
/// whether the limit grows or shrinks.
pub(in crate::cgroups) fn apply(directory: BorrowedFd<'_>, limits: &MemoryLimits) -> Result<()> {
    let limit = |value| set(directory, "memory.limit_in_bytes", value);
    let with_swap = |value| set(directory, "memory.memsw.limit_in_bytes", value);
    match (limits.limit, limits.swap) {
        (Some(memory), Some(swap)) => {
            let now = number(directory, "memory.memsw.limit_in_bytes").unwrap_or(u64::MAX);
            let grows = swap == -1 || u64::try_from(swap).is_ok_and(|swap| swap > now);
            if grows {
                with_swap(swap)?;
                limit(memory)?;
            } else {
                limit(memory)?;
                with_swap(swap)?;
            }
        }
        (Some(memory), None) => limit(memory)?,
        (None, Some(swap)) => with_swap(swap)?,
        (None, None) => {}
    }
    if let Some(value) = limits.reservation {
        set(directory, "memory.soft_limit_in_bytes", value)?;
    }
    if let Some(value) = limits.kernel_tcp {
        set(directory, "memory.kmem.tcp.limit_in_bytes", value)?;
    }
    if let Some(value) = limits.swappiness {
        set(directory, "memory.swappiness", value)?;
    }
    if limits.disable_oom_killer == Some(true) {
        set(directory, "memory.oom_control", 1)?;
    }
    Ok(())
}

pub(in crate::cgroups) fn stats(directory: BorrowedFd<'_>, stats: &mut Stats) {
    stats.memory_bytes = number(directory, "memory.usage_in_bytes");
    stats.memory_peak_bytes = number(directory, "memory.max_usage_in_bytes");
    stats.memory_limit_bytes =
        number(directory, "memory.limit_in_bytes").filter(|limit| *limit < UNLIMITED_FROM);
    stats.oom_kills = oom_kills(directory);
}

/// Processes that were killed for want of memory; Linux 4.13.
pub(in crate::cgroups) fn oom_kills(directory: BorrowedFd<'_>) -> Option<u64> {
    keyed(directory, "memory.oom_control", "oom_kill")
}

pub(in crate::cgroups) fn usage(directory: BorrowedFd<'_>, usage: &mut Usage) {
    usage.peak_memory_bytes = number(directory, "memory.max_usage_in_bytes");
    usage.oom_kills = oom_kills(directory).unwrap_or(0);
}
