/* From facts to a result (ballot_outcome.h): votes for one principal, admins in person, the board, and laws that hold for every history. */
#include "commonhold/ballot_outcome.h"

#include "commonhold/clock.h"
#include "commonhold/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PEOPLE 24
#define EDGES 64

static struct arena *arena;
static uint8_t roll[PEOPLE], active[PEOPLE], choice[PEOPLE + 1];
static struct policy_edge edges[EDGES];
static struct ballot_mandate mandates[PEOPLE * 2];
static struct policy_quorum majority = { .op = POLICY_RULE_MAJORITY };
static struct ballot_facts facts;
static struct ballot_outcome got;

static int set_up(void **state)
{
	(void)state;
	arena = arena_new(16 * MIB);
	memset(roll, BALLOT_ON_ROLL, sizeof(roll));
	memset(active, 1, sizeof(active));
	memset(choice, 0, sizeof(choice));
	facts = (struct ballot_facts){ .n = 8, .roll = roll, .active = active, .choice = choice, .edges = edges, .mandates = mandates,
		.ask = { .question = POLICY_QUESTION_VOTE, .topic = POLICY_BALLOT_TOGGLE, .depth = 8, .board_active = 1, .target = 7, .at = 100 },
		.proposer = POLICY_NO_DECIDER, .rule = &majority, .n_rule = 1 };
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

static struct policy_edge *lets(uint32_t principal, uint32_t delegate)
{
	struct policy_edge *e = &edges[facts.n_edges++];
	*e = (struct policy_edge){ .id = facts.n_edges, .principal = principal, .delegate = delegate, .accepted_at = 10, .ends = POLICY_NEVER, .revoked_at = POLICY_NEVER };
	return e;
}

static void for_one(uint32_t delegate, uint32_t principal, uint8_t said)
{
	mandates[facts.n_mandates++] = (struct ballot_mandate){ delegate, principal, said };
}

static void decide(void)
{
	assert_int_equal(ballot_outcome_of(arena, &facts, &got), ERR_OK);
}

static void expect(uint32_t member, unsigned via, uint32_t decider, unsigned said)
{
	const struct ballot_voice *v = &got.voices[member];
	if (v->via != via || v->decider != decider || v->choice != said)
		fail_msg("member %u: %s by %u, %s", member, policy_via_name(v->via), v->decider, ballot_choice_name(v->choice));
}

#define NOBODY POLICY_NO_DECIDER

/* ---- Votes for one principal ---- */

static void a_delegate_may_vote_differently_for_each_principal(void **state)
{
	(void)state;
	lets(1, 0);
	lets(2, 0);
	choice[0] = BALLOT_FOR;
	for_one(0, 2, BALLOT_AGAINST);
	decide();
	expect(1, POLICY_VIA_DECIDED, 0, BALLOT_FOR);
	expect(2, POLICY_VIA_DECIDED, 0, BALLOT_AGAINST);
	assert_true(got.voices[2].on_behalf);
	assert_false(got.voices[1].on_behalf);
}

static void the_principals_own_vote_goes_first(void **state)
{
	(void)state;
	lets(1, 0);
	choice[1] = BALLOT_ABSTAIN;
	for_one(0, 1, BALLOT_FOR);
	decide();
	expect(1, POLICY_VIA_OWN, 1, BALLOT_ABSTAIN);
}

static void a_delegate_who_votes_for_others_only_has_not_voted(void **state)
{
	(void)state;
	lets(1, 0);
	lets(0, 3);
	for_one(0, 1, BALLOT_FOR);
	choice[3] = BALLOT_AGAINST;
	decide();
	expect(0, POLICY_VIA_DECIDED, 3, BALLOT_AGAINST);
	expect(1, POLICY_VIA_DECIDED, 0, BALLOT_FOR);
}

static void a_vote_for_a_principal_counts_only_while_the_edge_is_valid(void **state)
{
	(void)state;
	struct policy_edge *e = lets(1, 0);
	for_one(0, 1, BALLOT_FOR);
	e->revoked_at = 50;
	decide();
	expect(1, POLICY_VIA_NONE, NOBODY, BALLOT_NONE);
	assert_int_equal(got.voices[1].reason, POLICY_VIA_REVOKED);
	e->revoked_at = POLICY_NEVER;
	e->accepted_at = POLICY_NEVER;
	decide();
	assert_int_equal(got.voices[1].reason, POLICY_VIA_UNACCEPTED);
}

static void of_several_on_the_path_the_nearest_votes_for_the_principal(void **state)
{
	(void)state;
	lets(2, 1);
	lets(1, 0);
	for_one(0, 2, BALLOT_AGAINST);
	for_one(1, 2, BALLOT_FOR);
	decide();
	expect(2, POLICY_VIA_DECIDED, 1, BALLOT_FOR);
	facts.n_mandates = 1;
	decide();
	expect(2, POLICY_VIA_DECIDED, 0, BALLOT_AGAINST);
	assert_int_equal(got.voices[2].hops, 2);
}

static void whoever_has_voted_on_the_path_ends_it(void **state)
{
	(void)state;
	lets(2, 1);
	lets(1, 0);
	choice[1] = BALLOT_FOR;
	for_one(0, 2, BALLOT_AGAINST);
	decide();
	expect(2, POLICY_VIA_DECIDED, 1, BALLOT_FOR);
}

static void a_stranger_votes_for_nobody(void **state)
{
	(void)state;
	for_one(0, 1, BALLOT_FOR);
	decide();
	expect(1, POLICY_VIA_NONE, NOBODY, BALLOT_NONE);
}

static void a_vote_for_a_principal_never_exceeds_the_cap(void **state)
{
	(void)state;
	facts.ask.cap = 1;
	lets(1, 0)->accepted_at = 10;
	lets(2, 0)->accepted_at = 20;
	for_one(0, 2, BALLOT_AGAINST);
	for_one(0, 1, BALLOT_FOR);
	decide();
	expect(1, POLICY_VIA_DECIDED, 0, BALLOT_FOR);
	expect(2, POLICY_VIA_CAP, NOBODY, BALLOT_NONE);
}

static void a_vote_for_a_principal_does_not_reach_beyond_the_depth(void **state)
{
	(void)state;
	facts.ask.depth = 1;
	lets(2, 1);
	lets(1, 0);
	for_one(0, 2, BALLOT_FOR);
	decide();
	assert_true(got.voices[2].choice == BALLOT_NONE);
}

static void in_a_circle_the_one_who_votes_for_another_is_heard(void **state)
{
	(void)state;
	lets(0, 1);
	lets(1, 2);
	lets(2, 0);
	for_one(1, 0, BALLOT_FOR);
	decide();
	expect(0, POLICY_VIA_DECIDED, 1, BALLOT_FOR);
	expect(1, POLICY_VIA_CYCLE, NOBODY, BALLOT_NONE);
}

/* ---- Admins, board, counts ---- */

static void admins_count_in_person(void **state)
{
	static struct policy_quorum two = { .op = POLICY_RULE_N_OF_M_ADMINS, .electorate = POLICY_ADMINS, .num = 2 };
	(void)state;
	roll[0] = roll[1] = roll[2] = BALLOT_ON_ROLL | BALLOT_ROLL_ADMIN;
	facts.rule = &two;
	lets(1, 0);
	lets(2, 0);
	choice[0] = BALLOT_FOR;
	decide();
	assert_int_equal(got.count.of[POLICY_MEMBERS].yes, 3);
	assert_int_equal(got.count.of[POLICY_ADMINS].yes, 1);
	assert_int_equal(got.count.of[POLICY_ADMINS].undecided[POLICY_VIA_NONE], 2);
	assert_int_equal(got.verdict, POLICY_FAILED);
	choice[1] = BALLOT_FOR;
	decide();
	assert_int_equal(got.verdict, POLICY_PASSED);
	facts.proposer = 1;
	decide();
	assert_int_equal(got.count.of[POLICY_ADMINS].proposer_yes, 1);
	assert_int_equal(got.verdict, POLICY_FAILED);
}

static void the_board_decides_by_its_resolution(void **state)
{
	(void)state;
	lets(1, POLICY_BOARD);
	decide();
	expect(1, POLICY_VIA_SILENT, NOBODY, BALLOT_NONE);
	choice[facts.n] = BALLOT_AGAINST;
	decide();
	expect(1, POLICY_VIA_DECIDED, POLICY_BOARD, BALLOT_AGAINST);
}

static void the_board_says_what_enough_admins_say(void **state)
{
	(void)state;
	assert_int_equal(ballot_board_choice((uint32_t[]){ 0, 2, 1, 0 }, 3, 1, 2, true), BALLOT_FOR);
	assert_int_equal(ballot_board_choice((uint32_t[]){ 0, 1, 0, 0 }, 3, 1, 2, true), BALLOT_NONE);
	assert_int_equal(ballot_board_choice((uint32_t[]){ 0, 2, 2, 0 }, 4, 1, 2, true), BALLOT_NONE);
	assert_int_equal(ballot_board_choice((uint32_t[]){ 0, 2, 2, 0 }, 4, 1, 2, false), BALLOT_NONE);
	assert_int_equal(ballot_board_choice((uint32_t[]){ 0, 0, 2, 1 }, 4, 1, 2, false), BALLOT_AGAINST);
	assert_int_equal(ballot_board_choice((uint32_t[]){ 0, 0, 0, 0 }, 0, 1, 2, true), BALLOT_NONE);
	assert_int_equal(ballot_board_choice((uint32_t[]){ 0, 0, 0, 3 }, 3, 1, 1, false), BALLOT_ABSTAIN);
}

static void an_empty_roll_fails(void **state)
{
	(void)state;
	facts.n = 0;
	decide();
	assert_int_equal(got.verdict, POLICY_FAILED);
}

static void contradicting_facts_are_refused(void **state)
{
	(void)state;
	facts.ask.depth = POLICY_DEPTH_MAX + 1;
	assert_int_equal(ballot_outcome_of(arena, &facts, &got), ERR_INVALID);
	facts.ask.depth = 1;
	roll[3] = 0;
	choice[3] = BALLOT_FOR;
	assert_int_equal(ballot_outcome_of(arena, &facts, &got), ERR_INVALID);
	choice[3] = 0;
	for_one(2, 2, BALLOT_FOR);
	assert_int_equal(ballot_outcome_of(arena, &facts, &got), ERR_INVALID);
	mandates[0] = (struct ballot_mandate){ 99, 2, BALLOT_FOR };
	assert_int_equal(ballot_outcome_of(arena, &facts, &got), ERR_INVALID);
}

static void the_quorum_base_does_not_sink_below_half_of_last_year(void **state)
{
	static struct policy_quorum half = { .op = POLICY_RULE_APPROVAL_QUORUM, .num = 1, .den = 2 };
	(void)state;
	facts.rule = &half;
	for (int m = 0; m < 4; m++)
		choice[m] = BALLOT_FOR;
	decide();
	assert_int_equal(got.verdict, POLICY_PASSED);
	facts.members_last_year = 20;
	decide();
	assert_int_equal(got.verdict, POLICY_FAILED);
}

/* ---- Laws, over random histories ---- */

static unsigned seed;

static unsigned draw(unsigned below)
{
	seed = seed * 1664525u + 1013904223u;
	return below ? (seed >> 8) % below : 0;
}

static void random_history(void)
{
	facts.n = 2 + draw(PEOPLE - 1);
	facts.n_edges = draw(EDGES);
	facts.n_mandates = 0;
	facts.ask.depth = (uint8_t)(1 + draw(8));
	facts.ask.cap = draw(3) ? 0 : 1 + draw(4);
	for (uint32_t m = 0; m < facts.n; m++) {
		roll[m] = draw(10) == 0 ? 0 : draw(4) ? BALLOT_ON_ROLL : BALLOT_ON_ROLL | BALLOT_ROLL_ADMIN;
		active[m] = draw(12) != 0;
		choice[m] = roll[m] && draw(3) == 0 ? (uint8_t)(1 + draw(3)) : BALLOT_NONE;
	}
	choice[facts.n] = (uint8_t)draw(4);
	for (size_t i = 0; i < facts.n_edges; i++) {
		uint32_t principal = draw((unsigned)facts.n), delegate = draw((unsigned)facts.n + 2);
		if (delegate == principal)
			delegate = (uint32_t)facts.n;
		edges[i] = (struct policy_edge){ .id = i + 1, .principal = principal, .delegate = delegate < facts.n ? delegate : delegate == facts.n ? POLICY_BOARD : POLICY_NOBODY,
			.scope = (uint8_t)draw(3), .topics = draw(2) ? 1u << POLICY_BALLOT_TOGGLE : 1u, .target = draw(2) ? 7 : 8, .accepted_at = draw(9) ? (int64_t)draw(90) : POLICY_NEVER,
			.starts = draw(50), .ends = 60 + (int64_t)draw(200), .revoked_at = draw(8) ? POLICY_NEVER : (int64_t)draw(200) };
	}
	for (uint32_t p = 0; p < facts.n; p++)
		for (uint32_t d = 0; d < facts.n && facts.n_mandates < PEOPLE * 2; d++)
			if (p != d && roll[d] && draw(12) == 0)
				for_one(d, p, (uint8_t)(1 + draw(3)));
}

static uint32_t undecided(const struct policy_tally *t)
{
	uint32_t sum = 0;
	for (size_t i = 0; i < POLICY_VIA_COUNT; i++)
		sum += t->undecided[i];
	return sum;
}

static void everybody_is_counted_exactly_once(unsigned no)
{
	uint32_t members = 0, admins = 0;
	for (uint32_t m = 0; m < facts.n; m++) {
		members += roll[m] != 0;
		admins += (roll[m] & BALLOT_ROLL_ADMIN) != 0;
	}
	for (unsigned e = 0; e < POLICY_ELECTORATE_COUNT; e++) {
		const struct policy_tally *t = &got.count.of[e];
		uint32_t listed = e == POLICY_MEMBERS ? members : admins;
		if (t->roll != listed || t->yes + t->no + t->abstain + undecided(t) != listed)
			fail_msg("history %u: %u of %u counted", no, t->yes + t->no + t->abstain + undecided(t), listed);
	}
}

static void caps_hold(unsigned no)
{
	uint32_t load[PEOPLE] = { 0 };
	for (uint32_t m = 0; m < facts.n && facts.ask.cap; m++) {
		const struct ballot_voice *v = &got.voices[m];
		if (v->via == POLICY_VIA_DECIDED && v->decider < facts.n && ++load[v->decider] > facts.ask.cap)
			fail_msg("history %u: %u decides for more than %u", no, v->decider, facts.ask.cap);
	}
}

static void paths_lead_to_the_decider(unsigned no)
{
	for (uint32_t m = 0; m < facts.n; m++) {
		uint32_t path[POLICY_DEPTH_MAX], at = m;
		size_t n = ballot_outcome_path(&facts, &got, m, path);
		for (size_t i = 0; i < n; i++) {
			assert_int_equal(edges[path[i]].principal, at);
			at = edges[path[i]].delegate;
		}
		if (got.voices[m].via == POLICY_VIA_DECIDED && (at != got.voices[m].decider || n > facts.ask.depth))
			fail_msg("history %u: the path of %u does not lead to %u", no, m, got.voices[m].decider);
	}
}

static void order_is_of_no_account(unsigned no)
{
	struct ballot_voice was[PEOPLE];
	struct ballot_mandate turned[PEOPLE * 2];
	struct policy_edge other[EDGES];
	struct ballot_facts again = facts;
	struct ballot_outcome o;
	memcpy(was, got.voices, sizeof(was[0]) * facts.n);
	for (size_t i = 0; i < facts.n_mandates; i++)
		turned[i] = mandates[facts.n_mandates - 1 - i];
	for (size_t i = 0; i < facts.n_edges; i++)
		other[i] = edges[facts.n_edges - 1 - i];
	again.mandates = turned;
	again.edges = other;
	assert_int_equal(ballot_outcome_of(arena, &again, &o), ERR_OK);
	for (uint32_t m = 0; m < facts.n; m++)
		if (o.voices[m].decider != was[m].decider || o.voices[m].choice != was[m].choice || o.voices[m].via != was[m].via)
			fail_msg("history %u: member %u depends on the order", no, m);
}

/* Whether the person asked about is the member or on a way that leads over the member. */
static bool upstream(uint32_t from, uint32_t member)
{
	uint32_t at = from;
	for (size_t i = 0; i <= facts.n; i++) {
		if (at == member)
			return true;
		if (at >= facts.n || got.paths[at].edge == POLICY_NO_EDGE)
			return false;
		at = edges[got.paths[at].edge].delegate;
	}
	return false;
}

/* Caps are off: under a cap a place that becomes free is somebody else's gain. */
static void one_own_vote_changes_only_own_and_upstream_weight(unsigned no)
{
	struct ballot_outcome after;
	uint32_t member = draw((unsigned)facts.n);
	uint8_t kept = choice[member];
	if (!roll[member] || facts.ask.cap)
		return;
	choice[member] = (uint8_t)draw(4);
	assert_int_equal(ballot_outcome_of(arena, &facts, &after), ERR_OK);
	choice[member] = kept;
	for (uint32_t m = 0; m < facts.n; m++)
		if ((after.voices[m].choice != got.voices[m].choice || after.voices[m].decider != got.voices[m].decider) && !upstream(m, member))
			fail_msg("history %u: the vote of %u changed %u", no, member, m);
}

static void taking_back_and_granting_again_changes_nothing(unsigned no)
{
	struct ballot_outcome after;
	if (!facts.n_edges)
		return;
	struct policy_edge *e = &edges[draw((unsigned)facts.n_edges)];
	policy_instant kept = e->revoked_at;
	e->revoked_at = 0;
	assert_int_equal(ballot_outcome_of(arena, &facts, &after), ERR_OK);
	e->revoked_at = kept;
	assert_int_equal(ballot_outcome_of(arena, &facts, &after), ERR_OK);
	for (uint32_t m = 0; m < facts.n; m++)
		if (after.voices[m].choice != got.voices[m].choice || after.voices[m].decider != got.voices[m].decider)
			fail_msg("history %u: member %u", no, m);
}

static void laws_hold_for_random_histories(void **state)
{
	const char *wanted = getenv("SEED");
	(void)state;
	seed = wanted ? (unsigned)strtoul(wanted, NULL, 10) : (unsigned)clock_tick() ^ 0x5bd1e995u;
	printf("SEED=%u\n", seed);
	for (unsigned no = 0; no < 4000; no++) {
		struct arena_mark mark = arena_mark(arena);
		random_history();
		decide();
		everybody_is_counted_exactly_once(no);
		caps_hold(no);
		paths_lead_to_the_decider(no);
		order_is_of_no_account(no);
		one_own_vote_changes_only_own_and_upstream_weight(no);
		taking_back_and_granting_again_changes_nothing(no);
		arena_rewind(arena, mark);
	}
}

#define test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(a_delegate_may_vote_differently_for_each_principal),
		test(the_principals_own_vote_goes_first),
		test(a_delegate_who_votes_for_others_only_has_not_voted),
		test(a_vote_for_a_principal_counts_only_while_the_edge_is_valid),
		test(of_several_on_the_path_the_nearest_votes_for_the_principal),
		test(whoever_has_voted_on_the_path_ends_it),
		test(a_stranger_votes_for_nobody),
		test(a_vote_for_a_principal_never_exceeds_the_cap),
		test(a_vote_for_a_principal_does_not_reach_beyond_the_depth),
		test(in_a_circle_the_one_who_votes_for_another_is_heard),
		test(admins_count_in_person),
		test(the_board_decides_by_its_resolution),
		test(the_board_says_what_enough_admins_say),
		test(an_empty_roll_fails),
		test(contradicting_facts_are_refused),
		test(the_quorum_base_does_not_sink_below_half_of_last_year),
		test(laws_hold_for_random_histories),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
