/* The log in the database: order, atomicity, tiles, proofs and checkpoints, held against the pure functions; and the keyrings. */
#include "commonhold/json.h"
#include "commonhold/keyring.h"
#include "commonhold/ledger.h"
#include "commonhold/limits.h"
#include "server/ledger/secret_cache.h"

#include "fixture.h"

#include <pthread.h>

static struct instance_keys *keys;
static struct uuid coop;
static uint8_t public_key[32];

/* A co-op's log, opened as founding does. */
static struct call *log_opened(void)
{
	struct error e = { 0 };
	struct call *c = fixture_call();
	if (!keys) {
		assert_true(crypto_start());
		assert_int_equal(instance_keys_open(str_z(c->arena, str_fmt(c->arena, "%s/keys", fixture_dir())), &keys, &e), ERR_OK);
		instance_keys_use(keys);
	}
	ledger_use_host("commonhold.example");
	keyring_forget();
	coop = uuid_new();
	assert_ok(c, db_begin_in(c, coop, DB_WRITE));
	assert_ok(c, ledger_key_new(c, coop, public_key));
	assert_ok(c, db_commit(c));
	return c;
}

static int64_t append(struct call *c, const char *type, const char *data)
{
	int64_t index = -1;
	struct leaf leaf = { .type = type, .data = str_of(data) };
	assert_ok(c, db_begin_in(c, coop, DB_WRITE));
	assert_ok(c, ledger_append(c, coop, &leaf, &index));
	assert_ok(c, db_commit(c));
	return index;
}

static void append_many(struct call *c, size_t n)
{
	int64_t first;
	struct str *data = ARENA_ARRAY(c->arena, n ? n : 1, struct str);
	for (size_t i = 0; i < n; i++)
		data[i] = str_fmt(c->arena, "{\"rid\":\"%zu\"}", i);
	assert_ok(c, db_begin_in(c, coop, DB_WRITE));
	assert_ok(c, ledger_append_many(c, coop, "contribution.received", data, n, &first));
	assert_ok(c, db_commit(c));
}

/* All leaf hashes as recomputed from the entries. */
static struct sha256 *recomputed(struct call *c, size_t *n)
{
	struct log_entry *entries;
	int64_t before = INT64_MAX;
	size_t got, total = (size_t)fixture_int("SELECT count(*) FROM log_leaf");
	struct sha256 *hashes = ARENA_ARRAY(c->arena, total + 1, struct sha256);
	assert_ok(c, db_begin_in(c, coop, DB_READ));
	do {
		assert_ok(c, ledger_entries(c, coop, before, 5000, &entries, &got));
		for (size_t i = 0; i < got; i++) {
			struct sha256 h = merkle_leaf(entries[i].entry);
			assert_memory_equal(&h, &entries[i].hash, 32);
			hashes[entries[i].index] = h;
			before = entries[i].index;
		}
	} while (got);
	assert_ok(c, db_commit(c));
	*n = total;
	return hashes;
}

/* In two ways of appending the same facts make the same log: entries, tiles and head. */
static void canonical_facts_make_the_same_log(void **state)
{
	(void)state;
	static const size_t sizes[] = { 1, 200, 55, 1, 4096, 300, 5000, 0, 7 };
	struct str logs[2];
	for (int way = 0; way < 2; way++) {
		struct call *c = log_opened();
		clock_set(INT64_C(1795255200) * CLOCK_SECOND);
		for (size_t k = 0; k < CH_LEN(sizes); k++) {
			struct str *data = ARENA_ARRAY(c->arena, sizes[k] + 1, struct str);
			struct ledger_place *place;
			int64_t first;
			for (size_t i = 0; i < sizes[k]; i++)
				data[i] = str_fmt(c->arena, "{\"rid\":\"%zu\"}", i + k * 10000);
			assert_ok(c, db_begin_in(c, coop, DB_WRITE));
			if (way) {
				assert_ok(c, ledger_ask_lock(c, coop, &place));
				assert_ok(c, ledger_ask_tail(c, coop, place));
				assert_ok(c, db_wait(c));
				assert_ok(c, ledger_place_next(c, place, &first));
				assert_ok(c, ledger_append_canonical(c, coop, place, "contribution.made", data, sizes[k]));
			} else {
				assert_ok(c, ledger_append_many(c, coop, "contribution.made", data, sizes[k], &first));
			}
			assert_ok(c, db_commit(c));
		}
		const char *log = fixture_text(str_z(c->arena, str_fmt(c->arena, "SELECT (SELECT md5(string_agg(md5(entry) || md5(hash), ',' ORDER BY idx)) || count(*) FROM log_leaf WHERE coop_id = '%.*s') "
			"|| (SELECT md5(string_agg(level || ' ' || n || md5(root) || md5(hashes), ',' ORDER BY level, n)) || count(*) FROM log_tile WHERE coop_id = '%.*s') "
			"|| (SELECT size || md5(frontier) FROM log_head WHERE coop_id = '%.*s')",
			STR_ARG(uuid_format(c->arena, coop)), STR_ARG(uuid_format(c->arena, coop)), STR_ARG(uuid_format(c->arena, coop)))));
		static char kept[2][400];
		snprintf(kept[way], sizeof(kept[way]), "%s", log);
		logs[way] = str_of(kept[way]);
	}
	assert_true(logs[0].n > 100);
	assert_string_equal(logs[0].p, logs[1].p);
}

