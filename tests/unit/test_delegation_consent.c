/* Delegated consent from a delegate's words to what a release holds (governance.md "Delegation" 1, policy.md layers and release life). */
#include "world.h"

#include "commonhold/delegation.h"
#include "commonhold/ledger.h"

#include <pthread.h>
#include <unistd.h>

#define NIL ((struct uuid){ { 0 } })

static const char deep[] = "{\"delegation\":{\"scopes\":[\"coop\",\"topic\",\"target\"],\"depth\":3,\"cap\":9,\"profile\":\"ch\"}}";

/* Member `from` lets `to` speak about uses; `uses` 0: all. */
static struct delegation entrust(struct world *w, int from, int to, uint16_t uses)
{
	struct delegation d;
	struct delegation_warning warning;
	struct delegation_draft in = { .question = POLICY_QUESTION_CONSENT, .scope = uses ? POLICY_SCOPE_TOPIC : POLICY_SCOPE_COOP, .topics = uses, .delegate_kind = DELEGATE_MEMBER,
		.delegate = w->id[to], .chosen_end = INSTANT_NONE };
	assert_ok(by(w, from), delegation_make(by(w, from), w->coop, &in, &d, &warning));
	assert_ok(by(w, to), delegation_accept(by(w, to), w->coop, d.id, &d));
	return d;
}

static void speak(struct world *w, int delegate, const char *effect)
{
	struct statement *out, in = { .layer = POLICY_LAYER_DELEGATE, .uses = 1u << POLICY_USE_TRAIN_GEN, .effect = str_of(effect),
		.duties = strcmp(effect, "allow_if") == 0 ? POLICY_BIT(POLICY_DUTY_CREDIT) : 0, .valid_from = INSTANT_NONE, .valid_to = INSTANT_NONE };
	assert_ok(by(w, delegate), statement_make_as_delegate(by(w, delegate), w->coop, &in, 1, &out));
}

/* Somebody whose item is in whatever happens, so that the release is not empty. */
static void always_one(struct world *w)
{
	world_say(w, 6, "allow");
	world_contribute(w, 6, "One that is always in");
}

static struct release frozen(struct world *w)
{
	struct release r = world_release(w);
	world_until(w, WORLD_CUTOFF);
	r = world_read(w, r.id);
	assert_int_equal(r.state, RELEASE_NOTICE);
	return r;
}

static void pass(struct world *w, const struct release *r)
{
	world_until(w, r->cutoff_at + 7 * CLOCK_DAY + CLOCK_HOUR);
	world_vote(w, r, 2, "for");
	world_until(w, r->cutoff_at + 9 * CLOCK_DAY + 2 * CLOCK_HOUR);
}

static enum policy_outcome published(struct world *w, const struct release *r, struct uuid item, uint64_t *reasons)
{
	world_until(w, r->cutoff_at + 10 * CLOCK_DAY + 3 * CLOCK_HOUR);
	assert_int_equal(world_read(w, r->id).state, RELEASE_PUBLISHED);
	return world_outcome(w, r->id, item, reasons);
}

static void a_delegates_yes_reaches_who_is_silent(void **state)
{
	struct world w;
	struct decision decision;
	(void)state;
	world_make(&w, deep);
	always_one(&w);
	world_say(&w, 3, NULL);
	struct uuid item = world_contribute(&w, 3, "Of a principal");
	assert_ok(by(&w, 3), release_explain(by(&w, 3), w.coop, item, (struct uuid){ { 0 } }, &decision));
	assert_int_equal(decision.outcome, POLICY_HOLD);
	entrust(&w, 3, 4, 0);
	speak(&w, 4, "allow");
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'delegation.act'"), 1);
	assert_ok(by(&w, 3), release_explain(by(&w, 3), w.coop, item, (struct uuid){ { 0 } }, &decision));
	assert_int_equal(decision.outcome, POLICY_INCLUDE);
	assert_int_equal(decision.n_delegates, 1); /* the explanation names who spoke */
	struct release r = frozen(&w);
	pass(&w, &r);
	assert_int_equal(published(&w, &r, item, NULL), POLICY_INCLUDE);
}

