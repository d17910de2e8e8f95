/* The log: appending in batches, against the database alone storing the same entries with their hashes; single appends, proofs. One throwaway cluster, runs alternate.
 * Writes build/bench/ledger.json. */
#include "tests/bench/figures.h"
#include "tests/unit/fixture.h"

#include "commonhold/crypto.h"
#include "commonhold/ledger.h"

#define LEAVES 50000
#define SINGLES 300

enum { MANY, PEER, RATIO, SINGLE, PROOF, FIGURES };
static struct figure figures[FIGURES] = {
	[MANY] = { "append_many_leaves_per_s", "1/s", { 0 } }, [PEER] = { "plain_insert_rows_per_s", "1/s", { 0 } }, [RATIO] = { "append_many_against_plain_insert", "x", { 0 } },
	[SINGLE] = { "append_one_us", "us", { 0 } }, [PROOF] = { "prove_inclusion_us", "us", { 0 } },
};

static struct uuid coop;
static struct str *data;

static void open_log(struct call *c)
{
	static struct instance_keys *keys;
	struct error e = { 0 };
	uint8_t public_key[32];
	assert_true(crypto_start());
	assert_int_equal(instance_keys_open(str_z(c->arena, str_fmt(c->arena, "%s/keys", fixture_dir())), &keys, &e), ERR_OK);
	instance_keys_use(keys);
	coop = uuid_new();
	assert_ok(c, db_begin_in(c, coop, DB_WRITE));
	assert_ok(c, ledger_key_new(c, coop, public_key));
	assert_ok(c, db_commit(c));
	data = ARENA_ARRAY(c->arena, LEAVES, struct str);
	for (size_t i = 0; i < LEAVES; i++)
		data[i] = str_fmt(c->arena, "{\"c\":\"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\",\"rid\":\"dc:abcdefghijklmnop:0190b5c2-7a31-4c1d-9e55-%012zu\"}", i);
}

static double append_many(struct call *c)
{
	int64_t from = clock_tick(), first;
	struct arena_mark mark = arena_mark(c->arena);
	assert_ok(c, db_begin_in(c, coop, DB_WRITE));
	assert_ok(c, ledger_append_many(c, coop, "contribution.made", data, LEAVES, &first));
	assert_ok(c, db_commit(c));
	arena_rewind(c->arena, mark);
	return LEAVES * 1e6 / (double)(clock_tick() - from);
}

/* What PostgreSQL needs for as many rows of that size, made by itself. */
static double plain_insert(void)
{
	int64_t from = clock_tick();
	fixture_sql("INSERT INTO peer SELECT (SELECT count(*) FROM peer) + g, commonhold_now(), 'contribution.made', entry, sha256(entry) "
		"FROM generate_series(1, 50000) g, LATERAL (SELECT convert_to(repeat(md5(g::text), 6), 'UTF8')) e (entry)");
	return LEAVES * 1e6 / (double)(clock_tick() - from);
}

static double append_one(struct call *c)
{
	struct leaf leaf = { .type = "a.b", .data = data[0] };
	int64_t from = clock_tick();
	for (int i = 0; i < SINGLES; i++) {
		assert_ok(c, db_begin_in(c, coop, DB_WRITE));
		assert_ok(c, ledger_append(c, coop, &leaf, NULL));
		assert_ok(c, db_commit(c));
	}
	return (double)(clock_tick() - from) / SINGLES;
}

static double prove(struct call *c)
{
	struct str proof;
	int64_t from = clock_tick();
	for (int i = 0; i < SINGLES; i++) {
		struct arena_mark mark = arena_mark(c->arena);
		assert_ok(c, db_begin_in(c, coop, DB_READ));
		assert_ok(c, ledger_prove_inclusion(c, coop, i * 149, &proof));
		assert_ok(c, db_commit(c));
		arena_rewind(c->arena, mark);
	}
	return (double)(clock_tick() - from) / SINGLES;
}

static void bench(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	open_log(c);
	fixture_sql("CREATE TABLE peer (idx bigint PRIMARY KEY, at timestamptz NOT NULL, type text NOT NULL, entry bytea NOT NULL, hash bytea NOT NULL)");
	for (int i = 0; i < FIGURE_RUNS; i++) {
		figures[MANY].v[i] = append_many(c);
		figures[PEER].v[i] = plain_insert();
		figures[RATIO].v[i] = figures[MANY].v[i] / figures[PEER].v[i];
		figures[SINGLE].v[i] = append_one(c);
		figures[PROOF].v[i] = prove(c);
	}
	figures_report("ledger", figures, FIGURES);
}

int main(void)
{
	const struct CMUnitTest tests[] = { fixture_test(bench) };
	return fixture_run(tests, CH_LEN(tests));
}
