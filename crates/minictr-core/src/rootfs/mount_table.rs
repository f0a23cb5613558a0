//! The mounts of this machine that its `/` is made of: which of them a path reaches, and what a
//! container of the host's files is to have of each. From `/proc/self/mountinfo`, `proc(5)`.
//!
//! Read by the parent before the clone; nothing here touches a filesystem, which might not answer.

/// One mount that a path reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// Its number, as `statx(2)` gives it.
    pub id: u32,
    parent: u32,
    /// Major and minor number, as the table has them.
    device: Vec<u8>,
    /// The directory of the filesystem that is mounted.
    pub root: Vec<u8>,
    /// Where: an absolute path.
    pub point: Vec<u8>,
    /// Its filesystem's type.
    pub fs_type: Vec<u8>,
    read_only: bool,
}

/// What a container of the host's files has of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// A private writable layer over it.
    Layered,
    /// Itself: nothing in it can be written anyway.
    ReadOnly,
    /// Itself with what is mounted below it, read-only and never looked into: a network or a program
    /// answers for it, or doesn't.
    Remote,
    /// An empty directory: it is the kernel's view of the host, or mounts on being looked at.
    Nothing,
}

/// Filesystems that show the kernel, or what it knows of this machine.
const OF_THE_KERNEL: &[&str] = &[
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nfsd",
    "nsfs",
    "proc",
    "pstore",
    "resctrl",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "smackfs",
    "sysfs",
    "tracefs",
];

/// Filesystems that somebody else answers for.
const REMOTE: &[&str] = &[
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "fuse", "fuseblk", "gfs2", "gpfs", "lustre",
    "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "smb3", "smbfs",
];

impl Mounted {
    /// What a container has of it.
    #[must_use]
    pub fn share(&self) -> Share {
        let is = |name: &&str| name.as_bytes() == self.fs_type;
        if OF_THE_KERNEL.iter().any(is) {
            Share::Nothing
        } else if REMOTE.iter().any(is) || self.fs_type.starts_with(b"fuse.") {
            Share::Remote
        } else if self.read_only {
            Share::ReadOnly
        } else {
            Share::Layered
        }
    }

    /// Where a path of this mount lies in its filesystem.
    fn inside(&self, path: &[u8]) -> Option<Vec<u8>> {
        below(path, &self.point).map(|rest| joined(&self.root, rest))
    }
}

/// What follows `directory` in a path that is it or lies below it, without a slash in front.
#[must_use]
pub fn below<'a>(path: &'a [u8], directory: &[u8]) -> Option<&'a [u8]> {
    if directory == b"/" {
        return path.strip_prefix(b"/");
    }
    match path.strip_prefix(directory)? {
        [] => Some(&[]),
        [b'/', rest @ ..] => Some(rest),
        _ => None,
    }
}

/// A directory and what lies below it.
#[must_use]
pub fn joined(directory: &[u8], rest: &[u8]) -> Vec<u8> {
    match (directory, rest) {
        (_, []) => directory.to_vec(),
        (b"/", _) => [b"/", rest].concat(),
        _ => [directory, b"/", rest].concat(),
    }
}

/// All mounts of a table, those that others cover included, in the order of the table.
pub fn all(mountinfo: &[u8]) -> impl Iterator<Item = Mounted> {
    mountinfo.split(|byte| *byte == b'\n').filter_map(parse)
}

/// The mounts that paths reach, in an order in which each comes after those that it lies in.
#[must_use]
pub fn visible(mountinfo: &[u8]) -> Vec<Mounted> {
    let mut all: Vec<_> = all(mountinfo).collect();
    // On one mount point the last is on top of the others; so it is looked at first.
    all.reverse();
    all.sort_by_key(|mount| mount.point.len());
    let mut seen: Vec<Mounted> = Vec::with_capacity(all.len());
    for mount in &all {
        if seen.iter().any(|other| other.point == mount.point) {
            continue;
        }
        // Through the mounts that it is stacked on, to the one that its mount point lies in.
        let mut parent = all.iter().find(|other| other.id == mount.parent);
        while let Some(under) = parent.filter(|under| under.point == mount.point) {
            let next = all.iter().find(|other| other.id == under.parent);
            parent = next.filter(|next| next.id != under.id);
        }
        let around = seen.iter().rev().find(|other| below(&mount.point, &other.point).is_some());
        // What is mounted on a directory later hides what was mounted in it.
        if let (Some(around), Some(parent)) = (around, parent)
            && around.id != parent.id
        {
            continue;
        }
        seen.push(mount.clone());
    }
    seen
}

fn parse(line: &[u8]) -> Option<Mounted> {
    let separator = line.windows(3).position(|window| window == b" - ")?;
    let mut fields = line[..separator].split(|byte| *byte == b' ');
    let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse().ok();
    let (id, parent) = (number()?, number()?);
    let device = fields.next()?.to_vec();
    let root = unescape(fields.next()?);
    let point = unescape(fields.next()?);
    let mut filesystem = line[separator + 3..].split(|byte| *byte == b' ');
    let fs_type = filesystem.next()?.to_vec();
    let super_options = filesystem.nth(1).unwrap_or_default();
    // Of the filesystem, not of the mount: a container with the privilege over its own mounts could
    // take that off its clone.
    let read_only = super_options.split(|byte| *byte == b',').any(|option| option == b"ro");
    Some(Mounted { id, parent, device, root, point, fs_type, read_only })
}

