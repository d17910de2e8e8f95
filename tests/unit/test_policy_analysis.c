/* What can be said of a charter without any item, and whether two charters are the same; compile faults; vocabulary. */
#include "tests/unit/policy_kit.h"

static struct kit k;
static struct policy_node nodes[16];
static struct policy_rule rules[8];
static struct policy_finding found[32];
static size_t n_found;

static int set_up(void **state)
{
	(void)state;
	kit_release(&k);
	kit_init(&k);
	memset(nodes, 0, sizeof nodes);
	memset(rules, 0, sizeof rules);
	k.spec.nodes = nodes;
	k.spec.rules = rules;
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	kit_release(&k);
	return 0;
}

static void rule(unsigned effect, unsigned attribute, unsigned compare, int64_t value)
{
	nodes[k.spec.n_nodes] = (struct policy_node){.op = POLICY_NODE_TEST, .attribute = (uint8_t)attribute, .compare = (uint8_t)compare,
	                                             .value = value};
	rules[k.spec.n_rules++] = (struct policy_rule){.uses = POLICY_USES_ALL, .root = (uint16_t)k.spec.n_nodes++, .effect = (uint8_t)effect};
}

static void analyse(void)
{
	assert_int_equal(policy_analyse(&k.spec, &k.mem.mem, found, 32, &n_found), POLICY_OK);
}

static bool finds(unsigned code, uint32_t index, uint32_t other)
{
	for (size_t i = 0; i < n_found; i++)
		if (found[i].code == code && found[i].index == index && found[i].other == other)
			return true;
	return false;
}

static void a_sound_charter_has_no_findings(void **state)
{
	(void)state;
	rule(POLICY_EXCLUDE, POLICY_ATTR_QUALITY, POLICY_LT, 50);
	rule(POLICY_HOLD, POLICY_ATTR_LANGUAGE, POLICY_EQ, 9);
	analyse();
	assert_int_equal(n_found, 0);
}

static void rules_that_never_or_always_apply_are_found(void **state)
{
	(void)state;
	rule(POLICY_EXCLUDE, POLICY_ATTR_QUALITY, POLICY_LT, 0);
	rule(POLICY_HOLD, POLICY_ATTR_QUALITY, POLICY_GE, 0);
	rule(POLICY_HOLD, POLICY_ATTR_QUALITY, POLICY_LT, 9);
	rules[2].uses = POLICY_BIT(POLICY_USE_SEARCH);
	analyse();
	assert_true(finds(POLICY_FINDING_NEVER_APPLIES, 0, POLICY_NO_ROW));
	assert_true(finds(POLICY_FINDING_ALWAYS_APPLIES, 1, POLICY_NO_ROW));
	assert_true(finds(POLICY_FINDING_NEVER_APPLIES, 2, POLICY_NO_ROW));
	assert_true(finds(POLICY_FINDING_DENIES_ALL, POLICY_NO_ROW, POLICY_NO_ROW));
}

static void shadowed_rules_are_found_alone_and_together(void **state)
{
	(void)state;
	rule(POLICY_EXCLUDE, POLICY_ATTR_QUALITY, POLICY_LT, 50);
	rule(POLICY_HOLD, POLICY_ATTR_QUALITY, POLICY_LT, 20);
	rule(POLICY_EXCLUDE, POLICY_ATTR_QUALITY, POLICY_LT, 50);
	analyse();
	assert_false(finds(POLICY_FINDING_SHADOWED, 0, 2));
	assert_true(finds(POLICY_FINDING_SHADOWED, 1, 0));
	assert_true(finds(POLICY_FINDING_SHADOWED, 2, 0));
	set_up(NULL);
	rule(POLICY_EXCLUDE, POLICY_ATTR_QUALITY, POLICY_LT, 50);
	rule(POLICY_EXCLUDE, POLICY_ATTR_QUALITY, POLICY_GT, 80);
	nodes[k.spec.n_nodes] = (struct policy_node){.op = POLICY_NODE_ANY, .first = 3, .count = 2};
	nodes[3] = (struct policy_node){.op = POLICY_NODE_TEST, .attribute = POLICY_ATTR_QUALITY, .compare = POLICY_LT, .value = 40};
	nodes[4] = (struct policy_node){.op = POLICY_NODE_TEST, .attribute = POLICY_ATTR_QUALITY, .compare = POLICY_GT, .value = 90};
	rules[2] = (struct policy_rule){.uses = POLICY_USES_ALL, .root = 2, .effect = POLICY_HOLD};
	k.spec.n_nodes = 5;
	k.spec.n_rules = 3;
	analyse();
	assert_int_equal(n_found, 1);
	assert_true(finds(POLICY_FINDING_SHADOWED, 2, POLICY_NO_ROW));
}

