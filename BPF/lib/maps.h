/* The maps that all programs of a node share. The agent creates each once, pins it, and gives it to every load. */
#ifndef REMORA_MAPS_H
#define REMORA_MAPS_H

#include "kernel.h"

/* See table.h. Mapped into memory, for the agent's sweep and for entries that begin with a cache line. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1); /* from flows.max, set by the agent; of flow_tags as many */
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct remora_flow_set);
} flows SEC(".maps");

/* By set: a byte for each of its slots. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct remora_flow_tags);
} flow_tags SEC(".maps");

/* See linger.h. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REMORA_LINGERING);
	__type(key, __u32);
	__type(value, __u64);
} lingering SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct remora_frontend_key);
	__type(value, struct remora_frontend);
} frontends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, REMORA_CARRY_OUT + 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} proxies SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct remora_decision);
} decisions SEC(".maps");

/* What made these maps, and how flows are found in theirs. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct remora_node);
} node SEC(".maps");

/* Which service holds which slot. No program reads it: it is for people and for a restarted agent. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, REMORA_MAX_SERVICES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct remora_service);
} service_names SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REMORA_MAX_SERVICES);
	__type(key, __u32);
	__type(value, __u32);
} generations SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REMORA_MAX_PORTS);
	__type(key, __u32);
	__type(value, struct remora_port);
} port_states SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, REMORA_MAX_SERVICES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct remora_address);
	__type(value, __u32); /* service slot */
} vips SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct remora_address);
	__type(value, struct remora_neighbour);
} neighbours SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct remora_registry_key);
	__type(value, __u32);
} registries SEC(".maps");

/* Streams to a registry's port that speak no dialect: no longer copied. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct remora_flow_key);
	__type(value, __u32);
} ignored SEC(".maps");

/* What the agent's outstanding probes will be answered with, and their numbers. An ARP reply has protocol 0 and no
 * destination; of an echo the destination port is its identifier. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct remora_flow_key);
	__type(value, __u32);
} probes SEC(".maps");

/* The same for IPv6. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct remora_flow6_key);
	__type(value, __u32);
} probes6 SEC(".maps");

/* By (port slot * 2 + hook) * REMORA_MAX_REASONS + reason; hook 0 is ingress. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REMORA_MAX_PORTS * 2 * REMORA_MAX_REASONS);
	__type(key, __u32);
	__type(value, struct remora_counter);
} counters SEC(".maps");

/* By CPU * REMORA_MAX_SERVICES + slot. Not a per-CPU map: with a thousand services its table of pointers is one more
 * cache miss a packet. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, REMORA_MAX_SERVICES); /* for each CPU: set by the agent */
	__type(key, __u32);
	__type(value, struct remora_service_counter);
} service_counters SEC(".maps");

/* Records that a ring had no room for. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, REMORA_RING_COUNT);
	__type(key, __u32);
	__type(value, __u64);
} ring_losses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} adverts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

/* This CPU's; NULL for a slot that is none. */
static __always_inline struct remora_service_counter *counter_of(__u32 slot)
{
	__u32 index = bpf_get_smp_processor_id() * REMORA_MAX_SERVICES + slot;

	return slot < REMORA_MAX_SERVICES ? bpf_map_lookup_elem(&service_counters, &index) : NULL;
}

/* This CPU's. No two packets are on their way on one CPU between two programs: a hook runs with softirqs off. */
static __always_inline struct remora_decision *the_decision(void)
{
	__u32 only = 0;

	return bpf_map_lookup_elem(&decisions, &only);
}

static __always_inline const struct remora_node *the_node(void)
{
	__u32 only = 0;

	return bpf_map_lookup_elem(&node, &only);
}

static __always_inline void count_loss(__u32 ring)
{
	__u64 *losses = bpf_map_lookup_elem(&ring_losses, &ring);

	if (losses)
		(*losses)++;
}

#endif
