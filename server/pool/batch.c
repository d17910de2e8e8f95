/* batch.c - many contributions of one member: a pipeline of groups. The caller's thread gathers lines into a group; workers make its items ready; a writer then writes it, a
 * transaction; the caller's thread tells its verdicts.
 *
 *   filling -> ready to work -> being worked on -> worked -> being written -> committed -> told, and filling again
 *
 * A fixed number of groups exists, so memory is the same whatever the size of the batch. Workers touch neither the database nor the call; writers have calls of their own. A group
 * belongs to one side at a time, and the only things shared are under the lock.
 *
 * There are two writers. While one writes a group under the pool's lock, the other does for the next group what needs no lock, and then waits for its turn: groups are committed
 * in order. The first writer has the caller's connection for as long as the batch lasts; the second takes one from the pool for a group at a time, when there are plenty, so
 * that a batch never waits for a connection that another batch's second writer has.
 */
#include "server/pool/pool_internal.h"

#include "commonhold/db.h"

#include <limits.h>
#include <pthread.h>

#define GROUPS 4            /* one filling, one worked on, two written */
#define WORKERS 2
#define WRITERS 2
#define CHUNK 128           /* lines a worker takes at a time */
#define LINE_FAULTS 8       /* kept of a bad line */
#define GROUP_ARENA (48 * MIB)   /* items of a group: what is sealed, facts, and faults */
#define SCRATCH_ARENA (64 * MIB) /* one line, parsed: LIMIT_JSON_NODES values at worst */
#define WRITER_ARENA (32 * MIB)  /* a group's columns on their way to the database */
#define ARENA_KEPT (4 * MIB)     /* what each keeps from group to group: usual lines need no more */
#define NOT_BROKEN UINT_MAX

/* What a worker made of a line. */
struct made {
	struct item *item;      /* NULL for a bad line */
	struct error *error;    /* of a bad line */
};

struct group {
	struct buf text;                 /* the lines, one after another */
	uint32_t offset[POOL_GROUP + 1]; /* of each in text */
	int64_t line[POOL_GROUP];        /* its number in the batch */
	struct made made[POOL_GROUP];
	size_t n;                        /* lines */
	size_t taken, done;              /* lines that workers have taken and finished; under the lock */
	instant at;                      /* of submission */
	struct arena *arena[WORKERS];    /* a worker's share of the group's items */
	struct fate fates[POOL_GROUP];   /* what became of each, once it is committed */
};

/* A thread that writes groups. */
struct writer {
	struct pool_batch *batch;
	struct call call;                /* its own arena and connection; the rest is the caller's */
	bool first;                      /* has the caller's connection */
	pthread_t thread;
};

struct pool_batch {
	struct call *call;
	struct intake in;
	enum err (*verdict)(void *arg, const struct verdict *v);
	void *arg;
	struct group group[GROUPS];
	unsigned filled, told;           /* groups handed to workers and told to the caller, ever; the one being filled is filled % GROUPS; told also under the lock */
	int64_t lines;                   /* seen, blank ones included */
	enum err failed;                 /* the batch ended with this */
	pthread_mutex_t lock;
	pthread_cond_t work, changed;    /* there is something to take for workers; for writers, or for the caller */
	unsigned handed;                 /* = filled, for the threads; under the lock */
	unsigned writing, committed;     /* groups that writers have taken and committed, ever; under the lock */
	unsigned broken;                 /* the first group that could not be written; under the lock */
	struct error why;                /* and why; under the lock */
	bool first_busy;                 /* the first writer has a group; under the lock */
	bool stop;                       /* under the lock */
	struct items_recent recent;      /* of the writer whose turn it is */
	pthread_t thread[WORKERS];
	unsigned threads;                /* workers started */
	unsigned next_worker;            /* numbers them; under the lock */
	struct writer writer[WRITERS];
	unsigned writers;                /* started */
};

/* ---- Workers ---- */

/* The first faults of a bad line, into memory that outlives the scratch. */
static struct error *error_keep(struct arena *a, const struct error *e)
{
	struct error *kept = ARENA_NEW(a, struct error);
	struct fault **last = &kept->faults;
	*kept = *e;
	kept->faults = NULL;
	size_t n = 0;
	for (const struct fault *f = e->faults; f && n < LINE_FAULTS; f = f->next, n++) {
		*last = ARENA_NEW(a, struct fault);
		(*last)->pointer = str_copy(a, f->pointer);
		(*last)->message = str_copy(a, f->message);
		last = &(*last)->next;
	}
	return kept;
}

