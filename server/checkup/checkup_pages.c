#include "commonhold/benefit.h"
#include "commonhold/checkup.h"
#include "commonhold/db.h"
#include "commonhold/routes.h"
#include "commonhold/words.h"

/* Pages of the checkup: where I stand in every co-op with "as before", one co-op line by line, and receipts. Nothing is ticked that the person did not tick. */

/* ---- Lines ---- */

static void option(struct json_writer *w, const char *value, const char *words, bool chosen)
{
	jw_object(w);
	jw_kz(w, "id", value);
	jw_kz(w, "words", words);
	jw_kbool(w, "chosen", chosen);
	jw_end_object(w);
}

/* What the person had entered, when a form is shown again; never what stands: that would be ticked in advance. */
static struct str entered(struct request *rq, struct str line, const char *field)
{
	return rq->body.p ? request_form(rq, str_fmt(rq->call->arena, "change.%.*s.%s", STR_ARG(line), field).p) : STR_NONE;
}

static void purpose_options(struct json_writer *w, struct request *rq, const struct checkup_line *line)
{
	struct str *chosen = NULL;
	size_t n = rq->body.p ? request_form_all(rq, str_fmt(rq->call->arena, "change.%.*s.purposes", STR_ARG(line->id)).p, &chosen) : 0;
	jw_key(w, "purposes");
	jw_array(w);
	for (unsigned no = 0; no < POLICY_PURPOSE_COUNT; no++) {
		bool picked = false;
		for (size_t i = 0; i < n; i++)
			picked |= str_is(chosen[i], policy_purpose_name(no));
		option(w, policy_purpose_name(no), words_purpose(no), picked);
	}
	jw_end_array(w);
}

static void licence_options(struct json_writer *w, struct request *rq, const struct checkup_line *line, const struct charter *charter)
{
	struct str picked = entered(rq, line->id, "licence");
	jw_key(w, "licences");
	jw_array(w);
	for (unsigned no = 1; no < POLICY_LICENCE_COUNT; no++)
		if (charter->licences_allowed >> no & 1)
			option(w, policy_licence_get(no)->spdx, policy_licence_get(no)->name, str_is(picked, policy_licence_get(no)->spdx));
	jw_end_array(w);
}

static void effect_options(struct json_writer *w, struct request *rq, const struct checkup_line *line)
{
	struct str picked = entered(rq, line->id, "effect");
	jw_key(w, "effects");
	jw_array(w);
	option(w, "allow", "yes", str_is(picked, "allow"));
	option(w, "credit", "yes, if I am credited", str_is(picked, "credit"));
	option(w, "deny", "no", str_is(picked, "deny"));
	jw_end_array(w);
}

static void attribution_options(struct json_writer *w, struct request *rq, const struct checkup_line *line)
{
	struct str picked = entered(rq, line->id, "attribution");
	jw_key(w, "attributions");
	jw_array(w);
	option(w, "pseudonym", "by a name made at random", str_is(picked, "pseudonym"));
	option(w, "anonymous", "not named", str_is(picked, "anonymous"));
	option(w, "public", "by the name below", str_is(picked, "public"));
	jw_end_array(w);
	struct str name = entered(rq, line->id, "public_name");
	jw_kstr(w, "public_name", name.p ? name : STR(""));
}

/* The controls of a change, by what the line is about. */
static void change_options(struct json_writer *w, struct request *rq, const struct checkup_line *line, const struct charter *charter)
{
	if (!(line->answers & CHECKUP_CHANGE))
		return;
	if (str_is(line->id, "consent"))
		purpose_options(w, rq, line);
	else if (str_is(line->id, "licence"))
		licence_options(w, rq, line, charter);
	else if (str_is(line->id, "attribution"))
		attribution_options(w, rq, line);
	else if (str_starts(line->id, "use."))
		effect_options(w, rq, line);
	jw_kbool(w, "ask_purposes", str_is(line->id, "consent"));
	jw_kbool(w, "ask_licence", str_is(line->id, "licence"));
	jw_kbool(w, "ask_attribution", str_is(line->id, "attribution"));
	jw_kbool(w, "ask_effect", str_starts(line->id, "use."));
}

