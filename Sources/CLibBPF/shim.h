/* libbpf for Swift, and the few things that Swift cannot say or Debian's headers do not know yet. */
#ifndef REMORA_CLIBBPF_SHIM_H
#define REMORA_CLIBBPF_SHIM_H

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* linux/bpf.h has these from kernel 6.6 on; as functions, or they would clash with the enums there. */
static inline enum bpf_attach_type remora_tcx_ingress(void) { return (enum bpf_attach_type)46; }
static inline enum bpf_attach_type remora_tcx_egress(void) { return (enum bpf_attach_type)47; }
static inline __u32 remora_tcx_before(void) { return 1U << 3; /* BPF_F_BEFORE */ }

/* Two enums of linux/btf.h have this name: Swift finds it ambiguous. */
static const __u32 remora_btf_kind_datasec = BTF_KIND_DATASEC;

/* union bpf_attr's answer of BPF_PROG_QUERY, which libbpf 1.1 does not know for tcx. */
struct remora_prog_query {
	__u32 target_ifindex;
	__u32 attach_type;
	__u32 query_flags;
	__u32 attach_flags;
	__u64 prog_ids __attribute__((aligned(8)));
	__u32 count;
	__u32 pad;
	__u64 prog_attach_flags __attribute__((aligned(8)));
	__u64 link_ids __attribute__((aligned(8)));
	__u64 link_attach_flags __attribute__((aligned(8)));
	__u64 revision __attribute__((aligned(8)));
};

/* syscall() is variadic: Swift does not import it. */
static inline int remora_bpf_prog_query(struct remora_prog_query *query)
{
	return (int)syscall(SYS_bpf, BPF_PROG_QUERY, query, sizeof(*query));
}

/* struct bpf_link_info with tcx's part (kernel 6.6). */
struct remora_link_info {
	__u32 link_type;
	__u32 id;
	__u32 prog_id;
	__u32 pad;
	__u32 ifindex;
	__u32 attach_type;
	__u8 rest[64];
};

/* Of asm-generic/socket.h, which Swift's module of the C library leaves out. */
static inline int remora_netns_cookie(void) { return SO_NETNS_COOKIE; }

/* unshare() needs _GNU_SOURCE before sched.h. */
static inline int remora_unshare_mounts(void)
{
	return (int)syscall(SYS_unshare, 0x00020000 /* CLONE_NEWNS */);
}

/* renameat2 with RENAME_EXCHANGE needs _GNU_SOURCE before stdio.h, which Swift's module of it does not set. */
static inline int remora_rename_exchange(const char *a, const char *b)
{
	return (int)syscall(SYS_renameat2, -100 /* AT_FDCWD */, a, -100, b, 2 /* RENAME_EXCHANGE */);
}

#endif
