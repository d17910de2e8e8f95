/* Every gate: each reason of the registry is produced by what the design says produces it, and by nothing less. */
#include "tests/unit/policy_kit.h"

#define R(sym) POLICY_REASON(sym)

static struct kit k;

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

static void say_yes(void)
{
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
}

/* The item of a consenting member who allows the use is in, with no reason at all. */
static void a_good_item_is_included(void **state)
{
	(void)state;
	say_yes();
	assert_int_equal(kit_decide(&k), 0);
	assert_int_equal(policy_outcome_of(0), POLICY_INCLUDE);
}

static void flag(uint32_t flag, policy_reasons reason, unsigned outcome)
{
	kit_release(&k);
	kit_init(&k);
	say_yes();
	k.item.flags |= flag;
	assert_int_equal(kit_decide(&k), reason);
	assert_int_equal(policy_outcome_of(reason), outcome);
}

static void flags_of_the_item_are_reasons(void **state)
{
	(void)state;
	flag(POLICY_ITEM_TOMBSTONED, R(TOMBSTONED), POLICY_EXCLUDE);
	flag(POLICY_ITEM_ERASURE, R(ERASURE_PENDING), POLICY_EXCLUDE);
	flag(POLICY_ITEM_RESTRICTED, R(RESTRICTED), POLICY_HOLD);
	flag(POLICY_ITEM_LEGAL_HOLD, R(LEGAL_HOLD), POLICY_HOLD);
	flag(POLICY_ITEM_PII, R(PII_REVIEW), POLICY_HOLD);
	flag(POLICY_ITEM_DUPLICATE, R(DUPLICATE_OF), POLICY_EXCLUDE);
	flag(POLICY_ITEM_MINOR, R(MINOR), POLICY_HOLD);
	flag(POLICY_ITEM_SPECIAL, R(SPECIAL_CATEGORY), POLICY_HOLD);
	flag(POLICY_ITEM_THIRD_PARTY, R(THIRD_PARTY), POLICY_HOLD);
	flag(POLICY_ITEM_WITHDRAWN, R(CONSENT_WITHDRAWN), POLICY_EXCLUDE);
	flag(POLICY_ITEM_EMBARGOED, R(EMBARGO_UNTIL), POLICY_HOLD);
}

/* Every set of flags is the union of what each says, with and without the bit that means nothing. */
static void flags_are_united(void **state)
{
	(void)state;
	say_yes();
	assert_int_equal(kit_build(&k), POLICY_OK);
	uint64_t word = policy_item_pack(&k.item);
	for (uint64_t set = 0; set < 1u << 13; set++) {
		policy_reasons expected = 0;
		uint64_t bits = (set & 511) << 11 | (set >> 9 & 15) << 20 | POLICY_ITEM_ATTRIBUTED;
		for (unsigned bit = 11; bit < 24; bit++)
			if (bits >> bit & 1)
				expected |= policy_decide_one(k.program, k.rows, 0, word | UINT64_C(1) << bit, 0, 0);
		assert_int_equal(policy_decide_one(k.program, k.rows, 0, word | bits, 0, 0), expected);
	}
}

static void several_facts_give_all_their_reasons(void **state)
{
	(void)state;
	say_yes();
	k.item.flags |= POLICY_ITEM_TOMBSTONED | POLICY_ITEM_PII;
	k.item.moderation = POLICY_MODERATION_REJECTED;
	assert_int_equal(kit_decide(&k), R(TOMBSTONED) | R(PII_REVIEW) | R(MODERATION_REJECTED));
}

static void moderation_must_be_finished_and_favourable(void **state)
{
	(void)state;
	say_yes();
	k.item.moderation = POLICY_MODERATION_PENDING;
	assert_int_equal(kit_decide(&k), R(MODERATION_PENDING));
	k.item.moderation = POLICY_MODERATION_REJECTED;
	assert_int_equal(kit_decide(&k), R(MODERATION_REJECTED));
}

