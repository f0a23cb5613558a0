//! Ids of a new user namespace: which map, and who writes it.

mod caller;
mod maps;
mod ranges;

use nix::sched::CloneFlags;

pub(super) use caller::Caller;
pub(super) use maps::{MapHelper, MapLines, idmap_namespace, start_map_helper, write_maps};
pub(super) use ranges::Ranges;

use super::request::{IdMappingSource, LaunchRequest, SeccompSource};
use crate::diagnose::obstacles;
use crate::error::{Error, ErrorCode, Result};
use crate::rootfs::subids;
use crate::spec::{IdMapping, NamespaceKind};

/// Who makes the container's ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum IdPlan {
    /// No new user namespace.
    Host,
    /// An existing user namespace, joined by path.
    Joined,
    /// The child maps its one id itself: nobody's privilege is needed.
    Own,
    /// The parent writes any map.
    Parent(MapLines),
    /// `newuidmap` and `newgidmap` write subordinate ranges.
    Helper(MapLines),
}

impl IdPlan {
    /// The map, where it is known beforehand and more than one id.
    pub(super) fn lines(&self) -> Option<&MapLines> {
        match self {
            Self::Host | Self::Joined | Self::Own => None,
            Self::Parent(lines) | Self::Helper(lines) => Some(lines),
        }
    }
}

/// The ids of a container, with the range that is to be given back.
///
/// # Errors
/// `UserNamespace` where a container without a user namespace needs root, `IdMapping`.
pub(super) fn choose(
    caller: &Caller,
    request: &LaunchRequest,
    ranges: &mut Ranges,
) -> Result<(Option<u32>, IdPlan)> {
    if let Some(joined) = &request.runtime.join {
        let mapped = joined.namespaces.contains(CloneFlags::CLONE_NEWUSER);
        return Ok((None, if mapped { IdPlan::Joined } else { IdPlan::Host }));
    }
    let linux = request.spec.linux.as_ref();
    let user_namespace = linux.and_then(|linux| {
        linux.namespaces.iter().find(|namespace| namespace.kind == NamespaceKind::User)
    });
    if user_namespace.is_none() {
        if caller.euid != 0 {
            return Err(Error::new(
                ErrorCode::UserNamespace,
                "start container",
                "without a user namespace",
            )
            .hint("only root can; leave `--userns=host` out"));
        }
        return Ok((None, IdPlan::Host));
    }
    if user_namespace.is_some_and(|namespace| namespace.path.is_some()) {
        return Ok((None, IdPlan::Joined));
    }
    match request.id_mapping {
        IdMappingSource::Spec => {
            let lines = MapLines {
                uids: linux.map(|linux| linux.uid_mappings.clone()).unwrap_or_default(),
                gids: linux.map(|linux| linux.gid_mappings.clone()).unwrap_or_default(),
            };
            if lines.uids.is_empty() || lines.gids.is_empty() {
                return Err(Error::invalid(
                    "find",
                    "`linux.uidMappings` and `gidMappings` in the spec",
                ));
            }
            if caller.euid != 0 && is_own(caller, request, &lines) {
                return Ok((None, IdPlan::Own));
            }
            Ok((None, if caller.euid == 0 { IdPlan::Parent(lines) } else { IdPlan::Helper(lines) }))
        }
        IdMappingSource::Auto if caller.privileged => {
            let (block, lines) = ranges.take()?;
            Ok((Some(block), IdPlan::Parent(lines)))
        }
        IdMappingSource::Subordinate if caller.privileged => {
            let (block, lines) = ranges.take()?;
            Ok((Some(block), IdPlan::Parent(lines)))
        }
        // One mapped id has no other groups.
        IdMappingSource::Auto if !request.groups.is_empty() => {
            let plan = subordinate_plan(caller).map_err(|error| {
                Error::new(ErrorCode::IdMapping, "add", format!("group `{}`", request.groups[0]))
                    .hint(format!("groups need ids besides the caller's own; {error}"))
            })?;
            Ok((None, plan))
        }
        IdMappingSource::Auto => Ok((None, IdPlan::Own)),
        IdMappingSource::Subordinate => Ok((None, subordinate_plan(caller)?)),
    }
}

/// Whether a map has the caller's own ids alone, as the process's: nobody's privilege is needed then.
fn is_own(caller: &Caller, request: &LaunchRequest, lines: &MapLines) -> bool {
    let user = request.spec.process.as_ref().map(|process| &process.user);
    let one = |lines: &[IdMapping], container_id, host_id| {
        *lines == [IdMapping { container_id, host_id, size: 1 }]
    };
    user.is_some_and(|user| {
        user.additional_gids.is_empty()
            && one(&lines.uids, user.uid, caller.euid)
            && one(&lines.gids, user.gid, caller.egid)
    })
}

/// Ids besides the caller's own, for a caller who isn't root of the machine.
fn subordinate_plan(caller: &Caller) -> Result<IdPlan> {
    match &caller.namespace_ids {
        // Root of a container may hand on what the container has: no file and no helper is needed.
        Some(lines) => Ok(IdPlan::Parent(lines.clone())),
        None => Ok(IdPlan::Helper(subordinate(caller)?)),
    }
}

/// Refuses to nest containers in one whose ids include the machine's root: to that id the kernel's
/// parameters in its /proc, which nothing masks, would be writable.
///
/// # Errors
/// `InvalidArgument`.
pub(super) fn refuse_nesting_as_root(
    caller: &Caller,
    request: &LaunchRequest,
    plan: &IdPlan,
) -> Result<()> {
    if request.seccomp != SeccompSource::Nesting {
        return Ok(());
    }
    use std::os::unix::fs::MetadataExt;
    // Shown as this user namespace has it; the overflow id where it has it not.
    let owner = std::fs::metadata("/proc/sys/kernel").map(|meta| meta.uid());
    let root = owner.unwrap_or(0);
    let includes_root = match plan {
        IdPlan::Host | IdPlan::Joined => true,
        IdPlan::Own => caller.euid == root,
        IdPlan::Parent(lines) | IdPlan::Helper(lines) => {
            root != OVERFLOW_ID
                && lines.uids.iter().any(|line| {
                    root >= line.host_id && u64::from(root - line.host_id) < u64::from(line.size)
                })
        }
    };
    if !includes_root {
        return Ok(());
    }
    Err(Error::invalid("nest containers in", "one whose ids include this machine's root").hint(
        "leave `--userns=host`, and maps with the host's id 0, out; as root without CAP_SYS_ADMIN, run minictr as another user",
    ))
}

/// What an id without a mapping is shown as, `kernel.overflowuid`.
const OVERFLOW_ID: u32 = 65_534;

/// The caller as root, then its subordinate ids.
fn subordinate(caller: &Caller) -> Result<MapLines> {
    let (uids, gids) = subids::subordinate_ranges(caller.euid);
    let map = |own: u32, ranges: &[subids::Range]| {
        let mut lines = vec![IdMapping { container_id: 0, host_id: own, size: 1 }];
        let mut next = 1u32;
        for range in ranges {
            let size = range.count.min(u32::MAX - next);
            lines.push(IdMapping { container_id: next, host_id: range.start, size });
            next += size;
        }
        lines
    };
    if uids.is_empty() || gids.is_empty() {
        return Err(Error::new(
            ErrorCode::IdMapping,
            "find subordinate ids of",
            format!("user {}", caller.euid),
        )
        .hint(obstacles::subordinate_ids(caller.euid)));
    }
    Ok(MapLines { uids: map(caller.euid, &uids), gids: map(caller.egid, &gids) })
}
