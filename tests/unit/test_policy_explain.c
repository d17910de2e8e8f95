/* Explanations: what determined, what was set aside and by which rule, what would change it, and the replay of a trace. */
#include "tests/unit/policy_kit.h"

#define R(sym) POLICY_REASON(sym)

static struct kit k;
static struct policy_trace trace;

static int set_up(void **state)
{
	(void)state;
	kit_init(&k);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	kit_release(&k);
	return 0;
}

static void explain(void)
{
	assert_int_equal(kit_build(&k), POLICY_OK);
	assert_int_equal(policy_explain(k.program, k.rows, 0, policy_item_pack(&k.item), k.item.more, k.item.member, 0, &k.mem.mem,
	                                &trace), POLICY_OK);
	assert_int_equal(policy_replay(k.program, k.rows, &trace, &k.mem.mem), POLICY_OK);
}

static const struct policy_overridden *overridden(uint32_t statement)
{
	for (size_t i = 0; i < trace.n_overridden; i++)
		if (trace.overridden[i].statement == statement)
			return &trace.overridden[i];
	return NULL;
}

static void expect_override(uint32_t statement, unsigned rule, uint32_t by)
{
	const struct policy_overridden *o = overridden(statement);
	if (!o || o->rule != rule || o->by != by)
		fail_msg("statement %u: %s by %u, expected %s", statement, o ? policy_override_name(o->rule) : "not set aside",
		         o ? o->by : 0, policy_override_name(rule));
}

static void what_settled_a_use_is_named(void **state)
{
	(void)state;
	kit_default(&k, POLICY_LAYER_COOP, POLICY_EFFECT_DENY);
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
	explain();
	assert_int_equal(trace.outcome, POLICY_INCLUDE);
	assert_int_equal(trace.effect[POLICY_USE_TRAIN_GEN], POLICY_EFFECT_ALLOW);
	assert_int_equal(trace.decided_by[POLICY_USE_TRAIN_GEN], 0);
	expect_override(POLICY_REF_DEFAULTS, POLICY_BY_NEAREST_LAYER, 0);
	assert_int_equal(trace.n_fixes, 0);
}

static void every_rule_of_setting_aside_is_named(void **state)
{
	(void)state;
	k.spec.instant = T0 + POLICY_DAY;
	k.spec.purposes = 1u << POLICY_PURPOSE_SCIENTIFIC;
	k.n_members = 2;
	kit_delegate(&k, 0, 1);
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW)->declared_at = T0 - 30 * POLICY_DAY;       /* 0: replaced by 1 */
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_DENY)->declared_at = T0 - 20 * POLICY_DAY;        /* 1 */
	kit_say(&k, 0, POLICY_LAYER_ITEM, POLICY_EFFECT_ALLOW);                                              /* 2: floor */
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW)->purpose = POLICY_PURPOSE_COMMERCIAL;      /* 3 */
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW)->audience = POLICY_AUDIENCE_MEMBERS;       /* 4 */
	struct policy_statement *expired = kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_DENY);         /* 5 */
	expired->valid_to = T0 - 5;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW)->flags = POLICY_STATEMENT_EXTERNAL;        /* 6 */
	kit_say(&k, 1, POLICY_LAYER_DELEGATE, POLICY_EFFECT_ALLOW)->declared_at = T0 - 25 * POLICY_DAY;      /* 7 */
	struct policy_statement *late = kit_say(&k, 0, POLICY_LAYER_ITEM, POLICY_EFFECT_ALLOW);              /* 8 */
	late->declared_at = T0 + 5;
	kit_default(&k, POLICY_LAYER_COOP, POLICY_EFFECT_ALLOW);
	k.members[0].defaults_accepted = POLICY_NEVER;
	explain();
	assert_int_equal(trace.outcome, POLICY_EXCLUDE);
	assert_int_equal(trace.decided_by[0], 1);
	expect_override(0, POLICY_BY_LATER_ACT, 1);
	expect_override(3, POLICY_BY_PURPOSE, POLICY_NO_ROW);
	expect_override(4, POLICY_BY_AUDIENCE, POLICY_NO_ROW);
	expect_override(5, POLICY_BY_NOT_VALID, POLICY_NO_ROW);
	expect_override(6, POLICY_BY_EXTERNAL_ALLOW, POLICY_NO_ROW);
	expect_override(7, POLICY_BY_LATER_ACT, 1);
	expect_override(8, POLICY_BY_FLOOR, 1);
	expect_override(POLICY_REF_DEFAULTS, POLICY_BY_NOT_ACCEPTED, POLICY_NO_ROW);
	for (unsigned o = 0; o < POLICY_OVERRIDE_COUNT; o++) {
		assert_non_null(policy_override_name(o));
		assert_non_null(policy_override_text(o));
	}
	assert_null(policy_override_name(POLICY_OVERRIDE_COUNT));
	assert_null(policy_override_text(POLICY_OVERRIDE_COUNT));
}

