#include "fixture.h"
#include "commonhold/assets.h"
#include "commonhold/crypto.h"

#include <libpq-fe.h>
#include <pthread.h>

static enum err migrate(bool keys, int *applied, struct error *e)
{
	*e = (struct error){ 0 };
	return db_migrate(keys ? db_keys_pool() : db_content_pool(), keys, applied, e);
}

/* Emptied, as a new database is. */
static void start_afresh(void)
{
	fixture_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION pg_database_owner; GRANT USAGE ON SCHEMA public TO PUBLIC");
}

static void count_one(void *arg, const struct asset *asset)
{
	struct str name = str_sub(str_of(asset->path), strlen("sql/"), SIZE_MAX);
	*(int64_t *)arg += str_index(name, '/') < 0;
}

static int64_t count_files(const char *folder)
{
	int64_t n = 0;
	asset_each(folder, count_one, &n);
	return n;
}

static void all_migrations_are_applied_once_with_their_checksums(void **state)
{
	(void)state;
	struct error e;
	int applied;
	struct arena *a = fixture_call()->arena;
	start_afresh();
	clock_set(CLOCK_DAY);
	assert_int_equal(migrate(false, &applied, &e), ERR_OK);
	assert_int_equal(applied, count_files("sql/"));
	assert_int_equal(migrate(false, &applied, &e), ERR_OK);
	assert_int_equal(applied, 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM commonhold_migration WHERE applied_at = '1970-01-02T00:00:00Z'"), count_files("sql/"));
	struct str hash = sha256_hex(a, sha256(asset_find(STR("sql/0001_store.sql"))));
	assert_str(hash, fixture_text("SELECT encode(checksum, 'hex') FROM commonhold_migration WHERE number = 1"));
}

static void a_database_newer_than_the_program_is_refused(void **state)
{
	(void)state;
	struct error e;
	fixture_call();
	fixture_sql("INSERT INTO commonhold_migration VALUES (9000, '9000_tomorrow.sql', sha256('x'), now())");
	assert_int_equal(migrate(false, NULL, &e), ERR_CONFIG);
	assert_non_null(strstr(e.message, "9000_tomorrow.sql"));
	assert_non_null(strstr(e.message, "newer"));
}

static void a_changed_migration_is_refused(void **state)
{
	(void)state;
	struct error e;
	fixture_call();
	fixture_sql("UPDATE commonhold_migration SET checksum = sha256('x') WHERE number = 1");
	assert_int_equal(migrate(false, NULL, &e), ERR_CONFIG);
	assert_non_null(strstr(e.message, "0001_store.sql"));
}

static void a_migration_that_fails_leaves_nothing_of_itself(void **state)
{
	(void)state;
	struct error e;
	fixture_call();
	start_afresh();
	fixture_sql("CREATE TABLE rate_limit (in_the_way integer); GRANT ALL ON SCHEMA public TO commonhold");
	assert_int_equal(migrate(false, NULL, &e), ERR_DB);
	assert_non_null(strstr(e.detail, "0001_store.sql line "));
	assert_non_null(strstr(e.detail, "rate_limit"));
	assert_int_equal(fixture_int("SELECT count(*) FROM commonhold_migration"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM pg_class WHERE relname = 'job'"), 0);
}

static void *migrate_thread(void *arg)
{
	struct error e;
	int applied = -1;
	(void)arg;
	return (void *)(intptr_t)(migrate(false, &applied, &e) == ERR_OK ? applied : -1);
}

static void several_processes_migrate_one_after_another(void **state)
{
	(void)state;
	pthread_t threads[4];
	intptr_t total = 0;
	fixture_call();
	start_afresh();
	for (size_t i = 0; i < CH_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, migrate_thread, NULL), 0);
	for (size_t i = 0; i < CH_LEN(threads); i++) {
		void *applied;
		pthread_join(threads[i], &applied);
		assert_true((intptr_t)applied >= 0);
		total += (intptr_t)applied;
	}
	assert_int_equal(total, count_files("sql/"));
}

static void the_keys_database_has_a_series_of_its_own(void **state)
{
	(void)state;
	struct error e;
	int applied;
	fixture_call();
	assert_int_equal(migrate(true, &applied, &e), ERR_OK);
	assert_int_equal(applied, 0);
	fixture_keys_sql("SELECT count(wrapped) FROM member_key");
	fixture_keys_sql("DO $$ BEGIN IF to_regclass('job') IS NOT NULL THEN RAISE 'jobs among keys'; END IF; END $$");
}

static void every_table_and_column_says_what_it_is(void **state)
{
	(void)state;
	static const char undescribed[] =
		"SELECT string_agg(c.relname, ', ' ORDER BY c.relname) FROM pg_class c"
		" WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND obj_description(c.oid) IS NULL";
	fixture_call();
	const char *tables = fixture_text(undescribed);
	if (tables)
		fail_msg("without a comment: %s", tables);
	static const char columns[] =
		"SELECT string_agg(c.relname || '.' || a.attname, ', ' ORDER BY 1) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
		" WHERE c.relname IN ('job', 'job_tick', 'idempotency', 'rate_limit', 'commonhold_migration') AND c.relkind = 'r' AND a.attnum > 0"
		" AND NOT a.attisdropped AND col_description(c.oid, a.attnum) IS NULL";
	const char *bare = fixture_text(columns);
	if (bare)
		fail_msg("without a comment: %s", bare);
}

static void the_servers_role_may_do_what_it_needs_and_no_more(void **state)
{
	(void)state;
	fixture_call();
	assert_string_equal(fixture_text("SELECT string_agg(DISTINCT p, ',' ORDER BY p) FROM unnest(ARRAY['SELECT','INSERT','UPDATE','DELETE','TRUNCATE']) p"
		" WHERE has_table_privilege('commonhold_app', 'job', p)"), "DELETE,INSERT,SELECT,UPDATE");
	assert_string_equal(fixture_text("SELECT has_table_privilege('commonhold_app', 'commonhold_migration', 'INSERT')::text"), "false");
	assert_string_equal(fixture_text("SELECT has_schema_privilege('commonhold_app', 'public', 'CREATE')::text"), "false");
	assert_string_equal(fixture_text("SELECT (rolsuper OR rolcreaterole OR rolbypassrls)::text FROM pg_roles WHERE rolname = 'commonhold'"), "false");
}

/* A database of a role that may neither make roles nor grant ours: it runs with the rights that it has. */
static void an_owner_without_powers_may_migrate(void **state)
{
	(void)state;
	SQL(me, "SELECT current_user::text");
	struct call *c = fixture_call();
	struct db_pool *p, *was = db_content_pool();
	struct rows r;
	int applied;
	fixture_sql("CREATE ROLE plain");
	fixture_sql("CREATE DATABASE plain_owned OWNER plain");
	struct str url = str_fmt(c->arena, "host=%s user=postgres dbname=plain_owned options='-c role=plain'", cluster_socket_dir(fixture_cluster()));
	assert_ok(c, db_pool_open(&p, url.p, 1, &c->error));
	assert_ok(c, db_migrate(p, false, &applied, &c->error));
	assert_int_equal(applied, count_files("sql/"));
	db_use_pool(p, db_keys_pool());
	assert_ok(c, db_begin(c, DB_READ));
	assert_ok(c, db_query0(c, me, &r));
	assert_str(row_str(&r, 0, 0), "plain");
	db_release(c);
	db_use_pool(was, db_keys_pool());
	db_pool_close(p);
	fixture_sql("DROP DATABASE plain_owned WITH (FORCE)");
	fixture_sql("DROP ROLE plain");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(all_migrations_are_applied_once_with_their_checksums),
		fixture_test(a_database_newer_than_the_program_is_refused),
		fixture_test(a_changed_migration_is_refused),
		fixture_test(a_migration_that_fails_leaves_nothing_of_itself),
		fixture_test(several_processes_migrate_one_after_another),
		fixture_test(the_keys_database_has_a_series_of_its_own),
		fixture_test(every_table_and_column_says_what_it_is),
		fixture_test(an_owner_without_powers_may_migrate),
		fixture_test(the_servers_role_may_do_what_it_needs_and_no_more),
	};
	return fixture_run(tests, CH_LEN(tests));
}
