//! From a bundle to a container: one that waits for its start, or one in the foreground.

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::annotations::Annotations;
use super::devices::allow_default;
use super::notify::{self, Notify};
use super::prepared::{Descriptors, HandOver, Maker, Owner, Prepared};
use super::{Runtime, status};
use crate::cgroups::{self, Scope};
use crate::error::{Context, Error, ErrorCode, Result};
use crate::namespaces;
use crate::resctrl::{self, Groups};
use crate::spawn::gate::{self, Gate};
use crate::spawn::hooks::{self, Moment, Subject};
use crate::spawn::{CgroupRequest, LaunchRequest, Listener, RuntimeOptions, Supervisor};
use crate::spec::{self, Hooks, NamespaceKind, Seccomp, Spec};
use crate::state::record::{Record, Status, now};
use crate::state::store::{Entry, Locked};
use crate::sys::process::pidfd_send_signal;

/// What a container is made of.
#[derive(Debug, Default)]
pub struct Creation {
    /// Its id.
    pub id: String,
    /// The directory with `config.json`; relative paths of the config are taken from it.
    pub bundle: PathBuf,
    /// Doesn't use `pivot_root(2)`.
    pub no_pivot: bool,
    /// Leaves it in the caller's session keyring.
    pub no_new_keyring: bool,
    /// Descriptors that the program gets as 3, 4, …
    pub preserved: Vec<OwnedFd>,
    /// How many of them are sockets that systemd or an engine listens on for it,
    /// `sd_listen_fds(3)`.
    pub listening: usize,
    /// Their names, by colons.
    pub listening_names: Option<String>,
    /// Its standard streams; `None` is `/dev/null`. Unused with a terminal.
    pub stdio: [Option<OwnedFd>; 3],
    /// Who is told that it has been made.
    pub hand_over: HandOver,
    /// The socket of a service manager that waits until the program is ready, `sd_notify(3)`.
    pub notify_socket: Option<OsString>,
}

impl Runtime {
    /// Makes a container that waits for [`Runtime::start`], and outlives this process. Returns the
    /// pid of its first process.
    ///
    /// # Errors
    /// Whatever keeps it from being made; nothing of it is left then.
    pub fn create(&self, creation: Creation) -> Result<i32> {
        let console_socket = creation.hand_over.console_socket.is_some();
        let prepared = self.begin(creation, true)?;
        if prepared.request.has_terminal() != console_socket {
            prepared.owner.end(self, false)?;
            return Err(if console_socket {
                Error::invalid("use", "`--console-socket`: the container has no terminal")
            } else {
                Error::invalid(
                    "create",
                    "a container with a terminal and no `--console-socket` to send it to",
                )
            });
        }
        prepared.leave(self)
    }

    /// Makes ready a container that this process will run in the foreground.
    ///
    /// # Errors
    /// Whatever keeps it from being made; nothing of it is left then.
    pub fn foreground(&self, creation: Creation) -> Result<Prepared> {
        self.begin(creation, false)
    }

