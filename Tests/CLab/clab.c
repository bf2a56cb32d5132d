#define _GNU_SOURCE
#include "clab.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/close_range.h>
#include <linux/if_packet.h>
#include <sched.h>
#include <signal.h>
#include <net/if.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int clab_private_network(void)
{
	return unshare(CLONE_NEWNET) < 0 ? -errno : 0;
}

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

/* What a thread does in another network namespace; it comes back whatever happens. */
struct errand {
	int home;
	int result; /* of the way there: 0 or -errno */
};

static struct errand leave(const char *netns)
{
	struct errand errand = {.home = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)};
	int there = open(netns, O_RDONLY | O_CLOEXEC);

	if (errand.home < 0 || there < 0 || setns(there, CLONE_NEWNET) < 0)
		errand.result = -errno;
	if (there >= 0)
		close(there);
	return errand;
}

static void come_back(struct errand errand)
{
	if (errand.result == 0 && setns(errand.home, CLONE_NEWNET) < 0)
		_exit(125); /* a thread lost in a namespace would corrupt whatever runs on it next */
	if (errand.home >= 0)
		close(errand.home);
}

int clab_socket(const char *netns, int domain, int kind, int protocol)
{
	struct errand errand = leave(netns);
	int fd = errand.result;

	if (fd == 0) {
		fd = socket(domain, kind | SOCK_CLOEXEC, protocol);
		fd = fd < 0 ? -errno : fd;
	}
	come_back(errand);
	return fd;
}

int clab_send_frame(const char *netns, const char *device, const void *frame, unsigned long length)
{
	struct errand errand = leave(netns);
	int result = errand.result;

	if (result == 0) {
		struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(device)};
		int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
		if (fd < 0 || sendto(fd, frame, length, 0, (struct sockaddr *)&to, sizeof(to)) < 0)
			result = -errno;
		if (fd >= 0)
			close(fd);
	}
	come_back(errand);
	return result;
}

/* linux/bpf.h has these from 6.6 on */
enum { TCX_NEXT = -1, TCX_INGRESS = 46, TCX_EGRESS = 47 };

static int bpf(int command, union bpf_attr *attributes)
{
	int result = syscall(SYS_bpf, command, attributes, sizeof(*attributes));

	return result < 0 ? -errno : result;
}

/* Loads a program and attaches it to a device of this thread's namespace; the link lives as long as its descriptor. */
static int attach(const struct bpf_insn *instructions, unsigned int count, unsigned int ifindex, int hook)
{
	union bpf_attr load = {
	    .prog_type = BPF_PROG_TYPE_SCHED_CLS,
	    .expected_attach_type = hook,
	    .insns = (unsigned long)instructions,
	    .insn_cnt = count,
	    .license = (unsigned long)"GPL",
	};
	int program = bpf(BPF_PROG_LOAD, &load);
	if (program < 0)
		return program;
	union bpf_attr link = {
	    .link_create = {.prog_fd = program, .target_ifindex = ifindex, .attach_type = hook},
	};
	int fd = bpf(BPF_LINK_CREATE, &link);

	close(program);
	return fd;
}

int clab_tag(const char *netns, const char *device, unsigned short vlan, int links[2])
{
	const struct bpf_insn push[] = {
	    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 2, .imm = 0x0081}, /* 802.1Q, network order */
	    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = vlan},
	    {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_skb_vlan_push},
	    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = TCX_NEXT},
	    {.code = BPF_JMP | BPF_EXIT},
	};
	const struct bpf_insn pop[] = {
	    {.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_skb_vlan_pop},
	    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = TCX_NEXT},
	    {.code = BPF_JMP | BPF_EXIT},
	};
	struct errand errand = leave(netns);
	int result = errand.result;

	links[0] = links[1] = -1;
	if (result == 0) {
		unsigned int index = if_nametoindex(device);
		links[0] = index ? attach(push, 5, index, TCX_EGRESS) : -errno;
		links[1] = links[0] < 0 ? -1 : attach(pop, 3, index, TCX_INGRESS);
		result = links[0] < 0 ? links[0] : links[1] < 0 ? links[1] : 0;
	}
	come_back(errand);
	return result;
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
