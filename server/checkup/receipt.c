#include "checkup_internal.h"

#include "commonhold/config.h"
#include "commonhold/ledger.h"
#include "commonhold/notify.h"
#include "commonhold/words.h"

/* Receipts: what was shown, what was answered and what stands now, with the field names of ISO/IEC TS 27560 and terms of the W3C Data Privacy Vocabulary, signed by the co-op.
 *
 * A receipt names its person by the membership's random id alone, so that it can be shown to somebody without telling who one is elsewhere. Its digest is in the co-op's log: the
 * receipt's own random id keeps anybody from guessing what the digest is of. Never changed or taken back: a later receipt says what stands later. */

#define EVENTS_SHOWN 50 /* of the history of the consent, newest */
#define EU_GDPR "https://w3id.org/dpv/legal/eu/gdpr#"

SQL(receipt_events, "SELECT state, at, expires_at, notice FROM consent WHERE coop_id = $1 AND member_id = $2 ORDER BY seq DESC LIMIT $3");
SQL(receipt_insert,
	"INSERT INTO consent_receipt (coop_id, id, member_id, cycle, kind, charter, issued_at, document, sha256, signature) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)");
SQL(receipt_of_member, "SELECT id, cycle, charter, kind, issued_at, sha256 FROM consent_receipt WHERE coop_id = $1 AND member_id = $2 ORDER BY issued_at DESC, id LIMIT 200");
SQL(receipt_last, "SELECT id FROM consent_receipt WHERE coop_id = $1 AND member_id = $2 ORDER BY issued_at DESC, id LIMIT 1");
SQL(receipt_by_id, "SELECT id, cycle, charter, kind, issued_at, sha256, document, signature FROM consent_receipt WHERE coop_id = $1 AND member_id = $2 AND id = $3");

/* ---- The document ---- */

static struct str charter_text(const struct charter *charter, const char *section, const char *key)
{
	return json_member_text(json_get(charter->json, section), key);
}

static void purpose_names(struct json_writer *w, const char *key, const char *const *names, size_t n)
{
	jw_key(w, key);
	jw_array(w);
	for (size_t i = 0; i < n; i++)
		jw_z(w, names[i]);
	jw_end_array(w);
}

/* The data that the consent is about: contributions by kind, and how their author is named. */
static void write_pii(struct json_writer *w, const struct standing *s)
{
	jw_key(w, "pii_information");
	jw_array(w);
	for (unsigned kind = 0; kind < POLICY_KIND_COUNT; kind++) {
		if (!(s->charter.kinds & POLICY_BIT(kind)))
			continue;
		jw_object(w);
		jw_kz(w, "pii_type", policy_kind_name(kind));
		jw_kbool(w, "pii_optional", true);
		jw_end_object(w);
	}
	jw_object(w);
	jw_kz(w, "pii_type", "attribution");
	jw_kstr(w, "pii_attribute_id", s->member.attribution);
	jw_kbool(w, "pii_optional", true);
	jw_end_object(w);
	jw_end_array(w);
}

static void write_purpose(struct json_writer *w, const struct standing *s, struct str purpose, struct str withdrawal)
{
	int no = policy_purpose_find(purpose.p ? purpose.p : "", purpose.n);
	static const char *const collect[] = { "https://w3id.org/dpv#DataSubjectDataSource" };
	static const char *const process[] = { "https://w3id.org/dpv#Store", "https://w3id.org/dpv#Share" };
	jw_object(w);
	jw_kstr(w, "purpose", purpose);
	jw_kz(w, "purpose_type", no < 0 ? POLICY_DPV "Purpose" : policy_purpose_iri((unsigned)no));
	jw_kz(w, "lawful_basis", EU_GDPR "A6-1-a");
	write_pii(w, s);
	jw_kstr(w, "pii_controllers", s->charter.name);
	purpose_names(w, "collection_method", collect, CH_LEN(collect));
	purpose_names(w, "processing_method", process, CH_LEN(process));
	jw_kstr(w, "storage_locations", charter_text(&s->charter, "moderation", "processing"));
	jw_kstr(w, "retention_period", charter_text(&s->charter, "retention", "raw"));
	jw_kstr(w, "jurisdiction", s->charter.region);
	jw_kz(w, "recipient_third_parties", policy_audience_name(s->charter.release_audience));
	jw_kstr(w, "withdrawal_method", withdrawal);
	jw_kz(w, "service", "releases of the co-op");
	jw_end_object(w);
}

