//! `blkio.*` of v1, `Documentation/admin-guide/cgroup-v1/blkio-controller.rst`: weights by whichever
//! scheduler the kernel has, limits by its throttling layer.

use std::os::fd::BorrowedFd;

use super::super::changes::Changes;
use super::super::files::{exists, read};
use super::super::stats::IoDeviceStats;
use crate::error::Result;
use crate::spec::BlockIo;

/// The file that this kernel has: CFQ's until Linux 4.20, BFQ's since.
fn scheduler(now: BorrowedFd<'_>, cfq: &'static str, bfq: &'static str) -> &'static str {
    if exists(now, cfq) { cfq } else { bfq }
}

/// Weights and limits. A rate of 0 is no limit.
pub(in crate::cgroups) fn changes(
    now: BorrowedFd<'_>,
    limits: &BlockIo,
    changes: &mut Changes,
) -> Result<()> {
    super::super::check_block_io(limits)?;
    if let Some(weight) = limits.weight.filter(|weight| *weight > 0) {
        changes.set(scheduler(now, "blkio.weight", "blkio.bfq.weight"), weight);
    }
    if let Some(weight) = limits.leaf_weight.filter(|weight| *weight > 0) {
        changes.set("blkio.leaf_weight", weight);
    }
    for device in &limits.weight_device {
        let key = format!("{}:{}", device.major, device.minor);
        if let Some(weight) = device.weight {
            let file = scheduler(now, "blkio.weight_device", "blkio.bfq.weight_device");
            // BFQ knows the word, CFQ the number.
            let absent = if file.starts_with("blkio.bfq") { "default" } else { "0" };
            changes.set_line(file, &key, weight, absent);
        }
        if let Some(weight) = device.leaf_weight {
            changes.set_line("blkio.leaf_weight_device", &key, weight, "0");
        }
    }
    for (file, devices) in [
        ("blkio.throttle.read_bps_device", &limits.throttle_read_bps_device),
        ("blkio.throttle.write_bps_device", &limits.throttle_write_bps_device),
        ("blkio.throttle.read_iops_device", &limits.throttle_read_iops_device),
        ("blkio.throttle.write_iops_device", &limits.throttle_write_iops_device),
    ] {
        for device in devices {
            let key = format!("{}:{}", device.major, device.minor);
            changes.set_line(file, &key, device.rate, "0");
        }
    }
    Ok(())
}

/// Each device by the throttling layer's accounts, which every request passes.
pub(in crate::cgroups) fn stats(directory: BorrowedFd<'_>) -> Option<Vec<IoDeviceStats>> {
    let text = |of: &str| {
        read(directory, &format!("blkio.throttle.{of}_recursive"))
            .or_else(|_| read(directory, &format!("blkio.throttle.{of}")))
            .ok()
    };
    let mut devices = Vec::new();
    add(&mut devices, &text("io_service_bytes")?, |device, of, bytes| match of {
        "Read" => device.read_bytes = bytes,
        "Write" => device.write_bytes = bytes,
        "Discard" => device.discard_bytes = bytes,
        _ => {}
    });
    add(&mut devices, &text("io_serviced")?, |device, of, count| match of {
        "Read" => device.read_operations = count,
        "Write" => device.write_operations = count,
        "Discard" => device.discard_operations = count,
        _ => {}
    });
    Some(devices)
}

/// Takes in lines such as `8:0 Read 4096`.
fn add(devices: &mut Vec<IoDeviceStats>, text: &str, put: impl Fn(&mut IoDeviceStats, &str, u64)) {
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(number), Some(of), Some(value)) = (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let Some((major, minor)) = number.split_once(':') else { continue };
        let (Ok(major), Ok(minor), Ok(value)) = (major.parse(), minor.parse(), value.parse())
        else {
            continue;
        };
        let at = devices.iter().position(|known| known.major == major && known.minor == minor);
        let at = at.unwrap_or_else(|| {
            devices.push(IoDeviceStats { major, minor, ..IoDeviceStats::default() });
            devices.len() - 1
        });
        put(&mut devices[at], of, value);
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::files::fake::Fake;
    use super::*;
    use crate::spec::{ThrottleDevice, WeightDevice};

    #[test]
    fn weights_go_to_the_scheduler_that_is_there() {
        let limits = BlockIo {
            weight: Some(500),
            weight_device: vec![WeightDevice {
                major: 8,
                minor: 0,
                weight: Some(20),
                leaf_weight: None,
            }],
            ..BlockIo::default()
        };
        let mut bfq = Changes::default();
        changes(Fake::new(&[]).fd(), &limits, &mut bfq).unwrap();
        assert_eq!(
            bfq.listed(),
            [("blkio.bfq.weight", "500"), ("blkio.bfq.weight_device", "8:0 20")]
        );
        let cfq = Fake::new(&[("blkio.weight", ""), ("blkio.weight_device", "")]);
        let mut made = Changes::default();
        changes(cfq.fd(), &limits, &mut made).unwrap();
        assert_eq!(made.listed(), [("blkio.weight", "500"), ("blkio.weight_device", "8:0 20")]);
    }

    #[test]
    fn each_kind_of_limit_has_its_file() {
        let device = |rate| vec![ThrottleDevice { major: 8, minor: 16, rate }];
        let limits = BlockIo {
            throttle_read_bps_device: device(1),
            throttle_write_bps_device: device(2),
            throttle_read_iops_device: device(3),
            throttle_write_iops_device: device(0),
            ..BlockIo::default()
        };
        let mut made = Changes::default();
        changes(Fake::new(&[]).fd(), &limits, &mut made).unwrap();
        assert_eq!(
            made.listed(),
            [
                ("blkio.throttle.read_bps_device", "8:16 1"),
                ("blkio.throttle.write_bps_device", "8:16 2"),
                ("blkio.throttle.read_iops_device", "8:16 3"),
                ("blkio.throttle.write_iops_device", "8:16 0"),
            ]
        );
    }

    #[test]
    fn bytes_and_operations_of_a_device_come_together() {
        let fake = Fake::new(&[
            (
                "blkio.throttle.io_service_bytes_recursive",
                "8:0 Read 10\n8:0 Write 20\n8:0 Sync 30\n8:0 Total 30\nTotal 30\n",
            ),
            ("blkio.throttle.io_serviced_recursive", "8:0 Read 1\n8:0 Write 2\nTotal 3\n"),
        ]);
        let expected = IoDeviceStats {
            major: 8,
            read_bytes: 10,
            write_bytes: 20,
            read_operations: 1,
            write_operations: 2,
            ..IoDeviceStats::default()
        };
        assert_eq!(stats(fake.fd()), Some(vec![expected]));
        assert_eq!(stats(Fake::new(&[]).fd()), None);
    }
}
