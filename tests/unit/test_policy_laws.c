/*
 * Laws over random worlds: order, duplicates and sharding change nothing; a no never includes; other people's acts never
 * change my items; late grants are inert; updating equals building; merging loses nobody's no. Seeds are printed.
 */
#include "tests/unit/policy_kit.h"

enum { ITEMS = 48, ROUNDS = 1500 };

static struct kit k;
static uint64_t words[ITEMS], more_words[ITEMS];
static uint32_t members[ITEMS];

static int tear_down(void **state)
{
	(void)state;
	kit_release(&k);
	return 0;
}

static struct policy_statement random_statement(uint64_t *rng)
{
	unsigned layer = kit_below(rng, 5), effect = layer == POLICY_LAYER_LAW ? (kit_below(rng, 2) ? POLICY_EFFECT_DENY : POLICY_EFFECT_NONE)
	                                                                       : kit_below(rng, 4);
	if (layer == POLICY_LAYER_LAW && kit_below(rng, 3))
		layer = POLICY_LAYER_SUBJECT;
	struct policy_statement s = kit_statement(kit_below(rng, KIT_MEMBERS), layer, effect);
	if (layer == POLICY_LAYER_SUBGROUP)
		s.subject = 1 + kit_below(rng, 2);
	if (layer == POLICY_LAYER_ITEM) {
		s.item = kit_below(rng, KIT_ITEMS);
		s.subject = members[s.item];
	}
	s.id = kit_below(rng, 1000);
	s.uses = kit_below(rng, 2) ? POLICY_USES_ALL : (uint16_t)(1 + kit_below(rng, 511));
	s.declared_at = T0 - 6 + (int)kit_below(rng, 12);
	s.revision = kit_below(rng, 2);
	if (layer != POLICY_LAYER_ITEM && kit_below(rng, 4) == 0) {
		s.selector = POLICY_SELECT_KIND;
		s.kind = (uint8_t)kit_below(rng, 2);
	}
	if (kit_below(rng, 5) == 0)
		s.purpose = (uint8_t)kit_below(rng, POLICY_PURPOSE_COUNT);
	if ((layer == POLICY_LAYER_ITEM || layer == POLICY_LAYER_SUBJECT) && kit_below(rng, 8) == 0)
		s.flags = POLICY_STATEMENT_EXTERNAL;
	return s;
}

static void random_world(uint64_t *rng)
{
	kit_release(&k);
	kit_init(&k);
	k.n_members = KIT_MEMBERS;
	k.board = true;
	k.spec.uses = (uint16_t)(1 + kit_below(rng, 31));
	k.spec.instant = T0 + (kit_below(rng, 2) ? 4 : 0);
	k.spec.delegation_depth = (uint8_t)(1 + kit_below(rng, 3));
	k.spec.delegation_cap = kit_below(rng, 4);
	for (size_t i = 0; i < KIT_MEMBERS; i++) {
		k.members[i].group = kit_below(rng, 3);
		k.members[i].standing = kit_below(rng, 8) ? POLICY_STANDING_ACTIVE : (uint8_t)kit_below(rng, POLICY_STANDING_COUNT);
		k.members[i].defaults_accepted = kit_below(rng, 2) ? T0 - 9 : POLICY_NEVER;
	}
	for (uint32_t i = 0; i < ITEMS; i++) {
		struct policy_item item = k.item;
		item.kind = (uint8_t)kit_below(rng, 2);
		item.flags |= kit_below(rng, 8) ? 0 : POLICY_ITEM_PII;
		members[i] = kit_below(rng, KIT_MEMBERS);
		words[i] = policy_item_pack(&item);
		more_words[i] = 0;
		if (i < KIT_ITEMS)
			k.facts[k.n_facts++] = (struct policy_item_fact){.item = i, .member = members[i], .kind = item.kind,
			                                                 .embargo_until = POLICY_EVER, .retain_until = POLICY_NEVER};
	}
	for (unsigned n = kit_below(rng, 20); n > 0; n--)
		k.statements[k.n_statements++] = random_statement(rng);
	for (unsigned n = kit_below(rng, 10); n > 0; n--) {
		uint32_t from = kit_below(rng, KIT_MEMBERS), to = kit_below(rng, KIT_MEMBERS + 1);
		if (from != to)
			kit_delegate(&k, from, to == KIT_MEMBERS ? POLICY_BOARD : to)->accepted_at = T0 - 6 + (int)kit_below(rng, 12);
	}
	if (kit_below(rng, 2)) {
		struct policy_statement *s = kit_default(&k, POLICY_LAYER_COOP, 1 + kit_below(rng, 3));
		s->uses = POLICY_USES_ALL;
	}
}

