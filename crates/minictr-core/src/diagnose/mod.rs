//! stub
use crate::error::{Error, ErrorCode};
use nix::errno::Errno;
use std::os::fd::BorrowedFd;
pub fn explain_exec(
    _root: BorrowedFd<'_>,
    _cwd: &str,
    program: &str,
    _path: Option<&str>,
    errno: Errno,
) -> Error {
    Error::new(ErrorCode::CommandNotFound, "execute", format!("`{program}`")).errno(errno)
}
