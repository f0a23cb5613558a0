/*
 * Starts programs the cheapest way there is (vfork and exec), one after the other, waits for each,
 * prints the nanoseconds that all took and the most memory (KiB) that one of them had: the rows of
 * the bench that have no Node in them.
 *
 *     launch RUNS PROGRAM [ARG...] [';' PROGRAM [ARG...]]...
 *
 * An argument `{}` becomes a name that no other run has. What the programs leave running belongs to
 * this one, as to an engine's monitor, and is reaped between the runs.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* Runs one program to its end; its most memory, KiB. */
static long run(char **args, int null)
{
	pid_t pid = vfork();
	if (pid == 0) {
		dup2(null, 0);
		dup2(null, 1);
		execvp(args[0], args);
		_exit(127);
	}
	int status;
	struct rusage usage;
	if (pid < 0 || wait4(pid, &status, 0, &usage) < 0) {
		perror("launch: start or wait");
		exit(125);
	}
	if (status) {
		fprintf(stderr, "launch: %s ended with status %#x\n", args[0], status);
		exit(125);
	}
	return usage.ru_maxrss;
}

int main(int argc, char **argv)
{
	if (argc < 3) return 125;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (int turn = 0, runs = atoi(argv[1]); turn < runs; turn++) {
		char name[64];
		char **args = calloc(argc, sizeof *args);
		snprintf(name, sizeof name, "minictr-bench-%d-%d", getpid(), turn);
		for (int i = 2; i < argc; i++) {
			args[i - 2] = !strcmp(argv[i], "{}") ? name : !strcmp(argv[i], ";") ? NULL : argv[i];
		}
		long most = 0;
		long long begin = now_ns();
		for (int first = 0; first < argc - 2;) {
			long kib = run(args + first, null);
			if (kib > most) most = kib;
			while (args[first]) first++;
			first++;
		}
		long long end = now_ns();
		printf("%lld %ld\n", end - begin, most);
		while (waitpid(-1, NULL, WNOHANG) > 0) continue;
		free(args);
	}
	return 0;
}
