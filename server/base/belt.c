/* belt.c - one lock; a group is touched under it, or by the one side that has it. */
#include "commonhold/belt.h"
#include "commonhold/limits.h"

#include <pthread.h>
#include <stdlib.h>

#define SCRATCH_KEPT (8 * MIB)

struct place {
	size_t n;           /* pieces */
	size_t taken, done; /* of them in this round: given to a worker, finished */
	unsigned round;
	bool working;       /* or it is the caller's, or free */
	bool last;
};

struct belt {
	struct belt_work work;
	struct place place[BELT_GROUPS];
	pthread_mutex_t lock;
	pthread_cond_t wanted, changed; /* there is work; a round is over */
	unsigned filled, finished;      /* groups filled, and done with, ever */
	bool filling, ended, stop;      /* a worker fills; no group follows; all go home */
	bool failed;                    /* filling the newest group ended with `why` */
	struct error why;
	pthread_t thread[BELT_WORKERS_MAX];
	struct arena *scratch[BELT_WORKERS_MAX];
	unsigned threads, next_worker;
};

/* ---- Workers; all under the lock, but for the callbacks ---- */

/* The oldest group with pieces that nobody took. */
static struct place *next_chunk(struct belt *b, size_t *from, size_t *to)
{
	for (unsigned i = b->finished; i != b->filled; i++) {
		struct place *p = &b->place[i % BELT_GROUPS];
		if (!p->working || p->taken == p->n)
			continue;
		*from = p->taken;
		*to = p->taken = p->n - p->taken > b->work.chunk ? p->taken + b->work.chunk : p->n;
		return p;
	}
	return NULL;
}

static void round_begin(struct belt *b, struct place *p)
{
	p->taken = p->done = 0;
	p->working = p->n > 0;
	if (p->working)
		pthread_cond_broadcast(&b->wanted);
	else
		pthread_cond_broadcast(&b->changed);
}

static void work_on(struct belt *b, struct place *p, unsigned worker, size_t from, size_t to)
{
	unsigned round = p->round;
	pthread_mutex_unlock(&b->lock);
	b->work.work(b->work.arg, (unsigned)(p - b->place), worker, round, from, to, b->scratch[worker]);
	arena_reset(b->scratch[worker]);
	pthread_mutex_lock(&b->lock);
	p->done += to - from;
	if (p->done == p->n) {
		p->working = false;
		pthread_cond_broadcast(&b->changed);
	}
}

static void fill_next(struct belt *b)
{
	unsigned place = b->filled % BELT_GROUPS;
	struct place *p = &b->place[place];
	struct error e = { 0 };
	size_t n = 0;
	bool last = false;
	b->filling = true;
	pthread_mutex_unlock(&b->lock);
	enum err err = b->work.fill(b->work.arg, place, &n, &last, &e);
	pthread_mutex_lock(&b->lock);
	b->filling = false;
	if (err != ERR_OK) {
		b->why = e;
		b->failed = last = true;
	}
	b->ended = last;
	*p = (struct place){ .n = n, .last = last };
	b->filled++;
	round_begin(b, p);
	pthread_cond_broadcast(&b->wanted); /* somebody else may fill the next */
}

static void *worker_run(void *arg)
{
	struct belt *b = arg;
	pthread_mutex_lock(&b->lock);
	unsigned worker = b->next_worker++;
	while (!b->stop) {
		size_t from, to;
		struct place *p = next_chunk(b, &from, &to);
		if (p)
			work_on(b, p, worker, from, to);
		else if (!b->ended && !b->filling && b->filled - b->finished < BELT_GROUPS)
			fill_next(b);
		else
			pthread_cond_wait(&b->wanted, &b->lock);
	}
	pthread_mutex_unlock(&b->lock);
	return NULL;
}

/* ---- The caller ---- */

static void threads_start(struct belt *b)
{
	pthread_attr_t attr;
	unsigned wanted = b->work.workers < BELT_WORKERS_MAX ? b->work.workers : BELT_WORKERS_MAX;
	if (pthread_attr_init(&attr) != 0)
		return;
	bool ok = pthread_attr_setstacksize(&attr, LIMIT_WORKER_STACK) == 0;
	while (ok && b->threads < wanted && (b->scratch[b->threads] = arena_new(b->work.scratch))) {
		arena_keep(b->scratch[b->threads], SCRATCH_KEPT);
		if (pthread_create(&b->thread[b->threads], &attr, worker_run, b) != 0)
			break;
		b->threads++;
	}
	pthread_attr_destroy(&attr);
}

enum err belt_start(const struct belt_work *work, struct belt **out, struct error *e)
{
	struct belt *b = calloc(1, sizeof(*b));
	if (!b)
		return error_set(e, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	b->work = *work;
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->wanted, NULL);
	pthread_cond_init(&b->changed, NULL);
	threads_start(b);
	if (b->threads == 0) {
		belt_stop(b);
		return error_set(e, ERR_NO_MEMORY, "There are no threads to work on it.");
	}
	*out = b;
	return ERR_OK;
}

struct belt_group belt_take(struct belt *b, unsigned number)
{
	struct place *p = &b->place[number % BELT_GROUPS];
	pthread_mutex_lock(&b->lock);
	while (b->filled <= number || p->working)
		pthread_cond_wait(&b->changed, &b->lock);
	struct belt_group g = { (unsigned)(p - b->place), p->n, p->last, p->last && b->failed ? &b->why : NULL };
	pthread_mutex_unlock(&b->lock);
	return g;
}

void belt_again(struct belt *b, unsigned number)
{
	pthread_mutex_lock(&b->lock);
	struct place *p = &b->place[number % BELT_GROUPS];
	p->round++;
	round_begin(b, p);
	pthread_mutex_unlock(&b->lock);
}

void belt_done(struct belt *b)
{
	pthread_mutex_lock(&b->lock);
	b->finished++;
	pthread_cond_broadcast(&b->wanted);
	pthread_mutex_unlock(&b->lock);
}

void belt_stop(struct belt *b)
{
	if (!b)
		return;
	pthread_mutex_lock(&b->lock);
	b->stop = true;
	pthread_cond_broadcast(&b->wanted);
	pthread_mutex_unlock(&b->lock);
	for (; b->threads; b->threads--)
		pthread_join(b->thread[b->threads - 1], NULL);
	for (unsigned i = 0; i < BELT_WORKERS_MAX; i++)
		arena_free(b->scratch[i]);
	pthread_cond_destroy(&b->wanted);
	pthread_cond_destroy(&b->changed);
	pthread_mutex_destroy(&b->lock);
	free(b);
}
