/* A release from its schedule to its publication, and what its artefact holds. */
#include "world.h"

#include "commonhold/config.h"
#include "commonhold/crypto.h"
#include "commonhold/ledger.h"
#include "commonhold/verify.h"

#include "server/release/release_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void cut_offs_follow_the_recurrence_rule(void **state)
{
	static const struct { const char *rule, *start, *after, *first, *second; } cases[] = {
		{ "FREQ=MONTHLY;BYMONTHDAY=1", "2026-01-01T06:00:00Z", "2026-01-15T00:00:00Z", "2026-02-01T06:00:00Z", "2026-03-01T06:00:00Z" },
		{ "FREQ=MONTHLY;BYMONTHDAY=-1", "2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z", "2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z" },
		{ "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "2024-02-29T12:00:00Z", "2024-03-01T00:00:00Z", "2028-02-29T12:00:00Z", "2032-02-29T12:00:00Z" },
		{ "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO", "2026-01-05T08:00:00Z", "2026-01-05T08:00:00Z", "2026-01-19T08:00:00Z", "2026-02-02T08:00:00Z" },
		{ "FREQ=MONTHLY;BYDAY=1FR;BYMONTH=3,6,9,12", "2026-03-06T00:00:00Z", "2026-03-06T00:00:00Z", "2026-06-05T00:00:00Z", "2026-09-04T00:00:00Z" },
	};
	struct arena *a = arena_new(MIB);
	(void)state;
	for (size_t i = 0; i < CH_LEN(cases); i++) {
		struct error e = { 0 };
		instant start, after, *dates;
		size_t n;
		assert_true(clock_parse(str_of(cases[i].start), &start) && clock_parse(str_of(cases[i].after), &after));
		assert_int_equal(cadence_after(a, str_of(cases[i].rule), start, after, 2, &dates, &n, &e), ERR_OK);
		assert_int_equal(n, 2);
		assert_str(clock_format(a, dates[0]), cases[i].first);
		assert_str(clock_format(a, dates[1]), cases[i].second);
	}
	arena_free(a);
}

static void a_rule_that_is_none_or_too_fast_is_refused(void **state)
{
	static const char *const bad[] = { "", "MONTHLY", "FREQ=SOMETIMES", "FREQ=SECONDLY", "FREQ=HOURLY", "FREQ=MONTHLY;BYMONTHDAY=99" };
	struct arena *a = arena_new(MIB);
	(void)state;
	for (size_t i = 0; i < CH_LEN(bad); i++) {
		struct error e = { 0 };
		instant *dates;
		size_t n = 0;
		enum err code = cadence_after(a, str_of(bad[i]), WORLD_START, WORLD_START, 1, &dates, &n, &e);
		assert_true(code == ERR_INVALID || n == 0);
	}
	arena_free(a);
}

static void every_state_of_a_release_can_be_reached(void **state)
{
	struct error e = { 0 };
	(void)state;
	assert_int_equal(lifecycle_check(&release_life, &e), ERR_OK);
	assert_int_equal(lifecycle_check(&ballot_life, &e), ERR_OK);
}

static void scheduling_twice_makes_one_release(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	assert_ok(w.system, release_schedule_next(w.system, w.coop, NULL));
	assert_int_equal(fixture_int("SELECT count(*) FROM release"), 1);
	assert_int_equal(world_release(&w).cutoff_at, WORLD_CUTOFF);
}

static void silence_is_never_yes(void **state)
{
	struct world w;
	uint64_t reasons;
	(void)state;
	world_make(&w, NULL);
	world_say(&w, 0, "allow");
	world_say(&w, 1, NULL);
	world_say(&w, 2, "deny");
	struct uuid yes = world_contribute(&w, 0, "Where do rivers begin?"), silent = world_contribute(&w, 1, "What is a glacier?"), no = world_contribute(&w, 2, "Who owns data?");
	struct uuid stranger = world_contribute(&w, 3, "Who never consented?");
	struct release r = world_published(&w);
	assert_int_equal(r.built_items, 1);
	assert_int_equal(world_outcome(&w, r.id, yes, &reasons), POLICY_INCLUDE);
	assert_int_equal(world_outcome(&w, r.id, silent, &reasons), POLICY_HOLD);
	assert_true(reasons & POLICY_REASON(PREF_UNKNOWN));
	assert_int_equal(world_outcome(&w, r.id, no, &reasons), POLICY_EXCLUDE);
	assert_true(reasons & POLICY_REASON(PREF_DENY));
	assert_int_equal(world_outcome(&w, r.id, stranger, &reasons), POLICY_HOLD);
	assert_true(reasons & POLICY_REASON(CONSENT_MISSING));
}

static void a_withdrawal_after_freeze_is_honoured(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	for (int i = 0; i < 4; i++)
		world_say(&w, i, "allow");
	struct uuid stays = world_contribute(&w, 0, "One"), goes = world_contribute(&w, 1, "Two");
	world_contribute(&w, 2, "Three");
	world_contribute(&w, 3, "Four");
	struct release r = world_release(&w);
	world_until(&w, WORLD_CUTOFF);
	assert_int_equal(world_read(&w, r.id).included, 4);
	clock_set(WORLD_CUTOFF + 8 * CLOCK_DAY);
	assert_ok(by(&w, 1), consent_withdraw(by(&w, 1), w.coop));
	world_publish(&w, r.id);
	r = world_read(&w, r.id);
	assert_int_equal(r.state, RELEASE_PUBLISHED);
	assert_int_equal(r.included, 4);
	assert_int_equal(r.built_items, 3);
	assert_int_equal(world_outcome(&w, r.id, stays, NULL), POLICY_INCLUDE);
	assert_int_equal(world_outcome(&w, r.id, goes, NULL), POLICY_EXCLUDE);
}

static void a_grant_after_the_cut_off_is_inert(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	world_say(&w, 0, "allow");
	world_say(&w, 1, NULL);
	world_contribute(&w, 0, "One");
	struct uuid late = world_contribute(&w, 1, "Two");
	struct release r = world_release(&w);
	world_until(&w, WORLD_CUTOFF);
	clock_set(WORLD_CUTOFF + CLOCK_DAY);
	world_say(&w, 1, "allow");
	struct uuid after = world_contribute(&w, 0, "Three, after the cut-off");
	world_publish(&w, r.id);
	r = world_read(&w, r.id);
	assert_int_equal(r.built_items, 1);
	assert_int_not_equal(world_outcome(&w, r.id, late, NULL), POLICY_INCLUDE);
	uint64_t reasons;
	assert_int_equal(world_outcome(&w, r.id, after, &reasons), POLICY_HOLD);
	assert_true(reasons & POLICY_REASON(AFTER_CUTOFF));
}

static void a_release_without_enough_votes_fails(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	world_say(&w, 0, "allow");
	world_contribute(&w, 0, "One");
	struct release r = world_release(&w);
	world_until(&w, WORLD_CUTOFF);
	world_until(&w, WORLD_CUTOFF + 7 * CLOCK_DAY + CLOCK_HOUR);
	r = world_read(&w, r.id);
	assert_int_equal(r.state, RELEASE_OPEN);
	world_vote(&w, &r, 1, "for");
	world_until(&w, WORLD_CUTOFF + 9 * CLOCK_DAY + 2 * CLOCK_HOUR);
	world_until(&w, WORLD_CUTOFF + 20 * CLOCK_DAY);
	assert_int_equal(world_read(&w, r.id).state, RELEASE_FAILED);
	assert_int_equal(fixture_int("SELECT count(*) FROM release_file"), 0);
}

static void a_release_is_stopped_when_too_much_was_withdrawn(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	for (int i = 0; i < 4; i++) {
		world_say(&w, i, "allow");
		world_contribute(&w, i, i == 0 ? "One" : i == 1 ? "Two" : i == 2 ? "Three" : "Four");
	}
	struct release r = world_release(&w);
	world_until(&w, WORLD_CUTOFF);
	clock_set(WORLD_CUTOFF + CLOCK_DAY);
	for (int i = 0; i < 3; i++)
		assert_ok(by(&w, i), consent_withdraw(by(&w, i), w.coop));
	world_publish(&w, r.id);
	r = world_read(&w, r.id);
	assert_int_equal(r.state, RELEASE_FAILED);
	assert_non_null(strstr(str_z(w.system->arena, r.failure), "withdrawn"));
}

static void fewer_contributors_than_k_release_nothing(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, "{\"release\":{\"uses\":[\"train.gen\"],\"purposes\":[\"research\"],\"audience\":\"gated_manual\",\"k_contributors\":3}}");
	for (int i = 0; i < 2; i++) {
		world_say(&w, i, "allow");
		world_contribute(&w, i, i ? "One" : "Two");
	}
	struct release r = world_release(&w);
	world_until(&w, WORLD_CUTOFF);
	r = world_read(&w, r.id);
	assert_int_equal(r.state, RELEASE_FAILED);
	assert_int_equal(fixture_int("SELECT items FROM release_reason WHERE reason = 'K_MIN'"), 2);
}

