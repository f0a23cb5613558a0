//! What the kernel accounts for a container.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What the kernel accounts for a container at one moment; `None` where this machine doesn't, or
/// doesn't for this container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Memory.
    #[serde(default)]
    pub memory: MemoryStats,
    /// CPU time.
    #[serde(default)]
    pub cpu: CpuStats,
    /// Processes and threads.
    #[serde(default)]
    pub pids: PidsStats,
    /// Block devices.
    #[serde(default)]
    pub io: IoStats,
    /// Huge pages, by page size such as `2MB`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub huge_pages: BTreeMap<String, HugePageStats>,
}

/// Memory of a container, bytes and counts.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryStats {
    /// In use, file cache included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_bytes: Option<u64>,
    /// In use, without the file cache that nobody has touched for long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_set_bytes: Option<u64>,
    /// Most in use at one time; v2 since Linux 5.19.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
    /// The limit; `None` when unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u64>,
    /// Swap in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap_bytes: Option<u64>,
    /// The limit on swap alone; `None` when unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub swap_limit_bytes: Option<u64>,
    /// Of no file: heaps and stacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anonymous_bytes: Option<u64>,
    /// Cache of files, shared memory included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_bytes: Option<u64>,
    /// Shared memory and tmpfs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_bytes: Option<u64>,
    /// The kernel's own, on behalf of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_bytes: Option<u64>,
    /// Times that the limit stood in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_hits: Option<u64>,
    /// Times that the limit was reached and nothing could be freed (v2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ooms: Option<u64>,
    /// Processes that the kernel killed for want of memory; v1 since Linux 4.13.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oom_kills: Option<u64>,
    /// Pages brought in, from wherever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_faults: Option<u64>,
    /// Of them, those that had to wait for a disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub major_page_faults: Option<u64>,
    /// All of `memory.stat`, by the kernel's names; on v1 those of the whole hierarchy below.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counters: BTreeMap<String, u64>,
    /// Time lost to want of memory (v2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pressure: Option<Pressure>,
}

/// CPU time of a container, microseconds and counts.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CpuStats {
    /// Of all processes that were ever in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_us: Option<u64>,
    /// Of it in user mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_us: Option<u64>,
    /// Of it in the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_us: Option<u64>,
    /// Of it on each CPU (v1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per_cpu_us: Vec<u64>,
    /// Periods of a limit on CPU time that have passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub periods: Option<u64>,
    /// Of them, those in which the limit was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled_periods: Option<u64>,
    /// Time for which the limit held processes up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throttled_us: Option<u64>,
    /// Periods in which saved time was used; Linux 5.14.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bursts: Option<u64>,
    /// Saved time that was used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst_us: Option<u64>,
    /// Time lost to want of a CPU (v2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pressure: Option<Pressure>,
}

/// Processes and threads of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PidsStats {
    /// Now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<u64>,
    /// Most at one time; Linux 6.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<u64>,
    /// The limit; `None` when unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Forks that the limit refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_hits: Option<u64>,
}

/// Block devices that a container uses.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IoStats {
    /// Each device that it has used; `None` where I/O isn't accounted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devices: Option<Vec<IoDeviceStats>>,
    /// Time lost to waiting for disks (v2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pressure: Option<Pressure>,
}

/// What a container did with one block device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IoDeviceStats {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Read operations.
    pub read_operations: u64,
    /// Write operations.
    pub write_operations: u64,
    /// Bytes given back to the device.
    pub discard_bytes: u64,
    /// Operations that gave bytes back.
    pub discard_operations: u64,
}

/// Huge pages of one size.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HugePageStats {
    /// In use, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_bytes: Option<u64>,
    /// Most in use at one time, bytes (v1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
    /// The limit, bytes; `None` when unlimited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u64>,
    /// Times that the limit stood in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_hits: Option<u64>,
}

/// Time lost to want of a resource: pressure stall information,
/// `Documentation/accounting/psi.rst`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pressure {
    /// While at least one process waited.
    pub some: Stall,
    /// While all that could have run waited.
    pub full: Stall,
}

/// A share of time, and its sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stall {
    /// Of the last 10 seconds, percent.
    pub avg10_percent: f64,
    /// Of the last minute, percent.
    pub avg60_percent: f64,
    /// Of the last five minutes, percent.
    pub avg300_percent: f64,
    /// Since the container began, microseconds.
    pub total_us: u64,
}
