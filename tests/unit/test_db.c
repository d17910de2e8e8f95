#include "fixture.h"
#include "commonhold/log.h"

#include <libpq-fe.h>
#include <pthread.h>

SQL(everything, "SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12");
SQL(who_and_when, "SELECT commonhold_now(), commonhold_account(), commonhold_coop(), current_user::text, pg_backend_pid()");
SQL(pid, "SELECT pg_backend_pid()");
SQL(bad, "SELECT 1 / $1");
SQL(add, "INSERT INTO thing (id, name) VALUES ($1, $2)");
SQL(count_things, "SELECT count(*) FROM thing");
SQL(rename_things, "UPDATE thing SET name = $1");
SQL(get_thing, "SELECT name FROM thing WHERE id = $1");
SQL(numbers, "SELECT g::int2, g::int4, g::int8 FROM generate_series(1, $1) g");
SQL(nap, "SELECT pg_sleep(30)");

static void make_thing(void)
{
	fixture_sql("CREATE TABLE thing (id integer PRIMARY KEY, name text CONSTRAINT thing_name_is_not_shouted CHECK (name <> upper(name)),"
		" CONSTRAINT thing_is_alone_of_its_name UNIQUE (name)); GRANT ALL ON thing TO commonhold_app");
}

static void kill_backends(void)
{
	fixture_text("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'commonhold'");
}

static void parameters_and_results_keep_their_values(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct uuid u = uuid_new(), us[] = { u, { { 0 } } };
	struct str texts[] = { STR("a"), STR_NONE, STR(""), STR("ä\"{,}") }, bytes[] = { { "\0\1", 2 } };
	int64_t longs[] = { INT64_MIN, 0, INT64_MAX };
	instant when = 1700000000123456, times[] = { when, INSTANT_NONE, INSTANT_NEVER };
	struct rows r;
	assert_ok(c, db_begin(c, DB_READ));
	assert_ok(c, db_one(c, everything, &r, A_BOOL(true), A_INT(-5), A_I64(INT64_MIN), A_Z("grüß'\\"), A_BYTES(bytes[0]), A_UUID(u), A_TIME(when),
		A_TEXTS(texts, 4), A_UUIDS(us, 2), A_I64S(longs, 3), A_TIMES(times, 3), A_BYTEAS(bytes, 1)));
	assert_true(row_bool(&r, 0, 0));
	assert_int_equal(row_int(&r, 0, 1), -5);
	assert_true(row_int(&r, 0, 2) == INT64_MIN);
	assert_str(row_str(&r, 0, 3), "grüß'\\");
	assert_true(str_eq(row_bytes(&r, 0, 4), bytes[0]));
	assert_true(uuid_eq(row_uuid(&r, 0, 5), u));
	assert_true(row_time(&r, 0, 6) == when);
	struct str *back;
	assert_int_equal(row_strs(c->arena, &r, 0, 7, &back), 4);
	assert_str(back[0], "a");
	assert_null(back[1].p);
	assert_true(back[2].p && back[2].n == 0);
	assert_str(back[3], "ä\"{,}");
	struct uuid *uuids;
	assert_int_equal(row_uuids(c->arena, &r, 0, 8, &uuids), 2);
	assert_true(uuid_eq(uuids[0], u) && uuid_is_nil(uuids[1]));
	assert_int_equal(row_strs(c->arena, &r, 0, 11, &back), 1);
	assert_true(str_eq(back[0], bytes[0]));
	assert_ok(c, db_commit(c));
}

static void absent_values_are_null_and_read_as_neutral(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct rows r;
	assert_ok(c, db_begin(c, DB_READ));
	assert_ok(c, db_one(c, everything, &r, A_NULL, A_NULL, A_NULL, A_STR(STR_NONE), A_BYTES(STR_NONE), A_UUID_OR_NULL((struct uuid){ { 0 } }), A_TIME(INSTANT_NONE),
		A_TEXTS(NULL, 0), A_UUIDS(NULL, 0), A_I64S(NULL, 0), A_TIMES(NULL, 0), A_BYTEAS(NULL, 0)));
	for (int col = 0; col < 7; col++)
		assert_true(row_null(&r, 0, col));
	assert_null(row_str(&r, 0, 3).p);
	assert_true(uuid_is_nil(row_uuid(&r, 0, 5)));
	assert_true(row_time(&r, 0, 6) == INSTANT_NONE);
	struct str *texts;
	assert_int_equal(row_strs(c->arena, &r, 0, 7, &texts), 0);
}

static void infinity_is_never(void **state)
{
	(void)state;
	SQL(instant_back, "SELECT $1, $1 = 'infinity'");
	struct call *c = fixture_call();
	struct rows r;
	assert_ok(c, db_begin(c, DB_READ));
	assert_ok(c, db_one(c, instant_back, &r, A_TIME(INSTANT_NEVER)));
	assert_true(row_time(&r, 0, 0) == INSTANT_NEVER && row_bool(&r, 0, 1));
}

