/* Signing in with an OpenID provider: the browser goes there with a state that works once and in that browser alone, and comes back with a code; what the code is worth is
 * asked of the provider and held against its keys. An identity is (issuer, subject). An address joins an existing account only when both sides have proved it.
 */
#include "server/account/account_internal.h"
#include "server/account/oidc_provider.h"
#include "server/account/oidc_token.h"

#include "commonhold/config.h"
#include "commonhold/json.h"
#include "commonhold/notify.h"

SQL(flow_insert,
	"INSERT INTO oidc_flow (state_hash, browser_hash, issuer, nonce, verifier, account_id, next, created_at, expires_at) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, commonhold_now(), $8)");
SQL(flow_take,
	"UPDATE oidc_flow SET used_at = commonhold_now() WHERE state_hash = $1 AND browser_hash = $2 AND used_at IS NULL AND expires_at > commonhold_now() "
	"RETURNING issuer, nonce, verifier, account_id, next");
SQL(flow_look, "SELECT used_at IS NOT NULL, browser_hash = $2 FROM oidc_flow WHERE state_hash = $1");
SQL(identity_find,
	"SELECT " ACCOUNT_COLUMNS_OF("a") " FROM account_identity i JOIN account a ON a.id = i.account_id WHERE i.issuer = $1 AND i.subject = $2 AND a.closed_at IS NULL");
SQL(identity_used, "UPDATE account_identity SET used_at = commonhold_now(), email = $3 WHERE issuer = $1 AND subject = $2");
SQL(identity_insert, "INSERT INTO account_identity (issuer, subject, account_id, email, linked_at) VALUES ($1, $2, $3, $4, commonhold_now())");
SQL(identity_account, "SELECT " ACCOUNT_COLUMNS " FROM account WHERE lower(email) = lower($1) AND closed_at IS NULL FOR UPDATE");
SQL(identity_of_account, "SELECT issuer, subject, email, linked_at, used_at FROM account_identity WHERE account_id = $1 ORDER BY linked_at, issuer");
SQL(identity_delete, "DELETE FROM account_identity WHERE account_id = $1 AND issuer = $2 RETURNING issuer");
SQL(ways_in,
	"SELECT password_hash IS NOT NULL, email_verified_at IS NOT NULL, (SELECT count(*) FROM account_identity i WHERE i.account_id = a.id) FROM account a WHERE id = $1 FOR UPDATE");

static const struct db_constraint constraints[] = {
	{ "one_identity_of_a_provider_per_account", ERR_EXISTS, NULL, "Your account is joined with another identity at this provider. Part from that one first." },
	{ "account_identity_pkey", ERR_EXISTS, NULL, "This identity is joined with another account here." },
	DB_CONSTRAINTS_END
};

/* ---- Going there ---- */

static enum err provider_find(struct call *c, struct str issuer, struct oidc_provider *out)
{
	const struct oidc_provider *all;
	size_t n = oidc_providers(&all);
	for (size_t i = 0; i < n; i++)
		if (!issuer.n || str_eq(all[i].issuer, issuer)) {
			*out = all[i];
			return ERR_OK;
		}
	return fail_reason(c, ERR_NOT_FOUND, "oidc_not_configured", "There is no such provider to sign in with here.");
}

static struct str random_text(struct arena *a)
{
	uint8_t bytes[32];
	random_bytes(bytes, sizeof(bytes));
	return str_base64url(a, bytes, sizeof(bytes));
}

static struct str hash_bytes(struct arena *a, struct str secret)
{
	struct sha256 hash = sha256(secret);
	return str_copy(a, str_make(hash.b, sizeof(hash.b)));
}

static struct str verifier_context(struct arena *a, struct str state_hash)
{
	return str_fmt(a, "pkce|%.*s", STR_ARG(str_hex(a, state_hash.p, state_hash.n)));
}

static struct str redirect_uri(struct arena *a)
{
	struct str base = str_of(config()->base_url);
	while (base.n && base.p[base.n - 1] == '/')
		base.n--;
	return str_fmt(a, "%.*s/sign-in/oidc/callback", STR_ARG(base));
}

