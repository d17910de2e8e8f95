#include "job.h"
#include "commonhold/http.h"

#include <pthread.h>

SQL(count_jobs, "SELECT kind, state, count(*) FROM job GROUP BY kind, state");

static const char *const states[] = { "waiting", "running", "dead" };

/* Kinds seen so far, so that a gauge falls back to zero when its last job is gone. */
static struct { char names[JOB_KINDS_MAX][64]; size_t count; pthread_mutex_t lock; } seen = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void seen_add(struct str kind)
{
	for (size_t i = 0; i < seen.count; i++)
		if (str_is(kind, seen.names[i]))
			return;
	if (seen.count < JOB_KINDS_MAX && kind.n < sizeof(seen.names[0]))
		snprintf(seen.names[seen.count++], sizeof(seen.names[0]), "%.*s", STR_ARG(kind));
}

static int64_t count_of(const struct rows *r, const char *kind, const char *state)
{
	for (int i = 0; i < r->n; i++)
		if (str_is(row_str(r, i, 0), kind) && str_is(row_str(r, i, 1), state))
			return row_int(r, i, 2);
	return 0;
}

static void gauges_set(const struct rows *r)
{
	pthread_mutex_lock(&seen.lock);
	for (int i = 0; i < r->n; i++)
		seen_add(row_str(r, i, 0));
	for (size_t k = 0; k < seen.count; k++) {
		for (size_t s = 0; s < CH_LEN(states); s++) {
			char labels[128];
			snprintf(labels, sizeof(labels), "kind=\"%s\",state=\"%s\"", seen.names[k], states[s]);
			metric_set("commonhold_jobs", labels, count_of(r, seen.names[k], states[s]));
		}
	}
	pthread_mutex_unlock(&seen.lock);
}

/* While the database is away the gauges keep their last values: readiness says the rest. */
void job_metrics(void)
{
	struct call c = { .arena = arena_new(LIMIT_REQUEST_ARENA), .actor.kind = AUTH_SYSTEM };
	struct rows r;
	if (!c.arena)
		return;
	if (db_begin(&c, DB_READ) == ERR_OK && db_finish0(&c, count_jobs, &r) == ERR_OK)
		gauges_set(&r);
	db_release(&c);
	arena_free(c.arena);
}
