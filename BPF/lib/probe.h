/* Answers to the agent's own probes end at the port they come in by: nobody else must see them, or a reset would reach
 * a stranger's session and a bridge would learn from them. */
#ifndef REMORA_PROBE_H
#define REMORA_PROBE_H

#include "arp.h"
#include "maps.h"
#include "report.h"
#include "sniff.h"

#define DNS_PORT 53
#define MDNS_PORT 5353
#define TCP_RST 0x04
#define TCP_SYN_ACK 0x12
#define TCP_RST_ACK 0x14

/* RFC 792 and RFC 4443; linux/icmp.h drags in the C library. */
#define ICMP_ECHO_REPLY 0
#define ICMP_UNREACHABLE 3
#define ICMP6_UNREACHABLE 1
#define ICMP6_ECHO_REPLY 129
#define ICMP6_SOLICITATION 135
#define ICMP6_ADVERTISEMENT 136

struct icmp {
	__u8 type;
	__u8 code;
	__be16 checksum;
	__be16 identifier;
	__be16 sequence;
};

struct udp {
	__be16 source;
	__be16 destination;
	__be16 length;
	__be16 checksum;
	__be16 identifier; /* of a DNS message, the only one that is asked for */
};

/* The first 8 bytes of whatever an ICMP error is about: what every sender of one includes (RFC 792). */
struct quoted {
	__be16 source_port;
	__be16 destination_port;
	__be32 sequence; /* of TCP; of an echo: identifier and sequence */
};

struct answer {
	__u32 sequence;
	__u32 acknowledged;
	__u8 ttl;
	__u8 flags;
};

static __always_inline void tell_answer(struct __sk_buff *skb, const struct packet *packet, __u32 hook,
					const __u32 *probe, const struct answer *answer)
{
	struct remora_event event = event_of(skb, packet, hook);

	/* by a helper: behind a failed tail call the verifier of 6.12 holds the packet's own bytes for moved */
	bpf_skb_load_bytes(skb, offsetof(struct ethhdr, h_source), event.mac, ETH_ALEN);
	event.kind = REMORA_EVENT_PROBE_ANSWER;
	event.reason = REMORA_PROBE_ANSWERED;
	event.service = *probe;
	event.ttl = answer->ttl;
	event.tcp_flags = answer->flags;
	event.tcp_sequence = answer->sequence;
	event.tcp_acknowledged = answer->acknowledged;
	report(&event, BPF_RB_FORCE_WAKEUP);
	count(skb, hook, REMORA_PROBE_ANSWERED);
}

/* Byte 13 of a TCP header: does it answer a SYN? */
static __always_inline bool answers_syn(__u8 flags)
{
	return (flags & TCP_SYN_ACK) == TCP_SYN_ACK || flags & TCP_RST;
}

/* On a connection that the agent opened: goes to the agent whole. */
static __always_inline void copy_answer(struct __sk_buff *skb, const struct packet *packet, __u32 hook)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct advert_buffer *buffer = bpf_map_lookup_elem(&advert_buffers, &cpu);

	if (buffer)
		copy_frame(skb, buffer, hook / 2, packet, REMORA_ADVERT_PROBE);
	count(skb, hook, REMORA_PROBE_ANSWERED);
}

static __always_inline struct answer answer_of_tcp(const struct tcphdr *tcp, __u8 ttl)
{
	return (struct answer){.sequence = bpf_ntohl(tcp->seq),
			       .acknowledged = bpf_ntohl(tcp->ack_seq),
			       .ttl = ttl,
			       .flags = ((__u8 *)tcp)[13]};
}

/* A port that is refused looks like one that is reset, whatever says so. */
static __always_inline void refused(struct answer *answer, const struct quoted *quoted, __u8 protocol)
{
	answer->flags = TCP_RST_ACK;
	answer->acknowledged = protocol == IPPROTO_TCP ? bpf_ntohl(quoted->sequence) + 1 : 0;
}

