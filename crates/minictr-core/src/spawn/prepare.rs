//! Host paths, opened by the parent with its own privileges before the clone.
//!
//! A path can hang (FUSE, a dead network mount), and the parent serves other launches, so it looks
//! only into the kernel's cache of names itself (`RESOLVE_CACHED`); what isn't there is opened by a
//! short-lived process that may hang alone.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use nix::errno::Errno;
use nix::mount::MsFlags;
use nix::sys::statfs::FsType;

use super::ids::{self, MapLines};
use super::plan::{Shift, Source};
use super::report;
use crate::error::{Error, ErrorCode, Result};
use crate::rootfs::mounts::{Fault, is_directory};
use crate::rootfs::paths;
use crate::sys::clone::{self, Child};
use crate::sys::features::{self, Interface};
use crate::sys::mount::{self, AT_RECURSIVE, MOUNT_ATTR_IDMAP, MountAttr, OPEN_TREE_CLONE};

/// User namespaces whose maps idmapped mounts use, one per map.
#[derive(Debug, Default)]
pub(super) struct IdmapNamespaces {
    kept: HashMap<MapLines, Rc<OwnedFd>>,
}

/// Most namespaces that are kept; each is a descriptor.
const MAX_KEPT: usize = 64;

impl IdmapNamespaces {
    fn get(&mut self, lines: &MapLines) -> Result<Rc<OwnedFd>> {
        if let Some(namespace) = self.kept.get(lines) {
            return Ok(Rc::clone(namespace));
        }
        if self.kept.len() >= MAX_KEPT {
            self.kept.clear();
        }
        let namespace = Rc::new(ids::idmap_namespace(lines)?);
        self.kept.insert(lines.clone(), Rc::clone(&namespace));
        Ok(namespace)
    }
}

/// Opens a source from the cache of names alone; `None` where that can't tell.
///
/// # Errors
/// Those of opening it: the cache also knows what doesn't exist.
pub(super) fn open_cached(source: &Source) -> Result<Option<OwnedFd>> {
    match paths::open_cached(&source.path, flags(source)) {
        Ok(fd) => Ok(Some(fd)),
        // ENOSYS and EINVAL: the kernel has no such question.
        Err(Errno::EAGAIN | Errno::EINVAL | Errno::ENOSYS) => Ok(None),
        Err(errno) => Err(open_error(source, errno)),
    }
}

/// Opens a source wherever it is.
///
/// # Errors
/// Those of opening it.
pub(super) fn open(source: &Source) -> Result<OwnedFd> {
    paths::open_path(&source.path, flags(source)).map_err(|errno| open_error(source, errno))
}

fn flags(source: &Source) -> i32 {
    libc::O_PATH | if source.nofollow { libc::O_NOFOLLOW } else { 0 }
}

/// The sentence about a source that can't be opened; the first source is the rootfs.
pub(super) fn open_error(source: &Source, errno: Errno) -> Error {
    if source.rootfs {
        let error =
            Error::new(ErrorCode::RootfsUnusable, "open rootfs", &source.object).errno(errno);
        return match errno {
            Errno::ENOENT => error.hint("the rootfs is a directory with the container's files, such as one that `minictr deploy` makes"),
            _ => error,
        };
    }
    Error::new(ErrorCode::Mount, "open mount source", &source.object).errno(errno)
}

/// Starts a process that opens every source and sends the descriptors in order.
pub(super) fn open_aside(sources: &[Source], ends: report::Ends<'_>) -> Result<Child> {
    clone::clone3(0, None, || {
        let sync = ends.alone();
        let _ = crate::sys::process::set_parent_death_signal(libc::SIGKILL);
        report::check_parent(sync);
        for (index, source) in sources.iter().enumerate() {
            let sent = paths::open_path(&source.path, flags(source))
                .and_then(|fd| report::send_descriptor(sync, report::MASTER, fd.as_fd()));
            if let Err(errno) = sent {
                report::send_fault(sync, index as u32, Fault::from(errno));
                break;
            }
        }
        clone::exit_now(0)
    })
    .map_err(|errno| {
        Error::new(ErrorCode::ResourceExhausted, "start a process for", "opening mount sources")
            .errno(errno)
    })
}

