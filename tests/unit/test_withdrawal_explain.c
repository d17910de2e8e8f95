/* Withdrawals as single items are explained by: in agreement with what releases decide, before and after they are built. */
#include "world.h"

static const uint64_t reason_of[POOL_WITHDRAWAL_KIND_COUNT] = {
	[POOL_ERASE] = POLICY_REASON(ERASURE_PENDING), [POOL_WITHDRAW_FUTURE] = POLICY_REASON(CONSENT_WITHDRAWN), [POOL_EMBARGO] = POLICY_REASON(EMBARGO_UNTIL),
	[POOL_RESTRICT] = POLICY_REASON(RESTRICTED),
};

static void withdraw(struct world *w, enum pool_withdrawal_kind kind, int64_t item, instant until)
{
	struct pool_withdrawal what = { .id = uuid_new(), .kind = kind, .items = &item, .n = 1, .until = until };
	assert_ok(w->system, db_begin_in(w->system, w->coop, DB_WRITE));
	assert_ok(w->system, pool_withdraw(w->system, w->coop, &what));
	assert_ok(w->system, db_commit(w->system));
}

static struct decision explain(struct world *w, struct uuid item, struct uuid release)
{
	struct decision d;
	assert_ok(w->system, release_explain(w->system, w->coop, item, release, &d));
	return d;
}

static uint64_t reasons_in(const struct decision *d)
{
	uint64_t reasons = 0;
	for (size_t i = 0; i < d->n_lines; i++)
		reasons |= UINT64_C(1) << d->lines[i].no;
	return reasons;
}

/* One item for each kind, and one that nobody touches. */
static void fill(struct world *w, struct uuid items[POOL_WITHDRAWAL_KIND_COUNT + 1])
{
	world_make(w, NULL);
	for (int i = 0; i <= POOL_WITHDRAWAL_KIND_COUNT; i++) {
		world_say(w, i, "allow");
		items[i] = world_contribute(w, i, i == 0 ? "none" : i == 1 ? "one" : i == 2 ? "two" : i == 3 ? "three" : "four");
	}
}

static void the_next_release_is_explained_with_what_is_withdrawn(void **state)
{
	struct world w;
	struct uuid items[POOL_WITHDRAWAL_KIND_COUNT + 1], next = { { 0 } };
	struct preview preview;
	(void)state;
	fill(&w, items);
	instant until = WORLD_START + 40 * CLOCK_DAY;
	for (unsigned k = 0; k < POOL_WITHDRAWAL_KIND_COUNT; k++)
		withdraw(&w, (enum pool_withdrawal_kind)k, k, k == POOL_EMBARGO ? until : INSTANT_NONE);
	for (unsigned k = 0; k < POOL_WITHDRAWAL_KIND_COUNT; k++) {
		struct decision d = explain(&w, items[k], next);
		assert_int_equal(reasons_in(&d), reason_of[k]);
		assert_int_equal(d.outcome, policy_outcome_of(reason_of[k]));
		assert_int_equal(d.retry_at, k == POOL_EMBARGO ? until : INSTANT_NONE);
		assert_int_equal(d.n_fixes > 0, k == POOL_EMBARGO || k == POOL_RESTRICT);
	}
	assert_int_equal(explain(&w, items[POOL_WITHDRAWAL_KIND_COUNT], next).outcome, POLICY_INCLUDE);
	assert_ok(by(&w, 0), release_preview(by(&w, 0), w.coop, &preview));
	assert_int_equal(preview.included, 1);
	/* the same of an item that something was said about, which the engine knows of already */
	struct statement *out, about = { .layer = 1, .item = items[POOL_EMBARGO], .uses = 1u << POLICY_USE_TRAIN_GEN, .effect = STR("allow"), .valid_from = INSTANT_NONE, .valid_to = INSTANT_NONE };
	assert_ok(by(&w, POOL_EMBARGO), statement_make(by(&w, POOL_EMBARGO), w.coop, &about, 1, &out));
	struct decision spoken = explain(&w, items[POOL_EMBARGO], next);
	assert_int_equal(reasons_in(&spoken), reason_of[POOL_EMBARGO]);
	assert_int_equal(spoken.retry_at, until);
	clock_set(until);
	assert_int_equal(explain(&w, items[POOL_EMBARGO], next).outcome, POLICY_INCLUDE);
}

static void a_built_release_is_explained_as_it_was_built(void **state)
{
	struct world w;
	struct uuid items[POOL_WITHDRAWAL_KIND_COUNT + 1], next = { { 0 } };
	uint64_t stored;
	(void)state;
	fill(&w, items);
	struct uuid release = world_release(&w).id;
	world_until(&w, WORLD_CUTOFF);
	/* two while it is decided on, two when it is out */
	withdraw(&w, POOL_ERASE, POOL_ERASE, INSTANT_NONE);
	withdraw(&w, POOL_EMBARGO, POOL_EMBARGO, clock_now() + 60 * CLOCK_DAY);
	world_publish(&w, release);
	withdraw(&w, POOL_WITHDRAW_FUTURE, POOL_WITHDRAW_FUTURE, INSTANT_NONE);
	withdraw(&w, POOL_RESTRICT, POOL_RESTRICT, INSTANT_NONE);
	for (unsigned k = 0; k <= POOL_WITHDRAWAL_KIND_COUNT; k++) {
		bool out = k == POOL_ERASE || k == POOL_EMBARGO;
		enum policy_outcome outcome = world_outcome(&w, release, items[k], &stored);
		struct decision then = explain(&w, items[k], release), now = explain(&w, items[k], next);
		assert_int_equal(then.outcome, outcome);
		assert_int_equal(reasons_in(&then), stored);
		assert_int_equal(stored, out ? reason_of[k] : 0);
		assert_int_equal(reasons_in(&now), k < POOL_WITHDRAWAL_KIND_COUNT ? reason_of[k] : 0);
	}
	/* what purging took from the row is no reason that counted then */
	struct pool_purged purged;
	int64_t last = POOL_WITHDRAWAL_KIND_COUNT;
	assert_ok(w.system, db_begin_in(w.system, w.coop, DB_WRITE));
	assert_ok(w.system, pool_purge(w.system, w.coop, &last, 1, &purged));
	assert_ok(w.system, db_commit(w.system));
	struct decision then = explain(&w, items[last], release), now = explain(&w, items[last], next);
	assert_int_equal(reasons_in(&then), 0);
	assert_int_equal(then.outcome, POLICY_INCLUDE);
	assert_int_equal(reasons_in(&now) & POLICY_REASON(TOMBSTONED), POLICY_REASON(TOMBSTONED));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(the_next_release_is_explained_with_what_is_withdrawn),
		fixture_test(a_built_release_is_explained_as_it_was_built),
	};
	return fixture_run(tests, CH_LEN(tests));
}
