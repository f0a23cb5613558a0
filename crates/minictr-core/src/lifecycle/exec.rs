//! Another process in a running container: who it is, and what it joins.

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use nix::sched::CloneFlags;

use super::annotations::Annotations;
use super::create::{config_of, listener, subject};
use super::prepared::{Descriptors, HandOver, Owner, Prepared};
use super::{Runtime, status};
use crate::cgroups::Hierarchies;
use crate::error::{Context, Error, ErrorCode, Result};
use crate::namespaces;
use crate::resctrl;
use crate::spawn::{Joined, LaunchRequest, RuntimeOptions, Supervisor};
use crate::spec::{Capabilities, Linux, NamespaceKind, Process, Spec, User};
use crate::state::record::Status;

/// What runs in the container.
#[derive(Debug)]
pub enum Target {
    /// A whole `process` of a config.
    Process(Box<Process>),
    /// The container's own `process` with changes.
    Changed(Changes),
}

/// Changes of a container's own `process`.
#[derive(Debug, Default)]
pub struct Changes {
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Working directory in the container.
    pub cwd: Option<String>,
    /// `NAME=value` entries, added.
    pub env: Vec<String>,
    /// User and group; a group that isn't given is 0.
    pub user: Option<(u32, Option<u32>)>,
    /// Supplementary groups, added.
    pub additional_gids: Vec<u32>,
    /// Capabilities, added.
    pub capabilities: Vec<String>,
    /// Whether a terminal is attached.
    pub terminal: bool,
    /// Forbids new privileges besides what the config says.
    pub no_new_privileges: bool,
    /// AppArmor profile.
    pub apparmor_profile: Option<String>,
    /// SELinux label.
    pub selinux_label: Option<String>,
}

/// One process to run in a container.
#[derive(Debug)]
pub struct Execution {
    /// The container.
    pub id: String,
    /// What runs.
    pub target: Target,
    /// The process outlives this one.
    pub detach: bool,
    /// Cgroups below the container's to run in, `[CONTROLLER,…:]PATH`.
    pub cgroups: Vec<String>,
    /// Also where the container is paused: it runs once that ends.
    pub ignore_paused: bool,
    /// Descriptors that the program gets as 3, 4, …
    pub preserved: Vec<OwnedFd>,
    /// Its standard streams; `None` is `/dev/null`. Unused with a terminal.
    pub stdio: [Option<OwnedFd>; 3],
    /// Who is told that it runs.
    pub hand_over: HandOver,
}

