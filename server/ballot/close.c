#include "commonhold/db.h"

#include "ballot_internal.h"

#include <stdlib.h>

/* What a closing needs is streamed into flat arrays by member number, decided on in memory (ballot_outcome.h), and streamed back. Nothing is asked of the database per member. */

SQL(closing_size,
	"SELECT (SELECT coalesce(max(number) + 1, 0) FROM membership WHERE coop_id = $1)::bigint, "
	"(SELECT count(*) FROM vote WHERE coop_id = $1 AND ballot_id = $2), "
	"(SELECT number FROM membership WHERE coop_id = $1 AND id = $3)");
SQL(board_said, "SELECT member_no, choice, at FROM board_resolution WHERE coop_id = $1 AND ballot_id = $2 ORDER BY seq");
SQL(count_store,
	"INSERT INTO ballot_count (coop_id, ballot_id, electorate, roll, yes, no, abstain, undecided, undecided_none, undecided_silent, undecided_nobody, undecided_cycle, undecided_depth, "
	"undecided_cap, undecided_expired, undecided_revoked, undecided_scope, undecided_unaccepted, undecided_faulty) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)");

static const char roll_sql[] = "COPY (SELECT member_no, is_admin::int FROM ballot_roll WHERE coop_id = $1 AND ballot_id = $2) TO STDOUT (FORMAT binary)";
static const char votes_sql[] = "COPY (SELECT seq, member_no, on_behalf_no, choice, at FROM vote WHERE coop_id = $1 AND ballot_id = $2) TO STDOUT (FORMAT binary)";
/* Who was not in good standing at an instant: whoever changed since then is taken back to the state before the first change. */
static const char absent_sql[] =
	"COPY (SELECT m.number FROM membership m LEFT JOIN (SELECT DISTINCT ON (member_id) member_id, from_state FROM membership_event WHERE coop_id = $1 AND at > $2 "
	"ORDER BY member_id, seq) e ON e.member_id = m.id WHERE m.coop_id = $1 AND "
	"CASE WHEN m.state_at > $2 THEN coalesce(e.from_state, 'applied') ELSE m.state END NOT IN ('active', 'due', 'grace')) TO STDOUT (FORMAT binary)";

/* One version of a vote. */
struct cast {
	int64_t seq;        /* order */
	instant at;         /* when it was cast */
	uint32_t member;    /* who cast it */
	uint32_t principal; /* for whom; POLICY_NO_DECIDER: an own vote */
	uint8_t choice;     /* enum ballot_choice */
};

/* One word of an admin for the board. */
struct stance { uint32_t member; uint8_t choice; instant at; };

/* Everything that the outcome can depend on, whatever instant it is taken as of. */
struct closing {
	struct call *call;
	const struct ballot_locked *ballot;
	struct arena *arena;          /* large; of the call's end */
	struct charter charter;       /* the version whose rules apply */
	struct ballot_rule rule;
	size_t n;                     /* members */
	uint8_t *roll;                /* bits, by number */
	uint32_t admins;              /* on the roll */
	struct cast *casts;           /* in any order */
	size_t n_casts, room;         /* how many, and places */
	struct stance *stances;       /* oldest first */
	size_t n_stances;             /* how many */
	struct policy_edge *edges;    /* delegations of votes */
	size_t n_edges;               /* how many */
	uint32_t proposer;            /* number */
};

/* ---- Loading ---- */

static enum err changed(struct call *c)
{
	return fail(c, ERR_CORRUPT, "A ballot's rows do not fit each other.");
}

