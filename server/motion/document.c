#include "motion_internal.h"

#include "commonhold/release.h"
#include "commonhold/words.h"

/* What a motion says: checked before it is put, in canonical form, and read back when it passed. */

#define TERMS_NAMED 2        /* fields of an amendment that its title names */
#define AMOUNT_MAX 1000000000000 /* items a month, or members */

SQL(people_counted,
	"SELECT count(*) FILTER (WHERE state IN ('active', 'due', 'grace')), count(*) FILTER (WHERE is_admin AND state IN ('active', 'due', 'grace')) "
	"FROM membership WHERE coop_id = $1");
SQL(person_named, "SELECT state IN ('active', 'due', 'grace'), is_admin, attribution, pseudonym, public_name FROM membership WHERE coop_id = $1 AND id = $2");

static enum err people(struct call *c, struct uuid coop, int *members, int *admins)
{
	struct rows r;
	TRY(db_one(c, people_counted, &r, A_UUID(coop)));
	*members = (int)row_int(&r, 0, 0);
	*admins = (int)row_int(&r, 0, 1);
	return ERR_OK;
}

/* ---- Amendments ---- */

static void faults_below(struct call *c, const char *prefix)
{
	for (struct fault *f = c->error.faults; f; f = f->next)
		if (!str_starts(f->pointer, prefix)) /* the schema's faults lead there from the body's root already */
			f->pointer = str_fmt(c->arena, "%s%.*s", prefix, STR_ARG(f->pointer));
}

static struct str amendment_title(struct arena *a, const struct charter_term *terms, size_t n)
{
	struct str text = STR("Amend the charter: ");
	for (size_t i = 0; i < n && i < TERMS_NAMED; i++)
		text = str_fmt(a, "%.*s%s%s", STR_ARG(text), i ? "; " : "", terms[i].label);
	return n > TERMS_NAMED ? str_fmt(a, "%.*s; and %zu more", STR_ARG(text), n - TERMS_NAMED) : text;
}

static enum err check_amendment(struct call *c, const struct charter *charter, const struct json *draft, struct motion_text *out)
{
	struct charter proposed;
	struct charter_term *terms;
	size_t n;
	int members, admins;
	TRY(charter_check(c->arena, draft, &out->document, &c->error));
	TRY(charter_parse(c->arena, out->document, &proposed, &c->error));
	TRY(charter_compare(c->arena, charter, &proposed, &terms, &n, &c->error));
	if (n == 0)
		return fail_field(c, "", "This changes nothing: it is the charter as it stands.");
	TRY(people(c, charter->coop, &members, &admins));
	TRY(charter_amendable(c->arena, &proposed, members, admins, &c->error));
	out->title = amendment_title(c->arena, terms, n);
	out->question = str_fmt(c->arena, "Shall the charter be changed as proposed, in %zu term%s?", n, n == 1 ? "" : "s");
	return ERR_OK;
}

enum err motion_check_amendment(struct call *c, const struct charter *charter, const struct json *draft, struct motion_text *out)
{
	enum err e = check_amendment(c, charter, draft, out);
	if (e != ERR_OK)
		faults_below(c, "/document");
	if (e == ERR_INVALID)
		return error_set(&c->error, e, "This amendment cannot be put to the vote as it stands.");
	return e;
}

/* ---- Collective controls ---- */

static enum err read_kinds(struct call *c, const struct json *document, struct control *out)
{
	const struct json *kinds = json_get(document, "kinds");
	json_each(name, kinds) {
		int no = json_is(name, JSON_STRING) ? policy_kind_find(name->text.p, name->text.n) : -1;
		if (no < 0)
			return fail_field(c, "/document/kinds", "There is no such kind of contribution.");
		out->kinds |= (uint8_t)POLICY_BIT(no);
	}
	if (out->kinds == 0)
		out->kinds = out->kind == CONTROL_QUALITY_FREEZE ? POLICY_BIT(POLICY_KIND_PREFERENCE) | POLICY_BIT(POLICY_KIND_FEEDBACK) | POLICY_BIT(POLICY_KIND_SIGNAL) : POLICY_KINDS_ALL;
	return ERR_OK;
}

