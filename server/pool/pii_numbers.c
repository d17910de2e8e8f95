/* pii_numbers.c - what a run of digits may be: IPv4 and IPv6 (RFC 4291), IBAN (ISO 13616, mod 97), card (ISO 7812, Luhn), telephone (E.164). */
#include "server/pool/pii_numbers.h"

/* The longest number that means anything here, with room to see that one is longer. */
#define NUMBER_DIGITS 20
#define NUMBER_GROUPS 10
#define CONTEXT_BYTES 24

static const struct { uint32_t net; uint8_t bits; } ipv4_nobody[] = {
	{ 0x00000000, 8 },  { 0x0a000000, 8 },  { 0x64400000, 10 }, { 0x7f000000, 8 },  { 0xa9fe0000, 16 },
	{ 0xac100000, 12 }, { 0xc0000000, 24 }, { 0xc0000200, 24 }, { 0xc0a80000, 16 }, { 0xc6120000, 15 },
	{ 0xc6336400, 24 }, { 0xcb007100, 24 }, { 0xe0000000, 3 },
};

static bool ipv4_belongs_to_somebody(uint32_t a)
{
	for (size_t i = 0; i < CH_LEN(ipv4_nobody); i++)
		if ((a ^ ipv4_nobody[i].net) >> (32 - ipv4_nobody[i].bits) == 0)
			return false;
	return true;
}

/* Numbers of sections and versions have small parts; an address whose four parts all are is one in four thousand. */
static bool ipv4_looks_like_version(const unsigned part[4])
{
	return part[0] < 32 && part[1] < 32 && part[2] < 32 && part[3] < 32;
}

static bool match_ipv4(struct str t, size_t at, struct pii_match *m)
{
	unsigned part[4];
	size_t i = at;
	for (int k = 0; k < 4; k++) {
		size_t start = i;
		unsigned v = 0;
		while (i < t.n && i - start < 4 && pii_digit((unsigned char)t.p[i]))
			v = v * 10 + (unsigned)(t.p[i++] - '0');
		if (i == start || i - start > 3 || v > 255 || (t.p[start] == '0' && i - start > 1))
			return false;
		part[k] = v;
		if (k < 3 && pii_at(t, i++) != '.')
			return false;
	}
	unsigned char prev = pii_before(t, at), next = pii_at(t, i);
	if (pii_alnum(prev) || prev == '.' || prev == '-' || prev == '_' || pii_alnum(next) || next == '_' || next == '/' || next == '-')
		return false;
	if (next == '.' && pii_digit(pii_at(t, i + 1)))
		return false;
	uint32_t address = part[0] << 24 | part[1] << 16 | part[2] << 8 | part[3];
	if (ipv4_looks_like_version(part) || !ipv4_belongs_to_somebody(address))
		return false;
	*m = (struct pii_match){ PII_IP, 80, at, i, true };
	return true;
}

/* A digit, or a letter from 10 on: hexadecimal and base 36 alike. */
static unsigned letter_value(unsigned char c)
{
	return pii_digit(c) ? c - (unsigned)'0' : (c | 32U) - 'a' + 10U;
}

/* Global unicast only, 2000::/3: it begins with a digit, and nobody's namespaces or times look like it. */
static bool match_ipv6(struct str t, size_t at, struct pii_match *m)
{
	unsigned groups = 0, first = 0, second = 0;
	bool gap = false;
	size_t i = at;
	while (groups < 8) {
		size_t start = i;
		unsigned v = 0;
		while (i < t.n && i - start < 5 && pii_hex((unsigned char)t.p[i])) {
			unsigned char c = (unsigned char)t.p[i++];
			v = v * 16 + letter_value(c);
		}
		if (i - start > 4)
			return false;
		if (i == start)
			break;
		if (groups == 0)
			first = v;
		if (groups == 1 && !gap)
			second = v;
		groups++;
		if (pii_at(t, i) != ':')
			break;
		if (pii_at(t, i + 1) == ':') {
			if (gap)
				return false;
			gap = true;
			i += 2;
		} else if (pii_hex(pii_at(t, i + 1)) && groups < 8) {
			i++;
		} else {
			break;
		}
	}
	unsigned char prev = pii_before(t, at), next = pii_at(t, i);
	if ((gap ? groups > 7 : groups != 8) || pii_alnum(prev) || prev == ':' || prev == '.' || pii_alnum(next) || next == '/')
		return false;
	if (next == ':' && pii_alnum(pii_at(t, i + 1)))
		return false;
	if (first < 0x2000 || first > 0x3fff || (first == 0x2001 && second == 0xdb8) || first == 0x3fff)
		return false;
	*m = (struct pii_match){ PII_IP, 80, at, i, true };
	return true;
}

