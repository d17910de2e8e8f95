/* Mirrors under stress: announcing against receipts, several servers delivering or climbing the ladder at once, receipts with a byte changed. */
#include "world.h"

#include "commonhold/crypto.h"
#include "commonhold/mirror.h"
#include "server/erasure/mirror/push.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define ROUNDS 40
#define CREW 4

static const struct uuid nil;
static const struct job_kind *const jobs[] = { mirror_jobs, NULL };

/* A co-op with a version 1.0.0 and a mirror that never said what it holds. */
struct scene {
	struct world w;
	struct sign_key key;
	struct uuid mirror;
	struct call *crew[CREW];
	atomic_int failures;
	atomic_bool over;
};

static void scene_make(struct scene *s, const char *kind)
{
	char sql[1200];
	*s = (struct scene){ 0 };
	world_make(&s->w, NULL);
	sign_key_new(&s->key);
	s->mirror = uuid_new();
	struct call *c = s->w.system;
	fixture_sql("INSERT INTO release (coop_id, id, charter, cutoff_at, state, state_at, spec, seed, version, candidates_sha256, manifest_sha256, published_at) "
		"SELECT id, gen_random_uuid(), 1, '2025-12-01', 'withdrawn', '2025-12-20', '{}', sha256('s'), '1.0.0', sha256('c'), sha256('m'), '2025-12-10' FROM coop");
	struct str sealed = seal(c->arena, instance_seal_key(instance_keys()), str_fmt(c->arena, "mirror secret %.*s %.*s", STR_ARG(uuid_format(c->arena, s->w.coop)), STR_ARG(uuid_format(c->arena, s->mirror))), STR("0123456789abcdef0123456789abcdef"));
	bool hook = str_is(STR("webhook"), kind);
	struct str secret = hook ? str_fmt(c->arena, "'\\x%.*s'", STR_ARG(str_hex(c->arena, sealed.p, sealed.n))) : STR("NULL");
	snprintf(sql, sizeof(sql), "INSERT INTO mirror (coop_id, id, account_id, name, kind, url, public_key, secret, state, state_at, registered_at) "
		"SELECT id, '%.*s', founder_id, 'A copy', '%s', %s, '\\x%.*s', %.*s, 'active', '2025-12-11', '2025-12-11' FROM coop",
		STR_ARG(uuid_format(c->arena, s->mirror)), kind, hook ? "'https://mirror.invalid/'" : "NULL", STR_ARG(str_hex(c->arena, s->key.public_key, 32)), STR_ARG(secret));
	fixture_sql(sql);
	for (int i = 0; i < CREW; i++)
		s->crew[i] = fixture_system();
	clock_set(INSTANT_NONE);
}

SQL(bury, "INSERT INTO tombstone (coop_id, idx, contribution_id, kind, reason_code, releases, made_at, effective, purge_by, erasure_id, line, digest) "
	"SELECT $1, coalesce(max(idx), -1) + 1, gen_random_uuid(), 'erase', 'consent_withdrawn', '{1.0.0}', date_trunc('hour', commonhold_now(), 'UTC'), date_trunc('hour', commonhold_now(), 'UTC'), "
	"commonhold_now(), $2, '{}', sha256('{}') FROM tombstone WHERE coop_id = $1");

/* As if it had never said what it holds, so that erasures are its business. */
SQL(forget, "UPDATE mirror SET told_at = NULL WHERE coop_id = $1");

/* As an erasure is carried: the tombstone can be pulled before it is announced. */
static enum err bury_one(struct call *c, struct uuid coop, struct uuid erasure)
{
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(db_exec(c, forget, A_UUID(coop)));
	return db_finish(c, bury, NULL, A_UUID(coop), A_UUID(erasure));
}

static enum err announce_one(struct call *c, struct uuid coop, struct uuid erasure)
{
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(mirror_announce(c, coop, erasure));
	return db_commit(c);
}

/* In no committed state may there be one. */
SQL(covered_and_open, "SELECT count(*) FROM duty d JOIN mirror m ON m.coop_id = d.coop_id AND m.id = d.mirror_id WHERE d.coop_id = $1 AND d.confirmed_at IS NULL AND d.upto <= m.seen_upto");

static enum err look(struct call *c, struct uuid coop, int64_t *n)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_finish(c, covered_and_open, &r, A_UUID(coop)));
	*n = row_int(&r, 0, 0);
	return ERR_OK;
}

