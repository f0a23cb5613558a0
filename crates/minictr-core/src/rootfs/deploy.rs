//! Bringing files into a rootfs: what `deploy` does on disk.
//!
//! TypeScript decides what goes where; here each file is brought in whole or not at all: written
//! under a temporary name in its directory, given mode, owner, times and attributes, then renamed.
//! Targets are resolved inside the root.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, UtimensatFlags, fchmod, fstat, futimens, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{
    Gid, Uid, UnlinkatFlags, Whence, fchown, fchownat, linkat, lseek, symlinkat, unlinkat,
};

use super::paths;
use crate::sys::files;

/// A directory that files are brought into.
#[derive(Debug)]
pub struct Rootfs {
    root: OwnedFd,
}

/// What is at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, FIFO or socket.
    Other,
}

/// Temporary names begin so; `PID-COUNT` follows. A process that was killed leaves one behind, which
/// [`Rootfs::sweep`] removes.
const TEMPORARY: &str = ".minictr-";

impl Rootfs {
    /// Opens a directory.
    ///
    /// # Errors
    /// ENOENT, ENOTDIR, EACCES.
    pub fn open(path: &CStr) -> Result<Self, Errno> {
        Ok(Self { root: paths::open_path(path, libc::O_RDONLY | libc::O_DIRECTORY)? })
    }

    /// The root's descriptor.
    #[must_use]
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Makes a directory and those above it where missing, with mode 0755 less the umask.
    ///
    /// # Errors
    /// ENOTDIR where something else is in the way; those of `mkdirat(2)`.
    pub fn make_directories(&self, path: &CStr) -> Result<(), Errno> {
        paths::ensure_dir(self.fd(), path, 0o755).map(drop)
    }

    /// What is at a path; the last part isn't followed where it is a link.
    ///
    /// # Errors
    /// Those of opening it but ENOENT.
    pub fn kind(&self, path: &CStr) -> Result<Option<Kind>, Errno> {
        let found = match paths::open_in_root(self.fd(), path, libc::O_PATH | libc::O_NOFOLLOW, 0) {
            Ok(found) => found,
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
            Err(errno) => return Err(errno),
        };
        Ok(Some(match kind_of(&fstat(&found)?) {
            SFlag::S_IFREG => Kind::File,
            SFlag::S_IFDIR => Kind::Directory,
            SFlag::S_IFLNK => Kind::Link,
            _ => Kind::Other,
        }))
    }

    /// Copies a regular file of the host's: extents shared where the filesystem can, holes kept;
    /// mode, times, extended attributes and, as root, owner too.
    ///
    /// # Errors
    /// EINVAL where `source` isn't a regular file, EISDIR where a directory is at the target,
    /// ENOSPC, and those of opening either.
    pub fn copy_file(&self, source: &CStr, path: &CStr) -> Result<(), Errno> {
        let source = paths::open_path(source, libc::O_RDONLY | libc::O_NONBLOCK)?;
        let stat = fstat(&source)?;
        if kind_of(&stat) != SFlag::S_IFREG {
            return Err(Errno::EINVAL);
        }
        self.place(path, |directory, name| {
            let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
            let target = openat(directory, name, flags, Mode::from_bits_truncate(0o600))?;
            if files::clone_file(source.as_fd(), target.as_fd()).is_err() {
                copy_contents(source.as_fd(), target.as_fd(), &stat)?;
            }
            copy_attributes(source.as_fd(), target.as_fd(), &stat)
        })
    }

    /// Makes a symbolic link to `target`, as it stands.
    ///
    /// # Errors
    /// EISDIR where a directory is at the path.
    pub fn symlink(&self, target: &CStr, path: &CStr) -> Result<(), Errno> {
        self.place(path, |directory, name| symlinkat(target, directory, name))
    }

