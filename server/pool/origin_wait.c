#include "server/pool/origin_wait.h"

#include "server/pool/pool_internal.h"

#include "commonhold/db.h"

#include <stdlib.h>

#define BATCH 32768             /* records that are put in order together */
#define GROUP_MAX 16384          /* records that come in one group at most */
#define AT_ONCE 2048            /* records in one statement: about as many as come between two */
#define TEXTS_MAX (64 * MIB)    /* of sealed facts and languages: past it nothing can wait */
#define TEXTS_KEPT (4 * MIB)

/* Small numbers travel several in one: fewer lists to take apart. */
#define NUMBERS(member, findings, a, b) ((int64_t)((uint64_t)(member) << 32 | (uint64_t)(findings) << 16 | (uint64_t)(a) << 8 | (uint64_t)(b)))

SQL(put_rows,
	"INSERT INTO contribution (coop_id, id, item_no, member_id, member_no, findings, kind, licence, shard, bytes, lang, content_sha256, submitted_at, word, more, leaf, salt, sealed_facts) "
	"SELECT $1, u.id, u.item_no, u.member_id, (u.numbers >> 32)::integer, (u.numbers >> 16 & 65535)::smallint, (u.numbers >> 8 & 255)::smallint, (u.numbers & 255)::smallint, "
	"(u.sizes >> 32)::integer, (u.sizes & 2147483647)::integer, u.lang, u.hash, u.at, u.word, u.more, u.leaf, u.salt, u.facts "
	"FROM (SELECT unnest($2) AS id, unnest($3) AS item_no, unnest($4) AS member_id, unnest($5) AS numbers, unnest($6) AS sizes, unnest($7) AS lang, unnest($8) AS hash, unnest($9) AS at, "
	"unnest($10) AS word, unnest($11) AS more, unnest($12) AS leaf, unnest($13) AS salt, unnest($14) AS facts) u");
SQL(put_origins,
	"INSERT INTO item_origin (coop_id, id, item_no, member_id, member_no, findings, origin, licence, lang, at, word, more, leaf, salt, sealed_facts) "
	"SELECT $1, u.id, u.item_no, u.member_id, (u.numbers >> 32)::integer, (u.numbers >> 16 & 65535)::smallint, (u.numbers >> 8 & 255)::smallint, (u.numbers & 255)::smallint, "
	"u.lang, u.at, u.word, u.more, u.leaf, u.salt, u.facts "
	"FROM (SELECT unnest($2) AS id, unnest($3) AS item_no, unnest($4) AS member_id, unnest($5) AS numbers, unnest($6) AS lang, unnest($7) AS at, unnest($8) AS word, unnest($9) AS more, "
	"unnest($10) AS leaf, unnest($11) AS salt, unnest($12) AS facts) u");

struct record {
	int64_t item_no;
	struct uuid id, member;
	struct sha256 hash;
	uint8_t salt[32];
	instant at;
	uint64_t word, more;
	int64_t leaf;
	int64_t numbers;      /* member's number, findings, kind or origin, licence */
	int64_t sizes;        /* shard, bytes */
	const char *texts;    /* sealed facts, and the language behind them */
	uint32_t facts_n, lang_n;
	bool row;             /* not an origin */
};

/* Rows go first. */
struct batch { struct record *all; size_t n, rows, done; struct arena *texts; };

/* Two: one is put into the tables a piece at a time while the other gathers, so that the database always has something to do and never too much. */
struct waiting { struct batch half[2], *in, *out; };

void waiting_free(struct waiting *w)
{
	for (int i = 0; w && i < 2; i++) {
		free(w->half[i].all);
		arena_free(w->half[i].texts);
	}
	free(w);
}

static bool batch_init(struct batch *b)
{
	b->all = malloc((BATCH + GROUP_MAX) * sizeof(*b->all));
	b->texts = arena_new(TEXTS_MAX);
	if (b->texts)
		arena_keep(b->texts, TEXTS_KEPT);
	return b->all && b->texts;
}

struct waiting *waiting_new(void)
{
	struct waiting *w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	w->in = &w->half[0];
	w->out = &w->half[1];
	if (batch_init(w->in) && batch_init(w->out))
		return w;
	waiting_free(w);
	return NULL;
}

static enum err texts_keep(struct batch *b, struct call *c, const struct foreign *f, const char **out)
{
	jmp_buf full;
	if (setjmp(full))
		return fail(c, ERR_NO_MEMORY, "There is no memory to take records.");
	arena_guard(b->texts, &full);
	*out = str_cat(b->texts, f->sealed_facts, f->lang).p;
	arena_guard(b->texts, NULL);
	return ERR_OK;
}

enum err waiting_add(struct waiting *w, struct call *c, const struct foreign *f, struct waiting_at at)
{
	bool row = f->fate == FOREIGN_ROW;
	struct batch *b = w->in;
	if (b->n == BATCH + GROUP_MAX)
		return fail(c, ERR_INTERNAL, "More records came in one group than there is room for.");
	struct record *r = &b->all[b->n++];
	*r = (struct record){
		.item_no = at.item_no, .id = f->id, .member = f->member, .hash = f->hash, .at = f->at, .word = f->word, .more = f->more | (uint64_t)at.origin << POLICY_MORE_ORIGIN_SHIFT, .leaf = f->leaf,
		.numbers = NUMBERS(f->member_no, f->findings, row ? f->kind : at.origin, f->licence), .sizes = (int64_t)((uint64_t)(uint32_t)at.shard << 32 | f->bytes),
		.facts_n = (uint32_t)f->sealed_facts.n, .lang_n = (uint32_t)f->lang.n, .row = row,
	};
	memcpy(r->salt, f->salt, sizeof(r->salt));
	b->rows += row;
	return texts_keep(b, c, f, &r->texts);
}

