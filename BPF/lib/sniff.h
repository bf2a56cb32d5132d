/* Copy what guests say to their registries, and what these answer, to the ring adverts. */
#ifndef REMORA_SNIFF_H
#define REMORA_SNIFF_H

#include "maps.h"
#include "mark.h"
#include "parse.h"

#define REGISTRY_PORT_BYTES 8192 /* a bit for each port */
#define EXTENSION_HEADERS 6	 /* of IPv6, before a transport's: more are nobody's honest packet */
#define FRAGMENTED 1024		 /* datagrams in pieces at a time */
#define TRANSPORTS (1ULL << IPPROTO_TCP | 1ULL << IPPROTO_UDP)
#define EXTENSIONS                                                                                           \
	(1ULL << IPPROTO_HOPOPTS | 1ULL << IPPROTO_ROUTING | 1ULL << IPPROTO_FRAGMENT | 1ULL << IPPROTO_AH | \
	 1ULL << IPPROTO_DSTOPTS)

/* Which ports may be a registry's, by TCP and by UDP: keeps the look-up in registries off everybody else's path. */
const volatile __u8 registry_ports[2][REGISTRY_PORT_BYTES];

enum piece { WHOLE, FIRST_PIECE, LATER_PIECE };

/* What the pieces of a datagram share (RFC 791; RFC 8200, 4.5). Only the first has ports. */
struct datagram_key {
	__u8 source[16];
	__u8 destination[16];
	__u32 id;
	__u16 network;
	__u16 pad;
};

/* Datagrams in pieces whose first one went to or from a registry. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FRAGMENTED);
	__type(key, struct datagram_key);
	__type(value, __u32);
} fragmented SEC(".maps");

struct segment {
	struct remora_registry_key source;
	struct remora_registry_key destination;
	__u32 id;    /* of the datagram, where this is a piece of one */
	__u32 piece; /* enum piece */
	__u8 protocol;
	bool silent; /* nothing but an acknowledgement */
} __attribute__((aligned(8)));

/* The segment stands here and not on the stack for the verifier's sake, which follows what is there on every path. */
struct advert_buffer {
	struct remora_advert header;
	__u8 frame[REMORA_ADVERT_BYTES];
	struct segment segment;
};

/* One for each CPU. Not a per-CPU map: the kernel refuses such values above 32 KiB. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct advert_buffer);
} advert_buffers SEC(".maps");

struct transport_ports { /* TCP and UDP begin alike */
	__be16 source;
	__be16 destination;
};

static __always_inline bool is_one_of(__u64 kinds, __u8 protocol)
{
	return protocol < 64 && kinds >> protocol & 1;
}

static __always_inline __u8 may_be_registry(__u8 protocol, __be16 port)
{
	__u16 number = bpf_ntohs(port);
	__u32 list = protocol >> 4 & 1; /* TCP is 6, UDP is 17 */

	return registry_ports[list][number >> 3] >> (number & 7) & 1;
}

static __always_inline bool may_be_registrys(__u8 protocol, __be16 source, __be16 destination)
{
	return may_be_registry(protocol, source) | may_be_registry(protocol, destination);
}

static __always_inline bool is_registry(struct remora_registry_key *end, __u8 protocol)
{
	if (!may_be_registry(protocol, end->port))
		return false;
	if (bpf_map_lookup_elem(&registries, end))
		return true;
	__builtin_memset(end->address, 0, sizeof(end->address));
	return bpf_map_lookup_elem(&registries, end);
}

static __always_inline void copy_frame(struct __sk_buff *skb, struct advert_buffer *buffer, __u32 port_slot,
				       const struct packet *packet, enum remora_advert_kind kind)
{
	const __u32 most = kind == REMORA_ADVERT_PROBE ? REMORA_PROBE_BYTES : REMORA_ADVERT_BYTES;
	__u32 length = skb->len;

	barrier_var(length); /* or the compiler drops the clamp that the verifier needs */
	if (length > most)
		length = most;
	if (length < ETH_HLEN || bpf_skb_load_bytes(skb, 0, buffer->frame, length) < 0)
		return;
	buffer->header = (struct remora_advert){
	    .time = bpf_ktime_get_ns(),
	    .length = length,
	    .ifindex = skb->ifindex,
	    .port = port_slot,
	    .network = packet->key.network,
	    .vlan = skb->vlan_present ? packet->vlan : 0, /* a tag in the bytes is in the copy */
	    .kind = kind,
	};
	if (bpf_ringbuf_output(&adverts, buffer, sizeof(buffer->header) + length, 0))
		count_loss(REMORA_RING_ADVERTS);
}

