/* Files of lines, each a canonical JSON object. */
#include "verify_internal.h"

void lines_init(struct line_reader *r, line_fn fn, void *arg)
{
	*r = (struct line_reader){ .fn = fn, .arg = arg };
	buf_init(&r->held, VERIFY_LINE_MAX);
}

void lines_release(struct line_reader *r)
{
	buf_release(&r->held);
}

static bool hold(struct line_reader *r, const char *p, size_t n)
{
	buf_add(&r->held, p, n);
	if (r->held.failed)
		r->fault = "a line is longer than a line may be";
	return !r->held.failed;
}

bool lines_feed(struct line_reader *r, const char *p, size_t n)
{
	while (n) {
		const char *end = memchr(p, '\n', n);
		if (!end)
			return hold(r, p, n);
		size_t length = (size_t)(end - p);
		bool whole = r->held.n == 0;
		if (!whole && !hold(r, p, length))
			return false;
		if (!r->fn(r->arg, whole ? str_make(p, length) : buf_str(&r->held)))
			return false;
		buf_clear(&r->held);
		p = end + 1;
		n -= length + 1;
	}
	return true;
}

bool lines_end(struct line_reader *r)
{
	if (r->held.n == 0)
		return true;
	r->fault = "the last line is not ended";
	return false;
}

const struct json *line_object(struct arena *a, struct buf *scratch, struct str line, const char **why)
{
	const struct json *v;
	struct error e = { 0 };
	*why = "it is not JSON";
	if (json_parse(a, line, &v, &e) != ERR_OK)
		return NULL;
	*why = "it is not an object";
	if (v->type != JSON_OBJECT)
		return NULL;
	*why = "it is not in canonical form";
	buf_clear(scratch);
	json_canonical(scratch, v, true);
	return !scratch->failed && str_eq(buf_str(scratch), line) ? v : NULL;
}

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
