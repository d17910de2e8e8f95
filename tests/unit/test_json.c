/* The JSON binding: strict parsing, look-ups, the canonical form of RFC 8785, the writer. */
#include "commonhold/json.h"

#include <inttypes.h>
#include <math.h>
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

/* Parses a copy of exactly that many bytes on the heap, so that the sanitizer sees every read past the end. */
static enum err parse_copy(struct str text, const struct json **out, struct error *e, char **copy)
{
	*copy = malloc(text.n ? text.n : 1);
	assert_non_null(*copy);
	if (text.n)
		memcpy(*copy, text.p, text.n);
	error_clear(e);
	return json_parse(arena, str_make(*copy, text.n), out, e);
}

static const struct json *parse(const char *text)
{
	const struct json *v = NULL;
	struct error e = { 0 };
	if (json_parse(arena, str_of(text), &v, &e) != ERR_OK)
		fail_msg("%s: %s", text, e.message);
	return v;
}

static struct str canonical(const struct json *v, bool exact)
{
	struct buf out;
	buf_init(&out, 64 * MIB);
	json_canonical(&out, v, exact);
	assert_false(out.failed);
	struct str copy = str_copy(arena, buf_str(&out));
	buf_release(&out);
	return copy;
}

#define assert_str(s, z) do { struct str s_ = (s), z_ = str_of(z); \
	if (!str_eq(s_, z_)) fail_msg("%.*s is not %s", STR_ARG(s_), z_.p); } while (0)

static void every_kind_of_value_is_read(void **state)
{
	(void)state;
	const struct json *v = parse(" { \"a\" : [ 1 , -2.50e+3 , \"x\\ny\" , true , false , null , {} , [] ] , \"\" : \"\" } \r\n\t");
	assert_int_equal(v->type, JSON_OBJECT);
	assert_int_equal(v->count, 2);
	const struct json *list = json_get(v, "a");
	assert_int_equal(list->count, 8);
	assert_int_equal(json_int(json_at(v, "/a/0"), 0), 1);
	assert_str(json_at(v, "/a/1")->text, "-2.50e+3");
	assert_str(json_text(json_at(v, "/a/2")), "x\ny");
	assert_true(json_bool(json_at(v, "/a/3"), false));
	assert_false(json_bool(json_at(v, "/a/4"), true));
	assert_true(json_is(json_at(v, "/a/5"), JSON_NULL));
	assert_int_equal(json_at(v, "/a/6")->count, 0);
	assert_non_null(json_at(v, "/"));
	assert_null(json_at(v, "/a/8"));
	assert_null(json_at(v, "/a/00"));
	assert_null(json_at(v, "/a/-"));
	assert_null(json_at(v, "a"));
	assert_ptr_equal(json_at(v, ""), v);
	for (const char *const *scalar = (const char *const[]){ "1", "\"\"", "true", "false", "null", "-0.0E-0", NULL }; *scalar; scalar++)
		assert_non_null(parse(*scalar));
}

static void plain_strings_stay_where_they_are(void **state)
{
	(void)state;
	const char *text = "{\"name\":\"a plain string, longer than eight bytes, caf\xc3\xa9\"}";
	const struct json *v = parse(text);
	assert_ptr_equal(v->child->text.p, text + 9);
	assert_ptr_equal(v->child->key.p, text + 2);
}

