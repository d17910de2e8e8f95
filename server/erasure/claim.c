#include "erasure_internal.h"

#include "commonhold/crypto.h"
#include "commonhold/pool.h"

/* Claims: somebody says that an item, which another contributed, is about them. What they write is sealed, for admins alone, and goes when the request ends. */

SQL(claims_open,
	"SELECT count(*) FROM erasure e WHERE e.coop_id = $1 AND e.account_id = $2 AND e.asker = 'subject' AND e.restricted_until IS NULL AND e.state IN ('received', 'verified', 'denied')");
SQL(claims_today, "SELECT count(*) FROM erasure e WHERE e.coop_id = $1 AND e.account_id = $2 AND e.asker = 'subject' AND e.received_at > $3");
SQL(claims_denied,
	"SELECT EXISTS (SELECT FROM erasure e, unnest($3::bigint[]) AS i WHERE e.coop_id = $1 AND e.account_id = $2 AND e.asker = 'subject' AND e.state = 'denied' AND pool_list_holds(e.items, i))");
/* Whether one of the items is the acting account's, and another admin could answer. */
SQL(claim_about_own,
	"SELECT EXISTS (SELECT FROM contribution c JOIN membership m ON m.coop_id = c.coop_id AND m.number = c.member_no WHERE c.coop_id = $1 AND c.item_no = ANY ($2) AND m.account_id = $3) "
	"AND EXISTS (SELECT FROM membership o WHERE o.coop_id = $1 AND o.account_id <> $3 AND o.is_admin AND o.state IN ('active', 'due', 'grace'))");
SQL(claim_insert, "INSERT INTO erasure_claim (coop_id, erasure_id, what, sealed) VALUES ($1, $2, $3, $4) ON CONFLICT (coop_id, erasure_id, what) DO UPDATE SET sealed = EXCLUDED.sealed");
SQL(claim_select, "SELECT sealed FROM erasure_claim WHERE coop_id = $1 AND erasure_id = $2 AND what = $3");
SQL(claim_delete, "DELETE FROM erasure_claim WHERE coop_id = $1 AND erasure_id = $2");
SQL(claim_contributors,
	"SELECT DISTINCT m.account_id FROM contribution c JOIN membership m ON m.coop_id = c.coop_id AND m.number = c.member_no WHERE c.coop_id = $1 AND c.item_no = ANY ($2)");
SQL(erasure_set_extended,
	"UPDATE erasure SET extended_at = commonhold_now(), extended_reason = $3, due_at = $4 WHERE coop_id = $1 AND id = $2");
SQL(claim_appealed, "SELECT EXISTS (SELECT FROM erasure e JOIN ballot b ON b.coop_id = e.coop_id AND b.id = e.appeal_ballot_id WHERE e.coop_id = $1 AND e.id = $2 AND b.state IN ('notice', 'open'))");

/* ---- What people wrote ---- */

/* A text is bound to its request: a row passed off as another's does not open. */
static struct str context_of(struct arena *a, struct uuid coop, struct uuid id, const char *what)
{
	return str_fmt(a, "erasure %s %.*s %.*s", what, STR_ARG(uuid_format(a, coop)), STR_ARG(uuid_format(a, id)));
}

enum err claim_put(struct call *c, struct uuid coop, struct uuid id, const char *what, struct str text)
{
	struct str sealed = seal(c->arena, instance_seal_key(instance_keys()), context_of(c->arena, coop, id, what), text);
	return db_exec(c, claim_insert, A_UUID(coop), A_UUID(id), A_Z(what), A_BYTES(sealed));
}

enum err claim_get(struct call *c, struct uuid coop, struct uuid id, const char *what, struct str *text)
{
	struct rows r;
	*text = STR_NONE;
	TRY(db_query(c, claim_select, &r, A_UUID(coop), A_UUID(id), A_Z(what)));
	if (r.n == 1 && !unseal(c->arena, instance_seal_key(instance_keys()), context_of(c->arena, coop, id, what), row_bytes(&r, 0, 0), text))
		return fail(c, ERR_CORRUPT, "What was written with this request cannot be opened.");
	return ERR_OK;
}

enum err claim_forget(struct call *c, struct uuid coop, struct uuid id)
{
	return db_exec(c, claim_delete, A_UUID(coop), A_UUID(id));
}

enum err erasure_claim(struct call *c, struct uuid coop, struct uuid id, struct str *out)
{
	struct erasure e;
	TRY(erasure_read(c, coop, id, &e));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(claim_get(c, coop, id, "claim", out));
	return db_commit(c);
}

