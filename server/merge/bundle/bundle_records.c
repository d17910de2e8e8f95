/* records-*.jsonl.zst: contents out of the pool, opened, put into lines and handed to the compressor's thread while the database sends the next. */
#include "bundle_scope.h"

#include "commonhold/db.h"
#include "commonhold/policy_licence.h"
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
	"COPY (SELECT " COLUMNS ", k.sealed FROM contribution c JOIN contribution_content k ON k.coop_id = c.coop_id AND k.shard = c.shard AND k.id = c.id "
	"WHERE c.coop_id = $1 AND c.item_no = ANY ($2::bigint[]) ORDER BY c.item_no) TO STDOUT (FORMAT binary)";

struct pouring {
	struct writing *k;
	struct bundle_stream *out;
	struct buf plain, facts, line;
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
	struct pouring *p = arg;
	secret_wipe(p->plain.p, p->plain.p ? p->plain.cap : 0);
	secret_wipe(p->facts.p, p->facts.p ? p->facts.cap : 0);
	secret_wipe(p->line.p, p->line.p ? p->line.cap : 0);
	buf_release(&p->plain);
	buf_release(&p->facts);
	buf_release(&p->line);
	free(p->later);
}

/* ---- A line ---- */

static void add_hex(struct buf *b, const uint8_t *from, size_t n)
{
	char *to = buf_reserve(b, n * 2);
	if (!to)
		return;
	for (size_t i = 0; i < n; i++) {
		*to++ = "0123456789abcdef"[from[i] >> 4];
		*to++ = "0123456789abcdef"[from[i] & 15];
	}
	b->n += n * 2;
}

#define ADD(b, literal) buf_add((b), (literal), sizeof(literal) - 1)

/* Whether a partner is told of a circumstance. The others name people, or say again what stands elsewhere. */
static bool fact_goes(struct str key)
{
	static const char *const names[] = { "ai_preferences", "application", "derived_from", "friction", "model", "processing", "prompted", "provider", "sensitive" };
	return str_which(key, names, CH_LEN(names)) >= 0;
}

/* Out of a canonical object into another, in the same order. */
static bool add_facts(struct buf *b, struct str facts)
{
	const char *p = facts.p + 1, *end = facts.p + facts.n;
	bool first = true;
	if (facts.n < 2 || facts.p[0] != '{' || end[-1] != '}')
		return false;
	ADD(b, "{");
	while (p < end - 1) {
		const char *name = p, *value = bundle_value_end(p, end), *after;
		if (!value || *name != '"' || *value != ':' || !(after = bundle_value_end(value + 1, end)))
			return false;
		if (fact_goes(str_make(name + 1, (size_t)(value - name - 2)))) {
			buf_add(b, ",", first ? 0 : 1);
			buf_add(b, name, (size_t)(after - name));
			first = false;
		}
		p = after + (*after == ',');
	}
	ADD(b, "}");
	return true;
}

/* Opens something sealed into a buffer. */
static bool open_into(struct buf *to, const struct seal_key *key, struct str context, struct str sealed)
{
	buf_clear(to);
	char *room = sealed.n >= SEAL_OVERHEAD ? buf_reserve(to, sealed.n - SEAL_OVERHEAD) : NULL;
	if (!room || !unseal_into(key, context, sealed, (uint8_t *)room))
		return false;
	to->n = sealed.n - SEAL_OVERHEAD;
	return true;
}

enum { ITEM_NO, ID, MEMBER_NO, KIND, LICENCE, LANG, SUBMITTED, LEAF, SALT, HASH, FACTS, SEALED_FACTS, BYTES, SEALED, FIELDS };

