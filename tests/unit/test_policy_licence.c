/* Licences: the matrix cell by cell, its laws, the solver and the notices. */
#include "tests/unit/policy_kit.h"

#define L(sym) (UINT64_C(1) << POLICY_LICENCE_##sym)

/* The matrix as the reference prints it, columns CC0/PDDL BY BY-SA BY-NC BY-NC-SA ODC-By ODbL CDLA-P2 CDLA-S1. */
static const struct {
	unsigned in;
	const char *marks;
} matrix[] = {
	{POLICY_LICENCE_CC0_1_0, "+++++++++"},         {POLICY_LICENCE_PDDL_1_0, "+++++++++"},
	{POLICY_LICENCE_CDLA_PERMISSIVE_2_0, "TTTTTTT+T"}, {POLICY_LICENCE_OGL_UK_3_0, "xAAAAAAA?"},
	{POLICY_LICENCE_ETALAB_2_0, "xAA??AAA?"},      {POLICY_LICENCE_CC_BY_4_0, "x+AAALWA?"},
	{POLICY_LICENCE_ODC_BY_1_0, "xL?xx+?L?"},      {POLICY_LICENCE_CC_BY_SA_4_0, "xx+xxxxxx"},
	{POLICY_LICENCE_CC_BY_NC_4_0, "xxx+Axxxx"},    {POLICY_LICENCE_CC_BY_NC_SA_4_0, "xxxx+xxxx"},
	{POLICY_LICENCE_ODBL_1_0, "xxxxxx+xx"},        {POLICY_LICENCE_CDLA_SHARING_1_0, "xxxxxxxx+"},
	{POLICY_LICENCE_C_UDA_1_0, "xxxxxxxxx"},       {POLICY_LICENCE_CC_BY_ND_4_0, "xxxxxxxxx"},
	{POLICY_LICENCE_CC_BY_NC_ND_4_0, "xxxxxxxxx"}, {POLICY_LICENCE_RAIL_D, "xxxxxxxxx"},
	{POLICY_LICENCE_NOODL_1_0, "xxxxxxxxx"},       {POLICY_LICENCE_UNKNOWN, "xxxxxxxxx"},
};
static const unsigned columns[] = {POLICY_LICENCE_CC0_1_0,      POLICY_LICENCE_CC_BY_4_0,   POLICY_LICENCE_CC_BY_SA_4_0,
                                   POLICY_LICENCE_CC_BY_NC_4_0, POLICY_LICENCE_CC_BY_NC_SA_4_0, POLICY_LICENCE_ODC_BY_1_0,
                                   POLICY_LICENCE_ODBL_1_0,     POLICY_LICENCE_CDLA_PERMISSIVE_2_0, POLICY_LICENCE_CDLA_SHARING_1_0};

static void every_cell_is_the_references_and_has_a_source(void **state)
{
	(void)state;
	static const char marks[] = {'x', '+', 'A', 'T', 'L', 'W', '?'};
	for (size_t r = 0; r < sizeof matrix / sizeof matrix[0]; r++)
		for (size_t c = 0; c < 9; c++) {
			assert_int_equal(marks[policy_licence_cell(matrix[r].in, columns[c])], matrix[r].marks[c]);
			if (c == 0)
				assert_int_equal(policy_licence_cell(matrix[r].in, POLICY_LICENCE_PDDL_1_0),
				                 policy_licence_cell(matrix[r].in, POLICY_LICENCE_CC0_1_0));
			if (matrix[r].in != POLICY_LICENCE_UNKNOWN)
				assert_true(strlen(policy_licence_source(matrix[r].in, columns[c])) > 8);
		}
}

static void open_government_licences_as_outputs_take_the_public_domain_and_themselves(void **state)
{
	(void)state;
	for (unsigned out = POLICY_LICENCE_ETALAB_2_0; out <= POLICY_LICENCE_OGL_UK_3_0; out++)
		for (unsigned in = 1; in <= POLICY_LICENCE_OGL_UK_3_0; in++)
			assert_int_equal(policy_licence_cell(in, out),
			                 in == out || in <= POLICY_LICENCE_PDDL_1_0 ? POLICY_CELL_YES : POLICY_CELL_REVIEW);
	for (unsigned out = POLICY_LICENCE_ETALAB_2_0; out <= POLICY_LICENCE_OGL_UK_3_0; out++)
		for (unsigned in = POLICY_LICENCE_C_UDA_1_0; in < POLICY_LICENCE_COUNT; in++)
			assert_int_equal(policy_licence_cell(in, out), POLICY_CELL_NO);
}

