/* Ballots decided through delegations, in the database: what is frozen, when it counts, what is stored and told, and races. */
#include "world.h"

#include "commonhold/ballot_proof.h"
#include "commonhold/delegation.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define OPENS (WORLD_START + 7 * CLOCK_DAY)
#define CLOSES (OPENS + 10 * CLOCK_DAY)
#define MEMBERS_DECIDE "{\"rule\":\"majority\",\"roll\":\"members\"}"
#define FREE "{\"delegation\":{\"depth\":8,\"cap\":0}}"

static struct uuid propose_as(struct world *w, const char *rule, const char *visibility, instant opens, instant closes)
{
	struct call *c = w->system;
	const struct json *json;
	struct uuid id;
	assert_ok(c, json_parse(c->arena, str_of(rule), &json, &c->error));
	struct ballot_draft draft = { .kind = "toggle", .subject = uuid_new(), .digest = sha256(STR("what is decided")), .title = STR("A question"),
		.question = STR("Shall it be?"), .rule = json, .charter = 1, .visibility = str_of(visibility), .opens_at = opens, .closes_at = closes };
	assert_ok(c, db_begin_in(c, w->coop, DB_WRITE));
	assert_ok(c, ballot_create(c, w->coop, &draft, &id));
	assert_ok(c, db_commit(c));
	return id;
}

static void advance(struct world *w, struct uuid ballot, instant t)
{
	clock_set(t);
	assert_ok(w->system, ballot_advance(w->system, w->coop, ballot));
}

/* An open ballot under a majority of members. */
static struct uuid opened(struct world *w, const char *visibility)
{
	struct uuid id = propose_as(w, MEMBERS_DECIDE, visibility, OPENS, CLOSES);
	advance(w, id, OPENS);
	return id;
}

static void cast(struct world *w, int member, struct uuid ballot, const char *choice)
{
	struct ballot b;
	assert_ok(by(w, member), ballot_cast_vote(by(w, member), w->coop, ballot, str_of(choice), &b));
}

static struct delegation delegates(struct world *w, int member, int delegate)
{
	struct delegation d;
	struct delegation_warning warning;
	struct delegation_draft in = { .question = POLICY_QUESTION_VOTE, .scope = POLICY_SCOPE_COOP, .delegate_kind = delegate < 0 ? DELEGATE_BOARD : DELEGATE_MEMBER,
		.chosen_end = INSTANT_NONE };
	if (delegate >= 0)
		in.delegate = w->id[delegate];
	assert_ok(by(w, member), delegation_make(by(w, member), w->coop, &in, &d, &warning));
	if (delegate >= 0)
		assert_ok(by(w, delegate), delegation_accept(by(w, delegate), w->coop, d.id, &d));
	return d;
}

static struct ballot read_as(struct world *w, int member, struct uuid id)
{
	struct ballot b;
	assert_ok(by(w, member), ballot_read(by(w, member), w->coop, id, &b));
	return b;
}

static struct ballot_explained explain(struct world *w, int member, struct uuid ballot)
{
	struct ballot_explained e;
	assert_ok(by(w, member), ballot_explain(by(w, member), w->coop, ballot, &e));
	return e;
}

static void expect_counts(struct world *w, struct uuid id, int yes, int no, int abstain, int undecided)
{
	struct ballot b = read_as(w, 0, id);
	if (b.members.yes != yes || b.members.no != no || b.members.abstain != abstain || b.members.undecided != undecided)
		fail_msg("%d for, %d against, %d abstained, %d undecided", b.members.yes, b.members.no, b.members.abstain, b.members.undecided);
	int sum = 0;
	for (size_t i = 0; i < POLICY_VIA_COUNT; i++)
		sum += b.members.undecided_by[i];
	assert_int_equal(sum, undecided);
}

/* ---- Delegations ---- */

static void delegations_decide_at_the_close_and_paths_are_stored(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, FREE);
	struct delegation last = delegates(&w, 5, 4);
	delegates(&w, 4, 3);
	struct uuid id = opened(&w, "closed");
	cast(&w, 3, id, "for");
	cast(&w, 0, id, "against");
	advance(&w, id, CLOSES);
	expect_counts(&w, id, 3, 1, 0, 4);
	assert_int_equal(read_as(&w, 0, id).state, BALLOT_PASSED);
	assert_int_equal(fixture_int("SELECT cardinality(path) FROM ballot_resolution WHERE member_no = 5"), 2);
	assert_int_equal(fixture_int("SELECT path[1] FROM ballot_resolution WHERE member_no = 5"), (int64_t)last.edge);
	assert_int_equal(fixture_int("SELECT decider_no FROM ballot_resolution WHERE member_no = 5"), 3);
	struct ballot_explained e = explain(&w, 5, id);
	assert_true(e.stored && e.choice_shown);
	assert_int_equal(e.via, POLICY_VIA_DECIDED);
	assert_str(e.choice, "for");
	assert_int_equal(e.n_steps, 2);
	assert_true(uuid_eq(e.steps[0].member, w.id[4]) && uuid_eq(e.steps[1].member, w.id[3]) && uuid_eq(e.decider, w.id[3]));
	assert_true(uuid_eq(e.steps[0].delegation, last.id));
}