/// Octal escapes: space, tab, newline and backslash.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        if let (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) =
            (first, after)
        {
            text.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
            rest = after;
        } else {
            text.push(first);
            rest = after;
        }
    }
    text
}

/// The other paths that lead to what is at `path`, where parts of a filesystem are mounted again.
#[must_use]
pub fn other_paths(mounts: &[Mounted], path: &[u8]) -> Vec<Vec<u8>> {
    let around = mounts.iter().rev().find(|mount| below(path, &mount.point).is_some());
    let Some(around) = around else { return Vec::new() };
    let Some(inside) = around.inside(path) else { return Vec::new() };
    let same = mounts.iter().filter(|mount| mount.device == around.device && mount.id != around.id);
    same.filter_map(|mount| match below(&inside, &mount.root) {
        Some(rest) => Some(joined(&mount.point, rest)),
        // A part of it is mounted there.
        None => below(&mount.root, &inside).map(|_| mount.point.clone()),
    })
    .filter(|other| below(other, path).is_none())
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(mountinfo: &str) -> Vec<String> {
        let visible = visible(mountinfo.as_bytes());
        visible.iter().map(|mount| String::from_utf8(mount.point.clone()).unwrap()).collect()
    }

    #[test]
    fn what_a_later_mount_covers_is_not_reached() {
        let table = "\
1 0 8:1 / / rw - ext4 /dev/a rw
2 1 8:2 / /data/old rw - ext4 /dev/b rw
3 1 8:3 / /data rw - ext4 /dev/c rw
4 3 8:4 / /data/new rw - ext4 /dev/d rw
5 4 8:5 / /data/new rw - ext4 /dev/e rw";
        assert_eq!(points(table), ["/", "/data", "/data/new"]);
        assert_eq!(visible(table.as_bytes())[2].id, 5);
    }

    #[test]
    fn the_top_of_a_stack_on_the_root_is_the_root() {
        let table = "\
1 0 0:1 / / rw - rootfs rootfs rw
2 1 8:1 / / rw - ext4 /dev/a rw
3 2 8:2 / /usr ro - ext4 /dev/b ro
4 1 8:2 / /usr/local ro - ext4 /dev/b rw
5 2 8:5 / /opt ro - ext4 /dev/c rw";
        let found = visible(table.as_bytes());
        assert_eq!(points(table), ["/", "/opt", "/usr"]);
        let shares: Vec<_> = found.iter().map(Mounted::share).collect();
        assert_eq!(shares, [Share::Layered, Share::Layered, Share::ReadOnly]);
    }

    #[test]
    fn without_a_mount_on_the_root_all_others_are_reached() {
        assert_eq!(points("9 5 0:1 / /proc rw shared:1 - proc proc rw"), ["/proc"]);
    }

    #[test]
    fn names_are_read_as_they_are() {
        assert_eq!(points(r"9 5 8:1 / /a\040b\134c\011 rw - ext4 x rw"), ["/a b\\c\t"]);
        assert_eq!(points(r"9 5 8:1 / /a\9 rw - ext4 x rw"), ["/a\\9"]);
    }

    #[test]
    fn shares_are_by_kind() {
        let share =
            |kind: &str| visible(format!("9 5 8:1 / /x rw - {kind} x rw").as_bytes())[0].share();
        assert_eq!(share("xfs"), Share::Layered);
        assert_eq!(share("nfs4"), Share::Remote);
        assert_eq!(share("fuse.sshfs"), Share::Remote);
        assert_eq!(share("autofs"), Share::Nothing);
    }

    #[test]
    fn a_path_is_found_wherever_its_directory_is_mounted_again() {
        let table = "\
1 0 8:1 / / rw - ext4 /dev/a rw
2 1 8:2 / /home rw - ext4 /dev/b rw
3 1 8:1 / /mnt/all rw - ext4 /dev/a rw
4 1 8:2 /alice/keys /srv/keys rw - ext4 /dev/b rw
5 1 8:1 /root /srv/root rw - ext4 /dev/a rw
6 1 8:2 /alice /srv/alice rw - ext4 /dev/b rw";
        let mounts = visible(table.as_bytes());
        let others = |path: &str| -> Vec<String> {
            let mut found: Vec<_> = other_paths(&mounts, path.as_bytes())
                .into_iter()
                .map(|path| String::from_utf8(path).unwrap())
                .collect();
            found.sort();
            found
        };
        assert_eq!(others("/root"), ["/mnt/all/root", "/srv/root"]);
        assert_eq!(others("/home"), ["/srv/alice", "/srv/keys"]);
        assert_eq!(others("/home/alice/keys/a"), ["/srv/alice/keys/a", "/srv/keys/a"]);
        assert_eq!(others("/etc/shadow"), ["/mnt/all/etc/shadow"]);
    }
}
