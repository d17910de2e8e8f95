/* Appending: under the lock of the log's head, leaves are hashed and inserted, tiles that become full are kept, and the head moves on. */
#include "server/ledger/ledger.h"
#include "commonhold/json.h"

/* Leaves in one statement: a multiple of a tile, and small enough for the arena of a request. */
#define CHUNK 4096
/* Up to here the statements travel with whatever comes next; more are sent at once, so that their memory can be given back. */
#define QUEUE_MAX 64

SQL(head_read, "SELECT origin, size, frontier, public_key FROM log_head WHERE coop_id = $1");
SQL(head_lock, "SELECT origin, size, frontier, public_key FROM log_head WHERE coop_id = $1 FOR UPDATE");
SQL(head_move, "UPDATE log_head SET size = $2, frontier = $3 WHERE coop_id = $1");
SQL(leaf_insert,
	"INSERT INTO log_leaf (coop_id, idx, at, type, entry, hash)"
	" SELECT $1, $2 + leaf.no - 1, $3, $4, leaf.entry, leaf.hash FROM unnest($5::bytea[], $6::bytea[]) WITH ORDINALITY AS leaf (entry, hash, no)");
SQL(tile_insert,
	"INSERT INTO log_tile (coop_id, level, n, root, hashes)"
	" SELECT $1, $2, $3 + tile.no - 1, tile.root, tile.hashes FROM unnest($4::bytea[], $5::bytea[]) WITH ORDINALITY AS tile (root, hashes, no)");
SQL(leaf_hashes, "SELECT hash FROM log_leaf WHERE coop_id = $1 AND idx >= $2 AND idx < $3 ORDER BY idx");
SQL(tail_hashes, "SELECT hash FROM log_leaf WHERE coop_id = $1 AND idx >= (SELECT size - size % 256 FROM log_head WHERE coop_id = $1) ORDER BY idx LIMIT 256");
SQL(tile_roots, "SELECT root FROM log_tile WHERE coop_id = $1 AND level = $2 AND n >= $3 AND n < $4 ORDER BY n");

enum err log_enter(struct call *c, struct uuid coop)
{
	if (uuid_is_nil(c->coop))
		return db_enter_coop(c, coop);
	return uuid_eq(c->coop, coop) ? ERR_OK : fail(c, ERR_INTERNAL, "The log of one co-op was asked for within another.");
}

static enum err frontier_read(struct call *c, struct str frontier, struct log_head *head)
{
	head->builder = (struct merkle_builder){ .size = head->size, .depth = (unsigned)__builtin_popcountll(head->size) };
	if (frontier.n != (size_t)head->builder.depth * 32)
		return fail(c, ERR_CORRUPT, "The head of the log does not fit its size.");
	if (frontier.n)
		memcpy(head->builder.stack, frontier.p, frontier.n);
	return ERR_OK;
}

static enum err head_of_rows(struct call *c, const struct rows *rows, struct log_head *out)
{
	if (rows->n != 1)
		return fail(c, ERR_NOT_FOUND, "This co-op has no log.");
	out->origin = row_str(rows, 0, 0);
	out->size = (uint64_t)row_int(rows, 0, 1);
	struct str key = row_bytes(rows, 0, 3);
	if (key.n != sizeof(out->public_key))
		return fail(c, ERR_CORRUPT, "The log's key has the wrong length.");
	memcpy(out->public_key, key.p, sizeof(out->public_key));
	return frontier_read(c, row_bytes(rows, 0, 2), out);
}

enum err log_head_read(struct call *c, struct uuid coop, bool lock, struct log_head *out)
{
	struct rows rows;
	TRY(log_enter(c, coop));
	TRY(db_run(c, lock ? &head_lock : &head_read, &rows, (struct db_arg[]){ A_UUID(coop) }, 1));
	return head_of_rows(c, &rows, out);
}

static enum err hashes_take(struct call *c, const struct rows *rows, unsigned count, struct sha256 *out)
{
	if (rows->n != (int)count)
		return fail(c, ERR_CORRUPT, "The log has lost hashes.");
	for (int i = 0; i < rows->n; i++) {
		struct str hash = row_bytes(rows, i, 0);
		if (hash.n != 32)
			return fail(c, ERR_CORRUPT, "The log has a hash of the wrong length.");
		memcpy(out[i].b, hash.p, 32);
	}
	return ERR_OK;
}