static void grants_after_the_cut_off_are_named(void **state)
{
	(void)state;
	k.spec.instant = T0 + POLICY_DAY;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW)->declared_at = T0 + 1;
	explain();
	assert_int_equal(trace.outcome, POLICY_HOLD);
	expect_override(0, POLICY_BY_AFTER_CUTOFF, POLICY_NO_ROW);
	assert_int_equal(trace.n_fixes, 1);
	assert_int_equal(trace.fixes[0].n, 1);
	assert_int_equal(trace.fixes[0].steps[0].act, POLICY_ACT_WAIT);
	assert_int_equal(trace.retry_at, k.spec.instant);
}

static void the_stricter_the_tightening_and_the_lifted_are_named(void **state)
{
	(void)state;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW_IF);
	explain();
	assert_int_equal(trace.outcome, POLICY_CONDITIONAL);
	assert_int_equal(trace.duties, POLICY_BIT(POLICY_DUTY_CREDIT) | POLICY_BIT(POLICY_DUTY_NOTICE));
	expect_override(0, POLICY_BY_STRICTER, 1);
	k.n_members = 2;
	kit_delegate(&k, 0, 1);
	kit_say(&k, 1, POLICY_LAYER_DELEGATE, POLICY_EFFECT_DENY)->declared_at = T0 - 5;
	explain();
	assert_int_equal(trace.decided_by[0], 2);
	expect_override(1, POLICY_BY_TIGHTENED, 2);
	assert_int_equal(trace.n_path, 1);
	assert_int_equal(trace.path[0], 1);
	k.n_statements = 0;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_DENY)->flags = POLICY_STATEMENT_EXTERNAL;
	explain();
	assert_int_equal(trace.decided_by[0], 0);
	kit_say(&k, 0, POLICY_LAYER_ITEM, POLICY_EFFECT_ALLOW)->declared_at = T0;
	explain();
	expect_override(0, POLICY_BY_LIFTED, 1);
	assert_int_equal(trace.outcome, POLICY_INCLUDE);
}

static void all_causes_are_listed_the_determining_first(void **state)
{
	(void)state;
	struct policy_node node = {.op = POLICY_NODE_TEST, .attribute = POLICY_ATTR_KIND, .compare = POLICY_EQ, .value = POLICY_KIND_CHAT};
	struct policy_rule rules[] = {{.id = 3, .uses = POLICY_USES_ALL, .effect = POLICY_EXCLUDE}, {.uses = POLICY_USES_ALL, .effect = POLICY_HOLD}};
	struct policy_toggle toggle = {.kind = POLICY_TOGGLE_SHIFT, .kinds = POLICY_KINDS_ALL, .uses = 1, .since = POLICY_EVER, .until = POLICY_NEVER};
	k.spec.nodes = &node;
	k.spec.n_nodes = 1;
	k.spec.rules = rules;
	k.spec.n_rules = 2;
	k.spec.toggles = &toggle;
	k.spec.n_toggles = 1;
	k.item.flags |= POLICY_ITEM_PII;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_DENY);
	explain();
	assert_int_equal(trace.reasons, R(PREF_DENY) | R(CHARTER_DENY) | R(CHARTER_HOLD) | R(TOGGLE_SHIFT) | R(PII_REVIEW));
	assert_int_equal(trace.n_causes, 5);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(trace.causes[i].determining, i < 3);
	assert_int_equal(trace.causes[0].reason, POLICY_REASON_NO_PREF_DENY);
	assert_int_equal(trace.causes[0].statement, 0);
	assert_int_equal(trace.causes[1].reason, POLICY_REASON_NO_TOGGLE_SHIFT);
	assert_int_equal(trace.causes[1].rule, 0);
	assert_int_equal(trace.causes[2].reason, POLICY_REASON_NO_CHARTER_DENY);
	assert_int_equal(trace.causes[4].reason, POLICY_REASON_NO_CHARTER_HOLD);
	assert_int_equal(trace.causes[4].rule, 1);
}

