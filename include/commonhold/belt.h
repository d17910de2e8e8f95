/* belt.h - many small pieces of work on several threads, with everything in order: groups of pieces go round like boxes on a belt.
 *
 *   free -> filled -> worked on -> (seen by the caller -> worked on again)* -> seen by the caller, and free again
 *
 * Whichever worker has nothing better to do fills the next free group: one at a time, and in order. Its pieces are then worked on by all. The caller takes the groups in the order in which they were
 * filled, so that what it makes of them does not depend on the threads. The number of groups is fixed, so memory is the same however much comes. A group belongs to one side at a time: what lies in it
 * needs no lock.
 *
 * It knows nothing of what the pieces are. The callbacks must not wait for each other.
 */
#ifndef COMMONHOLD_BELT_H
#define COMMONHOLD_BELT_H

#include "arena.h"
#include "error.h"

#define BELT_GROUPS 4
#define BELT_WORKERS_MAX 4

struct belt_work {
	void *arg;
	unsigned workers;  /* threads, from 1 */
	size_t chunk;      /* pieces that a worker takes at a time */
	size_t scratch;    /* bytes of each worker's arena at most */
	/* Fills a group, whose place is below BELT_GROUPS. *n: pieces, also those before an error; *last: no group follows. */
	enum err (*fill)(void *arg, unsigned place, size_t *n, bool *last, struct error *e);
	/* Works on the pieces from..to. `round`: how often the group was sent again. The scratch arena is for the callback to reset. */
	void (*work)(void *arg, unsigned place, unsigned worker, unsigned round, size_t from, size_t to, struct arena *scratch);
};

struct belt;
/* Starts the threads; ERR_NO_MEMORY where there are none. */
CH_CHECK enum err belt_start(const struct belt_work *work, struct belt **out, struct error *e);
/* What the caller takes from the belt. */
struct belt_group {
	unsigned place;            /* below BELT_GROUPS */
	size_t n;                  /* pieces */
	bool last;                 /* none follows */
	const struct error *error; /* filling it ended with this, behind its n pieces; NULL: it did not. It is the last then */
};
/* Waits until a group is filled and worked on. They are numbered from 0 in the order in which they were filled; none is asked for behind the last. */
struct belt_group belt_take(struct belt *b, unsigned number);
/* Sends a group that was taken to be worked on once more; belt_take waits for it. */
void belt_again(struct belt *b, unsigned number);
/* The oldest group that was not done with is. At most BELT_GROUPS are held at a time. */
void belt_done(struct belt *b);
/* Stops and joins the threads, whatever is on the belt. NULL is allowed. */
void belt_stop(struct belt *b);

#endif
