/* delegation.h - who decides for whom: a member lets another, the board or nobody decide a question for them, for a while, within a scope.
 *
 * Two questions that are never merged: `vote` (how my one vote is cast) and `consent` (what is said about the uses of my items). An edge counts while the delegate has accepted
 * it, it is not revoked, the delegate is a member in good standing, and now < min(chosen end, the principal's checkup, end of the delegate's membership). Not delegable, and
 * nowhere reachable from here: withdrawing consent, deletion, access to one's own data, leaving, delegating, the checkup.
 *
 * Facts are append-only (delegation, delegation_event); delegation_now is a narrow picture of them, kept in the same transaction, that closing and releasing read. Every act
 * appends a leaf and so waits for the co-op's log: publishing, which locks it, sees all that was said before.
 */
#ifndef COMMONHOLD_DELEGATION_H
#define COMMONHOLD_DELEGATION_H

#include "call.h"
#include "coop.h"
#include "job.h"
#include "policy_delegation.h"

/* Topics, as bits: of the question `vote` kinds of ballots (policy_ballot.h), of `consent` uses (policy_vocab.h). */

/* The number by which the engine knows a ballot or release: policy_ask.target, policy_edge.target, policy_spec.release_id. */
uint64_t delegation_target(struct uuid target);

enum delegate_kind { DELEGATE_MEMBER, DELEGATE_BOARD, DELEGATE_NOBODY };

/* Where a delegation stands. */
enum delegation_state {
	DELEGATION_ASKED,     /* the delegate has not answered */
	DELEGATION_STANDING,  /* counts, while the instants allow it */
	DELEGATION_SUSPENDED, /* the principal's checkup is overdue: waits to be confirmed */
	DELEGATION_DECLINED,  /* the delegate said no */
	DELEGATION_REVOKED,   /* the principal took it back, or put another in its place */
	DELEGATION_ENDED,     /* it ran out, or one of the two is no member any more, or the delegate laid it down */
	DELEGATION_STATE_COUNT
};
const char *delegation_state_name(enum delegation_state s);
const char *delegation_question_name(enum policy_question q);  /* vote, consent */
const char *delegation_scope_name(enum policy_scope s);        /* coop, topic, target */
const char *delegate_kind_name(enum delegate_kind k);          /* member, board, nobody */
/* Topics of a question: how many, their stable names, and words for people ("releases", "training generative models"). */
unsigned delegation_topic_count(enum policy_question q);
const char *delegation_topic_name(enum policy_question q, unsigned no);
const char *delegation_topic_words(enum policy_question q, unsigned no);

/* One version of a delegation. */
struct delegation {
	struct uuid id, first;         /* of this version; of the first version of the same delegation */
	uint64_t edge;                 /* the engine's number of this version */
	struct uuid principal;         /* membership */
	int principal_no;              /* their number */
	struct str principal_name;     /* as they are credited: for people */
	enum policy_question question;
	enum policy_scope scope;
	uint32_t topics;               /* bits, for scope TOPIC */
	struct uuid target;            /* ballot or release, for scope TARGET; nil */
	struct str target_title;       /* of the target, where it is known */
	enum delegate_kind delegate_kind;
	struct uuid delegate;          /* membership; nil for board and nobody */
	uint32_t delegate_no;          /* their number, POLICY_BOARD or POLICY_NOBODY */
	struct str delegate_name;
	enum delegation_state state;
	struct str ended_because;      /* replaced, expired, left, removed, lapsed, resigned …; absent while it stands */
	instant made_at, chosen_end;   /* INSTANT_NONE: no end chosen */
	instant accepted_at, ends;     /* INSTANT_NONE: not yet */
	instant ended_at;              /* declined, revoked or ended; INSTANT_NONE */
	bool counts;                   /* valid at this instant */
};

/* What it lets the delegate decide: "ballots about releases", "training generative models". */
struct str delegation_scope_words(struct arena *a, const struct delegation *d);

/* What a member asks for. */
struct delegation_draft {
	enum policy_question question;
	enum policy_scope scope;
	uint32_t topics;               /* scope TOPIC */
	struct uuid target;            /* scope TARGET */
	enum delegate_kind delegate_kind;
	struct uuid delegate;          /* membership */
	instant chosen_end;            /* INSTANT_NONE: until the checkup */
};

/* What making it would close: told, not refused. */
struct delegation_warning { bool cycle; bool deep; /* the chain would be longer than the charter allows */ bool full; /* the delegate is at the cap: accepting will be refused */ };

/* What a form offers: ballots that are announced or open, or releases under way. */
struct delegation_matter { struct uuid id; struct str title; };
CH_CHECK enum err delegation_matters(struct call *c, struct uuid coop, enum policy_question question, struct delegation_matter **out, size_t *n);
/* A current member by the name that others see (in any case of letters); refused with delegation_stranger, or delegation_name where several are called so. */
CH_CHECK enum err delegation_find_member(struct call *c, struct uuid coop, struct str name, struct uuid *out);
/* Names of current members other than the actor, for a form to suggest; at most LIMIT_PAGE. */
CH_CHECK enum err delegation_names(struct call *c, struct uuid coop, struct str **out, size_t *n);

