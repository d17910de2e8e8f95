/* What other co-ops took back: kept as they signed it, and carried out on what of it is here, whichever came first. */
#include "onward_internal.h"

#include "commonhold/coop.h"
#include "commonhold/mirror.h"
#include "commonhold/origin.h"
#include "commonhold/peer.h"
#include "commonhold/policy.h"

#define LINES_AT_ONCE 5000

SQL(words_known, "SELECT u.no::integer, w.digest FROM unnest($3::bigint[]) WITH ORDINALITY AS u(idx, no) JOIN onward_word w ON w.coop_id = $1 AND w.feed = $2 AND w.idx = u.idx");
SQL(words_insert,
	"INSERT INTO onward_word (coop_id, feed, idx, home, id, kind, reason_code, effective, purge_by, until, replacement, line, digest, via, counts, taken_at) "
	"SELECT $1, $2, u.idx, u.home, u.id, u.kind, u.reason, u.effective, u.purge_by, u.until, nullif(u.replacement, '00000000-0000-0000-0000-000000000000'), u.line, "
	"sha256(convert_to(u.line, 'UTF8')), $3, u.home = $2, commonhold_now() "
	"FROM unnest($4::bigint[], $5::text[], $6::uuid[], $7::text[], $8::text[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::uuid[], $13::text[]) "
	"AS u (idx, home, id, kind, reason, effective, purge_by, until, replacement, line) ON CONFLICT DO NOTHING");
/* The same said twice, by two or in two feeds: one request carries it out. What erases covers everything milder. */
SQL(words_join,
	"UPDATE onward_word w SET erasure_id = x.erasure_id FROM onward_word x WHERE w.coop_id = $1 AND w.erasure_id IS NULL AND x.coop_id = $1 AND x.home = w.home AND x.id = w.id "
	"AND x.erasure_id IS NOT NULL AND NOT x.over AND NOT w.over AND (x.kind IN ('erase', 'correct') OR (x.kind = w.kind AND x.until IS NOT DISTINCT FROM w.until))");
/* What is said of items that are here, as rows or as further origins of rows, and is not carried out yet. */
#define OPEN_COLUMNS "w.feed, w.idx, w.home, w.id, w.kind, w.reason_code, w.until, w.replacement, o.no"
#define OPEN_SOURCE "LEFT JOIN guest_source s ON s.coop_id = g.coop_id AND s.agreement_id = g.agreement_id WHERE w.coop_id = $1 AND w.erasure_id IS NULL AND (w.counts OR s.home = w.feed) " \
	"AND NOT w.over AND (w.until IS NULL OR w.until > commonhold_now() OR w.reason_code = '" ERASURE_EMBARGO_ENDED "')"
SQL(words_open,
	"SELECT " OPEN_COLUMNS ", c.item_no, true FROM onward_word w JOIN origin_coop o ON o.coop_id = w.coop_id AND o.key_name = w.home "
	"JOIN contribution c ON c.coop_id = w.coop_id AND c.id = w.id AND (c.more >> 24 & 255) = o.no AND (c.word & 4096) = 0 "
	"LEFT JOIN guest g ON g.coop_id = c.coop_id AND g.id = c.member_id " OPEN_SOURCE
	" UNION ALL SELECT " OPEN_COLUMNS ", i.item_no, false FROM onward_word w JOIN origin_coop o ON o.coop_id = w.coop_id AND o.key_name = w.home "
	"JOIN item_origin i ON i.coop_id = w.coop_id AND i.origin = o.no AND i.id = w.id "
	"LEFT JOIN guest g ON g.coop_id = i.coop_id AND g.id = i.member_id " OPEN_SOURCE
	" ORDER BY 5, 6, 7, 8, 9, 10 LIMIT $2");
