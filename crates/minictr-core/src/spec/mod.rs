//! The OCI runtime specification's `config.json`, version 1.3, as types.
//!
//! This is the contract between TypeScript and Rust, and between an engine and `minictr-oci`.
//! Everything here is data; [`validate`] says which data make a container. Two rules hold for all
//! types: an unknown field is refused with its path, and a field that is absent stays apart from
//! one that is 0 or empty (`Option`), because the kernel's default and 0 are different limits.
//!
//! Source: `config.md` and `config-linux.md` of the runtime-spec 1.3.0.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

mod linux;
mod resources;
mod seccomp;
mod template;

pub use linux::*;
pub use resources::*;
pub use seccomp::*;
pub use template::template;

/// The newest version of the runtime spec that this crate knows.
pub const OCI_VERSION: &str = "1.3.0";

/// A whole `config.json`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// The spec version that the document follows, such as `1.3.0`.
    pub oci_version: String,
    /// The process to run; may be absent until `start` for engines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// The directory that becomes `/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<Root>,
    /// The host name, in the container's UTS namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The NIS domain name, in the container's UTS namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domainname: Option<String>,
    /// Mounts, made in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Programs run at points of the lifecycle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Hooks>,
    /// Arbitrary metadata.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Everything that is Linux's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linux: Option<Linux>,
    /// Refused: another platform's section.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub solaris: Option<serde_json::Value>,
    /// Refused: another platform's section.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<serde_json::Value>,
    /// Refused: another platform's section.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vm: Option<serde_json::Value>,
    /// Refused: another platform's section.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zos: Option<serde_json::Value>,
    /// Refused: another platform's section.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub freebsd: Option<serde_json::Value>,
}

/// `process`: what runs, as whom, with which limits.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Process {
    /// Whether a terminal is attached; default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminal: Option<bool>,
    /// The terminal's size in character cells; ignored without `terminal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub console_size: Option<ConsoleSize>,
    /// Absolute working directory in the container.
    pub cwd: String,
    /// `NAME=value` entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The program and its arguments; at least one entry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Windows only: refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_line: Option<String>,
    /// Resource limits, `setrlimit(2)`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rlimits: Vec<Rlimit>,
    /// AppArmor profile, applied on exec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apparmor_profile: Option<String>,
    /// The five capability sets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
    /// `PR_SET_NO_NEW_PRIVS`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_new_privileges: Option<bool>,
    /// `/proc/self/oom_score_adj`, -1000 to 1000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oom_score_adj: Option<i32>,
    /// `sched_setattr(2)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<Scheduler>,
    /// SELinux label, applied on exec.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selinux_label: Option<String>,
    /// `ioprio_set(2)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_priority: Option<IoPriority>,
    /// CPU affinity of a process that joins the container.
    #[serde(rename = "execCPUAffinity", skip_serializing_if = "Option::is_none")]
    pub exec_cpu_affinity: Option<ExecCpuAffinity>,
    /// Ids of the process.
    #[serde(default)]
    pub user: User,
}

/// A terminal's size in character cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ConsoleSize {
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
}

/// `process.user`, in the container's ids.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct User {
    /// User id.
    #[serde(default)]
    pub uid: u32,
    /// Group id.
    #[serde(default)]
    pub gid: u32,
    /// File mode creation mask; the runtime's own is inherited when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// Supplementary groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub additional_gids: Vec<u32>,
    /// Windows only: refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
}

/// One resource limit.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rlimit {
    /// Name as in `getrlimit(2)`, such as `RLIMIT_NOFILE`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Soft limit; `u64::MAX` is unlimited.
    #[serde(deserialize_with = "limit")]
    pub soft: u64,
    /// Hard limit; `u64::MAX` is unlimited.
    #[serde(deserialize_with = "limit")]
    pub hard: u64,
}

/// A limit, of which "unlimited" is a number that JavaScript can only round: 2^64.
fn limit<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct Limit;
    impl serde::de::Visitor<'_> for Limit {
        type Value = u64;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("a limit from 0 to 2^64")
        }

        fn visit_u64<E>(self, value: u64) -> Result<u64, E> {
            Ok(value)
        }

        fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<u64, E> {
            if value == 18_446_744_073_709_551_616.0 {
                return Ok(u64::MAX);
            }
            Err(E::invalid_value(serde::de::Unexpected::Float(value), &self))
        }
    }
    deserializer.deserialize_any(Limit)
}

