//! Mounts of a container: compiled from the spec beforehand, made by the child.
//!
//! Every target is resolved by `openat2(2)` below the descriptor of the root, every source is a
//! descriptor by the time it is attached. The child makes them after the root is attached and before
//! it becomes `/`.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use nix::errno::Errno;
use nix::mount::MsFlags;
use nix::sys::stat::{Mode, SFlag, fstat, mkdirat};
use nix::unistd::fchdir;

use super::attributes::{self, Change};
use super::lines::Lines;
use super::options::MountOptions;
use super::paths;
use crate::sys::files;
use crate::sys::mount::{
    self, AT_RECURSIVE, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC, MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY,
    MountAttr, OPEN_TREE_CLONE,
};

/// Why a step failed, as the child can say it without allocating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The kernel's reason.
    pub errno: Errno,
    /// Which part of the step: 0 the step itself, else the step's own numbering.
    pub part: u32,
}

/// [`Fault::part`] of a bind mount whose source couldn't be opened.
pub const PART_SOURCE: u32 = 1;
/// [`Fault::part`] of a mount whose target couldn't be opened or made in the rootfs.
pub const PART_TARGET: u32 = 2;

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        Self { errno, part: 0 }
    }
}

/// Marks an errno with the part that failed.
pub(crate) fn part(part: u32) -> impl Fn(Errno) -> Fault {
    move |errno| Fault { errno, part }
}

/// Where a bind mount comes from.
#[derive(Debug)]
pub enum BindSource {
    /// A path in the mount namespace that the child starts in.
    Path(CString),
    /// A detached mount that the spawner made with its own privileges: index into its list.
    Prepared(usize),
}

/// One mount, ready to be made.
#[derive(Debug)]
pub struct MountPlan {
    /// Where in the container.
    pub destination: CString,
    /// The kernel's own files, `/proc` and `/sys`: the destination may not be reached through
    /// symbolic links (CVE-2019-19921, CVE-2023-27561), and what is masked below it is looked for in
    /// this mount, not by the destination's path.
    pub kernel_files: bool,
    /// A new tmpfs on `/dev`: nobody else has it, so what is mounted and made directly in it needs no
    /// careful look-up.
    pub own_dev: bool,
    /// A mount point that is missing is made.
    pub create: bool,
    /// What is mounted.
    pub action: MountAction,
}

/// What is mounted.
#[derive(Debug)]
pub enum MountAction {
    /// A directory or file of the host.
    Bind {
        /// Which.
        source: BindSource,
        /// With the mounts below it.
        recursive: bool,
        /// A symbolic link is mounted itself.
        nofollow: bool,
        /// Attributes of the mount.
        attr: MountAttr,
        /// Attributes and propagation of the mount and all below.
        recursive_attr: MountAttr,
    },
    /// A new filesystem.
    New {
        /// `proc`, `tmpfs`, …
        fs_type: CString,
        /// The device name that mountinfo shows.
        source: CString,
        /// Flags for `mount(2)`.
        flags: MsFlags,
        /// Options of the filesystem's own.
        data: CString,
        /// The flags of the mount alone as attributes, for one that is made detached.
        attr: MountAttr,
        /// What `mount(2)` can't say: propagation, `nosymfollow`.
        after: MountAttr,
        /// A tmpfs that starts with what the directory under it holds.
        copy_up: bool,
        /// SELinux's label of its root, where it takes no option for that.
        label: Option<CString>,
    },
    /// Changes of what is mounted there already: those that the options name, and no others.
    Remount {
        /// Of the mount.
        attr: MountAttr,
        /// Of the mount and all below.
        recursive_attr: MountAttr,
        /// Of the filesystem itself, with its own options, unless a bind mount is meant.
        filesystem: Option<(MsFlags, CString)>,
    },
    /// A copy of the file that is there, with further lines.
    Lines(Lines),
    /// The cgroup hierarchies, each as the host combines its controllers.
    Cgroups {
        /// Mounted hierarchies; a single one with an empty name is cgroup v2 itself.
        hierarchies: Rc<[CgroupMount]>,
        /// Flags of all of them.
        flags: MsFlags,
    },
}

