/* Reading a preview that somebody else wrote. Nothing in it is believed but what it says of its own pool. Pure. */
#include "preview_internal.h"

#include "commonhold/json.h"

#define LINE_MAX ((size_t)1 * MIB)
#define ITEM_LEAST 64 /* bytes of a line about an item: its digest alone has as many */

struct reading {
	struct arena *a;
	struct outline *out;
	int64_t n_items, n_people; /* as the header says */
	int64_t most;              /* lines that a file of this size can have: what is said to follow and cannot takes no memory */
	int64_t line;
	struct error *e;
};

static enum err bad(struct reading *r, const char *why)
{
	return error_set(r->e, ERR_INVALID, "Line %lld of the preview %s.", (long long)r->line, why);
}

/* Names to bits; false for a name that is not known, or twice. */
static bool names_read(const struct json *names, int (*find)(const char *name, size_t len), uint64_t *bits)
{
	*bits = 0;
	if (!json_is(names, JSON_ARRAY))
		return false;
	json_each(name, names) {
		int no = json_text(name).p ? find(json_text(name).p, json_text(name).n) : -1;
		if (no < 0 || no > 63 || (*bits >> no & 1))
			return false;
		*bits |= UINT64_C(1) << no;
	}
	return true;
}

static bool uses_read(const struct json *o, const char *key, uint16_t *out)
{
	uint64_t bits;
	bool ok = names_read(json_get(o, key), policy_use_find, &bits);
	*out = (uint16_t)bits;
	return ok;
}

static bool unlisted_read(const struct json *o, int64_t counts[64])
{
	if (!json_is(o, JSON_OBJECT))
		return false;
	json_each(count, o) {
		int no = policy_reason_find(count->key.p, count->key.n);
		if (no < 0 || json_int(count, -1) < 0)
			return false;
		counts[no] = json_int(count, 0);
	}
	return true;
}

static enum err header_read(struct reading *r, struct str line)
{
	struct outline *p = r->out;
	const struct json *h;
	struct buf b;
	TRY(json_parse(r->a, line, &h, r->e));
	const struct json *charter = json_get(h, "charter"), *counts = json_get(h, "counts");
	r->n_items = json_int(json_get(counts, "items"), -1);
	r->n_people = json_int(json_get(counts, "people"), -1);
	p->candidates = json_int(json_get(counts, "candidates"), -1);
	p->from = json_member_text(h, "from");
	p->to = json_member_text(h, "to");
	p->charter_version = (int)json_int(json_get(h, "charter_version"), 0);
	if (h->count != 8 || json_int(json_get(h, "v"), 0) != 1 || !sha256_parse(json_member_text(h, "agreement"), &p->agreement) || !clock_parse(json_member_text(h, "as_of"), &p->as_of) ||
		p->from.n != 16 || p->to.n != 16 || p->charter_version < 1 || !json_is(charter, JSON_OBJECT) || !unlisted_read(json_get(counts, "unlisted"), p->unlisted))
		return bad(r, "is not the head of one");
	if (r->n_items < 0 || r->n_items > PREVIEW_ITEMS_MAX || r->n_items > r->most || r->n_people < 0 || r->n_people > r->n_items || p->candidates < r->n_items)
		return bad(r, "counts what cannot be");
	buf_init(&b, LIMIT_CHARTER_FILLED);
	json_canonical(&b, charter, true);
	p->charter = buf_take(r->a, &b);
	p->people = ARENA_ARRAY(r->a, (size_t)r->n_people + 1, struct preview_person);
	p->items = ARENA_ARRAY(r->a, (size_t)r->n_items + 1, struct preview_item);
	return p->charter.p && p->people && p->items ? ERR_OK : error_set(r->e, ERR_NO_MEMORY, "There is no memory for the preview.");
}

static bool row_read(const struct json *o, struct policy_row *row)
{
	uint64_t duties;
	if (o->count != 4 || !uses_read(o, "allow", &row->allow) || !uses_read(o, "allow_if", &row->allow_if) || !uses_read(o, "deny", &row->deny) ||
		!names_read(json_get(o, "duties"), policy_duty_find, &duties))
		return false;
	row->duties = (uint16_t)duties;
	return !(row->allow & row->allow_if) && !(row->deny & (row->allow | row->allow_if)) && (row->allow_if == 0 || duties);
}

static enum err person_read(struct reading *r, const struct json *o)
{
	struct preview_person *p = &r->out->people[r->out->n_people];
	const struct json *consent = json_get(o, "consent"), *expires = json_get(consent, "expires");
	uint64_t purposes;
	if (o->count != 3 || json_int(json_get(o, "who"), -1) != (int64_t)r->out->n_people || !names_read(json_get(consent, "purposes"), policy_purpose_find, &purposes))
		return bad(r, "is not about the next person");
	p->purposes = (uint32_t)purposes;
	p->consent_expires = INSTANT_NEVER;
	if (!json_is(expires, JSON_NULL) && !clock_parse(json_text(expires), &p->consent_expires))
		return bad(r, "does not say until when the consent lasts");
	json_each(kind, json_get(o, "kinds")) {
		int no = policy_kind_find(kind->key.p, kind->key.n);
		if (no < 0 || !json_is(kind, JSON_OBJECT) || !row_read(kind, &p->said[no]))
			return bad(r, "says what nobody can say");
	}
	r->out->n_people++;
	return ERR_OK;
}

