/* What pages say about requests for deletion and about those who have copies. */
#include "server/erasure/erasure_web.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct arena *arena;
static const instant now = INT64_C(1770800000) * CLOCK_SECOND;

static int set_up(void **state)
{
	(void)state;
	arena = arena_new(4 * MIB);
	clock_set(now);
	return arena ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	clock_set(INSTANT_NONE);
	arena_free(arena);
	return 0;
}

static void says(struct str text, const char *part)
{
	if (!memmem(text.p, text.n, part, strlen(part)))
		fail_msg("\"%.*s\" does not say \"%s\"", STR_ARG(text), part);
}

static struct erasure request(enum erasure_kind kind, enum erasure_state state)
{
	return (struct erasure){
		.kind = kind, .scope = ERASURE_ITEMS, .asker = ERASURE_MEMBER, .state = state, .n_items = 3, .received_at = now - CLOCK_DAY, .verified_at = now - CLOCK_DAY, .effective_at = now - CLOCK_DAY,
		.purged_at = INSTANT_NONE, .propagating_at = INSTANT_NONE, .completed_at = INSTANT_NONE, .denied_at = INSTANT_NONE, .cancelled_at = INSTANT_NONE, .extended_at = INSTANT_NONE,
		.due_at = now + 20 * CLOCK_DAY, .appeal_until = INSTANT_NONE, .until = INSTANT_NONE, .first_idx = -1, .last_idx = -1, .key_gone_at = INSTANT_NONE, .backups_until = INSTANT_NONE,
	};
}

static void a_request_says_what_it_is_about(void **state)
{
	(void)state;
	struct erasure e = request(ERASURE_ERASE, ERASURE_EFFECTIVE);
	says(erasure_what(arena, &e), "Erase 3 contributions");
	e.n_items = 1;
	says(erasure_what(arena, &e), "Erase one contribution");
	e.scope = ERASURE_COOP;
	says(erasure_what(arena, &e), "Erase everything in this co-op");
	e = request(ERASURE_WITHDRAW_FUTURE, ERASURE_COMPLETED);
	says(erasure_what(arena, &e), "Keep 3 contributions out of new releases");
}

static void an_embargo_is_kept_back_until_its_day_and_over_then(void **state)
{
	(void)state;
	struct erasure e = request(ERASURE_EMBARGO, ERASURE_COMPLETED);
	e.until = now + CLOCK_DAY;
	assert_string_equal(erasure_state_words(&e), "kept back");
	clock_set(e.until);
	assert_string_equal(erasure_state_words(&e), "over");
	e.state = ERASURE_CANCELLED;
	assert_string_equal(erasure_state_words(&e), "ended early");
}

static void nothing_is_said_to_be_gone_before_it_is(void **state)
{
	(void)state;
	struct where where = { 0 };
	struct erasure e = request(ERASURE_ERASE, ERASURE_EFFECTIVE);
	says(erasure_now_words(arena, &e, &where), "is being destroyed now");
	e.state = ERASURE_PURGED;
	says(erasure_now_words(arena, &e, &where), "is gone from this server");
	e = request(ERASURE_WITHDRAW_FUTURE, ERASURE_COMPLETED);
	struct str words = erasure_now_words(arena, &e, &where);
	assert_null(memmem(words.p, words.n, "gone", 4));
}

static void those_who_must_confirm_are_counted_with_those_who_are_late(void **state)
{
	(void)state;
	struct where where = { .counts = { .total = 4, .confirmed = 1, .overdue = 2, .next_due = INSTANT_NONE } };
	struct erasure e = request(ERASURE_ERASE, ERASURE_PROPAGATING);
	says(erasure_now_words(arena, &e, &where), "1 of 4 who must confirm have; 2 are overdue.");
	where.counts = (struct duty_counts){ .total = 2, .confirmed = 2, .next_due = INSTANT_NONE };
	says(erasure_now_words(arena, &e, &where), "Everybody who had to confirm has.");
	where.counts = (struct duty_counts){ .next_due = INSTANT_NONE };
	says(erasure_now_words(arena, &e, &where), "Nobody outside the co-op has to confirm anything.");
}

