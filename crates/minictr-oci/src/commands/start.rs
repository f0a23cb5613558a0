//! `start`: lets a created container execute its program.

use clap::Args;
use minictr_core::error::Result;

use crate::global::Global;
use crate::streams;

/// Start a container that was created.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Name of the container.
    id: String,
}

/// Starts the container.
pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<u8> {
    global.runtime().start(&arguments.id, streams::notify_socket().as_deref())?;
    Ok(0)
}
