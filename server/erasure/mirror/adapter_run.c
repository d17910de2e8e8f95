/* One run of one target, from the plan to the word about how it ended; and the jobs that lead to it. */
#include "adapter_internal.h"

#include "commonhold/json.h"
#include "commonhold/log.h"

#define ATTEMPTS_MAX 14                        /* runs in a row that got no further: some four hours */
#define BACK_OFF_FIRST CLOCK_SECOND
#define BACK_OFF_MAX (30 * CLOCK_MINUTE)
#define LEASE_SECONDS 120 /* prolonged every two seconds of an exchange */
#define CHECKED_MAX (256 * KIB)

SQL(targets_behind,
	"SELECT mirror_id, greatest(coalesce(next_at, commonhold_now()), commonhold_now()) FROM adapter_target WHERE coop_id = $1 AND state NOT IN ('dead', 'refused') ORDER BY mirror_id");
SQL(coops_there_are, "SELECT id FROM coop ORDER BY id");

static enum err queue_run(struct call *c, struct uuid coop, struct uuid mirror, instant due)
{
	return job_queue(c, "adapter.run", uuid_format(c->arena, mirror), job_args(c->arena, coop, "mirror", mirror), due);
}

/* ---- what is done ---- */

static enum err publish(struct adapter_run *run, struct adapter_plan *p)
{
	struct adapter_version *v = &p->newest;
	if (uuid_is_nil(v->release.id))
		return ERR_OK;
	TRY(adapter_store_begin(run, v));
	TRY(run->t.kind == ADAPTER_S3 ? s3_publish(run, v) : hub_publish(run, v));
	log_event(LOG_INFO, "adapter.published", LOG_S("mirror", uuid_format(run->c->arena, run->t.mirror)), LOG_S("version", v->release.version));
	return ERR_OK;
}

static enum err erase(struct adapter_run *run, struct adapter_plan *p)
{
	if (p->n_doomed) {
		TRY(adapter_store_erasing(run, p));
		TRY(run->t.kind == ADAPTER_S3 ? s3_erase(run, p) : hub_erase(run, p));
	}
	if (p->n_doomed || p->owes)
		TRY(adapter_store_erased(run, p));
	if (p->n_doomed)
		log_event(LOG_INFO, "adapter.erased", LOG_S("mirror", uuid_format(run->c->arena, run->t.mirror)), LOG_N("versions", p->n_doomed));
	return ERR_OK;
}

/* What comes in place of withdrawn files goes there before they leave, since most of it is had from them; but that it does not get there must not keep them. A repository that is made anew
 * is emptied first. */
static enum err carry_out(struct adapter_run *run, struct adapter_plan *p, enum err refused)
{
	bool erase_first = run->t.kind == ADAPTER_HUB && run->t.recreate && p->n_doomed;
	if (p->n_doomed && p->waits && uuid_is_nil(p->newest.release.id))
		return ERR_OK;
	if (erase_first) {
		TRY(erase(run, p));
		return refused;
	}
	enum err e = refused == ERR_OK ? publish(run, p) : refused;
	if (e != ERR_OK && (!run->remote || !p->n_doomed || (!run->final && p->waits)))
		return e;
	struct error why = run->c->error;
	bool final = run->final;
	int64_t wait = run->wait_seconds;
	if (e == ERR_OK && p->n_doomed && !uuid_is_nil(p->newest.release.id))
		TRY(adapter_store_plan(run, p));
	TRY(erase(run, p));
	if (e != ERR_OK) {
		run->c->error = why;
		run->remote = true;
		run->final = final;
		run->wait_seconds = wait;
	}
	return e;
}

/* ---- how it ended ---- */

static instant back_off(const struct adapter_run *run, int attempts)
{
	int64_t delay = BACK_OFF_FIRST;
	uint32_t random;
	for (int i = 1; i < attempts && delay < BACK_OFF_MAX; i++)
		delay *= 2;
	if (delay > BACK_OFF_MAX)
		delay = BACK_OFF_MAX;
	random_bytes(&random, sizeof(random));
	delay = delay / 2 + delay / 2 * (int64_t)random / UINT32_MAX;
	if (delay < run->wait_seconds * CLOCK_SECOND)
		delay = run->wait_seconds * CLOCK_SECOND;
	return clock_now() + delay;
}

static enum err plan_again(struct adapter_run *run, instant due)
{
	struct call *c = run->c;
	TRY(db_begin_in(c, run->t.coop, DB_WRITE));
	TRY(queue_run(c, run->t.coop, run->t.mirror, due));
	return db_commit(c);
}

