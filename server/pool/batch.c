/* batch.c - many contributions of one member: a pipeline of groups. The caller's thread gathers lines into a group; two workers make its items ready; the caller's thread
 * then writes it, a transaction, while the workers have the next one.
 *
 *   filling -> ready to work -> being worked on -> worked -> written, and filling again
 *
 * Three groups exist, so memory is the same whatever the size of the batch. Workers touch neither the database nor the call; a group belongs to one side at a time, and the
 * only things shared are under the lock.
 */
#include "server/pool/pool_internal.h"

#include "commonhold/db.h"

#include <pthread.h>

#define GROUPS 3            /* one filling, one worked on, one written */
#define WORKERS 2
#define CHUNK 128           /* lines a worker takes at a time */
#define LINE_FAULTS 8       /* kept of a bad line */
#define GROUP_ARENA (48 * MIB)   /* items of a group: what is sealed, facts, and faults */
#define SCRATCH_ARENA (64 * MIB) /* one line, parsed: LIMIT_JSON_NODES values at worst */

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
};

struct pool_batch {
	struct call *call;
	struct intake in;
	enum err (*verdict)(void *arg, const struct verdict *v);
	void *arg;
	struct group group[GROUPS];
	unsigned filled, written;        /* groups handed to workers and written, ever; the one being filled is filled % GROUPS */
	int64_t lines;                   /* seen, blank ones included */
	enum err failed;                 /* the batch ended with this */
	pthread_mutex_t lock;
	pthread_cond_t work, worked;     /* there is something to take; a group is finished */
	unsigned handed;                 /* = filled, for the workers; under the lock */
	bool stop;                       /* under the lock */
	pthread_t thread[WORKERS];
	unsigned threads;                /* started */
	unsigned next_worker;            /* numbers them; under the lock */
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
		for (unsigned i = b->written; i != b->handed; i++) {
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
			pthread_cond_signal(&b->worked);
	}
	pthread_mutex_unlock(&b->lock);
	arena_free(scratch);
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
	pthread_mutex_unlock(&b->lock);
	for (; b->threads; b->threads--)
		pthread_join(b->thread[b->threads - 1], NULL);
}

/* Whatever state it is in: the call's arena is being reset. */
static void batch_free(void *arg)
{
	struct pool_batch *b = arg;
	for (unsigned i = b->written; i < b->filled; i++) {
		pthread_mutex_lock(&b->lock);
		b->group[i % GROUPS].taken = b->group[i % GROUPS].n; /* nothing more to take: nobody will see it */
		pthread_mutex_unlock(&b->lock);
	}
	threads_stop(b);
	for (unsigned i = 0; i < GROUPS; i++) {
		buf_release(&b->group[i].text);
		for (unsigned w = 0; w < WORKERS; w++)
			arena_free(b->group[i].arena[w]);
	}
	secret_wipe(&b->in.key, sizeof(b->in.key));
	pthread_cond_destroy(&b->work);
	pthread_cond_destroy(&b->worked);
	pthread_mutex_destroy(&b->lock);
	free(b);
}

static bool groups_init(struct pool_batch *b)
{
	bool ok = true;
	for (unsigned i = 0; i < GROUPS; i++) {
		buf_init(&b->group[i].text, POOL_GROUP_BYTES + LIMIT_BODY_ITEM + KIB);
		for (unsigned w = 0; w < WORKERS; w++)
			ok &= (b->group[i].arena[w] = arena_new(GROUP_ARENA)) != NULL;
	}
	return ok;
}

