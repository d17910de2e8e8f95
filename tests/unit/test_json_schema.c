/* JSON Schema: each keyword, what is said to people, what the compiler refuses, and that no schema is endless. */
#include "commonhold/assets.h"
#include "commonhold/json.h"

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

static const struct json_schema *compile(const char *text)
{
	const struct json_schema *s = NULL;
	struct error e = { 0 };
	if (json_schema_compile(arena, parse(str_of(text)), NULL, NULL, &s, &e) != ERR_OK)
		fail_msg("%s: %s", text, e.message);
	return s;
}

/* All faults as "pointer message; pointer message". */
static const char *faults_of(const struct json_schema *s, struct str value)
{
	struct error e = { 0 };
	struct buf all;
	buf_init(&all, MIB);
	enum err code = json_schema_check(arena, s, parse(value), &e);
	assert_int_equal(code, e.code);
	for (const struct fault *f = e.faults; f; f = f->next)
		buf_addf(&all, "%s%.*s %.*s", all.n ? "; " : "", STR_ARG(f->pointer), STR_ARG(f->message));
	if (code != ERR_OK && !e.faults)
		buf_add_z(&all, err_code(code));
	const char *z = str_z(arena, buf_str(&all));
	buf_release(&all);
	return z;
}

/* schema, value, faults; a fault list of "" means that the value holds, NULL that any fault will do */
static const struct { const char *schema, *value, *faults; } table[] = {
	{ "true", "1", "" }, { "{}", "null", "" }, { "false", "1", " is not allowed here" },
	{ "{\"type\":\"string\"}", "\"a\"", "" }, { "{\"type\":\"string\"}", "1", " must be text" }, { "{\"type\":\"number\"}", "1.5", "" }, { "{\"type\":\"number\"}", "1", "" },
	{ "{\"type\":\"integer\"}", "1", "" }, { "{\"type\":\"integer\"}", "1.5", " must be a whole number" }, { "{\"type\":\"integer\"}", "1.0", " must be a whole number" },
	{ "{\"type\":\"boolean\"}", "false", "" }, { "{\"type\":\"boolean\"}", "0", " must be true or false" }, { "{\"type\":\"null\"}", "null", "" },
	{ "{\"type\":[\"string\",\"null\"]}", "null", "" }, { "{\"type\":[\"string\",\"null\"]}", "[]", " must be text or null" },
	{ "{\"type\":\"array\"}", "{}", " must be a list" }, { "{\"type\":\"object\"}", "[]", " must be an object" },
	{ "{\"enum\":[\"a\",\"b\",1]}", "\"b\"", "" }, { "{\"enum\":[\"a\",\"b\",1]}", "1.0", "" }, { "{\"enum\":[\"a\",\"b\",1]}", "\"c\"", " must be one of \"a\", \"b\", 1" },
	{ "{\"enum\":[\"a\"]}", "\"c\"", " must be \"a\"" },
	{ "{\"enum\":[{\"x\":[1,2]}]}", "{\"x\":[1,2.0]}", "" }, { "{\"const\":{\"a\":1,\"b\":2}}", "{\"b\":2,\"a\":1}", "" }, { "{\"const\":\"x\"}", "\"y\"", " must be \"x\"" },
	{ "{\"const\":null}", "false", " must be null" },
	{ "{\"minLength\":1}", "\"\"", " must not be empty" }, { "{\"minLength\":3}", "\"\xc3\xa9\xc3\xa9\"", " must have at least 3 characters" },
	{ "{\"maxLength\":2}", "\"\xf0\x9f\x98\x80\xc3\xa9\"", "" }, { "{\"maxLength\":1}", "\"ab\"", " must have at most 1 character" }, { "{\"minLength\":3}", "1", "" },
	{ "{\"pattern\":\"^[a-z]+$\"}", "\"abc\"", "" }, { "{\"pattern\":\"^[a-z]+$\"}", "\"abc\\n\"", NULL }, { "{\"pattern\":\"b\"}", "\"abc\"", "" },
	{ "{\"pattern\":\"^a\"}", "\"ba\"", " is not written as expected (^a)" }, { "{\"pattern\":\"^.$\"}", "\"\xf0\x9f\x98\x80\"", "" }, { "{\"pattern\":\"^\\\\u00e9$\"}", "\"\xc3\xa9\"", "" },
	{ "{\"pattern\":\"^$\"}", "\"\"", "" },
	{ "{\"minimum\":1.5}", "1.5", "" }, { "{\"minimum\":1.5}", "1.49999999999999999999", " must be at least 1.5" }, { "{\"maximum\":10}", "1e1", "" },
	{ "{\"maximum\":10}", "10.0000000000000000001", " must be at most 10" }, { "{\"exclusiveMinimum\":0}", "0.0", " must be more than 0" }, { "{\"exclusiveMinimum\":0}", "1e-999", "" },
	{ "{\"exclusiveMaximum\":-1}", "-1", " must be less than -1" }, { "{\"exclusiveMaximum\":-1}", "-1.1", "" }, { "{\"minimum\":-5,\"maximum\":5}", "-6", " must be at least -5" },
	{ "{\"multipleOf\":5}", "15", "" }, { "{\"multipleOf\":5}", "1.5e1", "" }, { "{\"multipleOf\":5}", "7", " must be a multiple of 5" }, { "{\"multipleOf\":5}", "2.5", NULL },
	{ "{\"multipleOf\":7}", "0", "" }, { "{\"multipleOf\":7}", "123456789012345678901234567890", "" }, { "{\"multipleOf\":7}", "123456789012345678901234567891", NULL }, { "{\"multipleOf\":10}", "123456789012345678901234567890", "" },
	{ "{\"minItems\":1}", "[]", " must have at least 1 entry" }, { "{\"maxItems\":2}", "[1,2,3]", " must have at most 2 entries" },
	{ "{\"uniqueItems\":true}", "[1,\"1\",[1],{\"a\":1}]", "" }, { "{\"uniqueItems\":true}", "[1,2,1.0]", "/2 appears more than once" },
	{ "{\"uniqueItems\":true}", "[{\"a\":1,\"b\":2},{\"b\":2,\"a\":1}]", "/1 appears more than once" }, { "{\"uniqueItems\":false}", "[1,1]", "" }, { "{\"uniqueItems\":true}", "[]", "" },
	{ "{\"minProperties\":2}", "{\"a\":1}", " must have at least 2 fields" }, { "{\"maxProperties\":0}", "{\"a\":1}", " must have at most 0 fields" },
	{ "{\"required\":[\"a\",\"b/c\"]}", "{}", "/a is missing; /b~1c is missing" }, { "{\"required\":[\"a\"]}", "{\"a\":null}", "" }, { "{\"required\":[\"a\"]}", "[]", "" },
	{ "{\"properties\":{\"a\":{\"type\":\"string\"},\"b\":{\"minimum\":1}}}", "{\"a\":1,\"b\":0,\"c\":true}", "/a must be text; /b must be at least 1" },
	{ "{\"properties\":{\"a\":true},\"additionalProperties\":false}", "{\"a\":1,\"b\":2,\"c\":3}", "/b is not a known field; /c is not a known field" },
	{ "{\"properties\":{\"a\":true},\"additionalProperties\":{\"type\":\"string\"}}", "{\"a\":1,\"b\":2}", "/b must be text" }, { "{\"properties\":{\"a\":false}}", "{\"a\":1}", "/a is not allowed here" },
	{ "{\"patternProperties\":{\"^x\":{\"type\":\"string\"},\"y$\":{\"minLength\":2}},\"additionalProperties\":false}", "{\"xy\":\"a\",\"x\":1,\"z\":1}",
		"/xy must have at least 2 characters; /x must be text; /z is not a known field" },
	{ "{\"properties\":{\"xa\":{\"type\":\"number\"}},\"patternProperties\":{\"^x\":{\"minimum\":3}}}", "{\"xa\":2}", "/xa must be at least 3" },
	{ "{\"propertyNames\":{\"pattern\":\"^[a-z]+$\"}}", "{\"a\":1,\"B\":2}", "/B The name is not written as expected (^[a-z]+$)" },
	{ "{\"propertyNames\":{\"maxLength\":1},\"additionalProperties\":{\"type\":\"number\"}}", "{\"a\":1}", "" },
	{ "{\"items\":{\"type\":\"number\"}}", "[1,\"a\",2,null]", "/1 must be a number; /3 must be a number" }, { "{\"items\":false}", "[]", "" }, { "{\"items\":false}", "[1]", "/0 is not allowed here" },
	{ "{\"prefixItems\":[{\"type\":\"string\"},{\"type\":\"number\"}],\"items\":{\"type\":\"null\"}}", "[\"a\",1,null,2]", "/3 must be null" },
	{ "{\"prefixItems\":[{\"type\":\"string\"}]}", "[\"a\",1,null,2]", "" }, { "{\"prefixItems\":[{\"type\":\"string\"},{\"type\":\"string\"}]}", "[1]", "/0 must be text" },
	{ "{\"contains\":{\"const\":2}}", "[1,2,3]", "" }, { "{\"contains\":{\"const\":2}}", "[1,3]", " has none of the entries that it must have" }, { "{\"contains\":true}", "[]", NULL },
	{ "{\"allOf\":[{\"minimum\":1},{\"maximum\":3}]}", "4", " must be at most 3" }, { "{\"allOf\":[{\"required\":[\"a\"]},{\"required\":[\"b\"]}]}", "{}", "/a is missing; /b is missing" },
	{ "{\"anyOf\":[{\"type\":\"string\"},{\"minimum\":5,\"type\":\"number\"}]}", "6", "" }, { "{\"anyOf\":[{\"type\":\"string\"},{\"minimum\":5,\"type\":\"number\"}]}", "4", " must be at least 5" },
	{ "{\"anyOf\":[{\"minimum\":7},{\"maximum\":3}]}", "5", " fits none of the allowed forms" }, { "{\"anyOf\":[{\"minimum\":7},{\"maximum\":3}]}", "2", "" },
	{ "{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}", "5", " fits none of the allowed forms" },
	{ "{\"oneOf\":[{\"minimum\":1},{\"maximum\":3}]}", "2", " fits more than one of the allowed forms" }, { "{\"oneOf\":[{\"minimum\":3},{\"maximum\":1}]}", "2", " fits none of the allowed forms" },
	{ "{\"oneOf\":[{\"minimum\":3},{\"maximum\":1}]}", "0", "" }, { "{\"not\":{\"type\":\"string\"}}", "1", "" }, { "{\"not\":{\"type\":\"string\"}}", "\"a\"", " is not allowed here" },
	{ "{\"not\":{\"not\":{\"type\":\"string\"}}}", "\"a\"", "" },
	{ "{\"if\":{\"properties\":{\"k\":{\"const\":1}}},\"then\":{\"required\":[\"a\"]},\"else\":{\"required\":[\"b\"]}}", "{\"k\":1}", "/a is missing" },
	{ "{\"if\":{\"properties\":{\"k\":{\"const\":1}}},\"then\":{\"required\":[\"a\"]},\"else\":{\"required\":[\"b\"]}}", "{\"k\":2}", "/b is missing" },
	{ "{\"if\":{\"type\":\"string\"},\"then\":{\"minLength\":2}}", "1", "" }, { "{\"if\":{\"type\":\"string\"},\"else\":{\"minimum\":2}}", "1", " must be at least 2" }, { "{\"then\":false}", "1", "" },
	{ "{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"$ref\":\"#/$defs/b~1c\"},\"b/c\":{\"type\":\"string\"}}}", "1", " must be text" },
	{ "{\"$ref\":\"#/$defs/a%25b\",\"$defs\":{\"a%b\":{\"type\":\"string\"}}}", "1", " must be text" },
	{ "{\"properties\":{\"next\":{\"$ref\":\"#\"},\"v\":{\"type\":\"number\"}},\"additionalProperties\":false}", "{\"next\":{\"next\":{\"v\":\"x\"},\"w\":1}}",
		"/next/next/v must be a number; /next/w is not a known field" },
	{ "{\"$schema\":\"x\",\"$id\":\"y\",\"title\":\"t\",\"description\":\"d\",\"default\":1,\"examples\":[2]}", "3", "" },
	{ "{\"type\":\"object\",\"required\":[\"a\"],\"minProperties\":3}", "1", " must be an object" },
	{ "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"a b\":{\"type\":\"null\"}}}}", "[{},{\"a b\":1}]", "/1/a b must be null" },
};