static void write_party(struct json_writer *w, struct str id, struct str name, struct str address, const char *type)
{
	jw_object(w);
	jw_kstr(w, "party_id", id);
	jw_kstr(w, "party_name", name);
	jw_kstr(w, "party_address", address);
	jw_kstr(w, "party_contact", address);
	jw_kz(w, "party_type", type);
	jw_end_object(w);
}

static void write_line(struct json_writer *w, const struct checkup_line *line)
{
	jw_object(w);
	jw_kstr(w, "line", line->id);
	jw_kstr(w, "title", line->title);
	jw_kstr(w, "shown", line->words);
	jw_kstr(w, "reason", line->why);
	jw_key(w, "value");
	jw_raw(w, line->value);
	jw_kz(w, "answer", line->given == CHECKUP_UNSAID ? "none" : checkup_answer_name(line->given));
	jw_end_object(w);
}

static void write_lines(struct json_writer *w, const char *key, const struct checkup_line *lines, size_t n)
{
	jw_key(w, key);
	jw_array(w);
	for (size_t i = 0; i < n; i++)
		write_line(w, &lines[i]);
	jw_end_array(w);
}

static void write_standing(struct json_writer *w, const struct checkup_line *lines, size_t n)
{
	jw_key(w, "stands_now");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		jw_kstr(w, "line", lines[i].id);
		jw_kstr(w, "title", lines[i].title);
		jw_kstr(w, "words", lines[i].words);
		jw_key(w, "value");
		jw_raw(w, lines[i].value);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static void write_event(struct json_writer *w, struct arena *a, struct str entity, const char *type, struct str state, instant at, instant until)
{
	jw_object(w);
	jw_kstr(w, "event_time", clock_format(a, at));
	jw_kstr(w, "validity_duration", until == INSTANT_NONE || until < at ? STR_NONE : str_fmt(a, "P%lldD", (long long)((until - at) / CLOCK_DAY)));
	jw_kstr(w, "entity_id", entity);
	jw_kz(w, "event_type", type);
	jw_kstr(w, "event_state", state);
	jw_end_object(w);
}

/* The history of the consent, oldest first, and this checkup. */
static enum err write_events(struct call *c, struct json_writer *w, const struct standing *s, enum checkup_kind kind)
{
	struct rows r;
	struct str me = uuid_format(c->arena, s->member.id);
	TRY(db_query(c, receipt_events, &r, A_UUID(s->member.coop), A_UUID(s->member.id), A_I64(EVENTS_SHOWN)));
	jw_key(w, "event");
	jw_array(w);
	for (int i = r.n - 1; i >= 0; i--) {
		struct str state = row_str(&r, i, 0);
		int no = policy_consent_find(state.p, state.n);
		bool stood = str_is(state, "given") || str_is(state, "renewed");
		write_event(w, c->arena, me, "https://w3id.org/dpv#Consent", no < 0 ? state : str_of(policy_consent_iri((unsigned)no)), row_time(&r, i, 1), stood ? row_time(&r, i, 2) : INSTANT_NONE);
	}
	write_event(w, c->arena, me, kind == CHECKUP_ANNUAL ? "annual_checkup" : "off_cycle_checkup", STR("done"), clock_now(), s->member.due_at);
	jw_end_array(w);
	return ERR_OK;
}

static struct str consent_status(const struct standing *s)
{
	int no = s->consent.state.p ? policy_consent_find(s->consent.state.p, s->consent.state.n) : -1;
	return str_of(policy_consent_iri(no < 0 ? POLICY_CONSENT_UNKNOWN : (unsigned)no));
}

/* Whatever order it is written in, the bytes are those of the canonical form. */
static enum err canonical_of(struct call *c, struct buf *text, struct str *out)
{
	const struct json *tree;
	struct buf b;
	TRY(json_parse(c->arena, buf_str(text), &tree, &c->error));
	buf_init(&b, LIMIT_RESPONSE);
	json_canonical(&b, tree, true);
	*out = buf_take(c->arena, &b);
	return out->p ? ERR_OK : fail(c, ERR_TOO_LARGE, "The receipt would be too large.");
}

/* What goes into a document besides what stands. */
struct paper {
	struct uuid id;                            /* the receipt's */
	enum checkup_kind kind;
	int cycle;                                 /* that was done */
	const struct checkup_line *before, *after; /* as shown, with the answers; and as they stand since */
	size_t n_before, n_after;                  /* how many of each */
};

static enum err document_write(struct call *c, struct json_writer *w, const struct standing *s, const struct coop *coop, const struct paper *p)
{
	static const char *const rights[] = { EU_GDPR "A7-3", EU_GDPR "A15", EU_GDPR "A16", EU_GDPR "A17", EU_GDPR "A18", EU_GDPR "A20", EU_GDPR "A77" };
	struct arena *a = c->arena;
	struct str base = str_of(config()->base_url), home = str_fmt(a, "%.*s/coops/%.*s", STR_ARG(base), STR_ARG(coop->slug));
	bool stands = s->consent.state.p && consent_stands(&s->consent);
	jw_object(w);
	jw_kz(w, "schema_version", "ISO/IEC TS 27560:2023");
	jw_kz(w, "profile", "commonhold.receipt.v1");
	jw_kstr(w, "receipt_id", uuid_format(a, p->id));
	jw_kstr(w, "record_id", uuid_format(a, p->id));
	jw_kstr(w, "pii_principal_id", uuid_format(a, s->member.id));
	jw_kz(w, "language", "en");
	jw_kstr(w, "jurisdiction", s->charter.region);
	jw_kstr(w, "issued_at", clock_format(a, clock_now()));
	jw_kstr(w, "valid_until", clock_format_or_none(a, s->member.due_at));
	jw_kstr(w, "privacy_notice", str_fmt(a, "%.*s/charter?version=%d", STR_ARG(home), s->charter.version));
	jw_kint(w, "notice_version", s->charter.version);
	jw_kstr(w, "notice_sha256", sha256_hex(a, s->charter.digest));
	jw_kstr(w, "consent_status", consent_status(s));
	jw_kstr(w, "withdrawal_method", str_fmt(a, "%.*s/choices", STR_ARG(home)));
	purpose_names(w, "privacy_rights", rights, CH_LEN(rights));
	jw_key(w, "purposes");
	jw_array(w);
	for (size_t i = 0; stands && i < s->consent.n_purposes; i++)
		write_purpose(w, s, s->consent.purposes[i], str_fmt(a, "%.*s/choices", STR_ARG(home)));
	jw_end_array(w);
	jw_key(w, "party_identification");
	jw_array(w);
	write_party(w, coop->key_name, coop->name, home, "https://w3id.org/dpv#DataController");
	write_party(w, base, STR("the server of the co-op"), base, "https://w3id.org/dpv#DataProcessor");
	jw_end_array(w);
	TRY(write_events(c, w, s, p->kind));
	jw_key(w, "checkup");
	jw_object(w);
	jw_kz(w, "kind", checkup_kind_name(p->kind));
	jw_kint(w, "cycle", p->cycle);
	jw_kz(w, "membership", policy_standing_name(s->member.state));
	write_lines(w, "lines", p->before, p->n_before);
	write_standing(w, p->after, p->n_after);
	jw_end_object(w);
	jw_key(w, "signature");
	jw_object(w);
	jw_kz(w, "form", "minisign");
	jw_kstr(w, "public_key", minisign_public_key(a, coop->public_key));
	jw_end_object(w);
	jw_end_object(w);
	return ERR_OK;
}

/* ---- Issuing ---- */

static enum err tell(struct call *c, const struct standing *s, const struct coop *coop, struct uuid id)
{
	struct arena *a = c->arena;
	struct buf b;
	struct json_writer w;
	bool left = s->member.state == POLICY_STANDING_LEFT;
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "next", words_day(a, left ? INSTANT_NONE : s->member.due_at));
	jw_kstr(&w, "receipt", uuid_format(a, id));
	jw_kstr(&w, "text", left ? str_fmt(a, "You have left %.*s. This is the receipt of your last checkup.", STR_ARG(coop->name))
		: str_fmt(a, "Your checkup in %.*s is done. The next is due on %.*s.", STR_ARG(coop->name), STR_ARG(words_day(a, s->member.due_at))));
	jw_kz(&w, "title", "Your receipt");
	jw_kstr(&w, "url", str_fmt(a, "/coops/%.*s/receipts/%.*s", STR_ARG(coop->slug), STR_ARG(uuid_format(a, id))));
	jw_end_object(&w);
	struct notice notice = { .kind = "checkup.receipt", .account = s->member.account, .coop = coop->id, .key = uuid_format(a, id), .data = buf_take(a, &b) };
	return notify_send(c, &notice);
}

