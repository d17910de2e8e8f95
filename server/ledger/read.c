/* Reading a log: tiles, bundles of entries, proofs and checkpoints. Hashes are read a tile at a time, so that a proof takes a handful of reads whatever the size. */
#include "server/ledger/ledger.h"

SQL(tile_read, "SELECT hashes FROM log_tile WHERE coop_id = $1 AND level = $2 AND n = $3");
SQL(entries_read, "SELECT entry FROM log_leaf WHERE coop_id = $1 AND idx >= $2 AND idx < $3 ORDER BY idx");
SQL(leaves_list, "SELECT idx, at, type, entry, hash FROM log_leaf WHERE coop_id = $1 AND idx < $2 ORDER BY idx DESC LIMIT $3");

/* A tile in memory, with what of it there is. */
struct tile {
	unsigned level;
	uint64_t n;
	unsigned width;
	struct sha256 hashes[TILE_HASHES];
	struct tile *next;
};

/* Where proofs get their hashes from. */
struct source {
	struct call *call;
	struct uuid coop;
	uint64_t size;       /* leaves that count */
	struct tile *tiles;  /* read so far */
};

/* How many hashes there are at a level of tiles. */
static uint64_t level_width(uint64_t size, unsigned level)
{
	return level < TILE_LEVELS ? size >> (level * TILE_BITS) : 0;
}

static enum err tile_full(struct call *c, struct uuid coop, unsigned level, uint64_t n, struct str *out)
{
	struct rows rows;
	TRY(db_query(c, tile_read, &rows, A_UUID(coop), A_INT((int)level), A_I64((int64_t)n)));
	if (rows.n != 1 || row_bytes(&rows, 0, 0).n != TILE_HASHES * 32)
		return fail(c, ERR_CORRUPT, "The log has lost a tile.");
	*out = row_bytes(&rows, 0, 0);
	return ERR_OK;
}

static enum err tile_load(const struct source *s, struct tile *tile)
{
	struct str bytes;
	uint64_t there = level_width(s->size, tile->level) - tile->n * TILE_HASHES;
	if (there < TILE_HASHES) {
		tile->width = (unsigned)there;
		return log_hashes(s->call, s->coop, tile->level, tile->n * TILE_HASHES, tile->width, tile->hashes);
	}
	TRY(tile_full(s->call, s->coop, tile->level, tile->n, &bytes));
	memcpy(tile->hashes, bytes.p, bytes.n);
	tile->width = TILE_HASHES;
	return ERR_OK;
}

static enum err tile_of(struct source *s, unsigned level, uint64_t n, const struct tile **out)
{
	struct tile *tile = s->tiles;
	while (tile && (tile->level != level || tile->n != n))
		tile = tile->next;
	if (!tile) {
		tile = ARENA_NEW(s->call->arena, struct tile);
		tile->level = level;
		tile->n = n;
		TRY(tile_load(s, tile));
		tile->next = s->tiles;
		s->tiles = tile;
	}
	*out = tile;
	return ERR_OK;
}

/* merkle_hash_fn: a perfect subtree of 2^level leaves lies within one tile, of which it is a fold. */
static enum err source_hash(void *arg, unsigned level, uint64_t index, struct sha256 *out)
{
	struct source *s = arg;
	const struct tile *tile;
	unsigned tile_level = level / TILE_BITS, count = 1u << level % TILE_BITS;
	uint64_t first = index << level % TILE_BITS;
	TRY(tile_of(s, tile_level, first / TILE_HASHES, &tile));
	*out = merkle_root(tile->hashes + first % TILE_HASHES, count);
	return ERR_OK;
}

enum err ledger_head(struct call *c, struct uuid coop, int64_t *size, struct sha256 *root)
{
	struct log_head head;
	TRY(log_head_read(c, coop, false, &head));
	*size = (int64_t)head.size;
	*root = merkle_builder_root(&head.builder);
	return ERR_OK;
}

enum err ledger_origin(struct call *c, struct uuid coop, struct str *origin)
{
	struct log_head head;
	TRY(log_head_read(c, coop, false, &head));
	*origin = head.origin;
	return ERR_OK;
}

enum err log_public_key(struct call *c, struct uuid coop, uint8_t public_key[32])
{
	struct log_head head;
	TRY(log_head_read(c, coop, false, &head));
	memcpy(public_key, head.public_key, 32);
	return ERR_OK;
}

enum err log_head_sign(struct call *c, struct uuid coop, const struct log_head *head, struct str *note)
{
	struct sign_key key;
	TRY(coop_key_secret(c, coop, head->public_key, &key));
	*note = checkpoint_sign(c->arena, head->origin, head->size, merkle_builder_root(&head->builder), &key);
	secret_wipe(&key, sizeof(key));
	return ERR_OK;
}

