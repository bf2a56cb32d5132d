/* The proxy program: one load for each VM service (or for all services of one VM). Decides on the first packet of a
 * connection, and again when the service's generation moved: policy, backend, both directions of the flow.
 * Loading costs by the verified instruction: each step has one place, and reasons meet in one exit. */
#include "lib/balance.h"
#include "lib/ending.h"
#include "lib/kernel.h"
#include "lib/maps.h"
#include "lib/parse.h"
#include "lib/policy.h"
#include "lib/report.h"
#include "lib/rewrite.h"

#define PORT_TRIES 4
#define FIRST_PORT 32768 /* of the range that replaces a source port on a clash */
#define PORT_COUNT 28232

const volatile struct remora_proxy_config proxy_config;

struct decision {
	struct packet packet;
	struct remora_frontend frontend;
	struct remora_backend *backend;
	__u32 backend_index;
	__u32 hook;
	struct remora_flow flow;   /* what the packet's direction becomes */
	struct remora_flow answer; /* and the other one */
	struct remora_flow_key answer_key;
};

/* 1 or 0. */
static __always_inline __u32 at_egress(const struct decision *decision)
{
	return decision->hook & 1;
}

static __always_inline struct remora_frontend *find_frontend(const struct remora_flow_key *key)
{
	struct remora_frontend_key destination = {
	    .address = key->destination,
	    .port = key->destination_port,
	    .network = key->network,
	    .protocol = key->protocol,
	};

	return bpf_map_lookup_elem(&frontends, &destination);
}

/* Towards the backend from this source port, and its answers back to it. */
static __always_inline void set_source_port(struct decision *decision, __be16 port)
{
	const struct remora_flow_key *key = &decision->packet.key;
	struct remora_flow *flow = &decision->flow;

	flow->flags |= REMORA_FLOW_REWRITE * nonzero(port ^ key->source_port);
	flow->source_port = port;
	flow->full_delta = fold(flow->address_delta + delta16(key->source_port, port) +
				delta16(key->destination_port, flow->destination_port));
	decision->answer.full_delta = (__u16)~flow->full_delta;
	decision->answer.flags = flow->flags & REMORA_FLOW_REWRITE;
	decision->answer_key.destination_port = port;
}

static __always_inline void set_route(struct decision *decision)
{
	const struct remora_backend *backend = decision->backend;
	struct remora_flow *flow = &decision->flow;
	const __u16 *sent_to = (const void *)decision->packet.eth->h_dest;
	const volatile __u16 *vip = (const volatile void *)proxy_config.vip_mac;

	flow->ifindex = backend->ifindex;
	flow->forwarding = backend->forwarding * (at_egress(decision) ^ 1); /* SWITCH is 0 */
	__builtin_memcpy(flow->mac, backend->mac, ETH_ALEN);
	/* a switch finds the guest by its MAC address; a frame to a router's is the router's business */
	__u64 elsewhere = nonzero((sent_to[0] ^ vip[0]) | (sent_to[1] ^ vip[1]) | (sent_to[2] ^ vip[2]));
	flow->flags |= REMORA_FLOW_SET_MAC * (nonzero(flow->forwarding) | (elsewhere ^ 1));
}

/* The other direction: what the backend answers is from the frontend again, to where the packet came from. */
static __always_inline void plan_answer(struct decision *decision)
{
	const struct remora_flow_key *key = &decision->packet.key;
	struct remora_flow *answer = &decision->answer;
	__u32 slot = decision->hook / 2;
	struct remora_port *port = bpf_map_lookup_elem(&port_states, &slot);

	*answer = decision->flow;
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
		answer->forwarding = port->forwarding * (at_egress(decision) ^ 1);
	}
	decision->answer_key = (struct remora_flow_key){
	    .source = decision->flow.destination,
	    .destination = key->source,
	    .source_port = decision->flow.destination_port,
	    .network = key->network,
	    .protocol = key->protocol,
	};
}

