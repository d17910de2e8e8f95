/* One mail as text: what RFC 5322, 2045 and 2047 ask for, and that nothing that people write gets out of its header or part. */
#include "server/notify/notify_internal.h"
#include "server/notify/report.h"
#include "server/notify/smtp.h"

#include "commonhold/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct arena *arena;
static struct error problem;

static int setup(void **state)
{
	(void)state;
	arena = arena_new(16 * MIB);
	error_clear(&problem);
	return arena ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}
#define mail_test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

static struct mail_message ordinary(void)
{
	return (struct mail_message){
		.from_name = STR("Commonhold"), .from = STR("mail@coop.example"), .to = STR("a@example.org"), .subject = STR("A ballot is open"), .id = STR("x@coop.example"),
		.boundary = STR("abc"), .at = INT64_C(784111777) * CLOCK_SECOND, .text = STR("Hello\n"), .html = STR("<p>Hello</p>\n"),
	};
}

static const char *composed(struct mail_message m)
{
	struct str out;
	if (mail_compose(arena, &m, &out, &problem) != ERR_OK)
		fail_msg("%s", problem.message);
	return str_z(arena, out);
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in:\n%s", part, text);
}

static void assert_lacks(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("\"%s\" is in:\n%s", part, text);
}

/* Undoes quoted-printable, strictly. */
static struct str unquoted(struct str s)
{
	struct buf b;
	buf_init(&b, 1 * MIB);
	for (size_t i = 0; i < s.n; i++) {
		uint8_t byte;
		if (s.p[i] != '=') {
			buf_add_byte(&b, s.p[i]);
		} else if (i + 2 < s.n && s.p[i + 1] == '\r' && s.p[i + 2] == '\n') {
			i += 2;
		} else {
			char hex[2] = { (char)(s.p[i + 1] | 32), (char)(s.p[i + 2] | 32) };
			assert_true(str_unhex(str_make(hex, 2), &byte, 1));
			buf_add_byte(&b, (char)byte);
			i += 2;
		}
	}
	return buf_take(arena, &b);
}

/* What is between the blank line after a part's head and the next boundary. */
static struct str part_of(const char *message, const char *type)
{
	const char *begin = strstr(strstr(message, type), "\r\n\r\n") + 4, *end = strstr(begin, "--=_abc");
	return str_make(begin, (size_t)(end - begin));
}

static void a_message_has_the_headers_that_mail_needs(void **state)
{
	(void)state;
	struct mail_message m = ordinary();
	m.unsubscribe = STR("https://coop.example/unsubscribe/x");
	const char *text = composed(m);
	assert_has(text, "From: \"Commonhold\" <mail@coop.example>\r\n");
	assert_has(text, "To: <a@example.org>\r\n");
	assert_has(text, "Subject: A ballot is open\r\n");
	assert_has(text, "Date: Sun, 06 Nov 1994 08:49:37 +0000\r\n");
	assert_has(text, "Message-ID: <x@coop.example>\r\n");
	assert_has(text, "Auto-Submitted: auto-generated\r\n");
	assert_has(text, "List-Unsubscribe: <https://coop.example/unsubscribe/x>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n");
	assert_has(text, "MIME-Version: 1.0\r\nContent-Type: multipart/alternative;\r\n boundary=\"=_abc\"\r\n\r\n--=_abc\r\n");
	assert_true(strstr(text, "Content-Type: text/plain; charset=utf-8") < strstr(text, "Content-Type: text/html; charset=utf-8"));
	assert_has(text, "\r\n--=_abc--\r\n");
	assert_lacks(composed(ordinary()), "List-Unsubscribe");
}

static void no_text_becomes_a_header(void **state)
{
	(void)state;
	static const char *const attacks[] = { "x\r\nBcc: v@example.org", "x\nBcc: v@example.org", "x\rBcc: v@example.org", "x\r\n\r\nBody", "x\0y", "\r\n", "x\v\fBcc: y", "\"\\\r\nBcc: z" };
	for (size_t i = 0; i < CH_LEN(attacks); i++) {
		struct mail_message m = ordinary();
		m.subject = m.from_name = str_of(attacks[i]);
		const char *text = composed(m);
		struct str head = str_make(text, (size_t)(strstr(text, "\r\n\r\n") - text)), line;
		int lines = 0;
		while (str_split(&head, '\n', &line)) {
			assert_false(str_starts(line, "Bcc"));
			lines += line.n && line.p[0] != ' ';
		}
		assert_int_equal(lines, 8);
	}
}