static void a_leaf_is_canonical_json_of_when_what_and_who(void **state)
{
	(void)state;
	struct call *c = log_opened();
	struct log_entry *entries;
	size_t n;
	int64_t index;
	struct uuid member = uuid_new();
	clock_set(INT64_C(1795255200) * CLOCK_SECOND);
	struct leaf leaf = { .type = "statement.made", .data = STR(" { \"z\": 1, \"a\" : \"\\u0041\" } "), .by = member };
	assert_ok(c, db_begin_in(c, coop, DB_WRITE));
	assert_ok(c, ledger_append(c, coop, &leaf, &index));
	assert_ok(c, db_commit(c));
	assert_int_equal(append(c, "coop.founded", "{}"), 1);
	assert_ok(c, db_begin_in(c, coop, DB_READ));
	assert_ok(c, ledger_entries(c, coop, INT64_MAX, 10, &entries, &n));
	assert_ok(c, db_commit(c));
	assert_int_equal(n, 2);
	assert_str(entries[0].entry, "{\"at\":\"2026-11-21T10:00:00Z\",\"data\":{},\"t\":\"coop.founded\"}");
	struct str by = uuid_format(c->arena, member);
	assert_str(entries[1].entry, str_z(c->arena, str_fmt(c->arena, "{\"at\":\"2026-11-21T10:00:00Z\",\"by\":\"%.*s\",\"data\":{\"a\":\"A\",\"z\":1},\"t\":\"statement.made\"}", STR_ARG(by))));
	assert_true(str_is(entries[1].type, "statement.made"));
	assert_int_equal(entries[1].at, clock_now());
}

static void what_is_no_object_or_too_long_is_no_leaf(void **state)
{
	(void)state;
	struct call *c = log_opened();
	int64_t index;
	char *big = arena_alloc(c->arena, 40000);
	memset(big, 'x', 40000);
	static const char *const bad[] = { "", "[]", "1", "{", "{\"a\":1,\"a\":2}", "{} {}" };
	for (size_t i = 0; i < CH_LEN(bad); i++) {
		struct leaf leaf = { .type = "a.b", .data = str_of(bad[i]) };
		assert_ok(c, db_begin_in(c, coop, DB_WRITE));
		assert_err(c, ERR_INVALID, ledger_append(c, coop, &leaf, &index));
	}
	struct leaf leaf = { .type = "a.b", .data = str_fmt(c->arena, "{\"a\":\"%.*s\"}", 40000, big) };
	assert_ok(c, db_begin_in(c, coop, DB_WRITE));
	assert_err(c, ERR_TOO_LARGE, ledger_append(c, coop, &leaf, &index));
	assert_int_equal(fixture_int("SELECT size FROM log_head"), 0);
}

static void an_append_that_is_rolled_back_leaves_nothing(void **state)
{
	(void)state;
	struct call *c = log_opened();
	int64_t index;
	struct leaf leaf = { .type = "a.b", .data = STR("{}") };
	append(c, "a.b", "{}");
	assert_ok(c, db_begin_in(c, coop, DB_WRITE));
	assert_ok(c, ledger_append(c, coop, &leaf, &index));
	assert_int_equal(index, 1);
	db_rollback(c);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf"), 1);
	assert_int_equal(fixture_int("SELECT size FROM log_head"), 1);
	assert_int_equal(append(c, "a.b", "{}"), 1);
}