static void *announcer(void *arg)
{
	int64_t open = 0;
	struct scene *s = arg;
	struct call *c = s->crew[0];
	for (int i = 0; i < ROUNDS; i++) {
		struct uuid id = uuid_new();
		if (bury_one(c, s->w.coop, id) != ERR_OK || announce_one(c, s->w.coop, id) != ERR_OK || look(c, s->w.coop, &open) != ERR_OK || open) {
			fprintf(stderr, "announcing: %s; %lld covered and open\n", c->error.message, (long long)open);
			atomic_fetch_add(&s->failures, 1);
			db_rollback(c);
		}
	}
	atomic_store(&s->over, true);
	return NULL;
}

SQL(feed_end, "SELECT coalesce(max(idx), -1) FROM tombstone WHERE coop_id = $1");

static struct str receipt_text(struct scene *s, struct call *c, int64_t upto)
{
	struct str said = str_fmt(c->arena, "{\"at\":\"%.*s\",\"key\":\"%.*s\",\"method\":\"deleted\",\"mirror\":\"%.*s\",\"releases\":[],\"upto\":%lld}", STR_ARG(clock_format(c->arena, clock_now())),
		STR_ARG(key_id(c->arena, s->key.public_key)), STR_ARG(uuid_format(c->arena, s->mirror)), (long long)upto);
	return dsse_sign(c->arena, &s->key, 1, STR(MIRROR_RECEIPT_TYPE), said);
}

static enum err confirm_one(struct scene *s, struct call *c)
{
	struct rows r;
	struct purge_receipt t;
	TRY(db_begin_in(c, s->w.coop, DB_READ));
	TRY(db_finish(c, feed_end, &r, A_UUID(s->w.coop)));
	return receipt_take(c, s->w.coop, s->mirror, receipt_text(s, c, row_int(&r, 0, 0)), &t);
}

static void *confirmer(void *arg)
{
	struct scene *s = arg;
	struct call *c = s->crew[1];
	while (!atomic_load(&s->over)) {
		enum err e = confirm_one(s, c);
		if (e != ERR_OK) {
			if (e != ERR_EXISTS) { /* nothing new */
				fprintf(stderr, "confirming: %s\n", c->error.message);
				atomic_fetch_add(&s->failures, 1);
			}
			db_rollback(c);
			error_clear(&c->error);
		}
	}
	return NULL;
}

