/* apply_records.c - a bundle's records into the pool: a pipeline of groups. Workers read lines, check and make them ready, and seal; the caller's thread, which has the transaction, asks what is
 * known, and writes.
 *
 *   free -> filled with lines -> made ready -> (asked) -> sealed -> written, and free again
 *
 * The groups go round on a belt (belt.h), so memory is the same whatever the size of the bundle, and lines come out of it in order.
 */
#include "server/merge/merge_internal.h"

#include "commonhold/belt.h"
#include "commonhold/contribution.h"
#include "commonhold/job.h"
#include "commonhold/keyring.h"
#include "commonhold/ledger.h"
#include "commonhold/onward.h"
#include "commonhold/seal_many.h"

#include <stdlib.h>

#define WORKERS 2
#define GROUP_LINES 2048
#define GROUP_BYTES ((size_t)6 * MIB)    /* of lines, from which a group is closed early */
#define CHUNK 64                         /* lines that a worker takes at a time */
#define GROUP_ARENA (64 * MIB)
#define ARENA_KEPT (8 * MIB)
#define SCRATCH_ARENA (192 * MIB)        /* one line, parsed twice */
#define GUESTS_AT_FIRST 1024
#define EXTEND_EVERY 16                  /* groups after which a job's lease is prolonged */

SQL(guests_of_home,
	"SELECT g.id, g.number, g.contributor, s.home FROM guest g JOIN guest_source s ON s.coop_id = g.coop_id AND s.agreement_id = g.agreement_id "
	"WHERE g.coop_id = $1 AND g.home = $2 AND g.contributor = ANY ($3)");

SQL(any_held_back, "SELECT EXISTS (SELECT FROM merge_passing WHERE coop_id = $1 AND by_home = $2 AND out)");
SQL(held_back, "SELECT p.id, p.home FROM merge_passing p WHERE p.coop_id = $1 AND p.id = ANY ($2) AND p.out AND p.by_home = $3");

enum round { ROUND_MAKE, ROUND_SEAL };

struct group {
	struct buf text;
	size_t offset[GROUP_LINES + 1];
	size_t n;                            /* lines */
	struct record_made made[GROUP_LINES];
	const struct seal_key *key[GROUP_LINES]; /* of the contributor */
	struct arena *arena[WORKERS];
};

/* Guests whose records came by: open addressing by contributor and home. */
struct known_guest { uint8_t contributor[16]; unsigned home; int number; struct uuid id; struct seal_key key; bool used, elsewhere; /* elsewhere: their words come from another than the sender */ };

struct flow {
	struct applying *applying;
	struct origin_taking *taking;
	struct bundle_lines *lines;
	struct arena *lines_arena;           /* of the reader and its errors */
	struct group group[BELT_GROUPS];
	struct belt *belt;
	struct known_guest *guests;          /* the caller's alone */
	size_t guest_mask, n_guests;
	struct { bool erased, held_back, ways; } any; /* whether there is anything of the kind, when the records begin: else no group asks about it */
};

/* ---- Workers ---- */

/* Whether a line is of a home of which nothing is taken. */
static bool line_dropped(const struct flow *f, struct str line)
{
	struct bundle_record r;
	struct error e = { 0 };
	return bundle_record_read(f->lines_arena, line, &r, &e) == ERR_OK && apply_drops(f->applying, r.home);
}

/* Lines into a free group, until it is full or they end. */
static enum err group_fill(void *arg, unsigned place, size_t *n, bool *last, struct error *e)
{
	struct flow *f = arg;
	struct group *g = &f->group[place];
	g->n = 0;
	buf_clear(&g->text);
	while (g->n < GROUP_LINES && g->text.n < GROUP_BYTES) {
		struct str line;
		TRY(bundle_lines_next(f->lines, &line, e));
		if (!line.p) {
			*last = true;
			break;
		}
		if (f->applying->n_dropped && line_dropped(f, line))
			continue;
		g->offset[g->n++] = g->text.n;
		buf_add(&g->text, line.p, line.n);
		if (g->text.failed)
			return error_set(e, ERR_NO_MEMORY, "There is no memory for the lines of a bundle.");
	}
	g->offset[g->n] = g->text.n;
	*n = g->n;
	return ERR_OK;
}

