//! `ps`: the processes of a container.

use std::process::Command;

use clap::{Args, ValueEnum};
use minictr_core::error::{Context, Error, ErrorCode, Result};

use crate::global::Global;
use crate::output;

/// List the processes of a container.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Form of the list.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Name of the container.
    id: String,
    /// Options of ps(1), for the table.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
}

/// Prints the list: in JSON the pids, in a table those lines of the machine's ps(1).
pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<u8> {
    let pids = global.runtime().processes(&arguments.id)?;
    if arguments.format == Format::Json {
        output::json(&pids)?;
        return Ok(0);
    }
    let default = ["-ef".to_owned()];
    let options = if arguments.options.is_empty() { &default[..] } else { &arguments.options };
    let listing =
        Command::new("ps").args(options).output().context(ErrorCode::Io, "run", "`ps`")?;
    if !listing.status.success() {
        let said = String::from_utf8_lossy(&listing.stderr);
        return Err(Error::invalid("list processes with", format!("`ps`: {}", said.trim())));
    }
    let listing = String::from_utf8_lossy(&listing.stdout);
    let mut lines = listing.lines();
    let header = lines.next().unwrap_or_default();
    let column =
        header.split_ascii_whitespace().position(|name| name == "PID").ok_or_else(|| {
            Error::invalid("find", "the column PID in what `ps` prints").hint("add `-o pid`")
        })?;
    let ours = lines.filter(|line| {
        let pid = line.split_ascii_whitespace().nth(column).and_then(|text| text.parse().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    });
    let lines: String = std::iter::once(header).chain(ours).map(|l| format!("{l}\n")).collect();
    output::text(&lines)?;
    Ok(0)
}
