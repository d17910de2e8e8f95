#include "joint_internal.h"

#include <stdlib.h>

/* Items that a statement is about, with what the engine needs of them, in order of id. */
SQL(items_with_statements,
	"SELECT c.id, c.item_no, c.member_no, c.kind FROM contribution c "
	"WHERE c.coop_id = $1 AND c.id IN (SELECT item_id FROM statement WHERE coop_id = $1 AND item_id IS NOT NULL "
	"UNION ALL SELECT item_id FROM guest_statement WHERE coop_id = $1 AND item_id IS NOT NULL) ORDER BY c.id");
SQL(segments_clear, "DELETE FROM release_segment WHERE coop_id = $1 AND release_id = $2 AND stage = $3");
SQL(segment_insert, "INSERT INTO release_segment (coop_id, release_id, stage, no, items, sets, codes) VALUES ($1, $2, $3, $4, $5, $6, $7)");
SQL(reasons_clear, "DELETE FROM release_reason WHERE coop_id = $1 AND release_id = $2 AND stage = $3");
SQL(reason_insert, "INSERT INTO release_reason (coop_id, release_id, stage, reason, items) VALUES ($1, $2, $3, $4, $5)");
SQL(pool_size, "SELECT coalesce(pool_size($1), 0)");

/* The positions of items named by statements. */
struct positions {
	const struct rows *rows;   /* of items_with_statements */
	const struct decided *d;   /* whose origins have positions too */
};