enum err log_hashes(struct call *c, struct uuid coop, unsigned level, uint64_t first, unsigned count, struct sha256 *out)
{
	struct rows rows;
	int64_t begin = (int64_t)first, end = begin + count;
	if (level == 0)
		TRY(db_query(c, leaf_hashes, &rows, A_UUID(coop), A_I64(begin), A_I64(end)));
	else
		TRY(db_query(c, tile_roots, &rows, A_UUID(coop), A_INT((int)level - 1), A_I64(begin), A_I64(end)));
	return hashes_take(c, &rows, count, out);
}

/* {"at","by","data","t"} in canonical form: the members are written in their order. */
static enum err entry_write(struct call *c, const struct leaf *leaf, instant at, struct buf *out)
{
	const struct json *data;
	buf_clear(out);
	if (json_parse(c->arena, leaf->data, &data, &c->error) != ERR_OK || data->type != JSON_OBJECT)
		return fail(c, ERR_INVALID, "The facts of a leaf must be a JSON object.");
	struct json_writer w;
	jw_init(&w, out);
	jw_object(&w);
	jw_kstr(&w, "at", clock_format(c->arena, at));
	if (!uuid_is_nil(leaf->by))
		jw_kstr(&w, "by", uuid_format(c->arena, leaf->by));
	jw_key(&w, "data");
	jw_raw(&w, STR("")); /* the writer's place for the value, which json_canonical puts there */
	json_canonical(out, data, true);
	jw_kz(&w, "t", leaf->type);
	jw_end_object(&w);
	if (out->failed || out->n > LEDGER_ENTRY_MAX)
		return fail(c, ERR_TOO_LARGE, "The leaf is longer than %d bytes.", LEDGER_ENTRY_MAX);
	return ERR_OK;
}

/* The entry in the arena; what it took to make it is given back. `scratch` keeps its memory from leaf to leaf. */
static enum err entry_make(struct call *c, const struct leaf *leaf, instant at, struct buf *scratch, struct str *out)
{
	struct arena_mark mark = arena_mark(c->arena);
	TRY(entry_write(c, leaf, at, scratch));
	arena_rewind(c->arena, mark);
	*out = str_copy(c->arena, buf_str(scratch));
	return ERR_OK;
}

/* What stands around the facts of leaves of one type and instant that nobody is named in. */
struct around { struct str before, after; };

static enum err around_make(struct call *c, const char *type, instant at, struct buf *scratch, struct around *out)
{
	static const char between[] = "\"data\":{}";
	struct str entry;
	TRY(entry_make(c, &(struct leaf){ .type = type, .data = STR("{}") }, at, scratch, &entry));
	const char *data = memmem(entry.p, entry.n, between, sizeof(between) - 1);
	if (!data)
		return fail(c, ERR_INTERNAL, "A leaf has no place for its facts.");
	size_t end = (size_t)(data - entry.p) + sizeof(between) - 1;
	*out = (struct around){ str_sub(entry, 0, end - 2), str_sub(entry, end, entry.n) };
	return ERR_OK;
}

static enum err entry_join(struct call *c, const struct around *around, struct str data, struct str *out)
{
	if (around->before.n + data.n + around->after.n > LEDGER_ENTRY_MAX)
		return fail(c, ERR_TOO_LARGE, "The leaf is longer than %d bytes.", LEDGER_ENTRY_MAX);
	*out = str_join(c->arena, (struct str[]){ around->before, data, around->after }, 3);
	return ERR_OK;
}

static void scratch_release(void *scratch)
{
	buf_release(scratch);
}

static struct buf *scratch_new(struct arena *a)
{
	struct buf *scratch = ARENA_NEW(a, struct buf);
	buf_init(scratch, LEDGER_ENTRY_MAX + 1024);
	arena_defer(a, scratch_release, scratch);
	return scratch;
}

/* A run of new hashes at one level of tiles. */
struct run {
	unsigned level;
	uint64_t first;              /* index of the first of them */
	const struct sha256 *hashes; /* new ones */
	size_t n;
	const struct rows *before;   /* hashes of the tile that they go on with, where they were asked for; or NULL */
};

