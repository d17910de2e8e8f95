/* Registering, and a person's own page: profile, tokens, where they are signed in. */
#include "server/account/account_web.h"

#include "commonhold/notify.h"
#include "commonhold/words.h"

static enum err sign_out(struct request *rq, struct response *rs)
{
	if (rq->call->actor.kind == AUTH_SESSION)
		TRY(session_end(rq->call, rq->call->actor.session));
	response_end_session(rq, rs);
	response_redirect(rs, STR("/"));
	return ERR_OK;
}

static enum err register_form(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "Register");
	bool sent = str_is(rq->method, "POST");
	jw_kstr(&w, "email", sent ? request_form(rq, "email") : STR_NONE);
	jw_kstr(&w, "name", sent ? request_form(rq, "name") : STR_NONE);
	jw_kstr(&w, "next", safe_next(sent ? request_form(rq, "next") : request_query(rq, "next")));
	enum err e = page_form_refused(rq, rs, refused, &w);
	return page_end(rq, rs, "page/register", &b, &w, e);
}

static enum err register_page(struct request *rq, struct response *rs)
{
	return register_form(rq, rs, ERR_OK);
}

static enum err register_submit(struct request *rq, struct response *rs)
{
	struct account account;
	struct str secret;
	enum err e = account_register(rq->call, request_form(rq, "email"), request_form(rq, "name"), request_form(rq, "password"), &account);
	if (e != ERR_OK)
		return register_form(rq, rs, e);
	mail_first_link(rq, rs, account.email);
	TRY(session_start_for(rq->call, account.id, request_header(rq, "User-Agent"), &secret));
	response_set_session(rq, rs, secret, clock_now() + SESSION_LIFE);
	return response_done(rq, rs, notify_mail_on() ? STR("Welcome. You are registered and signed in. A mail is on its way: the link in it confirms your address.") :
		STR("Welcome. You are registered and signed in."), safe_next(request_form(rq, "next")));
}

/* ---- My account ---- */

static enum err tokens_write(struct request *rq, struct json_writer *w)
{
	struct arena *a = rq->call->arena;
	struct token_row *rows;
	size_t n;
	TRY(token_list(rq->call, &rows, &n));
	jw_key(w, "tokens");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		bool revoked = rows[i].revoked_at != INSTANT_NONE, expired = rows[i].expires_at != INSTANT_NONE && rows[i].expires_at <= clock_now();
		jw_object(w);
		jw_kstr(w, "id", uuid_format(a, rows[i].id));
		jw_kstr(w, "name", rows[i].name);
		jw_kstr(w, "created", words_day(a, rows[i].created_at));
		jw_kstr(w, "expires", rows[i].expires_at == INSTANT_NONE ? STR("never") : words_day(a, rows[i].expires_at));
		jw_kstr(w, "used", rows[i].used_at == INSTANT_NONE ? STR("not yet") : words_day(a, rows[i].used_at));
		jw_kz(w, "state", revoked ? "revoked" : expired ? "expired" : "works");
		jw_kz(w, "badge", revoked || expired ? "neutral" : "include");
		jw_kbool(w, "works", !revoked && !expired);
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_kbool(w, "any_tokens", n > 0);
	return ERR_OK;
}

static const char *how_words(struct str how)
{
	return str_is(how, "link") ? "by a mailed link" : str_is(how, "oidc") ? "by another provider" : str_is(how, "operator") ? "by whoever runs this instance" : "by password";
}

static enum err sessions_write(struct request *rq, struct json_writer *w)
{
	struct arena *a = rq->call->arena;
	struct session_row *rows;
	size_t n;
	TRY(session_list(rq->call, &rows, &n));
	jw_key(w, "sessions");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		jw_kstr(w, "id", uuid_format(a, rows[i].id));
		jw_kstr(w, "agent", browser_words(a, rows[i].agent));
		jw_kstr(w, "since", words_day(a, rows[i].created_at));
		jw_kstr(w, "seen", words_day(a, rows[i].seen_at));
		jw_kz(w, "how", how_words(rows[i].how));
		jw_kbool(w, "factor", rows[i].factor);
		jw_kbool(w, "current", rows[i].current);
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_kbool(w, "other_sessions", n > 1);
	return ERR_OK;
}

static enum err me_data(struct request *rq, struct response *rs, enum err refused, struct str secret, struct json_writer *w)
{
	struct account account;
	TRY(page_form_said(rq, rs, refused, w));
	TRY(account_read(rq->call, rq->call->actor.account, &account));
	jw_kstr(w, "email", account.email);
	jw_kbool(w, "unverified", account.verified_at == INSTANT_NONE);
	jw_kbool(w, "mail_on", notify_mail_on());
	jw_kstr(w, "own_name", account.name);
	jw_kstr(w, "locale", account.locale);
	if (secret.p)
		jw_kstr(w, "secret", secret);
	TRY(tokens_write(rq, w));
	return sessions_write(rq, w);
}

