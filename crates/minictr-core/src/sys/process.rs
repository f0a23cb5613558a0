//! Processes: pidfds, prctl, descriptors, resource use.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};

use super::features::{Interface, has};
use super::files::read_text;

/// How a process ended, with the resources that it and the children it waited for used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WaitResult {
    /// Exit status, or `None` where a signal ended it.
    pub code: Option<i32>,
    /// The signal.
    pub signal: Option<i32>,
    /// User CPU time, microseconds.
    pub user_us: u64,
    /// System CPU time, microseconds.
    pub system_us: u64,
    /// Largest resident set of one process, bytes.
    pub max_rss_bytes: u64,
}

/// Reaps a child by pidfd without blocking; `None` while it runs. `waitid(2)`, `P_PIDFD`.
///
/// # Errors
/// ECHILD where it isn't a child of ours.
pub fn reap(pidfd: BorrowedFd<'_>) -> Result<Option<WaitResult>, Errno> {
    wait(pidfd, libc::WEXITED | libc::WNOHANG)
}

/// Reaps a child by pidfd, waiting for its end.
///
/// # Errors
/// As for [`reap`].
pub fn reap_blocking(pidfd: BorrowedFd<'_>) -> Result<WaitResult, Errno> {
    loop {
        match wait(pidfd, libc::WEXITED) {
            Ok(Some(result)) => return Ok(result),
            Ok(None) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

fn wait(pidfd: BorrowedFd<'_>, options: i32) -> Result<Option<WaitResult>, Errno> {
    // SAFETY: both are plain C structures for which all-zero bytes are valid.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: info and usage are live and of the types that waitid(2) fills; the raw call is used
    // because the library's has no rusage parameter.
    Errno::result(unsafe {
        libc::syscall(
            libc::SYS_waitid,
            libc::P_PIDFD,
            pidfd.as_raw_fd(),
            std::ptr::from_mut(&mut info),
            options | libc::__WALL,
            std::ptr::from_mut(&mut usage),
        )
    })?;
    // SAFETY: waitid succeeded, so si_pid is either what it wrote or the zero from above.
    if unsafe { info.si_pid() } == 0 {
        return Ok(None);
    }
    // SAFETY: waitid filled in a SIGCHLD record, which has si_status.
    let status = unsafe { info.si_status() };
    let exited = info.si_code == libc::CLD_EXITED;
    let micros = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    Ok(Some(WaitResult {
        code: exited.then_some(status),
        signal: (!exited).then_some(status),
        user_us: micros(usage.ru_utime),
        system_us: micros(usage.ru_stime),
        max_rss_bytes: usage.ru_maxrss as u64 * 1024,
    }))
}

/// Sends a signal through a pidfd. `pidfd_send_signal(2)`.
///
/// # Errors
/// ESRCH once the process has been reaped.
pub fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<(), Errno> {
    // SAFETY: a null siginfo is allowed and means what kill(2) would send.
    Errno::result(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    })
    .map(drop)
}

/// A handle of a running process, close-on-exec. `pidfd_open(2)`.
///
/// # Errors
/// ESRCH where there is none.
pub fn pidfd_open(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: no pointers are passed.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    // SAFETY: the kernel just gave us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn prctl(option: i32, argument: libc::c_ulong) -> Result<i32, Errno> {
    // SAFETY: the options used in this file take integers only; unused arguments are 0 as
    // PR_SET_NO_NEW_PRIVS and its like require.
    Errno::result(unsafe {
        libc::prctl(option, argument, 0 as libc::c_ulong, 0 as libc::c_ulong, 0 as libc::c_ulong)
    })
}

/// The signal this process gets when its parent ends; cleared by changes of credentials.
/// `PR_SET_PDEATHSIG(2const)`.
///
/// # Errors
/// None for a valid signal.
pub fn set_parent_death_signal(signal: i32) -> Result<(), Errno> {
    prctl(libc::PR_SET_PDEATHSIG, signal as libc::c_ulong).map(drop)
}

/// Whether others may look into this process through /proc and ptrace. `PR_SET_DUMPABLE(2const)`.
///
/// # Errors
/// None.
pub fn set_dumpable(dumpable: bool) -> Result<(), Errno> {
    prctl(libc::PR_SET_DUMPABLE, libc::c_ulong::from(dumpable)).map(drop)
}

/// No exec gives privileges any more. `PR_SET_NO_NEW_PRIVS(2const)`.
///
/// # Errors
/// None.
pub fn set_no_new_privs() -> Result<(), Errno> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1).map(drop)
}

