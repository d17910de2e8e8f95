#include "commonhold/routes.h"
#include "commonhold/words.h"
#include "server/coop/delegation_web.h"

/* My delegations: who decides for me, who asks me to, whom I represent. */

struct json_writer delegation_page_begin(struct request *rq, struct buf *b, const char *title)
{
	struct json_writer w = page_begin(b);
	jw_kz(&w, "title", title);
	jw_kstr(&w, "coop", rq->coop.slug);
	jw_kstr(&w, "coop_name", rq->coop.title.n ? rq->coop.title : rq->coop.slug);
	return w;
}

const char *delegation_question_words(enum policy_question q)
{
	return q == POLICY_QUESTION_VOTE ? "How my vote is cast" : "What is said about uses of what I contribute";
}

enum err delegation_page_done(struct request *rq, struct response *rs, struct str message)
{
	return response_done(rq, rs, message, coop_place(rq, "delegations"));
}

/* ---- Rows ---- */

static const char *state_words(const struct delegation *d)
{
	static const struct { const char *because, *words; } ends[] = {
		{ "replaced", "replaced by another" }, { "expired", "ran out" }, { "left", "ended: somebody left" }, { "removed", "ended: somebody was removed" },
		{ "lapsed", "ended: the delegate's membership lapsed" }, { "resigned", "ended: the delegate stopped" }, { "renewed", "confirmed anew" }, { "over", "over" },
	};
	for (size_t i = 0; d->ended_because.p && i < CH_LEN(ends); i++)
		if (str_is(d->ended_because, ends[i].because))
			return ends[i].words;
	switch (d->state) {
	case DELEGATION_ASKED:
		return "waits for an answer";
	case DELEGATION_STANDING:
		return d->counts ? "counts" : "does not count now";
	case DELEGATION_SUSPENDED:
		return "rests until the checkup";
	case DELEGATION_DECLINED:
		return "declined";
	case DELEGATION_REVOKED:
		return "revoked";
	default:
		return "ended";
	}
}

static const char *state_badge(const struct delegation *d)
{
	if (d->state == DELEGATION_ASKED || d->state == DELEGATION_SUSPENDED)
		return "hold";
	return d->counts ? "include" : "neutral";
}

static void delegation_row(struct json_writer *w, struct arena *a, const struct delegation *d)
{
	bool live = d->state == DELEGATION_ASKED || d->state == DELEGATION_STANDING || d->state == DELEGATION_SUSPENDED;
	instant until = d->ends != INSTANT_NONE ? d->ends : d->chosen_end;
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, d->id));
	jw_kstr(w, "principal", d->principal_name);
	jw_kstr(w, "delegate", d->delegate_name);
	jw_kbool(w, "is_vote", d->question == POLICY_QUESTION_VOTE);
	jw_kz(w, "question", d->question == POLICY_QUESTION_VOTE ? "vote" : "consent");
	jw_kstr(w, "scope", delegation_scope_words(a, d));
	jw_kz(w, "state", state_words(d));
	jw_kz(w, "badge", state_badge(d));
	jw_kbool(w, "live", live);
	jw_kstr(w, "until", until != INSTANT_NONE ? words_day(a, until) : STR("the next checkup"));
	jw_kstr(w, "until_iso", until != INSTANT_NONE ? words_day_iso(a, until) : STR_NONE);
	jw_kstr(w, "made", words_day(a, d->made_at));
	jw_kstr(w, "made_iso", words_day_iso(a, d->made_at));
	jw_end_object(w);
}

static void delegation_rows(struct json_writer *w, struct arena *a, const char *key, const struct delegation *d, size_t n)
{
	jw_key(w, key);
	jw_array(w);
	for (size_t i = 0; i < n; i++)
		delegation_row(w, a, &d[i]);
	jw_end_array(w);
}

static bool any_consent(const struct delegation *d, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (d[i].question == POLICY_QUESTION_CONSENT)
			return true;
	return false;
}

