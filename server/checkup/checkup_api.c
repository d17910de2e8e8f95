#include "commonhold/checkup.h"
#include "commonhold/http.h"
#include "commonhold/routes.h"

/* Checkups and receipts over JSON. */

/* ---- Writing ---- */

static void line_write(struct json_writer *w, struct arena *a, const struct checkup_line *l)
{
	static const enum checkup_answer all[] = { CHECKUP_CONFIRM, CHECKUP_CHANGE, CHECKUP_END };
	jw_object(w);
	jw_kstr(w, "line", l->id);
	jw_kstr(w, "title", l->title);
	jw_kstr(w, "words", l->words);
	jw_kstr(w, "why", l->why);
	jw_kstr(w, "acts", l->acts);
	jw_key(w, "value");
	jw_raw(w, l->value);
	jw_key(w, "answers");
	jw_array(w);
	for (size_t i = 0; i < CH_LEN(all); i++)
		if (l->answers & (unsigned)all[i])
			jw_z(w, checkup_answer_name(all[i]));
	jw_end_array(w);
	jw_kbool(w, "suspended", l->suspended);
	jw_kstr(w, "since", clock_format_or_none(a, l->since));
	jw_end_object(w);
}

static void year_write(struct json_writer *w, struct arena *a, const struct checkup_year *y)
{
	jw_object(w);
	jw_kstr(w, "from", clock_format(a, y->from));
	jw_kstr(w, "to", clock_format(a, y->to));
	jw_key(w, "releases");
	jw_array(w);
	for (size_t i = 0; i < y->n_releases; i++) {
		jw_object(w);
		jw_kstr(w, "release", uuid_format(a, y->releases[i].id));
		jw_kstr(w, "version", y->releases[i].version);
		jw_kstr(w, "published_at", clock_format(a, y->releases[i].published_at));
		jw_kint(w, "items", y->releases[i].items);
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_key(w, "accesses");
	jw_array(w);
	for (size_t i = 0; i < y->n_accesses; i++) {
		jw_object(w);
		jw_kstr(w, "recipient", y->accesses[i].recipient);
		jw_kstr(w, "purpose", y->accesses[i].purpose);
		jw_kstr(w, "since", clock_format(a, y->accesses[i].since));
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_key(w, "earned");
	jw_array(w);
	for (size_t i = 0; i < y->n_money; i++) {
		jw_object(w);
		jw_kstr(w, "currency", y->money[i].currency);
		jw_kint(w, "cents", y->money[i].cents);
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_end_object(w);
}

static void checkup_write(struct json_writer *w, struct arena *a, const struct checkup *c)
{
	jw_object(w);
	jw_kstr(w, "coop", c->coop_slug);
	jw_kstr(w, "coop_name", c->coop_name);
	jw_kz(w, "kind", checkup_kind_name(c->kind));
	jw_kz(w, "state", policy_standing_name(c->member.state));
	jw_kint(w, "cycle", c->cycle);
	jw_kint(w, "charter", c->charter);
	jw_kstr(w, "opens_at", clock_format_or_none(a, c->opens_at));
	jw_kstr(w, "due_at", clock_format_or_none(a, c->due_at));
	jw_kstr(w, "lapses_at", clock_format_or_none(a, c->lapses_at));
	jw_kstr(w, "fingerprint", c->fingerprint);
	jw_kstr(w, "shown", c->shown);
	jw_kstr(w, "last_receipt", uuid_format_or_none(a, c->last_receipt));
	jw_key(w, "lines");
	jw_array(w);
	for (size_t i = 0; i < c->n_lines; i++)
		line_write(w, a, &c->lines[i]);
	jw_end_array(w);
	jw_key(w, "year");
	if (c->lines)
		year_write(w, a, &c->year);
	else
		jw_null(w);
	jw_end_object(w);
}

static void receipt_write(struct json_writer *w, struct arena *a, const struct checkup_receipt *r)
{
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, r->id));
	jw_kz(w, "kind", checkup_kind_name(r->kind));
	jw_kint(w, "cycle", r->cycle);
	jw_kint(w, "charter", r->charter);
	jw_kstr(w, "issued_at", clock_format(a, r->issued_at));
	jw_kstr(w, "sha256", sha256_hex(a, r->sha256));
	if (r->document.p) {
		jw_key(w, "document");
		jw_raw(w, r->document);
		jw_kstr(w, "signature", r->signature);
	}
	jw_end_object(w);
}

/* ---- Handlers ---- */

static enum err list_checkups(struct request *rq, struct response *rs)
{
	struct checkup *checkups;
	size_t n;
	TRY(checkup_list(rq->call, &checkups, &n));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		checkup_write(&w, rq->call->arena, &checkups[i]);
	response_list_end(&w);
	return ERR_OK;
}

static enum err read_checkup(struct request *rq, struct response *rs)
{
	struct checkup checkup;
	TRY(checkup_read(rq->call, rq->coop.id, &checkup));
	struct json_writer w = response_json(rs);
	checkup_write(&w, rq->call->arena, &checkup);
	return ERR_OK;
}

/* {"<line>": {"answer": …, "value": …}} */
static enum err replies_read(struct request *rq, const struct json *answers, struct checkup_reply **out, size_t *n)
{
	*n = 0;
	*out = ARENA_ARRAY(rq->call->arena, (answers ? answers->count : 0) + 1, struct checkup_reply);
	json_each(v, answers) {
		struct checkup_reply *r = &(*out)[(*n)++];
		*r = (struct checkup_reply){ .line = v->key, .value = json_get(v, "value") };
		if (!checkup_answer_parse(json_member_text(v, "answer"), &r->answer))
			return fail_field(rq->call, str_z(rq->call->arena, json_pointer(rq->call->arena, v)), "Confirm, change or end this.");
	}
	return ERR_OK;
}

static enum err answer_checkup(struct request *rq, struct response *rs)
{
	struct checkup_receipt receipt;
	struct checkup_reply *replies;
	size_t n;
	struct str shown = json_member_text(rq->json, "shown");
	if (json_bool(json_get(rq->json, "as_before"), false)) {
		TRY(checkup_as_before(rq->call, rq->coop.id, shown, &receipt));
	} else {
		TRY(replies_read(rq, json_get(rq->json, "answers"), &replies, &n));
		TRY(checkup_answer(rq->call, rq->coop.id, shown, replies, n, &receipt));
	}
	rs->status = 201;
	response_header(rs, "Location", str_fmt(rq->call->arena, "/api/v1/coops/%.*s/members/me/receipts/%.*s", STR_ARG(rq->coop.slug), STR_ARG(uuid_format(rq->call->arena, receipt.id))));
	struct json_writer w = response_json(rs);
	receipt_write(&w, rq->call->arena, &receipt);
	return ERR_OK;
}

static enum err list_receipts(struct request *rq, struct response *rs)
{
	struct checkup_receipt *receipts;
	size_t n;
	TRY(checkup_receipt_list(rq->call, rq->coop.id, &receipts, &n));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		receipt_write(&w, rq->call->arena, &receipts[i]);
	response_list_end(&w);
	return ERR_OK;
}

static enum err one_receipt(struct request *rq, struct checkup_receipt *out)
{
	struct uuid id;
	TRY(request_param_uuid(rq, 1, &id));
	return checkup_receipt_read(rq->call, rq->coop.id, id, out);
}

static enum err read_receipt(struct request *rq, struct response *rs)
{
	struct checkup_receipt receipt;
	TRY(one_receipt(rq, &receipt));
	struct json_writer w = response_json(rs);
	receipt_write(&w, rq->call->arena, &receipt);
	return ERR_OK;
}

static void download(struct request *rq, struct response *rs, const struct checkup_receipt *r, const char *suffix)
{
	response_header(rs, "Content-Disposition", str_fmt(rq->call->arena, "attachment; filename=\"receipt-%.*s.json%s\"", STR_ARG(uuid_format(rq->call->arena, r->id)), suffix));
}

/* Exactly the bytes that were signed. */
static enum err read_document(struct request *rq, struct response *rs)
{
	struct checkup_receipt receipt;
	TRY(one_receipt(rq, &receipt));
	download(rq, rs, &receipt, "");
	buf_add_str(&rs->body, receipt.document);
	return ERR_OK;
}

static enum err read_signature(struct request *rq, struct response *rs)
{
	struct checkup_receipt receipt;
	TRY(one_receipt(rq, &receipt));
	download(rq, rs, &receipt, ".minisig");
	rs->content_type = "text/plain; charset=utf-8";
	buf_add_str(&rs->body, receipt.signature);
	return ERR_OK;
}

static enum err move_due(struct request *rq, struct response *rs)
{
	struct member me;
	struct checkup checkup;
	instant due;
	if (!clock_parse(json_member_text(rq->json, "due_at"), &due))
		return fail_field(rq->call, "/due_at", "This is not an instant such as 2027-03-01T00:00:00Z.");
	TRY(member_set_due(rq->call, rq->coop.id, due, &me));
	TRY(checkup_read(rq->call, rq->coop.id, &checkup));
	struct json_writer w = response_json(rs);
	checkup_write(&w, rq->call->arena, &checkup);
	return ERR_OK;
}

const struct route checkup_routes[] = {
	{ "GET", "/api/v1/checkups", "checkup_list", PERM_ACCOUNT, 0, NULL, "checkup_list", 200, list_checkups, "Where one stands in every co-op, with the lines that can be answered" },
	{ "GET", "/api/v1/coops/{coop}/members/me/checkup", "checkup_read", PERM_MEMBER, 0, NULL, "checkup", 200, read_checkup,
		"Every standing choice of one's own, what happened in the year, and the token that answering needs" },
	{ "POST", "/api/v1/coops/{coop}/members/me/checkup", "checkup_answer", PERM_MEMBER, LIMIT_BODY_SMALL, "checkup_answer", "checkup_receipt", 201, answer_checkup,
		"Confirm, change or end every line that was shown, or confirm them all as before", ROUTE_IDEMPOTENT },
	{ "PUT", "/api/v1/coops/{coop}/members/me/due", "checkup_move", PERM_MEMBER, LIMIT_BODY_SMALL, "checkup_due", "checkup", 200, move_due,
		"Choose an earlier date for one's next checkup" },
	{ "GET", "/api/v1/coops/{coop}/members/me/receipts", "checkup_receipts", PERM_ACCOUNT, 0, NULL, "checkup_receipt_list", 200, list_receipts, "One's receipts, newest first" },
	{ "GET", "/api/v1/coops/{coop}/members/me/receipts/{receipt}", "checkup_receipt", PERM_ACCOUNT, 0, NULL, "checkup_receipt", 200, read_receipt, "One receipt with its signature" },
	{ "GET", "/api/v1/coops/{coop}/members/me/receipts/{receipt}/document", "checkup_receipt_document", PERM_ACCOUNT, 0, NULL, "application/json", 200, read_document,
		"The receipt's document, byte for byte as it was signed" },
	{ "GET", "/api/v1/coops/{coop}/members/me/receipts/{receipt}/signature", "checkup_receipt_signature", PERM_ACCOUNT, 0, NULL, "text/plain", 200, read_signature,
		"The minisign signature over the document" },
	ROUTE_TABLE_END,
};
