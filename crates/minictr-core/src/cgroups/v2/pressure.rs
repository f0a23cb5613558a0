//! `*.pressure` of v2, `Documentation/accounting/psi.rst`: there without a controller, unless the
//! kernel was started with `psi=0`.

use std::os::fd::BorrowedFd;

use super::super::files::read;
use super::super::stats::{Pressure, Stall};

/// Of `cpu`, `memory` or `io`.
pub(in crate::cgroups) fn pressure(directory: BorrowedFd<'_>, of: &str) -> Option<Pressure> {
    parse(&read(directory, &format!("{of}.pressure")).ok()?)
}

fn parse(text: &str) -> Option<Pressure> {
    let stall = |kind: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(kind))?;
        let value = |name: &str| {
            line.split_ascii_whitespace()
                .find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        Some(Stall {
            avg10_percent: value("avg10")?.parse().ok()?,
            avg60_percent: value("avg60")?.parse().ok()?,
            avg300_percent: value("avg300")?.parse().ok()?,
            total_us: value("total")?.parse().ok()?,
        })
    };
    // Of the CPU there was no `full` before Linux 5.13.
    Some(Pressure { some: stall("some ")?, full: stall("full ").unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lines_are_read() {
        let text = "some avg10=1.50 avg60=0.20 avg300=0.00 total=1234\n\
                    full avg10=0.50 avg60=0.10 avg300=0.00 total=99\n";
        let pressure = parse(text).unwrap();
        assert_eq!(pressure.some.avg10_percent, 1.5);
        assert_eq!((pressure.some.total_us, pressure.full.total_us), (1234, 99));
    }

    #[test]
    fn a_line_that_is_missing_is_no_stall_and_a_text_without_sense_nothing() {
        let cpu = parse("some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n").unwrap();
        assert_eq!((cpu.some.total_us, cpu.full.total_us), (7, 0));
        assert_eq!(parse(""), None);
        assert_eq!(parse("some avg10=x"), None);
    }
}