static void explaining_reads_what_was_stored(void **state)
{
	struct world w;
	struct delegation d;
	(void)state;
	world_make(&w, FREE);
	d = delegates(&w, 5, 3);
	struct uuid id = opened(&w, "closed");
	cast(&w, 3, id, "for");
	advance(&w, id, CLOSES);
	clock_set(CLOSES + CLOCK_DAY);
	assert_ok(by(&w, 5), delegation_revoke(by(&w, 5), w.coop, d.id, &d));
	struct ballot_explained e = explain(&w, 5, id);
	assert_str(e.choice, "for");
	assert_true(uuid_eq(e.decider, w.id[3]));
}

static void a_revocation_counts_for_open_ballots(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, FREE);
	struct delegation d = delegates(&w, 5, 3);
	struct uuid id = opened(&w, "closed");
	cast(&w, 3, id, "for");
	clock_set(OPENS + CLOCK_DAY);
	assert_ok(by(&w, 5), delegation_revoke(by(&w, 5), w.coop, d.id, &d));
	advance(&w, id, CLOSES);
	expect_counts(&w, id, 1, 0, 0, 7);
	assert_int_equal(read_as(&w, 0, id).members.undecided_by[POLICY_VIA_REVOKED], 1);
	assert_int_equal(explain(&w, 5, id).reason, POLICY_VIA_REVOKED);
}

static void what_happens_after_the_window_does_not_count_however_late_it_is_closed(void **state)
{
	struct world w;
	struct member m;
	(void)state;
	world_make(&w, FREE);
	struct delegation d = delegates(&w, 5, 3);
	delegates(&w, 6, 4);
	struct uuid id = opened(&w, "closed");
	cast(&w, 3, id, "for");
	cast(&w, 4, id, "for");
	clock_set(CLOSES + CLOCK_HOUR);
	assert_ok(by(&w, 5), delegation_revoke(by(&w, 5), w.coop, d.id, &d));
	assert_ok(by(&w, 6), member_leave(by(&w, 6), w.coop, &m));
	advance(&w, id, CLOSES + CLOCK_DAY);
	expect_counts(&w, id, 4, 0, 0, 4);
	assert_true(read_as(&w, 0, id).closed_at == CLOSES);
}

static void an_own_vote_takes_the_voice_back_and_none_gives_it_again(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, FREE);
	delegates(&w, 5, 3);
	struct uuid id = opened(&w, "open");
	cast(&w, 3, id, "for");
	cast(&w, 5, id, "against");
	assert_int_equal(explain(&w, 5, id).via, POLICY_VIA_OWN);
	cast(&w, 5, id, "none");
	struct ballot_explained e = explain(&w, 5, id);
	assert_false(e.stored);
	assert_int_equal(e.via, POLICY_VIA_DECIDED);
	assert_str(e.choice, "for");
	advance(&w, id, CLOSES);
	expect_counts(&w, id, 2, 0, 0, 6);
}

static void the_charters_depth_and_cap_bind(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, "{\"delegation\":{\"depth\":1,\"cap\":1}}");
	delegates(&w, 5, 4);
	delegates(&w, 4, 3);
	struct uuid id = opened(&w, "closed");
	cast(&w, 3, id, "for");
	advance(&w, id, CLOSES);
	expect_counts(&w, id, 2, 0, 0, 6);
	assert_int_equal(read_as(&w, 0, id).members.undecided_by[POLICY_VIA_DEPTH], 1);
}

static void who_left_decides_for_nobody(void **state)
{
	struct world w;
	struct member m;
	(void)state;
	world_make(&w, FREE);
	delegates(&w, 5, 3);
	struct uuid id = opened(&w, "closed");
	cast(&w, 3, id, "for");
	clock_set(OPENS + CLOCK_DAY);
	assert_ok(by(&w, 3), member_leave(by(&w, 3), w.coop, &m));
	advance(&w, id, CLOSES);
	expect_counts(&w, id, 1, 0, 0, 7);
}

/* ---- Votes on behalf of others ---- */

