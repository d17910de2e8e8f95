/* What operators see of mirrors and duties at /metrics: sums over all co-ops, without a name in them. */
#include "mirror_internal.h"
#include "push.h"

#include "commonhold/http.h"

SQL(lag_sums,
	"SELECT coalesce(sum(outstanding), 0)::bigint, coalesce(sum(overdue), 0)::bigint, min(oldest_at), coalesce(sum(mirrors), 0)::bigint, coalesce(sum(behind), 0)::bigint, "
	"coalesce(sum(tombstones), 0)::bigint, coalesce(max(worst), 0), min(since), coalesce(sum(waiting), 0)::bigint, coalesce(sum(dead), 0)::bigint FROM mirror_lag");

static int64_t seconds_since(instant t)
{
	return t == INSTANT_NONE || t > clock_now() ? 0 : (clock_now() - t) / CLOCK_SECOND;
}

static void gauges_set(const struct rows *r)
{
	metric_set("commonhold_duties_outstanding", "", row_int(r, 0, 0));
	metric_set("commonhold_duties_overdue", "", row_int(r, 0, 1));
	metric_set("commonhold_duty_oldest_seconds", "", seconds_since(row_time(r, 0, 2)));
	metric_set("commonhold_mirrors", "", row_int(r, 0, 3));
	metric_set("commonhold_mirrors_behind", "", row_int(r, 0, 4));
	metric_set("commonhold_mirror_lag_tombstones", "of=\"all\"", row_int(r, 0, 5));
	metric_set("commonhold_mirror_lag_tombstones", "of=\"worst\"", row_int(r, 0, 6));
	metric_set("commonhold_mirror_lag_seconds", "of=\"worst\"", seconds_since(row_time(r, 0, 7)));
	metric_set("commonhold_deliveries", "state=\"waiting\"", row_int(r, 0, 8));
	metric_set("commonhold_deliveries", "state=\"dead\"", row_int(r, 0, 9));
}

/* While the database is away the gauges keep their last values. */
void mirror_metrics(void)
{
	static const char *const labels[PUSH_OUTCOME_COUNT] = { "outcome=\"delivered\"", "outcome=\"failed\"", "outcome=\"refused\"", "outcome=\"dead\"" };
	struct call c = { .arena = arena_new(1 * MIB), .actor.kind = AUTH_SYSTEM };
	struct rows r;
	for (unsigned o = 0; o < PUSH_OUTCOME_COUNT; o++)
		metric_set("commonhold_delivery_attempts_total", labels[o], push_outcome_count((enum push_outcome)o));
	if (!c.arena)
		return;
	if (db_begin(&c, DB_READ) == ERR_OK && db_finish0(&c, lag_sums, &r) == ERR_OK && r.n == 1)
		gauges_set(&r);
	db_release(&c);
	arena_free(c.arena);
}
