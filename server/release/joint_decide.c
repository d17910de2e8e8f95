/* What a joint release is decided by, and the set that comes of it. */
#include "joint_internal.h"

SQL(origin_names, "SELECT no, key_name FROM origin_coop WHERE coop_id = $1");

/* ---- the rules ---- */

static uint64_t bits_of(const struct json *names, int (*find)(const char *name, size_t len))
{
	uint64_t bits = 0;
	json_each(name, names) {
		int no = find(json_text(name).p, json_text(name).n);
		if (no >= 0 && no < 64)
			bits |= UINT64_C(1) << no;
	}
	return bits;
}

static int licence_no(const char *spdx, size_t len)
{
	return (int)policy_licence_find(spdx, len);
}

/* How people speak, and on what words their consent counts, is their own home's business: what guests say comes to us as their home resolved it. */
static void own_voices(const struct policy_spec *own, struct policy_spec *spec)
{
	spec->defaults = own->defaults;
	spec->n_defaults = own->n_defaults;
	spec->notice_min = own->notice_min;
	spec->delegation_depth = own->delegation_depth;
	spec->delegation_cap = own->delegation_cap;
}

/* The document says what both agreed on: never more than what is left of both charters. */
static void narrow(const struct json *document, struct policy_spec *spec)
{
	int audience = policy_audience_find(json_member_text(document, "audience").p, json_member_text(document, "audience").n);
	int64_t embargo = json_int(json_get(document, "embargo"), 0) * CLOCK_SECOND, retention = json_int(json_get(document, "retention"), 0) * CLOCK_SECOND;
	uint32_t k = (uint32_t)json_int(json_get(document, "k"), 0);
	spec->uses &= policy_uses_expand((uint16_t)bits_of(json_get(document, "uses"), policy_use_find));
	spec->uses_conditional &= (uint16_t)bits_of(json_get(document, "uses_conditional"), policy_use_find);
	spec->purposes = (uint32_t)bits_of(json_get(document, "purposes"), policy_purpose_find);
	spec->kinds &= (uint8_t)bits_of(json_get(document, "kinds"), policy_kind_find);
	spec->outputs = (uint32_t)bits_of(json_get(document, "outputs"), licence_no);
	spec->licence_mode = str_is(json_member_text(document, "licence_mode"), "adaptation") ? POLICY_ADAPTATION : POLICY_COLLECTION;
	if (audience >= 0 && audience < spec->audience) {
		spec->audience = (uint8_t)audience;
		spec->audience_duties &= policy_audience_duties((unsigned)audience);
	}
	if (k > spec->k_contributors)
		spec->k_contributors = k;
	if (embargo > spec->embargo)
		spec->embargo = embargo;
	if (retention && (spec->retention == 0 || retention < spec->retention))
		spec->retention = retention;
}

/* What the documents of the artefact say of the rules. */
static void charter_numbers(const struct policy_spec *spec, struct charter *charter)
{
	charter->release_uses = spec->uses;
	charter->release_uses_conditional = spec->uses_conditional;
	charter->release_purposes = spec->purposes;
	charter->release_audience = spec->audience;
	charter->kinds = spec->kinds;
	charter->outputs = spec->outputs;
	charter->licence_mode = spec->licence_mode;
	charter->k_contributors = spec->k_contributors;
}

enum err joint_rules(const struct charter *ours, const struct charter *theirs, const struct json *document, instant cutoff, instant at, struct policy_mem *mem,
	struct policy_spec *out, struct error *e)
{
	struct policy_spec own, other;
	release_spec(ours, NULL, cutoff, at, &own);
	release_spec(theirs, NULL, cutoff, at, &other);
	enum policy_status status = policy_spec_merge(&own, &other, mem, out);
	if (status != POLICY_OK)
		return error_set(e, status == POLICY_NO_MEMORY ? ERR_NO_MEMORY : ERR_REFUSED, "The rules of the two charters are too many to be taken together.");
	own_voices(&own, out);
	narrow(document, out);
	return ERR_OK;
}

