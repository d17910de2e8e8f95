/* Receipts between co-ops: made here for what partners' homes took back, taken from partners for what we took back, and handed on towards the home as they were signed. */
#include "onward_internal.h"

#include "commonhold/coop.h"
#include "commonhold/ledger.h"
#include "commonhold/merge.h"
#include "commonhold/message.h"
#include "commonhold/mirror.h"
#include "commonhold/peer.h"

#include <stdlib.h>

#define WORDS_AT_ONCE 20000
#define SPAN_MAX 1000000       /* tombstones that one receipt may name */
#define AHEAD_MAX (10 * CLOCK_MINUTE)

/* ---- Made here ---- */

/* What may be answered: nothing of it is here, or what is done about it is done. What a legal hold keeps is not done. */
SQL(words_due,
	"SELECT w.via, w.feed, CASE WHEN w.kind NOT IN ('erase', 'correct') AND w.erasure_id IS NOT NULL THEN 'held-back' "
	"WHEN w.erasure_id IS NOT NULL OR EXISTS (SELECT FROM contribution c WHERE c.coop_id = $1 AND c.id = w.id AND (c.word & 4096) <> 0) THEN 'deleted' ELSE 'never-held' END AS method, "
	"w.idx, w.digest, w.erasure_id FROM onward_word w LEFT JOIN erasure e ON e.coop_id = $1 AND e.id = w.erasure_id "
	"WHERE w.coop_id = $1 AND w.answered_at IS NULL AND (w.erasure_id IS NULL OR (e.state IN ('propagating', 'completed', 'cancelled') AND e.n_held = 0)) ORDER BY 1, 2, 3, 4 LIMIT $2");
SQL(words_answered, "UPDATE onward_word SET answered_at = commonhold_now() WHERE coop_id = $1 AND feed = $2 AND idx = ANY ($3)");
/* Whom we told of the same, in the indexes of the feed that we were told in. */
SQL(passed_on,
	"SELECT p.partner, p.name, lower(m), upper(m) - 1 FROM (SELECT d.partner, min(d.partner_name) AS name, range_agg(int8range(w.idx, w.idx, '[]')) AS idx FROM duty d "
	"JOIN tombstone t ON t.coop_id = $1 AND t.erasure_id = d.erasure_id AND d.told @> t.idx JOIN onward_word w ON w.coop_id = $1 AND w.erasure_id = d.erasure_id AND w.id = t.contribution_id AND w.feed = $3 "
	"WHERE d.coop_id = $1 AND d.erasure_id = ANY ($2) AND d.partner IS NOT NULL AND d.through IS NULL AND w.idx = ANY ($4) GROUP BY 1) p, unnest(p.idx) m ORDER BY 1, 3 LIMIT $5");

struct answer {
	struct uuid coop;
	struct str ours, via, feed, method;
	int64_t *idx;            /* ascending */
	size_t n;
	struct sha256 last;      /* digest of the line with the greatest */
	struct uuid *erasures;   /* that carried them out */
	size_t n_erasures;
};

static void range_write(struct json_writer *w, int64_t first, int64_t last)
{
	jw_array(w);
	jw_int(w, first);
	jw_int(w, last);
	jw_end_array(w);
}

static void ranges_write(struct json_writer *w, const int64_t *idx, size_t n)
{
	jw_array(w);
	for (size_t from = 0, to; from < n; from = to) {
		for (to = from + 1; to < n && idx[to] == idx[to - 1] + 1; to++)
			;
		range_write(w, idx[from], idx[to - 1]);
	}
	jw_end_array(w);
}

static enum err passed_on_write(struct call *c, struct json_writer *w, const struct answer *a)
{
	struct rows r;
	TRY(db_query(c, passed_on, &r, A_UUID(a->coop), A_UUIDS(a->erasures, a->n_erasures), A_STR(a->feed), A_I64S(a->idx, a->n), A_INT(ONWARD_RANGES)));
	jw_array(w);
	for (int i = 0, to; i < r.n; i = to) {
		jw_object(w);
		jw_kstr(w, "coop", row_str(&r, i, 0));
		jw_key(w, "idx");
		jw_array(w);
		for (to = i; to < r.n && str_eq(row_str(&r, to, 0), row_str(&r, i, 0)); to++)
			range_write(w, row_int(&r, to, 2), row_int(&r, to, 3));
		jw_end_array(w);
		jw_kstr(w, "title", row_str(&r, i, 1));
		jw_end_object(w);
	}
	jw_end_array(w);
	return ERR_OK;
}

