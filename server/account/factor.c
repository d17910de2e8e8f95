/* The second factor: its secret is sealed, a code is taken once, and recovery codes stand in for a lost phone. */
#include "server/account/account_internal.h"
#include "server/account/totp.h"

#include "commonhold/config.h"

#include <stdio.h>

#define RECOVERY_LENGTH 10 /* letters of 5 bits; stored under a keyed hash, so that a stolen table cannot be searched */

SQL(factor_on, "SELECT EXISTS (SELECT FROM account_factor WHERE account_id = $1 AND confirmed_at IS NOT NULL)");
SQL(factor_state_read,
	"SELECT confirmed_at, (SELECT count(*) FROM recovery_code r WHERE r.account_id = $1 AND used_at IS NULL) FROM account_factor WHERE account_id = $1 AND confirmed_at IS NOT NULL");
SQL(factor_secret, "SELECT secret, confirmed_at, last_step FROM account_factor WHERE account_id = $1");
SQL(factor_put,
	"INSERT INTO account_factor AS f (account_id, secret, created_at) VALUES ($1, $2, commonhold_now()) "
	"ON CONFLICT (account_id) DO UPDATE SET secret = excluded.secret, created_at = excluded.created_at, last_step = 0 WHERE f.confirmed_at IS NULL RETURNING account_id");
SQL(factor_step_take, "UPDATE account_factor SET last_step = $2 WHERE account_id = $1 AND last_step < $2 RETURNING account_id");
SQL(factor_switch_on, "UPDATE account_factor SET confirmed_at = commonhold_now(), last_step = $2 WHERE account_id = $1 AND confirmed_at IS NULL RETURNING account_id");
SQL(factor_delete, "DELETE FROM account_factor WHERE account_id = $1 RETURNING confirmed_at");
SQL(session_shown, "UPDATE session SET factor = $2 WHERE id = $1");
SQL(account_proved, "SELECT email, email_verified_at IS NOT NULL FROM account WHERE id = $1 AND closed_at IS NULL");
SQL(recovery_insert, "INSERT INTO recovery_code (account_id, code_hash, created_at) SELECT $1, unnest($2), commonhold_now()");
SQL(recovery_delete, "DELETE FROM recovery_code WHERE account_id = $1");
SQL(recovery_take, "UPDATE recovery_code SET used_at = commonhold_now() WHERE account_id = $1 AND code_hash = $2 AND used_at IS NULL RETURNING account_id");
SQL(recovery_known, "SELECT used_at FROM recovery_code WHERE account_id = $1 AND code_hash = $2");

static struct str target_of(struct call *c, struct uuid account)
{
	return uuid_format(c->arena, account);
}

enum err factor_is_on(struct call *c, struct uuid account, bool *on)
{
	struct rows r;
	TRY(db_one(c, factor_on, &r, A_UUID(account)));
	*on = row_bool(&r, 0, 0);
	return ERR_OK;
}

enum err factor_read(struct call *c, struct factor_state *out)
{
	struct rows r;
	*out = (struct factor_state){ .since = INSTANT_NONE };
	TRY(account_require(c));
	TRY(db_begin(c, DB_READ));
	TRY(db_finish(c, factor_state_read, &r, A_UUID(c->actor.account)));
	if (r.n == 1)
		*out = (struct factor_state){ .on = true, .since = row_time(&r, 0, 0), .recovery_left = (int)row_int(&r, 0, 1) };
	return ERR_OK;
}

/* ---- Codes ---- */

/* People copy codes with blanks and dashes in them. */
static struct str code_tidy(struct arena *a, struct str code)
{
	char *to = arena_alloc(a, code.n + 1);
	size_t n = 0;
	for (size_t i = 0; i < code.n; i++)
		if (code.p[i] != ' ' && code.p[i] != '-')
			to[n++] = code.p[i] >= 'A' && code.p[i] <= 'Z' ? (char)(code.p[i] + 32) : code.p[i];
	return str_make(to, n);
}

static bool all_digits(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return s.n > 0;
}

static enum err code_refused(struct call *c, const char *reason, const char *sentence)
{
	error_fault(&c->error, c->arena, STR("/code"), "%s", sentence);
	return fail_reason(c, ERR_BAD_CREDENTIALS, reason, "%s", sentence);
}

static enum err code_wrong(struct call *c)
{
	return code_refused(c, "factor_wrong", "The code is wrong, or its time is over. Type the one that your app shows now.");
}

static struct str seal_context(struct call *c, struct uuid account)
{
	return str_fmt(c->arena, "totp|%.*s", STR_ARG(target_of(c, account)));
}

