/* records-*.jsonl.zst: which rows go, with which contents, and in which order. What becomes of them is bundle_pour.c's, in a thread of its own, while the database sends the next. */
#include "bundle_scope.h"

#include "commonhold/db.h"
#include "commonhold/pool.h"

#include <stdlib.h>

#define COLUMNS "c.item_no, c.id, c.member_no, c.kind, c.licence, c.lang, c.submitted_at, c.leaf, c.salt, c.content_sha256, c.facts, c.sealed_facts, c.bytes"
#define FEW 8           /* a stretch is read as a whole where more than one in so many goes out */
#define LATER 256       /* records with a path, at a time */
#define ROWS 2048       /* that wait for their contents at a time … */
#define ROWS_MAX (2 * MIB) /* … in so many bytes */

/* One row of contribution after another is looked up in the contents by its key: the order of the log costs no sorting, and no memory. */
SQL(plan_by_index,
	"SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true), "
	"set_config('max_parallel_workers_per_gather', '0', true)");
SQL(plan_as_usual,
	"SELECT set_config('enable_hashjoin', 'on', true), set_config('enable_mergejoin', 'on', true), set_config('enable_seqscan', 'on', true), set_config('enable_bitmapscan', 'on', true), "
	"set_config('max_parallel_workers_per_gather', '2', true)");
SQL(leaves_of, "SELECT item_no, leaf, member_no FROM contribution WHERE coop_id = $1 AND item_no = ANY ($2) ORDER BY item_no");
static const char range_copy[] = "COPY (SELECT " COLUMNS " FROM contribution c WHERE c.coop_id = $1 AND c.item_no >= $2 AND c.item_no < $3 ORDER BY c.item_no) TO STDOUT (FORMAT binary)";
static const char some_copy[] =
	"COPY (SELECT " COLUMNS ", k.sealed FROM contribution c LEFT JOIN contribution_content k ON k.coop_id = c.coop_id AND k.shard = c.shard AND k.id = c.id "
	"WHERE c.coop_id = $1 AND c.item_no = ANY ($2::bigint[]) ORDER BY c.item_no) TO STDOUT (FORMAT binary)";

struct pouring {
	struct writing *k;
	struct pour *pour;
	const uint8_t *bits;       /* which items */
	int64_t last_leaf;         /* of the records so far whose leaves are among the events */
	int64_t *later;            /* items that need a path, for afterwards */
	size_t n_later, cap_later;
	const struct proved { int64_t item; struct str path; } *paths; /* of the records at hand; NULL: none */
	size_t n_paths;
	int64_t rows;
	struct contents *contents;
	struct waiting_row *waiting, **last; /* rows of a stretch, which wait for their contents … */
	size_t n_waiting, held;    /* … and how many go out; bytes of all */
	int64_t next;              /* item at which the rows that wait end */
};

static void pouring_end(void *arg)
{
	free(((struct pouring *)arg)->later);
}

static struct str path_of(const struct pouring *p, int64_t item)
{
	for (size_t i = 0; i < p->n_paths; i++)
		if (p->paths[i].item == item)
			return p->paths[i].path;
	return STR_NONE;
}

