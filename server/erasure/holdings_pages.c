#include "server/erasure/erasure_web.h"

#include "commonhold/db.h"
#include "commonhold/holdings.h"
#include "commonhold/routes.h"
#include "commonhold/sign_in.h"

/* What is held about me: every place, why, until when and what becomes of it; and all of it as one file. */

static void holding_write(struct json_writer *w, struct arena *a, const struct holding *h)
{
	jw_object(w);
	jw_kz(w, "what", h->what);
	jw_kz(w, "ground", h->ground);
	jw_kz(w, "until", h->until);
	jw_kz(w, "why_not", h->exported ? NULL : h->why_not);
	jw_kz(w, "reason", h->reason);
	jw_kstr(w, "place", str_fmt(a, "%s: %s", h->table, h->columns));
	jw_end_object(w);
}

/* By what becomes of it, since that is what people ask. */
static void group_write(struct json_writer *w, struct arena *a, enum holding_end end, const char *title)
{
	struct holding h;
	int64_t n = 0;
	jw_object(w);
	jw_kz(w, "title", title);
	jw_key(w, "holdings");
	jw_array(w);
	for (size_t i = 0; holding_at(i, &h); i++) {
		if (h.end != end)
			continue;
		holding_write(w, a, &h);
		n++;
	}
	jw_end_array(w);
	jw_kint(w, "count", n);
	jw_end_object(w);
}

static void groups_write(struct json_writer *w, struct arena *a)
{
	jw_key(w, "groups");
	jw_array(w);
	group_write(w, a, HOLDING_DELETED, "Goes with your account");
	group_write(w, a, HOLDING_EMPTIED, "A row stays, what was yours in it goes");
	group_write(w, a, HOLDING_PSEUDONYMOUS, "Stays with a number that leads to nobody");
	group_write(w, a, HOLDING_KEPT, "Stays as it is");
	jw_end_array(w);
}

static enum err data_data(struct json_writer *w, struct request *rq, struct response *rs, enum err refused)
{
	TRY(page_form_said(rq, rs, refused, w));
	jw_kz(w, "title", "What is held about me");
	jw_kint(w, "a_day", ARCHIVES_A_DAY);
	groups_write(w, rq->call->arena);
	return page_write_proof(w, rq);
}

static enum err show(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	return page_end(rq, rs, "page/account_data", &b, &w, data_data(&w, rq, rs, refused));
}

static enum err data_page(struct request *rq, struct response *rs)
{
	return show(rq, rs, ERR_OK);
}

static enum err to_client(void *arg, const void *p, size_t n, struct error *e)
{
	(void)e;
	return stream_write(arg, p, n);
}

static enum err archive_form(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct proof proof = { .password = request_form(rq, "current_password"), .code = request_form(rq, "code"), .network = request_network(rq) };
	struct archive_sink sink = { to_client, rq };
	struct archive_made made;
	struct uuid all = { { 0 } };
	enum err e = archive_permit(c, &proof, all);
	if (e != ERR_OK)
		return show(rq, rs, e);
	db_release(c);
	response_header(rs, "Content-Disposition", str_fmt(c->arena, "attachment; filename=\"commonhold-archive-%.10s.tar\"", clock_format(c->arena, clock_now()).p));
	response_header(rs, "Cache-Control", STR("no-store"));
	TRY(stream_begin(rq, rs, 200, ARCHIVE_MEDIA_TYPE, -1));
	TRY(archive_write(c, all, &sink, &made));
	return stream_end(rq);
}

const struct route holdings_page_routes[] = {
	{ "GET", "/account/data", "page_account_data", PERM_ACCOUNT, 0, NULL, "text/html", 200, data_page, "What is held about me" },
	{ "POST", "/account/data", "page_account_archive", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", ARCHIVE_MEDIA_TYPE, 200, archive_form, "All of it, as one file", ROUTE_EXPENSIVE },
	ROUTE_TABLE_END,
};
