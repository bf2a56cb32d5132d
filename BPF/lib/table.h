/* The flow table. Not a hash map of the kernel's: there a flow costs three cache lines, all over many megabytes. Here
 * an entry is one line, and as long as there are few they lie together at the front, where caches hold them
 * (docs/decisions/0017-a-flow-table-of-its-own.md).
 *
 * A set has eight slots. A key has one set at the front, its home, and two behind, which are asked while any flow of
 * its home's is there. A set's tags say which slots are taken, and by what kind of hash: a slot is taken by one
 * compare-and-swap, and nobody waits for anybody: until its entry is whole, or while it goes, its tag is that of no
 * key. What is over is still found, until a new flow needs its slot. */
#ifndef REMORA_TABLE_H
#define REMORA_TABLE_H

#include "count.h"

#define NO_SLOT 0xffffffff /* beyond every set */
#define EACH 0x0101010101010101ULL
#define EACH_LIVE (REMORA_FLOW_LIVE * EACH)
#define BUSY REMORA_FLOW_LIVE /* a tag of no key: whoever set it owns the slot */
#define SWAP_TRIES 4	      /* others may be taking slots of the same set */

typedef __u64 __attribute__((may_alias)) word;
typedef __u32 __attribute__((may_alias)) half_word;

struct place {
	__u32 home;
	__u32 back[2];
	__u64 tag;
};

struct slot {
	struct remora_flow *entry;
	struct remora_flow_tags *tags; /* of its set */
	__u32 number;		       /* its set's, times eight, and its own there */
};

static __always_inline struct remora_flow_tags *tags_of(__u32 set)
{
	return bpf_map_lookup_elem(&flow_tags, &set);
}

static __always_inline struct remora_flow *entry_at(__u32 number)
{
	__u32 set = number / REMORA_FLOW_WAYS;
	struct remora_flow_set *entries = bpf_map_lookup_elem(&flows, &set);

	if (!entries)
		return NULL;
	barrier_var(entries); /* or the compiler adds first and asks then */
	return &entries->ways[number % REMORA_FLOW_WAYS];
}

static __always_inline struct slot slot_at(__u32 number)
{
	return (struct slot){
	    .entry = entry_at(number),
	    .tags = tags_of(number / REMORA_FLOW_WAYS),
	    .number = number,
	};
}

/* MurmurHash3's way of mixing. Seeded: guests must not know which ports meet in a set. */
static __always_inline __u64 hash_of(const struct remora_flow_key *key, __u64 seed)
{
	const word *words = (const void *)key;
	__u64 hash = (words[0] ^ seed) * 0xff51afd7ed558ccdULL;

	hash = ((hash ^ hash >> 32) + words[1]) * 0xc4ceb9fe1a85ec53ULL;
	hash = (hash ^ hash >> 29) * 0xff51afd7ed558ccdULL;
	return hash ^ hash >> 32;
}

static __always_inline struct place place_of(const struct remora_flow_key *key)
{
	const struct remora_node *table = the_node();
	struct place place = {};

	if (!table)
		return place;
	__u64 hash = hash_of(key, table->flow_seed);
	__u32 front = table->front_mask, back = table->back_mask;
	place.home = hash & front;
	place.back[0] = front + 1 + (hash & back);
	place.back[1] = front + 1 + (hash >> 32 & back);
	place.tag = REMORA_FLOW_LIVE | 1 + (hash >> 57) % 127;
	return place;
}

/* The lowest of the marked bytes (0x80 each): its number. */
static __always_inline __u32 lowest(__u64 marks)
{
	return ((marks & -marks) >> 7) * 0x0001020304050607ULL >> 56;
}

/* Marks the bytes that are `tag`, live or over; now and then one more, above the first. */
static __always_inline __u64 alike(__u64 tags, __u64 tag)
{
	__u64 differs = (tags | EACH_LIVE) ^ tag * EACH;

	return (differs - EACH) & ~differs & EACH_LIVE;
}

/* Marks the bytes that are 0; now and then one more, above the first. */
static __always_inline __u64 zeroes(__u64 tags)
{
	return (tags - EACH) & ~tags & EACH_LIVE;
}

