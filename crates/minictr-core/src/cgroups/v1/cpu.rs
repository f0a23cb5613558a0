//! `cpu.*` and `cpuacct.*` of v1.

use std::os::fd::BorrowedFd;

use super::super::files::{number, set};
use crate::cgroups::{Stats, Usage};
use crate::error::Result;
use crate::spec::CpuLimits;

/// Writes shares, quota and what belongs to it. The period comes before the quota that it measures.
pub(in crate::cgroups) fn apply(directory: BorrowedFd<'_>, limits: &CpuLimits) -> Result<()> {
    if let Some(shares) = limits.shares {
        set(directory, "cpu.shares", shares)?;
    }
    if let Some(period) = limits.period {
        set(directory, "cpu.cfs_period_us", period)?;
    }
    if let Some(quota) = limits.quota {
        set(directory, "cpu.cfs_quota_us", quota)?;
    }
    if let Some(burst) = limits.burst {
        set(directory, "cpu.cfs_burst_us", burst)?;
    }
    if let Some(period) = limits.realtime_period {
        set(directory, "cpu.rt_period_us", period)?;
    }
    if let Some(runtime) = limits.realtime_runtime {
        set(directory, "cpu.rt_runtime_us", runtime)?;
    }
    if let Some(idle) = limits.idle {
        set(directory, "cpu.idle", idle)?;
    }
    Ok(())
}

/// CPU time of everything that was ever in the cgroup, microseconds.
pub(in crate::cgroups) fn usage_us(directory: BorrowedFd<'_>) -> Option<u64> {
    number(directory, "cpuacct.usage").map(nanoseconds)
}

fn nanoseconds(value: u64) -> u64 {
    value / 1000
}

pub(in crate::cgroups) fn stats(directory: BorrowedFd<'_>, stats: &mut Stats) {
    stats.cpu_usage_us = usage_us(directory);
    stats.cpu_user_us = number(directory, "cpuacct.usage_user").map(nanoseconds);
    stats.cpu_system_us = number(directory, "cpuacct.usage_sys").map(nanoseconds);
}

pub(in crate::cgroups) fn usage(directory: BorrowedFd<'_>, usage: &mut Usage) {
    usage.cpu_user_us = number(directory, "cpuacct.usage_user").map(nanoseconds);
    usage.cpu_system_us = number(directory, "cpuacct.usage_sys").map(nanoseconds);
}
