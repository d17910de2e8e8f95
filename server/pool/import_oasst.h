/* import_oasst.h - one OpenAssistant conversation tree in memory: what import_oasst.c gathers and import_oasst_tree.c turns into contributions. */
#ifndef POOL_IMPORT_OASST_H
#define POOL_IMPORT_OASST_H

#include "server/pool/import_internal.h"

/* A view into the tree's text. */
struct oasst_text { uint32_t at, n; };

enum oasst_signal { OASST_UP, OASST_DOWN, OASST_FLAG, OASST_SIGNALS };

/* One message. Indices are into the tree's nodes; -1 is none. */
struct oasst_node {
	struct oasst_text id, parent, user, text, lang, created, model; /* n is 0 where absent */
	struct oasst_text ratings;      /* its labels as the JSON array that feedback has; n is 0 where there are none */
	uint32_t signal[OASST_SIGNALS]; /* how many of each emoji */
	uint64_t line;                  /* where it stood */
	int32_t rank;                   /* among its siblings, 0 is best; -1 when it has none */
	int32_t up;                     /* its parent */
	int32_t first, next, last;      /* first and last child, next sibling, in order of the file */
	bool assistant;                 /* who speaks */
	bool deleted;                   /* marked so */
	bool duplicate;                 /* its id came before */
	bool live;                      /* neither it nor anything above it is deleted or missing */
};

struct oasst_tree {
	struct str id;              /* heap memory of the tree */
	struct buf text;            /* all text of its messages */
	struct oasst_node *node;    /* heap array */
	size_t nodes, cap;          /* used and allocated */
	struct oasst_tree *chain;   /* next in the hash bucket */
	struct oasst_tree *older, *newer; /* by last message */
	size_t held;                /* bytes counted against the window */
	bool too_large;             /* gave up: its rows are refused */
};

struct str oasst_view(const struct oasst_tree *t, struct oasst_text v);
/* Emits everything that the tree holds, and the verdicts of what it may not. */
CH_CHECK enum err oasst_tree_emit(struct import *im, struct oasst_tree *t);

#endif
