/* Random histories of delegations: what the server says of one person is what the engine says of everybody and what a naive reading says; history is kept; and neither the
 * order of acts nor a detour over revoking changes an outcome. Prints its seed; COMMONHOLD_SEED repeats a run. */
#include "world.h"

#include "commonhold/delegation.h"

#include <stdio.h>
#include <stdlib.h>

#define STEPS 60
#define TOPICS 2 /* releases and charters: enough for topics to differ */
#define NIL ((struct uuid){ { 0 } })

static const char deep[] = "{\"delegation\":{\"scopes\":[\"coop\",\"topic\",\"target\"],\"depth\":3,\"cap\":0,\"profile\":\"custom\"}}";
static uint64_t state;

static uint32_t roll(uint32_t n)
{
	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(state >> 33) % n;
}

static void seeded(void)
{
	const char *given = getenv("COMMONHOLD_SEED");
	state = given ? strtoull(given, NULL, 10) : (uint64_t)clock_tick();
	print_message("seed %llu\n", (unsigned long long)state);
}

/* What was decided for one member about one topic. */
struct outcome { enum policy_via via; struct uuid decider; };
struct picture { struct outcome of[WORLD_MEMBERS][TOPICS]; };

static struct outcome asked(struct world *w, int member, unsigned topic, instant on)
{
	struct delegation_path path;
	assert_ok(by(w, member), delegation_who_on(by(w, member), w->coop, POLICY_QUESTION_VOTE, topic, NIL, on, &path));
	return (struct outcome){ path.via, path.decider };
}

static struct picture taken(struct world *w, instant on)
{
	struct picture p;
	for (int m = 0; m < WORLD_MEMBERS; m++)
		for (unsigned t = 0; t < TOPICS; t++)
			p.of[m][t] = asked(w, m, t, on);
	return p;
}

static void same(const struct picture *a, const struct picture *b, const char *what, int step)
{
	for (int m = 0; m < WORLD_MEMBERS; m++)
		for (unsigned t = 0; t < TOPICS; t++)
			if (a->of[m][t].via != b->of[m][t].via || !uuid_eq(a->of[m][t].decider, b->of[m][t].decider))
				fail_msg("step %d: %s: member %d, topic %u: %s and %s", step, what, m, t, policy_via_name(a->of[m][t].via), policy_via_name(b->of[m][t].via));
}

/* ---- A naive reading: what each member has standing, in plain arrays ---- */

#define NONE (-1)
#define NOBODY (-2)
struct model { int coop[WORLD_MEMBERS], topic[WORLD_MEMBERS][TOPICS]; struct uuid coop_id[WORLD_MEMBERS], topic_id[WORLD_MEMBERS][TOPICS]; };

static int next_of(const struct model *m, int who, unsigned topic)
{
	return m->topic[who][topic] != NONE ? m->topic[who][topic] : m->coop[who];
}

static struct outcome read_model(const struct world *w, const struct model *m, int member, unsigned topic)
{
	int at = member, hops = 0;
	bool seen[WORLD_MEMBERS] = { false };
	if (next_of(m, member, topic) == NONE)
		return (struct outcome){ POLICY_VIA_NONE, NIL };
	if (next_of(m, member, topic) == NOBODY)
		return (struct outcome){ POLICY_VIA_NOBODY, NIL };
	while (next_of(m, at, topic) >= 0) {
		seen[at] = true;
		at = next_of(m, at, topic);
		hops++;
		if (seen[at])
			return (struct outcome){ POLICY_VIA_CYCLE, NIL };
	}
	if (hops > 3)
		return (struct outcome){ POLICY_VIA_DEPTH, NIL };
	if (next_of(m, at, topic) == NOBODY)
		return (struct outcome){ POLICY_VIA_SILENT, NIL }; /* their stop is their own: they have not decided */
	return (struct outcome){ POLICY_VIA_DECIDED, w->id[at] };
}