static void verifies(struct world *w, struct uuid release)
{
	struct call *c = w->system;
	struct coop coop;
	struct verify_result result;
	assert_ok(c, coop_read(c, w->coop, &coop));
	struct str dir = release_dir(c->arena, w->coop, release);
	struct verify_options options = { .public_key = coop.public_key };
	assert_ok(c, verify_release(c->arena, dir.p, &options, &result, &c->error));
	for (const struct check *k = result.checks; k; k = k->next)
		if (!k->ok)
			fail_msg("%s: %.*s", k->id, STR_ARG(k->text));
	assert_true(result.ok && result.pinned);
}

static void the_second_release_reuses_what_did_not_change(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	world_say(&w, 0, "allow");
	world_contribute(&w, 0, "In January");
	struct release first = world_published(&w);
	verifies(&w, first.id);
	world_contribute(&w, 0, "In February");
	struct release second = world_release(&w);
	assert_false(uuid_eq(first.id, second.id));
	world_until(&w, second.cutoff_at);
	world_publish(&w, second.id);
	verifies(&w, second.id);
	first = world_read(&w, first.id);
	second = world_read(&w, second.id);
	assert_int_equal(first.state, RELEASE_SUPERSEDED);
	assert_str(first.version, "1.0.0");
	assert_str(second.version, "1.1.0");
	assert_int_equal(fixture_int("SELECT count(*) FROM release_file WHERE input_sha256 IS NOT NULL"), 3);
	assert_int_equal(fixture_int("SELECT count(DISTINCT sha256) FROM release_file WHERE input_sha256 IS NOT NULL"), 2);
	/* Not merely the same bytes: the same file. */
	struct stat st;
	struct str dir = release_dir(w.system->arena, w.coop, second.id);
	struct str old = str_fmt(w.system->arena, "%.*s/data/example/cc-by-4.0-2026-01-00000-of-00001.jsonl.gz", STR_ARG(dir));
	assert_int_equal(stat(old.p, &st), 0);
	assert_int_equal(st.st_nlink, 2);
}

