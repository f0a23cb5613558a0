//! Mounts that aren't the container's own: they are in no image, but named there, and taken from this
//! machine again. The names are those that runc gives them, so that either restores what the other
//! has dumped.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::rpc::ExternalMount;
use crate::error::{Context, Error, ErrorCode, Result};
use crate::rootfs::mount_table::{self, Mounted, below, joined};
use crate::rootfs::mounts::is_directory;
use crate::rootfs::paths;
use crate::spawn::files::{DEFAULT_DEVICES, is_below, is_bind, normal};
use crate::spec::{Mount, NamespaceKind, Spec};
use crate::sys::mount::mount_id;

/// What masked files are covered with.
const MASK: &str = "/dev/null";

/// Refuses what CRIU would restore as something else.
///
/// # Errors
/// `InvalidArgument`.
pub(super) fn refuse(config: &Spec) -> Result<()> {
    let is_shifted = |mount: &&Mount| {
        let word = |option: &String| option == "idmap" || option == "ridmap";
        !mount.uid_mappings.is_empty()
            || !mount.gid_mappings.is_empty()
            || mount.options.iter().any(word)
    };
    match config.mounts.iter().find(is_shifted) {
        Some(mount) => Err(Error::invalid(
            "checkpoint or restore",
            format!("the idmapped mount on `{}`: CRIU would lose its ids", mount.destination),
        )),
        None => Ok(()),
    }
}

/// The external mounts of a running container: where each is, and its name.
///
/// # Errors
/// `InvalidArgument` for mounts that can't be had again; `Mount` where the table can't be read.
pub(super) fn of_container(config: &Spec, pid: i32) -> Result<Vec<ExternalMount>> {
    let table = read_table(&format!("/proc/{pid}/mountinfo"))?;
    refuse_v1_cgroups(config, &table)?;
    let root = CString::new(format!("/proc/{pid}/root")).unwrap_or_default();
    let root = paths::open_path(&root, libc::O_PATH | libc::O_DIRECTORY).context(
        ErrorCode::Mount,
        "open root of",
        "the container",
    )?;
    let binds: Vec<(usize, String)> = config
        .mounts
        .iter()
        .filter(|mount| is_bind(mount))
        .filter_map(|mount| {
            let destination = normal(&mount.destination);
            let position = position_of(&table, root.as_fd(), &destination)?;
            Some((position, destination.into_owned()))
        })
        .collect();
    let mut found = Vec::new();
    for (position, mounted) in table.iter().enumerate() {
        let point = String::from_utf8_lossy(&mounted.point);
        if let Some(name) = name_of(config, &table, &binds, position, &point) {
            found.push(ExternalMount { key: point.into_owned(), value: name });
        }
    }
    Ok(found)
}

fn name_of(
    config: &Spec,
    table: &[Mounted],
    binds: &[(usize, String)],
    position: usize,
    point: &str,
) -> Option<String> {
    if let Some((_, name)) = binds.iter().find(|(bind, _)| *bind == position) {
        return Some(name.clone());
    }
    let mounted = &table[position];
    let part = mounted.root != b"/";
    if part && masked(config).any(|path| path == point) {
        return Some(MASK.to_owned());
    }
    if part && devices(config).any(|path| path == point) {
        return Some(point.to_owned());
    }
    // What came along with the source of a recursive bind: it is in no image either.
    let of_config = config.mounts.iter().any(|mount| normal(&mount.destination) == point);
    let around = binds
        .iter()
        .filter(|(bind, _)| *bind < position && table[*bind].point != mounted.point)
        .filter_map(|(bind, name)| Some((name, below(&mounted.point, &table[*bind].point)?)))
        .min_by_key(|(_, rest)| rest.len());
    let (name, rest) = around.filter(|_| !of_config)?;
    Some(String::from_utf8_lossy(&joined(name.as_bytes(), rest)).into_owned())
}

/// The mounts of this machine that external ones are taken from: the name of each, and where it is
/// here.
///
/// # Errors
/// `InvalidArgument` for a bind mount without source; `Mount` where the table can't be read.
pub(super) fn of_machine(config: &Spec, bundle: &Path) -> Result<Vec<ExternalMount>> {
    let table = read_table("/proc/self/mountinfo")?;
    let mut found = Vec::new();
    let mut add = |key: String, value: String| found.push(ExternalMount { key, value });
    for mount in config.mounts.iter().filter(|mount| is_bind(mount)) {
        let name = normal(&mount.destination);
        let source = source(mount, bundle)?;
        let real = source.canonicalize().context(
            ErrorCode::Mount,
            "find mount source",
            format!("`{}`", source.display()),
        )?;
        let real = real.to_string_lossy();
        for mounted in &table {
            if let Some(rest) = below(&mounted.point, real.as_bytes()).filter(|r| !r.is_empty()) {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                add(text(&joined(name.as_bytes(), rest)), text(&mounted.point));
            }
        }
        add(name.into_owned(), real.into_owned());
    }
    if masked(config).next().is_some() {
        add(MASK.to_owned(), MASK.to_owned());
    }
    for path in devices(config) {
        add(path.clone(), path);
    }
    Ok(found)
}

