/* Rules over the set: k, strata, the licence pool, the pledge, the cap; only removing, until nothing changes. */
#include "tests/unit/policy_kit.h"

#define R(sym) POLICY_REASON(sym)
enum { N = 12 };

static struct kit k;
static uint64_t words[N];
static uint32_t members[N];
static uint8_t ids[N][16];
static uint16_t strata[N];
static policy_reasons reasons[N];
static uint8_t outcomes[N];
static struct policy_set set;
static struct policy_set_report report;

static int set_up(void **state)
{
	(void)state;
	kit_release(&k);
	kit_init(&k);
	k.spec.licence_mode = POLICY_COLLECTION;
	k.spec.outputs = 0;
	for (uint32_t i = 0; i < N; i++) {
		words[i] = policy_item_pack(&k.item);
		members[i] = i % 4;
		strata[i] = (uint16_t)(i / 6);
		memset(ids[i], (int)i, 16);
		reasons[i] = 0;
	}
	set = (struct policy_set){words, members, (const uint8_t(*)[16])ids, strata, N, KIT_MEMBERS};
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	kit_release(&k);
	return 0;
}

static void run(void)
{
	assert_int_equal(policy_compile(&k.spec, &k.mem.mem, &k.program, NULL), POLICY_OK);
	assert_int_equal(policy_apply_set_rules(k.program, &set, reasons, outcomes, &k.mem.mem, &report), POLICY_OK);
}

static size_t with(policy_reasons reason)
{
	size_t n = 0;
	for (size_t i = 0; i < N; i++)
		n += (reasons[i] & reason) != 0;
	return n;
}

static void without_rules_nothing_is_removed(void **state)
{
	(void)state;
	run();
	assert_int_equal(report.outcomes[POLICY_INCLUDE], N);
	assert_int_equal(report.contributors, 4);
	assert_int_equal(report.output, -1);
	assert_int_equal(report.rounds, 1);
}

static void too_few_contributors_hold_everything(void **state)
{
	(void)state;
	k.spec.k_contributors = 4;
	run();
	assert_int_equal(with(R(K_MIN)), 0);
	reasons[3] = reasons[7] = reasons[11] = R(PREF_DENY);
	run();
	assert_int_equal(with(R(K_MIN)), 9);
	assert_int_equal(report.outcomes[POLICY_HOLD], 9);
	assert_int_equal(report.reasons[POLICY_REASON_NO_K_MIN], 9);
	assert_int_equal(reasons[3], R(PREF_DENY));
}

static void a_thin_stratum_goes_and_may_take_the_rest_with_it(void **state)
{
	(void)state;
	k.spec.k_stratum = 3;
	for (size_t i = 6; i < N; i++)
		members[i] = 5;
	run();
	assert_int_equal(with(R(K_MIN)), 6);
	assert_int_equal(report.contributors, 4);
	set_up(NULL);
	for (size_t i = 6; i < N; i++)
		members[i] = 5;
	k.spec.k_stratum = 3;
	k.spec.k_contributors = 5;
	run();
	assert_int_equal(with(R(K_MIN)), N);
	set.strata = NULL;
	assert_int_equal(policy_apply_set_rules(k.program, &set, reasons, outcomes, &k.mem.mem, &report), POLICY_INVALID);
}

static void a_pledge_seals_until_enough_are_in(void **state)
{
	(void)state;
	k.spec.assurance = 5;
	run();
	assert_int_equal(with(R(ASSURANCE_UNMET)), N);
	set_up(NULL);
	k.spec.assurance = 4;
	run();
	assert_int_equal(with(R(ASSURANCE_UNMET)), 0);
}

static void the_cap_takes_the_first_by_hash_of_seed_and_id(void **state)
{
	(void)state;
	k.spec.volume_cap = 5;
	run();
	assert_int_equal(with(R(TOGGLE_CAP)), N - 5);
	policy_reasons first[N];
	memcpy(first, reasons, sizeof first);
	/* Another order of the items chooses the same items. */
	set_up(NULL);
	for (uint32_t i = 0; i < N; i++)
		memset(ids[i], (int)(N - 1 - i), 16);
	k.spec.volume_cap = 5;
	run();
	for (size_t i = 0; i < N; i++)
		assert_int_equal(reasons[i], first[N - 1 - i]);
	/* Another seed chooses others. */
	memset(reasons, 0, sizeof reasons);
	k.spec.seed[0] = 1;
	run();
	bool same = true;
	for (size_t i = 0; i < N; i++)
		same &= reasons[i] == first[N - 1 - i];
	assert_false(same);
}

