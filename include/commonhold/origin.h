/* origin.h - where items come from: the federated ids of foreign ones, and who else contributed a content that stands here once.
 *
 * A foreign record is a row of contribution like any other: its id is the uuid of its rid, its contributor a guest (guest.h), and bits 24-31 of `more` say which co-op it comes from,
 * 0 being this one. An exact duplicate of something that stands here is no row but an origin of that row: the row's outcome is the strictest over what the engine says of the row and of each
 * origin (with that one's guest and licence), releases list every origin's rid and licence, and erasing one takes it away alone. When the row itself is erased the next origin
 * takes its place as a row of its own, sealed under its own contributor's key. Nothing here ever makes a rid of anything but what the origin says.
 */
#ifndef COMMONHOLD_ORIGIN_H
#define COMMONHOLD_ORIGIN_H

#include "call.h"
#include "crypto.h"
#include "pool.h"

#define ORIGIN_MAX 255 /* co-ops that items of one co-op may come from */

/* The names that origins stand for. */
struct origin_names {
	struct str key_name[ORIGIN_MAX + 1]; /* [0]: the co-op itself; absent: no such origin */
	struct str title[ORIGIN_MAX + 1];    /* what it is called; absent for [0] */
	size_t n;                            /* foreign ones */
};
/* Inside. */
CH_CHECK enum err origin_names_load(struct call *c, struct uuid coop, struct origin_names *out);
static inline unsigned origin_of_more(uint64_t more) { return (unsigned)(more >> POLICY_MORE_ORIGIN_SHIFT & 0xff); }
/* The rid of an item: dc:<home key name>:<id>. Every rid of a contribution is made here. */
struct str pool_rid(struct arena *a, const struct origin_names *names, uint64_t more, struct uuid id);
/* The rids of contributions, in their order, inside: one question. An id that is not there gets one of this co-op. */
CH_CHECK enum err pool_rids(struct call *c, struct uuid coop, const struct uuid *ids, size_t n, struct str *out);
/* The number of a home, given if it has none yet. ERR_REFUSED past ORIGIN_MAX; ERR_INVALID for the co-op's own name. Inside, under pool_lock. */
CH_CHECK enum err origin_number(struct call *c, struct uuid coop, struct str key_name, struct str title, unsigned *no);

/* One origin of a row. */
struct origin {
	int64_t item_no;        /* of the row that it is one of */
	unsigned origin;        /* number of its home */
	struct uuid id;         /* of its rid */
	uint32_t member_no;     /* guest */
	struct uuid member;     /* the same */
	unsigned licence;       /* policy_licence_no */
	struct str lang;
	uint64_t word, more;    /* as if it were a row; `more` with its origin */
	int64_t leaf;           /* in its home's log */
	uint8_t salt[32];
	unsigned findings;      /* pii bits */
	struct str sealed_facts; /* under the guest's key, as for a contribution with this id (pool_facts_context) */
	instant at;             /* when it was contributed at home */
};
/* Adds origins; those that are there already are left. Inside, under pool_lock. */
CH_CHECK enum err origins_add(struct call *c, struct uuid coop, const struct origin *origins, size_t n);
/* Of some rows, in order of (item_no, origin, id); inside. */
CH_CHECK enum err origins_of_items(struct call *c, struct uuid coop, const int64_t *items, size_t n, struct origin **out, size_t *n_out);
/* What foreign ids are here: a row (`is_row`, with its number) or an origin of one, or nothing (item_no -1). Inside. */
struct origin_place { int64_t item_no; bool is_row; bool erased; uint32_t member_no; struct sha256 content_sha256; };
CH_CHECK enum err origin_places(struct call *c, struct uuid coop, unsigned origin, const struct uuid *ids, size_t n, struct origin_place *out);
/* Sets or clears bits of the words of origins (POLICY_ITEM_RESTRICTED, _WITHDRAWN, …): what withdrawals are to rows. Inside, under pool_lock. */
CH_CHECK enum err origins_mark(struct call *c, struct uuid coop, unsigned origin, const struct uuid *ids, size_t n, uint64_t set, uint64_t clear);
/* Takes origins away alone: the rows stay. *dropped (may be NULL): how many there were. Inside, under pool_lock. */
CH_CHECK enum err origins_drop(struct call *c, struct uuid coop, unsigned origin, const struct uuid *ids, size_t n, size_t *dropped);

/* ---- Purging ---- */

/* Told by pool_purge, inside its transaction, which contents are about to be forgotten: hashes, item numbers and contributors of the rows that go, in the same order. */
struct pool_forgotten { const int64_t *items; const struct uuid *ids; const struct uuid *members; const struct sha256 *hashes; size_t n; };
typedef enum err (*pool_purged_fn)(struct call *c, struct uuid coop, const struct pool_forgotten *gone);
/* Whom to tell; set once at start, before any thread runs. NULL: nobody. */
void pool_use_purged(pool_purged_fn fn);

#endif
