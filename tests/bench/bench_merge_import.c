/* What taking a partner's pool in costs: a million records of 1 KB, half of which stand here already, against a staging COPY plus INSERT … ON CONFLICT of the bare rows in the same run; and near
 * duplicates of the whole.
 *
 *   import_s                     bundle_open, bundle_check and merge_apply of a whole bundle: signatures, commitments, the log's slice, duplicates, sealing, rows, origins
 *   on_conflict_s                COPY of the same rows (id, digest, licence, instant, line) into a staging table, INSERT … ON CONFLICT DO NOTHING into one that has half of them, by digest
 *   import_ratio_to_on_conflict  the one by the other
 *   server_rss_mb                peak of the process while it takes them in, with what filling the pools in the same process has left behind
 *   import_added_mb              how much of that came with taking them in
 *   near_duplicates_1m_s         near duplicates among all that stand: opened, sketched, clustered, kept
 *
 * In a throwaway cluster (fsync off, the same for both). Adds its lines to the file that COMMONHOLD_BENCH_FIGURES names. BENCH_ITEMS says how many records, BENCH_RUNS how many runs (5 at most). */
#include "tests/unit/merge_world.h"

#include "commonhold/bundle.h"
#include "commonhold/json.h"
#include "commonhold/merge.h"

#include "tests/bench/figures.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdarg.h>

static struct figure figures[] = {
	{ "import_s", "s", { 0 } }, { "on_conflict_s", "s", { 0 } }, { "import_ratio_to_on_conflict", "x", { 0 } }, { "server_rss_mb", "MiB", { 0 } }, { "near_duplicates_1m_s", "s", { 0 } },
	{ "import_check_s", "s", { 0 } }, { "import_added_mb", "MiB", { 0 } },
};
static int64_t items = 1000000;
static int runs = FIGURE_RUNS;

static double s_since(int64_t tick)
{
	return (double)(clock_tick() - tick) / 1e6;
}

/* Words that compress about as English does, the same for the same number. */
static size_t words(uint64_t no, char *to, size_t n)
{
	static const char *const of[] = { "the", "commons", "keeps", "what", "people", "give", "and", "nobody", "takes", "without", "asking", "because", "every", "answer", "belongs", "to", "those", "who",
		"wrote", "it", "first", "model", "training", "question", "member", "licence", "review", "language", "shared", "under", "terms", "that", "hold", "careful", "example", "translation" };
	uint64_t x = no * UINT64_C(0x9e3779b97f4a7c15) + 1;
	size_t at = 0;
	while (at + 24 < n) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		at += (size_t)(x % 5 ? snprintf(to + at, 24, "%s ", of[x / 8 % CH_LEN(of)]) : snprintf(to + at, 24, "%" PRIx64 " ", x >> 44));
	}
	return at;
}

static enum err verdict(void *arg, const struct verdict *v)
{
	*(int64_t *)arg += v->err == ERR_OK;
	return v->err;
}

/* Contributions numbered from … to, by one member of one co-op. */
static void fill(struct call *c, struct uuid coop, int64_t from, int64_t to)
{
	char line[2048], text[1200];
	struct pool_batch *batch;
	int64_t taken = 0;
	assert_ok(c, pool_batch_begin(c, coop, verdict, &taken, &batch));
	for (int64_t i = from; i < to; i++) {
		words((uint64_t)i, text, 920);
		int n = snprintf(line, sizeof(line), "{\"kind\":\"example\",\"lang\":\"en\",\"content\":{\"input\":\"%s\",\"output\":\"Answer %" PRId64 " to it.\"}}", text, i);
		assert_ok(c, pool_batch_line(batch, str_make(line, (size_t)n)));
	}
	assert_ok(c, pool_batch_end(batch));
	assert_int_equal(taken, to - from);
}

static double peak_mb(void)
{
	char line[256];
	double kb = 0;
	FILE *f = fopen("/proc/self/status", "re");
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, "VmHWM:", 6) == 0)
			kb = strtod(line + 6, NULL);
	if (f)
		fclose(f);
	return kb / 1024;
}

