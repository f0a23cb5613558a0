//! Cgroup v2: one hierarchy, controllers enabled from the top down.

pub(super) mod cpu;
pub(super) mod devices;
pub(super) mod freezer;
pub(super) mod io;
pub(super) mod memory;
pub(super) mod pressure;
pub(super) mod unified;
