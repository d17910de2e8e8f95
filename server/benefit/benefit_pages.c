#include "commonhold/benefit.h"
#include "commonhold/chart.h"
#include "commonhold/release.h"
#include "commonhold/routes.h"
#include "commonhold/words.h"

#define OWED_SHOWN 100 /* members with an open balance on the admin's page; the CSV of each income has all */

static void income_facts(struct json_writer *w, struct arena *a, const struct benefit_income *in)
{
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, in->id));
	jw_kstr(w, "release", uuid_format(a, in->release));
	jw_kstr(w, "version", in->release_version);
	jw_kstr(w, "amount", money_words(a, in->amount, in->currency));
	jw_kstr(w, "commons_amount", money_words(a, in->commons_amount, in->currency));
	jw_kstr(w, "members_amount", money_words(a, in->amount - in->commons_amount, in->currency));
	jw_kstr(w, "source", in->source);
	jw_kstr(w, "note", in->note.n ? in->note : STR_NONE);
	jw_kz(w, "kind", str_is(in->kind, "grant") ? "grant" : "payment");
	jw_kstr(w, "on", words_day(a, in->recorded_at));
	jw_kstr(w, "on_iso", words_day_iso(a, in->recorded_at));
	jw_kbool(w, "is_reversal", !uuid_is_nil(in->reverses));
	jw_kbool(w, "was_reversed", !uuid_is_nil(in->reversed_by));
	jw_kbool(w, "reversible", uuid_is_nil(in->reverses) && uuid_is_nil(in->reversed_by));
	jw_kstr(w, "people", words_count(a, in->shares));
	jw_kbool(w, "one_person", in->shares == 1);
	jw_end_object(w);
}

/* ---- The ledger ---- */

static enum err write_totals(struct json_writer *w, struct request *rq)
{
	struct arena *a = rq->call->arena;
	struct benefit_total *totals;
	size_t n;
	TRY(benefit_totals(rq->call, rq->coop.id, &totals, &n));
	jw_kbool(w, "any", n > 0);
	jw_key(w, "totals");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		const struct benefit_total *t = &totals[i];
		jw_object(w);
		jw_kstr(w, "currency", t->currency);
		jw_kstr(w, "income", money_words(a, t->income, t->currency));
		jw_kstr(w, "members", money_words(a, t->members, t->currency));
		jw_kstr(w, "commons", money_words(a, t->commons, t->currency));
		jw_kstr(w, "members_paid", money_words(a, t->members_paid, t->currency));
		jw_kstr(w, "commons_paid", money_words(a, t->commons_paid, t->currency));
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_key(w, "charts");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		const struct benefit_total *t = &totals[i];
		struct str members = str_fmt(a, "Contributors, %.*s", STR_ARG(t->currency)), commons = str_fmt(a, "The commons, %.*s", STR_ARG(t->currency));
		struct str said[] = { money_format(a, t->members, t->currency), money_format(a, t->commons, t->currency) };
		struct chart_bar bars[] = {
			{ .label = members, .value = t->members > 0 ? t->members : 0, .class = "s1", .text = said[0] },
			{ .label = commons, .value = t->commons > 0 ? t->commons : 0, .class = "s2", .text = said[1] },
		};
		jw_object(w);
		jw_kstr(w, "svg", chart_bars(a, "What came in and whose it is", bars, CH_LEN(bars)));
		jw_end_object(w);
	}
	jw_end_array(w);
	return ERR_OK;
}

static enum err write_incomes(struct json_writer *w, struct request *rq)
{
	struct benefit_income *items;
	struct str cursor, next;
	size_t n;
	int limit;
	TRY(request_page(rq, &cursor, &limit));
	TRY(benefit_list(rq->call, rq->coop.id, cursor, limit, &items, &n, &next));
	jw_key(w, "incomes");
	jw_array(w);
	for (size_t i = 0; i < n; i++)
		income_facts(w, rq->call->arena, &items[i]);
	jw_end_array(w);
	jw_kstr(w, "next", next);
	return ERR_OK;
}

static void statement_line(struct json_writer *w, struct arena *a, const struct benefit_statement_line *l)
{
	jw_object(w);
	jw_kstr(w, "on", words_day(a, l->at));
	jw_kstr(w, "on_iso", words_day_iso(a, l->at));
	jw_kbool(w, "payment", l->payment);
	jw_kstr(w, "income", uuid_format_or_none(a, l->income));
	jw_kstr(w, "version", l->release_version);
	jw_kstr(w, "text", l->text);
	jw_kstr(w, "amount", money_words(a, l->amount, l->currency));
	jw_kstr(w, "weight", words_count(a, l->weight));
	jw_kstr(w, "weight_total", words_count(a, l->weight_total));
	jw_end_object(w);
}