static enum err receipt_text(struct call *c, const struct answer *a, struct str *out)
{
	struct json_writer w;
	struct buf b;
	buf_init(&b, MESSAGE_MAX);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "at", clock_format(c->arena, clock_now()));
	jw_kstr(&w, "by", a->ours);
	jw_kstr(&w, "feed", a->feed);
	jw_key(&w, "idx");
	ranges_write(&w, a->idx, a->n);
	jw_kstr(&w, "last", sha256_hex(c->arena, a->last));
	jw_kstr(&w, "method", a->method);
	jw_key(&w, "onward");
	enum err e = passed_on_write(c, &w, a);
	jw_end_object(&w);
	*out = buf_take(c->arena, &b);
	TRY(e);
	return out->p ? ERR_OK : fail(c, ERR_TOO_LARGE, "A receipt does not fit into a message.");
}

static enum err send_receipt(struct call *c, struct uuid coop, struct uuid peer, struct str by, struct str keys, struct str envelope)
{
	struct json_writer w;
	struct buf b;
	buf_init(&b, MESSAGE_MAX);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "by", by);
	jw_key(&w, "keys");
	jw_raw(&w, keys);
	jw_kstr(&w, "receipt", envelope);
	jw_end_object(&w);
	struct str body = buf_take(c->arena, &b);
	return body.p ? message_send(c, coop, peer, "receipt", STR_NONE, body) : fail(c, ERR_TOO_LARGE, "A receipt does not fit into a message.");
}

/* Nobody is left to answer where the partner is none any more: then it is settled all the same. */
static enum err answer(struct call *c, const struct answer *a)
{
	struct keychain keys;
	struct sign_key key;
	struct peer peer;
	struct str text;
	enum err e = peer_by_name(c, a->coop, a->via, &peer);
	if (e == ERR_OK) {
		TRY(receipt_text(c, a, &text));
		TRY(keychain_of(c, a->coop, &keys));
		TRY(ledger_key(c, a->coop, &key));
		struct str envelope = dsse_sign(c->arena, &key, 1, STR(ONWARD_RECEIPT_TYPE), text);
		secret_wipe(&key, sizeof(key));
		TRY(send_receipt(c, a->coop, peer.id, a->ours, keys.text, envelope));
	} else if (e == ERR_NOT_FOUND) {
		error_clear(&c->error);
	} else {
		return e;
	}
	return db_exec(c, words_answered, A_UUID(a->coop), A_STR(a->feed), A_I64S(a->idx, a->n));
}

/* Words that one receipt confirms: of one hop, feed and method, in few enough stretches. */
static enum err answer_rows(struct call *c, struct answer *a, const struct rows *r, int from, int *to)
{
	size_t ranges = 1, most = (size_t)(r->n - from) + 1;
	*a = (struct answer){ .coop = a->coop, .ours = a->ours, .via = row_str(r, from, 0), .feed = row_str(r, from, 1), .method = row_str(r, from, 2), .idx = ARENA_ARRAY(c->arena, most, int64_t),
		.erasures = ARENA_ARRAY(c->arena, most, struct uuid) };
	for (*to = from; *to < r->n; (*to)++) {
		int i = *to;
		if (!str_eq(row_str(r, i, 0), a->via) || !str_eq(row_str(r, i, 1), a->feed) || !str_eq(row_str(r, i, 2), a->method))
			break;
		ranges += a->n && row_int(r, i, 3) != a->idx[a->n - 1] + 1;
		if (ranges > ONWARD_RANGES)
			break;
		a->idx[a->n++] = row_int(r, i, 3);
		a->last = sha256_load(row_bytes(r, i, 4));
		struct uuid e = row_uuid(r, i, 5);
		if (!uuid_is_nil(e) && (a->n_erasures == 0 || !uuid_eq(a->erasures[a->n_erasures - 1], e)))
			a->erasures[a->n_erasures++] = e;
	}
	return answer(c, a);
}

enum err onward_queue_receipts(struct call *c, struct uuid coop)
{
	return job_queue(c, "onward.receipt", uuid_format(c->arena, coop), job_args(c->arena, coop, "line", coop), clock_now());
}

