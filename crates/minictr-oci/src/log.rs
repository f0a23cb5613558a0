//! The record of a failure that engines read: one, since Podman takes the whole file for one document.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use minictr_core::error::{Error, ErrorCode};
use minictr_core::state::record;

use crate::global::{Global, LogFormat};

/// The same error with the words in it by which engines choose their exit status: Podman and dockerd
/// look for runc's, or for those of `strerror(3)`.
pub(crate) fn for_engines(mut error: Error) -> Error {
    let words = match error.code {
        ErrorCode::CommandNotFound if error.message().contains("PATH") => {
            "executable file not found in $PATH"
        }
        ErrorCode::CommandNotFound => "no such file or directory",
        ErrorCode::CommandNotExecutable => "permission denied",
        _ => return error,
    };
    if !error.message().to_lowercase().contains(words) {
        error.object = format!("{}: {words}", error.object);
    }
    error
}

/// Writes an error to the file of `--log`; where that can't be written, standard error has said it.
pub(crate) fn error(global: &Global, error: &Error) {
    let Some(path) = &global.log else { return };
    let mut message = error.message();
    if let Some(hint) = &error.hint {
        message = format!("{message} ({hint})");
    }
    let time = record::now();
    let line = match global.log_format {
        LogFormat::Json => {
            serde_json::json!({ "level": "error", "msg": message, "time": time }).to_string()
        }
        LogFormat::Text => format!("time={time:?} level=error msg={message:?}"),
    };
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
    let _ = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
}