static void consent_itself_is_never_delegated(void **state)
{
	struct world w;
	struct decision decision;
	(void)state;
	world_make(&w, deep);
	struct uuid item = world_contribute(&w, 3, "Without consent");
	entrust(&w, 3, 4, 0);
	speak(&w, 4, "allow");
	assert_ok(by(&w, 3), release_explain(by(&w, 3), w.coop, item, (struct uuid){ { 0 } }, &decision));
	assert_int_equal(decision.outcome, POLICY_HOLD);
}

static void a_delegate_never_lifts_a_principals_no(void **state)
{
	struct world w;
	struct decision decision;
	(void)state;
	world_make(&w, deep);
	world_say(&w, 3, "deny");
	struct uuid item = world_contribute(&w, 3, "Denied by its author");
	entrust(&w, 3, 4, 0);
	clock_set(WORLD_START + CLOCK_DAY);
	speak(&w, 4, "allow");
	assert_ok(by(&w, 3), release_explain(by(&w, 3), w.coop, item, (struct uuid){ { 0 } }, &decision));
	assert_true(decision.outcome >= POLICY_HOLD);
}

static void a_delegate_may_tighten_a_principals_default(void **state)
{
	struct world w;
	struct decision decision;
	(void)state;
	world_make(&w, deep);
	world_say(&w, 3, "allow");
	struct uuid item = world_contribute(&w, 3, "Allowed by its author");
	entrust(&w, 3, 4, 0);
	clock_set(WORLD_START + CLOCK_DAY);
	speak(&w, 4, "deny");
	assert_ok(by(&w, 3), release_explain(by(&w, 3), w.coop, item, (struct uuid){ { 0 } }, &decision));
	assert_true(decision.outcome >= POLICY_HOLD);
	/* The member's own later act wins at once. */
	clock_set(WORLD_START + 2 * CLOCK_DAY);
	world_say(&w, 3, "allow");
	assert_ok(by(&w, 3), release_explain(by(&w, 3), w.coop, item, (struct uuid){ { 0 } }, &decision));
	assert_int_equal(decision.outcome, POLICY_INCLUDE);
}

static void a_delegate_speaks_inside_the_scope_only(void **state)
{
	struct world w;
	struct decision decision;
	(void)state;
	world_make(&w, deep);
	world_say(&w, 3, NULL);
	struct uuid item = world_contribute(&w, 3, "Entrusted for search alone");
	entrust(&w, 3, 4, POLICY_BIT(POLICY_USE_SEARCH));
	speak(&w, 4, "allow");
	assert_ok(by(&w, 3), release_explain(by(&w, 3), w.coop, item, (struct uuid){ { 0 } }, &decision));
	assert_int_equal(decision.outcome, POLICY_HOLD);
	/* `mine` covers training. */
	entrust(&w, 3, 4, POLICY_BIT(POLICY_USE_MINE));
	assert_ok(by(&w, 3), release_explain(by(&w, 3), w.coop, item, (struct uuid){ { 0 } }, &decision));
	assert_int_equal(decision.outcome, POLICY_INCLUDE);
}

static void a_delegates_denial_after_the_cut_off_is_honoured(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, deep);
	always_one(&w);
	world_say(&w, 3, NULL);
	struct uuid item = world_contribute(&w, 3, "Of a principal");
	entrust(&w, 3, 4, 0);
	speak(&w, 4, "allow");
	struct release r = frozen(&w);
	pass(&w, &r);
	assert_int_equal(world_read(&w, r.id).included, 2);
	speak(&w, 4, "deny");
	assert_true(published(&w, &r, item, NULL) >= POLICY_HOLD);
	assert_int_equal(world_read(&w, r.id).built_items, 1);
}

static void a_revoked_delegation_takes_its_yes_along(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, deep);
	always_one(&w);
	world_say(&w, 3, NULL);
	struct uuid item = world_contribute(&w, 3, "Of a principal");
	struct delegation d = entrust(&w, 3, 4, 0);
	speak(&w, 4, "allow");
	struct release r = frozen(&w);
	pass(&w, &r);
	assert_ok(by(&w, 3), delegation_revoke(by(&w, 3), w.coop, d.id, &d));
	assert_true(published(&w, &r, item, NULL) >= POLICY_HOLD);
	assert_int_equal(world_read(&w, r.id).built_items, 1);
}

