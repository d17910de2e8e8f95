/* Who decides for whom (governance.md "Delegation"): each rule a test. */
#include "world.h"

#include "commonhold/delegation.h"

#include <stdio.h>
#include <stdlib.h>

#define DEEP "{\"delegation\":{\"scopes\":[\"coop\",\"topic\",\"target\"],\"depth\":4,\"cap\":0,\"profile\":\"custom\"}}"
#define NIL ((struct uuid){ { 0 } })

static struct delegation_draft draft(const struct world *w, enum policy_question question, int delegate)
{
	return (struct delegation_draft){ .question = question, .scope = POLICY_SCOPE_COOP, .delegate_kind = DELEGATE_MEMBER, .delegate = w->id[delegate], .chosen_end = INSTANT_NONE };
}

static struct delegation make(struct world *w, int member, const struct delegation_draft *in)
{
	struct delegation d;
	struct delegation_warning warning;
	assert_ok(by(w, member), delegation_make(by(w, member), w->coop, in, &d, &warning));
	return d;
}

static struct delegation made(struct world *w, int member, enum policy_question question, int delegate)
{
	struct delegation_draft in = draft(w, question, delegate);
	return make(w, member, &in);
}

static struct delegation accepted(struct world *w, int member, enum policy_question question, int delegate)
{
	struct delegation d = made(w, member, question, delegate);
	assert_ok(by(w, delegate), delegation_accept(by(w, delegate), w->coop, d.id, &d));
	return d;
}

static void refused(struct world *w, int member, const struct delegation_draft *in, const char *reason)
{
	struct delegation d;
	struct delegation_warning warning;
	enum err e = delegation_make(by(w, member), w->coop, in, &d, &warning);
	assert_true(e == ERR_REFUSED || e == ERR_STATE);
	assert_string_equal(w->person->error.reason, reason);
	assert_true(w->person->error.message[0] != '\0');
	db_rollback(w->person);
	error_clear(&w->person->error);
}

static struct delegation_path who(struct world *w, int member, enum policy_question question, unsigned topic, struct uuid target, instant on)
{
	struct delegation_path path;
	assert_ok(by(w, member), delegation_who_on(by(w, member), w->coop, question, topic, target, on, &path));
	return path;
}

static enum policy_via via(struct world *w, int member)
{
	return who(w, member, POLICY_QUESTION_VOTE, POLICY_BALLOT_RELEASE, NIL, INSTANT_NONE).via;
}

static bool decides(struct world *w, int member, int decider)
{
	struct delegation_path path = who(w, member, POLICY_QUESTION_VOTE, POLICY_BALLOT_RELEASE, NIL, INSTANT_NONE);
	return path.via == POLICY_VIA_DECIDED && uuid_eq(path.decider, w->id[decider]);
}

static struct delegation read_as(struct world *w, int member, struct uuid id)
{
	struct delegation d;
	assert_ok(by(w, member), delegation_read(by(w, member), w->coop, id, &d));
	return d;
}

static int64_t notices(struct world *w, const char *kind, int member)
{
	return fixture_int(str_z(w->person->arena, str_fmt(w->person->arena, "SELECT count(*) FROM notice n JOIN membership m ON m.account_id = n.account_id AND m.coop_id = n.about_coop "
		"WHERE n.kind = '%s' AND m.id = '%.*s'", kind, STR_ARG(uuid_format(w->person->arena, w->id[member])))));
}

/* ---- Making and answering ---- */

static void a_delegation_counts_only_once_it_is_accepted(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	struct delegation d = made(&w, 3, POLICY_QUESTION_VOTE, 4);
	assert_int_equal(d.state, DELEGATION_ASKED);
	assert_int_equal(notices(&w, "delegation.asked", 4), 1);
	assert_int_equal(via(&w, 3), POLICY_VIA_NONE);
	assert_int_equal(who(&w, 3, POLICY_QUESTION_VOTE, 0, NIL, INSTANT_NONE).dropped, POLICY_VIA_UNACCEPTED);
	assert_err(by(&w, 5), ERR_NOT_FOUND, delegation_accept(by(&w, 5), w.coop, d.id, &d));
	assert_ok(by(&w, 4), delegation_accept(by(&w, 4), w.coop, d.id, &d));
	assert_true(d.counts);
	assert_int_equal(notices(&w, "delegation.accepted", 3), 1);
	assert_true(decides(&w, 3, 4));
	assert_int_equal(fixture_int("SELECT count(*) FROM delegation_event"), 2);
}

