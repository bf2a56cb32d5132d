/* Carries a proxy's decision out: both directions of the flow, or neither. */
#ifndef REMORA_CARRY_H
#define REMORA_CARRY_H

#include "ending.h"
#include "handshake.h"
#include "maps.h"
#include "pair.h"
#include "parse.h"
#include "report.h"
#include "rewrite.h"
#include "table.h"

#define PORT_TRIES 4
#define FIRST_PORT 32768 /* of the range that replaces a source port on a clash */
#define PORT_COUNT 28232

struct opening {
	struct packet packet;
	struct remora_decision *decision;
	struct remora_flow flow;   /* what the packet's direction becomes */
	struct remora_flow answer; /* and the other one: the claim on the backend's side */
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
	opening->answer.flags =
	    (flow->flags & REMORA_FLOW_REWRITE) | REMORA_FLOW_ESTABLISHED * nonzero(opening->decision->opens);
	opening->answer.key.destination_port = port;
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
	answer->key.source = opening->flow.address;
	answer->key.destination = key->source;
	answer->key.source_port = opening->flow.destination_port;
	answer->address = key->destination;
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
}

/* Both directions by the decision's backend. */
static __always_inline void plan(struct opening *opening)
{
	const struct remora_flow_key *key = &opening->packet.key;
	const struct remora_decision *decision = opening->decision;
	struct remora_flow *flow = &opening->flow;

	flow->key = *key;
	flow->generation = decision->generation;
	flow->service = decision->frontend.service;
	flow->address = decision->backend.address;
	flow->destination_port = decision->backend.port;
	flow->backend = decision->backend_index;
	flow->direction = REMORA_FORWARD;
	flow->port = decision->hook / 2 | REMORA_EGRESS_PORT * at_egress(opening);
	flow->seen = (__u32)bpf_jiffies64();
	flow->address_delta = fold(delta32(key->destination, flow->address));
	flow->flags = REMORA_FLOW_REWRITE * nonzero((__u64)(key->destination ^ flow->address) << 16 |
						    (key->destination_port ^ flow->destination_port));
	set_route(opening);
	plan_answer(opening);
	set_source_port(opening, decision->source_port);
}

static __always_inline int put_claim(__u32 number, const struct opening *opening)
{
	return put_flow(number, &opening->answer) ? 0 : REMORA_DROP_FLOWS_FULL;
}

static __always_inline int claim_other_port(struct opening *opening)
{
	__u32 hash = flow_hash(&opening->packet.key);

	for (int i = 0; i < PORT_TRIES; i++) {
		__be16 port = bpf_htons(FIRST_PORT + (hash + i * 2741) % PORT_COUNT);
		opening->answer.key.destination_port = port;
		if (find_flow(&opening->answer.key))
			continue;
		set_source_port(opening, port);
		return put_claim(NO_SLOT, opening);
	}
	return REMORA_DROP_PORT_CLASH;
}

/* Takes the five-tuple towards the backend, so that its answers find one flow and no other's. A connection to the VIP
 * and one to the VM's own address may ask for the same: the later one gets another source port. Returns 0 or a reason.
 */
static __always_inline int claim_answers(struct opening *opening)
{
	bool opens = opening->decision->opens;
	__u32 number = find_number(&opening->answer.key);
	struct remora_flow *other = entry_at(number);

	if (other && other->direction == REMORA_REVERSE && is_pair(other, &opening->packet.key))
		return put_claim(number, opening); /* our own, of an earlier packet or connection */
	if (!other && (!opens || !lingers(&opening->answer)))
		return put_claim(NO_SLOT, opening);
	if (!opens)
		return REMORA_DROP_PORT_CLASH; /* a connection in its middle keeps its port */
	int reason = claim_other_port(opening);
	if (reason != REMORA_DROP_PORT_CLASH || other)
		return reason;
	set_source_port(opening, opening->decision->source_port); /* better TIME_WAIT than nothing */
	return put_claim(NO_SLOT, opening);
}

/* Both directions, or neither. */
static __always_inline enum remora_reason write_flows(struct __sk_buff *skb, struct opening *opening)
{
	int reason = claim_answers(opening);

	if (reason)
		return reason;
	count_flow(skb, &opening->flow);
	if (put_flow(opening->decision->known.number, &opening->flow))
		return REMORA_OPENED;
	remove_flow(&opening->answer.key);
	return REMORA_DROP_FLOWS_FULL;
}