static void decide(policy_reasons *out)
{
	assert_int_equal(kit_build(&k), POLICY_OK);
	policy_decide_batch(k.program, k.rows, &(struct policy_batch){words, members, more_words, ITEMS, 0}, NULL, out);
}

static unsigned outcome(policy_reasons reasons)
{
	return policy_outcome_of(reasons);
}

#define EACH_WORLD(rng)                          \
	uint64_t rng = kit_seed(__func__);           \
	policy_reasons before[ITEMS], after[ITEMS];  \
	for (int round = 0; round < ROUNDS; round++)

static void order_duplicates_and_sharding_change_nothing(void **state)
{
	(void)state;
	EACH_WORLD(rng)
	{
		random_world(&rng);
		decide(before);
		for (size_t i = k.n_statements; i > 1; i--) {
			size_t j = kit_below(&rng, (unsigned)i);
			struct policy_statement swap = k.statements[i - 1];
			k.statements[i - 1] = k.statements[j];
			k.statements[j] = swap;
		}
		if (k.n_statements && k.n_statements < KIT_STATEMENTS) {
			k.statements[k.n_statements] = k.statements[kit_below(&rng, (unsigned)k.n_statements)];
			k.n_statements++;
		}
		assert_int_equal(kit_build(&k), POLICY_OK);
		for (uint32_t base = 0, n; base < ITEMS; base += n) {
			n = 1 + kit_below(&rng, ITEMS - base);
			policy_decide_batch(k.program, k.rows, &(struct policy_batch){words + base, members + base, more_words + base, n, base},
			                    NULL, after + base);
		}
		assert_memory_equal(before, after, sizeof before);
		for (uint32_t i = 0; i < ITEMS; i++)
			assert_int_equal(policy_decide_one(k.program, k.rows, i, words[i], 0, members[i]), before[i]);
	}
}

static void one_more_no_never_includes_more(void **state)
{
	(void)state;
	EACH_WORLD(rng)
	{
		random_world(&rng);
		k.n_edges = 0; /* whether a delegate's later no ends a chain earlier is another law */
		decide(before);
		struct policy_statement s = random_statement(&rng);
		s.effect = POLICY_EFFECT_DENY;
		s.duties = 0;
		s.declared_at = T0;
		s.revision = 9;
		k.statements[k.n_statements++] = s;
		decide(after);
		for (size_t i = 0; i < ITEMS; i++)
			assert_true(outcome(after[i]) >= outcome(before[i]));
	}
}

static void anothers_act_never_changes_my_items(void **state)
{
	(void)state;
	EACH_WORLD(rng)
	{
		random_world(&rng);
		decide(before);
		struct policy_statement s = random_statement(&rng);
		if (s.layer > POLICY_LAYER_SUBJECT)
			continue;
		k.statements[k.n_statements++] = s;
		decide(after);
		for (size_t i = 0; i < ITEMS; i++)
			if (members[i] != s.subject)
				assert_int_equal(after[i], before[i]);
	}
}

static void a_withdrawal_after_the_cut_off_never_includes(void **state)
{
	(void)state;
	EACH_WORLD(rng)
	{
		random_world(&rng);
		k.n_edges = 0;
		k.spec.instant = T0 + 9;
		decide(before);
		struct policy_statement s = random_statement(&rng);
		s.effect = POLICY_EFFECT_DENY;
		s.duties = 0;
		s.declared_at = T0 + 8;
		k.statements[k.n_statements++] = s;
		decide(after);
		for (size_t i = 0; i < ITEMS; i++)
			assert_true(outcome(after[i]) >= outcome(before[i]));
	}
}

static void building_later_only_removes(void **state)
{
	(void)state;
	EACH_WORLD(rng)
	{
		random_world(&rng);
		k.spec.instant = k.spec.cutoff;
		decide(before);
		k.spec.instant = T0 + 9;
		decide(after);
		policy_reasons joined[ITEMS];
		uint8_t outcomes[ITEMS];
		uint64_t removed, expected = 0;
		policy_recheck(before, after, ITEMS, joined, outcomes, &removed);
		for (size_t i = 0; i < ITEMS; i++) {
			assert_true(outcome(after[i]) >= outcome(before[i]));
			assert_int_equal(outcomes[i], outcome(after[i]));
			expected += outcome(before[i]) <= POLICY_CONDITIONAL && outcome(after[i]) > POLICY_CONDITIONAL;
		}
		assert_int_equal(removed, expected);
	}
}

