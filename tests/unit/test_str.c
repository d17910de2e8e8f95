/* Text: views, encodings, buffers. */
#include "commonhold/arena.h"
#include "commonhold/limits.h"
#include "commonhold/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct arena *arena;

static int set_up(void **state)
{
	(void)state;
	arena = arena_new(MIB);
	return arena ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

#define assert_str(s, z) do { struct str s_ = (s), z_ = str_of(z); \
	if (!str_eq(s_, z_)) fail_msg("\"%.*s\" is not \"%s\"", STR_ARG(s_), z_.p); } while (0)

static void views_are_cut_within_their_bounds(void **state)
{
	(void)state;
	assert_str(str_sub(STR("hello"), 1, 3), "ell");
	assert_str(str_sub(STR("hello"), 3, 99), "lo");
	assert_str(str_sub(STR("hello"), 5, 1), "");
	assert_str(str_sub(STR("hello"), 99, 1), "");
	assert_str(str_sub(STR("hello"), 1, SIZE_MAX), "ello");
	assert_non_null(str_sub(STR_NONE, 0, 1).p);
	assert_str(str_trim(STR(" \t\r\n a b \v\f")), "a b");
	assert_str(str_trim(STR("  ")), "");
	assert_int_equal(str_index(STR("a,b,c"), ','), 1);
	assert_int_equal(str_index(STR("abc"), ','), -1);
	assert_int_equal(str_index(STR_NONE, ','), -1);
	assert_true(str_starts(STR("abc"), "ab") && str_starts(STR("abc"), "") && !str_starts(STR("ab"), "abc"));
	assert_true(str_ends(STR("abc"), "bc") && str_ends(STR("abc"), "") && !str_ends(STR("bc"), "abc"));
	assert_true(str_is(STR(""), "") && str_is(STR_NONE, "") && !str_is(STR("a"), "ab") && !str_is(STR("ab"), "a"));
}

static void order_is_by_bytes_and_prefixes_come_first(void **state)
{
	(void)state;
	assert_true(str_cmp(STR("a"), STR("b")) < 0);
	assert_true(str_cmp(STR("ab"), STR("a")) > 0);
	assert_true(str_cmp(STR("\x80"), STR("\x7f")) > 0);
	assert_int_equal(str_cmp(STR("a"), STR("a")), 0);
	assert_int_equal(str_cmp(STR_NONE, STR("")), 0);
	assert_true(str_eq_nocase(STR("Content-TYPE"), "content-type"));
	assert_false(str_eq_nocase(STR("a\0b"), "a"));
	assert_false(str_eq_nocase(STR("\xc9"), "\xe9"));
	assert_str(str_lower(arena, STR("AbC\xc9")), "abc\xc9");
}

static void splitting_keeps_empty_parts(void **state)
{
	(void)state;
	static const struct { const char *text; size_t parts; const char *last; } table[] = { { "a,,b", 3, "b" }, { "", 1, "" }, { ",", 2, "" }, { "a", 1, "a" }, { "a,", 2, "" } };
	for (size_t i = 0; i < CH_LEN(table); i++) {
		struct str rest = str_of(table[i].text), part = STR_NONE;
		size_t n = 0;
		while (str_split(&rest, ',', &part))
			n++;
		assert_int_equal(n, table[i].parts);
		assert_str(part, table[i].last);
	}
	struct str none = STR_NONE, part;
	assert_false(str_split(&none, ',', &part));
}

static void numbers_are_whole_and_in_range(void **state)
{
	(void)state;
	int64_t v;
	assert_true(str_to_i64(STR("9223372036854775807"), INT64_MIN, INT64_MAX, &v) && v == INT64_MAX);
	assert_true(str_to_i64(STR("-9223372036854775808"), INT64_MIN, INT64_MAX, &v) && v == INT64_MIN);
	assert_true(str_to_i64(STR("+007"), 0, 10, &v) && v == 7);
	assert_true(str_to_i64(STR("-0"), 0, 10, &v) && v == 0);
	static const char *const bad[] = { "", "-", "+", " 1", "1 ", "1a", "0x1", "9223372036854775808", "-9223372036854775809", "99999999999999999999999", "11", "-1", "--1", "1.0" };
	for (size_t i = 0; i < CH_LEN(bad); i++)
		assert_false(str_to_i64(str_of(bad[i]), i < 7 || i > 9 ? 0 : INT64_MIN, i < 7 || i > 9 ? 10 : INT64_MAX, &v));
}

