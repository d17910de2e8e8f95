/* What decisions hold to besides the engine's rows, where a co-op has guests: origins of the same content, limits of agreements, people who are both guest and member.
 *
 * All of it only adds reasons, after the engine has decided and before the set rules: it can hold or exclude, never let in. A co-op that never had a guest has none of it.
 */
#include "release_internal.h"

#include "commonhold/guest.h"
#include "commonhold/origin.h"

static const char origins_sql[] =
	"COPY (SELECT item_no, origin, id, member_no, licence, word, more FROM item_origin WHERE coop_id = $1 ORDER BY item_no, origin, id) TO STDOUT (FORMAT binary)";
SQL(origins_spoken_about,
	"SELECT o.id, o.item_no, o.origin, o.member_no, (o.word & 7)::integer FROM item_origin o WHERE o.coop_id = $1 AND o.id IN (SELECT item_id FROM guest_statement WHERE coop_id = $1 AND item_id IS NOT NULL) "
	"AND NOT EXISTS (SELECT FROM contribution c WHERE c.coop_id = o.coop_id AND c.id = o.id) ORDER BY o.id");
SQL(origins_count, "SELECT count(*) FROM item_origin WHERE coop_id = $1");

/* Reasons of one person that are reasons against what the same person has under another number. Silence under the one is none: what is said is united. */
#define ONE_PERSONS_NO \
	(POLICY_REASON(MEMBERSHIP_LAPSED) | POLICY_REASON(CONSENT_MISSING) | POLICY_REASON(CONSENT_EXPIRED) | POLICY_REASON(CONSENT_WITHDRAWN) | POLICY_REASON(CONSENT_NOTICE_SUPERSEDED) \
		| POLICY_REASON(PURPOSE_NOT_COVERED) | POLICY_REASON(PREF_DENY) | POLICY_REASON(ENGINE_ERROR))

/* ---- Loading ---- */

struct loading { struct call *c; struct decided *d; size_t cap; };

static enum err take_origin(void *arg, const struct copy_field *f, int n)
{
	struct loading *l = arg;
	struct decided_guests *g = l->d->guests;
	if (n != 7 || g->n_origins == l->cap || f[2].n != 16)
		return fail(l->c, ERR_CORRUPT, "The origins of a co-op's items changed while they were read.");
	uint32_t member = (uint32_t)copy_int(f[3]);
	if (member < g->n_limits && g->limits[member].ended)
		return ERR_OK; /* the agreement is over: it is no origin of what is released any more */
	struct decided_origin *o = &g->origins[g->n_origins++];
	*o = (struct decided_origin){ .item = (uint32_t)copy_int(f[0]), .member = member, .origin = (uint8_t)copy_int(f[1]), .licence = (uint8_t)copy_int(f[4]), .word = (uint64_t)copy_int(f[5]),
		.more = (uint64_t)copy_int(f[6]) };
	memcpy(o->id, f[2].p, 16);
	return ERR_OK;
}

static enum err load_origins(struct call *c, struct decided *d)
{
	struct rows r;
	struct loading l = { .c = c, .d = d };
	TRY(db_one(c, origins_count, &r, A_UUID(d->coop)));
	l.cap = (size_t)row_int(&r, 0, 0);
	if (l.cap == 0)
		return ERR_OK;
	d->guests->origins = ARENA_ARRAY(d->arena, l.cap, struct decided_origin);
	if (!d->guests->origins)
		return fail(c, ERR_NO_MEMORY, "The pool is too large to decide on with the memory allowed.");
	return db_copy_out(c, origins_sql, &A_UUID(d->coop), 1, take_origin, &l);
}

static enum err load_pairs(struct call *c, struct decided *d)
{
	struct guest_pair *pairs;
	size_t n;
	struct decided_guests *g = d->guests;
	TRY(guest_pairs(c, d->coop, &pairs, &n));
	if (n == 0)
		return ERR_OK;
	g->person_of = ARENA_ARRAY(d->arena, g->n_limits, uint32_t);
	g->next_of_person = ARENA_ARRAY(d->arena, g->n_limits, uint32_t);
	for (uint32_t i = 0; i < g->n_limits; i++)
		g->person_of[i] = g->next_of_person[i] = i;
	for (size_t i = 0; i < n; i++) {
		uint32_t guest = pairs[i].guest, member = pairs[i].member;
		if (guest >= g->n_limits || member >= g->n_limits)
			return fail(c, ERR_CORRUPT, "The guests of a co-op are not as they should be.");
		g->person_of[guest] = member;
		g->next_of_person[guest] = g->next_of_person[member]; /* rings of numbers that are one person */
		g->next_of_person[member] = guest;
	}
	return ERR_OK;
}

