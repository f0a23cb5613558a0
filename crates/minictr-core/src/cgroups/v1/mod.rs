//! Cgroup v1: a hierarchy for each controller, or for some together.

pub(super) mod blkio;
pub(super) mod cpu;
pub(super) mod cpuset;
pub(super) mod devices;
pub(super) mod freezer;
pub(super) mod memory;
pub(super) mod network;