static void a_kind_that_the_release_does_not_take_is_excluded(void **state)
{
	(void)state;
	say_yes();
	k.spec.kinds = POLICY_KINDS_ALL & ~POLICY_BIT(POLICY_KIND_CHAT);
	assert_int_equal(kit_decide(&k), R(KIND_NOT_ACCEPTED));
}

static void only_current_members_contribute(void **state)
{
	(void)state;
	say_yes();
	for (unsigned s = 0; s < POLICY_STANDING_COUNT; s++) {
		k.members[0].standing = (uint8_t)s;
		bool member = s == POLICY_STANDING_ACTIVE || s == POLICY_STANDING_DUE || s == POLICY_STANDING_GRACE;
		assert_int_equal(kit_decide(&k), member ? 0 : R(MEMBERSHIP_LAPSED));
	}
}

static void consent_must_stand(void **state)
{
	(void)state;
	static const policy_reasons expected[POLICY_CONSENT_COUNT] = {
		[POLICY_CONSENT_UNKNOWN] = R(CONSENT_MISSING), [POLICY_CONSENT_REQUESTED] = R(CONSENT_MISSING),
		[POLICY_CONSENT_DEFERRED] = R(CONSENT_MISSING), [POLICY_CONSENT_REFUSED] = R(CONSENT_WITHDRAWN),
		[POLICY_CONSENT_WITHDRAWN] = R(CONSENT_WITHDRAWN), [POLICY_CONSENT_REVOKED] = R(CONSENT_WITHDRAWN),
		[POLICY_CONSENT_EXPIRED] = R(CONSENT_EXPIRED), [POLICY_CONSENT_INVALIDATED] = R(CONSENT_MISSING)};
	say_yes();
	for (unsigned c = 0; c < POLICY_CONSENT_COUNT; c++) {
		k.members[0].consent = (uint8_t)c;
		assert_int_equal(kit_decide(&k), expected[c]);
	}
}

static void consent_ends_at_its_expiry_and_not_a_microsecond_later(void **state)
{
	(void)state;
	say_yes();
	k.members[0].consent_expires = T0 + 1;
	assert_int_equal(kit_decide(&k), 0);
	k.members[0].consent_expires = T0;
	assert_int_equal(kit_decide(&k), R(CONSENT_EXPIRED));
}

static void consent_to_an_old_notice_is_held(void **state)
{
	(void)state;
	say_yes();
	k.spec.notice_min = 2;
	assert_int_equal(kit_decide(&k), R(CONSENT_NOTICE_SUPERSEDED));
	k.members[0].notice = 2;
	assert_int_equal(kit_decide(&k), 0);
}

static void consent_covers_its_purpose_and_those_below(void **state)
{
	(void)state;
	say_yes();
	k.members[0].purposes = 1u << POLICY_PURPOSE_RESEARCH;
	assert_int_equal(kit_decide(&k), 0);
	k.members[0].purposes = 1u << POLICY_PURPOSE_NONCOMMERCIAL_RESEARCH;
	assert_int_equal(kit_decide(&k), R(PURPOSE_NOT_COVERED));
	k.members[0].purposes = 0;
	assert_int_equal(kit_decide(&k), R(PURPOSE_NOT_COVERED));
}

static void every_purpose_of_the_release_must_be_covered(void **state)
{
	(void)state;
	say_yes();
	k.spec.purposes |= 1u << POLICY_PURPOSE_COMMERCIAL;
	k.members[0].purposes = 1u << POLICY_PURPOSE_SCIENTIFIC;
	assert_int_equal(kit_decide(&k), R(PURPOSE_NOT_COVERED));
	k.members[0].purposes |= 1u << POLICY_PURPOSE_COMMERCIAL;
	assert_int_equal(kit_decide(&k), 0);
}

static void silence_is_unknown_and_held(void **state)
{
	(void)state;
	assert_int_equal(kit_decide(&k), R(PREF_UNKNOWN));
	assert_int_equal(policy_outcome_of(R(PREF_UNKNOWN)), POLICY_HOLD);
}

static void a_denial_excludes(void **state)
{
	(void)state;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_DENY);
	assert_int_equal(kit_decide(&k), R(PREF_DENY));
}

