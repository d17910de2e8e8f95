#include "commonhold/words.h"
#include "server/coop/delegation_web.h"

/* Who decides for me, or did on a day, and why; and what revoking a delegation would change. */

void delegation_path_data(struct json_writer *w, struct arena *a, const struct delegation_path *p)
{
	jw_kstr(w, "why", p->why);
	jw_kbool(w, "decided", p->via == POLICY_VIA_DECIDED || p->via == POLICY_VIA_OWN);
	jw_kz(w, "badge", p->via == POLICY_VIA_DECIDED || p->via == POLICY_VIA_OWN ? "include" : p->via == POLICY_VIA_SILENT ? "hold" : "neutral");
	jw_kz(w, "via", p->via == POLICY_VIA_DECIDED ? "somebody decides" : p->via == POLICY_VIA_OWN ? "you decided" : p->via == POLICY_VIA_SILENT ? "not decided yet" : "nobody decides");
	jw_kbool(w, "any_step", p->n_steps > 0);
	jw_key(w, "steps");
	jw_array(w);
	for (size_t i = 0; i < p->n_steps; i++) {
		const struct delegation *d = &p->steps[i].by;
		jw_object(w);
		jw_kstr(w, "from", i ? d->principal_name : STR("You"));
		jw_kstr(w, "to", p->steps[i].name);
		jw_kstr(w, "scope", delegation_scope_words(a, d));
		jw_kstr(w, "since", words_day(a, d->accepted_at));
		jw_kstr(w, "until", d->ends != INSTANT_NONE ? words_day(a, d->ends) : STR_NONE);
		jw_end_object(w);
	}
	jw_end_array(w);
}

/* ---- Who ---- */

