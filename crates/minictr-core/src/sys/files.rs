//! Files: read whole, cloned extents, extended attributes, owners of pipes.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

/// No file that is read whole is longer.
const MOST: usize = 64 * 1024 * 1024;

/// The whole of a file, at most 64 MiB of it. Those of the kernel have no size beforehand; in the
/// pieces that they are given in, most take one call and one that finds the end.
///
/// # Errors
/// Those of `read(2)`.
pub fn read_whole(file: impl AsFd) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; 4096];
    let mut length = 0;
    loop {
        match nix::unistd::read(&file, &mut bytes[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        if length == bytes.len() {
            if length >= MOST {
                break;
            }
            bytes.resize(2 * length, 0);
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// Writes everything.
///
/// # Errors
/// Those of `write(2)`.
pub fn write_whole(file: impl AsFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match nix::unistd::write(&file, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// The text of a file of the kernel's, such as those of `/proc`.
///
/// # Errors
/// Those of `open(2)` and `read(2)`.
pub fn read_text(path: &str) -> Result<String, Errno> {
    let file = open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
    Ok(String::from_utf8_lossy(&read_whole(&file)?).into_owned())
}

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

/// `statfs(2)`.
const PIPEFS_MAGIC: libc::__fsword_t = 0x5049_5045;

/// Whether a descriptor is a pipe without a name: one that lies in no filesystem of anybody's.
#[must_use]
pub fn is_pipe(fd: RawFd) -> bool {
    let mut stat = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the pointer is to memory of that type; any number is a descriptor or EBADF.
    let found = unsafe { libc::fstatfs(fd, stat.as_mut_ptr()) };
    // SAFETY: a call that succeeded has filled it in.
    found == 0 && unsafe { stat.assume_init() }.f_type == PIPEFS_MAGIC
}

/// Makes a pipe belong to a user, so that the user can open it by its path: `/dev/stdin` and the
/// like lead to it, and only the owner of a pipe may. Where that fails the path can't be opened, and
/// the descriptor works all the same.
pub fn give_pipe(fd: RawFd, uid: u32, gid: u32) {
    // SAFETY: plain numbers; any is a descriptor or EBADF.
    let _ = unsafe { libc::fchown(fd, uid, gid) };
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