static void each_keyword_says_what_is_wrong_and_where(void **state)
{
	(void)state;
	for (size_t i = 0; i < CH_LEN(table); i++) {
		const char *found = faults_of(compile(table[i].schema), str_of(table[i].value));
		if (table[i].faults ? strcmp(found, table[i].faults) != 0 : found[0] == '\0')
			fail_msg("%s on %s: \"%s\"", table[i].schema, table[i].value, found);
	}
}

static void formats_are_asserted(void **state)
{
	(void)state;
	static const struct { const char *format, *text; bool holds; } formats[] = {
		{ "date-time", "2026-11-22T10:00:00Z", true }, { "date-time", "2026-11-22", false }, { "date", "2026-02-28", true }, { "date", "2026-02-29", false },
		{ "date", "2024-02-29", true }, { "date", "1926-12-31", true }, { "date", "2026-13-01", false }, { "date", "2026-1-01", false }, { "date", "2026-01-00", false }, { "date", "+026-01-01", false },
		{ "duration", "P1M", true }, { "duration", "PT36H", true }, { "duration", "P", false }, { "duration", "1M", false },
		{ "email", "ada@example.org", true }, { "email", "a.b+c@sub.example.org", true }, { "email", "ada@example", false }, { "email", "ada", false }, { "email", "@example.org", false },
		{ "email", "a b@example.org", false }, { "email", "a@b@example.org", false }, { "email", ".a@example.org", false }, { "email", "a..b@example.org", false }, { "email", "a@-x.org", false },
		{ "email", "a@example..org", false }, { "email", "a@example.org\\n", false },
		{ "uri", "https://example.org/a?b=c#d", true }, { "uri", "urn:uuid:1", true }, { "uri", "example.org", false }, { "uri", "https://exa mple.org", false }, { "uri", "1http://x", false },
		{ "uri", "http://x/%zz", false }, { "uri", "http://x/%41", true }, { "uri", "http:", false }, { "uri", "http://x/%4", false }, { "uri", "http://\xc3\xa9", false },
		{ "uuid", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", true }, { "uuid", "f81d4fae7dec11d0a76500a0c91e6bf6", false },
	};
	for (size_t i = 0; i < CH_LEN(formats); i++) {
		const struct json_schema *s = compile(str_z(arena, str_fmt(arena, "{\"format\":\"%s\"}", formats[i].format)));
		bool holds = faults_of(s, str_fmt(arena, "\"%s\"", formats[i].text))[0] == '\0';
		if (holds != formats[i].holds)
			fail_msg("%s: %s", formats[i].format, formats[i].text);
		assert_string_equal(faults_of(s, STR("1")), "");
	}
}

static void what_is_not_understood_fails_at_compile(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"1", "\"x\"", "[]", "{\"foo\":1}", "{\"properties\":{\"a\":{\"typ\":\"string\"}}}", "{\"type\":\"text\"}", "{\"type\":1}", "{\"type\":[\"string\",1]}", "{\"enum\":1}", "{\"enum\":[]}",
		"{\"minLength\":-1}", "{\"minLength\":1.5}", "{\"minLength\":\"1\"}", "{\"multipleOf\":0}", "{\"multipleOf\":0.5}", "{\"minimum\":\"1\"}", "{\"uniqueItems\":1}",
		"{\"required\":\"a\"}", "{\"required\":[1]}", "{\"pattern\":\"(\"}", "{\"pattern\":1}", "{\"format\":\"ipv4\"}", "{\"format\":1}", "{\"allOf\":{}}", "{\"allOf\":[]}", "{\"anyOf\":[1]}",
		"{\"not\":1}", "{\"items\":[{}]}", "{\"prefixItems\":{}}", "{\"properties\":[]}", "{\"properties\":{\"a\":1}}", "{\"patternProperties\":{\"(\":true}}", "{\"$defs\":{\"a\":1}}",
		"{\"$defs\":[]}", "{\"$ref\":1}", "{\"$ref\":\"#/$defs/none\"}", "{\"$ref\":\"other.json\"}", "{\"$ref\":\"#x\"}", "{\"$ref\":\"#/title\",\"title\":\"t\"}", "{\"if\":1}", "{\"additionalProperties\":0}",
		"{\"pattern\":\"\\\\C\"}",
	};
	for (size_t i = 0; i < CH_LEN(bad); i++) {
		const struct json_schema *s;
		struct error e = { 0 };
		if (json_schema_compile(arena, parse(str_of(bad[i])), NULL, NULL, &s, &e) != ERR_INVALID || e.code != ERR_INVALID)
			fail_msg("%s compiles", bad[i]);
	}
}