static void conditions_are_taken_only_where_the_charter_takes_them(void **state)
{
	(void)state;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW_IF);
	assert_int_equal(kit_decide(&k), R(PREF_CONDITIONAL));
	assert_int_equal(policy_outcome_of(R(PREF_CONDITIONAL)), POLICY_CONDITIONAL);
	assert_int_equal(policy_item_duties(k.program, k.rows, 0, policy_item_pack(&k.item), 0),
	                 POLICY_BIT(POLICY_DUTY_CREDIT) | POLICY_BIT(POLICY_DUTY_NOTICE));
	k.spec.uses_conditional = 0;
	assert_int_equal(kit_decide(&k), R(PREF_CONDITION_UNMET));
}

static void an_audience_that_cannot_honour_a_duty_is_a_hold(void **state)
{
	(void)state;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW_IF)->duties = POLICY_BIT(POLICY_DUTY_REPORT);
	k.spec.audience_duties = POLICY_BIT(POLICY_DUTY_CREDIT);
	assert_int_equal(kit_decide(&k), R(PREF_CONDITIONAL) | R(AUDIENCE_DUTY));
}

static void licence(unsigned licence, uint32_t outputs, policy_reasons expected)
{
	k.item.licence = (uint8_t)licence;
	k.spec.outputs = outputs;
	assert_int_equal(kit_decide(&k), expected);
}

static void the_licence_must_allow_the_output(void **state)
{
	(void)state;
	say_yes();
	licence(POLICY_LICENCE_UNKNOWN, 1u << POLICY_LICENCE_CC_BY_4_0, R(LIC_UNKNOWN));
	licence(POLICY_LICENCE_CC_BY_SA_4_0, 1u << POLICY_LICENCE_CC_BY_4_0, R(LIC_INCOMPATIBLE));
	licence(POLICY_LICENCE_CC_BY_4_0, 1u << POLICY_LICENCE_ODBL_1_0, R(LIC_WAIVER));
	licence(POLICY_LICENCE_CC_BY_4_0, 1u << POLICY_LICENCE_CDLA_SHARING_1_0, R(LIC_REVIEW));
	licence(POLICY_LICENCE_CC_BY_4_0, 1u << POLICY_LICENCE_ODBL_1_0 | 1u << POLICY_LICENCE_CDLA_SHARING_1_0,
	        R(LIC_REVIEW) | R(LIC_WAIVER));
	licence(POLICY_LICENCE_CC_BY_4_0, 1u << POLICY_LICENCE_ODBL_1_0 | 1u << POLICY_LICENCE_CC_BY_SA_4_0, 0);
	licence(POLICY_LICENCE_MAX - 1, 1u << POLICY_LICENCE_CC_BY_4_0, R(LIC_UNKNOWN) | R(ENGINE_ERROR));
}

static void a_collection_keeps_each_licence(void **state)
{
	(void)state;
	say_yes();
	k.spec.licence_mode = POLICY_COLLECTION;
	licence(POLICY_LICENCE_CC_BY_SA_4_0, 0, 0);
	licence(POLICY_LICENCE_CC_BY_ND_4_0, 0, 0);
	licence(POLICY_LICENCE_NOODL_1_0, 0, R(LIC_REVIEW));
	licence(POLICY_LICENCE_UNKNOWN, 0, R(LIC_UNKNOWN));
	licence(POLICY_LICENCE_CC_BY_SA_4_0, 1u << POLICY_LICENCE_CC0_1_0, R(LIC_INCOMPATIBLE));
}

static void attribution_must_be_complete_where_the_licence_asks_for_it(void **state)
{
	(void)state;
	say_yes();
	k.item.flags = 0;
	assert_int_equal(kit_decide(&k), R(ATTRIBUTION_MISSING));
	k.item.licence = POLICY_LICENCE_CC0_1_0;
	assert_int_equal(kit_decide(&k), 0);
}

static void an_embargo_holds_until_its_end(void **state)
{
	(void)state;
	say_yes();
	k.spec.embargo = 10 * POLICY_DAY;
	assert_int_equal(kit_decide(&k), 0);
	k.spec.embargo += POLICY_SECOND;
	assert_int_equal(kit_decide(&k), R(EMBARGO_UNTIL));
}

