#include "motion_pages.h"

#include "commonhold/ballot.h"
#include "commonhold/chart.h"
#include "commonhold/control.h"
#include "commonhold/routes.h"
#include "commonhold/words.h"

/* Motions: the list, one with what it would change, and the acts on it. */

static const char *const state_words[MOTION_STATE_COUNT] = { "looks for seconders", "announced", "being voted on", "passed", "not passed", "withdrawn", "outdated", "could not take effect" };
static const char *const state_badges[MOTION_STATE_COUNT] = { "neutral", "info", "conditional", "include", "exclude", "neutral", "neutral", "exclude" };

static const char *kind_words(struct str kind)
{
	return str_is(kind, "charter") ? "Amendment" : str_is(kind, "toggle") ? "Collective control" : str_is(kind, "admin") ? "Admins" : "Benefit";
}

static void motion_members(struct json_writer *w, struct arena *a, const struct motion *m)
{
	jw_kstr(w, "id", uuid_format(a, m->id));
	jw_kstr(w, "motion_title", m->title);
	jw_kz(w, "kind_words", kind_words(m->kind));
	jw_kz(w, "state_words", state_words[m->state]);
	jw_kz(w, "badge", state_badges[m->state]);
	jw_kstr(w, "made", words_day(a, m->made_at));
	jw_kstr(w, "reason", m->reason);
	jw_kstr(w, "note", m->note);
	jw_kstr(w, "opens", m->opens_at == INSTANT_NONE ? STR_NONE : words_minute(a, m->opens_at));
	jw_kstr(w, "closes", m->closes_at == INSTANT_NONE ? STR_NONE : words_minute(a, m->closes_at));
}

static enum err motions_page(struct request *rq, struct response *rs)
{
	struct motion *motions;
	struct str next;
	size_t n;
	struct buf b;
	TRY(motion_list(rq->call, rq->coop.id, STR_NONE, request_query(rq, "cursor"), LIMIT_PAGE_DEFAULT, &motions, &n, &next));
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "Proposals");
	jw_kstr(&w, "coop", rq->coop.slug);
	jw_kstr(&w, "next", next);
	jw_kbool(&w, "any", n > 0);
	jw_key(&w, "motions");
	jw_array(&w);
	for (size_t i = 0; i < n; i++) {
		jw_object(&w);
		motion_members(&w, rq->call->arena, &motions[i]);
		jw_end_object(&w);
	}
	jw_end_array(&w);
	return page_end(rq, rs, "page/motions", &b, &w, ERR_OK);
}

/* ---- One ---- */

static void terms_data(struct json_writer *w, const struct charter_term *terms, size_t n)
{
	bool material = false;
	jw_key(w, "terms");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		jw_kz(w, "group", terms[i].group);
		jw_kz(w, "label", terms[i].label);
		jw_kstr(w, "before", terms[i].before);
		jw_kstr(w, "after", terms[i].after);
		jw_kbool(w, "material", terms[i].line != CHARTER_LINE_NONE);
		jw_kbool(w, "widens", terms[i].widens);
		jw_end_object(w);
		material |= terms[i].line != CHARTER_LINE_NONE;
	}
	jw_end_array(w);
	jw_kbool(w, "any_terms", n > 0);
	jw_kbool(w, "any_material", material);
}

static int64_t at(const struct json *doc, const char *pointer)
{
	return json_int(json_at(doc, pointer), 0);
}

/* A chart and the table behind it: now, if it is adopted, and once members have confirmed. */
static void compared(struct json_writer *w, struct arena *a, const char *title, const struct json *doc, const char *what)
{
	struct str now = str_fmt(a, "/at_once/now/%s", what), then = str_fmt(a, "/at_once/then/%s", what), confirmed = str_fmt(a, "/when_confirmed/then/%s", what);
	struct chart_bar bars[3] = {
		{ .label = STR("As the charter stands"), .value = at(doc, now.p), .class = "neutral" },
		{ .label = STR("If it is adopted"), .value = at(doc, then.p), .class = "s1" },
		{ .label = STR("Once everybody asked has confirmed"), .value = at(doc, confirmed.p), .class = "s2" },
	};
	size_t n = json_is(json_get(doc, "when_confirmed"), JSON_OBJECT) ? 3 : 2;
	jw_object(w);
	jw_kz(w, "heading", title);
	jw_kstr(w, "svg", chart_bars(a, title, bars, n));
	jw_key(w, "rows");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		jw_kstr(w, "label", bars[i].label);
		jw_kstr(w, "value", words_count(a, bars[i].value));
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_end_object(w);
}

