/* delegation_internal.h - what the files of server/coop share about delegations. Of server/coop only. */
#ifndef COMMONHOLD_DELEGATION_INTERNAL_H
#define COMMONHOLD_DELEGATION_INTERNAL_H

#include "commonhold/delegation.h"
#include "server/coop/coop_internal.h"

/* A version with what deciding and telling need besides. */
struct edge_row {
	struct delegation d;
	struct uuid principal_account, delegate_account; /* nil: board or nobody */
	enum policy_standing principal_state, delegate_state;
	instant principal_due;  /* their next checkup */
	instant starts;         /* start of validity */
	struct str coop_slug;   /* for addresses in notices */
};

/* One version of the co-op; ERR_NOT_FOUND. */
CH_CHECK enum err edge_read(struct call *c, struct uuid coop, struct uuid id, struct edge_row *out);
/* The live ones (asked, standing, suspended) of a member as principal. */
CH_CHECK enum err edges_live_of(struct call *c, struct uuid coop, int principal_no, struct edge_row **out, size_t *n);
/* The end of an edge that begins to count now: the least of the end chosen and the checkup. */
instant edge_end(instant chosen_end, instant due);
/* Whom it lets decide what: "ballots about releases", "the ballot “…”", "training generative models", in words for people. */
struct str delegation_scope_words(struct arena *a, const struct delegation *d);

/* Adds an event. `by`: who acted (nil: the schedule); `ends`: INSTANT_NONE unless it makes the edge count. */
CH_CHECK enum err edge_event(struct call *c, const struct delegation *d, const char *kind, struct uuid by, instant ends, struct str reason);
/* Ends a live version now, in this state, with its event and the change in delegation_now. */
CH_CHECK enum err edge_close(struct call *c, const struct delegation *d, enum delegation_state to, const char *event, struct uuid by, struct str reason);
/* Makes a version count from now until `ends`: event (accepted or confirmed) and delegation_now. */
CH_CHECK enum err edge_open(struct call *c, const struct delegation *d, const char *event, struct uuid by, instant ends);
/* Writes a version; `first` nil: the first of its kind. Gives id and number. */
CH_CHECK enum err edge_insert(struct call *c, struct delegation *d);
/* The leaf of an act on a version, by the acting member. */
CH_CHECK enum err edge_leaf(struct call *c, const char *type, const struct delegation *d, struct uuid by);

/* Tells one of the two about an act of the other: a notice of this kind to `account`. */
CH_CHECK enum err edge_tell(struct call *c, const char *kind, const struct edge_row *e, struct uuid account, const char *title, struct str text, struct str reason);
/* Everyone whose chain runs on over `principal_no` for this question, nearest first, is told that it is cut: an event on their own edge, and a notice. */
CH_CHECK enum err edge_tell_upstream(struct call *c, struct uuid coop, enum policy_question question, const int64_t *principals, size_t n, const char *why);

#endif
