/* Which versions hold an item, and what becomes of those that may not. */
#include "commonhold/log.h"

#include "release_internal.h"

SQL(release_set_withdrawn, "UPDATE release SET withdrawn_at = commonhold_now(), withdrawn_why = $3, tombstones_from = $4, tombstones_upto = $5 WHERE coop_id = $1 AND id = $2");
SQL(release_widen_withdrawn,
	"UPDATE release SET tombstones_from = least(tombstones_from, $3), tombstones_upto = greatest(tombstones_upto, $4) WHERE coop_id = $1 AND id = $2");
SQL(releases_made,
	"SELECT id FROM release WHERE coop_id = $1 AND state IN ('published', 'superseded', 'withdrawn') AND version IS NOT NULL ORDER BY leaf, published_at");
SQL(not_cleared, "SELECT count(*) FROM release WHERE coop_id = $1 AND state = 'withdrawn' AND tombstones_from <= $2 AND cleared_at IS NULL");

/* ---- what holds what ---- */

/* One of the items asked about, with its place among them. */
struct asked { int64_t item; size_t place; };

/* The stored decisions as they stream by. */
struct searching {
	struct call *c;
	struct asked *asked;       /* by item */
	size_t n;
	const struct uuid *ids;    /* of the releases, by id … */
	const size_t *order;       /* … with the place of each among the oldest first */
	size_t n_releases;
	struct release_holding *out;
	bool *holds;               /* by release: at least one of the items */
};

static int by_item(const void *a, const void *b)
{
	int64_t x = ((const struct asked *)a)->item, y = ((const struct asked *)b)->item;
	return x < y ? -1 : x > y;
}

