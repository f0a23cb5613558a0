//! Mounts and devices of a spec, compiled.

use std::borrow::Cow;
use std::ffi::CString;
use std::net::IpAddr;
use std::rc::Rc;

use nix::sys::stat::{SFlag, makedev};

use super::compile::{Builder, c_string, is_new};
use super::ids::{IdPlan, MapLines};
use super::labels::mount_option;
use super::plan::{Object, Shift, Source, Step};
use super::request::{IdMappingSource, MountPoints};
use crate::error::{Error, ErrorCode, Result};
use crate::rootfs::lines::Lines;
use crate::rootfs::masks::DevicePlan;
use crate::rootfs::mounts::{BindSource, MountAction, MountPlan};
use crate::rootfs::options::MountOptions;
use crate::rootfs::root::{MountPoint, PointKind};
use crate::spec::{Device, Linux, Mount, NamespaceKind, Spec};

/// Devices that every container has, `config-linux.md#default-devices`: name, major, minor.
pub(crate) const DEFAULT_DEVICES: &[(&str, u64, u64)] = &[
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Addresses by name, `hosts(5)`.
const HOSTS: &str = "/etc/hosts";

/// Where the kernel's own files belong.
const KERNEL_FILES: [&str; 2] = ["/proc", "/sys"];

/// A destination as it is compared with others: absolute, without doubled or trailing slashes.
pub(crate) fn normal(path: &str) -> Cow<'_, str> {
    let superfluous = |part: &str| part.is_empty() || part == ".";
    match path.strip_prefix('/') {
        Some(rest) if !rest.split('/').any(superfluous) => path.into(),
        _ => {
            let parts: Vec<&str> = path.split('/').filter(|part| !superfluous(part)).collect();
            format!("/{}", parts.join("/")).into()
        }
    }
}

