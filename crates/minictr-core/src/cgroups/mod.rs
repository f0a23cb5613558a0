//! Control groups: finding the hierarchies, making a container's cgroup, limits, accounts, end.
//!
//! | module | what it does |
//! |---|---|
//! | `detect` | which hierarchies there are, and where this process is in them |
//! | `plan` | which controllers a container needs, and what its cgroup is called |
//! | `v1`, `v2`, `pids` | one file a controller: limits in, accounts out |
//! | `recorded` | cgroups that were written down: who is in them, how to join them |
//! | `end` | killing what is in a cgroup, and removing it |
//!
//! Hierarchies are looked for once per process. On a hybrid machine each controller is used where it
//! is. Everything works on descriptors of directories.

mod detect;
mod end;
mod files;
mod pids;
mod plan;
mod recorded;
mod stats;
mod v1;
mod v2;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, mkdirat};

use crate::error::{Context, Error, ErrorCode, Result};
use crate::rootfs::mounts::CgroupMount;
use crate::rootfs::paths;
use crate::spec::Resources;

use detect::Hierarchy;
pub use end::remove_leftover;
pub use plan::CgroupSpec;
use plan::Controller;
pub use recorded::{Joinable, joinable, processes};
pub use stats::*;

/// The hierarchies of this machine, as this process sees them.
#[derive(Debug)]
pub struct Hierarchies {
    found: Vec<Hierarchy>,
    /// Controllers that v2 offers to this process's cgroup.
    v2_controllers: Vec<String>,
}

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

/// One container's cgroup, in as many hierarchies as it needs.
#[derive(Debug)]
pub struct Cgroup {
    members: Vec<Member>,
}

/// A container's cgroup in one hierarchy.
#[derive(Debug)]
struct Member {
    v2: bool,
    controllers: Vec<Controller>,
    /// The directory that the cgroup is in.
    parent: OwnedFd,
    name: String,
    directory: OwnedFd,
    /// `cgroup.procs`, open for writing: the child puts itself in.
    procs: Option<OwnedFd>,
}

impl Hierarchies {
    /// Looks at `/proc/self/mountinfo` and `/proc/self/cgroup`.
    ///
    /// # Errors
    /// `Cgroup` where they can't be read.
    pub fn detect() -> Result<Self> {
        let read = |path: &str| {
            std::fs::read_to_string(path).context(ErrorCode::Cgroup, "read", format!("`{path}`"))
        };
        let found =
            detect::hierarchies(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?);
        let v2_controllers = found
            .iter()
            .find(|hierarchy| hierarchy.v2)
            .and_then(|v2| {
                let file = format!("{}/cgroup.controllers", v2.directory(&v2.own));
                std::fs::read_to_string(file).ok()
            })
            .map(|text| text.split_ascii_whitespace().map(str::to_owned).collect())
            .unwrap_or_default();
        Ok(Self { found, v2_controllers })
    }

    /// The mounts that show a container the hierarchies as this machine combines them.
    #[must_use]
    pub fn mounts(&self) -> Vec<CgroupMount> {
        detect::mounts(&self.found)
    }

    /// The hierarchy that has a controller.
    fn of(&self, controller: Controller) -> Option<&Hierarchy> {
        let name = controller.name();
        let v1 = self.found.iter().find(|h| !h.v2 && h.controllers.iter().any(|c| c == name));
        let v2 = || {
            let offered = controller.v2_without_controller()
                || self.v2_controllers.iter().any(|offered| offered == name);
            self.found.iter().find(|h| h.v2).filter(|_| offered)
        };
        v1.or_else(v2)
    }

