/* What the guard must refuse, byte by byte: requests that two readers could read differently, heads with something hidden, bodies that are too large, too deep, too slow or endless,
 * and what happens to requests while the server stops. */
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

static int afresh(void **state)
{
	(void)state;
	seen.runs = 0;
	seen.go = seen.waiting = false;
	return 0;
}

static int stop(void **state)
{
	(void)state;
	http_stop(server);
	return 0;
}

/* A request, what it must be answered with, and whether the connection must end. */
struct attack {
	const char *name, *bytes;
	size_t n;
	int status;
	bool ends;
};
#define A(name, text, status) { name, text, sizeof(text) - 1, status, true }
#define HEAD "POST /api/v1/raw HTTP/1.1\r\nHost: a\r\n"

static const struct attack attacks[] = {
	A("both lengths", HEAD "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
	A("both lengths, the other way round", HEAD "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 411),
	A("chunked", HEAD "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
	A("chunked in disguise", HEAD "Transfer-Encoding: \tchunked\r\n\r\n0\r\n\r\n", 400),
	A("identity", HEAD "Transfer-Encoding: identity\r\nContent-Length: 1\r\n\r\nx", 411),
	A("gzip coding", HEAD "Transfer-Encoding: gzip\r\n\r\n", 400),
	A("two different lengths", HEAD "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy", 400),
	A("two equal lengths", HEAD "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400),
	A("a list of lengths", HEAD "Content-Length: 1, 1\r\n\r\nx", 400),
	A("a length with a letter", HEAD "Content-Length: 4x\r\n\r\nabcd", 400),
	A("a length with a plus", HEAD "Content-Length: +4\r\n\r\nabcd", 400),
	A("a negative length", HEAD "Content-Length: -4\r\n\r\nabcd", 400),
	A("a hexadecimal length", HEAD "Content-Length: 0x4\r\n\r\nabcd", 400),
	A("an empty length", HEAD "Content-Length: \r\n\r\n", 400),
	A("a length beyond all numbers", HEAD "Content-Length: 99999999999999999999999999\r\n\r\n", 400),
	A("no Host", "GET /api/v1/hello HTTP/1.1\r\n\r\n", 400),
	A("two Hosts", "GET /api/v1/hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
	A("bare LF after the first line", "GET /api/v1/hello HTTP/1.1\nHost: a\r\n\r\n", 400),
	A("bare LF after a field", "GET /api/v1/hello HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
	A("bare LF everywhere", "GET /api/v1/hello HTTP/1.1\nHost: a\n\n", 400),
	A("a bare CR", "GET /api/v1/hello HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", 400),
	A("white space before the colon", HEAD "Content-Length : 3\r\n\r\nabc", 400),
	A("a folded line", "GET /api/v1/hello HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400),
	A("a length after a folded line", HEAD " X: y\r\nContent-Length: 44\r\n\r\nGET /api/v1/hello HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	A("a control in a name", HEAD "X\x01: y\r\n\r\n", 400),
	A("a control in a value", HEAD "X: a\x01" "b\r\n\r\n", 400),
	A("a NUL in a value", HEAD "X: a\0b\r\n\r\n", 400),
	A("a line that is no field", "GET /api/v1/hello HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n", 400),
	A("two spaces", "GET  /api/v1/hello HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	A("an unknown version", "GET /api/v1/hello HTTP/3.7\r\nHost: a\r\n\r\n", 400),
	A("a version that carries a header", "GET /a b HTTP/1.1\r\nX: <script>\r\n\r\n", 400),
	A("an unknown method", "BREW /api/v1/hello HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	A("CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	A("an encoded NUL", "GET /api/v1/hello%00.txt HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	A("an encoded slash", "GET /api%2Fv1/hello HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	A("an encoded slash, small letters", "GET /api%2fv1/hello HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	A("an encoded backslash", "GET /api%5Cv1/hello HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	A("an encoded line end", "GET /api/v1/hello%0d%0aX:%20y HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	A("a broken encoding", "GET /api/v1/%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	A("half an encoding", "GET /api/v1/rest/% HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	A("three quarters of an encoding", "GET /api/v1/rest/%4 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	A("dot segments", "GET /static/../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	A("encoded dot segments", "GET /static/%2e%2e/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	A("half-encoded dot segments", "GET /static/.%2E/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	A("dot segments at the end", "GET /static/.. HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	A("a path that is not UTF-8", "GET /api/v1/rest/%ff%fe HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	A("a raw byte in the path", "GET /api/v1/rest/\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
	A("a body where none belongs", "GET /api/v1/hello HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 413),
	A("a body over the cap", HEAD "Content-Length: 4194305\r\n\r\n", 413),
	A("a body over any cap", HEAD "Content-Length: 999999999999\r\n\r\n", 413),
};

static void what_is_ambiguous_is_refused_and_ends_the_connection(void **state)
{
	(void)state;
	for (size_t i = 0; i < CH_LEN(attacks); i++) {
		struct answer a = client_ask_n(port, attacks[i].bytes, attacks[i].n);
		assert_status(&a, attacks[i].status, attacks[i].name);
		assert_lacks(a.text, "<script>");
		if (strstr(a.text + 1, "HTTP/1.1 ") != NULL)
			fail_msg("%s: two answers:\n%s", attacks[i].name, a.text);
		answer_free(&a);
	}
	assert_int_equal(runs(), 0);
}

/* The bytes after a refused request must never be taken for another request. */
static void nothing_is_smuggled_behind_a_refused_request(void **state)
{
	(void)state;
	static const char *const carriers[] = {
		HEAD "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		HEAD "Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
		HEAD "Content-Length: 0x1\r\n\r\nx",
		HEAD " X: y\r\nContent-Length: 3\r\n\r\n",
		"GET /api/v1/hello HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n",
	};
	for (size_t i = 0; i < CH_LEN(carriers); i++) {
		char both[1024];
		snprintf(both, sizeof(both), "%sGET /api/v1/hello HTTP/1.1\r\nHost: smuggled\r\n\r\n", carriers[i]);
		int fd = client_connect(port);
		client_send(fd, both, strlen(both));
		struct answer a = client_receive(fd, false);
		assert_true(a.status >= 400);
		struct answer second = client_receive(fd, false);
		assert_int_equal(second.status, 0);
		answer_free(&a);
		answer_free(&second);
		close(fd);
	}
	assert_int_equal(runs(), 0);
}

static size_t many_headers(char *out, size_t size, int count, const char *last, const char *body)
{
	size_t n = (size_t)snprintf(out, size, "POST /api/v1/raw HTTP/1.1\r\nHost: a\r\n");
	for (int i = 0; i < count; i++)
		n += (size_t)snprintf(out + n, size - n, "X-%d: y\r\n", i);
	return n + (size_t)snprintf(out + n, size - n, "%s\r\n%s", last, body);
}

static void a_header_beyond_the_engines_last_is_not_hidden(void **state)
{
	(void)state;
	char text[8192];
	for (int count = 60; count < 70; count++) {
		size_t n = many_headers(text, sizeof(text), count, "Content-Length: 40\r\n", "GET /api/v1/hello HTTP/1.1\r\nHost: a\r\n\r\n..");
		struct answer a = client_ask_n(port, text, n);
		bool fits = count + 2 <= (int)LIMIT_HEADERS;
		assert_status(&a, fits ? 200 : 431, "many headers");
		answer_free(&a);
	}
	assert_int_equal(runs(), 2);
}

static void a_head_larger_than_the_buffer_is_refused(void **state)
{
	(void)state;
	char *text = calloc(1, 40000);
	size_t n = (size_t)snprintf(text, 40000, "GET /api/v1/hello HTTP/1.1\r\nHost: a\r\nX: ");
	memset(text + n, 'x', 20000);
	memcpy(text + n + 20000, "\r\n\r\n", 4);
	struct answer a = client_ask_n(port, text, n + 20004);
	assert_true(a.status == 400 || a.status == 0); /* refused, or cut off while it was still sent */
	answer_free(&a);
	free(text);
}

static struct answer post(const char *path, const char *type, const char *body, size_t n)
{
	char *text = malloc(n + 512);
	int head = snprintf(text, 512, "POST %s HTTP/1.1\r\nHost: a\r\n%s%s%sContent-Length: %zu\r\n\r\n", path, type ? "Content-Type: " : "", type ? type : "", type ? "\r\n" : "", n);
	memcpy(text + head, body, n);
	struct answer a = client_ask_n(port, text, (size_t)head + n);
	free(text);
	return a;
}

static void a_deeply_nested_body_is_an_error_and_no_more(void **state)
{
	(void)state;
	size_t n = 1000000;
	char *body = malloc(n);
	for (int shape = 0; shape < 3; shape++) {
		memset(body, '[', n);
		if (shape == 1) {
			for (size_t i = 0; i + 5 <= n; i += 5)
				memcpy(body + i, "{\"a\":", 5);
		} else if (shape == 2) {
			memset(body + n / 2, ']', n / 2);
		}
		struct answer a = post("/api/v1/echo", "application/json", body, n);
		assert_true(a.status == 400 || a.status == 413);
		answer_free(&a);
	}
	free(body);
	struct answer a = client_ask(port, "GET /api/v1/hello HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_status(&a, 200, "afterwards");
	answer_free(&a);
}

static void a_large_body_arrives_whole(void **state)
{
	(void)state;
	size_t n = 4 * MIB;
	char *body = malloc(n);
	for (size_t i = 0; i < n; i++)
		body[i] = (char)(i * 31 + i / 997);
	struct answer a = post("/api/v1/raw", NULL, body, n);
	assert_status(&a, 200, "4 MiB");
	struct sha256 digest = sha256(str_make(body, n));
	struct arena *arena = arena_new(MIB);
	assert_contains(a.body, str_z(arena, sha256_hex(arena, digest)));
	arena_free(arena);
	answer_free(&a);
	free(body);
}

static void a_client_that_waits_to_be_told_is_told_to_go_on(void **state)
{
	(void)state;
	int fd = client_connect(port);
	const char *head = "POST /api/v1/raw HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
	client_send(fd, head, strlen(head));
	char interim[64] = "";
	assert_true(recv(fd, interim, sizeof(interim) - 1, 0) > 0);
	assert_contains(interim, "HTTP/1.1 100 Continue\r\n\r\n");
	client_send(fd, "hello", 5);
	struct answer a = client_receive(fd, false);
	assert_status(&a, 200, "after 100");
	answer_free(&a);
	close(fd);
	a = client_ask(port, "POST /api/v1/raw HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n");
	assert_status(&a, 413, "refused before it is sent");
	answer_free(&a);
}

/* Sends one byte after the other until the server has had enough; gives what it answered. */
static struct answer drip(const char *head, int most)
{
	int fd = client_connect(port);
	client_send(fd, head, strlen(head));
	for (int i = 0; i < most; i++) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		if (poll(&p, 1, 50) != 0 || !client_send(fd, "x", 1))
			break;
	}
	struct answer a = client_receive(fd, false);
	close(fd);
	return a;
}

static void a_body_that_drips_for_ever_is_cut_off(void **state)
{
	(void)state;
	struct answer a = drip("POST /api/v1/raw HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", 600);
	assert_status(&a, 408, "dripping body");
	answer_free(&a);
	assert_int_equal(runs(), 0);
}

static void a_stream_that_drips_for_ever_is_cut_off(void **state)
{
	(void)state;
	struct answer a = drip("POST /api/v1/upload HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\nContent-Length: 100000\r\n\r\n", 600);
	assert_status(&a, 408, "dripping stream");
	answer_free(&a);
}

static void a_head_that_drips_for_ever_is_cut_off(void **state)
{
	(void)state;
	int fd = client_connect(port);
	const char *head = "GET /api/v1/hello HTTP/1.1\r\nHost: a\r\nX: ";
	client_send(fd, head, strlen(head));
	bool ended = false;
	for (int i = 0; i < 600 && !ended; i++) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ended = poll(&p, 1, 50) != 0 || !client_send(fd, "x", 1);
	}
	assert_true(ended);
	close(fd);
}

static void a_body_that_stops_is_cut_off(void **state)
{
	(void)state;
	struct answer a = client_ask(port, "POST /api/v1/raw HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
	assert_status(&a, 408, "stalled body");
	answer_free(&a);
	assert_int_equal(runs(), 0);
}

static void a_client_that_goes_in_the_middle_of_its_body_does_no_harm(void **state)
{
	(void)state;
	for (int i = 0; i < 50; i++) {
		int fd = client_connect(port);
		const char *part = "POST /api/v1/raw HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc";
		client_send(fd, part, strlen(part) - (size_t)i);
		close(fd);
	}
	struct answer a = client_ask(port, "GET /api/v1/hello HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_status(&a, 200, "afterwards");
	answer_free(&a);
}

static void a_worker_has_a_mebibyte_of_stack(void **state)
{
	(void)state;
	struct answer a = client_ask(port, "GET /api/v1/deep HTTP/1.1\r\nHost: a\r\n\r\n");
	assert_status(&a, 200, "deep stack");
	answer_free(&a);
}

static void a_connection_serves_many_requests_one_after_the_other(void **state)
{
	(void)state;
	int fd = client_connect(port);
	for (int i = 0; i < 100; i++) {
		const char *text = i % 2 ? "GET /api/v1/hello HTTP/1.1\r\nHost: a\r\n\r\n" : "POST /api/v1/raw HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
		client_send(fd, text, strlen(text));
		struct answer a = client_receive(fd, false);
		assert_status(&a, 200, text);
		answer_free(&a);
	}
	close(fd);
}

static void *stop_server(void *arg)
{
	(void)arg;
	http_stop(server);
	return NULL;
}

/* Wherever the connection stood when the stop began, a new request is told to come back. */
static void a_stop_finishes_what_is_in_flight_and_refuses_what_is_new(void **state)
{
	(void)state;
	int slow = client_connect(port), other = client_connect(port);
	const char *wait = "GET /api/v1/wait HTTP/1.1\r\nHost: a\r\n\r\n", *hello = "GET /api/v1/hello HTTP/1.1\r\nHost: a\r\n\r\n";
	client_send(slow, wait, strlen(wait));
	pthread_mutex_lock(&seen.lock);
	while (!seen.waiting)
		pthread_cond_wait(&seen.changed, &seen.lock);
	pthread_mutex_unlock(&seen.lock);
	pthread_t stopper;
	pthread_create(&stopper, NULL, stop_server, NULL);
	struct answer a = { .text = NULL };
	for (int i = 0; i < 1000; i++) { /* until the stop has begun */
		a = client_ask(port, hello);
		if (a.status == 503)
			break;
		answer_free(&a);
	}
	assert_status(&a, 503, "new request while stopping");
	char value[64];
	assert_string_equal(answer_header(&a, "Connection", value, sizeof(value)), "close");
	assert_true(strlen(answer_header(&a, "Retry-After", value, sizeof(value))) > 0);
	answer_free(&a);
	client_send(other, hello, strlen(hello));
	a = client_receive(other, false);
	assert_true(a.status == 503 || a.status == 0);
	answer_free(&a);
	pthread_mutex_lock(&seen.lock);
	seen.go = true;
	pthread_cond_broadcast(&seen.changed);
	pthread_mutex_unlock(&seen.lock);
	a = client_receive(slow, false);
	assert_status(&a, 200, "request in flight");
	assert_contains(a.body, "finished");
	answer_free(&a);
	pthread_join(stopper, NULL);
	close(slow);
	close(other);
}

#define web_test(f) cmocka_unit_test_setup(f, afresh)

static int start_with_workers(void **state)
{
	(void)state;
	struct http_options o = test_options();
	o.workers = LIMIT_STREAMS + 4;
	o.request_timeout_ms = 20000;
	server = test_server(&o);
	port = http_port(server);
	return 0;
}

/* What a small upload is answered. */
static int upload_status(void)
{
	const char *text = "POST /api/v1/upload HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/x-ndjson\r\nContent-Length: 2\r\n\r\n{}";
	struct answer a = client_ask_n(port, text, strlen(text));
	int status = a.status;
	answer_free(&a);
	return status;
}

static int status_awaited(int wanted)
{
	int status = 0;
	for (int i = 0; i < 400 && status != wanted; i++) {
		status = upload_status();
		if (status != wanted)
			usleep(5000);
	}
	return status;
}

static void slow_uploads_do_not_take_every_worker(void **state)
{
	(void)state;
	int fds[LIMIT_STREAMS];
	const char *text = "POST /api/v1/upload HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-ndjson\r\nContent-Length: 1000000\r\n\r\n{";
	for (int i = 0; i < LIMIT_STREAMS; i++) {
		fds[i] = client_connect(port);
		assert_true(client_send(fds[i], text, strlen(text)));
	}
	assert_int_equal(status_awaited(503), 503);
	const char *hello = "GET /api/v1/hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
	struct answer a = client_ask_n(port, hello, strlen(hello));
	assert_status(&a, 200, "while uploads drip");
	answer_free(&a);
	for (int i = 0; i < LIMIT_STREAMS; i++)
		close(fds[i]);
	assert_int_equal(status_awaited(200), 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		web_test(what_is_ambiguous_is_refused_and_ends_the_connection),
		web_test(nothing_is_smuggled_behind_a_refused_request),
		web_test(a_header_beyond_the_engines_last_is_not_hidden),
		web_test(a_head_larger_than_the_buffer_is_refused),
		web_test(a_deeply_nested_body_is_an_error_and_no_more),
		web_test(a_large_body_arrives_whole),
		web_test(a_client_that_waits_to_be_told_is_told_to_go_on),
		web_test(a_body_that_drips_for_ever_is_cut_off),
		web_test(a_stream_that_drips_for_ever_is_cut_off),
		web_test(a_head_that_drips_for_ever_is_cut_off),
		web_test(a_body_that_stops_is_cut_off),
		web_test(a_client_that_goes_in_the_middle_of_its_body_does_no_harm),
		web_test(a_worker_has_a_mebibyte_of_stack),
		web_test(a_connection_serves_many_requests_one_after_the_other),
	};
	const struct CMUnitTest last[] = { web_test(a_stop_finishes_what_is_in_flight_and_refuses_what_is_new) };
	const struct CMUnitTest slow[] = { web_test(slow_uploads_do_not_take_every_worker) };
	int failed = cmocka_run_group_tests(tests, start, stop) + cmocka_run_group_tests(slow, start_with_workers, stop);
	return failed + cmocka_run_group_tests(last, start, NULL);
}
