#include "commonhold/notify.h"

#include "commonhold/routes.h"

static void notice_write(struct json_writer *w, struct arena *a, const struct notice_row *n)
{
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, n->id));
	jw_kstr(w, "kind", n->kind);
	jw_kstr(w, "topic", n->topic);
	jw_kstr(w, "title", n->title);
	jw_kstr(w, "text", n->text);
	jw_kstr(w, "url", n->url);
	jw_key(w, "coop");
	if (n->coop_slug.p) {
		jw_object(w);
		jw_kstr(w, "id", uuid_format(a, n->coop));
		jw_kstr(w, "slug", n->coop_slug);
		jw_kstr(w, "name", n->coop_name);
		jw_end_object(w);
	} else {
		jw_null(w);
	}
	jw_kstr(w, "mail", n->mail);
	jw_kbool(w, "essential", n->essential);
	jw_kstr(w, "at", clock_format(a, n->at));
	jw_kstr(w, "read_at", clock_format_or_none(a, n->read_at));
	jw_end_object(w);
}

static enum err list_notices(struct request *rq, struct response *rs)
{
	struct notice_page page;
	struct str cursor;
	int limit;
	TRY(request_page(rq, &cursor, &limit));
	TRY(notify_inbox(rq->call, str_is(request_query(rq, "state"), "unread"), cursor, limit, &page));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_key(&w, "items");
	jw_array(&w);
	for (size_t i = 0; i < page.n; i++)
		notice_write(&w, rq->call->arena, &page.rows[i]);
	jw_end_array(&w);
	jw_kstr(&w, "next", page.next);
	jw_kint(&w, "unread", page.unread);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err read_notice(struct request *rq, struct response *rs)
{
	struct uuid id;
	TRY(request_param_uuid(rq, 0, &id));
	rs->status = 204;
	return notify_read(rq->call, id);
}

static enum err read_notices(struct request *rq, struct response *rs)
{
	instant until;
	if (!clock_parse(json_member_text(rq->json, "until"), &until))
		return fail_field(rq->call, "/until", "This is not an instant such as 2026-12-31T23:59:59Z.");
	rs->status = 204;
	return notify_read_all(rq->call, until);
}

static void topics_write(struct json_writer *w, const struct notify_settings *s)
{
	jw_key(w, "topics");
	jw_array(w);
	for (int t = 0; t < NOTIFY_TOPIC_COUNT; t++) {
		jw_object(w);
		jw_kz(w, "topic", notify_topic_word(t));
		jw_kz(w, "about", notify_topic_text(t));
		jw_kz(w, "how", notify_how_word(s->how[t]));
		jw_kbool(w, "chosen", s->chosen[t]);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static void trouble_write(struct json_writer *w, struct arena *a, const struct notify_settings *s)
{
	jw_key(w, "trouble");
	if (!s->refusals) {
		jw_null(w);
		return;
	}
	jw_object(w);
	jw_kint(w, "refusals", s->refusals);
	jw_kbool(w, "unreachable", s->unreachable);
	jw_kstr(w, "status", s->status);
	jw_kstr(w, "said", s->said);
	jw_kstr(w, "last_at", clock_format_or_none(a, s->last_refused));
	jw_end_object(w);
}

static enum err settings_answer(struct request *rq, struct response *rs)
{
	struct notify_settings s;
	TRY(notify_settings_read(rq->call, &s));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kbool(&w, "mail", notify_mail_on());
	jw_kstr(&w, "address", s.address);
	topics_write(&w, &s);
	trouble_write(&w, rq->call->arena, &s);
	jw_kint(&w, "waiting", s.waiting);
	jw_kint(&w, "sent", s.sent);
	jw_kint(&w, "refused", s.refused);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err write_settings(struct request *rq, struct response *rs)
{
	struct notify_settings s = { 0 };
	json_each(choice, json_get(rq->json, "topics")) {
		enum notify_topic t;
		if (!notify_topic_read(choice->key, &t) || !notify_how_read(json_text(choice), &s.how[t]))
			return fail_field(rq->call, "/topics", "There is a topic or a way here that is not known.");
		s.chosen[t] = true;
	}
	TRY(notify_settings_write(rq->call, &s));
	return settings_answer(rq, rs);
}

static enum err retry_address(struct request *rq, struct response *rs)
{
	rs->status = 204;
	return notify_address_retry(rq->call);
}

const struct route notify_routes[] = {
	{ "GET", "/api/v1/me/notices", "notice_list", PERM_ACCOUNT, 0, NULL, "notice_list", 200, list_notices, "Lists one's inbox, newest first.", 0, "cursor limit state=unread|all" },
	{ "POST", "/api/v1/me/notices/read", "notice_read_all", PERM_ACCOUNT, LIMIT_BODY_SMALL, "notice_read", NULL, 204, read_notices,
		"Marks every notice up to an instant as read." },
	{ "POST", "/api/v1/me/notices/{notice}/read", "notice_read", PERM_ACCOUNT, 0, NULL, NULL, 204, read_notice, "Marks a notice as read." },
	{ "GET", "/api/v1/me/notice-settings", "notice_settings_read", PERM_ACCOUNT, 0, NULL, "notice_settings", 200, settings_answer,
		"How one is told about what, and whether one's address takes mail." },
	{ "PUT", "/api/v1/me/notice-settings", "notice_settings_change", PERM_ACCOUNT, LIMIT_BODY_SMALL, "notice_settings_change", "notice_settings", 200, write_settings,
		"Chooses how one is told; topics that are not named stay." },
	{ "POST", "/api/v1/me/notice-settings/retry", "notice_address_retry", PERM_ACCOUNT, 0, NULL, NULL, 204, retry_address,
		"Says that one's address works: refusals are forgotten and mail is sent again." },
	ROUTE_TABLE_END
};
