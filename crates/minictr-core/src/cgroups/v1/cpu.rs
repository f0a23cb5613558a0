//! `cpu.*` and `cpuacct.*` of v1, `Documentation/scheduler/sched-bwc.rst`.

use std::os::fd::BorrowedFd;

use super::super::changes::Changes;
use super::super::files::{number, read, value_of};
use super::super::stats::CpuStats;
use crate::spec::CpuLimits;

/// Shares, quota and what belongs to it. Shares, quota and period of 0 are none.
///
/// The period comes before the quota that it measures; where the kernel finds that the old quota
/// doesn't fit the new period or burst, they come after it.
pub(in crate::cgroups) fn changes(limits: &CpuLimits, changes: &mut Changes) {
    // A group that becomes idle loses its shares, and one that is idle takes none.
    if limits.idle == Some(0) {
        changes.set("cpu.idle", 0);
    }
    let idle = limits.idle.is_some_and(|idle| idle != 0);
    if let Some(shares) = limits.shares.filter(|shares| *shares > 0 && !idle) {
        changes.set("cpu.shares", shares);
    }
    if let Some(period) = limits.period.filter(|period| *period > 0) {
        changes.set_or_later("cpu.cfs_period_us", period);
    }
    if let Some(burst) = limits.burst {
        changes.set_or_later("cpu.cfs_burst_us", burst);
    }
    if let Some(quota) = limits.quota.filter(|quota| *quota != 0) {
        changes.set("cpu.cfs_quota_us", quota.max(-1));
    }
    if let Some(period) = limits.realtime_period {
        changes.set_or_later("cpu.rt_period_us", period);
    }
    if let Some(runtime) = limits.realtime_runtime {
        changes.set("cpu.rt_runtime_us", runtime);
    }
    if let Some(idle) = limits.idle.filter(|idle| *idle != 0) {
        changes.set("cpu.idle", idle);
    }
}

/// CPU time of everything that was ever in the cgroup, microseconds.
pub(in crate::cgroups) fn usage_us(directory: BorrowedFd<'_>) -> Option<u64> {
    number(directory, "cpuacct.usage").map(microseconds)
}

/// Microseconds of a count of nanoseconds.
fn microseconds(nanoseconds: u64) -> u64 {
    nanoseconds / 1000
}

/// User and system time, microseconds; together what [`usage_us`] is. The kernel measures that one, but
/// tells the two apart by samples, a few a second where a group is throttled: so they are its parts in
/// the ratio of the samples, as `times(2)` has it.
pub(in crate::cgroups) fn times_us(directory: BorrowedFd<'_>) -> (Option<u64>, Option<u64>) {
    let samples = read(directory, "cpuacct.usage_all").ok();
    let (Some(usage), Some(samples)) = (usage_us(directory), samples) else { return (None, None) };
    let column = |column| -> u64 {
        let of_cpus = samples.lines().skip(1).filter_map(|cpu| cpu.split(' ').nth(column));
        of_cpus.filter_map(|time| time.parse::<u64>().ok()).sum()
    };
    let (user, system) = (u128::from(column(1)), u128::from(column(2)));
    let system_us = match user + system {
        0 => 0,
        both => (u128::from(usage) * system / both) as u64,
    };
    (Some(usage - system_us), Some(system_us))
}

/// Of the hierarchy of `cpuacct`.
pub(in crate::cgroups) fn accounts(directory: BorrowedFd<'_>, stats: &mut CpuStats) {
    stats.usage_us = usage_us(directory);
    (stats.user_us, stats.system_us) = times_us(directory);
    let per_cpu = read(directory, "cpuacct.usage_percpu").unwrap_or_default();
    let times = per_cpu.split_ascii_whitespace().filter_map(|time| time.parse().ok());
    stats.per_cpu_us = times.map(microseconds).collect();
}

/// Of the hierarchy of `cpu`.
pub(in crate::cgroups) fn throttling(directory: BorrowedFd<'_>, stats: &mut CpuStats) {
    let Ok(text) = read(directory, "cpu.stat") else { return };
    stats.periods = value_of(&text, "nr_periods");
    stats.throttled_periods = value_of(&text, "nr_throttled");
    stats.throttled_us = value_of(&text, "throttled_time").map(microseconds);
    stats.bursts = value_of(&text, "nr_bursts");
    stats.burst_us = value_of(&text, "burst_time").map(microseconds);
}

/// Quota and period, microseconds; a quota of -1 is none.
pub(in crate::cgroups) fn quota(directory: BorrowedFd<'_>) -> (Option<i64>, Option<u64>) {
    let quota = number(directory, "cpu.cfs_quota_us").and_then(|quota| quota.try_into().ok());
    (Some(quota.unwrap_or(-1)), number(directory, "cpu.cfs_period_us"))
}

#[cfg(test)]
mod tests {
    use super::super::super::files::fake::Fake;
    use super::*;

    #[test]
    fn the_period_comes_before_the_quota_and_again_after_it_where_it_does_not_fit() {
        let limits = CpuLimits { quota: Some(-1), period: Some(5000), ..Default::default() };
        let mut made = Changes::default();
        changes(&limits, &mut made);
        assert_eq!(made.listed(), [("cpu.cfs_period_us", "5000"), ("cpu.cfs_quota_us", "-1")]);
    }

    #[test]
    fn zero_is_a_value_where_it_can_be_one() {
        let limits = CpuLimits {
            shares: Some(0),
            quota: Some(0),
            period: Some(0),
            burst: Some(0),
            realtime_runtime: Some(0),
            idle: Some(0),
            ..Default::default()
        };
        let mut made = Changes::default();
        changes(&limits, &mut made);
        assert_eq!(
            made.listed(),
            [("cpu.idle", "0"), ("cpu.cfs_burst_us", "0"), ("cpu.rt_runtime_us", "0")]
        );
    }

    #[test]
    fn an_idle_group_is_given_no_shares() {
        let limits = CpuLimits { shares: Some(512), idle: Some(1), ..Default::default() };
        let mut made = Changes::default();
        changes(&limits, &mut made);
        assert_eq!(made.listed(), [("cpu.idle", "1")]);
    }

    #[test]
    fn times_are_microseconds() {
        let fake = Fake::new(&[
            ("cpuacct.usage", "5000000\n"),
            ("cpuacct.usage_all", "cpu user system\n0 3000000 1000000\n1 0 1000000\n"),
            ("cpuacct.usage_percpu", "4000000 1000000 \n"),
            ("cpu.stat", "nr_periods 9\nnr_throttled 4\nthrottled_time 7000\n"),
        ]);
        let mut stats = CpuStats::default();
        accounts(fake.fd(), &mut stats);
        throttling(fake.fd(), &mut stats);
        assert_eq!((stats.usage_us, stats.system_us), (Some(5000), Some(2000)));
        assert_eq!(stats.user_us, Some(3000));
        assert_eq!(stats.per_cpu_us, [4000, 1000]);
        assert_eq!((stats.throttled_periods, stats.throttled_us), (Some(4), Some(7)));
        assert_eq!(stats.bursts, None);
    }

    #[test]
    fn user_and_system_time_are_all_that_was_used_however_few_the_samples() {
        for (samples, times) in [("0 4000000 4000000", (3500, 3500)), ("0 0 0", (7000, 0))] {
            let all = format!("cpu user system\n{samples}\n");
            let fake = Fake::new(&[("cpuacct.usage", "7000000\n"), ("cpuacct.usage_all", &all)]);
            assert_eq!(times_us(fake.fd()), (Some(times.0), Some(times.1)));
        }
    }
}
