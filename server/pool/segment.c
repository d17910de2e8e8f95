/* segment.c - the pool's policy columns packed into segments, and reading them and the sealed contents as streams.
 *
 * A segment that is fresh answers for its rows in every snapshot that sees it: whoever changes a row makes the segment stale in the same transaction, and a packer holds
 * the pool's lock from before it reads until it commits.
 */
#include "server/pool/overlay.h"

#include <stdlib.h>

#define PACK_AT_ONCE 8 /* segments in memory while packing: 2.4 MB */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "packed columns are little-endian");

/* Updates the row, so that changes under an older snapshot fail instead of being missed; a packer under a snapshot of its own could miss some, so it does nothing. */
SQL(head_lock_to_pack,
	"UPDATE pool_head SET next_item = next_item WHERE coop_id = $1 AND current_setting('transaction_isolation') = 'read committed' RETURNING next_item");
SQL(arriving_settle, "SELECT pool_settle_arriving($1)");
SQL(segments_known, "SELECT no, NOT dirty AND upto = least($2, (no + 1) * 4096::bigint) FROM pool_segment WHERE coop_id = $1 ORDER BY no");
/* Up to the first number whose row is still being written. */
SQL(pool_size, "SELECT pool_size($1)");
SQL(segment_put,
	"INSERT INTO pool_segment (coop_id, no, items, upto, ids, members, words, mores, hashes, shards) "
	"SELECT $1, unnest($2)::integer, unnest($3)::integer, unnest($4), unnest($5), unnest($6), unnest($7), unnest($8), unnest($9), unnest($10) "
	"ON CONFLICT (coop_id, no) DO UPDATE SET items = excluded.items, upto = excluded.upto, ids = excluded.ids, members = excluded.members, words = excluded.words, "
	"mores = excluded.mores, hashes = excluded.hashes, shards = excluded.shards, dirty = false");
SQL(shards_all, "SELECT no, kind, licence, month FROM shard_key WHERE coop_id = $1 ORDER BY no");

static const char rows_copy[] =
	"COPY (SELECT item_no, id, member_no, word, more, content_sha256, shard FROM contribution WHERE coop_id = $1 AND item_no >= $2 AND item_no < $3 ORDER BY item_no) "
	"TO STDOUT (FORMAT binary)";
static const char segments_copy[] =
	"COPY (SELECT no, items, CASE WHEN $4 THEN ids END, CASE WHEN $5 THEN members END, CASE WHEN $6 THEN words END, CASE WHEN $7 THEN mores END, "
	"CASE WHEN $8 THEN hashes END, CASE WHEN $9 THEN shards END FROM pool_segment WHERE coop_id = $1 AND no >= $2 AND no < $3 ORDER BY no) TO STDOUT (FORMAT binary)";
static const char content_copy[] =
	"COPY (SELECT id, lang, sealed FROM contribution_content WHERE coop_id = $1 AND shard = $2 AND id >= $3 AND id <= $4 ORDER BY id) TO STDOUT (FORMAT binary)";

/* One segment's columns in memory. */
struct columns {
	uint8_t ids[POOL_SEGMENT][16];
	uint64_t words[POOL_SEGMENT], more[POOL_SEGMENT];
	uint8_t hashes[POOL_SEGMENT][32];
	uint32_t members[POOL_SEGMENT], shards[POOL_SEGMENT];
	int no;
	size_t n;
};

/* Which segments are as the rows are. */
struct freshness { int64_t items; int segments; bool *fresh; };

static enum err freshness_read(struct call *c, struct uuid coop, int64_t items, struct freshness *out)
{
	struct rows r;
	*out = (struct freshness){ .items = items, .segments = (int)((items + POOL_SEGMENT - 1) / POOL_SEGMENT) };
	out->fresh = ARENA_ARRAY(c->arena, (size_t)out->segments + 1, bool);
	TRY(db_query(c, segments_known, &r, A_UUID(coop), A_I64(items)));
	for (int i = 0; i < r.n; i++) {
		int64_t no = row_int(&r, i, 0);
		if (no >= 0 && no < out->segments)
			out->fresh[no] = row_bool(&r, i, 1);
	}
	return ERR_OK;
}

