/* account_erase.c - the end of an account: it leaves its co-ops, is closed, is taken out of what stays, and goes.
 *
 * Each step is a transaction of its own and may be repeated; the account's row goes last, so that a run that was stopped finds where to go on. */
#include "commonhold/coop.h"
#include "commonhold/db.h"
#include "commonhold/holdings.h"
#include "commonhold/notify.h"

SQL(account_of, "SELECT email, closed_at FROM account WHERE id = $1");
SQL(coops_of_account, "SELECT coop_id, id FROM membership WHERE account_id = $1 AND state NOT IN ('left', 'removed') ORDER BY coop_id");
SQL(coops_all, "SELECT id FROM coop ORDER BY id");
SQL(admins_left,
	"SELECT (SELECT h.name FROM charter h WHERE h.coop_id = $1 ORDER BY h.version DESC LIMIT 1) FROM membership m WHERE m.coop_id = $1 AND m.account_id = $2 AND m.is_admin "
	"AND m.state IN ('active', 'due', 'grace') AND NOT EXISTS (SELECT FROM membership o WHERE o.coop_id = $1 AND o.id <> m.id AND o.is_admin AND o.state IN ('active', 'due', 'grace')) "
	"AND EXISTS (SELECT FROM membership o WHERE o.coop_id = $1 AND o.id <> m.id AND o.state IN ('active', 'due', 'grace'))");

/* What leads back to the person, and what they were told. */
SQL(account_close, "UPDATE account SET closed_at = coalesce(closed_at, commonhold_now()), password_hash = NULL, email_verified_at = NULL WHERE id = $1");
SQL(session_end_all_of, "DELETE FROM session WHERE account_id = $1");
SQL(token_end_all_of, "DELETE FROM token WHERE account_id = $1");
SQL(browser_forget, "DELETE FROM account_browser WHERE account_id = $1");
SQL(link_end_all_of, "DELETE FROM sign_in_link WHERE account_id = $1");
SQL(identity_end_all_of, "DELETE FROM account_identity WHERE account_id = $1");
SQL(flow_end_all_of, "DELETE FROM oidc_flow WHERE account_id = $1");
SQL(factor_end_of, "DELETE FROM account_factor WHERE account_id = $1");
SQL(recovery_end_of, "DELETE FROM recovery_code WHERE account_id = $1");
SQL(challenge_end_all_of, "DELETE FROM sign_in_challenge WHERE account_id = $1");
SQL(answers_forget, "DELETE FROM idempotency WHERE actor = $1::uuid::text");

/* In a co-op: what the account was there gets a stand-in that was never anybody. It says no time of its own, so that stand-ins in several co-ops have nothing in common. */
SQL(account_is_in,
	"SELECT EXISTS (SELECT FROM membership WHERE coop_id = $1 AND account_id = $2) OR EXISTS (SELECT FROM access_request WHERE coop_id = $1 AND (account_id = $2 OR decided_by = $2)) "
	"OR EXISTS (SELECT FROM access_grant WHERE coop_id = $1 AND (account_id = $2 OR granted_by = $2 OR revoked_by = $2)) "
	"OR EXISTS (SELECT FROM access_log WHERE coop_id = $1 AND account_id = $2) OR EXISTS (SELECT FROM access_use WHERE coop_id = $1 AND account_id = $2) "
	"OR EXISTS (SELECT FROM mirror WHERE coop_id = $1 AND account_id = $2) OR EXISTS (SELECT FROM coop WHERE id = $1 AND founder_id = $2) "
	"OR EXISTS (SELECT FROM erasure WHERE coop_id = $1 AND account_id = $2) OR EXISTS (SELECT FROM agent WHERE coop_id = $1 AND account_id = $2)");
SQL(stand_in_insert,
	"INSERT INTO account (id, email, name, locale, created_at, closed_at) "
	"SELECT $1, $1::uuid::text || '@erased.invalid', 'Erased account', 'en', c.founded_at, c.founded_at FROM coop c WHERE c.id = $2");
SQL(names_of, "SELECT pseudonym, public_name FROM membership WHERE coop_id = $1 AND account_id = $2");
SQL(facts_unlink, "SELECT account_unlink($1, $2)");
SQL(membership_unname,
	"UPDATE membership SET account_id = $3, attribution = 'anonymous', public_name = NULL, pseudonym = 'erased-' || number WHERE coop_id = $1 AND account_id = $2");
