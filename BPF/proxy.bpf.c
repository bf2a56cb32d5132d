/* The proxy program: one load for each VM service (or for all services of one VM). Decides on the first packet of a
 * connection, and again when the service's generation moved: policy and backend. It looks at no packet and writes no
 * flow: carry_out, which is the same for all, does. So a load is a few hundred verified instructions. */
#include "lib/balance.h"
#include "lib/kernel.h"
#include "lib/maps.h"
#include "lib/parse.h"
#include "lib/policy.h"

const volatile struct remora_proxy_config proxy_config;

static __always_inline bool is_at(__u32 index, const struct remora_known *known)
{
	const struct remora_backend *backend = backend_at(index);

	return backend && backend->state != REMORA_BACKEND_FREE && backend->address == known->address &&
	       backend->port == known->port;
}

/* The index of the known flow's backend: that of before, unless its service has moved to another program. */
static __always_inline __u32 index_of(const struct remora_known *known)
{
	__u32 found = REMORA_ANY_BACKEND;
	struct loop loop;
	int *index;

	if (is_at(known->backend, known))
		return known->backend;
	bpf_iter_num_new(&loop, 0, REMORA_MAX_BACKENDS);
	while ((index = bpf_iter_num_next(&loop))) {
		if (!is_at(*index, known))
			continue;
		found = *index;
		break;
	}
	bpf_iter_num_destroy(&loop);
	return found;
}

/* May the known flow go on with the backend it has? */
static __always_inline bool may_continue(const struct remora_decision *decision, const struct remora_backend *backend)
{
	const struct remora_known *known = &decision->known;

	if (known->service != decision->frontend.service)
		return false;
	return !decision->opens || (backend->state == REMORA_BACKEND_LIVE && !known->ended);
}

/* The index of the backend of a new flow to the VIP. On failure, the reason as a negative number. */
static __always_inline int choose_backend(const struct remora_decision *decision)
{
	const struct remora_flow_key *key = &decision->key;
	__u32 service = decision->frontend.index;
	struct remora_maglev *table = bpf_map_lookup_elem(&maglev, &service);

	if (!table)
		return -REMORA_DROP_NO_BACKEND;
	__u32 hash = flow_hash(key);
	__u32 index = balanced(table, hash);
	struct remora_backend *backend = backend_at(index);
	if (!backend)
		return -REMORA_DROP_NO_BACKEND;
	if (backend->address != key->source)
		return index;
	index = another(table, hash, index);
	return index == REMORA_ANY_BACKEND ? -REMORA_DROP_HAIRPIN : index;
}

static __always_inline enum remora_reason take(struct remora_decision *decision, const struct remora_backend *backend,
					       __u32 index, enum remora_reason reason)
{
	if (backend->state == REMORA_BACKEND_GUARDED)
		return REMORA_PASS_NOT_OURS;
	decision->backend = *backend;
	decision->backend_index = index;
	return reason;
}

static __always_inline enum remora_reason open(struct remora_decision *decision)
{
	int index = decision->frontend.backend;

	if (index == REMORA_ANY_BACKEND) {
		if (!decision->opens)
			return REMORA_DROP_NO_FLOW;
		index = choose_backend(decision);
		if (index < 0)
			return -index;
	}
	struct remora_backend *backend = backend_at(index);
	if (!backend || backend->state == REMORA_BACKEND_FREE)
		return REMORA_DROP_NO_BACKEND;
	if (backend->state == REMORA_BACKEND_DRAINING && decision->opens)
		return REMORA_DROP_DRAINING;
	return take(decision, backend, index, REMORA_OPENED);
}

static __always_inline enum remora_reason decide(struct remora_decision *decision)
{
	if (proxy_config.has_policy && denied(&decision->key, decision->frontend.index))
		return REMORA_DROP_POLICY;
	const struct remora_known *known = &decision->known;
	decision->source_port = decision->key.source_port;
	if (known->forward) {
		__u32 index = index_of(known);
		struct remora_backend *backend = backend_at(index);

		decision->source_port = known->source_port; /* of its last connection: that claim is its own */
		if (backend && may_continue(decision, backend))
			return take(decision, backend, index, REMORA_FORWARDED);
	}
	return open(decision);
}

SEC("tc")
int proxy(struct __sk_buff *skb)
{
	struct remora_decision *decision = the_decision();

	if (!decision)
		return TCX_DROP;
	decision->reason = decide(decision);
	bpf_tail_call(skb, &proxies, REMORA_CARRY_OUT);
	return TCX_DROP; /* the agent fills that slot before any other */
}

char _license[] SEC("license") = "GPL";
