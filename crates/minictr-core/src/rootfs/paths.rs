//! Paths inside a rootfs: the only way to one.
//!
//! A rootfs is hostile input: any part of a path may be a symbolic link that leads out, and may be
//! swapped between two looks. So every walk starts at a descriptor of the root and is made by
//! `openat2(2)` with `RESOLVE_IN_ROOT`, which resolves links and `..` inside it, and what is made on
//! the way is made relative to a descriptor just opened. Nothing here allocates but where it says so.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{Mode, SFlag, fstat, mkdirat};

pub use crate::sys::openat2::cwd;
use crate::sys::openat2::{
    RESOLVE_BENEATH, RESOLVE_CACHED, RESOLVE_IN_ROOT, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV, openat2,
};

/// How often a walk is tried again that a concurrent rename made uncertain.
const MAX_RETRIES: usize = 128;

fn retried(mut open: impl FnMut() -> Result<OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
    for _ in 0..MAX_RETRIES {
        match open() {
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            result => return result,
        }
    }
    Err(Errno::EAGAIN)
}

/// Opens a path of the host's, in this process's own view.
///
/// # Errors
/// Those of `open(2)`.
pub fn open_path(path: &CStr, flags: i32) -> Result<OwnedFd, Errno> {
    let flags = OFlag::from_bits_retain(flags) | OFlag::O_CLOEXEC;
    openat(cwd(), path, flags, Mode::empty())
}

/// Opens a path of the host's where the kernel's cache of names can tell, so that it never waits
/// for a filesystem.
///
/// # Errors
/// EAGAIN where the cache can't tell, EINVAL before Linux 5.12, else those of `open(2)`.
pub fn open_cached(path: &CStr, flags: i32) -> Result<OwnedFd, Errno> {
    openat2(cwd(), path, flags, 0, RESOLVE_CACHED)
}

/// Opens a path inside the root.
///
/// # Errors
/// Those of `openat2(2)`; ELOOP for magic links.
pub fn open_in_root(
    root: BorrowedFd<'_>,
    path: &CStr,
    flags: i32,
    mode: u32,
) -> Result<OwnedFd, Errno> {
    retried(|| openat2(root, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS))
}

/// Opens a path below a directory without any link, leaving or crossing of mounts: for procfs.
///
/// # Errors
/// Those of `openat2(2)`.
pub fn open_beneath(directory: BorrowedFd<'_>, path: &CStr, flags: i32) -> Result<OwnedFd, Errno> {
    let resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
    retried(|| openat2(directory, path, flags, 0, resolve))
}

