#include "server/coop/delegation_internal.h"

#include <stdlib.h>

/* How decisions concentrate: all delegations of one question resolved once, as if everybody who delegates no further decided. Set-based: one pass over members and edges. */

#define TOP 20

static const char members_sql[] = "COPY (SELECT number, state FROM membership WHERE coop_id = $1) TO STDOUT (FORMAT binary)";
SQL(members_size, "SELECT coalesce(max(number) + 1, 0)::bigint FROM membership WHERE coop_id = $1");
SQL(edge_counts,
	"SELECT count(*) FILTER (WHERE state = 'standing' AND ends > commonhold_now()), count(*) FILTER (WHERE state = 'asked'), count(*) FILTER (WHERE state = 'suspended') "
	"FROM delegation_now WHERE coop_id = $1 AND question = $2");
/* Stale: the one who delegates, or the one who decides, has done nothing here for a year. */
SQL(stale_edges,
	"WITH act AS MATERIALIZED (SELECT m.number FROM membership m WHERE m.coop_id = $1 AND m.joined_at <= commonhold_now() - interval '1 year' "
	"  AND NOT EXISTS (SELECT FROM vote v WHERE v.coop_id = $1 AND v.member_id = m.id AND v.at > commonhold_now() - interval '1 year') "
	"  AND NOT EXISTS (SELECT FROM statement s WHERE s.coop_id = $1 AND s.member_id = m.id AND s.declared_at > commonhold_now() - interval '1 year') "
	"  AND NOT EXISTS (SELECT FROM consent k WHERE k.coop_id = $1 AND k.member_id = m.id AND k.at > commonhold_now() - interval '1 year') "
	"  AND NOT EXISTS (SELECT FROM membership_event e WHERE e.coop_id = $1 AND e.member_id = m.id AND e.by_account = m.account_id AND e.at > commonhold_now() - interval '1 year')) "
	"SELECT n.delegate_no, count(*) FROM delegation_now n WHERE n.coop_id = $1 AND n.question = $2 AND n.state = 'standing' AND n.ends > commonhold_now() AND n.delegate_no <> -3 "
	"AND (n.principal_no IN (SELECT number FROM act) OR n.delegate_no IN (SELECT number FROM act)) GROUP BY n.delegate_no");
SQL(names_of,
	"SELECT u.no, m.id, " MEMBER_FACE("m") " "
	"FROM unnest($2::bigint[]) AS u (no) JOIN membership m ON m.coop_id = $1 AND m.number = u.no");

/* What the pass works on, by member number. */
struct tally {
	uint8_t *active, *decided;   /* decided has one more for the board */
	size_t n;                    /* members there are */
	struct policy_edge *edges;
	size_t n_edges;
	struct policy_path *paths;
	int *weight, *direct;        /* members decided for, and edges, of each; one more for the board */
	uint32_t *order;             /* of deciders, heaviest first */
};

