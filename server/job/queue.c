#include "job.h"
#include "commonhold/crypto.h"

#include <pthread.h>
#include <stdatomic.h>

#define DELAY_FIRST (2 * CLOCK_SECOND)
#define DELAY_MAX (1 * CLOCK_HOUR)

/* While one with the key runs, again_due says that it is to run once more. */
SQL(insert_job,
	"INSERT INTO job (id, kind, key, args, state, due, queued_at) VALUES ($1, $2, $3, $4, 'waiting', $5, commonhold_now())"
	" ON CONFLICT (kind, key) WHERE key IS NOT NULL AND state IN ('waiting', 'running') DO UPDATE SET"
	" due = CASE job.state WHEN 'waiting' THEN least(job.due, excluded.due) ELSE job.due END,"
	" again_due = CASE job.state WHEN 'running' THEN least(job.again_due, excluded.due) END");
/* No lease is as long as a day: one that seems to be was given by a clock that had jumped ahead. */
SQL(take_back,
	"UPDATE job SET state = 'waiting', due = commonhold_now(), lease_token = NULL, lease_until = NULL"
	" WHERE id IN (SELECT id FROM job WHERE state = 'running' AND (lease_until <= commonhold_now() OR lease_until > commonhold_now() + interval '1 day') FOR UPDATE SKIP LOCKED)");
/* A turn that is further off than two periods was set by a clock that had jumped ahead: it is taken now, or duties would rest until that day. */
SQL(tick,
	"WITH late AS MATERIALIZED (SELECT k.kind, k.next_due FROM unnest($1, $2, $3) k (kind, next_due, latest)"
	"  WHERE NOT EXISTS (SELECT FROM job_tick t WHERE t.kind = k.kind AND t.next_due > commonhold_now() AND t.next_due <= k.latest)),"
	" turn AS (INSERT INTO job_tick (kind, next_due) SELECT kind, next_due FROM late"
	"  ON CONFLICT (kind) DO UPDATE SET next_due = excluded.next_due"
	"  WHERE job_tick.next_due <= commonhold_now() OR job_tick.next_due > (SELECT k.latest FROM unnest($1, $3) k (kind, latest) WHERE k.kind = excluded.kind) RETURNING kind)"
	" INSERT INTO job (id, kind, key, args, state, due, queued_at)"
	"  SELECT gen_random_uuid(), kind, 'tick', '{}', 'waiting', commonhold_now(), commonhold_now() FROM turn"
	" ON CONFLICT (kind, key) WHERE key IS NOT NULL AND state IN ('waiting', 'running') DO UPDATE SET"
	" again_due = CASE job.state WHEN 'running' THEN commonhold_now() END");
/* The claimed rows are chosen in a step of their own, in the order of the index and no further than the limit: inside a join the LIMIT could be evaluated more than
 * once, or every waiting job be sorted for each claim. */
SQL(claim,
	"WITH chosen AS MATERIALIZED (SELECT id FROM job WHERE state = 'waiting' AND due <= commonhold_now() AND kind = ANY ($1)"
	"  ORDER BY due LIMIT $3 FOR UPDATE SKIP LOCKED),"
	" claimed AS (UPDATE job SET state = 'running', attempts = attempts + 1, lease_token = $4, lease_until = commonhold_now() + l.lease * interval '1 second'"
	"  FROM chosen, unnest($1, $2) l (kind, lease) WHERE job.id = chosen.id AND l.kind = job.kind"
	"  RETURNING job.id, job.kind, args, attempts, lease_until, due)"
	" SELECT id, kind, args, attempts, lease_until FROM claimed ORDER BY due");