static void an_address_that_could_be_more_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"", "a", "@x", "a@", "a@b@c", "a b@c", "a@b\r\nRCPT TO:<v@x>", "a\n@b", "<a@b>", "a@b>", "a,b@c", "a@b,c@d", "\"a b\"@c", "a;b@c", "a(b)@c", "a@b\x7f", "a\xff@b",
	};
	for (size_t i = 0; i < CH_LEN(bad); i++) {
		struct mail_message m = ordinary();
		struct str out;
		m.to = str_of(bad[i]);
		assert_false(mail_address_ok(m.to));
		assert_int_equal(mail_compose(arena, &m, &out, &problem), ERR_INVALID);
	}
	assert_true(mail_address_ok(STR("zo\xc3\xab+tag@b\xc3\xbc""cher.example")));
	struct mail_message m = ordinary();
	struct str out;
	m.unsubscribe = STR("https://x/>\r\nBcc: y");
	assert_int_equal(mail_compose(arena, &m, &out, &problem), ERR_INVALID);
}

static void a_subject_of_any_length_and_script_is_made_of_short_encoded_words(void **state)
{
	(void)state;
	srand(7);
	for (int round = 0; round < 200; round++) {
		char subject[400];
		size_t n = 0, target = (size_t)(rand() % 300);
		while (n < target) {
			static const char *const letters[] = { "a", " ", "\xc3\xbc", "\xe2\x82\xac", "\xf0\x9f\x90\x9d", "=?", "?=", "_" };
			const char *letter = letters[(size_t)rand() % CH_LEN(letters)];
			memcpy(subject + n, letter, strlen(letter));
			n += strlen(letter);
		}
		struct mail_message m = ordinary();
		m.subject = str_trim(str_make(subject, n));
		const char *text = composed(m), *at = strstr(text, "Subject: ") + 9;
		struct buf whole;
		buf_init(&whole, 4096);
		if (strncmp(at, "=?", 2) != 0) {
			assert_true(str_eq(str_make(at, (size_t)(strstr(at, "\r\n") - at)), m.subject));
			continue;
		}
		for (; strncmp(at, "=?utf-8?B?", 10) == 0; at += strncmp(at, "\r\n =?", 5) == 0 ? 3 : 0) {
			const char *end = strstr(at, "?=") + 2;
			struct str word;
			assert_in_range(end - at, 12, 75);
			assert_true(str_unbase64(arena, str_make(at + 10, (size_t)(end - at - 12)), &word));
			assert_true(str_is_utf8(word));
			buf_add_str(&whole, word);
			at = end;
		}
		assert_true(str_eq(buf_str(&whole), m.subject));
		buf_release(&whole);
	}
}

static void a_part_is_read_back_as_it_was_written_in_short_lines(void **state)
{
	(void)state;
	unsigned seed = 11;
	srand(seed);
	for (int round = 0; round < 300; round++) {
		char body[600];
		size_t n = (size_t)rand() % sizeof(body);
		for (size_t i = 0; i < n; i++) {
			static const char kinds[] = "a=. \t\n-\xc3";
			body[i] = rand() % 3 ? kinds[(size_t)rand() % (sizeof(kinds) - 1)] : (char)(rand() % 255 + 1);
			if (body[i] == '\r')
				body[i] = '.';
		}
		struct mail_message m = ordinary();
		m.text = str_make(body, n);
		const char *message = composed(m);
		for (const char *line = message, *end; (end = strstr(line, "\r\n")); line = end + 2) {
			assert_in_range(end - line, 0, 100);
			assert_null(memchr(line, '\n', (size_t)(end - line)));
			for (const char *p = line; p < end; p++)
				assert_in_range((unsigned char)*p, 1, 126);
		}
		struct str back = unquoted(part_of(message, "text/plain"));
		struct buf expected;
		buf_init(&expected, 4096);
		for (size_t i = 0; i < n; i++)
			buf_add(&expected, body[i] == '\n' ? "\r\n" : &body[i], body[i] == '\n' ? 2 : 1);
		buf_add_z(&expected, "\r\n");
		assert_true(str_eq(back, buf_str(&expected)));
		buf_release(&expected);
	}
}

static void a_text_cannot_end_its_part(void **state)
{
	(void)state;
	struct mail_message m = ordinary();
	m.text = STR("x\n--=_abc\nContent-Type: text/html\n\n<script>\n--=_abc--\n");
	const char *text = composed(m);
	int boundaries = 0;
	for (const char *at = text; (at = strstr(at, "\r\n--=_abc")); at++)
		boundaries++;
	assert_int_equal(boundaries, 3);
}

