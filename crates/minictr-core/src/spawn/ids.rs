//! Ids of a new user namespace: which map, and who writes it.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sched::CloneFlags;
use nix::unistd::{getegid, geteuid};

use super::hints;
use super::request::{IdMappingSource, LaunchRequest, SeccompSource};
use crate::diagnose::obstacles;
use crate::error::{Context, Error, ErrorCode, NO_PROCESSES, Result};
use crate::rootfs::subids::{self, IdPool};
use crate::spec::{IdMapping, NamespaceKind};
use crate::sys::clone;

/// How many ids a container gets as root.
pub(super) const RANGE_SIZE: u32 = 65_536;

/// A map as `/proc/PID/uid_map` takes it, for users and groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct MapLines {
    pub(super) uids: Vec<IdMapping>,
    pub(super) gids: Vec<IdMapping>,
}

impl MapLines {
    /// The text of one of the two files.
    pub(super) fn text(lines: &[IdMapping]) -> String {
        use std::fmt::Write as _;
        lines.iter().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "{} {} {}", line.container_id, line.host_id, line.size);
            text
        })
    }

    fn contains(lines: &[IdMapping], id: u32) -> bool {
        lines.iter().any(|line| {
            id >= line.container_id && u64::from(id - line.container_id) < u64::from(line.size)
        })
    }

    /// The host's ids of the container's root, or of the first user and group that it has.
    pub(super) fn root(&self) -> (u32, u32) {
        let first = |lines: &[IdMapping]| {
            let root = lines.iter().find(|line| line.container_id == 0).or(lines.first());
            root.map_or(0, |line| line.host_id)
        };
        (first(&self.uids), first(&self.gids))
    }

    /// Whether the container has this user.
    pub(super) fn has_uid(&self, id: u32) -> bool {
        Self::contains(&self.uids, id)
    }

    /// Whether the container has this group.
    pub(super) fn has_gid(&self, id: u32) -> bool {
        Self::contains(&self.gids, id)
    }
}

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

/// What this process is, found once.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) euid: u32,
    pub(super) egid: u32,
    /// Root of the machine: may write any map, idmap mounts, make device nodes.
    pub(super) privileged: bool,
    /// Capabilities that it can hand on: permitted and not bounded, one bit each.
    pub(super) capabilities: u64,
    /// For root of a container: every id that the container has.
    pub(super) namespace_ids: Option<MapLines>,
}

impl Caller {
    /// Looks at this process.
    pub(super) fn detect() -> Self {
        let euid = geteuid().as_raw();
        let initial_namespace = std::fs::read_to_string("/proc/self/uid_map")
            .is_ok_and(|map| map.split_ascii_whitespace().eq(["0", "0", "4294967295"]));
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let privileged =
            euid == 0 && initial_namespace && set(&status, "CapEff:") & CAP_SYS_ADMIN != 0;
        let capabilities = set(&status, "CapPrm:") & set(&status, "CapBnd:");
        let egid = getegid().as_raw();
        let may_map = set(&status, "CapEff:") & MAY_MAP == MAY_MAP;
        let namespace_ids = (euid == 0 && egid == 0 && !initial_namespace && may_map)
            .then(|| MapLines { uids: own_ids("uid_map"), gids: own_ids("gid_map") })
            .filter(|lines| [&lines.uids, &lines.gids].iter().all(|map| has_several(map)));
        Self { euid, egid, privileged, capabilities, namespace_ids }
    }
}

const CAP_SYS_ADMIN: u64 = 1 << 21;
/// CAP_SETGID, CAP_SETUID, CAP_SETFCAP: what mapping other ids takes, and mapping root.
const MAY_MAP: u64 = 1 << 6 | 1 << 7 | 1 << 31;

/// The ids of this user namespace, each mapped to itself.
fn own_ids(file: &str) -> Vec<IdMapping> {
    let text = std::fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
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

/// A capability set of `/proc/PID/status`, `proc_pid_status(5)`.
fn set(status: &str, name: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|value| u64::from_str_radix(value.trim(), 16).ok())
        .unwrap_or(0)
}