    fn begin(&self, creation: Creation, outlives: bool) -> Result<Prepared> {
        crate::spawn::validate_id(&creation.id)?;
        let bundle = creation.bundle.canonicalize().context(
            ErrorCode::Io,
            "find bundle",
            format!("`{}`", creation.bundle.display()),
        )?;
        let (config, mut spec) = read_config(&bundle)?;
        if let Some(process) = &mut spec.process {
            self.pass_over_unknown_capabilities(process);
        }
        if creation.listening > 0
            && let Some(process) = &mut spec.process
        {
            process.env.retain(|entry| !entry.starts_with("LISTEN_"));
            process.env.push(format!("LISTEN_FDS={}", creation.listening));
            process.env.push("LISTEN_PID=1".to_owned());
            if let Some(names) = &creation.listening_names {
                process.env.push(format!("LISTEN_FDNAMES={names}"));
            }
        }
        let streams = stream_names(&spec, &creation.stdio);
        let Descriptors { fds, stdio, preserve_fds } =
            Descriptors::of(creation.stdio, creation.preserved);

        let scope = self.complete(&creation.id, &mut spec)?;
        let annotations = Annotations::of(&spec.annotations)?;
        let mut hand_over = creation.hand_over;
        hand_over.pidfd_socket = hand_over.pidfd_socket.or(annotations.pidfd_receiver);
        let poststart = (!outlives && spec.hooks.is_some()).then(|| spec.clone());
        let mut record = record(&creation.id, &bundle, &spec, streams);
        let rdt = spec.linux.as_ref().and_then(|linux| linux.intel_rdt.as_ref());
        let groups = rdt.map(|rdt| resctrl::plan(rdt, &creation.id)).transpose()?;
        record.resctrl = groups.as_ref().map(Groups::directories).unwrap_or_default();
        let subject = subject(&record, spec.hooks.as_ref())?;
        let seccomp = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
        let listener = listener(seccomp, annotations.seccomp_receiver, &bundle, &subject, None);
        record.unit = scope.as_ref().map(Scope::unit);
        let delegate_cgroup = spec
            .annotations
            .get(cgroups::DELEGATE_ANNOTATION)
            .filter(|name| !name.is_empty())
            .cloned();
        let locked = self.store.create(&creation.id)?;
        let manager = creation.notify_socket.as_deref();
        // The launch writes the record down before it makes anything.
        let makes_before = outlives || groups.is_some() || manager.is_some();
        let first = makes_before.then_some(&record);
        let begun = write_first(&locked, first, &config, outlives).and_then(|gate| {
            if let Some(groups) = &groups {
                groups.make()?;
            }
            let Some(manager) = manager else { return Ok((gate, None)) };
            notify::offer(&locked.entry, &mut spec)?;
            // Who starts a container that waits listens then.
            let notify = if outlives { None } else { Notify::listen(&locked.entry, manager)? };
            Ok((gate, notify))
        });
        let (gate, notify) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                let _ = resctrl::remove(&record.resctrl);
                let _ = locked.remove();
                return Err(error);
            }
        };
        let request = LaunchRequest {
            id: creation.id,
            spec,
            bundle: Some(bundle.to_string_lossy().into_owned()),
            cgroup: CgroupRequest { mode: self.cgroups, ..CgroupRequest::default() },
            stdio,
            preserve_fds,
            runtime: RuntimeOptions {
                no_pivot: creation.no_pivot,
                no_new_keyring: creation.no_new_keyring,
                outlives,
                gate: gate.map(Arc::new),
                hooks: Some(subject),
                listener,
                keep_groups: annotations.keep_groups,
                resctrl: groups.as_ref().map(Groups::task_files).unwrap_or_default(),
                mount_context: annotations.mount_context,
                scope: scope.map(Arc::new),
                delegate_cgroup,
                join: None,
            },
            ..LaunchRequest::default()
        };
        let looks_meanwhile = outlives || request.spec.hooks.is_some();
        let maker = Maker::new(record, locked, looks_meanwhile);
        let supervisor = match Supervisor::with_ledger(Box::new(maker.clone())) {
            Ok(supervisor) => supervisor,
            Err(error) => {
                maker.discard()?;
                return Err(error);
            }
        };
        Ok(Prepared {
            supervisor,
            request,
            fds,
            notify,
            owner: Owner { maker: Some(maker), hand_over, poststart },
        })
    }

    /// What a config gets that doesn't say it, and where the container's cgroup is to be: in a systemd
    /// scope, or at a path that the config has then.
    pub(super) fn complete(&self, id: &str, spec: &mut Spec) -> Result<Option<Scope>> {
        let scope = self.place_cgroup(id, spec)?;
        if let Some(resources) = spec.linux.as_mut().and_then(|linux| linux.resources.as_mut()) {
            allow_default(resources);
        }
        Ok(scope)
    }

    /// Where the container's cgroup is to be: a systemd scope, or by its path in the config.
    fn place_cgroup(&self, id: &str, spec: &mut Spec) -> Result<Option<Scope>> {
        let path = spec.linux.as_mut().and_then(|linux| linux.cgroups_path.take());
        let path = path.filter(|path| !path.is_empty());
        let name = self.cgroup_name(id);
        cgroups::check_annotations(&spec.annotations)?;
        if self.systemd {
            let user = !namespaces::is_machine_root();
            let path = path.as_deref();
            let description = format!("container {id}, made at {}", now());
            let annotations = &spec.annotations;
            return Scope::of(path, &name, description, annotations, user, &self.addresses)
                .map(Some);
        }
        if let Some(path) = &path {
            cgroups::refuse_unit(path)?;
        }
        if let Some(linux) = &mut spec.linux {
            linux.cgroups_path = Some(path.unwrap_or(name));
        }
        Ok(None)
    }

    /// The cgroup of a container whose config names none: another runtime root may have a container
    /// with its id.
    fn cgroup_name(&self, id: &str) -> String {
        let mut hasher = DefaultHasher::new();
        self.store.root().hash(&mut hasher);
        format!("minictr-{id}-{:08x}", hasher.finish() as u32)
    }

    /// Lets a created container execute its program. With the socket of a service manager that the
    /// container was created for, it returns once the program is ready, or has ended.
    ///
    /// # Errors
    /// `NotFound`, `WrongState`, and why the program can't be executed.
    pub fn start(&self, id: &str, notify_socket: Option<&OsStr>) -> Result<()> {
        let locked = self.store.open(id)?.locked()?;
        let record = locked.entry.record()?;
        let wrong = |why: &str| Err(Error::new(ErrorCode::WrongState, "cannot start", why));
        match status(&locked.entry, &record)? {
            Status::Created => {}
            Status::Creating => return wrong("a container that is being created"),
            Status::Running | Status::Paused => return wrong("an already running container"),
            Status::Stopped => return wrong("a container that has stopped"),
        }
        let notify = match notify_socket {
            Some(manager) => Notify::listen(&locked.entry, manager)?,
            None => None,
        };
        match gate::waiting(locked.entry.directory())? {
            Some(waiting) => waiting.release()?,
            None => return wrong("a container that has stopped"),
        }
        poststart(&config_of(&locked.entry)?, &record)?;
        let process = record.process.as_ref();
        match (notify, process.and_then(|process| Some((process.pid, process.find()?)))) {
            (Some(notify), Some((pid, handle))) => {
                // As long as that takes, others may stop it.
                drop(locked);
                notify.wait(pid, handle.as_fd())
            }
            _ => Ok(()),
        }
    }
}