enum err onward_receipt_run(struct call *c, const struct json *args)
{
	struct uuid coop, line;
	struct coop us;
	struct rows r = { .n = WORDS_AT_ONCE };
	TRY(job_args_read(c, args, "line", &coop, &line));
	while (r.n == WORDS_AT_ONCE) {
		struct arena_mark mark = arena_mark(c->arena);
		TRY(db_begin_in(c, coop, DB_WRITE));
		TRY(coop_get(c, coop, &us));
		TRY(db_query(c, words_due, &r, A_UUID(coop), A_INT(WORDS_AT_ONCE)));
		struct answer a = { .coop = coop, .ours = us.key_name };
		for (int from = 0, to; from < r.n; from = to)
			TRY(answer_rows(c, &a, &r, from, &to));
		TRY(db_commit(c));
		arena_rewind(c->arena, mark);
		if (c->job)
			TRY(job_extend(c));
	}
	return ERR_OK;
}

/* ---- Taken from partners ---- */

SQL(receipt_known_already, "SELECT EXISTS (SELECT FROM onward_receipt WHERE coop_id = $1 AND digest = $2)");
SQL(receipt_keep,
	"INSERT INTO onward_receipt (coop_id, id, feed, by, through, method, said_at, at, envelope, digest, erasures) VALUES ($1, $2, $3, $4, $5, $6, $7, commonhold_now(), $8, $9, $10)");
#define NAMED "(SELECT unnest($2::bigint[]) AS lo, unnest($3::bigint[]) AS hi)"
/* Tombstones of ours: of which request, and by when holders were to have purged. */
SQL(named_ours,
	"SELECT t.erasure_id, t.idx, t.purge_by, t.digest FROM " NAMED " n JOIN tombstone t ON t.coop_id = $1 AND t.idx BETWEEN n.lo AND n.hi ORDER BY 1, 2");
/* Of another feed: the tombstones that we made of the same, and who told us. */
SQL(named_theirs,
	"SELECT t.erasure_id, t.idx, t.purge_by FROM " NAMED " n JOIN onward_word w ON w.coop_id = $1 AND w.feed = $4 AND w.idx BETWEEN n.lo AND n.hi "
	"JOIN tombstone t ON t.coop_id = $1 AND t.erasure_id = w.erasure_id AND t.contribution_id = w.id ORDER BY 1, 2");
SQL(named_hops,
	"SELECT DISTINCT w.via FROM " NAMED " n JOIN onward_word w ON w.coop_id = $1 AND w.feed = $4 AND w.idx BETWEEN n.lo AND n.hi WHERE w.via <> $5 ORDER BY 1");
SQL(duty_there, "SELECT EXISTS (SELECT FROM duty WHERE coop_id = $1 AND erasure_id = $2 AND partner = $3)");

#define malformed(c, ...) fail_reason((c), ERR_REFUSED, "receipt_malformed", __VA_ARGS__)

struct stretches { int64_t *lo, *hi; size_t n; };

struct taken {
	struct uuid coop;
	struct str ours, from;       /* key names: of this co-op, and of the partner who handed it over */
	struct str by, feed, method;
	struct str envelope;
	struct sha256 digest, last;
	instant at;
	struct stretches named;
	const struct json *onward;
	struct uuid *erasures;       /* that it is about here */
	size_t n_erasures;
};

static enum err stretches_read(struct call *c, const struct json *list, struct stretches *out)
{
	int64_t before = -2, total = 0;
	if (!json_is(list, JSON_ARRAY) || list->count == 0 || list->count > ONWARD_RANGES)
		return malformed(c, "idx must be a list of 1 to %d stretches.", ONWARD_RANGES);
	*out = (struct stretches){ .lo = ARENA_ARRAY(c->arena, list->count, int64_t), .hi = ARENA_ARRAY(c->arena, list->count, int64_t) };
	json_each (pair, list) {
		int64_t lo = pair->count == 2 ? json_int(pair->child, -1) : -1, hi = pair->count == 2 ? json_int(pair->child->next, -1) : -1;
		if (!json_is(pair, JSON_ARRAY) || lo < 0 || hi < lo || lo <= before + 1 || hi - lo >= SPAN_MAX - total)
			return malformed(c, "The stretches of idx must be ascending, apart, and name at most %d tombstones.", SPAN_MAX);
		total += hi - lo + 1;
		before = hi;
		out->lo[out->n] = lo;
		out->hi[out->n++] = hi;
	}
	return ERR_OK;
}

