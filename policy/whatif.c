/* whatif.c - what changes for the same items between two decisions, as counts and as a list. */
#include "policy/internal.h"

static bool is_in(policy_reasons reasons)
{
	return policy__outcome(reasons) <= POLICY_CONDITIONAL;
}

static void count_bits(uint64_t counts[64], policy_reasons reasons)
{
	for (; reasons; reasons &= reasons - 1)
		counts[__builtin_ctzll(reasons)]++;
}

enum policy_status policy_what_if(const uint32_t *members, const policy_reasons *before, const policy_reasons *after,
                                  size_t n, size_t n_members, struct policy_mem *mem, uint32_t *list, size_t cap,
                                  struct policy_change *out)
{
	enum { BEFORE = 1, AFTER = 2 };
	*out = (struct policy_change){0};
	uint8_t *has = policy__zalloc(mem, n_members, 1);
	if (!has)
		return POLICY_NO_MEMORY;
	for (size_t i = 0; i < n; i++) {
		bool was = is_in(before[i]), is = is_in(after[i]);
		out->moved[policy__outcome(before[i])][policy__outcome(after[i])]++;
		count_bits(out->reason_gained, after[i] & ~before[i]);
		count_bits(out->reason_lost, before[i] & ~after[i]);
		if (members[i] < n_members)
			has[members[i]] |= (uint8_t)((was ? BEFORE : 0) | (is ? AFTER : 0));
		if (was == is)
			continue;
		out->items_gained += is;
		out->items_lost += was;
		if (list && out->n_listed < cap)
			list[out->n_listed++] = (uint32_t)i;
	}
	for (size_t m = 0; m < n_members; m++) {
		out->members_gained += has[m] == AFTER;
		out->members_lost += has[m] == BEFORE;
	}
	return POLICY_OK;
}
