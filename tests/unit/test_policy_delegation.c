/* Who decides for whom: precedence, ends, circles, depth, caps, paths; and against a resolver that just walks. */
#include "tests/unit/policy_kit.h"

static struct kit_mem m;
static struct policy_edge edges[64];
static size_t n_edges;
static uint8_t decided[33], active[32];
static struct policy_path paths[32];
static struct policy_voices voices;
static struct policy_ask ask;

static int set_up(void **state)
{
	(void)state;
	kit_mem_init(&m);
	n_edges = 0;
	memset(decided, 0, sizeof decided);
	memset(active, 1, sizeof active);
	voices = (struct policy_voices){8, active, decided, false};
	ask = (struct policy_ask){.question = POLICY_QUESTION_VOTE, .topic = 2, .depth = 8, .board_active = 1, .target = 5, .at = 100};
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	kit_mem_release(&m);
	return 0;
}

static struct policy_edge *edge(uint32_t principal, uint32_t delegate)
{
	struct policy_edge *e = &edges[n_edges++];
	*e = (struct policy_edge){.id = n_edges, .principal = principal, .delegate = delegate, .accepted_at = 10, .starts = 0,
	                          .ends = POLICY_NEVER, .revoked_at = POLICY_NEVER};
	return e;
}

static void resolve(void)
{
	assert_int_equal(policy_delegation_resolve(edges, n_edges, &voices, &ask, &m.mem, paths), POLICY_OK);
}

static void expect(uint32_t member, unsigned via, uint32_t decider)
{
	if (paths[member].via != via || paths[member].decider != decider)
		fail_msg("member %u: %s by %u", member, policy_via_name(paths[member].via), paths[member].decider);
}

static void ones_own_decision_comes_first(void **state)
{
	(void)state;
	edge(0, 1);
	decided[0] = decided[1] = 1;
	resolve();
	expect(0, POLICY_VIA_OWN, 0);
	voices.beyond_own = true;
	resolve();
	expect(0, POLICY_VIA_DECIDED, 1);
}

static void the_most_specific_valid_edge_counts(void **state)
{
	(void)state;
	decided[1] = decided[2] = decided[3] = 1;
	edge(0, 1);
	struct policy_edge *topic = edge(0, 2), *target = edge(0, 3);
	topic->scope = POLICY_SCOPE_TOPIC;
	topic->topics = 1u << 2;
	target->scope = POLICY_SCOPE_TARGET;
	target->target = 5;
	resolve();
	expect(0, POLICY_VIA_DECIDED, 3);
	target->ends = 100;
	resolve();
	expect(0, POLICY_VIA_DECIDED, 2);
	assert_int_equal(paths[0].dropped, POLICY_VIA_EXPIRED);
	topic->topics = 1u << 3;
	resolve();
	expect(0, POLICY_VIA_DECIDED, 1);
}

static void of_equal_edges_the_later_counts(void **state)
{
	(void)state;
	decided[1] = decided[2] = 1;
	edge(0, 1)->accepted_at = 20;
	edge(0, 2);
	resolve();
	expect(0, POLICY_VIA_DECIDED, 1);
	edges[1].accepted_at = 20;
	resolve();
	expect(0, POLICY_VIA_DECIDED, 2);
}

static void edges_count_in_half_open_intervals(void **state)
{
	(void)state;
	decided[1] = 1;
	struct policy_edge *e = edge(0, 1);
	const struct {
		policy_instant accepted, starts, ends, revoked;
		unsigned via, dropped;
	} cases[] = {
		{100, 100, 101, 101, POLICY_VIA_DECIDED, POLICY_VIA_NONE}, {101, 0, 200, 200, POLICY_VIA_NONE, POLICY_VIA_UNACCEPTED},
		{10, 101, 200, 200, POLICY_VIA_NONE, POLICY_VIA_EXPIRED},  {10, 0, 100, 200, POLICY_VIA_NONE, POLICY_VIA_EXPIRED},
		{10, 0, 200, 100, POLICY_VIA_NONE, POLICY_VIA_REVOKED},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		e->accepted_at = cases[i].accepted;
		e->starts = cases[i].starts;
		e->ends = cases[i].ends;
		e->revoked_at = cases[i].revoked;
		resolve();
		assert_int_equal(paths[0].via, cases[i].via);
		assert_int_equal(paths[0].dropped, cases[i].dropped);
	}
}

static void nobody_is_a_stop_that_hides_broader_edges(void **state)
{
	(void)state;
	decided[1] = 1;
	edge(0, 1);
	struct policy_edge *stop = edge(0, POLICY_NOBODY);
	stop->scope = POLICY_SCOPE_TOPIC;
	stop->topics = 1u << 2;
	edge(2, 0);
	resolve();
	expect(0, POLICY_VIA_NOBODY, POLICY_NO_DECIDER);
	expect(2, POLICY_VIA_SILENT, POLICY_NO_DECIDER);
}