static void no_duty_stays_open_that_a_receipt_has_covered(void **state)
{
	struct scene s;
	pthread_t a, b;
	(void)state;
	scene_make(&s, "pull");
	pthread_create(&a, NULL, announcer, &s);
	pthread_create(&b, NULL, confirmer, &s);
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	assert_int_equal(atomic_load(&s.failures), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM duty d JOIN mirror m ON m.id = d.mirror_id WHERE d.confirmed_at IS NULL AND d.upto <= m.seen_upto"), 0);
	if (fixture_int("SELECT count(*) FROM duty WHERE confirmed_at IS NULL"))
		assert_ok(s.crew[1], confirm_one(&s, s.crew[1]));
	/* Where it had just said that it holds nothing, it owes nothing; what it owed is confirmed. */
	assert_int_equal(fixture_int("SELECT count(*) FROM duty WHERE confirmed_at IS NULL"), 0);
	assert_true(fixture_int("SELECT count(*) FROM duty") > 0);
	assert_int_equal(fixture_int("SELECT count(DISTINCT key) FROM job WHERE kind = 'erasure.complete'"), ROUNDS);
}

/* One byte put in, taken out or changed at random: refused, or nothing of what is signed has changed. */
static void no_receipt_is_taken_that_says_something_else_than_what_was_signed(void **state)
{
	struct scene s;
	struct purge_receipt t;
	struct uuid id = uuid_new();
	uint32_t seed;
	(void)state;
	scene_make(&s, "pull");
	struct call *c = s.crew[0];
	assert_ok(c, bury_one(c, s.w.coop, id));
	assert_ok(c, announce_one(c, s.w.coop, id));
	random_bytes(&seed, sizeof(seed));
	print_message("seed %u\n", seed);
	srandom(seed);
	struct str good = receipt_text(&s, c, 0);
	struct arena_mark mark = arena_mark(c->arena);
	for (int i = 0; i < 400; i++) {
		char *bad = arena_alloc(c->arena, good.n + 1);
		size_t at = (size_t)random() % good.n;
		int how = (int)(random() % 3);
		size_t n = good.n + (how == 0) - (how == 1);
		memcpy(bad, good.p, at);
		if (how != 1)
			bad[at] = (char)(how == 0 ? random() & 0x7f : good.p[at] ^ (1 + random() % 255));
		memcpy(bad + at + (how != 1), good.p + at + (how != 0), good.n - at - (how != 0));
		if (receipt_take(c, s.w.coop, s.mirror, str_make(bad, n), &t) == ERR_OK)
			break;
		db_rollback(c);
		error_clear(&c->error);
		arena_rewind(c->arena, mark);
	}
	assert_int_equal(fixture_int("SELECT count(*) FROM duty WHERE confirmed_at IS NOT NULL"), fixture_int("SELECT count(*) FROM receipt WHERE upto = 0 AND method = 'deleted' AND releases = '{}'"));
	assert_int_equal(fixture_int("SELECT count(*) FROM receipt WHERE upto <> 0 OR method <> 'deleted'"), 0);
	if (fixture_int("SELECT count(*) FROM receipt") == 0)
		assert_ok(c, receipt_take(c, s.w.coop, s.mirror, good, &t));
	else
		assert_err(c, ERR_EXISTS, receipt_take(c, s.w.coop, s.mirror, good, &t));
}

struct worker { struct scene *s; struct call *c; int64_t steps; };

static void *climber(void *arg)
{
	struct worker *w = arg;
	if (mirror_daily(w->c, nil, &w->steps) != ERR_OK) {
		fprintf(stderr, "daily: %s\n", w->c->error.message);
		atomic_fetch_add(&w->s->failures, 1);
	}
	return NULL;
}

static void several_servers_take_each_step_of_the_ladder_once(void **state)
{
	struct scene s;
	struct worker crew[CREW];
	pthread_t threads[CREW];
	int64_t steps = 0;
	(void)state;
	scene_make(&s, "pull");
	for (int i = 0; i < 5; i++) {
		struct uuid id = uuid_new();
		assert_ok(s.crew[0], bury_one(s.crew[0], s.w.coop, id));
		assert_ok(s.crew[0], announce_one(s.crew[0], s.w.coop, id));
	}
	clock_shift(60 * CLOCK_DAY);
	for (int i = 0; i < CREW; i++) {
		crew[i] = (struct worker){ .s = &s, .c = s.crew[i] };
		pthread_create(&threads[i], NULL, climber, &crew[i]);
	}
	for (int i = 0; i < CREW; i++) {
		pthread_join(threads[i], NULL);
		steps += crew[i].steps;
	}
	assert_int_equal(atomic_load(&s.failures), 0);
	assert_int_equal(steps, 5 * (DUTY_STEP_COUNT - 1));
	assert_int_equal(fixture_int("SELECT count(*) FROM duty_step"), 5 * (DUTY_STEP_COUNT - 1));
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'deletion.overdue'"), 5 * (DUTY_STEP_COUNT - 1));
}

SQL(hurry, "UPDATE delivery SET next_at = '2020-01-01' WHERE coop_id = $1");

static void *pusher(void *arg)
{
	struct worker *w = arg;
	struct str args = job_args(w->c->arena, w->s->w.coop, "mirror", w->s->mirror);
	const struct json *json;
	if (json_parse(w->c->arena, args, &json, &w->c->error) != ERR_OK || push_job(w->c, json) != ERR_OK) {
		fprintf(stderr, "pushing: %s\n", w->c->error.message);
		atomic_fetch_add(&w->s->failures, 1);
	}
	return NULL;
}

static void several_servers_make_one_attempt(void **state)
{
	struct scene s;
	struct worker crew[CREW];
	pthread_t threads[CREW];
	struct uuid id = uuid_new();
	(void)state;
	scene_make(&s, "webhook");
	assert_ok(s.crew[0], bury_one(s.crew[0], s.w.coop, id));
	assert_ok(s.crew[0], announce_one(s.crew[0], s.w.coop, id));
	for (int round = 1; round <= 5; round++) {
		for (int i = 0; i < CREW; i++) {
			crew[i] = (struct worker){ .s = &s, .c = s.crew[i] };
			pthread_create(&threads[i], NULL, pusher, &crew[i]);
		}
		for (int i = 0; i < CREW; i++)
			pthread_join(threads[i], NULL);
		mirror_push_drain();
		assert_int_equal(atomic_load(&s.failures), 0);
		assert_int_equal(fixture_int("SELECT attempts FROM delivery"), round);
		assert_ok(s.crew[0], db_begin_in(s.crew[0], s.w.coop, DB_WRITE));
		assert_ok(s.crew[0], db_finish(s.crew[0], hurry, NULL, A_UUID(s.w.coop)));
	}
	struct error e = { 0 };
	int ran;
	assert_int_equal(job_run_due(jobs, &ran, &e), ERR_OK);
	mirror_push_drain();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(no_duty_stays_open_that_a_receipt_has_covered),
		fixture_test(no_receipt_is_taken_that_says_something_else_than_what_was_signed),
		fixture_test(several_servers_take_each_step_of_the_ladder_once),
		fixture_test(several_servers_make_one_attempt),
	};
	return fixture_run(tests, CH_LEN(tests));
}
