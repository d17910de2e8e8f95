#include "server/base/json_number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Exponents beyond this are all alike: no document is long enough to bring one back into the range of a double. */
#define EXPONENT_MAX INT64_C(1000000000000000)
/* A double has at most 767 significant decimal digits; further ones only say whether there is more. */
#define DOUBLE_DIGITS 780

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int64_t exponent_of(struct str text)
{
	bool negative = text.n && text.p[0] == '-';
	int64_t v = 0;
	for (size_t i = 0; i < text.n; i++)
		if (is_digit(text.p[i]) && v < EXPONENT_MAX)
			v = v * 10 + (text.p[i] - '0');
	return negative ? -v : v;
}

struct decimal decimal_of(struct str text)
{
	struct decimal d = { .negative = text.n && text.p[0] == '-' };
	size_t at = d.negative, first = 0, last = 0, point = 0;
	bool seen = false, pointed = false;
	for (; at < text.n && (is_digit(text.p[at]) || text.p[at] == '.'); at++) {
		if (text.p[at] == '.') {
			point = at;
			pointed = true;
		} else if (text.p[at] != '0') {
			if (!seen)
				first = at;
			last = at;
			seen = true;
		}
	}
	if (!seen)
		return (struct decimal){ 0 };
	if (!pointed)
		point = at;
	d.digits = str_sub(text, first, last - first + 1);
	d.count = d.digits.n - (first < point && point < last);
	d.exponent = first < point ? (int64_t)(point - first) : -(int64_t)(first - point - 1);
	if (at < text.n)
		d.exponent += exponent_of(str_sub(text, at + 1, text.n));
	return d;
}

static int digits_cmp(struct str a, struct str b)
{
	size_t i = 0, j = 0;
	for (;;) {
		i += i < a.n && a.p[i] == '.';
		j += j < b.n && b.p[j] == '.';
		if (i == a.n || j == b.n)
			return (i < a.n) - (j < b.n);
		if (a.p[i] != b.p[j])
			return a.p[i] < b.p[j] ? -1 : 1;
		i++;
		j++;
	}
}

int decimal_cmp(const struct decimal *a, const struct decimal *b)
{
	if (a->count == 0 || b->count == 0 || a->negative != b->negative) {
		int left = a->count == 0 ? 0 : a->negative ? -1 : 1;
		int right = b->count == 0 ? 0 : b->negative ? -1 : 1;
		return (left > right) - (left < right);
	}
	int order = a->exponent != b->exponent ? (a->exponent < b->exponent ? -1 : 1) : digits_cmp(a->digits, b->digits);
	return a->negative ? -order : order;
}

bool decimal_is_whole(const struct decimal *d)
{
	return d->count == 0 || (d->exponent > 0 && (uint64_t)d->exponent >= d->count);
}

bool number_is_integer_text(struct str text)
{
	for (size_t i = 0; i < text.n; i++)
		if (!is_digit(text.p[i]) && !(i == 0 && text.p[i] == '-'))
			return false;
	return text.n > 0;
}

bool number_is_safe_integer(struct str text)
{
	int64_t v;
	return number_is_integer_text(text) && str_to_i64(text, -(INT64_C(1) << 53), INT64_C(1) << 53, &v);
}

double number_to_double(struct str text)
{
	struct decimal d = decimal_of(text);
	char copy[DOUBLE_DIGITS + 40];
	size_t n = 0;
	if (d.count == 0)
		return 0;
	if (d.negative)
		copy[n++] = '-';
	copy[n++] = '.';
	for (size_t i = 0; i < d.digits.n && n < DOUBLE_DIGITS; i++)
		if (d.digits.p[i] != '.')
			copy[n++] = d.digits.p[i];
	/* What was cut off ends in a digit that is not zero: one more keeps the rounding right. */
	if (d.count >= DOUBLE_DIGITS - 4)
		copy[n++] = '1';
	snprintf(copy + n, sizeof(copy) - n, "e%lld", (long long)d.exponent);
	return strtod(copy, NULL);
}

/* The digits of the nearest decimal with `count` significant digits, and its exponent as in struct decimal. */
static int shorten(double v, int count, char digits[24])
{
	char text[40];
	snprintf(text, sizeof(text), "%.*e", count - 1, v);
	char *mark = strchr(text, 'e');
	digits[0] = text[0];
	if (count > 1)
		memcpy(digits + 1, text + 2, (size_t)count - 1);
	digits[count] = '\0';
	return mark ? (int)strtol(mark + 1, NULL, 10) + 1 : 0;
}

static double lengthen(const char *digits, int exponent)
{
	char text[48];
	snprintf(text, sizeof(text), ".%se%d", digits, exponent);
	return strtod(text, NULL);
}

/* Adds one unit to the last digit; false when that would carry into a new digit. */
static bool digits_increment(char *digits, int count)
{
	int at = count - 1;
	while (at >= 0 && digits[at] == '9')
		digits[at--] = '0';
	if (at < 0)
		return false;
	digits[at]++;
	return true;
}

/* The shortest digits that read back as v, the nearest among them. */
static int shortest(double v, char digits[24])
{
	int mantissa_exponent;
	bool power_of_two = frexp(v, &mantissa_exponent) == 0.5;
	/* Decimals of up to 15 digits are told apart by every normal double, so a shorter one shows as zeros at the end. */
	int count = v < 2.3e-308 ? 1 : 15;
	for (;; count++) {
		int exponent = shorten(v, count, digits);
		if (count >= 17 || lengthen(digits, exponent) == v)
			return exponent;
		/* Above a power of two doubles lie twice as far apart as below: the next decimal up may read back where the nearest, below, does not. */
		if (power_of_two && lengthen(digits, exponent) < v && digits_increment(digits, count) && lengthen(digits, exponent) == v)
			return exponent;
	}
}

static size_t put(char *out, size_t n, const char *p, int count)
{
	memcpy(out + n, p, (size_t)count);
	return n + (size_t)count;
}

static size_t put_zeros(char *out, size_t n, int count)
{
	memset(out + n, '0', (size_t)count);
	return n + (size_t)count;
}

size_t number_format(double v, char out[40])
{
	size_t n = 0;
	if (v == 0) {
		out[0] = '0';
		return 1;
	}
	if (v < 0) {
		out[n++] = '-';
		v = -v;
	}
	char digits[24];
	int exponent = shortest(v, digits);
	int count = (int)strlen(digits);
	while (count > 1 && digits[count - 1] == '0')
		count--;
	if (exponent >= count && exponent <= 21)
		return put_zeros(out, put(out, n, digits, count), exponent - count);
	if (exponent > 0 && exponent <= 21) {
		n = put(out, n, digits, exponent);
		out[n++] = '.';
		return put(out, n, digits + exponent, count - exponent);
	}
	if (exponent > -6 && exponent <= 0)
		return put(out, put_zeros(out, put(out, n, "0.", 2), -exponent), digits, count);
	out[n++] = digits[0];
	if (count > 1) {
		out[n++] = '.';
		n = put(out, n, digits + 1, count - 1);
	}
	return n + (size_t)snprintf(out + n, 40 - n, "e%+d", exponent - 1);
}
