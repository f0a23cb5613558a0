//! Which controllers a container needs, and where its cgroup belongs.

use nix::errno::Errno;

use super::detect::Hierarchy;
use crate::diagnose::obstacles;
use crate::error::{Error, ErrorCode, Result};
use crate::spawn::{CgroupMode, LaunchRequest};
use crate::spec::Resources;

/// A controller that containers use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Controller {
    Memory,
    Pids,
    Cpu,
    CpuAccounting,
    Cpuset,
    Devices,
    Io,
    HugePages,
    Rdma,
    NetworkClass,
    NetworkPriority,
    Freezer,
    Misc,
    DeviceMemory,
}

/// All of them with their names on v1 and on v2; those that every v2 cgroup has, enabled or not, are
/// [`V2_ALWAYS`].
const CONTROLLERS: [(Controller, &str, &str); 14] = [
    (Controller::Memory, "memory", "memory"),
    (Controller::Pids, "pids", "pids"),
    (Controller::Cpu, "cpu", "cpu"),
    (Controller::CpuAccounting, "cpuacct", ""),
    (Controller::Cpuset, "cpuset", "cpuset"),
    (Controller::Devices, "devices", ""),
    (Controller::Io, "blkio", "io"),
    (Controller::HugePages, "hugetlb", "hugetlb"),
    (Controller::Rdma, "rdma", "rdma"),
    (Controller::NetworkClass, "net_cls", ""),
    (Controller::NetworkPriority, "net_prio", ""),
    (Controller::Freezer, "freezer", ""),
    (Controller::Misc, "misc", "misc"),
    (Controller::DeviceMemory, "dmem", "dmem"),
];

/// What every v2 cgroup can do without a controller.
pub(super) const V2_ALWAYS: [Controller; 3] =
    [Controller::CpuAccounting, Controller::Devices, Controller::Freezer];

impl Controller {
    /// Its name in `/proc/self/cgroup` on v1, and in `cgroup.controllers` on v2, where it may have
    /// none.
    pub(super) fn name(self, v2: bool) -> &'static str {
        let entry = CONTROLLERS.iter().find(|(controller, ..)| *controller == self);
        entry.map_or("", |(_, old, new)| if v2 { new } else { old })
    }

    /// The controller of a name on v1 or on v2; `None` for those that containers don't use.
    pub(super) fn named(name: &str, v2: bool) -> Option<Self> {
        CONTROLLERS
            .iter()
            .find(|(_, old, new)| !name.is_empty() && *if v2 { new } else { old } == name)
            .map(|(controller, ..)| *controller)
    }
}

/// What is wanted of a container's cgroup.
#[derive(Debug)]
pub struct CgroupSpec<'a> {
    name: String,
    parent: Option<&'a str>,
    names_path: bool,
    resources: Option<&'a Resources>,
    default_pids: Option<i64>,
    must_list_devices: bool,
    account_io: bool,
    wanted: bool,
}

impl<'a> CgroupSpec<'a> {
    /// From a request. `host_ids`: the container has no user namespace of its own, so the rules for
    /// devices matter.
    #[must_use]
    pub fn of(
        request: &'a LaunchRequest,
        resources: Option<&'a Resources>,
        host_ids: bool,
    ) -> Self {
        let path = request.spec.linux.as_ref().and_then(|linux| linux.cgroups_path.as_deref());
        let (parent, name) = match path.map(|path| path.trim_end_matches('/')) {
            Some(path) if !path.is_empty() => match path.rsplit_once('/') {
                Some((parent, name)) => {
                    (Some(if parent.is_empty() { "/" } else { parent }), name.to_owned())
                }
                None => (None, path.to_owned()),
            },
            _ => (request.cgroup.parent.as_deref(), format!("minictr-{}", request.id)),
        };
        Self {
            name,
            parent,
            names_path: path.is_some(),
            resources,
            default_pids: request.cgroup.default_pids,
            must_list_devices: host_ids && resources.is_some_and(|r| !r.devices.is_empty()),
            account_io: request.cgroup.account_io,
            wanted: request.cgroup.mode != CgroupMode::None,
        }
    }

