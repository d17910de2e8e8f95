/* Mailed links. Looking at one uses nothing up, since mail scanners follow links; using it is one UPDATE that only one of many can win. */
#include "server/account/account_internal.h"

#include "commonhold/job.h"
#include "commonhold/notify.h"

SQL(link_account, "SELECT " ACCOUNT_COLUMNS " FROM account WHERE lower(email) = lower($1) AND closed_at IS NULL");
SQL(link_replace, "UPDATE sign_in_link SET used_at = commonhold_now() WHERE account_id = $1 AND purpose = $2 AND used_at IS NULL");
SQL(link_insert,
	"INSERT INTO sign_in_link (id, account_id, purpose, email, secret_hash, browser_hash, agent, created_at, expires_at) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, commonhold_now(), $8)");
#define LINK_COLUMNS "l.id, l.purpose, l.email, l.browser_hash, l.agent, l.expires_at, l.used_at"
enum { LINK_COLUMN_COUNT = 7 };
SQL(link_by_secret, "SELECT " LINK_COLUMNS ", " ACCOUNT_COLUMNS_OF("a") " FROM sign_in_link l JOIN account a ON a.id = l.account_id WHERE l.secret_hash = $1 AND a.closed_at IS NULL");
SQL(link_take, "UPDATE sign_in_link SET used_at = commonhold_now() WHERE id = $1 AND used_at IS NULL AND expires_at > commonhold_now() RETURNING id");
SQL(account_lock, "SELECT " ACCOUNT_COLUMNS " FROM account WHERE id = $1 AND closed_at IS NULL FOR UPDATE");
SQL(account_prove, "UPDATE account SET email_verified_at = commonhold_now() WHERE id = $1 AND email_verified_at IS NULL");
SQL(account_password_set, "UPDATE account SET password_hash = $2 WHERE id = $1");
SQL(account_identities_end, "DELETE FROM account_identity WHERE account_id = $1");
SQL(account_tokens_end, "UPDATE token SET revoked_at = coalesce(revoked_at, commonhold_now()) WHERE account_id = $1");

static const struct { const char *name; int64_t life; } purposes[] = {
	[LINK_SIGN_IN] = { "sign_in", LINK_LIFE },
	[LINK_RESET] = { "reset", LINK_LIFE },
	[LINK_VERIFY] = { "verify", LINK_VERIFY_LIFE },
};

const char *link_purpose_name(enum link_purpose p)
{
	return purposes[p].name;
}

static enum link_purpose purpose_find(struct str name)
{
	for (int p = LINK_SIGN_IN; p < LINK_VERIFY; p++)
		if (str_is(name, purposes[p].name))
			return (enum link_purpose)p;
	return LINK_VERIFY;
}

/* The hash of a browser's cookie; absent without one. */
static struct str browser_of(struct call *c, const struct sign_in_from *from)
{
	if (!from->browser.n)
		return STR_NONE;
	struct sha256 hash = secret_token_hash(from->browser);
	return str_copy(c->arena, str_make(hash.b, 32));
}

/* ---- Asking ---- */

/* A new link for an account, with its mail; inside. Earlier ones of the purpose work no longer. */
static enum err link_send(struct call *c, enum link_purpose purpose, const struct account *who, const struct sign_in_from *from)
{
	struct sha256 stored;
	struct str secret = secret_token_new(c->arena, "link", &stored), agent = from->agent.p && str_is_utf8(from->agent) ? str_sub(from->agent, 0, 400) : STR("");
	instant expires = clock_now() + purposes[purpose].life;
	while (!str_is_utf8(agent))
		agent.n--;
	TRY(db_queue(c, link_replace, A_UUID(who->id), A_Z(purposes[purpose].name)));
	TRY(db_queue(c, link_insert, A_UUID(uuid_new()), A_UUID(who->id), A_Z(purposes[purpose].name), A_STR(who->email), A_BYTES(str_copy(c->arena, str_make(stored.b, 32))),
		A_BYTES(browser_of(c, from)), A_STR(agent), A_TIME(expires)));
	return notice_link(c, who, purpose, secret, expires);
}

