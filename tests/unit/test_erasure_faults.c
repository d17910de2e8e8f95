/* Requests for deletion while things go wrong underneath: the clock jumps, the database restarts, there is no room to write, jobs died. Nothing is lost, nothing is half, and all goes on. */
#include "erasure_world.h"

#include "commonhold/access.h"
#include "commonhold/crypto.h"
#include "commonhold/holdings.h"
#include "commonhold/sign_in.h"

#include "server/release/release_internal.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define N 18

struct scene {
	struct world w;
	struct uuid items[N], mine[N / 6];
	struct release first;
};

/* A release of items by six; those of member 5 are to be erased. */
static void scene_make(struct scene *s)
{
	world_make(&s->w, NULL);
	for (int i = 0; i < 6; i++)
		world_say(&s->w, i, "allow");
	for (int i = 0; i < N; i++) {
		s->items[i] = world_contribute(&s->w, i % 6, str_fmt(s->w.system->arena, "Question %d", i).p);
		if (i % 6 == 5)
			s->mine[i / 6] = s->items[i];
	}
	s->first = world_published(&s->w);
}

static int64_t of_item(struct scene *s, const char *fmt, struct uuid id)
{
	return fixture_int(str_z(s->w.system->arena, str_fmt(s->w.system->arena, "%s'%.*s'", fmt, STR_ARG(uuid_format(s->w.system->arena, id)))));
}

/* Wherever it was cut off: content is gone exactly when there is a tombstone, and then the version is withdrawn. */
static void nothing_is_half(struct scene *s)
{
	for (size_t i = 0; i < CH_LEN(s->mine); i++)
		assert_int_equal(of_item(s, "SELECT count(*) FROM contribution_content WHERE id = ", s->mine[i]) == 0, of_item(s, "SELECT count(*) FROM tombstone WHERE contribution_id = ", s->mine[i]));
	if (fixture_int("SELECT count(*) FROM tombstone") > 0)
		assert_int_equal(world_read(&s->w, s->first.id).state, RELEASE_WITHDRAWN);
}

