/* origin_known.h - what a pool had when foreign records began to come in: read once as a stream, so that hardly any of them costs a question to the database.
 *
 * Which contents stand is held exactly (content_table.h), as long as that fits into KNOWN_BYTES_MAX; in a larger pool by a filter, which rules out most. Which ids there are is held
 * by a filter. Nothing of it changes after known_make but the marks, so it may be looked into on any thread.
 *
 * It must never make anybody hold a content to stand that does not: what stands is looked at again at the end, where the pool changed (known_still).
 */
#ifndef COMMONHOLD_ORIGIN_KNOWN_H
#define COMMONHOLD_ORIGIN_KNOWN_H

#include "commonhold/call.h"
#include "commonhold/crypto.h"

struct known;

/* What is known of a content. */
enum known_content {
	KNOWN_NOT,    /* nobody has it */
	KNOWN_STANDS, /* the item stands; none before it does */
	KNOWN_ASK,    /* perhaps: the database knows */
};

/* Of a pool of `items`, for `expected` records. Inside. Ends with known_free. */
CH_CHECK enum err known_make(struct call *c, struct uuid coop, int64_t items, int64_t expected, struct known **out);
void known_free(struct known *k);
enum known_content known_content(const struct known *k, struct sha256 hash, int64_t *item);
/* False: nobody has the id. */
bool known_id(const struct known *k, struct uuid id);
/* Whether all that stands is known, so that known_still says all. */
bool known_is_exact(const struct known *k);
/* Marks an item that was said to stand, as one that something is built upon. On one thread. */
void known_mark(struct known *k, int64_t item);
/* After the pool changed: *still is false where an item that was marked does not stand any more, or one stands whose content `placed` says to be among the new rows. Inside, under the pool's lock. */
typedef bool (*known_placed)(const void *arg, struct sha256 hash);
CH_CHECK enum err known_still(struct call *c, struct uuid coop, const struct known *k, known_placed placed, const void *arg, bool *still);

#endif
