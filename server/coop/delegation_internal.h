/* delegation_internal.h - what the files of server/coop share about delegations. All of it is inside an open transaction that has entered the co-op (c->coop). Of
 * server/coop only. */
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

/* How a membership, under this alias, is called among members. */
#define MEMBER_FACE(m) \
	"CASE " m ".attribution WHEN 'anonymous' THEN 'anonymous (member ' || " m ".number || ')' WHEN 'public' THEN coalesce(" m ".public_name, " m ".pseudonym) ELSE " m ".pseudonym END"
/* The columns of an edge_row, of delegation_now n, delegation d, and the memberships p and q of principal and delegate. */
#define EDGE_COLUMNS \
	"d.id, d.first_id, d.edge, d.principal_id, d.principal_no, " MEMBER_FACE("p") ", n.question, n.scope, n.topics, d.target, " \
	"CASE WHEN d.target IS NULL THEN NULL WHEN n.question = 0 THEN (SELECT b.title FROM ballot b WHERE b.coop_id = d.coop_id AND b.id = d.target) " \
	"ELSE (SELECT 'Release of ' || to_char(r.cutoff_at AT TIME ZONE 'UTC', 'FMDD FMMonth YYYY') FROM release r WHERE r.coop_id = d.coop_id AND r.id = d.target) END, " \
	"d.delegate_kind, d.delegate_id, d.delegate_no, " MEMBER_FACE("q") ", n.state, n.reason, d.made_at, d.chosen_end, n.accepted_at, n.starts, n.ends, n.revoked_at, " \
	"p.account_id, q.account_id, p.state, q.state, p.due_at, (SELECT slug FROM coop WHERE id = d.coop_id)"
#define EDGE_COLUMN_COUNT 29
struct edge_row edge_of_row(const struct rows *r, int row);

/* How a member is called among members: as they are credited, with their number where that is no name. */
struct str member_face(struct arena *a, const struct member *m);
/* One version; ERR_NOT_FOUND. */
CH_CHECK enum err edge_read(struct call *c, struct uuid coop, struct uuid id, struct edge_row *out);
/* Those of a member as principal or delegate, newest first; `all`: with what has ended. */
enum edges_which { EDGES_MINE, EDGES_REPRESENTED, EDGES_ASKED };
CH_CHECK enum err edges_of(struct call *c, struct uuid coop, enum edges_which which, int number, bool all, struct edge_row **out, size_t *n);
/* By the engine's numbers, in no order. */
CH_CHECK enum err edges_numbered(struct call *c, struct uuid coop, const int64_t *numbers, size_t count, struct edge_row **out, size_t *n);
/* The end of an edge that begins to count now: the least of the end chosen and the checkup. */
instant edge_end(instant chosen_end, instant due);
/* Refuses when the delegate decides for as many others as the charter allows (delegation_cap). */
CH_CHECK enum err edge_check_cap(struct call *c, const struct charter *charter, const struct delegation *d);

/* Who would decide for a member now, as if the version with the engine's number `without` (0: none) were not there. */
CH_CHECK enum err delegation_resolve_without(struct call *c, const struct charter *charter, struct uuid member, enum policy_question question, unsigned topic, struct uuid target,
	uint64_t without, struct delegation_path *out);

/* Refuses what the charter or the vocabulary does not allow, with its place. */
CH_CHECK enum err statement_check(struct call *c, const struct charter *charter, const struct statement *in, size_t n);
/* Whether the charter's cap cuts a member off from the delegate at the end of their way, if all who delegate no further decide: found by following everybody's. */
CH_CHECK enum err delegation_cut_by_cap(struct call *c, const struct charter *charter, uint32_t member_no, const struct delegation_path *about, bool *cut);
/* Writes what was said, and a leaf for it; `said` gets its numbers. */
CH_CHECK enum err statement_make_inside(struct call *c, const struct charter *charter, const struct member *me, struct statement *said, size_t n);
/* Tells those who let this delegate (a member's number, POLICY_BOARD) speak about one of the uses. */
CH_CHECK enum err statement_tell_principals(struct call *c, struct uuid coop, uint32_t delegate_no, struct str name, const struct statement *said, size_t n);
/* Statements, newest first, of rows in the order of STATEMENT_COLUMNS; `current` leaves out those replaced. */
#define STATEMENT_COLUMNS "seq, layer, kind, item_id, uses, purpose, audience, effect, duties, declared_at, valid_from, valid_to, verbatim, revision, external, board"
void statements_of_rows(struct arena *a, const struct rows *r, bool current, struct statement **out, size_t *n);

/* Adds an event. `by`: who acted (nil: the schedule); `ends`: INSTANT_NONE unless it makes the edge count. */
CH_CHECK enum err edge_event(struct call *c, const struct delegation *d, const char *kind, struct uuid by, instant ends, struct str reason);
/* Ends a live version now, in this state, with its event. */
CH_CHECK enum err edge_close(struct call *c, struct delegation *d, enum delegation_state to, const char *event, struct uuid by, struct str reason);
/* Makes a version count from now until `ends`, or prolongs it: event "accepted" or "confirmed". */
CH_CHECK enum err edge_open(struct call *c, struct delegation *d, const char *event, struct uuid by, instant ends);
/* Writes a version that waits for an answer; `first` nil: the first of its kind. Gives id, number, and the data of the leaf "delegation.made". */
CH_CHECK enum err edge_insert(struct call *c, struct delegation *d, struct str *leaf);
/* The leaf of an act on a version, by the acting member. */
CH_CHECK enum err edge_leaf(struct call *c, const char *type, const struct delegation *d, struct uuid by);

/* Tells `account` (nil: nobody) about an act. */
CH_CHECK enum err edge_tell(struct call *c, const char *kind, const struct edge_row *e, struct uuid account, const char *title, struct str text, struct str reason);
/* Everyone whose chain runs on over these members for this question is told that it is cut: an event on their own edge, and a notice. */
CH_CHECK enum err edge_tell_upstream(struct call *c, enum policy_question question, const int64_t *principals, size_t n, const char *why);

#endif