static void rows_that_leave_make_a_new_major_version(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	for (int i = 0; i < 3; i++) {
		world_say(&w, i, "allow");
		world_contribute(&w, i, i == 0 ? "One" : i == 1 ? "Two" : "Three");
	}
	world_published(&w);
	assert_ok(by(&w, 1), consent_withdraw(by(&w, 1), w.coop));
	struct release second = world_published(&w);
	assert_str(world_read(&w, second.id).version, "2.0.0");
}

/* ---- what happens while a release is built ---- */

/* Builds a release in a thread of its own, as a worker does. */
struct builder { struct call *call; struct uuid coop, release; enum err err; };

static void *build_run(void *arg)
{
	struct builder *b = arg;
	b->err = release_build(b->call, b->coop, b->release);
	return NULL;
}

/* From a frozen release to the instant when it may be built. */
static void until_it_may_be_built(struct world *w, struct uuid release)
{
	struct release r = world_read(w, release);
	world_until(w, r.cutoff_at + 7 * CLOCK_DAY + CLOCK_HOUR);
	r = world_read(w, release);
	world_vote(w, &r, 2, "for");
	world_until(w, r.cutoff_at + 9 * CLOCK_DAY + 2 * CLOCK_HOUR);
	clock_set(r.cutoff_at + 10 * CLOCK_DAY + 3 * CLOCK_HOUR);
}