/// Whether permitted capabilities survive a change from uid 0. `PR_SET_KEEPCAPS(2const)`.
///
/// # Errors
/// EPERM where securebits lock it.
pub fn set_keep_capabilities(keep: bool) -> Result<(), Errno> {
    prctl(libc::PR_SET_KEEPCAPS, libc::c_ulong::from(keep)).map(drop)
}

/// Orphans below this process become its children. `PR_SET_CHILD_SUBREAPER(2const)`.
///
/// # Errors
/// None.
pub fn set_child_subreaper() -> Result<(), Errno> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, 1).map(drop)
}

/// The name that `ps` shows. `PR_SET_NAME(2const)`; 15 bytes are kept.
///
/// # Errors
/// None.
pub fn set_name(name: &CStr) -> Result<(), Errno> {
    prctl(libc::PR_SET_NAME, name.as_ptr() as libc::c_ulong).map(drop)
}

/// Closes every descriptor from `first` on. `close_range(2)`.
///
/// Only for a process that is about to exec or exit: it closes descriptors that Rust values own.
pub fn close_from(first: RawFd) {
    close_between(first, RawFd::MAX, false);
}

/// Closes every descriptor from `first` on but those of `keep`, which stay close-on-exec.
///
/// Only for a process that is about to exec: it closes descriptors that Rust values own.
pub fn close_all_but<const N: usize>(first: RawFd, mut keep: [RawFd; N]) {
    keep.sort_unstable();
    let mut from = first;
    for kept in keep.into_iter().filter(|kept| *kept >= first) {
        if from < kept {
            close_between(from, kept - 1, false);
        }
        close_between(kept, kept, true);
        from = kept + 1;
    }
    close_from(from);
}

/// The highest descriptor that may have been inherited, where [`remember_descriptors`] looked.
static HIGHEST: AtomicI32 = AtomicI32::new(0);
/// Descriptors that a child may open itself before it closes: they get the lowest free numbers.
const CHILDS_OWN: i32 = 1024;

/// Before a clone: notes which descriptors there are, for a kernel without `close_range(2)`. The
/// child can't look itself, as the /proc that it sees is a container's.
///
/// # Errors
/// That of opening /proc/self/fd.
pub fn remember_descriptors() -> Result<(), Errno> {
    if has(Interface::CloseRange) {
        return Ok(());
    }
    let listing = std::fs::read_dir("/proc/self/fd")
        .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    let numbers = listing.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    HIGHEST.store(numbers.max().unwrap_or(0), Ordering::Relaxed);
    Ok(())
}

fn close_between(first: RawFd, last: RawFd, mark_only: bool) {
    const CLOSE_RANGE_CLOEXEC: u32 = 4;
    let flags = if mark_only { CLOSE_RANGE_CLOEXEC } else { 0 };
    if has(Interface::CloseRange) {
        // SAFETY: no pointers are passed. Closing descriptors that values own would be a use after
        // close, which is why the callers' documentation limits `close_from` to processes about to
        // end.
        let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
        if result == 0 {
            return;
        }
        // Range and flags are valid: the container's own filter denies the call, and nobody looked
        // at the descriptors beforehand.
        let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(RawFd::MAX as u64, |(soft, _)| soft);
        HIGHEST.store(RawFd::try_from(limit).unwrap_or(RawFd::MAX), Ordering::Relaxed);
    }
    for fd in first..=last.min(HIGHEST.load(Ordering::Relaxed).saturating_add(CHILDS_OWN)) {
        // SAFETY: as above; EBADF for a number that isn't open.
        unsafe {
            if mark_only {
                libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC)
            } else {
                libc::close(fd)
            }
        };
    }
}

