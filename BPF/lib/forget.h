/* What the agent wants deleted: user space cannot take a slot of the flow table without a race. */
#ifndef REMORA_FORGET_H
#define REMORA_FORGET_H

#include "handshake.h"
#include "pair.h"

/* Ageing: the agent says which flows are over; those go that no packet has touched since. A connection's two directions
 * go together: with its request's, an answer's waits for that. Returns connections that went. Global, so that the
 * verifier looks at it once and not for every turn of the loop. */
__noinline int forget_one(struct __sk_buff *skb, __u32 index)
{
	struct remora_stale_flow stale;

	if (bpf_skb_load_bytes(skb, index * sizeof(stale), &stale, sizeof(stale)))
		return 0;
	struct remora_flow *flow = find_flow(&stale.key);
	if (!flow || flow->seen != stale.seen)
		return 0;
	const struct remora_flow *other = pair_of(flow);
	struct remora_flow_key other_key = other_direction(flow);
	if (other && (flow->direction == REMORA_REVERSE || (__s32)(other->seen - stale.looked) >= 0))
		return 0;
	if (flow->direction == REMORA_FORWARD)
		establish(flow);
	remove_flow(&stale.key);
	if (other)
		remove_flow(&other_key);
	return 1;
}

/* Whatever is going on: its backend is no more. */
__noinline int purge_one(struct __sk_buff *skb, __u32 index)
{
	struct remora_flow_key key;

	if (bpf_skb_load_bytes(skb, index * sizeof(key), &key, sizeof(key)))
		return 0;
	struct remora_flow *flow = find_flow(&key);
	if (flow && flow->direction == REMORA_FORWARD)
		establish(flow);
	return remove_flow(&key);
}

/* The packet's records of this size, one after the other; how many of them something came of. */
static __always_inline int each(struct __sk_buff *skb, __u32 size, int (*one)(struct __sk_buff *skb, __u32 index))
{
	int done = 0;

	for (__u32 index = 0; index < REMORA_STALE_FLOWS && (index + 1) * size <= skb->len; index++)
		done += one(skb, index);
	return done;
}

#endif
