#include "erasure_internal.h"

#include "commonhold/pool.h"
#include "commonhold/release.h"

/* What time does to requests: those that nobody confirmed lapse, denials that nobody appealed against become final, admins are reminded before a due date and told of one that passed.
 * Everything is counted from what is stored, so that a clock that jumps, or a day without a run, changes nothing but when it happens. */

#define REMIND_BEFORE (7 * CLOCK_DAY)
#define STUCK_AFTER CLOCK_DAY /* jobs that died, as when the disk was full for long, are queued again */
#define COOPS_AT_ONCE 500
#define AT_ONCE 200

SQL(erasure_coops, "SELECT id FROM coop WHERE id > $1 ORDER BY id LIMIT $2");
SQL(daily_lapsed, "SELECT id FROM erasure WHERE coop_id = $1 AND state = 'received' AND scope <> 'account' AND received_at < $2 LIMIT $3");
SQL(daily_final, "SELECT id FROM erasure WHERE coop_id = $1 AND state = 'denied' AND appeal_until < commonhold_now() AND appeal_ballot_id IS NULL AND restriction_id IS NOT NULL AND restricted_until IS NULL LIMIT $2");
SQL(daily_due,
	"SELECT e.id, e.due_at < commonhold_now() FROM erasure e WHERE e.coop_id = $1 AND e.state IN ('verified', 'effective') AND e.due_at < $2 AND NOT EXISTS "
	"(SELECT FROM erasure_event v WHERE v.coop_id = $1 AND v.erasure_id = e.id AND v.event = CASE WHEN e.due_at < commonhold_now() THEN 'overdue' ELSE 'reminded' END) ORDER BY e.due_at LIMIT $3");
SQL(daily_stuck,
	"SELECT e.id FROM erasure e WHERE e.coop_id = $1 AND e.effective_at < $2 AND (e.state IN ('effective', 'purged') OR "
	"(e.state = 'propagating' AND NOT EXISTS (SELECT FROM duty d WHERE d.coop_id = $1 AND d.erasure_id = e.id AND d.ended_at IS NULL))) ORDER BY e.effective_at DESC LIMIT $3");

static enum err lapse(struct call *c, struct uuid coop, struct uuid id)
{
	struct erasure_locked l;
	TRY(erasure_lock(c, coop, id, &l));
	if (l.e.state != ERASURE_RECEIVED)
		return ERR_OK;
	l.e.denial_code = STR("insuf_verification");
	l.e.denial_reason = STR("It was not confirmed in time.");
	l.e.appeal_until = INSTANT_NONE;
	TRY(tell_asker(c, &l.e, "deletion.denied", "A request lapsed", STR("It was not confirmed in time. Nothing was deleted.")));
	return erasure_move(c, &l, ERASURE_DENIED, "instance", "It was not confirmed in time.");
}

static enum err make_final(struct call *c, struct uuid coop, struct uuid id)
{
	struct erasure_locked l;
	TRY(erasure_lock(c, coop, id, &l));
	if (l.e.state != ERASURE_DENIED || !uuid_is_nil(l.e.appeal_ballot) || !l.restricted)
		return ERR_OK;
	TRY(claim_tell_outcome(c, &l.e, l.items, false));
	TRY(erasure_unrestrict(c, &l));
	TRY(claim_forget(c, coop, id));
	return erasure_leaf(c, &l.e, "deletion.denial_final");
}

static enum err remind(struct call *c, struct uuid coop, struct uuid id, bool overdue)
{
	struct erasure e;
	TRY(erasure_get(c, coop, id, &e));
	struct str day = day_words(c->arena, e.due_at);
	const char *waits = e.state == ERASURE_VERIFIED ? "It waits for your answer." : "It counts, and what was asked to go is not gone everywhere here yet.";
	TRY(tell_admins(c, &e, overdue ? "deletion.overdue" : "deletion.due", overdue ? "A request for deletion is overdue" : "A request for deletion is due soon",
		str_fmt(c->arena, "It %s %.*s (GDPR Art. 12(3)). %s", overdue ? "was due by" : "is due by", STR_ARG(day), waits)));
	if (overdue && e.state == ERASURE_VERIFIED)
		TRY(tell_asker(c, &e, "deletion.late", "Your request is late",
			str_fmt(c->arena, "The co-op should have answered by %.*s. Its admins were told again. You may complain to your data protection authority.", STR_ARG(day))));
	return erasure_note(c, &e, overdue ? "overdue" : "reminded", "instance", "");
}

