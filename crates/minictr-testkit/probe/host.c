/* Helpers that tests run on the host: attackers of a root filesystem from outside, and sources that hang. */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Exchanges two names as fast as it can until its standard input ends: the other side of a race
 * between a check of a path and its use. */
static void swap_names(int argc, char **argv)
{
	(void)argc;
	char byte;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	fcntl(0, F_SETFL, O_NONBLOCK);
	say("ready");
	for (unsigned long turns = 0;; turns++) {
		if (renameat2(AT_FDCWD, argv[0], AT_FDCWD, argv[1], RENAME_EXCHANGE) < 0) {
			result(-1);
			return;
		}
		if (turns % 256 == 0 && read(0, &byte, 1) == 0) return;
	}
}

/* A filesystem whose server never answers: whoever looks a name up in it waits. Ends with its
 * standard input, and takes the mount away. */
static void hanging_filesystem(int argc, char **argv)
{
	(void)argc;
	char options[128], byte;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=%d,group_id=%d,allow_other", fd, getuid(), getgid());
	if (fd < 0 || mount("minictr-hang", argv[0], "fuse.hang", MS_NOSUID | MS_NODEV, options) < 0) {
		result(-1);
		return;
	}
	say("ready");
	while (read(0, &byte, 1) > 0) {}
	umount2(argv[0], MNT_DETACH | MNT_FORCE);
}

/* Runs a program in a session keyring of its own that holds one key, as after a login. */
static void with_key(int argc, char **argv)
{
	(void)argc;
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, "login") < 0
		|| syscall(SYS_add_key, "user", argv[0], argv[1], strlen(argv[1]), KEY_SPEC_SESSION_KEYRING) < 0) {
		result(-1);
		exit(1);
	}
	execvp(argv[2], argv + 2);
	result(-1);
	exit(127);
}

/* Runs a program after the user's quota of keys is spent: a new keyring is refused then (EDQUOT). */
static void with_spent_keys(int argc, char **argv)
{
	(void)argc;
	char name[32], text[1024];
	memset(text, 'x', sizeof text);
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, "full") < 0) {
		result(-1);
		exit(1);
	}
	/* each as large as still goes in, until not even the smallest does */
	for (int i = 0; i < 1000; i++) {
		size_t size = sizeof text;
		snprintf(name, sizeof name, "%x", i);
		while (size && syscall(SYS_add_key, "user", name, text, size, KEY_SPEC_SESSION_KEYRING) < 0) size /= 2;
		if (!size) break;
	}
	execvp(argv[0], argv);
	result(-1);
	exit(127);
}

/* Runs a program with descriptors 5 to 20 open on a directory, not close-on-exec: what a careless
 * parent leaks. */
static void with_fds(int argc, char **argv)
{
	(void)argc;
	int fd = open(argv[0], O_RDONLY | O_DIRECTORY);
	for (int i = 5; i <= 20; i++) dup2(fd, i);
	execvp(argv[1], argv + 1);
	result(-1);
	exit(127);
}

/* SIGKILL for several processes in one breath, MICROSECONDS after handles of them were had. */
static void kill_together(int argc, char **argv)
{
	int handles[16], count = 0;
	for (int i = 1; i < argc && count < 16; i++) {
		int handle = syscall(SYS_pidfd_open, number(argv[i]), 0);
		if (handle >= 0) handles[count++] = handle;
	}
	struct timespec begun, now;
	clock_gettime(CLOCK_MONOTONIC, &begun);
	/* a sleep would be over some fifty microseconds later than asked for */
	do clock_gettime(CLOCK_MONOTONIC, &now);
	while ((now.tv_sec - begun.tv_sec) * 1000000 + (now.tv_nsec - begun.tv_nsec) / 1000 < number(argv[0]));
	/* first stopped, so that none of them sees another one's end */
	for (int i = 0; count > 1 && i < count; i++) syscall(SYS_pidfd_send_signal, handles[i], SIGSTOP, NULL, 0);
	for (int i = 0; i < count; i++) syscall(SYS_pidfd_send_signal, handles[i], SIGKILL, NULL, 0);
	puts("ok");
}

/* Answers what filters ask: system call NUMBER gets ERRNO, any other goes on. Prints each container's
 * state as it comes. Ends with its parent. */
static void answer_calls(int argc, char **argv)
{
	(void)argc;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGCHLD, SIG_IGN);
	snprintf(address.sun_path, sizeof address.sun_path, "%s", argv[0]);
	int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listening, (struct sockaddr *)&address, sizeof address) < 0 || listen(listening, 8) < 0) {
		result(-1);
		return;
	}
	say("ready");
	for (;;) {
		static char text[1 << 16];
		char control[CMSG_SPACE(sizeof(int))];
		struct iovec data = { text, sizeof text - 1 };
		struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
		int peer = accept4(listening, NULL, NULL, SOCK_CLOEXEC), notify = -1;
		ssize_t length = recvmsg(peer, &message, MSG_CMSG_CLOEXEC);
		if (length < 0) continue;
		for (ssize_t more; (more = read(peer, text + length, sizeof text - 1 - length)) > 0;) length += more;
		text[length] = 0;
		say(text);
		struct cmsghdr *header = CMSG_FIRSTHDR(&message);
		if (header) memcpy(&notify, CMSG_DATA(header), sizeof notify);
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (;;) {
				struct seccomp_notif asked = { 0 };
				struct seccomp_notif_resp answer = { 0 };
				if (ioctl(notify, SECCOMP_IOCTL_NOTIF_RECV, &asked) < 0) {
					if (errno == EINTR || errno == ENOENT) continue;
					_exit(0);
				}
				answer.id = asked.id;
				if (asked.data.nr == number(argv[1])) answer.error = -number(argv[2]);
				else answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
				ioctl(notify, SECCOMP_IOCTL_NOTIF_SEND, &answer);
			}
		}
		close(notify);
		close(peer);
	}
}

const struct trial HOST_TRIALS[] = {
	{ "swap-names", "PATH PATH", swap_names, 2 },
	{ "hanging-filesystem", "MOUNTPOINT", hanging_filesystem, 1 },
	{ "with-key", "DESCRIPTION TEXT PROGRAM [ARG...]", with_key, 3 },
	{ "with-spent-keys", "PROGRAM [ARG...]", with_spent_keys, 1 },
	{ "kill-together", "MICROSECONDS PID...", kill_together, 2 },
	{ "answer-calls", "SOCKET NUMBER ERRNO", answer_calls, 3 },
	{ "with-fds", "DIRECTORY PROGRAM [ARG...]", with_fds, 2 },
	{ 0 },
};
