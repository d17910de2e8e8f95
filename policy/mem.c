/* mem.c - the fixed buffer as memory, the list of faults, and sorting that takes no memory of its own. */
#include "policy/internal.h"

enum { ALIGN = 16 };

static void *area_alloc(void *ctx, size_t size)
{
	struct policy_area *area = ctx;
	size_t at = ((uintptr_t)area->at + area->used + (ALIGN - 1)) / ALIGN * ALIGN - (uintptr_t)area->at;
	if (at > area->size || size > area->size - at)
		return NULL;
	area->used = at + size;
	return area->at + at;
}

void policy_area_init(struct policy_area *area, void *buffer, size_t size)
{
	*area = (struct policy_area){{area_alloc, area}, buffer, size, 0};
}

void *policy__alloc(struct policy_mem *mem, size_t n, size_t size)
{
	if (size != 0 && n > (SIZE_MAX / 2) / size)
		return NULL;
	size_t bytes = n * size;
	return mem->alloc(mem->ctx, bytes ? bytes : 1);
}

void *policy__zalloc(struct policy_mem *mem, size_t n, size_t size)
{
	void *at = policy__alloc(mem, n, size);
	if (at)
		memset(at, 0, n * size);
	return at;
}

void policy__fault(struct policy_faults *faults, unsigned code, size_t index)
{
	if (!faults)
		return;
	if (faults->n < faults->cap)
		faults->at[faults->n] = (struct policy_fault){code, (uint32_t)index};
	faults->n++;
}

static const struct {
	const char *where; /* the array or field */
	const char *text;  /* what is wrong with it */
} fault_words[POLICY_FAULT_COUNT] = {
#define X(sym, where, text) [POLICY_FAULT_##sym] = {where, text},
	POLICY_FAULTS(X)
#undef X
};

const char *policy_fault_where(unsigned code)
{
	return code < POLICY_FAULT_COUNT ? fault_words[code].where : NULL;
}

const char *policy_fault_text(unsigned code)
{
	return code < POLICY_FAULT_COUNT ? fault_words[code].text : NULL;
}

static void sift(uint32_t *at, size_t root, size_t n, policy__less *less, const void *ctx)
{
	for (size_t child; (child = 2 * root + 1) < n; root = child) {
		if (child + 1 < n && less(ctx, at[child], at[child + 1]))
			child++;
		if (!less(ctx, at[root], at[child]))
			return;
		uint32_t swap = at[root];
		at[root] = at[child];
		at[child] = swap;
	}
}

/* Insertion for the few, heap for the many: in place, without recursion, worst case n log n. */
void policy__sort(uint32_t *at, size_t n, policy__less *less, const void *ctx)
{
	if (n <= 16) {
		for (size_t i = 1; i < n; i++) {
			uint32_t moving = at[i];
			size_t j = i;
			for (; j > 0 && less(ctx, moving, at[j - 1]); j--)
				at[j] = at[j - 1];
			at[j] = moving;
		}
		return;
	}
	for (size_t i = n / 2; i-- > 0;)
		sift(at, i, n, less, ctx);
	for (size_t end = n; end-- > 1;) {
		uint32_t swap = at[0];
		at[0] = at[end];
		at[end] = swap;
		sift(at, 0, end, less, ctx);
	}
}
