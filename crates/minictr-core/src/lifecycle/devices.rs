//! Devices that every container may use, whatever its config denies,
//! `config-linux.md#default-devices`. The library's containers have the same, `ts/container/template.ts`.

use crate::spec::{DeviceRule, Resources};

/// Kind, major and minor number (any where absent), access. Making a node of any device is allowed
/// as runc allows it: archives hold such nodes, and opening them is what the rules are about.
const ALLOWED: &[(&str, Option<i64>, Option<i64>, &str)] = &[
    ("c", None, None, "m"),
    ("b", None, None, "m"),
    // null, zero, full, random, urandom
    ("c", Some(1), Some(3), "rwm"),
    ("c", Some(1), Some(5), "rwm"),
    ("c", Some(1), Some(7), "rwm"),
    ("c", Some(1), Some(8), "rwm"),
    ("c", Some(1), Some(9), "rwm"),
    // tty, ptmx, pts; not 5:1, as in runc: the machine's console, where the container's own is a pty
    ("c", Some(5), Some(0), "rwm"),
    ("c", Some(5), Some(2), "rwm"),
    ("c", Some(136), None, "rwm"),
];

/// Adds them behind the rules of a config, where there are any.
pub(super) fn allow_default(resources: &mut Resources) {
    if resources.devices.is_empty() {
        return;
    }
    resources.devices.extend(ALLOWED.iter().map(|(kind, major, minor, access)| DeviceRule {
        allow: true,
        kind: Some((*kind).to_owned()),
        major: *major,
        minor: *minor,
        access: Some((*access).to_owned()),
    }));
}