static struct str address_there(struct arena *a, const struct oidc_metadata *m, struct str state, struct str nonce, struct str verifier)
{
	return str_fmt(a, "%.*s%cresponse_type=code&scope=openid%%20email%%20profile&client_id=%.*s&redirect_uri=%.*s&state=%.*s&nonce=%.*s&code_challenge=%.*s&code_challenge_method=S256",
		STR_ARG(m->authorization), str_index(m->authorization, '?') < 0 ? '?' : '&', STR_ARG(str_url_encode(a, str_of(config()->oidc_client_id))),
		STR_ARG(str_url_encode(a, redirect_uri(a))), STR_ARG(state), STR_ARG(nonce), STR_ARG(pkce_challenge(a, verifier)));
}

enum err oidc_begin(struct call *c, struct str issuer, bool link, const struct proof *proof, struct str next, const struct sign_in_from *from, struct str *url)
{
	struct oidc_provider provider;
	struct oidc_metadata m;
	struct arena *a = c->arena;
	TRY(provider_find(c, issuer, &provider));
	if (link)
		TRY(proof_check(c, proof));
	TRY(delay_take(c, DELAY_OIDC, STR("any"), from->network));
	db_release(c);
	TRY(oidc_metadata_get(c, provider.issuer, &m));
	struct str state = random_text(a), nonce = random_text(a), verifier = random_text(a), state_hash = hash_bytes(a, state);
	TRY(db_begin(c, DB_WRITE));
	TRY(db_finish(c, flow_insert, NULL, A_BYTES(state_hash), A_BYTES(hash_bytes(a, from->browser)), A_STR(provider.issuer), A_STR(nonce),
		A_BYTES(seal(a, instance_seal_key(instance_keys()), verifier_context(a, state_hash), verifier)), A_UUID_OR_NULL(link ? c->actor.account : (struct uuid){ { 0 } }),
		A_STR(next), A_TIME(clock_now() + SIGN_IN_STEP_LIFE)));
	*url = address_there(a, &m, state, nonce, verifier);
	return ERR_OK;
}

/* ---- Coming back ---- */

/* A sign-in under way, taken up. */
struct flow { struct str issuer, nonce, verifier, next; struct uuid account; };

static enum err flow_refused(struct call *c, struct str state_hash, struct str browser_hash)
{
	struct rows r;
	TRY(db_begin(c, DB_READ));
	TRY(db_finish(c, flow_look, &r, A_BYTES(state_hash), A_BYTES(browser_hash)));
	if (r.n != 1)
		return fail_reason(c, ERR_TOKEN_INVALID, "oidc_state_unknown", "No sign-in of that kind was begun here. Begin again.");
	if (!row_bool(&r, 0, 1))
		return fail_reason(c, ERR_FORBIDDEN, "oidc_other_browser", "This sign-in was begun in another browser. Begin again in this one.");
	if (row_bool(&r, 0, 0))
		return fail_reason(c, ERR_GONE, "oidc_replayed", "This sign-in was finished already. Begin again.");
	return fail_reason(c, ERR_TOKEN_EXPIRED, "oidc_expired", "This sign-in took too long. Begin again.");
}

static enum err flow_take_up(struct call *c, struct str state, struct str browser, struct flow *out)
{
	struct rows r;
	struct str state_hash = hash_bytes(c->arena, state.n < 200 ? state : STR("")), browser_hash = hash_bytes(c->arena, browser.p ? browser : STR(""));
	TRY(db_begin(c, DB_WRITE));
	TRY(db_finish(c, flow_take, &r, A_BYTES(state_hash), A_BYTES(browser_hash)));
	if (r.n != 1)
		return flow_refused(c, state_hash, browser_hash);
	*out = (struct flow){ .issuer = row_str(&r, 0, 0), .nonce = row_str(&r, 0, 1), .account = row_uuid(&r, 0, 3), .next = row_str(&r, 0, 4) };
	if (!unseal(c->arena, instance_seal_key(instance_keys()), verifier_context(c->arena, state_hash), row_bytes(&r, 0, 2), &out->verifier))
		return fail(c, ERR_CORRUPT, "A sign-in under way cannot be opened with the instance's key.");
	return ERR_OK;
}

static enum err answer_check(struct call *c, const struct oidc_answer *answer, const struct flow *f, const struct oidc_metadata *m)
{
	if (answer->issuer.p ? !str_eq(answer->issuer, f->issuer) : m->says_issuer)
		return fail_reason(c, ERR_TOKEN_INVALID, "oidc_issuer", "The answer did not come from the provider that was asked. Begin again.");
	if (str_is(answer->error, "access_denied"))
		return fail_reason(c, ERR_REFUSED, "oidc_cancelled", "You did not let the provider tell us who you are, so nobody was signed in.");
	if (answer->error.p || !answer->code.n || answer->code.n > 2048)
		return fail_reason(c, ERR_REFUSED, "oidc_refused", "The provider did not sign you in. Try again, or sign in another way.");
	return ERR_OK;
}