/* What must be so in the end, and once. */
static void all_is_done_once(struct scene *s, struct uuid id)
{
	nothing_is_half(s);
	assert_int_equal(state_of(&s->w, id), ERASURE_COMPLETED);
	assert_int_equal(fixture_int("SELECT count(*) FROM tombstone"), CH_LEN(s->mine));
	assert_int_equal(fixture_int("SELECT max(idx) FROM tombstone"), (int64_t)CH_LEN(s->mine) - 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM release WHERE redacts_id IS NOT NULL"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM release WHERE state = 'published' AND redacts_id IS NOT NULL"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'release.cleared'"), 1);
	static const char *const once[] = { "effective", "purged", "propagating", "completed" };
	for (size_t i = 0; i < CH_LEN(once); i++)
		assert_int_equal(fixture_int(str_z(s->w.system->arena, str_fmt(s->w.system->arena, "SELECT count(*) FROM log_leaf WHERE type = 'deletion.%s'", once[i]))), 1);
}

static const struct job_kind *const tables[] = { ballot_jobs, release_jobs, erasure_jobs, NULL };

/* Runs what is due, whatever comes of it. */
static void run_anyhow(void)
{
	struct error e = { 0 };
	int ran;
	if (job_run_due(tables, &ran, &e) != ERR_OK)
		error_clear(&e);
}

/* A little later each time, until the request is over. */
static void carry_on(struct scene *s, struct uuid id)
{
	for (int i = 0; i < 100 && !erasure_over(state_of(&s->w, id)); i++) {
		clock_set(clock_now() + 400 * CLOCK_SECOND);
		run_anyhow();
	}
}

/* ---- The database restarts ---- */

static atomic_bool cutting;

/* Ends every connection of the server again and again, a little later each time. */
static void *cut(void *arg)
{
	PGconn *pg = PQconnectdb(arg);
	for (useconds_t after = 1000; atomic_load(&cutting); after = after < 120000 ? after * 5 / 4 : 1000) {
		usleep(after);
		PQclear(PQexec(pg, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'commonhold'"));
	}
	PQfinish(pg);
	return NULL;
}

static void a_database_that_restarts_while_it_is_carried_and_redacted_loses_nothing(void **state)
{
	static struct scene s;
	static char url[512];
	pthread_t thread;
	(void)state;
	scene_make(&s);
	struct erasure e = ask(&s.w, 5, ERASURE_ERASE, s.mine, CH_LEN(s.mine));
	db_release(s.w.person);
	db_release(s.w.system);
	snprintf(url, sizeof(url), "%s", fixture_admin_url("postgres"));
	atomic_store(&cutting, true);
	assert_int_equal(pthread_create(&thread, NULL, cut, url), 0);
	for (int i = 0; i < 60 && fixture_int("SELECT count(*) FROM erasure WHERE state = 'completed'") == 0; i++) {
		clock_set(clock_now() + 1000 * CLOCK_SECOND); /* past the leases of what was cut off */
		run_anyhow();
	}
	atomic_store(&cutting, false);
	pthread_join(thread, NULL);
	daily(&s.w, clock_now() + 2 * CLOCK_DAY); /* where it took so long that a job gave up */
	carry_on(&s, e.id);
	all_is_done_once(&s, e.id);
}

/* ---- No room ---- */

static void a_database_without_room_stops_at_a_whole_step_and_goes_on(void **state)
{
	static const char *const places[] = { "tombstone", "log_leaf", "release_event", "erasure_event", "job" };
	struct scene s;
	(void)state;
	scene_make(&s);
	struct erasure e = ask(&s.w, 5, ERASURE_ERASE, s.mine, CH_LEN(s.mine));
	fixture_sql("CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'could not extend file'; END $$");
	for (size_t i = 0; i < CH_LEN(places); i++) {
		struct arena *a = s.w.system->arena;
		fixture_sql(str_z(a, str_fmt(a, "CREATE TRIGGER no_room BEFORE INSERT ON %s EXECUTE FUNCTION no_room()", places[i])));
		for (int k = 0; k < 2; k++) {
			clock_set(clock_now() + 2 * CLOCK_HOUR); /* longer than it is waited between two tries */
			run_anyhow();
			nothing_is_half(&s);
			assert_false(erasure_over(state_of(&s.w, e.id)));
			assert_true(word_of(&s.w, s.mine[0]) & (POLICY_ITEM_ERASURE | POLICY_ITEM_TOMBSTONED));
		}
		fixture_sql(str_z(a, str_fmt(a, "DROP TRIGGER no_room ON %s", places[i])));
	}
	carry_on(&s, e.id);
	all_is_done_once(&s, e.id);
}

static void kill_jobs(void)
{
	fixture_sql("UPDATE job SET state = 'dead', died_at = due, lease_token = NULL, lease_until = NULL");
}

static void what_jobs_died_of_is_taken_up_again_by_the_day(void **state)
{
	struct scene s;
	bool more = true;
	(void)state;
	scene_make(&s);
	struct erasure e = ask(&s.w, 5, ERASURE_ERASE, s.mine, CH_LEN(s.mine));
	/* Carried as far as it goes; then the disk is full for longer than a redaction is tried. */
	while (more)
		assert_ok(s.w.system, erasure_carry_step(s.w.system, s.w.coop, e.id, &more));
	kill_jobs();
	erasure_until(&s.w, clock_now() + CLOCK_HOUR);
	assert_int_equal(state_of(&s.w, e.id), ERASURE_EFFECTIVE);
	daily(&s.w, clock_now() + 2 * CLOCK_DAY);
	erasure_until(&s.w, clock_now());
	assert_int_equal(fixture_int("SELECT count(*) FROM release WHERE state = 'published' AND redacts_id IS NOT NULL"), 1);
	/* Nobody owes anything any more, but the job that says so died. */
	for (more = true; more;)
		assert_ok(s.w.system, erasure_carry_step(s.w.system, s.w.coop, e.id, &more));
	if (state_of(&s.w, e.id) == ERASURE_PROPAGATING) {
		kill_jobs();
		daily(&s.w, clock_now() + 2 * CLOCK_DAY);
		erasure_until(&s.w, clock_now());
	}
	all_is_done_once(&s, e.id);
}

/* Member 5 wants everything gone, and has proved that it is them. */
static void account_ask(struct world *w, struct uuid *item)
{
	struct erasure_account a;
	struct proof proof = { .network = STR("192.0.2.1") };
	struct str secret;
	world_make(w, NULL);
	*item = world_contribute(w, 5, "one");
	struct call *c = fixture_call();
	c->actor = w->actor[5];
	assert_ok(c, erasure_ask_account(c, &a));
	assert_ok(c, session_start_for(c, c->actor.account, STR("test"), &secret));
	assert_true(uuid_parse(str_of(fixture_text("SELECT id FROM session ORDER BY created_at DESC LIMIT 1")), &c->actor.session));
	assert_ok(c, erasure_account_verify(c, &proof, &a));
	db_release(c);
	db_release(w->system);
	db_release(w->person);
}

static bool account_gone(void)
{
	return fixture_int("SELECT count(*) FROM account_erasure WHERE state = 'completed' AND account_id IS NULL") == 1;
}

static void an_account_whose_job_died_goes_all_the_same(void **state)
{
	struct world w;
	struct uuid item;
	(void)state;
	account_ask(&w, &item);
	for (int i = 0; i < 6 && !account_gone(); i++) {
		/* Each kind of job dies once, at whatever it was about to do. */
		kill_jobs();
		daily(&w, clock_now() + 2 * CLOCK_DAY);
		erasure_until(&w, clock_now());
	}
	assert_true(account_gone());
}

/* A server that runs what is due and is killed after so many microseconds. */
static void serve_and_kill(const char *url, const char *keys, useconds_t after)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct db_pool *content, *keyring;
		struct error e = { 0 };
		if (db_pool_open(&content, url, 3, &e) != ERR_OK || db_pool_open(&keyring, keys, 1, &e) != ERR_OK)
			_exit(3);
		db_use_pool(content, keyring);
		run_anyhow();
		_exit(0);
	}
	usleep(after);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void an_account_goes_whole_wherever_the_server_is_killed(void **state)
{
	struct world w;
	struct uuid item;
	int kills = 0;
	(void)state;
	account_ask(&w, &item);
	struct str account = uuid_format(w.system->arena, w.actor[5].account), id = uuid_format(w.system->arena, item);
	const char *content = str_z(w.system->arena, str_fmt(w.system->arena, "SELECT count(*) FROM contribution_content WHERE id = '%.*s'", STR_ARG(id)));
	const char *there = str_z(w.system->arena, str_fmt(w.system->arena, "SELECT count(*) FROM account WHERE id = '%.*s'", STR_ARG(account)));
	const char *url = str_z(w.system->arena, str_of(fixture_url(false))), *keys = str_z(w.system->arena, str_of(fixture_url(true)));
	for (useconds_t after = 6000; kills < 50 && !account_gone(); after += 2000, kills++) {
		clock_set(clock_now() + 2 * CLOCK_HOUR); /* past leases, and longer than it is waited between two tries */
		serve_and_kill(url, keys, after);
		/* Nobody's account is gone while what they contributed is there. */
		assert_true(fixture_int(there) == 1 || fixture_int(content) == 0);
	}
	print_message("killed %d times\n", kills);
	for (int i = 0; i < 6 && !account_gone(); i++) {
		daily(&w, clock_now() + 2 * CLOCK_DAY);
		erasure_until(&w, clock_now());
	}
	assert_true(account_gone());
	assert_int_equal(fixture_int(there) + fixture_int(content), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM tombstone"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'deletion.completed'"), 1);
}

/* ---- The clock jumps ---- */

static void a_clock_that_jumps_while_it_is_carried_changes_nothing_but_when(void **state)
{
	static const int64_t jumps[] = { -CLOCK_DAY, 366 * CLOCK_DAY, -CLOCK_DAY, -365 * CLOCK_DAY };
	struct scene s;
	struct erasure e;
	bool more = true;
	(void)state;
	scene_make(&s);
	e = ask(&s.w, 5, ERASURE_ERASE, s.mine, CH_LEN(s.mine));
	instant begun = clock_now();
	for (int i = 0; i < 12 && !erasure_over(state_of(&s.w, e.id)); i++) {
		clock_set(clock_now() + jumps[i % 4]);
		assert_ok(s.w.system, erasure_carry_step(s.w.system, s.w.coop, e.id, &more));
		nothing_is_half(&s);
		assert_true(word_of(&s.w, s.mine[0]) & (POLICY_ITEM_ERASURE | POLICY_ITEM_TOMBSTONED));
		if (i == 4) {
			assert_ok(s.w.system, release_redact_now(s.w.system, s.w.coop));
			assert_int_equal(fixture_int("SELECT count(*) FROM release WHERE state = 'published' AND redacts_id IS NOT NULL"), 1);
		}
	}
	/* What was put off by the clock that was wrong is taken up by the day. */
	daily(&s.w, begun + 2 * CLOCK_DAY);
	carry_on(&s, e.id);
	all_is_done_once(&s, e.id);
	/* Nobody has less time than the charter says, by a clock that was wrong. */
	assert_int_equal(fixture_int(str_z(s.w.system->arena, str_fmt(s.w.system->arena, "SELECT count(*) FROM tombstone WHERE purge_by < to_timestamp(%lld)", (long long)(begun / CLOCK_SECOND)))), 0);
}

static void the_status_is_good_for_a_day_from_now_whatever_the_clock_did(void **state)
{
	static const int64_t jumps[] = { 0, 365 * CLOCK_DAY, -CLOCK_DAY, -365 * CLOCK_DAY };
	struct scene s;
	(void)state;
	scene_make(&s);
	for (size_t i = 0; i < CH_LEN(jumps); i++) {
		struct call *c = s.w.system;
		struct str envelope, payload;
		const struct json *v;
		struct coop coop;
		instant created, expires;
		clock_set(clock_now() + jumps[i]);
		assert_ok(c, coop_read(c, s.w.coop, &coop));
		assert_ok(c, status_read(c, s.w.coop, &envelope));
		assert_int_equal(dsse_verify(c->arena, envelope, (const uint8_t (*)[32])&coop.public_key, 1, 1, STR(STATUS_PAYLOAD_TYPE), &payload, &c->error), ERR_OK);
		assert_int_equal(json_parse(c->arena, payload, &v, &c->error), ERR_OK);
		assert_true(clock_parse(json_member_text(v, "created"), &created) && clock_parse(json_member_text(v, "expires"), &expires));
		assert_true(created <= clock_now());
		assert_true(expires > clock_now() && expires <= clock_now() + CLOCK_DAY);
	}
}

/* ---- What stays with its member ---- */

/* The content as its member reads it. */
static bool reads(struct world *w, int member, struct uuid item, const char *text)
{
	struct contribution it;
	struct str content;
	struct call *c = by(w, member);
	assert_ok(c, pool_read(c, w->coop, item, &it, &content));
	return content.p && strstr(str_z(c->arena, content), text);
}

static bool included(struct world *w, struct uuid release, struct uuid item)
{
	struct item_release *in;
	size_t n;
	bool is = false;
	assert_ok(w->system, release_of_item(w->system, w->coop, item, &in, &n));
	for (size_t i = 0; i < n; i++)
		is |= uuid_eq(in[i].release.id, release) && in[i].outcome == POLICY_INCLUDE;
	return is;
}

static void what_is_kept_out_of_releases_stays_readable_for_its_member_and_an_embargo_gives_it_back(void **state)
{
	struct world w;
	struct uuid items[2];
	(void)state;
	world_make(&w, NULL);
	for (int i = 3; i < 6; i++)
		world_say(&w, i, "allow");
	items[0] = world_contribute(&w, 5, "never again");
	items[1] = world_contribute(&w, 5, "later");
	world_contribute(&w, 3, "always");
	struct erasure e = ask(&w, 5, ERASURE_WITHDRAW_FUTURE, &items[0], 1), f = ask_until(&w, 5, &items[1], WORLD_CUTOFF + 10 * CLOCK_DAY);
	struct release r = world_published(&w);
	erasure_until(&w, clock_now());
	assert_int_equal(state_of(&w, e.id), ERASURE_COMPLETED);
	assert_int_equal(state_of(&w, f.id), ERASURE_COMPLETED);
	assert_false(included(&w, r.id, items[0]));
	assert_false(included(&w, r.id, items[1]));
	assert_true(reads(&w, 5, items[0], "never again") && reads(&w, 5, items[1], "later"));
	/* The day came and went; a clock that goes back before it keeps the item back once more. */
	clock_set(WORLD_CUTOFF + 9 * CLOCK_DAY);
	assert_true(word_of(&w, items[1]) & POLICY_ITEM_EMBARGOED);
	r = world_published(&w);
	assert_int_equal(world_read(&w, r.id).state, RELEASE_PUBLISHED);
	assert_false(included(&w, r.id, items[0]));
	assert_true(included(&w, r.id, items[1]));
	assert_true(reads(&w, 5, items[0], "never again"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(a_database_that_restarts_while_it_is_carried_and_redacted_loses_nothing),
		fixture_test(a_database_without_room_stops_at_a_whole_step_and_goes_on),
		fixture_test(what_jobs_died_of_is_taken_up_again_by_the_day),
		fixture_test(an_account_whose_job_died_goes_all_the_same),
		fixture_test(an_account_goes_whole_wherever_the_server_is_killed),
		fixture_test(a_clock_that_jumps_while_it_is_carried_changes_nothing_but_when),
		fixture_test(the_status_is_good_for_a_day_from_now_whatever_the_clock_did),
		fixture_test(what_is_kept_out_of_releases_stays_readable_for_its_member_and_an_embargo_gives_it_back),
	};
	return fixture_run(tests, CH_LEN(tests));
}
