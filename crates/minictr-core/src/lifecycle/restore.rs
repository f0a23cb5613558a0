//! A container of the images of another.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::Runtime;
use super::create::{read_config, record, stream_names, subject};
use super::prepared::{HandOver, write_pid_file};
use crate::cgroups::{Cgroup, CgroupSpec, Hierarchies, Scope};
use crate::checkpoint::{Events, Restoration, RestoreOptions, restore};
use crate::error::{Context, Error, ErrorCode, Result};
use crate::spawn::hooks::{self, Moment};
use crate::spawn::{CgroupMode, CgroupRequest, LaunchRequest, sockets};
use crate::spec::{NamespaceKind, Spec};
use crate::state::record::{ProcessRecord, Record};
use crate::state::store::Locked;
use crate::sys::process::pidfd_open;

/// What a container is restored from.
#[derive(Debug, Default)]
pub struct Revival {
    /// Its id.
    pub id: String,
    /// The directory with `config.json`, which says what is mounted and joined, and what limits hold.
    pub bundle: PathBuf,
    /// It outlives this process.
    pub detach: bool,
    /// They take the places of pipes that were its standard streams.
    pub stdio: [Option<OwnedFd>; 3],
    /// Who is told that it runs.
    pub hand_over: HandOver,
    /// The images, and how CRIU treats them.
    pub options: RestoreOptions,
}

/// A container that runs again: a child of this process.
#[derive(Debug)]
pub struct Restored {
    /// A handle of its first process.
    pub process: OwnedFd,
    /// The master of its terminal, where nobody else was to get it.
    pub terminal: Option<OwnedFd>,
}

impl Runtime {
    /// Makes a container of images that [`Runtime::checkpoint`] has written. It runs at once, or
    /// stands still where it was paused.
    ///
    /// # Errors
    /// Whatever keeps it from being made, those of [`restore`] among them; nothing of it is left then.
    pub fn restore(&self, revival: Revival) -> Result<Restored> {
        crate::spawn::validate_id(&revival.id)?;
        let bundle = revival.bundle.canonicalize().context(
            ErrorCode::Io,
            "find bundle",
            format!("`{}`", revival.bundle.display()),
        )?;
        let (config, mut spec) = read_config(&bundle)?;
        check_terminal(&spec, &revival)?;
        if spec.linux.as_ref().is_some_and(|linux| linux.intel_rdt.is_some()) {
            return Err(Error::invalid(
                "restore",
                "a container with `intelRdt`: it has no group yet",
            ));
        }
        let scope = self.complete(&revival.id, &mut spec)?;
        let streams = stream_names(&spec, &revival.stdio);
        let mut record = record(&revival.id, &bundle, &spec, streams);
        record.unit = scope.as_ref().map(Scope::unit);
        let locked = self.store.create(&revival.id)?;
        let mut making = Making {
            runtime: self,
            locked: &locked,
            record,
            spec: &spec,
            bundle: &bundle,
            hand_over: &revival.hand_over,
            scope,
            cgroup: None,
            terminal: None,
        };
        let made = self.revive(&mut making, &config, revival.stdio, &revival.options);
        let Making { record, terminal, .. } = making;
        match made {
            Ok(process) => Ok(Restored { process, terminal }),
            Err(error) => {
                // The failure that led here is the one to tell; what is left now, a deletion clears.
                if self.end_processes(&record).is_ok() {
                    let _ = locked.remove();
                }
                Err(error)
            }
        }
    }

    fn revive(
        &self,
        making: &mut Making<'_>,
        config: &[u8],
        streams: [Option<OwnedFd>; 3],
        options: &RestoreOptions,
    ) -> Result<OwnedFd> {
        making.locked.write_config(config)?;
        making.locked.write_record(&making.record)?;
        if making.scope.is_none() {
            making.make_cgroup()?;
        }
        let place = self.store.root().join(&making.record.id);
        let place = place.canonicalize().context(
            ErrorCode::Io,
            "find state directory",
            format!("`{}`", place.display()),
        )?;
        let (id, rootfs) = (making.record.id.clone(), PathBuf::from(&making.record.rootfs));
        let container = Restoration {
            id: &id,
            config: making.spec,
            bundle: making.bundle,
            rootfs: &rootfs,
            place: &place,
        };
        let restored = restore(&container, options, streams, making).and_then(|pid| {
            let process =
                pidfd_open(pid).context(ErrorCode::WrongState, "find", "the container")?;
            if let Some(path) = &making.hand_over.pid_file {
                write_pid_file(path, pid)?;
            }
            making.record.made = true;
            making.locked.write_record(&making.record)?;
            Ok(process)
        });
        if restored.is_err()
            && let Some(cgroup) = &making.cgroup
        {
            // One that was there before isn't written down, and stays.
            let _ = cgroup.kill_all();
        }
        restored
    }
}

