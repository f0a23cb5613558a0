/* Trials on the kernel's own interfaces: mounts, namespaces, keys, bpf, modules, sockets, terminals. */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static void try_mount(int argc, char **argv)
{
	result(mount(argv[1], argv[2], argv[0], 0, argc > 3 ? argv[3] : NULL));
}

static void try_bind(int argc, char **argv)
{
	(void)argc;
	result(mount(argv[0], argv[1], NULL, MS_BIND | MS_REC, NULL));
}

static void try_umount(int argc, char **argv)
{
	(void)argc;
	result(umount2(argv[0], MNT_DETACH));
}

/* Takes a read-only mount's flag away, by the old interface and by the new. */
static void remount_writable(int argc, char **argv)
{
	(void)argc;
	struct mount_attr attr = { .attr_clr = MOUNT_ATTR_RDONLY };
	attempt("remount", mount(NULL, argv[0], NULL, MS_REMOUNT | MS_BIND, NULL));
	attempt("mount_setattr", syscall(SYS_mount_setattr, AT_FDCWD, argv[0], 0, &attr, sizeof attr));
	attempts_end();
}

static void new_mount_api(int argc, char **argv)
{
	(void)argc;
	attempt("fsopen", syscall(SYS_fsopen, argv[0], 0));
	attempt("open_tree", syscall(SYS_open_tree, AT_FDCWD, "/", 1 /* OPEN_TREE_CLONE */));
	attempts_end();
}

/* New namespaces by each way there is; a filter that forgets clone3 is no filter. */
static void try_unshare(int argc, char **argv)
{
	(void)argc;
	static const struct { const char *name; int flag; } KINDS[] = {
		{ "user", CLONE_NEWUSER }, { "mount", CLONE_NEWNS }, { "net", CLONE_NEWNET }, { "pid", CLONE_NEWPID },
		{ "uts", CLONE_NEWUTS }, { "ipc", CLONE_NEWIPC }, { "cgroup", CLONE_NEWCGROUP }, { "time", 0x80 },
	};
	for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++) {
		if (strcmp(KINDS[i].name, argv[0])) continue;
		struct clone_args args = { .flags = KINDS[i].flag, .exit_signal = SIGCHLD };
		long pid = syscall(SYS_clone3, &args, sizeof args);
		if (pid == 0) _exit(0);
		attempt("clone3", pid);
		pid = syscall(SYS_clone, (long)KINDS[i].flag | SIGCHLD, 0, 0, 0, 0);
		if (pid == 0) _exit(0);
		attempt("clone", pid);
		attempt("unshare", unshare(KINDS[i].flag));
		attempts_end();
		return;
	}
	exit(64);
}

static void try_setns(int argc, char **argv)
{
	(void)argc;
	int fd = open(argv[0], O_RDONLY | O_CLOEXEC);
	result(fd < 0 ? -1 : setns(fd, 0));
}

static void try_bpf(int argc, char **argv)
{
	(void)argc, (void)argv;
	union bpf_attr attr;
	memset(&attr, 0, sizeof attr);
	attr.map_type = BPF_MAP_TYPE_ARRAY;
	attr.key_size = attr.value_size = 4;
	attr.max_entries = 1;
	result(syscall(SYS_bpf, BPF_MAP_CREATE, &attr, sizeof attr));
}

static void try_io_uring(int argc, char **argv)
{
	(void)argc, (void)argv;
	struct io_uring_params params = { 0 };
	result(syscall(SYS_io_uring_setup, 1, &params));
}

static void try_perf(int argc, char **argv)
{
	(void)argc, (void)argv;
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE, .size = sizeof attr, .config = PERF_COUNT_SW_CPU_CLOCK, .exclude_kernel = 1 };
	result(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0));
}

static void try_userfaultfd(int argc, char **argv)
{
	(void)argc, (void)argv;
	result(syscall(SYS_userfaultfd, O_CLOEXEC));
}

/* Keys: adds one, then looks for one of another session by its description and reads it. */
static void add_key(int argc, char **argv)
{
	(void)argc;
	result(syscall(SYS_add_key, "user", argv[0], argv[1], strlen(argv[1]), KEY_SPEC_SESSION_KEYRING));
}