static enum err secret_open(struct call *c, struct uuid account, struct str sealed, struct str *secret)
{
	if (!instance_keys() || !unseal(c->arena, instance_seal_key(instance_keys()), seal_context(c, account), sealed, secret))
		return fail(c, ERR_CORRUPT, "The second factor's secret cannot be opened with the instance's key.");
	return ERR_OK;
}

/* Takes a code of the app; inside. A step is taken once: the same code a second time is a replay. */
static enum err totp_take(struct call *c, struct uuid account, struct str code)
{
	struct rows r;
	struct str secret;
	TRY(db_query(c, factor_secret, &r, A_UUID(account)));
	if (r.n != 1 || row_null(&r, 0, 1))
		return code_wrong(c);
	TRY(secret_open(c, account, row_bytes(&r, 0, 0), &secret));
	int64_t step = totp_match(secret, code, clock_now());
	if (step < 0)
		return code_wrong(c);
	TRY(db_query(c, factor_step_take, &r, A_UUID(account), A_I64(step)));
	return r.n == 1 ? ERR_OK : code_refused(c, "factor_replayed", "This code was used already. Wait for the next one.");
}

/* Letters that are misread for figures count as those. */
static struct sha256 recovery_hash(struct call *c, struct uuid account, struct str tidy)
{
	char *to = arena_alloc(c->arena, tidy.n + 1);
	for (size_t i = 0; i < tidy.n; i++)
		to[i] = tidy.p[i] == 'o' ? '0' : tidy.p[i] == 'i' || tidy.p[i] == 'l' ? '1' : tidy.p[i];
	return account_mac(c, "recovery", target_of(c, account), str_make(to, tidy.n));
}

static enum err recovery_use(struct call *c, struct uuid account, struct str tidy)
{
	struct rows r;
	struct sha256 hash = recovery_hash(c, account, tidy);
	struct str bytes = str_copy(c->arena, str_make(hash.b, 32));
	TRY(db_query(c, recovery_take, &r, A_UUID(account), A_BYTES(bytes)));
	if (r.n == 1)
		return notice_changed(c, account, "One of your recovery codes was used to sign in or to change how you do.");
	TRY(db_query(c, recovery_known, &r, A_UUID(account), A_BYTES(bytes)));
	return r.n == 1 ? code_refused(c, "recovery_used", "This recovery code was used already. Each works once.") : code_wrong(c);
}

enum err factor_show(struct call *c, struct uuid account, struct str code)
{
	struct str tidy = code_tidy(c->arena, code.n <= 64 ? code : STR(""));
	TRY(delay_take(c, DELAY_CODE, target_of(c, account), STR_NONE));
	TRY(db_begin(c, DB_WRITE));
	TRY(all_digits(tidy) && tidy.n == 6 ? totp_take(c, account, tidy) : recovery_use(c, account, tidy));
	TRY(delay_clear(c, DELAY_CODE, target_of(c, account), STR_NONE));
	return db_commit(c);
}

/* ---- Setting up ---- */

static struct str host_of_base(void)
{
	struct str url = str_of(config()->base_url);
	struct str host = str_sub(url, str_starts(url, "https://") ? 8 : 7, url.n);
	ptrdiff_t slash = str_index(host, '/');
	return slash < 0 ? host : str_sub(host, 0, (size_t)slash);
}

static void setup_words(struct call *c, struct str secret, struct str *text, struct str *uri)
{
	*text = base32(c->arena, secret);
	*uri = totp_uri(c->arena, str_fmt(c->arena, "Commonhold %.*s", STR_ARG(host_of_base())), c->actor.email, secret);
}

static enum err factor_there(struct call *c)
{
	return fail_reason(c, ERR_STATE, "factor_on", "Your second factor is on already. Switch it off before you set up another.");
}

enum err factor_begin(struct call *c, const struct proof *proof, struct str *secret, struct str *uri)
{
	struct rows r;
	uint8_t bytes[TOTP_SECRET];
	TRY(proof_check(c, proof));
	TRY(db_begin(c, DB_WRITE));
	TRY(db_one(c, account_proved, &r, A_UUID(c->actor.account)));
	if (!row_bool(&r, 0, 1))
		return fail_reason(c, ERR_REFUSED, "email_unverified", "Confirm your e-mail address first: it is the way back in should you lose your phone.");
	random_bytes(bytes, sizeof(bytes));
	struct str plain = str_copy(c->arena, str_make(bytes, sizeof(bytes)));
	secret_wipe(bytes, sizeof(bytes));
	TRY(db_query(c, factor_put, &r, A_UUID(c->actor.account), A_BYTES(seal(c->arena, instance_seal_key(instance_keys()), seal_context(c, c->actor.account), plain))));
	if (r.n != 1)
		return factor_there(c);
	setup_words(c, plain, secret, uri);
	return db_commit(c);
}

