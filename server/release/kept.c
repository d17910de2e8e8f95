/* What stands in a release's rows of their other origins, kept for redactions: these copy rows line by line, so that a row can stay as it is or go, and goes to the shard where it was. */
#include "joint_internal.h"

#define MOVED_BYTES 5
#define ORIGIN_BYTES 21

SQL(kept_insert, "INSERT INTO release_kept (coop_id, release_id, moved, origins) VALUES ($1, $2, $3, $4) ON CONFLICT (coop_id, release_id) DO UPDATE SET moved = $3, origins = $4");
SQL(kept_copy,
	"INSERT INTO release_kept (coop_id, release_id, moved, origins) SELECT coop_id, $3, moved, origins FROM release_kept WHERE coop_id = $1 AND release_id = $2 "
	"ON CONFLICT (coop_id, release_id) DO UPDATE SET moved = excluded.moved, origins = excluded.origins");
SQL(kept_select, "SELECT moved, origins FROM release_kept WHERE coop_id = $1 AND release_id = $2");

static uint32_t item_at(struct str packed, size_t at)
{
	uint32_t item;
	memcpy(&item, packed.p + at, sizeof(item));
	return item;
}

static size_t place_of(struct str packed, size_t each, uint32_t item)
{
	size_t low = 0, high = packed.n / each;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (item_at(packed, middle * each) < item)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

enum err kept_load(struct call *c, struct uuid coop, struct uuid release, struct kept *out)
{
	struct rows r;
	*out = (struct kept){ .known = true };
	TRY(db_query(c, kept_select, &r, A_UUID(coop), A_UUID(release)));
	if (r.n == 0)
		return ERR_OK;
	out->moved = row_bytes(&r, 0, 0);
	out->origins = row_bytes(&r, 0, 1);
	return ERR_OK;
}

/* ---- keeping ---- */

static void pack_moved(struct buf *b, const struct decided *d)
{
	for (size_t i = 0; i < d->guests->n_moved; i++) {
		const struct decided_moved *m = &d->guests->moved[i];
		if (!outcome_is_in(d->outcomes[m->item]))
			continue;
		buf_add(b, &m->item, sizeof(m->item));
		buf_add_byte(b, (char)(d->words[m->item] >> POLICY_ITEM_LICENCE_SHIFT & 63));
	}
}

static void pack_origins(struct buf *b, const struct decided *d)
{
	for (size_t i = 0; i < d->guests->n_origins; i++) {
		const struct decided_origin *o = &d->guests->origins[i];
		if (o->item >= d->n || !outcome_is_in(d->outcomes[o->item]))
			continue;
		buf_add(b, &o->item, sizeof(o->item));
		buf_add_byte(b, (char)o->origin);
		buf_add(b, o->id, sizeof(o->id));
	}
}

enum err kept_store(struct call *c, struct uuid release, const struct decided *d)
{
	struct buf moved, origins;
	if (!d->guests || d->guests->n_origins == 0)
		return ERR_OK;
	buf_init(&moved, d->guests->n_moved * MOVED_BYTES + 1);
	buf_init(&origins, d->guests->n_origins * ORIGIN_BYTES + 1);
	pack_moved(&moved, d);
	pack_origins(&origins, d);
	enum err e = moved.failed || origins.failed ? fail(c, ERR_NO_MEMORY, "There is no memory to keep what a release's rows name.")
		: db_exec(c, kept_insert, A_UUID(d->coop), A_UUID(release), A_BYTES(str_make(moved.p ? moved.p : "", moved.n)), A_BYTES(str_make(origins.p ? origins.p : "", origins.n)));
	buf_release(&moved);
	buf_release(&origins);
	return e;
}

enum err kept_store_again(struct call *c, const struct release *base, struct uuid release)
{
	return db_exec(c, kept_copy, A_UUID(base->coop), A_UUID(base->id), A_UUID(release));
}

/* ---- holding a redaction to it ---- */

/* Kept origins and those that stand now come in one order; what is kept and does not come is gone, and its row with it. */
struct standing { struct call *c; const struct kept *k; policy_reasons *reasons; size_t n, at; };

static int order_of(const struct standing *s, uint32_t item, int origin, struct uuid id)
{
	struct str kept = str_sub(s->k->origins, s->at, s->at + ORIGIN_BYTES);
	uint32_t its = item_at(kept, 0);
	int home = (uint8_t)kept.p[4];
	if (its != item)
		return its < item ? -1 : 1;
	return home != origin ? home - origin : memcmp(kept.p + 5, id.b, 16);
}

static void row_goes(struct standing *s)
{
	uint32_t item = item_at(s->k->origins, s->at);
	if (item < s->n)
		s->reasons[item] |= POLICY_REASON(TOMBSTONED);
	s->at += ORIGIN_BYTES;
}

static enum err compare_origin(void *arg, const struct copy_field *f, int n)
{
	struct standing *s = arg;
	if (n != 3 || f[2].n != 16)
		return fail(s->c, ERR_CORRUPT, "An origin's row is not as it should be.");
	uint32_t item = (uint32_t)copy_int(f[0]);
	int origin = (int)copy_int(f[1]);
	struct uuid id = copy_uuid(f[2]);
	while (s->at < s->k->origins.n && order_of(s, item, origin, id) < 0)
		row_goes(s);
	if (s->at < s->k->origins.n && order_of(s, item, origin, id) == 0)
		s->at += ORIGIN_BYTES;
	return ERR_OK;
}

enum err kept_bind(struct call *c, struct uuid coop, const struct kept *k, policy_reasons *reasons, size_t n)
{
	struct standing s = { c, k, reasons, n, 0 };
	struct db_arg args[] = { A_UUID(coop) };
	if (k->origins.n == 0)
		return ERR_OK;
	TRY(db_copy_out(c, "COPY (SELECT item_no, origin, id FROM item_origin WHERE coop_id = $1 ORDER BY item_no, origin, id) TO STDOUT (FORMAT binary)", args, CH_LEN(args), compare_origin, &s));
	while (s.at < k->origins.n)
		row_goes(&s);
	return ERR_OK;
}

static void set_licence(uint64_t *word, unsigned licence)
{
	*word = (*word & ~(UINT64_C(63) << POLICY_ITEM_LICENCE_SHIFT)) | (uint64_t)licence << POLICY_ITEM_LICENCE_SHIFT;
}

enum err kept_licences(struct call *c, const struct kept *k, struct decided *d)
{
	struct decided_guests *g = d->guests;
	size_t n = k->moved.n / MOVED_BYTES;
	if (!g)
		return ERR_OK;
	for (size_t i = 0; i < g->n_moved; i++)
		set_licence(&d->words[g->moved[i].item], g->moved[i].own);
	g->n_moved = 0;
	g->moved = ARENA_ARRAY(d->arena, n + 1, struct decided_moved);
	if (!g->moved)
		return fail(c, ERR_NO_MEMORY, "There is no memory for the licences of a release's rows.");
	for (size_t i = 0; i < n; i++) {
		uint32_t item = item_at(k->moved, i * MOVED_BYTES);
		if (item >= d->n)
			continue;
		g->moved[g->n_moved++] = (struct decided_moved){ .item = item, .shard = d->shards[item], .own = (uint8_t)(d->words[item] >> POLICY_ITEM_LICENCE_SHIFT & 63) };
		set_licence(&d->words[item], (uint8_t)k->moved.p[i * MOVED_BYTES + 4]);
	}
	return ERR_OK;
}

enum err kept_each(const struct kept *k, uint32_t item, kept_fn fn, void *arg)
{
	for (size_t i = place_of(k->origins, ORIGIN_BYTES, item); i < k->origins.n / ORIGIN_BYTES && item_at(k->origins, i * ORIGIN_BYTES) == item; i++) {
		const char *at = k->origins.p + i * ORIGIN_BYTES;
		TRY(fn(arg, item, (uint8_t)at[4], (const uint8_t *)at + 5));
	}
	return ERR_OK;
}
