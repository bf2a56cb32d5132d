/* The port program: on every port, ingress and egress. Parses, copies registry traffic, forwards established flows,
 * and hands first packets to the proxy of the service they are for. */
#include "lib/arp.h"
#include "lib/carry.h"
#include "lib/ending.h"
#include "lib/forget.h"
#include "lib/handshake.h"
#include "lib/kernel.h"
#include "lib/maps.h"
#include "lib/mark.h"
#include "lib/parse.h"
#include "lib/probe.h"
#include "lib/report.h"
#include "lib/rewrite.h"
#include "lib/sniff.h"
#include "lib/table.h"

const volatile struct remora_port_config port_config;

/* Sets the packet's network; false where its VLAN belongs to none. */
static __always_inline bool find_network(struct packet *packet)
{
	packet->key.network = port_config.network;
	if (!packet->vlan)
		return true;
	for (int i = 0; i < REMORA_MAX_VLANS && i < port_config.vlan_count; i++) {
		if (port_config.vlan_ids[i] == packet->vlan) {
			packet->key.network = port_config.vlan_networks[i];
			return true;
		}
	}
	return false;
}

static __always_inline bool is_mesh_address(__be32 address, __u16 network)
{
	struct remora_address key = {.address = address, .network = network};

	return bpf_map_lookup_elem(&neighbours, &key) || bpf_map_lookup_elem(&vips, &key);
}

/* Keeps the flow's state; tells of its end once. */
static __always_inline void track(struct __sk_buff *skb, struct packet *packet, struct remora_flow *flow, __u32 hook)
{
	const struct tcphdr *tcp = packet->tcp;

	flow->seen = (__u32)bpf_jiffies64();
	count_flow(skb, flow);
	if (!(flow->flags & REMORA_FLOW_ESTABLISHED))
		note_handshake(flow);
	__u8 ends = endings(tcp);
	if (!ends)
		return;
	/* told once: by the client's last word, or by a reset from either side */
	if ((flow->direction == REMORA_FORWARD || tcp->rst) && !(flow->flags & (REMORA_FLOW_FIN | REMORA_FLOW_RESET)))
		report_flow(skb, packet, hook, REMORA_EVENT_FLOW_CLOSED, REMORA_FORWARDED, flow);
	note_end(flow, ends, behind_fin(packet));
}

/* May the flow be followed without asking its proxy again? As long as nothing changes on the node its service's own
 * generation, a cache line more, is not looked at. */
static __always_inline bool is_current(const struct slot *found)
{
	struct remora_flow *flow = found->entry;
	const struct remora_node *node = the_node();
	__u32 slot = flow->service;

	if (!node)
		return false;
	__u32 now = node->generation;
	/* replies go on under an old decision: the request's own direction is what is decided again */
	if (flow->direction == REMORA_REVERSE || flow->generation == now)
		return true;
	/* a full barrier: the agent writes the service's number first, and the node's after that */
	if (__sync_fetch_and_add(&flow->generation, 0) == now)
		return true;
	__u32 *changed = bpf_map_lookup_elem(&generations, &slot);
	if (!changed || (__s32)(*changed - flow->generation) > 0)
		return false;
	if (is_live(found))
		flow->generation = now;
	return true;
}

static __always_inline int established(struct __sk_buff *skb, struct packet *packet, const struct slot *slot,
				       __u32 hook)
{
	struct remora_flow *flow = slot->entry;

	track(skb, packet, flow, hook);
	count(skb, hook, REMORA_FORWARDED);
	bool last = may_be_last(packet->tcp, flow);
	int verdict = forward(skb, packet, flow, hook);
	if (last)
		close_flow(&packet->key, slot->number);
	return verdict;
}

static __always_inline bool is_to_vip_mac(const struct packet *packet)
{
	const __u16 *sent_to = (const void *)packet->eth->h_dest;
	const volatile __u16 *vip = (const volatile void *)port_config.vip_mac;

	return !((sent_to[0] ^ vip[0]) | (sent_to[1] ^ vip[1]) | (sent_to[2] ^ vip[2]));
}

static __always_inline struct remora_known known(const struct slot *slot)
{
	const struct remora_flow *flow = slot->entry;

	if (!flow)
		return (struct remora_known){.number = NO_SLOT};
	return (struct remora_known){
	    .number = slot->number,
	    .forward = flow->direction == REMORA_FORWARD,
	    .ended = flow->flags & REMORA_FLOW_ENDING,
	    .address = flow->address,
	    .port = flow->destination_port,
	    .source_port = flow->source_port,
	    .service = flow->service,
	    .backend = flow->backend,
	};
}

