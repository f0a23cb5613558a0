//! What is written down about one container, and what it means now.

use std::collections::BTreeMap;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::identity::Identity;
use crate::cgroups::Unit;
use crate::sys::files::read_text;

/// A container's record, `state.json` of its directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Record {
    /// The container's id.
    pub id: String,
    /// The version of the spec that its config follows.
    pub oci_version: String,
    /// Absolute path of its bundle.
    pub bundle: String,
    /// Absolute path of its rootfs.
    pub rootfs: String,
    /// When it was created, RFC 3339.
    pub created: String,
    /// User id of whoever created it.
    pub owner: u32,
    /// `annotations` of its config.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Its cgroups, written down before they are made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cgroups: Vec<String>,
    /// Its resctrl groups, likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resctrl: Vec<String>,
    /// Its systemd scope, written down before it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// Its first process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessRecord>,
    /// Whether it was made to the end: created, or running.
    #[serde(default)]
    pub made: bool,
    /// What its standard streams were given as: links of `/proc/PID/fd`. Empty for a terminal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<String>,
    /// Whether the end of its first process is the end of all.
    #[serde(default)]
    pub own_pid_namespace: bool,
    /// Whether its config has hooks for its deletion.
    #[serde(default = "yes")]
    pub poststop: bool,
}

/// Of a record that doesn't say.
fn yes() -> bool {
    true
}

/// A process that was written down.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProcessRecord {
    /// Its pid, in the pid namespace of whoever wrote it down.
    pub pid: i32,
    /// What tells it from a later one with the same pid.
    pub identity: String,
    /// The boot that it belongs to: pids and identities start again with each.
    pub boot: String,
}

impl ProcessRecord {
    /// Writes a running process down.
    #[must_use]
    pub fn of(pid: i32, pidfd: BorrowedFd<'_>) -> Option<Self> {
        Some(Self { pid, identity: Identity::of(pid, pidfd)?.text(), boot: boot() })
    }

    /// A handle of the process, while it is still this one and hasn't ended.
    #[must_use]
    pub fn find(&self) -> Option<OwnedFd> {
        let identity = Identity::parse(&self.identity)?;
        (self.boot == boot()).then(|| identity.find(self.pid)).flatten()
    }
}

fn boot() -> String {
    static ID: OnceLock<String> = OnceLock::new();
    let read = || read_text("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    ID.get_or_init(|| read().trim().to_owned()).clone()
}

/// Where a container is in its life, `runtime.md#state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Being made.
    Creating,
    /// Made; its program waits for the start.
    Created,
    /// Its program runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its program has ended, or it was never made to the end.
    Stopped,
}

impl Status {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// The time now, RFC 3339 in UTC with nanoseconds.
#[must_use]
pub fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    timestamp(since.as_secs(), since.subsec_nanos())
}

/// Days are counted in years that begin with March, so that a leap day is the last of its year.
fn timestamp(seconds: u64, nanos: u32) -> String {
    const DAYS_FROM_MARCH_0000_TO_1970: u64 = 719_468;
    const DAYS_IN_400_YEARS: u64 = 146_097;
    let days = seconds / 86_400 + DAYS_FROM_MARCH_0000_TO_1970;
    let (era, day) = (days / DAYS_IN_400_YEARS, days % DAYS_IN_400_YEARS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        assert_eq!(timestamp(0, 0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(timestamp(951_782_399, 5), "2000-02-28T23:59:59.000000005Z");
        assert_eq!(timestamp(951_782_400, 0), "2000-02-29T00:00:00.000000000Z");
        assert_eq!(timestamp(1_798_761_599, 0), "2026-12-31T23:59:59.000000000Z");
    }
}
