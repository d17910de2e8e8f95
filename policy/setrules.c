/*
 * setrules.c - rules over the whole set: they only remove, and run until nothing changes.
 *
 * Each round, in this order: one output licence for the pool, k in every stratum, k in the whole and the
 * pledge, the volume cap. What is removed makes the next round's set smaller, so it ends; a place that
 * becomes free is not filled again.
 */
#include "policy/internal.h"

/* The set and the scratch of one run. */
struct run {
	const struct policy_program *program; /* whose rules */
	const struct policy_set *set;         /* the columns */
	policy_reasons *reasons;              /* what is added to */
	uint32_t *seen;                       /* by member: stamp of the group in which it was last seen */
	uint32_t *order;                      /* positions by stratum; or NULL */
	uint32_t *start;                      /* by stratum: where it begins in `order` */
	uint32_t *counts;                     /* histogram for a cap; or NULL */
	const struct policy_toggle *touched;  /* whose items a cap is about; NULL: all */
	uint64_t *keys;                       /* by position: place in the order of a cap; or NULL */
	uint32_t stamp;                       /* last stamp given out */
};

enum { STRATA = 1 << 16, DIGIT = 1 << 16 };

static bool is_in(policy_reasons reasons)
{
	return policy__outcome(reasons) <= POLICY_CONDITIONAL;
}

/* Whether this item's member is new to the group of the current stamp. Members out of range are nobody. */
static bool first_seen(struct run *run, size_t i)
{
	uint32_t member = run->set->members[i];
	if (member >= run->set->n_members || run->seen[member] == run->stamp)
		return false;
	run->seen[member] = run->stamp;
	return true;
}

static uint64_t contributors(struct run *run)
{
	uint64_t n = 0;
	run->stamp++;
	for (size_t i = 0; i < run->set->n; i++)
		n += is_in(run->reasons[i]) && first_seen(run, i);
	return n;
}

static bool remove_all(struct run *run, policy_reasons reason)
{
	bool removed = false;
	for (size_t i = 0; i < run->set->n; i++)
		if (is_in(run->reasons[i])) {
			run->reasons[i] |= reason;
			removed = true;
		}
	return removed;
}

static bool apply_k(struct run *run)
{
	const struct policy_spec *spec = &run->program->spec;
	if (spec->k_contributors <= 1 && spec->assurance == 0)
		return false;
	uint64_t n = contributors(run);
	policy_reasons reason = 0;
	if (spec->k_contributors > 1 && n < spec->k_contributors)
		reason |= POLICY_REASON(K_MIN);
	if (n < spec->assurance)
		reason |= POLICY_REASON(ASSURANCE_UNMET);
	return reason != 0 && remove_all(run, reason);
}

static void order_by_stratum(struct run *run)
{
	const struct policy_set *set = run->set;
	for (size_t i = 0; i < set->n; i++)
		run->start[set->strata[i] + 1]++;
	for (size_t s = 0; s < STRATA; s++)
		run->start[s + 1] += run->start[s];
	for (uint32_t i = 0; i < set->n; i++)
		run->order[run->start[set->strata[i]]++] = i;
	memmove(run->start + 1, run->start, STRATA * sizeof *run->start);
	run->start[0] = 0;
}

static bool apply_strata(struct run *run)
{
	bool removed = false;
	for (size_t s = 0; run->order && s < STRATA; s++) {
		uint64_t n = 0, items = 0;
		run->stamp++;
		for (size_t j = run->start[s]; j < run->start[s + 1]; j++)
			if (is_in(run->reasons[run->order[j]])) {
				items++;
				n += first_seen(run, run->order[j]);
			}
		if (items == 0 || n >= run->program->spec.k_stratum)
			continue;
		for (size_t j = run->start[s]; j < run->start[s + 1]; j++)
			if (is_in(run->reasons[run->order[j]]))
				run->reasons[run->order[j]] |= POLICY_REASON(K_MIN);
		removed = true;
	}
	return removed;
}

static unsigned licence_at(const struct run *run, size_t i)
{
	return run->set->words[i] >> POLICY_ITEM_LICENCE_SHIFT & (POLICY_LICENCE_MAX - 1);
}