static bool is_method(struct str s)
{
	return str_is(s, "deleted") || str_is(s, "never-held") || str_is(s, "held-back");
}

static enum err receipt_read(struct call *c, const struct json *body, struct taken *t)
{
	struct keychain keys;
	struct error why = { 0 };
	struct str payload;
	const struct json *said;
	size_t which;
	t->by = json_member_text(body, "by");
	t->envelope = json_member_text(body, "receipt");
	if (!t->by.n || !t->envelope.n)
		return malformed(c, "The message holds no receipt.");
	if (str_eq(t->by, t->ours))
		return malformed(c, "Nobody confirms our deletions for us.");
	TRY(onward_keys(c, t->coop, t->by, json_get(body, "keys"), t->from, "receipt_forged", &keys));
	if (keychain_dsse_verify(c->arena, &keys, t->envelope, STR(ONWARD_RECEIPT_TYPE), &payload, &which, &why) != ERR_OK)
		return fail_reason(c, ERR_REFUSED, "receipt_forged", "The receipt is not signed by the co-op that it names.");
	if (json_parse(c->arena, payload, &said, &why) != ERR_OK || !json_is(said, JSON_OBJECT))
		return malformed(c, "What is signed is no JSON object.");
	t->digest = sha256(t->envelope);
	t->feed = json_member_text(said, "feed");
	t->method = json_member_text(said, "method");
	t->onward = json_get(said, "onward");
	if (!str_eq(json_member_text(said, "by"), t->by) || !t->feed.n || !is_method(t->method) || !sha256_parse(json_member_text(said, "last"), &t->last)
		|| !clock_parse(json_member_text(said, "at"), &t->at) || (t->onward && (!json_is(t->onward, JSON_ARRAY) || t->onward->count > ONWARD_RANGES)))
		return malformed(c, "The receipt does not say who did what about which tombstones, and when.");
	if (t->at > clock_now() + AHEAD_MAX || !keychain_in_force(&keys, which, t->at, t->at))
		return fail_reason(c, ERR_REFUSED, "receipt_forged", "The receipt is dated in the future, or signed by a key that was not in force.");
	return stretches_read(c, json_get(said, "idx"), &t->named);
}

/* Rows (request, our index, day) from one request's first to its last: what a co-op owes or has confirmed of it. */
struct part { struct partner_duty duty; int to; };

static struct part part_of(struct call *c, const struct rows *r, int from, struct str partner)
{
	struct part p = { .duty = { .erasure = row_uuid(r, from, 0), .partner = partner, .idx = NULL, .due = row_time(r, from, 2) } };
	int64_t *idx = ARENA_ARRAY(c->arena, (size_t)(r->n - from), int64_t);
	for (p.to = from; p.to < r->n && uuid_eq(row_uuid(r, p.to, 0), p.duty.erasure); p.to++) {
		idx[p.duty.n++] = row_int(r, p.to, 1);
		p.duty.due = row_time(r, p.to, 2) > p.duty.due ? row_time(r, p.to, 2) : p.duty.due;
	}
	p.duty.idx = idx;
	return p;
}

/* A partner whom nothing was told, and who had nothing, owes nothing. */
static enum err confirm(struct call *c, struct taken *t, const struct rows *r, bool home)
{
	t->erasures = ARENA_ARRAY(c->arena, (size_t)r->n + 1, struct uuid);
	for (int from = 0, to; from < r->n; from = to) {
		struct part p = part_of(c, r, from, t->by);
		bool met, own = str_eq(t->by, t->from);
		struct rows there;
		to = p.to;
		if (uuid_is_nil(p.duty.erasure))
			continue; /* no request of ours, nothing to confirm */
		TRY(db_one(c, duty_there, &there, A_UUID(t->coop), A_UUID(p.duty.erasure), A_STR(t->by)));
		if (!row_bool(&there, 0, 0) && str_is(t->method, "never-held"))
			continue;
		p.duty.through = own ? STR_NONE : t->from;
		if (home || own)
			TRY(mirror_owe_partner(c, t->coop, &p.duty));
		TRY(mirror_partner_said(c, t->coop, &p.duty, t->method, &met));
		t->erasures[t->n_erasures++] = p.duty.erasure;
	}
	return ERR_OK;
}

