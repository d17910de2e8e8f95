#include "commonhold/benefit.h"
#include "commonhold/release.h"
#include "commonhold/routes.h"

/* As schemas/benefit.json. */
static void write_income(struct json_writer *w, struct arena *a, const struct benefit_income *in)
{
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, in->id));
	jw_kstr(w, "release", uuid_format(a, in->release));
	jw_kstr(w, "release_version", in->release_version);
	jw_kstr(w, "kind", in->kind);
	jw_kstr(w, "amount", money_format(a, in->amount, in->currency));
	jw_kstr(w, "currency", in->currency);
	jw_kstr(w, "source", in->source);
	jw_kstr(w, "note", in->note);
	jw_kstr(w, "reverses", uuid_format_or_none(a, in->reverses));
	jw_kstr(w, "reversed_by", uuid_format_or_none(a, in->reversed_by));
	jw_kint(w, "charter", in->charter);
	jw_kstr(w, "ballot", uuid_format_or_none(a, in->ballot));
	jw_kint(w, "contributors", in->contributors);
	jw_kint(w, "commons", in->commons);
	jw_kstr(w, "weight", in->weight);
	jw_kint(w, "weight_total", in->weight_total);
	jw_kint(w, "shares", in->shares);
	jw_kstr(w, "commons_amount", money_format(a, in->commons_amount, in->currency));
	jw_kstr(w, "shares_root", sha256_hex(a, in->shares_root));
	jw_kstr(w, "recorded_at", clock_format(a, in->recorded_at));
	jw_end_object(w);
}

static enum err answer_income(struct request *rq, struct response *rs, const struct benefit_income *in)
{
	struct json_writer w = response_json(rs);
	write_income(&w, rq->call->arena, in);
	return ERR_OK;
}

/* ---- Incomes ---- */

static enum err list(struct request *rq, struct response *rs)
{
	struct benefit_income *items;
	struct str cursor, next;
	size_t n;
	int limit;
	TRY(request_page(rq, &cursor, &limit));
	TRY(benefit_list(rq->call, rq->coop.id, cursor, limit, &items, &n, &next));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		write_income(&w, rq->call->arena, &items[i]);
	response_list_end_page(&w, next);
	return ERR_OK;
}

static enum err read_amount(struct request *rq, struct str currency, int64_t *units)
{
	if (money_parse(json_member_text(rq->json, "amount"), currency, units))
		return ERR_OK;
	return fail_field(rq->call, "/amount", "This is no amount of that currency. Write it as 1234.50, above nothing and with no more decimals than the currency has.");
}

static enum err record(struct request *rq, struct response *rs)
{
	struct release release;
	struct benefit_income in;
	struct str kind = json_member_text(rq->json, "kind");
	struct benefit_draft draft = {
		.kind = kind.p ? kind : STR("money"), .currency = json_member_text(rq->json, "currency"), .source = json_member_text(rq->json, "source"),
		.note = json_member_text(rq->json, "note"),
	};
	TRY(read_amount(rq, draft.currency, &draft.amount));
	TRY(release_find(rq->call, rq->coop.id, json_member_text(rq->json, "release"), &release));
	draft.release = release.id;
	TRY(benefit_record(rq->call, rq->coop.id, &draft, &in));
	return answer_income(rq, rs, &in);
}

static enum err read_one(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct benefit_income in;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(benefit_read(rq->call, rq->coop.id, id, &in));
	return answer_income(rq, rs, &in);
}

static enum err reverse(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct benefit_income in;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(benefit_reverse(rq->call, rq->coop.id, id, json_member_text(rq->json, "reason"), &in));
	return answer_income(rq, rs, &in);
}

/* ---- Shares ---- */

static enum err shares_of(struct request *rq, struct benefit_income *in, struct benefit_share **shares, size_t *n)
{
	struct uuid id;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(benefit_read(rq->call, rq->coop.id, id, in));
	return benefit_shares(rq->call, rq->coop.id, id, shares, n);
}

static enum err shares_json(struct request *rq, struct response *rs)
{
	struct arena *a = rq->call->arena;
	struct benefit_income in;
	struct benefit_share *shares;
	size_t n;
	TRY(shares_of(rq, &in, &shares, &n));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_key(&w, "income");
	write_income(&w, a, &in);
	jw_key(&w, "items");
	jw_array(&w);
	for (size_t i = 0; i < n; i++) {
		jw_object(&w);
		jw_kint(&w, "no", shares[i].no);
		jw_kint(&w, "weight", shares[i].weight);
		jw_kint(&w, "units", shares[i].amount);
		jw_kstr(&w, "amount", money_format(a, shares[i].amount, in.currency));
		jw_kstr(&w, "commitment", shares[i].no ? sha256_hex(a, shares[i].commitment) : STR_NONE);
		if (shares[i].who.p) {
			jw_kstr(&w, "member", uuid_format_or_none(a, shares[i].member));
			jw_kstr(&w, "who", shares[i].who);
		}
		jw_end_object(&w);
	}
	jw_end_array(&w);
	jw_end_object(&w);
	return ERR_OK;
}

