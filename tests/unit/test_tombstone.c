/* The feed of tombstones: what is appended, what readers can be sure of, and what they must refuse. */
#include "world.h"

#include "commonhold/crypto.h"
#include "commonhold/json.h"
#include "commonhold/ledger.h"
#include "commonhold/tombstone.h"

#include <pthread.h>
#include <stdio.h>

static struct tombstone_draft draft(struct uuid item)
{
	return (struct tombstone_draft){ .item = item, .kind = TOMBSTONE_ERASE, .reason_code = STR("request"), .effective = WORLD_START + 17 * CLOCK_MINUTE,
		.purge_by = WORLD_START + 7 * CLOCK_DAY + 1, .until = INSTANT_NONE, .erasure = uuid_new() };
}

static int64_t append(struct call *c, struct uuid coop, const struct tombstone_draft *drafts, size_t n)
{
	int64_t first;
	assert_ok(c, db_begin_in(c, coop, DB_WRITE));
	assert_ok(c, tombstone_append(c, coop, drafts, n, &first));
	assert_ok(c, db_commit(c));
	return first;
}

static int64_t append_many(struct world *w, size_t n)
{
	struct tombstone_draft drafts[64];
	for (size_t i = 0; i < n; i++)
		drafts[i] = draft(uuid_new());
	return append(w->system, w->coop, drafts, n);
}

/* All lines, each ended, and the key and origin to read them with. */
struct feed { struct str text, origin; uint8_t key[32]; };

static struct feed feed(struct world *w)
{
	struct call *c = w->system;
	struct feed f;
	struct sign_key key;
	struct buf b;
	int64_t last;
	buf_init(&b, 16 * MIB);
	assert_ok(c, db_begin_in(c, w->coop, DB_READ));
	assert_ok(c, tombstone_lines(c, w->coop, 0, INT64_MAX, INT64_MAX, &b, &last));
	assert_ok(c, ledger_origin(c, w->coop, &f.origin));
	assert_ok(c, ledger_key(c, w->coop, &key));
	assert_ok(c, db_commit(c));
	memcpy(f.key, key.public_key, 32);
	f.text = buf_take(c->arena, &b);
	return f;
}

/* How many lines are good from the start, every one with its signature. */
static int64_t good_lines(struct arena *a, const struct feed *f, struct tombstone_chain *chain)
{
	struct str rest = str_sub(f->text, 0, f->text.n - 1), line;
	struct error e = { 0 };
	int64_t n = 0;
	*chain = tombstone_chain_start(f->origin);
	while (str_split(&rest, '\n', &line)) {
		if (tombstone_take(a, chain, line, f->key, NULL, &e) != ERR_OK)
			return n;
		n++;
	}
	return n;
}

static void the_feed_is_dense_chained_and_signed(void **state)
{
	struct world w;
	struct tombstone_chain chain;
	struct sha256 digest;
	int64_t upto;
	(void)state;
	world_make(&w, NULL);
	assert_int_equal(append_many(&w, 3), 0);
	assert_int_equal(append_many(&w, 40), 3);
	struct feed f = feed(&w);
	assert_int_equal(good_lines(w.system->arena, &f, &chain), 43);
	assert_int_equal(chain.upto, 42);
	assert_ok(w.system, db_begin_in(w.system, w.coop, DB_READ));
	assert_ok(w.system, tombstone_upto(w.system, w.coop, &upto, &digest));
	assert_ok(w.system, db_commit(w.system));
	assert_int_equal(upto, 42);
	assert_true(sha256_eq(digest, chain.digest));
	/* The log has the chain, so that the feed cannot be written afresh. */
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'tombstones.sealed'"), 0); /* not before the hour is over: it would say what came together */
	world_until(&w, WORLD_START + CLOCK_HOUR);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'tombstones.sealed'"), 1);
	const char *leaf = fixture_text("SELECT convert_from(entry, 'UTF8') FROM log_leaf WHERE type = 'tombstones.sealed'");
	assert_non_null(strstr(leaf, sha256_hex(w.system->arena, digest).p));
	assert_ok(w.system, tombstone_seal(w.system, w.coop)); /* nothing new */
	append_many(&w, 1);
	assert_ok(w.system, tombstone_seal(w.system, w.coop));
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'tombstones.sealed'"), 2);
}