static void moves_data(struct json_writer *w, struct arena *a, const struct json *doc)
{
	bool any = false;
	jw_key(w, "moved");
	jw_array(w);
	json_each(m, json_at(doc, "/at_once/moved")) {
		struct str from = json_member_text(m, "from"), to = json_member_text(m, "to");
		if (str_eq(from, to))
			continue;
		jw_object(w);
		jw_kz(w, "from", words_outcome((unsigned)policy_outcome_find(from.p, from.n)));
		jw_kz(w, "to", words_outcome((unsigned)policy_outcome_find(to.p, to.n)));
		jw_kstr(w, "items", words_count(a, json_int(json_get(m, "items"), 0)));
		jw_end_object(w);
		any = true;
	}
	jw_end_array(w);
	jw_kbool(w, "any_moved", any);
	any = false;
	jw_key(w, "reasons");
	jw_array(w);
	json_each(r, json_at(doc, "/at_once/reasons")) {
		struct str name = json_member_text(r, "reason");
		int no = name.p ? policy_reason_find(name.p, name.n) : -1;
		jw_object(w);
		if (no >= 0)
			jw_kz(w, "words", words_reason((unsigned)no));
		else
			jw_kstr(w, "words", name);
		jw_kstr(w, "gained", words_count(a, json_int(json_get(r, "gained"), 0)));
		jw_kstr(w, "lost", words_count(a, json_int(json_get(r, "lost"), 0)));
		jw_end_object(w);
		any = true;
	}
	jw_end_array(w);
	jw_kbool(w, "any_reasons", any);
}

static enum err what_if_data(struct call *c, struct json_writer *w, const struct motion *m)
{
	struct arena *a = c->arena;
	struct str text;
	const struct json *doc;
	if (!str_is(m->kind, "charter"))
		return ERR_OK;
	enum err e = motion_what_if(c, m->coop, m->id, &text);
	jw_kbool(w, "what_if_waits", e == ERR_NOT_FOUND && m->ended_at == INSTANT_NONE);
	if (e == ERR_NOT_FOUND) {
		db_rollback(c);
		error_clear(&c->error);
		return ERR_OK;
	}
	TRY(e);
	TRY(json_parse(a, text, &doc, &c->error));
	instant when;
	if (!clock_parse(json_text(json_at(doc, "/at_once/at")), &when))
		return fail(c, ERR_CORRUPT, "A comparison says no time.");
	jw_key(w, "what_if");
	jw_object(w);
	jw_kstr(w, "as_of", words_minute(a, when));
	jw_kstr(w, "candidates", words_count(a, at(doc, "/at_once/candidates")));
	jw_kstr(w, "items_gained", words_count(a, at(doc, "/at_once/gained/items")));
	jw_kstr(w, "items_lost", words_count(a, at(doc, "/at_once/lost/items")));
	jw_kstr(w, "members_gained", words_count(a, at(doc, "/at_once/gained/members")));
	jw_kstr(w, "members_lost", words_count(a, at(doc, "/at_once/lost/members")));
	jw_kbool(w, "asks_again", json_is(json_get(doc, "when_confirmed"), JSON_OBJECT));
	jw_key(w, "charts");
	jw_array(w);
	compared(w, a, "Contributions in the next release", doc, "items");
	compared(w, a, "Members in the next release", doc, "members");
	jw_end_array(w);
	moves_data(w, a, doc);
	jw_end_object(w);
	return ERR_OK;
}

/* What a control would do, since its terms are in its document. */
static enum err control_data(struct call *c, struct json_writer *w, const struct motion *m)
{
	const struct json *doc;
	struct control k;
	if (!str_is(m->kind, "toggle"))
		return ERR_OK;
	jw_kz(w, "control_limits", control_limits());
	TRY(json_parse(c->arena, m->document, &doc, &c->error));
	if (!str_is(json_member_text(doc, "act"), "set"))
		return ERR_OK;
	TRY(motion_read_control(c, doc, &k));
	struct str effect = control_effect(c->arena, &k), end = control_end(c->arena, &k);
	jw_kstr(w, "control_effect", str_fmt(c->arena, "%.*s %.*s", STR_ARG(effect), STR_ARG(end)));
	return ERR_OK;
}

/* What partial/motion_changes shows. */
static enum err changes_data(struct call *c, struct json_writer *w, const struct motion *m)
{
	struct charter_term *terms;
	size_t n;
	TRY(motion_terms(c, m->coop, m, &terms, &n));
	terms_data(w, terms, n);
	TRY(control_data(c, w, m));
	return what_if_data(c, w, m);
}

