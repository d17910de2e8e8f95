#include "server/notify/notify_internal.h"

#include "commonhold/routes.h"
#include "commonhold/words.h"

/* ---- The inbox ---- */

static void notice_write(struct json_writer *w, struct arena *a, const struct notice_row *n)
{
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, n->id));
	jw_kstr(w, "heading", n->title);
	jw_kstr(w, "text", n->text);
	jw_kstr(w, "url", n->url);
	jw_kstr(w, "coop_name", n->coop_name.p ? n->coop_name : n->coop_slug);
	jw_kstr(w, "coop_slug", n->coop_slug);
	jw_kstr(w, "when", words_minute(a, n->at));
	jw_kstr(w, "when_iso", clock_format(a, n->at));
	jw_kbool(w, "unread", n->read_at == INSTANT_NONE);
	jw_end_object(w);
}

static enum err inbox_page(struct request *rq, struct response *rs)
{
	struct arena *a = rq->call->arena;
	struct notice_page page;
	struct buf b;
	bool unread_only = str_is(request_query(rq, "state"), "unread");
	TRY(notify_inbox(rq->call, unread_only, request_query(rq, "cursor"), LIMIT_PAGE_DEFAULT, &page));
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "Inbox");
	jw_kbool(&w, "unread_only", unread_only);
	if (page.unread)
		jw_kstr(&w, "unread_count", words_count(a, page.unread));
	jw_kbool(&w, "mail_off", !notify_mail_on());
	jw_kstr(&w, "until", clock_format(a, clock_now()));
	jw_kstr(&w, "next", page.next);
	jw_kbool(&w, "any", page.n > 0);
	jw_key(&w, "notices");
	jw_array(&w);
	for (size_t i = 0; i < page.n; i++)
		notice_write(&w, a, &page.rows[i]);
	jw_end_array(&w);
	return page_end(rq, rs, "page/inbox", &b, &w, ERR_OK);
}

static enum err inbox_read_all(struct request *rq, struct response *rs)
{
	instant until;
	if (!clock_parse(request_form(rq, "until"), &until))
		return fail(rq->call, ERR_BAD_REQUEST, "The form does not say up to when.");
	TRY(notify_read_all(rq->call, until));
	return response_done(rq, rs, STR("All of them are marked as read."), STR("/inbox"));
}

static enum err inbox_read(struct request *rq, struct response *rs)
{
	struct uuid id;
	TRY(request_param_uuid(rq, 0, &id));
	TRY(notify_read(rq->call, id));
	response_redirect(rs, STR("/inbox"));
	return ERR_OK;
}

/* ---- Settings ---- */

static const char *const how_texts[NOTIFY_HOW_COUNT] = {
	"A mail at once", "In a daily summary", "In a weekly summary", "In a summary every quarter", "Only in my inbox",
};

static void topics_write(struct json_writer *w, const struct notify_settings *s)
{
	jw_key(w, "topics");
	jw_array(w);
	for (int t = 0; t < NOTIFY_TOPIC_COUNT; t++) {
		jw_object(w);
		jw_kz(w, "topic", notify_topic_word(t));
		jw_kz(w, "about", notify_topic_text(t));
		jw_key(w, "ways");
		jw_array(w);
		for (int h = 0; h < NOTIFY_HOW_COUNT; h++) {
			jw_object(w);
			jw_kz(w, "how", notify_how_word(h));
			jw_kz(w, "text", how_texts[h]);
			jw_kbool(w, "chosen", s->how[t] == (enum notify_how)h);
			jw_end_object(w);
		}
		jw_end_array(w);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static void trouble_write(struct json_writer *w, struct arena *a, const struct notify_settings *s)
{
	jw_key(w, "trouble");
	jw_object(w);
	jw_kstr(w, "times", s->refusals == 1 ? STR("once") : str_fmt(a, "%lld times", (long long)s->refusals));
	jw_kstr(w, "last", words_day(a, s->last_refused));
	jw_kbool(w, "unreachable", s->unreachable);
	jw_kstr(w, "status", s->status);
	jw_kstr(w, "said", s->said);
	jw_end_object(w);
}

static enum err settings_data(struct request *rq, struct json_writer *w)
{
	struct arena *a = rq->call->arena;
	struct notify_settings s;
	TRY(notify_settings_read(rq->call, &s));
	jw_kbool(w, "mail_off", !notify_mail_on());
	jw_kstr(w, "address", s.address);
	topics_write(w, &s);
	if (s.refusals)
		trouble_write(w, a, &s);
	jw_kstr(w, "sent", words_count(a, s.sent));
	jw_kstr(w, "waiting", words_count(a, s.waiting));
	jw_kstr(w, "refused", words_count(a, s.refused));
	return ERR_OK;
}

static enum err settings_page(struct request *rq, struct response *rs)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "How you are told");
	enum err e = settings_data(rq, &w);
	return page_end(rq, rs, "page/notice_settings", &b, &w, e);
}

