#include "erasure_internal.h"

#include "commonhold/holdings.h"
#include "commonhold/notify.h"
#include "commonhold/pool.h"
#include "commonhold/sign_in.h"

/* The whole account: proved anew, then in every co-op at once, then leaving, and the account itself once everything is purged. */

#define ACCOUNT_COLUMNS "a.id, a.account_id, a.state, a.received_at, a.verified_at, a.purged_at, a.completed_at, a.cancelled_at, a.due_at, a.proof, a.coops"

SQL(account_request_newest, "SELECT " ACCOUNT_COLUMNS " FROM account_erasure a WHERE a.account_id = $1 ORDER BY a.received_at DESC, a.id DESC LIMIT 1");
SQL(account_request_by_id, "SELECT " ACCOUNT_COLUMNS ", a.told_at FROM account_erasure a WHERE a.id = $1 FOR UPDATE");
SQL(account_request_open, "SELECT id FROM account_erasure WHERE account_id = $1 AND state IN ('received', 'effective', 'purged') FOR UPDATE");
SQL(account_request_insert, "INSERT INTO account_erasure (id, account_id, state, received_at, due_at) VALUES ($1, $2, 'received', commonhold_now(), $3)");
SQL(account_request_verified, "UPDATE account_erasure SET state = 'effective', verified_at = commonhold_now(), proof = $2, coops = $3 WHERE id = $1");
SQL(account_request_cancelled, "UPDATE account_erasure SET state = 'cancelled', cancelled_at = commonhold_now() WHERE id = $1");
SQL(account_request_told, "UPDATE account_erasure SET told_at = commonhold_now() WHERE id = $1");
SQL(account_request_purged, "UPDATE account_erasure SET state = 'purged', purged_at = commonhold_now() WHERE id = $1 AND state = 'effective'");
/* What was one person's in several co-ops has nothing in common any more once nobody needs to know. */
SQL(account_request_completed, "UPDATE account_erasure SET state = 'completed', completed_at = commonhold_now(), coops = '{}' WHERE id = $1 AND state = 'purged'");
SQL(account_part_untied, "UPDATE erasure SET scope = 'coop', account_request_id = NULL WHERE coop_id = $1 AND account_request_id = $2");
SQL(account_request_late, "UPDATE account_erasure SET state = 'cancelled', cancelled_at = commonhold_now() WHERE state = 'received' AND received_at < $1");
SQL(account_request_stuck, "SELECT id FROM account_erasure WHERE state IN ('effective', 'purged') AND verified_at < $1 ORDER BY verified_at");
SQL(account_parts, "SELECT " ERASURE_COLUMNS " FROM erasure e WHERE e.account_request_id = $1 ORDER BY e.coop_id");
SQL(account_part_states, "SELECT state FROM erasure WHERE coop_id = $1 AND account_request_id = $2");
SQL(account_memberships, "SELECT coop_id, id, state IN ('left', 'removed') FROM membership WHERE account_id = $1 ORDER BY coop_id");
SQL(account_address, "SELECT email FROM account WHERE id = $1 AND closed_at IS NULL");

static enum err require_person(struct call *c)
{
	if (uuid_is_nil(c->actor.account))
		return fail(c, ERR_UNAUTHENTICATED, "%s", err_text(ERR_UNAUTHENTICATED));
	if (c->actor.kind != AUTH_SESSION)
		return fail_reason(c, ERR_FORBIDDEN, "session_needed", "Sign in with a browser for this: a token is no proof that it is you.");
	return ERR_OK;
}

static struct erasure_account request_of_row(const struct rows *r, int i)
{
	struct erasure_account out = {
		.id = row_uuid(r, i, 0), .account = row_uuid(r, i, 1), .received_at = row_time(r, i, 3), .verified_at = row_time(r, i, 4), .purged_at = row_time(r, i, 5),
		.completed_at = row_time(r, i, 6), .cancelled_at = row_time(r, i, 7), .due_at = row_time(r, i, 8), .proof = row_str(r, i, 9),
	};
	if (!erasure_state_parse(row_str(r, i, 2), &out.state))
		out.state = ERASURE_CANCELLED;
	return out;
}

static enum err read_newest(struct call *c, struct erasure_account *out)
{
	struct rows r;
	TRY(db_query(c, account_request_newest, &r, A_UUID(c->actor.account)));
	if (r.n == 0)
		return fail(c, ERR_NOT_FOUND, "You have not asked for your account to be erased.");
	*out = request_of_row(&r, 0);
	TRY(db_query(c, account_parts, &r, A_UUID(out->id)));
	out->n_parts = (size_t)r.n;
	out->parts = ARENA_ARRAY(c->arena, out->n_parts + 1, struct erasure);
	for (int i = 0; i < r.n; i++)
		out->parts[i] = erasure_of_row(&r, i);
	return ERR_OK;
}