/* The parser counts lines within its text, which is one line here: "Line 1, column 7" would name another line of the batch. */
static enum err line_parse(struct arena *scratch, struct str line, const struct json **json, struct error *e)
{
	static const char within[] = "Line 1, c";
	enum err err = json_parse(scratch, line, json, e);
	size_t skip = sizeof(within) - 2, n = strlen(e->message);
	if (err != ERR_OK && str_starts(str_make(e->message, n), within)) {
		memmove(e->message, e->message + skip, n - skip + 1);
		e->message[0] = 'C';
	}
	return err;
}

static enum err line_prepare(const struct intake *in, instant at, struct str line, struct arena *a, struct arena *scratch, struct item *item, struct error *e)
{
	const struct json *json;
	if (line.n > LIMIT_BODY_ITEM)
		return error_set(e, ERR_TOO_LARGE, "A line may have at most %zu bytes.", LIMIT_BODY_ITEM);
	TRY(line_parse(scratch, line, &json, e));
	return item_prepare(a, scratch, in, at, json, item, e);
}

/* A line that needs more memory than it may have is a bad line like others; a group without memory for that has nothing to show for it, and tell_verdicts says so. */
static void line_make(const struct intake *in, instant at, struct str line, struct arena *a, struct arena *scratch, struct made *out)
{
	jmp_buf full;
	struct error e = { 0 };
	*out = (struct made){ NULL, NULL };
	if (setjmp(full)) {
		arena_guard(a, NULL);
		arena_guard(scratch, NULL);
		out->item = NULL;
		static struct error no_memory = { .code = ERR_NO_MEMORY, .message = "This line needs more memory than it may have." };
		out->error = &no_memory;
		return;
	}
	arena_guard(a, &full);
	arena_guard(scratch, &full);
	struct item *item = ARENA_NEW(a, struct item);
	if (line_prepare(in, at, line, a, scratch, item, &e) == ERR_OK)
		out->item = item;
	else
		out->error = error_keep(a, &e);
	arena_guard(a, NULL);
	arena_guard(scratch, NULL);
}

static struct str line_text(const struct group *g, size_t i)
{
	return str_sub(buf_str(&g->text), g->offset[i], g->offset[i + 1] - g->offset[i]);
}

/* The oldest group with lines that nobody took; waits for one. NULL when the batch stops. */
static struct group *take_chunk(struct pool_batch *b, size_t *from, size_t *to)
{
	for (;;) {
		for (unsigned i = b->told; i != b->handed; i++) {
			struct group *g = &b->group[i % GROUPS];
			if (g->taken == g->n)
				continue;
			*from = g->taken;
			*to = g->taken = g->n - g->taken > CHUNK ? g->taken + CHUNK : g->n;
			return g;
		}
		if (b->stop)
			return NULL;
		pthread_cond_wait(&b->work, &b->lock);
	}
}

static void work_on(struct pool_batch *b, struct group *g, unsigned worker, size_t from, size_t to, struct arena *scratch)
{
	for (size_t i = from; i < to; i++) {
		line_make(&b->in, g->at, line_text(g, i), g->arena[worker], scratch, &g->made[i]);
		arena_reset(scratch);
	}
}

static void *worker_run(void *arg)
{
	struct pool_batch *b = arg;
	struct arena *scratch = arena_new(SCRATCH_ARENA);
	struct group *g;
	size_t from, to;
	pthread_mutex_lock(&b->lock);
	unsigned worker = b->next_worker++;
	while ((g = take_chunk(b, &from, &to)) != NULL) {
		pthread_mutex_unlock(&b->lock);
		if (scratch)
			work_on(b, g, worker, from, to, scratch);
		pthread_mutex_lock(&b->lock);
		g->done += to - from;
		if (g->done == g->n)
			pthread_cond_broadcast(&b->changed);
	}
	pthread_mutex_unlock(&b->lock);
	arena_free(scratch);
	return NULL;
}

/* ---- Writers ---- */