static void a_log_cannot_be_changed_or_shortened(void **state)
{
	(void)state;
	struct call *c = log_opened();
	append_many(c, 300);
	static const char *const attempts[] = { "UPDATE log_leaf SET hash = hash", "DELETE FROM log_leaf", "TRUNCATE log_leaf", "UPDATE log_tile SET root = root", "DELETE FROM log_tile",
		"UPDATE log_head SET size = 0, frontier = ''", "DELETE FROM log_head", "UPDATE log_head SET origin = 'other'" };
	for (size_t i = 0; i < CH_LEN(attempts); i++) {
		/* even past row-level security, as the superuser */
		char sql[512];
		snprintf(sql, sizeof(sql), "DO $$ BEGIN %s; RAISE 'it was possible' USING ERRCODE = 'ZZ001'; EXCEPTION WHEN SQLSTATE 'CH001' THEN NULL; END $$", attempts[i]);
		fixture_sql(sql);
	}
}

static void another_coops_log_is_not_seen(void **state)
{
	(void)state;
	struct call *c = log_opened();
	append(c, "a.b", "{}");
	struct uuid other = uuid_new();
	struct log_entry *entries;
	size_t n;
	int64_t size;
	struct sha256 root;
	assert_ok(c, db_begin_in(c, other, DB_READ));
	assert_ok(c, ledger_entries(c, other, INT64_MAX, 10, &entries, &n));
	assert_int_equal(n, 0);
	assert_err(c, ERR_NOT_FOUND, ledger_head(c, other, &size, &root));
	assert_ok(c, db_begin_in(c, other, DB_READ));
	assert_err(c, ERR_INTERNAL, ledger_head(c, coop, &size, &root));
}

#define WRITERS 4
#define EACH 40

static void *write_leaves(void *arg)
{
	struct call *c = arg;
	for (int i = 0; i < EACH; i++) {
		int64_t index;
		struct leaf leaf = { .type = "a.b", .data = STR("{\"x\":1}") };
		if (db_begin_in(c, coop, DB_WRITE) || ledger_append(c, coop, &leaf, &index))
			return arg;
		if (i % 5 == 4)
			db_rollback(c);
		else if (db_commit(c))
			return arg;
	}
	return NULL;
}

static void concurrent_appends_are_gapless_and_in_order(void **state)
{
	(void)state;
	struct call *c = log_opened();
	pthread_t threads[WRITERS];
	for (size_t i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, write_leaves, fixture_call()), 0);
	for (size_t i = 0; i < WRITERS; i++) {
		void *failed;
		pthread_join(threads[i], &failed);
		assert_null(failed);
	}
	int64_t total = WRITERS * EACH * 4 / 5;
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf"), total);
	assert_int_equal(fixture_int("SELECT max(idx) + 1 FROM log_leaf"), total);
	assert_int_equal(fixture_int("SELECT size FROM log_head"), total);
	assert_int_equal(fixture_int("SELECT count(*) FROM (SELECT at < lag(at) OVER (ORDER BY idx) AS back FROM log_leaf) x WHERE back"), 0);
	size_t n;
	int64_t size;
	struct sha256 root, *hashes = recomputed(c, &n), expected = merkle_root(hashes, n);
	assert_ok(c, db_begin_in(c, coop, DB_READ));
	assert_ok(c, ledger_head(c, coop, &size, &root));
	assert_ok(c, db_commit(c));
	assert_memory_equal(&root, &expected, 32);
}

/* Sizes around the edges of tiles. */
static void fill(struct call *c)
{
	static const size_t steps[] = { 0, 1, 1, 253, 1, 1, 255, 257, 3000, 1, 9000, 53000, 17, 8 };
	for (size_t i = 0; i < CH_LEN(steps); i++)
		append_many(c, steps[i]);
}

static enum err from_hashes(void *arg, unsigned level, uint64_t index, struct sha256 *out)
{
	*out = merkle_root((const struct sha256 *)arg + (index << level), UINT64_C(1) << level);
	return ERR_OK;
}

