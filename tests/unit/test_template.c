/* Templates: the public mustache specification, escaping, and what a template may not do. */
#include "commonhold/template.h"

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

static const struct json *parse(struct str text)
{
	const struct json *v = NULL;
	struct error e = { 0 };
	if (json_parse(arena, text, &v, &e) != ERR_OK)
		fail_msg("%.*s: %s", STR_ARG(text), e.message);
	return v;
}

static struct str read_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	if (!f)
		return STR_NONE;
	char *p = arena_alloc(arena, MIB);
	size_t n = fread(p, 1, MIB, f);
	fclose(f);
	return str_make(p, n);
}

static struct str render(const struct template_source *sources, size_t n, const struct json *data)
{
	struct template_set *set;
	struct error e = { 0 };
	struct buf out;
	buf_init(&out, MIB);
	if (template_compile(arena, sources, n, false, &set, &e) != ERR_OK || template_render(set, arena, "main", data, &out, &e) != ERR_OK)
		fail_msg("%.*s: %s", STR_ARG(sources[0].text), e.message);
	struct str copy = str_copy(arena, buf_str(&out));
	buf_release(&out);
	return copy;
}

static void check_case(const char *file, const struct json *test)
{
	struct template_source sources[10] = { { STR("main"), json_member_text(test, "template") } };
	size_t n = 1;
	json_each(partial, json_get(test, "partials"))
		sources[n++] = (struct template_source){ partial->key, partial->text };
	struct str found = render(sources, n, json_get(test, "data")), expected = json_member_text(test, "expected");
	if (!str_eq(found, expected))
		fail_msg("%s, %.*s: \"%.*s\", not \"%.*s\"", file, STR_ARG(json_member_text(test, "name")), STR_ARG(found), STR_ARG(expected));
}

static void the_public_specification_holds(void **state)
{
	(void)state;
	static const char *const files[] = { "comments", "delimiters", "interpolation", "inverted", "partials", "sections" };
	const char *data = getenv("COMMONHOLD_SHARED_DATA");
	size_t cases = 0;
	for (size_t i = 0; i < CH_LEN(files); i++) {
		struct str text = read_file(str_z(arena, str_fmt(arena, "%s/vectors/mustache/%s.json", data ? data : "../shared/data", files[i])));
		if (!text.p)
			skip();
		json_each(test, json_get(parse(text), "tests")) {
			check_case(files[i], test);
			cases++;
		}
	}
	assert_true(cases > 100);
}