enum err link_ask(struct call *c, enum link_purpose purpose, struct str email, const struct sign_in_from *from)
{
	struct rows r;
	email = str_trim(email);
	TRY(account_check_email(c, email));
	if (!notify_mail_on())
		return fail_reason(c, ERR_UNAVAILABLE, "no_mail", "This instance sends no mail. Sign in another way, or ask whoever runs it.");
	TRY(delay_take(c, DELAY_LINK_FROM, STR("any"), from->network));
	TRY(delay_take(c, DELAY_LINK_TO, str_lower(c->arena, email), STR_NONE));
	TRY(db_begin(c, DB_WRITE));
	TRY(db_query(c, link_account, &r, A_STR(email)));
	struct account who = r.n == 1 ? account_of_row(&r, 0) : (struct account){ .verified_at = INSTANT_NONE };
	bool sends = r.n == 1 && (purpose != LINK_VERIFY || who.verified_at == INSTANT_NONE);
	enum err sent = sends ? link_send(c, purpose, &who, from) : ERR_OK;
	if (sent == ERR_INVALID) { /* an address that no mail can go to: said to nobody, since it would tell that there is an account */
		db_rollback(c);
		error_clear(&c->error);
		return ERR_OK;
	}
	TRY(sent);
	TRY(db_commit(c));
	job_wake();
	return ERR_OK;
}

/* ---- Looking ---- */

/* A link as it stands, and its account. */
struct found { struct uuid id; struct link link; bool used; struct account who; };

/* Own transaction. */
static enum err link_find(struct call *c, struct str secret, const struct sign_in_from *from, struct found *out)
{
	struct rows r;
	struct sha256 hash = secret_token_hash(secret.n && secret.n < 200 ? secret : STR(""));
	TRY(db_begin(c, DB_READ));
	TRY(db_finish(c, link_by_secret, &r, A_BYTES(str_make(hash.b, 32))));
	if (r.n != 1)
		return fail_reason(c, ERR_TOKEN_INVALID, "link_unknown", "This is no link of ours. Open it as it stands in the mail, whole, or ask for a new one.");
	struct str asked = row_bytes(&r, 0, 3), here = browser_of(c, from);
	*out = (struct found){
		.id = row_uuid(&r, 0, 0), .used = !row_null(&r, 0, 6),
		.link = { .purpose = purpose_find(row_str(&r, 0, 1)), .email = row_str(&r, 0, 2), .agent = row_str(&r, 0, 4), .same_browser = asked.n && here.n && secret_eq(asked, here),
			.expires_at = row_time(&r, 0, 5) },
		.who = { .id = row_uuid(&r, 0, LINK_COLUMN_COUNT), .email = row_str(&r, 0, LINK_COLUMN_COUNT + 1), .name = row_str(&r, 0, LINK_COLUMN_COUNT + 2),
			.locale = row_str(&r, 0, LINK_COLUMN_COUNT + 3), .created_at = row_time(&r, 0, LINK_COLUMN_COUNT + 4),
			.verified_at = row_time(&r, 0, LINK_COLUMN_COUNT + 5) },
	};
	return ERR_OK;
}

static enum err link_spent(struct call *c)
{
	return fail_reason(c, ERR_GONE, "link_used", "This link was used already, or a newer one has taken its place. Ask for a new one.");
}

static enum err link_alive(struct call *c, const struct found *f)
{
	if (f->used)
		return link_spent(c);
	if (f->link.expires_at <= clock_now())
		return fail_reason(c, ERR_TOKEN_EXPIRED, "link_expired", "This link is too old. Ask for a new one: it works for %d minutes.",
			(int)(purposes[f->link.purpose].life / CLOCK_MINUTE));
	return ERR_OK;
}

enum err link_look(struct call *c, struct str secret, const struct sign_in_from *from, struct link *out)
{
	struct found f;
	TRY(link_find(c, secret, from, &f));
	*out = f.link;
	return link_alive(c, &f);
}

/* ---- Using ---- */

/* In another browser than the one that asked, the person says where the mail went: whoever only came by the link does not know. */
static enum err link_claim(struct call *c, const struct found *f, struct str secret, struct str email)
{
	if (f->link.same_browser)
		return ERR_OK;
	if (!email.n)
		return fail_reason(c, ERR_FORBIDDEN, "link_other_browser",
			"This link was asked for in another browser. If it was you who asked, type the address that the mail went to.");
	TRY(delay_take(c, DELAY_LINK_OPEN, secret, STR_NONE));
	if (email_eq(c->arena, email, f->link.email))
		return ERR_OK;
	error_fault(&c->error, c->arena, STR("/email"), "The mail with this link went to another address.");
	return fail_reason(c, ERR_REFUSED, "link_wrong_address", "The mail with this link went to another address.");
}

