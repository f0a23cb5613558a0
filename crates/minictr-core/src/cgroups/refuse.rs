//! Limits that can't be, said by the spec's names.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use super::files::number;
use crate::error::{Error, ErrorCode, Result};
use crate::spec::BlockIo;

/// The error for a limit that v1 alone has.
pub(super) fn not_on_v2(field: &str) -> Error {
    Error::invalid("set", format!("`{field}`: cgroup v2 has no such limit"))
        .hint("leave it out; this machine limits that with cgroup v2")
}

/// Refuses a limit on memory that is below what is in use.
///
/// # Errors
/// `Cgroup` with EBUSY, as v1 says it by itself.
pub(super) fn refuse_below_use(
    now: BorrowedFd<'_>,
    usage: &'static str,
    limit: Option<i64>,
) -> Result<()> {
    let (Some(limit), Some(used)) = (limit, number(now, usage)) else { return Ok(()) };
    match u64::try_from(limit) {
        Ok(limit) if limit < used => {
            let object = format!("memory to {limit} bytes: {used} bytes are in use");
            Err(Error::new(ErrorCode::Cgroup, "limit", object)
                .errno(Errno::EBUSY)
                .hint("more than that is in use already"))
        }
        _ => Ok(()),
    }
}

/// The range of weights, `config-linux.md#block-io`; 0 is none.
fn check_weight(weight: Option<u16>, field: &str) -> Result<()> {
    match weight {
        Some(weight) if weight != 0 && !(10..=1000).contains(&weight) => {
            Err(Error::invalid("use", format!("`{field}` {weight}"))
                .hint("a weight is between 10 and 1000"))
        }
        _ => Ok(()),
    }
}

/// Checks what both versions have in common.
///
/// # Errors
/// `InvalidArgument` for a weight out of range, or a device without a number.
pub(super) fn check_block_io(limits: &BlockIo) -> Result<()> {
    check_weight(limits.weight, "blockIO.weight")?;
    check_weight(limits.leaf_weight, "blockIO.leafWeight")?;
    for device in &limits.weight_device {
        check_weight(device.weight, "blockIO.weightDevice")?;
        check_weight(device.leaf_weight, "blockIO.weightDevice")?;
    }
    let numbers = limits.weight_device.iter().map(|device| (device.major, device.minor));
    let throttled = [
        &limits.throttle_read_bps_device,
        &limits.throttle_write_bps_device,
        &limits.throttle_read_iops_device,
        &limits.throttle_write_iops_device,
    ];
    let numbers =
        numbers.chain(throttled.into_iter().flatten().map(|device| (device.major, device.minor)));
    for (major, minor) in numbers {
        if major < 0 || minor < 0 {
            return Err(Error::invalid("limit block device", format!("{major}:{minor}")));
        }
    }
    Ok(())
}
