/* prepare.c - one submission made ready for the tables: checked, canonical, hashed, scanned, packed, sealed. Pure; runs on any thread. */
#include "server/pool/intake_rules.h"

#include "commonhold/assets.h"
#include "commonhold/ledger.h"
#include "commonhold/packed.h"
#include "commonhold/policy_pref.h"

#include <pthread.h>

#define SCHEMAS_BYTES (16 * MIB) /* all submission schemas, compiled */
#define SCANNER "commonhold-pii"
#define SCANNER_VERSION "1"

static struct { pthread_mutex_t lock; struct arena *arena; const struct contribution_schemas *loaded; } schemas = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Kept for the life of the process once it has worked. */
enum err pool_schemas(const struct contribution_schemas **out, struct error *e)
{
	enum err err = ERR_OK;
	pthread_mutex_lock(&schemas.lock);
	if (!schemas.loaded) {
		schemas.arena = arena_new(SCHEMAS_BYTES);
		err = schemas.arena ? contribution_schemas_load(schemas.arena, &schemas.loaded, e) : error_set(e, ERR_NO_MEMORY, "There is no memory for the schemas.");
		if (err != ERR_OK)
			arena_free(schemas.arena);
	}
	*out = schemas.loaded;
	pthread_mutex_unlock(&schemas.lock);
	return err;
}

void pool_seal_context(struct uuid coop, const uint8_t id[16], uint8_t out[32])
{
	memcpy(out, coop.b, 16);
	memcpy(out + 16, id, 16);
}

/* Says what is wrong with a field under a code of its own. */
static void refuse(struct error *e, struct arena *a, enum err code, const char *reason, const char *pointer, const char *sentence)
{
	if (e->code == ERR_OK) {
		error_set(e, code, "%s", sentence);
		snprintf(e->reason, sizeof(e->reason), "%s", reason);
	}
	error_fault(e, a, str_of(pointer), "%s", sentence);
}

static void check_kind(const struct intake_rules *r, const struct contribution_draft *d, struct arena *a, struct error *e)
{
	if (!(r->kinds >> d->kind & 1))
		refuse(e, a, ERR_REFUSED, "kind_not_accepted", "/kind", "This co-op does not take contributions of this kind.");
}

static unsigned check_licence(const struct intake *in, const struct contribution_draft *d, struct arena *a, struct error *e)
{
	if (!d->licence.p)
		return in->licence;
	unsigned licence = policy_licence_find(d->licence.p, d->licence.n);
	if (licence == POLICY_LICENCE_UNKNOWN)
		refuse(e, a, ERR_INVALID, "licence_unknown", "/licence", "This licence is not known here. Use an SPDX id that the charter lists.");
	else if (!(in->rules->licences >> licence & 1))
		refuse(e, a, ERR_REFUSED, "licence_not_allowed", "/licence", "The charter does not allow this licence.");
	return licence;
}

static void check_attribution(const struct intake *in, const struct contribution_draft *d, struct arena *a, struct error *e)
{
	if (d->attribution == CONTRIBUTION_ATTRIBUTION_PUBLIC && !in->has_public_name)
		refuse(e, a, ERR_INVALID, "no_public_name", "/attribution", "Choose a public name in your membership before you contribute under it.");
}

static void check_record(const struct intake_rules *r, const struct contribution_draft *d, struct arena *a, struct error *e)
{
	if (d->kind != POLICY_KIND_RECORD || !r->records_registered)
		return;
	for (size_t i = 0; i < r->n_records; i++) {
		if (!str_eq(r->records[i].name, d->record_schema))
			continue;
		if (json_schema_check(a, r->records[i].schema, d->record_data, e) != ERR_OK && e->code == ERR_OK)
			error_set(e, ERR_INVALID, "The record does not fit its schema.");
		return;
	}
	refuse(e, a, ERR_REFUSED, "record_schema_unknown", "/content/schema", "The charter has no record schema of this name.");
}

unsigned item_findings_total(const struct pii_report *report)
{
	unsigned total = 0;
	for (unsigned k = 0; k < PII_KIND_COUNT; k++)
		total += report->count[k];
	return total;
}

/* Each place where something was found, never what. */
static void refuse_findings(const struct pii_report *report, struct arena *a, struct error *e)
{
	error_set(e, ERR_REFUSED, "The charter does not take contributions with personal data in them. Take it out and send it again.");
	snprintf(e->reason, sizeof(e->reason), "personal_data");
	for (size_t i = 0; i < report->kept; i++)
		error_fault(e, a, json_pointer(a, report->finding[i].at), "There seems to be %s here.", pii_kind_text(report->finding[i].kind));
}

