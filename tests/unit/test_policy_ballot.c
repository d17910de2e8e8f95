/* Ballot rules: each kind, composition, ties and empty rolls, the invariant on counts, and when a result is settled. */
#include "tests/unit/policy_kit.h"

static struct policy_count count;

static void members(uint32_t roll, uint32_t yes, uint32_t no, uint32_t abstain)
{
	count = (struct policy_count){0};
	struct policy_tally *t = &count.of[POLICY_MEMBERS];
	t->roll = roll;
	t->yes = yes;
	t->no = no;
	t->abstain = abstain;
	t->undecided[POLICY_VIA_NONE] = roll - yes - no - abstain;
}

static struct policy_quorum leaf(unsigned op, uint32_t num, uint32_t den)
{
	return (struct policy_quorum){.op = (uint8_t)op, .num = num, .den = den,
	                              .electorate = op == POLICY_RULE_N_OF_M_ADMINS ? POLICY_ADMINS : POLICY_MEMBERS};
}

static bool passes(struct policy_quorum rule)
{
	return policy_ballot_decide(&rule, 1, &count) == POLICY_PASSED;
}

static void a_majority_needs_more_for_than_against(void **state)
{
	(void)state;
	members(10, 3, 2, 5);
	assert_true(passes(leaf(POLICY_RULE_MAJORITY, 0, 0)));
	members(10, 3, 3, 0);
	assert_false(passes(leaf(POLICY_RULE_MAJORITY, 0, 0)));
	assert_false(passes(leaf(POLICY_RULE_MAJORITY, 1, 2)));
	members(10, 0, 0, 10);
	assert_false(passes(leaf(POLICY_RULE_MAJORITY, 0, 0)));
}

static void a_ratio_is_strict_or_inclusive(void **state)
{
	(void)state;
	struct policy_quorum two_thirds = leaf(POLICY_RULE_MAJORITY, 2, 3);
	members(10, 4, 2, 4);
	assert_true(passes(two_thirds));
	two_thirds.strict = 1;
	assert_false(passes(two_thirds));
	members(10, 5, 2, 3);
	assert_true(passes(two_thirds));
}

static void an_approval_quorum_counts_the_roll(void **state)
{
	(void)state;
	members(9, 3, 6, 0);
	assert_true(passes(leaf(POLICY_RULE_APPROVAL_QUORUM, 1, 3)));
	members(10, 3, 0, 0);
	assert_false(passes(leaf(POLICY_RULE_APPROVAL_QUORUM, 1, 3)));
}

static void the_base_never_falls_below_half_of_last_years_roll(void **state)
{
	(void)state;
	members(9, 3, 0, 0);
	count.of[POLICY_MEMBERS].roll_last_year = 18;
	assert_int_equal(policy_quorum_base(&count.of[POLICY_MEMBERS]), 9);
	assert_true(passes(leaf(POLICY_RULE_APPROVAL_QUORUM, 1, 3)));
	count.of[POLICY_MEMBERS].roll_last_year = 19;
	assert_int_equal(policy_quorum_base(&count.of[POLICY_MEMBERS]), 10);
	assert_false(passes(leaf(POLICY_RULE_APPROVAL_QUORUM, 1, 3)));
}

static void abstentions_count_in_turnout_and_not_in_ratios(void **state)
{
	(void)state;
	members(10, 1, 0, 4);
	assert_true(passes(leaf(POLICY_RULE_TURNOUT_QUORUM, 1, 2)));
	assert_true(passes(leaf(POLICY_RULE_MAJORITY, 1, 1)));
	members(10, 1, 0, 3);
	assert_false(passes(leaf(POLICY_RULE_TURNOUT_QUORUM, 1, 2)));
}

static void objections_are_capped_by_votes_cast(void **state)
{
	(void)state;
	members(10, 3, 1, 0);
	assert_true(passes(leaf(POLICY_RULE_OBJECTION_CAP, 1, 4)));
	members(10, 2, 1, 0);
	assert_false(passes(leaf(POLICY_RULE_OBJECTION_CAP, 1, 4)));
	members(10, 2, 1, 1);
	assert_true(passes(leaf(POLICY_RULE_OBJECTION_CAP, 1, 4)));
	assert_false(passes(leaf(POLICY_RULE_OBJECTION_CAP, 0, 1)));
}

