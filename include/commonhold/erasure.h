/* erasure.h - requests to delete, to hold back or to correct: who may ask, from when it counts, by when it must be done, and what was decided.
 *
 * A member's own request counts from the commit that records it: one row in the pool's overlay, whatever the number of items, which every decision reads. What follows (content,
 * releases, mirrors) is carried by a job whose every step may be repeated. Somebody who is no member may say that an item is about them: it is restricted at once, and an admin answers
 * within the month of GDPR Art. 12(3). A request answered with no can be taken to a ballot of the members.
 *
 * It must never let anybody ask for somebody else who did not authorise them (nor a delegate at all: this right is not delegable), put content, names or free text into the log or a
 * tombstone, or wait for recipients before an item is out of the next release.
 */
#ifndef COMMONHOLD_ERASURE_H
#define COMMONHOLD_ERASURE_H

#include "call.h"
#include "coop.h"
#include "job.h"
#include "json.h"
#include "lifecycle.h"

#define ERASURE_ITEMS_MAX 10000             /* items named in one request; a co-op or an account as a whole has no such bound */
#define ERASURE_CLAIM_ITEMS 20              /* items that one claim of a subject may name … */
#define ERASURE_CLAIMS_OPEN 3               /* … and claims that one account may have open in a co-op: each takes items out of releases unseen */
#define ERASURE_CLAIMS_A_DAY 10             /* and claims that one account may make in a co-op in a day, also those that it took back: each is told to several people */
#define ERASURE_EMBARGOES 100              /* embargoes of one member that are in force at once: every decision looks at each */
#define ERASURE_CONFIRM_LIFE (14 * CLOCK_DAY) /* how long a request waits for the confirmation that it needs, before it lapses */
#define ERASURE_APPEAL_LIFE (14 * CLOCK_DAY)  /* how long a denial can be taken to a ballot; the items stay restricted meanwhile */
#define ERASURE_AGENT_VALID (10 * CLOCK_MINUTE) /* how long what an agent sends may be valid at most (Data Rights Protocol 1.0 recommends ten minutes) */

enum erasure_kind {
	ERASURE_ERASE,           /* content goes everywhere */
	ERASURE_WITHDRAW_FUTURE, /* stays with the member, absent from every new release, for good */
	ERASURE_EMBARGO,         /* absent from releases until a day */
	ERASURE_CORRECT,         /* erased, and replaced by a new contribution */
	ERASURE_KIND_COUNT
};
enum erasure_scope {
	ERASURE_ITEMS,   /* those that were named */
	ERASURE_COOP,    /* all of the member's in one co-op */
	ERASURE_ACCOUNT, /* one co-op's part of a whole account */
	ERASURE_SCOPE_COUNT
};
enum erasure_asker {
	ERASURE_MEMBER,  /* about their own */
	ERASURE_AGENT,   /* for a member who authorised them */
	ERASURE_SUBJECT, /* an account that says that the item is about them */
	ERASURE_RULE,    /* nobody asked: the charter's retention has run out, or what it was copied from is erased; asked by the instance alone */
	ERASURE_PARTNER, /* another co-op, whose item it is (onward.h); asked by the instance alone */
	ERASURE_ASKER_COUNT
};
enum erasure_state {
	ERASURE_RECEIVED,    /* waits for the proof, or the yes, of the person it is about */
	ERASURE_VERIFIED,    /* waits for an admin */
	ERASURE_EFFECTIVE,   /* in no decision any more */
	ERASURE_PURGED,      /* content gone here, in the pool and in the files of withdrawn releases */
	ERASURE_PROPAGATING, /* recipients were told */
	ERASURE_COMPLETED,   /* every recipient confirmed, or their ladder is at its end */
	ERASURE_DENIED,      /* with a code and a reason */
	ERASURE_CANCELLED,   /* by whoever asked; an embargo that was ended early */
	ERASURE_STATE_COUNT
};
/* Words in API and database: "erase", "withdraw_future", …; "items", …; "member", …; "received", …. "unknown" for what is out of range. */
const char *erasure_kind_name(enum erasure_kind k);
const char *erasure_scope_name(enum erasure_scope s);
const char *erasure_asker_name(enum erasure_asker a);
const char *erasure_state_name(enum erasure_state s);
CH_CHECK bool erasure_kind_parse(struct str word, enum erasure_kind *out);
CH_CHECK bool erasure_state_parse(struct str word, enum erasure_state *out);
/* The table of a request's life. */
extern const struct lifecycle erasure_life;
bool erasure_over(enum erasure_state s); /* completed, denied or cancelled */

