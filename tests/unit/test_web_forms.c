/* Forms of both kinds: well-formed ones come apart as they were put together, and no other does any harm. */
#include "web_fixture.h"

static struct http_server *server;
static int port;

static int start(void **state)
{
	(void)state;
	struct http_options o = test_options();
	server = test_server(&o);
	port = http_port(server);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	http_stop(server);
	return 0;
}

static int afresh(void **state)
{
	(void)state;
	seen.runs = 0;
	return 0;
}

static struct answer post(const char *type, const void *body, size_t n)
{
	char *text = malloc(n + 512);
	int head = snprintf(text, 512, "POST /form HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n", type, n);
	memcpy(text + head, body, n);
	struct answer a = client_ask_n(port, text, (size_t)head + n);
	free(text);
	return a;
}

struct form_case { const char *body; size_t n; int status; const char *part; };
#define F(body, status, part) { body, sizeof(body) - 1, status, part }

static void urlencoded_fields_are_decoded(void **state)
{
	(void)state;
	static const struct form_case table[] = {
		F("a=1", 200, "{\"a\":\"1\",\"count\":1}"),
		F("a=1&a=2&a=3", 200, "{\"a\":\"1\",\"count\":3}"),
		F("b=1", 200, "{\"a\":null,\"count\":0}"),
		F("a=", 200, "{\"a\":\"\",\"count\":1}"),
		F("a", 200, "{\"a\":\"\",\"count\":1}"),
		F("", 200, "{\"a\":null,\"count\":0}"),
		F("&&a=1&&", 200, "{\"a\":\"1\",\"count\":1}"),
		F("a=x+y%20z%2B", 200, "{\"a\":\"x y z+\",\"count\":1}"),
		F("a=%C3%A9", 200, "{\"a\":\"\xc3\xa9\",\"count\":1}"),
		F("%61=1", 200, "{\"a\":\"1\",\"count\":1}"),
		F("a=b=c", 200, "{\"a\":\"b=c\",\"count\":1}"),
		F("a=1\0b=2&c", 400, "UTF-8"),
		F("a=%00", 400, "form/a"),
		F("%00=a", 400, "UTF-8"),
		F("a=%ff", 400, "form/a"),
		F("a=%C0%AF", 400, "form/a"),
		F("a=%4", 400, "percent-encoded"),
		F("a=%", 400, "percent-encoded"),
		F("a=%zz", 400, "percent-encoded"),
	};
	for (size_t i = 0; i < CH_LEN(table); i++) {
		struct answer a = post("application/x-www-form-urlencoded", table[i].body, table[i].n);
		assert_status(&a, table[i].status, table[i].body);
		assert_contains(a.body, table[i].part);
		answer_free(&a);
	}
}

static void a_form_with_too_many_fields_is_refused(void **state)
{
	(void)state;
	char body[4096];
	size_t n = 0;
	for (int i = 0; i < LIMIT_FORM_FIELDS; i++)
		n += (size_t)snprintf(body + n, sizeof(body) - n, "a=&");
	struct answer a = post("application/x-www-form-urlencoded", body, n);
	assert_status(&a, 200, "as many as may be");
	answer_free(&a);
	n += (size_t)snprintf(body + n, sizeof(body) - n, "a=&");
	a = post("application/x-www-form-urlencoded", body, n);
	assert_status(&a, 413, "one more");
	answer_free(&a);
}

#define PART "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n"
#define FILE_PART "--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x.bin\"\r\nContent-Type: text/plain\r\n\r\n"

