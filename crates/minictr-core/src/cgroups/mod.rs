//! Control groups: finding the hierarchies, making a container's cgroup, limits, accounts, end.

mod stats;

pub use stats::*;