/// Whether a path is a directory or lies below it; both as [`normal`] gives them.
pub(crate) fn is_below(path: &str, directory: &str) -> bool {
    directory == "/"
        || path == directory
        || path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

/// Whether a mount shows something that is there already.
pub(crate) fn is_bind(mount: &Mount) -> bool {
    let has = |wanted: &str| mount.options.iter().any(|option| option == wanted);
    (mount.kind.as_deref() == Some("bind") || has("bind") || has("rbind")) && !has("remount")
}

/// The steps for `mounts`, each with the object of its note.
pub(super) fn compile_mounts(
    builder: &mut Builder<'_>,
    spec: &Spec,
) -> Result<Vec<(Step, Object)>> {
    let mut steps = Vec::with_capacity(spec.mounts.len());
    // In a mount namespace that is joined, others are too.
    let alone = spec.linux.as_ref().is_some_and(|linux| is_new(linux, NamespaceKind::Mount));
    for (index, mount) in spec.mounts.iter().enumerate() {
        let destination = normal(&mount.destination);
        let kind = mount.kind.as_deref().unwrap_or("bind");
        let mut options = MountOptions::parse(&mount.options, &destination)?;
        // Processes are told by their files; others in their place are a lie (CVE-2019-16884).
        if destination == "/proc" && kind != "proc" && !is_bind(mount) && !options.remount {
            return Err(Error::invalid("mount", format!("{kind} on `/proc`: it isn't proc")));
        }
        let (action, object) = if options.remount {
            (MountAction::remount(&options), Object::OfStep)
        } else if is_bind(mount) {
            let source = mount.source.as_deref().ok_or_else(|| {
                Error::invalid("mount on", format!("`{destination}`: a bind mount without source"))
            })?;
            let object = format!("`{source}` on `{destination}`");
            (bind(builder, mount, source, &options)?, object.into())
        } else if matches!(kind, "cgroup" | "cgroup2") {
            let action = MountAction::Cgroups {
                hierarchies: Rc::clone(&builder.host.cgroup_mounts),
                flags: options.mount_flags(),
            };
            (action, Object::OfStep)
        } else {
            options = without_unmapped_gid(kind, options, &builder.host.ids);
            let later = label(builder, kind, &mut options)?;
            let source = mount.source.as_deref().unwrap_or(kind);
            let mut action = MountAction::new_filesystem(
                c_string(kind, "filesystem type")?,
                c_string(source, "mount source")?,
                &options,
            );
            if let MountAction::New { label, .. } = &mut action {
                *label = later;
            }
            (action, Object::OfStep)
        };
        let plan = MountPlan {
            own_dev: alone && destination == "/dev" && action.is_plain_tmpfs(),
            kernel_files: matches!(kind, "proc" | "sysfs")
                || is_bind(mount) && KERNEL_FILES.contains(&&*destination),
            create: creates_mount_point(builder, &spec.mounts[..index], &destination),
            destination: c_string(&*destination, "mount destination")?,
            action,
        };
        steps.push((Step::Mount(plan), object));
    }
    if !builder.request.hosts.is_empty() {
        let plan = MountPlan {
            own_dev: false,
            kernel_files: false,
            create: creates_mount_point(builder, &spec.mounts, HOSTS),
            destination: c_string(HOSTS, "mount destination")?,
            action: MountAction::Lines(host_lines(&builder.request.hosts)),
        };
        steps.push((Step::Mount(plan), Object::OfStep));
    }
    Ok(steps)
}

fn host_lines(hosts: &[(String, IpAddr)]) -> Lines {
    let further: String =
        hosts.iter().map(|(name, address)| format!("{address}\t{name}\n")).collect();
    Lines {
        further: further.into_bytes(),
        otherwise: b"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n".to_vec(),
    }
}

/// Whether a missing mount point may be made where it belongs: in the rootfs where the caller says
/// so, always in a filesystem that is the container's own, never in a directory of the user's.
fn creates_mount_point(builder: &Builder<'_>, earlier: &[Mount], destination: &str) -> bool {
    if builder.request.mount_points == MountPoints::Create {
        return true;
    }
    let around = earlier.iter().rev().find(|mount| {
        let other = normal(&mount.destination);
        other != destination && is_below(destination, &other)
    });
    match around {
        Some(mount) => !is_bind(mount),
        None => builder.request.overlay || builder.request.host_root.is_some(),
    }
}

/// The mount points that must exist in the rootfs itself.
pub(super) fn mount_points(builder: &Builder<'_>, spec: &Spec) -> Result<Vec<MountPoint>> {
    let mut points = Vec::new();
    let mut sources = 1;
    let within = |destination: &str, mounts: &[Mount]| {
        mounts.iter().any(|earlier| is_below(destination, &normal(&earlier.destination)))
    };
    for (index, mount) in spec.mounts.iter().enumerate() {
        let destination = normal(&mount.destination);
        let bind = is_bind(mount);
        let prepared = sources;
        if bind && builder.parent_opens() {
            sources += 1;
        }
        let in_rootfs = !within(&destination, &spec.mounts[..index]);
        let remounts = mount.options.iter().any(|option| option == "remount");
        if !in_rootfs || remounts || destination == "/" {
            continue;
        }
        let kind = match (bind, mount.source.as_deref()) {
            (true, _) if builder.parent_opens() => PointKind::LikePrepared(prepared),
            (true, Some(source)) => PointKind::LikePath(builder.host_path(source, "mount source")?),
            _ => PointKind::Directory,
        };
        points.push(MountPoint { path: c_string(&*destination, "mount destination")?, kind });
    }
    if !builder.request.hosts.is_empty() && !within(HOSTS, &spec.mounts) {
        let path = c_string(HOSTS, "mount destination")?;
        points.push(MountPoint { path, kind: PointKind::File });
    }
    Ok(points)
}

fn bind(
    builder: &mut Builder<'_>,
    mount: &Mount,
    source: &str,
    options: &MountOptions,
) -> Result<MountAction> {
    let path = builder.host_path(source, "mount source")?;
    let lines = (!mount.uid_mappings.is_empty() || !mount.gid_mappings.is_empty())
        .then(|| MapLines { uids: mount.uid_mappings.clone(), gids: mount.gid_mappings.clone() });
    let wants_idmap = options.idmap.is_some() || lines.is_some();
    let source = if builder.parent_opens() {
        builder.sources.push(Source {
            path,
            recursive: options.recursive_bind,
            nofollow: options.source_nofollow,
            shift: match (wants_idmap, options.idmap) {
                (false, _) => Shift::None,
                (true, Some(true)) => Shift::Tree,
                (true, _) => Shift::Mount,
            },
            idmap_lines: lines,
            rootfs: false,
            object: format!("`{source}`"),
        });
        BindSource::Prepared(builder.sources.len() - 1)
    } else {
        // The caller's one id is the container's: nothing to shift.
        if wants_idmap && builder.request.id_mapping != IdMappingSource::Auto {
            return Err(Error::new(
                ErrorCode::IdMapping,
                "make idmapped mount of",
                format!("`{source}`"),
            )
            .hint("idmapped mounts need root and a user namespace of the container's own"));
        }
        BindSource::Path(path)
    };
    Ok(MountAction::bind(source, options))
}

/// Gives a new filesystem the label of `linux.mountLabel`: by an option, or where that isn't taken
/// afterwards, by what is returned. Those of the kernel have labels of their own.
fn label(builder: &Builder<'_>, kind: &str, options: &mut MountOptions) -> Result<Option<CString>> {
    let linux = builder.request.spec.linux.as_ref();
    let label = linux.and_then(|linux| linux.mount_label.as_deref());
    let Some(label) = label.filter(|label| !label.is_empty()) else { return Ok(None) };
    match kind {
        "proc" | "sysfs" => Ok(None),
        "mqueue" => c_string(label, "mount label").map(Some),
        _ => {
            let context = builder.request.runtime.mount_context.as_deref().unwrap_or("context");
            if !options.data.is_empty() {
                options.data.push(',');
            }
            options.data.push_str(&mount_option(context, label));
            Ok(None)
        }
    }
}

/// devpts refuses a group that the container doesn't have.
fn without_unmapped_gid(kind: &str, mut options: MountOptions, ids: &IdPlan) -> MountOptions {
    let has_gid = |gid: u32| match ids {
        IdPlan::Host | IdPlan::Joined => true,
        IdPlan::Own => gid == 0,
        IdPlan::Parent(lines) | IdPlan::Helper(lines) => lines.has_gid(gid),
    };
    if kind == "devpts" {
        let kept = options.data.split(',').filter(|word| {
            word.strip_prefix("gid=").and_then(|gid| gid.parse().ok()).is_none_or(has_gid)
        });
        options.data = kept.collect::<Vec<_>>().join(",");
    }
    options
}

/// Whether `/dev` is a directory of the host's, which has its devices and is given nothing.
pub(super) fn dev_is_hosts(spec: &Spec) -> bool {
    let last = spec.mounts.iter().rev().find(|mount| normal(&mount.destination) == "/dev");
    last.is_some_and(is_bind)
}

/// The default devices and those of the spec.
pub(super) fn compile_devices(builder: &mut Builder<'_>, linux: &Linux) -> Result<()> {
    let listed = |path: &str| linux.devices.iter().any(|device| normal(&device.path) == path);
    for (name, major, minor) in DEFAULT_DEVICES {
        let path = format!("/dev/{name}");
        if !listed(&path) {
            let plan = device(builder, &path, SFlag::S_IFCHR, makedev(*major, *minor), None)?;
            builder.push(Step::Device(plan), ErrorCode::Device, "make device", Object::OfStep);
        }
    }
    for spec in &linux.devices {
        let number = |value: Option<i64>| u64::try_from(value.unwrap_or(0)).unwrap_or(0);
        let rdev = makedev(number(spec.major), number(spec.minor));
        let kind = match spec.kind.as_str() {
            "c" | "u" => SFlag::S_IFCHR,
            "b" => SFlag::S_IFBLK,
            "p" => SFlag::S_IFIFO,
            other => {
                return Err(Error::invalid(
                    "make device",
                    format!("`{}`: type `{other}`", spec.path),
                )
                .hint("it is c, u, b or p"));
            }
        };
        let path = normal(&spec.path);
        let plan = device(builder, &path, kind, rdev, Some(spec))?;
        builder.push(Step::Device(plan), ErrorCode::Device, "make device", Object::OfStep);
    }
    Ok(())
}

fn device(
    builder: &Builder<'_>,
    path: &str,
    kind: SFlag,
    rdev: u64,
    spec: Option<&Device>,
) -> Result<DevicePlan> {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    let directory = if directory.is_empty() { "/" } else { directory };
    // A user namespace may not make device nodes, but it may bind those of the host.
    let in_initial = builder.host.ids == IdPlan::Host && builder.host.caller.initial_namespace;
    let may_make = in_initial || kind == SFlag::S_IFIFO;
    let bind_from: Option<CString> = if may_make { None } else { Some(c_string(path, "device")?) };
    Ok(DevicePlan {
        directory: c_string(directory, "device")?,
        name: c_string(name, "device")?,
        kind,
        mode: spec.and_then(|spec| spec.file_mode).unwrap_or(0o666) & 0o7777,
        rdev,
        uid: spec.and_then(|spec| spec.uid).unwrap_or(0),
        gid: spec.and_then(|spec| spec.gid).unwrap_or(0),
        bind_from,
    })
}