    /// The hierarchies that a container needs, each with its controllers, memory's last.
    fn needed(&self, spec: &CgroupSpec<'_>) -> Result<Vec<(&Hierarchy, Vec<Controller>)>> {
        let mut needed: Vec<(&Hierarchy, Vec<Controller>)> = Vec::new();
        for (controller, asked) in spec.controllers() {
            match self.of(controller) {
                Some(hierarchy) => {
                    match needed.iter_mut().find(|(h, _)| std::ptr::eq(*h, hierarchy)) {
                        Some((_, controllers)) => controllers.push(controller),
                        None => needed.push((hierarchy, vec![controller])),
                    }
                }
                None if asked => return Err(plan::unavailable(controller, None)),
                None => {}
            }
        }
        needed.sort_by_key(|(_, controllers)| controllers.contains(&Controller::Memory));
        Ok(needed)
    }

    /// Where the cgroup of a container will be: what the journal holds, for [`remove_leftover`].
    #[must_use]
    pub fn planned_paths(&self, spec: &CgroupSpec<'_>) -> Vec<String> {
        self.needed(spec)
            .unwrap_or_default()
            .iter()
            .flat_map(|(hierarchy, _)| plan::parents(hierarchy, spec))
            .map(|parent| format!("{}/{}", parent.trim_end_matches('/'), spec.name()))
            .collect()
    }

    /// Makes a container's cgroup with its limits; nothing runs in it yet. `None` where none can be
    /// had and no limit was asked for.
    ///
    /// # Errors
    /// `CgroupUnavailable` where a limit was asked for and no writable cgroup can be had,
    /// `AlreadyExists` for a name that is taken, `Cgroup` for a limit that the kernel refuses.
    pub fn create(&self, spec: &CgroupSpec<'_>) -> Result<Option<Cgroup>> {
        let mut cgroup = Cgroup { members: Vec::new() };
        for (hierarchy, controllers) in self.needed(spec)? {
            let asked = controllers.iter().copied().find(|controller| spec.asks_for(*controller));
            match make(hierarchy, &controllers, spec) {
                Ok(member) => cgroup.members.push(member),
                Err(error) => {
                    let refused = matches!(
                        error.errno,
                        Some(
                            libc::EACCES
                                | libc::EPERM
                                | libc::EROFS
                                | libc::EBUSY
                                | libc::ENOENT
                                | libc::EOPNOTSUPP
                        )
                    );
                    if refused && error.code == ErrorCode::CgroupUnavailable {
                        let Some(controller) = asked else { continue };
                        let errno = error.errno.map(Errno::from_raw);
                        cgroup.discard();
                        return Err(plan::unavailable(controller, errno));
                    }
                    cgroup.discard();
                    return Err(error);
                }
            }
        }
        if cgroup.members.is_empty() {
            return Ok(None);
        }
        for member in &cgroup.members {
            if let Err(error) = member.limit(spec) {
                cgroup.discard();
                return Err(error);
            }
        }
        Ok(Some(cgroup))
    }
}

/// Makes the directory of a cgroup. A failure to is `CgroupUnavailable`.
fn make(
    hierarchy: &Hierarchy,
    controllers: &[Controller],
    spec: &CgroupSpec<'_>,
) -> Result<Member> {
    let mut last = None;
    for parent in plan::parents(hierarchy, spec) {
        match make_below(&parent, hierarchy.v2, controllers, spec) {
            Ok(member) => return Ok(member),
            Err(Errno::EEXIST) => {
                return Err(Error::new(
                    ErrorCode::AlreadyExists,
                    "make cgroup",
                    format!("`{parent}/{}`", spec.name()),
                )
                .errno(Errno::EEXIST)
                .hint("a container of that name is running"));
            }
            Err(errno) => last = Some((parent, errno)),
        }
    }
    let (parent, errno) = last.unwrap_or((String::new(), Errno::ENOENT));
    Err(Error::new(ErrorCode::CgroupUnavailable, "make cgroup in", format!("`{parent}`"))
        .errno(errno))
}

