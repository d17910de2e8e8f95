/* What a handler can rely on: routes, methods, parameters, conditions, ranges, streams, errors as problems, and what happens to an answer that cannot be sent. */
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

/* A request with more header lines, each ended by CRLF. */
static struct answer ask(const char *method, const char *target, const char *headers)
{
	char text[4096];
	int n = snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: a\r\n%s\r\n", method, target, headers);
	return client_ask_n(port, text, (size_t)n);
}

static struct answer send_json(const char *method, const char *target, const char *body)
{
	char text[8192];
	int n = snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", method, target, strlen(body), body);
	return client_ask_n(port, text, (size_t)n);
}

/* What a request answers: its status, and a part of its body or head. */
struct expectation { const char *method, *target, *headers; int status; const char *part; };

static void expect_all(const struct expectation *table, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct answer a = ask(table[i].method, table[i].target, table[i].headers);
		assert_status(&a, table[i].status, table[i].target);
		assert_contains(a.text, table[i].part);
		answer_free(&a);
	}
}

static void a_path_finds_its_route_and_its_parameters(void **state)
{
	(void)state;
	static const struct expectation table[] = {
		{ "GET", "/api/v1/hello", "", 200, "\"GET\"" },
		{ "GET", "/api/v1/hello?", "", 200, "\"GET\"" },
		{ "GET", "/api/v1/coops/mine/things/7", "", 200, "{\"coop\":\"mine\",\"thing\":\"7\"" },
		{ "GET", "/api/v1/coops/mine/things/mine", "", 200, "\"GET\"" },
		{ "GET", "/api/v1/coops/mine/things/a%20b+c", "", 200, "\"thing\":\"a b+c\"" },
		{ "GET", "/api/v1/coops/mine/things/%C3%A9", "", 200, "\"thing\":\"\xc3\xa9\"" },
		{ "GET", "/api/v1/rest/a/b/c.txt", "", 200, "\"rest\":\"a/b/c.txt\"" },
		{ "GET", "/api/v1/rest/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20/21/22/23/24/25/26/27/28", "", 200, "/27/28\"" },
		{ "GET", "/api/v1/named/chat.json", "", 200, "\"name\":\"chat\"" },
		{ "GET", "/api/v1/named/.json", "", 404, "not_found" },
		{ "GET", "/api/v1/named/chat", "", 404, "not_found" },
		{ "GET", "/api/v1/rest/", "", 404, "not_found" },
		{ "GET", "/api/v1/rest", "", 404, "not_found" },
		{ "GET", "/api/v1/hello/", "", 404, "not_found" },
		{ "GET", "/api/v1//hello", "", 404, "not_found" },
		{ "GET", "/api/v1/coops//things/7", "", 404, "not_found" },
		{ "GET", "/api/v1/coops/hidden/things/7", "", 404, "not_found" },
		{ "GET", "/", "", 404, "not_found" },
		{ "GET", "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17/18/19/20/21/22/23/24/25/26/27/28/29", "", 404, "not_found" },
	};
	expect_all(table, CH_LEN(table));
}

static void a_method_that_is_not_offered_is_told_which_are(void **state)
{
	(void)state;
	static const struct expectation table[] = {
		{ "POST", "/api/v1/hello", "Content-Length: 0\r\n", 405, "\r\nAllow: GET, HEAD, OPTIONS\r\n" },
		{ "GET", "/api/v1/echo", "", 405, "\r\nAllow: POST, OPTIONS\r\n" },
		{ "DELETE", "/api/v1/tagged", "", 405, "\r\nAllow: GET, HEAD, PUT, OPTIONS\r\n" },
		{ "OPTIONS", "/api/v1/tagged", "", 204, "\r\nAllow: GET, HEAD, PUT, OPTIONS\r\n" },
		{ "OPTIONS", "/api/v1/nothing", "", 404, "not_found" },
		{ "DELETE", "/api/v1/coops/mine/things/mine", "", 401, "unauthenticated" },
	};
	expect_all(table, CH_LEN(table));
}

