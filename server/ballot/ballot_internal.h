/* ballot_internal.h - what the files of ballot/ share. */
#ifndef COMMONHOLD_BALLOT_INTERNAL_H
#define COMMONHOLD_BALLOT_INTERNAL_H

#include "commonhold/ballot.h"
#include "commonhold/delegation.h"

#define BALLOT_BOARD_NO (-2) /* the board's number in tables, as in delegation.delegate_no */

/* How a person is called among the members, in SQL over a membership m. */
#define MEMBER_NAME "CASE m.attribution WHEN 'public' THEN m.public_name WHEN 'pseudonym' THEN m.pseudonym ELSE 'member ' || m.number END"

/* A ballot as locked for a change. */
struct ballot_locked {
	struct uuid coop, id, subject, proposer;
	enum ballot_state state;
	struct str kind, rule;
	struct sha256 digest;
	instant opens_at, closes_at;
	int charter;
	bool extended;
	int members_last_year, admins_last_year;
};

/* ballot.c: locks a ballot for a change, or for what must not overlap with one; inside. */
CH_CHECK enum err ballot_take(struct call *c, struct uuid coop, struct uuid id, struct ballot_locked *out);
/* ballot_read inside an open transaction. */
CH_CHECK enum err ballot_find(struct call *c, struct uuid coop, struct uuid id, struct ballot *out);
/* The compiled form of a rule's text. */
CH_CHECK enum err ballot_rule_of(struct call *c, struct str text, struct ballot_rule *out);
/* The topic of a kind, as a bit number. */
unsigned ballot_topic_of(struct str kind);

/* case.c: what the outcome depends on. */

/* Everything that the outcome can depend on, whatever instant it is taken as of. */
struct ballot_case {
	struct call *call;
	const struct ballot_locked *ballot;
	struct arena *arena;          /* large; of the call's end */
	struct charter charter;       /* the version whose rules apply */
	struct ballot_rule rule;
	size_t n;                     /* members */
	uint8_t *roll;                /* bits, by number */
	uint32_t admins;              /* on the roll */
	struct ballot_cast *casts;    /* in any order */
	size_t n_casts, room;         /* how many, and places */
	struct ballot_stance *stances; /* oldest first */
	size_t n_stances;             /* how many */
	struct policy_edge *edges;    /* delegations of votes */
	size_t n_edges;               /* how many */
	uint32_t proposer;            /* number */
};
/* Loads what is known of a ballot that ends or ended at `end`; call, ballot and arena are set. Inside. */
CH_CHECK enum err ballot_case_load(struct ballot_case *k, instant end);
/* What it comes to with the votes, standings and stances up to and with `at`, which is not after the end. */
CH_CHECK enum err ballot_case_outcome(struct ballot_case *k, instant at, struct ballot_facts *f, struct ballot_outcome *out);

/* Whether anything that the outcome depends on happened after one instant and up to another (as of which `active` is): where nothing did, it is the same. */
CH_CHECK enum err ballot_case_moved(struct ballot_case *k, instant from, instant to, const uint8_t *active, bool *out);

/* close.c: what a ballot that is over comes to. */
struct ballot_ending {
	bool extend;                  /* the outcome changed in the last tenth: it goes on, once, until */
	instant closes_at;
	struct policy_count count;    /* else: by electorate … */
	bool passed;                  /* … and whether the rule is met */
	enum ballot_choice board;     /* what the board had resolved */
};
/* Decides as of `end` and stores everybody's outcome and the counts, or says that the ballot is to be extended. Inside, the ballot locked. */
CH_CHECK enum err ballot_settle(struct call *c, const struct ballot_locked *b, instant end, bool may_extend, struct ballot_ending *out);

/* vote.c: what the log has of a vote. `behalf` is nil for an own one. */
struct sha256 ballot_vote_commitment(struct arena *a, struct uuid ballot, struct uuid member, struct uuid behalf, struct str choice, const uint8_t salt[32]);
/* vote.c: the acting member, who must be on the roll of the open ballot. */
CH_CHECK enum err ballot_voter(struct call *c, struct uuid coop, struct uuid ballot, struct member *me, struct ballot *b);

/* tell.c: notices go out in jobs of their own, so that no act waits for a roll of people. Inside. `event`: announced, opened, extended, closed. */
CH_CHECK enum err ballot_tell(struct call *c, struct uuid coop, struct uuid ballot, const char *event);
/* A delegate voted: those for whom that counts are told. */
CH_CHECK enum err ballot_tell_principals(struct call *c, struct uuid coop, struct uuid ballot, struct uuid delegate);
CH_CHECK enum err ballot_job_tell(struct call *c, const struct json *args);
CH_CHECK enum err ballot_job_acted(struct call *c, const struct json *args);

#endif
