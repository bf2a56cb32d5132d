/* Copy what guests say to their registries, and what these answer, to the ring adverts. */
#ifndef REMORA_SNIFF_H
#define REMORA_SNIFF_H

#include "maps.h"
#include "parse.h"

#define REGISTRY_PORT_BYTES 8192 /* a bit for each port */

/* Which ports may be a registry's: keeps the look-up in registries off everybody else's path. */
const volatile __u8 registry_ports[REGISTRY_PORT_BYTES];

struct advert_buffer {
	struct remora_advert header;
	__u8 frame[REMORA_ADVERT_BYTES];
};

/* One for each CPU. Not a per-CPU map: the kernel refuses such values above 32 KiB. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct advert_buffer);
} advert_buffers SEC(".maps");

struct segment {
	struct remora_registry_key source;
	struct remora_registry_key destination;
	struct remora_flow_key ignored; /* IPv4 only */
	bool silent;			/* nothing but an acknowledgement */
};

static __always_inline bool may_be_registry(__be16 port)
{
	__u16 number = bpf_ntohs(port);

	return registry_ports[number >> 3] >> (number & 7) & 1;
}

static __always_inline bool is_registry(struct remora_registry_key *end)
{
	if (!may_be_registry(end->port))
		return false;
	if (bpf_map_lookup_elem(&registries, end))
		return true;
	__builtin_memset(end->address, 0, sizeof(end->address));
	return bpf_map_lookup_elem(&registries, end);
}

static __always_inline void copy_frame(struct __sk_buff *skb, __u32 port_slot, __u16 network, __u16 vlan, bool egress)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct advert_buffer *buffer = bpf_map_lookup_elem(&advert_buffers, &cpu);
	__u32 length = skb->len;

	if (!buffer)
		return;
	barrier_var(length); /* or the compiler drops the clamp that the verifier needs */
	if (length > REMORA_ADVERT_BYTES)
		length = REMORA_ADVERT_BYTES;
	if (length < ETH_HLEN || bpf_skb_load_bytes(skb, 0, buffer->frame, length) < 0)
		return;
	buffer->header = (struct remora_advert){
	    .time = bpf_ktime_get_ns(),
	    .length = length,
	    .ifindex = skb->ifindex,
	    .port = port_slot,
	    .network = network,
	    .vlan = skb->vlan_present ? vlan : 0, /* a tag in the bytes is in the copy */
	    .egress = egress,
	};
	if (bpf_ringbuf_output(&adverts, buffer, sizeof(buffer->header) + length, 0))
		count_loss(REMORA_RING_ADVERTS);
}

static __always_inline void map_address(__u8 *to, __be32 address)
{
	to[10] = to[11] = 0xff;
	__builtin_memcpy(to + 12, &address, sizeof(address));
}

static __always_inline void sniff(struct __sk_buff *skb, struct segment *segment, __u32 port_slot, __u16 vlan,
				  bool egress)
{
	if (segment->silent || (!is_registry(&segment->destination) && !is_registry(&segment->source)))
		return;
	if (segment->ignored.protocol && bpf_map_lookup_elem(&ignored, &segment->ignored))
		return;
	copy_frame(skb, port_slot, segment->destination.network, vlan, egress);
}

static __always_inline bool is_silent(const struct tcphdr *tcp, __u32 payload)
{
	return !payload && !tcp->syn && !tcp->fin && !tcp->rst;
}

static __always_inline void sniff_ipv4(struct __sk_buff *skb, const struct packet *packet, __u32 port_slot, bool egress)
{
	if (!may_be_registry(packet->key.source_port) && !may_be_registry(packet->key.destination_port))
		return;
	__u32 headers = packet->ip->ihl * 4 + packet->tcp->doff * 4;
	struct segment segment = {
	    .source = {.port = packet->key.source_port, .network = packet->key.network},
	    .destination = {.port = packet->key.destination_port, .network = packet->key.network},
	    .ignored = packet->key,
	    /* by the packet's length: tot_len is 0 in the largest offloaded ones */
	    .silent = is_silent(packet->tcp, bpf_ntohs(packet->ip->tot_len) > headers || skb->len > 1500),
	};

	map_address(segment.source.address, packet->key.source);
	map_address(segment.destination.address, packet->key.destination);
	sniff(skb, &segment, port_slot, packet->vlan, egress);
}

static __always_inline void sniff_ipv6(struct __sk_buff *skb, const struct packet *packet, __u32 port_slot, bool egress)
{
	struct ipv6hdr *ip = packet->l3;
	struct tcphdr *tcp = (void *)(ip + 1);

	if (packet->ethertype != bpf_htons(ETH_P_IPV6) || (void *)(tcp + 1) > packet->end || ip->nexthdr != IPPROTO_TCP)
		return;
	if (!may_be_registry(tcp->source) && !may_be_registry(tcp->dest))
		return;
	struct segment segment = {
	    .source = {.port = tcp->source, .network = packet->key.network},
	    .destination = {.port = tcp->dest, .network = packet->key.network},
	    .silent = is_silent(tcp, bpf_ntohs(ip->payload_len) > tcp->doff * 4 || skb->len > 1500),
	};

	__builtin_memcpy(segment.source.address, &ip->saddr, sizeof(ip->saddr));
	__builtin_memcpy(segment.destination.address, &ip->daddr, sizeof(ip->daddr));
	sniff(skb, &segment, port_slot, packet->vlan, egress);
}

#endif
