//! The journal of attached containers: what is made is written down before it is made.
//!
//! Each process that owns containers has one file, named after its pid and start time, to which it
//! appends a line before a cgroup is made, once a child exists (which waits for that line), before a
//! running container gets further cgroups, and after all of it is gone. If the process and its caller
//! are killed at once, the next one of the same user reads the file, ends what is left and removes it.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::identity::{Identity, has_ended, start_time};
use crate::error::Result;
use crate::spawn::Ledger;
use crate::sys::process;

/// Past this size the file is emptied as soon as nothing is running.
const EMPTY_ABOVE_BYTES: u64 = 64 * 1024;

/// The open journal of this process.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    /// Its length.
    bytes: u64,
    running: usize,
    /// Lines about ends that found no room on the disk: the next line that does takes them along.
    owed: String,
}

/// What a process that is gone has left behind.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Leftover {
    /// Cgroups, as [`crate::cgroups::Cgroup::paths`] gave them.
    pub cgroups: Vec<String>,
    /// The first process, with what tells it from another of the same pid.
    pub process: Option<(i32, Identity)>,
}

impl Journal {
    /// Opens this process's journal below `directory`, which is made when missing.
    ///
    /// # Errors
    /// `Io` where it can't be written, `ResourceExhausted` on a full disk.
    pub fn open(directory: &Path) -> Result<Self> {
        let directory = directory.join("attached");
        super::ensure_private_directory(&directory)?;
        let pid = std::process::id();
        let started = start_time(pid as i32).unwrap_or(0);
        let path = directory.join(format!("{pid}-{started}"));
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(|error| {
                super::disk_error("open journal", format!("`{}`", path.display()), &error)
            })?;
        Ok(Self { file, path, bytes: 0, running: 0, owed: String::new() })
    }

    fn append(&mut self, line: &str) -> Result<()> {
        let text = format!("{}{line}", self.owed);
        if let Err(error) = self.file.write_all(text.as_bytes()) {
            // The part that found room would make one line with the next.
            let _ = self.file.set_len(self.bytes);
            let shown = format!("`{}`", self.path.display());
            return Err(super::disk_error("write journal", shown, &error));
        }
        self.owed.clear();
        self.bytes += text.len() as u64;
        Ok(())
    }
}

impl Ledger for Journal {
    fn begin(&mut self, launch: u64, cgroups: &[String]) -> Result<()> {
        self.append(&format!("+ {launch} {}\n", cgroups.join("\t")))?;
        self.running += 1;
        Ok(())
    }

    fn takes_more(&self) -> bool {
        true
    }

    fn more(&mut self, launch: u64, cgroups: &[String]) -> Result<()> {
        self.append(&format!("c {launch} {}\n", cgroups.join("\t")))
    }

    fn process(&mut self, launch: u64, pid: i32, pidfd: BorrowedFd<'_>) -> Result<()> {
        match Identity::of(pid, pidfd) {
            Some(identity) => self.append(&format!("p {launch} {pid} {}\n", identity.text())),
            None => Ok(()),
        }
    }