static void line_make(struct flow *f, struct group *g, unsigned worker, size_t i, struct arena *scratch)
{
	jmp_buf full;
	struct record_made *made = &g->made[i];
	struct arena *keep = g->arena[worker];
	struct error e = { 0 };
	struct str line = str_sub(buf_str(&g->text), g->offset[i], g->offset[i + 1] - g->offset[i]);
	memset(made, 0, sizeof(*made));
	if (setjmp(full)) {
		static struct error no_memory = { .code = ERR_REFUSED, .message = "This line needs more memory than it may have." };
		made->error = &no_memory;
	} else {
		arena_guard(keep, &full);
		arena_guard(scratch, &full);
		if (record_make(f->applying, keep, scratch, line, made, &e) == ERR_OK) {
			origin_taking_look(f->taking, &made->foreign);
		} else {
			made->error = ARENA_NEW(keep, struct error);
			*made->error = e;
			made->error->faults = NULL;
		}
	}
	arena_guard(keep, NULL);
	arena_guard(scratch, NULL);
}

static void line_seal(struct flow *f, struct group *g, unsigned worker, size_t i, struct seal_nonces *nonces)
{
	if (g->key[i])
		foreign_seal(g->arena[worker], nonces, g->key[i], f->applying->coop, &g->made[i].foreign);
}

static void group_work(void *arg, unsigned place, unsigned worker, unsigned round, size_t from, size_t to, struct arena *scratch)
{
	struct flow *f = arg;
	struct group *g = &f->group[place];
	struct seal_nonces nonces = { .left = 0 };
	for (size_t i = from; i < to; i++) {
		if (round == ROUND_MAKE) {
			line_make(f, g, worker, i, scratch);
			arena_reset(scratch);
		} else {
			line_seal(f, g, worker, i, &nonces);
		}
	}
}

/* ---- The caller's side ---- */

static void flow_free(void *arg)
{
	struct flow *f = arg;
	belt_stop(f->belt);
	for (unsigned i = 0; i < BELT_GROUPS; i++) {
		buf_release(&f->group[i].text);
		for (unsigned w = 0; w < WORKERS; w++)
			arena_free(f->group[i].arena[w]);
	}
	arena_free(f->lines_arena);
	secret_wipe(f->guests, f->guests ? (f->guest_mask + 1) * sizeof(*f->guests) : 0);
	free(f->guests);
	free(f);
}

static bool flow_init(struct flow *f)
{
	bool ok = (f->guests = calloc(GUESTS_AT_FIRST, sizeof(*f->guests))) != NULL;
	f->guest_mask = GUESTS_AT_FIRST - 1;
	for (unsigned i = 0; i < BELT_GROUPS; i++) {
		buf_init(&f->group[i].text, GROUP_BYTES + BUNDLE_LINE_MAX + KIB);
		for (unsigned w = 0; w < WORKERS; w++) {
			ok = ok && (f->group[i].arena[w] = arena_new(GROUP_ARENA)) != NULL;
			if (ok)
				arena_keep(f->group[i].arena[w], ARENA_KEPT);
		}
	}
	return ok && (f->lines_arena = arena_new(32 * MIB)) != NULL;
}

/* ---- Guests ---- */

static struct known_guest *guest_place(const struct flow *f, unsigned home, const uint8_t contributor[16])
{
	uint64_t h;
	memcpy(&h, contributor, sizeof(h));
	size_t at = (size_t)(h ^ home * UINT64_C(0x9e3779b97f4a7c15)) & f->guest_mask;
	while (f->guests[at].used && (f->guests[at].home != home || memcmp(f->guests[at].contributor, contributor, 16) != 0))
		at = (at + 1) & f->guest_mask;
	return &f->guests[at];
}

