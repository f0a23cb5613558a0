//! `cpu.*` and `cpuset.*` of v2.

use std::os::fd::BorrowedFd;

use super::super::files::{read, set, value_of};
use crate::cgroups::{Stats, Usage};
use crate::error::Result;
use crate::spec::CpuLimits;

/// Period where the limits name none, microseconds: the kernel's own.
const DEFAULT_PERIOD_US: u64 = 100_000;

/// v1's shares (2 to 262144, default 1024) as v2's weight (1 to 10000, default 100), so that both
/// ends and both defaults meet: the quadratic fit in logarithms that runc and crun use since 2025.
pub(in crate::cgroups) fn weight(shares: u64) -> u64 {
    if shares == 0 {
        return 0;
    }
    if shares <= 2 {
        return 1;
    }
    if shares >= 262_144 {
        return 10_000;
    }
    let log = (shares as f64).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    10f64.powf(exponent).ceil() as u64
}

/// Writes weight, quota and lists.
pub(in crate::cgroups) fn apply(directory: BorrowedFd<'_>, limits: &CpuLimits) -> Result<()> {
    if let Some(idle) = limits.idle {
        set(directory, "cpu.idle", idle)?;
    }
    if let Some(shares) = limits.shares.filter(|shares| *shares > 0) {
        set(directory, "cpu.weight", weight(shares))?;
    }
    if limits.quota.is_some() || limits.period.is_some() {
        let quota = match limits.quota {
            Some(quota) if quota > 0 => quota.to_string(),
            _ => "max".to_owned(),
        };
        let period = limits.period.unwrap_or(DEFAULT_PERIOD_US);
        set(directory, "cpu.max", format!("{quota} {period}"))?;
    }
    if let Some(burst) = limits.burst {
        set(directory, "cpu.max.burst", burst)?;
    }
    if let Some(cpus) = &limits.cpus {
        set(directory, "cpuset.cpus", cpus)?;
    }
    if let Some(mems) = &limits.mems {
        set(directory, "cpuset.mems", mems)?;
    }
    Ok(())
}

/// CPU time of everything that was ever in the cgroup, microseconds; there without the controller.
pub(in crate::cgroups) fn usage_us(directory: BorrowedFd<'_>) -> Option<u64> {
    value_of(&read(directory, "cpu.stat").ok()?, "usage_usec")
}

pub(in crate::cgroups) fn stats(directory: BorrowedFd<'_>, stats: &mut Stats) {
    let Ok(text) = read(directory, "cpu.stat") else { return };
    stats.cpu_usage_us = value_of(&text, "usage_usec");
    stats.cpu_user_us = value_of(&text, "user_usec");
    stats.cpu_system_us = value_of(&text, "system_usec");
}

pub(in crate::cgroups) fn usage(directory: BorrowedFd<'_>, usage: &mut Usage) {
    let Ok(text) = read(directory, "cpu.stat") else { return };
    usage.cpu_user_us = value_of(&text, "user_usec");
    usage.cpu_system_us = value_of(&text, "system_usec");
}

#[cfg(test)]
mod tests {
    use super::weight;

    #[test]
    fn ends_and_defaults_of_both_scales_meet() {
        assert_eq!(weight(2), 1);
        assert_eq!(weight(1024), 100);
        assert_eq!(weight(262_144), 10_000);
    }
}
