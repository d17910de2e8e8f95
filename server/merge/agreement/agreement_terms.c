#include "terms_internal.h"

#include "commonhold/assets.h"
#include "commonhold/merge.h"

#include <pthread.h>

/* Agreements as documents: made from a draft, read back, and held against charters. */

#define SCHEMA_ARENA (2 * MIB)          /* of both schemas; as long as the program */
#define CADENCE_LEAST CLOCK_HOUR
#define CADENCE_MOST (366 * CLOCK_DAY)
#define NOTICE_MOST (183 * CLOCK_DAY)
#define STARTS_AHEAD (366 * CLOCK_DAY)  /* how far in the future one may begin */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const struct json_schema *draft_schema, *document_schema;
static struct error schema_error;
static struct arena *schema_arena __attribute__((used)); /* so that leak checkers see whose the memory is */

static enum err load_one(const char *path, const struct json_schema **out)
{
	const struct json *document;
	struct str text = asset_find(str_of(path));
	if (!text.p)
		return error_set(&schema_error, ERR_INTERNAL, "%s is missing from the program", path);
	TRY(json_parse(schema_arena, text, &document, &schema_error));
	return json_schema_compile(schema_arena, document, NULL, NULL, out, &schema_error);
}

static void load(void)
{
	schema_arena = arena_new(SCHEMA_ARENA);
	if (!schema_arena)
		schema_error = (struct error){ .code = ERR_NO_MEMORY };
	else if (load_one("schemas/agreement_draft.json", &draft_schema) == ERR_OK)
		(void)!load_one("schemas/agreement.json", &document_schema);
}

static enum err check_shape(struct arena *a, bool draft, const struct json *v, struct error *e)
{
	pthread_once(&once, load);
	if (schema_error.code != ERR_OK) {
		*e = schema_error;
		return e->code;
	}
	return json_schema_check(a, draft ? draft_schema : document_schema, v, e);
}

static void fault(struct arena *a, struct error *e, const char *pointer, const char *text)
{
	error_fault(e, a, str_of(pointer), "%s", text);
}

/* ---- Values ---- */

static uint32_t bits_of(const struct json *names, int (*find)(const char *name, size_t len))
{
	uint32_t bits = 0;
	json_each(name, names) {
		int no = json_is(name, JSON_STRING) ? find(name->text.p, name->text.n) : -1;
		if (no >= 0)
			bits |= POLICY_BIT(no);
	}
	return bits;
}

static uint64_t licences_of(struct arena *a, const struct json *names, struct error *e)
{
	uint64_t bits = 0;
	json_each(name, names) {
		unsigned no = policy_licence_find(name->text.p, name->text.n);
		if (no == POLICY_LICENCE_UNKNOWN)
			error_fault(e, a, json_pointer(a, name), "This server knows no licence of this name. Use an SPDX identifier such as CC-BY-4.0.");
		else
			bits |= UINT64_C(1) << no;
	}
	return bits;
}

static int64_t span_at(struct arena *a, const struct json *root, const char *key, int64_t or_else, struct error *e)
{
	struct duration d;
	const struct json *v = json_get(root, key);
	if (!v)
		return or_else;
	if (duration_parse(json_text(v), &d) && d.years <= 100 && d.months <= 1200 && d.days <= 36600 && d.seconds <= INT64_C(3162240000))
		return span_of(d);
	error_fault(e, a, json_pointer(a, v), "This must be an ISO 8601 duration such as P30D, a hundred years at most.");
	return or_else;
}

static instant instant_at(struct arena *a, const struct json *root, const char *key, instant or_else, struct error *e)
{
	instant t;
	const struct json *v = json_get(root, key);
	if (!v)
		return or_else;
	if (clock_parse(json_text(v), &t))
		return t - t % CLOCK_SECOND;
	error_fault(e, a, json_pointer(a, v), "This must be an instant such as 2026-01-01T00:00:00Z.");
	return or_else;
}

