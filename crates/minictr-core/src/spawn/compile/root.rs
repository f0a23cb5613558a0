//! Steps that build the root filesystem and enter it.

use std::rc::Rc;

use nix::mount::MsFlags;

use super::{Builder, c_string};
use crate::error::{Error, ErrorCode, Result};
use crate::rootfs::mounts::BindSource;
use crate::rootfs::overlay::LayerLimits;
use crate::rootfs::root::RootPlan;
use crate::spawn::hooks::Moment;
use crate::spawn::plan::{Object, Shift, Source, Step};
use crate::spawn::request::{IdMappingSource, LaunchRequest, MountPoints};
use crate::spawn::terminal::Console;
use crate::spawn::{files, host};
use crate::spec::{Linux, Process, Spec};

/// Identity: the container's root (or its only user), still in the host's view of files.
pub(super) fn build_root(
    builder: &mut Builder<'_>,
    spec: &Spec,
    linux: &Linux,
    process: &Process,
) -> Result<()> {
    let root = spec.root.as_ref().ok_or_else(|| Error::invalid("find", "`root` in the spec"))?;
    let propagation = linux.rootfs_propagation.as_deref();
    let keep_propagation = matches!(propagation, Some("shared" | "rshared" | "slave" | "rslave"));
    builder.push(
        Step::DetachPropagation { slave: keep_propagation },
        ErrorCode::Mount,
        "detach",
        "mount propagation",
    );

    let (attach, code) = match &builder.request.host_root {
        Some(host) => (Step::AttachHostRoot(host::compile(builder, host)?), ErrorCode::Mount),
        None => {
            let plan = rootfs(builder, spec, &root.path, keep_propagation)?;
            (Step::AttachRoot(plan), ErrorCode::RootfsUnusable)
        }
    };
    let mounts = files::compile_mounts(builder, spec)?;
    let operation = match attach {
        Step::AttachHostRoot(_) => "attach from this machine",
        _ => "attach rootfs",
    };
    builder.push(attach, code, operation, format!("`{}`", root.path));
    for (step, object) in mounts {
        builder.push(step, ErrorCode::Mount, "mount", object);
    }
    let dev_is_hosts = files::dev_is_hosts(spec);
    if !dev_is_hosts {
        files::compile_devices(builder, linux)?;
        builder.push(Step::DevLinks, ErrorCode::Device, "make", "links of `/dev`");
    }
    if process.terminal.unwrap_or(false) {
        let step = Step::OpenTerminal {
            size: process.console_size.unwrap_or_default(),
            console: if dev_is_hosts { Console::Present } else { Console::Made },
        };
        builder.push(step, ErrorCode::Device, "open terminal of", "the container");
    }
    create_hooks(builder);
    for path in &linux.masked_paths {
        builder.push(
            Step::Mask(c_string(path.as_str(), "masked path")?),
            ErrorCode::Mount,
            "mask",
            Object::OfStep,
        );
    }
    for path in &linux.readonly_paths {
        builder.push(
            Step::ReadOnlyPath(c_string(path.as_str(), "read-only path")?),
            ErrorCode::Mount,
            "make read-only",
            Object::OfStep,
        );
    }
    if root.readonly {
        builder.push(Step::ReadOnlyRoot, ErrorCode::Mount, "make read-only", "`/`");
    }
    builder.push(
        Step::EnterRoot { pivot: !builder.request.runtime.no_pivot },
        ErrorCode::RootfsUnusable,
        "change root to",
        format!("`{}`", root.path),
    );
    if let Some(word) = propagation {
        builder.push(
            Step::RootPropagation(propagation_flags(word)?),
            ErrorCode::Mount,
            "set propagation of",
            "`/`",
        );
    }
    Ok(())
}

fn needs_root_in_place(request: &LaunchRequest) -> bool {
    let of = |moment: Moment| request.spec.hooks.as_ref().is_some_and(|h| !moment.of(h).is_empty());
    of(Moment::Prestart) || of(Moment::CreateRuntime) || of(Moment::CreateContainer)
}

/// Before anything is read-only or masked: hooks add to the root, as those of GPU vendors do.
fn create_hooks(builder: &mut Builder<'_>) {
    let Some(hooks) = &builder.request.spec.hooks else { return };
    if !hooks.prestart.is_empty() || !hooks.create_runtime.is_empty() {
        builder.push(Step::AwaitHooks, ErrorCode::Internal, "wait for", "the runtime's hooks");
    }
    container_hooks(builder, Moment::CreateContainer);
}

/// Hooks that the child runs itself.
pub(super) fn container_hooks(builder: &mut Builder<'_>, moment: Moment) {
    let (Some(hooks), Some(subject)) =
        (&builder.request.spec.hooks, &builder.request.runtime.hooks)
    else {
        return;
    };
    let hooks = moment.of(hooks).to_vec();
    if !hooks.is_empty() {
        let step = Step::Hooks { moment, hooks, subject: Rc::new(subject.clone()) };
        builder.push(step, ErrorCode::HookFailed, "run hooks", moment.name());
    }
}

/// The root that is a directory of the caller's.
fn rootfs(
    builder: &mut Builder<'_>,
    spec: &Spec,
    written: &str,
    keep_propagation: bool,
) -> Result<RootPlan> {
    let path = builder.host_path(written, "rootfs")?;
    let overlay = builder.request.overlay.then(|| LayerLimits::new(builder.request.layer_bytes));
    let mount_points = match builder.request.mount_points {
        MountPoints::Private if overlay.is_none() => files::mount_points(builder, spec)?,
        _ => Vec::new(),
    };
    let source = if builder.parent_opens() {
        let shifted = builder.request.id_mapping == IdMappingSource::Auto;
        builder.sources.push(Source {
            object: format!("`{}`", path.to_string_lossy()),
            path,
            recursive: true,
            nofollow: false,
            shift: if shifted { Shift::Tree } else { Shift::None },
            idmap_lines: None,
            rootfs: true,
        });
        BindSource::Prepared(builder.sources.len() - 1)
    } else {
        BindSource::Path(path)
    };
    // Where a hook looks for it that enters the mount namespace before the root is changed.
    let at = if needs_root_in_place(builder.request) {
        builder.host_path(written, "rootfs")?
    } else {
        c"/".to_owned()
    };
    Ok(RootPlan { source, at, overlay, keep_propagation, mount_points })
}

fn propagation_flags(word: &str) -> Result<MsFlags> {
    let (word, recursive) = match word.strip_prefix('r') {
        Some(rest) => (rest, MsFlags::MS_REC),
        None => (word, MsFlags::empty()),
    };
    Ok(recursive
        | match word {
            "shared" => MsFlags::MS_SHARED,
            "slave" => MsFlags::MS_SLAVE,
            "private" => MsFlags::MS_PRIVATE,
            "unbindable" => MsFlags::MS_UNBINDABLE,
            _ => return Err(Error::invalid("use", format!("rootfsPropagation `{word}`")).hint(
                "it is one of shared, slave, private, unbindable, or one of these with an r before",
            )),
        })
}
