#include "server/coop/choices.h"

#include "commonhold/form.h"
#include "commonhold/words.h"

/* Founding a co-op: a form for what most people want to say, and the whole charter as JSON for those who want to say more. */

/* ---- The draft ---- */

/* "rm, de" as a list. */
static void languages_of_form(struct request *rq, struct json_writer *w)
{
	struct str rest = request_form(rq, "language"), one;
	jw_key(w, "language");
	jw_array(w);
	while (rest.p && str_split(&rest, ',', &one))
		if (str_trim(one).n)
			jw_str(w, str_trim(one));
	jw_end_array(w);
}

static struct str text_of_form(struct request *rq, const char *field)
{
	struct str v = request_form(rq, field);
	return v.p ? str_trim(v) : STR("");
}

static void draft_of_fields(struct request *rq, struct json_writer *w)
{
	int64_t k = 1;
	jw_object(w);
	jw_kstr(w, "name", text_of_form(rq, "name"));
	jw_key(w, "scope");
	jw_object(w);
	jw_kstr(w, "domain", text_of_form(rq, "domain"));
	jw_kstr(w, "region", text_of_form(rq, "region"));
	languages_of_form(rq, w);
	jw_end_object(w);
	jw_kstr(w, "bylaws", text_of_form(rq, "bylaws"));
	jw_kstr(w, "sharing", text_of_form(rq, "sharing"));
	jw_key(w, "release");
	jw_object(w);
	form_list(rq, w, "uses", "use");
	form_list(rq, w, "purposes", "purpose");
	if (str_to_i64(text_of_form(rq, "k_contributors"), INT32_MIN, INT32_MAX, &k))
		jw_kint(w, "k_contributors", k);
	else
		jw_kstr(w, "k_contributors", text_of_form(rq, "k_contributors"));
	jw_end_object(w);
	jw_key(w, "access");
	jw_object(w);
	jw_kstr(w, "mode", text_of_form(rq, "access"));
	jw_end_object(w);
	jw_key(w, "membership");
	jw_object(w);
	jw_kstr(w, "admission", text_of_form(rq, "admission"));
	jw_end_object(w);
	jw_end_object(w);
}

/* The whole charter where it was written, else the fields. */
static enum err draft_of_form(struct request *rq, const struct json **out)
{
	struct arena *a = rq->call->arena;
	struct str whole = text_of_form(rq, "charter");
	if (whole.n)
		return json_parse(a, whole, out, &rq->call->error);
	struct buf b;
	struct json_writer w;
	buf_init(&b, LIMIT_BODY_CHARTER);
	jw_init(&w, &b);
	draft_of_fields(rq, &w);
	struct str text = buf_take(a, &b);
	return text.p ? json_parse(a, text, out, &rq->call->error) : fail(rq->call, ERR_TOO_LARGE, "The charter is too large.");
}

/* ---- The page ---- */

#define USUAL_USES (POLICY_BIT(POLICY_USE_TRAIN_GEN) | POLICY_BIT(POLICY_USE_EVAL) | POLICY_BIT(POLICY_USE_SEARCH))
#define USUAL_PURPOSES \
	(POLICY_BIT(POLICY_PURPOSE_RESEARCH) | POLICY_BIT(POLICY_PURPOSE_NONCOMMERCIAL_RESEARCH) | POLICY_BIT(POLICY_PURPOSE_PUBLIC_BENEFIT) | POLICY_BIT(POLICY_PURPOSE_COMMERCIAL))

/* The numbers below `count` that are in the mask, as boxes to tick. */
static void options(struct request *rq, struct json_writer *w, const char *key, const char *field, uint32_t mask, unsigned count, const char *(*name)(unsigned no),
	const char *(*words)(unsigned no), bool sent)
{
	form_boxes(rq, w, &(struct form_boxes){ key, field, mask, 0, count, name, words, sent });
}

