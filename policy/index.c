/*
 * index.c - who said what: statements sorted by author and into the order of speech.
 *
 * Members' own statements are found by counting (there may be millions); the rest are few and sorted. What
 * is unsound is noted on whom it touches; what cannot be pinned on anyone holds everything.
 */
#include "policy/internal.h"

static bool less_speech(const void *ctx, uint32_t a, uint32_t b)
{
	return policy__speech_before(policy__statement(ctx, a), policy__statement(ctx, b));
}

static bool less_item(const void *ctx, uint32_t a, uint32_t b)
{
	const struct policy_statement *x = policy__statement(ctx, a), *y = policy__statement(ctx, b);
	return x->item != y->item ? x->item < y->item : policy__speech_before(x, y);
}

static bool less_subject(const void *ctx, uint32_t a, uint32_t b)
{
	const struct policy_statement *x = policy__statement(ctx, a), *y = policy__statement(ctx, b);
	return x->subject != y->subject ? x->subject < y->subject : policy__speech_before(x, y);
}

/* Where a sound statement of the facts belongs; false if its author cannot be. */
static bool bucket_of(const struct policy_rows *rows, const struct policy_statement *s, enum policy__bucket *bucket)
{
	switch (s->layer) {
	case POLICY_LAYER_LAW:
	case POLICY_LAYER_ITEM:
	case POLICY_LAYER_SUBJECT:
		*bucket = s->selector == POLICY_SELECT_ITEM ? POLICY__ON_ITEM : POLICY__OWN;
		return s->subject < rows->facts.n_members;
	case POLICY_LAYER_DELEGATE:
		*bucket = POLICY__DELEGATE;
		return s->subject < rows->facts.n_members || s->subject == POLICY_BOARD;
	case POLICY_LAYER_SUBGROUP:
		*bucket = POLICY__GROUP;
		return s->subject != 0;
	default:
		return false;
	}
}

/* Hold whomever an unsound statement touches. */
static void blame(struct policy_rows *rows, const struct policy_statement *s)
{
	size_t n = rows->facts.n_members;
	if (s->layer <= POLICY_LAYER_SUBJECT && s->subject < n)
		rows->faulty[s->subject] |= 1;
	else if (s->layer == POLICY_LAYER_DELEGATE && (s->subject < n || s->subject == POLICY_BOARD))
		rows->faulty[s->subject < n ? s->subject : n] |= 2;
	else
		rows->all_faulty = true;
}

bool policy__place(const struct policy_rows *rows, const struct policy_statement *s, enum policy__bucket *bucket)
{
	return policy__statement_sound(s) && s->layer < POLICY_LAYER_COOP && bucket_of(rows, s, bucket);
}

static void count(struct policy_rows *rows, struct policy_faults *faults)
{
	for (size_t i = 0; i < rows->facts.n_statements; i++) {
		const struct policy_statement *s = &rows->facts.statements[i];
		enum policy__bucket bucket = POLICY__OWN;
		if (!policy__place(rows, s, &bucket)) {
			policy__fault(faults, POLICY_FAULT_FACT_STATEMENT, i);
			blame(rows, s);
			continue;
		}
		rows->kinds_matter |= s->selector == POLICY_SELECT_KIND;
		if (bucket == POLICY__OWN)
			rows->own_start[s->subject + 1]++;
		else if (bucket == POLICY__ON_ITEM)
			rows->n_on_item++;
		else if (bucket == POLICY__DELEGATE)
			rows->n_delegates++;
		else
			rows->n_groups++;
	}
}

static void place(struct policy_rows *rows)
{
	size_t on_item = 0, delegates = 0, groups = 0;
	for (uint32_t i = 0; i < rows->facts.n_statements; i++) {
		const struct policy_statement *s = &rows->facts.statements[i];
		enum policy__bucket bucket = POLICY__OWN;
		if (!policy__place(rows, s, &bucket))
			continue;
		if (bucket == POLICY__OWN)
			rows->own[rows->own_start[s->subject]++] = i;
		else if (bucket == POLICY__ON_ITEM)
			rows->on_item[on_item++] = i;
		else if (bucket == POLICY__DELEGATE)
			rows->delegates[delegates++] = i;
		else
			rows->groups[groups++] = i;
	}
}