static void n_of_m_admins_does_not_count_the_proposer(void **state)
{
	(void)state;
	members(0, 0, 0, 0);
	count.of[POLICY_ADMINS] = (struct policy_tally){.roll = 3, .yes = 2, .no = 1};
	assert_true(passes(leaf(POLICY_RULE_N_OF_M_ADMINS, 2, 0)));
	count.of[POLICY_ADMINS].proposer_yes = 1;
	assert_false(passes(leaf(POLICY_RULE_N_OF_M_ADMINS, 2, 0)));
	assert_true(passes(leaf(POLICY_RULE_N_OF_M_ADMINS, 1, 0)));
}

static void an_empty_roll_fails(void **state)
{
	(void)state;
	members(0, 0, 0, 0);
	for (unsigned op = POLICY_RULE_MAJORITY; op <= POLICY_RULE_N_OF_M_ADMINS; op++)
		assert_false(passes(leaf(op, 1, 1)));
	assert_false(passes(leaf(POLICY_RULE_OBJECTION_CAP, 1, 1)));
}

static void rules_compose(void **state)
{
	(void)state;
	struct policy_quorum rule[] = {{.op = POLICY_RULE_ALL_OF, .first = 1, .count = 2}, leaf(POLICY_RULE_MAJORITY, 0, 0),
	                               leaf(POLICY_RULE_TURNOUT_QUORUM, 1, 2)};
	uint8_t verdicts[3];
	members(10, 3, 1, 0);
	assert_int_equal(policy_ballot_decide(rule, 3, &count), POLICY_FAILED);
	policy_ballot_nodes(rule, 3, &count, verdicts);
	assert_int_equal(verdicts[1], POLICY_PASSED);
	assert_int_equal(verdicts[2], POLICY_FAILED);
	rule[0].op = POLICY_RULE_ANY_OF;
	assert_int_equal(policy_ballot_decide(rule, 3, &count), POLICY_PASSED);
}

static void unsound_rules_and_counts_fail(void **state)
{
	(void)state;
	members(10, 9, 0, 0);
	const struct policy_quorum good = leaf(POLICY_RULE_MAJORITY, 1, 2);
	struct policy_quorum bad[] = {good, good, good, good, good, good, good, good, leaf(POLICY_RULE_MAJORITY, 1, 3)};
	bad[0].op = POLICY_RULE_OP_COUNT;
	bad[1].electorate = POLICY_ELECTORATE_COUNT;
	bad[2].den = 0;
	bad[3].num = 3;
	bad[4].strict = 2;
	bad[5] = (struct policy_quorum){.op = POLICY_RULE_ANY_OF};
	bad[6] = (struct policy_quorum){.op = POLICY_RULE_ANY_OF, .first = 0, .count = 1};
	bad[7] = leaf(POLICY_RULE_N_OF_M_ADMINS, 0, 0);
	for (size_t i = 0; i < 9; i++)
		assert_false(passes(bad[i]));
	assert_true(passes(good));
	struct policy_quorum loose[] = {good, good};
	assert_false(policy_quorum_valid(loose, 2));
	assert_false(policy_quorum_valid(loose, 0));
	assert_false(policy_quorum_valid(loose, POLICY_QUORUM_MAX + 1));
	count.of[POLICY_MEMBERS].roll++;
	assert_false(passes(good));
	count.of[POLICY_MEMBERS].undecided[POLICY_VIA_CYCLE]++;
	assert_true(passes(good));
	count.of[POLICY_MEMBERS].fixed_yes = 10;
	assert_false(passes(good));
}