/* Why, for the tombstone: a word of this table and nothing else. X(word, for people) */
#define ERASURE_REASONS(X) \
	X(consent_withdrawn, "consent was withdrawn") \
	X(no_longer_needed, "it is no longer needed") \
	X(objection, "the person objects") \
	X(unlawful, "it should not have been there") \
	X(legal_obligation, "the law demands it") \
	X(child, "it is a child's") \
	X(inaccurate, "it is not right") \
	X(about_me, "it is about the person, who did not contribute it") \
	X(retention, "it was kept as long as the charter says") \
	X(account_closed, "the account was closed") \
	X(derived, "it was copied from what was erased") \
	X(agreement_ended, "the agreement that it came by has ended") \
	X(embargo_ended, "it is not kept back any longer: that ended before its day")
/* Why not: the codes of the Data Rights Protocol 1.0. */
#define ERASURE_DENIALS(X) \
	X(suspected_fraud, "it seems not to come from who it says") \
	X(insuf_verification, "it was not confirmed") \
	X(no_match, "the item is not about the person") \
	X(claim_not_covered, "the law gives no such claim here") \
	X(outside_jurisdiction, "the law does not apply") \
	X(too_many_requests, "there were too many of the same") \
	X(other, "another reason")
/* The same in words; NULL for a code that is none. */
const char *erasure_reason_words(struct str code);
const char *erasure_denial_words(struct str code);

/* One request in one co-op. */
struct erasure {
	struct uuid coop, id;       /* id: random; of its row in the pool's overlay too */
	enum erasure_kind kind;
	enum erasure_scope scope;
	enum erasure_asker asker;
	struct uuid account;        /* who asked; nil once that account is gone, and for ERASURE_RULE and ERASURE_PARTNER */
	struct uuid member;         /* whose items they are; nil for a subject's claim, which may be about several people's, and for ERASURE_RULE and ERASURE_PARTNER */
	struct uuid agent;          /* the authorisation that an agent acted under; nil */
	struct uuid account_request; /* the request about the whole account that this is part of; nil */
	enum erasure_state state;
	int64_t n_items;            /* named, or found when it became effective */
	int64_t n_held;             /* of them whose content stays under a legal hold */
	struct str reason_code;     /* of ERASURE_REASONS */
	instant received_at, verified_at, effective_at, purged_at, propagating_at, completed_at, denied_at, cancelled_at, extended_at; /* INSTANT_NONE: not (yet) */
	instant due_at;             /* by when it must be answered or done: end of the day, Regulation 1182/71 */
	struct str extended_reason; /* why it takes up to two months more; absent */
	struct str denial_code;     /* of ERASURE_DENIALS; absent unless denied */
	struct str denial_reason;   /* in an admin's words; absent unless denied */
	instant appeal_until;       /* last moment to appeal; INSTANT_NONE unless denied */
	struct uuid appeal_ballot;  /* nil: not appealed */
	struct str appeal_outcome;  /* passed, failed, cancelled; absent while there is none */
	struct uuid replacement;    /* the contribution that replaces it (correct); nil */
	instant until;              /* end of an embargo; INSTANT_NONE */
	int64_t first_idx, last_idx; /* its tombstones, of that co-op's feed; -1: none (yet). Others' may lie between */
	instant key_gone_at;        /* when the member's key was destroyed; INSTANT_NONE: it was not */
	instant backups_until;      /* when the last backup that may hold it has expired; INSTANT_NONE before it is purged */
	bool mine;                  /* the actor asked, or it is about their items */
};