static void a_delegate_votes_differently_for_a_principal(void **state)
{
	struct world w;
	struct ballot_principal *principals;
	size_t n;
	(void)state;
	world_make(&w, FREE);
	delegates(&w, 5, 3);
	delegates(&w, 6, 3);
	struct uuid id = opened(&w, "restricted");
	cast(&w, 3, id, "for");
	assert_ok(by(&w, 3), ballot_represented(by(&w, 3), w.coop, id, &principals, &n));
	assert_int_equal(n, 2);
	assert_true(uuid_eq(principals[0].member, w.id[5]) && principals[0].hops == 1 && !principals[0].voted && !principals[0].choice.p);
	assert_ok(by(&w, 3), ballot_vote_for(by(&w, 3), w.coop, id, &w.id[6], 1, STR("against")));
	assert_ok(by(&w, 3), ballot_represented(by(&w, 3), w.coop, id, &principals, &n));
	assert_str(principals[1].choice, "against");
	struct ballot_explained e = explain(&w, 6, id);
	assert_true(e.on_behalf);
	assert_str(e.choice, "against");
	advance(&w, id, CLOSES);
	expect_counts(&w, id, 2, 1, 0, 5);
	assert_true(explain(&w, 6, id).on_behalf);
}

static void nobody_votes_for_those_whom_they_do_not_represent(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, FREE);
	struct delegation d = delegates(&w, 5, 3);
	struct uuid id = opened(&w, "closed");
	assert_err(by(&w, 3), ERR_REFUSED, ballot_vote_for(by(&w, 3), w.coop, id, (struct uuid[]){ w.id[5], w.id[6] }, 2, STR("for")));
	assert_string_equal(w.person->error.reason, "not_represented");
	assert_err(by(&w, 4), ERR_REFUSED, ballot_vote_for(by(&w, 4), w.coop, id, &w.id[5], 1, STR("for")));
	assert_err(by(&w, 3), ERR_REFUSED, ballot_vote_for(by(&w, 3), w.coop, id, &w.id[3], 1, STR("for")));
	assert_err(by(&w, 3), ERR_INVALID, ballot_vote_for(by(&w, 3), w.coop, id, NULL, 0, STR("for")));
	assert_ok(by(&w, 3), ballot_vote_for(by(&w, 3), w.coop, id, &w.id[5], 1, STR("for")));
	clock_set(OPENS + CLOCK_DAY);
	assert_ok(by(&w, 5), delegation_revoke(by(&w, 5), w.coop, d.id, &d));
	assert_err(by(&w, 3), ERR_REFUSED, ballot_vote_for(by(&w, 3), w.coop, id, &w.id[5], 1, STR("for")));
	advance(&w, id, CLOSES);
	expect_counts(&w, id, 0, 0, 0, 8);
}

/* ---- The board ---- */

static void the_board_decides_when_enough_admins_say_the_same(void **state)
{
	struct world w;
	struct ballot_board board;
	(void)state;
	world_make(&w, FREE);
	delegates(&w, 5, -1);
	struct uuid id = opened(&w, "closed");
	assert_err(by(&w, 4), ERR_REFUSED, ballot_board_say(by(&w, 4), w.coop, id, STR("for")));
	assert_string_equal(w.person->error.reason, "not_board");
	assert_ok(by(&w, 0), ballot_board_say(by(&w, 0), w.coop, id, STR("against")));
	assert_ok(by(&w, 0), ballot_board_read(by(&w, 0), w.coop, id, &board));
	assert_int_equal(board.admins, 3);
	assert_int_equal(board.needed, 2);
	assert_int_equal(board.choice, BALLOT_NONE);
	assert_str(board.mine, "against");
	assert_ok(by(&w, 1), ballot_board_say(by(&w, 1), w.coop, id, STR("against")));
	assert_ok(by(&w, 5), ballot_board_read(by(&w, 5), w.coop, id, &board));
	assert_int_equal(board.choice, BALLOT_AGAINST);
	advance(&w, id, CLOSES);
	expect_counts(&w, id, 0, 1, 0, 7);
	assert_true(explain(&w, 5, id).by_board);
	assert_str(read_as(&w, 5, id).board_choice, "against");
}

/* ---- Visibility ---- */