static void a_sender_is_a_name_with_an_address_or_an_address(void **state)
{
	(void)state;
	struct str name, address;
	assert_true(mail_sender_read(arena, STR("Data Co-op <mail@coop.example>"), &name, &address));
	assert_true(str_is(name, "Data Co-op") && str_is(address, "mail@coop.example"));
	assert_true(mail_sender_read(arena, STR("\"Co-op, Data\" <mail@coop.example>"), &name, &address));
	assert_true(str_is(name, "Co-op, Data"));
	assert_true(mail_sender_read(arena, STR(" mail@coop.example "), &name, &address));
	assert_true(!name.p && str_is(address, "mail@coop.example"));
	assert_false(mail_sender_read(arena, STR("x <mail@coop.example"), &name, &address));
	assert_false(mail_sender_read(arena, STR("nobody"), &name, &address));
}

static void what_a_server_said_names_nobody(void **state)
{
	(void)state;
	assert_true(str_is(mail_words_only(arena, STR("5.1.1 <a@example.org>: no\x01 such user\r\n")), "5.1.1 ... no? such user"));
	char small[12];
	mail_words_keep(STR("one two three four"), small, sizeof(small));
	assert_string_equal(small, "one two");
}

/* Every kind that has templates, and one that has none, with every field that any of them knows. */
static void every_kind_renders_in_both_forms_and_escapes_what_people_wrote(void **state)
{
	(void)state;
	static const char *const kinds[] = {
		"membership.welcome", "membership.due", "membership.grace", "membership.lapsed", "membership.reminder", "checkup.open", "checkup.receipt", "checkup.off_cycle",
		"delegation.asked", "delegation.accepted", "delegation.declined", "delegation.revoked", "delegation.ended", "delegation.cut", "delegation.act", "ballot.announced",
		"ballot.opened", "ballot.extended", "ballot.closed", "release.announced", "release.published", "release.failed", "charter.adopted", "control.set", "control.lifted", "benefit.paid",
		"account.new_sign_in", "account.factor_changed", "deletion.received", "deletion.claim", "deletion.confirm", "deletion.denied", "deletion.extended", "deletion.completed",
		"deletion.due", "deletion.overdue", "nothing.known",
	};
	static const char *const fields[] = {
		"text", "member_number", "due", "days", "effect", "reason", "receipt", "next", "principal", "delegate", "scope", "until", "note", "ballot", "opens", "closes", "rule",
		"outcome", "counts", "release", "cutoff", "items", "mine", "version", "effective", "changes", "control", "amount", "account", "when", "agent", "what",
	};
	struct buf b;
	const struct json *data;
	buf_init(&b, 1 * MIB);
	buf_add_z(&b, "{\"title\":\"T <i>\",\"url\":\"/coops/x?a=1&b=2\",\"base_url\":\"https://evil.example\",\"unsubscribe_url\":\"https://evil.example\"");
	for (size_t i = 0; i < CH_LEN(fields); i++)
		buf_addf(&b, ",\"%s\":\"<b>%s & \\\"co\\\"</b>\"", fields[i], fields[i]);
	buf_add_z(&b, "}");
	assert_int_equal(json_parse(arena, buf_take(arena, &b), &data, &problem), ERR_OK);
	for (size_t i = 0; i < CH_LEN(kinds); i++) {
		struct mail_frame f = { .title = STR("T <i>"), .name = STR("Zo\xc3\xab <x>"), .coop_name = STR("C & D"), .to_account = true, .unsubscribe = STR("https://here.example/u") };
		struct str text, html;
		if (mail_render(arena, kinds[i], &f, data, &text, &html, &problem) != ERR_OK)
			fail_msg("%s: %s", kinds[i], problem.message);
		const char *t = str_z(arena, text), *h = str_z(arena, html);
		assert_has(t, "<b>text & \"co\"</b>");
		assert_has(t, "http://127.0.0.1:8080/coops/x?a=1&b=2");
		assert_has(h, "&lt;b&gt;text &amp; &quot;co&quot;&lt;/b&gt;");
		assert_has(h, "<title>T &lt;i&gt;</title>");
		assert_has(h, "href=\"http://127.0.0.1:8080/coops/x?a=1&amp;b=2\"");
		assert_has(t, "https://here.example/u");
		assert_lacks(h, "<b>text");
		assert_lacks(t, "evil");
		assert_lacks(h, "evil");
		assert_lacks(t, "{{");
	}
}

