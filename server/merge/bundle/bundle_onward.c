/* What is passed on of what other co-ops gave us: whose it is, whether they let us, their lines as they signed them, and for each record the path from its leaf to a head of its home's log.
 *
 * Only what came from the home itself is passed on, as far as our agreement with that home says so, and under the terms of the agreement with the partner: the co-op's own engine decides, with what
 * the home's agreement allows as a limit. Paths need the leaves of the home's log; they are kept from the first bundle under an agreement that lets anything be passed on.
 */
#include "bundle_scope.h"

#include "commonhold/coop.h"
#include "commonhold/db.h"
#include "commonhold/onward.h"
#include "commonhold/peer.h"

#include <stdlib.h>

#define LEAVES 4096      /* of a row of origin_leaf */
#define LEAVES_LEVEL 12
#define BLOCKS 8         /* of leaf hashes in memory, at a time */
#define ENTRIES 4096     /* in a row of origin_entry, at most */

SQL(leaves_count, "SELECT no * 4096 + length(hashes) / 32 FROM origin_leaf WHERE coop_id = $1 AND home = $2 ORDER BY no DESC LIMIT 1");
SQL(leaves_of_block, "SELECT hashes FROM origin_leaf WHERE coop_id = $1 AND home = $2 AND no = $3");
SQL(entries_kept, "SELECT first, n FROM origin_entry WHERE coop_id = $1 AND home = $2 ORDER BY first DESC");
SQL(entries_row, "SELECT first, n, entries FROM origin_entry WHERE coop_id = $1 AND home = $2 AND first <= $3 ORDER BY first DESC LIMIT 1");
SQL(entries_put, "INSERT INTO origin_entry (coop_id, home, first, n, entries) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING");
SQL(guests_passed, "SELECT number, id, contributor, line FROM guest WHERE coop_id = $1 AND agreement_id = $2 AND home = $3 ORDER BY number");
SQL(items_outside,
	"SELECT c.item_no FROM contribution c JOIN origin_coop o ON o.coop_id = c.coop_id AND o.no = (c.more >> 24 & 255) WHERE c.coop_id = $1 AND o.key_name = $2 "
	"AND (c.leaf < $3 OR c.leaf >= $4 OR ($5::bigint >> c.kind & 1) = 0 OR ($6::bigint >> c.licence & 1) = 0)");

/* ---- Whose ---- */

/* A home whose records go out: beside its entry in k->homes. */
struct onward_home {
	struct uuid agreement;       /* under which we have them */
	uint8_t kinds;               /* what that lets through */
	uint64_t licences;
	int64_t entries_from;        /* leaves from here on are kept, up to the head */
	struct bundle_home home;
	struct sha256 *blocks;       /* roots of the full blocks of leaves; NULL until a path is asked for */
	struct leaf_block { int64_t no; uint64_t used; size_t n; struct sha256 hashes[LEAVES]; } *block;
	uint64_t clock;              /* counts uses of blocks */
	struct buf entries;          /* the row at hand … */
	int64_t first, n;            /* … which leaves it holds */
	int64_t at;                  /* a leaf of it, and where it begins */
	size_t offset;
};

static void homes_end(void *arg)
{
	struct writing *k = arg;
	for (size_t i = 0; i < k->n_homes; i++) {
		free(k->onward[i].block);
		free(k->onward[i].blocks);
		buf_release(&k->onward[i].entries);
	}
}

/* Since which leaf all are kept, up to `size`; size where the last is not. */
static enum err entries_since(struct call *c, struct uuid coop, struct str home, int64_t size, int64_t *from)
{
	struct rows r;
	*from = size;
	TRY(db_query(c, entries_kept, &r, A_UUID(coop), A_STR(home)));
	for (int i = 0; i < r.n; i++) {
		int64_t first = row_int(&r, i, 0), after = first + row_int(&r, i, 1);
		if (after < *from)
			break;
		*from = first < *from ? first : *from;
	}
	return ERR_OK;
}

