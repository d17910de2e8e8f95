/* Telling partners of our tombstones: at once, as they were signed, and what each owes from then on. */
#include "onward_internal.h"

#include "commonhold/agreement.h"
#include "commonhold/coop.h"
#include "commonhold/message.h"
#include "commonhold/mirror.h"
#include "commonhold/pool.h"

#define BODY_MAX (120 * KIB) /* of a message: signed and in base64 it must stay below MESSAGE_MAX */

/* Whoever was ever given a bundle; an agreement that ended may have left them what they had. */
SQL(told_partners,
	"SELECT f.agreement_id, p.id, p.name, coalesce(nullif(p.title, ''), p.name) FROM bundle_flow f JOIN agreement a ON a.coop_id = f.coop_id AND a.id = f.agreement_id "
	"JOIN peer p ON p.coop_id = a.coop_id AND p.id = a.peer_id WHERE f.coop_id = $1 AND f.seq > 0 ORDER BY 1");
/* A request's tombstones about items that the partner was given ($3: under which agreement, $4: its key name). Where the item is no row any more, being a further origin of another, it may have
 * been. Foreign ones go in their home's own words. */
SQL(told_lines,
	"SELECT t.idx, t.line, t.purge_by, w.feed, w.line FROM tombstone t LEFT JOIN LATERAL (SELECT x.feed, x.line FROM onward_word x WHERE x.coop_id = $1 AND x.erasure_id = $2 "
	"  AND x.id = t.contribution_id AND x.feed = x.home AND position('\"' || 'dc:' || x.home || ':' IN t.line) > 0 LIMIT 1) w ON true "
	"LEFT JOIN contribution c ON c.coop_id = $1 AND c.id = t.contribution_id "
	"WHERE t.coop_id = $1 AND t.erasure_id = $2 AND position('\"' || 'dc:' || $4 || ':' IN t.line) = 0 "
	"AND (c.id IS NULL OR EXISTS (SELECT FROM bundle_sent s WHERE s.coop_id = $1 AND s.agreement_id = $3 AND s.no = c.item_no / 4096 AND get_bit(s.ever, c.item_no % 4096) = 1)) "
	"AND NOT EXISTS (SELECT FROM duty d WHERE d.coop_id = $1 AND d.erasure_id = $2 AND d.partner = $4 AND d.told @> t.idx AND (NOT $5 OR d.seen @> t.idx)) "
	"AND t.idx > $6 ORDER BY t.idx LIMIT $7");
SQL(has_partners, "SELECT EXISTS (SELECT FROM bundle_flow WHERE coop_id = $1 AND seq > 0)");
SQL(is_copied, "SELECT EXISTS (SELECT FROM derivation WHERE coop_id = $1 AND source = ANY ($2) AND copied)");
SQL(agreements_with, "SELECT a.id FROM agreement a JOIN peer p ON p.coop_id = a.coop_id AND p.id = a.peer_id WHERE a.coop_id = $1 AND p.name = $2");

/* One partner that is being told. */
struct telling {
	struct call *c;
	const struct erasure *e;
	struct uuid agreement, peer;
	struct str partner, title;
	struct str feed;         /* whose lines the message holds; absent: none yet */
	struct str *lines;
	size_t n_lines, bytes;
	int64_t first;           /* our index of the first of them */
};

static enum err send_lines(struct telling *t)
{
	struct call *c = t->c;
	struct keychain keys;
	struct json_writer w;
	struct buf b;
	if (t->n_lines == 0)
		return ERR_OK;
	TRY(onward_keys(c, t->e->coop, t->feed, NULL, STR_NONE, "feed_unknown", &keys));
	buf_init(&b, MESSAGE_MAX);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "feed", t->feed);
	jw_key(&w, "keys");
	jw_raw(&w, keys.text);
	jw_key(&w, "lines");
	jw_array(&w);
	for (size_t i = 0; i < t->n_lines; i++)
		jw_str(&w, t->lines[i]);
	jw_end_array(&w);
	jw_end_object(&w);
	struct str body = buf_take(c->arena, &b);
	if (!body.p)
		return fail(c, ERR_TOO_LARGE, "The tombstones of a request do not fit into a message.");
	t->n_lines = t->bytes = 0;
	return message_send(c, t->e->coop, t->peer, "tombstones", str_fmt(c->arena, "%.*s %lld", STR_ARG(uuid_format(c->arena, t->e->id)), (long long)t->first), body);
}

static enum err add_line(struct telling *t, int64_t idx, struct str feed, struct str line)
{
	size_t cost = line.n + line.n / 4; /* quotation marks are escaped */
	if (t->n_lines && (t->n_lines == ONWARD_LINES || t->bytes + cost > BODY_MAX || !str_eq(feed, t->feed)))
		TRY(send_lines(t));
	if (t->n_lines == 0)
		t->first = idx;
	t->feed = feed;
	t->lines[t->n_lines++] = line;
	t->bytes += cost;
	return ERR_OK;
}

