/* Preference strings: the public cases for RFC 9651, the AIPREF drafts' own examples, translation that only denies, robots. */
#include <jansson.h>

#include "tests/unit/policy_kit.h"

#define U(use) POLICY_BIT(POLICY_USE_##use)

static struct policy_pref pref;

static void read_as(unsigned dialect, const char *text)
{
	policy_pref_read(dialect, text, strlen(text), &pref);
}

static void expect(unsigned dialect, const char *text, unsigned allow, unsigned deny)
{
	read_as(dialect, text);
	if (pref.allow != allow || pref.deny != deny)
		fail_msg("%s: allow %x deny %x, expected %x %x", text, pref.allow, pref.deny, allow, deny);
}

/* ---- RFC 9651, cases of the HTTP working group ----------------------------------------------------------------------- */

struct found {
	json_t *expected; /* [[key, [value, params]], ...] of the case */
	json_t *members;  /* what was parsed, by key: the last one */
};

static void collect(void *ctx, const struct policy_sf_member *m)
{
	struct found *f = ctx;
	json_t *entry = json_pack("{s:s%, s:i, s:s%, s:i}", "value", m->value.len ? m->value.at : "", m->value.len, "type", m->type,
	                          "params", m->params.len ? m->params.at : "", m->params.len, "n", (int)m->value.len);
	json_object_setn_new(f->members, m->key.at, m->key.len, entry ? entry : json_null());
}

/* Whether a parsed bare item is the expected one, for the types that can be compared as written. */
static bool same_value(json_t *expected, json_t *entry)
{
	const char *text = json_string_value(json_object_get(entry, "value"));
	int type = (int)json_integer_value(json_object_get(entry, "type"));
	if (json_is_boolean(expected)) /* a bare key is true */
		return type == POLICY_SF_BOOLEAN && (*text == '\0' || strcmp(text, "?1") == 0) == json_is_true(expected);
	if (json_is_integer(expected))
		return type == POLICY_SF_INTEGER && strtoll(text, NULL, 10) == json_integer_value(expected);
	if (json_is_real(expected))
		return type == POLICY_SF_DECIMAL && strtod(text, NULL) == json_real_value(expected);
	if (json_is_object(expected)) {
		const char *kind = json_string_value(json_object_get(expected, "__type"));
		json_t *value = json_object_get(expected, "value");
		if (strcmp(kind, "token") == 0)
			return type == POLICY_SF_TOKEN && strcmp(text, json_string_value(value)) == 0;
		return type == POLICY_SF_BYTES || type == POLICY_SF_DATE || type == POLICY_SF_DISPLAY;
	}
	if (json_is_array(expected))
		return type == POLICY_SF_LIST;
	return type == POLICY_SF_STRING;
}

static void check_case(json_t *c, const char *file)
{
	json_t *raw = json_object_get(c, "raw");
	static char joined[200000];
	size_t len = 0;
	for (size_t i = 0; i < json_array_size(raw); i++) {
		json_t *line = json_array_get(raw, i);
		assert_true(len + json_string_length(line) + 1 < sizeof joined);
		if (i)
			joined[len++] = ',';
		memcpy(joined + len, json_string_value(line), json_string_length(line));
		len += json_string_length(line);
	}
	struct found f = {NULL, json_object()};
	bool parsed = policy_sf_dictionary(joined, len, collect, &f);
	const char *name = json_string_value(json_object_get(c, "name"));
	if (json_is_true(json_object_get(c, "must_fail"))) {
		if (parsed)
			fail_msg("%s: %s: must fail", file, name);
	} else if (!json_is_true(json_object_get(c, "can_fail")) || parsed) {
		json_t *expected = json_object_get(c, "expected");
		if (!parsed || json_object_size(f.members) != json_array_size(expected))
			fail_msg("%s: %s: parsed %d, %zu members", file, name, parsed, json_object_size(f.members));
		for (size_t i = 0; i < json_array_size(expected); i++) {
			json_t *pair = json_array_get(expected, i);
			json_t *entry = json_object_get(f.members, json_string_value(json_array_get(pair, 0)));
			if (!entry || !same_value(json_array_get(json_array_get(pair, 1), 0), entry))
				fail_msg("%s: %s: member %s", file, name, json_string_value(json_array_get(pair, 0)));
		}
	}
	json_decref(f.members);
}

