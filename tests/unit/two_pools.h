/* two_pools.h - random pools of two co-ops of one instance with an agreement on joint releases, for tests that count by themselves what the two should come to. */
#ifndef COMMONHOLD_TESTS_TWO_POOLS_H
#define COMMONHOLD_TESTS_TWO_POOLS_H

#include "merge_world.h"

#include "commonhold/joint.h"

#define POOL_TEXTS 10
#define POOL_LICENCES 3   /* each fits under the next */

/* Who has a text in one co-op, as the oracle knows it. */
struct had { bool there, goes; int member, licence; struct uuid id; };

struct two_pools {
	struct merge_world m;
	struct world side[2];      /* the first makes joint releases; members 1 to 3 are of it, 4 to 6 of the second */
	struct had had[2][POOL_TEXTS];
	bool yes[WORLD_MEMBERS];   /* who allows it */
};

/* Chance that a seed repeats: from COMMONHOLD_SEED, or a new one, which is printed. */
uint64_t pools_seed(void);
void pools_chance_from(uint64_t seed);
unsigned pools_chance(unsigned n);

/* Two co-ops under that draft of an agreement, with their people and no texts. */
void pools_found(struct two_pools *p, const char *draft);
const char *pools_licence(int licence);
/* Text number `text` by a member. */
struct uuid pools_give(struct world *w, int member, int text, int licence);
/* What one side has is brought to the other. */
void pools_carry(struct two_pools *p, int from);
/* All jobs that are due. */
void pools_run(void);

#endif
