/* Carries a proxy's decision out: both directions of the flow, or neither. */
#ifndef REMORA_CARRY_H
#define REMORA_CARRY_H

#include "ending.h"
#include "maps.h"
#include "parse.h"
#include "report.h"
#include "rewrite.h"

#define PORT_TRIES 4
#define FIRST_PORT 32768 /* of the range that replaces a source port on a clash */
#define PORT_COUNT 28232

struct opening {
	struct packet packet;
	struct remora_decision *decision;
	struct remora_flow flow;   /* what the packet's direction becomes */
	struct remora_flow answer; /* and the other one */
	struct remora_flow_key answer_key;
};

/* 1 or 0. */
static __always_inline __u32 at_egress(const struct opening *opening)
{
	return opening->decision->hook & 1;
}

/* Towards the backend from this source port, and its answers back to it. */
static __always_inline void set_source_port(struct opening *opening, __be16 port)
{
	const struct remora_flow_key *key = &opening->packet.key;
	struct remora_flow *flow = &opening->flow;

	flow->flags |= REMORA_FLOW_REWRITE * nonzero(port ^ key->source_port);
	flow->source_port = port;
	flow->full_delta = fold(flow->address_delta + delta16(key->source_port, port) +
				delta16(key->destination_port, flow->destination_port));
	opening->answer.full_delta = (__u16)~flow->full_delta;
	opening->answer.flags = flow->flags & REMORA_FLOW_REWRITE;
	opening->answer_key.destination_port = port;
}

static __always_inline void set_route(struct opening *opening)
{
	const struct remora_backend *backend = &opening->decision->backend;
	struct remora_flow *flow = &opening->flow;

	flow->ifindex = backend->ifindex;
	flow->forwarding = backend->forwarding * (at_egress(opening) ^ 1); /* SWITCH is 0 */
	__builtin_memcpy(flow->mac, backend->mac, ETH_ALEN);
	/* a switch finds the guest by its MAC address; a frame to a router's is the router's business */
	flow->flags |= REMORA_FLOW_SET_MAC * (nonzero(flow->forwarding) | nonzero(opening->decision->to_vip_mac));
}

/* The other direction: what the backend answers is from the frontend again, to where the packet came from. */
static __always_inline void plan_answer(struct opening *opening)
{
	const struct remora_flow_key *key = &opening->packet.key;
	struct remora_flow *answer = &opening->answer;
	__u32 slot = opening->decision->hook / 2;
	struct remora_port *port = bpf_map_lookup_elem(&port_states, &slot);

	*answer = opening->flow;
	answer->source = key->destination;
	answer->destination = key->source;
	answer->source_port = key->destination_port;
	answer->destination_port = key->source_port;
	answer->address_delta = (__u16)~answer->address_delta;
	answer->direction = REMORA_REVERSE;
	answer->ifindex = 0;
	answer->forwarding = REMORA_FORWARD_SWITCH;
	if (port) {
		answer->ifindex = port->ifindex;
		answer->forwarding = port->forwarding * (at_egress(opening) ^ 1);
	}
	opening->answer_key = (struct remora_flow_key){
	    .source = opening->flow.destination,
	    .destination = key->source,
	    .source_port = opening->flow.destination_port,
	    .network = key->network,
	    .protocol = key->protocol,
	};
}

/* Both directions by the decision's backend. */
static __always_inline void plan(struct opening *opening)
{
	const struct remora_flow_key *key = &opening->packet.key;
	const struct remora_decision *decision = opening->decision;
	struct remora_flow *flow = &opening->flow;
	__u32 slot = decision->frontend.service;
	__u32 *generation = bpf_map_lookup_elem(&generations, &slot);

	flow->generation = generation ? *generation : 0;
	flow->service = slot;
	flow->source = key->source;
	flow->destination = decision->backend.address;
	flow->destination_port = decision->backend.port;
	flow->backend = decision->backend_index;
	flow->direction = REMORA_FORWARD;
	flow->port = decision->hook / 2 | REMORA_EGRESS_PORT * at_egress(opening);
	flow->seen = (__u32)bpf_jiffies64();
	flow->address_delta = fold(delta32(key->destination, flow->destination));
	flow->flags = REMORA_FLOW_REWRITE * nonzero((__u64)(key->destination ^ flow->destination) << 16 |
						    (key->destination_port ^ flow->destination_port));
	set_route(opening);
	plan_answer(opening);
	set_source_port(opening, decision->source_port);
}

static __always_inline long claim(const struct opening *opening)
{
	return bpf_map_update_elem(&flows, &opening->answer_key, &opening->answer, BPF_NOEXIST);
}

/* Is this claim on the backend's side our own, from an earlier packet or connection of the same client and port? */
static __always_inline bool is_own(const struct remora_flow *claim, const struct remora_flow_key *key)
{
	__u64 differs = (claim->direction ^ REMORA_REVERSE) | (claim->source ^ key->destination) |
			(claim->source_port ^ key->destination_port) | (claim->destination_port ^ key->source_port);

	return !differs;
}