/* What failed there is no failure of the job: the target says it, and when it is tried again. */
static enum err failed(struct adapter_run *run)
{
	struct call *c = run->c;
	struct str why = str_copy(c->arena, str_of(c->error.message));
	int attempts = run->further ? 1 : run->t.attempts + 1;
	enum adapter_state state = run->final ? ADAPTER_REFUSED : attempts >= ATTEMPTS_MAX ? ADAPTER_DEAD : ADAPTER_RETRYING;
	instant next = state == ADAPTER_RETRYING ? back_off(run, attempts) : INSTANT_NONE;
	db_rollback(c);
	log_event(state == ADAPTER_RETRYING ? LOG_INFO : LOG_WARN, "adapter.failed", LOG_S("mirror", uuid_format(c->arena, run->t.mirror)), LOG_Z("state", adapter_state_name(state)),
		LOG_N("attempts", attempts), LOG_S("message", why));
	error_clear(&c->error);
	TRY(adapter_store_state(run, state, why, attempts, next));
	return next == INSTANT_NONE ? ERR_OK : plan_again(run, next);
}

static enum err ended(struct adapter_run *run, const struct adapter_plan *p, bool again)
{
	if (run->ending)
		return adapter_store_end(run);
	bool waits = p->waits && p->n_doomed && uuid_is_nil(p->newest.release.id);
	instant next = waits ? p->waits_until : again ? clock_now() : INSTANT_NONE;
	TRY(adapter_store_state(run, waits || again ? ADAPTER_WAITING : ADAPTER_CURRENT, STR_NONE, 0, next));
	return next == INSTANT_NONE ? ERR_OK : plan_again(run, next);
}

static enum err run_steps(struct adapter_run *run)
{
	struct adapter_plan plan;
	bool again = false;
	enum err e = adapter_store_plan(run, &plan);
	if (e == ERR_OK || (run->remote && plan.n_doomed)) {
		/* A repository that was made anew is empty: the next run fills it. */
		again = e == ERR_OK && plan.n_doomed && run->t.kind == ADAPTER_HUB && run->t.recreate && !run->ending;
		e = carry_out(run, &plan, e);
	}
	if (e == ERR_OK)
		return ended(run, &plan, again);
	/* A file that is not what was published is told where the admins look. */
	if (e == ERR_CORRUPT || e == ERR_IO) {
		run->remote = true;
		run->final = e == ERR_CORRUPT;
	}
	return run->remote ? failed(run) : e;
}

static void checked_release(void *arg)
{
	buf_release(arg);
}

static void fetcher_release(void *arg)
{
	fetcher_free(arg);
}

static enum err run_target(struct call *c, struct uuid coop, struct uuid mirror)
{
	struct adapter_run *run = ARENA_NEW(c->arena, struct adapter_run);
	run->c = c;
	run->t.coop = coop;
	run->t.mirror = mirror;
	run->asked_at = clock_tick();
	run->fetcher = fetcher_new();
	buf_init(&run->checked, CHECKED_MAX);
	if (!run->fetcher || !arena_defer(c->arena, fetcher_release, run->fetcher) || !arena_defer(c->arena, checked_release, &run->checked))
		return fail(c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	enum err e = adapter_store_load(run);
	if (e == ERR_NOT_FOUND) {
		error_clear(&c->error);
		return ERR_OK;
	}
	TRY(e);
	if (run->t.next_at != INSTANT_NONE && run->t.next_at > clock_now() && run->t.state == ADAPTER_RETRYING)
		return plan_again(run, run->t.next_at);
	TRY(adapter_store_state(run, ADAPTER_WORKING, run->t.error, run->t.attempts, run->t.next_at));
	return run_steps(run);
}

/* ---- jobs ---- */

static enum err job_run(struct call *c, const struct json *args)
{
	struct uuid coop, mirror;
	TRY(job_args_read(c, args, "mirror", &coop, &mirror));
	return run_target(c, coop, mirror);
}

/* Whatever is new, one run at a time finds out by itself what is to be done. */
static enum err job_lead(struct call *c, const struct json *args)
{
	struct uuid coop, mirror;
	TRY(job_args_read(c, args, "mirror", &coop, &mirror));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(queue_run(c, coop, mirror, clock_now()));
	return db_commit(c);
}

/* What a lost job or a charter that opens to fewer people left behind: a run that finds nothing to do asks the place nothing. */
static enum err tick_coop(struct call *c, struct uuid coop)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(db_query(c, targets_behind, &r, A_UUID(coop)));
	for (int i = 0; i < r.n; i++)
		TRY(queue_run(c, coop, row_uuid(&r, i, 0), row_time(&r, i, 1)));
	return db_commit(c);
}

static enum err job_tick(struct call *c, const struct json *args)
{
	struct rows r;
	(void)args;
	TRY(db_begin(c, DB_READ));
	TRY(db_query0(c, coops_there_are, &r));
	TRY(db_commit(c));
	for (int i = 0; i < r.n; i++)
		TRY(tick_coop(c, row_uuid(&r, i, 0)));
	return ERR_OK;
}

const struct job_kind adapter_jobs[] = {
	{ "adapter.publish", job_lead, 5, 30 },
	{ "adapter.redact", job_lead, 5, 30 },
	{ "adapter.tick", job_tick, 5, 60 },
	{ "adapter.run", job_run, 20, LEASE_SECONDS },
	JOB_TABLE_END,
};
