/* What is owed: reading duties, and when nothing more is. */
#include "server/erasure/mirror/mirror_internal.h"

#define SUMS_MAX 500 /* recipients of one list */

static const struct { const char *name, *text; int days; } steps[DUTY_STEP_COUNT] = {
	{ "announced", "They are told what to delete, and by when.", 0 },
#define X(name, days, word, text) { word, text, days },
	DUTY_STEPS(X)
#undef X
};

const char *duty_step_name(enum duty_step s)
{
	return s < DUTY_STEP_COUNT ? steps[s].name : "";
}

const char *duty_step_text(enum duty_step s)
{
	return s < DUTY_STEP_COUNT ? steps[s].text : "";
}

instant duty_step_at(enum duty_step s, instant announced, instant due)
{
	instant at = s == DUTY_ANNOUNCED || s >= DUTY_STEP_COUNT ? announced : due + steps[s].days * CLOCK_DAY;
	return at < announced ? announced : at;
}

/* Who they are to the public: a mirror by its name, a grantee by the organisation that it gave, a person never. */
#define DUTY_COLUMNS \
	"d.id, d.erasure_id, d.mirror_id, d.grant_id, d.account_id, coalesce(m.name, d.partner_name, nullif(q.organisation, ''), 'Holder of a grant'), d.first_idx, d.upto, d.releases, d.announced_at, d.due_at, " \
	"d.step, d.step_at, d.confirmed_at, d.method, coalesce(t.doubtful, false), t.models, d.partner, d.through "
#define DUTY_FROM \
	"FROM duty d LEFT JOIN mirror m ON m.coop_id = d.coop_id AND m.id = d.mirror_id " \
	"LEFT JOIN access_grant g ON g.coop_id = d.coop_id AND g.id = d.grant_id LEFT JOIN access_request q ON q.coop_id = g.coop_id AND q.id = g.request_id " \
	"LEFT JOIN receipt t ON t.coop_id = d.coop_id AND t.id = d.receipt_id "

SQL(duty_page,
	"SELECT " DUTY_COLUMNS DUTY_FROM
	"WHERE d.coop_id = $1 AND ($2::uuid IS NULL OR d.erasure_id = $2) AND ($3::uuid IS NULL OR d.mirror_id = $3) AND ($4::uuid IS NULL OR d.grant_id = $4) "
	"AND ($5::uuid IS NULL OR d.account_id = $5) AND (NOT $6 OR d.confirmed_at IS NULL) AND (NOT $7 OR (d.confirmed_at IS NULL AND d.due_at <= commonhold_now())) "
	"AND ($8::timestamptz IS NULL OR (d.due_at, d.id) > ($8, $9)) ORDER BY d.due_at, d.id LIMIT $10");
/* One line a recipient: how their duties are cut into requests is not for them to know, since each request is one person's. */
SQL(duty_sums,
	"SELECT d.mirror_id, d.grant_id, d.account_id, coalesce(m.name, d.partner_name, nullif(q.organisation, ''), 'Holder of a grant'), max(d.upto), min(d.announced_at), min(d.due_at), max(d.step)::integer, "
	"max(d.step_at), array(SELECT DISTINCT v FROM duty x, unnest(x.releases) v WHERE x.coop_id = d.coop_id AND x.mirror_id IS NOT DISTINCT FROM d.mirror_id "
	"  AND x.grant_id IS NOT DISTINCT FROM d.grant_id AND x.partner IS NOT DISTINCT FROM d.partner AND x.confirmed_at IS NULL ORDER BY v), d.partner, min(d.through) "
	"FROM duty d LEFT JOIN mirror m ON m.coop_id = d.coop_id AND m.id = d.mirror_id "
	"LEFT JOIN access_grant g ON g.coop_id = d.coop_id AND g.id = d.grant_id LEFT JOIN access_request q ON q.coop_id = g.coop_id AND q.id = g.request_id "
	"WHERE d.coop_id = $1 AND d.confirmed_at IS NULL AND ($2::uuid IS NULL OR d.account_id = $2) GROUP BY d.coop_id, 1, 2, 3, 4, d.partner HAVING max(d.step) >= $3 ORDER BY 7, 4, 1, 2 LIMIT $4");