static void peak_reset(void)
{
	FILE *f = fopen("/proc/self/clear_refs", "we");
	if (f) {
		fputs("5", f);
		fclose(f);
	}
}

static double shell_s(const char *command)
{
	int64_t from = clock_tick();
	if (system(command) != 0)
		fail_msg("%s", command);
	return s_since(from);
}

/* ---- The peer ---- */

/* The same rows, bare: id, digest, licence, when, line. */
static void peer_make(struct call *c)
{
	struct str url = str_of(fixture_admin_url(fixture_text("SELECT current_database()::text")));
	setenv("BENCH_URL", str_z(c->arena, url), 1);
	fixture_sql("CREATE TABLE bare_source (no bigserial, line text)");
	shell_s("zstd -dcq $BENCH_RECORDS/records-*.jsonl.zst | sed 's/\\\\/\\\\\\\\/g' | psql -qX \"$BENCH_URL\" -c 'COPY bare_source (line) FROM STDIN'");
	fixture_sql("CREATE TABLE bare (id uuid PRIMARY KEY, digest bytea NOT NULL UNIQUE, licence smallint NOT NULL, at timestamptz NOT NULL, line text NOT NULL);"
		"ALTER TABLE bare_source ADD id uuid, ADD digest bytea;"
		"UPDATE bare_source SET id = gen_random_uuid(), digest = sha256(convert_to(line, 'UTF8'))");
	char path[300];
	snprintf(path, sizeof(path), "%s/peer.copy", fixture_dir());
	setenv("BENCH_COPY", path, 1);
	shell_s("psql -qX \"$BENCH_URL\" -c \"COPY (SELECT id, digest, 3, timestamptz '2026-01-05', line FROM bare_source ORDER BY no) TO STDOUT\" > $BENCH_COPY");
}

/* Half of them stand already, before the clock runs. */
static double peer_once(void)
{
	fixture_sql("TRUNCATE bare; INSERT INTO bare SELECT gen_random_uuid(), digest, 3, '2026-01-05', line FROM bare_source WHERE no % 2 = 0; DROP TABLE IF EXISTS staging");
	fixture_sql("VACUUM ANALYZE bare");
	fixture_sql("CHECKPOINT");
	fixture_sql("CREATE TABLE staging (id uuid, digest bytea, licence smallint, at timestamptz, line text)");
	double s = shell_s("psql -qX \"$BENCH_URL\" -c 'COPY staging FROM STDIN' < $BENCH_COPY && psql -qX \"$BENCH_URL\" -c 'INSERT INTO bare SELECT * FROM staging ON CONFLICT (digest) DO NOTHING'");
	assert_int_equal(fixture_int("SELECT count(*) FROM bare"), items);
	fixture_sql("DROP TABLE staging");
	return s;
}

/* ---- Taking in ---- */

/* A co-op that has every second content already, and has agreed to take the rest. */
static struct uuid receiver(struct merge_world *m, int run, struct bundle_report *sent)
{
	char slug[20];
	struct sha256 digest;
	const struct bundle_how how = { .whole = true };
	struct call *c = fixture_system();
	snprintf(slug, sizeof(slug), "taker%d", run + 1);
	struct uuid coop = merge_world_coop(&m->w, slug);
	struct uuid agreement = merge_world_agree(c, by(&m->w, 0), m->w.coop, coop, NULL, &digest);
	struct call *member = by(&m->w, 0);
	fill(member, coop, 0, items / 2);
	assert_ok(c, bundle_write(c, m->w.coop, agreement, &how, sent));
	assert_int_equal(sent->counts.records, items);
	sent->dir = str_of(strdup(str_z(c->arena, sent->dir)));
	fixture_end(c);
	return coop;
}