SQL(words_set, "UPDATE onward_word w SET erasure_id = $2, answered_at = NULL FROM unnest($3::text[], $4::bigint[]) AS u(feed, idx) WHERE w.coop_id = $1 AND w.feed = u.feed AND w.idx = u.idx");
SQL(words_erased,
	"SELECT DISTINCT u.no::integer FROM unnest($3::uuid[]) WITH ORDINALITY AS u(id, no) JOIN onward_word w ON w.coop_id = $1 AND w.home = $2 AND w.id = u.id "
	"WHERE w.counts AND w.kind IN ('erase', 'correct')");
SQL(words_any_erased, "SELECT EXISTS (SELECT FROM onward_word WHERE coop_id = $1 AND counts AND kind IN ('erase', 'correct'))");
SQL(words_unanswered, "SELECT EXISTS (SELECT FROM onward_word WHERE coop_id = $1 AND answered_at IS NULL)");
SQL(erasure_set_idx, "UPDATE erasure SET first_idx = $3, last_idx = $4 WHERE coop_id = $1 AND id = $2");
SQL(embargoed_origins,
	"SELECT o.no, w.id FROM onward_word w JOIN origin_coop o ON o.coop_id = w.coop_id AND o.key_name = w.home JOIN item_origin i ON i.coop_id = w.coop_id AND i.origin = o.no AND i.id = w.id "
	"WHERE w.coop_id = $1 AND w.erasure_id = $2 AND NOT EXISTS (SELECT FROM onward_word x WHERE x.coop_id = $1 AND x.home = w.home AND x.id = w.id AND x.kind = 'embargo' AND NOT x.over AND x.until > commonhold_now()) ORDER BY 1");
/* An embargo that the same feed ends earlier farther on. What one request carried out with it, and is not over, is asked for anew. */
SQL(words_over,
	"UPDATE onward_word w SET over = true FROM onward_word x WHERE w.coop_id = $1 AND w.kind = 'embargo' AND NOT w.over AND w.until > commonhold_now() AND x.coop_id = $1 AND x.home = w.home "
	"AND x.id = w.id AND x.feed = w.feed AND x.idx > w.idx AND x.kind = 'embargo' AND x.until < w.until RETURNING w.erasure_id");
SQL(words_anew, "UPDATE onward_word SET erasure_id = NULL WHERE coop_id = $1 AND erasure_id = ANY ($2) AND NOT over");
/* Copies of what was erased, here or by its home, that stand and are not asked about yet. */
SQL(derived_left,
	"SELECT DISTINCT c.item_no FROM derivation d JOIN contribution c ON c.coop_id = d.coop_id AND c.id = d.id WHERE d.coop_id = $1 AND d.copied AND (c.word & $3) = 0 "
	"AND (EXISTS (SELECT FROM onward_word w WHERE w.coop_id = $1 AND w.home = d.home AND w.id = d.source AND w.counts AND w.kind IN ('erase', 'correct')) "
	"  OR (d.home = $2 AND EXISTS (SELECT FROM tombstone t WHERE t.coop_id = $1 AND t.contribution_id = d.source AND t.kind IN ('erase', 'correct')))) ORDER BY 1 LIMIT $4");

/* ---- Lines ---- */

enum err onward_line_read(struct arena *a, struct str line, const struct keychain *keys, struct onward_line *out, struct error *e)
{
	const struct json *json;
	struct tombstone_chain chain;
	int64_t idx;
	if (line.n > TOMBSTONE_LINE_MAX)
		return error_set(e, ERR_CORRUPT, "A tombstone is longer than it may be.");
	TRY(json_parse(a, line, &json, e));
	idx = json_int(json_get(json, "idx"), -1);
	if (idx < 0 || !sha256_parse(json_member_text(json, "prev"), &chain.digest))
		return error_set(e, ERR_CORRUPT, "This is no tombstone.");
	for (size_t i = keys->n; i-- > 0;) {
		struct error why = { 0 };
		chain.upto = idx - 1;
		if (tombstone_take(a, &chain, line, keys->keys[i].public_key, &out->said, &why) != ERR_OK)
			continue;
		out->line = line;
		return keychain_in_force(keys, i, out->said.t, out->said.t + CLOCK_HOUR) ? ERR_OK : error_set(e, ERR_CORRUPT, "A tombstone is signed by a key that was not in force.");
	}
	return error_set(e, ERR_CORRUPT, "A tombstone is not signed by the co-op whose it is said to be.");
}

