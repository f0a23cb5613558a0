//! Where a process runs and gets its memory: `process.execCPUAffinity` and `linux.memoryPolicy`.

use crate::error::{Error, Result};
use crate::spec::{ExecCpuAffinity, MemoryPolicy};

/// Most CPUs and memory nodes that Linux can be built for.
const MAX_CPUS: usize = 8192;
const MAX_NODES: usize = 1024;

/// Modes by name, `set_mempolicy(2)`.
const MODES: &[(&str, u32)] = &[
    ("MPOL_DEFAULT", 0),
    ("MPOL_PREFERRED", 1),
    ("MPOL_BIND", 2),
    ("MPOL_INTERLEAVE", 3),
    ("MPOL_LOCAL", 4),
    ("MPOL_PREFERRED_MANY", 5),
    ("MPOL_WEIGHTED_INTERLEAVE", 6),
];

/// Flags by name, `set_mempolicy(2)`.
const FLAGS: &[(&str, u32)] = &[
    ("MPOL_F_NUMA_BALANCING", 1 << 13),
    ("MPOL_F_RELATIVE_NODES", 1 << 14),
    ("MPOL_F_STATIC_NODES", 1 << 15),
];

/// The words that a memory policy may use: modes and flags.
#[must_use]
pub fn memory_policy_words() -> [Vec<&'static str>; 2] {
    [MODES, FLAGS].map(|table| table.iter().map(|(word, _)| *word).collect())
}

/// Ready for `set_mempolicy(2)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) mode: u32,
    pub(super) nodes: Vec<u64>,
}

/// `linux.memoryPolicy`.
pub(super) fn memory_policy(policy: &MemoryPolicy) -> Result<Policy> {
    let mut mode = known(MODES, "mode", &policy.mode)?;
    for flag in &policy.flags {
        mode |= known(FLAGS, "flag", flag)?;
    }
    let text = policy.nodes.as_deref().unwrap_or_default();
    let nodes = match text.trim() {
        "" => Vec::new(),
        text => list(text, MAX_NODES, "linux.memoryPolicy.nodes")?,
    };
    Ok(Policy { mode, nodes })
}

fn known(table: &[(&str, u32)], what: &str, name: &str) -> Result<u32> {
    table.iter().find(|(word, _)| *word == name).map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<&str> = table.iter().map(|(word, _)| *word).collect();
        Error::invalid("use", format!("linux.memoryPolicy: {what} `{name}`"))
            .hint(format!("it is one of {}", words.join(", ")))
    })
}

/// The CPUs of a process that joins a container; `None` is whatever it has then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Affinity {
    /// Before it is in the container's cgroup.
    pub(super) initial: Option<Vec<u64>>,
    /// From then on.
    pub(super) last: Option<Vec<u64>>,
}

/// `process.execCPUAffinity`. Without a last list, a first one holds only until the process is in
/// the container's cgroup, whose cpuset decides from there.
pub(super) fn affinity(affinity: &ExecCpuAffinity) -> Result<Affinity> {
    let cpus = |text: &Option<String>, name| match text.as_deref().map(str::trim) {
        None | Some("") => Ok(None),
        Some(text) => list(text, MAX_CPUS, &format!("process.execCPUAffinity.{name}")).map(Some),
    };
    let initial = cpus(&affinity.initial, "initial")?;
    let last = cpus(&affinity.final_, "final")?;
    let last = last.or_else(|| initial.as_ref().map(|_| vec![u64::MAX; MAX_CPUS / 64]));
    Ok(Affinity { initial, last })
}

/// The bits of a list such as `0-3,7`, as `cpuset(7)` writes it.
fn list(text: &str, most: usize, field: &str) -> Result<Vec<u64>> {
    let refuse = |part: &str, why: &str| {
        Err(Error::invalid("use", format!("{field} `{text}`: `{part}` {why}"))
            .hint("it is a list of numbers and ranges by commas, such as `0-3,7`"))
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<usize>().ok()).flatten()
    };
    let mut words = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Some(first), Some(last)) = (number(first), number(last)) else {
            return refuse(part, "is neither a number nor a range");
        };
        if first > last {
            return refuse(part, "ends before it begins");
        }
        if last >= most {
            return refuse(part, &format!("is over {}", most - 1));
        }
        words.resize(words.len().max(last / 64 + 1), 0u64);
        for at in first..=last {
            words[at / 64] |= 1 << (at % 64);
        }
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_the_bits_that_it_names() {
        let bits = |text| list(text, MAX_CPUS, "cpus").unwrap();
        assert_eq!(bits("0"), [1]);
        assert_eq!(bits("0-3,7"), [0b1000_1111]);
        assert_eq!(bits("63-64, 130"), [1 << 63, 1, 1 << 2]);
        assert_eq!(bits("8191").len(), 128);
    }

    #[test]
    fn a_list_that_is_none_is_refused() {
        for text in [",", "1,", "a", "-1", "1-", "3-1", "1-2-3", "+1", "0x1", "8192", "1 2", "~3"] {
            assert!(list(text, MAX_CPUS, "cpus").is_err(), "{text}");
        }
        assert!(list("1024", MAX_NODES, "nodes").is_err());
    }

    #[test]
    fn a_first_affinity_alone_ends_with_the_set_up() {
        let of = |initial: Option<&str>, last: Option<&str>| {
            let text = |text: Option<&str>| text.map(str::to_owned);
            affinity(&ExecCpuAffinity { initial: text(initial), final_: text(last) }).unwrap()
        };
        assert_eq!(of(None, None), Affinity::default());
        assert_eq!(of(Some(""), Some("1")).initial, None);
        assert_eq!(of(Some("0"), None).last.map(|cpus| cpus[127]), Some(u64::MAX));
        assert_eq!(of(Some("0"), Some("1")).last, Some(vec![2]));
    }
}