static enum err me_form(struct request *rq, struct response *rs, enum err refused, struct str secret)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "My account");
	enum err e = me_data(rq, rs, refused, secret, &w);
	return page_end(rq, rs, "page/me", &b, &w, e);
}

static enum err me_page(struct request *rq, struct response *rs)
{
	return me_form(rq, rs, ERR_OK, STR_NONE);
}

static enum err me_change(struct request *rq, struct response *rs)
{
	struct account account;
	enum err e = account_change(rq->call, request_form(rq, "name"), request_form(rq, "locale"), &account);
	if (e != ERR_OK)
		return me_form(rq, rs, e, STR_NONE);
	return response_done(rq, rs, STR("Saved."), STR("/me"));
}

/* Answers with the page itself: the secret is shown this once and goes through no cookie. */
static enum err token_make(struct request *rq, struct response *rs)
{
	struct token_row token;
	struct str secret = STR_NONE, days = request_form(rq, "days");
	int64_t n = 0;
	bool limited = days.n > 0 && str_to_i64(days, 1, 3650, &n);
	enum err e = token_create(rq->call, request_form(rq, "token_name"), limited ? clock_now() + n * CLOCK_DAY : INSTANT_NONE, &token, &secret);
	return me_form(rq, rs, e, e == ERR_OK ? secret : STR_NONE);
}

static enum err id_of_form(struct request *rq, struct uuid *id)
{
	return uuid_parse(request_form(rq, "id"), id) ? ERR_OK : fail(rq->call, ERR_NOT_FOUND, "%s", err_text(ERR_NOT_FOUND));
}

static enum err token_end(struct request *rq, struct response *rs)
{
	struct uuid id;
	TRY(id_of_form(rq, &id));
	TRY(token_revoke(rq->call, id));
	return response_done(rq, rs, STR("The token is revoked."), STR("/me"));
}

static enum err session_stop(struct request *rq, struct response *rs)
{
	struct uuid id;
	TRY(id_of_form(rq, &id));
	TRY(session_end(rq->call, id));
	return response_done(rq, rs, STR("That browser is signed out."), STR("/me"));
}

static enum err sessions_stop(struct request *rq, struct response *rs, bool own)
{
	int ended;
	TRY(session_end_all(rq->call, own, &ended));
	if (own)
		response_end_session(rq, rs);
	return response_done(rq, rs, own ? STR("You are signed out everywhere.") : ended ? STR("Your other browsers are signed out.") : STR("No other browser was signed in."), own ? STR("/sign-in") : STR("/me"));
}

static enum err sessions_stop_others(struct request *rq, struct response *rs)
{
	return sessions_stop(rq, rs, false);
}

static enum err sessions_stop_all(struct request *rq, struct response *rs)
{
	return sessions_stop(rq, rs, true);
}

static enum err verify_ask(struct request *rq, struct response *rs)
{
	struct sign_in_from from = request_from_bound(rq, rs);
	enum err e = link_ask(rq->call, LINK_VERIFY, rq->call->actor.email, &from);
	if (e != ERR_OK)
		return me_form(rq, rs, e, STR_NONE);
	return response_done(rq, rs, STR("A mail is on its way to you. The link in it confirms your address."), STR("/me"));
}

const struct route account_page_routes[] = {
	{ "POST", "/sign-out", "page_sign_out", PERM_OPTIONAL, LIMIT_BODY_SMALL, "form", "text/html", 303, sign_out, "Signs out." },
	{ "GET", "/register", "page_register", PERM_OPTIONAL, 0, NULL, "text/html", 200, register_page, "The form to register." },
	{ "POST", "/register", "page_register_submit", PERM_PUBLIC, LIMIT_BODY_SMALL, "form", "text/html", 303, register_submit, "Registers and signs in.", ROUTE_NO_CSRF | ROUTE_EXPENSIVE },
	{ "GET", "/me", "page_me", PERM_ACCOUNT, 0, NULL, "text/html", 200, me_page, "Profile, tokens and sessions." },
	{ "POST", "/me", "page_me_change", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 303, me_change, "Changes name or language." },
	{ "POST", "/me/tokens", "page_token_make", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 200, token_make, "Makes a personal token and shows it once." },
	{ "POST", "/me/tokens/revoke", "page_token_revoke", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 303, token_end, "Revokes a token." },
	{ "POST", "/me/sessions/end", "page_session_end", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 303, session_stop, "Signs out another browser." },
	{ "POST", "/me/sessions/end-others", "page_session_end_others", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 303, sessions_stop_others, "Signs out all other browsers." },
	{ "POST", "/me/sessions/end-all", "page_session_end_all", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 303, sessions_stop_all, "Signs out everywhere." },
	{ "POST", "/me/verify", "page_verify_ask", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 303, verify_ask, "Mails the link that confirms the address.", ROUTE_EXPENSIVE },
	ROUTE_TABLE_END
};