/// The five capability sets, by name (`CAP_KILL`), `capabilities(7)`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Capabilities {
    /// Upper bound for what `execve(2)` can give.
    #[serde(default)]
    pub bounding: Vec<String>,
    /// What the kernel checks.
    #[serde(default)]
    pub effective: Vec<String>,
    /// Kept over `execve(2)` of a file with matching inheritable capabilities.
    #[serde(default)]
    pub inheritable: Vec<String>,
    /// What may be made effective.
    #[serde(default)]
    pub permitted: Vec<String>,
    /// Kept over `execve(2)` of any file.
    #[serde(default)]
    pub ambient: Vec<String>,
}

/// `process.scheduler`, `sched_setattr(2)`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scheduler {
    /// `SCHED_OTHER`, `SCHED_FIFO`, `SCHED_RR`, `SCHED_BATCH`, `SCHED_ISO`, `SCHED_IDLE`,
    /// `SCHED_DEADLINE`.
    pub policy: String,
    /// Nice value, for `SCHED_OTHER` and `SCHED_BATCH`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nice: Option<i32>,
    /// Static priority, for the real-time policies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// `SCHED_FLAG_…` names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<String>,
    /// Deadline policy: nanoseconds of run time in a period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<u64>,
    /// Deadline policy: nanoseconds to the deadline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<u64>,
    /// Deadline policy: nanoseconds of a period.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<u64>,
}

/// `process.ioPriority`, `ioprio_set(2)`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct IoPriority {
    /// `IOPRIO_CLASS_RT`, `IOPRIO_CLASS_BE` or `IOPRIO_CLASS_IDLE`.
    pub class: String,
    /// 0 (highest) to 7.
    #[serde(default)]
    pub priority: i32,
}

/// `process.execCPUAffinity`: CPU lists such as `0-3,7`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ExecCpuAffinity {
    /// While the runtime joins the container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial: Option<String>,
    /// Once the process runs.
    #[serde(rename = "final", skip_serializing_if = "Option::is_none")]
    pub final_: Option<String>,
}

/// `root`: the directory that becomes `/`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Root {
    /// Absolute, or relative to the bundle.
    pub path: String,
    /// Whether `/` is read-only in the container; default false.
    #[serde(default)]
    pub readonly: bool,
}

/// One entry of `mounts`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mount {
    /// Where in the container; a relative path is taken from `/`.
    pub destination: String,
    /// Filesystem type, as in `/proc/filesystems`; absent or `bind` for a bind mount.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Device name, or for bind mounts a path (relative to the bundle).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Options of `mount(8)` and the recursive ones of the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Id mapping of an idmapped mount; empty takes the container's where `idmap` is an option.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uid_mappings: Vec<IdMapping>,
    /// As `uid_mappings`, for groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gid_mappings: Vec<IdMapping>,
}

/// Programs run at points of the lifecycle.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hooks {
    /// Deprecated: as `create_runtime`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prestart: Vec<Hook>,
    /// In the runtime's namespaces, after the container's are made, before pivot_root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub create_runtime: Vec<Hook>,
    /// In the container's namespaces, before pivot_root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub create_container: Vec<Hook>,
    /// In the container, before the program.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub start_container: Vec<Hook>,
    /// In the runtime's namespaces, after the program started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub poststart: Vec<Hook>,
    /// In the runtime's namespaces, after the container was deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub poststop: Vec<Hook>,
}

/// One program of [`Hooks`]; the container's state comes on its standard input.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// Absolute path.
    pub path: String,
    /// The whole argument vector, name included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// `NAME=value` entries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Seconds until it is killed; over 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
}

/// Reads a `config.json`.
///
/// # Errors
/// `InvalidArgument` with the path of the field that is unknown, missing or of the wrong type.
pub fn parse(json: &[u8]) -> Result<Spec> {
    parse_json(json, "read container config")
}