static void multipart_fields_and_files_come_apart(void **state)
{
	(void)state;
	static const struct form_case table[] = {
		F(PART "1\r\n--XX--\r\n", 200, "{\"a\":\"1\",\"count\":1}"),
		F(PART "1\r\n--XX--", 200, "{\"a\":\"1\",\"count\":1}"),
		F("preamble\r\n" PART "1\r\n--XX--\r\nepilogue", 200, "{\"a\":\"1\",\"count\":1}"),
		F(PART "1\r\n" PART "2\r\n--XX--\r\n", 200, "{\"a\":\"1\",\"count\":2}"),
		F(PART "\r\n--XX--\r\n", 200, "{\"a\":\"\",\"count\":1}"),
		F(PART "two\r\nlines\r\n--XX--\r\n", 200, "{\"a\":\"two\\r\\nlines\",\"count\":1}"),
		F(PART "--XX\r\n--XX--\r\n", 400, "not well-formed"),
		F(PART "\r\n--X\r\n--XX--\r\n", 200, "{\"a\":\"\\r\\n--X\",\"count\":1}"),
		F("--XX\r\ncontent-disposition: form-data;name=a\r\n\r\n1\r\n--XX--\r\n", 200, "{\"a\":\"1\",\"count\":1}"),
		F("--XX\r\nContent-Disposition: form-data; x=\"; name=b\"; name=\"a\"\r\n\r\n1\r\n--XX--\r\n", 200, "{\"a\":\"1\",\"count\":1}"),
		F(FILE_PART "bytes\0here\r\n--XX--\r\n", 200, "\"file\":\"x.bin\",\"type\":\"text/plain\""),
		F(FILE_PART "bytes\0here\r\n--XX--\r\n", 200, "\"bytes\":10}"),
		F("--XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a \\\"b\\\".txt\"\r\n\r\nx\r\n--XX--\r\n", 200, "\"file\":\"a \\\"b\\\".txt\",\"type\":\"application/octet-stream\""),
		F("--XX--\r\n", 200, "{\"a\":null,\"count\":0}"),
		F(PART "1\0b\r\n--XX--\r\n", 400, "form/a"),
		F(PART "\xff\r\n--XX--\r\n", 400, "form/a"),
		F(PART "1", 400, "not well-formed"),
		F(PART "1\r\n--XX", 400, "not well-formed"),
		F("--XX", 400, "not well-formed"),
		F("--XX\r\n", 400, "not well-formed"),
		F("--XX\r\n\r\n", 400, "not well-formed"),
		F("--YY\r\n\r\n\r\n--YY--", 400, "boundary"),
		F("--XX\r\n\r\n1\r\n--XX--\r\n", 400, "Content-Disposition"),
		F("--XX\r\nContent-Disposition: attachment; name=\"a\"\r\n\r\n1\r\n--XX--\r\n", 400, "Content-Disposition"),
		F("--XX\r\nContent-Disposition: form-data\r\n\r\n1\r\n--XX--\r\n", 400, "no name"),
		F("--XX\r\nContent-Disposition: form-data; name=\"unclosed\r\n\r\n1\r\n--XX--\r\n", 200, "{\"a\":null,\"count\":0}"),
	};
	for (size_t i = 0; i < CH_LEN(table); i++) {
		struct answer a = post("multipart/form-data; boundary=XX", table[i].body, table[i].n);
		assert_status(&a, table[i].status, table[i].body);
		assert_contains(a.body, table[i].part);
		answer_free(&a);
	}
	static const struct { const char *type; int status; } types[] = {
		{ "multipart/form-data; boundary=\"XX\"", 200 }, { "multipart/form-data; charset=utf-8; boundary=XX", 200 }, { "Multipart/Form-Data; Boundary=XX", 200 },
		{ "multipart/form-data", 400 }, { "multipart/form-data; boundary=", 400 }, { "multipart/form-data; boundary", 400 },
		{ "multipart/form-data; boundary=1234567890123456789012345678901234567890123456789012345678901234567890X", 400 },
		{ "multipart/mixed; boundary=XX", 415 }, { "application/json", 415 }, { "text/plain", 415 },
	};
	for (size_t i = 0; i < CH_LEN(types); i++) {
		const char *body = PART "1\r\n--XX--\r\n";
		struct answer a = post(types[i].type, body, strlen(body));
		assert_status(&a, types[i].status, types[i].type);
		answer_free(&a);
	}
}

static void a_large_file_arrives_whole(void **state)
{
	(void)state;
	size_t n = MIB + 4711, head = strlen(FILE_PART);
	const char *end = "\r\n--XX--\r\n";
	char *body = malloc(n + head + 64);
	memcpy(body, FILE_PART, head);
	for (size_t i = 0; i < n; i++)
		body[head + i] = (char)(i % 7 == 0 ? '\r' : i % 7 == 1 ? '\n' : i % 7 < 4 ? '-' : 'X');
	memcpy(body + head + n, end, strlen(end));
	/* The made-up bytes hold the boundary itself, over and over: what stands before the first is the file. */
	const char *first = memmem(body + head, n, "\r\n--XX", 6);
	size_t length = first ? (size_t)(first - body) - head : n;
	struct answer a = post("multipart/form-data; boundary=XXXXXXXX", body, head + n + strlen(end));
	assert_status(&a, 400, "another boundary");
	answer_free(&a);
	a = post("multipart/form-data; boundary=XX", body, head + n + strlen(end));
	assert_true(first ? a.status == 400 : a.status == 200);
	assert_true(length <= n);
	answer_free(&a);
	memset(body + head, 'y', n);
	a = post("multipart/form-data; boundary=XX", body, head + n + strlen(end));
	assert_status(&a, 200, "file");
	struct arena *arena = arena_new(MIB);
	assert_contains(a.body, str_z(arena, sha256_hex(arena, sha256(str_make(body + head, n)))));
	arena_free(arena);
	answer_free(&a);
	free(body);
}

/* Random damage to a sound form: whatever comes of it is an answer. */
static void no_damaged_form_ends_the_process(void **state)
{
	(void)state;
	static const char sound[] = FILE_PART "bytes\r\n" PART "text\r\n--XX--\r\n";
	unsigned seed = 20261122;
	for (int round = 0; round < 400; round++) {
		char body[sizeof(sound)];
		memcpy(body, sound, sizeof(sound));
		for (int k = 0; k < 1 + round % 4; k++)
			body[(size_t)rand_r(&seed) % (sizeof(sound) - 1)] = "\r\n-\"\\;=\0X:"[rand_r(&seed) % 11];
		size_t n = round % 3 ? sizeof(sound) - 1 : (size_t)rand_r(&seed) % sizeof(sound);
		struct answer a = post("multipart/form-data; boundary=XX", body, n);
		if (a.status != 200 && a.status != 400)
			fail_msg("seed 20261122, round %d: %d", round, a.status);
		answer_free(&a);
	}
}

#define web_test(f) cmocka_unit_test_setup(f, afresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		web_test(urlencoded_fields_are_decoded),
		web_test(a_form_with_too_many_fields_is_refused),
		web_test(multipart_fields_and_files_come_apart),
		web_test(a_large_file_arrives_whole),
		web_test(no_damaged_form_ends_the_process),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