static void an_embargo_of_one_item_holds_that_item(void **state)
{
	(void)state;
	say_yes();
	k.facts[k.n_facts++] = (struct policy_item_fact){.item = 0, .embargo_until = T0 + 1, .retain_until = POLICY_NEVER};
	assert_int_equal(kit_decide(&k), R(EMBARGO_UNTIL));
	k.facts[0].embargo_until = T0;
	assert_int_equal(kit_decide(&k), 0);
	k.facts[0].retain_until = T0;
	assert_int_equal(kit_decide(&k), R(RETENTION_PASSED));
}

static void what_is_kept_too_long_is_excluded(void **state)
{
	(void)state;
	say_yes();
	k.spec.retention = 10 * POLICY_DAY;
	assert_int_equal(kit_decide(&k), R(RETENTION_PASSED));
	k.spec.retention += POLICY_SECOND;
	assert_int_equal(kit_decide(&k), 0);
}

static void regions_outside_the_list_are_excluded(void **state)
{
	(void)state;
	say_yes();
	k.item.region = 200;
	k.spec.regions[200 / 64] &= ~(UINT64_C(1) << 200 % 64);
	assert_int_equal(kit_decide(&k), R(REGION));
	k.item.region = 199;
	assert_int_equal(kit_decide(&k), 0);
}

static void a_minor_holds_all_their_items(void **state)
{
	(void)state;
	say_yes();
	k.members[0].minor = 1;
	assert_int_equal(kit_decide(&k), R(MINOR));
}

static void toggle(unsigned kind, uint16_t uses, policy_reasons expected)
{
	struct policy_toggle t = {.kind = (uint8_t)kind, .kinds = POLICY_KINDS_ALL, .uses = uses, .cap = 5,
	                          .since = k.item.created, .until = POLICY_NEVER};
	k.spec.toggles = &t;
	k.spec.n_toggles = 1;
	assert_int_equal(kit_decide(&k), expected);
	t.since += POLICY_SECOND;
	assert_int_equal(kit_decide(&k), 0);
	t.since -= 2 * POLICY_SECOND;
	t.until = k.item.created;
	assert_int_equal(kit_decide(&k), 0);
	t.until += POLICY_SECOND;
	assert_int_equal(kit_decide(&k), expected);
	t.kinds = POLICY_KINDS_ALL & ~POLICY_BIT(k.item.kind);
	assert_int_equal(kit_decide(&k), 0);
}

static void toggles_touch_items_made_while_they_last(void **state)
{
	(void)state;
	say_yes();
	toggle(POLICY_TOGGLE_FREEZE, 0, R(TOGGLE_FREEZE));
	toggle(POLICY_TOGGLE_EMBARGO, 0, R(TOGGLE_EMBARGO));
	toggle(POLICY_TOGGLE_SHIFT, POLICY_BIT(POLICY_USE_TRAIN_GEN), R(TOGGLE_SHIFT));
	toggle(POLICY_TOGGLE_SHIFT, POLICY_BIT(POLICY_USE_MINE), R(TOGGLE_SHIFT));
	toggle(POLICY_TOGGLE_SHIFT, POLICY_BIT(POLICY_USE_SEARCH), 0);
	toggle(POLICY_TOGGLE_PLEDGE, 0, R(ASSURANCE_UNMET));
	toggle(POLICY_TOGGLE_CAP, 0, 0);
}

