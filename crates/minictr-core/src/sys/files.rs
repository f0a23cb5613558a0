//! Files: cloned extents, extended attributes.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

/// Makes `target` share the extents of `source`, where the filesystem can. `FICLONE`,
/// `ioctl_ficlone(2)`.
///
/// # Errors
/// EOPNOTSUPP, EXDEV, EINVAL or ENOTTY where it can't.
pub fn clone_file(source: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: the request takes a descriptor by value.
    Errno::result(unsafe { libc::ioctl(target.as_raw_fd(), libc::FICLONE, source.as_raw_fd()) })
        .map(drop)
}

/// Names of a file's extended attributes, each ended by a NUL. `flistxattr(2)`.
///
/// # Errors
/// EOPNOTSUPP where the filesystem has none, E2BIG over 64 KiB.
pub fn list_attributes(file: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    grow(|buffer| {
        // SAFETY: pointer and length describe the buffer.
        unsafe { libc::flistxattr(file.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) }
    })
}

/// The value of an extended attribute. `fgetxattr(2)`.
///
/// # Errors
/// ENODATA where it isn't set, E2BIG over 64 KiB.
pub fn get_attribute(file: BorrowedFd<'_>, name: &CStr) -> Result<Vec<u8>, Errno> {
    grow(|buffer| {
        // SAFETY: name is NUL-terminated; pointer and length describe the buffer.
        unsafe {
            libc::fgetxattr(
                file.as_raw_fd(),
                name.as_ptr(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
            )
        }
    })
}

/// Sets an extended attribute. `fsetxattr(2)`.
///
/// # Errors
/// EPERM for a namespace of names that needs a privilege, EOPNOTSUPP, ENOSPC.
pub fn set_attribute(file: BorrowedFd<'_>, name: &CStr, value: &[u8]) -> Result<(), Errno> {
    // SAFETY: name is NUL-terminated; pointer and length describe the value.
    Errno::result(unsafe {
        libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0)
    })
    .map(drop)
}

/// Calls with a growing buffer until what it fills in fits.
fn grow(mut call: impl FnMut(&mut [u8]) -> isize) -> Result<Vec<u8>, Errno> {
    let mut size = 1024;
    loop {
        let mut buffer = vec![0; size];
        match Errno::result(call(&mut buffer)) {
            Ok(count) => {
                buffer.truncate(count as usize);
                return Ok(buffer);
            }
            // The kernel's own limit on either is 64 KiB.
            Err(Errno::ERANGE) if size < 65_536 => size *= 4,
            Err(Errno::ERANGE) => return Err(Errno::E2BIG),
            Err(errno) => return Err(errno),
        }
    }
}