static enum err list_data(struct request *rq, struct response *rs, enum err refused, struct json_writer *w)
{
	struct call *c = rq->call;
	struct delegation *mine, *asked, *represented;
	size_t n_mine, n_asked, n_represented;
	bool all = str_is(request_query(rq, "all"), "true");
	TRY(page_form_refused(rq, rs, refused, w));
	TRY(delegation_list_mine(c, rq->coop.id, all, &mine, &n_mine));
	TRY(delegation_list_asked(c, rq->coop.id, &asked, &n_asked));
	TRY(delegation_list_represented(c, rq->coop.id, false, &represented, &n_represented));
	jw_kbool(w, "all", all);
	jw_kbool(w, "is_admin", rq->coop.is_admin);
	jw_kbool(w, "any_asked", n_asked > 0);
	delegation_rows(w, c->arena, "asked", asked, n_asked);
	jw_kbool(w, "any_mine", n_mine > 0);
	delegation_rows(w, c->arena, "mine", mine, n_mine);
	jw_kbool(w, "any_represented", n_represented > 0);
	delegation_rows(w, c->arena, "represented", represented, n_represented);
	jw_kbool(w, "may_speak", any_consent(represented, n_represented));
	return ERR_OK;
}

static enum err list_form(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = delegation_page_begin(rq, &b, "Delegations");
	enum err e = list_data(rq, rs, refused, &w);
	return page_end(rq, rs, "page/delegations", &b, &w, e);
}

static enum err list_page(struct request *rq, struct response *rs)
{
	return list_form(rq, rs, ERR_OK);
}

/* ---- What the buttons do ---- */

static enum err act_submit(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct delegation d;
	struct str act = request_form(rq, "act");
	if (!uuid_parse(request_form(rq, "id"), &id))
		return fail(rq->call, ERR_NOT_FOUND, "There is no such delegation.");
	if (str_is(act, "accept")) {
		enum err e = delegation_accept(rq->call, rq->coop.id, id, &d);
		return e == ERR_OK ? delegation_page_done(rq, rs, STR("You decide for this member now. Whatever they decide themselves goes before.")) : list_form(rq, rs, e);
	}
	if (str_is(act, "decline")) {
		enum err e = delegation_decline(rq->call, rq->coop.id, id, request_form(rq, "reason"), &d);
		return e == ERR_OK ? delegation_page_done(rq, rs, STR("Noted. The member is told, so that somebody else can be asked.")) : list_form(rq, rs, e);
	}
	if (!str_is(act, "revoke"))
		return fail(rq->call, ERR_BAD_REQUEST, "Nothing is known of this act.");
	enum err e = delegation_revoke(rq->call, rq->coop.id, id, &d);
	return e == ERR_OK ? delegation_page_done(rq, rs, STR("Revoked. It counts no more, for open ballots too.")) : list_form(rq, rs, e);
}

#define HERE "/coops/{coop}/delegations"
#define FORM LIMIT_BODY_SMALL, "form", "text/html", 303
const struct route delegation_page_routes[] = {
	{ "GET", HERE, "page_delegations", PERM_MEMBER, 0, NULL, "text/html", 200, list_page, "Who decides for one, and whom one decides for." },
	{ "POST", HERE "/act", "page_delegation_act", PERM_MEMBER, FORM, act_submit, "Accepts, declines or revokes." },
	{ "GET", HERE "/new", "page_delegation_new", PERM_MEMBER, 0, NULL, "text/html", 200, delegation_form_page, "The form to delegate." },
	{ "POST", HERE "/new", "page_delegation_make", PERM_MEMBER, FORM, delegation_form_submit, "Delegates." },
	{ "GET", HERE "/who", "page_delegation_who", PERM_MEMBER, 0, NULL, "text/html", 200, delegation_who_page, "Who decides for one, or did on a day, and why." },
	{ "GET", HERE "/report", "page_delegation_report", PERM_MEMBER, 0, NULL, "text/html", 200, delegation_report_page, "How decisions concentrate." },
	{ "GET", HERE "/speak", "page_delegation_speak", PERM_MEMBER, 0, NULL, "text/html", 200, delegation_speak_page, "What one says as a delegate." },
	{ "POST", HERE "/speak", "page_delegation_spoken", PERM_MEMBER, FORM, delegation_speak_submit, "Says something as a delegate." },
	{ "GET", HERE "/board", "page_delegation_board", PERM_ADMIN, 0, NULL, "text/html", 200, delegation_board_page, "What the board says about uses." },
	{ "POST", HERE "/board", "page_delegation_board_say", PERM_ADMIN, FORM, delegation_board_submit, "Says what the board should say." },
	{ "GET", HERE "/{delegation}", "page_delegation_preview", PERM_MEMBER, 0, NULL, "text/html", 200, delegation_preview_page, "What revoking it would change." },
	ROUTE_TABLE_END
};
