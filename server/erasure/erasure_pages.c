#include "server/erasure/erasure_web.h"

#include "commonhold/erasure_statement.h"
#include "commonhold/routes.h"
#include "commonhold/words.h"

/* Where did my data go: my requests, one request, what can be done about it, and the statement to print. */

#define ITEMS_SHOWN 50
#define ITEMS_PRINTED LIMIT_PAGE
#define LIVE_SECONDS "4" /* while content is being destroyed, which takes seconds to minutes */

static bool signed_in(const struct request *rq)
{
	return !uuid_is_nil(rq->call->actor.account);
}

/* ---- Mine ---- */

static enum err mine_write(struct json_writer *w, struct request *rq)
{
	struct erasure *items;
	struct str next;
	size_t n;
	TRY(erasure_list(rq->call, rq->coop.id, request_query(rq, "cursor"), LIMIT_PAGE_DEFAULT, &items, &n, &next));
	jw_kbool(w, "any", n > 0);
	jw_kstr(w, "next", next);
	jw_key(w, "items");
	jw_array(w);
	for (size_t i = 0; i < n; i++)
		erasure_write_row(w, rq->call->arena, &items[i]);
	jw_end_array(w);
	return ERR_OK;
}

static enum err mine_page(struct request *rq, struct response *rs)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "Deletions");
	jw_kstr(&w, "coop", rq->coop.slug);
	jw_kbool(&w, "signed_in", signed_in(rq));
	jw_kbool(&w, "member", rq->coop.is_member);
	jw_kbool(&w, "admin", rq->coop.is_admin);
	return page_end(rq, rs, "page/deletions", &b, &w, signed_in(rq) ? mine_write(&w, rq) : ERR_OK);
}

/* ---- One ---- */

