#include "commonhold/clock.h"
#include "commonhold/arena.h"

#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

/* A fixed instant when set; otherwise the real clock plus the offset. */
static _Atomic instant fixed = INSTANT_NONE;
static _Atomic int64_t offset;

static int64_t clock_read(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * CLOCK_SECOND + t.tv_nsec / 1000;
}

instant clock_now(void)
{
	instant t = atomic_load(&fixed);
	return t != INSTANT_NONE ? t : clock_read(CLOCK_REALTIME) + atomic_load(&offset);
}

instant clock_now_whole(int64_t unit)
{
	instant now = clock_now();
	return now - now % unit;
}

void clock_set(instant t)
{
	atomic_store(&fixed, t);
}

void clock_shift(int64_t by)
{
	atomic_store(&offset, by);
}

int64_t clock_tick(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* Days since 1970-01-01 of a proleptic Gregorian date (Howard Hinnant, "chrono-compatible low-level date algorithms"). */
static int64_t days_of_civil(int64_t y, int m, int d)
{
	y -= m <= 2;
	int64_t era = floor_div(y, 400);
	int64_t yoe = y - era * 400;
	int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
	int64_t doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
	return era * 146097 + doe - 719468;
}

static void civil_of_days(int64_t days, struct civil *c)
{
	int64_t z = days + 719468;
	int64_t era = floor_div(z, 146097);
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;
	c->day = (int)(doy - (153 * mp + 2) / 5 + 1);
	c->month = (int)(mp < 10 ? mp + 3 : mp - 9);
	c->year = (int)(yoe + era * 400 + (c->month <= 2));
	c->weekday = (int)(((days % 7) + 11) % 7);
}

struct civil clock_civil(instant t)
{
	struct civil c = { 0 };
	int64_t days = floor_div(t, CLOCK_DAY);
	int64_t rest = t - days * CLOCK_DAY;
	civil_of_days(days, &c);
	c.hour = (int)(rest / CLOCK_HOUR);
	c.minute = (int)(rest / CLOCK_MINUTE % 60);
	c.second = (int)(rest / CLOCK_SECOND % 60);
	c.micro = (int)(rest % CLOCK_SECOND);
	return c;
}

instant clock_of_civil(struct civil c)
{
	int64_t days = days_of_civil(c.year, c.month, c.day);
	return days * CLOCK_DAY + c.hour * CLOCK_HOUR + c.minute * CLOCK_MINUTE + c.second * CLOCK_SECOND + c.micro;
}

/* A number with its leading zeroes, and what stands before it. */
static char *put_digits(char *to, char before, int v, int digits)
{
	*to++ = before;
	for (int i = digits - 1; i >= 0; i--) {
		to[i] = (char)('0' + v % 10);
		v /= 10;
	}
	return to + digits;
}

size_t clock_write(instant t, char out[CLOCK_TEXT])
{
	struct civil c = clock_civil(t);
	if (c.year < 0 || c.year > 9999)
		return (size_t)snprintf(out, CLOCK_TEXT, "%04d-%02d-%02dT%02d:%02d:%02dZ", c.year, c.month % 100, c.day % 100, c.hour % 100, c.minute % 100, c.second % 100);
	char year[5];
	put_digits(year, '-', c.year, 4);
	memcpy(out, year + 1, 4);
	char *to = put_digits(out + 4, '-', c.month, 2);
	to = put_digits(to, '-', c.day, 2);
	to = put_digits(to, 'T', c.hour, 2);
	to = put_digits(to, ':', c.minute, 2);
	to = put_digits(to, ':', c.second, 2);
	if (c.micro)
		to = put_digits(to, '.', c.micro, 6);
	*to++ = 'Z';
	return (size_t)(to - out);
}

struct str clock_format(struct arena *a, instant t)
{
	char text[CLOCK_TEXT];
	return str_copy(a, str_make(text, clock_write(t, text)));
}

struct str clock_format_or_none(struct arena *a, instant t)
{
	return t == INSTANT_NONE ? STR_NONE : clock_format(a, t);
}

void clock_http_date(instant t, char out[48])
{
	static const char days[] = "SunMonTueWedThuFriSat";
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	struct civil c = clock_civil(t);
	memcpy(out, days + (ptrdiff_t)c.weekday * 3, 3);
	out[3] = ',';
	char *to = put_digits(out + 4, ' ', c.day, 2);
	*to++ = ' ';
	memcpy(to, months + (ptrdiff_t)(c.month - 1) * 3, 3);
	to = put_digits(to + 3, ' ', c.year, 4);
	to = put_digits(to, ' ', c.hour, 2);
	to = put_digits(to, ':', c.minute, 2);
	to = put_digits(to, ':', c.second, 2);
	memcpy(to, " GMT", 5);
}

static bool take_digits(struct str *s, size_t n, int *out)
{
	int64_t v = 0;
	if (s->n < n)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (s->p[i] < '0' || s->p[i] > '9')
			return false;
		v = v * 10 + (s->p[i] - '0');
	}
	*out = (int)v;
	*s = str_sub(*s, n, s->n);
	return true;
}

static bool take_char(struct str *s, const char *any_of)
{
	if (s->n == 0 || s->p[0] == '\0' || !strchr(any_of, s->p[0]))
		return false;
	*s = str_sub(*s, 1, s->n);
	return true;
}

static int month_days(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	return days[month - 1] + (month == 2 && leap);
}

/* Digits after the point, to microseconds; further digits are dropped. */
static bool take_fraction(struct str *s, int *micro)
{
	int scale = 100000;
	size_t digits = 0;
	*micro = 0;
	for (; digits < s->n && s->p[digits] >= '0' && s->p[digits] <= '9'; digits++) {
		*micro += (s->p[digits] - '0') * scale;
		scale /= 10;
	}
	*s = str_sub(*s, digits, s->n);
	return digits > 0;
}