/* What both forms of the document have in common; what is left out stays as it was. */
static void read_common(struct arena *a, const struct json *root, struct agreement_terms *t, struct error *e)
{
	const struct json *v;
	if ((v = json_get(root, "uses")))
		t->uses = (uint16_t)bits_of(v, policy_use_find);
	if ((v = json_get(root, "floor")))
		t->floor = (uint16_t)bits_of(v, policy_use_find);
	if ((v = json_get(root, "purposes")))
		t->purposes = bits_of(v, policy_purpose_find);
	if ((v = json_get(root, "kinds")))
		t->kinds = (uint8_t)bits_of(v, policy_kind_find);
	if ((v = json_get(root, "licences")))
		t->licences = licences_of(a, v, e);
	if ((v = json_get(root, "audience")))
		t->audience = (uint8_t)policy_audience_find(v->text.p, v->text.n);
	if ((v = json_get(root, "access")))
		t->access = access_rank(json_text(v));
	if ((v = json_get(root, "attribution")))
		t->attribution = attribution_rank(json_text(v));
	if ((v = json_get(root, "moderation")))
		t->moderation_both = str_is(json_text(v), "both");
	if ((v = json_get(root, "licence_mode")))
		t->licence_mode = str_is(json_text(v), "adaptation") ? POLICY_ADAPTATION : POLICY_COLLECTION;
	if ((v = json_get(root, "ending")))
		t->ending = str_is(json_text(v), "erase") ? AGREEMENT_ERASE : AGREEMENT_KEEP;
	t->onward = json_bool(json_get(root, "onward"), t->onward);
	t->k = (uint32_t)json_int(json_get(root, "k"), t->k);
	t->near_loss = (int)json_int(json_get(root, "near_loss"), t->near_loss);
	t->embargo = span_at(a, root, "embargo", t->embargo, e);
	t->retention = span_at(a, root, "retention", t->retention, e);
	t->cadence = span_at(a, root, "cadence", t->cadence, e);
	t->freshness = span_at(a, root, "freshness", t->freshness, e);
	t->notice = span_at(a, root, "notice", t->notice, e);
	t->starts = instant_at(a, root, "starts", t->starts, e);
	v = json_get(root, "schemas");
	if (v)
		t->schemas = v->type == JSON_NULL ? NULL : v;
}

/* ---- What contradicts itself ---- */

static void check_times(struct arena *a, const struct agreement_terms *t, struct error *e)
{
	if (t->ends <= t->starts)
		fault(a, e, "/ends", "It must end after it starts.");
	else if (t->ends > duration_add(t->starts, (struct duration){ .years = 1 }, 1))
		fault(a, e, "/ends", "An agreement lasts a year at most; it can be renewed.");
	if (t->cadence < CADENCE_LEAST || t->cadence > CADENCE_MOST)
		fault(a, e, "/cadence", "Bundles go from once an hour to once a year.");
	if (t->freshness < t->cadence)
		fault(a, e, "/freshness", "This is shorter than the time between bundles: what came would lapse before the next one.");
	if (t->notice > NOTICE_MOST)
		fault(a, e, "/notice", "The time from a notice to the end is half a year at most.");
}

/* The table of mappings speaks of the two co-ops alone. */
static void check_schemas(struct arena *a, const struct agreement_terms *t, struct error *e)
{
	struct error why = { 0 };
	if (!t->schemas)
		return;
	if (merge_mappings_check(a, t->schemas, &why) != ERR_OK)
		error_fault(e, a, STR("/schemas"), "%s", why.faults ? str_z(a, why.faults->message) : why.message);
	json_each(map, json_get(t->schemas, "maps")) {
		struct str home = json_member_text(map, "home");
		if (!str_eq(home, t->parties[0]) && !str_eq(home, t->parties[1]))
			fault(a, e, "/schemas", "Only records of the two co-ops are mapped.");
	}
}

