//! The host's own `/` as a rootfs, compiled: what becomes of each of its mounts.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::compile::{Builder, c_string};
use super::files::normal;
use super::ids::IdPlan;
use super::plan::{Shift, Source};
use super::request::HostRoot;
use crate::error::{Context, Error, ErrorCode, Result};
use crate::rootfs::host::{Hidden, HostLayer, HostPlan};
use crate::rootfs::mount_table::{self, Mounted, Share, below};
use crate::rootfs::mounts::BindSource;
use crate::rootfs::overlay::LayerLimits;

/// What of `/` is always the container's own, mounted or made there by its spec.
const OWN: [&[u8]; 3] = [b"/proc", b"/sys", b"/dev"];

/// One part of the host's files, before its source is chosen.
struct Part {
    path: Vec<u8>,
    share: Share,
}

/// Compiles the root of a container of the host's files.
///
/// # Errors
/// `InvalidArgument` for a path that can't be hidden, `RootfsUnusable` where `/` can't be read.
pub(super) fn compile(builder: &mut Builder<'_>, host: &HostRoot) -> Result<HostPlan> {
    let table = std::fs::read("/proc/self/mountinfo").context(
        ErrorCode::RootfsUnusable,
        "read",
        "`/proc/self/mountinfo`",
    )?;
    let mounts = mount_table::visible(&table);
    let mut hidden = hidden(host)?;
    let hides = |hidden: &[Hidden], path: &[u8]| {
        hidden.iter().any(|one| below(path, one.path.to_bytes()).is_some())
    };
    let reached = mounts.iter().filter(|mount| {
        OWN.iter().all(|own| below(&mount.point, own).is_none()) && !hides(&hidden, &mount.point)
    });
    let reached: Vec<_> = reached.cloned().collect();
    for mount in &reached {
        // What lies under it is nobody's to see.
        if mount.share() == Share::Nothing && mount.point != b"/" {
            hidden.push(Hidden { path: path(mount.point.clone())?, empty: None });
        }
    }
    // A user namespace can't clone `/` without the mounts on it, which are locked to it there.
    let whole = builder.host.caller.privileged && builder.host.ids != IdPlan::Joined;
    let (parts, links) =
        if whole { (whole_root(&reached), Vec::new()) } else { by_directory(&mounts, &reached)? };
    let parts = parts.into_iter().filter(|part| !hides(&hidden, &part.path));
    let layers = parts.map(|part| layer(builder, part, whole)).collect::<Result<_>>()?;
    let limits = LayerLimits::new(builder.request.layer_bytes);
    Ok(HostPlan { layers, links, hidden, mounts, limits })
}

fn path(bytes: Vec<u8>) -> Result<CString> {
    c_string(bytes, "path of the host")
}

/// The paths of a request, checked.
fn hidden(host: &HostRoot) -> Result<Vec<Hidden>> {
    let empty = host.empty.iter().map(|directory| (&directory.path, Some(directory.mode & 0o7777)));
    let hidden = host.hide.iter().map(|path| (path, None));
    let all = empty.chain(hidden).map(|(text, empty)| {
        let clean = normal(text);
        let refuse = |why: &str| Err(Error::invalid("hide", format!("`{text}`: {why}")));
        if !text.starts_with('/') {
            return refuse("it isn't absolute");
        }
        if clean == "/" {
            return refuse("nothing would be left");
        }
        if clean.split('/').any(|part| part == "..") {
            return refuse("`..` in it can lead anywhere");
        }
        Ok(Hidden { path: c_string(clean.into_owned(), "hidden path")?, empty })
    });
    all.collect()
}

/// `/` without what is mounted on it, then each of those mounts.
fn whole_root(reached: &[Mounted]) -> Vec<Part> {
    let mut parts = vec![Part { path: b"/".to_vec(), share: Share::Layered }];
    for mount in reached.iter().filter(|mount| mount.point != b"/") {
        let carried = parts
            .iter()
            .any(|part| part.share == Share::Remote && below(&mount.point, &part.path).is_some());
        if !carried && mount.share() != Share::Nothing {
            parts.push(Part { path: mount.point.clone(), share: mount.share() });
        }
    }
    parts
}

/// A symbolic link of `/`: its name and where it leads.
type Link = (CString, CString);

/// Each directory and file of `/`, and its links.
fn by_directory(mounts: &[Mounted], reached: &[Mounted]) -> Result<(Vec<Part>, Vec<Link>)> {
    let unreadable =
        |error: std::io::Error| Error::new(ErrorCode::RootfsUnusable, "list", "`/`").io(&error);
    let (mut parts, mut links) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir("/").map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let kind = entry.file_type().map_err(unreadable)?;
        let name = entry.file_name().into_vec();
        let full = [b"/", &name[..]].concat();
        if kind.is_symlink() {
            let target = std::fs::read_link(entry.path()).map_err(unreadable)?;
            links.push((path(name)?, path(target.into_os_string().into_vec())?));
        } else if kind.is_file() {
            parts.push(Part { path: full, share: Share::ReadOnly });
        } else if kind.is_dir() && OWN.iter().all(|own| full != *own) {
            let own = reached.iter().find(|mount| mount.point == full).map(Mounted::share);
            let mounted_on = mounts
                .iter()
                .any(|mount| below(&mount.point, &full).is_some_and(|rest| !rest.is_empty()));
            let share = match own {
                Some(Share::Nothing) => continue,
                Some(Share::Remote) => Share::Remote,
                // Cloned with all of it, or not at all.
                _ if mounted_on => Share::Remote,
                _ => Share::Layered,
            };
            parts.push(Part { path: full, share });
        }
    }
    Ok((parts, links))
}

fn layer(builder: &mut Builder<'_>, part: Part, whole: bool) -> Result<HostLayer> {
    let recursive = part.share == Share::Remote;
    let object = format!("`{}`", OsStr::from_bytes(&part.path).to_string_lossy());
    let path = path(part.path)?;
    let source = if whole && builder.parent_opens() {
        builder.sources.push(Source {
            path: path.clone(),
            recursive,
            nofollow: true,
            shift: if recursive { Shift::None } else { Shift::WherePossible },
            idmap_lines: None,
            rootfs: false,
            object,
        });
        BindSource::Prepared(builder.sources.len() - 1)
    } else {
        BindSource::Path(path.clone())
    };
    Ok(HostLayer { path, source, layered: part.share == Share::Layered, recursive })
}
