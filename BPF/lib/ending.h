/* How connections end: a FIN marks its own direction and tells the other, a reset marks both. */
#ifndef REMORA_ENDING_H
#define REMORA_ENDING_H

#include "maps.h"
#include "parse.h"

/* The flags that this segment sets in its own direction's entry. */
static __always_inline __u8 endings(const struct tcphdr *tcp)
{
	return REMORA_FLOW_FIN * tcp->fin | REMORA_FLOW_RESET * tcp->rst;
}

/* Key of the entry that translates the other direction. */
static __always_inline struct remora_flow_key other_direction(const struct remora_flow_key *key,
							      const struct remora_flow *flow)
{
	return (struct remora_flow_key){
	    .source = flow->destination,
	    .destination = flow->source,
	    .source_port = flow->destination_port,
	    .destination_port = flow->source_port,
	    .network = key->network,
	    .protocol = key->protocol,
	};
}

/* A client's FIN is not told to the answers' entry: ageing goes by the request's, and takes that along. */
static __always_inline void note_end(const struct remora_flow_key *key, struct remora_flow *flow, __u8 ends)
{
	flow->flags |= ends;
	if (flow->direction == REMORA_FORWARD && !(ends & REMORA_FLOW_RESET))
		return;
	struct remora_flow_key other_key = other_direction(key, flow);
	struct remora_flow *other = bpf_map_lookup_elem(&flows, &other_key);

	if (other)
		other->flags |= ends & REMORA_FLOW_RESET ? REMORA_FLOW_RESET : REMORA_FLOW_OTHER_FIN;
}

#endif
