/* A connection's two entries. */
#ifndef REMORA_PAIR_H
#define REMORA_PAIR_H

#include "table.h"

/* Key of the entry that translates the other direction. */
static __always_inline struct remora_flow_key other_direction(const struct remora_flow *flow)
{
	bool forward = flow->direction == REMORA_FORWARD;

	return (struct remora_flow_key){
	    .source = forward ? flow->address : flow->key.destination,
	    .destination = forward ? flow->key.source : flow->address,
	    .source_port = flow->destination_port,
	    .destination_port = flow->source_port,
	    .network = flow->key.network,
	    .protocol = flow->key.protocol,
	};
}

/* Does `other` translate the answers to `key`, and not those to another connection's? */
static __always_inline bool is_pair(const struct remora_flow *other, const struct remora_flow_key *key)
{
	struct remora_flow_key answered = other_direction(other);

	return same_key(&answered, key);
}

/* The other direction's entry, or NULL. */
static __always_inline struct remora_flow *pair_of(const struct remora_flow *flow)
{
	struct remora_flow_key key = other_direction(flow);
	struct remora_flow *other = find_flow(&key);

	return other && is_pair(other, &flow->key) ? other : NULL;
}

#endif
