/* What a process is: ids, capabilities, limits, namespaces, signals; and processes that behave badly. */
#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void sleep_ms(long ms)
{
	struct timespec left = { ms / 1000, ms % 1000 * 1000000 };
	while (nanosleep(&left, &left) < 0 && errno == EINTR) {}
}

/* One field of /proc/self/status as a JSON string. */
static void status_field(const char *status, const char *field)
{
	char wanted[32], value[256] = "";
	snprintf(wanted, sizeof wanted, "\n%s:", field);
	const char *at = strstr(status, wanted);
	if (at) sscanf(at + strlen(wanted), " %255[^\n]", value);
	printf(",\"%s\":", field);
	json_string(value);
}

static void show_namespaces(void)
{
	static const char *const NAMES[] = { "user", "pid", "mnt", "uts", "ipc", "net", "cgroup", "time" };
	printf(",\"namespaces\":{");
	for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
		char path[32], target[64] = "";
		snprintf(path, sizeof path, "/proc/self/ns/%s", NAMES[i]);
		ssize_t length = readlink(path, target, sizeof target - 1);
		target[length < 0 ? 0 : length] = 0;
		printf("%s\"%s\":", i ? "," : "", NAMES[i]);
		json_string(target);
	}
	putchar('}');
}

static void show_limits(void)
{
	static const struct { const char *name; int resource; } LIMITS[] = {
		{ "as", RLIMIT_AS }, { "core", RLIMIT_CORE }, { "cpu", RLIMIT_CPU }, { "fsize", RLIMIT_FSIZE },
		{ "memlock", RLIMIT_MEMLOCK }, { "nofile", RLIMIT_NOFILE }, { "nproc", RLIMIT_NPROC }, { "stack", RLIMIT_STACK },
	};
	printf(",\"limits\":{");
	for (size_t i = 0; i < sizeof LIMITS / sizeof *LIMITS; i++) {
		struct rlimit limit;
		getrlimit(LIMITS[i].resource, &limit);
		/* -1 is unlimited */
		printf("%s\"%s\":[%lld,%lld]", i ? "," : "", LIMITS[i].name, (long long)limit.rlim_cur, (long long)limit.rlim_max);
	}
	putchar('}');
}

static void show_file(const char *name, const char *path)
{
	const char *text = slurp(path);
	printf(",\"%s\":", name);
	json_string(text ? text : errno_name(errno));
}

/* Everything about this process that a container decides; then stays for MS. */
static void show_self(int argc, char **argv)
{
	uid_t r, e, s;
	gid_t gr, ge, gs, groups[256];
	char host[256] = "", cwd[4096] = "?", exe[4096] = "?";
	static char status[1 << 14];
	mode_t mask = umask(0);
	int death = 0;

	umask(mask);
	getresuid(&r, &e, &s);
	getresgid(&gr, &ge, &gs);
	prctl(PR_GET_PDEATHSIG, &death, 0, 0, 0);
	gethostname(host, sizeof host - 1);
	if (!getcwd(cwd, sizeof cwd)) strcpy(cwd, errno_name(errno));
	ssize_t length = readlink("/proc/self/exe", exe, sizeof exe - 1);
	if (length >= 0) exe[length] = 0;
	const char *text = slurp("/proc/self/status");
	snprintf(status, sizeof status, "\n%s", text ? text : "");

	printf("{\"uid\":[%u,%u,%u],\"gid\":[%u,%u,%u],\"groups\":[", r, e, s, gr, ge, gs);
	int count = getgroups(256, groups);
	for (int i = 0; i < count; i++) printf("%s%u", i ? "," : "", groups[i]);
	printf("],\"pid\":%d,\"ppid\":%d,\"pgid\":%d,\"sid\":%d,\"umask\":%u,\"pdeathsig\":%d,\"dumpable\":%d,\"nice\":%d,\"securebits\":%d",
		getpid(), getppid(), getpgid(0), getsid(0), mask, death, prctl(PR_GET_DUMPABLE), getpriority(PRIO_PROCESS, 0),
		prctl(PR_GET_SECUREBITS));
	printf(",\"hostname\":");
	json_string(host);
	printf(",\"cwd\":");
	json_string(cwd);
	printf(",\"exe\":");
	json_string(exe);
	static const char *const FIELDS[] = {
		"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Seccomp_filters",
		"SigBlk", "SigIgn", "SigCgt", "Cpus_allowed_list", "Threads",
	};
	for (size_t i = 0; i < sizeof FIELDS / sizeof *FIELDS; i++) status_field(status, FIELDS[i]);
	show_namespaces();
	show_limits();
	show_file("cgroup", "/proc/self/cgroup");
	show_file("uidMap", "/proc/self/uid_map");
	show_file("gidMap", "/proc/self/gid_map");
	show_file("oomScoreAdj", "/proc/self/oom_score_adj");
	show_file("mounts", "/proc/self/mountinfo");
	printf(",\"environment\":[");
	for (char **entry = environ; *entry; entry++) {
		if (entry != environ) putchar(',');
		json_string(*entry);
	}
	struct winsize size = { 0 };
	printf("],\"tty\":[%d,%d,%d],\"size\":", isatty(0), isatty(1), isatty(2));
	if (ioctl(0, TIOCGWINSZ, &size) == 0) printf("[%d,%d]", size.ws_col, size.ws_row);
	else printf("null");
	say("}");
	if (argc > 0) sleep_ms(number(argv[0]));
}

