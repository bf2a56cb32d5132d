/* Ageing: the agent says which flows are over, the kernel takes those that no packet has touched since. */
#ifndef REMORA_FORGET_H
#define REMORA_FORGET_H

#include "ending.h"
#include "maps.h"

/* Does `other` translate the answers to `key`, and not those to a later connection's? */
static __always_inline bool is_pair(const struct remora_flow *other, const struct remora_flow_key *key)
{
	return other->destination == key->source && other->source == key->destination &&
	       other->destination_port == key->source_port && other->source_port == key->destination_port;
}

/* A connection's two directions go together: with its request's, an answer's waits for that. Returns connections that
 * went. Global, so that the verifier looks at it once and not for every turn of the loop. */
__noinline int forget_one(struct __sk_buff *skb, __u32 index)
{
	struct remora_stale_flow stale;

	if (bpf_skb_load_bytes(skb, index * sizeof(stale), &stale, sizeof(stale)))
		return 0;
	struct remora_flow *flow = bpf_map_lookup_elem(&flows, &stale.key);
	if (!flow || flow->seen != stale.seen)
		return 0;
	struct remora_flow_key other_key = other_direction(&stale.key, flow);
	struct remora_flow *other = bpf_map_lookup_elem(&flows, &other_key);
	bool paired = other && is_pair(other, &stale.key);
	if (paired && (flow->direction == REMORA_REVERSE || (__s32)(other->seen - stale.looked) >= 0))
		return 0;
	bpf_map_delete_elem(&flows, &stale.key);
	if (paired)
		bpf_map_delete_elem(&flows, &other_key);
	return 1;
}

#endif
