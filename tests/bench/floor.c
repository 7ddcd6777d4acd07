/* floor: what the kernel alone takes for a session: the namespaces, ids, mounts and the command of ours, in one process.
 *
 * usage: floor LOWER SCRATCH SUBID [COMMAND]
 *   LOWER    unpacked chroot of the ids SUBID..SUBID+65535
 *   SCRATCH  where the upper directories are made; what is left of them is moved to SCRATCH/trash
 *   SUBID    first subordinate id, which becomes root; as root the maps are written, else newuidmap and newgidmap run
 *
 * For each line on standard input one session begins, runs COMMAND (default /bin/true) and ends; then a line with its
 * milliseconds, and the CPU milliseconds of this process and its children, is printed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static const char *const devices[] = {"null", "zero", "full", "random", "urandom", "tty"};
static const char *const masked[] = {"acpi", "asound", "kcore", "keys", "latency_stats", "timer_list", "timer_stats",
				     "sched_debug", "scsi"};
static const char *const masked_sys[] = {"firmware", "devices/virtual/powercap"};
static const char *const read_only[] = {"bus", "fs", "irq", "sys", "sysrq-trigger"};

static void check(int failed, const char *what)
{
	if (failed) {
		perror(what);
		_exit(99);
	}
}

static double wall(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static double cpu(int who)
{
	struct rusage used;
	getrusage(who, &used);
	return (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e3 + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e3;
}

/* Makes a mount that is attached nowhere yet. */
static int new_mount(const char *type, unsigned int attributes, const char *const *options)
{
	int context = syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
	check(context < 0, type);
	for (; *options; options += 2)
		check(syscall(SYS_fsconfig, context, options[1] ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, options[0], options[1], 0),
		      options[0]);
	check(syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0), type);
	int mount = syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC, attributes);
	check(mount < 0, type);
	close(context);
	return mount;
}

static int clone_mount(int directory, const char *path, unsigned int flags, unsigned long long attributes)
{
	int mount = syscall(SYS_open_tree, directory, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags);
	if (mount < 0)
		return mount;
	struct mount_attr set = {.attr_set = attributes};
	if (attributes)
		check(syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH | flags, &set, sizeof set), path);
	return mount;
}

static void attach(int mount, int directory, const char *path)
{
	check(syscall(SYS_move_mount, mount, "", directory, path, MOVE_MOUNT_F_EMPTY_PATH), path);
	close(mount);
}

/* A directory's name below /proc/self/fd: the caller may enter where root of the session may not. */
static void open_directory(const char *path, char number[16])
{
	int directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	check(directory < 0, path);
	snprintf(number, 16, "%d", directory);
}