/// One cgroup hierarchy below `/sys/fs/cgroup`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupMount {
    /// Its directory below the destination; empty for the destination itself.
    pub directory: CString,
    /// `cgroup` or `cgroup2`.
    pub fs_type: CString,
    /// Options of v1, `cgroups(7)`: its controllers, or `none,name=…` where it has none.
    pub data: CString,
    /// Names that lead to it, such as `cpu` for `cpu,cpuacct`.
    pub links: Vec<CString>,
    /// Directories of the host's, the first that is there being shown in its place. Without a cgroup
    /// namespace of its own a new mount would show a container the whole hierarchy, or be refused.
    pub bound: Vec<CString>,
}

impl CgroupMount {
    /// A detached mount of what is to be shown in its place; nothing of a container's is named on the
    /// way.
    fn bound_tree(&self, flags: MsFlags) -> Result<Option<OwnedFd>, Errno> {
        let mut found = Err(Errno::ENOENT);
        for path in &self.bound {
            found = paths::open_path(path, libc::O_PATH | libc::O_DIRECTORY);
            if found.as_ref().err() != Some(&Errno::ENOENT) {
                break;
            }
        }
        if self.bound.is_empty() {
            return Ok(None);
        }
        let tree = mount::open_tree_at(found?.as_fd(), OPEN_TREE_CLONE)?;
        let chosen = [
            (MsFlags::MS_RDONLY, MOUNT_ATTR_RDONLY),
            (MsFlags::MS_NOSUID, MOUNT_ATTR_NOSUID),
            (MsFlags::MS_NODEV, MOUNT_ATTR_NODEV),
            (MsFlags::MS_NOEXEC, MOUNT_ATTR_NOEXEC),
        ];
        let attr_set = chosen
            .iter()
            .filter(|(flag, _)| flags.contains(*flag))
            .fold(0, |all, (_, attribute)| all | attribute);
        attributes::set(tree.as_fd(), 0, &MountAttr { attr_set, ..MountAttr::default() })?;
        Ok(Some(tree))
    }
}

impl MountAction {
    /// A bind mount with parsed options. The tree is private unless the options say otherwise, so
    /// that nothing made in the container reaches the source's peers.
    #[must_use]
    pub fn bind(source: BindSource, options: &MountOptions) -> Self {
        let mut attr = options.attr;
        let mut recursive_attr = options.recursive_attr;
        // `rw` is what a bind mount is unless its source isn't: taking read-only away is asked for
        // with `rrw`, as the flag may be locked.
        attr.attr_clr &= !MOUNT_ATTR_RDONLY;
        match options.propagation {
            Some((flag, false)) => attr.propagation = flag.bits(),
            Some((flag, true)) => recursive_attr.propagation = flag.bits(),
            None => recursive_attr.propagation = MsFlags::MS_PRIVATE.bits(),
        }
        Self::Bind {
            source,
            recursive: options.recursive_bind,
            nofollow: options.source_nofollow,
            attr,
            recursive_attr,
        }
    }

    /// Whether it is a new tmpfs with nothing in it, whose flags are all the mount's and none the
    /// filesystem's, and whose options are words between commas, which labels aren't.
    #[must_use]
    pub fn is_plain_tmpfs(&self) -> bool {
        let of_mount = MsFlags::MS_NOSUID
            | MsFlags::MS_NODEV
            | MsFlags::MS_NOEXEC
            | MsFlags::MS_NOATIME
            | MsFlags::MS_NODIRATIME
            | MsFlags::MS_RELATIME
            | MsFlags::MS_STRICTATIME;
        matches!(self, Self::New { fs_type, flags, data, copy_up: false, .. }
            if fs_type.as_c_str() == c"tmpfs"
                && of_mount.contains(*flags)
                && !data.to_bytes().contains(&b'"'))
    }

