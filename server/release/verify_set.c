/* Which rids were seen: open addressing over eight bytes of each rid's leaf hash. Two rids that share them are as unlikely as 2^-64 a pair, and would fail a release, not pass one. */
#include "verify_internal.h"

bool rid_set_init(struct rid_set *s, size_t n)
{
	size_t slots = 64;
	while (slots < n * 2)
		slots *= 2;
	*s = (struct rid_set){ .slots = calloc(slots, sizeof(*s->slots)), .mask = slots - 1 };
	return s->slots != NULL;
}

void rid_set_release(struct rid_set *s)
{
	free((void *)s->slots);
	*s = (struct rid_set){ .slots = NULL };
}

static uint64_t rid_word(struct sha256 leaf_hash)
{
	uint64_t word;
	memcpy(&word, leaf_hash.b, sizeof(word));
	return word ? word : 1;
}

bool rid_set_add(struct rid_set *s, struct sha256 leaf_hash)
{
	uint64_t word = rid_word(leaf_hash);
	for (size_t at = word & s->mask, steps = 0; steps <= s->mask; at = (at + 1) & s->mask, steps++) {
		uint64_t there = 0;
		if (atomic_compare_exchange_strong(&s->slots[at], &there, word))
			return true;
		if (there == word)
			return false;
	}
	return true;
}

bool rid_set_has(const struct rid_set *s, struct sha256 leaf_hash)
{
	uint64_t word = rid_word(leaf_hash);
	for (size_t at = word & s->mask; s->slots; at = (at + 1) & s->mask) {
		uint64_t there = atomic_load(&s->slots[at]);
		if (there == word)
			return true;
		if (there == 0)
			return false;
	}
	return false;
}