/* The words of each answer, by what the line is about. */
static const char *end_words(const struct checkup_line *line)
{
	if (str_is(line->id, "membership"))
		return "leave the co-op";
	if (str_is(line->id, "consent"))
		return "withdraw it";
	if (str_is(line->id, "default"))
		return "it speaks for me no more";
	return str_starts(line->id, "use.") ? "say nothing any more" : "end it";
}

static struct str fault_at(struct call *c, struct str line)
{
	struct str pointer = str_fmt(c->arena, "/answers/%.*s", STR_ARG(line));
	for (const struct fault *f = c->error.faults; f; f = f->next)
		if (str_eq(f->pointer, pointer) || (str_starts(f->pointer, pointer.p) && f->pointer.n > pointer.n && f->pointer.p[pointer.n] == '/'))
			return f->message;
	return STR_NONE;
}

static void line_data(struct json_writer *w, struct request *rq, const struct checkup_line *line, const struct charter *charter)
{
	struct str given = rq->body.p && charter ? request_form(rq, str_fmt(rq->call->arena, "line.%.*s", STR_ARG(line->id)).p) : STR_NONE;
	jw_object(w);
	jw_kstr(w, "line_id", line->id);
	jw_kstr(w, "line_title", line->title);
	jw_kstr(w, "words", line->words);
	jw_kstr(w, "why", line->why);
	jw_kstr(w, "acts", line->acts);
	jw_kbool(w, "rests", line->suspended);
	jw_kstr(w, "wrong_here", fault_at(rq->call, line->id));
	jw_kbool(w, "can_change", line->answers & CHECKUP_CHANGE);
	jw_kbool(w, "can_end", line->answers & CHECKUP_END);
	jw_kz(w, "end_words", end_words(line));
	jw_kz(w, "change_words", str_is(line->id, "default") ? "it may speak for me from now on" : "change it");
	jw_kbool(w, "is_confirm", str_is(given, "confirm"));
	jw_kbool(w, "is_change", str_is(given, "change"));
	jw_kbool(w, "is_end", str_is(given, "end"));
	jw_kbool(w, "is_items", str_is(line->id, "items"));
	jw_kbool(w, "is_delegation", str_starts(line->id, "delegation."));
	if (charter)
		change_options(w, rq, line, charter);
	jw_end_object(w);
}

/* ---- The year ---- */