/* Length of an IBAN by country (SWIFT IBAN registry). */
static const struct { char country[3]; uint8_t length; } iban_lengths[] = {
	{ "AD", 24 }, { "AE", 23 }, { "AL", 28 }, { "AT", 20 }, { "AZ", 28 }, { "BA", 20 }, { "BE", 16 }, { "BG", 22 }, { "BH", 22 },
	{ "BI", 27 }, { "BR", 29 }, { "BY", 28 }, { "CH", 21 }, { "CR", 22 }, { "CY", 28 }, { "CZ", 24 }, { "DE", 22 }, { "DJ", 27 },
	{ "DK", 18 }, { "DO", 28 }, { "EE", 20 }, { "EG", 29 }, { "ES", 24 }, { "FI", 18 }, { "FK", 18 }, { "FO", 18 }, { "FR", 27 },
	{ "GB", 22 }, { "GE", 22 }, { "GI", 23 }, { "GL", 18 }, { "GR", 27 }, { "GT", 28 }, { "HN", 28 }, { "HR", 21 }, { "HU", 28 },
	{ "IE", 22 }, { "IL", 23 }, { "IQ", 23 }, { "IS", 26 }, { "IT", 27 }, { "JO", 30 }, { "KW", 30 }, { "KZ", 20 }, { "LB", 28 },
	{ "LC", 32 }, { "LI", 21 }, { "LT", 20 }, { "LU", 20 }, { "LV", 21 }, { "LY", 25 }, { "MC", 27 }, { "MD", 24 }, { "ME", 22 },
	{ "MK", 19 }, { "MN", 20 }, { "MR", 27 }, { "MT", 31 }, { "MU", 30 }, { "NI", 28 }, { "NL", 18 }, { "NO", 15 }, { "OM", 23 },
	{ "PK", 24 }, { "PL", 28 }, { "PS", 29 }, { "PT", 25 }, { "QA", 29 }, { "RO", 24 }, { "RS", 22 }, { "RU", 33 }, { "SA", 24 },
	{ "SC", 31 }, { "SD", 18 }, { "SE", 24 }, { "SI", 19 }, { "SK", 24 }, { "SM", 27 }, { "SO", 23 }, { "ST", 25 }, { "SV", 28 },
	{ "TL", 23 }, { "TN", 24 }, { "TR", 26 }, { "UA", 29 }, { "VA", 22 }, { "VG", 24 }, { "XK", 20 }, { "YE", 30 },
};

static size_t iban_length(unsigned char a, unsigned char b)
{
	for (size_t i = 0; i < CH_LEN(iban_lengths); i++)
		if ((unsigned char)iban_lengths[i].country[0] == a && (unsigned char)iban_lengths[i].country[1] == b)
			return iban_lengths[i].length;
	return 0;
}

static unsigned iban_mod97(const unsigned char *s, size_t n)
{
	unsigned r = 0;
	for (size_t i = 0; i < n; i++) {
		unsigned v = letter_value(s[(i + 4) % n]);
		r = (r * (v > 9 ? 100 : 10) + v) % 97;
	}
	return r;
}