static void a_line_tells_an_id_and_what_is_to_be_done_and_nothing_that_two_of_one_person_share(void **state)
{
	struct world w;
	struct tombstone_chain chain;
	struct tombstone t;
	struct error e = { 0 };
	struct str releases[] = { STR("1.0.0"), STR("1.1.0") };
	(void)state;
	world_make(&w, NULL);
	struct tombstone_draft d = draft(uuid_new());
	d.releases = releases;
	d.n_releases = 2;
	append(w.system, w.coop, &d, 1);
	struct feed f = feed(&w);
	chain = tombstone_chain_start(f.origin);
	assert_int_equal(tombstone_take(w.system->arena, &chain, str_sub(f.text, 0, f.text.n - 1), f.key, &t, &e), ERR_OK);
	struct str coop;
	struct uuid item;
	assert_true(rid_parse(t.rid, &coop, &item) && uuid_eq(item, d.item));
	assert_int_equal(t.n_releases, 2);
	assert_str(t.releases[1], "1.1.0");
	assert_str(t.reason_code, "request");
	assert_int_equal(t.t, WORLD_START - WORLD_START % CLOCK_HOUR);
	assert_int_equal(t.effective, WORLD_START + CLOCK_HOUR); /* rounded up */
	assert_int_equal(t.purge_by, WORLD_START + 7 * CLOCK_DAY + CLOCK_HOUR);
	struct str erasure = uuid_format(w.system->arena, d.erasure);
	assert_null(memmem(f.text.p, f.text.n, erasure.p, erasure.n));
}

static void every_kind_says_what_it_has_to(void **state)
{
	struct world w;
	struct tombstone_chain chain;
	struct tombstone t[4];
	struct error e = { 0 };
	(void)state;
	world_make(&w, NULL);
	struct tombstone_draft d[4];
	for (size_t i = 0; i < 4; i++) {
		d[i] = draft(uuid_new());
		d[i].kind = (enum tombstone_kind)i;
	}
	d[TOMBSTONE_EMBARGO].until = WORLD_START + 30 * CLOCK_DAY;
	d[TOMBSTONE_CORRECT].replacement = uuid_new();
	for (size_t i = 0; i < 4; i++)
		append(w.system, w.coop, &d[i], 1);
	struct feed f = feed(&w);
	struct str rest = str_sub(f.text, 0, f.text.n - 1), line;
	chain = tombstone_chain_start(f.origin);
	for (size_t i = 0; i < 4; i++) {
		assert_true(str_split(&rest, '\n', &line));
		assert_int_equal(tombstone_take(w.system->arena, &chain, line, f.key, &t[i], &e), ERR_OK);
		assert_int_equal(t[i].kind, i);
		assert_int_equal(t[i].until != INSTANT_NONE, i == TOMBSTONE_EMBARGO);
		assert_int_equal(t[i].replacement.p != NULL, i == TOMBSTONE_CORRECT);
		assert_int_equal(tombstone_purges(t[i].kind), i == TOMBSTONE_ERASE || i == TOMBSTONE_CORRECT);
	}
	/* An erasure has no end, and nothing in its place. */
	d[0].until = WORLD_START;
	d[0].erasure = uuid_new();
	assert_ok(w.system, db_begin_in(w.system, w.coop, DB_WRITE));
	assert_err(w.system, ERR_INTERNAL, tombstone_append(w.system, w.coop, d, 1, NULL));
}

static void carrying_twice_appends_once(void **state)
{
	struct world w;
	int64_t first, last, n;
	(void)state;
	world_make(&w, NULL);
	struct tombstone_draft d[3] = { draft(uuid_new()), draft(uuid_new()), draft(uuid_new()) };
	d[1].erasure = d[2].erasure = d[0].erasure;
	assert_int_equal(append(w.system, w.coop, d, 2), 0);
	assert_int_equal(append(w.system, w.coop, d, 2), -1);
	assert_int_equal(append(w.system, w.coop, d, 3), 2);
	assert_ok(w.system, db_begin_in(w.system, w.coop, DB_READ));
	assert_ok(w.system, tombstone_of_erasure(w.system, w.coop, d[0].erasure, &first, &last, &n));
	assert_int_equal(first, 0);
	assert_int_equal(last, 2);
	assert_int_equal(n, 3);
	assert_ok(w.system, tombstone_of_erasure(w.system, w.coop, uuid_new(), &first, &last, &n));
	assert_int_equal(n, 0);
	assert_int_equal(first, -1);
	assert_ok(w.system, db_commit(w.system));
}

