/* The tombstones of a co-op in the database: appended in order, never touched again. */
#include "tombstone_internal.h"

#include "commonhold/coop.h"
#include "commonhold/db.h"
#include "commonhold/job.h"
#include "commonhold/json.h"
#include "commonhold/ledger.h"
#include "commonhold/pool.h"

SQL(tombstone_last, "SELECT idx, digest FROM tombstone WHERE coop_id = $1 ORDER BY idx DESC LIMIT 1");
SQL(tombstones_there,
	"SELECT u.place FROM unnest($2::uuid[], $3::uuid[], $4::bigint[]) AS u (erasure, item, place) JOIN tombstone t ON t.coop_id = $1 AND t.erasure_id = u.erasure "
	"AND t.contribution_id = u.item");
SQL(tombstones_insert,
	"INSERT INTO tombstone (coop_id, idx, contribution_id, kind, reason_code, releases, made_at, effective, purge_by, until, replacement, erasure_id, line, digest) "
	"SELECT $1, u.idx, u.item, u.kind, u.reason, coalesce(string_to_array(nullif(u.releases, ''), ' '), '{}'), $2, u.effective, u.purge_by, u.until, "
	"nullif(u.replacement, '00000000-0000-0000-0000-000000000000'), nullif(u.erasure, '00000000-0000-0000-0000-000000000000'), u.line, sha256(convert_to(u.line, 'UTF8')) "
	"FROM unnest($3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::timestamptz[], $9::timestamptz[], $10::timestamptz[], $11::uuid[], $12::uuid[], $13::text[]) "
	"AS u (idx, item, kind, reason, releases, effective, purge_by, until, replacement, erasure, line)");
SQL(seal_there, "SELECT FROM tombstone_seal WHERE coop_id = $1 AND upto = $2");
SQL(seal_insert, "INSERT INTO tombstone_seal (coop_id, upto, leaf, sealed_at) VALUES ($1, $2, $3, commonhold_now())");
SQL(tombstones_of, "SELECT min(idx), max(idx), count(*) FROM tombstone WHERE coop_id = $1 AND erasure_id = $2");

enum err tombstone_upto(struct call *c, struct uuid coop, int64_t *upto, struct sha256 *chain)
{
	struct rows r;
	struct str origin;
	TRY(db_query(c, tombstone_last, &r, A_UUID(coop)));
	*upto = r.n ? row_int(&r, 0, 0) : -1;
	if (r.n && chain)
		*chain = sha256_load(row_bytes(&r, 0, 1));
	if (r.n || !chain)
		return ERR_OK;
	TRY(ledger_origin(c, coop, &origin));
	*chain = sha256(origin);
	return ERR_OK;
}

/* ---- appending ---- */

/* Instants in whole hours: finer ones would tell which tombstones came together. */
static instant hour_up(instant t)
{
	return t == INSTANT_NONE || t == INSTANT_NEVER ? t : t + (CLOCK_HOUR - t % CLOCK_HOUR) % CLOCK_HOUR;
}

/* Columns of the tombstones that are being made. */
struct columns {
	int64_t *idx;
	struct uuid *items, *replacements, *erasures;
	struct str *kinds, *reasons, *releases, *lines;
	instant *effective, *purge_by, *until;
	size_t n;
};

/* What all lines of one append have in common. */
struct making {
	struct call *c;
	struct str coop;         /* key name, for ids */
	struct sign_key key;
	struct str made_at;
	struct sha256 prev;      /* of the line before */
};