    /// Changes by parsed options.
    #[must_use]
    pub fn remount(options: &MountOptions) -> Self {
        let mut attr = options.attr;
        let mut recursive_attr = options.recursive_attr;
        match options.propagation {
            Some((flag, false)) => attr.propagation = flag.bits(),
            Some((flag, true)) => recursive_attr.propagation = flag.bits(),
            None => {}
        }
        let data = CString::new(options.data.as_str()).unwrap_or_default();
        let filesystem = (!options.bind).then(|| (options.mount_flags(), data));
        Self::Remount { attr, recursive_attr, filesystem }
    }

    /// A new filesystem with parsed options.
    #[must_use]
    pub fn new_filesystem(fs_type: CString, source: CString, options: &MountOptions) -> Self {
        let mut after = MountAttr {
            attr_set: (options.attr.attr_set | options.recursive_attr.attr_set)
                & mount::MOUNT_ATTR_NOSYMFOLLOW,
            ..MountAttr::default()
        };
        if let Some((flag, _)) = options.propagation {
            // A new filesystem in a private tree is private already.
            if flag != MsFlags::MS_PRIVATE {
                after.propagation = flag.bits();
            }
        }
        Self::New {
            fs_type,
            source,
            flags: options.mount_flags(),
            data: CString::new(options.data.as_str()).unwrap_or_default(),
            attr: MountAttr {
                attr_set: options.attr.attr_set | options.recursive_attr.attr_set,
                ..options.attr
            },
            after,
            copy_up: options.copy_up,
            label: None,
        }
    }
}

pub(crate) fn is_directory(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mode = SFlag::from_bits_truncate(fstat(fd)?.st_mode & SFlag::S_IFMT.bits());
    Ok(mode == SFlag::S_IFDIR)
}

