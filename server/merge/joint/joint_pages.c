#include "server/merge/merge_pages.h"

#include "commonhold/joint.h"
#include "commonhold/routes.h"
#include "commonhold/words.h"

/* Releases that two co-ops make together: which there are, where each stands here and there, and proposing one. */

static const char *const here_words[RELEASE_STATE_COUNT] = {
	[RELEASE_SCHEDULED] = "waits for its cut-off", [RELEASE_FROZEN] = "frozen; the two sets are compared", [RELEASE_NOTICE] = "the vote is announced", [RELEASE_OPEN] = "being voted on",
	[RELEASE_PASSED] = "passed", [RELEASE_FAILED] = "not passed", [RELEASE_COOLING_OFF] = "passed, cooling off", [RELEASE_BUILDING] = "being built and signed", [RELEASE_PUBLISHED] = "published",
	[RELEASE_SUPERSEDED] = "followed by a later one", [RELEASE_WITHDRAWN] = "withdrawn", [RELEASE_EXPIRED] = "run out", [RELEASE_CANCELLED] = "cancelled", [RELEASE_REDACTING] = "being redacted",
	[RELEASE_JOINED] = "published by the partner", [RELEASE_LEFT] = "withdrawn",
};
static const char *const there_words[JOINT_STATE_COUNT] = {
	[JOINT_PROPOSED] = "scheduled", [JOINT_FROZEN] = "the vote is under way", [JOINT_PASSED] = "passed", [JOINT_FAILED] = "not passed", [JOINT_PUBLISHED] = "published", [JOINT_WITHDRAWN] = "withdrawn",
	[JOINT_CANCELLED] = "cancelled",
};

static bool is_over(enum release_state s)
{
	return s == RELEASE_FAILED || s == RELEASE_WITHDRAWN || s == RELEASE_EXPIRED || s == RELEASE_CANCELLED || s == RELEASE_LEFT || s == RELEASE_SUPERSEDED;
}

static const char *badge_of(enum release_state s)
{
	return s == RELEASE_PUBLISHED || s == RELEASE_JOINED ? "include" : s == RELEASE_SUPERSEDED ? "neutral" : is_over(s) ? "exclude" : "info";
}

static void joint_write(struct json_writer *w, struct request *rq, const struct joint *x)
{
	struct arena *a = rq->call->arena;
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, x->j.id));
	jw_kstr(w, "partner", x->partner_title);
	jw_kz(w, "maker", x->j.maker ? "we make it" : "they make it");
	jw_kstr(w, "cutoff", words_minute(a, x->release.cutoff_at));
	jw_kz(w, "here", here_words[x->release.state]);
	jw_kz(w, "badge", badge_of(x->release.state));
	jw_kz(w, "there", there_words[x->j.partner_state]);
	jw_kstr(w, "ballot", rq->coop.is_active ? uuid_format_or_none(a, x->release.ballot) : STR_NONE);
	jw_kstr(w, "items", x->release.frozen_at == INSTANT_NONE ? STR_NONE : words_things(a, x->release.included, "contribution", "contributions"));
	jw_kstr(w, "differs", rq->coop.is_admin ? x->j.differs : STR_NONE); /* it names items and why they are kept back */
	jw_kstr(w, "left_out", rq->coop.is_admin ? x->j.left_out : STR_NONE);
	jw_kbool(w, "may_narrow", rq->coop.is_admin && x->j.maker && x->j.differs.p && x->release.state == RELEASE_SCHEDULED && !x->j.narrows);
	jw_kstr(w, "why", x->release.failure.p ? x->release.failure : x->release.withdrawn_why);
	jw_kstr(w, "version", x->version);
	jw_kstr(w, "url", x->url);
	jw_kbool(w, "may_withdraw", rq->coop.is_admin && (x->release.state == RELEASE_WITHDRAWN || x->release.state == RELEASE_LEFT ? !x->j.ended : !is_over(x->release.state)));
	jw_end_object(w);
}

