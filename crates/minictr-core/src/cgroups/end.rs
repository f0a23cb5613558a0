//! The end of a cgroup: what is in it is killed, then it is removed with all below it.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill as send_signal};
use nix::unistd::{Pid, UnlinkatFlags, unlinkat};

use super::{Hierarchies, files};
use crate::error::{Context, Error, ErrorCode, Result};
use crate::rootfs::paths;

/// How long processes may take to be gone after SIGKILL, and a cgroup to be free after them.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(1);
/// How deep a container may nest cgroups for us to follow.
pub(super) const MAX_DEPTH: usize = 64;

/// SIGKILL for everything in a cgroup and below, until nothing is left.
pub(super) fn kill(directory: BorrowedFd<'_>, name: &str) -> Result<()> {
    // v2 since Linux 5.14: all at once, forks included.
    if files::write(directory, "cgroup.kill", "1").is_ok() {
        return Ok(());
    }
    let begun = Instant::now();
    while kill_round(directory, 0) > 0 {
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
    Ok(())
}

/// One signal for each process that is there now; returns how many there were.
fn kill_round(directory: BorrowedFd<'_>, depth: usize) -> usize {
    let processes = files::read(directory, "cgroup.procs").unwrap_or_default();
    let mut count = 0;
    for pid in processes.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 0)
    {
        count += 1;
        // ESRCH: it has just ended.
        let _ = send_signal(Pid::from_raw(pid), Signal::SIGKILL);
    }
    if depth < MAX_DEPTH {
        for child in children(directory) {
            if let Ok(child) = open(directory, &child) {
                count += kill_round(child.as_fd(), depth + 1);
            }
        }
    }
    count
}

pub(super) fn open(parent: BorrowedFd<'_>, name: &str) -> Result<std::os::fd::OwnedFd, Errno> {
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    paths::open_entry(parent, &name, libc::O_RDONLY | libc::O_DIRECTORY)
}

/// Cgroups directly below one.
pub(super) fn children(directory: BorrowedFd<'_>) -> Vec<String> {
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

/// Clears cgroups that a process which is gone has left behind: kills what is in them, removes them.
///
/// # Errors
/// `Cgroup` where one can't be removed.
pub fn remove_leftover(hierarchies: &Hierarchies, paths: &[String]) -> Result<()> {
    for path in paths {
        // From a file that this user could have written: only what is below a hierarchy, by a name.
        let below =
            hierarchies.found.iter().any(|h| path.starts_with(&format!("{}/", h.mount_point)));
        let Some((parent, name)) = path.rsplit_once('/') else { continue };
        if !below || name.is_empty() || path.split('/').any(|part| part == "..") {
            continue;
        }
        let Ok(parent) = CString::new(parent) else { continue };
        let parent =
            match crate::rootfs::paths::open_path(&parent, libc::O_RDONLY | libc::O_DIRECTORY) {
                Ok(parent) => parent,
                Err(Errno::ENOENT) => continue,
                Err(errno) => {
                    return Err(errno).context(ErrorCode::Cgroup, "open cgroup above", path);
                }
            };
        if let Ok(directory) = open(parent.as_fd(), name) {
            kill(directory.as_fd(), name)?;
        }
        remove(parent.as_fd(), name).context(
            ErrorCode::Cgroup,
            "remove cgroup",
            format!("`{path}`"),
        )?;
    }
    Ok(())
}