impl Runtime {
    /// Makes a process ready to join a container.
    ///
    /// # Errors
    /// `NotFound`, `WrongState`, `InvalidArgument`.
    pub fn exec(&self, execution: Execution) -> Result<Prepared> {
        let id = execution.id.as_str();
        let entry = self.store.open(id)?;
        let record = entry.record()?;
        let wrong = |why: &str| Err(Error::new(ErrorCode::WrongState, "cannot exec in", why));
        let status = status(&entry, &record)?;
        match status {
            Status::Stopped => return wrong("a stopped container: container not running"),
            Status::Creating => return wrong("a container that is being created"),
            Status::Paused if !execution.ignore_paused => {
                return wrong("a paused container (use --ignore-paused to override)");
            }
            Status::Paused | Status::Created | Status::Running => {}
        }
        let found =
            record.process.as_ref().and_then(|process| Some((process.pid, process.find()?)));
        let Some((pid, handle)) = found else {
            return wrong("a stopped container: container not running");
        };
        let config = config_of(&entry)?;
        let mut process = execution.target.process(config.process.unwrap_or_default());
        self.pass_over_unknown_capabilities(&mut process);
        let has_terminal = process.terminal.unwrap_or(false);
        if execution.hand_over.console_socket.is_some() && !has_terminal {
            return Err(Error::invalid("use", "`--console-socket`: the process has no terminal"));
        }
        if execution.detach && has_terminal && execution.hand_over.console_socket.is_none() {
            return Err(Error::invalid(
                "detach from",
                "a process with a terminal and no `--console-socket` to send it to",
            ));
        }
        let annotations = Annotations::of(&record.annotations)?;
        let mut namespaces = match namespaces_of(pid) {
            // What waits has no filter yet, and a memory from outside the container's user namespace:
            // while it can't be looked into, the kernel shows its namespaces to root alone.
            Err(error) if status == Status::Created && error.errno == Some(libc::EACCES) => {
                let what = "a container that waits for its start: until then only root can";
                return wrong(what).map_err(|error| error.hint("start it first"));
            }
            namespaces => namespaces?,
        };
        let cgroup_namespace = if namespaces.contains(CloneFlags::CLONE_NEWCGROUP) {
            namespaces.remove(CloneFlags::CLONE_NEWCGROUP);
            let path = format!("/proc/{pid}/ns/cgroup");
            let opened = std::fs::File::open(&path);
            Some(opened.context(ErrorCode::Namespace, "open", format!("`{path}`"))?.into())
        } else {
            None
        };
        let hierarchies = Hierarchies::detect()?;
        let mut cgroup = hierarchies.open(&record.cgroups)?;
        match &mut cgroup {
            Some(cgroup) if execution.cgroups.is_empty() => {
                cgroup.enter_as(pid, &hierarchies)?;
            }
            Some(cgroup) => cgroup.enter_below(&execution.cgroups)?,
            None if execution.cgroups.is_empty() => {}
            None => return Err(super::resources::no_cgroup("exec below the cgroup of", id)),
        }
        let way_in = match (&record.unit, &cgroup) {
            (Some(unit), Some(cgroup)) => unit.way_in(cgroup, &hierarchies, &self.addresses),
            _ => None,
        };
        let linux = config.linux.unwrap_or_default();
        let listener = listener(
            linux.seccomp.as_ref(),
            annotations.seccomp_receiver,
            Path::new(&record.bundle),
            &subject(&record, None)?,
            Some(pid),
        );
        let Descriptors { fds, stdio, preserve_fds } =
            Descriptors::of(execution.stdio, execution.preserved);
        let request = LaunchRequest {
            id: id.to_owned(),
            spec: Spec {
                oci_version: config.oci_version,
                process: Some(process),
                linux: Some(Linux {
                    seccomp: linux.seccomp,
                    personality: linux.personality,
                    memory_policy: linux.memory_policy,
                    ..Linux::default()
                }),
                ..Spec::default()
            },
            stdio,
            preserve_fds,
            runtime: RuntimeOptions {
                outlives: execution.detach,
                listener,
                keep_groups: annotations.keep_groups,
                resctrl: match &linux.intel_rdt {
                    Some(rdt) => resctrl::plan(rdt, id)?.task_files(),
                    None => Vec::new(),
                },
                join: Some(Arc::new(Joined {
                    process: handle,
                    namespaces,
                    cgroup_namespace,
                    cgroup,
                    way_in,
                })),
                ..RuntimeOptions::default()
            },
            ..LaunchRequest::default()
        };
        Ok(Prepared {
            supervisor: Supervisor::with_ledger(Box::new(()))?,
            request,
            fds,
            notify: None,
            owner: Owner { maker: None, hand_over: execution.hand_over, poststart: None },
        })
    }
}

impl Target {
    /// The process, where the container's own is `own`.
    fn process(self, own: Process) -> Process {
        let changes = match self {
            Self::Process(process) => return *process,
            Self::Changed(changes) => changes,
        };
        let mut process = own;
        process.terminal = Some(changes.terminal);
        process.console_size = None;
        process.args = changes.args;
        process.cwd = changes.cwd.unwrap_or(process.cwd);
        process.env.extend(changes.env);
        if let Some((uid, gid)) = changes.user {
            process.user = User { uid, gid: gid.unwrap_or(0), ..User::default() };
        }
        process.user.additional_gids.extend(changes.additional_gids);
        if !changes.capabilities.is_empty() {
            let sets = process.capabilities.get_or_insert_with(Capabilities::default);
            // Never the inheritable ones: they would give privileges back through file
            // capabilities (CVE-2022-29162).
            for set in [&mut sets.bounding, &mut sets.effective, &mut sets.permitted] {
                set.extend(changes.capabilities.iter().cloned());
            }
        }
        if changes.no_new_privileges {
            process.no_new_privileges = Some(true);
        }
        process.apparmor_profile = changes.apparmor_profile.or(process.apparmor_profile);
        process.selinux_label = changes.selinux_label.or(process.selinux_label);
        process
    }
}

/// Which namespaces of a process aren't this process's own.
fn namespaces_of(pid: i32) -> Result<CloneFlags> {
    let inode = |process: &str, name: &str| {
        let path = format!("/proc/{process}/ns/{name}");
        match std::fs::metadata(&path) {
            Ok(found) => Ok(Some(found.ino())),
            // A kernel without this kind has it for neither.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context(ErrorCode::Namespace, "look at", format!("`{path}`")),
        }
    };
    let mut flags = CloneFlags::empty();
    for (kind, word) in NamespaceKind::ALL {
        let name = match kind {
            NamespaceKind::Network => "net",
            NamespaceKind::Mount => "mnt",
            _ => word,
        };
        if inode(&pid.to_string(), name)? != inode("self", name)? {
            flags |= namespaces::flag(kind);
        }
    }
    Ok(flags)
}
