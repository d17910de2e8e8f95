/* The race between publication and withdrawal: what is published after a withdrawal has committed never holds what was withdrawn (release.md "Deletion").
 *
 * Both append to the co-op's log in their own transactions, so the log says, long after, which of them was first. The first test runs the transaction that publishes, thousands of
 * times, while others withdraw, lift and withdraw again; the second builds and publishes whole releases meanwhile. */
#include "world.h"

#include "commonhold/ledger.h"

#include "server/release/release_internal.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define ITEMS 96
#define ROUNDS 2000
#define BUILDS 12
#define WITHDRAWERS 3
#define ACTS_MAX 60000

static atomic_bool over;

/* One act on one item, or one publication, with its place in the log. */
struct act { int64_t leaf; int item; bool withdraws; };
struct publication { int64_t leaf; uint8_t in[ITEMS]; };

struct worker {
	pthread_t thread;
	struct call *c;
	struct uuid coop, release;
	uint64_t state;            /* of its dice */
	int from, to;              /* items that are its own */
	struct act *acts;
	size_t n;
	struct publication *publications;
	size_t n_publications, rounds;
	bool held[ITEMS];          /* withdrawn by a withdrawal that can be lifted … */
	struct uuid id[ITEMS];     /* … this one */
	bool gone[ITEMS];          /* for good */
	enum err err;
};

static uint64_t dice(struct worker *w, uint64_t n)
{
	w->state = w->state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (w->state >> 33) % n;
}

static enum err append(struct worker *w, const char *type, int64_t *leaf)
{
	return ledger_append(w->c, w->coop, &(struct leaf){ .type = type, .data = STR("{}") }, leaf);
}

/* ---- Those who withdraw ---- */

static enum err lift(struct worker *w, int item, struct act *act)
{
	*act = (struct act){ .item = item };
	TRY(db_begin_in(w->c, w->coop, DB_WRITE));
	TRY(pool_withdrawal_lift(w->c, w->coop, w->id[item]));
	TRY(append(w, "test.lifted", &act->leaf));
	TRY(db_commit(w->c));
	w->held[item] = false;
	return ERR_OK;
}

static enum err withdraw(struct worker *w, int item, enum pool_withdrawal_kind kind, struct act *act)
{
	int64_t number = item;
	struct pool_withdrawal what = { .id = uuid_new(), .kind = kind, .items = &number, .n = 1, .until = kind == POOL_EMBARGO ? clock_now() + CLOCK_DAY : INSTANT_NONE };
	*act = (struct act){ .item = item, .withdraws = true };
	TRY(db_begin_in(w->c, w->coop, DB_WRITE));
	TRY(pool_withdraw(w->c, w->coop, &what));
	TRY(append(w, "test.withdrawn", &act->leaf));
	TRY(db_commit(w->c));
	w->id[item] = what.id;
	w->held[item] = kind == POOL_EMBARGO || kind == POOL_RESTRICT;
	w->gone[item] = !w->held[item];
	/* into the rows while others publish, for some */
	return w->gone[item] && dice(w, 2) ? pool_withdrawal_mark(w->c, w->coop, what.id) : ERR_OK;
}

static void *withdraw_on(void *arg)
{
	struct worker *w = arg;
	while (!atomic_load(&over) && w->err == ERR_OK && w->n < ACTS_MAX) {
		int item = w->from + (int)dice(w, (uint64_t)(w->to - w->from));
		if (w->gone[item])
			continue;
		enum pool_withdrawal_kind kind = dice(w, 40) ? (dice(w, 2) ? POOL_EMBARGO : POOL_RESTRICT) : (dice(w, 2) ? POOL_ERASE : POOL_WITHDRAW_FUTURE);
		/* one item of each is left for the end, so that there is something to publish */
		if (item == w->from && (kind == POOL_ERASE || kind == POOL_WITHDRAW_FUTURE))
			kind = POOL_RESTRICT;
		w->err = w->held[item] ? lift(w, item, &w->acts[w->n]) : withdraw(w, item, kind, &w->acts[w->n]);
		w->n++;
		db_release(w->c);
		arena_reset(w->c->arena);
	}
	return NULL;
}

/* ---- Who publishes ---- */

/* The transaction that publishes, with its locks in their order and its decision, and the leaf of what was decided in the place of the files. */
static enum err publish_once(struct worker *w, struct publication *p)
{
	struct call *c = w->c;
	struct release r;
	struct decided now;
	TRY(db_begin_in(c, w->coop, DB_WRITE));
	TRY(release_take(c, w->coop, w->release, &r));
	TRY(pool_lock(c, w->coop));
	TRY(ledger_lock(c, w->coop));
	TRY(decide_outcomes(c, w->coop, &r, r.cutoff_at, clock_now(), NULL, 0, &now));
	for (size_t i = 0; i < now.n && i < ITEMS; i++)
		p->in[i] = outcome_is_in(now.outcomes[i]);
	decided_release(&now);
	TRY(append(w, "test.published", &p->leaf));
	return db_commit(c);
}

