/* words.h - how pages say dates, numbers, languages and the policy's vocabulary to people. Pure; never used for what programs read: those get ids and RFC 3339. */
#ifndef COMMONHOLD_WORDS_H
#define COMMONHOLD_WORDS_H

#include "clock.h"
#include "policy.h"

/* "20 November 2026"; absent for no instant. In UTC, as everything here. */
struct str words_day(struct arena *a, instant t);
/* "20 November 2026, 07:05 UTC" */
struct str words_minute(struct arena *a, instant t);
/* "2026-11-20", for the datetime attribute beside words_day. */
struct str words_day_iso(struct arena *a, instant t);
/* "12,345" */
struct str words_count(struct arena *a, int64_t n);
/* "1 group", "12,345 groups" */
struct str words_things(struct arena *a, int64_t n, const char *one, const char *many);
/* "1.2 MB" */
struct str words_size(struct arena *a, int64_t bytes);
/* The English name of a BCP 47 tag's language ("rm" is "Romansh", "de-CH" "German (CH)"); the tag itself where it is not known. */
struct str words_language(struct arena *a, struct str tag);

/* Where in a document, from its JSON Pointer: "/messages/0/content" is "Messages 1: content". */
struct str words_field(struct arena *a, struct str pointer);

/* Never NULL. */
const char *words_use(unsigned use);           /* "training generative models" */
const char *words_purpose(unsigned purpose);   /* "scientific research" */
const char *words_kind(unsigned kind);         /* "Conversation" */
const char *words_outcome(unsigned outcome);   /* "Released" */
const char *words_reason(unsigned reason);     /* what kept an item out, short enough for a chart: "Nobody has said yes to this use" */
const char *words_who(unsigned fixer);         /* who can change that: "the contributor" */
/* "a, b and c" from bits; "nothing" without any. */
struct str words_list(struct arena *a, uint64_t bits, unsigned count, const char *(*word)(unsigned no));

#endif