/* What somebody asks. */
struct erasure_wish {
	enum erasure_kind kind;
	enum erasure_scope scope;        /* items or co-op; the whole account has its own operation */
	const struct uuid *items;        /* contributions; scope items only */
	size_t n_items;                  /* up to ERASURE_ITEMS_MAX */
	struct str reason_code;          /* of ERASURE_REASONS; absent: consent_withdrawn, for a claim about_me */
	instant until;                   /* of an embargo; INSTANT_NONE otherwise */
	const struct json *replacement;  /* correct: the new contribution (schemas/contribution.json), for the one item; NULL otherwise */
	struct uuid for_member;          /* an agent asks for this membership; nil: for oneself */
	bool about_me;                   /* a subject's claim: the items are somebody else's contributions */
	struct str claim;                /* how one can see that; for the admins alone, up to LIMIT_TEXT_NOTE, gone when the request ends */
	instant issued_at, expires_at;   /* an agent's: from when until when what they sent is valid. INSTANT_NONE for others */
};

/* Asks. For a member: verified by who acts, and effective in this very transaction (the overlay's row, this request's, a leaf and the job). For an agent: the same where the member let
 * them act alone, otherwise RECEIVED until the member confirms. For a claim: the items are restricted and the request waits, VERIFIED, for an admin. Asking the very same again, while
 * it is not over or was done, answers the first request. ERR_NOT_FOUND at /items/N for one that is not theirs, ERR_INVALID, ERR_FORBIDDEN for an agent without authorisation,
 * ERR_TOO_MANY for a claim too many. */
CH_CHECK enum err erasure_ask(struct call *c, struct uuid coop, const struct erasure_wish *wish, struct erasure *out);
/* The member whom an agent asked for confirms. */
CH_CHECK enum err erasure_verify(struct call *c, struct uuid coop, struct uuid id, struct erasure *out);
/* Takes back: while nothing is effective, by whoever asked or whom it is about; an embargo also later, which ends it. */
CH_CHECK enum err erasure_cancel(struct call *c, struct uuid coop, struct uuid id, struct erasure *out);
/* An admin's answers. Accepting makes effective. Denying names a code and a reason, which the person is told. Extending, in the first month alone, moves the due date by two months at
 * most and tells why. Nobody decides on a claim that they made. */
CH_CHECK enum err erasure_accept(struct call *c, struct uuid coop, struct uuid id, struct erasure *out);
CH_CHECK enum err erasure_deny(struct call *c, struct uuid coop, struct uuid id, struct str code, struct str reason, struct erasure *out);
CH_CHECK enum err erasure_extend(struct call *c, struct uuid coop, struct uuid id, struct str reason, struct erasure *out);
/* Takes a denial to a ballot of kind "appeal" under the charter's rule, up to appeal_until. Whoever asked, though no member, may. Passed: effective; failed: the restriction ends. */
CH_CHECK enum err erasure_appeal(struct call *c, struct uuid coop, struct uuid id, struct str reason, struct erasure *out);
/* Who asked (an agent while authorised), whom it is about, or an admin; ERR_NOT_FOUND for others. */
CH_CHECK enum err erasure_read(struct call *c, struct uuid coop, struct uuid id, struct erasure *out);
/* The same inside, whoever acts. */
CH_CHECK enum err erasure_get(struct call *c, struct uuid coop, struct uuid id, struct erasure *out);
/* One's own (asked by the actor or about their items), newest first. */
CH_CHECK enum err erasure_list(struct call *c, struct uuid coop, struct str cursor, int limit, struct erasure **out, size_t *n, struct str *next_cursor);
/* Admins': what is not over by due date, soonest first; with `all`, everything. `state` may be absent. */
CH_CHECK enum err erasure_queue(struct call *c, struct uuid coop, struct str state, bool all, struct str cursor, int limit, struct erasure **out, size_t *n, struct str *next_cursor);
/* The contributions of a request that the actor may read, by item number from `after` (-1: the first) on; ids only, since the content may be gone. Ends at n < limit. */
struct erasure_item { struct uuid contribution; struct str rid; int64_t item_no; bool held; /* its content is under a legal hold */ };
CH_CHECK enum err erasure_items(struct call *c, struct uuid coop, struct uuid id, int64_t after, int limit, struct erasure_item **out, size_t *n);
/* What happened to it, oldest first. */
struct erasure_event {
	instant at;
	struct str event;       /* a state, or: extended, reminded, overdue, appealed, appeal_passed, appeal_failed, held, released */
	struct str note;        /* a sentence; no personal data */
	struct str by;          /* asker, member, admin, ballot, instance */
};
CH_CHECK enum err erasure_history(struct call *c, struct uuid coop, struct uuid id, struct erasure_event **out, size_t *n);
/* What a subject wrote with their claim, for them and for admins; absent once it is gone. */
CH_CHECK enum err erasure_claim(struct call *c, struct uuid coop, struct uuid id, struct str *out);
/* Why somebody appeals: for them, for admins, and for every member while the ballot is not closed; absent once it is gone. */
CH_CHECK enum err erasure_appeal_reason(struct call *c, struct uuid coop, struct uuid id, struct str *out);
/* What the page of a ballot on an appeal shows to members who vote: what the person wrote (ballot_use_subject). */
struct ballot;
CH_CHECK enum err erasure_on_ballot(struct call *c, const struct ballot *b, struct json_writer *w);

