//! Writing a container to images.

use std::path::PathBuf;

use super::images::Directories;
use super::options::DumpOptions;
use super::rpc::{Features, Kind, NetworkLock, Options, PageServer, Request};
use super::worker::{Criu, Worker};
use super::{config_file, failed, mounts, namespaces, unusable};
use crate::error::{Error, ErrorCode, Result};
use crate::spec::Spec;
use crate::sys;

/// CRIU's log of a dump, beside the images or in the work directory.
const LOG: &str = "dump.log";

/// A running container, as CRIU has to know it.
#[derive(Debug)]
pub struct Running<'a> {
    /// Its id, for errors.
    pub id: &'a str,
    /// Its first process.
    pub pid: i32,
    /// The config that it was made of.
    pub config: &'a Spec,
    /// The absolute path of its rootfs.
    pub rootfs: &'a str,
    /// The cgroup by whose freezer it can be made to stand still.
    pub freezer: Option<PathBuf>,
    /// What its standard streams were given as.
    pub descriptors: &'a [String],
}

/// Dumps a container. Where that fails it goes on as before; where it doesn't, it has ended, unless it
/// is to be left running.
///
/// # Errors
/// `NotFound` where CRIU isn't installed, `KernelUnsupported` where it doesn't work here, `Checkpoint`
/// with its reason, `InvalidArgument` for options and configs that it can't have, `Io`.
pub fn dump(container: &Running<'_>, options: &DumpOptions) -> Result<()> {
    let criu = Criu::find()?;
    mounts::refuse(container.config)?;
    let status = options.status_fd.map(Status::of).transpose()?;
    criu.check_version()?;
    check_features(&criu, options)?;
    let directories = Directories::open(&options.common, true, LOG)?;
    check_parent(options)?;
    let request = Request {
        kind: if options.pre_dump { Kind::PreDump } else { Kind::Dump }.into(),
        options: Some(request(&criu, container, options, &directories)?),
        ..Request::default()
    };
    if !options.pre_dump {
        directories.write_descriptors(container.descriptors)?;
    }
    let mut worker = criu.start(None)?;
    let mut status = status;
    let answer = worker.ask(&request, |notification, _| {
        if notification.script.as_deref() == Some("status-ready")
            && let Some(status) = status.take()
        {
            status.ready();
        }
        Ok(())
    });
    match answer {
        Ok(answer) if answer.success => Ok(()),
        answer => Err(failed(
            &criu,
            "checkpoint",
            format!("container `{}`", container.id),
            answer.ok().as_ref(),
            directories.log(),
            &mut worker,
        )),
    }
}

fn check_parent(options: &DumpOptions) -> Result<()> {
    if let Some(parent) = &options.parent {
        if parent.is_absolute() {
            return Err(Error::invalid("use", "`--parent-path`: it is relative to the images"));
        }
        let directory = options.common.images.join(parent);
        if !directory.is_dir() {
            let shown = format!("`{}`: no directory of images", directory.display());
            return Err(Error::invalid("use", shown));
        }
    }
    Ok(())
}

fn request(
    criu: &Criu,
    container: &Running<'_>,
    options: &DumpOptions,
    directories: &Directories,
) -> Result<Options> {
    let on = |set: bool| set.then_some(true);
    let mut request = Options {
        pid: Some(container.pid),
        root: Some(container.rootfs.to_owned()),
        leave_running: on(options.leave_running),
        tcp_skip_in_flight: on(options.tcp_skip_in_flight),
        link_remap: on(options.link_remap),
        freeze_cgroup: container.freezer.as_ref().map(|path| path.to_string_lossy().into_owned()),
        page_server: options.page_server.as_ref().map(|(address, port)| PageServer {
            address: Some(address.clone()),
            port: Some(i32::from(*port)),
        }),
        parent_img: options.parent.as_ref().map(|path| path.to_string_lossy().into_owned()),
        track_mem: on(options.parent.is_some() || options.pre_dump),
        external: namespaces::of_container(container.config, container.pid)?,
        network_lock: network_lock(criu, container.pid),
        config_file: config_file(container.config),
        ..directories.options(&options.common)
    };
    if !options.pre_dump {
        request.external_mounts = mounts::of_container(container.config, container.pid)?;
    }
    Ok(request)
}

/// CRIU's own choice takes a program of iptables', which is on few machines; where the container has
/// a network of its own to lock, nftables does without.
fn network_lock(criu: &Criu, pid: i32) -> Option<i32> {
    let namespace = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/net")).ok();
    let own = namespace(&pid.to_string()) != namespace("self");
    (own && criu.has("network_lock_nftables")).then(|| NetworkLock::Nftables.into())
}

fn check_features(criu: &Criu, options: &DumpOptions) -> Result<()> {
    let wanted = Features {
        memory_tracking: options.pre_dump.then_some(true),
        lazy_pages: options.common.lazy_pages.then_some(true),
    };
    if wanted == Features::default() {
        return Ok(());
    }
    let request = Request {
        kind: Kind::FeatureCheck.into(),
        features: Some(wanted.clone()),
        ..Request::default()
    };
    let mut worker: Worker = criu.start(None)?;
    let Some(found) = worker.ask(&request, |_, _| Ok(())).ok().and_then(|answer| answer.features)
    else {
        let reason = criu.check().unwrap_or_else(|| "it doesn't say what it can do".to_owned());
        return Err(unusable(&reason));
    };
    let lacks = |wanted: Option<bool>, found: Option<bool>| wanted.is_some() && found != Some(true);
    let missing = [
        (lacks(wanted.memory_tracking, found.memory_tracking), "track memory (`--pre-dump`)"),
        (lacks(wanted.lazy_pages, found.lazy_pages), "send pages later (`--lazy-pages`)"),
    ];
    match missing.iter().find(|(lacks, _)| *lacks) {
        Some((_, what)) => Err(Error::new(
            ErrorCode::KernelUnsupported,
            "checkpoint:",
            format!("CRIU can't {what} on this kernel"),
        )),
        None => Ok(()),
    }
}

/// Where it is told that pages can be asked for.
#[derive(Debug)]
struct Status(std::os::fd::OwnedFd);

impl Status {
    fn of(fd: i32) -> Result<Self> {
        use nix::fcntl::{FcntlArg, OFlag, fcntl};
        let flags = sys::borrow_of_caller(fd).and_then(|fd| fcntl(fd, FcntlArg::F_GETFL).ok());
        let mode = flags.map(|flags| OFlag::from_bits_retain(flags) & OFlag::O_ACCMODE);
        if !matches!(mode, Some(OFlag::O_WRONLY | OFlag::O_RDWR)) || fd < 3 {
            let why = format!("`--status-fd {fd}`: it isn't a descriptor that can be written");
            return Err(Error::invalid("use", why));
        }
        Ok(Self(sys::own_received(fd)))
    }

    fn ready(self) {
        // Who waits for it may be gone, which is no reason to give up.
        let _ = nix::unistd::write(&self.0, &[0]);
    }
}