/* What moderation makes of it; the findings' bit only where the charter wants a person to look at them. */
static enum policy_moderation moderate(const struct intake_rules *r, const struct pii_report *report, uint32_t *flags, struct arena *a, struct error *e)
{
	enum intake_verdict verdict = r->mode;
	if (r->mode == INTAKE_REJECT) {
		error_set(e, ERR_REFUSED, "This co-op takes no contributions at present.");
		snprintf(e->reason, sizeof(e->reason), "intake_closed");
		return POLICY_MODERATION_REJECTED;
	}
	if (item_findings_total(report) >= r->pii_threshold) {
		if (r->pii_action == INTAKE_REJECT)
			refuse_findings(report, a, e);
		if (r->pii_action != INTAKE_APPROVE)
			*flags |= POLICY_ITEM_PII;
		if (r->pii_action > verdict)
			verdict = r->pii_action;
	}
	return verdict == INTAKE_APPROVE ? POLICY_MODERATION_APPROVED : POLICY_MODERATION_PENDING;
}

uint32_t item_sensitive_flags(unsigned sensitive)
{
	return (sensitive & CONTRIBUTION_MINOR ? POLICY_ITEM_MINOR : 0u) | (sensitive & CONTRIBUTION_SPECIAL_CATEGORY ? POLICY_ITEM_SPECIAL : 0u)
		| (sensitive & CONTRIBUTION_THIRD_PARTY ? POLICY_ITEM_THIRD_PARTY : 0u);
}

uint64_t item_more(const struct contribution_draft *d)
{
	return (uint64_t)packed_language(d->lang) | (uint64_t)d->prompted << POLICY_MORE_PROMPTED_SHIFT | (uint64_t)d->friction << POLICY_MORE_FRICTION_SHIFT
		| (uint64_t)packed_application(d->application) << POLICY_MORE_APPLICATION_SHIFT | (uint64_t)packed_length(d->text_bytes) << POLICY_MORE_LENGTH_SHIFT;
}

/* The server's own step of the processing log. */
static void add_step(struct buf *out, const struct pii_report *report)
{
	/* in the order of their words, as canonical JSON wants it */
	static const uint8_t by_word[] = { PII_CARD, PII_EMAIL, PII_IBAN, PII_IP, PII_PHONE, PII_SECRET };
	_Static_assert(CH_LEN(by_word) == PII_KIND_COUNT, "every kind has its place");
	buf_add_byte(out, '{');
	for (unsigned k = 0, written = 0; k < PII_KIND_COUNT; k++) {
		if (report->count[by_word[k]])
			buf_addf(out, "%s\"%s\":%u", written++ ? "," : "\"found\":{", pii_kind_word(by_word[k]), report->count[by_word[k]]);
	}
	buf_add_z(out, report->mask ? "}," : "");
	buf_add_z(out, "\"processor\":\"" SCANNER "\",\"stage\":\"on_submission\",\"version\":\"" SCANNER_VERSION "\"}");
}

/* Where the first member from `key` on begins in a canonical object: its quote, or the closing brace. */
static size_t member_from(struct str object, const char *key)
{
	struct str wanted = str_of(key);
	unsigned depth = 0;
	for (size_t i = 0; i < object.n; i++) {
		char ch = object.p[i];
		if (ch == '"') {
			size_t start = i++;
			for (; i < object.n && object.p[i] != '"'; i++)
				i += object.p[i] == '\\';
			bool is_key = depth == 1 && (object.p[start - 1] == '{' || object.p[start - 1] == ',') && i + 1 < object.n && object.p[i + 1] == ':';
			if (is_key && str_cmp(str_sub(object, start + 1, i - start - 1), wanted) >= 0)
				return start;
		} else if (ch == '{' || ch == '[') {
			depth++;
		} else if (ch == '}' || ch == ']') {
			if (--depth == 0)
				return i;
		}
	}
	return object.n;
}

/* The circumstances as sent, with the server's step at the end of "processing"; canonical again. After "processing" comes "prompted" or what follows that. */
static struct str facts_write(struct arena *a, struct str sent, const struct pii_report *report)
{
	struct buf b;
	buf_init(&b, sent.n + 1024);
	(void)buf_reserve(&b, sent.n + 200);
	size_t from = member_from(sent, "processing"), after = member_from(sent, "prompted");
	bool followed = sent.p[after] == '"';
	if (from < after) {
		size_t close = after - 1 - (followed ? 1 : 0);
		buf_add(&b, sent.p, close);
		buf_add_z(&b, sent.p[close - 1] == '[' ? "" : ",");
		add_step(&b, report);
		buf_add(&b, sent.p + close, sent.n - close);
	} else {
		buf_add(&b, sent.p, from);
		buf_add_z(&b, !followed && from > 1 ? "," : "");
		buf_add_z(&b, "\"processing\":[");
		add_step(&b, report);
		buf_add_z(&b, followed ? "]," : "]");
		buf_add(&b, sent.p + from, sent.n - from);
	}
	return buf_take(a, &b);
}