static void find_key(int argc, char **argv)
{
	(void)argc;
	char text[256] = "";
	long key = syscall(SYS_request_key, "user", argv[0], NULL, 0);
	attempt("request_key", key);
	long found = syscall(SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", argv[0], 0);
	attempt("search", found);
	attempt("read", syscall(SYS_keyctl, KEYCTL_READ, key > 0 ? key : found, text, sizeof text));
	attempts_end();
}

/* Reads a key by its number: what a session keyring of its own doesn't prevent by itself. */
static void read_key(int argc, char **argv)
{
	(void)argc;
	char text[256];
	result(syscall(SYS_keyctl, KEYCTL_READ, number(argv[0]), text, sizeof text));
}

static void session_keyring(int argc, char **argv)
{
	(void)argc, (void)argv;
	long id = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
	result_value(id);
}

static void try_ptrace(int argc, char **argv)
{
	(void)argc;
	pid_t pid = number(argv[0]);
	attempt("seize", ptrace(PTRACE_SEIZE, pid, 0, 0));
	attempt("attach", ptrace(PTRACE_ATTACH, pid, 0, 0));
	attempts_end();
}

/* Another process's memory, by the three ways there are. */
static void read_memory(int argc, char **argv)
{
	(void)argc;
	char path[64], byte;
	pid_t pid = number(argv[0]);
	struct iovec local = { &byte, 1 }, remote = { (void *)0x400000, 1 };
	snprintf(path, sizeof path, "/proc/%d/mem", pid);
	attempt("open-mem", open(path, O_RDWR | O_CLOEXEC));
	snprintf(path, sizeof path, "/proc/%d/maps", pid);
	int maps = open(path, O_RDONLY | O_CLOEXEC);
	attempt("read-maps", maps < 0 ? -1 : read(maps, &byte, 1));
	attempt("process_vm_readv", process_vm_readv(pid, &local, 1, &remote, 1, 0));
	attempts_end();
}

static void load_module(int argc, char **argv)
{
	(void)argc, (void)argv;
	attempt("init_module", syscall(SYS_init_module, "", 0, ""));
	attempt("finit_module", syscall(SYS_finit_module, 0, "", 0));
	attempt("delete_module", syscall(SYS_delete_module, "minictr_no_such_module", O_NONBLOCK));
	attempts_end();
}

/* Calls that touch the whole machine, with arguments that can't do harm even where they are allowed. */
static void machine_calls(int argc, char **argv)
{
	(void)argc, (void)argv;
	attempt("reboot", syscall(SYS_reboot, 0, 0, 0, 0));
	attempt("kexec_load", syscall(SYS_kexec_load, 0, 0, 0, ~0ul));
	attempt("swapon", syscall(SYS_swapon, "/no/such/file", 0));
	attempt("acct", syscall(SYS_acct, "/no/such/file"));
	attempt("settimeofday", syscall(SYS_settimeofday, NULL, &(struct { int west, dst; }){ 1 << 30, 0 }));
	attempt("clock_settime", syscall(SYS_clock_settime, 0, &(struct { long s, n; }){ -1, -1 }));
	attempt("syslog", syscall(SYS_syslog, 3, (char[16]){ 0 }, 16));
	attempt("quotactl", syscall(SYS_quotactl, 0, "/no/such/file", 0, NULL));
	/* its own name again: nothing changes where it is allowed */
	char name[65] = "";
	gethostname(name, sizeof name);
	attempt("sethostname", sethostname(name, strlen(name)));
#ifdef SYS_iopl
	attempt("iopl", syscall(SYS_iopl, 3));
#endif
	attempts_end();
}

static void try_personality(int argc, char **argv)
{
	(void)argc;
	result(personality(number(argv[0])));
}

static void try_socket(int argc, char **argv)
{
	(void)argc;
	result(socket(number(argv[0]), number(argv[1]), argc > 2 ? number(argv[2]) : 0));
}

/* Bytes into the terminal's input queue: the shell outside would run them. */
static void push_input(int argc, char **argv)
{
	(void)argc;
	long value = 0;
	for (const char *c = argv[0]; *c && value == 0; c++) value = ioctl(0, TIOCSTI, c);
	attempt("TIOCSTI", value);
	/* the same with a dirty upper half, which a 64-bit comparison would let pass */
	attempt("TIOCSTI-64", syscall(SYS_ioctl, 0, 0x100000000ul | TIOCSTI, argv[0]));
	attempt("TIOCLINUX", ioctl(0, 0x541c /* TIOCLINUX */, &(char){ 6 }));
	int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
	attempt("tty", tty);
	attempt("TIOCSTI-tty", ioctl(tty, TIOCSTI, argv[0]));
	attempts_end();
}

/* Any system call by number, for tables of calls that are denied alike. */
static void any_call(int argc, char **argv)
{
	long args[7] = { 0 };
	for (int i = 0; i < argc && i < 7; i++) args[i] = number(argv[i]);
	result(syscall(args[0], args[1], args[2], args[3], args[4], args[5], args[6]));
}

const struct trial KERNEL_TRIALS[] = {
	{ "mount", "TYPE SOURCE TARGET [DATA]", try_mount, 3 },
	{ "bind", "SOURCE TARGET", try_bind, 2 },
	{ "umount", "PATH", try_umount, 1 },
	{ "remount-writable", "PATH", remount_writable, 1 },
	{ "new-mount-api", "TYPE", new_mount_api, 1 },
	{ "unshare", "user|mount|net|pid|uts|ipc|cgroup|time", try_unshare, 1 },
	{ "setns", "PATH", try_setns, 1 },
	{ "bpf", "", try_bpf, 0 },
	{ "io-uring", "", try_io_uring, 0 },
	{ "perf", "", try_perf, 0 },
	{ "userfaultfd", "", try_userfaultfd, 0 },
	{ "add-key", "DESCRIPTION TEXT", add_key, 2 },
	{ "find-key", "DESCRIPTION", find_key, 1 },
	{ "read-key", "NUMBER", read_key, 1 },
	{ "session-keyring", "", session_keyring, 0 },
	{ "ptrace", "PID", try_ptrace, 1 },
	{ "read-memory", "PID", read_memory, 1 },
	{ "load-module", "", load_module, 0 },
	{ "machine-calls", "", machine_calls, 0 },
	{ "personality", "NUMBER", try_personality, 1 },
	{ "socket", "FAMILY TYPE [PROTOCOL]", try_socket, 2 },
	{ "push-input", "TEXT", push_input, 1 },
	{ "syscall", "NUMBER [ARG...]", any_call, 1 },
	{ 0 },
};