static void escapes_are_decoded(void **state)
{
	(void)state;
	assert_str(json_text(parse("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"")), "\"\\/\b\f\n\r\t");
	assert_str(json_text(parse("\"\\u0041\\u00e9\\u20AC\\ud83d\\uDE00!\"")), "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80!");
	assert_str(json_text(parse("\"\\u0001\\u007f\\uffff\\udbff\\udfff\"")), "\x01\x7f\xef\xbf\xbf\xf4\x8f\xbf\xbf");
	assert_str(json_get(parse("{\"a\\u0062c\":1}"), "abc")->key, "abc");
}

static const struct { const char *text; size_t n; enum err code; } malformed[] = {
#define BAD(s) { s, sizeof(s) - 1, ERR_BAD_JSON }
#define UTF(s) { s, sizeof(s) - 1, ERR_BAD_UTF8 }
	BAD(""), BAD(" "), BAD("["), BAD("{"), BAD("]"), BAD("}"), BAD("[1,]"), BAD("[,1]"), BAD("[1 2]"), BAD("[1}"), BAD("{\"a\":1]"),
	BAD("{\"a\"}"), BAD("{\"a\":}"), BAD("{\"a\":1,}"), BAD("{a:1}"), BAD("{'a':1}"), BAD("{\"a\" 1}"), BAD("{\"a\":1 \"b\":2}"), BAD("{,}"), BAD("{1:2}"),
	BAD("1 2"), BAD("{}{}"), BAD("[]x"), BAD("nul"), BAD("nulll"), BAD("True"), BAD("NaN"), BAD("Infinity"), BAD("-Infinity"), BAD("undefined"),
	BAD("01"), BAD("-01"), BAD("-"), BAD("+1"), BAD(".5"), BAD("1."), BAD("1.e1"), BAD("1e"), BAD("1e+"), BAD("-a"), BAD("0x10"), BAD("1_000"), BAD("--1"), BAD("1.2.3"),
	BAD("00"), BAD("[-]"), BAD("[1e]"), BAD("[1.]"),
	BAD("\""), BAD("\"abc"), BAD("\"abc\\"), BAD("\"abc\\\""), BAD("\"\\x41\""), BAD("\"\\u12\""), BAD("\"\\u12g4\""), BAD("\"\\u\""), BAD("\"\\U0041\""), BAD("\"\\\xc3\xa9\""),
	BAD("\"\\ud800\""), BAD("\"\\udc00\""), BAD("\"\\ud800x\""), BAD("\"\\ud800\\u0041\""), BAD("\"\\ud800\\ud800\""), BAD("\"\\udc00\\ud800\""), BAD("\"\\ud800\\\""),
	BAD("\"\\u0000\""), BAD("\"a\0b\""), BAD("\0"), BAD("1\0"), BAD("[1,\0]"), BAD("\"a\nb\""), BAD("\"a\tb\""), BAD("\"\x1f\""), BAD("{\"a\0\":1}"), BAD("{\"\\u0000\":1}"),
	BAD("\xef\xbb\xbf{}"), BAD("\v1"), BAD("\f1"), BAD("1\xc2\xa0"), BAD("// c\n1"), BAD("/* c */1"), BAD("[1]]"), BAD("\"\\0\""),
	BAD("{\"a\":1,\"a\":2}"), BAD("{\"a\":1,\"\\u0061\":2}"), BAD("{\"b\":{\"a\":1,\"c\":2,\"a\":3}}"), BAD("{\"\":1,\"\":1}"),
	UTF("\"\x80\""), UTF("\"\xc3\""), UTF("\"\xc0\xaf\""), UTF("\"\xc1\xbf\""), UTF("\"\xe0\x80\xaf\""), UTF("\"\xe0\x9f\xbf\""), UTF("\"\xed\xa0\x80\""), UTF("\"\xed\xbf\xbf\""),
	UTF("\"\xf0\x80\x80\xaf\""), UTF("\"\xf0\x8f\xbf\xbf\""), UTF("\"\xf4\x90\x80\x80\""), UTF("\"\xf5\x80\x80\x80\""), UTF("\"\xff\""), UTF("\"\xfe\""), UTF("\"\xe2\x82\""),
	UTF("\"\xf0\x9f\x98\""), UTF("\"abcdefgh\xc3(\""), UTF("{\"\xff\":1}"), UTF("\"\xe2\x82"), UTF("\"\xc3"),
#undef BAD
#undef UTF
};

static void malformed_text_is_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < CH_LEN(malformed); i++) {
		const struct json *v;
		struct error e;
		char *copy;
		enum err code = parse_copy(str_make(malformed[i].text, malformed[i].n), &v, &e, &copy);
		if (code != malformed[i].code)
			fail_msg("%s: %s (%s)", malformed[i].text, err_code(code), e.message);
		assert_int_equal(e.code, code);
		assert_non_null(strstr(e.message, "Line 1, column "));
		free(copy);
	}
}

static void a_refusal_says_where(void **state)
{
	(void)state;
	const struct json *v;
	struct error e = { 0 };
	assert_int_equal(json_parse(arena, STR("{\n  \"\xc3\xa9\": [1, 2\n}"), &v, &e), ERR_BAD_JSON);
	assert_string_equal(e.message, "Line 3, column 1: a comma or ] is missing.");
	assert_int_equal(json_parse(arena, STR("{\"\xc3\xa9\": x}"), &v, &e), ERR_BAD_JSON);
	assert_string_equal(e.message, "Line 1, column 7: a value is missing.");
	assert_int_equal(json_parse(arena, STR("{\"a\": 1,\n \"b\": 2, \"a\": 3}"), &v, &e), ERR_BAD_JSON);
	assert_string_equal(e.message, "Line 2, column 10: the name \"a\" appears twice.");
	assert_int_equal(json_parse(arena, STR("[1,"), &v, &e), ERR_BAD_JSON);
	assert_string_equal(e.message, "Line 1, column 4: the text ends too early.");
}

static void every_prefix_of_a_document_is_refused(void **state)
{
	(void)state;
	struct str whole = STR("{\"a\":[1.5e3,\"\\u00e9\\ud83d\\ude00\xe2\x82\xac\",true,null],\"b\":{\"c\":\"d\"}}");
	for (size_t n = 0; n < whole.n; n++) {
		const struct json *v;
		struct error e;
		char *copy;
		assert_int_not_equal(parse_copy(str_make(whole.p, n), &v, &e, &copy), ERR_OK);
		free(copy);
	}
}

static struct str repeated(const char *unit, size_t times, const char *tail)
{
	size_t n = strlen(unit), m = strlen(tail);
	char *p = arena_alloc(arena, n * times + m + 1);
	for (size_t i = 0; i < times; i++)
		memcpy(p + i * n, unit, n);
	memcpy(p + n * times, tail, m);
	return str_make(p, n * times + m);
}