/* The checksums' deltas follow the port: the claim is written whole once a port is found, before any answer can come.
 */
static __always_inline int claim_other_port(struct opening *opening)
{
	__u32 hash = flow_hash(&opening->packet.key);

	for (int i = 0; i < PORT_TRIES; i++) {
		__be16 port = bpf_htons(FIRST_PORT + (hash + i * 2741) % PORT_COUNT);
		opening->answer_key.destination_port = port;
		if (claim(opening))
			continue;
		set_source_port(opening, port);
		bpf_map_update_elem(&flows, &opening->answer_key, &opening->answer, BPF_EXIST);
		return 0;
	}
	return REMORA_DROP_PORT_CLASH;
}

/* Takes the five-tuple towards the backend, so that its answers find one flow and no other's. A connection to the VIP
 * and one to the VM's own address may ask for the same: the later one gets another source port. Returns 0 or a reason.
 */
static __always_inline int claim_answers(struct opening *opening)
{
	const struct remora_flow_key *key = &opening->packet.key;

	if (!claim(opening))
		return 0;
	struct remora_flow *other = bpf_map_lookup_elem(&flows, &opening->answer_key);
	if (!other)
		return REMORA_DROP_FLOWS_FULL;
	if (is_own(other, key)) {
		*other = opening->answer;
		return 0;
	}
	if (!opening->decision->opens)
		return REMORA_DROP_PORT_CLASH; /* a connection in its middle keeps its port */
	return claim_other_port(opening);
}

static __always_inline bool take_half_open(const struct opening *opening)
{
	__u32 slot = opening->decision->hook / 2;
	struct remora_port *port = bpf_map_lookup_elem(&port_states, &slot);

	if (!port)
		return true;
	if (port->half_open >= (__s32)port->half_open_quota)
		return false;
	__sync_fetch_and_add(&port->half_open, 1);
	return true;
}

/* Writes both directions, or neither. OPENED, or the reason of a drop. */
static __always_inline enum remora_reason open_flow(struct __sk_buff *skb, struct opening *opening)
{
	struct remora_flow_key *key = &opening->packet.key;
	struct remora_flow *flow = &opening->flow;
	bool opens = opening->decision->opens;

	if (opens && !at_egress(opening)) {
		if (!take_half_open(opening))
			return REMORA_DROP_HALF_OPEN;
	} else {
		flow->flags |= REMORA_FLOW_ESTABLISHED;
	}
	int reason = claim_answers(opening);
	if (reason)
		return reason;
	flow->flags |= opens ? 0 : REMORA_FLOW_PICKED_UP;
	flow->packets = 1;
	flow->bytes = skb->len;
	if (!bpf_map_update_elem(&flows, key, flow, BPF_ANY))
		return REMORA_OPENED;
	bpf_map_delete_elem(&flows, &opening->answer_key);
	return REMORA_DROP_FLOWS_FULL;
}

/* Decided again: same backend, today's generation, and where that backend lives now. */
static __always_inline enum remora_reason renew(struct __sk_buff *skb, struct opening *opening)
{
	struct remora_flow *flow = &opening->flow;
	struct remora_flow *known = bpf_map_lookup_elem(&flows, &opening->packet.key);

	if (!known)
		return open_flow(skb, opening); /* purged since the proxy saw it */
	known->ifindex = flow->ifindex;
	known->forwarding = flow->forwarding;
	__builtin_memcpy(known->mac, flow->mac, ETH_ALEN);
	known->generation = flow->generation;
	known->seen = flow->seen;
	known->packets++;
	known->bytes += skb->len;
	claim(opening); /* there already, but for a purge that was half done */
	__u8 ends = endings(opening->packet.tcp);
	if (ends)
		note_end(&opening->packet.key, known, ends);
	return REMORA_FORWARDED;
}

static __always_inline int carry(struct __sk_buff *skb, struct opening *opening)
{
	const struct remora_decision *decision = opening->decision;
	enum remora_reason reason = decision->reason;

	if (reason == REMORA_PASS_NOT_OURS)
		return pass(skb, decision->hook, reason);
	if (reason < REMORA_FIRST_DROP) {
		plan(opening);
		reason = reason == REMORA_OPENED ? open_flow(skb, opening) : renew(skb, opening);
	}
	if (reason >= REMORA_FIRST_DROP)
		return drop(skb, &opening->packet, decision->hook, decision->frontend.service, reason);
	count(skb, decision->hook, reason);
	if (reason == REMORA_OPENED)
		report_flow(skb, &opening->packet, decision->hook, REMORA_EVENT_FLOW_OPENED, reason, &opening->flow);
	count_service(skb, &opening->flow, reason == REMORA_OPENED);
	return forward(skb, &opening->packet, &opening->flow, decision->hook);
}

#endif
