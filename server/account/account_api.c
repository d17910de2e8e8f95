#include "server/account/account_web.h"

static void account_members(struct json_writer *w, struct arena *a, const struct account *account)
{
	jw_kstr(w, "id", uuid_format(a, account->id));
	jw_kstr(w, "email", account->email);
	jw_kstr(w, "name", account->name);
	jw_kstr(w, "locale", account->locale);
	jw_kstr(w, "created_at", clock_format(a, account->created_at));
	jw_kstr(w, "email_verified_at", clock_format_or_none(a, account->verified_at));
}

static void account_write(struct json_writer *w, struct arena *a, const struct account *account)
{
	jw_object(w);
	account_members(w, a, account);
	jw_end_object(w);
}

static enum err register_account(struct request *rq, struct response *rs)
{
	struct account account;
	TRY(account_register(rq->call, json_member_text(rq->json, "email"), json_member_text(rq->json, "name"), json_member_text(rq->json, "password"), &account));
	mail_first_link(rq, rs, account.email);
	struct json_writer w = response_json(rs);
	account_write(&w, rq->call->arena, &account);
	return ERR_OK;
}

void response_signed_in(struct request *rq, struct response *rs, const struct sign_in *in)
{
	instant expires = clock_now() + SESSION_LIFE;
	if (in->secret.p)
		response_set_session(rq, rs, in->secret, expires);
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_key(&w, "account");
	account_write(&w, rq->call->arena, &in->account);
	jw_kstr(&w, "expires_at", in->secret.p ? clock_format(rq->call->arena, expires) : STR_NONE);
	jw_end_object(&w);
}

static enum err start_session(struct request *rq, struct response *rs)
{
	struct sign_in in;
	struct sign_in_from from = request_from(rq);
	TRY(sign_in_password(rq->call, json_member_text(rq->json, "email"), json_member_text(rq->json, "password"), json_member_text(rq->json, "code"), &from, &in));
	response_signed_in(rq, rs, &in);
	return ERR_OK;
}

static enum err list_sessions(struct request *rq, struct response *rs)
{
	struct arena *a = rq->call->arena;
	struct session_row *rows;
	size_t n;
	TRY(session_list(rq->call, &rows, &n));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++) {
		jw_object(&w);
		jw_kstr(&w, "id", uuid_format(a, rows[i].id));
		jw_kstr(&w, "created_at", clock_format(a, rows[i].created_at));
		jw_kstr(&w, "seen_at", clock_format(a, rows[i].seen_at));
		jw_kstr(&w, "expires_at", clock_format(a, rows[i].expires_at));
		jw_kstr(&w, "agent", rows[i].agent);
		jw_kstr(&w, "how", rows[i].how);
		jw_kbool(&w, "factor", rows[i].factor);
		jw_kbool(&w, "current", rows[i].current);
		jw_end_object(&w);
	}
	response_list_end(&w);
	return ERR_OK;
}

static enum err end_own_session(struct request *rq, struct response *rs)
{
	if (rq->call->actor.kind != AUTH_SESSION)
		return fail(rq->call, ERR_STATE, "This request has no session. A token is revoked at /tokens.");
	TRY(session_end(rq->call, rq->call->actor.session));
	response_end_session(rq, rs);
	rs->status = 204;
	return ERR_OK;
}

static enum err end_session(struct request *rq, struct response *rs)
{
	struct uuid id;
	if (!uuid_parse(rq->param[0], &id))
		return fail(rq->call, ERR_NOT_FOUND, "There is no such session.");
	TRY(session_end(rq->call, id));
	rs->status = 204;
	return ERR_OK;
}

static enum err end_sessions(struct request *rq, struct response *rs, bool own)
{
	int ended;
	TRY(session_end_all(rq->call, own, &ended));
	if (own && rq->call->actor.kind == AUTH_SESSION)
		response_end_session(rq, rs);
	rs->status = 204;
	return ERR_OK;
}

static enum err end_other_sessions(struct request *rq, struct response *rs)
{
	return end_sessions(rq, rs, false);
}

static enum err end_all_sessions(struct request *rq, struct response *rs)
{
	return end_sessions(rq, rs, true);
}