static void utf8_is_well_formed_and_without_nul(void **state)
{
	(void)state;
	static const char *const good[] = { "", "plain text longer than eight", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "\"\\\n\x01\x7f" };
	static const char *const bad[] = { "\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "\xc2", "\xe2\x82", "\xf0\x9f\x98",
		"12345678\x80", "\xc2z", "\xe2\x82z" };
	for (size_t i = 0; i < CH_LEN(good); i++)
		assert_true(str_is_utf8(str_of(good[i])));
	for (size_t i = 0; i < CH_LEN(bad); i++)
		assert_false(str_is_utf8(str_of(bad[i])));
	assert_false(str_is_utf8(STR("a\0b")));
	assert_true(str_is_utf8(STR_NONE));
}

/* RFC 4648, section 10. */
static void base64_follows_rfc_4648(void **state)
{
	(void)state;
	static const char *const table[][2] = { { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" },
		{ "\xfb\xff\xfe", "+//+" } };
	for (size_t i = 0; i < CH_LEN(table); i++) {
		struct str plain = str_of(table[i][0]), back;
		assert_str(str_base64(arena, plain.p, plain.n), table[i][1]);
		assert_true(str_unbase64(arena, str_of(table[i][1]), &back));
		assert_true(str_eq(back, plain));
		struct str url = str_base64url(arena, plain.p, plain.n);
		assert_true(str_index(url, '=') < 0 && str_index(url, '+') < 0 && str_index(url, '/') < 0);
		assert_true(str_unbase64url(arena, url, &back));
		assert_true(str_eq(back, plain));
	}
	assert_str(str_base64url(arena, "\xfb\xff\xfe", 3), "-__-");
}

static void base64_has_one_spelling_for_each_text(void **state)
{
	(void)state;
	static const char *const bad[] = { "Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm 9", "Zm9v\n", "=", "====", "Z===", "Zm=v", "-_-_", "Zg==Zg==", "AAAA====" };
	static const char *const bad_url[] = { "Z", "Zh", "Zm9", "Zg==", "+/+/", "Zm9v\n", "Z g" };
	struct str out;
	for (size_t i = 0; i < CH_LEN(bad); i++)
		if (str_unbase64(arena, str_of(bad[i]), &out))
			fail_msg("%s", bad[i]);
	for (size_t i = 0; i < CH_LEN(bad_url); i++)
		if (str_unbase64url(arena, str_of(bad_url[i]), &out))
			fail_msg("%s", bad_url[i]);
	assert_false(str_unbase64url(arena, STR("AA\0A"), &out));
}

static void hex_reads_both_cases_and_nothing_else(void **state)
{
	(void)state;
	uint8_t out[3];
	assert_str(str_hex(arena, "\x00\xab\xff", 3), "00abff");
	assert_true(str_unhex(STR("00aBFf"), out, 3) && memcmp(out, "\x00\xab\xff", 3) == 0);
	assert_false(str_unhex(STR("00abf"), out, 3));
	assert_false(str_unhex(STR("00abfg"), out, 3));
	assert_false(str_unhex(STR("0 abff"), out, 3));
	assert_false(str_unhex(STR("00abff00"), out, 3));
}

static void lower_hex_is_read_digit_by_digit(void **state)
{
	(void)state;
	for (int c = 0; c < 256 * 256; c++) {
		char text[8] = "00ab19af";
		uint8_t one[4], other[4];
		int at = c % 4 * 2;
		text[at] = (char)(c >> 8);
		text[at + 1] = (char)c;
		struct str s = str_make(text, 8);
		bool upper = (text[at] >= 'A' && text[at] <= 'F') || (text[at + 1] >= 'A' && text[at + 1] <= 'F');
		bool read = str_unhex_lower(s, one, 4);
		assert_int_equal(read, str_unhex(s, other, 4) && !upper);
		assert_true(!read || memcmp(one, other, 4) == 0);
	}
	uint8_t none[3];
	assert_false(str_unhex_lower(STR("00abf"), none, 3));
}

static void addresses_are_decoded_strictly(void **state)
{
	(void)state;
	struct str out;
	assert_true(str_url_decode(arena, STR("a+b%20c%C3%A9"), false, &out));
	assert_str(out, "a+b c\xc3\xa9");
	assert_true(str_url_decode(arena, STR("a+b%2Bc"), true, &out));
	assert_str(out, "a b+c");
	assert_true(str_url_decode(arena, STR(""), true, &out) && out.n == 0);
	static const char *const bad[] = { "%", "%4", "%4g", "a%", "%00", "%ff", "%c3", "%ed%a0%80", "\xff" };
	for (size_t i = 0; i < CH_LEN(bad); i++)
		assert_false(str_url_decode(arena, str_of(bad[i]), false, &out));
	assert_str(str_url_encode(arena, STR("aZ09-_.~ /+&\xc3\xa9")), "aZ09-_.~%20%2F%2B%26%C3%A9");
}

static void copies_end_in_nul_and_absence_stays_absence(void **state)
{
	(void)state;
	assert_null(str_copy(arena, STR_NONE).p);
	struct str copy = str_copy(arena, STR("abc"));
	assert_int_equal(copy.p[3], '\0');
	assert_string_equal(str_z(arena, STR_NONE), "");
	assert_str(str_fmt(arena, "%d-%s", 42, "x"), "42-x");
	assert_str(str_fmt(arena, "%s", ""), "");
}

static void nothing_crashes_when_memory_is_short(void **state)
{
	(void)state;
	struct arena *none = arena_new(0);
	struct str out;
	assert_null(str_copy(none, STR("abc")).p);
	assert_null(str_z(none, STR("abc")));
	assert_null(str_lower(none, STR("abc")).p);
	assert_null(str_fmt(none, "%d", 1).p);
	assert_null(str_hex(none, "a", 1).p);
	assert_null(str_base64(none, "a", 1).p);
	assert_null(str_url_encode(none, STR("a")).p);
	assert_false(str_unbase64(none, STR("Zg=="), &out));
	assert_false(str_url_decode(none, STR("a"), false, &out));
	arena_free(none);
}

static void a_buffer_never_passes_its_maximum_and_remembers(void **state)
{
	(void)state;
	struct buf b;
	buf_init(&b, 10);
	buf_add_z(&b, "12345");
	buf_addf(&b, "%d", 67890);
	assert_false(b.failed);
	assert_str(buf_str(&b), "1234567890");
	assert_true(b.cap <= 10);
	buf_add_byte(&b, 'x');
	assert_true(b.failed);
	assert_int_equal(b.n, 10);
	buf_clear(&b);
	buf_add_i64(&b, INT64_MIN);
	assert_true(b.failed);
	buf_clear(&b);
	buf_add_z(&b, "");
	buf_add(&b, NULL, 0);
	assert_false(b.failed);
	assert_str(buf_str(&b), "");
	buf_add_z(&b, "abc");
	assert_true(buf_reserve(&b, SIZE_MAX) == NULL && b.failed);
	buf_release(&b);
	assert_null(b.p);
}

static void long_formats_fit_to_the_byte(void **state)
{
	(void)state;
	for (size_t n = 250; n < 270; n++) {
		struct buf b;
		char *text = arena_alloc(arena, n + 1);
		memset(text, 'x', n);
		buf_init(&b, n);
		buf_addf(&b, "%s", text);
		assert_false(b.failed);
		assert_int_equal(b.n, n);
		buf_clear(&b);
		buf_addf(&b, "%s!", text);
		assert_true(b.failed);
		buf_release(&b);
	}
}

static void beginnings_of_text_hold_no_half_characters(void **state)
{
	(void)state;
	assert_true(str_is(str_utf8_head(STR("a\xc3\xa9z"), 2), "a"));
	assert_true(str_is(str_utf8_head(STR("a\xc3\xa9z"), 3), "a\xc3\xa9"));
	assert_true(str_is(str_utf8_head(STR("a\xc3\xa9z"), 9), "a\xc3\xa9z"));
	assert_int_equal(str_utf8_head(STR("\xe2\x82\xac"), 2).n, 0);
}

static void a_word_is_found_among_words(void **state)
{
	static const char *const words[] = { "erase", "embargo", "correct" };
	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(str_which(str_of(words[i]), words, 3), i);
	assert_int_equal(str_which(STR("eras"), words, 3), -1);
	assert_int_equal(str_which(STR("Erase"), words, 3), -1);
	assert_int_equal(str_which(STR("correct"), words, 2), -1);
	assert_int_equal(str_which(STR_NONE, words, 3), -1);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(views_are_cut_within_their_bounds), TEST(a_word_is_found_among_words), TEST(order_is_by_bytes_and_prefixes_come_first), TEST(splitting_keeps_empty_parts), TEST(numbers_are_whole_and_in_range),
		TEST(utf8_is_well_formed_and_without_nul), TEST(base64_follows_rfc_4648), TEST(base64_has_one_spelling_for_each_text), TEST(hex_reads_both_cases_and_nothing_else), TEST(lower_hex_is_read_digit_by_digit),
		TEST(addresses_are_decoded_strictly), TEST(copies_end_in_nul_and_absence_stays_absence), TEST(nothing_crashes_when_memory_is_short),
		TEST(a_buffer_never_passes_its_maximum_and_remembers), TEST(long_formats_fit_to_the_byte), TEST(beginnings_of_text_hold_no_half_characters),
	};
	return cmocka_run_group_tests_name("str", tests, NULL, NULL);
}
