/* keyring.h - the content keys: one per member and co-op, kept wrapped in the keys database. Destroying a key is the erasure of everything sealed under it.
 *
 * Keys are wrapped by the instance's seal key with (co-op, member) as context, so that a row cannot be passed off as another member's. Unwrapped keys are cached in
 * memory, bounded, wiped when they leave the cache. A key is never written to the content database, to a log or to a file.
 *
 * The keys database has its own transactions: a key that is made stays made when the caller's transaction rolls back (harmless: it seals nothing), and a key that is
 * destroyed stays destroyed. Destroy as the last step, after the content's transaction has committed, or repeat it from a job: it is idempotent.
 */
#ifndef COMMONHOLD_KEYRING_H
#define COMMONHOLD_KEYRING_H

#include "call.h"
#include "crypto.h"

/* The member's key, made if there is none. Never for a destroyed one: ERR_GONE. */
CH_CHECK enum err keyring_make(struct call *c, struct uuid coop, struct uuid member, struct seal_key *out);
/* Keys for many who have none yet, at once: guests that a bundle brings. Those that have one keep it; a destroyed one stays destroyed. */
CH_CHECK enum err keyring_make_many(struct call *c, struct uuid coop, const struct uuid *members, size_t n);
/* The keys of many members at once, in their order; one round trip for what is not cached. `present[i]` (may be NULL when all must be there) is false where there is no
 * key or no longer one; without `present` that is ERR_GONE. */
CH_CHECK enum err keyring_get(struct call *c, struct uuid coop, const struct uuid *members, size_t n, struct seal_key *out, bool *present);
/* Destroys the key: the row stays as a mark that no key may be made again, without the wrapped bytes. The database clears their old version away at autovacuum's next round, and
 * the keys database's own backups and write-ahead log are kept for days only. */
CH_CHECK enum err keyring_destroy(struct call *c, struct uuid coop, struct uuid member);
/* Forgets everything cached. What another process destroyed is forgotten after a minute by itself. */
void keyring_forget(void);

#endif