static enum err later(struct pouring *p, int64_t item)
{
	if (p->n_later == p->cap_later) {
		size_t cap = p->cap_later ? p->cap_later * 2 : 1024;
		int64_t *more = realloc(p->later, cap * sizeof(*more));
		if (!more)
			return fail(p->k->c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
		p->later = more;
		p->cap_later = cap;
	}
	p->later[p->n_later++] = item;
	return ERR_OK;
}

/* Whether an item goes out now: one that needs a path goes afterwards. */
static enum err row_goes(struct pouring *p, const struct copy_field *f, bool *goes)
{
	struct writing *k = p->k;
	int64_t item = copy_int(f[RECORD_ITEM_NO]), leaf = copy_int(f[RECORD_LEAF]);
	size_t number = (size_t)copy_int(f[RECORD_MEMBER_NO]);
	*goes = bundle_bit(p->bits, item);
	if (!*goes)
		return ERR_OK;
	if (number >= k->n_people)
		return bundle_damaged(&k->c->error, copy_uuid(f[RECORD_ID]), "has no contributor.");
	if (!k->people[number].keyed)
		return bundle_gone_key(k, k->people[number].id);
	if (p->paths)
		return ERR_OK;
	*goes = k->people[number].home < 0 && leaf >= k->base_size && leaf > p->last_leaf;
	if (!*goes)
		return later(p, item);
	p->last_leaf = leaf;
	return ERR_OK;
}

/* Of one that goes. */
static enum err row_hand_over(struct pouring *p, const struct copy_field *f, struct bundle_content *content)
{
	struct writing *k = p->k;
	const struct person *who = &k->people[copy_int(f[RECORD_MEMBER_NO])];
	struct str path = p->paths ? path_of(p, copy_int(f[RECORD_ITEM_NO])) : STR_NONE;
	if (p->paths && !path.p) {
		free(content);
		return fail(k->c, ERR_CORRUPT, "A contribution's leaf cannot be proved.");
	}
	if (who->home >= 0)
		k->home_goes[who->home] = true;
	k->counts.records++;
	enum err said = bundle_pour_row(p->pour, f, who, path, content);
	return said == ERR_OK && ++p->rows % 50000 == 0 && k->c->job ? job_extend(k->c) : said;
}

/* A row with its content. */
static enum err whole_row(void *arg, const struct copy_field *f, int n)
{
	struct pouring *p = arg;
	bool goes;
	if (n != RECORD_FIELDS)
		return fail(p->k->c, ERR_CORRUPT, "A contribution's row is not as it should be.");
	TRY(row_goes(p, f, &goes));
	if (goes && f[RECORD_SEALED].n < 0)
		return bundle_gone_item(p->k, copy_int(f[RECORD_ITEM_NO]), copy_uuid(f[RECORD_ID]));
	return goes ? row_hand_over(p, f, NULL) : ERR_OK;
}

/* ---- Which rows ---- */

static size_t count_bits(const uint8_t *bits, int64_t from, int64_t to)
{
	size_t n = 0;
	for (int64_t i = from / 8; i < (to + 7) / 8; i++)
		n += (size_t)__builtin_popcount(bits[i]);
	return n;
}

/* "{3,17,…}" */
struct str bundle_numbers_text(struct arena *a, const int64_t *numbers, size_t n)
{
	struct buf b;
	buf_init(&b, n * 21 + 8);
	buf_add_byte(&b, '{');
	for (size_t i = 0; i < n; i++) {
		buf_add(&b, ",", i ? 1 : 0);
		buf_add_i64(&b, numbers[i]);
	}
	buf_add_byte(&b, '}');
	return buf_take(a, &b);
}

static enum err pour_some(struct pouring *p, const int64_t *items, size_t n)
{
	struct call *c = p->k->c;
	return db_copy_out(c, some_copy, (struct db_arg[]){ A_UUID(p->k->coop), A_STR(bundle_numbers_text(c->arena, items, n)) }, 2, whole_row, p);
}

/* ---- A stretch as a whole ---- */

/* A row of contribution, whose content is still to come. */
struct waiting_row { struct waiting_row *next; struct copy_field f[RECORD_FIELDS]; bool goes; };

static enum err row_waits(void *arg, const struct copy_field *f, int n)
{
	struct pouring *p = arg;
	struct arena *a = p->k->c->arena;
	if (n != RECORD_SEALED)
		return fail(p->k->c, ERR_CORRUPT, "A contribution's row is not as it should be.");
	if (p->held > ROWS_MAX)
		return ERR_OK; /* it is read again */
	struct waiting_row *row = ARENA_NEW(a, struct waiting_row);
	const uint8_t *end = f[0].p;
	for (int i = 0; i < n; i++)
		end = f[i].n > 0 ? f[i].p + f[i].n : end;
	size_t bytes = (size_t)(end - f[0].p);
	uint8_t *kept = arena_take(a, bytes);
	memcpy(kept, f[0].p, bytes);
	for (int i = 0; i < n; i++)
		row->f[i] = (struct copy_field){ f[i].n > 0 ? kept + (f[i].p - f[0].p) : kept, f[i].n };
	p->held += bytes + sizeof(*row);
	p->next = copy_int(f[RECORD_ITEM_NO]) + 1;
	TRY(row_goes(p, f, &row->goes));
	p->n_waiting += row->goes;
	*p->last = row;
	p->last = &row->next;
	return ERR_OK;
}

static struct bundle_wanted *wanted_of(const struct pouring *p)
{
	struct bundle_wanted *wanted = ARENA_ARRAY(p->k->c->arena, p->n_waiting + 1, struct bundle_wanted);
	size_t n = 0;
	for (const struct waiting_row *row = p->waiting; row; row = row->next)
		if (row->goes)
			wanted[n++] = (struct bundle_wanted){ copy_int(row->f[RECORD_ITEM_NO]), copy_uuid(row->f[RECORD_ID]), copy_int(row->f[RECORD_BYTES]) };
	return wanted;
}

/* Rows that wait, as their contents come. */
static enum err pour_waiting(struct pouring *p, int64_t from)
{
	const struct bundle_wanted *wanted = wanted_of(p);
	size_t left = p->n_waiting;
	TRY(bundle_contents_ahead(p->contents, from, p->next, wanted, left));
	for (struct waiting_row *row = p->waiting; row; row = row->next) {
		struct bundle_content *content;
		if (!row->goes) {
			bundle_contents_drop(p->contents, copy_uuid(row->f[RECORD_ID]));
			continue;
		}
		TRY(bundle_contents_take(p->contents, wanted, left, &content));
		TRY(content ? row_hand_over(p, row->f, content) : bundle_gone_item(p->k, wanted->item, wanted->id));
		wanted++;
		left--;
	}
	return ERR_OK;
}

static enum err pour_all_of(struct pouring *p, int64_t from, int64_t to)
{
	struct call *c = p->k->c;
	while (from < to) {
		struct arena_mark mark = arena_mark(c->arena);
		p->waiting = NULL;
		p->last = &p->waiting;
		p->n_waiting = p->held = 0;
		int64_t behind = from + ROWS < to ? from + ROWS : to;
		TRY(db_copy_out(c, range_copy, (struct db_arg[]){ A_UUID(p->k->coop), A_I64(from), A_I64(behind) }, 3, row_waits, p));
		if (p->held <= ROWS_MAX)
			p->next = behind;
		TRY(pour_waiting(p, from));
		arena_rewind(c->arena, mark);
		from = p->next;
	}
	return ERR_OK;
}

/* ---- Few of a stretch ---- */

static enum err pour_few_of(struct pouring *p, int64_t from, int64_t to, size_t n)
{
	struct arena_mark mark = arena_mark(p->k->c->arena);
	int64_t *items = ARENA_ARRAY(p->k->c->arena, n, int64_t);
	size_t at = 0;
	for (int64_t i = from; i < to; i++)
		if (bundle_bit(p->bits, i))
			items[at++] = i;
	enum err said = pour_some(p, items, at);
	arena_rewind(p->k->c->arena, mark);
	return said;
}

static enum err pour_stretch(struct pouring *p, int64_t from, int64_t to)
{
	size_t n = count_bits(p->bits, from, to);
	if (n == 0)
		return ERR_OK;
	return n * FEW > (size_t)(to - from) ? pour_all_of(p, from, to) : pour_few_of(p, from, to, n);
}

/* ---- Records with a path ---- */

static struct str path_text(struct arena *a, struct str entry, const struct sha256 *path, size_t n)
{
	struct buf b;
	buf_init(&b, LEDGER_ENTRY_MAX * 2 + BUNDLE_PATH_MAX * 50);
	buf_add_z(&b, "[\"");
	buf_add_str(&b, str_base64(a, entry.p, entry.n));
	for (size_t i = 0; i < n; i++) {
		buf_add_z(&b, "\",\"");
		buf_add_str(&b, str_base64(a, path[i].b, 32));
	}
	buf_add_z(&b, "\"]");
	return buf_take(a, &b);
}

static enum err pour_later(struct pouring *p, const int64_t *items, size_t n, struct ledger_prover *prover)
{
	struct call *c = p->k->c;
	struct rows r;
	struct arena_mark mark = arena_mark(c->arena);
	struct proved *proved = ARENA_ARRAY(c->arena, n, struct proved);
	TRY(db_query(c, leaves_of, &r, A_UUID(p->k->coop), A_I64S(items, n)));
	for (int i = 0; i < r.n; i++) {
		struct str entry;
		struct sha256 *path;
		size_t hashes;
		int home = p->k->people[row_int(&r, i, 2)].home; /* row_goes has looked at the number */
		if (home >= 0)
			TRY(bundle_onward_path(p->k, home, row_int(&r, i, 1), &entry, &path, &hashes));
		else
			TRY(ledger_prover_path(prover, row_int(&r, i, 1), &entry, &path, &hashes));
		proved[i] = (struct proved){ row_int(&r, i, 0), path_text(c->arena, entry, path, hashes) };
	}
	p->paths = proved;
	p->n_paths = (size_t)r.n;
	TRY(pour_some(p, items, n));
	arena_rewind(c->arena, mark);
	return ERR_OK;
}

static enum err pour_all_later(struct pouring *p)
{
	struct writing *k = p->k;
	struct ledger_prover *prover;
	size_t n = p->n_later;
	if (n == 0)
		return ERR_OK;
	TRY(ledger_prover_new(k->c, k->coop, k->head_size, &prover));
	TRY(bundle_onward_paths(k));
	for (size_t at = 0; at < n; at += LATER)
		TRY(pour_later(p, p->later + at, n - at < LATER ? n - at : LATER, prover));
	return ERR_OK;
}

static enum err pour_everything(struct pouring *p)
{
	struct writing *k = p->k;
	int64_t n = (int64_t)k->scoped.n;
	for (int64_t from = 0, to; from < n; from = to) {
		to = from + POOL_SEGMENT < n ? from + POOL_SEGMENT : n;
		TRY(pour_stretch(p, from, to));
		if (k->counts.records) /* else there may be nothing to send at all */
			TRY(bundle_events_upto(k, k->base_size + (k->head_size - k->base_size) * to / n));
	}
	return pour_all_later(p);
}

enum err bundle_records_write(struct writing *k)
{
	struct pouring *p = ARENA_NEW(k->c->arena, struct pouring);
	size_t bytes = k->scoped.n / 8 + 1;
	uint8_t *bits = arena_alloc(k->c->arena, bytes);
	*p = (struct pouring){ .k = k, .bits = bits, .last_leaf = k->base_size - 1, .contents = bundle_contents_new(k->c, k->coop) };
	for (size_t i = 0; i < bytes; i++)
		/* What comes back goes again itself, too: the bundle that it first went with may have been lost. */
		bits[i] = (uint8_t)(k->scoped.in[i] & (k->whole ? 0xff : ~k->now[i]));
	arena_defer(k->c->arena, pouring_end, p);
	struct bundle_stream *out = ARENA_NEW(k->c->arena, struct bundle_stream);
	bundle_stream_begin(&k->files, out, "records", true, false);
	TRY(db_query0(k->c, plan_by_index, NULL));
	TRY(bundle_pour_begin(k, out, &p->pour));
	TRY(bundle_pour_end(p->pour, pour_everything(p)));
	TRY(db_query0(k->c, plan_as_usual, NULL));
	return bundle_stream_end(out);
}
