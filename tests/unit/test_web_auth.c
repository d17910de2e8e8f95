/* Who may do what: sessions and their cookies, tokens, permissions, cross-site requests, pages for people who are not signed in, the rate limit. */
#include "web_fixture.h"

static struct http_server *server;
static int port;

static int start_with(const struct http_options *o)
{
	server = test_server(o);
	port = http_port(server);
	return 0;
}

static int start(void **state)
{
	(void)state;
	struct http_options o = test_options();
	return start_with(&o);
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

#define COOKIE "Cookie: other=1; commonhold=" GOOD_SESSION "; more=2\r\n"
#define BEARER "Authorization: Bearer " GOOD_TOKEN "\r\n"

static struct answer ask(const char *method, const char *target, const char *headers, const char *body)
{
	char text[4096], length[64] = "";
	if (body)
		snprintf(length, sizeof(length), "Content-Length: %zu\r\n", strlen(body));
	int n = snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s%s\r\n%s", method, target, headers, length, body ? body : "");
	return client_ask_n(port, text, (size_t)n);
}

struct expectation { const char *method, *target, *headers; int status; const char *part; };

static void expect_all(const struct expectation *table, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct answer a = ask(table[i].method, table[i].target, table[i].headers, NULL);
		if (a.status != table[i].status)
			fail_msg("%d instead of %d: %s %s with %s\n%s", a.status, table[i].status, table[i].method, table[i].target, table[i].headers, a.text);
		assert_contains(a.text, table[i].part);
		answer_free(&a);
	}
}

static void each_permission_admits_whom_it_should(void **state)
{
	(void)state;
	static const struct expectation table[] = {
		{ "GET", "/api/v1/me", "", 401, "\r\nWWW-Authenticate: Bearer\r\n" },
		{ "GET", "/api/v1/me", COOKIE, 200, "csrf" },
		{ "GET", "/api/v1/me", BEARER, 200, "csrf" },
		{ "GET", "/api/v1/me", "Authorization: bearer " GOOD_TOKEN "\r\n", 200, "csrf" },
		{ "GET", "/api/v1/me", "Authorization: Bearer good.grant.jwt\r\n", 401, "unauthenticated" },
		{ "GET", "/api/v1/me", "Cookie: commonhold=ch_ses_wrong\r\n", 401, "unauthenticated" },
		{ "GET", "/api/v1/me", "Cookie: commonhold=\r\n", 401, "unauthenticated" },
		{ "GET", "/api/v1/me", "Cookie: Commonhold=" GOOD_SESSION "\r\n", 401, "unauthenticated" },
		{ "GET", "/api/v1/me", "Cookie: xcommonhold=" GOOD_SESSION "\r\n", 401, "unauthenticated" },
		{ "GET", "/api/v1/me", "Authorization: Bearer wrong\r\n", 401, "token_invalid" },
		{ "GET", "/api/v1/me", "Authorization: Bearer \r\n", 401, "token_invalid" },
		{ "GET", "/api/v1/me", "Authorization: Basic YTpi\r\n", 401, "token_invalid" },
		{ "GET", "/api/v1/me", "Authorization: Bearer wrong\r\n" COOKIE, 401, "token_invalid" },
		{ "GET", "/api/v1/coops/mine/inner", "", 401, "unauthenticated" },
		{ "GET", "/api/v1/coops/mine/inner", BEARER, 200, "GET" },
		{ "GET", "/api/v1/coops/theirs/inner", BEARER, 403, "forbidden" },
		{ "GET", "/api/v1/coops/hidden/inner", BEARER, 404, "not_found" },
		{ "GET", "/api/v1/coops/asleep/inner", BEARER, 200, "GET" },
		{ "GET", "/api/v1/coops/asleep/active", BEARER, 403, "forbidden" },
		{ "GET", "/api/v1/coops/mine/active", BEARER, 200, "GET" },
		{ "DELETE", "/api/v1/coops/mine/things/1", BEARER, 403, "forbidden" },
		{ "GET", "/api/v1/coops/theirs/download", BEARER, 403, "forbidden" },
		{ "GET", "/api/v1/coops/theirs/download", "", 401, "unauthenticated" },
		{ "GET", "/api/v1/coops/theirs/download", "Authorization: Bearer good.grant.jwt\r\n", 200, "GET" },
		{ "GET", "/api/v1/coops/theirs/download", "Authorization: Bearer bad.grant.jwt\r\n", 401, "token_invalid" },
		{ "GET", "/api/v1/coops/theirs/inner", "Authorization: Bearer good.grant.jwt\r\n", 401, "unauthenticated" },
		{ "GET", "/api/v1/coops/theirs/things/1", "", 200, "\"member\":false" },
		{ "GET", "/api/v1/coops/mine/things/1", COOKIE, 200, "\"member\":true" },
	};
	expect_all(table, CH_LEN(table));
}

