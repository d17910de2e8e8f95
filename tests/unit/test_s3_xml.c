/* The little XML of S3: what services answer is read, what nobody should answer is not. */
#include "server/erasure/mirror/s3_xml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct arena *arena;

static int begin(void **state)
{
	(void)state;
	arena = arena_new(1 << 20);
	return arena ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

static void a_page_of_a_listing_is_read(void **state)
{
	(void)state;
	struct str page = STR("\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name><IsTruncated>true</IsTruncated>"
		"<Contents><Key>a%2Fb</Key><ETag>&quot;0123&quot;</ETag><Size>7</Size><Owner/></Contents><Contents  ><Key>c&amp;d</Key></Contents><ContentsLike><Key>no</Key></ContentsLike>"
		"<NextContinuationToken>x&#61;&#x3D;</NextContinuationToken></ListBucketResult>");
	struct str rest = page, inside;
	assert_true(s3_xml_is(page, "ListBucketResult"));
	assert_false(s3_xml_is(page, "ListBucket"));
	assert_false(s3_xml_is(page, "Name"));
	assert_true(s3_xml_next(&rest, "Contents", &inside));
	assert_true(str_is(s3_xml_text(arena, inside, "Key"), "a%2Fb"));
	assert_true(str_is(s3_xml_text(arena, inside, "ETag"), "\"0123\""));
	assert_true(str_is(s3_xml_text(arena, inside, "Owner"), ""));
	assert_null(s3_xml_text(arena, inside, "VersionId").p);
	assert_true(s3_xml_next(&rest, "Contents", &inside));
	assert_true(str_is(s3_xml_text(arena, inside, "Key"), "c&d"));
	assert_false(s3_xml_next(&rest, "Contents", &inside));
	assert_true(str_is(s3_xml_text(arena, page, "NextContinuationToken"), "x=="));
}

static void what_is_not_well_formed_is_no_text(void **state)
{
	(void)state;
	static const char *const bad[] = { "", "<", "<Key", "<Key>", "<Key>x", "<Key>x</Ke", "<Key>a<b/>c</Key>", "<Key>&nbsp;</Key>", "<Key>&</Key>", "<Key>&amp</Key>", "<Key>&#0;</Key>", "<Key>&#xfffffff;</Key>",
		"<Key>&#300;</Key>", "<Keys>x</Keys>", "<Key>&aaaaaaaaaaaaaaa;</Key>", "</Key>x<Key>" };
	for (size_t i = 0; i < CH_LEN(bad); i++)
		assert_null(s3_xml_text(arena, str_of(bad[i]), "Key").p);
	assert_false(s3_xml_is(STR("<?xml"), "Error"));
	assert_false(s3_xml_is(STR("Error"), "Error"));
	assert_false(s3_xml_is(STR(""), "Error"));
	assert_true(s3_xml_is(STR(" <Error/> "), "Error"));
}

static void what_is_written_is_read_again(void **state)
{
	(void)state;
	struct str text = STR("\"a&b<c>d\"");
	struct buf b;
	buf_init(&b, 200);
	buf_add_z(&b, "<T>");
	s3_xml_add(&b, text);
	buf_add_z(&b, "</T>");
	assert_true(str_eq(s3_xml_text(arena, buf_str(&b), "T"), text));
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_page_of_a_listing_is_read, begin, end),
		cmocka_unit_test_setup_teardown(what_is_not_well_formed_is_no_text, begin, end),
		cmocka_unit_test_setup_teardown(what_is_written_is_read_again, begin, end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