static void the_order_of_a_request_is_not_the_order_of_its_tombstones(void **state)
{
	struct world w;
	struct tombstone_draft d[40];
	int same = 0;
	(void)state;
	world_make(&w, NULL);
	for (size_t i = 0; i < CH_LEN(d); i++)
		d[i] = draft(uuid_new());
	append(w.system, w.coop, d, CH_LEN(d));
	for (size_t i = 0; i < CH_LEN(d); i++) {
		struct str sql = str_fmt(w.system->arena, "SELECT idx FROM tombstone WHERE contribution_id = '%.*s'", STR_ARG(uuid_format(w.system->arena, d[i].item)));
		same += fixture_int(sql.p) == (int64_t)i;
	}
	assert_true(same < 20); /* one in forty is what chance leaves */
}

static void nothing_rewrites_the_feed(void **state)
{
	struct world w;
	(void)state;
	world_make(&w, NULL);
	append_many(&w, 2);
	assert_int_equal(fixture_int("SELECT has_table_privilege('commonhold_app', 'tombstone', 'UPDATE, DELETE, TRUNCATE')::int"), 0);
	assert_int_equal(fixture_int("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'tombstone'::regclass AND NOT tgisinternal"), 1);
}

static void a_rolled_back_append_leaves_no_gap(void **state)
{
	struct world w;
	struct tombstone_chain chain;
	(void)state;
	world_make(&w, NULL);
	append_many(&w, 2);
	struct tombstone_draft d = draft(uuid_new());
	assert_ok(w.system, db_begin_in(w.system, w.coop, DB_WRITE));
	assert_ok(w.system, tombstone_append(w.system, w.coop, &d, 1, NULL));
	db_rollback(w.system);
	assert_int_equal(append_many(&w, 2), 2);
	struct feed f = feed(&w);
	assert_int_equal(good_lines(w.system->arena, &f, &chain), 4);
}

struct appender { struct call *call; struct uuid coop; int rounds; };

static void *append_run(void *arg)
{
	struct appender *a = arg;
	for (int i = 0; i < a->rounds; i++) {
		struct tombstone_draft d[3] = { draft(uuid_new()), draft(uuid_new()), draft(uuid_new()) };
		if (db_begin_in(a->call, a->coop, DB_WRITE) != ERR_OK || tombstone_append(a->call, a->coop, d, 3, NULL) != ERR_OK)
			return NULL;
		if (i % 3 == 0)
			db_rollback(a->call);
		else if (db_commit(a->call) != ERR_OK)
			return NULL;
	}
	return a;
}

static void appending_at_once_keeps_the_chain(void **state)
{
	struct world w;
	struct tombstone_chain chain;
	pthread_t threads[4];
	struct appender a[4];
	(void)state;
	world_make(&w, NULL);
	for (size_t i = 0; i < 4; i++) {
		a[i] = (struct appender){ fixture_system(), w.coop, 12 };
		assert_int_equal(pthread_create(&threads[i], NULL, append_run, &a[i]), 0);
	}
	for (size_t i = 0; i < 4; i++) {
		void *done;
		pthread_join(threads[i], &done);
		assert_non_null(done);
	}
	struct feed f = feed(&w);
	assert_int_equal(good_lines(w.system->arena, &f, &chain), 4 * 8 * 3);
	assert_int_equal(chain.upto, 4 * 8 * 3 - 1);
}

/* ---- what a reader refuses ---- */

static enum err take(struct world *w, const struct feed *f, struct tombstone_chain chain, struct str line)
{
	struct error e = { 0 };
	struct tombstone_chain before = chain;
	enum err code = tombstone_take(w->system->arena, &chain, line, f->key, NULL, &e);
	if (code != ERR_OK) {
		assert_true(e.message[0] != '\0');
		assert_true(chain.upto == before.upto && sha256_eq(chain.digest, before.digest));
	}
	return code;
}

