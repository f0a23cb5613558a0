//! The directory of a runtime's containers: one directory each, with a record that is replaced as a
//! whole, and a lock on the directory itself.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, openat, renameat};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::record::Record;
use crate::error::{Context, Error, ErrorCode, Result};
use crate::rootfs::paths::cwd;
use crate::spawn::{gate, validate_id};
use crate::sys::clone;
use crate::sys::files::read_whole;

const RECORD: &str = "state.json";
const CONFIG: &str = "config.json";
const NEW: &str = "new";
/// The directory with the socket that a container tells its readiness on.
pub(crate) const NOTIFY: &str = "notify";

/// All containers of one runtime root.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

/// A container's directory.
#[derive(Debug)]
pub struct Entry {
    id: String,
    path: PathBuf,
    directory: OwnedFd,
}

/// The right to change a container; nobody else has it meanwhile.
#[derive(Debug)]
pub struct Locked {
    /// What it is the right to.
    pub entry: Entry,
    _lock: Lock,
}

/// A lock that children of this process don't share.
#[derive(Debug)]
struct Lock(#[expect(dead_code, reason = "held for its drop")] Flock<OwnedFd>);

impl Lock {
    fn new(lock: Flock<OwnedFd>) -> Self {
        clone::keep_from_children(Some(lock.as_fd()));
        Self(lock)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        clone::keep_from_children(None);
    }
}

/// That there is no such container, in the words that engines know from runc.
pub(crate) fn does_not_exist(id: &str) -> Error {
    Error::new(ErrorCode::NotFound, "find", format!("`{id}`: container does not exist"))
}

impl Store {
    /// The containers below `root`, which is made with the first of them.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Takes an id: makes its directory, and locks it.
    ///
    /// # Errors
    /// `InvalidArgument` for what can't be an id, `AlreadyExists`, `Io`.
    pub fn create(&self, id: &str) -> Result<Locked> {
        validate_id(id)?;
        super::ensure_private_directory(&self.root)?;
        let path = self.root.join(id);
        let shown = format!("`{}`", path.display());
        match std::fs::DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(Error::new(ErrorCode::Io, "make state directory", shown).io(&error));
            }
        }
        let taken = || {
            let object = format!("`{id}`: container with given ID already exists");
            Error::new(ErrorCode::AlreadyExists, "create", object)
        };
        let entry = self.open(id)?;
        let locked = entry.lock(FlockArg::LockExclusiveNonblock)?.ok_or_else(taken)?;
        // A directory without a record is what a kill has left of a creation or a deletion.
        if locked.entry.has(RECORD) { Err(taken()) } else { Ok(locked) }
    }

    /// The container with an id.
    ///
    /// # Errors
    /// `NotFound`, `InvalidArgument`.
    pub fn open(&self, id: &str) -> Result<Entry> {
        validate_id(id)?;
        let path = self.root.join(id);
        let flags = OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        match openat(cwd(), &path, flags, Mode::empty()) {
            Ok(directory) => Ok(Entry { id: id.to_owned(), path, directory }),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Err(does_not_exist(id)),
            Err(errno) => Err(errno).context(
                ErrorCode::Io,
                "open state directory",
                format!("`{}`", path.display()),
            ),
        }
    }

    /// The ids of all containers, sorted; none where there is no root yet.
    ///
    /// # Errors
    /// `Io`.
    pub fn ids(&self) -> Result<Vec<String>> {
        let entries = match std::fs::read_dir(&self.root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                let shown = format!("`{}`", self.root.display());
                return Err(Error::new(ErrorCode::Io, "list", shown).io(&error));
            }
        };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut ids: Vec<String> = names.filter(|name| validate_id(name).is_ok()).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
}

impl Entry {
    /// The directory.
    #[must_use]
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Where the directory is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The container's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The record.
    ///
    /// # Errors
    /// `NotFound` where there is none: the container was never made, or is being deleted.
    pub fn record(&self) -> Result<Record> {
        crate::spec::parse_json(&self.read(RECORD)?, "read state of container")
    }

    /// The config that it was created with.
    ///
    /// # Errors
    /// `NotFound`, `Io`.
    pub fn config(&self) -> Result<Vec<u8>> {
        self.read(CONFIG)
    }

