//! Names of users and groups, looked up in the container's own files.
//!
//! `/etc/passwd` and `/etc/group` of a rootfs are hostile: they may be FIFOs, devices, links, or
//! endless. They are opened inside the root without blocking, read only where they are regular
//! files, and only up to [`MAX_BYTES`] (CVE-2024-9676, containerd's CVE-2026-47262).

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::stat::{SFlag, fstat};

use super::paths;
use crate::error::{Error, ErrorCode, Result};

/// More than any real passwd or group file; a larger one is read as far as this.
const MAX_BYTES: usize = 1024 * 1024;

/// Who the program is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResolvedUser {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups; the first is `gid`.
    pub groups: Vec<u32>,
    /// Home directory; `/` where passwd has no entry.
    pub home: Option<String>,
}

/// Reads a file of the rootfs, nothing where there is none to read.
fn read(root: BorrowedFd<'_>, path: &CStr) -> String {
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
    let Ok(file) = paths::open_in_root(root, path, flags, 0) else { return String::new() };
    let regular = fstat(file.as_fd())
        .is_ok_and(|stat| stat.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits());
    if !regular {
        return String::new();
    }
    let mut text = Vec::new();
    let mut chunk = [0u8; 16 * 1024];
    while text.len() < MAX_BYTES {
        match nix::unistd::read(&file, &mut chunk) {
            Ok(0) => break,
            Ok(count) => text.extend_from_slice(&chunk[..count]),
            Err(Errno::EINTR) => {}
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// An id as a number; an id that the kernel takes for "none" isn't one (CVE-2026-30892 was a number
/// taken for 0).
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|id| digits && *id != u32::MAX)
}

fn unknown(what: &str, name: &str, file: &str) -> Error {
    Error::new(ErrorCode::UnknownUser, "find", format!("{what} `{name}` in the container"))
        .hint(format!("the container's {file} has no such entry; give a number instead"))
}

fn malformed(user: &str) -> Error {
    Error::invalid("use", format!("user `{user}`"))
        .hint("it is a name or a number below 4294967295, with a group after a colon if wanted: `app`, `1000`, `1000:1000`")
}

/// Looks up `NAME|UID[:GROUP|GID]` and further groups, by name or number.
///
/// A number without an entry is itself, with group 0 and home `/`. A group that is given replaces
/// the entry's and leaves its supplementary groups out, as Docker does.
///
/// # Errors
/// `UnknownUser` for a name without an entry, `InvalidArgument` for something that is neither.
pub fn resolve(root: BorrowedFd<'_>, user: &str, groups: &[String]) -> Result<ResolvedUser> {
    let (name, group) = match user.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (user, None),
    };
    if name.is_empty() || group.is_some_and(str::is_empty) {
        return Err(malformed(user));
    }
    let looks_numeric =
        |text: &str| text.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+');
    let passwd = read(root, c"/etc/passwd");
    let group_file = read(root, c"/etc/group");
    let wanted = number(name);
    if wanted.is_none()
        && looks_numeric(name)
        && !passwd.lines().any(|line| line.split(':').next() == Some(name))
    {
        return Err(malformed(user));
    }
    let entry = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| {
        fields.len() >= 6
            && (fields[0] == name || (wanted.is_some() && number(fields[2]) == wanted))
    });
    let mut found = match (&entry, wanted) {
        (Some(fields), _) => ResolvedUser {
            uid: number(fields[2]).ok_or_else(|| unknown("user", name, "/etc/passwd"))?,
            gid: number(fields[3]).unwrap_or(0),
            groups: Vec::new(),
            home: Some(fields[5].to_owned()).filter(|home| home.starts_with('/')),
        },
        (None, Some(uid)) => ResolvedUser { uid, ..ResolvedUser::default() },
        (None, None) => return Err(unknown("user", name, "/etc/passwd")),
    };
    found.home.get_or_insert_with(|| "/".to_owned());
    match group {
        Some(group) => found.gid = group_id(&group_file, group)?,
        None => {
            if let Some(fields) = &entry {
                found.groups = memberships(&group_file, fields[0]);
            }
        }
    }
    // The user's own group too: a program that sets another one keeps what it denies
    // (CVE-2022-36109).
    found.groups.retain(|id| *id != found.gid);
    found.groups.insert(0, found.gid);
    for group in groups {
        let id = group_id(&group_file, group)?;
        if !found.groups.contains(&id) {
            found.groups.push(id);
        }
    }
    Ok(found)
}

