/* Due dates by Regulation (EEC, Euratom) No 1182/71, and the public holidays that move them. Dates are from calendars, not from the program. */
#include "commonhold/erasure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void assert_day(struct day d, int year, int month, int day)
{
	if (d.year != year || d.month != month || d.day != day)
		fail_msg("%04d-%02d-%02d is not %04d-%02d-%02d", d.year, d.month, d.day, year, month, day);
}

static void easter_is_where_calendars_have_it(void **state)
{
	static const struct day known[] = {
		{ 1961, 4, 2 }, { 1976, 4, 18 }, { 1981, 4, 19 }, { 1999, 4, 4 }, { 2000, 4, 23 }, { 2008, 3, 23 }, { 2011, 4, 24 }, { 2016, 3, 27 }, { 2019, 4, 21 }, { 2020, 4, 12 },
		{ 2021, 4, 4 }, { 2022, 4, 17 }, { 2023, 4, 9 }, { 2024, 3, 31 }, { 2025, 4, 20 }, { 2026, 4, 5 }, { 2027, 3, 28 }, { 2028, 4, 16 }, { 2029, 4, 1 }, { 2030, 4, 21 },
		{ 2038, 4, 25 }, { 2049, 4, 18 },
	};
	(void)state;
	for (size_t i = 0; i < CH_LEN(known); i++)
		assert_day(easter_day(known[i].year), known[i].year, known[i].month, known[i].day);
	for (int year = 1971; year < 2200; year++)
		assert_int_equal(day_weekday(easter_day(year)), 0);
}

static void days_of_the_week_are_those_of_the_calendar(void **state)
{
	(void)state;
	assert_int_equal(day_weekday((struct day){ 1970, 1, 1 }), 4);
	assert_int_equal(day_weekday((struct day){ 2000, 2, 29 }), 2);
	assert_int_equal(day_weekday((struct day){ 2024, 2, 29 }), 4);
	assert_int_equal(day_weekday((struct day){ 2026, 11, 22 }), 0);
}

static void public_holidays_are_those_of_the_country(void **state)
{
	static const struct { const char *region; struct day day; bool free; } known[] = {
		{ "CH", { 2026, 8, 1 }, true }, { "CH", { 2026, 5, 14 }, true }, { "CH", { 2026, 12, 25 }, true }, { "CH", { 2026, 4, 6 }, true }, { "CH", { 2026, 5, 1 }, false },
		{ "CH", { 2026, 10, 3 }, false }, { "CH-ZH", { 2026, 1, 2 }, true },
		{ "DE", { 2026, 10, 3 }, true }, { "DE", { 2026, 4, 3 }, true }, { "DE", { 2026, 5, 1 }, true }, { "DE", { 2026, 5, 25 }, true }, { "DE-BY", { 2026, 12, 26 }, true },
		{ "DE", { 2026, 8, 15 }, false }, { "DE", { 1989, 10, 3 }, false },
		{ "FR", { 2026, 7, 14 }, true }, { "FR", { 2026, 11, 11 }, true }, { "FR", { 2026, 5, 8 }, true }, { "FR", { 2026, 8, 15 }, true }, { "FR", { 2026, 4, 3 }, false },
		{ "FR", { 2026, 12, 26 }, false }, { "FR", { 2026, 5, 25 }, true },
		{ "AT", { 2026, 10, 26 }, true }, { "AT", { 2026, 12, 8 }, true }, { "AT", { 2026, 6, 4 }, true }, { "AT", { 2026, 1, 6 }, true }, { "AT", { 2026, 4, 3 }, false },
		{ "IT", { 2026, 12, 25 }, false }, { "", { 2026, 12, 25 }, false }, { "DEU", { 2026, 10, 3 }, false }, { "D", { 2026, 10, 3 }, false },
	};
	(void)state;
	for (size_t i = 0; i < CH_LEN(known); i++)
		if (holiday_in(str_of(known[i].region), known[i].day) != known[i].free)
			fail_msg("%s %04d-%02d-%02d", known[i].region, known[i].day.year, known[i].day.month, known[i].day.day);
}

