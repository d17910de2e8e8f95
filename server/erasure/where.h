/* where.h - where the items of a request went, and what the pages and the signed statement say about it.
 *
 * Reading alone. What a person may see of recipients is decided in mirror.h: names of mirrors and organisations, never of people. Nothing here names whose items they are.
 */
#ifndef COMMONHOLD_ERASURE_WHERE_H
#define COMMONHOLD_ERASURE_WHERE_H

#include "commonhold/erasure.h"
#include "commonhold/mirror.h"
#include "commonhold/release.h"
#include "commonhold/tombstone.h"

#define WHERE_COPIES LIMIT_PAGE /* recipients that are named one by one; the counts are of all */

/* Somebody who owes a receipt. */
struct where_copy {
	struct duty duty;
	struct sha256 receipt;   /* digest of the receipt that confirmed it; zeros: none */
};
struct where {
	struct release *releases;   /* versions that hold at least one item, oldest first */
	size_t n_releases;          /* how many */
	struct str use;             /* the version that holders move to; absent: there is none */
	struct where_copy *copies;  /* who owes a receipt, the first due first */
	size_t n_copies;            /* how many of them are here */
	struct duty_counts counts;  /* of all of them */
	int64_t tombstones;         /* appended so far */
	int64_t left;               /* items that are still to be purged; 0 unless that is under way */
};
/* Of a request that the caller has read (erasure_read): who may see it was decided there. Own transactions. */
CH_CHECK enum err where_read(struct call *c, const struct erasure *e, struct where *out);

/* How many must confirm, of several requests at once; for admins: the caller has checked. Own transaction. */
CH_CHECK enum err where_counts(struct call *c, struct uuid coop, const struct erasure *list, size_t n, struct duty_counts *out);

/* Which tombstone an item of a request has. */
struct where_tombstone { struct uuid contribution; int64_t idx; };
/* The first ones by index, at most `limit`; own transaction. */
CH_CHECK enum err where_tombstones(struct call *c, const struct erasure *e, int limit, struct where_tombstone **out, size_t *n);

/* How many tombstones of each kind a month brought, newest first, at most `limit` months; and how many there are in all. For anybody; own transaction. */
struct tombstone_month { int year, month; int64_t kinds[TOMBSTONE_KIND_COUNT]; };
CH_CHECK enum err tombstone_months(struct call *c, struct uuid coop, int limit, struct tombstone_month **out, size_t *n, int64_t *total);
/* The last tombstones, newest first, at most `limit`; for anybody. Own transaction. */
CH_CHECK enum err tombstone_latest(struct call *c, struct uuid coop, int limit, struct tombstone **out, size_t *n);

/* How long recipients took from the announcement to their receipt. */
enum lag { LAG_HOUR, LAG_DAY, LAG_WEEK, LAG_MONTH, LAG_LONGER, LAG_OPEN, LAG_COUNT };
const char *lag_words(enum lag lag);
/* Duties by the time taken; those that are open last. For admins: the caller has checked. Own transaction. */
CH_CHECK enum err lag_counts(struct call *c, struct uuid coop, int64_t out[LAG_COUNT]);

#endif
