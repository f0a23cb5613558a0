//! Standard output: what a program reads.

use std::io::Write;

use minictr_core::error::{Context, Error, ErrorCode, Result};
use serde::Serialize;

/// Writes a text.
///
/// # Errors
/// `Io`, but for a reader who has seen enough.
pub(crate) fn text(text: &str) -> Result<()> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context(ErrorCode::Io, "write to", "standard output"),
    }
}

/// Writes a JSON document over several lines.
///
/// # Errors
/// As for [`text`].
pub(crate) fn json(document: &impl Serialize) -> Result<()> {
    let json = serde_json::to_string_pretty(document)
        .map_err(|error| Error::new(ErrorCode::Internal, "write JSON:", error.to_string()))?;
    text(&format!("{json}\n"))
}
