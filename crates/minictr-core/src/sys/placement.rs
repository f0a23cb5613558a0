//! On which CPUs a process runs, and from which memory nodes it gets its pages.

use nix::errno::Errno;

/// Restricts this process to the CPUs whose bits are set. `sched_setaffinity(2)`.
///
/// # Errors
/// EINVAL where none of them is there, or this process's cpuset has none of them.
pub fn sched_setaffinity(cpus: &[u64]) -> Result<(), Errno> {
    // SAFETY: pointer and length in bytes describe the slice, which the kernel only reads.
    Errno::result(unsafe {
        libc::syscall(libc::SYS_sched_setaffinity, 0, size_of_val(cpus), cpus.as_ptr())
    })
    .map(drop)
}

/// Sets the memory policy of this process; an empty list of nodes is none. `set_mempolicy(2)`.
///
/// # Errors
/// EINVAL for a mode that wants other nodes, or none, or nodes that aren't there or not in this
/// process's cpuset; ENOSYS in a kernel without NUMA.
pub fn set_mempolicy(mode: u32, nodes: &[u64]) -> Result<(), Errno> {
    let (mask, bits) =
        if nodes.is_empty() { (std::ptr::null(), 0) } else { (nodes.as_ptr(), nodes.len() * 64) };
    // The kernel takes one bit less than it is told of.
    let count = if bits == 0 { 0 } else { bits + 1 };
    // SAFETY: the pointer is null with no bits, or that of a live slice of as many bits, which the
    // kernel only reads.
    Errno::result(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, mask, count) }).map(drop)
}