static void tiles_equal_recomputed_hashes(void **state)
{
	(void)state;
	struct call *c = log_opened();
	size_t n;
	fill(c);
	struct sha256 *hashes = recomputed(c, &n);
	assert_ok(c, db_begin_in(c, coop, DB_READ));
	for (unsigned level = 0; level < 3; level++) {
		uint64_t width = (uint64_t)n >> (8 * level);
		for (uint64_t tile = 0; tile * 256 < width; tile += level || tile < 3 || (tile + 2) * 256 > width ? 1 : 61) {
			struct tile_path p = { false, level, tile, (tile + 1) * 256 <= width ? 256 : (unsigned)(width % 256) };
			struct str bytes;
			assert_ok(c, ledger_tile(c, coop, p, &bytes));
			assert_int_equal(bytes.n, p.width * 32);
			for (unsigned i = 0; i < p.width; i++) {
				struct sha256 h;
				from_hashes(hashes, 8 * level, tile * 256 + i, &h);
				assert_memory_equal(bytes.p + (size_t)i * 32, &h, 32);
			}
		}
	}
	assert_true(n > 65536);
	assert_ok(c, db_commit(c));
}

static void partial_tiles_are_prefixes_and_tiles_ahead_are_not_there(void **state)
{
	(void)state;
	struct call *c = log_opened();
	struct str whole, part;
	append_many(c, 600);
	assert_ok(c, db_begin_in(c, coop, DB_READ));
	assert_ok(c, ledger_tile(c, coop, (struct tile_path){ false, 0, 1, 256 }, &whole));
	assert_ok(c, ledger_tile(c, coop, (struct tile_path){ false, 0, 1, 7 }, &part));
	assert_int_equal(part.n, 7 * 32);
	assert_memory_equal(part.p, whole.p, part.n);
	assert_ok(c, ledger_tile(c, coop, (struct tile_path){ false, 1, 0, 2 }, &part));
	assert_ok(c, db_commit(c));
	static const struct tile_path ahead[] = { { false, 0, 2, 256 }, { false, 0, 2, 89 }, { false, 1, 0, 3 }, { false, 2, 0, 1 }, { false, 0, 3, 1 }, { true, 0, 2, 89 }, { true, 0, 2, 256 },
		{ false, 63, 0, 1 }, { false, 8, 0, 256 }, { false, 0, 999999999999999999u, 256 } };
	for (size_t i = 0; i < CH_LEN(ahead); i++) {
		assert_ok(c, db_begin_in(c, coop, DB_READ));
		assert_err(c, ERR_NOT_FOUND, ledger_tile(c, coop, ahead[i], &part));
	}
}

static void bundles_hold_the_entries_behind_the_hashes(void **state)
{
	(void)state;
	struct call *c = log_opened();
	struct str bundle, tile;
	append_many(c, 300);
	for (unsigned k = 0; k < 2; k++) {
		struct tile_path p = { true, 0, k, k ? 44 : 256 }, same = { false, 0, k, p.width };
		assert_ok(c, db_begin_in(c, coop, DB_READ));
		assert_ok(c, ledger_tile(c, coop, p, &bundle));
		assert_ok(c, ledger_tile(c, coop, same, &tile));
		assert_ok(c, db_commit(c));
		for (unsigned i = 0; i < p.width; i++) {
			size_t n = (size_t)(uint8_t)bundle.p[0] << 8 | (uint8_t)bundle.p[1];
			struct sha256 h = merkle_leaf(str_sub(bundle, 2, n));
			assert_memory_equal(tile.p + (size_t)i * 32, &h, 32);
			bundle = str_sub(bundle, 2 + n, bundle.n);
		}
		assert_int_equal(bundle.n, 0);
	}
}

static void every_proof_of_inclusion_leads_to_the_signed_root(void **state)
{
	(void)state;
	struct call *c = log_opened();
	fill(c);
	int64_t size = fixture_int("SELECT size FROM log_head");
	struct str origin;
	for (int64_t i = 0; i < size; i += i < 3 || i > size - 4 ? 1 : 1553) {
		struct str text;
		struct tlog_proof proof;
		struct sha256 root;
		uint64_t signed_size;
		struct arena_mark mark = arena_mark(c->arena);
		assert_ok(c, db_begin_in(c, coop, DB_READ));
		assert_ok(c, ledger_origin(c, coop, &origin));
		assert_ok(c, ledger_prove_inclusion(c, coop, i, &text));
		assert_ok(c, db_commit(c));
		assert_ok(c, tlog_proof_read(c->arena, text, &proof, &c->error));
		assert_ok(c, checkpoint_verify(c->arena, proof.checkpoint, origin, public_key, &signed_size, &root, &c->error));
		assert_int_equal(signed_size, size);
		assert_int_equal(proof.index, i);
		assert_true(merkle_inclusion_ok(merkle_leaf(proof.entry), proof.index, signed_size, proof.path, proof.n, root));
		arena_rewind(c->arena, mark);
	}
	struct str text;
	assert_ok(c, db_begin_in(c, coop, DB_READ));
	assert_err(c, ERR_NOT_FOUND, ledger_prove_inclusion(c, coop, size, &text));
	assert_ok(c, db_begin_in(c, coop, DB_READ));
	assert_err(c, ERR_NOT_FOUND, ledger_prove_inclusion(c, coop, -1, &text));
}

