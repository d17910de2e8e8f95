/* Purging: what an erased item leaves, what goes with it, what stays, and that nothing can be guessed back (pool.h "Purging"). */
#include "pool_world.h"

#include "commonhold/keyring.h"
#include "commonhold/ledger.h"
#include "commonhold/policy.h"

#include "server/pool/pool_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define CANARY "kanarienvogel-7f3a"

static struct uuid id_of(const char *sql)
{
	struct uuid id = { { 0 } };
	assert_true(uuid_parse(str_of(fixture_text(sql)), &id));
	return id;
}

static struct uuid member_id(struct call *c, struct uuid coop)
{
	return id_of(str_z(c->arena, str_fmt(c->arena, "SELECT id::text FROM membership WHERE coop_id = '%.*s' AND account_id = '%.*s'",
		STR_ARG(uuid_format(c->arena, coop)), STR_ARG(uuid_format(c->arena, c->actor.account)))));
}

static struct pool_purged purge(struct call *s, struct uuid coop, const int64_t *items, size_t n)
{
	struct pool_purged out;
	assert_ok(s, db_begin_in(s, coop, DB_WRITE));
	assert_ok(s, pool_purge(s, coop, items, n, &out));
	assert_ok(s, db_commit(s));
	return out;
}

static void purge_one(struct uuid coop, int64_t item)
{
	struct call *s = fixture_system();
	assert_int_equal(purge(s, coop, &item, 1).purged, 1);
	fixture_end(s);
}

static void pack(struct uuid coop)
{
	struct call *c = fixture_system();
	int64_t packed;
	assert_ok(c, db_begin_in(c, coop, DB_WRITE));
	assert_ok(c, pool_pack(c, coop, &packed));
	assert_ok(c, db_commit(c));
	fixture_end(c);
}

/* Rows of any table in which a text stands; bytes are written in hex there. */
static int64_t rows_with(struct call *c, const char *needle)
{
	fixture_sql("CREATE OR REPLACE FUNCTION rows_with(needle text) RETURNS bigint LANGUAGE plpgsql AS $f$ DECLARE t text; n bigint; total bigint := 0; BEGIN "
		"FOR t IN SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname = 'public' LOOP "
		"EXECUTE format('SELECT count(*) FROM %s x WHERE position($1 IN x::text) > 0', t) INTO n USING needle; total := total + n; END LOOP; RETURN total; END $f$");
	return fixture_int(str_z(c->arena, str_fmt(c->arena, "SELECT rows_with('%s')", needle)));
}

static const char *hash_text(struct call *c, struct sha256 hash)
{
	return str_z(c->arena, sha256_hex(c->arena, hash));
}

static const struct json *full(struct call *c, const char *input)
{
	return world_json(c, str_z(c->arena, str_fmt(c->arena, "{\"kind\":\"example\",\"lang\":\"de\",\"application\":\"app " CANARY "\",\"ai_preferences\":\"train-ai=n, x=" CANARY "\","
		"\"content\":{\"input\":\"%s\"}}", input)));
}

/* ---- What goes ---- */

