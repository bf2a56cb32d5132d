/* The kernel side's prelude: helpers, and the few fields of the kernel's own structs that no context offers. */
#ifndef REMORA_KERNEL_H
#define REMORA_KERNEL_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "remora/abi.h"

#define TCX_NEXT (-1) /* linux/bpf.h has it from 6.6 on */
#define TCX_DROP 2

enum { CHECKSUM_NONE, CHECKSUM_UNNECESSARY, CHECKSUM_COMPLETE, CHECKSUM_PARTIAL }; /* linux/skbuff.h */

#define KERNEL_TYPE __attribute__((preserve_access_index))

struct net {
	__u64 net_cookie;
} KERNEL_TYPE;

struct possible_net {
	struct net *net;
} KERNEL_TYPE;

struct device {
	struct device *parent;
} KERNEL_TYPE;

struct net_device {
	struct possible_net nd_net;
	struct device dev;
} KERNEL_TYPE;

struct sk_buff {
	struct net_device *dev;
	char cb[48]; /* a struct qdisc_skb_cb, from ingress to the device */
	unsigned int len;
	__u8 pkt_type : 3;
	__u8 ip_summed : 2;
	__u8 tc_at_ingress : 1;
	int skb_iif;
	__u16 network_header;
	unsigned char *head;
} KERNEL_TYPE;

struct qdisc_skb_cb {
	unsigned char data[20]; /* __sk_buff.cb */
} KERNEL_TYPE;

extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym;
extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym; /* kernel 6.2 */

struct loop { /* the kernel's bpf_iter_num: its body is verified once, and not for each turn; kernel 6.4 */
	__u64 state;
};
extern int bpf_iter_num_new(struct loop *loop, int start, int end) __ksym;
extern int *bpf_iter_num_next(struct loop *loop) __ksym;
extern void bpf_iter_num_destroy(struct loop *loop) __ksym;

#endif
