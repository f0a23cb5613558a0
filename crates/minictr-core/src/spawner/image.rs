//! The helper's executable, copied into sealed memory once per process.
//!
//! Neither the file's mode, which publishing tools and package managers lose, nor a file that
//! somebody may write to matters then, and what a container sees as `/proc/PID/exe` can't be written
//! (CVE-2019-5736).

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::protocol::image_seal;
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
        let bytes = std::fs::read(path)
            .context(ErrorCode::SpawnerUnavailable, "read the native helper", shown.clone())
            .map_err(|error| error.hint("reinstall minictr: its platform package is incomplete"))?;
        let memory = match seal(&bytes) {
            Ok(memory) => Some(memory),
            Err(Errno::EACCES | Errno::EPERM | Errno::ENOSYS) => None,
            Err(errno) => {
                return Err(Error::new(ErrorCode::SpawnerUnavailable, "copy into memory", shown)
                    .errno(errno));
            }
        };
        Ok(Self { memory, path: path.to_owned() })
    }

    /// The path to execute, valid while this lives.
    #[must_use]
    pub fn executable(&self) -> PathBuf {
        match &self.memory {
            Some(memory) => PathBuf::from(format!("/proc/self/fd/{}", memory.as_raw_fd())),
            None => self.path.clone(),
        }
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

/// Copies bytes into sealed, executable memory.
///
/// # Errors
/// EACCES where executable memory files are forbidden (`vm.memfd_noexec` 2), ENOMEM.
fn seal(bytes: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let memory = match memfd_create(c"minictr-oci", flags | MFD_EXEC) {
        // EINVAL: before Linux 6.3 the flag is unknown and every memory file executable.
        Err(Errno::EINVAL) => memfd_create(c"minictr-oci", flags)?,
        result => result?,
    };
    let mut file = File::from(memory);
    file.write_all(bytes)
        .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    let memory = OwnedFd::from(file);
    image_seal(memory.as_fd())?;
    Ok(memory)
}