/* Code and verifier against an identity token. */
static enum err token_fetch(struct call *c, const struct oidc_metadata *m, const struct flow *f, struct str code, struct str *jwt)
{
	struct arena *a = c->arena;
	struct fetched got = { 0 };
	struct error ignored = { 0 };
	const struct json *tree;
	struct str id = str_of(config()->oidc_client_id), secret = str_of(config()->oidc_client_secret);
	bool basic = secret.n && !m->secret_in_body;
	struct str form = str_fmt(a, "grant_type=authorization_code&code=%.*s&redirect_uri=%.*s&code_verifier=%.*s", STR_ARG(str_url_encode(a, code)),
		STR_ARG(str_url_encode(a, redirect_uri(a))), STR_ARG(f->verifier));
	if (!basic)
		form = str_fmt(a, "%.*s&client_id=%.*s", STR_ARG(form), STR_ARG(str_url_encode(a, id)));
	if (!basic && secret.n)
		form = str_fmt(a, "%.*s&client_secret=%.*s", STR_ARG(form), STR_ARG(str_url_encode(a, secret)));
	/* RFC 6749 section 2.3.1: both are form-encoded before they go into the header. */
	TRY(oidc_fetch(c, m->token, form, basic ? str_url_encode(a, id) : STR_NONE, basic ? str_url_encode(a, secret) : STR_NONE, &got));
	if (got.status != 200 || json_parse(a, got.body, &tree, &ignored) != ERR_OK)
		return fail_reason(c, ERR_REFUSED, "oidc_refused", "The provider did not confirm the sign-in. Begin again.");
	*jwt = json_member_text(tree, "id_token");
	return ERR_OK;
}

static enum err token_check(struct call *c, const struct oidc_metadata *m, const struct flow *f, struct str jwt, struct id_token *out)
{
	struct str jwks;
	struct id_token_want want = { .issuer = f->issuer, .client = str_of(config()->oidc_client_id), .nonce = f->nonce, .now = clock_now() };
	TRY(oidc_jwks_get(c, m, false, &jwks));
	enum err e = id_token_check(c->arena, jwks, jwt, &want, out, &c->error);
	if (e == ERR_OK || strcmp(c->error.reason, "oidc_key_unknown") != 0)
		return e;
	error_clear(&c->error);
	TRY(oidc_jwks_get(c, m, true, &jwks));
	return id_token_check(c->arena, jwks, jwt, &want, out, &c->error);
}

/* ---- Who that is here ---- */

static enum err identity_add(struct call *c, const struct flow *f, const struct id_token *token, struct uuid account)
{
	return db_exec(c, identity_insert, A_STR(f->issuer), A_STR(token->subject), A_UUID(account), A_STR(token->email));
}

/* Joins the identity with the account of whoever is signed in; inside. */
static enum err identity_join(struct call *c, const struct flow *f, const struct id_token *token, bool known, const struct account *owner)
{
	if (c->actor.kind != AUTH_SESSION || !uuid_eq(c->actor.account, f->account))
		return fail_reason(c, ERR_FORBIDDEN, "oidc_other_account", "You are no longer signed in with the account that was to be joined. Sign in and begin again.");
	if (known && !uuid_eq(owner->id, f->account))
		return fail_reason(c, ERR_EXISTS, "oidc_identity_taken", "This identity is joined with another account here.");
	if (known)
		return ERR_OK;
	TRY(identity_add(c, f, token, f->account));
	return notice_changed(c, f->account, "Your account was joined with an identity at another provider, which can now sign you in.");
}

static struct str name_for(struct call *c, const struct id_token *token)
{
	struct str name = str_trim(token->name);
	ptrdiff_t at = str_index(token->email, '@');
	bool fit = name.n > 0 && name.n <= LIMIT_TEXT_NAME && str_is_utf8(name);
	for (size_t i = 0; fit && i < name.n; i++)
		fit = (uint8_t)name.p[i] >= 0x20 && name.p[i] != 0x7f;
	return fit ? name : str_copy(c->arena, str_sub(token->email, 0, at > 0 ? (size_t)at : token->email.n));
}

