//! Masked and read-only paths, devices and the links of /dev.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::{Mode, SFlag, fstat, mknodat, umask};
use nix::unistd::{Gid, Uid, fchownat};

use super::attributes::{self, Change};
use super::mounts::{Fault, is_directory};
use super::paths;
use crate::sys::mount::{
    self, AT_RECURSIVE, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY,
    OPEN_TREE_CLONE,
};

/// A device node to make in the container.
#[derive(Debug)]
pub struct DevicePlan {
    /// The directory that it is made in.
    pub directory: CString,
    /// Its name there.
    pub name: CString,
    /// `S_IFCHR`, `S_IFBLK` or `S_IFIFO`.
    pub kind: SFlag,
    /// Permission bits.
    pub mode: u32,
    /// Device number.
    pub rdev: u64,
    /// Owner in the container.
    pub uid: u32,
    /// Group in the container.
    pub gid: u32,
    /// Host path to bind, where this user namespace may not make device nodes.
    pub bind_from: Option<CString>,
}

/// Makes a device node in its directory, or binds the host's.
///
/// # Errors
/// ENODEV where the host's path isn't that device; EEXIST where the rootfs has something else there.
pub fn make_device(directory: BorrowedFd<'_>, device: &DevicePlan) -> Result<(), Fault> {
    match &device.bind_from {
        Some(host_path) => {
            let tree = mount::open_tree(paths::cwd(), host_path, OPEN_TREE_CLONE)
                .map_err(super::mounts::part(super::mounts::PART_SOURCE))?;
            // By type and number, after opening: a path proves nothing (CVE-2025-31133).
            if !is_device(tree.as_fd(), device.kind, device.rdev)? {
                return Err(Errno::ENODEV.into());
            }
            let mode = Mode::from_bits_truncate(0o644);
            match mknodat(directory, device.name.as_c_str(), SFlag::S_IFREG, mode, 0) {
                Ok(()) => mount::move_mount_onto(tree.as_fd(), directory, &device.name)?,
                Err(Errno::EEXIST) => {
                    let target = paths::ensure_file_at(directory, &device.name, 0o644)?;
                    mount::move_mount(tree.as_fd(), target.as_fd())?;
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        None => {
            let mode = Mode::from_bits_truncate(device.mode);
            // Made with its mode, for which the umask has to be out of the way: by the time of a
            // chmod(2) the name may be a link to a file of the host's.
            let umask = umask(Mode::empty());
            let made = mknodat(directory, device.name.as_c_str(), device.kind, mode, device.rdev);
            nix::sys::stat::umask(umask);
            match made {
                Ok(()) if device.uid == 0 && device.gid == 0 => return Ok(()),
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
            let found = paths::open_entry(directory, &device.name, libc::O_PATH)?;
            if !is_device(found.as_fd(), device.kind, device.rdev)? {
                return Err(Errno::EEXIST.into());
            }
            if made.is_ok() {
                let (uid, gid) = (Uid::from_raw(device.uid), Gid::from_raw(device.gid));
                fchownat(&found, c"", Some(uid), Some(gid), AtFlags::AT_EMPTY_PATH)?;
            }
        }
    }
    Ok(())
}

/// Whether the descriptor is the device of that kind and number.
///
/// # Errors
/// Those of `fstat(2)`.
pub fn is_device(fd: BorrowedFd<'_>, kind: SFlag, rdev: u64) -> Result<bool, Errno> {
    let found = fstat(fd)?;
    let found_kind = found.st_mode & SFlag::S_IFMT.bits();
    Ok(found_kind == kind.bits() && (kind == SFlag::S_IFIFO || found.st_rdev == rdev))
}

/// The links that programs expect in /dev; `ptmx` is the container's own devpts.
pub const DEV_LINKS: &[(&CStr, &CStr)] = &[
    (c"fd", c"/proc/self/fd"),
    (c"stdin", c"/proc/self/fd/0"),
    (c"stdout", c"/proc/self/fd/1"),
    (c"stderr", c"/proc/self/fd/2"),
    (c"ptmx", c"pts/ptmx"),
];

/// Makes the links of /dev; what is there already stays.
///
/// # Errors
/// EROFS, and the others of `symlinkat(2)`.
pub fn make_dev_links(dev: BorrowedFd<'_>) -> Result<(), Fault> {
    for (name, target) in DEV_LINKS {
        match nix::unistd::symlinkat(*target, dev, *name) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// What masked paths are covered with: one /dev/null and one empty directory for all of them.
#[derive(Debug, Default)]
pub struct Masks {
    null: Option<Cover>,
    empty_directory: Option<Cover>,
    /// The mounts of the kernel's files, by where they were mounted.
    kernel_files: Vec<(CString, OwnedFd)>,
}

/// A mount that covers paths: attached itself at the first, cloned for the others, since kernels
/// before 6.15 clone only attached mounts.
#[derive(Debug)]
struct Cover {
    mount: OwnedFd,
    attached: bool,
}

impl Cover {
    fn put_on(&mut self, target: BorrowedFd<'_>) -> Result<(), Errno> {
        if self.attached {
            let clone = mount::open_tree_at(self.mount.as_fd(), OPEN_TREE_CLONE)?;
            return mount::move_mount(clone.as_fd(), target);
        }
        mount::move_mount(self.mount.as_fd(), target)?;
        self.attached = true;
        Ok(())
    }
}

fn null_cover() -> Result<Cover, Errno> {
    let mount = mount::open_tree(paths::cwd(), c"/dev/null", OPEN_TREE_CLONE)?;
    if !is_device(mount.as_fd(), SFlag::S_IFCHR, nix::sys::stat::makedev(1, 3))? {
        return Err(Errno::ENODEV);
    }
    Ok(Cover { mount, attached: false })
}

fn empty_directory_cover() -> Result<Cover, Errno> {
    let context = mount::fsopen(c"tmpfs")?;
    mount::fsconfig_string(context.as_fd(), c"mode", c"755")?;
    mount::fsconfig_string(context.as_fd(), c"nr_inodes", c"1")?;
    mount::fsconfig_create(context.as_fd())?;
    let attr = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    Ok(Cover { mount: mount::fsmount(context.as_fd(), attr)?, attached: false })
}

fn made(
    cover: &mut Option<Cover>,
    make: impl FnOnce() -> Result<Cover, Errno>,
) -> Result<&mut Cover, Errno> {
    if cover.is_none() {
        *cover = Some(make()?);
    }
    cover.as_mut().ok_or(Errno::EBADF)
}

impl Masks {
    /// Notes a mount of the kernel's own files. Paths below its destination mean files of this mount:
    /// whoever shares the rootfs may move its mount point away, and the mount with it, and leave
    /// something else to be masked.
    pub fn note(&mut self, destination: &CStr, mount: OwnedFd) {
        self.kernel_files.retain(|(noted, _)| noted.as_c_str() != destination);
        self.kernel_files.push((destination.to_owned(), mount));
    }

    fn existing(&self, root: BorrowedFd<'_>, path: &CStr) -> Result<Option<OwnedFd>, Errno> {
        let below = |noted: &CStr| {
            let rest = path.to_bytes_with_nul().strip_prefix(noted.to_bytes())?;
            CStr::from_bytes_with_nul(rest)
                .ok()
                .filter(|rest| rest.to_bytes().first() == Some(&b'/'))
        };
        let found =
            self.kernel_files.iter().find_map(|(noted, mount)| Some((mount, below(noted)?)));
        let opened = match found {
            Some((mount, rest)) => paths::open_in_root(mount.as_fd(), rest, libc::O_PATH, 0),
            None => paths::open_in_root(root, path, libc::O_PATH, 0),
        };
        match opened {
            Ok(fd) => Ok(Some(fd)),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Makes one path read-only, with the mounts below it. A path that doesn't exist can't be written.
    ///
    /// # Errors
    /// Those of the mount calls.
    pub fn make_read_only(&self, root: BorrowedFd<'_>, path: &CStr) -> Result<(), Fault> {
        let Some(target) = self.existing(root, path)? else { return Ok(()) };
        let tree = mount::open_tree_at(target.as_fd(), OPEN_TREE_CLONE | AT_RECURSIVE)?;
        let read_only = Change { flags: AT_RECURSIVE, attr: &attributes::READ_ONLY };
        Ok(attributes::attach(tree.as_fd(), target.as_fd(), &[read_only])?)
    }

    /// Covers one path: a directory with an empty read-only one, anything else with /dev/null.
    /// A path that doesn't exist is nothing to hide.
    ///
    /// # Errors
    /// Those of the mount calls.
    pub fn mask(&mut self, root: BorrowedFd<'_>, path: &CStr) -> Result<(), Fault> {
        let Some(target) = self.existing(root, path)? else { return Ok(()) };
        // Asked beforehand: a clone that is found not to fit has to be taken apart again, for which
        // the kernel waits until nobody can see it any more.
        let cover = if is_directory(target.as_fd())? {
            made(&mut self.empty_directory, empty_directory_cover)?
        } else {
            made(&mut self.null, null_cover)?
        };
        Ok(cover.put_on(target.as_fd())?)
    }
}
