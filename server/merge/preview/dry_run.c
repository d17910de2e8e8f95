/* What an agreement would do to two pools, from their previews: a pure function, so that whoever computes it from the same comes to the same document. */
#include "preview_internal.h"

#include "commonhold/json.h"

#include <stdlib.h>

/* One side of it. */
struct side {
	struct charter charter;
	const struct outline *outline;
	policy_reasons *alone, *joint, *at_partner; /* by item, with the rules over the set */
	uint32_t *members;                          /* by item */
	struct policy_change change;                /* from alone to joint */
	struct policy_set_report alone_report, partner_report;
};

struct trying {
	struct arena *a;
	struct policy_mem mem;
	const struct agreement_terms *terms;
	const struct json *document;    /* of a joint release under the terms */
	struct policy_spec spec;        /* by it */
	struct side side[2];
	struct policy_set_report report; /* of both pools together */
	int64_t by_licence[POLICY_LICENCE_COUNT]; /* rows of the joint release */
	int64_t items_in;                /* of both, what both have counted for each */
	int64_t duplicates, differ_licence, differ_kind, differ_outcome;
	struct policy_plan plan;
	struct error *e;
};

static bool is_in(policy_reasons reasons)
{
	return policy_outcome_of(reasons) <= POLICY_CONDITIONAL;
}

