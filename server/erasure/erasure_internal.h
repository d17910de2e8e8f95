/* erasure_internal.h - what the files of server/erasure that keep requests share. Of server/erasure only. */
#ifndef COMMONHOLD_ERASURE_INTERNAL_H
#define COMMONHOLD_ERASURE_INTERNAL_H

#include "commonhold/db.h"
#include "commonhold/erasure.h"

/* Whether whoever acts asked for "erasure e": an agent only while the authorisation lasts that they asked under. */
#define ERASURE_ASKED \
	"(e.account_id = commonhold_account() AND (e.agent_id IS NULL OR EXISTS (SELECT FROM agent g WHERE g.coop_id = e.coop_id AND g.id = e.agent_id AND g.ended_at IS NULL " \
	"AND g.until > commonhold_now())))"
/* Columns of a request in the order of erasure_of_row, from "erasure e". */
#define ERASURE_COLUMNS \
	"e.coop_id, e.id, e.kind, e.scope, e.asker, e.account_id, e.member_id, e.agent_id, e.account_request_id, e.state, e.n_items, e.n_held, e.reason_code, " \
	"e.received_at, e.verified_at, e.effective_at, e.purged_at, e.propagating_at, e.completed_at, e.denied_at, e.cancelled_at, e.extended_at, e.due_at, e.extended_reason, " \
	"e.denial_code, e.denial_reason, e.appeal_until, e.appeal_ballot_id, e.appeal_outcome, e.replacement_id, e.until, e.first_idx, e.last_idx, e.key_gone_at, e.backups_until, " \
	"coalesce(" ERASURE_ASKED ", false) OR " \
	"EXISTS (SELECT FROM membership m WHERE m.coop_id = e.coop_id AND m.id = e.member_id AND m.account_id = commonhold_account())"
struct erasure erasure_of_row(const struct rows *r, int i);

/* A request as the files here need it besides what everybody sees. */
struct erasure_locked {
	struct erasure e;
	struct str items;            /* item numbers, uint32 little-endian, ascending; absent: all of the member's */
	struct uuid restriction;     /* overlay row of a claim; nil */
	bool restricted;             /* … and not lifted yet */
	bool marked;                 /* the overlay is in the rows */
	int64_t purged_upto;         /* carrying has come so far */
};
/* Reads a request and keeps it locked until the transaction ends; inside. ERR_NOT_FOUND. */
CH_CHECK enum err erasure_lock(struct call *c, struct uuid coop, struct uuid id, struct erasure_locked *out);
/* The same for somebody who may decide about it or look at it: who asked, whom it is about, an admin. ERR_NOT_FOUND for everybody else. *admin may be NULL. */
CH_CHECK enum err erasure_lock_for(struct call *c, struct uuid coop, struct uuid id, struct erasure_locked *out, bool *admin);

/* The one mutator of a request's state: takes an edge of the table (anything else is ERR_STATE), writes when, the event and the leaf "deletion.<state>"; l->e follows. Inside; takes the
 * log's lock, so last. */
CH_CHECK enum err erasure_move(struct call *c, struct erasure_locked *l, enum erasure_state to, const char *by, const char *note);
/* Writes an event without a state. Inside. */
CH_CHECK enum err erasure_note(struct call *c, const struct erasure *e, const char *event, const char *by, const char *note);
/* A leaf about a request: its id, kind and asker, never whose, what or how much. Inside. */
CH_CHECK enum err erasure_leaf(struct call *c, const struct erasure *e, const char *type);
CH_CHECK enum err erasure_queue_carry(struct call *c, struct uuid coop, struct uuid id, instant due);
CH_CHECK enum err erasure_queue_complete(struct call *c, struct uuid coop, struct uuid id);

/* Item numbers as they are stored, and back. */
struct str items_pack(struct arena *a, const int64_t *items, size_t n); /* sorts, drops doubles */
size_t items_unpack(struct arena *a, struct str packed, int64_t **out);

/* Makes it effective: the overlay's row, counts, job, state. The restriction of a claim ends, since the erasure holds from here on. Inside; takes the pool's lock. */
CH_CHECK enum err erasure_take_effect(struct call *c, struct erasure_locked *l, const char *by, const char *note);
/* Ends the restriction of a claim, where there is one; inside; takes the pool's lock. */
CH_CHECK enum err erasure_unrestrict(struct call *c, struct erasure_locked *l);

/* Inserts a new request in its first state with event and leaf; inside, the pool's lock held where it will be effective. */
struct erasure_new {
	struct erasure e;       /* all that is known; state is its first */
	struct str items;       /* packed; absent for a whole co-op */
	struct sha256 digest;   /* of what is asked */
	struct uuid restriction; /* nil but for claims */
};
CH_CHECK enum err erasure_insert(struct call *c, const struct erasure_new *n);

/* Text of people: sealed, and gone when the request ends. `what` is "claim" or "appeal". Inside. */
CH_CHECK enum err claim_put(struct call *c, struct uuid coop, struct uuid id, const char *what, struct str text);
CH_CHECK enum err claim_get(struct call *c, struct uuid coop, struct uuid id, const char *what, struct str *text);
CH_CHECK enum err claim_forget(struct call *c, struct uuid coop, struct uuid id);

/* Claims (claim.c): what is asked for can be a claim; the actor may make one more (inside); those whose items they are are told (inside). */
CH_CHECK enum err claim_check(struct call *c, const struct erasure_wish *wish);
CH_CHECK enum err claim_room(struct call *c, struct uuid coop);
/* Whether the acting account claimed one of these items before, and that was denied. Inside. */
CH_CHECK enum err claim_denied_before(struct call *c, struct uuid coop, struct str packed, bool *denied);
CH_CHECK enum err claim_tell_contributors(struct call *c, const struct erasure *e, struct str items);
CH_CHECK enum err claim_tell_outcome(struct call *c, const struct erasure *e, struct str items, bool erased);

/* The agent's standing authorisation for a kind of request; inside. ERR_FORBIDDEN. */
CH_CHECK enum err agent_find(struct call *c, struct uuid coop, struct uuid member, enum erasure_kind kind, struct agent *out);

/* Telling people; inside. Each kind of notice at most once a request. */
CH_CHECK enum err tell_asker(struct call *c, const struct erasure *e, const char *kind, const char *title, struct str text);
CH_CHECK enum err tell_member(struct call *c, const struct erasure *e, const char *kind, const char *title, struct str text);
CH_CHECK enum err tell_admins(struct call *c, const struct erasure *e, const char *kind, const char *title, struct str text);
CH_CHECK enum err tell_account(struct call *c, struct uuid account, struct uuid coop, const char *kind, struct str key, const char *title, struct str text, struct str url);
/* "12 March 2026". */
struct str day_words(struct arena *a, instant t);
/* "3 items", "everything of theirs here". */
struct str items_words(struct arena *a, const struct erasure *e);

/* Whole accounts (account_request.c): what follows in an account's request when a part has moved on; inside. */
CH_CHECK enum err account_part_moved(struct call *c, const struct erasure *part);
/* "erasure.account". */
CH_CHECK enum err account_request_run(struct call *c, const struct json *args);
/* What waits for a confirmation too long; own transactions. */
CH_CHECK enum err account_request_lapse(struct call *c);
/* Queues "erasure.account" once more for what was confirmed before and is not completed; own transaction. */
CH_CHECK enum err account_request_resume(struct call *c, instant before);
/* "erasure.daily", "appeal.decided". */
CH_CHECK enum err erasure_daily_run(struct call *c, const struct json *args);
CH_CHECK enum err appeal_decided_run(struct call *c, const struct json *args);

#endif
