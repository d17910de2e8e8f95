#include "fixture.h"
#include "commonhold/http.h"
#include "commonhold/job.h"
#include "commonhold/log.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <stdatomic.h>

#define NOON INT64_C(1800000000000000)

static _Atomic int runs, failures;
static _Atomic int per_job[2000];

/* The gauges as last set; the web module keeps them in the server. */
static char gauges[64][128];
static int64_t gauge_values[64];
static int gauge_count;
__attribute__((weak)) void metric_set(const char *name, const char *labels, int64_t value)
{
	char key[128];
	snprintf(key, sizeof(key), "%s{%s}", name, labels);
	int i = 0;
	while (i < gauge_count && strcmp(gauges[i], key) != 0)
		i++;
	if (i == gauge_count)
		memcpy(gauges[gauge_count++], key, sizeof(key));
	gauge_values[i] = value;
}

static int64_t gauge(const char *key)
{
	for (int i = 0; i < gauge_count; i++)
		if (strcmp(gauges[i], key) == 0)
			return gauge_values[i];
	return -1;
}

static enum err count_run(struct call *c, const struct json *args)
{
	(void)c;
	int64_t n = json_int(json_get(args, "n"), 0);
	runs++;
	per_job[n]++;
	return ERR_OK;
}

static enum err always_fails(struct call *c, const struct json *args)
{
	(void)args;
	failures++;
	return error_set(&c->error, ERR_IO, "The disk is full.");
}

SQL(nothing, "SELECT 1");
static enum err leaves_open(struct call *c, const struct json *args)
{
	(void)args;
	TRY(db_begin(c, DB_WRITE));
	TRY(db_query0(c, nothing, NULL));
	return ERR_OK;
}

static enum err eats_memory(struct call *c, const struct json *args)
{
	(void)args;
	TRY(db_begin(c, DB_WRITE));
	TRY(db_query0(c, nothing, NULL));
	for (;;)
		arena_alloc(c->arena, 1 * MIB);
}

/* Moves the clock past its lease, has it taken by another, then asks for more time. */
static enum err too_slow(struct call *c, const struct json *args)
{
	(void)args;
	runs++;
	if (runs > 1)
		return ERR_OK;
	assert_int_equal(job_extend(c), ERR_OK);
	clock_set(clock_now() + CLOCK_HOUR);
	fixture_sql("UPDATE job SET lease_token = gen_random_uuid()");
	assert_int_equal(job_extend(c), ERR_STATE);
	return error_set(&c->error, ERR_STATE, "lost");
}

static enum err queues_itself(struct call *c, const struct json *args)
{
	(void)args;
	if (++runs > 2)
		return ERR_OK;
	TRY(db_begin(c, DB_WRITE));
	TRY(job_queue(c, "test.again", STR("k"), STR_NONE, clock_now()));
	return db_commit(c);
}

static enum err extends(struct call *c, const struct json *args)
{
	(void)args;
	runs++;
	TRY(db_begin(c, DB_READ));
	TRY(db_query0(c, nothing, NULL));
	TRY(job_extend(c));
	return db_commit(c);
}

static const struct job_kind kinds[] = {
	{ "test.count", count_run, 3, 30 },
	{ "test.slow", count_run, 3, 3600 },
	{ "test.fails", always_fails, 3, 30 },
	{ "test.open", leaves_open, 3, 30 },
	{ "test.memory", eats_memory, 1, 30 },
	{ "test.lost", too_slow, 3, 30 },
	{ "test.again", queues_itself, 3, 30 },
	{ "test.extends", extends, 3, 30 },
	JOB_TABLE_END
};
static const struct job_kind *const tables[] = { kinds, NULL };
static const struct job_tick no_ticks[] = { JOB_TICK_END };

static int setup(void **state)
{
	int code = fixture_setup(state);
	runs = failures = 0;
	for (size_t i = 0; i < CH_LEN(per_job); i++)
		per_job[i] = 0;
	job_ticks(no_ticks);
	clock_set(NOON);
	return code;
}
#define job_test(f) cmocka_unit_test_setup_teardown(f, setup, fixture_teardown)

static void queue_one(const char *kind, struct str key, const char *args, instant due)
{
	struct call *c = fixture_system();
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, job_queue(c, kind, key, str_of(args), due));
	assert_ok(c, db_commit(c));
	fixture_end(c);
}

