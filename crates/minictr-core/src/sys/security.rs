//! Credentials: ids, capabilities, seccomp, keyrings.

use std::os::fd::{FromRawFd, OwnedFd};

use nix::errno::Errno;

/// Sets the supplementary groups of this process. `setgroups(2)`.
///
/// # Errors
/// EPERM without `CAP_SETGID` or where the user namespace denies it.
pub fn setgroups(groups: &[libc::gid_t]) -> Result<(), Errno> {
    // SAFETY: the pointer and length describe the slice. The raw call is used because the
    // library's would signal other threads, of which there are none.
    Errno::result(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) })
        .map(drop)
}

/// Sets real, effective and saved group id. `setresgid(2)`.
///
/// # Errors
/// EPERM without `CAP_SETGID`, EINVAL for an id outside the map.
pub fn setresgid(gid: u32) -> Result<(), Errno> {
    // SAFETY: no pointers are passed.
    Errno::result(unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) }).map(drop)
}

/// Sets real, effective and saved user id. `setresuid(2)`.
///
/// # Errors
/// EPERM without `CAP_SETUID`, EINVAL for an id outside the map, EAGAIN over `RLIMIT_NPROC`.
pub fn setresuid(uid: u32) -> Result<(), Errno> {
    // SAFETY: no pointers are passed.
    Errno::result(unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) }).map(drop)
}

/// Takes one capability out of the bounding set. `PR_CAPBSET_DROP(2const)`.
///
/// # Errors
/// EPERM without `CAP_SETPCAP`, EINVAL for a number that the kernel doesn't know.
pub fn drop_bounding(capability: u32) -> Result<(), Errno> {
    // SAFETY: integers only.
    Errno::result(unsafe {
        libc::prctl(
            libc::PR_CAPBSET_DROP,
            libc::c_ulong::from(capability),
            0 as libc::c_ulong,
            0 as libc::c_ulong,
            0 as libc::c_ulong,
        )
    })
    .map(drop)
}

/// Empties the ambient set. `PR_CAP_AMBIENT_CLEAR_ALL(2const)`.
///
/// # Errors
/// EINVAL before Linux 4.3.
pub fn clear_ambient() -> Result<(), Errno> {
    ambient(libc::PR_CAP_AMBIENT_CLEAR_ALL, 0)
}

/// Adds one capability to the ambient set. `PR_CAP_AMBIENT_RAISE(2const)`.
///
/// # Errors
/// EPERM where it isn't both permitted and inheritable.
pub fn raise_ambient(capability: u32) -> Result<(), Errno> {
    ambient(libc::PR_CAP_AMBIENT_RAISE, capability)
}

fn ambient(operation: i32, capability: u32) -> Result<(), Errno> {
    // SAFETY: integers only; the unused arguments are 0 as the call requires.
    Errno::result(unsafe {
        libc::prctl(
            libc::PR_CAP_AMBIENT,
            operation as libc::c_ulong,
            libc::c_ulong::from(capability),
            0 as libc::c_ulong,
            0 as libc::c_ulong,
        )
    })
    .map(drop)
}

/// Sets effective, permitted and inheritable capabilities of this process. `capset(2)`.
///
/// # Errors
/// EPERM for one that isn't permitted now.
pub fn capset(effective: u64, permitted: u64, inheritable: u64) -> Result<(), Errno> {
    const VERSION_3: u32 = 0x2008_0522;
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    let header = Header { version: VERSION_3, pid: 0 };
    let half = |shift: u32| Data {
        effective: (effective >> shift) as u32,
        permitted: (permitted >> shift) as u32,
        inheritable: (inheritable >> shift) as u32,
    };
    let data = [half(0), half(32)];
    // SAFETY: header and data are live and laid out as capset(2) says for version 3: one header,
    // two data records.
    Errno::result(unsafe {
        libc::syscall(libc::SYS_capset, std::ptr::from_ref(&header), data.as_ptr())
    })
    .map(drop)
}

const FLAG_TSYNC: u32 = 1;
const FLAG_NEW_LISTENER: u32 = 1 << 3;
const FLAG_WAIT_KILLABLE_RECV: u32 = 1 << 5;

/// Loads a filter for this thread. `seccomp(2)`, `SECCOMP_SET_MODE_FILTER`.
///
/// # Errors
/// EACCES without `no_new_privs` or `CAP_SYS_ADMIN`, EINVAL for a program or a flag that the kernel
/// refuses.
pub fn seccomp_load(instructions: &[libc::sock_filter], flags: u32) -> Result<(), Errno> {
    // How notifications are received says nothing where there are none, and the kernel refuses it.
    set_mode_filter(instructions, flags & !FLAG_WAIT_KILLABLE_RECV).map(drop)
}

