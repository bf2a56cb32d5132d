/* Who spoke last on a backend's five-tuple. The guest may keep TIME_WAIT there when the flow has gone, and would refuse
 * a connection of the same client and port by another frontend: its sequence numbers and clock are others. A memory
 * with no room of its own for anybody: what is forgotten, or taken for another's, costs a connection no more than its
 * port. */
#ifndef REMORA_LINGER_H
#define REMORA_LINGER_H

#include "table.h"

struct last_word {
	__u64 *kept;
	__u64 now;
	__u32 time; /* that it is believed, in jiffies */
};

/* Neighbouring ports of one client are neighbours here: clients take one after the other. */
static __always_inline struct last_word last_word(const struct remora_flow *answers)
{
	const struct remora_node *node = the_node();
	struct remora_flow_key ends = answers->key;
	struct last_word word = {};

	if (!node)
		return word;
	ends.destination_port = 0;
	__u64 hash = hash_of(&ends, node->flow_seed);
	__u32 index = (hash + bpf_ntohs(answers->key.destination_port)) % REMORA_LINGERING;
	__u32 frontend = (answers->address ^ (__u32)answers->source_port << 16) * 0x9e3779b1u >> 16;
	word.kept = bpf_map_lookup_elem(&lingering, &index);
	word.now = bpf_jiffies64() << 32 | hash >> 48 << 16 | frontend;
	word.time = node->linger;
	return word;
}

static __always_inline void linger(const struct remora_flow *answers)
{
	struct last_word word = last_word(answers);

	if (word.kept)
		*word.kept = word.now;
}

/* Was another frontend's connection there, not long ago? */
static __always_inline bool lingers(const struct remora_flow *answers)
{
	struct last_word word = last_word(answers);
	__u64 last = word.kept ? *word.kept : 0, differs = last ^ word.now;

	__u32 age = (__u32)(word.now >> 32) - (__u32)(last >> 32);

	return last && !(differs & 0xffff0000) && differs & 0xffff && age < word.time;
}

#endif
