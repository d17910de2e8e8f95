#include "server/coop/delegation_internal.h"

/* What happens to delegations without the two people acting on them: checkups, ends of memberships, ends that were chosen. Set-based; everybody concerned is told. */

#define NOW_LIVE "n.state IN ('asked', 'standing', 'suspended')"

SQL(end_of_members,
	"WITH gone AS (UPDATE delegation_now n SET state = 'ended', reason = $3, revoked_at = commonhold_now() FROM membership m "
	"  WHERE n.coop_id = $1 AND m.coop_id = $1 AND m.id = ANY ($2) AND " NOW_LIVE " AND (n.delegate_no = m.number OR ($4 AND n.principal_no = m.number)) "
	"  RETURNING n.edge, n.delegation_id), "
	"noted AS (INSERT INTO delegation_event (coop_id, delegation_id, kind, at, reason) SELECT $1, delegation_id, 'ended', commonhold_now(), $3 FROM gone) "
	"SELECT edge FROM gone ORDER BY edge");
SQL(suspend_members,
	"WITH resting AS (UPDATE delegation_now n SET state = 'suspended', reason = 'due', ends = least(n.ends, commonhold_now()) FROM membership m "
	"  WHERE n.coop_id = $1 AND m.coop_id = $1 AND m.id = ANY ($2) AND n.principal_no = m.number AND n.state = 'standing' "
	"  RETURNING n.delegation_id, n.question, n.principal_no), "
	"noted AS (INSERT INTO delegation_event (coop_id, delegation_id, kind, at, reason) SELECT $1, delegation_id, 'suspended', commonhold_now(), 'due' FROM resting) "
	"SELECT DISTINCT question, principal_no FROM resting ORDER BY 1, 2");
/* The end that was chosen has come, or what a single delegation was about is over. */
SQL(end_run_out,
	"WITH gone AS (UPDATE delegation_now n SET state = 'ended', reason = CASE WHEN d.chosen_end <= commonhold_now() THEN 'expired' ELSE 'over' END, revoked_at = commonhold_now() "
	"  FROM delegation d WHERE n.coop_id = $1 AND d.coop_id = $1 AND d.id = n.delegation_id AND n.state IN ('asked', 'standing') AND ("
	"    (n.ends <= commonhold_now() AND d.chosen_end <= commonhold_now()) OR "
	"    (n.scope = 2 AND n.question = 0 AND NOT EXISTS (SELECT FROM ballot b WHERE b.coop_id = $1 AND b.id = d.target AND b.state IN ('notice', 'open'))) OR "
	"    (n.scope = 2 AND n.question = 1 AND NOT EXISTS (SELECT FROM release r WHERE r.coop_id = $1 AND r.id = d.target "
	"      AND r.state IN ('scheduled', 'frozen', 'notice', 'open', 'cooling_off', 'building')))) "
	"  RETURNING n.edge, n.delegation_id, n.reason), "
	"noted AS (INSERT INTO delegation_event (coop_id, delegation_id, kind, at, reason) SELECT $1, delegation_id, 'ended', commonhold_now(), reason FROM gone) "
	"SELECT edge FROM gone ORDER BY edge");
SQL(due_moved,
	"WITH sooner AS (UPDATE delegation_now n SET ends = m.due_at FROM membership m WHERE n.coop_id = $1 AND m.coop_id = $1 AND m.id = $2 AND n.principal_no = m.number "
	"  AND n.state = 'standing' AND n.ends > m.due_at RETURNING n.delegation_id, n.ends) "
	"INSERT INTO delegation_event (coop_id, delegation_id, kind, at, by_member, ends, reason) SELECT $1, delegation_id, 'confirmed', commonhold_now(), $2, ends, 'due_moved' FROM sooner");
SQL(daily_coops, "SELECT id FROM coop WHERE id > $1 ORDER BY id LIMIT $2");

/* ---- Telling of many ---- */

static bool is_among(struct uuid id, const struct uuid *ids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (uuid_eq(id, ids[i]))
			return true;
	return false;
}

static const char *why_in_words(const char *reason)
{
	static const struct { const char *reason, *words; } table[] = {
		{ "left", "has left the co-op" }, { "removed", "is not a member of the co-op any more" }, { "lapsed", "has let the membership lapse" },
	};
	for (size_t i = 0; i < CH_LEN(table); i++)
		if (strcmp(reason, table[i].reason) == 0)
			return table[i].words;
	return "is not a current member any more";
}

