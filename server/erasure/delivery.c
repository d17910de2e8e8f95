/* The list of deliveries, dead ones to be tried again, and the jobs about mirrors. */
#include "server/erasure/mirror/mirror_internal.h"
#include "server/erasure/mirror/push.h"

#define KEPT_DAYS 90 /* how long a delivery that is over stays on the list */

#define DELIVERY_COLUMNS \
	"d.id, d.mirror_id, m.name, d.message_id, d.upto, d.state, d.attempts, d.created_at, d.next_at, d.ended_at, coalesce(d.last_status, 0), d.last_error "
#define DELIVERY_FROM "FROM delivery d JOIN mirror m ON m.coop_id = d.coop_id AND m.id = d.mirror_id "

SQL(delivery_page,
	"SELECT " DELIVERY_COLUMNS DELIVERY_FROM "WHERE d.coop_id = $1 AND ($2::text IS NULL OR d.state = $2) AND ($3::timestamptz IS NULL OR (d.created_at, d.id) < ($3, $4)) "
	"ORDER BY d.created_at DESC, d.id DESC LIMIT $5");
SQL(delivery_by_id, "SELECT " DELIVERY_COLUMNS DELIVERY_FROM "WHERE d.coop_id = $1 AND d.id = $2");
SQL(delivery_lock, "SELECT d.state, m.state FROM delivery d JOIN mirror m ON m.coop_id = d.coop_id AND m.id = d.mirror_id WHERE d.coop_id = $1 AND d.id = $2 FOR UPDATE OF d");
SQL(delivery_revive, "UPDATE delivery SET state = 'waiting', attempts = 0, next_at = commonhold_now(), ended_at = NULL WHERE coop_id = $1 AND id = $2");
SQL(delivery_prune, "DELETE FROM delivery WHERE coop_id = $1 AND ended_at < $2");
SQL(delivery_open, "SELECT mirror_id FROM delivery WHERE coop_id = $1 AND state IN ('waiting', 'sending') ORDER BY mirror_id");
SQL(coops_told, "SELECT coop_id FROM mirror_lag WHERE mirrors > 0 ORDER BY coop_id");

static const struct db_constraint constraints[] = {
	{ "one_open_delivery_per_mirror", ERR_STATE, NULL, "Another delivery to this mirror is under way; it says all that there is to say." },
	DB_CONSTRAINTS_END
};

static struct delivery delivery_of_row(const struct rows *r, int i)
{
	return (struct delivery){
		.id = row_uuid(r, i, 0), .mirror = row_uuid(r, i, 1), .mirror_name = row_str(r, i, 2), .message = row_uuid(r, i, 3), .upto = row_int(r, i, 4), .state = row_str(r, i, 5),
		.attempts = (int)row_int(r, i, 6), .created_at = row_time(r, i, 7), .next_at = row_time(r, i, 8), .ended_at = row_time(r, i, 9), .last_status = (int)row_int(r, i, 10),
		.last_error = row_str(r, i, 11),
	};
}

enum err delivery_list(struct call *c, struct uuid coop, struct str state, struct str cursor, int limit, struct delivery **out, size_t *n, struct str *next_cursor)
{
	struct page_cursor from;
	struct rows r;
	TRY(page_cursor_read(c, cursor, &from));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_require_admin(c, coop));
	TRY(db_finish(c, delivery_page, &r, A_UUID(coop), A_STR(state), A_TIME(from.at), A_UUID_OR_NULL(from.id), A_INT(limit + 1)));
	*n = (size_t)(r.n > limit ? limit : r.n);
	*out = ARENA_ARRAY(c->arena, *n + 1, struct delivery);
	for (size_t i = 0; i < *n; i++)
		(*out)[i] = delivery_of_row(&r, (int)i);
	*next_cursor = r.n > limit ? page_cursor_write(c->arena, (*out)[*n - 1].created_at, (*out)[*n - 1].id) : STR_NONE;
	return ERR_OK;
}

enum err delivery_repeat(struct call *c, struct uuid coop, struct uuid delivery, struct delivery *out)
{
	struct rows r;
	db_constraints(constraints);
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(member_require_admin(c, coop));
	TRY(db_one(c, delivery_lock, &r, A_UUID(coop), A_UUID(delivery)));
	if (!str_is(row_str(&r, 0, 0), "dead"))
		return fail(c, ERR_STATE, "This delivery is %.*s; only dead ones can be tried again.", STR_ARG(row_str(&r, 0, 0)));
	if (!str_is(row_str(&r, 0, 1), "active"))
		return fail(c, ERR_STATE, "Its mirror is %.*s.", STR_ARG(row_str(&r, 0, 1)));
	TRY(db_exec(c, delivery_revive, A_UUID(coop), A_UUID(delivery)));
	TRY(db_one(c, delivery_by_id, &r, A_UUID(coop), A_UUID(delivery)));
	*out = delivery_of_row(&r, 0);
	TRY(push_again(c, coop, out->mirror));
	TRY(mirror_measure(c, coop));
	return db_commit(c);
}

/* ---- jobs ---- */

/* A delivery whose job has died is not forgotten: it gets another. */
static enum err resume(struct call *c, struct uuid coop)
{
	struct rows r;
	TRY(db_query(c, delivery_open, &r, A_UUID(coop)));
	for (int i = 0; i < r.n; i++)
		TRY(push_again(c, coop, row_uuid(&r, i, 0)));
	return ERR_OK;
}

static enum err look_after(struct call *c)
{
	struct rows r;
	TRY(db_begin(c, DB_READ));
	TRY(db_query0(c, coops_told, &r));
	TRY(db_commit(c));
	for (int i = 0; i < r.n; i++) {
		struct uuid coop = row_uuid(&r, i, 0);
		TRY(db_begin_in(c, coop, DB_WRITE));
		TRY(resume(c, coop));
		TRY(db_finish(c, delivery_prune, NULL, A_UUID(coop), A_TIME(clock_now() - KEPT_DAYS * CLOCK_DAY)));
	}
	return ERR_OK;
}

static enum err job_daily(struct call *c, const struct json *args)
{
	int64_t steps;
	(void)args;
	TRY(mirror_daily(c, (struct uuid){ { 0 } }, &steps));
	return look_after(c);
}

static enum err job_published(struct call *c, const struct json *args)
{
	struct uuid coop, release;
	TRY(job_args_read(c, args, "release", &coop, &release));
	return mirror_published(c, coop, release);
}

const struct job_kind mirror_jobs[] = {
	{ "mirror.push", push_job, 20, 30 },
	{ "mirror.published", job_published, 10, 30 },
	{ "mirror.daily", job_daily, 5, 600 },
	JOB_TABLE_END,
};
