//! What the kernel accounts for a container.

use serde::{Deserialize, Serialize};

/// What the kernel accounts for a container at one moment; `None` where this machine doesn't.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Memory in use, bytes.
    pub memory_bytes: Option<u64>,
    /// Most memory at one time, bytes.
    pub memory_peak_bytes: Option<u64>,
    /// The limit, bytes; `None` when unlimited.
    pub memory_limit_bytes: Option<u64>,
    /// CPU time of all processes, microseconds.
    pub cpu_usage_us: Option<u64>,
    /// Of it in user mode, microseconds.
    pub cpu_user_us: Option<u64>,
    /// Of it in the kernel, microseconds.
    pub cpu_system_us: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
    /// The limit on them; `None` when unlimited.
    pub pids_limit: Option<u64>,
    /// Processes that the kernel killed for want of memory.
    pub oom_kills: Option<u64>,
}