static void many_rules_about_time_all_count(void **state)
{
	(void)state;
	struct policy_toggle t[POLICY_TOGGLES_MAX];
	say_yes();
	for (size_t i = 0; i < POLICY_TOGGLES_MAX; i++)
		t[i] = (struct policy_toggle){.kind = POLICY_TOGGLE_FREEZE, .kinds = POLICY_KINDS_ALL, .since = T0 - (policy_instant)(80 - 10 * i) * POLICY_DAY,
		                              .until = T0 - (policy_instant)(75 - 10 * i) * POLICY_DAY};
	k.spec.toggles = t;
	k.spec.embargo = 2 * POLICY_DAY;
	k.spec.retention = 90 * POLICY_DAY;
	for (k.spec.n_toggles = 0; k.spec.n_toggles <= POLICY_TOGGLES_MAX; k.spec.n_toggles++)
		for (int day = 0; day < 95; day++) {
			k.item.created = T0 - day * POLICY_DAY;
			policy_reasons expected = day < 2 ? R(EMBARGO_UNTIL) : day >= 90 ? R(RETENTION_PASSED) : 0;
			for (int i = 0; i < (int)k.spec.n_toggles; i++)
				if (day <= 80 - 10 * i && day > 75 - 10 * i)
					expected |= R(TOGGLE_FREEZE);
			assert_int_equal(kit_decide(&k), expected);
		}
}

static void an_embargo_by_vote_may_spare_evaluation(void **state)
{
	(void)state;
	say_yes();
	k.statements[0].uses = POLICY_USES_ALL;
	k.spec.uses = POLICY_BIT(POLICY_USE_EVAL);
	toggle(POLICY_TOGGLE_EMBARGO, POLICY_BIT(POLICY_USE_EVAL), 0);
	toggle(POLICY_TOGGLE_EMBARGO, 0, R(TOGGLE_EMBARGO));
	k.spec.uses |= POLICY_BIT(POLICY_USE_SEARCH);
	toggle(POLICY_TOGGLE_EMBARGO, POLICY_BIT(POLICY_USE_EVAL), R(TOGGLE_EMBARGO));
}

static void items_after_the_cut_off_wait(void **state)
{
	(void)state;
	say_yes();
	k.item.created = T0;
	assert_int_equal(kit_decide(&k), 0);
	k.item.created = T0 + 1;
	assert_int_equal(kit_decide(&k), R(AFTER_CUTOFF));
}

static void charter_rules_look_at_items(void **state)
{
	(void)state;
	struct policy_node nodes[] = {
		{.op = POLICY_NODE_ALL, .first = 1, .count = 2},
		{.op = POLICY_NODE_TEST, .attribute = POLICY_ATTR_QUALITY, .compare = POLICY_LT, .value = 50},
		{.op = POLICY_NODE_NOT, .first = 3, .count = 1},
		{.op = POLICY_NODE_IN, .attribute = POLICY_ATTR_KIND, .set = 1u << POLICY_KIND_RECORD},
	};
	struct policy_rule rule = {.uses = POLICY_USES_ALL, .root = 0, .effect = POLICY_EXCLUDE};
	say_yes();
	k.spec.nodes = nodes;
	k.spec.n_nodes = 4;
	k.spec.rules = &rule;
	k.spec.n_rules = 1;
	k.item.more = 49 << POLICY_MORE_QUALITY_SHIFT;
	assert_int_equal(kit_decide(&k), R(CHARTER_DENY));
	rule.effect = POLICY_HOLD;
	assert_int_equal(kit_decide(&k), R(CHARTER_HOLD));
	k.item.more = 50 << POLICY_MORE_QUALITY_SHIFT;
	assert_int_equal(kit_decide(&k), 0);
	k.item.more = 0;
	k.item.kind = POLICY_KIND_RECORD;
	assert_int_equal(kit_decide(&k), 0);
	k.item.kind = POLICY_KIND_CHAT;
	rule.uses = POLICY_BIT(POLICY_USE_SEARCH);
	assert_int_equal(kit_decide(&k), 0);
	assert_false(policy_program_needs_more(k.program));
}

