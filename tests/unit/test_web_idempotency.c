/* Idempotency-Key: the same request twice is done once; another request under the key is refused; a lost answer is not made up; and expensive routes are counted over all processes. */
#include "web_fixture.h"

#include "fixture.h"

static struct http_server *server;
static int port;

static int start(void **state)
{
	if (fixture_setup(state) != 0)
		return -1;
	struct http_options o = test_options();
	o.rate_per_minute = 30;
	server = test_server(&o);
	port = http_port(server);
	return 0;
}

static int stop(void **state)
{
	http_stop(server);
	return fixture_teardown(state);
}

#define BODY "{\"role\":\"user\",\"content\":\"first\"}"
#define OTHER "{\"role\":\"user\",\"content\":\"other\"}"

static struct answer post(const char *key, const char *more, const char *body)
{
	char text[2048];
	int n = snprintf(text, sizeof(text), "POST /api/v1/echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n%s%s%s%sContent-Length: %zu\r\n\r\n%s",
		key ? "Idempotency-Key: " : "", key ? key : "", key ? "\r\n" : "", more, strlen(body), body);
	return client_ask_n(port, text, (size_t)n);
}

static void expect(struct answer a, int status, const char *part, int ran)
{
	assert_status(&a, status, part);
	assert_contains(a.text, part);
	assert_int_equal(runs(), ran);
	answer_free(&a);
}

static void the_same_request_is_done_once_and_answered_alike(void **state)
{
	(void)state;
	expect(post("k1", "", BODY), 200, "first", 1);
	struct answer again = post("k1", "", BODY);
	assert_contains(again.text, "\r\nIdempotency-Replayed: true\r\n");
	assert_contains(again.text, "\r\nContent-Type: application/json\r\n");
	assert_string_equal(again.body, BODY);
	expect(again, 200, "first", 1);
	expect(post("k2", "", BODY), 200, "first", 2);
	expect(post(NULL, "", BODY), 200, "first", 3);
}

static void another_request_under_the_key_is_refused(void **state)
{
	(void)state;
	expect(post("k1", "", BODY), 200, "first", 1);
	expect(post("k1", "", OTHER), 409, "idempotency_mismatch", 1);
	expect(post("k1", "", BODY), 200, "Idempotency-Replayed", 1);
}

static void a_key_belongs_to_its_caller(void **state)
{
	(void)state;
	expect(post("k1", "", BODY), 200, "first", 1);
	expect(post("k1", "Authorization: Bearer " GOOD_TOKEN "\r\n", OTHER), 200, "other", 2);
	expect(post("k1", "Authorization: Bearer " GOOD_TOKEN "\r\n", OTHER), 200, "Idempotency-Replayed", 2);
}

static void a_refused_body_claims_no_key(void **state)
{
	(void)state;
	expect(post("k1", "", "{}"), 422, "invalid", 0);
	expect(post("k1", "", BODY), 200, "first", 1);
}

static void a_key_must_be_usable(void **state)
{
	(void)state;
	char longer[300];
	memset(longer, 'k', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	expect(post("", "", BODY), 400, "header/Idempotency-Key", 0);
	expect(post("a b", "", BODY), 400, "header/Idempotency-Key", 0);
	expect(post(longer, "", BODY), 400, "header/Idempotency-Key", 0);
}

static void a_request_whose_answer_was_lost_is_not_done_again(void **state)
{
	(void)state;
	expect(post("k1", "", BODY), 200, "first", 1);
	fixture_sql("UPDATE idempotency SET status = NULL, headers = NULL, body = NULL");
	expect(post("k1", "", BODY), 409, "idempotency_in_progress", 1);
}

static void a_key_is_forgotten_after_a_day(void **state)
{
	(void)state;
	expect(post("k1", "", BODY), 200, "first", 1);
	clock_shift(CLOCK_DAY + CLOCK_MINUTE);
	expect(post("k1", "", OTHER), 200, "other", 2);
}

/* Answers are about people, and most keys are never sent again. */
static void kept_answers_go_when_their_day_is_over(void **state)
{
	(void)state;
	struct call *c = fixture_system();
	expect(post("k1", "", BODY), 200, "first", 1);
	assert_ok(c, web_jobs[0].run(c, NULL));
	assert_int_equal(fixture_int("SELECT count(*) FROM idempotency"), 1);
	clock_shift(CLOCK_DAY + CLOCK_MINUTE);
	assert_ok(c, web_jobs[0].run(c, NULL));
	assert_int_equal(fixture_int("SELECT count(*) FROM idempotency"), 0);
}

static void a_kept_answer_is_sealed(void **state)
{
	(void)state;
	expect(post("k1", "", BODY), 200, "first", 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM idempotency WHERE position('first'::bytea IN body) = 0 AND headers NOT LIKE '%first%'"), 1);
}

struct racer { pthread_t thread; int status; };

static void *race(void *arg)
{
	struct racer *r = arg;
	struct answer a = post("race", "", BODY);
	r->status = a.status;
	answer_free(&a);
	return NULL;
}

static void racing_requests_are_done_once(void **state)
{
	(void)state;
	struct racer racers[8];
	for (size_t i = 0; i < CH_LEN(racers); i++)
		pthread_create(&racers[i].thread, NULL, race, &racers[i]);
	int done = 0;
	for (size_t i = 0; i < CH_LEN(racers); i++) {
		pthread_join(racers[i].thread, NULL);
		done += racers[i].status == 200;
		assert_true(racers[i].status == 200 || racers[i].status == 409);
	}
	assert_int_equal(runs(), 1);
	assert_true(done >= 1);
}

static void expensive_routes_are_counted_over_all_processes(void **state)
{
	(void)state;
	const char *text = "GET /api/v1/expensive HTTP/1.1\r\nHost: a\r\n\r\n";
	expect(client_ask(port, text), 200, "GET", 1);
	assert_int_equal(fixture_int("SELECT used FROM rate_limit"), 10);
	fixture_sql("UPDATE rate_limit SET used = 1000"); /* as another process would */
	expect(client_ask(port, text), 429, "too_many_requests", 1);
}

#define web_test(f) cmocka_unit_test_setup_teardown(f, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		web_test(the_same_request_is_done_once_and_answered_alike),
		web_test(another_request_under_the_key_is_refused),
		web_test(a_key_belongs_to_its_caller),
		web_test(a_refused_body_claims_no_key),
		web_test(a_key_must_be_usable),
		web_test(a_request_whose_answer_was_lost_is_not_done_again),
		web_test(a_key_is_forgotten_after_a_day),
		web_test(kept_answers_go_when_their_day_is_over),
		web_test(a_kept_answer_is_sealed),
		web_test(racing_requests_are_done_once),
		web_test(expensive_routes_are_counted_over_all_processes),
	};
	return fixture_run(tests, CH_LEN(tests));
}
