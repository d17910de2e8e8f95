/* What a charter's windows let go, and the windows outside the charter: all by the injected clock. */
#include "world.h"

#include "commonhold/access.h"
#include "commonhold/account.h"
#include "commonhold/erasure.h"
#include "commonhold/holdings.h"
#include "commonhold/http.h"
#include "commonhold/notify.h"

#include <stdio.h>

#define A_YEAR "{\"retention\":{\"raw\":\"P1Y\",\"quarantine\":\"P0D\"}}"

static void run(struct world *w, struct retention_done *done)
{
	assert_ok(w->system, retention_run(w->system, w->coop, done));
}

static void carry(void)
{
	static const struct job_kind *const tables[] = { ballot_jobs, release_jobs, erasure_jobs, NULL };
	struct error e = { 0 };
	int ran;
	if (job_run_due(tables, &ran, &e) != ERR_OK)
		fail_msg("jobs: %s", e.message);
}

static void members_are_told_before_anything_goes(void **state)
{
	(void)state;
	struct world w;
	struct retention_done done;
	world_make(&w, A_YEAR);
	world_contribute(&w, 3, "old enough to go");
	world_contribute(&w, 3, "and another");
	clock_set(WORLD_START + 300 * CLOCK_DAY);
	run(&w, &done);
	assert_int_equal(done.told, 0);
	clock_set(WORLD_START + 340 * CLOCK_DAY);
	world_contribute(&w, 3, "much later");
	run(&w, &done);
	assert_int_equal(done.told, 1);
	assert_int_equal(done.items[RETENTION_RAW], 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'deletion.retention' AND essential AND data LIKE '%2 of your contributions%1 January 2027%'"), 1);
	/* Once. */
	clock_set(WORLD_START + 341 * CLOCK_DAY);
	run(&w, &done);
	assert_int_equal(done.told, 0);
	clock_set(WORLD_START + 364 * CLOCK_DAY);
	run(&w, &done);
	assert_int_equal(done.items[RETENTION_RAW], 0);
	clock_set(WORLD_START + 365 * CLOCK_DAY + CLOCK_HOUR);
	run(&w, &done);
	assert_int_equal(done.items[RETENTION_RAW], 2);
	run(&w, &done);
	assert_int_equal(done.items[RETENTION_RAW], 0);
	carry();
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution_content"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM erasure WHERE asker = 'rule' AND reason_code = 'retention' AND n_items = 2"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'retention.due' AND convert_from(entry, 'UTF8') LIKE '%\"items\":2,\"window\":\"raw\"%'"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM tombstone WHERE reason_code = 'retention'"), fixture_int("SELECT count(*) FROM tombstone"));
}

static void nothing_goes_unannounced_however_late_the_day_comes(void **state)
{
	(void)state;
	struct world w;
	struct retention_done done;
	world_make(&w, A_YEAR);
	world_contribute(&w, 4, "nobody was told");
	/* The server was down for months, or the charter has become stricter. */
	clock_set(WORLD_START + 500 * CLOCK_DAY);
	run(&w, &done);
	assert_int_equal(done.told, 1);
	assert_int_equal(done.items[RETENTION_RAW], 0);
	clock_set(WORLD_START + 513 * CLOCK_DAY);
	run(&w, &done);
	assert_int_equal(done.items[RETENTION_RAW], 0);
	clock_set(WORLD_START + 514 * CLOCK_DAY);
	run(&w, &done);
	assert_int_equal(done.items[RETENTION_RAW], 1);
}

static void no_duration_keeps_things_for_as_long_as_they_are_left(void **state)
{
	(void)state;
	struct world w;
	struct retention_done done;
	world_make(&w, "{\"retention\":{\"raw\":\"P0D\",\"quarantine\":\"P0D\"}}");
	world_contribute(&w, 4, "for ever");
	clock_set(WORLD_START + 5000 * CLOCK_DAY);
	run(&w, &done);
	assert_int_equal(done.told + done.items[RETENTION_RAW] + done.items[RETENTION_QUARANTINE], 0);
}