/* The full tiles that a run completes: inserts them and hands out their roots as the run of the level above. */
static enum err tiles_keep(struct call *c, struct uuid coop, const struct run *run, struct run *above)
{
	uint64_t begin = run->first / TILE_HASHES, end = (run->first + run->n) / TILE_HASHES;
	size_t tiles = (size_t)(end - begin), old = run->first % TILE_HASHES;
	*above = (struct run){ run->level + 1, begin, NULL, tiles, NULL };
	if (tiles == 0)
		return ERR_OK;
	struct sha256 *all = ARENA_ARRAY(c->arena, tiles * TILE_HASHES, struct sha256), *roots = ARENA_ARRAY(c->arena, tiles, struct sha256);
	struct str *root_bytes = ARENA_ARRAY(c->arena, tiles, struct str), *tile_bytes = ARENA_ARRAY(c->arena, tiles, struct str);
	if (run->before)
		TRY(hashes_take(c, run->before, (unsigned)old, all));
	else if (old)
		TRY(log_hashes(c, coop, run->level, begin * TILE_HASHES, (unsigned)old, all));
	memcpy(all + old, run->hashes, (tiles * TILE_HASHES - old) * sizeof(*all));
	for (size_t i = 0; i < tiles; i++) {
		roots[i] = merkle_root(all + i * TILE_HASHES, TILE_HASHES);
		root_bytes[i] = str_make(roots[i].b, 32);
		tile_bytes[i] = str_make(all + i * TILE_HASHES, TILE_HASHES * 32);
	}
	above->hashes = roots;
	return db_queue(c, tile_insert, A_UUID(coop), A_INT((int)run->level), A_I64((int64_t)begin), A_BYTEAS(root_bytes, tiles), A_BYTEAS(tile_bytes, tiles));
}

static enum err leaves_insert(struct call *c, struct uuid coop, uint64_t first, instant at, const char *type, const struct str *entries, const struct str *hashes, size_t n, bool wait)
{
	const struct db_arg args[] = { A_UUID(coop), A_I64((int64_t)first), A_TIME(at), A_Z(type), A_BYTEAS(entries, n), A_BYTEAS(hashes, n) };
	return !wait ? db_queue_run(c, &leaf_insert, args, CH_LEN(args)) : db_run(c, &leaf_insert, NULL, args, CH_LEN(args));
}

/* Up to CHUNK leaves: inserts them, grows the head and keeps full tiles, level by level. Hands out the entries and their hashes, for which there is room. `before` may be NULL. */
static enum err chunk_append(struct call *c, struct uuid coop, struct log_head *head, const struct rows *before, instant at, const struct leaf *leaves, size_t n, struct str *entries,
	struct sha256 *hashes)
{
	struct str *hash_bytes = ARENA_ARRAY(c->arena, n, struct str);
	struct run run = { 0, head->size, hashes, n, before }, above;
	struct buf *scratch = scratch_new(c->arena);
	struct around around;
	if (leaves->canonical)
		TRY(around_make(c, leaves->type, at, scratch, &around));
	for (size_t i = 0; i < n; i++) {
		TRY(leaves->canonical ? entry_join(c, &around, leaves[i].data, &entries[i]) : entry_make(c, &leaves[i], at, scratch, &entries[i]));
		hashes[i] = merkle_leaf(entries[i]);
		hash_bytes[i] = str_make(hashes[i].b, 32);
		merkle_add(&head->builder, hashes[i]);
	}
	TRY(leaves_insert(c, coop, head->size, at, leaves->type, entries, hash_bytes, n, !before && n > QUEUE_MAX));
	head->size += n;
	while (run.n && run.level < TILE_LEVELS) {
		TRY(tiles_keep(c, coop, &run, &above));
		run = above;
	}
	return ERR_OK;
}

static enum err head_store(struct call *c, struct uuid coop, const struct log_head *head)
{
	struct str frontier = str_make(head->builder.stack, (size_t)head->builder.depth * 32);
	return db_queue(c, head_move, A_UUID(coop), A_I64((int64_t)head->size), A_BYTES(frontier));
}

enum err log_grow(struct call *c, struct uuid coop, struct log_head *head, const struct sha256 *hashes, size_t n)
{
	struct run run = { 0, head->size, hashes, n, NULL }, above;
	for (size_t i = 0; i < n; i++)
		merkle_add(&head->builder, hashes[i]);
	head->size += n;
	while (run.n && run.level < TILE_LEVELS) {
		TRY(tiles_keep(c, coop, &run, &above));
		run = above;
	}
	return head_store(c, coop, head);
}

