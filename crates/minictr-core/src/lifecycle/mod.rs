//! The life of a container whose state outlives each process that looks at it, `runtime.md`.
//!
//! | module | what it does |
//! |---|---|
//! | `annotations` | those that mean something |
//! | `create` | from a bundle to a container that waits, or to one in the foreground; its start |
//! | `devices` | devices that every container may use |
//! | `exec` | another process in a running container |
//! | `notify` | telling a service manager that the program is ready |
//! | `prepared` | what is ready to be launched, and who is told once it runs |
//! | `end` | signals, deletion |
//! | `checkpoint`, `restore` | a running container written to files, and one made of them |
//! | `resources` | pausing, limits, accounts |
//! | `tolerate` | what is passed over, and said |
//!
//! It composes [`crate::spawn`], [`crate::state`], [`crate::cgroups`] and [`crate::checkpoint`];
//! `minictr-oci` parses and prints around it. What a call changes is written down before it is made, so that
//! [`Runtime::delete`] clears what a kill at any moment has left.

mod annotations;
mod checkpoint;
mod create;
mod devices;
mod end;
mod exec;
mod notify;
mod prepared;
mod resources;
mod restore;
mod tolerate;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::cgroups::{Addresses, Cgroup, Hierarchies};
use crate::error::Result;
use crate::rootfs::subids;
use crate::spawn::{CgroupMode, gate};
use crate::state::record::{Record, Status};
use crate::state::store::{Entry, Store};

pub use annotations::POTENTIALLY_UNSAFE;
pub use create::Creation;
pub use exec::{Changes, Execution, Target};
pub use notify::Notify;
pub use prepared::{HandOver, Owner, Prepared};
pub use restore::{Restored, Revival};

/// A runtime root, and how its containers are made.
#[derive(Clone, Debug)]
pub struct Runtime {
    store: Store,
    cgroups: CgroupMode,
    warn: fn(&str),
    systemd: bool,
    addresses: Addresses,
}

/// What the `state` command says of a container, `runtime.md#state` with the fields that engines
/// know from runc.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// The version of the spec that its config follows.
    pub oci_version: String,
    /// Its id.
    pub id: String,
    /// Its first process; 0 where there is none.
    pub pid: i32,
    /// Where it is in its life.
    pub status: Status,
    /// Absolute path of its bundle.
    pub bundle: String,
    /// Absolute path of its rootfs.
    pub rootfs: String,
    /// When it was created, RFC 3339.
    pub created: String,
    /// `annotations` of its config.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The user who created it, by name where it has one.
    pub owner: String,
}

impl Runtime {
    /// The containers below `root`. `warn` is told, in one sentence each, of what is passed over.
    #[must_use]
    pub fn new(root: PathBuf, cgroups: CgroupMode, warn: fn(&str)) -> Self {
        Self {
            store: Store::new(root),
            cgroups,
            warn,
            systemd: false,
            addresses: Addresses::default(),
        }
    }

    /// As [`Runtime::new`], with the buses where systemd is asked of the units that it has.
    #[must_use]
    pub fn with_addresses(self, addresses: Addresses) -> Self {
        Self { addresses, ..self }
    }

    /// Lets systemd make the cgroups of containers to come.
    #[must_use]
    pub fn with_systemd(self) -> Self {
        Self { systemd: true, ..self }
    }

    /// What is known of one container.
    ///
    /// # Errors
    /// `NotFound`, `Io`.
    pub fn state(&self, id: &str) -> Result<State> {
        let entry = self.store.open(id)?;
        let record = entry.record()?;
        let status = status(&entry, &record)?;
        Ok(state(record, status))
    }

    /// What is known of each container, by id, looked up as it is asked for. One that is deleted
    /// meanwhile is left out.
    ///
    /// # Errors
    /// `Io`.
    pub fn list(&self) -> Result<impl Iterator<Item = State>> {
        let ids = self.store.ids()?;
        Ok(ids.into_iter().filter_map(|id| self.state(&id).ok()))
    }

    /// The processes of a container.
    ///
    /// # Errors
    /// `NotFound`, `Io`.
    pub fn processes(&self, id: &str) -> Result<Vec<i32>> {
        Ok(processes(&self.store.open(id)?.record()?))
    }
}

/// The cgroup of a container; `None` where it has none.
fn cgroup(record: &Record) -> Result<Option<Cgroup>> {
    if record.cgroups.is_empty() {
        return Ok(None);
    }
    Hierarchies::detect()?.open(&record.cgroups)
}

/// The processes of a container: those in its cgroups; where it has none, those in its pid namespace.
fn processes(record: &Record) -> Vec<i32> {
    let found = cgroup(record).ok().flatten().map(|cgroup| cgroup.processes()).unwrap_or_default();
    let Some(first) = record.process.as_ref().filter(|process| process.find().is_some()) else {
        return found;
    };
    if !found.is_empty() {
        return found;
    }
    let namespace = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let own = namespace(&first.pid.to_string()).filter(|_| record.own_pid_namespace);
    let Some(own) = own else { return vec![first.pid] };
    let names = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let mut found: Vec<i32> = names
        .filter(|name| namespace(name).as_ref() == Some(&own))
        .filter_map(|name| name.parse().ok())
        .collect();
    found.sort_unstable();
    found
}

fn state(record: Record, status: Status) -> State {
    let alive = status != Status::Stopped;
    State {
        oci_version: record.oci_version,
        id: record.id,
        pid: record.process.filter(|_| alive).map_or(0, |process| process.pid),
        status,
        bundle: record.bundle,
        rootfs: record.rootfs,
        created: record.created,
        annotations: record.annotations,
        owner: subids::account_name(record.owner).unwrap_or_else(|| record.owner.to_string()),
    }
}

/// Where a container is in its life: asked of the kernel, not of what was written down.
fn status(entry: &Entry, record: &Record) -> Result<Status> {
    let being_made = || !record.made && entry.is_busy();
    let alive = record.process.as_ref().is_some_and(|process| process.find().is_some());
    if !alive {
        return Ok(if being_made() { Status::Creating } else { Status::Stopped });
    }
    if gate::waiting(entry.directory())?.is_some() {
        return Ok(if being_made() { Status::Creating } else { Status::Created });
    }
    Ok(match (record.made, being_made()) {
        (true, _) => match cgroup(record)? {
            Some(cgroup) if cgroup.is_frozen()? => Status::Paused,
            _ => Status::Running,
        },
        (false, true) => Status::Creating,
        // Its creator was killed, and it ends by that.
        (false, false) => Status::Stopped,
    })
}
