/* str.h - text and bytes as pointer plus length, and growable buffers that always have a maximum.
 *
 * A `struct str` is a view: it owns nothing and is not NUL-terminated unless a function says so. What it
 * points to lives in an arena, a constant or a buffer of the caller. A `struct buf` owns heap memory, never
 * grows past its maximum, and remembers a failed append, so that a writer may check once at the end.
 */
#ifndef COMMONHOLD_STR_H
#define COMMONHOLD_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define CH_CHECK __attribute__((warn_unused_result))
#define CH_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define CH_LEN(array) (sizeof(array) / sizeof((array)[0]))

struct arena;

/* A view of text or bytes. */
struct str {
	const char *p; /* first byte; NULL means absent, which is not the same as empty */
	size_t n;      /* bytes */
};

#define STR(literal) ((struct str){ "" literal, sizeof(literal) - 1 })
#define STR_NONE ((struct str){ NULL, 0 })
/* For printf's "%.*s". */
#define STR_ARG(s) (int)(s).n, (s).p ? (s).p : ""

static inline struct str str_of(const char *z) { return (struct str){ z, z ? strlen(z) : 0 }; }
static inline struct str str_make(const void *p, size_t n) { return (struct str){ p, n }; }
static inline bool str_is(struct str s, const char *z) { size_t n = strlen(z); return s.n == n && (n == 0 || memcmp(s.p, z, n) == 0); }
static inline bool str_eq(struct str a, struct str b) { return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0); }

/* Which of n words it is, or -1. */
int str_which(struct str s, const char *const *words, size_t n);
/* Byte order, shorter first where one is a prefix of the other. */
int str_cmp(struct str a, struct str b);
bool str_starts(struct str s, const char *prefix);
bool str_ends(struct str s, const char *suffix);
/* The view from `at` on, at most `n` bytes; empty when out of range. */
struct str str_sub(struct str s, size_t at, size_t n);
/* Without ASCII white space at both ends. */
struct str str_trim(struct str s);
/* Index of the first `c`, or -1. */
ptrdiff_t str_index(struct str s, char c);
/* Takes the part before the first `sep` off the front of *rest; false when *rest is absent. The last part
 * leaves *rest absent, so that "a,,b" yields three parts and "" yields one. */
bool str_split(struct str *rest, char sep, struct str *part);
/* A whole decimal number, sign allowed, nothing around it, in [min, max]. */
CH_CHECK bool str_to_i64(struct str s, int64_t min, int64_t max, int64_t *out);
/* Well-formed UTF-8 without NUL, surrogates or overlong forms. */
bool str_is_utf8(struct str s);
/* The beginning of UTF-8 text: n bytes at most, and no half character. */
struct str str_utf8_head(struct str s, size_t n);
/* ASCII letters folded; for header names, e-mail domains, schemes. */
bool str_eq_nocase(struct str a, const char *z);
struct str str_lower(struct arena *a, struct str s);
/* Copies into the arena; str_z adds the terminating NUL that C libraries want. */
struct str str_copy(struct arena *a, struct str s);
const char *str_z(struct arena *a, struct str s);
struct str str_fmt(struct arena *a, const char *fmt, ...) CH_PRINTF(2, 3);
/* One behind the other, for what is written too often to be formatted. */
struct str str_join(struct arena *a, const struct str *parts, size_t n);
#define str_cat(a, ...) str_join((a), (const struct str[]){ __VA_ARGS__ }, CH_LEN(((const struct str[]){ __VA_ARGS__ })))

/* Encodings. Decoders are strict (no white space, padding as said) and answer false on any other byte. */
struct str str_hex(struct arena *a, const void *p, size_t n);
CH_CHECK bool str_unhex(struct str hex, void *out, size_t n);
/* The same, where A to F are no digits. */
CH_CHECK bool str_unhex_lower(struct str hex, void *out, size_t n);
struct str str_base64(struct arena *a, const void *p, size_t n);
CH_CHECK bool str_unbase64(struct arena *a, struct str in, struct str *out);
/* base64url without padding, as in JWT and DSSE-less tokens. */
struct str str_base64url(struct arena *a, const void *p, size_t n);
CH_CHECK bool str_unbase64url(struct arena *a, struct str in, struct str *out);
/* application/x-www-form-urlencoded and path segments; '+' is a space only in forms. */
CH_CHECK bool str_url_decode(struct arena *a, struct str in, bool form, struct str *out);
struct str str_url_encode(struct arena *a, struct str in);

/* A growable byte buffer with a cap. */
struct buf {
	char *p;     /* heap memory, or NULL before the first append */
	size_t n;    /* bytes used */
	size_t cap;  /* bytes allocated */
	size_t max;  /* never grows past this */
	bool failed; /* an append did not fit or memory ran out; the content is then not to be used */
};

void buf_init(struct buf *b, size_t max);
void buf_release(struct buf *b);
/* Empties it and keeps the memory. */
void buf_clear(struct buf *b);
void buf_add(struct buf *b, const void *p, size_t n);
void buf_add_str(struct buf *b, struct str s);
void buf_add_z(struct buf *b, const char *z);
void buf_add_byte(struct buf *b, char c);
void buf_add_i64(struct buf *b, int64_t v);
/* Escapes & < > " ' for HTML text and double-quoted attributes. */
void buf_add_html(struct buf *b, struct str s);
void buf_addf(struct buf *b, const char *fmt, ...) CH_PRINTF(2, 3);
/* Room for n more bytes: where to write them, or NULL; the caller then adds to b->n. */
char *buf_reserve(struct buf *b, size_t n);
/* Moves the content into the arena and releases the buffer; absent when an append had failed. */
struct str buf_take(struct arena *a, struct buf *b);
static inline struct str buf_str(const struct buf *b) { return (struct str){ b->p ? b->p : "", b->n }; }

#endif