static enum err write_statement(struct json_writer *w, struct request *rq)
{
	struct arena *a = rq->call->arena;
	struct benefit_statement s;
	TRY(benefit_statement_mine(rq->call, rq->coop.id, &s));
	jw_key(w, "mine");
	jw_object(w);
	jw_kbool(w, "any", s.n > 0);
	jw_key(w, "lines");
	jw_array(w);
	for (size_t i = 0; i < s.n; i++)
		statement_line(w, a, &s.lines[i]);
	jw_end_array(w);
	jw_key(w, "balances");
	jw_array(w);
	for (size_t i = 0; i < s.n_balances; i++) {
		const struct benefit_balance *b = &s.balances[i];
		jw_object(w);
		jw_kstr(w, "earned", money_words(a, b->earned, b->currency));
		jw_kstr(w, "paid", money_words(a, b->paid, b->currency));
		jw_kstr(w, "open", money_words(a, b->earned - b->paid, b->currency));
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_end_object(w);
	return ERR_OK;
}

/* ---- For admins ---- */

static enum err write_releases(struct json_writer *w, struct request *rq)
{
	struct release *items;
	struct str next, chosen = request_form(rq, "release");
	size_t n;
	TRY(release_list(rq->call, rq->coop.id, STR_NONE, STR_NONE, LIMIT_PAGE, &items, &n, &next));
	jw_key(w, "releases");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		if (items[i].state != RELEASE_PUBLISHED && items[i].state != RELEASE_SUPERSEDED && items[i].state != RELEASE_WITHDRAWN)
			continue;
		struct str id = uuid_format(rq->call->arena, items[i].id);
		jw_object(w);
		jw_kstr(w, "id", id);
		jw_kstr(w, "version", items[i].version);
		jw_kstr(w, "on", words_day(rq->call->arena, items[i].published_at));
		jw_kbool(w, "chosen", str_eq(chosen, id));
		jw_end_object(w);
	}
	jw_end_array(w);
	return ERR_OK;
}

static enum err write_owed(struct json_writer *w, struct request *rq)
{
	struct arena *a = rq->call->arena;
	struct benefit_owed *owed;
	size_t n;
	TRY(benefit_owed_list(rq->call, rq->coop.id, OWED_SHOWN, &owed, &n));
	jw_kbool(w, "any_owed", n > 0);
	jw_kbool(w, "more_owed", n == OWED_SHOWN);
	jw_key(w, "owed");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		jw_kstr(w, "member", uuid_format(a, owed[i].member));
		jw_kint(w, "at", (int64_t)i);
		jw_kstr(w, "who", owed[i].who);
		jw_kstr(w, "currency", owed[i].currency);
		jw_kstr(w, "amount", money_format(a, owed[i].amount, owed[i].currency));
		jw_kstr(w, "words", money_words(a, owed[i].amount, owed[i].currency));
		jw_end_object(w);
	}
	jw_end_array(w);
	return ERR_OK;
}

/* What was typed stands in the form again when it could not be taken. */
static void write_typed(struct json_writer *w, struct request *rq)
{
	static const char *const fields[] = { "amount", "currency", "source", "note" };
	jw_key(w, "typed");
	jw_object(w);
	for (size_t i = 0; i < CH_LEN(fields); i++)
		jw_kstr(w, fields[i], request_form(rq, fields[i]));
	jw_kbool(w, "grant", str_is(request_form(rq, "kind"), "grant"));
	jw_end_object(w);
}

static enum err ledger_data(struct json_writer *w, struct request *rq, struct response *rs, enum err refused)
{
	jw_kz(w, "title", "Benefits");
	jw_kstr(w, "coop", rq->coop.slug);
	TRY(page_form_refused(rq, rs, refused, w));
	TRY(write_totals(w, rq));
	TRY(write_incomes(w, rq));
	if (rq->coop.is_member)
		TRY(write_statement(w, rq));
	jw_kbool(w, "admin", rq->coop.is_admin);
	if (!rq->coop.is_admin)
		return ERR_OK;
	write_typed(w, rq);
	TRY(write_releases(w, rq));
	return write_owed(w, rq);
}

static enum err show_ledger(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	enum err e = ledger_data(&w, rq, rs, refused);
	return page_end(rq, rs, "page/benefits", &b, &w, e);
}