/// Makes the mount points that the rootfs, or a directory that is bound into it, lacks: CRIU makes
/// none.
///
/// # Errors
/// `Mount`.
pub(super) fn make_points(config: &Spec, rootfs: BorrowedFd<'_>, bundle: &Path) -> Result<()> {
    for (index, mount) in config.mounts.iter().enumerate() {
        let destination = normal(&mount.destination);
        let around = config.mounts[..index]
            .iter()
            .filter(|other| is_below(&destination, &normal(&other.destination)))
            .max_by_key(|other| normal(&other.destination).len());
        let opened;
        let (directory, rest) = match around {
            None => (rootfs, destination.as_ref()),
            Some(other) if is_bind(other) => {
                let outer = normal(&other.destination);
                let rest = destination.strip_prefix(outer.as_ref()).unwrap_or_default();
                opened = open_source(&source(other, bundle)?)?;
                (opened.as_fd(), rest)
            }
            // Its content is in the images.
            Some(_) => continue,
        };
        if rest.trim_matches('/').is_empty() {
            continue;
        }
        let is_file = is_bind(mount) && !directory_at(&source(mount, bundle)?)?;
        let path = CString::new(rest)
            .map_err(|_| Error::invalid("use", "a mount destination with a NUL character in it"))?;
        let made = match is_file {
            true => paths::ensure_file(directory, &path, 0o644),
            false => paths::ensure_dir(directory, &path, 0o755),
        };
        made.context(ErrorCode::Mount, "make mount point", format!("`{destination}`"))?;
    }
    Ok(())
}

/// Without a cgroup namespace they are binds of the cgroups that the container had.
fn refuse_v1_cgroups(config: &Spec, table: &[Mounted]) -> Result<()> {
    let own = config
        .linux
        .iter()
        .flat_map(|linux| &linux.namespaces)
        .any(|namespace| namespace.kind == NamespaceKind::Cgroup);
    if own || !table.iter().any(|mounted| mounted.fs_type == b"cgroup") {
        return Ok(());
    }
    Err(Error::invalid("checkpoint", "a container that sees cgroup v1 without a cgroup namespace")
        .hint("give it a namespace of the type `cgroup`"))
}

fn position_of(table: &[Mounted], root: BorrowedFd<'_>, path: &str) -> Option<usize> {
    let path = CString::new(path).ok()?;
    let found = paths::open_in_root(root, &path, libc::O_PATH, 0).ok()?;
    let id = mount_id(found.as_fd(), c"").ok()?;
    table.iter().position(|mounted| u64::from(mounted.id) == id)
}

fn read_table(path: &str) -> Result<Vec<Mounted>> {
    let text = std::fs::read(path).context(ErrorCode::Mount, "read", format!("`{path}`"))?;
    Ok(mount_table::all(&text).collect())
}

fn masked(config: &Spec) -> impl Iterator<Item = String> {
    let paths = config.linux.iter().flat_map(|linux| &linux.masked_paths);
    paths.map(|path| normal(path).into_owned())
}

fn devices(config: &Spec) -> impl Iterator<Item = String> {
    let listed = config.linux.iter().flat_map(|linux| &linux.devices);
    let listed = listed.map(|device| normal(&device.path).into_owned());
    DEFAULT_DEVICES.iter().map(|(name, ..)| format!("/dev/{name}")).chain(listed)
}

fn source(mount: &Mount, bundle: &Path) -> Result<PathBuf> {
    let source = mount.source.as_deref().ok_or_else(|| {
        let object = format!("`{}`: a bind mount without source", mount.destination);
        Error::invalid("mount on", object)
    })?;
    Ok(bundle.join(source))
}

fn open_source(source: &Path) -> Result<OwnedFd> {
    use std::os::unix::ffi::OsStrExt;
    let opened = CString::new(source.as_os_str().as_bytes())
        .map_err(|_| Errno::EINVAL)
        .and_then(|path| paths::open_path(&path, libc::O_PATH));
    opened.context(ErrorCode::Mount, "open mount source", format!("`{}`", source.display()))
}

fn directory_at(source: &Path) -> Result<bool> {
    let found = open_source(source)?;
    is_directory(found.as_fd()).context(
        ErrorCode::Mount,
        "look at mount source",
        format!("`{}`", source.display()),
    )
}