static void a_statement_takes_null_first_and_values_later(void **state)
{
	(void)state;
	SQL(echo, "SELECT $1");
	struct call *c = fixture_call();
	struct rows r;
	assert_ok(c, db_begin(c, DB_READ));
	assert_ok(c, db_one(c, echo, &r, A_STR(STR_NONE)));
	assert_ok(c, db_one(c, echo, &r, A_Z("now a text")));
	assert_str(row_str(&r, 0, 0), "now a text");
	assert_ok(c, db_one(c, echo, &r, A_I64(7)));
	assert_int_equal(row_int(&r, 0, 0), 7);
}

static void a_transaction_knows_the_clock_the_actor_and_the_coop(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct rows r;
	clock_set(clock_of_civil((struct civil){ .year = 2031, .month = 2, .day = 3, .micro = 7 }));
	c->actor.account = uuid_new();
	c->coop = uuid_new();
	assert_ok(c, db_begin(c, DB_READ));
	assert_ok(c, db_query0(c, who_and_when, &r));
	assert_true(row_time(&r, 0, 0) == clock_now());
	assert_true(uuid_eq(row_uuid(&r, 0, 1), c->actor.account));
	assert_true(uuid_eq(row_uuid(&r, 0, 2), c->coop));
	assert_str(row_str(&r, 0, 3), "commonhold_app");
	assert_ok(c, db_commit(c));
	assert_int_equal(c->queries, 1);
}

static void settings_end_with_the_transaction(void **state)
{
	(void)state;
	struct call *c = fixture_call(), *d = fixture_call();
	struct rows r;
	c->coop = c->actor.account = uuid_new();
	assert_ok(c, db_begin(c, DB_READ));
	assert_ok(c, db_query0(c, who_and_when, &r));
	int64_t first = row_int(&r, 0, 4);
	assert_ok(c, db_commit(c));
	db_release(c);
	assert_ok(d, db_begin(d, DB_READ));
	assert_ok(d, db_query0(d, who_and_when, &r));
	assert_int_equal(row_int(&r, 0, 4), first);
	assert_true(row_null(&r, 0, 1) && row_null(&r, 0, 2));
}

static void entering_a_coop_reaches_an_open_transaction(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct rows r;
	struct uuid coop = uuid_new();
	assert_ok(c, db_begin(c, DB_READ));
	assert_ok(c, db_query0(c, pid, &r));
	assert_ok(c, db_enter_coop(c, coop));
	assert_ok(c, db_query0(c, who_and_when, &r));
	assert_true(uuid_eq(row_uuid(&r, 0, 2), coop));
}

static void queued_statements_are_made_in_order(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct rows r;
	make_thing();
	assert_ok(c, db_begin(c, DB_WRITE));
	for (int i = 0; i < 2000; i++)
		assert_ok(c, db_queue(c, add, A_INT(i), A_STR(str_fmt(c->arena, "thing %d", i))));
	assert_ok(c, db_query0(c, count_things, &r));
	assert_int_equal(row_int(&r, 0, 0), 2000);
	assert_ok(c, db_queue(c, add, A_INT(5000), A_Z("last")));
	assert_ok(c, db_commit(c));
	assert_int_equal(fixture_int("SELECT count(*) FROM thing"), 2001);
}

static void a_queued_statements_error_surfaces_at_the_next_call(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	make_thing();
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, db_queue(c, add, A_INT(1), A_Z("one")));
	assert_ok(c, db_queue(c, add, A_INT(1), A_Z("two")));
	assert_err(c, ERR_EXISTS, db_commit(c));
	assert_int_equal(fixture_int("SELECT count(*) FROM thing"), 0);
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, db_queue(c, add, A_INT(1), A_Z("one")));
	assert_ok(c, db_queue(c, add, A_INT(1), A_Z("two")));
	db_rollback(c);
	assert_ok(c, db_begin(c, DB_READ));
	assert_ok(c, db_query0(c, pid, NULL));
}

