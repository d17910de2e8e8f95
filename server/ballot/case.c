#include "commonhold/db.h"

#include "ballot_internal.h"

/* What a ballot depends on, streamed into flat arrays by member number: nothing is asked of the database per member. The same rows give the same case for ever, whenever it is asked. */

SQL(closing_size,
	"SELECT (SELECT coalesce(max(number) + 1, 0) FROM membership WHERE coop_id = $1)::bigint, "
	"(SELECT count(*) FROM vote WHERE coop_id = $1 AND ballot_id = $2), "
	"(SELECT number FROM membership WHERE coop_id = $1 AND id = $3)");
SQL(board_said, "SELECT member_no, choice, at FROM board_resolution WHERE coop_id = $1 AND ballot_id = $2 ORDER BY seq");
static const char roll_sql[] = "COPY (SELECT member_no, is_admin::int FROM ballot_roll WHERE coop_id = $1 AND ballot_id = $2) TO STDOUT (FORMAT binary)";
static const char votes_sql[] = "COPY (SELECT seq, member_no, on_behalf_no, choice, at FROM vote WHERE coop_id = $1 AND ballot_id = $2) TO STDOUT (FORMAT binary)";
/* Who was not in good standing at an instant: whoever changed since then is taken back to the state before the first change. */
static const char absent_sql[] =
	"COPY (SELECT m.number FROM membership m LEFT JOIN (SELECT DISTINCT ON (member_id) member_id, from_state FROM membership_event WHERE coop_id = $1 AND at > $2 "
	"ORDER BY member_id, seq) e ON e.member_id = m.id WHERE m.coop_id = $1 AND "
	"CASE WHEN m.state_at > $2 THEN coalesce(e.from_state, 'applied') ELSE m.state END NOT IN ('active', 'due', 'grace')) TO STDOUT (FORMAT binary)";

/* ---- Loading ---- */

static enum err changed(struct call *c)
{
	return fail(c, ERR_CORRUPT, "A ballot's rows do not fit each other.");
}

static enum err take_roll(void *arg, const struct copy_field *f, int n)
{
	struct ballot_case *k = arg;
	int64_t no = n == 2 ? copy_int(f[0]) : -1;
	if (no < 0 || (size_t)no >= k->n)
		return changed(k->call);
	bool admin = copy_int(f[1]) != 0;
	k->roll[no] = admin ? BALLOT_ON_ROLL | BALLOT_ROLL_ADMIN : BALLOT_ON_ROLL;
	k->admins += admin;
	return ERR_OK;
}

static enum err take_cast(void *arg, const struct copy_field *f, int n)
{
	struct ballot_case *k = arg;
	if (n != 5 || k->n_casts == k->room)
		return changed(k->call);
	struct str word = copy_bytes(f[3]);
	int choice = ballot_choice_find(word.p, word.n);
	int64_t member = copy_int(f[1]), principal = f[2].n < 0 ? 0 : copy_int(f[2]);
	if (choice < 0 || member < 0 || (size_t)member >= k->n || principal < 0 || (size_t)principal >= k->n)
		return changed(k->call);
	k->casts[k->n_casts++] = (struct ballot_cast){
		.seq = copy_int(f[0]), .at = copy_time(f[4]), .member = (uint32_t)member, .principal = f[2].n < 0 ? POLICY_NO_DECIDER : (uint32_t)principal, .choice = (uint8_t)choice,
	};
	return ERR_OK;
}

static enum err load_stances(struct ballot_case *k)
{
	struct rows r;
	TRY(db_query(k->call, board_said, &r, A_UUID(k->ballot->coop), A_UUID(k->ballot->id)));
	k->stances = ARENA_ARRAY(k->arena, (size_t)r.n + 1, struct ballot_stance);
	for (int i = 0; i < r.n; i++) {
		struct str word = row_str(&r, i, 1);
		int choice = ballot_choice_find(word.p, word.n);
		k->stances[k->n_stances++] = (struct ballot_stance){ row_time(&r, i, 2), (uint32_t)row_int(&r, i, 0), choice < 0 ? BALLOT_NONE : (uint8_t)choice };
	}
	return ERR_OK;
}