static void a_link_that_leads_elsewhere_is_left_out(void **state)
{
	(void)state;
	static const char *const bad[] = { "https://evil.example/", "//evil.example", "javascript:alert(1)", "/x\\y", "/a b", "/\"onclick", "x", "" };
	for (size_t i = 0; i < CH_LEN(bad); i++)
		assert_null(notify_link(arena, str_of(bad[i])).p);
	assert_true(str_is(notify_link(arena, STR("/inbox")), "http://127.0.0.1:8080/inbox"));
}

static void this_machine_is_known_by_its_names_and_no_others(void **state)
{
	(void)state;
	static const char *const here[] = { "smtp://localhost", "smtp://localhost:25", "smtp://127.0.0.1:25", "smtp://127.9.9.9", "smtp://[::1]:25", "smtp://[::1]" };
	static const char *const there[] = { "smtp://mail.localhost:25", "smtp://localhost.example", "smtp://example.org", "smtp://[::2]:25", "smtp://10.0.0.1", "smtp://xlocalhost" };
	for (size_t i = 0; i < CH_LEN(here); i++)
		assert_true(smtp_is_here(here[i]));
	for (size_t i = 0; i < CH_LEN(there); i++)
		assert_false(smtp_is_here(there[i]));
}

#define REPORT_HEAD "To: bounces+aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@coop.example\r\nContent-Type: Multipart/Report; x=y; Boundary=\"B\"\r\n\r\npreamble\r\n--B\r\n"
#define REPORT_PART "Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\nAction: "

static enum err report_of(const char *text, struct mail_report *out)
{
	error_clear(&problem);
	return mail_report_read(arena, str_of(text), out, &problem);
}

static void a_report_says_who_gave_up_and_why(void **state)
{
	(void)state;
	struct mail_report r;
	assert_int_equal(report_of(REPORT_HEAD REPORT_PART "relayed\r\nStatus: 2.0.0\r\n\r\naction:  FAILED\r\nStatus: 5.2.2\r\nDiagnostic-Code: smtp;\r\n 552 full\r\n--B\r\n"
		"Content-Type: text/rfc822-headers\r\n\r\nSubject: x\r\nMessage-ID:\r\n <bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb@coop.example>\r\n--B--\r\n", &r), ERR_OK);
	assert_true(r.failed);
	assert_true(str_is(r.status, "5.2.2") && str_is(r.diagnostic, "smtp; 552 full"));
	assert_int_equal(r.n_tags, 2);
	assert_int_equal(r.tags[1].p[0], 'b');
	assert_int_equal(report_of(REPORT_HEAD REPORT_PART "delayed\r\nStatus: 4.4.1\r\n--B--\r\n", &r), ERR_OK);
	assert_false(r.failed);
	assert_int_equal(report_of(REPORT_HEAD REPORT_PART "failed\r\nStatus: 5.x <script>\r\n", &r), ERR_BAD_REQUEST); /* the part never ends */
	assert_int_equal(report_of(REPORT_HEAD REPORT_PART "failed\r\nStatus: 5.x <script>\r\n--B--", &r), ERR_OK);
	assert_true(str_is(r.status, "5.0.0"));
}

static void what_is_no_report_is_refused(void **state)
{
	(void)state;
	static const char *const bad[] = {
		"", "\r\n", "Subject: x\r\n\r\nhello", "Content-Type: multipart/report\r\n\r\n", "Content-Type: multipart/mixed; boundary=B\r\n\r\n--B\r\n" REPORT_PART "failed\r\n--B--",
		REPORT_HEAD "Content-Type: text/plain\r\n\r\nAction: failed\r\n--B--\r\n", "Content-Type: multipart/report; boundary=\"\"\r\n\r\n--\r\n",
	};
	struct mail_report r;
	for (size_t i = 0; i < CH_LEN(bad); i++)
		assert_int_equal(report_of(bad[i], &r), ERR_BAD_REQUEST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mail_test(a_message_has_the_headers_that_mail_needs),
		mail_test(no_text_becomes_a_header),
		mail_test(an_address_that_could_be_more_is_refused),
		mail_test(a_subject_of_any_length_and_script_is_made_of_short_encoded_words),
		mail_test(a_part_is_read_back_as_it_was_written_in_short_lines),
		mail_test(a_text_cannot_end_its_part),
		mail_test(a_sender_is_a_name_with_an_address_or_an_address),
		mail_test(what_a_server_said_names_nobody),
		mail_test(every_kind_renders_in_both_forms_and_escapes_what_people_wrote),
		mail_test(a_link_that_leads_elsewhere_is_left_out),
		mail_test(a_report_says_who_gave_up_and_why),
		mail_test(what_is_no_report_is_refused),
		mail_test(this_machine_is_known_by_its_names_and_no_others),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