/* Otherwise its files would open again. */
static void a_release_withdrawn_while_the_next_is_built_stays_withdrawn(void **state)
{
	struct world w;
	pthread_t thread;
	(void)state;
	world_make(&w, NULL);
	world_say(&w, 0, "allow");
	world_contribute(&w, 0, "In January");
	struct release first = world_published(&w);
	world_contribute(&w, 0, "In February");
	struct release second = world_release(&w);
	world_until(&w, second.cutoff_at);
	until_it_may_be_built(&w, second.id);
	fixture_sql("UPDATE release SET state = 'building' WHERE state = 'cooling_off'"); /* the step into it needs the log, which is taken below */

	struct call *c = w.system;
	struct builder b = { .call = fixture_system(), .coop = w.coop, .release = second.id };
	assert_ok(c, db_begin_in(c, w.coop, DB_WRITE));
	assert_ok(c, ledger_lock(c, w.coop));
	assert_int_equal(pthread_create(&thread, NULL, build_run, &b), 0);
	while (fixture_int("SELECT count(*) FROM pg_locks WHERE NOT granted") == 0)
		usleep(5000);
	assert_ok(c, release_take(c, w.coop, first.id, &first));
	assert_ok(c, release_move(c, &first, RELEASE_WITHDRAWN, STR_NONE));
	assert_ok(c, db_commit(c));
	pthread_join(thread, NULL);
	assert_ok(b.call, b.err);
	assert_int_equal(world_read(&w, first.id).state, RELEASE_WITHDRAWN);
	assert_int_equal(world_read(&w, second.id).state, RELEASE_PUBLISHED);
	assert_int_equal(fixture_int("SELECT count(*) FROM release_event WHERE to_state = 'superseded'"), 0);
	verifies(&w, second.id);
}

static void built_files_are_for_the_server_alone(void **state)
{
	struct world w;
	struct stat st;
	(void)state;
	world_make(&w, NULL);
	world_say(&w, 0, "allow");
	world_contribute(&w, 0, "In January");
	struct release r = world_published(&w);
	struct str dir = release_dir(w.system->arena, w.coop, r.id);
	assert_int_equal(stat(dir.p, &st), 0);
	assert_int_equal(st.st_mode & 077, 0);
	assert_int_equal(stat(str_fmt(w.system->arena, "%.*s/..", STR_ARG(dir)).p, &st), 0);
	assert_int_equal(st.st_mode & 077, 0);
}

/* ---- crash at any point, the same bytes ---- */

static void database_name(const char *url, char out[128])
{
	PGconn *conn = PQconnectdb(url);
	assert_int_equal(PQstatus(conn), CONNECTION_OK);
	snprintf(out, 128, "%s", PQdb(conn));
	PQfinish(conn);
}

