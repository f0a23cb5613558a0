//! What a supervisor waits for: one epoll set over the processes and sockets of all launches.

use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::error::{Context, Error, ErrorCode, Result};

/// Which of a launch's descriptors, or one of the owner's; the upper half of the epoll data, whose
/// lower half is the slot or token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Kind {
    /// The pidfd of the container's first process, or of the process that opens its sources.
    Child,
    /// The socket to either.
    Socket,
    /// The pidfd of the process that joins namespaces.
    Joiner,
    /// The pidfd of the helper that writes an id map.
    MapHelper,
    /// A descriptor of the supervisor's owner.
    Owner,
}

const KINDS: [Kind; 5] = [Kind::Child, Kind::Socket, Kind::Joiner, Kind::MapHelper, Kind::Owner];

/// Events taken at one time.
const BATCH: usize = 64;

/// The epoll set.
#[derive(Debug)]
pub(super) struct Watch(Epoll);

impl Watch {
    pub(super) fn new() -> Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).context(
            ErrorCode::ResourceExhausted,
            "make epoll set of",
            "the supervisor",
        )?;
        Ok(Self(epoll))
    }

    /// Waits for `fd` to become readable, which a pidfd does when its process ends.
    pub(super) fn add(&self, fd: impl AsFd, kind: Kind, number: u32) -> Result<()> {
        self.0.add(fd, event(EpollFlags::EPOLLIN, kind, number)).map_err(no_room)
    }

    /// Whether an owner's descriptor is also waited for until it can be written.
    pub(super) fn writes(&self, fd: BorrowedFd<'_>, token: u32, writes: bool) -> Result<()> {
        let mut interest = EpollFlags::EPOLLIN;
        interest.set(EpollFlags::EPOLLOUT, writes);
        self.0.modify(fd, &mut event(interest, Kind::Owner, token)).map_err(no_room)
    }

    /// Takes a descriptor out. Closing one that another process has a copy of doesn't: while any is
    /// open the kernel goes on reporting it, `epoll(7)`.
    pub(super) fn remove(&self, fd: impl AsFd) {
        // ENOENT: it wasn't in.
        let _ = self.0.delete(fd);
    }

    /// What is ready, with the slot or token.
    pub(super) fn wait(&self, timeout: EpollTimeout) -> Result<Vec<(Kind, u32)>> {
        let mut ready = [EpollEvent::empty(); BATCH];
        let count = match self.0.wait(&mut ready, timeout) {
            Ok(count) => count,
            Err(Errno::EINTR) => 0,
            Err(errno) => {
                return Err(Error::new(ErrorCode::Internal, "wait for", "containers").errno(errno));
            }
        };
        let known = |event: &EpollEvent| {
            let kind = KINDS.get((event.data() >> 32) as usize)?;
            Some((*kind, event.data() as u32))
        };
        Ok(ready[..count].iter().filter_map(known).collect())
    }
}

fn event(interest: EpollFlags, kind: Kind, number: u32) -> EpollEvent {
    EpollEvent::new(interest, (kind as u64) << 32 | u64::from(number))
}

fn no_room(errno: Errno) -> Error {
    Error::new(ErrorCode::ResourceExhausted, "watch", "a process of the container").errno(errno)
}