/* Content and circumstances of a row, open. */
static enum err row_open(struct pouring *p, const struct copy_field *f, const struct person *who)
{
	struct writing *k = p->k;
	struct uuid id = copy_uuid(f[ID]);
	uint8_t context[32], facts_context[48];
	pool_seal_context(k->coop, id.b, context);
	if (!open_into(&p->plain, &who->key, str_make(context, sizeof(context)), copy_bytes(f[SEALED])))
		return fail(k->c, ERR_CORRUPT, "A sealed contribution cannot be opened with its contributor's key.");
	struct sha256 hash = sha256(buf_str(&p->plain));
	if (f[HASH].n != 32 || memcmp(hash.b, f[HASH].p, 32) != 0 || f[SALT].n != 32)
		return fail(k->c, ERR_CORRUPT, "A contribution's content does not match its hash.");
	struct str facts_of = pool_facts_context(k->coop, id, facts_context);
	if (f[SEALED_FACTS].n < 0) {
		buf_clear(&p->facts);
		buf_add_str(&p->facts, copy_bytes(f[FACTS]));
	} else if (!open_into(&p->facts, &who->key, facts_of, copy_bytes(f[SEALED_FACTS]))) {
		return fail(k->c, ERR_CORRUPT, "A contribution's circumstances cannot be opened with its contributor's key.");
	}
	return ERR_OK;
}