static enum err ledger_page(struct request *rq, struct response *rs)
{
	return show_ledger(rq, rs, ERR_OK);
}

static enum err read_amount(struct request *rq, struct str currency, int64_t *units)
{
	if (money_parse(str_trim(request_form(rq, "amount")), currency, units))
		return ERR_OK;
	return fail_field(rq->call, "/amount", "This is no amount of that currency. Write it as 1234.50.");
}

static enum err record(struct request *rq)
{
	struct release release;
	struct benefit_income in;
	struct benefit_draft draft = {
		.kind = str_is(request_form(rq, "kind"), "grant") ? STR("grant") : STR("money"), .currency = str_trim(request_form(rq, "currency")),
		.source = str_trim(request_form(rq, "source")), .note = str_trim(request_form(rq, "note")),
	};
	TRY(read_amount(rq, draft.currency, &draft.amount));
	TRY(release_find(rq->call, rq->coop.id, request_form(rq, "release"), &release));
	draft.release = release.id;
	return benefit_record(rq->call, rq->coop.id, &draft, &in);
}

static enum err back_to_ledger(struct request *rq, struct response *rs, struct str message)
{
	return response_done(rq, rs, message, coop_place(rq, "benefits"));
}

static enum err record_form(struct request *rq, struct response *rs)
{
	enum err e = record(rq);
	return e == ERR_OK ? back_to_ledger(rq, rs, STR("The income was recorded and split. Everybody who has a share sees it in their statement.")) : show_ledger(rq, rs, e);
}

static enum err pay_form(struct request *rq, struct response *rs)
{
	struct benefit_payment p;
	struct uuid member;
	int64_t units;
	struct str currency = request_form(rq, "currency");
	TRY(read_amount(rq, currency, &units));
	if (!uuid_parse(request_form(rq, "member"), &member))
		return fail_field(rq->call, "/member", "This is no id of a member.");
	TRY(benefit_pay(rq->call, rq->coop.id, member, units, currency, str_trim(request_form(rq, "reference")), &p));
	return back_to_ledger(rq, rs, STR("The payment was recorded."));
}

/* ---- One income ---- */

static enum err income_data(struct json_writer *w, struct request *rq)
{
	struct arena *a = rq->call->arena;
	struct uuid id;
	struct benefit_income in;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(benefit_read(rq->call, rq->coop.id, id, &in));
	struct str words = money_words(a, in.amount, in.currency);
	jw_kstr(w, "title", str_fmt(a, "%.*s for release %.*s", STR_ARG(words), STR_ARG(in.release_version)));
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kbool(w, "admin", rq->coop.is_admin);
	jw_key(w, "income");
	income_facts(w, a, &in);
	jw_kint(w, "charter", in.charter);
	jw_kint(w, "contributors", in.contributors);
	jw_kint(w, "commons", in.commons);
	jw_kbool(w, "by_items", str_is(in.weight, "included_items"));
	jw_kstr(w, "weight_total", words_count(a, in.weight_total));
	jw_kstr(w, "ballot", uuid_format_or_none(a, in.ballot));
	jw_kstr(w, "other", uuid_is_nil(in.reverses) ? uuid_format_or_none(a, in.reversed_by) : uuid_format(a, in.reverses));
	jw_kstr(w, "root", sha256_hex(a, in.shares_root));
	return ERR_OK;
}

static enum err income_page(struct request *rq, struct response *rs)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	enum err e = income_data(&w, rq);
	return page_end(rq, rs, "page/benefit", &b, &w, e);
}

static enum err reverse_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct benefit_income in;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(benefit_reverse(rq->call, rq->coop.id, id, str_trim(request_form(rq, "reason")), &in));
	return back_to_ledger(rq, rs, STR("The entry was taken back by one that mirrors it."));
}

const struct route benefit_page_routes[] = {
	{ "GET", "/coops/{coop}/benefits", "page_benefits", PERM_OPTIONAL, 0, NULL, "text/html", 200, ledger_page, NULL },
	{ "POST", "/coops/{coop}/benefits", "page_benefit_record", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, record_form, NULL },
	{ "POST", "/coops/{coop}/benefits/payments", "page_benefit_pay", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, pay_form, NULL },
	{ "GET", "/coops/{coop}/benefits/{income}", "page_benefit", PERM_OPTIONAL, 0, NULL, "text/html", 200, income_page, NULL },
	{ "POST", "/coops/{coop}/benefits/{income}/reverse", "page_benefit_reverse", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, reverse_form, NULL },
	ROUTE_TABLE_END,
};
