/* Charters: defaults, faults with their pointers, contradictions, rules as counted and as told, predicates over items. No database. */
#include "commonhold/assets.h"
#include "commonhold/coop.h"
#include "commonhold/packed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct arena *arena;

static int set_up(void **state)
{
	(void)state;
	arena = arena_new(64 * MIB);
	return arena ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

static const struct json *parse(const char *text)
{
	const struct json *v = NULL;
	struct error e = { 0 };
	if (json_parse(arena, str_of(text), &v, &e) != ERR_OK)
		fail_msg("%s: %s", text, e.message);
	return v;
}

#define MINIMAL_HEAD "{\"name\":\"Garden\",\"scope\":{\"domain\":\"language\"},\"release\":{\"uses\":[\"train.gen\",\"eval\"],\"purposes\":[\"research\"]}"
#define MINIMAL MINIMAL_HEAD "}"

static struct str checked(const char *draft)
{
	struct str document = STR_NONE;
	struct error e = { 0 };
	if (charter_check(arena, parse(draft), &document, &e) != ERR_OK) {
		for (const struct fault *f = e.faults; f; f = f->next)
			print_error("%.*s: %.*s\n", STR_ARG(f->pointer), STR_ARG(f->message));
		fail_msg("%s: %s", draft, e.message);
	}
	return document;
}

static struct charter read_charter(const char *draft)
{
	struct charter charter;
	struct error e = { 0 };
	assert_int_equal(charter_parse(arena, checked(draft), &charter, &e), ERR_OK);
	return charter;
}

/* The draft is refused, with a fault at exactly this place among any others. */
static void assert_fault(const char *draft, const char *pointer)
{
	struct str document;
	struct error e = { 0 };
	assert_int_equal(charter_check(arena, parse(draft), &document, &e), ERR_INVALID);
	for (const struct fault *f = e.faults; f; f = f->next)
		if (str_is(f->pointer, pointer)) {
			assert_true(f->message.n >= 8);
			return;
		}
	print_error("%s\n%s: %s\n", draft, pointer, e.message);
	for (const struct fault *f = e.faults; f; f = f->next)
		print_error("  has %.*s: %.*s\n", STR_ARG(f->pointer), STR_ARG(f->message));
	fail();
}

static void every_default_of_the_design_is_written_out(void **state)
{
	(void)state;
	const struct json *d = parse(str_z(arena, checked(MINIMAL)));
	static const struct { const char *pointer, *value; } texts[] = {
		{ "/sharing", "not_share_by_default" }, { "/licence/default", "CC-BY-4.0" }, { "/licence/allowed/2", "CC-BY-SA-4.0" }, { "/release/audience", "gated_manual" },
		{ "/release/mode", "collection" }, { "/cadence/notice", "P7D" }, { "/gate/rule", "approval_quorum" }, { "/amendment/of/1/roll", "admins" },
		{ "/merge/rule", "all_of" }, { "/toggle/of/0/rule", "majority" }, { "/appeal/rule", "majority" }, { "/appeal/roll", "members" }, { "/deletion/gather", "PT0S" },
		{ "/deletion/redact_within", "P7D" }, { "/access/mode", "gated_manual" }, { "/moderation/mode", "approve" },
		{ "/moderation/pii/action", "hold" }, { "/retention/raw", "P1Y" }, { "/retention/access_log", "P90D" }, { "/retention/backups", "P90D" },
		{ "/retention/quarantine", "P180D" }, { "/membership/admission", "approval" }, { "/membership/checkup_every", "P1Y" }, { "/membership/window", "P30D" },
		{ "/membership/grace", "P30D" }, { "/delegation/profile", "custom" }, { "/benefit/weight", "included_items" }, { "/attribution", "pseudonym" }, { "/embargo", "P0D" },
	};
	for (size_t i = 0; i < CH_LEN(texts); i++)
		if (!str_is(json_text(json_at(d, texts[i].pointer)), texts[i].value))
			fail_msg("%s is not %s", texts[i].pointer, texts[i].value);
	assert_int_equal(json_int(json_at(d, "/delegation/cap"), -1), 9);
	assert_int_equal(json_int(json_at(d, "/delegation/depth"), -1), 1);
	assert_int_equal(json_int(json_at(d, "/benefit/contributors"), -1), 70);
	assert_int_equal(json_at(d, "/kinds")->count, POLICY_KIND_COUNT);
	assert_int_equal(json_at(d, "/ai_preferences")->count, 1); /* every use unstated; what members may change is written out */
	assert_null(json_at(d, "/ai_preferences/train.gen"));
}

static void every_property_says_what_it_means_in_words(void **state)
{
	(void)state;
	const struct json *schema = parse(str_z(arena, asset_find(STR("schemas/charter.json"))));
	const struct json *queue[256] = { schema };
	size_t n = 1, seen = 0;
	for (size_t at = 0; at < n; at++)
		json_each(property, json_get(queue[at], "properties")) {
			if (!json_member_text(property, "description").n)
				fail_msg("%.*s has no description", STR_ARG(json_pointer(arena, property)));
			seen++;
			if (n < CH_LEN(queue))
				queue[n++] = property;
		}
	assert_true(seen > 60);
}

static void the_canonical_document_comes_through_unchanged(void **state)
{
	(void)state;
	struct str once = checked(MINIMAL_HEAD ",\"bylaws\":\"# Rules\\n\\nBe kind. \\u20ac\",\"rules\":[{\"name\":\"x\",\"when\":{\"attribute\":\"pii\",\"op\":\"eq\",\"value\":true}}]}");
	struct str twice = checked(str_z(arena, once));
	assert_true(str_eq(once, twice));
	struct charter charter;
	struct error e = { 0 };
	assert_int_equal(charter_parse(arena, once, &charter, &e), ERR_OK);
	struct sha256 digest = sha256(once);
	assert_memory_equal(charter.digest.b, digest.b, 32);
}

static void the_typed_form_says_what_the_document_says(void **state)
{
	(void)state;
	struct charter c = read_charter("{\"name\":\"G\",\"scope\":{\"domain\":\"health\",\"region\":\"CH\",\"language\":[\"rm\",\"de\"]},\"sharing\":\"share_by_default\",\"kinds\":[\"chat\",\"signal\"],"
		"\"licence\":{\"default\":\"CC0-1.0\",\"allowed\":[\"CC0-1.0\",\"CC-BY-4.0\"]},\"ai_preferences\":{\"search\":{\"effect\":\"deny\"},\"eval\":{\"effect\":\"allow_if\",\"duties\":[\"credit\"]},"
		"\"member_may_change\":[\"eval\"]},"
		"\"release\":{\"uses\":[\"train.gen\",\"eval\"],\"purposes\":[\"research\",\"education\"],\"mode\":\"adaptation\",\"output_licences\":[\"CC-BY-4.0\"],\"k_contributors\":7,\"uses_conditional\":[\"eval\"]},"
		"\"access\":{\"mode\":\"public\",\"token_life\":\"PT30M\"},\"embargo\":\"P3M\"}");
	assert_true(str_is(c.name, "G") && str_is(c.domain, "health") && str_is(c.region, "CH") && c.n_languages == 2 && str_is(c.languages[0], "rm"));
	assert_true(c.share_by_default);
	assert_int_equal(c.kinds, POLICY_BIT(POLICY_KIND_CHAT) | POLICY_BIT(POLICY_KIND_SIGNAL));
	assert_int_equal(c.licence_default, POLICY_LICENCE_CC0_1_0);
	assert_int_equal(c.licences_allowed, 1 << POLICY_LICENCE_CC0_1_0 | 1 << POLICY_LICENCE_CC_BY_4_0);
	assert_int_equal(c.release_uses, POLICY_BIT(POLICY_USE_TRAIN_GEN) | POLICY_BIT(POLICY_USE_EVAL));
	assert_int_equal(c.release_uses_conditional, POLICY_BIT(POLICY_USE_EVAL));
	assert_int_equal(c.release_purposes, POLICY_BIT(POLICY_PURPOSE_RESEARCH) | POLICY_BIT(POLICY_PURPOSE_EDUCATION));
	assert_int_equal(c.release_audience, POLICY_AUDIENCE_PUBLIC); /* follows access where it is left out */
	assert_int_equal(c.licence_mode, POLICY_ADAPTATION);
	assert_int_equal(c.outputs, 1 << POLICY_LICENCE_CC_BY_4_0);
	assert_int_equal(c.k_contributors, 7);
	assert_int_equal(c.embargo.months, 3);
	assert_int_equal(c.token_life.seconds, 1800);
	assert_int_equal(c.member_may_change, POLICY_BIT(POLICY_USE_EVAL));
	assert_int_equal(c.ai_deny, POLICY_BIT(POLICY_USE_SEARCH));
	assert_int_equal(c.ai_allow_if, POLICY_BIT(POLICY_USE_EVAL));
}

static void sharing_by_default_says_yes_only_where_preferences_are_silent(void **state)
{
	(void)state;
	struct charter c = read_charter("{\"name\":\"G\",\"scope\":{\"domain\":\"x\"},\"sharing\":\"share_by_default\",\"ai_preferences\":{\"eval\":{\"effect\":\"allow_if\",\"duties\":[\"credit\"]},\"search\":{\"effect\":\"deny\"}},"
		"\"release\":{\"uses\":[\"train.gen\",\"eval\"],\"purposes\":[\"research\"]}}");
	assert_int_equal(c.n_defaults, 3);
	uint16_t allowed = 0;
	for (size_t i = 0; i < c.n_defaults; i++) {
		assert_int_equal(c.defaults[i].layer, POLICY_LAYER_COOP);
		if (c.defaults[i].effect == POLICY_EFFECT_ALLOW)
			allowed |= c.defaults[i].uses;
	}
	assert_int_equal(allowed, POLICY_BIT(POLICY_USE_TRAIN_GEN));
	c = read_charter(MINIMAL);
	assert_int_equal(c.n_defaults, 0); /* not share by default: silence stays silence */
}

static void every_contradiction_names_its_field(void **state)
{
	(void)state;
#define WITH(more) MINIMAL_HEAD "," more "}"
#define RELEASE(more) "{\"name\":\"G\",\"scope\":{\"domain\":\"x\"},\"release\":{\"uses\":[\"train.gen\"],\"purposes\":[\"research\"]," more "}}"
#define WHEN(when) WITH("\"rules\":[{\"name\":\"r\",\"when\":" when "}]")
	static const struct { const char *draft, *pointer; } table[] = {
		{ "[]", "" },
		{ "{}", "/name" },
		{ WITH("\"colour\":\"red\""), "/colour" },
		{ "{\"name\":\"  \",\"scope\":{\"domain\":\"x\"},\"release\":{\"uses\":[\"eval\"],\"purposes\":[\"research\"]}}", "/name" },
		{ "{\"name\":7,\"scope\":{\"domain\":\"x\"},\"release\":{\"uses\":[\"eval\"],\"purposes\":[\"research\"]}}", "/name" },
		{ "{\"name\":\"G\",\"scope\":{\"domain\":\"x\"},\"release\":{\"uses\":[],\"purposes\":[\"research\"]}}", "/release/uses" },
		{ "{\"name\":\"G\",\"scope\":{\"domain\":\"x\"},\"release\":{\"uses\":[\"sell\"],\"purposes\":[\"research\"]}}", "/release/uses/0" },
		{ "{\"name\":\"G\",\"scope\":{\"domain\":\"x\"},\"release\":{\"uses\":[\"eval\"],\"purposes\":[\"any\"]}}", "/release/purposes/0" },
		{ WITH("\"sharing\":\"opt_out\""), "/sharing" },
		{ WITH("\"licence\":{\"default\":\"CC-BY-NC-4.0\"}"), "/licence/default" },
		{ WITH("\"licence\":{\"allowed\":[\"CC-BY-4.0\",\"WTFPL-9\"]}"), "/licence/allowed/1" },
		{ RELEASE("\"mode\":\"adaptation\""), "/release/output_licences" },
		{ RELEASE("\"mode\":\"adaptation\",\"output_licences\":[\"CC-BY-ND-4.0\"]"), "/release/output_licences/0" },
		{ RELEASE("\"mode\":\"adaptation\",\"output_licences\":[\"Nonsense-1.0\"]"), "/release/output_licences/0" },
		{ RELEASE("\"output_licences\":[\"ODbL-1.0\"]"), "/release/output_licences/0" },
		{ RELEASE("\"uses_conditional\":[\"eval\"]"), "/release/uses_conditional/0" },
		{ RELEASE("\"k_contributors\":0"), "/release/k_contributors" },
		{ RELEASE("\"k_contributors\":1.5"), "/release/k_contributors" },
		{ "{\"name\":\"G\",\"scope\":{\"domain\":\"x\"},\"release\":{\"uses\":[\"eval\"],\"purposes\":[\"research\"],\"audience\":\"members\"},\"access\":{\"mode\":\"public\"}}", "/release/audience" },
		{ WITH("\"cadence\":{\"notice\":\"P6D\"}"), "/cadence/notice" },
		{ WITH("\"cadence\":{\"notice\":\"P6DT23H59M\"}"), "/cadence/notice" },
		{ WITH("\"cadence\":{\"notice\":\"a week\"}"), "/cadence/notice" },
		{ WITH("\"cadence\":{\"voting\":\"P0D\"}"), "/cadence/voting" },
		{ WITH("\"cadence\":{\"lead\":\"P900Y\"}"), "/cadence/lead" },
		{ WITH("\"cadence\":{\"rrule\":\"FREQ=SOMETIMES\"}"), "/cadence/rrule" },
		{ WITH("\"cadence\":{\"rrule\":\"FREQ=HOURLY\"}"), "/cadence/rrule" },
		{ WITH("\"cadence\":{\"rrule\":\"FREQ=DAILY;BYMINUTE=1,2\"}"), "/cadence/rrule" },
		{ WITH("\"cadence\":{\"rrule\":\"FREQ=DAILY\\r\\nX:1\"}"), "/cadence/rrule" },
		{ WITH("\"cadence\":{\"start\":\"soon\"}"), "/cadence/start" },
		{ WITH("\"access\":{\"token_life\":\"P2D\"}"), "/access/token_life" },
		{ WITH("\"access\":{\"grant_life\":\"P0D\"}"), "/access/grant_life" },
		{ WITH("\"embargo\":\"P2Y\""), "/embargo" },
		{ WITH("\"deletion\":{\"gather\":\"P2D\"}"), "/deletion/gather" },
		{ WITH("\"deletion\":{\"redact_within\":\"P0D\"}"), "/deletion/redact_within" },
		{ WITH("\"deletion\":{\"redact_within\":\"P31D\"}"), "/deletion/redact_within" },
		{ WITH("\"deletion\":{\"gather\":\"PT5M\",\"redact_within\":\"PT5M\"}"), "/deletion/redact_within" },
		{ WITH("\"appeal\":{\"rule\":\"majority\",\"n\":1,\"d\":3}"), "/appeal/n" },
		{ WITH("\"membership\":{\"checkup_every\":\"P0D\"}"), "/membership/checkup_every" },
		{ WITH("\"membership\":{\"checkup_every\":\"P50D\"}"), "/membership/checkup_every" },
		{ WITH("\"delegation\":{\"profile\":\"de\"}"), "/delegation/cap" },
		{ WITH("\"delegation\":{\"profile\":\"ch\",\"cap\":0}"), "/delegation/cap" },
		{ WITH("\"delegation\":{\"depth\":9}"), "/delegation/depth" },
		{ WITH("\"board\":{\"n\":1,\"d\":3}"), "/board/n" },
		{ WITH("\"board\":{\"n\":3,\"d\":2}"), "/board/n" },
		{ WITH("\"board\":{\"n\":1,\"d\":0}"), "/board/d" },
		{ WITH("\"board\":{\"n\":1,\"d\":1}"), "/board/strict" },
		{ WITH("\"benefit\":{\"contributors\":80}"), "/benefit/contributors" },
		{ WITH("\"ai_preferences\":{\"train.gen\":{\"effect\":\"allow\"}}"), "/ai_preferences/train.gen/effect" },
		{ WITH("\"sharing\":\"share_by_default\",\"ai_preferences\":{\"train.gen\":{\"effect\":\"deny\"}}"), "/ai_preferences/train.gen/effect" },
		{ WITH("\"sharing\":\"share_by_default\",\"ai_preferences\":{\"mine\":{\"effect\":\"deny\"}}"), "/ai_preferences/mine/effect" },
		{ WITH("\"ai_preferences\":{\"eval\":{\"effect\":\"allow_if\"}}"), "/ai_preferences/eval/duties" },
		{ WITH("\"ai_preferences\":{\"eval\":{\"effect\":\"deny\",\"duties\":[\"credit\"]}}"), "/ai_preferences/eval/duties" },
		{ WITH("\"ai_preferences\":{\"paint\":{\"effect\":\"deny\"}}"), "/ai_preferences/paint" },
		{ WITH("\"gate\":{\"rule\":\"approval_quorum\",\"n\":1,\"d\":0}"), "/gate/d" },
		{ WITH("\"gate\":{\"rule\":\"approval_quorum\",\"n\":3,\"d\":2}"), "/gate/n" },
		{ WITH("\"gate\":{\"rule\":\"majority\",\"n\":1,\"d\":3}"), "/gate/n" },
		{ WITH("\"gate\":{\"rule\":\"majority\",\"n\":2}"), "/gate/d" },
		{ WITH("\"gate\":{\"rule\":\"majority\",\"strict\":true}"), "/gate/strict" },
		{ WITH("\"gate\":{\"rule\":\"n_of_m_admins\",\"n\":0}"), "/gate/n" },
		{ WITH("\"gate\":{\"rule\":\"n_of_m_admins\",\"n\":1,\"roll\":\"members\"}"), "/gate/roll" },
		{ WITH("\"gate\":{\"rule\":\"turnout_quorum\",\"n\":1,\"d\":2,\"of\":[{\"rule\":\"majority\"}]}"), "/gate/of" },
		{ WITH("\"gate\":{\"rule\":\"all_of\",\"of\":[]}"), "/gate/of" },
		{ WITH("\"gate\":{\"rule\":\"all_of\",\"of\":[{\"rule\":\"majority\"},{\"rule\":\"dice\"}]}"), "/gate/of/1/rule" },
		{ WITH("\"toggle\":{\"rule\":\"all_of\",\"of\":[{\"rule\":\"any_of\",\"of\":[{\"rule\":\"objection_cap\",\"n\":5,\"d\":4}]}]}"), "/toggle/of/0/of/0/n" },
		{ WITH("\"moderation\":{\"pii\":{\"threshold\":0}}"), "/moderation/pii/threshold" },
		{ WHEN("{\"attribute\":\"mood\",\"op\":\"eq\",\"value\":\"good\"}"), "/rules/0/when/attribute" },
		{ WHEN("{\"attribute\":\"pii\",\"op\":\"eq\",\"value\":1}"), "/rules/0/when/value" },
		{ WHEN("{\"attribute\":\"kind\",\"op\":\"eq\",\"value\":\"song\"}"), "/rules/0/when/value" },
		{ WHEN("{\"attribute\":\"kind\",\"op\":\"in\",\"value\":[\"chat\",\"song\"]}"), "/rules/0/when/value/1" },
		{ WHEN("{\"attribute\":\"kind\",\"op\":\"lt\",\"value\":\"chat\"}"), "/rules/0/when/op" },
		{ WHEN("{\"attribute\":\"quality\",\"op\":\"in\",\"value\":[\"1\"]}"), "/rules/0/when/value" },
		{ WHEN("{\"attribute\":\"quality\",\"op\":\"ge\",\"value\":101}"), "/rules/0/when/value" },
		{ WHEN("{\"attribute\":\"length\",\"op\":\"lt\",\"value\":-1}"), "/rules/0/when/value" },
		{ WHEN("{\"attribute\":\"language\",\"op\":\"eq\",\"value\":\"klingon\"}"), "/rules/0/when/value" },
		{ WHEN("{\"attribute\":\"created\",\"op\":\"lt\",\"value\":\"yesterday\"}"), "/rules/0/when/value" },
		{ WHEN("{\"all\":[]}"), "/rules/0/when/all" },
		{ WHEN("{\"not\":{\"attribute\":\"region\",\"op\":\"eq\",\"value\":\"XX\"}}"), "/rules/0/when/not/value" },
	};
	for (size_t i = 0; i < CH_LEN(table); i++)
		assert_fault(table[i].draft, table[i].pointer);
}

static void all_faults_are_told_at_once(void **state)
{
	(void)state;
	struct str document;
	struct error e = { 0 };
	assert_int_equal(charter_check(arena, parse(WITH("\"cadence\":{\"notice\":\"P1D\",\"voting\":\"P0D\"},\"benefit\":{\"commons\":1},\"licence\":{\"default\":\"ODbL-1.0\"}")), &document, &e), ERR_INVALID);
	size_t n = 0;
	for (const struct fault *f = e.faults; f; f = f->next)
		n++;
	assert_int_equal(n, 4);
}

static void rules_compile_to_what_ballots_count(void **state)
{
	(void)state;
	struct charter c = read_charter(WITH("\"gate\":{\"rule\":\"all_of\",\"of\":[{\"rule\":\"n_of_m_admins\",\"n\":2},{\"rule\":\"any_of\",\"of\":[{\"rule\":\"majority\",\"n\":2,\"d\":3,\"strict\":false,\"roll\":\"members\"},"
		"{\"rule\":\"turnout_quorum\",\"n\":1,\"d\":2,\"roll\":\"admins\"}]}]}"));
	struct ballot_rule rule;
	struct error e = { 0 };
	assert_int_equal(charter_rule(arena, &c, "gate", &rule, &e), ERR_OK);
	assert_int_equal(rule.n, 5);
	assert_int_equal(rule.nodes[0].op, POLICY_RULE_ALL_OF);
	assert_int_equal(rule.nodes[0].count, 2);
	assert_int_equal(rule.nodes[1].op, POLICY_RULE_N_OF_M_ADMINS);
	assert_int_equal(rule.nodes[1].num, 2);
	assert_int_equal(rule.nodes[3].op, POLICY_RULE_MAJORITY);
	assert_int_equal(rule.nodes[3].strict, 0);
	assert_int_equal(rule.nodes[4].electorate, POLICY_ADMINS);
	assert_true(policy_quorum_valid(rule.nodes, rule.n));

	struct policy_count count = { .of = { { .roll = 3, .yes = 2, .no = 1 }, { .roll = 2, .yes = 2 } } };
	assert_int_equal(policy_ballot_decide(rule.nodes, rule.n, &count), POLICY_PASSED);
	count.of[POLICY_ADMINS].yes = 1;
	count.of[POLICY_ADMINS].undecided[POLICY_VIA_NONE] = 1;
	assert_int_equal(policy_ballot_decide(rule.nodes, rule.n, &count), POLICY_FAILED);

	static const char *const kinds[] = { "gate", "amendment", "merge", "toggle", "release", "charter", "admin", "benefit", "appeal" };
	for (size_t i = 0; i < CH_LEN(kinds); i++)
		assert_int_equal(charter_rule(arena, &c, kinds[i], &rule, &e), ERR_OK);
	assert_int_equal(charter_rule(arena, &c, "weather", &rule, &e), ERR_INTERNAL);
}

static void a_rule_has_a_bounded_number_of_parts(void **state)
{
	(void)state;
	struct buf b;
	buf_init(&b, MIB);
	buf_add_z(&b, MINIMAL_HEAD ",\"gate\":{\"rule\":\"all_of\",\"of\":[");
	for (int i = 0; i < 3; i++) {
		buf_add_z(&b, i ? ",{\"rule\":\"any_of\",\"of\":[" : "{\"rule\":\"any_of\",\"of\":[");
		for (int j = 0; j < 12; j++)
			buf_add_z(&b, j ? ",{\"rule\":\"majority\"}" : "{\"rule\":\"majority\"}");
		buf_add_z(&b, "]}");
	}
	buf_add_z(&b, "]}}");
	buf_add_byte(&b, '\0');
	assert_fault(b.p, "/gate/of/2/of");
	buf_release(&b);
}

static void rules_read_as_sentences(void **state)
{
	(void)state;
	static const struct { const char *rule, *words; } table[] = {
		{ "{\"rule\":\"majority\",\"roll\":\"members\"}", "more members vote for it than against it" },
		{ "{\"rule\":\"majority\",\"n\":2,\"d\":3,\"roll\":\"admins\"}", "more than two thirds of the votes of admins for and against are for it" },
		{ "{\"rule\":\"majority\",\"n\":2,\"d\":4,\"strict\":false}", "at least half of the votes of members for and against are for it" },
		{ "{\"rule\":\"approval_quorum\",\"n\":1,\"d\":3}", "at least a third of all members vote for it" },
		{ "{\"rule\":\"approval_quorum\",\"n\":5,\"d\":7,\"roll\":\"admins\"}", "at least 5/7 of all admins vote for it" },
		{ "{\"rule\":\"turnout_quorum\",\"n\":1,\"d\":1}", "all members vote" },
		{ "{\"rule\":\"objection_cap\",\"n\":1,\"d\":10}", "at most a tenth of the votes that members cast are against it" },
		{ "{\"rule\":\"n_of_m_admins\",\"n\":2}", "two admins other than the proposer vote for it" },
		{ "{\"rule\":\"n_of_m_admins\",\"n\":1}", "one admin other than the proposer votes for it" },
		{ "{\"rule\":\"all_of\",\"of\":[{\"rule\":\"majority\"},{\"rule\":\"n_of_m_admins\",\"n\":2}]}", "both more members vote for it than against it, and two admins other than the proposer vote for it" },
		{ "{\"rule\":\"any_of\",\"of\":[{\"rule\":\"majority\"},{\"rule\":\"all_of\",\"of\":[{\"rule\":\"n_of_m_admins\",\"n\":1},{\"rule\":\"turnout_quorum\",\"n\":1,\"d\":2}]}]}",
			"either more members vote for it than against it, or (both one admin other than the proposer votes for it, and at least half of all members vote)" },
		{ "{\"rule\":\"all_of\",\"of\":[{\"rule\":\"majority\"}]}", "more members vote for it than against it" },
	};
	for (size_t i = 0; i < CH_LEN(table); i++) {
		struct str words = ballot_rule_words(arena, parse(table[i].rule));
		if (!str_is(words, table[i].words))
			fail_msg("%s\n  reads %.*s\n  not   %s", table[i].rule, STR_ARG(words), table[i].words);
	}
}

/* What a charter's one rule does with an item. */
static policy_reasons ruled(const struct charter *c, const struct policy_item *item)
{
	static uint8_t memory[1 << 20];
	struct policy_area area;
	policy_area_init(&area, memory, sizeof memory);
	struct policy_spec spec;
	policy_spec_init(&spec);
	spec.uses = c->release_uses;
	spec.purposes = c->release_purposes;
	spec.audience = POLICY_AUDIENCE_MEMBERS;
	spec.kinds = POLICY_KINDS_ALL;
	spec.delegation_depth = 1;
	spec.cutoff = spec.instant = CLOCK_DAY;
	spec.rules = c->rules;
	spec.n_rules = c->n_rules;
	spec.nodes = c->nodes;
	spec.n_nodes = c->n_nodes;
	struct policy_fault at[8];
	struct policy_faults faults = { .at = at, .cap = 8 };
	const struct policy_program *program;
	if (policy_compile(&spec, &area.mem, &program, &faults) != POLICY_OK)
		fail_msg("%s %s", policy_fault_where(at[0].code), policy_fault_text(at[0].code));
	struct policy_member member = { .standing = POLICY_STANDING_ACTIVE };
	struct policy_facts facts = { .members = &member, .n_members = 1 };
	struct policy_rows *rows;
	assert_int_equal(policy_rows_build(program, &facts, &area.mem, &rows, NULL), POLICY_OK);
	return policy_decide_one(program, rows, 0, policy_item_pack(item), item->more, 0) & (POLICY_REASON(CHARTER_DENY) | POLICY_REASON(CHARTER_HOLD) | POLICY_REASON(ENGINE_ERROR));
}

static void predicates_decide_as_they_read(void **state)
{
	(void)state;
	struct policy_item german_chat = { .kind = POLICY_KIND_CHAT, .licence = POLICY_LICENCE_CC_BY_4_0, .region = (uint8_t)packed_region(STR("CH")), .created = CLOCK_DAY / 2,
		.more = packed_language(STR("de-CH")) | (uint64_t)packed_application(STR("Open WebUI")) << POLICY_MORE_APPLICATION_SHIFT | (uint64_t)packed_length(1000) << POLICY_MORE_LENGTH_SHIFT };
	struct policy_item english_record = german_chat;
	english_record.kind = POLICY_KIND_RECORD;
	english_record.flags = POLICY_ITEM_PII;
	english_record.more = packed_language(STR("en")) | (uint64_t)packed_length(20) << POLICY_MORE_LENGTH_SHIFT;
	static const struct { const char *when; bool chat, record; } table[] = {
		{ "{\"attribute\":\"language\",\"op\":\"eq\",\"value\":\"de\"}", true, false },
		{ "{\"attribute\":\"language\",\"op\":\"ne\",\"value\":\"de\"}", false, true },
		{ "{\"attribute\":\"language\",\"op\":\"in\",\"value\":[\"fr\",\"de\"]}", true, false },
		{ "{\"attribute\":\"kind\",\"op\":\"in\",\"value\":[\"record\",\"bundle\"]}", false, true },
		{ "{\"attribute\":\"pii\",\"op\":\"eq\",\"value\":true}", false, true },
		{ "{\"attribute\":\"application\",\"op\":\"eq\",\"value\":\"open webui\"}", true, false },
		{ "{\"attribute\":\"length\",\"op\":\"lt\",\"value\":100}", false, true },
		{ "{\"attribute\":\"region\",\"op\":\"eq\",\"value\":\"ch\"}", true, true },
		{ "{\"attribute\":\"licence\",\"op\":\"in\",\"value\":[\"CC0-1.0\"]}", false, false },
		{ "{\"attribute\":\"created\",\"op\":\"ge\",\"value\":\"1970-01-01T12:00:00Z\"}", true, true },
		{ "{\"all\":[{\"attribute\":\"kind\",\"op\":\"eq\",\"value\":\"chat\"},{\"not\":{\"any\":[{\"attribute\":\"pii\",\"op\":\"eq\",\"value\":true},{\"attribute\":\"language\",\"op\":\"in\",\"value\":[\"en\",\"fr\"]}]}}]}", true, false },
	};
	for (size_t i = 0; i < CH_LEN(table); i++) {
		struct str draft = str_fmt(arena, "%s,\"rules\":[{\"name\":\"a\",\"effect\":\"%s\",\"when\":%s}]}", MINIMAL_HEAD, i % 2 ? "hold" : "exclude", table[i].when);
		struct charter c = read_charter(draft.p);
		policy_reasons reason = i % 2 ? POLICY_REASON(CHARTER_HOLD) : POLICY_REASON(CHARTER_DENY);
		if (ruled(&c, &german_chat) != (table[i].chat ? reason : 0) || ruled(&c, &english_record) != (table[i].record ? reason : 0))
			fail_msg("%s", table[i].when);
	}
}

static void predicates_are_nested_to_a_bound(void **state)
{
	(void)state;
	for (int depth = 12; depth <= 16; depth++) {
		struct buf b;
		buf_init(&b, MIB);
		buf_add_z(&b, MINIMAL_HEAD ",\"rules\":[{\"name\":\"deep\",\"when\":");
		for (int i = 0; i < depth; i++)
			buf_add_z(&b, "{\"not\":");
		buf_add_z(&b, "{\"attribute\":\"language\",\"op\":\"in\",\"value\":[\"de\",\"fr\"]}");
		for (int i = 0; i < depth; i++)
			buf_add_z(&b, "}");
		buf_add_z(&b, "}]}");
		buf_add_byte(&b, '\0');
		struct str document;
		struct error e = { 0 };
		enum err err = charter_check(arena, parse(b.p), &document, &e);
		assert_int_equal(err, depth <= 14 ? ERR_OK : ERR_INVALID);
		if (err == ERR_OK) {
			struct charter c = read_charter(b.p);
			struct policy_item item = { .kind = POLICY_KIND_CHAT, .more = packed_language(STR("de")) };
			assert_int_equal(ruled(&c, &item), depth % 2 ? 0 : POLICY_REASON(CHARTER_DENY));
		}
		buf_release(&b);
	}
}

static void the_words_cover_the_charter_in_plain_language(void **state)
{
	(void)state;
	struct charter c = read_charter(WITH("\"sharing\":\"share_by_default\",\"rules\":[{\"name\":\"Nothing about children\",\"when\":{\"attribute\":\"minor\",\"op\":\"eq\",\"value\":true}}]"));
	const struct json *words = charter_words(arena, &c);
	assert_true(json_is(words, JSON_ARRAY) && words->count >= 8);
	struct buf all;
	buf_init(&all, MIB);
	json_each(part, words) {
		assert_true(json_member_text(part, "heading").n > 0);
		json_each(line, json_get(part, "lines")) {
			buf_add_str(&all, json_text(line));
			buf_add_byte(&all, '\n');
		}
	}
	buf_add_byte(&all, '\0');
	static const char *const told[] = { "shares by default", "at least a third of all members vote for it", "Nothing about children", "7 days", "monthly", "an admin decides", "CC-BY-4.0" };
	for (size_t i = 0; i < CH_LEN(told); i++)
		if (!strstr(all.p, told[i]))
			fail_msg("the words do not say \"%s\":\n%s", told[i], all.p);
	assert_null(strstr(all.p, "opt"));
	buf_release(&all);
}

static void packed_numbers_are_stable(void **state)
{
	(void)state;
	assert_int_equal(packed_language(STR("aa")), 1);
	assert_int_equal(packed_language(STR("EN-gb")), packed_language(STR("en")));
	assert_int_equal(packed_language(STR("und")), 0);
	assert_int_equal(packed_language(STR("")), 0);
	assert_int_equal(packed_language(STR("gsw-CH")), PACKED_OTHER);
	assert_int_equal(packed_language(STR("zu")), 183);
	assert_int_equal(packed_region(STR("AD")), 1);
	assert_int_equal(packed_region(STR("zw")), 249);
	assert_int_equal(packed_region(STR("Europe")), 0);
	assert_int_equal(packed_application(STR("")), 0);
	assert_int_equal(packed_application(STR(" Open WebUI ")), packed_application(STR("open webui")));
	assert_int_equal(packed_length(0), 0);
	assert_int_equal(packed_length(1), 1);
	assert_int_equal(packed_length(64), 1);
	assert_int_equal(packed_length(65), 2);
	assert_int_equal(packed_length(UINT64_MAX), 65535);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_default_of_the_design_is_written_out),
		cmocka_unit_test(every_property_says_what_it_means_in_words),
		cmocka_unit_test(the_canonical_document_comes_through_unchanged),
		cmocka_unit_test(the_typed_form_says_what_the_document_says),
		cmocka_unit_test(sharing_by_default_says_yes_only_where_preferences_are_silent),
		cmocka_unit_test(every_contradiction_names_its_field),
		cmocka_unit_test(all_faults_are_told_at_once),
		cmocka_unit_test(rules_compile_to_what_ballots_count),
		cmocka_unit_test(a_rule_has_a_bounded_number_of_parts),
		cmocka_unit_test(rules_read_as_sentences),
		cmocka_unit_test(predicates_decide_as_they_read),
		cmocka_unit_test(predicates_are_nested_to_a_bound),
		cmocka_unit_test(the_words_cover_the_charter_in_plain_language),
		cmocka_unit_test(packed_numbers_are_stable),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
