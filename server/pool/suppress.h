/* suppress.h - keyed digests of what members had erased. */
#ifndef COMMONHOLD_POOL_SUPPRESS_H
#define COMMONHOLD_POOL_SUPPRESS_H

#include "server/pool/pool_internal.h"

#include "commonhold/db.h"

struct suppressed { struct uuid member; struct sha256 hash; /* of the canonical content */ };
/* Does not take these again. Queued; inside, under the pool's lock. */
CH_CHECK enum err suppress(struct call *c, struct uuid coop, const struct suppressed *what, size_t n);
/* Which of these are not taken. Whoever asks has seen in pool_head that there are any. Inside. */
CH_CHECK enum err suppressed_find(struct call *c, struct uuid coop, const struct suppressed *what, size_t n, bool *found);

#endif
