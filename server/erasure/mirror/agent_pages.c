#include "server/erasure/erasure_web.h"

#include "commonhold/routes.h"
#include "commonhold/words.h"

/* Who may ask for me, and for whom I may. */

static const char *const kind_words[ERASURE_KIND_COUNT] = {
	[ERASURE_ERASE] = "erase", [ERASURE_WITHDRAW_FUTURE] = "keep out of new releases", [ERASURE_EMBARGO] = "keep back until a day", [ERASURE_CORRECT] = "replace",
};

static struct str kinds_said(struct arena *a, unsigned bits)
{
	struct str words = STR_NONE;
	for (unsigned k = 0; k < ERASURE_KIND_COUNT; k++)
		if (bits >> k & 1)
			words = str_fmt(a, "%.*s%s%s", STR_ARG(words), words.n ? ", " : "", kind_words[k]);
	return words;
}

static void agent_write(struct json_writer *w, struct arena *a, const struct agent *agent)
{
	bool ended = agent->ended_at != INSTANT_NONE || clock_now() >= agent->until;
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, agent->id));
	jw_kstr(w, "name", !agent->mine ? STR("You, for a member") : agent->name.n ? agent->name : STR("An account that is gone"));
	jw_kstr(w, "for", kinds_said(a, agent->kinds));
	jw_kz(w, "how", agent->alone ? "acts at once" : "asks first, each time");
	jw_kstr(w, "until", words_day(a, ended && agent->ended_at != INSTANT_NONE ? agent->ended_at : agent->until));
	jw_kbool(w, "live", !ended);
	jw_end_object(w);
}

static enum err agents_write(struct json_writer *w, struct request *rq)
{
	struct agent *agents;
	size_t n;
	TRY(agent_list(rq->call, rq->coop.id, &agents, &n));
	jw_kbool(w, "any", n > 0);
	jw_key(w, "agents");
	jw_array(w);
	for (size_t i = 0; i < n; i++)
		agent_write(w, rq->call->arena, &agents[i]);
	jw_end_array(w);
	return ERR_OK;
}

static unsigned kinds_of_form(struct request *rq)
{
	struct str *chosen;
	enum erasure_kind kind;
	unsigned bits = 0;
	size_t n = rq->body.n ? request_form_all(rq, "kinds", &chosen) : 0;
	for (size_t i = 0; i < n; i++)
		if (erasure_kind_parse(chosen[i], &kind))
			bits |= 1u << kind;
	return bits;
}

static void form_write(struct json_writer *w, struct request *rq)
{
	struct arena *a = rq->call->arena;
	unsigned chosen = kinds_of_form(rq);
	jw_key(w, "choices");
	jw_array(w);
	for (unsigned k = 0; k < ERASURE_KIND_COUNT; k++) {
		jw_object(w);
		jw_kz(w, "id", erasure_kind_name(k));
		jw_kz(w, "words", kind_words[k]);
		jw_kbool(w, "chosen", chosen >> k & 1);
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_key(w, "typed");
	jw_object(w);
	jw_kstr(w, "account", rq->body.n ? request_form(rq, "account") : STR(""));
	jw_kstr(w, "until", rq->body.n ? request_form(rq, "until") : STR(""));
	jw_end_object(w);
	jw_kbool(w, "act", rq->body.n && str_is(request_form(rq, "how"), "act"));
	jw_kstr(w, "tomorrow", words_day_iso(a, clock_now() + CLOCK_DAY));
	jw_kstr(w, "in_a_year", words_day_iso(a, duration_add(clock_now(), (struct duration){ .years = 1 }, 1)));
	jw_kstr(w, "own_number", uuid_format(a, rq->call->actor.account));
}

static enum err show(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	enum err e = page_form_refused(rq, rs, refused, &w);
	jw_kz(&w, "title", "Who may ask for me");
	jw_kstr(&w, "coop", rq->coop.slug);
	form_write(&w, rq);
	return page_end(rq, rs, "page/agents", &b, &w, e == ERR_OK ? agents_write(&w, rq) : e);
}

static enum err agents_page(struct request *rq, struct response *rs)
{
	return show(rq, rs, ERR_OK);
}

static enum err back(struct request *rq, struct response *rs, const char *flash)
{
	return response_done(rq, rs, str_of(flash), coop_place(rq, "deletions/agents"));
}

static enum err authorise_form(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct uuid account;
	struct agent agent;
	instant until;
	if (!uuid_parse(str_trim(request_form(rq, "account")), &account))
		return show(rq, rs, fail_field(c, "/account", "This is no number of an account. Whoever shall ask for you finds it on this page."));
	if (!kinds_of_form(rq))
		return show(rq, rs, fail_field(c, "/kinds", "Say for what."));
	if (!form_day(request_form(rq, "until"), &until))
		return show(rq, rs, fail_field(c, "/until", "Say until which day, at most a year from now."));
	enum err e = agent_authorise(c, rq->coop.id, account, kinds_of_form(rq), str_is(request_form(rq, "how"), "act"), until, &agent);
	if (e == ERR_NOT_FOUND)
		e = fail_field(c, "/account", "There is no such account.");
	return e == ERR_OK ? back(rq, rs, "They may ask for you from now on. Both of you were told.") : show(rq, rs, e);
}

static enum err end_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct agent agent;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(agent_end(rq->call, rq->coop.id, id, &agent));
	return back(rq, rs, "It has ended. Requests that waited for your yes under it have lapsed.");
}

const struct route agent_page_routes[] = {
	{ "GET", "/coops/{coop}/deletions/agents", "page_agents", PERM_ACCOUNT, 0, NULL, "text/html", 200, agents_page, "Who may ask for me" },
	{ "POST", "/coops/{coop}/deletions/agents", "page_agent_authorise", PERM_MEMBER, LIMIT_BODY_SMALL, "form", "text/html", 303, authorise_form, "Let somebody ask for me" },
	{ "POST", "/coops/{coop}/deletions/agents/{agent}/end", "page_agent_end", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 303, end_form, "End it" },
	ROUTE_TABLE_END,
};
