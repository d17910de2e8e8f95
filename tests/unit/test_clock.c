/* Time: civil dates, RFC 3339, durations, and a clock that tests move. */
#include "commonhold/arena.h"
#include "commonhold/clock.h"
#include "commonhold/limits.h"

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

static void civil_dates_are_right_across_leap_years(void **state)
{
	(void)state;
	static const struct { instant t; const char *text; int weekday; } table[] = {
		{ 0, "1970-01-01T00:00:00Z", 4 }, { -1, "1969-12-31T23:59:59.999999Z", 3 }, { INT64_C(951868799999999), "2000-02-29T23:59:59.999999Z", 2 },
		{ INT64_C(951868800000000), "2000-03-01T00:00:00Z", 3 }, { INT64_C(1795341600000000), "2026-11-22T10:00:00Z", 0 }, { INT64_C(784111777000000), "1994-11-06T08:49:37Z", 0 },
		{ INT64_C(4107542400000000), "2100-03-01T00:00:00Z", 1 }, { INT64_C(4107542400000000) - 1, "2100-02-28T23:59:59.999999Z", 0 }, { INT64_C(253402300799999999), "9999-12-31T23:59:59.999999Z", 5 },
		{ INT64_C(1795341600000001), "2026-11-22T10:00:00.000001Z", 0 },
	};
	for (size_t i = 0; i < CH_LEN(table); i++) {
		assert_str(clock_format(arena, table[i].t), table[i].text);
		assert_int_equal(clock_civil(table[i].t).weekday, table[i].weekday);
		assert_int_equal(clock_of_civil(clock_civil(table[i].t)), table[i].t);
	}
}

static void every_day_of_four_centuries_goes_there_and_back(void **state)
{
	(void)state;
	int day = 31, month = 12, year = 1899, weekday = 0;
	instant t = clock_of_civil((struct civil){ .year = 1900, .month = 1, .day = 1 });
	for (int i = 0; i < 146097; i++, t += CLOCK_DAY) {
		struct civil c = clock_civil(t);
		bool next_day = c.day == day + 1 && c.month == month && c.year == year;
		bool next_month = c.day == 1 && ((c.month == month + 1 && c.year == year) || (c.month == 1 && month == 12 && c.year == year + 1));
		assert_true(next_day || next_month);
		assert_int_equal(c.weekday, (weekday + 1) % 7);
		assert_int_equal(clock_of_civil(c), t);
		day = c.day;
		month = c.month;
		year = c.year;
		weekday = c.weekday;
	}
	/* 400 years on, the calendar is the same. */
	assert_int_equal(year, 2299);
	assert_int_equal(weekday, 0);
}

static void rfc_3339_is_read_with_any_offset(void **state)
{
	(void)state;
	static const struct { const char *text, *same; } good[] = {
		{ "1985-04-12T23:20:50.52Z", "1985-04-12T23:20:50.520000Z" }, { "1996-12-19T16:39:57-08:00", "1996-12-20T00:39:57Z" }, { "1990-12-31T23:59:60Z", "1991-01-01T00:00:00Z" },
		{ "2026-11-22t10:00:00z", "2026-11-22T10:00:00Z" }, { "2026-11-22 10:00:00+05:30", "2026-11-22T04:30:00Z" }, { "2024-02-29T00:00:00-00:00", "2024-02-29T00:00:00Z" },
		{ "2026-01-01T00:00:00.1234567899Z", "2026-01-01T00:00:00.123456Z" }, { "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z" }, { "9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z" },
		{ "2000-02-29T12:00:00Z", "2000-02-29T12:00:00Z" }, { "2026-12-31T23:30:00-01:00", "2027-01-01T00:30:00Z" },
	};
	static const char *const bad[] = {
		"", "2026-11-22", "2026-11-22T10:00Z", "2026-11-22T10:00:00", "2026-11-22T10:00:00+0530", "2026-11-22T10:00:00+5:30", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z",
		"2026-02-29T00:00:00Z", "2100-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-32T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z",
		"2026-01-01T00:00:00.Z", "2026-01-01T00:00:00ZZ", " 2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z ", "2026-1-01T00:00:00Z", "26-01-01T00:00:00Z", "+2026-01-01T00:00:00Z", "2026-01-01T00:00:00+24:00",
		"2026-01-01T00:00:00+00:60", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "2026-01-01T00:00:00,5Z", "2026-01-01X00:00:00Z", "2026-01-01T-1:00:00Z",
		"20260101T000000Z", "2026-01-01T00:00:0\xd9\xa0Z",
	};
	instant t;
	for (size_t i = 0; i < CH_LEN(good); i++) {
		if (!clock_parse(str_of(good[i].text), &t))
			fail_msg("%s", good[i].text);
		assert_str(clock_format(arena, t), good[i].same);
	}
	for (size_t i = 0; i < CH_LEN(bad); i++)
		if (clock_parse(str_of(bad[i]), &t))
			fail_msg("%s", bad[i]);
	assert_false(clock_parse(STR_NONE, &t));
	assert_false(clock_parse(STR("2026-01-01\0" "00:00:00Z"), &t));
}

