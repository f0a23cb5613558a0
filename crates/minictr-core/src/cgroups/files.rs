//! Reading control files, relative to a directory's descriptor. Limits are written by `changes`.

use std::os::fd::{BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use crate::sys;

/// Opens a control file.
pub(super) fn open(directory: BorrowedFd<'_>, name: &str, flags: OFlag) -> Result<OwnedFd, Errno> {
    openat(directory, name, flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW, Mode::empty())
}

/// Whether a control file is there.
pub(super) fn exists(directory: BorrowedFd<'_>, name: &str) -> bool {
    open(directory, name, OFlag::O_PATH).is_ok()
}

/// The whole of a control file.
pub(super) fn read(directory: BorrowedFd<'_>, name: &str) -> Result<String, Errno> {
    let file = open(directory, name, OFlag::O_RDONLY)?;
    Ok(String::from_utf8_lossy(&sys::files::read_whole(&file)?).into_owned())
}

/// A control file that holds one number; `None` where it isn't there or says `max`.
pub(super) fn number(directory: BorrowedFd<'_>, name: &str) -> Option<u64> {
    read(directory, name).ok()?.trim().parse().ok()
}

/// The number after `key` in a control file of `key value` lines.
pub(super) fn keyed(directory: BorrowedFd<'_>, name: &str, key: &str) -> Option<u64> {
    value_of(&read(directory, name).ok()?, key)
}

/// The number after `key` in `key value` lines.
pub(super) fn value_of(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
        .and_then(|value| value.trim().parse().ok())
}

/// All of `key value` lines.
pub(super) fn values(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (key, value) = line.split_once(' ')?;
        Some((key, value.trim().parse().ok()?))
    })
}

/// Writes a control file in one call.
pub(super) fn write(directory: BorrowedFd<'_>, name: &str, value: &str) -> Result<(), Errno> {
    let file = open(directory, name, OFlag::O_WRONLY)?;
    nix::unistd::write(&file, value.as_bytes()).map(drop)
}

/// Puts a process into the cgroup whose `cgroup.procs` is open.
pub(super) fn put(procs: BorrowedFd<'_>, pid: i32) -> Result<(), Errno> {
    nix::unistd::write(procs, pid.to_string().as_bytes()).map(drop)
}

/// A directory that stands for a cgroup in tests of what is read from one.
#[cfg(test)]
pub(super) mod fake {
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicU32, Ordering};

    pub(in crate::cgroups) struct Fake {
        pub(in crate::cgroups) path: PathBuf,
        directory: OwnedFd,
    }

    impl Fake {
        pub(in crate::cgroups) fn new(files: &[(&str, &str)]) -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("minictr-cgroup-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir(&path).unwrap();
            let directory = std::fs::File::open(&path).unwrap().into();
            for (name, text) in files {
                std::fs::write(path.join(name), text).unwrap();
            }
            Self { path, directory }
        }

        pub(in crate::cgroups) fn fd(&self) -> BorrowedFd<'_> {
            self.directory.as_fd()
        }

        pub(in crate::cgroups) fn text(&self, name: &str) -> String {
            std::fs::read_to_string(self.path.join(name)).unwrap()
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::fake::Fake;
    use super::*;

    #[test]
    fn a_file_of_many_pages_is_read_whole() {
        let text: String = (0..5000).map(|pid| format!("{pid}\n")).collect();
        let fake = Fake::new(&[("cgroup.procs", &text)]);
        assert_eq!(read(fake.fd(), "cgroup.procs").unwrap(), text);
    }
}