static void votes_and_consent_are_two_questions(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	accepted(&w, 3, POLICY_QUESTION_CONSENT, 4);
	assert_int_equal(via(&w, 3), POLICY_VIA_NONE);
	struct delegation_path path = who(&w, 3, POLICY_QUESTION_CONSENT, POLICY_USE_TRAIN_GEN, NIL, INSTANT_NONE);
	assert_int_equal(path.via, POLICY_VIA_SILENT); /* has said nothing as a delegate yet */
	assert_int_equal(path.n_steps, 1);
}

static void who_declines_does_not_decide(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	struct delegation d = made(&w, 3, POLICY_QUESTION_VOTE, 4);
	assert_ok(by(&w, 4), delegation_decline(by(&w, 4), w.coop, d.id, STR("No time"), &d));
	assert_int_equal(d.state, DELEGATION_DECLINED);
	assert_int_equal(notices(&w, "delegation.declined", 3), 1);
	assert_err(by(&w, 4), ERR_STATE, delegation_accept(by(&w, 4), w.coop, d.id, &d));
	assert_int_equal(via(&w, 3), POLICY_VIA_NONE);
}

static void a_delegate_may_lay_it_down(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	struct delegation d = accepted(&w, 3, POLICY_QUESTION_VOTE, 4);
	assert_ok(by(&w, 4), delegation_decline(by(&w, 4), w.coop, d.id, STR_NONE, &d));
	assert_int_equal(d.state, DELEGATION_ENDED);
	assert_str(d.ended_because, "resigned");
	assert_int_equal(notices(&w, "delegation.ended", 3), 1);
	assert_int_equal(via(&w, 3), POLICY_VIA_NONE);
}

static void revoking_takes_effect_at_once(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	struct delegation d = accepted(&w, 3, POLICY_QUESTION_VOTE, 4);
	assert_err(by(&w, 4), ERR_NOT_FOUND, delegation_revoke(by(&w, 4), w.coop, d.id, &d));
	assert_ok(by(&w, 3), delegation_revoke(by(&w, 3), w.coop, d.id, &d));
	assert_int_equal(d.state, DELEGATION_REVOKED);
	assert_int_equal(via(&w, 3), POLICY_VIA_NONE);
	assert_int_equal(who(&w, 3, POLICY_QUESTION_VOTE, 0, NIL, INSTANT_NONE).dropped, POLICY_VIA_REVOKED);
	assert_int_equal(notices(&w, "delegation.revoked", 4), 1);
	assert_err(by(&w, 3), ERR_STATE, delegation_revoke(by(&w, 3), w.coop, d.id, &d));
}

static void delegating_the_same_again_is_a_new_version(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	struct delegation first = accepted(&w, 3, POLICY_QUESTION_VOTE, 4), second = made(&w, 3, POLICY_QUESTION_VOTE, 5);
	assert_true(uuid_eq(second.first, first.id));
	first = read_as(&w, 3, first.id);
	assert_int_equal(first.state, DELEGATION_REVOKED);
	assert_str(first.ended_because, "replaced");
	assert_int_equal(notices(&w, "delegation.revoked", 4), 1);
	assert_int_equal(via(&w, 3), POLICY_VIA_NONE); /* the old one ended at once, the new one is not accepted yet */
	assert_ok(by(&w, 5), delegation_accept(by(&w, 5), w.coop, second.id, &second));
	assert_true(decides(&w, 3, 5));
	/* The same delegate again, with another end, has accepted already. */
	struct delegation_draft in = draft(&w, POLICY_QUESTION_VOTE, 5);
	in.chosen_end = clock_now() + 10 * CLOCK_DAY;
	struct delegation third = make(&w, 3, &in);
	assert_int_equal(third.state, DELEGATION_STANDING);
	assert_int_equal(third.ends, in.chosen_end);
	struct delegation *mine;
	size_t n;
	assert_ok(by(&w, 3), delegation_list_mine(by(&w, 3), w.coop, false, &mine, &n));
	assert_int_equal(n, 1);
	assert_ok(by(&w, 3), delegation_list_mine(by(&w, 3), w.coop, true, &mine, &n));
	assert_int_equal(n, 3);
}

/* ---- Bad input ---- */

static void nobody_delegates_to_oneself_a_stranger_or_someone_who_left(void **state)
{
	struct world w;
	struct member m;
	(void)state;
	world_make(&w, NULL);
	struct delegation_draft in = draft(&w, POLICY_QUESTION_VOTE, 3);
	refused(&w, 3, &in, "delegation_self");
	in.delegate = uuid_new();
	refused(&w, 3, &in, "delegation_stranger");
	assert_ok(by(&w, 7), member_leave(by(&w, 7), w.coop, &m));
	in.delegate = w.id[7];
	refused(&w, 3, &in, "delegation_left");
}

