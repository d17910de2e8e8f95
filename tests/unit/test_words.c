/* How pages say things: words for every number of the vocabulary, dates and counts as people write them, and charts whose letters keep their size. */
#include "commonhold/arena.h"
#include "commonhold/chart.h"
#include "commonhold/limits.h"
#include "commonhold/words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct arena *arena;

static int set_up(void **state)
{
	(void)state;
	arena = arena_new(MIB);
	return arena ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

#define assert_str(s, z) do { struct str s_ = (s), z_ = str_of(z); \
	if (!str_eq(s_, z_)) fail_msg("\"%.*s\" is not \"%s\"", STR_ARG(s_), z_.p); } while (0)

static void dates_and_counts_are_written_as_people_do(void **state)
{
	(void)state;
	instant t = INT64_C(1795341600000000);
	assert_str(words_day(arena, t), "22 November 2026");
	assert_str(words_minute(arena, t), "22 November 2026, 10:00 UTC");
	assert_str(words_day_iso(arena, t), "2026-11-22");
	assert_null(words_day(arena, INSTANT_NONE).p);
	assert_str(words_things(arena, 1, "group", "groups"), "1 group");
	assert_str(words_things(arena, 1200, "group", "groups"), "1,200 groups");
	assert_str(words_count(arena, 0), "0");
	assert_str(words_count(arena, 999), "999");
	assert_str(words_count(arena, 1000), "1,000");
	assert_str(words_count(arena, -1234567), "-1,234,567");
	assert_str(words_size(arena, 999), "999 B");
	assert_str(words_size(arena, 1234567), "1.2 MB");
}

static void languages_are_called_by_their_names(void **state)
{
	(void)state;
	assert_str(words_language(arena, STR("rm")), "Romansh");
	assert_str(words_language(arena, STR("de-CH")), "German (CH)");
	assert_str(words_language(arena, STR("qaa")), "qaa");
	assert_null(words_language(arena, STR_NONE).p);
}

static void a_pointer_is_said_as_a_place(void **state)
{
	(void)state;
	assert_str(words_field(arena, STR("/input")), "Input");
	assert_str(words_field(arena, STR("/messages/0/content")), "Messages 1: content");
	assert_str(words_field(arena, STR("/target/source_id")), "Target, source id");
	assert_str(words_field(arena, STR("")), "");
}

static void every_number_of_the_vocabulary_has_words(void **state)
{
	(void)state;
	for (unsigned no = 0; no < POLICY_REASON_COUNT; no++) {
		const char *words = words_reason(no);
		assert_string_not_equal(words, words_reason(POLICY_REASON_COUNT));
		/* A chart on a phone has room for so much beside the number. */
		assert_in_range(strlen(words), 5, 40);
		assert_null(strchr(words, '_'));
		assert_null(strchr(words, '{'));
	}
	for (unsigned no = 0; no < POLICY_USE_COUNT; no++)
		assert_string_not_equal(words_use(no), words_use(POLICY_USE_COUNT));
	for (unsigned no = 0; no < POLICY_PURPOSE_COUNT; no++)
		assert_string_not_equal(words_purpose(no), words_purpose(POLICY_PURPOSE_COUNT));
	for (unsigned no = 0; no < POLICY_KIND_COUNT; no++)
		assert_string_not_equal(words_kind(no), words_kind(POLICY_KIND_COUNT));
	assert_str(words_list(arena, 0, POLICY_USE_COUNT, words_use), "nothing");
	assert_str(words_list(arena, 1, POLICY_USE_COUNT, words_use), "training generative models");
	assert_str(words_list(arena, 7, POLICY_USE_COUNT, words_use), "training generative models, training other models and use by a system at run time");
}

static bool holds(struct str text, const char *part)
{
	return memmem(text.p, text.n, part, strlen(part)) != NULL;
}