enum err joint_spec(struct call *c, const struct release_joint *j, const struct release *r, instant cutoff, instant at, struct decided *d)
{
	struct charter partner;
	struct policy_spec merged;
	const struct json *document;
	TRY(json_parse(c->arena, j->document, &document, &c->error));
	TRY(charter_parse(c->arena, j->partner_charter, &partner, &c->error));
	TRY(joint_rules(&d->charter, &partner, document, cutoff, at, &d->mem, &merged, &c->error));
	if (r) {
		merged.release_id = d->spec.release_id;
		memcpy(merged.seed, d->spec.seed, sizeof(merged.seed));
	}
	d->spec = merged;
	d->joint = true;
	charter_numbers(&merged, &d->charter);
	return ERR_OK;
}

enum err joint_spec_of(struct call *c, const struct release *r, instant cutoff, instant at, struct decided *d)
{
	struct release_joint j;
	TRY(joint_of(c, r, &j));
	d->without = j.without;
	return joint_spec(c, &j, r, cutoff, at, d);
}

/* ---- the set ---- */

/* Leaves being made. */
struct gathering {
	struct call *c;
	struct decided *d;
	struct str names[256];   /* key names of homes by origin; [0] our own */
	struct joint_set *set;
	size_t cap;
};

static enum err names_load(struct gathering *g)
{
	struct call *c = g->c;
	struct coop coop;
	struct rows r;
	TRY(coop_get(c, g->d->coop, &coop));
	g->names[0] = coop.key_name;
	TRY(db_query(c, origin_names, &r, A_UUID(g->d->coop)));
	for (int i = 0; i < r.n; i++)
		g->names[row_int(&r, i, 0) & 255] = row_str(&r, i, 1);
	return ERR_OK;
}

static struct sha256 leaf_of(const struct gathering *g, size_t item, unsigned origin, const uint8_t id[16])
{
	struct arena_mark mark = arena_mark(g->d->arena);
	struct uuid u;
	memcpy(u.b, id, 16);
	struct sha256 leaf = joint_leaf(rid_format(g->d->arena, g->names[origin & 255], u), sha256_load(str_make(g->d->hashes[item], 32)));
	arena_rewind(g->d->arena, mark);
	return leaf;
}

static unsigned origin_at(const struct decided *d, size_t item)
{
	return d->more ? (unsigned)(d->more[item] >> POLICY_MORE_ORIGIN_SHIFT & 0xff) : 0;
}

static enum err add_leaf(struct gathering *g, struct sha256 leaf)
{
	struct joint_set *set = g->set;
	if (set->n == g->cap) {
		size_t cap = g->cap ? g->cap * 2 : 1024;
		struct sha256 *grown = ARENA_ARRAY(g->d->arena, cap, struct sha256);
		if (!grown)
			return fail(g->c, ERR_NO_MEMORY, "There is no memory for the set of a joint release.");
		if (set->n)
			memcpy(grown, set->leaves, set->n * sizeof(*grown));
		set->leaves = grown;
		g->cap = cap;
	}
	set->leaves[set->n++] = leaf;
	return ERR_OK;
}

/* Origins of a row that is in: the same content under other rids, those that the row names. */
static enum err add_origins(struct gathering *g, size_t item)
{
	size_t n;
	const struct decided_origin *o = guests_origins_of(g->d, item, &n);
	for (size_t i = 0; i < n; i++)
		TRY(add_leaf(g, leaf_of(g, item, o[i].origin, o[i].id)));
	return ERR_OK;
}

static enum err add_kept(void *arg, uint32_t item, unsigned origin, const uint8_t id[16])
{
	struct gathering *g = arg;
	return add_leaf(g, leaf_of(g, item, origin, id));
}