static void rules_that_leave_no_item_contradict(void **state)
{
	(void)state;
	rule(POLICY_EXCLUDE, POLICY_ATTR_QUALITY, POLICY_LT, 50);
	rule(POLICY_HOLD, POLICY_ATTR_QUALITY, POLICY_GE, 50);
	analyse();
	assert_true(finds(POLICY_FINDING_CONTRADICTS, 0, 1));
	assert_true(finds(POLICY_FINDING_DENIES_ALL, POLICY_NO_ROW, POLICY_NO_ROW));
	rules[1].root = 0;
	analyse();
	assert_false(finds(POLICY_FINDING_CONTRADICTS, 0, 1));
}

static void a_release_that_can_hold_nothing_is_found(void **state)
{
	(void)state;
	memset(k.spec.regions, 0, sizeof k.spec.regions);
	analyse();
	assert_true(finds(POLICY_FINDING_DENIES_ALL, POLICY_NO_ROW, POLICY_NO_ROW));
	set_up(NULL);
	k.spec.volume_cap = 0;
	analyse();
	assert_true(finds(POLICY_FINDING_DENIES_ALL, POLICY_NO_ROW, POLICY_NO_ROW));
}

static void controls_that_touch_nothing_are_found(void **state)
{
	(void)state;
	struct policy_toggle t[] = {
		{.kind = POLICY_TOGGLE_SHIFT, .kinds = POLICY_KINDS_ALL, .uses = POLICY_BIT(POLICY_USE_SEARCH), .until = POLICY_NEVER},
		{.kind = POLICY_TOGGLE_FREEZE, .kinds = POLICY_KINDS_ALL, .since = T0 + POLICY_DAY, .until = POLICY_NEVER},
		{.kind = POLICY_TOGGLE_CAP, .kinds = POLICY_KINDS_ALL, .cap = 10, .until = POLICY_NEVER},
		{.kind = POLICY_TOGGLE_FREEZE, .kinds = POLICY_KINDS_LABELS, .until = POLICY_NEVER},
	};
	k.spec.toggles = t;
	k.spec.n_toggles = 4;
	k.spec.volume_cap = 10;
	analyse();
	assert_true(finds(POLICY_FINDING_TOGGLE_INERT, 0, POLICY_NO_ROW));
	assert_true(finds(POLICY_FINDING_TOGGLE_INERT, 1, POLICY_NO_ROW));
	assert_true(finds(POLICY_FINDING_TOGGLE_INERT, 2, POLICY_NO_ROW));
	assert_false(finds(POLICY_FINDING_TOGGLE_INERT, 3, POLICY_NO_ROW));
}

static void defaults_that_never_decide_are_found(void **state)
{
	(void)state;
	kit_default(&k, POLICY_LAYER_COOP, POLICY_EFFECT_ALLOW);
	kit_default(&k, POLICY_LAYER_FEDERATION, POLICY_EFFECT_DENY);
	kit_default(&k, POLICY_LAYER_COOP, POLICY_EFFECT_DENY)->uses = POLICY_BIT(POLICY_USE_SEARCH);
	analyse();
	assert_false(finds(POLICY_FINDING_DEFAULT_SHADOWED, 0, POLICY_NO_ROW));
	assert_true(finds(POLICY_FINDING_DEFAULT_SHADOWED, 1, POLICY_NO_ROW));
	assert_true(finds(POLICY_FINDING_DEFAULT_SHADOWED, 2, POLICY_NO_ROW));
}

