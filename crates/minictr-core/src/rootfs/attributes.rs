//! Attributes of mounts: by `mount_setattr(2)`, or on a kernel without it (before Linux 5.12) by a
//! remount of each mount.
//!
//! Only an attached mount can be remounted, so there a mount is attached first and changed right
//! after. Nothing of a container runs by then: all of this is done by the child, before it executes
//! anything, in a mount namespace of its own. Callers: the steps that mount.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::mount::MsFlags;
use nix::sys::statvfs::{FsFlags, fstatvfs};

use super::paths;
use crate::sys::features::{self, Interface};
use crate::sys::mount::{
    self, AT_RECURSIVE, MOUNT_ATTR_ATIME_MASK, MOUNT_ATTR_NOATIME, MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NODIRATIME, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY,
    MOUNT_ATTR_STRICTATIME, MountAttr,
};

/// Attributes that a remount can set and clear, as both interfaces and `statvfs(3)` name them.
const KNOWN: [(u64, MsFlags, FsFlags); 5] = [
    (MOUNT_ATTR_RDONLY, MsFlags::MS_RDONLY, FsFlags::ST_RDONLY),
    (MOUNT_ATTR_NOSUID, MsFlags::MS_NOSUID, FsFlags::ST_NOSUID),
    (MOUNT_ATTR_NODEV, MsFlags::MS_NODEV, FsFlags::ST_NODEV),
    (MOUNT_ATTR_NOEXEC, MsFlags::MS_NOEXEC, FsFlags::ST_NOEXEC),
    (MOUNT_ATTR_NODIRATIME, MsFlags::MS_NODIRATIME, FsFlags::ST_NODIRATIME),
];

/// One change of a mount, or of all below it as well.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<'a> {
    /// `AT_RECURSIVE` or 0.
    pub(crate) flags: u32,
    /// What is changed.
    pub(crate) attr: &'a MountAttr,
}

/// Read-only, and nothing else.
pub(crate) const READ_ONLY: MountAttr =
    MountAttr { attr_set: MOUNT_ATTR_RDONLY, attr_clr: 0, propagation: 0, userns_fd: 0 };

