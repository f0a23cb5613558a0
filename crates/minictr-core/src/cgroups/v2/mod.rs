//! Cgroup v2: one hierarchy, controllers enabled from the top down.

pub(super) mod cpu;
pub(super) mod memory;
