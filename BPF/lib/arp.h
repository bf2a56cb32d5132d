/* ARP: requests for VIPs are answered in place; an instance heard from elsewhere is told to the agent. */
#ifndef REMORA_ARP_H
#define REMORA_ARP_H

#include "mark.h"
#include "report.h"

/* From linux/if_arp.h, which drags in the C library. */
#define ARPHRD_ETHER 1
#define ARPOP_REQUEST 1
#define ARPOP_REPLY 2

struct arp_ipv4 { /* RFC 826, for Ethernet and IPv4 */
	__be16 hardware;
	__be16 protocol;
	__u8 hardware_length;
	__u8 protocol_length;
	__be16 operation;
	__u8 sender_mac[ETH_ALEN];
	__be32 sender;
	__u8 target_mac[ETH_ALEN];
	__be32 target;
} __attribute__((packed));

static __always_inline struct arp_ipv4 *parse_arp(const struct packet *packet)
{
	struct arp_ipv4 *arp = packet->l3;

	if ((void *)(arp + 1) > packet->end || arp->hardware != bpf_htons(ARPHRD_ETHER) ||
	    arp->protocol != bpf_htons(ETH_P_IP) || arp->hardware_length != ETH_ALEN || arp->protocol_length != 4)
		return NULL;
	return arp;
}

static __always_inline bool same_mac(const __u8 *a, const __u8 *b)
{
	const __u16 *left = (const void *)a, *right = (const void *)b;

	return left[0] == right[0] && left[1] == right[1] && left[2] == right[2];
}

static __always_inline void watch_neighbour(struct __sk_buff *skb, struct packet *packet, const struct arp_ipv4 *arp,
					    __u32 hook)
{
	struct remora_address address = {.address = arp->sender, .network = packet->key.network};
	struct remora_neighbour *known = bpf_map_lookup_elem(&neighbours, &address);

	if (!known || (known->ifindex == skb->ifindex && same_mac(known->mac, arp->sender_mac)))
		return;
	struct remora_event event = event_of(skb, packet, hook);
	event.kind = REMORA_EVENT_NEIGHBOUR_CHANGED;
	event.key.source = arp->sender;
	__builtin_memcpy(event.mac, arp->sender_mac, ETH_ALEN);
	report(&event, 0);
}

static __always_inline bool asks_for_vip(const struct packet *packet, const struct arp_ipv4 *arp)
{
	struct remora_address address = {.address = arp->target, .network = packet->key.network};

	return arp->operation == bpf_htons(ARPOP_REQUEST) && bpf_map_lookup_elem(&vips, &address);
}

/* Turns the request into its answer and sends it back where it came from. */
static __always_inline int answer(struct __sk_buff *skb, struct packet *packet, struct arp_ipv4 *arp,
				  const volatile __u8 *vip_mac)
{
	__be32 asker = arp->sender;

	__builtin_memcpy(packet->eth->h_dest, arp->sender_mac, ETH_ALEN);
	__builtin_memcpy(arp->target_mac, arp->sender_mac, ETH_ALEN);
	for (int i = 0; i < ETH_ALEN; i++)
		packet->eth->h_source[i] = arp->sender_mac[i] = vip_mac[i];
	arp->sender = arp->target;
	arp->target = asker;
	arp->operation = bpf_htons(ARPOP_REPLY);
	mark_checked(skb);
	return bpf_redirect(skb->ifindex, 0);
}

#endif