/* The members of a line in canonical order, up to and from where the signature goes. */
static void line_parts(struct arena *a, const struct making *m, const struct tombstone_draft *d, int64_t idx, struct buf *before, struct buf *after)
{
	struct json_writer w;
	struct str home = d->home.p ? d->home : m->coop;
	jw_init(&w, before);
	jw_object(&w);
	jw_kstr(&w, "effective", clock_format(a, hour_up(d->effective)));
	jw_kint(&w, "idx", idx);
	jw_kz(&w, "kind", tombstone_kind_name(d->kind));
	jw_kstr(&w, "prev", sha256_hex(a, m->prev));
	jw_kstr(&w, "purge_by", clock_format(a, hour_up(d->purge_by)));
	jw_kstr(&w, "reason_code", d->reason_code);
	jw_key(&w, "releases");
	jw_array(&w);
	for (size_t i = 0; i < d->n_releases; i++)
		jw_str(&w, d->releases[i]);
	jw_end_array(&w);
	if (!uuid_is_nil(d->replacement))
		jw_kstr(&w, "replacement", rid_format(a, home, d->replacement));
	jw_key(&w, "rid");
	jw_array(&w);
	jw_str(&w, rid_format(a, home, d->item));
	jw_end_array(&w);
	buf_addf(after, ",\"t\":\"%.*s\"", STR_ARG(m->made_at));
	if (d->kind == TOMBSTONE_EMBARGO) {
		struct str until = clock_format(a, hour_up(d->until));
		buf_addf(after, ",\"until\":\"%.*s\"", STR_ARG(until));
	}
	buf_add_byte(after, '}');
}

static enum err line_make(struct making *m, const struct tombstone_draft *d, int64_t idx, struct str *out)
{
	struct arena *a = m->c->arena;
	struct buf before, after;
	uint8_t signature[64];
	buf_init(&before, TOMBSTONE_LINE_MAX - 256);
	buf_init(&after, 256);
	line_parts(a, m, d, idx, &before, &after);
	struct str head = buf_take(a, &before), tail = buf_take(a, &after);
	if (!head.p || !tail.p)
		return fail(m->c, ERR_TOO_LARGE, "A tombstone names too many releases.");
	sign_bytes(&m->key, tombstone_signed_text(a, head, tail), signature);
	*out = str_cat(a, head, STR(",\"sig\":\""), str_base64(a, signature, sizeof(signature)), STR("\""), tail);
	m->prev = sha256(*out);
	return ERR_OK;
}

static enum err draft_check(struct call *c, const struct tombstone_draft *d)
{
	bool ends = d->until != INSTANT_NONE && d->until != INSTANT_NEVER;
	if ((d->kind == TOMBSTONE_EMBARGO) != ends || (d->kind != TOMBSTONE_CORRECT && !uuid_is_nil(d->replacement)))
		return fail(c, ERR_INTERNAL, "A tombstone of this kind cannot say what it was to say.");
	return ERR_OK;
}

static struct str joined(struct arena *a, const struct str *parts, size_t n)
{
	struct buf b;
	buf_init(&b, TOMBSTONE_LINE_MAX);
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_add_byte(&b, ' ');
		buf_add_str(&b, parts[i]);
	}
	struct str out = b.failed ? STR_NONE : str_copy(a, buf_str(&b));
	buf_release(&b);
	return out;
}

static void columns_make(struct arena *a, struct columns *k, size_t n)
{
	*k = (struct columns){
		.idx = ARENA_ARRAY(a, n, int64_t), .items = ARENA_ARRAY(a, n, struct uuid), .replacements = ARENA_ARRAY(a, n, struct uuid), .erasures = ARENA_ARRAY(a, n, struct uuid),
		.kinds = ARENA_ARRAY(a, n, struct str), .reasons = ARENA_ARRAY(a, n, struct str), .releases = ARENA_ARRAY(a, n, struct str), .lines = ARENA_ARRAY(a, n, struct str),
		.effective = ARENA_ARRAY(a, n, instant), .purge_by = ARENA_ARRAY(a, n, instant), .until = ARENA_ARRAY(a, n, instant),
	};
}

static enum err columns_add(struct columns *k, struct making *m, const struct tombstone_draft *d, int64_t idx)
{
	size_t i = k->n++;
	TRY(draft_check(m->c, d));
	k->idx[i] = idx;
	k->items[i] = d->item;
	k->replacements[i] = d->replacement;
	k->erasures[i] = d->erasure;
	k->kinds[i] = str_of(tombstone_kind_name(d->kind));
	k->reasons[i] = d->reason_code;
	k->releases[i] = joined(m->c->arena, d->releases, d->n_releases);
	k->effective[i] = hour_up(d->effective);
	k->purge_by[i] = hour_up(d->purge_by);
	k->until[i] = hour_up(d->until);
	return line_make(m, d, idx, &k->lines[i]);
}

