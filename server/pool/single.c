/* single.c - items that are submitted one by one, written together.
 *
 * A co-op's pool and log have one writer at a time, whoever waits for the lock. So whoever comes while another writes puts the item down and waits; the first of those that wait
 * then writes for all of them: one transaction of two trips, one commit, one signed checkpoint. Nobody waits for others to come: who finds no writer writes at once.
 *
 * What is written for others must not fail for one of them: when a group fails other than by losing the database, each of it is written again by itself.
 */
#include "server/pool/suppress.h"

#include "commonhold/ledger.h"
#include "commonhold/turn.h"

#include <pthread.h>
#include <stdatomic.h>

#define GROUP_MAX LEDGER_TOGETHER
#define GROUP_BYTES (4 * MIB)  /* sealed contents and circumstances of a group that holds more than one */
#define GROUP_ARENA (32 * MIB) /* they are encoded once more on their way */
#define QUEUES 64

SQL(pool_lock_next, "SELECT next_item, suppressed FROM pool_head WHERE coop_id = $1 FOR UPDATE");
/* Locked before the log is, as by everything else that writes to both. */
SQL(members_lock,
	"SELECT m.id, m.state, (SELECT max(version) FROM charter h WHERE h.coop_id = $1) FROM membership m WHERE m.coop_id = $1 AND m.id = ANY ($2) "
	"ORDER BY m.id FOR NO KEY UPDATE");
SQL(known_of_members,
	"SELECT d.no::integer, c.member_no = d.member_no, c.id, c.leaf, " ITEM_WORD ", c.findings, c.submitted_at "
	"FROM unnest($2, $3) WITH ORDINALITY AS d(hash, member_no, no) JOIN contribution c ON c.coop_id = $1 AND c.content_sha256 = d.hash "
	"WHERE c.member_no = d.member_no OR pool_item_stands(c.word)");
SQL(group_insert,
	"WITH given AS (SELECT * FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) "
	"AS g(id, member_id, lang, hash, salt, facts, sealed, at, item_no, member_no, shard, kind, licence, bytes, word, more, leaf, findings)), "
	"contents AS (INSERT INTO contribution_content (coop_id, shard, id, lang, sealed) SELECT $1, shard::integer, id, lang, sealed FROM given), "
	"counted AS (UPDATE membership m SET contributed = m.contributed + g.n FROM (SELECT member_id, count(*) AS n FROM given GROUP BY member_id) g "
	"WHERE m.coop_id = $1 AND m.id = g.member_id), "
	"numbered AS (UPDATE pool_head SET next_item = next_item + (SELECT count(*) FROM given) WHERE coop_id = $1) "
	"INSERT INTO contribution (coop_id, id, item_no, member_id, member_no, shard, kind, licence, lang, content_sha256, bytes, submitted_at, word, more, leaf, salt, findings, sealed_facts) "
	"SELECT $1, id, item_no, member_id, member_no::integer, shard::integer, kind::smallint, licence::smallint, lang, hash, bytes::integer, at, word, more, leaf, salt, "
	"findings::smallint, facts FROM given");

enum stage { WRITES, DONE };

/* One who submits; on their stack. */
struct submitter {
	struct single *s;
	enum stage stage;          /* as it is when `turn` is given */
	struct turn turn;          /* to write, or to go on with what was written */
	struct submitter *next;    /* in the queue; guarded by its lock */
	struct group *group;       /* that wrote the item; held */
	struct submitter *first;   /* of the group with this content of this member; itself, unless it is a duplicate of that */
	size_t leaf;               /* place of its leaf among the group's */
	enum err err;              /* what came of it; the words are the group's */
	bool by_itself;            /* the group failed: to be written alone */
};

/* A transaction's worth. It lives in its arena, until the last of those in it has its proof. */
struct group {
	struct arena *arena;
	atomic_int refs;
	struct call call;          /* nobody's in particular */
	struct uuid coop;
	struct submitter *of[GROUP_MAX];
	size_t n;
	struct ledger_appended log;
	struct str checkpoint;
};