static void all_that_says_anything_of_an_erased_item_goes(void **state)
{
	(void)state;
	struct uuid coop = world_coop("\"moderation\":{\"mode\":\"hold\"}");
	struct call *admin = world_member(coop, "active"), *c = world_member(coop, "active");
	struct receipt gone, stays;
	struct contribution item;
	assert_ok(c, pool_submit(c, coop, full(c, "text " CANARY), &gone));
	assert_ok(c, pool_submit(c, coop, full(c, "text that stays"), &stays));
	assert_ok(admin, pool_moderate(admin, coop, gone.id, false, STR("says " CANARY), &item));
	assert_ok(admin, pool_moderate(admin, coop, stays.id, true, STR("says nothing"), &item));
	pack(coop);
	fixture_sql("UPDATE pool_segment SET dirty = false");
	assert_int_equal(fixture_int("SELECT count(*) FROM statement"), 2);
	assert_int_equal(rows_with(c, CANARY), 0); /* content, circumstances, reasons: all sealed */
	assert_int_equal(fixture_int("SELECT count(*) FROM moderation_decision WHERE sealed_reason IS NOT NULL"), 2);
	struct moderation *history;
	size_t n;
	assert_ok(c, pool_history(c, coop, gone.id, &history, &n));
	assert_str(history[n - 1].reason, "says " CANARY);
	assert_int_equal(rows_with(c, hash_text(c, gone.content_sha256)), 2); /* row and segment */
	purge_one(coop, 0);
	assert_int_equal(rows_with(c, hash_text(c, gone.content_sha256)), 0);
	assert_str(str_of(fixture_text("SELECT id::text FROM contribution WHERE item_no = 0")), str_z(c->arena, uuid_format(c->arena, gone.id)));
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution WHERE item_no = 0 AND (word & 4096) <> 0 AND more = 0 AND findings = 0 AND facts = '{}' AND sealed_facts IS NULL "
		"AND salt = '' AND bytes = 0 AND lang = 'und'"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution_content"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM statement"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM moderation_decision WHERE sealed_reason IS NOT NULL"), 1);
	assert_ok(c, pool_history(c, coop, gone.id, &history, &n));
	assert_str(history[n - 1].reason, "");
	assert_int_equal(fixture_int("SELECT count(*) FROM moderation_decision"), 4); /* decisions stay */
	/* the other one is as it was */
	struct str content;
	assert_ok(c, pool_read(c, coop, stays.id, &item, &content));
	assert_str(content, "{\"input\":\"text that stays\"}");
	assert_non_null(memmem(item.facts.p, item.facts.n, CANARY, strlen(CANARY)));
	assert_ok(c, pool_read(c, coop, gone.id, &item, &content));
	assert_str(item.status, "erased");
	assert_str(item.facts, "{}");
	assert_null(content.p);
	/* and the pool can be scanned and packed */
	pack(coop);
	assert_int_equal(rows_with(c, hash_text(c, gone.content_sha256)), 0);
}

/* Tries everything that the database holds as a salt. */
static bool commitment_is_recomputed(struct call *c, struct sha256 content, const char *commitment)
{
	const char *all = fixture_text("SELECT string_agg(t.x, '') FROM (SELECT string_agg(c::text, '') AS x FROM contribution c UNION ALL SELECT string_agg(s::text, '') FROM statement s "
		"UNION ALL SELECT string_agg(l::text, '') FROM log_leaf l UNION ALL SELECT string_agg(p::text, '') FROM pool_segment p UNION ALL SELECT string_agg(u::text, '') FROM suppression u "
		"UNION ALL SELECT string_agg(k::text, '') FROM contribution_content k) t");
	size_t n = strlen(all);
	for (size_t i = 0; i + 64 <= n; i++) {
		uint8_t salt[32];
		struct sha256 made;
		if (!str_unhex(str_make(all + i, 64), salt, 32))
			continue;
		made = ledger_commitment(salt, content);
		struct arena_mark mark = arena_mark(c->arena);
		bool same = str_is(sha256_hex(c->arena, made), commitment);
		arena_rewind(c->arena, mark);
		if (same)
			return true;
	}
	return false;
}

static void the_logs_commitment_cannot_be_recomputed(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	struct receipt r;
	assert_ok(c, pool_submit(c, coop, full(c, "guess me"), &r));
	pack(coop);
	char commitment[65] = "", preference[65] = "";
	snprintf(commitment, sizeof(commitment), "%s", fixture_text("SELECT substring(convert_from(entry, 'UTF8') FROM '\"c\":\"([0-9a-f]{64})\"') FROM log_leaf WHERE type = 'contribution.made'"));
	snprintf(preference, sizeof(preference), "%s", fixture_text("SELECT substring(convert_from(entry, 'UTF8') FROM '\"p\":\"([0-9a-f]{64})\"') FROM log_leaf WHERE type = 'contribution.made'"));
	struct sha256 said = sha256(STR("train-ai=n, x=" CANARY));
	assert_true(commitment_is_recomputed(c, r.content_sha256, commitment));
	assert_true(commitment_is_recomputed(c, said, preference));
	purge_one(coop, 0);
	pack(coop);
	assert_false(commitment_is_recomputed(c, r.content_sha256, commitment));
	assert_false(commitment_is_recomputed(c, said, preference));
}

