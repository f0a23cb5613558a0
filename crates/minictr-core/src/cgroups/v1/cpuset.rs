//! `cpuset.*` of v1: a new cgroup has no CPUs and no memory nodes, and takes no process until it has
//! both.

use std::os::fd::BorrowedFd;

use super::super::changes::Changes;
use super::super::files::{read, write};
use crate::spec::CpuLimits;

const FILES: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// The lists that the limits name.
pub(in crate::cgroups) fn changes(limits: &CpuLimits, changes: &mut Changes) {
    for (file, list) in FILES.into_iter().zip([&limits.cpus, &limits.mems]) {
        if let Some(list) = list.as_ref().filter(|list| !list.is_empty()) {
            changes.set(file, list);
        }
    }
}

/// Gives a new cgroup the lists of the one above it.
pub(in crate::cgroups) fn inherit(directory: BorrowedFd<'_>, parent: BorrowedFd<'_>) {
    for file in FILES {
        let empty = read(directory, file).is_ok_and(|list| list.trim().is_empty());
        if empty && let Ok(list) = read(parent, file) {
            // Where it isn't taken, putting a process in says so.
            let _ = write(directory, file, list.trim());
        }
    }
}