    /// Makes `path` another name of the file that is at `existing`.
    ///
    /// # Errors
    /// ENOENT, EISDIR, EXDEV.
    pub fn link(&self, existing: &CStr, path: &CStr) -> Result<(), Errno> {
        let flags = libc::O_PATH | libc::O_NOFOLLOW;
        let existing = paths::open_in_root(self.fd(), existing, flags, 0)?;
        self.place(path, |directory, name| {
            use std::os::fd::AsRawFd;
            // By its descriptor, so that what was looked at is what is linked; AT_EMPTY_PATH would
            // need a capability.
            let own = format!("/proc/self/fd/{}", existing.as_raw_fd());
            linkat(paths::cwd(), own.as_str(), directory, name, AtFlags::AT_SYMLINK_FOLLOW)
        })
    }

    /// Gives a directory the mode, times, extended attributes and, as root, the owner of one of the
    /// host's.
    ///
    /// # Errors
    /// Those of opening either.
    pub fn dress_directory(&self, source: &CStr, path: &CStr) -> Result<(), Errno> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY;
        let source = paths::open_path(source, flags)?;
        let target = paths::open_in_root(self.fd(), path, flags, 0)?;
        let stat = fstat(&source)?;
        copy_attributes(source.as_fd(), target.as_fd(), &stat)
    }

    /// Makes something under a temporary name and renames it to the last part of `path`.
    fn place(
        &self,
        path: &CStr,
        make: impl FnOnce(BorrowedFd<'_>, &CStr) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (parent, name) = paths::split(path)?;
        let flags = libc::O_RDONLY | libc::O_DIRECTORY;
        let parent = parent.as_deref().unwrap_or(c".");
        let directory = paths::open_in_root(self.fd(), parent, flags, 0)?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let temporary = CString::new(format!("{TEMPORARY}{}-{count}", std::process::id()))
            .map_err(|_| Errno::EINVAL)?;
        let placed = make(directory.as_fd(), &temporary)
            .and_then(|()| renameat(&directory, temporary.as_c_str(), &directory, name.as_c_str()));
        // Also after success: renaming onto another name of the same file does nothing.
        let _ = unlinkat(&directory, temporary.as_c_str(), UnlinkatFlags::NoRemoveDir);
        match placed {
            // A file can't replace a directory, however it is spelt.
            Err(Errno::EEXIST | Errno::ENOTEMPTY) => Err(Errno::EISDIR),
            result => result,
        }
    }

    /// Removes temporary files of processes that are gone from a directory.
    ///
    /// # Errors
    /// Those of opening the directory.
    pub fn sweep(&self, path: &CStr) -> Result<(), Errno> {
        let flags = libc::O_RDONLY | libc::O_DIRECTORY;
        let directory = paths::open_in_root(self.fd(), path, flags, 0)?;
        let listing = paths::open_in_root(self.fd(), path, flags, 0)?;
        for entry in nix::dir::Dir::from_fd(listing)?.iter().flatten() {
            let Ok(name) = entry.file_name().to_str() else { continue };
            let owner = name.strip_prefix(TEMPORARY).and_then(|rest| rest.split_once('-'));
            let Some(pid) = owner.and_then(|(pid, _)| pid.parse::<i32>().ok()) else { continue };
            let gone =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None) == Err(Errno::ESRCH);
            if pid > 0 && gone {
                let _ = unlinkat(&directory, name, UnlinkatFlags::NoRemoveDir);
            }
        }
        Ok(())
    }

    /// Gives a symbolic link the times and, as root, the owner of one of the host's.
    ///
    /// # Errors
    /// Those of looking at either.
    pub fn dress_link(&self, source: &CStr, path: &CStr) -> Result<(), Errno> {
        let source = paths::open_path(source, libc::O_PATH | libc::O_NOFOLLOW)?;
        let stat = fstat(&source)?;
        let (parent, name) = paths::split(path)?;
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let directory =
            paths::open_in_root(self.fd(), parent.as_deref().unwrap_or(c"."), flags, 0)?;
        let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        let nofollow = AtFlags::AT_SYMLINK_NOFOLLOW;
        tolerate(fchownat(&directory, name.as_c_str(), Some(uid), Some(gid), nofollow))?;
        let (accessed, modified) = times(&stat);
        let follow = UtimensatFlags::NoFollowSymlink;
        utimensat(&directory, name.as_c_str(), &accessed, &modified, follow)
    }
}