/* `at` is the first check digit; the country stands before it. */
static bool match_iban(struct str t, size_t at, struct pii_match *m)
{
	if (at < 2 || (at > 2 && pii_alnum(pii_before(t, at - 2))))
		return false;
	size_t length = iban_length((unsigned char)t.p[at - 2], (unsigned char)t.p[at - 1]);
	unsigned char plain[34];
	size_t n = 0, i = at - 2;
	for (; i < t.n && n < length; i++) {
		unsigned char c = (unsigned char)t.p[i];
		if (pii_alnum(c))
			plain[n++] = c;
		else if ((c != ' ' && c != '-') || !pii_alnum(pii_at(t, i + 1)))
			break;
	}
	if (length == 0 || n != length || pii_alnum(pii_at(t, i)) || !pii_digit(plain[2]) || !pii_digit(plain[3]))
		return false;
	if (iban_mod97(plain, n) != 1)
		return false;
	*m = (struct pii_match){ PII_IBAN, 95, at - 2, i, true };
	return true;
}

/* A number as people write it: groups of digits with separators between. */
struct number {
	unsigned char digit[NUMBER_DIGITS]; /* all digits in order, as values */
	size_t digits;                      /* how many */
	uint8_t group[NUMBER_GROUPS];       /* length of each group */
	size_t groups;                      /* how many */
	size_t from, to;                    /* bytes, including a leading '+' or '(' */
	bool plus;                          /* '+' in front */
	bool paren;                         /* a group in parentheses */
	bool spaced, dashed, dotted, slashed; /* separators seen */
	bool odd;                           /* more digits or groups than a number that means anything to us */
};

/* Length of the separator at i: one of " -./" or a no-break space, or ") " and " (" around an area code; 0 when none. */
static size_t separator_length(struct str t, size_t i, struct number *num)
{
	unsigned char c = pii_at(t, i), next = pii_at(t, i + 1);
	bool no_break = (c == 0xc2 && next == 0xa0) || (c == 0xe2 && next == 0x80 && (pii_at(t, i + 2) == 0xaf || pii_at(t, i + 2) == 0x89));
	size_t n = c == 0xc2 ? 2 : c == 0xe2 ? 3 : 1;
	if (i >= t.n || (!no_break && c != ' ' && c != '-' && c != '.' && c != '/' && c != ')'))
		return 0;
	if (c == ')' && (next == ' ' || next == '-'))
		n++;
	bool opens = pii_at(t, i + n) == '(';
	n += opens;
	if (!pii_digit(pii_at(t, i + n)))
		return 0;
	num->spaced = num->spaced || no_break || c == ' ';
	num->dashed = num->dashed || c == '-';
	num->dotted = num->dotted || c == '.';
	num->slashed = num->slashed || c == '/';
	num->paren = num->paren || c == ')' || opens;
	return n;
}

static void read_number(struct str t, size_t at, struct number *num)
{
	*num = (struct number){ .from = at };
	size_t i = at;
	for (;;) {
		size_t start = i;
		while (i < t.n && pii_digit((unsigned char)t.p[i])) {
			if (num->digits < NUMBER_DIGITS)
				num->digit[num->digits] = (unsigned char)(t.p[i] - '0');
			else
				num->odd = true;
			num->digits += num->digits < NUMBER_DIGITS;
			i++;
		}
		if (num->groups == NUMBER_GROUPS) {
			num->odd = true;
			break;
		}
		num->group[num->groups++] = i - start > 255 ? 255 : (uint8_t)(i - start);
		num->to = i;
		size_t skip = num->odd ? 0 : separator_length(t, i, num);
		if (skip == 0)
			break;
		i += skip;
	}
	/* an opening parenthesis belongs to it when the closing one stands inside */
	num->from -= num->paren && pii_before(t, at) == '(';
	num->plus = pii_before(t, num->from) == '+';
	num->from -= num->plus;
}

