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

#define PACKET_SHIFT 24 /* of remora_flow.uncounted: below are bytes, above packets */

/* Counts for its service what of the flow was not counted yet; how many packets. Global, as all that takes an entry and
 * is seldom needed: verified once, and not behind each way that leads here. */
__noinline int settle(struct remora_flow *flow)
{
	if (!flow)
		return 0;
	__u32 uncounted = flow->uncounted, packets = uncounted >> PACKET_SHIFT;
	struct remora_service_counter *counter = counter_of(flow->service);

	if (!counter || !uncounted)
		return 0;
	struct remora_counter *side = flow->direction == REMORA_FORWARD ? &counter->forward : &counter->reverse;
	flow->uncounted = 0;
	side->packets += packets;
	side->bytes += uncounted & ((1 << PACKET_SHIFT) - 1);
	return packets;
}

static __always_inline void count_flow(struct __sk_buff *skb, struct remora_flow *flow)
{
	flow->packets++;
	flow->uncounted += (1 << PACKET_SHIFT) + skb->len;
	if (flow->uncounted >> PACKET_SHIFT >= REMORA_FLOW_BATCH)
		settle(flow);
}

static __always_inline void count_connection(__u32 service)
{
	struct remora_service_counter *counter = counter_of(service);

	if (counter)
		counter->connections++;
}

#endif