static void what_was_held_or_rejected_goes_sooner(void **state)
{
	(void)state;
	struct world w;
	struct retention_done done;
	struct contribution item;
	world_make(&w, "{\"retention\":{\"raw\":\"P0D\",\"quarantine\":\"P60D\"},\"moderation\":{\"mode\":\"hold\"}}");
	world_contribute(&w, 3, "waits");
	struct uuid yes = world_contribute(&w, 3, "approved"), no = world_contribute(&w, 4, "rejected late");
	assert_ok(by(&w, 0), pool_moderate(by(&w, 0), w.coop, yes, true, STR_NONE, &item));
	clock_set(WORLD_START + 30 * CLOCK_DAY);
	assert_ok(by(&w, 0), pool_moderate(by(&w, 0), w.coop, no, false, STR("Not ours to give."), &item));
	clock_set(WORLD_START + 40 * CLOCK_DAY);
	run(&w, &done);
	assert_int_equal(done.told, 1);
	clock_set(WORLD_START + 61 * CLOCK_DAY);
	run(&w, &done);
	assert_int_equal(done.items[RETENTION_QUARANTINE], 1);
	clock_set(WORLD_START + 89 * CLOCK_DAY);
	run(&w, &done);
	assert_int_equal(done.items[RETENTION_QUARANTINE], 0);
	clock_set(WORLD_START + 91 * CLOCK_DAY);
	run(&w, &done);
	assert_int_equal(done.items[RETENTION_QUARANTINE], 1);
	carry();
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution_content"), 1);
}

static void a_version_that_holds_what_goes_is_withdrawn(void **state)
{
	(void)state;
	struct world w;
	struct retention_done done;
	world_make(&w, "{\"retention\":{\"raw\":\"P90D\",\"quarantine\":\"P0D\"}}");
	world_say(&w, 0, "allow");
	world_say(&w, 1, "allow");
	struct uuid goes = world_contribute(&w, 0, "in the release, and old");
	clock_set(WORLD_START + 20 * CLOCK_DAY);
	world_contribute(&w, 1, "in the release, and young");
	struct release r = world_published(&w);
	assert_string_equal(fixture_text(str_fmt(w.system->arena, "SELECT state FROM release WHERE id = '%.*s'", STR_ARG(uuid_format(w.system->arena, r.id))).p), "published");
	clock_set(WORLD_START + 70 * CLOCK_DAY);
	run(&w, &done);
	assert_int_equal(done.told, 1); /* the other one's is further away than a month */
	clock_set(WORLD_START + 91 * CLOCK_DAY);
	run(&w, &done);
	assert_int_equal(done.items[RETENTION_RAW], 1);
	carry();
	assert_int_equal(fixture_int("SELECT count(*) FROM tombstone WHERE reason_code = 'retention' AND kind = 'erase'"), 1);
	assert_string_equal(fixture_text("SELECT contribution_id::text FROM tombstone"), uuid_format(w.system->arena, goes).p ? str_z(w.system->arena, uuid_format(w.system->arena, goes)) : "");
	assert_string_equal(fixture_text(str_fmt(w.system->arena, "SELECT state FROM release WHERE id = '%.*s'", STR_ARG(uuid_format(w.system->arena, r.id))).p), "withdrawn");
}

static void what_the_law_holds_stays_and_is_not_asked_for_every_day(void **state)
{
	(void)state;
	struct world w;
	struct retention_done done;
	struct legal_hold hold;
	world_make(&w, A_YEAR);
	struct uuid item = world_contribute(&w, 3, "evidence");
	assert_ok(by(&w, 0), hold_place(by(&w, 0), w.coop, item, STR("legal_claims"), STR("A lawsuit."), &hold));
	clock_set(WORLD_START + 350 * CLOCK_DAY);
	run(&w, &done);
	clock_set(WORLD_START + 380 * CLOCK_DAY);
	run(&w, &done);
	assert_int_equal(done.items[RETENTION_RAW], 0);
	assert_ok(by(&w, 0), hold_lift(by(&w, 0), w.coop, item, &hold));
	run(&w, &done);
	assert_int_equal(done.items[RETENTION_RAW], 1);
}