static void set_rules_are_explained_too(void **state)
{
	(void)state;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
	assert_int_equal(kit_build(&k), POLICY_OK);
	assert_int_equal(policy_explain(k.program, k.rows, 0, policy_item_pack(&k.item), 0, 0, R(K_MIN) | R(TOGGLE_CAP), &k.mem.mem, &trace),
	                 POLICY_OK);
	assert_int_equal(trace.outcome, POLICY_HOLD);
	assert_int_equal(trace.n_causes, 2);
	assert_int_equal(policy_replay(k.program, k.rows, &trace, &k.mem.mem), POLICY_OK);
}

static void what_nobody_can_change_has_no_fix(void **state)
{
	(void)state;
	k.item.flags |= POLICY_ITEM_TOMBSTONED;
	explain();
	assert_int_equal(trace.n_fixes, 0);
	k.item.flags = POLICY_ITEM_ATTRIBUTED;
	kit_say(&k, 0, POLICY_LAYER_LAW, POLICY_EFFECT_DENY);
	explain();
	assert_int_equal(trace.n_fixes, 0);
}

static void an_embargo_says_when(void **state)
{
	(void)state;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
	k.spec.embargo = 11 * POLICY_DAY;
	explain();
	assert_int_equal(trace.retry_at, T0 + POLICY_DAY);
	assert_int_equal(trace.causes[0].until, T0 + POLICY_DAY);
	char text[200];
	policy_cause_text(k.program, &trace, &trace.causes[0], text, sizeof text);
	assert_string_equal(text, "Under embargo until 2023-11-15T22:13:20Z.");
	k.statements[0].valid_from = T0 + 3 * POLICY_DAY;
	explain();
	assert_int_equal(trace.retry_at, T0 + 3 * POLICY_DAY);
	k.statements[0].valid_to = T0 + 3 * POLICY_DAY + 1;
	k.spec.embargo = 40 * POLICY_DAY;
	explain();
	assert_int_equal(trace.retry_at, POLICY_NEVER);
}

/* The engine is told that there is an embargo by a bit of the word; until when, only by the item's fact. */
static void a_contributors_embargo_says_when_where_the_fact_does(void **state)
{
	(void)state;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
	k.item.flags |= POLICY_ITEM_EMBARGOED;
	explain();
	assert_int_equal(trace.reasons, POLICY_REASON(EMBARGO_UNTIL));
	assert_int_equal(trace.retry_at, POLICY_NEVER);
	assert_int_equal(trace.causes[0].until, POLICY_NEVER);
	k.facts[k.n_facts++] = (struct policy_item_fact){.member = k.item.member, .kind = k.item.kind, .embargo_until = T0 + 5 * POLICY_DAY, .retain_until = POLICY_NEVER};
	explain();
	assert_int_equal(trace.reasons, POLICY_REASON(EMBARGO_UNTIL));
	assert_int_equal(trace.retry_at, T0 + 5 * POLICY_DAY);
	assert_int_equal(trace.causes[0].until, T0 + 5 * POLICY_DAY);
}

static void what_was_withdrawn_for_good_has_no_fix(void **state)
{
	(void)state;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
	k.item.flags |= POLICY_ITEM_WITHDRAWN;
	explain();
	assert_int_equal(trace.reasons, POLICY_REASON(CONSENT_WITHDRAWN));
	assert_int_equal(trace.n_fixes, 0);
	assert_int_equal(trace.retry_at, POLICY_NEVER);
}

static void messages_have_their_blanks_filled(void **state)
{
	(void)state;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW_IF)->duties = POLICY_BIT(POLICY_DUTY_REPORT) | POLICY_BIT(POLICY_DUTY_CREDIT);
	k.spec.audience_duties = POLICY_BIT(POLICY_DUTY_CREDIT);
	k.spec.kinds = POLICY_BIT(POLICY_KIND_RECORD);
	k.item.licence = POLICY_LICENCE_CC_BY_SA_4_0;
	k.members[0].purposes = 1u << POLICY_PURPOSE_EDUCATION;
	explain();
	char text[300], all[4000] = "";
	for (size_t i = 0; i < trace.n_causes; i++) {
		size_t len = policy_cause_text(k.program, &trace, &trace.causes[i], text, sizeof text);
		assert_int_equal(len, strlen(text));
		assert_null(strchr(text, '{'));
		snprintf(all + strlen(all), sizeof all - strlen(all), "%s\n", text);
		assert_int_equal(policy_cause_text(k.program, &trace, &trace.causes[i], text, 5), len);
		assert_int_equal(strlen(text), 4);
		assert_int_equal(policy_cause_text(k.program, &trace, &trace.causes[i], NULL, 0), len);
	}
	assert_non_null(strstr(all, "The audience gated_manual cannot be held to the duties report."));
	assert_non_null(strstr(all, "contributions of kind chat"));
	assert_non_null(strstr(all, "purpose scientific"));
	assert_non_null(strstr(all, "Creative Commons Attribution-ShareAlike 4.0 does not allow"));
	assert_non_null(strstr(all, "train.gen is allowed on conditions: credit"));
}