/* Locked first, so that the statement after it sees whether one was queued again in the meantime. */
SQL(lock_leased, "SELECT FROM job WHERE id = ANY ($1) AND lease_token = $2 FOR UPDATE");
SQL(finish,
	"WITH again AS (UPDATE job SET state = 'waiting', due = again_due, again_due = NULL, attempts = 0, lease_token = NULL, lease_until = NULL, last_error = NULL"
	"  WHERE id = ANY ($1) AND lease_token = $2 AND again_due IS NOT NULL)"
	" DELETE FROM job WHERE id = ANY ($1) AND lease_token = $2 AND again_due IS NULL");
SQL(record_failure,
	"UPDATE job SET lease_token = NULL, lease_until = NULL, last_error = $3, again_due = NULL,"
	" state = CASE WHEN attempts >= $4 AND again_due IS NULL THEN 'dead' ELSE 'waiting' END,"
	" died_at = CASE WHEN attempts >= $4 AND again_due IS NULL THEN commonhold_now() END,"
	" attempts = CASE WHEN attempts >= $4 AND again_due IS NOT NULL THEN 0 ELSE attempts END,"
	" due = greatest(commonhold_now() + $5 * interval '1 microsecond', again_due)"
	" WHERE id = $1 AND lease_token = $2 RETURNING state = 'dead'");
SQL(give_back,
	"UPDATE job SET state = 'waiting', attempts = attempts - 1, lease_token = NULL, lease_until = NULL WHERE id = ANY ($1) AND lease_token = $2");
SQL(prolong,
	"UPDATE job SET lease_until = commonhold_now() + $3 * interval '1 second' WHERE id = $1 AND lease_token = $2 RETURNING lease_until");

static struct { struct str kinds[JOB_TICKS_MAX]; int64_t every[JOB_TICKS_MAX]; size_t count; pthread_mutex_t lock; } ticks = { .lock = PTHREAD_MUTEX_INITIALIZER };

void job_ticks(const struct job_tick *table)
{
	pthread_mutex_lock(&ticks.lock);
	ticks.count = 0;
	for (; table->kind && ticks.count < JOB_TICKS_MAX; table++) {
		ticks.kinds[ticks.count] = str_of(table->kind);
		ticks.every[ticks.count++] = table->every_seconds * CLOCK_SECOND;
	}
	pthread_mutex_unlock(&ticks.lock);
}

const struct job_kind *kind_find(const struct kind_list *l, struct str name)
{
	for (size_t i = 0; i < l->count; i++)
		if (str_eq(l->names[i], name))
			return l->kinds[i];
	return NULL;
}

enum err job_queue(struct call *c, const char *kind, struct str key, struct str args_json, instant due)
{
	return db_queue(c, insert_job, A_UUID(uuid_new()), A_Z(kind), A_STR(key), A_STR(args_json.p ? args_json : STR("{}")), A_TIME(due));
}

struct str job_args(struct arena *a, struct uuid coop, const char *which, struct uuid id)
{
	struct str coop_text = uuid_format(a, coop), id_text = uuid_format(a, id);
	return str_fmt(a, "{\"coop\":\"%.*s\",\"%s\":\"%.*s\"}", STR_ARG(coop_text), which, STR_ARG(id_text));
}

enum err job_args_read(struct call *c, const struct json *args, const char *which, struct uuid *coop, struct uuid *id)
{
	if (uuid_parse(json_member_text(args, "coop"), coop) && uuid_parse(json_member_text(args, which), id))
		return ERR_OK;
	return fail(c, ERR_INTERNAL, "A job does not name its %s.", which);
}

/* Each duty's next turn, at the end of the period that the clock stands in. */
static enum err queue_ticks(struct call *c)
{
	instant next[JOB_TICKS_MAX], latest[JOB_TICKS_MAX], now = clock_now();
	struct str kinds[JOB_TICKS_MAX];
	pthread_mutex_lock(&ticks.lock);
	size_t count = ticks.count;
	for (size_t i = 0; i < count; i++) {
		kinds[i] = ticks.kinds[i];
		next[i] = now - now % ticks.every[i] + ticks.every[i];
		latest[i] = next[i] + ticks.every[i];
	}
	pthread_mutex_unlock(&ticks.lock);
	return count ? db_queue(c, tick, A_TEXTS(kinds, count), A_TIMES(next, count), A_TIMES(latest, count)) : ERR_OK;
}

