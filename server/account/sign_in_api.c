/* JSON endpoints of signing in: mailed links, second factor, password, identities. Other providers are for browsers alone: see sign_in_pages.c. */
#include "server/account/account_web.h"

#include "commonhold/crypto.h"
#include "commonhold/db.h"

#define BROWSER_COOKIE "commonhold-browser" /* names the browser to its own links and sign-ins under way */

struct sign_in_from request_from(const struct request *rq)
{
	return (struct sign_in_from){ .agent = request_header(rq, "User-Agent"), .network = request_network(rq), .browser = request_cookie(rq, BROWSER_COOKIE) };
}

struct sign_in_from request_from_bound(struct request *rq, struct response *rs)
{
	struct sign_in_from from = request_from(rq);
	struct sha256 ignored;
	if (!from.browser.p)
		from.browser = secret_token_new(rq->call->arena, "browser", &ignored);
	response_cookie(rq, rs, BROWSER_COOKIE, from.browser, LINK_VERIFY_LIFE / CLOCK_SECOND);
	return from;
}

void mail_first_link(struct request *rq, struct response *rs, struct str email)
{
	struct sign_in_from from = request_from_bound(rq, rs);
	if (link_ask(rq->call, LINK_VERIFY, email, &from) == ERR_OK)
		return;
	db_rollback(rq->call);
	error_clear(&rq->call->error);
}

static struct proof proof_of(struct request *rq)
{
	return (struct proof){ .password = json_member_text(rq->json, "current_password"), .code = json_member_text(rq->json, "code"), .network = request_network(rq) };
}

/* ---- Mailed links ---- */

static enum err ask_link(struct request *rq, struct response *rs)
{
	struct str word = json_member_text(rq->json, "purpose");
	enum link_purpose purpose = str_is(word, "reset") ? LINK_RESET : str_is(word, "verify") ? LINK_VERIFY : LINK_SIGN_IN;
	struct sign_in_from from = request_from_bound(rq, rs);
	rs->status = 202;
	return link_ask(rq->call, purpose, json_member_text(rq->json, "email"), &from);
}

static enum err use_link(struct request *rq, struct response *rs)
{
	struct sign_in in;
	struct sign_in_from from = request_from(rq);
	TRY(link_use(rq->call, json_member_text(rq->json, "secret"), json_member_text(rq->json, "email"), json_member_text(rq->json, "password"),
		json_member_text(rq->json, "code"), &from, &in));
	response_signed_in(rq, rs, &in);
	return ERR_OK;
}

/* ---- Password ---- */

static enum err change_password(struct request *rq, struct response *rs)
{
	struct proof proof = proof_of(rq);
	rs->status = 204;
	return password_change(rq->call, &proof, json_member_text(rq->json, "password"));
}

/* ---- Second factor ---- */

