//! `spec`: a config to begin with.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use minictr_core::error::{Context, ErrorCode, Result};
use minictr_core::spec::template;

/// Write a config.json to begin with.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Directory that it is written to.
    #[arg(short, long, default_value = ".")]
    bundle: PathBuf,
    /// For a container of this user alone, in a user namespace.
    #[arg(long)]
    rootless: bool,
}

/// Writes the file; one that is there already stays.
pub(crate) fn run(arguments: &Arguments) -> Result<u8> {
    let ids = arguments
        .rootless
        .then(|| (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()));
    let mut json = serde_json::to_string_pretty(&template(ids)).unwrap_or_default();
    json.push('\n');
    let path = arguments.bundle.join("config.json");
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&path)
        .and_then(|mut file| file.write_all(json.as_bytes()))
        .context(ErrorCode::Io, "write", format!("`{}`", path.display()))?;
    Ok(0)
}