static unsigned number_prefix(const struct number *num, size_t n)
{
	unsigned v = 0;
	for (size_t i = 0; i < n && i < num->digits; i++)
		v = v * 10 + num->digit[i];
	return v;
}

static bool luhn_ok(const unsigned char *d, size_t n)
{
	unsigned sum = 0;
	for (size_t i = 0; i < n; i++) {
		unsigned v = d[n - 1 - i] * (i % 2 ? 2U : 1U);
		sum += v > 9 ? v - 9 : v;
	}
	return sum % 10 == 0;
}

/* First six digits from..to, and the lengths that networks issue. */
static const struct { unsigned from, to; uint8_t min, max; } card_ranges[] = {
	{ 400000, 499999, 16, 16 }, { 510000, 559999, 16, 16 }, { 222100, 272099, 16, 16 }, { 340000, 349999, 15, 15 }, { 370000, 379999, 15, 15 },
	{ 300000, 305999, 14, 14 }, { 309500, 309599, 14, 14 }, { 360000, 369999, 14, 14 }, { 380000, 399999, 14, 14 }, { 352800, 358999, 16, 19 },
	{ 601100, 601199, 16, 19 }, { 644000, 659999, 16, 19 }, { 620000, 628999, 16, 19 }, { 501800, 501899, 16, 19 }, { 502000, 502099, 16, 19 },
	{ 503800, 503899, 16, 19 }, { 589300, 589399, 16, 19 }, { 630400, 630499, 16, 19 }, { 675900, 676399, 16, 19 }, { 220000, 220499, 16, 19 },
};

static bool card_issued(const struct number *num)
{
	unsigned p = number_prefix(num, 6);
	for (size_t i = 0; i < CH_LEN(card_ranges); i++)
		if (p >= card_ranges[i].from && p <= card_ranges[i].to && num->digits >= card_ranges[i].min && num->digits <= card_ranges[i].max)
			return true;
	return false;
}

/* As printed on cards: fours, or 4-6-5 and 4-6-4; or unbroken. */
static bool card_grouped(const struct number *num)
{
	if (num->groups == 1)
		return true;
	if (num->groups == 3)
		return num->group[0] == 4 && num->group[1] == 6 && (num->group[2] == 5 || num->group[2] == 4);
	for (size_t i = 0; i + 1 < num->groups; i++)
		if (num->group[i] != 4)
			return false;
	return num->groups >= 4 && num->group[num->groups - 1] <= 4;
}

/* Whether the bytes around say that it is a part of something longer: an identifier, a decimal, a hash. */
static bool stands_alone(struct str t, const struct number *num)
{
	unsigned char prev = pii_before(t, num->from), next = pii_at(t, num->to);
	if (pii_alnum(prev) || prev == '_' || prev == '-' || prev == '#' || prev == '$' || pii_alnum(next) || next == '_' || next == '%')
		return false;
	bool decimal_before = (prev == '.' || prev == ',' || prev == '/' || prev == ':') && num->from >= 2 && pii_alnum((unsigned char)t.p[num->from - 2]);
	bool goes_on = (next == '.' || next == ',' || next == '-' || next == '/' || next == ':') && pii_alnum(pii_at(t, num->to + 1));
	return !decimal_before && !goes_on;
}

static bool match_card(struct str t, const struct number *num, struct pii_match *m)
{
	if (num->odd || num->digits < 14 || num->plus || num->paren || num->dotted || num->slashed || (num->spaced && num->dashed))
		return false;
	if (!card_grouped(num) || !card_issued(num) || !luhn_ok(num->digit, num->digits) || !stands_alone(t, num))
		return false;
	*m = (struct pii_match){ PII_CARD, 95, num->from, num->to, true };
	return true;
}

