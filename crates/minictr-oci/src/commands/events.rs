//! `events`: what the kernel accounts for a container, in the form that engines read from runc.

use std::time::Duration;

use clap::Args;
use minictr_core::cgroups::{HugePageStats, IoDeviceStats, Stats};
use minictr_core::error::{Error, ErrorCode, Result};
use serde_json::{Value, json};

use crate::global::Global;
use crate::output;

/// Print what a container uses, once or at intervals, one JSON document a line.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Print once.
    #[arg(long)]
    stats: bool,
    /// Time between two lines, such as `5s` or `500ms`.
    #[arg(long, default_value = "5s", value_parser = interval)]
    interval: Duration,
    /// Name of the container.
    id: String,
}

fn interval(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number = text[..digits].parse::<u64>().ok().filter(|number| *number > 0);
    let unit = match &text[digits..] {
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        _ => return Err("it is a number with `ms`, `s` or `m` behind it".to_owned()),
    };
    number
        .and_then(|number| unit.checked_mul(u32::try_from(number).ok()?))
        .ok_or_else(|| "it is over 0".to_owned())
}

/// Prints until the container has stopped.
pub(crate) fn run(global: &Global, arguments: &Arguments) -> Result<u8> {
    let runtime = global.runtime();
    let id = arguments.id.as_str();
    let mut stats = runtime.stats(id)?;
    let mut ooms = stats.memory.oom_kills;
    loop {
        line("stats", id, Some(data(&stats)))?;
        if arguments.stats {
            return Ok(0);
        }
        std::thread::sleep(arguments.interval);
        stats = match runtime.stats(id) {
            Ok(stats) => stats,
            // It has stopped, or was deleted: there is nothing more to tell.
            Err(Error { code: ErrorCode::WrongState | ErrorCode::NotFound, .. }) => return Ok(0),
            Err(error) => return Err(error),
        };
        if stats.memory.oom_kills > ooms {
            line("oom", id, None)?;
        }
        ooms = stats.memory.oom_kills;
    }
}

fn line(kind: &str, id: &str, data: Option<Value>) -> Result<()> {
    let mut document = json!({ "type": kind, "id": id });
    if let Some(data) = data {
        document["data"] = data;
    }
    output::text(&format!("{document}\n"))
}

/// The words of runc: CPU time in nanoseconds, an absent number 0.
fn data(stats: &Stats) -> Value {
    let nanos = |us: Option<u64>| us.unwrap_or(0).saturating_mul(1000);
    let entry = |usage: Option<u64>, limit: Option<u64>, max: Option<u64>, hits: Option<u64>| {
        json!({
            "usage": usage.unwrap_or(0),
            // What is unlimited is the largest number there.
            "limit": limit.unwrap_or(u64::MAX),
            "max": max.unwrap_or(0),
            "failcnt": hits.unwrap_or(0),
        })
    };
    let Stats { cpu, memory, pids, io, huge_pages } = stats;
    let huge = |stats: &HugePageStats| {
        json!({ "usage": stats.usage_bytes.unwrap_or(0), "max": stats.peak_bytes.unwrap_or(0),
            "failcnt": stats.limit_hits.unwrap_or(0) })
    };
    json!({
        "cpu": {
            "usage": {
                "total": nanos(cpu.usage_us),
                "percpu": cpu.per_cpu_us.iter().map(|us| us.saturating_mul(1000)).collect::<Vec<_>>(),
                "kernel": nanos(cpu.system_us),
                "user": nanos(cpu.user_us),
            },
            "throttling": {
                "periods": cpu.periods.unwrap_or(0),
                "throttledPeriods": cpu.throttled_periods.unwrap_or(0),
                "throttledTime": nanos(cpu.throttled_us),
            },
        },
        "memory": {
            "cache": memory.file_bytes.unwrap_or(0),
            "usage": entry(memory.usage_bytes, memory.limit_bytes, memory.peak_bytes, memory.limit_hits),
            "swap": entry(memory.swap_bytes, memory.swap_limit_bytes, None, None),
            "kernel": entry(memory.kernel_bytes, None, None, None),
            "kernelTCP": entry(None, None, None, None),
            "raw": memory.counters,
        },
        "pids": { "current": pids.current.unwrap_or(0), "limit": pids.limit.unwrap_or(0) },
        "blkio": {
            "ioServiceBytesRecursive": blocks(io.devices.as_deref(), |device| {
                [device.read_bytes, device.write_bytes, device.discard_bytes]
            }),
            "ioServicedRecursive": blocks(io.devices.as_deref(), |device| {
                [device.read_operations, device.write_operations, device.discard_operations]
            }),
        },
        "hugetlb": huge_pages.iter().map(|(size, stats)| (size.clone(), huge(stats)))
            .collect::<serde_json::Map<_, _>>(),
        "intel_rdt": {},
        "network_interfaces": null,
    })
}

fn blocks(devices: Option<&[IoDeviceStats]>, of: fn(&IoDeviceStats) -> [u64; 3]) -> Vec<Value> {
    let line = |device: &IoDeviceStats| {
        let (major, minor) = (device.major, device.minor);
        ["Read", "Write", "Discard"].into_iter().zip(of(device)).map(
            move |(op, value)| json!({ "major": major, "minor": minor, "op": op, "value": value }),
        )
    };
    devices.unwrap_or_default().iter().flat_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_have_a_unit() {
        assert_eq!(interval("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(interval("500ms"), Ok(Duration::from_millis(500)));
        for wrong in ["", "5", "0s", "s", "-1s", "5h"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }
}
