/* Programs that take too much: processes, memory, cpu time, descriptors, output. All are bounded. */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Forks at most MAX waiting children; prints how many there could be at once. */
static void fork_many(int argc, char **argv)
{
	(void)argc;
	long most = number(argv[0]), made = 0;
	int why = 0;
	pid_t *children = calloc(most, sizeof *children);
	while (made < most) {
		pid_t pid = fork();
		if (pid == 0) {
			pause();
			_exit(0);
		}
		if (pid < 0) {
			why = errno;
			break;
		}
		children[made++] = pid;
	}
	for (long i = 0; i < made; i++) kill(children[i], SIGKILL);
	for (long i = 0; i < made; i++) waitpid(children[i], NULL, 0);
	printf("{\"made\":%ld,\"error\":\"%s\"}\n", made, why ? errno_name(why) : "");
}

/* The bomb: every process forks until it can't, and keeps trying for MS. At most MAX in all, so that
 * a test that fails leaves a machine that still works. */
static void fork_bomb(int argc, char **argv)
{
	(void)argc;
	long most = number(argv[0]), ms = number(argv[1]);
	struct shared { _Atomic long made, refused; } *shared =
		mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t first = getpid();
	struct timespec begin, now;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	do {
		if (shared->made < most) {
			pid_t pid = fork();
			if (pid < 0) shared->refused++;
			else if (pid > 0) shared->made++;
		}
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < ms);
	if (getpid() != first) _exit(0);
	while (waitpid(-1, NULL, 0) > 0) {}
	printf("{\"made\":%ld,\"refused\":%ld}\n", shared->made, shared->refused);
}

/* Touches BYTES of memory, a MiB at a time; prints how much it got, if it lives to tell. */
static void eat_memory(int argc, char **argv)
{
	long wanted = number(argv[0]), chunk = 1 << 20;
	for (long got = 0; got < wanted; got += chunk) {
		char *more = mmap(NULL, chunk, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (more == MAP_FAILED) {
			printf("{\"bytes\":%ld,\"error\":\"%s\"}\n", got, errno_name(errno));
			return;
		}
		memset(more, 0x5a, chunk);
	}
	printf("{\"bytes\":%ld,\"error\":\"\"}\n", wanted);
	if (argc > 1) usleep(number(argv[1]) * 1000);
}

/* The same in a child, so that pid 1 outlives the kill and can tell of it. */
static void feed_child(int argc, char **argv)
{
	pid_t pid = fork();
	if (pid == 0) {
		eat_memory(argc, argv);
		fflush(stdout);
		_exit(0);
	}
	int status;
	waitpid(pid, &status, 0);
	printf("{\"signal\":%d}\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

/* Fills a file (of a tmpfs, mostly); prints how many bytes it took. */
static void fill_file(int argc, char **argv)
{
	(void)argc;
	static char block[1 << 16];
	signal(SIGXFSZ, SIG_IGN);
	int fd = open(argv[0], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	long wanted = number(argv[1]), got = 0;
	while (fd >= 0 && got < wanted) {
		ssize_t n = write(fd, block, sizeof block);
		if (n < 0) break;
		got += n;
	}
	printf("{\"bytes\":%ld,\"error\":\"%s\"}\n", got, got < wanted ? errno_name(errno) : "");
}

static void burn_cpu(int argc, char **argv)
{
	(void)argc;
	struct timespec used;
	do clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
	while (used.tv_sec * 1000 + used.tv_nsec / 1000000 < number(argv[0]));
	puts("ok");
}

static void open_many(int argc, char **argv)
{
	(void)argc;
	long opened = 0, most = number(argv[0]);
	while (opened < most && dup(0) >= 0) opened++;
	printf("{\"opened\":%ld,\"error\":\"%s\"}\n", opened, opened < most ? errno_name(errno) : "");
}

/* Writes BYTES to standard output: more than any buffer in between. */
static void flood(int argc, char **argv)
{
	(void)argc;
	static char block[1 << 16];
	memset(block, 'x', sizeof block);
	for (long left = number(argv[0]); left > 0;) {
		ssize_t n = write(1, block, left < (long)sizeof block ? (size_t)left : sizeof block);
		if (n < 0) _exit(1);
		left -= n;
	}
}

const struct trial RESOURCE_TRIALS[] = {
	{ "fork-many", "MAX", fork_many, 1 },
	{ "fork-bomb", "MAX MS", fork_bomb, 2 },
	{ "eat-memory", "BYTES [MS]", eat_memory, 1 },
	{ "feed-child", "BYTES", feed_child, 1 },
	{ "fill-file", "PATH BYTES", fill_file, 2 },
	{ "burn-cpu", "MS", burn_cpu, 1 },
	{ "open-many", "MAX", open_many, 1 },
	{ "flood", "BYTES", flood, 1 },
	{ 0 },
};