/// Whether a path inside the root is reached without any symbolic link.
///
/// # Errors
/// Those of `openat2(2)` but ELOOP.
pub fn is_ordinary(root: BorrowedFd<'_>, path: &CStr) -> Result<bool, Errno> {
    let resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS;
    match retried(|| openat2(root, path, libc::O_PATH, 0, resolve)) {
        Ok(_) => Ok(true),
        Err(Errno::ELOOP) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Opens a directory inside the root that is reached without any symbolic link.
///
/// # Errors
/// Those of `openat2(2)`; ELOOP for a link on the way.
pub fn open_ordinary(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd, Errno> {
    let resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS;
    retried(|| openat2(root, path, libc::O_PATH | libc::O_DIRECTORY, 0, resolve))
}

/// Opens an entry of a directory by its bare name; a symbolic link is opened itself.
///
/// # Errors
/// Those of `openat(2)`; EINVAL for a name with a slash.
pub fn open_entry(directory: BorrowedFd<'_>, name: &CStr, flags: i32) -> Result<OwnedFd, Errno> {
    if name.to_bytes().contains(&b'/') {
        return Err(Errno::EINVAL);
    }
    let flags = OFlag::from_bits_retain(flags) | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(directory, name, flags, Mode::empty())
}

/// The directory at a path inside the root, made with those above it where missing. Allocates only
/// where something is missing.
///
/// # Errors
/// ENOTDIR where something else is in the way; those of `mkdirat(2)`.
pub fn ensure_dir(root: BorrowedFd<'_>, path: &CStr, mode: u32) -> Result<OwnedFd, Errno> {
    let flags = libc::O_PATH | libc::O_DIRECTORY;
    match open_in_root(root, path, flags, 0) {
        Err(Errno::ENOENT) => {}
        result => return result,
    }
    let (parent, name) = split(path)?;
    let Some(parent) = parent else {
        return make_dir(open_in_root(root, c".", flags, 0)?.as_fd(), &name, mode);
    };
    // From the root each time: a link among the parts, or `..`, means what it means inside it.
    let parent = match open_in_root(root, &parent, flags, 0) {
        Err(Errno::ENOENT) => ensure_dir(root, &parent, mode)?,
        result => result?,
    };
    make_dir(parent.as_fd(), &name, mode)
}

/// What is above the last part of a path, if anything, and that part.
pub(super) fn split(path: &CStr) -> Result<(Option<CString>, CString), Errno> {
    let bytes = path.to_bytes();
    let end = bytes.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    let start = bytes[..end].iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let string = |bytes: &[u8]| CString::new(bytes).map_err(|_| Errno::EINVAL);
    let above = bytes[..start].iter().any(|byte| *byte != b'/');
    let parent = if above { Some(string(&bytes[..start])?) } else { None };
    if start == end || &bytes[start..end] == b".." || &bytes[start..end] == b"." {
        // Nothing that can be made: the walk has said already that it isn't there.
        return Err(Errno::ENOENT);
    }
    Ok((parent, string(&bytes[start..end])?))
}

/// Makes one directory, and opens it or what another has put there: never through a link.
fn make_dir(parent: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<OwnedFd, Errno> {
    match mkdirat(parent, name, Mode::from_bits_truncate(mode)) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(errno),
    }
    open_entry(parent, name, libc::O_PATH | libc::O_DIRECTORY)
}

/// The file at a path inside the root, made empty with the directories above it where missing.
/// What is there already stays, whatever its kind but a directory.
///
/// # Errors
/// EISDIR for a directory; those of `openat(2)` and `mkdirat(2)`.
pub fn ensure_file(root: BorrowedFd<'_>, path: &CStr, mode: u32) -> Result<OwnedFd, Errno> {
    match open_in_root(root, path, libc::O_PATH, 0) {
        Ok(found) => return not_a_directory(found),
        Err(Errno::ENOENT) => {}
        Err(errno) => return Err(errno),
    }
    let (parent, name) = split(path)?;
    let parent = match parent {
        Some(parent) => ensure_dir(root, &parent, 0o755)?,
        None => open_in_root(root, c".", libc::O_PATH | libc::O_DIRECTORY, 0)?,
    };
    ensure_file_at(parent.as_fd(), &name, mode)
}

/// As [`ensure_file`], for a bare name in an open directory; a symbolic link there is an error.
///
/// # Errors
/// ELOOP for a symbolic link, EISDIR for a directory, those of `openat(2)`.
pub fn ensure_file_at(directory: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<OwnedFd, Errno> {
    let create = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match openat(directory, name, create | OFlag::O_WRONLY, Mode::from_bits_truncate(mode)) {
        Err(Errno::EEXIST) => {
            let found = open_entry(directory, name, libc::O_PATH)?;
            if fstat(&found)?.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFLNK.bits() {
                return Err(Errno::ELOOP);
            }
            not_a_directory(found)
        }
        result => result,
    }
}

fn not_a_directory(found: OwnedFd) -> Result<OwnedFd, Errno> {
    if fstat(&found)?.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits() {
        return Err(Errno::EISDIR);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn root_of(directory: &std::path::Path) -> OwnedFd {
        std::fs::File::open(directory).unwrap().into()
    }

    fn scratch(name: &str) -> std::path::PathBuf {
        let path =
            std::env::temp_dir().join(format!("minictr-paths-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn a_link_that_leads_out_is_resolved_inside() {
        let base = scratch("link");
        let rootfs = base.join("rootfs");
        std::fs::create_dir_all(base.join("victim")).unwrap();
        std::fs::create_dir(&rootfs).unwrap();
        symlink(base.join("victim"), rootfs.join("dev")).unwrap();
        symlink("../../../victim", rootfs.join("up")).unwrap();
        let root = root_of(&rootfs);
        // Both links dangle inside the root, where nothing may be made for them.
        assert!(ensure_dir(root.as_fd(), c"/dev/pts", 0o755).is_err());
        assert!(ensure_dir(root.as_fd(), c"/up/x", 0o755).is_err());
        assert_eq!(std::fs::read_dir(base.join("victim")).unwrap().count(), 0);
        std::fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn makes_what_is_missing_and_follows_links_inside() {
        let base = scratch("make");
        std::fs::create_dir(base.join("run")).unwrap();
        std::fs::create_dir(base.join("var")).unwrap();
        symlink("/run", base.join("var/run")).unwrap();
        let root = root_of(&base);
        ensure_dir(root.as_fd(), c"/var/run/a/b", 0o755).unwrap();
        ensure_file(root.as_fd(), c"/var/run/a/file", 0o644).unwrap();
        assert!(base.join("run/a/b").is_dir());
        assert!(base.join("run/a/file").is_file());
        assert_eq!(ensure_file(root.as_fd(), c"/run/a", 0o644).unwrap_err(), Errno::EISDIR);
        std::fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn a_directory_swapped_for_a_link_never_leads_out() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let base = scratch("swap");
        let rootfs = base.join("rootfs");
        let victim = base.join("victim");
        std::fs::create_dir(&victim).unwrap();
        std::fs::create_dir_all(rootfs.join("a")).unwrap();
        symlink(&victim, rootfs.join("b")).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                use nix::fcntl::{RenameFlags, renameat2};
                let (a, b) = (rootfs.join("a"), rootfs.join("b"));
                while !stop.load(Ordering::Relaxed) {
                    let _ = renameat2(cwd(), &a, cwd(), &b, RenameFlags::RENAME_EXCHANGE);
                }
            });
            let root = root_of(&rootfs);
            for _ in 0..2000 {
                let _ = ensure_dir(root.as_fd(), c"/a/x/y", 0o755);
                let _ = ensure_file(root.as_fd(), c"/b/z", 0o644);
                let _ = std::fs::remove_dir_all(rootfs.join("a/x"));
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(std::fs::read_dir(&victim).unwrap().count(), 0);
        std::fs::remove_dir_all(base).unwrap();
    }
}
