//! `openat2(2)`: opening with limits on how the path may be walked.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::features::{Interface, need};

/// The walk may not leave the mount it starts on.
pub const RESOLVE_NO_XDEV: u64 = 0x01;
/// Links such as those of `/proc/PID/fd` aren't followed.
pub const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
/// No symbolic link is followed at all.
pub const RESOLVE_NO_SYMLINKS: u64 = 0x04;
/// The walk may not leave the directory it starts at.
pub const RESOLVE_BENEATH: u64 = 0x08;
/// The directory it starts at is `/` for absolute paths, links and `..`.
pub const RESOLVE_IN_ROOT: u64 = 0x10;
/// Only names in the kernel's cache; EAGAIN otherwise (Linux 5.12).
pub const RESOLVE_CACHED: u64 = 0x20;

#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// Opens `path` below `dir`, close-on-exec.
///
/// # Errors
/// ENOSYS before Linux 5.6; ELOOP for a link that `resolve` forbids, EXDEV for a walk that leaves, EAGAIN where a concurrent
/// rename made the answer uncertain or the cache has none.
pub fn openat2(
    dir: BorrowedFd<'_>,
    path: &CStr,
    flags: i32,
    mode: u32,
    resolve: u64,
) -> Result<OwnedFd, Errno> {
    need(Interface::Openat2)?;
    if resolve & RESOLVE_CACHED != 0 {
        need(Interface::ResolveCached)?;
    }
    let how =
        OpenHow { flags: (flags | libc::O_CLOEXEC) as u32 as u64, mode: u64::from(mode), resolve };
    // SAFETY: path is NUL-terminated, how is a live `struct open_how` of the size passed; both
    // outlive the call.
    let fd = Errno::result(unsafe {
        libc::syscall(
            libc::SYS_openat2,
            dir.as_raw_fd(),
            path.as_ptr(),
            std::ptr::from_ref(&how),
            size_of::<OpenHow>(),
        )
    })?;
    // SAFETY: the kernel just gave us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// The working directory, where a directory descriptor is expected. `AT_FDCWD`.
#[must_use]
pub fn cwd() -> BorrowedFd<'static> {
    // SAFETY: AT_FDCWD isn't a descriptor that can be closed; every *at call takes it, and it isn't
    // -1, the one value that BorrowedFd forbids.
    unsafe { BorrowedFd::borrow_raw(libc::AT_FDCWD) }
}