static void a_reference_without_progress_fails_at_compile(void **state)
{
	(void)state;
	static const struct { const char *text; bool fine; } cases[] = {
		{ "{\"$ref\":\"#\"}", false }, { "{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"$ref\":\"#/$defs/b\"},\"b\":{\"anyOf\":[true,{\"$ref\":\"#/$defs/a\"}]}}}", false },
		{ "{\"not\":{\"$ref\":\"#\"}}", false }, { "{\"if\":true,\"else\":{\"$ref\":\"#\"}}", false }, { "{\"properties\":{\"a\":{\"$ref\":\"#\"}}}", true },
		{ "{\"items\":{\"anyOf\":[{\"$ref\":\"#\"},{\"type\":\"null\"}]}}", true }, { "{\"allOf\":[{\"$ref\":\"#/$defs/a\"},{\"$ref\":\"#/$defs/a\"}],\"$defs\":{\"a\":true}}", true },
	};
	for (size_t i = 0; i < CH_LEN(cases); i++) {
		const struct json_schema *s;
		struct error e = { 0 };
		enum err code = json_schema_compile(arena, parse(str_of(cases[i].text)), NULL, NULL, &s, &e);
		if ((code == ERR_OK) != cases[i].fine)
			fail_msg("%s: %s", cases[i].text, e.message);
	}
}

