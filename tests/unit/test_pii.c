/* Detectors of personal data: what they find, what they leave alone, where they end, and that no input leads them astray. */
#include "commonhold/pii.h"

#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define KIND(k) (1U << (k))

/* A text, and the one thing in it; NULL: nothing. */
struct pii_case {
	const char *text;  /* what is scanned */
	enum pii_kind kind;
	const char *found; /* the bytes that the finding covers */
};

/* Scans a heap copy of exactly that size, so that the sanitizer sees any step outside. */
static void scan_exact(const char *p, size_t n, struct pii_report *r)
{
	char *copy = malloc(n ? n : 1);
	assert_non_null(copy);
	if (n)
		memcpy(copy, p, n);
	pii_scan(str_make(copy, n), r);
	free(copy);
}

static void check_cases(const struct pii_case *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		/* the same at every alignment of the 16-byte blocks, and at both ends of the text */
		for (size_t pad = 0; pad < 18; pad++) {
			char text[8192];
			int length = snprintf(text, sizeof(text), "%.*s%s", (int)pad, "~~~~~~~~~~~~~~~~ ~" + (18 - pad), cases[i].text);
			struct pii_report r = { 0 };
			scan_exact(text, (size_t)length, &r);
			if (!cases[i].found) {
				if (r.mask)
					fail_msg("found %s in: %s", pii_kind_word((unsigned)__builtin_ctz(r.mask)), text);
				continue;
			}
			if (r.mask != KIND(cases[i].kind) || r.kept != 1)
				fail_msg("mask %x, %zu findings in: %s", r.mask, r.kept, text);
			struct str found = str_make(text + r.finding[0].offset, r.finding[0].length);
			if (!str_is(found, cases[i].found))
				fail_msg("found \"%.*s\", not \"%s\"", STR_ARG(found), cases[i].found);
			assert_int_equal(r.count[cases[i].kind], 1);
			assert_in_range(r.finding[0].confidence, 1, 100);
		}
	}
}