static void a_missing_column_holds_everything(void **state)
{
	(void)state;
	struct policy_node node = {.op = POLICY_NODE_TEST, .attribute = POLICY_ATTR_LANGUAGE, .value = 3};
	struct policy_rule rule = {.uses = POLICY_USES_ALL, .effect = POLICY_EXCLUDE};
	say_yes();
	k.spec.nodes = &node;
	k.spec.rules = &rule;
	k.spec.n_nodes = k.spec.n_rules = 1;
	assert_int_equal(kit_build(&k), POLICY_OK);
	assert_true(policy_program_needs_more(k.program));
	k.item.flags |= POLICY_ITEM_PII;
	uint64_t words[] = {policy_item_pack(&k.item), 0};
	uint32_t members[] = {0, 0};
	policy_reasons reasons[] = {0, 7};
	policy_decide_batch(k.program, k.rows, &(struct policy_batch){words, members, NULL, 1, 0}, NULL, reasons);
	assert_int_equal(reasons[0], R(ENGINE_ERROR) | R(PII_REVIEW));
	assert_int_equal(reasons[1], 7);
}

static void what_memory_held_before_does_not_matter(void **state)
{
	(void)state;
	static const uint8_t fills[] = {0, 0xa5, 0x5a};
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_DENY);
	for (size_t i = 0; i < 3; i++) {
		k.mem.fill = fills[i];
		assert_int_equal(kit_decide(&k), R(PREF_DENY));
	}
}

static void a_batch_writes_its_own_places_only(void **state)
{
	(void)state;
	struct policy_node node = {.op = POLICY_NODE_TEST, .attribute = POLICY_ATTR_KIND, .value = POLICY_KIND_CHAT};
	struct policy_rule rule = {.uses = POLICY_USES_ALL, .effect = POLICY_HOLD};
	say_yes();
	/* Its neighbours have facts of their own. */
	for (uint32_t i = 0; i < 3; i += 2)
		k.facts[k.n_facts++] = (struct policy_item_fact){.item = i, .kind = k.item.kind, .embargo_until = T0 + 1, .retain_until = POLICY_NEVER};
	for (size_t n_rules = 0; n_rules < 2; n_rules++) {
		k.spec.nodes = &node;
		k.spec.rules = &rule;
		k.spec.n_nodes = k.spec.n_rules = n_rules;
		for (size_t regions = 0; regions < 2; regions++) {
			k.spec.regions[3] = regions ? 0 : UINT64_MAX;
			assert_int_equal(kit_build(&k), POLICY_OK);
			uint64_t words[3] = {0};
			uint32_t members[3] = {0};
			for (size_t i = 0; i < 3; i++)
				words[i] = policy_item_pack(&k.item);
			policy_reasons reasons[] = {5, 6, 7};
			uint8_t outcomes[] = {9, 9, 9};
			policy_decide_batch(k.program, k.rows, &(struct policy_batch){words + 1, members + 1, NULL, 1, 1}, outcomes + 1, reasons + 1);
			assert_int_equal(reasons[0], 5);
			assert_int_equal(reasons[1], n_rules ? R(CHARTER_HOLD) : 0);
			assert_int_equal(reasons[2], 7);
			assert_int_equal(outcomes[0], 9);
			assert_int_equal(outcomes[1], n_rules ? POLICY_HOLD : POLICY_INCLUDE);
			assert_int_equal(outcomes[2], 9);
		}
	}
}

static void a_word_with_bits_that_mean_nothing_is_held(void **state)
{
	(void)state;
	say_yes();
	assert_int_equal(kit_build(&k), POLICY_OK);
	uint64_t word = policy_item_pack(&k.item);
	assert_int_equal(policy_decide_one(k.program, k.rows, 0, word | POLICY_ITEM_RESERVED, 0, 0), R(ENGINE_ERROR));
	assert_true(policy_decide_one(k.program, k.rows, 0, word | 7, 0, 0) & R(ENGINE_ERROR));
	assert_true(policy_decide_one(k.program, k.rows, 0, word | 3 << 9, 0, 0) & R(ENGINE_ERROR));
	assert_true(policy_decide_one(k.program, k.rows, 0, word, 0, 1) & R(ENGINE_ERROR));
	assert_true(policy_decide_one(k.program, k.rows, 0, word, 0, POLICY_NO_MEMBER) & R(ENGINE_ERROR));
}

