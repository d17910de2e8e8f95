/* motion.h - what members propose, as the charter allows: amendments, collective controls, admins, benefit.
 *
 * A motion is an immutable document; proposing it announces a ballot of its kind under the charter's rule (or waits for seconders where the charter wants some), with at least
 * seven days' notice, about the SHA-256 of exactly these bytes. What passed takes effect once, in the handler of "<kind>.decided". What a benefit motion decides is recorded by benefit/.
 *
 * Documents:
 *   charter   the whole new charter (schemas/charter.json)
 *   toggle    {"act":"set","control":kind,"kinds","uses","mode","amount","until"} or {"act":"lift","control":id}   (schemas/motion_document.json)
 *   admin     {"act":"add"|"remove","member":id}
 *   benefit   {"act":"split","release":id,"kind","amount","currency","source","note","contributors":per cent,"weight"} or {"act":"spend","amount","currency","reference"}
 * All but the charter carry the proposer's "reason" too, which so becomes part of what is voted on.
 *
 * An amendment is of one version: when another is adopted first, it is outdated and must be proposed again on the new one (no merging: people voted on exact bytes).
 */
#ifndef COMMONHOLD_MOTION_H
#define COMMONHOLD_MOTION_H

#include "call.h"
#include "coop.h"
#include "job.h"

enum motion_state {
	MOTION_SEEKING,   /* waits for seconders */
	MOTION_NOTICE,    /* announced; voting has not begun */
	MOTION_OPEN,      /* being voted on */
	MOTION_PASSED,    /* passed; took effect unless effect_at is none */
	MOTION_LOST,      /* did not pass */
	MOTION_WITHDRAWN, /* by its proposer, or cancelled with its ballot */
	MOTION_OUTDATED,  /* another amendment was adopted first */
	MOTION_REFUSED,   /* passed, and could not take effect: the note says why */
	MOTION_STATE_COUNT
};
const char *motion_state_name(enum motion_state s);

struct motion {
	struct uuid id, coop;
	struct str kind;         /* charter, toggle, admin, benefit */
	struct str title;        /* in a few words */
	struct str reason;       /* the proposer's */
	struct str document;     /* canonical JSON */
	struct sha256 digest;    /* of the document */
	int charter;             /* version it was made under */
	int seconders;           /* wanted … */
	int seconded;            /* … and there */
	struct uuid proposer;    /* membership */
	instant made_at;
	struct uuid ballot;      /* nil: not announced yet */
	enum motion_state state;
	instant opens_at, closes_at; /* of the ballot; INSTANT_NONE before */
	instant ended_at;        /* INSTANT_NONE while it lives */
	instant effect_at;       /* when it took effect; INSTANT_NONE: it has not */
	struct str note;         /* how it ended, a sentence; absent */
	bool mine;               /* the actor proposed it */
	bool seconded_by_me;
};

/* Proposes an amendment on version `based_on` (0: the one in force). `draft` as charter_check. */
CH_CHECK enum err motion_amend(struct call *c, struct uuid coop, const struct json *draft, int based_on, struct str reason, struct motion *out);
/* Proposes one of the others; `document` as above. */
CH_CHECK enum err motion_propose(struct call *c, struct uuid coop, struct str kind, const struct json *document, struct str reason, struct motion *out);
/* Another member seconds; the last one needed announces the ballot. */
CH_CHECK enum err motion_second(struct call *c, struct uuid coop, struct uuid motion, struct motion *out);
/* The proposer withdraws before voting begins. */
CH_CHECK enum err motion_withdraw(struct call *c, struct uuid coop, struct uuid motion, struct motion *out);
CH_CHECK enum err motion_read(struct call *c, struct uuid coop, struct uuid motion, struct motion *out);
CH_CHECK enum err motion_list(struct call *c, struct uuid coop, struct str kind, struct str cursor, int limit, struct motion **out, size_t *n, struct str *next_cursor);
/* The terms that an amendment changes, against the version that it was written for; none for other kinds. */
CH_CHECK enum err motion_terms(struct call *c, struct uuid coop, const struct motion *motion, struct charter_term **out, size_t *n);
/* What an amendment would change for the pool, as JSON (schemas/motion_what_if.json); ERR_NOT_FOUND until the job has computed it. */
CH_CHECK enum err motion_what_if(struct call *c, struct uuid coop, struct uuid motion, struct str *document);

/* What a ballot's page shows of the motion that it is about: why, the terms that change, what that would do (ballot_use_subject). Nothing for other ballots. */
struct ballot;
CH_CHECK enum err motion_on_ballot(struct call *c, const struct ballot *b, struct json_writer *w);

/* "charter.decided", "toggle.decided", "admin.decided", "benefit.decided", "motion.what_if". */
extern const struct job_kind motion_jobs[];

#endif