SQL(duty_counted,
	"SELECT count(*), count(confirmed_at), count(*) FILTER (WHERE confirmed_at IS NULL AND due_at <= commonhold_now()), count(ended_at), "
	"max(due_at) FILTER (WHERE confirmed_at IS NULL), min(due_at) FILTER (WHERE confirmed_at IS NULL) FROM duty WHERE coop_id = $1 AND ($2::uuid IS NULL OR erasure_id = $2)");
SQL(duty_done, "SELECT e FROM unnest($2::uuid[]) e WHERE NOT EXISTS (SELECT FROM duty WHERE coop_id = $1 AND erasure_id = e AND ended_at IS NULL)");
SQL(lag_measure,
	"INSERT INTO mirror_lag AS l (coop_id, outstanding, overdue, oldest_at, mirrors, behind, tombstones, worst, since, waiting, dead) "
	"SELECT $1, o.n, o.late, o.oldest, (SELECT count(*) FROM mirror WHERE coop_id = $1 AND state <> 'ended'), count(b.mirror_id), coalesce(sum(b.behind), 0)::bigint, coalesce(max(b.behind), 0), "
	"  min(b.since), (SELECT count(*) FROM delivery WHERE coop_id = $1 AND state IN ('waiting', 'sending')), (SELECT count(*) FROM delivery WHERE coop_id = $1 AND state = 'dead') "
	"FROM (SELECT count(*) AS n, count(*) FILTER (WHERE due_at <= commonhold_now()) AS late, min(announced_at) AS oldest FROM duty WHERE coop_id = $1 AND confirmed_at IS NULL) o "
	"LEFT JOIN (SELECT d.mirror_id, max(d.upto) - m.seen_upto AS behind, min(d.announced_at) AS since FROM duty d JOIN mirror m ON m.coop_id = d.coop_id AND m.id = d.mirror_id "
	"  WHERE d.coop_id = $1 AND d.confirmed_at IS NULL GROUP BY 1, m.seen_upto) b ON true GROUP BY o.n, o.late, o.oldest "
	"ON CONFLICT (coop_id) DO UPDATE SET outstanding = excluded.outstanding, overdue = excluded.overdue, oldest_at = excluded.oldest_at, mirrors = excluded.mirrors, "
	"behind = excluded.behind, tombstones = excluded.tombstones, worst = excluded.worst, since = excluded.since, waiting = excluded.waiting, dead = excluded.dead");

static struct duty duty_of_row(struct arena *a, const struct rows *r, int i)
{
	struct duty d = {
		.id = row_uuid(r, i, 0), .erasure = row_uuid(r, i, 1), .mirror = row_uuid(r, i, 2), .grant = row_uuid(r, i, 3), .account = row_uuid(r, i, 4), .name = row_str(r, i, 5),
		.first_idx = row_int(r, i, 6), .upto = row_int(r, i, 7), .announced_at = row_time(r, i, 9), .due_at = row_time(r, i, 10), .step = (enum duty_step)row_int(r, i, 11),
		.step_at = row_time(r, i, 12), .confirmed_at = row_time(r, i, 13), .method = row_str(r, i, 14), .doubtful = row_bool(r, i, 15), .models = row_str(r, i, 16), .partner = row_str(r, i, 17), .through = row_str(r, i, 18),
	};
	d.n_releases = row_strs(a, r, i, 8, &d.releases);
	return d;
}

