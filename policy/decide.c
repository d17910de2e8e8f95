/*
 * decide.c - the loop over items.
 *
 * Columns in, columns out: six lookups and the member's row are OR-ed into one word of reasons, without a
 * branch that depends on the item. Items with facts of their own are few and sorted, so a cursor meets
 * them. Charter rules are evaluated for 64 items at a time.
 */
#include "policy/internal.h"

uint64_t policy_item_pack(const struct policy_item *item)
{
	bool fits = item->kind < 8 && item->licence < POLICY_LICENCE_MAX && item->moderation < 4 &&
	            !(item->flags & ~POLICY_ITEM_FLAGS) && item->created <= ((INT64_C(1) << 32) - 1) * POLICY_SECOND;
	uint64_t word = (uint64_t)(item->kind & 7) | (uint64_t)(item->licence & 63) << POLICY_ITEM_LICENCE_SHIFT |
	                (uint64_t)(item->moderation & 3) << POLICY_ITEM_MODERATION_SHIFT | (item->flags & POLICY_ITEM_FLAGS) |
	                (uint64_t)item->region << POLICY_ITEM_REGION_SHIFT;
	word |= (policy__first_second(item->created) & UINT32_MAX) << POLICY_ITEM_CREATED_SHIFT;
	return fits ? word : word | POLICY_ITEM_RESERVED;
}

struct policy_item policy_item_unpack(uint64_t word, uint64_t more, uint32_t member)
{
	return (struct policy_item){
		.member = member,
		.flags = (uint32_t)word & POLICY_ITEM_FLAGS,
		.kind = word & 7,
		.licence = word >> POLICY_ITEM_LICENCE_SHIFT & 63,
		.moderation = word >> POLICY_ITEM_MODERATION_SHIFT & 3,
		.region = (uint8_t)(word >> POLICY_ITEM_REGION_SHIFT),
		.created = (policy_instant)(word >> POLICY_ITEM_CREATED_SHIFT) * POLICY_SECOND,
		.more = more,
	};
}

/* What the item says of itself, without its people. `regions` and `n_breaks` are constants where it matters, so
 * that what a release does not ask for costs nothing. */
static inline __attribute__((always_inline)) policy_reasons of_item(const struct policy_program *program, uint64_t word,
                                                                    bool regions, size_t n_breaks)
{
	policy_reasons r = program->by_low[word & 2047] | program->by_flags[word >> 11 & 511] | program->by_high[word >> 21 & 7];
	if (regions)
		r |= program->by_region[word >> POLICY_ITEM_REGION_SHIFT & 255];
	r |= (program->credit >> (word >> POLICY_ITEM_LICENCE_SHIFT & 63) & ~(word >> 20) & 1)
	     << POLICY_REASON_NO_ATTRIBUTION_MISSING;
	const uint64_t second = word >> POLICY_ITEM_CREATED_SHIFT;
	size_t segment = 0;
	for (size_t b = 0; b < n_breaks; b += 4)
		segment += (size_t)(second >= program->breaks[b]) + (second >= program->breaks[b + 1]) +
		           (second >= program->breaks[b + 2]) + (second >= program->breaks[b + 3]);
	return r | program->by_time[segment][word & 7];
}

policy_reasons policy__item_reasons(const struct policy_program *program, uint64_t word)
{
	return of_item(program, word, true, program->n_breaks);
}

static policy_reasons of_sparse(const struct policy__sparse *item, uint64_t word, uint32_t member)
{
	bool agrees = item->member == member && item->kind == (word & 7);
	return agrees ? item->row.reasons : POLICY_REASON(ENGINE_ERROR) | item->row.reasons;
}

