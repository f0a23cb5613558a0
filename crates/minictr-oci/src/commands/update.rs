//! `update`: other limits for a container.

use std::io::Read;

use clap::{ArgAction, Args};
use minictr_core::error::{Context, ErrorCode, Result};
use minictr_core::spec::{
    BlockIo, CpuLimits, IntelRdt, MemoryLimits, PidsLimit, Resources, parse_json,
};

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
    /// Memory, bytes or such as `512m`; -1 is unlimited.
    #[arg(long, allow_negative_numbers = true, value_parser = size)]
    memory: Option<i64>,
    /// Memory that the container is pushed back to when it runs short, bytes or such as `512m`.
    #[arg(long, allow_negative_numbers = true, value_parser = size)]
    memory_reservation: Option<i64>,
    /// Memory and swap, bytes or such as `1g`; -1 is unlimited.
    #[arg(long, allow_negative_numbers = true, value_parser = size)]
    memory_swap: Option<i64>,
    /// Accepted from engines: the kernel has no such limits any more.
    #[arg(long, alias = "kernel-memory-tcp", action = ArgAction::Append, hide = true)]
    kernel_memory: Vec<String>,
    /// Processes; -1 is unlimited.
    #[arg(long, allow_negative_numbers = true)]
    pids_limit: Option<i64>,
    /// Share of the L3 cache: lines of the `schemata` of the container's resctrl class.
    #[arg(long)]
    l3_cache_schema: Option<String>,
    /// Share of the memory's bandwidth: the line of it that begins with `MB:`.
    #[arg(long)]
    mem_bw_schema: Option<String>,
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
    let runtime = global.runtime();
    if let Some(shares) = arguments.shares() {
        runtime.update_shares(&arguments.id, &shares)?;
        if resources == Resources::default() {
            return Ok(0);
        }
    }
    runtime.update(&arguments.id, &resources)?;
    Ok(0)
}

/// A number of bytes, with a binary unit of `k`, `m`, `g`, `t` or `p`, or -1.
fn size(text: &str) -> Result<i64, String> {
    if text == "-1" {
        return Ok(-1);
    }
    let lower = text.to_ascii_lowercase();
    let number = lower.trim_end_matches('b').trim_end_matches('i');
    let (number, shift) = match number.char_indices().last() {
        Some((at, unit @ ('k' | 'm' | 'g' | 't' | 'p'))) => {
            let power = "kmgtp".find(unit).map_or(0, |index| index + 1);
            (&number[..at], 10 * power)
        }
        _ => (number, 0),
    };
    let bytes =
        number.trim_end().parse::<f64>().ok().map(|number| number * (1_u64 << shift) as f64);
    match bytes {
        Some(bytes) if (0.0..i64::MAX as f64).contains(&bytes) => Ok(bytes as i64),
        _ => Err("it is a number of bytes, or has a unit: `512m`, `1.5g`".to_owned()),
    }
}

impl Arguments {
    fn shares(&self) -> Option<IntelRdt> {
        let shares = IntelRdt {
            l3_cache_schema: self.l3_cache_schema.clone(),
            mem_bw_schema: self.mem_bw_schema.clone(),
            ..IntelRdt::default()
        };
        (self.resources.is_none() && shares != IntelRdt::default()).then_some(shares)
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_of_bytes_or_has_a_binary_unit() {
        let cases = [
            ("-1", -1),
            ("0", 0),
            ("67108864", 67_108_864),
            ("64m", 64 << 20),
            ("64MB", 64 << 20),
            ("64 MiB", 64 << 20),
            ("1.5g", 3 << 29),
            ("10b", 10),
        ];
        for (text, bytes) in cases {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "m", "-2", "1z", "nan", "inf", "8388608t", "1m1"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
