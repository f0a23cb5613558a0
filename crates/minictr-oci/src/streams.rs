//! Descriptors that this process got and a container is to have.

use std::ffi::OsString;
use std::os::fd::OwnedFd;

use minictr_core::error::{Context, Error, ErrorCode, Result};
use minictr_core::sys;

/// Copies of the standard streams; `None` where one is closed.
pub(crate) fn standard() -> Result<[Option<OwnedFd>; 3]> {
    let mut streams = [None, None, None];
    for (fd, slot) in streams.iter_mut().enumerate() {
        if let Some(stream) = sys::borrow_of_caller(fd as i32) {
            *slot = Some(stream.try_clone_to_owned().context(
                ErrorCode::ResourceExhausted,
                "copy",
                "a standard stream",
            )?);
        }
    }
    Ok(streams)
}

/// Takes the descriptors 3, 4, … for the container: those that sockets are listened on for it, and
/// the `preserve` ones behind them. Returns how many of the first kind there are.
pub(crate) fn preserved(preserve: u16) -> Result<(usize, Vec<OwnedFd>)> {
    let listening = listening();
    let last = 3 + listening + usize::from(preserve);
    let fds = (3..last as i32).map(|fd| {
        if sys::borrow_of_caller(fd).is_none() {
            return Err(Error::invalid("preserve", format!("descriptor {fd}: it isn't open")));
        }
        Ok(sys::own_received(fd))
    });
    Ok((listening, fds.collect::<Result<Vec<_>>>()?))
}

/// The socket of a service manager that waits for readiness, `sd_notify(3)`.
pub(crate) fn notify_socket() -> Option<OsString> {
    std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty())
}

/// Sockets that were handed to this process, `sd_listen_fds(3)`.
fn listening() -> usize {
    const MOST: usize = 1024;
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<usize>().ok());
    match (number("LISTEN_PID"), number("LISTEN_FDS")) {
        (Some(pid), Some(count)) if pid == std::process::id() as usize && count <= MOST => count,
        _ => 0,
    }
}
