//! Making a container of images.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::images::Directories;
use super::options::{CgroupsMode, RestoreOptions};
use super::rpc::{CgroupRoot, InheritedFd, Kind, Notification, Options, Request};
use super::worker::{Criu, pass_on};
use super::{config_file, failed, mounts, namespaces};
use crate::cgroups::{Membership, memberships};
use crate::error::{Context, Error, ErrorCode, Result};
use crate::rootfs::paths;
use crate::spec::Spec;
use crate::sys::process::Surroundings;

/// CRIU's log of a restoration, beside the images or in the work directory.
const LOG: &str = "restore.log";

/// The container that is to come of it.
#[derive(Debug)]
pub struct Restoration<'a> {
    /// Its id, for errors.
    pub id: &'a str,
    /// Its config: what is mounted and joined comes from it, all else from the images.
    pub config: &'a Spec,
    /// What relative paths of the config are taken from.
    pub bundle: &'a Path,
    /// Absolute path of its rootfs.
    pub rootfs: &'a Path,
    /// A directory of the container's own state. In CRIU's mount namespace the rootfs is there.
    pub place: &'a Path,
}

/// What has to be done while CRIU works, before it goes on. A failure makes it take everything back.
pub trait Events {
    /// CRIU has begun, as process `pid`. Whether that is in the container's cgroup now, which is made and
    /// limited, and where all that CRIU makes will be.
    ///
    /// # Errors
    /// Why it can't go on.
    fn begun(&mut self, pid: i32) -> Result<bool>;

    /// The namespaces are made; `pid` is the first process.
    ///
    /// # Errors
    /// Why it can't go on.
    fn namespaces_made(&mut self, pid: i32) -> Result<()>;

    /// All is there, and about to run.
    ///
    /// # Errors
    /// Why it can't go on.
    fn restored(&mut self, pid: i32) -> Result<()>;

    /// The master of the container's terminal.
    ///
    /// # Errors
    /// Why it can't go on.
    fn terminal(&mut self, master: OwnedFd) -> Result<()>;
}

/// Restores a container, as a child of this process. `streams` take the places of pipes that were its
/// standard streams.
///
/// # Errors
/// `NotFound` where CRIU isn't installed, `KernelUnsupported` where it doesn't work here, `Checkpoint`
/// with its reason, `InvalidArgument` for configs that it can't have, `Mount`, `Namespace`, `Io`, and
/// those of `events`. No process of it is left then.
pub fn restore(
    container: &Restoration<'_>,
    options: &RestoreOptions,
    streams: [Option<OwnedFd>; 3],
    events: &mut dyn Events,
) -> Result<i32> {
    let criu = Criu::find()?;
    mounts::refuse(container.config)?;
    let mut directories = Directories::open(&options.common, false, LOG)?;
    let names = directories.read_descriptors()?;
    criu.check_version()?;

    let shown = || format!("`{}`", container.rootfs.display());
    let string = |path: &Path| {
        CString::new(path.as_os_str().as_bytes())
            .map_err(|_| Error::invalid("use", "a path with a NUL character in it"))
    };
    let from = string(container.rootfs)?;
    let rootfs = paths::open_path(&from, libc::O_PATH | libc::O_DIRECTORY).context(
        ErrorCode::RootfsUnusable,
        "open rootfs",
        shown(),
    )?;
    mounts::make_points(container.config, rootfs.as_fd(), container.bundle)?;

    let mut given = namespaces::of_machine(container.config)?;
    let mut passed = Vec::new();
    for (name, stream) in names.iter().zip(streams) {
        if let Some(stream) = stream.filter(|_| name.starts_with("pipe:")) {
            pass_on(stream.as_fd()).context(ErrorCode::Internal, "pass on", "a stream")?;
            given.inherited.push(InheritedFd { key: name.clone(), fd: stream.as_raw_fd() });
            passed.push(stream);
        }
    }
    let process = container.config.process.as_ref();
    let surroundings = Surroundings {
        // CRIU wants the root of what it restores to be a mount; here nobody has to take it away again.
        bind: (from, string(container.place)?),
        // CRIU 3.17 forgets it of what it has dumped. What CRIU starts has it by descent.
        no_new_privs: process.and_then(|process| process.no_new_privileges) == Some(true),
    };
    let mut worker = criu.start(Some(surroundings))?;
    // CRIU has its copies; nothing else that is started from here gets one.
    let (inherited, joined) = given.close();
    drop(passed);
    directories.move_to(worker.pid())?;

    let mut request = Options {
        root: Some(container.place.to_string_lossy().into_owned()),
        evasive_devices: Some(true),
        restore_sibling: Some(true),
        tcp_close: options.tcp_close.then_some(true),
        lsm_profile: options.lsm_profile.clone(),
        lsm_mount_context: options.lsm_mount_context.clone(),
        external_mounts: mounts::of_machine(container.config, container.bundle)?,
        inherited_fds: inherited,
        joined_namespaces: joined,
        config_file: config_file(container.config),
        ..directories.options(&options.common)
    };
    if events.begun(worker.pid())? {
        request.cgroup_roots = cgroup_roots(worker.pid())?;
    } else if options.common.cgroups == CgroupsMode::Default {
        request.manage_cgroups_mode = Some(CgroupsMode::Ignore.number());
    }
    let request =
        Request { kind: Kind::Restore.into(), options: Some(request), ..Request::default() };

    let mut refused = None;
    let answer = worker.ask(&request, |notification, fds| {
        tell(events, notification, fds).inspect_err(|error| refused = Some(error.clone()))
    });
    let pid = match &answer {
        Ok(answer) if answer.success => answer.restored.as_ref().map(|restored| restored.pid),
        _ => None,
    };
    match (pid, refused) {
        (Some(pid), None) => {
            worker.end();
            Ok(pid)
        }
        (_, Some(error)) => Err(error),
        (None, None) => Err(failed(
            &criu,
            "restore",
            format!("container `{}`", container.id),
            answer.ok().as_ref(),
            directories.log(),
            &mut worker,
        )),
    }
}

fn tell(events: &mut dyn Events, notification: &Notification, fds: Vec<OwnedFd>) -> Result<()> {
    let pid = notification.pid.unwrap_or_default();
    match notification.script.as_deref() {
        Some("setup-namespaces") => events.namespaces_made(pid),
        Some("post-restore") => events.restored(pid),
        Some("orphan-pts-master") => match fds.into_iter().next() {
            Some(master) => events.terminal(master),
            None => Err(Error::new(ErrorCode::Io, "take", "the container's terminal from `criu`")),
        },
        _ => Ok(()),
    }
}

/// Where the cgroups of the images are to be: below those that CRIU itself has been put into.
fn cgroup_roots(pid: i32) -> Result<Vec<CgroupRoot>> {
    let mut roots = Vec::new();
    for Membership { mut controllers, v2, path } in memberships(pid)? {
        if v2 {
            // Meant by the empty name.
            controllers.push(String::new());
        }
        let root = |controller| CgroupRoot { controller: Some(controller), path: path.clone() };
        roots.extend(controllers.into_iter().map(root));
    }
    Ok(roots)
}