static void a_forged_repeated_reordered_or_cut_feed_is_refused(void **state)
{
	struct world w;
	struct str line[3], rest;
	struct sign_key other;
	struct error e = { 0 };
	(void)state;
	world_make(&w, NULL);
	append_many(&w, 3);
	struct feed f = feed(&w);
	struct arena *a = w.system->arena;
	rest = f.text;
	for (size_t i = 0; i < 3; i++)
		assert_true(str_split(&rest, '\n', &line[i]));
	struct tombstone_chain start = tombstone_chain_start(f.origin), one = start;
	assert_int_equal(tombstone_take(a, &one, line[0], f.key, NULL, &e), ERR_OK);
	assert_int_equal(take(&w, &f, start, line[1]), ERR_CORRUPT);   /* the first left out */
	assert_int_equal(take(&w, &f, one, line[0]), ERR_CORRUPT);     /* once more */
	assert_int_equal(take(&w, &f, one, line[2]), ERR_CORRUPT);     /* one left out */
	assert_int_equal(take(&w, &f, tombstone_chain_start(STR("another.example/coop/x")), line[0]), ERR_CORRUPT);
	for (size_t i = 0; i < line[0].n; i++) {                       /* any byte */
		char *copy = memcpy(arena_alloc(a, line[0].n), line[0].p, line[0].n);
		copy[i] ^= 1;
		if (take(&w, &f, start, str_make(copy, line[0].n)) == ERR_OK)
			fail_msg("byte %zu may be changed", i);
	}
	for (size_t n = 0; n < line[0].n; n += 7)                      /* any length */
		assert_int_equal(take(&w, &f, start, str_sub(line[0], 0, n)), ERR_CORRUPT);
	sign_key_new(&other);
	struct feed theirs = f;
	memcpy(theirs.key, other.public_key, 32);
	assert_int_equal(take(&w, &theirs, start, line[0]), ERR_CORRUPT);
	assert_int_equal(take(&w, &f, start, line[0]), ERR_OK);
}

/* Signed by the co-op's own key, and still no tombstone. */
static void what_is_signed_but_says_too_much_or_too_little_is_refused(void **state)
{
	static const char *const bad[] = {
		/* This one is right, so that the others are seen to be wrong in what they say. */
		"{\"effective\":\"2026-01-01T10:00:00Z\",\"idx\":0,\"kind\":\"erase\",\"prev\":\"#\",\"purge_by\":\"2026-01-08T10:00:00Z\",\"reason_code\":\"request\",\"releases\":[],\"rid\":[\"#\"]|,\"t\":\"2026-01-01T09:00:00Z\"}",
		"{\"effective\":\"2026-01-01T10:00:00Z\",\"idx\":0,\"kind\":\"erase\",\"name\":\"Ada\",\"prev\":\"#\",\"purge_by\":\"2026-01-08T10:00:00Z\",\"reason_code\":\"request\",\"releases\":[],\"rid\":[\"#\"]|,\"t\":\"2026-01-01T09:00:00Z\"}",
		"{\"effective\":\"2026-01-01T10:00:00Z\",\"idx\":0,\"kind\":\"forget\",\"prev\":\"#\",\"purge_by\":\"2026-01-08T10:00:00Z\",\"reason_code\":\"request\",\"releases\":[],\"rid\":[\"#\"]|,\"t\":\"2026-01-01T09:00:00Z\"}",
		"{\"effective\":\"2026-01-01T10:00:00Z\",\"idx\":0,\"kind\":\"erase\",\"prev\":\"#\",\"purge_by\":\"2026-01-08T10:00:00Z\",\"reason_code\":\"Please forget me\",\"releases\":[],\"rid\":[\"#\"]|,\"t\":\"2026-01-01T09:00:00Z\"}",
		"{\"effective\":\"2026-01-01T10:00:00Z\",\"idx\":0,\"kind\":\"erase\",\"prev\":\"#\",\"purge_by\":\"2026-01-08T10:00:00Z\",\"reason_code\":\"request\",\"rid\":[\"#\"]|,\"t\":\"2026-01-01T09:00:00Z\"}",
		"{\"effective\":\"2026-01-01T10:00:00Z\",\"idx\":0,\"kind\":\"erase\",\"prev\":\"#\",\"purge_by\":\"2026-01-08T10:00:00Z\",\"reason_code\":\"request\",\"releases\":[],\"rid\":[\"#\",\"dc:x:y\"]|,\"t\":\"2026-01-01T09:00:00Z\"}",
		"{\"effective\":\"soon\",\"idx\":0,\"kind\":\"erase\",\"prev\":\"#\",\"purge_by\":\"2026-01-08T10:00:00Z\",\"reason_code\":\"request\",\"releases\":[],\"rid\":[\"#\"]|,\"t\":\"2026-01-01T09:00:00Z\"}",
		"{\"effective\":\"2026-01-01T10:00:00Z\",\"idx\":0,\"kind\":\"embargo\",\"prev\":\"#\",\"purge_by\":\"2026-01-08T10:00:00Z\",\"reason_code\":\"request\",\"releases\":[],\"rid\":[\"#\"]|,\"t\":\"2026-01-01T09:00:00Z\"}",
	};
	struct arena *a = arena_new(16 * MIB);
	struct sign_key key;
	struct error e = { 0 };
	uint8_t signature[64];
	(void)state;
	assert_true(crypto_start());
	sign_key_new(&key);
	struct str origin = STR("test.example/coop/abcdefghijklmnop");
	for (size_t i = 0; i < CH_LEN(bad); i++) {
		struct tombstone_chain chain = tombstone_chain_start(origin);
		struct str rest = str_of(bad[i]), head, part[2];
		assert_true(str_split(&rest, '|', &head) && str_split(&head, '#', &part[0]) && str_split(&head, '#', &part[1]));
		head = str_cat(a, part[0], sha256_hex(a, chain.digest), part[1], STR("dc:abcdefghijklmnop:00000000-0000-4000-8000-000000000000"), head);
		sign_bytes(&key, str_fmt(a, "commonhold/tombstone/1\n%.*s%.*s", STR_ARG(head), STR_ARG(rest)), signature);
		struct str line = str_fmt(a, "%.*s,\"sig\":\"%.*s\"%.*s", STR_ARG(head), STR_ARG(str_base64(a, signature, 64)), STR_ARG(rest));
		if (tombstone_take(a, &chain, line, key.public_key, NULL, &e) != (i ? ERR_CORRUPT : ERR_OK))
			fail_msg("%s: %.*s", i ? "taken" : e.message, STR_ARG(line));
	}
	arena_free(a);
}

