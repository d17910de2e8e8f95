/* What each member has in a built release: what shares are weighed by. */
#include "server/release/release_internal.h"

struct weighing {
	const policy_reasons *reasons; /* by item number; items that came later have none */
	size_t n;
	int64_t *items;                /* by member number */
	size_t n_members;
};

static enum err weigh_segment(void *arg, const struct pool_segment *s)
{
	struct weighing *w = arg;
	size_t base = (size_t)s->no * POOL_SEGMENT;
	for (size_t i = 0; i < s->n && base + i < w->n; i++)
		if (s->members[i] < w->n_members && outcome_is_in((uint8_t)policy_outcome_of(w->reasons[base + i])))
			w->items[s->members[i]]++;
	return ERR_OK;
}

enum err release_weights(struct call *c, struct uuid coop, struct uuid release, size_t n_members, int64_t *items)
{
	struct weighing w = { .items = items, .n_members = n_members };
	policy_reasons *reasons;
	memset(items, 0, n_members * sizeof(*items));
	TRY(decided_load(c, coop, release, "built", &reasons, &w.n));
	w.reasons = reasons;
	return pool_scan_columns(c, coop, POOL_MEMBERS, weigh_segment, &w);
}