/* ---- The whole account ---- */

struct erasure_account {
	struct uuid id, account;     /* account: nil once it is gone */
	enum erasure_state state;    /* RECEIVED, EFFECTIVE (every co-op), PURGED (everywhere, account gone), COMPLETED, CANCELLED */
	instant received_at, verified_at, purged_at, completed_at, cancelled_at, due_at;
	struct str proof;            /* what was shown: password, code, session; absent before */
	struct erasure *parts;       /* a co-op each */
	size_t n_parts;
};
struct proof; /* sign_in.h */
/* Asks that all that is held of the actor goes: every co-op's items, the memberships, the account. Waits for proof (erasure_account_verify), up to ERASURE_CONFIRM_LIFE. The open one is
 * answered again. ERR_REFUSED with the reason "last_admin" where a co-op with other members would be left without an admin. */
CH_CHECK enum err erasure_ask_account(struct call *c, struct erasure_account *out);
/* With proof that it is them (proof_wanted says which: code, password, or a session that began a short time ago, as by a mailed link): effective in every co-op in this transaction. */
CH_CHECK enum err erasure_account_verify(struct call *c, const struct proof *proof, struct erasure_account *out);
/* Takes it back before it is verified. */
CH_CHECK enum err erasure_account_cancel(struct call *c, struct erasure_account *out);
/* The actor's newest; ERR_NOT_FOUND where they never asked. */
CH_CHECK enum err erasure_account_read(struct call *c, struct erasure_account *out);

/* ---- The instance itself ---- */

/* What the charter's retention lets go, as a request of the instance's own (ERASURE_RULE, reason "retention"): effective, and carried on like any other. Inside. */
CH_CHECK enum err erasure_by_rule(struct call *c, struct uuid coop, const int64_t *items, size_t n, struct erasure *out);
/* What the instance has to carry out without anybody here having asked: effective, and carried on like any other. `n` may be 0 for ERASURE_PARTNER: then it is about further origins of items that
 * stay, whose tombstones its maker appends. Inside. */
struct erasure_order {
	enum erasure_kind kind;
	enum erasure_asker asker;   /* ERASURE_RULE or ERASURE_PARTNER */
	struct str reason_code;     /* of the tombstones */
	instant until;              /* embargo: its end; INSTANT_NONE otherwise */
	struct uuid replacement;    /* correct: nil where it is not known */
	const int64_t *items;       /* item numbers */
	size_t n;
};
CH_CHECK enum err erasure_by_order(struct call *c, struct uuid coop, const struct erasure_order *o, struct erasure *out);
/* Ends an embargo that another co-op's word was the reason for, before its day; nothing for one that has ended. Inside; takes the pool's lock. */
CH_CHECK enum err erasure_embargo_over(struct call *c, struct uuid coop, struct uuid id);
/* Reason of the embargo, over within the hour, by which a feed says that one was ended before its day. */
#define ERASURE_EMBARGO_ENDED "embargo_ended"
/* What the domain above has to do about requests, which knows other co-ops. Each inside, and may be repeated. Once, at start; without it nothing happens. */
struct erasure_above {
	/* Tombstones of a request were appended, of these items: tell others at once. The pool and the log are locked. */
	enum err (*appended)(struct call *c, const struct erasure *e, const struct uuid *items, size_t n);
	/* Recipients are being told: what partners owe (mirror_owe_partner) is to be written. */
	enum err (*announced)(struct call *c, const struct erasure *e);
};
void erasure_use_above(const struct erasure_above *above);

