#include "server/erasure/erasure_web.h"
#include "server/erasure/holdings/holdings_web.h"

#include "commonhold/db.h"
#include "commonhold/routes.h"
#include "commonhold/sign_in.h"
#include "commonhold/words.h"

/* What is held about me: every place, why, until when and what becomes of it; all of it as one file; and bringing such a file from elsewhere. */

#define UPLOAD_MAX (4 * MIB)          /* of a form; what is larger is brought through the API or the command line */
#define NEXT_WITHIN (365 * CLOCK_DAY) /* how far ahead is told what the charters' windows let go */
#define PROBLEMS_SHOWN 20             /* contributions of an archive that were not taken, told one by one */

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

/* What a charter's window lets go soon, of one membership. */
static enum err next_of(struct call *c, const struct member *m, struct retention_next *out)
{
	TRY(db_begin_in(c, m->coop, DB_READ));
	TRY(retention_next(c, m->coop, m->id, clock_now() + NEXT_WITHIN, out));
	return db_commit(c);
}

static enum err coops_write(struct json_writer *w, struct request *rq)
{
	struct arena *a = rq->call->arena;
	struct member *mine;
	size_t n, open = 0;
	TRY(member_mine(rq->call, &mine, &n));
	jw_key(w, "coops");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		struct coop coop;
		struct retention_next next;
		bool active = in_good_standing(mine[i].state);
		TRY(coop_read(rq->call, mine[i].coop, &coop));
		TRY(next_of(rq->call, &mine[i], &next));
		open += active;
		jw_object(w);
		jw_kstr(w, "slug", coop.slug);
		jw_kstr(w, "coop_name", coop.name);
		jw_kbool(w, "open", active);
		jw_kstr(w, "goes", next.items ? words_count(a, next.items) : STR_NONE);
		jw_kbool(w, "one_goes", next.items == 1);
		jw_kstr(w, "goes_from", next.items ? words_day(a, next.first) : STR_NONE);
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_kbool(w, "any_coops", n > 0);
	jw_kbool(w, "any_open", open > 0);
	return ERR_OK;
}

static void report_write(struct json_writer *w, struct arena *a, const struct archive_report *r)
{
	jw_key(w, "report");
	jw_object(w);
	jw_kstr(w, "seen", words_count(a, r->seen));
	jw_kstr(w, "new", words_count(a, r->approved + r->pending));
	jw_kstr(w, "known", words_count(a, r->duplicates));
	jw_kstr(w, "refused", words_count(a, r->refused));
	jw_kbool(w, "any_denials", r->denials > 0);
	jw_kbool(w, "any_offers", r->n_offers > 0);
	jw_key(w, "offers");
	jw_array(w);
	for (size_t i = 0; i < r->n_offers; i++)
		jw_str(w, r->offers[i].words);
	jw_end_array(w);
	jw_kbool(w, "any_problems", r->n_problems > 0);
	jw_key(w, "problems");
	jw_array(w);
	for (size_t i = 0; i < r->n_problems && i < PROBLEMS_SHOWN; i++)
		jw_z(w, r->problems[i].message);
	jw_end_array(w);
	jw_end_object(w);
}

static enum err data_data(struct json_writer *w, struct request *rq, struct response *rs, enum err refused, const struct archive_report *report)
{
	TRY(page_form_said(rq, rs, refused, w));
	jw_kz(w, "title", "What is held about me");
	jw_kint(w, "a_day", ARCHIVES_A_DAY);
	if (report)
		report_write(w, rq->call->arena, report);
	TRY(coops_write(w, rq));
	groups_write(w, rq->call->arena);
	return page_write_proof(w, rq);
}

static enum err show(struct request *rq, struct response *rs, enum err refused, const struct archive_report *report)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	return page_end(rq, rs, "page/account_data", &b, &w, data_data(&w, rq, rs, refused, report));
}

static enum err data_page(struct request *rq, struct response *rs)
{
	return show(rq, rs, ERR_OK, NULL);
}

static enum err archive_form(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct uuid coop;
	struct proof proof = { .password = request_form(rq, "current_password"), .code = request_form(rq, "code"), .network = request_network(rq) };
	enum err e = archive_coop_named(c, request_form(rq, "coop"), &coop);
	if (e == ERR_OK)
		e = archive_permit(c, &proof, coop);
	return e == ERR_OK ? archive_send(rq, rs, coop) : show(rq, rs, e, NULL);
}

static enum err bring(struct request *rq, struct archive_report *report)
{
	struct call *c = rq->call;
	struct uuid coop;
	struct form_file file;
	struct archive_import how = { .key = NULL };
	int fd = -1;
	TRY(archive_coop_named(c, request_form(rq, "coop"), &coop));
	if (uuid_is_nil(coop))
		return fail_field(c, "/coop", "Choose a co-op.");
	if (!request_file(rq, "file", &file) || file.content.n == 0)
		return fail_field(c, "/file", "Choose a file.");
	TRY(archive_spool(c, &fd));
	TRY(archive_spool_write(c, fd, file.content.p, file.content.n));
	return archive_import(c, coop, fd, &how, report);
}

static enum err bring_form(struct request *rq, struct response *rs)
{
	struct archive_report report;
	enum err e = bring(rq, &report);
	return show(rq, rs, e, e == ERR_OK ? &report : NULL);
}

const struct route holdings_page_routes[] = {
	{ "GET", "/account/data", "page_account_data", PERM_ACCOUNT, 0, NULL, "text/html", 200, data_page, "What is held about me" },
	{ "POST", "/account/data", "page_account_archive", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", ARCHIVE_MEDIA_TYPE, 200, archive_form, "All of it, as one file", ROUTE_EXPENSIVE },
	{ "POST", "/account/data/import", "page_account_archive_import", PERM_ACCOUNT, UPLOAD_MAX, "form", "text/html", 200, bring_form, "Bring one from elsewhere", ROUTE_EXPENSIVE },
	ROUTE_TABLE_END,
};