/* RFC 4180. What a spreadsheet would run as a formula gets an apostrophe in front. */
static void csv_field(struct buf *b, struct str s, bool last)
{
	bool formula = s.n && strchr("=+-@\t\r", s.p[0]) != NULL;
	buf_add_z(b, formula ? "\"'" : "\"");
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"')
			buf_add_z(b, "\"");
		buf_add(b, &s.p[i], 1);
	}
	buf_add_z(b, last ? "\"\r\n" : "\",");
}

static void csv_number(struct buf *b, struct str digits, bool last)
{
	buf_addf(b, "%.*s%s", STR_ARG(digits), last ? "\r\n" : ",");
}

static void csv_int(struct buf *b, int64_t v, bool last)
{
	buf_addf(b, "%lld%s", (long long)v, last ? "\r\n" : ",");
}

static void csv_answer(struct request *rq, struct response *rs, const char *what)
{
	rs->content_type = "text/csv; charset=utf-8; header=present";
	response_header(rs, "Content-Disposition", str_fmt(rq->call->arena, "attachment; filename=\"%.*s-%s.csv\"", STR_ARG(rq->coop.slug), what));
}

static enum err shares_csv(struct request *rq, struct response *rs)
{
	struct arena *a = rq->call->arena;
	struct benefit_income in;
	struct benefit_share *shares;
	size_t n;
	TRY(shares_of(rq, &in, &shares, &n));
	bool named = n && shares[n - 1].who.p;
	struct buf *b = &rs->body;
	csv_answer(rq, rs, "shares");
	buf_add_z(b, named ? "no,weight,amount,currency,commitment,member,who\r\n" : "no,weight,amount,currency,commitment\r\n");
	for (size_t i = 0; i < n; i++) {
		csv_int(b, shares[i].no, false);
		csv_int(b, shares[i].weight, false);
		csv_number(b, money_format(a, shares[i].amount, in.currency), false);
		csv_number(b, in.currency, false);
		csv_number(b, shares[i].no ? sha256_hex(a, shares[i].commitment) : STR(""), !named);
		if (!named)
			continue;
		csv_number(b, shares[i].no ? uuid_format(a, shares[i].member) : STR(""), false);
		csv_field(b, shares[i].no ? shares[i].who : STR("the commons"), true);
	}
	return ERR_OK;
}

/* ---- One's own ---- */

static void write_line(struct json_writer *w, struct arena *a, const struct benefit_statement_line *l)
{
	jw_object(w);
	jw_kstr(w, "at", clock_format(a, l->at));
	jw_kbool(w, "payment", l->payment);
	jw_kstr(w, "income", uuid_format_or_none(a, l->income));
	jw_kstr(w, "release_version", l->release_version);
	jw_kstr(w, "text", l->text);
	jw_kstr(w, "currency", l->currency);
	jw_kstr(w, "amount", money_format(a, l->amount, l->currency));
	jw_kint(w, "weight", l->weight);
	jw_kint(w, "weight_total", l->weight_total);
	jw_kint(w, "no", l->no);
	jw_kstr(w, "salt", l->payment ? STR_NONE : str_hex(a, l->salt, sizeof(l->salt)));
	jw_end_object(w);
}

static enum err statement_json(struct request *rq, struct response *rs)
{
	struct arena *a = rq->call->arena;
	struct benefit_statement s;
	TRY(benefit_statement_mine(rq->call, rq->coop.id, &s));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_key(&w, "lines");
	jw_array(&w);
	for (size_t i = 0; i < s.n; i++)
		write_line(&w, a, &s.lines[i]);
	jw_end_array(&w);
	jw_key(&w, "balances");
	jw_array(&w);
	for (size_t i = 0; i < s.n_balances; i++) {
		const struct benefit_balance *b = &s.balances[i];
		jw_object(&w);
		jw_kstr(&w, "currency", b->currency);
		jw_kstr(&w, "earned", money_format(a, b->earned, b->currency));
		jw_kstr(&w, "paid", money_format(a, b->paid, b->currency));
		jw_kstr(&w, "open", money_format(a, b->earned - b->paid, b->currency));
		jw_end_object(&w);
	}
	jw_end_array(&w);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err statement_csv(struct request *rq, struct response *rs)
{
	struct arena *a = rq->call->arena;
	struct benefit_statement s;
	TRY(benefit_statement_mine(rq->call, rq->coop.id, &s));
	struct buf *b = &rs->body;
	csv_answer(rq, rs, "benefits");
	buf_add_z(b, "at,what,release,text,amount,currency,weight,weight_total,income,no,salt\r\n");
	for (size_t i = 0; i < s.n; i++) {
		const struct benefit_statement_line *l = &s.lines[i];
		csv_number(b, clock_format(a, l->at), false);
		csv_number(b, l->payment ? STR("payment") : STR("share"), false);
		csv_number(b, l->release_version.p ? l->release_version : STR(""), false);
		csv_field(b, l->text, false);
		csv_number(b, money_format(a, l->amount, l->currency), false);
		csv_number(b, l->currency, false);
		csv_int(b, l->weight, false);
		csv_int(b, l->weight_total, false);
		csv_number(b, l->payment ? STR("") : uuid_format(a, l->income), false);
		csv_int(b, l->no, false);
		csv_number(b, l->payment ? STR("") : str_hex(a, l->salt, sizeof(l->salt)), true);
	}
	return ERR_OK;
}

/* ---- Payments ---- */

static void write_payment(struct json_writer *w, struct arena *a, const struct benefit_payment *p)
{
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, p->id));
	jw_kstr(w, "member", uuid_format_or_none(a, p->member));
	jw_kstr(w, "who", uuid_is_nil(p->member) ? STR_NONE : p->who);
	jw_kstr(w, "ballot", uuid_format_or_none(a, p->ballot));
	jw_kstr(w, "amount", money_format(a, p->amount, p->currency));
	jw_kstr(w, "currency", p->currency);
	jw_kstr(w, "reference", p->reference);
	jw_kstr(w, "at", clock_format(a, p->at));
	jw_end_object(w);
}