static void any_two_sizes_are_consistent(void **state)
{
	(void)state;
	struct call *c = log_opened();
	size_t n, path_n;
	struct sha256 *path;
	append_many(c, 1500);
	struct sha256 *hashes = recomputed(c, &n);
	uint64_t seed = (uint64_t)clock_tick() | 1;
	print_message("seed %llu\n", (unsigned long long)seed);
	assert_ok(c, db_begin_in(c, coop, DB_READ));
	for (int i = 0; i < 300; i++) {
		struct arena_mark mark = arena_mark(c->arena);
		seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
		uint64_t to = seed % (n + 1), from = to ? (seed >> 32) % (to + 1) : 0;
		assert_ok(c, ledger_prove_consistency(c, coop, (int64_t)from, (int64_t)to, &path, &path_n));
		assert_true(merkle_consistency_ok(from, merkle_root(hashes, from), to, merkle_root(hashes, to), path, path_n));
		arena_rewind(c->arena, mark);
	}
	assert_ok(c, db_commit(c));
	assert_ok(c, db_begin_in(c, coop, DB_READ));
	assert_err(c, ERR_NOT_FOUND, ledger_prove_consistency(c, coop, 5, 4, &path, &path_n));
	assert_ok(c, db_begin_in(c, coop, DB_READ));
	assert_err(c, ERR_NOT_FOUND, ledger_prove_consistency(c, coop, 5, 1501, &path, &path_n));
}

static void a_proof_takes_few_queries_however_long_the_log(void **state)
{
	(void)state;
	struct call *c = log_opened();
	struct str text;
	append_many(c, 70000);
	assert_ok(c, db_begin_in(c, coop, DB_READ));
	int before = c->queries;
	assert_ok(c, ledger_prove_inclusion(c, coop, 12345, &text));
	assert_true(c->queries - before <= 10);
	assert_ok(c, db_commit(c));
}

static void an_empty_log_has_a_checkpoint(void **state)
{
	(void)state;
	struct call *c = log_opened();
	struct str note;
	uint64_t size;
	struct sha256 root, empty = sha256(STR(""));
	assert_ok(c, ledger_checkpoint(c, coop, &note));
	struct str name = coop_key_name(c->arena, public_key), origin = str_fmt(c->arena, "commonhold.example/coop/%.*s", STR_ARG(name));
	assert_ok(c, checkpoint_verify(c->arena, note, origin, public_key, &size, &root, &c->error));
	assert_int_equal(size, 0);
	assert_memory_equal(&root, &empty, 32);
}

static void founding_again_after_a_rollback_finds_the_same_key(void **state)
{
	(void)state;
	struct call *c = log_opened();
	uint8_t first[32], second[32];
	coop = uuid_new();
	assert_ok(c, db_begin_in(c, coop, DB_WRITE));
	assert_ok(c, ledger_key_new(c, coop, first));
	db_rollback(c);
	assert_ok(c, db_begin_in(c, coop, DB_WRITE));
	assert_ok(c, ledger_key_new(c, coop, second));
	assert_ok(c, db_commit(c));
	assert_memory_equal(first, second, 32);
	struct sign_key key;
	assert_ok(c, ledger_key(c, coop, &key));
	assert_memory_equal(key.public_key, first, 32);
}