SQL(invitation_forget, "DELETE FROM invitation WHERE coop_id = $1 AND email_sha256 = sha256(convert_to(lower($2), 'UTF8'))");
SQL(request_unname,
	"UPDATE access_request SET account_id = $3, description = '', reason = '', state = CASE state WHEN 'pending' THEN 'cancelled' ELSE state END, "
	"decided_at = coalesce(decided_at, commonhold_now()) WHERE coop_id = $1 AND account_id = $2");
SQL(request_decider_unname, "UPDATE access_request SET decided_by = $3 WHERE coop_id = $1 AND decided_by = $2");
SQL(conflict_decider_unname, "UPDATE merge_conflict SET decided_by = $3 WHERE coop_id = $1 AND decided_by = $2");
SQL(grant_unname, "UPDATE access_grant SET account_id = $3, revoked_at = coalesce(revoked_at, commonhold_now()) WHERE coop_id = $1 AND account_id = $2");
SQL(grant_giver_unname, "UPDATE access_grant SET granted_by = $3 WHERE coop_id = $1 AND granted_by = $2");
SQL(grant_ender_unname, "UPDATE access_grant SET revoked_by = $3 WHERE coop_id = $1 AND revoked_by = $2");
SQL(use_unname, "UPDATE access_use SET account_id = $3 WHERE coop_id = $1 AND account_id = $2");
SQL(block_unname, "UPDATE access_block SET account_id = $3 WHERE coop_id = $1 AND account_id = $2");
SQL(mirror_unname, "UPDATE mirror SET account_id = $3 WHERE coop_id = $1 AND account_id = $2");
SQL(duty_unname, "UPDATE duty SET account_id = $3 WHERE coop_id = $1 AND account_id = $2");

SQL(hold_placer_unname, "UPDATE legal_hold SET placed_by = NULL WHERE coop_id = $1 AND placed_by = $2 AND $3::uuid IS NOT NULL");
SQL(hold_lifter_unname, "UPDATE legal_hold SET lifted_by = NULL WHERE coop_id = $1 AND lifted_by = $2 AND $3::uuid IS NOT NULL");
SQL(target_unname, "UPDATE adapter_target SET confirmed_by = $3 WHERE coop_id = $1 AND confirmed_by = $2");
SQL(agent_unname, "UPDATE agent SET account_id = $3, ended_at = coalesce(ended_at, commonhold_now()) WHERE coop_id = $1 AND account_id = $2");
SQL(erasure_unname, "UPDATE erasure SET account_id = NULL WHERE coop_id = $1 AND account_id = $2 AND $3::uuid IS NOT NULL");

SQL(erasures_unname, "UPDATE account_erasure SET account_id = NULL WHERE account_id = $1");
SQL(account_delete, "DELETE FROM account WHERE id = $1 AND closed_at IS NOT NULL");

/* ---- May it go? ---- */

static enum err check_coop(struct call *c, struct uuid coop, struct uuid account, struct buf *names)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_finish(c, admins_left, &r, A_UUID(coop), A_UUID(account)));
	if (r.n > 0) {
		buf_add_z(names, names->n ? ", " : "");
		buf_add_str(names, row_str(&r, 0, 0));
	}
	return ERR_OK;
}

/* The memberships of an account that are not over. The account's own rows are shown to whoever acts as it. */
static enum err memberships_of(struct call *c, struct uuid account, struct rows *out)
{
	struct uuid acting = c->actor.account;
	c->actor.account = account;
	enum err e = db_begin(c, DB_READ);
	if (e == ERR_OK)
		e = db_finish(c, coops_of_account, out, A_UUID(account));
	c->actor.account = acting;
	return e;
}

enum err account_erase_check(struct call *c, struct uuid account)
{
	struct rows r;
	struct buf names;
	buf_init(&names, 4 * KIB);
	TRY(memberships_of(c, account, &r));
	enum err e = ERR_OK;
	for (int i = 0; i < r.n && e == ERR_OK; i++)
		e = check_coop(c, row_uuid(&r, i, 0), account, &names);
	struct str text = buf_take(c->arena, &names);
	TRY(e);
	if (text.n == 0)
		return ERR_OK;
	return fail_reason(c, ERR_REFUSED, "last_admin", "You are the last admin of %.*s. Make somebody else an admin first: its members cannot be without one.", STR_ARG(text));
}

/* ---- Leaving ---- */