/* ---- Updating equals building ---------------------------------------------------------------------------------------- */

static void compare_with_a_build(const char *what, int round)
{
	policy_reasons updated[ITEMS], built[ITEMS];
	policy_decide_batch(k.program, k.rows, &(struct policy_batch){words, members, more_words, ITEMS, 0}, NULL, updated);
	struct kit_mem mem;
	kit_mem_init(&mem);
	struct policy_facts facts = kit_facts(&k);
	struct policy_rows *rows;
	assert_int_equal(policy_rows_build(k.program, &facts, &mem.mem, &rows, NULL), POLICY_OK);
	policy_decide_batch(k.program, rows, &(struct policy_batch){words, members, more_words, ITEMS, 0}, NULL, built);
	for (size_t i = 0; i < ITEMS; i++)
		if (updated[i] != built[i])
			fail_msg("round %d, %s: item %zu is %llx, built afresh %llx", round, what, i, (unsigned long long)updated[i],
			         (unsigned long long)built[i]);
	kit_mem_release(&mem);
}

static void updating_equals_building(void **state)
{
	(void)state;
	uint32_t touched[KIT_MEMBERS];
	uint64_t rng = kit_seed(__func__);
	for (int round = 0; round < ROUNDS; round++) {
		random_world(&rng);
		assert_int_equal(kit_build(&k), POLICY_OK);
		uint32_t m = kit_below(&rng, KIT_MEMBERS);
		k.members[m].standing = (uint8_t)kit_below(&rng, POLICY_STANDING_COUNT + 1);
		k.members[m].consent = (uint8_t)kit_below(&rng, POLICY_CONSENT_COUNT);
		assert_true(policy_rows_update(k.rows, m, touched, KIT_MEMBERS) >= 1);
		compare_with_a_build("member", round);
		if (k.n_edges) {
			k.edges[kit_below(&rng, (unsigned)k.n_edges)].revoked_at = T0;
			policy_rows_update_edges(k.rows, touched, KIT_MEMBERS);
			compare_with_a_build("edge", round);
		}
		for (int n = 0; n < 3; n++) {
			/* Built without it, then added; a build over the facts with it must say the same. */
			struct policy_statement s = random_statement(&rng);
			size_t n_touched;
			assert_int_equal(policy_rows_add(k.rows, &s, NULL, touched, KIT_MEMBERS, &n_touched), POLICY_OK);
			k.statements[k.n_statements++] = s;
			compare_with_a_build("statement", round);
		}
	}
}

static void a_statement_on_a_new_item_needs_its_fact(void **state)
{
	(void)state;
	uint64_t rng = 1;
	random_world(&rng);
	assert_int_equal(kit_build(&k), POLICY_OK);
	uint32_t touched[2], item = KIT_ITEMS + 3;
	size_t n;
	struct policy_statement s = kit_statement(members[item], POLICY_LAYER_ITEM, POLICY_EFFECT_DENY);
	s.uses = POLICY_USES_ALL;
	s.item = item;
	struct policy_item_fact fact = {.item = item, .member = members[item], .kind = words[item] & 7, .embargo_until = POLICY_EVER,
	                                .retain_until = POLICY_NEVER};
	assert_int_equal(policy_rows_add(k.rows, &s, NULL, touched, 2, &n), POLICY_INVALID);
	assert_int_equal(policy_rows_add(k.rows, &s, &fact, touched, 2, &n), POLICY_OK);
	assert_int_equal(n, 1);
	assert_true(policy_decide_one(k.program, k.rows, item, words[item], 0, members[item]) & POLICY_REASON(PREF_DENY));
	s.subject = (s.subject + 1) % KIT_MEMBERS;
	assert_int_equal(policy_rows_add(k.rows, &s, &fact, touched, 2, &n), POLICY_INVALID);
	s.effect = 77;
	assert_int_equal(policy_rows_add(k.rows, &s, &fact, touched, 2, &n), POLICY_INVALID);
	s = kit_statement(0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_DENY);
	for (int i = 1; i < POLICY_ROWS_SPARE; i++)
		assert_int_equal(policy_rows_add(k.rows, &s, NULL, touched, 2, &n), POLICY_OK);
	assert_int_equal(policy_rows_add(k.rows, &s, NULL, touched, 2, &n), POLICY_NO_ROOM);
	assert_int_equal(policy_rows_update(k.rows, KIT_MEMBERS, touched, 2), 0);
}

