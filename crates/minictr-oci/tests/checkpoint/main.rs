//! Checkpoints: a container goes on where it was, with what kept it in, and runc takes it for its own.
//!
//! What CRIU does is tried in the cgroup v2 guest, whose kernel it works on.

#[path = "../support/counting.rs"]
mod counting;
mod dump;
mod refusals;
mod restore;
#[path = "../support/mod.rs"]
mod support;
