#include "server/account/account_internal.h"

/* A password: long enough that guessing does not pay, short enough that hashing it is not a way to keep the server busy. */
#define PASSWORD_MIN 10
#define PASSWORD_MAX 200
#define LOCALE_MAX 35          /* RFC 5646 section 4.4.1 */
#define TOKENS_MAX 50          /* live personal tokens of one account */

SQL(account_insert,
	"INSERT INTO account (id, email, name, password_hash, locale, created_at, email_verified_at) "
	"VALUES ($1, $2, $3, $4, $5, commonhold_now(), CASE WHEN $6 THEN commonhold_now() END) RETURNING " ACCOUNT_COLUMNS);
SQL(account_by_id, "SELECT " ACCOUNT_COLUMNS " FROM account WHERE id = $1 AND closed_at IS NULL");
SQL(account_by_email, "SELECT " ACCOUNT_COLUMNS " FROM account WHERE lower(email) = lower($1) AND closed_at IS NULL");
SQL(account_vouch, "UPDATE account SET email_verified_at = coalesce(email_verified_at, commonhold_now()) WHERE lower(email) = lower($1) AND closed_at IS NULL RETURNING " ACCOUNT_COLUMNS);
SQL(account_update, "UPDATE account SET name = coalesce($2, name), locale = coalesce($3, locale) WHERE id = $1 AND closed_at IS NULL RETURNING " ACCOUNT_COLUMNS);

#define TOKEN_COLUMNS "id, name, created_at, expires_at, used_at, revoked_at"
SQL(token_insert,
	"INSERT INTO token (id, account_id, name, secret_hash, created_at, expires_at) "
	"SELECT $1, $2, $3, $4, commonhold_now(), $5 "
	"WHERE (SELECT count(*) FROM token WHERE account_id = $2 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > commonhold_now())) < $6 "
	"RETURNING " TOKEN_COLUMNS);
SQL(token_of_account, "SELECT " TOKEN_COLUMNS " FROM token WHERE account_id = $1 ORDER BY created_at DESC, id LIMIT 200");
SQL(token_end, "UPDATE token SET revoked_at = coalesce(revoked_at, commonhold_now()) WHERE id = $1 AND account_id = $2 RETURNING id");

static const struct db_constraint constraints[] = {
	{ "account_email_is_taken", ERR_EXISTS, "/email", "There is an account with this e-mail address already." },
	{ "email_looks_like_an_address", ERR_INVALID, "/email", "This is not an e-mail address." },
	{ "name_is_short_and_not_empty", ERR_INVALID, "/name", "A name has 1 to 200 characters." },
	{ "token_name_is_short_and_not_empty", ERR_INVALID, "/name", "A name has 1 to 200 characters." },
	DB_CONSTRAINTS_END
};

/* Before the first statement whose violations they explain. */
static void explain_constraints(void)
{
	db_constraints(constraints);
}

/* ---- What people write ---- */

static size_t characters(struct str s)
{
	size_t n = 0;
	for (size_t i = 0; i < s.n; i++)
		n += ((uint8_t)s.p[i] & 0xc0) != 0x80;
	return n;
}

