/* Memory that ends at every single allocation in turn: reported, never a crash, never a pass. */
#include "tests/unit/policy_kit.h"

static struct kit k;

static int set_up(void **state)
{
	(void)state;
	kit_init(&k);
	k.n_members = 6;
	k.board = true;
	k.spec.instant = T0 + POLICY_DAY;
	k.spec.uses = POLICY_BIT(POLICY_USE_TRAIN_GEN) | POLICY_BIT(POLICY_USE_SEARCH);
	k.spec.delegation_depth = 3;
	k.spec.delegation_cap = 1;
	k.members[0].group = 4;
	kit_delegate(&k, 0, 1);
	kit_delegate(&k, 2, 1);
	kit_delegate(&k, 3, POLICY_BOARD);
	kit_delegate(&k, 4, 5)->scope = POLICY_SCOPE_TOPIC;
	k.edges[3].topics = POLICY_BIT(POLICY_USE_SEARCH);
	kit_say(&k, 1, POLICY_LAYER_DELEGATE, POLICY_EFFECT_DENY)->uses = POLICY_USES_ALL;
	kit_say(&k, POLICY_BOARD, POLICY_LAYER_DELEGATE, POLICY_EFFECT_ALLOW);
	kit_say(&k, 4, POLICY_LAYER_SUBGROUP, POLICY_EFFECT_ALLOW_IF);
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW_IF);
	kit_say(&k, 0, POLICY_LAYER_ITEM, POLICY_EFFECT_DENY);
	kit_default(&k, POLICY_LAYER_COOP, POLICY_EFFECT_DENY);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	kit_release(&k);
	return 0;
}

/* Runs `work` with ever more memory until it is enough; anything less must say so. */
static void torture(enum policy_status (*work)(void), size_t least)
{
	for (size_t n = 1;; n++) {
		kit_mem_release(&k.mem);
		k.mem.fail_at = n;
		enum policy_status status = work();
		if (status == POLICY_OK || status == POLICY_DIFFERS) {
			assert_true(n > least);
			return;
		}
		assert_int_equal(status, POLICY_NO_MEMORY);
		assert_true(n < 400);
	}
}

static enum policy_status build(void)
{
	struct policy_facts facts = kit_facts(&k);
	enum policy_status status = policy_compile(&k.spec, &k.mem.mem, &k.program, NULL);
	return status == POLICY_OK ? policy_rows_build(k.program, &facts, &k.mem.mem, &k.rows, NULL) : status;
}

static enum policy_status build_and_explain(void)
{
	struct policy_trace trace;
	enum policy_status status = build();
	uint64_t word = policy_item_pack(&k.item);
	if (status == POLICY_OK)
		status = policy_explain(k.program, k.rows, 0, word, 0, 0, 0, &k.mem.mem, &trace);
	if (status == POLICY_OK) {
		assert_true(trace.n_fixes > 0);
		status = policy_replay(k.program, k.rows, &trace, &k.mem.mem);
	}
	return status;
}

static enum policy_status analyse(void)
{
	struct policy_finding found[4];
	size_t n;
	return policy_analyse(&k.spec, &k.mem.mem, found, 4, &n);
}

static enum policy_status compare(void)
{
	struct policy_witness witness;
	return policy_equivalent(&k.spec, &k.spec, &k.mem.mem, &witness);
}

static enum policy_status merge(void)
{
	struct policy_spec other = k.spec, both;
	struct policy_statement deny = kit_statement(0, POLICY_LAYER_COOP, POLICY_EFFECT_DENY);
	deny.uses = POLICY_BIT(POLICY_USE_SEARCH);
	other.defaults = &deny;
	return policy_spec_merge(&k.spec, &other, &k.mem.mem, &both);
}

static enum policy_status concentrate(void)
{
	struct policy_path paths[2] = {{.decider = 1, .via = POLICY_VIA_DECIDED}, {.decider = 1, .via = POLICY_VIA_OWN}};
	struct policy_concentration c;
	return policy_delegation_concentration(paths, 2, &k.mem.mem, &c);
}

static void building_and_explaining(void **state)
{
	(void)state;
	torture(build, 15);
	torture(build_and_explain, 25);
}

static void questions_about_rules(void **state)
{
	(void)state;
	torture(analyse, 4);
	torture(compare, 3);
	torture(merge, 3);
	torture(concentrate, 2);
}

/* An update that cannot get memory holds whoever it could not decide. */
static void updates_without_memory_hold(void **state)
{
	(void)state;
	uint32_t touched[8];
	size_t n;
	assert_int_equal(build(), POLICY_OK);
	k.mem.fail_at = 1;
	for (unsigned i = 0; i < 300; i++) {
		/* Every member gets a class of its own, until there is room for no more. */
		struct policy_statement s = kit_statement(5, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW_IF);
		s.duties = (uint16_t)(1 + i % 1023);
		s.declared_at = T0 - 1000 + i;
		assert_int_equal(policy_rows_add(k.rows, &s, NULL, touched, 8, &n), POLICY_OK);
	}
	assert_true(policy_rows_get(k.rows, 5, 0).reasons & POLICY_REASON(ENGINE_ERROR));
	assert_int_equal(policy_rows_get(k.rows, 99, 0).reasons, POLICY_REASON(ENGINE_ERROR));
	assert_int_equal(policy_rows_get(k.rows, 0, 99).reasons, POLICY_REASON(ENGINE_ERROR));
	/* A delegate speaks about one use only: a further question of delegation, for which there is no memory. */
	struct policy_statement s = kit_statement(2, POLICY_LAYER_DELEGATE, POLICY_EFFECT_ALLOW);
	assert_int_equal(policy_rows_add(k.rows, &s, NULL, touched, 8, &n), POLICY_OK);
	for (uint32_t m = 0; m < k.n_members; m++)
		assert_true(policy_outcome_of(policy_rows_get(k.rows, m, 0).reasons) >= POLICY_HOLD);
}

static void absurd_sizes_are_refused(void **state)
{
	(void)state;
	assert_int_equal(build(), POLICY_OK);
	struct policy_facts facts = kit_facts(&k);
	struct policy_rows *rows;
	k.fault_list.n = 0;
	facts.n_members = POLICY_MEMBERS_MAX;
	assert_int_equal(policy_rows_build(k.program, &facts, &k.mem.mem, &rows, &k.fault_list), POLICY_INVALID);
	facts = kit_facts(&k);
	facts.n_statements = SIZE_MAX;
	assert_int_equal(policy_rows_build(k.program, &facts, &k.mem.mem, &rows, NULL), POLICY_INVALID);
	facts = kit_facts(&k);
	facts.n_edges = SIZE_MAX;
	assert_int_equal(policy_rows_build(k.program, &facts, &k.mem.mem, &rows, NULL), POLICY_INVALID);
	facts = kit_facts(&k);
	facts.n_items = SIZE_MAX;
	assert_int_equal(policy_rows_build(k.program, &facts, &k.mem.mem, &rows, NULL), POLICY_INVALID);
	assert_int_equal(k.fault_list.n, 1);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(building_and_explaining), T(questions_about_rules), T(updates_without_memory_hold), T(absurd_sizes_are_refused),
	};
	return cmocka_run_group_tests_name("policy torture", tests, NULL, NULL);
}
