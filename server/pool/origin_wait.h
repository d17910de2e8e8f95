/* origin_wait.h - rows and origins that came with a bundle and wait to be put into their tables many at once, in the order of their largest index: what is inserted one after the other then goes to
 * neighbouring pages, and each page is fetched and written once for many. */
#ifndef COMMONHOLD_ORIGIN_WAIT_H
#define COMMONHOLD_ORIGIN_WAIT_H

#include "commonhold/origin_take.h"

struct waiting;

/* NULL: no memory. */
struct waiting *waiting_new(void);
void waiting_free(struct waiting *w);
/* What does not follow from the record itself. */
struct waiting_at {
	int64_t item_no;   /* the row's own, or the row's that it is an origin of */
	unsigned origin;   /* origin_coop.no */
	int shard;         /* of a row */
};
/* A record whose fate is FOREIGN_ROW or FOREIGN_ORIGIN; what it points to is copied. */
CH_CHECK enum err waiting_add(struct waiting *w, struct call *c, const struct foreign *f, struct waiting_at at);
/* To be called after each group: puts a piece into the tables when enough have gathered. Queued; inside. The arena is given back what it took. */
CH_CHECK enum err waiting_put_some(struct waiting *w, struct call *c, struct uuid coop);
/* Puts all that wait. */
CH_CHECK enum err waiting_put_all(struct waiting *w, struct call *c, struct uuid coop);

#endif
