//! What this process may do about ids.

use nix::unistd::{getegid, geteuid};

use super::MapLines;
use crate::namespaces;
use crate::spec::IdMapping;
use crate::sys::files::read_text;
use crate::sys::process::status_set;

/// What this process is, found once.
#[derive(Debug)]
pub(in crate::spawn) struct Caller {
    pub(in crate::spawn) euid: u32,
    pub(in crate::spawn) egid: u32,
    /// In the user namespace that the machine began with: elsewhere no device node can be made.
    pub(in crate::spawn) initial_namespace: bool,
    /// Root of the machine: may write any map, idmap mounts, make device nodes.
    pub(in crate::spawn) privileged: bool,
    /// Capabilities that it can hand on: permitted and not bounded, one bit each.
    pub(in crate::spawn) capabilities: u64,
    /// For root of a container: every id that the container has.
    pub(in crate::spawn) namespace_ids: Option<MapLines>,
}

impl Caller {
    /// Looks at this process.
    pub(in crate::spawn) fn detect() -> Self {
        let euid = geteuid().as_raw();
        let initial_namespace = namespaces::is_initial_user_namespace();
        let privileged = euid == 0 && initial_namespace && set("CapEff:") & CAP_SYS_ADMIN != 0;
        let capabilities = set("CapPrm:") & set("CapBnd:");
        let egid = getegid().as_raw();
        let may_map = set("CapEff:") & MAY_MAP == MAY_MAP;
        let namespace_ids = (euid == 0 && egid == 0 && !initial_namespace && may_map)
            .then(|| MapLines { uids: own_ids("uid_map"), gids: own_ids("gid_map") })
            .filter(|lines| [&lines.uids, &lines.gids].iter().all(|map| has_several(map)));
        Self { euid, egid, initial_namespace, privileged, capabilities, namespace_ids }
    }
}

const CAP_SYS_ADMIN: u64 = 1 << 21;
/// CAP_SETGID, CAP_SETUID, CAP_SETFCAP: what mapping other ids takes, and mapping root.
const MAY_MAP: u64 = 1 << 6 | 1 << 7 | 1 << 31;

/// The ids of this user namespace, each mapped to itself.
fn own_ids(file: &str) -> Vec<IdMapping> {
    let text = read_text(&format!("/proc/self/{file}")).unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split_ascii_whitespace().map(str::parse);
            let (Some(Ok(id)), Some(Ok(_)), Some(Ok(size))) =
                (fields.next(), fields.next() as Option<Result<u32, _>>, fields.next())
            else {
                return None;
            };
            Some(IdMapping { container_id: id, host_id: id, size })
        })
        .collect()
}

fn has_several(map: &[IdMapping]) -> bool {
    map.iter().map(|line| u64::from(line.size)).sum::<u64>() > 1
}

fn set(name: &str) -> u64 {
    status_set(name).unwrap_or(0)
}