fn group_id(file: &str, group: &str) -> Result<u32> {
    let entry = file.lines().map(|line| line.split(':').collect::<Vec<_>>());
    if let Some(fields) = entry.into_iter().find(|fields| fields.len() >= 3 && fields[0] == group)
        && let Some(id) = number(fields[2])
    {
        return Ok(id);
    }
    number(group).ok_or_else(|| unknown("group", group, "/etc/group"))
}

/// Groups that list a user as member. The kernel takes 65,536 at the most.
fn memberships(file: &str, user: &str) -> Vec<u32> {
    file.lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .filter(|fields| fields.len() >= 4 && fields[3].split(',').any(|member| member == user))
        .filter_map(|fields| number(fields[2]))
        .take(65_536)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::path::PathBuf;

    use super::*;

    struct Rootfs(PathBuf);

    impl Rootfs {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("minictr-users-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir_all(path.join("etc")).unwrap();
            let passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:100:App:/home/app:/bin/sh\n";
            std::fs::write(path.join("etc/passwd"), passwd).unwrap();
            let group = "root:x:0:\nusers:x:100:\nwheel:x:10:root,app\n";
            std::fs::write(path.join("etc/group"), group).unwrap();
            Self(path)
        }

        fn resolve(&self, user: &str, groups: &[&str]) -> Result<ResolvedUser> {
            let root: OwnedFd = std::fs::File::open(&self.0).unwrap().into();
            let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
            resolve(root.as_fd(), user, &groups)
        }
    }

    impl Drop for Rootfs {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_name_brings_its_group_its_groups_and_its_home() {
        let user = Rootfs::new("name").resolve("app", &[]).unwrap();
        let expected = ResolvedUser {
            uid: 1000,
            gid: 100,
            groups: vec![100, 10],
            home: Some("/home/app".into()),
        };
        assert_eq!(user, expected);
    }

    #[test]
    fn a_number_without_entry_is_itself() {
        let user = Rootfs::new("number").resolve("4242", &["wheel", "7"]).unwrap();
        assert_eq!((user.uid, user.gid, user.groups), (4242, 0, vec![0, 10, 7]));
        assert_eq!(user.home.as_deref(), Some("/"));
    }

    #[test]
    fn a_given_group_replaces_the_others() {
        let user = Rootfs::new("group").resolve("app:wheel", &[]).unwrap();
        assert_eq!((user.uid, user.gid, user.groups), (1000, 10, vec![10]));
    }

    #[test]
    fn nothing_that_is_no_id_becomes_root() {
        let rootfs = Rootfs::new("bad");
        for user in ["4294967295", "-1", "", "1:", ":1", "+1", "1x", "99999999999"] {
            let result = rootfs.resolve(user, &[]);
            assert!(result.is_err(), "{user}: {result:?}");
        }
        assert_eq!(rootfs.resolve("nobody-here", &[]).unwrap_err().code, ErrorCode::UnknownUser);
    }

    #[test]
    fn a_fifo_or_an_endless_file_in_place_of_passwd_holds_nobody_up() {
        let rootfs = Rootfs::new("fifo");
        std::fs::remove_file(rootfs.0.join("etc/passwd")).unwrap();
        let fifo = rootfs.0.join("etc/passwd");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
        assert_eq!(rootfs.resolve("7", &[]).unwrap().uid, 7);
        let group = std::fs::File::create(rootfs.0.join("etc/group")).unwrap();
        group.set_len(1 << 30).unwrap();
        assert_eq!(rootfs.resolve("7", &["8"]).unwrap().groups, [0, 8]);
    }
}
