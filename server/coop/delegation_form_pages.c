#include "commonhold/words.h"
#include "server/coop/delegation_web.h"

/* The plain form to delegate. Nothing is ticked beforehand but what was sent. */

static enum policy_question question_of(struct request *rq)
{
	struct str word = request_form(rq, "question");
	if (!word.p)
		word = request_query(rq, "question");
	return str_is(word, "consent") ? POLICY_QUESTION_CONSENT : POLICY_QUESTION_VOTE;
}

/* ---- To delegate ---- */

static bool among(struct str word, const struct str *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(word, words[i]))
			return true;
	return false;
}

static void topic_choices(struct json_writer *w, struct request *rq, enum policy_question q)
{
	struct str *sent;
	size_t n = request_form_all(rq, "topic", &sent);
	jw_key(w, "topics");
	jw_array(w);
	for (unsigned no = 0; no < delegation_topic_count(q); no++) {
		struct str name = str_of(delegation_topic_name(q, no));
		jw_object(w);
		jw_kstr(w, "id", name);
		jw_kz(w, "words", delegation_topic_words(q, no));
		jw_kbool(w, "chosen", among(name, sent, n));
		jw_end_object(w);
	}
	jw_end_array(w);
}

static enum err matter_choices(struct json_writer *w, struct request *rq, enum policy_question q)
{
	struct delegation_matter *matters;
	size_t n;
	TRY(delegation_matters(rq->call, rq->coop.id, q, &matters, &n));
	jw_kbool(w, "any_matter", n > 0);
	jw_key(w, "matters");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		struct str id = uuid_format(rq->call->arena, matters[i].id);
		jw_object(w);
		jw_kstr(w, "id", id);
		jw_kstr(w, "words", matters[i].title);
		jw_kbool(w, "chosen", str_eq(id, request_form(rq, "target")));
		jw_end_object(w);
	}
	jw_end_array(w);
	return ERR_OK;
}

static enum err name_choices(struct json_writer *w, struct request *rq)
{
	struct str *names;
	size_t n;
	TRY(delegation_names(rq->call, rq->coop.id, &names, &n));
	jw_key(w, "names");
	jw_array(w);
	for (size_t i = 0; i < n; i++)
		jw_str(w, names[i]);
	jw_end_array(w);
	return ERR_OK;
}

static void chosen(struct json_writer *w, struct request *rq, const char *field, const char *value, const char *key)
{
	jw_kbool(w, key, str_is(request_form(rq, field), value));
}

static enum err form_data(struct request *rq, struct response *rs, enum err refused, struct json_writer *w)
{
	struct charter charter;
	enum policy_question q = question_of(rq);
	TRY(page_form_refused(rq, rs, refused, w));
	TRY(charter_view(rq->call, rq->coop.id, 0, &charter));
	jw_kbool(w, "is_vote", q == POLICY_QUESTION_VOTE);
	jw_kbool(w, "allow_coop", charter.delegate_coop);
	jw_kbool(w, "allow_topic", charter.delegate_topic);
	jw_kbool(w, "allow_target", charter.delegate_target);
	jw_kbool(w, "none_allowed", !charter.delegate_coop && !charter.delegate_topic && !charter.delegate_target);
	jw_kbool(w, "one_hop", charter.delegation_depth == 1);
	jw_kint(w, "depth", charter.delegation_depth);
	if (charter.delegation_cap)
		jw_kint(w, "cap", charter.delegation_cap);
	chosen(w, rq, "scope", "coop", "by_coop");
	chosen(w, rq, "scope", "topic", "by_topic");
	chosen(w, rq, "scope", "target", "by_target");
	chosen(w, rq, "kind", "member", "to_member");
	chosen(w, rq, "kind", "board", "to_board");
	chosen(w, rq, "kind", "nobody", "to_nobody");
	jw_kstr(w, "name", request_form(rq, "name"));
	jw_kstr(w, "ends", request_form(rq, "ends"));
	topic_choices(w, rq, q);
	TRY(matter_choices(w, rq, q));
	return name_choices(w, rq);
}