/* The end of the run of equally fresh segments that begins at `from`, at most `max` long. */
static int run_end(const struct freshness *f, int from, int max)
{
	int to = from + 1;
	while (to < f->segments && to - from < max && f->fresh[to] == f->fresh[from])
		to++;
	return to;
}

/* ---- From rows ---- */

/* Rows on their way into columns; `full` takes each segment that is complete. */
struct gathering {
	struct call *call;
	struct columns *at;      /* the segment that is being filled */
	enum err (*full)(struct gathering *g);
	pool_segment_fn fn;      /* scanning: who is told */
	void *arg;
	unsigned columns;        /* scanning: what was asked for … */
	unsigned read;           /* … and what is read: members too, where a whole member's items are withdrawn */
	struct overlay *over;    /* scanning: withdrawals, laid over the words */
};

static enum err gather_row(void *arg, const struct copy_field *f, int n)
{
	struct gathering *g = arg;
	int64_t item_no = copy_int(f[0]);
	int no = (int)(item_no / POOL_SEGMENT);
	if (n != 7 || f[1].n != 16 || f[5].n != 32)
		return fail(g->call, ERR_CORRUPT, "A contribution's row is not as it should be.");
	if (g->at->n && g->at->no != no)
		TRY(g->full(g));
	struct columns *k = g->at;
	if (item_no != (int64_t)no * POOL_SEGMENT + (int64_t)k->n)
		return fail(g->call, ERR_CORRUPT, "The pool's item numbers have a gap before %lld.", (long long)item_no);
	k->no = no;
	memcpy(k->ids[k->n], f[1].p, 16);
	k->members[k->n] = (uint32_t)copy_int(f[2]);
	k->words[k->n] = (uint64_t)copy_int(f[3]);
	k->more[k->n] = (uint64_t)copy_int(f[4]);
	memcpy(k->hashes[k->n], f[5].p, 32);
	k->shards[k->n] = (uint32_t)copy_int(f[6]);
	k->n++;
	return ERR_OK;
}

static enum err gather_rows(struct call *c, struct uuid coop, const struct freshness *f, int from, int to, struct gathering *g)
{
	int64_t first = (int64_t)from * POOL_SEGMENT, end = (int64_t)to * POOL_SEGMENT;
	if (end > f->items)
		end = f->items;
	TRY(db_copy_out(c, rows_copy, (struct db_arg[]){ A_UUID(coop), A_I64(first), A_I64(end) }, 3, gather_row, g));
	return g->at->n ? g->full(g) : ERR_OK;
}

/* ---- Packing ---- */

static enum err pack_next(struct gathering *g)
{
	g->at++;
	g->at->n = 0;
	return ERR_OK;
}

static enum err segments_put(struct call *c, struct uuid coop, struct columns *k, size_t n)
{
	int64_t numbers[3][PACK_AT_ONCE];
	struct str bytes[6][PACK_AT_ONCE];
	for (size_t i = 0; i < n; i++) {
		size_t items = k[i].n;
		numbers[0][i] = k[i].no;
		numbers[1][i] = (int64_t)items;
		numbers[2][i] = (int64_t)k[i].no * POOL_SEGMENT + (int64_t)items;
		bytes[0][i] = str_make(k[i].ids, items * 16);
		bytes[1][i] = str_make(k[i].members, items * 4);
		bytes[2][i] = str_make(k[i].words, items * 8);
		bytes[3][i] = str_make(k[i].more, items * 8);
		bytes[4][i] = str_make(k[i].hashes, items * 32);
		bytes[5][i] = str_make(k[i].shards, items * 4);
	}
	return db_queue(c, segment_put, A_UUID(coop), A_I64S(numbers[0], n), A_I64S(numbers[1], n), A_I64S(numbers[2], n), A_BYTEAS(bytes[0], n), A_BYTEAS(bytes[1], n),
		A_BYTEAS(bytes[2], n), A_BYTEAS(bytes[3], n), A_BYTEAS(bytes[4], n), A_BYTEAS(bytes[5], n));
}

