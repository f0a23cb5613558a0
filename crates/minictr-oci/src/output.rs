//! Standard output: what a program reads.

use std::cell::Cell;
use std::io::{BufWriter, Write};

use minictr_core::error::{Context, ErrorCode, Result};
use serde::{Serialize, Serializer};

/// Writes a text.
///
/// # Errors
/// `Io`, but for a reader who has seen enough.
pub(crate) fn text(text: &str) -> Result<()> {
    said(std::io::stdout().lock().write_all(text.as_bytes()))
}

/// Writes a JSON document over several lines, in pieces as it is made.
///
/// # Errors
/// As for [`text`].
pub(crate) fn json(document: &impl Serialize) -> Result<()> {
    let mut output = BufWriter::new(std::io::stdout().lock());
    let written = serde_json::to_writer_pretty(&mut output, document).map_err(Into::into);
    said(written.and_then(|()| output.write_all(b"\n")).and_then(|()| output.flush()))
}

/// A list that is made as it is written.
pub(crate) struct Sequence<I>(Cell<Option<I>>);

impl<I> Sequence<I> {
    pub(crate) fn of(items: I) -> Self {
        Self(Cell::new(Some(items)))
    }
}

impl<I: Iterator<Item: Serialize>> Serialize for Sequence<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.take().into_iter().flatten())
    }
}

fn said(written: std::io::Result<()>) -> Result<()> {
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context(ErrorCode::Io, "write to", "standard output"),
    }
}
