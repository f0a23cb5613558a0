//! The built-in allow-list: what containers get that say nothing.
//!
//! Calls are allowed by name; those that reach beyond a container only with the capability that they
//! need anyway. A call that isn't listed answers EPERM, one that is newer than the list ENOSYS.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::{Program, compile_with};
use crate::capabilities::CapabilitySet;
use crate::error::Result;
use crate::spec::{Seccomp, SeccompArg, SeccompRule};

/// Calls that stay within a container.
#[rustfmt::skip]
const ALLOWED: &[&str] = &[
    "_llseek", "_newselect", "accept", "accept4", "access", "adjtimex", "alarm", "arch_prctl",
    "arm_fadvise64_64", "arm_sync_file_range", "bind", "brk", "cacheflush", "cachestat",
    "capget", "capset", "chdir", "chmod", "chown", "chown32", "clock_adjtime",
    "clock_adjtime64", "clock_getres", "clock_getres_time64", "clock_gettime",
    "clock_gettime64", "clock_nanosleep", "clock_nanosleep_time64", "close", "close_range",
    "connect", "copy_file_range", "creat", "dup", "dup2", "dup3", "epoll_create",
    "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd",
    "eventfd2", "execve", "execveat", "exit", "exit_group", "faccessat", "faccessat2",
    "fadvise64", "fadvise64_64", "fallocate", "fanotify_mark", "fchdir", "fchmod", "fchmodat",
    "fchmodat2", "fchown", "fchown32", "fchownat", "fcntl", "fcntl64", "fdatasync",
    "fgetxattr", "file_getattr", "file_setattr", "flistxattr", "flock", "fork", "fremovexattr",
    "fsetxattr", "fstat", "fstat64", "fstatat64", "fstatfs", "fstatfs64", "fsync", "ftruncate",
    "ftruncate64", "futex", "futex_requeue", "futex_time64", "futex_wait", "futex_waitv",
    "futex_wake", "futimesat", "get_robust_list", "get_thread_area", "get_tls", "getcpu",
    "getcwd", "getdents", "getdents64", "getegid", "getegid32", "geteuid", "geteuid32",
    "getgid", "getgid32", "getgroups", "getgroups32", "getitimer", "getpeername", "getpgid",
    "getpgrp", "getpid", "getppid", "getpriority", "getrandom", "getresgid", "getresgid32",
    "getresuid", "getresuid32", "getrlimit", "getrusage", "getsid", "getsockname",
    "getsockopt", "gettid", "gettimeofday", "getuid", "getuid32", "getxattr", "getxattrat",
    "inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch", "io_cancel",
    "io_destroy", "io_getevents", "io_pgetevents", "io_pgetevents_time64", "io_setup",
    "io_submit", "ioprio_get", "ioprio_set", "ipc", "kill", "landlock_add_rule",
    "landlock_create_ruleset", "landlock_restrict_self", "lchown", "lchown32", "lgetxattr",
    "link", "linkat", "listen", "listmount", "listxattr", "listxattrat", "llistxattr",
    "lremovexattr", "lseek", "lsetxattr", "lsm_get_self_attr", "lsm_list_modules", "lstat",
    "lstat64", "madvise", "map_shadow_stack", "membarrier", "memfd_create", "memfd_secret",
    "mincore", "mkdir", "mkdirat", "mknod", "mknodat", "mlock", "mlock2", "mlockall", "mmap",
    "mmap2", "modify_ldt", "mprotect", "mq_getsetattr", "mq_notify", "mq_open",
    "mq_timedreceive", "mq_timedreceive_time64", "mq_timedsend", "mq_timedsend_time64",
    "mq_unlink", "mremap", "mseal", "msgctl", "msgget", "msgrcv", "msgsnd", "msync", "munlock",
    "munlockall", "munmap", "name_to_handle_at", "nanosleep", "newfstatat", "nice", "oldfstat",
    "oldlstat", "oldolduname", "oldstat", "olduname", "open", "openat", "openat2", "pause",
    "pidfd_open", "pidfd_send_signal", "pipe", "pipe2", "pkey_alloc", "pkey_free",
    "pkey_mprotect", "poll", "ppoll", "ppoll_time64", "prctl", "pread64", "preadv", "preadv2",
    "prlimit64", "process_mrelease", "pselect6", "pselect6_time64", "ptrace", "pwrite64",
    "pwritev", "pwritev2", "read", "readahead", "readdir", "readlink", "readlinkat", "readv",
    "recvfrom", "recvmmsg", "recvmmsg_time64", "recvmsg", "remap_file_pages", "removexattr",
    "removexattrat", "rename", "renameat", "renameat2", "restart_syscall", "rmdir", "rseq",
    "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn",
    "rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64", "rt_tgsigqueueinfo",
    "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity", "sched_getattr",
    "sched_getparam", "sched_getscheduler", "sched_rr_get_interval",
    "sched_rr_get_interval_time64", "sched_setaffinity", "sched_setattr", "sched_setparam",
    "sched_setscheduler", "sched_yield", "seccomp", "select", "semctl", "semget", "semop",
    "semtimedop", "semtimedop_time64", "sendfile", "sendfile64", "sendmmsg", "sendmsg",
    "sendto", "set_robust_list", "set_thread_area", "set_tid_address", "set_tls", "setfsgid",
    "setfsgid32", "setfsuid", "setfsuid32", "setgid", "setgid32", "setgroups", "setgroups32",
    "setitimer", "setpgid", "setpriority", "setregid", "setregid32", "setresgid",
    "setresgid32", "setresuid", "setresuid32", "setreuid", "setreuid32", "setrlimit", "setsid",
    "setsockopt", "setuid", "setuid32", "setxattr", "setxattrat", "sgetmask", "shmat",
    "shmctl", "shmdt", "shmget", "shutdown", "sigaction", "sigaltstack", "signal", "signalfd",
    "signalfd4", "sigpending", "sigprocmask", "sigreturn", "sigsuspend", "socketpair",
    "splice", "ssetmask", "stat", "stat64", "statfs", "statfs64", "statmount", "statx",
    "symlink", "symlinkat", "sync", "sync_file_range", "syncfs", "sysinfo", "tee", "tgkill",
    "time", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime",
    "timer_gettime64", "timer_settime", "timer_settime64", "timerfd_create", "timerfd_gettime",
    "timerfd_gettime64", "timerfd_settime", "timerfd_settime64", "times", "tkill", "truncate",
    "truncate64", "ugetrlimit", "umask", "uname", "unlink", "unlinkat", "uprobe", "uretprobe",
    "utime", "utimensat", "utimensat_time64", "utimes", "vfork", "vmsplice", "wait4", "waitid",
    "waitpid", "write", "writev",
];