/* Co-ops farther on, as the partner says: they owe us a receipt by way of it. */
static enum err note_onward(struct call *c, struct taken *t)
{
	json_each (one, t->onward) {
		struct stretches named;
		struct rows r;
		struct str coop = json_member_text(one, "coop"), title = json_member_text(one, "title");
		TRY(stretches_read(c, json_get(one, "idx"), &named));
		if (coop.n != t->ours.n || str_eq(coop, t->ours) || str_eq(coop, t->by) || title.n > LIMIT_TEXT_NAME)
			continue;
		TRY(db_query(c, named_ours, &r, A_UUID(t->coop), A_I64S(named.lo, named.n), A_I64S(named.hi, named.n)));
		for (int from = 0, to; from < r.n; from = to) {
			struct part p = part_of(c, &r, from, coop);
			to = p.to;
			if (uuid_is_nil(p.duty.erasure))
				continue;
			p.duty.name = title;
			p.duty.through = t->from;
			TRY(peer_spend(c, t->coop, t->from, PEER_BUDGET_DUTIES, 1));
			TRY(mirror_owe_partner(c, t->coop, &p.duty));
		}
	}
	return ERR_OK;
}

static enum err take_as_home(struct call *c, struct taken *t)
{
	struct rows r;
	int64_t greatest = t->named.hi[t->named.n - 1];
	bool fits = false;
	TRY(db_query(c, named_ours, &r, A_UUID(t->coop), A_I64S(t->named.lo, t->named.n), A_I64S(t->named.hi, t->named.n)));
	for (int i = 0; i < r.n && !fits; i++)
		fits = row_int(&r, i, 1) == greatest && sha256_eq(sha256_load(row_bytes(&r, i, 3)), t->last);
	if (!fits)
		return fail_reason(c, ERR_REFUSED, "wrong_feed", "The receipt is about tombstones that we did not make.");
	TRY(confirm(c, t, &r, true));
	return note_onward(c, t);
}

/* On towards the home, to whoever told us. */
static enum err hand_on(struct call *c, const struct taken *t)
{
	struct keychain keys;
	struct rows hops;
	TRY(db_query(c, named_hops, &hops, A_UUID(t->coop), A_I64S(t->named.lo, t->named.n), A_I64S(t->named.hi, t->named.n), A_STR(t->feed), A_STR(t->from)));
	if (hops.n == 0)
		return ERR_OK;
	TRY(onward_keys(c, t->coop, t->by, NULL, STR_NONE, "receipt_forged", &keys));
	for (int i = 0; i < hops.n; i++) {
		struct peer peer;
		enum err e = peer_by_name(c, t->coop, row_str(&hops, i, 0), &peer);
		if (e == ERR_OK)
			TRY(send_receipt(c, t->coop, peer.id, t->by, keys.text, t->envelope));
		else if (e != ERR_NOT_FOUND)
			return e;
		error_clear(&c->error);
	}
	return ERR_OK;
}

static enum err take_in_between(struct call *c, struct taken *t)
{
	struct rows r;
	TRY(db_query(c, named_theirs, &r, A_UUID(t->coop), A_I64S(t->named.lo, t->named.n), A_I64S(t->named.hi, t->named.n), A_STR(t->feed)));
	TRY(confirm(c, t, &r, false));
	return hand_on(c, t);
}

static enum err keep(struct call *c, const struct taken *t)
{
	struct str digest = sha256_hex(c->arena, t->digest);
	TRY(db_exec(c, receipt_keep, A_UUID(t->coop), A_UUID(uuid_new()), A_STR(t->feed), A_STR(t->by), A_STR(t->from), A_STR(t->method), A_TIME(t->at), A_STR(t->envelope),
		A_BYTES(str_make(t->digest.b, 32)), A_UUIDS(t->erasures, t->n_erasures)));
	if (t->n_erasures == 0)
		return ERR_OK;
	return ledger_append(c, t->coop, &(struct leaf){ .type = "deletion.receipt", .data = str_fmt(c->arena, "{\"digest\":\"%.*s\",\"method\":\"%.*s\",\"partner\":\"%.*s\",\"upto\":%lld}",
		STR_ARG(digest), STR_ARG(t->method), STR_ARG(t->by), (long long)t->named.hi[t->named.n - 1]) }, NULL);
}

