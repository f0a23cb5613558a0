//! The mount calls of Linux 5.2 and later, `mount_setattr(2)` of 5.12.
//!
//! A mount is a descriptor until it is attached, so no path is walked twice and nothing that a
//! rootfs holds is followed by accident.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::features::{Interface, need};

/// `open_tree(2)`: clone the mount instead of naming it.
pub const OPEN_TREE_CLONE: u32 = 1;
/// `open_tree(2)`, `mount_setattr(2)`: the whole tree of mounts below.
pub const AT_RECURSIVE: u32 = 0x8000;
/// The path is empty: the descriptor itself is meant.
pub const AT_EMPTY_PATH: u32 = 0x1000;
/// A symbolic link at the end isn't followed.
pub const AT_SYMLINK_NOFOLLOW: u32 = 0x100;

/// Nothing is mounted because it is looked at, autofs(5).
pub const AT_NO_AUTOMOUNT: u32 = 0x800;

/// `mount_setattr(2)`: read-only.
pub const MOUNT_ATTR_RDONLY: u64 = 0x1;
/// `mount_setattr(2)`: no set-user-ID, no file capabilities.
pub const MOUNT_ATTR_NOSUID: u64 = 0x2;
/// `mount_setattr(2)`: device nodes don't open.
pub const MOUNT_ATTR_NODEV: u64 = 0x4;
/// `mount_setattr(2)`: nothing executes.
pub const MOUNT_ATTR_NOEXEC: u64 = 0x8;
/// `mount_setattr(2)`: mask of the access time modes.
pub const MOUNT_ATTR_ATIME_MASK: u64 = 0x70;
/// `mount_setattr(2)`: access times as `relatime`.
pub const MOUNT_ATTR_RELATIME: u64 = 0;
/// `mount_setattr(2)`: no access times.
pub const MOUNT_ATTR_NOATIME: u64 = 0x10;
/// `mount_setattr(2)`: access times on every access.
pub const MOUNT_ATTR_STRICTATIME: u64 = 0x20;
/// `mount_setattr(2)`: no access times of directories.
pub const MOUNT_ATTR_NODIRATIME: u64 = 0x80;
/// `mount_setattr(2)`: ids are shifted by a user namespace's map.
pub const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
/// `mount_setattr(2)`: symbolic links aren't followed.
pub const MOUNT_ATTR_NOSYMFOLLOW: u64 = 0x0020_0000;

/// What `mount_setattr(2)` changes; the kernel's `struct mount_attr`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountAttr {
    /// Attributes to set.
    pub attr_set: u64,
    /// Attributes to clear.
    pub attr_clr: u64,
    /// `MS_PRIVATE` and its like, or 0.
    pub propagation: u64,
    /// User namespace of `MOUNT_ATTR_IDMAP`.
    pub userns_fd: u64,
}

fn to_fd(ret: libc::c_long) -> Result<OwnedFd, Errno> {
    let fd = Errno::result(ret)?;
    // SAFETY: the kernel just returned this descriptor to us, nobody else owns it, and
    // descriptors fit an i32.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Makes a configuration context for a filesystem type, close-on-exec. `fsopen(2)`.
///
/// # Errors
/// ENODEV for an unknown type, EPERM without `CAP_SYS_ADMIN` in the mount namespace's owner.
pub fn fsopen(fs_type: &CStr) -> Result<OwnedFd, Errno> {
    const FSOPEN_CLOEXEC: u32 = 1;
    need(Interface::MountDescriptors)?;
    // SAFETY: fs_type is a NUL-terminated string that outlives the call; the kernel copies it.
    to_fd(unsafe { libc::syscall(libc::SYS_fsopen, fs_type.as_ptr(), FSOPEN_CLOEXEC) })
}

fn fsconfig(
    context: BorrowedFd<'_>,
    command: u32,
    key: Option<&CStr>,
    value: Option<&CStr>,
    aux: i32,
) -> Result<(), Errno> {
    let key = key.map_or(std::ptr::null(), CStr::as_ptr);
    let value = value.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: both strings are NULL or NUL-terminated and outlive the call, and each command below
    // passes the combination that fsconfig(2) lists for it.
    Errno::result(unsafe {
        libc::syscall(libc::SYS_fsconfig, context.as_raw_fd(), command, key, value, aux)
    })
    .map(drop)
}

/// Sets `key=value` on a context.
///
/// # Errors
/// EINVAL for an option that the filesystem doesn't know.
pub fn fsconfig_string(context: BorrowedFd<'_>, key: &CStr, value: &CStr) -> Result<(), Errno> {
    fsconfig(context, 1, Some(key), Some(value), 0)
}

/// Sets a flag on a context.
///
/// # Errors
/// As for [`fsconfig_string`].
pub fn fsconfig_flag(context: BorrowedFd<'_>, key: &CStr) -> Result<(), Errno> {
    fsconfig(context, 0, Some(key), None, 0)
}

/// Sets an option whose value is a descriptor.
///
/// # Errors
/// As for [`fsconfig_string`]; EINVAL where the kernel's filesystem takes no descriptor there.
pub fn fsconfig_fd(context: BorrowedFd<'_>, key: &CStr, fd: BorrowedFd<'_>) -> Result<(), Errno> {
    fsconfig(context, 5, Some(key), None, fd.as_raw_fd())
}

/// Makes the superblock of a context.
///
/// # Errors
/// Whatever the filesystem says, EPERM where this user namespace may not mount it.
pub fn fsconfig_create(context: BorrowedFd<'_>) -> Result<(), Errno> {
    fsconfig(context, 6, None, None, 0)
}

/// Turns a created context into a detached mount, close-on-exec. `fsmount(2)`.
///
/// # Errors
/// EPERM where a fuller view exists that this one may not replace (`mount_too_revealing`).
pub fn fsmount(context: BorrowedFd<'_>, attributes: u64) -> Result<OwnedFd, Errno> {
    const FSMOUNT_CLOEXEC: u32 = 1;
    // SAFETY: no pointers are passed.
    to_fd(unsafe {
        libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), FSMOUNT_CLOEXEC, attributes as u32)
    })
}

