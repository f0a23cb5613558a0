/*
 * The floor: what the kernel itself charges for minictr's default container.
 *
 * One static program, one plain clone3 per container, and between it and the exit of the
 * container's program the system calls that minictr's default makes, in the same order; nothing
 * is parsed, allocated or checked on the way. What minictr takes longer than this is minictr's own.
 *
 *     floor [-n RUNS] [-r ROOTFS] [-s STEPS] [-x STEPS] [PROGRAM]
 *
 * prints the nanoseconds of each run, one a line: from before the cgroups are made until the
 * container is reaped, its usage read and its cgroups removed. PROGRAM is a path in ROOTFS.
 * As root the container gets a user namespace with 65,536 ids, an idmapped root filesystem and
 * cgroups; as another user a map of the caller's own id and no cgroup, as minictr does it.
 *
 * -x leaves steps out, to see what each costs (`-x net`, `-x cgroup,seccomp`); -s does only those
 * named, beside clone, map, exec and wait. The steps: user net cgroup cgroupns ipc uts rootfs proc
 * dev devpts shm mqueue sysfs cgroupfs mask loopback caps nnp keyring seccomp.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define IDS_FIRST 100000u
#define IDS_COUNT 65536u
#define SECCOMP_RANGES 64
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Steps that can be left out. */
static const char *const STEP_NAMES[] = {
	"user", "net", "cgroup", "cgroupns", "ipc", "uts", "rootfs", "proc", "dev", "devpts", "shm",
	"mqueue", "sysfs", "cgroupfs", "mask", "loopback", "caps", "nnp", "keyring", "seccomp",
};
enum step {
	USER, NET, CGROUP, CGROUPNS, IPC, UTS, ROOTFS, PROC, DEV, DEVPTS, SHM,
	MQUEUE, SYSFS, CGROUPFS, MASK, LOOPBACK, CAPS, NNP, KEYRING, SECCOMP,
};
static uint32_t steps = ~0u;
static int does(enum step step) { return (steps >> step) & 1; }

static const char *rootfs = "/";
static char *const *program;
static int is_root;
static int rootless_uid, rootless_gid;

/* Where this process's cgroups are, and the container's beneath them. */
static struct controller {
	const char *name;
	char dir[512];
	int tasks;
} controllers[] = { { .name = "cpuacct" }, { .name = "pids" }, { .name = "memory" } };
/* The machine's v1 hierarchies, shown read-only in the container as the machine has them. */
static char hierarchies[16][48];
static int hierarchy_count;

static void fail(const char *what)
{
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	_exit(125);
}
#define CHECK(call) do { if ((long)(call) < 0) fail(#call); } while (0)

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0) fail(path);
	if (write(fd, text, strlen(text)) < 0) fail(path);
	close(fd);
}

static int64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* --- What is done once, as minictr's helper does it once ------------------------------------- */

static struct sock_filter filter[4 * SECCOMP_RANGES + 16];
static struct sock_fprog filter_program = { .filter = filter };

/* A balanced search over ranges of system call numbers, every second of which is denied: the shape
 * and size of the default profile compiled, not its content. Offsets fit in 8 bits either way
 * because the denial and the permission are at the end of each leaf. */
static int search(int at, int low, int high)
{
	if (high - low == 1) {
		filter[at] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
			low % 2 && low > 60 ? SECCOMP_RET_ERRNO | EPERM : SECCOMP_RET_ALLOW);
		return at + 1;
	}
	int middle = (low + high) / 2;
	int left = search(at + 2, low, middle);
	/* jge middle -> a long jump over the left half */
	filter[at] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, middle * 8, 0, 1);
	filter[at + 1] = (struct sock_filter)BPF_STMT(BPF_JMP | BPF_JA, 0);
	filter[at + 1].k = left - (at + 2);
	return search(left, middle, high);
}