static enum err tell_end_of_membership(struct call *c, const struct edge_row *e, const struct uuid *members, size_t n, const char *reason)
{
	struct str scope = delegation_scope_words(c->arena, &e->d);
	const char *why = why_in_words(reason);
	if (is_among(e->d.principal, members, n))
		return edge_tell(c, "delegation.ended", e, e->delegate_account, "You do not decide for a member any more",
			str_fmt(c->arena, "%.*s %s. You do not decide for them about %.*s any more.", STR_ARG(e->d.principal_name), why, STR_ARG(scope)), str_of(reason));
	return edge_tell(c, "delegation.ended", e, e->principal_account, "Your delegation has ended",
		str_fmt(c->arena, "%.*s %s and does not decide for you about %.*s any more. Decide yourself, or choose somebody else.", STR_ARG(e->d.delegate_name), why, STR_ARG(scope)),
		str_of(reason));
}

/* Those whose delegation ended, by question: their own delegators' chains are cut. */
static enum err tell_upstream_of(struct call *c, const struct edge_row *rows, size_t n, const char *reason)
{
	int64_t *principals = ARENA_ARRAY(c->arena, n + 1, int64_t);
	for (unsigned q = 0; q < POLICY_QUESTION_COUNT; q++) {
		size_t cut = 0;
		for (size_t i = 0; i < n; i++)
			if (rows[i].d.question == q && rows[i].d.accepted_at != INSTANT_NONE)
				principals[cut++] = rows[i].d.principal_no;
		TRY(edge_tell_upstream(c, (enum policy_question)q, principals, cut, reason));
	}
	return ERR_OK;
}

static enum err rows_of_edges(struct call *c, const struct rows *r, struct edge_row **out, size_t *n)
{
	int64_t *numbers = ARENA_ARRAY(c->arena, (size_t)r->n + 1, int64_t);
	for (int i = 0; i < r->n; i++)
		numbers[i] = row_int(r, i, 0);
	return edges_numbered(c, c->coop, numbers, (size_t)r->n, out, n);
}

/* ---- Memberships ---- */

enum err delegation_end_of_members(struct call *c, struct uuid coop, const struct uuid *members, size_t n, const char *reason)
{
	struct rows r;
	struct edge_row *rows;
	size_t n_rows;
	if (n == 0)
		return ERR_OK;
	TRY(db_query(c, end_of_members, &r, A_UUID(coop), A_UUIDS(members, n), A_Z(reason), A_BOOL(strcmp(reason, "lapsed") != 0)));
	if (r.n == 0)
		return ERR_OK;
	TRY(rows_of_edges(c, &r, &rows, &n_rows));
	for (size_t i = 0; i < n_rows; i++)
		TRY(tell_end_of_membership(c, &rows[i], members, n, reason));
	return tell_upstream_of(c, rows, n_rows, reason);
}

enum err delegation_end_of_member(struct call *c, struct uuid coop, struct uuid member, const char *reason)
{
	return delegation_end_of_members(c, coop, &member, 1, reason);
}

enum err delegation_suspend_due_many(struct call *c, struct uuid coop, const struct uuid *members, size_t n)
{
	struct rows r;
	if (n == 0)
		return ERR_OK;
	TRY(db_query(c, suspend_members, &r, A_UUID(coop), A_UUIDS(members, n)));
	int64_t *principals = ARENA_ARRAY(c->arena, (size_t)r.n + 1, int64_t);
	for (unsigned q = 0; q < POLICY_QUESTION_COUNT; q++) {
		size_t cut = 0;
		for (int i = 0; i < r.n; i++)
			if (row_int(&r, i, 0) == q)
				principals[cut++] = row_int(&r, i, 1);
		TRY(edge_tell_upstream(c, (enum policy_question)q, principals, cut, "due"));
	}
	return ERR_OK;
}

enum err delegation_suspend_due(struct call *c, struct uuid coop, struct uuid member)
{
	return delegation_suspend_due_many(c, coop, &member, 1);
}

enum err delegation_due_moved(struct call *c, struct uuid coop, struct uuid member)
{
	return db_exec(c, due_moved, A_UUID(coop), A_UUID(member));
}

/* ---- The checkup ---- */

static bool scope_still_allowed(const struct charter *charter, enum policy_scope scope)
{
	return scope == POLICY_SCOPE_COOP ? charter->delegate_coop : scope == POLICY_SCOPE_TOPIC ? charter->delegate_topic : charter->delegate_target;
}

/* The same delegation again, after a gap: a version of its own, so that the gap stays one. The delegate has accepted it before. */
static enum err resume(struct call *c, const struct charter *charter, struct edge_row *e, instant ends, struct uuid *now)
{
	struct str leaf;
	struct delegation again = e->d;
	TRY(edge_check_cap(c, charter, &e->d));
	TRY(edge_close(c, &e->d, DELEGATION_ENDED, "ended", e->d.principal, STR("renewed")));
	TRY(edge_insert(c, &again, &leaf));
	TRY(edge_open(c, &again, "confirmed", again.principal, ends));
	*now = again.id;
	return log_act(c, c->coop, "delegation.confirmed", leaf, again.principal);
}

