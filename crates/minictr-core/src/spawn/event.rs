//! What happens to a launch, as its caller is told.

use serde::{Deserialize, Serialize};

use crate::cgroups::Stats;
use crate::error::Error;

/// The caller's number for a launch; unique in a process.
pub type LaunchId = u64;

/// One thing that happened.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Event {
    /// The program was executed. The pidfd, and for a terminal the pty's master, travel beside it.
    #[serde(rename_all = "camelCase")]
    Started {
        /// Which launch.
        launch: LaunchId,
        /// The container's first process, in the caller's pid namespace.
        pid: i32,
    },
    /// The container couldn't be started; nothing of it is left.
    #[serde(rename_all = "camelCase")]
    Failed {
        /// Which launch.
        launch: LaunchId,
        /// Why.
        error: Error,
    },
    /// The container ended; nothing of it is left.
    #[serde(rename_all = "camelCase")]
    Exited {
        /// Which launch.
        launch: LaunchId,
        /// How.
        exit: Exit,
    },
    /// The answer to a request for statistics.
    #[serde(rename_all = "camelCase")]
    Stats {
        /// Which launch.
        launch: LaunchId,
        /// The request's number.
        token: u32,
        /// What the kernel accounts.
        stats: Box<Stats>,
    },
    /// A request on a running container that has no other answer (a pause, an update) is done.
    #[serde(rename_all = "camelCase")]
    Done {
        /// Which launch.
        launch: LaunchId,
        /// The request's number.
        token: u32,
    },
    /// A request on a running container (a kill, an update) failed.
    #[serde(rename_all = "camelCase")]
    RequestFailed {
        /// Which launch.
        launch: LaunchId,
        /// The request's number.
        token: u32,
        /// Why.
        error: Error,
    },
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Exit {
    /// The program's exit status; `None` where a signal ended it.
    pub code: Option<i32>,
    /// The signal's number.
    pub signal: Option<i32>,
    /// Killed because `timeoutMs` had passed.
    pub timed_out: bool,
    /// Killed because `cpuTimeMs` was used up.
    pub cpu_time_exceeded: bool,
    /// The kernel killed something in it for want of memory.
    pub oom_killed: bool,
    /// From the request to the end, microseconds.
    pub duration_us: u64,
    /// CPU time in user mode, microseconds, of all its processes.
    pub cpu_user_us: u64,
    /// CPU time in the kernel, microseconds, of all its processes.
    pub cpu_system_us: u64,
    /// Most memory at one time, bytes: of the whole cgroup, else of the largest process.
    pub peak_memory_bytes: u64,
}