static void compile_seccomp(void)
{
	int n = 0;
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
#if defined(__x86_64__)
	filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
#else
	filter[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_AARCH64, 1, 0);
#endif
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	filter[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	filter_program.len = search(n, 0, SECCOMP_RANGES);
}

/* The user namespace that idmapped mounts refer to: made once for a map, then kept. */
static int idmap_userns(void)
{
	int ready[2];
	char line[64], path[64];
	CHECK(pipe2(ready, O_CLOEXEC));
	pid_t pid = fork();
	if (pid == 0) {
		CHECK(unshare(CLONE_NEWUSER));
		CHECK(write(ready[1], "", 1));
		pause();
		_exit(0);
	}
	CHECK(read(ready[0], line, 1));
	snprintf(line, sizeof line, "0 %u %u", IDS_FIRST, IDS_COUNT);
	snprintf(path, sizeof path, "/proc/%d/uid_map", pid);
	put(path, line);
	snprintf(path, sizeof path, "/proc/%d/gid_map", pid);
	put(path, line);
	snprintf(path, sizeof path, "/proc/%d/ns/user", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(ready[0]);
	close(ready[1]);
	return fd;
}

/* This process's own cgroup of each controller, from /proc/self/cgroup and the usual mount points. */
static void find_cgroups(void)
{
	char line[512];
	FILE *file = fopen("/proc/self/cgroup", "re");
	if (!file) fail("/proc/self/cgroup");
	while (fgets(line, sizeof line, file)) {
		char *names = strchr(line, ':');
		char *path = names ? strchr(names + 1, ':') : NULL;
		if (!path || path == names + 1) continue;
		*path++ = 0;
		path[strcspn(path, "\n")] = 0;
		char list[64];
		snprintf(list, sizeof list, "%s", names + 1);
		if (hierarchy_count < (int)ARRAY_SIZE(hierarchies)) {
			snprintf(hierarchies[hierarchy_count], sizeof hierarchies[0], "%.47s", list);
			hierarchy_count++;
		}
		for (char *name = strtok(list, ","); name; name = strtok(NULL, ","))
			for (size_t i = 0; i < ARRAY_SIZE(controllers); i++)
				if (!strcmp(name, controllers[i].name))
					snprintf(controllers[i].dir, sizeof controllers[i].dir,
						"/sys/fs/cgroup/%s%s/minictr-floor-%d", name,
						strcmp(path, "/") ? path : "", getpid());
	}
	fclose(file);
	for (size_t i = 0; i < ARRAY_SIZE(controllers); i++)
		if (!controllers[i].dir[0]) {
			errno = ENODEV;
			fail("no cgroup v1 hierarchy of memory, pids or cpuacct");
		}
}

/* --- What is done for each container, in its parent -------------------------------------------- */

static void make_cgroups(void)
{
	char path[600];
	for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
		CHECK(mkdir(controllers[i].dir, 0755));
		/* one thread moves itself: cgroup.procs would keep all others from starting */
		snprintf(path, sizeof path, "%s/tasks", controllers[i].dir);
		CHECK(controllers[i].tasks = open(path, O_WRONLY | O_CLOEXEC));
	}
	snprintf(path, sizeof path, "%s/pids.max", controllers[1].dir);
	put(path, "4096");
}

static void read_cgroup(int controller, const char *file)
{
	char path[600], text[512];
	snprintf(path, sizeof path, "%s/%s", controllers[controller].dir, file);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(fd);
	CHECK(read(fd, text, sizeof text));
	close(fd);
}

static void remove_cgroups(void)
{
	read_cgroup(0, "cpuacct.usage");
	read_cgroup(0, "cpuacct.usage_all");
	read_cgroup(2, "memory.max_usage_in_bytes");
	read_cgroup(2, "memory.oom_control");
	for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
		close(controllers[i].tasks);
		/* v1 counts a reaped process a moment longer */
		for (int tries = 0; rmdir(controllers[i].dir) < 0; tries++)
			if (errno != EBUSY || tries > 1000) fail(controllers[i].dir);
	}
}

/* --- What is done for each container, in it ------------------------------------------------------ */

