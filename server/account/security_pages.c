/* How I sign in, as pages: password, second factor, other providers. Whatever changes one of them asks for proof in the same form. */
#include "server/account/account_web.h"
#include "server/account/qr.h"

#include "commonhold/notify.h"
#include "commonhold/words.h"

static struct proof proof_of_form(struct request *rq)
{
	return (struct proof){ .password = request_form(rq, "current_password"), .code = request_form(rq, "code"), .network = request_network(rq) };
}

static enum err proof_write(struct request *rq, struct json_writer *w)
{
	enum proof_kind kind;
	TRY(proof_wanted(rq->call, &kind));
	jw_kbool(w, "proof_code", kind == PROOF_CODE);
	jw_kbool(w, "proof_password", kind == PROOF_PASSWORD);
	return ERR_OK;
}

static enum err factor_write(struct request *rq, struct json_writer *w)
{
	struct factor_state state;
	TRY(factor_read(rq->call, &state));
	jw_kbool(w, "factor_on", state.on);
	jw_kstr(w, "factor_since", state.on ? words_day(rq->call->arena, state.since) : STR_NONE);
	jw_kint(w, "recovery_left", state.recovery_left);
	jw_kbool(w, "recovery_few", state.on && state.recovery_left < 3);
	return ERR_OK;
}

static struct str provider_name(struct str issuer)
{
	const struct oidc_provider *all;
	size_t n = oidc_providers(&all);
	for (size_t i = 0; i < n; i++)
		if (str_eq(all[i].issuer, issuer))
			return all[i].name;
	return issuer;
}

static bool is_joined(const struct identity *rows, size_t n, struct str issuer)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(rows[i].issuer, issuer))
			return true;
	return false;
}

static enum err identities_write(struct request *rq, struct json_writer *w)
{
	struct arena *a = rq->call->arena;
	struct identity *rows;
	const struct oidc_provider *all;
	size_t n, providers = oidc_providers(&all);
	TRY(identity_list(rq->call, &rows, &n));
	jw_key(w, "identities");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		jw_object(w);
		jw_kint(w, "no", (int64_t)i);
		jw_kstr(w, "issuer", rows[i].issuer);
		jw_kstr(w, "provider", provider_name(rows[i].issuer));
		jw_kstr(w, "who", rows[i].email.n ? rows[i].email : rows[i].subject);
		jw_kstr(w, "since", words_day(a, rows[i].linked_at));
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_key(w, "joinable");
	jw_array(w);
	for (size_t i = 0; i < providers; i++) {
		if (is_joined(rows, n, all[i].issuer))
			continue;
		jw_object(w);
		jw_kint(w, "no", (int64_t)i);
		jw_kstr(w, "issuer", all[i].issuer);
		jw_kstr(w, "provider", all[i].name);
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_kbool(w, "any_providers", providers > 0 || n > 0);
	return ERR_OK;
}

static enum err security_data(struct request *rq, struct response *rs, enum err refused, struct json_writer *w)
{
	struct account account;
	TRY(page_form_said(rq, rs, refused, w));
	TRY(account_read(rq->call, rq->call->actor.account, &account));
	jw_kstr(w, "email", account.email);
	jw_kbool(w, "unverified", account.verified_at == INSTANT_NONE);
	jw_kbool(w, "mail_on", notify_mail_on());
	TRY(proof_write(rq, w));
	TRY(factor_write(rq, w));
	return identities_write(rq, w);
}

static enum err security_form(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "How I sign in");
	enum err e = security_data(rq, rs, refused, &w);
	return page_end(rq, rs, "page/security", &b, &w, e);
}

static enum err security_page(struct request *rq, struct response *rs)
{
	return security_form(rq, rs, ERR_OK);
}

static enum err saved(struct request *rq, struct response *rs, enum err e, struct str flash)
{
	if (e != ERR_OK)
		return security_form(rq, rs, e);
	return response_done(rq, rs, flash, STR("/me/sign-in"));
}

static enum err password_submit(struct request *rq, struct response *rs)
{
	struct proof proof = proof_of_form(rq);
	return saved(rq, rs, password_change(rq->call, &proof, request_form(rq, "password")), STR("Your password is changed, and your other browsers are signed out."));
}

/* ---- Second factor ---- */

static enum err factor_submit(struct request *rq, struct response *rs)
{
	struct str secret, uri;
	struct proof proof = proof_of_form(rq);
	enum err e = factor_begin(rq->call, &proof, &secret, &uri);
	if (e != ERR_OK)
		return security_form(rq, rs, e);
	response_redirect(rs, STR("/me/sign-in/factor"));
	return ERR_OK;
}

/* "ABCD EFGH …": easier to type. */
static struct str in_fours(struct arena *a, struct str secret)
{
	struct buf b;
	buf_init(&b, KIB);
	for (size_t i = 0; i < secret.n; i++) {
		if (i && i % 4 == 0)
			buf_add_byte(&b, ' ');
		buf_add_byte(&b, secret.p[i]);
	}
	return buf_take(a, &b);
}

