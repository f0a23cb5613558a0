//! Joining namespaces that exist, and which one this process is in.

use std::ffi::CStr;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};

use crate::rootfs::paths;
use crate::spec::NamespaceKind;
use crate::sys::files::read_text;

/// The flag of a kind, `namespaces(7)`.
#[must_use]
pub fn flag(kind: NamespaceKind) -> CloneFlags {
    match kind {
        NamespaceKind::Pid => CloneFlags::CLONE_NEWPID,
        NamespaceKind::Network => CloneFlags::CLONE_NEWNET,
        NamespaceKind::Mount => CloneFlags::CLONE_NEWNS,
        NamespaceKind::Ipc => CloneFlags::CLONE_NEWIPC,
        NamespaceKind::Uts => CloneFlags::CLONE_NEWUTS,
        NamespaceKind::User => CloneFlags::CLONE_NEWUSER,
        NamespaceKind::Cgroup => CloneFlags::CLONE_NEWCGROUP,
        // CLONE_NEWTIME, which nix has no name for.
        NamespaceKind::Time => CloneFlags::from_bits_retain(0x80),
    }
}

/// Joins the namespace at a path such as `/proc/PID/ns/net`; that of processes for later children
/// only. `setns(2)` checks that the file is a namespace of the kind.
///
/// # Errors
/// EINVAL for another kind of file, EPERM without the privilege over its owner.
pub fn join(kind: NamespaceKind, path: &CStr) -> Result<(), Errno> {
    // Nonblocking: a FIFO there must not hold us up.
    let namespace = paths::open_path(path, libc::O_RDONLY | libc::O_NONBLOCK)?;
    setns(&namespace, flag(kind))
}

/// Whether this process is in the machine's own user namespace, `user_namespaces(7)`.
#[must_use]
pub fn is_initial_user_namespace() -> bool {
    read_text("/proc/self/uid_map")
        .is_ok_and(|map| map.split_ascii_whitespace().eq(["0", "0", "4294967295"]))
}

/// Whether this process is root, and not of a container.
#[must_use]
pub fn is_machine_root() -> bool {
    nix::unistd::geteuid().is_root() && is_initial_user_namespace()
}