static int run_due(void)
{
	struct error e = { 0 };
	int ran = 0;
	if (job_run_due(tables, &ran, &e) != ERR_OK)
		fail_msg("%s %s", e.message, e.detail);
	return ran;
}

static void a_job_exists_exactly_when_its_act_does(void **state)
{
	(void)state;
	struct call *c = fixture_system();
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, job_queue(c, "test.count", STR_NONE, STR_NONE, NOON));
	db_rollback(c);
	assert_int_equal(run_due(), 0);
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, job_queue(c, "test.count", STR_NONE, STR("{\"n\":1}"), NOON));
	assert_int_equal(run_due(), 0);
	assert_ok(c, db_commit(c));
	assert_int_equal(run_due(), 1);
	assert_int_equal(per_job[1], 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM job"), 0);
}

static void a_job_waits_until_the_clock_says_it_is_due(void **state)
{
	(void)state;
	fixture_call();
	queue_one("test.count", STR_NONE, NULL, NOON + CLOCK_DAY);
	assert_int_equal(run_due(), 0);
	clock_set(NOON + CLOCK_DAY);
	assert_int_equal(run_due(), 1);
}

static void a_key_makes_it_single_and_the_earlier_due_time_wins(void **state)
{
	(void)state;
	fixture_call();
	queue_one("test.count", STR("k"), NULL, NOON + CLOCK_DAY);
	queue_one("test.count", STR("k"), NULL, NOON + CLOCK_HOUR);
	queue_one("test.count", STR("k"), NULL, NOON + 2 * CLOCK_DAY);
	queue_one("test.count", STR("other"), NULL, NOON + CLOCK_DAY);
	assert_int_equal(fixture_int("SELECT count(*) FROM job"), 2);
	clock_set(NOON + CLOCK_HOUR);
	assert_int_equal(run_due(), 1);
}

static void queued_while_it_runs_it_runs_once_more(void **state)
{
	(void)state;
	fixture_call();
	queue_one("test.again", STR("k"), NULL, NOON);
	assert_int_equal(run_due(), 3);
	assert_int_equal(fixture_int("SELECT count(*) FROM job"), 0);
}

static void a_failed_job_backs_off_and_dies_after_its_last_attempt(void **state)
{
	(void)state;
	fixture_call();
	queue_one("test.fails", STR_NONE, NULL, NOON);
	assert_int_equal(run_due(), 1);
	int64_t first = fixture_int("SELECT (extract(epoch FROM due) * 1000000)::bigint FROM job") - NOON;
	assert_in_range(first, CLOCK_SECOND, 2 * CLOCK_SECOND);
	assert_int_equal(run_due(), 0);
	clock_set(NOON + 2 * CLOCK_SECOND);
	assert_int_equal(run_due(), 1);
	int64_t second = fixture_int("SELECT (extract(epoch FROM due) * 1000000)::bigint FROM job") - clock_now();
	assert_in_range(second, 2 * CLOCK_SECOND, 4 * CLOCK_SECOND);
	clock_set(NOON + CLOCK_HOUR);
	assert_int_equal(run_due(), 1);
	clock_set(NOON + CLOCK_DAY);
	assert_int_equal(run_due(), 0);
	assert_int_equal(failures, 3);
	assert_string_equal(fixture_text("SELECT state FROM job"), "dead");
	assert_string_equal(fixture_text("SELECT last_error FROM job"), "io: The disk is full.");
	job_metrics();
	assert_int_equal(gauge("commonhold_jobs{kind=\"test.fails\",state=\"dead\"}"), 1);
	assert_int_equal(gauge("commonhold_jobs{kind=\"test.fails\",state=\"waiting\"}"), 0);
	fixture_sql("DELETE FROM job");
	job_metrics();
	assert_int_equal(gauge("commonhold_jobs{kind=\"test.fails\",state=\"dead\"}"), 0);
}

static void a_key_is_free_again_when_its_job_is_dead(void **state)
{
	(void)state;
	fixture_call();
	queue_one("test.memory", STR("k"), NULL, NOON);
	assert_int_equal(run_due(), 1);
	assert_string_equal(fixture_text("SELECT state FROM job"), "dead");
	queue_one("test.memory", STR("k"), NULL, NOON);
	assert_int_equal(fixture_int("SELECT count(*) FROM job"), 2);
}