static void what_is_asked_comes_with_the_next_answer(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct rows first, second, third;
	make_thing();
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, db_queue(c, add, A_INT(1), A_Z("one")));
	assert_ok(c, db_ask(c, get_thing, &first, A_INT(1)));
	assert_ok(c, db_queue(c, add, A_INT(2), A_Z("two")));
	assert_ok(c, db_ask_run(c, &count_things, &second, NULL, 0));
	assert_ok(c, db_wait(c));
	assert_str(row_str(&first, 0, 0), "one");
	assert_int_equal(row_int(&second, 0, 0), 2);
	assert_ok(c, db_ask(c, get_thing, &third, A_INT(2)));
	assert_ok(c, db_commit(c));
	assert_str(row_str(&third, 0, 0), "two");
	assert_str(row_str(&first, 0, 0), "one");
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, db_ask(c, bad, &first, A_INT(0)));
	assert_err(c, ERR_INVALID, db_wait(c));
	db_rollback(c);
	error_clear(&c->error);
	assert_ok(c, db_begin(c, DB_READ));
	assert_ok(c, db_ask(c, get_thing, &first, A_INT(1)));
	db_rollback(c);
	assert_ok(c, db_begin(c, DB_READ));
	assert_ok(c, db_query0(c, pid, NULL));
}

static void the_last_statement_may_bring_the_commit(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	make_thing();
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, db_finish(c, add, NULL, A_INT(1), A_Z("one")));
	assert_int_equal(fixture_int("SELECT count(*) FROM thing"), 1);
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_err(c, ERR_EXISTS, db_finish(c, add, NULL, A_INT(1), A_Z("two")));
	assert_ok(c, db_begin(c, DB_READ));
	db_rollback(c);
}

static void a_failed_transaction_takes_nothing_but_a_rollback(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	make_thing();
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, db_exec(c, add, A_INT(1), A_Z("one")));
	assert_int_equal(db_exec(c, bad, A_INT(0)), ERR_INVALID);
	assert_int_equal(db_query0(c, pid, NULL), ERR_INTERNAL);
	assert_int_equal(db_commit(c), ERR_INTERNAL);
	db_rollback(c);
	assert_int_equal(fixture_int("SELECT count(*) FROM thing"), 0);
}

static void begins_do_not_nest_and_statements_need_one(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	assert_int_equal(db_query0(c, pid, NULL), ERR_INTERNAL);
	assert_ok(c, db_begin(c, DB_READ));
	assert_int_equal(db_begin(c, DB_READ), ERR_INTERNAL);
	assert_ok(c, db_commit(c));
}

static void a_read_does_not_write(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	make_thing();
	assert_ok(c, db_begin(c, DB_READ));
	assert_err(c, ERR_DB, db_exec(c, add, A_INT(1), A_Z("one")));
}

static void a_freeze_sees_one_snapshot(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct rows r;
	make_thing();
	assert_ok(c, db_begin(c, DB_SERIAL));
	assert_ok(c, db_query0(c, count_things, &r));
	fixture_sql("INSERT INTO thing VALUES (1, 'later')");
	assert_ok(c, db_query0(c, count_things, &r));
	assert_int_equal(row_int(&r, 0, 0), 0);
	assert_ok(c, db_commit(c));
}

static void one_row_is_exactly_one(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct rows r;
	make_thing();
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_int_equal(db_one(c, get_thing, &r, A_INT(1)), ERR_NOT_FOUND);
	assert_ok(c, db_exec(c, add, A_INT(1), A_Z("one")));
	assert_ok(c, db_one(c, get_thing, &r, A_INT(1)));
	assert_str(row_str(&r, 0, 0), "one");
	assert_int_equal(db_run_one(c, &numbers, &r, &A_INT(2), 1), ERR_INTERNAL);
	assert_ok(c, db_query(c, rename_things, &r, A_Z("two")));
	assert_int_equal(r.affected, 1);
	assert_int_equal(r.n, 0);
}

static void a_constraint_speaks_by_its_name_or_its_table(void **state)
{
	(void)state;
	static const struct db_constraint table[] = {
		{ "thing_is_alone_of_its_name", ERR_EXISTS, "/name", "Another thing has this name." },
		DB_CONSTRAINTS_END
	};
	struct call *c = fixture_call();
	db_constraints(table);
	make_thing();
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, db_finish(c, add, NULL, A_INT(1), A_Z("one")));
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_err(c, ERR_REFUSED, db_exec(c, add, A_INT(2), A_Z("LOUD")));
	assert_string_equal(c->error.message, "Thing name is not shouted.");
	assert_string_equal(c->error.reason, "thing_name_is_not_shouted");
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_err(c, ERR_EXISTS, db_exec(c, add, A_INT(2), A_Z("one")));
	assert_string_equal(c->error.message, "Another thing has this name.");
	assert_str(c->error.faults->pointer, "/name");
	assert_null(strstr(c->error.detail, "one)"));
}

static void triggers_refuse_in_their_own_words(void **state)
{
	(void)state;
	SQL(refuse, "DO $$ BEGIN RAISE EXCEPTION 'Votes are final.' USING ERRCODE = 'CH002'; END $$");
	SQL(refuse_named, "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = 'CH002', CONSTRAINT = 'vote_only_while_ballot_is_open'; END $$");
	struct call *c = fixture_call();
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_err(c, ERR_REFUSED, db_query0(c, refuse, NULL));
	assert_string_equal(c->error.message, "Votes are final.");
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_err(c, ERR_REFUSED, db_query0(c, refuse_named, NULL));
	assert_string_equal(c->error.message, "Vote only while ballot is open.");
}

