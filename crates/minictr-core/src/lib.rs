//! Makes, enters, limits, watches and ends Linux containers.
//!
//! The core knows nothing of Node, of the command line or of HTTP. Its input is an OCI runtime
//! [`spec`] and a few launch options ([`spawn::LaunchRequest`]); its output is a running container,
//! or an [`error::Error`] that says what failed on which object.

pub mod capabilities;
pub mod cgroups;
pub mod diagnose;
pub mod error;
pub mod rootfs;
pub mod seccomp;
pub mod spawn;
pub mod spec;
pub mod state;
pub mod sys;
