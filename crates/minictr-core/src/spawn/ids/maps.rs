//! The text of an id map, and the ways to write one: by the parent, or through `newuidmap`.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use crate::diagnose::obstacles;
use crate::error::{Context, Error, ErrorCode, NO_PROCESSES, Result};
use crate::spawn::hints;
use crate::spec::IdMapping;
use crate::sys::clone;

/// A map as `/proc/PID/uid_map` takes it, for users and groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::spawn) struct MapLines {
    pub(in crate::spawn) uids: Vec<IdMapping>,
    pub(in crate::spawn) gids: Vec<IdMapping>,
}

impl MapLines {
    /// The text of one of the two files.
    pub(in crate::spawn) fn text(lines: &[IdMapping]) -> String {
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
    pub(in crate::spawn) fn root(&self) -> (u32, u32) {
        let first = |lines: &[IdMapping]| {
            let root = lines.iter().find(|line| line.container_id == 0).or(lines.first());
            root.map_or(0, |line| line.host_id)
        };
        (first(&self.uids), first(&self.gids))
    }

    /// Whether the container has this user.
    pub(in crate::spawn) fn has_uid(&self, id: u32) -> bool {
        Self::contains(&self.uids, id)
    }

    /// Whether the container has this group.
    pub(in crate::spawn) fn has_gid(&self, id: u32) -> bool {
        Self::contains(&self.gids, id)
    }
}

/// Makes a user namespace with a map, for idmapped mounts to refer to, and returns its handle.
///
/// # Errors
/// `IdMapping` where the map can't be written, `UserNamespace` where none can be made.
pub(in crate::spawn) fn idmap_namespace(lines: &MapLines) -> Result<OwnedFd> {
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
pub(in crate::spawn) fn write_maps(pid: i32, lines: &MapLines) -> Result<()> {
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

/// `newuidmap`, then `newgidmap`, at work on a child's maps.
#[derive(Debug)]
pub(in crate::spawn) struct MapHelper {
    child: std::process::Child,
    pidfd: OwnedFd,
    pid: i32,
    lines: MapLines,
    groups: bool,
}

/// Starts the helpers that may write subordinate ids, `newuidmap(1)`.
pub(in crate::spawn) fn start_map_helper(pid: i32, lines: &MapLines) -> Result<MapHelper> {
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

    pub(in crate::spawn) fn pidfd(&self) -> &OwnedFd {
        &self.pidfd
    }

    /// Called once it has ended: the next helper, watched by `watch`, or none when both are done.
    pub(in crate::spawn) fn ended(
        self,
        watch: impl FnOnce(&OwnedFd) -> Result<()>,
    ) -> Result<Option<Self>> {
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
    pub(in crate::spawn) fn end(self) {
        end(self.child);
    }
}

fn end(mut child: std::process::Child) {
    let _ = child.kill();
    let _ = child.wait();
}