static void the_public_dictionary_cases_hold(void **state)
{
	(void)state;
	static const char *const files[] = {"dictionary", "param-dict", "key-generated", "token", "token-generated", "large-generated"};
	const char *data = getenv("COMMONHOLD_SHARED_DATA");
	size_t cases = 0;
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		char path[1024];
		snprintf(path, sizeof path, "%s/vectors/structured-fields/%s.json", data ? data : "../shared/data", files[i]);
		json_error_t error;
		json_t *all = json_load_file(path, JSON_ALLOW_NUL, &error);
		if (!all)
			skip();
		for (size_t c = 0; c < json_array_size(all); c++) {
			json_t *one = json_array_get(all, c);
			if (strcmp(json_string_value(json_object_get(one, "header_type")), "dictionary") != 0)
				continue;
			check_case(one, files[i]);
			cases++;
		}
		json_decref(all);
	}
	print_message("%zu public dictionary cases\n", cases);
	assert_true(cases > 100);
}

static void count_member(void *ctx, const struct policy_sf_member *m)
{
	(void)m;
	++*(size_t *)ctx;
}

static void every_type_is_read_to_the_letter(void **state)
{
	(void)state;
	static const char *const good[] = {"", " ", "a", "a=1", "a=-1.5", "a=\"x\\\"\\\\\"", "a=:aGk=:", "a=:aGk:", "a=?0", "a=@-12", "a=%\"caf%c3%a9\"",
	                                   "a=(1 2);x", "a=()", "a=(  \"q\";z  t )", "a;b;c=1, d", "a=1,\tb=2", "*a=*t/x:y", "a=%\"%f0%9f%98%80\"",
	                                   "a=%\"%ed%9f%bf\"", "a=%\"%e0%a0%80\"", "a=%\"%f4%8f%bf%bf\"", "a=999999999999999", "a=123456789012.123"};
	static const char *const bad[] = {"a=", "a,", "A=1", "a=1.", "a=1.2345", "a=1234567890123456", "a=1234567890123.1", "a=\"x", "a=\"\\x\"",
	                                  "a=\"\x7f\"", "a=:a=b:", "a=:!:", "a=:abcde:", "a=:ab", "a=:a===:", "a=?2", "a=@1.5", "a=@", "a=%x", "a=%\"%C3%A9\"", "a=%\"%c3\"",
	                                  "a=%\"%ff\"", "a=%\"%c", "a=%\"%ed%a0%80\"", "a=%\"%e0%80%80\"", "a=%\"%c0%80\"", "a=%\"\n\"", "a=(1", "a=(1\"x\")", "a=(1;)", "a=1 b=2", "a=1;", "a=1;=2",
	                                  "a=-", "a=~", "=1", "a=1,,b", "\ta=1", "a=%\"x", "a=(~)", "a=1;b=", "a=%\"%f0%80%80%80\"", "a=%\"%f4%90%80%80\""};
	size_t n = 0;
	for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
		if (!policy_sf_dictionary(good[i], strlen(good[i]), count_member, &n))
			fail_msg("%s does not parse", good[i]);
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		if (policy_sf_dictionary(bad[i], strlen(bad[i]), count_member, &n))
			fail_msg("%s parses", bad[i]);
	assert_true(policy_sf_dictionary("a=\"\0\"", 0, count_member, &n));
	assert_false(policy_sf_dictionary("a=\"\0\"", 5, count_member, &n));
	assert_false(policy_sf_params(";a b", 4, NULL, NULL));
}

/* ---- AIPREF ------------------------------------------------------------------------------------------------------------ */

static void the_drafts_examples_hold(void **state)
{
	(void)state;
	expect(POLICY_DIALECT_AIPREF_07, "train-ai=y, search=n", U(TRAIN_GEN), U(SEARCH));
	expect(POLICY_DIALECT_AIPREF_07, "train-ai=y, train-ai, search=n, search=\"n\"", 0, 0);
	assert_true(pref.parsed);
	expect(POLICY_DIALECT_AIPREF_07, "train-ai;allow=n, train-ai=y", U(TRAIN_GEN), 0);
	expect(POLICY_DIALECT_AIPREF_07, "train-ai=n;unknown=1, other=(1 2), search=?0", 0, U(TRAIN_GEN));
	expect(POLICY_DIALECT_AIPREF_07, "train-ai=N, search=Y", 0, 0);
	expect(POLICY_DIALECT_AIPREF_07, "train-ai=n, search=", 0, 0);
	assert_false(pref.parsed);
	expect(POLICY_DIALECT_AIPREF_07, "", 0, 0);
	assert_true(pref.parsed);
}