/// Makes `target` a copy of `fd` that stays open over exec. `dup2(2)`; where both are the same
/// number, close-on-exec is cleared instead.
///
/// # Errors
/// EBADF.
pub fn install_fd(fd: RawFd, target: RawFd) -> Result<(), Errno> {
    // SAFETY: neither call takes a pointer; `target` is a number that the caller gives up.
    Errno::result(unsafe {
        if fd == target { libc::fcntl(fd, libc::F_SETFD, 0) } else { libc::dup3(fd, target, 0) }
    })
    .map(drop)
}

/// A close-on-exec copy of a descriptor whose number is at least `minimum`.
///
/// # Errors
/// EBADF, EMFILE.
pub fn duplicate_above(fd: RawFd, minimum: RawFd) -> Result<RawFd, Errno> {
    // SAFETY: F_DUPFD_CLOEXEC takes an integer.
    Errno::result(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, minimum) })
}

/// CPU time that a process has used, microseconds, by the clock that every process has.
/// `clock_getcpuclockid(3)`.
///
/// # Errors
/// EINVAL where there is no such process.
pub fn process_cpu_us(pid: i32) -> Result<u64, Errno> {
    // The kernel's encoding of a process's CPU clock: the inverted pid above three type bits, of
    // which 2 is "scheduler time".
    let clock: libc::clockid_t = ((!pid) << 3) | 2;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: time is live and of the type that clock_gettime(2) fills.
    Errno::result(unsafe { libc::clock_gettime(clock, std::ptr::from_mut(&mut time)) })?;
    Ok(time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000)
}

/// What the kernel says of this process, `proc_pid_status(5)`: read once, when it is first asked for.
/// Empty where it can't be read.
pub fn status() -> &'static str {
    static STATUS: OnceLock<String> = OnceLock::new();
    STATUS.get_or_init(|| read_text("/proc/self/status").unwrap_or_default())
}

/// A set of signals or capabilities in [`status`], by the name of its line with the colon.
#[must_use]
pub fn status_set(name: &str) -> Option<u64> {
    let value = status().lines().find_map(|line| line.strip_prefix(name))?;
    u64::from_str_radix(value.trim(), 16).ok()
}

/// Sets the disposition of every signal to its default and unblocks all: Node ignores SIGPIPE and
/// SIGXFSZ, and ignored signals and the mask survive exec.
pub fn reset_signals() {
    let other = |name| status_set(name).unwrap_or(u64::MAX);
    let others = other("SigIgn:") | other("SigCgt:");
    // The kernel's own signal numbers end at 64; SIGKILL and SIGSTOP refuse, harmlessly.
    for signal in (1..=64).filter(|signal| others & (1 << (signal - 1)) != 0) {
        // SAFETY: SIG_DFL is a valid disposition and no handler of ours is installed that
        // something could rely on.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: an all-zero sigset_t is an empty set, and sigemptyset makes it one in any case.
    let mut empty: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `empty` is live; a null old set is allowed.
    unsafe {
        libc::sigemptyset(&raw mut empty);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut());
    }
}

/// Replaces this process's program. `execve(2)`; returns only on failure.
///
/// `argv` and `envp` are arrays of pointers to NUL-terminated strings that end in a null pointer:
/// [`CStringArray`] is the only way to make one.
pub fn execve(path: &CStr, argv: &CStringArray, envp: &CStringArray) -> Errno {
    // SAFETY: CStringArray holds its strings alive and its pointer list ends in null.
    unsafe { libc::execve(path.as_ptr(), argv.pointers.as_ptr(), envp.pointers.as_ptr()) };
    Errno::last()
}

