//! How a failure looks: two lines for a person, one JSON document for a program.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use minictr_core::error::Error;

static JSON: AtomicBool = AtomicBool::new(false);

/// Whether errors are written as JSON from here on.
pub(crate) fn set_json(json: bool) {
    JSON.store(json, Ordering::Relaxed);
}

/// Writes a warning to standard error: what was passed over.
pub(crate) fn warning(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "warning: {text}");
}

/// Writes an error to standard error; where that is gone there is nobody to tell.
pub(crate) fn error(error: &Error) {
    let mut stream = std::io::stderr().lock();
    if JSON.load(Ordering::Relaxed)
        && let Ok(json) = serde_json::to_string(error)
    {
        let _ = writeln!(stream, "{json}");
        return;
    }
    let colour = stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let (red, cyan, plain) =
        if colour { ("\x1b[1;31m", "\x1b[1;36m", "\x1b[0m") } else { ("", "", "") };
    let _ = writeln!(stream, "{red}error:{plain} {}", error.message());
    if let Some(hint) = &error.hint {
        let _ = writeln!(stream, "{cyan}hint:{plain} {hint}");
    }
}