static void purging_twice_is_purging_once(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active"), *s = fixture_system();
	for (int i = 0; i < 6; i++)
		world_submit(c, coop, i == 0 ? "a" : i == 1 ? "b" : i == 2 ? "c" : i == 3 ? "d" : i == 4 ? "e" : "f");
	const int64_t first[] = { 4, 1 }, all[] = { 0, 1, 2, 3, 4, 5, 5, 99 };
	assert_int_equal(purge(s, coop, first, 2).purged, 2);
	assert_int_equal(purge(s, coop, first, 2).purged, 0);
	assert_int_equal(purge(s, coop, all, 8).purged, 4);
	assert_int_equal(fixture_int("SELECT count(*) FROM suppression"), 6);
	assert_int_equal(fixture_int("SELECT suppressed FROM pool_head"), 6);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution_content"), 0);
}

static void items_under_legal_hold_stay_and_are_handed_back(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active"), *s = fixture_system();
	world_submit(c, coop, "a");
	world_submit(c, coop, "evidence");
	fixture_sql("UPDATE contribution SET word = word | 32768 WHERE item_no = 1");
	const int64_t both[] = { 1, 0 };
	struct pool_purged out = purge(s, coop, both, 2);
	assert_int_equal(out.purged, 1);
	assert_int_equal(out.n_held, 1);
	assert_int_equal(out.held[0], 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution_content"), 1);
	assert_err(s, ERR_STATE, pool_purge_key(s, coop, member_id(c, coop)));
}

static void the_same_by_others_stays_and_stands(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c[3] = { world_member(coop, "active"), world_member(coop, "active"), world_member(coop, "active") };
	struct contribution item;
	struct str content;
	struct receipt r[3];
	for (int i = 0; i < 3; i++)
		r[i] = world_submit(c[i], coop, "said by three");
	purge_one(coop, 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution WHERE (word & 65536) <> 0 AND item_no = 2"), 1);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution WHERE (word & 65536) <> 0"), 1);
	assert_ok(c[1], pool_read(c[1], coop, r[1].id, &item, &content));
	assert_str(content, "{\"input\":\"said by three\"}");
	assert_int_equal(fixture_int("SELECT count(*) FROM suppression"), 1);
}

/* ---- What is not taken again ---- */

struct told { int64_t gone, fresh, known, other; };

static enum err tell(void *arg, const struct verdict *v)
{
	struct told *t = arg;
	if (v->receipt)
		*(v->receipt->duplicate ? &t->known : &t->fresh) += 1;
	else
		*(v->err == ERR_GONE && str_is(str_of(v->error->reason), "erased") ? &t->gone : &t->other) += 1;
	return ERR_OK;
}

static struct told batch(struct call *c, struct uuid coop, int from, int to)
{
	struct pool_batch *b;
	struct told t = { 0 };
	char line[100];
	assert_ok(c, pool_batch_begin(c, coop, tell, &t, &b));
	for (int i = from; i < to; i++) {
		int size = snprintf(line, sizeof(line), "{\"kind\":\"example\",\"content\":{\"input\":\"line %d\"}}", i % 1000);
		assert_ok(c, pool_batch_line(b, str_make(line, (size_t)size)));
	}
	assert_ok(c, pool_batch_end(b));
	return t;
}