/* The next group that is worked; waits for it. NULL when there will be none. Under the lock. */
static struct group *take_group(struct writer *w, unsigned *number)
{
	struct pool_batch *b = w->batch;
	for (;;) {
		if (b->stop || b->broken != NOT_BROKEN)
			return NULL;
		struct group *g = &b->group[b->writing % GROUPS];
		bool worked = b->writing != b->handed && g->done == g->n;
		if (worked && (w->first || (b->first_busy && db_take_spare(&w->call)))) {
			*number = b->writing++;
			return g;
		}
		pthread_cond_wait(&b->changed, &b->lock);
	}
}

/* Until all groups before this one are committed. */
static enum err turn_wait(struct writer *w, unsigned number)
{
	struct pool_batch *b = w->batch;
	pthread_mutex_lock(&b->lock);
	while (b->committed != number && b->broken > number && !b->stop)
		pthread_cond_wait(&b->changed, &b->lock);
	bool come = b->committed == number;
	pthread_mutex_unlock(&b->lock);
	return come ? ERR_OK : fail(&w->call, ERR_UNAVAILABLE, "The batch ended before this part of it was written.");
}

static enum err group_commit(struct writer *w, struct group *g, unsigned number)
{
	struct call *c = &w->call;
	struct pool_batch *b = w->batch;
	struct staging s;
	for (size_t i = 0; i < g->n; i++)
		g->fates[i] = (struct fate){ .item = g->made[i].item };
	TRY(items_look_over(c, g->fates, g->n, &s));
	TRY(db_begin_in(c, b->in.coop, DB_WRITE));
	TRY(items_stage(c, &b->in, g->at, &s));
	TRY(turn_wait(w, number));
	TRY(items_write_staged(c, &b->in, g->at, &s, &b->recent));
	return db_commit(c);
}

static enum err group_write(struct writer *w, struct group *g, unsigned number)
{
	struct call *c = &w->call;
	jmp_buf full;
	enum err err;
	if (setjmp(full)) {
		err = fail(c, ERR_NO_MEMORY, "A part of the batch needs more memory than it may have.");
	} else {
		arena_guard(c->arena, &full);
		err = group_commit(w, g, number);
	}
	arena_guard(c->arena, NULL);
	return err;
}

/* What a writer leaves behind of a group: the word that it is committed, or why not. Of several that failed the first counts; the others failed for it. Under the lock. */
static void group_settle(struct writer *w, unsigned number, enum err err)
{
	struct pool_batch *b = w->batch;
	if (err == ERR_OK) {
		b->committed = number + 1;
	} else if (number < b->broken) {
		b->broken = number;
		b->why = w->call.error;
		b->why.faults = NULL;
	}
	pthread_cond_broadcast(&b->changed);
}

static void *writer_run(void *arg)
{
	struct writer *w = arg;
	struct pool_batch *b = w->batch;
	struct group *g;
	unsigned number;
	pthread_mutex_lock(&b->lock);
	while ((g = take_group(w, &number)) != NULL) {
		b->first_busy |= w->first;
		pthread_cond_broadcast(&b->changed); /* the other may have the next */
		pthread_mutex_unlock(&b->lock);
		enum err err = group_write(w, g, number);
		if (err != ERR_OK)
			db_rollback(&w->call);
		if (!w->first)
			db_release(&w->call);
		arena_reset(w->call.arena);
		pthread_mutex_lock(&b->lock);
		b->first_busy &= !w->first;
		group_settle(w, number, err);
	}
	pthread_mutex_unlock(&b->lock);
	db_release(&w->call);
	return NULL;
}

/* ---- The caller's side ---- */

static void group_clear(struct group *g)
{
	buf_clear(&g->text);
	for (unsigned w = 0; w < WORKERS; w++)
		arena_reset(g->arena[w]);
	g->n = g->taken = g->done = 0;
}

static void threads_stop(struct pool_batch *b)
{
	pthread_mutex_lock(&b->lock);
	b->stop = true;
	pthread_cond_broadcast(&b->work);
	pthread_cond_broadcast(&b->changed);
	pthread_mutex_unlock(&b->lock);
	for (; b->threads; b->threads--)
		pthread_join(b->thread[b->threads - 1], NULL);
	for (; b->writers; b->writers--) {
		pthread_join(b->writer[b->writers - 1].thread, NULL);
		b->call->queries += b->writer[b->writers - 1].call.queries;
	}
}

