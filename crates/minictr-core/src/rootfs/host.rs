//! This machine's own `/` as a container's: private layers over what can have one, the rest
//! read-only, and what is nobody else's business not there at all.
//!
//! The parent says which mounts there are and what becomes of each (`mount_table`); the child makes
//! them, as the container's root, from clones that as root the parent has shifted to the container's
//! ids. An overlay made here is the user namespace's: no device works on it, whatever the host's
//! files hold. What is hidden is hidden in an overlay itself, where no privilege in the container
//! brings it back; only over what has no layer is it covered by a mount.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::mount::MsFlags;
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, fchmodat, fstatat, mkdirat, mknodat};
use nix::unistd::{Gid, Uid, fchownat, symlinkat};

use super::mount_table::{Mounted, below, joined, other_paths};
use super::mounts::{BindSource, Fault, is_directory, part};
use super::overlay::{Halves, LayerLimits, PrivateLayers};
use super::paths;
use crate::sys::mount::{
    self, AT_NO_AUTOMOUNT, AT_RECURSIVE, AT_SYMLINK_NOFOLLOW, MOUNT_ATTR_NODEV, MOUNT_ATTR_RDONLY,
    MountAttr, OPEN_TREE_CLONE,
};

/// How the container's root is made of the host's files.
#[derive(Debug)]
pub struct HostPlan {
    /// What of the host is there, each after those that it lies in. Without one for `/`, the root is
    /// a new directory that holds `links` and a directory for each layer.
    pub layers: Vec<HostLayer>,
    /// Symbolic links of such a root: name and target.
    pub links: Vec<(CString, CString)>,
    /// What isn't there, or is empty; at whatever places it is mounted.
    pub hidden: Vec<Hidden>,
    /// The mounts that paths of the host's reach.
    pub mounts: Vec<Mounted>,
    /// Most that is written.
    pub limits: LayerLimits,
}

/// A part of the host's files.
#[derive(Debug)]
pub struct HostLayer {
    /// Where, on the host as in the container.
    pub path: CString,
    /// The host's directory or file.
    pub source: BindSource,
    /// A private layer comes over it; else it is read-only.
    pub layered: bool,
    /// With the mounts below it; only where it is read-only.
    pub recursive: bool,
}

/// A path that the container doesn't have as the host has it.
#[derive(Debug)]
pub struct Hidden {
    /// An absolute path of the host's; symbolic links are followed.
    pub path: CString,
    /// Mode of an empty directory that is there in any case. Otherwise a directory is empty, and
    /// anything else is missing.
    pub empty: Option<u32>,
}

/// [`Fault::part`]: this and what is above it, of the layer whose index is the difference.
pub const PART_LAYER: u32 = 1000;

/// Mode of a hidden directory.
const HIDDEN_MODE: u32 = 0o755;

/// The kernel has no overlays, none for this user, or none over this filesystem, such as an overlay
/// that lies over another already.
const NO_OVERLAY: &[Errno] =
    &[Errno::EINVAL, Errno::EPERM, Errno::ENODEV, Errno::EOPNOTSUPP, Errno::ELOOP, Errno::EREMOTE];

/// A hidden path once its links are resolved.
#[derive(Debug)]
struct Resolved {
    path: Vec<u8>,
    empty: Option<u32>,
    /// Whether it is done; otherwise something is put over it in the end.
    done: bool,
}

