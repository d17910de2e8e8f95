#include "job.h"
#include "commonhold/log.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#define POLL_MS 500        /* between looks at the queue: other processes queue too, and the clock decides what is due */
#define LONG_RUN (250 * 1000) /* microseconds of work after which the rest of a batch is given back for others to take */
#define LAST_CHANCE_MS 3000 /* after the drain, for runs that ask job_extend whether they may go on */

/* Wakes idle workers of this process; a count, so that a call between look and wait is not lost. */
static struct { pthread_mutex_t lock; pthread_cond_t called; pthread_once_t once; uint64_t calls; } bell = {
	.lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT,
};

struct worker {
	struct job_runner *runner;
	struct arena *queue_arena;    /* what the queue's statements need, and the batch */
	struct arena *arena;          /* one job's */
	struct call queue;            /* the queue's statements */
	struct call call;             /* the job's */
	pthread_t thread;
	bool started;
	bool quick_first;             /* whose turn it is: quick kinds or slow ones */
};

struct job_runner {
	struct kind_list quick, slow; /* by length of lease */
	struct worker *workers;
	int count;
	_Atomic bool stopping;        /* claim nothing more */
	_Atomic bool must_end;        /* job_extend refuses */
};

static void bell_make(void)
{
	pthread_condattr_t attributes;
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&bell.called, &attributes);
	pthread_condattr_destroy(&attributes);
}

void job_wake(void)
{
	pthread_once(&bell.once, bell_make);
	pthread_mutex_lock(&bell.lock);
	bell.calls++;
	pthread_cond_broadcast(&bell.called);
	pthread_mutex_unlock(&bell.lock);
}

static uint64_t bell_calls(void)
{
	pthread_mutex_lock(&bell.lock);
	uint64_t calls = bell.calls;
	pthread_mutex_unlock(&bell.lock);
	return calls;
}

static struct timespec in_ms(clockid_t clock, int64_t ms)
{
	struct timespec t;
	clock_gettime(clock, &t);
	t.tv_sec += (time_t)(ms / 1000);
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return t;
}

/* Until the bell has rung more than `calls` times, or the poll is due. */
static void bell_wait(uint64_t calls)
{
	struct timespec until = in_ms(CLOCK_MONOTONIC, POLL_MS);
	pthread_mutex_lock(&bell.lock);
	while (bell.calls == calls && pthread_cond_timedwait(&bell.called, &bell.lock, &until) == 0)
		continue;
	pthread_mutex_unlock(&bell.lock);
}

static enum err kinds_add(struct kind_list *l, const struct job_kind *k, struct error *e)
{
	if (!k->run || k->max_attempts < 1 || k->lease_seconds < 1)
		return error_set(e, ERR_INTERNAL, "The job kind %s has no handler, attempts or lease.", k->kind);
	if (kind_find(l, str_of(k->kind)))
		return error_set(e, ERR_INTERNAL, "The job kind %s has two handlers.", k->kind);
	if (l->count == JOB_KINDS_MAX)
		return error_set(e, ERR_INTERNAL, "There are more than %d job kinds.", JOB_KINDS_MAX);
	l->kinds[l->count] = k;
	l->names[l->count] = str_of(k->kind);
	l->leases[l->count++] = k->lease_seconds;
	return ERR_OK;
}

static enum err kinds_read(const struct job_kind *const *tables, struct kind_list *quick, struct kind_list *slow, struct error *e)
{
	for (; *tables; tables++) {
		for (const struct job_kind *k = *tables; k->kind; k++) {
			bool is_quick = k->lease_seconds <= JOB_QUICK_SECONDS;
			if (kind_find(is_quick ? slow : quick, str_of(k->kind)))
				return error_set(e, ERR_INTERNAL, "The job kind %s has two handlers.", k->kind);
			TRY(kinds_add(is_quick ? quick : slow, k, e));
		}
	}
	return ERR_OK;
}

static enum err worker_init(struct worker *w, struct job_runner *r)
{
	*w = (struct worker){ .runner = r, .queue_arena = arena_new(LIMIT_JOB_ARENA), .arena = arena_new(LIMIT_JOB_ARENA), .quick_first = true };
	w->queue = (struct call){ .arena = w->queue_arena, .actor.kind = AUTH_SYSTEM, .request_id = STR("jobs") };
	return w->queue_arena && w->arena ? ERR_OK : ERR_NO_MEMORY;
}

static void worker_release(struct worker *w)
{
	if (w->queue_arena)
		db_release(&w->queue);
	arena_free(w->queue_arena);
	arena_free(w->arena);
}

