//! What is asked of a running container: accounts, a pause, other limits.

use std::time::Instant;

use super::start::absent;
use super::{Supervisor, ended};
use crate::cgroups::{self, Stats};
use crate::error::{Error, ErrorCode, Result};
use crate::spawn::event::{Event, LaunchId};
use crate::spawn::launch::{Launch, Pausing, Phase};
use crate::spec::Resources;

impl Supervisor {
    /// What the kernel accounts for a container now.
    ///
    /// # Errors
    /// `WrongState` once it has ended.
    pub fn stats(&mut self, id: LaunchId) -> Result<Stats> {
        let launch = self.running_launch(id)?;
        match &launch.cgroup {
            Some(cgroup) => Ok(cgroup.stats()),
            None => {
                let mut stats = Stats::default();
                stats.cpu.usage_us = launch.cpu_usage_us();
                Ok(stats)
            }
        }
    }

    /// Begins to pause a container. Once everything in it stands still, or doesn't in time, comes
    /// [`Event::Done`] or [`Event::RequestFailed`] with the token.
    ///
    /// # Errors
    /// `WrongState` where it doesn't run, `CgroupUnavailable` where no freezer can be had.
    pub fn pause(&mut self, id: LaunchId, token: u32) -> Result<()> {
        self.write_down_more(id)?;
        let launch = self.running_launch(id)?;
        launch.cgroup.as_mut().ok_or_else(cgroups::no_freezer)?.begin_freeze()?;
        let pausing = launch.pausing.get_or_insert_with(|| Pausing::begin(Instant::now()));
        pausing.tokens.push(token);
        Ok(())
    }

    /// Lets a paused container go on; one that isn't paused does anyway. A pause that hasn't come to
    /// hold yet fails.
    ///
    /// # Errors
    /// `WrongState` where it doesn't run.
    pub fn resume(&mut self, id: LaunchId) -> Result<()> {
        let launch = self.running_launch(id)?;
        let pausing = launch.pausing.take();
        let thawed = launch.cgroup.as_ref().map_or(Ok(()), cgroups::Cgroup::thaw);
        for token in pausing.into_iter().flat_map(|pausing| pausing.tokens) {
            let error = Error::new(ErrorCode::WrongState, "pause container:", "it was resumed");
            self.emit(Event::RequestFailed { launch: id, token, error });
        }
        thawed
    }

    /// Changes limits of a container: all of them, or none where one is refused.
    ///
    /// # Errors
    /// `WrongState` where it doesn't run, else as [`cgroups::Cgroup::update`].
    pub fn update(&mut self, id: LaunchId, resources: &Resources) -> Result<()> {
        self.write_down_more(id)?;
        match &mut self.running_launch(id)?.cgroup {
            Some(cgroup) => cgroup.update(resources),
            None => cgroups::refuse_limits(resources),
        }
    }

    /// Writes down, before a pause or a limit that may make them, which further cgroups a container
    /// may get. Few are paused or changed, and to look at every place at each start would cost more
    /// than to make the cgroup.
    fn write_down_more(&mut self, id: LaunchId) -> Result<()> {
        let launch = self.running_launch(id)?;
        let Some(cgroup) = launch.cgroup.as_ref().filter(|_| !launch.more_journaled) else {
            return Ok(());
        };
        let paths = absent(cgroup.later_paths());
        if let Some(ledger) = &mut self.ledger
            && ledger.takes_more()
        {
            ledger.more(id, &paths)?;
        }
        self.running_launch(id)?.more_journaled = true;
        Ok(())
    }

    fn running_launch(&mut self, id: LaunchId) -> Result<&mut Launch> {
        let slot = self.index.get(&id).copied();
        let launch = slot.and_then(|slot| self.launches[slot].as_mut()).ok_or_else(ended)?;
        if launch.phase == Phase::Running {
            return Ok(launch);
        }
        Err(Error::new(ErrorCode::WrongState, "find running container:", "it hasn't started yet"))
    }

    /// Tells of pauses that have come to hold, and of those that don't.
    pub(super) fn look_at_pauses(&mut self, now: Instant) {
        let mut told = Vec::new();
        for launch in self.launches.iter_mut().flatten() {
            let Some(outcome) = launch.look_at_pause(now) else { continue };
            for token in launch.pausing.take().into_iter().flat_map(|pausing| pausing.tokens) {
                let launch = launch.id;
                told.push(match outcome.clone() {
                    Ok(()) => Event::Done { launch, token },
                    Err(error) => Event::RequestFailed { launch, token, error },
                });
            }
        }
        for event in told {
            self.emit(event);
        }
    }
}
