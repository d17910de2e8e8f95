/* Who is heard: layers, purposes, audiences, later acts, freshness; and the kernel enumerated. */
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

static void clear_speech(void)
{
	k.n_statements = k.n_edges = k.n_facts = 0;
	k.spec.n_defaults = 0;
}

static void the_nearest_layer_that_speaks_decides(void **state)
{
	(void)state;
	kit_default(&k, POLICY_LAYER_COOP, POLICY_EFFECT_DENY);
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
	assert_int_equal(kit_decide(&k), 0);
}

static void a_members_no_is_floor_even_under_a_yes_on_the_item(void **state)
{
	(void)state;
	kit_say(&k, 0, POLICY_LAYER_ITEM, POLICY_EFFECT_ALLOW);
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_DENY);
	assert_int_equal(kit_decide(&k), R(PREF_DENY));
}

static void a_later_act_of_the_same_person_replaces_the_earlier(void **state)
{
	(void)state;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_DENY)->declared_at = T0 - 9;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW)->declared_at = T0 - 8;
	assert_int_equal(kit_decide(&k), 0);
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_NONE)->declared_at = T0 - 7;
	assert_int_equal(kit_decide(&k), R(PREF_UNKNOWN));
}

static void concurrent_acts_resolve_to_the_stricter(void **state)
{
	(void)state;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW_IF);
	assert_int_equal(kit_decide(&k), R(PREF_CONDITIONAL));
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_DENY);
	assert_int_equal(kit_decide(&k), R(PREF_DENY));
	k.statements[0].revision = 1;
	assert_int_equal(kit_decide(&k), 0);
}

static void a_later_act_about_a_kind_does_not_replace_one_about_everything(void **state)
{
	(void)state;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_DENY)->declared_at = T0 - 9;
	struct policy_statement *s = kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
	s->selector = POLICY_SELECT_KIND;
	s->kind = POLICY_KIND_CHAT;
	assert_int_equal(kit_decide(&k), R(PREF_DENY));
}

static void a_statement_about_a_kind_touches_that_kind(void **state)
{
	(void)state;
	struct policy_statement *s = kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
	s->selector = POLICY_SELECT_KIND;
	s->kind = POLICY_KIND_CHAT;
	assert_int_equal(kit_decide(&k), 0);
	k.item.kind = POLICY_KIND_EXAMPLE;
	assert_int_equal(kit_decide(&k), R(PREF_UNKNOWN));
}

static void denying_mine_denies_training_and_allowing_it_allows_nothing(void **state)
{
	(void)state;
	struct policy_statement *s = kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
	s->uses = POLICY_BIT(POLICY_USE_MINE);
	assert_int_equal(kit_decide(&k), R(PREF_UNKNOWN));
	s->effect = POLICY_EFFECT_DENY;
	assert_int_equal(kit_decide(&k), R(PREF_DENY));
	k.spec.uses = POLICY_BIT(POLICY_USE_SEARCH);
	assert_int_equal(kit_decide(&k), R(PREF_UNKNOWN));
}

static void a_release_for_mine_needs_all_that_mine_contains(void **state)
{
	(void)state;
	k.spec.uses = POLICY_BIT(POLICY_USE_MINE);
	struct policy_statement *s = kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
	s->uses = POLICY_BIT(POLICY_USE_MINE);
	assert_int_equal(kit_decide(&k), R(PREF_UNKNOWN));
	s->uses |= POLICY_USES_MINED;
	assert_int_equal(kit_decide(&k), 0);
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_DENY)->uses = POLICY_BIT(POLICY_USE_INFER_USER);
	assert_int_equal(kit_decide(&k), R(PREF_DENY));
}

static policy_reasons with_purpose(unsigned effect, unsigned purpose)
{
	clear_speech();
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, effect)->purpose = (uint8_t)purpose;
	return kit_decide(&k);
}

