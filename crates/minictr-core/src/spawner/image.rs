//! The helper's executable, copied into sealed memory once per process.
//!
//! Neither the file's mode, which publishing tools and package managers lose, nor a file that
//! somebody may write to matters then, and what a container sees as `/proc/PID/exe` can't be written
//! (CVE-2019-5736).

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::fstat;
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::{AccessFlags, access, geteuid};

use super::protocol::image_seal;
use crate::diagnose::obstacles;
use crate::error::{Context, Error, ErrorCode, Result};

/// The helper's executable.
#[derive(Debug)]
pub struct Image {
    memory: Option<OwnedFd>,
    path: PathBuf,
}

/// Executable even where `vm.memfd_noexec` is 1; `memfd_create(2)`, Linux 6.3.
const MFD_EXEC: MFdFlags = MFdFlags::from_bits_retain(0x10);

impl Image {
    /// Reads the helper at `path` into sealed memory; where the kernel forbids executing that, the
    /// file itself is used.
    ///
    /// # Errors
    /// `SpawnerUnavailable` where the file can't be read.
    pub fn load(path: &Path) -> Result<Self> {
        let shown = format!("`{}`", path.display());
        let mut file = File::open(path)
            .context(ErrorCode::SpawnerUnavailable, "read the native helper", shown.clone())
            .map_err(|error| error.hint("reinstall minictr: its platform package is incomplete"))?;
        let memory = match seal(&mut file) {
            Ok(memory) => Some(memory),
            Err(Errno::EACCES | Errno::EPERM | Errno::ENOSYS) => None,
            Err(errno) => {
                return Err(Error::new(ErrorCode::SpawnerUnavailable, "copy into memory", shown)
                    .errno(errno));
            }
        };
        Ok(Self { memory, path: path.to_owned() })
    }

    /// The paths to execute, best first, valid while this lives. One that can't be executed fails
    /// with EACCES.
    #[must_use]
    pub fn executables(&self) -> Vec<PathBuf> {
        let memory = self
            .memory
            .as_ref()
            .map(|memory| PathBuf::from(format!("/proc/self/fd/{}", memory.as_raw_fd())));
        let mut list: Vec<PathBuf> = memory.into_iter().collect();
        // A profile of AppArmor's is found by the path of what is executed. The process goes on in
        // memory then, and keeps its profile.
        let first = if obstacles::apparmor_restricts_user_namespaces() { 0 } else { list.len() };
        list.insert(first, self.path.clone());
        list
    }

    /// Refuses to go on where containers could write the helper's file: neither is there a copy in
    /// memory, nor may this process mount the file read-only.
    ///
    /// # Errors
    /// `Security`.
    pub fn check(&self) -> Result<()> {
        let unwritable = || File::open(&self.path).is_ok_and(|file| is_unwritable(&file));
        if self.memory.is_some() || geteuid().is_root() || unwritable() {
            return Ok(());
        }
        Err(unprotected())
    }

    /// The sealed memory, where there is one.
    #[must_use]
    pub fn memory(&self) -> Option<&OwnedFd> {
        self.memory.as_ref()
    }

    /// The file it was read from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether nobody that a container of this process could become can write a file: it is sealed, on a
/// read-only mount, or, for a process that isn't root, another user's.
#[must_use]
pub fn is_unwritable(file: &File) -> bool {
    let read_only = fstatvfs(file).is_ok_and(|stat| stat.flags().contains(FsFlags::ST_RDONLY));
    let is_sealed = || {
        fcntl(file, FcntlArg::F_GET_SEALS)
            .is_ok_and(|seals| SealFlag::from_bits_retain(seals).contains(SealFlag::F_SEAL_WRITE))
    };
    read_only || is_sealed() || is_anothers(file)
}

fn is_anothers(file: &File) -> bool {
    let user = geteuid();
    let owner = fstat(file).map(|stat| stat.st_uid);
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    !user.is_root()
        && owner.is_ok_and(|owner| owner != user.as_raw())
        && access(path.as_str(), AccessFlags::W_OK).is_err()
}

/// The error where containers could write our executable, and nothing keeps it from them.
#[must_use]
pub fn unprotected() -> Error {
    Error::new(ErrorCode::Security, "protect", "minictr's own executable from containers")
        .hint(obstacles::MEMORY_EXECUTION)
}

/// Copies a file into sealed, executable memory.
///
/// # Errors
/// EACCES where executable memory files are forbidden (`vm.memfd_noexec` 2), ENOMEM, those of
/// reading.
fn seal(source: &mut File) -> Result<OwnedFd, Errno> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let memory = match memfd_create(c"minictr-oci", flags | MFD_EXEC) {
        // EINVAL: before Linux 6.3 the flag is unknown and every memory file executable.
        Err(Errno::EINVAL) => memfd_create(c"minictr-oci", flags)?,
        result => result?,
    };
    let mut file = File::from(memory);
    // In the kernel, where it can: through a buffer of this process's it takes a third longer.
    std::io::copy(source, &mut file)
        .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    let memory = OwnedFd::from(file);
    image_seal(memory.as_fd())?;
    Ok(memory)
}