static enum err handler_run(struct worker *w, struct job_run *run)
{
	const struct json *args;
	TRY(json_parse(w->arena, run->args, &args, &w->call.error));
	return run->kind->run(&w->call, args);
}

/* Runs one job in a call of its own. What it leaves open is rolled back. */
static enum err call_run(struct worker *w, struct job_run *run)
{
	jmp_buf where;
	enum err code;
	arena_reset(w->arena);
	w->call = (struct call){ .arena = w->arena, .actor.kind = AUTH_SYSTEM, .locale = STR("en"), .job = run };
	if (setjmp(where) == 0) {
		arena_guard(w->arena, &where);
		w->call.request_id = uuid_format(w->arena, run->id);
		code = handler_run(w, run);
	} else {
		code = error_set(&w->call.error, ERR_NO_MEMORY, "The job needs more memory than it may have.");
	}
	arena_guard(w->arena, NULL);
	db_release(&w->call);
	return code;
}

static void failure_log(const struct worker *w, const struct job_run *run, enum err code, bool dead)
{
	const struct log_field fields[] = {
		LOG_Z("kind", run->kind->kind), LOG_N("attempt", run->attempts), LOG_Z("code", err_code(code)), LOG_Z("message", w->call.error.message),
		LOG_Z("detail", w->call.error.detail), LOG_Z("then", dead ? "dead" : "again later"),
	};
	log_write(dead ? LOG_ERROR : LOG_WARN, "job.failed", w->call.request_id, fields, CH_LEN(fields));
}

/* A lease that is lost needs nothing said to the queue: somebody else has the job. */
static enum err run_failed(struct worker *w, struct job_run *run, enum err code)
{
	bool dead = false, ends = run->must_end && atomic_load(run->must_end);
	struct call *q = &w->queue;
	if (code == ERR_UNAVAILABLE && ends)
		return queue_give_back(q, run->token, &run->id, 1);
	const struct error *e = &w->call.error;
	struct str what = str_fmt(q->arena, "%s: %s%s%s", err_code(code), e->message[0] ? e->message : err_text(code), e->detail[0] ? " " : "", e->detail);
	TRY(queue_failed(q, run, what, queue_delay(run->attempts), &dead));
	failure_log(w, run, code, dead);
	return ERR_OK;
}

/* A run that died with its worker as often as it may is not begun again. */
static enum err run_begin(struct worker *w, struct job_run *run)
{
	if (run->attempts <= run->kind->max_attempts)
		return call_run(w, run);
	arena_reset(w->arena);
	w->call = (struct call){ .arena = w->arena, .request_id = w->queue.request_id };
	return error_set(&w->call.error, ERR_TIMEOUT, "Every run lost its lease before it ended.");
}

static enum err batch_give_back(struct worker *w, const struct job_batch *b, int from)
{
	struct uuid ids[JOB_BATCH];
	size_t n = 0;
	for (int i = from; i < b->count; i++)
		ids[n++] = b->runs[i].id;
	return n ? queue_give_back(&w->queue, b->token, ids, n) : ERR_OK;
}

static enum err batch_run(struct worker *w, struct job_batch *b, int *ran)
{
	struct uuid done[JOB_BATCH];
	size_t done_count = 0;
	int64_t began = clock_tick();
	enum err code = ERR_OK;
	int i = 0;
	while (i < b->count && code == ERR_OK && (i == 0 || clock_tick() - began < LONG_RUN)) {
		struct job_run *run = &b->runs[i++];
		run->must_end = w->runner ? &w->runner->must_end : NULL;
		enum err outcome = run_begin(w, run);
		++*ran;
		if (outcome == ERR_OK)
			done[done_count++] = run->id;
		else
			code = run_failed(w, run, outcome);
	}
	/* The done ones first: what is not told done will run once more. */
	enum err told = done_count ? queue_done(&w->queue, b->token, done, done_count) : ERR_OK;
	if (told == ERR_OK && code == ERR_OK)
		told = batch_give_back(w, b, i);
	return code != ERR_OK ? code : told;
}

/* Claims and runs once from one of the lists. */
static enum err turn_take(struct worker *w, const struct kind_list *l, int limit, int *ran)
{
	struct job_batch b;
	arena_reset(w->queue_arena);
	enum err code = queue_claim(&w->queue, l, limit, &b);
	/* The handlers need connections too. */
	db_release(&w->queue);
	if (code == ERR_OK && b.count)
		code = batch_run(w, &b, ran);
	db_release(&w->queue);
	return code;
}

