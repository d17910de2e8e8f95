/* ballot_outcome.h - from facts to a result: who decided for whom, how everybody's voice counts, and whether the rule is met.
 *
 * Pure: no database, no clock. Closing a ballot and recounting one from its bundle both come through here, so that they cannot differ.
 *
 * On top of the engine (policy_delegation_resolve, policy_ballot_decide) it says two things. A delegate may vote for one principal in particular: that vote counts for the
 * principal if they have not voted themselves, the delegate stands on their path within the charter's depth and before anybody on it who has decided, and the delegate's cap
 * is not used up; of several such delegates the nearest counts. And admins count in person: in the electorate of admins only votes that an admin cast counts, since an
 * approval by several admins that one of them could give alone would be none.
 */
#ifndef COMMONHOLD_BALLOT_OUTCOME_H
#define COMMONHOLD_BALLOT_OUTCOME_H

#include "arena.h"
#include "error.h"
#include "policy_ballot.h"

/* A choice, as policy_ballot_count counts it. */
enum ballot_choice { BALLOT_NONE, BALLOT_FOR, BALLOT_AGAINST, BALLOT_ABSTAIN, BALLOT_CHOICE_COUNT };
/* "undecided", "for", "against", "abstain". */
const char *ballot_choice_name(unsigned choice);
/* The same back; "none" and "undecided" are BALLOT_NONE; -1: no such word. */
int ballot_choice_find(const char *name, size_t len);

/* One version of a vote. */
struct ballot_cast {
	int64_t seq;        /* order in which they were cast */
	int64_t at;         /* instant */
	uint32_t member;    /* who cast it, by number */
	uint32_t principal; /* for whom; POLICY_NO_DECIDER: an own vote */
	uint8_t choice;     /* enum ballot_choice; BALLOT_NONE takes it back */
};
/* One word of an admin for the board. */
struct ballot_stance { int64_t at; uint32_t member; uint8_t choice; };

/* A delegate's last vote for one principal. */
struct ballot_mandate { uint32_t delegate, principal; /* numbers */ uint8_t choice; /* enum ballot_choice, not BALLOT_NONE */ };

#define BALLOT_ON_ROLL 1u   /* bits of ballot_facts.roll */
#define BALLOT_ROLL_ADMIN 2u

/* All that the result depends on. Members by number. */
struct ballot_facts {
	size_t n;                              /* highest number of a member, plus one */
	const uint8_t *roll;                   /* BALLOT_ON_ROLL, BALLOT_ROLL_ADMIN */
	const uint8_t *active;                 /* 1: in good standing at the close */
	const uint8_t *choice;                 /* n + 1 places: each one's own last choice; the last is what the board resolved */
	const struct policy_edge *edges;       /* delegations of votes */
	size_t n_edges;                        /* how many */
	const struct ballot_mandate *mandates; /* in any order; one for each delegate and principal */
	size_t n_mandates;                     /* how many */
	struct policy_ask ask;                 /* kind of ballot, depth, cap, target, instant of the close */
	uint32_t proposer;                     /* number; POLICY_NO_DECIDER: the schedule */
	uint32_t members_last_year, admins_last_year; /* floors of the quorum base */
	const struct policy_quorum *rule;      /* its nodes */
	size_t n_rule;                         /* how many */
};

/* What became of one person's voice. */
struct ballot_voice {
	uint32_t decider;  /* number, POLICY_BOARD; POLICY_NO_DECIDER: nobody */
	uint8_t choice;    /* enum ballot_choice */
	uint8_t via;       /* enum policy_via: OWN, DECIDED, or why not */
	uint8_t reason;    /* enum policy_via: why undecided, as it is counted; OWN for the decided */
	uint8_t hops;      /* edges of the path that count */
	bool on_behalf;    /* the delegate voted for this person in particular */
};
struct ballot_outcome {
	struct policy_path *paths;    /* the engine's, by number */
	struct ballot_voice *voices;  /* by number; of no meaning off the roll */
	struct policy_count count;    /* by electorate */
	enum policy_verdict verdict;
};

/* Memory from the arena. ERR_INVALID for facts that contradict themselves (a depth over the hard limit, a number out of range), ERR_NO_MEMORY. */
CH_CHECK enum err ballot_outcome_of(struct arena *a, const struct ballot_facts *facts, struct ballot_outcome *out);
/* The edges (positions in facts->edges) of a person's path, nearest first; at most POLICY_DEPTH_MAX, longer ways are cut there. Gives how many. */
size_t ballot_outcome_path(const struct ballot_facts *facts, const struct ballot_outcome *o, uint32_t member, uint32_t out[POLICY_DEPTH_MAX]);
/* Folds versions of votes, in any order, up to and with an instant: the last own vote of each of `n` members into `choice`, and the last vote of each delegate for each principal.
 * False without memory. */
CH_CHECK bool ballot_fold_casts(struct arena *a, const struct ballot_cast *casts, size_t n_casts, size_t n, int64_t at, uint8_t *choice, struct ballot_mandate **mandates,
	size_t *n_mandates);
/* What the board had resolved up to and with an instant; stances oldest first. */
enum ballot_choice ballot_board_at(struct arena *a, const struct ballot_stance *stances, size_t n_stances, const uint8_t *roll, size_t n, int64_t at, uint32_t num, uint32_t den,
	bool strict);
/* What the board says when its admins say these: the one choice that more than n of d (strict; else at least) of `admins` have, and no other; BALLOT_NONE: nothing. */
enum ballot_choice ballot_board_choice(const uint32_t said[BALLOT_CHOICE_COUNT], uint32_t admins, uint32_t n, uint32_t d, bool strict);

#endif
