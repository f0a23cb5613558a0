//! Why a program couldn't be executed, in a sentence: the kernel's errno says it for the loader, the
//! interpreter and the program alike. And, in `obstacles`, why this machine lets no container start.
//!
//! Runs in the container's root, in the failed child or afterwards; only opens and reads.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::stat::{FileStat, SFlag, fstat};

use crate::error::{Error, ErrorCode, NO_PROCESSES};
use crate::rootfs::paths;

pub mod elf;
mod libraries;
pub mod obstacles;

pub use libraries::{LibraryFile, explain_missing_libraries, library_closure};

/// How far chains of interpreters are followed: the kernel's own limit.
const MAX_INTERPRETERS: usize = 4;
/// How much of a script's first line the kernel reads.
const MAX_LINE: usize = 255;

/// Opens without blocking or side effects.
fn open(root: BorrowedFd<'_>, path: &str, flags: i32) -> Result<OwnedFd, Errno> {
    let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
    // openat2(2) refuses these beside O_PATH, which opens nothing that could block.
    let flags = match flags & libc::O_PATH {
        0 => flags | libc::O_NONBLOCK | libc::O_NOCTTY,
        _ => flags,
    };
    match paths::open_in_root(root, &path, flags, 0) {
        // A filter may know no openat2; the root is ours then.
        Err(Errno::ENOSYS | Errno::EPERM) => paths::open_path(&path, flags),
        result => result,
    }
}

fn kind(stat: &FileStat) -> u32 {
    stat.st_mode & SFlag::S_IFMT.bits()
}

fn not_found(object: String) -> Error {
    Error::new(ErrorCode::CommandNotFound, "run", object)
}

fn not_executable(object: String) -> Error {
    Error::new(ErrorCode::CommandNotExecutable, "run", object)
}

/// The sentence for a failed exec of `program`, as the user wrote it, in the container whose root is
/// `root`. Exit codes as a shell's: 127 not found, 126 found and not executable.
#[must_use]
pub fn explain_exec(
    root: BorrowedFd<'_>,
    cwd: &str,
    program: &str,
    path_env: Option<&str>,
    errno: Errno,
) -> Error {
    match errno {
        Errno::E2BIG => {
            return not_executable(format!(
                "`{program}`: its arguments and environment are too long"
            ))
            .errno(errno)
            .hint(
                "the kernel takes 128 KiB for one string and a quarter of the stack limit for all",
            );
        }
        Errno::ENOMEM => {
            return Error::new(ErrorCode::ResourceExhausted, "run", format!("`{program}`"))
                .errno(errno);
        }
        // execve(2): the user has more processes than the limit that was set meanwhile.
        Errno::EAGAIN => {
            return Error::new(ErrorCode::ResourceExhausted, "run", format!("`{program}`"))
                .errno(errno)
                .hint(NO_PROCESSES);
        }
        _ => {}
    }
    if program.contains('/') {
        let path = absolute(cwd, program);
        return explain_file(root, program, &path, errno, 0);
    }
    // The first candidate that exists is the one that failed.
    let directories: Vec<&str> = path_env.unwrap_or("").split(':').collect();
    for directory in &directories {
        let candidate = absolute(cwd, &format!("{directory}/{program}"));
        if let Ok(found) = open(root, &candidate, libc::O_PATH)
            && fstat(&found).is_ok_and(|stat| kind(&stat) != SFlag::S_IFDIR.bits())
        {
            return explain_file(root, program, &candidate, errno, 0);
        }
    }
    not_found(format!("`{program}`: not found in the container's PATH ({})", directories.join(":")))
        .hint("give the path of the program, or bring it into the rootfs with `minictr deploy`")
}

fn absolute(cwd: &str, path: &str) -> String {
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("{}/{path}", cwd.trim_end_matches('/'))
    }
}

fn explain_file(
    root: BorrowedFd<'_>,
    program: &str,
    path: &str,
    errno: Errno,
    depth: usize,
) -> Error {
    let found = match open(root, path, libc::O_PATH) {
        Ok(found) => found,
        Err(Errno::ENOENT) if is_dangling(root, path) => {
            return not_found(format!(
                "`{program}`: a symbolic link that leads nowhere in the container"
            ));
        }
        Err(Errno::ENOENT) => {
            return not_found(format!("`{program}`: no such file in the container"))
                .hint("bring it into the rootfs with `minictr deploy`");
        }
        Err(Errno::ELOOP) => {
            return not_found(format!("`{program}`: a loop of symbolic links")).errno(Errno::ELOOP);
        }
        Err(Errno::ENOTDIR) => {
            return not_found(format!("`{program}`: a part of the path is not a directory"));
        }
        Err(Errno::EACCES) => {
            return not_executable(format!("`{program}`: {}", closed_directory(root, path)))
                .errno(Errno::EACCES);
        }
        Err(other) => return not_executable(format!("`{program}`")).errno(other),
    };
    let Ok(stat) = fstat(&found) else {
        return not_executable(format!("`{program}`")).errno(errno);
    };
    if kind(&stat) == SFlag::S_IFDIR.bits() {
        return not_executable(format!("`{program}`: it is a directory")).errno(Errno::EISDIR);
    }
    if kind(&stat) != SFlag::S_IFREG.bits() {
        return not_executable(format!("`{program}`: it is not a regular file"))
            .errno(Errno::EACCES);
    }
    if stat.st_mode & 0o111 == 0 {
        return not_executable(format!(
            "`{program}`: it is not executable (mode {:04o})",
            stat.st_mode & 0o7777
        ))
        .errno(Errno::EACCES)
        .hint(format!("chmod +x {path}"));
    }
    if errno == Errno::EACCES {
        return denied(program, &found);
    }
    if errno == Errno::ETXTBSY {
        return not_executable(format!("`{program}`: somebody has it open for writing"))
            .errno(errno);
    }
    explain_content(root, program, path, errno, depth)
}

