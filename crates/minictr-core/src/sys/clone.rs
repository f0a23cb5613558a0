//! `clone3(2)` into an address space of the child's own.

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use nix::errno::Errno;

use super::features::{Interface, has};

/// The kernel's `struct clone_args`, third version (Linux 5.7).
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// The child is made in the cgroup that a descriptor names (Linux 5.7, cgroup v2).
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// A cloned process, as its parent sees it.
#[derive(Debug)]
pub struct Child {
    /// Its id in the parent's pid namespace.
    pub pid: i32,
    /// A handle that never means another process, close-on-exec.
    pub pidfd: OwnedFd,
}

/// See [`keep_from_children`].
static KEPT: AtomicI32 = AtomicI32::new(-1);

/// Says which descriptor children are to close at once, or that there is none any more: that of a
/// lock, which belongs to whoever has a copy, `flock(2)`. A child that waits for its start would hold
/// it beyond the end of a parent that was killed.
pub fn keep_from_children(fd: Option<BorrowedFd<'_>>) {
    KEPT.store(fd.map_or(-1, |fd| fd.as_raw_fd()), Ordering::Relaxed);
}

/// Clones this process with copy-on-write memory and runs `body` in the child, which ends there: by
/// `_exit(2)` or `execve(2)` of the body's, else with status 0 once it returns.
///
/// `flags` are namespaces (`CLONE_NEW…`) and `CLONE_PARENT`. `cgroup` is the directory of a v2
/// cgroup to start in. The exit signal is SIGCHLD, or none of its own under `CLONE_PARENT`. Where
/// there is no `clone3(2)`, `clone(2)` does the same, but for `cgroup`.
///
/// Callers must be single-threaded: the child gets a copy of this thread alone, so a lock that
/// another thread held would stay held. All processes of ours that clone are.
///
/// # Errors
/// EPERM where user namespaces are forbidden, ENOSPC where their number is exhausted, EAGAIN out
/// of processes, EINVAL for flags that this kernel doesn't know, ENOSYS for `cgroup` without
/// `CLONE_INTO_CGROUP`.
pub fn clone3(
    flags: u64,
    cgroup: Option<BorrowedFd<'_>>,
    body: impl FnOnce(),
) -> Result<Child, Errno> {
    let mut pidfd: i32 = -1;
    let exit_signal = if flags & libc::CLONE_PARENT as u64 == 0 { libc::SIGCHLD as u64 } else { 0 };
    let mut args = CloneArgs {
        flags: flags | libc::CLONE_PIDFD as u64,
        pidfd: std::ptr::from_mut(&mut pidfd) as u64,
        exit_signal,
        ..CloneArgs::default()
    };
    if let Some(cgroup) = cgroup {
        super::features::need(Interface::CloneIntoCgroup)?;
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    let ret = if has(Interface::Clone3) {
        // SAFETY: args is a live `struct clone_args` of the size passed; pidfd outlives the call.
        // Without CLONE_VM and with a null stack the child goes on here on a copy of this stack, as
        // after fork(2), so nothing it does reaches the parent's memory. `flags` is never CLONE_VM,
        // CLONE_FILES or CLONE_SIGHAND: callers in this crate pass CLONE_NEW* and CLONE_PARENT alone.
        unsafe {
            libc::syscall(libc::SYS_clone3, std::ptr::from_mut(&mut args), size_of::<CloneArgs>())
        }
    } else {
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: as above: the same flags, a null stack, and the third argument, which both of the
        // kernel's orders of them have in this place, is where CLONE_PIDFD stores the descriptor.
        // CLONE_NEWTIME, whose bit is one of the exit signal's here, is never among the flags.
        unsafe {
            libc::syscall(
                libc::SYS_clone,
                args.flags | exit_signal,
                none,
                std::ptr::from_mut(&mut pidfd),
                none,
                none,
            )
        }
    };
    match Errno::result(ret)? {
        0 => {
            let kept = KEPT.load(Ordering::Relaxed);
            if kept >= 0 {
                // SAFETY: the child's copy alone; the value that owns it is never dropped there,
                // since the child ends here.
                unsafe { libc::close(kept) };
            }
            body();
            exit_now(0)
        }
        pid => Ok(Child {
            pid: pid as i32,
            // SAFETY: CLONE_PIDFD stored a new descriptor there, which is ours alone.
            pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) },
        }),
    }
}

/// Whether a child can be made in a cgroup of v2. Before Linux 5.7 the structure is too long (E2BIG);
/// since then a descriptor that can't be one is refused first of all (EINVAL).
pub(super) fn knows_into_cgroup() -> bool {
    let args = CloneArgs { flags: CLONE_INTO_CGROUP, cgroup: u64::MAX, ..CloneArgs::default() };
    // SAFETY: args is a live `struct clone_args` of the size passed. No kernel makes a child of it:
    // the number of the cgroup is beyond every descriptor's.
    let ret = unsafe {
        libc::syscall(libc::SYS_clone3, std::ptr::from_ref(&args), size_of::<CloneArgs>())
    };
    has(Interface::Clone3) && Errno::result(ret) == Err(Errno::EINVAL)
}

/// Forks this process: `None` in the child, its pid in the parent. `fork(2)`.
///
/// Callers must be single-threaded, as for [`clone3`].
///
/// # Errors
/// EAGAIN out of processes, ENOMEM.
pub fn fork() -> Result<Option<i32>, Errno> {
    // SAFETY: single-threaded callers (see above) leave no lock held and no state torn in the
    // child, so everything that was safe before is safe in it.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Child => Ok(None),
        nix::unistd::ForkResult::Parent { child } => Ok(Some(child.as_raw())),
    }
}

/// Ends this process at once: no destructors, no buffers flushed. `_exit(2)`.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit takes no pointers and is async-signal-safe.
    unsafe { libc::_exit(status) }
}