/* Country codes and the length of what follows (ITU-T E.164, national numbering plans); three-digit codes are in phone_zones. */
static const struct { uint16_t code; uint8_t min, max; } phone_countries[] = {
	{ 1, 10, 10 }, { 7, 10, 10 }, { 20, 8, 10 }, { 27, 9, 9 }, { 30, 10, 10 }, { 31, 9, 9 }, { 32, 8, 9 }, { 33, 9, 9 }, { 34, 9, 9 },
	{ 36, 8, 9 }, { 39, 8, 11 }, { 40, 9, 9 }, { 41, 9, 9 }, { 43, 7, 13 }, { 44, 9, 10 }, { 45, 8, 8 }, { 46, 7, 10 }, { 47, 8, 8 },
	{ 48, 9, 9 }, { 49, 7, 12 }, { 51, 8, 9 }, { 52, 10, 11 }, { 53, 8, 8 }, { 54, 10, 11 }, { 55, 10, 11 }, { 56, 9, 9 }, { 57, 8, 10 },
	{ 58, 10, 10 }, { 60, 8, 10 }, { 61, 9, 9 }, { 62, 8, 12 }, { 63, 8, 10 }, { 64, 8, 10 }, { 65, 8, 8 }, { 66, 8, 9 }, { 81, 9, 10 },
	{ 82, 8, 11 }, { 84, 9, 10 }, { 86, 9, 11 }, { 90, 10, 10 }, { 91, 10, 10 }, { 92, 9, 10 }, { 93, 9, 9 }, { 94, 9, 9 }, { 95, 8, 10 }, { 98, 10, 10 },
};
/* The tens of the three-digit codes in use: 21x, 22x … 99x. */
static const uint8_t phone_zones[] = { 21, 22, 23, 24, 25, 26, 29, 35, 37, 38, 42, 50, 59, 67, 68, 69, 80, 85, 87, 88, 96, 97, 99 };

/* Whether digits[from..] are country code and number. */
static bool phone_international(const struct number *num, size_t from)
{
	if (num->digits < from + 8 || num->digits - from > 15)
		return false;
	struct number rest = { .digits = num->digits - from };
	memcpy(rest.digit, num->digit + from, rest.digits);
	for (size_t i = 0; i < CH_LEN(phone_countries); i++) {
		size_t n = phone_countries[i].code < 10 ? 1 : 2;
		if (number_prefix(&rest, n) != phone_countries[i].code)
			continue;
		size_t left = rest.digits - n;
		if (phone_countries[i].code == 1 && rest.digit[1] < 2)
			return false;
		/* "+44 (0)20 …": the trunk zero that is not dialled */
		bool trunk = num->paren && rest.digit[n] == 0;
		return left >= phone_countries[i].min && left <= phone_countries[i].max + (trunk ? 1U : 0U);
	}
	for (size_t i = 0; i < CH_LEN(phone_zones); i++)
		if (number_prefix(&rest, 2) == phone_zones[i])
			return rest.digits >= 9 && rest.digits <= 14;
	return false;
}

static bool phone_words_before(struct str t, size_t at)
{
	static const char *const words[] = { "tel", "phone", "fon", "mobil", "mobile", "cell", "handy", "call", "fax", "whatsapp", "signal", "natel", "móvil", "numer", "tlf" };
	char lower[CONTEXT_BYTES + 1];
	size_t from = at > CONTEXT_BYTES ? at - CONTEXT_BYTES : 0, n = 0;
	for (size_t i = from; i < at; i++) {
		char c = t.p[i];
		if (c == '\n') {
			n = 0;
			continue;
		}
		lower[n++] = (char)(c >= 'A' && c <= 'Z' ? c | 32 : c);
	}
	for (size_t i = 0; i < CH_LEN(words); i++)
		if (memmem(lower, n, words[i], strlen(words[i])))
			return true;
	return false;
}

/* North American: (212) 555-0123, 212-555-0123, 212.555.0123, with 1 in front or not. */
static bool phone_north_american(const struct number *num)
{
	size_t g = num->group[0] == 1 && num->digit[0] == 1 ? 1 : 0;
	if (num->groups != g + 3 || num->group[g] != 3 || num->group[g + 1] != 3 || num->group[g + 2] != 4 || num->slashed)
		return false;
	const unsigned char *d = num->digit + g;
	bool written_so = num->paren || (num->dashed && !num->spaced) || (num->dotted && !num->spaced && !num->dashed);
	return written_so && d[0] >= 2 && d[3] >= 2 && !(d[1] == 9 && d[2] == 9);
}

