//! `rdma.*`, the same in v1 and v2.

use std::collections::BTreeMap;

use super::changes::Changes;
use crate::error::{Error, Result};
use crate::spec::RdmaLimit;

/// Limits of each device by its name; what a limit leaves out stays as it is.
pub(super) fn changes(limits: &BTreeMap<String, RdmaLimit>, changes: &mut Changes) -> Result<()> {
    for (device, limit) in limits {
        if device.is_empty() || device.contains(char::is_whitespace) {
            return Err(Error::invalid("limit rdma device", format!("`{device}`: not a name")));
        }
        let values = [("hca_handle", limit.hca_handles), ("hca_object", limit.hca_objects)];
        let value: Vec<String> = values
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", value?)))
            .collect();
        if !value.is_empty() {
            changes.set_line("rdma.max", device, value.join(" "), "hca_handle=max hca_object=max");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_counts_are_left_out_and_zero_is_a_limit() {
        let limits = BTreeMap::from([
            ("mlx4_0".to_owned(), RdmaLimit { hca_handles: Some(0), hca_objects: None }),
            ("none".to_owned(), RdmaLimit::default()),
        ]);
        let mut made = Changes::default();
        changes(&limits, &mut made).unwrap();
        assert_eq!(made.listed(), [("rdma.max", "mlx4_0 hca_handle=0")]);
    }
}