/* Lines on their way into the table, in columns. */
struct incoming {
	int64_t *idx;
	struct str *homes, *kinds, *reasons, *lines;
	struct uuid *ids, *replacements;
	instant *effective, *purge_by, *until;
	size_t n;
};

static void incoming_make(struct arena *a, struct incoming *k, size_t n)
{
	*k = (struct incoming){
		.idx = ARENA_ARRAY(a, n, int64_t), .homes = ARENA_ARRAY(a, n, struct str), .kinds = ARENA_ARRAY(a, n, struct str), .reasons = ARENA_ARRAY(a, n, struct str),
		.lines = ARENA_ARRAY(a, n, struct str), .ids = ARENA_ARRAY(a, n, struct uuid), .replacements = ARENA_ARRAY(a, n, struct uuid), .effective = ARENA_ARRAY(a, n, instant),
		.purge_by = ARENA_ARRAY(a, n, instant), .until = ARENA_ARRAY(a, n, instant),
	};
}

/* False for a line about what is ours, or about nothing. */
static bool incoming_add(struct incoming *k, struct str ours, const struct onward_line *l)
{
	size_t i = k->n;
	struct str home;
	if (!rid_parse(l->said.rid, &k->homes[i], &k->ids[i]) || str_eq(k->homes[i], ours))
		return false;
	k->replacements[i] = (struct uuid){ { 0 } };
	if (l->said.replacement.p && (!rid_parse(l->said.replacement, &home, &k->replacements[i]) || !str_eq(home, k->homes[i])))
		k->replacements[i] = (struct uuid){ { 0 } };
	k->idx[i] = l->said.idx;
	k->kinds[i] = str_of(tombstone_kind_name(l->said.kind));
	k->reasons[i] = l->said.reason_code;
	k->effective[i] = l->said.effective;
	k->purge_by[i] = l->said.purge_by;
	k->until[i] = l->said.until;
	k->lines[i] = l->line;
	k->n++;
	return true;
}

/* Which of these are known; ERR_REFUSED where the feed said something else at the same place. */
static enum err find_known(struct call *c, struct uuid coop, struct str feed, const struct onward_line *lines, size_t n, bool *known)
{
	struct rows r;
	int64_t *idx = ARENA_ARRAY(c->arena, n + 1, int64_t);
	for (size_t i = 0; i < n; i++)
		idx[i] = lines[i].said.idx;
	TRY(db_query(c, words_known, &r, A_UUID(coop), A_STR(feed), A_I64S(idx, n)));
	for (int row = 0; row < r.n; row++) {
		size_t i = (size_t)row_int(&r, row, 0) - 1;
		if (!sha256_eq(sha256(lines[i].line), sha256_load(row_bytes(&r, row, 1))))
			return fail_reason(c, ERR_REFUSED, "feed_rewritten", "The list of tombstones of %.*s says something else at %lld than it did before.", STR_ARG(feed), (long long)idx[i]);
		known[i] = true;
	}
	return ERR_OK;
}

static enum err take_some(struct call *c, struct uuid coop, struct str ours, struct str via, struct str feed, const struct onward_line *lines, size_t n, struct onward_taken *out)
{
	struct incoming k;
	bool *known = ARENA_ARRAY(c->arena, n + 1, bool);
	TRY(find_known(c, coop, feed, lines, n, known));
	incoming_make(c->arena, &k, n + 1);
	for (size_t i = 0; i < n; i++) {
		if (known[i])
			out->known++;
		else if (!incoming_add(&k, ours, &lines[i]))
			out->skipped++;
	}
	out->kept += (int64_t)k.n;
	TRY(peer_spend(c, coop, via, PEER_BUDGET_WORDS, (int64_t)k.n));
	return k.n == 0 ? ERR_OK : db_exec(c, words_insert, A_UUID(coop), A_STR(feed), A_STR(via), A_I64S(k.idx, k.n), A_TEXTS(k.homes, k.n), A_UUIDS(k.ids, k.n), A_TEXTS(k.kinds, k.n),
		A_TEXTS(k.reasons, k.n), A_TIMES(k.effective, k.n), A_TIMES(k.purge_by, k.n), A_TIMES(k.until, k.n), A_UUIDS(k.replacements, k.n), A_TEXTS(k.lines, k.n));
}

