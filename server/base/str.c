#include "commonhold/str.h"
#include "commonhold/arena.h"
#include "server/base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int str_which(struct str s, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_is(s, words[i]))
			return (int)i;
	return -1;
}

int str_cmp(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int order = n ? memcmp(a.p, b.p, n) : 0;
	if (order)
		return order;
	return a.n < b.n ? -1 : a.n > b.n;
}

bool str_starts(struct str s, const char *prefix)
{
	size_t n = strlen(prefix);
	return s.n >= n && (n == 0 || memcmp(s.p, prefix, n) == 0);
}

bool str_ends(struct str s, const char *suffix)
{
	size_t n = strlen(suffix);
	return s.n >= n && (n == 0 || memcmp(s.p + s.n - n, suffix, n) == 0);
}

struct str str_sub(struct str s, size_t at, size_t n)
{
	if (at >= s.n)
		return str_make(s.p ? s.p + s.n : "", 0);
	size_t left = s.n - at;
	return str_make(s.p + at, n < left ? n : left);
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

struct str str_trim(struct str s)
{
	while (s.n && is_space(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n && is_space(s.p[s.n - 1]))
		s.n--;
	return s;
}

ptrdiff_t str_index(struct str s, char c)
{
	const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
	return at ? at - s.p : -1;
}

bool str_split(struct str *rest, char sep, struct str *part)
{
	if (!rest->p)
		return false;
	ptrdiff_t at = str_index(*rest, sep);
	if (at < 0) {
		*part = *rest;
		*rest = STR_NONE;
	} else {
		*part = str_sub(*rest, 0, (size_t)at);
		*rest = str_make(rest->p + at + 1, rest->n - (size_t)at - 1);
	}
	return true;
}

bool str_to_i64(struct str s, int64_t min, int64_t max, int64_t *out)
{
	bool negative = s.n && s.p[0] == '-';
	size_t i = negative || (s.n && s.p[0] == '+');
	if (i == s.n)
		return false;
	int64_t v = 0;
	for (; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		int digit = s.p[i] - '0';
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, negative ? -digit : digit, &v))
			return false;
	}
	if (v < min || v > max)
		return false;
	*out = v;
	return true;
}

bool str_is_utf8(struct str s)
{
	const char *p = s.p, *end = s.p + s.n;
	while (s.n && (p = utf8_skip_plain(p, end)) != end) {
		size_t n = utf8_sequence(p, end);
		if (n == 0)
			return false;
		p += n;
	}
	return true;
}

struct str str_utf8_head(struct str s, size_t n)
{
	if (n >= s.n)
		return s;
	while (n > 0 && ((unsigned char)s.p[n] & 0xc0) == 0x80)
		n--;
	return str_sub(s, 0, n);
}

static char ascii_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool str_eq_nocase(struct str a, const char *z)
{
	size_t i = 0;
	for (; i < a.n && z[i]; i++)
		if (ascii_lower(a.p[i]) != ascii_lower(z[i]))
			return false;
	return i == a.n && z[i] == '\0';
}

struct str str_lower(struct arena *a, struct str s)
{
	char *p = arena_alloc(a, s.n);
	if (!p)
		return STR_NONE;
	for (size_t i = 0; i < s.n; i++)
		p[i] = ascii_lower(s.p[i]);
	return str_make(p, s.n);
}

struct str str_copy(struct arena *a, struct str s)
{
	if (!s.p)
		return s;
	char *p = arena_take(a, s.n + 1);
	if (!p)
		return STR_NONE;
	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return str_make(p, s.n);
}

const char *str_z(struct arena *a, struct str s)
{
	char *p = arena_alloc(a, s.n + 1);
	if (p && s.n)
		memcpy(p, s.p, s.n);
	return p;
}

struct str str_fmt(struct arena *a, const char *fmt, ...)
{
	char few[256]; /* most texts are short: those are formatted once */
	va_list args, again;
	va_start(args, fmt);
	va_copy(again, args);
	int n = vsnprintf(few, sizeof(few), fmt, args);
	va_end(args);
	if (n < 0)
		n = 0;
	char *p = arena_alloc(a, (size_t)n + 1);
	if (p && (size_t)n < sizeof(few))
		memcpy(p, few, (size_t)n);
	else if (p)
		vsnprintf(p, (size_t)n + 1, fmt, again);
	va_end(again);
	return p ? str_make(p, (size_t)n) : STR_NONE;
}

struct str str_join(struct arena *a, const struct str *parts, size_t n)
{
	size_t total = 0, at = 0;
	for (size_t i = 0; i < n; i++)
		total += parts[i].n;
	char *p = arena_alloc(a, total + 1);
	if (!p)
		return STR_NONE;
	for (size_t i = 0; i < n; i++) {
		if (parts[i].n)
			memcpy(p + at, parts[i].p, parts[i].n);
		at += parts[i].n;
	}
	return str_make(p, total);
}