static void the_log_of_downloads_goes_and_says_how_much(void **state)
{
	(void)state;
	struct world w;
	struct retention_done done;
	world_make(&w, NULL);
	struct release r = world_release(&w);
	assert_ok(by(&w, 3), access_note(by(&w, 3), w.coop, r.id, (struct uuid){ { 0 } }, STR("data/x"), 200, 0, 10));
	clock_set(WORLD_START + 80 * CLOCK_DAY);
	assert_ok(by(&w, 3), access_note(by(&w, 3), w.coop, r.id, (struct uuid){ { 0 } }, STR("data/x"), 200, 0, 10));
	clock_set(WORLD_START + 91 * CLOCK_DAY);
	run(&w, &done);
	assert_int_equal(done.items[RETENTION_ACCESS_LOG], 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM access_log"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'access.log_pruned' AND convert_from(entry, 'UTF8') LIKE '%\"rows\":1%'"), 1);
}

static void backups_that_outlive_the_promise_are_noticed(void **state)
{
	(void)state;
	struct world w;
	struct retention_done done;
	world_make(&w, "{\"retention\":{\"backups\":\"P1D\"}}");
	run(&w, &done);
	assert_true(done.backups_late);
}

static void the_checkup_can_say_what_goes_next(void **state)
{
	(void)state;
	struct world w;
	struct retention_next next;
	world_make(&w, A_YEAR);
	world_contribute(&w, 2, "one");
	struct call *c = by(&w, 2);
	assert_ok(c, db_begin_in(c, w.coop, DB_READ));
	assert_ok(c, retention_next(c, w.coop, w.id[2], WORLD_START + 100 * CLOCK_DAY, &next));
	assert_int_equal(next.items, 0);
	assert_ok(c, retention_next(c, w.coop, w.id[2], WORLD_START + 400 * CLOCK_DAY, &next));
	assert_int_equal(next.items, 1);
	assert_true(next.first == duration_add(WORLD_START, (struct duration){ .years = 1 }, 1));
	assert_ok(c, db_commit(c));
}

/* ---- Windows outside the charter ---- */

static void forget(struct world *w, const struct job_kind *table, const char *kind)
{
	for (; table->kind; table++)
		if (strcmp(table->kind, kind) == 0) {
			assert_ok(w->system, table->run(w->system, NULL));
			return;
		}
	fail_msg("no job %s", kind);
}

/* A place, a row that is new at WORLD_START, the job that lets it go, and the days after which it must be there still, and gone. */
static const struct window { const char *table, *insert; const struct job_kind *jobs; const char *kind; int there, gone; } windows[] = {
	{ "session", "INSERT INTO session (id, account_id, secret_hash, created_at, seen_at, expires_at) SELECT gen_random_uuid(), id, sha256('s'), T, T, T + interval '30 days' FROM A", account_jobs, "account.forget", 29, 31 },
	{ "token", "INSERT INTO token (id, account_id, name, secret_hash, created_at, expires_at) SELECT gen_random_uuid(), id, 't', sha256('t'), T, T + interval '1 day' FROM A", account_jobs, "account.forget", 90, 92 },
	{ "sign_in_challenge", "INSERT INTO sign_in_challenge (id, account_id, secret_hash, how, created_at, expires_at) SELECT gen_random_uuid(), id, sha256('c'), 'password', T, T + interval '10 minutes' FROM A", account_jobs, "account.forget", 0, 1 },
	{ "sign_in_link", "INSERT INTO sign_in_link (id, account_id, purpose, email, secret_hash, created_at, expires_at) SELECT gen_random_uuid(), id, 'verify', email, sha256('l'), T, T + interval '2 days' FROM A", account_jobs, "account.forget", 8, 10 },
	{ "oidc_flow", "INSERT INTO oidc_flow (state_hash, browser_hash, issuer, nonce, verifier, next, created_at, expires_at) SELECT sha256('f'), sha256('b'), 'i', 'n', 'v', '/', T, T FROM A", account_jobs, "account.forget", 0, 2 },
	{ "sign_in_delay", "INSERT INTO sign_in_delay (bucket, attempts, last_at, open_at) SELECT sha256('d'), 3, T, T FROM A", account_jobs, "account.forget", 1, 3 },
	{ "notice", "INSERT INTO notice (account_id, id, kind, topic, data, essential, mail, at) SELECT id, gen_random_uuid(), 'x.y', 'account', '{}', false, 'none', T FROM A", notify_jobs, "notify.digest", 729, 731 },
	{ "mail", "INSERT INTO mail (id, kind, account_id, state, due, queued_at, settled_at) SELECT gen_random_uuid(), 'x.y', id, 'sent', T, T, T FROM A", notify_jobs, "notify.digest", 89, 91 },
	{ "mail_trouble", "INSERT INTO mail_trouble (address_hash, refusals, first_at, last_at, status, said, told_by, unreachable) SELECT sha256('m'), 1, T, T, '5.0.0', '', 'reply', false FROM A", notify_jobs, "notify.digest", 364, 366 },
	{ "idempotency", "INSERT INTO idempotency (actor, key, route, request_hash, created_at, expires) SELECT id::text, 'k', 'r', sha256('i'), T, T + interval '1 day' FROM A", web_jobs, "web.forget", 0, 2 },
	{ "archive_taken", "INSERT INTO archive_taken (account_id, id, at) SELECT id, gen_random_uuid(), T FROM A", holdings_jobs, "retention.daily", 89, 91 },
	{ "retention_notice", "INSERT INTO retention_notice (coop_id, member_no, window_name, upto, told_at) SELECT (SELECT id FROM coop), 0, 'raw', T, T FROM A", holdings_jobs, "retention.daily", 364, 366 },
};