static void e_mail_addresses_are_found_and_what_only_has_an_at_sign_is_not(void **state)
{
	(void)state;
	static const struct pii_case cases[] = {
		{ "write to anna.keller@posteo.example.de today", PII_EMAIL, "anna.keller@posteo.example.de" },
		{ "a@b.ch", PII_EMAIL, "a@b.ch" },
		{ "<first+tag@sub.domain.co.uk>", PII_EMAIL, "first+tag@sub.domain.co.uk" },
		{ "Mail me: o'neil_99%x@mail-server.info.", PII_EMAIL, "o'neil_99%x@mail-server.info" },
		{ "jürg@bücher.ch!", PII_EMAIL, "jürg@bücher.ch" },
		{ "name@example.org", PII_EMAIL, "name@example.org" },
		{ "contact a@b.museum, please", PII_EMAIL, "a@b.museum" },
		{ "mailto:x@y.io?subject=1", PII_EMAIL, "x@y.io" },
		{ "a@b", 0, NULL }, { "a@b.c", 0, NULL }, { "@app.route('/x')", 0, NULL }, { "follow @someone on it", 0, NULL },
		{ "npm install pkg@1.2.3", 0, NULL }, { "logo@2x.png", 0, NULL }, { "git clone git@github.com:user/repo", 0, NULL },
		{ "a@-b.com", 0, NULL }, { "a@b..com", 0, NULL }, { "trailing.@b.com", 0, NULL }, { "5 apples @ 3.50 each", 0, NULL },
		{ "@", 0, NULL }, { "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@", 0, NULL },
		{ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@b.com", 0, NULL },
	};
	check_cases(cases, CH_LEN(cases));
}

static void telephone_numbers_need_a_country_or_the_form_of_one(void **state)
{
	(void)state;
	static const struct pii_case cases[] = {
		{ "+41 79 123 45 67", PII_PHONE, "+41 79 123 45 67" },
		{ "+41791234567", PII_PHONE, "+41791234567" },
		{ "+44 (0)20 7946 0958", PII_PHONE, "+44 (0)20 7946 0958" },
		{ "+1 (212) 555-0123", PII_PHONE, "+1 (212) 555-0123" },
		{ "+49-30-901820", PII_PHONE, "+49-30-901820" },
		{ "+420 601 123 456", PII_PHONE, "+420 601 123 456" },
		{ "+90 212 555 01 23", PII_PHONE, "+90 212 555 01 23" },
		{ "0041 81 123 45 67", PII_PHONE, "0041 81 123 45 67" },
		{ "(212) 555-0123", PII_PHONE, "(212) 555-0123" },
		{ "212-555-0123", PII_PHONE, "212-555-0123" },
		{ "1-212-555-0123", PII_PHONE, "1-212-555-0123" },
		{ "212.555.0123", PII_PHONE, "212.555.0123" },
		{ "Ring 212-555-0123. Or not.", PII_PHONE, "212-555-0123" },
		{ "+(41) 79 123 45 67", PII_PHONE, "+(41) 79 123 45 67" },
		{ "(+41 79 123 45 67)", PII_PHONE, "+41 79 123 45 67" },
		{ "Tel. 0711/1234567", PII_PHONE, "0711/1234567" },
		{ "079 123 45 67", PII_PHONE, "079 123 45 67" },
		{ "01 99 00 12 34", PII_PHONE, "01 99 00 12 34" },
		{ "phone: 6135550123", PII_PHONE, "6135550123" },
		{ "mobile 079\xc2\xa0" "123\xc2\xa0" "45\xc2\xa0" "67", PII_PHONE, "079\xc2\xa0" "123\xc2\xa0" "45\xc2\xa0" "67" },
		{ "2023-04-09", 0, NULL }, { "09.04.2023 10:15", 0, NULL }, { "01/02/2023 11", 0, NULL }, { "01 02 03 04 05", 0, NULL },
		{ "1761815388187", 0, NULL }, { "0.14285714285714285714285714", 0, NULL }, { "0.123456789", 0, NULL }, { "1234567890", 0, NULL },
		{ "ISBN 978-3-16-148410-0", 0, NULL }, { "266725-0038-4", 0, NULL }, { "+283 123 456 78", 0, NULL }, { "+41 12", 0, NULL },
		{ "x = 1+4179123456;", 0, NULL }, { "112-555-0123", 0, NULL }, { "212-155-0123", 0, NULL }, { "id-212-555-0123", 0, NULL },
		{ "10 000 000 000", 0, NULL }, { "12.345.678,90", 0, NULL }, { "$212-555-0123", 0, NULL },
		{ "16549-2023", 0, NULL }, { "+1 (112) 555-0123", 0, NULL }, { "12-1 6.14.0-37", 0, NULL },
	};
	check_cases(cases, CH_LEN(cases));
}

static void an_iban_counts_only_with_right_check_digits_and_length(void **state)
{
	(void)state;
	static const struct pii_case cases[] = {
		{ "DE89 3704 0044 0532 0130 00", PII_IBAN, "DE89 3704 0044 0532 0130 00" },
		{ "DE89370400440532013000", PII_IBAN, "DE89370400440532013000" },
		{ "IBAN: GB82WEST12345698765432.", PII_IBAN, "GB82WEST12345698765432" },
		{ "CH93 0076 2011 6238 5295 7", PII_IBAN, "CH93 0076 2011 6238 5295 7" },
		{ "FR14 2004 1010 0505 0001 3M02 606", PII_IBAN, "FR14 2004 1010 0505 0001 3M02 606" },
		{ "NO9386011117947", PII_IBAN, "NO9386011117947" },
		{ "MT84MALT011000012345MTLCAST001S", PII_IBAN, "MT84MALT011000012345MTLCAST001S" },
		{ "PL61109010140000071219812874", PII_IBAN, "PL61109010140000071219812874" },
		{ "DE88 3704 0044 0532 0130 00", 0, NULL }, { "DE8937040044053201300", 0, NULL }, { "DE893704004405320130001", 0, NULL },
		{ "XDE89370400440532013000", 0, NULL }, { "ZZ89370400440532013000", 0, NULL }, { "NO93", 0, NULL },
	};
	check_cases(cases, CH_LEN(cases));
}

static void a_card_counts_only_with_a_network_a_length_and_a_luhn_digit(void **state)
{
	(void)state;
	static const struct pii_case cases[] = {
		{ "4111 1111 1111 1111", PII_CARD, "4111 1111 1111 1111" },
		{ "4111111111111111", PII_CARD, "4111111111111111" },
		{ "(4111 1111 1111 1111)", PII_CARD, "4111 1111 1111 1111" },
		{ "it is 4111 1111 1111 1111. Or 4111 1111 1111 1112/", PII_CARD, "4111 1111 1111 1111" },
		{ "5555-5555-5555-4444", PII_CARD, "5555-5555-5555-4444" },
		{ "card 3782 822463 10005, thanks", PII_CARD, "3782 822463 10005" },
		{ "6011111111111117", PII_CARD, "6011111111111117" },
		{ "3530111333300000", PII_CARD, "3530111333300000" },
		{ "2223003122003222", PII_CARD, "2223003122003222" },
		{ "30569309025904", PII_CARD, "30569309025904" },
		{ "4111 1111 1111 1112", 0, NULL }, { "1111 1111 1111 1117", 0, NULL }, { "411111111111111", 0, NULL }, { "41111111111111111", 0, NULL },
		{ "0.4111111111111111", 0, NULL }, { "a4111111111111111", 0, NULL }, { "4111111111111111f", 0, NULL }, { "4111-1111 1111-1111", 0, NULL },
		{ "41 11 1111 1111 1111", 0, NULL }, { "#4111111111111111", 0, NULL }, { "order_4111111111111111", 0, NULL },
		{ "4111111111111111-22", 0, NULL }, { "0000000000000000", 0, NULL },
	};
	check_cases(cases, CH_LEN(cases));
}

static void addresses_of_machines_count_only_where_they_belong_to_somebody(void **state)
{
	(void)state;
	static const struct pii_case cases[] = {
		{ "from 81.6.41.77 at noon", PII_IP, "81.6.41.77" },
		{ "(85.214.132.117)", PII_IP, "85.214.132.117" },
		{ "host 85.214.132.117:8080", PII_IP, "85.214.132.117" },
		{ "85.214.132.117.", PII_IP, "85.214.132.117" },
		{ "2a02:120b:2c6b:7a10:1cf4:1b2c:99:1", PII_IP, "2a02:120b:2c6b:7a10:1cf4:1b2c:99:1" },
		{ "at 2a01:4f8:c0c::2 it is", PII_IP, "2a01:4f8:c0c::2" },
		{ "[2606:2800:220:1:248:1893:25c8:1946]:443", PII_IP, "2606:2800:220:1:248:1893:25c8:1946" },
		{ "version 1.2.3.4", 0, NULL }, { "10.0.12.200", 0, NULL }, { "192.168.1.77", 0, NULL }, { "127.0.0.1", 0, NULL }, { "172.31.255.254", 0, NULL },
		{ "203.0.113.99", 0, NULL }, { "198.51.100.99", 0, NULL }, { "256.100.100.100", 0, NULL }, { "1.2.3", 0, NULL }, { "81.6.41.77.5", 0, NULL },
		{ "v81.6.41.77", 0, NULL }, { "81.6.41.077", 0, NULL }, { "81.6.41.0/24", 0, NULL }, { "239.255.255.250", 0, NULL },
		{ "2001:db8::1", 0, NULL }, { "fe80::1", 0, NULL }, { "std::vector", 0, NULL }, { "12:30:45", 0, NULL }, { "2023:01:01 10:00:00", 0, NULL },
		{ "3d::add", 0, NULL }, { "2a02:120b:2c6b:7a10:1cf4:1b2c:99:1:5", 0, NULL }, { "2a01:4f8::c0c::2", 0, NULL }, { "2a01:4f8:c0c::/48", 0, NULL },
	};
	check_cases(cases, CH_LEN(cases));
}

/* Assembled here so that no scanner of repositories takes them for leaked ones. */
#define R20 "Zk3pQ9xW7mT2vB8nL4rY"
#define R16 "7Q2XK5M3ZP6RT4WJ"

static void keys_tokens_and_passwords_are_found_by_form_or_by_name(void **state)
{
	(void)state;
	static const struct pii_case cases[] = {
		{ "AKIA" R16, PII_SECRET, "AKIA" R16 },
		{ "export X=ghp" "_" R20 R16, PII_SECRET, "ghp" "_" R20 R16 },
		{ "glpat" "-" R20, PII_SECRET, "glpat" "-" R20 },
		{ "\"sk-" "ant-api03-" R20 R20 "\"", PII_SECRET, "sk-" "ant-api03-" R20 R20 },
		{ "xoxb" "-123456789012-" R20, PII_SECRET, "xoxb" "-123456789012-" R20 },
		{ "AIza" "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q", PII_SECRET, "AIza" "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q" },
		{ "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl", PII_SECRET, "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl" },
		{ "Authorization: Bearer " R20, PII_SECRET, R20 },
		{ "password = \"tR0ub4dor&3\"", PII_SECRET, "tR0ub4dor&3" },
		{ "\"client_secret\": \"" R20 "\"", PII_SECRET, R20 },
		{ "API_KEY=" R20, PII_SECRET, R20 },
		{ "postgres://ana:hunter2hunter@db.host/x", PII_SECRET, "ana:hunter2hunter@" },
		{ "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----\nafter", PII_SECRET,
			"-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----" },
		{ "-----BEGIN OPENSSH PRIVATE KEY-----", PII_SECRET, "-----BEGIN OPENSSH PRIVATE KEY-----" },
		{ "API_KEY=your_api_key_here_123", 0, NULL }, { "api_key = os.getenv(\"MY_KEY\")", 0, NULL }, { "const API_KEY = process.env.SOME_KEY_1;", 0, NULL },
		{ "password: must be long", 0, NULL }, { "the token: a word that stands for 1", 0, NULL }, { "max_tokens: 1000000000000000", 0, NULL },
		{ "-----BEGIN CERTIFICATE-----", 0, NULL }, { "------------------------------", 0, NULL }, { "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 0, NULL },
		{ "internationalization-of-everything", 0, NULL }, { "AKIAXXXXXXXXXXXXXXXX", 0, NULL }, { "task-" R20 R16, 0, NULL },
		{ "token = get_token(user)", 0, NULL }, { "secret: ${VAULT_SECRET_12345}", 0, NULL }, { "eyJhbGciOiJIUzI1NiJ9 alone", 0, NULL },
		{ "https://host.org/a:b@c", 0, NULL }, { "6f1c1c5e-93b1-4c8e-9a53-0d8a1f6c2b47", 0, NULL },
	};
	check_cases(cases, CH_LEN(cases));
}

static void ordinary_text_in_many_languages_gives_nothing(void **state)
{
	(void)state;
	static const struct pii_case cases[] = {
		{ "In 1969 the budget was 25,400,000,000 dollars; 3 men flew 384,400 km in 75 hours.", 0, NULL },
		{ "Zeit: 10:15-11:45, Raum 3.14, Seiten 101-199, § 4 Abs. 2, Art. 12/2019.", 0, NULL },
		{ "Le 14 juillet 1789, de 9 h 30 à 17 h 45 : environ 1 000 personnes, soit 12,5 %.", 0, NULL },
		{ "Temperature 36.6 37.2 38.9 36.4 - mean 37.275, n = 1024, p < 0.00001", 0, NULL },
		{ "for (int i = 0; i < 1000000; i++) sum += a[i] * 3.14159265358979;", 0, NULL },
		{ "SHA-256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", 0, NULL },
		{ "1. flour 500 g\n2. water 320 ml\n3. salt 10 g\n4. wait 12 - 18 hours at 20 °C", 0, NULL },
		{ "CPU 12.5.0-1004.10 build 20230415.1, kernel 6.14.0-37, RFC 8785 section 3.2.2.3", 0, NULL },
		{ "", 0, NULL },
	};
	check_cases(cases, CH_LEN(cases));
}

static void a_report_keeps_the_first_findings_and_counts_all(void **state)
{
	(void)state;
	char text[PII_FINDINGS * 2 * 8 + 1];
	for (size_t i = 0; i < PII_FINDINGS * 2; i++)
		memcpy(text + i * 8, "a@bb.ch ", 8);
	struct pii_report r = { 0 };
	pii_scan(str_make(text, PII_FINDINGS * 2 * 8), &r);
	assert_int_equal(r.kept, PII_FINDINGS);
	assert_int_equal(r.count[PII_EMAIL], PII_FINDINGS * 2);
	for (size_t i = 0; i < r.kept; i++)
		assert_int_equal(r.finding[i].offset, i * 8);
}

static void every_string_of_a_content_is_looked_at_and_named(void **state)
{
	(void)state;
	struct arena *a = arena_new(1 * MIB);
	const struct json *v = NULL;
	struct error e = { 0 };
	assert_int_equal(json_parse(a, STR("{\"messages\":[{\"role\":\"user\",\"content\":\"hello\"},{\"content\":\"I am ana@x.ch\",\"tags\":[\"+41791234567\"]}],"
			"\"n\":4111111111111111,\"o\":{},\"p\":[],\"iban\":\"DE89370400440532013000\"}"), &v, &e), ERR_OK);
	struct pii_report r = { 0 };
	pii_scan_tree(v, &r);
	assert_int_equal(r.mask, KIND(PII_EMAIL) | KIND(PII_PHONE) | KIND(PII_IBAN));
	assert_int_equal(r.kept, 3);
	assert_true(str_is(json_pointer(a, r.finding[0].at), "/messages/1/content"));
	assert_true(str_is(json_pointer(a, r.finding[1].at), "/messages/1/tags/0"));
	assert_true(str_is(json_pointer(a, r.finding[2].at), "/iban"));
	struct pii_report inner = { 0 };
	pii_scan_tree(json_at(v, "/messages/1/tags"), &inner);
	assert_int_equal(inner.mask, KIND(PII_PHONE));
	arena_free(a);
}

static void findings_lie_inside_the_text_whatever_the_text(void **state)
{
	(void)state;
	static const char *const pieces[] = { "@", ".", "-", "--", "-----BEGIN ", "PRIVATE KEY-----", "+41", "79", "(0)", " ", "12", "345", "4111", "DE89", "a", "x.ch",
		"eyJ", "password=", "\"", "://", ":", "2a02:", "::", "\xc3\xa9", "\xff", "AKIA", "\n", "0", "1111", "abcdefghijklmnop" };
	uint64_t seed = 20261122, s = seed;
	print_message("seed %" PRIu64 "\n", seed);
	for (int round = 0; round < 20000; round++) {
		char text[512];
		size_t n = 0;
		for (int k = 0; k < 24; k++) {
			s = s * UINT64_C(6364136223846793005) + 1442695040888963407U;
			const char *piece = pieces[(s >> 33) % CH_LEN(pieces)];
			size_t m = strlen(piece);
			memcpy(text + n, piece, m);
			n += m;
		}
		struct pii_report r = { 0 };
		scan_exact(text, n, &r);
		for (size_t i = 0; i < r.kept; i++) {
			assert_true(r.finding[i].length > 0);
			assert_true((size_t)r.finding[i].offset + r.finding[i].length <= n);
			assert_true(r.mask & KIND(r.finding[i].kind));
		}
	}
}

/* Runs are looked for in steps: where one begins, and what ends it, must not matter. */
static void a_token_is_found_wherever_it_stands(void **state)
{
	(void)state;
	static const char token[] = "AKIA" R16;
	char text[200];
	for (size_t at = 0; at < 70; at++)
		for (size_t behind = 0; behind < 40; behind++) {
			struct pii_report r = { 0 };
			size_t n = sizeof(token) - 1;
			for (size_t i = 0; i < at + n + behind; i++)
				text[i] = "ab cd. \xc3\xa9 "[i % 11];
			if (at)
				text[at - 1] = ' ';
			memcpy(text + at, token, n);
			text[at + n] = ' ';
			scan_exact(text, at + n + behind, &r);
			assert_int_equal(r.count[PII_SECRET], 1);
			assert_int_equal(r.finding[0].offset, at);
			assert_int_equal(r.finding[0].length, n);
		}
}

static void each_kind_has_a_word_and_a_sentence(void **state)
{
	(void)state;
	for (unsigned k = 0; k < PII_KIND_COUNT; k++) {
		assert_non_null(pii_kind_word(k));
		assert_non_null(pii_kind_text(k));
	}
	assert_null(pii_kind_word(PII_KIND_COUNT));
	assert_null(pii_kind_text(PII_KIND_COUNT));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(e_mail_addresses_are_found_and_what_only_has_an_at_sign_is_not),
		cmocka_unit_test(telephone_numbers_need_a_country_or_the_form_of_one),
		cmocka_unit_test(an_iban_counts_only_with_right_check_digits_and_length),
		cmocka_unit_test(a_card_counts_only_with_a_network_a_length_and_a_luhn_digit),
		cmocka_unit_test(addresses_of_machines_count_only_where_they_belong_to_somebody),
		cmocka_unit_test(keys_tokens_and_passwords_are_found_by_form_or_by_name),
		cmocka_unit_test(ordinary_text_in_many_languages_gives_nothing),
		cmocka_unit_test(a_report_keeps_the_first_findings_and_counts_all),
		cmocka_unit_test(every_string_of_a_content_is_looked_at_and_named),
		cmocka_unit_test(findings_lie_inside_the_text_whatever_the_text),
		cmocka_unit_test(a_token_is_found_wherever_it_stands),
		cmocka_unit_test(each_kind_has_a_word_and_a_sentence),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