enum err ballot_case_load(struct ballot_case *k, instant end)
{
	struct call *c = k->call;
	const struct ballot_locked *b = k->ballot;
	struct db_arg which[] = { A_UUID(b->coop), A_UUID(b->id) };
	struct rows r;
	TRY(charter_version(c, b->coop, b->charter, &k->charter));
	TRY(ballot_rule_of(c, b->rule, &k->rule));
	TRY(db_one(c, closing_size, &r, A_UUID(b->coop), A_UUID(b->id), A_UUID_OR_NULL(b->proposer)));
	k->n = (size_t)row_int(&r, 0, 0);
	k->room = (size_t)row_int(&r, 0, 1);
	k->proposer = row_null(&r, 0, 2) ? POLICY_NO_DECIDER : (uint32_t)row_int(&r, 0, 2);
	k->roll = ARENA_ARRAY(k->arena, k->n + 1, uint8_t);
	k->casts = ARENA_ARRAY(k->arena, k->room + 1, struct ballot_cast);
	if (!k->roll || !k->casts)
		return fail(c, ERR_NO_MEMORY, "The ballot does not fit into memory.");
	TRY(db_copy_out(c, roll_sql, which, 2, take_roll, k));
	if (k->room > 0)
		TRY(db_copy_out(c, votes_sql, which, 2, take_cast, k));
	TRY(load_stances(k));
	return delegation_edges_as_of(c, k->arena, b->coop, POLICY_QUESTION_VOTE, end - 1, &k->edges, &k->n_edges);
}

/* ---- As of an instant ---- */

/* The members' standing at the instant. */
struct standing { struct ballot_case *k; uint8_t *active; };

static enum err take_absent(void *arg, const struct copy_field *f, int n)
{
	struct standing *s = arg;
	int64_t no = n == 1 ? copy_int(f[0]) : -1;
	if (no < 0 || (size_t)no >= s->k->n)
		return changed(s->k->call);
	s->active[no] = 0;
	return ERR_OK;
}

static enum err standings_at(struct ballot_case *k, instant at, uint8_t **out)
{
	struct standing s = { k, ARENA_ARRAY(k->arena, k->n + 1, uint8_t) };
	if (!s.active)
		return fail(k->call, ERR_NO_MEMORY, "The ballot does not fit into memory.");
	memset(s.active, 1, k->n);
	*out = s.active;
	return db_copy_out(k->call, absent_sql, (struct db_arg[]){ A_UUID(k->ballot->coop), A_TIME(at) }, 2, take_absent, &s);
}

static bool between(instant t, instant from, instant to)
{
	return t > from && t <= to;
}

enum err ballot_case_moved(struct ballot_case *k, instant from, instant to, const uint8_t *active, bool *out)
{
	uint8_t *before;
	*out = true;
	for (size_t i = 0; i < k->n_casts; i++)
		if (between(k->casts[i].at, from, to))
			return ERR_OK;
	for (size_t i = 0; i < k->n_stances; i++)
		if (between(k->stances[i].at, from, to))
			return ERR_OK;
	for (size_t i = 0; i < k->n_edges; i++) {
		const struct policy_edge *e = &k->edges[i];
		if (between(e->accepted_at, from, to) || between(e->starts, from, to) || between(e->ends, from, to) || between(e->revoked_at, from, to))
			return ERR_OK;
	}
	TRY(standings_at(k, from, &before));
	*out = memcmp(before, active, k->n) != 0;
	return ERR_OK;
}

/* What the ballot comes to if it ended with the votes, delegations, standings and stances up to and with `at`. */
enum err ballot_case_outcome(struct ballot_case *k, instant at, struct ballot_facts *f, struct ballot_outcome *out)
{
	const struct ballot_locked *b = k->ballot;
	uint8_t *choice = ARENA_ARRAY(k->arena, k->n + 2, uint8_t), *active = NULL;
	struct ballot_mandate *mandates;
	size_t n_mandates;
	TRY(standings_at(k, at, &active));
	if (!choice || !ballot_fold_casts(k->arena, k->casts, k->n_casts, k->n, at, choice, &mandates, &n_mandates))
		return fail(k->call, ERR_NO_MEMORY, "The ballot does not fit into memory.");
	choice[k->n] = (uint8_t)ballot_board_at(k->arena, k->stances, k->n_stances, k->roll, k->n, at, k->charter.board_n, k->charter.board_d, k->charter.board_strict);
	*f = (struct ballot_facts){
		.n = k->n, .roll = k->roll, .active = active, .choice = choice, .edges = k->edges, .n_edges = k->n_edges, .mandates = mandates, .n_mandates = n_mandates,
		.ask = { .question = POLICY_QUESTION_VOTE, .topic = (uint8_t)ballot_topic_of(b->kind), .depth = (uint8_t)k->charter.delegation_depth, .board_active = 1,
			.cap = k->charter.delegation_cap, .target = delegation_target(b->id), .at = at },
		.proposer = k->proposer, .members_last_year = (uint32_t)b->members_last_year, .admins_last_year = (uint32_t)b->admins_last_year,
		.rule = k->rule.nodes, .n_rule = k->rule.n,
	};
	enum err err = ballot_outcome_of(k->arena, f, out);
	return err == ERR_OK ? ERR_OK : fail(k->call, err, "The outcome of the ballot cannot be worked out.");
}