static enum err check_sense(struct arena *a, const struct agreement_terms *t, struct error *e)
{
	if (t->uses & policy_uses_expand(t->floor))
		fault(a, e, "/floor", "A use cannot be agreed on and denied at once.");
	if (t->audience < POLICY_AUDIENCE_MEMBERS)
		fault(a, e, "/audience", "There is no such audience.");
	check_times(a, t, e);
	check_schemas(a, t, e);
	return e->code == ERR_OK ? ERR_OK : ERR_INVALID;
}

/* ---- Against charters ---- */

/* A fault that names the co-op which does not allow it. */
static void looser(struct arena *a, struct error *e, const char *pointer, const struct charter *charter, struct str what)
{
	error_fault(e, a, str_of(pointer), "The charter of %.*s does not allow this: %.*s.", STR_ARG(charter->name), STR_ARG(what));
}

static void fit_lists(struct arena *a, const struct agreement_terms *t, const struct charter *c, struct error *e)
{
	uint16_t uses = t->uses & (uint16_t)~policy_uses_expand(c->release_uses);
	uint32_t purposes = terms_purposes_outside(t->purposes, c->release_purposes);
	uint8_t kinds = t->kinds & (uint8_t)~c->kinds;
	uint64_t licences = t->licences & ~terms_licences_of(c);
	uint16_t denied = policy_uses_expand(c->ai_deny) & (uint16_t)~(t->uses | policy_uses_expand(t->floor));
	if (uses)
		looser(a, e, "/uses", c, str_fmt(a, "its releases are not for %.*s", STR_ARG(words_list(a, uses, POLICY_USE_COUNT, words_use))));
	if (purposes)
		looser(a, e, "/purposes", c, str_fmt(a, "its releases do not serve %.*s", STR_ARG(words_list(a, purposes, POLICY_PURPOSE_COUNT, words_purpose))));
	if (kinds)
		looser(a, e, "/kinds", c, str_fmt(a, "it does not take %.*s", STR_ARG(words_list(a, kinds, POLICY_KIND_COUNT, words_kind))));
	if (licences)
		looser(a, e, "/licences", c, str_fmt(a, "contributions under %.*s are not in its releases", STR_ARG(words_list(a, licences, POLICY_LICENCE_COUNT, licence_word))));
	if (denied)
		looser(a, e, "/floor", c, str_fmt(a, "it denies %.*s", STR_ARG(words_list(a, denied, POLICY_USE_COUNT, words_use))));
}

static void fit(struct arena *a, const struct agreement_terms *t, const struct charter *c, struct error *e)
{
	int64_t retention = span_of(c->retention_raw);
	fit_lists(a, t, c, e);
	if (t->audience > c->release_audience)
		looser(a, e, "/audience", c, str_fmt(a, "its releases are for %.*s", STR_ARG(charter_word("/release/audience", str_of(policy_audience_name(c->release_audience))))));
	if (t->access > access_rank(c->access))
		looser(a, e, "/access", c, str_fmt(a, "its releases are for %.*s", STR_ARG(charter_word("/access/mode", c->access))));
	if (t->attribution > attribution_rank(c->attribution))
		looser(a, e, "/attribution", c, str_fmt(a, "people are named there %.*s", STR_ARG(charter_word("/attribution", c->attribution))));
	if (t->k < c->k_contributors)
		looser(a, e, "/k", c, str_fmt(a, "a release holds %u people at least", c->k_contributors));
	if (t->embargo < span_of(c->embargo))
		looser(a, e, "/embargo", c, str_fmt(a, "a contribution waits %.*s", STR_ARG(span_words(a, span_of(c->embargo)))));
	if (retention && (t->retention == 0 || t->retention > retention))
		looser(a, e, "/retention", c, str_fmt(a, "contributions are kept %.*s at most", STR_ARG(span_words(a, retention))));
	if (t->licence_mode < c->licence_mode)
		looser(a, e, "/licence_mode", c, STR("its releases get one licence for the whole"));
}

enum err agreement_terms_fit(struct arena *a, const struct agreement_terms *t, const struct charter *charter, struct error *e)
{
	error_clear(e);
	fit(a, t, charter, e);
	if (e->code == ERR_OK)
		return ERR_OK;
	return error_set(e, ERR_INVALID, "This agreement would be looser than a charter.");
}