/* Up to ONWARD_LINES of the tombstones after *idx; *more: there may be others. */
static enum err tell_some(struct telling *t, struct str ours, bool again, int64_t *after, bool *more)
{
	struct rows r;
	struct call *c = t->c;
	instant due = clock_now();
	TRY(db_query(c, told_lines, &r, A_UUID(t->e->coop), A_UUID(t->e->id), A_UUID(t->agreement), A_STR(t->partner), A_BOOL(again), A_I64(*after), A_INT(ONWARD_LINES)));
	*more = r.n == ONWARD_LINES;
	int64_t *idx = ARENA_ARRAY(c->arena, (size_t)r.n + 1, int64_t);
	for (int i = 0; i < r.n; i++) {
		bool own = row_null(&r, i, 3);
		idx[i] = *after = row_int(&r, i, 0);
		due = row_time(&r, i, 2) > due ? row_time(&r, i, 2) : due;
		TRY(add_line(t, idx[i], own ? ours : row_str(&r, i, 3), row_str(&r, i, own ? 1 : 4)));
	}
	TRY(send_lines(t));
	return mirror_owe_partner(c, t->e->coop, &(struct partner_duty){ .erasure = t->e->id, .partner = t->partner, .name = t->title, .idx = idx, .n = (size_t)r.n, .due = due });
}

enum err onward_tell(struct call *c, const struct erasure *e, bool again)
{
	struct coop us;
	struct rows partners;
	TRY(coop_get(c, e->coop, &us));
	TRY(db_query(c, told_partners, &partners, A_UUID(e->coop)));
	for (int i = 0; i < partners.n; i++) {
		struct telling t = { .c = c, .e = e, .agreement = row_uuid(&partners, i, 0), .peer = row_uuid(&partners, i, 1), .partner = row_str(&partners, i, 2), .title = row_str(&partners, i, 3),
			.lines = ARENA_ARRAY(c->arena, ONWARD_LINES, struct str) };
		int64_t after = -1;
		bool more = true;
		while (more)
			TRY(tell_some(&t, us.key_name, again, &after, &more));
	}
	return ERR_OK;
}

/* ---- Called by what is below ---- */

enum err onward_appended(struct call *c, const struct erasure *e, const struct uuid *items, size_t n)
{
	struct rows r;
	if (n == 0)
		return ERR_OK;
	if ((e->kind == ERASURE_ERASE || e->kind == ERASURE_CORRECT) && items) {
		TRY(db_one(c, is_copied, &r, A_UUID(e->coop), A_UUIDS(items, n)));
		if (row_bool(&r, 0, 0))
			TRY(onward_queue_derived(c, e->coop));
	}
	TRY(db_one(c, has_partners, &r, A_UUID(e->coop)));
	if (!row_bool(&r, 0, 0))
		return ERR_OK;
	return job_queue(c, "onward.tell", uuid_format(c->arena, e->id), job_args(c->arena, e->coop, "erasure", e->id), clock_now());
}

enum err onward_announced(struct call *c, const struct erasure *e)
{
	TRY(onward_tell(c, e, false));
	return e->asker == ERASURE_PARTNER ? onward_queue_receipts(c, e->coop) : ERR_OK;
}

enum err onward_tell_run(struct call *c, const struct json *args)
{
	struct erasure e;
	struct uuid coop, id;
	const struct json *again = json_get(args, "again");
	TRY(job_args_read(c, args, "erasure", &coop, &id));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(pool_lock(c, coop));
	TRY(erasure_get(c, coop, id, &e));
	TRY(onward_tell(c, &e, json_bool(again, false)));
	return db_commit(c);
}

/* Reminding is telling again. In the end nothing more is exchanged, until both have talked. */
static enum err partner_step(struct call *c, struct uuid coop, struct uuid erasure, struct str partner, enum duty_step step)
{
	struct rows r;
	struct str id = uuid_format(c->arena, erasure);
	if (step == DUTY_REMINDED || step == DUTY_DUE)
		return job_queue(c, "onward.tell", str_fmt(c->arena, "%.*s again", STR_ARG(id)),
			str_fmt(c->arena, "{\"again\":true,\"coop\":\"%.*s\",\"erasure\":\"%.*s\"}", STR_ARG(uuid_format(c->arena, coop)), STR_ARG(id)), clock_now());
	if (step != DUTY_REVOKED)
		return ERR_OK;
	TRY(db_query(c, agreements_with, &r, A_UUID(coop), A_STR(partner)));
	for (int i = 0; i < r.n; i++)
		TRY(job_queue(c, "onward.suspend", uuid_format(c->arena, row_uuid(&r, i, 0)), job_args(c->arena, coop, "agreement", row_uuid(&r, i, 0)), clock_now()));
	return ERR_OK;
}

enum err onward_suspend_run(struct call *c, const struct json *args)
{
	struct agreement g;
	struct uuid coop, id;
	TRY(job_args_read(c, args, "agreement", &coop, &id));
	TRY(agreement_read_current(c, coop, id, &g));
	if (g.state != AGREEMENT_IN_EFFECT && g.state != AGREEMENT_ENDING)
		return ERR_OK;
	return agreement_suspend(c, coop, id, STR("The partner has not confirmed a deletion two weeks after it was due."), &g);
}

static const struct erasure_above above = { .appended = onward_appended, .announced = onward_announced };

void onward_start(void)
{
	erasure_use_above(&above);
	mirror_use_partner_steps(partner_step);
	onward_use_purged();
}