enum err guests_load(struct call *c, struct decided *d)
{
	struct guest_limits *limits;
	size_t n;
	uint32_t k;
	TRY(guest_limits_load(c, d->coop, &limits, &n, &k));
	if (!limits)
		return ERR_OK;
	d->guests = ARENA_NEW(d->arena, struct decided_guests);
	*d->guests = (struct decided_guests){ .limits = limits, .n_limits = n };
	if (d->spec.k_contributors && k > d->spec.k_contributors) /* 0: nobody asks how many */
		d->spec.k_contributors = k;
	TRY(load_origins(c, d));
	return load_pairs(c, d);
}

/* The place of an origin among those that are decided, beyond all items; the one with this id when more homes use it is the first. */
enum err guests_name_origins(struct call *c, struct decided *d)
{
	if (!d->guests || d->guests->n_origins == 0)
		return ERR_OK;
	d->guests->named = ARENA_NEW(c->arena, struct rows);
	return db_query(c, origins_spoken_about, d->guests->named, A_UUID(d->coop));
}

static size_t origin_from(const struct decided_guests *g, uint32_t item)
{
	size_t low = 0, high = g->n_origins;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (g->origins[middle].item < item)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct decided_origin *guests_origins_of(const struct decided *d, size_t item, size_t *n)
{
	const struct decided_guests *g = d->guests;
	*n = 0;
	if (!g || g->n_origins == 0)
		return NULL;
	size_t at = origin_from(g, (uint32_t)item);
	while (at + *n < g->n_origins && g->origins[at + *n].item == item)
		(*n)++;
	return *n ? &g->origins[at] : NULL;
}

static uint32_t position(size_t origin)
{
	return ORIGIN_POSITIONS + (uint32_t)origin;
}

uint32_t guests_position(const struct decided *d, struct uuid id)
{
	const struct decided_guests *g = d->guests;
	int low = 0, high = g && g->named ? g->named->n : 0;
	while (low < high) {
		int middle = (low + high) / 2, order = uuid_cmp(row_uuid(g->named, middle, 0), id);
		if (order > 0)
			high = middle;
		else if (order < 0)
			low = middle + 1;
		else
			for (size_t i = origin_from(g, (uint32_t)row_int(g->named, middle, 1));; i++) {
				if (i == g->n_origins || g->origins[i].item != (uint32_t)row_int(g->named, middle, 1))
					return POLICY_NO_ITEM;
				if (memcmp(g->origins[i].id, id.b, 16) == 0)
					return position(i);
			}
	}
	return POLICY_NO_ITEM;
}

size_t guests_facts(const struct decided *d, struct policy_item_fact *out)
{
	const struct decided_guests *g = d->guests;
	size_t n = 0;
	for (int i = 0; g && g->named && i < g->named->n; i++) {
		uint32_t at = guests_position(d, row_uuid(g->named, i, 0));
		if (at != POLICY_NO_ITEM && (n == 0 || out[n - 1].item != at))
			out[n++] = (struct policy_item_fact){ .item = at, .member = g->origins[at - ORIGIN_POSITIONS].member, .kind = (uint8_t)row_int(g->named, i, 4), .embargo_until = POLICY_EVER,
				.retain_until = POLICY_NEVER };
	}
	return n;
}

size_t guests_facts_room(const struct decided *d)
{
	return d->guests && d->guests->named ? (size_t)d->guests->named->n : 0;
}

/* ---- Reasons ---- */

/* What the agreement that somebody's items are under says of one made at this moment. */
static policy_reasons limit_reasons(const struct decided *d, uint32_t member, uint64_t word)
{
	const struct decided_guests *g = d->guests;
	if (member >= g->n_limits || !g->limits[member].is_guest)
		return 0;
	const struct guest_limits *l = &g->limits[member];
	instant made = (instant)(word >> POLICY_ITEM_CREATED_SHIFT) * CLOCK_SECOND;
	policy_reasons reasons = 0;
	if (l->embargo && made > d->spec.cutoff - l->embargo)
		reasons |= POLICY_REASON(EMBARGO_UNTIL);
	if (l->retention && made <= d->spec.instant - l->retention)
		reasons |= POLICY_REASON(RETENTION_PASSED);
	return reasons;
}

/* What the same person says under other numbers. */
policy_reasons guests_person_reasons(const struct decided *d, uint32_t member, unsigned kind)
{
	const struct decided_guests *g = d->guests;
	policy_reasons reasons = 0;
	if (!g->person_of || member >= g->n_limits)
		return 0;
	for (uint32_t other = g->next_of_person[member]; other != member; other = g->next_of_person[other])
		reasons |= policy_rows_get(d->rows, other, kind).reasons & ONE_PERSONS_NO;
	return reasons;
}

/* Whether what is under one licence may go out under another. */
static bool fits_under(unsigned from, unsigned to)
{
	return from == to || policy_licence_outputs(from, POLICY_CELLS_PASS) >> to & 1;
}

static bool all_fit_under(const struct decided_origin *o, size_t n, unsigned own, unsigned to)
{
	if (to >= POLICY_LICENCE_COUNT || !fits_under(own, to))
		return false;
	for (size_t i = 0; i < n; i++)
		if (o[i].licence >= POLICY_LICENCE_COUNT || !fits_under(o[i].licence, to))
			return false;
	return true;
}

/* The licence among those of a row and its origins under which all of them may go out; POLICY_LICENCE_UNKNOWN: none. Its own comes first; of a joint release the lowest, since which of the
 * origins is the row differs between the two co-ops, and both must come to one set. */
static unsigned row_licence(const struct decided *d, const struct decided_origin *o, size_t n, unsigned own)
{
	unsigned found = POLICY_LICENCE_UNKNOWN;
	if (!d->joint && all_fit_under(o, n, own, own))
		return own;
	for (size_t i = 0; i <= n; i++) {
		unsigned to = i ? o[i - 1].licence : own;
		if (all_fit_under(o, n, own, to) && (found == POLICY_LICENCE_UNKNOWN || to < found))
			found = to;
	}
	return found;
}

/* A row goes out under one licence, which has to fit all of its origins: in a collection one of theirs, in an adaptation the one that allows least. */
static policy_reasons licence_reasons(const struct decided *d, uint32_t item, unsigned own, unsigned origin)
{
	size_t n;
	if (d->apart || own == origin || own >= POLICY_LICENCE_COUNT || origin >= POLICY_LICENCE_COUNT)
		return 0;
	if (d->spec.licence_mode == POLICY_COLLECTION) {
		const struct decided_origin *o = guests_origins_of(d, item, &n);
		return row_licence(d, o, n, own) != POLICY_LICENCE_UNKNOWN ? 0 : POLICY_REASON(LIC_INCOMPATIBLE);
	}
	uint32_t a = policy_licence_outputs(own, POLICY_CELLS_PASS), b = policy_licence_outputs(origin, POLICY_CELLS_PASS);
	return (a & b & d->spec.outputs) ? 0 : POLICY_REASON(LIC_INCOMPATIBLE);
}

policy_reasons guests_origin_reasons(const struct decided *d, const struct decided_origin *o, uint64_t row_word)
{
	size_t at = (size_t)(o - d->guests->origins);
	policy_reasons own = policy_decide_one(d->program, d->rows, position(at), o->word, o->more, o->member) & ~POLICY_REASON(DUPLICATE_OF);
	return own | limit_reasons(d, o->member, o->word) | guests_person_reasons(d, o->member, (unsigned)(o->word & 7))
		| licence_reasons(d, o->item, (unsigned)(row_word >> POLICY_ITEM_LICENCE_SHIFT & 63), o->licence);
}

policy_reasons guests_row_reasons(const struct decided *d, uint64_t word, uint32_t member)
{
	return d->guests ? limit_reasons(d, member, word) | guests_person_reasons(d, member, (unsigned)(word & 7)) : 0;
}

/* In adaptation mode the pool's licences are those of all origins: of a row's, the one that leaves least open stands for it. None does: no one licence says it, and it is left out. */
static policy_reasons take_meet(const struct decided *d, const struct decided_origin *o, size_t n, uint64_t *word)
{
	unsigned licence = (unsigned)(*word >> POLICY_ITEM_LICENCE_SHIFT & 63);
	uint32_t meet = policy_licence_outputs(licence, POLICY_CELLS_PASS);
	for (size_t i = 0; i < n; i++)
		meet &= policy_licence_outputs(o[i].licence, POLICY_CELLS_PASS);
	for (size_t i = 0; i <= n; i++) {
		unsigned candidate = i ? o[i - 1].licence : licence;
		if ((policy_licence_outputs(candidate, POLICY_CELLS_PASS) & ~meet & d->spec.outputs) == 0) {
			*word = (*word & ~(UINT64_C(63) << POLICY_ITEM_LICENCE_SHIFT)) | (uint64_t)candidate << POLICY_ITEM_LICENCE_SHIFT;
			return 0;
		}
	}
	return POLICY_REASON(LIC_INCOMPATIBLE);
}

/* In a collection each row goes to the shard of its licence. */
static void take_licence(struct decided *d, const struct decided_origin *o, size_t n)
{
	struct decided_guests *g = d->guests;
	uint64_t *word = &d->words[o->item];
	unsigned own = (unsigned)(*word >> POLICY_ITEM_LICENCE_SHIFT & 63), licence = row_licence(d, o, n, own);
	if (licence == POLICY_LICENCE_UNKNOWN || licence == own)
		return;
	g->moved[g->n_moved++] = (struct decided_moved){ .item = o->item, .shard = d->shards ? d->shards[o->item] : 0, .own = (uint8_t)own };
	*word = (*word & ~(UINT64_C(63) << POLICY_ITEM_LICENCE_SHIFT)) | (uint64_t)licence << POLICY_ITEM_LICENCE_SHIFT;
}

const struct decided_moved *guests_moved(const struct decided *d, uint32_t item)
{
	size_t low = 0, high = d->guests ? d->guests->n_moved : 0;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (d->guests->moved[middle].item < item)
			low = middle + 1;
		else
			high = middle;
	}
	return d->guests && low < d->guests->n_moved && d->guests->moved[low].item == item ? &d->guests->moved[low] : NULL;
}

