//! `spawner`: serves the process at standard input.

use minictr_core::error::{Context, ErrorCode, Result};
use minictr_core::spawner::server;
use minictr_core::sys::{self, process};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::protect;

/// Serves until the other side closes.
pub(crate) fn run() -> Result<u8> {
    protect::executable()?;
    // Node ignores SIGPIPE and SIGXFSZ, and may have blocked others: containers start clean.
    process::reset_signals();
    let _ = process::set_name(c"minictr-spawner");
    // Each launch needs some descriptors here for as long as it is being set up.
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    let control = sys::borrow_of_caller(0)
        .ok_or(nix::errno::Errno::EBADF)
        .context(ErrorCode::Internal, "open", "the control socket")?
        .try_clone_to_owned()
        .context(ErrorCode::ResourceExhausted, "copy", "the control socket")?;
    // No container may inherit it under the number of its standard input.
    let null =
        std::fs::File::open("/dev/null").context(ErrorCode::Device, "open", "`/dev/null`")?;
    use std::os::fd::AsRawFd;
    process::install_fd(null.as_raw_fd(), 0).context(
        ErrorCode::Internal,
        "close",
        "standard input",
    )?;
    server::serve(control)?;
    Ok(0)
}
