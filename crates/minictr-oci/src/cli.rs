//! Arguments, and what each verb does with them.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::commands;
use crate::render;

/// The native part of minictr: containers from OCI bundles.
#[derive(Debug, Parser)]
#[command(name = "minictr-oci", version = minictr_core::version(), disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Serve the process at standard input: start containers for it.
    #[command(hide = true)]
    Spawner,
    /// Run one container in the foreground, from a request in memory.
    #[command(hide = true)]
    Foreground {
        /// Descriptor of the request.
        #[arg(long)]
        request_fd: i32,
        /// Descriptors that the program gets as 3, 4, …
        #[arg(long = "preserve-fd")]
        preserve_fds: Vec<i32>,
    },
    /// Run the container of a bundle in the foreground and exit as its program does.
    Run {
        /// Directory that holds config.json.
        #[arg(short, long, default_value = ".")]
        bundle: PathBuf,
        /// Give the program this many descriptors after the standard ones.
        #[arg(long, default_value_t = 0)]
        preserve_fds: i32,
        /// Name of the container.
        id: String,
    },
}

/// Parses the arguments, does what they say, and returns the exit status.
pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.verb {
        Verb::Spawner => commands::spawner::run(),
        Verb::Foreground { request_fd, preserve_fds } => {
            commands::foreground::run(request_fd, &preserve_fds)
        }
        Verb::Run { bundle, preserve_fds, id } => commands::run::run(&bundle, preserve_fds, id),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            render::error(&error);
            ExitCode::from(error.code.exit_code())
        }
    }
}
