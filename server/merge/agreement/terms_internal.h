/* terms_internal.h - what the files that read charters and agreements share. Of server/merge only. */
#ifndef COMMONHOLD_MERGE_TERMS_INTERNAL_H
#define COMMONHOLD_MERGE_TERMS_INTERNAL_H

#include "commonhold/terms.h"
#include "commonhold/words.h"

/* SPDX id of a licence, for words_list and jw_knames. */
const char *licence_word(unsigned licence);
/* A duration in microseconds, as the engine counts it. */
int64_t span_of(struct duration d);
/* "30 days", "6 hours", "none". */
struct str span_words(struct arena *a, int64_t span);
/* Larger is looser. */
int attribution_rank(struct str word);
int access_rank(struct str word);
/* Whether either looks closer at contributions than the other. */
bool terms_one_looks_closer(const struct charter *a, const struct charter *b);
/* Licences under which a contribution may be made there, and be in a release. */
uint64_t terms_licences_of(const struct charter *c);
/* Those purposes that are no narrower than any of `wider`. */
uint32_t terms_purposes_outside(uint32_t purposes, uint32_t wider);

/* A set that only one of the two can come to is nothing that both can vote on. */
#define AGREEMENT_JOINT_ONE_WAY "For joint releases both must send and both receive: each decides the same pool and votes on the same set, which it can only do when it has what the other has."

#endif