static void *arena_get(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

static enum err engine_failed(struct trying *t, enum policy_status status)
{
	return status == POLICY_NO_MEMORY ? error_set(t->e, ERR_NO_MEMORY, "There is no memory to try the agreement out.")
		: error_set(t->e, ERR_REFUSED, "Nothing is left that both charters and the agreement allow.");
}

static uint64_t word_of(const struct preview_item *item)
{
	struct policy_item p = { .kind = item->kind, .licence = item->licence, .moderation = POLICY_MODERATION_APPROVED, .flags = POLICY_ITEM_ATTRIBUTED,
		.created = clock_of_civil((struct civil){ .year = item->month / 12, .month = item->month % 12 + 1, .day = 1 }) };
	return policy_item_pack(&p);
}

/* ---- the rules over a set ---- */

/* Applies them to items whose own reasons are known; items of both sides one after the other. */
static enum err apply_set(struct trying *t, const struct policy_spec *spec, const uint64_t *words, const uint32_t *members, size_t n, size_t n_members, policy_reasons *reasons,
	struct policy_set_report *report)
{
	const struct policy_program *program;
	struct policy_faults faults = { NULL, 0, 0 };
	uint8_t *outcomes = ARENA_ARRAY(t->a, n + 1, uint8_t);
	struct policy_spec plain = *spec;
	plain.volume_cap = POLICY_NO_CAP; /* lots are drawn by ids, which nobody was told */
	plain.n_toggles = 0;
	enum policy_status status = policy_compile(&plain, &t->mem, &program, &faults);
	if (status != POLICY_OK || !outcomes)
		return engine_failed(t, status);
	policy_outcomes(reasons, n, outcomes);
	struct policy_set set = { .words = words, .members = members, .n = n, .n_members = n_members };
	status = policy_apply_set_rules(program, &set, reasons, outcomes, &t->mem, report);
	return status == POLICY_OK ? ERR_OK : engine_failed(t, status);
}

static bool columns(struct trying *t, struct side *s, uint64_t **words)
{
	size_t n = s->outline->n_items;
	s->alone = ARENA_ARRAY(t->a, n + 1, policy_reasons);
	s->joint = ARENA_ARRAY(t->a, n + 1, policy_reasons);
	s->at_partner = ARENA_ARRAY(t->a, n + 1, policy_reasons);
	s->members = ARENA_ARRAY(t->a, n + 1, uint32_t);
	*words = ARENA_ARRAY(t->a, n + 1, uint64_t);
	if (!s->alone || !s->joint || !s->at_partner || !s->members || !*words)
		return false;
	for (size_t i = 0; i < n; i++) {
		const struct preview_item *item = &s->outline->items[i];
		s->alone[i] = item->alone;
		s->joint[i] = item->joint;
		s->members[i] = item->who;
		(*words)[i] = word_of(item);
	}
	return true;
}

/* ---- what the partner would do with the items ---- */

/* Words of a person as statements: one for each effect and kind. */
static size_t statements_of(const struct preview_person *p, uint32_t who, struct policy_statement *out)
{
	size_t n = 0;
	for (unsigned kind = 0; kind < POLICY_KIND_COUNT; kind++) {
		const struct policy_row *row = &p->said[kind];
		const struct { uint16_t uses; uint8_t effect; uint16_t duties; } words[] = {
			{ row->allow, POLICY_EFFECT_ALLOW, 0 }, { row->allow_if, POLICY_EFFECT_ALLOW_IF, row->duties }, { row->deny, POLICY_EFFECT_DENY, 0 },
		};
		for (size_t i = 0; i < CH_LEN(words); i++) {
			if (!words[i].uses)
				continue;
			out[n++] = (struct policy_statement){ .id = n + 1, .subject = who, .item = POLICY_NO_ITEM, .uses = words[i].uses, .duties = words[i].duties, .effect = words[i].effect,
				.layer = POLICY_LAYER_SUBJECT, .selector = POLICY_SELECT_KIND, .kind = (uint8_t)kind, .declared_by = who, .valid_from = POLICY_EVER, .valid_to = POLICY_NEVER };
		}
	}
	return n;
}

/* Purposes that are within both: each side's, and those below them. */
static uint32_t purposes_of_both(uint32_t a, uint32_t b)
{
	uint32_t both = 0;
	for (unsigned p = 0; p < POLICY_PURPOSE_COUNT; p++)
		if (a & policy_purpose_above(p) && b & policy_purpose_above(p))
			both |= UINT32_C(1) << p;
	return both;
}

static enum err facts_of(struct trying *t, const struct outline *o, struct policy_facts *out)
{
	struct policy_member *members = ARENA_ARRAY(t->a, o->n_people + 1, struct policy_member);
	struct policy_statement *said = ARENA_ARRAY(t->a, o->n_people * POLICY_KIND_COUNT * 3 + 1, struct policy_statement);
	size_t n = 0;
	if (!members || !said)
		return engine_failed(t, POLICY_NO_MEMORY);
	for (size_t i = 0; i < o->n_people; i++) {
		members[i] = (struct policy_member){ .standing = POLICY_STANDING_ACTIVE, .consent = POLICY_CONSENT_GIVEN, .notice = UINT32_MAX,
			.purposes = purposes_of_both(o->people[i].purposes, t->terms->purposes), .consent_given = 0, .consent_expires = o->people[i].consent_expires,
			.defaults_accepted = POLICY_NEVER };
		n += statements_of(&o->people[i], (uint32_t)i, said + n);
	}
	*out = (struct policy_facts){ .members = members, .n_members = o->n_people, .statements = said, .n_statements = n };
	return ERR_OK;
}

/* Where the items of one side may go at all: only if it sends, only kinds and licences that are exchanged. */
static policy_reasons exchange_reasons(const struct trying *t, int from, const struct preview_item *item)
{
	const struct agreement_terms *terms = t->terms;
	policy_reasons reasons = item->joint;
	if (!terms->flow[from] || !(terms->kinds >> item->kind & 1))
		reasons |= POLICY_REASON(KIND_NOT_ACCEPTED);
	if (!(terms->licences >> item->licence & 1))
		reasons |= POLICY_REASON(LIC_INCOMPATIBLE);
	return reasons;
}

/* How the partner of side `from` would decide its items in a release of its own: by its charter and the agreement's limits. */
static enum err decide_at_partner(struct trying *t, int from, instant at, const uint64_t *words)
{
	struct side *s = &t->side[from];
	struct policy_spec spec;
	struct policy_facts facts;
	struct policy_faults faults = { NULL, 0, 0 };
	const struct policy_program *program;
	struct policy_rows *rows;
	size_t n = s->outline->n_items;
	release_rules(&t->side[!from].charter, at, &spec);
	if (t->terms->k > spec.k_contributors)
		spec.k_contributors = t->terms->k;
	if (t->terms->embargo > spec.embargo)
		spec.embargo = t->terms->embargo;
	enum policy_status status = policy_compile(&spec, &t->mem, &program, &faults);
	if (status != POLICY_OK)
		return engine_failed(t, status);
	TRY(facts_of(t, s->outline, &facts));
	status = policy_rows_build(program, &facts, &t->mem, &rows, &faults);
	if (status != POLICY_OK)
		return engine_failed(t, status);
	struct policy_batch batch = { .words = words, .members = s->members, .n = n };
	policy_decide_batch(program, rows, &batch, NULL, s->at_partner);
	for (size_t i = 0; i < n; i++)
		s->at_partner[i] |= exchange_reasons(t, from, &s->outline->items[i]);
	spec.k_contributors = 0; /* the partner's own people count too */
	return apply_set(t, &spec, words, s->members, n, s->outline->n_people, s->at_partner, &s->partner_report);
}

/* ---- both together ---- */

static bool fits_under(unsigned from, unsigned to)
{
	return from == to || policy_licence_outputs(from, POLICY_CELLS_PASS) >> to & 1;
}

/* Of two licences the one under which both may go out, the lowest where there are two; -1: neither. */
static int common_licence(unsigned a, unsigned b)
{
	unsigned low = a < b ? a : b, high = a < b ? b : a;
	return fits_under(high, low) ? (int)low : fits_under(low, high) ? (int)high : -1;
}

/* Of two licences the one that leaves nothing open which the other does not; -1: neither does, and no one licence says it. */
static int stricter_licence(unsigned a, unsigned b, uint32_t outputs)
{
	uint32_t of_a = policy_licence_outputs(a, POLICY_CELLS_PASS) & outputs, of_b = policy_licence_outputs(b, POLICY_CELLS_PASS) & outputs;
	return !(of_a & of_b) ? -1 : (of_a & ~of_b) == 0 ? (int)a : (of_b & ~of_a) == 0 ? (int)b : -1;
}

/* What a joint release says to one content under two licences: it goes out under one of them that fits both, or not at all (release_joint.h). */
static policy_reasons licences_of_twins(const struct trying *t, unsigned a, unsigned b, uint64_t *word)
{
	if (a == b)
		return 0;
	int licence = t->spec.licence_mode == POLICY_ADAPTATION ? stricter_licence(a, b, t->spec.outputs) : common_licence(a, b);
	if (licence < 0)
		return POLICY_REASON(LIC_INCOMPATIBLE);
	*word = (*word & ~(UINT64_C(63) << POLICY_ITEM_LICENCE_SHIFT)) | (uint64_t)licence << POLICY_ITEM_LICENCE_SHIFT;
	return 0;
}

/* The same content in both pools is one row of the release, and stands in the pool of whoever makes it as that co-op's own: the stricter of both decisions, for both. Both lists are in order of h. */
static void join_duplicates(struct trying *t, int maker, uint64_t *const words[2], size_t *twin_of, uint8_t *split)
{
	struct side *x = &t->side[maker], *y = &t->side[!maker];
	for (size_t i = 0, j = 0; i < x->outline->n_items && j < y->outline->n_items;) {
		const struct preview_item *a = &x->outline->items[i], *b = &y->outline->items[j];
		int order = memcmp(a->h.b, b->h.b, 32);
		if (order) {
			*(order < 0 ? &i : &j) += 1;
			continue;
		}
		t->duplicates++;
		t->differ_licence += a->licence != b->licence;
		t->differ_kind += a->kind != b->kind;
		t->differ_outcome += policy_outcome_of(a->joint) != policy_outcome_of(b->joint);
		policy_reasons licences = licences_of_twins(t, a->licence, b->licence, &words[maker][i]);
		x->joint[i] = policy_reasons_merge(a->joint, b->joint) | licences;
		split[i] = licences != 0;
		twin_of[j] = i;
		i++;
		j++;
	}
}

#define NO_TWIN SIZE_MAX

/* The rows that a joint release is made of: all of its maker's, and the other's but for what the maker has too. */
struct joined { policy_reasons *reasons; uint64_t *words; uint32_t *members; size_t n; size_t *at[2]; };

static enum err joined_make(struct trying *t, int maker, uint64_t *const words[2], const size_t *twin_of, struct joined *out)
{
	const struct side *sides[2] = { &t->side[maker], &t->side[!maker] };
	size_t n = sides[0]->outline->n_items + sides[1]->outline->n_items;
	*out = (struct joined){ ARENA_ARRAY(t->a, n + 1, policy_reasons), ARENA_ARRAY(t->a, n + 1, uint64_t), ARENA_ARRAY(t->a, n + 1, uint32_t), 0,
		{ ARENA_ARRAY(t->a, n + 1, size_t), ARENA_ARRAY(t->a, n + 1, size_t) } };
	if (!out->reasons || !out->words || !out->members || !out->at[0] || !out->at[1])
		return engine_failed(t, POLICY_NO_MEMORY);
	for (int s = 0; s < 2; s++)
		for (size_t i = 0; i < sides[s]->outline->n_items; i++) {
			if (s && twin_of[i] != NO_TWIN) {
				out->at[1][i] = out->at[0][twin_of[i]];
				continue;
			}
			out->reasons[out->n] = sides[s]->joint[i];
			out->words[out->n] = words[s ? !maker : maker][i];
			out->members[out->n] = sides[s]->members[i] + (s ? (uint32_t)sides[0]->outline->n_people : 0);
			out->at[s][i] = out->n++;
		}
	return ERR_OK;
}

static void plan_licences(struct trying *t, const struct joined *rows, const uint8_t *split)
{
	uint64_t by_licence[POLICY_LICENCE_COUNT] = { 0 };
	const policy_reasons licences = POLICY_REASON(LIC_UNKNOWN) | POLICY_REASON(LIC_INCOMPATIBLE) | POLICY_REASON(LIC_WAIVER) | POLICY_REASON(LIC_REVIEW) | POLICY_REASON(K_MIN);
	for (size_t i = 0; i < rows->n; i++) {
		unsigned licence = rows->words[i] >> POLICY_ITEM_LICENCE_SHIFT & 63;
		if (!split[i] && policy_outcome_of(rows->reasons[i] & ~licences) <= POLICY_CONDITIONAL && licence < POLICY_LICENCE_COUNT)
			by_licence[licence]++;
	}
	policy_licence_plan(by_licence, t->spec.outputs & POLICY_OUTPUTS_ALL, &t->plan);
}

/* Rows that are in, by the licence that each goes out under. */
static void count_licences(struct trying *t, const struct joined *rows)
{
	for (size_t i = 0; i < rows->n; i++) {
		unsigned licence = rows->words[i] >> POLICY_ITEM_LICENCE_SHIFT & 63;
		if (is_in(rows->reasons[i]) && licence < POLICY_LICENCE_COUNT)
			t->by_licence[licence]++;
	}
}

static enum err decide_jointly(struct trying *t, uint64_t *const words[2])
{
	int maker = t->terms->joint.p && str_eq(t->terms->joint, t->terms->parties[1]);
	struct side *sides[2] = { &t->side[maker], &t->side[!maker] };
	size_t n = sides[1]->outline->n_items;
	size_t *twin_of = ARENA_ARRAY(t->a, n + 1, size_t);
	uint8_t *split = ARENA_ARRAY(t->a, n + sides[0]->outline->n_items + 1, uint8_t); /* rows whose two licences no release takes */
	struct joined rows;
	if (!twin_of || !split)
		return engine_failed(t, POLICY_NO_MEMORY);
	for (size_t i = 0; i < n; i++)
		twin_of[i] = NO_TWIN;
	join_duplicates(t, maker, words, twin_of, split);
	TRY(joined_make(t, maker, words, twin_of, &rows));
	plan_licences(t, &rows, split);
	TRY(apply_set(t, &t->spec, rows.words, rows.members, rows.n, sides[0]->outline->n_people + sides[1]->outline->n_people, rows.reasons, &t->report));
	count_licences(t, &rows);
	for (int s = 0; s < 2; s++)
		for (size_t i = 0; i < sides[s]->outline->n_items; i++) {
			sides[s]->joint[i] = rows.reasons[rows.at[s][i]];
			t->items_in += is_in(sides[s]->joint[i]);
		}
	return ERR_OK;
}

static enum err decide_side(struct trying *t, int which, instant at, uint64_t *words)
{
	struct side *s = &t->side[which];
	struct policy_spec own;
	release_rules(&s->charter, s->outline->as_of, &own);
	TRY(apply_set(t, &own, words, s->members, s->outline->n_items, s->outline->n_people, s->alone, &s->alone_report));
	return decide_at_partner(t, which, at, words);
}

/* ---- the document ---- */

static void write_outcomes(struct json_writer *w, const char *key, const uint64_t *counts)
{
	jw_key(w, key);
	jw_object(w);
	for (unsigned o = 0; o < POLICY_OUTCOME_COUNT; o++)
		jw_kint(w, policy_outcome_name(o), (int64_t)counts[o]);
	jw_end_object(w);
}

static void write_reason_counts(struct json_writer *w, const char *key, const uint64_t *counts)
{
	jw_key(w, key);
	jw_object(w);
	for (unsigned no = 0; no < POLICY_REASON_COUNT; no++)
		if (counts[no])
			jw_kint(w, policy_reason_get(no)->name, (int64_t)counts[no]);
	jw_end_object(w);
}

/* People are never counted where they are fewer than k: null then. */
static void write_people(struct json_writer *w, const char *key, uint64_t n, uint32_t k)
{
	jw_key(w, key);
	if (n > 0 && n < k)
		jw_null(w);
	else
		jw_int(w, (int64_t)n);
}

static void write_side(struct trying *t, struct json_writer *w, int which)
{
	struct side *s = &t->side[which];
	const uint32_t k = t->spec.k_contributors;
	uint64_t joint[POLICY_OUTCOME_COUNT] = { 0 }, unlisted[64];
	for (unsigned no = 0; no < 64; no++)
		unlisted[no] = (uint64_t)s->outline->unlisted[no];
	for (unsigned from = 0; from < POLICY_OUTCOME_COUNT; from++)
		for (unsigned to = 0; to < POLICY_OUTCOME_COUNT; to++)
			joint[to] += s->change.moved[from][to];
	jw_object(w);
	write_outcomes(w, "alone", s->alone_report.outcomes);
	write_outcomes(w, "at_partner", s->partner_report.outcomes);
	write_reason_counts(w, "at_partner_reasons", s->partner_report.reasons);
	jw_kint(w, "candidates", s->outline->candidates);
	jw_kstr(w, "charter_sha256", sha256_hex(t->a, s->charter.digest));
	jw_kstr(w, "coop", s->outline->from);
	jw_kint(w, "items", (int64_t)s->outline->n_items);
	jw_kint(w, "items_gained", (int64_t)s->change.items_gained);
	jw_kint(w, "items_lost", (int64_t)s->change.items_lost);
	write_outcomes(w, "joint", joint);
	jw_key(w, "moved");
	jw_object(w);
	for (unsigned from = 0; from < POLICY_OUTCOME_COUNT; from++)
		write_outcomes(w, policy_outcome_name(from), s->change.moved[from]);
	jw_end_object(w);
	write_people(w, "people", s->outline->n_people, k);
	write_people(w, "people_gained", s->change.members_gained, k);
	write_people(w, "people_lost", s->change.members_lost, k);
	jw_kstr(w, "preview_sha256", sha256_hex(t->a, s->outline->digest));
	write_reason_counts(w, "reasons_gained", s->change.reason_gained);
	write_reason_counts(w, "reasons_lost", s->change.reason_lost);
	write_reason_counts(w, "unlisted", unlisted);
	jw_end_object(w);
}

static const char *licence_name(unsigned licence)
{
	return policy_licence_get(licence)->spdx;
}

static void write_by_licence(const struct trying *t, struct json_writer *w)
{
	jw_key(w, "by_licence");
	jw_object(w);
	for (unsigned licence = 0; licence < POLICY_LICENCE_COUNT; licence++)
		if (t->by_licence[licence])
			jw_kint(w, licence_name(licence), t->by_licence[licence]);
	jw_end_object(w);
}

static void write_plan(struct json_writer *w, const struct policy_plan *p)
{
	jw_key(w, "licences");
	jw_object(w);
	jw_key(w, "blockers");
	jw_array(w);
	for (size_t i = 0; i < p->n_blockers; i++) {
		jw_object(w);
		jw_knames(w, "licences", p->blockers[i], POLICY_LICENCE_COUNT, licence_name);
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_knames(w, "outcast", p->outcast, POLICY_LICENCE_COUNT, licence_name);
	jw_knames(w, "outputs", p->outputs, POLICY_LICENCE_COUNT, licence_name);
	jw_key(w, "shards");
	jw_array(w);
	for (size_t i = 0; i < p->n_shards; i++) {
		jw_object(w);
		jw_kint(w, "items", (int64_t)p->shards[i].items);
		jw_knames(w, "licences", p->shards[i].licences, POLICY_LICENCE_COUNT, licence_name);
		jw_kz(w, "output", licence_name(p->shards[i].output));
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_end_object(w);
}

static enum err write_document(struct trying *t, struct str *out)
{
	struct buf b;
	struct json_writer w;
	const struct json *tree;
	buf_init(&b, 1 * MIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "agreement", sha256_hex(t->a, t->terms->digest));
	jw_key(&w, "conflicts");
	jw_object(&w);
	jw_kint(&w, "kind", t->differ_kind);
	jw_kint(&w, "licence", t->differ_licence);
	jw_kint(&w, "permission", t->differ_outcome);
	jw_end_object(&w);
	jw_kint(&w, "duplicates", t->duplicates);
	jw_key(&w, "joint");
	jw_object(&w);
	write_by_licence(t, &w);
	write_people(&w, "contributors", t->report.contributors, t->spec.k_contributors);
	jw_kint(&w, "items", t->items_in);
	jw_kint(&w, "k", t->spec.k_contributors);
	write_outcomes(&w, "outcomes", t->report.outcomes);
	write_reason_counts(&w, "reasons", t->report.reasons);
	jw_end_object(&w);
	write_plan(&w, &t->plan);
	jw_key(&w, "parties");
	jw_array(&w);
	for (int i = 0; i < 2; i++)
		write_side(t, &w, i);
	jw_end_array(&w);
	jw_key(&w, "rules");
	jw_json(&w, t->document);
	jw_kint(&w, "v", 1);
	jw_end_object(&w);
	struct str text = buf_take(t->a, &b);
	if (!text.p)
		return error_set(t->e, ERR_TOO_LARGE, "The dry run's document is too large.");
	TRY(json_parse(t->a, text, &tree, t->e));
	buf_init(&b, 1 * MIB);
	json_canonical(&b, tree, false);
	*out = buf_take(t->a, &b);
	return out->p ? ERR_OK : error_set(t->e, ERR_TOO_LARGE, "The dry run's document is too large.");
}

/* What it means for each person of one side. */
static enum err own_people(struct trying *t, int us, struct dry_run_person **out)
{
	const struct side *s = &t->side[us];
	*out = ARENA_ARRAY(t->a, s->outline->n_people + 1, struct dry_run_person);
	if (!*out)
		return engine_failed(t, POLICY_NO_MEMORY);
	for (size_t i = 0; i < s->outline->n_items; i++) {
		struct dry_run_person *p = &(*out)[s->members[i]];
		bool alone = is_in(s->alone[i]), joint = is_in(s->joint[i]);
		p->items++;
		p->in_alone += alone;
		p->in_joint += joint;
		p->at_partner += is_in(s->at_partner[i]);
		for (unsigned no = 0; alone && !joint && no < POLICY_REASON_COUNT; no++)
			p->lost[no] += (s->joint[i] & ~s->alone[i]) >> no & 1;
	}
	return ERR_OK;
}

static enum err read_sides(struct trying *t, const struct outline *const outlines[2])
{
	for (int i = 0; i < 2; i++) {
		const struct outline *o = outlines[i];
		struct side *s = &t->side[i];
		s->outline = o;
		if (!sha256_eq(o->agreement, t->terms->digest) || !str_eq(o->from, t->terms->parties[i]) || !str_eq(o->to, t->terms->parties[!i]))
			return error_set(t->e, ERR_INVALID, "A preview is about another agreement, or between others.");
		if (!sha256_eq(sha256(o->charter), t->terms->charters[i]))
			return error_set(t->e, ERR_INVALID, "A preview was made under another charter than the one that the agreement was written under.");
		TRY(charter_parse(t->a, o->charter, &s->charter, t->e));
		s->charter.version = o->charter_version;
	}
	return ERR_OK;
}

enum err dry_run_compute(struct arena *a, const struct agreement_terms *terms, const struct outline *const outlines[2], int us, struct str *document, struct dry_run_person **own, struct error *e)
{
	struct trying *t = ARENA_NEW(a, struct trying);
	struct str rules;
	uint64_t *words[2];
	*t = (struct trying){ .a = a, .mem = { arena_get, a }, .terms = terms, .e = e };
	TRY(read_sides(t, outlines));
	const struct charter *charters[2] = { &t->side[0].charter, &t->side[1].charter };
	instant at = outlines[0]->as_of > outlines[1]->as_of ? outlines[0]->as_of : outlines[1]->as_of;
	TRY(joint_document(a, terms, charters, &(struct joint_when){ .cutoff = at }, &rules, e));
	TRY(json_parse(a, rules, &t->document, e));
	TRY(joint_rules(charters[0], charters[1], t->document, at, at, &t->mem, &t->spec, e));
	for (int i = 0; i < 2; i++) {
		if (!columns(t, &t->side[i], &words[i]))
			return engine_failed(t, POLICY_NO_MEMORY);
		TRY(decide_side(t, i, at, words[i]));
	}
	TRY(decide_jointly(t, words));
	for (int i = 0; i < 2; i++) {
		struct side *s = &t->side[i];
		enum policy_status status = policy_what_if(s->members, s->alone, s->joint, s->outline->n_items, s->outline->n_people, &t->mem, NULL, 0, &s->change);
		if (status != POLICY_OK)
			return engine_failed(t, status);
	}
	TRY(write_document(t, document));
	return own ? own_people(t, us, own) : ERR_OK;
}
