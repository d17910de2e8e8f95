/* What a deletion costs: one request over 10,000 contributions, spread over a pool of a million and held by 100 releases.
 *
 *   effective_ms    erasure_ask: from asking until it counts in every decision
 *   purge_10k_ms    the job that carries it out here: marks in the rows, content, salts, derived rows, tombstones, the withdrawal of all 100 versions
 *   scan_ms         every item's columns read as a freeze reads them, with no withdrawal in force …
 *   scan_over_ms    … and with five of 10,000 items each
 *
 * The pool is made with SQL in a throwaway cluster (fsync off). Adds its lines to the file that COMMONHOLD_BENCH_FIGURES names: name, unit, a value a run. BENCH_ITEMS says how large the
 * pool is. */
#include "tests/unit/world.h"

#include "commonhold/erasure.h"

#include "tests/bench/figures.h"

#include <stdarg.h>

#define RELEASES 100
#define EACH 100 /* of so many items one is in a request */

static struct figure figures[] = { { "effective_ms", "ms", { 0 } }, { "purge_10k_ms", "ms", { 0 } }, { "scan_ms", "ms", { 0 } }, { "scan_over_ms", "ms", { 0 } } };
static int64_t items = 1000000;

static double ms_since(int64_t tick)
{
	return (double)(clock_tick() - tick) / 1000;
}

static void CH_PRINTF(2, 3) sql(struct call *c, const char *fmt, ...)
{
	va_list args;
	char text[4000];
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	(void)c;
	fixture_sql(text);
}

/* Members 1 to 5 have every hundredth item each, the others the rest. */
static void fill(struct world *w)
{
	struct call *c = w->system;
	const char *coop = str_z(c->arena, uuid_format(c->arena, w->coop));
	int64_t packed;
	sql(c, "INSERT INTO shard_key (coop_id, no, kind, licence, month) VALUES ('%s', 0, 2, 3, 24312)", coop);
	sql(c, "INSERT INTO contribution (coop_id, id, item_no, member_id, member_no, shard, kind, licence, lang, content_sha256, bytes, submitted_at, word, leaf, salt, sealed_facts) "
		"SELECT '%s', gen_random_uuid(), i, m.id, m.number, 0, 2, 3, 'en', sha256(i::text::bytea), 200, '2026-01-01T10:00:00Z', "
		"2 | 3 << 3 | 512 | 1 << 20 | (extract(epoch FROM '2026-01-01T10:00:00Z'::timestamptz)::bigint << 32), i, sha256(('s' || i)::bytea), sha512(('f' || i)::bytea) "
		"FROM generate_series(0, %lld) i JOIN membership m ON m.coop_id = '%s' AND m.number = CASE WHEN i %% %d BETWEEN 1 AND 5 THEN i %% %d ELSE 6 + i %% 2 END",
		coop, (long long)items - 1, coop, EACH, EACH);
	sql(c, "INSERT INTO contribution_content (coop_id, shard, id, lang, sealed) SELECT coop_id, shard, id, lang, sha512(id::text::bytea) || sha512(salt) || sha512(content_sha256) FROM contribution");
	sql(c, "INSERT INTO pool_head (coop_id, next_item) VALUES ('%s', %lld) ON CONFLICT (coop_id) DO UPDATE SET next_item = excluded.next_item", coop, (long long)items);
	assert_ok(c, db_begin_in(c, w->coop, DB_WRITE));
	assert_ok(c, pool_pack(c, w->coop, &packed));
	assert_ok(c, db_commit(c));
	sql(c, "INSERT INTO release (coop_id, id, charter, cutoff_at, state, state_at, spec, seed, version, frozen_at, candidates, included, contributors, candidates_sha256, build_after, built_items, "
		"manifest_sha256, published_at) SELECT coop_id, gen_random_uuid(), charter, cutoff_at - n * interval '1 day', 'superseded', state_at, spec, seed, n || '.0.0', state_at, %lld, %lld, 8, "
		"sha256(n::text::bytea), state_at, %lld, sha256(n::text::bytea), cutoff_at - n * interval '1 day' FROM release, generate_series(1, %d) n WHERE coop_id = '%s'",
		(long long)items, (long long)items, (long long)items, RELEASES, coop);
	sql(c, "INSERT INTO release_segment (coop_id, release_id, stage, no, items, sets, codes) SELECT r.coop_id, r.id, 'built', s.no, s.items, '\\x0000000000000000', decode(repeat('00', s.items * 2), 'hex') "
		"FROM release r, pool_segment s WHERE r.coop_id = '%s' AND s.coop_id = r.coop_id AND r.state = 'superseded'", coop);
	/* Those that are empty yet are left alone, as autovacuum would: the database then does not take them for empty for ever. */
	fixture_sql("VACUUM ANALYZE contribution, contribution_content, pool_segment, release, release_segment, membership");
}

static enum err look(void *arg, const struct pool_segment *s)
{
	*(uint64_t *)arg += s->words[s->n - 1];
	return ERR_OK;
}

