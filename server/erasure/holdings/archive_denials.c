/* archive_denials.c - what somebody said about uses in another co-op, read so that nothing denied there becomes allowed here.
 *
 * It errs on the side of no: a denial of a purpose or audience alone is kept with it, one of all items reaches every item whatever was said of its kind besides. */
#include "server/erasure/holdings/archive_internal.h"

#include "commonhold/words.h"

#include <stdlib.h>

#define SAID_MAX 500000 /* statements that count: 24 MB */

/* One matter: whose items, for which purpose and audience; and what the last words about each use were. */
struct said {
	struct uuid item;          /* nil: all, or those of a kind */
	uint32_t at;               /* in which order it was said */
	int8_t kind, purpose, audience; /* -1: any */
	uint16_t deny, allow, allow_if, duties; /* uses; conditions of allow_if */
	uint16_t uses;             /* named by this one */
};
struct denials {
	struct said *said;
	size_t n, cap, n_general; /* general ones come first once it is settled */
};

static void denials_end(void *arg)
{
	struct denials *d = arg;
	free(d->said);
	d->said = NULL;
}

enum err denials_new(struct call *c, struct denials **out)
{
	*out = ARENA_NEW(c->arena, struct denials);
	return arena_defer(c->arena, denials_end, *out) ? ERR_OK : fail(c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
}

static uint16_t bits_of(const struct json *list, int (*find)(const char *name, size_t len))
{
	uint16_t bits = 0;
	json_each (one, list) {
		struct str name = json_text(one);
		int no = name.p ? find(name.p, name.n) : -1;
		if (no >= 0)
			bits |= (uint16_t)POLICY_BIT(no);
	}
	return bits;
}

static int8_t number_of(const struct json *statement, const char *key, int (*find)(const char *name, size_t len))
{
	struct str name = json_member_text(statement, key);
	int no = name.p ? find(name.p, name.n) : -1;
	return (int8_t)no;
}

/* Layers 1 and 2 alone: what delegates said is not the person's. A statement that came with an item as a preference string travels with the item. */
static bool counts(const struct json *statement)
{
	int64_t layer = json_int(json_get(statement, "layer"), 0);
	return str_is(json_member_text(statement, "what"), "statement") && (layer == POLICY_LAYER_ITEM || layer == POLICY_LAYER_SUBJECT) && !json_bool(json_get(statement, "external"), false);
}

enum err denials_add(struct denials *d, const struct json *statement, struct error *e)
{
	if (!counts(statement))
		return ERR_OK;
	if (d->n == SAID_MAX)
		return error_set(e, ERR_TOO_LARGE, "The archive has more statements than can be taken into account.");
	if (d->n == d->cap) {
		size_t cap = d->cap ? d->cap * 2 : 64;
		struct said *more = realloc(d->said, cap * sizeof(*more));
		if (!more)
			return error_set(e, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
		d->said = more;
		d->cap = cap;
	}
	struct str effect = json_member_text(statement, "effect");
	struct said s = { .at = (uint32_t)d->n, .kind = number_of(statement, "kind", policy_kind_find), .purpose = number_of(statement, "purpose", policy_purpose_find),
		.audience = number_of(statement, "audience", policy_audience_find), .uses = bits_of(json_get(statement, "uses"), policy_use_find),
		.duties = bits_of(json_get(statement, "duties"), policy_duty_find) };
	if (json_get(statement, "item") && json_get(statement, "item")->type == JSON_STRING && !uuid_parse(json_member_text(statement, "item"), &s.item))
		return error_set(e, ERR_CORRUPT, "A statement of the archive names no item.");
	s.deny = str_is(effect, "deny") ? s.uses : 0;
	s.allow = str_is(effect, "allow") ? s.uses : 0;
	s.allow_if = str_is(effect, "allow_if") ? s.uses : 0;
	d->said[d->n++] = s;
	return ERR_OK;
}

/* By matter, then as they were said. The nil item comes first. */
static int matter_cmp(const struct said *a, const struct said *b)
{
	int by = uuid_cmp(a->item, b->item);
	if (by)
		return by;
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->purpose != b->purpose)
		return a->purpose < b->purpose ? -1 : 1;
	return (a->audience > b->audience) - (a->audience < b->audience);
}

static int said_cmp(const void *x, const void *y)
{
	const struct said *a = x, *b = y;
	int by = matter_cmp(a, b);
	return by ? by : (a->at > b->at) - (a->at < b->at);
}

void denials_settle(struct denials *d)
{
	size_t n = 0;
	if (d->n)
		qsort(d->said, d->n, sizeof(*d->said), said_cmp);
	for (size_t i = 0; i < d->n; i++) {
		struct said *now = &d->said[i], *last = n ? &d->said[n - 1] : NULL;
		if (!last || matter_cmp(last, now) != 0) {
			d->said[n++] = *now;
			continue;
		}
		last->deny = (uint16_t)((last->deny & ~now->uses) | now->deny);
		last->allow = (uint16_t)((last->allow & ~now->uses) | now->allow);
		last->allow_if = (uint16_t)((last->allow_if & ~now->uses) | now->allow_if);
		last->duties |= now->duties;
	}
	d->n = n;
	for (d->n_general = 0; d->n_general < n && uuid_is_nil(d->said[d->n_general].item);)
		d->n_general++;
}

static const char *name_or_null(int8_t no, const char *(*name)(unsigned no))
{
	return no < 0 ? NULL : name((unsigned)no);
}

static struct statement denial(const struct said *s, struct uuid here)
{
	const char *purpose = name_or_null(s->purpose, policy_purpose_name), *audience = name_or_null(s->audience, policy_audience_name);
	return (struct statement){
		.layer = POLICY_LAYER_ITEM, .item = here, .uses = s->deny, .effect = STR("deny"), .purpose = purpose ? str_of(purpose) : STR_NONE, .audience = audience ? str_of(audience) : STR_NONE,
		.valid_from = INSTANT_NONE, .valid_to = INSTANT_NONE,
	};
}

/* Past the last place there is, denials lose what they are limited to: rather too much is denied than too little. */
static void add_denial(struct statement out[DENIALS_OF_ITEM], size_t *n, const struct said *s, struct uuid here)
{
	if (!s->deny)
		return;
	if (*n < DENIALS_OF_ITEM) {
		out[(*n)++] = denial(s, here);
		return;
	}
	struct statement *last = &out[DENIALS_OF_ITEM - 1];
	last->uses |= s->deny;
	last->purpose = last->audience = STR_NONE;
}

size_t denials_of(const struct denials *d, struct uuid there, unsigned kind, struct uuid here, struct statement out[DENIALS_OF_ITEM])
{
	size_t n = 0, low = d->n_general, high = d->n;
	for (size_t i = 0; i < d->n_general; i++)
		if (d->said[i].kind < 0 || (unsigned)d->said[i].kind == kind)
			add_denial(out, &n, &d->said[i], here);
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (uuid_cmp(d->said[middle].item, there) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < d->n && uuid_eq(d->said[low].item, there); low++)
		add_denial(out, &n, &d->said[low], here);
	return n;
}

/* ---- Offers ---- */

static void offer(struct call *c, const struct said *s, uint16_t uses, const char *effect, struct archive_offer *out)
{
	struct buf b;
	struct json_writer w;
	const char *purpose = name_or_null(s->purpose, policy_purpose_name), *audience = name_or_null(s->audience, policy_audience_name), *kind = name_or_null(s->kind, policy_kind_name);
	bool conditional = strcmp(effect, "allow_if") == 0;
	buf_init(&b, 8 * KIB);
	jw_init(&w, &b);
	jw_object(&w);
	if (audience)
		jw_kz(&w, "audience", audience);
	if (conditional)
		jw_knames(&w, "duties", s->duties, POLICY_DUTY_COUNT, policy_duty_name);
	jw_kz(&w, "effect", effect);
	if (kind)
		jw_kz(&w, "kind", kind);
	if (purpose)
		jw_kz(&w, "purpose", purpose);
	jw_knames(&w, "uses", uses, POLICY_USE_COUNT, policy_use_name);
	jw_end_object(&w);
	struct str list = words_list(c->arena, uses, POLICY_USE_COUNT, words_use);
	*out = (struct archive_offer){ .kind = STR("statement"), .json = buf_take(c->arena, &b), .stricter = strcmp(effect, "deny") == 0,
		.words = str_fmt(c->arena, "%s %.*s%s%s.", conditional ? "You allowed, on conditions," : effect[0] == 'd' ? "You said no to" : "You allowed", STR_ARG(list),
			kind ? " of " : "", kind ? words_kind((unsigned)s->kind) : "") };
}

enum err denials_offers(struct call *c, const struct denials *d, struct archive_offer **out, size_t *n)
{
	*n = 0;
	*out = ARENA_ARRAY(c->arena, 3 * d->n_general + 2, struct archive_offer);
	for (size_t i = 0; i < d->n_general; i++) {
		const struct said *s = &d->said[i];
		if (s->deny)
			offer(c, s, s->deny, "deny", &(*out)[(*n)++]);
		if (s->allow)
			offer(c, s, s->allow, "allow", &(*out)[(*n)++]);
		if (s->allow_if)
			offer(c, s, s->allow_if, "allow_if", &(*out)[(*n)++]);
	}
	return ERR_OK;
}