/* One kind of duty, so many at a time, each lot a transaction. */
typedef enum err (*each_fn)(struct call *c, struct uuid coop, const struct rows *r, int i);

static enum err each_lapsed(struct call *c, struct uuid coop, const struct rows *r, int i)
{
	return lapse(c, coop, row_uuid(r, i, 0));
}

static enum err each_final(struct call *c, struct uuid coop, const struct rows *r, int i)
{
	return make_final(c, coop, row_uuid(r, i, 0));
}

static enum err each_due(struct call *c, struct uuid coop, const struct rows *r, int i)
{
	return remind(c, coop, row_uuid(r, i, 0), row_bool(r, i, 1));
}

/* Whichever job the request waits for: to be completed, to be carried, or for a redaction after which files may go. */
static enum err each_stuck(struct call *c, struct uuid coop, const struct rows *r, int i)
{
	struct erasure e;
	int64_t left = 0;
	TRY(erasure_get(c, coop, row_uuid(r, i, 0), &e));
	if (e.state == ERASURE_PROPAGATING)
		return erasure_queue_complete(c, coop, e.id);
	if (e.last_idx >= 0)
		TRY(release_not_cleared(c, coop, e.last_idx, &left));
	if (left)
		TRY(release_redact(c, coop, clock_now()));
	return erasure_queue_carry(c, coop, e.id, clock_now());
}

static enum err find(struct call *c, struct uuid coop, int which, struct rows *r)
{
	struct db_arg here = A_UUID(coop), most = A_INT(AT_ONCE);
	switch (which) {
	case 0:
		return db_query(c, daily_lapsed, r, here, A_TIME(clock_now() - ERASURE_CONFIRM_LIFE), most);
	case 1:
		return db_query(c, daily_final, r, here, most);
	case 2:
		return db_query(c, daily_due, r, here, A_TIME(clock_now() + REMIND_BEFORE), most);
	default:
		return db_query(c, daily_stuck, r, here, A_TIME(clock_now() - STUCK_AFTER), most);
	}
}

static enum err coop_take(struct call *c, struct uuid coop)
{
	static const each_fn each[] = { each_lapsed, each_final, each_due, each_stuck };
	for (int which = 0; which < (int)CH_LEN(each); which++) {
		int n = AT_ONCE;
		for (int lot = 0; n == AT_ONCE && lot < (which == 3 ? 1 : 1000); lot++) {
			struct arena_mark mark = arena_mark(c->arena);
			struct rows r;
			TRY(db_begin_in(c, coop, DB_WRITE));
			TRY(pool_lock(c, coop));
			TRY(find(c, coop, which, &r));
			n = r.n;
			for (int i = 0; i < n; i++)
				TRY(each[which](c, coop, &r, i));
			TRY(db_commit(c));
			arena_rewind(c->arena, mark);
		}
	}
	return ERR_OK;
}

static enum err coops_take(struct call *c, struct uuid *last, int *n, struct error *failed)
{
	struct rows r;
	TRY(db_begin(c, DB_READ));
	TRY(db_finish(c, erasure_coops, &r, A_UUID(*last), A_I64(COOPS_AT_ONCE)));
	*n = r.n;
	struct uuid *ids = ARENA_ARRAY(c->arena, (size_t)r.n + 1, struct uuid);
	for (int i = 0; i < *n; i++)
		ids[i] = *last = row_uuid(&r, i, 0);
	for (int i = 0; i < *n; i++) {
		enum err e = coop_take(c, ids[i]);
		if (e == ERR_UNAVAILABLE)
			return e;
		if (e != ERR_OK) {
			/* One co-op's trouble is not the others'. */
			db_rollback(c);
			*failed = c->error;
			error_clear(&c->error);
		}
		if (c->job && i % 16 == 0)
			TRY(job_extend(c));
	}
	return ERR_OK;
}

enum err erasure_daily_run(struct call *c, const struct json *args)
{
	struct uuid last = { { 0 } };
	struct error failed = { 0 };
	int n = COOPS_AT_ONCE;
	(void)args;
	TRY(account_request_lapse(c));
	TRY(account_request_resume(c, clock_now() - STUCK_AFTER));
	while (n == COOPS_AT_ONCE)
		TRY(coops_take(c, &last, &n, &failed));
	c->error = failed;
	return failed.code;
}