/* main, the template p, data, what comes out */
static const struct { const char *main, *partial, *data, *out; } table[] = {
	{ "{{a}}|{{{a}}}|{{&a}}", "", "{\"a\":\"<b a='1' c=\\\"2\\\">&amp;\"}", "&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;amp;|<b a='1' c=\"2\">&amp;|<b a='1' c=\"2\">&amp;" },
	{ "{{a}},{{b}},{{c}},{{d}},{{e}},{{f}}", "", "{\"a\":1.50,\"b\":true,\"c\":false,\"d\":null,\"e\":[1],\"f\":{\"x\":1}}", "1.50,true,false,,," },
	{ "{{#a}}A{{/a}}{{^a}}-{{/a}}", "", "{\"a\":\"\"}", "-" }, { "{{#a}}A{{/a}}{{^a}}-{{/a}}", "", "{\"a\":0}", "A" }, { "{{#a}}A{{/a}}{{^a}}-{{/a}}", "", "{\"a\":[]}", "-" },
	{ "{{#a}}A{{/a}}{{^a}}-{{/a}}", "", "{\"a\":{}}", "A" }, { "{{#a}}A{{/a}}{{^a}}-{{/a}}", "", "{}", "-" }, { "{{#a}}{{.}};{{/a}}", "", "{\"a\":\"text\"}", "text;" },
	{ "{{#a}}{{#b}}{{c}}{{d}}{{/b}}{{/a}}", "", "{\"a\":[{\"b\":[{\"c\":1},{\"c\":2}]},{\"b\":{\"c\":3}}],\"d\":\"x\"}", "1x2x3x" },
	{ "{{a.b.c}}|{{#x}}{{a.b}}{{/x}}", "", "{\"a\":{\"b\":{\"c\":1}},\"x\":{\"a\":{}}}", "1|" },
	{ "{{#a}}{{#.}}{{.}}{{/.}};{{/a}}", "", "{\"a\":[[1,2],[3]]}", "12;3;" }, { "\xc3\xa9{{a}}\xe2\x82\xac", "", "{\"a\":\"\xf0\x9f\x98\x80\"}", "\xc3\xa9\xf0\x9f\x98\x80\xe2\x82\xac" },
	{ "a\n{{#b}}\nc\n{{/b}}\nd", "", "{\"b\":[1,2]}", "a\nc\nc\nd" }, { "a\r\n  {{#b}}  \r\nc\r\n{{/b}}\r\nd", "", "{\"b\":1}", "a\r\nc\r\nd" },
	{ " {{>p}}\n", "a\n{{x}}\n{{#l}}\n{{.}}!\n{{/l}}\nb", "{\"x\":\"1\\n2\",\"l\":[1,2]}", " a\n 1\n2\n 1!\n 2!\n b" },
	{ " {{>p}}\n", "{{#l}}{{.}}\n{{/l}} end\n", "{\"l\":[1,2]}", " 1\n2\n  end\n" },
	{ " {{>p}}\n", "{{#l}}\n{{.}}\n{{/l}} end\n", "{\"l\":[1,2]}", " 1\n 2\n  end\n" }, { " {{>p}}\n", "{{! c }}a\n{{=<% %>=}}b\n<%x%>\n", "{\"x\":1}", " a\n b\n 1\n" },
	{ "[{{>p}}]", "{{#n}}{{v}}{{>p}}{{/n}}", "{\"n\":{\"v\":1,\"n\":{\"v\":2,\"n\":null}}}", "[12]" }, { "\t{{>p}}\n", "{{#n}}\n{{v}}\n {{>p}}\n{{/n}}\n", "{\"n\":{\"v\":1,\"n\":{\"v\":2,\"n\":false}}}", "\t1\n\t 2\n" },
	{ "{{>unknown}}x", "", "{}", "x" }, { "{{=[ ]=}}[a][{a}][={{ }}=]{{a}}", "", "{\"a\":\"<\"}", "&lt;<&lt;" }, { "", "", "{}", "" },
	{ "{{ # a }}x{{ / a }}", "", "{\"a\":true}", "x" }, { "{{!\n multi {{line}\n}}\nx", "", "{}", "x" },
};

static void each_construct_renders_as_specified(void **state)
{
	(void)state;
	for (size_t i = 0; i < CH_LEN(table); i++) {
		struct template_source sources[] = { { STR("main"), str_of(table[i].main) }, { STR("p"), str_of(table[i].partial) } };
		struct str found = render(sources, 2, parse(str_of(table[i].data)));
		if (!str_is(found, table[i].out))
			fail_msg("%s: \"%.*s\"", table[i].main, STR_ARG(found));
	}
}

static void a_template_that_cannot_be_right_fails_at_load(void **state)
{
	(void)state;
	static const struct { const char *text, *message; } bad[] = {
		{ "a\n{{#x}}\n", "Template main, line 3: this section is not closed: x" }, { "{{/x}}", "Template main, line 1: nothing to close with x" },
		{ "{{#a}}{{#b}}{{/a}}{{/b}}", "Template main, line 1: this does not close the innermost section: a" }, { "\n\n{{x", "Template main, line 3: a tag without an end" },
		{ "{{{x}}", "Template main, line 1: a tag without an end" }, { "{{}}", "Template main, line 1: a tag without a name" }, { "{{#}}{{/}}", "Template main, line 1: a tag without a name" },
		{ "{{>}}", "Template main, line 1: a tag without a name" }, { "{{a b}}", "Template main, line 1: white space inside the name a b" }, { "{{=x=}}", "Template main, line 1: two delimiters are expected" },
		{ "{{=a b c=}}", "Template main, line 1: two delimiters are expected" }, { "{{=== ===}}", NULL }, { "{{= }}", "Template main, line 1: a tag without an end" },
		{ "x\n {{> other }}", "Template main, line 2: there is no partial other" },
	};
	for (size_t i = 0; i < CH_LEN(bad); i++) {
		struct template_source source = { STR("main"), str_of(bad[i].text) };
		struct template_set *set;
		struct error e = { 0 };
		if (template_compile(arena, &source, 1, true, &set, &e) != ERR_INTERNAL)
			fail_msg("%s compiles", bad[i].text);
		if (bad[i].message)
			assert_string_equal(e.message, bad[i].message);
	}
}

