//! What a child tells its parent over their socket, one message each.
//!
//! A child that executes its program says nothing: the socket is close-on-exec, and its end with
//! [`EXECUTING`] in the shared progress counter means success.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::AtomicU32;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recv, recvmsg, sendmsg};

use super::child::tell;
use crate::error::Error;
use crate::rootfs::mounts::Fault;
use crate::sys::{clone, messages};

/// Where a child is: a counter in memory shared with its parent.
#[derive(Debug)]
pub(super) struct Progress<'a> {
    /// Index of the step it is at, or [`EXECUTING`].
    pub(super) step: &'a AtomicU32,
}

/// Progress of a child that has nothing left to do but to execute its program.
pub(super) const EXECUTING: u32 = u32::MAX;

/// Tag of a message that carries the pty's master.
pub(super) const MASTER: u8 = b'M';
/// Tag of a message that carries the pidfd of the child that a joining process has cloned.
pub(super) const CHILD: u8 = b'C';
/// Tag of a message that says that the container is made, and waits to be started.
pub(super) const WAITING: u8 = b'W';
/// Tag of a message that asks for the hooks of the runtime, and the word that they are done.
pub(super) const HOOKS: u8 = b'H';
/// The parent's word that the process is in its systemd scope.
pub(super) const SCOPED: u8 = b's';
/// The parent's word that the cgroup is made, with the descriptors to attach by.
pub(super) const CGROUP_MADE: u8 = b'g';
/// The parent's word that the id maps are written.
pub(super) const MAPS_WRITTEN: u8 = b'm';
/// The parent's word that the process is written down and limited.
pub(super) const RECORDED: u8 = b'r';
/// Tag of a message that carries the listener of the filter that was loaded.
pub(super) const LISTENER: u8 = b'L';
const FAULT: u8 = b'F';
const EXPLANATION: u8 = b'X';
const MAX_MESSAGE: usize = 16 * 1024;

/// Exit status of a child that failed before the program; nobody sees it but our parent, which
/// already has the report.
pub(super) const FAILED: i32 = 125;

/// A message of a child.
#[derive(Debug)]
pub(super) enum Report {
    /// A step failed.
    Fault { step: usize, fault: Fault },
    /// A better description of the same failure.
    Explanation(Box<Error>),
    /// The pty's master.
    Master(OwnedFd),
    /// The pidfd of the child that a joining process has cloned.
    Child(OwnedFd),
    /// The listener of the filter that was loaded.
    Listener(OwnedFd),
    /// The namespaces are made, and the hooks of the runtime are waited for.
    Hooks,
    /// The container is made, and waits to be started.
    Waiting,
    /// The child has executed its program or ended.
    End,
}

/// Both ends of the socket between a child and its parent, as the child has them.
#[derive(Clone, Copy)]
pub(super) struct Ends<'a> {
    /// The child's own.
    pub(super) own: BorrowedFd<'a>,
    /// A copy of the parent's.
    pub(super) parents: RawFd,
}

impl<'a> Ends<'a> {
    /// Child: closes the copy, so that the socket ends with the parent. Once, first of all.
    pub(super) fn alone(self) -> BorrowedFd<'a> {
        // The number is that of an open descriptor, so it can't fail.
        let _ = nix::unistd::close(self.parents);
        self.own
    }
}

/// Child: ends this process where its parent is gone already: a death signal that is set says
/// nothing about a death before that.
pub(super) fn check_parent(sync: BorrowedFd<'_>) {
    let mut byte = [0u8; 1];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK;
    if recv(sync.as_raw_fd(), &mut byte, flags) == Ok(0) {
        clone::exit_now(FAILED)
    }
}

/// Child: a step failed.
pub(super) fn send_fault(sync: BorrowedFd<'_>, step: u32, fault: Fault) {
    let mut message = [0u8; 13];
    message[0] = FAULT;
    message[1..5].copy_from_slice(&step.to_ne_bytes());
    message[5..9].copy_from_slice(&fault.part.to_ne_bytes());
    message[9..13].copy_from_slice(&(fault.errno as i32).to_ne_bytes());
    tell(sync, &message);
}