static void a_label_means_what_its_revision_says(void **state)
{
	(void)state;
	expect(POLICY_DIALECT_AIPREF_02, "all=n", 0, U(MINE) | U(TRAIN_GEN) | U(TRAIN_OTHER) | U(INFER_SYSTEM) | U(INFER_USER) | U(SEARCH));
	expect(POLICY_DIALECT_AIPREF_02, "all=n, search=y", U(SEARCH), U(MINE) | U(TRAIN_GEN) | U(TRAIN_OTHER) | U(INFER_SYSTEM) | U(INFER_USER));
	expect(POLICY_DIALECT_AIPREF_02, "train-ai=n, train-genai=y", U(TRAIN_GEN), U(TRAIN_OTHER));
	expect(POLICY_DIALECT_AIPREF_03, "train-ai=n", 0, U(TRAIN_GEN) | U(TRAIN_OTHER));
	expect(POLICY_DIALECT_AIPREF_03, "ai-use=n", 0, 0);
	expect(POLICY_DIALECT_AIPREF_04, "ai-output=n", 0, U(INFER_SYSTEM) | U(INFER_USER) | U(SEARCH));
	expect(POLICY_DIALECT_AIPREF_05, "train-ai=n, bots=n", 0, U(TRAIN_GEN) | U(TRAIN_OTHER));
	expect(POLICY_DIALECT_AIPREF_06, "train-ai=n, train-genai=n", 0, U(TRAIN_GEN));
	expect(99, "train-ai=n", 0, 0);
}

static void cc_signals_are_conditions_within_and_denials_without(void **state)
{
	(void)state;
	expect(POLICY_DIALECT_CC_SIGNALS_01, "train-genai=n;exceptions=cc-cr", 0, U(TRAIN_GEN));
	assert_int_equal(pref.allow_if, U(TRAIN_GEN));
	assert_int_equal(pref.duties, POLICY_BIT(POLICY_DUTY_CREDIT));
	read_as(POLICY_DIALECT_CC_SIGNALS_01, "train-ai=n;exceptions=\"cc-dc cc-op\"");
	assert_int_equal(pref.allow_if, U(TRAIN_OTHER) | U(TRAIN_GEN));
	assert_int_equal(pref.duties, POLICY_BIT(POLICY_DUTY_CONTRIBUTE_DIRECT) | POLICY_BIT(POLICY_DUTY_OPEN));
	read_as(POLICY_DIALECT_CC_SIGNALS_01, "train-ai=n;exceptions=cc-xx");
	assert_int_equal(pref.allow_if, 0);
	read_as(POLICY_DIALECT_CC_SIGNALS_01, "train-ai=n;exceptions=5");
	assert_int_equal(pref.allow_if, 0);
	read_as(POLICY_DIALECT_AIPREF_03, "train-ai=n;exceptions=cc-cr");
	assert_int_equal(pref.allow_if, 0);
}

static void rsl_prohibitions_beat_permissions(void **state)
{
	(void)state;
	expect(POLICY_DIALECT_RSL_10,
	       "<rsl xmlns=\"https://rslstandard.org/rsl\"><content url=\"/\"><license><permits type=\"usage\">ai-input search</permits>"
	       "<prohibits type=\"usage\">ai-train</prohibits></license></content></rsl>",
	       U(INFER_SYSTEM) | U(INFER_USER) | U(SEARCH), U(TRAIN_GEN) | U(TRAIN_OTHER));
	expect(POLICY_DIALECT_RSL_10, "<rsl><permits type='usage'>all</permits><prohibits type='usage'>ai-all</prohibits></rsl>",
	       U(SEARCH) | U(MINE), POLICY_USES_MINED);
	expect(POLICY_DIALECT_RSL_10, "<r:rsl><!-- <prohibits type=\"usage\">all</prohibits> --><r:prohibits type=\"user\">all</r:prohibits></r:rsl>", 0, 0);
	assert_true(pref.parsed);
	expect(POLICY_DIALECT_RSL_10, "<html><prohibits type=\"usage\">all</prohibits></html>", 0, 0);
	assert_false(pref.parsed);
	expect(POLICY_DIALECT_RSL_10, "<rsl><prohibits type=\"usage\">ai-index", 0, 0);
	expect(POLICY_DIALECT_RSL_10, "<rsl><prohibits type=\"usage\"/><!--", 0, 0);
	expect(POLICY_DIALECT_RSL_10, "<rsl", 0, 0);
}