static enum err guests_room(struct flow *f)
{
	if (f->n_guests * 2 < f->guest_mask)
		return ERR_OK;
	struct flow bigger = { .guests = calloc((f->guest_mask + 1) * 2, sizeof(*f->guests)), .guest_mask = f->guest_mask * 2 + 1 };
	if (!bigger.guests)
		return fail(f->applying->call, ERR_NO_MEMORY, "There is no memory for the contributors of a bundle.");
	for (size_t i = 0; i <= f->guest_mask; i++)
		if (f->guests[i].used)
			*guest_place(&bigger, f->guests[i].home, f->guests[i].contributor) = f->guests[i];
	secret_wipe(f->guests, (f->guest_mask + 1) * sizeof(*f->guests));
	free(f->guests);
	f->guests = bigger.guests;
	f->guest_mask = bigger.guest_mask;
	return ERR_OK;
}

/* Asks for those of one home and takes their keys. */
static enum err guests_ask(struct flow *f, unsigned home, const struct str *contributors, size_t n)
{
	struct applying *a = f->applying;
	struct call *c = a->call;
	struct rows r;
	TRY(db_query(c, guests_of_home, &r, A_UUID(a->coop), A_STR(a->homes[home].key_name), A_BYTEAS(contributors, n)));
	size_t found = (size_t)r.n;
	struct uuid *ids = ARENA_ARRAY(c->arena, found, struct uuid);
	struct seal_key *keys = ARENA_ARRAY(c->arena, found, struct seal_key);
	bool *present = ARENA_ARRAY(c->arena, found, bool);
	for (size_t i = 0; i < found; i++)
		ids[i] = row_uuid(&r, (int)i, 0);
	TRY(keyring_get(c, a->coop, ids, found, keys, present));
	for (size_t i = 0; i < found; i++) {
		struct str contributor = row_bytes(&r, (int)i, 2);
		if (!present[i] || contributor.n != 16)
			continue;
		TRY(guests_room(f));
		struct known_guest *g = guest_place(f, home, (const uint8_t *)contributor.p);
		f->n_guests += !g->used;
		*g = (struct known_guest){ .home = home, .number = (int)row_int(&r, (int)i, 1), .id = ids[i], .key = keys[i], .used = true,
			.elsewhere = !str_eq(row_str(&r, (int)i, 3), a->bundle->from) };
		memcpy(g->contributor, contributor.p, 16);
	}
	secret_wipe(keys, found * sizeof(*keys));
	return ERR_OK;
}

/* Asks for whoever is new in a group, home by home. */
static enum err guests_learn(struct flow *f, struct group *g)
{
	struct applying *a = f->applying;
	struct str *unknown = ARENA_ARRAY(a->call->arena, g->n, struct str);
	for (size_t home = 0; home < a->n_homes; home++) {
		size_t n = 0;
		const uint8_t *before = NULL;
		for (size_t i = 0; i < g->n; i++) {
			const struct record_made *m = &g->made[i];
			const uint8_t *who = m->record.contributor;
			if (m->error || m->home != (int)home || guest_place(f, (unsigned)home, who)->used || (before && memcmp(before, who, 16) == 0))
				continue;
			before = who;
			unknown[n++] = str_make(who, 16);
		}
		if (n)
			TRY(guests_ask(f, (unsigned)home, unknown, n));
	}
	return ERR_OK;
}

/* ---- What is not taken ---- */

/* The first line of a group that is not as it should be ends it all. */
static enum err refuse_wrong(struct applying *a, const struct group *g, int64_t before)
{
	for (size_t i = 0; i < g->n; i++) {
		struct error e;
		if (!g->made[i].error)
			continue;
		e = *g->made[i].error;
		snprintf(e.detail, sizeof(e.detail), "Record %lld of the bundle.", (long long)(before + (int64_t)i + 1));
		return apply_refuse_error(a, NULL, &e);
	}
	return ERR_OK;
}