/// Child: the sentence for the failure just reported.
pub(super) fn send_explanation(sync: BorrowedFd<'_>, error: &Error) {
    if let Ok(mut json) = serde_json::to_vec(error)
        && json.len() < MAX_MESSAGE
    {
        json.insert(0, EXPLANATION);
        tell(sync, &json);
    }
}

/// Child: hands a descriptor over.
pub(super) fn send_descriptor(
    sync: BorrowedFd<'_>,
    tag: u8,
    fd: BorrowedFd<'_>,
) -> Result<(), Errno> {
    send_descriptors(sync, tag, &[fd.as_raw_fd()])
}

/// Hands descriptors over with a word; with none, the word alone.
pub(super) fn send_descriptors(sync: BorrowedFd<'_>, tag: u8, fds: &[RawFd]) -> Result<(), Errno> {
    let rights = [ControlMessage::ScmRights(fds)];
    let rights = if fds.is_empty() { &[] } else { rights.as_slice() };
    let tag = [tag];
    let data = [IoSlice::new(&tag)];
    sendmsg::<()>(sync.as_raw_fd(), &data, rights, MsgFlags::MSG_NOSIGNAL, None).map(drop)
}

/// Child: waits for the parent's next word, with the descriptors that belong to it; `None` once the
/// parent is gone.
pub(super) fn await_word(sync: BorrowedFd<'_>) -> Result<Option<(u8, Vec<OwnedFd>)>, Errno> {
    let mut word = [0u8; 1];
    loop {
        match messages::receive(sync, &mut word) {
            Ok(arrived) if arrived.fds_cut => return Err(Errno::EMFILE),
            Ok(arrived) => return Ok((arrived.length == 1).then_some((word[0], arrived.fds))),
            Err(Errno::EAGAIN) => {
                let mut wait = [PollFd::new(sync, PollFlags::POLLIN)];
                match poll(&mut wait, PollTimeout::NONE) {
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(errno) => return Err(errno),
                }
            }
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Room for any message: used again for each, since most are a few bytes long.
#[derive(Debug)]
pub(super) struct Buffer(Box<[u8]>);

impl Default for Buffer {
    fn default() -> Self {
        Self(vec![0; MAX_MESSAGE].into_boxed_slice())
    }
}

/// Parent: the next message, without blocking; `None` while there is none.
pub(super) fn receive(
    sync: BorrowedFd<'_>,
    Buffer(buffer): &mut Buffer,
) -> Result<Option<Report>, Errno> {
    match take(sync, buffer) {
        // The child ended with a word of ours unread. Said once; what it said comes after it.
        Err(Errno::ECONNRESET) => take(sync, buffer),
        taken => taken,
    }
}

fn take(sync: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<Option<Report>, Errno> {
    let mut space = nix::cmsg_space!([i32; 1]);
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let (count, descriptor) = {
        let mut data = [IoSliceMut::new(buffer)];
        let message = match recvmsg::<()>(sync.as_raw_fd(), &mut data, Some(&mut space), flags) {
            Ok(message) => message,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        let mut descriptor = None;
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(fds) = control {
                for fd in fds {
                    descriptor = Some(crate::sys::own_received(fd));
                }
            }
        }
        (message.bytes, descriptor)
    };
    let message = &buffer[..count];
    let word = |at: usize| {
        message.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes)
    };
    Ok(Some(match (message.first(), descriptor) {
        (None, _) => Report::End,
        (Some(&MASTER), Some(fd)) => Report::Master(fd),
        (Some(&CHILD), Some(fd)) => Report::Child(fd),
        (Some(&LISTENER), Some(fd)) => Report::Listener(fd),
        (Some(&HOOKS), _) => Report::Hooks,
        (Some(&WAITING), _) => Report::Waiting,
        (Some(&FAULT), _) => {
            let errno = Errno::from_raw(word(9).ok_or(Errno::EPROTO)? as i32);
            let fault = Fault { errno, part: word(5).ok_or(Errno::EPROTO)? };
            Report::Fault { step: word(1).ok_or(Errno::EPROTO)? as usize, fault }
        }
        (Some(&EXPLANATION), _) => {
            let error = serde_json::from_slice(&message[1..]).map_err(|_| Errno::EPROTO)?;
            Report::Explanation(Box::new(error))
        }
        _ => return Err(Errno::EPROTO),
    }))
}
