/* Finds the trial that was asked for. */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct trial *const TABLES[] = {
	FILE_TRIALS, KERNEL_TRIALS, PROCESS_TRIALS, RESOURCE_TRIALS, HOST_TRIALS,
};

const char *errno_name(int error)
{
	const char *name = strerrorname_np(error);
	return name ? name : "EUNKNOWN";
}

void result(long value) { puts(value >= 0 ? "ok" : errno_name(errno)); }

void result_value(long value)
{
	if (value >= 0) printf("ok %ld\n", value);
	else puts(errno_name(errno));
}

void attempt(const char *name, long value) { printf("%s=%s ", name, value >= 0 ? "ok" : errno_name(errno)); }

void attempts_end(void) { puts(""); }

void say(const char *text)
{
	puts(text);
	fflush(stdout);
}

void json_string(const char *text)
{
	putchar('"');
	for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
		if (*c == '"' || *c == '\\') printf("\\%c", *c);
		else if (*c < 0x20 || *c >= 0x7f) printf("\\u%04x", *c);
		else putchar(*c);
	}
	putchar('"');
}

long number(const char *text)
{
	char *end;
	errno = 0;
	long value = strtol(text, &end, 0);
	if (errno || end == text || *end) {
		fprintf(stderr, "probe: not a number: %s\n", text);
		exit(64);
	}
	return value;
}

const char *slurp(const char *path)
{
	static char text[1 << 16];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) return NULL;
	size_t length = 0;
	for (ssize_t n; (n = read(fd, text + length, sizeof text - 1 - length)) != 0; length += n)
		if (n < 0) {
			close(fd);
			return NULL;
		}
	close(fd);
	text[length] = 0;
	return text;
}

static const struct trial *find(const char *name)
{
	for (size_t table = 0; table < sizeof TABLES / sizeof *TABLES; table++)
		for (const struct trial *trial = TABLES[table]; trial->name; trial++)
			if (!strcmp(trial->name, name)) return trial;
	return NULL;
}

int main(int argc, char **argv)
{
	/* Installed under a trial's name, the probe is that trial: a root filesystem's `/bin/self`. */
	const char *base = argc > 0 && strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : "probe";
	const struct trial *trial = find(base);
	int first = trial ? 1 : 2;
	if (!trial && argc > 1) trial = find(argv[1]);
	if (!trial) {
		for (size_t table = 0; table < sizeof TABLES / sizeof *TABLES; table++)
			for (trial = TABLES[table]; trial->name; trial++) fprintf(stderr, "probe %s %s\n", trial->name, trial->usage);
		return 64;
	}
	int given = argc > first ? argc - first : 0;
	if (given < trial->arguments) {
		fprintf(stderr, "usage: probe %s %s\n", trial->name, trial->usage);
		return 64;
	}
	trial->run(given, argv + first);
	return fflush(stdout) ? 1 : 0;
}
