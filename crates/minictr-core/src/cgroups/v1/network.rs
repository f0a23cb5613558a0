//! `net_cls.*` and `net_prio.*` of v1, `Documentation/admin-guide/cgroup-v1/`; v2 has neither.

use super::super::changes::Changes;
use crate::error::{Error, Result};
use crate::spec::NetworkLimits;

/// The class of packets.
pub(in crate::cgroups) fn class_changes(limits: &NetworkLimits, changes: &mut Changes) {
    if let Some(class) = limits.class_id {
        changes.set("net_cls.classid", class);
    }
}

/// Priorities by interface.
///
/// # Errors
/// `InvalidArgument` for what can't be an interface's name.
pub(in crate::cgroups) fn priority_changes(
    limits: &NetworkLimits,
    changes: &mut Changes,
) -> Result<()> {
    for entry in &limits.priorities {
        if entry.name.is_empty() || entry.name.contains(char::is_whitespace) {
            return Err(Error::invalid(
                "set network priority of",
                format!("`{}`: not an interface's name", entry.name),
            ));
        }
        changes.set_line("net_prio.ifpriomap", &entry.name, entry.priority, "0");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::NetworkPriority;

    #[test]
    fn class_and_priorities_are_written_as_numbers() {
        let limits = NetworkLimits {
            class_id: Some(0x0010_0001),
            priorities: vec![NetworkPriority { name: "eth0".into(), priority: 5 }],
        };
        let mut made = Changes::default();
        class_changes(&limits, &mut made);
        priority_changes(&limits, &mut made).unwrap();
        assert_eq!(
            made.listed(),
            [("net_cls.classid", "1048577"), ("net_prio.ifpriomap", "eth0 5")]
        );
    }
}
