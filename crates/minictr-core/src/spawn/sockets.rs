//! Handing a descriptor to an engine, over a Unix socket that it listens on.

use std::io::{IoSlice, Write};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use crate::error::{Context, ErrorCode, Result};

/// Sends one descriptor with what says what it is, `SCM_RIGHTS` of `unix(7)`.
///
/// # Errors
/// `Io`.
pub(crate) fn send(path: &Path, what: &[u8], fd: BorrowedFd<'_>) -> Result<()> {
    let shown = || format!("`{}`", path.display());
    let mut socket = UnixStream::connect(path).context(ErrorCode::Io, "connect to", shown())?;
    let fds = [fd.as_raw_fd()];
    let data = [IoSlice::new(what)];
    let rights = [ControlMessage::ScmRights(&fds)];
    let sent = sendmsg::<()>(socket.as_raw_fd(), &data, &rights, MsgFlags::MSG_NOSIGNAL, None)
        .context(ErrorCode::Io, "send a descriptor to", shown())?;
    // The descriptor goes with the first byte, and a long message may be taken in parts.
    socket.write_all(&what[sent..]).context(ErrorCode::Io, "write to", shown())
}