static void head_answers_like_get_without_the_body(void **state)
{
	(void)state;
	static const char *const targets[] = { "/api/v1/hello", "/api/v1/files/x", "/api/v1/stream?n=10", "/page", "/api/v1/openapi.json", "/api/v1/nothing" };
	for (size_t i = 0; i < CH_LEN(targets); i++) {
		struct answer get = ask("GET", targets[i], ""), head = ask("HEAD", targets[i], "");
		char of_get[64], of_head[64];
		assert_int_equal(get.status, head.status);
		assert_string_equal(answer_header(&get, "Content-Length", of_get, sizeof(of_get)), answer_header(&head, "Content-Length", of_head, sizeof(of_head)));
		assert_string_equal(answer_header(&get, "Content-Type", of_get, sizeof(of_get)), answer_header(&head, "Content-Type", of_head, sizeof(of_head)));
		assert_int_equal(strlen(head.body), 0);
		answer_free(&get);
		answer_free(&head);
	}
	int fd = client_connect(port); /* the connection is still in step afterwards */
	const char *both = "HEAD /api/v1/hello HTTP/1.1\r\nHost: a\r\n\r\nGET /api/v1/hello HTTP/1.1\r\nHost: a\r\n\r\n";
	client_send(fd, both, strlen(both));
	struct answer first = client_receive(fd, true);
	assert_status(&first, 200, both);
	answer_free(&first);
	close(fd);
}

static void http_1_0_gets_its_answer_and_the_end(void **state)
{
	(void)state;
	struct answer a = client_ask(port, "GET /api/v1/stream?n=100000 HTTP/1.0\r\nHost: a\r\n\r\n");
	assert_status(&a, 200, "HTTP/1.0");
	assert_lacks(a.text, "chunked");
	assert_true(a.closed);
	assert_int_equal(a.n - (size_t)(a.body - a.text), 1000000);
	answer_free(&a);
}

static void every_answer_carries_the_headers_that_bound_a_browser(void **state)
{
	(void)state;
	static const char *const targets[] = { "/api/v1/hello", "/api/v1/nothing", "/page", "/api/v1/stream?n=1", "/api/v1/files/x", "/static/commonhold.css" };
	for (size_t i = 0; i < CH_LEN(targets); i++) {
		struct answer a = ask("GET", targets[i], "");
		assert_contains(a.text, "\r\nX-Content-Type-Options: nosniff\r\n");
		assert_contains(a.text, "\r\nContent-Security-Policy: default-src 'none';");
		assert_contains(a.text, "frame-ancestors 'none'");
		assert_contains(a.text, "\r\nReferrer-Policy: same-origin\r\n");
		assert_contains(a.text, "\r\nCross-Origin-Resource-Policy: same-origin\r\n");
		assert_contains(a.text, "\r\nCache-Control: no-");
		assert_contains(a.text, "\r\nX-Request-Id: ");
		assert_contains(a.text, "\r\nDate: ");
		assert_lacks(a.text, "Strict-Transport-Security");
		assert_lacks(a.text, "\r\nServer:");
		answer_free(&a);
	}
}

static void conditions_hold(void **state)
{
	(void)state;
	static const struct expectation table[] = {
		{ "GET", "/api/v1/tagged", "", 200, "\r\nETag: \"v1\"\r\n" },
		{ "GET", "/api/v1/tagged", "If-None-Match: \"v1\"\r\n", 304, "\r\nETag: \"v1\"\r\n" },
		{ "GET", "/api/v1/tagged", "If-None-Match: W/\"v1\"\r\n", 304, "304 Not Modified" },
		{ "GET", "/api/v1/tagged", "If-None-Match: \"v0\", \"v1\"\r\n", 304, "304" },
		{ "GET", "/api/v1/tagged", "If-None-Match: *\r\n", 304, "304" },
		{ "GET", "/api/v1/tagged", "If-None-Match: \"v2\"\r\n", 200, "fresh" },
		{ "GET", "/api/v1/tagged", "If-None-Match: v1\r\n", 200, "fresh" },
		{ "PUT", "/api/v1/tagged", "Content-Length: 0\r\n", 200, "changed" },
		{ "PUT", "/api/v1/tagged", "Content-Length: 0\r\nIf-Match: \"v1\"\r\n", 200, "changed" },
		{ "PUT", "/api/v1/tagged", "Content-Length: 0\r\nIf-Match: *\r\n", 200, "changed" },
		{ "PUT", "/api/v1/tagged", "Content-Length: 0\r\nIf-Match: \"v0\"\r\n", 412, "\"code\":\"stale\"" },
		{ "PUT", "/api/v1/tagged", "Content-Length: 0\r\nIf-Match: W/\"v1\"\r\n", 412, "stale" },
	};
	expect_all(table, CH_LEN(table));
}