static const struct json_schema *by_name(void *arg, struct str file)
{
	return str_is(file, "part.json") ? arg : NULL;
}

static void references_reach_other_documents(void **state)
{
	(void)state;
	const struct json_schema *part = compile("{\"type\":\"object\",\"required\":[\"x\"],\"$defs\":{\"short\":{\"maxLength\":2}}}");
	const struct json_schema *s;
	struct error e = { 0 };
	struct str text = STR("{\"items\":{\"$ref\":\"part.json\"},\"properties\":{\"n\":{\"$ref\":\"part.json#/$defs/short\"}}}");
	void *arg = (void *)(uintptr_t)part;
	assert_int_equal(json_schema_compile(arena, parse(text), by_name, arg, &s, &e), ERR_OK);
	assert_string_equal(faults_of(s, STR("[{\"x\":1},{},3]")), "/1/x is missing; /2 must be an object");
	assert_string_equal(faults_of(s, STR("{\"n\":\"abc\"}")), "/n must have at most 2 characters");
	assert_int_equal(json_schema_compile(arena, parse(STR("{\"$ref\":\"none.json\"}")), by_name, arg, &s, &e), ERR_INVALID);
}

static void faults_are_bounded(void **state)
{
	(void)state;
	struct buf list;
	buf_init(&list, MIB);
	for (int i = 0; i < 5000; i++)
		buf_add_z(&list, i ? ",1" : "[1");
	buf_add_byte(&list, ']');
	struct error e = { 0 };
	assert_int_equal(json_schema_check(arena, compile("{\"items\":{\"type\":\"string\"}}"), parse(buf_str(&list)), &e), ERR_INVALID);
	size_t count = 0;
	for (const struct fault *f = e.faults; f; f = f->next)
		count++;
	assert_int_equal(count, LIMIT_FAULTS);
	buf_release(&list);
}

