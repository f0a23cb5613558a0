//! Which hierarchies this machine has, and where in them this process is: from
//! `/proc/self/mountinfo` and `/proc/self/cgroup`, never assumed. `cgroups(7)`.

use std::ffi::CString;

use super::membership::{self, Membership};
use crate::rootfs::attributes::unescape;
use crate::rootfs::mounts::CgroupMount;

/// A mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hierarchy {
    /// Controllers of a v1 hierarchy, or `name=…`; empty for v2.
    pub(super) controllers: Vec<String>,
    /// Where it is mounted.
    pub(super) mount_point: String,
    /// The part of the hierarchy that is mounted there.
    pub(super) root: String,
    /// This process's cgroup in it.
    pub(super) own: String,
    pub(super) v2: bool,
}

impl Hierarchy {
    /// The directory of a cgroup given by its path in the hierarchy, below the mount.
    pub(super) fn directory(&self, cgroup: &str) -> String {
        let below = if self.root == "/" {
            cgroup
        } else {
            // A cgroup outside what is mounted can't be named: the mount's own root is the best.
            cgroup.strip_prefix(&self.root).unwrap_or("")
        };
        format!("{}/{}", self.mount_point, below.trim_matches('/'))
    }

    /// Parent and name of a cgroup of this hierarchy, given as a directory; `None` for a directory
    /// that is none.
    pub(super) fn split<'path>(&self, directory: &'path str) -> Option<(&'path str, &'path str)> {
        let below = directory.strip_prefix(&self.mount_point)?;
        let inside = below.starts_with('/') && !below.split('/').any(|part| part == "..");
        let (parent, name) = directory.rsplit_once('/')?;
        (inside && !name.is_empty() && name != ".").then_some((parent, name))
    }
}

/// Reads both files' texts.
pub(super) fn hierarchies(mountinfo: &str, membership: &str) -> Vec<Hierarchy> {
    let memberships = membership::parse(membership);
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mountinfo.lines() {
        let Some((mount, filesystem)) = line.split_once(" - ") else { continue };
        let mut mount = mount.split(' ').skip(3);
        let (Some(root), Some(mount_point)) = (mount.next(), mount.next()) else { continue };
        let mut filesystem = filesystem.split(' ');
        let (kind, options) = (filesystem.next(), filesystem.nth(1).unwrap_or(""));
        let v2 = match kind {
            Some("cgroup2") => true,
            Some("cgroup") => false,
            _ => continue,
        };
        let wanted: Vec<&str> = options.split(',').collect();
        let own = memberships.iter().find(|membership| {
            let names = &membership.controllers;
            if v2 {
                membership.v2
            } else {
                !names.is_empty() && names.iter().all(|name| wanted.contains(&name.as_str()))
            }
        });
        let Some(Membership { controllers, path: own, .. }) = own.cloned() else { continue };
        // Mounted twice: the first one serves.
        if found.iter().any(|known| known.v2 == v2 && known.controllers == controllers) {
            continue;
        }
        found.push(Hierarchy {
            controllers,
            mount_point: unescape(mount_point),
            root: unescape(root),
            own,
            v2,
        });
    }
    found
}

/// The mounts of a container that show it these hierarchies as the host combines them.
pub(super) fn mounts(found: &[Hierarchy]) -> Vec<CgroupMount> {
    let string = |text: &str| CString::new(text).unwrap_or_default();
    let only_v2 = found.iter().all(|hierarchy| hierarchy.v2);
    found
        .iter()
        .map(|hierarchy| {
            let named = hierarchy.controllers.iter().find_map(|name| name.strip_prefix("name="));
            let data = match (hierarchy.v2, named) {
                (true, _) => String::new(),
                (false, Some(name)) => format!("none,name={name}"),
                (false, None) => hierarchy.controllers.join(","),
            };
            let directory = match (hierarchy.v2, only_v2, named) {
                (true, true, _) => String::new(),
                (true, false, _) => "unified".to_owned(),
                (false, _, Some(name)) => name.to_owned(),
                (false, _, None) => hierarchy.controllers.join(","),
            };
            let links = match hierarchy.controllers.as_slice() {
                several @ [_, _, ..] if !hierarchy.v2 => {
                    several.iter().map(|name| string(name)).collect()
                }
                _ => Vec::new(),
            };
            CgroupMount {
                directory: string(&directory),
                fs_type: string(if hierarchy.v2 { "cgroup2" } else { "cgroup" }),
                data: string(&data),
                links,
                bound: Vec::new(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /docker/x /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    const MEMBERSHIP: &str =
        "4:memory:/docker/x/job\n2:cpu,cpuacct:/a\n1:name=systemd:/\n0::/user.slice\n";

    #[test]
    fn finds_each_hierarchy_and_our_place_in_it() {
        let found = hierarchies(HYBRID, MEMBERSHIP);
        let places: Vec<_> = found.iter().map(|h| h.directory(&h.own)).collect();
        assert_eq!(
            places,
            [
                "/sys/fs/cgroup/cpu,cpuacct/a",
                "/sys/fs/cgroup/memory/job",
                "/sys/fs/cgroup/systemd/",
                "/sys/fs/cgroup/unified/user.slice",
            ]
        );
    }

    #[test]
    fn a_machine_with_v2_alone_has_one_mount_without_directory() {
        let found = hierarchies(
            "41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
            "0::/user.slice/x\n",
        );
        let mounts = mounts(&found);
        assert_eq!(mounts.len(), 1);
        assert!(mounts[0].directory.is_empty());
    }

    #[test]
    fn combined_controllers_are_mounted_together_with_a_link_for_each() {
        let mounts = mounts(&hierarchies(HYBRID, MEMBERSHIP));
        assert_eq!(mounts[0].directory.to_str(), Ok("cpu,cpuacct"));
        assert_eq!(mounts[0].links.len(), 2);
        assert_eq!(mounts[2].data.as_c_str(), c"none,name=systemd");
    }
}