enum err onward_take(struct call *c, struct uuid coop, struct str via, struct str feed, const struct onward_line *lines, size_t n, struct onward_taken *out)
{
	struct coop us;
	struct rows r;
	*out = (struct onward_taken){ 0 };
	TRY(pool_lock(c, coop));
	TRY(coop_get(c, coop, &us));
	if (str_eq(feed, us.key_name))
		return ERR_OK;
	for (size_t from = 0; from < n; from += LINES_AT_ONCE)
		TRY(take_some(c, coop, us.key_name, via, feed, lines + from, n - from < LINES_AT_ONCE ? n - from : LINES_AT_ONCE, out));
	TRY(onward_settle(c, coop, &out->withdrawn));
	if (out->kept)
		TRY(onward_queue_derived(c, coop));
	TRY(db_one(c, words_unanswered, &r, A_UUID(coop)));
	return row_bool(&r, 0, 0) ? onward_queue_receipts(c, coop) : ERR_OK;
}

enum err onward_any_erased(struct call *c, struct uuid coop, bool *yes)
{
	struct rows r;
	TRY(db_one(c, words_any_erased, &r, A_UUID(coop)));
	*yes = row_bool(&r, 0, 0);
	return ERR_OK;
}

enum err onward_erased(struct call *c, struct uuid coop, struct str home, const struct uuid *ids, size_t n, bool *gone)
{
	struct rows r;
	memset(gone, 0, n * sizeof(*gone));
	TRY(db_query(c, words_erased, &r, A_UUID(coop), A_STR(home), A_UUIDS(ids, n)));
	for (int i = 0; i < r.n; i++)
		gone[row_int(&r, i, 0) - 1] = true;
	return ERR_OK;
}

/* ---- Carrying out ---- */

#define SETTLE_AT_ONCE 100000

/* Words that one request carries out: rows [from, to) of the answer. */
struct order {
	struct uuid coop;
	const struct rows *r;
	int from, to;
	struct erasure e;
};

static enum err set_words(struct call *c, const struct order *o)
{
	size_t n = (size_t)(o->to - o->from);
	struct str *feeds = ARENA_ARRAY(c->arena, n + 1, struct str);
	int64_t *idx = ARENA_ARRAY(c->arena, n + 1, int64_t);
	for (size_t i = 0; i < n; i++) {
		feeds[i] = row_str(o->r, o->from + (int)i, 0);
		idx[i] = row_int(o->r, o->from + (int)i, 1);
	}
	return db_exec(c, words_set, A_UUID(o->coop), A_UUID(o->e.id), A_TEXTS(feeds, n), A_I64S(idx, n));
}

/* Those of one home. An embargo keeps the row back until the day that the word of it names, also where that word ends it early; what is taken for good goes alone, and the row stays for the others'. */
static enum err origins_go(struct call *c, const struct order *o, unsigned origin, const struct uuid *ids, size_t n)
{
	size_t dropped;
	if (o->e.kind != ERASURE_EMBARGO)
		return origins_drop(c, o->coop, origin, ids, n, &dropped);
	if (!str_is(o->e.reason_code, ERASURE_EMBARGO_ENDED))
		TRY(origins_mark(c, o->coop, origin, ids, n, POLICY_ITEM_EMBARGOED, 0));
	return job_queue(c, "onward.embargo", uuid_format(c->arena, o->e.id), job_args(c->arena, o->coop, "erasure", o->e.id), row_time(o->r, o->from, 6));
}