    /// Waits for the right to change the container.
    ///
    /// # Errors
    /// `NotFound` where it was deleted meanwhile.
    pub fn locked(self) -> Result<Locked> {
        let id = self.id.clone();
        self.lock(FlockArg::LockExclusive)?.ok_or_else(|| does_not_exist(&id))
    }

    /// Whether somebody has the right to change it just now.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        let Ok(copy) = self.reopened() else { return false };
        Flock::lock(copy, FlockArg::LockSharedNonblock).is_err()
    }

    /// A lock belongs to an opening of the directory, so each needs one of its own, `flock(2)`.
    fn reopened(&self) -> Result<OwnedFd, Errno> {
        openat(&self.directory, ".", OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
    }

    /// `None` where another has it, or the directory is gone.
    fn lock(self, how: FlockArg) -> Result<Option<Locked>> {
        let shown = format!("`{}`", self.path.display());
        let copy = self.reopened().context(ErrorCode::Io, "open state directory", &shown)?;
        let lock = match Flock::lock(copy, how) {
            Ok(lock) => lock,
            Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
            Err((_, errno)) => return Err(errno).context(ErrorCode::Io, "lock", &shown),
        };
        // Its last holder may have deleted it.
        let links = fstat(&self.directory).context(ErrorCode::Io, "look at", shown)?.st_nlink;
        Ok((links > 0).then_some(Locked { entry: self, _lock: Lock::new(lock) }))
    }

    fn has(&self, name: &str) -> bool {
        nix::sys::stat::fstatat(&self.directory, name, nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW)
            .is_ok()
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        let shown = || format!("`{}/{name}`", self.path.display());
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = match openat(&self.directory, name, flags, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::ENOENT) => return Err(does_not_exist(&self.id)),
            Err(errno) => return Err(errno).context(ErrorCode::Io, "read", shown()),
        };
        read_whole(&file).context(ErrorCode::Io, "read", shown())
    }
}

impl Locked {
    /// Replaces the record.
    ///
    /// # Errors
    /// `Io`; the old one stands.
    pub fn write_record(&self, record: &Record) -> Result<()> {
        let json = serde_json::to_vec(record).unwrap_or_default();
        self.write(RECORD, &json)
    }

    /// Keeps the config that the container is created with.
    ///
    /// # Errors
    /// `Io`.
    pub fn write_config(&self, json: &[u8]) -> Result<()> {
        self.write(CONFIG, json)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let directory = self.entry.directory();
        let flags = OFlag::O_WRONLY
            | OFlag::O_CREAT
            | OFlag::O_TRUNC
            | OFlag::O_NOFOLLOW
            | OFlag::O_CLOEXEC;
        let shown = format!("`{}/{name}`", self.entry.path.display());
        let file = openat(directory, NEW, flags, Mode::from_bits_truncate(0o600)).context(
            ErrorCode::Io,
            "write",
            &shown,
        )?;
        File::from(file).write_all(bytes).context(ErrorCode::Io, "write", &shown)?;
        renameat(directory, NEW, directory, name).context(ErrorCode::Io, "write", shown)
    }

    /// Frees the id. The record goes last but for the directory, so that a deletion that is killed
    /// can be begun again.
    ///
    /// # Errors
    /// `Io`.
    pub fn remove(self) -> Result<()> {
        let directory = self.entry.directory();
        let shown = format!("`{}`", self.entry.path.display());
        // A container can reach into this one.
        match std::fs::remove_dir_all(self.entry.path.join(NOTIFY)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).context(ErrorCode::Io, "remove from", shown);
            }
            _ => {}
        }
        for name in [gate::START, gate::REPORT, NEW, CONFIG, RECORD] {
            match unlinkat(directory, name, UnlinkatFlags::NoRemoveDir) {
                Ok(()) | Err(Errno::ENOENT) => {}
                Err(errno) => return Err(errno).context(ErrorCode::Io, "remove from", shown),
            }
        }
        std::fs::remove_dir(&self.entry.path).context(ErrorCode::Io, "remove", shown)
    }
}
