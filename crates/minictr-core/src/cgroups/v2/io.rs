//! `io.*` of v2, `Documentation/admin-guide/cgroup-v2.rst`.

use std::os::fd::BorrowedFd;

use super::super::changes::Changes;
use super::super::files::{exists, read};
use super::super::stats::IoDeviceStats;
use super::super::{check_block_io, not_on_v2};
use crate::error::Result;
use crate::spec::BlockIo;

/// v1's weight (10 to 1000) as that of `io.weight` (1 to 10000), both ends met: the line that runc
/// and crun draw.
pub(in crate::cgroups) fn weight(weight: u16) -> u64 {
    1 + (u64::from(weight.max(10)) - 10) * 9999 / 990
}

/// Weights and limits. Where BFQ schedules, its own file takes the weight as it is; a rate of 0 is
/// no limit.
///
/// # Errors
/// `InvalidArgument` for leaf weights, which v2 hasn't.
pub(in crate::cgroups) fn changes(
    now: BorrowedFd<'_>,
    limits: &BlockIo,
    changes: &mut Changes,
) -> Result<()> {
    check_block_io(limits)?;
    if limits.leaf_weight.is_some_and(|weight| weight > 0) {
        return Err(not_on_v2("blockIO.leafWeight"));
    }
    if limits.weight_device.iter().any(|device| device.leaf_weight.is_some_and(|w| w > 0)) {
        return Err(not_on_v2("blockIO.weightDevice leafWeight"));
    }
    let bfq = exists(now, "io.bfq.weight");
    let (file, scaled): (_, fn(u16) -> u64) =
        if bfq { ("io.bfq.weight", u64::from) } else { ("io.weight", weight) };
    if let Some(value) = limits.weight.filter(|weight| *weight > 0) {
        changes.set_default(file, scaled(value));
    }
    for device in &limits.weight_device {
        if let Some(value) = device.weight {
            let key = format!("{}:{}", device.major, device.minor);
            changes.set_line(file, &key, scaled(value), "default");
        }
    }
    for (name, devices) in [
        ("rbps", &limits.throttle_read_bps_device),
        ("wbps", &limits.throttle_write_bps_device),
        ("riops", &limits.throttle_read_iops_device),
        ("wiops", &limits.throttle_write_iops_device),
    ] {
        for device in devices {
            let key = format!("{}:{}", device.major, device.minor);
            let rate = match device.rate {
                0 => format!("{name}=max"),
                rate => format!("{name}={rate}"),
            };
            changes.set_line("io.max", &key, rate, "rbps=max wbps=max riops=max wiops=max");
        }
    }
    Ok(())
}

/// Each device that has been used.
pub(in crate::cgroups) fn stats(directory: BorrowedFd<'_>) -> Option<Vec<IoDeviceStats>> {
    let text = read(directory, "io.stat").ok()?;
    Some(text.lines().filter_map(device).collect())
}

/// A line such as `8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0`.
fn device(line: &str) -> Option<IoDeviceStats> {
    let mut words = line.split_ascii_whitespace();
    let (major, minor) = words.next()?.split_once(':')?;
    let mut device = IoDeviceStats {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        ..IoDeviceStats::default()
    };
    for (name, value) in words.filter_map(|word| word.split_once('=')) {
        // Other files' keys, such as those of io.cost, stand here too.
        let Ok(value) = value.parse() else { continue };
        match name {
            "rbytes" => device.read_bytes = value,
            "wbytes" => device.write_bytes = value,
            "rios" => device.read_operations = value,
            "wios" => device.write_operations = value,
            "dbytes" => device.discard_bytes = value,
            "dios" => device.discard_operations = value,
            _ => {}
        }
    }
    Some(device)
}

#[cfg(test)]
mod tests {
    use super::super::super::files::fake::Fake;
    use super::*;
    use crate::spec::{ThrottleDevice, WeightDevice};

    fn weights() -> BlockIo {
        let device = WeightDevice { major: 8, minor: 0, weight: Some(1000), leaf_weight: None };
        BlockIo { weight: Some(10), weight_device: vec![device], ..BlockIo::default() }
    }

    #[test]
    fn weights_are_scaled_unless_bfq_takes_them() {
        let mut scaled = Changes::default();
        changes(Fake::new(&[]).fd(), &weights(), &mut scaled).unwrap();
        assert_eq!(scaled.listed(), [("io.weight", "1"), ("io.weight", "8:0 10000")]);
        let mut bfq = Changes::default();
        changes(Fake::new(&[("io.bfq.weight", "")]).fd(), &weights(), &mut bfq).unwrap();
        assert_eq!(bfq.listed(), [("io.bfq.weight", "10"), ("io.bfq.weight", "8:0 1000")]);
    }

    #[test]
    fn rates_name_the_device_and_what_they_limit() {
        let device = |rate| vec![ThrottleDevice { major: 8, minor: 16, rate }];
        let limits = BlockIo {
            throttle_read_bps_device: device(1024),
            throttle_write_iops_device: device(0),
            ..BlockIo::default()
        };
        let mut made = Changes::default();
        changes(Fake::new(&[]).fd(), &limits, &mut made).unwrap();
        assert_eq!(made.listed(), [("io.max", "8:16 rbps=1024"), ("io.max", "8:16 wiops=max")]);
    }

    #[test]
    fn refuses_leaf_weights() {
        let limits = BlockIo { leaf_weight: Some(10), ..BlockIo::default() };
        let refused = changes(Fake::new(&[]).fd(), &limits, &mut Changes::default());
        assert!(refused.unwrap_err().message().contains("leafWeight"));
    }

    #[test]
    fn each_line_is_a_device() {
        let text = "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=30 dios=3 cost.usage=7\n254:0 \n";
        let found = stats(Fake::new(&[("io.stat", text)]).fd()).unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].write_bytes, found[0].discard_operations), (20, 3));
        assert_eq!((found[1].major, found[1].read_bytes), (254, 0));
    }
}
