/*
 * rows.c - the members' side of every decision, worked out once.
 *
 * A member's row is reasons for each kind. Most members share theirs with many others, so a member is a
 * number of a class, and deciding an item touches four bytes of the member and one cache line of the class.
 */
#include "policy/internal.h"

/* ---- Classes --------------------------------------------------------------------------------------- */

enum { FIRST_CLASSES = 256 };

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 29;
}

static uint64_t hash_rows(const struct policy_row row[POLICY__KINDS])
{
	uint64_t hash = 0;
	for (size_t k = 0; k < POLICY__KINDS; k++) {
		hash = mix(hash, row[k].reasons);
		hash = mix(hash, (uint64_t)row[k].allow << 48 | (uint64_t)row[k].allow_if << 32 | (uint64_t)row[k].deny << 16 |
		                     row[k].unknown);
		hash = mix(hash, row[k].duties);
	}
	return hash;
}

static bool same_rows(const struct policy_row *a, const struct policy_row *b)
{
	for (size_t k = 0; k < POLICY__KINDS; k++)
		if (a[k].reasons != b[k].reasons || a[k].allow != b[k].allow || a[k].allow_if != b[k].allow_if ||
		    a[k].deny != b[k].deny || a[k].unknown != b[k].unknown || a[k].duties != b[k].duties)
			return false;
	return true;
}

static size_t slot_of(const struct policy_rows *rows, const struct policy_row *row)
{
	size_t slot = (size_t)hash_rows(row) & (rows->n_slots - 1);
	while (rows->slots[slot] && !same_rows(rows->cold[rows->slots[slot] - 1], row))
		slot = (slot + 1) & (rows->n_slots - 1);
	return slot;
}

/* Room for twice as many. The old blocks stay with the caller's memory. */
static bool grow(struct policy_rows *rows)
{
	uint32_t cap = rows->cap_classes ? rows->cap_classes * 2 : FIRST_CLASSES;
	policy_reasons(*hot)[POLICY__KINDS] = policy__alloc(rows->mem, cap, sizeof *hot);
	struct policy_row(*cold)[POLICY__KINDS] = policy__alloc(rows->mem, cap, sizeof *cold);
	uint32_t *slots = policy__zalloc(rows->mem, 2 * (size_t)cap, sizeof *slots);
	if (!hot || !cold || !slots)
		return false;
	if (rows->n_classes) {
		memcpy(hot, rows->hot, rows->n_classes * sizeof *hot);
		memcpy(cold, rows->cold, rows->n_classes * sizeof *cold);
	}
	rows->hot = hot;
	rows->cold = cold;
	rows->slots = slots;
	rows->n_slots = 2 * (size_t)cap;
	rows->cap_classes = cap;
	for (uint32_t c = 0; c < rows->n_classes; c++)
		slots[slot_of(rows, cold[c])] = c + 1;
	return true;
}

/* The class of a row, made if it is new. Class 0 (held, ENGINE_ERROR) if there is no memory. */
static uint32_t classify(struct policy_rows *rows, const struct policy_row row[POLICY__KINDS])
{
	size_t slot = rows->n_slots ? slot_of(rows, row) : 0;
	if (rows->n_slots && rows->slots[slot])
		return rows->slots[slot] - 1;
	if (rows->n_classes == rows->cap_classes) {
		if (!grow(rows))
			return 0;
		slot = slot_of(rows, row);
	}
	uint32_t class = rows->n_classes++;
	memcpy(rows->cold[class], row, sizeof rows->cold[class]);
	for (size_t k = 0; k < POLICY__KINDS; k++)
		rows->hot[class][k] = row[k].reasons;
	rows->slots[slot] = class + 1;
	return class;
}

static bool make_error_class(struct policy_rows *rows)
{
	struct policy_row row[POLICY__KINDS];
	for (size_t k = 0; k < POLICY__KINDS; k++)
		row[k] = (struct policy_row){.reasons = POLICY_REASON(ENGINE_ERROR), .unknown = rows->program->uses};
	classify(rows, row);
	return rows->n_classes == 1;
}