static void bad_text_is_refused_as_such(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	make_thing();
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_err(c, ERR_BAD_UTF8, db_exec(c, add, A_INT(1), A_STR(STR("a\0b"))));
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_err(c, ERR_BAD_UTF8, db_exec(c, add, A_INT(1), A_STR(STR("\xff"))));
}

static void append_only_tables_refuse_everyone(void **state)
{
	(void)state;
	SQL(fact_add, "INSERT INTO fact VALUES (1)");
	SQL(fact_change, "UPDATE fact SET n = 2");
	struct call *c = fixture_call();
	fixture_sql("CREATE TABLE fact (n integer); GRANT ALL ON fact TO commonhold_app; CALL commonhold_make_append_only('fact')");
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, db_query0(c, fact_add, NULL));
	assert_ok(c, db_commit(c));
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_err(c, ERR_FORBIDDEN, db_query0(c, fact_change, NULL));
	fixture_sql("GRANT UPDATE ON fact TO commonhold_app");
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_err(c, ERR_REFUSED, db_query0(c, fact_change, NULL));
	fixture_sql("DO $$ BEGIN TRUNCATE fact; RAISE 'was emptied'; EXCEPTION WHEN SQLSTATE 'CH001' THEN NULL; END $$");
}

static void rows_of_another_coop_are_behind_a_wall(void **state)
{
	(void)state;
	SQL(walled_add, "INSERT INTO walled VALUES ($1, 'x')");
	SQL(walled_count, "SELECT count(*) FROM walled");
	struct call *c = fixture_call();
	struct rows r;
	struct uuid mine = uuid_new(), theirs = uuid_new();
	fixture_sql("CREATE TABLE walled (coop_id uuid, t text); GRANT ALL ON walled TO commonhold_app; CALL commonhold_wall_in('walled');"
		"INSERT INTO walled VALUES (gen_random_uuid(), 'not yours')");
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, db_query0(c, walled_count, &r));
	assert_int_equal(row_int(&r, 0, 0), 0);
	assert_ok(c, db_enter_coop(c, mine));
	assert_ok(c, db_exec(c, walled_add, A_UUID(mine)));
	assert_ok(c, db_query0(c, walled_count, &r));
	assert_int_equal(row_int(&r, 0, 0), 1);
	assert_err(c, ERR_FORBIDDEN, db_exec(c, walled_add, A_UUID(theirs)));
}

static void a_dead_connection_is_remade_on_the_first_trip(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct rows r;
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, db_query0(c, pid, &r));
	int64_t before = row_int(&r, 0, 0);
	assert_ok(c, db_commit(c));
	kill_backends();
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, db_query0(c, pid, &r));
	assert_int_not_equal(row_int(&r, 0, 0), before);
	assert_ok(c, db_commit(c));
}

/* The connection dies between db_begin, which finds it alive, and the first statement. */
static void the_first_trip_is_made_again(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	make_thing();
	assert_ok(c, db_begin(c, DB_WRITE));
	kill_backends();
	assert_ok(c, db_exec(c, add, A_INT(1), A_Z("one")));
	assert_ok(c, db_commit(c));
	assert_int_equal(fixture_int("SELECT count(*) FROM thing"), 1);
	assert_ok(c, db_begin(c, DB_READ));
	kill_backends();
	assert_ok(c, db_finish(c, get_thing, NULL, A_INT(1)));
}

static void what_was_asked_on_the_first_trip_is_asked_again(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct rows name, count;
	make_thing();
	fixture_sql("INSERT INTO thing VALUES (1, 'one')");
	assert_ok(c, db_begin(c, DB_READ));
	kill_backends();
	assert_ok(c, db_ask(c, get_thing, &name, A_INT(1)));
	assert_ok(c, db_ask_run(c, &count_things, &count, NULL, 0));
	assert_ok(c, db_commit(c));
	assert_str(row_str(&name, 0, 0), "one");
	assert_int_equal(row_int(&count, 0, 0), 1);
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, db_ask(c, get_thing, &name, A_INT(1)));
	kill_backends();
	assert_ok(c, db_exec(c, add, A_INT(2), A_Z("two")));
	assert_ok(c, db_commit(c));
	assert_str(row_str(&name, 0, 0), "one");
	/* what is queued is not remembered */
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, db_ask(c, get_thing, &name, A_INT(1)));
	assert_ok(c, db_queue(c, add, A_INT(3), A_Z("three")));
	kill_backends();
	assert_err(c, ERR_UNAVAILABLE, db_wait(c));
	db_rollback(c);
	assert_int_equal(fixture_int("SELECT count(*) FROM thing"), 2);
}

