/* The one door: whatever the first step was, here it is decided whether the second factor is asked for, and only here sessions are opened for people. */
#include "server/account/account_internal.h"

SQL(account_password, "SELECT " ACCOUNT_COLUMNS ", password_hash FROM account WHERE lower(email) = lower($1) AND closed_at IS NULL");
SQL(account_password_by_id, "SELECT " ACCOUNT_COLUMNS ", password_hash FROM account WHERE id = $1 AND closed_at IS NULL");
SQL(password_set, "UPDATE account SET password_hash = $2 WHERE id = $1 AND closed_at IS NULL RETURNING id");
SQL(session_began, "SELECT created_at FROM session WHERE id = $1 AND account_id = $2");
SQL(challenge_insert,
	"INSERT INTO sign_in_challenge (id, account_id, secret_hash, how, created_at, expires_at) VALUES ($1, $2, $3, $4, commonhold_now(), $5)");
SQL(challenge_by_secret,
	"SELECT " ACCOUNT_COLUMNS_OF("a") ", h.how, h.expires_at FROM sign_in_challenge h JOIN account a ON a.id = h.account_id WHERE h.secret_hash = $1 AND a.closed_at IS NULL");
SQL(challenge_take, "DELETE FROM sign_in_challenge WHERE secret_hash = $1 AND expires_at > commonhold_now() RETURNING account_id");

enum err factor_needed(struct call *c)
{
	return fail_reason(c, ERR_UNAUTHENTICATED, "factor_needed", "This account has a second factor. Give its code as well.");
}

static enum err challenge_open(struct call *c, const struct account *who, enum sign_in_how how, struct sign_in *out)
{
	struct sha256 stored;
	out->challenge = secret_token_new(c->arena, "step", &stored);
	return db_queue(c, challenge_insert, A_UUID(uuid_new()), A_UUID(who->id), A_BYTES(str_copy(c->arena, str_make(stored.b, 32))), A_Z(how_name(how)),
		A_TIME(clock_now() + SIGN_IN_STEP_LIFE));
}

enum err sign_in_enter(struct call *c, const struct account *who, enum sign_in_how how, bool shown, const struct sign_in_from *from, struct sign_in *out)
{
	bool on;
	*out = (struct sign_in){ .account = *who };
	TRY(factor_is_on(c, who->id, &on));
	if (on && !shown)
		return from->in_steps ? challenge_open(c, who, how, out) : factor_needed(c);
	return session_open(c, who, how, on, from->agent, &out->secret);
}

/* ---- Password ---- */

static struct str password_target(struct call *c, struct str email)
{
	bool askable = email.n > 0 && email.n <= EMAIL_MAX && str_is_utf8(email);
	return askable ? str_lower(c->arena, email) : STR("nobody");
}

/* Whether the password is that of an account. Counted before it is looked at; hashing takes its time and needs no connection. */
static enum err password_try(struct call *c, struct str target, struct str password, struct str network, struct account *who)
{
	struct rows r;
	TRY(delay_take(c, DELAY_PASSWORD, target, network));
	TRY(db_begin(c, DB_READ));
	TRY(db_finish(c, account_password, &r, A_STR(target)));
	db_release(c);
	bool right = password_verify(r.n == 1 ? row_str(&r, 0, ACCOUNT_COLUMN_COUNT) : STR_NONE, password);
	if (!right || r.n != 1)
		return fail(c, ERR_BAD_CREDENTIALS, "E-mail or password is wrong.");
	*who = account_of_row(&r, 0);
	return ERR_OK;
}

enum err sign_in_password(struct call *c, struct str email, struct str password, struct str code, const struct sign_in_from *from, struct sign_in *out)
{
	struct account who;
	struct str target = password_target(c, str_trim(email));
	TRY(password_try(c, target, password, from->network, &who));
	if (code.n)
		TRY(factor_show(c, who.id, code));
	TRY(db_begin(c, DB_WRITE));
	TRY(delay_clear(c, DELAY_PASSWORD, target, from->network));
	TRY(sign_in_enter(c, &who, HOW_PASSWORD, code.n > 0, from, out));
	return db_commit(c);
}

static enum sign_in_how how_find(struct str name)
{
	for (int h = HOW_PASSWORD; h < HOW_OPERATOR; h++)
		if (str_is(name, how_name((enum sign_in_how)h)))
			return (enum sign_in_how)h;
	return HOW_PASSWORD;
}

static enum err step_over(struct call *c)
{
	return fail_reason(c, ERR_UNAUTHENTICATED, "sign_in_over", "This sign-in took too long, or was finished already. Begin again.");
}