static void a_chart_scales_its_bars_and_not_its_letters(void **state)
{
	(void)state;
	const struct chart_bar bars[] = { { STR("Released"), 2000, "include" }, { STR("Left <out>"), 1000, "exclude" }, { STR("Rare"), 1, "hold" }, { STR("None"), 0, "hold" } };
	struct str svg = chart_bars(arena, "Items", bars, 4);
	assert_false(holds(svg, "viewBox"));
	assert_false(holds(svg, "style="));
	assert_true(holds(svg, "width=\"100.00%\""));
	assert_true(holds(svg, "width=\"50.00%\""));
	assert_true(holds(svg, "width=\"0.50%\""));
	assert_true(holds(svg, "width=\"0.00%\""));
	assert_true(holds(svg, ">2,000</text>"));
	assert_true(holds(svg, "Left &lt;out&gt;"));
	assert_false(holds(svg, "<out>"));
	assert_true(holds(svg, "aria-label=\"Items: Released 2000, "));
}

static void stages_say_by_form_and_words_how_far_it_is(void **state)
{
	(void)state;
	const struct chart_stage stages[] = { { STR("Received"), STR("1 May"), "include" }, { STR("Purged"), STR_NONE, "info" }, { STR("<Done>"), STR("by 1 June"), "neutral" } };
	struct str svg = chart_stages(arena, "Progress", stages, 3);
	assert_true(holds(svg, "aria-label=\"Progress: Received, 1 May; Purged; &lt;Done&gt;, by 1 June\""));
	assert_true(holds(svg, "class=\"bar include\""));
	assert_true(holds(svg, "class=\"ring info\""));
	assert_true(holds(svg, "class=\"ring neutral\""));
	assert_false(holds(svg, "<Done>"));
	assert_false(holds(svg, "style="));
	assert_true(holds(svg, "lying") && holds(svg, "standing"));
}

static void the_parts_of_a_stack_follow_each_other(void **state)
{
	(void)state;
	const int64_t may[] = { 3, 1 }, june[] = { 0, 2 };
	const struct chart_part parts[] = { { "erased", "s1" }, { "corrected", "s2" } };
	const struct chart_stack rows[] = { { STR("May"), may }, { STR("June"), june } };
	struct str svg = chart_stacks(arena, &(struct chart_stacks){ "By month", parts, 2, rows, 2 });
	assert_true(holds(svg, "aria-label=\"By month: May, erased 3, corrected 1; June, corrected 2\""));
	assert_true(holds(svg, "class=\"bar s1\" x=\"0.00%\" y=\"22\" width=\"75.00%\""));
	assert_true(holds(svg, "class=\"bar s2\" x=\"75.00%\" y=\"22\" width=\"25.00%\""));
	assert_true(holds(svg, "class=\"bar s2\" x=\"0.00%\" y=\"72\" width=\"50.00%\""));
}

static void a_node_of_a_flow_may_say_something_else_than_its_value(void **state)
{
	(void)state;
	const struct chart_node left[] = { { STR("1.0.0"), 2, "s1" } }, right[] = { { STR("A <mirror>"), 1, "include", STR("confirmed") }, { STR("B"), 1, "hold" } };
	const struct chart_link links[] = { { 0, 0, 1 }, { 0, 1, 1 } };
	struct str svg = chart_flow(arena, &(struct chart_flow){ "Where", left, right, 1, 2, links, 2 });
	assert_true(holds(svg, "aria-label=\"Where: A &lt;mirror&gt; confirmed, B 1\""));
	assert_true(holds(svg, "<tspan class=\"value\">confirmed</tspan>"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(dates_and_counts_are_written_as_people_do), TEST(languages_are_called_by_their_names), TEST(a_pointer_is_said_as_a_place),
		TEST(every_number_of_the_vocabulary_has_words), TEST(a_chart_scales_its_bars_and_not_its_letters),
		TEST(stages_say_by_form_and_words_how_far_it_is), TEST(the_parts_of_a_stack_follow_each_other), TEST(a_node_of_a_flow_may_say_something_else_than_its_value),
	};
	return cmocka_run_group_tests_name("words", tests, NULL, NULL);
}
