/* Lives as tables: what is in the table may follow and nothing else may, and a table with a hole in it does not start. */
#include "commonhold/lifecycle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { ASKED, GIVEN, TAKEN_BACK, STATES };

static const char *const words[] = { "asked", "given", "taken_back" };
static const struct lifecycle_edge edges[] = {
	{ LIFECYCLE_BEGINNING, ASKED, "Somebody asks." },
	{ ASKED, GIVEN, "It is given.", .guard = "an admin says so", .leaf = "thing.given", .who = 2 },
	{ ASKED, TAKEN_BACK, "It is taken back." },
	{ GIVEN, TAKEN_BACK, "It is taken back." },
};
static const struct lifecycle life = { .thing = "This thing", .reason = "thing_state", LIFECYCLE_TABLE(words, edges), .final = LIFECYCLE_BIT(TAKEN_BACK) };

static void only_what_is_in_the_table_may_follow(void **state)
{
	(void)state;
	for (int from = LIFECYCLE_BEGINNING; from < STATES; from++)
		for (int to = 0; to < STATES; to++) {
			struct error e = { 0 };
			const struct lifecycle_edge *edge;
			bool there = (from == LIFECYCLE_BEGINNING && to == ASKED) || (from == ASKED && to != ASKED) || (from == GIVEN && to == TAKEN_BACK);
			assert_int_equal(lifecycle_step(&life, from, to, &edge, &e), there ? ERR_OK : ERR_STATE);
			assert_ptr_equal(edge, lifecycle_edge(&life, from, to));
			assert_int_equal(edge != NULL, there);
		}
}

static void a_refusal_says_from_what_to_what_and_why_in_a_word(void **state)
{
	struct error e = { 0 };
	struct lifecycle plain = life;
	(void)state;
	assert_int_equal(lifecycle_step(&life, TAKEN_BACK, GIVEN, NULL, &e), ERR_STATE);
	assert_string_equal(e.message, "This thing is taken_back and cannot become given.");
	assert_string_equal(e.reason, "thing_state");
	plain.reason = NULL;
	assert_int_equal(lifecycle_step(&plain, GIVEN, ASKED, NULL, &e), ERR_STATE);
	assert_string_equal(e.reason, "");
}

static void words_and_states_lead_to_each_other(void **state)
{
	(void)state;
	for (int s = 0; s < STATES; s++)
		assert_int_equal(lifecycle_state(&life, str_of(lifecycle_word(&life, s))), s);
	assert_int_equal(lifecycle_state(&life, STR("lost")), -1);
	assert_int_equal(lifecycle_state(&life, STR_NONE), -1);
	assert_string_equal(lifecycle_word(&life, LIFECYCLE_BEGINNING), "");
	assert_string_equal(lifecycle_word(&life, STATES), "unknown");
	assert_string_equal(lifecycle_word(&life, -2), "unknown");
}

/* A table that is whole but for one thing. */
#define assert_hole(says, final_bits, ...) do { \
	static const struct lifecycle_edge holed[] = { __VA_ARGS__ }; \
	const struct lifecycle l = { .thing = "It", LIFECYCLE_TABLE(words, holed), .final = (final_bits) }; \
	struct error e = { 0 }; \
	assert_int_equal(lifecycle_check(&l, &e), ERR_INTERNAL); \
	assert_string_equal(e.message, says); \
} while (0)

static void a_whole_table_passes(void **state)
{
	struct error e = { 0 };
	(void)state;
	assert_int_equal(lifecycle_check(&life, &e), ERR_OK);
	assert_int_equal(e.code, ERR_OK);
}

static void a_table_with_a_hole_is_found_out(void **state)
{
	(void)state;
	const unsigned end = LIFECYCLE_BIT(TAKEN_BACK);
	assert_hole("It: the edge from \"asked\" to \"unknown\" is of a state that there is not.", end, { LIFECYCLE_BEGINNING, ASKED, "x" }, { ASKED, STATES, "x" });
	assert_hole("It: the edge from \"unknown\" to \"asked\" is of a state that there is not.", end, { -2, ASKED, "x" });
	assert_hole("It: the edge from \"asked\" to \"asked\" leads nowhere.", end, { ASKED, ASKED, "x" });
	assert_hole("It: the edge from \"asked\" to \"given\" has no sentence.", end, { ASKED, GIVEN, "" });
	assert_hole("It: the edge from \"\" to \"asked\" is there twice.", end, { LIFECYCLE_BEGINNING, ASKED, "x" }, { LIFECYCLE_BEGINNING, ASKED, "y" });
	assert_hole("It: nothing leads out of given.", end, { LIFECYCLE_BEGINNING, ASKED, "x" }, { ASKED, GIVEN, "x" }, { ASKED, TAKEN_BACK, "x" });
	assert_hole("It: something leads out of taken_back.", end, { LIFECYCLE_BEGINNING, ASKED, "x" }, { ASKED, GIVEN, "x" }, { GIVEN, TAKEN_BACK, "x" }, { TAKEN_BACK, ASKED, "x" });
}

/* Two states that lead to each other are entered, and yet nobody ever gets there. */
static void a_state_is_reached_from_the_beginning_or_not_at_all(void **state)
{
	(void)state;
	assert_hole("It: nothing leads to given.", LIFECYCLE_BIT(ASKED), { LIFECYCLE_BEGINNING, ASKED, "x" }, { GIVEN, TAKEN_BACK, "x" }, { TAKEN_BACK, GIVEN, "x" });
}

static void words_are_there_and_differ(void **state)
{
	static const char *const twice[] = { "asked", "given", "asked" }, *const none[] = { "asked", "", "taken_back" };
	struct lifecycle l = life;
	struct error e = { 0 };
	(void)state;
	l.states = twice;
	assert_int_equal(lifecycle_check(&l, &e), ERR_INTERNAL);
	assert_string_equal(e.message, "This thing: two states are called asked.");
	l.states = none;
	assert_int_equal(lifecycle_check(&l, &e), ERR_INTERNAL);
	assert_string_equal(e.message, "This thing: state 1 has no word.");
	l.n_states = 0;
	assert_int_equal(lifecycle_check(&l, &e), ERR_INTERNAL);
	l.n_states = LIFECYCLE_STATES_MAX + 1;
	assert_int_equal(lifecycle_check(&l, &e), ERR_INTERNAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_is_in_the_table_may_follow),
		cmocka_unit_test(a_refusal_says_from_what_to_what_and_why_in_a_word),
		cmocka_unit_test(words_and_states_lead_to_each_other),
		cmocka_unit_test(a_whole_table_passes),
		cmocka_unit_test(a_table_with_a_hole_is_found_out),
		cmocka_unit_test(a_state_is_reached_from_the_beginning_or_not_at_all),
		cmocka_unit_test(words_are_there_and_differ),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