static enum err receipt_store(struct call *c, const struct standing *s, const struct checkup_receipt *r)
{
	TRY(db_exec(c, receipt_insert, A_UUID(r->coop), A_UUID(r->id), A_UUID(r->member), A_INT(r->cycle), A_Z(checkup_kind_name(r->kind)), A_INT(r->charter), A_TIME(r->issued_at),
		A_BYTES(r->document), A_BYTES(str_make(r->sha256.b, 32)), A_STR(r->signature)));
	struct str data = str_fmt(c->arena, "{\"member\":\"%.*s\",\"receipt_sha256\":\"%.*s\"}", STR_ARG(uuid_format(c->arena, r->member)), STR_ARG(sha256_hex(c->arena, r->sha256)));
	return ledger_append(c, r->coop, &(struct leaf){ .type = "checkup.done", .data = data, .by = s->member.id }, NULL);
}

enum err receipt_issue(struct call *c, const struct standing *after, enum checkup_kind kind, int cycle, const struct checkup_line *before, size_t n, struct checkup_receipt *out)
{
	struct coop coop;
	struct sign_key key;
	struct checkup_line *now;
	struct buf b;
	struct json_writer w;
	struct paper paper = { .id = uuid_new(), .kind = kind, .cycle = cycle, .before = before, .n_before = n };
	TRY(coop_get(c, after->member.coop, &coop));
	TRY(lines_make(c, after, CHECKUP_ANNUAL, false, INSTANT_NONE, &now, &paper.n_after));
	paper.after = now;
	*out = (struct checkup_receipt){ .coop = coop.id, .id = paper.id, .member = after->member.id, .cycle = cycle, .charter = after->charter.version, .kind = kind, .issued_at = clock_now() };
	buf_init(&b, LIMIT_RESPONSE);
	jw_init(&w, &b);
	enum err e = document_write(c, &w, after, &coop, &paper);
	if (e == ERR_OK)
		e = canonical_of(c, &b, &out->document);
	buf_release(&b);
	TRY(e);
	out->sha256 = sha256(out->document);
	TRY(ledger_key(c, coop.id, &key));
	out->signature = minisign_sign(c->arena, &key, out->document, str_fmt(c->arena, "receipt %.*s %.*s", STR_ARG(uuid_format(c->arena, out->id)), STR_ARG(clock_format(c->arena, out->issued_at))));
	secret_wipe(&key, sizeof key);
	TRY(tell(c, after, &coop, out->id));
	return receipt_store(c, after, out);
}