static bool take_offset(struct str *s, int *minutes)
{
	int hour, minute;
	*minutes = 0;
	if (take_char(s, "Zz"))
		return true;
	int sign = s->n && s->p[0] == '-' ? -1 : 1;
	if (!take_char(s, "+-") || !take_digits(s, 2, &hour) || !take_char(s, ":") || !take_digits(s, 2, &minute))
		return false;
	*minutes = sign * (hour * 60 + minute);
	return hour < 24 && minute < 60;
}

bool clock_parse(struct str s, instant *out)
{
	struct civil c = { 0 };
	int minutes;
	if (!take_digits(&s, 4, &c.year) || !take_char(&s, "-") || !take_digits(&s, 2, &c.month) || !take_char(&s, "-") || !take_digits(&s, 2, &c.day))
		return false;
	if (!take_char(&s, "Tt ") || !take_digits(&s, 2, &c.hour) || !take_char(&s, ":") || !take_digits(&s, 2, &c.minute) || !take_char(&s, ":") ||
		!take_digits(&s, 2, &c.second))
		return false;
	if (take_char(&s, ".") && !take_fraction(&s, &c.micro))
		return false;
	if (!take_offset(&s, &minutes) || s.n != 0)
		return false;
	if (c.year < 1970 || c.month < 1 || c.month > 12 || c.day < 1 || c.day > month_days(c.year, c.month) || c.hour > 23 || c.minute > 59 || c.second > 60)
		return false;
	/* The offset may carry the instant over either end. */
	instant t = clock_of_civil(c) - minutes * CLOCK_MINUTE;
	if (t < 0 || clock_civil(t).year > 9999)
		return false;
	*out = t;
	return true;
}

/* A number of two digits; 100 for what is none. */
static int two_digits(const char *p)
{
	unsigned tens = (unsigned char)p[0] - (unsigned)'0', ones = (unsigned char)p[1] - (unsigned)'0';
	return tens > 9 || ones > 9 ? 100 : (int)(tens * 10 + ones);
}

bool clock_parse_written(struct str s, instant *out)
{
	const char *p = s.p;
	int micro[3] = { 0 };
	if ((s.n != 20 && s.n != 27) || p[4] != '-' || p[7] != '-' || p[10] != 'T' || p[13] != ':' || p[16] != ':' || p[s.n - 1] != 'Z')
		return false;
	if (s.n == 27)
		for (int i = 0; i < 3; i++)
			micro[i] = two_digits(p + 20 + (ptrdiff_t)i * 2);
	int century = two_digits(p), year = two_digits(p + 2);
	struct civil c = { .year = century * 100 + year, .month = two_digits(p + 5), .day = two_digits(p + 8), .hour = two_digits(p + 11), .minute = two_digits(p + 14), .second = two_digits(p + 17),
		.micro = (micro[0] * 100 + micro[1]) * 100 + micro[2] };
	if (century > 99 || year > 99 || c.year < 1970 || c.month < 1 || c.month > 12 || c.day < 1 || c.day > month_days(c.year, c.month) || c.hour > 23 || c.minute > 59 || c.second > 59)
		return false;
	if (s.n == 27 && (p[19] != '.' || micro[0] > 99 || micro[1] > 99 || micro[2] > 99 || c.micro == 0))
		return false;
	*out = clock_of_civil(c);
	return true;
}

/* One "<number><unit>" of a duration into its field; units must come in order, which `at` tracks. */
static bool duration_part(struct str *s, const char *units, size_t *at, int64_t value[])
{
	size_t digits = 0;
	while (digits < s->n && s->p[digits] >= '0' && s->p[digits] <= '9')
		digits++;
	int64_t v;
	if (digits == 0 || digits == s->n || !str_to_i64(str_sub(*s, 0, digits), 0, 100000, &v))
		return false;
	char unit = s->p[digits];
	while (units[*at] && units[*at] != unit)
		(*at)++;
	if (!units[*at])
		return false;
	value[(*at)++] = v;
	*s = str_sub(*s, digits + 1, s->n);
	return true;
}

bool duration_parse(struct str s, struct duration *out)
{
	int64_t date[4] = { 0 }, clock[3] = { 0 };
	size_t date_at = 0, clock_at = 0;
	if (s.n < 3 || s.p[0] != 'P')
		return false;
	s = str_sub(s, 1, s.n);
	while (s.n && s.p[0] != 'T')
		if (!duration_part(&s, "YMWD", &date_at, date))
			return false;
	if (s.n) {
		s = str_sub(s, 1, s.n);
		do {
			if (!duration_part(&s, "HMS", &clock_at, clock))
				return false;
		} while (s.n);
	}
	*out = (struct duration){ (int)date[0], (int)date[1], (int)(date[2] * 7 + date[3]), clock[0] * 3600 + clock[1] * 60 + clock[2] };
	return true;
}

instant duration_add(instant t, struct duration d, int sign)
{
	if (t == INSTANT_NONE || t == INSTANT_NEVER)
		return t;
	struct civil c = clock_civil(t);
	int64_t months = (int64_t)c.year * 12 + (c.month - 1) + (int64_t)sign * ((int64_t)d.years * 12 + d.months);
	c.year = (int)floor_div(months, 12);
	c.month = (int)(months - (int64_t)c.year * 12) + 1;
	int last = month_days(c.year, c.month);
	if (c.day > last)
		c.day = last;
	return clock_of_civil(c) + sign * (d.days * CLOCK_DAY + d.seconds * CLOCK_SECOND);
}
