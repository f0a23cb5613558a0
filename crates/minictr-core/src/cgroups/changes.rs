//! What is to be written into the control files of one cgroup: compiled first, written after, and
//! taken back where a later write is refused.

use std::borrow::Cow;
use std::os::fd::{BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::files;
use crate::error::{Error, ErrorCode, Result};

/// Writes to the files of one cgroup, in their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes(Vec<Change>);

#[derive(Debug, PartialEq, Eq)]
struct Change {
    file: Cow<'static, str>,
    value: String,
    undo: Undo,
    /// A kernel without the file has what is asked for.
    optional: bool,
    /// What another change of the list may have to make room for: tried again after all.
    again: bool,
}

/// How a write is taken back.
#[derive(Debug, PartialEq, Eq)]
enum Undo {
    /// With what the file held.
    Text,
    /// The file holds a line for each key: with the line of this one, else with the last text.
    Line { key: String, absent: String },
    /// With this write to another file.
    Write(Cow<'static, str>, String),
}

/// What takes writes back, first to last.
#[derive(Debug, Default)]
pub(super) struct Undone<'cgroup>(Vec<(BorrowedFd<'cgroup>, Cow<'static, str>, String)>);

impl Changes {
    fn push(&mut self, file: Cow<'static, str>, value: String, undo: Undo) -> &mut Change {
        self.0.push(Change { file, value, undo, optional: false, again: false });
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    /// A file that holds one value.
    pub(super) fn set(&mut self, file: impl Into<Cow<'static, str>>, value: impl ToString) {
        self.push(file.into(), value.to_string(), Undo::Text);
    }

    /// As [`Changes::set`], where a kernel without the file does as asked anyway.
    pub(super) fn set_if_there(
        &mut self,
        file: impl Into<Cow<'static, str>>,
        value: impl ToString,
    ) {
        self.push(file.into(), value.to_string(), Undo::Text).optional = true;
    }

    /// As [`Changes::set`], tried again after all others where the kernel finds that it doesn't fit
    /// what is there.
    pub(super) fn set_or_later(
        &mut self,
        file: impl Into<Cow<'static, str>>,
        value: impl ToString,
    ) {
        self.push(file.into(), value.to_string(), Undo::Text).again = true;
    }

    /// The line of `key` in a file that has one for each; `absent` is what to write where it had
    /// none.
    pub(super) fn set_line(
        &mut self,
        file: impl Into<Cow<'static, str>>,
        key: &str,
        value: impl ToString,
        absent: &str,
    ) {
        let undo = Undo::Line { key: key.to_owned(), absent: format!("{key} {absent}") };
        self.push(file.into(), format!("{key} {}", value.to_string()), undo);
    }

    /// The value for all keys that have no line in a file that has one for some.
    pub(super) fn set_default(&mut self, file: impl Into<Cow<'static, str>>, value: impl ToString) {
        // Written bare, as kernels before 5.4 want it.
        let undo = Undo::Line { key: "default".to_owned(), absent: "default 100".to_owned() };
        self.push(file.into(), value.to_string(), undo);
    }

    /// As [`Changes::set`], where what the file shows can't be written back.
    pub(super) fn set_with_undo(
        &mut self,
        file: &'static str,
        value: impl ToString,
        undo: impl ToString,
    ) {
        let undo = Undo::Write(file.into(), undo.to_string());
        self.push(file.into(), value.to_string(), undo);
    }

    /// A write that another one takes back.
    pub(super) fn set_against(
        &mut self,
        file: &'static str,
        value: impl ToString,
        opposite: &'static str,
    ) {
        let value = value.to_string();
        self.push(file.into(), value.clone(), Undo::Write(opposite.into(), value));
    }

    /// Writes everything to a cgroup that nobody has used: a failure removes it.
    ///
    /// # Errors
    /// `Cgroup` with file and value.
    pub(super) fn write(&self, directory: BorrowedFd<'_>) -> Result<()> {
        let mut open = None;
        self.each(|change| change.write(directory, &mut open))
    }

    /// Writes everything, noting how to take it back.
    ///
    /// # Errors
    /// `Cgroup` with file and value; the writes before it stand, and are in `undone`.
    pub(super) fn write_undoable<'cgroup>(
        &self,
        directory: BorrowedFd<'cgroup>,
        undone: &mut Undone<'cgroup>,
    ) -> Result<()> {
        let mut open = None;
        self.each(|change| {
            let undo = change.undo(directory);
            change.write(directory, &mut open)?;
            undone.0.extend(undo.map(|(file, value)| (directory, file, value)));
            Ok(())
        })
    }

    fn each<'c>(&'c self, mut write: impl FnMut(&'c Change) -> Result<()>) -> Result<()> {
        let mut again = Vec::new();
        for change in &self.0 {
            match write(change) {
                Err(error) if change.again && error.errno == Some(libc::EINVAL) => {
                    again.push(change);
                }
                result => result?,
            }
        }
        again.into_iter().try_for_each(write)
    }

    /// What would be written, in order.
    #[cfg(test)]
    pub(super) fn listed(&self) -> Vec<(&str, &str)> {
        self.0.iter().map(|change| (change.file.as_ref(), change.value.as_str())).collect()
    }
}

/// The file that was written last: a list of devices is many writes to one.
type Open<'c> = Option<(&'c str, OwnedFd)>;

impl Change {
    fn write<'c>(&'c self, directory: BorrowedFd<'_>, last: &mut Open<'c>) -> Result<()> {
        let file = match last.take() {
            Some((name, file)) if name == self.file => Ok(file),
            _ => files::open(directory, &self.file, OFlag::O_WRONLY),
        };
        let written = file.and_then(|file| {
            let written = nix::unistd::write(&file, self.value.as_bytes());
            *last = Some((&self.file, file));
            written
        });
        match written {
            Ok(_) => Ok(()),
            Err(Errno::ENOENT) if self.optional => Ok(()),
            Err(errno) => Err(refused(directory, &self.file, &self.value, errno)),
        }
    }

    fn undo(&self, directory: BorrowedFd<'_>) -> Option<(Cow<'static, str>, String)> {
        let value = match &self.undo {
            Undo::Text => {
                let text = files::read(directory, &self.file).ok()?;
                // Nothing at all would not be written.
                if text.trim().is_empty() { "\n".to_owned() } else { text.trim().to_owned() }
            }
            Undo::Line { key, absent } => {
                let text = files::read(directory, &self.file).ok()?;
                let line = text.lines().find(|line| {
                    line.strip_prefix(key.as_str()).is_some_and(|rest| rest.starts_with(' '))
                });
                line.unwrap_or(absent).trim().to_owned()
            }
            Undo::Write(file, value) => return Some((file.clone(), value.clone())),
        };
        Some((self.file.clone(), value))
    }
}