static void count_licences(const struct run *run, uint64_t counts[POLICY_LICENCE_MAX], uint64_t *pool)
{
	memset(counts, 0, POLICY_LICENCE_MAX * sizeof *counts);
	for (size_t i = 0; i < run->set->n; i++)
		if (is_in(run->reasons[i]))
			counts[licence_at(run, i)]++;
	*pool = 0;
	for (unsigned l = 0; l < POLICY_LICENCE_MAX; l++)
		*pool |= (uint64_t)(counts[l] != 0) << l;
}

/* The wanted output that keeps most items. */
static unsigned best_output(const uint64_t counts[POLICY_LICENCE_MAX], uint32_t wanted)
{
	unsigned best = 0;
	uint64_t most = 0;
	for (unsigned out = 1; out < 16; out++) {
		uint64_t kept = 0;
		for (unsigned l = 0; wanted >> out & 1 && l < POLICY_LICENCE_COUNT; l++)
			if (policy_licence_outputs(l, POLICY_CELLS_PASS) >> out & 1)
				kept += counts[l];
		if (kept > most) {
			best = out;
			most = kept;
		}
	}
	return best;
}

static bool apply_pool(struct run *run)
{
	const struct policy_spec *spec = &run->program->spec;
	uint64_t counts[POLICY_LICENCE_MAX], pool;
	if (spec->licence_mode != POLICY_ADAPTATION)
		return false;
	count_licences(run, counts, &pool);
	if (policy_licence_fold(pool) & spec->outputs)
		return false;
	unsigned output = best_output(counts, spec->outputs);
	for (size_t i = 0; i < run->set->n; i++)
		if (is_in(run->reasons[i]) && !(policy_licence_outputs(licence_at(run, i), POLICY_CELLS_PASS) >> output & 1))
			run->reasons[i] |= POLICY_REASON(LIC_INCOMPATIBLE);
	return true;
}

/* An item's place in the order of a cap: the first eight bytes of SHA-256(seed, id), so that anyone can check. */
static uint64_t key_of(const struct policy_spec *spec, const uint8_t id[16])
{
	struct policy__sha sha;
	uint8_t hash[32];
	policy__sha_init(&sha);
	policy__sha_add(&sha, spec->seed, sizeof spec->seed);
	policy__sha_add(&sha, id, 16);
	policy__sha_end(&sha, hash);
	uint64_t key = 0;
	for (int i = 0; i < 8; i++)
		key = key << 8 | hash[i];
	return key;
}

/* Whether an item is in, and one that the cap at hand is about. */
static bool is_capped(const struct run *run, size_t i)
{
	const struct policy_toggle *t = run->touched;
	if (!is_in(run->reasons[i]))
		return false;
	if (!t)
		return true;
	uint64_t second = run->set->words[i] >> POLICY_ITEM_CREATED_SHIFT;
	return t->kinds >> (run->set->words[i] & 7) & 1 && second >= policy__first_second(t->since) && second < policy__first_second(t->until);
}

/* The rank-th smallest key (from 0) of what is capped, and how many of that very key come before the rank. */
static uint64_t select_key(struct run *run, uint64_t rank, uint64_t *same_before)
{
	uint64_t prefix = 0, known = 0;
	for (int shift = 48; shift >= 0; shift -= 16) {
		memset(run->counts, 0, DIGIT * sizeof *run->counts);
		for (size_t i = 0; i < run->set->n; i++)
			if (is_capped(run, i) && (run->keys[i] & known) == prefix)
				run->counts[run->keys[i] >> shift & (DIGIT - 1)]++;
		uint64_t digit = 0;
		while (rank >= run->counts[digit])
			rank -= run->counts[digit++];
		prefix |= digit << shift;
		known |= (uint64_t)(DIGIT - 1) << shift;
	}
	*same_before = rank;
	return prefix;
}

static bool make_keys(struct run *run, struct policy_mem *mem)
{
	if (run->keys)
		return true;
	run->keys = policy__alloc(mem, run->set->n, sizeof *run->keys);
	run->counts = policy__alloc(mem, DIGIT, sizeof *run->counts);
	return run->keys && run->counts;
}