/* Whatever state it is in: the call's arena is being reset. */
static void batch_free(void *arg)
{
	struct pool_batch *b = arg;
	pthread_mutex_lock(&b->lock);
	for (unsigned i = b->told; i != b->filled; i++)
		b->group[i % GROUPS].taken = b->group[i % GROUPS].n; /* nothing more to take: nobody will see it */
	pthread_mutex_unlock(&b->lock);
	threads_stop(b);
	for (unsigned i = 0; i < GROUPS; i++) {
		buf_release(&b->group[i].text);
		for (unsigned w = 0; w < WORKERS; w++)
			arena_free(b->group[i].arena[w]);
	}
	for (unsigned i = 0; i < WRITERS; i++) {
		db_release(&b->writer[i].call);
		arena_free(b->writer[i].call.arena);
	}
	secret_wipe(&b->in.key, sizeof(b->in.key));
	pthread_cond_destroy(&b->work);
	pthread_cond_destroy(&b->changed);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

static bool groups_init(struct pool_batch *b)
{
	bool ok = true;
	for (unsigned i = 0; i < GROUPS; i++) {
		buf_init(&b->group[i].text, POOL_GROUP_BYTES + LIMIT_BODY_ITEM + KIB);
		for (unsigned w = 0; w < WORKERS; w++) {
			ok &= (b->group[i].arena[w] = arena_new(GROUP_ARENA)) != NULL;
			if (ok)
				arena_keep(b->group[i].arena[w], ARENA_KEPT);
		}
	}
	return ok;
}

static bool writers_init(struct pool_batch *b)
{
	struct call *c = b->call;
	for (unsigned i = 0; i < WRITERS; i++) {
		b->writer[i] = (struct writer){
			.batch = b, .first = i == 0, .call = { .arena = arena_new(WRITER_ARENA), .actor = c->actor, .coop = c->coop, .request_id = c->request_id, .locale = c->locale },
		};
		if (!b->writer[i].call.arena)
			return false;
		arena_keep(b->writer[i].call.arena, ARENA_KEPT);
	}
	b->writer[0].call.db = c->db;
	c->db = NULL;
	return true;
}

/* One of each does the work too, if slower; the first writer has the caller's connection. */
static bool threads_start(struct pool_batch *b)
{
	pthread_attr_t attr;
	bool ok = pthread_attr_init(&attr) == 0;
	ok = ok && pthread_attr_setstacksize(&attr, LIMIT_WORKER_STACK) == 0;
	for (; ok && b->threads < WORKERS; b->threads++)
		if (pthread_create(&b->thread[b->threads], &attr, worker_run, b) != 0)
			break;
	for (; ok && b->writers < WRITERS; b->writers++)
		if (pthread_create(&b->writer[b->writers].thread, &attr, writer_run, &b->writer[b->writers]) != 0)
			break;
	pthread_attr_destroy(&attr);
	return b->threads > 0 && b->writers > 0;
}

enum err pool_batch_begin(struct call *c, struct uuid coop, enum err (*verdict)(void *arg, const struct verdict *v), void *arg, struct pool_batch **out)
{
	struct intake in;
	const struct contribution_schemas *schemas;
	TRY(pool_schemas(&schemas, &c->error));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(intake_open(c, coop, &in));
	in.coop_name = str_copy(c->arena, in.coop_name);
	TRY(db_commit(c));
	struct pool_batch *b = calloc(1, sizeof(*b));
	if (!b)
		return fail(c, ERR_NO_MEMORY, "There is no memory for a batch.");
	b->call = c;
	b->in = in;
	b->verdict = verdict;
	b->arg = arg;
	b->broken = NOT_BROKEN;
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->work, NULL);
	pthread_cond_init(&b->changed, NULL);
	arena_defer(c->arena, batch_free, b);
	if (!groups_init(b) || !writers_init(b) || !threads_start(b))
		return fail(c, ERR_NO_MEMORY, "There is no memory for a batch.");
	*out = b;
	return ERR_OK;
}

static enum err tell_verdicts(struct pool_batch *b, const struct group *g)
{
	static const struct error erased = { .code = ERR_GONE, .message = "You had this very content erased. It is not taken again.", .reason = "erased" };
	static const struct error lost = { .code = ERR_NO_MEMORY, .message = "This line needs more memory than it may have." };
	struct arena *a = b->call->arena;
	for (size_t i = 0; i < g->n; i++) {
		struct arena_mark mark = arena_mark(a);
		const struct fate *f = &g->fates[i];
		struct receipt receipt;
		struct verdict v = { .line = g->line[i] };
		if (!f->item || f->err != ERR_OK) {
			v.error = f->item ? &erased : g->made[i].error ? g->made[i].error : &lost;
			v.err = v.error->code;
		} else {
			receipt_of(a, b->in.coop_name, f, &receipt);
			v.receipt = &receipt;
		}
		TRY(b->verdict(b->arg, &v));
		arena_rewind(a, mark);
	}
	return ERR_OK;
}