static void the_board_decides_by_its_resolution(void **state)
{
	(void)state;
	edge(0, POLICY_BOARD);
	edge(1, 0);
	resolve();
	expect(0, POLICY_VIA_SILENT, POLICY_NO_DECIDER);
	decided[8] = 1;
	resolve();
	expect(0, POLICY_VIA_DECIDED, POLICY_BOARD);
	expect(1, POLICY_VIA_DECIDED, POLICY_BOARD);
	assert_int_equal(paths[1].hops, 2);
	ask.board_active = 0;
	resolve();
	expect(0, POLICY_VIA_NONE, POLICY_NO_DECIDER);
}

static void a_circle_decides_nothing_unless_one_of_it_decides(void **state)
{
	(void)state;
	edge(0, 1);
	edge(1, 2);
	edge(2, 0);
	edge(3, 0);
	resolve();
	for (uint32_t i = 0; i < 4; i++)
		expect(i, POLICY_VIA_CYCLE, POLICY_NO_DECIDER);
	decided[1] = 1;
	resolve();
	expect(0, POLICY_VIA_DECIDED, 1);
	expect(2, POLICY_VIA_DECIDED, 1);
	expect(3, POLICY_VIA_DECIDED, 1);
	voices.beyond_own = true;
	resolve();
	expect(1, POLICY_VIA_CYCLE, POLICY_NO_DECIDER);
}

static void chains_end_at_the_charters_depth(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < 7; i++)
		edge(i, i + 1);
	decided[7] = 1;
	for (uint8_t depth = 1; depth <= 7; depth++) {
		ask.depth = depth;
		resolve();
		for (uint32_t i = 0; i < 7; i++)
			assert_int_equal(paths[i].via, 7 - i <= depth ? POLICY_VIA_DECIDED : POLICY_VIA_DEPTH);
	}
	uint32_t path[9];
	assert_int_equal(policy_delegation_path(edges, paths, 8, 4, path, 9), 3);
	assert_int_equal(path[0], 5);
	assert_int_equal(path[2], 7);
	assert_int_equal(policy_delegation_path(edges, paths, 8, 7, path, 9), 0);
	ask.depth = 9;
	assert_int_equal(policy_delegation_resolve(edges, n_edges, &voices, &ask, &m.mem, paths), POLICY_INVALID);
}

static void a_member_who_leaves_ends_edges_to_and_from(void **state)
{
	(void)state;
	decided[1] = 1;
	edge(0, 1);
	active[1] = 0;
	resolve();
	expect(0, POLICY_VIA_NONE, POLICY_NO_DECIDER);
	active[1] = 1;
	active[0] = 0;
	resolve();
	expect(0, POLICY_VIA_NONE, POLICY_NO_DECIDER);
}

static void overflow_is_cut_in_the_order_of_acceptance(void **state)
{
	(void)state;
	decided[7] = 1;
	edge(0, 7)->accepted_at = 30;
	edge(1, 7)->accepted_at = 20;
	edge(2, 1)->accepted_at = 5;
	edge(3, 7)->accepted_at = 10;
	ask.cap = 3;
	resolve();
	expect(3, POLICY_VIA_DECIDED, 7);
	expect(1, POLICY_VIA_DECIDED, 7);
	expect(2, POLICY_VIA_DECIDED, 7); /* represented since member 1 was, at 20 */
	expect(0, POLICY_VIA_CAP, POLICY_NO_DECIDER);
	ask.cap = 1;
	resolve();
	expect(3, POLICY_VIA_DECIDED, 7);
	expect(1, POLICY_VIA_CAP, POLICY_NO_DECIDER);
	expect(2, POLICY_VIA_CAP, POLICY_NO_DECIDER); /* never kept through one who was cut */
}

static void unsound_edges_are_named(void **state)
{
	(void)state;
	edge(0, 0);
	edge(1, 99);
	edge(2, 3)->scope = POLICY_SCOPE_COUNT;
	edge(3, 4)->ends = 0;
	edge(99, 1);
	struct policy_edge *topic = edge(4, 5);
	topic->scope = POLICY_SCOPE_TOPIC;
	resolve();
	for (uint32_t i = 0; i < 5; i++)
		assert_int_equal(paths[i].dropped, POLICY_VIA_FAULTY);
}

static void a_writer_is_warned_of_a_circle(void **state)
{
	(void)state;
	edge(0, 1);
	edge(1, 2);
	resolve();
	struct policy_edge e = edges[0];
	e.principal = 2;
	e.delegate = 0;
	assert_true(policy_delegation_would_cycle(edges, paths, 8, &e));
	e.delegate = 3;
	assert_false(policy_delegation_would_cycle(edges, paths, 8, &e));
}