static void a_signing_key_of_another_coop_does_not_open(void **state)
{
	(void)state;
	struct call *c = log_opened();
	struct sign_key key;
	char sql[512];
	struct uuid other = coop;
	c = log_opened();
	struct str mine = uuid_format(c->arena, coop), theirs = uuid_format(c->arena, other);
	snprintf(sql, sizeof(sql), "UPDATE coop_key SET wrapped_seed = (SELECT wrapped_seed FROM coop_key WHERE coop_id = '%.*s') WHERE coop_id = '%.*s'", STR_ARG(mine), STR_ARG(theirs));
	fixture_keys_sql(sql);
	c = fixture_call();
	assert_int_equal(ledger_key(c, other, &key), ERR_CORRUPT);
	struct uuid nobody = uuid_new();
	assert_int_equal(ledger_key(c, nobody, &key), ERR_NOT_FOUND);
}

/* --- members' keys --- */

static void a_member_keeps_one_key(void **state)
{
	(void)state;
	struct call *c = log_opened();
	struct uuid member = uuid_new(), other = uuid_new();
	struct seal_key first, again, fetched[3];
	assert_ok(c, keyring_make(c, coop, member, &first));
	assert_ok(c, keyring_make(c, coop, member, &again));
	assert_memory_equal(&first, &again, 32);
	assert_ok(c, keyring_make(c, coop, other, &again));
	assert_memory_not_equal(&first, &again, 32);
	keyring_forget();
	struct uuid wanted[3] = { member, other, member };
	assert_ok(c, keyring_get(c, coop, wanted, 3, fetched, NULL));
	assert_memory_equal(&fetched[0], &first, 32);
	assert_memory_equal(&fetched[1], &again, 32);
	assert_memory_equal(&fetched[2], &first, 32);
}

static void the_stored_key_is_wrapped_and_bound_to_its_member(void **state)
{
	(void)state;
	struct call *c = log_opened();
	struct uuid member = uuid_new(), other = uuid_new();
	struct seal_key a, b;
	char sql[512];
	assert_ok(c, keyring_make(c, coop, member, &a));
	assert_ok(c, keyring_make(c, coop, other, &b));
	struct str from = uuid_format(c->arena, member), to = uuid_format(c->arena, other);
	snprintf(sql, sizeof(sql), "UPDATE member_key SET wrapped = (SELECT wrapped FROM member_key WHERE member_id = '%.*s') WHERE member_id = '%.*s'", STR_ARG(from), STR_ARG(to));
	fixture_keys_sql(sql);
	keyring_forget();
	assert_int_equal(keyring_get(c, coop, &other, 1, &b, NULL), ERR_CORRUPT);
	assert_ok(c, keyring_get(c, coop, &member, 1, &b, NULL));
}

static void a_destroyed_key_is_gone_for_ever(void **state)
{
	(void)state;
	struct call *c = log_opened();
	struct uuid members[2] = { uuid_new(), uuid_new() };
	struct seal_key out[2];
	bool present[2];
	assert_ok(c, keyring_make(c, coop, members[0], &out[0]));
	assert_ok(c, keyring_make(c, coop, members[1], &out[1]));
	assert_ok(c, keyring_destroy(c, coop, members[0]));
	assert_ok(c, keyring_destroy(c, coop, members[0]));
	assert_ok(c, keyring_get(c, coop, members, 2, out, present));
	assert_false(present[0]);
	assert_true(present[1]);
	assert_int_equal(keyring_get(c, coop, members, 2, out, NULL), ERR_GONE);
	assert_int_equal(keyring_make(c, coop, members[0], &out[0]), ERR_GONE);
	/* also for somebody who never had one */
	struct uuid never = uuid_new();
	assert_ok(c, keyring_destroy(c, coop, never));
	assert_int_equal(keyring_make(c, coop, never, &out[0]), ERR_GONE);
}

static void many_keys_come_in_batches(void **state)
{
	(void)state;
	struct call *c = log_opened();
	enum { MANY = 9000, SOME = 20 };
	struct uuid *members = ARENA_ARRAY(c->arena, MANY, struct uuid);
	struct seal_key *out = ARENA_ARRAY(c->arena, MANY, struct seal_key), made[SOME];
	bool *present = ARENA_ARRAY(c->arena, MANY, bool);
	for (size_t i = 0; i < MANY; i++)
		members[i] = uuid_new();
	for (size_t i = 0; i < SOME; i++)
		assert_ok(c, keyring_make(c, coop, members[i * 400], &made[i]));
	keyring_forget();
	assert_ok(c, keyring_get(c, coop, members, MANY, out, present));
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(present[i], i % 400 == 0 && i / 400 < SOME);
	for (size_t i = 0; i < SOME; i++)
		assert_memory_equal(&out[i * 400], &made[i], 32);
	assert_ok(c, keyring_get(c, coop, members, 0, out, present));
}