/* `connected`: the agent may go on to speak, so that more than the answer to a SYN may be its. */
static __always_inline bool take_tcp_answer(struct __sk_buff *skb, struct packet *packet, __u32 hook, bool connected)
{
	struct answer answer = answer_of_tcp(packet->tcp, packet->ip->ttl);

	if (!connected && !answers_syn(answer.flags))
		return false;
	__u32 *probe = bpf_map_lookup_elem(&probes, &packet->key);
	if (!probe)
		return false;
	if (connected && !answers_syn(answer.flags)) /* first the constant: where it is 0 the verifier drops all this */
		copy_answer(skb, packet, hook);
	else
		tell_answer(skb, packet, hook, probe, &answer);
	return true;
}

static __always_inline bool take_arp_answer(struct __sk_buff *skb, struct packet *packet, const struct arp_ipv4 *arp,
					    __u32 hook)
{
	struct remora_flow_key key = {.source = arp->sender, .network = packet->key.network};
	struct answer answer = {};

	if (arp->operation != bpf_htons(ARPOP_REPLY) || arp->target)
		return false;
	__u32 *probe = bpf_map_lookup_elem(&probes, &key);
	if (!probe)
		return false;
	tell_answer(skb, packet, hook, probe, &answer);
	return true;
}

/* The packet that an ICMP error is about, as its answer would have come in. False: it is about nothing of ours, or says
 * that nobody is there. */
static __always_inline bool quoted_in(const struct packet *packet, const struct icmp *icmp, struct remora_flow_key *key,
				      struct answer *answer)
{
	const struct iphdr *ip = (const void *)(icmp + 1);
	const struct quoted *quoted = (const void *)(ip + 1);

	if ((void *)(quoted + 1) > packet->end || ip->ihl != 5)
		return false;
	key->source = ip->daddr;
	key->destination = ip->saddr;
	key->protocol = ip->protocol;
	key->source_port = quoted->destination_port;
	key->destination_port = quoted->source_port;
	if (ip->protocol == IPPROTO_ICMP) {
		key->source_port = 0;
		key->destination_port = (__be16)quoted->sequence;
	}
	if (icmp->code > 1) /* 0 and 1: no route to it, or nobody there */
		refused(answer, quoted, ip->protocol);
	return true;
}

/* UDP and ICMP over IPv4. */
static __always_inline bool take_answer(struct __sk_buff *skb, struct packet *packet, __u32 hook)
{
	const struct iphdr *ip = packet->ip;
	struct remora_flow_key key = packet->key;
	struct answer answer = {.ttl = ip->ttl};
	void *transport = (void *)ip + ip->ihl * 4;

	if (ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS | IP_FRAGMENT_OFFSET))
		return false;
	if (ip->protocol == IPPROTO_ICMP) {
		const struct icmp *icmp = transport;

		if ((void *)(icmp + 1) > packet->end)
			return false;
		if (icmp->type == ICMP_ECHO_REPLY) {
			key.destination_port = icmp->identifier;
			answer.acknowledged = bpf_ntohs(icmp->sequence);
		} else if (icmp->type != ICMP_UNREACHABLE || !quoted_in(packet, icmp, &key, &answer)) {
			return false;
		}
	} else {
		const struct udp *udp = transport;

		if (ip->protocol != IPPROTO_UDP || (void *)(udp + 1) > packet->end ||
		    (udp->source != bpf_htons(DNS_PORT) && udp->source != bpf_htons(MDNS_PORT)))
			return false;
		key.source_port = udp->source;
		key.destination_port = udp->destination;
		answer.acknowledged = bpf_ntohs(udp->identifier);
	}
	__u32 *probe = bpf_map_lookup_elem(&probes, &key);
	if (!probe)
		return false;
	tell_answer(skb, packet, hook, probe, &answer);
	return true;
}

static __always_inline bool quoted_in6(const struct packet *packet, const struct icmp *icmp,
				       struct remora_flow6_key *key, struct answer *answer)
{
	const struct ipv6hdr *ip = (const void *)(icmp + 1);
	const struct quoted *quoted = (const void *)(ip + 1);