static struct queue {
	pthread_mutex_t lock;
	struct submitter *first, **end;
	bool written;              /* somebody writes, and will call the first of those that wait */
} queues[QUEUES];

static pthread_once_t queues_once = PTHREAD_ONCE_INIT;

static void queues_start(void)
{
	for (size_t i = 0; i < QUEUES; i++) {
		pthread_mutex_init(&queues[i].lock, NULL);
		queues[i].end = &queues[i].first;
	}
}

static struct queue *queue_of(struct uuid coop)
{
	pthread_once(&queues_once, queues_start);
	return &queues[(coop.b[0] ^ coop.b[15]) % QUEUES];
}

static struct group *group_new(struct uuid coop)
{
	struct arena *a = arena_new(GROUP_ARENA);
	struct group *g = a ? ARENA_NEW(a, struct group) : NULL;
	if (!g) {
		arena_free(a);
		return NULL;
	}
	g->arena = a;
	g->coop = coop;
	g->call = (struct call){ .arena = a, .locale = STR("en") };
	atomic_init(&g->refs, 1);
	return g;
}

static void group_unref(void *group)
{
	struct group *g = group;
	if (atomic_fetch_sub(&g->refs, 1) == 1)
		arena_free(g->arena);
}

/* ---- In the transaction ---- */

struct answers { struct rows head, members, known; struct ledger_place *log; };

/* Locks and questions, in one trip. */
static enum err group_ask(struct group *g, struct answers *r)
{
	struct call *c = &g->call;
	struct uuid *members = ARENA_ARRAY(c->arena, g->n, struct uuid);
	struct str *hashes = ARENA_ARRAY(c->arena, g->n, struct str);
	int64_t *numbers = ARENA_ARRAY(c->arena, g->n, int64_t);
	for (size_t i = 0; i < g->n; i++) {
		members[i] = g->of[i]->s->in->member;
		numbers[i] = g->of[i]->s->in->member_no;
		hashes[i] = str_make(g->of[i]->s->item->hash.b, 32);
	}
	TRY(db_ask(c, pool_lock_next, &r->head, A_UUID(g->coop)));
	TRY(db_ask(c, members_lock, &r->members, A_UUID(g->coop), A_UUIDS(members, g->n)));
	TRY(db_ask(c, known_of_members, &r->known, A_UUID(g->coop), A_BYTEAS(hashes, g->n), A_I64S(numbers, g->n)));
	TRY(ledger_ask_lock(c, g->coop, &r->log));
	TRY(db_wait(c));
	return r->head.n == 1 ? ERR_OK : fail(c, ERR_INTERNAL, "The pool has no head.");
}

/* Marks what its member had erased, unless nobody had anything erased. */
static enum err refuse_suppressed(struct group *g, const struct answers *r)
{
	struct suppressed what[GROUP_MAX];
	bool found[GROUP_MAX];
	if (row_int(&r->head, 0, 1) == 0)
		return ERR_OK;
	for (size_t i = 0; i < g->n; i++)
		what[i] = (struct suppressed){ g->of[i]->s->in->member, g->of[i]->s->item->hash };
	TRY(suppressed_find(&g->call, g->coop, what, g->n, found));
	for (size_t i = 0; i < g->n; i++)
		if (found[i])
			fate_is_suppressed(&g->of[i]->s->fate);
	return ERR_OK;
}

static bool still_open(const struct rows *members, const struct intake *in)
{
	for (int row = 0; row < members->n; row++)
		if (uuid_eq(row_uuid(members, row, 0), in->member))
			return intake_standing(row_str(members, row, 1)) && row_int(members, row, 2) == intake_version(in);
	return false;
}

static bool stands(uint64_t word)
{
	return ITEM_MODERATION(word) == POLICY_MODERATION_APPROVED && !(word & ITEM_GONE);
}