/// Attaches the host's files over this mount namespace's `/` as the container's root: returns it and
/// the other mounts of the host's files, which a read-only root has to be read-only with.
///
/// # Errors
/// The errno of the call that failed; with [`PART_LAYER`] of which part of the host's files.
pub fn attach(plan: &HostPlan, prepared: &[OwnedFd]) -> Result<Vec<OwnedFd>, Fault> {
    let host = paths::open_path(c"/", libc::O_PATH | libc::O_DIRECTORY)?;
    let mut hidden = resolve(host.as_fd(), &plan.hidden, &plan.mounts)?;
    let mut layers = PrivateLayers::attach(host.as_fd(), &plan.limits)?;
    let mut made: Vec<OwnedFd> = Vec::with_capacity(plan.layers.len() + 1);
    if plan.layers.first().is_none_or(|layer| layer.path.as_c_str() != c"/") {
        made.push(new_root(plan, &layers, host.as_fd())?);
    }
    let shown: Vec<_> = plan
        .layers
        .iter()
        .enumerate()
        .filter(|(_, layer)| {
            hidden.iter().all(|hidden| below(layer.path.to_bytes(), &hidden.path).is_none())
        })
        .collect();
    for (index, layer) in &shown {
        let fault = part(PART_LAYER + *index as u32);
        let tree = clone(layer, prepared).map_err(&fault)?;
        // What may not answer isn't asked.
        let directory = layer.recursive || is_directory(tree.as_fd()).map_err(&fault)?;
        let overlay = if layer.layered && directory {
            let own = |path: &[u8]| {
                let around = shown.iter().rev().map(|(_, layer)| layer.path.to_bytes());
                around.into_iter().find(|around| below(path, around).is_some())
                    == Some(layer.path.to_bytes())
            };
            over(&mut layers, layer, tree.as_fd(), &mut hidden, own).map_err(&fault)?
        } else {
            None
        };
        let mounted = match overlay {
            Some(merged) => merged,
            None => read_only(tree).map_err(&fault)?,
        };
        let target = match made.first() {
            None => host.try_clone().map_err(|_| Errno::EMFILE)?,
            Some(root) => mount_point(root.as_fd(), &layer.path, directory).map_err(&fault)?,
        };
        mount::move_mount(mounted.as_fd(), target.as_fd()).map_err(&fault)?;
        made.push(mounted);
    }
    let root = made.first().ok_or(Errno::ENOENT)?.as_fd();
    for (number, hidden) in hidden.iter().filter(|hidden| !hidden.done).enumerate() {
        cover(root, &layers, hidden, number)?;
    }
    Ok(made)
}

/// Where a part goes: mostly the host's own mount point, as the part around it has it.
fn mount_point(root: BorrowedFd<'_>, path: &CStr, directory: bool) -> Result<OwnedFd, Errno> {
    match paths::open_in_root(root, path, libc::O_PATH, 0) {
        Err(Errno::ENOENT) if directory => paths::ensure_dir(root, path, 0o755),
        Err(Errno::ENOENT) => paths::ensure_file(root, path, 0o644),
        result => result,
    }
}

/// A root of our own, for a host whose `/` can't be cloned without what is mounted on it.
fn new_root(
    plan: &HostPlan,
    layers: &PrivateLayers,
    below: BorrowedFd<'_>,
) -> Result<OwnedFd, Errno> {
    let mode = Mode::from_bits_truncate(0o755);
    mkdirat(layers.top(), c"root", mode)?;
    // The umask has no say in it.
    fchmodat(layers.top(), c"root", mode, FchmodatFlags::FollowSymlink)?;
    let root = mount::open_tree(layers.top(), c"root", OPEN_TREE_CLONE)?;
    mount::move_mount(root.as_fd(), below)?;
    for (name, target) in &plan.links {
        symlinkat(target.as_c_str(), &root, name.as_c_str())?;
    }
    Ok(root)
}

/// A detached clone of a part of the host's files that no mount of the host's peers with.
fn clone(layer: &HostLayer, prepared: &[OwnedFd]) -> Result<OwnedFd, Errno> {
    let tree = match &layer.source {
        BindSource::Prepared(index) => prepared[*index].try_clone().map_err(|_| Errno::EMFILE)?,
        BindSource::Path(path) => {
            let recursive = if layer.recursive { AT_RECURSIVE } else { 0 };
            let flags = OPEN_TREE_CLONE | recursive | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
            mount::open_tree(paths::cwd(), path, flags)?
        }
    };
    let private = MountAttr { propagation: MsFlags::MS_PRIVATE.bits(), ..MountAttr::default() };
    mount::mount_setattr(tree.as_fd(), AT_RECURSIVE, &private)?;
    Ok(tree)
}

fn read_only(tree: OwnedFd) -> Result<OwnedFd, Errno> {
    let attr = MountAttr { attr_set: MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV, ..MountAttr::default() };
    mount::mount_setattr(tree.as_fd(), AT_RECURSIVE, &attr)?;
    Ok(tree)
}

