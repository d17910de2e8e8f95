/* promote.h - who takes over the origins of rows that are about to be emptied. Of server/pool only. */
#ifndef COMMONHOLD_POOL_PROMOTE_H
#define COMMONHOLD_POOL_PROMOTE_H

#include "server/pool/pool_internal.h"

/* A row that is about to be emptied. */
struct promote_row {
	int64_t item_no, shard, bytes;
	struct uuid id, member;
	struct sha256 hash;         /* of its content */
};
/* Gives their origins to another row of the same content, or makes rows of the first ones. In order of item number; inside, under the pool's lock, while the contents are there. */
CH_CHECK enum err origins_inherit(struct call *c, struct uuid coop, const struct promote_row *rows, size_t n, size_t *promoted);

#endif
