//! The container's terminal: a pty of its own devpts.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::stat::{SFlag, makedev};
use nix::sys::statfs::{FsType, fstatfs};

use crate::rootfs::masks::is_device;
use crate::rootfs::mounts::Fault;
use crate::rootfs::paths;
use crate::spec::ConsoleSize;
use crate::sys::mount::{self, OPEN_TREE_CLONE};
use crate::sys::{process, terminal};

/// Both sides of the container's pty.
pub(super) struct Pty {
    pub(super) master: OwnedFd,
    pub(super) slave: OwnedFd,
}

/// What becomes of /dev/console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Console {
    /// Nothing: the container has been made.
    None,
    /// It is the pty, where there is one: /dev is a directory of the host's.
    Present,
    /// It is the pty.
    Made,
}

/// Makes a pty in the container's devpts and binds it on /dev/console.
///
/// The slave comes from the master by ioctl, never by a path that the rootfs could redirect
/// (CVE-2025-52565).
///
/// # Errors
/// ENODEV where /dev/pts of the container isn't a devpts.
pub(super) fn open(
    root: BorrowedFd<'_>,
    size: ConsoleSize,
    console: Console,
) -> Result<Pty, Fault> {
    // Only the kernel makes entries of a devpts. Another directory's may be any device, and opening
    // alone does something on some.
    let pts = paths::open_in_root(root, c"/dev/pts", libc::O_PATH | libc::O_DIRECTORY, 0)?;
    if !is_devpts(pts.as_fd())? {
        return Err(Errno::ENODEV.into());
    }
    let master = paths::open_entry(pts.as_fd(), c"ptmx", libc::O_RDWR | libc::O_NOCTTY)?;
    if !is_device(master.as_fd(), SFlag::S_IFCHR, makedev(5, 2))? {
        return Err(Errno::ENODEV.into());
    }
    terminal::unlock(master.as_fd())?;
    let slave = terminal::peer(master.as_fd())?;
    if size.width > 0 && size.height > 0 {
        terminal::set_size(master.as_fd(), size.height, size.width)?;
    }
    let target = match console {
        Console::None => None,
        Console::Made => Some(paths::ensure_file(root, c"/dev/console", 0o600)?),
        Console::Present => match paths::open_in_root(root, c"/dev/console", libc::O_PATH, 0) {
            Ok(found) => Some(found),
            Err(Errno::ENOENT) => None,
            Err(errno) => return Err(errno.into()),
        },
    };
    if let Some(target) = target {
        let tree = mount::open_tree_at(slave.as_fd(), OPEN_TREE_CLONE)?;
        mount::move_mount(tree.as_fd(), target.as_fd())?;
    }
    Ok(Pty { master, slave })
}

fn is_devpts(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    // `statfs(2)`; the type of the number differs between C libraries.
    Ok(fstatfs(fd)?.filesystem_type() == FsType(0x1cd1))
}

/// Makes the pty this session's terminal and standard input, output and error.
///
/// # Errors
/// EPERM where this process leads no session.
pub(super) fn take(slave: BorrowedFd<'_>) -> Result<(), Fault> {
    terminal::make_controlling(slave)?;
    for target in 0..3 {
        process::install_fd(slave.as_raw_fd(), target)?;
    }
    Ok(())
}
