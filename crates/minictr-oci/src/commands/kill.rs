//! `kill`: a signal to a container.

use clap::Args;
use minictr_core::error::{Error, Result};
use nix::sys::signal::Signal;

use crate::global::Global;

/// Send a signal to a container's first process.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Send it to all processes of the container.
    #[arg(short, long)]
    all: bool,
    /// Name of the container.
    id: String,
    /// Name or number of the signal.
    #[arg(default_value = "SIGTERM", allow_hyphen_values = true)]
    signal: String,
}

/// Sends the signal.
pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<u8> {
    let signal = number(&arguments.signal)?;
    global.runtime().kill(&arguments.id, signal, arguments.all)?;
    Ok(0)
}

/// A signal's number, from a number, a name with or without `SIG`, or `RTMIN+N` and `RTMAX-N`.
fn number(word: &str) -> Result<i32> {
    let (lowest, highest) = (libc::SIGRTMIN(), libc::SIGRTMAX());
    let upper = word.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = |rest: &str, base: i32| {
        if rest.is_empty() { Some(base) } else { Some(base + rest.parse::<i32>().ok()?) }
    };
    let found = if let Ok(number) = name.parse::<i32>() {
        Some(number)
    } else if let Some(rest) = name.strip_prefix("RTMIN") {
        real_time(rest, lowest)
    } else if let Some(rest) = name.strip_prefix("RTMAX") {
        real_time(rest, highest)
    } else {
        format!("SIG{name}").parse::<Signal>().ok().map(|signal| signal as i32)
    };
    found.filter(|number| (0..=highest).contains(number)).ok_or_else(|| {
        Error::invalid("send", format!("`{word}`: unknown signal"))
            .hint("signals are those of signal(7), by name or number")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_names_and_numbers() {
        for (word, expected) in [("9", 9), ("KILL", 9), ("SIGTERM", 15), ("term", 15), ("0", 0)] {
            assert_eq!(number(word).unwrap(), expected, "{word}");
        }
        assert_eq!(number("RTMIN+1").unwrap(), libc::SIGRTMIN() + 1);
        assert_eq!(number("SIGRTMAX-2").unwrap(), libc::SIGRTMAX() - 2);
    }

    #[test]
    fn refuses_what_is_no_signal() {
        for word in ["", "-1", "65", "SIGNOTHING", "RTMIN+99", "RTMAX+1"] {
            assert!(number(word).is_err(), "{word}");
        }
    }
}