/* Looks at every process that there is, for MS milliseconds, and tries to get at its memory, its
 * image and its descriptors: processes that join a container from outside are there for a moment. */
static void hunt(int argc, char **argv)
{
	(void)argc;
	static char opened[4096];
	long seen = 0;
	struct timespec begin, now;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	do {
		DIR *proc = opendir("/proc");
		for (struct dirent *entry; proc && (entry = readdir(proc));) {
			static const struct { const char *file; int flags; } TARGETS[] = {
				{ "mem", O_RDWR }, { "exe", O_RDWR }, { "root/etc/passwd", O_RDONLY }, { "fd/3", O_RDWR },
			};
			char path[300], found[400];
			pid_t pid = atoi(entry->d_name);
			if (pid <= 0 || pid == getpid()) continue;
			seen++;
			snprintf(path, sizeof path, "/proc/%d/comm", pid);
			const char *text = slurp(path);
			char comm[32];
			snprintf(comm, sizeof comm, "%.*s", text ? (int)strcspn(text, "\n") : 0, text ? text : "");
			for (size_t i = 0; i < sizeof TARGETS / sizeof *TARGETS; i++) {
				snprintf(path, sizeof path, "/proc/%d/%s", pid, TARGETS[i].file);
				int fd = open(path, TARGETS[i].flags | O_NONBLOCK | O_CLOEXEC);
				if (fd < 0) continue;
				/* on some kernels, 6.1 among them, the file of what has just ended can be opened and is
				 * empty: nothing is behind it. Of a process with memory, the first address answers EIO. */
				char byte;
				int empty = i == 0 && pread(fd, &byte, 1, 0) == 0;
				close(fd);
				if (empty) continue;
				/* its name comes later than its memory when it becomes another program: the image says */
				char image[300];
				snprintf(path, sizeof path, "/proc/%d/exe", pid);
				ssize_t length = readlink(path, image, sizeof image - 1);
				image[length < 0 ? 0 : length] = 0;
				const char *base = strrchr(image, '/');
				snprintf(found, sizeof found, "%.64s:%s;", base ? base + 1 : comm, TARGETS[i].file);
				if (!strstr(opened, found) && strlen(opened) + strlen(found) < sizeof opened) strcat(opened, found);
			}
		}
		if (proc) closedir(proc);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < number(argv[0]));
	printf("{\"seen\":%ld,\"opened\":", seen);
	json_string(opened);
	puts("}");
}

/* CVE-2019-5736 from a running container: holds the image of every process that isn't ours, as a
 * path alone, and tries for MS milliseconds to open each for writing, while it runs and after. Prints
 * how many were held and the distinct answers; `ok` means that one could be written. */
static void hold_images(int argc, char **argv)
{
	(void)argc;
	static char answers[1024];
	static int held[512];
	struct stat own, other;
	int count = 0;
	long until_ms = number(argv[0]);
	stat("/proc/self/exe", &own);
	say("ready");
	for (long ms = 0; ms < until_ms; ms++) {
		DIR *proc = opendir("/proc");
		for (struct dirent *entry; proc && (entry = readdir(proc));) {
			char path[300];
			if (atoi(entry->d_name) <= 0) continue;
			snprintf(path, sizeof path, "/proc/%d/exe", atoi(entry->d_name));
			int fd = open(path, O_PATH | O_CLOEXEC);
			if (fd < 0) continue;
			fstat(fd, &other);
			if (count == 512 || (other.st_ino == own.st_ino && other.st_dev == own.st_dev)) close(fd);
			else held[count++] = fd;
		}
		if (proc) closedir(proc);
		for (int i = 0; i < count; i++) {
			char link[64], answer[64];
			snprintf(link, sizeof link, "/proc/self/fd/%d", held[i]);
			int fd = open(link, O_WRONLY | O_CLOEXEC);
			snprintf(answer, sizeof answer, "%s;", fd >= 0 ? "ok" : errno_name(errno));
			if (fd >= 0) close(fd);
			if (!strstr(answers, answer) && strlen(answers) + strlen(answer) < sizeof answers) strcat(answers, answer);
		}
		sleep_ms(1);
	}
	printf("{\"held\":%d,\"answers\":", count);
	json_string(answers);
	puts("}");
}