/* Agreements under which this co-op may propose one. */
static enum err makers_write(struct json_writer *w, struct request *rq)
{
	struct agreement *rows;
	struct str next, chosen = rq->body.n ? request_form(rq, "agreement") : STR_NONE;
	size_t n, offered = 0;
	TRY(agreement_list(rq->call, rq->coop.id, STR("in_effect"), STR_NONE, LIMIT_PAGE, &rows, &n, &next));
	jw_key(w, "makers");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		const struct agreement_terms *t = &rows[i].terms;
		if (!t->joint.p || !str_eq(t->joint, t->parties[rows[i].us]))
			continue;
		struct str id = uuid_format(rq->call->arena, rows[i].id);
		jw_object(w);
		jw_kstr(w, "id", id);
		jw_kstr(w, "partner", rows[i].partner_title);
		jw_kbool(w, "chosen", chosen.p && str_eq(chosen, id));
		jw_end_object(w);
		offered++;
	}
	jw_end_array(w);
	jw_kbool(w, "may_propose", offered > 0);
	return ERR_OK;
}

static enum err all_data(struct json_writer *w, struct request *rq, struct response *rs, enum err refused)
{
	struct joint *rows;
	size_t n;
	jw_kz(w, "title", "Joint releases");
	TRY(page_form_said(rq, rs, refused, w));
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kbool(w, "member", rq->coop.is_active);
	jw_kbool(w, "admin", rq->coop.is_admin);
	jw_kstr(w, "typed_cutoff", rq->body.n && request_form(rq, "cutoff").p ? request_form(rq, "cutoff") : STR(""));
	TRY(joint_list(rq->call, rq->coop.id, &rows, &n));
	jw_kbool(w, "any", n > 0);
	jw_key(w, "joints");
	jw_array(w);
	for (size_t i = 0; i < n; i++)
		joint_write(w, rq, &rows[i]);
	jw_end_array(w);
	return rq->coop.is_admin ? makers_write(w, rq) : ERR_OK;
}

static enum err show(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	return page_end(rq, rs, "page/joint_releases", &b, &w, all_data(&w, rq, rs, refused));
}

static enum err all_page(struct request *rq, struct response *rs)
{
	return show(rq, rs, ERR_OK);
}

static enum err propose(struct request *rq)
{
	struct call *c = rq->call;
	struct str day = form_filled(rq, "cutoff");
	struct uuid agreement;
	struct joint x;
	instant cutoff = INSTANT_NONE;
	if (!uuid_parse(request_form(rq, "agreement"), &agreement))
		return fail_field(c, "/agreement", "Say under which agreement.");
	if (day.p && !clock_parse(str_fmt(c->arena, "%.*sT06:00:00Z", STR_ARG(day)), &cutoff))
		return fail_field(c, "/cutoff", "This is no date.");
	return joint_propose(c, rq->coop.id, agreement, cutoff, &x);
}

static enum err propose_form(struct request *rq, struct response *rs)
{
	enum err e = propose(rq);
	return e == ERR_OK ? response_done(rq, rs, STR("It is proposed. Both co-ops freeze their pools at the cut-off and compare."), coop_place(rq, "joint-releases")) : show(rq, rs, e);
}

static enum err narrow_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct joint x;
	TRY(request_param_uuid(rq, 1, &id));
	enum err e = joint_narrow(rq->call, rq->coop.id, id, &x);
	return e == ERR_OK ? response_done(rq, rs, STR("What only one of the two has is left out, and both freeze what is left."), coop_place(rq, "joint-releases")) : show(rq, rs, e);
}

static enum err withdraw_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct joint x;
	struct str reason = form_filled(rq, "reason");
	TRY(request_param_uuid(rq, 1, &id));
	enum err e = joint_withdraw(rq->call, rq->coop.id, id, reason.p ? reason : STR(""), &x);
	return e == ERR_OK ? response_done(rq, rs, STR("It has ended here, and the partner is told."), coop_place(rq, "joint-releases")) : show(rq, rs, e);
}

#define ALL "/coops/{coop}/joint-releases"
const struct route joint_page_routes[] = {
	{ "GET", ALL, "page_joint_releases", PERM_OPTIONAL, 0, NULL, "text/html", 200, all_page, "Releases made together with other co-ops" },
	{ "POST", ALL, "page_joint_propose", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, propose_form, "Propose one" },
	{ "POST", ALL "/{joint}/withdraw", "page_joint_withdraw", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, withdraw_form, "End one, or withdraw it" },
	{ "POST", ALL "/{joint}/narrow", "page_joint_narrow", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, narrow_form, "Go on with what both have" },
	ROUTE_TABLE_END
};