/// A container that is being made of images.
struct Making<'a> {
    runtime: &'a Runtime,
    locked: &'a Locked,
    record: Record,
    spec: &'a Spec,
    bundle: &'a Path,
    hand_over: &'a HandOver,
    /// The scope to make around CRIU; without one the cgroup is made before CRIU begins.
    scope: Option<Scope>,
    cgroup: Option<Cgroup>,
    terminal: Option<OwnedFd>,
}

impl Making<'_> {
    /// Makes the cgroup, which is written down before.
    fn make_cgroup(&mut self) -> Result<()> {
        let request = self.request();
        let spec = self.cgroup_spec(&request);
        if self.runtime.cgroups == CgroupMode::None {
            return spec.refuse_limits();
        }
        let hierarchies = Hierarchies::detect()?;
        let mut paths = hierarchies.planned_paths(&spec);
        paths.retain(|path| !Path::new(path).exists());
        self.record.cgroups = paths;
        self.locked.write_record(&self.record)?;
        let cgroup = hierarchies.create(&spec)?;
        restricts_devices(&spec, cgroup.as_ref())?;
        self.cgroup = cgroup;
        Ok(())
    }

    /// Makes the scope, around a process, and writes down where its cgroup is.
    fn make_scope(&mut self, scope: &Scope, pid: i32) -> Result<()> {
        let request = self.request();
        let spec = self.cgroup_spec(&request);
        let hierarchies = Hierarchies::detect()?;
        scope.start(pid, &spec, &hierarchies)?;
        let paths = scope.paths(pid, &hierarchies)?;
        self.record.cgroups.clone_from(&paths);
        self.locked.write_record(&self.record)?;
        let cgroup = scope.open(pid, &paths, &spec, &hierarchies)?;
        restricts_devices(&spec, Some(&cgroup))?;
        self.cgroup = Some(cgroup);
        Ok(())
    }

    fn request(&self) -> LaunchRequest {
        LaunchRequest {
            id: self.record.id.clone(),
            spec: self.spec.clone(),
            bundle: Some(self.bundle.to_string_lossy().into_owned()),
            cgroup: CgroupRequest { mode: self.runtime.cgroups, ..CgroupRequest::default() },
            ..LaunchRequest::default()
        }
    }

    fn cgroup_spec<'r>(&self, request: &'r LaunchRequest) -> CgroupSpec<'r> {
        let linux = request.spec.linux.as_ref();
        let resources = linux.and_then(|linux| linux.resources.as_ref());
        let namespaces = linux.map(|linux| linux.namespaces.as_slice()).unwrap_or_default();
        let host_ids = namespaces.iter().all(|namespace| namespace.kind != NamespaceKind::User);
        CgroupSpec::of(request, resources, host_ids)
    }
}

/// A container that is made does without the right to make devices where no cgroup restricts them; one
/// that is restored has it.
fn restricts_devices(spec: &CgroupSpec<'_>, cgroup: Option<&Cgroup>) -> Result<()> {
    if spec.lists_devices() && !cgroup.is_some_and(Cgroup::limits_devices) {
        let what = "a container with rules for devices: no cgroup here enforces them";
        return Err(Error::new(ErrorCode::CgroupUnavailable, "restore", what));
    }
    Ok(())
}

impl Events for Making<'_> {
    fn begun(&mut self, pid: i32) -> Result<bool> {
        match (self.scope.take(), &self.cgroup) {
            (Some(scope), _) => self.make_scope(&scope, pid).map(|()| true),
            (None, Some(cgroup)) => cgroup.add_process(pid).map(|()| true),
            (None, None) => Ok(false),
        }
    }

    /// The hooks that run outside before the program does. Those that run inside have done so before
    /// the checkpoint.
    fn namespaces_made(&mut self, pid: i32) -> Result<()> {
        let Some(hooks) = &self.spec.hooks else { return Ok(()) };
        let subject = subject(&self.record, Some(hooks))?;
        [Moment::Prestart, Moment::CreateRuntime]
            .into_iter()
            .try_for_each(|moment| hooks::run(moment, moment.of(hooks), &subject, Some(pid)))
    }

    fn restored(&mut self, pid: i32) -> Result<()> {
        let process = pidfd_open(pid).context(ErrorCode::WrongState, "find", "the container")?;
        self.record.process = ProcessRecord::of(pid, process.as_fd());
        self.locked.write_record(&self.record)
    }

    fn terminal(&mut self, master: OwnedFd) -> Result<()> {
        match &self.hand_over.console_socket {
            Some(path) => sockets::send(path, b"/dev/ptmx", master.as_fd()),
            None => {
                self.terminal = Some(master);
                Ok(())
            }
        }
    }
}

fn check_terminal(spec: &Spec, revival: &Revival) -> Result<()> {
    let terminal = spec.process.as_ref().and_then(|process| process.terminal) == Some(true);
    match (terminal, revival.hand_over.console_socket.is_some()) {
        (false, true) => {
            Err(Error::invalid("use", "`--console-socket`: the container has no terminal"))
        }
        (true, false) if revival.detach => Err(Error::invalid(
            "detach from",
            "a container with a terminal and no `--console-socket` to send it to",
        )),
        _ => Ok(()),
    }
}