static void too_many_cases_are_said_not_sampled(void **state)
{
	(void)state;
	for (unsigned a = 0; a < 8; a++)
		rule(POLICY_HOLD, (unsigned[]){POLICY_ATTR_LANGUAGE, POLICY_ATTR_QUALITY, POLICY_ATTR_PROMPTED, POLICY_ATTR_FRICTION, POLICY_ATTR_ORIGIN,
		                               POLICY_ATTR_APPLICATION, POLICY_ATTR_LENGTH, POLICY_ATTR_LICENCE}[a], POLICY_EQ, 3);
	nodes[k.spec.n_nodes++] = (struct policy_node){.op = POLICY_NODE_TEST, .attribute = POLICY_ATTR_QUALITY, .value = 90};
	nodes[k.spec.n_nodes++] = (struct policy_node){.op = POLICY_NODE_TEST, .attribute = POLICY_ATTR_LANGUAGE, .value = 90};
	analyse();
	assert_true(finds(POLICY_FINDING_TOO_LARGE, POLICY_NO_ROW, POLICY_NO_ROW));
}

/* ---- Equivalence ------------------------------------------------------------------------------------------------------------- */

static struct policy_witness witness;

static enum policy_status compare(const struct policy_spec *a, const struct policy_spec *b)
{
	enum policy_status status = policy_equivalent(a, b, &k.mem.mem, &witness);
	assert_int_equal(policy_equivalent(b, a, &k.mem.mem, &witness), status);
	return status;
}

/* The witness, decided afresh under both, does differ. */
static void check_witness(const struct policy_spec *a, const struct policy_spec *b)
{
	assert_int_equal(policy_equivalent(a, b, &k.mem.mem, &witness), POLICY_DIFFERS);
	unsigned outcomes[2];
	for (int i = 0; i < 2; i++) {
		const struct policy_program *p;
		struct policy_rows *rows;
		const struct policy_facts facts = {.members = &witness.member, .n_members = 1, .statements = witness.said, .n_statements = witness.n_said};
		assert_int_equal(policy_compile(i ? b : a, &k.mem.mem, &p, NULL), POLICY_OK);
		assert_int_equal(policy_rows_build(p, &facts, &k.mem.mem, &rows, NULL), POLICY_OK);
		outcomes[i] = policy_outcome_of(policy_decide_one(p, rows, 0, witness.word, witness.more, 0));
	}
	assert_int_not_equal(outcomes[0], outcomes[1]);
}

static void a_charter_is_equivalent_to_itself_and_to_one_said_otherwise(void **state)
{
	(void)state;
	rule(POLICY_EXCLUDE, POLICY_ATTR_QUALITY, POLICY_LT, 50);
	struct policy_spec other = k.spec;
	struct policy_node said[] = {{.op = POLICY_NODE_NOT, .first = 1, .count = 1},
	                             {.op = POLICY_NODE_TEST, .attribute = POLICY_ATTR_QUALITY, .compare = POLICY_GE, .value = 50}};
	assert_int_equal(compare(&k.spec, &k.spec), POLICY_OK);
	other.nodes = said;
	other.n_nodes = 2;
	assert_int_equal(compare(&k.spec, &other), POLICY_OK);
	said[1].value = 51;
	assert_int_equal(compare(&k.spec, &other), POLICY_DIFFERS);
	check_witness(&k.spec, &other);
	assert_int_equal(witness.more >> 8 & 255, 50);
}