/// The ranges that containers of this process use, one each while free ones remain.
///
/// A range is reserved against other processes of ours by a lock on one byte of a file that only
/// root can open: the kernel frees it with the process, so nothing is left to tidy. (An abstract
/// socket's name would do that too, but any user of the machine could take all the names.)
#[derive(Debug, Default)]
pub(super) struct Ranges {
    pool: Option<(IdPool, File)>,
    held: Vec<HeldRange>,
}

#[derive(Debug)]
struct HeldRange {
    block: u32,
    users: u32,
}

impl Ranges {
    /// A range for one container. Shared with another container only once none is free.
    pub(super) fn take(&mut self) -> Result<(u32, MapLines)> {
        let (pool, locks) = match &mut self.pool {
            Some(found) => found,
            None => self.pool.insert((subids::root_pool()?, open_locks()?)),
        };
        let block = match self.held.iter_mut().find(|held| held.users == 0) {
            Some(held) => {
                held.users = 1;
                held.block
            }
            None => match reserve(pool, locks, &self.held) {
                Some(block) => {
                    self.held.push(HeldRange { block, users: 1 });
                    block
                }
                None => {
                    let shared = self.held.iter_mut().min_by_key(|held| held.users);
                    let shared = shared.ok_or_else(|| {
                        Error::new(ErrorCode::IdMapping, "reserve an id range for", "the container")
                            .hint("every range is used by other minictr processes; add more subordinate ids for `root` to /etc/subuid and /etc/subgid")
                    })?;
                    shared.users += 1;
                    shared.block
                }
            },
        };
        let (uid, gid) = pool.block(block);
        let line = |host_id| vec![IdMapping { container_id: 0, host_id, size: RANGE_SIZE }];
        Ok((block, MapLines { uids: line(uid), gids: line(gid) }))
    }

    /// Gives a range back.
    pub(super) fn give_back(&mut self, block: u32) {
        if let Some(held) = self.held.iter_mut().find(|held| held.block == block) {
            held.users = held.users.saturating_sub(1);
        }
    }
}

/// The file whose bytes stand for user ids. It holds nothing and stays.
fn open_locks() -> Result<File> {
    let directory = crate::state::default_directory();
    crate::state::ensure_private_directory(&directory)?;
    let path = directory.join("ids");
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&path)
        .context(ErrorCode::IdMapping, "open", format!("`{}`", path.display()))
}

/// Locks the first free range, `fcntl(2)` (open file description locks).
fn reserve(pool: &IdPool, locks: &File, held: &[HeldRange]) -> Option<u32> {
    (0..pool.blocks()).filter(|block| held.iter().all(|held| held.block != *block)).find(|block| {
        let (uid, _) = pool.block(*block);
        let range = libc::flock {
            l_type: libc::F_WRLCK as i16,
            l_whence: libc::SEEK_SET as i16,
            l_start: i64::from(uid),
            l_len: 1,
            l_pid: 0,
        };
        fcntl(locks, FcntlArg::F_OFD_SETLK(&range)).is_ok()
    })
}

/// Makes a user namespace with a map, for idmapped mounts to refer to, and returns its handle.
///
/// # Errors
/// `IdMapping` where the map can't be written, `UserNamespace` where none can be made.
pub(super) fn idmap_namespace(lines: &MapLines) -> Result<OwnedFd> {
    let (reading, writing) = nix::unistd::pipe2(OFlag::O_CLOEXEC).context(
        ErrorCode::ResourceExhausted,
        "make pipe for",
        "a user namespace",
    )?;
    let (kept, copy) = (reading.as_fd(), writing.as_raw_fd());
    let child = clone::clone3(libc::CLONE_NEWUSER as u64, None, || {
        // Killed once the parent has its handle, and no longer there than the parent is: the pipe
        // ends with it. A death signal would come too late where the parent is killed before it is
        // set.
        let _ = nix::unistd::close(copy);
        while nix::unistd::read(kept, &mut [0]) == Err(Errno::EINTR) {}
    })
    .map_err(|errno| hints::clone_error(errno, "make user namespace for", "idmapped mounts"))?;
    drop(reading);
    let made = write_maps(child.pid, lines).and_then(|()| {
        let path = format!("/proc/{}/ns/user", child.pid);
        std::fs::File::open(&path).context(ErrorCode::IdMapping, "open", format!("`{path}`"))
    });
    // Not by the pipe's end: a process that was cloned meanwhile has a copy of `writing`.
    let _ = crate::sys::process::pidfd_send_signal(child.pidfd.as_fd(), libc::SIGKILL);
    let _ = crate::sys::process::reap_blocking(child.pidfd.as_fd());
    drop(writing);
    made.map(OwnedFd::from)
}