/* RFC 9110, 14: what is asked for, the status, and the Content-Range and length that come back. */
static void ranges_follow_the_rfc(void **state)
{
	(void)state;
	static const struct { const char *headers; int status; const char *range; int length; char first; } table[] = {
		{ "", 200, "", 1000, 'a' },
		{ "Range: bytes=0-0\r\n", 206, "bytes 0-0/1000", 1, 'a' },
		{ "Range: bytes=0-499\r\n", 206, "bytes 0-499/1000", 500, 'a' },
		{ "Range: bytes=27-\r\n", 206, "bytes 27-999/1000", 973, 'b' },
		{ "Range: bytes=999-\r\n", 206, "bytes 999-999/1000", 1, 'a' + 999 % 26 },
		{ "Range: bytes=500-99999\r\n", 206, "bytes 500-999/1000", 500, 'a' + 500 % 26 },
		{ "Range: bytes=-1\r\n", 206, "bytes 999-999/1000", 1, 'a' + 999 % 26 },
		{ "Range: bytes=-5000\r\n", 206, "bytes 0-999/1000", 1000, 'a' },
		{ "Range: BYTES=0-1\r\n", 206, "bytes 0-1/1000", 2, 'a' },
		{ "Range: bytes=1000-\r\n", 416, "bytes */1000", -1, 0 },
		{ "Range: bytes=5000-6000\r\n", 416, "bytes */1000", -1, 0 },
		{ "Range: bytes=-0\r\n", 416, "bytes */1000", -1, 0 },
		{ "Range: bytes=5-4\r\n", 200, "", 1000, 'a' },
		{ "Range: bytes=\r\n", 200, "", 1000, 'a' },
		{ "Range: bytes=-\r\n", 200, "", 1000, 'a' },
		{ "Range: bytes=a-b\r\n", 200, "", 1000, 'a' },
		{ "Range: bytes=+1-2\r\n", 200, "", 1000, 'a' },
		{ "Range: bytes=--1\r\n", 200, "", 1000, 'a' },
		{ "Range: lines=1-2\r\n", 200, "", 1000, 'a' },
		{ "Range: bytes=0-99999999999999999999\r\n", 200, "", 1000, 'a' },
		{ "Range: bytes=0-1,5-6\r\n", 200, "", 1000, 'a' },
		{ "Range: bytes=0-1\r\nIf-Range: \"tag\"\r\n", 206, "bytes 0-1/1000", 2, 'a' },
		{ "Range: bytes=0-1\r\nIf-Range: \"old\"\r\n", 200, "", 1000, 'a' },
		{ "Range: bytes=0-1\r\nIf-Range: W/\"tag\"\r\n", 200, "", 1000, 'a' },
		{ "Range: bytes=0-1\r\nIf-Range: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 200, "", 1000, 'a' },
		{ "Range: bytes=0-1\r\nIf-None-Match: \"tag\"\r\n", 304, "", -1, 0 },
	};
	char value[128];
	for (size_t i = 0; i < CH_LEN(table); i++) {
		struct answer a = ask("GET", "/api/v1/files/x", table[i].headers);
		assert_status(&a, table[i].status, table[i].headers);
		assert_string_equal(answer_header(&a, "Content-Range", value, sizeof(value)), table[i].range);
		if (table[i].length >= 0) {
			assert_int_equal(a.n - (size_t)(a.body - a.text), table[i].length);
			assert_int_equal(a.body[0], table[i].first);
			assert_string_equal(answer_header(&a, "Accept-Ranges", value, sizeof(value)), "bytes");
		}
		answer_free(&a);
	}
	struct answer empty = ask("GET", "/api/v1/files/empty", "Range: bytes=0-0\r\n");
	assert_status(&empty, 416, "range of an empty file");
	answer_free(&empty);
	empty = ask("GET", "/api/v1/files/empty", "");
	assert_status(&empty, 200, "empty file");
	answer_free(&empty);
}

/* Takes the chunks apart; -1 when they are not well-formed or do not end. */
static long dechunk(const char *p, size_t n)
{
	const char *end = p + n;
	long total = 0;
	while (p < end) {
		char *after;
		long size = strtol(p, &after, 16);
		if (after == p || after + 2 > end || memcmp(after, "\r\n", 2) != 0)
			return -1;
		p = after + 2;
		if (size == 0)
			return end - p == 2 && memcmp(p, "\r\n", 2) == 0 ? total : -1;
		if (end - p < size + 2 || memcmp(p + size, "\r\n", 2) != 0)
			return -1;
		for (long i = 0; i < size; i++) {
			if (p[i] != '0' + (total + i) % 10)
				return -1;
		}
		total += size;
		p += size + 2;
	}
	return -1;
}

static void a_stream_arrives_whole_in_chunks(void **state)
{
	(void)state;
	static const int sizes[] = { 0, 1, 2, 3276, 3277, 6553, 6554, 100000, 1000000 };
	for (size_t i = 0; i < CH_LEN(sizes); i++) {
		char target[64];
		snprintf(target, sizeof(target), "/api/v1/stream?n=%d", sizes[i]);
		struct answer a = ask("GET", target, "");
		assert_status(&a, 200, target);
		assert_contains(a.text, "\r\nTransfer-Encoding: chunked\r\n");
		assert_int_equal(dechunk(a.body, a.n - (size_t)(a.body - a.text)), sizes[i] * 10L);
		answer_free(&a);
	}
}

static void a_stream_that_breaks_is_not_taken_for_whole(void **state)
{
	(void)state;
	struct answer a = ask("GET", "/api/v1/stream?n=100000&broken=1", "");
	assert_status(&a, 200, "broken stream");
	assert_true(a.closed);
	assert_int_equal(dechunk(a.body, a.n - (size_t)(a.body - a.text)), -1);
	answer_free(&a);
}

static void a_streamed_body_is_read_in_pieces(void **state)
{
	(void)state;
	size_t n = 20 * MIB;
	char head[256], *text = malloc(n + sizeof(head));
	int h = snprintf(text, sizeof(head), "POST /api/v1/upload HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson; charset=utf-8\r\nContent-Length: %zu\r\n\r\n", n);
	memset(text + h, '\n', n);
	struct answer a = client_ask_n(port, text, (size_t)h + n);
	assert_status(&a, 200, "upload");
	assert_contains(a.body, "{\"bytes\":20971520}");
	answer_free(&a);
	free(text);
	a = ask("POST", "/api/v1/upload", "Content-Type: text/plain\r\nContent-Length: 5\r\n");
	assert_status(&a, 415, "another type");
	answer_free(&a);
	a = ask("POST", "/api/v1/upload", "Content-Type: application/x-ndjson\r\n");
	assert_status(&a, 411, "no length");
	answer_free(&a);
}

static void a_body_is_held_against_its_schema_and_every_fault_is_named(void **state)
{
	(void)state;
	static const struct { const char *body; int status; const char *part; } table[] = {
		{ "{\"role\":\"user\",\"content\":\"hello\"}", 200, "\"hello\"" },
		{ "{\"role\":\"user\"}", 422, "content" },
		{ "{\"role\":\"user\",\"content\":7}", 422, "\"pointer\":\"/content\"" },
		{ "{\"role\":\"king\",\"content\":\"x\"}", 422, "\"pointer\":\"/role\"" },
		{ "{\"role\":\"user\",\"content\":\"x\",\"crown\":true}", 422, "crown" },
		{ "{\"role\":\"user\",\"content\":\"x\",\"annotation\":{\"rating\":9}}", 422, "\"pointer\":\"/annotation/rating\"" },
		{ "[]", 422, "\"code\":\"invalid\"" },
		{ "null", 422, "invalid" },
		{ "", 400, "bad_json" },
		{ "{", 400, "bad_json" },
		{ "{\"role\":\"user\",\"content\":\"x\"} x", 400, "bad_json" },
		{ "{\"role\":\"user\",\"role\":\"user\",\"content\":\"x\"}", 400, "bad_json" },
		{ "{\"role\":\"user\",\"content\":\"\\u0000\"}", 400, "bad_" },
		{ "{\"role\":\"user\",\"content\":\"\\ud800\"}", 400, "bad_" },
		{ "{\"role\":\"user\",\"content\":\"\xff\"}", 400, "bad_utf8" },
		{ "{\"role\":\"user\",\"content\":\"\xc0\xaf\"}", 400, "bad_utf8" },
	};
	for (size_t i = 0; i < CH_LEN(table); i++) {
		struct answer a = send_json("POST", "/api/v1/echo", table[i].body);
		assert_status(&a, table[i].status, table[i].body);
		assert_contains(a.body, table[i].part);
		answer_free(&a);
	}
	struct answer a = ask("POST", "/api/v1/echo", "Content-Type: text/plain\r\nContent-Length: 2\r\n");
	assert_status(&a, 415, "text/plain");
	answer_free(&a);
	a = ask("POST", "/api/v1/echo", "Content-Length: 2\r\n");
	assert_status(&a, 415, "no type");
	answer_free(&a);
	assert_int_equal(runs(), 1);
}

static void a_problem_says_what_where_and_which_request(void **state)
{
	(void)state;
	struct answer a = send_json("POST", "/api/v1/echo", "{\"role\":1,\"content\":2}");
	char id[128], line[256];
	assert_contains(a.text, "\r\nContent-Type: application/problem+json\r\n");
	answer_header(&a, "X-Request-Id", id, sizeof(id));
	snprintf(line, sizeof(line), "\"instance\":\"%s\"", id);
	assert_contains(a.body, line);
	assert_contains(a.body, "\"type\":\"urn:commonhold:problem:invalid\"");
	assert_contains(a.body, "\"title\":");
	assert_contains(a.body, "\"status\":422");
	assert_contains(a.body, "\"pointer\":\"/role\"");
	assert_contains(a.body, "\"pointer\":\"/content\"");
	answer_free(&a);
}

static void an_error_without_words_gets_the_tables(void **state)
{
	(void)state;
	struct answer a = ask("GET", "/api/v1/silent", "");
	assert_status(&a, 409, "silent");
	assert_contains(a.body, "\"code\":\"wrong_state\"");
	assert_contains(a.body, err_text(ERR_STATE));
	answer_free(&a);
}

static void the_query_takes_only_what_the_route_lists(void **state)
{
	(void)state;
	static const struct expectation table[] = {
		{ "GET", "/api/v1/list", "", 200, "\"50\"" },
		{ "GET", "/api/v1/list?limit=7", "", 200, "\"7\"" },
		{ "GET", "/api/v1/list?limit=200&state=open&cursor=abc", "", 200, "\"200\"" },
		{ "GET", "/api/v1/list?limit=0", "", 400, "query/limit" },
		{ "GET", "/api/v1/list?limit=201", "", 400, "query/limit" },
		{ "GET", "/api/v1/list?limit=many", "", 400, "query/limit" },
		{ "GET", "/api/v1/list?limit=", "", 400, "query/limit" },
		{ "GET", "/api/v1/list?cursor=", "", 400, "query/cursor" },
		{ "GET", "/api/v1/list?state=ajar", "", 400, "query/state" },
		{ "GET", "/api/v1/list?state=ope", "", 400, "query/state" },
		{ "GET", "/api/v1/list?colour=red", "", 400, "query/colour" },
		{ "GET", "/api/v1/list?state=%ff", "", 400, "query/state" },
		{ "GET", "/api/v1/list?state=%00", "", 400, "query/state" },
		{ "GET", "/api/v1/list?state=%zz", "", 400, "query/state" },
		{ "GET", "/api/v1/hello?x=1", "", 400, "query/x" },
		{ "GET", "/page?anything=goes", "", 200, "A page" },
	};
	expect_all(table, CH_LEN(table));
}

static void no_header_is_injected(void **state)
{
	(void)state;
	struct answer a = ask("GET", "/api/v1/inject?v=fine", "");
	assert_status(&a, 200, "fine");
	assert_contains(a.text, "\r\nX-Value: fine\r\n");
	answer_free(&a);
	static const char *const bad[] = { "a%0d%0aSet-Cookie:%20x=y", "a%0aX:y", "a%0dX:y", "%7f", "a%09b" };
	for (size_t i = 0; i < CH_LEN(bad); i++) {
		char target[128];
		snprintf(target, sizeof(target), "/api/v1/inject?v=%s", bad[i]);
		a = ask("GET", target, "");
		assert_status(&a, 500, target);
		assert_lacks(a.text, "Set-Cookie");
		assert_lacks(a.text, "X-Value");
		answer_free(&a);
	}
}

static void a_redirect_stays_on_this_site(void **state)
{
	(void)state;
	static const struct { const char *to, *location; } table[] = {
		{ "/coops/x", "/coops/x" }, { "//evil.example/", "/" }, { "/%5Cevil.example", "/" }, { "https://evil.example/", "/" }, { "", "/" }, { "x", "/" },
	};
	char target[128], value[128];
	for (size_t i = 0; i < CH_LEN(table); i++) {
		snprintf(target, sizeof(target), "/api/v1/redirect?to=%s", table[i].to);
		struct answer a = ask("GET", target, "");
		assert_status(&a, 303, target);
		assert_string_equal(answer_header(&a, "Location", value, sizeof(value)), table[i].location);
		answer_free(&a);
	}
}

static void a_handler_that_met_another_transaction_runs_again(void **state)
{
	(void)state;
	struct answer a = ask("POST", "/api/v1/retry", "Content-Length: 0\r\n");
	assert_status(&a, 200, "retry");
	assert_int_equal(runs(), 4);
	assert_lacks(a.text, "X-Attempt");
	answer_free(&a);
	seen.runs = 0;
	a = ask("POST", "/api/v1/retry?always=1", "Content-Length: 0\r\n");
	assert_status(&a, 503, "retried in vain");
	assert_int_equal(runs(), 4);
	assert_contains(a.body, "\"code\":\"retry\"");
	assert_contains(a.text, "\r\nRetry-After: ");
	answer_free(&a);
}

static void a_request_that_needs_too_much_memory_is_refused_alone(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		struct answer a = ask("GET", "/api/v1/hungry", "");
		assert_status(&a, 503, "hungry");
		assert_contains(a.body, "no_memory");
		answer_free(&a);
		a = ask("GET", "/api/v1/hello", "");
		assert_status(&a, 200, "afterwards");
		answer_free(&a);
	}
}

