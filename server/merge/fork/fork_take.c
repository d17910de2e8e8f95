#include "server/merge/fork/fork_read.h"
#include "server/merge/merge_internal.h"

#include "commonhold/onward.h"

/* What applying a bundle does (merge.h), for one that comes with no agreement: everything in it was checked, and each has said yes to it for themselves. */

static enum err take(struct applying *a, struct fork_read *x)
{
	struct call *c = a->call;
	struct origin_taking *taking = NULL;
	int64_t first, rows, origins;
	a->agreement.id = x->offer;
	a->agreement.coop = a->coop;
	a->agreement.partner = x->parent;
	a->agreement.partner_title = x->parent_title;
	a->agreement.terms.id = x->offer;
	a->agreement.terms.uses = POLICY_USES_ALL;
	a->agreement.terms.purposes = POLICY_PURPOSES_ALL;
	a->agreement.terms.kinds = 0xff;
	a->agreement.terms.licences = UINT64_MAX;
	a->agreement.terms.audience = POLICY_AUDIENCE_ANY;
	a->homes = &(struct foreign_home){ x->parent, x->parent_title };
	a->terms = &(const struct agreement_terms *){ &a->agreement.terms };
	a->sources = &a->agreement.id;
	a->n_homes = 1;
	TRY(apply_statements(a));
	if (a->bundle->counts.records) {
		TRY(origin_taking_begin(c, a->coop, a->homes, a->n_homes, a->bundle->counts.records, &taking));
		TRY(apply_records(a, taking));
		TRY(origin_taking_end(taking, &first, &rows, &origins));
	}
	return bundle_note_taken(c, a->coop, a->bundle);
}

enum err fork_take(struct call *c, struct uuid coop, struct fork_read *x)
{
	struct applying *a = ARENA_NEW(c->arena, struct applying);
	a->call = c;
	a->coop = coop;
	a->bundle = x->bundle;
	x->bundle->agreement_id = x->offer;
	enum err e = take(a, x);
	touched_free(&a->touched);
	return e;
}