enum policy_status policy__index(struct policy_rows *rows, struct policy_mem *mem, struct policy_faults *faults)
{
	size_t n = rows->facts.n_members, n_defaults = rows->program->spec.n_defaults;
	rows->own_start = policy__zalloc(mem, n + 2, sizeof *rows->own_start);
	rows->defaults = policy__alloc(mem, n_defaults, sizeof *rows->defaults);
	if (!rows->own_start || !rows->defaults)
		return POLICY_NO_MEMORY;
	count(rows, faults);
	uint32_t largest = 0;
	for (size_t m = 0; m < n; m++) {
		if (rows->own_start[m + 1] > largest)
			largest = rows->own_start[m + 1];
		rows->own_start[m + 1] += rows->own_start[m];
	}
	size_t most = largest;
	const size_t others[] = {rows->n_on_item, rows->n_delegates, rows->n_groups, n_defaults};
	for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
		most = others[i] > most ? others[i] : most;
	rows->own = policy__alloc(mem, rows->own_start[n], sizeof *rows->own);
	rows->on_item = policy__alloc(mem, rows->n_on_item, sizeof *rows->on_item);
	rows->delegates = policy__alloc(mem, rows->n_delegates, sizeof *rows->delegates);
	rows->groups = policy__alloc(mem, rows->n_groups, sizeof *rows->groups);
	rows->gather = policy__alloc(mem, most + POLICY_ROWS_SPARE, sizeof *rows->gather);
	if (!rows->own || !rows->on_item || !rows->delegates || !rows->groups || !rows->gather)
		return POLICY_NO_MEMORY;
	place(rows);
	/* Placing moved every start to its end, which is the next one's start. */
	memmove(rows->own_start + 1, rows->own_start, n * sizeof *rows->own_start);
	rows->own_start[0] = 0;
	for (size_t m = 0; m < n; m++)
		policy__sort(rows->own + rows->own_start[m], rows->own_start[m + 1] - rows->own_start[m], less_speech, rows);
	policy__sort(rows->on_item, rows->n_on_item, less_item, rows);
	policy__sort(rows->delegates, rows->n_delegates, less_subject, rows);
	policy__sort(rows->groups, rows->n_groups, less_subject, rows);
	for (uint32_t i = 0; i < n_defaults; i++) {
		rows->defaults[i] = POLICY_REF_DEFAULTS + i;
		rows->kinds_matter |= rows->program->spec.defaults[i].selector == POLICY_SELECT_KIND;
	}
	policy__sort(rows->defaults, n_defaults, less_speech, rows);
	return POLICY_OK;
}

void policy__resort_own(struct policy_rows *rows, uint32_t member)
{
	policy__sort(rows->own + rows->own_start[member], rows->own_start[member + 1] - rows->own_start[member], less_speech,
	             rows);
	policy__sort(rows->on_item, rows->n_on_item, less_item, rows);
	policy__sort(rows->delegates, rows->n_delegates, less_subject, rows);
}

/* ---- Finding an author's statements ---------------------------------------------------------------- */

static uint32_t author_of(const struct policy_statement *s, enum policy__bucket bucket)
{
	return bucket == POLICY__ON_ITEM ? s->item : s->subject;
}

/* The run of `who` in a list sorted by author. */
static struct policy__refs run_of(const struct policy_rows *rows, const uint32_t *list, size_t n,
                                  enum policy__bucket bucket, uint32_t who)
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (author_of(policy__statement(rows, list[mid]), bucket) < who)
			low = mid + 1;
		else
			high = mid;
	}
	while (high < n && author_of(policy__statement(rows, list[high]), bucket) == who)
		high++;
	return (struct policy__refs){list + low, high - low};
}

static struct policy__refs built(const struct policy_rows *rows, enum policy__bucket bucket, uint32_t who)
{
	switch (bucket) {
	case POLICY__OWN:
		return (struct policy__refs){rows->own + rows->own_start[who], rows->own_start[who + 1] - rows->own_start[who]};
	case POLICY__ON_ITEM:
		return run_of(rows, rows->on_item, rows->n_on_item, bucket, who);
	case POLICY__DELEGATE:
		return run_of(rows, rows->delegates, rows->n_delegates, bucket, who);
	case POLICY__GROUP:
		return run_of(rows, rows->groups, rows->n_groups, bucket, who);
	default:
		return (struct policy__refs){rows->defaults, rows->program->spec.n_defaults};
	}
}

struct policy__refs policy__author(const struct policy_rows *rows, enum policy__bucket bucket, uint32_t who)
{
	struct policy__refs refs = built(rows, bucket, who);
	size_t n = 0;
	for (uint32_t i = 0; i < rows->n_added; i++) {
		enum policy__bucket where = POLICY__OWN;
		const struct policy_statement *s = &rows->added[i];
		if (policy__place(rows, s, &where) && where == bucket && author_of(s, bucket) == who)
			rows->gather[refs.n + n++] = POLICY_REF_ADDED + i;
	}
	if (n == 0)
		return refs;
	memcpy(rows->gather, refs.at, refs.n * sizeof *refs.at);
	policy__sort(rows->gather, refs.n + n, less_speech, rows);
	return (struct policy__refs){rows->gather, refs.n + n};
}

/* ---- Sparse items ---------------------------------------------------------------------------------- */

size_t policy__sparse_from(const struct policy_rows *rows, uint32_t item)
{
	size_t low = 0, high = rows->n_sparse;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (rows->sparse[mid].item < item)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

const struct policy__sparse *policy__sparse_find(const struct policy_rows *rows, uint32_t item)
{
	size_t at = policy__sparse_from(rows, item);
	return at < rows->n_sparse && rows->sparse[at].item == item ? &rows->sparse[at] : NULL;
}
