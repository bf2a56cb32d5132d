/* Every packet is counted once under one reason; the outcome is what the hook returns. */
#ifndef REMORA_COUNT_H
#define REMORA_COUNT_H

#include "maps.h"

/* Which hook of which port: the index space of counters. */
static __always_inline __u32 hook_of(__u32 port_slot, bool egress)
{
	return port_slot * 2 + egress;
}

static __always_inline void count_bytes(__u32 bytes, __u32 hook, enum remora_reason reason)
{
	__u32 index = hook * REMORA_MAX_REASONS + reason;
	struct remora_counter *counter = bpf_map_lookup_elem(&counters, &index);

	if (counter) {
		counter->packets++;
		counter->bytes += bytes;
	}
}

static __always_inline void count(struct __sk_buff *skb, __u32 hook, enum remora_reason reason)
{
	count_bytes(skb->len, hook, reason);
}

static __always_inline int pass(struct __sk_buff *skb, __u32 hook, enum remora_reason reason)
{
	count(skb, hook, reason);
	return TCX_NEXT;
}

static __always_inline void count_service(struct __sk_buff *skb, const struct remora_flow *flow, bool opened)
{
	struct remora_service_counter *counter = counter_of(flow->service);

	if (!counter)
		return;
	struct remora_counter *side = flow->direction == REMORA_FORWARD ? &counter->forward : &counter->reverse;
	side->packets++;
	side->bytes += skb->len;
	counter->connections += opened;
}

#endif