/* Keeps at most `cap` of the items that `touched` is about: the first in the order of the keys. */
static enum policy_status apply_cap(struct run *run, const struct policy_toggle *touched, uint64_t cap, struct policy_mem *mem, bool *removed)
{
	const struct policy_set *set = run->set;
	uint64_t n = 0, same = 0, limit = 0;
	run->touched = touched;
	for (size_t i = 0; i < set->n; i++)
		n += is_capped(run, i);
	if (n <= cap)
		return POLICY_OK;
	*removed = true;
	bool none = !set->ids || cap == 0;
	if (!none) {
		if (!make_keys(run, mem))
			return POLICY_NO_MEMORY;
		for (size_t i = 0; i < set->n; i++)
			if (is_capped(run, i))
				run->keys[i] = key_of(&run->program->spec, set->ids[i]);
		limit = select_key(run, cap, &same);
	}
	for (size_t i = 0; i < set->n; i++) {
		if (!is_capped(run, i) || (!none && run->keys[i] < limit))
			continue;
		if (!none && run->keys[i] == limit && same > 0)
			same--;
		else
			run->reasons[i] |= POLICY_REASON(TOGGLE_CAP) | (set->ids ? 0 : POLICY_REASON(ENGINE_ERROR));
	}
	return POLICY_OK;
}

/* The release's own cap, then those by vote, in their order. */
static enum policy_status apply_caps(struct run *run, struct policy_mem *mem, bool *removed)
{
	const struct policy_spec *spec = &run->program->spec;
	enum policy_status status = apply_cap(run, NULL, run->program->cap, mem, removed);
	for (size_t i = 0; i < spec->n_toggles && status == POLICY_OK; i++)
		if (spec->toggles[i].kind == POLICY_TOGGLE_CAP)
			status = apply_cap(run, &spec->toggles[i], spec->toggles[i].cap, mem, removed);
	return status;
}

static void report_on(struct run *run, const uint8_t *outcomes, struct policy_set_report *report)
{
	uint64_t counts[POLICY_LICENCE_MAX], pool;
	for (size_t i = 0; i < run->set->n; i++) {
		report->outcomes[outcomes[i]]++;
		for (policy_reasons left = run->reasons[i]; left; left &= left - 1)
			report->reasons[__builtin_ctzll(left)]++;
	}
	report->contributors = contributors(run);
	count_licences(run, counts, &pool);
	report->licences = (uint32_t)pool;
	report->output = -1;
	if (run->program->spec.licence_mode != POLICY_ADAPTATION || pool == 0)
		return;
	report->outputs = policy_licence_fold(pool) & run->program->spec.outputs;
	for (unsigned out = 1; out < 16; out++)
		if (report->outputs >> out & 1 &&
		    (report->output < 0 || policy__burden_of(pool, out) < policy__burden_of(pool, (unsigned)report->output)))
			report->output = (int)out;
}

static bool prepare(struct run *run, struct policy_mem *mem)
{
	run->seen = policy__zalloc(mem, run->set->n_members, sizeof *run->seen);
	if (!run->seen)
		return false;
	if (run->program->spec.k_stratum <= 1)
		return true;
	run->order = policy__alloc(mem, run->set->n, sizeof *run->order);
	run->start = policy__zalloc(mem, STRATA + 1, sizeof *run->start);
	if (!run->order || !run->start)
		return false;
	order_by_stratum(run);
	return true;
}

enum policy_status policy_apply_set_rules(const struct policy_program *program, const struct policy_set *set,
                                          policy_reasons *reasons, uint8_t *outcomes, struct policy_mem *mem,
                                          struct policy_set_report *report)
{
	struct run run = {.program = program, .set = set, .reasons = reasons};
	*report = (struct policy_set_report){.output = -1};
	if (set->n >= UINT32_MAX || (program->spec.k_stratum > 1 && !set->strata))
		return POLICY_INVALID;
	if (!prepare(&run, mem))
		return POLICY_NO_MEMORY;
	for (bool removed = true; removed;) {
		removed = apply_pool(&run);
		removed |= apply_strata(&run);
		removed |= apply_k(&run);
		enum policy_status status = apply_caps(&run, mem, &removed);
		if (status != POLICY_OK)
			return status;
		report->rounds++;
	}
	policy_outcomes(reasons, set->n, outcomes);
	report_on(&run, outcomes, report);
	return POLICY_OK;
}

void policy_recheck(const policy_reasons *frozen, const policy_reasons *now, size_t n, policy_reasons *out,
                    uint8_t *outcomes, uint64_t *removed)
{
	uint64_t gone = 0;
	for (size_t i = 0; i < n; i++) {
		bool was_in = is_in(frozen[i]);
		out[i] = frozen[i] | now[i];
		gone += was_in && !is_in(out[i]);
	}
	policy_outcomes(out, n, outcomes);
	*removed = gone;
}