static bool threads_start(struct pool_batch *b)
{
	pthread_attr_t attr;
	bool ok = pthread_attr_init(&attr) == 0;
	ok = ok && pthread_attr_setstacksize(&attr, LIMIT_WORKER_STACK) == 0;
	for (; ok && b->threads < WORKERS; b->threads++)
		if (pthread_create(&b->thread[b->threads], &attr, worker_run, b) != 0)
			break;
	pthread_attr_destroy(&attr);
	return b->threads > 0; /* one does the work too, if slower */
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
	*b = (struct pool_batch){ .call = c, .in = in, .verdict = verdict, .arg = arg };
	pthread_mutex_init(&b->lock, NULL);
	pthread_cond_init(&b->work, NULL);
	pthread_cond_init(&b->worked, NULL);
	arena_defer(c->arena, batch_free, b);
	if (!groups_init(b) || !threads_start(b))
		return fail(c, ERR_NO_MEMORY, "There is no memory for a batch.");
	*out = b;
	return ERR_OK;
}

static void wait_worked(struct pool_batch *b, struct group *g)
{
	pthread_mutex_lock(&b->lock);
	while (g->done < g->n)
		pthread_cond_wait(&b->worked, &b->lock);
	pthread_mutex_unlock(&b->lock);
}

static enum err tell_verdicts(struct pool_batch *b, const struct group *g, const struct fate *fates)
{
	static const struct error erased = { .code = ERR_GONE, .message = "You had this very content erased. It is not taken again.", .reason = "erased" };
	static const struct error lost = { .code = ERR_NO_MEMORY, .message = "This line needs more memory than it may have." };
	struct arena *a = b->call->arena;
	for (size_t i = 0; i < g->n; i++) {
		struct arena_mark mark = arena_mark(a);
		struct receipt receipt;
		struct verdict v = { .line = g->line[i] };
		if (!fates[i].item || fates[i].err != ERR_OK) {
			v.error = fates[i].item ? &erased : g->made[i].error ? g->made[i].error : &lost;
			v.err = v.error->code;
		} else {
			receipt_of(a, b->in.coop_name, &fates[i], &receipt);
			v.receipt = &receipt;
		}
		TRY(b->verdict(b->arg, &v));
		arena_rewind(a, mark);
	}
	return ERR_OK;
}

static enum err group_commit(struct pool_batch *b, const struct group *g, struct fate *fates)
{
	struct call *c = b->call;
	for (size_t i = 0; i < g->n; i++)
		fates[i].item = g->made[i].item;
	TRY(db_begin_in(c, b->in.coop, DB_WRITE));
	TRY(intake_still_open(c, &b->in)); /* a batch may take hours to arrive */
	TRY(items_write(c, &b->in, g->at, fates, g->n));
	return db_commit(c);
}

/* The oldest group that was handed over: waits for it, writes it, tells its verdicts. */
static enum err write_oldest(struct pool_batch *b)
{
	struct call *c = b->call;
	struct group *g = &b->group[b->written % GROUPS];
	wait_worked(b, g);
	struct arena_mark mark = arena_mark(c->arena);
	struct fate *fates = ARENA_ARRAY(c->arena, g->n, struct fate);
	TRY(group_commit(b, g, fates));
	TRY(tell_verdicts(b, g, fates));
	arena_rewind(c->arena, mark);
	pthread_mutex_lock(&b->lock);
	group_clear(g);
	b->written++;
	pthread_mutex_unlock(&b->lock);
	return ERR_OK;
}

static enum err hand_over(struct pool_batch *b)
{
	struct group *g = &b->group[b->filled % GROUPS];
	g->at = clock_now();
	pthread_mutex_lock(&b->lock);
	b->handed = ++b->filled;
	pthread_cond_broadcast(&b->work);
	pthread_mutex_unlock(&b->lock);
	while (b->filled - b->written == GROUPS - 1)
		TRY(write_oldest(b));
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
	while (b->written < b->filled)
		TRY(write_oldest(b));
	return ERR_OK;
}

enum err pool_batch_end(struct pool_batch *b)
{
	if (b->failed == ERR_OK)
		b->failed = batch_finish(b);
	threads_stop(b);
	if (b->failed == ERR_OK && b->written > 1)
		pack_after(b);
	return b->failed;
}