/// Replaces this process's program by the file that `fd` is. `execveat(2)` with `AT_EMPTY_PATH`.
pub fn execve_fd(fd: BorrowedFd<'_>, argv: &CStringArray, envp: &CStringArray) -> Errno {
    // SAFETY: as for `execve`; the path is the static empty string.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            fd.as_raw_fd(),
            c"".as_ptr(),
            argv.pointers.as_ptr(),
            envp.pointers.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    Errno::last()
}

/// Strings for `execve(2)`, terminated and listed beforehand so that the child allocates nothing.
#[derive(Debug)]
pub struct CStringArray {
    strings: Vec<std::ffi::CString>,
    pointers: Vec<*const libc::c_char>,
}

impl CStringArray {
    /// Lists the strings.
    #[must_use]
    pub fn new(strings: Vec<std::ffi::CString>) -> Self {
        // The pointers stay valid when the vector moves: they point at each string's own heap
        // block.
        let pointers =
            strings.iter().map(|s| s.as_ptr()).chain(std::iter::once(std::ptr::null())).collect();
        Self { strings, pointers }
    }

    /// The strings.
    #[must_use]
    pub fn strings(&self) -> &[std::ffi::CString] {
        &self.strings
    }
}

/// Sets a resource limit of another process. `prlimit(2)`.
///
/// # Errors
/// EPERM for a raise of the hard limit without `CAP_SYS_RESOURCE`, ESRCH.
pub fn prlimit(pid: i32, resource: Resource, soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: limit is live; a null old limit is allowed.
    Errno::result(unsafe {
        libc::prlimit64(pid, resource as _, std::ptr::from_ref(&limit), std::ptr::null_mut())
    })
    .map(drop)
}

/// The process that a pidfd means, in this process's pid namespace.
///
/// # Errors
/// ESRCH once it has been reaped, EINVAL for another kind of descriptor.
pub fn pid_of(pidfd: BorrowedFd<'_>) -> Result<i32, Errno> {
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let info = std::fs::read_to_string(path)
        .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?;
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:")).ok_or(Errno::EINVAL)?;
    match pid.trim().parse() {
        Ok(pid) if pid > 0 => Ok(pid),
        _ => Err(Errno::ESRCH),
    }
}

/// What a program that is started has to itself.
#[derive(Debug)]
pub struct Surroundings {
    /// In a mount namespace of its own, what is at the first path is also at the second, with all that
    /// is mounted below it. Later mounts of the caller's namespace still arrive there.
    pub bind: (std::ffi::CString, std::ffi::CString),
    /// Neither it nor anything that it starts gains a privilege.
    pub no_new_privs: bool,
}

/// Starts a program in surroundings of its own.
///
/// # Errors
/// Those of starting it, of `unshare(2)`, `mount(2)` and `prctl(2)`.
pub fn spawn_in(
    command: &mut std::process::Command,
    surroundings: Surroundings,
) -> std::io::Result<std::process::Child> {
    use std::os::unix::process::CommandExt;

    use nix::mount::{MsFlags, mount};
    let none: Option<&CStr> = None;
    let enter = move || -> std::io::Result<()> {
        let (from, to) = (surroundings.bind.0.as_c_str(), surroundings.bind.1.as_c_str());
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
        mount(none, c"/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none)?;
        mount(Some(from), to, none, MsFlags::MS_REC | MsFlags::MS_BIND, none)?;
        mount(none, to, none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        if surroundings.no_new_privs {
            set_no_new_privs()?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes a few system calls on C strings that it owns. It
    // takes no lock and allocates nothing, an errno becoming an error included; neither may be added.
    unsafe { command.pre_exec(enter) };
    command.spawn()
}