/* What the item's own preference string denies; it can never allow. */
static uint16_t denied_uses(struct str preferences)
{
	struct policy_pref pref;
	if (!preferences.p)
		return 0;
	policy_pref_read(POLICY_DIALECT_AIPREF_07, preferences.p, preferences.n, &pref);
	return pref.deny;
}

static struct str context_of(const char *what, struct uuid coop, struct uuid item, uint8_t out[48])
{
	memcpy(out, what, 16);
	pool_seal_context(coop, item.b, out + 16);
	return str_make(out, 48);
}

struct str pool_facts_context(struct uuid coop, struct uuid item, uint8_t out[48])
{
	return context_of("contrib.facts v1", coop, item, out);
}

struct str pool_reason_context(struct uuid coop, struct uuid item, uint8_t out[48])
{
	return context_of("contrib.reasonv1", coop, item, out);
}

static void seal_content(struct arena *a, const struct intake *in, struct str content, struct str facts, struct item *out)
{
	uint8_t context[32], facts_context[48];
	pool_seal_context(in->coop, out->id.b, context);
	out->sealed = seal(a, &in->key, str_make(context, sizeof(context)), content);
	out->facts = seal(a, &in->key, pool_facts_context(in->coop, out->id, facts_context), facts);
}

static char *leaf_member(char *to, const char *before, struct str value)
{
	to = mempcpy(to, before, strlen(before));
	return mempcpy(to, value.p, value.n);
}

/* Commitments to the content and, where there is one, to the preference string; members in canonical order, nothing in need of escapes. */
static void write_leaf(struct arena *a, const struct intake *in, struct item *out)
{
	struct str content = sha256_hex(a, ledger_commitment(out->salt, out->hash));
	out->rid = rid_format(a, in->coop_name, out->id);
	char *leaf = arena_alloc(a, 200 + out->rid.n), *to = leaf_member(leaf, "{\"c\":\"", content);
	if (out->preferences.p)
		to = leaf_member(to, "\",\"p\":\"", sha256_hex(a, ledger_commitment(out->salt, sha256(out->preferences))));
	to = leaf_member(to, "\",\"rid\":\"", out->rid);
	to = mempcpy(to, "\"}", 2);
	out->leaf = str_make(leaf, (size_t)(to - leaf));
}

static void note_derived(struct arena *a, const struct contribution_draft *d, struct item *out)
{
	if (d->n_derived == 0)
		return;
	out->derived = ARENA_ARRAY(a, d->n_derived, struct pool_derivation);
	for (size_t i = 0; i < d->n_derived; i++)
		out->derived[out->n_derived++] = (struct pool_derivation){ out->id, str_copy(a, d->derived[i].home), d->derived[i].source, d->derived[i].copied };
}

enum err item_prepare(struct arena *a, struct arena *scratch, const struct intake *in, instant at, const struct json *submission, struct item *out, struct error *e)
{
	const struct contribution_schemas *known;
	struct contribution_draft d;
	struct pii_report report = { 0 };
	TRY(pool_schemas(&known, e));
	TRY(contribution_canonical(scratch, known, submission, &d, e));
	if (d.content.n > LIMIT_BODY_ITEM)
		return error_set(e, ERR_TOO_LARGE, "A contribution may have at most %zu bytes of content.", LIMIT_BODY_ITEM);
	check_kind(in->rules, &d, scratch, e);
	unsigned licence = check_licence(in, &d, scratch, e);
	check_attribution(in, &d, scratch, e);
	check_record(in->rules, &d, scratch, e);
	if (e->code != ERR_OK)
		return e->code;
	pii_scan_tree(json_get(submission, "content"), &report);
	uint32_t flags = item_sensitive_flags(d.sensitive) | POLICY_ITEM_ATTRIBUTED;
	enum policy_moderation moderation = moderate(in->rules, &report, &flags, scratch, e);
	if (e->code != ERR_OK)
		return e->code;
	struct policy_item packed = {
		.member = in->member_no, .flags = flags, .kind = (uint8_t)d.kind, .licence = (uint8_t)licence, .moderation = (uint8_t)moderation, .created = at,
	};
	struct { struct uuid id; uint8_t salt[32]; } random;
	random_bytes(&random, sizeof(random)); /* at once: each time is a call to the kernel */
	*out = (struct item){
		.id = uuid_of_random(random.id), .hash = d.hash, .kind = d.kind, .licence = licence, .bytes = d.content.n, .word = policy_item_pack(&packed), .more = item_more(&d),
		.findings = report.mask, .lang = d.lang.p ? str_copy(a, d.lang) : STR("und"),
		.preferences = d.ai_preferences.p ? str_copy(a, d.ai_preferences) : STR_NONE, .deny = denied_uses(d.ai_preferences),
	};
	memcpy(out->salt, random.salt, sizeof(out->salt));
	note_derived(a, &d, out);
	seal_content(a, in, d.content, facts_write(scratch, d.circumstances, &report), out);
	write_leaf(a, in, out);
	return ERR_OK;
}