unsigned guests_own_licence(const struct decided *d, uint32_t item, unsigned licence)
{
	const struct decided_moved *moved = guests_moved(d, item);
	return moved ? moved->own : licence;
}

bool guests_decide(struct decided *d)
{
	struct decided_guests *g = d->guests;
	if (!g)
		return true;
	g->n_moved = 0;
	g->moved = ARENA_ARRAY(d->arena, g->n_origins, struct decided_moved);
	if (g->n_origins && !g->moved)
		return false;
	for (size_t i = 0; i < d->n; i++)
		d->reasons[i] |= guests_row_reasons(d, d->words[i], d->members[i]);
	for (size_t from = 0, to; from < g->n_origins; from = to) {
		size_t item = g->origins[from].item;
		for (to = from + 1; to < g->n_origins && g->origins[to].item == item; to++)
			;
		for (size_t i = from; i < to && item < d->n; i++)
			d->reasons[item] |= guests_origin_reasons(d, &g->origins[i], d->words[item]);
		if (item < d->n && d->spec.licence_mode == POLICY_COLLECTION && !d->apart)
			take_licence(d, &g->origins[from], to - from);
	}
	policy_outcomes(d->reasons, d->n, d->outcomes);
	return true;
}

/* The columns that the set rules look at: everybody once, and rows under the licence that fits all their origins. */
bool guests_set(struct decided *d, struct policy_set *set)
{
	struct decided_guests *g = d->guests;
	if (g && g->person_of) {
		uint32_t *people = ARENA_ARRAY(d->arena, d->n, uint32_t);
		if (!people)
			return false;
		for (size_t i = 0; i < d->n; i++)
			people[i] = d->members[i] < g->n_limits ? g->person_of[d->members[i]] : d->members[i];
		set->members = people;
	}
	if (!g || g->n_origins == 0 || d->spec.licence_mode != POLICY_ADAPTATION)
		return true;
	uint64_t *words = ARENA_ARRAY(d->arena, d->n, uint64_t);
	if (!words)
		return false;
	memcpy(words, d->words, d->n * sizeof(*words));
	for (size_t from = 0, to; from < g->n_origins; from = to) {
		size_t item = g->origins[from].item;
		for (to = from + 1; to < g->n_origins && g->origins[to].item == item; to++)
			;
		if (item < d->n)
			d->reasons[item] |= take_meet(d, &g->origins[from], to - from, &words[item]);
	}
	policy_outcomes(d->reasons, d->n, d->outcomes);
	set->words = words;
	return true;
}