/* Those that have no tombstone of the same erasure yet, in an order drawn at random: what was asked together must not stand in the order in which it was given. */
static enum err drafts_due(struct call *c, struct uuid coop, const struct tombstone_draft *drafts, size_t n, size_t **due, size_t *n_due)
{
	struct rows r;
	struct uuid *erasures = ARENA_ARRAY(c->arena, n, struct uuid), *items = ARENA_ARRAY(c->arena, n, struct uuid);
	int64_t *places = ARENA_ARRAY(c->arena, n, int64_t);
	bool *there = ARENA_ARRAY(c->arena, n, bool);
	for (size_t i = 0; i < n; i++) {
		erasures[i] = drafts[i].erasure;
		items[i] = drafts[i].item;
		places[i] = (int64_t)i;
	}
	TRY(db_query(c, tombstones_there, &r, A_UUID(coop), A_UUIDS(erasures, n), A_UUIDS(items, n), A_I64S(places, n)));
	for (int i = 0; i < r.n; i++)
		there[row_int(&r, i, 0)] = true;
	*due = ARENA_ARRAY(c->arena, n, size_t);
	*n_due = 0;
	for (size_t i = 0; i < n; i++)
		if (!there[i])
			(*due)[(*n_due)++] = i;
	for (size_t i = *n_due; i > 1; i--) {
		uint64_t lot;
		random_bytes(&lot, sizeof(lot));
		size_t with = (size_t)(lot % i), kept = (*due)[i - 1];
		(*due)[i - 1] = (*due)[with];
		(*due)[with] = kept;
	}
	return ERR_OK;
}

static enum err insert(struct making *m, struct uuid coop, instant made_at, const struct columns *k)
{
	struct call *c = m->c;
	TRY(db_exec(c, tombstones_insert, A_UUID(coop), A_TIME(made_at), A_I64S(k->idx, k->n), A_UUIDS(k->items, k->n), A_TEXTS(k->kinds, k->n), A_TEXTS(k->reasons, k->n),
		A_TEXTS(k->releases, k->n), A_TIMES(k->effective, k->n), A_TIMES(k->purge_by, k->n), A_TIMES(k->until, k->n), A_UUIDS(k->replacements, k->n),
		A_UUIDS(k->erasures, k->n), A_TEXTS(k->lines, k->n)));
	/* Over the next full hour: all that an hour brings is sealed together. */
	return job_queue(c, "tombstone.seal", uuid_format(c->arena, coop), job_args(c->arena, coop, "line", coop), made_at + CLOCK_HOUR);
}

enum err tombstone_append(struct call *c, struct uuid coop, const struct tombstone_draft *drafts, size_t n, int64_t *first_idx)
{
	struct making m = { .c = c };
	struct columns k;
	struct coop co;
	size_t *due, n_due;
	int64_t upto;
	if (first_idx)
		*first_idx = -1;
	/* Locks in the order in which publishing takes them: the pool, then the log, whose lock makes the sequence dense. */
	TRY(pool_lock(c, coop));
	TRY(ledger_lock(c, coop));
	TRY(drafts_due(c, coop, drafts, n, &due, &n_due));
	if (n_due == 0)
		return ERR_OK;
	TRY(coop_get(c, coop, &co));
	TRY(tombstone_upto(c, coop, &upto, &m.prev));
	TRY(ledger_key(c, coop, &m.key));
	instant made_at = clock_now_whole(CLOCK_HOUR);
	m.coop = co.key_name;
	m.made_at = clock_format(c->arena, made_at);
	columns_make(c->arena, &k, n_due);
	enum err e = ERR_OK;
	for (size_t i = 0; e == ERR_OK && i < n_due; i++)
		e = columns_add(&k, &m, &drafts[due[i]], upto + 1 + (int64_t)i);
	secret_wipe(&m.key, sizeof(m.key));
	TRY(e);
	TRY(insert(&m, coop, made_at, &k));
	if (first_idx)
		*first_idx = upto + 1;
	return ERR_OK;
}