/// An overlay over one part, with those hidden paths that `own` says are its own hidden in it; `None`
/// where there can be none.
fn over(
    layers: &mut PrivateLayers,
    layer: &HostLayer,
    tree: BorrowedFd<'_>,
    hidden: &mut [Resolved],
    own: impl Fn(&[u8]) -> bool,
) -> Result<Option<OwnedFd>, Errno> {
    let inside = |hidden: &Resolved| {
        let inside = below(&hidden.path, layer.path.to_bytes());
        inside.filter(|_| !hidden.done && own(&hidden.path)).map(<[u8]>::to_vec)
    };
    let wanted: Vec<_> = hidden
        .iter()
        .enumerate()
        .filter_map(|(index, hidden)| Some((index, inside(hidden)?, hidden.empty)))
        .collect();
    let mut done = Vec::new();
    let merged = if wanted.is_empty() {
        layers.over(tree)
    } else {
        layers.over_filled(tree, |halves| {
            for (index, inside, empty) in &wanted {
                if hide(tree, halves, inside, *empty)? {
                    done.push(*index);
                }
            }
            Ok(!done.is_empty())
        })
    };
    match merged {
        Ok(merged) => {
            mount::mount_setattr(
                merged.as_fd(),
                0,
                &MountAttr { attr_set: MOUNT_ATTR_NODEV, ..MountAttr::default() },
            )?;
            for index in done {
                hidden[index].done = true;
            }
            Ok(Some(merged))
        }
        Err(errno) if NO_OVERLAY.contains(&errno) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Puts over a lower half what hides a path of it; false where it can't be hidden so.
fn hide(
    lower: BorrowedFd<'_>,
    halves: &Halves,
    path: &[u8],
    empty: Option<u32>,
) -> Result<bool, Errno> {
    let mut lower = Some(lower.try_clone_to_owned().map_err(|_| Errno::EMFILE)?);
    let mut upper = halves.upper.try_clone().map_err(|_| Errno::EMFILE)?;
    let mut names = names_of(path).peekable();
    while let Some(name) = names.next() {
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        let directory = libc::O_PATH | libc::O_DIRECTORY;
        let under = match &lower {
            Some(lower) => match fstatat(lower, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW) {
                Ok(stat) => Some(stat),
                Err(Errno::ENOENT) => None,
                Err(errno) => return Err(errno),
            },
            None => None,
        };
        let is_dir = under
            .as_ref()
            .is_some_and(|stat| stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits());
        if names.peek().is_none() {
            if empty.is_none() && !is_dir {
                return whiteout(upper.as_fd(), &name);
            }
            empty_directory(upper.as_fd(), &name, empty.unwrap_or(HIDDEN_MODE))?;
            return if is_dir { cut(halves.between.as_fd(), path) } else { Ok(true) };
        }
        if !is_dir && empty.is_none() {
            // Nothing lies there, and nothing will before this is made.
            return Ok(true);
        }
        match mkdirat(&upper, name.as_c_str(), Mode::from_bits_truncate(0o755)) {
            Ok(()) => {
                let mode = under.as_ref().filter(|_| is_dir).map_or(0o755, |stat| stat.st_mode);
                let mode = Mode::from_bits_truncate(mode & 0o7777);
                if let Some(stat) = under.as_ref().filter(|_| is_dir) {
                    give_owner(upper.as_fd(), &name, stat)?;
                }
                fchmodat(&upper, name.as_c_str(), mode, FchmodatFlags::FollowSymlink)?;
            }
            Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
        lower = match &lower {
            Some(lower) if is_dir => Some(paths::open_entry(lower.as_fd(), &name, directory)?),
            _ => None,
        };
        upper = paths::open_entry(upper.as_fd(), &name, directory)?;
    }
    Ok(true)
}

/// As the directory under it, where the container has that owner.
fn give_owner(
    directory: BorrowedFd<'_>,
    name: &CStr,
    stat: &nix::sys::stat::FileStat,
) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    match fchownat(directory, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW) {
        // Not among the container's ids, or not one that its only user may give.
        Err(Errno::EINVAL | Errno::EPERM) => Ok(()),
        result => result,
    }
}

/// Makes a name of an upper half stand for nothing, overlay(5).
fn whiteout(directory: BorrowedFd<'_>, name: &CStr) -> Result<bool, Errno> {
    match mknodat(directory, name, SFlag::S_IFCHR, Mode::empty(), 0) {
        Ok(()) | Err(Errno::EEXIST) => Ok(true),
        // Before Linux 5.8, only root of the machine makes one.
        Err(Errno::EPERM) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Makes an empty directory in an upper half.
fn empty_directory(directory: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<(), Errno> {
    match mkdirat(directory, name, Mode::from_bits_truncate(0o700)) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno),
    }
    let mode = Mode::from_bits_truncate(mode);
    fchmodat(directory, name, mode, FchmodatFlags::FollowSymlink)
}

/// Makes a path stand for nothing between the halves, so that a directory of the upper one shows
/// nothing of one under it. An attribute could say that too, overlay(5), which a tmpfs has only since
/// Linux 6.6. What hides what is above a path comes before it.
fn cut(between: BorrowedFd<'_>, path: &[u8]) -> Result<bool, Errno> {
    let mut at = between.try_clone_to_owned().map_err(|_| Errno::EMFILE)?;
    let mut names = names_of(path).peekable();
    while let Some(name) = names.next() {
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        if names.peek().is_none() {
            return whiteout(at.as_fd(), &name);
        }
        match mkdirat(&at, name.as_c_str(), Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(errno),
        }
        at = match paths::open_entry(at.as_fd(), &name, libc::O_PATH | libc::O_DIRECTORY) {
            // Cut off further up.
            Err(Errno::ENOTDIR) => return Ok(true),
            result => result?,
        };
    }
    Ok(true)
}

fn names_of(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty())
}

/// Puts an empty thing over a path of the finished root; makes the directory that has to be there.
fn cover(
    root: BorrowedFd<'_>,
    layers: &PrivateLayers,
    hidden: &Resolved,
    number: usize,
) -> Result<(), Errno> {
    let path = CString::new(hidden.path.as_slice()).map_err(|_| Errno::EINVAL)?;
    let found = match paths::open_in_root(root, &path, libc::O_PATH, 0) {
        Ok(found) => found,
        Err(Errno::ENOENT | Errno::ENOTDIR) => {
            let Some(mode) = hidden.empty else { return Ok(()) };
            let made = paths::ensure_dir(root, &path, mode)?;
            let mode = Mode::from_bits_truncate(mode);
            // By name: the descriptor is an O_PATH one, which fchmod(2) refuses.
            return fchmodat(&made, c".", mode, FchmodatFlags::FollowSymlink);
        }
        Err(errno) => return Err(errno),
    };
    let name = CString::new(format!("cover{number}")).map_err(|_| Errno::EINVAL)?;
    if is_directory(found.as_fd())? {
        let mode = Mode::from_bits_truncate(hidden.empty.unwrap_or(HIDDEN_MODE));
        mkdirat(layers.top(), name.as_c_str(), mode)?;
        fchmodat(layers.top(), name.as_c_str(), mode, FchmodatFlags::FollowSymlink)?;
    } else {
        paths::ensure_file_at(layers.top(), &name, 0)?;
    }
    let empty = mount::open_tree(layers.top(), &name, OPEN_TREE_CLONE)?;
    mount::move_mount(empty.as_fd(), found.as_fd())
}

/// Where hidden paths lead on the host, and the other places where the same is mounted. One below
/// another of them is where that one leads to.
fn resolve(
    host: BorrowedFd<'_>,
    hidden: &[Hidden],
    mounts: &[Mounted],
) -> Result<Vec<Resolved>, Errno> {
    let mut resolved: Vec<Resolved> = Vec::with_capacity(hidden.len());
    let mut origins: Vec<(&[u8], usize)> = Vec::with_capacity(hidden.len());
    for Hidden { path, empty } in hidden {
        let text = path.to_bytes();
        let within = origins.iter().find_map(|(origin, index)| {
            below(text, origin).map(|rest| joined(&resolved[*index].path, rest))
        });
        let leads_to = match within {
            Some(_) if empty.is_none() => continue,
            Some(path) => path,
            None => canonical(host, path)?,
        };
        if leads_to == b"/" {
            return Err(Errno::EBUSY);
        }
        origins.push((text, resolved.len()));
        resolved.push(Resolved { path: leads_to, empty: *empty, done: false });
    }
    let again: Vec<_> = resolved.iter().flat_map(|one| other_paths(mounts, &one.path)).collect();
    for path in again {
        if path != b"/" && !resolved.iter().any(|one| below(&path, &one.path).is_some()) {
            resolved.push(Resolved { path, empty: None, done: false });
        }
    }
    // What lies in another comes after it.
    resolved.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(resolved)
}

/// A path of the host's without symbolic links; the path itself where nothing is there.
fn canonical(host: BorrowedFd<'_>, path: &CStr) -> Result<Vec<u8>, Errno> {
    match paths::is_ordinary(host, path) {
        Ok(true) | Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) => {
            return Ok(path.to_bytes().to_vec());
        }
        Ok(false) => {}
        Err(errno) => return Err(errno),
    }
    match paths::open_in_root(host, path, libc::O_PATH, 0) {
        Ok(found) => {
            let link = format!("/proc/self/fd/{}", found.as_raw_fd());
            Ok(nix::fcntl::readlink(link.as_str())?.as_bytes().to_vec())
        }
        Err(Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) => Ok(path.to_bytes().to_vec()),
        Err(errno) => Err(errno),
    }
}
