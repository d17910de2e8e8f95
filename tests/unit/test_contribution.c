/* From a submission to what the pool stores: canonical content and hash, columns, and the schemas that guard them. */
#include "commonhold/assets.h"
#include "commonhold/contribution.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct arena *arena;
static const struct contribution_schemas *schemas;

static int set_up(void **state)
{
	(void)state;
	struct error e = { 0 };
	arena = arena_new(64 * MIB);
	if (!arena || !crypto_start() || contribution_schemas_load(arena, &schemas, &e) != ERR_OK) {
		print_error("%s\n", e.message);
		return -1;
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

static const struct json *parse(struct str text)
{
	const struct json *v = NULL;
	struct error e = { 0 };
	if (json_parse(arena, text, &v, &e) != ERR_OK)
		fail_msg("%.*s: %s", STR_ARG(text), e.message);
	return v;
}

static enum err draft(const char *text, struct contribution_draft *d, struct error *e)
{
	error_clear(e);
	return contribution_canonical(arena, schemas, parse(str_of(text)), d, e);
}

#define assert_str(s, z) do { struct str s_ = (s); const char *z_ = (z); if (!str_is(s_, z_)) fail_msg("%.*s is not %s", STR_ARG(s_), z_); } while (0)

static void the_examples_of_every_schema_pass_it(void **state)
{
	(void)state;
	static const char *const files[] = { "annotation.json", "target.json", "message.json", "chat.json", "preference.json", "example.json", "feedback.json",
		"signal.json", "bundle.json", "record.json", "contribution.json", "import_mapping.json" };
	for (size_t i = 0; i < CH_LEN(files); i++) {
		const struct json *document = parse(asset_find(str_fmt(arena, "schemas/%s", files[i])));
		const struct json *examples = json_get(document, "examples");
		assert_true(examples && examples->count > 0);
		json_each (example, examples) {
			struct error e = { 0 };
			if (json_schema_check(arena, contribution_schema(schemas, str_of(files[i])), example, &e) != ERR_OK)
				fail_msg("%s: %.*s: %.*s", files[i], STR_ARG(e.faults->pointer), STR_ARG(e.faults->message));
		}
	}
	assert_null(contribution_schema(schemas, STR("nothing.json")));
}

static void the_hash_is_over_the_canonical_content_alone(void **state)
{
	(void)state;
	struct contribution_draft a, b, c;
	struct error e = { 0 };
	assert_int_equal(draft("{\"kind\":\"example\",\"content\":{\"title\":\"T\",\"input\":\"I\"}}", &a, &e), ERR_OK);
	assert_int_equal(draft("{\"licence\":\"CC0-1.0\",\"content\": { \"input\" : \"\\u0049\", \"title\":\"T\"} ,\"kind\":\"example\"}", &b, &e), ERR_OK);
	assert_int_equal(draft("{\"kind\":\"example\",\"content\":{\"title\":\"T\",\"input\":\"J\"}}", &c, &e), ERR_OK);
	assert_str(a.content, "{\"input\":\"I\",\"title\":\"T\"}");
	assert_true(str_eq(a.content, b.content));
	assert_memory_equal(&a.hash, &b.hash, sizeof(a.hash));
	struct sha256 h = sha256(a.content);
	assert_memory_equal(&a.hash, &h, sizeof(h));
	assert_memory_not_equal(&a.hash, &c.hash, sizeof(a.hash));
	assert_int_equal(a.text_bytes, 2);
}

static void numbers_in_content_keep_their_digits(void **state)
{
	(void)state;
	struct contribution_draft d;
	struct error e = { 0 };
	assert_int_equal(draft("{\"kind\":\"feedback\",\"content\":{\"target\":{\"sha256\":\"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"},"
			"\"ratings\":[{\"name\":\"quality\",\"value\":0.333333333333333333333,\"raters\":3}]}}", &d, &e), ERR_OK);
	assert_non_null(memmem(d.content.p, d.content.n, "0.333333333333333333333", 23));
}

static void every_circumstance_becomes_a_column_and_is_kept_as_sent(void **state)
{
	(void)state;
	struct contribution_draft d;
	struct error e = { 0 };
	assert_int_equal(draft("{\"kind\":\"record\",\"content\":{\"schema\":\"soil\",\"data\":{\"ph\":6.40}},\"lang\":\"rm-sursilv\",\"licence\":\"CC-BY-4.0\","
			"\"ai_preferences\":\"train-ai=n\",\"attribution\":\"public\",\"created\":\"2026-04-02T10:00:00+02:00\",\"prompted\":\"task\",\"friction\":\"almost_zero\","
			"\"application\":\"App\",\"provider\":{\"name\":\"P\",\"terms\":\"https://p.example/t\"},\"model\":\"m-1\",\"sensitive\":[\"third_party\",\"minor\"],"
			"\"processing\":[{\"stage\":\"pre_submission\",\"processor\":\"x\",\"found\":{\"email\":2}}],\"source\":{\"system\":\"s\",\"ids\":[\"1\"],\"authors\":[null]}}",
			&d, &e), ERR_OK);
	assert_int_equal(d.kind, POLICY_KIND_RECORD);
	assert_str(d.record_schema, "soil");
	assert_true(json_is(json_get(d.record_data, "ph"), JSON_NUMBER));
	assert_str(d.content, "{\"data\":{\"ph\":6.40},\"schema\":\"soil\"}");
	assert_str(d.lang, "rm-sursilv");
	assert_str(d.licence, "CC-BY-4.0");
	assert_str(d.ai_preferences, "train-ai=n");
	assert_str(d.application, "App");
	assert_str(d.provider, "P");
	assert_str(d.provider_terms, "https://p.example/t");
	assert_str(d.model, "m-1");
	assert_str(d.source_system, "s");
	assert_int_equal(d.prompted, CONTRIBUTION_PROMPTED_TASK);
	assert_int_equal(d.friction, CONTRIBUTION_FRICTION_ALMOST_ZERO);
	assert_int_equal(d.attribution, CONTRIBUTION_ATTRIBUTION_PUBLIC);
	assert_int_equal(d.sensitive, CONTRIBUTION_MINOR | CONTRIBUTION_THIRD_PARTY);
	assert_int_equal(d.created, INT64_C(1775116800) * CLOCK_SECOND);
	assert_str(d.circumstances, "{\"ai_preferences\":\"train-ai=n\",\"application\":\"App\",\"attribution\":\"public\",\"created\":\"2026-04-02T10:00:00+02:00\","
		"\"friction\":\"almost_zero\",\"lang\":\"rm-sursilv\",\"licence\":\"CC-BY-4.0\",\"model\":\"m-1\","
		"\"processing\":[{\"found\":{\"email\":2},\"processor\":\"x\",\"stage\":\"pre_submission\"}],\"prompted\":\"task\","
		"\"provider\":{\"name\":\"P\",\"terms\":\"https://p.example/t\"},\"sensitive\":[\"third_party\",\"minor\"],"
		"\"source\":{\"authors\":[null],\"ids\":[\"1\"],\"system\":\"s\"}}");
}

static void silence_stays_silence(void **state)
{
	(void)state;
	struct contribution_draft d;
	struct error e = { 0 };
	assert_int_equal(draft("{\"kind\":\"example\",\"content\":{\"input\":\"I\"}}", &d, &e), ERR_OK);
	assert_str(d.circumstances, "{}");
	assert_null(d.lang.p);
	assert_null(d.licence.p);
	assert_null(d.ai_preferences.p);
	assert_int_equal(d.prompted, 0);
	assert_int_equal(d.sensitive, 0);
	assert_true(d.created == INSTANT_NONE);
}

static void a_wrong_submission_is_refused_at_the_field_that_is_wrong(void **state)
{
	(void)state;
	static const struct { const char *text, *pointer; } cases[] = {
		{ "{\"content\":{\"input\":\"I\"}}", "/kind" },
		{ "{\"kind\":\"poem\",\"content\":{\"input\":\"I\"}}", "/kind" },
		{ "{\"kind\":\"chat\",\"content\":{\"input\":\"I\"}}", "/content/input" },
		{ "{\"kind\":\"chat\",\"content\":{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}}", "/content/messages" },
		{ "{\"kind\":\"chat\",\"content\":{\"messages\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"robot\",\"content\":\"x\"}]}}", "/content/messages/1/role" },
		{ "{\"kind\":\"example\",\"content\":{\"input\":\"\"}}", "/content/input" },
		{ "{\"kind\":\"example\",\"content\":{\"input\":\"I\"},\"licence\":\"all rights reserved\"}", "/licence" },
		{ "{\"kind\":\"example\",\"content\":{\"input\":\"I\"},\"lang\":\"english please\"}", "/lang" },
		{ "{\"kind\":\"example\",\"content\":{\"input\":\"I\"},\"created\":\"yesterday\"}", "/created" },
		{ "{\"kind\":\"example\",\"content\":{\"input\":\"I\"},\"provider\":{\"terms\":\"https://p.example\"}}", "/provider/name" },
		{ "{\"kind\":\"example\",\"content\":{\"input\":\"I\"},\"colour\":\"red\"}", "/colour" },
		{ "{\"kind\":\"signal\",\"content\":{\"target\":{\"system\":\"s\"},\"signal\":\"flag\"}}", "/content/target" },
		{ "{\"kind\":\"signal\",\"content\":{\"target\":{\"system\":\"s\",\"id\":\"1\"},\"signal\":\"flag\",\"stars\":3}}", "/content" },
		{ "{\"kind\":\"bundle\",\"content\":{\"parts\":[{\"sha256\":\"00\",\"media_type\":\"image/png\",\"size\":1}]}}", "/content/parts/0/sha256" },
		{ "[]", "" },
	};
	for (size_t i = 0; i < CH_LEN(cases); i++) {
		struct contribution_draft d;
		struct error e = { 0 };
		if (draft(cases[i].text, &d, &e) != ERR_INVALID || !e.faults)
			fail_msg("not refused: %s", cases[i].text);
		bool named = false;
		for (const struct fault *f = e.faults; f; f = f->next)
			named = named || str_is(f->pointer, cases[i].pointer);
		if (!named)
			fail_msg("%s: fault at \"%.*s\" (%.*s)", cases[i].text, STR_ARG(e.faults->pointer), STR_ARG(e.faults->message));
	}
}

static void words_and_numbers_lead_to_each_other(void **state)
{
	(void)state;
	for (unsigned k = 0; k < POLICY_KIND_COUNT; k++)
		assert_int_equal(contribution_kind_find(str_of(contribution_kind_word(k))), k);
	assert_int_equal(contribution_kind_find(STR("poem")), -1);
	assert_null(contribution_kind_word(POLICY_KIND_COUNT));
	assert_string_equal(contribution_prompted_word(CONTRIBUTION_PROMPTED_TASK), "task");
	assert_string_equal(contribution_friction_word(CONTRIBUTION_FRICTION_ALMOST_ZERO), "almost_zero");
	assert_string_equal(contribution_attribution_word(CONTRIBUTION_ATTRIBUTION_PUBLIC), "public");
	assert_null(contribution_prompted_word(99));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_examples_of_every_schema_pass_it),
		cmocka_unit_test(the_hash_is_over_the_canonical_content_alone),
		cmocka_unit_test(numbers_in_content_keep_their_digits),
		cmocka_unit_test(every_circumstance_becomes_a_column_and_is_kept_as_sent),
		cmocka_unit_test(silence_stays_silence),
		cmocka_unit_test(a_wrong_submission_is_refused_at_the_field_that_is_wrong),
		cmocka_unit_test(words_and_numbers_lead_to_each_other),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