/// What hooks are told of a container, and where their output goes: without hooks nowhere, as some
/// engines pass on annotations of an image, whose author is no reason to make a file.
pub(super) fn subject(record: &Record, hooks: Option<&Hooks>) -> Result<Subject> {
    let runs_any =
        hooks.is_some_and(|hooks| Moment::ALL.iter().any(|moment| !moment.of(hooks).is_empty()));
    let annotations =
        if runs_any { Annotations::of(&record.annotations)? } else { Annotations::default() };
    let file = |path: Option<PathBuf>| match path {
        None => Ok(None),
        Some(path) => OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map(|file| Some(Arc::new(file)))
            .context(
                ErrorCode::Io,
                "open",
                format!("`{}` for the output of hooks", path.display()),
            ),
    };
    Ok(Subject {
        oci_version: record.oci_version.clone(),
        id: record.id.clone(),
        bundle: record.bundle.clone(),
        annotations: record.annotations.clone(),
        stdout: file(annotations.hooks_stdout)?,
        stderr: file(annotations.hooks_stderr)?,
    })
}

/// Who answers what a filter asks: whom the config names, else whom an annotation does.
pub(super) fn listener(
    seccomp: Option<&Seccomp>,
    receiver: Option<PathBuf>,
    bundle: &Path,
    subject: &Subject,
    first_process: Option<i32>,
) -> Option<Listener> {
    let seccomp = seccomp?;
    let path = seccomp.listener_path.as_ref().filter(|path| !path.is_empty());
    Some(Listener {
        path: path.map(|path| bundle.join(path)).or(receiver)?,
        metadata: seccomp.listener_metadata.clone(),
        subject: subject.clone(),
        first_process,
    })
}