static void each_field_that_matters_is_told_apart(void **state)
{
	(void)state;
	struct policy_statement deny = kit_statement(0, POLICY_LAYER_COOP, POLICY_EFFECT_DENY);
	struct policy_toggle freeze = {.kind = POLICY_TOGGLE_FREEZE, .kinds = POLICY_KINDS_LABELS, .until = POLICY_NEVER};
	struct policy_spec o[16];
	for (size_t i = 0; i < 16; i++)
		o[i] = k.spec;
	o[0].uses |= POLICY_BIT(POLICY_USE_SEARCH);
	o[1].uses_conditional = 0;
	o[2].audience_duties = 0;
	o[3].audience = POLICY_AUDIENCE_PUBLIC;
	o[4].licence_mode = POLICY_COLLECTION;
	o[5].purposes = 1u << POLICY_PURPOSE_COMMERCIAL;
	o[6].purposes |= 1u << POLICY_PURPOSE_EDUCATION;
	o[7].outputs = 1u << POLICY_LICENCE_CC_BY_SA_4_0;
	o[8].kinds &= ~1;
	o[9].notice_min++;
	o[10].cutoff -= POLICY_DAY;
	o[11].embargo = POLICY_DAY;
	o[12].retention = POLICY_DAY;
	o[13].regions[2] = 7;
	o[14].defaults = &deny;
	o[14].n_defaults = 1;
	o[15].toggles = &freeze;
	o[15].n_toggles = 1;
	for (size_t i = 0; i < 16; i++) {
		if (compare(&k.spec, &o[i]) != POLICY_DIFFERS)
			fail_msg("field %zu is not told apart", i);
		check_witness(&k.spec, &o[i]);
		kit_mem_release(&k.mem);
	}
}

static void limits_are_compared_as_values(void **state)
{
	(void)state;
	struct policy_spec o[5] = {k.spec, k.spec, k.spec, k.spec, k.spec};
	o[0].k_contributors = 5;
	o[1].delegation_cap = 9;
	o[2].volume_cap = 4;
	o[3].assurance = 2;
	o[4].k_stratum = 3;
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(compare(&k.spec, &o[i]), POLICY_DIFFERS);
	o[0].k_contributors = 1;
	assert_int_equal(compare(&k.spec, &o[0]), POLICY_OK);
}

static void charters_that_let_nothing_in_are_the_same(void **state)
{
	(void)state;
	struct policy_spec a = k.spec, b;
	memset(a.regions, 0, sizeof a.regions);
	b = a;
	b.uses = POLICY_BIT(POLICY_USE_EVAL);
	assert_int_equal(compare(&a, &b), POLICY_OK);
}

/* ---- Faults and words -------------------------------------------------------------------------------------------------------- */

static void every_fault_of_a_specification_is_named(void **state)
{
	(void)state;
	struct policy_statement d = kit_statement(0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_DENY);
	struct policy_toggle t = {.kind = POLICY_TOGGLE_SHIFT, .kinds = 1, .until = POLICY_NEVER};
	struct policy_spec bad = k.spec;
	bad.uses = bad.uses_conditional = bad.audience_duties = 0x8000;
	bad.audience = 9;
	bad.licence_mode = 2;
	bad.purposes = 1;
	bad.outputs = 1u << 31;
	bad.kinds = 0;
	bad.delegation_depth = 9;
	bad.instant = bad.cutoff - 1;
	bad.embargo = -1;
	bad.defaults = &d;
	bad.toggles = &t;
	bad.n_defaults = bad.n_toggles = 1;
	rules[0] = (struct policy_rule){.uses = 0};
	nodes[0] = (struct policy_node){.op = 9};
	bad.n_rules = bad.n_nodes = 1;
	const struct policy_program *p;
	k.fault_list.n = 0;
	assert_int_equal(policy_compile(&bad, &k.mem.mem, &p, &k.fault_list), POLICY_INVALID);
	assert_null(p);
	assert_int_equal(k.fault_list.n, POLICY_FAULT_SPEC_SIZE);
	for (size_t i = 0; i < k.fault_list.n; i++) {
		assert_int_equal(k.faults[i].code, i);
		assert_non_null(policy_fault_where(k.faults[i].code));
		assert_non_null(policy_fault_text(k.faults[i].code));
	}
	bad.n_nodes = POLICY_NODES_MAX + 1;
	k.fault_list = (struct policy_faults){k.faults, 2, 0};
	assert_int_equal(policy_compile(&bad, &k.mem.mem, &p, &k.fault_list), POLICY_INVALID);
	assert_int_equal(k.fault_list.n, POLICY_FAULT_SPEC_TOGGLE + 1); /* scalars, the default, and the size: no array is read */
	assert_null(policy_fault_where(POLICY_FAULT_COUNT));
	assert_null(policy_fault_text(POLICY_FAULT_COUNT));
}

