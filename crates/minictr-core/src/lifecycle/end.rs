//! Signals to a container, and its deletion.

use std::os::fd::AsFd;
use std::path::Path;

use super::create::{config_of, subject};
use super::{Runtime, cgroup, processes, status};
use crate::cgroups::{self, Found, Hierarchies};
use crate::error::{Context, Error, ErrorCode, Result};
use crate::resctrl;
use crate::spawn::ends_by_default;
use crate::spawn::hooks::{self, Moment};
use crate::state::identity::has_ended;
use crate::state::record::{Record, Status};
use crate::state::store::{Entry, Locked};
use crate::sys::process::{pidfd_open, pidfd_send_signal};

/// How long a killed process may take to be gone.
const PATIENCE_MS: u16 = 5000;

impl Runtime {
    /// Sends a signal to a container's first process, or to all its processes.
    ///
    /// A container that waits for its start has no program yet that could handle a signal: one that
    /// ends programs ends it.
    ///
    /// # Errors
    /// `NotFound`; `WrongState` where it has stopped, unless all are meant: then there is nothing
    /// left to signal, which is what was wanted.
    pub fn kill(&self, id: &str, signal: i32, all: bool) -> Result<()> {
        let entry = self.store.open(id)?;
        let record = entry.record()?;
        let object = format!("container `{id}`");
        if all {
            return signal_all(&record, signal).context(ErrorCode::WrongState, "signal", object);
        }
        let status = status(&entry, &record)?;
        let process = record.process.as_ref().and_then(|process| process.find());
        let (Some(pidfd), false) = (process, status == Status::Stopped) else {
            return Err(Error::new(
                ErrorCode::WrongState,
                "signal",
                format!("{object}: container not running"),
            ));
        };
        let waits = status == Status::Created && ends_by_default(signal);
        let signal = if waits { libc::SIGKILL } else { signal };
        pidfd_send_signal(pidfd.as_fd(), signal).context(
            ErrorCode::WrongState,
            "signal",
            object,
        )?;
        if signal == libc::SIGKILL {
            let_die(&record);
        }
        Ok(())
    }

    /// Deletes a container that has stopped, or waits for its start; with `force` any, after killing
    /// it.
    ///
    /// # Errors
    /// `NotFound`, unless forced; `WrongState` where it runs; `Cgroup` and `Io` for what can't be
    /// cleared now, which a later call can.
    pub fn delete(&self, id: &str, force: bool) -> Result<()> {
        let locked = match self.store.open(id).and_then(Entry::locked) {
            Err(error) if force && error.code == ErrorCode::NotFound => return Ok(()),
            locked => locked?,
        };
        let record = match locked.entry.record() {
            // What is left of a creation that was killed before anything was made.
            Err(error) if error.code == ErrorCode::NotFound && force => return locked.remove(),
            record => record?,
        };
        let status = status(&locked.entry, &record)?;
        if !force && !matches!(status, Status::Stopped | Status::Created) {
            return Err(Error::new(
                ErrorCode::WrongState,
                "cannot delete container",
                format!("{id} that is not stopped: {}", status.word()),
            )
            .hint("kill it first, or use `--force`"));
        }
        self.destroy(locked, &record)
    }

    /// Ends all that a container has, and frees its id.
    pub(super) fn destroy(&self, locked: Locked, record: &Record) -> Result<()> {
        self.end_processes(record)?;
        // A failure of these doesn't keep the container, `runtime.md#lifecycle`.
        let config = record.poststop.then(|| config_of(&locked.entry).ok()).flatten();
        locked.remove()?;
        match config.and_then(|config| config.hooks) {
            Some(hooks) => {
                let moment = Moment::Poststop;
                hooks::run(moment, moment.of(&hooks), &subject(record, Some(&hooks))?, None)
            }
            None => Ok(()),
        }
    }

    /// Ends a container's processes, and removes the unit, the cgroups and the groups of `resctrl` that
    /// they were in.
    pub(super) fn end_processes(&self, record: &Record) -> Result<()> {
        if let Some(pidfd) = record.process.as_ref().and_then(|process| process.find()) {
            // ESRCH: it has just ended.
            let _ = pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
            let_die(record);
            // What doesn't end now keeps its cgroup, whose removal says so.
            let _ = has_ended(pidfd.as_fd(), PATIENCE_MS);
        }
        let unit = record.unit.as_ref().map(|unit| unit.find(&self.addresses)).transpose();
        // Another unit's cgroup is at the same place.
        if !matches!(unit, Ok(Some(Found::Other))) {
            // Of the places where a cgroup may be, most have never had one.
            let mut left = record.cgroups.clone();
            left.retain(|path| Path::new(path).exists());
            if !left.is_empty() {
                cgroups::remove_leftover(&Hierarchies::detect()?, &left)?;
            }
        }
        match unit {
            Ok(Some(Found::Own(unit))) => unit.stop()?,
            Ok(_) => {}
            // A scope without a cgroup is on its way out, whether systemd can be asked or not.
            Err(error)
                if error.code == ErrorCode::CgroupUnavailable && !record.cgroups.is_empty() => {}
            Err(error) => return Err(error),
        }
        resctrl::remove(&record.resctrl)
    }
}

/// A freezer of v1 holds even what has been killed.
fn let_die(record: &Record) {
    if let Ok(Some(cgroup)) = cgroup(record) {
        cgroup.let_die();
    }
}

/// Signals every process that is in the container both before and after its handle was opened: so
/// none that got a pid meanwhile.
fn signal_all(record: &Record, signal: i32) -> Result<(), nix::errno::Errno> {
    let handles: Vec<_> = processes(record)
        .into_iter()
        .filter_map(|pid| Some((pid, pidfd_open(pid).ok()?)))
        .collect();
    let still = processes(record);
    for (pid, pidfd) in &handles {
        if still.binary_search(pid).is_ok() {
            match pidfd_send_signal(pidfd.as_fd(), signal) {
                Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
    if signal == libc::SIGKILL {
        let_die(record);
    }
    Ok(())
}