/* The secret of a setup under way; inside. */
static enum err pending_open(struct call *c, struct str *plain)
{
	struct rows r;
	TRY(db_query(c, factor_secret, &r, A_UUID(c->actor.account)));
	if (r.n == 1 && !row_null(&r, 0, 1))
		return factor_there(c);
	if (r.n != 1)
		return fail_reason(c, ERR_STATE, "factor_not_begun", "No second factor is being set up. Begin under My account.");
	return secret_open(c, c->actor.account, row_bytes(&r, 0, 0), plain);
}

enum err factor_pending(struct call *c, struct str *secret, struct str *uri)
{
	struct str plain;
	TRY(account_require_session(c));
	TRY(db_begin(c, DB_READ));
	TRY(pending_open(c, &plain));
	setup_words(c, plain, secret, uri);
	return db_commit(c);
}

/* New codes in the place of the old; inside. */
static enum err recovery_make(struct call *c, struct str codes[RECOVERY_CODES])
{
	static const char letters[] = "0123456789abcdefghjkmnpqrstvwxyz"; /* Crockford's base32 */
	struct str *hashes = ARENA_ARRAY(c->arena, RECOVERY_CODES, struct str);
	for (int i = 0; i < RECOVERY_CODES; i++) {
		uint8_t random[RECOVERY_LENGTH];
		char plain[RECOVERY_LENGTH];
		random_bytes(random, sizeof(random));
		for (int j = 0; j < RECOVERY_LENGTH; j++)
			plain[j] = letters[random[j] & 31];
		codes[i] = str_fmt(c->arena, "%.5s-%.5s", plain, plain + 5);
		struct sha256 hash = recovery_hash(c, c->actor.account, str_make(plain, sizeof(plain)));
		hashes[i] = str_copy(c->arena, str_make(hash.b, 32));
	}
	TRY(db_queue(c, recovery_delete, A_UUID(c->actor.account)));
	return db_exec(c, recovery_insert, A_UUID(c->actor.account), A_BYTEAS(hashes, RECOVERY_CODES));
}

enum err factor_confirm(struct call *c, struct str code, struct str codes[RECOVERY_CODES])
{
	struct rows r;
	struct str plain, tidy = code_tidy(c->arena, code.n <= 64 ? code : STR(""));
	int64_t ended;
	TRY(account_require_session(c));
	TRY(delay_take(c, DELAY_CODE, target_of(c, c->actor.account), STR_NONE));
	TRY(db_begin(c, DB_WRITE));
	TRY(pending_open(c, &plain));
	int64_t step = totp_match(plain, tidy, clock_now());
	if (step < 0)
		return code_wrong(c);
	TRY(db_query(c, factor_switch_on, &r, A_UUID(c->actor.account), A_I64(step)));
	if (r.n != 1)
		return factor_there(c);
	TRY(recovery_make(c, codes));
	TRY(session_end_others(c, c->actor.account, c->actor.session, &ended));
	TRY(db_queue(c, session_shown, A_UUID(c->actor.session), A_BOOL(true)));
	TRY(delay_clear(c, DELAY_CODE, target_of(c, c->actor.account), STR_NONE));
	TRY(notice_changed(c, c->actor.account, "A second factor was switched on, and your other browsers were signed out."));
	return db_commit(c);
}

enum err factor_end(struct call *c, const struct proof *proof)
{
	struct rows r;
	TRY(proof_check(c, proof));
	TRY(db_begin(c, DB_WRITE));
	TRY(db_query(c, factor_delete, &r, A_UUID(c->actor.account)));
	if (r.n != 1)
		return fail_reason(c, ERR_STATE, "factor_off", "You have no second factor.");
	TRY(db_queue(c, recovery_delete, A_UUID(c->actor.account)));
	if (!row_null(&r, 0, 0))
		TRY(notice_changed(c, c->actor.account, "Your second factor was switched off."));
	return db_commit(c);
}

enum err recovery_renew(struct call *c, const struct proof *proof, struct str codes[RECOVERY_CODES])
{
	bool on;
	TRY(proof_check(c, proof));
	TRY(db_begin(c, DB_WRITE));
	TRY(factor_is_on(c, c->actor.account, &on));
	if (!on)
		return fail_reason(c, ERR_STATE, "factor_off", "You have no second factor.");
	TRY(recovery_make(c, codes));
	TRY(notice_changed(c, c->actor.account, "New recovery codes were made; the old ones work no longer."));
	return db_commit(c);
}
