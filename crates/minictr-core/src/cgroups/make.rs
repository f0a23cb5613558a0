//! Making a cgroup's directory, with what is above it.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, mkdirat};

use super::detect::Hierarchy;
use super::member::Member;
use super::plan::{Controller, V2_ALWAYS};
use super::{end, files, v1};
use crate::error::{Error, ErrorCode, Result};
use crate::rootfs::paths;
use crate::sys::features::{self, Interface};

/// Where a cgroup is to be, in one hierarchy.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) v2: bool,
    /// What a cgroup there can have.
    pub(super) offers: Vec<Controller>,
    pub(super) mount_point: String,
    /// Directories to make it in, best first.
    pub(super) parents: Vec<String>,
    pub(super) name: String,
    /// Whether the parents are made where they are missing.
    pub(super) make_parents: bool,
    /// Whether one that is there already is taken where nothing is in it.
    pub(super) take_empty: bool,
}

impl Place {
    pub(super) fn of(
        hierarchy: &Hierarchy,
        offers: Vec<Controller>,
        parents: Vec<String>,
        name: &str,
        make_parents: bool,
    ) -> Self {
        Self {
            v2: hierarchy.v2,
            offers,
            mount_point: hierarchy.mount_point.clone(),
            parents,
            name: name.to_owned(),
            make_parents,
            take_empty: false,
        }
    }

    /// Where it may come to be.
    pub(super) fn paths(&self) -> impl Iterator<Item = String> {
        self.parents.iter().map(|parent| format!("{}/{}", parent.trim_end_matches('/'), self.name))
    }

    /// Makes the directory. `needed` are the controllers that it takes, each with whether there is
    /// no point without it.
    ///
    /// # Errors
    /// `CgroupUnavailable` where it can't be made, `AlreadyExists` for a name that is taken.
    pub(super) fn make(&self, needed: &[(Controller, bool)]) -> Result<Member> {
        let mut last = None;
        for parent in &self.parents {
            match self.make_below(parent, needed) {
                Ok((member, made)) if is_frozen(&member) => {
                    if made {
                        let _ = end::remove(member.parent.as_fd(), &self.name);
                    }
                    // In runc's words. Whatever is put there stands still before it has done anything.
                    let object =
                        format!("`{parent}/{}`: container's cgroup unexpectedly frozen", self.name);
                    return Err(Error::new(ErrorCode::WrongState, "use cgroup", object)
                        .hint("let it, or the one above that is frozen, go on first"));
                }
                Ok((member, _)) => return Ok(member),
                Err(Errno::EEXIST) => {
                    let inside = open(parent)
                        .and_then(|parent| self.open_below(parent))
                        .map_or(0, |member| end::processes(member.fd()).len());
                    let path = format!("`{parent}/{}`", self.name);
                    let object = match inside {
                        0 => path,
                        // In runc's words.
                        _ => format!(
                            "{path}: container's cgroup is not empty: {inside} process(es) found"
                        ),
                    };
                    return Err(Error::new(ErrorCode::AlreadyExists, "make cgroup", object)
                        .errno(Errno::EEXIST)
                        .hint("a container of that name is running"));
                }
                Err(errno) => last = Some((parent.as_str(), errno)),
            }
        }
        let (parent, errno) = last.unwrap_or(("", Errno::ENOENT));
        Err(Error::new(ErrorCode::CgroupUnavailable, "make cgroup in", format!("`{parent}`"))
            .errno(errno))
    }

