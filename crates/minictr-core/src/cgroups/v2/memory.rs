//! `memory.*` of v2, `Documentation/admin-guide/cgroup-v2.rst`.

use std::os::fd::BorrowedFd;

use super::super::files::{keyed, number, set};
use crate::cgroups::{Stats, Usage};
use crate::error::{Error, Result};
use crate::spec::MemoryLimits;

fn value(bytes: i64) -> String {
    if bytes < 0 { "max".to_owned() } else { bytes.to_string() }
}

/// Writes the limits. The spec's swap limit counts memory in; v2's doesn't.
pub(in crate::cgroups) fn apply(directory: BorrowedFd<'_>, limits: &MemoryLimits) -> Result<()> {
    if let Some(swap) = limits.swap {
        let alone = match (swap, limits.limit) {
            (swap, _) if swap < 0 => -1,
            (swap, Some(memory)) if memory >= 0 && swap >= memory => swap - memory,
            (swap, Some(memory)) if memory >= 0 => {
                return Err(Error::invalid(
                    "limit memory plus swap to",
                    format!("{swap}: less than memory's {memory}"),
                ));
            }
            (0, _) => 0,
            (swap, _) => {
                return Err(Error::invalid(
                    "limit memory plus swap to",
                    format!("{swap} without a limit on memory"),
                ));
            }
        };
        set(directory, "memory.swap.max", value(alone))?;
    }
    if let Some(limit) = limits.limit {
        set(directory, "memory.max", value(limit))?;
    }
    if let Some(reservation) = limits.reservation {
        set(directory, "memory.low", value(reservation))?;
    }
    Ok(())
}

pub(in crate::cgroups) fn stats(directory: BorrowedFd<'_>, stats: &mut Stats) {
    stats.memory_bytes = number(directory, "memory.current");
    stats.memory_peak_bytes = number(directory, "memory.peak");
    stats.memory_limit_bytes = number(directory, "memory.max");
    stats.oom_kills = oom_kills(directory);
}

pub(in crate::cgroups) fn oom_kills(directory: BorrowedFd<'_>) -> Option<u64> {
    keyed(directory, "memory.events", "oom_kill")
}

pub(in crate::cgroups) fn usage(directory: BorrowedFd<'_>, usage: &mut Usage) {
    usage.peak_memory_bytes = number(directory, "memory.peak");
    usage.oom_kills = oom_kills(directory).unwrap_or(0);
}
