/*
 * libseccomp as an oracle: reads profiles in numbers and answers each with the length in bytes of its
 * BPF program for this machine, four bytes, and the program; the length is 0 for what libseccomp
 * refuses.
 *
 *     default ACTION
 *     rule NUMBER ACTION COUNT [INDEX OP VALUE VALUE2]...
 *     end
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int answer(scmp_filter_ctx filter)
{
	static char program[1 << 16];
	uint32_t length = 0;
	if (filter != NULL) {
		int memory = memfd_create("program", MFD_CLOEXEC);
		if (memory < 0)
			return 3;
		if (seccomp_export_bpf(filter, memory) == 0) {
			ssize_t got = pread(memory, program, sizeof program, 0);
			length = got > 0 ? (uint32_t)got : 0;
		}
		close(memory);
	}
	fwrite(&length, sizeof length, 1, stdout);
	fwrite(program, length, 1, stdout);
	return fflush(stdout) ? 4 : 0;
}

static int profile(uint32_t action)
{
	char word[16];
	scmp_filter_ctx filter = seccomp_init(action);
	if (filter == NULL)
		return 3;
	int refused = 0;
	while (scanf("%15s", word) == 1 && strcmp(word, "rule") == 0) {
		int number;
		unsigned count;
		struct scmp_arg_cmp conditions[6];
		if (scanf("%d %" SCNu32 " %u", &number, &action, &count) != 3 || count > 6)
			return 2;
		for (unsigned i = 0; i < count; i++) {
			unsigned index, op;
			uint64_t a, b;
			if (scanf("%u %u %" SCNu64 " %" SCNu64, &index, &op, &a, &b) != 4)
				return 2;
			conditions[i] = (struct scmp_arg_cmp){index, op, a, b};
		}
		refused |= seccomp_rule_add_array(filter, action, number, count, conditions) != 0;
	}
	int status = answer(refused ? NULL : filter);
	seccomp_release(filter);
	return status;
}

int main(void)
{
	char word[16];
	uint32_t action;
	while (scanf("%15s %" SCNu32, word, &action) == 2) {
		int status = profile(action);
		if (status)
			return status;
	}
	return 0;
}
