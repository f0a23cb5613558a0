//! A file of the container that has lines more than the rootfs's: a copy on a tmpfs of its own covers
//! it, so that nothing is written to the rootfs.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::mount::{MntFlags, umount2};
use nix::sys::stat::{Mode, SFlag, fchmod, fstat};
use nix::unistd::fchdir;

use super::mounts::{Fault, PART_TARGET, part};
use super::overlay::new_tmpfs;
use super::paths;
use crate::sys::files::{read_whole, write_whole};
use crate::sys::mount::{
    self, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, OPEN_TREE_CLONE,
};

/// What a file is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// Lines after those that the rootfs's file has.
    pub further: Vec<u8>,
    /// Lines before them where it has none.
    pub otherwise: Vec<u8>,
}

impl Lines {
    /// Child: covers a file, which is made empty where `create` says so and it is missing.
    ///
    /// # Errors
    /// With [`PART_TARGET`] EINVAL where it isn't a file, and what finding and reading it fails with;
    /// those of making a tmpfs and of mounting.
    pub(super) fn cover(
        &self,
        root: BorrowedFd<'_>,
        path: &CStr,
        create: bool,
    ) -> Result<(), Fault> {
        let target = if create {
            paths::ensure_file(root, path, 0o644)
        } else {
            paths::open_in_root(root, path, libc::O_PATH, 0)
        }
        .map_err(part(PART_TARGET))?;
        // Looked at before it is opened: opening a device or a FIFO could do more, or wait.
        is_file(target.as_fd()).map_err(part(PART_TARGET))?;
        let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
        let mut text = paths::open_in_root(root, path, flags, 0)
            .and_then(|file| is_file(file.as_fd()).and_then(|()| read_whole(&file)))
            .map_err(part(PART_TARGET))?;
        if text.is_empty() {
            text.extend_from_slice(&self.otherwise);
        } else if !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        text.extend_from_slice(&self.further);

        let attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
        let own = new_tmpfs(c"0755", None, attributes)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let file = openat(&own, NAME, flags, Mode::from_bits_truncate(0o644))?;
        write_whole(&file, &text)?;
        // Whatever the caller's mask is.
        fchmod(&file, Mode::from_bits_truncate(0o644))?;
        // A file of a mount that is attached nowhere can't be cloned before Linux 6.15.
        mount::move_mount(own.as_fd(), root)?;
        let cover = mount::open_tree(own.as_fd(), NAME, OPEN_TREE_CLONE);
        fchdir(&own)?;
        umount2(c".", MntFlags::MNT_DETACH)?;
        fchdir(root)?;
        mount::move_mount(cover?.as_fd(), target.as_fd())?;
        Ok(())
    }
}

/// The one file of the tmpfs.
const NAME: &CStr = c"file";

fn is_file(file: BorrowedFd<'_>) -> Result<(), Errno> {
    let kind = fstat(file)?.st_mode & SFlag::S_IFMT.bits();
    if kind == SFlag::S_IFREG.bits() { Ok(()) } else { Err(Errno::EINVAL) }
}
