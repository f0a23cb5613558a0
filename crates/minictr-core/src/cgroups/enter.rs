//! Where a process goes that joins a container: into its cgroup, into one below, or where the
//! container's first process is.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;

use super::cgroup::Cgroup;
use super::files;
use super::hierarchies::Hierarchies;
use super::member::Member;
use super::membership::memberships;
use super::plan::Controller;
use crate::error::{Error, ErrorCode, Result};
use crate::rootfs::paths;

impl Cgroup {
    /// Lets whoever joins go where the first process of the container is, in each hierarchy whose
    /// cgroup of the container takes no process any more: on v2 one that passes controllers on, as
    /// that of a container which has moved itself into cgroups of its own does.
    ///
    /// # Errors
    /// `Cgroup` where that isn't in the container's cgroup.
    pub fn enter_as(&mut self, first_process: i32, hierarchies: &Hierarchies) -> Result<()> {
        let Some(member) = self.members.iter_mut().find(|member| member.v2) else { return Ok(()) };
        if takes_processes(member.fd()) {
            return Ok(());
        }
        let found = memberships(first_process).unwrap_or_default();
        let found = found.iter().find(|membership| membership.v2);
        let directory = found.and_then(|membership| hierarchies.v2_directory(&membership.path));
        let object = format!("`{}`: it passes controllers on", member.name);
        let refuse = |errno| {
            let object = object.clone();
            Error::new(ErrorCode::Cgroup, "join cgroup", object).errno(errno)
        };
        let directory = directory.ok_or_else(|| refuse(Errno::EBUSY))?;
        let directory = super::make::open(&directory).map_err(refuse)?;
        let entry = enter(member, directory).map_err(refuse)?;
        self.entry = entry;
        Ok(())
    }

    /// Lets whoever joins go into cgroups below the container's, which are there: `PATH` in every
    /// hierarchy, or `CONTROLLER,…:PATH` in those of some controllers. `/` is the container's own.
    ///
    /// # Errors
    /// `InvalidArgument` for a path that leads elsewhere and a controller that there isn't, `Cgroup`
    /// where a cgroup can't be opened.
    pub fn enter_below(&mut self, cgroups: &[String]) -> Result<()> {
        for text in cgroups {
            let (names, path) = match text.split_once(':') {
                Some((names, path)) => (Some(names), path),
                None => (None, text.as_str()),
            };
            let wrong = |why: &str| Error::invalid("use", format!("`--cgroup {text}`: {why}"));
            let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
            if path.contains('\0') || parts.iter().any(|part| matches!(*part, "." | "..")) {
                return Err(wrong("it leads out of the container's cgroup"));
            }
            let chosen: Vec<usize> = match names {
                None => {
                    let limits = |at: &usize| !self.members[*at].controllers.is_empty();
                    (0..self.members.len()).filter(limits).collect()
                }
                Some(names) => names
                    .split(',')
                    .map(|name| {
                        let position = self.members.iter().position(|member| {
                            let named = Controller::named(name, member.v2);
                            !member.v2 && named.is_some_and(|controller| member.has(controller))
                        });
                        let why = format!("the container has no cgroup v1 of `{name}`");
                        position.ok_or_else(|| wrong(&why))
                    })
                    .collect::<Result<_>>()?,
            };
            if parts.is_empty() {
                continue;
            }
            for position in chosen {
                let member = &mut self.members[position];
                let opened = below(member.fd(), &parts);
                let v2 = member.v2;
                let entry = opened.and_then(|directory| enter(member, directory));
                let entry = entry.map_err(|errno| {
                    let object = format!("`{}/{}`", member.name, parts.join("/"));
                    Error::new(ErrorCode::Cgroup, "open cgroup", object).errno(errno)
                })?;
                if v2 {
                    self.entry = entry;
                }
            }
        }
        Ok(())
    }
}

/// Lets whoever is put into a member go into another cgroup of its hierarchy. What is cloned into on
/// v2 comes back.
fn enter(member: &mut Member, directory: OwnedFd) -> Result<Option<OwnedFd>, Errno> {
    let file = match (&member.attach, member.v2) {
        (None, _) => return Ok(Some(directory)),
        (_, true) => "cgroup.procs",
        (_, false) => "tasks",
    };
    member.attach = Some(files::open(directory.as_fd(), file, OFlag::O_WRONLY)?);
    Ok(None)
}

fn below(directory: BorrowedFd<'_>, parts: &[&str]) -> Result<OwnedFd, Errno> {
    let path = CString::new(parts.join("/")).map_err(|_| Errno::EINVAL)?;
    paths::open_beneath(directory, &path, libc::O_RDONLY | libc::O_DIRECTORY)
}

/// Whether a v2 cgroup may hold processes itself: not one that passes controllers on, unless they
/// are those that count threads and it is the root of threaded ones.
fn takes_processes(cgroup: BorrowedFd<'_>) -> bool {
    let kind = files::read(cgroup, "cgroup.type").unwrap_or_default();
    match kind.trim() {
        "domain threaded" => true,
        "domain invalid" => false,
        _ => files::read(cgroup, "cgroup.subtree_control")
            .is_ok_and(|controllers| controllers.trim().is_empty()),
    }
}
