/* pii_numbers.h - what pii.c shares with its matcher of digits. */
#ifndef POOL_PII_NUMBERS_H
#define POOL_PII_NUMBERS_H

#include "commonhold/pii.h"

/* A match inside a text. */
struct pii_match {
	enum pii_kind kind;  /* what it seems to be */
	uint8_t confidence;  /* as in struct pii_finding */
	size_t from, to;     /* bytes [from, to) */
	bool found;          /* whether anything matched; `to` says where to go on either way */
};

/* Looks at the digit at `at`, the first of a run: network address, account, card, telephone. m->to is always past the run. */
void pii_match_number(struct str text, size_t at, struct pii_match *m);

static inline bool pii_digit(unsigned char c) { return c >= '0' && c <= '9'; }
static inline bool pii_letter(unsigned char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; }
static inline bool pii_alnum(unsigned char c) { return pii_digit(c) || pii_letter(c); }
static inline bool pii_hex(unsigned char c) { return pii_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f'); }
/* The byte at i, or a blank outside the text. */
static inline unsigned char pii_at(struct str t, size_t i) { return i < t.n ? (unsigned char)t.p[i] : ' '; }
static inline unsigned char pii_before(struct str t, size_t i) { return i > 0 ? (unsigned char)t.p[i - 1] : ' '; }

#endif