static void erased_content_is_refused_from_the_same_member_alone(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active"), *d = world_member(coop, "active");
	struct receipt r = world_submit(c, coop, "warm");
	assert_int_equal(batch(c, coop, 0, 10).fresh, 10);
	const int64_t some[] = { 1, 2, 3 }; /* lines 0 to 2 */
	struct call *s = fixture_system();
	assert_int_equal(purge(s, coop, some, 3).purged, 3);
	assert_err(c, ERR_GONE, pool_submit(c, coop, world_example(c, "line 1"), &r));
	assert_string_equal(c->error.reason, "erased");
	error_clear(&c->error);
	int64_t contents = fixture_int("SELECT count(*) FROM contribution_content");
	/* twice each in one batch, beside what is known and what is new */
	struct told t = batch(c, coop, 0, 20), u = batch(c, coop, 1000, 1020);
	assert_int_equal(t.gone, 3);
	assert_int_equal(t.known, 7);
	assert_int_equal(t.fresh, 10);
	assert_int_equal(u.gone, 3);
	assert_int_equal(u.known, 17);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution_content"), contents + 10);
	assert_int_equal(batch(d, coop, 0, 3).fresh, 3);
	assert_int_equal(world_submit(d, coop, "line 5").duplicate, false);
}

static void a_suppression_mark_says_nothing_without_the_instances_key(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active");
	struct receipt r = world_submit(c, coop, "low entropy");
	purge_one(coop, 0);
	struct uuid member = member_id(c, coop);
	struct str parts[3] = { str_make(coop.b, 16), str_make(member.b, 16), str_make(r.content_sha256.b, 32) };
	const char *mark = fixture_text("SELECT encode(mark, 'hex') FROM suppression");
	for (unsigned set = 1; set < 8; set++) {
		struct str some[3];
		size_t n = 0;
		for (unsigned i = 0; i < 3; i++)
			if (set >> i & 1)
				some[n++] = parts[i];
		assert_string_not_equal(mark, hash_text(c, sha256_of(some, n)));
	}
	assert_string_not_equal(mark, hash_text(c, hmac_sha256(STR("commonhold suppression v1"), parts[2])));
}

/* ---- Keys ---- */

static void a_members_key_goes_when_nothing_is_left_under_it(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active"), *s = fixture_system();
	struct seal_key key;
	bool present;
	world_submit(c, coop, "a");
	world_submit(c, coop, "b");
	struct uuid member = member_id(c, coop);
	assert_err(s, ERR_STATE, pool_purge_key(s, coop, member));
	error_clear(&s->error);
	purge_one(coop, 0);
	assert_err(s, ERR_STATE, pool_purge_key(s, coop, member));
	error_clear(&s->error);
	purge_one(coop, 1);
	assert_ok(s, pool_purge_key(s, coop, member));
	assert_ok(s, pool_purge_key(s, coop, member));
	assert_ok(s, keyring_get(s, coop, &member, 1, &key, &present));
	assert_false(present);
	assert_err(s, ERR_GONE, keyring_make(s, coop, member, &key));
}

/* ---- Backups ---- */

static void backups_expire_when_the_settings_say(void **state)
{
	(void)state;
	struct pool_backups b = pool_backups_until(0);
	assert_int_equal(b.content, 90 * CLOCK_DAY);
	assert_int_equal(b.keys, 7 * CLOCK_DAY);
}

static void shell(struct call *c, struct str command)
{
	if (system(str_z(c->arena, command)) != 0)
		fail_msg("%.*s failed", STR_ARG(command));
}

/* The keys database is one for all tests. */
static void forget_marks(void)
{
	fixture_keys_sql("DELETE FROM erased_item; DELETE FROM erased_member");
}

