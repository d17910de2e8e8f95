/* pair.h - two co-ops of one instance that know each other, for tests of what goes between them: agreements drafted, voted on and in effect. The clock stands at PAIR_START at first. */
#ifndef COMMONHOLD_TESTS_PAIR_H
#define COMMONHOLD_TESTS_PAIR_H

#include "people.h"

#include "commonhold/agreement.h"
#include "commonhold/ballot.h"
#include "commonhold/guest.h"
#include "commonhold/message.h"
#include "commonhold/peer.h"

#define PAIR_START INT64_C(1767258000000000) /* 2026-01-01T09:00:00Z */

/* Two co-ops, a person each who is its only admin, and what they know of each other. */
struct pair {
	struct call *system;
	struct call *call[2];
	struct coop coop[2];
	struct uuid peer[2];     /* peer[0]: the second as the first knows it */
};

/* `first`, `second`: members added to the least charter of each, as people_coop takes them. */
void pair_make_with(struct pair *p, const char *first, const char *second);
void pair_make(struct pair *p);
/* Runs what is due of agreements, messages and ballots; the second moves the clock first. */
void pair_run(void);
void pair_until(instant t);
struct agreement pair_see(struct pair *p, int who, struct sha256 digest);
enum agreement_state pair_state(struct pair *p, int who, struct sha256 digest);
struct agreement pair_drafted(struct pair *p, int who, const char *draft, struct uuid renews);
/* Drafted, proposed, and arrived. */
struct sha256 pair_proposed(struct pair *p, int who, const char *draft, struct uuid renews);
/* Both make their previews, and so have the dry run. */
void pair_try_out(struct pair *p, struct sha256 digest);
/* With the dry run, or, where there is none, saying that the test asks for none. */
void pair_open_ballot(struct pair *p, int who, struct sha256 digest);
void pair_vote(struct pair *p, int who, struct sha256 digest, const char *choice);
/* Both vote; the first as `a` says, the second as `b`. The clock stands at the end of the vote. */
void pair_decide(struct pair *p, struct sha256 digest, const char *a, const char *b);
/* In effect at both. */
struct sha256 pair_agreed(struct pair *p, const char *draft);
struct guest_source pair_source(struct pair *p, int who, struct uuid agreement);
/* SELECT count(*) FROM what */
int64_t pair_count(const char *what);

#endif