static enum err take_roll(void *arg, const struct copy_field *f, int n)
{
	struct closing *k = arg;
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
	struct closing *k = arg;
	if (n != 5 || k->n_casts == k->room)
		return changed(k->call);
	struct str word = copy_bytes(f[3]);
	int choice = ballot_choice_find(word.p, word.n);
	int64_t member = copy_int(f[1]), principal = f[2].n < 0 ? 0 : copy_int(f[2]);
	if (choice < 0 || member < 0 || (size_t)member >= k->n || principal < 0 || (size_t)principal >= k->n)
		return changed(k->call);
	k->casts[k->n_casts++] = (struct cast){
		.seq = copy_int(f[0]), .at = copy_time(f[4]), .member = (uint32_t)member, .principal = f[2].n < 0 ? POLICY_NO_DECIDER : (uint32_t)principal, .choice = (uint8_t)choice,
	};
	return ERR_OK;
}

static enum err load_stances(struct closing *k)
{
	struct rows r;
	TRY(db_query(k->call, board_said, &r, A_UUID(k->ballot->coop), A_UUID(k->ballot->id)));
	k->stances = ARENA_ARRAY(k->arena, (size_t)r.n + 1, struct stance);
	for (int i = 0; i < r.n; i++) {
		struct str word = row_str(&r, i, 1);
		int choice = ballot_choice_find(word.p, word.n);
		k->stances[k->n_stances++] = (struct stance){ (uint32_t)row_int(&r, i, 0), choice < 0 ? BALLOT_NONE : (uint8_t)choice, row_time(&r, i, 2) };
	}
	return ERR_OK;
}

static enum err load(struct closing *k)
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
	k->casts = ARENA_ARRAY(k->arena, k->room + 1, struct cast);
	if (!k->roll || !k->casts)
		return fail(c, ERR_NO_MEMORY, "The ballot does not fit into memory.");
	TRY(db_copy_out(c, roll_sql, which, 2, take_roll, k));
	if (k->room > 0)
		TRY(db_copy_out(c, votes_sql, which, 2, take_cast, k));
	TRY(load_stances(k));
	return delegation_edges_load(c, k->arena, b->coop, POLICY_QUESTION_VOTE, &k->edges, &k->n_edges);
}

/* ---- As of an instant ---- */

/* The members' standing at the instant. */
struct standing { struct closing *k; uint8_t *active; };

static enum err take_absent(void *arg, const struct copy_field *f, int n)
{
	struct standing *s = arg;
	int64_t no = n == 1 ? copy_int(f[0]) : -1;
	if (no < 0 || (size_t)no >= s->k->n)
		return changed(s->k->call);
	s->active[no] = 0;
	return ERR_OK;
}

static enum err standings_at(struct closing *k, instant at, uint8_t **out)
{
	struct standing s = { k, ARENA_ARRAY(k->arena, k->n + 1, uint8_t) };
	if (!s.active)
		return fail(k->call, ERR_NO_MEMORY, "The ballot does not fit into memory.");
	memset(s.active, 1, k->n);
	*out = s.active;
	return db_copy_out(k->call, absent_sql, (struct db_arg[]){ A_UUID(k->ballot->coop), A_TIME(at) }, 2, take_absent, &s);
}

static int cast_order(const void *x, const void *y)
{
	const struct cast *a = x, *b = y;
	if (a->principal != b->principal)
		return a->principal < b->principal ? -1 : 1;
	if (a->member != b->member)
		return a->member < b->member ? -1 : 1;
	return (a->seq > b->seq) - (a->seq < b->seq);
}

