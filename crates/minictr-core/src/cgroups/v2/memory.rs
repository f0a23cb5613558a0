//! `memory.*` of v2, `Documentation/admin-guide/cgroup-v2.rst`.

use std::os::fd::BorrowedFd;

use super::super::changes::Changes;
use super::super::files::{keyed, number, read, value_of, values};
use super::super::stats::MemoryStats;
use super::super::{not_on_v2, refuse_below_use};
use super::pressure::pressure;
use crate::error::{Error, Result};
use crate::spec::MemoryLimits;

fn value(bytes: i64) -> String {
    if bytes < 0 { "max".to_owned() } else { bytes.to_string() }
}

/// The limits. The spec's swap limit counts memory in; v2's doesn't.
///
/// # Errors
/// `InvalidArgument` for what v2 hasn't, and for less with swap than without.
pub(in crate::cgroups) fn changes(
    now: BorrowedFd<'_>,
    limits: &MemoryLimits,
    changes: &mut Changes,
) -> Result<()> {
    for (asked, field) in [
        (limits.kernel.is_some_and(|limit| limit >= 0), "memory.kernel"),
        (limits.kernel_tcp.is_some_and(|limit| limit >= 0), "memory.kernelTCP"),
        (limits.swappiness.is_some(), "memory.swappiness"),
        (limits.disable_oom_killer == Some(true), "memory.disableOOMKiller"),
        // It always is.
        (limits.use_hierarchy == Some(false), "memory.useHierarchy"),
    ] {
        if asked {
            return Err(not_on_v2(field));
        }
    }
    if limits.check_before_update == Some(true) {
        refuse_below_use(now, "memory.current", limits.limit)?;
    }
    match swap(now, limits)? {
        // A kernel that doesn't account swap limits none, and gives none where there is none.
        Some(alone) if alone <= 0 => changes.set_if_there("memory.swap.max", value(alone)),
        Some(alone) => changes.set("memory.swap.max", alone),
        None => {}
    }
    if let Some(limit) = limits.limit {
        changes.set("memory.max", value(limit));
    }
    if let Some(reservation) = limits.reservation {
        changes.set("memory.low", value(reservation));
    }
    Ok(())
}

/// The limit on swap alone.
fn swap(now: BorrowedFd<'_>, limits: &MemoryLimits) -> Result<Option<i64>> {
    let Some(swap) = limits.swap else {
        // As on v1: without a limit on memory there is none on it with swap either.
        return Ok(limits.limit.filter(|limit| *limit < 0));
    };
    if swap < 0 {
        return Ok(Some(-1));
    }
    let memory = limits.limit.filter(|limit| *limit >= 0);
    let kept = || number(now, "memory.max").and_then(|limit| i64::try_from(limit).ok());
    let memory = if limits.limit.is_some() { memory } else { kept() };
    match memory {
        Some(memory) if swap >= memory => Ok(Some(swap - memory)),
        Some(memory) => Err(Error::invalid(
            "limit memory plus swap to",
            format!("{swap}: less than memory's {memory}"),
        )),
        None => Err(Error::invalid(
            "limit memory plus swap to",
            format!("{swap} without a limit on memory"),
        )),
    }
}

pub(in crate::cgroups) fn stats(directory: BorrowedFd<'_>) -> MemoryStats {
    let usage_bytes = number(directory, "memory.current");
    let text = read(directory, "memory.stat").unwrap_or_default();
    let events = read(directory, "memory.events").unwrap_or_default();
    let of = |key: &str| value_of(&text, key);
    MemoryStats {
        usage_bytes,
        working_set_bytes: match (usage_bytes, of("inactive_file")) {
            (Some(usage), Some(inactive)) => Some(usage.saturating_sub(inactive)),
            _ => None,
        },
        peak_bytes: peak_bytes(directory),
        limit_bytes: number(directory, "memory.max"),
        swap_bytes: number(directory, "memory.swap.current"),
        swap_limit_bytes: number(directory, "memory.swap.max"),
        anonymous_bytes: of("anon"),
        file_bytes: of("file"),
        shared_bytes: of("shmem"),
        kernel_bytes: of("kernel"),
        limit_hits: value_of(&events, "max"),
        ooms: value_of(&events, "oom"),
        oom_kills: value_of(&events, "oom_kill"),
        page_faults: of("pgfault"),
        major_page_faults: of("pgmajfault"),
        counters: values(&text).map(|(key, value)| (key.to_owned(), value)).collect(),
        pressure: pressure(directory, "memory"),
    }
}