static void a_token_longer_than_any_is_refused_undecoded(void **state)
{
	(void)state;
	char headers[10000];
	int n = snprintf(headers, sizeof(headers), "Authorization: Bearer ");
	memset(headers + n, 'a', 9000);
	memcpy(headers + n + 9000, "\r\n", 3);
	char *text = malloc(20000);
	int length = snprintf(text, 20000, "GET /api/v1/me HTTP/1.1\r\nHost: a\r\n%s\r\n", headers);
	struct answer a = client_ask_n(port, text, (size_t)length);
	assert_status(&a, 401, "long token");
	answer_free(&a);
	free(text);
}

/* The token that a signed-in browser's pages carry. */
static void csrf_token(char out[64])
{
	struct answer a = ask("GET", "/api/v1/me", COOKIE, NULL);
	const char *at = strstr(a.body, "{\"csrf\":\"");
	assert_non_null(at);
	snprintf(out, 64, "%.*s", (int)strcspn(at + 9, "\""), at + 9);
	assert_true(strlen(out) == 43);
	answer_free(&a);
}

static void a_write_with_a_session_needs_the_token_of_that_session(void **state)
{
	(void)state;
	char token[64], wrong[64], headers[1024];
	const char *body = "{\"role\":\"user\",\"content\":\"x\"}";
	csrf_token(token);
	snprintf(wrong, sizeof(wrong), "%s", token);
	wrong[5] = wrong[5] == 'a' ? 'b' : 'a';
	const struct { const char *token, *more; int status; } table[] = {
		{ NULL, COOKIE, 403 },
		{ "", COOKIE, 403 },
		{ wrong, COOKIE, 403 },
		{ token, COOKIE, 200 },
		{ token, "Cookie: commonhold=other\r\n", 401 },
		{ NULL, BEARER, 200 },
		{ NULL, BEARER "Origin: https://evil.example\r\n", 200 },
		{ token, COOKIE "Origin: http://127.0.0.1\r\n", 200 },
		{ token, COOKIE "Origin: https://evil.example\r\n", 403 },
		{ token, COOKIE "Origin: null\r\n", 403 },
		{ token, COOKIE "Origin: http://127.0.0.1.evil.example\r\n", 403 },
		{ token, COOKIE "Origin: http://127.0.0.1:81\r\n", 403 },
		{ token, COOKIE "Sec-Fetch-Site: same-origin\r\n", 200 },
		{ token, COOKIE "Sec-Fetch-Site: none\r\n", 200 },
		{ token, COOKIE "Sec-Fetch-Site: same-site\r\n", 403 },
		{ token, COOKIE "Sec-Fetch-Site: cross-site\r\n", 403 },
	};
	for (size_t i = 0; i < CH_LEN(table); i++) {
		snprintf(headers, sizeof(headers), "Content-Type: application/json\r\n%s%s%s%s", table[i].more, table[i].token ? "X-CSRF-Token: " : "",
			table[i].token ? table[i].token : "", table[i].token ? "\r\n" : "");
		seen.runs = 0;
		struct answer a = ask("POST", "/api/v1/me", headers, body);
		assert_status(&a, table[i].status, headers);
		assert_int_equal(runs(), table[i].status == 200);
		answer_free(&a);
	}
}

static void a_form_carries_the_token_in_a_field(void **state)
{
	(void)state;
	char token[64], body[256];
	csrf_token(token);
	const char *type = COOKIE "Content-Type: application/x-www-form-urlencoded\r\n";
	snprintf(body, sizeof(body), "a=1&csrf=%s", token);
	struct answer a = ask("POST", "/account/form", type, body);
	assert_status(&a, 200, body);
	answer_free(&a);
	a = ask("POST", "/account/form", type, "a=1");
	assert_status(&a, 403, "no token");
	assert_contains(a.text, "text/html");
	answer_free(&a);
	a = ask("POST", "/account/form", type, "a=1&csrf=");
	assert_status(&a, 403, "empty token");
	answer_free(&a);
	assert_int_equal(runs(), 1);
}

