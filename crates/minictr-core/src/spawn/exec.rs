//! The last steps of a child: who, where, and the program itself.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::stat::SFlag;
use nix::unistd::{AccessFlags, faccessat};

use super::report;
use crate::diagnose;
use crate::error::Error;
use crate::rootfs::mounts::Fault;
use crate::rootfs::paths;
use crate::rootfs::users::{self, ResolvedUser};
use crate::sys::process::{self, CStringArray};

/// The program, with everything that `execve(2)` needs made beforehand.
#[derive(Debug)]
pub(super) struct Program {
    /// As the user wrote it.
    pub(super) name: String,
    /// Paths to try in order: the name itself, or one for each directory of PATH.
    pub(super) candidates: Vec<CString>,
    /// Arguments, name included.
    pub(super) argv: CStringArray,
    /// Environment.
    pub(super) envp: CStringArray,
    /// Whether HOME is to be added from the container's passwd.
    pub(super) needs_home: bool,
    /// PATH, for the explanation of a failure.
    pub(super) path: Option<String>,
    /// Working directory.
    pub(super) cwd: String,
}

/// Executes the program; returns only the errno of the failure.
///
/// As `execvpe(3)`: a candidate that isn't there is passed over, one that may not be executed is
/// remembered.
pub(super) fn execute(program: &Program, home: Option<&str>) -> Errno {
    let with_home = home.filter(|_| program.needs_home).and_then(|home| {
        let mut strings = program.envp.strings().to_vec();
        strings.push(CString::new(format!("HOME={home}")).ok()?);
        Some(CStringArray::new(strings))
    });
    let envp = with_home.as_ref().unwrap_or(&program.envp);
    let mut worst = Errno::ENOENT;
    for candidate in &program.candidates {
        match process::execve(candidate, &program.argv, envp) {
            Errno::ENOENT | Errno::ENOTDIR if program.candidates.len() > 1 => {}
            Errno::EACCES if program.candidates.len() > 1 => worst = Errno::EACCES,
            errno => return errno,
        }
    }
    worst
}

/// Looks whether there is a program to execute, as the user who will: an engine wants to know at
/// the creation, not at the start.
///
/// # Errors
/// ENOENT where there is none, EACCES where it may not be executed.
pub(super) fn find(program: &Program) -> Result<(), Errno> {
    let mut worst = Errno::ENOENT;
    for candidate in &program.candidates {
        match may_execute(candidate) {
            Ok(()) => return Ok(()),
            Err(Errno::ENOENT | Errno::ENOTDIR) if program.candidates.len() > 1 => {}
            Err(errno) if program.candidates.len() > 1 => worst = errno,
            Err(errno) => return Err(errno),
        }
    }
    Err(worst)
}

fn may_execute(path: &CStr) -> Result<(), Errno> {
    faccessat(paths::cwd(), path, AccessFlags::X_OK, AtFlags::AT_EACCESS)?;
    let kind = nix::sys::stat::stat(path)?.st_mode & SFlag::S_IFMT.bits();
    // As execve(2) has it: the x of a directory means something else.
    if kind == SFlag::S_IFREG.bits() { Ok(()) } else { Err(Errno::EACCES) }
}

/// Why the program couldn't be executed, in words.
pub(super) fn explain(program: &Program, errno: Errno) -> Option<Error> {
    let root = paths::open_path(c"/", libc::O_PATH | libc::O_DIRECTORY).ok()?;
    let path = program.path.as_deref();
    Some(diagnose::explain_exec(root.as_fd(), &program.cwd, &program.name, path, errno))
}

/// Looks up the container's user in the container's own files.
pub(super) fn resolve_user(
    sync: BorrowedFd<'_>,
    root: &CStr,
    user: &str,
    groups: &[String],
) -> Result<ResolvedUser, Fault> {
    let root = paths::open_path(root, libc::O_PATH | libc::O_DIRECTORY)?;
    users::resolve(root.as_fd(), user, groups).map_err(|error| {
        report::send_explanation(sync, &error);
        Errno::EINVAL.into()
    })
}

/// Changes to the working directory, which must be inside the root: resolved without magic links,
/// and checked, since a directory descriptor of the host's must not become one (CVE-2024-21626).
pub(super) fn enter_directory(path: &CStr) -> Result<(), Fault> {
    if path == c"/" {
        return Ok(());
    }
    let root = paths::open_path(c"/", libc::O_PATH | libc::O_DIRECTORY)?;
    match paths::open_in_root(root.as_fd(), path, libc::O_PATH | libc::O_DIRECTORY, 0) {
        Ok(directory) => nix::unistd::fchdir(&directory)?,
        // Without no_new_privs the container's own filter is loaded by now, and may not know
        // openat2(2). A directory outside has no path from here, which is what is asked for next.
        Err(Errno::ENOSYS | Errno::EPERM) => nix::unistd::chdir(path)?,
        Err(errno) => return Err(errno.into()),
    }
    nix::unistd::getcwd()?;
    Ok(())
}
