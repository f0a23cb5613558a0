//! Pausing: everything in a cgroup stands still until it is let go on.
//!
//! v2's freezer comes first, where the machine has both: a process that it holds can be killed. A
//! container gets its place in a freezer with its first pause.

use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::cgroup::Cgroup;
use super::plan::{self, Controller};
use super::{files, v1, v2};
use crate::error::{Context, Error, ErrorCode, Result};

/// How long a container may take to stand still.
pub const FREEZE_PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(1);

impl Cgroup {
    /// Pauses everything in it, and waits until it stands still.
    ///
    /// # Errors
    /// `CgroupUnavailable` where no freezer can be had, `Cgroup` where something in it doesn't stand
    /// still within [`FREEZE_PATIENCE`]: then all goes on.
    pub fn freeze(&mut self) -> Result<()> {
        self.begin_freeze()?;
        let begun = Instant::now();
        while !self.is_frozen()? {
            if begun.elapsed() > FREEZE_PATIENCE {
                return Err(self.give_up_freezing());
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// Begins to pause; [`Cgroup::is_frozen`] says when it is done.
    ///
    /// # Errors
    /// As for [`Cgroup::freeze`], without the wait.
    pub fn begin_freeze(&mut self) -> Result<()> {
        let position = match self.freezer() {
            Some(position) => position,
            None => self.join_freezer()?,
        };
        let member = &self.members[position];
        let freeze = if member.v2 { v2::freezer::freeze } else { v1::freezer::freeze };
        freeze(member.fd()).context(ErrorCode::Cgroup, "pause cgroup", format!("`{}`", member.name))
    }

    /// Lets everything go on after a pause that didn't come to hold, and says so.
    pub fn give_up_freezing(&self) -> Error {
        // What stands still already goes on; the failure to tell is the one that led here.
        let _ = self.thaw();
        Error::new(ErrorCode::Cgroup, "pause", "the container: something in it doesn't stand still")
            .errno(Errno::EBUSY)
            .hint("perhaps a process waits for a device or a file system that doesn't answer")
    }

    /// Lets everything go on. Nothing happens where it isn't paused.
    ///
    /// # Errors
    /// `Cgroup`.
    pub fn thaw(&self) -> Result<()> {
        let Some(position) = self.freezer() else { return Ok(()) };
        let member = &self.members[position];
        let thaw = if member.v2 { v2::freezer::thaw } else { v1::freezer::thaw };
        thaw(member.fd()).context(ErrorCode::Cgroup, "resume cgroup", format!("`{}`", member.name))
    }

    /// Whether everything in it stands still.
    ///
    /// # Errors
    /// `Cgroup` where that can't be read.
    pub fn is_frozen(&self) -> Result<bool> {
        let Some(position) = self.freezer() else { return Ok(false) };
        let member = &self.members[position];
        if !member.v2 {
            // Where it fails, the state that is read next doesn't say FROZEN.
            let _ = v1::freezer::refresh(member.fd());
        }
        let frozen = if member.v2 { v2::freezer::frozen } else { v1::freezer::frozen };
        frozen(member.fd()).context(
            ErrorCode::Cgroup,
            "read state of cgroup",
            format!("`{}`", member.name),
        )
    }

    /// Lets what has been sent SIGKILL take it: v1 holds a paused process even then.
    pub fn let_die(&self) {
        for member in &self.members {
            if !member.v2 && member.has(Controller::Freezer) {
                // Where it fails, the processes that are left are told of.
                let _ = v1::freezer::thaw(member.fd());
            }
        }
    }

    /// The directory by whose files everything in it can be paused, for a program that does so itself;
    /// `None` where it has none yet.
    #[must_use]
    pub fn freezer_directory(&self) -> Option<PathBuf> {
        let directory = self.members[self.freezer()?].fd();
        std::fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd())).ok()
    }

    fn freezer(&self) -> Option<usize> {
        let usable = |v2: bool, file: &str| {
            self.members.iter().position(|member| {
                member.v2 == v2
                    && member.has(Controller::Freezer)
                    && files::exists(member.fd(), file)
            })
        };
        usable(true, "cgroup.freeze").or_else(|| usable(false, "freezer.state"))
    }

    /// Makes a place in a freezer that holds already, and puts everything there.
    fn join_freezer(&mut self) -> Result<usize> {
        let mut last = plan::unavailable(Controller::Freezer, None);
        for v2 in [true, false] {
            let place = self
                .places
                .iter()
                .position(|place| place.v2 == v2 && place.offers.contains(&Controller::Freezer));
            let Some(place) = place else { continue };
            let made = self.places[place].make(&[(Controller::Freezer, true)]);
            let member = match made {
                Ok(member) => member,
                Err(error) => {
                    let errno = error.errno.map(Errno::from_raw);
                    last = plan::unavailable(Controller::Freezer, errno);
                    continue;
                }
            };
            let freeze = if v2 { v2::freezer::freeze } else { v1::freezer::freeze };
            // Before Linux 5.2 v2 has no freezer.
            match freeze(member.fd()) {
                Ok(()) => return self.take_in(place, member),
                Err(errno) => {
                    last = plan::unavailable(Controller::Freezer, Some(errno));
                    let _ = super::end::empty(&member);
                }
            }
        }
        Err(last)
    }
}