static enum err origins_tombstones(struct call *c, const struct order *o, const struct charter *charter)
{
	size_t n = 0;
	int64_t first, last, count;
	struct tombstone_draft *drafts = ARENA_ARRAY(c->arena, (size_t)(o->to - o->from) + 1, struct tombstone_draft);
	static const enum tombstone_kind kinds[ERASURE_KIND_COUNT] = { TOMBSTONE_ERASE, TOMBSTONE_WITHDRAW_FUTURE, TOMBSTONE_EMBARGO, TOMBSTONE_CORRECT };
	for (int i = o->from; i < o->to; i++)
		if (!row_bool(o->r, i, 10))
			drafts[n++] = (struct tombstone_draft){ .item = row_uuid(o->r, i, 3), .home = row_str(o->r, i, 2), .kind = kinds[o->e.kind], .reason_code = o->e.reason_code,
				.effective = o->e.effective_at, .purge_by = o->e.effective_at + charter->purge_days * CLOCK_DAY, .until = o->e.until, .replacement = o->e.replacement, .erasure = o->e.id };
	TRY(tombstone_append(c, o->coop, drafts, n, NULL));
	TRY(tombstone_of_erasure(c, o->coop, o->e.id, &first, &last, &count));
	TRY(db_exec(c, erasure_set_idx, A_UUID(o->coop), A_UUID(o->e.id), A_I64(first), A_I64(last)));
	return onward_appended(c, &o->e, NULL, n);
}

static enum err origins_carry(struct call *c, const struct order *o)
{
	struct charter charter;
	struct uuid *ids = ARENA_ARRAY(c->arena, (size_t)(o->to - o->from) + 1, struct uuid);
	size_t n = 0, all = 0;
	for (int i = o->from; i < o->to; i++) {
		if (row_bool(o->r, i, 10))
			continue;
		ids[n++] = row_uuid(o->r, i, 3);
		all++;
		bool last = true;
		for (int j = i + 1; last && j < o->to; j++)
			last = row_bool(o->r, j, 10) || row_int(o->r, j, 8) != row_int(o->r, i, 8);
		if (!last)
			continue;
		TRY(origins_go(c, o, (unsigned)row_int(o->r, i, 8), ids, n));
		n = 0;
	}
	if (all == 0)
		return ERR_OK;
	TRY(charter_current(c, o->coop, &charter));
	return origins_tombstones(c, o, &charter);
}

static enum err carry_out(struct call *c, struct order *o)
{
	enum erasure_kind kind;
	size_t n = 0;
	int64_t *items = ARENA_ARRAY(c->arena, (size_t)(o->to - o->from) + 1, int64_t);
	for (int i = o->from; i < o->to; i++)
		if (row_bool(o->r, i, 10))
			items[n++] = row_int(o->r, i, 9);
	if (!erasure_kind_parse(row_str(o->r, o->from, 4), &kind))
		return fail(c, ERR_CORRUPT, "A tombstone of another co-op is of no known kind.");
	struct erasure_order order = { .kind = kind, .asker = ERASURE_PARTNER, .reason_code = row_str(o->r, o->from, 5), .until = row_time(o->r, o->from, 6), .replacement = row_uuid(o->r, o->from, 7),
		.items = items, .n = n };
	bool ended = str_is(order.reason_code, ERASURE_EMBARGO_ENDED) && kind == ERASURE_EMBARGO;
	if (ended && order.until <= clock_now())
		order.until = (clock_now() / CLOCK_HOUR + 1) * CLOCK_HOUR;
	TRY(erasure_by_order(c, o->coop, &order, &o->e));
	if (ended && n) /* it is there to be told on */
		TRY(pool_withdrawal_lift(c, o->coop, o->e.id));
	TRY(set_words(c, o));
	return origins_carry(c, o);
}