static void later_trips_and_writes_with_commit_are_never_made_again(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	make_thing();
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, db_exec(c, add, A_INT(1), A_Z("one")));
	kill_backends();
	assert_err(c, ERR_UNAVAILABLE, db_exec(c, add, A_INT(2), A_Z("two")));
	assert_ok(c, db_begin(c, DB_WRITE));
	kill_backends();
	assert_err(c, ERR_UNAVAILABLE, db_finish(c, add, NULL, A_INT(3), A_Z("three")));
	assert_string_equal(c->error.reason, "outcome_unknown");
	assert_int_equal(fixture_int("SELECT count(*) FROM thing"), 0);
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, db_finish(c, add, NULL, A_INT(1), A_Z("one")));
}

static void a_lost_connection_at_commit_leaves_a_usable_call(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	make_thing();
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, db_exec(c, add, A_INT(1), A_Z("one")));
	kill_backends();
	assert_err(c, ERR_UNAVAILABLE, db_commit(c));
	assert_ok(c, db_begin(c, DB_READ));
	assert_ok(c, db_query0(c, pid, NULL));
	kill_backends();
	assert_ok(c, db_commit(c));
	assert_ok(c, db_begin(c, DB_READ));
	assert_ok(c, db_query0(c, pid, NULL));
}

static void an_unreachable_server_is_unavailable(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct db_pool *p, *was = db_content_pool();
	assert_ok(c, db_pool_open(&p, "host=/nonexistent dbname=x", 1, &c->error));
	db_use_pool(p, db_keys_pool());
	assert_int_equal(db_begin(c, DB_READ), ERR_UNAVAILABLE);
	db_release(c);
	db_use_pool(was, db_keys_pool());
	db_pool_close(p);
	assert_err(c, ERR_CONFIG, db_pool_open(&p, "postgresql://[", 1, &c->error));
}

static void of_several_hosts_one_that_answers_is_enough(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct db_pool *p, *was = db_content_pool();
	struct rows r;
	struct str url = str_fmt(c->arena, "host=/nonexistent,%s user=commonhold dbname=commonhold", cluster_socket_dir(fixture_cluster()));
	assert_ok(c, db_pool_open(&p, url.p, 1, &c->error));
	db_use_pool(p, db_keys_pool());
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, db_query0(c, pid, &r));
	db_release(c);
	db_use_pool(was, db_keys_pool());
	db_pool_close(p);
}

static void a_table_that_changed_shape_is_read_afresh(void **state)
{
	(void)state;
	SQL(all_of_it, "SELECT * FROM thing");
	struct call *c = fixture_call();
	struct rows r;
	make_thing();
	assert_ok(c, db_begin(c, DB_READ));
	assert_ok(c, db_finish0(c, all_of_it, &r));
	fixture_sql("ALTER TABLE thing ADD COLUMN more integer");
	assert_ok(c, db_begin(c, DB_READ));
	assert_err(c, ERR_RETRY, db_query0(c, all_of_it, &r));
	assert_ok(c, db_begin(c, DB_READ));
	assert_ok(c, db_finish0(c, all_of_it, &r));
}

static void a_busy_pool_answers_in_time(void **state)
{
	(void)state;
	struct call *calls[FIXTURE_DB_POOL], *late = fixture_call();
	for (int i = 0; i < FIXTURE_DB_POOL; i++) {
		calls[i] = fixture_call();
		assert_ok(calls[i], db_begin(calls[i], DB_READ));
	}
	assert_int_equal(db_begin(late, DB_READ), ERR_UNAVAILABLE);
	struct db_pool_stats s = db_pool_stats(db_content_pool());
	assert_int_equal(s.in_use, FIXTURE_DB_POOL);
	assert_int_equal(s.timeouts, 1);
	db_release(calls[3]);
	assert_ok(late, db_begin(late, DB_READ));
}

static void *worker(void *arg)
{
	(void)arg;
	struct call c = { .arena = arena_new(LIMIT_REQUEST_ARENA) };
	intptr_t failures = 0;
	for (int i = 0; i < 40; i++) {
		struct rows r;
		failures += db_begin(&c, DB_WRITE) != ERR_OK || db_query0(&c, who_and_when, &r) != ERR_OK || db_commit(&c) != ERR_OK;
		db_release(&c);
		arena_reset(c.arena);
	}
	arena_free(c.arena);
	return (void *)failures;
}