/* Until an address is proved, whoever registered it may not be whoever reads its mail. The first to prove it by signing in is the owner, and what was set up before ends. */
static enum err account_take_over(struct call *c, const struct found *f)
{
	int64_t ended;
	TRY(db_queue(c, account_identities_end, A_UUID(f->who.id)));
	TRY(db_queue(c, account_tokens_end, A_UUID(f->who.id)));
	if (f->link.purpose == LINK_RESET)
		return ERR_OK; /* the rest is what a new password brings about anyway */
	TRY(db_queue(c, account_password_set, A_UUID(f->who.id), A_STR(STR_NONE)));
	TRY(session_end_others(c, f->who.id, (struct uuid){ { 0 } }, &ended));
	return notice_changed(c, f->who.id, "Your address was confirmed for the first time, by signing in. The password that was set before works no longer; set a new one.");
}

/* Marks link and address; inside. */
static enum err link_spend(struct call *c, struct found *f)
{
	struct rows r;
	TRY(db_query(c, link_take, &r, A_UUID(f->id)));
	if (r.n != 1)
		return link_spent(c);
	TRY(db_one(c, account_lock, &r, A_UUID(f->who.id)));
	f->who = account_of_row(&r, 0);
	if (!email_eq(c->arena, f->who.email, f->link.email))
		return fail_reason(c, ERR_TOKEN_INVALID, "link_unknown", "The account has another address now. Ask for a new link.");
	if (f->who.verified_at != INSTANT_NONE)
		return ERR_OK;
	bool own = c->actor.kind == AUTH_SESSION && uuid_eq(c->actor.account, f->who.id);
	if (f->link.purpose != LINK_VERIFY && !own)
		TRY(account_take_over(c, f));
	f->who.verified_at = clock_now();
	return db_exec(c, account_prove, A_UUID(f->who.id));
}

static enum err link_set_password(struct call *c, const struct found *f, struct str hash)
{
	int64_t ended;
	TRY(db_queue(c, account_password_set, A_UUID(f->who.id), A_STR(hash)));
	TRY(session_end_others(c, f->who.id, (struct uuid){ { 0 } }, &ended));
	return notice_changed(c, f->who.id, "A new password was set by a mailed link, and all browsers were signed out.");
}

/* Shows the second factor before the link is used up, where the caller sends both at once. */
static enum err link_factor(struct call *c, const struct found *f, struct str code, const struct sign_in_from *from)
{
	bool on;
	if (code.n)
		return factor_show(c, f->who.id, code);
	if (from->in_steps)
		return ERR_OK;
	TRY(db_begin(c, DB_READ));
	TRY(factor_is_on(c, f->who.id, &on));
	TRY(db_commit(c));
	return on ? factor_needed(c) : ERR_OK;
}

enum err link_use(struct call *c, struct str secret, struct str email, struct str password, struct str code, const struct sign_in_from *from, struct sign_in *out)
{
	struct found f;
	struct str hash = STR_NONE;
	TRY(link_find(c, secret, from, &f));
	TRY(link_alive(c, &f));
	TRY(link_claim(c, &f, secret, email));
	if (f.link.purpose == LINK_RESET)
		TRY(account_check_password(c, password, f.who.email));
	if (f.link.purpose != LINK_VERIFY)
		TRY(link_factor(c, &f, code, from));
	db_release(c);
	if (f.link.purpose == LINK_RESET)
		TRY(password_hash(c->arena, password, &hash, &c->error));
	TRY(db_begin(c, DB_WRITE));
	TRY(link_spend(c, &f));
	*out = (struct sign_in){ .account = f.who };
	if (f.link.purpose == LINK_RESET)
		TRY(link_set_password(c, &f, hash));
	if (f.link.purpose != LINK_VERIFY)
		TRY(sign_in_enter(c, &f.who, HOW_LINK, code.n > 0, from, out));
	return db_commit(c);
}
