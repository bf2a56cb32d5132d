/* Which backend gets a new connection: Maglev (Eisenbud et al., NSDI 2016). The agent fills the table. */
#ifndef REMORA_BALANCE_H
#define REMORA_BALANCE_H

#include "parse.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct remora_maglev);
} maglev SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct remora_backend);
} backends SEC(".maps");

static __always_inline struct remora_backend *backend_at(__u32 index)
{
	return bpf_map_lookup_elem(&backends, &index);
}

/* The index of a live backend for this flow, or REMORA_ANY_BACKEND where there is none. */
static __always_inline __u32 balanced(const struct remora_maglev *table, __u32 hash)
{
	__u32 slot = hash % REMORA_MAGLEV_SIZE;

	barrier_var(slot);
	/* the verifier does not follow a remainder */
	return slot < REMORA_MAGLEV_SIZE && table->backends ? table->slots[slot] : REMORA_ANY_BACKEND;
}

/* Another live backend than `index`, for a sender that must not be sent to itself; REMORA_ANY_BACKEND: there is none.
 */
static __always_inline __u32 another(const struct remora_maglev *table, __u32 hash, __u32 index)
{
	__u32 count = table->backends;

	if (count < 2)
		return REMORA_ANY_BACKEND;
	__u32 first = hash % count, second = (first + 1) % count;
	barrier_var(first);
	barrier_var(second);
	if (first >= REMORA_MAX_BACKENDS || second >= REMORA_MAX_BACKENDS)
		return REMORA_ANY_BACKEND;
	return table->live[first] != index ? table->live[first] : table->live[second];
}

#endif
