//! Starting: sources, cgroup, clone, and what only a parent can do for its child.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, send, socketpair};

use super::Supervisor;
use crate::cgroups::{Cgroup, CgroupSpec, Planned, Scope, no_hierarchies};
use crate::error::{Context, Error, ErrorCode, Result};
use crate::resctrl;
use crate::rootfs::mounts::CgroupMount;
use crate::spawn::ids::{self, IdPlan};
use crate::spawn::launch::{Launch, Phase};
use crate::spawn::plan::{Plan, Step};
use crate::spawn::report::{self, Progress};
use crate::spawn::request::{CgroupMode, LaunchRequest};
use crate::spawn::watch::Kind;
use crate::spawn::{child, hints, limits, prepare};
use crate::spec::NamespaceKind;
use crate::state::journal::Journal;
use crate::sys::{clone, files, process};

impl Supervisor {
    /// Opens the sources that the cache of names knows; false where another process must.
    pub(super) fn open_sources(&mut self, launch: &mut Launch) -> Result<bool> {
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

    pub(super) fn open_sources_aside(&mut self, slot: usize, launch: &mut Launch) -> Result<()> {
        let (ours, theirs) = report_pair()?;
        let ends = report::Ends { own: theirs.as_fd(), parents: ours.as_raw_fd() };
        let child = prepare::open_aside(&launch.plan.sources, ends)?;
        launch.phase = Phase::Opening;
        launch.child = Some(child);
        launch.sync = Some(ours);
        self.watch_launch(slot, launch)
    }

    /// Waits for what a launch's processes say, and for their ends.
    pub(super) fn watch_launch(&self, slot: usize, launch: &Launch) -> Result<()> {
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
    pub(super) fn clone_child(&mut self, slot: usize, launch: &mut Launch) -> Result<()> {
        let container = launch.plan.ids.lines();
        for (source, fd) in launch.plan.sources.iter().zip(launch.opened.drain(..)) {
            let tree = prepare::detach(source, fd.as_fd(), container, &mut self.idmaps)?;
            launch.prepared.push(tree);
        }
        self.make_cgroup(launch)?;
        self.place_descriptors(launch)?;
        process::remember_descriptors().context(
            ErrorCode::ResourceExhausted,
            "list",
            "this process's descriptors",
        )?;
        let (ours, theirs) = report_pair()?;
        let counter = self.progress.get(slot).ok_or_else(|| {
            Error::new(ErrorCode::Internal, "find the progress counter of", "a launch")
        })?;
        counter.store(0, Ordering::Relaxed);
        let progress = Progress { step: counter };
        let joined = launch.request.runtime.join.clone();
        let cgroup = joined.as_ref().map_or(&launch.cgroup, |joined| &joined.cgroup);
        let asks = joined.as_ref().is_some_and(|joined| joined.way_in.is_some());
        let into = cgroup.as_ref().and_then(Cgroup::v2_dir_fd).filter(|_| !asks);
        let (plan, prepared) = (&launch.plan, &launch.prepared);
        let ends = report::Ends { own: theirs.as_fd(), parents: ours.as_raw_fd() };
        launch.phase = Phase::SettingUp;
        if plan.joins() > 0 {
            let joiner = clone::clone3(0, None, || {
                child::join(plan, prepared, into, ends.alone(), &progress)
            })
            .map_err(|errno| hints::clone_error(errno, "make", "the container's namespaces"))?;
            launch.joiner = Some(joiner);
            launch.sync = Some(ours);
            return self.watch_launch(slot, launch);
        }
        let child = clone::clone3(plan.clone_flags, into, || {
            child::run(plan, prepared, ends.alone(), &progress)
        })
        .map_err(|errno| hints::clone_error(errno, "make", "the container's namespaces"))?;
        drop(theirs);
        launch.child = Some(child);
        launch.sync = Some(ours);
        self.equip_child(slot, launch)?;
        self.watch_launch(slot, launch)
    }

    /// What only the parent can do to the child: first the id maps, which it waits for at once,
    /// then what it needs before it gives up its privileges.
    pub(super) fn equip_child(&mut self, slot: usize, launch: &mut Launch) -> Result<()> {
        let Some(child) = &launch.child else { return Ok(()) };
        let pid = child.pid;
        if let Some(scope) = launch.request.runtime.scope.clone() {
            self.start_scope(launch, scope, pid)?;
            say(launch, report::SCOPED)?;
        }
        let joined = launch.request.runtime.join.as_ref();
        if let Some(way_in) = joined.and_then(|joined| joined.way_in.as_ref()) {
            way_in.take(pid)?;
            say(launch, report::SCOPED)?;
        }
        let Some(child) = &launch.child else { return Ok(()) };
        limits::apply_oom_score(pid, &launch.plan)?;
        match &launch.plan.ids {
            IdPlan::Parent(lines) => {
                ids::write_maps(child.pid, lines)?;
                say(launch, report::MAPS_WRITTEN)?;
            }
            IdPlan::Helper(lines) => {
                let helper = ids::start_map_helper(child.pid, lines)?;
                self.watch.add(helper.pidfd(), Kind::MapHelper, slot as u32)?;
                launch.map_helper = Some(helper);
            }
            IdPlan::Host | IdPlan::Joined | IdPlan::Own => {}
        }
        if let Some(planned) = launch.planned_cgroup.take() {
            let linux = launch.request.spec.linux.as_ref();
            let resources = linux.and_then(|linux| linux.resources.as_ref());
            let spec = CgroupSpec::of(&launch.request, resources, launch.plan.ids == IdPlan::Host);
            launch.cgroup = planned.make(&spec)?;
            hand_over_cgroup(launch)?;
        }
        limits::raise(child.pid, &launch.plan)?;
        resctrl::join(&launch.request.runtime.resctrl, child.pid)?;
        launch.plan.net_devices.iter().try_for_each(|device| device.move_into(child.pid))?;
        if let Some(ledger) = &mut self.ledger {
            ledger.process(launch.id, child.pid, child.pidfd.as_fd())?;
        }
        // The helper's end says both words.
        if launch.map_helper.is_none() { say(launch, report::RECORDED) } else { Ok(()) }
    }

    /// Lets systemd make the container's cgroup, around its first process.
    fn start_scope(&mut self, launch: &mut Launch, scope: Arc<Scope>, pid: i32) -> Result<()> {
        let hierarchies = self.hierarchies.as_ref().ok_or_else(no_hierarchies)?;
        let linux = launch.request.spec.linux.as_ref();
        let resources = linux.and_then(|linux| linux.resources.as_ref());
        let spec = CgroupSpec::of(&launch.request, resources, launch.plan.ids == IdPlan::Host);
        // From here on there may be a unit to stop.
        launch.scope = Some(Arc::clone(&scope));
        scope.start(pid, &spec, hierarchies)?;
        let paths = scope.paths(pid, hierarchies)?;
        if let Some(ledger) = &mut self.ledger {
            ledger.begin(launch.id, &paths)?;
        }
        let cgroup = scope.open(pid, &paths, &spec, hierarchies)?;
        if spec.lists_devices() && !scope.is_users() && !cgroup.limits_devices() {
            let what = "devices: no program can be loaded that would";
            return Err(Error::new(ErrorCode::CgroupUnavailable, "restrict", what));
        }
        let cgroup = launch.cgroup.insert(cgroup);
        delegate(cgroup, &launch.request, &launch.plan, Some(pid))
    }

    /// The cgroup mounts of a container without a cgroup namespace of its own. With the systemd driver
    /// nobody knows yet where its cgroup will be.
    pub(super) fn bound_cgroup_mounts(
        &self,
        request: &LaunchRequest,
        ids: &IdPlan,
    ) -> Option<Rc<[CgroupMount]>> {
        let linux = request.spec.linux.as_ref()?;
        let is_cgroup = |kind: Option<&str>| matches!(kind, Some("cgroup" | "cgroup2"));
        let shown = request.spec.mounts.iter().any(|mount| is_cgroup(mount.kind.as_deref()));
        let own_namespace =
            linux.namespaces.iter().any(|namespace| namespace.kind == NamespaceKind::Cgroup);
        if !shown || own_namespace || request.runtime.scope.is_some() {
            return None;
        }
        let spec = CgroupSpec::of(request, linux.resources.as_ref(), *ids == IdPlan::Host);
        Some(self.hierarchies.as_ref()?.bound_mounts(&spec).into())
    }

    pub(super) fn make_cgroup(&mut self, launch: &mut Launch) -> Result<()> {
        if let Some(joined) = launch.request.runtime.join.clone() {
            let attach = joined.cgroup.as_ref().map(Cgroup::attach).unwrap_or_default();
            launch.plan.attach(&attach, self.caller.privileged);
            return Ok(());
        }
        let linux = launch.request.spec.linux.as_ref();
        let resources = linux.and_then(|linux| linux.resources.as_ref());
        let spec = CgroupSpec::of(&launch.request, resources, launch.plan.ids == IdPlan::Host);
        let devices_listed = spec.lists_devices();
        let wanted = launch.request.cgroup.mode != CgroupMode::None;
        let planned = match &self.hierarchies {
            Some(hierarchies) if wanted && launch.request.runtime.scope.is_none() => {
                Some(hierarchies.plan(&spec)?)
            }
            _ => None,
        };
        let ledger = match &mut self.ledger {
            Some(ledger) => ledger,
            None => self.ledger.insert(Box::new(Journal::open(&self.state_directory)?)),
        };
        let mut paths = planned.as_ref().map(Planned::paths).unwrap_or_default();
        if !ledger.takes_more() {
            paths.extend(planned.as_ref().map(Planned::later_paths).unwrap_or_default());
        }
        ledger.begin(launch.id, &absent(paths))?;
        launch.journaled = true;
        if let Some(scope) = &launch.request.runtime.scope {
            if devices_listed && scope.is_users() {
                launch.plan.forbid_devices();
            }
            return Ok(());
        }
        let Some(planned) = planned else {
            spec.refuse_limits()?;
            if devices_listed {
                launch.plan.forbid_devices();
            }
            return Ok(());
        };
        let delegates = launch.request.runtime.delegate_cgroup.is_some();
        if planned.is_v1() && !devices_listed && !delegates && launch.plan.may_precede_cgroup() {
            launch.plan.make_cgroup_later();
            launch.planned_cgroup = Some(planned);
            return Ok(());
        }
        launch.cgroup = planned.make(&spec)?;
        if devices_listed && !launch.cgroup.as_ref().is_some_and(Cgroup::limits_devices) {
            launch.plan.forbid_devices();
        }
        if let Some(cgroup) = &mut launch.cgroup {
            delegate(cgroup, &launch.request, &launch.plan, None)?;
            launch.plan.attach(&cgroup.attach(), self.caller.privileged);
        }
        Ok(())
    }

    /// Fills in which descriptor becomes which.
    pub(super) fn place_descriptors(&self, launch: &mut Launch) -> Result<()> {
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
        // Those without one of the caller's are our own /dev/null.
        let null = self.null.as_raw_fd();
        let streams = pairs.iter().filter(|(from, target)| *target < 3 && *from != null);
        let streams = streams.map(|(from, _)| *from);
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
}

/// Those paths at which there is nothing yet: what is there is somebody else's, and not to be cleared
/// by whoever reads a ledger.
pub(super) fn absent(mut paths: Vec<String>) -> Vec<String> {
    paths.retain(|path| !std::path::Path::new(path).exists());
    paths
}

/// Gives the container a cgroup of its own to use, where it is to have one.
fn delegate(
    cgroup: &mut Cgroup,
    request: &LaunchRequest,
    plan: &Plan,
    pid: Option<i32>,
) -> Result<()> {
    let Some(name) = &request.runtime.delegate_cgroup else { return Ok(()) };
    let own = || (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    cgroup.delegate(name, plan.ids.lines().map_or_else(own, |lines| lines.root()), pid)
}

/// A socket between this process and a child: messages stay whole, and its end is seen.
pub(super) fn report_pair() -> Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).context(
        ErrorCode::ResourceExhausted,
        "make socket for",
        "the container's first process",
    )
}

/// Gives the child what it attaches itself to its cgroup by, memory's last.
fn hand_over_cgroup(launch: &Launch) -> Result<()> {
    let Some(sync) = &launch.sync else { return Ok(()) };
    let attach = launch.cgroup.as_ref().map(Cgroup::attach).unwrap_or_default();
    let fds = attach.others.iter().chain(&attach.memory).map(AsRawFd::as_raw_fd);
    let sent =
        report::send_descriptors(sync.as_fd(), report::CGROUP_MADE, &fds.collect::<Vec<_>>());
    told(sent)
}

/// Tells the child that something it waits for, or will wait for, is done.
pub(super) fn say(launch: &Launch, word: u8) -> Result<()> {
    let Some(sync) = &launch.sync else { return Ok(()) };
    told(send(sync.as_raw_fd(), &[word], MsgFlags::MSG_NOSIGNAL).map(drop))
}

/// What a message to the child came to.
fn told(sent: std::result::Result<(), Errno>) -> Result<()> {
    match sent {
        // EPIPE: it has failed already, which its report says.
        Ok(()) | Err(Errno::EPIPE | Errno::ECONNRESET) => Ok(()),
        Err(errno) => {
            Err(Error::new(ErrorCode::Internal, "tell", "the container's first process to go on")
                .errno(errno))
        }
    }
}
