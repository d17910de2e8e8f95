#include "server/erasure/erasure_web.h"

#include "commonhold/account.h"
#include "commonhold/pool.h"
#include "commonhold/routes.h"
#include "commonhold/sign_in.h"
#include "commonhold/words.h"

/* The whole account: what happens, the proof that it is the person, and how far it is. */

enum err page_write_proof(struct json_writer *w, struct request *rq)
{
	enum proof_kind kind;
	TRY(proof_wanted(rq->call, &kind));
	jw_kbool(w, "proof_code", kind == PROOF_CODE);
	jw_kbool(w, "proof_password", kind == PROOF_PASSWORD);
	jw_kbool(w, "proof_fresh", kind == PROOF_FRESH);
	return ERR_OK;
}

static enum err coops_write(struct json_writer *w, struct request *rq)
{
	struct member *mine;
	struct coop coop;
	size_t n;
	TRY(member_mine(rq->call, &mine, &n));
	jw_key(w, "coops");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		if (mine[i].state == POLICY_STANDING_APPLIED)
			continue;
		TRY(coop_read(rq->call, mine[i].coop, &coop));
		jw_object(w);
		jw_kstr(w, "slug", coop.slug);
		jw_kstr(w, "coop_name", coop.name);
		jw_kstr(w, "given", words_count(rq->call->arena, mine[i].contributed));
		jw_kbool(w, "one_given", mine[i].contributed == 1);
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_kbool(w, "any_coops", n > 0);
	return ERR_OK;
}

static enum err part_write(struct json_writer *w, struct request *rq, const struct erasure *part)
{
	struct coop coop;
	TRY(coop_read(rq->call, part->coop, &coop));
	jw_object(w);
	jw_kstr(w, "part_coop", coop.slug);
	jw_kstr(w, "part_name", coop.name);
	erasure_write(w, rq->call->arena, part);
	jw_end_object(w);
	return ERR_OK;
}

/* The newest request, while it is open; ERR_NOT_FOUND is no fault. */
static enum err request_write(struct json_writer *w, struct request *rq)
{
	struct erasure_account account;
	enum err e = erasure_account_read(rq->call, &account);
	if (e == ERR_NOT_FOUND)
		error_clear(&rq->call->error);
	if (e != ERR_OK)
		return e == ERR_NOT_FOUND ? ERR_OK : e;
	bool waits = account.state == ERASURE_RECEIVED, going = account.state == ERASURE_EFFECTIVE || account.state == ERASURE_PURGED;
	jw_kbool(w, "waits", waits);
	jw_kbool(w, "going", going);
	jw_kstr(w, "due", words_day(rq->call->arena, account.due_at));
	jw_key(w, "parts");
	jw_array(w);
	for (size_t i = 0; going && i < account.n_parts; i++)
		TRY(part_write(w, rq, &account.parts[i]));
	jw_end_array(w);
	return ERR_OK;
}

static enum err account_data(struct json_writer *w, struct request *rq, struct response *rs, enum err refused)
{
	struct pool_backups until = pool_backups_until(clock_now());
	TRY(page_form_said(rq, rs, refused, w));
	jw_kz(w, "title", "Delete my account");
	jw_kstr(w, "backups_until", words_day(rq->call->arena, until.content));
	jw_kstr(w, "key_backups", words_day(rq->call->arena, until.keys));
	TRY(page_write_proof(w, rq));
	TRY(coops_write(w, rq));
	return request_write(w, rq);
}

static enum err show(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	return page_end(rq, rs, "page/account_deletion", &b, &w, account_data(&w, rq, rs, refused));
}

static enum err account_page(struct request *rq, struct response *rs)
{
	return show(rq, rs, ERR_OK);
}

/* Asking and the proof are one form here; each is an operation. */
static enum err delete_form(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct erasure_account account;
	struct proof proof = { .password = request_form(rq, "current_password"), .code = request_form(rq, "code"), .network = request_network(rq) };
	if (!str_is(request_form(rq, "sure"), "yes"))
		return show(rq, rs, fail_field(c, "/sure", "Tick this if you are sure."));
	enum err e = erasure_ask_account(c, &account);
	if (e == ERR_OK)
		e = erasure_account_verify(c, &proof, &account);
	if (e != ERR_OK)
		return show(rq, rs, e);
	return response_done(rq, rs, STR("It counts from now on, in every co-op."), STR("/account/deletion"));
}

static enum err cancel_form(struct request *rq, struct response *rs)
{
	struct erasure_account account;
	enum err e = erasure_account_cancel(rq->call, &account);
	if (e != ERR_OK)
		return show(rq, rs, e);
	return response_done(rq, rs, STR("It is taken back. Nothing was deleted."), STR("/account/deletion"));
}

const struct route account_deletion_page_routes[] = {
	{ "GET", "/account/deletion", "page_account_deletion", PERM_ACCOUNT, 0, NULL, "text/html", 200, account_page, "Delete my account" },
	{ "POST", "/account/deletion", "page_account_delete", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 303, delete_form, "Delete my account", ROUTE_EXPENSIVE },
	{ "POST", "/account/deletion/cancel", "page_account_deletion_cancel", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 303, cancel_form, "Take it back" },
	ROUTE_TABLE_END,
};
