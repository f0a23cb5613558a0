//! Cgroups that were written down: who is in them, and how to join them.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, fstatfs};

use super::{end, files};
use crate::error::{Context, ErrorCode, Result};
use crate::rootfs::paths;

/// What a process needs to join a container's cgroups.
#[derive(Debug, Default)]
pub struct Joinable {
    /// `cgroup.procs` of the v1 ones, open for writing, in the order of the paths.
    pub procs: Vec<OwnedFd>,
    /// The directory of the v2 one.
    pub v2: Option<OwnedFd>,
}

fn open(path: &str) -> Result<OwnedFd, Errno> {
    let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
    paths::open_path(&path, libc::O_RDONLY | libc::O_DIRECTORY)
}

/// Opens what is needed to join them.
///
/// # Errors
/// `Cgroup`; one that is gone is left out.
pub fn joinable(paths: &[String]) -> Result<Joinable> {
    let mut joinable = Joinable::default();
    for path in paths {
        let directory = match open(path) {
            Ok(directory) => directory,
            Err(Errno::ENOENT) => continue,
            Err(errno) => {
                return Err(errno).context(ErrorCode::Cgroup, "open cgroup", format!("`{path}`"));
            }
        };
        let v2 =
            fstatfs(&directory).is_ok_and(|found| found.filesystem_type() == CGROUP2_SUPER_MAGIC);
        if v2 {
            joinable.v2 = Some(directory);
            continue;
        }
        let procs = files::open(directory.as_fd(), "cgroup.procs", OFlag::O_WRONLY).context(
            ErrorCode::Cgroup,
            "open `cgroup.procs` of",
            format!("`{path}`"),
        )?;
        joinable.procs.push(procs);
    }
    Ok(joinable)
}

/// The processes in them and in what the container made below, each once, in ascending order.
#[must_use]
pub fn processes(paths: &[String]) -> Vec<i32> {
    let mut found = Vec::new();
    for path in paths {
        if let Ok(directory) = open(path) {
            found.extend(end::processes(directory.as_fd()));
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}