static double scan(struct world *w)
{
	uint64_t sum = 0;
	int64_t from = clock_tick();
	assert_ok(w->system, db_begin_in(w->system, w->coop, DB_SERIAL));
	assert_ok(w->system, pool_scan_columns(w->system, w->coop, POOL_COLUMNS_ALL, look, &sum));
	assert_ok(w->system, db_commit(w->system));
	return ms_since(from);
}

static struct uuid *items_of(struct world *w, int member, size_t *n)
{
	SQL(ids, "SELECT array_agg(id) FROM contribution WHERE coop_id = $1 AND member_no = $2 AND (word & 4096) = 0");
	struct rows r;
	struct uuid *out;
	assert_ok(w->system, db_begin_in(w->system, w->coop, DB_READ));
	assert_ok(w->system, db_query(w->system, ids, &r, A_UUID(w->coop), A_INT(member)));
	*n = row_uuids(w->system->arena, &r, 0, 0, &out);
	assert_ok(w->system, db_commit(w->system));
	return out;
}

static void ask_and_carry(struct world *w, int run)
{
	static const struct job_kind *const tables[] = { erasure_jobs, NULL };
	struct error e = { 0 };
	struct erasure out;
	int member = 1 + run, ran;
	size_t n;
	struct uuid *ids = items_of(w, member, &n);
	struct erasure_wish wish = { .kind = ERASURE_ERASE, .scope = ERASURE_ITEMS, .items = ids, .n_items = n, .until = INSTANT_NONE, .issued_at = INSTANT_NONE, .expires_at = INSTANT_NONE };
	struct call *c = by(w, member);
	int64_t from = clock_tick();
	assert_ok(c, erasure_ask(c, w->coop, &wish, &out));
	figures[0].v[run] = ms_since(from);
	from = clock_tick();
	if (job_run_due(tables, &ran, &e) != ERR_OK)
		fail_msg("jobs: %s", e.message);
	figures[1].v[run] = ms_since(from);
	assert_int_equal(fixture_int("SELECT count(*) FROM contribution WHERE (word & 4096) <> 0"), (run + 1) * items / EACH);
	assert_int_equal(fixture_int("SELECT count(*) FROM tombstone"), (run + 1) * items / EACH);
	printf("%zu items: effective in %.1f ms, purged in %.0f ms, %lld versions withdrawn\n", n, figures[0].v[run], figures[1].v[run],
		(long long)fixture_int("SELECT count(*) FROM release WHERE state = 'withdrawn'"));
	/* The tests' cluster runs without autovacuum, which would have looked at what grew by now. */
	fixture_sql("ANALYZE tombstone, suppression, contribution, release");
	/* held again, by as many versions, for the next request */
	fixture_sql("UPDATE release SET state = 'superseded' WHERE state = 'withdrawn'");
}

static void withdraw_in_place(struct world *w, int run)
{
	struct call *c = w->system;
	int64_t *numbers = ARENA_ARRAY(c->arena, (size_t)(items / EACH), int64_t);
	struct pool_withdrawal what = { .id = uuid_new(), .kind = POOL_RESTRICT, .items = numbers, .n = (size_t)(items / EACH), .until = INSTANT_NONE };
	for (size_t i = 0; i < what.n; i++)
		numbers[i] = (int64_t)i * EACH + 10 + run;
	assert_ok(c, db_begin_in(c, w->coop, DB_WRITE));
	assert_ok(c, pool_withdraw(c, w->coop, &what));
	assert_ok(c, db_commit(c));
}

static void write_figures(void)
{
	const char *path = getenv("COMMONHOLD_BENCH_FIGURES");
	FILE *f = path ? fopen(path, "ae") : NULL;
	for (size_t i = 0; i < CH_LEN(figures); i++) {
		double v[FIGURE_RUNS];
		memcpy(v, figures[i].v, sizeof(v));
		qsort(v, FIGURE_RUNS, sizeof(v[0]), figure_order);
		printf("%-36s %12.2f %-8s (%.2f to %.2f)\n", figures[i].name, v[FIGURE_RUNS / 2], figures[i].unit, v[0], v[FIGURE_RUNS - 1]);
		if (f)
			fprintf(f, "%s %s %f %f %f %f %f\n", figures[i].name, figures[i].unit, v[0], v[1], v[2], v[3], v[4]);
	}
	if (f)
		fclose(f);
}

static void bench(void **state)
{
	struct world w;
	(void)state;
	const char *size = getenv("BENCH_ITEMS");
	assert_true(!size || str_to_i64(str_of(size), 10000, 10000000, &items));
	world_make(&w, NULL);
	int64_t from = clock_tick();
	fill(&w);
	printf("%lld contributions in %d releases made in %.0f s\n", (long long)items, RELEASES, ms_since(from) / 1000);
	(void)scan(&w);
	for (int run = 0; run < FIGURE_RUNS; run++)
		figures[2].v[run] = scan(&w);
	for (int run = 0; run < FIGURE_RUNS; run++)
		withdraw_in_place(&w, run);
	for (int run = 0; run < FIGURE_RUNS; run++)
		figures[3].v[run] = scan(&w);
	for (int run = 0; run < FIGURE_RUNS; run++)
		ask_and_carry(&w, run);
	write_figures();
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	const struct CMUnitTest tests[] = { fixture_test(bench) };
	return fixture_run(tests, CH_LEN(tests));
}