/// Reads the `config.json` of an engine. Properties that the specification doesn't have are passed
/// over, as `config.md#extensibility` demands; one that it has is never.
///
/// # Errors
/// As for [`parse`], but for unknown fields.
pub fn parse_extensible(json: &[u8]) -> Result<Spec> {
    let refused = match parse(json) {
        Err(refused) => refused,
        known => return known,
    };
    let Ok(mut document) = serde_json::from_slice::<serde_json::Value>(json) else {
        return Err(refused);
    };
    // One at a time: the parser stops at each.
    loop {
        let error = match serde_path_to_error::deserialize::<_, Spec>(document.clone()) {
            Ok(spec) => return Ok(spec),
            Err(error) => error,
        };
        let unknown = error.inner().to_string().starts_with("unknown field");
        if !unknown || !remove(&mut document, error.path()) {
            return parse(document.to_string().as_bytes());
        }
    }
}

/// Takes a property out of a document; false where there is none at the path.
fn remove(document: &mut serde_json::Value, path: &serde_path_to_error::Path) -> bool {
    use serde_path_to_error::Segment;
    let segments: Vec<_> = path.iter().collect();
    let Some((Segment::Map { key }, above)) = segments.split_last() else { return false };
    let mut value = document;
    for segment in above {
        let next = match segment {
            Segment::Map { key } => value.get_mut(key),
            Segment::Seq { index } => value.get_mut(index),
            _ => None,
        };
        let Some(next) = next else { return false };
        value = next;
    }
    value.as_object_mut().is_some_and(|object| object.remove(key).is_some())
}

/// Reads any document of ours with the path of the offending field in the error.
///
/// # Errors
/// `InvalidArgument`, as for [`parse`].
pub fn parse_json<T: DeserializeOwned>(json: &[u8], operation: &str) -> Result<T> {
    let refused = match serde_json::from_slice(json) {
        Ok(value) => return Ok(value),
        Err(refused) => refused,
    };
    // Again only where it fails: keeping track of where one is costs as much as the parsing. From a
    // tree, as for engines' configs: a parser of its own would be a tenth of the executable.
    let document = serde_json::from_slice::<serde_json::Value>(json);
    let again = document.map(serde_path_to_error::deserialize::<_, T>);
    let object = match again {
        Ok(Err(error)) => format!("at `{}`: {}", error.path(), error.inner()),
        // What isn't a document has no path; nor has what a tree can't hold, a property twice.
        Ok(Ok(_)) | Err(_) => format!("as JSON: {refused}"),
    };
    Err(Error::invalid(operation, object))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTENDED: &str = r#"{
        "ociVersion": "1.3.0", "com.example": {"a": 1},
        "process": {"cwd": "/", "user": {"uid": 7, "shoe": 42}, "args": ["true"]},
        "mounts": [{"destination": "/proc"}, {"destination": "/x", "colour": "red"}]
    }"#;

    #[test]
    fn properties_that_the_specification_has_not_are_passed_over_for_engines() {
        let spec = parse_extensible(EXTENDED.as_bytes()).unwrap();
        assert_eq!(spec.process.unwrap().user.uid, 7);
        assert_eq!(spec.mounts[1].destination, "/x");
        assert!(parse(EXTENDED.as_bytes()).is_err(), "elsewhere they are errors");
    }

    #[test]
    fn an_error_names_the_path_or_what_is_no_document() {
        let said = |json: &str| parse(json.as_bytes()).unwrap_err().message();
        let wrong = r#"{"ociVersion": "1", "process": {"cwd": 7}}"#;
        assert!(said(wrong).contains("at `process.cwd`: invalid type"), "{}", said(wrong));
        for (json, why) in [
            (r#"{"ociVersion": "1""#, "as JSON: EOF while parsing"),
            (r#"{"ociVersion": "1"} {}"#, "as JSON: trailing characters"),
            (r#"{"ociVersion": "1", "ociVersion": "2"}"#, "as JSON: duplicate field"),
        ] {
            assert!(said(json).contains(why), "{}", said(json));
        }
    }

    #[test]
    fn a_property_of_the_wrong_type_is_an_error_beside_unknown_ones() {
        let wrong = EXTENDED.replace(r#""uid": 7"#, r#""uid": "seven""#);
        let error = parse_extensible(wrong.as_bytes()).unwrap_err();
        assert!(error.to_string().contains("process.user.uid"), "{error}");
    }
}
