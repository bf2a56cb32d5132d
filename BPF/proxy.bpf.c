/* The proxy program: one load for each VM service (or for all services of one VM). Decides on the first packet of a
 * connection, and again when the service's generation moved: policy, backend, both directions of the flow. */
#include "lib/balance.h"
#include "lib/kernel.h"
#include "lib/maps.h"
#include "lib/parse.h"
#include "lib/policy.h"
#include "lib/report.h"
#include "lib/rewrite.h"

#define PORT_TRIES 8
#define FIRST_PORT 32768 /* of the range that replaces a source port on a clash */
#define PORT_COUNT 28232

const volatile struct remora_proxy_config proxy_config;

struct decision {
	struct packet packet;
	struct remora_frontend frontend;
	struct remora_backend backend;
	__u16 backend_index;
	__u32 generation;
	__u32 hook;
	__be16 source_port; /* towards the backend */
};

static __always_inline bool at_egress(const struct decision *decision)
{
	return decision->hook & 1;
}

static __always_inline int refuse(struct __sk_buff *skb, struct decision *decision, enum remora_reason reason)
{
	return drop(skb, &decision->packet, decision->hook, decision->frontend.service, reason);
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

static __always_inline struct remora_flow forward_flow(const struct decision *decision)
{
	const struct remora_flow_key *key = &decision->packet.key;
	const struct remora_backend *backend = &decision->backend;
	struct remora_flow flow = {
		.generation = decision->generation,
		.service = decision->frontend.service,
		.source = key->source,
		.destination = backend->address,
		.source_port = decision->source_port,
		.destination_port = backend->port,
		.backend = decision->backend_index,
		.ifindex = backend->ifindex,
		.forwarding = at_egress(decision) ? REMORA_FORWARD_SWITCH : backend->forwarding,
		.direction = REMORA_FORWARD,
		.port = at_egress(decision) ? REMORA_EGRESS_PORT : decision->hook / 2,
		.seen = (__u32)bpf_jiffies64(),
	};
	const __u16 *sent_to = (const void *)decision->packet.eth->h_dest;
	const volatile __u16 *vip = (const volatile void *)proxy_config.vip_mac;

	flow.address_delta = delta32(key->destination, backend->address);
	flow.full_delta = fold((__u32)flow.address_delta + delta16(key->source_port, flow.source_port) +
			       delta16(key->destination_port, backend->port));
	if (key->destination != backend->address || key->destination_port != backend->port ||
	    key->source_port != flow.source_port)
		flow.flags |= REMORA_FLOW_REWRITE;
	/* a switch finds the guest by its MAC address; a frame to a router's is the router's business */
	if (flow.forwarding != REMORA_FORWARD_SWITCH ||
	    (sent_to[0] == vip[0] && sent_to[1] == vip[1] && sent_to[2] == vip[2]))
		flow.flags |= REMORA_FLOW_SET_MAC;
	__builtin_memcpy(flow.mac, backend->mac, ETH_ALEN);
	return flow;
}

static __always_inline struct remora_flow reverse_flow(const struct decision *decision, const struct remora_flow *to)
{
	const struct remora_flow_key *key = &decision->packet.key;
	__u32 slot = decision->hook / 2;
	struct remora_port *port = bpf_map_lookup_elem(&port_states, &slot);
	struct remora_flow flow = *to;

	flow.source = key->destination;
	flow.destination = key->source;
	flow.source_port = key->destination_port;
	flow.destination_port = key->source_port;
	flow.address_delta = (__u16)~to->address_delta;
	flow.full_delta = (__u16)~to->full_delta;
	flow.direction = REMORA_REVERSE;
	flow.flags = to->flags & REMORA_FLOW_REWRITE;
	flow.ifindex = port ? port->ifindex : 0;
	flow.forwarding = port && !at_egress(decision) ? port->forwarding : REMORA_FORWARD_SWITCH;
	return flow;
}

static __always_inline struct remora_flow_key reverse_key(const struct decision *decision)
{
	const struct remora_flow_key *key = &decision->packet.key;

	return (struct remora_flow_key){
		.source = decision->backend.address,
		.destination = key->source,
		.source_port = decision->backend.port,
		.destination_port = decision->source_port,
		.network = key->network,
		.protocol = key->protocol,
	};
}

/* Is this claim on the backend's side our own, from an earlier packet or connection of the same client and port? */
static __always_inline bool same_translation(const struct remora_flow *claim, const struct remora_flow_key *key)
{
	return claim->direction == REMORA_REVERSE && claim->source == key->destination &&
	       claim->source_port == key->destination_port && claim->destination_port == key->source_port;
}

/* Takes the five-tuple towards the backend, so that its answers find one flow and no other's. A connection to the VIP
 * and one to the VM's own address may ask for the same: the later one gets another source port. Returns 0 or a reason. */
static __always_inline int claim_reverse(struct decision *decision)
{
	const struct remora_flow_key *key = &decision->packet.key;
	__u32 hash = flow_hash(key);

	for (int i = 0; i < PORT_TRIES; i++) {
		decision->source_port = i ? bpf_htons(FIRST_PORT + (hash + i * 2741) % PORT_COUNT) : key->source_port;
		struct remora_flow_key reverse = reverse_key(decision);
		struct remora_flow to = forward_flow(decision);
		struct remora_flow flow = reverse_flow(decision, &to);
		long error = bpf_map_update_elem(&flows, &reverse, &flow, BPF_NOEXIST);
		if (!error)
			return 0;
		struct remora_flow *claim = bpf_map_lookup_elem(&flows, &reverse);
		if (!claim)
			return REMORA_DROP_FLOWS_FULL;
		if (same_translation(claim, key)) {
			*claim = flow;
			return 0;
		}
		if (!opens(decision->packet.tcp))
			break; /* a connection in its middle keeps its port */
	}
	return REMORA_DROP_PORT_CLASH;
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

/* Writes both directions, or neither. */
static __always_inline int open_flow(struct __sk_buff *skb, struct decision *decision)
{
	struct remora_flow_key *key = &decision->packet.key;
	bool counted = opens(decision->packet.tcp) && !at_egress(decision);

	if (counted && !take_half_open(decision))
		return refuse(skb, decision, REMORA_DROP_HALF_OPEN);
	int reason = claim_reverse(decision);
	if (reason)
		return refuse(skb, decision, reason);
	struct remora_flow flow = forward_flow(decision);
	flow.flags |= counted ? 0 : REMORA_FLOW_ESTABLISHED;
	flow.flags |= opens(decision->packet.tcp) ? 0 : REMORA_FLOW_PICKED_UP;
	flow.packets = 1;
	flow.bytes = skb->len;
	if (bpf_map_update_elem(&flows, key, &flow, BPF_ANY)) {
		struct remora_flow_key reverse = reverse_key(decision);
		bpf_map_delete_elem(&flows, &reverse);
		return refuse(skb, decision, REMORA_DROP_FLOWS_FULL);
	}
	report_flow(skb, &decision->packet, decision->hook, REMORA_EVENT_FLOW_OPENED, REMORA_OPENED, &flow);
	count_service(skb, &flow, true);
	count(skb, decision->hook, REMORA_OPENED);
	return forward(skb, &decision->packet, &flow);
}

/* May this known flow go on with the backend it has? */
static __always_inline bool may_continue(const struct decision *decision, const struct remora_flow *flow,
					 const struct remora_backend *backend)
{
	if (flow->service != decision->frontend.service || backend->address != flow->destination ||
	    backend->port != flow->destination_port)
		return false;
	if (opens(decision->packet.tcp))
		return backend->state == REMORA_BACKEND_LIVE && !(flow->flags & (REMORA_FLOW_FIN | REMORA_FLOW_RESET));
	return backend->state != REMORA_BACKEND_FREE;
}

/* Decided again: same backend, today's generation, and where that backend lives now. */
static __always_inline int continue_flow(struct __sk_buff *skb, struct decision *decision, struct remora_flow *flow)
{
	struct remora_flow_key *key = &decision->packet.key;

	decision->source_port = flow->source_port;
	struct remora_flow renewed = forward_flow(decision);
	flow->ifindex = renewed.ifindex;
	flow->forwarding = renewed.forwarding;
	__builtin_memcpy(flow->mac, renewed.mac, ETH_ALEN);
	flow->generation = renewed.generation;
	flow->seen = renewed.seen;
	flow->packets++;
	flow->bytes += skb->len;
	struct remora_flow_key reverse = reverse_key(decision);
	struct remora_flow *claim = bpf_map_lookup_elem(&flows, &reverse);
	if (!claim) {
		struct remora_flow answer = reverse_flow(decision, &renewed);
		if (bpf_map_update_elem(&flows, &reverse, &answer, BPF_NOEXIST)) {
			bpf_map_delete_elem(&flows, key);
			return refuse(skb, decision, REMORA_DROP_FLOWS_FULL);
		}
	}
	count_service(skb, flow, false);
	count(skb, decision->hook, REMORA_FORWARDED);
	return forward(skb, &decision->packet, flow);
}

/* The backend of a new flow into decision; 0 or a reason. */
static __always_inline int pick_backend(struct decision *decision)
{
	bool opening = opens(decision->packet.tcp);
	int index = decision->frontend.backend;

	if (index == REMORA_ANY_BACKEND) {
		if (!opening)
			return REMORA_DROP_NO_FLOW;
		index = choose_backend(&decision->packet.key, decision->frontend.index);
		if (index < 0)
			return -index;
	}
	struct remora_backend *backend = backend_at(index);
	if (!backend || backend->state == REMORA_BACKEND_FREE)
		return REMORA_DROP_NO_BACKEND;
	if (backend->state == REMORA_BACKEND_DRAINING && opening)
		return REMORA_DROP_DRAINING;
	decision->backend = *backend;
	decision->backend_index = index;
	return 0;
}

static __always_inline int decide(struct __sk_buff *skb, struct decision *decision)
{
	struct remora_flow_key *key = &decision->packet.key;

	if (proxy_config.has_policy && denied(key, decision->frontend.index))
		return refuse(skb, decision, REMORA_DROP_POLICY);
	struct remora_flow *flow = bpf_map_lookup_elem(&flows, key);
	if (flow && flow->direction == REMORA_FORWARD) {
		struct remora_backend *backend = backend_at(flow->backend);
		if (backend && may_continue(decision, flow, backend)) {
			decision->backend = *backend;
			decision->backend_index = flow->backend;
			return continue_flow(skb, decision, flow);
		}
	}
	int reason = pick_backend(decision);
	if (reason)
		return refuse(skb, decision, reason);
	if (decision->backend.state == REMORA_BACKEND_GUARDED)
		return pass(skb, decision->hook, REMORA_PASS_NOT_OURS);
	return open_flow(skb, decision);
}

SEC("tc")
int proxy(struct __sk_buff *skb)
{
	struct decision decision = {.hook = skb->cb[1]};

	if (parse(skb, &decision.packet) != PARSED_TCP)
		return pass(skb, decision.hook, REMORA_PASS_UNPARSED);
	decision.packet.key.network = skb->cb[2];
	struct remora_frontend *frontend = find_frontend(&decision.packet.key);
	if (!frontend) /* went away between two look-ups */
		return refuse(skb, &decision, REMORA_DROP_NO_BACKEND);
	decision.frontend = *frontend;
	__u32 slot = frontend->service;
	__u32 *generation = bpf_map_lookup_elem(&generations, &slot);
	decision.generation = generation ? *generation : 0;
	return decide(skb, &decision);
}

char _license[] SEC("license") = "GPL";