static enum err payments(struct request *rq, struct response *rs)
{
	struct benefit_payment *items;
	struct str cursor, next;
	size_t n;
	int limit;
	TRY(request_page(rq, &cursor, &limit));
	TRY(benefit_payments(rq->call, rq->coop.id, cursor, limit, &items, &n, &next));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		write_payment(&w, rq->call->arena, &items[i]);
	response_list_end_page(&w, next);
	return ERR_OK;
}

static enum err pay(struct request *rq, struct response *rs)
{
	struct benefit_payment p;
	struct uuid member;
	int64_t units;
	struct str currency = json_member_text(rq->json, "currency");
	TRY(read_amount(rq, currency, &units));
	if (!uuid_parse(json_member_text(rq->json, "member"), &member))
		return fail_field(rq->call, "/member", "This is no id of a member.");
	TRY(benefit_pay(rq->call, rq->coop.id, member, units, currency, json_member_text(rq->json, "reference"), &p));
	struct json_writer w = response_json(rs);
	write_payment(&w, rq->call->arena, &p);
	return ERR_OK;
}

#define COOP "/api/v1/coops/{coop}"

const struct route benefit_routes[] = {
	{ "GET", COOP "/benefits", "benefit_list", PERM_OPTIONAL, 0, NULL, "benefit_list", 200, list, "What releases have earned and how it was split, newest first", 0, "cursor limit" },
	{ "POST", COOP "/benefits", "benefit_record", PERM_ADMIN, LIMIT_BODY_SMALL, "benefit_new", "benefit", 201, record,
		"Record an income of a release; the rule of its charter splits it", ROUTE_IDEMPOTENT | ROUTE_EXPENSIVE },
	{ "GET", COOP "/benefits/{income}", "benefit_read", PERM_OPTIONAL, 0, NULL, "benefit", 200, read_one, "One income" },
	{ "GET", COOP "/benefits/{income}/shares", "benefit_shares", PERM_OPTIONAL, 0, NULL, "benefit_shares", 200, shares_json,
		"Weights and amounts with commitments to people: all that is needed to split again", ROUTE_EXPENSIVE },
	{ "GET", COOP "/benefits/{income}/shares.csv", "benefit_shares_csv", PERM_OPTIONAL, 0, NULL, "text/csv", 200, shares_csv, "The same as CSV; for admins with the members", ROUTE_EXPENSIVE },
	{ "POST", COOP "/benefits/{income}/reverse", "benefit_reverse", PERM_ADMIN, LIMIT_BODY_SMALL, "benefit_reverse", "benefit", 201, reverse,
		"Take an income back by an entry that mirrors it", ROUTE_IDEMPOTENT },
	{ "GET", COOP "/members/me/benefits", "benefit_statement", PERM_ACCOUNT, 0, NULL, "benefit_statement", 200, statement_json, "What I earned here and was paid" },
	{ "GET", COOP "/members/me/benefits.csv", "benefit_statement_csv", PERM_ACCOUNT, 0, NULL, "text/csv", 200, statement_csv, "The same as CSV" },
	{ "GET", COOP "/benefit-payments", "benefit_payment_list", PERM_ADMIN, 0, NULL, "benefit_payment_list", 200, payments, "What was paid, newest first", 0, "cursor limit" },
	{ "POST", COOP "/benefit-payments", "benefit_pay", PERM_ADMIN, LIMIT_BODY_SMALL, "benefit_payment_new", "benefit_payment", 201, pay,
		"Record that a member was paid", ROUTE_IDEMPOTENT },
	ROUTE_TABLE_END,
};
