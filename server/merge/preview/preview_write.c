/* Writing a preview: what a pool would hold under an agreement, without saying what or whose. Pure. */
#include "preview_internal.h"

#include "commonhold/json.h"

#include <stdlib.h>

#define NOBODY UINT32_MAX

/* An item that is listed. */
struct listed { struct sha256 h; uint32_t item; };
/* A person who is listed. */
struct shuffled { struct sha256 order; uint32_t member; };

struct writing {
	struct arena *a;
	const struct preview_source *from;
	struct listed *items;
	size_t n_items;
	uint32_t *who;             /* by member number */
	struct shuffled *people;
	size_t n_people;
	int64_t unlisted[64];
	int64_t candidates;
	struct buf out;
};

/* Set rules are about both pools; whatever else keeps an item out keeps it out of the list too. */
static bool passes(policy_reasons reasons)
{
	return policy_outcome_of(reasons) <= POLICY_CONDITIONAL;
}

static bool is_own(const struct release_trial *t, size_t i)
{
	return !(t->words[i] & POLICY_ITEM_TOMBSTONED) && (!t->more || !(t->more[i] >> POLICY_MORE_ORIGIN_SHIFT & 0xff));
}

static int by_first_bytes(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct sha256));
}

static struct sha256 keyed(const struct writing *w, const void *p, size_t n)
{
	return hmac_sha256(str_make(w->from->key, 32), str_make(p, n));
}

/* What would not go under the agreement is listed for what it loses, under a number that tells nobody anything. */
static struct sha256 blind(const struct writing *w, const uint8_t hash[32])
{
	return hmac_sha256(str_make(w->from->blind, 32), str_make(hash, 32));
}

static void count(struct writing *w, policy_reasons reasons)
{
	for (unsigned no = 0; no < POLICY_REASON_COUNT; no++)
		w->unlisted[no] += (int64_t)(reasons >> no & 1);
}

/* Which items are listed, in order of what nobody can guess. Of the same content only the first is: the others are duplicates of it. */
static void pick_items(struct writing *w)
{
	const struct release_trial *t = w->from->trial;
	w->items = ARENA_ARRAY(w->a, t->n + 1, struct listed);
	for (size_t i = 0; w->items && i < t->n; i++) {
		if (!is_own(t, i))
			continue;
		w->candidates++;
		if (passes(t->alone[i]) || passes(t->joint[i]))
			w->items[w->n_items++] = (struct listed){ passes(t->joint[i]) ? keyed(w, t->hashes[i], 32) : blind(w, t->hashes[i]), (uint32_t)i };
		else
			count(w, t->alone[i]);
	}
	if (w->n_items)
		qsort(w->items, w->n_items, sizeof(*w->items), by_first_bytes);
	size_t kept = 0;
	for (size_t i = 0; i < w->n_items; i++)
		if (kept == 0 || !sha256_eq(w->items[kept - 1].h, w->items[i].h))
			w->items[kept++] = w->items[i];
		else
			count(w, POLICY_REASON(DUPLICATE_OF));
	w->n_items = kept;
}

static void pick_people(struct writing *w)
{
	const struct release_trial *t = w->from->trial;
	w->who = ARENA_ARRAY(w->a, t->n_members + 1, uint32_t);
	w->people = ARENA_ARRAY(w->a, t->n_members + 1, struct shuffled);
	for (size_t m = 0; m < t->n_members; m++)
		w->who[m] = NOBODY;
	for (size_t i = 0; i < w->n_items; i++) {
		uint32_t m = t->members[w->items[i].item];
		if (m >= t->n_members || w->who[m] != NOBODY)
			continue;
		w->who[m] = 0;
		w->people[w->n_people++] = (struct shuffled){ keyed(w, w->from->members[m].b, 16), m };
	}
	if (w->n_people)
		qsort(w->people, w->n_people, sizeof(*w->people), by_first_bytes);
	for (size_t i = 0; i < w->n_people; i++)
		w->who[w->people[i].member] = (uint32_t)i;
}

static void write_reasons(struct json_writer *w, const char *key, policy_reasons reasons)
{
	jw_key(w, key);
	jw_array(w);
	for (unsigned no = 0; no < POLICY_REASON_COUNT; no++)
		if (reasons >> no & 1)
			jw_z(w, policy_reason_get(no)->name);
	jw_end_array(w);
}

static void write_header(struct writing *w, struct json_writer *j)
{
	const struct preview_source *from = w->from;
	jw_object(j);
	jw_kstr(j, "agreement", sha256_hex(w->a, from->terms->digest));
	jw_kstr(j, "as_of", clock_format(w->a, from->trial->at));
	jw_key(j, "charter");
	jw_raw(j, from->charter->document);
	jw_kint(j, "charter_version", from->charter->version);
	jw_key(j, "counts");
	jw_object(j);
	jw_kint(j, "candidates", w->candidates);
	jw_kint(j, "items", (int64_t)w->n_items);
	jw_kint(j, "people", (int64_t)w->n_people);
	jw_key(j, "unlisted");
	jw_object(j);
	for (unsigned no = 0; no < POLICY_REASON_COUNT; no++)
		if (w->unlisted[no])
			jw_kint(j, policy_reason_get(no)->name, w->unlisted[no]);
	jw_end_object(j);
	jw_end_object(j);
	jw_kstr(j, "from", from->from);
	jw_kstr(j, "to", from->to);
	jw_kint(j, "v", 1);
	jw_end_object(j);
	buf_add_byte(&w->out, '\n');
}