static void a_cap_by_vote_counts_too_and_nought_means_nothing(void **state)
{
	(void)state;
	struct policy_toggle t = {.kind = POLICY_TOGGLE_CAP, .kinds = POLICY_KINDS_ALL, .cap = 2, .since = POLICY_EVER, .until = POLICY_NEVER};
	k.spec.toggles = &t;
	k.spec.n_toggles = 1;
	k.spec.volume_cap = 5;
	run();
	assert_int_equal(with(R(TOGGLE_CAP)), N - 2);
	set_up(NULL);
	k.spec.volume_cap = 0;
	run();
	assert_int_equal(with(R(TOGGLE_CAP)), N);
	set_up(NULL);
	set.ids = NULL;
	k.spec.volume_cap = 3;
	run();
	assert_int_equal(with(R(ENGINE_ERROR)), N);
}

static void a_cap_by_vote_leaves_alone_what_was_made_before_it_or_is_of_another_kind(void **state)
{
	(void)state;
	const policy_instant since = k.spec.cutoff - POLICY_DAY;
	struct policy_toggle t = {.kind = POLICY_TOGGLE_CAP, .kinds = POLICY_KINDS_ALL, .cap = 2, .since = since, .until = POLICY_NEVER};
	struct policy_item item = policy_item_unpack(words[0], 0, 0);
	k.spec.toggles = &t;
	k.spec.n_toggles = 1;
	for (size_t i = 0; i < N; i++) {
		item = policy_item_unpack(words[i], 0, members[i]);
		item.created = i < 4 ? since - POLICY_SECOND : since + POLICY_SECOND;
		words[i] = policy_item_pack(&item);
	}
	run();
	assert_int_equal(with(R(TOGGLE_CAP)), N - 4 - 2);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(reasons[i] & R(TOGGLE_CAP), 0);
	memset(reasons, 0, sizeof reasons);
	t.kinds = (uint8_t)(POLICY_KINDS_ALL & ~POLICY_BIT(item.kind));
	run();
	assert_int_equal(with(R(TOGGLE_CAP)), 0);
}

static void places_that_become_free_are_not_filled_again(void **state)
{
	(void)state;
	k.spec.volume_cap = 8;
	k.spec.k_contributors = 4;
	for (size_t i = 0; i < N; i++)
		members[i] = i < N - 1 ? (uint32_t)i % 3 : 3; /* the fourth contributor hangs on one item */
	run();
	bool fourth_kept = !(reasons[N - 1] & R(TOGGLE_CAP));
	assert_int_equal(report.outcomes[POLICY_INCLUDE], fourth_kept ? 8 : 0);
	assert_int_equal(with(R(TOGGLE_CAP)), N - 8);
}

static void a_pool_without_a_common_output_keeps_the_output_with_most_items(void **state)
{
	(void)state;
	k.spec.licence_mode = POLICY_ADAPTATION;
	k.spec.outputs = 1u << POLICY_LICENCE_CC_BY_SA_4_0 | 1u << POLICY_LICENCE_CC_BY_NC_4_0;
	for (size_t i = 0; i < N; i++) {
		k.item.licence = i < 7 ? POLICY_LICENCE_CC_BY_SA_4_0 : POLICY_LICENCE_CC_BY_NC_4_0;
		words[i] = policy_item_pack(&k.item);
	}
	run();
	assert_int_equal(with(R(LIC_INCOMPATIBLE)), 5);
	assert_int_equal(report.output, POLICY_LICENCE_CC_BY_SA_4_0);
	assert_int_equal(report.outputs, 1u << POLICY_LICENCE_CC_BY_SA_4_0);
	assert_int_equal(report.licences, 1u << POLICY_LICENCE_CC_BY_SA_4_0);
	assert_int_equal(report.rounds, 2);
}

static void a_pool_that_agrees_gets_the_plainest_output(void **state)
{
	(void)state;
	k.spec.licence_mode = POLICY_ADAPTATION;
	k.spec.outputs = POLICY_OUTPUTS_ALL;
	run();
	assert_int_equal(report.output, POLICY_LICENCE_CC_BY_4_0);
	assert_int_equal(with(R(LIC_INCOMPATIBLE)), 0);
}