static void resolved_members_are_counted_once_and_add_up(void **state)
{
	(void)state;
	struct policy_path paths[6] = {{.via = POLICY_VIA_OWN, .decider = 0}, {.via = POLICY_VIA_DECIDED, .decider = 0},
	                               {.via = POLICY_VIA_DECIDED, .decider = POLICY_BOARD}, {.via = POLICY_VIA_CYCLE, .decider = POLICY_NO_DECIDER},
	                               {.via = POLICY_VIA_OWN, .decider = 4}, {.via = POLICY_VIA_OWN, .decider = 5}};
	const uint8_t choice[] = {1, 0, 0, 0, 3, 2, 2}, roll[] = {1, 1, 1, 1, 1, 0};
	struct policy_tally t = {.roll_last_year = 4};
	policy_ballot_count(paths, choice, roll, 6, &t);
	assert_int_equal(t.roll, 5);
	assert_int_equal(t.yes, 2);
	assert_int_equal(t.no, 1);
	assert_int_equal(t.abstain, 1);
	assert_int_equal(t.undecided[POLICY_VIA_CYCLE], 1);
	assert_int_equal(t.roll_last_year, 4);
	assert_true(policy_tally_valid(&t));
}

static void one_extension_after_a_late_flip(void **state)
{
	(void)state;
	assert_int_equal(policy_ballot_extend(0, 1000, 950, false), 1100);
	assert_int_equal(policy_ballot_extend(0, 1000, 900, false), 1100);
	assert_int_equal(policy_ballot_extend(0, 1000, 899, false), 1000);
	assert_int_equal(policy_ballot_extend(0, 1000, 950, true), 1000);
	assert_int_equal(policy_ballot_extend(0, 1000, 1000, false), 1000);
	assert_int_equal(policy_ballot_extend(POLICY_EVER, POLICY_NEVER, 5, false), POLICY_NEVER);
}

/* ---- Settled: against every way in which the free votes can still fall ------------------------------------------ */

static struct policy_quorum random_leaf(uint64_t *rng)
{
	static const uint8_t ops[] = {POLICY_RULE_MAJORITY, POLICY_RULE_APPROVAL_QUORUM, POLICY_RULE_TURNOUT_QUORUM,
	                              POLICY_RULE_OBJECTION_CAP};
	uint32_t den = 1 + kit_below(rng, 5);
	struct policy_quorum rule = leaf(ops[kit_below(rng, 4)], 1 + kit_below(rng, den), den);
	rule.strict = (uint8_t)kit_below(rng, 2);
	if (rule.op == POLICY_RULE_MAJORITY)
		rule.num = kit_below(rng, 2) ? 0 : den - kit_below(rng, den / 2 + 1);
	return rule;
}

static bool outcome_reachable(const struct policy_quorum *rule, size_t n, const struct policy_tally *t, bool pass)
{
	uint32_t free = t->roll - t->fixed_yes - t->fixed_no - t->fixed_abstain - t->fixed_undecided;
	for (uint32_t y = 0; y <= free; y++)
		for (uint32_t o = 0; y + o <= free; o++)
			for (uint32_t a = 0; y + o + a <= free; a++) {
				struct policy_count c = {0};
				c.of[POLICY_MEMBERS] = (struct policy_tally){.roll = t->roll, .roll_last_year = t->roll_last_year,
				                                             .yes = t->fixed_yes + y, .no = t->fixed_no + o,
				                                             .abstain = t->fixed_abstain + a};
				c.of[POLICY_MEMBERS].undecided[0] = t->roll - t->fixed_yes - t->fixed_no - t->fixed_abstain - y - o - a;
				if ((policy_ballot_decide(rule, n, &c) == POLICY_PASSED) == pass)
					return true;
			}
	return false;
}