/* Instants that are written, one to three of their bytes changed: what is read as written is what the other reader reads, and writing it gives the same text again. */
static void what_is_read_as_written_is_written_the_same(void **state)
{
	uint64_t x = 1;
	int kept = 0;
	(void)state;
	for (int i = 0; i < 400000; i++) {
		char text[CLOCK_TEXT], again[CLOCK_TEXT];
		static const char likely[] = "0123456789-:TZt.+ 2469";
		x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
		instant t = (instant)((x >> 1) % UINT64_C(253402300800000000)), a, b;
		size_t n = clock_write(i % 2 ? t : t - t % CLOCK_SECOND, text);
		for (int hits = i % 4; hits; hits--) {
			x = x * UINT64_C(6364136223846793005) + 1442695040888963407u;
			text[(x >> 40) % n] = likely[(x >> 20) % (sizeof(likely) - 1)];
		}
		n -= i % 101 == 0;
		struct str s = str_make(text, n);
		bool same = clock_parse(s, &a) && str_eq(s, str_make(again, clock_write(a, again))), read = clock_parse_written(s, &b);
		if (same != read || (same && a != b))
			fail_msg("%.*s", STR_ARG(s));
		kept += same;
	}
	assert_true(kept > 100000);
	instant t;
	assert_false(clock_parse_written(STR_NONE, &t));
	assert_false(clock_parse_written(STR("2026-01-01T00:00:60Z"), &t));
	assert_false(clock_parse_written(STR("2026-01-01T00:00:00.000000Z"), &t));
	assert_false(clock_parse_written(STR("1969-12-31T23:59:59Z"), &t));
}

static void http_dates_follow_rfc_9110(void **state)
{
	(void)state;
	char out[48];
	clock_http_date(INT64_C(784111777000000), out);
	assert_string_equal(out, "Sun, 06 Nov 1994 08:49:37 GMT");
	clock_http_date(0, out);
	assert_string_equal(out, "Thu, 01 Jan 1970 00:00:00 GMT");
}

static void durations_are_read_part_by_part(void **state)
{
	(void)state;
	static const struct { const char *text; struct duration d; } good[] = {
		{ "P1Y2M3DT4H5M6S", { 1, 2, 3, 4 * 3600 + 5 * 60 + 6 } }, { "P2W", { 0, 0, 14, 0 } }, { "P1M", { 0, 1, 0, 0 } }, { "PT36H", { 0, 0, 0, 36 * 3600 } }, { "PT1M", { 0, 0, 0, 60 } },
		{ "P0D", { 0, 0, 0, 0 } }, { "P1DT1S", { 0, 0, 1, 1 } }, { "P100000D", { 0, 0, 100000, 0 } }, { "P007D", { 0, 0, 7, 0 } },
	};
	static const char *const bad[] = { "", "P", "PT", "P1", "1D", "P1DT", "P1H", "PT1D", "P1M1Y", "P1D1D", "PT1S1M", "P-1D", "-P1D", "P+1D", "P1.5D", "PT1.5S", "P100001D", "P99999999999999999999D", "P1D ", "p1d",
		"P1DT1H1", "PD", "P1DX" };
	struct duration d;
	for (size_t i = 0; i < CH_LEN(good); i++) {
		if (!duration_parse(str_of(good[i].text), &d))
			fail_msg("%s", good[i].text);
		assert_true(d.years == good[i].d.years && d.months == good[i].d.months && d.days == good[i].d.days && d.seconds == good[i].d.seconds);
	}
	for (size_t i = 0; i < CH_LEN(bad); i++)
		if (duration_parse(str_of(bad[i]), &d))
			fail_msg("%s", bad[i]);
}