enum err ledger_checkpoint(struct call *c, struct uuid coop, struct str *note)
{
	struct log_head head;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(log_head_read(c, coop, false, &head));
	TRY(log_head_sign(c, coop, &head, note));
	return db_commit(c);
}

static enum err entry_read(struct call *c, struct uuid coop, int64_t index, struct str *out)
{
	struct rows rows;
	TRY(db_one(c, entries_read, &rows, A_UUID(coop), A_I64(index), A_I64(index + 1)));
	*out = row_bytes(&rows, 0, 0);
	return ERR_OK;
}

enum err ledger_prove_inclusion(struct call *c, struct uuid coop, int64_t index, struct str *tlog_proof)
{
	struct log_head head;
	struct sha256 *path;
	struct tlog_proof proof = { .index = (uint64_t)index };
	TRY(log_head_read(c, coop, false, &head));
	if (index < 0 || (uint64_t)index >= head.size)
		return fail(c, ERR_NOT_FOUND, "The log has no leaf %lld: it has %llu leaves.", (long long)index, (unsigned long long)head.size);
	struct source source = { c, coop, head.size, NULL };
	TRY(merkle_inclusion(c->arena, proof.index, head.size, source_hash, &source, &path, &proof.n));
	proof.path = path;
	TRY(entry_read(c, coop, index, &proof.entry));
	TRY(log_head_sign(c, coop, &head, &proof.checkpoint));
	*tlog_proof = tlog_proof_write(c->arena, &proof);
	return ERR_OK;
}

enum err ledger_prove_consistency(struct call *c, struct uuid coop, int64_t from, int64_t to, struct sha256 **path, size_t *n)
{
	struct log_head head;
	TRY(log_head_read(c, coop, false, &head));
	if (from < 0 || to < from || (uint64_t)to > head.size)
		return fail(c, ERR_NOT_FOUND, "The log has %llu leaves: sizes must be in order and not above that.", (unsigned long long)head.size);
	struct source source = { c, coop, head.size, NULL };
	return merkle_consistency(c->arena, (uint64_t)from, (uint64_t)to, source_hash, &source, path, n);
}

/* C2SP: each entry behind its length, 16 bits, big-endian. */
static enum err bundle_read(struct call *c, struct uuid coop, struct tile_path p, struct str *bytes)
{
	struct rows rows;
	int64_t first = (int64_t)p.index * TILE_HASHES;
	size_t total = 0;
	TRY(db_query(c, entries_read, &rows, A_UUID(coop), A_I64(first), A_I64(first + p.width)));
	if (rows.n != (int)p.width)
		return fail(c, ERR_CORRUPT, "The log has lost leaves.");
	for (int i = 0; i < rows.n; i++)
		total += 2 + row_bytes(&rows, i, 0).n;
	uint8_t *out = arena_alloc(c->arena, total);
	*bytes = str_make(out, total);
	for (int i = 0; i < rows.n; i++) {
		struct str entry = row_bytes(&rows, i, 0);
		*out++ = (uint8_t)(entry.n >> 8);
		*out++ = (uint8_t)entry.n;
		memcpy(out, entry.p, entry.n);
		out += entry.n;
	}
	return ERR_OK;
}

enum err ledger_tile(struct call *c, struct uuid coop, struct tile_path p, struct str *bytes)
{
	struct log_head head;
	TRY(log_head_read(c, coop, false, &head));
	/* In hashes of the level; an address that is beyond counting is beyond the log. */
	uint64_t there = level_width(head.size, p.entries ? 0 : p.level);
	if (p.index >= there / TILE_HASHES + 1 || p.index * TILE_HASHES + p.width > there)
		return fail(c, ERR_NOT_FOUND, "The log has not come so far.");
	if (p.entries)
		return bundle_read(c, coop, p, bytes);
	struct tile *tile = ARENA_NEW(c->arena, struct tile);
	struct source source = { c, coop, head.size, NULL };
	tile->level = p.level;
	tile->n = p.index;
	TRY(tile_load(&source, tile));
	*bytes = str_make(tile->hashes, (size_t)p.width * 32);
	return ERR_OK;
}

enum err ledger_entries(struct call *c, struct uuid coop, int64_t before, int limit, struct log_entry **out, size_t *n)
{
	struct rows rows;
	TRY(log_enter(c, coop));
	TRY(db_query(c, leaves_list, &rows, A_UUID(coop), A_I64(before), A_I64(limit)));
	*n = (size_t)rows.n;
	*out = ARENA_ARRAY(c->arena, *n ? *n : 1, struct log_entry);
	for (int i = 0; i < rows.n; i++) {
		(*out)[i] = (struct log_entry){ row_int(&rows, i, 0), row_time(&rows, i, 1), row_str(&rows, i, 2), row_bytes(&rows, i, 3), sha256_load(row_bytes(&rows, i, 4)) };
	}
	return ERR_OK;
}