static enum err leave(struct call *c, struct uuid coop, struct uuid account)
{
	struct member m;
	struct uuid acting = c->actor.account;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(membership_lock(c, coop));
	c->actor.account = account;
	enum err e = member_of_actor(c, coop, &m);
	if (e == ERR_OK && m.state != POLICY_STANDING_LEFT && m.state != POLICY_STANDING_REMOVED)
		e = membership_leave(c, &m);
	c->actor.account = acting;
	TRY(e);
	return db_commit(c);
}

static enum err leave_all(struct call *c, struct uuid account)
{
	struct rows r;
	TRY(memberships_of(c, account, &r));
	for (int i = 0; i < r.n; i++)
		TRY(leave(c, row_uuid(&r, i, 0), account));
	return ERR_OK;
}

/* ---- Closing ---- */

static enum err close_account(struct call *c, struct uuid account, struct str email)
{
	static const struct db_stmt *const steps[] = {
		&session_end_all_of, &token_end_all_of, &browser_forget, &link_end_all_of, &identity_end_all_of, &flow_end_all_of, &factor_end_of, &recovery_end_of, &challenge_end_all_of,
		&answers_forget,
	};
	struct db_arg arg = A_UUID(account);
	TRY(db_enter_coop(c, (struct uuid){ { 0 } }));
	TRY(db_begin(c, DB_WRITE));
	TRY(db_queue(c, account_close, arg));
	for (size_t i = 0; i < CH_LEN(steps); i++)
		TRY(db_queue_run(c, steps[i], &arg, 1));
	TRY(notify_forget(c, account, email));
	return db_commit(c);
}

/* ---- Within a co-op ---- */

static enum err unname_in(struct call *c, struct uuid coop, struct uuid account, struct str email)
{
	static const struct db_stmt *const steps[] = {
		&membership_unname, &request_unname, &request_decider_unname, &conflict_decider_unname, &grant_unname, &grant_giver_unname, &grant_ender_unname, &use_unname, &block_unname, &mirror_unname, &duty_unname, &hold_placer_unname,
		&hold_lifter_unname, &target_unname, &agent_unname, &erasure_unname,
	};
	struct rows r;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(db_queue(c, invitation_forget, A_UUID(coop), A_STR(email)));
	TRY(db_one(c, account_is_in, &r, A_UUID(coop), A_UUID(account)));
	if (!row_bool(&r, 0, 0))
		return db_commit(c);
	TRY(db_query(c, names_of, &r, A_UUID(coop), A_UUID(account)));
	if (r.n > 0)
		TRY(notify_forget_named(c, coop, row_str(&r, 0, 0), row_str(&r, 0, 1)));
	struct db_arg args[] = { A_UUID(coop), A_UUID(account), A_UUID(uuid_new()) };
	TRY(db_queue(c, stand_in_insert, args[2], args[0]));
	TRY(db_query(c, facts_unlink, &r, args[1], args[2]));
	for (size_t i = 0; i < CH_LEN(steps); i++)
		TRY(db_queue_run(c, steps[i], args, CH_LEN(args)));
	return db_commit(c);
}

static enum err unname_everywhere(struct call *c, struct uuid account, struct str email)
{
	struct rows r;
	TRY(db_begin(c, DB_READ));
	TRY(db_finish0(c, coops_all, &r));
	for (int i = 0; i < r.n; i++) {
		TRY(unname_in(c, row_uuid(&r, i, 0), account, email));
		if (c->job && i % 32 == 31)
			TRY(job_extend(c));
	}
	return ERR_OK;
}

enum err account_erase(struct call *c, struct uuid account)
{
	struct rows r;
	TRY(db_enter_coop(c, (struct uuid){ { 0 } }));
	TRY(db_begin(c, DB_READ));
	TRY(db_finish(c, account_of, &r, A_UUID(account)));
	if (r.n == 0)
		return ERR_OK;
	struct str email = row_str(&r, 0, 0);
	if (row_null(&r, 0, 1)) {
		TRY(account_erase_check(c, account));
		TRY(leave_all(c, account));
	}
	TRY(close_account(c, account, email));
	TRY(unname_everywhere(c, account, email));
	TRY(db_enter_coop(c, (struct uuid){ { 0 } }));
	TRY(db_begin(c, DB_WRITE));
	TRY(db_queue(c, erasures_unname, A_UUID(account)));
	return db_finish(c, account_delete, NULL, A_UUID(account));
}