static void decide_member(struct policy_rows *rows, uint32_t member)
{
	struct policy_row row[POLICY__KINDS];
	for (unsigned k = 0; k < POLICY__KINDS; k++)
		row[k] = k == 0 || k >= POLICY_KIND_COUNT || rows->kinds_matter ? policy__member_row(rows, member, k, NULL) : row[0];
	rows->class_of[member] = classify(rows, row);
}

static void decide_sparse(struct policy_rows *rows, struct policy__sparse *item)
{
	item->row = policy__member_row(rows, item->member, item->kind, item);
}

/* ---- Delegations ------------------------------------------------------------------------------------- */

uint16_t policy__voice(const struct policy_rows *rows, uint32_t delegate, policy_instant at)
{
	size_t who = delegate == POLICY_BOARD ? rows->facts.n_members : delegate;
	if (rows->faulty[who] & 2)
		return POLICY_USES_ALL;
	struct policy__refs refs = policy__author(rows, POLICY__DELEGATE, delegate);
	const struct policy_statement *last = NULL;
	uint16_t voice = 0, later = 0, level = 0;
	for (size_t i = 0; i < refs.n; i++) {
		const struct policy_statement *s = policy__statement(rows, refs.at[i]);
		if (!policy__in_force(s, at))
			continue;
		if (!last || !policy__same_subject_matter(last, s)) {
			later = level = 0;
		} else if (policy__speech_before(last, s)) {
			later |= level;
			level = 0;
		}
		last = s;
		level |= policy__spoken(s);
		if (s->effect != POLICY_EFFECT_NONE)
			voice |= policy__spoken(s) & (uint16_t)~later;
	}
	return voice;
}

/* Uses that every edge and every voice treat alike share one resolution. */
static void group_uses(struct policy_rows *rows)
{
	bool seen[1u << POLICY_USE_COUNT] = {false};
	uint16_t differ[POLICY_USE_COUNT] = {0};
	for (size_t i = 0; i < rows->facts.n_edges; i++)
		if (rows->facts.edges[i].question == POLICY_QUESTION_CONSENT && rows->facts.edges[i].scope == POLICY_SCOPE_TOPIC)
			seen[rows->facts.edges[i].topics & POLICY_USES_ALL] = true;
	for (unsigned time = 0; time < rows->program->n_times; time++)
		for (size_t m = 0; m <= rows->facts.n_members; m++)
			seen[rows->voice[time][m]] = true;
	for (unsigned mask = 0; mask < sizeof seen; mask++)
		for (unsigned use = 0; seen[mask] && use < POLICY_USE_COUNT; use++)
			differ[use] |= (uint16_t)(mask >> use & 1 ? ~mask : mask);
	rows->n_asks = 0;
	for (unsigned use = 0; use < POLICY_USE_COUNT; use++) {
		if (!(rows->program->uses >> use & 1))
			continue;
		unsigned first = 0;
		while (first < use && (!(rows->program->uses >> first & 1) || differ[use] >> first & 1))
			first++;
		rows->ask_of[use] = first == use ? rows->n_asks++ : rows->ask_of[first];
	}
}

static void find_voices(struct policy_rows *rows, uint32_t delegate)
{
	size_t who = delegate == POLICY_BOARD ? rows->facts.n_members : delegate;
	for (unsigned time = 0; time < rows->program->n_times; time++)
		rows->voice[time][who] = policy__voice(rows, delegate, rows->program->times[time]);
}

static bool is_active(const struct policy_member *m)
{
	return m->standing == POLICY_STANDING_ACTIVE || m->standing == POLICY_STANDING_DUE ||
	       m->standing == POLICY_STANDING_GRACE;
}

