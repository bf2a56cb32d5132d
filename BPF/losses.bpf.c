/* What the kernel drops after a redirect: the port program has counted it as handed on, and nobody would tell. Runs at
 * every packet that is dropped on the machine, so what is not ours must be seen at once. */
#include "lib/count.h"
#include "lib/ending.h"
#include "lib/kernel.h"
#include "lib/maps.h"
#include "lib/mark.h"
#include "lib/parse.h"
#include "lib/report.h"
#include "lib/table.h"

const volatile struct remora_losses_config losses_config;

static __always_inline __u32 cb_word(struct sk_buff *skb, __u32 index)
{
	const void *data = (const void *)skb->cb + bpf_core_field_offset(struct qdisc_skb_cb, data);

	return ((const __u32 *)data)[index];
}

/* Still in the namespace of our ports, and not yet in a device that may free what it sent as if it were lost: drivers
 * of hardware do. A copy for a packet socket that has no room (tcpdump) is no loss. */
static __always_inline bool is_loss(struct sk_buff *skb)
{
	struct net_device *device = skb->dev;

	if (!device || device->nd_net.net->net_cookie != losses_config.namespace_cookie)
		return false;
	if (BPF_CORE_READ_BITFIELD(skb, pkt_type) == PACKET_OUTGOING)
		return false;
	return BPF_CORE_READ_BITFIELD(skb, tc_at_ingress) || !device->dev.parent;
}

/* The packet's five-tuple as it is now, translated. */
static __always_inline bool read_key(struct sk_buff *skb, struct remora_flow_key *key)
{
	const void *l3 = skb->head + skb->network_header;
	const struct iphdr *ip = bpf_rdonly_cast(l3, bpf_core_type_id_kernel(struct iphdr));

	if (ip->version != 4 || ip->protocol != IPPROTO_TCP)
		return false;
	const struct tcphdr *tcp = bpf_rdonly_cast(l3 + ip->ihl * 4, bpf_core_type_id_kernel(struct tcphdr));

	key->source = ip->saddr;
	key->destination = ip->daddr;
	key->source_port = tcp->source;
	key->destination_port = tcp->dest;
	key->protocol = ip->protocol;
	return true;
}

/* As the packet came in: the other direction's entry knows. Where that has been purged, as it is now. */
static __always_inline void read_flow(struct sk_buff *skb, struct remora_event *event)
{
	if (!read_key(skb, &event->key))
		return;
	struct remora_flow_key reverse = reversed(&event->key);
	struct remora_flow *other = find_flow(&reverse);

	if (!other)
		return;
	event->key = other_direction(other);
	event->service = other->service;
}

static __always_inline void lose(struct sk_buff *skb, __u32 slot, __u16 network)
{
	struct remora_event event = {
	    .time = bpf_ktime_get_ns(),
	    .kind = REMORA_EVENT_DROP,
	    .reason = REMORA_DROP_KERNEL,
	    .key.network = network,
	    .port = slot,
	    .service = REMORA_MAX_SERVICES,
	    .ifindex = skb->skb_iif,
	};

	read_flow(skb, &event);
	report(&event, BPF_RB_NO_WAKEUP);
	count_bytes(skb->len, hook_of(slot, false), REMORA_DROP_KERNEL);
}

SEC("tp_btf/kfree_skb")
int losses(__u64 *arguments)
{
	struct sk_buff *skb = (struct sk_buff *)arguments[0];

	if (cb_word(skb, CB_REDIRECTED) != REMORA_CB_MAGIC)
		return 0;
	__u32 origin = cb_word(skb, CB_ORIGIN);
	__u32 slot = origin & 0xffff;
	struct remora_port *port = bpf_map_lookup_elem(&port_states, &slot);
	/* by its device too: another node's port may have the same slot */
	if (port && port->ifindex == (__u32)skb->skb_iif && is_loss(skb))
		lose(skb, slot, origin >> 16);
	return 0;
}

char _license[] SEC("license") = "GPL";
