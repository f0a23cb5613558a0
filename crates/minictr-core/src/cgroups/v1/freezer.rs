//! `freezer.*` of v1, `Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst`.
//!
//! A frozen process takes no signal, SIGKILL included, before it is thawed.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use super::super::files::{read, write};

/// Begins to freeze.
pub(in crate::cgroups) fn freeze(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    write(directory, "freezer.state", "FROZEN")
}

pub(in crate::cgroups) fn thaw(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    write(directory, "freezer.state", "THAWED")
}

/// Freezes what has been forked while freezing; nothing where nobody has begun to.
pub(in crate::cgroups) fn refresh(directory: BorrowedFd<'_>) -> Result<(), Errno> {
    if read(directory, "freezer.state")?.trim() == "FREEZING" { freeze(directory) } else { Ok(()) }
}

/// Whether everything in it stands still.
pub(in crate::cgroups) fn frozen(directory: BorrowedFd<'_>) -> Result<bool, Errno> {
    Ok(read(directory, "freezer.state")?.trim() == "FROZEN")
}