/* ---- Merging --------------------------------------------------------------------------------------------------------- */

static size_t random_history(uint64_t *rng, struct policy_statement *out, size_t cap)
{
	size_t n = kit_below(rng, (unsigned)cap);
	for (size_t i = 0; i < n; i++)
		out[i] = random_statement(rng);
	return n;
}

static void merging_histories_is_a_union(void **state)
{
	(void)state;
	uint64_t rng = kit_seed(__func__);
	for (int round = 0; round < ROUNDS; round++) {
		struct policy_statement a[8], b[8], c[8], x[24], y[24], z[24];
		for (size_t i = 0; i < 8; i++)
			memset(&a[i], 0, sizeof a[i]);
		size_t na = random_history(&rng, a, 8), nb = random_history(&rng, b, 8), nc = random_history(&rng, c, 8);
		if (na && nb)
			b[0] = a[0]; /* forks share a past */
		size_t nx = policy_statements_merge(a, na, b, nb, x), ny = policy_statements_merge(b, nb, a, na, y);
		assert_int_equal(nx, ny);
		for (size_t i = 0; i < nx; i++)
			assert_true(x[i].id == y[i].id && x[i].uses == y[i].uses && x[i].declared_at == y[i].declared_at);
		assert_int_equal(policy_statements_merge(x, nx, a, na, z), nx);
		size_t n1 = policy_statements_merge(x, nx, c, nc, z);
		size_t nbc = policy_statements_merge(b, nb, c, nc, y);
		struct policy_statement w[24];
		size_t n2 = policy_statements_merge(a, na, y, nbc, w);
		assert_int_equal(n1, n2);
		for (size_t i = 0; i < n1; i++)
			assert_true(z[i].id == w[i].id && z[i].effect == w[i].effect && z[i].uses == w[i].uses);
	}
}

/* Whatever the fork wrote, a no that stands in one history stands in both together, unless its author took it back
 * later. */
static void a_no_in_either_history_wins(void **state)
{
	(void)state;
	EACH_WORLD(rng)
	{
		random_world(&rng);
		k.n_edges = 0;
		size_t n = k.n_statements;
		decide(before);
		struct policy_statement fork[6];
		size_t n_fork = random_history(&rng, fork, 6);
		for (size_t i = 0; i < n_fork; i++)
			if (fork[i].layer <= POLICY_LAYER_SUBJECT) /* the fork's bylaws and delegates, not the subject's acts */
				fork[i] = fork[--n_fork], i--;
		struct policy_statement merged[64];
		size_t n_merged = policy_statements_merge(k.statements, n, fork, n_fork, merged);
		assert_true(n_merged <= KIT_STATEMENTS);
		memcpy(k.statements, merged, n_merged * sizeof *merged);
		k.n_statements = n_merged;
		decide(after);
		for (size_t i = 0; i < ITEMS; i++)
			if (before[i] & POLICY_REASON(PREF_DENY) && k.members[members[i]].group == 0 &&
			    k.members[members[i]].defaults_accepted == POLICY_NEVER)
				assert_true(after[i] & POLICY_REASON(PREF_DENY));
	}
}

static void random_spec(uint64_t *rng, struct policy_spec *s, struct policy_statement *defaults)
{
	*s = k.spec;
	s->uses = POLICY_BIT(POLICY_USE_TRAIN_GEN);
	s->uses_conditional = (uint16_t)kit_random(rng) & POLICY_USES_ALL;
	s->audience_duties = (uint16_t)kit_random(rng) & POLICY_DUTIES_ALL;
	s->kinds = (uint8_t)(1 + kit_below(rng, 3));
	s->outputs = 1u << POLICY_LICENCE_CC_BY_4_0 | (uint32_t)kit_below(rng, 4) << 5;
	s->k_contributors = kit_below(rng, 4);
	s->embargo = kit_below(rng, 2) * 20 * POLICY_DAY;
	s->retention = kit_below(rng, 3) * 9 * POLICY_DAY;
	s->notice_min = kit_below(rng, 3);
	s->delegation_depth = 1;
	s->n_defaults = kit_below(rng, 3);
	for (size_t i = 0; i < s->n_defaults; i++) {
		defaults[i] = kit_statement(0, POLICY_LAYER_COOP + kit_below(rng, 2), 1 + kit_below(rng, 3));
		defaults[i].id = i;
	}
	s->defaults = defaults;
}

static void decide_under(const struct policy_spec *spec, policy_reasons *out)
{
	k.spec = *spec;
	decide(out);
}