static void many_threads_share_few_connections(void **state)
{
	(void)state;
	pthread_t threads[16];
	fixture_call();
	for (size_t i = 0; i < CH_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, worker, NULL), 0);
	for (size_t i = 0; i < CH_LEN(threads); i++) {
		void *failures;
		pthread_join(threads[i], &failures);
		assert_null(failures);
	}
	struct db_pool_stats s = db_pool_stats(db_content_pool());
	assert_int_equal(s.queries, 640);
	assert_int_equal(s.in_use, 0);
	assert_true(s.connects <= FIXTURE_DB_POOL);
}

static void sessions_have_their_time_limits(void **state)
{
	(void)state;
	SQL(limits, "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), current_setting('idle_in_transaction_session_timeout'),"
		" current_setting('client_connection_check_interval')");
	struct call *c = fixture_call(), *system = fixture_system();
	struct rows r;
	assert_ok(c, db_begin(c, DB_READ));
	assert_ok(c, db_query0(c, limits, &r));
	assert_str(row_str(&r, 0, 0), "15s");
	assert_str(row_str(&r, 0, 1), "5s");
	assert_str(row_str(&r, 0, 2), "30s");
	assert_str(row_str(&r, 0, 3), "2s");
	assert_ok(system, db_begin(system, DB_WRITE));
	assert_ok(system, db_query0(system, limits, &r));
	assert_str(row_str(&r, 0, 0), "1h");
}

static void a_statement_that_takes_too_long_is_stopped(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, db_script(c, STR("SET LOCAL statement_timeout = '50ms'")));
	assert_err(c, ERR_UNAVAILABLE, db_query0(c, nap, NULL));
	assert_non_null(strstr(c->error.message, "too long"));
}

static void keys_are_reached_without_a_transaction(void **state)
{
	(void)state;
	SQL(key_add, "INSERT INTO member_key (coop_id, member_id, wrapped, created_at) VALUES ($1, $2, $3, commonhold_keys_now($4))");
	SQL(key_put, "INSERT INTO member_key (coop_id, member_id, wrapped, created_at) VALUES ($1, $2, $3, $4)");
	SQL(key_get, "SELECT wrapped FROM member_key WHERE coop_id = $1 AND member_id = $2");
	SQL(key_drop, "DELETE FROM member_key");
	struct call *c = fixture_call();
	struct rows r;
	struct uuid coop = uuid_new(), member = uuid_new();
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_err(c, ERR_DB, db_keys_query(c, key_add, NULL, A_UUID(coop), A_UUID(member), A_BYTES(STR("k")), A_TIME(clock_now())));
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, db_keys_query(c, key_put, NULL, A_UUID(coop), A_UUID(member), A_BYTES(STR("k")), A_TIME(clock_now())));
	db_rollback(c);
	assert_ok(c, db_keys_query(c, key_get, &r, A_UUID(coop), A_UUID(member)));
	assert_int_equal(r.n, 1);
	assert_true(str_is(row_bytes(&r, 0, 0), "k"));
	assert_int_equal(db_keys_run(c, &key_drop, NULL, NULL, 0), ERR_FORBIDDEN);
	assert_int_equal(db_pool_stats(db_keys_pool()).in_use, 0);
}

static void the_keys_url_is_the_contents_with_another_name(void **state)
{
	(void)state;
	struct arena *a = fixture_call()->arena;
	assert_str(db_keys_url(a,
		"postgresql://u:p%27@h1:1,h2:2/food?sslmode=require"),
		"user='u' password='p\\'' dbname='food_keys' host='h1,h2' port='1,2' sslmode='require'");
	assert_null(db_keys_url(a, "postgresql://[").p);
}

/* COPY */

struct seen { int64_t rows, sum; struct str first; int nulls; };

static enum err see(void *arg, const struct copy_field *f, int n)
{
	struct seen *s = arg;
	assert_int_equal(n, 2);
	s->rows++;
	s->sum += copy_int(f[0]);
	s->nulls += f[1].n < 0;
	if (s->rows == 5)
		return ERR_GONE;
	return ERR_OK;
}

static enum err sum_up(void *arg, const struct copy_field *f, int n)
{
	struct seen *s = arg;
	s->rows++;
	s->sum += copy_int(f[0]);
	s->nulls += n > 1 && f[1].n < 0;
	return ERR_OK;
}