static void year_data(struct json_writer *w, struct arena *a, const struct checkup_year *y)
{
	int64_t total = 0;
	jw_key(w, "year");
	jw_object(w);
	jw_kstr(w, "from", words_day(a, y->from));
	jw_key(w, "releases");
	jw_array(w);
	for (size_t i = 0; i < y->n_releases; i++) {
		jw_object(w);
		jw_kstr(w, "id", uuid_format(a, y->releases[i].id));
		jw_kstr(w, "version", y->releases[i].version);
		jw_kstr(w, "on", words_day(a, y->releases[i].published_at));
		jw_kstr(w, "items", words_count(a, y->releases[i].items));
		jw_end_object(w);
		total += y->releases[i].items;
	}
	jw_end_array(w);
	jw_kbool(w, "any_releases", total > 0);
	jw_key(w, "accesses");
	jw_array(w);
	for (size_t i = 0; i < y->n_accesses; i++) {
		int no = policy_purpose_find(y->accesses[i].purpose.p ? y->accesses[i].purpose.p : "", y->accesses[i].purpose.n);
		jw_object(w);
		jw_kstr(w, "recipient", y->accesses[i].recipient.n ? y->accesses[i].recipient : STR("A person"));
		jw_kz(w, "purpose", no < 0 ? "a purpose of their own" : words_purpose((unsigned)no));
		jw_kstr(w, "on", words_day(a, y->accesses[i].since));
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_kbool(w, "any_accesses", y->n_accesses > 0);
	jw_key(w, "earned");
	jw_array(w);
	for (size_t i = 0; i < y->n_money; i++)
		jw_str(w, money_words(a, y->money[i].cents, y->money[i].currency));
	jw_end_array(w);
	jw_kbool(w, "any_earned", y->n_money > 0);
	jw_end_object(w);
}

/* ---- A co-op's checkup ---- */

static const char *state_words(const struct checkup *c)
{
	switch (membership_standing_at(c->member.state, c->due_at, (struct duration){ .years = 1000 }, clock_now())) {
	case POLICY_STANDING_APPLIED:
		return "You have applied to join.";
	case POLICY_STANDING_LAPSED:
		return "Your membership has lapsed. Your contributions stay out of new releases, and nothing was deleted. This checkup renews it.";
	case POLICY_STANDING_GRACE:
		return "Your checkup is overdue. What you delegated, and the co-op's default, rest until you answer.";
	default:
		return c->kind == CHECKUP_ANNUAL ? "Your annual checkup is open." : c->kind == CHECKUP_OFF_CYCLE ? "Something changed that you should answer." : "All is said. Nothing to do here now.";
	}
}

static void checkup_data(struct json_writer *w, struct request *rq, const struct checkup *c, const struct charter *charter)
{
	struct arena *a = rq->call->arena;
	jw_kstr(w, "slug", c->coop_slug);
	jw_kstr(w, "name", c->coop_name);
	jw_kz(w, "state_words", state_words(c));
	jw_kbool(w, "answerable", c->kind != CHECKUP_NONE);
	jw_kbool(w, "off_cycle", c->kind == CHECKUP_OFF_CYCLE);
	jw_kbool(w, "overdue", c->due_at != INSTANT_NONE && c->due_at <= clock_now());
	jw_kstr(w, "opens", words_day(a, c->opens_at));
	jw_kstr(w, "due", words_day(a, c->due_at));
	jw_kstr(w, "due_iso", words_day_iso(a, c->due_at));
	jw_kstr(w, "lapses", words_day(a, c->lapses_at));
	jw_kbool(w, "may_lapse", c->kind == CHECKUP_ANNUAL && c->lapses_at > clock_now());
	jw_kstr(w, "shown", c->shown);
	jw_kstr(w, "last_receipt", uuid_format_or_none(a, c->last_receipt));
	jw_kint(w, "count", (int64_t)c->n_lines);
	jw_key(w, "lines");
	jw_array(w);
	for (size_t i = 0; i < c->n_lines; i++)
		line_data(w, rq, &c->lines[i], charter);
	jw_end_array(w);
	if (c->lines)
		year_data(w, a, &c->year);
}

/* ---- All co-ops ---- */

static enum err overview(struct request *rq, struct response *rs, enum err refused)
{
	struct checkup *checkups;
	struct buf b;
	size_t n, open = 0;
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "Checkup");
	enum err e = page_form_said(rq, rs, refused, &w);
	if (e == ERR_OK)
		e = checkup_list(rq->call, &checkups, &n);
	if (e == ERR_OK) {
		jw_key(&w, "open");
		jw_array(&w);
		for (size_t i = 0; i < n; i++) {
			if (checkups[i].kind == CHECKUP_NONE)
				continue;
			jw_object(&w);
			checkup_data(&w, rq, &checkups[i], NULL);
			jw_end_object(&w);
			open++;
		}
		jw_end_array(&w);
		jw_key(&w, "quiet");
		jw_array(&w);
		for (size_t i = 0; i < n; i++) {
			if (checkups[i].kind != CHECKUP_NONE)
				continue;
			jw_object(&w);
			checkup_data(&w, rq, &checkups[i], NULL);
			jw_end_object(&w);
		}
		jw_end_array(&w);
		jw_kbool(&w, "any_open", open > 0);
		jw_kbool(&w, "several_open", open > 1);
		jw_kbool(&w, "any_quiet", n > open);
		jw_kbool(&w, "none", n == 0);
		jw_kint(&w, "n_open", (int64_t)open);
	}
	return page_end(rq, rs, "page/checkups", &b, &w, e);
}