/// Names or clones a mount, close-on-exec. `open_tree(2)`; flags `OPEN_TREE_CLONE`, `AT_RECURSIVE`,
/// `AT_EMPTY_PATH`, `AT_SYMLINK_NOFOLLOW`.
///
/// # Errors
/// EINVAL for a mount of another mount namespace, or one with locked mounts below without
/// `AT_RECURSIVE`; EPERM without `CAP_SYS_ADMIN`.
pub fn open_tree(dir: BorrowedFd<'_>, path: &CStr, flags: u32) -> Result<OwnedFd, Errno> {
    need(Interface::MountDescriptors)?;
    let flags = flags | libc::O_CLOEXEC as u32;
    // SAFETY: path is NUL-terminated and outlives the call.
    to_fd(unsafe { libc::syscall(libc::SYS_open_tree, dir.as_raw_fd(), path.as_ptr(), flags) })
}

/// [`open_tree`] of the descriptor itself.
///
/// # Errors
/// As for [`open_tree`].
pub fn open_tree_at(fd: BorrowedFd<'_>, flags: u32) -> Result<OwnedFd, Errno> {
    open_tree(fd, c"", flags | AT_EMPTY_PATH)
}

/// Attaches the mount that `mount` is on the directory or file that `target` is. `move_mount(2)`.
///
/// # Errors
/// ENOTDIR for a directory on a file or the reverse; EINVAL where the target isn't in this
/// mount namespace.
pub fn move_mount(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Errno> {
    const F_EMPTY_PATH: u32 = 0x4;
    const T_EMPTY_PATH: u32 = 0x40;
    // SAFETY: both paths are the static empty string.
    Errno::result(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            c"".as_ptr(),
            target.as_raw_fd(),
            c"".as_ptr(),
            F_EMPTY_PATH | T_EMPTY_PATH,
        )
    })
    .map(drop)
}

/// Attaches a mount on an entry of a directory; a symbolic link there isn't followed.
///
/// # Errors
/// As for [`move_mount`].
pub fn move_mount_onto(
    mount: BorrowedFd<'_>,
    directory: BorrowedFd<'_>,
    name: &CStr,
) -> Result<(), Errno> {
    const F_EMPTY_PATH: u32 = 0x4;
    // SAFETY: the first path is the static empty string, the second is NUL-terminated and outlives
    // the call.
    Errno::result(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            c"".as_ptr(),
            directory.as_raw_fd(),
            name.as_ptr(),
            F_EMPTY_PATH,
        )
    })
    .map(drop)
}

/// Changes attributes, propagation or id map of the mount that `mount` is, with `AT_RECURSIVE` of
/// all below it. `mount_setattr(2)`.
///
/// # Errors
/// EINVAL where the filesystem can't be idmapped, EPERM for a locked attribute or without
/// privilege over the filesystem; ENOSYS before Linux 5.12.
pub fn mount_setattr(mount: BorrowedFd<'_>, flags: u32, attr: &MountAttr) -> Result<(), Errno> {
    need(Interface::MountSetattr)?;
    // SAFETY: attr is a live `struct mount_attr` of exactly the size passed, which is the layout
    // of its first version; the path is static.
    Errno::result(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags | AT_EMPTY_PATH,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    })
    .map(drop)
}

/// The number of the mount that `path` of `dir` is on, for as long as it is mounted; the empty path
/// is the descriptor's own. `statx(2)`, `STATX_MNT_ID`.
///
/// # Errors
/// Those of `statx(2)`; ENOSYS before Linux 5.8.
pub fn mount_id(dir: BorrowedFd<'_>, path: &CStr) -> Result<u64, Errno> {
    const STATX_MNT_ID: u32 = 0x1000;
    /// `struct statx`, as its number of 64-bit words, and the word of `stx_mnt_id`.
    const WORDS: usize = 32;
    const MNT_ID: usize = 18;
    let mut found = [0u64; WORDS];
    // SAFETY: path is NUL-terminated, and found is as large and as aligned as `struct statx`; both
    // outlive the call.
    Errno::result(unsafe {
        libc::syscall(
            libc::SYS_statx,
            dir.as_raw_fd(),
            path.as_ptr(),
            AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
            STATX_MNT_ID,
            found.as_mut_ptr(),
        )
    })?;
    // The first 32-bit word is `stx_mask`, what the kernel filled in.
    let mut mask = [0u8; 4];
    mask.copy_from_slice(&found[0].to_ne_bytes()[..4]);
    if u32::from_ne_bytes(mask) & STATX_MNT_ID == 0 {
        return Err(Errno::ENOSYS);
    }
    Ok(found[MNT_ID])
}