static void apply_rules(const struct policy_program *program, const uint64_t *words, const uint64_t *more, size_t n,
                        policy_reasons *reasons)
{
	uint64_t holds[POLICY_NODES_MAX];
	const struct policy_spec *spec = &program->spec;
	if (program->needs_more && !more) {
		for (size_t i = 0; i < n; i++)
			reasons[i] |= POLICY_REASON(ENGINE_ERROR);
		return;
	}
	policy__nodes_eval(spec->nodes, program->marked, program->n_nodes, words, more, n, holds);
	uint64_t deny = 0, hold = 0;
	for (size_t r = 0; r < program->n_rules; r++) {
		const struct policy_rule *rule = &spec->rules[program->rules[r]];
		if (rule->effect == POLICY_EXCLUDE)
			deny |= holds[rule->root];
		else
			hold |= holds[rule->root];
	}
	for (size_t i = 0; i < n; i++)
		reasons[i] |= (deny >> i & 1) << POLICY_REASON_NO_CHARTER_DENY | (hold >> i & 1) << POLICY_REASON_NO_CHARTER_HOLD;
}

void policy_outcomes(const policy_reasons *reasons, size_t n, uint8_t *outcomes)
{
	for (size_t i = 0; i < n; i++)
		outcomes[i] = policy__outcome(reasons[i]);
}

/* Items that stay in the first-level cache until their outcomes are written. */
enum { STRETCH = 1024 };

static inline __attribute__((always_inline)) void decide_stretch(const struct policy_program *program,
                                                                 const struct policy_rows *rows, const uint64_t *words,
                                                                 const uint32_t *members, size_t n, bool regions,
                                                                 size_t n_breaks, policy_reasons *reasons)
{
	const uint32_t *class_of = rows->class_of;
	const policy_reasons(*hot)[POLICY__KINDS] = (const policy_reasons(*)[POLICY__KINDS])rows->hot;
	const size_t n_members = rows->facts.n_members;
	for (size_t i = 0; i < n; i++) {
		const uint32_t class = members[i] < n_members ? class_of[members[i]] : 0;
		reasons[i] = of_item(program, words[i], regions, n_breaks) | hot[class][words[i] & 7];
	}
}

static void decide_plain(const struct policy_program *program, const struct policy_rows *rows, const uint64_t *words,
                         const uint32_t *members, size_t n, policy_reasons *reasons)
{
	if (!program->regions_matter && program->n_breaks == 4)
		decide_stretch(program, rows, words, members, n, false, 4, reasons);
	else
		decide_stretch(program, rows, words, members, n, true, program->n_breaks, reasons);
}

void policy_decide_batch(const struct policy_program *program, const struct policy_rows *rows,
                         const struct policy_batch *batch, uint8_t *outcomes, policy_reasons *reasons)
{
	const uint64_t *words = batch->words;
	const uint32_t *members = batch->members;
	size_t next = policy__sparse_from(rows, batch->base);
	for (size_t from = 0, n; from < batch->n; from += n) {
		n = batch->n - from < STRETCH ? batch->n - from : STRETCH;
		decide_plain(program, rows, words + from, members + from, n, reasons + from);
		for (; next < rows->n_sparse; next++) {
			size_t i = rows->sparse[next].item - batch->base;
			if (i >= from + n)
				break;
			reasons[i] = policy__item_reasons(program, words[i]) | of_sparse(&rows->sparse[next], words[i], members[i]);
		}
		for (size_t i = from; program->n_rules && i < from + n; i += POLICY__BLOCK)
			apply_rules(program, words + i, batch->more ? batch->more + i : NULL,
			            from + n - i < POLICY__BLOCK ? from + n - i : POLICY__BLOCK, reasons + i);
		if (outcomes)
			policy_outcomes(reasons + from, n, outcomes + from);
	}
}

policy_reasons policy_decide_one(const struct policy_program *program, const struct policy_rows *rows, uint32_t item,
                                 uint64_t word, uint64_t more, uint32_t member)
{
	policy_reasons reasons = 0;
	const struct policy_batch batch = {&word, &member, &more, 1, item};
	policy_decide_batch(program, rows, &batch, NULL, &reasons);
	return reasons;
}

uint16_t policy_item_duties(const struct policy_program *program, const struct policy_rows *rows, uint32_t item,
                            uint64_t word, uint32_t member)
{
	(void)program;
	const struct policy__sparse *sparse = policy__sparse_find(rows, item);
	uint16_t duties = sparse ? sparse->row.duties : policy_rows_get(rows, member, word & 7).duties;
	return duties | policy_licence_get(word >> POLICY_ITEM_LICENCE_SHIFT & 63)->duties;
}
