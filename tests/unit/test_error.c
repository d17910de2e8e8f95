/* Errors as values, and the log's lines. */
#include "commonhold/arena.h"
#include "commonhold/clock.h"
#include "commonhold/error.h"
#include "commonhold/json.h"
#include "commonhold/limits.h"
#include "commonhold/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
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

static void every_code_has_a_status_and_a_text(void **state)
{
	(void)state;
	for (int e = 1; e < ERR_COUNT; e++) {
		assert_true(err_status((enum err)e) >= 400 && err_status((enum err)e) < 600);
		assert_true(strlen(err_code((enum err)e)) > 0 && strlen(err_text((enum err)e)) > 0);
		for (int other = 1; other < e; other++)
			assert_string_not_equal(err_code((enum err)e), err_code((enum err)other));
	}
	assert_string_equal(err_code((enum err)9999), "internal");
	assert_int_equal(err_status((enum err)-1), 500);
}

static void a_later_saying_replaces_and_may_quote_the_earlier(void **state)
{
	(void)state;
	struct error e = { 0 };
	assert_int_equal(error_hint(&e, ERR_CONFLICT, "wait", "first"), ERR_CONFLICT);
	assert_string_equal(e.hint, "wait");
	assert_int_equal(error_set(&e, ERR_BAD_JSON, "line 3: %s", e.message), ERR_BAD_JSON);
	assert_string_equal(e.message, "line 3: first");
	assert_string_equal(e.hint, "");
	error_clear(&e);
	assert_int_equal(e.code, ERR_OK);
}

static void a_long_message_is_cut_between_characters(void **state)
{
	(void)state;
	for (size_t lead = 0; lead < 4; lead++) {
		struct error e = { 0 };
		char text[900];
		memset(text, 'a', sizeof(text));
		for (size_t i = lead; i + 3 < sizeof(text); i += 3)
			memcpy(text + i, "\xe2\x82\xac", 3);
		text[sizeof(text) - 1] = '\0';
		error_set(&e, ERR_INTERNAL, "%s", text);
		assert_true(strlen(e.message) > sizeof(e.message) - 4);
		assert_true(str_is_utf8(str_of(e.message)));
	}
}

static void faults_are_kept_in_order_up_to_their_maximum(void **state)
{
	(void)state;
	struct error e = { 0 };
	for (int i = 0; i < LIMIT_FAULTS + 10; i++)
		error_fault(&e, arena, str_fmt(arena, "/%d", i), "is wrong (%d)", i);
	assert_int_equal(e.code, ERR_INVALID);
	int count = 0;
	for (const struct fault *f = e.faults; f; f = f->next, count++) {
		assert_str(f->pointer, str_z(arena, str_fmt(arena, "/%d", count)));
		assert_str(f->message, str_z(arena, str_fmt(arena, "is wrong (%d)", count)));
	}
	assert_int_equal(count, LIMIT_FAULTS);
	struct error kept = { .code = ERR_REFUSED };
	error_fault(&kept, arena, STR("/a"), "is wrong");
	assert_int_equal(kept.code, ERR_REFUSED);
}

/* What log_write puts on standard error. */
static struct str logged(enum log_level level, struct str request, const struct log_field *fields, size_t n)
{
	int ends[2], kept = dup(STDERR_FILENO);
	char *text = arena_alloc(arena, 4096);
	assert_int_equal(pipe(ends), 0);
	dup2(ends[1], STDERR_FILENO);
	log_write(level, "thing.done", request, fields, n);
	dup2(kept, STDERR_FILENO);
	close(kept);
	close(ends[1]);
	ssize_t got = read(ends[0], text, 4095);
	close(ends[0]);
	return str_make(text, got > 0 ? (size_t)got : 0);
}

static void a_log_line_is_one_json_object(void **state)
{
	(void)state;
	instant t;
	assert_true(clock_parse(STR("2026-11-22T10:00:00.25Z"), &t));
	clock_set(t);
	struct log_field fields[] = { LOG_S("text", STR("a\n\"b\"\x1b")), LOG_N("count", 7), LOG_S("none", STR_NONE) };
	log_configure(LOG_INFO, false);
	assert_str(logged(LOG_WARN, STR("r1"), fields, CH_LEN(fields)),
		"{\"at\":\"2026-11-22T10:00:00.250Z\",\"level\":\"warn\",\"event\":\"thing.done\",\"request\":\"r1\",\"text\":\"a\\n\\\"b\\\"\\u001b\",\"count\":7,\"none\":null}\n");
	assert_str(logged(LOG_DEBUG, STR_NONE, NULL, 0), "");
	log_configure(LOG_DEBUG, true);
	assert_str(logged(LOG_DEBUG, STR_NONE, fields, CH_LEN(fields)), "10:00:00 thing.done text=a?\"b\"? count=7 none=\n");
	log_configure(LOG_INFO, false);
	clock_set(INSTANT_NONE);
	enum log_level level;
	assert_true(log_level_parse(STR("error"), &level) && level == LOG_ERROR);
	assert_false(log_level_parse(STR("loud"), &level));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(every_code_has_a_status_and_a_text), TEST(a_later_saying_replaces_and_may_quote_the_earlier), TEST(a_long_message_is_cut_between_characters),
		TEST(faults_are_kept_in_order_up_to_their_maximum), TEST(a_log_line_is_one_json_object),
	};
	return cmocka_run_group_tests_name("error", tests, NULL, NULL);
}
