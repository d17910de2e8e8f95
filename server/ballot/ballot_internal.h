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

/* ballot_read inside an open transaction. */
CH_CHECK enum err ballot_find(struct call *c, struct uuid coop, struct uuid id, struct ballot *out);
/* The compiled form of a rule's text. */
CH_CHECK enum err ballot_rule_of(struct call *c, struct str text, struct ballot_rule *out);
/* The topic of a kind, as a bit number. */
unsigned ballot_topic_of(struct str kind);

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

/* vote.c: the acting member, who must be on the roll of the open ballot. */
CH_CHECK enum err ballot_voter(struct call *c, struct uuid coop, struct uuid ballot, struct member *me, struct ballot *b);

/* tell.c: notices go out in jobs of their own, so that no act waits for a roll of people. Inside. `event`: announced, opened, extended, closed. */
CH_CHECK enum err ballot_tell(struct call *c, struct uuid coop, struct uuid ballot, const char *event);
/* A delegate voted: those for whom that counts are told. */
CH_CHECK enum err ballot_tell_principals(struct call *c, struct uuid coop, struct uuid ballot, struct uuid delegate);
CH_CHECK enum err ballot_job_tell(struct call *c, const struct json *args);
CH_CHECK enum err ballot_job_acted(struct call *c, const struct json *args);

#endif