static void ids_are_found_whatever_their_case(void **state)
{
	(void)state;
	for (unsigned i = 1; i < POLICY_LICENCE_COUNT; i++)
		assert_int_equal(policy_licence_find(policy_licence_get(i)->spdx, strlen(policy_licence_get(i)->spdx)), i);
	assert_int_equal(policy_licence_find("cc-by-4.0", 9), POLICY_LICENCE_CC_BY_4_0);
	assert_int_equal(policy_licence_find("CC-BY-4", 7), POLICY_LICENCE_UNKNOWN);
	assert_int_equal(policy_licence_find("CC-BY-4.0 ", 10), POLICY_LICENCE_UNKNOWN);
	assert_int_equal(policy_licence_find("", 0), POLICY_LICENCE_UNKNOWN);
	assert_ptr_equal(policy_licence_get(999), policy_licence_get(POLICY_LICENCE_UNKNOWN));
	assert_int_equal(policy_licence_cell(99, 1), POLICY_CELL_NO);
	assert_string_equal(policy_licence_source(1, 99), "");
}

static void folding_is_the_meet_of_the_pairs(void **state)
{
	(void)state;
	for (unsigned a = 0; a < POLICY_LICENCE_COUNT; a++)
		for (unsigned b = 0; b < POLICY_LICENCE_COUNT; b++) {
			uint64_t both = UINT64_C(1) << a | UINT64_C(1) << b;
			assert_int_equal(policy_licence_fold(both),
			                 policy_licence_fold(UINT64_C(1) << a) & policy_licence_fold(UINT64_C(1) << b));
		}
	assert_int_equal(policy_licence_fold(0), POLICY_OUTPUTS_ALL);
	assert_int_equal(policy_licence_fold(L(UNKNOWN)), 0);
}

/* Why originals are folded: through an intermediate output the chain would launder terms. */
static void the_relation_is_not_transitive(void **state)
{
	(void)state;
	unsigned broken = 0;
	for (unsigned a = 1; a <= 12; a++)
		for (unsigned b = 1; b <= 12; b++)
			for (unsigned c = 1; c <= 12; c++) {
				uint32_t from_a = policy_licence_outputs(a, POLICY_CELLS_PASS), from_b = policy_licence_outputs(b, POLICY_CELLS_PASS);
				broken += a != b && b != c && (from_a >> b & 1) && (from_b >> c & 1) && !(from_a >> c & 1);
			}
	assert_true(broken >= 15);
}

static struct policy_plan plan(uint64_t licences, uint32_t wanted)
{
	uint64_t items[POLICY_LICENCE_COUNT] = {0};
	for (unsigned i = 0; i < POLICY_LICENCE_COUNT; i++)
		items[i] = licences >> i & 1 ? 10 + i : 0;
	struct policy_plan p;
	policy_licence_plan(items, wanted, &p);
	return p;
}

static void a_pool_that_agrees_is_one_shard(void **state)
{
	(void)state;
	struct policy_plan p = plan(L(CC0_1_0) | L(CC_BY_4_0), POLICY_OUTPUTS_ALL);
	assert_int_equal(p.n_shards, 1);
	assert_int_equal(p.n_blockers, 0);
	assert_int_equal(p.shards[0].output, POLICY_LICENCE_CC_BY_4_0);
	assert_int_equal(p.shards[0].items, 10 + 1 + 10 + 3);
	assert_true(p.outputs & L(CC_BY_SA_4_0));
	assert_int_equal(p.duties, POLICY_BIT(POLICY_DUTY_CREDIT) | POLICY_BIT(POLICY_DUTY_NOTICE));
}

static void a_pool_that_disagrees_names_its_blockers_and_shards(void **state)
{
	(void)state;
	struct policy_plan p = plan(L(CC_BY_4_0) | L(CC_BY_SA_4_0) | L(CC_BY_NC_4_0) | L(CC_BY_ND_4_0), POLICY_OUTPUTS_ALL);
	assert_int_equal(p.outputs, 0);
	assert_int_equal(p.outcast, L(CC_BY_ND_4_0));
	assert_int_equal(p.n_blockers, 2);
	assert_int_equal(p.blockers[0], L(CC_BY_ND_4_0));
	assert_int_equal(p.blockers[1], L(CC_BY_SA_4_0) | L(CC_BY_NC_4_0));
	assert_int_equal(p.n_shards, 2);
}

