//! What is kept on disk about containers.
//!
//! | module | what it keeps |
//! |---|---|
//! | `journal` | attached containers of one process, for the next one to clear |
//! | `store`, `record` | containers that have a state of their own: one directory each |
//! | `identity` | which process a pid means |

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use crate::error::{Context, Error, ErrorCode, Result};

pub mod identity;
pub mod journal;
pub mod record;
pub mod store;

/// Where runtime state belongs: `/run/minictr` for root that may write there, which root of a user
/// namespace often may not; else `$XDG_RUNTIME_DIR/minictr`, else a
/// private directory of this user's below `/tmp`.
#[must_use]
pub fn default_directory() -> PathBuf {
    let uid = nix::unistd::geteuid().as_raw();
    let may_write = |path: &str| access(path, AccessFlags::W_OK).is_ok();
    if uid == 0 && (may_write("/run/minictr") || may_write("/run")) {
        return PathBuf::from("/run/minictr");
    }
    match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(directory) if directory.is_absolute() && directory.is_dir() => {
            directory.join("minictr")
        }
        _ => PathBuf::from(format!("/tmp/minictr-{uid}")),
    }
}

/// The failure of keeping state, which on a full disk has a kind and a hint of its own.
fn disk_error(operation: &str, object: String, error: &std::io::Error) -> Error {
    let failure = Error::new(ErrorCode::Io, operation, object).io(error);
    match failure.errno {
        Some(libc::ENOSPC | libc::EDQUOT) => {
            Error { code: ErrorCode::ResourceExhausted, ..failure }.hint(
                "what is made is written down before: free some space (`df`) or inodes (`df -i`) there, or set XDG_RUNTIME_DIR to another directory",
            )
        }
        _ => failure,
    }
}

/// Makes a directory that only this user may look into, or checks that it is one: below `/tmp`
/// anybody could have made it first.
///
/// # Errors
/// `Io` where it can't be made or belongs to somebody else, `ResourceExhausted` on a full disk.
pub fn ensure_private_directory(path: &Path) -> Result<()> {
    match std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) => {
            let shown = format!("`{}`", path.display());
            return Err(disk_error("make state directory", shown, &error));
        }
    }
    let found = std::fs::symlink_metadata(path).context(
        ErrorCode::Io,
        "look at state directory",
        format!("`{}`", path.display()),
    )?;
    if !found.is_dir()
        || found.uid() != nix::unistd::geteuid().as_raw()
        || found.mode() & 0o022 != 0
    {
        return Err(Error::new(
            ErrorCode::Io,
            "use state directory",
            format!("`{}`: it isn't this user's alone", path.display()),
        )
        .hint("set XDG_RUNTIME_DIR to a directory of your own"));
    }
    Ok(())
}