static __always_inline bool same_key(const struct remora_flow_key *a, const struct remora_flow_key *b)
{
	const word *left = (const void *)a, *right = (const void *)b;

	return !((left[0] ^ right[0]) | (left[1] ^ right[1]));
}

static __always_inline bool find_in(struct slot *slot, __u32 set, struct remora_flow_tags *tags, __u64 tag,
				    const struct remora_flow_key *key)
{
	struct remora_flow_set *entries = bpf_map_lookup_elem(&flows, &set);

	if (!tags || !entries)
		return false;
	__u64 marks = alike(tags->ways, tag);
#pragma clang loop unroll(disable)
	for (int i = 0; i < REMORA_FLOW_WAYS && marks; i++) {
		__u32 way = lowest(marks) % REMORA_FLOW_WAYS;

		if (same_key(&entries->ways[way].key, key)) {
			slot->entry = &entries->ways[way];
			slot->tags = tags;
			slot->number = set * REMORA_FLOW_WAYS + way;
			return true;
		}
		marks &= marks - 1;
	}
	return false;
}

static __always_inline struct slot find_slot(const struct remora_flow_key *key)
{
	struct place place = place_of(key);
	struct remora_flow_tags *home = tags_of(place.home);
	struct slot slot = {.number = NO_SLOT};

	if (find_in(&slot, place.home, home, place.tag, key) || !home || !home->spilled)
		return slot;
	if (!find_in(&slot, place.back[0], tags_of(place.back[0]), place.tag, key))
		find_in(&slot, place.back[1], tags_of(place.back[1]), place.tag, key);
	return slot;
}

/* Global, so that the verifier looks at it once and not at every call. A key is never NULL, but it wants to be told. */
__noinline __u32 find_number(const struct remora_flow_key *key)
{
	return key ? find_slot(key).number : NO_SLOT;
}

static __always_inline struct remora_flow *find_flow(const struct remora_flow_key *key)
{
	return entry_at(find_number(key));
}

/* The entry but for its key. */
static __always_inline void write_flow(struct remora_flow *entry, const struct remora_flow *flow)
{
	__builtin_memcpy(&entry->generation, &flow->generation, sizeof(*flow) - sizeof(flow->key));
}

_Static_assert(offsetof(struct remora_flow, flags) % 4 == 0 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	       "flags are the low byte of an aligned word");

/* Sets flags, and returns those that were set. Both directions' packets do it, on processors of their own. */
static __always_inline __u8 add_flags(struct remora_flow *flow, __u8 flags)
{
	return __sync_fetch_and_or((half_word *)&flow->flags, (__u32)flags);
}

static __always_inline void clear_flags(struct remora_flow *flow, __u8 flags)
{
	__sync_fetch_and_and((half_word *)&flow->flags, ~(__u32)flags);
}

static __always_inline __u32 live_in(const struct remora_flow_tags *tags)
{
	return (tags->ways >> 7 & EACH) * EACH >> 56;
}

/* One flow less of those that its home had no room for. */
static __always_inline void unspill(__u32 number, const struct remora_flow_key *key)
{
	struct place place = place_of(key);
	struct remora_flow_tags *home = tags_of(place.home);

	if (home && number / REMORA_FLOW_WAYS != place.home)
		__sync_fetch_and_add(&home->spilled, -1);
}

/* Of the slot's tag, in its set's: by how many bits. */
static __always_inline __u32 shift_of(__u32 number)
{
	return number % REMORA_FLOW_WAYS * 8;
}

/* No new flow takes such a slot: its entry may be written to. */
static __always_inline bool is_live(const struct slot *slot)
{
	return slot->tags && (__u8)(slot->tags->ways >> shift_of(slot->number)) > BUSY;
}

/* From one tag to another, if it is that. */
static __always_inline bool swap_tag(const struct slot *slot, __u8 from, __u8 to)
{
	__u64 change = (__u64)(from ^ to) << shift_of(slot->number);

	for (int i = 0; i < SWAP_TRIES; i++) {
		__u64 before = slot->tags->ways;
		if ((__u8)(before >> shift_of(slot->number)) != from)
			return false;
		if (__sync_val_compare_and_swap(&slot->tags->ways, before, before ^ change) == before)
			return true;
	}
	return false;
}