static enum err overview_page(struct request *rq, struct response *rs)
{
	return overview(rq, rs, ERR_OK);
}

/* "As before" in every co-op whose lines were on the page. Each is a transaction of its own: what changed meanwhile in one is shown again, the others are done. */
static enum err overview_as_before(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct checkup *checkups;
	size_t n, done = 0;
	enum err refused = ERR_OK;
	struct checkup_receipt receipt;
	TRY(checkup_list(c, &checkups, &n));
	for (size_t i = 0; i < n; i++) {
		struct str shown = request_form(rq, str_fmt(c->arena, "shown.%.*s", STR_ARG(checkups[i].coop_slug)).p);
		if (!shown.n)
			continue;
		enum err e = checkup_as_before(c, checkups[i].member.coop, shown, &receipt);
		done += e == ERR_OK;
		if (e != ERR_OK) {
			db_rollback(c);
			refused = e;
		}
	}
	if (refused != ERR_OK)
		return overview(rq, rs, refused);
	return response_done(rq, rs, str_fmt(c->arena, done == 1 ? "Your checkup is done. The receipt is below." : "Your checkups in %zu co-ops are done. The receipts are below.", done), STR("/checkup"));
}

/* ---- One co-op ---- */

static enum err one_data(struct request *rq, struct response *rs, enum err refused, struct json_writer *w)
{
	struct call *c = rq->call;
	struct checkup checkup;
	struct charter charter;
	struct checkup_receipt *receipts;
	struct error said = c->error;
	size_t n;
	bool faults = refused != ERR_OK && said.faults;
	TRY(page_form_said(rq, rs, refused, w));
	TRY(checkup_read(c, rq->coop.id, &checkup));
	TRY(charter_view(c, rq->coop.id, 0, &charter));
	if (faults)
		c->error = said; /* for the lines that they are about */
	jw_key(w, "at");
	jw_object(w);
	checkup_data(w, rq, &checkup, &charter);
	jw_end_object(w);
	error_clear(&c->error);
	TRY(checkup_receipt_list(c, rq->coop.id, &receipts, &n));
	jw_key(w, "receipts");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		jw_kstr(w, "id", uuid_format(c->arena, receipts[i].id));
		jw_kstr(w, "on", words_minute(c->arena, receipts[i].issued_at));
		jw_kbool(w, "off_cycle", receipts[i].kind == CHECKUP_OFF_CYCLE);
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_kbool(w, "any_receipts", n > 0);
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kbool(w, "movable", checkup.kind != CHECKUP_ANNUAL && checkup.member.state == POLICY_STANDING_ACTIVE && checkup.opens_at > clock_now());
	jw_kstr(w, "due_iso", words_day_iso(c->arena, checkup.due_at));
	return ERR_OK;
}

static enum err one_form(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "Checkup");
	enum err e = one_data(rq, rs, refused, &w);
	return page_end(rq, rs, "page/checkup", &b, &w, e);
}

static enum err one_page(struct request *rq, struct response *rs)
{
	return one_form(rq, rs, ERR_OK);
}

static struct json_writer value_begin(struct buf *b)
{
	struct json_writer w;
	buf_init(b, LIMIT_BODY_SMALL);
	jw_init(&w, b);
	jw_object(&w);
	return w;
}