fn kind_of(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

fn times(stat: &FileStat) -> (TimeSpec, TimeSpec) {
    (
        TimeSpec::new(stat.st_atime, stat.st_atime_nsec),
        TimeSpec::new(stat.st_mtime, stat.st_mtime_nsec),
    )
}

/// EPERM and EINVAL: only root gives files away; EOPNOTSUPP: the filesystem has no such thing.
fn tolerate(result: Result<(), Errno>) -> Result<(), Errno> {
    match result {
        Err(Errno::EPERM | Errno::EINVAL | Errno::EOPNOTSUPP) => Ok(()),
        result => result,
    }
}

/// Copies the parts that hold data; what is between them stays a hole.
fn copy_contents(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    stat: &FileStat,
) -> Result<(), Errno> {
    nix::unistd::ftruncate(target, stat.st_size)?;
    let mut at = 0;
    while at < stat.st_size {
        let data = match lseek(source, at, Whence::SeekData) {
            Ok(data) => data,
            // Nothing but a hole up to the end.
            Err(Errno::ENXIO) => break,
            // The filesystem knows no holes.
            Err(Errno::EINVAL) => at,
            Err(errno) => return Err(errno),
        };
        let hole = lseek(source, data, Whence::SeekHole).unwrap_or(stat.st_size);
        copy_range(source, target, data, hole)?;
        at = hole;
    }
    Ok(())
}

fn copy_range(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    from: i64,
    to: i64,
) -> Result<(), Errno> {
    let (mut read_at, mut write_at) = (from, from);
    while read_at < to {
        let length = usize::try_from(to - read_at).unwrap_or(usize::MAX);
        match nix::fcntl::copy_file_range(
            source,
            Some(&mut read_at),
            target,
            Some(&mut write_at),
            length,
        ) {
            // The file has become shorter under us.
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::EINTR) => {}
            // Between filesystems, or into one that can't: through memory.
            Err(Errno::EXDEV | Errno::EINVAL | Errno::EOPNOTSUPP | Errno::ENOSYS) => {
                return copy_through_memory(source, target, read_at, to);
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn copy_through_memory(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    from: i64,
    to: i64,
) -> Result<(), Errno> {
    use nix::sys::uio::{pread, pwrite};
    let mut buffer = vec![0; 256 * 1024];
    let mut at = from;
    while at < to {
        let wanted = buffer.len().min(usize::try_from(to - at).unwrap_or(usize::MAX));
        let count = pread(source, &mut buffer[..wanted], at)?;
        if count == 0 {
            break;
        }
        let mut written = 0;
        while written < count {
            written += pwrite(target, &buffer[written..count], at + written as i64)?;
        }
        at += count as i64;
    }
    Ok(())
}

/// Owner first: changing it takes set-user-ID bits and file capabilities away again.
///
/// A set-user-ID bit is kept only where the owner is: it would hand the rights of whoever deploys to
/// a program that somebody else has written.
fn copy_attributes(
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    stat: &FileStat,
) -> Result<(), Errno> {
    if nix::unistd::geteuid().is_root() {
        let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        tolerate(fchown(target, Some(uid), Some(gid)))?;
    }
    let own = fstat(target)?;
    let mut mode = Mode::from_bits_truncate(stat.st_mode & 0o7777);
    if own.st_uid != stat.st_uid {
        mode.remove(Mode::S_ISUID);
    }
    if own.st_gid != stat.st_gid {
        mode.remove(Mode::S_ISGID);
    }
    fchmod(target, mode)?;
    let names = match files::list_attributes(source) {
        Ok(names) => names,
        Err(Errno::EOPNOTSUPP) => Vec::new(),
        Err(errno) => return Err(errno),
    };
    for name in names.split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        match files::get_attribute(source, name) {
            Ok(value) => tolerate(files::set_attribute(target, name, &value))?,
            // ENODATA: gone meanwhile.
            Err(Errno::ENODATA | Errno::EPERM) => {}
            Err(errno) => return Err(errno),
        }
    }
    let (accessed, modified) = times(stat);
    futimens(target, &accessed, &modified)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::path::PathBuf;

    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("minictr-deploy-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir_all(path.join("root/bin")).unwrap();
            std::fs::create_dir(path.join("victim")).unwrap();
            Self(path)
        }

        fn rootfs(&self) -> Rootfs {
            Rootfs::open(&c_path(&self.0.join("root"))).unwrap()
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn c_path(path: &std::path::Path) -> CString {
        CString::new(path.to_str().unwrap()).unwrap()
    }

    #[test]
    fn a_file_arrives_with_mode_time_and_holes() {
        let scratch = Scratch::new("file");
        let source = scratch.0.join("app");
        let file = std::fs::File::create(&source).unwrap();
        file.set_len(8 << 20).unwrap();
        std::os::unix::fs::FileExt::write_at(&file, b"end", (8 << 20) - 3).unwrap();
        std::fs::set_permissions(&source, std::fs::Permissions::from_mode(0o751)).unwrap();
        scratch.rootfs().copy_file(&c_path(&source), c"/bin/app").unwrap();
        let (from, to) = (
            std::fs::metadata(&source).unwrap(),
            std::fs::metadata(scratch.0.join("root/bin/app")).unwrap(),
        );
        assert_eq!(
            (to.mode(), to.len(), to.mtime_nsec()),
            (from.mode(), from.len(), from.mtime_nsec())
        );
        assert!(to.blocks() < 1024, "the hole was filled: {} blocks", to.blocks());
        assert!(std::fs::read(scratch.0.join("root/bin/app")).unwrap().ends_with(b"end"));
    }

    #[test]
    fn a_link_at_the_target_is_replaced_and_never_followed() {
        let scratch = Scratch::new("link");
        std::fs::write(scratch.0.join("victim/file"), "precious").unwrap();
        std::fs::write(scratch.0.join("app"), "new").unwrap();
        symlink(scratch.0.join("victim/file"), scratch.0.join("root/bin/app")).unwrap();
        symlink(scratch.0.join("victim"), scratch.0.join("root/out")).unwrap();
        let rootfs = scratch.rootfs();
        let source = c_path(&scratch.0.join("app"));
        rootfs.copy_file(&source, c"/bin/app").unwrap();
        assert!(rootfs.copy_file(&source, c"/out/app").is_err(), "the link leads nowhere inside");
        assert_eq!(std::fs::read_to_string(scratch.0.join("victim/file")).unwrap(), "precious");
        assert_eq!(std::fs::read_dir(scratch.0.join("victim")).unwrap().count(), 1);
        assert_eq!(rootfs.kind(c"/bin/app").unwrap(), Some(Kind::File));
    }

    #[test]
    fn names_of_one_file_stay_names_of_one_file() {
        let scratch = Scratch::new("hard");
        std::fs::write(scratch.0.join("app"), "x").unwrap();
        let rootfs = scratch.rootfs();
        rootfs.copy_file(&c_path(&scratch.0.join("app")), c"/bin/a").unwrap();
        rootfs.link(c"/bin/a", c"/bin/b").unwrap();
        rootfs.link(c"/bin/a", c"/bin/b").unwrap();
        let inode =
            |name: &str| std::fs::metadata(scratch.0.join("root/bin").join(name)).unwrap().ino();
        assert_eq!(inode("a"), inode("b"));
        assert_eq!(std::fs::read_dir(scratch.0.join("root/bin")).unwrap().count(), 2);
    }

    #[test]
    fn what_a_killed_process_left_is_swept_and_nothing_else() {
        let scratch = Scratch::new("sweep");
        for name in [".minictr-999999999-0", ".minictr-notes", "app"] {
            std::fs::write(scratch.0.join("root/bin").join(name), "").unwrap();
        }
        scratch.rootfs().sweep(c"/bin").unwrap();
        assert!(!scratch.0.join("root/bin/.minictr-999999999-0").exists());
        assert_eq!(std::fs::read_dir(scratch.0.join("root/bin")).unwrap().count(), 2);
    }

    #[test]
    fn a_directory_is_not_replaced_by_a_file() {
        let scratch = Scratch::new("directory");
        std::fs::write(scratch.0.join("app"), "x").unwrap();
        let error =
            scratch.rootfs().copy_file(&c_path(&scratch.0.join("app")), c"/bin").unwrap_err();
        assert_eq!(error, Errno::EISDIR);
    }
}