    /// The cgroup, and whether it wasn't there before.
    fn make_below(
        &self,
        parent: &str,
        needed: &[(Controller, bool)],
    ) -> Result<(Member, bool), Errno> {
        let parent =
            if self.make_parents { self.make_down_to(parent, needed)? } else { open(parent)? };
        if self.v2 {
            enable(parent.as_fd(), needed)?;
        }
        let made = match mkdirat(&parent, self.name.as_str(), Mode::from_bits_truncate(0o755)) {
            Err(Errno::EEXIST) if self.take_empty && self.is_empty(parent.as_fd()) => false,
            made => made.map(|()| true)?,
        };
        let member = match self.open_member(parent.as_fd()) {
            Ok(opened) => self.member(parent, opened),
            Err(errno) => {
                let _ = end::remove(parent.as_fd(), &self.name);
                return Err(errno);
            }
        };
        // Below a cgroup that passes on nothing but what counts threads, and holds processes.
        if self.v2
            && files::read(member.directory.as_fd(), "cgroup.type")
                .is_ok_and(|kind| kind.trim() == "domain invalid")
        {
            let _ = end::remove(member.parent.as_fd(), &self.name);
            return Err(Errno::EBUSY);
        }
        if !self.v2 && member.has(Controller::Cpuset) {
            v1::cpuset::inherit(member.directory.as_fd(), member.parent.as_fd());
        }
        Ok((member, made))
    }

    /// Whether a cgroup that is there holds nothing: an engine has made it, or left it behind.
    fn is_empty(&self, parent: BorrowedFd<'_>) -> bool {
        self.open_member(parent)
            .is_ok_and(|(directory, _)| end::processes(directory.as_fd()).is_empty())
    }

    /// Opens the cgroup where it has been made.
    ///
    /// # Errors
    /// ENOENT where it hasn't.
    pub(super) fn open(&self) -> Result<Member, Errno> {
        let mut last = Errno::ENOENT;
        for parent in &self.parents {
            match open(parent).and_then(|parent| self.open_below(parent)) {
                Ok(member) => return Ok(member),
                Err(errno) => last = errno,
            }
        }
        Err(last)
    }

    fn open_below(&self, parent: OwnedFd) -> Result<Member, Errno> {
        let opened = self.open_member(parent.as_fd())?;
        Ok(self.member(parent, opened))
    }

    /// The cgroup's directory, and what a child puts itself in by.
    fn open_member(&self, parent: BorrowedFd<'_>) -> Result<(OwnedFd, Option<OwnedFd>), Errno> {
        let name = CString::new(self.name.as_str()).map_err(|_| Errno::EINVAL)?;
        let directory = paths::open_entry(parent, &name, libc::O_RDONLY | libc::O_DIRECTORY)?;
        let attach = match self.v2 {
            true if features::has(Interface::CloneIntoCgroup) => None,
            true => Some("cgroup.procs"),
            false => Some("tasks"),
        };
        let attach =
            attach.map(|file| files::open(directory.as_fd(), file, OFlag::O_WRONLY)).transpose()?;
        Ok((directory, attach))
    }

    fn member(&self, parent: OwnedFd, (directory, attach): (OwnedFd, Option<OwnedFd>)) -> Member {
        let controllers = if self.v2 { enabled(directory.as_fd()) } else { self.offers.clone() };
        Member { v2: self.v2, controllers, parent, name: self.name.clone(), directory, attach }
    }

    /// Makes every directory down to `parent` that is missing; on v2 each passes the controllers on,
    /// and on v1 each has CPUs.
    fn make_down_to(&self, parent: &str, needed: &[(Controller, bool)]) -> Result<OwnedFd, Errno> {
        let below = parent.strip_prefix(&self.mount_point).ok_or(Errno::EXDEV)?;
        let mut directory = open(&self.mount_point)?;
        for part in below.split('/').filter(|part| !part.is_empty()) {
            if self.v2 {
                // One that is there may hold processes and pass them on already: the last one tells.
                let _ = enable(directory.as_fd(), needed);
            }
            match mkdirat(&directory, part, Mode::from_bits_truncate(0o755)) {
                Ok(()) | Err(Errno::EEXIST | Errno::EACCES | Errno::EPERM | Errno::EROFS) => {}
                Err(errno) => return Err(errno),
            }
            let name = CString::new(part).map_err(|_| Errno::EINVAL)?;
            let flags = libc::O_RDONLY | libc::O_DIRECTORY;
            let next = paths::open_entry(directory.as_fd(), &name, flags)?;
            if !self.v2 && self.offers.contains(&Controller::Cpuset) {
                v1::cpuset::inherit(next.as_fd(), directory.as_fd());
            }
            directory = next;
        }
        Ok(directory)
    }
}