static void tdmrep_reserves_mining(void **state)
{
	(void)state;
	const unsigned mined = U(MINE) | POLICY_USES_MINED;
	expect(POLICY_DIALECT_TDMREP, "1", 0, mined);
	expect(POLICY_DIALECT_TDMREP, " 0\r\n", U(MINE), 0);
	expect(POLICY_DIALECT_TDMREP, "tdm-reservation: 1", 0, mined);
	expect(POLICY_DIALECT_TDMREP, "<meta name=\"tdm-reservation\" content=\"1\">", 0, mined);
	expect(POLICY_DIALECT_TDMREP, "[{\"location\": \"/a\", \"tdm-reservation\": 0}, {\"location\": \"/\", \"tdm-reservation\": 1}]", 0, mined);
	expect(POLICY_DIALECT_TDMREP, "tdm-reservation: 12", 0, 0);
	expect(POLICY_DIALECT_TDMREP, "1 x", 0, 0);
	expect(POLICY_DIALECT_TDMREP, "2", 0, 0);
	expect(POLICY_DIALECT_TDMREP, "tdm-reservation", 0, 0);
}

static void translation_denies_or_says_nothing(void **state)
{
	(void)state;
	struct policy_statement s = {.id = 77};
	read_as(POLICY_DIALECT_AIPREF_07, "train-ai=y, search=y");
	assert_false(policy_pref_statement(&pref, 3, POLICY_NO_ITEM, T0, &s));
	assert_int_equal(s.id, 77);
	read_as(POLICY_DIALECT_AIPREF_07, "train-ai=n, search=y");
	assert_true(policy_pref_statement(&pref, 3, 9, T0, &s));
	assert_int_equal(s.effect, POLICY_EFFECT_DENY);
	assert_int_equal(s.uses, U(TRAIN_GEN));
	assert_int_equal(s.layer, POLICY_LAYER_ITEM);
	assert_int_equal(s.flags, POLICY_STATEMENT_EXTERNAL);
	assert_int_equal(s.verbatim.len, 20);
	assert_true(policy_pref_statement(&pref, 3, POLICY_NO_ITEM, T0, &s));
	assert_int_equal(s.layer, POLICY_LAYER_SUBJECT);
	read_as(POLICY_DIALECT_AIPREF_07, "train-ai=n, search=");
	assert_false(policy_pref_statement(&pref, 3, POLICY_NO_ITEM, T0, &s));
}

static void any_no_wins_when_combining(void **state)
{
	(void)state;
	struct policy_pref a, b;
	policy_pref_read(POLICY_DIALECT_AIPREF_07, "train-ai=y", 10, &a);
	policy_pref_read(POLICY_DIALECT_AIPREF_07, "train-ai=n, search=y", 20, &b);
	policy_pref_combine(&a, &b);
	assert_int_equal(a.deny, U(TRAIN_GEN));
	assert_int_equal(a.allow, U(SEARCH));
	policy_pref_read(POLICY_DIALECT_CC_SIGNALS_01, "train-genai=n;exceptions=cc-cr", 30, &b);
	policy_pref_combine(&b, &a);
	assert_int_equal(b.allow_if, 0);
	policy_pref_read(POLICY_DIALECT_CC_SIGNALS_01, "train-genai=n;exceptions=cc-cr", 30, &b);
	policy_pref_read(POLICY_DIALECT_CC_SIGNALS_01, "train-genai=n;exceptions=cc-op", 30, &a);
	policy_pref_combine(&a, &b);
	assert_int_equal(a.allow_if, U(TRAIN_GEN));
	assert_int_equal(a.duties, POLICY_BIT(POLICY_DUTY_CREDIT) | POLICY_BIT(POLICY_DUTY_OPEN));
}