static enum err give_guests(struct flow *f, struct group *g, int64_t before)
{
	struct applying *a = f->applying;
	for (size_t i = 0; i < g->n; i++) {
		struct record_made *m = &g->made[i];
		const struct known_guest *k = guest_place(f, (unsigned)m->home, m->record.contributor);
		if (!k->used)
			return apply_refuse(a, BUNDLE_REASON_OUTSIDE, NULL, "Record %lld is of a contributor of whom their home has said nothing.", (long long)(before + (int64_t)i + 1));
		m->foreign.member = k->id;
		m->foreign.member_no = (uint32_t)k->number;
	}
	return ERR_OK;
}

/* Records that their homes have erased, by word of this bundle or of any before. */
static enum err leave_erased(struct flow *f, struct group *g)
{
	struct applying *a = f->applying;
	struct call *c = a->call;
	struct uuid *ids = ARENA_ARRAY(c->arena, g->n, struct uuid);
	uint32_t *at = ARENA_ARRAY(c->arena, g->n, uint32_t);
	bool *gone = ARENA_ARRAY(c->arena, g->n, bool);
	for (size_t home = 0; home < a->n_homes; home++) {
		size_t n = 0;
		for (size_t i = 0; i < g->n; i++) {
			if (g->made[i].home != (int)home)
				continue;
			at[n] = (uint32_t)i;
			ids[n++] = g->made[i].foreign.id;
		}
		if (n == 0)
			continue;
		if (f->any.erased)
			TRY(onward_erased(c, a->coop, a->homes[home].key_name, ids, n, gone));
		for (size_t k = 0; k < n; k++) {
			if (!gone[k] && !apply_is_gone(a, ids[k]))
				continue;
			g->made[at[k]].foreign.fate = FOREIGN_LEFT;
			a->report.erased++;
		}
	}
	return ERR_OK;
}

static struct str commitment_of(struct arena *arena, const struct record_made *m)
{
	return sha256_hex(arena, ledger_commitment(m->foreign.salt, m->foreign.hash));
}

/* What a record is, for people: never its content, nor a hash that could be guessed back from it. */
static struct str detail_of(struct arena *arena, const struct record_made *m)
{
	return str_fmt(arena, "{\"commitment\":\"%.*s\",\"leaf\":%lld,\"licence\":\"%s\"}", STR_ARG(commitment_of(arena, m)), (long long)m->foreign.leaf,
		policy_licence_get(m->foreign.licence)->spdx);
}

static enum err leave_suppressed(struct applying *a, struct group *g)
{
	struct call *c = a->call;
	struct sha256 *hashes = ARENA_ARRAY(c->arena, g->n, struct sha256);
	bool *bits = ARENA_ARRAY(c->arena, g->n, bool);
	for (size_t i = 0; i < g->n; i++)
		hashes[i] = g->made[i].foreign.hash;
	TRY(onward_suppressed(c, a->coop, a->agreement.id, hashes, g->n, bits));
	for (size_t i = 0; i < g->n; i++) {
		struct record_made *m = &g->made[i];
		if (!bits[i] || m->foreign.fate == FOREIGN_LEFT)
			continue;
		m->foreign.fate = FOREIGN_LEFT;
		a->report.erased++;
		TRY(merge_conflict_add(c, a->coop, a->agreement.id, MERGE_SUPPRESSED, m->record.home, m->record.rid, detail_of(c->arena, m), STR_NONE));
	}
	return ERR_OK;
}

/* ---- What contradicts ---- */