enum err erasure_account_read(struct call *c, struct erasure_account *out)
{
	if (uuid_is_nil(c->actor.account))
		return fail(c, ERR_UNAUTHENTICATED, "%s", err_text(ERR_UNAUTHENTICATED));
	TRY(db_begin(c, DB_READ));
	TRY(read_newest(c, out));
	return db_commit(c);
}

enum err erasure_ask_account(struct call *c, struct erasure_account *out)
{
	struct rows r;
	TRY(require_person(c));
	TRY(account_erase_check(c, c->actor.account));
	TRY(db_begin(c, DB_WRITE));
	TRY(db_query(c, account_request_open, &r, A_UUID(c->actor.account)));
	if (r.n == 0) {
		struct uuid id = uuid_new();
		TRY(db_exec(c, account_request_insert, A_UUID(id), A_UUID(c->actor.account), A_TIME(due_date(clock_now(), 1, STR("")))));
		TRY(tell_account(c, c->actor.account, (struct uuid){ { 0 } }, "deletion.account_asked", uuid_format(c->arena, id), "Somebody asks for your account to be erased",
			str_fmt(c->arena, "If that is you, confirm it within %d days. If not, change your password: nothing happens without the confirmation.", (int)(ERASURE_CONFIRM_LIFE / CLOCK_DAY)),
			STR("/me/deletion")));
	}
	TRY(read_newest(c, out));
	return db_commit(c);
}

enum err erasure_account_cancel(struct call *c, struct erasure_account *out)
{
	TRY(require_person(c));
	TRY(db_begin(c, DB_WRITE));
	TRY(read_newest(c, out));
	if (out->state != ERASURE_RECEIVED && out->state != ERASURE_CANCELLED)
		return fail_reason(c, ERR_STATE, "effective", "This has been confirmed, and cannot be taken back.");
	if (out->state == ERASURE_RECEIVED)
		TRY(db_exec(c, account_request_cancelled, A_UUID(out->id)));
	TRY(read_newest(c, out));
	return db_commit(c);
}

/* ---- In every co-op ---- */

/* One co-op's part: leaving, and everything withdrawn. Locks in everybody's order: memberships, pool, log; the co-ops in the order of their ids, as whoever else does this. */
static enum err part_begin(struct call *c, const struct erasure_account *request, struct uuid coop, struct uuid member, bool left)
{
	struct charter charter;
	TRY(db_enter_coop(c, coop));
	TRY(membership_lock(c, coop));
	TRY(pool_lock(c, coop));
	TRY(charter_current(c, coop, &charter));
	struct erasure_locked l = { .purged_upto = -1, .e = {
		.coop = coop, .id = uuid_new(), .kind = ERASURE_ERASE, .scope = ERASURE_ACCOUNT, .asker = ERASURE_MEMBER, .account = c->actor.account, .member = member,
		.account_request = request->id, .state = ERASURE_RECEIVED, .reason_code = STR("account_closed"), .received_at = request->received_at, .verified_at = INSTANT_NONE,
		.due_at = due_date(request->received_at, 1, charter.region), .until = INSTANT_NONE } };
	struct erasure_new n = { .e = l.e, .digest = sha256(str_make(request->id.b, sizeof(request->id.b))) };
	TRY(erasure_insert(c, &n));
	if (!left) {
		struct member me;
		TRY(member_of_actor(c, coop, &me));
		TRY(membership_leave(c, &me));
	}
	return erasure_take_effect(c, &l, "member", "");
}

static enum err queue_request(struct call *c, struct uuid request)
{
	struct str id = uuid_format(c->arena, request);
	return job_queue(c, "erasure.account", id, str_fmt(c->arena, "{\"request\":\"%.*s\"}", STR_ARG(id)), clock_now());
}

static enum err all_parts(struct call *c, const struct erasure_account *request, const char *proof)
{
	struct rows r;
	TRY(db_query(c, account_memberships, &r, A_UUID(c->actor.account)));
	struct uuid *coops = ARENA_ARRAY(c->arena, (size_t)r.n + 1, struct uuid), *members = ARENA_ARRAY(c->arena, (size_t)r.n + 1, struct uuid);
	bool *left = ARENA_ARRAY(c->arena, (size_t)r.n + 1, bool);
	size_t n = (size_t)r.n;
	for (size_t i = 0; i < n; i++) {
		coops[i] = row_uuid(&r, (int)i, 0);
		members[i] = row_uuid(&r, (int)i, 1);
		left[i] = row_bool(&r, (int)i, 2);
	}
	TRY(db_exec(c, account_request_verified, A_UUID(request->id), A_Z(proof), A_UUIDS(coops, n)));
	TRY(queue_request(c, request->id));
	for (size_t i = 0; i < n; i++)
		TRY(part_begin(c, request, coops[i], members[i], left[i]));
	return ERR_OK;
}