static void grants_cover_purposes_below_and_denials_reach_both_ways(void **state)
{
	(void)state;
	assert_int_equal(with_purpose(POLICY_EFFECT_ALLOW, POLICY_PURPOSE_RESEARCH), 0);
	assert_int_equal(with_purpose(POLICY_EFFECT_ALLOW, POLICY_PURPOSE_SCIENTIFIC), 0);
	assert_int_equal(with_purpose(POLICY_EFFECT_ALLOW, POLICY_PURPOSE_NONCOMMERCIAL_RESEARCH), R(PREF_UNKNOWN));
	assert_int_equal(with_purpose(POLICY_EFFECT_ALLOW, POLICY_PURPOSE_ACADEMIC), R(PREF_UNKNOWN));
	assert_int_equal(with_purpose(POLICY_EFFECT_DENY, POLICY_PURPOSE_RESEARCH), R(PREF_DENY));
	assert_int_equal(with_purpose(POLICY_EFFECT_DENY, POLICY_PURPOSE_SCIENTIFIC), R(PREF_DENY));
	assert_int_equal(with_purpose(POLICY_EFFECT_DENY, POLICY_PURPOSE_NONCOMMERCIAL_RESEARCH), R(PREF_DENY));
	assert_int_equal(with_purpose(POLICY_EFFECT_DENY, POLICY_PURPOSE_COMMERCIAL), R(PREF_UNKNOWN));
}

static policy_reasons with_audience(unsigned effect, unsigned audience)
{
	clear_speech();
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, effect)->audience = (uint8_t)audience;
	return kit_decide(&k);
}

static void grants_cover_narrower_audiences_and_denials_wider_ones(void **state)
{
	(void)state;
	k.spec.audience = POLICY_AUDIENCE_GATED_AUTO;
	assert_int_equal(with_audience(POLICY_EFFECT_ALLOW, POLICY_AUDIENCE_PUBLIC), 0);
	assert_int_equal(with_audience(POLICY_EFFECT_ALLOW, POLICY_AUDIENCE_GATED_AUTO), 0);
	assert_int_equal(with_audience(POLICY_EFFECT_ALLOW, POLICY_AUDIENCE_GATED_MANUAL), R(PREF_UNKNOWN));
	assert_int_equal(with_audience(POLICY_EFFECT_DENY, POLICY_AUDIENCE_PUBLIC), R(PREF_UNKNOWN));
	assert_int_equal(with_audience(POLICY_EFFECT_DENY, POLICY_AUDIENCE_GATED_AUTO), R(PREF_DENY));
	assert_int_equal(with_audience(POLICY_EFFECT_DENY, POLICY_AUDIENCE_MEMBERS), R(PREF_DENY));
}

static void statements_count_within_their_validity(void **state)
{
	(void)state;
	struct policy_statement *s = kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
	s->valid_to = T0;
	assert_int_equal(kit_decide(&k), R(PREF_UNKNOWN));
	s->valid_to = T0 + 1;
	s->valid_from = T0;
	assert_int_equal(kit_decide(&k), 0);
	s->valid_from = T0 + 1;
	s->valid_to = POLICY_NEVER;
	assert_int_equal(kit_decide(&k), R(PREF_UNKNOWN));
}

static void a_pause_ends_by_itself_because_its_author_said_so(void **state)
{
	(void)state;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW)->declared_at = T0 - 9;
	struct policy_statement *pause = kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_DENY);
	pause->declared_at = T0 - 8;
	pause->valid_to = T0 + 1;
	assert_int_equal(kit_decide(&k), R(PREF_DENY));
	pause->valid_to = T0;
	assert_int_equal(kit_decide(&k), 0);
}

static void an_outside_denial_is_floor_and_only_a_later_act_on_the_item_lifts_it(void **state)
{
	(void)state;
	struct policy_statement *s = kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_DENY);
	s->flags = POLICY_STATEMENT_EXTERNAL;
	s->declared_at = T0 - 9;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW)->declared_at = T0 - 5;
	assert_int_equal(kit_decide(&k), R(PREF_DENY));
	struct policy_statement *lift = kit_say(&k, 0, POLICY_LAYER_ITEM, POLICY_EFFECT_ALLOW);
	lift->declared_at = T0 - 9;
	assert_int_equal(kit_decide(&k), R(PREF_DENY));
	lift->declared_at = T0 - 8;
	assert_int_equal(kit_decide(&k), 0);
}

static struct policy_statement *outside(uint16_t uses, policy_instant when, unsigned purpose)
{
	struct policy_statement *s = kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_DENY);
	s->flags = POLICY_STATEMENT_EXTERNAL;
	s->uses = uses;
	s->declared_at = when;
	s->purpose = (uint8_t)purpose;
	return s;
}