static void a_worker_that_dies_loses_its_lease_and_the_job_runs_again(void **state)
{
	(void)state;
	fixture_call();
	queue_one("test.count", STR_NONE, NULL, NOON);
	fixture_sql("UPDATE job SET state = 'running', attempts = 1, lease_token = gen_random_uuid(), lease_until = to_timestamp(1800000000) + interval '30 s'");
	assert_int_equal(run_due(), 0);
	clock_set(NOON + 30 * CLOCK_SECOND);
	assert_int_equal(run_due(), 1);
	assert_int_equal(runs, 1);
	queue_one("test.count", STR_NONE, NULL, NOON);
	fixture_sql("UPDATE job SET attempts = 3");
	run_due();
	assert_int_equal(runs, 1);
	assert_string_equal(fixture_text("SELECT state FROM job"), "dead");
}

static void a_lease_given_by_a_clock_that_had_jumped_ahead_does_not_hold_for_a_year(void **state)
{
	(void)state;
	fixture_call();
	queue_one("test.count", STR_NONE, NULL, NOON);
	fixture_sql("UPDATE job SET state = 'running', attempts = 1, lease_token = gen_random_uuid(), lease_until = to_timestamp(1800000000) + interval '365 days'");
	assert_int_equal(run_due(), 1);
	assert_int_equal(runs, 1);
}

static void a_run_that_lost_its_lease_is_told_and_changes_nothing(void **state)
{
	(void)state;
	fixture_call();
	queue_one("test.lost", STR_NONE, NULL, NOON);
	run_due();
	assert_int_equal(runs, 2);
	assert_int_equal(fixture_int("SELECT count(*) FROM job"), 0);
}