static void batch_read(const struct kind_list *l, const struct rows *r, struct job_batch *out)
{
	for (int i = 0; i < r->n && i < JOB_BATCH; i++)
		out->runs[out->count++] = (struct job_run){
			.id = row_uuid(r, i, 0), .kind = kind_find(l, row_str(r, i, 1)), .args = row_str(r, i, 2), .attempts = (int)row_int(r, i, 3),
			.lease_until = row_time(r, i, 4), .token = out->token,
		};
}

enum err queue_claim(struct call *c, const struct kind_list *l, int limit, struct job_batch *out)
{
	struct rows r;
	*out = (struct job_batch){ .token = uuid_new() };
	if (l->count == 0)
		return ERR_OK;
	TRY(db_begin(c, DB_WRITE));
	TRY(db_queue0(c, take_back));
	TRY(queue_ticks(c));
	TRY(db_finish(c, claim, &r, A_TEXTS(l->names, l->count), A_I64S(l->leases, l->count), A_INT(limit), A_UUID(out->token)));
	batch_read(l, &r, out);
	return ERR_OK;
}

enum err queue_done(struct call *c, struct uuid token, const struct uuid *ids, size_t n)
{
	TRY(db_begin(c, DB_WRITE));
	TRY(db_queue(c, lock_leased, A_UUIDS(ids, n), A_UUID(token)));
	return db_finish(c, finish, NULL, A_UUIDS(ids, n), A_UUID(token));
}

enum err queue_failed(struct call *c, const struct job_run *run, struct str what, int64_t delay_us, bool *dead)
{
	struct rows r;
	TRY(db_begin(c, DB_WRITE));
	TRY(db_finish(c, record_failure, &r, A_UUID(run->id), A_UUID(run->token), A_STR(what), A_INT(run->kind->max_attempts), A_I64(delay_us)));
	*dead = r.n && row_bool(&r, 0, 0);
	return ERR_OK;
}

enum err queue_give_back(struct call *c, struct uuid token, const struct uuid *ids, size_t n)
{
	TRY(db_begin(c, DB_WRITE));
	return db_finish(c, give_back, NULL, A_UUIDS(ids, n), A_UUID(token));
}

int64_t queue_delay(int attempts)
{
	int64_t delay = DELAY_FIRST;
	for (int i = 1; i < attempts && delay < DELAY_MAX; i++)
		delay *= 2;
	if (delay > DELAY_MAX)
		delay = DELAY_MAX;
	uint32_t random;
	random_bytes(&random, sizeof(random));
	return delay / 2 + delay / 2 * (int64_t)random / UINT32_MAX;
}

static enum err prolong_on(struct call *own, struct job_run *run)
{
	struct rows r;
	TRY(db_begin(own, DB_WRITE));
	TRY(db_finish(own, prolong, &r, A_UUID(run->id), A_UUID(run->token), A_I64(run->kind->lease_seconds)));
	if (r.n == 0)
		return fail(own, ERR_STATE, "The lease of this job was lost; another run has taken over.");
	run->lease_until = row_time(&r, 0, 0);
	return ERR_OK;
}

enum err job_extend(struct call *c)
{
	if (!c->job)
		return ERR_OK;
	if (c->job->must_end && atomic_load(c->job->must_end))
		return fail(c, ERR_UNAVAILABLE, "The server is stopping.");
	struct arena_mark mark = arena_mark(c->arena);
	struct call own = { .arena = c->arena, .actor = c->actor, .request_id = c->request_id };
	enum err code = prolong_on(&own, c->job);
	db_release(&own);
	arena_rewind(c->arena, mark);
	if (code != ERR_OK) {
		c->error = own.error;
		c->error.faults = NULL;
	}
	return code;
}