static enum err read_factor(struct request *rq, struct response *rs)
{
	struct factor_state state;
	TRY(factor_read(rq->call, &state));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kbool(&w, "on", state.on);
	jw_kstr(&w, "since", clock_format_or_none(rq->call->arena, state.since));
	jw_kint(&w, "recovery_codes_left", state.recovery_left);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err begin_factor(struct request *rq, struct response *rs)
{
	struct str secret, uri;
	struct proof proof = proof_of(rq);
	TRY(factor_begin(rq->call, &proof, &secret, &uri));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kstr(&w, "secret", secret);
	jw_kstr(&w, "uri", uri);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err codes_write(struct response *rs, const struct str codes[RECOVERY_CODES])
{
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_key(&w, "recovery_codes");
	jw_array(&w);
	for (int i = 0; i < RECOVERY_CODES; i++)
		jw_str(&w, codes[i]);
	jw_end_array(&w);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err confirm_factor(struct request *rq, struct response *rs)
{
	struct str codes[RECOVERY_CODES];
	TRY(factor_confirm(rq->call, json_member_text(rq->json, "code"), codes));
	return codes_write(rs, codes);
}

static enum err renew_codes(struct request *rq, struct response *rs)
{
	struct str codes[RECOVERY_CODES];
	struct proof proof = proof_of(rq);
	TRY(recovery_renew(rq->call, &proof, codes));
	return codes_write(rs, codes);
}

static enum err end_factor(struct request *rq, struct response *rs)
{
	struct proof proof = proof_of(rq);
	rs->status = 204;
	return factor_end(rq->call, &proof);
}

/* ---- Identities ---- */

static enum err list_identities(struct request *rq, struct response *rs)
{
	struct arena *a = rq->call->arena;
	struct identity *rows;
	size_t n;
	TRY(identity_list(rq->call, &rows, &n));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++) {
		jw_object(&w);
		jw_kstr(&w, "issuer", rows[i].issuer);
		jw_kstr(&w, "subject", rows[i].subject);
		jw_kstr(&w, "email", rows[i].email);
		jw_kstr(&w, "linked_at", clock_format(a, rows[i].linked_at));
		jw_kstr(&w, "used_at", clock_format_or_none(a, rows[i].used_at));
		jw_end_object(&w);
	}
	response_list_end(&w);
	return ERR_OK;
}

static enum err end_identity(struct request *rq, struct response *rs)
{
	struct proof proof = proof_of(rq);
	rs->status = 204;
	return identity_end(rq->call, &proof, json_member_text(rq->json, "issuer"));
}

const struct route sign_in_routes[] = {
	{ "POST", "/api/v1/sign-in-links", "sign_in_link_ask", PERM_PUBLIC, LIMIT_BODY_SMALL, "sign_in_link_new", NULL, 202, ask_link,
	  "Mails a link to sign in, to set a new password, or to confirm an address; the answer is the same for an unknown address.", ROUTE_NO_CSRF | ROUTE_EXPENSIVE },
	{ "POST", "/api/v1/sign-in-links/use", "sign_in_link_use", PERM_PUBLIC, LIMIT_BODY_SMALL, "sign_in_link_use", "session", 201, use_link,
	  "Uses a mailed link up; the session's secret comes as a cookie.", ROUTE_NO_CSRF | ROUTE_EXPENSIVE },
	{ "PUT", "/api/v1/me/password", "password_change", PERM_ACCOUNT, LIMIT_BODY_SMALL, "password_change", NULL, 204, change_password,
	  "Sets one's password and ends one's other sessions.", ROUTE_EXPENSIVE },
	{ "GET", "/api/v1/me/factor", "factor_read", PERM_ACCOUNT, 0, NULL, "factor", 200, read_factor, "Whether one has a second factor." },
	{ "POST", "/api/v1/me/factor", "factor_begin", PERM_ACCOUNT, LIMIT_BODY_SMALL, "proof", "factor_setup", 201, begin_factor,
	  "Begins to set up a second factor; it is asked for once a code has confirmed it.", ROUTE_EXPENSIVE },
	{ "POST", "/api/v1/me/factor/confirm", "factor_confirm", PERM_ACCOUNT, LIMIT_BODY_SMALL, "factor_code", "recovery_codes", 200, confirm_factor,
	  "Switches the second factor on and hands out the recovery codes, this once." },
	{ "POST", "/api/v1/me/factor/end", "factor_end", PERM_ACCOUNT, LIMIT_BODY_SMALL, "proof", NULL, 204, end_factor, "Switches the second factor off.", ROUTE_EXPENSIVE },
	{ "POST", "/api/v1/me/factor/recovery-codes", "recovery_renew", PERM_ACCOUNT, LIMIT_BODY_SMALL, "proof", "recovery_codes", 200, renew_codes,
	  "Makes new recovery codes; the old ones work no longer.", ROUTE_EXPENSIVE },
	{ "GET", "/api/v1/me/identities", "identity_list", PERM_ACCOUNT, 0, NULL, "identity_list", 200, list_identities, "Lists one's identities at OpenID providers." },
	{ "POST", "/api/v1/me/identities/end", "identity_end", PERM_ACCOUNT, LIMIT_BODY_SMALL, "identity_end", NULL, 204, end_identity,
	  "Parts one's account from an identity.", ROUTE_EXPENSIVE },
	ROUTE_TABLE_END
};