static void a_delegate_who_leaves_takes_the_yes_along(void **state)
{
	struct world w;
	struct member m;
	(void)state;
	world_make(&w, deep);
	always_one(&w);
	world_say(&w, 3, NULL);
	struct uuid item = world_contribute(&w, 3, "Of a principal");
	entrust(&w, 3, 4, 0);
	speak(&w, 4, "allow");
	struct release r = frozen(&w);
	pass(&w, &r);
	assert_ok(by(&w, 4), member_leave(by(&w, 4), w.coop, &m));
	assert_true(published(&w, &r, item, NULL) >= POLICY_HOLD);
}

static void a_yes_or_a_delegation_after_the_cut_off_is_inert(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, deep);
	always_one(&w);
	world_say(&w, 3, NULL);
	world_say(&w, 5, NULL);
	struct uuid late_yes = world_contribute(&w, 3, "The delegate was silent"), late_edge = world_contribute(&w, 5, "The delegation came late");
	entrust(&w, 3, 4, 0);
	struct release r = frozen(&w);
	speak(&w, 4, "allow");
	entrust(&w, 5, 4, 0);
	pass(&w, &r);
	assert_true(published(&w, &r, late_yes, NULL) >= POLICY_HOLD);
	assert_true(world_outcome(&w, r.id, late_edge, NULL) >= POLICY_HOLD);
}

static void a_chain_reaches_as_far_as_the_charter_allows(void **state)
{
	struct world w;
	struct decision decision;
	(void)state;
	world_make(&w, deep);
	world_say(&w, 3, NULL);
	struct uuid item = world_contribute(&w, 3, "Through two hands");
	entrust(&w, 3, 4, 0);
	entrust(&w, 4, 5, 0);
	speak(&w, 5, "allow");
	assert_ok(by(&w, 3), release_explain(by(&w, 3), w.coop, item, (struct uuid){ { 0 } }, &decision));
	assert_int_equal(decision.outcome, POLICY_INCLUDE);
	assert_int_equal(decision.n_delegates, 2);
	/* Whoever is nearer and has spoken is the one who is heard. */
	speak(&w, 4, "deny");
	assert_ok(by(&w, 3), release_explain(by(&w, 3), w.coop, item, (struct uuid){ { 0 } }, &decision));
	assert_true(decision.outcome >= POLICY_HOLD);
}

static void delegations_are_part_of_the_snapshot(void **state)
{
	struct world w;
	struct decision before, after;
	(void)state;
	world_make(&w, deep);
	world_say(&w, 3, "allow");
	struct uuid item = world_contribute(&w, 3, "Seen twice");
	assert_ok(by(&w, 3), release_explain(by(&w, 3), w.coop, item, (struct uuid){ { 0 } }, &before));
	entrust(&w, 5, 4, 0);
	assert_ok(by(&w, 3), release_explain(by(&w, 3), w.coop, item, (struct uuid){ { 0 } }, &after));
	assert_memory_not_equal(before.snapshot.b, after.snapshot.b, 32);
}

static size_t board_says(struct world *w, int admin, const char *effect)
{
	size_t n;
	struct statement *out, in = { .uses = 1u << POLICY_USE_TRAIN_GEN, .effect = str_of(effect), .valid_from = INSTANT_NONE, .valid_to = INSTANT_NONE };
	assert_ok(by(w, admin), statement_say_for_board(by(w, admin), w->coop, &in, 1, &out, &n));
	return n;
}