static struct picture modelled(const struct world *w, const struct model *m)
{
	struct picture p;
	for (int member = 0; member < WORLD_MEMBERS; member++)
		for (unsigned t = 0; t < TOPICS; t++)
			p.of[member][t] = read_model(w, m, member, t);
	return p;
}

/* ---- Acts ---- */

static struct uuid grant(struct world *w, int from, int to, bool topic, unsigned t)
{
	struct delegation d;
	struct delegation_warning warning;
	struct delegation_draft in = { .question = POLICY_QUESTION_VOTE, .scope = topic ? POLICY_SCOPE_TOPIC : POLICY_SCOPE_COOP, .topics = topic ? 1u << t : 0,
		.delegate_kind = to == NOBODY ? DELEGATE_NOBODY : DELEGATE_MEMBER, .delegate = to == NOBODY ? NIL : w->id[to], .chosen_end = INSTANT_NONE };
	assert_ok(by(w, from), delegation_make(by(w, from), w->coop, &in, &d, &warning));
	if (to != NOBODY)
		assert_ok(by(w, to), delegation_accept(by(w, to), w->coop, d.id, &d));
	return d.id;
}

static void revoke(struct world *w, int from, struct uuid id)
{
	struct delegation d;
	assert_ok(by(w, from), delegation_revoke(by(w, from), w->coop, id, &d));
}

/* One act of somebody, in the server and in the model. */
static void act(struct world *w, struct model *m)
{
	int from = (int)roll(WORLD_MEMBERS), to = roll(8) == 0 ? NOBODY : (int)((unsigned)(from + 1) + roll(WORLD_MEMBERS - 1)) % WORLD_MEMBERS;
	bool topic = roll(2);
	unsigned t = roll(TOPICS);
	int *now = topic ? &m->topic[from][t] : &m->coop[from];
	struct uuid *id = topic ? &m->topic_id[from][t] : &m->coop_id[from];
	if (*now != NONE && roll(3) == 0) {
		revoke(w, from, *id);
		*now = NONE;
	} else {
		*id = grant(w, from, to, topic, t);
		*now = to;
	}
}

static struct model nothing(void)
{
	struct model m;
	memset(&m, 0, sizeof m);
	for (int i = 0; i < WORLD_MEMBERS; i++) {
		m.coop[i] = NONE;
		for (unsigned t = 0; t < TOPICS; t++)
			m.topic[i][t] = NONE;
	}
	return m;
}

static void the_server_says_what_a_naive_reading_says_then_and_later(void **unused)
{
	static struct picture then[STEPS];
	struct world w;
	struct model m = nothing();
	(void)unused;
	seeded();
	world_make(&w, deep);
	for (int i = 0; i < STEPS; i++) {
		clock_set(WORLD_START + (i + 1) * CLOCK_HOUR);
		act(&w, &m);
		then[i] = modelled(&w, &m);
		if (i % 5 == 0) {
			struct picture now = taken(&w, INSTANT_NONE);
			same(&now, &then[i], "now", i);
		}
	}
	clock_set(WORLD_START + (STEPS + 1) * CLOCK_HOUR);
	for (int i = 0; i < STEPS; i += 3) {
		struct picture later = taken(&w, WORLD_START + (i + 1) * CLOCK_HOUR);
		same(&later, &then[i], "looked at later", i);
	}
}

static void *engine_alloc(void *arena, size_t size)
{
	return arena_alloc(arena, size);
}