/* ---- Writing --------------------------------------------------------------------------------------------------------------- */

static void written(unsigned dialect, const uint8_t *effect, uint16_t duties, const char *expected)
{
	char text[400];
	size_t len = policy_pref_write(dialect, effect, duties, text, sizeof text);
	assert_string_equal(text, expected);
	assert_int_equal(len, strlen(expected));
	char small[4];
	assert_int_equal(policy_pref_write(dialect, effect, duties, small, sizeof small), len);
	assert_int_equal(policy_pref_write(dialect, effect, duties, NULL, 0), len);
}

static void preferences_are_written_in_each_dialect(void **state)
{
	(void)state;
	uint8_t e[POLICY_USE_COUNT] = {[POLICY_USE_TRAIN_GEN] = POLICY_EFFECT_DENY, [POLICY_USE_SEARCH] = POLICY_EFFECT_ALLOW};
	written(POLICY_DIALECT_AIPREF_07, e, 0, "train-ai=n, search=y");
	written(POLICY_DIALECT_AIPREF_03, e, 0, "train-genai=n, search=y");
	written(POLICY_DIALECT_RSL_10, e, 0,
	        "<rsl xmlns=\"https://rslstandard.org/rsl\"><content url=\"/\"><license><permits type=\"usage\">search</permits>"
	        "<prohibits type=\"usage\">ai-train</prohibits></license></content></rsl>");
	written(POLICY_DIALECT_TDMREP, e, 0, "tdm-reservation: 1");
	e[POLICY_USE_TRAIN_GEN] = POLICY_EFFECT_ALLOW_IF;
	written(POLICY_DIALECT_AIPREF_07, e, POLICY_BIT(POLICY_DUTY_CREDIT), "train-ai=n, search=y");
	written(POLICY_DIALECT_CC_SIGNALS_01, e, POLICY_BIT(POLICY_DUTY_CREDIT), "train-genai=n;exceptions=cc-cr, search=y");
	written(POLICY_DIALECT_CC_SIGNALS_01, e, POLICY_BIT(POLICY_DUTY_CREDIT) | POLICY_BIT(POLICY_DUTY_OPEN),
	        "train-genai=n;exceptions=\"cc-cr cc-op\", search=y");
	written(POLICY_DIALECT_CC_SIGNALS_01, e, POLICY_BIT(POLICY_DUTY_REPORT), "train-genai=n, search=y");
	memset(e, POLICY_EFFECT_NONE, sizeof e);
	for (unsigned d = 0; d <= POLICY_DIALECT_COUNT; d++)
		written(d, e, 0, "");
	memset(e, POLICY_EFFECT_ALLOW, sizeof e);
	written(POLICY_DIALECT_TDMREP, e, 0, "tdm-reservation: 0");
	written(POLICY_DIALECT_AIPREF_02, e, 0, "all=y, train-ai=y, train-genai=y, ai-use=y, search=y");
}

/* What a dialect can say comes back as it went out; nothing denied ever comes back as allowed. */
static void what_is_written_reads_back(void **state)
{
	(void)state;
	uint64_t rng = kit_seed(__func__);
	for (int round = 0; round < 20000; round++) {
		uint8_t e[POLICY_USE_COUNT];
		for (size_t u = 0; u < POLICY_USE_COUNT; u++)
			e[u] = (uint8_t)kit_below(&rng, POLICY_EFFECT_COUNT);
		char text[400];
		for (unsigned d = 0; d < POLICY_DIALECT_COUNT; d++) {
			size_t len = policy_pref_write(d, e, POLICY_BIT(POLICY_DUTY_CREDIT), text, sizeof text);
			assert_true(len < sizeof text);
			policy_pref_read(d, text, len, &pref);
			for (unsigned u = 0; u < POLICY_USE_COUNT; u++) {
				bool denied = e[u] == POLICY_EFFECT_DENY || (e[POLICY_USE_MINE] == POLICY_EFFECT_DENY && POLICY_USES_MINED >> u & 1);
				if (denied || e[u] != POLICY_EFFECT_ALLOW)
					assert_false(pref.allow >> u & 1);
				if (d != POLICY_DIALECT_TDMREP && d != POLICY_DIALECT_RSL_10 && u == POLICY_USE_TRAIN_GEN && denied)
					assert_true(pref.deny >> u & 1);
				if (d != POLICY_DIALECT_TDMREP && u == POLICY_USE_SEARCH && denied)
					assert_true(pref.deny >> u & 1);
			}
		}
	}
}