static void how_a_delegate_voted_is_shown_as_the_visibility_says(void **state)
{
	static const struct { const char *visibility; bool during; } cases[] = { { "open", true }, { "restricted", true }, { "closed", false } };
	struct world w;
	struct ballot_vote *votes;
	size_t n;
	(void)state;
	world_make(&w, FREE);
	delegates(&w, 5, 3);
	for (size_t i = 0; i < CH_LEN(cases); i++) {
		clock_set(WORLD_START + CLOCK_DAY);
		struct uuid id = opened(&w, cases[i].visibility);
		assert_ok(by(&w, 3), ballot_vote_for(by(&w, 3), w.coop, id, &w.id[5], 1, STR("for")));
		struct ballot_explained e = explain(&w, 5, id);
		assert_int_equal(e.choice_shown, cases[i].during);
		assert_int_equal(e.choice.p != NULL, cases[i].during);
		assert_ok(by(&w, 5), ballot_history(by(&w, 5), w.coop, id, &votes, &n));
		assert_int_equal(n, cases[i].during ? 1 : 0);
		assert_int_equal(read_as(&w, 5, id).tally_shown, str_is(str_of(cases[i].visibility), "open"));
		advance(&w, id, CLOSES);
		assert_str(explain(&w, 5, id).choice, "for");
		assert_ok(by(&w, 5), ballot_history(by(&w, 5), w.coop, id, &votes, &n));
		assert_int_equal(n, 1);
		assert_ok(by(&w, 6), ballot_history(by(&w, 6), w.coop, id, &votes, &n));
		assert_int_equal(n, 0);
	}
}

static void interim_counts_are_of_last_votes_in_person_where_they_may_be_seen(void **state)
{
	struct world w;
	struct ballot *list;
	struct str next;
	size_t n;
	(void)state;
	world_make(&w, FREE);
	delegates(&w, 5, 3);
	struct uuid id = opened(&w, "open");
	cast(&w, 0, id, "against");
	cast(&w, 0, id, "for");
	cast(&w, 3, id, "for");
	cast(&w, 4, id, "abstain");
	cast(&w, 6, id, "for");
	cast(&w, 6, id, "none");
	assert_ok(by(&w, 3), ballot_vote_for(by(&w, 3), w.coop, id, &w.id[5], 1, STR("against")));
	struct ballot b = read_as(&w, 7, id);
	assert_true(b.tally_shown);
	assert_int_equal(b.members.yes, 2);
	assert_int_equal(b.members.no, 0);
	assert_int_equal(b.members.abstain, 1);
	assert_int_equal(b.members.undecided, 5);
	assert_int_equal(b.admins.yes, 1);
	assert_int_equal(b.admins.roll, 3);
	advance(&w, id, CLOSES);
	assert_ok(by(&w, 7), ballot_list(by(&w, 7), w.coop, STR_NONE, STR_NONE, 10, &list, &n, &next));
	assert_int_equal(n, 1);
	assert_int_equal(list[0].members.no, 1);
	assert_int_equal(list[0].members.by_delegates, 1);
	assert_int_equal(list[0].members.in_person, 3);
}

static void cooling_off_counts_from_the_end_of_voting(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	world_say(&w, 0, "allow");
	(void)world_contribute(&w, 0, "Something to release");
	struct release r = world_release(&w);
	world_until(&w, WORLD_CUTOFF);
	r = world_read(&w, r.id);
	struct ballot b = read_as(&w, 0, r.ballot);
	world_until(&w, b.opens_at);
	world_vote(&w, &r, 2, "for");
	world_until(&w, b.closes_at + 5 * CLOCK_HOUR);
	r = world_read(&w, r.id);
	assert_int_equal(r.state, RELEASE_COOLING_OFF);
	assert_true(r.build_after == b.closes_at + CLOCK_DAY);
}

static void every_version_of_ones_vote_is_told(void **state)
{
	struct world w;
	struct ballot_vote *votes;
	size_t n;
	(void)state;
	world_make(&w, FREE);
	struct uuid id = opened(&w, "closed");
	cast(&w, 4, id, "for");
	cast(&w, 4, id, "against");
	cast(&w, 4, id, "none");
	assert_ok(by(&w, 4), ballot_history(by(&w, 4), w.coop, id, &votes, &n));
	assert_int_equal(n, 3);
	assert_str(votes[0].choice, "for");
	assert_str(votes[2].choice, "none");
}

/* ---- Window ---- */

static void a_late_change_of_the_outcome_extends_once_by_a_tenth(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, FREE);
	struct uuid id = opened(&w, "closed");
	cast(&w, 0, id, "for");
	clock_set(CLOSES - CLOCK_HOUR);
	cast(&w, 1, id, "against");
	cast(&w, 2, id, "against");
	advance(&w, id, CLOSES);
	struct ballot b = read_as(&w, 0, id);
	assert_int_equal(b.state, BALLOT_OPEN);
	assert_true(b.closes_at == CLOSES + CLOCK_DAY && b.first_closes_at == CLOSES);
	cast(&w, 3, id, "for");
	cast(&w, 4, id, "for");
	advance(&w, id, CLOSES + CLOCK_DAY);
	assert_int_equal(read_as(&w, 0, id).state, BALLOT_PASSED);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'ballot.extended'"), 1);
}

