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

/* Finalizer of MurmurHash3 over the client's address and port: every bit of both counts. */
static __always_inline __u32 flow_hash(const struct remora_flow_key *key)
{
	__u64 hash = (__u64)key->source << 16 ^ key->source_port ^ (__u64)key->destination_port << 48;

	hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdULL;
	hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53ULL;
	return hash ^ hash >> 33;
}

static __always_inline struct remora_backend *backend_at(__u32 index)
{
	return bpf_map_lookup_elem(&backends, &index);
}

#define BALANCE_TRIES 3 /* slots looked at when the first leads back to the sender */

/* The index of a live backend that is not the sender itself. On failure, the reason as a negative number. */
static __always_inline int choose_backend(const struct remora_flow_key *key, __u32 service_index)
{
	struct remora_maglev *table = bpf_map_lookup_elem(&maglev, &service_index);

	if (!table || !table->backends)
		return -REMORA_DROP_NO_BACKEND;
	__u32 hash = flow_hash(key);
	for (int i = 0; i < BALANCE_TRIES; i++) {
		__u32 slot = (hash + i) % REMORA_MAGLEV_SIZE;
		barrier_var(slot);
		if (slot >= REMORA_MAGLEV_SIZE) /* the verifier does not follow a remainder */
			break;
		__u16 index = table->slots[slot];
		struct remora_backend *backend = backend_at(index);
		if (backend && backend->state == REMORA_BACKEND_LIVE && backend->address != key->source)
			return index;
	}
	return -REMORA_DROP_HAIRPIN;
}

#endif