static void concentration_is_counted(void **state)
{
	(void)state;
	decided[7] = decided[6] = decided[8] = 1;
	edge(0, 7);
	edge(1, 7);
	edge(2, POLICY_BOARD);
	resolve();
	struct policy_concentration c;
	assert_int_equal(policy_delegation_concentration(paths, 8, &m.mem, &c), POLICY_OK);
	assert_int_equal(c.largest, 2);
	assert_int_equal(c.delegate, 7);
	assert_int_equal(c.deciders, 3);
	assert_int_equal(c.delegated, 3);
}

/* A resolver that follows each member's edges one by one. */
static void walk(uint32_t member, unsigned *via, uint32_t *decider)
{
	uint32_t at = member;
	*decider = POLICY_NO_DECIDER;
	if (decided[at]) {
		*via = POLICY_VIA_OWN;
		*decider = at;
		return;
	}
	for (unsigned hops = 0;; hops++) {
		const struct policy_edge *e = NULL;
		for (size_t i = 0; i < n_edges; i++)
			if (edges[i].principal == at)
				e = &edges[i];
		if (at == POLICY_BOARD || decided[at] || !e || hops > 40) {
			bool done = at == POLICY_BOARD ? decided[voices.n] : decided[at];
			*via = hops > 40 ? POLICY_VIA_CYCLE : hops == 0 ? POLICY_VIA_NONE : hops > ask.depth ? POLICY_VIA_DEPTH
			       : done ? POLICY_VIA_DECIDED : POLICY_VIA_SILENT;
			if (*via == POLICY_VIA_DECIDED)
				*decider = at;
			return;
		}
		at = e->delegate;
	}
}

static void random_graphs_agree_with_a_walk(void **state)
{
	(void)state;
	uint64_t rng = kit_seed("random_graphs_agree_with_a_walk");
	for (int round = 0; round < 4000; round++) {
		n_edges = 0;
		voices.n = 2 + kit_below(&rng, 30);
		ask.depth = (uint8_t)(1 + kit_below(&rng, 8));
		for (uint32_t i = 0; i < voices.n; i++) {
			decided[i] = kit_below(&rng, 4) == 0;
			uint32_t to = kit_below(&rng, (unsigned)voices.n + 1);
			if (to == i || kit_below(&rng, 6) == 0)
				continue;
			edge(i, to == voices.n ? POLICY_BOARD : to);
		}
		decided[voices.n] = kit_below(&rng, 2) == 0;
		resolve();
		for (uint32_t i = 0; i < voices.n; i++) {
			unsigned via;
			uint32_t decider;
			walk(i, &via, &decider);
			if (paths[i].via != via || paths[i].decider != decider)
				fail_msg("round %d member %u: %s, walked %s", round, i, policy_via_name(paths[i].via), policy_via_name(via));
		}
		kit_mem_release(&m);
	}
}

static void a_chain_of_a_million_needs_no_stack(void **state)
{
	(void)state;
	enum { N = 1000000 };
	struct policy_edge *e = calloc(N, sizeof *e);
	struct policy_path *p = calloc(N, sizeof *p);
	uint8_t *d = calloc(N + 1, 1);
	for (uint32_t i = 0; i + 1 < N; i++)
		e[i] = (struct policy_edge){.id = i, .principal = i, .delegate = i + 1, .accepted_at = 1, .ends = POLICY_NEVER,
		                            .revoked_at = POLICY_NEVER};
	d[N - 1] = 1;
	struct policy_voices all = {N, NULL, d, false};
	assert_int_equal(policy_delegation_resolve(e, N - 1, &all, &ask, &m.mem, p), POLICY_OK);
	assert_int_equal(p[0].via, POLICY_VIA_DEPTH);
	assert_int_equal(p[N - 9].decider, N - 1);
	assert_int_equal(p[N - 10].via, POLICY_VIA_DEPTH);
	free(e);
	free(p);
	free(d);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(ones_own_decision_comes_first), T(the_most_specific_valid_edge_counts), T(of_equal_edges_the_later_counts),
		T(edges_count_in_half_open_intervals), T(nobody_is_a_stop_that_hides_broader_edges),
		T(the_board_decides_by_its_resolution), T(a_circle_decides_nothing_unless_one_of_it_decides),
		T(chains_end_at_the_charters_depth), T(a_member_who_leaves_ends_edges_to_and_from),
		T(overflow_is_cut_in_the_order_of_acceptance), T(unsound_edges_are_named), T(a_writer_is_warned_of_a_circle),
		T(concentration_is_counted), T(random_graphs_agree_with_a_walk), T(a_chain_of_a_million_needs_no_stack),
	};
	return cmocka_run_group_tests_name("policy delegation", tests, NULL, NULL);
}