/* What of the group has the same content as an earlier one in it. */
static void compare_with_earlier(struct group *g, size_t i)
{
	struct submitter *one = g->of[i];
	for (size_t k = 0; k < i; k++) {
		struct submitter *other = g->of[k];
		if (other->s->again || other->s->fate.duplicate || other->first != other || !sha256_eq(other->s->item->hash, one->s->item->hash))
			continue;
		if (uuid_eq(other->s->in->member, one->s->in->member))
			one->first = other;
		else if (stands(other->s->item->word))
			one->s->item->word |= POLICY_ITEM_DUPLICATE;
	}
}

/* Finds those that are to be written: neither there already nor out of date. */
static size_t group_sort_out(struct group *g, const struct answers *r, struct submitter **fresh)
{
	size_t n = 0;
	for (int row = 0; row < r->known.n; row++) {
		struct single *s = g->of[row_int(&r->known, row, 0) - 1]->s;
		if (row_bool(&r->known, row, 1))
			fate_is_known(&s->fate, &r->known, row);
		else
			s->item->word |= POLICY_ITEM_DUPLICATE;
	}
	for (size_t i = 0; i < g->n; i++) {
		struct submitter *one = g->of[i];
		one->s->again = !still_open(&r->members, one->s->in);
		if (one->s->again || one->s->fate.duplicate)
			continue;
		compare_with_earlier(g, i);
		if (one->first == one)
			fresh[n++] = one;
	}
	return n;
}

static enum err group_append(struct group *g, const struct answers *r, struct submitter **fresh, size_t n)
{
	struct str leaves[GROUP_MAX];
	int64_t item_no = row_int(&r->head, 0, 0);
	for (size_t i = 0; i < n; i++)
		leaves[i] = fresh[i]->s->item->leaf;
	TRY(ledger_append_at(&g->call, g->coop, r->log, "contribution.made", leaves, n, &g->log));
	for (size_t i = 0; i < n; i++) {
		fresh[i]->leaf = i;
		fresh[i]->s->item->leaf_no = (int64_t)(g->log.before.size + i);
		fresh[i]->s->item->item_no = item_no + (int64_t)i;
	}
	return ERR_OK;
}

static enum err group_insert_items(struct group *g, struct submitter **fresh, size_t n)
{
	struct call *c = &g->call;
	struct uuid *ids = ARENA_ARRAY(c->arena, n * 2, struct uuid), *member = ids + n;
	struct str *texts = ARENA_ARRAY(c->arena, n * 5, struct str), *lang = texts, *hash = texts + n, *salt = texts + n * 2, *facts = texts + n * 3, *sealed = texts + n * 4;
	int64_t *numbers = ARENA_ARRAY(c->arena, n * 10, int64_t);
	instant *at = ARENA_ARRAY(c->arena, n, instant);
	for (size_t i = 0; i < n; i++) {
		const struct item *item = fresh[i]->s->item;
		const int64_t of[] = { item->item_no, fresh[i]->s->in->member_no, item->shard, item->kind, item->licence, (int64_t)item->bytes, (int64_t)item->word, (int64_t)item->more,
			item->leaf_no, item->findings };
		for (size_t k = 0; k < CH_LEN(of); k++)
			numbers[k * n + i] = of[k];
		ids[i] = item->id;
		member[i] = fresh[i]->s->in->member;
		lang[i] = item->lang;
		hash[i] = str_make(item->hash.b, 32);
		salt[i] = str_make(item->salt, 32);
		facts[i] = item->facts;
		sealed[i] = item->sealed;
		at[i] = fresh[i]->s->at;
	}
	return db_queue(c, group_insert, A_UUID(g->coop), A_UUIDS(ids, n), A_UUIDS(member, n), A_TEXTS(lang, n), A_BYTEAS(hash, n), A_BYTEAS(salt, n), A_BYTEAS(facts, n),
		A_BYTEAS(sealed, n), A_TIMES(at, n), A_I64S(numbers, n), A_I64S(numbers + n, n), A_I64S(numbers + n * 2, n), A_I64S(numbers + n * 3, n), A_I64S(numbers + n * 4, n),
		A_I64S(numbers + n * 5, n), A_I64S(numbers + n * 6, n), A_I64S(numbers + n * 7, n), A_I64S(numbers + n * 8, n), A_I64S(numbers + n * 9, n));
}

