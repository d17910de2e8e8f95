/* licence.c - the matrix as tables, and what follows from it: folding, blockers, shards, notices. */
#include <stdio.h>

#include "policy/internal.h"

enum { OUTPUTS = 16, FIRST_OUTPUT = 1, LAST_OUTPUT = 12 };

/* A cell that licences.def does not have is NO, without a source. */
#define CELL(in, out, mark, source) [POLICY_LICENCE_##in][POLICY_LICENCE_##out] = POLICY_CELL_##mark,
static const uint8_t cells[POLICY_LICENCE_COUNT][OUTPUTS] = {
#include "policy/licences.def"
};
#define CELL(in, out, mark, source) [POLICY_LICENCE_##in][POLICY_LICENCE_##out] = (source),
static const char *const sources[POLICY_LICENCE_COUNT][OUTPUTS] = {
#include "policy/licences.def"
};
#define LICENCE(symbol, spdx, name, url, duties, shares, credit) \
	[POLICY_LICENCE_##symbol] = {(spdx), (name), (url), (duties), (shares), (credit)},
static const struct policy_licence licences[POLICY_LICENCE_COUNT] = {
#include "policy/licences.def"
};

const struct policy_licence *policy_licence_get(unsigned licence)
{
	return &licences[licence < POLICY_LICENCE_COUNT ? licence : POLICY_LICENCE_UNKNOWN];
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

unsigned policy_licence_find(const char *spdx, size_t len)
{
	for (unsigned i = 1; i < POLICY_LICENCE_COUNT; i++) {
		const char *id = licences[i].spdx;
		size_t at = 0;
		while (at < len && id[at] && lower(id[at]) == lower(spdx[at]))
			at++;
		if (at == len && id[at] == '\0')
			return i;
	}
	return POLICY_LICENCE_UNKNOWN;
}

enum policy_cell policy_licence_cell(unsigned in, unsigned out)
{
	return in < POLICY_LICENCE_COUNT && out < OUTPUTS ? (enum policy_cell)cells[in][out] : POLICY_CELL_NO;
}

const char *policy_licence_source(unsigned in, unsigned out)
{
	const char *source = in < POLICY_LICENCE_COUNT && out < OUTPUTS ? sources[in][out] : NULL;
	return source ? source : "";
}

uint32_t policy_licence_outputs(unsigned licence, unsigned marks)
{
	uint32_t outputs = 0;
	for (unsigned out = FIRST_OUTPUT; out <= LAST_OUTPUT; out++)
		if (marks >> policy_licence_cell(licence, out) & 1)
			outputs |= 1u << out;
	return outputs;
}

uint32_t policy_licence_fold(uint64_t pool)
{
	uint32_t outputs = POLICY_OUTPUTS_ALL;
	for (unsigned i = 0; i < POLICY_LICENCE_MAX; i++)
		if (pool >> i & 1)
			outputs &= policy_licence_outputs(i, POLICY_CELLS_PASS);
	return outputs;
}

uint16_t policy_licence_duties(uint64_t pool)
{
	uint16_t duties = 0;
	for (unsigned i = 0; i < POLICY_LICENCE_COUNT; i++)
		if (pool >> i & 1)
			duties |= licences[i].duties;
	return duties;
}

/* How far a cell is from a plain yes: nothing to do, something to carry, something to keep beside. */
static unsigned burden(unsigned in, unsigned out)
{
	switch (policy_licence_cell(in, out)) {
	case POLICY_CELL_YES:
		return 0;
	case POLICY_CELL_CARRY:
	case POLICY_CELL_TEXT:
		return 1;
	default:
		return 2;
	}
}

unsigned policy__burden_of(uint64_t pool, unsigned out)
{
	unsigned sum = 0;
	for (unsigned i = 0; i < POLICY_LICENCE_COUNT; i++)
		if (pool >> i & 1)
			sum += burden(i, out);
	return sum;
}

static uint32_t fold_wanted(uint64_t pool, uint32_t wanted)
{
	return policy_licence_fold(pool) & wanted;
}

/* The next number with as many bits set (Gosper). */
static uint64_t next_of_size(uint64_t set)
{
	uint64_t low = set & (0 - set), ripple = set + low;
	return ripple | ((set ^ ripple) >> 2) / low;
}

static bool holds_a_blocker(const struct policy_plan *plan, uint64_t set)
{
	for (size_t i = 0; i < plan->n_blockers; i++)
		if ((set & plan->blockers[i]) == plan->blockers[i])
			return true;
	return false;
}

/* All minimal sets that fold to nothing, smallest first. Every member of one takes away an output that the
 * others leave, so none is larger than the number of outputs. */
static void find_blockers(const unsigned *pool, unsigned n, uint32_t wanted, struct policy_plan *plan)
{
	for (unsigned size = 1; size <= n && size <= LAST_OUTPUT; size++)
		for (uint64_t pick = (UINT64_C(1) << size) - 1; pick < UINT64_C(1) << n; pick = next_of_size(pick)) {
			uint64_t set = 0;
			for (unsigned i = 0; i < n; i++)
				if (pick >> i & 1)
					set |= UINT64_C(1) << pool[i];
			if (holds_a_blocker(plan, set) || fold_wanted(set, wanted) != 0)
				continue;
			if (plan->n_blockers == POLICY_BLOCKERS_MAX)
				return;
			plan->blockers[plan->n_blockers++] = set;
		}
}

/* The output of `chosen` that is least burden to one licence; 0 if none takes it. */
static unsigned best_output(unsigned licence, uint32_t chosen)
{
	unsigned best = 0;
	uint32_t open = policy_licence_outputs(licence, POLICY_CELLS_PASS) & chosen;
	for (unsigned out = FIRST_OUTPUT; out <= LAST_OUTPUT; out++)
		if (open >> out & 1 && (best == 0 || burden(licence, out) < burden(licence, best)))
			best = out;
	return best;
}

/* The burden of a set of outputs that takes every licence; UINT_MAX if it does not. */
static unsigned cover_burden(uint64_t pool, uint32_t chosen)
{
	unsigned sum = 0;
	for (unsigned i = 0; i < POLICY_LICENCE_COUNT; i++) {
		if (!(pool >> i & 1))
			continue;
		unsigned out = best_output(i, chosen);
		if (out == 0)
			return UINT_MAX;
		sum += burden(i, out);
	}
	return sum;
}

static uint32_t best_cover(uint64_t pool, uint32_t wanted)
{
	uint32_t best = 0;
	unsigned best_size = UINT_MAX, best_sum = UINT_MAX;
	for (uint32_t chosen = 2; chosen <= POLICY_OUTPUTS_ALL; chosen += 2) {
		if (chosen & ~wanted)
			continue;
		unsigned size = (unsigned)__builtin_popcount(chosen);
		if (size > best_size)
			continue;
		unsigned sum = cover_burden(pool, chosen);
		if (sum == UINT_MAX || (size == best_size && sum >= best_sum))
			continue;
		best = chosen;
		best_size = size;
		best_sum = sum;
	}
	return best;
}

static void fill_shards(const uint64_t *items, uint64_t pool, uint32_t wanted, struct policy_plan *plan)
{
	uint32_t cover = pool ? best_cover(pool, wanted) : 0;
	for (unsigned out = FIRST_OUTPUT; out <= LAST_OUTPUT; out++) {
		struct policy_shard shard = {0};
		for (unsigned i = 0; cover >> out & 1 && i < POLICY_LICENCE_COUNT; i++)
			if (pool >> i & 1 && best_output(i, cover) == out) {
				shard.licences |= UINT64_C(1) << i;
				shard.items += items[i];
			}
		if (shard.licences == 0)
			continue;
		shard.outputs = fold_wanted(shard.licences, wanted);
		for (unsigned o = FIRST_OUTPUT; o <= LAST_OUTPUT; o++)
			if (shard.outputs >> o & 1 &&
			    (shard.output == 0 || policy__burden_of(shard.licences, o) < policy__burden_of(shard.licences, shard.output)))
				shard.output = o;
		plan->shards[plan->n_shards++] = shard;
	}
}

void policy_licence_plan(const uint64_t items[POLICY_LICENCE_COUNT], uint32_t wanted, struct policy_plan *out)
{
	*out = (struct policy_plan){0};
	wanted &= POLICY_OUTPUTS_ALL;
	unsigned pool[POLICY_LICENCE_COUNT], n = 0;
	uint64_t all = 0, placeable = 0;
	for (unsigned i = 0; i < POLICY_LICENCE_COUNT; i++) {
		if (items[i] == 0)
			continue;
		pool[n++] = i;
		all |= UINT64_C(1) << i;
		if (fold_wanted(UINT64_C(1) << i, wanted))
			placeable |= UINT64_C(1) << i;
	}
	out->outcast = all & ~placeable;
	out->outputs = fold_wanted(all, wanted);
	find_blockers(pool, n, wanted, out);
	fill_shards(items, placeable, wanted, out);
	out->duties = policy_licence_duties(placeable);
}

/* Text into a caller's buffer of any size, counting what it would take. */
struct writer {
	char *at;    /* buffer */
	size_t size; /* its size */
	size_t len;  /* bytes wanted so far */
};

static void say(struct writer *out, const char *before, const char *text, const char *after)
{
	size_t room = out->len < out->size ? out->size - out->len : 0;
	int wrote = snprintf(room ? out->at + out->len : NULL, room, "%s%s%s", before, text, after);
	out->len += wrote > 0 ? (size_t)wrote : 0;
}

static const char *carried(enum policy_cell cell)
{
	switch (cell) {
	case POLICY_CELL_YES:
		return "";
	case POLICY_CELL_CARRY:
		return "Its attribution and notices are carried with each item.";
	case POLICY_CELL_TEXT:
		return "Its text is shipped with this release.";
	case POLICY_CELL_BESIDE:
		return "It continues to apply to these items beside the licence of this release.";
	default:
		return "These items cannot be under the licence of this release without further permission.";
	}
}

size_t policy_licence_notice(uint64_t pool, unsigned output, char *at, size_t size)
{
	struct writer out = {at, size, 0};
	if (output >= FIRST_OUTPUT && output <= LAST_OUTPUT) {
		say(&out, "This release is under ", licences[output].name, " (");
		say(&out, "", licences[output].spdx, "), ");
		say(&out, "", licences[output].url, ".\n");
	} else {
		say(&out, "", "Every item in this release keeps its own licence.", "\n");
	}
	for (unsigned i = 1; i < POLICY_LICENCE_COUNT; i++) {
		if (!(pool >> i & 1) || i == output)
			continue;
		say(&out, "\nSome items come from ", licences[i].name, " (");
		say(&out, "", licences[i].spdx, "), ");
		say(&out, "", licences[i].url, ".\n");
		if (output >= FIRST_OUTPUT && output <= LAST_OUTPUT && *carried(policy_licence_cell(i, output)))
			say(&out, "", carried(policy_licence_cell(i, output)), "\n");
		if (licences[i].duties & POLICY_BIT(POLICY_DUTY_CREDIT))
			say(&out, "", "Credit each contributor as the item's attribution line says.", "\n");
		if (licences[i].duties & POLICY_BIT(POLICY_DUTY_SHARE_ALIKE))
			say(&out, "", "Adaptations must be shared under the same terms.", "\n");
	}
	return out.len;
}
