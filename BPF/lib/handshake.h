/* A flow is half-open until its backend has answered and the client has spoken after that; one that is older than its
 * proxy until the answer; either until a reset. Half-open flows are bounded for each port, and soon forgotten: a client
 * alone makes no flow that stays. */
#ifndef REMORA_HANDSHAKE_H
#define REMORA_HANDSHAKE_H

#include "pair.h"

/* NULL for what was first seen on its way to the guest: no port of ours has brought it. */
static __always_inline struct remora_port *port_of(const struct remora_flow *flow)
{
	__u32 slot = flow->port;

	return bpf_map_lookup_elem(&port_states, &slot);
}

static __always_inline bool enter_half_open(const struct remora_flow *flow)
{
	struct remora_port *port = port_of(flow);

	if (!port)
		return true;
	if (port->half_open >= (__s32)port->half_open_quota)
		return false;
	__sync_fetch_and_add(&port->half_open, 1);
	return true;
}

static __always_inline void leave_half_open(const struct remora_flow *flow)
{
	struct remora_port *port = port_of(flow);

	if (port)
		__sync_fetch_and_add(&port->half_open, -1);
}

/* A request's entry, at whatever says that it need not be waited for any more. False: it was said before. */
static __always_inline bool establish(struct remora_flow *flow)
{
	if (add_flags(flow, REMORA_FLOW_ESTABLISHED) & REMORA_FLOW_ESTABLISHED)
		return false;
	leave_half_open(flow);
	return true;
}

/* At a packet of either direction whose entry is not ESTABLISHED: whether the flow is now. Global, see settle. */
__noinline bool note_handshake(struct remora_flow *flow)
{
	struct remora_flow *other = flow ? pair_of(flow) : NULL;

	if (!other)
		return false;
	if (flow->direction == REMORA_REVERSE) {
		add_flags(flow, REMORA_FLOW_ESTABLISHED);
		return establish(other);
	}
	return other->packets && establish(flow);
}

#endif