static void bind_device(const char *host, const char *target)
{
	int file = open(target, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
	CHECK(file);
	close(file);
	int tree = syscall(SYS_open_tree, AT_FDCWD, host, OPEN_TREE_CLONE | O_CLOEXEC);
	CHECK(tree);
	CHECK(syscall(SYS_move_mount, tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH));
	close(tree);
}

static void mount_dev(void)
{
	static const struct { const char *host, *name; unsigned minor, major; } NODES[] = {
		{ "/dev/null", "dev/null", 3, 1 }, { "/dev/zero", "dev/zero", 5, 1 },
		{ "/dev/full", "dev/full", 7, 1 }, { "/dev/random", "dev/random", 8, 1 },
		{ "/dev/urandom", "dev/urandom", 9, 1 }, { "/dev/tty", "dev/tty", 0, 5 },
	};
	CHECK(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"));
	for (size_t i = 0; i < ARRAY_SIZE(NODES); i++) {
		if (does(USER))
			bind_device(NODES[i].host, NODES[i].name);
		else
			CHECK(mknod(NODES[i].name, S_IFCHR | 0666, makedev(NODES[i].major, NODES[i].minor)));
	}
	CHECK(symlink("/proc/self/fd", "dev/fd"));
	CHECK(symlink("/proc/self/fd/0", "dev/stdin"));
	CHECK(symlink("/proc/self/fd/1", "dev/stdout"));
	CHECK(symlink("/proc/self/fd/2", "dev/stderr"));
	CHECK(symlink("/proc/kcore", "dev/core"));
	CHECK(symlink("pts/ptmx", "dev/ptmx"));
	CHECK(mkdir("dev/pts", 0755));
	CHECK(mkdir("dev/shm", 01777));
	CHECK(mkdir("dev/mqueue", 0755));
}

static void set_attributes(const char *path, uint64_t set, int recursive)
{
	struct mount_attr attr = { .attr_set = set };
	CHECK(syscall(SYS_mount_setattr, AT_FDCWD, path, recursive ? AT_RECURSIVE : 0, &attr, sizeof attr));
}

static void mount_cgroups(void)
{
	char path[96];
	CHECK(mount("tmpfs", "sys/fs/cgroup", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755"));
	for (int i = 0; i < hierarchy_count; i++) {
		snprintf(path, sizeof path, "sys/fs/cgroup/%.47s", hierarchies[i]);
		CHECK(mkdir(path, 0755));
		CHECK(mount("cgroup", path, "cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, hierarchies[i]));
	}
	set_attributes("sys/fs/cgroup", MOUNT_ATTR_RDONLY, 0);
}

/* Binds over what a container must not see or write. A path that this kernel lacks costs its look. */
static void mask_paths(void)
{
	static const char *const MASKED[] = {
		"proc/acpi", "proc/asound", "proc/interrupts", "proc/kcore", "proc/keys", "proc/latency_stats",
		"proc/timer_list", "proc/timer_stats", "proc/sched_debug", "proc/scsi", "sys/firmware",
		"sys/devices/virtual/powercap",
	};
	static const char *const READONLY[] = {
		"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger",
	};
	int empty = -1;
	for (size_t i = 0; i < ARRAY_SIZE(MASKED); i++) {
		struct stat st;
		int fd = open(MASKED[i], O_PATH | O_CLOEXEC);
		if (fd < 0) continue;
		CHECK(fstat(fd, &st));
		int cover;
		if (S_ISDIR(st.st_mode)) {
			if (empty < 0) {
				int fs = syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
				CHECK(fs);
				CHECK(syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
				CHECK(empty = syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY));
				close(fs);
			}
			cover = syscall(SYS_open_tree, empty, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | O_CLOEXEC);
		} else {
			cover = syscall(SYS_open_tree, AT_FDCWD, "dev/null", OPEN_TREE_CLONE | O_CLOEXEC);
		}
		CHECK(cover);
		CHECK(syscall(SYS_move_mount, cover, "", fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
		close(cover);
		close(fd);
	}
	if (empty >= 0) close(empty);
	for (size_t i = 0; i < ARRAY_SIZE(READONLY); i++) {
		struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
		int tree = syscall(SYS_open_tree, AT_FDCWD, READONLY[i], OPEN_TREE_CLONE | AT_RECURSIVE | O_CLOEXEC);
		if (tree < 0) continue;
		CHECK(syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr));
		CHECK(syscall(SYS_move_mount, tree, "", AT_FDCWD, READONLY[i], MOVE_MOUNT_F_EMPTY_PATH));
		close(tree);
	}
}

static void raise_loopback(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	CHECK(fd);
	CHECK(ioctl(fd, SIOCSIFFLAGS, &request));
	close(fd);
}

static void cut_capabilities(void)
{
	/* chown dac_override fsetid fowner mknod net_raw setgid setuid setfcap setpcap
	 * net_bind_service sys_chroot kill audit_write: the customary list */
	static const uint64_t KEPT = 0xa80425fb;
	for (int cap = 0; cap <= 40; cap++)
		if (!(KEPT >> cap & 1)) CHECK(prctl(PR_CAPBSET_DROP, cap, 0, 0, 0));
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { .effective = (uint32_t)KEPT, .permitted = (uint32_t)KEPT } };
	CHECK(syscall(SYS_capset, &header, data));
}

/* The child: everything from the clone to the program. */
static void contain(int rootfs_tree, int maps_written, int report)
{
	char byte;
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (does(CGROUP)) {
		for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) CHECK(write(controllers[i].tasks, "0", 1));
		if (does(CGROUPNS)) CHECK(unshare(CLONE_NEWCGROUP));
	}
	if (does(USER)) {
		if (is_root) {
			CHECK(read(maps_written, &byte, 1));
		} else {
			char line[64];
			put("/proc/self/setgroups", "deny");
			snprintf(line, sizeof line, "0 %d 1", rootless_uid);
			put("/proc/self/uid_map", line);
			snprintf(line, sizeof line, "0 %d 1", rootless_gid);
			put("/proc/self/gid_map", line);
		}
		if (is_root) CHECK(syscall(SYS_setgroups, 0, NULL));
		CHECK(syscall(SYS_setresgid, 0, 0, 0));
		CHECK(syscall(SYS_setresuid, 0, 0, 0));
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	}
	CHECK(setsid());
	if (does(KEYRING)) CHECK(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL));
	if (does(UTS)) CHECK(sethostname("minictr-floor", 13));
	if (does(LOOPBACK) && does(NET)) raise_loopback();

	if (does(ROOTFS)) {
		CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
		if (rootfs_tree < 0) {
			rootfs_tree = syscall(SYS_open_tree, AT_FDCWD, rootfs, OPEN_TREE_CLONE | AT_RECURSIVE | O_CLOEXEC);
			CHECK(rootfs_tree);
		}
		CHECK(syscall(SYS_move_mount, rootfs_tree, "", AT_FDCWD, rootfs, MOVE_MOUNT_F_EMPTY_PATH));
		CHECK(fchdir(rootfs_tree));
		if (does(PROC)) CHECK(mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
		if (does(DEV)) {
			mount_dev();
			if (does(DEVPTS)) CHECK(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, is_root
				? "newinstance,ptmxmode=0666,mode=0620,gid=5" : "newinstance,ptmxmode=0666,mode=0620"));
			if (does(SHM)) CHECK(mount("shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=65536k"));
			if (does(MQUEUE)) CHECK(mount("mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
		}
		if (does(SYSFS)) {
			CHECK(mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL));
			if (does(CGROUPFS) && does(CGROUPNS)) mount_cgroups();
		}
		if (does(MASK)) mask_paths();
		CHECK(syscall(SYS_pivot_root, ".", "."));
		CHECK(umount2(".", MNT_DETACH));
		CHECK(chdir("/"));
	}
	struct rlimit files = { 1024, 1024 };
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max < 1024 ? files.rlim_max : 1024;
	setrlimit(RLIMIT_NOFILE, &files);
	umask(022);
	if (does(CAPS)) cut_capabilities();
	if (does(NNP)) CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	CHECK(syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC));
	if (does(SECCOMP)) CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter_program));
	execve(program[0], program, (char *const[]){ "PATH=/bin", NULL });
	(void)report;
	fail(program[0]);
}

static int64_t run_once(int userns)
{
	int64_t begin = now_ns();
	int maps[2], report[2], tree = -1, pidfd = -1, status;
	char line[64], path[64];

	if (does(CGROUP)) make_cgroups();
	if (does(ROOTFS) && does(USER) && is_root) {
		struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = userns };
		CHECK(tree = syscall(SYS_open_tree, AT_FDCWD, rootfs, OPEN_TREE_CLONE | AT_RECURSIVE | O_CLOEXEC));
		CHECK(syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr));
	}
	CHECK(pipe2(maps, O_CLOEXEC));
	CHECK(pipe2(report, O_CLOEXEC));

	struct clone_args args = {
		.flags = CLONE_PIDFD | CLONE_NEWPID | CLONE_NEWNS | (does(USER) ? CLONE_NEWUSER : 0)
			| (does(UTS) ? CLONE_NEWUTS : 0) | (does(IPC) ? CLONE_NEWIPC : 0) | (does(NET) ? CLONE_NEWNET : 0)
			| (does(CGROUPNS) && !does(CGROUP) ? CLONE_NEWCGROUP : 0),
		.pidfd = (uintptr_t)&pidfd,
		.exit_signal = SIGCHLD,
	};
	pid_t pid = syscall(SYS_clone3, &args, sizeof args);
	CHECK(pid);
	if (pid == 0) contain(tree, maps[0], report[1]);

	if (does(USER) && is_root) {
		snprintf(line, sizeof line, "0 %u %u", IDS_FIRST, IDS_COUNT);
		snprintf(path, sizeof path, "/proc/%d/uid_map", pid);
		put(path, line);
		snprintf(path, sizeof path, "/proc/%d/gid_map", pid);
		put(path, line);
		CHECK(write(maps[1], "", 1));
	}
	close(report[1]);
	while (read(report[0], line, sizeof line) < 0 && errno == EINTR) {} /* end of file: executed */
	struct rusage usage;
	CHECK(wait4(pid, &status, 0, &usage));
	close(pidfd);
	close(maps[0]);
	close(maps[1]);
	close(report[0]);
	if (tree >= 0) close(tree);
	if (does(CGROUP)) remove_cgroups();
	if (status) {
		fprintf(stderr, "floor: the program ended with status %#x\n", status);
		exit(125);
	}
	return now_ns() - begin;
}

