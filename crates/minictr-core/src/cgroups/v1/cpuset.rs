//! `cpuset.*` of v1: a new cgroup has no CPUs and no memory nodes, and takes no process until it has
//! both.

use std::os::fd::BorrowedFd;

use super::super::files::{read, set};
use crate::error::Result;
use crate::spec::CpuLimits;

/// Writes the lists, the parent's where the limits say nothing.
pub(in crate::cgroups) fn apply(
    directory: BorrowedFd<'_>,
    parent: BorrowedFd<'_>,
    limits: &CpuLimits,
) -> Result<()> {
    for (file, wanted) in [("cpuset.cpus", &limits.cpus), ("cpuset.mems", &limits.mems)] {
        let value = match wanted {
            Some(list) => list.clone(),
            None => read(parent, file).unwrap_or_default().trim().to_owned(),
        };
        set(directory, file, value)?;
    }
    Ok(())
}