static void every_unsound_predicate_is_refused(void **state)
{
	(void)state;
	const struct policy_node bad[] = {
		{.op = POLICY_NODE_OP_COUNT}, {.op = POLICY_NODE_NOT, .first = 1, .count = 0}, {.op = POLICY_NODE_NOT, .first = 1, .count = 2},
		{.op = POLICY_NODE_ALL, .first = 0, .count = 1}, {.op = POLICY_NODE_ANY, .first = 2, .count = 3},
		{.op = POLICY_NODE_TEST, .attribute = POLICY_ATTR_COUNT}, {.op = POLICY_NODE_TEST, .compare = POLICY_COMPARE_COUNT},
		{.op = POLICY_NODE_TEST, .value = -1}, {.op = POLICY_NODE_TEST, .attribute = POLICY_ATTR_QUALITY, .value = 256},
		{.op = POLICY_NODE_IN, .attribute = POLICY_ATTR_QUALITY}, {.op = POLICY_NODE_IN, .attribute = POLICY_ATTR_KIND, .set = 256},
		{.op = POLICY_NODE_IN, .attribute = POLICY_ATTR_COUNT},
	};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		const struct policy_program *p;
		nodes[0] = bad[i];
		k.spec.n_nodes = 3;
		assert_int_equal(policy_compile(&k.spec, &k.mem.mem, &p, NULL), POLICY_INVALID);
	}
}

static void the_vocabulary_is_found_by_its_names(void **state)
{
	(void)state;
#define FOUND(find, name, count)                                     \
	for (unsigned i = 0; i < (count); i++)                           \
		assert_int_equal(find(name(i), strlen(name(i))), i);         \
	assert_null(name(count));                                        \
	assert_int_equal(find("no such thing", 13), -1)
	FOUND(policy_use_find, policy_use_name, POLICY_USE_COUNT);
	FOUND(policy_duty_find, policy_duty_name, POLICY_DUTY_COUNT);
	FOUND(policy_purpose_find, policy_purpose_name, POLICY_PURPOSE_COUNT);
	FOUND(policy_purpose_find, policy_purpose_iri, POLICY_PURPOSE_COUNT);
	FOUND(policy_kind_find, policy_kind_name, POLICY_KIND_COUNT);
	FOUND(policy_audience_find, policy_audience_name, POLICY_AUDIENCE_COUNT);
	FOUND(policy_effect_find, policy_effect_name, POLICY_EFFECT_COUNT);
	FOUND(policy_layer_find, policy_layer_name, POLICY_LAYER_COUNT);
	FOUND(policy_standing_find, policy_standing_name, POLICY_STANDING_COUNT);
	FOUND(policy_consent_find, policy_consent_name, POLICY_CONSENT_COUNT);
	FOUND(policy_consent_find, policy_consent_iri, POLICY_CONSENT_COUNT);
	FOUND(policy_outcome_find, policy_outcome_name, POLICY_OUTCOME_COUNT);
	FOUND(policy_attribute_find, policy_attribute_name, POLICY_ATTR_COUNT);
	for (unsigned i = 0; i < POLICY_REASON_COUNT; i++) {
		const struct policy_reason *r = policy_reason_get(i);
		assert_int_equal(policy_reason_find(r->name, strlen(r->name)), i);
		assert_true(r->gate > 0 && r->gate < POLICY_GATE_COUNT && strlen(r->message) > 10 && strlen(r->reference) > 5);
		assert_non_null(policy_gate_name(r->gate));
		assert_non_null(policy_fixer_name(r->fixer));
	}
	assert_int_equal(policy_reason_find("PREF", 4), -1);
	assert_null(policy_reason_get(POLICY_REASON_COUNT));
	for (unsigned i = 0; i < POLICY_VIA_COUNT; i++)
		assert_true(policy_via_name(i) && policy_via_text(i));
	assert_null(policy_via_name(POLICY_VIA_COUNT));
	assert_null(policy_via_text(POLICY_VIA_COUNT));
	for (unsigned i = 0; i < POLICY_FINDING_COUNT; i++)
		assert_true(policy_finding_name(i) && policy_finding_text(i));
	assert_null(policy_finding_name(POLICY_FINDING_COUNT));
	assert_null(policy_finding_text(POLICY_FINDING_COUNT));
}

