/* How connections end: a FIN marks its own direction and tells the other, and when both are acknowledged a new flow may
 * take the entries' slots. So it may after a reset before the handshake's end. A later one only marks both entries: a
 * stranger may have sent it. */
#ifndef REMORA_ENDING_H
#define REMORA_ENDING_H

#include "handshake.h"
#include "linger.h"
#include "pair.h"
#include "parse.h"

/* The flags that this segment sets in its own direction's entry. */
static __always_inline __u8 endings(const struct tcphdr *tcp)
{
	return REMORA_FLOW_FIN * tcp->fin | REMORA_FLOW_RESET * tcp->rst;
}

/* Low half of the number that acknowledges the packet's FIN (RFC 9293, 3.4). */
static __always_inline __u16 behind_fin(const struct packet *packet)
{
	const struct tcphdr *tcp = packet->tcp;
	__u32 payload = bpf_ntohs(packet->ip->tot_len) - packet->ip->ihl * 4 - tcp->doff * 4;

	return bpf_ntohl(tcp->seq) + payload + 1;
}

/* Its slot may be taken. */
static __always_inline void let_go(const struct remora_flow_key *key)
{
	struct slot slot = slot_at(find_number(key));

	end_slot(&slot, key);
}

/* Returns how many entries know of it now. One that was half-open until this reset keeps no slot: it would count for
 * nothing, and stay. Global, see settle. */
__noinline int note_end(struct remora_flow *flow, __u8 ends, __u16 behind)
{
	if (!flow)
		return 0;
	struct remora_flow *other = pair_of(flow), *request = flow->direction == REMORA_FORWARD ? flow : other;

	add_flags(flow, ends);
	if (other && ends & REMORA_FLOW_FIN)
		other->fin_acknowledged = behind;
	if (other)
		add_flags(other, ends & REMORA_FLOW_RESET ? REMORA_FLOW_RESET : REMORA_FLOW_OTHER_FIN);
	if (ends & REMORA_FLOW_RESET && request && establish(request)) {
		struct remora_flow_key other_key = other_direction(flow);

		let_go(&flow->key);
		if (other)
			let_go(&other_key);
	}
	return other ? 2 : 1;
}

/* Notes what the packet acknowledges. Whether it may be the connection's last: both sides sent their FINs, and this
 * acknowledges the other one's. */
static __always_inline bool may_be_last(const struct tcphdr *tcp, struct remora_flow *flow)
{
	if (!(flow->flags & REMORA_FLOW_OTHER_FIN) || !tcp->ack ||
	    (__u16)bpf_ntohl(tcp->ack_seq) != flow->fin_acknowledged)
		return false;
	add_flags(flow, REMORA_FLOW_ACKED);
	return flow->flags & REMORA_FLOW_FIN && !tcp->fin;
}

/* Both directions are over, if the other one's FIN was acknowledged, too. Their entries are found, and serve what is
 * late, while nobody needs the slots. Global, see settle. */
__noinline bool close_flow(const struct remora_flow_key *key, __u32 number)
{
	struct slot slot = slot_at(number);
	struct remora_flow *flow = slot.entry;

	if (!key || !flow)
		return false;
	struct remora_flow_key other_key = other_direction(flow);
	struct slot other = slot_at(find_number(&other_key));
	if (!other.entry || !(other.entry->flags & REMORA_FLOW_ACKED) || !is_pair(other.entry, key))
		return false;
	linger(flow->direction == REMORA_REVERSE ? flow : other.entry);
	settle(flow);
	settle(other.entry);
	end_slot(&slot, key);
	end_slot(&other, &other_key);
	return true;
}

#endif