enum err joint_set_of(struct call *c, struct decided *d, const struct release_joint *j, const struct kept *kept, struct joint_set *out)
{
	struct gathering g = { .c = c, .d = d, .set = out, .cap = (size_t)decided_included(d) };
	*out = (struct joint_set){ .leaves = ARENA_ARRAY(d->arena, g.cap + 1, struct sha256) };
	if (!out->leaves)
		return fail(c, ERR_NO_MEMORY, "There is no memory for the set of a joint release.");
	TRY(names_load(&g));
	for (size_t i = 0; i < d->n; i++) {
		if (!outcome_is_in(d->outcomes[i]))
			continue;
		TRY(add_leaf(&g, leaf_of(&g, i, origin_at(d, i), d->ids[i])));
		TRY(kept && kept->known ? kept_each(kept, (uint32_t)i, add_kept, &g) : add_origins(&g, i));
	}
	joint_set_seal(out, j->document_sha256);
	return ERR_OK;
}

/* ---- where two sets differ ---- */

#define NAMED_MAX 10 /* items that a difference names */
#define NAMED_LEFT_OUT 50 /* the same of what is left out */

bool joint_set_has(const struct sha256 *leaves, size_t n, struct sha256 leaf)
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = memcmp(leaves[middle].b, leaf.b, 32);
		if (order == 0)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static bool bucket_differs(const struct release_joint *j, const struct joint_set *ours, unsigned bucket)
{
	return memcmp(j->theirs.p + 32 + 32 * bucket, ours->buckets[bucket].b, 32) != 0;
}

struct str joint_leaves_of_difference(struct arena *a, const struct release_joint *j, const struct joint_set *ours)
{
	struct buf b;
	if (!j->theirs.p || memcmp(j->theirs.p, ours->digest.b, 32) == 0)
		return STR_NONE;
	buf_init(&b, JOINT_LEAVES_MAX * sizeof(struct sha256));
	for (size_t i = 0; i < ours->n; i++)
		if (bucket_differs(j, ours, ours->leaves[i].b[0]))
			buf_add(&b, ours->leaves[i].b, sizeof(ours->leaves[i].b));
	if (b.failed) {
		buf_release(&b);
		return STR_NONE;
	}
	return b.n ? buf_take(a, &b) : STR("");
}

static void add_reasons(struct buf *b, policy_reasons reasons)
{
	const char *between = " (";
	for (unsigned no = 0; no < POLICY_REASON_COUNT; no++) {
		if (!(reasons >> no & 1) || policy_reason_get(no)->severity <= POLICY_CONDITIONAL)
			continue;
		buf_addf(b, "%s%s", between, policy_reason_get(no)->name);
		between = ", ";
	}
	if (between[0] == ',')
		buf_add_z(b, ")");
}

/* Which of our items one side alone lets in, as far as the other's leaves are known. */
static enum err name_items(struct gathering *g, const struct release_joint *j, const struct joint_set *ours, struct buf *b)
{
	const struct decided *d = g->d;
	size_t n = j->their_leaves.n / 32, named = 0, more = 0, strange = n;
	const struct sha256 *theirs = (const struct sha256 *)(const void *)j->their_leaves.p;
	for (size_t i = 0; i < d->n; i++) {
		struct sha256 leaf = leaf_of(g, i, origin_at(d, i), d->ids[i]);
		bool in = outcome_is_in(d->outcomes[i]), there = joint_set_has(theirs, n, leaf);
		strange -= there;
		if (!bucket_differs(j, ours, leaf.b[0]) || in == there)
			continue;
		if (named++ >= NAMED_MAX) {
			more++;
			continue;
		}
		struct uuid id;
		memcpy(id.b, d->ids[i], 16);
		struct str rid = rid_format(g->c->arena, g->names[origin_at(d, i)], id);
		buf_addf(b, " %.*s is in %s alone", STR_ARG(rid), in ? "ours" : "theirs");
		if (!in)
			add_reasons(b, d->reasons[i]);
		buf_add_z(b, ".");
	}
	if (more)
		buf_addf(b, " So are or are not %zu others.", more);
	if (strange)
		buf_addf(b, " %zu of theirs are not in our pool.", strange);
	return ERR_OK;
}