/* Whether what a partner gave us may be passed on at all, and can be proved. */
static enum err home_ready(struct writing *k, const struct agreement *g, struct onward_home *out, bool *ready)
{
	struct call *c = k->c;
	struct peer peer;
	struct origin_log log;
	struct rows r;
	bool quarantined;
	const struct agreement_terms *t = &g->terms;
	*ready = false;
	if (!t->onward || !g->we_receive || !agreement_flows(g) || uuid_eq(g->id, k->agreement.id) || str_eq(g->partner, k->agreement.partner) || k->as_of < t->starts || k->as_of >= t->ends)
		return ERR_OK;
	TRY(peer_get(c, k->coop, g->peer, &peer));
	TRY(origin_log_get(c, k->coop, g->partner, &log));
	TRY(db_query(c, leaves_count, &r, A_UUID(k->coop), A_STR(g->partner)));
	TRY(onward_quarantined(c, k->coop, g->partner, &quarantined));
	if (peer.state != PEER_CONFIRMED || quarantined || log.size == 0 || r.n == 0 || row_int(&r, 0, 0) < log.size)
		return ERR_OK;
	*out = (struct onward_home){ .agreement = g->id, .kinds = t->kinds, .licences = t->licences, .home = { .home = g->partner, .checkpoint = log.checkpoint, .size = log.size, .root = log.root,
		.document = t->document, .assent = g->assent_theirs } };
	TRY(peer_keys(c, &peer, &out->home.keys));
	TRY(entries_since(c, k->coop, g->partner, log.size, &out->entries_from));
	*ready = g->assent_theirs.p && out->entries_from < log.size && bundle_assent_is(c->arena, &out->home.keys, g->assent_theirs, g->partner, t->digest);
	return ERR_OK;
}

static int by_home(const void *a, const void *b)
{
	return str_cmp(((const struct onward_home *)a)->home.home, ((const struct onward_home *)b)->home.home);
}

