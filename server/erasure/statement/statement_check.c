/* What a statement says of itself, checked without a server. */
#include "commonhold/erasure_statement.h"

#include "commonhold/ledger.h"
#include "commonhold/tombstone.h"

#include <stdlib.h>

/* One check at work. */
struct look {
	struct arena *a;
	const struct json *said;      /* the payload */
	uint8_t key[32];              /* that it names */
	struct keychain chain;        /* of the co-op, as far as known here */
	size_t key_no;                /* which of its keys that is, from 0 */
	struct erasure_statement_result *out;
	struct check **last;          /* where the next check goes */
	struct str origin;            /* of the log, as its checkpoint gives it */
};

static void found(struct look *l, const char *id, bool ok, struct str text)
{
	struct check *c = ARENA_NEW(l->a, struct check);
	*c = (struct check){ .id = id, .ok = ok, .text = text };
	*l->last = c;
	l->last = &c->next;
	l->out->ok &= ok;
}

/* Which key signs, by its own word, and whether the reader's trust leads to it. */
static bool look_at_keys(struct look *l, const struct keychain_trust *trust)
{
	const struct json *coop = json_get(l->said, "coop"), *keys = json_get(coop, "keys");
	struct keychain carried;
	struct error e = { 0 };
	bool named = minisign_parse_key(l->a, json_member_text(coop, "public_key"), l->key);
	if (!named && !trust->pin)
		return found(l, "key", false, STR("The statement names no key. Give --key.")), false;
	if (!named)
		memcpy(l->key, trust->pin, 32);
	if (keys && keychain_read_json(l->a, keys, &carried, &e) != ERR_OK)
		return found(l, "key", false, str_fmt(l->a, "The statement's chain of keys: %s", e.message)), false;
	if (keychain_settle(l->a, trust, keys ? &carried : NULL, json_member_text(coop, "key_name"), l->key, &l->chain, &l->key_no, &l->out->pinned, &e) != ERR_OK)
		return found(l, "key", false, str_fmt(l->a, "The statement %s.", e.message)), false;
	return true;
}

static void look_at_signature(struct look *l, struct str text)
{
	struct error e = { 0 };
	struct str payload;
	uint8_t keys[1][32];
	memcpy(keys[0], l->key, 32);
	bool ok = dsse_verify(l->a, text, (const uint8_t (*)[32])keys, 1, 1, STR(ERASURE_STATEMENT_TYPE), &payload, &e) == ERR_OK;
	found(l, "signature", ok, ok ? l->out->pinned ? STR("It is signed with the key that you gave, or one that it leads to.") : STR("It is signed with the key that it names itself.")
		: str_fmt(l->a, "The signature does not hold: %s", e.message));
}

/* The first line of a checkpoint. */
static struct str origin_of(struct str note)
{
	ptrdiff_t end = str_index(note, '\n');
	return end < 0 ? STR("") : str_sub(note, 0, (size_t)end);
}

static void look_at_log(struct look *l)
{
	struct error e = { 0 };
	struct str note = json_member_text(l->said, "checkpoint");
	struct sha256 root;
	uint64_t size = 0;
	l->origin = origin_of(note);
	bool ok = checkpoint_verify(l->a, note, l->origin, l->key, &size, &root, &e) == ERR_OK;
	if (ok && (size > INT64_MAX || !keychain_signs_size(&l->chain, l->key_no, (int64_t)size)))
		ok = error_set(&e, ERR_INVALID, "the key was not in force when the log had %llu lines.", (unsigned long long)size) == ERR_OK;
	found(l, "log", ok, ok ? str_fmt(l->a, "The checkpoint of the log %.*s is signed with the same key, over %llu lines.", STR_ARG(l->origin), (unsigned long long)size)
		: str_fmt(l->a, "The checkpoint of the log does not hold: %s", e.message));
}

/* The envelope of the feed's head stands in the statement as JSON: written again in the form that was signed around. */
static struct str head_text(struct look *l, const struct json *head)
{
	struct buf b;
	buf_init(&b, 64 * KIB);
	if (head)
		json_canonical(&b, head, true);
	return buf_take(l->a, &b);
}

static void look_at_feed(struct look *l)
{
	struct error e = { 0 };
	struct tombstone_head head;
	const struct json *stones = json_get(l->said, "tombstones");
	struct str text = head_text(l, json_get(stones, "head"));
	int64_t last = json_int(json_get(stones, "last"), -1);
	if (!text.p || tombstone_head_read_signed(l->a, text, &l->chain, l->origin, &head, &e) != ERR_OK) {
		found(l, "feed", false, str_fmt(l->a, "The head of the feed of tombstones does not hold: %s", e.message[0] ? e.message : "it is missing"));
		return;
	}
	bool ok = head.upto >= last;
	found(l, "feed", ok, ok ? str_fmt(l->a, "The head of the feed of tombstones is signed with the same key and reaches number %lld.", (long long)head.upto)
		: STR("The feed of tombstones does not reach as far as the statement says."));
}