static void a_schema_that_doubles_its_work_at_every_step_is_stopped(void **state)
{
	(void)state;
	struct buf text;
	buf_init(&text, MIB);
	buf_add_z(&text, "{\"$ref\":\"#/$defs/s0\",\"$defs\":{\"s60\":{\"type\":\"string\"}");
	for (int i = 0; i < 60; i++)
		buf_addf(&text, ",\"s%d\":{\"allOf\":[{\"$ref\":\"#/$defs/s%d\"},{\"$ref\":\"#/$defs/s%d\"}]}", i, i + 1, i + 1);
	buf_add_z(&text, "}}");
	assert_string_equal(faults_of(compile(str_z(arena, buf_str(&text))), STR("\"a\"")), "too_large");
	buf_release(&text);
}

static void a_pattern_that_backtracks_without_end_is_stopped(void **state)
{
	(void)state;
	const char *found = faults_of(compile("{\"pattern\":\"^(a+)+$\"}"), STR("\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab\""));
	assert_string_equal(found, " is not written as expected (^(a+)+$)");
}

/* Each match by itself is within its limit; all together would keep a core busy for many seconds. */
static void many_costly_matches_are_stopped_too(void **state)
{
	(void)state;
	struct buf b;
	buf_init(&b, MIB);
	for (int i = 0; i < 5000; i++)
		buf_addf(&b, "%s\"aaaaaaaaaab%d\"", i ? "," : "[", i);
	buf_add_byte(&b, ']');
	struct str text = str_copy(arena, buf_str(&b));
	buf_release(&b);
	assert_string_equal(faults_of(compile("{\"items\":{\"not\":{\"pattern\":\"^(a+)+$\"}}}"), text), "too_large");
	assert_string_equal(faults_of(compile("{\"items\":{\"not\":{\"pattern\":\"^a+$\"}}}"), text), "");
}

