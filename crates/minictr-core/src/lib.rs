//! Makes, enters, limits, watches and ends Linux containers.
//!
//! The core knows nothing of Node, of the command line or of HTTP. Its input is an OCI runtime
//! [`spec`] and a few launch options ([`spawn::LaunchRequest`]); its output is a running container,
//! or an [`error::Error`] that says what failed on which object.

pub mod capabilities;
pub mod cgroups;
pub mod checkpoint;
mod dbus;
pub mod diagnose;
pub mod error;
pub mod features;
pub mod lifecycle;
pub mod namespaces;
pub mod network;
pub mod resctrl;
pub mod rootfs;
pub mod seccomp;
pub mod spawn;
pub mod spawner;
pub mod spec;
pub mod state;
pub mod sys;

/// The version, with the commit that the sources of the native code were last changed in where the
/// build knows it: `0.1.0 (core 3f2a1c9)`, with `.dirty` behind it where they were changed since.
#[must_use]
pub fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    match commit() {
        Some(commit) => format!("{version} (core {commit})"),
        None => version.to_owned(),
    }
}

/// The commit of [`version`]'s sources, where the build knows it.
#[must_use]
pub fn commit() -> Option<&'static str> {
    option_env!("MINICTR_COMMIT")
}
