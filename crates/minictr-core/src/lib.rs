//! Makes, enters, limits, watches and ends Linux containers.
//!
//! The core knows nothing of Node, of the command line or of HTTP. Its input is an OCI runtime
//! [`spec`] and a few launch options ([`spawn::LaunchRequest`]); its output is a running container,
//! or an [`error::Error`] that says what failed on which object.

pub mod cgroups;
pub mod error;
pub mod spawn;
pub mod spec;