static __always_inline bool is_wanted(struct segment *segment)
{
	return !segment->silent && (is_registry(&segment->destination, segment->protocol) ||
				    is_registry(&segment->source, segment->protocol));
}

/* A piece without ports goes the way of the first. One that overtakes it is not copied: nobody knows whose it is. */
static __always_inline bool is_wanted_piece(struct segment *segment)
{
	__u32 wanted = 1;

	if (segment->piece == WHOLE)
		return is_wanted(segment);
	struct datagram_key datagram = {.id = segment->id, .network = segment->source.network};
	__builtin_memcpy(datagram.source, segment->source.address, sizeof(datagram.source));
	__builtin_memcpy(datagram.destination, segment->destination.address, sizeof(datagram.destination));
	if (segment->piece == LATER_PIECE)
		return bpf_map_lookup_elem(&fragmented, &datagram);
	if (!is_wanted(segment))
		return false;
	bpf_map_update_elem(&fragmented, &datagram, &wanted, BPF_ANY);
	return true;
}

static __always_inline bool is_silent(const struct tcphdr *tcp, __u32 payload)
{
	return !payload && !tcp->syn && !tcp->fin && !tcp->rst;
}

static __always_inline void map_address(__u8 *to, __be32 address)
{
	to[10] = to[11] = 0xff;
	__builtin_memcpy(to + 12, &address, sizeof(address));
}

static __always_inline void set_addresses(struct segment *segment, const struct packet *packet)
{
	map_address(segment->source.address, packet->key.source);
	map_address(segment->destination.address, packet->key.destination);
}

static __always_inline void read_tcp(struct __sk_buff *skb, const struct packet *packet, struct segment *segment)
{
	__u32 headers = packet->ip->ihl * 4 + packet->tcp->doff * 4;

	set_addresses(segment, packet);
	segment->source.port = packet->key.source_port;
	segment->destination.port = packet->key.destination_port;
	segment->protocol = IPPROTO_TCP;
	/* by the packet's length: tot_len is 0 in the largest offloaded ones */
	segment->silent = is_silent(packet->tcp, bpf_ntohs(packet->ip->tot_len) > headers || skb->len > 1500);
}

/* Over IPv4: UDP, and pieces of UDP and TCP. */
static __always_inline void read_ipv4(const struct packet *packet, struct segment *segment)
{
	const struct iphdr *ip = packet->l3;
	const struct transport_ports *ports = (void *)ip + ip->ihl * 4;

	set_addresses(segment, packet);
	segment->protocol = ip->protocol;
	segment->id = ip->id;
	if (ip->frag_off & bpf_htons(IP_FRAGMENT_OFFSET)) {
		segment->piece = LATER_PIECE;
	} else if ((void *)(ports + 1) <= packet->end) {
		segment->source.port = ports->source;
		segment->destination.port = ports->destination;
		segment->piece = ip->frag_off & bpf_htons(IP_MORE_FRAGMENTS) ? FIRST_PIECE : WHOLE;
	}
}

/* Past IPv6's extension headers (RFC 8200, 4), from the one at `offset` of kind segment->protocol: where TCP or UDP
 * begins, and in a piece whose. -1: there is neither. */
static __always_inline int skip_extensions(struct __sk_buff *skb, struct segment *segment, __u32 offset)
{
	struct {
		__u8 next;
		__u8 length; /* in units that depend on the header; 0 in a fragment's, which has one of them */
		__be16 fragment;
		__be32 id;
	} header;

	for (int i = 0; i < EXTENSION_HEADERS; i++) {
		__u8 kind = segment->protocol;
		if (!is_one_of(EXTENSIONS, kind))
			break;
		if (bpf_skb_load_bytes(skb, offset, &header, sizeof(header)) < 0)
			return -1;
		segment->protocol = header.next;
		__u32 others = nonzero(kind ^ IPPROTO_AH); /* count in eight bytes, an authentication header in four */
		offset += (header.length + 2 - others) << (2 + others);
		if (kind == IPPROTO_FRAGMENT) {
			segment->id = header.id;
			segment->piece = header.fragment & bpf_htons(0xfff8) ? LATER_PIECE
					 : header.fragment & bpf_htons(1)    ? FIRST_PIECE
									     : WHOLE;
			break;
		}
	}
	return is_one_of(TRANSPORTS, segment->protocol) ? (int)offset : -1;
}

