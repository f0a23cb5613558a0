//! The owner of every launch of one process: starts them, watches them, ends them.
//!
//! One epoll set holds a socket and a pidfd for each launch, so that one launch that hangs never
//! delays another, and nothing blocks on what a container does. Callers: the spawner, the
//! foreground command, a monitor; each is a process with one thread.
//!
//! | module | what it does |
//! |---|---|
//! | `start` | from a checked request to a running child |
//! | `reports` | what the processes of a launch say, and their ends |
//! | `end` | taking away what a launch had |

mod end;
mod reports;
mod requests;
mod start;

use std::collections::HashMap;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::sys::epoll::EpollTimeout;

use super::compile::{self, Host};
use super::event::{Event, LaunchId};
use super::filters::Filters;
use super::ids::{self, Caller, IdPlan, Ranges};
use super::launch::Launch;
use super::ledger::Ledger;
use super::prepare::IdmapNamespaces;
use super::report;
use super::request::LaunchRequest;
use super::validate;
use super::watch::{Kind, Watch};
use crate::cgroups::{Hierarchies, remove_leftover};
use crate::error::{Context, Error, ErrorCode, Result};
use crate::rootfs::mounts::CgroupMount;
use crate::state::journal;
use crate::sys::shared::SharedCounters;

/// Containers of one process at one time.
const MAX_LAUNCHES: usize = 4096;

/// An event with the descriptors that belong to it: of [`Event::Started`] the pidfd, then for a
/// terminal the pty's master.
#[derive(Debug)]
pub struct Emitted {
    /// What happened.
    pub event: Event,
    /// In the order of the event's documentation.
    pub fds: Vec<OwnedFd>,
}

/// The owner of all launches of one single-threaded process.
#[derive(Debug)]
pub struct Supervisor {
    watch: Watch,
    caller: Caller,
    ranges: Ranges,
    filters: Filters,
    idmaps: IdmapNamespaces,
    hierarchies: Option<Hierarchies>,
    cgroup_mounts: Rc<[CgroupMount]>,
    progress: SharedCounters,
    /// Each in a place of its own: they are large, and move between this list and what is being
    /// done to them.
    launches: Vec<Option<Box<Launch>>>,
    index: HashMap<LaunchId, usize>,
    ledger: Option<Box<dyn Ledger>>,
    state_directory: PathBuf,
    null: OwnedFd,
    emitted: Vec<Emitted>,
    reports: report::Buffer,
    may_block: bool,
}

impl Supervisor {
    /// A supervisor whose journal is below the default state directory, after clearing what
    /// processes that were killed have left behind.
    ///
    /// # Errors
    /// `ResourceExhausted` out of descriptors or memory.
    pub fn new() -> Result<Self> {
        Self::with_directory(crate::state::default_directory())
    }

    /// As [`Supervisor::new`], with a state directory of the caller's choice.
    ///
    /// # Errors
    /// As for [`Supervisor::new`].
    pub fn with_directory(state_directory: PathBuf) -> Result<Self> {
        let supervisor = Self::build(None, state_directory)?;
        for (file, leftovers) in journal::leftovers(&supervisor.state_directory) {
            let mut cleared = true;
            for leftover in &leftovers {
                // First: a process that was paused in v1's freezer dies only once it is let go on.
                if let Some(hierarchies) = &supervisor.hierarchies {
                    cleared &= remove_leftover(hierarchies, &leftover.cgroups).is_ok();
                }
                journal::kill(leftover);
            }
            // What can't be removed now is tried again by the next process.
            if cleared {
                let _ = std::fs::remove_file(file);
            }
        }
        Ok(supervisor)
    }

    /// A supervisor that writes what it makes into `ledger`, for a runtime that keeps the state of
    /// its containers itself.
    ///
    /// # Errors
    /// As for [`Supervisor::new`].
    pub fn with_ledger(ledger: Box<dyn Ledger>) -> Result<Self> {
        Self::build(Some(ledger), PathBuf::new())
    }

