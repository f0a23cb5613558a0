//! How a user's process comes into the cgroup of a unit: by itself where the kernel lets it, else by
//! systemd.

use std::os::fd::AsRawFd;
use std::path::{Component, Path, PathBuf};

use nix::fcntl::AtFlags;
use nix::unistd::{AccessFlags, faccessat};

use super::manager::Manager;
use super::{Addresses, Unit};
use crate::cgroups::{Cgroup, Hierarchies};
use crate::error::Result;
use crate::rootfs::paths;

/// systemd, to be asked to put a process into a cgroup of a unit.
#[derive(Debug)]
pub struct WayIn {
    unit: Unit,
    /// Path of the cgroup below the unit's.
    below: String,
    addresses: Addresses,
}

impl Unit {
    /// The way into a cgroup of the unit for processes of this one, where they can't be cloned into it.
    ///
    /// The kernel moves a process for a user only within what that user may write to, `cgroups(7)`
    /// "Delegation containment": not out of the session of a login, which the user's own systemd isn't
    /// above of. That one asks the machine's to do it.
    #[must_use]
    pub fn way_in(
        &self,
        cgroup: &Cgroup,
        hierarchies: &Hierarchies,
        addresses: &Addresses,
    ) -> Option<WayIn> {
        let directory = cgroup.v2_dir_fd().filter(|_| self.user)?;
        let to = std::fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd())).ok()?;
        let from = PathBuf::from(hierarchies.own_v2_directory()?);
        let above = common(&from, &to).join("cgroup.procs");
        let may_write =
            faccessat(paths::cwd(), &above, AccessFlags::W_OK, AtFlags::AT_EACCESS).is_ok();
        if may_write {
            return None;
        }
        let below = below_unit(&to, &self.name)?;
        Some(WayIn { unit: self.clone(), below, addresses: addresses.clone() })
    }
}

impl WayIn {
    /// Puts a process of this user's into the cgroup.
    ///
    /// # Errors
    /// `CgroupUnavailable` where systemd can't be asked, `Cgroup` where it refuses.
    pub fn take(&self, pid: i32) -> Result<()> {
        Manager::connect(self.unit.user, &self.addresses)?.attach(&self.unit.name, &self.below, pid)
    }
}

/// The directory that both are in, or that one of them is.
fn common(one: &Path, other: &Path) -> PathBuf {
    let pairs = one.components().zip(other.components());
    pairs.take_while(|(one, other)| one == other).map(|(part, _)| part).collect()
}

/// What of a directory's path is below that of a unit, from a `/` on.
fn below_unit(directory: &Path, unit: &str) -> Option<String> {
    let mut parts = directory.components();
    parts.find(|part| matches!(part, Component::Normal(name) if *name == unit))?;
    Some(format!("/{}", parts.as_path().to_str()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_is_from_what_both_are_in_to_below_the_unit() {
        let to = Path::new("/sys/fs/cgroup/user.slice/user@7/a.slice/c1.scope/x/y");
        let from = Path::new("/sys/fs/cgroup/user.slice/session-1.scope");
        assert_eq!(common(from, to), Path::new("/sys/fs/cgroup/user.slice"));
        assert_eq!(below_unit(to, "c1.scope").as_deref(), Some("/x/y"));
        assert_eq!(below_unit(to, "y").as_deref(), Some("/"));
        assert_eq!(below_unit(to, "c2.scope"), None);
    }
}