static void a_restored_backup_does_not_bring_erased_items_back(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active"), *d = world_member(coop, "active"), *s = fixture_system();
	struct pool_reconciled found;
	struct receipt r;
	char dump[300];
	forget_marks();
	assert_int_equal(batch(c, coop, 0, 8).fresh, 8);
	assert_int_equal(batch(d, coop, 500, 503).fresh, 3);
	snprintf(dump, sizeof(dump), "%s/backup.sql", fixture_dir());
	const char *name = fixture_text("SELECT current_database()::text");
	shell(c, str_fmt(c->arena, "pg_dump \"%s\" >%s", fixture_admin_url(name), dump));
	/* some items, and all of another member's together with the key */
	const int64_t some[] = { 2, 5 }, all_of_d[] = { 8, 9, 10 };
	assert_int_equal(purge(s, coop, some, 2).purged, 2);
	assert_int_equal(purge(s, coop, all_of_d, 3).purged, 3);
	assert_ok(s, pool_purge_key(s, coop, member_id(d, coop)));
	assert_ok(s, pool_reconcile(s, true, &found));
	assert_int_equal(found.brought_back, 0);
	assert_int_equal(found.marks, 6);
	/* the disaster */
	fixture_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
	shell(c, str_fmt(c->arena, "psql -q -v ON_ERROR_STOP=1 \"%s\" -f %s >/dev/null", fixture_admin_url(name), dump));
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution_content"), 11);
	assert_ok(s, pool_reconcile(s, true, &found));
	assert_int_equal(found.brought_back, 5 + 3); /* those of the member whose key went are found twice */
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution_content"), 11);
	/* as every server does when it starts */
	assert_string_equal(pool_jobs[0].kind, "erasure.reconcile");
	assert_ok(s, pool_jobs[0].run(s, NULL));
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution_content"), 6);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution WHERE word & 4096 <> 0 AND item_no IN (2, 5, 8, 9, 10)"), 5);
	assert_ok(s, pool_reconcile(s, true, &found));
	assert_int_equal(found.brought_back, 0);
	assert_err(c, ERR_GONE, pool_submit(c, coop, world_example(c, "line 2"), &r));
}

static void marks_go_when_no_backup_needs_them(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active"), *s = fixture_system();
	struct pool_reconciled found;
	forget_marks();
	clock_set(clock_now());
	world_submit(c, coop, "a");
	purge_one(coop, 0);
	clock_set(pool_backups_until(clock_now()).content);
	assert_ok(s, pool_reconcile(s, false, &found));
	assert_int_equal(found.marks, 1);
	clock_set(clock_now() + 2 * CLOCK_DAY);
	assert_ok(s, pool_reconcile(s, false, &found));
	assert_int_equal(found.marks, 0);
}

/* ---- From before circumstances were sealed ---- */

static void circumstances_stored_in_the_open_are_sealed(void **state)
{
	(void)state;
	struct uuid coop = world_coop("");
	struct call *c = world_member(coop, "active"), *s = fixture_system();
	struct contribution item;
	struct receipt r = world_submit(c, coop, "a");
	world_submit(c, coop, "b");
	fixture_sql("UPDATE contribution SET facts = '{\"application\":\"" CANARY "\"}', sealed_facts = NULL WHERE item_no = 0");
	assert_ok(c, pool_read(c, coop, r.id, &item, NULL));
	assert_str(item.facts, "{\"application\":\"" CANARY "\"}");
	assert_ok(s, pool_seal_open_facts(s));
	assert_int_equal(rows_with(c, CANARY), 0);
	assert_ok(c, pool_read(c, coop, r.id, &item, NULL));
	assert_str(item.facts, "{\"application\":\"" CANARY "\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(all_that_says_anything_of_an_erased_item_goes),
		fixture_test(the_logs_commitment_cannot_be_recomputed),
		fixture_test(purging_twice_is_purging_once),
		fixture_test(items_under_legal_hold_stay_and_are_handed_back),
		fixture_test(the_same_by_others_stays_and_stands),
		fixture_test(erased_content_is_refused_from_the_same_member_alone),
		fixture_test(a_suppression_mark_says_nothing_without_the_instances_key),
		fixture_test(a_members_key_goes_when_nothing_is_left_under_it),
		fixture_test(backups_expire_when_the_settings_say),
		fixture_test(a_restored_backup_does_not_bring_erased_items_back),
		fixture_test(marks_go_when_no_backup_needs_them),
		fixture_test(circumstances_stored_in_the_open_are_sealed),
	};
	return fixture_run(tests, CH_LEN(tests));
}
