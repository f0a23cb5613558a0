//! A container's cgroup in one hierarchy.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;

use super::plan::Controller;
use super::{end, files};

/// A container's cgroup in one hierarchy.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) v2: bool,
    /// What it has.
    pub(super) controllers: Vec<Controller>,
    /// The directory that the cgroup is in.
    pub(super) parent: OwnedFd,
    pub(super) name: String,
    pub(super) directory: OwnedFd,
    /// `cgroup.procs`, open for writing: what puts itself or others in.
    pub(super) procs: OwnedFd,
}

/// Rounds in which processes that are being forked may escape a move.
const MOVE_ROUNDS: usize = 1000;

impl Member {
    pub(super) fn has(&self, controller: Controller) -> bool {
        self.controllers.contains(&controller)
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Puts everything that is in another hierarchy's cgroup into this one, forks in flight
    /// included.
    ///
    /// # Errors
    /// EAGAIN where new processes keep appearing outside, else the kernel's refusal.
    pub(super) fn take_from(&self, other: &Self) -> Result<(), Errno> {
        for _ in 0..MOVE_ROUNDS {
            let inside: HashSet<i32> = end::processes(self.fd()).into_iter().collect();
            let outside: Vec<i32> = end::processes(other.fd())
                .into_iter()
                .filter(|pid| !inside.contains(pid))
                .collect();
            if outside.is_empty() {
                return Ok(());
            }
            for pid in outside {
                match files::put(self.procs.as_fd(), pid) {
                    // It has just ended.
                    Ok(()) | Err(Errno::ESRCH) => {}
                    Err(errno) => return Err(errno),
                }
            }
        }
        Err(Errno::EAGAIN)
    }
}
