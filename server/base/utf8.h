/* utf8.h - scanning text: well-formed UTF-8 sequences (RFC 3629) and runs of bytes that JSON takes as they are. Inline, since parsers
 * call them per character. Never reads past `end`.
 */
#ifndef COMMONHOLD_UTF8_H
#define COMMONHOLD_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

static inline bool utf8_is_tail(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* Length of the well-formed sequence at p, or 0: NUL, a lone tail, an overlong form, a surrogate or a cut end. */
static inline size_t utf8_sequence(const char *p, const char *end)
{
	size_t n = (size_t)(end - p);
	if (n == 0)
		return 0;
	unsigned char c = (unsigned char)p[0];
	if (c < 0x80)
		return c != 0;
	if (n < 2 || c < 0xc2 || c > 0xf4)
		return 0;
	unsigned char second = (unsigned char)p[1];
	if (c <= 0xdf)
		return utf8_is_tail(p[1]) ? 2 : 0;
	if (c <= 0xef) {
		unsigned char low = c == 0xe0 ? 0xa0 : 0x80, high = c == 0xed ? 0x9f : 0xbf;
		return n >= 3 && second >= low && second <= high && utf8_is_tail(p[2]) ? 3 : 0;
	}
	unsigned char low = c == 0xf0 ? 0x90 : 0x80, high = c == 0xf4 ? 0x8f : 0xbf;
	return n >= 4 && second >= low && second <= high && utf8_is_tail(p[2]) && utf8_is_tail(p[3]) ? 4 : 0;
}

/* Writes a code point (below 0x110000, no surrogate); returns its length. */
static inline size_t utf8_put(char *out, uint32_t c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
	for (size_t i = n - 1; i > 0; i--) {
		out[i] = (char)(0x80 | (c & 0x3f));
		c >>= 6;
	}
	out[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | c);
	return n;
}

#define UTF8_BYTES(x) (UINT64_C(0x0101010101010101) * (x))

/* The first byte at or after p that is not plain inside a JSON string: a control, a quote, a backslash or not ASCII. */
static inline const char *utf8_skip_plain(const char *p, const char *end)
{
#ifdef __SSE2__
	for (; end - p >= 16; p += 16) {
		const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
		const __m128i marks = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('"')), _mm_cmpeq_epi8(v, _mm_set1_epi8('\\')));
		/* as signed numbers what is not ASCII lies below the controls */
		unsigned special = (unsigned)_mm_movemask_epi8(_mm_or_si128(marks, _mm_cmplt_epi8(v, _mm_set1_epi8(0x20))));
		if (special)
			return p + __builtin_ctz(special);
	}
#endif
	while (end - p >= 8) {
		uint64_t x;
		memcpy(&x, p, 8);
		uint64_t quote = x ^ UTF8_BYTES('"'), slash = x ^ UTF8_BYTES('\\');
		uint64_t special = x | (x - UTF8_BYTES(0x20)) | (quote - UTF8_BYTES(1)) | (slash - UTF8_BYTES(1));
		if (special & UTF8_BYTES(0x80))
			break;
		p += 8;
	}
	while (p < end && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80 && *p != '"' && *p != '\\')
		p++;
	return p;
}

#endif
