/*
 * libseccomp as an oracle: reads a profile in numbers, writes the BPF program for x86_64.
 *
 *     default ACTION
 *     rule NUMBER ACTION COUNT [INDEX OP VALUE VALUE2]...
 */
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(void)
{
	char word[16];
	uint32_t action;
	if (scanf("%15s %" SCNu32, word, &action) != 2)
		return 2;
	scmp_filter_ctx filter = seccomp_init(action);
	if (filter == NULL)
		return 3;
	int number;
	unsigned count;
	while (scanf("%15s %d %" SCNu32 " %u", word, &number, &action, &count) == 4) {
		struct scmp_arg_cmp conditions[6];
		for (unsigned i = 0; i < count; i++) {
			unsigned index, op;
			uint64_t a, b;
			if (scanf("%u %u %" SCNu64 " %" SCNu64, &index, &op, &a, &b) != 4)
				return 2;
			conditions[i] = (struct scmp_arg_cmp){index, op, a, b};
		}
		int error = seccomp_rule_add_array(filter, action, number, count, conditions);
		if (error) {
			fprintf(stderr, "rule for %d: %s\n", number, strerror(-error));
			return 4;
		}
	}
	return seccomp_export_bpf(filter, STDOUT_FILENO) ? 5 : 0;
}