static bool row_line(struct pouring *p, const struct copy_field *f, const struct person *who, struct str path)
{
	struct writing *k = p->k;
	struct buf *b = &p->line;
	char text[CLOCK_TEXT], id[UUID_TEXT];
	struct str home = who->home < 0 ? k->key_name : k->homes[who->home].home;
	buf_clear(b);
	ADD(b, "{\"at\":\"");
	buf_add(b, text, clock_write(copy_time(f[SUBMITTED]), text));
	ADD(b, "\",\"content\":");
	buf_add_str(b, buf_str(&p->plain));
	ADD(b, ",\"contributor\":\"");
	buf_add(b, who->contributor, 32);
	ADD(b, "\",\"facts\":");
	if (!add_facts(b, buf_str(&p->facts)))
		return false;
	ADD(b, ",\"home\":\"");
	buf_add_str(b, home);
	ADD(b, "\",\"kind\":\"");
	buf_add_z(b, policy_kind_name((unsigned)copy_int(f[KIND])));
	ADD(b, "\",\"lang\":\"");
	buf_add_str(b, copy_bytes(f[LANG]));
	ADD(b, "\",\"leaf\":");
	buf_add_i64(b, copy_int(f[LEAF]));
	ADD(b, ",\"licence\":\"");
	buf_add_z(b, policy_licence_get((unsigned)copy_int(f[LICENCE]))->spdx);
	if (path.p) {
		ADD(b, "\",\"path\":");
		buf_add_str(b, path);
		ADD(b, ",\"rid\":\"dc:");
	} else {
		ADD(b, "\",\"rid\":\"dc:");
	}
	buf_add_str(b, home);
	ADD(b, ":");
	uuid_write(copy_uuid(f[ID]), id);
	buf_add(b, id, UUID_TEXT);
	ADD(b, "\",\"salt\":\"");
	add_hex(b, f[SALT].p, 32);
	ADD(b, "\"}");
	return !b->failed;
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

static enum err pour_row(void *arg, const struct copy_field *f, int n)
{
	struct pouring *p = arg;
	struct writing *k = p->k;
	struct str path = STR_NONE;
	if (n != FIELDS)
		return fail(k->c, ERR_CORRUPT, "A contribution's row is not as it should be.");
	int64_t item = copy_int(f[ITEM_NO]), leaf = copy_int(f[LEAF]);
	size_t number = (size_t)copy_int(f[MEMBER_NO]);
	if (!bundle_bit(p->bits, item))
		return ERR_OK;
	if (number >= k->n_people || !k->people[number].keyed)
		return fail(k->c, ERR_GONE, "A contributor's key is gone, but their item would be passed on.");
	const struct person *who = &k->people[number];
	if (p->paths)
		path = path_of(p, item);
	else if (who->home >= 0 || leaf < k->base_size || leaf <= p->last_leaf)
		return later(p, item);
	else
		p->last_leaf = leaf;
	if (p->paths && !path.p)
		return fail(k->c, ERR_CORRUPT, "A contribution's leaf cannot be proved.");
	TRY(row_open(p, f, who));
	if (who->home >= 0)
		k->home_goes[who->home] = true;
	if (!row_line(p, f, who, path))
		return fail(k->c, ERR_TOO_LARGE, "A record is larger than a record may be, or its circumstances are damaged.");
	k->counts.records++;
	if (++p->rows % 50000 == 0 && k->c->job)
		TRY(job_extend(k->c));
	return bundle_stream_line(p->out, p->line.p, p->line.n);
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
	return db_copy_out(c, some_copy, (struct db_arg[]){ A_UUID(p->k->coop), A_STR(bundle_numbers_text(c->arena, items, n)) }, 2, pour_row, p);
}

/* ---- A stretch as a whole ---- */

/* A row of contribution, whose content is still to come. */
struct waiting_row { struct waiting_row *next; struct copy_field f[FIELDS]; bool goes; };

static enum err row_waits(void *arg, const struct copy_field *f, int n)
{
	struct pouring *p = arg;
	struct arena *a = p->k->c->arena;
	if (n != SEALED)
		return fail(p->k->c, ERR_CORRUPT, "A contribution's row is not as it should be.");
	if (p->held > ROWS_MAX)
		return ERR_OK; /* it is read again */
	struct waiting_row *row = ARENA_NEW(a, struct waiting_row);
	for (int i = 0; i < n; i++) {
		row->f[i] = f[i];
		if (f[i].n > 0) {
			row->f[i].p = (const uint8_t *)str_copy(a, copy_bytes(f[i])).p;
			p->held += (size_t)f[i].n;
		}
	}
	p->held += sizeof(*row);
	p->next = copy_int(f[ITEM_NO]) + 1;
	row->goes = bundle_bit(p->bits, p->next - 1);
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
			wanted[n++] = (struct bundle_wanted){ copy_int(row->f[ITEM_NO]), copy_uuid(row->f[ID]), copy_int(row->f[BYTES]) };
	return wanted;
}

/* Rows that wait, as their contents come. */
static enum err pour_waiting(struct pouring *p, int64_t from)
{
	const struct bundle_wanted *wanted = wanted_of(p);
	size_t left = p->n_waiting;
	TRY(bundle_contents_ahead(p->contents, from, p->next, wanted, left));
	for (struct waiting_row *row = p->waiting; row; row = row->next) {
		if (row->goes) {
			struct str sealed;
			TRY(bundle_contents_of(p->contents, wanted, left, &sealed));
			row->f[SEALED] = (struct copy_field){ (const uint8_t *)sealed.p, (int32_t)sealed.n };
			TRY(pour_row(p, row->f, FIELDS));
			wanted++;
			left--;
		}
		bundle_contents_drop(p->contents, copy_uuid(row->f[ID]));
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
		int home = p->k->people[row_int(&r, i, 2)].home; /* pour_row has looked at the number */
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

enum err bundle_records_write(struct writing *k)
{
	struct pouring *p = ARENA_NEW(k->c->arena, struct pouring);
	size_t bytes = k->scoped.n / 8 + 1;
	uint8_t *bits = arena_alloc(k->c->arena, bytes);
	int64_t n = (int64_t)k->scoped.n;
	*p = (struct pouring){ .k = k, .bits = bits, .last_leaf = k->base_size - 1, .contents = bundle_contents_new(k->c, k->coop) };
	for (size_t i = 0; i < bytes; i++)
		/* What comes back goes again itself, too: the bundle that it first went with may have been lost. */
		bits[i] = (uint8_t)(k->scoped.in[i] & (k->whole ? 0xff : ~k->now[i]));
	buf_init(&p->plain, LIMIT_BODY_ITEM);
	buf_init(&p->facts, LIMIT_BODY_ITEM);
	buf_init(&p->line, BUNDLE_LINE_MAX);
	arena_defer(k->c->arena, pouring_end, p);
	p->out = ARENA_NEW(k->c->arena, struct bundle_stream);
	bundle_stream_begin(&k->files, p->out, "records", true, false);
	TRY(bundle_people_keys(k));
	TRY(db_query0(k->c, plan_by_index, NULL));
	for (int64_t from = 0, to; from < n; from = to) {
		to = from + POOL_SEGMENT < n ? from + POOL_SEGMENT : n;
		TRY(pour_stretch(p, from, to));
		if (k->counts.records) /* else there may be nothing to send at all */
			TRY(bundle_events_upto(k, k->base_size + (k->head_size - k->base_size) * to / n));
	}
	TRY(pour_all_later(p));
	TRY(db_query0(k->c, plan_as_usual, NULL));
	return bundle_stream_end(p->out);
}