    /// Whether `cgroupsPath` of the config names it, whose owner answers for what is there.
    pub(super) fn names_path(&self) -> bool {
        self.names_path
    }

    /// The cgroup's own name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the container must have a list of devices: without a user namespace, where one says.
    /// With one it gets the list where it can be had.
    #[must_use]
    pub fn lists_devices(&self) -> bool {
        self.must_list_devices
    }

    /// Whether the container is to have a cgroup at all.
    pub(super) fn wanted(&self) -> bool {
        self.wanted
    }

    pub(super) fn parent(&self) -> Option<&str> {
        self.parent
    }

    pub(super) fn resources(&self) -> Option<&Resources> {
        self.resources
    }

    /// The limit on processes: the one asked for, else the default.
    pub(super) fn pids_limit(&self) -> Option<i64> {
        let asked = self.resources.and_then(|r| r.pids.as_ref()).and_then(|pids| pids.limit);
        asked.or(self.default_pids)
    }

    /// The controllers to use, each with whether it was asked for.
    pub(super) fn controllers(&self) -> Vec<(Controller, bool)> {
        if !self.wanted {
            return Vec::new();
        }
        let asked = self.resources.map(asked).unwrap_or_default();
        // Where there is no list, the right to make devices is taken away instead.
        let optional = |controller| match controller {
            Controller::Pids | Controller::CpuAccounting | Controller::Memory => true,
            Controller::Devices => self.resources.is_some_and(|r| !r.devices.is_empty()),
            Controller::Io => self.account_io,
            _ => false,
        };
        CONTROLLERS
            .iter()
            .map(|(controller, ..)| (*controller, asked.contains(controller)))
            .filter(|(controller, asked)| *asked || optional(*controller))
            .collect()
    }

    /// Refuses limits where no cgroup is to be made.
    ///
    /// # Errors
    /// `CgroupUnavailable` with the first limit that was asked for.
    pub fn refuse_limits(&self) -> Result<()> {
        self.resources.map_or(Ok(()), refuse_limits)
    }
}

/// The controllers without which resources can't be limited as asked. Of files of v2 those are found
/// by their names, see [`super::v2::unified`].
pub(super) fn asked(resources: &Resources) -> Vec<Controller> {
    let cpu = resources.cpu.as_ref();
    let network = resources.network.as_ref();
    [
        (
            Controller::Memory,
            resources.memory.as_ref().is_some_and(|memory| *memory != Default::default()),
        ),
        (
            Controller::Pids,
            resources.pids.as_ref().is_some_and(|pids| pids.limit.is_some_and(|limit| limit >= 0)),
        ),
        (
            Controller::Cpu,
            cpu.is_some_and(|cpu| {
                cpu.shares.is_some_and(|shares| shares > 0)
                    || cpu.quota.is_some_and(|quota| quota != 0)
                    || cpu.period.is_some_and(|period| period > 0)
                    || cpu.burst.is_some()
                    || cpu.idle.is_some()
                    || cpu.realtime_period.is_some()
                    || cpu.realtime_runtime.is_some()
            }),
        ),
        (
            Controller::Cpuset,
            cpu.is_some_and(|cpu| {
                [&cpu.cpus, &cpu.mems].into_iter().flatten().any(|list| !list.is_empty())
            }),
        ),
        (Controller::Io, resources.block_io.as_ref().is_some_and(|io| *io != Default::default())),
        (Controller::HugePages, !resources.hugepage_limits.is_empty()),
        (Controller::Rdma, !resources.rdma.is_empty()),
        // 0 is the class of packets that have none.
        (
            Controller::NetworkClass,
            network.is_some_and(|network| network.class_id.is_some_and(|class| class != 0)),
        ),
        (
            Controller::NetworkPriority,
            network.is_some_and(|network| !network.priorities.is_empty()),
        ),
    ]
    .into_iter()
    .filter(|(_, asked)| *asked)
    .map(|(controller, _)| controller)
    .collect()
}