static bool month_read(struct str s, int *out)
{
	int64_t year, month;
	if (s.n != 7 || s.p[4] != '-' || !str_to_i64(str_sub(s, 0, 4), 1970, 9999, &year) || !str_to_i64(str_sub(s, 5, 2), 1, 12, &month))
		return false;
	*out = (int)(year * 12 + month - 1);
	return true;
}

static enum err item_read(struct reading *r, const struct json *o)
{
	struct outline *p = r->out;
	struct preview_item *item = &p->items[p->n_items];
	struct str kind = json_member_text(o, "kind"), licence = json_member_text(o, "licence");
	int no = kind.p ? policy_kind_find(kind.p, kind.n) : -1;
	int64_t who = json_int(json_get(o, "who"), -1);
	if (o->count != 9 || no < 0 || !licence.p || who < 0 || who >= (int64_t)p->n_people || !sha256_parse(json_member_text(o, "h"), &item->h) ||
		!names_read(json_get(o, "alone"), policy_reason_find, &item->alone) || !names_read(json_get(o, "joint"), policy_reason_find, &item->joint) ||
		!month_read(json_member_text(o, "month"), &item->month))
		return bad(r, "is not an item");
	item->kind = (uint8_t)no;
	item->licence = (uint8_t)policy_licence_find(licence.p, licence.n);
	item->who = (uint32_t)who;
	item->bytes = json_int(json_get(o, "bytes"), 0);
	if (p->n_items && memcmp(p->items[p->n_items - 1].h.b, item->h.b, 32) >= 0)
		return bad(r, "does not come after the one before");
	p->n_items++;
	return ERR_OK;
}

static enum err line_read(struct reading *r, struct str line)
{
	const struct json *o;
	struct arena_mark mark = arena_mark(r->a);
	bool people = (int64_t)r->out->n_people < r->n_people;
	if (json_parse(r->a, line, &o, r->e) != ERR_OK || !json_is(o, JSON_OBJECT))
		return bad(r, "is not JSON");
	if (!people && (int64_t)r->out->n_items == r->n_items)
		return bad(r, "is one too many");
	enum err e = people ? person_read(r, o) : item_read(r, o);
	arena_rewind(r->a, mark);
	return e;
}

/* Cuts the last line off and checks it over the rest. */
static enum err signature_check(struct reading *r, struct str *file)
{
	const struct json *o;
	struct str bytes, last;
	size_t at = file->n ? file->n - 1 : 0;
	while (at > 0 && file->p[at - 1] != '\n')
		at--;
	last = str_sub(*file, at, file->n - at - 1);
	*file = str_sub(*file, 0, at);
	if (file->n == 0 || json_parse(r->a, last, &o, r->e) != ERR_OK || o->count != 2 || !str_unhex(json_member_text(o, "key"), r->out->key, 32) ||
		!str_unbase64(r->a, json_member_text(o, "sig"), &bytes) || bytes.n != 64)
		return error_set(r->e, ERR_INVALID, "The preview does not end with a signature.");
	struct str message = str_cat(r->a, STR(PREVIEW_SIGNED_PREFIX), sha256_hex(r->a, sha256(*file)));
	return verify_bytes(r->out->key, message, (const uint8_t *)bytes.p) ? ERR_OK : error_set(r->e, ERR_INVALID, "The preview's signature does not hold.");
}

enum err preview_read(struct arena *a, struct str file, struct outline *out, struct error *e)
{
	struct reading r = { .a = a, .out = out, .e = e, .most = (int64_t)(file.n / ITEM_LEAST) };
	struct str line, rest = file;
	*out = (struct outline){ 0 };
	if (file.n > PREVIEW_MAX)
		return error_set(e, ERR_TOO_LARGE, "The preview is larger than %d MiB.", (int)(PREVIEW_MAX / MIB));
	if (file.n < 2 || file.p[file.n - 1] != '\n')
		return error_set(e, ERR_INVALID, "The preview is cut off.");
	out->digest = sha256(file);
	TRY(signature_check(&r, &rest));
	rest = str_sub(rest, 0, rest.n - 1);
	while (str_split(&rest, '\n', &line)) {
		r.line++;
		if (line.n > LINE_MAX)
			return bad(&r, "is too long");
		TRY(r.line == 1 ? header_read(&r, line) : line_read(&r, line));
	}
	return (int64_t)out->n_items == r.n_items && (int64_t)out->n_people == r.n_people ? ERR_OK : error_set(e, ERR_INVALID, "The preview lists less than it says.");
}