static void topic_options(struct json_writer *w, enum policy_question q, unsigned topic)
{
	jw_key(w, "topics");
	jw_array(w);
	for (unsigned no = 0; no < delegation_topic_count(q); no++) {
		jw_object(w);
		jw_kz(w, "id", delegation_topic_name(q, no));
		jw_kz(w, "words", delegation_topic_words(q, no));
		jw_kbool(w, "chosen", no == topic);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static enum err matter_options(struct json_writer *w, struct request *rq, enum policy_question q)
{
	struct delegation_matter *matters;
	size_t n;
	TRY(delegation_matters(rq->call, rq->coop.id, q, &matters, &n));
	jw_key(w, "matters");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		struct str id = uuid_format(rq->call->arena, matters[i].id);
		jw_object(w);
		jw_kstr(w, "id", id);
		jw_kstr(w, "words", matters[i].title);
		jw_kbool(w, "chosen", str_eq(id, request_query(rq, "target")));
		jw_end_object(w);
	}
	jw_end_array(w);
	return ERR_OK;
}

/* The day asked about counts as its end; today and what comes count as now. */
static enum err day_asked(struct request *rq, instant *on)
{
	struct str day = request_query(rq, "on");
	*on = INSTANT_NONE;
	if (day.n == 0)
		return ERR_OK;
	if (!clock_parse(str_fmt(rq->call->arena, "%.*sT23:59:59Z", STR_ARG(day)), on))
		return fail(rq->call, ERR_NOT_FOUND, "This is not a date such as 2026-12-31.");
	if (*on >= clock_now())
		*on = INSTANT_NONE;
	return ERR_OK;
}

static enum err who_data(struct request *rq, struct json_writer *w)
{
	struct call *c = rq->call;
	struct delegation_path path;
	struct uuid target = { { 0 } };
	instant on;
	enum policy_question q = str_is(request_query(rq, "question"), "consent") ? POLICY_QUESTION_CONSENT : POLICY_QUESTION_VOTE;
	struct str topic_word = request_query(rq, "topic"), target_word = request_query(rq, "target");
	int topic = !topic_word.n ? 0 : q == POLICY_QUESTION_VOTE ? policy_ballot_find(topic_word.p, topic_word.n) : policy_use_find(topic_word.p, topic_word.n);
	if (topic < 0 || (target_word.n && !uuid_parse(target_word, &target)))
		return fail(c, ERR_NOT_FOUND, "There is no such matter.");
	TRY(day_asked(rq, &on));
	TRY(delegation_who_on(c, rq->coop.id, q, (unsigned)topic, target, on, &path));
	jw_kbool(w, "is_vote", q == POLICY_QUESTION_VOTE);
	jw_kz(w, "question_words", delegation_question_words(q));
	jw_kz(w, "topic_words", delegation_topic_words(q, path.topic));
	jw_kstr(w, "on", on == INSTANT_NONE ? STR_NONE : words_day(c->arena, on));
	jw_kstr(w, "on_value", request_query(rq, "on"));
	jw_kstr(w, "today", words_day_iso(c->arena, clock_now()));
	topic_options(w, q, path.topic);
	TRY(matter_options(w, rq, q));
	jw_key(w, "path_found");
	jw_object(w);
	delegation_path_data(w, c->arena, &path);
	jw_end_object(w);
	return ERR_OK;
}

enum err delegation_who_page(struct request *rq, struct response *rs)
{
	struct buf b;
	struct json_writer w = delegation_page_begin(rq, &b, "Who decides for me");
	enum err e = who_data(rq, &w);
	return page_end(rq, rs, "page/delegation_who", &b, &w, e);
}

/* ---- Preview ---- */

static struct str outcome_words(struct arena *a, const struct delegation_path *p)
{
	struct str chain = STR_NONE;
	for (size_t i = 0; i < p->n_steps; i++)
		chain = str_fmt(a, "%.*s%s%.*s", STR_ARG(chain), i ? ", then " : "", STR_ARG(p->steps[i].name));
	switch (p->via) {
	case POLICY_VIA_DECIDED:
		return chain;
	case POLICY_VIA_OWN:
		return STR("you, as you have decided already");
	case POLICY_VIA_SILENT:
		return str_fmt(a, "%.*s, once they decide", STR_ARG(chain));
	case POLICY_VIA_CYCLE:
		return STR("nobody: a circle");
	case POLICY_VIA_DEPTH:
		return STR("nobody: the chain is too long");
	default:
		return STR("nobody but you");
	}
}

static enum err preview_data(struct request *rq, struct json_writer *w)
{
	struct arena *a = rq->call->arena;
	struct uuid id;
	struct delegation_preview p;
	size_t differing = 0;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(delegation_preview(rq->call, rq->coop.id, id, &p));
	bool live = p.of.state == DELEGATION_ASKED || p.of.state == DELEGATION_STANDING || p.of.state == DELEGATION_SUSPENDED;
	jw_kstr(w, "id", uuid_format(a, id));
	jw_kstr(w, "delegate", p.of.delegate_name);
	jw_kstr(w, "scope", delegation_scope_words(a, &p.of));
	jw_kbool(w, "is_vote", p.of.question == POLICY_QUESTION_VOTE);
	jw_kz(w, "question_words", delegation_question_words(p.of.question));
	jw_kbool(w, "live", live);
	jw_kstr(w, "until", p.of.ends != INSTANT_NONE ? words_day(a, p.of.ends) : STR_NONE);
	jw_key(w, "changes");
	jw_array(w);
	for (size_t i = 0; i < p.n; i++) {
		const struct delegation_change *k = &p.changes[i];
		differing += k->differs;
		jw_object(w);
		jw_kstr(w, "matter", k->title.p ? str_fmt(a, "%.*s (%s)", STR_ARG(k->title), delegation_topic_words(k->question, k->topic)) : str_of(delegation_topic_words(k->question, k->topic)));
		jw_kstr(w, "before", outcome_words(a, &k->before));
		jw_kstr(w, "after", outcome_words(a, &k->after));
		jw_kbool(w, "differs", k->differs);
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_kbool(w, "any_difference", differing > 0);
	return ERR_OK;
}

enum err delegation_preview_page(struct request *rq, struct response *rs)
{
	struct buf b;
	struct json_writer w = delegation_page_begin(rq, &b, "What ending it would change");
	enum err e = preview_data(rq, &w);
	return page_end(rq, rs, "page/delegation", &b, &w, e);
}