static void scopes_topics_targets_and_ends_are_checked(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, "{\"delegation\":{\"scopes\":[\"topic\",\"target\"],\"depth\":1,\"cap\":2,\"profile\":\"de\"}}");
	struct delegation_draft in = draft(&w, POLICY_QUESTION_VOTE, 4);
	refused(&w, 3, &in, "delegation_scope");
	in.scope = POLICY_SCOPE_TOPIC;
	refused(&w, 3, &in, "delegation_topic");
	in.topics = 1u << POLICY_BALLOT_COUNT;
	refused(&w, 3, &in, "delegation_topic");
	in.topics = 1u << POLICY_BALLOT_CHARTER;
	in.chosen_end = clock_now();
	refused(&w, 3, &in, "delegation_end");
	in.chosen_end = INSTANT_NONE;
	in.target = uuid_new();
	refused(&w, 3, &in, "delegation_target");
	in.scope = POLICY_SCOPE_TARGET;
	in.topics = 0;
	refused(&w, 3, &in, "delegation_target");
	in.question = POLICY_QUESTION_CONSENT;
	in.target = world_release(&w).id;
	assert_int_equal(make(&w, 3, &in).scope, POLICY_SCOPE_TARGET);
	in.question = POLICY_QUESTION_VOTE; /* a release is no ballot */
	refused(&w, 3, &in, "delegation_target");
}

static void a_direct_delegation_over_the_cap_is_refused_at_acceptance(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, "{\"delegation\":{\"scopes\":[\"coop\",\"topic\"],\"depth\":1,\"cap\":2,\"profile\":\"de\"}}");
	accepted(&w, 3, POLICY_QUESTION_VOTE, 7);
	accepted(&w, 4, POLICY_QUESTION_VOTE, 7);
	struct delegation_draft in = draft(&w, POLICY_QUESTION_VOTE, 7);
	struct delegation d;
	struct delegation_warning warning;
	assert_ok(by(&w, 5), delegation_make(by(&w, 5), w.coop, &in, &d, &warning));
	assert_true(warning.full);
	assert_err(by(&w, 7), ERR_REFUSED, delegation_accept(by(&w, 7), w.coop, d.id, &d));
	assert_string_equal(w.person->error.reason, "delegation_cap");
	error_clear(&w.person->error);
	/* The other question has a cap of its own, and a second matter of somebody who is represented already does not count twice. */
	accepted(&w, 5, POLICY_QUESTION_CONSENT, 7);
	in.scope = POLICY_SCOPE_TOPIC;
	in.topics = 1u << POLICY_BALLOT_ADMIN;
	d = make(&w, 3, &in);
	assert_ok(by(&w, 7), delegation_accept(by(&w, 7), w.coop, d.id, &d));
}

static void transitive_overflow_is_cut_in_the_order_of_acceptance(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, "{\"delegation\":{\"scopes\":[\"coop\"],\"depth\":2,\"cap\":2,\"profile\":\"de\"}}");
	accepted(&w, 3, POLICY_QUESTION_VOTE, 4);
	clock_set(WORLD_START + CLOCK_HOUR);
	accepted(&w, 4, POLICY_QUESTION_VOTE, 5);
	clock_set(WORLD_START + 2 * CLOCK_HOUR);
	accepted(&w, 6, POLICY_QUESTION_VOTE, 4); /* within the cap of member 4, but the third that member 5 would decide for */
	assert_true(decides(&w, 3, 5));
	assert_true(decides(&w, 4, 5));
	assert_int_equal(via(&w, 6), POLICY_VIA_CAP);
}

/* ---- Who decides ---- */

static void the_most_specific_delegation_decides(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	accepted(&w, 3, POLICY_QUESTION_VOTE, 4);
	struct delegation_draft in = draft(&w, POLICY_QUESTION_VOTE, 5);
	in.scope = POLICY_SCOPE_TOPIC;
	in.topics = 1u << POLICY_BALLOT_RELEASE;
	struct delegation d = make(&w, 3, &in);
	assert_ok(by(&w, 5), delegation_accept(by(&w, 5), w.coop, d.id, &d));
	assert_true(decides(&w, 3, 5));
	struct delegation_path path = who(&w, 3, POLICY_QUESTION_VOTE, POLICY_BALLOT_CHARTER, NIL, INSTANT_NONE);
	assert_true(uuid_eq(path.decider, w.id[4]));
}

static void nobody_hides_broader_delegations(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	accepted(&w, 3, POLICY_QUESTION_VOTE, 4);
	struct delegation_draft in = draft(&w, POLICY_QUESTION_VOTE, 4);
	in.scope = POLICY_SCOPE_TOPIC;
	in.topics = 1u << POLICY_BALLOT_RELEASE;
	in.delegate_kind = DELEGATE_NOBODY;
	struct delegation d = make(&w, 3, &in);
	assert_int_equal(d.state, DELEGATION_STANDING);
	assert_int_equal(via(&w, 3), POLICY_VIA_NOBODY);
	assert_true(uuid_eq(who(&w, 3, POLICY_QUESTION_VOTE, POLICY_BALLOT_CHARTER, NIL, INSTANT_NONE).decider, w.id[4]));
}