static enum policy_status resolve_one(struct policy_rows *rows, unsigned time, unsigned ask, struct policy_path *out)
{
	unsigned use = 0;
	while (!(rows->program->uses >> use & 1) || rows->ask_of[use] != ask)
		use++;
	for (size_t m = 0; m <= rows->facts.n_members; m++)
		rows->decided[m] = rows->voice[time][m] >> use & 1;
	const struct policy_spec *spec = &rows->program->spec;
	const struct policy_voices voices = {rows->facts.n_members, rows->active, rows->decided, true};
	const struct policy_ask question = {.question = POLICY_QUESTION_CONSENT, .topic = (uint8_t)use,
	                                    .depth = spec->delegation_depth, .board_active = rows->facts.board_active,
	                                    .cap = spec->delegation_cap, .target = spec->release_id,
	                                    .at = rows->program->times[time]};
	struct policy_area area;
	policy_area_init(&area, rows->scratch, rows->scratch_size);
	return policy_delegation_resolve(rows->facts.edges, rows->facts.n_edges, &voices, &question, &area.mem, out);
}

static enum policy_status prepare_delegation(struct policy_rows *rows, struct policy_mem *mem, struct policy_faults *faults)
{
	size_t n = rows->facts.n_members;
	for (size_t i = 0; i < rows->facts.n_edges; i++) {
		const struct policy_edge *edge = &rows->facts.edges[i];
		if (edge->question == POLICY_QUESTION_VOTE)
			continue;
		rows->edges_matter = true;
		if (policy__edge_sound(edge, n) && edge->question == POLICY_QUESTION_CONSENT)
			continue;
		policy__fault(faults, POLICY_FAULT_FACT_EDGE, i);
		if (edge->principal < n)
			rows->faulty[edge->principal] |= 1;
		else
			rows->all_faulty = true;
	}
	rows->n_asks = 1;
	if (!rows->edges_matter)
		return POLICY_OK;
	/* What policy_delegation_resolve takes at most: an edge and an end a member, and for caps a load and a place in
	 * line; see there. */
	rows->scratch_size = n * 96 + 1024;
	rows->scratch = policy__alloc(mem, rows->scratch_size, 1);
	rows->active = policy__alloc(mem, n, 1);
	rows->decided = policy__alloc(mem, n + 1, 1);
	rows->spare_path = policy__alloc(mem, n, sizeof *rows->spare_path);
	rows->voice[0] = policy__zalloc(mem, n + 1, sizeof *rows->voice[0]);
	rows->voice[1] = policy__zalloc(mem, n + 1, sizeof *rows->voice[1]);
	if (!rows->scratch || !rows->active || !rows->decided || !rows->spare_path || !rows->voice[0] || !rows->voice[1])
		return POLICY_NO_MEMORY;
	for (size_t m = 0; m < n; m++)
		rows->active[m] = is_active(&rows->facts.members[m]);
	for (size_t i = 0; i < rows->n_delegates; i++)
		find_voices(rows, policy__statement(rows, rows->delegates[i])->subject);
	for (size_t m = 0; m < n; m++)
		if (rows->faulty[m] & 2)
			find_voices(rows, (uint32_t)m);
	if (rows->faulty[n] & 2)
		find_voices(rows, POLICY_BOARD);
	group_uses(rows);
	return POLICY_OK;
}

static enum policy_status resolve_all(struct policy_rows *rows, struct policy_mem *mem)
{
	for (unsigned time = 0; rows->edges_matter && time < rows->program->n_times; time++)
		for (unsigned ask = 0; ask < rows->n_asks; ask++) {
			rows->paths[time][ask] = policy__alloc(mem, rows->facts.n_members, sizeof(struct policy_path));
			if (!rows->paths[time][ask])
				return POLICY_NO_MEMORY;
			enum policy_status status = resolve_one(rows, time, ask, rows->paths[time][ask]);
			if (status != POLICY_OK)
				return status;
		}
	return POLICY_OK;
}

/* ---- Sparse items -------------------------------------------------------------------------------------- */

static bool less_fact(const void *ctx, uint32_t a, uint32_t b)
{
	const struct policy_item_fact *facts = ctx;
	return facts[a].item < facts[b].item;
}

static struct policy__sparse of_fact(const struct policy_rows *rows, const struct policy_item_fact *fact)
{
	bool sound = fact->member < rows->facts.n_members && fact->kind < POLICY_KIND_COUNT && fact->item != POLICY_NO_ITEM;
	return (struct policy__sparse){.item = fact->item, .member = fact->member, .kind = fact->kind, .faulty = !sound,
	                               .embargo_until = fact->embargo_until, .retain_until = fact->retain_until};
}