static void clone_database(const char *from, const char *to)
{
	char sql[512];
	PGconn *conn = PQconnectdb(fixture_admin_url("postgres"));
	assert_int_equal(PQstatus(conn), CONNECTION_OK);
	snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'", from);
	PQclear(PQexec(conn, sql));
	snprintf(sql, sizeof(sql), "CREATE DATABASE %s TEMPLATE %s", to, from);
	PGresult *r = PQexec(conn, sql);
	if (PQresultStatus(r) != PGRES_COMMAND_OK)
		fail_msg("%s", PQerrorMessage(conn));
	PQclear(r);
	PQfinish(conn);
}

/* "path sha256" of every file below a folder, sorted. */
static void digest_tree(struct arena *a, struct str root, struct str below, struct str *lines, size_t *n)
{
	struct str dir = str_fmt(a, "%.*s/%.*s", STR_ARG(root), STR_ARG(below));
	DIR *d = opendir(dir.p);
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));) {
		struct stat st;
		if (e->d_name[0] == '.')
			continue;
		struct str path = str_fmt(a, "%.*s%s%s", STR_ARG(below), below.n ? "/" : "", e->d_name);
		struct str full = str_fmt(a, "%.*s/%.*s", STR_ARG(root), STR_ARG(path));
		assert_int_equal(stat(full.p, &st), 0);
		if (S_ISDIR(st.st_mode)) {
			digest_tree(a, root, path, lines, n);
			continue;
		}
		char *bytes = malloc((size_t)st.st_size + 1);
		int fd = open(full.p, O_RDONLY);
		assert_int_equal(read(fd, bytes, (size_t)st.st_size), st.st_size);
		close(fd);
		struct str hex = sha256_hex(a, sha256(str_make(bytes, (size_t)st.st_size)));
		free(bytes);
		assert_true(*n < 100);
		lines[(*n)++] = str_fmt(a, "%.*s %.*s", STR_ARG(path), STR_ARG(hex));
	}
	closedir(d);
}