/// Refuses a change of limits for a container that has no cgroup.
///
/// # Errors
/// `CgroupUnavailable` with the first limit that is asked for.
pub fn refuse_limits(resources: &Resources) -> Result<()> {
    match asked(resources).first() {
        Some(controller) => Err(unavailable(*controller, None)),
        None => Ok(()),
    }
}

/// The error for a pause of a container that has no cgroup.
#[must_use]
pub fn no_freezer() -> Error {
    unavailable(Controller::Freezer, None)
}

/// The error for a container that is to have a cgroup where there are none.
#[must_use]
pub fn no_hierarchies() -> Error {
    Error::new(ErrorCode::CgroupUnavailable, "make cgroup:", "no cgroup hierarchy is mounted here")
}

/// The error for a limit that needs a cgroup which can't be had.
pub(super) fn unavailable(controller: Controller, errno: Option<Errno>) -> Error {
    let what = match controller {
        Controller::Memory => "limit memory:",
        Controller::Pids => "limit processes:",
        Controller::Cpu | Controller::CpuAccounting => "limit CPU time:",
        Controller::Cpuset => "choose CPUs:",
        Controller::Devices => "restrict devices:",
        Controller::Io => "limit I/O:",
        Controller::HugePages => "limit huge pages:",
        Controller::Rdma => "limit RDMA:",
        Controller::NetworkClass | Controller::NetworkPriority => "class network traffic:",
        Controller::Freezer => "pause:",
        Controller::Misc | Controller::DeviceMemory => "limit:",
    };
    let name = match controller {
        Controller::Io => "blkio` or `io",
        controller => controller.name(false),
    };
    let object = format!("no cgroup with the `{name}` controller can be made here");
    let error = Error::new(ErrorCode::CgroupUnavailable, what, object);
    let error = match errno {
        Some(errno) => error.errno(errno),
        None => error,
    };
    if matches!(controller, Controller::NetworkClass | Controller::NetworkPriority) {
        return error
            .hint("it takes a mounted cgroup v1 hierarchy of that controller; cgroup v2 has none");
    }
    error.hint(obstacles::cgroup(errno))
}

/// Refuses a cgroup's path that could lead out of the hierarchy.
pub(super) fn check_path(spec: &CgroupSpec<'_>) -> Result<()> {
    let leaves = |path: &str| path.split('/').any(|part| part == ".." || part.contains('\0'));
    if leaves(&spec.name) || spec.parent.is_some_and(leaves) || spec.name == "." {
        let path = format!("`{}/{}`", spec.parent.unwrap_or_default(), spec.name);
        return Err(Error::invalid("use cgroup", format!("{path}: it leads out of the hierarchy")));
    }
    Ok(())
}

/// The cgroups that a container's may be made in, as directories, best first.
pub(super) fn parents(hierarchy: &Hierarchy, spec: &CgroupSpec<'_>) -> Vec<String> {
    match spec.parent {
        Some(parent) if parent.starts_with('/') => vec![hierarchy.directory(parent)],
        Some(parent) => {
            vec![format!("{}/{parent}", hierarchy.directory(&hierarchy.own).trim_end_matches('/'))]
        }
        None => {
            let mut parents = vec![hierarchy.directory(&hierarchy.own)];
            // On v2 a cgroup with processes passes no controllers on; the one above our own holds
            // none, and in a delegated tree it is ours as well.
            if hierarchy.v2
                && let Some((above, _)) = hierarchy.own.trim_end_matches('/').rsplit_once('/')
            {
                parents.push(hierarchy.directory(above));
            }
            parents
        }
    }
}