static void the_description_lists_every_route_and_no_page(void **state)
{
	(void)state;
	struct arena *arena = arena_new(32 * MIB);
	struct answer a = ask("GET", "/api/v1/openapi.json", "");
	const struct json *doc;
	struct error e = { 0 };
	assert_status(&a, 200, "openapi");
	if (json_parse(arena, str_of(a.body), &doc, &e) != ERR_OK)
		fail_msg("%s", e.message);
	const struct json *paths = json_get(doc, "paths");
	for (const struct route *const *t = http_tables(); *t; t++) {
		for (const struct route *r = *t; r->method; r++) {
			char path[256];
			size_t n = 0;
			for (const char *p = r->path; *p; p++) {
				if (*p != '*')
					path[n++] = *p;
			}
			path[n] = '\0';
			struct str method = str_lower(arena, str_of(r->method));
			const struct json *operation = json_get_str(json_get(paths, path), method);
			if (strncmp(r->id, "page_", 5) == 0)
				assert_null(operation);
			else if (!operation || !str_is(json_member_text(operation, "operationId"), r->id))
				fail_msg("%s %s is not described", r->method, r->path);
		}
	}
	assert_non_null(json_at(doc, "/components/schemas/problem/properties/code"));
	assert_true(str_is(json_text(json_at(doc, "/components/schemas/chat/properties/messages/items/$ref")), "#/components/schemas/message"));
	assert_lacks(a.body, ".json\"}");
	answer_free(&a);
	arena_free(arena);
	a = ask("GET", "/api/v1/schemas/chat.json", "");
	assert_status(&a, 200, "schema");
	answer_free(&a);
	a = ask("GET", "/api/v1/schemas/nothing.json", "");
	assert_status(&a, 404, "schema");
	answer_free(&a);
}