static void the_board_speaks_once_the_charters_part_of_the_admins_say_the_same(void **state)
{
	struct world w;
	struct decision decision;
	struct delegation d;
	struct delegation_warning warning;
	(void)state;
	world_make(&w, deep);
	world_say(&w, 3, NULL);
	struct uuid item = world_contribute(&w, 3, "Left to the board");
	struct delegation_draft in = { .question = POLICY_QUESTION_CONSENT, .scope = POLICY_SCOPE_COOP, .delegate_kind = DELEGATE_BOARD, .chosen_end = INSTANT_NONE };
	assert_ok(by(&w, 3), delegation_make(by(&w, 3), w.coop, &in, &d, &warning));
	assert_int_equal(board_says(&w, 0, "allow"), 0); /* one of three */
	assert_int_equal(board_says(&w, 1, "deny"), 0);
	assert_ok(by(&w, 3), release_explain(by(&w, 3), w.coop, item, NIL, &decision));
	assert_int_equal(decision.outcome, POLICY_HOLD);
	assert_int_equal(board_says(&w, 2, "allow"), 1);
	assert_int_equal(board_says(&w, 2, "allow"), 0); /* said already */
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'delegation.act'"), 1);
	assert_ok(by(&w, 3), release_explain(by(&w, 3), w.coop, item, NIL, &decision));
	assert_int_equal(decision.outcome, POLICY_INCLUDE);
	assert_int_equal(decision.n_delegates, 1);
	assert_str(decision.delegates[0], "the board");
	/* Changed its mind: two of three now say no. */
	assert_int_equal(board_says(&w, 2, "deny"), 1);
	assert_ok(by(&w, 3), release_explain(by(&w, 3), w.coop, item, NIL, &decision));
	assert_true(decision.outcome >= POLICY_HOLD);
	/* What the board says is nobody's own word. */
	struct statement *out;
	size_t n;
	assert_ok(by(&w, 2), statement_list_as_delegate(by(&w, 2), w.coop, true, &out, &n));
	assert_int_equal(n, 0);
	assert_ok(by(&w, 3), statement_list_of_board(by(&w, 3), w.coop, &out, &n));
	assert_int_equal(n, 1);
	struct statement no = { .uses = 1, .effect = STR("deny"), .valid_from = INSTANT_NONE, .valid_to = INSTANT_NONE };
	assert_err(by(&w, 4), ERR_FORBIDDEN, statement_say_for_board(by(&w, 4), w.coop, &no, 1, &out, &n));
}

static struct str board_word(struct world *w)
{
	struct statement *out;
	size_t n;
	assert_ok(by(w, 3), statement_list_of_board(by(w, 3), w->coop, &out, &n));
	return n ? out[0].effect : STR("none");
}

static void a_yes_of_the_board_lasts_as_long_as_enough_admins_say_it(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, deep);
	assert_int_equal(board_says(&w, 0, "allow"), 0);
	assert_int_equal(board_says(&w, 1, "allow"), 1);
	assert_int_equal(board_says(&w, 1, "none"), 1); /* one of three is left */
	assert_true(str_is(board_word(&w), "none"));
	assert_int_equal(board_says(&w, 1, "deny"), 0);
	assert_int_equal(board_says(&w, 0, "deny"), 1);
	assert_int_equal(board_says(&w, 0, "none"), 0); /* a no goes by a resolution alone */
	assert_true(str_is(board_word(&w), "deny"));
}

static void two_halves_of_the_board_that_disagree_say_nothing(void **state)
{
	struct world w;
	struct member out;
	(void)state;
	world_make(&w, "{\"board\":{\"n\":1,\"d\":2,\"strict\":false}}");
	assert_ok(by(&w, 0), member_set_admin(by(&w, 0), w.coop, w.id[2], false, &out)); /* two are left */
	assert_int_equal(board_says(&w, 0, "allow"), 1);
	assert_int_equal(board_says(&w, 1, "deny"), 1);
	assert_true(str_is(board_word(&w), "none"));
	assert_int_equal(board_says(&w, 1, "deny"), 0);
	assert_int_equal(board_says(&w, 0, "allow"), 0);
	assert_true(str_is(board_word(&w), "none"));
}

struct building { struct call *call; struct uuid coop, release; enum err err; };

static void *build_run(void *arg)
{
	struct building *b = arg;
	b->err = release_build(b->call, b->coop, b->release);
	return NULL;
}

