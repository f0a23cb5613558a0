//! `minictr-oci`: the static executable behind minictr.
//!
//! It is the helper that Node processes start containers with (`spawner`), what `minictr run`
//! replaces itself with (`foreground`), and an OCI runtime with the command line of runc.

mod cli;
mod commands;
mod foreground;
mod global;
mod log;
mod output;
mod protect;
mod relay;
mod render;
mod streams;
mod without;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
