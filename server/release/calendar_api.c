#include "commonhold/calendar.h"

#include "commonhold/crypto.h"
#include "commonhold/routes.h"
#include "commonhold/words.h"

#define MEDIA_TYPE "text/calendar; charset=utf-8"

/* Programs ask often: what has not changed is not sent again. */
static enum err answer(struct request *rq, struct response *rs, struct str calendar, const char *kept)
{
	struct str tag = sha256_hex(rq->call->arena, sha256(calendar));
	response_header(rs, "Cache-Control", str_of(kept));
	if (response_not_modified(rq, rs, tag))
		return ERR_OK;
	response_etag(rs, tag);
	rs->content_type = MEDIA_TYPE;
	buf_add_str(&rs->body, calendar);
	return ERR_OK;
}

static enum err coop_calendar(struct request *rq, struct response *rs)
{
	struct str calendar;
	TRY(calendar_of_coop(rq->call, rq->coop.id, request_base_url(rq), &calendar));
	return answer(rq, rs, calendar, "public, max-age=300");
}

static enum err own_calendar(struct request *rq, struct response *rs)
{
	struct str calendar;
	TRY(calendar_of_secret(rq->call, rq->param[0], request_base_url(rq), &calendar));
	return answer(rq, rs, calendar, "private, no-cache");
}

static struct str feed_url(struct request *rq, struct str secret)
{
	return str_fmt(rq->call->arena, "%.*s/api/v1/calendars/%.*s.ics", STR_ARG(request_base_url(rq)), STR_ARG(secret));
}

static void feed_write(struct json_writer *w, struct arena *a, instant made_at, struct str url)
{
	jw_object(w);
	jw_kstr(w, "made_at", clock_format_or_none(a, made_at));
	jw_kstr(w, "url", url);
	jw_end_object(w);
}

static enum err read_feed(struct request *rq, struct response *rs)
{
	instant made_at;
	TRY(calendar_feed_read(rq->call, &made_at));
	struct json_writer w = response_json(rs);
	feed_write(&w, rq->call->arena, made_at, STR_NONE);
	return ERR_OK;
}

static enum err make_feed(struct request *rq, struct response *rs)
{
	struct str secret;
	TRY(calendar_feed_make(rq->call, &secret));
	struct json_writer w = response_json(rs);
	feed_write(&w, rq->call->arena, clock_now(), feed_url(rq, secret));
	return ERR_OK;
}

static enum err end_feed(struct request *rq, struct response *rs)
{
	rs->status = 204;
	return calendar_feed_end(rq->call);
}

/* ---- The page ---- */

static enum err feed_page(struct request *rq, struct response *rs, struct str secret)
{
	instant made_at;
	struct buf b;
	TRY(calendar_feed_read(rq->call, &made_at));
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "My calendar");
	if (made_at != INSTANT_NONE)
		jw_kstr(&w, "made", words_day(rq->call->arena, made_at));
	if (secret.p)
		jw_kstr(&w, "url", feed_url(rq, secret));
	return page_end(rq, rs, "page/calendar", &b, &w, ERR_OK);
}

static enum err page_feed(struct request *rq, struct response *rs)
{
	return feed_page(rq, rs, STR_NONE);
}

/* Answers with the page itself: the secret is shown this once and goes through no cookie. */
static enum err page_feed_make(struct request *rq, struct response *rs)
{
	struct str secret;
	TRY(calendar_feed_make(rq->call, &secret));
	return feed_page(rq, rs, secret);
}

static enum err page_feed_end(struct request *rq, struct response *rs)
{
	TRY(calendar_feed_end(rq->call));
	return response_done(rq, rs, STR("The address no longer works."), STR("/me/calendar"));
}

const struct route calendar_routes[] = {
	{ "GET", "/api/v1/coops/{coop}/calendar.ics", "coop_calendar", PERM_OPTIONAL, 0, NULL, "text/calendar", 200, coop_calendar,
		"The co-op's dates as iCalendar: cut-offs, publications, ballots." },
	{ "GET", "/api/v1/calendars/{secret}.ics", "own_calendar", PERM_PUBLIC, 0, NULL, "text/calendar", 200, own_calendar,
		"A person's own dates as iCalendar, for whoever has the secret address." },
	{ "GET", "/api/v1/me/calendar", "calendar_feed_read", PERM_ACCOUNT, 0, NULL, "calendar_feed", 200, read_feed, "Whether one's own calendar has an address." },
	{ "POST", "/api/v1/me/calendar", "calendar_feed_make", PERM_ACCOUNT, 0, NULL, "calendar_feed", 201, make_feed,
		"Makes a secret address for one's own calendar; it is shown this once, and the one before ends." },
	{ "DELETE", "/api/v1/me/calendar", "calendar_feed_end", PERM_ACCOUNT, 0, NULL, NULL, 204, end_feed, "Ends the address of one's own calendar." },
	{ "GET", "/me/calendar", "page_calendar", PERM_ACCOUNT, 0, NULL, "text/html", 200, page_feed, "The address of one's own calendar." },
	{ "POST", "/me/calendar", "page_calendar_make", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 200, page_feed_make, "Makes the address and shows it once." },
	{ "POST", "/me/calendar/end", "page_calendar_end", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 303, page_feed_end, "Ends the address." },
	ROUTE_TABLE_END
};