static void an_item_that_does_not_fit_its_word_is_held(void **state)
{
	(void)state;
	say_yes();
	assert_int_equal(kit_build(&k), POLICY_OK);
	struct policy_item bad[] = {k.item, k.item, k.item, k.item, k.item};
	bad[0].kind = 8;
	bad[1].licence = 64;
	bad[2].moderation = 4;
	bad[3].flags |= 1u << 31;
	bad[4].created = SECONDS(INT64_C(1) << 32);
	for (size_t i = 0; i < 5; i++)
		assert_true(policy_decide_one(k.program, k.rows, 0, policy_item_pack(&bad[i]), 0, 0) & R(ENGINE_ERROR));
	struct policy_item last = k.item;
	last.created = SECONDS((INT64_C(1) << 32) - 1);
	assert_int_equal(policy_item_pack(&last) & POLICY_ITEM_RESERVED, 0);
	struct policy_item back = policy_item_unpack(policy_item_pack(&k.item), 7, 3);
	assert_int_equal(back.created, k.item.created);
	assert_int_equal(back.licence, k.item.licence);
	assert_int_equal(back.member, 3);
	assert_int_equal(back.more, 7);
}

/* A packed instant is rounded up, so that nothing made after the cut-off passes as made before it. */
static void packing_never_makes_an_item_older(void **state)
{
	(void)state;
	for (int64_t us = 0; us < 3 * POLICY_SECOND; us += 333333) {
		k.item.created = T0 + us;
		assert_true(policy_item_unpack(policy_item_pack(&k.item), 0, 0).created >= k.item.created);
	}
	k.item.created = -5;
	assert_int_equal(policy_item_unpack(policy_item_pack(&k.item), 0, 0).created, 0);
}

static void reasons_add_up_to_the_strictest(void **state)
{
	(void)state;
	for (unsigned a = 0; a < 64; a++) {
		const struct policy_reason *row = policy_reason_get(a);
		unsigned alone = policy_outcome_of(UINT64_C(1) << a);
		assert_int_equal(alone, row ? row->severity : POLICY_HOLD);
		assert_true(alone != POLICY_INCLUDE);
		for (unsigned b = 0; b < 64; b++) {
			unsigned other = policy_outcome_of(UINT64_C(1) << b);
			assert_int_equal(policy_outcome_of(UINT64_C(1) << a | UINT64_C(1) << b), alone > other ? alone : other);
		}
	}
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_good_item_is_included), T(flags_of_the_item_are_reasons), T(flags_are_united), T(several_facts_give_all_their_reasons),
		T(moderation_must_be_finished_and_favourable), T(a_kind_that_the_release_does_not_take_is_excluded),
		T(only_current_members_contribute), T(consent_must_stand),
		T(consent_ends_at_its_expiry_and_not_a_microsecond_later), T(consent_to_an_old_notice_is_held),
		T(consent_covers_its_purpose_and_those_below), T(every_purpose_of_the_release_must_be_covered),
		T(silence_is_unknown_and_held), T(a_denial_excludes), T(conditions_are_taken_only_where_the_charter_takes_them),
		T(an_audience_that_cannot_honour_a_duty_is_a_hold), T(the_licence_must_allow_the_output),
		T(a_collection_keeps_each_licence), T(attribution_must_be_complete_where_the_licence_asks_for_it),
		T(an_embargo_holds_until_its_end), T(an_embargo_of_one_item_holds_that_item),
		T(what_is_kept_too_long_is_excluded), T(regions_outside_the_list_are_excluded),
		T(a_minor_holds_all_their_items), T(toggles_touch_items_made_while_they_last),
		T(many_rules_about_time_all_count), T(an_embargo_by_vote_may_spare_evaluation), T(items_after_the_cut_off_wait), T(charter_rules_look_at_items),
		T(a_missing_column_holds_everything), T(what_memory_held_before_does_not_matter), T(a_batch_writes_its_own_places_only),
		T(a_word_with_bits_that_mean_nothing_is_held),
		T(an_item_that_does_not_fit_its_word_is_held), T(packing_never_makes_an_item_older),
		T(reasons_add_up_to_the_strictest),
	};
	return cmocka_run_group_tests_name("policy gates", tests, NULL, NULL);
}
