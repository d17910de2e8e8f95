/* Markdown of strangers on pages of ours: no HTML of theirs, no link that runs something, no text that takes long. */
#include "commonhold/limits.h"
#include "commonhold/markdown.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct arena *a;

static int start(void **state)
{
	(void)state;
	a = arena_new(16 * MIB);
	return a ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	arena_free(a);
	return 0;
}

static const char *html(const char *markdown)
{
	return str_z(a, markdown_html(a, str_of(markdown)));
}

static size_t count(const char *text, const char *part)
{
	size_t n = 0;
	for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part))
		n++;
	return n;
}

static void html_of_theirs_and_links_that_run_are_left_out(void **state)
{
	(void)state;
	assert_null(strstr(html("<script>alert(1)</script>\n\n<b onclick=x>y</b>"), "<script"));
	assert_null(strstr(html("one <img src=x onerror=alert(1)> two"), "onerror"));
	assert_null(strstr(html("[x](javascript:alert(1))"), "javascript"));
	assert_null(strstr(html("[x](JaVaScRiPt:alert(1))"), "lert"));
	assert_null(strstr(html("![x](data:text/html;base64,AAAA)"), "data:"));
	assert_null(strstr(html("<javascript:alert(1)>"), "href=\"javascript"));
	assert_string_equal(html("[x](https://example.org/?a=1&b=\"2\")"), "<p><a href=\"https://example.org/?a=1&amp;b=%222%22\">x</a></p>\n");
}

static void what_is_no_utf8_becomes_so(void **state)
{
	(void)state;
	assert_string_equal(html("a\xff\xfe" "b"), "<p>a\xef\xbf\xbd\xef\xbf\xbd" "b</p>\n");
}

/* cmark's time grows with the square of the images that are begun. */
static void beyond_some_hundred_images_are_written_as_they_stand(void **state)
{
	(void)state;
	struct buf b;
	buf_init(&b, MIB);
	for (int i = 0; i < 500; i++)
		buf_add_z(&b, "![one](/two)\n");
	assert_int_equal(count(html(str_z(a, buf_str(&b))), "<img "), 500);
	for (int i = 0; i < 20000; i++)
		buf_add_z(&b, "![one](/two)\n");
	const char *text = html(str_z(a, buf_str(&b)));
	assert_int_equal(count(text, "<img "), 500);
	assert_int_equal(count(text, "![one](/two)"), 20000);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(html_of_theirs_and_links_that_run_are_left_out, start, end),
		cmocka_unit_test_setup_teardown(what_is_no_utf8_becomes_so, start, end),
		cmocka_unit_test_setup_teardown(beyond_some_hundred_images_are_written_as_they_stand, start, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
