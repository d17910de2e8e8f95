/* fixture.h - a throwaway PostgreSQL for the tests of one program, and a fresh migrated database for each test.
 *
 *     static void a_rule_holds(void **state)
 *     {
 *         struct call *c = fixture_call();              // signed in as nobody; as many calls as the test needs actors
 *         assert_ok(c, coop_found(c, &draft, &coop));
 *         assert_err(c, ERR_EXISTS, coop_found(c, &draft, &coop));
 *         assert_int_equal(fixture_int("SELECT count(*) FROM coop"), 1);
 *     }
 *     const struct CMUnitTest tests[] = { fixture_test(a_rule_holds) };
 *     return fixture_run(tests, CH_LEN(tests));
 *
 * cmocka's fail() hides call.h's in tests: a handler written in a test says error_set(&c->error, …).
 *
 * The cluster is made at the first use and taken away when the process ends, however it ends. Before each test the clock runs and stands at no offset.
 * Where PostgreSQL is not installed, the tests are skipped.
 */
#ifndef COMMONHOLD_TESTS_FIXTURE_H
#define COMMONHOLD_TESTS_FIXTURE_H

#include "commonhold/db.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define FIXTURE_DB_POOL 8 /* connections of each of the two pools */

/* A test with a database of its own. */
#define fixture_test(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)
int fixture_setup(void **state);
int fixture_teardown(void **state);
/* Runs the tests: cmocka_run_group_tests, and says the exit status of the program. */
#define fixture_run(tests, count) fixture_run_group(__FILE__, (tests), (count))
int fixture_run_group(const char *file, const struct CMUnitTest *tests, size_t count);

/* A new call on the test's database: AUTH_NONE, an arena of LIMIT_JOB_ARENA. The fixture ends it after the test. */
struct call *fixture_call(void);
/* The same, acting as the instance itself. */
struct call *fixture_system(void);
/* Ends one call early: rolls back, returns its connection, frees its memory. */
void fixture_end(struct call *c);

/* SQL past the walls, as the superuser, in the test's content database; a failure fails the test. */
void fixture_sql(const char *sql);
void fixture_keys_sql(const char *sql);
/* The first column of the first row, as a number or as text (memory of the fixture, until the test ends; NULL for NULL or no row). */
int64_t fixture_int(const char *sql);
const char *fixture_text(const char *sql);

/* Connection strings: of the test's databases as the server connects, and of any database as the superuser. */
const char *fixture_url(bool keys);
const char *fixture_admin_url(const char *database);
/* The cluster that the tests use. */
struct cluster *fixture_cluster(void);
/* A directory of the program's own, removed at its end, with whatever still runs in it. Needs no cluster. */
const char *fixture_dir(void);

/* The expression must succeed; says the call's error otherwise. */
#define assert_ok(c, expression) fixture_assert_ok((c), (expression), #expression, __FILE__, __LINE__)
void fixture_assert_ok(const struct call *c, enum err code, const char *what, const char *file, int line);
/* It must fail with the code; the call is rolled back and its error kept to be looked at. */
#define assert_err(c, code, expression) fixture_assert_err((c), (code), (expression), #expression, __FILE__, __LINE__)
void fixture_assert_err(struct call *c, enum err wanted, enum err code, const char *what, const char *file, int line);
/* Text equality that prints both. */
#define assert_str(s, z) fixture_assert_str((s), (z), __FILE__, __LINE__)
void fixture_assert_str(struct str s, const char *z, const char *file, int line);

#endif