static enum err setup_data(struct request *rq, struct response *rs, enum err refused, struct json_writer *w)
{
	struct str secret, uri;
	struct arena *a = rq->call->arena;
	TRY(page_form_said(rq, rs, refused, w));
	TRY(factor_pending(rq->call, &secret, &uri));
	jw_kstr(w, "secret", in_fours(a, secret));
	jw_kstr(w, "uri", uri);
	jw_kstr(w, "qr", qr_svg(a, uri, "The secret as a QR code for your app; it stands below as text too"));
	return ERR_OK;
}

static enum err setup_form(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "Set up a second factor");
	enum err e = setup_data(rq, rs, refused, &w);
	return page_end(rq, rs, "page/factor", &b, &w, e);
}

static enum err setup_page(struct request *rq, struct response *rs)
{
	return setup_form(rq, rs, ERR_OK);
}

static enum err codes_show(struct request *rq, struct response *rs, const struct str codes[RECOVERY_CODES])
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "Recovery codes");
	jw_key(&w, "codes");
	jw_array(&w);
	for (int i = 0; i < RECOVERY_CODES; i++)
		jw_str(&w, codes[i]);
	jw_end_array(&w);
	rs->status = 200;
	return page_end(rq, rs, "page/recovery_codes", &b, &w, ERR_OK);
}

static enum err setup_confirm(struct request *rq, struct response *rs)
{
	struct str codes[RECOVERY_CODES];
	enum err e = factor_confirm(rq->call, request_form(rq, "code"), codes);
	if (e == ERR_STATE)
		return security_form(rq, rs, e);
	return e == ERR_OK ? codes_show(rq, rs, codes) : setup_form(rq, rs, e);
}

static enum err codes_submit(struct request *rq, struct response *rs)
{
	struct str codes[RECOVERY_CODES];
	struct proof proof = proof_of_form(rq);
	enum err e = recovery_renew(rq->call, &proof, codes);
	return e == ERR_OK ? codes_show(rq, rs, codes) : security_form(rq, rs, e);
}

static enum err factor_stop(struct request *rq, struct response *rs)
{
	struct proof proof = proof_of_form(rq);
	return saved(rq, rs, factor_end(rq->call, &proof), STR("Your second factor is off."));
}

/* ---- Other providers ---- */

/* Answers with a page that has a link: a form may lead to no other site (Content-Security-Policy), a link may. */
static enum err join_submit(struct request *rq, struct response *rs)
{
	struct str url, issuer = request_form(rq, "issuer");
	struct proof proof = proof_of_form(rq);
	struct sign_in_from from = request_from_bound(rq, rs);
	enum err e = oidc_begin(rq->call, issuer, true, &proof, STR("/me/sign-in"), &from, &url);
	if (e != ERR_OK)
		return security_form(rq, rs, e);
	struct buf b;
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "One more step");
	jw_kstr(&w, "provider", provider_name(issuer));
	jw_kstr(&w, "url", url);
	return page_end(rq, rs, "page/provider_join", &b, &w, ERR_OK);
}

static enum err part_submit(struct request *rq, struct response *rs)
{
	struct proof proof = proof_of_form(rq);
	return saved(rq, rs, identity_end(rq->call, &proof, request_form(rq, "issuer")), STR("The two are parted. That identity no longer signs you in."));
}

#define CHANGES PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html"
const struct route security_page_routes[] = {
	{ "GET", "/me/sign-in", "page_security", PERM_ACCOUNT, 0, NULL, "text/html", 200, security_page, "How one signs in." },
	{ "POST", "/me/sign-in/password", "page_password_change", CHANGES, 303, password_submit, "Sets the password.", ROUTE_EXPENSIVE },
	{ "POST", "/me/sign-in/factor", "page_factor_begin", CHANGES, 303, factor_submit, "Begins to set up a second factor.", ROUTE_EXPENSIVE },
	{ "GET", "/me/sign-in/factor", "page_factor", PERM_ACCOUNT, 0, NULL, "text/html", 200, setup_page, "The secret of a second factor that is being set up." },
	{ "POST", "/me/sign-in/factor/confirm", "page_factor_confirm", CHANGES, 200, setup_confirm, "Switches the second factor on." },
	{ "POST", "/me/sign-in/factor/codes", "page_recovery_renew", CHANGES, 200, codes_submit, "Makes new recovery codes.", ROUTE_EXPENSIVE },
	{ "POST", "/me/sign-in/factor/end", "page_factor_end", CHANGES, 303, factor_stop, "Switches the second factor off.", ROUTE_EXPENSIVE },
	{ "POST", "/me/sign-in/provider", "page_provider_join", CHANGES, 200, join_submit, "Begins to join the account with an identity elsewhere.", ROUTE_EXPENSIVE },
	{ "POST", "/me/sign-in/provider/end", "page_provider_part", CHANGES, 303, part_submit, "Parts the account from an identity elsewhere.", ROUTE_EXPENSIVE },
	ROUTE_TABLE_END
};