/* Several denials from outside: each use has its own, and the latest about it is what must be lifted. */
static void outside_denials_are_kept_by_use_and_by_their_latest(void **state)
{
	(void)state;
	const uint16_t train = POLICY_BIT(POLICY_USE_TRAIN_GEN), search = POLICY_BIT(POLICY_USE_SEARCH);
	for (int order = 0; order < 2; order++) {
		clear_speech();
		k.spec.uses = train;
		outside(train, T0 - (order ? 9 : 5), POLICY_PURPOSE_ANY);
		outside(train, T0 - (order ? 5 : 9), POLICY_PURPOSE_RESEARCH);
		struct policy_statement *lift = kit_say(&k, 0, POLICY_LAYER_ITEM, POLICY_EFFECT_ALLOW);
		lift->declared_at = T0 - 7;
		assert_int_equal(kit_decide(&k), R(PREF_DENY));
		lift->declared_at = T0 - 4;
		assert_int_equal(kit_decide(&k), 0);
		clear_speech();
		k.spec.uses = train | search;
		outside(order ? search : train, T0 - 9, POLICY_PURPOSE_ANY);
		outside(order ? train : search, T0 - 3, POLICY_PURPOSE_RESEARCH);
		kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW)->uses = train | search;
		lift = kit_say(&k, 0, POLICY_LAYER_ITEM, POLICY_EFFECT_ALLOW);
		lift->uses = order ? search : train;
		lift->declared_at = T0 - 7;
		assert_int_equal(kit_decide(&k), R(PREF_DENY));
		struct policy_trace trace;
		assert_int_equal(policy_explain(k.program, k.rows, 0, policy_item_pack(&k.item), 0, 0, 0, &k.mem.mem, &trace), POLICY_OK);
		assert_int_equal(trace.effect[POLICY_USE_TRAIN_GEN], order ? POLICY_EFFECT_DENY : POLICY_EFFECT_ALLOW);
		assert_int_equal(trace.effect[POLICY_USE_SEARCH], order ? POLICY_EFFECT_ALLOW : POLICY_EFFECT_DENY);
		lift->effect = POLICY_EFFECT_NONE;
		kit_decide(&k);
		assert_int_equal(policy_rows_get(k.rows, 0, k.item.kind).deny, train | search);
	}
}

/* What is later replaces use by use, over any number of acts and within one moment. */
static void later_acts_replace_use_by_use(void **state)
{
	(void)state;
	const uint16_t train = POLICY_BIT(POLICY_USE_TRAIN_GEN), search = POLICY_BIT(POLICY_USE_SEARCH);
	k.spec.uses = train | search;
	for (int together = 0; together < 2; together++) {
		clear_speech();
		struct policy_statement *s = kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_DENY);
		s->uses = train | search;
		s->declared_at = T0 - 9;
		s = kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
		s->uses = search;
		s->declared_at = T0 - 8;
		s = kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
		s->uses = train;
		s->declared_at = T0 - (together ? 8 : 7);
		assert_int_equal(kit_decide(&k), 0);
		k.statements[1].effect = POLICY_EFFECT_NONE;
		assert_int_equal(kit_decide(&k), R(PREF_UNKNOWN));
	}
}

static void an_outside_permission_counts_as_nothing(void **state)
{
	(void)state;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW)->flags = POLICY_STATEMENT_EXTERNAL;
	assert_int_equal(kit_decide(&k), R(PREF_UNKNOWN));
}

static void subgroups_speak_for_their_members(void **state)
{
	(void)state;
	kit_say(&k, 7, POLICY_LAYER_SUBGROUP, POLICY_EFFECT_ALLOW);
	assert_int_equal(kit_decide(&k), R(PREF_UNKNOWN));
	k.members[0].group = 7;
	assert_int_equal(kit_decide(&k), 0);
}

static void defaults_count_for_members_who_accepted_them(void **state)
{
	(void)state;
	kit_default(&k, POLICY_LAYER_FEDERATION, POLICY_EFFECT_ALLOW);
	assert_int_equal(kit_decide(&k), 0);
	k.members[0].defaults_accepted = POLICY_NEVER;
	assert_int_equal(kit_decide(&k), R(PREF_UNKNOWN));
	k.members[0].defaults_accepted = T0;
	k.members[0].standing = POLICY_STANDING_GRACE;
	assert_int_equal(kit_decide(&k), R(PREF_UNKNOWN));
}