/// Makes one mount below `root`; `dev` is the container's own `/dev`, where it has that already.
/// Returns its top where it has the kernel's own files or is that `/dev`: only this descriptor is sure
/// to be it, as its mount point may be moved by whoever shares the rootfs.
///
/// # Errors
/// The errno of the call that failed, with [`PART_SOURCE`] or [`PART_TARGET`] where it was about
/// one of these.
pub fn make(
    root: BorrowedFd<'_>,
    dev: Option<BorrowedFd<'_>>,
    plan: &MountPlan,
    prepared: &[OwnedFd],
) -> Result<Option<OwnedFd>, Fault> {
    match &plan.action {
        MountAction::Bind { source, recursive, nofollow, attr, recursive_attr } => {
            let opened;
            let tree = match source {
                BindSource::Prepared(index) => prepared[*index].as_fd(),
                BindSource::Path(path) => {
                    let mut flags = OPEN_TREE_CLONE;
                    if *recursive {
                        flags |= AT_RECURSIVE;
                    }
                    if *nofollow {
                        flags |= mount::AT_SYMLINK_NOFOLLOW;
                    }
                    opened =
                        mount::open_tree(paths::cwd(), path, flags).map_err(part(PART_SOURCE))?;
                    opened.as_fd()
                }
            };
            if plan.destination.as_c_str() == c"/proc" && !is_procfs(tree)? {
                return Err(part(PART_SOURCE)(Errno::EPERM));
            }
            let target = if plan.kernel_files || plan.create && is_directory(tree)? {
                directory(root, plan)
            } else if !plan.create {
                paths::open_in_root(root, &plan.destination, libc::O_PATH, 0)
            } else {
                paths::ensure_file(root, &plan.destination, 0o755)
            }
            .map_err(part(PART_TARGET))?;
            let changes =
                [Change { flags: AT_RECURSIVE, attr: recursive_attr }, Change { flags: 0, attr }];
            attributes::attach(tree, target.as_fd(), &changes)?;
            if plan.kernel_files {
                return Ok(Some(tree.try_clone_to_owned().map_err(|_| Errno::EMFILE)?));
            }
        }
        MountAction::Remount { attr, recursive_attr, filesystem } => {
            let flags = libc::O_PATH;
            let target = paths::open_in_root(root, &plan.destination, flags, 0)
                .map_err(part(PART_TARGET))?;
            if let Some((flags, data)) = filesystem {
                let none: Option<&CStr> = None;
                let data = (!data.is_empty()).then_some(data.as_c_str());
                fchdir(&target)?;
                nix::mount::mount(none, c".", none, *flags | MsFlags::MS_REMOUNT, data)?;
            }
            attributes::set(target.as_fd(), AT_RECURSIVE, recursive_attr)?;
            attributes::set(target.as_fd(), 0, attr)?;
        }
        MountAction::Lines(lines) => lines.cover(root, &plan.destination, plan.create)?,
        MountAction::New { fs_type, source, flags, data, attr, after, copy_up, label } => {
            let made = dev.filter(|_| !plan.kernel_files && !copy_up);
            let made = made.map(|dev| make_in_dev(dev, plan)).transpose();
            let found;
            let (target, name) = match made.map_err(part(PART_TARGET))?.flatten() {
                Some(made) => made,
                None => {
                    found = directory(root, plan).map_err(part(PART_TARGET))?;
                    (found.as_fd(), c".")
                }
            };
            if plan.kernel_files || plan.own_dev {
                let context = configured(fs_type, source, data)?;
                let tree = mount::fsmount(context.as_fd(), attr.attr_set & !after.attr_set)?;
                let after = Change { flags: 0, attr: after };
                attributes::attach(tree.as_fd(), target, &[after])?;
                return Ok(Some(tree));
            }
            if *copy_up {
                super::copy_up::mount_with_contents(target, source, attr, data)?;
            } else {
                mount_on(target, name, source, fs_type, *flags, data)?;
            }
            if *after != MountAttr::default() {
                let mounted = paths::open_in_root(root, &plan.destination, libc::O_PATH, 0)?;
                attributes::set(mounted.as_fd(), 0, after)?;
            }
            if let Some(label) = label {
                let flags = libc::O_RDONLY | libc::O_DIRECTORY;
                let mounted = paths::open_in_root(root, &plan.destination, flags, 0)?;
                files::set_attribute(mounted.as_fd(), c"security.selinux", label.to_bytes())?;
            }
        }
        MountAction::Cgroups { hierarchies, flags } => {
            let target = directory(root, plan).map_err(part(PART_TARGET))?;
            mount_cgroups(target.as_fd(), hierarchies, *flags)?;
        }
    }
    Ok(None)
}

/// Whether a descriptor leads to the kernel's files of processes, from their top.
fn is_procfs(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    // proc_alloc_inum(): the top has this number in each of them.
    const TOP: libc::ino_t = 1;
    let kind = nix::sys::statfs::fstatfs(fd)?.filesystem_type();
    Ok(kind == nix::sys::statfs::PROC_SUPER_MAGIC && fstat(fd)?.st_ino == TOP)
}

/// A new filesystem with its options, which isn't mounted yet.
///
/// # Errors
/// Those of `fsopen(2)` and `fsconfig(2)`.
pub(super) fn configured(fs_type: &CStr, source: &CStr, data: &CStr) -> Result<OwnedFd, Errno> {
    let context = mount::fsopen(fs_type)?;
    mount::fsconfig_string(context.as_fd(), c"source", source)?;
    for option in data.to_bytes().split(|byte| *byte == b',').filter(|option| !option.is_empty()) {
        let mut words = option.splitn(2, |byte| *byte == b'=');
        let key = CString::new(words.next().unwrap_or_default()).map_err(|_| Errno::EINVAL)?;
        match words.next() {
            Some(value) => {
                let value = CString::new(value).map_err(|_| Errno::EINVAL)?;
                mount::fsconfig_string(context.as_fd(), &key, &value)?;
            }
            None => mount::fsconfig_flag(context.as_fd(), &key)?,
        }
    }
    mount::fsconfig_create(context.as_fd())?;
    Ok(context)
}