static void codes_write(struct json_writer *w)
{
	static const struct { const char *code, *words; } codes[] = {
#define X(word, text) { #word, text },
		ERASURE_DENIALS(X)
#undef X
	};
	jw_key(w, "codes");
	jw_array(w);
	for (size_t i = 0; i < CH_LEN(codes); i++) {
		jw_object(w);
		jw_kz(w, "code", codes[i].code);
		jw_kz(w, "words", codes[i].words);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static void denied_write(struct json_writer *w, struct arena *a, const struct erasure *e)
{
	if (e->state != ERASURE_DENIED)
		return;
	const char *words = erasure_denial_words(e->denial_code);
	jw_key(w, "denied");
	jw_object(w);
	jw_kstr(w, "code_words", str_fmt(a, "The ground given: %s.", words ? words : "another reason"));
	jw_kstr(w, "denial_reason", e->denial_reason);
	jw_end_object(w);
	jw_kbool(w, "appealable", e->mine && uuid_is_nil(e->appeal_ballot) && e->appeal_until != INSTANT_NONE && clock_now() <= e->appeal_until);
}

/* What an admin is asked, with what the person wrote. */
static enum err decide_write(struct json_writer *w, struct request *rq, const struct erasure *e)
{
	struct arena *a = rq->call->arena;
	struct str claim = STR_NONE;
	if (!rq->coop.is_admin || e->mine || e->state != ERASURE_VERIFIED)
		return ERR_OK;
	TRY(erasure_claim(rq->call, rq->coop.id, e->id, &claim));
	jw_kbool(w, "decide", true);
	jw_kstr(w, "claim", claim.n ? claim : STR_NONE);
	jw_kstr(w, "decide_words", str_fmt(a, "Somebody who is not its contributor says that it is about them. The law gives until %.*s. If you accept, it is erased everywhere, as if its contributor had asked.",
		STR_ARG(words_day(a, e->due_at))));
	jw_kbool(w, "extendable", e->extended_at == INSTANT_NONE && clock_now() <= e->due_at);
	jw_kstr(w, "extended_due", words_day(a, due_date(e->received_at, 3, STR(""))));
	codes_write(w);
	return ERR_OK;
}

static void can_write(struct json_writer *w, struct request *rq, const struct erasure *e)
{
	bool own_agent = e->asker == ERASURE_AGENT && uuid_eq(e->account, rq->call->actor.account);
	jw_kbool(w, "verify", e->state == ERASURE_RECEIVED && e->mine);
	jw_kbool(w, "confirmable", !own_agent);
	jw_kz(w, "verify_words", own_agent ? "The member whom you ask for has to say yes. They were told." : "Somebody whom you let asks for this in your name. Nothing happens before you say yes.");
	jw_kbool(w, "liftable", e->kind == ERASURE_EMBARGO && e->mine && e->effective_at != INSTANT_NONE && e->state != ERASURE_CANCELLED && clock_now() < e->until);
	jw_kbool(w, "statement", e->effective_at != INSTANT_NONE || erasure_over(e->state));
	jw_kstr(w, "appeal", uuid_format_or_none(rq->call->arena, e->appeal_ballot));
	jw_kstr(w, "replacement", e->mine ? uuid_format_or_none(rq->call->arena, e->replacement) : STR_NONE);
}

/* While content is being destroyed the page says how much is left. */
static void carrying_write(struct json_writer *w, struct arena *a, const struct erasure *e, const struct where *where)
{
	bool under_way = erasure_purges(e->kind) && (e->state == ERASURE_EFFECTIVE || e->state == ERASURE_PURGED);
	int64_t gone = e->n_items - where->left;
	jw_kbool(w, "carrying", under_way && e->state == ERASURE_EFFECTIVE);
	jw_kz(w, "refresh", under_way ? LIVE_SECONDS : NULL);
	jw_kint(w, "carried", gone < 0 ? 0 : gone);
	jw_kint(w, "count", e->n_items < 1 ? 1 : e->n_items);
	jw_kstr(w, "carried_words", str_fmt(a, "%.*s of %.*s destroyed", STR_ARG(words_count(a, gone < 0 ? 0 : gone)), STR_ARG(words_count(a, e->n_items))));
}

static enum err one_data(struct json_writer *w, struct request *rq, struct response *rs, enum err refused, int limit)
{
	struct call *c = rq->call;
	struct erasure e;
	struct where where;
	struct uuid id;
	TRY(page_form_refused(rq, rs, refused, w));
	TRY(request_param_uuid(rq, 1, &id));
	TRY(erasure_read(c, rq->coop.id, id, &e));
	TRY(where_read(c, &e, &where));
	jw_kstr(w, "title", erasure_what(c->arena, &e));
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kbool(w, "queue", rq->coop.is_admin && !e.mine);
	erasure_write(w, c->arena, &e);
	jw_kstr(w, "now_words", erasure_now_words(c->arena, &e, &where));
	jw_kstr(w, "next_words", erasure_next_words(c->arena, &e, &where));
	erasure_write_stages(w, c->arena, &e, &where);
	erasure_write_where(w, c->arena, &e, &where);
	carrying_write(w, c->arena, &e, &where);
	can_write(w, rq, &e);
	denied_write(w, c->arena, &e);
	TRY(decide_write(w, rq, &e));
	/* Their own pages; and for whoever has to decide, those of the items. */
	bool own = e.asker != ERASURE_SUBJECT && e.mine && rq->coop.is_member, decides = rq->coop.is_admin && !e.mine && e.state == ERASURE_VERIFIED;
	return erasure_write_items(w, rq, &e, limit, own || decides);
}

static enum err one_form(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	return page_end(rq, rs, "page/deletion", &b, &w, one_data(&w, rq, rs, refused, ITEMS_SHOWN));
}

static enum err one_page(struct request *rq, struct response *rs)
{
	return one_form(rq, rs, ERR_OK);
}

static enum err done(struct request *rq, struct response *rs, enum err e, const struct erasure *erasure, const char *flash)
{
	if (e != ERR_OK)
		return one_form(rq, rs, e);
	return response_done(rq, rs, str_of(flash), erasure_path(rq->call->arena, rq->coop.slug, erasure));
}

static enum err verify_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct erasure e;
	TRY(request_param_uuid(rq, 1, &id));
	return done(rq, rs, erasure_verify(rq->call, rq->coop.id, id, &e), &e, "It counts from now on.");
}

static enum err cancel_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct erasure e;
	TRY(request_param_uuid(rq, 1, &id));
	return done(rq, rs, erasure_cancel(rq->call, rq->coop.id, id, &e), &e, "It is taken back.");
}

