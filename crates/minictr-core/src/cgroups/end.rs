//! The end of a cgroup: what is in it is killed, then it is removed with all below it.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{Signal, kill as send_signal};
use nix::unistd::{Pid, UnlinkatFlags, unlinkat};

use super::hierarchies::Hierarchies;
use super::member::Member;
use super::{files, v1, v2};
use crate::error::{Context, Error, ErrorCode, Result};
use crate::rootfs::paths;
use crate::sys::features::{self, Interface};

/// How long processes may take to be gone after SIGKILL, and a cgroup to be free after them.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(1);
/// How deep a container may nest cgroups for us to follow.
const MAX_DEPTH: usize = 64;

/// SIGKILL for everything in a cgroup and below, until nothing is left. `sent` is called after each
/// round of signals.
pub(super) fn kill(directory: BorrowedFd<'_>, name: &str, sent: impl Fn()) -> Result<()> {
    let begun = Instant::now();
    loop {
        let found = processes(directory);
        if found.is_empty() {
            return Ok(());
        }
        // v2 since Linux 5.14: all at once, forks included.
        let at_once = features::has(Interface::CgroupKill)
            && files::write(directory, "cgroup.kill", "1").is_ok();
        if !at_once {
            for pid in found {
                // ESRCH: it has just ended.
                let _ = send_signal(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        sent();
        if begun.elapsed() > PATIENCE {
            return Err(Error::new(
                ErrorCode::Cgroup,
                "kill everything in cgroup",
                format!("`{name}`"),
            )
            .errno(Errno::EBUSY));
        }
        std::thread::sleep(PAUSE);
    }
}

/// The processes in a cgroup and below; those of another pid namespace have no number here.
pub(super) fn processes(directory: BorrowedFd<'_>) -> Vec<i32> {
    let mut found = Vec::new();
    collect(directory, 0, &mut found);
    found
}

fn collect(directory: BorrowedFd<'_>, depth: usize, found: &mut Vec<i32>) {
    let text = match files::read(directory, "cgroup.procs") {
        // A threaded cgroup. Below the one that was asked for, the processes are known from there;
        // that one itself tells of its threads, by each of which a process can be signalled.
        Err(Errno::EOPNOTSUPP) if depth == 0 => files::read(directory, "cgroup.threads"),
        text => text,
    };
    let text = text.unwrap_or_default();
    found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0));
    if depth < MAX_DEPTH {
        for child in children(directory) {
            if let Ok(child) = open(directory, &child) {
                collect(child.as_fd(), depth + 1, found);
            }
        }
    }
}

/// Removes a member that isn't to be: what is in it goes back to the cgroup above, thawed.
pub(super) fn empty(member: &Member) -> Result<(), Errno> {
    let _ = if member.v2 { v2::freezer::thaw(member.fd()) } else { v1::freezer::thaw(member.fd()) };
    let above = files::open(member.parent.as_fd(), "cgroup.procs", OFlag::O_WRONLY)?;
    for pid in processes(member.fd()) {
        let _ = files::put(above.as_fd(), pid);
    }
    remove(member.parent.as_fd(), &member.name)
}

pub(super) fn open(parent: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    paths::open_entry(parent, &name, libc::O_RDONLY | libc::O_DIRECTORY)
}

/// Cgroups directly below one.
fn children(directory: BorrowedFd<'_>) -> Vec<String> {
    let Ok(listing) = open(directory, ".") else { return Vec::new() };
    let Ok(mut listing) = nix::dir::Dir::from_fd(listing) else { return Vec::new() };
    listing
        .iter()
        .flatten()
        .filter(|entry| entry.file_type() == Some(nix::dir::Type::Directory))
        .filter_map(|entry| entry.file_name().to_str().ok().map(str::to_owned))
        .filter(|name| name != "." && name != "..")
        .collect()
}

/// Removes a cgroup and all below it. The kernel may say EBUSY for a moment after the last process
/// has gone.
pub(super) fn remove(parent: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
    let begun = Instant::now();
    loop {
        match unlinkat(parent, name, UnlinkatFlags::RemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => return Ok(()),
            Err(Errno::EBUSY | Errno::ENOTEMPTY) if begun.elapsed() < PATIENCE => {}
            Err(errno) => return Err(errno),
        }
        if let Ok(directory) = open(parent, name) {
            remove_children(directory.as_fd(), 0);
        }
        std::thread::sleep(PAUSE);
    }
}

fn remove_children(directory: BorrowedFd<'_>, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    for child in children(directory) {
        if let Ok(below) = open(directory, &child) {
            remove_children(below.as_fd(), depth + 1);
        }
        // What is busy is tried again by the caller.
        let _ = unlinkat(directory, child.as_str(), UnlinkatFlags::RemoveDir);
    }
}

/// Clears cgroups that a process which is gone has left behind: kills what is in them, paused or not,
/// and removes them.
///
/// # Errors
/// `Cgroup` where one can't be removed.
pub fn remove_leftover(hierarchies: &Hierarchies, paths: &[String]) -> Result<()> {
    // From a file that this user could have written: only what is below a hierarchy, by a name.
    let below = paths
        .iter()
        .filter_map(|path| hierarchies.found.iter().find_map(|hierarchy| hierarchy.split(path)));
    let mut found: Vec<(OwnedFd, &str, OwnedFd)> = Vec::new();
    for (parent, name) in below {
        let Ok(path) = CString::new(parent) else { continue };
        let parent = match paths::open_path(&path, libc::O_RDONLY | libc::O_DIRECTORY) {
            Ok(parent) => parent,
            Err(Errno::ENOENT) => continue,
            Err(errno) => {
                return Err(errno).context(
                    ErrorCode::Cgroup,
                    "open cgroup above",
                    format!("`{parent}/{name}`"),
                );
            }
        };
        if let Ok(directory) = open(parent.as_fd(), name) {
            found.push((parent, name, directory));
        }
    }
    let let_die = || {
        for (_, _, directory) in &found {
            // A freezer of v1 holds processes that are to die; other cgroups have no such file.
            let _ = v1::freezer::thaw(directory.as_fd());
        }
    };
    for (parent, name, directory) in &found {
        kill(directory.as_fd(), name, let_die)?;
        remove(parent.as_fd(), name).context(
            ErrorCode::Cgroup,
            "remove cgroup",
            format!("`{name}`"),
        )?;
    }
    Ok(())
}