/* What a line is changed to, as the API would say it; absent when nothing was entered. */
static enum err change_of_form(struct request *rq, struct str line, const struct json **out)
{
	struct arena *a = rq->call->arena;
	struct buf b;
	struct str *purposes, effect = entered(rq, line, "effect"), licence = entered(rq, line, "licence"), attribution = entered(rq, line, "attribution");
	size_t n = request_form_all(rq, str_fmt(a, "change.%.*s.purposes", STR_ARG(line)).p, &purposes);
	*out = NULL;
	if (n == 0 && !effect.n && !licence.n && !attribution.n)
		return ERR_OK;
	struct json_writer w = value_begin(&b);
	if (n) {
		jw_key(&w, "purposes");
		jw_array(&w);
		for (size_t i = 0; i < n; i++)
			jw_str(&w, purposes[i]);
		jw_end_array(&w);
	}
	if (effect.n) {
		jw_kstr(&w, "effect", str_is(effect, "credit") ? STR("allow_if") : effect);
		if (str_is(effect, "credit"))
			jw_knames(&w, "duties", POLICY_BIT(POLICY_DUTY_CREDIT), POLICY_DUTY_COUNT, policy_duty_name);
	}
	if (licence.n)
		jw_kstr(&w, "licence", licence);
	if (attribution.n) {
		jw_kstr(&w, "attribution", attribution);
		jw_kstr(&w, "public_name", entered(rq, line, "public_name"));
	}
	jw_end_object(&w);
	struct str text = buf_take(a, &b);
	return text.p ? json_parse(a, text, out, &rq->call->error) : fail(rq->call, ERR_TOO_LARGE, "%s", err_text(ERR_TOO_LARGE));
}

/* The answers of the form, for the lines that there are now; what was not touched is left out, and the operation says so. */
static enum err replies_of_form(struct request *rq, const struct checkup *checkup, struct checkup_reply **out, size_t *n)
{
	*n = 0;
	*out = ARENA_ARRAY(rq->call->arena, checkup->n_lines + 1, struct checkup_reply);
	for (size_t i = 0; i < checkup->n_lines; i++) {
		struct checkup_reply *r = &(*out)[*n];
		struct str given = request_form(rq, str_fmt(rq->call->arena, "line.%.*s", STR_ARG(checkup->lines[i].id)).p);
		*r = (struct checkup_reply){ .line = checkup->lines[i].id };
		if (!checkup_answer_parse(given, &r->answer))
			continue;
		if (r->answer == CHECKUP_CHANGE)
			TRY(change_of_form(rq, r->line, &r->value));
		(*n)++;
	}
	return ERR_OK;
}

static enum err one_answer(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct checkup checkup;
	struct checkup_reply *replies;
	struct checkup_receipt receipt;
	size_t n;
	struct str shown = request_form(rq, "shown");
	enum err e;
	if (str_is(request_form(rq, "as_before"), "yes")) {
		e = checkup_as_before(c, rq->coop.id, shown, &receipt);
	} else {
		TRY(checkup_read(c, rq->coop.id, &checkup));
		TRY(replies_of_form(rq, &checkup, &replies, &n));
		e = checkup_answer(c, rq->coop.id, shown, replies, n, &receipt);
	}
	if (e != ERR_OK)
		return one_form(rq, rs, e);
	return response_done(rq, rs, STR("Your checkup is done. This is its receipt."), str_fmt(c->arena, "/coops/%.*s/receipts/%.*s", STR_ARG(rq->coop.slug), STR_ARG(uuid_format(c->arena, receipt.id))));
}

static enum err one_move(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct member me;
	instant due = INSTANT_NONE;
	struct str day = request_form(rq, "due");
	if (!clock_parse(str_fmt(c->arena, "%.*sT12:00:00Z", STR_ARG(day)), &due))
		return one_form(rq, rs, fail_field(c, "/due_at", "Choose a day."));
	enum err e = member_set_due(c, rq->coop.id, due, &me);
	if (e != ERR_OK)
		return one_form(rq, rs, e);
	return response_done(rq, rs, str_fmt(c->arena, "Your next checkup is due on %.*s.", STR_ARG(words_day(c->arena, me.due_at))), coop_place(rq, "checkup"));
}

/* ---- A receipt ---- */

static const char *answer_words(struct str answer)
{
	return str_is(answer, "confirm") ? "confirmed" : str_is(answer, "change") ? "changed" : str_is(answer, "end") ? "ended" : "not answered";
}