static uint32_t parse_steps(char *list)
{
	uint32_t chosen = 0;
	for (char *name = strtok(list, ","); name; name = strtok(NULL, ",")) {
		size_t i = 0;
		while (i < ARRAY_SIZE(STEP_NAMES) && strcmp(name, STEP_NAMES[i])) i++;
		if (i == ARRAY_SIZE(STEP_NAMES)) {
			fprintf(stderr, "floor: no step `%s`\n", name);
			exit(125);
		}
		chosen |= 1u << i;
	}
	return chosen;
}

int main(int argc, char **argv)
{
	static char *const DEFAULT_PROGRAM[] = { "/bin/noop", NULL };
	int runs = 100;
	for (int option; (option = getopt(argc, argv, "+n:r:s:x:")) != -1;) {
		switch (option) {
		case 'n': runs = atoi(optarg); break;
		case 'r': rootfs = optarg; break;
		case 's': steps = parse_steps(optarg); break;
		case 'x': steps &= ~parse_steps(optarg); break;
		default: return 125;
		}
	}
	program = optind < argc ? argv + optind : DEFAULT_PROGRAM;
	is_root = geteuid() == 0;
	rootless_uid = geteuid();
	rootless_gid = getegid();
	if (!is_root) steps &= ~(1u << CGROUP);
	find_cgroups();
	compile_seccomp();
	int userns = is_root && does(USER) ? idmap_userns() : -1;
	int64_t *taken = calloc(runs, sizeof *taken);
	for (int i = 0; i < runs; i++) taken[i] = run_once(userns);
	for (int i = 0; i < runs; i++) printf("%lld\n", (long long)taken[i]);
	return 0;
}
