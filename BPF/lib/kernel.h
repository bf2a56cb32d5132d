/* The kernel side's prelude: helpers, and the few fields of struct sk_buff that no context offers. */
#ifndef REMORA_KERNEL_H
#define REMORA_KERNEL_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
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

struct sk_buff {
	__u8 ip_summed : 2;
} __attribute__((preserve_access_index));

extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym;

#endif
