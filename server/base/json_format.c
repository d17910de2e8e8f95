/* The formats of JSON Schema that our documents use. Each asserts: a value in the wrong format is a fault. */
#include "commonhold/clock.h"
#include "commonhold/id.h"
#include "server/base/json_schema.h"

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_date_time(struct str s)
{
	instant t;
	return clock_parse(s, &t);
}

static bool take_number(struct str s, size_t at, size_t n, int *out)
{
	int64_t v;
	struct str digits = str_sub(s, at, n);
	if (digits.n != n || !is_digit(digits.p[0]) || !str_to_i64(digits, 0, 9999, &v))
		return false;
	*out = (int)v;
	return true;
}

static bool is_date(struct str s)
{
	struct civil c = { 0 };
	if (s.n != 10 || s.p[4] != '-' || s.p[7] != '-' || !take_number(s, 0, 4, &c.year) || !take_number(s, 5, 2, &c.month) || !take_number(s, 8, 2, &c.day))
		return false;
	if (c.month < 1 || c.month > 12 || c.day < 1 || c.day > 31)
		return false;
	/* The 30th of February comes back as another day. */
	struct civil back = clock_civil(clock_of_civil(c));
	return back.month == c.month && back.day == c.day;
}

static bool is_duration(struct str s)
{
	struct duration d;
	return duration_parse(s, &d);
}

/* What mail servers take in practice: a dot-atom, one @, a host name of at least two labels. */
static bool is_email(struct str s)
{
	ptrdiff_t at = str_index(s, '@');
	if (at < 1 || at > 64 || s.n > 254)
		return false;
	struct str local = str_sub(s, 0, (size_t)at), host = str_sub(s, (size_t)at + 1, s.n), label;
	for (size_t i = 0; i < local.n; i++) {
		bool dot = local.p[i] == '.';
		if ((unsigned char)local.p[i] <= ' ' || local.p[i] == 0x7f || strchr("()<>[]:;,\\\"@", local.p[i]))
			return false;
		if (dot && (i == 0 || i + 1 == local.n || local.p[i + 1] == '.'))
			return false;
	}
	size_t labels = 0;
	for (; str_split(&host, '.', &label); labels++) {
		if (label.n == 0 || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-')
			return false;
		for (size_t i = 0; i < label.n; i++)
			if (!is_alpha(label.p[i]) && !is_digit(label.p[i]) && label.p[i] != '-')
				return false;
	}
	return labels >= 2;
}

/* An absolute URI (RFC 3986): a scheme and only the characters that may stand in one. */
static bool is_uri(struct str s)
{
	ptrdiff_t colon = str_index(s, ':');
	if (colon < 1 || (size_t)colon + 1 == s.n || !is_alpha(s.p[0]))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		uint8_t byte;
		bool plain = is_alpha(c) || is_digit(c);
		if (i < (size_t)colon ? !plain && c != '+' && c != '-' && c != '.' : !plain && (c <= ' ' || !strchr("-._~:/?#[]@!$&'()*+,;=%", c)))
			return false;
		if (c == '%' && !str_unhex(str_sub(s, i + 1, 2), &byte, 1))
			return false;
	}
	return true;
}

static bool is_uuid(struct str s)
{
	struct uuid u;
	return uuid_parse(s, &u);
}

const struct format schema_formats[] = {
	{ "date-time", is_date_time, "must be a date and time such as 2026-11-22T10:00:00Z" },
	{ "date", is_date, "must be a date such as 2026-11-22" },
	{ "duration", is_duration, "must be a duration such as P1M or PT36H" },
	{ "email", is_email, "must be an e-mail address" },
	{ "uri", is_uri, "must be an address such as https://example.org/page" },
	{ "uuid", is_uuid, "must be a UUID" },
};
const size_t schema_format_count = CH_LEN(schema_formats);