enum delegation_warn { DELEGATION_WARN_CYCLE, DELEGATION_WARN_DEEP, DELEGATION_WARN_FULL };
/* A sentence for who makes it. */
const char *delegation_warning_text(enum delegation_warn w);

/* Makes a delegation, or a new version of the one about the same question and scope (which ends at once). nobody and board stand at once, a member has to accept. Refused with
 * a reason: delegation_self, delegation_stranger, delegation_left, delegation_scope, delegation_end, delegation_topic, delegation_target, delegation_too_many,
 * delegation_checkup, delegation_standing. */
CH_CHECK enum err delegation_make(struct call *c, struct uuid coop, const struct delegation_draft *in, struct delegation *out, struct delegation_warning *warning);
/* The delegate's answer. Accepting over the charter's cap is refused (delegation_cap). A delegate may also decline later what was accepted: it ends (resigned). */
CH_CHECK enum err delegation_accept(struct call *c, struct uuid coop, struct uuid id, struct delegation *out);
CH_CHECK enum err delegation_decline(struct call *c, struct uuid coop, struct uuid id, struct str reason, struct delegation *out);
/* The principal's: at once, for open ballots too. */
CH_CHECK enum err delegation_revoke(struct call *c, struct uuid coop, struct uuid id, struct delegation *out);
CH_CHECK enum err delegation_read(struct call *c, struct uuid coop, struct uuid id, struct delegation *out);
/* Mine; those that I represent; those who ask me to. `all`: with what has ended. Newest first, at most LIMIT_PAGE. */
CH_CHECK enum err delegation_list_mine(struct call *c, struct uuid coop, bool all, struct delegation **out, size_t *n);
CH_CHECK enum err delegation_list_represented(struct call *c, struct uuid coop, bool all, struct delegation **out, size_t *n);
CH_CHECK enum err delegation_list_asked(struct call *c, struct uuid coop, struct delegation **out, size_t *n);

/* ---- For others' transactions (inside) ----
 *
 * What writes needs membership_lock (coop.h) before the transaction's first leaf: locks are taken in the order memberships, log. */

/* The same reads and acts for the checkup; `member` is whose checkup it is. Confirming extends to the next due date (membership.due_at as it is now); a suspended delegation
 * gets a new version, whose id is handed out, and its gap stays a gap. */
CH_CHECK enum err delegation_of_member(struct call *c, struct uuid coop, struct uuid member, struct delegation **out, size_t *n);
CH_CHECK enum err delegation_confirm(struct call *c, struct uuid coop, struct uuid member, struct uuid id, struct uuid *now);
CH_CHECK enum err delegation_revoke_inside(struct call *c, struct uuid coop, struct uuid member, struct uuid id);
/* All edges of one question as the engine reads them, past ones included: principal and delegate are member numbers. Streams; 64 bytes an edge from `a`. Under DB_SERIAL or
 * the log's lock. */
CH_CHECK enum err delegation_edges_load(struct call *c, struct arena *a, struct uuid coop, enum policy_question question, struct policy_edge **out, size_t *n);
/* The same as they stood at an instant, however much later it is asked: those not asked for yet are left out, and what happened afterwards (accepted, ended, revoked) reads as
 * POLICY_NEVER. Two calls with the same instant give the same edges. */
CH_CHECK enum err delegation_edges_as_of(struct call *c, struct arena *a, struct uuid coop, enum policy_question question, instant at, struct policy_edge **out, size_t *n);
/* A membership's checkup is overdue (grace): what the member delegated rests until it is confirmed. */
CH_CHECK enum err delegation_suspend_due(struct call *c, struct uuid coop, struct uuid member);
/* A membership ended or lapsed: `reason` left, removed or lapsed. Edges to the member end, and those from them (lapsed: they rest instead); everybody concerned is told, and so
 * are those whose chain is cut. */
CH_CHECK enum err delegation_end_of_member(struct call *c, struct uuid coop, struct uuid member, const char *reason);
/* The same for many at once, set-based, for the daily job. */
CH_CHECK enum err delegation_suspend_due_many(struct call *c, struct uuid coop, const struct uuid *members, size_t n);
CH_CHECK enum err delegation_end_of_members(struct call *c, struct uuid coop, const struct uuid *members, size_t n, const char *reason);

/* The member has moved their checkup to an earlier day: what they delegated ends then at the latest. */
CH_CHECK enum err delegation_due_moved(struct call *c, struct uuid coop, struct uuid member);
/* Ends what has run out in a co-op, and tells; a transaction of its own. Part of the job "delegation.daily". */
CH_CHECK enum err delegation_daily(struct call *c, struct uuid coop, int64_t *ended);

/* ---- Who decides ---- */