/* Both versions are leaves of the home's log, which its checkpoint signs: their commitments and places prove it to anybody who has the log. */
static struct str proof_of(struct applying *a, const struct record_made *m, const struct merge_standing *s)
{
	struct buf b;
	struct json_writer w;
	struct arena *arena = a->call->arena;
	buf_init(&b, LIMIT_BODY_ITEM);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "bundle", sha256_hex(arena, a->bundle->digest));
	jw_kstr(&w, "checkpoint", a->bundle->checkpoint);
	jw_key(&w, "first");
	jw_object(&w);
	jw_kstr(&w, "commitment", s->commitment);
	jw_kint(&w, "leaf", s->leaf);
	jw_kstr(&w, "licence", s->licence);
	jw_end_object(&w);
	jw_kstr(&w, "home", m->record.home);
	jw_kstr(&w, "rid", m->record.rid);
	jw_key(&w, "second");
	jw_raw(&w, detail_of(arena, m));
	jw_end_object(&w);
	return buf_take(arena, &b);
}

static enum err settle(struct applying *a, const struct record_made *m)
{
	struct call *c = a->call;
	struct merge_standing standing;
	switch (m->foreign.fate) {
	case FOREIGN_ROW: a->report.rows++; break;
	case FOREIGN_ORIGIN: a->report.origins++; break;
	case FOREIGN_KNOWN: a->report.known++; break;
	case FOREIGN_ERASED: a->report.erased++; break;
	case FOREIGN_LEFT: break;
	case FOREIGN_CONTRADICTS:
		a->report.quarantined++;
		TRY(merge_standing_of(c, a->coop, m->foreign.item_no, m->foreign.id, &standing));
		TRY(merge_conflict_add(c, a->coop, a->agreement.id, MERGE_EQUIVOCATION, m->record.home, m->record.rid, STR("{\"about\":\"record\"}"), proof_of(a, m, &standing)));
		if (!touched_add(&a->touched, m->record.home, m->record.id))
			return fail(c, ERR_NO_MEMORY, "There is no memory for the names of records.");
		break;
	case FOREIGN_ID_TAKEN:
		a->report.quarantined++;
		TRY(merge_conflict_add(c, a->coop, a->agreement.id, MERGE_ID_TAKEN, m->record.home, m->record.rid, detail_of(c->arena, m), STR_NONE));
		break;
	}
	return ERR_OK;
}

static void unmapped_set(struct unmapped *u, struct str home, struct str schema)
{
	*u = (struct unmapped){ .home = home, .records = 1 };
	snprintf(u->schema, sizeof(u->schema), "%.*s", STR_ARG(schema));
}

static void count_unmapped(struct applying *a, struct str home, struct str schema)
{
	a->report.unmapped++;
	for (size_t i = 0; i < a->n_unmapped; i++) {
		if (str_is(schema, a->unmapped[i].schema) && str_eq(a->unmapped[i].home, home)) {
			a->unmapped[i].records++;
			return;
		}
	}
	if (a->n_unmapped < UNMAPPED_MAX)
		unmapped_set(&a->unmapped[a->n_unmapped++], home, schema);
}

static enum err note_unmapped(struct applying *a, const struct group *g)
{
	struct call *c = a->call;
	struct str *homes = ARENA_ARRAY(c->arena, g->n, struct str), *schemas = ARENA_ARRAY(c->arena, g->n, struct str);
	struct uuid *ids = ARENA_ARRAY(c->arena, g->n, struct uuid);
	size_t n = 0;
	for (size_t i = 0; i < g->n; i++) {
		const struct record_made *m = &g->made[i];
		if (!m->schema.p || (m->foreign.fate != FOREIGN_ROW && m->foreign.fate != FOREIGN_ORIGIN) || merge_map_find(a->agreement.terms.schemas, m->record.home, m->schema))
			continue;
		homes[n] = a->homes[m->home].key_name;
		schemas[n] = m->schema;
		ids[n++] = m->record.id;
		count_unmapped(a, a->homes[m->home].key_name, m->schema);
		if (!touched_add(&a->touched, m->record.home, m->record.id))
			return fail(c, ERR_NO_MEMORY, "There is no memory for the names of records.");
	}
	return n ? unmapped_note(c, a->coop, homes, ids, schemas, n) : ERR_OK;
}