static void push_sparse(struct policy_rows *rows, struct policy__sparse item)
{
	if (rows->n_sparse && rows->sparse[rows->n_sparse - 1].item == item.item)
		rows->sparse[rows->n_sparse - 1].faulty = 1; /* two facts about one item contradict each other */
	else
		rows->sparse[rows->n_sparse++] = item;
}

/* Merge the items that have facts with those that statements name; a statement must be its member's own. */
static enum policy_status build_sparse(struct policy_rows *rows, struct policy_mem *mem, struct policy_faults *faults)
{
	const struct policy_facts *facts = &rows->facts;
	rows->cap_sparse = facts->n_items + rows->n_on_item + POLICY_ROWS_SPARE;
	rows->sparse = policy__alloc(mem, rows->cap_sparse, sizeof *rows->sparse);
	uint32_t *order = policy__alloc(mem, facts->n_items, sizeof *order);
	if (!rows->sparse || !order)
		return POLICY_NO_MEMORY;
	for (uint32_t i = 0; i < facts->n_items; i++)
		order[i] = i;
	policy__sort(order, facts->n_items, less_fact, facts->items);
	size_t said = 0;
	for (size_t i = 0; i < facts->n_items || said < rows->n_on_item;) {
		const struct policy_statement *s = said < rows->n_on_item ? policy__statement(rows, rows->on_item[said]) : NULL;
		const struct policy_item_fact *fact = i < facts->n_items ? &facts->items[order[i]] : NULL;
		if (fact && (!s || fact->item <= s->item)) {
			struct policy__sparse item = of_fact(rows, fact);
			size_t before = rows->n_sparse;
			push_sparse(rows, item);
			if (item.faulty || rows->n_sparse == before)
				policy__fault(faults, POLICY_FAULT_FACT_ITEM, order[i]);
			i++;
			continue;
		}
		struct policy__sparse *last = rows->n_sparse ? &rows->sparse[rows->n_sparse - 1] : NULL;
		if (!last || last->item != s->item) {
			push_sparse(rows, (struct policy__sparse){.item = s->item, .member = POLICY_NO_MEMBER, .faulty = 1});
			policy__fault(faults, POLICY_FAULT_FACT_NO_ITEM, rows->on_item[said]);
		} else if (last->member != s->subject && last->member != POLICY_NO_MEMBER) {
			last->faulty = 1;
			policy__fault(faults, POLICY_FAULT_FACT_STATEMENT, rows->on_item[said]);
		}
		said++;
	}
	return POLICY_OK;
}

/* ---- Building ------------------------------------------------------------------------------------------- */

enum policy_status policy_rows_build(const struct policy_program *program, const struct policy_facts *facts,
                                     struct policy_mem *mem, struct policy_rows **out, struct policy_faults *faults)
{
	*out = NULL;
	size_t n = facts->n_members;
	if (n >= POLICY_MEMBERS_MAX || facts->n_statements >= POLICY_REF_DEFAULTS || facts->n_edges >= POLICY_NO_EDGE ||
	    facts->n_items >= POLICY_NO_ITEM) {
		policy__fault(faults, POLICY_FAULT_FACT_MEMBERS, 0);
		return POLICY_INVALID;
	}
	struct policy_rows *rows = policy__zalloc(mem, 1, sizeof *rows);
	if (!rows)
		return POLICY_NO_MEMORY;
	rows->program = program;
	rows->facts = *facts;
	rows->mem = mem;
	rows->class_of = policy__zalloc(mem, n, sizeof *rows->class_of);
	rows->faulty = policy__zalloc(mem, n + 1, 1);
	if (!rows->class_of || !rows->faulty || !make_error_class(rows))
		return POLICY_NO_MEMORY;
	for (size_t m = 0; m < n; m++)
		if (!policy__member_sound(&facts->members[m])) {
			policy__fault(faults, POLICY_FAULT_FACT_MEMBER, m);
			rows->faulty[m] = 1;
		}
	enum policy_status status = policy__index(rows, mem, faults);
	if (status == POLICY_OK)
		status = prepare_delegation(rows, mem, faults);
	if (status == POLICY_OK)
		status = resolve_all(rows, mem);
	if (status == POLICY_OK)
		status = build_sparse(rows, mem, faults);
	if (status != POLICY_OK)
		return status;
	for (uint32_t m = 0; m < n; m++)
		decide_member(rows, m);
	for (size_t i = 0; i < rows->n_sparse; i++)
		decide_sparse(rows, &rows->sparse[i]);
	*out = rows;
	return POLICY_OK;
}