/// Calls that a capability allows, by its name.
const WITH_CAPABILITY: &[(&str, &[&str])] = &[
    ("CAP_BPF", &["bpf"]),
    ("CAP_DAC_READ_SEARCH", &["open_by_handle_at"]),
    ("CAP_PERFMON", &["perf_event_open"]),
    (
        "CAP_SYS_ADMIN",
        &[
            "bpf",
            "clone",
            "clone3",
            "fanotify_init",
            "fsconfig",
            "fsmount",
            "fsopen",
            "fspick",
            "lookup_dcookie",
            "lsm_set_self_attr",
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "open_tree_attr",
            "perf_event_open",
            "pivot_root",
            "quotactl",
            "quotactl_fd",
            "setdomainname",
            "sethostname",
            "setns",
            "syslog",
            "umount",
            "umount2",
            "unshare",
        ],
    ),
    ("CAP_SYS_BOOT", &["reboot"]),
    ("CAP_SYS_CHROOT", &["chroot"]),
    ("CAP_SYS_MODULE", &["delete_module", "finit_module", "init_module"]),
    (
        "CAP_SYS_NICE",
        &[
            "get_mempolicy",
            "mbind",
            "migrate_pages",
            "move_pages",
            "set_mempolicy",
            "set_mempolicy_home_node",
        ],
    ),
    ("CAP_SYS_PACCT", &["acct"]),
    (
        "CAP_SYS_PTRACE",
        &["kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev"],
    ),
    ("CAP_SYS_RAWIO", &["ioperm", "iopl"]),
    ("CAP_SYS_TIME", &["clock_settime", "clock_settime64", "settimeofday", "stime"]),
    ("CAP_SYS_TTY_CONFIG", &["vhangup"]),
    ("CAP_SYSLOG", &["syslog"]),
];

/// Calls that a container needs to start others in user namespaces of theirs. Each asks for a
/// capability in the namespace that it acts on, which only the inner container has.
const FOR_NESTING: &[&str] = &[
    "clone",
    "clone3",
    "fsconfig",
    "fsmount",
    "fsopen",
    "fspick",
    "mount",
    "mount_setattr",
    "move_mount",
    "open_tree",
    "open_tree_attr",
    "pivot_root",
    "setdomainname",
    "sethostname",
    "setns",
    "umount",
    "umount2",
    "unshare",
];