/* What is not passed on any more is restricted from the beginning, whichever came first. */
static enum err hold_back(struct flow *f, struct group *g)
{
	struct applying *a = f->applying;
	struct call *c = a->call;
	struct rows r;
	struct uuid *ids = ARENA_ARRAY(c->arena, g->n, struct uuid);
	for (size_t i = 0; i < g->n; i++)
		if (guest_place(f, (unsigned)g->made[i].home, g->made[i].record.contributor)->elsewhere)
			g->made[i].foreign.word |= POLICY_ITEM_RESTRICTED;
	if (!f->any.held_back)
		return ERR_OK;
	for (size_t i = 0; i < g->n; i++)
		ids[i] = g->made[i].foreign.id;
	TRY(db_query(c, held_back, &r, A_UUID(a->coop), A_UUIDS(ids, g->n), A_STR(a->bundle->from)));
	for (int row = 0; row < r.n; row++)
		for (size_t i = 0; i < g->n; i++)
			if (uuid_eq(ids[i], row_uuid(&r, row, 0)) && str_eq(g->made[i].record.home, row_str(&r, row, 1)))
				g->made[i].foreign.word |= POLICY_ITEM_RESTRICTED;
	return ERR_OK;
}

/* By which way they came. Of those that may have come by another, too, it is looked at again whether they count. */
static enum err note_ways(struct flow *f, const struct group *g)
{
	struct applying *a = f->applying;
	struct call *c = a->call;
	struct str *homes = ARENA_ARRAY(c->arena, g->n, struct str);
	struct uuid *ids = ARENA_ARRAY(c->arena, g->n, struct uuid);
	for (int own = 1; own >= 0; own--) {
		size_t n = 0;
		for (size_t i = 0; i < g->n; i++) {
			if ((g->made[i].home == 0) != own)
				continue;
			homes[n] = a->homes[g->made[i].home].key_name;
			ids[n++] = g->made[i].record.id;
		}
		bool several = false;
		if (own && !f->any.ways)
			continue;
		TRY(onward_ways_note(c, a->coop, a->bundle->from, homes, ids, n, &several));
		for (size_t i = 0; several && i < n; i++)
			if (!touched_add(&a->touched, homes[i], ids[i]))
				return fail(c, ERR_NO_MEMORY, "There is no memory for the names of records.");
	}
	return ERR_OK;
}

/* What new rows say that they were made from. */
static enum err note_derived(struct applying *a, const struct group *g)
{
	struct call *c = a->call;
	for (size_t i = 0; i < g->n; i++) {
		const struct foreign *f = &g->made[i].foreign;
		struct pool_derivation all[CONTRIBUTION_SOURCES];
		struct derivation *from;
		const struct json *facts;
		if (f->fate != FOREIGN_ROW || !f->facts.n || !memmem(f->facts.p, f->facts.n, "\"derived_from\"", 14))
			continue;
		TRY(json_parse(c->arena, f->facts, &facts, &c->error));
		size_t n = derivation_read(c->arena, facts, &from);
		for (size_t k = 0; k < n; k++)
			all[k] = (struct pool_derivation){ f->id, from[k].home, from[k].source, from[k].copied };
		TRY(pool_derive(c, a->coop, all, n));
	}
	return ERR_OK;
}

/* ---- The flow ---- */

static enum err group_ask(struct flow *f, struct group *g)
{
	struct applying *a = f->applying;
	int64_t before = a->report.records;
	TRY(refuse_wrong(a, g, before));
	TRY(guests_learn(f, g));
	TRY(give_guests(f, g, before));
	TRY(note_ways(f, g)); /* before anything is noted of these lines: what was known before came another way */
	TRY(leave_erased(f, g));
	TRY(leave_suppressed(a, g));
	TRY(hold_back(f, g));
	struct foreign *foreign = ARENA_ARRAY(a->call->arena, g->n, struct foreign);
	for (size_t i = 0; i < g->n; i++)
		foreign[i] = g->made[i].foreign;
	TRY(origin_taking_ask(f->taking, foreign, g->n));
	for (size_t i = 0; i < g->n; i++) {
		g->made[i].foreign = foreign[i];
		g->key[i] = &guest_place(f, (unsigned)g->made[i].home, g->made[i].record.contributor)->key;
		TRY(settle(a, &g->made[i]));
	}
	a->report.records += (int64_t)g->n;
	TRY(note_derived(a, g));
	return note_unmapped(a, g);
}

