/* How connections end: a FIN marks its own direction and tells the other, and when both are acknowledged the entries
 * go. A reset only marks both: a stranger may have sent it. */
#ifndef REMORA_ENDING_H
#define REMORA_ENDING_H

#include "linger.h"
#include "parse.h"
#include "table.h"

/* The flags that this segment sets in its own direction's entry. */
static __always_inline __u8 endings(const struct tcphdr *tcp)
{
	return REMORA_FLOW_FIN * tcp->fin | REMORA_FLOW_RESET * tcp->rst;
}

/* Key of the entry that translates the other direction. */
static __always_inline struct remora_flow_key other_direction(const struct remora_flow *flow)
{
	bool forward = flow->direction == REMORA_FORWARD;

	return (struct remora_flow_key){
	    .source = forward ? flow->address : flow->key.destination,
	    .destination = forward ? flow->key.source : flow->address,
	    .source_port = flow->destination_port,
	    .destination_port = flow->source_port,
	    .network = flow->key.network,
	    .protocol = flow->key.protocol,
	};
}

/* Does `other` translate the answers to `key`, and not those to another connection's? */
static __always_inline bool is_pair(const struct remora_flow *other, const struct remora_flow_key *key)
{
	struct remora_flow_key answered = other_direction(other);

	return same_key(&answered, key);
}

/* Low half of the number that acknowledges the packet's FIN (RFC 9293, 3.4). */
static __always_inline __u16 behind_fin(const struct packet *packet)
{
	const struct tcphdr *tcp = packet->tcp;
	__u32 payload = bpf_ntohs(packet->ip->tot_len) - packet->ip->ihl * 4 - tcp->doff * 4;

	return bpf_ntohl(tcp->seq) + payload + 1;
}

static __always_inline void note_end(const struct packet *packet, struct remora_flow *flow, __u8 ends)
{
	struct remora_flow_key other_key = other_direction(flow);
	struct remora_flow *other = find_flow(&other_key);

	flow->flags |= ends;
	if (!other || !is_pair(other, &flow->key))
		return;
	if (packet->tcp->fin)
		other->fin_acknowledged = behind_fin(packet);
	other->flags |= ends & REMORA_FLOW_RESET ? REMORA_FLOW_RESET : REMORA_FLOW_OTHER_FIN;
}

/* Notes what the packet acknowledges. Whether it may be the connection's last: both sides sent their FINs, and this
 * acknowledges the other one's. */
static __always_inline bool may_be_last(const struct tcphdr *tcp, struct remora_flow *flow)
{
	if (!(flow->flags & REMORA_FLOW_OTHER_FIN) || !tcp->ack ||
	    (__u16)bpf_ntohl(tcp->ack_seq) != flow->fin_acknowledged)
		return false;
	flow->flags |= REMORA_FLOW_ACKED;
	return flow->flags & REMORA_FLOW_FIN && !tcp->fin;
}

/* Both directions are over, if the other one's FIN was acknowledged, too. Their entries are found, and serve what is
 * late, while nobody needs the slots. */
static __always_inline void close_flow(const struct slot *slot, const struct remora_flow_key *key)
{
	struct remora_flow *flow = slot->entry;
	struct remora_flow_key other_key = other_direction(flow);
	__u32 number = find_number(&other_key);
	struct remora_flow *other = entry_at(number / REMORA_FLOW_WAYS, number);

	if (!other || !(other->flags & REMORA_FLOW_ACKED) || !is_pair(other, key))
		return;
	linger(flow->direction == REMORA_REVERSE ? flow : other);
	settle(flow);
	settle(other);
	end_slot(slot->set * REMORA_FLOW_WAYS + slot->way, key);
	end_slot(number, &other_key);
}

#endif
