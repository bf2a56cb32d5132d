#define _GNU_SOURCE
#include "clab.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int clab_pipe(int ends[2])
{
	return pipe2(ends, O_CLOEXEC) < 0 ? -errno : 0;
}

int clab_file(void)
{
	int fd = memfd_create("lab", MFD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int clab_pidfd(pid_t process)
{
	int fd = syscall(SYS_pidfd_open, process, 0);

	return fd < 0 ? -errno : fd;
}

/* Between fork and exec: only calls that are safe in a copy of a process with threads. */
static void become(char *const argv[], char *const envp[], const char *netns, const int fds[3])
{
	sigset_t none;

	if (netns) {
		int fd = open(netns, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
			return;
	}
	for (int i = 0; i < 3; i++)
		if (dup2(fds[i], i) < 0)
			return;
	setsid();
	close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	execvpe(argv[0], argv, envp);
}

pid_t clab_spawn(char *const argv[], char *const envp[], const char *netns, int input, int output, int errors)
{
	const int fds[3] = {input, output, errors};
	int report[2], failure = 0;
	pid_t child;

	if (pipe2(report, O_CLOEXEC) < 0)
		return -errno;
	child = fork();
	if (child == 0) {
		become(argv, envp, netns, fds);
		failure = errno;
		if (write(report[1], &failure, sizeof(failure)) < 0)
			_exit(126);
		_exit(127);
	}
	close(report[1]);
	if (child < 0) {
		failure = errno;
	} else if (read(report[0], &failure, sizeof(failure)) > 0) {
		waitpid(child, NULL, 0);
	}
	close(report[0]);
	return failure ? -failure : child;
}

int clab_socket(const char *netns, int domain, int kind, int protocol)
{
	int home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int there = open(netns, O_RDONLY | O_CLOEXEC);
	int fd = -1, failure = 0;

	if (home < 0 || there < 0 || setns(there, CLONE_NEWNET) < 0) {
		failure = errno;
	} else {
		fd = socket(domain, kind | SOCK_CLOEXEC, protocol);
		failure = fd < 0 ? errno : 0;
		if (setns(home, CLONE_NEWNET) < 0)
			_exit(125); /* a thread lost in a namespace would corrupt whatever runs on it next */
	}
	if (home >= 0)
		close(home);
	if (there >= 0)
		close(there);
	return failure ? -failure : fd;
}

static sigset_t ends(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	return set;
}

void clab_block_ends(void)
{
	sigset_t set = ends();

	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

int clab_wait_end(void)
{
	sigset_t set = ends();
	int number = 0;

	sigwait(&set, &number);
	return number;
}
