//! The root itself: attached, given a private layer where one is needed, made `/`.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::mount::{MntFlags, MsFlags};
use nix::sched::CloneFlags;
use nix::sys::stat::{Mode, SFlag, fstat, fstatat, mkdirat};
use nix::unistd::{fchdir, pivot_root, symlinkat};

use super::attributes::{self, Change};
use super::mounts::{BindSource, Fault, PART_SOURCE, PART_TARGET, is_directory, part};
use super::overlay::{LayerLimits, PrivateLayers, new_tmpfs};
use super::paths;
use crate::sys::mount::{
    self, AT_RECURSIVE, AT_SYMLINK_NOFOLLOW, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOSUID, MountAttr,
    OPEN_TREE_CLONE,
};

/// How the container's root is made.
#[derive(Debug)]
pub struct RootPlan {
    /// The directory.
    pub source: BindSource,
    /// Where it is attached, in the host's view of files: `/`, unless something looks for it
    /// elsewhere before the root is changed.
    pub at: CString,
    /// A private layer over it: everything is writable, nothing is kept.
    pub overlay: Option<LayerLimits>,
    /// The rootfs's own propagation stays, for engines that ask for a shared or slave `/`.
    pub keep_propagation: bool,
    /// Mount points that must exist; those that don't are made in a private layer.
    pub mount_points: Vec<MountPoint>,
}

/// A place that something will be mounted on.
#[derive(Debug)]
pub struct MountPoint {
    /// Absolute path in the container.
    pub path: CString,
    /// What it is to be.
    pub kind: PointKind,
}

/// What a mount point is to be: of the kind of what is mounted there.
#[derive(Debug)]
pub enum PointKind {
    /// A directory.
    Directory,
    /// A file.
    File,
    /// As this path of the host's.
    LikePath(CString),
    /// As the mount with this index in the spawner's list.
    LikePrepared(usize),
}

/// Most entries that a directory may have for its mount points to be made in a private layer.
const MAX_SKELETON_ENTRIES: usize = 4096;
/// [`Fault::part`]: the private layer couldn't be made.
pub const PART_OVERLAY: u32 = 3;
/// [`Fault::part`]: mount points couldn't be made in a private layer.
pub const PART_SKELETON: u32 = 4;

/// Cuts this mount namespace off from the one it was copied from. `MS_PRIVATE`, or `MS_SLAVE` where
/// the container is to see the host's later mounts.
///
/// # Errors
/// Those of `mount(2)`.
pub fn detach_propagation(slave: bool) -> Result<(), Fault> {
    let kind = if slave { MsFlags::MS_SLAVE } else { MsFlags::MS_PRIVATE };
    let none: Option<&CStr> = None;
    Ok(nix::mount::mount(none, c"/", none, MsFlags::MS_REC | kind, none)?)
}

/// Attaches the container's root where its plan says and returns its descriptor.
///
/// Over this mount namespace's `/`, unless a hook looks for it elsewhere: `/` always exists, so no directory of the host is needed as a mount point; what is below stays
/// reachable by path until [`enter`].
///
/// # Errors
/// The errno of the call that failed, with its part.
pub fn attach(plan: &RootPlan, prepared: &[OwnedFd]) -> Result<OwnedFd, Fault> {
    let opened;
    let tree = match &plan.source {
        BindSource::Prepared(index) => prepared[*index].as_fd(),
        BindSource::Path(path) => {
            opened = mount::open_tree(paths::cwd(), path, OPEN_TREE_CLONE | AT_RECURSIVE)
                .map_err(part(PART_SOURCE))?;
            opened.as_fd()
        }
    };
    // move_mount(2) would say EINVAL.
    if !is_directory(tree)? {
        return Err(part(PART_TARGET)(Errno::ENOTDIR));
    }
    let private = MountAttr { propagation: MsFlags::MS_PRIVATE.bits(), ..MountAttr::default() };
    let private = [Change { flags: AT_RECURSIVE, attr: &private }];
    let changes = if plan.keep_propagation { &[] } else { private.as_slice() };
    let root = paths::open_path(&plan.at, libc::O_PATH | libc::O_DIRECTORY)?;
    attributes::attach(tree, root.as_fd(), changes).map_err(part(PART_TARGET))?;
    let mut attached = tree.try_clone_to_owned().map_err(|_| Errno::EMFILE)?;
    if let Some(limits) = &plan.overlay {
        attached = overlay(attached.as_fd(), root.as_fd(), limits).map_err(part(PART_OVERLAY))?;
    }
    if !plan.mount_points.is_empty() {
        attached = private_mount_points(attached, root.as_fd(), &plan.mount_points, prepared)
            .map_err(part(PART_SKELETON))?;
    }
    Ok(attached)
}