/* The engine over all edges at once, with the same supposition: who delegates no further decides. */
static struct picture engine(struct world *w)
{
	struct picture p;
	struct call *c = w->system;
	struct policy_edge *edges;
	struct policy_path paths[WORLD_MEMBERS];
	struct policy_mem mem = { engine_alloc, c->arena };
	size_t n;
	assert_ok(c, db_begin_in(c, w->coop, DB_READ));
	assert_ok(c, delegation_edges_load(c, c->arena, w->coop, POLICY_QUESTION_VOTE, &edges, &n));
	assert_ok(c, db_commit(c));
	for (unsigned t = 0; t < TOPICS; t++) {
		uint8_t decided[WORLD_MEMBERS + 1] = { 0 };
		struct policy_voices voices = { .n = WORLD_MEMBERS };
		struct policy_ask ask = { .question = POLICY_QUESTION_VOTE, .topic = (uint8_t)t, .depth = 3, .board_active = 1, .at = clock_now() };
		assert_int_equal(policy_delegation_resolve(edges, n, &voices, &ask, &mem, paths), POLICY_OK);
		for (int i = 0; i < WORLD_MEMBERS; i++)
			decided[i] = paths[i].edge == POLICY_NO_EDGE;
		voices.decided = decided;
		assert_int_equal(policy_delegation_resolve(edges, n, &voices, &ask, &mem, paths), POLICY_OK);
		for (int i = 0; i < WORLD_MEMBERS; i++) {
			bool own = paths[i].via == POLICY_VIA_OWN; /* asked one by one, oneself is not supposed to decide */
			p.of[i][t] = (struct outcome){ own ? POLICY_VIA_NONE : (enum policy_via)paths[i].via, paths[i].via == POLICY_VIA_DECIDED ? w->id[paths[i].decider] : NIL };
		}
	}
	return p;
}

static void one_persons_path_is_what_the_engine_finds_for_all(void **unused)
{
	struct world w;
	struct model m = nothing();
	(void)unused;
	seeded();
	world_make(&w, deep);
	for (int i = 0; i < STEPS; i++) {
		act(&w, &m);
		if (i % 6 != 5)
			continue;
		struct picture one = taken(&w, INSTANT_NONE), all = engine(&w);
		same(&one, &all, "one by one and all at once", i);
	}
}

static void revoking_and_granting_again_changes_nothing(void **unused)
{
	struct world w;
	struct model m = nothing();
	(void)unused;
	seeded();
	world_make(&w, deep);
	for (int i = 0; i < STEPS / 2; i++)
		act(&w, &m);
	struct picture before = taken(&w, INSTANT_NONE);
	for (int member = 0; member < WORLD_MEMBERS; member++) {
		if (m.coop[member] == NONE)
			continue;
		revoke(&w, member, m.coop_id[member]);
		m.coop_id[member] = grant(&w, member, m.coop[member], false, 0);
	}
	struct picture after = taken(&w, INSTANT_NONE);
	same(&before, &after, "revoked and granted again", STEPS);
}

struct given { int from, to; bool topic; unsigned t; };

static void the_order_in_which_delegations_arrive_is_irrelevant(void **unused)
{
	struct world w;
	struct given list[WORLD_MEMBERS * (TOPICS + 1)];
	struct uuid ids[CH_LEN(list)];
	struct picture first;
	size_t n = 0;
	(void)unused;
	seeded();
	world_make(&w, deep);
	for (int from = 0; from < WORLD_MEMBERS; from++)
		for (unsigned k = 0; k <= TOPICS; k++)
			if (roll(3))
				list[n++] = (struct given){ from, roll(9) == 0 ? NOBODY : (int)((unsigned)(from + 1) + roll(WORLD_MEMBERS - 1)) % WORLD_MEMBERS, k > 0, k ? k - 1 : 0 };
	for (int round = 0; round < 4; round++) {
		for (size_t i = n; i-- > 1;) {
			size_t other = roll((uint32_t)i + 1);
			struct given swap = list[i];
			list[i] = list[other];
			list[other] = swap;
		}
		for (size_t i = 0; i < n; i++)
			ids[i] = grant(&w, list[i].from, list[i].to, list[i].topic, list[i].t);
		struct picture now = taken(&w, INSTANT_NONE);
		if (round)
			same(&first, &now, "in another order", round);
		else
			first = now;
		for (size_t i = 0; i < n; i++)
			revoke(&w, list[i].from, ids[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(the_server_says_what_a_naive_reading_says_then_and_later), fixture_test(one_persons_path_is_what_the_engine_finds_for_all),
		fixture_test(revoking_and_granting_again_changes_nothing), fixture_test(the_order_in_which_delegations_arrive_is_irrelevant),
	};
	return fixture_run(tests, CH_LEN(tests));
}
