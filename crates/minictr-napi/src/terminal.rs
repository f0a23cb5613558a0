//! What JavaScript does to a terminal, and says about the core.

use std::os::fd::BorrowedFd;

use minictr_core::error::{Context, ErrorCode};
use minictr_core::sys;
use napi_derive::napi;

use crate::failure::exception;

/// Sets the size of the container's terminal, in character cells. `fd` is the pty's master.
#[napi]
pub fn resize_terminal(fd: i32, columns: u32, rows: u32) -> napi::Result<()> {
    let size = |cells: u32| u16::try_from(cells).unwrap_or(u16::MAX);
    let master: BorrowedFd<'_> = sys::borrow_of_caller(fd).ok_or_else(|| {
        exception(&minictr_core::error::Error::invalid(
            "resize terminal",
            format!("descriptor {fd}"),
        ))
    })?;
    sys::terminal::set_size(master, size(rows), size(columns))
        .context(ErrorCode::Io, "resize", "the container's terminal")
        .map_err(|error| exception(&error))
}

/// The version with the commit of the native code's sources, such as `0.1.0 (core 1a2b3c4)`.
#[napi]
pub fn core_version() -> String {
    minictr_core::version()
}