static __always_inline int to_proxy(struct __sk_buff *skb, struct packet *packet, const struct slot *slot, __u32 hook)
{
	struct remora_frontend_key key = {
	    .address = packet->key.destination,
	    .port = packet->key.destination_port,
	    .network = packet->key.network,
	    .protocol = packet->key.protocol,
	};
	const struct remora_node *node = the_node();
	__u32 generation = node ? node->generation : 0; /* before anything that a decision rests on */
	struct remora_frontend *frontend = bpf_map_lookup_elem(&frontends, &key);
	struct remora_decision *decision = the_decision();

	if (!frontend)
		return pass(skb, hook, REMORA_PASS_NOT_OURS);
	__u32 service = frontend->service;
	if (decision && node) {
		decision->generation = generation;
		decision->key = packet->key;
		decision->frontend = *frontend;
		decision->known = known(slot);
		decision->hook = hook;
		decision->l3_offset = packet->l3 - (void *)packet->eth;
		decision->opens = opens(packet->tcp);
		decision->to_vip_mac = is_to_vip_mac(packet);
		bpf_tail_call(skb, &proxies, service);
	}
	/* no policy can be asked: fail closed */
	return drop(skb, packet, hook, service, REMORA_DROP_NO_PROXY);
}

static __always_inline int arp(struct __sk_buff *skb, struct packet *packet, __u32 hook)
{
	struct arp_ipv4 *request = parse_arp(packet);

	if (!request)
		return pass(skb, hook, REMORA_PASS_UNPARSED);
	if (!(hook & 1) && take_arp_answer(skb, packet, request, hook))
		return TCX_DROP;
	watch_neighbour(skb, packet, request, hook);
	if (port_config.mode == REMORA_MODE_OBSERVE || !port_config.answer_arp || !asks_for_vip(packet, request))
		return pass(skb, hook, REMORA_PASS_NOT_OURS);
	count(skb, hook, REMORA_ARP_ANSWERED);
	return answer(skb, packet, request, port_config.vip_mac);
}

/* A later fragment has no ports to ask a policy with. */
static __always_inline int fragment(struct __sk_buff *skb, struct packet *packet, __u32 hook)
{
	if (port_config.mode == REMORA_MODE_OBSERVE || !is_mesh_address(packet->key.destination, packet->key.network))
		return pass(skb, hook, REMORA_PASS_FRAGMENT);
	return drop(skb, packet, hook, REMORA_MAX_SERVICES, REMORA_DROP_FRAGMENT);
}

static __always_inline int outcome(struct __sk_buff *skb, struct packet *packet, enum parsed parsed, __u32 hook)
{
	if (!(hook & 1) && (parsed == PARSED_NOT_IPV4 ? take_answer6(skb, packet, hook, port_config.http_probe)
						      : parsed == PARSED_NOT_TCP && take_answer(skb, packet, hook)))
		return TCX_DROP;
	if (!(hook & 1) && parsed == PARSED_NOT_IPV4 && asks_for_sender(packet) && is_to_vip_mac(packet)) {
		count(skb, hook, REMORA_PROBE_ANSWERED);
		return TCX_DROP;
	}
	if (parsed == PARSED_NOT_IPV4)
		return pass(skb, hook, REMORA_PASS_NOT_IPV4);
	if (parsed == PARSED_FRAGMENT)
		return fragment(skb, packet, hook);
	return pass(skb, hook, parsed == PARSED_NOT_TCP ? REMORA_PASS_NOT_TCP : REMORA_PASS_UNPARSED);
}

/* All but TCP over IPv4 and ARP. */
static __always_inline int other(struct __sk_buff *skb, struct packet *packet, enum parsed parsed, __u32 hook,
				 bool copy)
{
	int verdict = outcome(skb, packet, parsed, hook);

	if (copy)
		sniff_other(skb, packet, parsed, port_config.slot, hook & 1);
	return verdict;
}

