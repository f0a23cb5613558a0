//! A container's cgroup in one hierarchy.

use std::collections::HashSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;

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
    /// What the child, which is one thread, puts itself in by, open for writing: `tasks` of v1, and
    /// `cgroup.procs` of v2 where no child can be cloned into it. Not `cgroup.procs` of v1, for which
    /// the kernel keeps every process of the machine from starting and ending: it waits for that until
    /// each CPU has been elsewhere, 7 ms where nobody has done so just before.
    pub(super) attach: Option<OwnedFd>,
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

    /// Puts a process into it, with all its threads.
    ///
    /// # Errors
    /// ESRCH where it has ended, else the kernel's refusal.
    pub(super) fn put(&self, pid: i32) -> Result<(), Errno> {
        files::put(files::open(self.fd(), "cgroup.procs", OFlag::O_WRONLY)?.as_fd(), pid)
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
                match self.put(pid) {
                    // It has just ended.
                    Ok(()) | Err(Errno::ESRCH) => {}
                    Err(errno) => return Err(errno),
                }
            }
        }
        Err(Errno::EAGAIN)
    }
}
