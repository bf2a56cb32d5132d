/* Translate a packet by its flow entry, and hand it on. */
#ifndef REMORA_REWRITE_H
#define REMORA_REWRITE_H

#include "mark.h"
#include "parse.h"

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* Ones' complement sum of a change, new minus old (RFC 1624), still to be folded. */
static __always_inline __u32 delta32(__be32 old, __be32 new)
{
	return (__u32)(__u16) ~(old & 0xffff) + (__u16) ~(old >> 16) + (new & 0xffff) + (new >> 16);
}

static __always_inline __u32 delta16(__be16 old, __be16 new)
{
	return (__u32)(__u16)~old + new;
}

/* RFC 1624, equation 3: HC' = ~(~HC + ~m + m'). */
static __always_inline __be16 adjusted(__be16 check, __u16 delta)
{
	return (__u16)~fold((__u32)(__u16)~check + delta);
}

static __always_inline int checksum_state(struct __sk_buff *skb)
{
	struct sk_buff *kernel = bpf_cast_to_kern_ctx(skb);

	return BPF_CORE_READ_BITFIELD(kernel, ip_summed);
}

/* A partial checksum holds the plain sum of the pseudo-header: only addresses count, and nothing is complemented.
 * A complete one (skb->csum) covers the segment, where the port's change and the check field's cancel out. */
static __always_inline void rewrite(struct __sk_buff *skb, struct packet *packet, const struct remora_flow *flow)
{
	struct tcphdr *tcp = packet->tcp;
	int state = checksum_state(skb);

	packet->ip->check = adjusted(packet->ip->check, flow->address_delta);
	if (flow->direction == REMORA_FORWARD)
		packet->ip->daddr = flow->address;
	else
		packet->ip->saddr = flow->address;
	tcp->source = flow->source_port;
	tcp->dest = flow->destination_port;
	tcp->check = state == CHECKSUM_PARTIAL ? fold((__u32)tcp->check + flow->address_delta)
					       : adjusted(tcp->check, flow->full_delta);
	if (state == CHECKSUM_COMPLETE)
		bpf_csum_update(skb, (__u16)~flow->address_delta);
}

static __always_inline void set_mac(struct packet *packet, const __u8 *mac)
{
	__builtin_memcpy(packet->eth->h_dest, mac, ETH_ALEN);
}

/* What the flow says, done to the packet. The result is the hook's. */
static __always_inline int forward(struct __sk_buff *skb, struct packet *packet, const struct remora_flow *flow,
				   __u32 hook)
{
	__u8 forwarding = flow->forwarding;
	__u32 ifindex = flow->ifindex;

	if (flow->flags & REMORA_FLOW_SET_MAC)
		set_mac(packet, flow->mac);
	if (flow->flags & REMORA_FLOW_REWRITE)
		rewrite(skb, packet, flow);
	if (forwarding == REMORA_FORWARD_SWITCH)
		return TCX_NEXT;
	mark_redirected(skb, hook / 2, packet->key.network);
	if (forwarding != REMORA_FORWARD_REDIRECT_PEER)
		return bpf_redirect(ifindex, 0);
	/* a frame that was sent to another's MAC address would end at ip_rcv: 6.8 leaves it so, 6.12 does not */
	bpf_skb_change_type(skb, PACKET_HOST);
	return bpf_redirect_peer(ifindex, 0);
}

#endif