struct policy_row policy_rows_get(const struct policy_rows *rows, uint32_t member, unsigned kind)
{
	uint32_t class = member < rows->facts.n_members ? rows->class_of[member] : 0;
	return rows->cold[class][kind < POLICY__KINDS ? kind : POLICY__KINDS - 1];
}

/* ---- Updating ------------------------------------------------------------------------------------------- */

/* A list that counts beyond its end. */
struct list {
	uint32_t *at; /* places */
	size_t cap;   /* how many */
	size_t n;     /* how many there would be */
};

static void redo(struct policy_rows *rows, uint32_t member, struct list *touched)
{
	decide_member(rows, member);
	if (touched->n < touched->cap)
		touched->at[touched->n] = member;
	touched->n++;
}

/* Sparse items of one member, or of everyone marked (`marks` is by member). */
static void redo_sparse(struct policy_rows *rows, uint32_t member, const uint8_t *marks)
{
	for (size_t i = 0; i < rows->n_sparse; i++) {
		struct policy__sparse *item = &rows->sparse[i];
		if (item->member == member || (marks && item->member < rows->facts.n_members && marks[item->member]))
			decide_sparse(rows, item);
	}
}

/* Delegations changed: resolve again, and decide afresh whoever now hears someone else, or hears `speaker`. */
static size_t redelegate(struct policy_rows *rows, uint32_t member, uint32_t speaker, struct list *touched)
{
	size_t n = rows->facts.n_members;
	uint8_t *marks = rows->decided; /* free between resolutions; set only after the last one */
	uint8_t asks = rows->n_asks, ask_of[POLICY_USE_COUNT];
	memcpy(ask_of, rows->ask_of, sizeof ask_of);
	group_uses(rows);
	bool regrouped = asks != rows->n_asks || memcmp(ask_of, rows->ask_of, sizeof ask_of) != 0;
	uint8_t *changed = rows->scratch + rows->scratch_size - n; /* its tail, which resolving does not reach */
	memset(changed, regrouped, n);
	for (unsigned time = 0; time < rows->program->n_times; time++)
		for (unsigned ask = 0; ask < rows->n_asks; ask++) {
			struct policy_path *old = rows->paths[time][ask], *new = rows->spare_path;
			if (!old)
				old = rows->paths[time][ask] = policy__alloc(rows->mem, n, sizeof *old);
			if (!old || resolve_one(rows, time, ask, new) != POLICY_OK) {
				rows->all_faulty = true; /* without memory nothing is certain: hold */
				memset(changed, 1, n);
				continue;
			}
			for (size_t m = 0; m < n; m++)
				changed[m] |= regrouped || old[m].decider != new[m].decider || old[m].via != new[m].via ||
				              old[m].dropped != new[m].dropped || old[m].edge != new[m].edge ||
				              (new[m].via == POLICY_VIA_DECIDED && new[m].decider == speaker);
			rows->paths[time][ask] = new;
			rows->spare_path = old;
		}
	memcpy(marks, changed, n);
	if (member < n)
		marks[member] = 1;
	for (uint32_t m = 0; m < n; m++)
		if (marks[m])
			redo(rows, m, touched);
	redo_sparse(rows, POLICY_NO_MEMBER - 1, marks);
	return touched->n;
}

