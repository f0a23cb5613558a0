//! System calls that `nix` doesn't wrap, as safe functions.
//!
//! This and `spawn/child.rs` are the only places with `unsafe`. Each function is one system call,
//! named as in the manual, takes borrowed descriptors and C strings so that it never allocates, and
//! returns the bare [`Errno`](nix::errno::Errno): whoever knows the object makes the sentence. All of
//! them may be called between clone and exec.
#![expect(unsafe_code, reason = "raw system calls are made here, and only here")]

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

pub mod bpf;
pub mod clone;
pub mod features;
pub mod files;
pub mod messages;
pub mod mount;
pub mod openat2;
pub mod placement;
pub mod process;
pub mod security;
pub mod shared;
pub mod terminal;

/// Takes a descriptor that `recvmsg(2)` delivered into ownership.
///
/// The one place where a number becomes an owner: callers pass what the kernel has just put into a
/// control message, once.
#[must_use]
pub fn own_received(fd: RawFd) -> OwnedFd {
    // SAFETY: the kernel installed this descriptor for us while delivering the message, and the
    // callers hand each over exactly once, right after receiving it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

/// A descriptor that a caller in another language names by its number; `None` where it isn't open.
///
/// The number's owner can close it at any time, so the borrow is good for the calls right after.
#[must_use]
pub fn borrow_of_caller<'fd>(fd: RawFd) -> Option<BorrowedFd<'fd>> {
    if fd < 0 {
        return None;
    }
    // SAFETY: the number isn't -1. Whether it is open is asked of the kernel next, which is a
    // well-defined question for any number; a later close by its owner makes calls on it fail with
    // EBADF or reach what was opened since, never memory.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    nix::fcntl::fcntl(borrowed, nix::fcntl::FcntlArg::F_GETFD).ok().map(|_| borrowed)
}
