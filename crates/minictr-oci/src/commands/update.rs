//! `update`: other limits for a container.

use std::io::Read;

use clap::Args;
use minictr_core::error::{Context, ErrorCode, Result};
use minictr_core::spec::{BlockIo, CpuLimits, MemoryLimits, PidsLimit, Resources, parse_json};

use crate::global::Global;

/// Change limits of a container.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// File with the `resources` of a config, `-` for standard input; the options below are ignored.
    #[arg(short, long)]
    resources: Option<String>,
    /// Weight of block I/O, 10 to 1000.
    #[arg(long)]
    blkio_weight: Option<u16>,
    /// Length of a period of CPU time, microseconds.
    #[arg(long)]
    cpu_period: Option<u64>,
    /// CPU time in a period, microseconds.
    #[arg(long, allow_negative_numbers = true)]
    cpu_quota: Option<i64>,
    /// CPU time that can be saved up, microseconds.
    #[arg(long)]
    cpu_burst: Option<u64>,
    /// Relative share of CPU time.
    #[arg(long)]
    cpu_share: Option<u64>,
    /// Length of a period of real-time CPU time, microseconds.
    #[arg(long)]
    cpu_rt_period: Option<u64>,
    /// Real-time CPU time in a period, microseconds.
    #[arg(long, allow_negative_numbers = true)]
    cpu_rt_runtime: Option<i64>,
    /// CPUs to use, such as `0-3,7`.
    #[arg(long)]
    cpuset_cpus: Option<String>,
    /// Memory nodes to use.
    #[arg(long)]
    cpuset_mems: Option<String>,
    /// Whether the container gets CPU time only when nobody else wants it, 0 or 1.
    #[arg(long)]
    cpu_idle: Option<i64>,
    /// Memory, bytes; -1 is unlimited.
    #[arg(long, allow_negative_numbers = true)]
    memory: Option<i64>,
    /// Memory that the container is pushed back to when it runs short, bytes.
    #[arg(long, allow_negative_numbers = true)]
    memory_reservation: Option<i64>,
    /// Memory and swap, bytes.
    #[arg(long, allow_negative_numbers = true)]
    memory_swap: Option<i64>,
    /// Processes; -1 is unlimited.
    #[arg(long, allow_negative_numbers = true)]
    pids_limit: Option<i64>,
    /// Name of the container.
    id: String,
}

/// Changes the limits.
pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<u8> {
    let resources = match arguments.resources.as_deref() {
        Some("-") => {
            let mut json = Vec::new();
            std::io::stdin().lock().read_to_end(&mut json).context(
                ErrorCode::Io,
                "read",
                "resources from standard input",
            )?;
            parse_json(&json, "read resources")?
        }
        Some(path) => {
            let json = std::fs::read(path).context(ErrorCode::Io, "read", format!("`{path}`"))?;
            parse_json(&json, "read resources")?
        }
        None => arguments.limits(),
    };
    global.runtime().update(&arguments.id, &resources)?;
    Ok(0)
}

impl Arguments {
    fn limits(&self) -> Resources {
        let cpu = CpuLimits {
            shares: self.cpu_share,
            quota: self.cpu_quota,
            burst: self.cpu_burst,
            period: self.cpu_period,
            realtime_runtime: self.cpu_rt_runtime,
            realtime_period: self.cpu_rt_period,
            cpus: self.cpuset_cpus.clone(),
            mems: self.cpuset_mems.clone(),
            idle: self.cpu_idle,
        };
        let memory = MemoryLimits {
            limit: self.memory,
            reservation: self.memory_reservation,
            swap: self.memory_swap,
            ..MemoryLimits::default()
        };
        Resources {
            cpu: (cpu != CpuLimits::default()).then_some(cpu),
            memory: (memory != MemoryLimits::default()).then_some(memory),
            pids: self.pids_limit.map(|limit| PidsLimit { limit: Some(limit) }),
            block_io: self
                .blkio_weight
                .map(|weight| BlockIo { weight: Some(weight), ..BlockIo::default() }),
            ..Resources::default()
        }
    }
}