static void operations_are_answered(void **state)
{
	(void)state;
	static const struct expectation table[] = {
		{ "GET", "/healthz", "", 200, "{\"status\":\"ok\"}" },
		{ "GET", "/healthz", "Authorization: nonsense\r\n", 200, "ok" },
		{ "GET", "/readyz", "", 200, "ok" },
		{ "GET", "/metrics", "", 200, "commonhold_http_requests_total{route=\"health\",status=\"2xx\"}" },
		{ "GET", "/metrics", "", 200, "commonhold_http_request_seconds_bucket{route=\"health\",le=\"+Inf\"}" },
		{ "GET", "/static/commonhold.css", "", 200, "\r\nContent-Type: text/css; charset=utf-8\r\n" },
		{ "GET", "/static/commonhold.css", "", 200, "\r\nCache-Control: no-cache\r\n" },
		{ "GET", "/static/nothing.css", "", 404, "Not Found" },
		{ "GET", "/static/../layout.mustache", "", 400, "bad_request" },
	};
	expect_all(table, CH_LEN(table));
	struct answer page = ask("GET", "/page", "");
	const char *at = strstr(page.body, "/static/commonhold.css?v=");
	assert_non_null(at);
	char link[128];
	snprintf(link, sizeof(link), "%.*s", (int)strcspn(at, "\""), at);
	struct answer a = ask("GET", link, "");
	assert_status(&a, 200, link);
	assert_contains(a.text, "\r\nCache-Control: public, max-age=31536000, immutable\r\n");
	answer_free(&a);
	answer_free(&page);
}