/// Turns an opened source into a detached mount that the child can attach.
///
/// # Errors
/// `RootfsUnusable` for a rootfs that isn't a directory, `IdMapping` where the filesystem can't be
/// idmapped, `Mount`.
pub(super) fn detach(
    source: &Source,
    fd: BorrowedFd<'_>,
    container: Option<&MapLines>,
    namespaces: &mut IdmapNamespaces,
) -> Result<OwnedFd> {
    if source.rootfs && !is_directory(fd).unwrap_or(false) {
        return Err(Error::new(ErrorCode::RootfsUnusable, "use rootfs", &source.object)
            .errno(Errno::ENOTDIR)
            .hint("a rootfs is a directory, not a file"));
    }
    let recursive = if source.recursive { AT_RECURSIVE } else { 0 };
    let tree = mount::open_tree_at(fd, OPEN_TREE_CLONE | recursive).map_err(|errno| {
        Error::new(ErrorCode::Mount, "clone mount of", &source.object).errno(errno)
    })?;
    let lines = source.idmap_lines.as_ref().or(container);
    if source.shift != Shift::None
        && let Some(lines) = lines
    {
        use std::os::fd::AsRawFd;
        if !features::has(Interface::MountSetattr) {
            let object = format!("{}: {}", source.object, Interface::MountSetattr.absence());
            return Err(Error::new(
                ErrorCode::KernelUnsupported,
                "shift the owners of files in",
                object,
            )
            .hint("run as an unprivileged user, whose files need no shift, or with `--userns=host`, which makes root in the container root on the host"));
        }
        let namespace = namespaces.get(lines)?;
        let attr = MountAttr {
            attr_set: MOUNT_ATTR_IDMAP,
            propagation: MsFlags::MS_PRIVATE.bits(),
            userns_fd: namespace.as_raw_fd() as u64,
            ..MountAttr::default()
        };
        let flags = if source.shift == Shift::Tree { AT_RECURSIVE } else { 0 };
        match mount::mount_setattr(tree.as_fd(), flags, &attr) {
            Err(Errno::EINVAL | Errno::EPERM) if source.shift == Shift::WherePossible => {}
            result => result.map_err(|errno| idmap_error(source, fd, errno))?,
        }
    }
    Ok(tree)
}

fn idmap_error(source: &Source, fd: BorrowedFd<'_>, errno: Errno) -> Error {
    let filesystem =
        nix::sys::statfs::fstatfs(fd).ok().map(|stat| filesystem_name(stat.filesystem_type()));
    let what = filesystem.flatten().map_or_else(
        || format!("{} (or a mount below it)", source.object),
        |name| format!("{} on {name}", source.object),
    );
    Error::new(ErrorCode::IdMapping, "shift the owners of files in", what).errno(errno).hint(
        "this filesystem (or one mounted below) can't be mounted with shifted ids; copy the directory to ext4, xfs, btrfs or tmpfs, or run with `--userns=host`, which makes root in the container root on the host",
    )
}

/// Names of the filesystems that people meet and that can't, or couldn't always, be idmapped.
fn filesystem_name(kind: FsType) -> Option<&'static str> {
    // `statfs(2)`; the type of the number differs between C libraries.
    match kind {
        FsType(0x794c_7630) => Some("overlay"),
        FsType(0x6573_5546) => Some("FUSE"),
        FsType(0x6969) => Some("NFS"),
        FsType(0xff53_4d42 | 0xfe53_4d42) => Some("SMB"),
        FsType(0x0102_1997) => Some("9p"),
        FsType(0x0102_1994) => Some("tmpfs"),
        FsType(0x2fc1_2fc1) => Some("ZFS"),
        _ => None,
    }
}