static void values_that_are_alike_for_long_are_paid_for(void **state)
{
	(void)state;
	struct buf schema, text;
	buf_init(&schema, MIB);
	buf_init(&text, MIB);
	buf_add_z(&schema, "{\"items\":{\"not\":{\"enum\":");
	for (int i = 0; i < 1000; i++)
		buf_addf(&schema, "%s[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,%d]", i ? "," : "[", i);
	buf_add_z(&schema, "]}}}");
	for (int i = 0; i < 1000; i++)
		buf_addf(&text, "%s[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,-%d]", i ? "," : "[", i + 1);
	buf_add_byte(&text, ']');
	assert_string_equal(faults_of(compile(str_z(arena, buf_str(&schema))), buf_str(&text)), "too_large");
	buf_release(&schema);
	buf_release(&text);
}

static void the_schema_outlives_its_document(void **state)
{
	(void)state;
	struct arena *other = arena_new(MIB);
	const struct json *document;
	const struct json_schema *s;
	struct error e = { 0 };
	struct str text = str_copy(other, STR("{\"properties\":{\"name\":{\"enum\":[\"x\"]}},\"required\":[\"name\"],\"additionalProperties\":false}"));
	assert_int_equal(json_parse(other, text, &document, &e), ERR_OK);
	assert_int_equal(json_schema_compile(arena, document, NULL, NULL, &s, &e), ERR_OK);
	arena_free(other);
	assert_string_equal(faults_of(s, STR("{\"name\":\"y\",\"z\":1}")), "/name must be \"x\"; /z is not a known field");
}

/* Compiles and checks with little memory; whether all faults could be told. */
static bool check_within(size_t cap, bool jumps, const struct json *document, const struct json *value)
{
	struct arena *small = arena_new(cap);
	const struct json_schema *s = NULL;
	struct error e = { 0 };
	jmp_buf guard;
	size_t faults = 0;
	if (setjmp(guard) == 0) {
		if (jumps)
			arena_guard(small, &guard);
		enum err code = json_schema_compile(small, document, NULL, NULL, &s, &e);
		/* A reference that cannot be decoded for want of memory looks like a bad one. */
		assert_true(code == ERR_OK || code == ERR_NO_MEMORY || code == ERR_INVALID);
		if (code == ERR_OK)
			assert_int_not_equal(json_schema_check(small, s, value, &e), ERR_OK);
		for (const struct fault *f = e.faults; f; f = f->next)
			faults++;
	}
	arena_guard(small, NULL);
	arena_free(small);
	return faults == 6;
}

