//! The owner of every launch of one process: starts them, watches them, ends them.
//!
//! One epoll set holds a socket and a pidfd for each launch, so that one launch that hangs never
//! delays another, and nothing blocks on what a container does. Callers: the spawner, the
//! foreground command, a monitor; each is a process with one thread.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::EpollTimeout;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, send, socketpair};

use super::compile::{self, Host};
use super::event::{Event, LaunchId};
use super::filters::Filters;
use super::ids::{self, Caller, IdPlan, Ranges};
use super::launch::{Launch, Phase};
use super::plan::Step;
use super::prepare::{self, IdmapNamespaces};
use super::report::{self, Progress, Report};
use super::request::{CgroupMode, LaunchRequest};
use super::watch::{Kind, Watch};
use super::{child, limits, validate};
use crate::cgroups::{Cgroup, CgroupSpec, Hierarchies, Stats, remove_leftover};
use crate::error::{Context, Error, ErrorCode, Result};
use crate::rootfs::mounts::CgroupMount;
use crate::state::journal::{self, Journal};
use crate::sys::clone::{self, Child};
use crate::sys::files;
use crate::sys::process;
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
    cgroup_mounts: Vec<CgroupMount>,
    progress: SharedCounters,
    launches: Vec<Option<Launch>>,
    index: HashMap<LaunchId, usize>,
    journal: Option<Journal>,
    state_directory: PathBuf,
    null: OwnedFd,
    emitted: Vec<Emitted>,
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
        let cgroup_mounts = hierarchies.as_ref().map(Hierarchies::mounts).unwrap_or_default();
        for (file, leftovers) in journal::leftovers(&state_directory) {
            for leftover in &leftovers {
                journal::kill(leftover);
                if let Some(hierarchies) = &hierarchies {
                    // What can't be removed now is tried again by the next process.
                    if remove_leftover(hierarchies, &leftover.cgroups).is_err() {
                        continue;
                    }
                }
            }
            let _ = std::fs::remove_file(file);
        }
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
            journal: None,
            state_directory,
            null: null.into(),
            emitted: Vec::new(),
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
        self.emitted.push(Emitted { event, fds: Vec::new() });
    }

    fn begin(&mut self, id: LaunchId, request: LaunchRequest, fds: Vec<OwnedFd>) -> Result<()> {
        let begun = Instant::now();
        validate::request(&request, fds.len())?;
        let (range, ids) = self.container_ids(&request)?;
        let host = Host {
            caller: &self.caller,
            cgroup_mounts: &self.cgroup_mounts,
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
        let mut launch = Launch::new(id, request, plan, fds, range, begun);
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

    /// Opens the sources that the cache of names knows; false where another process must.
    fn open_sources(&mut self, launch: &mut Launch) -> Result<bool> {
        for source in &launch.plan.sources {
            let opened = if self.may_block {
                Some(prepare::open(source)?)
            } else {
                prepare::open_cached(source)?
            };
            match opened {
                Some(fd) => launch.opened.push(fd),
                None => {
                    launch.opened.clear();
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn open_sources_aside(&mut self, slot: usize, launch: &mut Launch) -> Result<()> {
        let (ours, theirs) = report_pair()?;
        let ends = report::Ends { own: theirs.as_fd(), parents: ours.as_raw_fd() };
        let child = prepare::open_aside(&launch.plan.sources, ends)?;
        launch.phase = Phase::Opening;
        launch.child = Some(child);
        launch.sync = Some(ours);
        self.watch_launch(slot, launch)
    }

    /// Waits for what a launch's processes say, and for their ends.
    fn watch_launch(&self, slot: usize, launch: &Launch) -> Result<()> {
        let slot = slot as u32;
        if let Some(sync) = &launch.sync {
            self.watch.add(sync, Kind::Socket, slot)?;
        }
        if let Some(joiner) = &launch.joiner {
            self.watch.add(&joiner.pidfd, Kind::Joiner, slot)?;
        }
        if let Some(child) = &launch.child {
            self.watch.add(&child.pidfd, Kind::Child, slot)?;
        }
        Ok(())
    }

    /// Makes cgroup and child; the journal first.
    fn clone_child(&mut self, slot: usize, launch: &mut Launch) -> Result<()> {
        let container = launch.plan.ids.lines();
        for (source, fd) in launch.plan.sources.iter().zip(launch.opened.drain(..)) {
            let tree = prepare::detach(source, fd.as_fd(), container, &mut self.idmaps)?;
            launch.prepared.push(tree);
        }
        self.make_cgroup(launch)?;
        self.place_descriptors(launch)?;
        let (ours, theirs) = report_pair()?;
        let counter = self.progress.get(slot).ok_or_else(|| {
            Error::new(ErrorCode::Internal, "find the progress counter of", "a launch")
        })?;
        counter.store(0, Ordering::Relaxed);
        let progress = Progress { step: counter };
        let into = launch.cgroup.as_ref().and_then(Cgroup::v2_dir_fd);
        let (plan, prepared) = (&launch.plan, &launch.prepared);
        let ends = report::Ends { own: theirs.as_fd(), parents: ours.as_raw_fd() };
        launch.phase = Phase::SettingUp;
        if plan.joins() > 0 {
            let joiner = clone::clone3(0, None, || {
                child::join(plan, prepared, into, ends.alone(), &progress)
            })
            .map_err(super::hints::clone_error)?;
            launch.joiner = Some(joiner);
            launch.sync = Some(ours);
            return self.watch_launch(slot, launch);
        }
        let child = clone::clone3(plan.clone_flags, into, || {
            child::run(plan, prepared, ends.alone(), &progress)
        })
        .map_err(super::hints::clone_error)?;
        drop(theirs);
        launch.child = Some(child);
        launch.sync = Some(ours);
        self.equip_child(slot, launch)?;
        self.watch_launch(slot, launch)
    }

    /// The joining process has cloned the child.
    fn child_joined(&mut self, slot: usize, pidfd: OwnedFd) {
        let Some(mut launch) = self.launches[slot].take() else { return };
        let equipped = process::pid_of(pidfd.as_fd())
            .context(ErrorCode::Internal, "find pid of", "the container's first process")
            .and_then(|pid| {
                let watched = self.watch.add(&pidfd, Kind::Child, slot as u32);
                launch.child = Some(Child { pid, pidfd });
                watched?;
                self.equip_child(slot, &mut launch)
            });
        if let Err(error) = equipped {
            launch.failure = Some(error);
            launch.kill_whole();
        }
        self.launches[slot] = Some(launch);
    }

    /// The joining process has ended: its work is done, or has failed.
    fn joiner_ended(&mut self, slot: usize) {
        self.read_reports(slot);
        let Some(mut launch) = self.launches.get_mut(slot).and_then(Option::take) else { return };
        let Some(joiner) = launch.joiner.take() else {
            self.launches[slot] = Some(launch);
            return;
        };
        let result = match process::reap(joiner.pidfd.as_fd()) {
            Ok(Some(result)) => result,
            Ok(None) => {
                launch.joiner = Some(joiner);
                self.launches[slot] = Some(launch);
                return;
            }
            Err(_) => process::WaitResult::default(),
        };
        if launch.child.is_some() {
            self.launches[slot] = Some(launch);
            return;
        }
        self.over(slot, launch, result);
    }

    /// What only the parent can do to the child: first the id maps, which it waits for at once,
    /// then what it needs before it gives up its privileges.
    fn equip_child(&mut self, slot: usize, launch: &mut Launch) -> Result<()> {
        let Some(child) = &launch.child else { return Ok(()) };
        limits::apply_oom_score(child.pid, &launch.plan)?;
        match &launch.plan.ids {
            IdPlan::Parent(lines) => {
                ids::write_maps(child.pid, lines)?;
                say(launch)?;
            }
            IdPlan::Helper(lines) => {
                let helper = ids::start_map_helper(child.pid, lines)?;
                self.watch.add(helper.pidfd(), Kind::MapHelper, slot as u32)?;
                launch.map_helper = Some(helper);
            }
            IdPlan::Host | IdPlan::Joined | IdPlan::Own => {}
        }
        limits::raise(child.pid, &launch.plan)?;
        if let Some(journal) = &mut self.journal {
            journal.process(launch.id, child.pid, child.pidfd.as_fd())?;
        }
        // The helper's end says both words.
        if launch.map_helper.is_none() { say(launch) } else { Ok(()) }
    }

    fn make_cgroup(&mut self, launch: &mut Launch) -> Result<()> {
        let linux = launch.request.spec.linux.as_ref();
        let resources = linux.and_then(|linux| linux.resources.as_ref());
        let spec = CgroupSpec::of(&launch.request, resources, launch.plan.ids == IdPlan::Host);
        let devices_listed = spec.lists_devices();
        let wanted = launch.request.cgroup.mode != CgroupMode::None;
        let paths = match &self.hierarchies {
            Some(hierarchies) if wanted => hierarchies.planned_paths(&spec),
            _ => Vec::new(),
        };
        if self.journal.is_none() {
            self.journal = Some(Journal::open(&self.state_directory)?);
        }
        if let Some(journal) = &mut self.journal {
            journal.begin(launch.id, &paths)?;
            launch.journaled = true;
        }
        launch.cgroup = match &self.hierarchies {
            Some(hierarchies) if wanted => hierarchies.create(&spec)?,
            _ => {
                spec.refuse_limits()?;
                None
            }
        };
        if devices_listed && !launch.cgroup.as_ref().is_some_and(Cgroup::limits_devices) {
            launch.plan.forbid_devices();
        }
        if let Some(cgroup) = &launch.cgroup {
            launch.plan.cgroup_procs = cgroup.attach_fds().iter().map(AsRawFd::as_raw_fd).collect();
        }
        Ok(())
    }

    /// Fills in which descriptor becomes which.
    fn place_descriptors(&self, launch: &mut Launch) -> Result<()> {
        let first_free = 3 + launch.request.preserve_fds.len() as i32;
        let terminal = launch.request.has_terminal();
        let mut pairs = Vec::with_capacity(3);
        if !terminal {
            for (target, index) in launch.request.stdio.iter().enumerate() {
                let from = index
                    .map_or(self.null.as_raw_fd(), |index| launch.fds[index as usize].as_raw_fd());
                pairs.push((from, target as i32));
            }
        }
        for (position, index) in launch.request.preserve_fds.iter().enumerate() {
            pairs.push((launch.fds[*index as usize].as_raw_fd(), 3 + position as i32));
        }
        for (from, target) in &mut pairs {
            // A source that is itself a target would be overwritten before its turn.
            if *from < first_free && from != target {
                let copy = process::duplicate_above(*from, first_free).context(
                    ErrorCode::ResourceExhausted,
                    "copy",
                    "a descriptor of the program",
                )?;
                launch.copies.push(crate::sys::own_received(copy));
                *from = copy;
            }
        }
        let streams = pairs.iter().filter(|(_, target)| *target < 3).map(|(from, _)| *from);
        launch.plan.pipes = streams.filter(|fd| files::is_pipe(*fd)).collect();
        if let Some(lines) = launch.plan.ids.lines() {
            let (uid, gid) = lines.root();
            for pipe in &launch.plan.pipes {
                files::give_pipe(*pipe, uid, gid);
            }
        }
        for step in &mut launch.plan.steps {
            if let Step::Descriptors(placed) = step {
                *placed = std::mem::take(&mut pairs);
            }
        }
        Ok(())
    }

    fn launch_of(&self, id: LaunchId) -> Result<&Launch> {
        self.index.get(&id).and_then(|slot| self.launches[*slot].as_ref()).ok_or_else(ended)
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
        let launch = slot.and_then(|slot| self.launches[slot].as_mut()).ok_or_else(ended)?;
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

    /// What the kernel accounts for a container now.
    ///
    /// # Errors
    /// `WrongState` once it has ended, `Cgroup` where a file can't be read.
    pub fn stats(&mut self, id: LaunchId) -> Result<Stats> {
        let launch = self.launch_of(id)?;
        match &launch.cgroup {
            Some(cgroup) => cgroup.stats(),
            None => Ok(Stats { cpu_usage_us: launch.cpu_usage_us(), ..Stats::default() }),
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
        let next = self.launches.iter().flatten().filter_map(Launch::next_deadline).min();
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
    }

    fn read_reports(&mut self, slot: usize) {
        loop {
            let Some(launch) = self.launches.get_mut(slot).and_then(Option::as_mut) else { return };
            let Some(sync) = &launch.sync else { return };
            match report::receive(sync.as_fd()) {
                Ok(None) => return,
                Ok(Some(Report::Fault { step, fault })) if launch.phase == Phase::Opening => {
                    let source = launch.plan.sources.get(step);
                    launch.failure = source.map(|source| prepare::open_error(source, fault.errno));
                }
                Ok(Some(Report::Fault { step, fault })) => {
                    launch.failure.get_or_insert_with(|| launch.plan.error(step, fault));
                }
                Ok(Some(Report::Explanation(error))) => launch.failure = Some(*error),
                Ok(Some(Report::Master(fd))) if launch.phase == Phase::Opening => {
                    launch.opened.push(fd);
                }
                Ok(Some(Report::Master(fd))) => launch.master = Some(fd),
                Ok(Some(Report::Child(pidfd))) => self.child_joined(slot, pidfd),
                Ok(Some(Report::End)) | Err(_) => {
                    launch.sync = None;
                    self.reports_ended(slot);
                    return;
                }
            }
        }
    }

    /// The child's socket has closed: it executes its program, or it has ended.
    fn reports_ended(&mut self, slot: usize) {
        let executing = self
            .progress
            .get(slot)
            .is_some_and(|step| step.load(Ordering::Relaxed) == report::EXECUTING);
        let Some(launch) = self.launches[slot].as_mut() else { return };
        if launch.phase != Phase::SettingUp || launch.failure.is_some() || !executing {
            return;
        }
        launch.phase = Phase::Running;
        launch.forget_setup();
        let Some(child) = &launch.child else { return };
        let pid = child.pid;
        let mut fds = Vec::with_capacity(2);
        match child.pidfd.try_clone() {
            Ok(pidfd) => fds.push(pidfd),
            Err(error) => {
                // The caller couldn't hold what keeps an attached container from outliving it.
                let error =
                    Error::new(ErrorCode::ResourceExhausted, "copy pidfd of", "the container")
                        .io(&error);
                launch.failure = Some(error);
                launch.kill_whole();
                return;
            }
        }
        fds.extend(launch.master.take());
        let event = Event::Started { launch: launch.id, pid };
        self.emitted.push(Emitted { event, fds });
    }

    fn map_helper_ended(&mut self, slot: usize) {
        let Some(launch) = self.launches.get_mut(slot).and_then(Option::as_mut) else { return };
        let Some(helper) = launch.map_helper.take() else { return };
        let watch = &self.watch;
        match helper.ended(|next| watch.add(next, Kind::MapHelper, slot as u32)) {
            Ok(Some(next)) => launch.map_helper = Some(next),
            Ok(None) => {
                // The maps are written; limits and journal were ready before.
                if let Err(error) = say(launch).and_then(|()| say(launch)) {
                    launch.failure = Some(error);
                    launch.kill_whole();
                }
            }
            Err(error) => {
                launch.failure = Some(error);
                launch.kill_whole();
            }
        }
    }

    fn child_ended(&mut self, slot: usize) {
        // Its last words first.
        self.read_reports(slot);
        let Some(mut launch) = self.launches.get_mut(slot).and_then(Option::take) else { return };
        let Some(child) = &launch.child else { return };
        let result = match process::reap(child.pidfd.as_fd()) {
            Ok(Some(result)) => result,
            Ok(None) => {
                self.launches[slot] = Some(launch);
                return;
            }
            // ECHILD can't be: nothing else in this process waits.
            Err(_) => process::WaitResult::default(),
        };
        if launch.has_opened_all() {
            launch.child = None;
            match self.clone_child(slot, &mut launch) {
                Ok(()) => {
                    self.launches[slot] = Some(launch);
                    return;
                }
                Err(error) => launch.failure = Some(error),
            }
            if launch.child.is_some() {
                // It waits for a word that will not come; its end brings us here again.
                launch.kill_whole();
                self.launches[slot] = Some(launch);
                return;
            }
        }
        self.over(slot, launch, result);
    }

    /// A launch has ended: its caller is told once nothing is left of it.
    fn over(&mut self, slot: usize, mut launch: Launch, result: process::WaitResult) {
        let step = self.progress.get(slot).map_or(0, |step| step.load(Ordering::Relaxed));
        if let Some(child) = launch.child.take() {
            // The caller has a copy.
            self.watch.remove(&child.pidfd);
        }
        let event = launch.end_event(result, step);
        self.release(slot, &mut launch);
        self.index.remove(&launch.id);
        self.emit(event);
    }

    /// Takes away all that a launch has, its processes included.
    fn release(&mut self, slot: usize, launch: &mut Launch) {
        for child in [launch.joiner.take(), launch.child.take()].into_iter().flatten() {
            let _ = process::pidfd_send_signal(child.pidfd.as_fd(), libc::SIGKILL);
            let _ = process::reap_blocking(child.pidfd.as_fd());
            self.watch.remove(&child.pidfd);
        }
        if let Some(helper) = launch.map_helper.take() {
            helper.end();
        }
        if let Some(cgroup) = launch.cgroup.take() {
            if !launch.plan.own_pid_namespace {
                let _ = cgroup.kill_all();
            }
            if let Err(error) = cgroup.remove() {
                launch.cleanup_failed = Some(error);
            }
        }
        self.give_back(launch.range.take());
        if launch.journaled
            && launch.cleanup_failed.is_none()
            && let Some(journal) = &mut self.journal
        {
            journal.end(launch.id);
        }
        launch.journaled = false;
        if let Some(entry) = self.launches.get_mut(slot) {
            *entry = None;
        }
    }

    /// Kills every container, waits for their ends and clears what they had.
    pub fn kill_all(&mut self) {
        for launch in self.launches.iter().flatten() {
            launch.kill_whole();
        }
        for slot in 0..self.launches.len() {
            if let Some(mut launch) = self.launches[slot].take() {
                self.release(slot, &mut launch);
            }
        }
        self.index.clear();
        self.emitted.clear();
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

/// A socket between this process and a child: messages stay whole, and its end is seen.
fn report_pair() -> Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).context(
        ErrorCode::ResourceExhausted,
        "make socket for",
        "the container's first process",
    )
}

/// Tells the child that what it waits for is done: its id maps, then everything else.
fn say(launch: &Launch) -> Result<()> {
    let Some(sync) = &launch.sync else { return Ok(()) };
    match send(sync.as_raw_fd(), b"g", MsgFlags::MSG_NOSIGNAL) {
        // EPIPE: it has failed already, which its report says.
        Ok(_) | Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
        Err(errno) => {
            Err(Error::new(ErrorCode::Internal, "tell", "the container's first process to go on")
                .errno(errno))
        }
    }
}

/// Longest time between two looks at a container's CPU time.
pub(super) const MAX_CPU_POLL: Duration = Duration::from_millis(1000);
