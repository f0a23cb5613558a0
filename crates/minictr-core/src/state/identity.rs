//! Which process a pid that was written down means.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::statfs::{FsType, fstatfs};

use crate::sys::files::read_text;
use crate::sys::process;

/// What tells a process from a later one with the same pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Inode of its pidfd, unique until reboot (Linux 6.9).
    Inode(u64),
    /// Clock ticks since boot at which it started.
    StartTime(u64),
}

const PIDFS: FsType = FsType(0x5049_4446);

impl Identity {
    /// The identity of a running process.
    #[must_use]
    pub fn of(pid: i32, pidfd: BorrowedFd<'_>) -> Option<Self> {
        let filesystem = fstatfs(pidfd).ok()?;
        if filesystem.filesystem_type() == PIDFS {
            return nix::sys::stat::fstat(pidfd).ok().map(|stat| Self::Inode(stat.st_ino));
        }
        start_time(pid).map(Self::StartTime)
    }

    /// A handle of the process with this pid, if it is still this one and hasn't ended.
    #[must_use]
    pub fn find(self, pid: i32) -> Option<OwnedFd> {
        let pidfd = process::pidfd_open(pid).ok()?;
        let same = Self::of(pid, pidfd.as_fd()) == Some(self);
        (same && !has_ended(pidfd.as_fd(), 0)).then_some(pidfd)
    }

    pub(super) fn text(self) -> String {
        match self {
            Self::Inode(inode) => format!("i{inode}"),
            Self::StartTime(ticks) => format!("t{ticks}"),
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let number = text.get(1..)?.parse().ok()?;
        match text.as_bytes().first()? {
            b'i' => Some(Self::Inode(number)),
            b't' => Some(Self::StartTime(number)),
            _ => None,
        }
    }
}

/// Clock ticks since boot at which a process started, field 22 of `/proc/PID/stat`; `None` for one
/// that has ended, also where nobody has taken its status yet.
pub(super) fn start_time(pid: i32) -> Option<u64> {
    let stat = read_text(&format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may hold anything.
    let mut fields = stat.get(stat.rfind(')')? + 2..)?.split(' ');
    if matches!(fields.next(), Some("Z" | "X")) {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// Whether a process ends within this many milliseconds. It needn't be a child of ours: its end
/// shows as readiness of its handle, `pidfd_open(2)`.
#[must_use]
pub fn has_ended(pidfd: BorrowedFd<'_>, patience_ms: u16) -> bool {
    let mut wait = [PollFd::new(pidfd, PollFlags::POLLIN)];
    poll(&mut wait, PollTimeout::from(patience_ms)) == Ok(1)
}