static void a_lease_is_prolonged_inside_a_transaction(void **state)
{
	(void)state;
	fixture_call();
	queue_one("test.extends", STR_NONE, NULL, NOON);
	assert_int_equal(run_due(), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM job"), 0);
	assert_int_equal(db_pool_stats(db_content_pool()).in_use, 0);
}

static void what_a_job_leaves_open_is_rolled_back(void **state)
{
	(void)state;
	fixture_call();
	queue_one("test.open", STR_NONE, NULL, NOON);
	queue_one("test.memory", STR_NONE, NULL, NOON);
	assert_int_equal(run_due(), 2);
	assert_int_equal(db_pool_stats(db_content_pool()).in_use, 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"), 0);
}

static void arguments_that_are_no_json_fail_the_job(void **state)
{
	(void)state;
	fixture_call();
	queue_one("test.count", STR_NONE, "{", NOON);
	assert_int_equal(run_due(), 1);
	assert_int_equal(runs, 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM job WHERE last_error LIKE 'bad_json%'"), 1);
}

static void unknown_kinds_are_left_for_those_who_know_them(void **state)
{
	(void)state;
	fixture_call();
	queue_one("test.unknown", STR_NONE, NULL, NOON);
	assert_int_equal(run_due(), 0);
	assert_string_equal(fixture_text("SELECT state FROM job"), "waiting");
}

static void a_tick_queues_its_job_once_a_period(void **state)
{
	(void)state;
	static const struct job_tick daily[] = { { "test.count", 86400 }, { "test.slow", 3600 }, JOB_TICK_END };
	fixture_call();
	job_ticks(daily);
	assert_int_equal(run_due(), 2);
	assert_int_equal(run_due(), 0);
	clock_set(NOON + CLOCK_HOUR);
	assert_int_equal(run_due(), 1);
	clock_set(NOON + 3 * CLOCK_DAY);
	assert_int_equal(run_due(), 2);
	assert_int_equal(fixture_int("SELECT count(*) FROM job_tick WHERE next_due = date_trunc('day', next_due) AND kind = 'test.count'"), 1);
}

static void a_clock_that_jumped_ahead_and_back_silences_no_tick(void **state)
{
	(void)state;
	static const struct job_tick table[] = { { "test.count", 86400 }, { "test.slow", 3600 }, JOB_TICK_END };
	fixture_call();
	job_ticks(table);
	assert_int_equal(run_due(), 2);
	clock_set(NOON + 365 * CLOCK_DAY);
	assert_int_equal(run_due(), 2);
	clock_set(NOON + CLOCK_HOUR);
	assert_int_equal(run_due(), 2);
	assert_int_equal(run_due(), 0);
	/* Two servers whose clocks differ a little take a turn once. */
	clock_set(NOON + CLOCK_HOUR - CLOCK_MINUTE);
	assert_int_equal(run_due(), 0);
	clock_set(NOON + CLOCK_DAY);
	assert_int_equal(run_due(), 2);
	clock_set(NOON);
	assert_int_equal(run_due(), 1); /* a day back: the hourly one goes on, the daily one had its turn */
}

static void job_tables_are_checked(void **state)
{
	(void)state;
	static const struct job_kind twice[] = { { "a", count_run, 1, 1 }, { "a", count_run, 1, 3600 }, JOB_TABLE_END };
	static const struct job_kind no_lease[] = { { "a", count_run, 1, 0 }, JOB_TABLE_END };
	const struct job_kind *const lists[][2] = { { twice, NULL }, { no_lease, NULL } };
	for (size_t i = 0; i < CH_LEN(lists); i++) {
		struct error e = { 0 };
		struct job_runner *r;
		assert_int_equal(job_start(&r, lists[i], 1, &e), ERR_INTERNAL);
	}
}

static void queue_many(int n)
{
	struct call *c = fixture_system();
	assert_ok(c, db_begin(c, DB_WRITE));
	for (int i = 0; i < n; i++)
		assert_ok(c, job_queue(c, i % 10 ? "test.count" : "test.slow", STR_NONE, str_fmt(c->arena, "{\"n\":%d}", i), NOON));
	assert_ok(c, db_commit(c));
	fixture_end(c);
}

static void *run_some(void *arg)
{
	struct error e = { 0 };
	int ran;
	(void)arg;
	return (void *)(intptr_t)job_run_due(tables, &ran, &e);
}

static void several_threads_run_each_job_exactly_once(void **state)
{
	(void)state;
	pthread_t threads[4];
	fixture_call();
	queue_many(1000);
	for (size_t i = 0; i < CH_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_some, NULL), 0);
	for (size_t i = 0; i < CH_LEN(threads); i++) {
		void *code;
		pthread_join(threads[i], &code);
		assert_null(code);
	}
	assert_int_equal(runs, 1000);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(per_job[i], 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM job"), 0);
}

static void a_runner_works_off_what_is_queued_and_stops(void **state)
{
	(void)state;
	struct error e = { 0 };
	struct job_runner *r;
	fixture_call();
	assert_int_equal(job_start(&r, tables, 3, &e), ERR_OK);
	queue_many(300);
	job_wake();
	while (runs < 300)
		job_wake();
	job_stop(r);
	assert_int_equal(runs, 300);
	assert_int_equal(fixture_int("SELECT count(*) FROM job"), 0);
	assert_int_equal(db_pool_stats(db_content_pool()).in_use, 0);
}

static void a_runner_outlives_an_outage(void **state)
{
	(void)state;
	struct error e = { 0 };
	struct job_runner *r;
	fixture_call();
	assert_int_equal(job_start(&r, tables, 2, &e), ERR_OK);
	for (int round = 0; round < 3; round++) {
		fixture_text("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'commonhold'");
		queue_one("test.count", STR_NONE, NULL, NOON);
		while (runs <= round)
			job_wake();
	}
	job_stop(r);
	assert_int_equal(runs, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		job_test(a_job_exists_exactly_when_its_act_does),
		job_test(a_job_waits_until_the_clock_says_it_is_due),
		job_test(a_key_makes_it_single_and_the_earlier_due_time_wins),
		job_test(queued_while_it_runs_it_runs_once_more),
		job_test(a_failed_job_backs_off_and_dies_after_its_last_attempt),
		job_test(a_key_is_free_again_when_its_job_is_dead),
		job_test(a_worker_that_dies_loses_its_lease_and_the_job_runs_again),
		job_test(a_lease_given_by_a_clock_that_had_jumped_ahead_does_not_hold_for_a_year),
		job_test(a_run_that_lost_its_lease_is_told_and_changes_nothing),
		job_test(a_lease_is_prolonged_inside_a_transaction),
		job_test(what_a_job_leaves_open_is_rolled_back),
		job_test(arguments_that_are_no_json_fail_the_job),
		job_test(unknown_kinds_are_left_for_those_who_know_them),
		job_test(a_tick_queues_its_job_once_a_period),
		job_test(a_clock_that_jumped_ahead_and_back_silences_no_tick),
		job_test(job_tables_are_checked),
		job_test(several_threads_run_each_job_exactly_once),
		job_test(a_runner_works_off_what_is_queued_and_stops),
		job_test(a_runner_outlives_an_outage),
	};
	return fixture_run(tests, CH_LEN(tests));
}
