//! `run`: the container of a bundle, in the foreground.

use std::os::fd::OwnedFd;
use std::path::Path;

use minictr_core::error::{Context, Error, ErrorCode, Result};
use minictr_core::spawn::LaunchRequest;
use minictr_core::{spec, sys};

use crate::foreground::{self, Foreground};
use crate::protect;

/// Reads the bundle and runs it.
pub(crate) fn run(bundle: &Path, preserve_fds: i32, id: String) -> Result<u8> {
    let preserved: Vec<i32> = (3..3 + preserve_fds.max(0)).collect();
    protect::executable()?;
    let bundle = bundle.canonicalize().context(
        ErrorCode::Io,
        "find bundle",
        format!("`{}`", bundle.display()),
    )?;
    let config = bundle.join("config.json");
    let json = std::fs::read(&config)
        .context(ErrorCode::Io, "read", format!("`{}`", config.display()))
        .map_err(|error| error.hint("a bundle is a directory with config.json and a rootfs"))?;
    let spec = spec::parse(&json)?;
    let interactive = true;
    let launch = LaunchRequest {
        id,
        spec,
        bundle: Some(bundle.to_string_lossy().into_owned()),
        ..LaunchRequest::default()
    };
    let preserved = preserved.into_iter().map(take).collect::<Result<Vec<_>>>()?;
    foreground::run(Foreground { launch, interactive, json_errors: false }, preserved)
}

fn take(fd: i32) -> Result<OwnedFd> {
    if sys::borrow_of_caller(fd).is_none() {
        return Err(Error::invalid("preserve", format!("descriptor {fd}: it isn't open")));
    }
    Ok(sys::own_received(fd))
}