enum err mirror_duties(struct call *c, struct uuid coop, const struct duty_filter *f, struct duty **out, size_t *n, struct str *next_cursor)
{
	struct page_cursor from;
	struct rows r;
	int limit = f->limit > 0 ? f->limit : LIMIT_PAGE;
	TRY(page_cursor_read(c, f->cursor, &from));
	TRY(db_query(c, duty_page, &r, A_UUID(coop), A_UUID_OR_NULL(f->erasure), A_UUID_OR_NULL(f->mirror), A_UUID_OR_NULL(f->grant), A_UUID_OR_NULL(f->account), A_BOOL(f->open_only),
		A_BOOL(f->overdue_only), A_TIME(from.at), A_UUID_OR_NULL(from.id), A_INT(limit + 1)));
	*n = (size_t)(r.n > limit ? limit : r.n);
	*out = ARENA_ARRAY(c->arena, *n + 1, struct duty);
	for (size_t i = 0; i < *n; i++)
		(*out)[i] = duty_of_row(c->arena, &r, (int)i);
	*next_cursor = r.n > limit ? page_cursor_write(c->arena, (*out)[*n - 1].due_at, (*out)[*n - 1].id) : STR_NONE;
	return ERR_OK;
}

/* Inside. */
static enum err duties_summed(struct call *c, struct uuid coop, struct uuid account, enum duty_step least, struct duty **out, size_t *n)
{
	struct rows r;
	TRY(db_query(c, duty_sums, &r, A_UUID(coop), A_UUID_OR_NULL(account), A_INT((int)least), A_INT(SUMS_MAX)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct duty);
	for (int i = 0; i < r.n; i++) {
		struct duty *d = &(*out)[i];
		*d = (struct duty){ .mirror = row_uuid(&r, i, 0), .grant = row_uuid(&r, i, 1), .account = row_uuid(&r, i, 2), .name = row_str(&r, i, 3), .first_idx = -1, .upto = row_int(&r, i, 4),
			.announced_at = row_time(&r, i, 5), .due_at = row_time(&r, i, 6), .step = (enum duty_step)row_int(&r, i, 7), .step_at = row_time(&r, i, 8), .confirmed_at = INSTANT_NONE,
			.partner = row_str(&r, i, 10), .through = row_str(&r, i, 11) };
		d->n_releases = row_strs(c->arena, &r, i, 9, &d->releases);
	}
	return ERR_OK;
}

enum err mirror_duties_list(struct call *c, struct uuid coop, struct duty_filter *f, struct duty **out, size_t *n, struct str *next_cursor)
{
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_require_admin(c, coop));
	TRY(mirror_duties(c, coop, f, out, n, next_cursor));
	return db_commit(c);
}

enum err mirror_owed(struct call *c, struct uuid coop, struct duty **out, size_t *n)
{
	if (uuid_is_nil(c->actor.account))
		return fail(c, ERR_UNAUTHENTICATED, "%s", err_text(ERR_UNAUTHENTICATED));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(duties_summed(c, coop, c->actor.account, DUTY_ANNOUNCED, out, n));
	return db_commit(c);
}

enum err mirror_duty_counts(struct call *c, struct uuid coop, struct uuid erasure, struct duty_counts *out)
{
	struct rows r;
	TRY(db_one(c, duty_counted, &r, A_UUID(coop), A_UUID_OR_NULL(erasure)));
	*out = (struct duty_counts){ .total = row_int(&r, 0, 0), .confirmed = row_int(&r, 0, 1), .overdue = row_int(&r, 0, 2), .ended = row_int(&r, 0, 3), .last_due = row_time(&r, 0, 4),
		.next_due = row_time(&r, 0, 5) };
	return ERR_OK;
}

enum err mirror_overdue(struct call *c, struct uuid coop, struct duty **out, size_t *n)
{
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(duties_summed(c, coop, (struct uuid){ { 0 } }, DUTY_LISTED, out, n));
	return db_commit(c);
}

enum err duty_settle(struct call *c, struct uuid coop, const struct uuid *ids, size_t n)
{
	struct rows r;
	if (n == 0)
		return ERR_OK;
	TRY(db_query(c, duty_done, &r, A_UUID(coop), A_UUIDS(ids, n)));
	for (int i = 0; i < r.n; i++) {
		struct uuid id = row_uuid(&r, i, 0);
		TRY(job_queue(c, MIRROR_ERASURE_DONE, uuid_format(c->arena, id), job_args(c->arena, coop, "erasure", id), clock_now()));
	}
	return ERR_OK;
}

enum err mirror_measure(struct call *c, struct uuid coop)
{
	return db_exec(c, lag_measure, A_UUID(coop));
}