enum err erasure_appeal_reason(struct call *c, struct uuid coop, struct uuid id, struct str *out)
{
	struct member me;
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_one(c, claim_appealed, &r, A_UUID(coop), A_UUID(id)));
	if (!row_bool(&r, 0, 0) || member_of_actor(c, coop, &me) != ERR_OK) {
		error_clear(&c->error);
		db_rollback(c);
		struct erasure e;
		TRY(erasure_read(c, coop, id, &e));
		TRY(db_begin_in(c, coop, DB_READ));
	}
	TRY(claim_get(c, coop, id, "appeal", out));
	return db_commit(c);
}

/* ---- Making one ---- */

enum err claim_check(struct call *c, const struct erasure_wish *w)
{
	if (w->scope != ERASURE_ITEMS || w->n_items > ERASURE_CLAIM_ITEMS)
		return fail_field(c, "/items", "A claim names up to %d items.", ERASURE_CLAIM_ITEMS);
	if (w->kind != ERASURE_ERASE)
		return fail_field(c, "/kind", "A claim asks that the item be erased.");
	return w->claim.p ? call_check_text(c, "/claim", w->claim, 1, LIMIT_TEXT_NOTE) : ERR_OK;
}

enum err claim_room(struct call *c, struct uuid coop)
{
	struct rows r;
	TRY(db_one(c, claims_open, &r, A_UUID(coop), A_UUID(c->actor.account)));
	if (row_int(&r, 0, 0) >= ERASURE_CLAIMS_OPEN)
		return fail_reason(c, ERR_TOO_MANY, "claims_open", "You have %d claims open here. Wait until they are answered.", ERASURE_CLAIMS_OPEN);
	TRY(db_one(c, claims_today, &r, A_UUID(coop), A_UUID(c->actor.account), A_TIME(clock_now() - CLOCK_DAY)));
	if (row_int(&r, 0, 0) >= ERASURE_CLAIMS_A_DAY)
		return fail_reason(c, ERR_TOO_MANY, "claims_a_day", "You have made %d claims here within a day. Try again tomorrow.", ERASURE_CLAIMS_A_DAY);
	return ERR_OK;
}

enum err claim_denied_before(struct call *c, struct uuid coop, struct str packed, bool *denied)
{
	int64_t *items;
	struct rows r;
	size_t n = items_unpack(c->arena, packed, &items);
	TRY(db_one(c, claims_denied, &r, A_UUID(coop), A_UUID(c->actor.account), A_I64S(items, n)));
	*denied = row_bool(&r, 0, 0);
	return ERR_OK;
}

enum err claim_tell_contributors(struct call *c, const struct erasure *e, struct str packed)
{
	int64_t *items;
	struct rows r;
	size_t n = items_unpack(c->arena, packed, &items);
	TRY(db_query(c, claim_contributors, &r, A_UUID(e->coop), A_I64S(items, n)));
	for (int i = 0; i < r.n; i++)
		TRY(tell_account(c, row_uuid(&r, i, 0), e->coop, "deletion.restricted", uuid_format(c->arena, e->id), "Something that you contributed is held back",
			STR("Somebody says that an item of yours is about them. It is in no release until the co-op's admins have looked at it; you are told what they decide."), STR_NONE));
	return ERR_OK;
}

enum err claim_tell_outcome(struct call *c, const struct erasure *e, struct str packed, bool erased)
{
	int64_t *items;
	struct rows r;
	size_t n = items_unpack(c->arena, packed, &items);
	if (e->asker != ERASURE_SUBJECT)
		return ERR_OK;
	TRY(db_query(c, claim_contributors, &r, A_UUID(e->coop), A_I64S(items, n)));
	for (int i = 0; i < r.n; i++)
		TRY(tell_account(c, row_uuid(&r, i, 0), e->coop, erased ? "deletion.claim_accepted" : "deletion.claim_denied", uuid_format(c->arena, e->id),
			erased ? "Something that you contributed is deleted" : "What was held back is no longer held back",
			erased ? STR("It was about somebody who does not want it here, and is deleted.") : STR("The claim about an item of yours was not accepted."), STR_NONE));
	return ERR_OK;
}

/* ---- Answering ---- */

/* Nobody decides about a claim against what they contributed themselves, while there is another who can. */
static enum err check_unbiased(struct call *c, const struct erasure_locked *l)
{
	struct rows r;
	int64_t *items;
	if (l->e.asker != ERASURE_SUBJECT)
		return ERR_OK;
	size_t n = items_unpack(c->arena, l->items, &items);
	TRY(db_one(c, claim_about_own, &r, A_UUID(l->e.coop), A_I64S(items, n), A_UUID(c->actor.account)));
	return row_bool(&r, 0, 0) ? fail_reason(c, ERR_FORBIDDEN, "own_item", "This is about something that you contributed: another admin decides.") : ERR_OK;
}