/* ---- Delegates as layer 3 ----------------------------------------------------------------------------------- */

static struct policy_statement *delegate_says(unsigned effect)
{
	k.n_members = 2;
	kit_delegate(&k, 0, 1);
	return kit_say(&k, 1, POLICY_LAYER_DELEGATE, effect);
}

static void a_delegate_decides_where_the_member_is_silent(void **state)
{
	(void)state;
	delegate_says(POLICY_EFFECT_ALLOW);
	assert_int_equal(kit_decide(&k), 0);
	k.statements[0].effect = POLICY_EFFECT_DENY;
	assert_int_equal(kit_decide(&k), R(PREF_DENY));
}

static void a_delegate_may_tighten_a_default_but_not_loosen_it(void **state)
{
	(void)state;
	struct policy_statement *said = delegate_says(POLICY_EFFECT_DENY);
	struct policy_statement *own = kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
	own->declared_at = said->declared_at - 1;
	assert_int_equal(kit_decide(&k), R(PREF_DENY));
	said->effect = POLICY_EFFECT_ALLOW;
	own->effect = POLICY_EFFECT_DENY;
	assert_int_equal(kit_decide(&k), R(PREF_DENY));
	own->effect = POLICY_EFFECT_ALLOW_IF;
	own->duties = POLICY_BIT(POLICY_DUTY_CREDIT);
	assert_int_equal(kit_decide(&k), R(PREF_CONDITIONAL));
}

static void the_members_own_later_act_wins_at_once(void **state)
{
	(void)state;
	struct policy_statement *said = delegate_says(POLICY_EFFECT_DENY);
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW)->declared_at = said->declared_at;
	assert_int_equal(kit_decide(&k), 0);
}

static void the_latest_of_the_members_defaults_is_what_a_delegate_must_follow(void **state)
{
	(void)state;
	struct policy_statement *said = delegate_says(POLICY_EFFECT_DENY);
	struct policy_statement *all = kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
	struct policy_statement *kind = kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
	kind->selector = POLICY_SELECT_KIND;
	kind->kind = POLICY_KIND_CHAT;
	all->declared_at = said->declared_at - 1;
	kind->declared_at = said->declared_at + 1;
	assert_int_equal(kit_decide(&k), 0);
	all->declared_at = said->declared_at + 1;
	kind->declared_at = said->declared_at - 1;
	assert_int_equal(kit_decide(&k), 0);
	all->declared_at = said->declared_at - 2;
	assert_int_equal(kit_decide(&k), R(PREF_DENY));
}

static void a_delegate_never_touches_an_act_on_an_item(void **state)
{
	(void)state;
	struct policy_statement *said = delegate_says(POLICY_EFFECT_DENY);
	kit_say(&k, 0, POLICY_LAYER_ITEM, POLICY_EFFECT_ALLOW)->declared_at = said->declared_at - 1;
	assert_int_equal(kit_decide(&k), 0);
}

static void a_tightening_unites_the_duties(void **state)
{
	(void)state;
	struct policy_statement *said = delegate_says(POLICY_EFFECT_ALLOW_IF);
	said->duties = POLICY_BIT(POLICY_DUTY_REPORT);
	struct policy_statement *own = kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW_IF);
	own->declared_at = said->declared_at - 1;
	assert_int_equal(kit_decide(&k), R(PREF_CONDITIONAL));
	assert_int_equal(policy_rows_get(k.rows, 0, 0).duties, POLICY_BIT(POLICY_DUTY_REPORT) | POLICY_BIT(POLICY_DUTY_CREDIT));
}

