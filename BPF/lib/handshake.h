/* Flows that are not ESTABLISHED are half-open: they are bounded for each port, and soon forgotten. A client alone
 * cannot make a flow that stays: its backend has to answer. */
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

/* A request's entry, at whatever says that it need not be waited for any more. */
static __always_inline void establish(struct remora_flow *flow)
{
	if (!(add_flags(flow, REMORA_FLOW_ESTABLISHED) & REMORA_FLOW_ESTABLISHED))
		leave_half_open(flow);
}

/* At another packet of the client's: whether it was answered. Global, see settle. */
__noinline bool note_handshake(struct remora_flow *flow)
{
	const struct remora_flow *answers = flow ? pair_of(flow) : NULL;

	if (!answers || !answers->packets)
		return false;
	establish(flow);
	return true;
}

#endif
