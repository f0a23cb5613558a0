//! Capabilities: names, sets, and the five sets of a process. `capabilities(7)`.

use crate::error::{Error, Result};
use crate::spec::Capabilities;

/// Names by number, without `CAP_`.
const NAMES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// A set of capabilities, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CapabilitySet(u64);

impl CapabilitySet {
    /// The set of these names, with or without `CAP_`.
    ///
    /// # Errors
    /// `InvalidArgument` for a name that no kernel has.
    pub fn from_names(names: &[String]) -> Result<Self> {
        names.iter().try_fold(Self::default(), |set, name| {
            let number = number(name).ok_or_else(|| {
                Error::invalid("use", format!("capability `{name}`"))
                    .hint("names are those of capabilities(7), such as CAP_NET_RAW")
            })?;
            Ok(Self(set.0 | 1 << number))
        })
    }

    /// Takes the names that no kernel has out of a list, and returns them.
    pub fn take_unknown(names: &mut Vec<String>) -> Vec<String> {
        names.extract_if(.., |name| number(name).is_none()).collect()
    }

    /// Every capability that this crate has a name for and the running kernel has.
    #[must_use]
    pub fn known() -> Self {
        Self(last_cap_mask() & ((1 << NAMES.len()) - 1))
    }

    /// One bit for each number.
    #[must_use]
    pub fn bits(self) -> u64 {
        self.0
    }

    /// Whether every capability of `other` is in it.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether it has a capability by name.
    #[must_use]
    pub fn contains_name(self, name: &str) -> bool {
        number(name).is_some_and(|number| self.0 & 1 << number != 0)
    }

    /// The names in it, with `CAP_`.
    pub fn names(self) -> impl Iterator<Item = String> {
        NAMES
            .iter()
            .enumerate()
            .filter(move |(number, _)| self.0 & 1 << number != 0)
            .map(|(_, name)| format!("CAP_{name}"))
    }
}

fn number(name: &str) -> Option<usize> {
    let short = name.strip_prefix("CAP_").unwrap_or(name);
    NAMES.iter().position(|known| *known == short)
}

/// The five sets of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapabilitySets {
    /// Upper bound of what an exec can give.
    pub bounding: CapabilitySet,
    /// What the kernel checks.
    pub effective: CapabilitySet,
    /// Kept over an exec of a file with matching inheritable capabilities.
    pub inheritable: CapabilitySet,
    /// What may be made effective.
    pub permitted: CapabilitySet,
    /// Kept over an exec of any file.
    pub ambient: CapabilitySet,
}

impl CapabilitySets {
    /// The sets of a spec. Nothing is added: an inheritable set that the spec doesn't ask for would
    /// give privileges back through file capabilities (CVE-2022-29162).
    ///
    /// # Errors
    /// `InvalidArgument` for unknown names.
    pub fn from_spec(spec: &Capabilities) -> Result<Self> {
        let mut sets = Self {
            bounding: CapabilitySet::from_names(&spec.bounding)?,
            effective: CapabilitySet::from_names(&spec.effective)?,
            inheritable: CapabilitySet::from_names(&spec.inheritable)?,
            permitted: CapabilitySet::from_names(&spec.permitted)?,
            ambient: CapabilitySet::from_names(&spec.ambient)?,
        };
        // What the kernel wouldn't grant is left out, which is no error (`config.md#linux-process`):
        // `runc spec` and buildah write ambient sets that aren't inheritable.
        let permitted = sets.permitted.0;
        sets.effective.0 &= permitted;
        sets.ambient.0 &= permitted & sets.inheritable.0;
        Ok(sets)
    }
}

/// Every capability that the running kernel has, `/proc/sys/kernel/cap_last_cap`.
#[must_use]
pub fn last_cap_mask() -> u64 {
    use std::sync::OnceLock;
    static MASK: OnceLock<u64> = OnceLock::new();
    *MASK.get_or_init(|| {
        let last = crate::sys::files::read_text("/proc/sys/kernel/cap_last_cap")
            .ok()
            .and_then(|text| text.trim().parse::<u32>().ok())
            .unwrap_or(NAMES.len() as u32 - 1);
        u64::MAX >> (63 - last.min(63))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn names_with_and_without_prefix_are_the_same() {
        assert_eq!(
            CapabilitySet::from_names(&names(&["CAP_KILL"])).unwrap(),
            CapabilitySet::from_names(&names(&["KILL"])).unwrap()
        );
        assert_eq!(
            CapabilitySet::from_names(&names(&["CAP_CHECKPOINT_RESTORE"])).unwrap().bits(),
            1 << 40
        );
    }

    #[test]
    fn refuses_an_unknown_name() {
        assert!(CapabilitySet::from_names(&names(&["CAP_EVERYTHING"])).is_err());
    }

    #[test]
    fn leaves_out_what_the_kernel_would_refuse() {
        let spec = Capabilities {
            permitted: names(&["CAP_KILL"]),
            effective: names(&["CAP_KILL", "CAP_CHOWN"]),
            ambient: names(&["CAP_KILL"]),
            ..Capabilities::default()
        };
        let sets = CapabilitySets::from_spec(&spec).unwrap();
        assert_eq!(sets.effective, sets.permitted);
        assert_eq!(sets.ambient, CapabilitySet::default());
        assert_eq!(sets.inheritable, CapabilitySet::default());
    }
}
