#include "server/erasure/where.h"

#include "commonhold/db.h"
#include "commonhold/json.h"

/* What everybody may see of tombstones, and admins of how long copies take: counts. */

SQL(tombstones_by_month,
	"SELECT extract(year FROM made_at AT TIME ZONE 'UTC')::int, extract(month FROM made_at AT TIME ZONE 'UTC')::int, kind, count(*) FROM tombstone WHERE coop_id = $1 "
	"GROUP BY 1, 2, 3 ORDER BY 1 DESC, 2 DESC");
SQL(duties_by_lag,
	"SELECT CASE WHEN confirmed_at IS NULL THEN 5 WHEN confirmed_at < announced_at + interval '1 hour' THEN 0 WHEN confirmed_at < announced_at + interval '1 day' THEN 1 "
	"WHEN confirmed_at < announced_at + interval '7 days' THEN 2 WHEN confirmed_at < announced_at + interval '30 days' THEN 3 ELSE 4 END, count(*) "
	"FROM duty WHERE coop_id = $1 AND (confirmed_at IS NOT NULL OR ended_at IS NULL) GROUP BY 1");

enum err tombstone_months(struct call *c, struct uuid coop, int limit, struct tombstone_month **out, size_t *n, int64_t *total)
{
	struct rows r;
	enum tombstone_kind kind;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_finish(c, tombstones_by_month, &r, A_UUID(coop)));
	*out = ARENA_ARRAY(c->arena, (size_t)limit + 1, struct tombstone_month);
	*n = 0;
	*total = 0;
	for (int i = 0; i < r.n; i++) {
		int year = (int)row_int(&r, i, 0), month = (int)row_int(&r, i, 1);
		*total += row_int(&r, i, 3);
		if (!*n || (*out)[*n - 1].year != year || (*out)[*n - 1].month != month) {
			if (*n == (size_t)limit)
				continue;
			(*out)[(*n)++] = (struct tombstone_month){ .year = year, .month = month };
		}
		if (tombstone_kind_parse(row_str(&r, i, 2), &kind))
			(*out)[*n - 1].kinds[kind] += row_int(&r, i, 3);
	}
	return ERR_OK;
}

static void tombstone_of_line(struct arena *a, const struct json *line, struct tombstone *out)
{
	const struct json *releases = json_get(line, "releases"), *rid = json_get(line, "rid");
	*out = (struct tombstone){ .idx = json_int(json_get(line, "idx"), -1), .rid = json_text(rid ? rid->child : NULL), .replacement = json_member_text(line, "replacement"),
		.reason_code = json_member_text(line, "reason_code"), .t = INSTANT_NONE, .effective = INSTANT_NONE, .purge_by = INSTANT_NONE, .until = INSTANT_NONE };
	if (!tombstone_kind_parse(json_member_text(line, "kind"), &out->kind))
		out->kind = TOMBSTONE_ERASE;
	if (!clock_parse(json_member_text(line, "effective"), &out->effective))
		out->effective = INSTANT_NONE;
	out->releases = ARENA_ARRAY(a, (releases ? releases->count : 0) + 1, struct str);
	json_each(v, releases)
		out->releases[out->n_releases++] = json_text(v);
}

enum err tombstone_latest(struct call *c, struct uuid coop, int limit, struct tombstone **out, size_t *n)
{
	struct buf lines;
	int64_t upto, last;
	*n = 0;
	*out = ARENA_ARRAY(c->arena, (size_t)limit + 1, struct tombstone);
	buf_init(&lines, LIMIT_RESPONSE);
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(tombstone_upto(c, coop, &upto, NULL));
	enum err e = tombstone_lines(c, coop, upto < limit ? 0 : upto - limit + 1, upto, limit, &lines, &last);
	struct str rest = buf_take(c->arena, &lines), line;
	TRY(e);
	TRY(db_commit(c));
	while (rest.p && str_split(&rest, '\n', &line)) {
		const struct json *json;
		if (!line.n || *n == (size_t)limit)
			continue;
		TRY(json_parse(c->arena, line, &json, &c->error));
		tombstone_of_line(c->arena, json, &(*out)[(*n)++]);
	}
	for (size_t i = 0; i < *n / 2; i++) {
		struct tombstone swap = (*out)[i];
		(*out)[i] = (*out)[*n - 1 - i];
		(*out)[*n - 1 - i] = swap;
	}
	return ERR_OK;
}

const char *lag_words(enum lag lag)
{
	static const char *const words[LAG_COUNT] = { "within an hour", "within a day", "within a week", "within a month", "longer", "not confirmed yet" };
	return (unsigned)lag < LAG_COUNT ? words[lag] : "";
}

enum err lag_counts(struct call *c, struct uuid coop, int64_t out[LAG_COUNT])
{
	struct rows r;
	memset(out, 0, LAG_COUNT * sizeof out[0]);
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_finish(c, duties_by_lag, &r, A_UUID(coop)));
	for (int i = 0; i < r.n; i++) {
		int64_t lag = row_int(&r, i, 0);
		if (lag >= 0 && lag < LAG_COUNT)
			out[lag] = row_int(&r, i, 1);
	}
	return ERR_OK;
}
