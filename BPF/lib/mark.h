/* What a packet carries in skb->cb while it goes straight to its port, and no further than this node. cb[0] tells the
 * egress program that a proxy was asked; the last two words tell losses whose packet it was, should the kernel drop it.
 * Queueing disciplines that write notes of their own there (fq, fq_codel) leave the end alone. */
#ifndef REMORA_MARK_H
#define REMORA_MARK_H

#include "kernel.h"

enum { CB_CHECKED = 0, CB_SCRATCH = 2, CB_ORIGIN = 3, CB_REDIRECTED = 4 };

static __always_inline void mark_checked(struct __sk_buff *skb)
{
	skb->cb[CB_CHECKED] = REMORA_CB_MAGIC;
}

static __always_inline void mark_redirected(struct __sk_buff *skb, __u32 port_slot, __u16 network)
{
	mark_checked(skb);
	skb->cb[CB_ORIGIN] = port_slot | (__u32)network << 16;
	skb->cb[CB_REDIRECTED] = REMORA_CB_MAGIC;
}

static __always_inline void unmark(struct __sk_buff *skb)
{
	skb->cb[CB_CHECKED] = 0;
	skb->cb[CB_REDIRECTED] = 0;
}

/* Once: behind this port it means nothing. */
static __always_inline bool take_checked(struct __sk_buff *skb)
{
	if (skb->cb[CB_CHECKED] != REMORA_CB_MAGIC)
		return false;
	skb->cb[CB_CHECKED] = 0;
	return true;
}

#endif
