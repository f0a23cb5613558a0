//! `state`: what is known of a container.

use clap::Args;
use minictr_core::error::Result;

use crate::global::Global;
use crate::output;

/// Print what is known of a container, as JSON.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Name of the container.
    id: String,
}

/// Prints the state.
pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<u8> {
    output::json(&global.runtime().state(&arguments.id)?)?;
    Ok(0)
}