/* ---- what is left out for being in one set alone ---- */

static bool is_without(const struct gathering *g, size_t item)
{
	const struct decided *d = g->d;
	const struct sha256 *without = (const struct sha256 *)(const void *)d->without.p;
	size_t n = d->without.n / sizeof(*without), n_origins;
	if (joint_set_has(without, n, leaf_of(g, item, origin_at(d, item), d->ids[item])))
		return true;
	const struct decided_origin *o = guests_origins_of(d, item, &n_origins);
	for (size_t i = 0; i < n_origins; i++)
		if (joint_set_has(without, n, leaf_of(g, item, o[i].origin, o[i].id)))
			return true;
	return false;
}

enum err joint_leave_out(struct call *c, struct decided *d)
{
	struct gathering g = { .c = c, .d = d };
	TRY(names_load(&g));
	for (size_t i = 0; i < d->n; i++)
		if (is_without(&g, i))
			d->reasons[i] |= POLICY_REASON(PARTNER_DIFFERS);
	policy_outcomes(d->reasons, d->n, d->outcomes);
	return ERR_OK;
}

enum err joint_left_out(struct call *c, struct decided *d, struct str *out)
{
	struct gathering g = { .c = c, .d = d };
	struct buf b;
	size_t n = 0;
	*out = STR_NONE;
	if (!d->without.n)
		return ERR_OK;
	TRY(names_load(&g));
	buf_init(&b, NAMED_LEFT_OUT * KIB);
	for (size_t i = 0; i < d->n; i++) {
		policy_reasons others = d->reasons[i] & ~POLICY_REASON(PARTNER_DIFFERS);
		struct uuid id;
		if (others == d->reasons[i] || n++ >= NAMED_LEFT_OUT)
			continue;
		memcpy(id.b, d->ids[i], 16);
		struct str rid = rid_format(c->arena, g.names[origin_at(d, i)], id);
		buf_addf(&b, "%s%.*s was in %s alone", n > 1 ? " " : "", STR_ARG(rid), outcome_is_in((uint8_t)policy_outcome_of(others)) ? "ours" : "theirs");
		add_reasons(&b, others);
		buf_add_z(&b, ".");
	}
	if (n > NAMED_LEFT_OUT)
		buf_addf(&b, " So were %zu others.", n - NAMED_LEFT_OUT);
	buf_addf(&b, "%s%zu of both sets' leaves are left out, %zu items of ours among them.", n ? " " : "", d->without.n / sizeof(struct sha256), n);
	*out = buf_take(c->arena, &b);
	return ERR_OK;
}

enum err joint_difference(struct call *c, struct decided *d, const struct release_joint *j, const struct joint_set *ours, struct str *out)
{
	struct gathering g = { .c = c, .d = d };
	unsigned differ = 0, first = 0;
	*out = STR_NONE;
	if (!j->theirs.p || memcmp(j->theirs.p, ours->digest.b, 32) == 0)
		return ERR_OK;
	for (unsigned i = JOINT_BUCKETS; i-- > 0;) {
		if (bucket_differs(j, ours, i)) {
			differ++;
			first = i;
		}
	}
	struct buf b;
	buf_init(&b, 8 * KIB);
	buf_addf(&b, "The two co-ops come to different sets: in %u of %u parts, the first is %02x.", differ, JOINT_BUCKETS, first);
	enum err e = ERR_OK;
	if (j->their_leaves.p) {
		e = names_load(&g);
		if (e == ERR_OK)
			e = name_items(&g, j, ours, &b);
	}
	*out = buf_take(c->arena, &b);
	return e;
}