struct delegation_step {
	struct delegation by;      /* the edge taken from here */
	struct str name;           /* of whom it leads to */
	struct uuid member;        /* … their membership; nil for the board */
};
/* What becomes of one member's question. */
struct delegation_path {
	enum policy_question question;
	unsigned topic;                 /* bit number */
	struct uuid target;             /* nil: none in particular */
	instant at;                     /* as of when */
	enum policy_via via;            /* policy_delegation.h; SILENT: the last of the steps has not decided (yet) */
	enum policy_via dropped;        /* why the most specific delegation that does not count does not; NONE */
	struct uuid decider;            /* membership; nil for the board, or when nobody decided */
	struct delegation_step *steps;  /* the path, nearest first */
	size_t n_steps;
	struct str why;                 /* a sentence for the member */
};
/* Who would decide for `member` now: two trips. Inside. A circle longer than 32 hops is called too deep; whether the cap cuts the way, only the close knows (delegation_who_on
 * looks, where nobody has voted yet). For a vote without a target, whoever delegates no further is taken to decide; so for a closed ballot while voting goes on. */
CH_CHECK enum err delegation_resolve_one(struct call *c, struct uuid coop, struct uuid member, enum policy_question question, unsigned topic, struct uuid target,
	struct delegation_path *out);
/* Who decided for the actor's own questions at `on` (INSTANT_NONE: now), as it stood then. Of a ballot that is over: what was stored at its close. */
CH_CHECK enum err delegation_who_on(struct call *c, struct uuid coop, enum policy_question question, unsigned topic, struct uuid target, instant on, struct delegation_path *out);

/* What revoking a delegation, or letting it end, would change for its principal. */
struct delegation_change {
	enum policy_question question;
	unsigned topic;                  /* bit number of the ballot kind or use */
	struct uuid target;              /* an open ballot or a release that is under way; nil: the topic in general */
	struct str title;                /* of the target */
	struct delegation_path before, after;
	bool differs;
};
struct delegation_preview { struct delegation of; struct delegation_change *changes; size_t n; };
CH_CHECK enum err delegation_preview(struct call *c, struct uuid coop, struct uuid id, struct delegation_preview *out);

/* How decisions concentrate. */
struct delegation_weight {
	struct uuid member;       /* nil: the board */
	struct str name;
	int direct;               /* standing edges to them */
	int weight;               /* members they would decide for, chains included */
	int stale;                /* edges whose principal or delegate has done nothing for a year */
	bool pivotal;             /* decides for others, and is one of the fewest who together hold more than half */
};
struct delegation_flow { int from, to; /* places in `top`; -1: all others */ int members; /* decided for this way */ };
struct delegation_report {
	enum policy_question question;
	unsigned topic;                   /* bit number, as for the bulk of what is asked: release; train.gen */
	instant at;
	int members;                      /* in good standing */
	int represented;                  /* decided for by someone else */
	int deciders;                     /* distinct, oneself included */
	int edges, stale, asked, suspended; /* standing edges, of these stale; waiting for an answer; resting */
	int undecided[POLICY_VIA_COUNT];  /* by reason: cycle, depth, cap, … */
	int majority_of;                  /* fewest deciders who together hold more than half of the members */
	struct delegation_weight *top;    /* heaviest first, at most 20 */
	size_t n_top;
	struct delegation_flow *flows;    /* who hands on to whom among them */
	size_t n_flows;
};
CH_CHECK enum err delegation_report(struct call *c, struct uuid coop, enum policy_question question, unsigned topic, struct delegation_report *out);

/* What a delegate said about uses, as a delegate, between two instants; inside. (What they voted: ballot_acts_of_delegate.) */
CH_CHECK enum err delegation_acts(struct call *c, struct uuid coop, struct uuid delegate, instant from, instant to, struct statement **out, size_t *n);

/* ---- Speaking as a delegate (layer 3) ---- */

/* Says something about uses for everyone who delegates consent to the actor. It reaches only those for whom it is in scope, is stricter or speaks where they are silent; it
 * never lifts a principal's no. Items of others cannot be named. */
CH_CHECK enum err statement_make_as_delegate(struct call *c, struct uuid coop, const struct statement *in, size_t n, struct statement **out);
/* An admin says what the board should say about uses, for those who let it speak (no kinds, purposes or audiences). When the charter's part of the admins say the same of a use,
 * the board has resolved: the statements that this completes are written and handed out. */
CH_CHECK enum err statement_say_for_board(struct call *c, struct uuid coop, const struct statement *in, size_t n, struct statement **out, size_t *n_out);
/* What the board says now. */
CH_CHECK enum err statement_list_of_board(struct call *c, struct uuid coop, struct statement **out, size_t *n);
/* By use: what the acting admin says the board should say (absent: nothing), and how many admins say the same. */
struct board_stance { struct str mine; int same; };
struct board_stances { struct board_stance of[POLICY_USE_COUNT]; int admins, needed; };
CH_CHECK enum err statement_board_stances(struct call *c, struct uuid coop, struct board_stances *out);
/* What the actor has said as a delegate, newest first; `current` leaves out what was replaced. */
CH_CHECK enum err statement_list_as_delegate(struct call *c, struct uuid coop, bool current, struct statement **out, size_t *n);

extern const struct job_kind delegation_jobs[];  /* "delegation.daily": tells of what ran out */

#endif