static void fates_settle(struct group *g)
{
	for (size_t i = 0; i < g->n; i++) {
		struct submitter *one = g->of[i];
		const struct item *item = one->first->s->item;
		if (one->s->again || one->s->fate.duplicate)
			continue;
		one->s->fate = (struct fate){
			.item = one->s->item, .duplicate = one->first != one, .id = item->id, .leaf = item->leaf_no, .word = item->word, .findings = item->findings,
			.submitted_at = one->first->s->at,
		};
		one->leaf = one->first->leaf;
	}
}

static enum err group_write(struct group *g)
{
	struct answers r;
	struct submitter *fresh[GROUP_MAX];
	TRY(db_begin_in(&g->call, g->coop, DB_WRITE));
	TRY(group_ask(g, &r));
	TRY(refuse_suppressed(g, &r));
	size_t n = group_sort_out(g, &r, fresh);
	if (n == 0)
		return db_commit(&g->call);
	TRY(group_append(g, &r, fresh, n));
	TRY(group_insert_items(g, fresh, n));
	for (size_t i = 0; i < n; i++)
		TRY(item_write_besides(&g->call, fresh[i]->s->in, fresh[i]->s->at, fresh[i]->s->item));
	TRY(db_commit(&g->call));
	fates_settle(g);
	return ERR_OK;
}

