//! `/proc/PID/cgroup`: the cgroup of a process in each hierarchy, `cgroups(7)`.

use crate::error::{Context, ErrorCode, Result};

/// The cgroup of a process in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Controllers of a v1 hierarchy, or `name=…`; none of v2.
    pub controllers: Vec<String>,
    /// The hierarchy is that of v2.
    pub v2: bool,
    /// Path of the cgroup in the hierarchy, as this process's cgroup namespace shows it.
    pub path: String,
}

/// Where a process is.
///
/// # Errors
/// `Cgroup` where it is gone.
pub fn memberships(pid: i32) -> Result<Vec<Membership>> {
    let path = format!("/proc/{pid}/cgroup");
    let text =
        std::fs::read_to_string(&path).context(ErrorCode::Cgroup, "read", format!("`{path}`"))?;
    Ok(parse(&text))
}

/// Reads the text of the file.
pub(super) fn parse(text: &str) -> Vec<Membership> {
    let read = |line: &str| {
        let mut fields = line.splitn(3, ':');
        let (number, names, path) = (fields.next()?, fields.next()?, fields.next()?);
        let names = names.split(',').filter(|name| !name.is_empty());
        Some(Membership {
            controllers: names.map(str::to_owned).collect(),
            v2: number == "0",
            path: path.to_owned(),
        })
    };
    text.lines().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_a_hierarchy_and_a_path_may_have_colons() {
        let found = parse("4:cpu,cpuacct:/a\n1:name=systemd:/b:c\n0::/user.slice\nnonsense\n");
        let expected = [
            (vec!["cpu", "cpuacct"], false, "/a"),
            (vec!["name=systemd"], false, "/b:c"),
            (vec![], true, "/user.slice"),
        ];
        let expected = expected.map(|(controllers, v2, path)| Membership {
            controllers: controllers.into_iter().map(str::to_owned).collect(),
            v2,
            path: path.to_owned(),
        });
        assert_eq!(found, expected);
    }
}