static void a_table_with_a_fault_ends_the_start(void **state)
{
	(void)state;
	static const struct { const char *fault; struct route rows[3]; } tables[] = {
		{ "same method and path", { { "GET", "/a/{x}", "one", PERM_PUBLIC, 0, NULL, NULL, 200, on_hello, "s" }, { "GET", "/a/{y}", "two", PERM_PUBLIC, 0, NULL, NULL, 200, on_hello, "s" } } },
		{ "same id", { { "GET", "/a", "one", PERM_PUBLIC, 0, NULL, NULL, 200, on_hello, "s" }, { "GET", "/b", "one", PERM_PUBLIC, 0, NULL, NULL, 200, on_hello, "s" } } },
		{ "no such schema", { { "POST", "/a", "one", PERM_PUBLIC, 100, "nothing", NULL, 200, on_hello, "s" } } },
		{ "no such answer", { { "GET", "/a", "one", PERM_PUBLIC, 0, NULL, "nothing", 200, on_hello, "s" } } },
		{ "a body without a cap", { { "POST", "/a", "one", PERM_PUBLIC, 0, "message", NULL, 200, on_hello, "s" } } },
		{ "a body too large to buffer", { { "POST", "/a", "one", PERM_PUBLIC, LIMIT_BODY_BATCH, "message", NULL, 200, on_hello, "s" } } },
		{ "a stream without its flag", { { "POST", "/a", "one", PERM_PUBLIC, 100, "stream:text/plain", NULL, 200, on_hello, "s" } } },
		{ "a role without a co-op", { { "GET", "/a", "one", PERM_ADMIN, 0, NULL, NULL, 200, on_hello, "s" } } },
		{ "an unknown method", { { "BREW", "/a", "one", PERM_PUBLIC, 0, NULL, NULL, 200, on_hello, "s" } } },
		{ "no summary", { { "GET", "/a", "one", PERM_PUBLIC, 0, NULL, NULL, 200, on_hello, NULL } } },
		{ "no status of success", { { "GET", "/a", "one", PERM_PUBLIC, 0, NULL, NULL, 404, on_hello, "s" } } },
		{ "an open brace", { { "GET", "/a/{x", "one", PERM_PUBLIC, 0, NULL, NULL, 200, on_hello, "s" } } },
		{ "a rest in the middle", { { "GET", "/a/{x*}/b", "one", PERM_PUBLIC, 0, NULL, NULL, 200, on_hello, "s" } } },
		{ "an empty segment", { { "GET", "/a//b", "one", PERM_PUBLIC, 0, NULL, NULL, 200, on_hello, "s" } } },
		{ "no handler", { { "GET", "/a", "one", PERM_PUBLIC, 0, NULL, NULL, 200, NULL, "s" } } },
		{ "a path of the house", { { "GET", "/healthz", "one", PERM_PUBLIC, 0, NULL, NULL, 200, on_hello, "s" } } },
	};
	for (size_t i = 0; i < CH_LEN(tables); i++) {
		const struct route *const list[] = { tables[i].rows, NULL };
		struct http_options o = test_options();
		struct http_server *s = NULL;
		struct error e = { 0 };
		o.tables = list;
		if (http_start(&s, &o, &e) != ERR_CONFIG || !e.message[0])
			fail_msg("the start stood in spite of %s", tables[i].fault);
	}
}

