/* Deciding the pool for others than the co-op's own releases: the charter's words, with other uses, purposes and audience. */
#include "release_internal.h"

#include "commonhold/release_scope.h"

static bool bit(const uint8_t *bits, size_t i)
{
	return bits[i / 8] >> (i % 8) & 1;
}

/* What an item's word says that no specification of ours asks: whether it is there at all, and under a licence of the scope. */
static void scope_take(const struct decided *d, const struct release_scope *scope, struct release_scoped *out)
{
	for (size_t i = 0; i < d->n; i++) {
		struct policy_item item = policy_item_unpack(d->words[i], 0, d->members[i]);
		if (item.flags & (POLICY_ITEM_TOMBSTONED | POLICY_ITEM_ERASURE))
			out->gone[i / 8] |= (uint8_t)(1u << (i % 8));
		else if (outcome_is_in(d->outcomes[i]) && scope->licences >> item.licence & 1 && (!scope->takes || scope->takes(scope->arg, d->members[i])))
			out->in[i / 8] |= (uint8_t)(1u << (i % 8));
		if (bit(out->in, i) && d->members[i] < out->n_members)
			out->has[d->members[i]] = 1;
	}
}

enum err release_scope_pack(struct call *c, struct uuid coop)
{
	return decide_pack(c, coop);
}

enum err release_scope_decide(struct call *c, struct uuid coop, const struct release_scope *scope, instant at, struct release_scoped *out)
{
	struct charter charter;
	struct decided d;
	TRY(charter_current(c, coop, &charter));
	charter.release_uses = scope->uses;
	charter.release_uses_conditional = (uint16_t)(charter.release_uses_conditional & scope->uses);
	charter.release_purposes = scope->purposes;
	charter.release_audience = scope->audience;
	charter.kinds = (uint8_t)(charter.kinds & scope->kinds);
	charter.k_contributors = 0; /* how many it takes is asked of releases, which may be made of both pools */
	charter.licence_mode = POLICY_COLLECTION;
	charter.outputs = 0;
	TRY(decide_as_if(c, coop, &charter, at, true, &d));
	*out = (struct release_scoped){ .n = d.n, .n_members = d.facts.n_members };
	out->in = arena_alloc(c->arena, d.n / 8 + 1);
	out->gone = arena_alloc(c->arena, d.n / 8 + 1);
	out->has = arena_alloc(c->arena, d.facts.n_members + 1);
	scope_take(&d, scope, out);
	decided_release(&d);
	return ERR_OK;
}
