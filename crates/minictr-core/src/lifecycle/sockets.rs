//! Handing a descriptor to an engine, over a Unix socket that it listens on.

use std::io::IoSlice;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use crate::error::{Context, ErrorCode, Result};

/// Sends one descriptor with a name, `SCM_RIGHTS` of `unix(7)`.
///
/// # Errors
/// `Io`.
pub(super) fn send(path: &Path, name: &str, fd: BorrowedFd<'_>) -> Result<()> {
    let shown = || format!("`{}`", path.display());
    let socket = UnixStream::connect(path).context(ErrorCode::Io, "connect to", shown())?;
    let fds = [fd.as_raw_fd()];
    let data = [IoSlice::new(name.as_bytes())];
    let rights = [ControlMessage::ScmRights(&fds)];
    sendmsg::<()>(socket.as_raw_fd(), &data, &rights, MsgFlags::MSG_NOSIGNAL, None).context(
        ErrorCode::Io,
        "send a descriptor to",
        shown(),
    )?;
    Ok(())
}