static void a_period_of_months_ends_as_the_regulation_says(void **state)
{
	static const struct { struct day from; int months; struct day due; } known[] = {
		{ { 2026, 3, 16 }, 1, { 2026, 4, 16 } }, /* a Thursday */
		{ { 2026, 1, 31 }, 1, { 2026, 3, 2 } },  /* there is no 31 February: its last day, a Saturday, to Monday */
		{ { 2023, 1, 31 }, 1, { 2023, 2, 28 } }, /* a Tuesday */
		{ { 2024, 1, 31 }, 1, { 2024, 2, 29 } }, /* a leap year, a Thursday */
		{ { 2024, 1, 30 }, 1, { 2024, 2, 29 } },
		{ { 2000, 1, 31 }, 1, { 2000, 2, 29 } }, /* a leap year although a century */
		{ { 2024, 2, 29 }, 1, { 2024, 3, 29 } },
		{ { 2024, 2, 29 }, 12, { 2025, 2, 28 } },
		{ { 2026, 3, 31 }, 1, { 2026, 4, 30 } },
		{ { 2026, 10, 31 }, 1, { 2026, 11, 30 } },
		{ { 2026, 12, 31 }, 2, { 2027, 3, 1 } }, /* 28 February 2027 is a Sunday */
		{ { 2026, 11, 22 }, 1, { 2026, 12, 22 } },
		{ { 2026, 12, 15 }, 1, { 2027, 1, 15 } }, /* over the year */
		{ { 2026, 4, 11 }, 1, { 2026, 5, 11 } },
		{ { 2026, 4, 9 }, 1, { 2026, 5, 11 } },  /* a Saturday, to Monday */
		{ { 2026, 4, 10 }, 1, { 2026, 5, 11 } }, /* a Sunday, to Monday */
		{ { 2026, 9, 30 }, 3, { 2026, 12, 30 } },
	};
	(void)state;
	for (size_t i = 0; i < CH_LEN(known); i++)
		assert_day(due_day(known[i].from, known[i].months, NULL, NULL), known[i].due.year, known[i].due.month, known[i].due.day);
}

static instant at(const char *text)
{
	instant t;
	assert_true(clock_parse(str_of(text), &t));
	return t;
}

static void assert_due(const char *received, int months, const char *region, const char *due)
{
	instant wanted = at(due) + CLOCK_DAY - 1, got = due_date(at(received), months, str_of(region));
	if (got != wanted)
		fail_msg("%s in %s: due %lld, not %lld", received, region, (long long)got, (long long)wanted);
}

static void a_due_date_is_moved_off_public_holidays_of_the_region(void **state)
{
	(void)state;
	assert_due("2026-11-25T12:00:00Z", 1, "DE", "2026-12-28T00:00:00Z"); /* Christmas, a Friday; St Stephen, Saturday; Sunday */
	assert_due("2026-11-25T12:00:00Z", 1, "IT", "2026-12-25T00:00:00Z"); /* none are known there */
	assert_due("2026-03-03T00:00:00Z", 1, "DE", "2026-04-07T00:00:00Z"); /* Good Friday to the Tuesday after Easter */
	assert_due("2026-03-03T23:59:59Z", 1, "FR", "2026-04-03T00:00:00Z"); /* Good Friday is worked there */
	assert_due("2026-03-03T23:59:59Z", 1, "AT", "2026-04-03T00:00:00Z");
	assert_due("2026-07-01T08:00:00Z", 1, "CH", "2026-08-03T00:00:00Z"); /* 1 August is a Saturday */
	assert_due("2025-07-01T08:00:00Z", 1, "CH", "2025-08-04T00:00:00Z"); /* 1 August is a Friday */
	assert_due("2026-06-14T08:00:00Z", 1, "FR", "2026-07-15T00:00:00Z");
	assert_due("2026-09-26T08:00:00Z", 1, "AT", "2026-10-27T00:00:00Z");
	assert_due("2026-12-01T08:00:00Z", 1, "CH", "2027-01-04T00:00:00Z"); /* New Year, Berchtold's day, Sunday */
	assert_due("2026-12-01T08:00:00Z", 1, "DE-HH", "2027-01-04T00:00:00Z");
	assert_due("2026-12-01T08:00:00Z", 3, "CH", "2027-03-01T00:00:00Z");
}

static void a_due_day_is_always_a_working_day_no_earlier_than_the_period(void **state)
{
	static const char *const regions[] = { "CH", "DE", "FR", "AT", "XX" };
	unsigned seed = (unsigned)(getenv("SEED") ? atoll(getenv("SEED")) : 20261122);
	(void)state;
	print_message("seed %u\n", seed);
	srandom(seed);
	for (int i = 0; i < 20000; i++) {
		instant received = (instant)(random() % 47482) * CLOCK_DAY + random() % 86400 * CLOCK_SECOND; /* until 2099 */
		struct str region = str_of(regions[random() % 5]);
		int months = 1 + (int)(random() % 3);
		instant due = due_date(received, months, region), plain = duration_add(received, (struct duration){ .months = months }, 1);
		struct civil d = clock_civil(due);
		struct day day = { d.year, d.month, d.day };
		assert_true(d.weekday != 0 && d.weekday != 6);
		assert_false(holiday_in(region, day));
		assert_true(due >= plain - plain % CLOCK_DAY);
		assert_true(due - plain < 7 * CLOCK_DAY);
		assert_true(due_date(received + CLOCK_DAY, months, region) >= due);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(easter_is_where_calendars_have_it),
		cmocka_unit_test(days_of_the_week_are_those_of_the_calendar),
		cmocka_unit_test(public_holidays_are_those_of_the_country),
		cmocka_unit_test(a_period_of_months_ends_as_the_regulation_says),
		cmocka_unit_test(a_due_date_is_moved_off_public_holidays_of_the_region),
		cmocka_unit_test(a_due_day_is_always_a_working_day_no_earlier_than_the_period),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