static bool looks_like_date_or_series(const struct number *num)
{
	size_t at = 0;
	bool rising = num->groups >= 3;
	int previous = -1, step = 0;
	for (size_t g = 0; g < num->groups; g++) {
		int v = 0;
		for (size_t k = 0; k < num->group[g] && k < 6; k++)
			v = v * 10 + num->digit[at + k];
		at += num->group[g];
		if (num->group[g] == 4 && v >= 1800 && v <= 2100 && (num->dotted || num->slashed || num->dashed))
			return true;
		if (g > 1 && v - previous != step)
			rising = false;
		step = v - previous;
		previous = v;
	}
	return rising;
}

/* With a trunk zero and in groups: 030 1234567, 0711/123456, 079 123 45 67, 01 99 00 12 34. */
static bool phone_national(const struct number *num)
{
	if (num->digits < 9 || num->digits > 12 || num->digit[0] != 0 || num->digit[1] == 0 || num->groups < 2 || num->groups > 5)
		return false;
	if (num->group[0] < 2 || num->group[0] > 5 || looks_like_date_or_series(num))
		return false;
	for (size_t g = 1; g < num->groups; g++)
		if (num->group[g] < 2)
			return false;
	return !num->dotted || num->groups >= 4;
}

/* Whether more digits stand before it in the same row: an account's groups, a table's columns. */
static bool continues_digits(struct str t, size_t from)
{
	unsigned char prev = pii_before(t, from);
	return (prev == ' ' || prev == '-') && from >= 2 && pii_digit((unsigned char)t.p[from - 2]);
}

static bool match_phone(struct str t, const struct number *num, struct pii_match *m)
{
	if (num->odd || num->digits < 8 || num->digits > 16)
		return false;
	uint8_t confidence = 0;
	if (num->plus && phone_international(num, 0))
		confidence = 95;
	else if (!num->plus && num->digit[0] == 0 && num->digit[1] == 0 && phone_international(num, 2) && num->groups > 1)
		confidence = 80;
	else if (!num->plus && phone_north_american(num))
		confidence = 80;
	else if (!num->plus && phone_national(num))
		confidence = phone_words_before(t, num->from) ? 80 : 60;
	else if (!num->plus && num->digits >= 9 && num->digits <= 13 && !looks_like_date_or_series(num) && phone_words_before(t, num->from))
		confidence = 60;
	if (confidence == 0 || !stands_alone(t, num) || (!num->plus && continues_digits(t, num->from)))
		return false;
	*m = (struct pii_match){ PII_PHONE, confidence, num->from, num->to, true };
	return true;
}

void pii_match_number(struct str t, size_t at, struct pii_match *m)
{
	size_t run = at;
	while (run < t.n && pii_digit((unsigned char)t.p[run]))
		run++;
	*m = (struct pii_match){ .from = at, .to = run };
	size_t n = run - at;
	unsigned char first = (unsigned char)t.p[at], prev = pii_before(t, at), next = pii_at(t, run);
	if (n <= 3 && next == '.' && match_ipv4(t, at, m))
		return;
	if ((first == '2' || first == '3') && n <= 4 && (next == ':' || pii_hex(next)) && match_ipv6(t, at, m))
		return;
	if (n >= 2 && pii_letter(prev) && match_iban(t, at, m))
		return;
	if (n < 7 && next != ' ' && next != '-' && next != '.' && next != '/' && next != ')' && next < 0x80)
		return;
	struct number num;
	read_number(t, at, &num);
	if (num.digits < 8)
		return;
	if (!match_card(t, &num, m))
		match_phone(t, &num, m);
}