/* Locks a request for an admin who did not make it. */
static enum err take(struct call *c, struct uuid coop, struct uuid id, struct erasure_locked *l)
{
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(pool_lock(c, coop));
	TRY(member_require_admin(c, coop));
	TRY(erasure_lock(c, coop, id, l));
	if (l->e.mine)
		return fail_reason(c, ERR_FORBIDDEN, "own_request", "Another admin decides about your own request.");
	return check_unbiased(c, l);
}

enum err erasure_accept(struct call *c, struct uuid coop, struct uuid id, struct erasure *out)
{
	struct erasure_locked l;
	TRY(take(c, coop, id, &l));
	if (l.e.state != ERASURE_VERIFIED) {
		*out = l.e;
		return l.e.asker == ERASURE_SUBJECT && l.e.effective_at != INSTANT_NONE ? db_commit(c) : fail_reason(c, ERR_STATE, "not_waiting", "This request does not wait for an answer.");
	}
	TRY(tell_asker(c, &l.e, "deletion.accepted", "Your claim was accepted", str_fmt(c->arena, "%.*s are deleted, here and wherever a release that held them went.", STR_ARG(items_words(c->arena, &l.e)))));
	TRY(claim_tell_outcome(c, &l.e, l.items, true));
	TRY(claim_forget(c, coop, id));
	TRY(erasure_take_effect(c, &l, "admin", ""));
	TRY(erasure_get(c, coop, id, out));
	return db_commit(c);
}

enum err erasure_deny(struct call *c, struct uuid coop, struct uuid id, struct str code, struct str reason, struct erasure *out)
{
	struct erasure_locked l;
	const char *words = erasure_denial_words(code);
	if (!words)
		return fail_field(c, "/code", "There is no such code.");
	TRY(call_check_text(c, "/reason", reason.p ? reason : STR(""), 3, LIMIT_TEXT_NOTE));
	TRY(take(c, coop, id, &l));
	if (l.e.state != ERASURE_VERIFIED && l.e.state != ERASURE_RECEIVED)
		return fail_reason(c, ERR_STATE, "not_waiting", "This request does not wait for an answer.");
	l.e.denial_code = code;
	l.e.denial_reason = reason;
	/* What a member never confirmed is not for others to vote on: an appeal that passed would delete it without them. */
	l.e.appeal_until = l.e.state == ERASURE_VERIFIED ? clock_now() + ERASURE_APPEAL_LIFE : INSTANT_NONE;
	TRY(tell_asker(c, &l.e, "deletion.denied", "Your request was denied",
		str_fmt(c->arena, "Because %s: %.*s", words, STR_ARG(reason))));
	TRY(erasure_move(c, &l, ERASURE_DENIED, "admin", ""));
	TRY(erasure_get(c, coop, id, out));
	return db_commit(c);
}

enum err erasure_extend(struct call *c, struct uuid coop, struct uuid id, struct str reason, struct erasure *out)
{
	struct erasure_locked l;
	struct charter charter;
	TRY(call_check_text(c, "/reason", reason.p ? reason : STR(""), 3, LIMIT_TEXT_NOTE));
	TRY(take(c, coop, id, &l));
	TRY(charter_current(c, coop, &charter));
	if (erasure_over(l.e.state))
		return fail_reason(c, ERR_STATE, "over", "This request is over.");
	if (l.e.extended_at != INSTANT_NONE)
		return fail_reason(c, ERR_STATE, "extended", "More time is taken once, two months at most, and it was.");
	if (clock_now() > due_date(l.e.received_at, 1, charter.region))
		return fail_reason(c, ERR_STATE, "too_late", "More time can be taken within the first month only.");
	instant due = due_date(l.e.received_at, 3, charter.region);
	l.e.due_at = due;
	l.e.extended_reason = reason;
	TRY(db_exec(c, erasure_set_extended, A_UUID(coop), A_UUID(id), A_STR(reason), A_TIME(due)));
	TRY(tell_asker(c, &l.e, "deletion.extended", "Your request takes longer", str_fmt(c->arena, "It is answered and done by %.*s.", STR_ARG(day_words(c->arena, due)))));
	TRY(erasure_note(c, &l.e, "extended", "admin", ""));
	TRY(erasure_leaf(c, &l.e, "deletion.extended"));
	TRY(erasure_get(c, coop, id, out));
	return db_commit(c);
}
