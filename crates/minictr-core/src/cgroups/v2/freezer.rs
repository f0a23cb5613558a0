//! `cgroup.freeze` of v2, Linux 5.2. A frozen process can be killed.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use super::super::files::{keyed, write};

/// Begins to freeze.
pub(in crate::cgroups) fn freeze(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    write(directory, "cgroup.freeze", "1")
}

pub(in crate::cgroups) fn thaw(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    write(directory, "cgroup.freeze", "0")
}

/// Whether everything in it stands still.
pub(in crate::cgroups) fn frozen(directory: BorrowedFd<'_>) -> Result<bool, Errno> {
    keyed(directory, "cgroup.events", "frozen").map(|frozen| frozen == 1).ok_or(Errno::ENOENT)
}