/* The first of those asked about that is not below `item`. */
static size_t first_from(const struct searching *s, int64_t item)
{
	size_t low = 0, high = s->n;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (s->asked[middle].item < item)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static size_t release_place(const struct searching *s, struct uuid id)
{
	size_t low = 0, high = s->n_releases;
	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = uuid_cmp(s->ids[middle], id);
		if (order == 0)
			return s->order[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return SIZE_MAX;
}

static enum err search_segment(void *arg, const struct copy_field *f, int n)
{
	struct searching *s = arg;
	size_t release = n == 5 ? release_place(s, copy_uuid(f[0])) : SIZE_MAX;
	if (release == SIZE_MAX)
		return fail(s->c, ERR_CORRUPT, "The stored decisions of a release are damaged.");
	int64_t base = copy_int(f[1]) * POOL_SEGMENT, items = copy_int(f[2]);
	struct str sets = copy_bytes(f[3]), codes = copy_bytes(f[4]);
	if (codes.n != (size_t)items * 2)
		return fail(s->c, ERR_CORRUPT, "The stored decisions of a release are damaged.");
	for (size_t i = first_from(s, base); i < s->n && s->asked[i].item < base + items; i++) {
		uint16_t code;
		uint64_t reasons;
		memcpy(&code, codes.p + (s->asked[i].item - base) * 2, 2);
		if ((size_t)code * 8 + 8 > sets.n)
			return fail(s->c, ERR_CORRUPT, "The stored decisions of a release are damaged.");
		memcpy(&reasons, sets.p + (size_t)code * 8, 8);
		if (!outcome_is_in((uint8_t)policy_outcome_of(reasons)))
			continue;
		s->out->bits[s->asked[i].place * s->out->words + release / 64] |= UINT64_C(1) << release % 64;
		s->holds[release] = true;
	}
	return ERR_OK;
}

/* The segments that the items are in, as an array's literal. */
static struct str segments_asked(struct arena *a, const struct asked *asked, size_t n)
{
	struct buf b;
	int64_t last = -1;
	buf_init(&b, 32 * MIB);
	buf_add_byte(&b, '{');
	for (size_t i = 0; i < n; i++) {
		int64_t no = asked[i].item / POOL_SEGMENT;
		if (no == last)
			continue;
		if (last >= 0)
			buf_add_byte(&b, ',');
		buf_add_i64(&b, no);
		last = no;
	}
	buf_add_byte(&b, '}');
	return buf_take(a, &b);
}

static enum err search(struct searching *s, struct uuid coop)
{
	struct call *c = s->c;
	struct str segments = segments_asked(c->arena, s->asked, s->n);
	if (!segments.p)
		return fail(c, ERR_TOO_LARGE, "These are too many items to look for at once.");
	struct db_arg args[] = { A_UUID(coop), A_STR(segments) };
	return db_copy_out(c,
		"COPY (SELECT s.release_id, s.no, s.items, s.sets, s.codes FROM release r JOIN release_segment s ON s.coop_id = r.coop_id AND s.release_id = r.id AND s.stage = 'built' "
		"AND s.no = ANY ($2::integer[]) WHERE r.coop_id = $1 AND r.state IN ('published', 'superseded', 'withdrawn') AND r.version IS NOT NULL) TO STDOUT (FORMAT binary)",
		args, CH_LEN(args), search_segment, s);
}

/* Ids for binary search. */
struct named { struct uuid id; size_t place; };

static int by_id(const void *a, const void *b)
{
	return uuid_cmp(((const struct named *)a)->id, ((const struct named *)b)->id);
}

/* Leaves out the releases that hold none of the items, so that bits and releases agree. */
static enum err keep_holding(struct searching *s, struct uuid coop, const struct rows *made)
{
	struct call *c = s->c;
	struct release_holding *out = s->out;
	size_t *now = ARENA_ARRAY(c->arena, s->n_releases, size_t), kept = 0;
	for (size_t r = 0; r < s->n_releases; r++)
		if (s->holds[r])
			now[r] = kept++;
	out->releases = ARENA_ARRAY(c->arena, kept, struct release);
	out->n = kept;
	size_t words = (kept + 63) / 64;
	uint64_t *bits = ARENA_ARRAY(c->arena, out->n_items * words, uint64_t);
	for (size_t r = 0; r < s->n_releases; r++) {
		if (!s->holds[r])
			continue;
		TRY(release_get(c, coop, row_uuid(made, (int)r, 0), &out->releases[now[r]]));
		for (size_t i = 0; i < out->n_items; i++)
			if (release_holds(out, i, r))
				bits[i * words + now[r] / 64] |= UINT64_C(1) << now[r] % 64;
	}
	out->bits = bits;
	out->words = words;
	return ERR_OK;
}

enum err release_holding(struct call *c, struct uuid coop, const int64_t *items, size_t n, struct release_holding *out)
{
	struct rows made;
	*out = (struct release_holding){ .n_items = n };
	if (n == 0)
		return ERR_OK;
	TRY(db_query(c, releases_made, &made, A_UUID(coop)));
	size_t n_releases = (size_t)made.n;
	struct named *named = ARENA_ARRAY(c->arena, n_releases, struct named);
	for (size_t i = 0; i < n_releases; i++)
		named[i] = (struct named){ row_uuid(&made, (int)i, 0), i };
	qsort(named, n_releases, sizeof(*named), by_id);
	struct uuid *ids = ARENA_ARRAY(c->arena, n_releases, struct uuid);
	size_t *order = ARENA_ARRAY(c->arena, n_releases, size_t);
	for (size_t i = 0; i < n_releases; i++) {
		ids[i] = named[i].id;
		order[i] = named[i].place;
	}
	struct asked *asked = ARENA_ARRAY(c->arena, n, struct asked);
	for (size_t i = 0; i < n; i++)
		asked[i] = (struct asked){ items[i], i };
	qsort(asked, n, sizeof(*asked), by_item);
	out->words = (n_releases + 63) / 64;
	out->bits = ARENA_ARRAY(c->arena, n * out->words, uint64_t);
	struct searching s = { .c = c, .asked = asked, .n = n, .ids = ids, .order = order, .n_releases = n_releases, .out = out,
		.holds = ARENA_ARRAY(c->arena, n_releases, bool) };
	if (n_releases)
		TRY(search(&s, coop));
	return keep_holding(&s, coop, &made);
}

size_t release_holding_versions(struct arena *a, const struct release_holding *h, size_t i, struct str **out)
{
	size_t n = 0;
	*out = ARENA_ARRAY(a, h->n, struct str);
	for (size_t r = 0; r < h->n; r++)
		if (release_holds(h, i, r))
			(*out)[n++] = h->releases[r].version;
	return n;
}

/* ---- withdrawing ---- */

/* Without the tombstones: which of them came together is nobody's to know for ever. */
static struct str withdrawn_facts(struct call *c, const struct release *r, struct str why)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "reason", why);
	jw_kstr(&w, "release", uuid_format(c->arena, r->id));
	jw_kstr(&w, "version", r->version);
	jw_end_object(&w);
	return buf_take(c->arena, &b);
}

enum err release_withdraw(struct call *c, struct uuid coop, struct uuid release, struct str why, int64_t from, int64_t upto)
{
	const struct db_arg none = { .type = DB_INT8, .null = true };
	struct release r;
	/* The log before the release: whoever publishes holds the log when it comes to what was published before. */
	TRY(ledger_lock(c, coop));
	TRY(release_take(c, coop, release, &r));
	if (r.state == RELEASE_WITHDRAWN)
		return from < 0 ? ERR_OK : db_exec(c, release_widen_withdrawn, A_UUID(coop), A_UUID(release), A_I64(from), A_I64(upto));
	TRY(release_move(c, &r, RELEASE_WITHDRAWN, withdrawn_facts(c, &r, why)));
	return db_exec(c, release_set_withdrawn, A_UUID(coop), A_UUID(release), A_STR(why), from < 0 ? none : A_I64(from), from < 0 ? none : A_I64(upto));
}

enum err release_move_to(struct call *c, const struct release *from, struct release *to, struct str *patch)
{
	TRY(release_latest(c, from->coop, to));
	*patch = uuid_eq(to->redacts, from->id) ? patch_path(c->arena, from->version, to->version) : STR_NONE;
	return ERR_OK;
}

enum err release_not_cleared(struct call *c, struct uuid coop, int64_t upto, int64_t *n)
{
	struct rows r;
	TRY(db_one(c, not_cleared, &r, A_UUID(coop), A_I64(upto)));
	*n = row_int(&r, 0, 0);
	return ERR_OK;
}
