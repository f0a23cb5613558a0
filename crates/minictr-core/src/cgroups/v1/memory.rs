//! `memory.*` of v1, `Documentation/admin-guide/cgroup-v1/memory.rst`.

use std::os::fd::BorrowedFd;

use super::super::changes::Changes;
use super::super::files::{exists, keyed, number, read, value_of, values};
use super::super::stats::MemoryStats;
use crate::error::Result;
use crate::spec::MemoryLimits;

/// A limit above this is none: what the kernel shows for "unlimited", rounded to pages.
const UNLIMITED_FROM: u64 = 1 << 62;

const LIMIT: &str = "memory.limit_in_bytes";
const WITH_SWAP: &str = "memory.memsw.limit_in_bytes";

/// The limits. Memory may never be over memory plus swap, so which comes first depends on whether
/// that grows or shrinks.
pub(in crate::cgroups) fn changes(
    now: BorrowedFd<'_>,
    limits: &MemoryLimits,
    changes: &mut Changes,
) -> Result<()> {
    if limits.check_before_update == Some(true) {
        super::super::refuse_below_use(now, "memory.usage_in_bytes", limits.limit)?;
    }
    match (limits.limit, limits.swap) {
        (Some(memory), Some(swap)) => {
            let before = number(now, WITH_SWAP).unwrap_or(u64::MAX);
            let grows = swap < 0 || u64::try_from(swap).is_ok_and(|swap| swap > before);
            if grows {
                changes.set(WITH_SWAP, swap.max(-1));
                changes.set(LIMIT, memory.max(-1));
            } else {
                changes.set(LIMIT, memory.max(-1));
                changes.set(WITH_SWAP, swap.max(-1));
            }
        }
        (Some(memory), None) => {
            // Without a limit on memory there is none on it with swap either.
            if memory < 0 && exists(now, WITH_SWAP) {
                changes.set(WITH_SWAP, -1);
            }
            changes.set(LIMIT, memory.max(-1));
        }
        (None, Some(swap)) => changes.set(WITH_SWAP, swap.max(-1)),
        (None, None) => {}
    }
    if let Some(value) = limits.reservation {
        changes.set("memory.soft_limit_in_bytes", value.max(-1));
    }
    if let Some(value) = limits.kernel {
        changes.set("memory.kmem.limit_in_bytes", value.max(-1));
    }
    if let Some(value) = limits.kernel_tcp {
        changes.set("memory.kmem.tcp.limit_in_bytes", value.max(-1));
    }
    if let Some(value) = limits.swappiness {
        changes.set("memory.swappiness", value);
    }
    if let Some(off) = limits.disable_oom_killer {
        let is_off = keyed(now, "memory.oom_control", "oom_kill_disable").unwrap_or(0) != 0;
        if off != is_off {
            let number = |off| u8::from(off).to_string();
            changes.set_with_undo("memory.oom_control", number(off), number(is_off));
        }
    }
    if let Some(wanted) = limits.use_hierarchy
        && number(now, "memory.use_hierarchy") != Some(u64::from(wanted))
    {
        changes.set("memory.use_hierarchy", u8::from(wanted));
    }
    Ok(())
}

pub(in crate::cgroups) fn stats(directory: BorrowedFd<'_>) -> MemoryStats {
    let limited = |file| number(directory, file).filter(|limit| *limit < UNLIMITED_FROM);
    let usage_bytes = number(directory, "memory.usage_in_bytes");
    let limit_bytes = limited(LIMIT);
    let text = read(directory, "memory.stat").unwrap_or_default();
    // Of the whole tree where the kernel tells them apart, as it is for usage and limits.
    let of = |key: &str| value_of(&text, &format!("total_{key}")).or_else(|| value_of(&text, key));
    let swap_bytes = match (number(directory, "memory.memsw.usage_in_bytes"), usage_bytes) {
        (Some(both), Some(memory)) => Some(both.saturating_sub(memory)),
        _ => of("swap"),
    };
    MemoryStats {
        usage_bytes,
        working_set_bytes: match (usage_bytes, of("inactive_file")) {
            (Some(usage), Some(inactive)) => Some(usage.saturating_sub(inactive)),
            _ => None,
        },
        peak_bytes: number(directory, "memory.max_usage_in_bytes"),
        limit_bytes,
        swap_bytes,
        swap_limit_bytes: match (limited(WITH_SWAP), limit_bytes) {
            (Some(both), Some(memory)) => Some(both.saturating_sub(memory)),
            _ => None,
        },
        anonymous_bytes: of("rss"),
        file_bytes: of("cache"),
        shared_bytes: of("shmem"),
        kernel_bytes: number(directory, "memory.kmem.usage_in_bytes"),
        limit_hits: number(directory, "memory.failcnt"),
        ooms: None,
        oom_kills: oom_kills(directory),
        page_faults: of("pgfault"),
        major_page_faults: of("pgmajfault"),
        counters: values(&text).map(|(key, value)| (key.to_owned(), value)).collect(),
        pressure: None,
    }
}