/* Whether the oldest group that is not told is committed, or never will be. Under the lock. */
static bool oldest_settled(const struct pool_batch *b)
{
	return b->committed != b->told || b->broken == b->told;
}

/* Waits for the oldest group that was handed over to be written, and tells its verdicts. */
static enum err tell_oldest(struct pool_batch *b)
{
	struct group *g = &b->group[b->told % GROUPS];
	pthread_mutex_lock(&b->lock);
	while (!oldest_settled(b))
		pthread_cond_wait(&b->changed, &b->lock);
	bool committed = b->committed != b->told;
	pthread_mutex_unlock(&b->lock);
	if (!committed) {
		b->call->error = b->why;
		return b->why.code;
	}
	TRY(tell_verdicts(b, g));
	pthread_mutex_lock(&b->lock);
	group_clear(g);
	b->told++;
	pthread_mutex_unlock(&b->lock);
	return ERR_OK;
}

static bool may_tell(struct pool_batch *b)
{
	pthread_mutex_lock(&b->lock);
	bool settled = b->told != b->filled && oldest_settled(b);
	pthread_mutex_unlock(&b->lock);
	return settled;
}

static enum err hand_over(struct pool_batch *b)
{
	struct group *g = &b->group[b->filled % GROUPS];
	g->at = clock_now();
	pthread_mutex_lock(&b->lock);
	b->handed = ++b->filled;
	pthread_cond_broadcast(&b->work);
	pthread_mutex_unlock(&b->lock);
	while (b->filled - b->told == GROUPS || may_tell(b))
		TRY(tell_oldest(b));
	return ERR_OK;
}

static struct str without_line_end(struct str line)
{
	while (line.n && (line.p[line.n - 1] == '\n' || line.p[line.n - 1] == '\r'))
		line.n--;
	return line;
}

static enum err add_line(struct pool_batch *b, struct str line)
{
	struct group *g = &b->group[b->filled % GROUPS];
	/* of a line that is too long no more is kept than says so */
	struct str kept = line.n > LIMIT_BODY_ITEM ? str_sub(line, 0, LIMIT_BODY_ITEM + 1) : line;
	g->offset[g->n] = (uint32_t)g->text.n;
	buf_add_str(&g->text, kept);
	if (g->text.failed)
		return fail(b->call, ERR_NO_MEMORY, "There is no memory for a batch.");
	g->line[g->n] = b->lines;
	g->offset[++g->n] = (uint32_t)g->text.n;
	return g->n == POOL_GROUP || g->text.n >= POOL_GROUP_BYTES ? hand_over(b) : ERR_OK;
}

enum err pool_batch_line(struct pool_batch *b, struct str line)
{
	if (b->failed != ERR_OK)
		return b->failed;
	b->lines++;
	line = without_line_end(line);
	if (str_trim(line).n == 0)
		return ERR_OK;
	return b->failed = add_line(b, line);
}

/* Full segments only: the tail changes with the next submission. A pool that could not be packed is read from its rows, so a failure here is none of the batch's. */
static void pack_after(struct pool_batch *b)
{
	struct call *c = b->call;
	int64_t packed;
	if (db_begin_in(c, b->in.coop, DB_WRITE) == ERR_OK && pool_pack(c, b->in.coop, &packed) == ERR_OK && db_commit(c) == ERR_OK)
		return;
	db_rollback(c);
	error_clear(&c->error);
}

static enum err batch_finish(struct pool_batch *b)
{
	if (b->group[b->filled % GROUPS].n)
		TRY(hand_over(b));
	while (b->told != b->filled)
		TRY(tell_oldest(b));
	return ERR_OK;
}

enum err pool_batch_end(struct pool_batch *b)
{
	if (b->failed == ERR_OK)
		b->failed = batch_finish(b);
	threads_stop(b);
	if (b->failed == ERR_OK && b->told > 1)
		pack_after(b);
	return b->failed;
}