static enum err read_uses(struct call *c, const struct json *document, struct control *out)
{
	json_each(name, json_get(document, "uses")) {
		int no = json_is(name, JSON_STRING) ? policy_use_find(name->text.p, name->text.n) : -1;
		if (no < 0)
			return fail_field(c, "/document/uses", "There is no such use.");
		out->uses |= (uint16_t)POLICY_BIT(no);
	}
	if (out->kind == CONTROL_PREFERENCE_SHIFT && out->uses == 0)
		return fail_field(c, "/document/uses", "Say which uses new contributions shall deny.");
	if (out->kind != CONTROL_PREFERENCE_SHIFT && out->uses)
		return fail_field(c, "/document/uses", "Only a preference shift names uses.");
	return ERR_OK;
}

static enum err read_amount(struct call *c, const struct json *document, struct control *out)
{
	const struct json *v = json_get(document, "amount");
	bool wants = out->kind == CONTROL_RATE_LIMIT || out->kind == CONTROL_ASSURANCE;
	out->amount = v && v->type != JSON_NULL ? json_int(v, -1) : 0;
	if (!wants && out->amount)
		return fail_field(c, "/document/amount", "Only a rate limit and a pledge have an amount.");
	if (wants && (out->amount < 1 || out->amount > AMOUNT_MAX))
		return fail_field(c, "/document/amount", "%s", out->kind == CONTROL_RATE_LIMIT ? "Say how many items a month may be released." : "Say how many members must join.");
	return ERR_OK;
}

enum err motion_read_control(struct call *c, const struct json *document, struct control *out)
{
	struct str mode = json_member_text(document, "mode"), until = json_member_text(document, "until");
	int kind = control_kind_find(json_member_text(document, "control"));
	if (kind < 0)
		return fail_field(c, "/document/control", "There is no such control.");
	*out = (struct control){ .kind = (enum control_kind)kind, .reason = json_member_text(document, "reason"), .until = INSTANT_NEVER, .lifted_at = INSTANT_NONE };
	out->pauses = out->kind == CONTROL_SELECTIVE_EMBARGO && str_is(mode, "pause");
	if (out->kind == CONTROL_SELECTIVE_EMBARGO && !out->pauses && !str_is(mode, "evaluation_only"))
		return fail_field(c, "/document/mode", "Say whether releases pause, or new items are for evaluation alone.");
	if (until.n && !clock_parse(until, &out->until))
		return fail_field(c, "/document/until", "This must be an instant such as 2027-01-01T00:00:00Z.");
	TRY(read_kinds(c, document, out));
	TRY(read_uses(c, document, out));
	return read_amount(c, document, out);
}

static struct str control_document(struct arena *a, const struct control *k)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kz(&w, "act", "set");
	if (k->amount)
		jw_kint(&w, "amount", k->amount);
	jw_kz(&w, "control", control_kind_name(k->kind));
	jw_knames(&w, "kinds", k->kinds, POLICY_KIND_COUNT, policy_kind_name);
	if (k->kind == CONTROL_SELECTIVE_EMBARGO)
		jw_kz(&w, "mode", k->pauses ? "pause" : "evaluation_only");
	jw_kstr(&w, "reason", k->reason);
	if (k->until != INSTANT_NEVER)
		jw_kstr(&w, "until", clock_format(a, k->until));
	if (k->uses)
		jw_knames(&w, "uses", k->uses, POLICY_USE_COUNT, policy_use_name);
	jw_end_object(&w);
	return buf_take(a, &b);
}