static enum err group_write(struct flow *f, struct group *g)
{
	struct call *c = f->applying->call;
	struct foreign *foreign = ARENA_ARRAY(c->arena, g->n, struct foreign);
	for (size_t i = 0; i < g->n; i++)
		foreign[i] = g->made[i].foreign;
	return origin_taking_write(f->taking, foreign, g->n);
}

/* One bundle is taken in at a time, and only bundles say what is passed on by which way. What a home erases while its records come in is carried out on them at the end (onward_settle), as it would be
 * when they were here before. */
static enum err ask_for_any(struct flow *f)
{
	struct applying *a = f->applying;
	struct rows r;
	TRY(onward_any_erased(a->call, a->coop, &f->any.erased));
	TRY(onward_ways_any(a->call, a->coop, a->bundle->from, &f->any.ways));
	TRY(db_one(a->call, any_held_back, &r, A_UUID(a->coop), A_STR(a->bundle->from)));
	f->any.held_back = row_bool(&r, 0, 0);
	return ERR_OK;
}

/* Writes a group that is sealed, or will be. */
static enum err group_finish(struct flow *f, unsigned number)
{
	struct group *g = &f->group[belt_take(f->belt, number).place];
	TRY(group_write(f, g));
	for (unsigned w = 0; w < WORKERS; w++)
		arena_reset(g->arena[w]);
	belt_done(f->belt);
	return ERR_OK;
}

/* A group is written after the next one was asked about: its sealing, and the making of those behind it, then go on while the database works. The call's arena is rewound after each group: what lasts
 * is elsewhere. */
static enum err flow_run(struct flow *f)
{
	struct applying *a = f->applying;
	bool last = false;
	for (unsigned number = 0; !last; number++) {
		struct belt_group taken = belt_take(f->belt, number);
		struct arena_mark mark = arena_mark(a->call->arena);
		last = taken.last;
		if (taken.error)
			return apply_refuse_error(a, NULL, taken.error);
		TRY(group_ask(f, &f->group[taken.place]));
		belt_again(f->belt, number);
		if (a->call->job && number % EXTEND_EVERY == 0)
			TRY(job_extend(a->call));
		if (number)
			TRY(group_finish(f, number - 1));
		if (last)
			TRY(group_finish(f, number));
		arena_rewind(a->call->arena, mark);
	}
	return ERR_OK;
}

enum err apply_records(struct applying *a, struct origin_taking *taking)
{
	struct call *c = a->call;
	struct flow *f = calloc(1, sizeof(*f));
	if (!f)
		return fail(c, ERR_NO_MEMORY, "There is no memory for a bundle.");
	f->applying = a;
	f->taking = taking;
	const struct belt_work work = { .arg = f, .workers = WORKERS, .chunk = CHUNK, .scratch = SCRATCH_ARENA, .fill = group_fill, .work = group_work };
	enum err err = flow_init(f) ? bundle_lines_open(f->lines_arena, a->bundle, BUNDLE_RECORDS, &f->lines, &c->error) : fail(c, ERR_NO_MEMORY, "There is no memory for a bundle.");
	if (err == ERR_OK)
		err = belt_start(&work, &f->belt, &c->error);
	if (err == ERR_OK)
		err = ask_for_any(f);
	if (err == ERR_OK)
		err = flow_run(f);
	if (err == ERR_OK)
		err = origin_taking_put(taking);
	flow_free(f);
	return err;
}
