/* world.h - a small co-op for tests: founded, peopled and filled through the operations that everybody uses.
 *
 * Times: the clock stands at WORLD_START when the co-op is founded; the first cut-off is WORLD_CUTOFF. The charter asks for consent to research and a yes to train.gen, lets
 * two admins decide, notice seven days, voting two, cooling-off one.
 */
#ifndef COMMONHOLD_TESTS_WORLD_H
#define COMMONHOLD_TESTS_WORLD_H

#include "fixture.h"

#include "commonhold/ballot.h"
#include "commonhold/control.h"
#include "commonhold/coop.h"
#include "commonhold/motion.h"
#include "commonhold/pool.h"
#include "commonhold/release.h"

#define WORLD_MEMBERS 8
#define WORLD_START INT64_C(1767258000000000)  /* 2026-01-01T09:00:00Z */
#define WORLD_CUTOFF INT64_C(1769925600000000) /* 2026-02-01T06:00:00Z */

struct world {
	struct uuid coop;
	struct call *system;                  /* the instance: jobs */
	struct call *person;                  /* one call that by() lends to whoever acts: calls keep their connection, and there are few */
	struct actor actor[WORLD_MEMBERS];    /* signed in; 0 to 2 are admins, 0 the founder */
	struct uuid id[WORLD_MEMBERS];        /* their memberships */
};

/* Founds and peoples the co-op. `replace`: members of the charter's draft to put in the place of the usual ones, as a JSON object, or NULL. */
void world_make(struct world *w, const char *replace);
/* Another one beside it, whose address is `slug` and whose people are others; the clock stays where it is. */
void world_make_as(struct world *w, const char *slug, const char *replace);
/* The call of a member: acts as them until by() is asked for another. */
struct call *by(struct world *w, int member);
/* Consent to research, and `effect` for train.gen by the member's own default (NULL: silence). */
void world_say(struct world *w, int member, const char *effect);
/* One `example` with that text; gives its id. */
struct uuid world_contribute(struct world *w, int member, const char *text);
/* The scheduled release. */
struct release world_release(struct world *w);
/* Moves the clock and runs what is due. */
void world_until(struct world *w, instant t);
/* Casts the votes of the first `n` admins on the release's ballot. */
void world_vote(struct world *w, const struct release *r, int n, const char *choice);
/* From a frozen release to its publication. */
void world_publish(struct world *w, struct uuid release);
/* The scheduled release from now until it is published. */
struct release world_published(struct world *w);
/* The release as it is now. */
struct release world_read(struct world *w, struct uuid release);
/* The outcome stored for an item. */
enum policy_outcome world_outcome(struct world *w, struct uuid release, struct uuid item, uint64_t *reasons);

#endif