static enum err check_set(struct call *c, const struct charter *charter, const struct json *document, struct str reason, struct motion_text *out)
{
	struct control k, *standing;
	size_t n;
	int members, admins;
	TRY(motion_read_control(c, document, &k));
	k.reason = reason;
	instant over = duration_add(duration_add(clock_now(), charter->notice, 1), charter->voting, 1);
	if (k.until <= over)
		return fail_field(c, "/document/until", "That day comes before the vote is over.");
	TRY(people(c, charter->coop, &members, &admins));
	if (k.kind == CONTROL_ASSURANCE && k.amount > members)
		return fail_field(c, "/document/amount", "The co-op has %d member%s: the pledge could never be reached.", members, members == 1 ? "" : "s");
	TRY(control_current(c, charter->coop, &standing, &n));
	for (size_t i = 0; i < n; i++)
		if (standing[i].kind == k.kind && k.kind != CONTROL_PREFERENCE_SHIFT)
			return fail_field(c, "/document/control", "A control of this kind stands already. Propose to lift that one first.");
	out->document = control_document(c->arena, &k);
	out->title = str_fmt(c->arena, "Set a control: %s", control_title(k.kind));
	struct str effect = control_effect(c->arena, &k), end = control_end(c->arena, &k);
	out->question = str_fmt(c->arena, "Shall this control be set? %.*s %.*s", STR_ARG(effect), STR_ARG(end));
	return ERR_OK;
}

static enum err check_lift(struct call *c, const struct charter *charter, const struct json *document, struct str reason, struct motion_text *out)
{
	struct control *standing;
	struct uuid id;
	size_t n;
	struct buf b;
	struct json_writer w;
	if (!uuid_parse(json_member_text(document, "control"), &id))
		return fail_field(c, "/document/control", "Name the control that is to be lifted.");
	TRY(control_current(c, charter->coop, &standing, &n));
	const struct control *k = NULL;
	for (size_t i = 0; i < n; i++)
		if (uuid_eq(standing[i].id, id))
			k = &standing[i];
	if (!k)
		return fail_field(c, "/document/control", "No such control stands.");
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kz(&w, "act", "lift");
	jw_kstr(&w, "control", uuid_format(c->arena, id));
	jw_kstr(&w, "reason", reason);
	jw_end_object(&w);
	out->document = buf_take(c->arena, &b);
	out->title = str_fmt(c->arena, "Lift a control: %s", control_title(k->kind));
	struct str since = words_day(c->arena, k->set_at);
	out->question = str_fmt(c->arena, "Shall this control, which has stood since %.*s, be lifted?", STR_ARG(since));
	return ERR_OK;
}

/* ---- Admins ---- */

static enum err check_admin(struct call *c, const struct charter *charter, const struct json *document, struct str reason, struct motion_text *out)
{
	struct uuid id;
	struct rows r;
	struct buf b;
	struct json_writer w;
	int members, admins;
	bool add = str_is(json_member_text(document, "act"), "add");
	if (!add && !str_is(json_member_text(document, "act"), "remove"))
		return fail_field(c, "/document/act", "This is add or remove.");
	if (!uuid_parse(json_member_text(document, "member"), &id))
		return fail_field(c, "/document/member", "Name the member.");
	TRY(db_query(c, person_named, &r, A_UUID(charter->coop), A_UUID(id)));
	if (r.n != 1 || !row_bool(&r, 0, 0))
		return fail_field(c, "/document/member", "This is no current member of the co-op.");
	if (row_bool(&r, 0, 1) == add)
		return fail_field(c, "/document/member", add ? "This member is an admin already." : "This member is no admin.");
	TRY(people(c, charter->coop, &members, &admins));
	if (!add && admins <= 1)
		return fail_field(c, "/document/member", "This is the co-op’s last admin, who stays. Elect another one first.");
	struct str name = str_is(row_str(&r, 0, 2), "public") && row_str(&r, 0, 4).n ? row_str(&r, 0, 4) : row_str(&r, 0, 3);
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kz(&w, "act", add ? "add" : "remove");
	jw_kstr(&w, "member", uuid_format(c->arena, id));
	jw_kstr(&w, "reason", reason);
	jw_end_object(&w);
	out->document = buf_take(c->arena, &b);
	out->title = str_fmt(c->arena, "%s %.*s", add ? "New admin:" : "No longer admin:", STR_ARG(name));
	out->question = str_fmt(c->arena, "Shall %.*s %s?", STR_ARG(name), add ? "become an admin" : "no longer be an admin");
	return ERR_OK;
}

/* ---- Benefit ---- */

