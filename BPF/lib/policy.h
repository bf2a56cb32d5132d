/* May this source reach this service? */
#ifndef REMORA_POLICY_H
#define REMORA_POLICY_H

#include "parse.h"

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, REMORA_MAX_POLICY_PREFIXES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct remora_policy_key);
	__type(value, struct remora_policy);
} policy SEC(".maps");

/* One look-up: user space has merged the rules of shorter prefixes into each entry, and filled the rest of its rules
 * with the default. Without branches, from the last rule to the first: the verifier follows one path, not 16. */
static __always_inline bool denied(const struct remora_flow_key *key, __u16 index)
{
	struct remora_policy_key source = {.prefix_length = 64, .index = bpf_htonl(index), .source = key->source};
	struct remora_policy *entry = bpf_map_lookup_elem(&policy, &source);
	__u64 action = REMORA_POLICY_ALLOW;

	if (!entry)
		return false;
#pragma unroll
	for (int i = REMORA_MAX_POLICY_RULES - 1; i >= 0; i--) {
		struct remora_port_rule *rule = &entry->rules[i];
		__u64 misses = nonzero(rule->port) & nonzero(rule->port ^ key->destination_port);
		misses |= nonzero(rule->protocol) & nonzero(rule->protocol ^ key->protocol);
		action = action * misses | rule->action * (misses ^ 1);
	}
	return action == REMORA_POLICY_DENY;
}

#endif