/* Every allocation fails in turn: by answer, and by jump; the sanitizer sees what is lost. */
static void short_memory_loses_nothing(void **state)
{
	(void)state;
	const struct json *document = parse(STR("{\"type\":\"object\",\"required\":[\"x\"],\"properties\":{\"a\":{\"enum\":[\"b\",\"c\"]},\"l\":{\"uniqueItems\":true},\"k\":{\"const\":{\"z\":1}},"
		"\"p\":{\"pattern\":\"^a\"}},\"patternProperties\":{\"^q\":{\"$ref\":\"#/$defs/d\"}},\"propertyNames\":{\"maxLength\":1},\"$defs\":{\"d\":{\"anyOf\":[{\"minimum\":2},{\"maximum\":0}]}}}"));
	const struct json *value = parse(STR("{\"a\":\"z\",\"l\":[1,2,1],\"k\":2,\"p\":\"a\",\"q\":1,\"long\":1}"));
	bool whole = false;
	for (size_t cap = 0; !whole && cap < 100000; cap += 24) {
		check_within(cap, false, document, value);
		whole = check_within(cap, true, document, value);
	}
	assert_true(whole);
}

/* The product's own schemas: each compiles, and its examples hold. */
struct loaded { const char *path; const struct json_schema *schema; };
static struct loaded loaded[400];
static size_t loaded_count;

static const struct json_schema *load(void *arg, struct str file)
{
	(void)arg;
	const char *path = str_z(arena, str_fmt(arena, "schemas/%.*s", STR_ARG(file)));
	for (size_t i = 0; i < loaded_count; i++)
		if (strcmp(loaded[i].path, path) == 0)
			return loaded[i].schema;
	struct str text = asset_find(str_of(path));
	struct error e = { 0 };
	const struct json_schema *s = NULL;
	if (!text.p || loaded_count == CH_LEN(loaded))
		return NULL;
	if (json_schema_compile(arena, parse(text), load, NULL, &s, &e) != ERR_OK)
		fail_msg("%s: %s", path, e.message);
	loaded[loaded_count++] = (struct loaded){ path, s };
	return s;
}

static void check_examples(void *arg, const struct asset *asset)
{
	(void)arg;
	const struct json_schema *s = load(NULL, str_of(asset->path + strlen("schemas/")));
	json_each(example, json_get(parse(asset->content), "examples")) {
		struct error e = { 0 };
		if (json_schema_check(arena, s, example, &e) != ERR_OK)
			fail_msg("%s: %.*s %.*s", asset->path, STR_ARG(e.faults ? e.faults->pointer : STR_NONE), STR_ARG(e.faults ? e.faults->message : STR_NONE));
	}
}

static void our_own_schemas_compile_and_their_examples_hold(void **state)
{
	(void)state;
	loaded_count = 0;
	asset_each("schemas/", check_examples, NULL);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(each_keyword_says_what_is_wrong_and_where), TEST(formats_are_asserted), TEST(what_is_not_understood_fails_at_compile),
		TEST(a_reference_without_progress_fails_at_compile), TEST(references_reach_other_documents), TEST(faults_are_bounded),
		TEST(a_schema_that_doubles_its_work_at_every_step_is_stopped), TEST(a_pattern_that_backtracks_without_end_is_stopped), TEST(many_costly_matches_are_stopped_too), TEST(values_that_are_alike_for_long_are_paid_for),
		TEST(the_schema_outlives_its_document), TEST(short_memory_loses_nothing), TEST(our_own_schemas_compile_and_their_examples_hold),
	};
	return cmocka_run_group_tests_name("json_schema", tests, NULL, NULL);
}