/* Of a busy slot. A full barrier, as the result is asked for: who sees the tag sees the entry. */
static __always_inline void give_tag(const struct slot *slot, __u8 tag)
{
	__u64 before = __sync_fetch_and_xor(&slot->tags->ways, (__u64)(tag ^ BUSY) << shift_of(slot->number));

	barrier_var(before);
}

/* A slot of this set that is free, or else whose connection is over, taken: it is busy. */
static __always_inline struct slot take_slot(__u32 set)
{
	struct slot slot = {.tags = tags_of(set)};

	if (!slot.tags)
		return slot;
	for (int i = 0; i < SWAP_TRIES; i++) {
		__u64 before = slot.tags->ways, free = zeroes(before), over = ~before & EACH_LIVE;
		if (!over)
			return slot;
		__u32 way = lowest(free ? free : over);
		__u64 own = 0xffULL << shift_of(way), after = (before & ~own) | (BUSY * EACH & own);
		if (__sync_val_compare_and_swap(&slot.tags->ways, before, after) != before)
			continue;
		slot.number = set * REMORA_FLOW_WAYS + way;
		slot.entry = entry_at(slot.number);
		if (slot.entry && !free)
			unspill(slot.number, &slot.entry->key);
		return slot;
	}
	return slot;
}

/* Behind, in the emptier of two sets. */
static __always_inline struct slot spill(const struct place *place)
{
	struct remora_flow_tags *home = tags_of(place->home);
	const struct remora_flow_tags *first = tags_of(place->back[0]), *second = tags_of(place->back[1]);

	if (!home || !first || !second)
		return (struct slot){};
	__sync_fetch_and_add(&home->spilled, 1); /* first: who looks for the flow must look behind */
	struct slot slot = take_slot(live_in(second) < live_in(first) ? place->back[1] : place->back[0]);
	if (!slot.entry)
		__sync_fetch_and_add(&home->spilled, -1);
	return slot;
}

/* For a key that has no entry. False where there is no room. */
__noinline bool add_flow(const struct remora_flow *flow)
{
	if (!flow)
		return false;
	struct place place = place_of(&flow->key);
	struct slot slot = take_slot(place.home);

	if (!slot.entry)
		slot = spill(&place);
	if (!slot.entry || !slot.tags)
		return false;
	*slot.entry = *flow;
	give_tag(&slot, place.tag);
	return true;
}

/* The slot may be taken from now on, if its connection was not opened again meanwhile. */
static __always_inline void end_slot(const struct slot *slot, const struct remora_flow_key *key)
{
	__u8 live = place_of(key).tag, over = live ^ REMORA_FLOW_LIVE;

	if (!slot->entry || !slot->tags)
		return;
	if (swap_tag(slot, live, over) && !(slot->entry->flags & REMORA_FLOW_ENDING))
		swap_tag(slot, over, live);
}

/* Makes the key's own slot busy. Returns its tag, and 0 where the slot is another's by now. */
static __always_inline __u8 hold(const struct slot *slot, const struct remora_flow_key *key)
{
	__u8 tag = place_of(key).tag;

	if (!slot->entry || !slot->tags)
		return 0;
	if (!swap_tag(slot, tag, BUSY)) {
		tag ^= REMORA_FLOW_LIVE;
		if (!swap_tag(slot, tag, BUSY))
			return 0;
	}
	if (same_key(&slot->entry->key, key))
		return tag;
	give_tag(slot, tag);
	return 0;
}

/* Writes over the key's entry, though its connection may be over, or makes one. False where there is no room. */
static __always_inline bool put_flow(__u32 number, const struct remora_flow *flow)
{
	struct slot slot = slot_at(number);
	__u8 tag = hold(&slot, &flow->key);

	if (!tag)
		return add_flow(flow);
	settle(slot.entry);
	write_flow(slot.entry, flow);
	give_tag(&slot, tag | REMORA_FLOW_LIVE);
	return true;
}

/* How many entries went. */
__noinline int remove_flow(const struct remora_flow_key *key)
{
	if (!key)
		return 0;
	struct slot slot = find_slot(key);

	if (!hold(&slot, key))
		return 0;
	settle(slot.entry);
	unspill(slot.number, key);
	slot.entry->key = (struct remora_flow_key){};
	give_tag(&slot, 0);
	return 1;
}

#endif
