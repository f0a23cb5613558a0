//! `tmpcopyup`: a tmpfs that starts with what the directory under it holds.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{Gid, Uid, fchown, fchownat, symlinkat};

use super::attributes::{self, Change};
use crate::sys::mount::{self, MountAttr};

/// How deep a copied tree may be: it is copied by recursion, in a process with an ordinary stack.
const MAX_DEPTH: usize = 128;

/// Mounts a tmpfs on `target` and copies into it what `target` held: directories, regular files and
/// symbolic links with mode and owner. Other kinds of file are left out.
///
/// # Errors
/// Those of mounting; ENOSPC where the tmpfs's size is too small; ELOOP for a tree deeper than 128.
pub fn mount_with_contents(
    target: BorrowedFd<'_>,
    source: &CStr,
    attr: &MountAttr,
    data: &CStr,
) -> Result<(), Errno> {
    let directory = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let original = openat(target, c".", directory, Mode::empty())?;
    // Filled while it is still detached: attached, it would hide what is copied.
    let context = super::mounts::configured(c"tmpfs", source, data)?;
    let filled = mount::fsmount(context.as_fd(), 0)?;
    // The descriptor of a mount is an O_PATH one, which fchmod(2) and fchown(2) refuse (EBADF).
    let top = openat(&filled, c".", directory, Mode::empty())?;
    copy_directory(original.as_fd(), top.as_fd(), 0)?;
    drop(top);
    attributes::attach(filled.as_fd(), target, &[Change { flags: 0, attr }])
}

fn kind_of(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

fn copy_directory(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: usize) -> Result<(), Errno> {
    if depth > MAX_DEPTH {
        return Err(Errno::ELOOP);
    }
    let listing = from.try_clone_to_owned().map_err(|_| Errno::EMFILE)?;
    for entry in nix::dir::Dir::from_fd(listing)?.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let stat = fstatat(from, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        match kind_of(&stat) {
            SFlag::S_IFDIR => {
                mkdirat(to, name, Mode::from_bits_truncate(0o700))?;
                let directory =
                    OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let from = openat(from, name, directory, Mode::empty())?;
                let to = openat(to, name, directory, Mode::empty())?;
                copy_directory(from.as_fd(), to.as_fd(), depth + 1)?;
            }
            SFlag::S_IFREG => copy_file(from, to, name, &stat)?,
            SFlag::S_IFLNK => {
                let link = nix::fcntl::readlinkat(from, name)?;
                symlinkat(link.as_os_str(), to, name)?;
                let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
                tolerate_owner(fchownat(
                    to,
                    name,
                    Some(uid),
                    Some(gid),
                    AtFlags::AT_SYMLINK_NOFOLLOW,
                ))?;
            }
            _ => {}
        }
    }
    let stat = fstat(from)?;
    give_owner_and_mode(to, &stat)
}

fn copy_file(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &CStr,
    stat: &FileStat,
) -> Result<(), Errno> {
    let read = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let write = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
    let input = openat(from, name, read, Mode::empty())?;
    let output = openat(to, name, write, Mode::from_bits_truncate(0o600))?;
    let mut buffer = [0u8; 16384];
    loop {
        let count = nix::unistd::read(&input, &mut buffer)?;
        if count == 0 {
            break;
        }
        let mut written = 0;
        while written < count {
            written += nix::unistd::write(&output, &buffer[written..count])?;
        }
    }
    give_owner_and_mode(output.as_fd(), stat)
}

fn give_owner_and_mode(fd: BorrowedFd<'_>, stat: &FileStat) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    tolerate_owner(fchown(fd, Some(uid), Some(gid)))?;
    fchmod(fd, Mode::from_bits_truncate(stat.st_mode & 0o7777))
}

/// EINVAL and EPERM: the owner isn't in the container's id map, so no copy of ours can have it.
fn tolerate_owner(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::EINVAL | Errno::EPERM) => Ok(()),
        result => result,
    }
}
