//! `devices.*` of v1: which device nodes may be opened and made.

use std::os::fd::BorrowedFd;

use super::super::files::set;
use crate::error::Result;
use crate::spec::DeviceRule;

/// The line of a rule, such as `c 1:3 rwm`.
fn line(rule: &DeviceRule) -> String {
    let kind = rule.kind.as_deref().unwrap_or("a");
    let number = |value: Option<i64>| match value {
        Some(value) if value >= 0 => value.to_string(),
        _ => "*".to_owned(),
    };
    let access = rule.access.as_deref().unwrap_or("rwm");
    format!("{kind} {}:{} {access}", number(rule.major), number(rule.minor))
}

/// Writes the rules in their order, over "everything denied".
pub(in crate::cgroups) fn apply(directory: BorrowedFd<'_>, rules: &[DeviceRule]) -> Result<()> {
    set(directory, "devices.deny", "a")?;
    for rule in rules {
        set(directory, if rule.allow { "devices.allow" } else { "devices.deny" }, line(rule))?;
    }
    Ok(())
}