    fn build(ledger: Option<Box<dyn Ledger>>, state_directory: PathBuf) -> Result<Self> {
        let watch = Watch::new()?;
        let progress = SharedCounters::new(MAX_LAUNCHES).context(
            ErrorCode::ResourceExhausted,
            "map shared memory of",
            "the supervisor",
        )?;
        let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null").context(
            ErrorCode::Device,
            "open",
            "`/dev/null`",
        )?;
        let hierarchies = Hierarchies::detect().ok();
        let cgroup_mounts =
            hierarchies.as_ref().map(Hierarchies::mounts).unwrap_or_default().into();
        Ok(Self {
            watch,
            caller: Caller::detect(),
            ranges: Ranges::default(),
            filters: Filters::default(),
            idmaps: IdmapNamespaces::default(),
            hierarchies,
            cgroup_mounts,
            progress,
            launches: Vec::new(),
            index: HashMap::new(),
            ledger,
            state_directory,
            null: null.into(),
            emitted: Vec::new(),
            reports: report::Buffer::default(),
            may_block: false,
        })
    }

    /// Says that this process has one launch and nothing else to serve, so that host paths are
    /// opened directly, however long that takes.
    pub fn allow_blocking(&mut self) {
        self.may_block = true;
    }

    /// Begins a launch. Everything that happens to it comes as events of [`Supervisor::wait`].
    pub fn launch(&mut self, id: LaunchId, request: LaunchRequest, fds: Vec<OwnedFd>) {
        if let Err(error) = self.begin(id, request, fds) {
            self.emit(Event::Failed { launch: id, error });
        }
    }

    fn emit(&mut self, event: Event) {
        let event = match event {
            Event::Failed { launch, error } => Event::Failed { launch, error: error.exhaustion() },
            other => other,
        };
        self.emitted.push(Emitted { event, fds: Vec::new() });
    }

    fn begin(&mut self, id: LaunchId, request: LaunchRequest, fds: Vec<OwnedFd>) -> Result<()> {
        let begun = Instant::now();
        validate::kernel()?;
        validate::request(&request, fds.len())?;
        let (range, ids) = self.container_ids(&request)?;
        if let Err(error) = ids::refuse_nesting_as_root(&self.caller, &request, &ids) {
            self.give_back(range);
            return Err(error);
        }
        let bound = self.bound_cgroup_mounts(&request, &ids);
        let host = Host {
            caller: &self.caller,
            cgroup_mounts: bound.unwrap_or_else(|| Rc::clone(&self.cgroup_mounts)),
            ids,
            filters: &mut self.filters,
        };
        let plan = match compile::compile(&request, host) {
            Ok(plan) => plan,
            Err(error) => {
                self.give_back(range);
                return Err(error);
            }
        };
        let slot = match self.launches.iter().position(Option::is_none) {
            Some(slot) => slot,
            None if self.launches.len() < MAX_LAUNCHES => {
                self.launches.push(None);
                self.launches.len() - 1
            }
            None => {
                self.give_back(range);
                return Err(Error::new(
                    ErrorCode::ResourceExhausted,
                    "start container:",
                    format!("{MAX_LAUNCHES} are running in this process"),
                ));
            }
        };
        let mut launch = Box::new(Launch::new(id, request, plan, fds, range, begun));
        match self.open_sources(&mut launch) {
            Ok(true) => match self.clone_child(slot, &mut launch) {
                Ok(()) => {}
                Err(error) => {
                    self.release(slot, &mut launch);
                    return Err(error);
                }
            },
            Ok(false) => {
                if let Err(error) = self.open_sources_aside(slot, &mut launch) {
                    self.release(slot, &mut launch);
                    return Err(error);
                }
            }
            Err(error) => {
                self.release(slot, &mut launch);
                return Err(error);
            }
        }
        self.index.insert(id, slot);
        self.launches[slot] = Some(launch);
        Ok(())
    }

    fn give_back(&mut self, range: Option<u32>) {
        if let Some(block) = range {
            self.ranges.give_back(block);
        }
    }

    /// Which ids the container gets, with the range that is to be given back.
    fn container_ids(&mut self, request: &LaunchRequest) -> Result<(Option<u32>, IdPlan)> {
        ids::choose(&self.caller, request, &mut self.ranges)
    }

    /// Sends a signal to the container's first process, or SIGKILL to everything in it.
    ///
    /// A signal that would end an ordinary process ends the first process of a pid namespace too,
    /// though the kernel drops it there: the container then ends as if by that signal.
    ///
    /// # Errors
    /// `WrongState` once it has ended.
    pub fn kill(&mut self, id: LaunchId, signal: i32, whole_container: bool) -> Result<()> {
        let slot = self.index.get(&id).copied();
        let launch = slot.and_then(|slot| self.launches[slot].as_deref_mut()).ok_or_else(ended)?;
        if whole_container {
            launch.kill_whole();
            return Ok(());
        }
        let object = format!("container `{}`", launch.request.id);
        launch.signal_as_any(signal).context(ErrorCode::WrongState, "signal", object)
    }

    /// Kills a launch wherever it is, being set up or running.
    pub fn abort(&mut self, id: LaunchId) {
        if let Some(slot) = self.index.get(&id)
            && let Some(launch) = &mut self.launches[*slot]
        {
            launch.aborted = true;
            launch.kill_whole();
        }
    }

    /// Adds a descriptor of the owner's to the wait, for reading.
    ///
    /// # Errors
    /// `ResourceExhausted`.
    pub fn watch(&mut self, fd: BorrowedFd<'_>, token: u32) -> Result<()> {
        self.watch.add(fd, Kind::Owner, token)
    }

    /// Whether a watched descriptor is also waited for until it can be written.
    ///
    /// # Errors
    /// `ResourceExhausted`.
    pub fn watch_writes(&mut self, fd: BorrowedFd<'_>, token: u32, writes: bool) -> Result<()> {
        self.watch.writes(fd, token, writes)
    }

    /// Takes a descriptor of the owner's out of the wait.
    pub fn unwatch(&mut self, fd: BorrowedFd<'_>) {
        self.watch.remove(fd);
    }

    /// Whether no launch is under way or running.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.index.is_empty() && self.emitted.is_empty()
    }

    /// Waits until something happened: appends the events, returns the owner's ready tokens.
    ///
    /// # Errors
    /// `Internal` where waiting itself fails.
    pub fn wait(&mut self, events: &mut Vec<Emitted>) -> Result<Vec<u32>> {
        let timeout = if self.emitted.is_empty() { self.timeout() } else { EpollTimeout::ZERO };
        let mut tokens = Vec::new();
        for (kind, number) in self.watch.wait(timeout)? {
            let slot = number as usize;
            match kind {
                Kind::Owner => tokens.push(number),
                Kind::Socket => self.read_reports(slot),
                Kind::Joiner => self.joiner_ended(slot),
                Kind::MapHelper => self.map_helper_ended(slot),
                Kind::Child => self.child_ended(slot),
            }
        }
        self.enforce_deadlines();
        events.append(&mut self.emitted);
        Ok(tokens)
    }

    fn timeout(&self) -> EpollTimeout {
        let next = self.launches.iter().flatten().filter_map(|launch| launch.next_deadline()).min();
        match next {
            None => EpollTimeout::NONE,
            Some(at) => {
                // Rounded up: waking early would only wait again.
                let left = at.saturating_duration_since(Instant::now());
                let millis = left.as_micros().div_ceil(1000).min(60_000);
                EpollTimeout::try_from(millis as i32).unwrap_or(EpollTimeout::ZERO)
            }
        }
    }

    fn enforce_deadlines(&mut self) {
        let now = Instant::now();
        for launch in self.launches.iter_mut().flatten() {
            launch.enforce(now);
        }
        self.look_at_pauses(now);
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.kill_all();
    }
}

fn ended() -> Error {
    Error::new(ErrorCode::WrongState, "find running container:", "it has ended")
}

/// Longest time between two looks at a container's CPU time.
pub(super) const MAX_CPU_POLL: Duration = Duration::from_millis(1000);