size_t policy_rows_update(struct policy_rows *rows, uint32_t member, uint32_t *touched, size_t cap)
{
	struct list list = {touched, cap, 0};
	if (member >= rows->facts.n_members)
		return 0;
	if (policy__member_sound(&rows->facts.members[member]))
		rows->faulty[member] &= 2;
	else
		rows->faulty[member] |= 1;
	policy__resort_own(rows, member);
	if (rows->edges_matter) {
		uint8_t active = is_active(&rows->facts.members[member]);
		uint16_t before[2] = {rows->voice[0][member], rows->voice[1][member]};
		find_voices(rows, member);
		bool spoke = before[0] | before[1] | rows->voice[0][member] | rows->voice[1][member];
		if (active != rows->active[member] || spoke) {
			rows->active[member] = active;
			return redelegate(rows, member, member, &list);
		}
	}
	redo(rows, member, &list);
	redo_sparse(rows, member, NULL);
	return list.n;
}

size_t policy_rows_update_edges(struct policy_rows *rows, uint32_t *touched, size_t cap)
{
	struct list list = {touched, cap, 0};
	return rows->edges_matter ? redelegate(rows, POLICY_NO_MEMBER, POLICY_NO_DECIDER, &list) : 0;
}

/* Room for a sparse item at its place. */
static struct policy__sparse *insert_sparse(struct policy_rows *rows, const struct policy_item_fact *fact)
{
	struct policy__sparse item = of_fact(rows, fact);
	if (item.faulty || rows->n_sparse == rows->cap_sparse)
		return NULL;
	size_t at = policy__sparse_from(rows, fact->item);
	memmove(&rows->sparse[at + 1], &rows->sparse[at], (rows->n_sparse - at) * sizeof item);
	rows->sparse[at] = item;
	rows->n_sparse++;
	return &rows->sparse[at];
}

static enum policy_status add_on_item(struct policy_rows *rows, const struct policy_statement *s,
                                      const struct policy_item_fact *fact, struct list *touched)
{
	size_t at = policy__sparse_from(rows, s->item);
	struct policy__sparse *item = at < rows->n_sparse && rows->sparse[at].item == s->item ? &rows->sparse[at] : NULL;
	if (!item && fact && fact->item == s->item)
		item = insert_sparse(rows, fact);
	if (!item)
		return POLICY_INVALID;
	if (item->member != s->subject)
		return POLICY_INVALID;
	rows->added[rows->n_added++] = *s;
	decide_sparse(rows, item);
	if (touched->cap)
		touched->at[0] = s->subject;
	touched->n = 1;
	return POLICY_OK;
}

enum policy_status policy_rows_add(struct policy_rows *rows, const struct policy_statement *s,
                                   const struct policy_item_fact *item, uint32_t *touched, size_t cap, size_t *n_touched)
{
	struct list list = {touched, cap, 0};
	enum policy__bucket bucket = POLICY__OWN;
	*n_touched = 0;
	if (!policy__place(rows, s, &bucket))
		return POLICY_INVALID;
	if (rows->n_added == POLICY_ROWS_SPARE)
		return POLICY_NO_ROOM;
	if (bucket == POLICY__ON_ITEM) {
		enum policy_status status = add_on_item(rows, s, item, &list);
		*n_touched = list.n;
		return status;
	}
	rows->added[rows->n_added++] = *s;
	bool first_by_kind = s->selector == POLICY_SELECT_KIND && !rows->kinds_matter;
	rows->kinds_matter |= first_by_kind;
	if (bucket == POLICY__OWN) {
		redo(rows, s->subject, &list);
		redo_sparse(rows, s->subject, NULL);
	} else if (bucket == POLICY__DELEGATE && rows->edges_matter) {
		find_voices(rows, s->subject);
		redelegate(rows, POLICY_NO_MEMBER, s->subject, &list);
	} else if (bucket == POLICY__GROUP) {
		for (uint32_t m = 0; m < rows->facts.n_members; m++)
			if (rows->facts.members[m].group == s->subject) {
				redo(rows, m, &list);
				redo_sparse(rows, m, NULL);
			}
	}
	*n_touched = list.n;
	return POLICY_OK;
}