/* The last own vote of each, and the last vote of each delegate for each principal. */
static bool fold_casts(struct closing *k, instant at, uint8_t *choice, struct ballot_mandate **mandates, size_t *n)
{
	int64_t *last = ARENA_ARRAY(k->arena, k->n + 1, int64_t);
	size_t behalf = 0;
	*n = 0;
	for (size_t i = 0; i < k->n_casts && last; i++) {
		const struct cast *v = &k->casts[i];
		if (v->at > at)
			continue;
		if (v->principal != POLICY_NO_DECIDER)
			behalf++;
		else if (v->seq >= last[v->member]) {
			last[v->member] = v->seq;
			choice[v->member] = v->choice;
		}
	}
	struct cast *list = ARENA_ARRAY(k->arena, behalf + 1, struct cast);
	*mandates = ARENA_ARRAY(k->arena, behalf + 1, struct ballot_mandate);
	if (!last || !list || !*mandates)
		return false;
	behalf = 0;
	for (size_t i = 0; i < k->n_casts; i++)
		if (k->casts[i].at <= at && k->casts[i].principal != POLICY_NO_DECIDER)
			list[behalf++] = k->casts[i];
	qsort(list, behalf, sizeof(list[0]), cast_order);
	for (size_t i = 0; i < behalf; i++) {
		bool latest = i + 1 == behalf || list[i + 1].principal != list[i].principal || list[i + 1].member != list[i].member;
		if (latest && list[i].choice != BALLOT_NONE)
			(*mandates)[(*n)++] = (struct ballot_mandate){ list[i].member, list[i].principal, list[i].choice };
	}
	return true;
}

static enum ballot_choice board_at(struct closing *k, instant at)
{
	uint8_t *word = ARENA_ARRAY(k->arena, k->n + 1, uint8_t);
	uint32_t said[BALLOT_CHOICE_COUNT] = { 0 };
	for (size_t i = 0; i < k->n_stances && word; i++)
		if (k->stances[i].at <= at && k->stances[i].member < k->n)
			word[k->stances[i].member] = k->stances[i].choice;
	for (size_t m = 0; m < k->n && word && k->n_stances > 0; m++)
		if (k->roll[m] & BALLOT_ROLL_ADMIN)
			said[word[m]]++;
	return ballot_board_choice(said, k->admins, k->charter.board_n, k->charter.board_d, k->charter.board_strict);
}

