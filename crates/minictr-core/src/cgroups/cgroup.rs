//! One container's cgroup: its limits, its accounts, its end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::changes::{Changes, Undone};
use super::make::{self, Place};
use super::member::Member;
use super::plan::{self, CgroupSpec, Controller};
use super::stats::Stats;
use super::{devices, end, hugetlb, pids, rdma, v1, v2};
use crate::error::{Context, Error, ErrorCode, Result};
use crate::spec::Resources;

/// What a container used, read once at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time in user mode, microseconds.
    pub cpu_user_us: Option<u64>,
    /// CPU time in the kernel, microseconds.
    pub cpu_system_us: Option<u64>,
    /// Most memory at one time, bytes.
    pub peak_memory_bytes: Option<u64>,
    /// Processes that the kernel killed for want of memory.
    pub oom_kills: u64,
}

/// Descriptors that a child writes `0` into to put itself into a cgroup. The kernel asks for the
/// opener's permission, not the writer's.
#[derive(Debug, Default)]
pub struct Attach<'a> {
    /// All but the next.
    pub others: Vec<BorrowedFd<'a>>,
    /// That of v1's memory hierarchy.
    pub memory: Option<BorrowedFd<'a>>,
}

/// One container's cgroup, in as many hierarchies as it needs. Dropping it leaves the cgroup as it
/// is; [`Cgroup::remove`] removes it.
#[derive(Debug, Default)]
pub struct Cgroup {
    pub(super) members: Vec<Member>,
    /// Where it can be made when something is asked for that its members haven't.
    pub(super) places: Vec<Place>,
    lists_devices: bool,
    /// The cgroup below it that its processes start in, where that isn't itself.
    pub(super) entry: Option<OwnedFd>,
}

impl Cgroup {
    /// The directories where it may come to be besides those where it is, for a pause or a limit that
    /// it hasn't yet.
    #[must_use]
    pub fn later_paths(&self) -> Vec<String> {
        self.places.iter().flat_map(Place::paths).collect()
    }

    /// Which member has a controller, v1 first; of the freezer v2's, whose processes can be killed.
    pub(super) fn position(&self, controller: Controller) -> Option<usize> {
        let of = |v2: bool| {
            self.members.iter().position(|member| member.v2 == v2 && member.has(controller))
        };
        let first = controller == Controller::Freezer;
        of(first).or_else(|| of(!first))
    }

    fn member(&self, controller: Controller) -> Option<&Member> {
        self.position(controller).map(|position| &self.members[position])
    }

    /// Gives the cgroup a controller, and everything in it a place there.
    ///
    /// # Errors
    /// `CgroupUnavailable` where this user can't.
    pub(super) fn join(&mut self, controller: Controller) -> Result<usize> {
        if let Some(position) = self.position(controller) {
            return Ok(position);
        }
        // On v2 the cgroups above may only not have passed it on yet.
        for (position, member) in self.members.iter_mut().enumerate().filter(|(_, m)| m.v2) {
            if !controller.name(true).is_empty()
                && make::enable(member.parent.as_fd(), &[(controller, true)]).is_ok()
            {
                member.controllers = make::enabled(member.directory.as_fd());
                if member.has(controller) {
                    return Ok(position);
                }
            }
        }
        let place = self.places.iter().position(|place| place.offers.contains(&controller));
        let Some(place) = place else { return Err(plan::unavailable(controller, None)) };
        let member =
            self.places[place].make(&[(controller, true)]).map_err(|error| match error.code {
                ErrorCode::CgroupUnavailable => {
                    plan::unavailable(controller, error.errno.map(nix::errno::Errno::from_raw))
                }
                _ => error,
            })?;
        self.take_in(place, member)
    }

    /// Puts everything into a member that has just been made.
    pub(super) fn take_in(&mut self, place: usize, member: Member) -> Result<usize> {
        let moved = self.members.first().map_or(Ok(()), |first| member.take_from(first));
        if let Err(errno) = moved {
            // Those that were moved go with it: to the cgroup above, which has no such limit.
            let _ = end::empty(&member);
            return Err(errno).context(
                ErrorCode::Cgroup,
                "move the container into cgroup",
                format!("`{}`", member.name),
            );
        }
        self.places.remove(place);
        // Before memory's, which stays the last.
        self.members.insert(0, member);
        Ok(0)
    }