static void receipt_lines(struct json_writer *w, const struct json *document)
{
	jw_key(w, "lines");
	jw_array(w);
	json_each(line, json_get(json_get(document, "checkup"), "lines")) {
		jw_object(w);
		jw_kstr(w, "line_title", json_member_text(line, "title"));
		jw_kstr(w, "words", json_member_text(line, "shown"));
		jw_kstr(w, "why", json_member_text(line, "reason"));
		jw_kz(w, "answer", answer_words(json_member_text(line, "answer")));
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_key(w, "now");
	jw_array(w);
	json_each(line, json_get(json_get(document, "checkup"), "stands_now")) {
		jw_object(w);
		jw_kstr(w, "line_title", json_member_text(line, "title"));
		jw_kstr(w, "words", json_member_text(line, "words"));
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_key(w, "purposes");
	jw_array(w);
	json_each(purpose, json_get(document, "purposes")) {
		int no = policy_purpose_find(json_member_text(purpose, "purpose").p, json_member_text(purpose, "purpose").n);
		jw_object(w);
		jw_kz(w, "words", no < 0 ? "another purpose" : words_purpose((unsigned)no));
		jw_kstr(w, "iri", json_member_text(purpose, "purpose_type"));
		jw_end_object(w);
	}
	jw_end_array(w);
}

static enum err receipt_data(struct request *rq, struct json_writer *w)
{
	struct call *c = rq->call;
	struct checkup_receipt receipt;
	const struct json *document;
	struct uuid id;
	instant until;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(checkup_receipt_read(c, rq->coop.id, id, &receipt));
	TRY(json_parse(c->arena, receipt.document, &document, &c->error));
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kstr(w, "id", uuid_format(c->arena, id));
	jw_kstr(w, "on", words_minute(c->arena, receipt.issued_at));
	jw_kbool(w, "off_cycle", receipt.kind == CHECKUP_OFF_CYCLE);
	jw_kint(w, "charter", receipt.charter);
	jw_kstr(w, "until", clock_parse(json_member_text(document, "valid_until"), &until) ? words_day(c->arena, until) : STR_NONE);
	jw_kstr(w, "subject", json_member_text(document, "pii_principal_id"));
	jw_kstr(w, "jurisdiction", json_member_text(document, "jurisdiction"));
	jw_kstr(w, "status", json_member_text(document, "consent_status"));
	jw_kstr(w, "controller", json_member_text(json_at(document, "/party_identification/0"), "party_name"));
	jw_kstr(w, "sha256", sha256_hex(c->arena, receipt.sha256));
	jw_kstr(w, "public_key", json_member_text(json_get(document, "signature"), "public_key"));
	receipt_lines(w, document);
	return ERR_OK;
}

static enum err receipt_page(struct request *rq, struct response *rs)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "Receipt of a checkup");
	enum err e = receipt_data(rq, &w);
	return page_end(rq, rs, "page/receipt", &b, &w, e);
}

const struct route checkup_page_routes[] = {
	{ "GET", "/checkup", "page_checkups", PERM_ACCOUNT, 0, NULL, "text/html", 200, overview_page, "Where I stand in every co-op" },
	{ "POST", "/checkup", "page_checkups_as_before", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 303, overview_as_before, "As before, in all co-ops shown" },
	{ "GET", "/coops/{coop}/checkup", "page_checkup", PERM_MEMBER, 0, NULL, "text/html", 200, one_page, "My checkup in a co-op" },
	{ "POST", "/coops/{coop}/checkup", "page_checkup_answer", PERM_MEMBER, LIMIT_BODY_SMALL, "form", "text/html", 303, one_answer, "Answer it" },
	{ "POST", "/coops/{coop}/checkup/date", "page_checkup_move", PERM_MEMBER, LIMIT_BODY_SMALL, "form", "text/html", 303, one_move, "Choose an earlier date" },
	{ "GET", "/coops/{coop}/receipts/{receipt}", "page_receipt", PERM_ACCOUNT, 0, NULL, "text/html", 200, receipt_page, "A receipt" },
	ROUTE_TABLE_END,
};
