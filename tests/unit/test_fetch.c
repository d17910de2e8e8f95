/* The HTTP client: which addresses it asks, and what it lets the other side do. A thread of this program plays the other side, word for word. */
#include "commonhold/clock.h"
#include "commonhold/fetch.h"
#include "commonhold/limits.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

static struct arena *arena;

/* The other side: answers each connection with the next text, after having read a whole request. */
static struct other {
	int socket, port;
	pthread_t thread;
	const char *answers[8];     /* NULL ends */
	char asked[8][4096];        /* the requests, heads and bodies */
	_Atomic int n;              /* answered */
	int endless;                /* goes on sending this many MiB behind the answer */
} other;

static size_t length_of_body(const char *head)
{
	const char *at = strcasestr(head, "\r\nContent-Length:");
	int64_t n = 0;
	return at && str_to_i64(str_trim(str_make(at + 17, strcspn(at + 17, "\r"))), 0, 4096, &n) ? (size_t)n : 0;
}

static void read_request(int fd, char *into, size_t size)
{
	size_t n = 0;
	while (n < size - 1) {
		ssize_t got = read(fd, into + n, size - 1 - n);
		if (got <= 0)
			break;
		n += (size_t)got;
		into[n] = '\0';
		const char *end = strstr(into, "\r\n\r\n");
		if (end && n >= (size_t)(end + 4 - into) + length_of_body(into))
			break;
	}
}

static void *play(void *arg)
{
	static const char filler[65536];
	(void)arg;
	for (int i = 0; other.answers[i]; i++) {
		int fd = accept(other.socket, NULL, NULL);
		if (fd < 0)
			break;
		read_request(fd, other.asked[i], sizeof(other.asked[i]));
		other.n++;
		const char *text = other.answers[i];
		ssize_t sent = send(fd, text, strlen(text), MSG_NOSIGNAL);
		for (int k = 0; k < other.endless * 16 && sent > 0; k++)
			sent = send(fd, filler, sizeof(filler), MSG_NOSIGNAL);
		if (strstr(text, "X-Stall"))
			usleep(400 * 1000);
		close(fd);
	}
	return NULL;
}