static void import_once(struct merge_world *m, int run)
{
	struct bundle_report sent;
	struct bundle_expected x;
	struct bundle *b;
	struct merge_report r;
	struct uuid coop = receiver(m, run, &sent);
	struct call *c = fixture_system();
	setenv("BENCH_RECORDS", sent.dir.p, 1);
	if (run == 0)
		peer_make(c);
	fixture_sql("CHECKPOINT");
	malloc_trim(0); /* what filling has freed is not the import's */
	peak_reset();
	double before = peak_mb();
	int64_t from = clock_tick();
	assert_ok(c, bundle_open(c->arena, sent.dir.p, &b, &c->error));
	assert_ok(c, bundle_expect(c, coop, b, &x));
	assert_ok(c, bundle_check(c->arena, b, &x, &c->error));
	figures[5].v[run] = s_since(from);
	assert_ok(c, merge_apply(c, coop, b, &r));
	figures[0].v[run] = s_since(from);
	figures[3].v[run] = peak_mb();
	figures[6].v[run] = figures[3].v[run] - before;
	assert_int_equal(r.rows, items - items / 2);
	assert_int_equal(r.origins, items / 2);
	fixture_end(c);
	figures[1].v[run] = peer_once();
	figures[2].v[run] = figures[0].v[run] / figures[1].v[run];
	c = fixture_system();
	from = clock_tick();
	assert_ok(c, merge_near_run(c, coop));
	figures[4].v[run] = s_since(from);
	fixture_end(c);
	printf("run %d: import %.2f s (check %.2f), ON CONFLICT %.2f s, ratio %.2f, peak %.0f MiB, near duplicates %.1f s\n", run + 1, figures[0].v[run], figures[5].v[run], figures[1].v[run],
		figures[2].v[run], figures[3].v[run], figures[4].v[run]);
}

static void write_figures(void)
{
	const char *path = getenv("COMMONHOLD_BENCH_FIGURES");
	FILE *f = path ? fopen(path, "ae") : NULL;
	for (size_t i = 0; i < CH_LEN(figures); i++) {
		double v[FIGURE_RUNS];
		for (int run = runs; run < FIGURE_RUNS; run++)
			figures[i].v[run] = figures[i].v[runs - 1];
		memcpy(v, figures[i].v, sizeof(v));
		qsort(v, FIGURE_RUNS, sizeof(v[0]), figure_order);
		printf("%-28s %10.2f %-5s (%.2f to %.2f)\n", figures[i].name, v[FIGURE_RUNS / 2], figures[i].unit, v[0], v[FIGURE_RUNS - 1]);
		if (!f)
			continue;
		fprintf(f, "%s %s", figures[i].name, figures[i].unit);
		for (int run = 0; run < FIGURE_RUNS; run++)
			fprintf(f, " %.4f", figures[i].v[run]);
		fputc('\n', f);
	}
	if (f)
		fclose(f);
}

static void bench(void **state)
{
	static struct merge_world m;
	(void)state;
	merge_world_make(&m, NULL);
	int64_t from = clock_tick();
	for (int member = 0; member < WORLD_MEMBERS; member++) {
		world_say(&m.w, member, "allow");
		fill(by(&m.w, member), m.w.coop, items * member / WORLD_MEMBERS, items * (member + 1) / WORLD_MEMBERS);
	}
	fixture_sql("VACUUM ANALYZE");
	printf("pool: %lld contributions of 1 KB in %.0f s\n", (long long)items, s_since(from));
	for (int run = 0; run < runs; run++)
		import_once(&m, run);
	write_figures();
}

int main(void)
{
	const char *n = getenv("BENCH_ITEMS"), *r = getenv("BENCH_RUNS");
	if (n)
		items = strtoll(n, NULL, 10);
	if (r)
		runs = (int)strtol(r, NULL, 10);
	runs = runs < 1 || runs > FIGURE_RUNS ? FIGURE_RUNS : runs;
	setvbuf(stdout, NULL, _IOLBF, 0);
	const struct CMUnitTest tests[] = { fixture_test(bench) };
	return fixture_run(tests, CH_LEN(tests));
}