static void every_reason_has_a_message_without_loose_ends(void **state)
{
	(void)state;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
	explain();
	for (unsigned r = 0; r < 64; r++) {
		struct policy_cause cause = {.reason = (uint8_t)r, .until = POLICY_NEVER};
		char text[300];
		size_t len = policy_cause_text(k.program, &trace, &cause, text, sizeof text);
		assert_true(len > 10 && text[len - 1] == '.');
		assert_null(strchr(text, '{'));
	}
}

static void an_altered_trace_does_not_replay(void **state)
{
	(void)state;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_DENY);
	explain();
	struct policy_trace other = trace;
	other.outcome = POLICY_INCLUDE;
	assert_int_equal(policy_replay(k.program, k.rows, &other, &k.mem.mem), POLICY_DIFFERS);
	other = trace;
	other.word ^= POLICY_ITEM_PII;
	assert_int_equal(policy_replay(k.program, k.rows, &other, &k.mem.mem), POLICY_DIFFERS);
	k.statements[0].id++;
	assert_int_equal(policy_replay(k.program, k.rows, &trace, &k.mem.mem), POLICY_DIFFERS);
}

static void an_item_with_unsound_facts_is_explained_as_such(void **state)
{
	(void)state;
	k.members[0].standing = 99;
	explain();
	assert_int_equal(trace.reasons, R(ENGINE_ERROR));
	assert_int_equal(trace.n_fixes, 1);
	assert_int_equal(trace.fixes[0].steps[0].fixer, POLICY_FIXER_COOP);
	k.item.member = 5;
	explain();
	assert_int_equal(trace.reasons, R(ENGINE_ERROR));
}

/* ---- Any counterfactual, once applied, brings the item in ----------------------------------------------------------- */

static void apply(const struct policy_step *step)
{
	struct policy_statement s;
	switch (step->act) {
	case POLICY_ACT_ALLOW:
		s = kit_statement(k.item.member, POLICY_LAYER_ITEM, POLICY_EFFECT_ALLOW);
		s.uses = step->uses;
		s.revision = UINT32_MAX;
		break;
	case POLICY_ACT_LIFT: {
		bool is_default = step->statement >= POLICY_REF_DEFAULTS;
		s = is_default ? k.defaults[step->statement - POLICY_REF_DEFAULTS] : k.statements[step->statement];
		s.effect = POLICY_EFFECT_NONE;
		s.duties = 0;
		s.uses = step->uses;
		s.revision = UINT32_MAX;
		s.valid_from = POLICY_EVER;
		s.valid_to = POLICY_NEVER;
		if (is_default) {
			s.declared_at = k.spec.instant;
			k.defaults[k.spec.n_defaults++] = s;
			return;
		}
		break;
	}
	case POLICY_ACT_CLEAR:
		if (step->reason == POLICY_REASON_NO_PREF_CONDITION_UNMET)
			k.spec.uses_conditional = POLICY_USES_ALL;
		else if (step->reason == POLICY_REASON_NO_AUDIENCE_DUTY)
			k.spec.audience_duties = POLICY_DUTIES_ALL;
		else if (step->reason == POLICY_REASON_NO_PII_REVIEW)
			k.item.flags &= ~(uint32_t)POLICY_ITEM_PII;
		else if (step->reason == POLICY_REASON_NO_MODERATION_PENDING)
			k.item.moderation = POLICY_MODERATION_APPROVED;
		else
			fail_msg("no way to clear %s here", policy_reason_get(step->reason)->name);
		return;
	default: /* waiting is for the next release, which is what is decided below */
		return;
	}
	s.declared_at = k.spec.instant;
	k.statements[k.n_statements++] = s;
}