static void a_late_vote_that_changes_nothing_extends_nothing(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, FREE);
	struct uuid id = opened(&w, "closed");
	cast(&w, 0, id, "for");
	cast(&w, 3, id, "for");
	clock_set(CLOSES - CLOCK_HOUR);
	cast(&w, 1, id, "against");
	advance(&w, id, CLOSES);
	assert_int_equal(read_as(&w, 0, id).state, BALLOT_PASSED);
}

static void a_late_revocation_that_changes_the_outcome_extends_too(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, FREE);
	struct delegation d = delegates(&w, 5, 3);
	struct uuid id = opened(&w, "closed");
	cast(&w, 3, id, "for");
	cast(&w, 0, id, "against");
	clock_set(CLOSES - CLOCK_HOUR);
	assert_ok(by(&w, 5), delegation_revoke(by(&w, 5), w.coop, d.id, &d));
	advance(&w, id, CLOSES);
	assert_int_equal(read_as(&w, 0, id).state, BALLOT_OPEN);
}

static void a_ballot_that_cannot_pass_any_more_closes_early(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, FREE);
	struct uuid never = propose_as(&w, "{\"rule\":\"n_of_m_admins\",\"n\":4}", "closed", OPENS, CLOSES);
	struct uuid can = propose_as(&w, "{\"rule\":\"n_of_m_admins\",\"n\":3}", "closed", OPENS, CLOSES);
	advance(&w, never, OPENS);
	advance(&w, can, OPENS);
	struct ballot b = read_as(&w, 0, never);
	assert_int_equal(b.state, BALLOT_FAILED);
	assert_true(b.closed_at == OPENS);
	assert_int_equal(read_as(&w, 0, can).state, BALLOT_OPEN);
	for (int m = 0; m < 3; m++)
		cast(&w, m, can, "for");
	assert_int_equal(read_as(&w, 0, can).state, BALLOT_OPEN); /* each may still change their mind */
}

static void the_roll_of_last_year_is_the_floor(void **state)
{
	struct world w;
	struct member m;
	(void)state;
	world_make(&w, FREE);
	clock_set(WORLD_START + 30 * CLOCK_DAY);
	for (int i = 3; i < 8; i++)
		assert_ok(by(&w, i), member_leave(by(&w, i), w.coop, &m));
	instant opens = WORLD_START + 400 * CLOCK_DAY;
	struct uuid id = propose_as(&w, "{\"rule\":\"approval_quorum\",\"n\":3,\"d\":4,\"roll\":\"members\"}", "closed", opens, opens + CLOCK_DAY);
	advance(&w, id, opens);
	assert_int_equal(read_as(&w, 0, id).members_last_year, 3);
	opens = WORLD_START + 390 * CLOCK_DAY;
	id = propose_as(&w, "{\"rule\":\"approval_quorum\",\"n\":3,\"d\":4,\"roll\":\"members\"}", "closed", opens, opens + CLOCK_DAY);
	advance(&w, id, opens);
	assert_int_equal(read_as(&w, 0, id).members_last_year, 8);
	assert_int_equal(read_as(&w, 0, id).members.roll, 3);
}

static void a_ballot_that_straddles_a_mass_lapse_is_warned_of(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, FREE);
	assert_false(read_as(&w, 0, opened(&w, "closed")).lapse_warning);
	instant opens = WORLD_START + 360 * CLOCK_DAY;
	struct ballot b = read_as(&w, 0, propose_as(&w, MEMBERS_DECIDE, "closed", opens, opens + 10 * CLOCK_DAY));
	assert_int_equal(b.lapsing, WORLD_MEMBERS);
	assert_true(b.lapse_warning);
}

/* ---- Refusals ---- */