static void copy_in_and_out_keep_every_row(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct copy_in *in;
	struct seen seen = { 0 };
	int64_t rows = 0;
	fixture_sql("CREATE TABLE wide (n bigint, t text, u uuid, at timestamptz, b bytea, yes boolean, small smallint, middle integer);"
		"GRANT ALL ON wide TO commonhold_app");
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, db_copy_in_begin(c, "COPY wide FROM STDIN (FORMAT binary)", &in));
	for (int64_t i = 0; i < 20000; i++) {
		copy_in_row(in, 8);
		copy_in_i64(in, i);
		copy_in_str(in, i % 2 ? STR_NONE : STR("text that is long enough to fill the buffer more than once"));
		copy_in_uuid(in, (struct uuid){ { 1 } });
		copy_in_time(in, i == 3 ? INSTANT_NONE : i == 4 ? INSTANT_NEVER : i * CLOCK_DAY);
		copy_in_str(in, str_make("\0\1", 2));
		copy_in_bool(in, i == 7);
		copy_in_int2(in, -1);
		copy_in_int4(in, -2);
		assert_ok(c, copy_in_flush(in));
	}
	assert_ok(c, db_copy_in_end(in, &rows));
	assert_int_equal(rows, 20000);
	assert_ok(c, db_copy_out(c, "COPY (SELECT n, t FROM wide WHERE n >= $1 AND u = $2 AND t IS DISTINCT FROM $3) TO STDOUT (FORMAT binary)",
		((struct db_arg[]){ A_INT(10000), A_UUID(((struct uuid){ { 1 } })), A_Z("it's $1") }), 3, sum_up, &seen));
	assert_int_equal(seen.rows, 10000);
	assert_int_equal(seen.sum, (10000 + 19999) * 5000);
	assert_int_equal(seen.nulls, 5000);
	assert_ok(c, db_commit(c));
	assert_int_equal(fixture_int("SELECT count(*) FROM wide WHERE small = -1 AND middle = -2 AND b = '\\x0001' AND yes = (n = 7)"), 20000);
	assert_int_equal(fixture_int("SELECT count(*) FROM wide WHERE at IS NULL OR at = 'infinity'"), 2);
	assert_int_equal(fixture_int("SELECT n FROM wide WHERE at = '1970-01-11T00:00:00Z'"), 10);
}

static void a_stopped_copy_passes_its_reason_on(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct seen seen = { 0 };
	assert_ok(c, db_begin(c, DB_READ));
	assert_err(c, ERR_GONE, db_copy_out(c, "COPY (SELECT g, NULL FROM generate_series(1, 100000) g) TO STDOUT (FORMAT binary)", NULL, 0, see, &seen));
	assert_int_equal(seen.rows, 5);
	assert_int_equal(seen.nulls, 5);
	assert_ok(c, db_begin(c, DB_READ));
	assert_ok(c, db_query0(c, pid, NULL));
}

static enum err jump(void *arg, const struct copy_field *f, int n)
{
	(void)f;
	(void)n;
	arena_alloc(arg, SIZE_MAX / 2);
	return ERR_OK;
}

static void running_out_of_memory_in_a_copy_leaves_the_pool_whole(void **state)
{
	(void)state;
	struct call *volatile c = fixture_call();
	jmp_buf where;
	assert_ok(c, db_begin(c, DB_READ));
	if (setjmp(where) == 0) {
		arena_guard(c->arena, &where);
		(void)!db_copy_out(c, "COPY (SELECT g FROM generate_series(1, 100000) g) TO STDOUT (FORMAT binary)", NULL, 0, jump, c->arena);
		fail();
	}
	arena_guard(c->arena, NULL);
	db_release(c);
	assert_int_equal(db_pool_stats(db_content_pool()).in_use, 0);
	assert_ok(c, db_begin(c, DB_READ));
	assert_ok(c, db_query0(c, pid, NULL));
}

static void a_copy_that_breaks_a_rule_changes_nothing(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct copy_in *in;
	make_thing();
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, db_copy_in_begin(c, "COPY thing FROM STDIN (FORMAT binary)", &in));
	for (int i = 0; i < 3; i++) {
		copy_in_row(in, 2);
		copy_in_int4(in, i);
		copy_in_str(in, i == 2 ? STR("LOUD") : str_fmt(c->arena, "n%d", i));
	}
	assert_err(c, ERR_REFUSED, db_copy_in_end(in, NULL));
	assert_int_equal(fixture_int("SELECT count(*) FROM thing"), 0);
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, db_copy_in_begin(c, "COPY thing FROM STDIN (FORMAT binary)", &in));
	copy_in_row(in, 2);
	copy_in_int4(in, 1);
	copy_in_str(in, STR("given up"));
	db_rollback(c);
	assert_int_equal(fixture_int("SELECT count(*) FROM thing"), 0);
}