/* What the ballot comes to if it ended with the votes, delegations, standings and stances up to and with `at`. */
static enum err outcome_at(struct closing *k, instant at, struct ballot_facts *f, struct ballot_outcome *out)
{
	const struct ballot_locked *b = k->ballot;
	uint8_t *choice = ARENA_ARRAY(k->arena, k->n + 2, uint8_t), *active = NULL;
	struct ballot_mandate *mandates;
	size_t n_mandates;
	TRY(standings_at(k, at, &active));
	if (!choice || !fold_casts(k, at, choice, &mandates, &n_mandates))
		return fail(k->call, ERR_NO_MEMORY, "The ballot does not fit into memory.");
	choice[k->n] = (uint8_t)board_at(k, at);
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

/* ---- Storing ---- */

static struct str word(const char *name)
{
	return name ? str_of(name) : STR_NONE;
}

static enum err store_voices(struct closing *k, const struct ballot_facts *f, const struct ballot_outcome *o)
{
	struct copy_in *s;
	struct str choices[BALLOT_CHOICE_COUNT], vias[POLICY_VIA_COUNT];
	for (unsigned i = 0; i < BALLOT_CHOICE_COUNT; i++)
		choices[i] = word(ballot_choice_name(i));
	for (unsigned i = 0; i < POLICY_VIA_COUNT; i++)
		vias[i] = word(policy_via_name(i));
	TRY(db_copy_into(k->call, "ballot_resolution", "coop_id, ballot_id, member_no, choice, via, decider_no, reason, on_behalf, path", &s));
	for (uint32_t m = 0; m < k->n; m++) {
		if (!k->roll[m])
			continue;
		const struct ballot_voice *v = &o->voices[m];
		uint32_t edges[POLICY_DEPTH_MAX];
		int64_t path[POLICY_DEPTH_MAX];
		size_t n = ballot_outcome_path(f, o, m, edges);
		for (size_t i = 0; i < n; i++)
			path[i] = (int64_t)k->edges[edges[i]].id;
		copy_in_row(s, 9);
		copy_in_uuid(s, k->ballot->coop);
		copy_in_uuid(s, k->ballot->id);
		copy_in_int4(s, (int32_t)m);
		copy_in_str(s, choices[v->choice]);
		copy_in_str(s, vias[v->via]);
		if (v->decider == POLICY_NO_DECIDER)
			copy_in_null(s);
		else
			copy_in_int4(s, v->decider == POLICY_BOARD ? BALLOT_BOARD_NO : (int32_t)v->decider);
		copy_in_str(s, v->choice == BALLOT_NONE ? vias[v->reason] : STR_NONE);
		copy_in_bool(s, v->on_behalf);
		if (n)
			copy_in_i64s(s, path, n);
		else
			copy_in_null(s);
		TRY(copy_in_flush(s));
	}
	return db_copy_in_end(s, NULL);
}

static enum err store_count(struct closing *k, const char *electorate, const struct policy_tally *t)
{
	const uint32_t *u = t->undecided;
	uint32_t undecided = t->roll - t->yes - t->no - t->abstain;
	return db_exec(k->call, count_store, A_UUID(k->ballot->coop), A_UUID(k->ballot->id), A_Z(electorate), A_INT((int)t->roll), A_INT((int)t->yes), A_INT((int)t->no),
		A_INT((int)t->abstain), A_INT((int)undecided), A_INT((int)u[POLICY_VIA_NONE]), A_INT((int)u[POLICY_VIA_SILENT]), A_INT((int)u[POLICY_VIA_NOBODY]),
		A_INT((int)u[POLICY_VIA_CYCLE]), A_INT((int)u[POLICY_VIA_DEPTH]), A_INT((int)u[POLICY_VIA_CAP]), A_INT((int)u[POLICY_VIA_EXPIRED]), A_INT((int)u[POLICY_VIA_REVOKED]),
		A_INT((int)u[POLICY_VIA_SCOPE]), A_INT((int)u[POLICY_VIA_UNACCEPTED]), A_INT((int)u[POLICY_VIA_FAULTY]));
}

/* ---- The end ---- */

static void free_arena(void *slot)
{
	arena_free(slot);
}

/* Whether the outcome changed in the last tenth of the window: what it was just before is compared with what it is, so that the order in which votes came is of no account. */
static enum err flipped_late(struct closing *k, instant end, enum policy_verdict now, bool *flipped)
{
	const struct ballot_locked *b = k->ballot;
	struct ballot_facts facts;
	struct ballot_outcome before;
	instant boundary = end - (b->closes_at - b->opens_at) / 10;
	*flipped = false;
	if (policy_ballot_extend(b->opens_at, b->closes_at, boundary, b->extended) == b->closes_at)
		return ERR_OK;
	TRY(outcome_at(k, boundary - 1, &facts, &before));
	*flipped = before.verdict != now;
	return ERR_OK;
}

enum err ballot_settle(struct call *c, const struct ballot_locked *b, instant end, bool may_extend, struct ballot_ending *out)
{
	struct closing k = { .call = c, .ballot = b, .arena = arena_new(LIMIT_DECIDE_ARENA) };
	struct ballot_facts facts;
	struct ballot_outcome outcome;
	*out = (struct ballot_ending){ .closes_at = b->closes_at };
	if (!k.arena || !arena_defer(c->arena, free_arena, k.arena))
		return fail(c, ERR_NO_MEMORY, "There is no memory to close the ballot.");
	TRY(load(&k));
	/* Windows are half-open: what happened at their end is too late. */
	TRY(outcome_at(&k, end - 1, &facts, &outcome));
	if (may_extend)
		TRY(flipped_late(&k, end, outcome.verdict, &out->extend));
	if (out->extend) {
		out->closes_at = policy_ballot_extend(b->opens_at, b->closes_at, b->closes_at - 1, b->extended);
		return ERR_OK;
	}
	out->count = outcome.count;
	out->passed = outcome.verdict == POLICY_PASSED;
	out->board = (enum ballot_choice)facts.choice[k.n];
	TRY(store_voices(&k, &facts, &outcome));
	TRY(store_count(&k, "members", &out->count.of[POLICY_MEMBERS]));
	return store_count(&k, "admins", &out->count.of[POLICY_ADMINS]);
}