enum err erasure_account_verify(struct call *c, const struct proof *proof, struct erasure_account *out)
{
	static const char *const shown[] = { [PROOF_CODE] = "code", [PROOF_PASSWORD] = "password", [PROOF_FRESH] = "session" };
	enum proof_kind kind;
	struct rows r;
	TRY(require_person(c));
	TRY(proof_wanted(c, &kind));
	TRY(proof_check(c, proof));
	TRY(account_erase_check(c, c->actor.account));
	TRY(db_begin(c, DB_WRITE));
	TRY(db_query(c, account_request_open, &r, A_UUID(c->actor.account)));
	TRY(read_newest(c, out));
	if (out->state == ERASURE_CANCELLED)
		return fail_reason(c, ERR_STATE, "not_asked", "Ask for it first.");
	if (out->state != ERASURE_RECEIVED)
		return db_commit(c);
	if (clock_now() - out->received_at > ERASURE_CONFIRM_LIFE)
		return fail_reason(c, ERR_STATE, "lapsed", "It is too late to confirm this. Ask again.");
	TRY(all_parts(c, out, shown[kind]));
	TRY(read_newest(c, out));
	return db_commit(c);
}

/* ---- What follows ---- */

enum err account_part_moved(struct call *c, const struct erasure *part)
{
	if (uuid_is_nil(part->account_request) || (part->state != ERASURE_PURGED && part->state != ERASURE_COMPLETED))
		return ERR_OK;
	return queue_request(c, part->account_request);
}

/* Whether every part has come so far. */
static enum err parts_are(struct call *c, struct uuid request, const struct uuid *coops, size_t n, bool completed, bool *all)
{
	*all = true;
	for (size_t i = 0; i < n && *all; i++) {
		struct rows r;
		TRY(db_enter_coop(c, coops[i]));
		TRY(db_query(c, account_part_states, &r, A_UUID(coops[i]), A_UUID(request)));
		for (int k = 0; k < r.n; k++) {
			enum erasure_state s;
			if (!erasure_state_parse(row_str(&r, k, 0), &s) || (completed ? s != ERASURE_COMPLETED : s != ERASURE_PURGED && s != ERASURE_PROPAGATING && s != ERASURE_COMPLETED))
				*all = false;
		}
	}
	return ERR_OK;
}

static enum err complete(struct call *c, struct uuid request, const struct uuid *coops, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		TRY(db_enter_coop(c, coops[i]));
		TRY(db_exec(c, account_part_untied, A_UUID(coops[i]), A_UUID(request)));
	}
	return db_exec(c, account_request_completed, A_UUID(request));
}

/* The last message, while there is an address to send it to. */
static enum err say_goodbye(struct call *c, struct uuid account)
{
	struct rows r;
	TRY(db_query(c, account_address, &r, A_UUID(account)));
	if (r.n == 0 || !notify_mail_on())
		return ERR_OK;
	return notify_mail_to(c, row_str(&r, 0, 0), "deletion.account_gone",
		STR("{\"text\":\"Everything that you contributed is gone here, and so is your account. Everybody who held a copy of a release has been told to delete it too; what they confirm is public "
		    "in each co-op's log. This is the last message from us.\",\"title\":\"Your account is erased\"}"));
}

enum err account_request_run(struct call *c, const struct json *args)
{
	struct erasure_account request;
	struct uuid id, *coops;
	struct rows r;
	bool all, told;
	if (!uuid_parse(json_member_text(args, "request"), &id))
		return fail(c, ERR_INTERNAL, "The job does not say which request it is about.");
	TRY(db_begin(c, DB_WRITE));
	TRY(db_one(c, account_request_by_id, &r, A_UUID(id)));
	request = request_of_row(&r, 0);
	size_t n = row_uuids(c->arena, &r, 0, 10, &coops);
	told = !row_null(&r, 0, 11);
	if (request.state == ERASURE_EFFECTIVE) {
		TRY(parts_are(c, id, coops, n, false, &all));
		if (!all)
			return db_commit(c);
		if (!told) {
			TRY(say_goodbye(c, request.account));
			TRY(db_exec(c, account_request_told, A_UUID(id)));
		}
		TRY(db_commit(c));
		if (!uuid_is_nil(request.account))
			TRY(account_erase(c, request.account));
		TRY(db_begin(c, DB_WRITE));
		TRY(db_exec(c, account_request_purged, A_UUID(id)));
		request.state = ERASURE_PURGED;
	}
	if (request.state == ERASURE_PURGED) {
		TRY(parts_are(c, id, coops, n, true, &all));
		if (all)
			TRY(complete(c, id, coops, n));
	}
	return db_commit(c);
}

enum err account_request_lapse(struct call *c)
{
	TRY(db_begin(c, DB_WRITE));
	TRY(db_exec(c, account_request_late, A_TIME(clock_now() - ERASURE_CONFIRM_LIFE)));
	return db_commit(c);
}

enum err account_request_resume(struct call *c, instant before)
{
	struct rows r;
	TRY(db_begin(c, DB_WRITE));
	TRY(db_query(c, account_request_stuck, &r, A_TIME(before)));
	for (int i = 0; i < r.n; i++)
		TRY(queue_request(c, row_uuid(&r, i, 0)));
	return db_commit(c);
}