static int by_value(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}

static bool any_twice(int64_t *list, size_t n)
{
	qsort(list, n, sizeof *list, by_value);
	for (size_t i = 1; i < n; i++)
		if (list[i] == list[i - 1])
			return true;
	return false;
}

static void look_at_items(struct look *l)
{
	const struct json *items = json_get(l->said, "items"), *stones = json_get(l->said, "tombstones");
	int64_t first = json_int(json_get(stones, "first"), -1), last = json_int(json_get(stones, "last"), -1), *seen = ARENA_ARRAY(l->a, (items ? items->count : 0) + 1, int64_t);
	size_t n = 0;
	bool inside = true;
	json_each(item, items) {
		int64_t at = json_int(json_get(item, "tombstone"), -1);
		if (at < 0)
			continue;
		inside &= at >= first && at <= last;
		seen[n++] = at;
	}
	l->out->items = json_int(json_get(l->said, "items_in_all"), 0);
	bool ok = inside && !any_twice(seen, n) && (items ? items->count : 0) <= l->out->items;
	found(l, "items", ok, ok ? str_fmt(l->a, "Of %lld items, %zu have a tombstone each.", (long long)l->out->items, n) : STR("The items and their tombstones do not go together."));
}

/* Each stage that was reached was reached after the one before. */
static void look_at_times(struct look *l)
{
	static const char *const stages[] = { "effective", "purged", "propagating", "completed" };
	const struct json *request = json_get(l->said, "request");
	instant before = INSTANT_NONE, at;
	bool ok = true;
	for (size_t i = 0; i < CH_LEN(stages); i++) {
		struct str text = json_member_text(request, stages[i]);
		if (!text.p)
			continue;
		ok &= clock_parse(text, &at) && at >= before;
		before = at;
	}
	l->out->request = json_member_text(request, "id");
	l->out->state = json_member_text(request, "state");
	found(l, "times", ok, ok ? str_fmt(l->a, "The request is %.*s; its stages follow each other.", STR_ARG(l->out->state)) : STR("Its stages do not follow each other."));
}

static void look_at_recipients(struct look *l)
{
	const struct json *counts = json_get(l->said, "recipients_in_all");
	int64_t confirmed = 0, total = json_int(json_get(counts, "total"), 0), said = json_int(json_get(counts, "confirmed"), 0);
	struct sha256 receipt;
	bool ok = true;
	json_each(r, json_get(l->said, "recipients")) {
		bool has = json_member_text(r, "confirmed").p != NULL;
		confirmed += has;
		ok &= !has || (json_member_text(r, "method").n && sha256_parse(json_member_text(r, "receipt_sha256"), &receipt));
	}
	ok &= confirmed <= said && said <= total;
	found(l, "recipients", ok, ok ? str_fmt(l->a, "%lld of %lld recipients had confirmed.", (long long)said, (long long)total) : STR("What it says about recipients does not go together."));
}

static enum err payload_of(struct arena *a, struct str text, const struct json **out, struct error *e)
{
	const struct json *envelope;
	struct str payload;
	TRY(json_parse(a, text, &envelope, e));
	if (!str_is(json_member_text(envelope, "payloadType"), ERASURE_STATEMENT_TYPE))
		return error_set(e, ERR_INVALID, "This is no statement about a deletion.");
	if (!str_unbase64(a, json_member_text(envelope, "payload"), &payload))
		return error_set(e, ERR_CORRUPT, "The statement's payload is no base64.");
	return json_parse(a, payload, out, e);
}

enum err erasure_statement_check(struct arena *a, struct str text, const struct keychain_trust *trust, struct erasure_statement_result *out, struct error *e)
{
	struct look l = { .a = a, .out = out };
	*out = (struct erasure_statement_result){ .ok = true, .pinned = false };
	l.last = &out->checks;
	TRY(payload_of(a, text, &l.said, e));
	if (!look_at_keys(&l, trust))
		return ERR_OK;
	look_at_signature(&l, text);
	look_at_log(&l);
	look_at_feed(&l);
	look_at_items(&l);
	look_at_times(&l);
	look_at_recipients(&l);
	return ERR_OK;
}