static enum err pack_run(struct call *c, struct uuid coop, const struct freshness *f, int from, int to, int64_t *packed)
{
	struct arena_mark mark = arena_mark(c->arena);
	struct columns *k = ARENA_ARRAY(c->arena, PACK_AT_ONCE + 1, struct columns);
	struct gathering g = { .call = c, .at = k, .full = pack_next };
	TRY(gather_rows(c, coop, f, from, to, &g));
	size_t n = (size_t)(g.at - k);
	if (n)
		TRY(segments_put(c, coop, k, n));
	*packed += (int64_t)n;
	arena_rewind(c->arena, mark);
	return ERR_OK;
}

enum err pool_pack(struct call *c, struct uuid coop, int64_t *packed)
{
	struct rows r;
	struct freshness f;
	*packed = 0;
	TRY(db_query(c, head_lock_to_pack, &r, A_UUID(coop)));
	if (r.n == 0)
		return ERR_OK;
	TRY(db_exec(c, arriving_settle, A_UUID(coop)));
	TRY(db_one(c, pool_size, &r, A_UUID(coop)));
	TRY(freshness_read(c, coop, row_int(&r, 0, 0), &f));
	for (int from = 0, to; from < f.segments; from = to) {
		to = run_end(&f, from, f.fresh[from] ? f.segments : PACK_AT_ONCE);
		if (!f.fresh[from])
			TRY(pack_run(c, coop, &f, from, to, packed));
	}
	return ERR_OK;
}

/* ---- Packing what is being written ---- */

struct pool_packer { struct columns at; int64_t next; /* the item that would follow; -1: none does before a segment begins */ };

struct pool_packer *pool_packer_new(void)
{
	struct pool_packer *p = malloc(sizeof(*p));
	if (p)
		p->next = -1;
	return p;
}

void pool_packer_free(struct pool_packer *p)
{
	free(p);
}

enum err pool_packer_add(struct pool_packer *p, struct call *c, struct uuid coop, const struct pool_packed *item)
{
	struct columns *k = &p->at;
	if (item->item_no % POOL_SEGMENT == 0) {
		k->no = (int)(item->item_no / POOL_SEGMENT);
		k->n = 0;
	} else if (item->item_no != p->next) {
		p->next = -1;
		return ERR_OK;
	}
	p->next = item->item_no + 1;
	memcpy(k->ids[k->n], item->id.b, 16);
	memcpy(k->hashes[k->n], item->hash.b, 32);
	k->members[k->n] = item->member;
	k->words[k->n] = item->word;
	k->more[k->n] = item->more;
	k->shards[k->n++] = item->shard;
	if (k->n < POOL_SEGMENT)
		return ERR_OK;
	p->next = -1;
	return segments_put(c, coop, k, 1);
}

/* ---- Scanning ---- */

static enum err tell(struct gathering *g)
{
	struct columns *k = g->at;
	unsigned w = g->columns;
	if (w & POOL_WORDS && !(w & POOL_AS_WRITTEN))
		overlay_lay(g->over, (int64_t)k->no * POOL_SEGMENT, k->n, k->members, k->words);
	struct pool_segment s = {
		.no = k->no, .n = k->n, .ids = w & POOL_IDS ? (const uint8_t (*)[16])k->ids : NULL, .members = w & POOL_MEMBERS ? k->members : NULL,
		.words = w & POOL_WORDS ? k->words : NULL, .more = w & POOL_MORE ? k->more : NULL, .hashes = w & POOL_HASHES ? (const uint8_t (*)[32])k->hashes : NULL,
		.shards = w & POOL_SHARDS ? k->shards : NULL,
	};
	k->n = 0;
	return g->fn(g->arg, &s);
}

/* A column out of the stream into aligned memory; false when its size is wrong. */
static bool column_take(struct copy_field f, bool wanted, void *to, size_t size)
{
	if (!wanted)
		return true;
	if (f.n < 0 || (size_t)f.n != size)
		return false;
	memcpy(to, f.p, size);
	return true;
}

