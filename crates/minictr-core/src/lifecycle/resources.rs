//! Pausing a container, and what its cgroups limit and account.

use super::create::config_of;
use super::{Runtime, cgroup, status};
use crate::cgroups::{Cgroup, Hierarchies, Stats};
use crate::error::{Error, ErrorCode, Result};
use crate::resctrl;
use crate::spec::{IntelRdt, Resources};
use crate::state::record::Status;
use crate::state::store::Locked;

impl Runtime {
    /// Pauses a container: all its processes stand still.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` where it doesn't run; `CgroupUnavailable` where it has no cgroup;
    /// `Cgroup` where something in it doesn't stand still.
    pub fn pause(&self, id: &str) -> Result<()> {
        let (_locked, mut cgroup) = self.living(id, "pause", |status| match status {
            Status::Running | Status::Created => Ok(()),
            Status::Paused => Err("container paused"),
            Status::Creating | Status::Stopped => Err("container not running"),
        })?;
        cgroup.freeze()
    }

    /// Lets a paused container go on.
    ///
    /// # Errors
    /// As for [`Runtime::pause`]; `WrongState` where it isn't paused.
    pub fn resume(&self, id: &str) -> Result<()> {
        let (_locked, cgroup) = self.living(id, "resume", |status| match status {
            Status::Paused => Ok(()),
            _ => Err("container not paused"),
        })?;
        cgroup.thaw()
    }

    /// Changes limits: all of them, or where the kernel refuses one, none. What isn't named stays as
    /// it is.
    ///
    /// # Errors
    /// As for [`Runtime::pause`]; `Cgroup` for a limit that the kernel refuses.
    pub fn update(&self, id: &str, resources: &Resources) -> Result<()> {
        let (locked, mut cgroup) = self.living(id, "update", not_stopped)?;
        cgroup.update(resources)?;
        let Some(unit) = locked.entry.record()?.unit else { return Ok(()) };
        unit.update(&cgroup.completed(resources), &Hierarchies::detect()?, &self.addresses).map_err(
            |error| error.hint("the limits are in force, but systemd doesn't know of them"),
        )
    }

    /// Changes the shares of caches and of memory bandwidth of the class that a container is in:
    /// `l3CacheSchema`, `memBwSchema` and `schemata` of `shares`.
    ///
    /// # Errors
    /// `NotFound`, `WrongState`; `InvalidArgument` where its config has no `linux.intelRdt`;
    /// `KernelUnsupported` where no resctrl is mounted; `Cgroup` for a share that the kernel refuses.
    pub fn update_shares(&self, id: &str, shares: &IntelRdt) -> Result<()> {
        let locked = self.store.open(id)?.locked()?;
        let record = locked.entry.record()?;
        not_stopped(status(&locked.entry, &record)?)
            .map_err(|why| wrong_state("update", id, why))?;
        let Some(own) = config_of(&locked.entry)?.linux.and_then(|linux| linux.intel_rdt) else {
            let object = format!("container `{id}`: its config has no `linux.intelRdt`");
            return Err(Error::invalid("update", object));
        };
        let shares = IntelRdt { clos_id: own.clos_id, ..shares.clone() };
        resctrl::plan(&shares, id)?.write_schemata()
    }

    /// What the kernel accounts for a container now.
    ///
    /// # Errors
    /// As for [`Runtime::pause`].
    pub fn stats(&self, id: &str) -> Result<Stats> {
        let entry = self.store.open(id)?;
        let record = entry.record()?;
        if status(&entry, &record)? == Status::Stopped {
            return Err(wrong_state("read statistics of", id, "container not running"));
        }
        Ok(cgroup(&record)?.ok_or_else(|| no_cgroup("read statistics of", id))?.stats())
    }

    fn living(
        &self,
        id: &str,
        operation: &str,
        allowed: fn(Status) -> Result<(), &'static str>,
    ) -> Result<(Locked, Cgroup)> {
        let locked = self.store.open(id)?.locked()?;
        let record = locked.entry.record()?;
        allowed(status(&locked.entry, &record)?).map_err(|why| wrong_state(operation, id, why))?;
        let cgroup = cgroup(&record)?.ok_or_else(|| no_cgroup(operation, id))?;
        Ok((locked, cgroup))
    }
}

fn not_stopped(status: Status) -> Result<(), &'static str> {
    match status {
        Status::Creating | Status::Stopped => Err("container not running"),
        Status::Created | Status::Running | Status::Paused => Ok(()),
    }
}

fn wrong_state(operation: &str, id: &str, why: &str) -> Error {
    Error::new(ErrorCode::WrongState, operation, format!("container `{id}`: {why}"))
}

pub(super) fn no_cgroup(operation: &str, id: &str) -> Error {
    Error::new(
        ErrorCode::CgroupUnavailable,
        operation,
        format!("container `{id}`: it has no cgroup"),
    )
    .hint("this user couldn't make one when it was created")
}