    fn end(&mut self, launch: u64) {
        self.running = self.running.saturating_sub(1);
        let line = format!("- {launch}\n");
        let written = self.append(&line).is_ok();
        if !written {
            self.owed.push_str(&line);
        }
        let worth_emptying = !written || self.bytes > EMPTY_ABOVE_BYTES;
        if self.running == 0 && worth_emptying && self.file.set_len(0).is_ok() {
            self.bytes = 0;
            self.owed.clear();
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if self.running == 0 {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// What processes that are gone have left behind, with the files to remove once it is cleared.
#[must_use]
pub fn leftovers(directory: &Path) -> Vec<(PathBuf, Vec<Leftover>)> {
    let uid = nix::unistd::geteuid().as_raw();
    let Ok(entries) = std::fs::read_dir(directory.join("attached")) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            let owner = name.to_str().and_then(|name| name.split_once('-'));
            let owner = owner.and_then(|(pid, started)| {
                Some((pid.parse::<i32>().ok()?, started.parse::<u64>().ok()?))
            });
            let ours = entry.metadata().is_ok_and(|found| found.is_file() && found.uid() == uid);
            ours && owner.is_some_and(|(pid, started)| start_time(pid) != Some(started))
        })
        .map(|entry| {
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            (entry.path(), parse(&text))
        })
        .collect()
}

fn parse(text: &str) -> Vec<Leftover> {
    let mut open: HashMap<&str, Leftover> = HashMap::new();
    let paths = |text: Option<&str>| -> Vec<String> {
        let paths = text.unwrap_or_default().split('\t');
        paths.filter(|path| !path.is_empty()).map(str::to_owned).collect()
    };
    // A last line without its newline was cut off by the kill: what it announced wasn't made yet.
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        let mut words = line.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("+"), Some(launch), cgroups) => {
                open.insert(launch, Leftover { cgroups: paths(cgroups), process: None });
            }
            (Some("c"), Some(launch), cgroups) => {
                if let Some(leftover) = open.get_mut(launch) {
                    leftover.cgroups.extend(paths(cgroups));
                }
            }
            (Some("p"), Some(launch), Some(process)) => {
                let process = process.split_once(' ').and_then(|(pid, identity)| {
                    Some((pid.parse().ok()?, Identity::parse(identity)?))
                });
                if let Some(leftover) = open.get_mut(launch) {
                    leftover.process = process;
                }
            }
            (Some("-"), Some(launch), _) => {
                open.remove(launch);
            }
            _ => {}
        }
    }
    open.into_values().collect()
}

/// Kills a leftover's first process, if it is still that process. The kernel ends the rest of its
/// pid namespace with it.
pub fn kill(leftover: &Leftover) {
    let Some((pid, identity)) = leftover.process else { return };
    if let Some(pidfd) = identity.find(pid) {
        let _ = process::pidfd_send_signal(pidfd.as_fd(), libc::SIGKILL);
        let _ = has_ended(pidfd.as_fd(), 1000);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_container_leaves_nothing_over() {
        assert_eq!(parse("+ 1 /a\np 1 42 t7\n- 1\n"), []);
    }

    #[test]
    fn an_unfinished_container_is_left_with_its_cgroups_and_process() {
        let expected = Leftover {
            cgroups: vec!["memory:/a".into(), "pids:/b c".into()],
            process: Some((42, Identity::Inode(99))),
        };
        assert_eq!(parse("+ 3 memory:/a\tpids:/b c\np 3 42 i99\n"), [expected]);
    }

    #[test]
    fn cgroups_that_come_later_are_left_too() {
        let expected = Leftover {
            cgroups: vec!["/a".into(), "/f".into(), "/g".into()],
            process: Some((42, Identity::Inode(99))),
        };
        assert_eq!(parse("+ 3 /a\np 3 42 i99\nc 3 /f\t/g\n"), [expected]);
    }

    #[test]
    fn a_line_cut_off_by_a_kill_is_not_read() {
        let leftovers = parse("+ 3 /a\np 3 42 i9");
        assert_eq!(leftovers.len(), 1);
        assert_eq!(leftovers[0].process, None);
    }

    #[test]
    fn a_process_is_told_from_a_later_one_with_its_pid() {
        let mut child = std::process::Command::new("sleep").arg("5").spawn().unwrap();
        let pid = child.id() as i32;
        let pidfd = process::pidfd_open(pid).unwrap();
        let identity = Identity::of(pid, pidfd.as_fd()).unwrap();
        let other = match identity {
            Identity::Inode(inode) => Identity::Inode(inode + 1),
            Identity::StartTime(ticks) => Identity::StartTime(ticks + 1),
        };
        kill(&Leftover { cgroups: Vec::new(), process: Some((pid, other)) });
        assert_eq!(child.try_wait().unwrap(), None, "another identity must not be killed");
        kill(&Leftover { cgroups: Vec::new(), process: Some((pid, identity)) });
        assert!(!child.wait().unwrap().success());
    }
}
