//! `minictr-oci`: the static executable behind minictr.
//!
//! It is the helper that Node processes start containers with (`spawner`), what `minictr run`
//! replaces itself with (`foreground`), and an OCI runtime.

mod cli;
mod commands;
mod foreground;
mod protect;
mod relay;
mod render;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