enum err motion_on_ballot(struct call *c, const struct ballot *b, struct json_writer *w)
{
	struct motion m;
	if (str_is(b->kind, "release") || str_is(b->kind, "merge") || str_is(b->kind, "appeal"))
		return ERR_OK;
	enum err e = motion_read(c, b->coop, b->subject, &m);
	if (e == ERR_NOT_FOUND) { /* a ballot that no motion announced */
		db_rollback(c);
		error_clear(&c->error);
		return ERR_OK;
	}
	TRY(e);
	jw_kstr(w, "proposed", m.reason);
	return changes_data(c, w, &m);
}

static enum err motion_data(struct request *rq, struct json_writer *w, const struct motion *m)
{
	struct arena *a = rq->call->arena;
	struct ballot ballot;
	jw_kstr(w, "coop", rq->coop.slug);
	motion_members(w, a, m);
	jw_kstr(w, "digest", sha256_hex(a, m->digest));
	jw_kint(w, "charter", m->charter);
	jw_kbool(w, "is_charter", str_is(m->kind, "charter"));
	jw_kbool(w, "seeks", m->state == MOTION_SEEKING);
	jw_kint(w, "seconders", m->seconders);
	jw_kint(w, "seconded", m->seconded);
	jw_kbool(w, "may_second", m->state == MOTION_SEEKING && !m->mine && !m->seconded_by_me);
	jw_kbool(w, "may_withdraw", m->mine && (m->state == MOTION_SEEKING || m->state == MOTION_NOTICE));
	jw_kstr(w, "ballot", uuid_format_or_none(a, m->ballot));
	jw_kbool(w, "in_notice", m->state == MOTION_NOTICE);
	jw_kbool(w, "is_open", m->state == MOTION_OPEN);
	if (!uuid_is_nil(m->ballot)) {
		TRY(ballot_read(rq->call, rq->coop.id, m->ballot, &ballot));
		jw_kstr(w, "question", ballot.question);
	}
	return changes_data(rq->call, w, m);
}

static enum err motion_page(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct motion m;
	struct buf b;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(motion_read(rq->call, rq->coop.id, id, &m));
	struct json_writer w = page_begin(&b);
	jw_kstr(&w, "title", m.title);
	enum err e = motion_data(rq, &w, &m);
	return page_end(rq, rs, "page/motion", &b, &w, e);
}

void motion_redirect(struct request *rq, struct response *rs, struct uuid motion)
{
	struct str id = uuid_format(rq->call->arena, motion);
	response_redirect(rs, str_fmt(rq->call->arena, "/coops/%.*s/motions/%.*s", STR_ARG(rq->coop.slug), STR_ARG(id)));
}

static enum err second_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct motion m;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(motion_second(rq->call, rq->coop.id, id, &m));
	response_flash(rq, rs, m.state == MOTION_SEEKING ? STR("You have seconded it.") : STR("You have seconded it, and it is now put to the vote."));
	motion_redirect(rq, rs, id);
	return ERR_OK;
}

static enum err withdraw_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct motion m;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(motion_withdraw(rq->call, rq->coop.id, id, &m));
	response_flash(rq, rs, STR("You have withdrawn it."));
	motion_redirect(rq, rs, id);
	return ERR_OK;
}

#define COOP "/coops/{coop}"
const struct route motion_page_routes[] = {
	{ "GET", COOP "/motions", "page_motions", PERM_ACTIVE, 0, NULL, "text/html", 200, motions_page, "What members have proposed." },
	{ "GET", COOP "/motions/new", "page_motion_new", PERM_ACTIVE, 0, NULL, "text/html", 200, motion_new_page, "The forms to propose something." },
	{ "POST", COOP "/motions/new", "page_motion_propose", PERM_ACTIVE, LIMIT_BODY_SMALL, "form", "text/html", 303, motion_new_submit, "Proposes." },
	{ "GET", COOP "/charter/amend", "page_amend", PERM_ACTIVE, 0, NULL, "text/html", 200, amend_page, "The form to propose an amendment." },
	{ "POST", COOP "/charter/amend", "page_amend_submit", PERM_ACTIVE, LIMIT_BODY_CHARTER, "form", "text/html", 303, amend_submit, "Proposes an amendment.", ROUTE_EXPENSIVE },
	{ "GET", COOP "/motions/{motion}", "page_motion", PERM_ACTIVE, 0, NULL, "text/html", 200, motion_page, "One motion." },
	{ "POST", COOP "/motions/{motion}/second", "page_motion_second", PERM_ACTIVE, LIMIT_BODY_SMALL, "form", "text/html", 303, second_form, "Seconds it." },
	{ "POST", COOP "/motions/{motion}/withdraw", "page_motion_withdraw", PERM_ACTIVE, LIMIT_BODY_SMALL, "form", "text/html", 303, withdraw_form, "Withdraws it." },
	ROUTE_TABLE_END
};
