/* Codes that change every 30 seconds, against the vectors of RFC 4226, RFC 6238 and RFC 4648. */
#include "server/account/totp.h"

#include "commonhold/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define SECRET STR("12345678901234567890") /* of both RFCs */

static void counters_give_the_codes_of_rfc_4226(void **state)
{
	static const uint32_t codes[] = { 755224, 287082, 359152, 969429, 338314, 254676, 287922, 162583, 399871, 520489 };
	(void)state;
	for (uint64_t i = 0; i < 10; i++)
		assert_int_equal(hotp(SECRET, i, 6), codes[i]);
}

static void instants_give_the_codes_of_rfc_6238(void **state)
{
	static const struct { int64_t seconds; uint32_t code; } rows[] = {
		{ 59, 94287082 }, { 1111111109, 7081804 }, { 1111111111, 14050471 }, { 1234567890, 89005924 }, { 2000000000, 69279037 }, { 20000000000, 65353130 },
	};
	(void)state;
	for (size_t i = 0; i < CH_LEN(rows); i++)
		assert_int_equal(hotp(SECRET, (uint64_t)totp_step(rows[i].seconds * CLOCK_SECOND), 8), rows[i].code);
}

static void a_code_holds_in_its_step_and_its_neighbours(void **state)
{
	(void)state;
	instant now = INT64_C(1111111111) * CLOCK_SECOND;
	for (int64_t off = -3; off <= 3; off++) {
		char code[16];
		snprintf(code, sizeof code, "%06u", hotp(SECRET, (uint64_t)(totp_step(now) + off), 6));
		assert_int_equal(totp_match(SECRET, str_of(code), now), off >= -1 && off <= 1 ? totp_step(now) + off : -1);
	}
	assert_int_equal(totp_match(SECRET, STR(""), now), -1);
	assert_int_equal(totp_match(SECRET, STR("05047"), now), -1);
	assert_int_equal(totp_match(SECRET, STR("0504710"), now), -1);
	assert_int_equal(totp_match(SECRET, STR("287082"), 0), 1); /* the first step has no neighbour before it */
	assert_int_equal(totp_match(SECRET, STR("755224"), 0), 0);
}

static void secrets_are_written_as_rfc_4648_says(void **state)
{
	static const char *const rows[][2] = { { "", "" }, { "f", "MY" }, { "fo", "MZXQ" }, { "foo", "MZXW6" }, { "foob", "MZXW6YQ" }, { "fooba", "MZXW6YTB" }, { "foobar", "MZXW6YTBOI" } };
	struct arena *a = arena_new(KIB * 64);
	(void)state;
	for (size_t i = 0; i < CH_LEN(rows); i++)
		assert_true(str_is(base32(a, str_of(rows[i][0])), rows[i][1]));
	struct str uri = totp_uri(a, STR("Commonhold a:1"), STR("ada@example.org"), SECRET);
	assert_true(str_is(uri,
		"otpauth://totp/Commonhold%20a%3A1:ada%40example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Commonhold%20a%3A1&algorithm=SHA1&digits=6&period=30"));
	arena_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters_give_the_codes_of_rfc_4226),
		cmocka_unit_test(instants_give_the_codes_of_rfc_6238),
		cmocka_unit_test(a_code_holds_in_its_step_and_its_neighbours),
		cmocka_unit_test(secrets_are_written_as_rfc_4648_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