static void try_setuid(int argc, char **argv)
{
	(void)argc;
	result(setresuid(number(argv[0]), number(argv[0]), number(argv[0])));
}

static void try_setgroups(int argc, char **argv)
{
	gid_t groups[64];
	for (int i = 0; i < argc && i < 64; i++) groups[i] = number(argv[i]);
	result(setgroups(argc, groups));
}

static void try_kill(int argc, char **argv)
{
	(void)argc;
	result(kill(number(argv[0]), number(argv[1])));
}

static void try_exec(int argc, char **argv)
{
	(void)argc;
	execv(argv[0], argv);
	result(-1);
}

/* Says `ready` and stays: with no death signal, deaf to every signal that can be ignored. */
static void stay(int argc, char **argv)
{
	prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
	for (int i = 1; i < 65; i++) signal(i, SIG_IGN);
	say("ready");
	sleep_ms(argc > 0 ? number(argv[0]) : 600000);
}

static void wait_ms(int argc, char **argv)
{
	(void)argc;
	say("ready");
	sleep_ms(number(argv[0]));
}

/* Leaves grandchildren behind in sessions of their own, holding no stream, and ends. */
static void leave_orphans(int argc, char **argv)
{
	(void)argc;
	for (long i = 0, count = number(argv[0]); i < count; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			setsid();
			if (fork() > 0) _exit(0);
			prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
			for (int fd = 0; fd < 3; fd++) close(fd);
			sleep_ms(number(argv[1]));
			_exit(0);
		}
		waitpid(pid, NULL, 0);
	}
	puts("ok");
}

/* Runs the rest of the arguments as another trial's program after MS, in a child, and waits: for
 * looking at a parent (pid 1) from below. */
static void from_child(int argc, char **argv)
{
	(void)argc;
	pid_t pid = fork();
	if (pid == 0) {
		execv("/proc/self/exe", (char *[]){ "probe", argv[0], argc > 1 ? argv[1] : NULL, argc > 2 ? argv[2] : NULL, NULL });
		_exit(127);
	}
	waitpid(pid, NULL, 0);
}

/* Ends by the signal, as a program does that crashes. */
static void die_by(int argc, char **argv)
{
	(void)argc;
	int wanted = number(argv[0]);
	signal(wanted, SIG_DFL);
	raise(wanted);
	/* pid 1 is spared by its own signals unless they are faults */
	static volatile int *volatile nowhere;
	if (wanted == SIGSEGV) *nowhere = 0;
	puts("survived");
}

static void end_with(int argc, char **argv)
{
	(void)argc;
	exit(number(argv[0]));
}

/* Sends one datagram to a Unix socket. */
static void say_to(int argc, char **argv)
{
	(void)argc;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof address.sun_path, "%s", argv[0]);
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	result(sendto(fd, argv[1], strlen(argv[1]), 0, (struct sockaddr *)&address, sizeof address));
}

const struct trial PROCESS_TRIALS[] = {
	{ "say-to", "SOCKET TEXT", say_to, 2 },
	{ "self", "[MS]", show_self, 0 },
	{ "hunt", "MS", hunt, 1 },
	{ "hold-images", "MS", hold_images, 1 },
	{ "setuid", "UID", try_setuid, 1 },
	{ "setgroups", "[GID...]", try_setgroups, 0 },
	{ "kill", "PID SIGNAL", try_kill, 2 },
	{ "exec", "PROGRAM [ARG...]", try_exec, 1 },
	{ "stay", "[MS]", stay, 0 },
	{ "wait", "MS", wait_ms, 1 },
	{ "leave-orphans", "COUNT MS", leave_orphans, 2 },
	{ "from-child", "TRIAL [ARG [ARG]]", from_child, 1 },
	{ "die-by", "SIGNAL", die_by, 1 },
	{ "end-with", "STATUS", end_with, 1 },
	{ 0 },
};