pub(super) fn open(path: &str) -> Result<OwnedFd, Errno> {
    let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
    paths::open_path(&path, libc::O_RDONLY | libc::O_DIRECTORY)
}

/// What a v2 cgroup has.
pub(super) fn enabled(directory: BorrowedFd<'_>) -> Vec<Controller> {
    let text = files::read(directory, "cgroup.controllers").unwrap_or_default();
    let named = text.split_ascii_whitespace().filter_map(|name| Controller::named(name, true));
    named.chain(V2_ALWAYS).collect()
}

/// Whether whatever is put into a cgroup stands still. Of v1 only a freezer can tell.
fn is_frozen(member: &Member) -> bool {
    if member.v2 {
        files::keyed(member.fd(), "cgroup.events", "frozen") == Some(1)
    } else {
        member.has(Controller::Freezer)
            && files::read(member.fd(), "freezer.state").is_ok_and(|state| state.trim() != "THAWED")
    }
}

/// Passes everything that a v2 cgroup has on to those below it.
///
/// # Errors
/// EBUSY where it holds processes itself.
pub(super) fn enable_all(cgroup: BorrowedFd<'_>) -> Result<(), Errno> {
    let all: Vec<_> = enabled(cgroup).into_iter().map(|controller| (controller, false)).collect();
    enable(cgroup, &all)
}

/// Whether a v2 cgroup holds processes itself. The root, which has no type, may.
fn holds_processes(cgroup: BorrowedFd<'_>) -> bool {
    files::read(cgroup, "cgroup.type").is_ok()
        && files::read(cgroup, "cgroup.procs").is_ok_and(|processes| !processes.trim().is_empty())
}

/// Passes controllers on to the cgroups below `parent`.
///
/// # Errors
/// EBUSY where it holds processes itself; that of the first that there is no point without.
pub(super) fn enable(parent: BorrowedFd<'_>, needed: &[(Controller, bool)]) -> Result<(), Errno> {
    let enabled = files::read(parent, "cgroup.subtree_control")?;
    let is_missing = |name: &str| {
        !name.is_empty() && !enabled.split_ascii_whitespace().any(|enabled| enabled == name)
    };
    let missing: Vec<(String, bool)> = needed
        .iter()
        .map(|(controller, asked)| (controller.name(true), *asked))
        .filter(|(name, _)| is_missing(name))
        .map(|(name, asked)| (format!("+{name}"), asked))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    // The kernel lets a cgroup with processes pass on those that know threads, such as `pids`, and
    // what is below can then hold no process (EOPNOTSUPP for the clone).
    if holds_processes(parent) {
        return Err(Errno::EBUSY);
    }
    let write = |names: &str| files::write(parent, "cgroup.subtree_control", names);
    let all: Vec<&str> = missing.iter().map(|(name, _)| name.as_str()).collect();
    let Err(first) = write(&all.join(" ")) else { return Ok(()) };
    // It holds processes. One by one those controllers that count threads would be taken all the
    // same, and what is below couldn't hold a process any more.
    if first == Errno::EBUSY {
        return Err(first);
    }
    // One of them isn't to be had: those that are come one by one.
    let mut some = missing.len() < needed.iter().filter(|(c, _)| !c.name(true).is_empty()).count();
    for (name, asked) in &missing {
        match write(name) {
            Ok(()) => some = true,
            Err(errno) if *asked => return Err(errno),
            Err(_) => {}
        }
    }
    if some { Ok(()) } else { Err(first) }
}