fn make_below(
    parent: &str,
    v2: bool,
    controllers: &[Controller],
    spec: &CgroupSpec<'_>,
) -> std::result::Result<Member, Errno> {
    if spec.parent().is_some() {
        let _ = std::fs::create_dir_all(parent);
    }
    let path = std::ffi::CString::new(parent).map_err(|_| Errno::EINVAL)?;
    let parent = paths::open_path(&path, libc::O_RDONLY | libc::O_DIRECTORY)?;
    if v2 {
        enable(parent.as_fd(), controllers)?;
    }
    mkdirat(&parent, spec.name(), Mode::from_bits_truncate(0o755))?;
    let name = std::ffi::CString::new(spec.name()).map_err(|_| Errno::EINVAL)?;
    let opened = paths::open_entry(parent.as_fd(), &name, libc::O_RDONLY | libc::O_DIRECTORY)
        .and_then(|directory| {
            let procs = if v2 {
                None
            } else {
                Some(files::open(directory.as_fd(), "cgroup.procs", OFlag::O_WRONLY)?)
            };
            Ok((directory, procs))
        });
    match opened {
        Ok((directory, procs)) => Ok(Member {
            v2,
            controllers: controllers.to_vec(),
            parent,
            name: spec.name().to_owned(),
            directory,
            procs,
        }),
        Err(errno) => {
            let _ = end::remove(parent.as_fd(), spec.name());
            Err(errno)
        }
    }
}