static void who_may_not_vote_is_told_why(void **state)
{
	struct world w;
	struct ballot b;
	struct member m;
	(void)state;
	world_make(&w, FREE);
	struct uuid id = propose_as(&w, MEMBERS_DECIDE, "closed", OPENS, CLOSES);
	assert_err(by(&w, 3), ERR_STATE, ballot_cast_vote(by(&w, 3), w.coop, id, STR("for"), &b));
	assert_string_equal(w.person->error.reason, "ballot_not_open");
	assert_err(by(&w, 3), ERR_INVALID, ballot_cast_vote(by(&w, 3), w.coop, id, STR("maybe"), &b));
	assert_err(by(&w, 3), ERR_NOT_FOUND, ballot_cast_vote(by(&w, 3), w.coop, uuid_new(), STR("for"), &b));
	struct uuid admins = propose_as(&w, "{\"rule\":\"n_of_m_admins\",\"n\":2}", "closed", OPENS, CLOSES);
	advance(&w, admins, OPENS);
	assert_err(by(&w, 3), ERR_REFUSED, ballot_cast_vote(by(&w, 3), w.coop, admins, STR("for"), &b));
	assert_string_equal(w.person->error.reason, "not_on_roll");
	advance(&w, id, OPENS);
	assert_ok(by(&w, 7), member_leave(by(&w, 7), w.coop, &m));
	assert_err(by(&w, 7), ERR_REFUSED, ballot_cast_vote(by(&w, 7), w.coop, id, STR("for"), &b));
	assert_string_equal(w.person->error.reason, "not_a_member");
	advance(&w, id, CLOSES);
	assert_err(by(&w, 3), ERR_STATE, ballot_cast_vote(by(&w, 3), w.coop, id, STR("for"), &b));
	assert_string_equal(w.person->error.reason, "ballot_not_open");
}

static void a_rule_with_a_zero_denominator_is_refused(void **state)
{
	struct world w;
	const struct json *json;
	struct uuid id;
	(void)state;
	world_make(&w, FREE);
	struct call *c = w.system;
	assert_ok(c, json_parse(c->arena, STR("{\"rule\":\"approval_quorum\",\"n\":1,\"d\":0}"), &json, &c->error));
	struct ballot_draft draft = { .kind = "toggle", .subject = uuid_new(), .title = STR("x"), .question = STR("x"), .rule = json, .charter = 1, .opens_at = OPENS, .closes_at = CLOSES };
	assert_ok(c, db_begin_in(c, w.coop, DB_WRITE));
	assert_err(c, ERR_INVALID, ballot_create(c, w.coop, &draft, &id));
	assert_str(c->error.faults->pointer, "/d");
}

static void outcomes_that_do_not_make_up_the_counts_cannot_be_closed_with(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, FREE);
	struct uuid id = opened(&w, "closed");
	struct call *c = w.system;
	SQL(forged_outcome, "INSERT INTO ballot_resolution (coop_id, ballot_id, member_no, choice, via, decider_no) VALUES ($1, $2, 0, 'for', 'own', 0)");
	SQL(forged_close, "UPDATE ballot SET state = 'passed', result = '{}', closed_at = commonhold_now() WHERE coop_id = $1 AND id = $2");
	SQL(late_roll, "INSERT INTO ballot_roll (coop_id, ballot_id, member_id, member_no, is_admin) VALUES ($1, $2, gen_random_uuid(), 99, false)");
	assert_ok(c, db_begin_in(c, w.coop, DB_WRITE));
	assert_ok(c, db_exec(c, forged_outcome, A_UUID(w.coop), A_UUID(id)));
	assert_true(db_exec(c, forged_close, A_UUID(w.coop), A_UUID(id)) != ERR_OK);
	db_rollback(c);
	assert_ok(c, db_begin_in(c, w.coop, DB_WRITE));
	assert_true(db_exec(c, late_roll, A_UUID(w.coop), A_UUID(id)) != ERR_OK);
	db_rollback(c);
	advance(&w, id, CLOSES);
	assert_ok(c, db_begin_in(c, w.coop, DB_WRITE));
	assert_true(db_exec(c, forged_outcome, A_UUID(w.coop), A_UUID(id)) != ERR_OK);
	db_rollback(c);
}

/* ---- For the checkup ---- */

static void the_acts_of_a_delegate_are_told_for_the_checkup(void **state)
{
	struct world w;
	struct ballot_acts acts;
	(void)state;
	world_make(&w, FREE);
	delegates(&w, 5, 3);
	struct uuid one = opened(&w, "closed"), two = opened(&w, "restricted"), three = opened(&w, "closed");
	cast(&w, 3, one, "for");
	cast(&w, 3, two, "against");
	cast(&w, 5, two, "for");
	advance(&w, one, CLOSES);
	advance(&w, two, CLOSES);
	advance(&w, three, CLOSES);
	struct call *c = w.system;
	assert_ok(c, db_begin_in(c, w.coop, DB_READ));
	assert_ok(c, ballot_acts_of_delegate(c, w.coop, w.id[3], w.id[5], OPENS, CLOSES + 1, &acts));
	assert_ok(c, db_commit(c));
	assert_int_equal(acts.ballots, 3);
	assert_int_equal(acts.took_part, 2);
	assert_int_equal(acts.decided, 1);
	assert_int_equal(acts.yes, 1);
	for (size_t i = 0; i < acts.n_acts; i++)
		if (uuid_eq(acts.acts[i].ballot, two))
			assert_null(acts.acts[i].choice.p); /* restricted: only what was cast for the principal is theirs to see */
}