enum err onward_receipt_take(struct call *c, struct uuid coop, const struct message *m)
{
	struct taken t = { .coop = coop, .from = m->from };
	struct coop us;
	struct rows r;
	TRY(coop_get(c, coop, &us));
	t.ours = us.key_name;
	TRY(receipt_read(c, m->body, &t));
	TRY(db_one(c, receipt_known_already, &r, A_UUID(coop), A_BYTES(str_make(t.digest.b, 32))));
	if (row_bool(&r, 0, 0))
		return ERR_OK;
	TRY(str_eq(t.feed, t.ours) ? take_as_home(c, &t) : take_in_between(c, &t));
	return keep(c, &t);
}

/* Who tells us again what we have answered long since has not had the answer. */
SQL(words_ask_again, "UPDATE onward_word SET answered_at = NULL WHERE coop_id = $1 AND feed = $2 AND idx = ANY ($3) AND via = $4 AND answered_at < commonhold_now() - interval '1 hour'");

static enum err answer_again(struct call *c, struct uuid coop, struct str via, struct str feed, const struct onward_line *lines, size_t n)
{
	int64_t *idx = ARENA_ARRAY(c->arena, n + 1, int64_t);
	for (size_t i = 0; i < n; i++)
		idx[i] = lines[i].said.idx;
	TRY(db_exec(c, words_ask_again, A_UUID(coop), A_STR(feed), A_I64S(idx, n), A_STR(via)));
	return onward_queue_receipts(c, coop);
}

/* Two lines at one place, both signed: kept as the proof, while the message is refused. */
static enum err rewritten(struct call *c, struct uuid coop, struct str feed, const struct onward_line *lines, size_t n)
{
	struct error said = c->error;
	struct uuid none = { { 0 } };
	bool found;
	db_rollback(c);
	error_clear(&c->error);
	TRY(merge_equivocation_of_feed(c, coop, none, feed, lines, n, &found));
	c->error = said;
	return ERR_REFUSED;
}

enum err onward_tombstones_take(struct call *c, struct uuid coop, const struct message *m)
{
	struct keychain keys;
	struct onward_taken taken;
	const struct json *list = json_get(m->body, "lines");
	struct str feed = json_member_text(m->body, "feed");
	size_t n = 0;
	if (!json_is(list, JSON_ARRAY) || list->count == 0 || list->count > ONWARD_LINES || !feed.n)
		return fail_reason(c, ERR_REFUSED, "malformed", "The message holds no tombstones.");
	TRY(onward_keys(c, coop, feed, json_get(m->body, "keys"), m->from, "feed_unknown", &keys));
	struct onward_line *lines = ARENA_ARRAY(c->arena, list->count, struct onward_line);
	json_each (line, list) {
		struct error why = { 0 };
		if (onward_line_read(c->arena, json_text(line), &keys, &lines[n++], &why) != ERR_OK)
			return fail_reason(c, ERR_REFUSED, "line_forged", "%s", why.message);
	}
	enum err e = onward_take(c, coop, m->from, feed, lines, n, &taken);
	if (e == ERR_REFUSED && strcmp(c->error.reason, "feed_rewritten") == 0)
		return rewritten(c, coop, feed, lines, n);
	TRY(e);
	return taken.known ? answer_again(c, coop, m->from, feed, lines, n) : ERR_OK;
}

/* ---- For the person ---- */

SQL(receipts_of, "SELECT by, through, method, said_at, at, envelope, digest FROM onward_receipt WHERE coop_id = $1 AND erasures @> ARRAY[$2::uuid] ORDER BY seq LIMIT $3");

enum err onward_receipts(struct call *c, struct uuid coop, struct uuid erasure, struct onward_receipt **out, size_t *n)
{
	struct erasure e;
	struct rows r;
	TRY(erasure_read(c, coop, erasure, &e));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_finish(c, receipts_of, &r, A_UUID(coop), A_UUID(erasure), A_INT(LIMIT_PAGE)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct onward_receipt);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = (struct onward_receipt){ .by = row_str(&r, i, 0), .through = row_str(&r, i, 1), .method = row_str(&r, i, 2), .said_at = row_time(&r, i, 3), .at = row_time(&r, i, 4),
			.envelope = row_str(&r, i, 5), .digest = sha256_load(row_bytes(&r, i, 6)) };
	return ERR_OK;
}
