//! `pids.*`, the same in v1 and v2.

use std::os::fd::BorrowedFd;

use super::Stats;
use super::files::{number, set};
use crate::error::Result;

/// Writes the limit; negative is none.
pub(super) fn apply(directory: BorrowedFd<'_>, limit: i64) -> Result<()> {
    let value = if limit < 0 { "max".to_owned() } else { limit.to_string() };
    set(directory, "pids.max", value)
}

pub(super) fn stats(directory: BorrowedFd<'_>, stats: &mut Stats) {
    stats.pids = number(directory, "pids.current");
    stats.pids_limit = number(directory, "pids.max");
}