enum err motion_read_benefit(struct call *c, const struct json *document, struct benefit_draft *out)
{
	*out = (struct benefit_draft){
		.kind = json_member_text(document, "kind"), .currency = json_member_text(document, "currency"), .source = json_member_text(document, "source"),
		.note = json_member_text(document, "note"), .contributors = (int)json_int(json_get(document, "contributors"), -1), .weight = json_member_text(document, "weight"),
	};
	if (!out->kind.p)
		out->kind = STR("money");
	if (!out->weight.p)
		out->weight = STR("included_items");
	if (!money_parse(json_member_text(document, "amount"), out->currency, &out->amount))
		return fail_field(c, "/document/amount", "This must be an amount of a currency, such as 1234.50 and CHF.");
	if (str_is(json_member_text(document, "act"), "spend"))
		return ERR_OK;
	if (!uuid_parse(json_member_text(document, "release"), &out->release))
		return fail_field(c, "/document/release", "Name the release that earned it, by its id.");
	if (out->contributors < 0 || out->contributors > 100)
		return fail_field(c, "/document/contributors", "This is a per cent, 0 to 100.");
	if (!out->source.n)
		return fail_field(c, "/document/source", "Say who gave it.");
	return ERR_OK;
}

static enum err check_benefit(struct call *c, const struct charter *charter, const struct json *document, struct str reason, struct motion_text *out)
{
	struct benefit_draft d;
	struct release release;
	struct buf b;
	struct json_writer w;
	struct str reference = json_member_text(document, "reference");
	bool spend = str_is(json_member_text(document, "act"), "spend");
	if (!spend && !str_is(json_member_text(document, "act"), "split"))
		return fail_field(c, "/document/act", "This is split or spend.");
	TRY(motion_read_benefit(c, document, &d));
	if (spend)
		TRY(call_check_text(c, "/document/reference", reference.p ? reference : STR(""), 3, LIMIT_TEXT_NAME));
	if (!spend && release_get(c, charter->coop, d.release, &release) != ERR_OK) {
		error_clear(&c->error);
		return fail_field(c, "/document/release", "There is no such release.");
	}
	struct str words = money_words(c->arena, d.amount, d.currency);
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kz(&w, "act", spend ? "spend" : "split");
	jw_kstr(&w, "amount", money_format(c->arena, d.amount, d.currency));
	if (!spend)
		jw_kint(&w, "contributors", d.contributors);
	jw_kstr(&w, "currency", d.currency);
	if (!spend) {
		jw_kstr(&w, "kind", d.kind);
		jw_kstr(&w, "note", d.note.p ? d.note : STR(""));
	}
	jw_kstr(&w, "reason", reason);
	if (spend) {
		jw_kstr(&w, "reference", reference);
		out->title = str_fmt(c->arena, "Spend %.*s from the commons", STR_ARG(words));
		out->question = str_fmt(c->arena, "Shall %.*s be spent from the commons: %.*s?", STR_ARG(words), STR_ARG(reference));
	} else {
		jw_kstr(&w, "release", uuid_format(c->arena, d.release));
		jw_kstr(&w, "source", d.source);
		jw_kstr(&w, "weight", d.weight);
		out->title = str_fmt(c->arena, "Split %.*s", STR_ARG(words));
		out->question = str_fmt(c->arena, "Shall %.*s from %.*s be split so: %d per cent for contributors %s, %d per cent for the commons?", STR_ARG(words), STR_ARG(d.source),
			d.contributors, str_is(d.weight, "per_contributor") ? "evenly by person" : "by their items", 100 - d.contributors);
	}
	jw_end_object(&w);
	out->document = buf_take(c->arena, &b);
	return ERR_OK;
}

enum err motion_check(struct call *c, const struct charter *charter, struct str kind, const struct json *document, struct str reason, struct motion_text *out)
{
	if (str_is(kind, "toggle"))
		return str_is(json_member_text(document, "act"), "lift") ? check_lift(c, charter, document, reason, out) : check_set(c, charter, document, reason, out);
	if (str_is(kind, "admin"))
		return check_admin(c, charter, document, reason, out);
	if (str_is(kind, "benefit"))
		return check_benefit(c, charter, document, reason, out);
	return fail_field(c, "/kind", "This must be toggle, admin or benefit. An amendment is proposed with the charters.");
}