static void other_begin(const char *const *answers)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(at);
	int endless = other.endless;
	other = (struct other){ .endless = endless, .socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
	for (int i = 0; i < 7 && answers[i]; i++)
		other.answers[i] = answers[i];
	assert_int_equal(bind(other.socket, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(other.socket, 8), 0);
	assert_int_equal(getsockname(other.socket, (struct sockaddr *)&at, &size), 0);
	other.port = ntohs(at.sin_port);
	assert_int_equal(pthread_create(&other.thread, NULL, play, NULL), 0);
}
#define OTHER(...) other_begin((const char *const[]){ __VA_ARGS__, NULL })

static void other_end(void)
{
	shutdown(other.socket, SHUT_RDWR);
	pthread_join(other.thread, NULL);
	close(other.socket);
	other.endless = 0;
}

static struct str there(const char *path)
{
	return str_fmt(arena, "http://127.0.0.1:%d%s", other.port, path);
}

static int set_up(void **state)
{
	(void)state;
	arena = arena_new(8 * MIB);
	return arena && fetch_start() ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

/* ---- addresses ---- */

static bool is_public(const char *text)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
		return fetch_address_is_public((struct sockaddr *)&v4);
	assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
	return fetch_address_is_public((struct sockaddr *)&v6);
}

static void addresses_of_this_machine_and_its_network_are_not_public(void **state)
{
	static const char *const own[] = { "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.255",
		"169.254.169.254", "169.254.0.1", "100.64.0.1", "100.127.255.255", "100.100.100.200", "168.63.129.16", "192.0.0.192", "192.0.2.1", "198.51.100.1", "203.0.113.9", "198.18.0.1",
		"198.19.255.255", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "febf::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
		"2001::1", "2002:7f00:1::", "3fff::1", "64:ff9b:1::1", "100::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.1.2.3", "::ffff:169.254.169.254", "64:ff9b::10.0.0.1" };
	(void)state;
	for (size_t i = 0; i < CH_LEN(own); i++)
		if (is_public(own[i]))
			fail_msg("%s passes for public", own[i]);
}

static void addresses_next_to_special_ones_are_public(void **state)
{
	static const char *const all[] = { "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1", "169.253.255.255", "169.255.0.0", "172.15.255.255",
		"172.32.0.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "168.63.129.15", "2606:4700::1111", "2001:200::1", "2a00:1450::1", "::ffff:8.8.8.8",
		"64:ff9b::8.8.8.8" };
	(void)state;
	for (size_t i = 0; i < CH_LEN(all); i++)
		if (!is_public(all[i]))
			fail_msg("%s is turned away", all[i]);
}

static void other_kinds_of_sockets_are_not_public(void **state)
{
	struct sockaddr local = { .sa_family = AF_UNIX };
	(void)state;
	assert_false(fetch_address_is_public(&local));
}

static enum err check_url(const char *url, bool own, bool http, struct error *e)
{
	*e = (struct error){ 0 };
	return fetch_url_check(arena, str_of(url), own, http, NULL, e);
}

static void a_url_says_where_it_leads_and_holds_no_secrets(void **state)
{
	static const char *const no_addresses[] = { "", "example.org", "//example.org/", "https://", "https:///x", "https://exa mple.org/", "https://example.org/\r\nX: y", "https://example.org\\@evil.example/",
		"ftp://example.org/", "file:///etc/passwd", "gopher://example.org/", "https://user@example.org/", "https://user:pass@example.org/", "https://:pass@example.org/", "https://ex\xc3\xa4mple.org/" };
	static const char *const own[] = { "https://127.0.0.1/", "https://localhost/", "https://LOCALHOST:8443/", "https://a.localhost/", "https://[::1]/", "https://[::ffff:10.0.0.1]/", "https://10.1.2.3/",
		"https://2130706433/", "https://0x7f.1/", "https://0177.0.0.1/", "https://127.1/", "https://169.254.169.254/latest/meta-data" };
	struct error e;
	(void)state;
	for (size_t i = 0; i < CH_LEN(no_addresses); i++)
		if (check_url(no_addresses[i], true, false, &e) != ERR_REFUSED || strcmp(e.reason, "url_refused") != 0)
			fail_msg("\"%s\" passes for an address", no_addresses[i]);
	for (size_t i = 0; i < CH_LEN(own); i++) {
		if (check_url(own[i], false, false, &e) != ERR_REFUSED || strcmp(e.reason, "address_refused") != 0)
			fail_msg("\"%s\" passes for public", own[i]);
		assert_int_equal(check_url(own[i], true, false, &e), ERR_OK);
	}
	assert_int_equal(check_url("http://example.org/", true, false, &e), ERR_REFUSED);
	assert_int_equal(check_url("http://example.org/", false, true, &e), ERR_OK);
	assert_int_equal(check_url("https://example.org:8443/a?b=c", false, false, &e), ERR_OK);
}

/* ---- exchanges ---- */

static struct fetch_request asking(const char *path)
{
	return (struct fetch_request){ .url = there(path), .allow_private = true, .allow_http = true, .total_ms = 4000 };
}

static void what_was_sent_arrives_and_the_answer_with_its_fields_comes_back(void **state)
{
	const struct fetch_header headers[] = { { STR("X-One"), STR("1") }, { STR("X-None"), STR("") }, { STR("Content-Type"), STR("text/x") } };
	struct fetch_request r;
	struct fetch_answer got;
	struct error e = { 0 };
	(void)state;
	OTHER("HTTP/1.1 201 Made\r\nETag: \"x\"\r\nRetry-After: 7\r\nContent-Length: 5\r\n\r\nhello");
	r = asking("/a?b=c");
	r.method = "PUT";
	r.body = STR("body");
	r.headers = headers;
	r.n_headers = CH_LEN(headers);
	assert_int_equal(fetch(NULL, arena, &r, &got, &e), ERR_OK);
	other_end();
	assert_int_equal(got.status, 201);
	assert_true(str_is(got.body, "hello"));
	assert_int_equal(got.length, 5);
	assert_true(str_is(fetch_header_get(&got, "etag"), "\"x\""));
	assert_null(fetch_header_get(&got, "x").p);
	assert_int_equal(fetch_retry_after(&got, 1), 7);
	assert_true(str_starts(str_of(other.asked[0]), "PUT /a?b=c HTTP/1.1\r\n"));
	assert_non_null(strstr(other.asked[0], "\r\nX-One: 1\r\n"));
	assert_non_null(strstr(other.asked[0], "\r\nX-None:\r\n"));
	assert_non_null(strstr(other.asked[0], "\r\nContent-Type: text/x\r\n"));
	assert_null(strstr(other.asked[0], "Expect"));
	assert_non_null(strstr(other.asked[0], "\r\n\r\nbody"));
}

static void a_part_of_a_file_is_sent_and_nothing_around_it(void **state)
{
	char path[] = "/tmp/fetch-XXXXXX";
	int fd = mkstemp(path);
	struct fetch_part part = { fd, 3, 4 };
	struct fetch_request r;
	struct fetch_answer got;
	struct error e = { 0 };
	(void)state;
	unlink(path);
	assert_int_equal(write(fd, "abcDEFGhij", 10), 10);
	OTHER("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	r = asking("/");
	r.part = &part;
	r.method = "PUT";
	assert_int_equal(fetch(NULL, arena, &r, &got, &e), ERR_OK);
	other_end();
	close(fd);
	assert_non_null(strstr(other.asked[0], "\r\nContent-Length: 4\r\n"));
	assert_non_null(strstr(other.asked[0], "\r\n\r\nDEFG"));
	assert_null(strstr(other.asked[0], "DEFGh"));
}

static void an_address_of_this_machine_is_not_asked_unless_allowed(void **state)
{
	struct fetch_request r;
	struct fetch_answer got;
	struct error e = { 0 };
	(void)state;
	OTHER("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	r = asking("/");
	r.allow_private = false;
	assert_int_equal(fetch(NULL, arena, &r, &got, &e), ERR_REFUSED);
	assert_string_equal(e.reason, "address_refused");
	/* A name that leads here is found out when the socket is opened. */
	char name[256];
	assert_int_equal(gethostname(name, sizeof(name) - 1), 0);
	r.url = str_fmt(arena, "http://%s:%d/", name, other.port);
	enum err result = fetch(NULL, arena, &r, &got, &e);
	assert_true(result == ERR_REFUSED || result == ERR_UNAVAILABLE);
	other_end();
	assert_int_equal(other.n, 0);
}

static void a_kept_connection_is_not_used_under_a_stricter_rule(void **state)
{
	struct fetcher *f = fetcher_new();
	struct fetch_request r;
	struct fetch_answer got;
	struct error e = { 0 };
	(void)state;
	OTHER("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	r = asking("/");
	assert_int_equal(fetch(f, arena, &r, &got, &e), ERR_OK);
	r.allow_private = false;
	assert_int_equal(fetch(f, arena, &r, &got, &e), ERR_REFUSED);
	other_end();
	fetcher_free(f);
}

static void a_redirect_is_an_answer_unless_asked_for(void **state)
{
	struct fetch_request r;
	struct fetch_answer got;
	struct error e = { 0 };
	(void)state;
	OTHER("HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb");
	r = asking("/a");
	assert_int_equal(fetch(NULL, arena, &r, &got, &e), ERR_OK);
	assert_int_equal(got.status, 302);
	assert_int_equal(other.n, 1);
	fetch(NULL, arena, &r, &got, &e) == ERR_OK ? (void)0 : fail();
	other_end();
	OTHER("HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb");
	r = asking("/a");
	r.redirects = 1;
	assert_int_equal(fetch(NULL, arena, &r, &got, &e), ERR_OK);
	other_end();
	assert_int_equal(got.status, 200);
	assert_true(str_eq(got.url, there("/b")));
}

static void another_host_behind_a_redirect_sees_no_secrets(void **state)
{
	const struct fetch_header headers[] = { { STR("Authorization"), STR("Bearer secret") }, { STR("X-Token"), STR("secret") }, { STR("Range"), STR("bytes=0-1") } };
	struct fetch_request r;
	struct fetch_answer got;
	struct error e = { 0 };
	char redirect[200];
	(void)state;
	snprintf(redirect, sizeof(redirect), "HTTP/1.1 307 Elsewhere\r\nLocation: /b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
	OTHER(redirect, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb");
	snprintf(redirect, sizeof(redirect), "HTTP/1.1 307 Elsewhere\r\nLocation: http://localhost:%d/b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", other.port);
	r = asking("/a");
	r.headers = headers;
	r.n_headers = CH_LEN(headers);
	r.redirects = 2;
	r.user = STR("name");
	r.password = STR("secret");
	assert_int_equal(fetch(NULL, arena, &r, &got, &e), ERR_OK);
	assert_non_null(strstr(other.asked[0], "secret"));
	assert_null(strstr(other.asked[1], "secret"));
	assert_null(strstr(other.asked[1], "Authorization"));
	assert_non_null(strstr(other.asked[1], "Range: bytes=0-1"));
	other_end();
	/* Nor does a body go there. */
	OTHER(redirect, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb");
	snprintf(redirect, sizeof(redirect), "HTTP/1.1 307 Elsewhere\r\nLocation: http://localhost:%d/b\r\nContent-Length: 0\r\n\r\n", other.port);
	r = asking("/a");
	r.body = STR("secret");
	r.redirects = 2;
	assert_int_equal(fetch(NULL, arena, &r, &got, &e), ERR_REFUSED);
	assert_string_equal(e.reason, "redirect_refused");
	other_end();
}

static void a_redirect_cannot_lead_where_the_first_request_may_not(void **state)
{
	static const char *const to[] = { "file:///etc/passwd", "ftp://127.0.0.1/", "http://user:pass@127.0.0.1/", "gopher://127.0.0.1/" };
	char answer[200];
	(void)state;
	for (size_t i = 0; i < CH_LEN(to); i++) {
		struct fetch_request r;
		struct fetch_answer got;
		struct error e = { 0 };
		snprintf(answer, sizeof(answer), "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", to[i]);
		OTHER(answer);
		r = asking("/a");
		r.redirects = 3;
		enum err result = fetch(NULL, arena, &r, &got, &e);
		other_end();
		if (result != ERR_REFUSED)
			fail_msg("a redirect to %s ended in %d", to[i], (int)result);
	}
}

static void redirects_end(void **state)
{
	const char *again = "HTTP/1.1 302 Found\r\nLocation: /a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
	struct fetch_request r;
	struct fetch_answer got;
	struct error e = { 0 };
	(void)state;
	OTHER(again, again, again, again);
	r = asking("/a");
	r.redirects = 2;
	assert_int_equal(fetch(NULL, arena, &r, &got, &e), ERR_REFUSED);
	assert_string_equal(e.reason, "redirect_refused");
	assert_int_equal(other.n, 3);
	other_end();
}

static void an_answer_is_no_longer_than_allowed(void **state)
{
	struct fetch_request r;
	struct fetch_answer got;
	struct error e = { 0 };
	(void)state;
	OTHER("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
	r = asking("/");
	r.max_bytes = 99;
	assert_int_equal(fetch(NULL, arena, &r, &got, &e), ERR_TOO_LARGE);
	other_end();
	other.endless = 4;
	OTHER("HTTP/1.1 200 OK\r\n\r\n");
	r = asking("/");
	r.max_bytes = 100000;
	assert_int_equal(fetch(NULL, arena, &r, &got, &e), ERR_TOO_LARGE);
	assert_string_equal(e.reason, "too_large");
	other_end();
}

static size_t sunk;
static bool sink(void *arg, const void *p, size_t n)
{
	(void)p;
	sunk += n;
	return arg == NULL;
}

static void a_sink_takes_what_succeeds_and_a_refusal_is_kept_in_part(void **state)
{
	struct fetch_request r;
	struct fetch_answer got;
	struct error e = { 0 };
	(void)state;
	sunk = 0;
	other.endless = 2;
	OTHER("HTTP/1.1 410 Gone\r\n\r\n");
	r = asking("/");
	r.sink = sink;
	r.max_bytes = 10 * (int64_t)MIB;
	assert_int_equal(fetch(NULL, arena, &r, &got, &e), ERR_OK);
	assert_int_equal(got.status, 410);
	assert_int_equal(got.body.n, FETCH_REFUSAL_MAX);
	assert_int_equal(sunk, 0);
	other_end();
	other.endless = 2;
	OTHER("HTTP/1.1 200 OK\r\nContent-Length: 2097152\r\n\r\n");
	r.url = there("/");
	assert_int_equal(fetch(NULL, arena, &r, &got, &e), ERR_OK);
	assert_int_equal(sunk, 2 * MIB);
	assert_int_equal(got.body.n, 0);
	other_end();
	OTHER("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
	r.url = there("/");
	r.arg = &sunk;
	assert_int_equal(fetch(NULL, arena, &r, &got, &e), ERR_IO);
	assert_string_equal(e.reason, "sink");
	other_end();
}

static void an_answer_that_ends_early_is_told_from_a_whole_one(void **state)
{
	struct fetch_request r;
	struct fetch_answer got;
	struct error e = { 0 };
	(void)state;
	OTHER("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
	r = asking("/");
	assert_int_equal(fetch(NULL, arena, &r, &got, &e), ERR_UNAVAILABLE);
	assert_string_equal(e.reason, "cut_off");
	other_end();
}

static void whoever_stalls_or_never_ends_its_head_is_left(void **state)
{
	struct fetch_request r;
	struct fetch_answer got;
	struct error e = { 0 };
	struct buf head;
	(void)state;
	OTHER("HTTP/1.1 200 OK\r\nX-Stall: 1\r\nContent-Length: 10\r\n\r\nabc");
	r = asking("/");
	r.total_ms = 150;
	assert_int_equal(fetch(NULL, arena, &r, &got, &e), ERR_TIMEOUT);
	other_end();
	buf_init(&head, 2 * MIB);
	buf_add_z(&head, "HTTP/1.1 200 OK\r\n");
	for (int i = 0; i < 20000; i++)
		buf_add_z(&head, "X-Field: and another one\r\n");
	buf_add_byte(&head, '\0');
	OTHER(head.p);
	r = asking("/");
	assert_int_equal(fetch(NULL, arena, &r, &got, &e), ERR_UNAVAILABLE);
	other_end();
	buf_release(&head);
}

static void what_compresses_itself_is_not_inflated(void **state)
{
	struct fetch_request r;
	struct fetch_answer got;
	struct error e = { 0 };
	(void)state;
	OTHER("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08");
	r = asking("/");
	assert_int_equal(fetch(NULL, arena, &r, &got, &e), ERR_OK);
	other_end();
	assert_int_equal(got.body.n, 3);
	assert_null(strcasestr(other.asked[0], "accept-encoding"));
}

static void proxies_of_the_environment_are_not_used(void **state)
{
	struct fetch_request r;
	struct fetch_answer got;
	struct error e = { 0 };
	(void)state;
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	OTHER("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
	r = asking("/");
	enum err result = fetch(NULL, arena, &r, &got, &e);
	unsetenv("http_proxy");
	unsetenv("ALL_PROXY");
	other_end();
	assert_int_equal(result, ERR_OK);
}

static void a_field_cannot_carry_another_one(void **state)
{
	const struct fetch_header headers[] = { { STR("X-One"), STR("1\r\nX-Two: 2") } };
	struct fetch_request r = { .url = STR("https://example.org/"), .headers = headers, .n_headers = 1 };
	struct fetch_answer got;
	struct error e = { 0 };
	(void)state;
	assert_int_equal(fetch(NULL, arena, &r, &got, &e), ERR_REFUSED);
	r = (struct fetch_request){ .url = STR("https://example.org/"), .method = "GET / HTTP/1.1\r\nX:" };
	assert_int_equal(fetch(NULL, arena, &r, &got, &e), ERR_REFUSED);
}

static void no_message_tells_what_an_address_holds(void **state)
{
	struct fetch_request r = { .url = STR("http://127.0.0.1:1/path?token=secret"), .allow_private = true, .allow_http = true, .user = STR("u"), .password = STR("secret") };
	struct fetch_answer got;
	struct error e = { 0 };
	(void)state;
	assert_int_equal(fetch(NULL, arena, &r, &got, &e), ERR_UNAVAILABLE);
	assert_null(strstr(e.message, "secret"));
	assert_null(strstr(e.message, "path"));
	assert_non_null(strstr(e.message, "127.0.0.1"));
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

static void whoever_asks_may_stop(void **state)
{
	struct fetch_request r;
	struct fetch_answer got;
	struct error e = { 0 };
	(void)state;
	OTHER("HTTP/1.1 200 OK\r\nX-Stall: 1\r\nContent-Length: 10\r\n\r\nabc");
	r = asking("/");
	r.go_on = never;
	assert_int_equal(fetch(NULL, arena, &r, &got, &e), ERR_UNAVAILABLE);
	assert_string_equal(e.reason, "stopped");
	other_end();
}

static void a_date_says_when_to_come_back(void **state)
{
	struct fetch_header field = { STR("Retry-After"), STR("Sun, 06 Nov 1994 08:49:37 GMT") };
	struct fetch_answer answer = { .headers = &field, .n_headers = 1 };
	struct civil at = { 1994, 11, 6, 8, 49, 7, 0, 0 };
	(void)state;
	clock_set(clock_of_civil(at));
	assert_int_equal(fetch_retry_after(&answer, 5), 30);
	at.minute = 50;
	clock_set(clock_of_civil(at));
	assert_int_equal(fetch_retry_after(&answer, 5), 0);
	clock_set(INSTANT_NONE);
	field.value = STR("soon");
	assert_int_equal(fetch_retry_after(&answer, 5), 5);
	answer.n_headers = 0;
	assert_int_equal(fetch_retry_after(&answer, 5), 5);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(addresses_of_this_machine_and_its_network_are_not_public), TEST(addresses_next_to_special_ones_are_public), TEST(other_kinds_of_sockets_are_not_public),
		TEST(a_url_says_where_it_leads_and_holds_no_secrets), TEST(what_was_sent_arrives_and_the_answer_with_its_fields_comes_back), TEST(a_part_of_a_file_is_sent_and_nothing_around_it),
		TEST(an_address_of_this_machine_is_not_asked_unless_allowed), TEST(a_kept_connection_is_not_used_under_a_stricter_rule), TEST(a_redirect_is_an_answer_unless_asked_for),
		TEST(another_host_behind_a_redirect_sees_no_secrets), TEST(a_redirect_cannot_lead_where_the_first_request_may_not), TEST(redirects_end), TEST(an_answer_is_no_longer_than_allowed),
		TEST(a_sink_takes_what_succeeds_and_a_refusal_is_kept_in_part), TEST(an_answer_that_ends_early_is_told_from_a_whole_one), TEST(whoever_stalls_or_never_ends_its_head_is_left),
		TEST(what_compresses_itself_is_not_inflated), TEST(proxies_of_the_environment_are_not_used), TEST(a_field_cannot_carry_another_one), TEST(no_message_tells_what_an_address_holds),
		TEST(whoever_asks_may_stop), TEST(a_date_says_when_to_come_back),
	};
	return cmocka_run_group_tests_name("fetch", tests, NULL, NULL);
}