static int by_text(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static void build_in(struct world *w, const char *url, struct uuid release)
{
	struct db_pool *pool;
	struct error e = { 0 };
	db_release(w->system);
	assert_int_equal(db_pool_open(&pool, url, 3, &e), ERR_OK);
	struct db_pool *usual = db_content_pool();
	db_use_pool(pool, db_keys_pool());
	struct call *c = fixture_system();
	assert_ok(c, release_build(c, w->coop, release));
	fixture_end(c);
	db_use_pool(usual, db_keys_pool());
	db_pool_close(pool);
}

/* A process that builds and is killed after so many microseconds. */
static bool build_and_kill(struct world *w, struct uuid release, const char *url, const char *keys, int64_t after)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct db_pool *content, *keyring;
		struct error e = { 0 };
		struct arena *a = arena_new(LIMIT_JOB_ARENA);
		struct call c = { .arena = a, .actor = { .kind = AUTH_SYSTEM } };
		if (db_pool_open(&content, url, 3, &e) != ERR_OK || db_pool_open(&keyring, keys, 1, &e) != ERR_OK)
			_exit(3);
		db_use_pool(content, keyring);
		_exit(release_build(&c, w->coop, release) == ERR_OK ? 0 : 2);
	}
	usleep((useconds_t)after);
	kill(pid, SIGKILL);
	int status;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void a_crash_at_any_point_resumes_to_the_same_bytes(void **state)
{
	struct world w;
	struct arena *a = arena_new(16 * MIB);
	struct str wanted[100], got[100];
	size_t n_wanted = 0, n_got = 0;
	char name[128];
	(void)state;
	world_make(&w, NULL);
	for (int i = 0; i < 6; i++)
		world_say(&w, i, "allow");
	for (int i = 0; i < 60; i++)
		world_contribute(&w, i % 6, str_fmt(a, "Question number %d", i).p);
	struct release r = world_release(&w);
	world_until(&w, WORLD_CUTOFF);
	world_until(&w, WORLD_CUTOFF + 7 * CLOCK_DAY + CLOCK_HOUR);
	r = world_read(&w, r.id);
	world_vote(&w, &r, 2, "for");
	world_until(&w, WORLD_CUTOFF + 9 * CLOCK_DAY + 2 * CLOCK_HOUR);
	clock_set(WORLD_CUTOFF + 10 * CLOCK_DAY + 3 * CLOCK_HOUR);
	const char *url = str_z(a, str_of(fixture_url(false))), *keys = str_z(a, str_of(fixture_url(true)));
	database_name(url, name);
	db_release(w.system);
	db_release(w.person);

	/* What an undisturbed build gives, in a copy of the database. */
	clone_database(name, "reference");
	const char *at = strstr(url, name);
	assert_non_null(at);
	struct str reference = str_fmt(a, "%.*sreference%s", (int)(at - url), url, at + strlen(name));
	build_in(&w, reference.p, r.id);
	struct str dir = release_dir(a, w.coop, r.id), aside = str_fmt(a, "%.*s.reference", STR_ARG(dir));
	assert_int_equal(rename(dir.p, aside.p), 0);
	digest_tree(a, aside, STR(""), wanted, &n_wanted);
	assert_true(n_wanted > 8);

	/* The same, killed again and again, a little later each time. */
	int64_t after = 2000;
	while (!build_and_kill(&w, r.id, url, keys, after))
		after += 6000;
	assert_int_equal(fixture_int("SELECT count(*) FROM release WHERE state = 'published'"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'release.published'"), 1);
	digest_tree(a, dir, STR(""), got, &n_got);
	qsort(wanted, n_wanted, sizeof(wanted[0]), by_text);
	qsort(got, n_got, sizeof(got[0]), by_text);
	assert_int_equal(n_wanted, n_got);
	for (size_t i = 0; i < n_got; i++)
		assert_str(got[i], wanted[i].p);
	verifies(&w, r.id);
	arena_free(a);
}

static void only_an_admin_schedules_and_cancels_whatever_the_route_asked(void **state)
{
	struct world w;
	struct release r, out;
	(void)state;
	world_make(&w, NULL);
	r = world_release(&w);
	assert_err(by(&w, 5), ERR_FORBIDDEN, release_schedule_next(by(&w, 5), w.coop, &out));
	assert_err(by(&w, 5), ERR_FORBIDDEN, release_cancel(by(&w, 5), w.coop, r.id, STR("Not for me."), &out));
	assert_int_equal(world_read(&w, r.id).state, RELEASE_SCHEDULED);
	assert_ok(by(&w, 1), release_cancel(by(&w, 1), w.coop, r.id, STR("Not this month."), &out));
	assert_int_equal(out.state, RELEASE_CANCELLED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cut_offs_follow_the_recurrence_rule),
		cmocka_unit_test(a_rule_that_is_none_or_too_fast_is_refused),
		cmocka_unit_test(every_state_of_a_release_can_be_reached),
		fixture_test(scheduling_twice_makes_one_release),
		fixture_test(silence_is_never_yes),
		fixture_test(a_withdrawal_after_freeze_is_honoured),
		fixture_test(a_grant_after_the_cut_off_is_inert),
		fixture_test(a_release_without_enough_votes_fails),
		fixture_test(a_release_is_stopped_when_too_much_was_withdrawn),
		fixture_test(fewer_contributors_than_k_release_nothing),
		fixture_test(the_second_release_reuses_what_did_not_change),
		fixture_test(rows_that_leave_make_a_new_major_version),
		fixture_test(a_release_withdrawn_while_the_next_is_built_stays_withdrawn),
		fixture_test(built_files_are_for_the_server_alone),
		fixture_test(a_crash_at_any_point_resumes_to_the_same_bytes),
		fixture_test(only_an_admin_schedules_and_cancels_whatever_the_route_asked),
	};
	return fixture_run(tests, CH_LEN(tests));
}
