#include "commonhold/erasure.h"

/* By when: Regulation (EEC, Euratom) No 1182/71. Periods end on working days, which depend on where the co-op is. */

struct day easter_day(int year)
{
	/* The anonymous Gregorian computus (Meeus, Astronomical Algorithms, ch. 8). */
	int a = year % 19, b = year / 100, c = year % 100, d = b / 4, e = b % 4, f = (b + 8) / 25, g = (b - f + 1) / 3;
	int h = (19 * a + b - d - g + 15) % 30, i = c / 4, k = c % 4, l = (32 + 2 * e + 2 * i - h - k) % 7, m = (a + 11 * h + 22 * l) / 451;
	int n = h + l - 7 * m + 114;
	return (struct day){ .year = year, .month = n / 31, .day = n % 31 + 1 };
}

static instant start_of(struct day d)
{
	return clock_of_civil((struct civil){ .year = d.year, .month = d.month, .day = d.day });
}

static struct day day_of(instant t)
{
	struct civil c = clock_civil(t);
	return (struct day){ .year = c.year, .month = c.month, .day = c.day };
}

static struct day days_after(struct day d, int days)
{
	return day_of(start_of(d) + days * CLOCK_DAY);
}

static bool same_day(struct day a, struct day b)
{
	return a.year == b.year && a.month == b.month && a.day == b.day;
}

int day_weekday(struct day d)
{
	return clock_civil(start_of(d)).weekday;
}

/* ---- Public holidays ---- */

enum { CH = 1, DE = 2, FR = 4, AT = 8 };

static const struct { const char *code; unsigned bit; } countries[] = { { "CH", CH }, { "DE", DE }, { "FR", FR }, { "AT", AT } };

/* Of the whole country; for CH, where only 1 August is federal, those that are kept in all cantons or all but a few: a day too many moves a due date of ours to our own loss of no
 * more than a day, and one too few makes us earlier. */
static const struct { int month, day; unsigned where; int since; /* first year */ } fixed[] = {
	{ 1, 1, CH | DE | FR | AT, 0 },  /* New Year */
	{ 1, 2, CH, 0 },                 /* Berchtold's day */
	{ 1, 6, AT, 0 },                 /* Epiphany */
	{ 5, 1, DE | FR | AT, 0 },       /* Labour Day */
	{ 5, 8, FR, 1982 },              /* Victory, 1945 */
	{ 7, 14, FR, 0 },                /* National day */
	{ 8, 1, CH, 1994 },              /* National day */
	{ 8, 15, FR | AT, 0 },           /* Assumption */
	{ 10, 3, DE, 1990 },             /* German Unity */
	{ 10, 26, AT, 1965 },            /* National day */
	{ 11, 1, FR | AT, 0 },           /* All Saints */
	{ 11, 11, FR, 0 },               /* Armistice, 1918 */
	{ 12, 8, AT, 0 },                /* Immaculate Conception */
	{ 12, 25, CH | DE | FR | AT, 0 }, /* Christmas */
	{ 12, 26, CH | DE | AT, 0 },     /* St Stephen */
};
static const struct { int after; /* days after Easter Sunday */ unsigned where; } moving[] = {
	{ -2, CH | DE },                 /* Good Friday */
	{ 1, CH | DE | FR | AT },        /* Easter Monday */
	{ 39, CH | DE | FR | AT },       /* Ascension */
	{ 50, CH | DE | FR | AT },       /* Whit Monday */
	{ 60, AT },                      /* Corpus Christi */
};

/* The country of a region's code: "DE", "DE-BY". */
static unsigned country_of(struct str region)
{
	for (size_t i = 0; i < CH_LEN(countries); i++)
		if (region.n >= 2 && memcmp(region.p, countries[i].code, 2) == 0 && (region.n == 2 || region.p[2] == '-'))
			return countries[i].bit;
	return 0;
}

bool holiday_in(struct str region, struct day d)
{
	unsigned country = country_of(region);
	if (!country)
		return false;
	for (size_t i = 0; i < CH_LEN(fixed); i++)
		if ((fixed[i].where & country) && fixed[i].month == d.month && fixed[i].day == d.day && d.year >= fixed[i].since)
			return true;
	struct day easter = easter_day(d.year);
	for (size_t i = 0; i < CH_LEN(moving); i++)
		if ((moving[i].where & country) && same_day(days_after(easter, moving[i].after), d))
			return true;
	return false;
}

/* ---- Periods ---- */

static bool is_free(struct day d, holiday_fn holidays, const void *arg)
{
	int weekday = day_weekday(d);
	return weekday == 0 || weekday == 6 || (holidays && holidays(arg, d));
}

struct day due_day(struct day received, int months, holiday_fn holidays, const void *arg)
{
	/* duration_add steps by months and stays within the month, as the regulation says; the day of receipt is left out by its counting from the next midnight to the same number. */
	struct day due = day_of(duration_add(start_of(received), (struct duration){ .months = months }, 1));
	while (is_free(due, holidays, arg))
		due = days_after(due, 1);
	return due;
}

static bool holiday_of_region(const void *arg, struct day d)
{
	return holiday_in(*(const struct str *)arg, d);
}

instant due_date(instant received, int months, struct str region)
{
	struct day due = due_day(day_of(received), months, holiday_of_region, &region);
	return start_of(due) + CLOCK_DAY - 1;
}