static void a_recipient_waits_until_the_day_and_is_overdue_after_it(void **state)
{
	(void)state;
	struct duty d = { .due_at = now, .confirmed_at = INSTANT_NONE };
	assert_string_equal(duty_state_words(&d), "waiting");
	clock_set(now + 1);
	assert_string_equal(duty_state_words(&d), "overdue");
	d.confirmed_at = now + 1;
	d.method = STR("never-held");
	assert_string_equal(duty_badge(&d), "include");
	d.doubtful = true;
	assert_string_equal(duty_badge(&d), "conditional");
	says(duty_said(arena, &d), "They never held it");
	says(duty_said(arena, &d), "on record all the same");
	d.models = STR("alp-7b");
	says(duty_said(arena, &d), "About models they say: alp-7b");
}

static struct str stages_of(const struct erasure *e)
{
	struct where where = { 0 };
	struct json_writer w;
	struct buf b;
	buf_init(&b, 1 * MIB);
	jw_init(&w, &b);
	jw_object(&w);
	erasure_write_stages(&w, arena, e, &where);
	jw_end_object(&w);
	return buf_take(arena, &b);
}

static void the_picture_ends_where_a_request_was_turned_down(void **state)
{
	(void)state;
	struct erasure e = request(ERASURE_ERASE, ERASURE_DENIED);
	e.asker = ERASURE_SUBJECT;
	e.effective_at = INSTANT_NONE;
	e.denied_at = now;
	struct str json = stages_of(&e);
	says(json, "Turned down");
	says(json, "exclude");
	assert_null(memmem(json.p, json.n, "Erased here", 11));
	e = request(ERASURE_EMBARGO, ERASURE_EFFECTIVE);
	json = stages_of(&e);
	assert_null(memmem(json.p, json.n, "Erased here", 11));
	e = request(ERASURE_CORRECT, ERASURE_EFFECTIVE);
	says(stages_of(&e), "Erased here");
}

static struct str where_of(const struct erasure *e, const struct where *where)
{
	struct json_writer w;
	struct buf b;
	buf_init(&b, 1 * MIB);
	jw_init(&w, &b);
	jw_object(&w);
	erasure_write_where(&w, arena, e, where);
	jw_end_object(&w);
	return buf_take(arena, &b);
}

static void nobody_is_said_to_have_no_copy_before_it_was_looked_up(void **state)
{
	(void)state;
	struct release held = { .version = STR("1.0.0"), .spec = STR("{\"audience\":\"public\"}"), .state = RELEASE_PUBLISHED, .published_at = now, .withdrawn_at = INSTANT_NONE, .cleared_at = INSTANT_NONE };
	struct where where = { .releases = &held, .n_releases = 1 };
	struct erasure e = request(ERASURE_ERASE, ERASURE_EFFECTIVE);
	says(where_of(&e, &where), "is worked out when the content is gone here");
	e.state = ERASURE_COMPLETED;
	says(where_of(&e, &where), "nobody has to confirm. They could be had without asking");
	e = request(ERASURE_WITHDRAW_FUTURE, ERASURE_COMPLETED);
	says(where_of(&e, &where), "may stay");
	e = request(ERASURE_ERASE, ERASURE_DENIED);
	says(where_of(&e, &where), "\"no_copies\":null");
}

static void a_day_is_read_as_its_beginning(void **state)
{
	(void)state;
	instant at;
	assert_true(form_day(STR("2027-03-01"), &at));
	assert_int_equal(clock_civil(at).day, 1);
	assert_int_equal(clock_civil(at).hour, 0);
	assert_false(form_day(STR("2027-02-30"), &at));
	assert_false(form_day(STR("2027-3-1"), &at));
	assert_false(form_day(STR_NONE, &at));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_request_says_what_it_is_about), TEST(an_embargo_is_kept_back_until_its_day_and_over_then), TEST(nothing_is_said_to_be_gone_before_it_is),
		TEST(those_who_must_confirm_are_counted_with_those_who_are_late), TEST(a_recipient_waits_until_the_day_and_is_overdue_after_it),
		TEST(the_picture_ends_where_a_request_was_turned_down), TEST(nobody_is_said_to_have_no_copy_before_it_was_looked_up),
		TEST(a_day_is_read_as_its_beginning),
	};
	return cmocka_run_group_tests_name("erasure_words", tests, NULL, NULL);
}