static enum err scan_segment(void *arg, const struct copy_field *f, int fields)
{
	struct gathering *g = arg;
	struct columns *k = g->at;
	unsigned w = g->read;
	int64_t n = fields == 8 ? copy_int(f[1]) : -1;
	if (n < 0 || n > POOL_SEGMENT)
		return fail(g->call, ERR_CORRUPT, "A packed segment of the pool is not as it should be.");
	size_t items = (size_t)n;
	k->no = (int)copy_int(f[0]);
	k->n = items;
	bool right = column_take(f[2], w & POOL_IDS, k->ids, items * 16) && column_take(f[3], w & POOL_MEMBERS, k->members, items * 4)
		&& column_take(f[4], w & POOL_WORDS, k->words, items * 8) && column_take(f[5], w & POOL_MORE, k->more, items * 8)
		&& column_take(f[6], w & POOL_HASHES, k->hashes, items * 32) && column_take(f[7], w & POOL_SHARDS, k->shards, items * 4);
	return right ? tell(g) : fail(g->call, ERR_CORRUPT, "A packed segment of the pool is not as it should be.");
}

static enum err scan_packed(struct call *c, struct uuid coop, int from, int to, struct gathering *g)
{
	unsigned w = g->read;
	struct db_arg args[] = {
		A_UUID(coop), A_INT(from), A_INT(to), A_BOOL(w & POOL_IDS), A_BOOL((w & POOL_MEMBERS) != 0), A_BOOL((w & POOL_WORDS) != 0), A_BOOL((w & POOL_MORE) != 0),
		A_BOOL((w & POOL_HASHES) != 0), A_BOOL((w & POOL_SHARDS) != 0),
	};
	return db_copy_out(c, segments_copy, args, CH_LEN(args), scan_segment, g);
}

enum err pool_scan_columns(struct call *c, struct uuid coop, unsigned columns, pool_segment_fn fn, void *arg)
{
	struct rows r;
	struct freshness f;
	struct overlay over;
	TRY(overlay_ask(c, coop, &over));
	TRY(db_one(c, pool_size, &r, A_UUID(coop)));
	if (row_null(&r, 0, 0))
		return ERR_OK;
	TRY(overlay_take(c, &over));
	TRY(freshness_read(c, coop, row_int(&r, 0, 0), &f));
	struct gathering g = {
		.call = c, .at = ARENA_NEW(c->arena, struct columns), .full = tell, .fn = fn, .arg = arg, .columns = columns, .over = &over,
		.read = columns | (columns & POOL_WORDS && !(columns & POOL_AS_WRITTEN) && overlay_needs_members(&over) ? POOL_MEMBERS : 0),
	};
	for (int from = 0, to; from < f.segments; from = to) {
		to = run_end(&f, from, f.segments);
		if (f.fresh[from])
			TRY(scan_packed(c, coop, from, to, &g));
		else
			TRY(gather_rows(c, coop, &f, from, to, &g));
	}
	return ERR_OK;
}

/* ---- Contents ---- */

struct content_scan { struct call *call; pool_content_fn fn; void *arg; };

static enum err scan_content(void *arg, const struct copy_field *f, int n)
{
	struct content_scan *s = arg;
	if (n != 3 || f[0].n != 16)
		return fail(s->call, ERR_CORRUPT, "A content's row is not as it should be.");
	return s->fn(s->arg, f[0].p, copy_bytes(f[1]), copy_bytes(f[2]));
}

enum err pool_scan_content(struct call *c, struct uuid coop, uint32_t shard, const uint8_t first[16], const uint8_t last[16], pool_content_fn fn, void *arg)
{
	struct content_scan s = { c, fn, arg };
	struct uuid from, to;
	memcpy(from.b, first, 16);
	memcpy(to.b, last, 16);
	struct db_arg args[] = { A_UUID(coop), A_INT((int)shard), A_UUID(from), A_UUID(to) };
	return db_copy_out(c, content_copy, args, CH_LEN(args), scan_content, &s);
}

enum err pool_shard_keys(struct call *c, struct uuid coop, struct shard_key **out, size_t *n)
{
	struct rows r;
	TRY(db_query(c, shards_all, &r, A_UUID(coop)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n, struct shard_key);
	for (int i = 0; i < r.n; i++) {
		if (row_int(&r, i, 0) != i)
			return fail(c, ERR_CORRUPT, "The numbers of shard keys have a gap.");
		(*out)[i] = (struct shard_key){ (unsigned)row_int(&r, i, 1), (unsigned)row_int(&r, i, 2), (int)row_int(&r, i, 3) };
	}
	return ERR_OK;
}