/// Processes that were killed for want of memory.
pub(in crate::cgroups) fn oom_kills(directory: BorrowedFd<'_>) -> Option<u64> {
    keyed(directory, "memory.events", "oom_kill")
}

/// Most memory at one time, bytes; Linux 5.19.
pub(in crate::cgroups) fn peak_bytes(directory: BorrowedFd<'_>) -> Option<u64> {
    number(directory, "memory.peak")
}

#[cfg(test)]
mod tests {
    use super::super::super::files::fake::Fake;
    use super::*;

    fn listed(fake: &Fake, limits: &MemoryLimits) -> Vec<(String, String)> {
        let mut made = Changes::default();
        changes(fake.fd(), limits, &mut made).unwrap();
        made.listed().iter().map(|(file, value)| ((*file).into(), (*value).into())).collect()
    }

    fn refusal(limits: &MemoryLimits) -> String {
        let fake = Fake::new(&[("memory.max", "max\n"), ("memory.current", "5000\n")]);
        changes(fake.fd(), limits, &mut Changes::default()).unwrap_err().message()
    }

    #[test]
    fn swap_is_limited_without_the_memory() {
        let limits = MemoryLimits { limit: Some(100), swap: Some(150), ..MemoryLimits::default() };
        let expected =
            [("memory.swap.max".into(), "50".into()), ("memory.max".into(), "100".into())];
        assert_eq!(listed(&Fake::new(&[]), &limits), expected);
    }

    #[test]
    fn swap_alone_is_measured_by_the_limit_that_is_there() {
        let limits = MemoryLimits { swap: Some(150), ..MemoryLimits::default() };
        let fake = Fake::new(&[("memory.max", "120\n")]);
        assert_eq!(listed(&fake, &limits), [("memory.swap.max".into(), "30".into())]);
        assert!(refusal(&limits).contains("without a limit on memory"));
    }

    #[test]
    fn minus_one_is_max_and_takes_the_limit_on_swap_along() {
        let limits = MemoryLimits { limit: Some(-1), ..MemoryLimits::default() };
        let expected =
            [("memory.swap.max".into(), "max".into()), ("memory.max".into(), "max".into())];
        assert_eq!(listed(&Fake::new(&[]), &limits), expected);
    }

    #[test]
    fn zero_is_a_limit() {
        let limits =
            MemoryLimits { limit: Some(0), reservation: Some(0), ..MemoryLimits::default() };
        let expected = [("memory.max".into(), "0".into()), ("memory.low".into(), "0".into())];
        assert_eq!(listed(&Fake::new(&[]), &limits), expected);
    }

    #[test]
    fn refuses_less_with_swap_than_without_and_what_v1_alone_has() {
        let some = MemoryLimits::default;
        assert!(
            refusal(&MemoryLimits { limit: Some(9), swap: Some(5), ..some() })
                .contains("less than")
        );
        for (limits, field) in [
            (MemoryLimits { swappiness: Some(10), ..some() }, "memory.swappiness"),
            (MemoryLimits { disable_oom_killer: Some(true), ..some() }, "memory.disableOOMKiller"),
            (MemoryLimits { kernel: Some(1), ..some() }, "memory.kernel"),
            (MemoryLimits { use_hierarchy: Some(false), ..some() }, "memory.useHierarchy"),
        ] {
            assert!(refusal(&limits).contains(field), "{field}");
        }
    }

    #[test]
    fn refuses_a_limit_below_what_is_in_use_when_asked_to() {
        let limits = MemoryLimits {
            limit: Some(4999),
            check_before_update: Some(true),
            ..MemoryLimits::default()
        };
        assert!(refusal(&limits).contains("5000 bytes are in use"));
    }

    #[test]
    fn accounts_are_read_from_all_files() {
        let fake = Fake::new(&[
            ("memory.current", "1000\n"),
            ("memory.max", "max\n"),
            ("memory.stat", "anon 600\nfile 300\ninactive_file 100\npgmajfault 3\n"),
            ("memory.events", "low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\noom_group_kill 0\n"),
            ("memory.pressure", "some avg10=1.00 avg60=0.00 avg300=0.00 total=8\n"),
        ]);
        let stats = stats(fake.fd());
        assert_eq!(stats.working_set_bytes, Some(900));
        assert_eq!((stats.limit_bytes, stats.peak_bytes), (None, None));
        assert_eq!((stats.limit_hits, stats.ooms, stats.oom_kills), (Some(7), Some(2), Some(1)));
        assert_eq!(stats.major_page_faults, Some(3));
        assert_eq!(stats.pressure.unwrap().some.total_us, 8);
    }
}