/* ---- Making a document ---- */

static struct str span_text(struct arena *a, int64_t span)
{
	int64_t seconds = span / CLOCK_SECOND;
	return seconds % 86400 ? str_fmt(a, "PT%lldS", (long long)seconds) : str_fmt(a, "P%lldD", (long long)(seconds / 86400));
}

static void write_parties(struct json_writer *w, struct arena *a, const struct agreement_terms *t)
{
	jw_key(w, "parties");
	jw_array(w);
	for (int i = 0; i < 2; i++) {
		jw_object(w);
		jw_key(w, "charter");
		jw_object(w);
		jw_kstr(w, "sha256", sha256_hex(a, t->charters[i]));
		jw_kint(w, "version", t->charter_versions[i]);
		jw_end_object(w);
		jw_kstr(w, "coop", t->parties[i]);
		jw_kstr(w, "name", t->names[i]);
		jw_kstr(w, "url", t->urls[i]);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static void write_flow(struct json_writer *w, const struct agreement_terms *t)
{
	jw_key(w, "flow");
	jw_array(w);
	for (int i = 0; i < 2; i++)
		if (t->flow[i])
			jw_str(w, t->parties[i]);
	jw_end_array(w);
}

static void write_document(struct json_writer *w, struct arena *a, const struct agreement_terms *t)
{
	jw_object(w);
	jw_kz(w, "access", policy_audience_name((unsigned)t->access));
	jw_kz(w, "attribution", attribution_word(t->attribution));
	jw_kz(w, "audience", policy_audience_name(t->audience));
	jw_kstr(w, "cadence", span_text(a, t->cadence));
	jw_kstr(w, "embargo", span_text(a, t->embargo));
	jw_kz(w, "ending", t->ending == AGREEMENT_ERASE ? "erase" : "keep");
	jw_kstr(w, "ends", clock_format(a, t->ends));
	jw_knames(w, "floor", t->floor, POLICY_USE_COUNT, policy_use_name);
	write_flow(w, t);
	jw_kstr(w, "freshness", span_text(a, t->freshness));
	jw_kstr(w, "id", uuid_format(a, t->id));
	jw_kstr(w, "joint", t->joint);
	jw_kint(w, "k", t->k);
	jw_knames(w, "kinds", t->kinds, POLICY_KIND_COUNT, policy_kind_name);
	jw_kz(w, "licence_mode", t->licence_mode == POLICY_ADAPTATION ? "adaptation" : "collection");
	jw_knames(w, "licences", t->licences, POLICY_LICENCE_COUNT, licence_word);
	jw_kz(w, "moderation", t->moderation_both ? "both" : "home");
	jw_kint(w, "near_loss", t->near_loss);
	jw_kstr(w, "notice", span_text(a, t->notice));
	jw_kbool(w, "onward", t->onward);
	write_parties(w, a, t);
	jw_knames(w, "purposes", t->purposes, POLICY_PURPOSE_COUNT, policy_purpose_name);
	jw_kstr(w, "replaces", sha256_hex_or_none(a, t->replaces));
	jw_kstr(w, "retention", span_text(a, t->retention));
	jw_kint(w, "revision", t->revision);
	jw_key(w, "schemas");
	if (t->schemas)
		jw_json(w, t->schemas);
	else
		jw_null(w);
	jw_kstr(w, "starts", clock_format(a, t->starts));
	jw_knames(w, "uses", t->uses, POLICY_USE_COUNT, policy_use_name);
	jw_kint(w, "v", 1);
	jw_end_object(w);
}

static struct str canonical(struct arena *a, struct str text, struct error *e)
{
	const struct json *v;
	struct buf b;
	if (json_parse(a, text, &v, e) != ERR_OK)
		return STR_NONE;
	buf_init(&b, AGREEMENT_DOCUMENT_MAX);
	json_canonical(&b, v, false);
	return buf_take(a, &b);
}

/* The parties in the order of their names; which of them the drafter is. */
static int seat(const struct agreement_party parties[2], struct agreement_terms *t)
{
	int drafter = str_cmp(parties[0].coop, parties[1].coop) < 0 ? 0 : 1;
	for (int i = 0; i < 2; i++) {
		const struct agreement_party *p = &parties[i == drafter ? 0 : 1];
		t->parties[i] = p->coop;
		t->names[i] = p->charter->name;
		t->urls[i] = p->url;
		t->charters[i] = p->charter->digest;
		t->charter_versions[i] = p->charter->version;
	}
	return drafter;
}

/* What is taken where the draft says nothing: the widest that both allow, and for the rest what is usual. */
static void widest(const struct terms_common *k, instant now, struct agreement_terms *t)
{
	t->uses = k->uses;
	t->floor = k->floor;
	t->purposes = k->purposes;
	t->kinds = k->kinds;
	t->licences = k->licences;
	t->audience = k->audience;
	t->access = k->access;
	t->attribution = k->attribution;
	t->k = k->k ? k->k : 1;
	t->embargo = k->embargo;
	t->retention = k->retention;
	t->licence_mode = k->licence_mode;
	t->moderation_both = k->moderation_both;
	t->cadence = 7 * CLOCK_DAY;
	t->freshness = 30 * CLOCK_DAY;
	t->notice = 30 * CLOCK_DAY;
	t->near_loss = 20;
	t->ending = AGREEMENT_ERASE;
	t->starts = now - now % CLOCK_SECOND;
}

static void read_draft(struct arena *a, const struct json *draft, int drafter, instant now, struct agreement_terms *t, struct error *e)
{
	struct str flow = json_member_text(draft, "flow"), joint = json_member_text(draft, "joint");
	read_common(a, draft, t, e);
	if (json_get(draft, "uses") && !json_get(draft, "floor"))
		t->floor &= (uint16_t)~t->uses;
	if (json_get(draft, "cadence") && !json_get(draft, "freshness") && t->freshness < 3 * t->cadence)
		t->freshness = 3 * t->cadence;
	t->ends = instant_at(a, draft, "ends", duration_add(t->starts, (struct duration){ .years = 1 }, 1), e);
	t->flow[drafter] = !str_is(flow, "receive");
	t->flow[!drafter] = !str_is(flow, "send");
	t->joint = str_is(joint, "us") ? t->parties[drafter] : str_is(joint, "them") ? t->parties[!drafter] : STR_NONE;
	if (t->starts > now + STARTS_AHEAD)
		fault(a, e, "/starts", "An agreement starts within a year.");
	if (t->ends <= now)
		fault(a, e, "/ends", "This is over already.");
}

static enum err blocked(struct arena *a, const struct terms_diff *d, struct error *e)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->lines[i].verdict == TERMS_BLOCKS)
			error_fault(e, a, STR(""), "%s: %.*s", d->lines[i].label, STR_ARG(d->lines[i].why));
	error_set(e, ERR_REFUSED, "These two charters leave nothing to agree on.");
	snprintf(e->reason, sizeof e->reason, "charters_blocked");
	return ERR_REFUSED;
}