static void a_month_later_is_clamped_to_the_months_last_day(void **state)
{
	(void)state;
	static const struct { const char *from, *duration; int sign; const char *to; } table[] = {
		{ "2026-01-31T10:00:00Z", "P1M", 1, "2026-02-28T10:00:00Z" }, { "2024-01-31T10:00:00Z", "P1M", 1, "2024-02-29T10:00:00Z" }, { "2024-02-29T00:00:00Z", "P1Y", 1, "2025-02-28T00:00:00Z" },
		{ "2024-02-29T00:00:00Z", "P4Y", 1, "2028-02-29T00:00:00Z" }, { "2026-03-31T00:00:00Z", "P1M", -1, "2026-02-28T00:00:00Z" }, { "2026-01-15T00:00:00Z", "P1M", -1, "2025-12-15T00:00:00Z" },
		{ "2026-12-31T23:59:59Z", "PT1S", 1, "2027-01-01T00:00:00Z" }, { "2026-11-30T00:00:00Z", "P3M", 1, "2027-02-28T00:00:00Z" }, { "2026-01-31T00:00:00Z", "P1M1D", 1, "2026-03-01T00:00:00Z" },
		{ "2026-11-22T10:00:00Z", "P2W", 1, "2026-12-06T10:00:00Z" }, { "2026-11-22T10:00:00.5Z", "PT36H", -1, "2026-11-20T22:00:00.500000Z" }, { "2026-05-31T00:00:00Z", "P18M", 1, "2027-11-30T00:00:00Z" },
		{ "2026-01-01T00:00:00Z", "P25M", -1, "2023-12-01T00:00:00Z" },
	};
	for (size_t i = 0; i < CH_LEN(table); i++) {
		instant t;
		struct duration d;
		assert_true(clock_parse(str_of(table[i].from), &t) && duration_parse(str_of(table[i].duration), &d));
		assert_str(clock_format(arena, duration_add(t, d, table[i].sign)), table[i].to);
	}
	struct duration day = { .days = 1 };
	assert_int_equal(duration_add(INSTANT_NEVER, day, 1), INSTANT_NEVER);
	assert_int_equal(duration_add(INSTANT_NONE, day, -1), INSTANT_NONE);
}

static void a_test_moves_the_clock_by_a_year_in_an_instant(void **state)
{
	(void)state;
	instant t;
	assert_true(clock_parse(STR("2026-11-22T10:00:00Z"), &t));
	clock_set(t);
	assert_int_equal(clock_now(), t);
	assert_int_equal(clock_now(), t);
	clock_set(t + 365 * CLOCK_DAY);
	assert_int_equal(clock_now(), t + 365 * CLOCK_DAY);
	clock_set(INSTANT_NONE);
	clock_shift(0);
	instant real = clock_now();
	clock_shift(365 * CLOCK_DAY);
	instant later = clock_now();
	assert_true(later >= real + 365 * CLOCK_DAY && later < real + 366 * CLOCK_DAY);
	clock_shift(0);
	assert_true(clock_tick() <= clock_tick());
}

/* A running clock moves on between two questions: what is whole must come from one. */
static void whole_seconds_are_whole_while_the_clock_runs(void **state)
{
	(void)state;
	clock_set(INSTANT_NONE);
	for (int i = 0; i < 20000; i++) {
		instant before = clock_now(), whole = clock_now_whole(CLOCK_SECOND);
		assert_true(whole % CLOCK_SECOND == 0 && whole > before - CLOCK_SECOND && whole <= clock_now());
	}
	assert_true(clock_now_whole(CLOCK_HOUR) % CLOCK_HOUR == 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(civil_dates_are_right_across_leap_years), TEST(every_day_of_four_centuries_goes_there_and_back), TEST(rfc_3339_is_read_with_any_offset), TEST(what_is_read_as_written_is_written_the_same), TEST(http_dates_follow_rfc_9110),
		TEST(durations_are_read_part_by_part), TEST(a_month_later_is_clamped_to_the_months_last_day), TEST(whole_seconds_are_whole_while_the_clock_runs),
		TEST(a_test_moves_the_clock_by_a_year_in_an_instant),
	};
	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
