/*
 * Starts a program the cheapest way there is (vfork and exec), waits for it, prints the
 * nanoseconds: the rows of the bench that have no Node in them.
 *
 *     launch RUNS PROGRAM [ARG...]
 *
 * An argument `{}` becomes a name that no other run has.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long long now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

int main(int argc, char **argv)
{
	if (argc < 3) return 125;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int run = 0, runs = atoi(argv[1]); run < runs; run++) {
		char name[64];
		char **args = calloc(argc, sizeof *args);
		snprintf(name, sizeof name, "minictr-bench-%d-%d", getpid(), run);
		for (int i = 2; i < argc; i++) args[i - 2] = strcmp(argv[i], "{}") ? argv[i] : name;
		long long begin = now_ns();
		pid_t pid = vfork();
		if (pid == 0) {
			dup2(null, 0);
			dup2(null, 1);
			execvp(args[0], args);
			_exit(127);
		}
		int status;
		if (pid < 0 || waitpid(pid, &status, 0) < 0) return 125;
		long long end = now_ns();
		if (status) {
			fprintf(stderr, "launch: %s ended with status %#x\n", args[0], status);
			return 125;
		}
		printf("%lld\n", end - begin);
		free(args);
	}
	return 0;
}