static void depth_is_bounded(void **state)
{
	(void)state;
	const struct json *v;
	struct error e = { 0 };
	struct str fits = str_fmt(arena, "%.*s%.*s", STR_ARG(repeated("[", LIMIT_JSON_DEPTH, "")), STR_ARG(repeated("]", LIMIT_JSON_DEPTH, "")));
	assert_int_equal(json_parse(arena, fits, &v, &e), ERR_OK);
	assert_int_equal(canonical(v, false).n, fits.n);
	assert_int_equal(json_parse(arena, str_fmt(arena, "[%.*s]", STR_ARG(fits)), &v, &e), ERR_TOO_LARGE);
	assert_int_equal(json_parse(arena, repeated("[", 1000000, ""), &v, &e), ERR_TOO_LARGE);
	assert_int_equal(json_parse(arena, repeated("{\"a\":", 100000, ""), &v, &e), ERR_TOO_LARGE);
}

static void the_number_of_values_is_bounded(void **state)
{
	(void)state;
	const struct json *v;
	struct error e = { 0 };
	/* The array itself is a value too. */
	struct str most = str_fmt(arena, "[%.*s", STR_ARG(repeated("1,", LIMIT_JSON_NODES - 2, "1]")));
	assert_int_equal(json_parse(arena, most, &v, &e), ERR_OK);
	assert_int_equal(v->count, LIMIT_JSON_NODES - 1);
	assert_int_equal(json_parse(arena, str_fmt(arena, "[1,%.*s", STR_ARG(str_sub(most, 1, most.n))), &v, &e), ERR_TOO_LARGE);
}

static void a_small_arena_refuses_instead_of_crashing(void **state)
{
	(void)state;
	struct error e = { 0 };
	const struct json *v;
	for (size_t cap = 0; cap < 2000; cap += 40) {
		struct arena *small = arena_new(cap);
		enum err code = json_parse(small, STR("{\"a\":[\"x\\ny\",{},{},{},{},{},{},{},{},{},{}]}"), &v, &e);
		assert_true(code == ERR_OK || code == ERR_NO_MEMORY);
		arena_free(small);
	}
}

/* Objects of n members in three orders, once clean and once with the first name again at the end. */
static void duplicates_are_found_in_objects_of_any_size(void **state)
{
	(void)state;
	for (size_t n = 1; n <= 40000; n = n < 70 ? n + 1 : n * 8) {
		for (int order = 0; order < 3; order++) {
			struct buf text;
			buf_init(&text, 64 * MIB);
			for (size_t i = 0; i < n; i++) {
				size_t id = order == 0 ? i : order == 1 ? n - i : i * 7919 % 100003;
				buf_addf(&text, "%c\"member %06zu\":%zu", i ? ',' : '{', id, i);
			}
			size_t length = text.n;
			buf_add_byte(&text, '}');
			const struct json *v;
			struct error e = { 0 };
			assert_int_equal(json_parse(arena, buf_str(&text), &v, &e), ERR_OK);
			assert_int_equal(v->count, n);
			text.n = length;
			buf_addf(&text, ",\"member %06zu\":0}", order == 1 ? n : (size_t)0);
			assert_int_equal(json_parse(arena, buf_str(&text), &v, &e), ERR_BAD_JSON);
			assert_non_null(strstr(e.message, "appears twice"));
			buf_release(&text);
			arena_reset(arena);
		}
	}
}

static void only_numbers_written_as_integers_are_integers(void **state)
{
	(void)state;
	static const struct { const char *text; int64_t value; } table[] = {
		{ "0", 0 }, { "-0", 0 }, { "7", 7 }, { "-7", -7 }, { "9223372036854775807", INT64_MAX }, { "-9223372036854775808", INT64_MIN },
		{ "9223372036854775808", -99 }, { "-9223372036854775809", -99 }, { "1.0", -99 }, { "1e2", -99 }, { "10e-1", -99 }, { "\"1\"", -99 }, { "true", -99 }, { "null", -99 },
		{ "99999999999999999999999999999999", -99 },
	};
	for (size_t i = 0; i < CH_LEN(table); i++)
		assert_int_equal(json_int(parse(table[i].text), -99), table[i].value);
	assert_int_equal(json_int(NULL, 5), 5);
}

static void lookups_may_be_chained_through_nothing(void **state)
{
	(void)state;
	assert_null(json_get(json_get(json_get(parse("[1]"), "a"), "b"), "c"));
	assert_null(json_text(NULL).p);
	assert_null(json_text(parse("1")).p);
	assert_true(json_bool(NULL, true));
	assert_false(json_bool(NULL, false));
	assert_true(json_bool(parse("1"), true));
	assert_null(json_at(NULL, "/a"));
	json_each(item, (const struct json *)NULL)
		fail();
}