/* The statement with the instant and the account put in. */
static const char *filled(struct call *c, const char *sql)
{
	struct buf b;
	buf_init(&b, 8 * KIB);
	for (const char *p = sql; *p; p++)
		if (strncmp(p, "FROM A", 6) == 0 && p[6] == 0) {
			buf_add_z(&b, "FROM (SELECT * FROM account WHERE email = 'member7@example.org') x");
			p += 5;
		} else if (p[0] == 'T' && p > sql && p[-1] == ' ' && (p[1] == ',' || p[1] == ' ')) {
			buf_add_z(&b, "timestamptz '2026-01-01T09:00:00Z'");
		} else {
			buf_add_byte(&b, *p);
		}
	return str_z(c->arena, buf_take(c->arena, &b));
}

static void what_the_house_keeps_goes_when_the_table_says(void **state)
{
	(void)state;
	struct world w;
	world_make(&w, NULL);
	for (size_t i = 0; i < CH_LEN(windows); i++) {
		const struct window *v = &windows[i];
		struct str count = str_fmt(w.system->arena, "SELECT count(*) FROM %s", v->table);
		struct str clear = str_fmt(w.system->arena, "DELETE FROM %s", v->table);
		fixture_sql(clear.p);
		fixture_sql(filled(w.system, v->insert));
		clock_set(WORLD_START + v->there * CLOCK_DAY);
		forget(&w, v->jobs, v->kind);
		if (fixture_int(count.p) != 1)
			fail_msg("%s is gone after %d days", v->table, v->there);
		clock_set(WORLD_START + v->gone * CLOCK_DAY);
		forget(&w, v->jobs, v->kind);
		if (fixture_int(count.p) != 0)
			fail_msg("%s is still there after %d days", v->table, v->gone);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(members_are_told_before_anything_goes),
		fixture_test(nothing_goes_unannounced_however_late_the_day_comes),
		fixture_test(no_duration_keeps_things_for_as_long_as_they_are_left),
		fixture_test(what_was_held_or_rejected_goes_sooner),
		fixture_test(a_version_that_holds_what_goes_is_withdrawn),
		fixture_test(what_the_law_holds_stays_and_is_not_asked_for_every_day),
		fixture_test(the_log_of_downloads_goes_and_says_how_much),
		fixture_test(backups_that_outlive_the_promise_are_noticed),
		fixture_test(the_checkup_can_say_what_goes_next),
		fixture_test(what_the_house_keeps_goes_when_the_table_says),
	};
	return fixture_run(tests, CH_LEN(tests));
}