/* Running the rules again on their own result changes nothing, and nothing is ever taken out of a set of reasons. */
static void rules_are_idempotent_and_only_add(void **state)
{
	(void)state;
	uint64_t rng = kit_seed(__func__);
	for (int round = 0; round < 400; round++) {
		set_up(NULL);
		k.spec.k_contributors = kit_below(&rng, 6);
		k.spec.k_stratum = kit_below(&rng, 4);
		k.spec.assurance = kit_below(&rng, 5);
		k.spec.volume_cap = kit_below(&rng, 14);
		policy_reasons before[N], once[N];
		for (size_t i = 0; i < N; i++) {
			members[i] = kit_below(&rng, KIT_MEMBERS + 1);
			strata[i] = (uint16_t)kit_below(&rng, 3);
			reasons[i] = before[i] = kit_below(&rng, 4) ? 0 : R(PREF_UNKNOWN);
		}
		run();
		memcpy(once, reasons, sizeof once);
		for (size_t i = 0; i < N; i++)
			assert_int_equal(reasons[i] & before[i], before[i]);
		run();
		assert_memory_equal(once, reasons, sizeof once);
		kit_release(&k);
	}
}

static void what_if_counts_transitions_and_lists_items(void **state)
{
	(void)state;
	policy_reasons after[N] = {0};
	reasons[0] = reasons[4] = reasons[8] = R(PREF_UNKNOWN); /* all of member 0 */
	after[1] = R(PREF_CONDITIONAL);
	after[2] = after[6] = after[10] = R(LIC_INCOMPATIBLE) | R(K_MIN); /* all of member 2 */
	struct policy_change change;
	uint32_t list[4];
	assert_int_equal(policy_what_if(members, reasons, after, N, 4, &k.mem.mem, list, 4, &change), POLICY_OK);
	assert_int_equal(change.moved[POLICY_HOLD][POLICY_INCLUDE], 3);
	assert_int_equal(change.moved[POLICY_INCLUDE][POLICY_EXCLUDE], 3);
	assert_int_equal(change.moved[POLICY_INCLUDE][POLICY_CONDITIONAL], 1);
	assert_int_equal(change.items_gained, 3);
	assert_int_equal(change.items_lost, 3);
	assert_int_equal(change.members_gained, 1);
	assert_int_equal(change.members_lost, 1);
	assert_int_equal(change.reason_gained[POLICY_REASON_NO_K_MIN], 3);
	assert_int_equal(change.reason_lost[POLICY_REASON_NO_PREF_UNKNOWN], 3);
	assert_int_equal(change.n_listed, 4);
	assert_int_equal(list[1], 2);
	k.mem.fail_at = 1;
	assert_int_equal(policy_what_if(members, reasons, after, N, 4, &k.mem.mem, NULL, 0, &change), POLICY_NO_MEMORY);
}

static void memory_running_out_is_reported(void **state)
{
	(void)state;
	k.spec.k_stratum = 2;
	k.spec.volume_cap = 3;
	for (size_t n = 1; n < 20; n++) {
		kit_mem_release(&k.mem);
		assert_int_equal(policy_compile(&k.spec, &k.mem.mem, &k.program, NULL), POLICY_OK);
		memset(reasons, 0, sizeof reasons);
		k.mem.fail_at = k.mem.n + n;
		enum policy_status status = policy_apply_set_rules(k.program, &set, reasons, outcomes, &k.mem.mem, &report);
		if (status == POLICY_OK) {
			assert_in_range(n, 4, 10);
			return;
		}
		assert_int_equal(status, POLICY_NO_MEMORY);
	}
	fail();
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(without_rules_nothing_is_removed), T(too_few_contributors_hold_everything),
		T(a_thin_stratum_goes_and_may_take_the_rest_with_it), T(a_pledge_seals_until_enough_are_in),
		T(the_cap_takes_the_first_by_hash_of_seed_and_id), T(a_cap_by_vote_counts_too_and_nought_means_nothing),
		T(a_cap_by_vote_leaves_alone_what_was_made_before_it_or_is_of_another_kind),
		T(places_that_become_free_are_not_filled_again), T(a_pool_without_a_common_output_keeps_the_output_with_most_items),
		T(a_pool_that_agrees_gets_the_plainest_output), T(rules_are_idempotent_and_only_add),
		T(what_if_counts_transitions_and_lists_items), T(memory_running_out_is_reported),
	};
	return cmocka_run_group_tests_name("policy set rules", tests, NULL, NULL);
}