static void the_head_shows_an_old_feed_and_another_one(void **state)
{
	struct world w;
	struct str old, new;
	struct tombstone_head head;
	struct tombstone_chain chain;
	struct error e = { 0 };
	int64_t upto;
	(void)state;
	world_make(&w, NULL);
	assert_ok(w.system, tombstone_head(w.system, w.coop, &old, &upto, NULL));
	assert_int_equal(upto, -1);
	append_many(&w, 5);
	assert_ok(w.system, tombstone_head(w.system, w.coop, &new, &upto, NULL));
	assert_int_equal(upto, 4);
	struct feed f = feed(&w);
	struct arena *a = w.system->arena;
	assert_int_equal(good_lines(a, &f, &chain), 5);
	assert_int_equal(tombstone_head_read(a, new, f.key, f.origin, &head, &e), ERR_OK);
	assert_int_equal(head.upto, 4);
	assert_true(head.expires > head.created);
	assert_int_equal(tombstone_head_fits(&head, &chain, &e), ERR_OK);
	chain.digest.b[7] ^= 1;
	assert_int_equal(tombstone_head_fits(&head, &chain, &e), ERR_CORRUPT);
	chain.digest.b[7] ^= 1;
	struct tombstone_chain part = { .upto = 2 };
	assert_int_equal(tombstone_head_fits(&head, &part, &e), ERR_OK); /* more to come */
	assert_int_equal(tombstone_head_read(a, old, f.key, f.origin, &head, &e), ERR_OK);
	assert_int_equal(tombstone_head_fits(&head, &chain, &e), ERR_CORRUPT);
	assert_int_equal(tombstone_head_read(a, new, f.key, STR("test.example/coop/other"), &head, &e), ERR_CORRUPT);
	f.key[3] ^= 1;
	assert_true(tombstone_head_read(a, new, f.key, f.origin, &head, &e) != ERR_OK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(the_feed_is_dense_chained_and_signed),
		fixture_test(a_line_tells_an_id_and_what_is_to_be_done_and_nothing_that_two_of_one_person_share),
		fixture_test(every_kind_says_what_it_has_to),
		fixture_test(carrying_twice_appends_once),
		fixture_test(the_order_of_a_request_is_not_the_order_of_its_tombstones),
		fixture_test(nothing_rewrites_the_feed),
		fixture_test(a_rolled_back_append_leaves_no_gap),
		fixture_test(appending_at_once_keeps_the_chain),
		fixture_test(a_forged_repeated_reordered_or_cut_feed_is_refused),
		cmocka_unit_test(what_is_signed_but_says_too_much_or_too_little_is_refused),
		fixture_test(the_head_shows_an_old_feed_and_another_one),
	};
	return fixture_run(tests, CH_LEN(tests));
}