    /// Writes the limits of a cgroup that nothing runs in yet.
    pub(super) fn limit(&mut self, spec: &CgroupSpec<'_>) -> Result<()> {
        let none = Resources::default();
        let resources = spec.resources().unwrap_or(&none);
        for (position, changes) in self.compile(resources, spec.pids_limit())? {
            changes.write(self.members[position].fd())?;
        }
        match self.restrict_devices(resources) {
            // Another way has to do without: the supervisor's.
            Err(error) if error.code == ErrorCode::CgroupUnavailable => Ok(()),
            result => result,
        }
    }

    /// What to write where.
    fn compile(
        &self,
        resources: &Resources,
        pids_limit: Option<i64>,
    ) -> Result<Vec<(usize, Changes)>> {
        let mut compiled: Vec<Changes> = self.members.iter().map(|_| Changes::default()).collect();
        let mut add = |controller: Controller,
                       write: &mut dyn FnMut(&Member, &mut Changes) -> Result<()>|
         -> Result<()> {
            match self.position(controller) {
                Some(position) => write(&self.members[position], &mut compiled[position]),
                None => Ok(()),
            }
        };
        if let Some(limit) = pids_limit {
            add(Controller::Pids, &mut |_, changes| {
                pids::changes(limit, changes);
                Ok(())
            })?;
        }
        if let Some(cpu) = &resources.cpu {
            add(Controller::Cpuset, &mut |member, changes| {
                match member.v2 {
                    true => v2::cpu::set_changes(cpu, changes),
                    false => v1::cpuset::changes(cpu, changes),
                }
                Ok(())
            })?;
            add(Controller::Cpu, &mut |member, changes| match member.v2 {
                true => v2::cpu::changes(member.fd(), cpu, changes),
                false => {
                    v1::cpu::changes(cpu, changes);
                    Ok(())
                }
            })?;
        }
        if let Some(memory) = &resources.memory {
            add(Controller::Memory, &mut |member, changes| match member.v2 {
                true => v2::memory::changes(member.fd(), memory, changes),
                false => v1::memory::changes(member.fd(), memory, changes),
            })?;
        }
        if let Some(io) = &resources.block_io {
            add(Controller::Io, &mut |member, changes| match member.v2 {
                true => v2::io::changes(member.fd(), io, changes),
                false => v1::blkio::changes(member.fd(), io, changes),
            })?;
        }
        if !resources.hugepage_limits.is_empty() {
            add(Controller::HugePages, &mut |member, changes| {
                hugetlb::changes(member.v2, &resources.hugepage_limits, changes)
            })?;
        }
        add(Controller::Rdma, &mut |_, changes| rdma::changes(&resources.rdma, changes))?;
        if let Some(network) = &resources.network {
            add(Controller::NetworkClass, &mut |_, changes| {
                v1::network::class_changes(network, changes);
                Ok(())
            })?;
            add(Controller::NetworkPriority, &mut |_, changes| {
                v1::network::priority_changes(network, changes)
            })?;
        }
        if let Some(devices) = self.member(Controller::Devices)
            && !devices.v2
            && !resources.devices.is_empty()
        {
            let rules = devices::rules(&resources.devices)?;
            add(Controller::Devices, &mut |member, changes| {
                v1::devices::changes(member.fd(), &rules, changes)
            })?;
        }
        if let Some(position) = self.members.iter().position(|member| member.v2) {
            v2::unified::changes(&resources.unified, &mut compiled[position])?;
        }
        Ok(compiled.into_iter().enumerate().collect())
    }

    /// Puts the rules for devices in force where that is not a write, and notes whether they are.
    fn restrict_devices(&mut self, resources: &Resources) -> Result<()> {
        if resources.devices.is_empty() {
            return Ok(());
        }
        if let Some(member) = self.member(Controller::Devices) {
            if member.v2 {
                let rules = devices::rules(&resources.devices)?;
                v2::devices::Program::load(&rules)?.attach(member.fd())?;
            }
            self.lists_devices = true;
        }
        Ok(())
    }

