/*
 * policy_ballot.h - the rules by which a ballot passes.
 *
 * Pure functions of counts, with integer ratios only: nothing is rounded. A tie fails; an empty roll
 * fails; a rule that is not sound fails.
 */
#ifndef COMMONHOLD_POLICY_BALLOT_H
#define COMMONHOLD_POLICY_BALLOT_H

#include "commonhold/policy_delegation.h"

/* Kinds of ballot, also the topics of vote delegations. */
#define POLICY_BALLOTS(X)         \
	X(RELEASE, 0, "release")      \
	X(CHARTER, 1, "charter")      \
	X(MERGE, 2, "merge")          \
	X(TOGGLE, 3, "toggle")        \
	X(ADMIN, 4, "admin")          \
	X(BENEFIT, 5, "benefit")      \
	X(APPEAL, 6, "appeal")

enum policy_ballot_kind {
#define X(sym, no, name) POLICY_BALLOT_##sym = no,
	POLICY_BALLOTS(X)
#undef X
	POLICY_BALLOT_COUNT = 7
};
const char *policy_ballot_name(unsigned kind);
int policy_ballot_find(const char *name, size_t len);

enum policy_electorate { POLICY_MEMBERS, POLICY_ADMINS, POLICY_ELECTORATE_COUNT };

enum policy_quorum_op {
	POLICY_RULE_MAJORITY,        /* for > against; with a ratio: for over (for + against) > or >= num/den, which
	                                must be at least a half */
	POLICY_RULE_APPROVAL_QUORUM, /* for >= num/den of the quorum base */
	POLICY_RULE_TURNOUT_QUORUM,  /* for + against + abstain >= num/den of the quorum base */
	POLICY_RULE_OBJECTION_CAP,   /* against <= num/den of votes cast (abstentions are cast) */
	POLICY_RULE_N_OF_M_ADMINS,   /* at least `num` distinct admins for, the proposer not counted */
	POLICY_RULE_ALL_OF,          /* every child passes; fails without children */
	POLICY_RULE_ANY_OF,          /* some child passes */
	POLICY_RULE_OP_COUNT
};

/* A rule is an array of these; the first is the root; children stand side by side after their parent. */
struct policy_quorum {
	uint8_t op;         /* enum policy_quorum_op */
	uint8_t electorate; /* enum policy_electorate, for the counting rules */
	uint8_t strict;     /* MAJORITY with a ratio: 1 for >, 0 for >= */
	uint8_t reserved;   /* 0 */
	uint16_t first;     /* index of the first child, greater than its own */
	uint16_t count;     /* number of children */
	uint32_t num;       /* the ratio's numerator, or n of N_OF_M_ADMINS; MAJORITY: 0 for plain for > against */
	uint32_t den;       /* the ratio's denominator */
};
#define POLICY_QUORUM_MAX 32 /* nodes of one rule */

/* Counts of one electorate. roll = for + against + abstain + the undecided, checked. */
struct policy_tally {
	uint32_t roll;                       /* frozen at opening */
	uint32_t roll_last_year;             /* the quorum base never falls below half of this; 0 if none */
	uint32_t yes;                        /* for */
	uint32_t no;                         /* against */
	uint32_t abstain;                    /* abstentions: turnout, never ratios */
	uint32_t undecided[POLICY_VIA_COUNT];/* by why: NONE for who has not voted at all */
	uint32_t proposer_yes;               /* admins: 1 if the proposer is among `yes` */
	uint32_t fixed_yes;                  /* of `yes`, those no legal act can change any more */
	uint32_t fixed_no;                   /* of `no`, the same */
	uint32_t fixed_abstain;              /* of `abstain`, the same */
	uint32_t fixed_undecided;            /* of the undecided, the same */
};
struct policy_count {
	struct policy_tally of[POLICY_ELECTORATE_COUNT]; /* by enum policy_electorate */
};

enum policy_verdict { POLICY_FAILED, POLICY_PASSED };

/* Whether the array is a sound rule. */
bool policy_quorum_valid(const struct policy_quorum *rule, size_t n);
/* for + against + abstain + undecided = roll, and the fixed parts within their wholes. */
bool policy_tally_valid(const struct policy_tally *tally);
/* The base of quorums: the roll, or half of last year's, rounded up, if that is more. */
uint32_t policy_quorum_base(const struct policy_tally *tally);
/* Passed or failed. Unsound rules and counts fail. */
enum policy_verdict policy_ballot_decide(const struct policy_quorum *rule, size_t n,
                                         const struct policy_count *count);
/* Whether the verdict can no longer change, whatever anyone may still legally do; if so `*verdict` is it.
 * Exact within each electorate; the electorates are taken as free of each other, which can only make it
 * say no more often. */
bool policy_ballot_settled(const struct policy_quorum *rule, size_t n, const struct policy_count *count,
                           enum policy_verdict *verdict);
/* The verdict of every node, for pages and proofs; `out` has n places. */
void policy_ballot_nodes(const struct policy_quorum *rule, size_t n, const struct policy_count *count,
                         uint8_t *out);
/* Count a resolved electorate. `choice` by member, for deciders: 0 none, 1 yes, 2 no, 3 abstain; the board's
 * stands at [n]. Members off the roll (`on_roll` 0) are not counted. */
void policy_ballot_count(const struct policy_path *paths, const uint8_t *choice, const uint8_t *on_roll,
                         size_t n, struct policy_tally *tally);
/* The new closing time after the outcome flipped at `flipped_at`: `closes + length of the last tenth`, once;
 * `closes` itself if the flip was earlier or there was an extension already. */
policy_instant policy_ballot_extend(policy_instant opened, policy_instant closes, policy_instant flipped_at,
                                    bool extended);

#endif
