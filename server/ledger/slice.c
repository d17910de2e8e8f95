/* Parts of a log for others: entries as a stream, and the paths of many leaves at one size. */
#include "server/ledger/ledger.h"


SQL(tile_read_full, "SELECT hashes FROM log_tile WHERE coop_id = $1 AND level = $2 AND n = $3");
SQL(entry_at, "SELECT entry FROM log_leaf WHERE coop_id = $1 AND idx = $2");

static const char slice_copy[] = "COPY (SELECT idx, entry FROM log_leaf WHERE coop_id = $1 AND idx >= $2 AND idx < $3 ORDER BY idx) TO STDOUT (FORMAT binary)";

struct slicing { struct call *call; ledger_entry_fn fn; void *arg; int64_t next; };

static enum err slice_row(void *arg, const struct copy_field *f, int n)
{
	struct slicing *s = arg;
	if (n != 2 || copy_int(f[0]) != s->next)
		return fail(s->call, ERR_CORRUPT, "The log has lost leaves.");
	return s->fn(s->arg, s->next++, copy_bytes(f[1]));
}

enum err ledger_slice(struct call *c, struct uuid coop, int64_t from, int64_t to, ledger_entry_fn fn, void *arg)
{
	struct slicing s = { c, fn, arg, from };
	const struct db_arg args[] = { A_UUID(coop), A_I64(from), A_I64(to) };
	TRY(log_enter(c, coop));
	TRY(db_copy_out(c, slice_copy, args, CH_LEN(args), slice_row, &s));
	return s.next >= to ? ERR_OK : fail(c, ERR_CORRUPT, "The log has lost leaves.");
}

/* The tiles of a level that were read last: paths of ascending leaves need few at a time. */
#define TILES 4
struct ledger_prover {
	struct call *call;
	struct uuid coop;
	uint64_t size;
	struct proved_tile { uint64_t n, used; unsigned width; struct sha256 hashes[TILE_HASHES]; } tiles[TILE_LEVELS][TILES]; /* used 0: empty */
	uint64_t clock;              /* counts uses */
};

static enum err tile_fill(struct ledger_prover *p, unsigned level, uint64_t n, struct proved_tile *t)
{
	struct rows r;
	struct call *c = p->call;
	uint64_t there = (p->size >> (level * TILE_BITS)) - n * TILE_HASHES;
	t->used = 0;
	t->n = n;
	if (there < TILE_HASHES) {
		t->width = (unsigned)there;
		return log_hashes(c, p->coop, level, n * TILE_HASHES, t->width, t->hashes);
	}
	struct arena_mark mark = arena_mark(c->arena);
	TRY(db_query(c, tile_read_full, &r, A_UUID(p->coop), A_INT((int)level), A_I64((int64_t)n)));
	if (r.n != 1 || row_bytes(&r, 0, 0).n != sizeof(t->hashes))
		return fail(c, ERR_CORRUPT, "The log has lost a tile.");
	memcpy(t->hashes, row_bytes(&r, 0, 0).p, sizeof(t->hashes));
	arena_rewind(c->arena, mark);
	t->width = TILE_HASHES;
	return ERR_OK;
}

/* merkle_hash_fn */
static enum err prover_hash(void *arg, unsigned level, uint64_t index, struct sha256 *out)
{
	struct ledger_prover *p = arg;
	unsigned tile_level = level / TILE_BITS, count = 1u << level % TILE_BITS;
	uint64_t first = index << level % TILE_BITS, n = first / TILE_HASHES;
	struct proved_tile *row = p->tiles[tile_level], *t = &row[0];
	for (size_t i = 0; i < TILES; i++) {
		if (row[i].used && row[i].n == n) {
			t = &row[i];
			break;
		}
		if (row[i].used < t->used)
			t = &row[i];
	}
	if (!t->used || t->n != n)
		TRY(tile_fill(p, tile_level, n, t));
	t->used = ++p->clock;
	*out = merkle_root(t->hashes + first % TILE_HASHES, count);
	return ERR_OK;
}

enum err ledger_prover_new(struct call *c, struct uuid coop, int64_t size, struct ledger_prover **out)
{
	struct ledger_prover *p = ARENA_NEW(c->arena, struct ledger_prover);
	p->call = c;
	p->coop = coop;
	p->size = (uint64_t)size;
	*out = p;
	return log_enter(c, coop);
}

enum err ledger_prover_path(struct ledger_prover *p, int64_t index, struct str *entry, struct sha256 **path, size_t *n)
{
	struct rows r;
	if (index < 0 || (uint64_t)index >= p->size)
		return fail(p->call, ERR_NOT_FOUND, "The log has no leaf %lld at that size.", (long long)index);
	TRY(db_one(p->call, entry_at, &r, A_UUID(p->coop), A_I64(index)));
	*entry = row_bytes(&r, 0, 0);
	return merkle_inclusion(p->call->arena, (uint64_t)index, p->size, prover_hash, p, path, n);
}