/// Attaches a detached mount to what `target` is, with changed attributes.
///
/// # Errors
/// Those of `move_mount(2)`, those of [`set`].
pub(crate) fn attach(
    tree: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    changes: &[Change<'_>],
) -> Result<(), Errno> {
    let apply = || changes.iter().try_for_each(|change| set(tree, change.flags, change.attr));
    if features::has(Interface::MountSetattr) {
        apply()?;
        return mount::move_mount(tree, target);
    }
    mount::move_mount(tree, target)?;
    apply()
}

/// Changes an attached mount.
///
/// # Errors
/// Those of `mount_setattr(2)` or `mount(2)`; ENOSYS for `nosymfollow` and shifted ids on a kernel
/// without the former.
pub(crate) fn set(mount: BorrowedFd<'_>, flags: u32, attr: &MountAttr) -> Result<(), Errno> {
    if *attr == MountAttr::default() {
        return Ok(());
    }
    if features::has(Interface::MountSetattr) {
        return mount::mount_setattr(mount, flags, attr);
    }
    let recursive = flags & AT_RECURSIVE != 0;
    if attr.attr_set | attr.attr_clr != 0 {
        remount(mount, attr)?;
        if recursive {
            for below in mounts_below(mount)? {
                match paths::open_in_root(mount, &below, libc::O_PATH | libc::O_NOFOLLOW, 0) {
                    Ok(below) => remount(below.as_fd(), attr)?,
                    // Covered by another mount: nothing leads to it.
                    Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                    Err(errno) => return Err(errno),
                }
            }
        }
    }
    if attr.propagation != 0 {
        let mut kind = MsFlags::from_bits_retain(attr.propagation);
        kind.set(MsFlags::MS_REC, recursive);
        call(mount, kind)?;
    }
    Ok(())
}

fn remount(mount: BorrowedFd<'_>, attr: &MountAttr) -> Result<(), Errno> {
    let known = KNOWN.iter().fold(MOUNT_ATTR_ATIME_MASK, |known, (bit, ..)| known | bit);
    if (attr.attr_set | attr.attr_clr) & !known != 0 {
        return Err(Errno::ENOSYS);
    }
    // A remount sets all flags: those that stay are named too, or it would be refused where they
    // are locked. Without any of access times it leaves these.
    let now = fstatvfs(mount)?.flags();
    let mut flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND;
    for (bit, flag, present) in KNOWN {
        let stays = now.contains(present) && attr.attr_clr & bit == 0;
        flags.set(flag, stays || attr.attr_set & bit != 0);
    }
    if attr.attr_clr & MOUNT_ATTR_ATIME_MASK != 0 {
        flags |= match attr.attr_set & MOUNT_ATTR_ATIME_MASK {
            MOUNT_ATTR_NOATIME => MsFlags::MS_NOATIME,
            MOUNT_ATTR_STRICTATIME => MsFlags::MS_STRICTATIME,
            _ => MsFlags::MS_RELATIME,
        };
    }
    call(mount, flags)
}

/// `mount(2)` of what a descriptor is. Its name is in the host's /proc: no step that comes here is
/// after the change of the root.
fn call(mount: BorrowedFd<'_>, flags: MsFlags) -> Result<(), Errno> {
    let path = c_string(format!("/proc/self/fd/{}", mount.as_raw_fd()))?;
    let none: Option<&std::ffi::CStr> = None;
    nix::mount::mount(none, path.as_c_str(), none, flags, none)
}

/// Paths of all mounts below one, from it; those above others first.
fn mounts_below(mount: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
    let read = |path: &str| {
        std::fs::read_to_string(path)
            .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    };
    let info = read(&format!("/proc/self/fdinfo/{}", mount.as_raw_fd()))?;
    let id = info
        .lines()
        .find_map(|line| line.strip_prefix("mnt_id:"))
        .ok_or(Errno::EINVAL)?
        .trim()
        .to_owned();
    below(&read("/proc/self/mountinfo")?, &id).into_iter().map(c_string).collect()
}

fn below(mountinfo: &str, top: &str) -> Vec<String> {
    let mounts: Vec<[&str; 3]> = mountinfo
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            Some([fields.next()?, fields.next()?, fields.nth(2)?])
        })
        .collect();
    let Some([_, _, top_path]) = mounts.iter().find(|[id, ..]| *id == top) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    let mut above = vec![top];
    while let Some(parent) = above.pop() {
        for [id, _, path] in mounts.iter().filter(|[id, of, _]| *of == parent && *id != parent) {
            above.push(id);
            let relative = path.strip_prefix(top_path.trim_end_matches('/')).unwrap_or(path);
            found.push(unescape(relative.trim_start_matches('/')));
        }
    }
    found.sort();
    found
}

/// A path of mountinfo without its octal escapes, `proc_pid_mountinfo(5)`.
pub(crate) fn unescape(field: &str) -> String {
    ["\\040", "\\011", "\\012", "\\134"]
        .iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(field.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

fn c_string(text: String) -> Result<CString, Errno> {
    CString::new(text).map_err(|_| Errno::EINVAL)
}

#[cfg(test)]
mod tests {
    use super::below;

    const MOUNTS: &str = "\
20 1 8:1 / / rw - ext4 /dev/sda1 rw
30 20 0:30 / /rootfs rw - tmpfs tmpfs rw
31 30 0:31 / /rootfs/with\\040space rw - tmpfs tmpfs rw
32 31 0:32 / /rootfs/with\\040space/deep rw - tmpfs tmpfs rw
40 20 0:40 / /rootfs-beside rw - tmpfs tmpfs rw
";

    #[test]
    fn mounts_below_are_found_at_every_depth_and_no_others() {
        assert_eq!(below(MOUNTS, "30"), ["with space", "with space/deep"]);
        assert_eq!(below(MOUNTS, "40"), [] as [&str; 0]);
        assert_eq!(below(MOUNTS, "20").len(), 4);
    }
}