static void random_world(uint64_t *rng)
{
	kit_release(&k);
	kit_init(&k);
	k.n_members = 3;
	k.members[0].group = kit_below(rng, 2);
	k.members[0].defaults_accepted = kit_below(rng, 2) ? T0 - POLICY_DAY : POLICY_NEVER;
	k.spec.uses = (uint16_t)(1 + kit_below(rng, 31));
	k.spec.uses_conditional = (uint16_t)kit_random(rng) & POLICY_USES_ALL;
	k.spec.audience_duties = (uint16_t)kit_random(rng) & POLICY_DUTIES_ALL;
	k.spec.instant = T0 + (kit_below(rng, 2) ? POLICY_DAY : 0);
	k.facts[k.n_facts++] = (struct policy_item_fact){.embargo_until = POLICY_EVER, .retain_until = POLICY_NEVER};
	if (kit_below(rng, 3) == 0)
		k.item.flags |= POLICY_ITEM_PII;
	if (kit_below(rng, 3) == 0)
		k.item.moderation = POLICY_MODERATION_PENDING;
	if (kit_below(rng, 2))
		kit_delegate(&k, 0, 1);
	for (unsigned n = kit_below(rng, 6); n > 0; n--) {
		unsigned layer = 1 + kit_below(rng, 6), effect = 1 + kit_below(rng, 3);
		uint32_t who = layer == POLICY_LAYER_DELEGATE || layer == POLICY_LAYER_SUBGROUP ? 1 : 0;
		struct policy_statement *s = layer >= POLICY_LAYER_COOP ? kit_default(&k, layer, effect) : kit_say(&k, who, layer, effect);
		s->uses = kit_below(rng, 2) ? POLICY_USES_ALL : (uint16_t)(1 + kit_below(rng, 511));
		s->declared_at = T0 - 10 + kit_below(rng, 12) - 1;
		if (layer <= 2 && layer >= 1 && kit_below(rng, 6) == 0)
			s->flags = POLICY_STATEMENT_EXTERNAL;
		if (kit_below(rng, 5) == 0)
			s->purpose = (uint8_t)kit_below(rng, POLICY_PURPOSE_COUNT);
	}
}

static void applying_any_counterfactual_brings_the_item_in(void **state)
{
	(void)state;
	uint64_t rng = kit_seed("applying_any_counterfactual_brings_the_item_in");
	size_t applied = 0, several = 0;
	for (int round = 0; round < 3000; round++) {
		uint64_t before = rng;
		random_world(&rng);
		explain();
		size_t n = trace.n_fixes;
		for (size_t f = 0; f < n; f++) {
			uint64_t again = before;
			random_world(&again);
			explain();
			struct policy_fix fix = trace.fixes[f];
			struct policy_step steps[8];
			assert_in_range(fix.n, 1, 8);
			memcpy(steps, fix.steps, fix.n * sizeof *steps);
			for (size_t i = 0; i < fix.n; i++)
				apply(&steps[i]);
			k.spec.cutoff = k.spec.instant;
			policy_reasons reasons = kit_decide(&k);
			if (policy_outcome_of(reasons) > POLICY_CONDITIONAL)
				fail_msg("round %d fix %zu of %zu acts: still %llx", round, f, fix.n, (unsigned long long)reasons);
			applied++;
			several += fix.n > 1;
		}
	}
	print_message("%zu counterfactuals applied, %zu of several acts\n", applied, several);
	assert_true(applied > 1000 && several > 300);
}

static void running_out_of_memory_is_reported(void **state)
{
	(void)state;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_DENY);
	k.n_members = 2;
	kit_delegate(&k, 0, 1);
	for (size_t n = 1;; n++) {
		kit_mem_release(&k.mem);
		k.mem.fail_at = n;
		enum policy_status status = policy_compile(&k.spec, &k.mem.mem, &k.program, NULL);
		struct policy_facts facts = kit_facts(&k);
		if (status == POLICY_OK)
			status = policy_rows_build(k.program, &facts, &k.mem.mem, &k.rows, NULL);
		if (status == POLICY_OK)
			status = policy_explain(k.program, k.rows, 0, policy_item_pack(&k.item), 0, 0, 0, &k.mem.mem, &trace);
		if (status == POLICY_OK) {
			assert_true(n > 20);
			break;
		}
		assert_int_equal(status, POLICY_NO_MEMORY);
	}
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(what_settled_a_use_is_named), T(every_rule_of_setting_aside_is_named), T(grants_after_the_cut_off_are_named),
		T(the_stricter_the_tightening_and_the_lifted_are_named), T(all_causes_are_listed_the_determining_first),
		T(set_rules_are_explained_too), T(what_nobody_can_change_has_no_fix), T(an_embargo_says_when),
		T(a_contributors_embargo_says_when_where_the_fact_does), T(what_was_withdrawn_for_good_has_no_fix),
		T(messages_have_their_blanks_filled), T(every_reason_has_a_message_without_loose_ends),
		T(an_altered_trace_does_not_replay), T(an_item_with_unsound_facts_is_explained_as_such),
		T(applying_any_counterfactual_brings_the_item_in), T(running_out_of_memory_is_reported),
	};
	return cmocka_run_group_tests_name("policy explanations", tests, NULL, NULL);
}