static enum err form_again(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = delegation_page_begin(rq, &b, "Let somebody decide");
	enum err e = form_data(rq, rs, refused, &w);
	return page_end(rq, rs, "page/delegation_new", &b, &w, e);
}

enum err delegation_form_page(struct request *rq, struct response *rs)
{
	return form_again(rq, rs, ERR_OK);
}

/* A day chosen in the form counts to its end. */
static enum err end_of(struct request *rq, instant *out)
{
	struct str day = request_form(rq, "ends");
	*out = INSTANT_NONE;
	if (day.n == 0)
		return ERR_OK;
	if (!clock_parse(str_fmt(rq->call->arena, "%.*sT00:00:00Z", STR_ARG(day)), out))
		return fail_field(rq->call, "/ends", "This is not a date such as 2026-12-31.");
	*out += CLOCK_DAY;
	return ERR_OK;
}

static enum err draft_of(struct request *rq, struct delegation_draft *out)
{
	struct str scope = request_form(rq, "scope"), kind = request_form(rq, "kind"), *topics;
	*out = (struct delegation_draft){ .question = question_of(rq), .chosen_end = INSTANT_NONE };
	if (!str_is(scope, "coop") && !str_is(scope, "topic") && !str_is(scope, "target"))
		return fail_field(rq->call, "/scope", "Say how much you want to delegate.");
	if (!str_is(kind, "member") && !str_is(kind, "board") && !str_is(kind, "nobody"))
		return fail_field(rq->call, "/delegate", "Say who is to decide.");
	out->scope = str_is(scope, "coop") ? POLICY_SCOPE_COOP : str_is(scope, "topic") ? POLICY_SCOPE_TOPIC : POLICY_SCOPE_TARGET;
	out->delegate_kind = str_is(kind, "member") ? DELEGATE_MEMBER : str_is(kind, "board") ? DELEGATE_BOARD : DELEGATE_NOBODY;
	size_t n = out->scope == POLICY_SCOPE_TOPIC ? request_form_all(rq, "topic", &topics) : 0;
	for (size_t i = 0; i < n; i++) {
		int no = out->question == POLICY_QUESTION_VOTE ? policy_ballot_find(topics[i].p, topics[i].n) : policy_use_find(topics[i].p, topics[i].n);
		if (no < 0)
			return fail_field(rq->call, "/topics", "Choose from the list.");
		out->topics |= POLICY_BIT(no);
	}
	if (out->scope == POLICY_SCOPE_TARGET && !uuid_parse(request_form(rq, "target"), &out->target))
		return fail_field(rq->call, "/target", "Choose from the list.");
	TRY(end_of(rq, &out->chosen_end));
	return out->delegate_kind == DELEGATE_MEMBER ? delegation_find_member(rq->call, rq->coop.id, request_form(rq, "name"), &out->delegate) : ERR_OK;
}

static struct str made_words(struct arena *a, const struct delegation *d, const struct delegation_warning *warning)
{
	struct str text = d->state == DELEGATION_ASKED ? str_fmt(a, "%.*s is asked. It counts only once they accept.", STR_ARG(d->delegate_name)) : STR("Done. It counts from now on.");
	if (warning->cycle)
		text = str_fmt(a, "%.*s %s", STR_ARG(text), delegation_warning_text(DELEGATION_WARN_CYCLE));
	else if (warning->deep)
		text = str_fmt(a, "%.*s %s", STR_ARG(text), delegation_warning_text(DELEGATION_WARN_DEEP));
	if (warning->full)
		text = str_fmt(a, "%.*s %s", STR_ARG(text), delegation_warning_text(DELEGATION_WARN_FULL));
	return text;
}

enum err delegation_form_submit(struct request *rq, struct response *rs)
{
	struct delegation_draft draft;
	struct delegation d;
	struct delegation_warning warning;
	enum err e = draft_of(rq, &draft);
	if (e == ERR_OK)
		e = delegation_make(rq->call, rq->coop.id, &draft, &d, &warning);
	return e == ERR_OK ? delegation_page_done(rq, rs, made_words(rq->call->arena, &d, &warning)) : form_again(rq, rs, e);
}
