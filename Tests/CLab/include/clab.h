/* What the lab needs of Linux that Swift's Glibc module does not show: network namespaces, pidfds, and a fork whose
 * child is set up before it runs anything of Swift's. Negative results are -errno. */
#ifndef CLAB_H
#define CLAB_H

#include <sys/types.h>

/* Runs argv with the network namespace at `netns` (NULL: the caller's), in a session of its own, no signal blocked,
 * no other descriptor than these three open. Returns the pid; a failure to set up or to exec is returned, too. */
pid_t clab_spawn(char *const argv[], char *const envp[], const char *netns, int input, int output, int errors);

/* A socket that lives in `netns`; the calling thread stays where it is. */
int clab_socket(const char *netns, int domain, int kind, int protocol);

/* Gives the calling thread a network namespace of its own, which ends with it and what it started. */
int clab_private_network(void);

/* Sends one frame, as it is, out of a device. */
int clab_send_frame(const char *netns, const char *device, const void *frame, unsigned long length);

/* An 802.1Q tag on all that leaves by a device, and none on what comes in by it, as a trunk's end does it: for kernels
 * without 802.1Q devices. It ends when `links`, two descriptors, are closed. */
int clab_tag(const char *netns, const char *device, unsigned short vlan, int links[2]);

/* A pipe that no exec hands on. */
int clab_pipe(int ends[2]);

/* A file without a name. */
int clab_file(void);

/* A descriptor that becomes readable when the process ends. */
int clab_pidfd(pid_t process);

/* Blocks SIGINT, SIGTERM and SIGHUP in this thread and in those it starts later. */
void clab_block_ends(void);

/* Waits for one of them; returns its number. */
int clab_wait_end(void);

#endif