/* RFC 6901, section 5. */
static void pointers_follow_rfc_6901(void **state)
{
	(void)state;
	const struct json *v = parse("{\"foo\":[\"bar\",\"baz\"],\"\":0,\"a/b\":1,\"c%d\":2,\"e^f\":3,\"g|h\":4,\"i\\\\j\":5,\"k\\\"l\":6,\" \":7,\"m~n\":8}");
	static const struct { const char *pointer; int64_t value; } table[] = {
		{ "/", 0 }, { "/a~1b", 1 }, { "/c%d", 2 }, { "/e^f", 3 }, { "/g|h", 4 }, { "/i\\j", 5 }, { "/k\"l", 6 }, { "/ ", 7 }, { "/m~0n", 8 },
	};
	for (size_t i = 0; i < CH_LEN(table); i++) {
		const struct json *at = json_at(v, table[i].pointer);
		assert_int_equal(json_int(at, -1), table[i].value);
		assert_str(json_pointer(arena, at), table[i].pointer);
	}
	assert_str(json_text(json_at(v, "/foo/0")), "bar");
	assert_str(json_pointer(arena, json_at(v, "/foo/1")), "/foo/1");
	assert_str(json_pointer(arena, v), "");
	assert_null(json_at(v, "/m~n"));
	assert_null(json_at(v, "/m~"));
	assert_null(json_at(v, "/foo/2"));
	assert_null(json_at(v, "/foo/0/x"));
	assert_null(json_at(v, "/foo/99999999999999999999"));
}

static void equality_ignores_order_of_members_and_spelling(void **state)
{
	(void)state;
	static const struct { const char *a, *b; bool same; } table[] = {
		{ "{\"a\":1,\"b\":[2,3]}", "{\"b\":[2,3],\"a\":1}", true }, { "[2,3]", "[3,2]", false }, { "1", "1.0", true }, { "1", "1.00e0", true }, { "100", "1e2", true },
		{ "0", "-0", true }, { "0.0e9", "0", true }, { "0.1", "1e-1", true }, { "0.1", "0.01e1", true }, { "0.10", "0.1", true }, { "1", "-1", false }, { "12", "1.3e1", false },
		{ "9007199254740993", "9007199254740992", false }, { "1e400", "1e401", false }, { "1e400", "10e399", true }, { "100.5", "1.005E+2", true }, { "1.01", "1.1", false },
		{ "\"\\u0061\"", "\"a\"", true }, { "\"a\"", "\"b\"", false }, { "null", "false", false }, { "true", "true", true }, { "[]", "{}", false }, { "[1]", "[1,1]", false },
		{ "{\"a\":1}", "{\"b\":1}", false }, { "{\"a\":{\"x\":1,\"y\":2}}", "{\"a\":{\"y\":2,\"x\":1.0}}", true }, { "1", "\"1\"", false },
	};
	for (size_t i = 0; i < CH_LEN(table); i++)
		if (json_equal(parse(table[i].a), parse(table[i].b)) != table[i].same || json_equal(parse(table[i].b), parse(table[i].a)) != table[i].same)
			fail_msg("%s and %s", table[i].a, table[i].b);
	assert_true(json_equal(NULL, NULL));
	assert_false(json_equal(NULL, parse("1")));
}