/* With a place to come back to when the group's arena is full. */
static enum err guarded(struct group *g, enum err (*step)(struct group *g))
{
	jmp_buf full;
	enum err err;
	if (setjmp(full)) {
		err = fail(&g->call, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	} else {
		arena_guard(g->arena, &full);
		err = step(g);
	}
	arena_guard(g->arena, NULL);
	return err;
}

static enum err group_sign(struct group *g)
{
	return g->log.n ? ledger_appended_sign(&g->call, g->coop, &g->log, &g->checkpoint) : ERR_OK;
}

/* ---- Who writes for whom ---- */

static size_t bytes_of(const struct submitter *one)
{
	return one->s->item->sealed.n + one->s->item->facts.n;
}

/* Takes the first off the queue, and with it what others bring to the same co-op. Under the lock. */
static void group_gather(struct group *g, struct queue *q)
{
	size_t bytes = 0;
	for (struct submitter **at = &q->first; *at && g->n < GROUP_MAX;) {
		struct submitter *one = *at;
		bool fits = g->n == 0 || bytes + bytes_of(one) <= GROUP_BYTES;
		if (!fits || !uuid_eq(one->s->in->coop, g->coop)) {
			at = &one->next;
			continue;
		}
		bytes += bytes_of(one);
		g->of[g->n++] = one;
		*at = one->next;
		if (!*at)
			q->end = at;
	}
}

/* The next group may be written while this one is signed. */
static void queue_pass_on(struct queue *q)
{
	pthread_mutex_lock(&q->lock);
	struct submitter *next = q->first;
	q->written = next != NULL;
	pthread_mutex_unlock(&q->lock);
	if (next) {
		next->stage = WRITES;
		turn_give(&next->turn);
	}
}

/* Tells each what came of it. Losing the database is everybody's end; any other failure may be one item's alone. */
static void group_tell(struct group *g, enum err err)
{
	for (size_t i = 0; i < g->n; i++) {
		struct submitter *one = g->of[i];
		one->by_itself = err != ERR_OK && err != ERR_UNAVAILABLE && g->n > 1;
		one->err = err;
		one->group = g;
		atomic_fetch_add(&g->refs, 1);
	}
}

static void group_wake(struct group *g, const struct submitter *but)
{
	for (size_t i = 0; i < g->n; i++) {
		struct submitter *one = g->of[i];
		if (one == but)
			continue;
		one->stage = DONE;
		turn_give(&one->turn);
	}
}

static void items_reset(struct group *g)
{
	for (size_t i = 0; i < g->n; i++) {
		struct submitter *one = g->of[i];
		one->first = one;
		one->s->again = false;
		one->s->fate = (struct fate){ .item = one->s->item };
		one->s->item->word &= ~(uint64_t)POLICY_ITEM_DUPLICATE;
	}
}

/* Writes a group and tells everybody in it. `q` is NULL for who writes alone. */
static void group_run(struct call *c, struct group *g, struct queue *q, const struct submitter *me)
{
	items_reset(g);
	enum err err = guarded(g, group_write);
	db_release(&g->call);
	if (q)
		queue_pass_on(q);
	if (err == ERR_OK && guarded(g, group_sign) != ERR_OK) {
		/* What is written stays written; its proof is to be had again. */
		error_clear(&g->call.error);
		g->checkpoint = STR_NONE;
	}
	c->queries += g->call.queries;
	group_tell(g, err);
	if (q)
		group_wake(g, me);
}

/* Waits until the item is written, or it is this one's turn to write: then true. It is then the first in the queue, and nobody else takes from that. */
static bool await_turn(struct queue *q, struct submitter *me)
{
	pthread_mutex_lock(&q->lock);
	bool at_once = !q->written;
	*q->end = me;
	q->end = &me->next;
	q->written = true;
	pthread_mutex_unlock(&q->lock);
	if (at_once)
		return true;
	turn_await(&me->turn, -1);
	return me->stage == WRITES;
}

static enum err write_alone(struct call *c, struct submitter *me)
{
	struct group *g = group_new(me->s->in->coop);
	if (!g)
		return fail(c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	g->of[g->n++] = me;
	group_run(c, g, NULL, me);
	group_unref(g);
	return ERR_OK;
}

static enum err write_for_all(struct call *c, struct queue *q, struct submitter *me)
{
	struct group *g = group_new(me->s->in->coop);
	pthread_mutex_lock(&q->lock);
	if (!g) {
		q->first = me->next;
		if (!q->first)
			q->end = &q->first;
		pthread_mutex_unlock(&q->lock);
		queue_pass_on(q);
		return fail(c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	}
	group_gather(g, q);
	pthread_mutex_unlock(&q->lock);
	group_run(c, g, q, me);
	group_unref(g);
	return ERR_OK;
}

static enum err outcome_take(struct call *c, struct submitter *me)
{
	struct group *g = me->group;
	/* before anything that may jump away */
	arena_defer(c->arena, group_unref, g);
	if (me->err != ERR_OK) {
		c->error = g->call.error;
		c->error.faults = NULL;
		return me->err;
	}
	bool proves = g->checkpoint.p && me->s->fate.err == ERR_OK && !me->s->again && me->leaf < g->log.n;
	return proves ? ledger_appended_prove(c->arena, &g->log, me->leaf, g->checkpoint, &me->s->proof) : ERR_OK;
}

enum err single_write(struct call *c, struct single *s)
{
	struct queue *q = queue_of(s->in->coop);
	struct submitter me = { .s = s, .leaf = SIZE_MAX };
	enum err err = ERR_OK;
	/* While it waits for others a connection would be missing. */
	db_release(c);
	if (await_turn(q, &me))
		err = write_for_all(c, q, &me);
	if (err == ERR_OK && me.by_itself) {
		group_unref(me.group);
		err = write_alone(c, &me);
	}
	return err == ERR_OK ? outcome_take(c, &me) : err;
}