/* ---- Reading ---- */

static struct checkup_receipt receipt_of_row(const struct rows *r, int i, struct uuid coop, struct uuid member)
{
	return (struct checkup_receipt){
		.coop = coop, .member = member, .id = row_uuid(r, i, 0), .cycle = (int)row_int(r, i, 1), .charter = (int)row_int(r, i, 2),
		.kind = str_is(row_str(r, i, 3), "annual") ? CHECKUP_ANNUAL : CHECKUP_OFF_CYCLE, .issued_at = row_time(r, i, 4), .sha256 = sha256_load(row_bytes(r, i, 5)),
	};
}

enum err receipt_newest(struct call *c, const struct member *m, struct uuid *out)
{
	struct rows r;
	TRY(db_query(c, receipt_last, &r, A_UUID(m->coop), A_UUID(m->id)));
	*out = r.n ? row_uuid(&r, 0, 0) : (struct uuid){ { 0 } };
	return ERR_OK;
}

/* One's own receipts stay readable after one has left. */
enum err checkup_receipt_list(struct call *c, struct uuid coop, struct checkup_receipt **out, size_t *n)
{
	struct member me;
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_of_actor(c, coop, &me));
	TRY(db_finish(c, receipt_of_member, &r, A_UUID(coop), A_UUID(me.id)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct checkup_receipt);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = receipt_of_row(&r, i, coop, me.id);
	return ERR_OK;
}

enum err checkup_receipt_read(struct call *c, struct uuid coop, struct uuid id, struct checkup_receipt *out)
{
	struct member me;
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_of_actor(c, coop, &me));
	TRY(db_finish(c, receipt_by_id, &r, A_UUID(coop), A_UUID(me.id), A_UUID(id)));
	if (r.n != 1)
		return fail(c, ERR_NOT_FOUND, "There is no such receipt of yours.");
	*out = receipt_of_row(&r, 0, coop, me.id);
	out->document = row_bytes(&r, 0, 6);
	out->signature = row_str(&r, 0, 7);
	return ERR_OK;
}