/* ---- Agents: who may ask for a member, as the member said ---- */

struct agent {
	struct uuid coop, id, member; /* member: the principal's membership */
	struct uuid account;          /* the agent's */
	struct str name;              /* the agent's, as the account says; absent once it is gone */
	unsigned kinds;               /* bits of enum erasure_kind */
	bool alone;                   /* acts at once; otherwise each request needs the member's confirmation */
	instant since, until, ended_at; /* until: at most a year; ended_at INSTANT_NONE while it stands */
	bool mine;                    /* the actor is the principal */
};
/* Authorises an account (its id, which the agent hands over: addresses tell nothing here) for the acting member, up to a year. Leaf, notice to both. */
CH_CHECK enum err agent_authorise(struct call *c, struct uuid coop, struct uuid account, unsigned kinds, bool alone, instant until, struct agent *out);
/* Ended by either side, at once. Requests that wait for a confirmation under it lapse. */
CH_CHECK enum err agent_end(struct call *c, struct uuid coop, struct uuid id, struct agent *out);
/* Those that the actor made, and those made for them. */
CH_CHECK enum err agent_list(struct call *c, struct uuid coop, struct agent **out, size_t *n);

/* ---- Legal holds (GDPR Art. 17(3)): content is kept, the item is in nothing ---- */

struct legal_hold {
	struct uuid coop, contribution;
	struct str ground;            /* expression, legal_obligation, public_health, archiving, legal_claims */
	struct str reason;            /* an admin's words, for admins and the person */
	instant placed_at, lifted_at; /* INSTANT_NONE while it lasts */
	struct str rid;               /* of the contribution; in lists */
};
/* Admins. Lifting lets requests that waited for it go on. */
CH_CHECK enum err hold_place(struct call *c, struct uuid coop, struct uuid contribution, struct str ground, struct str reason, struct legal_hold *out);
CH_CHECK enum err hold_lift(struct call *c, struct uuid coop, struct uuid contribution, struct legal_hold *out);
CH_CHECK enum err hold_list(struct call *c, struct uuid coop, struct str cursor, int limit, struct legal_hold **out, size_t *n, struct str *next_cursor);

/* ---- Due dates ---- */

/* A day without a clock. */
struct day { int year, month, day; };
/* Whether a day is a public holiday, of the region that `arg` is about. */
typedef bool (*holiday_fn)(const void *arg, struct day d);
/* The day on which a period of months ends (Regulation (EEC, Euratom) No 1182/71, Art. 3): the day of receipt does not count; the same-numbered day, or the month's last where there is
 * none; moved to the next working day when that is a Saturday, a Sunday or a public holiday. Pure. `holidays` may be NULL. */
struct day due_day(struct day received, int months, holiday_fn holidays, const void *arg);
/* The same for instants: received in UTC's day, due at the last microsecond of the day. `region` as in the charter ("CH", "DE-BY", …): the country's public holidays count where they are
 * known, weekends everywhere. */
instant due_date(instant received, int months, struct str region);
/* National public holidays of CH (1 January, Ascension, 1 August, Christmas and those all cantons but few keep), DE, FR and AT, in ISO 3166 words. False for other regions. */
bool holiday_in(struct str region, struct day d);
/* Easter Sunday in the Gregorian calendar. */
struct day easter_day(int year);
int day_weekday(struct day d); /* 0 = Sunday */

/* The first step of carrying, for tests that stop between steps: takes the next step of a request, *more is false when nothing is left to do now. Each is a transaction or several,
 * and may be repeated. */
CH_CHECK enum err erasure_carry_step(struct call *c, struct uuid coop, struct uuid id, bool *more);

/* "erasure.carry", "erasure.account", "erasure.daily", "appeal.decided". */
extern const struct job_kind erasure_jobs[];

#endif
