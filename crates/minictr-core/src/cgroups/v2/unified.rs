//! `linux.resources.unified`: files of the v2 cgroup and what to write into them.

use std::collections::BTreeMap;

use super::super::changes::Changes;
use crate::error::{Error, Result};

/// Files of the cgroup itself that limit something; the others move, end or stop what is in it.
const OWN: [&str; 3] = ["cgroup.max.depth", "cgroup.max.descendants", "cgroup.pressure"];

/// The controller whose file this is; `None` for a file that every cgroup has.
///
/// # Errors
/// `InvalidArgument` for what is no limit's file.
pub(in crate::cgroups) fn controller(file: &str) -> Result<Option<&str>> {
    let refuse = |why: &str| Err(Error::invalid("set", format!("unified `{file}`: it {why}")));
    match file.split_once('.') {
        _ if file.contains(['/', '\0']) => refuse("isn't a file of a cgroup"),
        Some(("", _) | (_, "")) | None => refuse("isn't a file of a cgroup"),
        Some(("cgroup", _)) if OWN.contains(&file) => Ok(None),
        Some(("cgroup", _)) => refuse("is no limit"),
        Some((controller, _)) => Ok(Some(controller)),
    }
}

/// Each line of a value is written by itself, as files that hold one for each device want it.
pub(in crate::cgroups) fn changes(
    files: &BTreeMap<String, String>,
    changes: &mut Changes,
) -> Result<()> {
    for (file, value) in files {
        controller(file)?;
        for line in value.lines() {
            match line.trim().split_once(' ') {
                Some((key, value)) if key.contains(':') && file.starts_with("io.") => {
                    let absent = if file == "io.max" {
                        "rbps=max wbps=max riops=max wiops=max"
                    } else {
                        "default"
                    };
                    changes.set_line(file.clone(), key, value.trim(), absent);
                }
                _ => changes.set(file.clone(), line.trim()),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_one_by_one() {
        let files = BTreeMap::from([
            ("io.max".to_owned(), "8:0 rbps=1\n8:16 wbps=2\n".to_owned()),
            ("memory.high".to_owned(), "1000".to_owned()),
        ]);
        let mut made = Changes::default();
        changes(&files, &mut made).unwrap();
        assert_eq!(
            made.listed(),
            [("io.max", "8:0 rbps=1"), ("io.max", "8:16 wbps=2"), ("memory.high", "1000")]
        );
    }

    #[test]
    fn refuses_files_that_are_no_limits() {
        for file in
            ["cgroup.procs", "cgroup.kill", "cgroup.freeze", "../memory.max", "x", ".x", "x."]
        {
            assert!(controller(file).is_err(), "{file}");
        }
        assert_eq!(controller("memory.high").unwrap(), Some("memory"));
        assert_eq!(controller("cgroup.max.depth").unwrap(), None);
    }
}