/// A private layer over the attached rootfs. `below` is the directory to attach things to.
fn overlay(
    rootfs: BorrowedFd<'_>,
    below: BorrowedFd<'_>,
    limits: &LayerLimits,
) -> Result<OwnedFd, Errno> {
    let lower = mount::open_tree_at(rootfs, OPEN_TREE_CLONE)?;
    let mut layers = PrivateLayers::attach(below, limits)?;
    let merged = layers.over(lower.as_fd())?;
    mount::move_mount(merged.as_fd(), below)?;
    Ok(merged)
}

/// Makes missing mount points without touching the rootfs: the deepest directory that exists is
/// covered by a tmpfs that holds the same entries, each bound from the original, and the missing
/// ones. The cover is read-only: a new entry directly in it would be lost, so it is refused, while
/// everything below its entries stays as writable as it was.
fn private_mount_points(
    root: OwnedFd,
    below: BorrowedFd<'_>,
    points: &[MountPoint],
    prepared: &[OwnedFd],
) -> Result<OwnedFd, Errno> {
    let mut root = root;
    let mut covers: Vec<(Vec<u8>, OwnedFd)> = Vec::new();
    for point in points {
        match paths::open_in_root(root.as_fd(), &point.path, libc::O_PATH, 0) {
            Ok(_) => continue,
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
        let ancestor = deepest_existing(root.as_fd(), point.path.to_bytes())?;
        if !covers.iter().any(|(path, _)| *path == ancestor) {
            let at_top = ancestor == b"/";
            let path = CString::new(ancestor.clone()).map_err(|_| Errno::EINVAL)?;
            let original =
                paths::open_in_root(root.as_fd(), &path, libc::O_RDONLY | libc::O_DIRECTORY, 0)?;
            let attach_to = if at_top {
                below.try_clone_to_owned().map_err(|_| Errno::EMFILE)?
            } else {
                paths::open_in_root(root.as_fd(), &path, libc::O_PATH | libc::O_DIRECTORY, 0)?
            };
            let cover = skeleton(original.as_fd(), attach_to.as_fd())?;
            if at_top {
                root = cover.try_clone().map_err(|_| Errno::EMFILE)?;
            }
            covers.push((ancestor, cover));
        }
        let directory = match &point.kind {
            PointKind::Directory => true,
            PointKind::File => false,
            // A source that can't be opened is the mount's failure, which names it.
            PointKind::LikePath(path) => match paths::open_path(path, libc::O_PATH) {
                Ok(source) => is_directory(source.as_fd())?,
                Err(_) => true,
            },
            PointKind::LikePrepared(index) => is_directory(prepared[*index].as_fd())?,
        };
        if directory {
            paths::ensure_dir(root.as_fd(), &point.path, 0o755)?;
        } else {
            paths::ensure_file(root.as_fd(), &point.path, 0o644)?;
        }
    }
    for (_, cover) in &covers {
        attributes::set(cover.as_fd(), 0, &attributes::READ_ONLY)?;
    }
    Ok(root)
}

/// The longest leading part of an absolute path that exists in the root.
fn deepest_existing(root: BorrowedFd<'_>, path: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut end = path.len();
    while let Some(slash) = path[..end].iter().rposition(|byte| *byte == b'/') {
        if slash == 0 {
            break;
        }
        end = slash;
        let candidate = CString::new(&path[..end]).map_err(|_| Errno::EINVAL)?;
        match paths::open_in_root(root, &candidate, libc::O_PATH | libc::O_DIRECTORY, 0) {
            Ok(_) => return Ok(path[..end].to_vec()),
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(b"/".to_vec())
}

/// Covers the directory that `attach_to` is with a tmpfs that shows the entries of `original`.
fn skeleton(original: BorrowedFd<'_>, attach_to: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let stat = fstat(original)?;
    let cover = new_tmpfs(c"0755", None, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)?;
    mount::move_mount(cover.as_fd(), attach_to)?;
    let copy = original.try_clone_to_owned().map_err(|_| Errno::EMFILE)?;
    let mut entries = nix::dir::Dir::from_fd(copy)?;
    for (count, entry) in entries.iter().enumerate() {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        if count > MAX_SKELETON_ENTRIES {
            return Err(Errno::E2BIG);
        }
        let found = fstatat(original, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let kind = SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits());
        let target = match kind {
            SFlag::S_IFLNK => {
                let link = nix::fcntl::readlinkat(original, name)?;
                symlinkat(link.as_os_str(), &cover, name)?;
                continue;
            }
            SFlag::S_IFDIR => {
                mkdirat(&cover, name, Mode::from_bits_truncate(0o755))?;
                paths::open_entry(cover.as_fd(), name, libc::O_PATH | libc::O_DIRECTORY)?
            }
            _ => paths::ensure_file_at(cover.as_fd(), name, 0o644)?,
        };
        let tree =
            mount::open_tree(original, name, OPEN_TREE_CLONE | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW)?;
        mount::move_mount(tree.as_fd(), target.as_fd())?;
    }
    // By name: the descriptor of a mount is an O_PATH one, which fchmod(2) refuses (EBADF).
    let mode = Mode::from_bits_truncate(stat.st_mode & 0o7777);
    nix::sys::stat::fchmodat(&cover, c".", mode, nix::sys::stat::FchmodatFlags::FollowSymlink)?;
    Ok(cover)
}

/// Makes `/` read-only, without the mounts below it.
///
/// # Errors
/// Those of [`attributes::set`].
pub fn make_root_read_only(root: BorrowedFd<'_>) -> Result<(), Fault> {
    Ok(attributes::set(root, 0, &attributes::READ_ONLY)?)
}

/// Makes `root` this process's `/` and detaches the old one, with all that lay between the two.
///
/// `pivot_root(".", ".")` stacks the old root on the new one's `/`, so no directory of the rootfs
/// is needed for it, `pivot_root(2)`. What the new root was attached over, a rootfs under its private
/// layer, comes along on top of the old root, and a detach takes only the topmost. Whatever is left
/// there would be what `/..` leads to.
///
/// # Errors
/// EINVAL on an initramfs root, where pivot_root can't work.
pub fn enter(root: BorrowedFd<'_>) -> Result<(), Fault> {
    fchdir(root)?;
    pivot_root(c".", c".")?;
    let new = mount::mount_id(root, c"")?;
    // `..` of a root stays there and then goes to the top of what is mounted on it.
    while mount::mount_id(root, c"/..")? != new {
        nix::mount::umount2(c".", MntFlags::MNT_DETACH)?;
    }
    nix::unistd::chdir(c"/")?;
    Ok(())
}

/// Makes `root` this process's `/` without `pivot_root(2)`: moved over the old one, which stays
/// below it, out of reach of paths.
///
/// # Errors
/// Those of `mount(2)` and `chroot(2)`.
pub fn enter_moved(root: BorrowedFd<'_>) -> Result<(), Fault> {
    let none: Option<&CStr> = None;
    fchdir(root)?;
    nix::mount::mount(Some(c"."), c"/", none, MsFlags::MS_MOVE, none)?;
    nix::unistd::chroot(c".")?;
    nix::unistd::chdir(c"/")?;
    Ok(())
}

/// Sets the propagation of the new `/`, for engines that ask for one.
///
/// # Errors
/// Those of `mount(2)`.
pub fn set_propagation(flags: MsFlags) -> Result<(), Fault> {
    let none: Option<&CStr> = None;
    Ok(nix::mount::mount(none, c"/", none, flags, none)?)
}

/// Writes kernel parameters through a procfs of this process's own, so that no mount in the rootfs
/// can redirect them (CVE-2025-52881). `path` is relative, such as `net/ipv4/ip_forward`.
///
/// # Errors
/// ENOENT for an unknown parameter, EACCES or EPERM for one that this namespace may not set.
pub fn write_sysctl(path: &CStr, value: &[u8]) -> Result<(), Fault> {
    let procfs = own_procfs()?;
    let directory = paths::open_beneath(procfs.as_fd(), c"sys", OFlag::O_PATH.bits())?;
    let file = paths::open_beneath(directory.as_fd(), path, libc::O_WRONLY)?;
    match nix::unistd::write(&file, value) {
        Ok(_) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Writes what security modules keep for this process, through a procfs of its own, or where none can
/// be had through the container's, which then must be one. `path` is below the process's directory.
///
/// # Errors
/// ENOENT where the module isn't there, else what it says.
pub fn write_attribute(path: &CStr, value: &[u8]) -> Result<(), Errno> {
    let file = paths::open_beneath(own_process()?.as_fd(), path, libc::O_WRONLY)?;
    nix::unistd::write(&file, value).map(drop)
}

/// Moves this process into the time namespace that it has made for its children, with offsets as
/// `time_namespaces(7)` has them. An execution alone does that in newer kernels, not yet in Linux 6.1.
///
/// # Errors
/// EINVAL and ERANGE for offsets that can't be, EPERM without the privilege over the namespace.
pub fn enter_time_namespace(offsets: &[u8]) -> Result<(), Errno> {
    const CLONE_NEWTIME: CloneFlags = CloneFlags::from_bits_retain(0x80);
    // The kernel refuses to be told nothing.
    if !offsets.is_empty() {
        write_attribute(c"timens_offsets", offsets)?;
    }
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let name = c"ns/time_for_children";
    let namespace = nix::fcntl::openat(own_process()?, name, flags, Mode::empty())?;
    nix::sched::setns(namespace, CLONE_NEWTIME)
}

/// The directory of this process in a procfs that nothing else is mounted over.
fn own_process() -> Result<OwnedFd, Errno> {
    let procfs = match own_procfs() {
        Ok(procfs) => procfs,
        // What a user namespace may not mount is a procfs that shows more than the one it has.
        Err(Errno::EPERM) => shared_procfs()?,
        Err(errno) => return Err(errno),
    };
    let own = nix::fcntl::readlinkat(&procfs, c"self")?;
    let own = CString::new(own.into_encoded_bytes()).map_err(|_| Errno::EINVAL)?;
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY;
    paths::open_beneath(procfs.as_fd(), &own, flags.bits())
}

fn own_procfs() -> Result<OwnedFd, Errno> {
    let context = mount::fsopen(c"proc")?;
    mount::fsconfig_create(context.as_fd())?;
    mount::fsmount(context.as_fd(), 0)
}

fn shared_procfs() -> Result<OwnedFd, Errno> {
    let procfs = paths::open_path(c"/proc", libc::O_PATH | libc::O_DIRECTORY)?;
    match nix::sys::statfs::fstatfs(&procfs)?.filesystem_type() {
        nix::sys::statfs::PROC_SUPER_MAGIC => Ok(procfs),
        _ => Err(Errno::ENOENT),
    }
}