static bool same_order(const struct rows *r, int i, int j)
{
	return str_eq(row_str(r, i, 4), row_str(r, j, 4)) && str_eq(row_str(r, i, 5), row_str(r, j, 5)) && row_time(r, i, 6) == row_time(r, j, 6) && uuid_eq(row_uuid(r, i, 7), row_uuid(r, j, 7));
}

/* What homes ended before its day. */
static enum err settle_over(struct call *c, struct uuid coop)
{
	struct rows r;
	size_t n = 0;
	TRY(db_query(c, words_over, &r, A_UUID(coop)));
	struct uuid *ids = ARENA_ARRAY(c->arena, (size_t)r.n + 1, struct uuid);
	for (int i = 0; i < r.n; i++) {
		bool known = row_null(&r, i, 0);
		for (size_t k = 0; k < n && !known; k++)
			known = uuid_eq(ids[k], row_uuid(&r, i, 0));
		if (!known)
			ids[n++] = row_uuid(&r, i, 0);
	}
	if (n == 0)
		return ERR_OK;
	TRY(db_exec(c, words_anew, A_UUID(coop), A_UUIDS(ids, n)));
	for (size_t i = 0; i < n; i++) {
		TRY(erasure_embargo_over(c, coop, ids[i]));
		TRY(job_queue(c, "onward.embargo", uuid_format(c->arena, ids[i]), job_args(c->arena, coop, "erasure", ids[i]), clock_now()));
	}
	return ERR_OK;
}

enum err onward_settle(struct call *c, struct uuid coop, int64_t *withdrawn)
{
	struct rows r;
	int64_t count = 0;
	TRY(pool_lock(c, coop));
	TRY(settle_over(c, coop));
	do {
		TRY(db_exec(c, words_join, A_UUID(coop)));
		TRY(db_query(c, words_open, &r, A_UUID(coop), A_INT(SETTLE_AT_ONCE)));
		for (int from = 0, to; from < r.n; from = to) {
			for (to = from + 1; to < r.n && same_order(&r, from, to); to++)
				;
			TRY(carry_out(c, &(struct order){ .coop = coop, .r = &r, .from = from, .to = to }));
		}
		count += r.n;
	} while (r.n == SETTLE_AT_ONCE);
	if (withdrawn)
		*withdrawn = count;
	return count ? onward_queue_receipts(c, coop) : ERR_OK;
}

static enum err embargo_run(struct call *c, const struct json *args)
{
	struct uuid coop, id;
	struct rows r;
	TRY(job_args_read(c, args, "erasure", &coop, &id));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(pool_lock(c, coop));
	TRY(db_query(c, embargoed_origins, &r, A_UUID(coop), A_UUID(id)));
	for (int i = 0; i < r.n; i++) {
		struct uuid item = row_uuid(&r, i, 1);
		TRY(origins_mark(c, coop, (unsigned)row_int(&r, i, 0), &item, 1, 0, POLICY_ITEM_EMBARGOED));
	}
	return db_commit(c);
}

/* ---- Copies ---- */

#define DERIVED_AT_ONCE 100000

enum err onward_queue_derived(struct call *c, struct uuid coop)
{
	return job_queue(c, "onward.derived", uuid_format(c->arena, coop), job_args(c->arena, coop, "line", coop), clock_now());
}

/* What was copied from a copy follows, since the tombstones of the copies queue this again. */
static enum err derived_run(struct call *c, const struct json *args)
{
	struct erasure e;
	struct coop us;
	struct rows r;
	struct uuid coop, line;
	TRY(job_args_read(c, args, "line", &coop, &line));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(pool_lock(c, coop));
	TRY(coop_get(c, coop, &us));
	TRY(db_query(c, derived_left, &r, A_UUID(coop), A_STR(us.key_name), A_I64(POLICY_ITEM_ERASURE | POLICY_ITEM_TOMBSTONED), A_INT(DERIVED_AT_ONCE)));
	if (r.n) {
		int64_t *items = ARENA_ARRAY(c->arena, (size_t)r.n, int64_t);
		for (int i = 0; i < r.n; i++)
			items[i] = row_int(&r, i, 0);
		TRY(erasure_by_order(c, coop, &(struct erasure_order){ .kind = ERASURE_ERASE, .asker = ERASURE_RULE, .reason_code = STR("derived"), .until = INSTANT_NONE, .items = items, .n = (size_t)r.n }, &e));
	}
	return db_commit(c);
}