static void edges_that_do_not_count_are_named_when_nobody_else_spoke(void **state)
{
	(void)state;
	delegate_says(POLICY_EFFECT_ALLOW);
	k.edges[0].ends = T0;
	assert_int_equal(kit_decide(&k), R(PREF_UNKNOWN) | R(DELEGATION_EXPIRED));
	k.edges[0].revoked_at = T0;
	assert_int_equal(kit_decide(&k), R(PREF_UNKNOWN) | R(DELEGATION_REVOKED));
	k.edges[0].ends = k.edges[0].revoked_at = POLICY_NEVER;
	k.edges[0].scope = POLICY_SCOPE_TOPIC;
	k.edges[0].topics = POLICY_BIT(POLICY_USE_SEARCH);
	assert_int_equal(kit_decide(&k), R(PREF_UNKNOWN) | R(DELEGATION_SCOPE));
	kit_default(&k, POLICY_LAYER_COOP, POLICY_EFFECT_ALLOW);
	assert_int_equal(kit_decide(&k), 0);
}

static void broken_chains_hold_whoever_relied_on_them(void **state)
{
	(void)state;
	k.n_members = 3;
	kit_default(&k, POLICY_LAYER_COOP, POLICY_EFFECT_ALLOW);
	kit_delegate(&k, 0, 1);
	kit_delegate(&k, 1, 0);
	assert_int_equal(kit_decide(&k), R(DELEGATION_CYCLE));
	k.edges[1].delegate = 2;
	kit_say(&k, 2, POLICY_LAYER_DELEGATE, POLICY_EFFECT_ALLOW);
	assert_int_equal(kit_decide(&k), R(DELEGATION_DEPTH));
	k.spec.delegation_depth = 2;
	assert_int_equal(kit_decide(&k), 0);
	k.spec.delegation_cap = 1;
	assert_int_equal(kit_decide(&k), R(DELEGATION_CAP));
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
	assert_int_equal(kit_decide(&k), 0);
}

static void delegations_are_suspended_in_grace(void **state)
{
	(void)state;
	delegate_says(POLICY_EFFECT_ALLOW);
	k.members[0].standing = POLICY_STANDING_GRACE;
	assert_int_equal(kit_decide(&k), R(PREF_UNKNOWN) | R(DELEGATION_EXPIRED));
}

static void scopes_intersect_along_a_chain(void **state)
{
	(void)state;
	k.n_members = 3;
	k.spec.delegation_depth = 2;
	k.spec.uses = POLICY_BIT(POLICY_USE_TRAIN_GEN) | POLICY_BIT(POLICY_USE_SEARCH);
	kit_delegate(&k, 0, 1);
	struct policy_edge *narrow = kit_delegate(&k, 1, 2);
	narrow->scope = POLICY_SCOPE_TOPIC;
	narrow->topics = POLICY_BIT(POLICY_USE_SEARCH);
	kit_say(&k, 2, POLICY_LAYER_DELEGATE, POLICY_EFFECT_ALLOW)->uses = k.spec.uses;
	assert_int_equal(kit_decide(&k), R(PREF_UNKNOWN));
	struct policy_row row = policy_rows_get(k.rows, 0, POLICY_KIND_CHAT);
	assert_int_equal(row.allow, POLICY_BIT(POLICY_USE_SEARCH));
	assert_int_equal(row.unknown, POLICY_BIT(POLICY_USE_TRAIN_GEN));
}

static void a_row_says_what_holds_for_each_use(void **state)
{
	(void)state;
	static const uint8_t effects[] = {POLICY_EFFECT_ALLOW, POLICY_EFFECT_ALLOW_IF, POLICY_EFFECT_DENY};
	k.spec.uses = 0x1df; /* eight uses, two of each */
	for (unsigned i = 0; i < 3; i++)
		kit_say(&k, 0, POLICY_LAYER_SUBJECT, effects[i])->uses = (uint16_t)(0x41u << i);
	kit_decide(&k);
	struct policy_row row = policy_rows_get(k.rows, 0, POLICY_KIND_CHAT);
	assert_int_equal(row.allow, 0x041);
	assert_int_equal(row.allow_if, 0x082);
	assert_int_equal(row.deny, 0x104);
	assert_int_equal(row.unknown, 0x018);
	assert_int_equal(row.duties, POLICY_BIT(POLICY_DUTY_CREDIT));
}

/* ---- Freshness ------------------------------------------------------------------------------------------------ */