static enum err appeal_form(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct erasure e;
	TRY(request_param_uuid(rq, 1, &id));
	return done(rq, rs, erasure_appeal(rq->call, rq->coop.id, id, str_trim(request_form(rq, "reason")), &e), &e, "The members vote on it. Until then it stays out of every release.");
}

static enum err decision_form(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct uuid id;
	struct erasure e;
	struct str decision = request_form(rq, "decision"), reason = str_trim(request_form(rq, "reason"));
	TRY(request_param_uuid(rq, 1, &id));
	if (str_is(decision, "accept"))
		return done(rq, rs, erasure_accept(c, rq->coop.id, id, &e), &e, "Accepted. It counts from now on.");
	if (str_is(decision, "deny"))
		return done(rq, rs, erasure_deny(c, rq->coop.id, id, request_form(rq, "code"), reason, &e), &e, "Turned down. The person reads your reason and can appeal.");
	if (str_is(decision, "extend"))
		return done(rq, rs, erasure_extend(c, rq->coop.id, id, reason, &e), &e, "Extended. The person reads your reason.");
	return one_form(rq, rs, fail_field(c, "/decision", "Accept, turn down or extend."));
}

/* ---- To print ---- */

static enum err statement_data(struct json_writer *w, struct request *rq, struct response *rs)
{
	struct arena *a = rq->call->arena;
	struct coop coop;
	char hex[65];
	TRY(one_data(w, rq, rs, ERR_OK, ITEMS_PRINTED));
	TRY(coop_read(rq->call, rq->coop.id, &coop));
	for (size_t i = 0; i < sizeof coop.public_key; i++)
		snprintf(hex + 2 * i, 3, "%02x", coop.public_key[i]);
	jw_kstr(w, "controller", coop.name);
	jw_kstr(w, "on", words_minute(a, clock_now()));
	jw_kstr(w, "public_key", minisign_public_key(a, coop.public_key));
	jw_kstr(w, "public_key_hex", str_copy(a, str_of(hex)));
	jw_key(w, "limits");
	jw_array(w);
	for (size_t i = 0; erasure_statement_limit(i); i++)
		jw_z(w, erasure_statement_limit(i));
	jw_end_array(w);
	return ERR_OK;
}

static enum err statement_page(struct request *rq, struct response *rs)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	return page_end(rq, rs, "page/deletion_statement", &b, &w, statement_data(&w, rq, rs));
}

const struct route erasure_page_routes[] = {
	{ "GET", "/coops/{coop}/deletions", "page_deletions", PERM_OPTIONAL, 0, NULL, "text/html", 200, mine_page, "Deletions, and what I asked for" },
	{ "GET", "/coops/{coop}/deletions/{deletion}", "page_deletion", PERM_ACCOUNT, 0, NULL, "text/html", 200, one_page, "One request: how far it is, and where the items went" },
	{ "POST", "/coops/{coop}/deletions/{deletion}/verification", "page_deletion_verify", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 303, verify_form, "Say yes to it" },
	{ "POST", "/coops/{coop}/deletions/{deletion}/cancel", "page_deletion_cancel", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 303, cancel_form, "Take it back" },
	{ "POST", "/coops/{coop}/deletions/{deletion}/appeal", "page_deletion_appeal", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 303, appeal_form, "Take a denial to the members" },
	{ "POST", "/coops/{coop}/deletions/{deletion}/decision", "page_deletion_decide", PERM_ADMIN, LIMIT_BODY_SMALL, "form", "text/html", 303, decision_form, "Accept, deny or extend" },
	{ "GET", "/coops/{coop}/deletions/{deletion}/statement", "page_deletion_statement", PERM_ACCOUNT, 0, NULL, "text/html", 200, statement_page, "The statement, to print" },
	ROUTE_TABLE_END,
};