enum err agreement_terms_check(struct arena *a, const struct json *draft, const struct agreement_party parties[2], struct uuid id, int revision, const struct sha256 *replaces, instant now,
	struct str *document, struct error *e)
{
	struct agreement_terms t = { .id = id, .revision = revision };
	struct terms_diff diff;
	struct buf b;
	struct json_writer w;
	error_clear(e);
	TRY(check_shape(a, true, draft, e));
	if (str_eq(parties[0].coop, parties[1].coop))
		return error_set(e, ERR_INVALID, "A co-op makes no agreement with itself.");
	TRY(terms_diff(a, parties[0].charter, parties[1].charter, &diff, e));
	if (!diff.possible)
		return blocked(a, &diff, e);
	if (replaces)
		t.replaces = *replaces;
	int drafter = seat(parties, &t);
	widest(&diff.common, now, &t);
	read_draft(a, draft, drafter, now, &t, e);
	(void)!check_sense(a, &t, e);
	for (int i = 0; i < 2; i++)
		fit(a, &t, parties[i].charter, e);
	if (!t.moderation_both && diff.common.moderation_both)
		fault(a, e, "/moderation", "One of the co-ops looks closer at contributions than the other: each must look at what it takes.");
	if (t.joint.p && !diff.joint)
		fault(a, e, "/joint", "The charters leave nothing that a joint release could be for.");
	if (t.joint.p && !(t.flow[0] && t.flow[1]))
		fault(a, e, "/joint", AGREEMENT_JOINT_ONE_WAY);
	if (e->code != ERR_OK)
		return error_set(e, ERR_INVALID, "This agreement cannot be made as it stands.");
	buf_init(&b, AGREEMENT_DOCUMENT_MAX);
	jw_init(&w, &b);
	write_document(&w, a, &t);
	struct str text = buf_take(a, &b);
	*document = text.p ? canonical(a, text, e) : STR_NONE;
	return document->p ? ERR_OK : error_set(e, ERR_TOO_LARGE, "The agreement is too large.");
}

