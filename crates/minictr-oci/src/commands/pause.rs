//! `pause` and `resume`: all processes of a container stand still, or go on.

use clap::Args;
use minictr_core::error::Result;

use crate::global::Global;

/// Let all processes of a container stand still, or go on.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Name of the container.
    id: String,
}

/// Pauses the container.
pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<u8> {
    global.runtime().pause(&arguments.id)?;
    Ok(0)
}

/// Lets it go on.
pub(crate) fn resume(global: &Global, arguments: &Arguments) -> Result<u8> {
    global.runtime().resume(&arguments.id)?;
    Ok(0)
}