/* Both directions by the decision's backend. */
static __always_inline void plan(struct decision *decision, __be16 source_port)
{
	const struct remora_flow_key *key = &decision->packet.key;
	struct remora_flow *flow = &decision->flow;
	__u32 slot = decision->frontend.service;
	__u32 *generation = bpf_map_lookup_elem(&generations, &slot);

	flow->generation = generation ? *generation : 0;
	flow->service = slot;
	flow->source = key->source;
	flow->destination = decision->backend->address;
	flow->destination_port = decision->backend->port;
	flow->backend = decision->backend_index;
	flow->direction = REMORA_FORWARD;
	flow->port = decision->hook / 2 | REMORA_EGRESS_PORT * at_egress(decision);
	flow->seen = (__u32)bpf_jiffies64();
	flow->address_delta = fold(delta32(key->destination, flow->destination));
	flow->flags = REMORA_FLOW_REWRITE * nonzero((__u64)(key->destination ^ flow->destination) << 16 |
						    (key->destination_port ^ flow->destination_port));
	set_route(decision);
	plan_answer(decision);
	set_source_port(decision, source_port);
}

static __always_inline long claim(const struct decision *decision)
{
	return bpf_map_update_elem(&flows, &decision->answer_key, &decision->answer, BPF_NOEXIST);
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
static __always_inline int claim_other_port(struct decision *decision)
{
	__u32 hash = flow_hash(&decision->packet.key);

	for (int i = 0; i < PORT_TRIES; i++) {
		__be16 port = bpf_htons(FIRST_PORT + (hash + i * 2741) % PORT_COUNT);
		decision->answer_key.destination_port = port;
		if (claim(decision))
			continue;
		set_source_port(decision, port);
		bpf_map_update_elem(&flows, &decision->answer_key, &decision->answer, BPF_EXIST);
		return 0;
	}
	return REMORA_DROP_PORT_CLASH;
}

/* Takes the five-tuple towards the backend, so that its answers find one flow and no other's. A connection to the VIP
 * and one to the VM's own address may ask for the same: the later one gets another source port. Returns 0 or a reason.
 */
static __always_inline int claim_answers(struct decision *decision)
{
	const struct remora_flow_key *key = &decision->packet.key;

	if (!claim(decision))
		return 0;
	struct remora_flow *other = bpf_map_lookup_elem(&flows, &decision->answer_key);
	if (!other)
		return REMORA_DROP_FLOWS_FULL;
	if (is_own(other, key)) {
		*other = decision->answer;
		return 0;
	}
	if (!opens(decision->packet.tcp))
		return REMORA_DROP_PORT_CLASH; /* a connection in its middle keeps its port */
	return claim_other_port(decision);
}

static __always_inline bool take_half_open(const struct decision *decision)
{
	__u32 slot = decision->hook / 2;
	struct remora_port *port = bpf_map_lookup_elem(&port_states, &slot);

	if (!port)
		return true;
	if (port->half_open >= (__s32)port->half_open_quota)
		return false;
	__sync_fetch_and_add(&port->half_open, 1);
	return true;
}

/* Writes both directions, or neither. Returns 0 or a reason. */
static __always_inline int open_flow(struct __sk_buff *skb, struct decision *decision)
{
	struct remora_flow_key *key = &decision->packet.key;
	struct remora_flow *flow = &decision->flow;
	bool opening = opens(decision->packet.tcp);

	if (opening && !at_egress(decision)) {
		if (!take_half_open(decision))
			return REMORA_DROP_HALF_OPEN;
	} else {
		flow->flags |= REMORA_FLOW_ESTABLISHED;
	}
	int reason = claim_answers(decision);
	if (reason)
		return reason;
	flow->flags |= opening ? 0 : REMORA_FLOW_PICKED_UP;
	flow->packets = 1;
	flow->bytes = skb->len;
	if (!bpf_map_update_elem(&flows, key, flow, BPF_ANY))
		return 0;
	bpf_map_delete_elem(&flows, &decision->answer_key);
	return REMORA_DROP_FLOWS_FULL;
}

/* Decided again: same backend, today's generation, and where that backend lives now. */
static __always_inline void renew(struct __sk_buff *skb, struct decision *decision, struct remora_flow *known)
{
	struct remora_flow *flow = &decision->flow;

	known->ifindex = flow->ifindex;
	known->forwarding = flow->forwarding;
	__builtin_memcpy(known->mac, flow->mac, ETH_ALEN);
	known->generation = flow->generation;
	known->seen = flow->seen;
	known->packets++;
	known->bytes += skb->len;
	claim(decision); /* there already, but for a purge that was half done */
	__u8 ends = endings(decision->packet.tcp);
	if (ends)
		note_end(&decision->packet.key, known, ends);
}

/* May this known flow go on with the backend it has? */
static __always_inline bool may_continue(const struct decision *decision, const struct remora_flow *flow,
					 const struct remora_backend *backend)
{
	__u64 differs = (flow->service ^ decision->frontend.service) | (backend->address ^ flow->destination) |
			(backend->port ^ flow->destination_port);

	if (differs)
		return false;
	if (opens(decision->packet.tcp))
		return backend->state == REMORA_BACKEND_LIVE && !(flow->flags & REMORA_FLOW_ENDING);
	return backend->state != REMORA_BACKEND_FREE;
}

/* The index of the backend of a new flow to the VIP. On failure, the reason as a negative number. */
static __always_inline int choose_backend(const struct decision *decision)
{
	const struct remora_flow_key *key = &decision->packet.key;
	__u32 service = decision->frontend.index;
	struct remora_maglev *table = bpf_map_lookup_elem(&maglev, &service);

	if (!table)
		return -REMORA_DROP_NO_BACKEND;
	__u32 hash = flow_hash(key);
	__u32 index = balanced(table, hash);
	struct remora_backend *backend = backend_at(index);
	if (!backend)
		return -REMORA_DROP_NO_BACKEND;
	if (backend->address != key->source)
		return index;
	index = another(table, hash, index);
	return index == REMORA_ANY_BACKEND ? -REMORA_DROP_HAIRPIN : index;
}

/* The backend of a new flow into decision; 0 or a reason. */
static __always_inline int pick_backend(struct decision *decision)
{
	bool opening = opens(decision->packet.tcp);
	int index = decision->frontend.backend;

	if (index == REMORA_ANY_BACKEND) {
		if (!opening)
			return REMORA_DROP_NO_FLOW;
		index = choose_backend(decision);
		if (index < 0)
			return -index;
	}
	struct remora_backend *backend = backend_at(index);
	if (!backend || backend->state == REMORA_BACKEND_FREE)
		return REMORA_DROP_NO_BACKEND;
	if (backend->state == REMORA_BACKEND_DRAINING && opening)
		return REMORA_DROP_DRAINING;
	decision->backend = backend;
	decision->backend_index = index;
	return 0;
}

/* FORWARDED for a known flow, OPENED for a new one, PASS_NOT_OURS, or the reason of a drop. */
static __always_inline enum remora_reason decide(struct __sk_buff *skb, struct decision *decision)
{
	struct remora_flow_key *key = &decision->packet.key;
	__be16 source_port = key->source_port;
	struct remora_flow *known = bpf_map_lookup_elem(&flows, key);
	bool continues = false;

	if (proxy_config.has_policy && denied(key, decision->frontend.index))
		return REMORA_DROP_POLICY;
	if (known && known->direction == REMORA_FORWARD) {
		decision->backend_index = known->backend;
		decision->backend = backend_at(decision->backend_index);
		continues = decision->backend && may_continue(decision, known, decision->backend);
		source_port = known->source_port; /* of its last connection: that claim is its own */
	}
	if (!continues) {
		int reason = pick_backend(decision);
		if (reason)
			return reason;
	}
	if (!decision->backend || decision->backend->state == REMORA_BACKEND_GUARDED)
		return REMORA_PASS_NOT_OURS;
	plan(decision, source_port);
	if (continues) {
		renew(skb, decision, known);
		return REMORA_FORWARDED;
	}
	int reason = open_flow(skb, decision);
	return reason ? reason : REMORA_OPENED;
}

SEC("tc")
int proxy(struct __sk_buff *skb)
{
	struct decision decision = {.hook = skb->cb[1]};
	enum remora_reason reason = REMORA_DROP_NO_BACKEND; /* its frontend went away between two look-ups */

	if (parse_again(skb, &decision.packet, skb->cb[3]) != PARSED_TCP)
		return pass(skb, decision.hook, REMORA_PASS_UNPARSED);
	decision.packet.key.network = skb->cb[2];
	struct remora_frontend *frontend = find_frontend(&decision.packet.key);
	if (frontend) {
		decision.frontend = *frontend;
		reason = decide(skb, &decision);
	}
	if (reason >= REMORA_FIRST_DROP)
		return drop(skb, &decision.packet, decision.hook, decision.frontend.service, reason);
	count(skb, decision.hook, reason);
	if (reason == REMORA_PASS_NOT_OURS)
		return TCX_NEXT;
	if (reason == REMORA_OPENED)
		report_flow(skb, &decision.packet, decision.hook, REMORA_EVENT_FLOW_OPENED, reason, &decision.flow);
	count_service(skb, &decision.flow, reason == REMORA_OPENED);
	return forward(skb, &decision.packet, &decision.flow);
}

char _license[] SEC("license") = "GPL";