/// Processes that were killed for want of memory; Linux 4.13.
pub(in crate::cgroups) fn oom_kills(directory: BorrowedFd<'_>) -> Option<u64> {
    keyed(directory, "memory.oom_control", "oom_kill")
}

/// Most memory at one time, bytes.
pub(in crate::cgroups) fn peak_bytes(directory: BorrowedFd<'_>) -> Option<u64> {
    number(directory, "memory.max_usage_in_bytes")
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

    fn order(with_swap_now: &str, memory: i64, swap: i64) -> Vec<(String, String)> {
        let fake = Fake::new(&[(WITH_SWAP, with_swap_now)]);
        let limits =
            MemoryLimits { limit: Some(memory), swap: Some(swap), ..MemoryLimits::default() };
        listed(&fake, &limits)
    }

    #[test]
    fn with_swap_comes_first_where_it_grows_and_last_where_it_shrinks() {
        let first = |list: Vec<(String, String)>| list[0].0.clone();
        assert_eq!(first(order("400", 300, 800)), WITH_SWAP);
        assert_eq!(first(order("400", 300, -1)), WITH_SWAP);
        assert_eq!(first(order("400", 100, 150)), LIMIT);
        assert_eq!(first(order("9223372036854771712", 100, 150)), LIMIT);
    }

    #[test]
    fn unlimited_memory_lifts_the_limit_with_swap_where_that_is_accounted() {
        let limits = MemoryLimits { limit: Some(-1), ..MemoryLimits::default() };
        let accounted = Fake::new(&[(WITH_SWAP, "400")]);
        assert_eq!(listed(&accounted, &limits)[0], (WITH_SWAP.into(), "-1".into()));
        assert_eq!(listed(&Fake::new(&[]), &limits), [(LIMIT.into(), "-1".into())]);
    }

    #[test]
    fn nothing_is_written_that_is_so_already() {
        let fake = Fake::new(&[
            ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n"),
            ("memory.use_hierarchy", "1\n"),
        ]);
        let limits = MemoryLimits {
            disable_oom_killer: Some(false),
            use_hierarchy: Some(true),
            ..MemoryLimits::default()
        };
        assert_eq!(listed(&fake, &limits), []);
    }

    #[test]
    fn refuses_a_limit_below_what_is_in_use_when_asked_to() {
        let fake = Fake::new(&[("memory.usage_in_bytes", "5000\n")]);
        let limits = MemoryLimits {
            limit: Some(4000),
            check_before_update: Some(true),
            ..MemoryLimits::default()
        };
        let error = changes(fake.fd(), &limits, &mut Changes::default()).unwrap_err();
        assert!(error.message().contains("5000 bytes are in use"), "{error}");
    }

    #[test]
    fn what_is_in_use_is_told_apart_from_what_can_be_let_go() {
        let fake = Fake::new(&[
            ("memory.usage_in_bytes", "1000\n"),
            ("memory.memsw.usage_in_bytes", "1500\n"),
            ("memory.limit_in_bytes", "9223372036854771712\n"),
            (
                "memory.stat",
                "cache 1\nrss 2\ninactive_file 5\ntotal_inactive_file 300\ntotal_rss 20\n",
            ),
        ]);
        let stats = stats(fake.fd());
        assert_eq!(stats.working_set_bytes, Some(700));
        assert_eq!(stats.swap_bytes, Some(500));
        assert_eq!(stats.limit_bytes, None);
        assert_eq!(stats.anonymous_bytes, Some(20));
        assert_eq!(stats.counters["cache"], 1);
    }
}