/* ---- Keys ---- */

SQL(home_keys, "SELECT keys FROM onward_home WHERE coop_id = $1 AND home = $2");
SQL(home_put, "INSERT INTO onward_home (coop_id, home, keys) VALUES ($1, $2, $3) ON CONFLICT (coop_id, home) DO UPDATE SET keys = excluded.keys");

/* What is kept of a co-op's keys: n == 0 for nothing; *pinned: it is a peer, or this co-op itself. */
static enum err kept_keys(struct call *c, struct uuid coop, struct str name, struct keychain *out, bool *pinned)
{
	struct coop us;
	struct peer peer;
	struct rows r;
	*out = (struct keychain){ 0 };
	*pinned = true;
	TRY(coop_get(c, coop, &us));
	if (str_eq(us.key_name, name))
		return keychain_of(c, coop, out);
	enum err e = peer_by_name(c, coop, name, &peer);
	if (e == ERR_OK)
		return peer_keys(c, &peer, out);
	if (e != ERR_NOT_FOUND)
		return e;
	error_clear(&c->error);
	*pinned = false;
	TRY(db_query(c, home_keys, &r, A_UUID(coop), A_STR(name)));
	return r.n ? keychain_read(c->arena, row_str(&r, 0, 0), out, &c->error) : ERR_OK;
}

enum err onward_keys(struct call *c, struct uuid coop, struct str name, const struct json *came, struct str via, const char *reason, struct keychain *out)
{
	struct keychain new;
	struct error why = { 0 };
	bool pinned;
	TRY(kept_keys(c, coop, name, out, &pinned));
	if (!came)
		return out->n ? ERR_OK : fail_reason(c, ERR_REFUSED, reason, "The keys of %.*s are not known here.", STR_ARG(name));
	if (keychain_read_json(c->arena, came, &new, &why) != ERR_OK || !str_eq(new.name, name))
		return fail_reason(c, ERR_REFUSED, reason, "These are no keys of %.*s.", STR_ARG(name));
	if (out->n && keychain_continues(out, &new))
		return ERR_OK;
	if (out->n && !keychain_continues(&new, out))
		return fail_reason(c, ERR_REFUSED, reason, "These keys of %.*s contradict those that are known here.", STR_ARG(name));
	if (!pinned && !out->n)
		TRY(peer_spend(c, coop, via, PEER_BUDGET_HOMES, 1));
	*out = new;
	return pinned ? ERR_OK : db_exec(c, home_put, A_UUID(coop), A_STR(name), A_STR(new.text));
}

/* ---- At start ---- */

SQL(blocked_partner, "SELECT EXISTS (SELECT FROM duty WHERE coop_id = $1 AND partner = $2 AND through IS NULL AND confirmed_at IS NULL AND step >= $3)");

enum err onward_blocked(struct call *c, struct uuid coop, struct str partner, bool *blocked)
{
	struct rows r;
	TRY(db_one(c, blocked_partner, &r, A_UUID(coop), A_STR(partner), A_INT(DUTY_BLOCKED)));
	*blocked = row_bool(&r, 0, 0);
	return ERR_OK;
}

const struct job_kind onward_jobs[] = {
	{ "onward.tell", onward_tell_run, 20, 120 },
	{ "onward.receipt", onward_receipt_run, 20, 120 },
	{ "onward.embargo", embargo_run, 20, 60 },
	{ "onward.derived", derived_run, 20, 60 },
	{ "onward.suspend", onward_suspend_run, 10, 60 },
	{ "merge.ended", onward_ended_run, 20, 300 },
	JOB_TABLE_END,
};