static enum err settings_save(struct request *rq, struct response *rs)
{
	struct notify_settings s = { 0 };
	for (int t = 0; t < NOTIFY_TOPIC_COUNT; t++)
		s.chosen[t] = notify_how_read(request_form(rq, str_fmt(rq->call->arena, "how.%s", notify_topic_word(t)).p), &s.how[t]);
	TRY(notify_settings_write(rq->call, &s));
	return response_done(rq, rs, STR("Saved."), STR("/me/notices"));
}

static enum err address_retry(struct request *rq, struct response *rs)
{
	TRY(notify_address_retry(rq->call));
	return response_done(rq, rs, STR("We will try your address again."), STR("/me/notices"));
}

/* ---- Unsubscribing, without signing in ---- */

static enum err unsubscribe_show(struct request *rq, struct response *rs, bool done)
{
	enum notify_topic topic;
	struct buf b;
	TRY(unsubscribe_read(rq->call, rq->param[0], &topic));
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", done ? "No more mail about this" : "Stop this mail");
	jw_kbool(&w, "done", done);
	jw_kz(&w, "about", topic == NOTIFY_TOPIC_COUNT ? "Summaries" : notify_topic_text(topic));
	jw_kstr(&w, "link", rq->param[0]);
	return page_end(rq, rs, "page/unsubscribe", &b, &w, ERR_OK);
}

/* Following the link changes nothing: mail programs and scanners follow links on their own. */
static enum err unsubscribe_page(struct request *rq, struct response *rs)
{
	return unsubscribe_show(rq, rs, false);
}

/* The button of the page, and the one click of mail programs, which send no cookie and follow no redirect (RFC 8058). */
static enum err unsubscribe_post(struct request *rq, struct response *rs)
{
	TRY(unsubscribe_do(rq->call, rq->param[0]));
	return unsubscribe_show(rq, rs, true);
}

const struct route notify_page_routes[] = {
	{ "GET", "/inbox", "page_inbox", PERM_ACCOUNT, 0, NULL, "text/html", 200, inbox_page, "What one was told, newest first." },
	{ "POST", "/inbox/read", "page_inbox_read_all", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 303, inbox_read_all, "Marks all as read." },
	{ "POST", "/inbox/{notice}/read", "page_inbox_read", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 303, inbox_read, "Marks one as read." },
	{ "GET", "/me/notices", "page_notice_settings", PERM_ACCOUNT, 0, NULL, "text/html", 200, settings_page, "How one is told about what." },
	{ "POST", "/me/notices", "page_notice_settings_save", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 303, settings_save, "Chooses how one is told." },
	{ "POST", "/me/notices/retry", "page_notice_retry", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 303, address_retry, "Says that one's address works." },
	{ "GET", "/unsubscribe/{link}", "page_unsubscribe", PERM_OPTIONAL, 0, NULL, "text/html", 200, unsubscribe_page, "Asks whether mail is to stop." },
	{ "POST", "/unsubscribe/{link}", "page_unsubscribe_do", PERM_PUBLIC, LIMIT_BODY_SMALL, "form", "text/html", 200, unsubscribe_post, "Stops mail about a topic.", ROUTE_NO_CSRF },
	ROUTE_TABLE_END
};