/* The packet's own entry, if it has one: a flow of a source port that is used again. */
static __always_inline void retire(const struct opening *opening)
{
	struct remora_flow *old = entry_at(opening->decision->known.number);

	if (old && old->direction == REMORA_FORWARD && same_key(&old->key, &opening->flow.key))
		establish(old);
}

/* OPENED, or the reason of a drop. Where there is no room, FORWARDED for a connection in its middle that needs none: it
 * is decided packet by packet until there is. At egress it has found none at ingress, or came in where none is needed.
 */
static __always_inline enum remora_reason open_flow(struct __sk_buff *skb, struct opening *opening)
{
	struct remora_flow *flow = &opening->flow;
	bool needs = opening->decision->opens || flow->flags & REMORA_FLOW_REWRITE;

	retire(opening);
	if ((at_egress(opening) && !needs) || !enter_half_open(flow))
		return needs ? REMORA_DROP_HALF_OPEN : REMORA_FORWARDED;
	enum remora_reason reason = write_flows(skb, opening);
	if (reason == REMORA_OPENED)
		return reason;
	leave_half_open(flow);
	return needs || reason != REMORA_DROP_FLOWS_FULL ? reason : REMORA_FORWARDED;
}

/* The answers go where today's request came from. */
static __always_inline void renew_answer(const struct opening *opening)
{
	const struct remora_flow *answer = &opening->answer;
	struct remora_flow *known = find_flow(&answer->key);

	if (!known) {
		add_flow(answer); /* a purge was half done */
	} else if (is_pair(known, &opening->packet.key)) {
		known->ifindex = answer->ifindex;
		known->forwarding = answer->forwarding;
	}
}

/* Decided again: same backend, today's generation, and where that backend lives now. */
static __always_inline enum remora_reason renew(struct __sk_buff *skb, struct opening *opening)
{
	const struct remora_flow *flow = &opening->flow;
	struct slot slot = slot_at(opening->decision->known.number);
	struct remora_flow *known = slot.entry;
	bool live = is_live(&slot);

	if (!known || !same_key(&known->key, &flow->key))
		return open_flow(skb, opening); /* purged since the proxy saw it */
	if (!live)
		return REMORA_FORWARDED; /* late, and its entry may become another's at any time */
	known->ifindex = flow->ifindex;
	known->forwarding = flow->forwarding;
	__builtin_memcpy(known->mac, flow->mac, ETH_ALEN);
	clear_flags(known, REMORA_FLOW_SET_MAC & ~flow->flags);
	add_flags(known, flow->flags & REMORA_FLOW_SET_MAC);
	known->backend = flow->backend;
	known->generation = flow->generation;
	known->seen = flow->seen;
	count_flow(skb, known);
	renew_answer(opening);
	if (!opening->decision->opens && !(known->flags & REMORA_FLOW_ESTABLISHED))
		note_handshake(known);
	__u8 ends = endings(opening->packet.tcp);
	if (ends)
		note_end(known, ends, behind_fin(&opening->packet));
	return REMORA_FORWARDED;
}

/* The end of a connection that nobody knows any more, or never did, on its way to the VM's own address: it may pass,
 * and is no reason to keep an entry. */
static __always_inline bool is_late(const struct opening *opening)
{
	return !opening->decision->opens && endings(opening->packet.tcp);
}

static __always_inline int carry(struct __sk_buff *skb, struct opening *opening)
{
	const struct remora_decision *decision = opening->decision;
	enum remora_reason reason = decision->reason;

	if (reason == REMORA_PASS_NOT_OURS)
		return pass(skb, decision->hook, reason);
	if (reason < REMORA_FIRST_DROP) {
		plan(opening);
		if (reason != REMORA_OPENED)
			reason = renew(skb, opening);
		else if (is_late(opening))
			reason = REMORA_FORWARDED;
		else
			reason = open_flow(skb, opening);
	}
	if (reason >= REMORA_FIRST_DROP)
		return drop(skb, &opening->packet, decision->hook, decision->frontend.service, reason);
	count(skb, decision->hook, reason);
	if (reason == REMORA_OPENED) {
		count_connection(opening->flow.service);
		report_flow(skb, &opening->packet, decision->hook, REMORA_EVENT_FLOW_OPENED, reason, &opening->flow);
	}
	return forward(skb, &opening->packet, &opening->flow, decision->hook);
}

#endif