static bool has_control(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((uint8_t)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return true;
	return false;
}

enum err account_check_email(struct call *c, struct str email)
{
	ptrdiff_t at = str_index(email, '@');
	struct str domain = at < 0 ? STR_NONE : str_sub(email, (size_t)at + 1, email.n);
	bool sound = at > 0 && domain.n > 0 && str_index(domain, '@') < 0 && email.n <= EMAIL_MAX && str_is_utf8(email) && !has_control(email);
	for (size_t i = 0; i < email.n; i++)
		sound &= email.p[i] != ' ';
	return sound ? ERR_OK : fail_field(c, "/email", "This is not an e-mail address.");
}

static enum err check_name(struct call *c, struct str name)
{
	size_t n = characters(str_trim(name));
	if (n < 1 || n > LIMIT_TEXT_NAME)
		return fail_field(c, "/name", "A name has 1 to %d characters.", LIMIT_TEXT_NAME);
	if (!str_is_utf8(name) || has_control(name))
		return fail_field(c, "/name", "A name is one line of text.");
	return ERR_OK;
}

enum err account_check_password(struct call *c, struct str password, struct str email)
{
	size_t n = characters(password);
	if (n < PASSWORD_MIN || n > PASSWORD_MAX || !str_is_utf8(password))
		return fail_field(c, "/password", "A password has %d to %d characters.", PASSWORD_MIN, PASSWORD_MAX);
	if (str_eq(str_lower(c->arena, password), str_lower(c->arena, email)))
		return fail_field(c, "/password", "The password must not be the e-mail address.");
	return ERR_OK;
}

static enum err check_locale(struct call *c, struct str locale)
{
	bool sound = locale.n >= 2 && locale.n <= LOCALE_MAX;
	for (size_t i = 0; i < locale.n; i++)
		sound &= (locale.p[i] >= 'a' && locale.p[i] <= 'z') || (locale.p[i] >= 'A' && locale.p[i] <= 'Z') || (i >= 2 && locale.p[i] >= '0' && locale.p[i] <= '9') ||
			(i >= 2 && locale.p[i] == '-');
	return sound ? ERR_OK : fail_field(c, "/locale", "This is not a language tag such as en or de-CH.");
}

enum err account_require(struct call *c)
{
	return uuid_is_nil(c->actor.account) ? fail(c, ERR_UNAUTHENTICATED, "Sign in first.") : ERR_OK;
}

enum err account_require_session(struct call *c)
{
	TRY(account_require(c));
	return c->actor.kind == AUTH_SESSION ? ERR_OK : fail_reason(c, ERR_FORBIDDEN, "session_needed", "How one signs in is changed in a browser that is signed in, not with a token.");
}

bool email_eq(struct arena *a, struct str x, struct str y)
{
	return str_eq(str_lower(a, str_trim(x)), str_lower(a, str_trim(y)));
}

/* ---- Accounts ---- */

struct account account_of_row(const struct rows *r, int row)
{
	return (struct account){
		.id = row_uuid(r, row, 0), .email = row_str(r, row, 1), .name = row_str(r, row, 2), .locale = row_str(r, row, 3), .created_at = row_time(r, row, 4),
		.verified_at = row_time(r, row, 5),
	};
}

static enum err account_add(struct call *c, struct str email, struct str name, struct str hash, struct account *out)
{
	struct str locale = c->locale.n ? c->locale : STR("en");
	struct rows r;
	TRY(db_begin(c, DB_WRITE));
	TRY(db_finish(c, account_insert, &r, A_UUID(uuid_new()), A_STR(email), A_STR(str_trim(name)), A_STR(hash), A_STR(locale),
		A_BOOL(c->actor.kind == AUTH_SYSTEM)));
	*out = account_of_row(&r, 0);
	return ERR_OK;
}

enum err account_register(struct call *c, struct str email, struct str name, struct str password, struct account *out)
{
	struct str hash;
	explain_constraints();
	email = str_trim(email);
	TRY(account_check_email(c, email));
	TRY(check_name(c, name));
	TRY(account_check_password(c, password, email));
	TRY(password_hash(c->arena, password, &hash, &c->error));
	return account_add(c, email, name, hash, out);
}

enum err account_create(struct call *c, struct str email, struct str name, struct account *out)
{
	explain_constraints();
	email = str_trim(email);
	TRY(account_check_email(c, email));
	TRY(check_name(c, name));
	return account_add(c, email, name, STR_NONE, out);
}

enum err account_add_proved(struct call *c, struct str email, struct str name, struct account *out)
{
	struct rows r;
	explain_constraints();
	TRY(account_check_email(c, email));
	TRY(check_name(c, name));
	TRY(db_one(c, account_insert, &r, A_UUID(uuid_new()), A_STR(email), A_STR(str_trim(name)), A_STR(STR_NONE), A_STR(c->locale.n ? c->locale : STR("en")), A_BOOL(true)));
	*out = account_of_row(&r, 0);
	return ERR_OK;
}

static enum err account_one(struct call *c, enum db_mode mode, const struct db_stmt *stmt, struct db_arg by, struct account *out)
{
	struct rows r;
	TRY(db_begin(c, mode));
	TRY(db_run_commit(c, stmt, &r, &by, 1));
	if (r.n != 1)
		return fail(c, ERR_NOT_FOUND, "There is no such account.");
	*out = account_of_row(&r, 0);
	return ERR_OK;
}

enum err account_read(struct call *c, struct uuid id, struct account *out)
{
	return account_one(c, DB_READ, &account_by_id, A_UUID(id), out);
}

enum err account_find(struct call *c, struct str email, struct account *out)
{
	return account_one(c, DB_READ, &account_by_email, A_STR(str_trim(email)), out);
}

enum err account_vouch_email(struct call *c, struct str email, struct account *out)
{
	return account_one(c, DB_WRITE, &account_vouch, A_STR(str_trim(email)), out);
}

enum err account_change(struct call *c, struct str name, struct str locale, struct account *out)
{
	struct rows r;
	explain_constraints();
	TRY(account_require(c));
	if (name.p)
		TRY(check_name(c, name));
	if (locale.p)
		TRY(check_locale(c, locale));
	TRY(db_begin(c, DB_WRITE));
	TRY(db_finish(c, account_update, &r, A_UUID(c->actor.account), A_STR(name.p ? str_trim(name) : STR_NONE), A_STR(locale)));
	if (r.n != 1)
		return fail(c, ERR_UNAUTHENTICATED, "Sign in first.");
	*out = account_of_row(&r, 0);
	c->actor.name = out->name;
	return ERR_OK;
}

/* ---- Personal tokens ---- */

static struct token_row token_of_row(const struct rows *r, int row)
{
	return (struct token_row){
		.id = row_uuid(r, row, 0), .name = row_str(r, row, 1), .created_at = row_time(r, row, 2), .expires_at = row_time(r, row, 3),
		.used_at = row_time(r, row, 4), .revoked_at = row_time(r, row, 5),
	};
}

enum err token_create(struct call *c, struct str name, instant expires, struct token_row *out, struct str *secret)
{
	struct rows r;
	struct sha256 stored;
	explain_constraints();
	TRY(account_require(c));
	TRY(check_name(c, name));
	if (expires != INSTANT_NONE && expires <= clock_now())
		return fail_field(c, "/expires_at", "This is in the past.");
	struct str made = secret_token_new(c->arena, "token", &stored);
	TRY(db_begin(c, DB_WRITE));
	TRY(db_finish(c, token_insert, &r, A_UUID(uuid_new()), A_UUID(c->actor.account), A_STR(str_trim(name)), A_BYTES(str_make(stored.b, 32)), A_TIME(expires),
		A_INT(TOKENS_MAX)));
	if (r.n != 1)
		return fail(c, ERR_REFUSED, "There are %d live tokens already. Revoke one first.", TOKENS_MAX);
	*out = token_of_row(&r, 0);
	*secret = made;
	return ERR_OK;
}

enum err token_list(struct call *c, struct token_row **out, size_t *n)
{
	struct rows r;
	TRY(account_require(c));
	TRY(db_begin(c, DB_READ));
	TRY(db_finish(c, token_of_account, &r, A_UUID(c->actor.account)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct token_row);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = token_of_row(&r, i);
	return ERR_OK;
}

enum err token_revoke(struct call *c, struct uuid token)
{
	struct rows r;
	TRY(account_require(c));
	TRY(db_begin(c, DB_WRITE));
	TRY(db_finish(c, token_end, &r, A_UUID(token), A_UUID(c->actor.account)));
	return r.n == 1 ? ERR_OK : fail(c, ERR_NOT_FOUND, "There is no such token.");
}