/* ---- robots.txt ---------------------------------------------------------------------------------------------------------------- */

static void robots(const char *text, const char *path, unsigned allow, unsigned deny)
{
	policy_pref_robots(text, strlen(text), "ExampleBot", path, POLICY_DIALECT_AIPREF_07, &pref);
	if (pref.allow != allow || pref.deny != deny)
		fail_msg("%s of %s: allow %x deny %x", path, text, pref.allow, pref.deny);
}

static void robots_rules_apply_by_longest_prefix(void **state)
{
	(void)state;
	const char *text = "User-Agent: *\nAllow: /\nContent-Usage: train-ai=n\nContent-Usage: /open/ train-ai=y\nContent-Usage: /open/ search=n # both\n";
	robots(text, "/x", 0, U(TRAIN_GEN));
	robots(text, "/open/a", U(TRAIN_GEN), U(SEARCH));
	robots("User-agent: *\nDisallow: /private\nContent-Usage: train-ai=n\n", "/private/x", 0, 0);
	robots("User-agent: *\nDisallow: /private\nAllow: /private/ok\nContent-Usage: train-ai=n", "/private/ok", 0, U(TRAIN_GEN));
	robots("User-agent: examplebot\nContent-Usage: search=n\n\nUser-agent: *\nContent-Usage: train-ai=n\n", "/", 0, U(SEARCH));
	robots("User-agent: other\nUser-agent: EXAMPLEBOT\nContent-Usage: search=n\n", "/", 0, U(SEARCH));
	robots("User-agent: other\nContent-Usage: search=n\n", "/", 0, 0);
	robots("User-agent: *\nDisallow: /*.gif$\nContent-Usage: train-ai=n\n", "/a/b.gif", 0, 0);
	robots("User-agent: *\nDisallow: /*.gif$\nContent-Usage: train-ai=n\n", "/a/b.gifx", 0, U(TRAIN_GEN));
	robots("User-agent: *\nDisallow:\nContent-Usage: /%41 train-ai=n\n", "/A", 0, 0);
	robots("Content-Usage: train-ai=n\nnonsense\n:\n", "/", 0, 0);
	robots("User-agent: *\nContent-Usage: /a/b train-ai=n\nContent-Usage: /a train-ai=y", "/a/b", 0, U(TRAIN_GEN));
	robots("User-agent: *\nContent-Usage: /only-a-path", "/only-a-path", 0, 0);
}

static void dialects_are_found_by_name(void **state)
{
	(void)state;
	for (unsigned d = 0; d < POLICY_DIALECT_COUNT; d++)
		assert_int_equal(policy_dialect_find(policy_dialect_name(d), strlen(policy_dialect_name(d))), d);
	assert_int_equal(policy_dialect_find("x", 1), -1);
	assert_null(policy_dialect_name(POLICY_DIALECT_COUNT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_public_dictionary_cases_hold), cmocka_unit_test(every_type_is_read_to_the_letter),
		cmocka_unit_test(the_drafts_examples_hold), cmocka_unit_test(a_label_means_what_its_revision_says),
		cmocka_unit_test(cc_signals_are_conditions_within_and_denials_without), cmocka_unit_test(rsl_prohibitions_beat_permissions),
		cmocka_unit_test(tdmrep_reserves_mining), cmocka_unit_test(translation_denies_or_says_nothing),
		cmocka_unit_test(any_no_wins_when_combining), cmocka_unit_test(preferences_are_written_in_each_dialect),
		cmocka_unit_test(what_is_written_reads_back), cmocka_unit_test(robots_rules_apply_by_longest_prefix),
		cmocka_unit_test(dialects_are_found_by_name),
	};
	return cmocka_run_group_tests_name("policy preference strings", tests, NULL, NULL);
}