enum err ledger_lock(struct call *c, struct uuid coop)
{
	struct log_head head;
	return log_head_read(c, coop, true, &head);
}

enum err ledger_append(struct call *c, struct uuid coop, const struct leaf *leaf, int64_t *index)
{
	struct log_head head;
	struct str entry;
	struct sha256 hash;
	TRY(log_head_read(c, coop, true, &head));
	if (index)
		*index = (int64_t)head.size;
	/* The clock is read under the lock, so that the log's instants are in its order. */
	TRY(chunk_append(c, coop, &head, NULL, clock_now(), leaf, 1, &entry, &hash));
	return head_store(c, coop, &head);
}

static enum err append_chunks(struct call *c, struct uuid coop, struct log_head *head, const struct rows *before, const char *type, bool canonical, const struct str *data, size_t n)
{
	instant at = clock_now();
	for (size_t done = 0; done < n; done += CHUNK, before = NULL) {
		size_t count = n - done < CHUNK ? n - done : CHUNK;
		struct arena_mark mark = arena_mark(c->arena);
		struct leaf *leaves = ARENA_ARRAY(c->arena, count, struct leaf);
		for (size_t i = 0; i < count; i++)
			leaves[i] = (struct leaf){ .type = type, .data = data[done + i], .canonical = canonical };
		struct str *entries = ARENA_ARRAY(c->arena, count, struct str);
		TRY(chunk_append(c, coop, head, before, at, leaves, count, entries, ARENA_ARRAY(c->arena, count, struct sha256)));
		if (count > QUEUE_MAX)
			arena_rewind(c->arena, mark);
	}
	return n ? head_store(c, coop, head) : ERR_OK;
}

enum err ledger_append_many(struct call *c, struct uuid coop, const char *type, const struct str *data, size_t n, int64_t *first)
{
	struct log_head head;
	TRY(log_head_read(c, coop, true, &head));
	if (first)
		*first = (int64_t)head.size;
	return append_chunks(c, coop, &head, NULL, type, false, data, n);
}

struct ledger_place { struct rows head, tail; /* the tail's hashes where they were asked for */ };

enum err ledger_ask_lock(struct call *c, struct uuid coop, struct ledger_place **out)
{
	*out = ARENA_NEW(c->arena, struct ledger_place);
	TRY(log_enter(c, coop));
	return db_ask(c, head_lock, &(*out)->head, A_UUID(coop));
}

enum err ledger_ask_tail(struct call *c, struct uuid coop, struct ledger_place *place)
{
	return db_ask(c, tail_hashes, &place->tail, A_UUID(coop));
}

enum err ledger_append_at(struct call *c, struct uuid coop, const struct ledger_place *place, const char *type, const struct str *data, size_t n, struct ledger_appended *out)
{
	struct log_head head;
	struct leaf leaves[LEDGER_TOGETHER];
	if (n > LEDGER_TOGETHER)
		return fail(c, ERR_INTERNAL, "More leaves than may be appended together.");
	TRY(head_of_rows(c, &place->head, &head));
	*out = (struct ledger_appended){
		.origin = head.origin, .before = head.builder, .n = n, .entries = ARENA_ARRAY(c->arena, n, struct str), .hashes = ARENA_ARRAY(c->arena, n, struct sha256),
	};
	for (size_t i = 0; i < n; i++)
		leaves[i] = (struct leaf){ .type = type, .data = data[i] };
	TRY(chunk_append(c, coop, &head, NULL, clock_now(), leaves, n, out->entries, out->hashes));
	out->after = head.builder;
	memcpy(out->public_key, head.public_key, sizeof(out->public_key));
	return head_store(c, coop, &head);
}

enum err ledger_place_next(struct call *c, const struct ledger_place *place, int64_t *index)
{
	struct log_head head;
	TRY(head_of_rows(c, &place->head, &head));
	*index = (int64_t)head.size;
	return ERR_OK;
}

enum err ledger_append_canonical(struct call *c, struct uuid coop, const struct ledger_place *place, const char *type, const struct str *data, size_t n)
{
	struct log_head head;
	TRY(head_of_rows(c, &place->head, &head));
	return append_chunks(c, coop, &head, &place->tail, type, true, data, n);
}