static void a_withdrawal_after_the_cut_off_is_honoured(void **state)
{
	(void)state;
	k.spec.instant = T0 + POLICY_DAY;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
	assert_int_equal(kit_decide(&k), 0);
	struct policy_statement *s = kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_DENY);
	s->declared_at = T0 + POLICY_DAY;
	assert_int_equal(kit_decide(&k), R(PREF_DENY));
	s->effect = POLICY_EFFECT_NONE;
	assert_int_equal(kit_decide(&k), R(PREF_UNKNOWN));
	s->declared_at++;
	assert_int_equal(kit_decide(&k), 0);
}

static void a_grant_after_the_cut_off_is_inert(void **state)
{
	(void)state;
	k.spec.instant = T0 + POLICY_DAY;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW)->declared_at = T0 + 1;
	assert_int_equal(kit_decide(&k), R(PREF_UNKNOWN) | R(AFTER_CUTOFF));
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_DENY)->declared_at = T0;
	assert_int_equal(kit_decide(&k), R(PREF_DENY) | R(AFTER_CUTOFF));
}

static void consent_given_after_the_cut_off_waits(void **state)
{
	(void)state;
	k.spec.instant = T0 + POLICY_DAY;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
	k.members[0].consent_given = T0 + 1;
	assert_int_equal(kit_decide(&k), R(CONSENT_MISSING) | R(AFTER_CUTOFF));
	k.members[0].consent_given = T0;
	assert_int_equal(kit_decide(&k), 0);
}

static void a_delegation_accepted_after_the_cut_off_waits_and_one_revoked_does_not_count(void **state)
{
	(void)state;
	k.spec.instant = T0 + POLICY_DAY;
	delegate_says(POLICY_EFFECT_ALLOW);
	k.edges[0].accepted_at = T0 + 1;
	assert_int_equal(kit_decide(&k), R(PREF_UNKNOWN) | R(AFTER_CUTOFF));
	k.edges[0].accepted_at = T0;
	assert_int_equal(kit_decide(&k), 0);
	k.edges[0].revoked_at = T0 + 1;
	assert_int_equal(kit_decide(&k), R(PREF_UNKNOWN) | R(DELEGATION_REVOKED));
}

/* ---- Unsound facts ---------------------------------------------------------------------------------------------- */