enum err tombstone_seal(struct call *c, struct uuid coop)
{
	struct rows sealed;
	struct sha256 digest;
	int64_t upto, leaf;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(ledger_lock(c, coop));
	TRY(tombstone_upto(c, coop, &upto, &digest));
	TRY(db_query(c, seal_there, &sealed, A_UUID(coop), A_I64(upto)));
	if (upto < 0 || sealed.n)
		return db_commit(c);
	struct str chain = sha256_hex(c->arena, digest);
	TRY(ledger_append(c, coop, &(struct leaf){ .type = "tombstones.sealed",
		.data = str_fmt(c->arena, "{\"chain\":\"%.*s\",\"upto\":%lld}", STR_ARG(chain), (long long)upto) }, &leaf));
	return db_finish(c, seal_insert, NULL, A_UUID(coop), A_I64(upto), A_I64(leaf));
}

enum err tombstone_of_erasure(struct call *c, struct uuid coop, struct uuid erasure, int64_t *first, int64_t *last, int64_t *n)
{
	struct rows r;
	TRY(db_one(c, tombstones_of, &r, A_UUID(coop), A_UUID(erasure)));
	*n = row_int(&r, 0, 2);
	*first = *n ? row_int(&r, 0, 0) : -1;
	*last = *n ? row_int(&r, 0, 1) : -1;
	return ERR_OK;
}

/* ---- reading ---- */

struct lines { struct buf *out; int64_t last; };

static enum err line_add(void *arg, const struct copy_field *f, int n)
{
	struct lines *l = arg;
	if (n != 2)
		return ERR_CORRUPT;
	buf_add_str(l->out, copy_bytes(f[1]));
	buf_add_byte(l->out, '\n');
	l->last = copy_int(f[0]);
	return ERR_OK;
}

enum err tombstone_lines(struct call *c, struct uuid coop, int64_t from, int64_t upto, int64_t max, struct buf *out, int64_t *last)
{
	struct lines l = { out, from - 1 };
	struct db_arg args[] = { A_UUID(coop), A_I64(from), A_I64(upto), A_I64(max) };
	TRY(db_copy_out(c, "COPY (SELECT idx, line FROM tombstone WHERE coop_id = $1 AND idx >= $2 AND idx <= $3 ORDER BY idx LIMIT $4) TO STDOUT (FORMAT binary)", args, CH_LEN(args),
		line_add, &l));
	*last = l.last;
	return out->failed ? fail(c, ERR_TOO_LARGE, "The tombstones do not fit into one answer.") : ERR_OK;
}

static void head_write(struct json_writer *w, struct arena *a, struct sha256 chain, struct str origin, struct sha256 root, int64_t size, int64_t upto)
{
	instant now = clock_now_whole(CLOCK_SECOND);
	jw_object(w);
	jw_kstr(w, "chain", sha256_hex(a, chain));
	jw_kstr(w, "created", clock_format(a, now));
	jw_kstr(w, "expires", clock_format(a, now + TOMBSTONE_HEAD_LIFE));
	jw_kstr(w, "log", origin);
	jw_kstr(w, "root", sha256_hex(a, root));
	jw_kint(w, "size", size);
	jw_kint(w, "upto", upto);
	jw_kint(w, "v", 1);
	jw_end_object(w);
}

enum err tombstone_head(struct call *c, struct uuid coop, struct str *envelope, int64_t *upto, struct sha256 *chain)
{
	struct str origin;
	struct sign_key key;
	struct sha256 root, last;
	struct buf b;
	struct json_writer w;
	int64_t size, at;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(tombstone_upto(c, coop, &at, &last));
	TRY(ledger_origin(c, coop, &origin));
	TRY(ledger_head(c, coop, &size, &root));
	TRY(ledger_key(c, coop, &key));
	TRY(db_commit(c));
	buf_init(&b, 4096);
	jw_init(&w, &b);
	head_write(&w, c->arena, last, origin, root, size, at);
	*envelope = dsse_sign(c->arena, &key, 1, STR(TOMBSTONE_HEAD_TYPE), buf_take(c->arena, &b));
	secret_wipe(&key, sizeof(key));
	if (upto)
		*upto = at;
	if (chain)
		*chain = last;
	return ERR_OK;
}