static void write_person(struct writing *w, struct json_writer *j, size_t i)
{
	const struct release_trial *t = w->from->trial;
	uint32_t m = w->people[i].member;
	const struct policy_member *p = &t->people[m];
	jw_object(j);
	jw_key(j, "consent");
	jw_object(j);
	jw_kstr(j, "expires", p->consent_expires == POLICY_NEVER ? STR_NONE : clock_format(w->a, p->consent_expires));
	jw_knames(j, "purposes", p->purposes, POLICY_PURPOSE_COUNT, policy_purpose_name);
	jw_end_object(j);
	jw_key(j, "kinds");
	jw_object(j);
	for (unsigned kind = 0; kind < POLICY_KIND_COUNT; kind++) {
		const struct policy_row *row = &t->rows[(size_t)m * POLICY_KIND_COUNT + kind];
		if (!(row->allow | row->allow_if | row->deny))
			continue;
		jw_key(j, policy_kind_name(kind));
		jw_object(j);
		jw_knames(j, "allow", row->allow, POLICY_USE_COUNT, policy_use_name);
		jw_knames(j, "allow_if", row->allow_if, POLICY_USE_COUNT, policy_use_name);
		jw_knames(j, "deny", row->deny, POLICY_USE_COUNT, policy_use_name);
		jw_knames(j, "duties", row->duties, POLICY_DUTY_COUNT, policy_duty_name);
		jw_end_object(j);
	}
	jw_end_object(j);
	jw_kint(j, "who", (int64_t)i);
	jw_end_object(j);
	buf_add_byte(&w->out, '\n');
}

/* Steps of 64 bytes, as the pool packs a length, to the next power of two. */
static int64_t rounded_bytes(uint64_t more)
{
	uint64_t bytes = (more >> POLICY_MORE_LENGTH_SHIFT & 0xffff) * 64, power = 64;
	while (power < bytes)
		power *= 2;
	return (int64_t)power;
}

static void write_item(struct writing *w, struct json_writer *j, const struct listed *item)
{
	const struct release_trial *t = w->from->trial;
	struct policy_item p = policy_item_unpack(t->words[item->item], t->more ? t->more[item->item] : 0, t->members[item->item]);
	struct civil created = clock_civil(p.created);
	jw_object(j);
	write_reasons(j, "alone", t->alone[item->item]);
	jw_kint(j, "bytes", rounded_bytes(p.more));
	jw_kstr(j, "h", sha256_hex(w->a, item->h));
	write_reasons(j, "joint", t->joint[item->item]);
	jw_kz(j, "kind", policy_kind_name(p.kind));
	jw_kint(j, "lang", (int64_t)(p.more & 0xff));
	jw_kz(j, "licence", policy_licence_get(p.licence)->spdx);
	jw_kstr(j, "month", str_fmt(w->a, "%04d-%02d", created.year, created.month));
	jw_kint(j, "who", p.member < t->n_members ? (int64_t)w->who[p.member] : -1);
	jw_end_object(j);
	buf_add_byte(&w->out, '\n');
}

/* The last line: who signed, and what. */
static void write_signature(struct writing *w)
{
	uint8_t signature[64];
	struct str digest = sha256_hex(w->a, sha256(buf_str(&w->out)));
	sign_bytes(w->from->sign, str_cat(w->a, STR(PREVIEW_SIGNED_PREFIX), digest), signature);
	buf_addf(&w->out, "{\"key\":\"%.*s\",\"sig\":\"%.*s\"}\n", STR_ARG(str_hex(w->a, w->from->sign->public_key, 32)), STR_ARG(str_base64(w->a, signature, sizeof(signature))));
}

enum err preview_write(struct arena *a, const struct preview_source *from, struct str *file, uint32_t **who, struct error *e)
{
	struct writing w = { .a = a, .from = from };
	struct json_writer j;
	pick_items(&w);
	pick_people(&w);
	buf_init(&w.out, PREVIEW_MAX);
	jw_init(&j, &w.out);
	write_header(&w, &j);
	for (size_t i = 0; i < w.n_people; i++) {
		struct arena_mark mark = arena_mark(a);
		jw_init(&j, &w.out);
		write_person(&w, &j, i);
		arena_rewind(a, mark);
	}
	for (size_t i = 0; i < w.n_items; i++) {
		struct arena_mark mark = arena_mark(a);
		jw_init(&j, &w.out);
		write_item(&w, &j, &w.items[i]);
		arena_rewind(a, mark);
	}
	write_signature(&w);
	*who = w.who;
	*file = buf_take(a, &w.out);
	return file->p ? ERR_OK : error_set(e, ERR_TOO_LARGE, "The pool is too large for a preview: it may have %d MiB.", (int)(PREVIEW_MAX / MIB));
}