unsigned guests_access(const struct decided *d)
{
	const struct decided_guests *g = d->guests;
	unsigned access = 0;
	for (size_t i = 0; g && i < d->n; i++)
		if (outcome_is_in(d->outcomes[i]) && d->members[i] < g->n_limits && g->limits[d->members[i]].access > access)
			access = g->limits[d->members[i]].access;
	for (size_t i = 0; g && i < g->n_origins; i++) {
		const struct decided_origin *o = &g->origins[i];
		if (o->item < d->n && outcome_is_in(d->outcomes[o->item]) && o->member < g->n_limits && g->limits[o->member].access > access)
			access = g->limits[o->member].access;
	}
	return access;
}

void guests_digest(const struct decided *d, struct hasher *h)
{
	const struct decided_guests *g = d->guests;
	bool any = false;
	for (size_t i = 0; g && i < g->n_origins; i++) {
		const struct decided_origin *o = &g->origins[i];
		if (o->item >= d->n || !outcome_is_in(d->outcomes[o->item]))
			continue;
		if (!any)
			hasher_add(h, "origins\n", 8);
		any = true;
		uint8_t tail[2] = { o->origin, o->licence };
		hasher_add(h, d->ids[o->item], 16);
		hasher_add(h, o->id, 16);
		hasher_add(h, tail, sizeof(tail));
	}
}
