/*
 * The probe: a static program that tries one forbidden or observable thing and prints what came of
 * it, on one line. It is the userland of the test containers, so that a test needs nothing else in
 * a root filesystem.
 *
 * A trial prints `ok`, with a value after it where there is one, or the errno's name (`EPERM`).
 * An observation prints JSON. Either way the exit status is 0: what the kernel answered is the
 * result. 64 means that the probe was called wrongly.
 */
#ifndef PROBE_H
#define PROBE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stddef.h>
#include <stdint.h>

struct trial {
	const char *name;
	const char *usage;
	void (*run)(int argc, char **argv); /* argv[0] is the first argument after the name */
	int arguments;                      /* how many it needs at least */
};

/* One table a concern; each ends with an entry without a name. */
extern const struct trial FILE_TRIALS[], KERNEL_TRIALS[], PROCESS_TRIALS[], RESOURCE_TRIALS[], HOST_TRIALS[];

/* Prints `ok` or the name of errno: for the value of a system call. */
void result(long value);
/* Prints `ok VALUE` or the name of errno. */
void result_value(long value);
/* Prints `NAME=ok` or `NAME=ERRNO` and a blank: for trials of several attempts. */
void attempt(const char *name, long value);
/* Prints the attempts' line end. */
void attempts_end(void);
/* Prints text as a JSON string. */
void json_string(const char *text);
/* The name of an errno. */
const char *errno_name(int number);
/* Reads a number in decimal, octal or hexadecimal; ends the probe with 64 for anything else. */
long number(const char *text);
/* Reads a whole small file into a static buffer; NULL with errno set if it can't. */
const char *slurp(const char *path);
/* Prints text at once and ends the line: what a test waits for. */
void say(const char *text);

#endif