static void copy_goes_through_the_wall(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct copy_in *in;
	int64_t rows;
	c->coop = uuid_new();
	fixture_sql("CREATE TABLE walled (coop_id uuid, n integer, t text NOT NULL DEFAULT 'x' CONSTRAINT t_is_short CHECK (length(t) < 3));"
		"GRANT ALL ON walled TO commonhold_app; CALL commonhold_wall_in('walled')");
	assert_ok(c, db_begin(c, DB_SERIAL));
	for (int round = 0; round < 2; round++) {
		assert_ok(c, db_copy_into(c, "walled", "n, coop_id", &in));
		for (int i = 0; i < 100; i++) {
			copy_in_row(in, 2);
			copy_in_int4(in, i);
			copy_in_uuid(in, c->coop);
		}
		assert_ok(c, db_copy_in_end(in, &rows));
		assert_int_equal(rows, 100);
	}
	assert_ok(c, db_commit(c));
	assert_int_equal(fixture_int("SELECT count(*) FROM walled WHERE t = 'x'"), 200);
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_err(c, ERR_DB, db_copy_in_begin(c, "COPY walled FROM STDIN (FORMAT binary)", &in));
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, db_copy_into(c, "walled", "coop_id, t", &in));
	copy_in_row(in, 2);
	copy_in_uuid(in, uuid_new());
	copy_in_str(in, STR("a"));
	assert_err(c, ERR_FORBIDDEN, db_copy_in_end(in, &rows));
	assert_ok(c, db_begin(c, DB_WRITE));
	assert_ok(c, db_copy_into(c, "walled", "coop_id, t", &in));
	copy_in_row(in, 2);
	copy_in_uuid(in, c->coop);
	copy_in_str(in, STR("long"));
	assert_err(c, ERR_REFUSED, db_copy_in_end(in, &rows));
	assert_string_equal(c->error.reason, "t_is_short");
}

static void a_copys_texts_cannot_escape(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	struct seen seen = { 0 };
	assert_ok(c, db_begin(c, DB_READ));
	assert_ok(c, db_copy_out(c, "COPY (SELECT length($1), NULL::text) TO STDOUT (FORMAT binary)", ((struct db_arg[]){ A_Z("'); DROP TABLE x; -- \\' $2") }), 1, sum_up, &seen));
	assert_int_equal(seen.sum, 26);
	assert_err(c, ERR_INTERNAL, db_copy_out(c, "COPY (SELECT $2) TO STDOUT (FORMAT binary)", &A_INT(1), 1, sum_up, &seen));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(parameters_and_results_keep_their_values),
		fixture_test(absent_values_are_null_and_read_as_neutral),
		fixture_test(infinity_is_never),
		fixture_test(a_statement_takes_null_first_and_values_later),
		fixture_test(a_transaction_knows_the_clock_the_actor_and_the_coop),
		fixture_test(settings_end_with_the_transaction),
		fixture_test(entering_a_coop_reaches_an_open_transaction),
		fixture_test(queued_statements_are_made_in_order),
		fixture_test(a_queued_statements_error_surfaces_at_the_next_call),
		fixture_test(what_is_asked_comes_with_the_next_answer),
		fixture_test(the_last_statement_may_bring_the_commit),
		fixture_test(a_failed_transaction_takes_nothing_but_a_rollback),
		fixture_test(begins_do_not_nest_and_statements_need_one),
		fixture_test(a_read_does_not_write),
		fixture_test(a_freeze_sees_one_snapshot),
		fixture_test(one_row_is_exactly_one),
		fixture_test(a_constraint_speaks_by_its_name_or_its_table),
		fixture_test(triggers_refuse_in_their_own_words),
		fixture_test(bad_text_is_refused_as_such),
		fixture_test(append_only_tables_refuse_everyone),
		fixture_test(rows_of_another_coop_are_behind_a_wall),
		fixture_test(a_dead_connection_is_remade_on_the_first_trip),
		fixture_test(the_first_trip_is_made_again),
		fixture_test(what_was_asked_on_the_first_trip_is_asked_again),
		fixture_test(later_trips_and_writes_with_commit_are_never_made_again),
		fixture_test(a_lost_connection_at_commit_leaves_a_usable_call),
		fixture_test(an_unreachable_server_is_unavailable),
		fixture_test(of_several_hosts_one_that_answers_is_enough),
		fixture_test(a_table_that_changed_shape_is_read_afresh),
		fixture_test(a_busy_pool_answers_in_time),
		fixture_test(many_threads_share_few_connections),
		fixture_test(sessions_have_their_time_limits),
		fixture_test(a_statement_that_takes_too_long_is_stopped),
		fixture_test(keys_are_reached_without_a_transaction),
		fixture_test(the_keys_url_is_the_contents_with_another_name),
		fixture_test(copy_in_and_out_keep_every_row),
		fixture_test(a_stopped_copy_passes_its_reason_on),
		fixture_test(running_out_of_memory_in_a_copy_leaves_the_pool_whole),
		fixture_test(a_copy_that_breaks_a_rule_changes_nothing),
		fixture_test(copy_goes_through_the_wall),
		fixture_test(a_copys_texts_cannot_escape),
	};
	return fixture_run(tests, CH_LEN(tests));
}