/* ---- Putting ---- */

/* Rows by content, then origins by id. */
static int by_place(const void *a, const void *b)
{
	const struct record *x = a, *y = b;
	if (x->row != y->row)
		return x->row ? -1 : 1;
	return x->row ? memcmp(x->hash.b, y->hash.b, 32) : memcmp(x->id.b, y->id.b, 16);
}

/* The columns of some records. */
struct lists {
	struct uuid *ids, *members;
	int64_t *items, *numbers, *sizes, *words, *more, *leaves;
	struct str *langs, *hashes, *salts, *facts;
	instant *at;
};

static struct lists lists_make(struct arena *a, const struct record *r, size_t n)
{
	struct uuid *ids = ARENA_ARRAY(a, n * 2, struct uuid);
	int64_t *numbers = ARENA_ARRAY(a, n * 6, int64_t);
	struct str *texts = ARENA_ARRAY(a, n * 4, struct str);
	struct lists l = {
		.ids = ids, .members = ids + n, .items = numbers, .numbers = numbers + n, .sizes = numbers + n * 2, .words = numbers + n * 3, .more = numbers + n * 4, .leaves = numbers + n * 5,
		.langs = texts, .hashes = texts + n, .salts = texts + n * 2, .facts = texts + n * 3, .at = ARENA_ARRAY(a, n, instant),
	};
	for (size_t i = 0; i < n; i++) {
		l.ids[i] = r[i].id;
		l.members[i] = r[i].member;
		l.items[i] = r[i].item_no;
		l.numbers[i] = r[i].numbers;
		l.sizes[i] = r[i].sizes;
		l.words[i] = (int64_t)r[i].word;
		l.more[i] = (int64_t)r[i].more;
		l.leaves[i] = r[i].leaf;
		l.langs[i] = str_make(r[i].texts + r[i].facts_n, r[i].lang_n);
		l.hashes[i] = str_make(r[i].hash.b, 32);
		l.salts[i] = str_make(r[i].salt, 32);
		l.facts[i] = r[i].facts_n ? str_make(r[i].texts, r[i].facts_n) : STR_NONE;
		l.at[i] = r[i].at;
	}
	return l;
}

static enum err put_some_rows(struct call *c, struct uuid coop, const struct record *r, size_t n)
{
	struct lists l = lists_make(c->arena, r, n);
	return db_queue(c, put_rows, A_UUID(coop), A_UUIDS(l.ids, n), A_I64S(l.items, n), A_UUIDS(l.members, n), A_I64S(l.numbers, n), A_I64S(l.sizes, n), A_TEXTS(l.langs, n), A_BYTEAS(l.hashes, n),
		A_TIMES(l.at, n), A_I64S(l.words, n), A_I64S(l.more, n), A_I64S(l.leaves, n), A_BYTEAS(l.salts, n), A_BYTEAS(l.facts, n));
}

static enum err put_some_origins(struct call *c, struct uuid coop, const struct record *r, size_t n)
{
	struct lists l = lists_make(c->arena, r, n);
	return db_queue(c, put_origins, A_UUID(coop), A_UUIDS(l.ids, n), A_I64S(l.items, n), A_UUIDS(l.members, n), A_I64S(l.numbers, n), A_TEXTS(l.langs, n), A_TIMES(l.at, n), A_I64S(l.words, n),
		A_I64S(l.more, n), A_I64S(l.leaves, n), A_BYTEAS(l.salts, n), A_BYTEAS(l.facts, n));
}

/* What gathered is to go, in order; what went leaves its room. */
static void turn(struct waiting *w)
{
	struct batch *b = w->in;
	w->in = w->out;
	w->out = b;
	if (b->n > 1)
		qsort(b->all, b->n, sizeof(*b->all), by_place);
	w->in->n = w->in->rows = w->in->done = 0;
	arena_reset(w->in->texts);
}

static enum err put_next(struct batch *b, struct call *c, struct uuid coop)
{
	bool rows = b->done < b->rows;
	size_t left = (rows ? b->rows : b->n) - b->done, n = left < AT_ONCE ? left : AT_ONCE;
	struct arena_mark mark = arena_mark(c->arena);
	if (n == 0)
		return ERR_OK;
	TRY(rows ? put_some_rows(c, coop, b->all + b->done, n) : put_some_origins(c, coop, b->all + b->done, n));
	arena_rewind(c->arena, mark);
	b->done += n;
	return ERR_OK;
}

static enum err put_rest(struct batch *b, struct call *c, struct uuid coop)
{
	while (b->done < b->n)
		TRY(put_next(b, c, coop));
	return ERR_OK;
}

enum err waiting_put_some(struct waiting *w, struct call *c, struct uuid coop)
{
	if (w->in->n >= BATCH) {
		TRY(put_rest(w->out, c, coop));
		turn(w);
	}
	return put_next(w->out, c, coop);
}

enum err waiting_put_all(struct waiting *w, struct call *c, struct uuid coop)
{
	TRY(put_rest(w->out, c, coop));
	turn(w);
	return put_rest(w->out, c, coop);
}