fn directory(root: BorrowedFd<'_>, plan: &MountPlan) -> Result<OwnedFd, Errno> {
    if plan.kernel_files {
        // By the look-up that finds it: one that is ordinary a moment later proves nothing.
        match paths::open_ordinary(root, &plan.destination) {
            Err(Errno::ENOENT) if plan.create => {
                paths::ensure_dir(root, &plan.destination, 0o755)?;
            }
            result => return result,
        }
        return paths::open_ordinary(root, &plan.destination);
    }
    if plan.create {
        return paths::ensure_dir(root, &plan.destination, 0o755);
    }
    paths::open_in_root(root, &plan.destination, libc::O_PATH | libc::O_DIRECTORY, 0)
}

/// Makes a mount point directly in the container's own `/dev`, where it belongs there and isn't there
/// yet: the directory with its name.
fn make_in_dev<'a>(
    dev: BorrowedFd<'a>,
    plan: &'a MountPlan,
) -> Result<Option<(BorrowedFd<'a>, &'a CStr)>, Errno> {
    let below = plan.destination.to_bytes_with_nul().strip_prefix(b"/dev/");
    let name = below.and_then(|name| CStr::from_bytes_with_nul(name).ok());
    let Some(name) = name.filter(|name| !name.to_bytes().contains(&b'/')) else { return Ok(None) };
    match mkdirat(dev, name, Mode::from_bits_truncate(0o755)) {
        Ok(()) => Ok(Some((dev, name))),
        Err(Errno::EEXIST) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Mounts a new filesystem on an entry of a directory that nobody else can change, or with the name
/// `.` on the directory itself.
///
/// By `mount(2)` on `.`, which names the descriptor's directory and nothing else: two calls where
/// the newer interface needs five or more.
///
/// # Errors
/// Those of `mount(2)`.
fn mount_on(
    directory: BorrowedFd<'_>,
    name: &CStr,
    source: &CStr,
    fs_type: &CStr,
    flags: MsFlags,
    data: &CStr,
) -> Result<(), Errno> {
    fchdir(directory)?;
    let data = (!data.is_empty()).then_some(data);
    nix::mount::mount(Some(source), name, Some(fs_type), flags, data)
}

fn mount_cgroups(
    target: BorrowedFd<'_>,
    hierarchies: &[CgroupMount],
    flags: MsFlags,
) -> Result<(), Fault> {
    if let [only] = hierarchies
        && only.directory.is_empty()
    {
        match only.bound_tree(flags)? {
            Some(tree) => mount::move_mount(tree.as_fd(), target)?,
            None => mount_on(target, c".", &only.fs_type, &only.fs_type, flags, &only.data)?,
        }
        return Ok(());
    }
    let context = configured(c"tmpfs", c"cgroup", c"mode=755,size=64k")?;
    let attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    let top = mount::fsmount(context.as_fd(), attributes)?;
    mount::move_mount(top.as_fd(), target)?;
    // Names in a filesystem that is new and ours alone: nothing has to be looked up with care.
    fchdir(&top)?;
    for hierarchy in hierarchies {
        let name = hierarchy.directory.as_c_str();
        mkdirat(&top, name, Mode::from_bits_truncate(0o755))?;
        if let Some(tree) = hierarchy.bound_tree(flags)? {
            mount::move_mount_onto(tree.as_fd(), top.as_fd(), name)?;
        } else {
            let source = hierarchy.fs_type.as_c_str();
            let data = (!hierarchy.data.is_empty()).then_some(hierarchy.data.as_c_str());
            nix::mount::mount(Some(source), name, Some(source), flags, data)?;
        }
        for link in &hierarchy.links {
            nix::unistd::symlinkat(name, &top, link.as_c_str())?;
        }
    }
    if flags.contains(MsFlags::MS_RDONLY) {
        attributes::set(top.as_fd(), 0, &attributes::READ_ONLY)?;
    }
    Ok(())
}
