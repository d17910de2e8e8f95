#include "server/coop/coop_internal.h"

#include "commonhold/account.h"
#include "commonhold/config.h"
#include "commonhold/http.h"

SQL(identify,
	"SELECT caller, account_id, email, name, locale, expires_at, revoked, touched_at, coop_id, key_name, slug, member_id, member_state, member_is_admin, title "
	"FROM commonhold_identify($1, $2, $3)");

/* A co-op's name in an address is a slug or a key name; anything longer is not worth a look. */
#define NAME_MAX_BYTES 64

static struct str hash_of(struct arena *a, const struct http_identity *who)
{
	if (who->kind != AUTH_SESSION && who->kind != AUTH_TOKEN)
		return STR_NONE;
	struct sha256 hash = secret_token_hash(who->secret);
	return str_copy(a, str_make(hash.b, 32));
}

static enum err become_caller(struct call *c, const struct http_identity *who, const struct rows *r)
{
	bool known = !row_null(r, 0, 1), expired = !row_null(r, 0, 5) && row_time(r, 0, 5) <= clock_now();
	if (who->kind == AUTH_TOKEN) {
		if (!known || row_bool(r, 0, 6))
			return fail(c, ERR_TOKEN_INVALID, "The token is unknown or was revoked.");
		if (expired)
			return fail(c, ERR_TOKEN_EXPIRED, "The token has expired.");
	}
	if (!known || expired)
		return ERR_OK; /* a browser whose session has ended is nobody */
	c->actor = (struct actor){ .kind = who->kind, .account = row_uuid(r, 0, 1), .session = row_uuid(r, 0, 0), .email = row_str(r, 0, 2), .name = row_str(r, 0, 3) };
	if (row_str(r, 0, 4).n)
		c->locale = row_str(r, 0, 4);
	return ERR_OK;
}

/* The holder of an access token is nobody in particular; whether it opens this release is for access to say. */
static enum err become_bearer(struct call *c, const struct http_identity *who)
{
	struct token_claims claims;
	if (who->kind != AUTH_GRANT)
		return ERR_OK;
	if (!instance_keys())
		return fail(c, ERR_TOKEN_INVALID, "%s", err_text(ERR_TOKEN_INVALID));
	TRY(access_token_check(c->arena, instance_keys(), who->secret, str_of(config()->base_url), clock_now(), &claims, &c->error));
	c->actor.kind = AUTH_GRANT;
	return ERR_OK;
}

static void see_coop(struct call *c, const struct rows *r, struct coop_ref *coop)
{
	coop->id = c->coop = row_uuid(r, 0, 8);
	coop->name = row_str(r, 0, 9);
	coop->slug = row_str(r, 0, 10);
	coop->title = row_str(r, 0, 14);
	if (row_null(r, 0, 11) || uuid_is_nil(c->actor.account))
		return;
	struct str word = row_str(r, 0, 12);
	int state = policy_standing_find(word.p ? word.p : "", word.n);
	coop->is_member = state >= 0 && state != POLICY_STANDING_LEFT && state != POLICY_STANDING_REMOVED;
	coop->is_active = state >= 0 && in_good_standing((enum policy_standing)state);
	coop->is_admin = coop->is_active && row_bool(r, 0, 13);
	if (coop->is_member)
		coop->member = row_uuid(r, 0, 11);
}

/* Only who may be a member has anything asked ahead for them. */
static enum err ask(struct call *c, const struct http_identity *who, struct str hash, struct rows *r)
{
	TRY(db_begin(c, DB_READ));
	if (!who->ahead || !hash.p || !who->coop.p)
		return db_finish(c, identify, r, A_BYTES(hash), A_BOOL(who->kind == AUTH_TOKEN), A_STR(who->coop));
	TRY(db_ask(c, identify, r, A_BYTES(hash), A_BOOL(who->kind == AUTH_TOKEN), A_STR(who->coop)));
	TRY(who->ahead(who->rq));
	return db_commit(c);
}

enum err coop_identify(struct call *c, const struct http_identity *who, struct coop_ref *coop)
{
	struct rows r;
	struct str hash = hash_of(c->arena, who);
	c->actor = (struct actor){ .kind = AUTH_NONE };
	c->coop = (struct uuid){ 0 };
	TRY(become_bearer(c, who));
	bool nameable = who->coop.p && who->coop.n <= NAME_MAX_BYTES && str_is_utf8(who->coop);
	if (who->coop.p && !nameable)
		return fail(c, ERR_NOT_FOUND, "There is no such co-op.");
	if (!hash.p && !who->coop.p)
		return ERR_OK;
	TRY(ask(c, who, hash, &r));
	if (r.n != 1)
		return fail(c, ERR_INTERNAL, "commonhold_identify gave %d rows", r.n);
	TRY(become_caller(c, who, &r));
	if (who->coop.p && row_null(&r, 0, 8))
		return fail(c, ERR_NOT_FOUND, "There is no such co-op.");
	if (who->coop.p)
		see_coop(c, &r, coop);
	return uuid_is_nil(c->actor.account) ? ERR_OK : session_touched(c, row_time(&r, 0, 7));
}
