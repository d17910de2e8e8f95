/* Two charters side by side, and agreements held against them: nothing is looser than either. */
#include "fixture.h"

#include "commonhold/terms.h"
#include "server/merge/agreement/terms_internal.h"

#include <stdio.h>

#define NOW INT64_C(1767258000000000) /* 2026-01-01T09:00:00Z */
#define BASE "{\"name\":\"%s\",\"scope\":{\"domain\":\"language\"},\"release\":{\"uses\":[%s],\"purposes\":[%s]%s}%s}"

static struct arena *arena;
static struct error error;

static int begin(void **state)
{
	(void)state;
	arena = arena_new(64 * MIB);
	error_clear(&error);
	return arena ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

static const struct json *json_of(const char *text)
{
	const struct json *v = NULL;
	if (json_parse(arena, str_copy(arena, str_of(text)), &v, &error) != ERR_OK)
		fail_msg("%s: %s", text, error.message);
	return v;
}

static struct charter charter_of(const char *name, const char *uses, const char *purposes, const char *release, const char *more)
{
	struct charter c;
	struct str document, draft = str_fmt(arena, BASE, name, uses, purposes, release, more);
	if (charter_check(arena, json_of(draft.p), &document, &error) != ERR_OK || charter_parse(arena, document, &c, &error) != ERR_OK)
		fail_msg("%s: %s", error.message, error.faults ? str_z(arena, error.faults->message) : "");
	c.version = 1;
	return c;
}

static struct charter usual(const char *name)
{
	return charter_of(name, "\"train.gen\",\"eval\"", "\"research\"", "", "");
}

static const struct terms_line *line_at(const struct terms_diff *d, const char *pointer)
{
	for (size_t i = 0; i < d->n; i++)
		if (strcmp(d->lines[i].pointer, pointer) == 0)
			return &d->lines[i];
	fail_msg("there is no line %s", pointer);
	return NULL;
}

static struct terms_diff diff_of(const struct charter *a, const struct charter *b)
{
	struct terms_diff d;
	if (terms_diff(arena, a, b, &d, &error) != ERR_OK)
		fail_msg("%s", error.message);
	return d;
}

/* ---- The diff ---- */

static void equal_charters_differ_in_nothing_but_their_names(void **state)
{
	(void)state;
	struct charter a = usual("A"), b = usual("B");
	struct terms_diff d = diff_of(&a, &b);
	assert_true(d.possible);
	assert_true(d.joint);
	assert_int_equal(d.differ, 1);
	assert_int_equal(line_at(&d, "/name")->verdict, TERMS_OWN);
	struct charter_field f;
	size_t fields = 0;
	while (charter_field(fields, &f))
		fields++;
	assert_int_equal(d.n, fields);
}

static void the_stricter_of_both_is_taken(void **state)
{
	(void)state;
	struct charter a = charter_of("A", "\"train.gen\",\"eval\",\"search\"", "\"research\",\"education\"", ",\"k_contributors\":5,\"audience\":\"public\"",
		",\"embargo\":\"P3D\",\"retention\":{\"raw\":\"P2Y\"},\"access\":{\"mode\":\"public\"},\"attribution\":\"public\"");
	struct charter b = charter_of("B", "\"train.gen\",\"aggregate\"", "\"scientific\"", ",\"k_contributors\":3,\"audience\":\"gated_auto\"",
		",\"embargo\":\"P1D\",\"retention\":{\"raw\":\"P0D\"},\"access\":{\"mode\":\"gated_manual\"},\"moderation\":{\"mode\":\"hold\"}");
	struct terms_diff d = diff_of(&a, &b);
	assert_true(d.possible);
	assert_int_equal(d.common.uses, POLICY_BIT(POLICY_USE_TRAIN_GEN));
	assert_int_equal(d.common.purposes, POLICY_BIT(POLICY_PURPOSE_SCIENTIFIC));
	assert_int_equal(d.common.k, 5);
	assert_int_equal(d.common.embargo, 3 * CLOCK_DAY);
	assert_int_equal(d.common.retention, span_of((struct duration){ .years = 2 }));
	assert_int_equal(d.common.access, POLICY_AUDIENCE_GATED_MANUAL);
	assert_int_equal(d.common.attribution, 1);
	assert_true(d.common.moderation_both);
	assert_int_equal(line_at(&d, "/release/uses")->verdict, TERMS_STRICTER);
	assert_str(line_at(&d, "/release/uses")->taken, "training generative models");
	assert_int_equal(line_at(&d, "/release/k_contributors")->verdict, TERMS_STRICTER);
	assert_str(line_at(&d, "/release/k_contributors")->taken, "5");
	assert_int_equal(line_at(&d, "/retention/raw")->verdict, TERMS_STRICTER);
	assert_true(str_eq(line_at(&d, "/retention/raw")->taken, line_at(&d, "/retention/raw")->ours));
	assert_int_equal(line_at(&d, "/cadence/rrule")->verdict, TERMS_SAME);
}

static void the_diff_is_the_same_from_either_side(void **state)
{
	(void)state;
	struct charter a = charter_of("A", "\"train.gen\",\"eval\"", "\"research\",\"education\"", ",\"k_contributors\":5", ",\"embargo\":\"P3D\"");
	struct charter b = charter_of("B", "\"eval\",\"mine\"", "\"academic\"", "", ",\"ai_preferences\":{\"search\":{\"effect\":\"deny\"}}");
	struct terms_diff one = diff_of(&a, &b), other = diff_of(&b, &a);
	assert_memory_equal(&one.common.uses, &other.common.uses, sizeof one.common.uses);
	assert_int_equal(one.common.purposes, other.common.purposes);
	assert_int_equal(one.common.licences, other.common.licences);
	assert_int_equal(one.common.floor, other.common.floor);
	assert_int_equal(one.stricter, other.stricter);
	assert_int_equal(one.blocks, other.blocks);
	for (size_t i = 0; i < one.n; i++) {
		assert_int_equal(one.lines[i].verdict, other.lines[i].verdict);
		assert_true(str_eq(one.lines[i].ours, other.lines[i].theirs));
	}
}

static void charters_with_nothing_in_common_block(void **state)
{
	(void)state;
	static const struct { const char *uses, *purposes, *more, *pointer; } cases[] = {
		{ "\"search\"", "\"research\"", "", "/release/uses" },
		{ "\"train.gen\"", "\"education\"", "", "/release/purposes" },
		{ "\"train.gen\"", "\"research\"", ",\"licence\":{\"default\":\"CC-BY-SA-4.0\",\"allowed\":[\"CC-BY-SA-4.0\"]}", "/licence/allowed" },
		{ "\"train.gen\"", "\"research\"", ",\"kinds\":[\"record\"]", "/kinds" },
	};
	struct charter a = charter_of("A", "\"train.gen\",\"eval\"", "\"research\"", "", ",\"licence\":{\"default\":\"CC0-1.0\",\"allowed\":[\"CC0-1.0\"]},\"kinds\":[\"chat\"]");
	for (size_t i = 0; i < CH_LEN(cases); i++) {
		struct str more = str_fmt(arena, "%s%s%s", cases[i].more, strstr(cases[i].more, "licence") ? "" : ",\"licence\":{\"default\":\"CC0-1.0\",\"allowed\":[\"CC0-1.0\"]}",
			strstr(cases[i].more, "kinds") ? "" : ",\"kinds\":[\"chat\"]");
		struct charter b = charter_of("B", cases[i].uses, cases[i].purposes, "", more.p);
		struct terms_diff d = diff_of(&a, &b);
		assert_false(d.possible);
		assert_int_equal(d.blocks, 1);
		assert_int_equal(line_at(&d, cases[i].pointer)->verdict, TERMS_BLOCKS);
		assert_null(line_at(&d, cases[i].pointer)->taken.p);
	}
}

static void a_no_of_either_stands_for_the_silent_of_both(void **state)
{
	(void)state;
	struct charter a = usual("A"), b = charter_of("B", "\"train.gen\",\"eval\"", "\"research\"", "", ",\"sharing\":\"share_by_default\",\"ai_preferences\":{\"search\":{\"effect\":\"deny\"},\"eval\":{\"effect\":\"allow\"}}");
	struct terms_diff d = diff_of(&a, &b);
	assert_int_equal(d.common.floor, POLICY_BIT(POLICY_USE_SEARCH));
	assert_int_equal(line_at(&d, "/ai_preferences/search")->verdict, TERMS_STRICTER);
	assert_int_equal(line_at(&d, "/ai_preferences/eval")->verdict, TERMS_OWN);
}

/* ---- Documents ---- */

static struct str draft_of(const struct charter *a, const struct charter *b, const char *draft, enum err wanted)
{
	struct agreement_party parties[2] = { { STR("bbbbbbbbbbbbbbbb"), STR("https://b.example"), a }, { STR("aaaaaaaaaaaaaaaa"), STR("https://a.example"), b } };
	struct str document = STR_NONE;
	error_clear(&error);
	enum err e = agreement_terms_check(arena, json_of(draft), parties, (struct uuid){ { 1 } }, 1, NULL, NOW, &document, &error);
	if (e != wanted)
		fail_msg("%s: %s %s", draft, error.message, error.faults ? str_z(arena, error.faults->pointer) : "");
	return document;
}

static struct agreement_terms terms_of(struct str document)
{
	struct agreement_terms t;
	error_clear(&error);
	if (agreement_terms_parse(arena, document, &t, &error) != ERR_OK)
		fail_msg("%s %s", error.message, error.faults ? str_z(arena, error.faults->pointer) : "");
	return t;
}

static void an_empty_draft_takes_the_widest_that_both_allow(void **state)
{
	(void)state;
	struct charter a = charter_of("A", "\"train.gen\",\"eval\"", "\"research\"", ",\"k_contributors\":5", ",\"embargo\":\"P3D\"");
	struct charter b = usual("B");
	struct agreement_terms t = terms_of(draft_of(&a, &b, "{}", ERR_OK));
	assert_str(t.parties[0], "aaaaaaaaaaaaaaaa");
	assert_str(t.parties[1], "bbbbbbbbbbbbbbbb");
	assert_str(t.names[0], "B");
	assert_str(t.urls[1], "https://b.example");
	assert_true(sha256_eq(t.charters[0], b.digest));
	assert_true(sha256_eq(t.charters[1], a.digest));
	assert_true(t.flow[0] && t.flow[1]);
	assert_int_equal(t.uses, POLICY_BIT(POLICY_USE_TRAIN_GEN) | POLICY_BIT(POLICY_USE_EVAL));
	assert_int_equal(t.k, 5);
	assert_int_equal(t.embargo, 3 * CLOCK_DAY);
	assert_int_equal(t.near_loss, 20);
	assert_int_equal(t.ending, AGREEMENT_ERASE);
	assert_false(t.onward);
	assert_null(t.joint.p);
	assert_int_equal(t.ends, duration_add(NOW, (struct duration){ .years = 1 }, 1));
	for (int i = 0; i < 2; i++)
		assert_int_equal(agreement_terms_fit(arena, &t, i ? &a : &b, &error), ERR_OK);
}

static void the_digest_is_that_of_the_canonical_bytes(void **state)
{
	(void)state;
	struct charter a = usual("A"), b = usual("B");
	struct str document = draft_of(&a, &b, "{\"k\":2}", ERR_OK), again = draft_of(&a, &b, "{\"k\":2}", ERR_OK);
	assert_true(str_eq(document, again));
	struct agreement_terms t = terms_of(document);
	assert_true(sha256_eq(t.digest, sha256(document)));
	struct str spaced = str_fmt(arena, " %.*s", STR_ARG(document));
	error_clear(&error);
	assert_int_equal(agreement_terms_parse(arena, spaced, &t, &error), ERR_INVALID);
}

static void the_drafter_says_who_sends_and_who_makes_joint_releases(void **state)
{
	(void)state;
	struct charter a = usual("A"), b = usual("B");
	struct agreement_terms t = terms_of(draft_of(&a, &b, "{\"flow\":\"send\"}", ERR_OK));
	assert_false(t.flow[0]);
	assert_true(t.flow[1]);
	t = terms_of(draft_of(&a, &b, "{\"flow\":\"receive\"}", ERR_OK));
	assert_true(t.flow[0]);
	assert_false(t.flow[1]);
	assert_str(terms_of(draft_of(&a, &b, "{\"joint\":\"them\"}", ERR_OK)).joint, "aaaaaaaaaaaaaaaa");
	assert_str(terms_of(draft_of(&a, &b, "{\"flow\":\"both\",\"joint\":\"us\"}", ERR_OK)).joint, "bbbbbbbbbbbbbbbb");
}

/* Who receives nothing has not what the other has, and could never come to the same set. */
static void joint_releases_need_both_to_send_and_to_receive(void **state)
{
	static const char *const drafts[] = { "{\"flow\":\"send\",\"joint\":\"us\"}", "{\"flow\":\"receive\",\"joint\":\"us\"}", "{\"flow\":\"send\",\"joint\":\"them\"}", "{\"flow\":\"receive\",\"joint\":\"them\"}" };
	(void)state;
	struct charter a = usual("A"), b = usual("B");
	for (size_t i = 0; i < CH_LEN(drafts); i++) {
		draft_of(&a, &b, drafts[i], ERR_INVALID);
		assert_str(error.faults->pointer, "/joint");
	}
}

static void nothing_is_looser_than_either_charter(void **state)
{
	(void)state;
	static const struct { const char *draft, *pointer; } cases[] = {
		{ "{\"uses\":[\"search\"]}", "/uses" }, { "{\"purposes\":[\"commercial\"]}", "/purposes" }, { "{\"kinds\":[\"signal\"]}", "/kinds" },
		{ "{\"licences\":[\"CC-BY-NC-4.0\"]}", "/licences" }, { "{\"audience\":\"public\"}", "/audience" }, { "{\"access\":\"public\"}", "/access" }, { "{\"k\":4}", "/k" },
		{ "{\"embargo\":\"P1D\"}", "/embargo" }, { "{\"retention\":\"P2Y\"}", "/retention" }, { "{\"retention\":\"P0D\"}", "/retention" },
		{ "{\"attribution\":\"public\"}", "/attribution" }, { "{\"moderation\":\"home\"}", "/moderation" }, { "{\"floor\":[]}", "/floor" },
		{ "{\"licence_mode\":\"collection\"}", "/licence_mode" },
	};
	struct charter a = charter_of("A", "\"train.gen\",\"eval\"", "\"research\"", ",\"k_contributors\":5,\"mode\":\"adaptation\",\"output_licences\":[\"CC-BY-SA-4.0\"]",
		",\"embargo\":\"P3D\",\"kinds\":[\"chat\",\"example\"],\"moderation\":{\"mode\":\"hold\"},\"ai_preferences\":{\"search\":{\"effect\":\"deny\"}}");
	struct charter b = charter_of("B", "\"train.gen\",\"eval\"", "\"research\"", "", "");
	for (size_t i = 0; i < CH_LEN(cases); i++) {
		draft_of(&a, &b, cases[i].draft, ERR_INVALID);
		assert_str(error.faults->pointer, cases[i].pointer);
		draft_of(&b, &a, cases[i].draft, ERR_INVALID); /* whoever drafts it */
		assert_str(error.faults->pointer, cases[i].pointer);
	}
	draft_of(&a, &b, "{}", ERR_OK);
}

static void a_draft_does_not_contradict_itself(void **state)
{
	(void)state;
	static const struct { const char *draft, *pointer; } cases[] = {
		{ "{\"uses\":[\"eval\"],\"floor\":[\"eval\"]}", "/floor" }, { "{\"ends\":\"2027-01-02T09:00:00Z\"}", "/ends" }, { "{\"starts\":\"2026-06-01T00:00:00Z\",\"ends\":\"2026-05-01T00:00:00Z\"}", "/ends" },
		{ "{\"cadence\":\"PT1M\"}", "/cadence" }, { "{\"cadence\":\"P30D\",\"freshness\":\"P7D\"}", "/freshness" }, { "{\"notice\":\"P1Y\"}", "/notice" },
		{ "{\"ends\":\"2025-12-01T00:00:00Z\",\"starts\":\"2025-11-01T00:00:00Z\"}", "/ends" }, { "{\"nonsense\":1}", "/nonsense" }, { "{\"uses\":[]}", "/uses" },
		{ "{\"licences\":[\"No-Such-1.0\"]}", "/licences/0" }, { "{\"near_loss\":101}", "/near_loss" },
		{ "{\"schemas\":{\"version\":1,\"maps\":[{\"from\":\"a\",\"to\":\"b\",\"home\":\"cccccccccccccccc\",\"fields\":{\"x\":\"y\"}}]}}", "/schemas" },
	};
	struct charter a = usual("A"), b = usual("B");
	for (size_t i = 0; i < CH_LEN(cases); i++) {
		draft_of(&a, &b, cases[i].draft, ERR_INVALID);
		assert_str(error.faults->pointer, cases[i].pointer);
	}
}

static void blocked_charters_make_no_agreement(void **state)
{
	(void)state;
	struct charter a = usual("A"), b = charter_of("B", "\"search\"", "\"research\"", "", "");
	draft_of(&a, &b, "{}", ERR_REFUSED);
	assert_string_equal(error.reason, "charters_blocked");
}

/* Replaces the first occurrence; the text must have it. */
static struct str with(struct str text, const char *from, const char *to)
{
	const char *at = memmem(text.p, text.n, from, strlen(from));
	if (!at)
		fail_msg("%s is not in it", from);
	size_t head = (size_t)(at - text.p);
	return str_fmt(arena, "%.*s%s%.*s", (int)head, text.p, to, (int)(text.n - head - strlen(from)), at + strlen(from));
}

static void a_document_that_was_tampered_with_is_not_read(void **state)
{
	(void)state;
	static const struct { const char *from, *to; } cases[] = {
		{ "\"flow\":[\"aaaaaaaaaaaaaaaa\",\"bbbbbbbbbbbbbbbb\"]", "\"flow\":[\"aaaaaaaaaaaaaaaa\",\"cccccccccccccccc\"]" },
		{ "\"joint\":null", "\"joint\":\"cccccccccccccccc\"" }, { "\"coop\":\"bbbbbbbbbbbbbbbb\"", "\"coop\":\"aaaaaaaaaaaaaaaa\"" }, { "\"replaces\":null,", "" },
		{ "\"revision\":1", "\"revision\":2" }, { "\"revision\":1", "\"revision\":0" }, { "\"v\":1}", "\"v\":2}" }, { "\"k\":1", "\"k\":1.0" }, { "\"floor\":[]", "\"floor\":[\"eval\"]" },
		{ "\"ends\":\"2027", "\"ends\":\"2028" }, { "\"v\":1}", "\"v\":1,\"w\":1}" }, { "{\"access\"", "{\"access\" " },
	};
	struct charter a = usual("A"), b = usual("B");
	struct agreement_terms t;
	struct str document = draft_of(&a, &b, "{}", ERR_OK);
	for (size_t i = 0; i < CH_LEN(cases); i++) {
		struct str bad = with(document, cases[i].from, cases[i].to);
		error_clear(&error);
		if (agreement_terms_parse(arena, bad, &t, &error) == ERR_OK)
			fail_msg("%s was read", cases[i].to);
	}
}

static void words_say_what_matters_and_nothing_is_left_out_for_people(void **state)
{
	(void)state;
	struct charter a = charter_of("Alpha", "\"train.gen\"", "\"research\"", ",\"k_contributors\":5", ",\"embargo\":\"P3D\""), b = usual("Beta");
	struct agreement_terms t = terms_of(draft_of(&a, &b, "{\"flow\":\"send\",\"onward\":true,\"ending\":\"keep\",\"cadence\":\"P1D\"}", ERR_OK));
	struct agreement_words *lines;
	size_t n, found = 0;
	assert_int_equal(agreement_terms_words(arena, &t, 1, &lines, &n), ERR_OK);
	for (size_t i = 0; i < n; i++) {
		found += strcmp(lines[i].heading, "Direction") == 0 && memmem(lines[i].text.p, lines[i].text.n, "Alpha sends to Beta", 19) != NULL;
		found += strcmp(lines[i].heading, "How often") == 0 && str_starts(lines[i].text, "Every day.");
		found += strcmp(lines[i].heading, "Wait") == 0 && memmem(lines[i].text.p, lines[i].text.n, "3 days", 6) != NULL;
		found += strcmp(lines[i].heading, "Fewest people") == 0 && memmem(lines[i].text.p, lines[i].text.n, "5 people", 8) != NULL;
		found += strcmp(lines[i].heading, "At the end") == 0 && memmem(lines[i].text.p, lines[i].text.n, "keeps", 5) != NULL;
		found += strcmp(lines[i].heading, "Passing on") == 0 && memmem(lines[i].text.p, lines[i].text.n, "may be passed on", 16) != NULL && memmem(lines[i].text.p, lines[i].text.n, "by the receiver’s word", 24) != NULL;
	}
	assert_int_equal(found, 6);
}

#define test(function) cmocka_unit_test_setup_teardown(function, begin, end)
int main(void)
{
	const struct CMUnitTest tests[] = {
		test(equal_charters_differ_in_nothing_but_their_names), test(the_stricter_of_both_is_taken), test(the_diff_is_the_same_from_either_side),
		test(charters_with_nothing_in_common_block), test(a_no_of_either_stands_for_the_silent_of_both), test(an_empty_draft_takes_the_widest_that_both_allow),
		test(the_digest_is_that_of_the_canonical_bytes), test(the_drafter_says_who_sends_and_who_makes_joint_releases), test(joint_releases_need_both_to_send_and_to_receive), test(nothing_is_looser_than_either_charter),
		test(a_draft_does_not_contradict_itself), test(blocked_charters_make_no_agreement), test(a_document_that_was_tampered_with_is_not_read),
		test(words_say_what_matters_and_nothing_is_left_out_for_people),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