/// Flags of clone(2) that make namespaces.
const CLONE_NAMESPACES: u64 = 0x7e02_0000;
/// Execution domains that do no harm: Linux, 32-bit Linux, each with the old uname, and the question.
const PERSONALITIES: &[u64] = &[0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

fn rule(names: &[&str], action: &str) -> SeccompRule {
    SeccompRule {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        action: action.to_owned(),
        errno_ret: None,
        args: Vec::new(),
    }
}

fn when(index: u32, op: &str, value: u64, value_two: u64) -> SeccompArg {
    SeccompArg { index, value, value_two, op: op.to_owned() }
}

/// The profile for a container with these capabilities; with `nesting`, for one that starts others.
#[must_use]
pub fn default_profile(capabilities: CapabilitySet, nesting: bool) -> Seccomp {
    let mut syscalls =
        vec![rule(ALLOWED, "SCMP_ACT_ALLOW"), rule(&["socket", "ioctl"], "SCMP_ACT_ALLOW")];
    for (capability, calls) in WITH_CAPABILITY {
        if capabilities.contains_name(capability) {
            syscalls.push(rule(calls, "SCMP_ACT_ALLOW"));
        }
    }
    if nesting {
        syscalls.push(rule(FOR_NESTING, "SCMP_ACT_ALLOW"));
        // A new, nameless session keyring for each inner container; no call that reaches a key.
        let mut join = rule(&["keyctl"], "SCMP_ACT_ALLOW");
        join.args = vec![when(0, "SCMP_CMP_EQ", 1, 0), when(1, "SCMP_CMP_EQ", 0, 0)];
        syscalls.push(join);
    } else if !capabilities.contains_name("CAP_SYS_ADMIN") {
        let mut clone = rule(&["clone"], "SCMP_ACT_ALLOW");
        clone.args = vec![when(0, "SCMP_CMP_MASKED_EQ", CLONE_NAMESPACES, 0)];
        // Its flags are behind a pointer; ENOSYS makes every libc fall back to clone.
        let mut clone3 = rule(&["clone3"], "SCMP_ACT_ERRNO");
        clone3.errno_ret = Some(libc::ENOSYS as u32);
        syscalls.extend([clone, clone3]);
    }
    for domain in PERSONALITIES {
        let mut personality = rule(&["personality"], "SCMP_ACT_ALLOW");
        personality.args = vec![when(0, "SCMP_CMP_EQ", *domain, 0)];
        syscalls.push(personality);
    }
    let architectures: &[&str] = if cfg!(target_arch = "x86_64") {
        &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    } else {
        &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]
    };
    Seccomp {
        default_action: "SCMP_ACT_ERRNO".to_owned(),
        default_errno_ret: Some(libc::EPERM as u32),
        architectures: architectures.iter().map(|name| (*name).to_owned()).collect(),
        syscalls,
        ..Seccomp::default()
    }
}

/// What is denied of calls that are otherwise allowed. These hold whatever a rule of the profile
/// says, and see only the lower 32 bits, as the kernel does of a command and of a family
/// (CVE-2019-10063, CVE-2023-1523).
fn denied() -> Vec<SeccompRule> {
    const TIOCSTI: u64 = 0x5412;
    const TIOCLINUX: u64 = 0x541c;
    const WORD: u64 = 0xffff_ffff;
    let deny = |name: &str, args: Vec<SeccompArg>| {
        let mut rule = rule(&[name], "SCMP_ACT_ERRNO");
        rule.args = args;
        rule
    };
    let low = |index, value| when(index, "SCMP_CMP_MASKED_EQ", WORD, value);
    let family = |family: i32| vec![low(0, family as u64)];
    // As of a kernel without it: what writes to the audit log, such as useradd and login, goes on then,
    // and over any other error it ends.
    let mut audit =
        deny("socket", vec![low(0, libc::AF_NETLINK as u64), low(2, libc::NETLINK_AUDIT as u64)]);
    audit.errno_ret = Some(libc::EPROTONOSUPPORT as u32);
    vec![
        // Input pushed into a terminal is typed to whoever reads it next.
        deny("ioctl", vec![low(1, TIOCSTI)]),
        deny("ioctl", vec![low(1, TIOCLINUX)]),
        // The hypervisor, the kernel's crypto, the audit log: none is a container's.
        deny("socket", family(libc::AF_VSOCK)),
        deny("socket", family(libc::AF_ALG)),
        audit,
    ]
}

/// The program for a container with these capabilities, and for one that starts others where
/// `nesting`; compiled once per thread.
///
/// # Errors
/// None for the list above, which a test compiles.
pub fn default_program(capabilities: CapabilitySet, nesting: bool) -> Result<Rc<Program>> {
    thread_local! {
        static COMPILED: RefCell<HashMap<(u64, bool), Rc<Program>>> = RefCell::default();
    }
    COMPILED.with_borrow_mut(|compiled| {
        if let Some(program) = compiled.get(&(capabilities.bits(), nesting)) {
            return Ok(Rc::clone(program));
        }
        let profile = default_profile(capabilities, nesting);
        let program = Rc::new(compile_with(&profile, &denied())?);
        compiled.insert((capabilities.bits(), nesting), Rc::clone(&program));
        Ok(program)
    })
}
