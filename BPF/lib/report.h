/* Events to the agent. No wake-up but for answers that somebody waits for: the agent polls the ring. */
#ifndef REMORA_REPORT_H
#define REMORA_REPORT_H

#include "count.h"
#include "parse.h"

static __always_inline struct remora_event event_of(struct __sk_buff *skb, const struct packet *packet, __u32 hook)
{
	return (struct remora_event){
	    .time = bpf_ktime_get_ns(),
	    .key = packet->key,
	    .port = hook / 2,
	    .ifindex = skb->ifindex,
	};
}

static __always_inline void report(struct remora_event *event, __u64 wakeup)
{
	if (bpf_ringbuf_output(&events, event, sizeof(*event), wakeup))
		count_loss(REMORA_RING_EVENTS);
}

/* Written where it is read: two of these come with every connection. */
static __always_inline void report_flow(struct __sk_buff *skb, const struct packet *packet, __u32 hook,
					enum remora_event_kind kind, enum remora_reason reason,
					const struct remora_flow *flow)
{
	struct remora_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return count_loss(REMORA_RING_EVENTS);
	*event = event_of(skb, packet, hook);
	event->kind = kind;
	event->reason = reason;
	event->backend_address = flow->direction == REMORA_FORWARD ? flow->address : packet->key.destination;
	event->backend_port = flow->destination_port;
	event->service = flow->service;
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

static __always_inline int drop(struct __sk_buff *skb, const struct packet *packet, __u32 hook, __u32 service,
				enum remora_reason reason)
{
	struct remora_event event = event_of(skb, packet, hook);
	struct remora_service_counter *counter = counter_of(service);

	if (counter)
		counter->drops++;
	event.kind = REMORA_EVENT_DROP;
	event.reason = reason;
	event.service = service;
	report(&event, BPF_RB_NO_WAKEUP);
	count(skb, hook, reason);
	return TCX_DROP;
}

#endif
