#include "commonhold/db.h"

#include "ballot_internal.h"

/* What a ballot comes to is decided in memory (ballot_outcome.h) and streamed back. */

SQL(count_store,
	"INSERT INTO ballot_count (coop_id, ballot_id, electorate, roll, yes, no, abstain, undecided, undecided_none, undecided_silent, undecided_nobody, undecided_cycle, undecided_depth, "
	"undecided_cap, undecided_expired, undecided_revoked, undecided_scope, undecided_unaccepted, undecided_faulty, in_person, by_delegates, by_board) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)");

/* ---- Storing ---- */

static struct str word(const char *name)
{
	return name ? str_of(name) : STR_NONE;
}

static enum err store_voices(struct ballot_case *k, const struct ballot_facts *f, const struct ballot_outcome *o)
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

/* Of those who are decided, by whom. */
struct deciders { int in_person, by_delegates, by_board; };

static struct deciders deciders_of(const struct ballot_case *k, const struct ballot_outcome *o)
{
	struct deciders d = { 0 };
	for (size_t m = 0; m < k->n; m++) {
		const struct ballot_voice *v = &o->voices[m];
		if (!k->roll[m] || v->choice == BALLOT_NONE)
			continue;
		*(v->via == POLICY_VIA_OWN ? &d.in_person : v->decider == POLICY_BOARD ? &d.by_board : &d.by_delegates) += 1;
	}
	return d;
}

static enum err store_count(struct ballot_case *k, const char *electorate, const struct policy_tally *t, struct deciders d)
{
	const uint32_t *u = t->undecided;
	uint32_t undecided = t->roll - t->yes - t->no - t->abstain;
	return db_exec(k->call, count_store, A_UUID(k->ballot->coop), A_UUID(k->ballot->id), A_Z(electorate), A_INT((int)t->roll), A_INT((int)t->yes), A_INT((int)t->no),
		A_INT((int)t->abstain), A_INT((int)undecided), A_INT((int)u[POLICY_VIA_NONE]), A_INT((int)u[POLICY_VIA_SILENT]), A_INT((int)u[POLICY_VIA_NOBODY]),
		A_INT((int)u[POLICY_VIA_CYCLE]), A_INT((int)u[POLICY_VIA_DEPTH]), A_INT((int)u[POLICY_VIA_CAP]), A_INT((int)u[POLICY_VIA_EXPIRED]), A_INT((int)u[POLICY_VIA_REVOKED]),
		A_INT((int)u[POLICY_VIA_SCOPE]), A_INT((int)u[POLICY_VIA_UNACCEPTED]), A_INT((int)u[POLICY_VIA_FAULTY]), A_INT(d.in_person), A_INT(d.by_delegates), A_INT(d.by_board));
}

/* ---- The end ---- */

static void free_arena(void *slot)
{
	arena_free(slot);
}

/* Whether the outcome changed in the last tenth of the window: what it was just before is compared with what it is, so that the order in which votes came is of no account. */
static enum err flipped_late(struct ballot_case *k, instant end, const uint8_t *active, enum policy_verdict now, bool *flipped)
{
	const struct ballot_locked *b = k->ballot;
	struct ballot_facts facts;
	struct ballot_outcome before;
	instant boundary = end - (b->closes_at - b->opens_at) / 10;
	bool anything;
	*flipped = false;
	if (policy_ballot_extend(b->opens_at, b->closes_at, boundary, b->extended) == b->closes_at)
		return ERR_OK;
	TRY(ballot_case_moved(k, boundary - 1, end - 1, active, &anything));
	if (!anything)
		return ERR_OK;
	TRY(ballot_case_outcome(k, boundary - 1, &facts, &before));
	*flipped = before.verdict != now;
	return ERR_OK;
}

enum err ballot_settle(struct call *c, const struct ballot_locked *b, instant end, bool may_extend, struct ballot_ending *out)
{
	struct ballot_case k = { .call = c, .ballot = b, .arena = arena_new(LIMIT_DECIDE_ARENA) };
	struct ballot_facts facts;
	struct ballot_outcome outcome;
	*out = (struct ballot_ending){ .closes_at = b->closes_at };
	if (!k.arena || !arena_defer(c->arena, free_arena, k.arena))
		return fail(c, ERR_NO_MEMORY, "There is no memory to close the ballot.");
	TRY(ballot_case_load(&k, end));
	/* Windows are half-open: what happened at their end is too late. */
	TRY(ballot_case_outcome(&k, end - 1, &facts, &outcome));
	if (may_extend)
		TRY(flipped_late(&k, end, facts.active, outcome.verdict, &out->extend));
	if (out->extend) {
		out->closes_at = policy_ballot_extend(b->opens_at, b->closes_at, b->closes_at - 1, b->extended);
		return ERR_OK;
	}
	out->count = outcome.count;
	out->passed = outcome.verdict == POLICY_PASSED;
	out->board = (enum ballot_choice)facts.choice[k.n];
	TRY(store_voices(&k, &facts, &outcome));
	const struct policy_tally *admins = &out->count.of[POLICY_ADMINS];
	TRY(store_count(&k, "members", &out->count.of[POLICY_MEMBERS], deciders_of(&k, &outcome)));
	return store_count(&k, "admins", admins, (struct deciders){ .in_person = (int)(admins->yes + admins->no + admins->abstain) });
}