impl Undone<'_> {
    /// Takes everything back, last first.
    pub(super) fn take_back(self) {
        for (directory, file, value) in self.0.into_iter().rev() {
            // The failure that led here is the one to tell.
            let _ = files::write(directory, &file, &value);
        }
    }
}

/// Why the kernel didn't take a value.
fn refused(directory: BorrowedFd<'_>, file: &str, value: &str, errno: Errno) -> Error {
    let mut object = format!("`{file}` to `{}`", value.trim());
    let in_use = ["memory.current", "memory.usage_in_bytes"]
        .iter()
        .find_map(|usage| files::number(directory, usage))
        .filter(|_| errno == Errno::EBUSY && file.starts_with("memory."));
    if let Some(bytes) = in_use {
        object = format!("{object}: {bytes} bytes are in use");
    }
    let error = Error::new(ErrorCode::Cgroup, "set", object).errno(errno);
    match errno {
        Errno::EBUSY => error.hint("more than that is in use already"),
        Errno::EINVAL if file.starts_with("memory.") => error.hint(
            "memory can't be limited to more than memory and swap together: set both, or look at `man 7 cgroups` for the range",
        ),
        Errno::EINVAL | Errno::ERANGE => {
            error.hint("the kernel refuses the value: look at `man 7 cgroups` for its range, and at the limits of the cgroups above")
        }
        Errno::ENODEV | Errno::ENXIO => error.hint(
            "there is no such device, or it is a partition: limits are those of a whole disk, as `lsblk -d` lists them",
        ),
        Errno::ENOENT => {
            error.hint("this kernel doesn't have that limit (swap accounting may be off)")
        }
        Errno::EOPNOTSUPP if file.contains("weight") => error.hint(
            "the disk's scheduler gives no weights: see `/sys/block/DISK/queue/scheduler`, where `bfq` does",
        ),
        Errno::EOPNOTSUPP => error.hint("this kernel has given up that limit"),
        Errno::EACCES | Errno::EPERM => error
            .hint("this user may not write that limit; ask for delegation of the controller"),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::fake::Fake;
    use super::*;

    #[test]
    fn what_was_written_is_taken_back_last_first() {
        let fake = Fake::new(&[
            ("pids.max", "max\n"),
            ("io.max", "8:0 rbps=1 wbps=max\n"),
            ("cpuset.cpus", "\n"),
        ]);
        let mut changes = Changes::default();
        changes.set("pids.max", 20);
        changes.set_line("io.max", "8:0", "rbps=99", "rbps=max");
        changes.set("cpuset.cpus", "0");
        changes.set("cpu.max", "10 10");
        let mut undone = Undone::default();
        let error = changes.write_undoable(fake.fd(), &mut undone).unwrap_err();
        assert_eq!(error.message(), "set `cpu.max` to `10 10`: No such file or directory (ENOENT)");
        let plan: Vec<_> = undone.0.iter().map(|(_, file, value)| (&**file, &**value)).collect();
        assert_eq!(
            plan,
            [("pids.max", "max"), ("io.max", "8:0 rbps=1 wbps=max"), ("cpuset.cpus", "\n")]
        );
        undone.take_back();
        assert_eq!(fake.text("pids.max").trim(), "max");
    }

    #[test]
    fn a_line_that_was_not_there_is_taken_back_by_its_default() {
        let fake = Fake::new(&[("io.max", "8:16 rbps=5\n")]);
        let mut changes = Changes::default();
        changes.set_line("io.max", "8:1", "rbps=99", "rbps=max");
        let mut undone = Undone::default();
        changes.write_undoable(fake.fd(), &mut undone).unwrap();
        assert_eq!(undone.0[0].2, "8:1 rbps=max");
    }

    #[test]
    fn a_file_that_needs_not_be_there_may_be_missing() {
        let fake = Fake::new(&[]);
        let mut changes = Changes::default();
        changes.set_if_there("memory.swap.max", "max");
        changes.write(fake.fd()).unwrap();
        changes.set("memory.max", "max");
        assert_eq!(changes.write(fake.fd()).unwrap_err().errno, Some(libc::ENOENT));
    }

    #[test]
    fn memory_below_what_is_in_use_is_said_to_be() {
        let fake = Fake::new(&[("memory.usage_in_bytes", "4096\n")]);
        let error = refused(fake.fd(), "memory.limit_in_bytes", "1024", Errno::EBUSY);
        assert!(error.message().contains("4096 bytes are in use"), "{error}");
    }
}