/* ---- Notices ---- */

static void the_roll_and_principals_are_told(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, FREE);
	delegates(&w, 5, 3);
	struct uuid id = opened(&w, "restricted");
	world_until(&w, OPENS + CLOCK_MINUTE);
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'ballot.opened'"), WORLD_MEMBERS);
	cast(&w, 3, id, "for");
	world_until(&w, OPENS + CLOCK_HOUR);
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'delegation.act'"), 1);
	world_until(&w, CLOSES);
	world_until(&w, CLOSES + CLOCK_MINUTE);
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'ballot.closed'"), WORLD_MEMBERS);
}

/* ---- Races ---- */

struct racer { struct world *w; struct uuid ballot; struct uuid delegation; int member; unsigned seed; int taken; };

static struct call *racer_call(struct racer *r, struct arena *a, struct call *c)
{
	*c = (struct call){ .arena = a, .actor = r->w->actor[r->member] };
	return c;
}

static void *race_votes(void *arg)
{
	static const char *const words[] = { "for", "against", "abstain", "none" };
	struct racer *r = arg;
	struct arena *a = arena_new(8 * MIB);
	struct call c;
	struct ballot b;
	for (int i = 0; i < 12; i++) {
		arena_reset(a);
		racer_call(r, a, &c);
		r->seed = r->seed * 1664525u + 1013904223u;
		enum err e = ballot_cast_vote(&c, r->w->coop, r->ballot, str_of(words[r->seed >> 13 & 3]), &b);
		r->taken += e == ERR_OK;
		db_rollback(&c);
		db_release(&c);
	}
	arena_free(a);
	return NULL;
}

static void *race_revoke(void *arg)
{
	struct racer *r = arg;
	struct arena *a = arena_new(8 * MIB);
	struct call c;
	struct delegation d;
	racer_call(r, a, &c);
	r->taken = delegation_revoke(&c, r->w->coop, r->delegation, &d) == ERR_OK;
	db_rollback(&c);
	db_release(&c);
	arena_free(a);
	return NULL;
}

static void *race_close(void *arg)
{
	struct racer *r = arg;
	struct arena *a = arena_new(8 * MIB);
	struct call c = { .arena = a, .actor = { .kind = AUTH_SYSTEM } };
	for (int i = 0; i < 8; i++) {
		if (ballot_advance(&c, r->w->coop, r->ballot) == ERR_OK)
			r->taken++;
		db_rollback(&c);
		db_release(&c);
		if (i == 2)
			clock_set(CLOSES);
	}
	arena_free(a);
	return NULL;
}

/* Votes, revocations and several workers that close, all at once: whatever comes first, the rows that are there at the end account for the result. */
static void closing_races_with_votes_and_revocations(void **state)
{
	struct world w;
	pthread_t threads[8];
	struct racer racers[8];
	(void)state;
	world_make(&w, FREE);
	struct delegation d = delegates(&w, 7, 4);
	struct uuid id = opened(&w, "closed");
	const char *wanted = getenv("SEED");
	unsigned seed = wanted ? (unsigned)strtoul(wanted, NULL, 10) : (unsigned)clock_tick();
	printf("SEED=%u\n", seed);
	clock_set(CLOSES - 9 * CLOCK_DAY / 10 - CLOCK_DAY);
	db_release(w.system);
	db_release(w.person);
	for (int i = 0; i < 8; i++) {
		racers[i] = (struct racer){ .w = &w, .ballot = id, .delegation = d.id, .member = i == 5 ? 7 : i, .seed = seed + (unsigned)i };
		assert_int_equal(pthread_create(&threads[i], NULL, i == 5 ? race_revoke : i > 5 ? race_close : race_votes, &racers[i]), 0);
	}
	int votes = 0;
	for (int i = 0; i < 8; i++) {
		pthread_join(threads[i], NULL);
		votes += i < 5 ? racers[i].taken : 0;
	}
	advance(&w, id, CLOSES);
	advance(&w, id, CLOSES + 2 * CLOCK_DAY);
	assert_int_equal(fixture_int("SELECT count(*) FROM vote"), votes);
	assert_int_equal(fixture_int("SELECT count(*) FROM ballot_resolution"), WORLD_MEMBERS);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'ballot.closed'"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM ballot_resolution s WHERE s.via = 'own' AND s.choice <> "
		"(SELECT v.choice FROM vote v WHERE v.member_no = s.member_no ORDER BY seq DESC LIMIT 1)"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM vote v, ballot b WHERE v.at >= b.closed_at"), 0);
}

