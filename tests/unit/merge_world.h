/* merge_world.h - two co-ops of one instance with an agreement in effect, for tests of what passes between them. The agreement is written past its ballots, which have tests of their own. */
#ifndef COMMONHOLD_TESTS_MERGE_WORLD_H
#define COMMONHOLD_TESTS_MERGE_WORLD_H

#include "world.h"

#include "commonhold/agreement.h"
#include "commonhold/peer.h"

struct merge_world {
	struct world w;              /* the co-op that sends, with its people */
	struct uuid other;           /* the co-op that receives; member 0 is its admin, too */
	struct str name, other_name; /* their key names */
	struct uuid agreement;       /* its id */
	struct sha256 digest;        /* of its document */
};

/* Makes the world, the second co-op and the agreement. `draft`: schemas/agreement_draft.json, NULL for all that both charters allow. */
void merge_world_make(struct merge_world *m, const char *draft);
/* An agreement in effect between two co-ops that exist; hands out its id and digest. Both are confirmed peers of each other afterwards. */
struct uuid merge_world_agree(struct call *system, struct call *admin, struct uuid one, struct uuid two, const char *draft, struct sha256 *digest);
/* Another co-op of member 0. */
struct uuid merge_world_coop(struct world *w, const char *slug);
struct str merge_world_key_name(struct call *c, struct uuid coop);

#endif