static void *publish_on(void *arg)
{
	struct worker *w = arg;
	for (size_t round = 0; round < w->rounds && w->err == ERR_OK; round++) {
		w->err = publish_once(w, &w->publications[w->n_publications++]);
		if (round % 64 == 0 && w->err == ERR_OK)
			w->err = decide_pack(w->c, w->coop);
		db_release(w->c);
		arena_reset(w->c->arena);
	}
	atomic_store(&over, true);
	return NULL;
}

/* ---- What the log says ---- */

static int act_order(const void *a, const void *b)
{
	int64_t x = ((const struct act *)a)->leaf, y = ((const struct act *)b)->leaf;
	return (x > y) - (x < y);
}

static int publication_order(const void *a, const void *b)
{
	int64_t x = ((const struct publication *)a)->leaf, y = ((const struct publication *)b)->leaf;
	return (x > y) - (x < y);
}

/* Goes through the log once beside the publications, which are in its order: what is withdrawn at a publication's place is not in it, and, unless it was out at a freezing before,
 * what is not withdrawn is (`whole`). Gives how many items were held out. */
static int64_t assert_none_is_in(const struct worker *withdrawers, const struct publication *publications, size_t n, bool whole)
{
	struct act *acts = calloc(ACTS_MAX * WITHDRAWERS, sizeof(*acts));
	bool out[ITEMS] = { false };
	size_t n_acts = 0, next = 0;
	int64_t held = 0;
	assert_non_null(acts);
	for (int w = 0; w < WITHDRAWERS; w++)
		for (size_t i = 0; i < withdrawers[w].n; i++)
			acts[n_acts++] = withdrawers[w].acts[i];
	qsort(acts, n_acts, sizeof(*acts), act_order);
	for (size_t p = 0; p < n; p++) {
		for (; next < n_acts && acts[next].leaf < publications[p].leaf; next++)
			out[acts[next].item] = acts[next].withdraws;
		for (int i = 0; i < ITEMS; i++) {
			held += out[i];
			if (publications[p].in[i] == out[i] && (out[i] || whole))
				fail_msg("publication %zu, leaf %lld: item %d was %s and is %s", p, (long long)publications[p].leaf, i, out[i] ? "withdrawn" : "free", publications[p].in[i] ? "in" : "out");
		}
	}
	free(acts);
	return held;
}

static uint64_t fill(struct world *w, struct worker withdrawers[WITHDRAWERS])
{
	uint64_t seed = (uint64_t)clock_tick();
	char text[64];
	world_make(w, NULL);
	for (int i = 0; i < WORLD_MEMBERS; i++)
		world_say(w, i, "allow");
	for (int i = 0; i < ITEMS; i++) {
		snprintf(text, sizeof(text), "Item number %d of the race", i);
		world_contribute(w, i % WORLD_MEMBERS, text);
	}
	clock_set(WORLD_CUTOFF + CLOCK_HOUR);
	for (int i = 0; i < WITHDRAWERS; i++) {
		withdrawers[i] = (struct worker){ .c = fixture_system(), .coop = w->coop, .state = seed + (uint64_t)i, .from = i * ITEMS / WITHDRAWERS, .to = (i + 1) * ITEMS / WITHDRAWERS };
		withdrawers[i].acts = calloc(ACTS_MAX, sizeof(struct act));
		assert_non_null(withdrawers[i].acts);
	}
	atomic_store(&over, false);
	print_message("seed %llu\n", (unsigned long long)seed);
	return seed;
}

static void withdrawers_start(struct worker *w)
{
	for (int i = 0; i < WITHDRAWERS; i++)
		assert_int_equal(pthread_create(&w[i].thread, NULL, withdraw_on, &w[i]), 0);
}

static size_t withdrawers_end(struct worker *w)
{
	size_t n = 0;
	for (int i = 0; i < WITHDRAWERS; i++) {
		pthread_join(w[i].thread, NULL);
		assert_ok(w[i].c, w[i].err);
		n += w[i].n;
	}
	return n;
}

static void withdrawers_free(struct worker *w)
{
	for (int i = 0; i < WITHDRAWERS; i++)
		free(w[i].acts);
}

