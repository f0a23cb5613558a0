//! Cgroups below a container's own, which the container's processes are in: a part of a systemd scope,
//! and one that the container may use as it likes.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::{Gid, Uid};

use super::cgroup::Cgroup;
use super::hierarchies::Hierarchies;
use super::systemd::SUBGROUP_ANNOTATION;
use super::{end, files, make};
use crate::error::{Context, Error, ErrorCode, Result};

/// What a user who has a cgroup may write, `cgroups(7)`, "Cgroups delegation".
const DELEGATED: [&str; 3] = ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control"];

/// The annotation that names a cgroup for the container to use as it likes.
pub const DELEGATE_ANNOTATION: &str = "run.oci.delegate-cgroup";

/// Checks the name of a cgroup that an annotation asks for.
///
/// # Errors
/// `InvalidArgument` for one that isn't directly below.
pub(crate) fn check_name(annotation: &str, name: &str) -> Result<()> {
    let is_name = !name.is_empty()
        && !name.contains(|letter: char| {
            letter == '/' || letter.is_whitespace() || letter.is_control()
        })
        && !matches!(name, "." | "..")
        && !name.starts_with("cgroup.");
    if is_name {
        return Ok(());
    }
    Err(Error::invalid("use annotation", format!("`{annotation}`: `{name}` is no cgroup's name")))
}

impl Hierarchies {
    /// Makes the cgroup directly below a container's that all its processes are to be in, and moves
    /// its first one there: what is above can then pass controllers on.
    ///
    /// # Errors
    /// `CgroupUnavailable` on v1, where both would be limited, `Cgroup`.
    pub(super) fn make_subgroup(&self, paths: &[String], name: &str, pid: i32) -> Result<()> {
        if !self.only_v2() {
            let what = format!("`{SUBGROUP_ANNOTATION}`: it takes cgroup v2 alone");
            return Err(Error::new(ErrorCode::CgroupUnavailable, "use annotation", what));
        }
        let path = paths.first().map(String::as_str).unwrap_or_default();
        let failed = |errno: Errno| {
            Error::new(ErrorCode::Cgroup, "make cgroup", format!("`{path}`")).errno(errno)
        };
        let parent = path.strip_suffix(name).unwrap_or_default();
        let parent = make::open(parent).map_err(failed)?;
        match mkdirat(&parent, name, Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(failed(errno)),
        }
        let below = make::open(path).map_err(failed)?;
        files::write(below.as_fd(), "cgroup.procs", &pid.to_string()).map_err(failed)?;
        make::enable_all(parent.as_fd()).map_err(failed)
    }
}

impl Cgroup {
    /// Makes a cgroup below for the container to use as it likes, which belongs to the container's
    /// root, and where its processes start; `pid` is one that is in the cgroup already. The limits of
    /// the container hold for both.
    ///
    /// # Errors
    /// `CgroupUnavailable` on v1, where what a container may write would be its own limits; `Cgroup`.
    pub fn delegate(&mut self, name: &str, owner: (u32, u32), pid: Option<i32>) -> Result<()> {
        check_name(DELEGATE_ANNOTATION, name)?;
        let only_v2 = self.members.iter().all(|member| member.v2);
        let Some(member) = self.members.first_mut().filter(|_| only_v2) else {
            let what = format!("`{DELEGATE_ANNOTATION}`: cgroup v1 can't be delegated safely");
            return Err(Error::new(ErrorCode::CgroupUnavailable, "use annotation", what));
        };
        let object = format!("`{}/{name}`", member.name);
        let mut delegate = || -> Result<OwnedFd, Errno> {
            mkdirat(member.fd(), name, Mode::from_bits_truncate(0o755))?;
            let below = end::open(member.fd(), name)?;
            let (uid, gid) = (Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1)));
            nix::unistd::fchown(&below, uid, gid)?;
            for file in DELEGATED {
                let file = files::open(below.as_fd(), file, nix::fcntl::OFlag::O_RDONLY)?;
                nix::unistd::fchown(&file, uid, gid)?;
            }
            if let Some(pid) = pid {
                files::write(below.as_fd(), "cgroup.procs", &pid.to_string())?;
            }
            make::enable_all(member.fd())?;
            if member.attach.is_some() {
                let flags = nix::fcntl::OFlag::O_WRONLY;
                member.attach = Some(files::open(below.as_fd(), "cgroup.procs", flags)?);
            }
            Ok(below)
        };
        let below = delegate().context(ErrorCode::Cgroup, "delegate cgroup", object)?;
        self.entry = Some(below);
        Ok(())
    }
}
