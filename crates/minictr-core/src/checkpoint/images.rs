//! The directories of images and logs, and the file of a runtime's own beside CRIU's.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::options::Common;
use super::rpc::Options;
use crate::error::{Context, Error, ErrorCode, Result};

/// What the standard streams of a dumped container were, as runc names and writes it.
const DESCRIPTORS: &str = "descriptors.json";
/// Larger than any of it.
const MAX_DESCRIPTORS: usize = 64 * 1024;

/// Both directories, open.
#[derive(Debug)]
pub(super) struct Directories {
    images: File,
    work: Option<File>,
    path: PathBuf,
    log: PathBuf,
}

impl Directories {
    /// Opens them, and with `make` makes those that are missing.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn open(common: &Common, make: bool, log: &str) -> Result<Self> {
        let images = open(&common.images, make)?;
        let work = common.work.as_deref().map(|path| open(path, true)).transpose()?;
        let logs = common.work.as_ref().unwrap_or(&common.images);
        // The words of an earlier failure aren't those of this one.
        let log = logs.join(log);
        let _ = std::fs::remove_file(&log);
        Ok(Self { images, work, path: common.images.clone(), log })
    }

    /// Opens them again as a process of another mount namespace has them: CRIU works in one of them,
    /// and can mount nothing in what is part of a namespace that isn't its own.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn move_to(&mut self, pid: i32) -> Result<()> {
        let there = |directory: &File| {
            let path = std::fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()))
                .context(ErrorCode::Io, "find", "a directory of images")?;
            open(Path::new(&format!("/proc/{pid}/root{}", path.display())), false)
        };
        self.images = there(&self.images)?;
        self.work = self.work.as_ref().map(there).transpose()?;
        Ok(())
    }

    /// Where CRIU's log is.
    pub(super) fn log(&self) -> &Path {
        &self.log
    }

    /// What CRIU is told of them, and of what dumping and restoring have in common.
    pub(super) fn options(&self, common: &Common) -> Options {
        let on = |set: bool| set.then_some(true);
        Options {
            images_dir_fd: self.images.as_raw_fd(),
            work_dir_fd: self.work.as_ref().map(AsRawFd::as_raw_fd),
            log_level: Some(4),
            log_file: self.log.file_name().map(|name| name.to_string_lossy().into_owned()),
            notify_scripts: Some(true),
            manage_cgroups: Some(true),
            manage_cgroups_mode: Some(common.cgroups.number()),
            orphan_pts_master: Some(true),
            tcp_established: on(common.tcp_established),
            ext_unix_sk: on(common.ext_unix_sk),
            shell_job: on(common.shell_job),
            file_locks: on(common.file_locks),
            lazy_pages: on(common.lazy_pages),
            auto_dedup: on(common.auto_dedup),
            empty_namespaces: common.empty_network.then_some(libc::CLONE_NEWNET as u32),
            ..Options::default()
        }
    }

    /// Writes what the standard streams are.
    ///
    /// # Errors
    /// `Io`.
    pub(super) fn write_descriptors(&self, names: &[String]) -> Result<()> {
        let path = self.path.join(DESCRIPTORS);
        let json = serde_json::to_vec(names).unwrap_or_default();
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path);
        file.and_then(|mut file| std::io::Write::write_all(&mut file, &json)).context(
            ErrorCode::Io,
            "write",
            format!("`{}`", path.display()),
        )
    }

    /// Reads what they were.
    ///
    /// # Errors
    /// `Io` where there is no dump of a container.
    pub(super) fn read_descriptors(&self) -> Result<Vec<String>> {
        let path = self.path.join(DESCRIPTORS);
        let shown = || format!("`{}`", path.display());
        let text =
            std::fs::read(&path).context(ErrorCode::Io, "read", shown()).map_err(|error| {
                error.hint("it is written beside the images of each checkpoint of a container")
            })?;
        let names = Some(&text).filter(|text| text.len() < MAX_DESCRIPTORS);
        names.and_then(|text| serde_json::from_slice(text).ok()).ok_or_else(|| {
            Error::invalid("understand", format!("{}: it isn't a list of names", shown()))
        })
    }
}

fn open(path: &Path, make: bool) -> Result<File> {
    let shown = || format!("`{}`", path.display());
    if make {
        match std::fs::DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(Error::new(ErrorCode::Io, "make directory", shown()).io(&error));
            }
            _ => {}
        }
    }
    File::options().read(true).custom_flags(libc::O_DIRECTORY).open(path).context(
        ErrorCode::Io,
        "open directory",
        shown(),
    )
}