/* RFC 8785, appendix B, and the edges of ES6's formats. */
static void numbers_are_spelt_as_ecmascript_does(void **state)
{
	(void)state;
	static const struct { uint64_t bits; const char *text; } table[] = {
		{ 0x0000000000000000, "0" }, { 0x8000000000000000, "0" }, { 0x0000000000000001, "5e-324" }, { 0x8000000000000001, "-5e-324" },
		{ 0x7fefffffffffffff, "1.7976931348623157e+308" }, { 0xffefffffffffffff, "-1.7976931348623157e+308" }, { 0x4340000000000000, "9007199254740992" },
		{ 0xc340000000000000, "-9007199254740992" }, { 0x4430000000000000, "295147905179352830000" }, { 0x44b52d02c7e14af5, "9.999999999999997e+22" },
		{ 0x44b52d02c7e14af6, "1e+23" }, { 0x44b52d02c7e14af7, "1.0000000000000001e+23" }, { 0x444b1ae4d6e2ef4e, "999999999999999700000" },
		{ 0x444b1ae4d6e2ef4f, "999999999999999900000" }, { 0x444b1ae4d6e2ef50, "1e+21" }, { 0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7" },
		{ 0x3eb0c6f7a0b5ed8d, "0.000001" }, { 0x41b3de4355555553, "333333333.3333332" }, { 0x41b3de4355555554, "333333333.33333325" },
		{ 0x41b3de4355555555, "333333333.3333333" }, { 0x41b3de4355555556, "333333333.3333334" }, { 0x41b3de4355555557, "333333333.33333343" },
		{ 0xbecbf647612f3696, "-0.0000033333333333333333" }, { 0x43143ff3c1cb0959, "1424953923781206.2" },
		{ 0x3d30000000000000, "5.684341886080802e-14" }, { 0x3ff0000000000000, "1" }, { 0x3fb999999999999a, "0.1" }, { 0x3fd3333333333334, "0.30000000000000004" },
		{ 0x0010000000000000, "2.2250738585072014e-308" }, { 0x000fffffffffffff, "2.225073858507201e-308" }, { 0x7fe0000000000000, "8.98846567431158e+307" },
		{ 0x4197d78400000000, "100000000" }, { 0x3ff8000000000000, "1.5" }, { 0x40c81c8000000000, "12345" },
	};
	for (size_t i = 0; i < CH_LEN(table); i++) {
		double v;
		memcpy(&v, &table[i].bits, sizeof(v));
		/* 17 significant digits name a double; so does its exact expansion. */
		for (int digits = 17; digits <= 800; digits += 783)
			assert_str(canonical(parse(str_z(arena, str_fmt(arena, "%.*e", digits - 1, v))), false), table[i].text);
	}
}

static void spellings_of_numbers_become_one(void **state)
{
	(void)state;
	static const struct { const char *in, *es6, *exact; } table[] = {
		{ "0", "0", "0" }, { "-0", "0", "0" }, { "-0.0", "0", "-0.0" }, { "1E30", "1e+30", "1E30" }, { "4.50", "4.5", "4.50" }, { "2e-3", "0.002", "2e-3" },
		{ "0.000000000000000000000000001", "1e-27", "0.000000000000000000000000001" }, { "333333333.33333329", "333333333.3333333", "333333333.33333329" },
		{ "9007199254740992", "9007199254740992", "9007199254740992" }, { "9007199254740993", "9007199254740992", "9007199254740993" },
		{ "-9007199254740992", "-9007199254740992", "-9007199254740992" }, { "1e2", "100", "1e2" }, { "1.0", "1", "1.0" }, { "1e-400", "0", "1e-400" },
		{ "123456789012345678901234567890", "1.2345678901234568e+29", "123456789012345678901234567890" }, { "0e999999999999999999999", "0", "0e999999999999999999999" },
		{ "3.14", "3.14", "3.14" },
	};
	for (size_t i = 0; i < CH_LEN(table); i++) {
		assert_str(canonical(parse(table[i].in), false), table[i].es6);
		assert_str(canonical(parse(table[i].in), true), table[i].exact);
	}
}

static void a_number_beyond_doubles_has_no_es6_form(void **state)
{
	(void)state;
	static const char *const table[] = { "1e400", "-1e309", "1e99999999999999999999", "1.7976931348623159e308" };
	for (size_t i = 0; i < CH_LEN(table); i++) {
		struct buf out;
		buf_init(&out, 1000);
		json_canonical(&out, parse(table[i]), false);
		assert_true(out.failed);
		buf_release(&out);
		assert_str(canonical(parse(table[i]), true), table[i]);
	}
}

static uint64_t random_state;

static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static void random_seed(void)
{
	const char *given = getenv("TEST_SEED");
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	random_state = given ? strtoull(given, NULL, 10) : (uint64_t)t.tv_nsec * 2654435761u + (uint64_t)t.tv_sec + 1;
	print_message("seed: TEST_SEED=%" PRIu64 "\n", random_state);
}

static void the_spelling_of_a_double_is_shortest_and_reads_back(void **state)
{
	(void)state;
	random_seed();
	for (int i = 0; i < 20000; i++) {
		uint64_t bits = random_next();
		if (i % 4 == 0)
			bits &= ~((UINT64_C(1) << 52) - 1); /* powers of two */
		double v, back;
		memcpy(&v, &bits, sizeof(v));
		if (!isfinite(v))
			continue;
		char in[40];
		snprintf(in, sizeof(in), "%.16e", v);
		const char *text = str_z(arena, canonical(parse(in), false));
		back = strtod(text, NULL);
		if (back != v)
			fail_msg("%s became %s", in, text);
		int digits = 0;
		const char *first = text + strspn(text, "-0.");
		const char *last = text + strcspn(text, "e");
		while (last > first && (last[-1] == '0' || last[-1] == '.'))
			last--;
		for (const char *p = first; p < last; p++)
			digits += *p != '.';
		if (digits > 1) {
			snprintf(in, sizeof(in), "%.*e", digits - 2, v);
			if (strtod(in, NULL) == v)
				fail_msg("%s is shorter than %s", in, text);
		}
		if (i % 1000 == 0)
			arena_reset(arena);
	}
}

static void keys_sort_by_utf16_code_units(void **state)
{
	(void)state;
	/* RFC 8785, 3.2.3 */
	const struct json *v = parse("{\"\\u20ac\":\"Euro Sign\",\"\\r\":\"Carriage Return\",\"\\ufb33\":\"Hebrew Letter Dalet With Dagesh\",\"1\":\"One\","
		"\"\\ud83d\\ude00\":\"Emoji: Grinning Face\",\"\\u0080\":\"Control\",\"\\u00f6\":\"Latin Small Letter O With Diaeresis\"}");
	assert_str(canonical(v, false), "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\xc2\x80\":\"Control\",\"\xc3\xb6\":\"Latin Small Letter O With Diaeresis\","
		"\"\xe2\x82\xac\":\"Euro Sign\",\"\xf0\x9f\x98\x80\":\"Emoji: Grinning Face\",\"\xef\xac\xb3\":\"Hebrew Letter Dalet With Dagesh\"}");
	assert_str(canonical(parse("{\"ab\":1,\"a\":2,\"\":3,\"b\":{\"d\":1,\"c\":[{\"f\":1,\"e\":2}]},\"aa\":4}"), false),
		"{\"\":3,\"a\":2,\"aa\":4,\"ab\":1,\"b\":{\"c\":[{\"e\":2,\"f\":1}],\"d\":1}}");
}

static void strings_are_escaped_as_little_as_possible(void **state)
{
	(void)state;
	assert_str(canonical(parse("\"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\\b\\t\\f\\r\\u007f<\""), false),
		"\"\xe2\x82\xac$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\\b\\t\\f\\r\x7f<\"");
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

static void the_published_vectors_of_rfc_8785_hold(void **state)
{
	(void)state;
	static const char *const names[] = { "arrays", "french", "structures", "unicode", "values", "weird" };
	const char *data = getenv("COMMONHOLD_SHARED_DATA");
	for (size_t i = 0; i < CH_LEN(names); i++) {
		const char *base = str_z(arena, str_fmt(arena, "%s/vectors/jcs/%s", data ? data : "../shared/data", names[i]));
		struct str in = read_file(str_z(arena, str_fmt(arena, "%s.input.json", base))), out = read_file(str_z(arena, str_fmt(arena, "%s.output.json", base)));
		if (!in.p || !out.p)
			skip();
		const struct json *v;
		struct error e = { 0 };
		assert_int_equal(json_parse(arena, in, &v, &e), ERR_OK);
		assert_str(canonical(v, false), str_z(arena, str_trim(out)));
	}
}

static void random_text(struct json_writer *w, bool key)
{
	char text[64];
	size_t n = 0, length = random_next() % 12;
	for (size_t i = 0; i < length; i++) {
		static const char *const pieces[] = { "a", "\"", "\\", "\n", "\x01", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "zz", "/", " ", "\x7f", "\xef\xac\xb3" };
		struct str piece = str_of(pieces[random_next() % CH_LEN(pieces)]);
		memcpy(text + n, piece.p, piece.n);
		n += piece.n;
	}
	if (key)
		jw_key_str(w, str_fmt(arena, "%.*s%u", (int)n, text, w->out->n < 1 ? 0 : (unsigned)w->out->n));
	else
		jw_str(w, str_make(text, n));
}

/* Writes a random document; `kinds` says whether each open level is an object. */
static void random_document(struct buf *out)
{
	struct json_writer w;
	bool object[LIMIT_JSON_DEPTH + 1] = { 0 };
	jw_init(&w, out);
	jw_object(&w);
	object[1] = true;
	for (int steps = (int)(random_next() % 60); w.depth > 0; steps--) {
		uint64_t kind = random_next() % 10;
		if (steps <= 0 || kind == 0) {
			if (object[w.depth])
				jw_end_object(&w);
			else
				jw_end_array(&w);
			continue;
		}
		if (object[w.depth])
			random_text(&w, true);
		bool may_open = w.depth < LIMIT_JSON_DEPTH - 1;
		if (kind <= 2 && may_open) {
			jw_object(&w);
			object[w.depth] = true;
		} else if (kind <= 4 && may_open) {
			jw_array(&w);
			object[w.depth] = false;
		} else if (kind == 5) {
			jw_int(&w, (int64_t)random_next() >> (random_next() % 60));
		} else if (kind == 6) {
			jw_raw(&w, str_fmt(arena, "%.*e", (int)(random_next() % 20), (double)random_next() / 1e7));
		} else if (kind == 7) {
			jw_bool(&w, random_next() & 1);
		} else if (kind == 8) {
			jw_null(&w);
		} else {
			random_text(&w, false);
		}
	}
}

static void what_is_written_reads_back_the_same(void **state)
{
	(void)state;
	random_seed();
	for (int i = 0; i < 2000; i++) {
		struct buf text;
		buf_init(&text, MIB);
		random_document(&text);
		assert_false(text.failed);
		const struct json *v, *again;
		struct error e;
		char *copy;
		if (parse_copy(buf_str(&text), &v, &e, &copy) != ERR_OK)
			fail_msg("%.*s: %s", STR_ARG(buf_str(&text)), e.message);
		struct str once = canonical(v, true);
		assert_int_equal(json_parse(arena, once, &again, &e), ERR_OK);
		assert_true(str_eq(canonical(again, true), once));
		assert_true(json_equal(v, again));
		struct buf same;
		buf_init(&same, MIB);
		struct json_writer w;
		jw_init(&w, &same);
		jw_json(&w, v);
		assert_true(str_eq(buf_str(&same), buf_str(&text)));
		buf_release(&same);
		buf_release(&text);
		free(copy);
		arena_reset(arena);
	}
}

static void random_damage_never_breaks_the_parser(void **state)
{
	(void)state;
	random_seed();
	for (int i = 0; i < 20000; i++) {
		char text[] = "{\"a\":[1.5e3,\"\\u00e9\\ud83d\\ude00\xe2\x82\xac\",true,null],\"b\":{\"c\":\"d\",\"e\":-0}}";
		for (uint64_t hits = random_next() % 4 + 1; hits; hits--)
			text[random_next() % (sizeof(text) - 1)] = (char)random_next();
		const struct json *v;
		struct error e;
		char *copy;
		if (parse_copy(str_make(text, sizeof(text) - 1), &v, &e, &copy) == ERR_OK)
			canonical(v, true);
		free(copy);
		arena_reset(arena);
	}
}

/* What json_is_canonical must say. */
static bool parsed_and_written_the_same(struct str text)
{
	const struct json *v;
	struct error e = { 0 };
	return json_parse(arena, text, &v, &e) == ERR_OK && str_eq(canonical(v, true), text);
}

static void scanned_as_parsed(struct str text)
{
	bool expected = parsed_and_written_the_same(text);
	char *copy = malloc(text.n ? text.n : 1); /* nothing behind its end is read */
	assert_non_null(copy);
	if (text.n)
		memcpy(copy, text.p, text.n);
	bool said = json_is_canonical(str_make(copy, text.n));
	free(copy);
	if (said != expected)
		fail_msg("%.*s is %scanonical", STR_ARG(text), expected ? "" : "not ");
}

static void a_scan_knows_canonical_text_as_the_parser_and_the_writer_do(void **state)
{
	static const char *const table[] = {
		"", " ", "1", "-0", "-0.0", "0", "01", "1.", "1e", "1e5", "1E+05", "-", ".5", "1.50", "12345678901234567890123", "null", "nul", "nulll", "true", "false", "\"\"", "\"", "\"a", "\"\\/\"", "\"\\u0041\"",
		"\"\\u000a\"", "\"\\u001f\"", "\"\\u001F\"", "\"\\u000b\"", "\"\\u0008\"", "\"\\u0000\"", "\"\\b\\f\\n\\r\\t\\\"\\\\\"", "\"\x7f\"", "\"\n\"", "\"\xc3\xb6\"", "\"\xc3\"", "\"\\ud83d\\ude00\"", "{}", "[]", "{ }", "[ ]",
		"[1,2]", "[1, 2]", "[1,]", "[,1]", "[1", "[1}", "{\"a\":1,\"b\":2}", "{\"b\":1,\"a\":2}", "{\"a\":1,\"a\":2}", "{\"a\" :1}", "{\"a\":1}\n", "{\"a\":1}}", "{a:1}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{\"\":1,\"a\":[{},[]]}",
		"{\"\\n\":1,\"\\u0001\":2}", "{\"\\u0001\":2,\"\\n\":1}", "{\"\\n\":1,\" \":2}", "{\" \":1,\"\\n\":2}", "{\"a\\\"\":1,\"a#\":2}", "{\"a\\\\\":1,\"a]\":2}", "{\"a]\":1,\"a\\\\\":2}", "{\"a\":1,\"a\\n\":2}", "{\"a\\n\":1,\"a\":2}",
		"{\"a\\n\":1,\"a\\n\":2}", "{\"\xf0\x9f\x98\x80\":1,\"\xef\xbf\xbd\":2}", "{\"\xef\xbf\xbd\":1,\"\xf0\x9f\x98\x80\":2}", "{\"\\n\xf0\x9f\x98\x80\":1,\"\\n\xef\xbf\xbd\":2}", "{\"\\n\xef\xbf\xbd\":1,\"\\n\xf0\x9f\x98\x80\":2}",
	};
	(void)state;
	for (size_t i = 0; i < CH_LEN(table); i++)
		scanned_as_parsed(str_of(table[i]));
	random_seed();
	for (int i = 0; i < 3000; i++) {
		struct buf text;
		const struct json *v;
		struct error e;
		buf_init(&text, MIB);
		random_document(&text);
		scanned_as_parsed(buf_str(&text));
		assert_int_equal(json_parse(arena, buf_str(&text), &v, &e), ERR_OK);
		struct str once = canonical(v, true);
		assert_true(json_is_canonical(once));
		char *damaged = malloc(once.n);
		assert_non_null(damaged);
		for (int hit = 0; hit < 8; hit++) {
			static const char likely[] = "\"\\,:{}[]0-. nu1\n\xc3";
			memcpy(damaged, once.p, once.n);
			damaged[random_next() % once.n] = random_next() % 3 ? likely[random_next() % (sizeof(likely) - 1)] : (char)random_next();
			scanned_as_parsed(str_make(damaged, once.n));
			scanned_as_parsed(str_sub(once, 0, random_next() % once.n));
		}
		free(damaged);
		buf_release(&text);
		arena_reset(arena);
	}
}

static void a_scan_keeps_the_parsers_limits(void **state)
{
	struct buf text;
	(void)state;
	for (int over = 0; over < 2; over++) {
		buf_init(&text, 4 * MIB);
		for (int i = 0; i < LIMIT_JSON_DEPTH + over; i++)
			buf_add_byte(&text, '[');
		for (int i = 0; i < LIMIT_JSON_DEPTH + over; i++)
			buf_add_byte(&text, ']');
		assert_int_equal(json_is_canonical(buf_str(&text)), !over);
		scanned_as_parsed(buf_str(&text));
		buf_clear(&text);
		for (int i = 0; i < LIMIT_JSON_NODES - 1 + over; i++)
			buf_add(&text, i ? ",1" : "[1", 2);
		buf_add_byte(&text, ']');
		assert_int_equal(json_is_canonical(buf_str(&text)), !over);
		scanned_as_parsed(buf_str(&text));
		buf_release(&text);
	}
}

static void the_writer_puts_commas_and_escapes(void **state)
{
	(void)state;
	struct buf out;
	struct json_writer w;
	buf_init(&out, 1000);
	jw_init(&w, &out);
	jw_object(&w);
	jw_kz(&w, "a\"", "x\ny");
	jw_kint(&w, "n", INT64_MIN);
	jw_kbool(&w, "t", true);
	jw_kstr(&w, "none", STR_NONE);
	jw_kz(&w, "nothing", NULL);
	jw_kstr(&w, "empty", STR(""));
	jw_key(&w, "list");
	jw_array(&w);
	jw_bool(&w, false);
	jw_null(&w);
	jw_raw(&w, STR("{\"z\":1}"));
	jw_json(&w, parse("{ \"b\" : 1.50, \"a\" : [ ] }"));
	jw_json(&w, NULL);
	jw_object(&w);
	jw_end_object(&w);
	jw_array(&w);
	jw_end_array(&w);
	jw_end_array(&w);
	jw_kint(&w, "last", 1);
	jw_end_object(&w);
	assert_str(buf_str(&out), "{\"a\\\"\":\"x\\ny\",\"n\":-9223372036854775808,\"t\":true,\"none\":null,\"nothing\":null,\"empty\":\"\","
		"\"list\":[false,null,{\"z\":1},{\"b\":1.50,\"a\":[]},null,{},[]],\"last\":1}");
	buf_release(&out);
}

static void text_that_is_not_utf8_is_replaced(void **state)
{
	(void)state;
	struct buf out;
	struct json_writer w;
	buf_init(&out, 1000);
	jw_init(&w, &out);
	jw_str(&w, STR("a\xff" "b\0c\xc3"));
	assert_str(buf_str(&out), "\"a\xef\xbf\xbd" "b\xef\xbf\xbd" "c\xef\xbf\xbd\"");
	buf_release(&out);
}

static void a_writer_that_nests_too_deeply_fails(void **state)
{
	(void)state;
	struct buf out;
	struct json_writer w;
	buf_init(&out, 1000);
	jw_init(&w, &out);
	for (int i = 0; i < LIMIT_JSON_DEPTH; i++)
		jw_array(&w);
	assert_false(out.failed);
	jw_array(&w);
	assert_true(out.failed);
	buf_release(&out);
}

static void a_full_buffer_stops_the_canonical_writer(void **state)
{
	(void)state;
	const struct json *v = parse("{\"b\":[1,2,3,\"some text\"],\"a\":{\"d\":null,\"c\":true}}");
	size_t whole = canonical(v, false).n;
	for (size_t max = 0; max <= whole; max++) {
		struct buf out;
		buf_init(&out, max);
		json_canonical(&out, v, false);
		assert_int_equal(out.failed, max < whole);
		buf_release(&out);
	}
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(every_kind_of_value_is_read), TEST(plain_strings_stay_where_they_are), TEST(escapes_are_decoded), TEST(malformed_text_is_refused),
		TEST(a_refusal_says_where), TEST(every_prefix_of_a_document_is_refused), TEST(depth_is_bounded), TEST(the_number_of_values_is_bounded),
		TEST(a_small_arena_refuses_instead_of_crashing), TEST(duplicates_are_found_in_objects_of_any_size), TEST(only_numbers_written_as_integers_are_integers),
		TEST(lookups_may_be_chained_through_nothing), TEST(pointers_follow_rfc_6901), TEST(equality_ignores_order_of_members_and_spelling),
		TEST(numbers_are_spelt_as_ecmascript_does), TEST(spellings_of_numbers_become_one), TEST(a_number_beyond_doubles_has_no_es6_form),
		TEST(the_spelling_of_a_double_is_shortest_and_reads_back), TEST(keys_sort_by_utf16_code_units), TEST(strings_are_escaped_as_little_as_possible),
		TEST(the_published_vectors_of_rfc_8785_hold), TEST(what_is_written_reads_back_the_same), TEST(random_damage_never_breaks_the_parser),
		TEST(the_writer_puts_commas_and_escapes), TEST(text_that_is_not_utf8_is_replaced), TEST(a_writer_that_nests_too_deeply_fails),
		TEST(a_scan_knows_canonical_text_as_the_parser_and_the_writer_do),
		TEST(a_scan_keeps_the_parsers_limits),
		TEST(a_full_buffer_stops_the_canonical_writer),
	};
	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
