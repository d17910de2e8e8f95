/*
 * merge.c - two co-ops' rules as one: the stricter of everything, and nobody's no is lost.
 *
 * Uses, purposes, outputs, kinds and regions are those of both; limits are the tighter; rules and controls of both
 * stand. A co-op's default permission binds its own members, not the other's: unless both have the very same
 * defaults, only denials are kept and silence is unknown.
 */
#include "policy/internal.h"

static void *join(struct policy_mem *mem, const void *a, size_t n_a, const void *b, size_t n_b, size_t size)
{
	uint8_t *both = policy__alloc(mem, n_a + n_b, size);
	if (!both)
		return NULL;
	if (n_a)
		memcpy(both, a, n_a * size);
	if (n_b)
		memcpy(both + n_a * size, b, n_b * size);
	return both;
}

/* A limit of which 0 means none: the smaller of those that are set. */
static uint64_t least_set(uint64_t a, uint64_t b)
{
	if (a == 0 || b == 0)
		return a ? a : b;
	return a < b ? a : b;
}

#define MOST(a, b) ((a) > (b) ? (a) : (b))
#define LEAST(a, b) ((a) < (b) ? (a) : (b))

/* The outputs that both accept. In a collection 0 stands for any licence. */
static uint32_t both_outputs(const struct policy_spec *a, const struct policy_spec *b, unsigned mode)
{
	const uint32_t any = (1u << POLICY_LICENCE_COUNT) - 2;
	uint32_t in_a = a->licence_mode == POLICY_COLLECTION && a->outputs == 0 ? any : a->outputs;
	uint32_t in_b = b->licence_mode == POLICY_COLLECTION && b->outputs == 0 ? any : b->outputs;
	if (mode == POLICY_COLLECTION && a->outputs == 0 && b->outputs == 0)
		return 0;
	uint32_t both = in_a & in_b & (mode == POLICY_ADAPTATION ? POLICY_OUTPUTS_ALL : any);
	return both ? both : 1u << POLICY_LICENCE_UNKNOWN; /* which compiling refuses, where 0 would mean any */
}

static void merge_scalars(const struct policy_spec *a, const struct policy_spec *b, struct policy_spec *out)
{
	*out = *a;
	out->uses = policy_uses_expand(a->uses) & policy_uses_expand(b->uses);
	out->uses_conditional = a->uses_conditional & b->uses_conditional;
	out->audience_duties = a->audience_duties & b->audience_duties;
	out->audience = LEAST(a->audience, b->audience);
	out->licence_mode = MOST(a->licence_mode, b->licence_mode);
	out->purposes = a->purposes & b->purposes;
	out->outputs = both_outputs(a, b, out->licence_mode);
	out->kinds = a->kinds & b->kinds;
	out->delegation_depth = LEAST(a->delegation_depth, b->delegation_depth);
	out->delegation_cap = (uint32_t)least_set(a->delegation_cap, b->delegation_cap);
	out->release_id = MOST(a->release_id, b->release_id);
	out->notice_min = MOST(a->notice_min, b->notice_min);
	out->k_contributors = MOST(a->k_contributors, b->k_contributors);
	out->k_stratum = MOST(a->k_stratum, b->k_stratum);
	out->assurance = MOST(a->assurance, b->assurance);
	out->volume_cap = LEAST(a->volume_cap, b->volume_cap);
	out->cutoff = LEAST(a->cutoff, b->cutoff);
	out->instant = MOST(a->instant, b->instant);
	out->embargo = MOST(a->embargo, b->embargo);
	out->retention = (int64_t)least_set((uint64_t)a->retention, (uint64_t)b->retention);
	for (int i = 0; i < 4; i++)
		out->regions[i] = a->regions[i] & b->regions[i];
	memcpy(out->seed, memcmp(a->seed, b->seed, sizeof a->seed) >= 0 ? a->seed : b->seed, sizeof out->seed);
}

static int compare_text(struct policy_text a, struct policy_text b)
{
	size_t n = LEAST(a.len, b.len);
	int differs = n ? memcmp(a.at, b.at, n) : 0;
	return differs ? differs : (a.len > b.len) - (a.len < b.len);
}