/* Signing in has no session to take a token from: where the browser says the form comes from must do. */
static void signing_in_from_another_site_is_refused(void **state)
{
	(void)state;
	struct answer a = ask("POST", "/api/v1/sessions", "Origin: https://evil.example\r\n", "");
	assert_status(&a, 403, "foreign sign-in");
	assert_contains(a.body, "\"reason\":\"cross_site\"");
	answer_free(&a);
}

static void a_session_cookie_has_its_attributes_and_a_flash_is_shown_once(void **state)
{
	(void)state;
	struct answer a = ask("POST", "/api/v1/sessions", "Origin: http://127.0.0.1\r\n", "");
	assert_status(&a, 303, "sign in");
	assert_contains(a.text, "\r\nLocation: /page\r\n");
	assert_contains(a.text, "\r\nSet-Cookie: commonhold=" GOOD_SESSION "; Path=/; HttpOnly; SameSite=Lax; Max-Age=3");
	assert_lacks(a.text, "Secure");
	const char *at = strstr(a.text, "\r\nSet-Cookie: flash=");
	assert_non_null(at);
	char headers[512], changed[512];
	snprintf(headers, sizeof(headers), "Cookie: %.*s\r\n", (int)strcspn(at + 14, ";"), at + 14);
	answer_free(&a);
	a = ask("GET", "/page", headers, NULL);
	assert_contains(a.body, "Welcome &lt;back&gt;");
	assert_contains(a.text, "\r\nSet-Cookie: flash=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
	answer_free(&a);
	snprintf(changed, sizeof(changed), "%s", headers);
	changed[18]++; /* another text under the same signature */
	a = ask("GET", "/page", changed, NULL);
	assert_status(&a, 200, "forged flash");
	assert_lacks(a.body, "class=\"notice");
	answer_free(&a);
}

static void a_page_knows_who_is_signed_in(void **state)
{
	(void)state;
	struct answer a = ask("GET", "/page", COOKIE, NULL);
	assert_status(&a, 200, "page");
	assert_contains(a.body, "Ada &amp; Co");
	assert_contains(a.body, "A &lt;title&gt;");
	assert_contains(a.body, "name=\"csrf\" value=\"");
	assert_contains(a.text, "\r\nContent-Type: text/html; charset=utf-8\r\n");
	answer_free(&a);
	a = ask("GET", "/page", "", NULL);
	assert_contains(a.body, "/sign-in");
	answer_free(&a);
	a = ask("GET", "/account", "", NULL);
	assert_status(&a, 303, "page for accounts");
	assert_contains(a.text, "\r\nLocation: /sign-in?next=%2Faccount\r\n");
	answer_free(&a);
}

static void on_https_cookies_are_bound_to_the_host(void **state)
{
	(void)state;
	struct http_options o = test_options();
	o.base_url = "https://example.org/";
	start_with(&o);
	struct answer a = ask("POST", "/api/v1/sessions", "Origin: https://example.org\r\n", "");
	assert_status(&a, 303, "sign in");
	assert_contains(a.text, "\r\nSet-Cookie: __Host-commonhold=" GOOD_SESSION "; Path=/; HttpOnly; SameSite=Lax; Max-Age=");
	assert_contains(a.text, "; Secure\r\n");
	assert_contains(a.text, "\r\nStrict-Transport-Security: max-age=31536000");
	answer_free(&a);
	a = ask("GET", "/api/v1/me", "Cookie: commonhold=" GOOD_SESSION "\r\n", NULL);
	assert_status(&a, 401, "a cookie that any subdomain could set");
	answer_free(&a);
	a = ask("GET", "/api/v1/me", "Cookie: __Host-commonhold=" GOOD_SESSION "\r\n", NULL);
	assert_status(&a, 200, "our cookie");
	answer_free(&a);
}

static void a_caller_is_limited_and_told_so(void **state)
{
	(void)state;
	struct http_options o = test_options();
	o.rate_per_minute = 30;
	o.trust_proxy = true;
	start_with(&o);
	char value[128];
	int limited = 0, last = 0;
	for (int i = 0; i < 40 && !limited; i++) {
		struct answer a = ask("GET", "/api/v1/limited", "X-Forwarded-For: 203.0.113.9\r\n", NULL);
		assert_string_equal(answer_header(&a, "RateLimit-Policy", value, sizeof(value)), "\"default\";q=30;w=60");
		assert_contains(answer_header(&a, "RateLimit", value, sizeof(value)), "\"default\";r=");
		if (a.status == 429) {
			limited = i;
			assert_contains(a.body, "\"code\":\"too_many_requests\"");
			answer_header(&a, "Retry-After", value, sizeof(value));
			assert_true(strtol(value, NULL, 10) >= 1 && strtol(value, NULL, 10) <= 60);
		}
		last = a.status;
		answer_free(&a);
	}
	assert_int_equal(last, 429);
	assert_true(limited >= 30 && limited <= 32); /* a unit comes back every two seconds */
	static const struct expectation others[] = {
		{ "GET", "/api/v1/limited", "X-Forwarded-For: 203.0.113.9, 203.0.113.10\r\n", 200, "GET" },
		{ "GET", "/api/v1/limited", "X-Forwarded-For: 203.0.113.10, 203.0.113.9\r\n", 429, "429" },
		{ "GET", "/api/v1/limited", "X-Forwarded-For: 203.0.113.9\r\n" BEARER, 200, "GET" },
		{ "GET", "/api/v1/hello", "X-Forwarded-For: 203.0.113.9\r\n", 200, "GET" },
	};
	expect_all(others, CH_LEN(others));
}

static void expensive_routes_count_tenfold(void **state)
{
	(void)state;
	struct http_options o = test_options();
	o.rate_per_minute = 30;
	start_with(&o);
	static const struct expectation table[] = {
		{ "GET", "/api/v1/expensive", "", 200, "GET" }, { "GET", "/api/v1/expensive", "", 200, "GET" }, { "GET", "/api/v1/expensive", "", 200, "r=0" },
		{ "GET", "/api/v1/expensive", "", 429, "429" }, { "GET", "/api/v1/expensive", BEARER, 200, "GET" },
	};
	expect_all(table, CH_LEN(table));
}

/* Otherwise one address could guess passwords without end, taking a fresh account for every few tries. */
static void where_anyone_may_ask_an_account_buys_no_further_tries(void **state)
{
	(void)state;
	struct http_options o = test_options();
	o.rate_per_minute = 30;
	start_with(&o);
	static const struct expectation table[] = {
		{ "POST", "/api/v1/guess", "", 200, "POST" }, { "POST", "/api/v1/guess", COOKIE, 200, "POST" }, { "POST", "/api/v1/guess", BEARER, 200, "POST" },
		{ "POST", "/api/v1/guess", BEARER, 429, "429" }, { "POST", "/api/v1/guess", COOKIE, 429, "429" }, { "GET", "/api/v1/expensive", BEARER, 200, "GET" },
	};
	expect_all(table, CH_LEN(table));
}

static void ipv6_callers_are_limited_by_their_network(void **state)
{
	(void)state;
	struct http_options o = test_options();
	o.rate_per_minute = 30;
	o.trust_proxy = true;
	start_with(&o);
	static const struct expectation table[] = {
		{ "GET", "/api/v1/expensive", "X-Forwarded-For: 2001:db8:1:2:3::1\r\n", 200, "GET" },
		{ "GET", "/api/v1/expensive", "X-Forwarded-For: 2001:db8:1:2:0:7::1\r\n", 200, "GET" },
		{ "GET", "/api/v1/expensive", "X-Forwarded-For: 2001:db8:1:2:ffff::9\r\n", 200, "GET" },
		{ "GET", "/api/v1/expensive", "X-Forwarded-For: 2001:db8:1:2::5\r\n", 429, "429" },
		{ "GET", "/api/v1/expensive", "X-Forwarded-For: 2001:db8:1:3::5\r\n", 200, "GET" },
		{ "GET", "/api/v1/expensive", "X-Forwarded-For: 2001:db8::1:0:0:1\r\n", 200, "GET" },
		{ "GET", "/api/v1/expensive", "X-Forwarded-For: 2001:db8::2:0:0:1\r\n", 200, "GET" },
		{ "GET", "/api/v1/expensive", "X-Forwarded-For: 2001:db8::3:0:0:1\r\n", 200, "GET" },
		{ "GET", "/api/v1/expensive", "X-Forwarded-For: 2001:db8::4:0:0:1\r\n", 429, "429" },
	};
	expect_all(table, CH_LEN(table));
}

static void a_proxy_we_do_not_trust_cannot_choose_the_callers_address(void **state)
{
	(void)state;
	struct http_options o = test_options();
	o.rate_per_minute = 30;
	start_with(&o);
	static const struct expectation table[] = {
		{ "GET", "/api/v1/expensive", "X-Forwarded-For: 203.0.113.1\r\n", 200, "GET" }, { "GET", "/api/v1/expensive", "X-Forwarded-For: 203.0.113.2\r\n", 200, "GET" },
		{ "GET", "/api/v1/expensive", "X-Forwarded-For: 203.0.113.3\r\n", 200, "GET" }, { "GET", "/api/v1/expensive", "X-Forwarded-For: 203.0.113.4\r\n", 429, "429" },
	};
	expect_all(table, CH_LEN(table));
}

static void metrics_are_for_this_machine_or_the_tokens_holder(void **state)
{
	(void)state;
	struct http_options o = test_options();
	o.trust_proxy = true;
	o.metrics_token = STR("0123456789abcdef");
	start_with(&o);
	static const struct expectation table[] = {
		{ "GET", "/metrics", "", 200, "commonhold_http_in_flight 1" },
		{ "GET", "/metrics", "X-Forwarded-For: 203.0.113.1\r\n", 404, "not_found" },
		{ "GET", "/metrics", "X-Forwarded-For: 203.0.113.1\r\nAuthorization: Bearer 0123456789abcdeX\r\n", 404, "not_found" },
		{ "GET", "/metrics", "X-Forwarded-For: 203.0.113.1\r\nAuthorization: Bearer 0123456789abcdef\r\n", 200, "commonhold_http" },
	};
	expect_all(table, CH_LEN(table));
}

static void metrics_are_not_for_what_comes_through_a_proxy_that_nobody_told_us_of(void **state)
{
	(void)state;
	struct http_options o = test_options();
	start_with(&o);
	static const struct expectation table[] = {
		{ "GET", "/metrics", "", 200, "commonhold_http_in_flight 1" },
		{ "GET", "/metrics", "X-Forwarded-For: 203.0.113.1\r\n", 404, "not_found" },
	};
	expect_all(table, CH_LEN(table));
}

static void a_request_id_of_our_proxy_is_kept(void **state)
{
	(void)state;
	struct http_options o = test_options();
	o.trust_proxy = true;
	start_with(&o);
	static const struct expectation table[] = {
		{ "GET", "/api/v1/hello", "X-Request-Id: abc-123\r\n", 200, "\r\nX-Request-Id: abc-123\r\n" },
		{ "GET", "/api/v1/nothing", "X-Request-Id: abc-123\r\n", 404, "\"instance\":\"abc-123\"" },
	};
	expect_all(table, CH_LEN(table));
	struct answer a = ask("GET", "/api/v1/hello", "X-Request-Id: <script>\r\n", NULL);
	assert_lacks(a.text, "script");
	answer_free(&a);
}

#define web_test(f) cmocka_unit_test_setup(f, afresh)
#define own_server(f) cmocka_unit_test_setup_teardown(f, afresh, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		web_test(each_permission_admits_whom_it_should),
		web_test(a_token_longer_than_any_is_refused_undecoded),
		web_test(a_write_with_a_session_needs_the_token_of_that_session),
		web_test(a_form_carries_the_token_in_a_field),
		web_test(signing_in_from_another_site_is_refused),
		web_test(a_session_cookie_has_its_attributes_and_a_flash_is_shown_once),
		web_test(a_page_knows_who_is_signed_in),
	};
	const struct CMUnitTest others[] = {
		own_server(on_https_cookies_are_bound_to_the_host),
		own_server(a_caller_is_limited_and_told_so),
		own_server(expensive_routes_count_tenfold),
		own_server(where_anyone_may_ask_an_account_buys_no_further_tries),
		own_server(ipv6_callers_are_limited_by_their_network),
		own_server(a_proxy_we_do_not_trust_cannot_choose_the_callers_address),
		own_server(metrics_are_for_this_machine_or_the_tokens_holder),
		own_server(metrics_are_not_for_what_comes_through_a_proxy_that_nobody_told_us_of),
		own_server(a_request_id_of_our_proxy_is_kept),
	};
	int failed = cmocka_run_group_tests(tests, start, stop);
	return failed + cmocka_run_group_tests(others, NULL, NULL);
}