static void an_unsound_statement_holds_whom_it_touches(void **state)
{
	(void)state;
	k.n_members = 2;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
	struct policy_statement *bad = kit_say(&k, 1, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
	bad->effect = 9;
	assert_int_equal(kit_decide(&k), 0);
	assert_int_equal(k.fault_list.n, 1);
	assert_int_equal(policy_decide_one(k.program, k.rows, 0, policy_item_pack(&k.item), 0, 1), R(ENGINE_ERROR));
	bad->subject = 77;
	assert_int_equal(kit_decide(&k), R(ENGINE_ERROR));
	bad->subject = 1;
	bad->layer = POLICY_LAYER_COUNT;
	assert_int_equal(kit_decide(&k), R(ENGINE_ERROR));
}

static void every_unsound_statement_is_found(void **state)
{
	(void)state;
	const struct policy_statement good = kit_statement(0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
	struct policy_statement bad[16];
	for (size_t i = 0; i < 16; i++)
		bad[i] = good;
	bad[0].uses = 0;
	bad[1].uses = 1u << 9;
	bad[2].effect = POLICY_EFFECT_COUNT;
	bad[3].selector = POLICY_SELECTOR_COUNT;
	bad[4].purpose = POLICY_PURPOSE_COUNT;
	bad[5].audience = POLICY_AUDIENCE_COUNT;
	bad[6].flags = 2;
	bad[7].valid_to = bad[7].valid_from;
	bad[8].duties = 1;
	bad[9].effect = POLICY_EFFECT_ALLOW_IF;
	bad[10].effect = POLICY_EFFECT_ALLOW_IF;
	bad[10].duties = 1u << POLICY_DUTY_COUNT;
	bad[11].layer = POLICY_LAYER_LAW;
	bad[12].item = 3;
	bad[13].selector = POLICY_SELECT_ITEM;
	bad[13].item = 0;
	bad[14].selector = POLICY_SELECT_KIND;
	bad[14].kind = POLICY_KIND_COUNT;
	bad[15].layer = POLICY_LAYER_ITEM;
	for (size_t i = 0; i < 16; i++) {
		clear_speech();
		k.statements[k.n_statements++] = bad[i];
		assert_int_equal(kit_decide(&k) & R(ENGINE_ERROR), R(ENGINE_ERROR));
		assert_int_equal(k.faults[0].code, POLICY_FAULT_FACT_STATEMENT);
	}
}

static void an_unsound_delegate_or_edge_holds_the_principal(void **state)
{
	(void)state;
	delegate_says(POLICY_EFFECT_ALLOW)->uses = 0;
	assert_true(kit_decide(&k) & R(ENGINE_ERROR));
	k.statements[0].uses = 1;
	assert_int_equal(kit_decide(&k), 0);
	k.edges[0].delegate = 0;
	assert_int_equal(kit_decide(&k), R(ENGINE_ERROR));
	k.edges[0].delegate = 99;
	assert_int_equal(kit_decide(&k), R(ENGINE_ERROR));
	k.edges[0].delegate = 1;
	k.edges[0].question = 7;
	assert_int_equal(kit_decide(&k), R(ENGINE_ERROR));
	k.edges[0].principal = 99;
	assert_int_equal(kit_decide(&k), R(ENGINE_ERROR));
}

static void an_unsound_member_is_held(void **state)
{
	(void)state;
	kit_say(&k, 0, POLICY_LAYER_SUBJECT, POLICY_EFFECT_ALLOW);
	const struct policy_member good = k.members[0];
	for (int i = 0; i < 4; i++) {
		k.members[0] = good;
		*(uint8_t *[]){&k.members[0].standing, &k.members[0].consent, &k.members[0].minor,
		               (uint8_t *)&k.members[0].purposes + 3}[i] = (uint8_t[]){POLICY_STANDING_COUNT, POLICY_CONSENT_COUNT, 2, 1}[i];
		assert_int_equal(kit_decide(&k), R(ENGINE_ERROR));
	}
}

static void a_statement_on_an_item_must_be_its_members_and_have_its_fact(void **state)
{
	(void)state;
	k.n_members = 2;
	kit_say(&k, 1, POLICY_LAYER_ITEM, POLICY_EFFECT_ALLOW);
	assert_true(kit_decide(&k) & R(ENGINE_ERROR));
	k.n_facts = 0;
	k.statements[0].subject = 0;
	assert_true(kit_decide(&k) & R(ENGINE_ERROR));
	assert_int_equal(k.faults[0].code, POLICY_FAULT_FACT_NO_ITEM);
	k.facts[0] = k.facts[1] = (struct policy_item_fact){.embargo_until = POLICY_EVER, .retain_until = POLICY_NEVER};
	k.n_facts = 2;
	assert_true(kit_decide(&k) & R(ENGINE_ERROR));
	k.n_facts = 1;
	assert_int_equal(kit_decide(&k), 0);
	k.facts[0].kind = POLICY_KIND_RECORD;
	assert_true(kit_decide(&k) & R(ENGINE_ERROR));
}

/* ---- The kernel, enumerated -------------------------------------------------------------------------------------- */

/* Kinds of statement: the law can only deny; everyone else can say three things. */
enum { SPEECHES = 1 + 6 * 3 };

static void speech_of(unsigned no, unsigned *layer, unsigned *effect)
{
	*layer = no == 0 ? POLICY_LAYER_LAW : 1 + (no - 1) / 3;
	*effect = no == 0 ? POLICY_EFFECT_DENY : POLICY_EFFECT_ALLOW + (no - 1) % 3;
}

/* The rules of the design, said again: `said[layer]` holds the strictest effect there. All are equally old. */
static unsigned expected(const unsigned *speeches, size_t n)
{
	unsigned said[POLICY_LAYER_COUNT] = {0};
	for (size_t i = 0; i < n; i++) {
		unsigned layer, effect;
		speech_of(speeches[i], &layer, &effect);
		said[layer] = effect > said[layer] ? effect : said[layer];
	}
	for (unsigned l = 0; l <= 2; l++)
		if (said[l] == POLICY_EFFECT_DENY)
			return POLICY_EXCLUDE;
	for (unsigned l = 1; l < POLICY_LAYER_COUNT; l++)
		if (said[l])
			return said[l] == POLICY_EFFECT_DENY ? POLICY_EXCLUDE : said[l] == POLICY_EFFECT_ALLOW_IF ? POLICY_CONDITIONAL : POLICY_INCLUDE;
	return POLICY_HOLD;
}

static void check(const unsigned *speeches, size_t n)
{
	clear_speech();
	k.n_members = 2;
	k.members[0].group = 1;
	kit_delegate(&k, 0, 1);
	for (size_t i = 0; i < n; i++) {
		unsigned layer, effect;
		speech_of(speeches[i], &layer, &effect);
		if (layer >= POLICY_LAYER_COOP)
			kit_default(&k, layer, effect);
		else
			kit_say(&k, layer == POLICY_LAYER_DELEGATE || layer == POLICY_LAYER_SUBGROUP ? 1 : 0, layer, effect);
	}
	unsigned outcome = policy_outcome_of(kit_decide(&k));
	if (outcome != expected(speeches, n))
		fail_msg("speeches %u %u %u %u of %zu: %s, expected %s", speeches[0], speeches[1], speeches[2], speeches[3], n,
		         policy_outcome_name(outcome), policy_outcome_name(expected(speeches, n)));
}

static void all_combinations_of_up_to_four_statements(void **state)
{
	(void)state;
	unsigned s[4] = {0};
	size_t cases = 0;
	for (size_t n = 0; n <= 4; n++) {
		memset(s, 0, sizeof s);
		for (;;) {
			check(s, n);
			cases++;
			size_t at = n;
			while (at > 0 && s[at - 1] == SPEECHES - 1)
				at--;
			if (at == 0)
				break;
			unsigned next = s[at - 1] + 1;
			for (size_t i = at - 1; i < n; i++)
				s[i] = next;
		}
	}
	print_message("%zu combinations of statements\n", cases);
	assert_int_equal(cases, 8855);
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(the_nearest_layer_that_speaks_decides), T(a_members_no_is_floor_even_under_a_yes_on_the_item),
		T(a_later_act_of_the_same_person_replaces_the_earlier), T(concurrent_acts_resolve_to_the_stricter),
		T(a_later_act_about_a_kind_does_not_replace_one_about_everything),
		T(a_statement_about_a_kind_touches_that_kind),
		T(denying_mine_denies_training_and_allowing_it_allows_nothing),
		T(a_release_for_mine_needs_all_that_mine_contains),
		T(grants_cover_purposes_below_and_denials_reach_both_ways),
		T(grants_cover_narrower_audiences_and_denials_wider_ones), T(statements_count_within_their_validity),
		T(a_pause_ends_by_itself_because_its_author_said_so),
		T(an_outside_denial_is_floor_and_only_a_later_act_on_the_item_lifts_it),
		T(outside_denials_are_kept_by_use_and_by_their_latest), T(later_acts_replace_use_by_use),
		T(an_outside_permission_counts_as_nothing), T(subgroups_speak_for_their_members),
		T(defaults_count_for_members_who_accepted_them), T(a_delegate_decides_where_the_member_is_silent),
		T(a_delegate_may_tighten_a_default_but_not_loosen_it), T(the_members_own_later_act_wins_at_once),
		T(the_latest_of_the_members_defaults_is_what_a_delegate_must_follow),
		T(a_delegate_never_touches_an_act_on_an_item), T(a_tightening_unites_the_duties),
		T(edges_that_do_not_count_are_named_when_nobody_else_spoke), T(broken_chains_hold_whoever_relied_on_them),
		T(delegations_are_suspended_in_grace), T(scopes_intersect_along_a_chain),
		T(a_row_says_what_holds_for_each_use),
		T(a_withdrawal_after_the_cut_off_is_honoured), T(a_grant_after_the_cut_off_is_inert),
		T(consent_given_after_the_cut_off_waits),
		T(a_delegation_accepted_after_the_cut_off_waits_and_one_revoked_does_not_count),
		T(an_unsound_statement_holds_whom_it_touches), T(every_unsound_statement_is_found),
		T(an_unsound_delegate_or_edge_holds_the_principal), T(an_unsound_member_is_held),
		T(a_statement_on_an_item_must_be_its_members_and_have_its_fact),
		T(all_combinations_of_up_to_four_statements),
	};
	return cmocka_run_group_tests_name("policy layers", tests, NULL, NULL);
}