/// Writes the map of a child's user namespace, as its parent.
///
/// # Errors
/// `IdMapping` with the map's text.
pub(super) fn write_maps(pid: i32, lines: &MapLines) -> Result<()> {
    for (file, map) in [("uid_map", &lines.uids), ("gid_map", &lines.gids)] {
        let text = MapLines::text(map);
        let path = format!("/proc/{pid}/{file}");
        std::fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
            .context(
                ErrorCode::IdMapping,
                "write id map",
                format!("`{}`", text.trim_end().replace('\n', ", ")),
            )?;
    }
    Ok(())
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

/// `newuidmap`, then `newgidmap`, at work on a child's maps.
#[derive(Debug)]
pub(super) struct MapHelper {
    child: std::process::Child,
    pidfd: OwnedFd,
    pid: i32,
    lines: MapLines,
    groups: bool,
}

/// Starts the helpers that may write subordinate ids, `newuidmap(1)`.
pub(super) fn start_map_helper(pid: i32, lines: &MapLines) -> Result<MapHelper> {
    MapHelper::start(pid, lines.clone(), false)
}

impl MapHelper {
    fn start(pid: i32, lines: MapLines, groups: bool) -> Result<Self> {
        let (program, map) =
            if groups { ("newgidmap", &lines.gids) } else { ("newuidmap", &lines.uids) };
        let mut command = std::process::Command::new(program);
        command.arg(pid.to_string());
        for line in map {
            command.args([line.container_id, line.host_id, line.size].map(|id| id.to_string()));
        }
        command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
        command.stderr(std::process::Stdio::piped());
        let child = command
            .spawn()
            .context(ErrorCode::IdMapping, "run", format!("`{program}`"))
            .map_err(|error| match error.errno {
                Some(libc::ENOENT) => error.hint(obstacles::MAP_HELPER_MISSING),
                Some(libc::EAGAIN) => error.hint(NO_PROCESSES),
                _ => error,
            })?;
        match crate::sys::process::pidfd_open(child.id() as i32) {
            Ok(pidfd) => Ok(Self { child, pidfd, pid, lines, groups }),
            Err(errno) => {
                end(child);
                Err(errno).context(ErrorCode::ResourceExhausted, "watch", format!("`{program}`"))
            }
        }
    }

    pub(super) fn pidfd(&self) -> &OwnedFd {
        &self.pidfd
    }

    /// Called once it has ended: the next helper, watched by `watch`, or none when both are done.
    pub(super) fn ended(self, watch: impl FnOnce(&OwnedFd) -> Result<()>) -> Result<Option<Self>> {
        let (pid, lines, groups) = (self.pid, self.lines, self.groups);
        let program = if groups { "newgidmap" } else { "newuidmap" };
        let output = self.child.wait_with_output().context(
            ErrorCode::IdMapping,
            "wait for",
            format!("`{program}`"),
        )?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(Error::new(
                ErrorCode::IdMapping,
                "map subordinate ids:",
                said.trim().to_owned(),
            )
            .hint(obstacles::map_helper(program)));
        }
        if groups {
            return Ok(None);
        }
        let next = Self::start(pid, lines, true)?;
        watch(&next.pidfd)?;
        Ok(Some(next))
    }

    /// Ends it early.
    pub(super) fn end(self) {
        end(self.child);
    }
}

fn end(mut child: std::process::Child) {
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processes_reserve_different_ranges() {
        let path = std::env::temp_dir().join(format!("minictr-test-ids-{}", std::process::id()));
        let open = || File::create(&path).unwrap();
        let pool = subids::root_pool().unwrap();
        let (first, second) = (open(), open());
        assert_eq!(reserve(&pool, &first, &[]), Some(0));
        assert_eq!(reserve(&pool, &second, &[]), Some(1).filter(|block| *block < pool.blocks()));
        drop(first);
        assert_eq!(reserve(&pool, &second, &[HeldRange { block: 1, users: 1 }]), Some(0));
        std::fs::remove_file(path).unwrap();
    }
}