static void the_cache_keeps_the_newest_and_no_more(void **state)
{
	(void)state;
	struct secret_cache *s = secret_cache_new(3, 8);
	struct secret_name names[5];
	char secret[8], out[8];
	for (int i = 0; i < 5; i++) {
		names[i] = (struct secret_name){ .member = uuid_new() };
		snprintf(secret, sizeof(secret), "s%d", i);
		secret_cache_put(s, &names[i], secret);
		if (i == 2)
			assert_true(secret_cache_get(s, &names[0], out)); /* used again: the oldest is now 1 */
	}
	assert_false(secret_cache_get(s, &names[1], out));
	assert_false(secret_cache_get(s, &names[2], out));
	assert_true(secret_cache_get(s, &names[0], out));
	assert_string_equal(out, "s0");
	assert_true(secret_cache_get(s, &names[4], out));
	secret_cache_drop(s, &names[4]);
	secret_cache_drop(s, &names[4]);
	assert_false(secret_cache_get(s, &names[4], out));
	secret_cache_put(s, &names[0], "another");
	assert_true(secret_cache_get(s, &names[0], out));
	assert_string_equal(out, "another");
	secret_cache_clear(s);
	assert_false(secret_cache_get(s, &names[0], out));
	secret_cache_free(s);
}

static void cached_secrets_come_and_go_in_any_order(void **state)
{
	(void)state;
	enum { NAMES = 64, CAPACITY = 16 };
	struct secret_cache *s = secret_cache_new(CAPACITY, sizeof(uint64_t));
	struct secret_name names[NAMES];
	uint64_t x = (uint64_t)clock_tick() | 1, there = 0;
	print_message("seed %llu\n", (unsigned long long)x);
	for (uint64_t i = 0; i < NAMES; i++)
		names[i] = (struct secret_name){ .coop = uuid_new(), .member = uuid_new() };
	for (int i = 0; i < 100000; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		uint64_t at = x % NAMES, out = 0;
		if (x >> 40 & 1)
			secret_cache_put(s, &names[at], &at);
		else if (x >> 41 & 1)
			secret_cache_drop(s, &names[at]);
		else if (secret_cache_get(s, &names[at], &out))
			assert_int_equal(out, at);
	}
	for (uint64_t i = 0; i < NAMES; i++) {
		uint64_t out;
		there += secret_cache_get(s, &names[i], &out);
	}
	assert_true(there <= CAPACITY);
	secret_cache_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		fixture_test(canonical_facts_make_the_same_log),
		fixture_test(a_leaf_is_canonical_json_of_when_what_and_who),
		fixture_test(what_is_no_object_or_too_long_is_no_leaf),
		fixture_test(an_append_that_is_rolled_back_leaves_nothing),
		fixture_test(a_log_cannot_be_changed_or_shortened),
		fixture_test(another_coops_log_is_not_seen),
		fixture_test(concurrent_appends_are_gapless_and_in_order),
		fixture_test(tiles_equal_recomputed_hashes),
		fixture_test(partial_tiles_are_prefixes_and_tiles_ahead_are_not_there),
		fixture_test(bundles_hold_the_entries_behind_the_hashes),
		fixture_test(every_proof_of_inclusion_leads_to_the_signed_root),
		fixture_test(any_two_sizes_are_consistent),
		fixture_test(a_proof_takes_few_queries_however_long_the_log),
		fixture_test(an_empty_log_has_a_checkpoint),
		fixture_test(founding_again_after_a_rollback_finds_the_same_key),
		fixture_test(a_signing_key_of_another_coop_does_not_open),
		fixture_test(a_member_keeps_one_key),
		fixture_test(the_stored_key_is_wrapped_and_bound_to_its_member),
		fixture_test(a_destroyed_key_is_gone_for_ever),
		fixture_test(many_keys_come_in_batches),
		cmocka_unit_test(the_cache_keeps_the_newest_and_no_more),
		cmocka_unit_test(cached_secrets_come_and_go_in_any_order),
	};
	int failed = fixture_run(tests, CH_LEN(tests));
	instance_keys_use(NULL);
	instance_keys_free(keys);
	return failed;
}