/* ---- One revocation that is under way at the end ---- */

static void *close_once(void *arg)
{
	struct racer *r = arg;
	struct arena *a = arena_new(8 * MIB);
	struct call c = { .arena = a, .actor = { .kind = AUTH_SYSTEM } };
	bool closed = ballot_advance(&c, r->w->coop, r->ballot) == ERR_OK;
	db_rollback(&c);
	db_release(&c);
	arena_free(a);
	r->taken = closed ? 1 : -1;
	return NULL;
}

static int64_t waiting_for_locks(void)
{
	return fixture_int("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())");
}

/* Begun before the end and done after it: it counts, or it is dated after the end. Never is it dated before and not counted, or the proof would say otherwise than the result. */
static void a_revocation_under_way_at_the_close_counts_or_comes_after(void **state)
{
	struct world w;
	struct call *c;
	struct ballot_recount again;
	pthread_t revoking, closing;
	(void)state;
	world_make(&w, FREE);
	struct delegation d = delegates(&w, 7, 4);
	struct uuid id = opened(&w, "open");
	cast(&w, 4, id, "for");
	clock_set(CLOSES - 1);
	db_release(w.person);
	c = w.system;
	assert_ok(c, db_begin_in(c, w.coop, DB_WRITE));
	assert_ok(c, membership_lock(c, w.coop));
	struct racer revoker = { .w = &w, .ballot = id, .delegation = d.id, .member = 7 }, closer = { .w = &w, .ballot = id };
	assert_int_equal(pthread_create(&revoking, NULL, race_revoke, &revoker), 0);
	while (waiting_for_locks() < 1)
		sched_yield();
	clock_set(CLOSES);
	assert_int_equal(pthread_create(&closing, NULL, close_once, &closer), 0);
	while (!__atomic_load_n(&closer.taken, __ATOMIC_SEQ_CST) && waiting_for_locks() < 2)
		sched_yield();
	db_rollback(c);
	pthread_join(revoking, NULL);
	pthread_join(closing, NULL);
	assert_int_equal(revoker.taken, 1);
	assert_int_equal(closer.taken, 1);
	assert_ok(c, ballot_recount(c, w.coop, id, &again));
	struct ballot b = read_as(&w, 0, id);
	assert_int_equal(again.members.yes, b.members.yes);
	assert_int_equal(again.members.undecided, b.members.undecided);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(delegations_decide_at_the_close_and_paths_are_stored),
		fixture_test(explaining_reads_what_was_stored),
		fixture_test(a_revocation_counts_for_open_ballots),
		fixture_test(what_happens_after_the_window_does_not_count_however_late_it_is_closed),
		fixture_test(an_own_vote_takes_the_voice_back_and_none_gives_it_again),
		fixture_test(the_charters_depth_and_cap_bind),
		fixture_test(who_left_decides_for_nobody),
		fixture_test(a_delegate_votes_differently_for_a_principal),
		fixture_test(nobody_votes_for_those_whom_they_do_not_represent),
		fixture_test(the_board_decides_when_enough_admins_say_the_same),
		fixture_test(how_a_delegate_voted_is_shown_as_the_visibility_says),
		fixture_test(interim_counts_are_of_last_votes_in_person_where_they_may_be_seen),
		fixture_test(cooling_off_counts_from_the_end_of_voting),
		fixture_test(every_version_of_ones_vote_is_told),
		fixture_test(a_late_change_of_the_outcome_extends_once_by_a_tenth),
		fixture_test(a_late_vote_that_changes_nothing_extends_nothing),
		fixture_test(a_late_revocation_that_changes_the_outcome_extends_too),
		fixture_test(a_ballot_that_cannot_pass_any_more_closes_early),
		fixture_test(the_roll_of_last_year_is_the_floor),
		fixture_test(a_ballot_that_straddles_a_mass_lapse_is_warned_of),
		fixture_test(who_may_not_vote_is_told_why),
		fixture_test(a_rule_with_a_zero_denominator_is_refused),
		fixture_test(outcomes_that_do_not_make_up_the_counts_cannot_be_closed_with),
		fixture_test(the_acts_of_a_delegate_are_told_for_the_checkup),
		fixture_test(the_roll_and_principals_are_told),
		fixture_test(closing_races_with_votes_and_revocations),
		fixture_test(a_revocation_under_way_at_the_close_counts_or_comes_after),
	};
	return fixture_run(tests, CH_LEN(tests));
}