SEC("tc")
int port_ingress(struct __sk_buff *skb)
{
	struct packet packet = {};
	enum parsed parsed = parse(skb, &packet);
	__u32 hook = hook_of(port_config.slot, false);

	unmark(skb); /* whatever a stranger left there */
	if (!find_network(&packet))
		return pass(skb, hook, REMORA_PASS_UNKNOWN_VLAN);
	if (parsed == PARSED_ARP)
		return arp(skb, &packet, hook);
	if (parsed != PARSED_TCP)
		return other(skb, &packet, parsed, hook, true);
	struct slot slot = {.number = NO_SLOT};
	if (port_config.mode != REMORA_MODE_OBSERVE) {
		slot = find_slot(&packet.key);
		if (slot.entry && !opens(packet.tcp) && is_current(&slot))
			return established(skb, &packet, &slot, hook);
	}
	sniff_tcp(skb, &packet, port_config.slot, false);
	if (take_tcp_answer(skb, &packet, hook, port_config.http_probe))
		return TCX_DROP;
	if (port_config.mode == REMORA_MODE_OBSERVE)
		return pass(skb, hook, REMORA_PASS_OBSERVED);
	return to_proxy(skb, &packet, &slot, hook);
}

/* What reaches a guest by another way than a port of ours still meets its service's policy. */
SEC("tc")
int port_egress(struct __sk_buff *skb)
{
	__u32 hook = hook_of(port_config.slot, true);

	if (take_checked(skb))
		return pass(skb, hook, REMORA_PASS_CHECKED);
	struct packet packet = {};
	enum parsed parsed = parse(skb, &packet);
	bool local = skb->ingress_ifindex == 0; /* sent by the NIC itself: no ingress of ours saw it */

	if (!find_network(&packet))
		return pass(skb, hook, REMORA_PASS_UNKNOWN_VLAN);
	if (parsed != PARSED_TCP)
		return other(skb, &packet, parsed, hook, local);
	if (local)
		sniff_tcp(skb, &packet, port_config.slot, true);
	if (port_config.mode == REMORA_MODE_OBSERVE)
		return pass(skb, hook, REMORA_PASS_OBSERVED);
	if (port_config.role == REMORA_ROLE_UPLINK)
		return pass(skb, hook, REMORA_PASS_NOT_OURS);
	struct remora_flow_key reverse = reversed(&packet.key);
	if (local && bpf_map_lookup_elem(&probes, &reverse)) /* our own probe is no connection of a client's */
		return pass(skb, hook, REMORA_PASS_CHECKED);
	struct remora_flow *claim = find_flow(&reverse);
	if (claim && claim->direction == REMORA_REVERSE && claim->port != REMORA_EGRESS_PORT)
		return pass(skb, hook, REMORA_PASS_CHECKED);
	struct slot slot = find_slot(&packet.key);
	if (slot.entry && !opens(packet.tcp)) {
		/* an answer that was counted as it came in; had it been translated, no entry would have this key */
		if (slot.entry->direction == REMORA_REVERSE && slot.entry->packets &&
		    !(slot.entry->flags & REMORA_FLOW_REWRITE))
			return pass(skb, hook, REMORA_PASS_CHECKED);
		if (is_current(&slot))
			return established(skb, &packet, &slot, hook);
	}
	return to_proxy(skb, &packet, &slot, hook);
}

/* The end of a first packet's way, behind its service's proxy. */
SEC("tc")
int carry_out(struct __sk_buff *skb)
{
	struct opening opening = {.decision = the_decision()};

	if (!opening.decision)
		return TCX_DROP;
	if (parse_again(skb, &opening.packet, opening.decision->l3_offset) != PARSED_TCP)
		return pass(skb, opening.decision->hook, REMORA_PASS_UNPARSED);
	opening.packet.key.network = opening.decision->key.network;
	return carry(skb, &opening);
}

/* Jiffies, the clock of remora_flow.seen, for the agent (BPF_PROG_TEST_RUN): user space cannot read it. */
SEC("tc")
int jiffies_now(struct __sk_buff *skb)
{
	return (int)bpf_jiffies64();
}

/* For the agent (BPF_PROG_TEST_RUN): its packet is an array of struct remora_stale_flow. */
SEC("tc")
int forget(struct __sk_buff *skb)
{
	return each(skb, sizeof(struct remora_stale_flow), forget_one);
}

/* The same; its packet is an array of struct remora_flow_key. */
SEC("tc")
int purge(struct __sk_buff *skb)
{
	return each(skb, sizeof(struct remora_flow_key), purge_one);
}

/* What `remora bench` measures the others over. */
SEC("tc")
int empty(struct __sk_buff *skb)
{
	return TCX_NEXT;
}

char _license[] SEC("license") = "GPL";