	if ((void *)(quoted + 1) > packet->end)
		return false;
	__builtin_memcpy(key->source, &ip->daddr, sizeof(key->source));
	__builtin_memcpy(key->destination, &ip->saddr, sizeof(key->destination));
	key->protocol = ip->nexthdr;
	key->source_port = quoted->destination_port;
	key->destination_port = quoted->source_port;
	if (ip->nexthdr == IPPROTO_ICMPV6) {
		key->source_port = 0;
		key->destination_port = (__be16)quoted->sequence;
	}
	if (icmp->code != 0 && icmp->code != 3) /* no route to it, or nobody there */
		refused(answer, quoted, ip->nexthdr);
	return true;
}

static __always_inline bool read_icmp6(const struct packet *packet, const struct icmp *icmp,
				       struct remora_flow6_key *key, struct answer *answer)
{
	struct in6_addr *target = (void *)(icmp + 1);

	if ((void *)(icmp + 1) > packet->end)
		return false;
	if (icmp->type == ICMP6_ECHO_REPLY) {
		key->destination_port = icmp->identifier;
		answer->acknowledged = bpf_ntohs(icmp->sequence);
		return true;
	}
	if (icmp->type == ICMP6_ADVERTISEMENT && (void *)(target + 1) <= packet->end) {
		__builtin_memcpy(key->source, target, sizeof(key->source));
		return true;
	}
	return icmp->type == ICMP6_UNREACHABLE && quoted_in6(packet, icmp, key, answer);
}

/* Is the agent's own link-local address still there? Who was asked in its name wants to know, some seconds later. */
static __always_inline bool asks_for_sender(const struct packet *packet)
{
	const struct ipv6hdr *ip = packet->l3;
	const struct icmp *icmp = packet->l3 + sizeof(*ip);
	const struct in6_addr *target = (const void *)(icmp + 1);

	return packet->ethertype == bpf_htons(ETH_P_IPV6) && (void *)(target + 1) <= packet->end &&
	       ip->nexthdr == IPPROTO_ICMPV6 && icmp->type == ICMP6_SOLICITATION &&
	       target->in6_u.u6_addr32[0] == bpf_htonl(0xfe800000);
}

/* All of IPv6. Nobody's answer to a question as small as ours has extension headers. */
static __always_inline bool take_answer6(struct __sk_buff *skb, struct packet *packet, __u32 hook, bool connected)
{
	const struct ipv6hdr *ip = packet->l3;
	void *transport = packet->l3 + sizeof(*ip);

	if (packet->ethertype != bpf_htons(ETH_P_IPV6) || transport > packet->end)
		return false;
	struct remora_flow6_key key = {.network = packet->key.network, .protocol = ip->nexthdr};
	struct answer answer = {.ttl = ip->hop_limit};

	__builtin_memcpy(key.source, &ip->saddr, sizeof(key.source));
	__builtin_memcpy(key.destination, &ip->daddr, sizeof(key.destination));
	if (ip->nexthdr == IPPROTO_TCP) {
		const struct tcphdr *tcp = transport;

		if ((void *)(tcp + 1) > packet->end)
			return false;
		answer = answer_of_tcp(tcp, ip->hop_limit);
		if (!connected && !answers_syn(answer.flags))
			return false;
		key.source_port = tcp->source;
		key.destination_port = tcp->dest;
	} else if (ip->nexthdr == IPPROTO_ICMPV6) {
		if (!read_icmp6(packet, transport, &key, &answer))
			return false;
	} else {
		const struct udp *udp = transport;

		if (ip->nexthdr != IPPROTO_UDP || (void *)(udp + 1) > packet->end ||
		    (udp->source != bpf_htons(DNS_PORT) && udp->source != bpf_htons(MDNS_PORT)))
			return false;
		key.source_port = udp->source;
		key.destination_port = udp->destination;
		answer.acknowledged = bpf_ntohs(udp->identifier);
	}
	__u32 *probe = bpf_map_lookup_elem(&probes6, &key);
	if (!probe)
		return false;
	if (connected && ip->nexthdr == IPPROTO_TCP && !answers_syn(answer.flags))
		copy_answer(skb, packet, hook);
	else
		tell_answer(skb, packet, hook, probe, &answer);
	return true;
}

#endif