static void merged_charters_are_never_looser_than_either(void **state)
{
	(void)state;
	uint64_t rng = kit_seed(__func__);
	for (int round = 0; round < ROUNDS; round++) {
		random_world(&rng);
		k.n_edges = 0;
		struct policy_statement da[3], db[3];
		struct policy_spec a, b, ab, ba, aa;
		struct kit_mem mem;
		kit_mem_init(&mem);
		random_spec(&rng, &a, da);
		random_spec(&rng, &b, db);
		assert_int_equal(policy_spec_merge(&a, &b, &mem.mem, &ab), POLICY_OK);
		assert_int_equal(policy_spec_merge(&b, &a, &mem.mem, &ba), POLICY_OK);
		assert_int_equal(policy_spec_merge(&a, &a, &mem.mem, &aa), POLICY_OK);
		policy_reasons in_a[ITEMS], in_b[ITEMS], in_ab[ITEMS], in_ba[ITEMS], in_aa[ITEMS];
		decide_under(&a, in_a);
		decide_under(&b, in_b);
		decide_under(&aa, in_aa);
		assert_memory_equal(in_a, in_aa, sizeof in_a);
		const struct policy_program *p;
		if (policy_compile(&ab, &mem.mem, &p, NULL) == POLICY_OK) {
			decide_under(&ab, in_ab);
			decide_under(&ba, in_ba);
			assert_memory_equal(in_ab, in_ba, sizeof in_ab);
			for (size_t i = 0; i < ITEMS; i++) {
				assert_true(outcome(in_ab[i]) >= outcome(in_a[i]) && outcome(in_ab[i]) >= outcome(in_b[i]));
				policy_reasons both = policy_reasons_merge(in_a[i], in_b[i]);
				assert_true(outcome(both) == (outcome(in_a[i]) > outcome(in_b[i]) ? outcome(in_a[i]) : outcome(in_b[i])));
			}
		}
		kit_mem_release(&mem);
	}
}

static void an_empty_intersection_is_refused(void **state)
{
	(void)state;
	kit_init(&k);
	struct policy_spec a = k.spec, b = k.spec, both;
	const struct policy_program *p;
	b.uses = POLICY_BIT(POLICY_USE_SEARCH);
	assert_int_equal(policy_spec_merge(&a, &b, &k.mem.mem, &both), POLICY_OK);
	assert_int_equal(policy_compile(&both, &k.mem.mem, &p, NULL), POLICY_INVALID);
	b = a;
	a.licence_mode = b.licence_mode = POLICY_COLLECTION;
	a.outputs = 1u << POLICY_LICENCE_CC_BY_4_0;
	b.outputs = 1u << POLICY_LICENCE_CC0_1_0;
	assert_int_equal(policy_spec_merge(&a, &b, &k.mem.mem, &both), POLICY_OK);
	assert_int_equal(policy_compile(&both, &k.mem.mem, &p, NULL), POLICY_INVALID);
	b.outputs = 0;
	assert_int_equal(policy_spec_merge(&a, &b, &k.mem.mem, &both), POLICY_OK);
	assert_int_equal(both.outputs, a.outputs);
}

static void anything_in_any_column_is_decided(void **state)
{
	(void)state;
	uint64_t rng = kit_seed(__func__);
	random_world(&rng);
	assert_int_equal(kit_build(&k), POLICY_OK);
	for (int i = 0; i < 200000; i++) {
		policy_reasons r = policy_decide_one(k.program, k.rows, (uint32_t)kit_random(&rng), kit_random(&rng), kit_random(&rng),
		                                     (uint32_t)kit_random(&rng));
		assert_true(outcome(r) >= POLICY_HOLD);
	}
}

int main(void)
{
#define T(test) cmocka_unit_test_teardown(test, tear_down)
	const struct CMUnitTest tests[] = {
		T(order_duplicates_and_sharding_change_nothing), T(one_more_no_never_includes_more),
		T(anothers_act_never_changes_my_items), T(a_withdrawal_after_the_cut_off_never_includes),
		T(building_later_only_removes), T(updating_equals_building), T(a_statement_on_a_new_item_needs_its_fact),
		T(merging_histories_is_a_union), T(a_no_in_either_history_wins), T(merged_charters_are_never_looser_than_either),
		T(an_empty_intersection_is_refused), T(anything_in_any_column_is_decided),
	};
	return cmocka_run_group_tests_name("policy laws", tests, NULL, NULL);
}
