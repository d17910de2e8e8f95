/* What somebody is told who has become a member. */
#include "server/coop/coop_internal.h"

#include "commonhold/json.h"
#include "commonhold/notify.h"

enum err membership_welcome(struct call *c, const struct member *m)
{
	struct coop coop;
	struct buf b;
	struct json_writer w;
	TRY(coop_get(c, m->coop, &coop));
	buf_init(&b, LIMIT_BODY_SMALL);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "title", str_fmt(c->arena, "Welcome to %.*s", STR_ARG(coop.name)));
	jw_kz(&w, "text", "You are a member: you decide with the others, and about your own contributions alone.");
	jw_kstr(&w, "url", str_fmt(c->arena, "/coops/%.*s/choices", STR_ARG(coop.slug)));
	jw_end_object(&w);
	struct str since = clock_format(c->arena, m->state_at);
	return notify_send(c, &(struct notice){ .kind = "membership.welcome", .account = m->account, .coop = m->coop,
		.key = str_fmt(c->arena, "%.*s %.*s", STR_ARG(uuid_format(c->arena, m->id)), STR_ARG(since)), .data = buf_take(c->arena, &b) });
}