/* A total order of statements: by identifier, then by everything else. */
static int compare(const struct policy_statement *a, const struct policy_statement *b)
{
	const uint64_t x[] = {a->id, a->subject, a->item, a->uses, a->duties, a->effect, a->layer, a->selector, a->kind,
	                      a->purpose, a->audience, a->flags, a->revision, a->declared_by, a->via, (uint64_t)a->declared_at,
	                      (uint64_t)a->valid_from, (uint64_t)a->valid_to};
	const uint64_t y[] = {b->id, b->subject, b->item, b->uses, b->duties, b->effect, b->layer, b->selector, b->kind,
	                      b->purpose, b->audience, b->flags, b->revision, b->declared_by, b->via, (uint64_t)b->declared_at,
	                      (uint64_t)b->valid_from, (uint64_t)b->valid_to};
	for (size_t i = 0; i < sizeof x / sizeof x[0]; i++)
		if (x[i] != y[i])
			return x[i] < y[i] ? -1 : 1;
	return compare_text(a->verbatim, b->verbatim);
}

/* The rules of the second, moved behind the first's nodes. */
static bool merge_rules(const struct policy_spec *a, const struct policy_spec *b, struct policy_mem *mem,
                        struct policy_spec *out)
{
	struct policy_node *nodes = join(mem, a->nodes, a->n_nodes, b->nodes, b->n_nodes, sizeof *nodes);
	struct policy_rule *rules = join(mem, a->rules, a->n_rules, b->rules, b->n_rules, sizeof *rules);
	if (!nodes || !rules)
		return false;
	for (size_t i = a->n_nodes; i < a->n_nodes + b->n_nodes; i++)
		nodes[i].first = (uint16_t)(nodes[i].first + a->n_nodes);
	for (size_t i = a->n_rules; i < a->n_rules + b->n_rules; i++)
		rules[i].root = (uint16_t)(rules[i].root + a->n_nodes);
	out->nodes = nodes;
	out->n_nodes = a->n_nodes + b->n_nodes;
	out->rules = rules;
	out->n_rules = a->n_rules + b->n_rules;
	return true;
}

/* The defaults of both if they are the same; else the denials of both. */
static bool merge_defaults(const struct policy_spec *a, const struct policy_spec *b, struct policy_mem *mem,
                           struct policy_spec *out)
{
	bool same = a->n_defaults == b->n_defaults;
	for (size_t i = 0; same && i < a->n_defaults; i++)
		same = compare(&a->defaults[i], &b->defaults[i]) == 0;
	out->defaults = a->defaults;
	out->n_defaults = a->n_defaults;
	if (same)
		return true;
	struct policy_statement *denials = join(mem, a->defaults, a->n_defaults, b->defaults, b->n_defaults, sizeof *denials);
	if (!denials)
		return false;
	size_t n = 0;
	for (size_t i = 0; i < a->n_defaults + b->n_defaults; i++)
		if (denials[i].effect == POLICY_EFFECT_DENY)
			denials[n++] = denials[i];
	out->defaults = denials;
	out->n_defaults = n;
	return true;
}

enum policy_status policy_spec_merge(const struct policy_spec *a, const struct policy_spec *b, struct policy_mem *mem,
                                     struct policy_spec *out)
{
	merge_scalars(a, b, out);
	out->n_toggles = a->n_toggles + b->n_toggles;
	out->toggles = join(mem, a->toggles, a->n_toggles, b->toggles, b->n_toggles, sizeof *a->toggles);
	if (a->n_nodes + b->n_nodes > POLICY_NODES_MAX)
		return POLICY_NO_ROOM;
	return out->toggles && merge_defaults(a, b, mem, out) && merge_rules(a, b, mem, out) ? POLICY_OK : POLICY_NO_MEMORY;
}

/* Sift of a heap of whole statements. */
static void sift(struct policy_statement *at, size_t root, size_t n)
{
	for (size_t child; (child = 2 * root + 1) < n; root = child) {
		if (child + 1 < n && compare(&at[child], &at[child + 1]) < 0)
			child++;
		if (compare(&at[root], &at[child]) >= 0)
			return;
		struct policy_statement swap = at[root];
		at[root] = at[child];
		at[child] = swap;
	}
}

static void sort(struct policy_statement *at, size_t n)
{
	for (size_t i = n / 2; i-- > 0;)
		sift(at, i, n);
	for (size_t end = n; end-- > 1;) {
		struct policy_statement swap = at[0];
		at[0] = at[end];
		at[end] = swap;
		sift(at, 0, end);
	}
}

size_t policy_statements_merge(const struct policy_statement *a, size_t n_a, const struct policy_statement *b, size_t n_b,
                               struct policy_statement *out)
{
	if (n_a)
		memcpy(out, a, n_a * sizeof *a);
	if (n_b)
		memcpy(out + n_a, b, n_b * sizeof *b);
	sort(out, n_a + n_b);
	size_t n = 0;
	for (size_t i = 0; i < n_a + n_b; i++)
		if (n == 0 || compare(&out[n - 1], &out[i]) != 0)
			out[n++] = out[i];
	return n;
}
