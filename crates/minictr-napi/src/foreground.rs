//! The command line replaces its process with the native helper.

use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use minictr_core::error::{Error, ErrorCode, Result};
use minictr_core::spawner::image::Image;
use minictr_core::spawner::protocol::in_memory;
use minictr_core::sys::{self, process};
use napi_derive::napi;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};

use crate::failure::exception;

/// Replaces this process with `minictr-oci foreground`, which runs the container of `request` (JSON)
/// with this process's standard streams and `preserveFds`. Returns only by throwing.
#[napi(ts_return_type = "never")]
pub fn exec_foreground(
    helper: String,
    request: String,
    preserve_fds: Vec<i32>,
) -> napi::Result<()> {
    Err(exception(&replace(Path::new(&helper), &request, &preserve_fds)))
}

fn replace(helper: &Path, request: &str, preserve_fds: &[i32]) -> Error {
    match prepare_and_execute(helper, request, preserve_fds) {
        Ok(errno) => {
            Error::new(ErrorCode::SpawnerUnavailable, "execute", format!("`{}`", helper.display()))
                .errno(errno)
        }
        Err(error) => error,
    }
}

fn prepare_and_execute(helper: &Path, request: &str, preserve_fds: &[i32]) -> Result<Errno> {
    let image = Image::load(helper)?;
    // The helper would refuse as well, but not as JSON: it hasn't read yet that it should.
    image.check()?;
    let memory = in_memory(request.as_bytes())?;
    for fd in preserve_fds {
        let fd = sys::borrow_of_caller(*fd)
            .ok_or_else(|| Error::invalid("pass", format!("descriptor {fd}: it isn't open")))?;
        keep_open(fd).map_err(|errno| passing(fd.as_raw_fd(), errno))?;
    }
    keep_open(memory.as_fd()).map_err(|errno| passing(memory.as_raw_fd(), errno))?;
    for fd in 0..3 {
        // A stream that is closed stays closed: the helper opens /dev/null in its place.
        let Some(stream) = sys::borrow_of_caller(fd) else { continue };
        keep_open(stream).map_err(|errno| passing(fd, errno))?;
        // Node makes pipes and terminals nonblocking, for itself; programs expect them not to be.
        if let Ok(flags) = fcntl(stream, FcntlArg::F_GETFL) {
            let flags = OFlag::from_bits_retain(flags) & !OFlag::O_NONBLOCK;
            let _ = fcntl(stream, FcntlArg::F_SETFL(flags));
        }
    }
    let mut arguments = vec![
        c"minictr-oci".to_owned(),
        c"foreground".to_owned(),
        c"--request-fd".to_owned(),
        number(memory.as_raw_fd()),
    ];
    for fd in preserve_fds {
        arguments.push(c"--preserve-fd".to_owned());
        arguments.push(number(*fd));
    }
    let arguments = process::CStringArray::new(arguments);
    let environment = std::env::vars_os().filter_map(|(name, value)| {
        use std::os::unix::ffi::OsStringExt;
        let entry = [name.into_vec(), value.into_vec()].join(&b'=');
        std::ffi::CString::new(entry).ok()
    });
    let environment = process::CStringArray::new(environment.collect());
    process::reset_signals();
    let mut errno = Errno::ENOENT;
    for path in image.executables() {
        use std::os::unix::ffi::OsStringExt;
        let path = std::ffi::CString::new(path.into_os_string().into_vec()).unwrap_or_default();
        errno = process::execve(&path, &arguments, &environment);
        // Memory may not be executed here, or the file has lost its mode.
        if errno != Errno::EACCES {
            break;
        }
    }
    Ok(errno)
}

fn number(fd: i32) -> std::ffi::CString {
    std::ffi::CString::new(fd.to_string()).unwrap_or_default()
}

fn keep_open(fd: std::os::fd::BorrowedFd<'_>) -> std::result::Result<(), Errno> {
    fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty())).map(drop)
}

fn passing(fd: i32, errno: Errno) -> Error {
    Error::new(ErrorCode::Io, "pass on", format!("descriptor {fd}")).errno(errno)
}