/// As [`seccomp_load`], for this thread alone, with the descriptor that is told of what the filter
/// asks about, close-on-exec. `seccomp_unotify(2)`.
///
/// # Errors
/// Those of [`seccomp_load`]; EBUSY where a filter with a listener is loaded already.
pub fn seccomp_listen(instructions: &[libc::sock_filter], flags: u32) -> Result<OwnedFd, Errno> {
    let flags = flags & !FLAG_TSYNC | FLAG_NEW_LISTENER;
    let fd = set_mode_filter(instructions, flags)?;
    // SAFETY: with SECCOMP_FILTER_FLAG_NEW_LISTENER the kernel returns a new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Whether the kernel knows a flag of `seccomp(2)`: it looks at the flags before it looks at the
/// program, and there is none.
#[must_use]
pub fn seccomp_knows(flag: u32) -> bool {
    let flags = if flag == FLAG_WAIT_KILLABLE_RECV { flag | FLAG_NEW_LISTENER } else { flag };
    // SAFETY: a null program is a bad address, which the kernel says.
    let result = Errno::result(unsafe {
        libc::syscall(libc::SYS_seccomp, 1, flags, std::ptr::null::<libc::sock_fprog>())
    });
    result == Err(Errno::EFAULT)
}

fn set_mode_filter(instructions: &[libc::sock_filter], flags: u32) -> Result<i64, Errno> {
    const SET_MODE_FILTER: u32 = 1;
    let program = libc::sock_fprog {
        len: u16::try_from(instructions.len()).map_err(|_| Errno::E2BIG)?,
        filter: instructions.as_ptr().cast_mut(),
    };
    // SAFETY: program describes the slice, which outlives the call; the kernel copies and checks
    // it and never writes through the pointer.
    Errno::result(unsafe {
        libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, std::ptr::from_ref(&program))
    })
}

/// Joins a new, empty, anonymous session keyring. `keyctl(2)`, `KEYCTL_JOIN_SESSION_KEYRING`.
///
/// # Errors
/// EDQUOT where the user's key quota is spent, ENOSYS in a kernel without keys.
pub fn new_session_keyring() -> Result<(), Errno> {
    const JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: a null name asks for an anonymous keyring.
    Errno::result(unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            JOIN_SESSION_KEYRING,
            std::ptr::null::<libc::c_char>(),
            0,
            0,
            0,
        )
    })
    .map(drop)
}

/// Sets the execution domain. `personality(2)`.
///
/// # Errors
/// EINVAL.
pub fn personality(domain: u64) -> Result<(), Errno> {
    // SAFETY: no pointers are passed.
    Errno::result(unsafe { libc::personality(domain as libc::c_ulong) }).map(drop)
}

/// Sets class and priority of this process's I/O. `ioprio_set(2)`.
///
/// # Errors
/// EPERM, EINVAL.
pub fn ioprio_set(class: u32, priority: u32) -> Result<(), Errno> {
    const WHO_PROCESS: i32 = 1;
    const CLASS_SHIFT: u32 = 13;
    // SAFETY: no pointers are passed.
    Errno::result(unsafe {
        libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, (class << CLASS_SHIFT) | priority)
    })
    .map(drop)
}

/// What `sched_setattr(2)` sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedulerAttributes {
    /// `SCHED_…`.
    pub policy: u32,
    /// `SCHED_FLAG_…`.
    pub flags: u64,
    /// Nice value, of `SCHED_OTHER` and `SCHED_BATCH`.
    pub nice: i32,
    /// Static priority, of the real-time policies.
    pub priority: u32,
    /// Deadline policy: run time in a period, nanoseconds.
    pub runtime_ns: u64,
    /// Deadline policy: time to the deadline, nanoseconds.
    pub deadline_ns: u64,
    /// Deadline policy: length of a period, nanoseconds.
    pub period_ns: u64,
}

/// Sets policy and parameters of this process. `sched_setattr(2)`.
///
/// # Errors
/// EPERM without `CAP_SYS_NICE` for the real-time policies, EINVAL.
pub fn sched_setattr(attributes: &SchedulerAttributes) -> Result<(), Errno> {
    #[repr(C)]
    struct Raw {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }
    let raw = Raw {
        size: size_of::<Raw>() as u32,
        policy: attributes.policy,
        flags: attributes.flags,
        nice: attributes.nice,
        priority: attributes.priority,
        runtime: attributes.runtime_ns,
        deadline: attributes.deadline_ns,
        period: attributes.period_ns,
    };
    // SAFETY: raw is a live `struct sched_attr` of its first version, whose size it carries.
    Errno::result(unsafe { libc::syscall(libc::SYS_sched_setattr, 0, std::ptr::from_ref(&raw), 0) })
        .map(drop)
}