struct str str_hex(struct arena *a, const void *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *b = bytes;
	char *p = arena_alloc(a, n * 2 + 1);
	if (!p)
		return STR_NONE;
	for (size_t i = 0; i < n; i++) {
		p[i * 2] = digits[b[i] >> 4];
		p[i * 2 + 1] = digits[b[i] & 15];
	}
	return str_make(p, n * 2);
}

/* One more than the digit's value; 0: it is none. */
static const uint8_t hex_digits[256] = {
	['0'] = 1, ['1'] = 2, ['2'] = 3, ['3'] = 4, ['4'] = 5, ['5'] = 6, ['6'] = 7, ['7'] = 8, ['8'] = 9, ['9'] = 10,
	['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16, ['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
};

static int hex_digit(char c)
{
	return hex_digits[(uint8_t)c] - 1;
}

bool str_unhex(struct str hex, void *out, size_t n)
{
	uint8_t *b = out;
	if (hex.n != n * 2)
		return false;
	for (size_t i = 0; i < n; i++) {
		int high = hex_digit(hex.p[i * 2]), low = hex_digit(hex.p[i * 2 + 1]);
		if (high < 0 || low < 0)
			return false;
		b[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

bool str_unhex_lower(struct str hex, void *out, size_t n)
{
	uint8_t *b = out;
	unsigned wrong = 0;
	if (hex.n != n * 2)
		return false;
	/* without branches, so that many digits are read at once */
	for (size_t i = 0; i < n; i++) {
		unsigned c = (uint8_t)hex.p[i * 2], d = (uint8_t)hex.p[i * 2 + 1];
		unsigned c9 = c - '0', ca = c - 'a', d9 = d - '0', da = d - 'a';
		wrong |= (unsigned)(c9 > 9) & (unsigned)(ca > 5);
		wrong |= (unsigned)(d9 > 9) & (unsigned)(da > 5);
		b[i] = (uint8_t)((c9 > 9 ? ca + 10 : c9) << 4 | (d9 > 9 ? da + 10 : d9));
	}
	return !wrong;
}

static const char base64_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64url_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static struct str base64_encode(struct arena *a, const uint8_t *b, size_t n, const char *alphabet, bool padded)
{
	char *p = arena_alloc(a, (n + 2) / 3 * 4 + 1);
	size_t out = 0, i = 0;
	if (!p)
		return STR_NONE;
	for (; i + 2 < n; i += 3) {
		unsigned v = (unsigned)b[i] << 16 | (unsigned)b[i + 1] << 8 | b[i + 2];
		for (int shift = 18; shift >= 0; shift -= 6)
			p[out++] = alphabet[v >> shift & 63];
	}
	if (i < n) {
		unsigned v = (unsigned)b[i] << 16 | (i + 1 < n ? (unsigned)b[i + 1] << 8 : 0);
		p[out++] = alphabet[v >> 18 & 63];
		p[out++] = alphabet[v >> 12 & 63];
		if (i + 1 < n)
			p[out++] = alphabet[v >> 6 & 63];
		else if (padded)
			p[out++] = '=';
		if (padded)
			p[out++] = '=';
	}
	return str_make(p, out);
}

/* Strict: the unused low bits of the last character must be zero, so that every text has one encoding. */
static bool base64_decode(struct arena *a, struct str in, const char *alphabet, struct str *out)
{
	if (in.n % 4 == 1)
		return false;
	uint8_t *b = arena_alloc(a, in.n / 4 * 3 + 3);
	size_t n = 0;
	if (!b)
		return false;
	unsigned v = 0, bits = 0;
	for (size_t i = 0; i < in.n; i++) {
		const char *at = in.p[i] ? strchr(alphabet, in.p[i]) : NULL;
		if (!at)
			return false;
		v = (v << 6 | (unsigned)(at - alphabet)) & 0xffffff;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			b[n++] = (uint8_t)(v >> bits);
		}
	}
	if (v & ((1u << bits) - 1))
		return false;
	*out = str_make(b, n);
	return true;
}

struct str str_base64(struct arena *a, const void *p, size_t n)
{
	return base64_encode(a, p, n, base64_alphabet, true);
}

bool str_unbase64(struct arena *a, struct str in, struct str *out)
{
	if (in.n % 4)
		return false;
	size_t padding = 0;
	while (padding < 2 && in.n && in.p[in.n - 1] == '=') {
		in.n--;
		padding++;
	}
	return base64_decode(a, in, base64_alphabet, out);
}

struct str str_base64url(struct arena *a, const void *p, size_t n)
{
	return base64_encode(a, p, n, base64url_alphabet, false);
}

bool str_unbase64url(struct arena *a, struct str in, struct str *out)
{
	return base64_decode(a, in, base64url_alphabet, out);
}

bool str_url_decode(struct arena *a, struct str in, bool form, struct str *out)
{
	char *p = arena_alloc(a, in.n + 1);
	size_t n = 0;
	if (!p)
		return false;
	for (size_t i = 0; i < in.n; i++) {
		char c = in.p[i];
		if (c == '%') {
			uint8_t byte;
			if (!str_unhex(str_sub(in, i + 1, 2), &byte, 1))
				return false;
			c = (char)byte;
			i += 2;
		} else if (form && c == '+') {
			c = ' ';
		}
		p[n++] = c;
	}
	*out = str_make(p, n);
	return str_is_utf8(*out);
}

struct str str_url_encode(struct arena *a, struct str in)
{
	static const char digits[] = "0123456789ABCDEF";
	char *p = arena_alloc(a, in.n * 3 + 1);
	size_t n = 0;
	if (!p)
		return STR_NONE;
	for (size_t i = 0; i < in.n; i++) {
		unsigned char c = (unsigned char)in.p[i];
		bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '~';
		if (unreserved) {
			p[n++] = (char)c;
		} else {
			p[n++] = '%';
			p[n++] = digits[c >> 4];
			p[n++] = digits[c & 15];
		}
	}
	return str_make(p, n);
}

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

void buf_release(struct buf *b)
{
	free(b->p);
	*b = (struct buf){ .max = b->max };
}

struct str buf_take(struct arena *a, struct buf *b)
{
	struct str text = b->failed ? STR_NONE : str_copy(a, buf_str(b));
	buf_release(b);
	return text;
}

void buf_clear(struct buf *b)
{
	b->n = 0;
	b->failed = false;
}

char *buf_reserve(struct buf *b, size_t n)
{
	if (b->failed || n > b->max || b->n > b->max - n) {
		b->failed = true;
		return NULL;
	}
	if (b->cap - b->n < n) {
		size_t cap = b->cap ? b->cap * 2 : 256;
		if (cap < b->n + n)
			cap = b->n + n;
		if (cap > b->max)
			cap = b->max;
		char *p = realloc(b->p, cap);
		if (!p) {
			b->failed = true;
			return NULL;
		}
		b->p = p;
		b->cap = cap;
	}
	return b->p + b->n;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
	if (n == 0)
		return;
	char *to = buf_reserve(b, n);
	if (to) {
		memcpy(to, p, n);
		b->n += n;
	}
}

void buf_add_str(struct buf *b, struct str s) { buf_add(b, s.p, s.n); }
void buf_add_z(struct buf *b, const char *z) { buf_add(b, z, strlen(z)); }
void buf_add_byte(struct buf *b, char c) { buf_add(b, &c, 1); }

void buf_add_i64(struct buf *b, int64_t v)
{
	char digits[24];
	size_t at = sizeof(digits);
	uint64_t rest = v < 0 ? -(uint64_t)v : (uint64_t)v;
	do {
		digits[--at] = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest);
	if (v < 0)
		digits[--at] = '-';
	buf_add(b, digits + at, sizeof(digits) - at);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	char few[256];
	va_list args, again;
	va_start(args, fmt);
	va_copy(again, args);
	int n = vsnprintf(few, sizeof(few), fmt, args);
	va_end(args);
	if (n >= 0 && (size_t)n < sizeof(few)) {
		buf_add(b, few, (size_t)n);
	} else if (n >= 0) {
		/* Behind the text stands its NUL, which may need one byte more than the buffer's maximum. */
		char *whole = malloc((size_t)n + 1);
		if (whole && vsnprintf(whole, (size_t)n + 1, fmt, again) == n)
			buf_add(b, whole, (size_t)n);
		else
			b->failed = true;
		free(whole);
	} else {
		b->failed = true;
	}
	va_end(again);
}

void buf_add_html(struct buf *out, struct str s)
{
	size_t from = 0;
	for (size_t i = 0; i < s.n; i++) {
		const char *entity;
		switch (s.p[i]) {
		case '&': entity = "&amp;"; break;
		case '<': entity = "&lt;"; break;
		case '>': entity = "&gt;"; break;
		case '"': entity = "&quot;"; break;
		case '\'': entity = "&#39;"; break;
		default: continue;
		}
		buf_add(out, s.p + from, i - from);
		buf_add_z(out, entity);
		from = i + 1;
	}
	buf_add(out, s.p + from, s.n - from);
}