static void nothing_in_a_pool_needs_nothing(void **state)
{
	(void)state;
	struct policy_plan p = plan(0, POLICY_OUTPUTS_ALL);
	assert_int_equal(p.n_shards, 0);
	assert_int_equal(p.outputs, POLICY_OUTPUTS_ALL);
}

/* For random pools: shards take every placeable licence once, under an output that each allows; no plan has fewer;
 * blockers are exactly the minimal sets that fold to nothing. */
static void plans_hold_what_they_promise(void **state)
{
	(void)state;
	uint64_t rng = kit_seed("plans_hold_what_they_promise");
	for (int round = 0; round < 150; round++) {
		uint64_t pool = kit_random(&rng) & kit_random(&rng) & ((1u << POLICY_LICENCE_COUNT) - 1);
		uint32_t wanted = (uint32_t)kit_random(&rng) & POLICY_OUTPUTS_ALL;
		struct policy_plan p = plan(pool, wanted);
		uint64_t taken = 0;
		for (size_t i = 0; i < p.n_shards; i++) {
			assert_int_equal(taken & p.shards[i].licences, 0);
			taken |= p.shards[i].licences;
			assert_true(policy_licence_fold(p.shards[i].licences) & wanted & 1u << p.shards[i].output);
		}
		assert_int_equal(taken | p.outcast, pool);
		assert_int_equal(p.outputs, policy_licence_fold(pool) & wanted);
		if (taken && policy_licence_fold(taken) & wanted)
			assert_int_equal(p.n_shards, 1);
		for (size_t i = 0; i < p.n_blockers; i++) {
			assert_int_equal(policy_licence_fold(p.blockers[i]) & wanted, 0);
			for (uint64_t left = p.blockers[i]; left; left &= left - 1)
				assert_true(p.blockers[i] == (left & -left) || policy_licence_fold(p.blockers[i] & ~(left & -left)) & wanted);
		}
		assert_int_equal(p.n_blockers == 0, (policy_licence_fold(pool) & wanted) != 0 || pool == 0);
	}
}

static void notices_name_every_licence(void **state)
{
	(void)state;
	char text[2000];
	size_t len = policy_licence_notice(L(CC_BY_4_0) | L(CDLA_PERMISSIVE_2_0) | L(CC_BY_SA_4_0), POLICY_LICENCE_CC_BY_SA_4_0, text, sizeof text);
	assert_true(len < sizeof text && len == strlen(text));
	assert_non_null(strstr(text, "This release is under Creative Commons Attribution-ShareAlike 4.0 (CC-BY-SA-4.0)"));
	assert_non_null(strstr(text, "Its text is shipped"));
	assert_non_null(strstr(text, "Credit each contributor"));
	char small[16];
	assert_int_equal(policy_licence_notice(L(CC_BY_4_0) | L(CDLA_PERMISSIVE_2_0) | L(CC_BY_SA_4_0), POLICY_LICENCE_CC_BY_SA_4_0, small, sizeof small), len);
	assert_int_equal(policy_licence_notice(L(CC_BY_4_0) | L(CDLA_PERMISSIVE_2_0) | L(CC_BY_SA_4_0), POLICY_LICENCE_CC_BY_SA_4_0, NULL, 0), len);
	policy_licence_notice(L(ODC_BY_1_0) | L(CC_BY_SA_4_0), 0, text, sizeof text);
	assert_non_null(strstr(text, "keeps its own licence"));
	assert_non_null(strstr(text, "Adaptations must be shared"));
	policy_licence_notice(L(ODC_BY_1_0) | L(CC_BY_4_0), POLICY_LICENCE_CC_BY_4_0, text, sizeof text);
	assert_non_null(strstr(text, "beside the licence"));
	policy_licence_notice(L(CC_BY_SA_4_0), POLICY_LICENCE_CC_BY_4_0, text, sizeof text);
	assert_non_null(strstr(text, "further permission"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_cell_is_the_references_and_has_a_source),
		cmocka_unit_test(open_government_licences_as_outputs_take_the_public_domain_and_themselves),
		cmocka_unit_test(ids_are_found_whatever_their_case), cmocka_unit_test(folding_is_the_meet_of_the_pairs),
		cmocka_unit_test(the_relation_is_not_transitive), cmocka_unit_test(a_pool_that_agrees_is_one_shard),
		cmocka_unit_test(a_pool_that_disagrees_names_its_blockers_and_shards),
		cmocka_unit_test(nothing_in_a_pool_needs_nothing), cmocka_unit_test(plans_hold_what_they_promise),
		cmocka_unit_test(notices_name_every_licence),
	};
	return cmocka_run_group_tests_name("policy licences", tests, NULL, NULL);
}
