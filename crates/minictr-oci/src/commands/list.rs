//! `list`: the containers of the runtime root.

use clap::{Args, ValueEnum};
use minictr_core::error::Result;

use crate::global::Global;
use crate::output;

/// List the containers.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Form of the list.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Print the names alone.
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
}

/// Prints the list.
pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<u8> {
    let runtime = global.runtime();
    let mut states = runtime.list()?.peekable();
    if arguments.quiet {
        output::text(&states.map(|state| format!("{}\n", state.id)).collect::<String>())?;
        return Ok(0);
    }
    if arguments.format == Format::Json {
        // runc's word for a list of nothing, which engines read as one.
        match states.peek() {
            None => output::json(&())?,
            Some(_) => output::json(&output::Sequence::of(states))?,
        }
        return Ok(0);
    }
    let header = ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"].map(str::to_owned);
    let rows = states.map(|state| {
        [
            state.id,
            state.pid.to_string(),
            state.status.word().to_owned(),
            state.bundle,
            state.created,
            state.owner,
        ]
    });
    output::text(&table(&std::iter::once(header).chain(rows).collect::<Vec<_>>()))?;
    Ok(0)
}

/// Columns as wide as their widest cell, three spaces apart.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        rows.iter().map(|row: &[String; N]| row[column].chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}   "));
        format!("{}\n", cells.collect::<String>().trim_end())
    };
    rows.iter().map(line).collect()
}
