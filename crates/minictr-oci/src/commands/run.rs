//! `run`: the container of a bundle, in the foreground or left to itself.

use clap::Args;
use minictr_core::error::Result;

use super::create::Container;
use crate::global::Global;
use crate::{foreground, streams};

/// Make a container, start it, and exit as its program does.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    container: Container,
    /// Don't wait for its end, and leave it to itself.
    #[arg(short, long)]
    detach: bool,
    /// Don't delete it at its end.
    #[arg(long)]
    keep: bool,
    /// Accepted from engines: orphans of the container are never this process's.
    #[arg(long)]
    no_subreaper: bool,
}

/// Runs the container.
pub(crate) fn run(global: &Global, arguments: Arguments) -> Result<u8> {
    let runtime = global.runtime();
    let creation = arguments.container.creation()?;
    let id = creation.id.clone();
    if arguments.detach {
        runtime.create(creation)?;
        if let Err(error) = runtime.start(&id, streams::notify_socket().as_deref()) {
            // The start's failure is the one to tell.
            let _ = runtime.delete(&id, true);
            return Err(error);
        }
        return Ok(0);
    }
    let prepared = runtime.foreground(creation)?;
    foreground::run_prepared(prepared, &runtime, arguments.keep)
}