/* The build locks the co-op's log before it publishes: whoever has it first is heard, and the release is built again without the item. */
static void a_delegation_revoked_while_the_release_is_built_is_honoured(void **state)
{
	struct world w;
	pthread_t thread;
	(void)state;
	world_make(&w, deep);
	always_one(&w);
	world_say(&w, 3, NULL);
	struct uuid item = world_contribute(&w, 3, "Of a principal");
	struct delegation d = entrust(&w, 3, 4, 0);
	speak(&w, 4, "allow");
	struct release r = frozen(&w);
	pass(&w, &r);
	clock_set(r.cutoff_at + 10 * CLOCK_DAY + 3 * CLOCK_HOUR);
	struct building b = { .call = fixture_system(), .coop = w.coop, .release = r.id };
	assert_int_equal(pthread_create(&thread, NULL, build_run, &b), 0);
	while (fixture_int("SELECT count(*) FROM release WHERE state = 'cooling_off'") > 0)
		usleep(1000);
	struct call *c = by(&w, 3);
	assert_ok(c, db_begin_in(c, w.coop, DB_WRITE));
	assert_ok(c, membership_lock(c, w.coop));
	assert_ok(c, ledger_lock(c, w.coop));
	bool in_time = fixture_int("SELECT count(*) FROM release WHERE state = 'building'") == 1;
	assert_ok(c, delegation_revoke_inside(c, w.coop, w.id[3], d.id));
	assert_ok(c, db_commit(c));
	pthread_join(thread, NULL);
	assert_ok(b.call, b.err);
	assert_int_equal(world_read(&w, r.id).state, RELEASE_PUBLISHED);
	if (!in_time)
		skip(); /* a very fast build was published before */
	assert_true(world_outcome(&w, r.id, item, NULL) >= POLICY_HOLD);
	assert_int_equal(world_read(&w, r.id).built_items, 1);
}

static void a_delegate_speaks_about_uses_and_not_about_items(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, deep);
	struct uuid item = world_contribute(&w, 3, "Not the delegate's");
	struct statement *out, in = { .layer = POLICY_LAYER_DELEGATE, .item = item, .uses = 1, .effect = STR("deny"), .valid_from = INSTANT_NONE, .valid_to = INSTANT_NONE };
	assert_err(by(&w, 4), ERR_INVALID, statement_make_as_delegate(by(&w, 4), w.coop, &in, 1, &out));
	in.item = (struct uuid){ { 0 } };
	assert_err(by(&w, 4), ERR_INVALID, statement_make(by(&w, 4), w.coop, &in, 1, &out)); /* never mixed with one's own choices */
	error_clear(&w.person->error);
	speak(&w, 4, "deny");
	size_t n;
	assert_ok(by(&w, 4), statement_list_as_delegate(by(&w, 4), w.coop, true, &out, &n));
	assert_int_equal(n, 1);
	assert_ok(by(&w, 4), statement_list(by(&w, 4), w.coop, true, &out, &n));
	assert_int_equal(n, 0);
	speak(&w, 4, "none");
	assert_ok(by(&w, 4), statement_list_as_delegate(by(&w, 4), w.coop, true, &out, &n));
	assert_int_equal(n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(a_delegates_yes_reaches_who_is_silent), fixture_test(consent_itself_is_never_delegated), fixture_test(a_delegate_never_lifts_a_principals_no),
		fixture_test(a_delegate_may_tighten_a_principals_default), fixture_test(a_delegate_speaks_inside_the_scope_only),
		fixture_test(a_delegates_denial_after_the_cut_off_is_honoured), fixture_test(a_revoked_delegation_takes_its_yes_along),
		fixture_test(a_delegate_who_leaves_takes_the_yes_along), fixture_test(a_yes_or_a_delegation_after_the_cut_off_is_inert),
		fixture_test(a_chain_reaches_as_far_as_the_charter_allows), fixture_test(delegations_are_part_of_the_snapshot),
		fixture_test(the_board_speaks_once_the_charters_part_of_the_admins_say_the_same), fixture_test(a_yes_of_the_board_lasts_as_long_as_enough_admins_say_it),
		fixture_test(two_halves_of_the_board_that_disagree_say_nothing),
		fixture_test(a_delegation_revoked_while_the_release_is_built_is_honoured), fixture_test(a_delegate_speaks_about_uses_and_not_about_items),
	};
	return fixture_run(tests, CH_LEN(tests));
}