static void the_board_needs_no_acceptance(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	struct delegation_draft in = draft(&w, POLICY_QUESTION_VOTE, 4);
	in.delegate_kind = DELEGATE_BOARD;
	assert_true(make(&w, 3, &in).counts);
	struct delegation_path path = who(&w, 3, POLICY_QUESTION_VOTE, 0, NIL, INSTANT_NONE);
	assert_int_equal(path.via, POLICY_VIA_DECIDED);
	assert_true(uuid_is_nil(path.decider));
	assert_int_equal(path.n_steps, 1);
}

static void a_chain_longer_than_the_charter_decides_nothing(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	accepted(&w, 4, POLICY_QUESTION_VOTE, 5);
	struct delegation_draft in = draft(&w, POLICY_QUESTION_VOTE, 4);
	struct delegation d;
	struct delegation_warning warning;
	assert_ok(by(&w, 3), delegation_make(by(&w, 3), w.coop, &in, &d, &warning));
	assert_true(warning.deep);
	assert_false(warning.cycle);
	assert_ok(by(&w, 4), delegation_accept(by(&w, 4), w.coop, d.id, &d));
	assert_int_equal(via(&w, 3), POLICY_VIA_DEPTH);
	assert_true(decides(&w, 4, 5));
}

static void a_deeper_charter_lets_chains_decide(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, DEEP);
	accepted(&w, 4, POLICY_QUESTION_VOTE, 5);
	accepted(&w, 3, POLICY_QUESTION_VOTE, 4);
	assert_true(decides(&w, 3, 5));
	struct delegation_path path = who(&w, 3, POLICY_QUESTION_VOTE, 0, NIL, INSTANT_NONE);
	assert_int_equal(path.n_steps, 2);
	assert_true(uuid_eq(path.steps[0].member, w.id[4]));
	assert_true(uuid_eq(path.steps[1].member, w.id[5]));
}

static void a_circle_is_warned_of_and_decides_nothing(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, DEEP);
	accepted(&w, 3, POLICY_QUESTION_VOTE, 4);
	accepted(&w, 4, POLICY_QUESTION_VOTE, 5);
	struct delegation_draft in = draft(&w, POLICY_QUESTION_VOTE, 3);
	struct delegation d;
	struct delegation_warning warning;
	assert_ok(by(&w, 5), delegation_make(by(&w, 5), w.coop, &in, &d, &warning));
	assert_true(warning.cycle);
	assert_ok(by(&w, 3), delegation_accept(by(&w, 3), w.coop, d.id, &d));
	for (int i = 3; i <= 5; i++)
		assert_int_equal(via(&w, i), POLICY_VIA_CYCLE);
}

/* ---- Time and memberships ---- */

static void validity_is_half_open_and_ends_with_the_checkup_at_the_latest(void **state)
{
	struct world w;
	struct member me;
	(void)state;
	world_make(&w, NULL);
	assert_ok(by(&w, 3), member_mine_in(by(&w, 3), w.coop, &me));
	struct delegation d = accepted(&w, 3, POLICY_QUESTION_VOTE, 4);
	assert_int_equal(d.ends, me.due_at);
	struct delegation_draft in = draft(&w, POLICY_QUESTION_VOTE, 4);
	in.chosen_end = WORLD_START + 5 * CLOCK_DAY;
	d = make(&w, 3, &in);
	assert_int_equal(d.ends, in.chosen_end);
	clock_set(in.chosen_end - 1);
	assert_true(decides(&w, 3, 4));
	clock_set(in.chosen_end);
	assert_int_equal(via(&w, 3), POLICY_VIA_NONE);
	int64_t ended;
	assert_ok(w.system, delegation_daily(w.system, w.coop, &ended));
	assert_int_equal(ended, 1);
	d = read_as(&w, 3, d.id);
	assert_int_equal(d.state, DELEGATION_ENDED);
	assert_str(d.ended_because, "expired");
	assert_int_equal(notices(&w, "delegation.ended", 3), 1);
	assert_int_equal(notices(&w, "delegation.ended", 4), 1);
	assert_ok(w.system, delegation_daily(w.system, w.coop, &ended));
	assert_int_equal(ended, 0);
}