static void an_address_in_use_is_said_and_no_more(void **state)
{
	(void)state;
	char listen[64];
	struct http_options o = test_options();
	struct http_server *s = NULL;
	struct error e = { 0 };
	snprintf(listen, sizeof(listen), "127.0.0.1:%d", port);
	o.listen = listen;
	assert_int_equal(http_start(&s, &o, &e), ERR_CONFIG);
	assert_contains(e.message, listen);
	struct answer a = ask("GET", "/api/v1/hello", ""); /* the server that runs is none the worse */
	assert_status(&a, 200, "afterwards");
	answer_free(&a);
}

#define web_test(f) cmocka_unit_test_setup(f, afresh)

int main(void)
{
	const struct CMUnitTest tests[] = {
		web_test(a_path_finds_its_route_and_its_parameters),
		web_test(a_method_that_is_not_offered_is_told_which_are),
		web_test(head_answers_like_get_without_the_body),
		web_test(http_1_0_gets_its_answer_and_the_end),
		web_test(every_answer_carries_the_headers_that_bound_a_browser),
		web_test(conditions_hold),
		web_test(ranges_follow_the_rfc),
		web_test(a_stream_arrives_whole_in_chunks),
		web_test(a_stream_that_breaks_is_not_taken_for_whole),
		web_test(a_streamed_body_is_read_in_pieces),
		web_test(a_body_is_held_against_its_schema_and_every_fault_is_named),
		web_test(a_problem_says_what_where_and_which_request),
		web_test(an_error_without_words_gets_the_tables),
		web_test(the_query_takes_only_what_the_route_lists),
		web_test(no_header_is_injected),
		web_test(a_redirect_stays_on_this_site),
		web_test(a_handler_that_met_another_transaction_runs_again),
		web_test(a_request_that_needs_too_much_memory_is_refused_alone),
		web_test(the_description_lists_every_route_and_no_page),
		web_test(operations_are_answered),
		web_test(an_address_in_use_is_said_and_no_more),
	};
	const struct CMUnitTest alone[] = { web_test(a_table_with_a_fault_ends_the_start) };
	int failed = cmocka_run_group_tests(tests, start, stop);
	return failed + cmocka_run_group_tests(alone, NULL, NULL);
}
