//! `delete`: takes away what a container had.

use clap::Args;
use minictr_core::error::Result;

use crate::global::Global;

/// Delete a container that has stopped.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Kill it first where it runs; no error where there is none.
    #[arg(short, long)]
    force: bool,
    /// Name of the container.
    id: String,
}

/// Deletes the container.
pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<u8> {
    global.runtime().delete(&arguments.id, arguments.force)?;
    Ok(0)
}