static void the_purpose_graph_has_no_loops_and_one_top(void **state)
{
	(void)state;
	for (unsigned p = 0; p < POLICY_PURPOSE_COUNT; p++) {
		assert_true(policy_purpose_above(p) & 1);
		for (unsigned q = 0; q < POLICY_PURPOSE_COUNT; q++) {
			assert_int_equal(policy_purpose_above(p) >> q & 1, policy_purpose_below(q) >> p & 1);
			if (p != q)
				assert_false(policy_purpose_above(p) >> q & 1 && policy_purpose_above(q) >> p & 1);
		}
	}
	assert_int_equal(policy_purpose_above(POLICY_PURPOSE_COUNT), 0);
	assert_int_equal(policy_purpose_below(POLICY_PURPOSE_COUNT), 0);
	for (unsigned a = POLICY_AUDIENCE_MEMBERS; a < POLICY_AUDIENCE_PUBLIC; a++)
		assert_int_equal(policy_audience_duties(a) & policy_audience_duties(a + 1), policy_audience_duties(a + 1));
	assert_int_equal(policy_audience_duties(POLICY_AUDIENCE_ANY), 0);
}

static void a_buffer_as_memory_is_aligned_and_ends(void **state)
{
	(void)state;
	char buffer[100];
	struct policy_area area;
	policy_area_init(&area, buffer + 1, sizeof buffer - 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal((uintptr_t)area.mem.alloc(area.mem.ctx, 17) % 16, 0);
	assert_null(area.mem.alloc(area.mem.ctx, 17));
	assert_null(area.mem.alloc(area.mem.ctx, SIZE_MAX));
}

static void digests_are_of_the_content(void **state)
{
	(void)state;
	uint8_t a[32], b[32], engine[32];
	assert_int_equal(kit_build(&k), POLICY_OK);
	policy_program_digest(k.program, a);
	policy_engine_digest(engine);
	k.spec.k_contributors++;
	assert_int_equal(kit_build(&k), POLICY_OK);
	policy_program_digest(k.program, b);
	assert_memory_not_equal(a, b, 32);
	assert_memory_not_equal(a, engine, 32);
	k.spec.k_contributors--;
	assert_int_equal(kit_build(&k), POLICY_OK);
	policy_program_digest(k.program, b);
	assert_memory_equal(a, b, 32);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_sound_charter_has_no_findings), T(rules_that_never_or_always_apply_are_found),
		T(shadowed_rules_are_found_alone_and_together), T(rules_that_leave_no_item_contradict),
		T(a_release_that_can_hold_nothing_is_found), T(controls_that_touch_nothing_are_found),
		T(defaults_that_never_decide_are_found), T(too_many_cases_are_said_not_sampled),
		T(a_charter_is_equivalent_to_itself_and_to_one_said_otherwise), T(each_field_that_matters_is_told_apart),
		T(limits_are_compared_as_values), T(charters_that_let_nothing_in_are_the_same),
		T(every_fault_of_a_specification_is_named), T(every_unsound_predicate_is_refused),
		T(the_vocabulary_is_found_by_its_names), T(the_purpose_graph_has_no_loops_and_one_top),
		T(a_buffer_as_memory_is_aligned_and_ends), T(digests_are_of_the_content),
	};
	return cmocka_run_group_tests_name("policy analysis", tests, NULL, NULL);
}
