//! What an OCI runtime asks for beyond what a library's caller can: it never crosses a border.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use nix::sched::CloneFlags;

use super::gate::Gate;
use super::hooks::Subject;
use super::listener::Listener;
use crate::cgroups::{Cgroup, Scope, WayIn};

/// Launch options of an OCI runtime.
#[derive(Clone, Debug, Default)]
pub struct RuntimeOptions {
    /// Moves the root over `/` and changes to it instead of `pivot_root(2)`, which an initramfs as
    /// root can't do.
    pub no_pivot: bool,
    /// Leaves the container in the caller's session keyring.
    pub no_new_keyring: bool,
    /// The container lives on when this process ends.
    pub outlives: bool,
    /// Where the container waits between its creation and its start.
    pub gate: Option<Arc<Gate>>,
    /// Runs the hooks of the spec; without it they are refused, since a parent with other launches
    /// can't wait for them.
    pub hooks: Option<Subject>,
    /// Who answers what the filter asks; without it a filter that asks is refused.
    pub listener: Option<Listener>,
    /// The program keeps the supplementary groups that this process has.
    pub keep_groups: bool,
    /// Files of resctrl groups that the process is written to.
    pub resctrl: Vec<PathBuf>,
    /// Which option gives mounts the label of `linux.mountLabel`; `context` where absent.
    pub mount_context: Option<String>,
    /// The systemd scope to make around it, which its cgroup is that of; without one the cgroup is
    /// made by this process.
    pub scope: Option<Arc<Scope>>,
    /// The cgroup below its own that it may use as it likes, `run.oci.delegate-cgroup`.
    pub delegate_cgroup: Option<String>,
    /// A running container that the process joins, instead of one of its own.
    pub join: Option<Arc<Joined>>,
}

/// A running container, as a process that joins it needs it.
#[derive(Debug)]
pub struct Joined {
    /// A handle of a process in it, whose namespaces are joined.
    pub process: OwnedFd,
    /// Which of them: those that aren't this process's own.
    pub namespaces: CloneFlags,
    /// Its cgroup namespace, where that isn't this process's own.
    pub cgroup_namespace: Option<OwnedFd>,
    /// Its cgroup, where it has one.
    pub cgroup: Option<Cgroup>,
    /// How to get into it, where nothing can be cloned into it from here.
    pub way_in: Option<WayIn>,
}