enum err sign_in_code(struct call *c, struct str challenge, struct str code, const struct sign_in_from *from, struct sign_in *out)
{
	struct rows r, taken;
	struct sha256 hash = secret_token_hash(challenge.p ? challenge : STR(""));
	struct str hash_bytes = str_make(hash.b, 32);
	TRY(db_begin(c, DB_READ));
	TRY(db_finish(c, challenge_by_secret, &r, A_BYTES(hash_bytes)));
	if (r.n != 1 || row_time(&r, 0, ACCOUNT_COLUMN_COUNT + 1) <= clock_now())
		return step_over(c);
	struct account who = account_of_row(&r, 0);
	TRY(factor_show(c, who.id, code));
	TRY(db_begin(c, DB_WRITE));
	TRY(db_query(c, challenge_take, &taken, A_BYTES(hash_bytes)));
	if (taken.n != 1)
		return step_over(c);
	TRY(sign_in_enter(c, &who, how_find(row_str(&r, 0, ACCOUNT_COLUMN_COUNT)), true, from, out));
	return db_commit(c);
}

/* ---- Proof ---- */

/* What the actor has; `hash` of the password. Own transaction. */
static enum err proof_read(struct call *c, enum proof_kind *out, struct str *email)
{
	struct rows r;
	bool on;
	TRY(account_require_session(c));
	TRY(db_begin(c, DB_READ));
	TRY(db_one(c, account_password_by_id, &r, A_UUID(c->actor.account)));
	TRY(factor_is_on(c, c->actor.account, &on));
	TRY(db_commit(c));
	*email = row_str(&r, 0, 1);
	*out = on ? PROOF_CODE : row_null(&r, 0, ACCOUNT_COLUMN_COUNT) ? PROOF_FRESH : PROOF_PASSWORD;
	return ERR_OK;
}

enum err proof_wanted(struct call *c, enum proof_kind *out)
{
	struct str email;
	return proof_read(c, out, &email);
}

static enum err session_is_fresh(struct call *c)
{
	struct rows r;
	TRY(db_begin(c, DB_READ));
	TRY(db_finish(c, session_began, &r, A_UUID(c->actor.session), A_UUID(c->actor.account)));
	if (r.n == 1 && clock_now() - row_time(&r, 0, 0) < SIGN_IN_FRESH)
		return ERR_OK;
	return fail_reason(c, ERR_REFUSED, "sign_in_again", "For this your sign-in must be fresh. Sign out, sign in again, and do it within %d minutes.",
		(int)(SIGN_IN_FRESH / CLOCK_MINUTE));
}

static enum err password_proof(struct call *c, struct str email, const struct proof *proof)
{
	struct account who;
	struct str target = password_target(c, email);
	if (!proof->password.n) {
		error_fault(&c->error, c->arena, STR("/current_password"), "Give your password.");
		return fail_reason(c, ERR_INVALID, "proof_needed", "Give your present password for this.");
	}
	enum err e = password_try(c, target, proof->password, proof->network, &who);
	if (e == ERR_BAD_CREDENTIALS) {
		error_fault(&c->error, c->arena, STR("/current_password"), "This is not your password.");
		return fail_reason(c, ERR_BAD_CREDENTIALS, "password_wrong", "The password is wrong. Nothing was changed.");
	}
	TRY(e);
	TRY(db_begin(c, DB_WRITE));
	TRY(delay_clear(c, DELAY_PASSWORD, target, proof->network));
	return db_commit(c);
}

enum err proof_check(struct call *c, const struct proof *proof)
{
	enum proof_kind kind;
	struct str email;
	TRY(proof_read(c, &kind, &email));
	if (kind == PROOF_FRESH)
		return session_is_fresh(c);
	if (kind == PROOF_PASSWORD)
		return password_proof(c, email, proof);
	if (!proof->code.n) {
		error_fault(&c->error, c->arena, STR("/code"), "Give a code.");
		return fail_reason(c, ERR_INVALID, "proof_needed", "Give a code of your second factor for this.");
	}
	return factor_show(c, c->actor.account, proof->code);
}

enum err password_change(struct call *c, const struct proof *proof, struct str password)
{
	struct rows r;
	struct str hash;
	int64_t ended;
	TRY(account_require_session(c));
	TRY(account_check_password(c, password, c->actor.email));
	TRY(proof_check(c, proof));
	db_release(c);
	TRY(password_hash(c->arena, password, &hash, &c->error));
	TRY(db_begin(c, DB_WRITE));
	TRY(db_one(c, password_set, &r, A_UUID(c->actor.account), A_STR(hash)));
	TRY(session_end_others(c, c->actor.account, c->actor.session, &ended));
	TRY(notice_changed(c, c->actor.account, "Your password was changed, and your other browsers were signed out."));
	return db_commit(c);
}
