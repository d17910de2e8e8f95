/* overlay.h - withdrawals in force, laid over a scan of the pool. */
#ifndef COMMONHOLD_POOL_OVERLAY_H
#define COMMONHOLD_POOL_OVERLAY_H

#include "server/pool/pool_internal.h"

#include "commonhold/db.h"

struct overlay {
	struct rows *asked;             /* the withdrawals, once the answer is there; their lists are views into it */
	struct overlay_list *lists;     /* of items named one by one */
	size_t n_lists;
	struct overlay_member *members; /* whose items are all withdrawn */
	size_t n_members;
	uint32_t *of_member;            /* by member number: place + 1 among `members`; 0 for none */
	size_t of_member_n;
};
/* Asks (db_ask), before anything of the rows is read: what is written into rows meanwhile is then seen at least once. Inside. */
CH_CHECK enum err overlay_ask(struct call *c, struct uuid coop, struct overlay *o);
/* Takes what was asked, when it is there. */
CH_CHECK enum err overlay_take(struct call *c, struct overlay *o);
/* Whether words are laid over by the items' members, so that those are needed beside the words. */
static inline bool overlay_needs_members(const struct overlay *o) { return o->n_members > 0; }
/* Lays the bits over the words of items first … first + n - 1; from call to call in ascending order. */
void overlay_lay(struct overlay *o, int64_t first, size_t n, const uint32_t *members, uint64_t *words);

/* The bits over one item, in any order. */
uint64_t overlay_of(const struct overlay *o, int64_t item, uint32_t member);

/* The bit of the item's word that a kind of withdrawal stands for. */
uint64_t pool_withdrawal_bit(enum pool_withdrawal_kind kind);

#endif