/// Runs the hooks of a container whose program runs; where one fails, the container is ended,
/// `runtime.md#lifecycle`.
pub(super) fn poststart(config: &Spec, record: &Record) -> Result<()> {
    let Some(hooks) = &config.hooks else { return Ok(()) };
    let pid = record.process.as_ref().map(|process| process.pid);
    let moment = Moment::Poststart;
    let run = subject(record, Some(hooks))
        .and_then(|subject| hooks::run(moment, moment.of(hooks), &subject, pid));
    if run.is_err()
        && let Some(process) = record.process.as_ref().and_then(|process| process.find())
    {
        // ESRCH: it has ended by itself.
        let _ = pidfd_send_signal(process.as_fd(), libc::SIGKILL);
    }
    run
}

/// The first things written: with the record, from here on there is a container, which can be deleted.
fn write_first(
    locked: &Locked,
    record: Option<&Record>,
    config: &[u8],
    outlives: bool,
) -> Result<Option<Gate>> {
    locked.write_config(config)?;
    if let Some(record) = record {
        locked.write_record(record)?;
    }
    if outlives { Gate::make(locked.entry.directory()).map(Some) } else { Ok(None) }
}

pub(super) fn read_config(bundle: &Path) -> Result<(Vec<u8>, Spec)> {
    let path = bundle.join("config.json");
    let json = std::fs::read(&path)
        .context(ErrorCode::Io, "read", format!("`{}`", path.display()))
        .map_err(|error| error.hint("a bundle is a directory with config.json and a rootfs"))?;
    let spec = spec::parse_extensible(&json)
        .map_err(|error| error.hint(format!("the config is `{}`", path.display())))?;
    Ok((json, spec))
}

/// The config that a container was created with.
///
/// # Errors
/// `NotFound`, `InvalidArgument`.
pub(super) fn config_of(entry: &Entry) -> Result<Spec> {
    spec::parse_extensible(&entry.config()?)
}

/// What the standard streams are, for a checkpoint that is restored with others; nothing for a
/// terminal, which is the container's own.
pub(super) fn stream_names(spec: &Spec, streams: &[Option<OwnedFd>; 3]) -> Vec<String> {
    if spec.process.as_ref().and_then(|process| process.terminal) == Some(true) {
        return Vec::new();
    }
    let name = |stream: &Option<OwnedFd>| {
        let fd = stream.as_ref()?.as_raw_fd();
        let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).ok()?;
        Some(link.to_string_lossy().into_owned())
    };
    streams.iter().map(|stream| name(stream).unwrap_or_else(|| "/dev/null".to_owned())).collect()
}

pub(super) fn record(id: &str, bundle: &Path, spec: &Spec, streams: Vec<String>) -> Record {
    let rootfs = spec.root.as_ref().map_or_else(PathBuf::new, |root| bundle.join(&root.path));
    let namespaces = spec.linux.as_ref().map(|linux| linux.namespaces.as_slice());
    Record {
        id: id.to_owned(),
        oci_version: spec.oci_version.clone(),
        bundle: bundle.to_string_lossy().into_owned(),
        rootfs: rootfs.to_string_lossy().into_owned(),
        created: now(),
        owner: nix::unistd::geteuid().as_raw(),
        annotations: spec.annotations.clone(),
        cgroups: Vec::new(),
        resctrl: Vec::new(),
        unit: None,
        process: None,
        made: false,
        poststop: spec.hooks.as_ref().is_some_and(|hooks| !hooks.poststop.is_empty()),
        streams,
        own_pid_namespace: namespaces
            .unwrap_or_default()
            .iter()
            .any(|namespace| namespace.kind == NamespaceKind::Pid && namespace.path.is_none()),
    }
}
