/* From an skb to a flow key, with a cursor that moves. */
#ifndef REMORA_PARSE_H
#define REMORA_PARSE_H

#include "kernel.h"

#define IP_MORE_FRAGMENTS 0x2000
#define IP_FRAGMENT_OFFSET 0x1fff
#define LINEAR_BYTES 128 /* Ethernet, two tags, IPv4 with options, TCP: what must be in the linear part */

struct vlan_tag {
	__be16 tci;
	__be16 ethertype;
};

struct packet {
	struct ethhdr *eth;
	struct iphdr *ip;
	struct tcphdr *tcp;
	void *end;
	__be16 ethertype; /* below all tags */
	__u16 vlan;	  /* id of the outer tag, 0: untagged */
	void *l3;	  /* the header below all tags, whatever it is */
	struct remora_flow_key key;
};

enum parsed {
	PARSED_TCP,
	PARSED_ARP,
	PARSED_FRAGMENT, /* TCP over IPv4, in pieces: key has no ports */
	PARSED_NOT_TCP,	 /* IPv4 */
	PARSED_NOT_IPV4,
	PARSED_BROKEN,
};

/* The outer tag is in the metadata on a device that strips it, in the bytes in a test run. */
static __always_inline int parse_tags(struct __sk_buff *skb, struct packet *packet, void **cursor)
{
	packet->ethertype = packet->eth->h_proto;
	packet->vlan = skb->vlan_present ? skb->vlan_tci & 0xfff : 0;
#pragma unroll
	for (int tags = 0; tags < 2; tags++) {
		if (packet->ethertype != bpf_htons(ETH_P_8021Q) && packet->ethertype != bpf_htons(ETH_P_8021AD))
			break;
		struct vlan_tag *tag = *cursor;
		if ((void *)(tag + 1) > packet->end)
			return -1;
		if (!packet->vlan)
			packet->vlan = bpf_ntohs(tag->tci) & 0xfff;
		packet->ethertype = tag->ethertype;
		*cursor = tag + 1;
	}
	return 0;
}

static __always_inline enum parsed parse_tcp(struct packet *packet)
{
	struct iphdr *ip = packet->ip;
	struct tcphdr *tcp = (void *)ip + ip->ihl * 4;

	if ((void *)(tcp + 1) > packet->end)
		return PARSED_BROKEN;
	packet->tcp = tcp;
	packet->key.source_port = tcp->source;
	packet->key.destination_port = tcp->dest;
	return PARSED_TCP;
}

/* The IPv4 packet at `l3`. */
static __always_inline enum parsed parse_ipv4(struct packet *packet, void *l3)
{
	struct iphdr *ip = l3;

	if ((void *)(ip + 1) > packet->end || ip->version != 4 || ip->ihl < 5)
		return PARSED_BROKEN;
	packet->ip = ip;
	packet->key.source = ip->saddr;
	packet->key.destination = ip->daddr;
	packet->key.protocol = ip->protocol;
	if (ip->protocol != IPPROTO_TCP)
		return PARSED_NOT_TCP;
	if (ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET))
		return PARSED_FRAGMENT;
	return parse_tcp(packet);
}

static __always_inline enum parsed parse(struct __sk_buff *skb, struct packet *packet)
{
	void *cursor = (void *)(long)skb->data;
	__u32 wanted = skb->len < LINEAR_BYTES ? skb->len : LINEAR_BYTES;

	packet->end = (void *)(long)skb->data_end;
	if (cursor + sizeof(struct ethhdr) + sizeof(struct iphdr) + sizeof(struct tcphdr) > packet->end) {
		/* headers in page fragments: never on a tap or veth, possible on hardware */
		bpf_skb_pull_data(skb, wanted);
		cursor = (void *)(long)skb->data;
		packet->end = (void *)(long)skb->data_end;
	}
	packet->eth = cursor;
	if (cursor + sizeof(struct ethhdr) > packet->end)
		return PARSED_BROKEN;
	cursor += sizeof(struct ethhdr);
	if (parse_tags(skb, packet, &cursor) < 0)
		return PARSED_BROKEN;
	packet->l3 = cursor;
	if (packet->ethertype == bpf_htons(ETH_P_ARP))
		return PARSED_ARP;
	return packet->ethertype == bpf_htons(ETH_P_IP) ? parse_ipv4(packet, cursor) : PARSED_NOT_IPV4;
}

#define LONGEST_LINK_HEADER 22 /* Ethernet and two tags */

/* What the port program parsed already: `l3_offset` comes with the decision. A number that the verifier knows nothing
 * of, so that it follows one path from here, and not one for each count of tags. */
static __always_inline enum parsed parse_again(struct __sk_buff *skb, struct packet *packet, __u32 l3_offset)
{
	packet->eth = (void *)(long)skb->data;
	packet->end = (void *)(long)skb->data_end;
	if (l3_offset > LONGEST_LINK_HEADER || (void *)(packet->eth + 1) > packet->end)
		return PARSED_BROKEN;
	return parse_ipv4(packet, (void *)packet->eth + l3_offset);
}

/* 1 or 0 without a branch: what comes of it is one unknown number to the verifier, not two paths. */
static __always_inline __u64 nonzero(__u64 value)
{
	barrier_var(value); /* or the compiler makes it a comparison again */
	return (value | -value) >> 63;
}

static __always_inline struct remora_flow_key reversed(const struct remora_flow_key *key)
{
	struct remora_flow_key reverse = *key;

	reverse.source = key->destination;
	reverse.destination = key->source;
	reverse.source_port = key->destination_port;
	reverse.destination_port = key->source_port;
	return reverse;
}

/* Finalizer of MurmurHash3 over the client's address and port: every bit of both counts. */
static __always_inline __u32 flow_hash(const struct remora_flow_key *key)
{
	__u64 hash = (__u64)key->source << 16 ^ key->source_port ^ (__u64)key->destination_port << 48;

	hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdULL;
	hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53ULL;
	return hash ^ hash >> 33;
}

/* The first packet of a connection, and nothing else. */
static __always_inline bool opens(const struct tcphdr *tcp)
{
	return tcp->syn && !tcp->ack;
}

#endif
