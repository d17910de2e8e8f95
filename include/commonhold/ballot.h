/* ballot.h - one engine for every question a co-op decides: notice, roll, votes, close, result.
 *
 * The roll freezes at opening; at close every person on it gets a stored resolution, and for + against + abstain + undecided = roll is a constraint. Closing is idempotent under
 * concurrent workers. A passed or failed ballot queues the job "<kind>.decided" with {"coop","ballot","subject","passed"}: what follows is the business of the subject's module.
 */
#ifndef COMMONHOLD_BALLOT_H
#define COMMONHOLD_BALLOT_H

#include "call.h"
#include "coop.h"
#include "job.h"

enum ballot_state { BALLOT_NOTICE, BALLOT_OPEN, BALLOT_PASSED, BALLOT_FAILED, BALLOT_CANCELLED };
const char *ballot_state_name(enum ballot_state s);
CH_CHECK bool ballot_state_parse(struct str text, enum ballot_state *out);
/* Every state can be reached and every edge has its leaf and its sentence; checked at start. */
bool ballot_table_ok(void);

/* Counts of people: roll is the sum of the others. */
struct ballot_tally { int roll, yes, no, abstain, undecided; };

struct ballot {
	struct uuid id, coop;
	struct uuid subject;     /* what it is about, of its kind: a release, a charter … */
	struct uuid proposer;    /* membership; nil: the schedule */
	struct str kind;         /* "release", "amendment" …: the module that hears of the decision */
	struct str title, question;
	struct str rule;         /* the charter's, as canonical JSON */
	struct str visibility;   /* who sees counts and choices before the close */
	struct sha256 digest;    /* of exactly what is decided */
	int charter;             /* version whose rule it is */
	enum ballot_state state;
	instant created_at, opens_at, closes_at;
	instant closed_at;       /* INSTANT_NONE until then */
	struct ballot_tally members, admins; /* at close; before, only what its visibility shows */
	bool tally_shown;        /* the tallies may be shown to this actor now */
	bool on_roll;            /* the actor is on the roll */
	bool may_vote;           /* … and the ballot is open */
	struct str my_choice;    /* absent: none */
};

/* A ballot to be held; the fields are those of struct ballot. */
struct ballot_draft {
	const char *kind;
	struct uuid subject;
	struct sha256 digest;
	struct str title, question;
	const struct json *rule;      /* from the charter */
	int charter;
	struct str visibility;        /* absent: closed */
	struct uuid proposer;         /* membership; nil: the schedule */
	instant opens_at, closes_at;
};
/* Creates it in notice (or opens it at once when opens_at has come); inside. */
CH_CHECK enum err ballot_create(struct call *c, struct uuid coop, const struct ballot_draft *in, struct uuid *id);
/* Casts, changes or (choice "none") takes back the acting member's vote. As long as votes may change until the close, no ballot closes early. */
CH_CHECK enum err ballot_cast_vote(struct call *c, struct uuid coop, struct uuid ballot, struct str choice, struct ballot *out);
CH_CHECK enum err ballot_read(struct call *c, struct uuid coop, struct uuid ballot, struct ballot *out);
CH_CHECK enum err ballot_list(struct call *c, struct uuid coop, struct str state, struct str cursor, int limit, struct ballot **out, size_t *n, struct str *next_cursor);
/* Opens what is due to open and closes what is due to close; the handler of the jobs "ballot.open" and "ballot.close". */
CH_CHECK enum err ballot_advance(struct call *c, struct uuid coop, struct uuid ballot);
/* Cancels a ballot that is not closed; inside. */
CH_CHECK enum err ballot_cancel(struct call *c, struct uuid coop, struct uuid ballot, struct str reason);

extern const struct job_kind ballot_jobs[];

#endif