static enum err me_write(struct request *rq, struct response *rs, const struct account *account)
{
	struct json_writer w = response_json(rs);
	jw_object(&w);
	account_members(&w, rq->call->arena, account);
	jw_kz(&w, "auth", rq->call->actor.kind == AUTH_SESSION ? "session" : "token");
	jw_kstr(&w, "csrf", rq->call->actor.kind == AUTH_SESSION ? request_csrf(rq) : STR_NONE);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err read_me(struct request *rq, struct response *rs)
{
	struct account account;
	TRY(account_read(rq->call, rq->call->actor.account, &account));
	return me_write(rq, rs, &account);
}

static enum err change_me(struct request *rq, struct response *rs)
{
	struct account account;
	TRY(account_change(rq->call, json_member_text(rq->json, "name"), json_member_text(rq->json, "locale"), &account));
	return me_write(rq, rs, &account);
}

static void token_write(struct json_writer *w, struct arena *a, const struct token_row *token, struct str secret)
{
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, token->id));
	jw_kstr(w, "name", token->name);
	jw_kstr(w, "created_at", clock_format(a, token->created_at));
	jw_kstr(w, "expires_at", clock_format_or_none(a, token->expires_at));
	jw_kstr(w, "used_at", clock_format_or_none(a, token->used_at));
	jw_kstr(w, "revoked_at", clock_format_or_none(a, token->revoked_at));
	if (secret.p)
		jw_kstr(w, "secret", secret);
	jw_end_object(w);
}

static enum err create_token(struct request *rq, struct response *rs)
{
	struct token_row token;
	struct str secret, until = json_member_text(rq->json, "expires_at");
	instant expires = INSTANT_NONE;
	if (until.p && !clock_parse(until, &expires))
		return fail_field(rq->call, "/expires_at", "This is not an instant such as 2026-12-31T23:59:59Z.");
	TRY(token_create(rq->call, json_member_text(rq->json, "name"), expires, &token, &secret));
	struct json_writer w = response_json(rs);
	token_write(&w, rq->call->arena, &token, secret);
	return ERR_OK;
}

static enum err list_tokens(struct request *rq, struct response *rs)
{
	struct token_row *rows;
	size_t n;
	TRY(token_list(rq->call, &rows, &n));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		token_write(&w, rq->call->arena, &rows[i], STR_NONE);
	response_list_end(&w);
	return ERR_OK;
}

static enum err revoke_token(struct request *rq, struct response *rs)
{
	struct uuid id;
	if (!uuid_parse(rq->param[0], &id))
		return fail(rq->call, ERR_NOT_FOUND, "There is no such token.");
	TRY(token_revoke(rq->call, id));
	rs->status = 204;
	return ERR_OK;
}

const struct route account_routes[] = {
	{ "POST", "/api/v1/accounts", "account_register", PERM_PUBLIC, LIMIT_BODY_SMALL, "account_new", "account", 201, register_account,
	  "Registers an account.", ROUTE_NO_CSRF | ROUTE_EXPENSIVE },
	{ "POST", "/api/v1/sessions", "session_start", PERM_PUBLIC, LIMIT_BODY_SMALL, "session_new", "session", 201, start_session,
	  "Signs in; the session's secret comes as a cookie.", ROUTE_NO_CSRF | ROUTE_EXPENSIVE },
	{ "GET", "/api/v1/sessions", "session_list", PERM_ACCOUNT, 0, NULL, "session_list", 200, list_sessions, "Lists one's sessions." },
	{ "DELETE", "/api/v1/sessions", "session_end", PERM_ACCOUNT, 0, NULL, NULL, 204, end_own_session, "Signs out." },
	{ "DELETE", "/api/v1/sessions/{session}", "session_end_other", PERM_ACCOUNT, 0, NULL, NULL, 204, end_session, "Ends one of one's sessions." },
	{ "DELETE", "/api/v1/sessions/others", "session_end_others", PERM_ACCOUNT, 0, NULL, NULL, 204, end_other_sessions, "Ends all of one's sessions but this one." },
	{ "DELETE", "/api/v1/sessions/all", "session_end_all", PERM_ACCOUNT, 0, NULL, NULL, 204, end_all_sessions, "Signs out everywhere." },
	{ "GET", "/api/v1/me", "me_read", PERM_ACCOUNT, 0, NULL, "me", 200, read_me, "Reads one's account." },
	{ "PATCH", "/api/v1/me", "me_change", PERM_ACCOUNT, LIMIT_BODY_SMALL, "account_change", "me", 200, change_me, "Changes name or language." },
	{ "GET", "/api/v1/tokens", "token_list", PERM_ACCOUNT, 0, NULL, "token_list", 200, list_tokens, "Lists one's personal tokens." },
	{ "POST", "/api/v1/tokens", "token_create", PERM_ACCOUNT, LIMIT_BODY_SMALL, "token_new", "token_created", 201, create_token, "Makes a personal token; it is shown this once." },
	{ "DELETE", "/api/v1/tokens/{token}", "token_revoke", PERM_ACCOUNT, 0, NULL, NULL, 204, revoke_token, "Revokes a personal token." },
	ROUTE_TABLE_END
};