/// Passes controllers on to the cgroups below `parent`. EBUSY where it holds processes itself.
fn enable(parent: BorrowedFd<'_>, controllers: &[Controller]) -> std::result::Result<(), Errno> {
    let enabled = files::read(parent, "cgroup.subtree_control")?;
    let missing: Vec<String> = controllers
        .iter()
        .filter(|controller| !controller.v2_without_controller())
        .map(|controller| controller.name())
        .filter(|name| !enabled.split_ascii_whitespace().any(|enabled| enabled == *name))
        .map(|name| format!("+{name}"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    files::write(parent, "cgroup.subtree_control", &missing.join(" "))
}

impl Member {
    fn has(&self, controller: Controller) -> bool {
        self.controllers.contains(&controller)
    }

    fn limit(&self, spec: &CgroupSpec<'_>) -> Result<()> {
        let directory = self.directory.as_fd();
        if self.has(Controller::Pids)
            && let Some(limit) = spec.pids_limit()
        {
            pids::apply(directory, limit)?;
        }
        let Some(resources) = spec.resources() else { return Ok(()) };
        self.apply(resources)?;
        if self.v2 {
            for (file, value) in &resources.unified {
                if file.contains('/') || !file.contains('.') {
                    return Err(Error::invalid(
                        "set",
                        format!("unified `{file}`: it isn't a file of a cgroup"),
                    ));
                }
                files::set(directory, file, value)?;
            }
        }
        Ok(())
    }

    fn apply(&self, resources: &Resources) -> Result<()> {
        let directory = self.directory.as_fd();
        if self.has(Controller::Memory)
            && let Some(memory) = &resources.memory
        {
            if self.v2 {
                v2::memory::apply(directory, memory)?
            } else {
                v1::memory::apply(directory, memory)?
            }
        }
        if let Some(cpu) = &resources.cpu {
            match (self.v2, self.has(Controller::Cpu), self.has(Controller::Cpuset)) {
                (true, true, _) | (true, _, true) => v2::cpu::apply(directory, cpu)?,
                (false, true, _) => v1::cpu::apply(directory, cpu)?,
                _ => {}
            }
            if !self.v2 && self.has(Controller::Cpuset) {
                v1::cpuset::apply(directory, self.parent.as_fd(), cpu)?;
            }
        }
        if !self.v2 && self.has(Controller::Devices) {
            v1::devices::apply(directory, &resources.devices)?;
        }
        Ok(())
    }
}

impl Cgroup {
    fn member(&self, controller: Controller) -> Option<&Member> {
        self.members.iter().find(|member| member.has(controller))
    }

    /// Whether a list of devices is in force.
    #[must_use]
    pub fn limits_devices(&self) -> bool {
        self.members.iter().any(|member| !member.v2 && member.has(Controller::Devices))
    }

    /// Descriptors of `cgroup.procs` on v1, memory's last: the child writes `0` into each. The
    /// kernel asks for the opener's permission, not the writer's.
    #[must_use]
    pub fn attach_fds(&self) -> Vec<BorrowedFd<'_>> {
        self.members.iter().filter_map(|member| member.procs.as_ref()).map(AsFd::as_fd).collect()
    }

    /// Directory of the v2 cgroup, for `clone3(2)` to start the child in.
    #[must_use]
    pub fn v2_dir_fd(&self) -> Option<BorrowedFd<'_>> {
        self.members.iter().find(|member| member.v2).map(|member| member.directory.as_fd())
    }

    /// What the kernel accounts now.
    ///
    /// # Errors
    /// None today: what a machine doesn't account is `None`.
    pub fn stats(&self) -> Result<Stats> {
        let mut stats = Stats::default();
        if let Some(member) = self.member(Controller::Memory) {
            let directory = member.directory.as_fd();
            if member.v2 {
                v2::memory::stats(directory, &mut stats)
            } else {
                v1::memory::stats(directory, &mut stats)
            }
        }
        if let Some(member) = self.member(Controller::CpuAccounting) {
            let directory = member.directory.as_fd();
            if member.v2 {
                v2::cpu::stats(directory, &mut stats)
            } else {
                v1::cpu::stats(directory, &mut stats)
            }
        }
        if let Some(member) = self.member(Controller::Pids) {
            pids::stats(member.directory.as_fd(), &mut stats);
        }
        Ok(stats)
    }

    /// CPU time so far, microseconds.
    #[must_use]
    pub fn cpu_usage_us(&self) -> Option<u64> {
        let member = self.member(Controller::CpuAccounting)?;
        let directory = member.directory.as_fd();
        if member.v2 { v2::cpu::usage_us(directory) } else { v1::cpu::usage_us(directory) }
    }

    /// Processes that the kernel killed for want of memory.
    #[must_use]
    pub fn oom_kills(&self) -> u64 {
        let kills = self.member(Controller::Memory).and_then(|member| {
            let directory = member.directory.as_fd();
            if member.v2 {
                v2::memory::oom_kills(directory)
            } else {
                v1::memory::oom_kills(directory)
            }
        });
        kills.unwrap_or(0)
    }

    /// What was used, read at the end.
    #[must_use]
    pub fn final_usage(&self) -> Usage {
        let mut usage = Usage::default();
        if let Some(member) = self.member(Controller::Memory) {
            let directory = member.directory.as_fd();
            if member.v2 {
                v2::memory::usage(directory, &mut usage)
            } else {
                v1::memory::usage(directory, &mut usage)
            }
        }
        if let Some(member) = self.member(Controller::CpuAccounting) {
            let directory = member.directory.as_fd();
            if member.v2 {
                v2::cpu::usage(directory, &mut usage)
            } else {
                v1::cpu::usage(directory, &mut usage)
            }
        }
        usage
    }

    /// Changes limits while it runs.
    ///
    /// # Errors
    /// `Cgroup` for a limit that the kernel refuses; those before it are in force.
    pub fn update(&self, resources: &Resources) -> Result<()> {
        for member in &self.members {
            if member.has(Controller::Pids)
                && let Some(limit) = resources.pids.as_ref().and_then(|pids| pids.limit)
            {
                pids::apply(member.directory.as_fd(), limit)?;
            }
            member.apply(resources)?;
        }
        Ok(())
    }

    /// SIGKILL for every process in it.
    ///
    /// # Errors
    /// `Cgroup` where some are left after two seconds.
    pub fn kill_all(&self) -> Result<()> {
        match self.members.last() {
            Some(member) => end::kill(member.directory.as_fd(), &member.name),
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

    fn discard(self) {
        // The failure that led here is the one to tell.
        let _ = self.remove();
    }
}