/* Quick and slow kinds take turns in going first, so that neither waits for ever. */
static enum err worker_turn(struct worker *w, const struct kind_list *quick, const struct kind_list *slow, int *ran)
{
	jmp_buf where;
	if (setjmp(where) != 0) {
		arena_guard(w->queue_arena, NULL);
		db_release(&w->queue);
		return error_set(&w->queue.error, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	}
	arena_guard(w->queue_arena, &where);
	w->quick_first = !w->quick_first;
	enum err code = w->quick_first ? turn_take(w, quick, JOB_BATCH, ran) : turn_take(w, slow, 1, ran);
	if (code == ERR_OK && *ran == 0)
		code = w->quick_first ? turn_take(w, slow, 1, ran) : turn_take(w, quick, JOB_BATCH, ran);
	arena_guard(w->queue_arena, NULL);
	return code;
}

/* An outage is told once, not at every look. */
static void trouble_log(struct worker *w, enum err code, enum err before)
{
	if (code != ERR_OK && code != before)
		log_event(LOG_ERROR, "job.queue_unreachable", LOG_Z("code", err_code(code)), LOG_Z("message", w->queue.error.message), LOG_Z("detail", w->queue.error.detail));
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct job_runner *r = w->runner;
	enum err before = ERR_OK;
	while (!atomic_load(&r->stopping)) {
		uint64_t calls = bell_calls();
		int ran = 0;
		enum err code = worker_turn(w, &r->quick, &r->slow, &ran);
		trouble_log(w, code, before);
		before = code;
		if ((code != ERR_OK || ran == 0) && !atomic_load(&r->stopping))
			bell_wait(calls);
	}
	return NULL;
}

static enum err workers_start(struct job_runner *r, struct error *e)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int fault = 0;
	for (int i = 0; i < r->count && !fault; i++) {
		fault = worker_init(&r->workers[i], r) != ERR_OK || pthread_create(&r->workers[i].thread, NULL, worker_main, &r->workers[i]) != 0;
		r->workers[i].started = !fault;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return fault ? error_set(e, ERR_NO_MEMORY, "The job workers cannot be started.") : ERR_OK;
}

enum err job_start(struct job_runner **out, const struct job_kind *const *tables, int workers, struct error *e)
{
	pthread_once(&bell.once, bell_make);
	struct job_runner *r = calloc(1, sizeof(*r));
	struct worker *list = calloc((size_t)workers, sizeof(*list));
	if (!r || !list) {
		free(r);
		free(list);
		return error_set(e, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	}
	r->workers = list;
	r->count = workers;
	enum err code = kinds_read(tables, &r->quick, &r->slow, e);
	if (code == ERR_OK)
		code = workers_start(r, e);
	if (code != ERR_OK) {
		job_stop(r);
		return code;
	}
	*out = r;
	return ERR_OK;
}

/* The real clock, which is all that pthread_timedjoin_np takes; a jump of it makes the drain shorter or longer, no worse. */
static bool workers_join(struct job_runner *r, int ms)
{
	struct timespec until = in_ms(CLOCK_REALTIME, ms);
	bool all = true;
	for (int i = 0; i < r->count; i++) {
		if (r->workers[i].started && pthread_timedjoin_np(r->workers[i].thread, NULL, &until) == 0)
			r->workers[i].started = false;
		all &= !r->workers[i].started;
	}
	return all;
}

void job_stop(struct job_runner *r)
{
	if (!r)
		return;
	atomic_store(&r->stopping, true);
	job_wake();
	bool ended = workers_join(r, LIMIT_DRAIN_MS);
	atomic_store(&r->must_end, true);
	if (!ended && !workers_join(r, LAST_CHANCE_MS)) {
		/* Its thread still uses all this; the process is about to end, and the lease brings the job back. */
		log_event(LOG_WARN, "job.left_running");
		return;
	}
	for (int i = 0; i < r->count; i++)
		worker_release(&r->workers[i]);
	free(r->workers);
	free(r);
}

enum err job_run_due(const struct job_kind *const *tables, int *ran, struct error *e)
{
	struct kind_list quick = { .count = 0 }, slow = { .count = 0 };
	struct worker w;
	int total = 0, now = 1;
	TRY(kinds_read(tables, &quick, &slow, e));
	enum err code = worker_init(&w, NULL);
	if (code != ERR_OK)
		error_set(e, code, "%s", err_text(code));
	while (code == ERR_OK && now) {
		now = 0;
		code = worker_turn(&w, &quick, &slow, &now);
		total += now;
		if (code != ERR_OK)
			*e = w.queue.error;
	}
	e->faults = NULL;
	worker_release(&w);
	if (ran)
		*ran = total;
	return code;
}