static void *tally_alloc(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

static enum err take_member(void *arg, const struct copy_field *f, int n)
{
	struct tally *t = arg;
	int64_t no = n == 2 ? copy_int(f[0]) : -1;
	if (no < 0 || (size_t)no >= t->n)
		return ERR_CORRUPT;
	struct str state = copy_bytes(f[1]);
	int standing = policy_standing_find(state.p ? state.p : "", state.n);
	t->active[no] = standing >= 0 && in_good_standing((enum policy_standing)standing);
	return ERR_OK;
}

static enum err load(struct call *c, struct arena *a, struct uuid coop, enum policy_question question, struct tally *t)
{
	struct rows r;
	TRY(db_one(c, members_size, &r, A_UUID(coop)));
	*t = (struct tally){ .n = (size_t)row_int(&r, 0, 0) };
	t->active = ARENA_ARRAY(a, t->n + 1, uint8_t);
	t->decided = ARENA_ARRAY(a, t->n + 1, uint8_t);
	t->paths = ARENA_ARRAY(a, t->n + 1, struct policy_path);
	t->weight = ARENA_ARRAY(a, t->n + 1, int);
	t->direct = ARENA_ARRAY(a, t->n + 1, int);
	t->order = ARENA_ARRAY(a, t->n + 1, uint32_t);
	if (!t->active || !t->decided || !t->paths || !t->weight || !t->direct || !t->order)
		return fail(c, ERR_NO_MEMORY, "The co-op is too large for this report.");
	enum err e = db_copy_out(c, members_sql, &A_UUID(coop), 1, take_member, t);
	if (e == ERR_CORRUPT && c->error.code == ERR_OK)
		return fail(c, ERR_RETRY, "The members of a co-op changed while they were read.");
	TRY(e);
	return delegation_edges_load(c, a, coop, question, &t->edges, &t->n_edges);
}

/* Twice: who delegates at all, then what that leads to when all others decide. */
static enum err resolve(struct call *c, struct arena *a, const struct charter *charter, const struct delegation_report *about, struct tally *t)
{
	struct policy_mem mem = { tally_alloc, a };
	struct policy_voices voices = { .n = t->n, .active = t->active };
	struct policy_ask ask = { .question = (uint8_t)about->question, .topic = (uint8_t)about->topic, .depth = (uint8_t)charter->delegation_depth, .board_active = 1,
		.cap = charter->delegation_cap, .at = about->at };
	enum policy_status status = policy_delegation_resolve(t->edges, t->n_edges, &voices, &ask, &mem, t->paths);
	for (size_t m = 0; m < t->n; m++)
		t->decided[m] = t->active[m] && t->paths[m].edge == POLICY_NO_EDGE;
	t->decided[t->n] = 1;
	voices.decided = t->decided;
	if (status == POLICY_OK)
		status = policy_delegation_resolve(t->edges, t->n_edges, &voices, &ask, &mem, t->paths);
	return status == POLICY_OK ? ERR_OK : fail(c, ERR_NO_MEMORY, "The co-op is too large for this report.");
}

enum err delegation_cut_by_cap(struct call *c, const struct charter *charter, uint32_t member_no, const struct delegation_path *about, bool *cut)
{
	struct tally t;
	struct delegation_report whole = { .question = about->question, .topic = about->topic, .at = about->at };
	struct arena *large = arena_new(LIMIT_DECIDE_ARENA);
	*cut = false;
	if (!large)
		return fail(c, ERR_NO_MEMORY, "There is no memory to follow all delegations.");
	enum err e = load(c, large, charter->coop, about->question, &t);
	if (e == ERR_OK)
		e = resolve(c, large, charter, &whole, &t);
	*cut = e == ERR_OK && member_no < t.n && t.paths[member_no].via == POLICY_VIA_CAP;
	arena_free(large);
	return e;
}

static size_t place(const struct tally *t, uint32_t who)
{
	return who < t->n ? who : t->n;
}

static void weigh(struct delegation_report *out, struct tally *t)
{
	for (size_t m = 0; m < t->n; m++) {
		const struct policy_path *path = &t->paths[m];
		if (!t->active[m])
			continue;
		out->members++;
		if (path->via == POLICY_VIA_OWN || path->via == POLICY_VIA_DECIDED)
			t->weight[place(t, path->decider)]++;
		else
			out->undecided[path->via]++;
		out->represented += path->via == POLICY_VIA_DECIDED;
		if (path->edge != POLICY_NO_EDGE && t->edges[path->edge].delegate != POLICY_NOBODY)
			t->direct[place(t, t->edges[path->edge].delegate)]++;
	}
}

static int heavier(const void *a, const void *b, void *arg)
{
	const struct tally *t = arg;
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
	if (t->weight[x] != t->weight[y])
		return t->weight[y] - t->weight[x];
	if (t->direct[x] != t->direct[y])
		return t->direct[y] - t->direct[x];
	return x < y ? -1 : x > y;
}

/* The deciders in order, and how few of them hold more than half. */
static size_t rank(struct delegation_report *out, struct tally *t)
{
	size_t n = 0;
	int64_t held = 0;
	for (uint32_t who = 0; who <= t->n; who++)
		if (t->weight[who] > 0)
			t->order[n++] = who;
	qsort_r(t->order, n, sizeof *t->order, heavier, t);
	out->deciders = (int)n;
	for (size_t i = 0; i < n && held * 2 <= out->members; i++, out->majority_of++)
		held += t->weight[t->order[i]];
	return n;
}

static int number_in_top(const struct tally *t, size_t n_top, uint32_t who)
{
	for (size_t i = 0; i < n_top; i++)
		if (t->order[i] == place(t, who))
			return (int)i;
	return -1;
}

/* Who hands on to whom: the effective edges, those who are not among the heaviest together. */
static void find_flows(struct call *c, struct delegation_report *out, const struct tally *t)
{
	size_t n = out->n_top + 1;
	int *count = ARENA_ARRAY(c->arena, n * n, int);
	for (size_t m = 0; m < t->n; m++) {
		const struct policy_path *path = &t->paths[m];
		if (!t->active[m] || path->via != POLICY_VIA_DECIDED)
			continue;
		int from = number_in_top(t, out->n_top, (uint32_t)m), to = number_in_top(t, out->n_top, path->decider);
		count[(size_t)(from + 1) * n + (size_t)(to + 1)]++;
	}
	out->flows = ARENA_ARRAY(c->arena, n * n, struct delegation_flow);
	for (size_t i = 0; i < n * n; i++)
		if (count[i])
			out->flows[out->n_flows++] = (struct delegation_flow){ (int)(i / n) - 1, (int)(i % n) - 1, count[i] };
}

static enum err take_top(struct call *c, struct delegation_report *out, const struct tally *t, size_t n)
{
	struct rows r;
	int64_t numbers[TOP];
	out->top = ARENA_ARRAY(c->arena, TOP, struct delegation_weight);
	for (size_t i = 0; i < n && out->n_top < TOP && t->weight[t->order[i]] > 1; i++) {
		uint32_t who = t->order[i];
		numbers[out->n_top] = who < t->n ? (int64_t)who : -2;
		out->top[out->n_top++] = (struct delegation_weight){ .name = STR("the board"), .direct = t->direct[who], .weight = t->weight[who], .pivotal = (int)i < out->majority_of };
	}
	TRY(db_query(c, names_of, &r, A_UUID(c->coop), A_I64S(numbers, out->n_top)));
	for (int row = 0; row < r.n; row++)
		for (size_t i = 0; i < out->n_top; i++)
			if (numbers[i] == row_int(&r, row, 0)) {
				out->top[i].member = row_uuid(&r, row, 1);
				out->top[i].name = row_str(&r, row, 2);
			}
	TRY(db_query(c, stale_edges, &r, A_UUID(c->coop), A_INT((int)out->question)));
	for (int row = 0; row < r.n; row++) {
		out->stale += (int)row_int(&r, row, 1);
		for (size_t i = 0; i < out->n_top; i++)
			if (numbers[i] == row_int(&r, row, 0))
				out->top[i].stale = (int)row_int(&r, row, 1);
	}
	return ERR_OK;
}

static void free_arena(void *arena)
{
	arena_free(arena);
}

enum err delegation_report(struct call *c, struct uuid coop, enum policy_question question, unsigned topic, struct delegation_report *out)
{
	struct member me;
	struct charter charter;
	struct tally t;
	struct rows r;
	if (topic >= delegation_topic_count(question))
		return fail_reason(c, ERR_INVALID, "delegation_topic", question == POLICY_QUESTION_VOTE ? "There is no such kind of ballot." : "There is no such use.");
	struct arena *large = arena_new(LIMIT_DECIDE_ARENA);
	if (!large || !arena_defer(c->arena, free_arena, large))
		return fail(c, ERR_NO_MEMORY, "There is no memory for this report.");
	*out = (struct delegation_report){ .question = question, .topic = topic, .at = clock_now() };
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(require_member(c, coop, &me));
	TRY(charter_current(c, coop, &charter));
	TRY(load(c, large, coop, question, &t));
	TRY(resolve(c, large, &charter, out, &t));
	weigh(out, &t);
	size_t n = rank(out, &t);
	TRY(take_top(c, out, &t, n));
	find_flows(c, out, &t);
	TRY(db_one(c, edge_counts, &r, A_UUID(coop), A_INT((int)question)));
	out->edges = (int)row_int(&r, 0, 0);
	out->asked = (int)row_int(&r, 0, 1);
	out->suspended = (int)row_int(&r, 0, 2);
	return db_commit(c);
}