static void settled_means_that_no_legal_act_can_change_it(void **state)
{
	(void)state;
	uint64_t rng = kit_seed("settled_means_that_no_legal_act_can_change_it");
	size_t settled = 0;
	for (int round = 0; round < 6000; round++) {
		struct policy_quorum rule[5] = {{.op = kit_below(&rng, 2) ? POLICY_RULE_ALL_OF : POLICY_RULE_ANY_OF, .first = 1, .count = 2}};
		size_t n = 5;
		rule[1] = random_leaf(&rng);
		rule[2] = (struct policy_quorum){.op = kit_below(&rng, 2) ? POLICY_RULE_ALL_OF : POLICY_RULE_ANY_OF, .first = 3, .count = 2};
		rule[3] = random_leaf(&rng);
		rule[4] = random_leaf(&rng);
		if (kit_below(&rng, 3) == 0) {
			rule[0] = rule[1];
			n = 1;
		}
		struct policy_tally t = {.roll_last_year = kit_below(&rng, 12)};
		t.fixed_yes = t.yes = kit_below(&rng, 6);
		t.fixed_no = t.no = kit_below(&rng, 6);
		t.fixed_abstain = t.abstain = kit_below(&rng, 3);
		t.fixed_undecided = t.undecided[0] = kit_below(&rng, 3);
		t.yes += kit_below(&rng, 3);
		t.no += kit_below(&rng, 3);
		t.undecided[POLICY_VIA_SILENT] = kit_below(&rng, 3);
		t.roll = t.yes + t.no + t.abstain + t.undecided[0] + t.undecided[POLICY_VIA_SILENT];
		count = (struct policy_count){{t}};
		bool can_pass = outcome_reachable(rule, n, &t, true), can_fail = outcome_reachable(rule, n, &t, false);
		enum policy_verdict verdict;
		bool is = policy_ballot_settled(rule, n, &count, &verdict);
		if (is != (can_pass != can_fail) || (is && verdict != (can_pass ? POLICY_PASSED : POLICY_FAILED)))
			fail_msg("round %d: settled %d, can pass %d, can fail %d", round, is, can_pass, can_fail);
		settled += is;
	}
	assert_in_range(settled, 500, 5500);
}

static void a_count_of_nobody_is_not_settled_by_mistake(void **state)
{
	(void)state;
	enum policy_verdict verdict;
	struct policy_quorum rule = leaf(POLICY_RULE_MAJORITY, 0, 0);
	members(10, 10, 0, 0);
	assert_false(policy_ballot_settled(&rule, 1, &count, &verdict));
	count.of[POLICY_MEMBERS].fixed_yes = 6;
	assert_true(policy_ballot_settled(&rule, 1, &count, &verdict));
	assert_int_equal(verdict, POLICY_PASSED);
	count.of[POLICY_MEMBERS].roll = 3;
	assert_false(policy_ballot_settled(&rule, 1, &count, &verdict));
}

static void names_are_found(void **state)
{
	(void)state;
	for (unsigned k = 0; k < POLICY_BALLOT_COUNT; k++)
		assert_int_equal(policy_ballot_find(policy_ballot_name(k), strlen(policy_ballot_name(k))), k);
	assert_null(policy_ballot_name(POLICY_BALLOT_COUNT));
	assert_int_equal(policy_ballot_find("x", 1), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_majority_needs_more_for_than_against), cmocka_unit_test(a_ratio_is_strict_or_inclusive),
		cmocka_unit_test(an_approval_quorum_counts_the_roll),
		cmocka_unit_test(the_base_never_falls_below_half_of_last_years_roll),
		cmocka_unit_test(abstentions_count_in_turnout_and_not_in_ratios),
		cmocka_unit_test(objections_are_capped_by_votes_cast), cmocka_unit_test(n_of_m_admins_does_not_count_the_proposer),
		cmocka_unit_test(an_empty_roll_fails), cmocka_unit_test(rules_compose), cmocka_unit_test(unsound_rules_and_counts_fail),
		cmocka_unit_test(resolved_members_are_counted_once_and_add_up), cmocka_unit_test(one_extension_after_a_late_flip),
		cmocka_unit_test(settled_means_that_no_legal_act_can_change_it),
		cmocka_unit_test(a_count_of_nobody_is_not_settled_by_mistake), cmocka_unit_test(names_are_found),
	};
	return cmocka_run_group_tests_name("policy ballots", tests, NULL, NULL);
}
