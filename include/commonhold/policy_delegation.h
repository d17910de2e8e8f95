/*
 * policy_delegation.h - who decides for whom.
 *
 * One resolver for two questions that never mix: who casts my vote, who states my preferences. Each
 * member has at most one effective edge a question, so members form a functional graph and resolving
 * is linear colouring: no recursion, one visit a member.
 */
#ifndef COMMONHOLD_POLICY_DELEGATION_H
#define COMMONHOLD_POLICY_DELEGATION_H

#include "commonhold/policy_mem.h"

#define POLICY_BOARD 0xfffffffeu  /* delegate: the board, by its recorded resolution */
#define POLICY_NOBODY 0xfffffffdu /* delegate: an explicit stop that hides broader edges */
#define POLICY_DEPTH_MAX 8        /* hops no charter may exceed */

enum policy_question { POLICY_QUESTION_VOTE, POLICY_QUESTION_CONSENT, POLICY_QUESTION_COUNT };

/* How much an edge covers, broadest first. */
enum policy_scope {
	POLICY_SCOPE_COOP,   /* everything in the co-op */
	POLICY_SCOPE_TOPIC,  /* the ballot kinds or uses in `topics` */
	POLICY_SCOPE_TARGET, /* the one ballot or release `target` */
	POLICY_SCOPE_COUNT
};

/* A delegation, as one version of it stands. */
struct policy_edge {
	uint64_t id;                /* the caller's identifier; breaks ties */
	uint64_t target;            /* ballot or release, for scope TARGET */
	uint32_t principal;         /* member index of who delegates */
	uint32_t delegate;          /* member index, POLICY_BOARD or POLICY_NOBODY */
	uint32_t topics;            /* uses or ballot kinds, as bits, for scope TOPIC */
	uint8_t question;           /* enum policy_question */
	uint8_t scope;              /* enum policy_scope */
	uint8_t reserved[2];        /* 0 */
	policy_instant accepted_at; /* when the delegate accepted; POLICY_NEVER if not. For NOBODY: when made */
	policy_instant starts;      /* start of validity */
	policy_instant ends;        /* least of the chosen end, the checkup due date and the end of either's membership */
	policy_instant revoked_at;  /* when it was revoked; POLICY_NEVER if not */
};

/* What became of one member's question. */
#define POLICY_VIAS(X)                                                                    \
	X(NONE, "none", "no delegation")                                                      \
	X(OWN, "own", "decided personally")                                                   \
	X(DECIDED, "decided", "decided by the delegate at the end of the path")               \
	X(SILENT, "silent", "the delegate at the end of the path has not decided")            \
	X(NOBODY, "nobody", "the member asked that nobody decide")                            \
	X(CYCLE, "cycle", "the delegations form a circle")                                    \
	X(DEPTH, "depth", "the chain is longer than allowed")                                 \
	X(CAP, "cap", "the delegate already decides for as many as allowed")                  \
	X(EXPIRED, "expired", "the delegation has ended or not begun")                        \
	X(REVOKED, "revoked", "the delegation was revoked")                                   \
	X(SCOPE, "scope", "the delegations do not reach this question")                       \
	X(UNACCEPTED, "unaccepted", "the delegate has not accepted")                          \
	X(FAULTY, "faulty", "the delegation contradicts the schema")

enum policy_via {
#define X(sym, name, text) POLICY_VIA_##sym,
	POLICY_VIAS(X)
#undef X
	POLICY_VIA_COUNT
};
const char *policy_via_name(unsigned via);
const char *policy_via_text(unsigned via);

/* The question that is put to the delegations. */
struct policy_ask {
	uint8_t question;        /* enum policy_question */
	uint8_t topic;           /* one use or ballot kind, as a bit number; at most 31 */
	uint8_t depth;           /* hops allowed, 1 to POLICY_DEPTH_MAX */
	uint8_t board_active;    /* 1 if there is a board to delegate to */
	uint32_t cap;            /* members one delegate may decide for; 0 for no cap; the board has none */
	uint64_t target;         /* the ballot or release */
	policy_instant at;       /* when */
};

/* The people it is about, by member index. */
struct policy_voices {
	size_t n;               /* members */
	const uint8_t *active;  /* 1 if active: may delegate and be delegated to; NULL if all are */
	const uint8_t *decided; /* 1 if has decided personally; n + 1 places, the last is the board's */
	bool beyond_own;        /* also resolve the delegation of members who have decided personally (consent:
	                           a delegate may tighten a default); they get their delegate's result, not OWN */
};

/* One member's result. The path: the delegate of edges[edge], then that one's, and so on. */
struct policy_path {
	uint32_t decider; /* member who decided, POLICY_BOARD; POLICY_NO_DECIDER unless OWN or DECIDED */
	uint32_t edge;    /* index of the member's effective edge; POLICY_NO_EDGE if none */
	uint8_t via;      /* enum policy_via */
	uint8_t hops;     /* length of the path */
	uint8_t dropped;  /* enum policy_via: why the most specific edge that does not count does not (EXPIRED, REVOKED,
	                     SCOPE, UNACCEPTED, FAULTY); NONE if there is none */
	uint8_t reserved; /* 0 */
};
#define POLICY_NO_DECIDER UINT32_MAX
#define POLICY_NO_EDGE UINT32_MAX

/* Resolve for all members. `out` has voices->n places. Scratch comes from `mem`.
 *
 * Effective edge: of the valid ones the most specific, then the latest accepted, then the highest id. Valid:
 * accepted, started, not ended, not revoked, delegate active (or the board, or nobody). Caps cut in the order
 * in which representations came to be: by the latest (accepted, id) on a member's path, then by hops. */
enum policy_status policy_delegation_resolve(const struct policy_edge *edges, size_t n_edges,
                                             const struct policy_voices *voices, const struct policy_ask *ask,
                                             struct policy_mem *mem, struct policy_path *out);

/* Write the path of a member: the delegates in order, at most `cap` of them. Returns how many. */
size_t policy_delegation_path(const struct policy_edge *edges, const struct policy_path *paths, size_t n,
                              uint32_t member, uint32_t *out, size_t cap);

/* Whether adding `edge` would close a circle at this instant: the writer is warned, not refused. */
bool policy_delegation_would_cycle(const struct policy_edge *edges, const struct policy_path *paths, size_t n,
                                   const struct policy_edge *edge);

/* Concentration of a resolution, for the pages: how much one delegate decides. */
struct policy_concentration {
	uint32_t largest;   /* members whom the busiest delegate decides for */
	uint32_t delegate;  /* that delegate; POLICY_NO_DECIDER if none */
	uint32_t deciders;  /* distinct deciders, oneself included */
	uint32_t delegated; /* members decided for by someone else */
};
enum policy_status policy_delegation_concentration(const struct policy_path *paths, size_t n,
                                                   struct policy_mem *mem, struct policy_concentration *out);

#endif