static uint32_t position_of(void *arg, struct uuid item)
{
	const struct rows *r = ((const struct positions *)arg)->rows;
	int low = 0, high = r->n;
	while (low < high) {
		int middle = (low + high) / 2;
		int order = uuid_cmp(row_uuid(r, middle, 0), item);
		if (order == 0)
			return (uint32_t)row_int(r, middle, 1);
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return guests_position(((const struct positions *)arg)->d, item);
}

static void *engine_alloc(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

/* A large arena that goes with the call, or earlier. */
static void free_slot(void *slot)
{
	arena_free(*(struct arena **)slot);
}

static struct arena **large_arena(struct call *c)
{
	struct arena **slot = ARENA_NEW(c->arena, struct arena *);
	*slot = arena_new(LIMIT_DECIDE_ARENA);
	if (!*slot)
		return NULL;
	arena_defer(c->arena, free_slot, slot);
	return slot;
}

void decided_release(struct decided *d)
{
	arena_free(*d->slot);
	*d->slot = NULL;
	*d = (struct decided){ 0 };
}

/* A fault here is a fault of ours: charters and statements are checked when they are written. What it touches is held with ENGINE_ERROR. */
static enum err engine_failed(struct call *c, enum policy_status status, const struct policy_faults *faults)
{
	if (status == POLICY_NO_MEMORY)
		return fail(c, ERR_NO_MEMORY, "The pool is too large to decide on with the memory allowed.");
	if (faults && faults->n)
		return fail(c, ERR_INTERNAL, "The policy engine refused the release's specification: %s %s.", policy_fault_where(faults->at[0].code), policy_fault_text(faults->at[0].code));
	return fail(c, ERR_INTERNAL, "The policy engine refused the release's specification.");
}

/* `one`: what is known of the item that is asked about, where that is more than statements say; or NULL. */
static enum err load_facts(struct call *c, const struct policy_item_fact *one, struct decided *d)
{
	struct rows *named = ARENA_NEW(c->arena, struct rows);
	TRY(db_query(c, items_with_statements, named, A_UUID(d->coop)));
	TRY(guests_name_origins(c, d));
	struct positions positions = { named, d };
	TRY(coop_policy_facts(c, d->coop, position_of, &positions, &d->facts));
	struct policy_item_fact *items = ARENA_ARRAY(d->arena, (size_t)named->n + guests_facts_room(d) + 1, struct policy_item_fact);
	bool among = one == NULL;
	for (int i = 0; i < named->n; i++) {
		items[i] = (struct policy_item_fact){ .item = (uint32_t)row_int(named, i, 1), .member = (uint32_t)row_int(named, i, 2), .kind = (uint8_t)row_int(named, i, 3),
			.embargo_until = POLICY_EVER, .retain_until = POLICY_NEVER };
		if (one && items[i].item == one->item) {
			items[i] = *one;
			among = true;
		}
	}
	d->facts.items = items;
	d->facts.n_items = (size_t)named->n;
	d->facts.n_items += guests_facts(d, items + d->facts.n_items);
	if (!among)
		items[d->facts.n_items++] = *one;
	return ERR_OK;
}

/* The collective controls that stood at the cut-off. What was set later touches only items that came later still; what was lifted since has held back what it held back. */
static enum err load_controls(struct call *c, instant cutoff, struct decided *d)
{
	TRY(control_at(c, d->coop, cutoff, &d->controls, &d->n_controls));
	if (d->n_controls == 0)
		return ERR_OK;
	struct policy_toggle *toggles = ARENA_ARRAY(d->arena, POLICY_TOGGLES_MAX, struct policy_toggle);
	d->spec.n_toggles = control_toggles(d->controls, d->n_controls, cutoff, toggles, d->spec.seed);
	d->spec.toggles = toggles;
	return ERR_OK;
}

const struct control *decided_control(const struct decided *d, const struct policy_cause *cause)
{
	bool by_control = (cause->reason >= POLICY_REASON_NO_TOGGLE_FREEZE && cause->reason <= POLICY_REASON_NO_TOGGLE_CAP) || cause->reason == POLICY_REASON_NO_ASSURANCE_UNMET;
	return by_control && cause->rule < d->spec.n_toggles ? &d->controls[d->spec.toggles[cause->rule].id - 1] : NULL;
}

/* `charter`: NULL for the release's, or the one in force. */
static enum err prepare(struct call *c, struct uuid coop, const struct charter *charter, const struct release *r, instant cutoff, instant at, const struct policy_item_fact *one,
	const struct release_joint *together, struct decided *d)
{
	struct policy_fault places[8];
	struct policy_faults faults = { places, CH_LEN(places), 0 };
	*d = (struct decided){ .coop = coop, .slot = large_arena(c) };
	if (!d->slot)
		return fail(c, ERR_NO_MEMORY, "There is no memory to decide on the pool.");
	d->arena = *d->slot;
	d->mem = (struct policy_mem){ engine_alloc, d->arena };
	if (charter)
		d->charter = *charter;
	else if (r)
		TRY(charter_version(c, coop, r->charter, &d->charter));
	else
		TRY(charter_current(c, coop, &d->charter));
	release_spec(&d->charter, r, cutoff, at, &d->spec);
	if (r && !uuid_is_nil(r->joint))
		TRY(joint_spec_of(c, r, cutoff, at, d));
	if (together)
		TRY(joint_spec(c, together, NULL, cutoff, at, d));
	TRY(load_controls(c, cutoff, d));
	int consent_words, defaults_words;
	TRY(demand_oldest_words(c, coop, d->charter.version, &consent_words, &defaults_words));
	if ((uint32_t)consent_words > d->spec.notice_min) /* what the charter widened stands there already */
		d->spec.notice_min = (uint32_t)consent_words;
	TRY(guests_load(c, d));
	enum policy_status status = policy_compile(&d->spec, &d->mem, &d->program, &faults);
	if (status != POLICY_OK)
		return engine_failed(c, status, &faults);
	TRY(load_facts(c, one, d));
	faults.n = 0;
	status = policy_rows_build(d->program, &d->facts, &d->mem, &d->rows, &faults);
	return status == POLICY_OK ? ERR_OK : engine_failed(c, status, &faults);
}

enum err decide_prepare(struct call *c, struct uuid coop, const struct release *r, instant cutoff, instant at, const struct policy_item_fact *one, struct decided *d)
{
	return prepare(c, coop, NULL, r, cutoff, at, one, NULL, d);
}

enum err decide_pack(struct call *c, struct uuid coop)
{
	int64_t packed;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(pool_pack(c, coop, &packed));
	return db_commit(c);
}

/* A cap draws lots by the items' ids. */
static bool draws_lots(const struct policy_spec *spec)
{
	bool draws = spec->volume_cap != POLICY_NO_CAP;
	for (size_t i = 0; i < spec->n_toggles; i++)
		draws |= spec->toggles[i].kind == POLICY_TOGGLE_CAP;
	return draws;
}

static bool columns_make(struct decided *d, bool identities)
{
	d->words = ARENA_ARRAY(d->arena, d->n, uint64_t);
	d->more = identities || policy_program_needs_more(d->program) ? ARENA_ARRAY(d->arena, d->n, uint64_t) : NULL;
	d->members = ARENA_ARRAY(d->arena, d->n, uint32_t);
	d->shards = identities ? ARENA_ARRAY(d->arena, d->n, uint32_t) : NULL;
	d->ids = identities || draws_lots(&d->spec) ? arena_array(d->arena, d->n, 16) : NULL;
	d->hashes = identities ? arena_array(d->arena, d->n, 32) : NULL;
	d->reasons = ARENA_ARRAY(d->arena, d->n, policy_reasons);
	d->outcomes = ARENA_ARRAY(d->arena, d->n, uint8_t);
	return d->words && d->members && ((d->shards && d->hashes) || !identities) && d->reasons && d->outcomes;
}

struct scan { struct decided *d; size_t seen; struct call *c; };

/* What the columns that were made are filled from; the others are not read. */
static unsigned columns_wanted(const struct decided *d)
{
	return POOL_MEMBERS | POOL_WORDS | (d->shards ? POOL_SHARDS : 0u) | (d->ids ? POOL_IDS : 0u) | (d->hashes ? POOL_HASHES : 0u) | (d->more ? POOL_MORE : 0u);
}

/* Decides a segment while the database sends the next one. */
static enum err decide_segment(void *arg, const struct pool_segment *s)
{
	struct scan *scan = arg;
	struct decided *d = scan->d;
	size_t base = (size_t)s->no * POOL_SEGMENT;
	if (base != scan->seen || base + s->n > d->n)
		return fail(scan->c, ERR_CORRUPT, "The pool's packed columns do not match the pool. Run `commonhold doctor`.");
	memcpy(d->words + base, s->words, s->n * sizeof(*s->words));
	memcpy(d->members + base, s->members, s->n * sizeof(*s->members));
	if (d->shards)
		memcpy(d->shards + base, s->shards, s->n * sizeof(*s->shards));
	if (d->ids)
		memcpy(d->ids + base, s->ids, s->n * sizeof(*s->ids));
	if (d->hashes)
		memcpy(d->hashes + base, s->hashes, s->n * sizeof(*s->hashes));
	if (d->more)
		memcpy(d->more + base, s->more, s->n * sizeof(*s->more));
	struct policy_batch batch = { d->words + base, d->members + base, d->more ? d->more + base : NULL, s->n, (uint32_t)base };
	policy_decide_batch(d->program, d->rows, &batch, d->outcomes + base, d->reasons + base);
	scan->seen += s->n;
	return ERR_OK;
}

static enum err scan_pool(struct call *c, struct decided *d, bool identities)
{
	struct rows r;
	TRY(db_one(c, pool_size, &r, A_UUID(d->coop)));
	d->n = (size_t)row_int(&r, 0, 0);
	if (!columns_make(d, identities))
		return fail(c, ERR_NO_MEMORY, "The pool is too large to decide on with the memory allowed.");
	struct scan scan = { d, 0, c };
	TRY(pool_scan_columns(c, d->coop, columns_wanted(d), decide_segment, &scan));
	return scan.seen == d->n ? ERR_OK : fail(c, ERR_CORRUPT, "The pool's packed columns do not match the pool. Run `commonhold doctor`.");
}

/* What was out at freezing stays out; what came since was not there to be agreed to. */
static void keep_frozen(struct decided *d, const policy_reasons *frozen, size_t n)
{
	size_t both = n < d->n ? n : d->n;
	uint64_t removed = 0;
	policy_recheck(frozen, d->reasons, both, d->reasons, d->outcomes, &removed);
	for (size_t i = both; i < d->n; i++)
		d->reasons[i] |= POLICY_REASON(AFTER_CUTOFF);
	policy_outcomes(d->reasons + both, d->n - both, d->outcomes + both);
}

/* What `prepare` has prepared. */
static enum err decide(struct call *c, const policy_reasons *frozen, size_t n_frozen, bool identities, struct decided *d)
{
	TRY(scan_pool(c, d, identities));
	if (!guests_decide(d))
		return engine_failed(c, POLICY_NO_MEMORY, NULL);
	if (d->without.n && identities) /* without identities there are decisions before, which have left it out */
		TRY(joint_leave_out(c, d));
	if (frozen)
		keep_frozen(d, frozen, n_frozen);
	struct policy_set set = { .words = d->words, .members = d->members, .ids = (const uint8_t (*)[16])d->ids, .n = d->n, .n_members = d->facts.n_members };
	if (!guests_set(d, &set))
		return engine_failed(c, POLICY_NO_MEMORY, NULL);
	struct arena_mark mark = arena_mark(d->arena);
	enum policy_status status = policy_apply_set_rules(d->program, &set, d->reasons, d->outcomes, &d->mem, &d->report);
	arena_rewind(d->arena, mark);
	return status == POLICY_OK ? ERR_OK : engine_failed(c, status, NULL);
}

enum err decide_pool(struct call *c, struct uuid coop, const struct release *r, instant cutoff, instant at, const policy_reasons *frozen, size_t n_frozen, struct decided *d)
{
	TRY(prepare(c, coop, NULL, r, cutoff, at, NULL, NULL, d));
	return decide(c, frozen, n_frozen, true, d);
}

enum err decide_outcomes(struct call *c, struct uuid coop, const struct release *r, instant cutoff, instant at, const policy_reasons *frozen, size_t n_frozen, struct decided *d)
{
	TRY(prepare(c, coop, NULL, r, cutoff, at, NULL, NULL, d));
	return decide(c, frozen, n_frozen, false, d);
}

enum err decide_as_if(struct call *c, struct uuid coop, const struct charter *charter, instant at, bool apart, struct decided *d)
{
	TRY(prepare(c, coop, charter, NULL, at, at, NULL, NULL, d));
	d->apart = apart;
	return decide(c, NULL, 0, false, d);
}

enum err decide_trial(struct call *c, struct uuid coop, const struct release_joint *together, instant at, struct decided *d)
{
	TRY(prepare(c, coop, NULL, NULL, at, at, NULL, together, d));
	return scan_pool(c, d, true);
}

struct sha256 decided_digest(const struct decided *d)
{
	struct hasher *h = hasher_new(d->arena);
	uint8_t policy[32], batch[256][48];
	size_t n = 0;
	policy_program_digest(d->program, policy);
	hasher_add(h, "commonhold/candidates/1\n", 24);
	hasher_add(h, policy, sizeof(policy));
	for (size_t i = 0; i < d->n; i++) {
		if (!outcome_is_in(d->outcomes[i]))
			continue;
		memcpy(batch[n], d->ids[i], 16);
		memcpy(batch[n] + 16, d->hashes[i], 32);
		if (++n == CH_LEN(batch)) {
			hasher_add(h, batch, sizeof(batch));
			n = 0;
		}
	}
	hasher_add(h, batch, n * sizeof(batch[0]));
	guests_digest(d, h);
	return hasher_end(h);
}

/* One segment's decisions as codes into its distinct sets of reasons. */
struct coded {
	policy_reasons sets[POOL_SEGMENT];
	uint16_t codes[POOL_SEGMENT];
	uint16_t slot[POOL_SEGMENT * 2]; /* open addressing: set number + 1 */
	size_t n_sets;
};

static void code_segment(struct coded *k, const policy_reasons *reasons, size_t n)
{
	const size_t mask = CH_LEN(k->slot) - 1;
	memset(k->slot, 0, sizeof(k->slot));
	k->n_sets = 0;
	for (size_t i = 0; i < n; i++) {
		size_t at = (size_t)((reasons[i] * UINT64_C(0x9e3779b97f4a7c15)) >> 40) & mask;
		while (k->slot[at] && k->sets[k->slot[at] - 1] != reasons[i])
			at = (at + 1) & mask;
		if (!k->slot[at]) {
			k->sets[k->n_sets++] = reasons[i];
			k->slot[at] = (uint16_t)k->n_sets;
		}
		k->codes[i] = (uint16_t)(k->slot[at] - 1);
	}
}

static enum err store_segments(struct call *c, const struct release *r, const char *stage, const struct decided *d)
{
	struct coded *k = ARENA_NEW(d->arena, struct coded);
	for (size_t base = 0; base < d->n; base += POOL_SEGMENT) {
		size_t n = d->n - base < POOL_SEGMENT ? d->n - base : POOL_SEGMENT;
		code_segment(k, d->reasons + base, n);
		TRY(db_queue(c, segment_insert, A_UUID(r->coop), A_UUID(r->id), A_Z(stage), A_I64((int64_t)(base / POOL_SEGMENT)), A_I64((int64_t)n),
			A_BYTES(str_make(k->sets, k->n_sets * sizeof(k->sets[0]))), A_BYTES(str_make(k->codes, n * sizeof(k->codes[0])))));
	}
	return ERR_OK;
}

static enum err store_count(struct call *c, const struct release *r, const char *stage, const char *name, uint64_t items)
{
	if (items == 0)
		return ERR_OK;
	return db_queue(c, reason_insert, A_UUID(r->coop), A_UUID(r->id), A_Z(stage), A_Z(name), A_I64((int64_t)items));
}

enum err decided_store(struct call *c, const struct release *r, const char *stage, const struct decided *d)
{
	TRY(db_exec(c, segments_clear, A_UUID(r->coop), A_UUID(r->id), A_Z(stage)));
	TRY(db_exec(c, reasons_clear, A_UUID(r->coop), A_UUID(r->id), A_Z(stage)));
	TRY(store_segments(c, r, stage, d));
	for (unsigned o = 0; o < POLICY_OUTCOME_COUNT; o++)
		TRY(store_count(c, r, stage, policy_outcome_name(o), d->report.outcomes[o]));
	for (unsigned no = 0; no < POLICY_REASON_COUNT; no++)
		TRY(store_count(c, r, stage, policy_reason_get(no)->name, d->report.reasons[no]));
	return ERR_OK;
}

struct loading { policy_reasons *reasons; size_t n, cap; struct call *c; };

static enum err load_segment(void *arg, const struct copy_field *f, int n)
{
	struct loading *l = arg;
	size_t base = (size_t)copy_int(f[0]) * POOL_SEGMENT, items = (size_t)copy_int(f[1]);
	struct str sets = copy_bytes(f[2]), codes = copy_bytes(f[3]);
	if (n != 4 || base != l->n || items > POOL_SEGMENT || codes.n != items * 2 || base + items > l->cap)
		return fail(l->c, ERR_CORRUPT, "The stored decisions of a release are damaged.");
	for (size_t i = 0; i < items; i++) {
		uint16_t code;
		memcpy(&code, codes.p + i * 2, 2);
		if ((size_t)code * 8 + 8 > sets.n)
			return fail(l->c, ERR_CORRUPT, "The stored decisions of a release are damaged.");
		memcpy(&l->reasons[base + i], sets.p + (size_t)code * 8, 8);
	}
	l->n += items;
	return ERR_OK;
}

SQL(stored_size, "SELECT coalesce(sum(items), 0)::bigint FROM release_segment WHERE coop_id = $1 AND release_id = $2 AND stage = $3");

enum err decided_load(struct call *c, struct uuid coop, struct uuid release, const char *stage, policy_reasons **reasons, size_t *n)
{
	struct rows r;
	TRY(db_one(c, stored_size, &r, A_UUID(coop), A_UUID(release), A_Z(stage)));
	struct arena **slot = large_arena(c);
	if (!slot)
		return fail(c, ERR_NO_MEMORY, "There is no memory to read a release's decisions.");
	struct loading l = { .cap = (size_t)row_int(&r, 0, 0), .c = c };
	l.reasons = ARENA_ARRAY(*slot, l.cap, policy_reasons);
	if (!l.reasons)
		return fail(c, ERR_NO_MEMORY, "There is no memory to read a release's decisions.");
	struct db_arg args[] = { A_UUID(coop), A_UUID(release), A_Z(stage) };
	TRY(db_copy_out(c, "COPY (SELECT no, items, sets, codes FROM release_segment WHERE coop_id = $1 AND release_id = $2 AND stage = $3 ORDER BY no) TO STDOUT (FORMAT binary)",
		args, CH_LEN(args), load_segment, &l));
	*reasons = l.reasons;
	*n = l.n;
	return ERR_OK;
}
