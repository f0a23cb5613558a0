//! What minictr's tests stand on.
//!
//! - The **probe** ([`install_probe`]): a static program that tries one forbidden or observable thing
//!   and prints what the kernel answered. It is the userland of the test containers. Its sources
//!   are in `probe/`; the TypeScript tests compile the same.
//! - **Host checks** ([`Feature`], [`require!`]): a test that needs root, cgroups or a filesystem
//!   names it, is skipped by that name where it is missing, and fails instead of being skipped
//!   where `MINICTR_TEST_REQUIRE` names it too.
//! - **Leak checks** ([`Snapshot`]): mounts, cgroups, network devices, processes and temporary
//!   files before and after; whatever is there that wasn't is a leak.
//! - **Filters** ([`seccomp`]): a simulator of the kernel's, and libseccomp as an oracle.
//!
//! Test support only: nothing that ships depends on this crate.

mod features;
pub mod seccomp;
mod snapshot;

use std::io::{Error, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

pub use features::{Feature, missing, skip};
pub use snapshot::Snapshot;

/// The static probe executable, as bytes: test executables are copied to where other users run them.
const PROBE: &[u8] = include_bytes!(env!("MINICTR_PROBE"));

/// Writes the probe to `path`, executable.
///
/// Another process writes it: what another thread forks just then would inherit a descriptor of ours,
/// and as long as one is open for writing the file can't be executed (ETXTBSY, `execve(2)`).
///
/// # Errors
/// Whatever keeps the file from being written.
pub fn install_probe(path: &Path) -> std::io::Result<()> {
    let mut writer =
        Command::new("tee").arg(path).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let written = writer.stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(PROBE));
    let status = writer.wait()?;
    written?;
    if !status.success() {
        return Err(Error::other(format!("write `{}`: tee ended with {status}", path.display())));
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}

/// Lays out a root filesystem in an empty directory: the usual directories, `/etc/passwd`,
/// `/etc/group` and the probe as `/bin/probe`.
///
/// # Errors
/// Whatever keeps a directory from being made or the probe from being copied.
pub fn lay_out_rootfs(rootfs: &Path) -> std::io::Result<()> {
    for name in ["bin", "dev", "etc", "home", "proc", "root", "run", "sys", "tmp", "var"] {
        std::fs::create_dir_all(rootfs.join(name))?;
    }
    install_probe(&rootfs.join("bin/probe"))?;
    std::fs::write(
        rootfs.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home:/bin/sh\n",
    )?;
    std::fs::write(rootfs.join("etc/group"), "root:x:0:\nuser:x:1000:\nextra:x:2000:user\n")
}

/// Ends the test here, with a line that names what is missing, unless the host has every feature;
/// fails it where `MINICTR_TEST_REQUIRE` asks for the missing one.
///
/// ```no_run
/// use minictr_testkit::{Feature, require};
///
/// fn a_cgroup_limits_memory() {
///     require!(Feature::Root, Feature::CgroupV1Memory);
/// }
/// ```
#[macro_export]
macro_rules! require {
    ($($feature:expr),+ $(,)?) => {
        $(if $crate::missing($feature) { return; })+
    };
}
