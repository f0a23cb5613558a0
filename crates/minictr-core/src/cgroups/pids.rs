//! `pids.*`, the same in v1 and v2.

use std::os::fd::BorrowedFd;

use super::changes::Changes;
use super::files::{keyed, number};
use super::stats::PidsStats;

/// The limit; negative is none, and 0 lets nobody fork.
pub(super) fn changes(limit: i64, changes: &mut Changes) {
    let value = if limit < 0 { "max".to_owned() } else { limit.to_string() };
    changes.set("pids.max", value);
}

pub(super) fn stats(directory: BorrowedFd<'_>) -> PidsStats {
    PidsStats {
        current: number(directory, "pids.current"),
        // Linux 6.1.
        peak: number(directory, "pids.peak"),
        limit: number(directory, "pids.max"),
        limit_hits: keyed(directory, "pids.events", "max"),
    }
}