static void who_leaves_ends_all_delegations_to_and_from_them(void **state)
{
	struct world w;
	struct member m;
	(void)state;
	world_make(&w, NULL);
	struct delegation to = accepted(&w, 3, POLICY_QUESTION_VOTE, 5), from = accepted(&w, 5, POLICY_QUESTION_CONSENT, 4), asked = made(&w, 6, POLICY_QUESTION_VOTE, 5);
	assert_ok(by(&w, 5), member_leave(by(&w, 5), w.coop, &m));
	to = read_as(&w, 3, to.id);
	assert_int_equal(to.state, DELEGATION_ENDED);
	assert_str(to.ended_because, "left");
	assert_int_equal(read_as(&w, 4, from.id).state, DELEGATION_ENDED);
	assert_int_equal(read_as(&w, 6, asked.id).state, DELEGATION_ENDED);
	assert_int_equal(notices(&w, "delegation.ended", 3), 1);
	assert_int_equal(notices(&w, "delegation.ended", 4), 1);
	assert_int_equal(notices(&w, "delegation.ended", 6), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM delegation_event WHERE kind = 'ended' AND reason = 'left'"), 3);
}

static void a_cut_chain_is_told_to_its_principal(void **state)
{
	struct world w;
	struct member m;
	(void)state;
	world_make(&w, DEEP);
	accepted(&w, 3, POLICY_QUESTION_VOTE, 4);
	accepted(&w, 4, POLICY_QUESTION_VOTE, 5);
	accepted(&w, 5, POLICY_QUESTION_VOTE, 6);
	assert_true(decides(&w, 3, 6));
	assert_ok(by(&w, 6), member_leave(by(&w, 6), w.coop, &m));
	assert_int_equal(notices(&w, "delegation.ended", 5), 1);
	assert_int_equal(notices(&w, "delegation.cut", 4), 1);
	assert_int_equal(notices(&w, "delegation.cut", 3), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM delegation_event WHERE kind = 'cut'"), 2);
	assert_true(decides(&w, 3, 5));
}

static void an_overdue_checkup_rests_delegations_until_they_are_confirmed(void **state)
{
	struct world w;
	struct member me;
	struct uuid now;
	int64_t steps;
	(void)state;
	world_make(&w, NULL);
	struct delegation d = accepted(&w, 3, POLICY_QUESTION_VOTE, 4);
	instant due = d.ends;
	clock_set(due);
	assert_int_equal(via(&w, 3), POLICY_VIA_NONE); /* whether or not the daily job has run */
	assert_ok(w.system, membership_daily(w.system, w.coop, &steps));
	assert_int_equal(read_as(&w, 3, d.id).state, DELEGATION_SUSPENDED);
	struct delegation_draft in = draft(&w, POLICY_QUESTION_VOTE, 5);
	refused(&w, 3, &in, "delegation_checkup");
	clock_set(due + 3 * CLOCK_DAY);
	struct call *c = by(&w, 3);
	assert_ok(c, db_begin_in(c, w.coop, DB_WRITE));
	assert_ok(c, membership_renew(c, w.coop, &me));
	assert_ok(c, db_commit(c));
	assert_int_equal(via(&w, 3), POLICY_VIA_NONE); /* renewing the membership does not renew the delegation */
	assert_ok(c, db_begin_in(c, w.coop, DB_WRITE));
	assert_ok(c, membership_lock(c, w.coop));
	assert_ok(c, delegation_confirm(c, w.coop, me.id, d.id, &now));
	assert_ok(c, db_commit(c));
	assert_false(uuid_eq(now, d.id));
	assert_true(decides(&w, 3, 4));
	assert_int_equal(read_as(&w, 3, now).ends, me.due_at);
	/* The gap stays a gap. */
	assert_int_equal(who(&w, 3, POLICY_QUESTION_VOTE, 0, NIL, due + CLOCK_DAY).via, POLICY_VIA_NONE);
	assert_int_equal(who(&w, 3, POLICY_QUESTION_VOTE, 0, NIL, due - CLOCK_DAY).via, POLICY_VIA_DECIDED);
}

static void confirming_in_time_prolongs_the_same_version(void **state)
{
	struct world w;
	struct member me;
	struct uuid now;
	int64_t steps;
	(void)state;
	world_make(&w, NULL);
	struct delegation d = accepted(&w, 3, POLICY_QUESTION_VOTE, 4);
	clock_set(d.ends - 5 * CLOCK_DAY);
	assert_ok(w.system, membership_daily(w.system, w.coop, &steps));
	struct call *c = by(&w, 3);
	assert_ok(c, db_begin_in(c, w.coop, DB_WRITE));
	assert_ok(c, membership_renew(c, w.coop, &me));
	assert_ok(c, delegation_confirm(c, w.coop, me.id, d.id, &now));
	assert_ok(c, db_commit(c));
	assert_true(uuid_eq(now, d.id));
	assert_int_equal(read_as(&w, 3, d.id).ends, me.due_at);
	clock_set(d.ends + CLOCK_DAY);
	assert_true(decides(&w, 3, 4));
}

static void a_lapsed_delegate_decides_for_nobody(void **state)
{
	struct world w;
	int64_t steps;
	(void)state;
	world_make(&w, NULL);
	struct delegation d = accepted(&w, 0, POLICY_QUESTION_VOTE, 4), own = accepted(&w, 4, POLICY_QUESTION_CONSENT, 5);
	clock_set(d.ends + 31 * CLOCK_DAY);
	assert_ok(w.system, membership_daily(w.system, w.coop, &steps));
	d = read_as(&w, 0, d.id);
	assert_int_equal(d.state, DELEGATION_ENDED);
	assert_str(d.ended_because, "lapsed");
	assert_true(read_as(&w, 4, own.id).state == DELEGATION_SUSPENDED || read_as(&w, 4, own.id).state == DELEGATION_ENDED);
}

static void who_decided_on_a_day_is_read_from_what_stood_then(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	clock_set(WORLD_START + CLOCK_DAY);
	struct delegation d = accepted(&w, 3, POLICY_QUESTION_VOTE, 4);
	clock_set(WORLD_START + 3 * CLOCK_DAY);
	assert_ok(by(&w, 3), delegation_revoke(by(&w, 3), w.coop, d.id, &d));
	clock_set(WORLD_START + 5 * CLOCK_DAY);
	accepted(&w, 3, POLICY_QUESTION_VOTE, 5);
	struct delegation_path path = who(&w, 3, POLICY_QUESTION_VOTE, 0, NIL, WORLD_START + 2 * CLOCK_DAY);
	assert_int_equal(path.via, POLICY_VIA_DECIDED);
	assert_true(uuid_eq(path.decider, w.id[4]));
	assert_int_equal(path.n_steps, 1);
	assert_int_equal(who(&w, 3, POLICY_QUESTION_VOTE, 0, NIL, WORLD_START + CLOCK_DAY - 1).via, POLICY_VIA_NONE);
	assert_int_equal(who(&w, 3, POLICY_QUESTION_VOTE, 0, NIL, WORLD_START + 4 * CLOCK_DAY).via, POLICY_VIA_NONE);
	assert_true(decides(&w, 3, 5));
}

/* ---- Ballots ---- */

static struct uuid proposed(struct world *w, const char *visibility)
{
	struct call *c = w->system;
	const struct json *rule;
	struct uuid id;
	assert_ok(c, json_parse(c->arena, STR("{\"rule\":\"majority\"}"), &rule, &c->error));
	struct ballot_draft in = { .kind = "toggle", .subject = uuid_new(), .digest = sha256(STR("what is decided")), .title = STR("A question"), .question = STR("Shall it be?"),
		.rule = rule, .charter = 1, .visibility = str_of(visibility), .opens_at = clock_now(), .closes_at = clock_now() + CLOCK_DAY };
	assert_ok(c, db_begin_in(c, w->coop, DB_WRITE));
	assert_ok(c, ballot_create(c, w->coop, &in, &id));
	assert_ok(c, db_commit(c));
	assert_ok(c, ballot_advance(c, w->coop, id));
	return id;
}

static void votes(struct world *w, int member, struct uuid ballot, const char *choice)
{
	struct ballot b;
	assert_ok(by(w, member), ballot_cast_vote(by(w, member), w->coop, ballot, str_of(choice), &b));
}

static void an_own_vote_goes_before_the_delegate_and_taking_it_back_brings_them_back(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	accepted(&w, 3, POLICY_QUESTION_VOTE, 4);
	struct uuid ballot = proposed(&w, "open");
	assert_int_equal(who(&w, 3, POLICY_QUESTION_VOTE, 0, ballot, INSTANT_NONE).via, POLICY_VIA_SILENT);
	votes(&w, 4, ballot, "for");
	assert_int_equal(who(&w, 3, POLICY_QUESTION_VOTE, 0, ballot, INSTANT_NONE).via, POLICY_VIA_DECIDED);
	votes(&w, 3, ballot, "against");
	assert_int_equal(who(&w, 3, POLICY_QUESTION_VOTE, 0, ballot, INSTANT_NONE).via, POLICY_VIA_OWN);
	votes(&w, 3, ballot, "none");
	assert_int_equal(who(&w, 3, POLICY_QUESTION_VOTE, 0, ballot, INSTANT_NONE).via, POLICY_VIA_DECIDED);
	votes(&w, 4, ballot, "none");
	assert_int_equal(who(&w, 3, POLICY_QUESTION_VOTE, 0, ballot, INSTANT_NONE).via, POLICY_VIA_SILENT);
}

static void a_closed_ballot_does_not_tell_who_has_voted(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	accepted(&w, 3, POLICY_QUESTION_VOTE, 4);
	struct uuid ballot = proposed(&w, "closed");
	struct delegation_path before = who(&w, 3, POLICY_QUESTION_VOTE, 0, ballot, INSTANT_NONE);
	votes(&w, 4, ballot, "for");
	struct delegation_path after = who(&w, 3, POLICY_QUESTION_VOTE, 0, ballot, INSTANT_NONE);
	assert_int_equal(before.via, after.via);
	assert_true(str_eq(before.why, after.why));
	clock_set(WORLD_START + CLOCK_HOUR);
	assert_int_equal(who(&w, 3, POLICY_QUESTION_VOTE, 0, ballot, WORLD_START + CLOCK_MINUTE).via, before.via);
}

static void a_ballot_that_is_over_is_read_as_it_was_stored(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	struct delegation d = accepted(&w, 3, POLICY_QUESTION_VOTE, 4);
	struct uuid ballot = proposed(&w, "closed");
	votes(&w, 4, ballot, "for");
	clock_set(WORLD_START + CLOCK_DAY + CLOCK_HOUR);
	assert_ok(w.system, ballot_advance(w.system, w.coop, ballot));
	assert_ok(by(&w, 3), delegation_revoke(by(&w, 3), w.coop, d.id, &d)); /* too late for that one */
	struct delegation_path path = who(&w, 3, POLICY_QUESTION_VOTE, 0, ballot, INSTANT_NONE);
	assert_int_equal(path.via, POLICY_VIA_DECIDED);
	assert_true(uuid_eq(path.decider, w.id[4]));
	assert_int_equal(path.n_steps, 1);
	assert_true(uuid_eq(path.steps[0].by.id, d.id));
	assert_int_equal(who(&w, 4, POLICY_QUESTION_VOTE, 0, ballot, INSTANT_NONE).via, POLICY_VIA_OWN);
	assert_int_equal(who(&w, 5, POLICY_QUESTION_VOTE, 0, ballot, INSTANT_NONE).via, POLICY_VIA_NONE);
}

static void a_revocation_counts_for_an_open_ballot(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	struct delegation d = accepted(&w, 3, POLICY_QUESTION_VOTE, 4);
	struct uuid ballot = proposed(&w, "open");
	votes(&w, 4, ballot, "for");
	assert_ok(by(&w, 3), delegation_revoke(by(&w, 3), w.coop, d.id, &d));
	clock_set(WORLD_START + CLOCK_DAY + CLOCK_HOUR);
	assert_ok(w.system, ballot_advance(w.system, w.coop, ballot));
	assert_int_equal(who(&w, 3, POLICY_QUESTION_VOTE, 0, ballot, INSTANT_NONE).via, POLICY_VIA_NONE);
	assert_int_equal(who(&w, 3, POLICY_QUESTION_VOTE, 0, ballot, INSTANT_NONE).dropped, POLICY_VIA_REVOKED);
}

static void a_delegation_for_one_ballot_ends_with_it(void **state)
{
	struct world w;
	int64_t ended;
	(void)state;
	world_make(&w, NULL);
	struct uuid ballot = proposed(&w, "open");
	struct delegation_draft in = draft(&w, POLICY_QUESTION_VOTE, 4);
	in.scope = POLICY_SCOPE_TARGET;
	in.target = ballot;
	struct delegation d = make(&w, 3, &in);
	assert_str(d.target_title, "A question");
	assert_ok(by(&w, 4), delegation_accept(by(&w, 4), w.coop, d.id, &d));
	assert_int_equal(via(&w, 3), POLICY_VIA_NONE);
	votes(&w, 4, ballot, "for");
	assert_int_equal(who(&w, 3, POLICY_QUESTION_VOTE, 0, ballot, INSTANT_NONE).via, POLICY_VIA_DECIDED);
	clock_set(WORLD_START + CLOCK_DAY + CLOCK_HOUR);
	assert_ok(w.system, ballot_advance(w.system, w.coop, ballot));
	assert_ok(w.system, delegation_daily(w.system, w.coop, &ended));
	assert_int_equal(ended, 1);
	assert_str(read_as(&w, 3, d.id).ended_because, "over");
	refused(&w, 3, &in, "delegation_target");
}

/* ---- Preview and report ---- */

static void a_preview_says_what_revoking_would_change(void **state)
{
	struct world w;
	struct delegation_preview preview;
	(void)state;
	world_make(&w, NULL);
	struct delegation broad = accepted(&w, 3, POLICY_QUESTION_VOTE, 4);
	struct delegation_draft in = draft(&w, POLICY_QUESTION_VOTE, 5);
	in.scope = POLICY_SCOPE_TOPIC;
	in.topics = 1u << POLICY_BALLOT_RELEASE;
	struct delegation d = make(&w, 3, &in);
	assert_ok(by(&w, 5), delegation_accept(by(&w, 5), w.coop, d.id, &d));
	assert_ok(by(&w, 3), delegation_preview(by(&w, 3), w.coop, d.id, &preview));
	assert_int_equal(preview.n, 1);
	assert_true(preview.changes[0].differs);
	assert_true(uuid_eq(preview.changes[0].before.decider, w.id[5]));
	assert_true(uuid_eq(preview.changes[0].after.decider, w.id[4]));
	assert_ok(by(&w, 3), delegation_preview(by(&w, 3), w.coop, broad.id, &preview));
	assert_int_equal(preview.n, POLICY_BALLOT_COUNT);
	assert_false(preview.changes[POLICY_BALLOT_RELEASE].differs);
	assert_true(preview.changes[POLICY_BALLOT_CHARTER].differs);
	assert_err(by(&w, 4), ERR_NOT_FOUND, delegation_preview(by(&w, 4), w.coop, broad.id, &preview));
}

static void the_report_tells_who_holds_how_much(void **state)
{
	struct world w;
	struct delegation_report report;
	(void)state;
	world_make(&w, DEEP);
	accepted(&w, 2, POLICY_QUESTION_VOTE, 3);
	accepted(&w, 3, POLICY_QUESTION_VOTE, 4);
	accepted(&w, 5, POLICY_QUESTION_VOTE, 4);
	accepted(&w, 6, POLICY_QUESTION_VOTE, 4);
	made(&w, 7, POLICY_QUESTION_VOTE, 4);
	assert_ok(by(&w, 0), delegation_report(by(&w, 0), w.coop, POLICY_QUESTION_VOTE, POLICY_BALLOT_RELEASE, &report));
	assert_int_equal(report.members, WORLD_MEMBERS);
	assert_int_equal(report.represented, 4);
	assert_int_equal(report.deciders, 4);
	assert_int_equal(report.edges, 4);
	assert_int_equal(report.asked, 1);
	assert_int_equal(report.n_top, 1);
	assert_true(uuid_eq(report.top[0].member, w.id[4]));
	assert_int_equal(report.top[0].weight, 5);
	assert_int_equal(report.top[0].direct, 3);
	assert_true(report.top[0].pivotal);
	assert_int_equal(report.majority_of, 1);
	int sum = report.represented;
	for (unsigned v = 0; v < POLICY_VIA_COUNT; v++)
		sum += report.undecided[v];
	assert_int_equal(sum + 4, report.members); /* four decide for themselves */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(a_delegation_counts_only_once_it_is_accepted), fixture_test(votes_and_consent_are_two_questions), fixture_test(who_declines_does_not_decide),
		fixture_test(a_delegate_may_lay_it_down), fixture_test(revoking_takes_effect_at_once), fixture_test(delegating_the_same_again_is_a_new_version),
		fixture_test(nobody_delegates_to_oneself_a_stranger_or_someone_who_left), fixture_test(scopes_topics_targets_and_ends_are_checked),
		fixture_test(a_direct_delegation_over_the_cap_is_refused_at_acceptance), fixture_test(transitive_overflow_is_cut_in_the_order_of_acceptance), fixture_test(the_most_specific_delegation_decides),
		fixture_test(nobody_hides_broader_delegations), fixture_test(the_board_needs_no_acceptance), fixture_test(a_chain_longer_than_the_charter_decides_nothing),
		fixture_test(a_deeper_charter_lets_chains_decide), fixture_test(a_circle_is_warned_of_and_decides_nothing),
		fixture_test(validity_is_half_open_and_ends_with_the_checkup_at_the_latest), fixture_test(who_leaves_ends_all_delegations_to_and_from_them),
		fixture_test(a_cut_chain_is_told_to_its_principal), fixture_test(an_overdue_checkup_rests_delegations_until_they_are_confirmed),
		fixture_test(confirming_in_time_prolongs_the_same_version), fixture_test(a_lapsed_delegate_decides_for_nobody),
		fixture_test(who_decided_on_a_day_is_read_from_what_stood_then), fixture_test(an_own_vote_goes_before_the_delegate_and_taking_it_back_brings_them_back), fixture_test(a_closed_ballot_does_not_tell_who_has_voted),
		fixture_test(a_ballot_that_is_over_is_read_as_it_was_stored), fixture_test(a_revocation_counts_for_an_open_ballot),
		fixture_test(a_delegation_for_one_ballot_ends_with_it), fixture_test(a_preview_says_what_revoking_would_change),
		fixture_test(the_report_tells_who_holds_how_much),
	};
	return fixture_run(tests, CH_LEN(tests));
}
