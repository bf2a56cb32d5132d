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

/* One look-up: user space has merged the rules of shorter prefixes into each entry. */
static __always_inline bool denied(const struct remora_flow_key *key, __u16 index)
{
	struct remora_policy_key source = {.prefix_length = 64, .index = bpf_htonl(index), .source = key->source};
	struct remora_policy *entry = bpf_map_lookup_elem(&policy, &source);

	if (!entry)
		return false;
	for (int i = 0; i < REMORA_MAX_POLICY_RULES && i < entry->count; i++) {
		struct remora_port_rule *rule = &entry->rules[i];
		if ((!rule->port || rule->port == key->destination_port) &&
		    (!rule->protocol || rule->protocol == key->protocol))
			return rule->action == REMORA_POLICY_DENY;
	}
	return entry->default_action == REMORA_POLICY_DENY;
}

#endif