/// Whether the last part of a path is a link; the whole leads nowhere then.
fn is_dangling(root: BorrowedFd<'_>, path: &str) -> bool {
    let Ok(path) = CString::new(path) else { return false };
    paths::open_in_root(root, &path, libc::O_PATH | libc::O_NOFOLLOW, 0).is_ok()
}

/// The first directory on the way that this user may not enter.
fn closed_directory(root: BorrowedFd<'_>, path: &str) -> String {
    let mut end = 0;
    while let Some(slash) = path[end + 1..].find('/') {
        end += 1 + slash;
        let below = format!("{}/.", &path[..end]);
        if open(root, &below, libc::O_PATH).is_err_and(|errno| errno == Errno::EACCES) {
            return format!("this user may not enter the directory `{}`", &path[..end]);
        }
    }
    "this user may not enter a directory on the way".to_owned()
}

fn denied(program: &str, found: &OwnedFd) -> Error {
    use nix::sys::statvfs::{FsFlags, fstatvfs};
    if fstatvfs(found).is_ok_and(|stat| stat.flags().contains(FsFlags::ST_NOEXEC)) {
        return not_executable(format!("`{program}`: it lies on a mount with the option `noexec`"))
            .errno(Errno::EACCES);
    }
    not_executable(format!("`{program}`: this user may not execute it")).errno(Errno::EACCES)
}

fn explain_content(
    root: BorrowedFd<'_>,
    program: &str,
    path: &str,
    errno: Errno,
    depth: usize,
) -> Error {
    let Ok(file) = open(root, path, libc::O_RDONLY) else {
        return not_executable(format!("`{program}`")).errno(errno);
    };
    let mut head = [0u8; MAX_LINE];
    let count = nix::sys::uio::pread(&file, &mut head, 0).unwrap_or(0);
    let head = &head[..count];
    if head.is_empty() {
        return not_executable(format!("`{program}`: the file is empty")).errno(errno);
    }
    if let Some(line) = head.strip_prefix(b"#!") {
        return explain_script(root, program, line, errno, depth);
    }
    match elf::read(file.as_fd()) {
        Err(elf::NotElf::Other) => not_executable(format!("`{program}`: neither a program nor a script with `#!` in its first line"))
            .errno(Errno::ENOEXEC)
            .hint("begin the script with the interpreter, such as `#!/bin/sh`"),
        Err(elf::NotElf::Truncated) => {
            not_executable(format!("`{program}`: the ELF file is cut off or broken")).errno(errno)
        }
        Ok(elf) if !elf::is_native(elf.machine) => not_executable(format!(
            "`{program}`: it is for {}, this machine is {}",
            elf::machine_name(elf.machine, elf.bits),
            std::env::consts::ARCH
        ))
        .errno(Errno::ENOEXEC),
        Ok(elf) => match elf.interpreter {
            Some(loader) if open(root, &loader, libc::O_PATH).is_err() => {
                not_found(format!("`{program}`: its loader `{loader}` is not in the container"))
                    .hint("bring the loader and the libraries along with `minictr deploy --libs`, or link the program statically")
            }
            _ => not_executable(format!("`{program}`")).errno(errno),
        },
    }
}

fn explain_script(
    root: BorrowedFd<'_>,
    program: &str,
    line: &[u8],
    errno: Errno,
    depth: usize,
) -> Error {
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let text = String::from_utf8_lossy(line);
    let interpreter = text.trim_start_matches([' ', '\t']).split([' ', '\t']).next().unwrap_or("");
    if interpreter.is_empty() {
        return not_executable(format!("`{program}`: its first line `#!` names no interpreter"))
            .errno(Errno::ENOEXEC);
    }
    if let Some(clean) = interpreter.strip_suffix('\r') {
        return not_found(format!("`{program}`: its interpreter `{clean}` ends in a carriage return"))
            .hint(format!("the script has Windows line endings: convert it, such as with `sed -i 's/\\r$//' {program}`"));
    }
    if depth >= MAX_INTERPRETERS {
        return not_executable(format!("`{program}`: interpreters of interpreters without end"))
            .errno(Errno::ELOOP);
    }
    let path = absolute("/", interpreter);
    match open(root, &path, libc::O_PATH) {
        Err(Errno::ENOENT | Errno::ENOTDIR) => not_found(format!(
            "`{program}`: its interpreter `{interpreter}` is not in the container"
        ))
        .hint("bring the interpreter into the rootfs, or name another in the first line"),
        _ => {
            let error = explain_file(root, interpreter, &path, errno, depth + 1);
            Error { object: format!("`{program}`, whose interpreter is {}", error.object), ..error }
        }
    }
}
