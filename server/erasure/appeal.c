#include "erasure_internal.h"

#include "commonhold/ballot.h"
#include "commonhold/pool.h"

/* Appeals: the members decide whether a denial stands. The ballot names the request, how many items and the code of the denial; what people wrote is read apart, and goes. */

#define NOTICE_SHORTEST (7 * CLOCK_DAY)

SQL(erasure_set_appeal, "UPDATE erasure SET appeal_ballot_id = $3 WHERE coop_id = $1 AND id = $2");
SQL(erasure_set_outcome, "UPDATE erasure SET appeal_outcome = $3 WHERE coop_id = $1 AND id = $2 AND appeal_outcome IS NULL");
SQL(appellant, "SELECT id FROM membership WHERE coop_id = $1 AND account_id = $2 AND state IN ('active', 'due', 'grace')");

/* What is decided: this request, these items, this denial. */
static struct sha256 digest_of(struct arena *a, const struct erasure_locked *l)
{
	struct str id = uuid_format(a, l->e.id), items = sha256_hex(a, sha256(l->items.p ? l->items : STR("")));
	return sha256(str_fmt(a, "{\"code\":\"%.*s\",\"items_sha256\":\"%.*s\",\"request\":\"%.*s\"}", STR_ARG(l->e.denial_code), STR_ARG(items), STR_ARG(id)));
}

static enum err announce(struct call *c, const struct erasure_locked *l, struct uuid *ballot)
{
	struct charter charter;
	struct ballot_rule rule;
	const struct json *json;
	struct rows r;
	TRY(charter_current(c, l->e.coop, &charter));
	TRY(charter_rule(c->arena, &charter, "appeal", &rule, &c->error));
	TRY(json_parse(c->arena, rule.json, &json, &c->error));
	TRY(db_query(c, appellant, &r, A_UUID(l->e.coop), A_UUID(c->actor.account)));
	instant soonest = clock_now() + NOTICE_SHORTEST, opens = duration_add(clock_now(), charter.notice, 1);
	if (opens < soonest)
		opens = soonest;
	struct ballot_draft draft = {
		.kind = "appeal", .subject = l->e.id, .digest = digest_of(c->arena, l), .title = STR("Appeal against a refused deletion"),
		.question = str_fmt(c->arena, "An admin refused to delete %.*s because %s. Shall it be deleted all the same?", STR_ARG(items_words(c->arena, &l->e)), erasure_denial_words(l->e.denial_code)),
		.rule = json, .charter = charter.version, .proposer = r.n ? row_uuid(&r, 0, 0) : (struct uuid){ { 0 } }, .opens_at = opens, .closes_at = duration_add(opens, charter.voting, 1),
	};
	return ballot_create(c, l->e.coop, &draft, ballot);
}

enum err erasure_appeal(struct call *c, struct uuid coop, struct uuid id, struct str reason, struct erasure *out)
{
	struct erasure_locked l;
	struct uuid ballot;
	TRY(call_check_text(c, "/reason", reason.p ? reason : STR(""), 3, LIMIT_TEXT_NOTE));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(erasure_lock_for(c, coop, id, &l, NULL));
	if (!l.e.mine)
		return fail_reason(c, ERR_FORBIDDEN, "not_yours", "Only who asked appeals.");
	if (l.e.state != ERASURE_DENIED)
		return fail_reason(c, ERR_STATE, "not_denied", "There is no denial to appeal against.");
	if (!uuid_is_nil(l.e.appeal_ballot)) {
		*out = l.e;
		return db_commit(c);
	}
	if (l.e.appeal_until == INSTANT_NONE || clock_now() > l.e.appeal_until)
		return fail_reason(c, ERR_STATE, "too_late", "The time to appeal is over.");
	TRY(announce(c, &l, &ballot));
	TRY(db_exec(c, erasure_set_appeal, A_UUID(coop), A_UUID(id), A_UUID(ballot)));
	TRY(claim_put(c, coop, id, "appeal", reason));
	TRY(erasure_note(c, &l.e, "appealed", "asker", ""));
	TRY(erasure_leaf(c, &l.e, "deletion.appealed"));
	TRY(erasure_get(c, coop, id, out));
	return db_commit(c);
}

enum err erasure_on_ballot(struct call *c, const struct ballot *b, struct json_writer *w)
{
	struct str reason;
	enum err e = erasure_appeal_reason(c, b->coop, b->subject, &reason);
	if (e == ERR_NOT_FOUND) { /* it has closed, or whoever looks is no member */
		db_rollback(c);
		error_clear(&c->error);
		return ERR_OK;
	}
	TRY(e);
	jw_kstr(w, "proposed", reason);
	return ERR_OK;
}

static enum err passed(struct call *c, struct erasure_locked *l)
{
	TRY(tell_asker(c, &l->e, "deletion.appeal_passed", "The members decided for you", STR("What you asked for counts from now on.")));
	TRY(tell_admins(c, &l->e, "deletion.appeal_passed", "The members overruled a denial", STR("A request for deletion that was denied is done all the same.")));
	TRY(claim_tell_outcome(c, &l->e, l->items, true));
	TRY(claim_forget(c, l->e.coop, l->e.id));
	TRY(erasure_note(c, &l->e, "appeal_passed", "ballot", ""));
	return erasure_take_effect(c, l, "ballot", "");
}

static enum err lost(struct call *c, struct erasure_locked *l)
{
	TRY(tell_asker(c, &l->e, "deletion.appeal_failed", "The members left the denial as it is",
		STR("What was held back is no longer held back. You may complain to your data protection authority, or go to court.")));
	TRY(claim_tell_outcome(c, &l->e, l->items, false));
	TRY(erasure_unrestrict(c, l));
	TRY(claim_forget(c, l->e.coop, l->e.id));
	TRY(erasure_note(c, &l->e, "appeal_failed", "ballot", ""));
	return erasure_leaf(c, &l->e, "deletion.appeal_failed");
}

enum err appeal_decided_run(struct call *c, const struct json *args)
{
	struct erasure_locked l;
	struct uuid coop, id;
	bool yes = json_bool(json_get(args, "passed"), false);
	TRY(job_args_read(c, args, "subject", &coop, &id));
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(pool_lock(c, coop));
	TRY(erasure_lock(c, coop, id, &l));
	if (l.e.state != ERASURE_DENIED || l.e.appeal_outcome.p)
		return db_commit(c);
	TRY(db_exec(c, erasure_set_outcome, A_UUID(coop), A_UUID(id), A_Z(yes ? "passed" : "failed")));
	TRY(yes ? passed(c, &l) : lost(c, &l));
	return db_commit(c);
}