static void mount_all(const char *lower, const char *point)
{
	const unsigned int plain = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
	const char *const none[] = {NULL};
	char upper[16], work[16];
	const char *const overlay[] = {"lowerdir", lower, "upperdir", upper, "workdir", work, "userxattr", NULL,
				       "volatile", NULL, NULL};
	const char *const dev[] = {"mode", "0755", "size", "65536k", NULL};
	const char *const pts[] = {"newinstance", NULL, "ptmxmode", "0666", "mode", "0620", "gid", "5", NULL};
	const char *const shared[] = {"mode", "1777", NULL};
	char path[64];

	check(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "private");
	check(mkdir("layer/upper", 0755) || mkdir("layer/work", 0755), "mkdir");
	open_directory("layer/upper", upper);
	open_directory("layer/work", work);
	check(chdir("/proc/self/fd"), "/proc/self/fd");
	int nothing = -1, root = new_mount("overlay", 0, overlay);
	check(syscall(SYS_move_mount, root, "", atoi(point), "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH), "root");
	attach(new_mount("proc", plain, none), root, "proc");
	attach(new_mount("tmpfs", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, dev), root, "dev");
	check(mkdirat(root, "dev/pts", 0755) || mkdirat(root, "dev/shm", 0755) || mkdirat(root, "dev/mqueue", 0755), "dev");
	attach(new_mount("devpts", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, pts), root, "dev/pts");
	attach(new_mount("tmpfs", plain, shared), root, "dev/shm");
	attach(new_mount("mqueue", plain, none), root, "dev/mqueue");
	attach(clone_mount(AT_FDCWD, "/sys", AT_RECURSIVE, plain | MOUNT_ATTR_RDONLY), root, "sys");
	attach(new_mount("tmpfs", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, shared), root, "tmp");
	for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
		snprintf(path, sizeof path, "/dev/%s", devices[i]);
		int made = openat(root, path + 1, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
		close(made);
		attach(clone_mount(AT_FDCWD, path, 0, 0), root, path + 1);
	}
	check(symlinkat("/proc/self/fd", root, "dev/fd") || symlinkat("/proc/self/fd/0", root, "dev/stdin") ||
	      symlinkat("/proc/self/fd/1", root, "dev/stdout") || symlinkat("/proc/self/fd/2", root, "dev/stderr") ||
	      symlinkat("pts/ptmx", root, "dev/ptmx"), "links");
	for (size_t i = 0; i < sizeof masked / sizeof *masked + sizeof masked_sys / sizeof *masked_sys; i++) {
		const size_t split = sizeof masked / sizeof *masked;
		struct stat about;
		snprintf(path, sizeof path, i < split ? "proc/%s" : "sys/%s", i < split ? masked[i] : masked_sys[i - split]);
		if (fstatat(root, path, &about, AT_SYMLINK_NOFOLLOW))
			continue;
		if (!S_ISDIR(about.st_mode))
			attach(clone_mount(AT_FDCWD, "/dev/null", 0, 0), root, path);
		else if (nothing < 0)
			attach(dup(nothing = new_mount("tmpfs", MOUNT_ATTR_RDONLY, none)), root, path);
		else
			attach(clone_mount(nothing, "", AT_EMPTY_PATH, 0), root, path);
	}
	for (size_t i = 0; i < sizeof read_only / sizeof *read_only; i++) {
		snprintf(path, sizeof path, "proc/%s", read_only[i]);
		int mount = clone_mount(root, path, AT_RECURSIVE, MOUNT_ATTR_RDONLY);
		if (mount >= 0)
			attach(mount, root, path);
	}
	check(sethostname("floor", 5), "hostname");
	check(fchdir(root) || syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/"), "pivot_root");
}

static void inside(const char *lower, int gate, char **command)
{
	char byte, below[16], point[16];
	struct ifreq loopback = {.ifr_name = "lo"};

	check(read(gate, &byte, 1) < 0, "gate");
	open_directory(lower, below);
	open_directory("root", point);
	check(syscall(SYS_setresgid, 0, 0, 0) || syscall(SYS_setgroups, 0, NULL) || syscall(SYS_setresuid, 0, 0, 0), "root");
	umask(022);
	mount_all(below, point);
	check(unshare(CLONE_NEWNET), "network");
	int inet = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	loopback.ifr_flags = IFF_UP;
	check(inet < 0 || ioctl(inet, SIOCSIFFLAGS, &loopback), "lo");
	execv(command[0], command);
	check(1, command[0]);
}

static pid_t start_map(const char *tool, pid_t pid, const char *subid)
{
	char of[24], *argv[] = {(char *)tool, of, "0", (char *)subid, "65536", NULL};
	pid_t child;

	snprintf(of, sizeof of, "%d", pid);
	check(posix_spawnp(&child, tool, NULL, NULL, argv, environ), tool);
	return child;
}

static void write_map(const char *file, pid_t pid, const char *subid)
{
	char path[64], line[64];

	snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
	snprintf(line, sizeof line, "0 %s 65536\n", subid);
	int map = open(path, O_WRONLY | O_CLOEXEC);
	check(map < 0 || write(map, line, strlen(line)) < 0, path);
	close(map);
}

static void session(const char *lower, const char *scratch, const char *subid, char **command)
{
	static int number;
	char path[4096], trash[4096];
	int gate[2], status;

	snprintf(path, sizeof path, "%s/floor.%d.%d", scratch, getpid(), number);
	snprintf(trash, sizeof trash, "%s/trash/floor.%d.%d", scratch, getpid(), number++);
	check(mkdir(path, 0777) || chmod(path, 0777) || chdir(path), path);
	check(mkdir("layer", 0777) || chmod("layer", 0777) || mkdir("root", 0755), path);
	check(pipe2(gate, O_CLOEXEC), "pipe");
	struct clone_args args = {.exit_signal = SIGCHLD, .flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID |
		CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP};
	pid_t child = syscall(SYS_clone3, &args, sizeof args);
	check(child < 0, "clone3");
	if (!child) {
		close(gate[1]);
		inside(lower, gate[0], command);
	}
	close(gate[0]);
	if (geteuid()) {
		pid_t maps[] = {start_map("newuidmap", child, subid), start_map("newgidmap", child, subid)};
		for (int i = 0; i < 2; i++)
			check(waitpid(maps[i], &status, 0) < 0 || status, "newuidmap, newgidmap");
	} else {
		write_map("uid_map", child, subid);
		write_map("gid_map", child, subid);
	}
	close(gate[1]);
	check(waitpid(child, &status, 0) < 0, "wait");
	if (status)
		exit(98);
	check(chdir("/") || rename(path, trash), trash);
}

int main(int argc, char **argv)
{
	char *always[] = {"/bin/true", NULL}, trash[4096], *line = NULL;
	size_t size = 0;

	if (argc < 4)
		return fputs("usage: floor LOWER SCRATCH SUBID [COMMAND]\n", stderr), 2;
	snprintf(trash, sizeof trash, "%s/trash", argv[2]);
	check(mkdir(trash, 0700) && errno != EEXIST, trash);
	while (getline(&line, &size, stdin) > 0) {
		double begin = wall(), used = cpu(RUSAGE_SELF) + cpu(RUSAGE_CHILDREN);
		session(argv[1], argv[2], argv[3], argc > 4 ? argv + 4 : always);
		double took = wall() - begin;
		printf("%.3f %.3f\n", took, cpu(RUSAGE_SELF) + cpu(RUSAGE_CHILDREN) - used);
		fflush(stdout);
	}
	return 0;
}