static void what_is_published_after_a_withdrawal_committed_never_holds_it(void **state)
{
	(void)state;
	struct world w;
	struct worker withdrawers[WITHDRAWERS];
	fill(&w, withdrawers);
	struct worker publisher = { .c = fixture_system(), .coop = w.coop, .release = world_release(&w).id, .rounds = ROUNDS };
	publisher.publications = calloc(ROUNDS, sizeof(struct publication));
	assert_non_null(publisher.publications);
	withdrawers_start(withdrawers);
	assert_int_equal(pthread_create(&publisher.thread, NULL, publish_on, &publisher), 0);
	pthread_join(publisher.thread, NULL);
	size_t acts = withdrawers_end(withdrawers);
	assert_ok(publisher.c, publisher.err);
	assert_int_equal(publisher.n_publications, ROUNDS);
	int64_t held = assert_none_is_in(withdrawers, publisher.publications, ROUNDS, true);
	print_message("%d publications among %zu withdrawals and liftings\n", ROUNDS, acts);
	assert_true(acts > 100 && held > 0);
	withdrawers_free(withdrawers);
	free(publisher.publications);
}

/* ---- Whole releases ---- */

/* Another release as if its ballot had passed, frozen as the first was. */
static struct uuid release_like(struct world *w, struct uuid first, int number)
{
	struct uuid id = uuid_new();
	struct call *c = w->system;
	fixture_sql(str_z(c->arena, str_fmt(c->arena,
		"INSERT INTO release (coop_id, id, charter, cutoff_at, state, state_at, spec, seed, frozen_at, candidates, included, contributors, candidates_sha256, ballot_id, build_after) "
		"SELECT coop_id, '%1$.*2$s', charter, cutoff_at + interval '%3$d milliseconds', 'cooling_off', state_at, spec, seed, frozen_at, candidates, 1, 1, candidates_sha256, ballot_id, frozen_at "
		"FROM release WHERE id = '%4$.*5$s'; "
		"INSERT INTO release_segment SELECT coop_id, '%1$.*2$s', stage, no, items, sets, codes FROM release_segment WHERE release_id = '%4$.*5$s' AND stage = 'frozen'",
		uuid_format(c->arena, id).p, 36, number + 1, uuid_format(c->arena, first).p, 36)));
	return id;
}

static void builds_and_withdrawals_at_once_publish_nothing_withdrawn(void **state)
{
	(void)state;
	struct world w;
	struct worker withdrawers[WITHDRAWERS];
	struct publication *publications = calloc(BUILDS, sizeof(*publications));
	struct uuid releases[BUILDS];
	size_t published = 0;
	assert_non_null(publications);
	fill(&w, withdrawers);
	struct uuid first = world_release(&w).id;
	world_until(&w, WORLD_CUTOFF + CLOCK_HOUR);
	for (int i = 0; i < BUILDS; i++)
		releases[i] = release_like(&w, first, i);
	withdrawers_start(withdrawers);
	for (int i = 0; i < BUILDS; i++) {
		struct call *c = fixture_system();
		enum err err = release_build(c, w.coop, releases[i]);
		/* Withdrawn more quickly than it can be built: tried again later, when it is quiet. */
		if (err != ERR_RETRY)
			assert_ok(c, err);
		fixture_end(c);
	}
	atomic_store(&over, true);
	size_t acts = withdrawers_end(withdrawers);
	for (int i = 0; i < BUILDS; i++) {
		struct release r = world_read(&w, releases[i]);
		policy_reasons *reasons;
		size_t n;
		if (r.state == RELEASE_BUILDING)
			assert_ok(w.system, release_build(w.system, w.coop, releases[i]));
		r = world_read(&w, releases[i]);
		if (r.state != RELEASE_PUBLISHED && r.state != RELEASE_SUPERSEDED)
			continue;
		struct publication *p = &publications[published++];
		p->leaf = fixture_int(str_z(w.system->arena, str_fmt(w.system->arena,
			"SELECT idx FROM log_leaf WHERE type = 'release.published' AND convert_from(entry, 'UTF8') LIKE '%%%.*s%%'", STR_ARG(uuid_format(w.system->arena, releases[i])))));
		assert_ok(w.system, db_begin_in(w.system, w.coop, DB_READ));
		assert_ok(w.system, decided_load(w.system, w.coop, releases[i], "built", &reasons, &n));
		assert_ok(w.system, db_commit(w.system));
		for (size_t k = 0; k < ITEMS; k++)
			p->in[k] = outcome_is_in((uint8_t)policy_outcome_of(reasons[k]));
	}
	qsort(publications, published, sizeof(*publications), publication_order);
	(void)assert_none_is_in(withdrawers, publications, published, false);
	print_message("%zu releases among %zu withdrawals and liftings\n", published, acts);
	assert_true(published > 0 && acts > 10);
	withdrawers_free(withdrawers);
	free(publications);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(what_is_published_after_a_withdrawal_committed_never_holds_it),
		fixture_test(builds_and_withdrawals_at_once_publish_nothing_withdrawn),
	};
	return fixture_run(tests, CH_LEN(tests));
}