/* ---- Reading one ---- */

static void read_parties(struct arena *a, const struct json *root, struct agreement_terms *t, struct error *e)
{
	int i = 0;
	json_each(party, json_get(root, "parties")) {
		t->parties[i] = json_member_text(party, "coop");
		t->names[i] = json_member_text(party, "name");
		t->urls[i] = json_member_text(party, "url");
		t->charter_versions[i] = (int)json_int(json_at(party, "/charter/version"), 0);
		if (!sha256_parse(json_text(json_at(party, "/charter/sha256")), &t->charters[i]))
			fault(a, e, "/parties", "This is no digest of a charter.");
		i++;
	}
	if (str_cmp(t->parties[0], t->parties[1]) >= 0)
		fault(a, e, "/parties", "The parties are two co-ops, in the order of their names.");
	json_each(name, json_get(root, "flow"))
		for (i = 0; i < 2; i++)
			t->flow[i] |= str_eq(json_text(name), t->parties[i]);
	if (t->flow[0] + t->flow[1] != (int)json_get(root, "flow")->count)
		fault(a, e, "/flow", "Only the parties send.");
	t->joint = json_member_text(root, "joint");
	if (t->joint.p && !str_eq(t->joint, t->parties[0]) && !str_eq(t->joint, t->parties[1]))
		fault(a, e, "/joint", "Joint releases are made by one of the parties.");
}

static void read_identity(struct arena *a, const struct json *root, struct agreement_terms *t, struct error *e)
{
	struct str replaces = json_member_text(root, "replaces");
	t->revision = (int)json_int(json_get(root, "revision"), 0);
	if (!uuid_parse(json_member_text(root, "id"), &t->id))
		fault(a, e, "/id", "This is no id.");
	if ((t->revision > 1) != (replaces.p != NULL) || (replaces.p && !sha256_parse(replaces, &t->replaces)))
		fault(a, e, "/replaces", "Every revision but the first names the one before.");
}

enum err agreement_terms_parse(struct arena *a, struct str document, struct agreement_terms *out, struct error *e)
{
	const struct json *root;
	*out = (struct agreement_terms){ .document = document, .digest = sha256(document) };
	error_clear(e);
	if (document.n > AGREEMENT_DOCUMENT_MAX)
		return error_set(e, ERR_TOO_LARGE, "An agreement is %zu bytes at most.", AGREEMENT_DOCUMENT_MAX);
	TRY(json_parse(a, document, &root, e));
	TRY(check_shape(a, false, root, e));
	if (!str_eq(canonical(a, document, e), document))
		return error_set(e, ERR_INVALID, "An agreement must be in canonical form, or its digest would not be that of what people read.");
	read_common(a, root, out, e);
	out->ends = instant_at(a, root, "ends", 0, e);
	read_parties(a, root, out, e);
	read_identity(a, root, out, e);
	TRY(check_sense(a, out, e));
	return e->code == ERR_OK ? ERR_OK : ERR_INVALID;
}