static void choice(struct json_writer *w, const char *value, const char *words, struct str chosen)
{
	jw_object(w);
	jw_kz(w, "value", value);
	jw_kz(w, "words", words);
	jw_kbool(w, "chosen", str_is(chosen, value));
	jw_end_object(w);
}

static struct str sent_or(struct request *rq, bool sent, const char *field, const char *otherwise)
{
	struct str v = sent ? request_form(rq, field) : STR_NONE;
	return v.p ? v : str_of(otherwise);
}

static enum err found_data(struct request *rq, struct response *rs, enum err refused, struct json_writer *w)
{
	static const char *const fields[] = { "slug", "name", "domain", "region", "bylaws", "charter" };
	bool sent = str_is(rq->method, "POST");
	TRY(page_form_refused(rq, rs, refused, w));
	jw_key(w, "value");
	jw_object(w);
	for (size_t i = 0; i < CH_LEN(fields); i++)
		jw_kstr(w, fields[i], sent_or(rq, sent, fields[i], ""));
	jw_kstr(w, "language", sent_or(rq, sent, "language", "en"));
	jw_kstr(w, "k_contributors", sent_or(rq, sent, "k_contributors", "5"));
	jw_end_object(w);
	jw_kbool(w, "more_said", refused != ERR_OK);
	jw_kbool(w, "whole_charter", sent && text_of_form(rq, "charter").n > 0);
	options(rq, w, "uses", "use", USUAL_USES, POLICY_USE_COUNT, policy_use_name, words_use, sent);
	options(rq, w, "more_uses", "use", ~USUAL_USES, POLICY_USE_COUNT, policy_use_name, words_use, sent);
	options(rq, w, "purposes", "purpose", USUAL_PURPOSES, POLICY_PURPOSE_COUNT, policy_purpose_name, words_purpose, sent);
	options(rq, w, "more_purposes", "purpose", ~(USUAL_PURPOSES | 1u), POLICY_PURPOSE_COUNT, policy_purpose_name, words_purpose, sent);
	jw_key(w, "sharing");
	jw_array(w);
	struct str sharing = sent_or(rq, sent, "sharing", "not_share_by_default");
	choice(w, "not_share_by_default", "Not share by default: what a member has said nothing about stays out.", sharing);
	choice(w, "share_by_default", "Share by default: for members who accepted this, silence is a yes to what releases are for.", sharing);
	jw_end_array(w);
	jw_key(w, "admission");
	jw_array(w);
	struct str admission = sent_or(rq, sent, "admission", "approval");
	choice(w, "approval", "One applies, and an admin decides.", admission);
	choice(w, "open", "Anyone may join.", admission);
	choice(w, "invitation", "One joins by invitation.", admission);
	jw_end_array(w);
	jw_key(w, "access");
	jw_array(w);
	struct str access = sent_or(rq, sent, "access", "gated_manual");
	choice(w, "gated_manual", "Whoever asks and accepts the terms; an admin decides each time.", access);
	choice(w, "gated_auto", "Whoever states a purpose and accepts the terms.", access);
	choice(w, "public", "Anyone.", access);
	jw_end_array(w);
	return ERR_OK;
}

static enum err found_form(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "Found a co-op");
	enum err e = found_data(rq, rs, refused, &w);
	return page_end(rq, rs, "page/found", &b, &w, e);
}

enum err found_page(struct request *rq, struct response *rs)
{
	return found_form(rq, rs, ERR_OK);
}

enum err found_submit(struct request *rq, struct response *rs)
{
	const struct json *draft = NULL;
	struct coop coop;
	enum err e = draft_of_form(rq, &draft);
	if (e == ERR_OK)
		e = coop_found(rq->call, text_of_form(rq, "slug"), draft, &coop);
	if (e != ERR_OK)
		return found_form(rq, rs, e);
	return response_done(rq, rs, STR("The co-op is founded, and you are its first admin."), str_fmt(rq->call->arena, "/coops/%.*s", STR_ARG(coop.slug)));
}
