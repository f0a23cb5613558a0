//! `cpu.*` and `cpuset.*` of v2.

use std::os::fd::BorrowedFd;

use super::super::changes::Changes;
use super::super::files::{read, value_of};
use super::super::not_on_v2;
use super::super::stats::CpuStats;
use crate::error::Result;
use crate::spec::CpuLimits;

/// Period where the limits name none, microseconds: the kernel's own.
const DEFAULT_PERIOD_US: u64 = 100_000;

/// v1's shares (2 to 262144, default 1024) as v2's weight (1 to 10000, default 100), so that both
/// ends and both defaults meet: the quadratic fit in logarithms that runc and crun use since 2025.
pub(in crate::cgroups) fn weight(shares: u64) -> u64 {
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

/// Weight, quota and what belongs to it. Shares, quota and period of 0 are none; of quota and period
/// the one that isn't named stays as it is.
///
/// # Errors
/// `InvalidArgument` for real-time limits, which v2 hasn't.
pub(in crate::cgroups) fn changes(
    now: BorrowedFd<'_>,
    limits: &CpuLimits,
    changes: &mut Changes,
) -> Result<()> {
    if limits.realtime_runtime.is_some_and(|runtime| runtime != 0) {
        return Err(not_on_v2("cpu.realtimeRuntime"));
    }
    if limits.realtime_period.is_some_and(|period| period != 0) {
        return Err(not_on_v2("cpu.realtimePeriod"));
    }
    // A group that becomes idle loses its weight, and one that is idle takes none.
    if limits.idle == Some(0) {
        changes.set("cpu.idle", 0);
    }
    let idle = limits.idle.is_some_and(|idle| idle != 0);
    if let Some(shares) = limits.shares.filter(|shares| *shares > 0 && !idle) {
        changes.set("cpu.weight", weight(shares));
    }
    if let Some(burst) = limits.burst {
        changes.set_or_later("cpu.max.burst", burst);
    }
    let quota = limits.quota.filter(|quota| *quota != 0);
    let period = limits.period.filter(|period| *period > 0);
    if quota.is_some() || period.is_some() {
        let max = read(now, "cpu.max").unwrap_or_default();
        let (quota_now, period_now) = max.trim().split_once(' ').unwrap_or(("max", ""));
        let quota = match quota {
            Some(quota) if quota > 0 => quota.to_string(),
            Some(_) => "max".to_owned(),
            None => quota_now.to_owned(),
        };
        let period = period.or_else(|| period_now.parse().ok()).unwrap_or(DEFAULT_PERIOD_US);
        changes.set("cpu.max", format!("{quota} {period}"));
    }
    if let Some(idle) = limits.idle.filter(|idle| *idle != 0) {
        changes.set("cpu.idle", idle);
    }
    Ok(())
}

/// Quota and period, microseconds; a quota of -1 is none.
pub(in crate::cgroups) fn quota(directory: BorrowedFd<'_>) -> (Option<i64>, Option<u64>) {
    let max = read(directory, "cpu.max").unwrap_or_default();
    let (quota, period) = max.trim().split_once(' ').unwrap_or_default();
    (Some(quota.parse().unwrap_or(-1)), period.parse().ok())
}

/// CPUs and memory nodes.
pub(in crate::cgroups) fn set_changes(limits: &CpuLimits, changes: &mut Changes) {
    for (file, list) in [("cpuset.cpus", &limits.cpus), ("cpuset.mems", &limits.mems)] {
        if let Some(list) = list.as_ref().filter(|list| !list.is_empty()) {
            changes.set(file, list);
        }
    }
}

/// CPU time of everything that was ever in the cgroup, microseconds; there without the controller.
pub(in crate::cgroups) fn usage_us(directory: BorrowedFd<'_>) -> Option<u64> {
    value_of(&read(directory, "cpu.stat").ok()?, "usage_usec")
}

/// User and system time, microseconds.
pub(in crate::cgroups) fn times_us(directory: BorrowedFd<'_>) -> (Option<u64>, Option<u64>) {
    let text = read(directory, "cpu.stat").unwrap_or_default();
    (value_of(&text, "user_usec"), value_of(&text, "system_usec"))
}

pub(in crate::cgroups) fn stats(directory: BorrowedFd<'_>, stats: &mut CpuStats) {
    let Ok(text) = read(directory, "cpu.stat") else { return };
    stats.usage_us = value_of(&text, "usage_usec");
    stats.user_us = value_of(&text, "user_usec");
    stats.system_us = value_of(&text, "system_usec");
    throttling(&text, stats);
}

/// What is there with the controller alone.
fn throttling(text: &str, stats: &mut CpuStats) {
    stats.periods = value_of(text, "nr_periods");
    stats.throttled_periods = value_of(text, "nr_throttled");
    stats.throttled_us = value_of(text, "throttled_usec");
    stats.bursts = value_of(text, "nr_bursts");
    stats.burst_us = value_of(text, "burst_usec");
}

#[cfg(test)]
mod tests {
    use super::super::super::files::fake::Fake;
    use super::*;

    fn max(now: &str, quota: Option<i64>, period: Option<u64>) -> String {
        let fake = Fake::new(&[("cpu.max", now)]);
        let mut made = Changes::default();
        let limits = CpuLimits { quota, period, ..CpuLimits::default() };
        changes(fake.fd(), &limits, &mut made).unwrap();
        made.listed()[0].1.to_owned()
    }

    #[test]
    fn ends_and_defaults_of_both_scales_meet() {
        assert_eq!(weight(2), 1);
        assert_eq!(weight(1024), 100);
        assert_eq!(weight(262_144), 10_000);
    }

    #[test]
    fn quota_or_period_alone_leaves_the_other_as_it_is() {
        assert_eq!(max("20000 50000\n", None, Some(80_000)), "20000 80000");
        assert_eq!(max("20000 50000\n", Some(7000), None), "7000 50000");
        assert_eq!(max("20000 50000\n", Some(-1), None), "max 50000");
        assert_eq!(max("max 100000\n", Some(7000), Some(9000)), "7000 9000");
    }

    #[test]
    fn zero_shares_and_quota_are_none_and_zero_burst_is_one() {
        let limits = CpuLimits {
            shares: Some(0),
            quota: Some(0),
            period: Some(0),
            burst: Some(0),
            realtime_runtime: Some(0),
            ..CpuLimits::default()
        };
        let mut made = Changes::default();
        changes(Fake::new(&[]).fd(), &limits, &mut made).unwrap();
        assert_eq!(made.listed(), [("cpu.max.burst", "0")]);
    }

    #[test]
    fn refuses_real_time_by_name() {
        let limits = CpuLimits { realtime_runtime: Some(1000), ..CpuLimits::default() };
        let error = changes(Fake::new(&[]).fd(), &limits, &mut Changes::default()).unwrap_err();
        assert!(error.message().contains("cpu.realtimeRuntime"), "{error}");
    }

    #[test]
    fn throttling_is_told_where_the_controller_is() {
        let text = "usage_usec 9\nuser_usec 5\nsystem_usec 4\nnr_periods 3\nnr_throttled 2\nthrottled_usec 1\n";
        let fake = Fake::new(&[("cpu.stat", text)]);
        let mut found = CpuStats::default();
        stats(fake.fd(), &mut found);
        assert_eq!(
            (found.usage_us, found.throttled_periods, found.bursts),
            (Some(9), Some(2), None)
        );
    }
}