enum err delegation_confirm(struct call *c, struct uuid coop, struct uuid member, struct uuid id, struct uuid *now)
{
	struct edge_row e;
	struct charter charter;
	*now = id;
	TRY(edge_read(c, coop, id, &e));
	if (!uuid_eq(e.d.principal, member))
		return fail(c, ERR_NOT_FOUND, "There is no such delegation.");
	if (e.d.state == DELEGATION_ASKED)
		return ERR_OK; /* waits for the delegate as before */
	if (e.d.state != DELEGATION_STANDING && e.d.state != DELEGATION_SUSPENDED)
		return fail_reason(c, ERR_STATE, "delegation_over", "This delegation is over. Make a new one.");
	TRY(charter_current(c, coop, &charter));
	instant ends = edge_end(e.d.chosen_end, e.principal_due);
	if (ends <= clock_now())
		return fail_reason(c, ERR_REFUSED, "delegation_end", "The end that you chose for this delegation has passed. Make a new one.");
	if (!scope_still_allowed(&charter, e.d.scope))
		return fail_reason(c, ERR_REFUSED, "delegation_scope", "The charter does not allow delegations of this scope any more.");
	if (e.d.delegate_kind == DELEGATE_MEMBER && !in_good_standing(e.delegate_state))
		return fail_reason(c, ERR_REFUSED, "delegation_left", "Your delegate is not a current member any more.");
	if (e.d.state == DELEGATION_SUSPENDED || e.d.ends == INSTANT_NONE || e.d.ends <= clock_now())
		return resume(c, &charter, &e, ends, now);
	TRY(edge_open(c, &e.d, "confirmed", member, ends));
	return edge_leaf(c, "delegation.confirmed", &e.d, member);
}

/* ---- What runs out ---- */

static enum err tell_run_out(struct call *c, const struct edge_row *e)
{
	struct str scope = delegation_scope_words(c->arena, &e->d);
	bool over = e->d.ended_because.p && str_is(e->d.ended_because, "over");
	if (over)
		return ERR_OK; /* the ballot or release that it was for has been told of by itself */
	TRY(edge_tell(c, "delegation.ended", e, e->principal_account, "A delegation of yours has run out",
		str_fmt(c->arena, "%.*s does not decide for you about %.*s any more: the end that you chose has come.", STR_ARG(e->d.delegate_name), STR_ARG(scope)), STR("expired")));
	return edge_tell(c, "delegation.ended", e, e->delegate_account, "You do not decide for a member any more",
		str_fmt(c->arena, "That you decide for %.*s about %.*s has run out.", STR_ARG(e->d.principal_name), STR_ARG(scope)), STR("expired"));
}

enum err delegation_daily(struct call *c, struct uuid coop, int64_t *ended)
{
	struct rows r;
	struct edge_row *rows;
	size_t n = 0;
	*ended = 0;
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(membership_lock(c, coop));
	TRY(db_query(c, end_run_out, &r, A_UUID(coop)));
	if (r.n > 0) {
		TRY(rows_of_edges(c, &r, &rows, &n));
		for (size_t i = 0; i < n; i++)
			TRY(tell_run_out(c, &rows[i]));
		TRY(tell_upstream_of(c, rows, n, "expired"));
		TRY(log_act(c, coop, "delegation.ended", str_fmt(c->arena, "{\"count\":%d}", r.n), (struct uuid){ { 0 } }));
	}
	*ended = r.n;
	return db_commit(c);
}

#define COOPS_AT_ONCE 500

static enum err daily_run(struct call *c, const struct json *args)
{
	struct uuid last = { { 0 } };
	int n = 0;
	(void)args;
	do {
		struct rows r;
		int64_t ended;
		struct arena_mark mark = arena_mark(c->arena);
		TRY(db_begin(c, DB_READ));
		TRY(db_finish(c, daily_coops, &r, A_UUID(last), A_I64(COOPS_AT_ONCE)));
		n = r.n;
		struct uuid *ids = ARENA_ARRAY(c->arena, (size_t)n + 1, struct uuid);
		for (int i = 0; i < n; i++)
			ids[i] = last = row_uuid(&r, i, 0);
		for (int i = 0; i < n; i++)
			TRY(delegation_daily(c, ids[i], &ended));
		arena_rewind(c->arena, mark);
		if (c->job)
			TRY(job_extend(c));
	} while (n == COOPS_AT_ONCE);
	return ERR_OK;
}

const struct job_kind delegation_jobs[] = {
	{ "delegation.daily", daily_run, 10, 300 },
	JOB_TABLE_END,
};