static void refuses(const char *main_text, const char *partial, const char *data, size_t max, enum err code)
{
	struct template_source sources[] = { { STR("main"), str_of(main_text) }, { STR("p"), str_of(partial) } };
	struct template_set *set;
	struct error e = { 0 };
	struct buf out;
	buf_init(&out, max);
	assert_int_equal(template_compile(arena, sources, 2, true, &set, &e), ERR_OK);
	assert_int_equal(template_render(set, arena, "main", parse(str_of(data)), &out, &e), code);
	assert_int_equal(e.code, code);
	buf_release(&out);
}

static void endless_inclusion_is_refused(void **state)
{
	(void)state;
	refuses("{{>p}}", "x{{>p}}", "{}", MIB, ERR_INTERNAL);
	refuses("{{>main}}", "", "{}", MIB, ERR_INTERNAL);
	refuses("{{>p}}", "{{#a}}{{>p}}{{>p}}{{/a}}", "{\"a\":1}", MIB, ERR_INTERNAL);
	/* Each list doubles the work: stopped by the budget. */
	refuses("{{#l}}{{#l}}{{#l}}{{#l}}{{#l}}{{#l}}{{#l}}{{#l}}{{/l}}{{/l}}{{/l}}{{/l}}{{/l}}{{/l}}{{/l}}{{/l}}", "", "{\"l\":[1,2,3,4,5,6,7,8,9,10]}", MIB, ERR_INTERNAL);
}

static void a_page_beyond_its_buffer_is_refused(void **state)
{
	(void)state;
	refuses("{{#l}}some text {{/l}}", "", "{\"l\":[1,2,3,4,5,6,7,8,9,10]}", 50, ERR_TOO_LARGE);
}

static void short_memory_loses_nothing(void **state)
{
	(void)state;
	struct template_source sources[] = { { STR("main"), STR(" {{>p}}\n{{#l}}{{a.b}}{{.}}{{/l}}\n") }, { STR("p"), STR("{{#l}}\n {{>q}}\n{{/l}}\n") }, { STR("q"), STR("{{x}}\n") } };
	const struct json *data = parse(STR("{\"l\":[1,2],\"x\":\"y\"}"));
	bool whole = false;
	for (size_t cap = 0; !whole && cap < 100000; cap += 24) {
		struct arena *small = arena_new(cap);
		struct template_set *set;
		struct error e = { 0 };
		struct buf out;
		buf_init(&out, MIB);
		enum err code = template_compile(small, sources, 3, true, &set, &e);
		if (code == ERR_OK)
			code = template_render(set, small, "main", data, &out, &e);
		assert_true(code == ERR_OK || code == ERR_NO_MEMORY);
		whole = code == ERR_OK;
		if (whole)
			assert_true(str_is(buf_str(&out), "  y\n  y\n12\n"));
		buf_release(&out);
		arena_free(small);
	}
	assert_true(whole);
}

static void templates_are_found_by_name(void **state)
{
	(void)state;
	struct template_source sources[] = { { STR("page/b"), STR("B{{>partial/a}}") }, { STR("partial/a"), STR("A") }, { STR("mail/c"), STR("C") } };
	struct template_set *set;
	struct error e = { 0 };
	struct buf out;
	buf_init(&out, MIB);
	assert_int_equal(template_compile(arena, sources, 3, true, &set, &e), ERR_OK);
	assert_true(template_exists(set, "page/b") && template_exists(set, "partial/a") && template_exists(set, "mail/c"));
	assert_false(template_exists(set, "page") || template_exists(set, "") || template_exists(set, "page/bb"));
	assert_int_equal(template_render(set, arena, "page/b", NULL, &out, &e), ERR_OK);
	assert_true(str_is(buf_str(&out), "BA"));
	assert_int_equal(template_render(set, arena, "none", NULL, &out, &e), ERR_INTERNAL);
	buf_release(&out);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(the_public_specification_holds), TEST(each_construct_renders_as_specified), TEST(a_template_that_cannot_be_right_fails_at_load),
		TEST(endless_inclusion_is_refused), TEST(a_page_beyond_its_buffer_is_refused), TEST(templates_are_found_by_name), TEST(short_memory_loses_nothing),
	};
	return cmocka_run_group_tests_name("template", tests, NULL, NULL);
}