static enum err homes_find(struct writing *k)
{
	struct agreement *all;
	size_t n;
	TRY(agreement_all(k->c, k->coop, (struct uuid){ { 0 } }, AGREEMENT_BIT(AGREEMENT_IN_EFFECT) | AGREEMENT_BIT(AGREEMENT_ENDING), &all, &n));
	k->onward = ARENA_ARRAY(k->c->arena, n + 1, struct onward_home);
	k->homes = ARENA_ARRAY(k->c->arena, n + 1, struct bundle_home);
	k->home_goes = ARENA_ARRAY(k->c->arena, n + 1, bool);
	for (size_t i = 0; i < n && k->n_homes < BUNDLE_HOMES_MAX; i++) {
		bool ready, twice = false;
		for (size_t j = 0; j < k->n_homes; j++)
			twice |= str_eq(k->onward[j].home.home, all[i].partner);
		TRY(home_ready(k, &all[i], &k->onward[k->n_homes], &ready));
		k->n_homes += ready && !twice;
	}
	qsort(k->onward, k->n_homes, sizeof(*k->onward), by_home);
	for (size_t i = 0; i < k->n_homes; i++)
		k->homes[i] = k->onward[i].home;
	return arena_defer(k->c->arena, homes_end, k) ? ERR_OK : fail(k->c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
}

/* Room for one more number. */
static void people_room(struct writing *k, size_t number)
{
	if (number < k->n_people)
		return;
	size_t n = number + 1 + number / 2;
	struct person *more = ARENA_ARRAY(k->c->arena, n + 1, struct person);
	if (k->n_people)
		memcpy(more, k->people, k->n_people * sizeof(*more));
	k->people = more;
	k->n_people = n;
}

static enum err guests_take(struct writing *k, int home)
{
	struct rows r;
	TRY(db_query(k->c, guests_passed, &r, A_UUID(k->coop), A_UUID(k->onward[home].agreement), A_STR(k->homes[home].home)));
	if (r.n)
		people_room(k, (size_t)row_int(&r, r.n - 1, 0));
	for (int i = 0; i < r.n; i++) {
		struct person *p = &k->people[row_int(&r, i, 0)];
		struct str contributor = row_bytes(&r, i, 2);
		*p = (struct person){ .goes = contributor.n == 16, .home = home, .id = row_uuid(&r, i, 1), .line = row_str(&r, i, 3) };
		if (p->goes)
			bundle_hex_of((const uint8_t *)contributor.p, 16, p->contributor);
	}
	return ERR_OK;
}

enum err bundle_onward_people(struct writing *k)
{
	if (!k->agreement.terms.onward)
		return ERR_OK;
	TRY(homes_find(k));
	for (size_t i = 0; i < k->n_homes; i++)
		TRY(guests_take(k, (int)i));
	return ERR_OK;
}

enum err bundle_onward_limit(struct writing *k)
{
	const struct agreement_terms *t = &k->agreement.terms;
	for (size_t i = 0; i < k->n_homes; i++) {
		const struct onward_home *h = &k->onward[i];
		struct rows r;
		if (h->entries_from == 0 && !(t->kinds & ~h->kinds) && !(t->licences & ~h->licences))
			continue;
		TRY(db_query(k->c, items_outside, &r, A_UUID(k->coop), A_STR(h->home.home), A_I64(h->entries_from), A_I64(h->home.size), A_I64(h->kinds), A_I64((int64_t)h->licences)));
		for (int row = 0; row < r.n; row++) {
			int64_t item = row_int(&r, row, 0);
			if (item >= 0 && (size_t)item < k->scoped.n)
				k->scoped.in[item / 8] &= (uint8_t)~(1u << (item % 8));
		}
	}
	/* a home is named as long as anything of it is passed on: its agreement may have become stricter */
	for (size_t i = 0; i < k->n_people && i < k->scoped.n_members; i++)
		if (k->people[i].goes && k->people[i].home >= 0 && k->scoped.has[i])
			k->home_goes[k->people[i].home] = true;
	return ERR_OK;
}

/* ---- Paths ---- */

static enum err block_read(struct writing *k, const struct onward_home *h, int64_t no, struct leaf_block *out)
{
	struct rows r;
	struct call *c = k->c;
	struct arena_mark mark = arena_mark(c->arena);
	TRY(db_query(c, leaves_of_block, &r, A_UUID(k->coop), A_STR(h->home.home), A_I64(no)));
	struct str hashes = r.n ? row_bytes(&r, 0, 0) : STR("");
	if (hashes.n == 0 || hashes.n % 32 || hashes.n > sizeof(out->hashes))
		return fail(c, ERR_CORRUPT, "Leaves of another co-op's log are missing.");
	memcpy(out->hashes, hashes.p, hashes.n);
	out->n = hashes.n / 32;
	out->no = no;
	arena_rewind(c->arena, mark);
	return ERR_OK;
}

/* A block of leaf hashes, out of those at hand. */
static enum err block_of(struct writing *k, struct onward_home *h, int64_t no, struct leaf_block **out)
{
	struct leaf_block *b = &h->block[0];
	for (size_t i = 0; i < BLOCKS; i++) {
		if (h->block[i].used && h->block[i].no == no) {
			b = &h->block[i];
			break;
		}
		if (h->block[i].used < b->used)
			b = &h->block[i];
	}
	if (!b->used || b->no != no) {
		b->used = 0;
		TRY(block_read(k, h, no, b));
	}
	b->used = ++h->clock;
	*out = b;
	return ERR_OK;
}

struct proving { struct writing *k; struct onward_home *h; };

/* merkle_hash_fn */
static enum err hash_at(void *arg, unsigned level, uint64_t index, struct sha256 *out)
{
	struct proving *p = arg;
	struct leaf_block *b;
	if (level >= LEAVES_LEVEL) {
		unsigned up = level - LEAVES_LEVEL;
		*out = merkle_root(p->h->blocks + (index << up), (size_t)1 << up);
		return ERR_OK;
	}
	uint64_t first = index << level, count = UINT64_C(1) << level;
	TRY(block_of(p->k, p->h, (int64_t)(first / LEAVES), &b));
	if (first % LEAVES + count > b->n)
		return fail(p->k->c, ERR_CORRUPT, "Leaves of another co-op's log are missing.");
	*out = merkle_root(b->hashes + first % LEAVES, count);
	return ERR_OK;
}

enum err bundle_onward_paths(struct writing *k)
{
	for (size_t i = 0; i < k->n_homes; i++) {
		struct onward_home *h = &k->onward[i];
		int64_t full = h->home.size / LEAVES;
		struct leaf_block *b;
		h->block = calloc(BLOCKS, sizeof(*h->block));
		h->blocks = calloc((size_t)full + 1, sizeof(*h->blocks));
		buf_init(&h->entries, (size_t)ENTRIES * (LEDGER_ENTRY_MAX + 1));
		if (!h->block || !h->blocks)
			return fail(k->c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
		for (int64_t no = 0; no < full; no++) {
			TRY(block_of(k, h, no, &b));
			h->blocks[no] = merkle_root(b->hashes, b->n);
		}
	}
	return ERR_OK;
}

/* The row of entries that holds a leaf. */
static enum err entries_read(struct writing *k, struct onward_home *h, int64_t leaf)
{
	struct rows r;
	struct call *c = k->c;
	struct arena_mark mark = arena_mark(c->arena);
	TRY(db_query(c, entries_row, &r, A_UUID(k->coop), A_STR(h->home.home), A_I64(leaf)));
	if (r.n == 0 || leaf >= row_int(&r, 0, 0) + row_int(&r, 0, 1))
		return fail(c, ERR_CORRUPT, "A leaf of another co-op's log is missing.");
	h->first = h->at = row_int(&r, 0, 0);
	h->n = row_int(&r, 0, 1);
	h->offset = 0;
	buf_clear(&h->entries);
	buf_add_str(&h->entries, row_str(&r, 0, 2));
	arena_rewind(c->arena, mark);
	return h->entries.failed ? fail(c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY)) : ERR_OK;
}

static enum err entry_of(struct writing *k, struct onward_home *h, int64_t leaf, struct str *out)
{
	if (leaf < h->first || leaf >= h->first + h->n)
		TRY(entries_read(k, h, leaf));
	if (leaf < h->at) {
		h->at = h->first;
		h->offset = 0;
	}
	for (;; h->at++) {
		struct str rest = str_sub(buf_str(&h->entries), h->offset, h->entries.n);
		ptrdiff_t end = str_index(rest, '\n');
		if (end < 0)
			return fail(k->c, ERR_CORRUPT, "A leaf of another co-op's log is missing.");
		*out = str_sub(rest, 0, (size_t)end);
		if (h->at == leaf)
			return ERR_OK;
		h->offset += (size_t)end + 1;
	}
}

enum err bundle_onward_path(struct writing *k, int home, int64_t leaf, struct str *entry, struct sha256 **path, size_t *n)
{
	struct onward_home *h = &k->onward[home];
	struct proving p = { k, h };
	struct str kept;
	TRY(entry_of(k, h, leaf, &kept));
	*entry = str_copy(k->c->arena, kept);
	enum err said = merkle_inclusion(k->c->arena, (uint64_t)leaf, (uint64_t)h->home.size, hash_at, &p, path, n);
	return said == ERR_NOT_FOUND ? fail(k->c, ERR_CORRUPT, "A record is newer than the head of its home's log.") : said;
}

/* ---- Keeping what paths need, as bundles come in ---- */

struct bundle_entries {
	struct call *c;
	struct uuid coop;
	struct str home;
	bool kept;             /* the agreement lets us pass on */
	struct buf lines;
	int64_t first, n;
};

static void entries_release(void *arg)
{
	buf_release(&((struct bundle_entries *)arg)->lines);
}

enum err bundle_entries_begin(struct call *c, struct uuid coop, const struct bundle *b, int64_t first, struct bundle_entries **out)
{
	struct agreement g;
	struct bundle_entries *s = *out = ARENA_NEW(c->arena, struct bundle_entries);
	enum err said = agreement_get(c, coop, b->agreement_id, &g);
	if (said == ERR_NOT_FOUND)
		error_clear(&c->error); /* what a fork begins with is under none */
	else
		TRY(said);
	*s = (struct bundle_entries){ .c = c, .coop = coop, .home = b->from, .kept = said == ERR_OK && g.terms.onward, .first = first };
	buf_init(&s->lines, (size_t)ENTRIES * (LEDGER_ENTRY_MAX + 1));
	return arena_defer(c->arena, entries_release, s) ? ERR_OK : fail(c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
}

enum err bundle_entries_end(struct bundle_entries *s)
{
	if (s->lines.failed)
		return fail(s->c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	if (s->n)
		TRY(db_exec(s->c, entries_put, A_UUID(s->coop), A_STR(s->home), A_I64(s->first), A_INT((int)s->n), A_STR(buf_str(&s->lines))));
	s->first += s->n;
	s->n = 0;
	buf_clear(&s->lines);
	return ERR_OK;
}

enum err bundle_entries_add(struct bundle_entries *s, struct str entry)
{
	if (!s->kept)
		return ERR_OK;
	buf_add_str(&s->lines, entry);
	buf_add_byte(&s->lines, '\n');
	s->n++;
	return s->n == ENTRIES || s->lines.n > MIB ? bundle_entries_end(s) : ERR_OK;
}