/* The account of somebody who comes with this identity for the first time; inside. */
static enum err account_for(struct call *c, const struct flow *f, const struct id_token *token, struct account *out)
{
	struct rows r;
	if (!token->email.n || !token->email_verified)
		return fail_reason(c, ERR_REFUSED, "oidc_email_unverified",
			"The provider did not say that it has confirmed your e-mail address. Sign in or register here first, then join the two under My account.");
	TRY(account_check_email(c, token->email));
	TRY(db_query(c, identity_account, &r, A_STR(token->email)));
	if (r.n == 1) {
		*out = account_of_row(&r, 0);
		if (out->verified_at == INSTANT_NONE)
			return fail_reason(c, ERR_REFUSED, "oidc_account_exists",
				"There is an account with this address whose owner has not confirmed it. Sign in with it first, for instance by a mailed link, then join the two under My account.");
		TRY(notice_changed(c, out->id, "Your account was joined with an identity at another provider, which signed you in."));
	} else {
		TRY(account_add_proved(c, token->email, name_for(c, token), out));
	}
	return identity_add(c, f, token, out->id);
}

static enum err identity_settle(struct call *c, const struct flow *f, const struct id_token *token, const struct sign_in_from *from, struct sign_in *out, bool *linked)
{
	struct rows r;
	struct account who = { .id = { { 0 } } };
	db_constraints(constraints);
	TRY(db_begin(c, DB_WRITE));
	TRY(db_query(c, identity_find, &r, A_STR(f->issuer), A_STR(token->subject)));
	bool known = r.n == 1;
	if (known) {
		who = account_of_row(&r, 0);
		TRY(db_queue(c, identity_used, A_STR(f->issuer), A_STR(token->subject), A_STR(token->email)));
	}
	*linked = !uuid_is_nil(f->account);
	if (*linked) {
		TRY(identity_join(c, f, token, known, &who));
	} else {
		if (!known)
			TRY(account_for(c, f, token, &who));
		TRY(sign_in_enter(c, &who, HOW_OIDC, false, from, out));
	}
	return db_commit(c);
}

enum err oidc_finish(struct call *c, const struct oidc_answer *answer, const struct sign_in_from *from, struct sign_in *out, struct str *next, bool *linked)
{
	struct flow f;
	struct oidc_provider provider;
	struct oidc_metadata m;
	struct id_token token;
	struct str jwt;
	TRY(flow_take_up(c, answer->state.p ? answer->state : STR(""), from->browser, &f));
	*next = f.next;
	*linked = !uuid_is_nil(f.account);
	TRY(provider_find(c, f.issuer, &provider));
	db_release(c);
	TRY(oidc_metadata_get(c, f.issuer, &m));
	TRY(answer_check(c, answer, &f, &m));
	TRY(token_fetch(c, &m, &f, answer->code, &jwt));
	TRY(token_check(c, &m, &f, jwt, &token));
	return identity_settle(c, &f, &token, from, out, linked);
}

/* ---- What is joined ---- */

enum err identity_list(struct call *c, struct identity **out, size_t *n)
{
	struct rows r;
	TRY(account_require(c));
	TRY(db_begin(c, DB_READ));
	TRY(db_finish(c, identity_of_account, &r, A_UUID(c->actor.account)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct identity);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = (struct identity){ .issuer = row_str(&r, i, 0), .subject = row_str(&r, i, 1), .email = row_str(&r, i, 2), .linked_at = row_time(&r, i, 3),
			.used_at = row_time(&r, i, 4) };
	return ERR_OK;
}

enum err identity_end(struct call *c, const struct proof *proof, struct str issuer)
{
	struct rows r;
	TRY(proof_check(c, proof));
	TRY(db_begin(c, DB_WRITE));
	TRY(db_one(c, ways_in, &r, A_UUID(c->actor.account)));
	bool other_way = row_bool(&r, 0, 0) || (row_bool(&r, 0, 1) && notify_mail_on()) || row_int(&r, 0, 2) > 1;
	TRY(db_query(c, identity_delete, &r, A_UUID(c->actor.account), A_STR(issuer)));
	if (r.n != 1)
		return fail(c, ERR_NOT_FOUND, "Your account is not joined with that provider.");
	if (!other_way)
		return fail_reason(c, ERR_REFUSED, "last_way_in", "This is your only way to sign in. Set a password first.");
	TRY(notice_changed(c, c->actor.account, "Your account was parted from an identity at another provider."));
	return db_commit(c);
}