    /// Whether a list of devices was put in force when it was made or last changed.
    #[must_use]
    pub fn limits_devices(&self) -> bool {
        self.lists_devices
    }

    /// What a child puts itself in by.
    #[must_use]
    pub fn attach(&self) -> Attach<'_> {
        let mut attach = Attach::default();
        for member in &self.members {
            let Some(fd) = member.attach.as_ref().map(AsFd::as_fd) else { continue };
            // The one cgroup of v2 is for everything.
            if member.has(Controller::Memory) && !member.v2 {
                attach.memory = Some(fd);
            } else {
                attach.others.push(fd);
            }
        }
        attach
    }

    /// Directory of the v2 cgroup, for `clone3(2)` to start the child in where it can.
    #[must_use]
    pub fn v2_dir_fd(&self) -> Option<BorrowedFd<'_>> {
        let member = self.members.iter().find(|member| member.attach.is_none())?;
        Some(self.entry.as_ref().map_or(member.fd(), AsFd::as_fd))
    }

    /// Puts a process into it, with all its threads, memory's member last.
    ///
    /// # Errors
    /// `Cgroup` where the kernel refuses.
    pub fn add_process(&self, pid: i32) -> Result<()> {
        self.members.iter().try_for_each(|member| {
            member.put(pid).context(
                ErrorCode::Cgroup,
                "put process into cgroup",
                format!("`{}`", member.name),
            )
        })
    }

    /// Every process in it, in this process's numbers, those in cgroups below included.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        self.members.last().map(|member| end::processes(member.fd())).unwrap_or_default()
    }

    /// What the kernel accounts now; what it doesn't is `None`.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = Stats::default();
        if let Some(member) = self.member(Controller::Memory) {
            let of = if member.v2 { v2::memory::stats } else { v1::memory::stats };
            stats.memory = of(member.fd());
        }
        if let Some(member) = self.member(Controller::CpuAccounting) {
            let of = if member.v2 { v2::cpu::stats } else { v1::cpu::accounts };
            of(member.fd(), &mut stats.cpu);
        }
        if let Some(member) = self.member(Controller::Cpu).filter(|member| !member.v2) {
            v1::cpu::throttling(member.fd(), &mut stats.cpu);
        }
        if let Some(member) = self.member(Controller::Pids) {
            stats.pids = pids::stats(member.fd());
        }
        if let Some(member) = self.member(Controller::Io) {
            let of = if member.v2 { v2::io::stats } else { v1::blkio::stats };
            stats.io.devices = of(member.fd());
        }
        if let Some(member) = self.member(Controller::HugePages) {
            stats.huge_pages = hugetlb::stats(member.v2, member.fd());
        }
        if let Some(member) = self.members.iter().find(|member| member.v2) {
            let of = |resource| v2::pressure::pressure(member.fd(), resource);
            stats.cpu.pressure = of("cpu");
            stats.io.pressure = of("io");
            stats.memory.pressure = stats.memory.pressure.or_else(|| of("memory"));
        }
        stats
    }

    /// CPU time so far, microseconds.
    #[must_use]
    pub fn cpu_usage_us(&self) -> Option<u64> {
        let member = self.member(Controller::CpuAccounting)?;
        if member.v2 { v2::cpu::usage_us(member.fd()) } else { v1::cpu::usage_us(member.fd()) }
    }

    /// Processes that the kernel killed for want of memory.
    #[must_use]
    pub fn oom_kills(&self) -> u64 {
        let kills = self.member(Controller::Memory).and_then(|member| {
            let of = if member.v2 { v2::memory::oom_kills } else { v1::memory::oom_kills };
            of(member.fd())
        });
        kills.unwrap_or(0)
    }

    /// What was used, read at the end.
    #[must_use]
    pub fn final_usage(&self) -> Usage {
        let mut usage = Usage { oom_kills: self.oom_kills(), ..Usage::default() };
        if let Some(member) = self.member(Controller::Memory) {
            let of = if member.v2 { v2::memory::peak_bytes } else { v1::memory::peak_bytes };
            usage.peak_memory_bytes = of(member.fd());
        }
        if let Some(member) = self.member(Controller::CpuAccounting) {
            let of = if member.v2 { v2::cpu::times_us } else { v1::cpu::times_us };
            (usage.cpu_user_us, usage.cpu_system_us) = of(member.fd());
        }
        usage
    }

    /// Changes limits while it runs: all of them, or where the kernel refuses one, none. What isn't
    /// named stays as it is. A controller that the container didn't have is given to it.
    ///
    /// # Errors
    /// `Cgroup` for a limit that the kernel refuses, such as memory below what is in use,
    /// `CgroupUnavailable` for a controller that can't be had, `InvalidArgument` for a limit that
    /// this version of cgroups hasn't.
    pub fn update(&mut self, resources: &Resources) -> Result<()> {
        for controller in plan::asked(resources) {
            self.join(controller)?;
        }
        if !resources.devices.is_empty() {
            self.join(Controller::Devices)?;
        }
        self.check_files(resources)?;
        let pids_limit = resources.pids.as_ref().and_then(|pids| pids.limit);
        let compiled = self.compile(resources, pids_limit)?;
        let mut undone = Undone::default();
        for (position, changes) in &compiled {
            let written = changes.write_undoable(self.members[*position].fd(), &mut undone);
            if let Err(error) = written {
                undone.take_back();
                return Err(error);
            }
        }
        let program = self
            .member(Controller::Devices)
            .filter(|member| member.v2 && !resources.devices.is_empty())
            .map(|member| {
                let rules = devices::rules(&resources.devices)?;
                v2::devices::Program::load(&rules)?.attach(member.fd())
            });
        if let Some(Err(error)) = program {
            undone.take_back();
            return Err(error);
        }
        drop(undone);
        self.lists_devices |= !resources.devices.is_empty();
        Ok(())
    }

    /// The same limits, with those that they were combined with: what half a limit means by itself is
    /// another one.
    #[must_use]
    pub fn completed(&self, resources: &Resources) -> Resources {
        let mut resources = resources.clone();
        if let Some(cpu) = &mut resources.cpu
            && (cpu.quota.is_some() || cpu.period.is_some())
            && let Some(member) = self.member(Controller::Cpu)
        {
            let of = if member.v2 { v2::cpu::quota } else { v1::cpu::quota };
            (cpu.quota, cpu.period) = of(member.fd());
        }
        if let Some(memory) = &mut resources.memory
            && memory.limit.is_none()
            && memory.swap.is_some()
        {
            let limit = self.stats().memory.limit_bytes;
            memory.limit = Some(limit.and_then(|limit| limit.try_into().ok()).unwrap_or(-1));
        }
        resources
    }

    /// Gives the v2 cgroup the controllers whose files `unified` names.
    fn check_files(&mut self, resources: &Resources) -> Result<()> {
        for file in resources.unified.keys() {
            let name = v2::unified::controller(file)?;
            let controller = match name {
                None => Some(Controller::CpuAccounting),
                Some(name) => Controller::named(name, true),
            };
            let there = controller.is_some_and(|controller| {
                (name.is_none() || self.join(controller).is_ok())
                    && self.members.iter().any(|member| member.v2 && member.has(controller))
            });
            if !there {
                return Err(Error::invalid(
                    "set",
                    format!("unified `{file}`: the container's cgroup v2 has no such controller"),
                ));
            }
        }
        Ok(())
    }

    /// SIGKILL for every process in it, paused or not.
    ///
    /// # Errors
    /// `Cgroup` where some are left after two seconds.
    pub fn kill_all(&self) -> Result<()> {
        let member = self.members.iter().find(|member| member.v2).or(self.members.last());
        match member {
            Some(member) => end::kill(member.fd(), &member.name, || self.let_die()),
            None => Ok(()),
        }
    }

    /// Removes it, with what the container made below.
    ///
    /// # Errors
    /// `Cgroup` where processes are left in it.
    pub fn remove(mut self) -> Result<()> {
        let mut result = Ok(());
        for member in std::mem::take(&mut self.members) {
            let removed = end::remove(member.parent.as_fd(), &member.name).context(
                ErrorCode::Cgroup,
                "remove cgroup",
                format!("`{}`", member.name),
            );
            result = result.and(removed);
        }
        result
    }

    pub(super) fn discard(self) {
        // The failure that led here is the one to tell.
        let _ = self.remove();
    }
}
