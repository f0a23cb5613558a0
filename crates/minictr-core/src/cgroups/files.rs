//! Reading and writing control files, relative to a directory's descriptor.

use std::os::fd::{BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use crate::error::{Error, ErrorCode, Result};

/// No control file that is read here is longer.
const MAX_BYTES: usize = 64 * 1024;

/// Opens a control file.
pub(super) fn open(directory: BorrowedFd<'_>, name: &str, flags: OFlag) -> Result<OwnedFd, Errno> {
    openat(directory, name, flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW, Mode::empty())
}

/// The whole of a control file.
pub(super) fn read(directory: BorrowedFd<'_>, name: &str) -> Result<String, Errno> {
    let file = open(directory, name, OFlag::O_RDONLY)?;
    let mut text = Vec::with_capacity(4096);
    let mut chunk = [0u8; 4096];
    loop {
        match nix::unistd::read(&file, &mut chunk) {
            Ok(0) => break,
            Ok(count) => text.extend_from_slice(&chunk[..count]),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        if text.len() > MAX_BYTES || chunk.len() > text.len() {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// A control file that holds one number; `None` where it isn't there or says `max`.
pub(super) fn number(directory: BorrowedFd<'_>, name: &str) -> Option<u64> {
    read(directory, name).ok()?.trim().parse().ok()
}

/// The number after `key` in a control file of `key value` lines.
pub(super) fn keyed(directory: BorrowedFd<'_>, name: &str, key: &str) -> Option<u64> {
    value_of(&read(directory, name).ok()?, key)
}

/// The number after `key` in `key value` lines.
pub(super) fn value_of(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
        .and_then(|value| value.trim().parse().ok())
}

/// Writes a control file in one call.
pub(super) fn write(
    directory: BorrowedFd<'_>,
    name: &str,
    value: &str,
) -> std::result::Result<(), Errno> {
    let file = open(directory, name, OFlag::O_WRONLY)?;
    nix::unistd::write(&file, value.as_bytes()).map(drop)
}

/// Writes a limit; a failure names the file and the value.
pub(super) fn set(directory: BorrowedFd<'_>, name: &str, value: impl ToString) -> Result<()> {
    let value = value.to_string();
    write(directory, name, &value).map_err(|errno| {
        let error =
            Error::new(ErrorCode::Cgroup, "set", format!("`{name}` to `{value}`")).errno(errno);
        match errno {
            Errno::EBUSY => error.hint("more than that is in use already"),
            Errno::EINVAL | Errno::ERANGE => {
                error.hint("the kernel refuses the value: look at `man 7 cgroups` for its range")
            }
            Errno::ENOENT => {
                error.hint("this kernel doesn't have that limit (swap accounting may be off)")
            }
            Errno::EACCES | Errno::EPERM => error
                .hint("this user may not write that limit; ask for delegation of the controller"),
            _ => error,
        }
    })
}