/* Over IPv6: TCP and UDP, whole and in pieces. */
static __always_inline void read_ipv6(struct __sk_buff *skb, const struct packet *packet, struct segment *segment)
{
	const struct ipv6hdr *ip = packet->l3;
	struct tcphdr tcp = {};

	skb->cb[CB_SCRATCH] = packet->l3 - (void *)packet->eth + sizeof(*ip);
	__u32 start = skb->cb[CB_SCRATCH]; /* one unknown number to the verifier, not one for each count of tags */
	__u32 length = bpf_ntohs(ip->payload_len);
	segment->protocol = ip->nexthdr;
	__builtin_memcpy(segment->source.address, &ip->saddr, sizeof(ip->saddr));
	__builtin_memcpy(segment->destination.address, &ip->daddr, sizeof(ip->daddr));
	int offset = skip_extensions(skb, segment, start);
	/* of UDP more than its header is read, and not looked at: a shorter datagram says nothing to a registry */
	if (offset < 0 || bpf_skb_load_bytes(skb, offset, &tcp, sizeof(tcp)) < 0)
		return;
	segment->source.port = tcp.source;
	segment->destination.port = tcp.dest;
	segment->silent = segment->protocol == IPPROTO_TCP && segment->piece == WHOLE &&
			  is_silent(&tcp, length > offset - start + tcp.doff * 4 || skb->len > 1500);
}

/* Nearly everything ends here. */
static __always_inline bool may_be_wanted(const struct packet *packet, enum parsed parsed)
{
	const struct ipv6hdr *ip6 = packet->l3;
	const struct iphdr *ip = packet->l3;
	const struct transport_ports *ports;
	__u8 protocol;

	switch (parsed) {
	case PARSED_FRAGMENT:
		return true;
	case PARSED_NOT_TCP:
		if ((void *)(ip + 1) > packet->end || ip->protocol != IPPROTO_UDP)
			return false;
		if (ip->frag_off & bpf_htons(IP_FRAGMENT_OFFSET))
			return true;
		protocol = IPPROTO_UDP;
		ports = (void *)ip + ip->ihl * 4;
		break;
	case PARSED_NOT_IPV4:
		if (packet->ethertype != bpf_htons(ETH_P_IPV6) || (void *)(ip6 + 1) > packet->end)
			return false;
		protocol = ip6->nexthdr;
		if (is_one_of(EXTENSIONS, protocol))
			return true;
		if (!is_one_of(TRANSPORTS, protocol))
			return false;
		ports = (void *)(ip6 + 1);
		break;
	default:
		return false;
	}
	return (void *)(ports + 1) <= packet->end && may_be_registrys(protocol, ports->source, ports->destination);
}

/* Where this CPU puts together what it copies, its segment blank but for the network; NULL: nowhere. */
static __always_inline struct advert_buffer *blank_buffer(const struct packet *packet)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct advert_buffer *buffer = bpf_map_lookup_elem(&advert_buffers, &cpu);

	if (!buffer)
		return NULL;
	__builtin_memset(&buffer->segment, 0, sizeof(buffer->segment));
	buffer->segment.source.network = packet->key.network;
	buffer->segment.destination.network = packet->key.network;
	return buffer;
}

/* A whole segment of TCP over IPv4: what `packet` has parsed already. */
static __always_inline void sniff_tcp(struct __sk_buff *skb, const struct packet *packet, __u32 port_slot, bool egress)
{
	if (!may_be_registrys(IPPROTO_TCP, packet->key.source_port, packet->key.destination_port))
		return;
	struct advert_buffer *buffer = blank_buffer(packet);
	if (!buffer)
		return;
	read_tcp(skb, packet, &buffer->segment);
	if (is_wanted(&buffer->segment) && !bpf_map_lookup_elem(&ignored, &packet->key))
		copy_frame(skb, buffer, port_slot, packet, egress ? REMORA_ADVERT_EGRESS : REMORA_ADVERT_INGRESS);
}

/* All else. Called when nothing else is to be done with the packet: what is known of it then need not be followed. */
static __always_inline void sniff_other(struct __sk_buff *skb, const struct packet *packet, enum parsed parsed,
					__u32 port_slot, bool egress)
{
	if (!may_be_wanted(packet, parsed))
		return;
	struct advert_buffer *buffer = blank_buffer(packet);
	if (!buffer)
		return;
	if (parsed == PARSED_NOT_IPV4)
		read_ipv6(skb, packet, &buffer->segment);
	else
		read_ipv4(packet, &buffer->segment);
	if (is_wanted_piece(&buffer->segment))
		copy_frame(skb, buffer, port_slot, packet, egress ? REMORA_ADVERT_EGRESS : REMORA_ADVERT_INGRESS);
}

#endif
