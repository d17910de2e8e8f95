/* lifecycle.h - the life of a thing as a table: the states that it can be in, and what may follow what, with a sentence for people.
 *
 * A domain keeps its table and one mutator of the state, which asks lifecycle_step() before it writes. Start-up checks every table (lifecycle_check), so that a state nothing leads to, or one
 * that nothing leads out of by oversight, is found before anything is served. Pure: it knows no domain, writes nothing and decides nothing that is not in the table.
 */
#ifndef COMMONHOLD_LIFECYCLE_H
#define COMMONHOLD_LIFECYCLE_H

#include "error.h"

#define LIFECYCLE_BEGINNING (-1) /* where an edge comes from that makes a new thing */
#define LIFECYCLE_STATES_MAX 32
#define LIFECYCLE_BIT(state) (1U << (state))

struct lifecycle_edge {
	int from;             /* a state, or LIFECYCLE_BEGINNING */
	int to;               /* a state */
	const char *sentence; /* what happens, for people */
	const char *guard;    /* when it may be taken, for people; NULL: the sentence says it */
	const char *leaf;     /* type of the entry that it leaves in the co-op's log; NULL: the domain's mutator knows */
	unsigned who;         /* who may take it, bits of the domain's own; 0: the mutator's callers see to it */
};

struct lifecycle {
	const char *thing;                  /* as a refusal begins: "This ballot" */
	const char *reason;                 /* narrower code of a refusal (struct error); NULL: none */
	const char *const *states;          /* their words, as stored and as machines read them */
	size_t n_states;
	const struct lifecycle_edge *edges; /* every change that there is */
	size_t n_edges;
	unsigned final;                     /* LIFECYCLE_BITs of the states that nothing leaves */
};
/* The five members that say which states and edges; of two arrays. */
#define LIFECYCLE_TABLE(state_words, all_edges) .states = (state_words), .n_states = CH_LEN(state_words), .edges = (all_edges), .n_edges = CH_LEN(all_edges)

/* A state's word, "" for the beginning, "unknown" for a number out of range. */
const char *lifecycle_word(const struct lifecycle *l, int state);
/* The state of a word, or -1. */
int lifecycle_state(const struct lifecycle *l, struct str word);
/* The edge, or NULL where there is none. */
const struct lifecycle_edge *lifecycle_edge(const struct lifecycle *l, int from, int to);
/* The same as a demand: ERR_STATE, with the life's reason and both words, where there is none. `out` may be NULL. */
CH_CHECK enum err lifecycle_step(const struct lifecycle *l, int from, int to, const struct lifecycle_edge **out, struct error *e);
/* Whether the table is whole: every state has its word, different from the others'; every edge leads from a known state (or the beginning) to another and has its sentence; none is there twice;
 * every state can be reached from the beginning; exactly the final ones are left by nothing. ERR_INTERNAL says where it is not. */
CH_CHECK enum err lifecycle_check(const struct lifecycle *l, struct error *e);

#endif
