//! Which controllers a container needs, and where its cgroup belongs.

use nix::errno::Errno;

use super::detect::Hierarchy;
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
}

impl Controller {
    /// Its name in `/proc/self/cgroup` and `cgroup.controllers`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Pids => "pids",
            Self::Cpu => "cpu",
            Self::CpuAccounting => "cpuacct",
            Self::Cpuset => "cpuset",
            Self::Devices => "devices",
        }
    }

    /// Whether every v2 cgroup has it, enabled or not: CPU time is always accounted.
    pub(super) fn v2_without_controller(self) -> bool {
        self == Self::CpuAccounting
    }
}

/// What is wanted of a container's cgroup.
#[derive(Debug)]
pub struct CgroupSpec<'a> {
    name: String,
    parent: Option<&'a str>,
    resources: Option<&'a Resources>,
    default_pids: Option<i64>,
    device_rules: bool,
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
            resources,
            default_pids: request.cgroup.default_pids,
            device_rules: host_ids && resources.is_some_and(|r| !r.devices.is_empty()),
            wanted: request.cgroup.mode != CgroupMode::None,
        }
    }

    /// The cgroup's own name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the container is to have a list of devices: without a user namespace, where one says.
    #[must_use]
    pub fn lists_devices(&self) -> bool {
        self.device_rules
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

    /// Whether the container can't be what was asked for without this controller.
    pub(super) fn asks_for(&self, controller: Controller) -> bool {
        let Some(resources) = self.resources else { return false };
        let cpu = resources.cpu.as_ref();
        match controller {
            Controller::Memory => {
                resources.memory.as_ref().is_some_and(|memory| *memory != Default::default())
            }
            Controller::Pids => resources
                .pids
                .as_ref()
                .is_some_and(|pids| pids.limit.is_some_and(|limit| limit >= 0)),
            Controller::Cpu => cpu.is_some_and(|cpu| {
                cpu.shares.is_some()
                    || cpu.quota.is_some()
                    || cpu.period.is_some()
                    || cpu.burst.is_some()
                    || cpu.idle.is_some()
                    || cpu.realtime_period.is_some()
                    || cpu.realtime_runtime.is_some()
            }),
            Controller::Cpuset => cpu.is_some_and(|cpu| cpu.cpus.is_some() || cpu.mems.is_some()),
            Controller::CpuAccounting => false,
            Controller::Devices => self.device_rules,
        }
    }

    /// The controllers to use, each with whether it was asked for.
    pub(super) fn controllers(&self) -> Vec<(Controller, bool)> {
        if !self.wanted {
            return Vec::new();
        }
        [
            (Controller::Pids, true),
            (Controller::CpuAccounting, true),
            (Controller::Cpu, false),
            (Controller::Cpuset, false),
            (Controller::Devices, false),
            (Controller::Memory, true),
        ]
        .into_iter()
        .map(|(controller, always)| (controller, always, self.asks_for(controller)))
        .filter(|(_, always, asked)| *always || *asked)
        // Where there is no list, the right to make devices is taken away instead.
        .map(|(controller, _, asked)| (controller, asked && controller != Controller::Devices))
        .collect()
    }

    /// Refuses limits where no cgroup is to be made.
    ///
    /// # Errors
    /// `CgroupUnavailable` with the first limit that was asked for.
    pub fn refuse_limits(&self) -> Result<()> {
        let all = [Controller::Memory, Controller::Cpu, Controller::Cpuset, Controller::Pids];
        match all.into_iter().find(|controller| self.asks_for(*controller)) {
            Some(controller) => Err(unavailable(controller, None)),
            None => Ok(()),
        }
    }
}

/// The error for a limit that needs a cgroup which can't be had.
pub(super) fn unavailable(controller: Controller, errno: Option<Errno>) -> Error {
    let what = match controller {
        Controller::Memory => "limit memory:",
        Controller::Pids => "limit processes:",
        Controller::Cpu | Controller::CpuAccounting => "limit CPU time:",
        Controller::Cpuset => "choose CPUs:",
        Controller::Devices => "restrict devices:",
    };
    let object = format!("no cgroup with the `{}` controller can be made here", controller.name());
    let error = Error::new(ErrorCode::CgroupUnavailable, what, object);
    let error = match errno {
        Some(errno) => error.errno(errno),
        None => error,
    };
    error.hint(
        "this user may not make cgroups: run as root, or in a delegated cgroup, such as `systemd-run --user --scope -p Delegate=yes …` gives on a machine with cgroup v2",
    )
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
                && !above.is_empty()
            {
                parents.push(hierarchy.directory(above));
            }
            parents
        }
    }
}
