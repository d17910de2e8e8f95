/* What taking a partner's pool in costs: a million records of 1 KB, half of which stand here already, against a staging COPY plus INSERT … ON CONFLICT of the bare rows in the same run; and near
 * duplicates of the whole.
 *
 *   import_s                     bundle_open, bundle_check and merge_apply of a whole bundle: signatures, commitments, the log's slice, duplicates, sealing, rows, origins
 *   on_conflict_s                COPY of the same rows (id, digest, licence, instant, line) into a staging table, INSERT … ON CONFLICT DO NOTHING into one that has half of them, by digest
 *   import_ratio_to_on_conflict  the one by the other
 *   server_rss_mb                most memory that a process of the server had resident (VmHWM) which did nothing but the export of these records, or nothing but their import: the larger of the two
 *   import_rss_mb                the import's
 *   import_added_mb              the import's beyond what its process had once its databases were open
 *   import_cpu_s, on_conflict_cpu_s  CPU seconds of either, clients and database together
 *   near_duplicates_1m_s         near duplicates among all that stand: opened, sketched, clustered, kept
 *
 * In a throwaway cluster (fsync off, the same for both). Adds its lines to the file that COMMONHOLD_BENCH_FIGURES names. BENCH_ITEMS says how many records, BENCH_RUNS how many runs (5 at most). */
#include "tests/bench/merge_bench.h"

#include "commonhold/bundle.h"
#include "commonhold/merge.h"


static struct figure figures[] = {
	{ "import_s", "s", { 0 } }, { "on_conflict_s", "s", { 0 } }, { "import_ratio_to_on_conflict", "x", { 0 } }, { "server_rss_mb", "MiB", { 0 } }, { "near_duplicates_1m_s", "s", { 0 } },
	{ "import_check_s", "s", { 0 } }, { "import_added_mb", "MiB", { 0 } }, { "import_rss_mb", "MiB", { 0 } },
	{ "import_cpu_s", "s", { 0 } }, { "on_conflict_cpu_s", "s", { 0 } },
};
static struct merge_bench asked;

/* ---- The peer ---- */

/* The same rows, bare: id, digest, licence, when, line. */
static void peer_make(struct call *c, struct str dir)
{
	char path[300];
	merge_bench_lines(c, dir, "bare_source");
	fixture_sql("CREATE TABLE bare (id uuid PRIMARY KEY, digest bytea NOT NULL UNIQUE, licence smallint NOT NULL, at timestamptz NOT NULL, line text NOT NULL);"
		"ALTER TABLE bare_source ADD id uuid, ADD digest bytea;"
		"UPDATE bare_source SET id = gen_random_uuid(), digest = sha256(convert_to(line, 'UTF8'))");
	snprintf(path, sizeof(path), "%s/peer.copy", fixture_dir());
	setenv("BENCH_COPY", path, 1);
	merge_bench_shell("psql -qX \"$BENCH_URL\" -c \"COPY (SELECT id, digest, 3, timestamptz '2026-01-05', line FROM bare_source ORDER BY no) TO STDOUT\" > $BENCH_COPY");
}

/* Half of them stand already, before the clock runs. */
static double peer_once(double *cpu)
{
	fixture_sql("TRUNCATE bare; INSERT INTO bare SELECT gen_random_uuid(), digest, 3, '2026-01-05', line FROM bare_source WHERE no % 2 = 0; DROP TABLE IF EXISTS staging");
	fixture_sql("VACUUM ANALYZE bare");
	fixture_sql("CHECKPOINT");
	fixture_sql("CREATE TABLE staging (id uuid, digest bytea, licence smallint, at timestamptz, line text)");
	*cpu = -merge_bench_cpu_s();
	double s = merge_bench_shell("psql -qX \"$BENCH_URL\" -c 'COPY staging FROM STDIN' < $BENCH_COPY && psql -qX \"$BENCH_URL\" -c 'INSERT INTO bare SELECT * FROM staging ON CONFLICT (digest) DO NOTHING'");
	*cpu += merge_bench_cpu_s();
	assert_int_equal(fixture_int("SELECT count(*) FROM bare"), asked.items);
	fixture_sql("DROP TABLE staging");
	return s;
}

/* ---- Processes of their own ---- */

/* Says MiB, and where the bundle lies. */
static int export_alone(struct call *c, struct uuid coop, const char *which)
{
	struct uuid agreement;
	struct bundle_report sent;
	const struct bundle_how how = { .whole = true };
	if (!uuid_parse(str_of(which), &agreement) || bundle_write(c, coop, agreement, &how, &sent) != ERR_OK || sent.counts.records != asked.items)
		return 1;
	printf("%.2f %.*s\n", merge_bench_peak_mb(), STR_ARG(sent.dir));
	return 0;
}

/* Says seconds up to the check's end and in all, MiB before and at most, rows and origins. */
static int import_alone(struct call *c, struct uuid coop, const char *dir)
{
	struct bundle_expected x;
	struct bundle *b;
	struct merge_report r;
	double before = merge_bench_now_mb();
	int64_t from = clock_tick();
	if (bundle_open(c->arena, dir, &b, &c->error) != ERR_OK || bundle_expect(c, coop, b, &x) != ERR_OK || bundle_check(c->arena, b, &x, &c->error) != ERR_OK)
		return 1;
	double checked = merge_bench_s(from);
	if (merge_apply(c, coop, b, &r) != ERR_OK)
		return 1;
	printf("%.6f %.6f %.2f %.2f %lld %lld\n", checked, merge_bench_s(from), before, merge_bench_peak_mb(), (long long)r.rows, (long long)r.origins);
	return 0;
}

/* ---- Taking in ---- */

/* A co-op that has every second content already, and has agreed to take the rest: the bundle for it, and the memory that writing it took. */
static struct uuid receiver(struct merge_world *m, int run, char dir[600], double *mb)
{
	char slug[20], line[1000], agreement[UUID_TEXT + 1] = { 0 };
	struct sha256 digest;
	struct call *c = fixture_system();
	snprintf(slug, sizeof(slug), "taker%d", run + 1);
	struct uuid coop = merge_world_coop(&m->w, slug);
	uuid_write(merge_world_agree(c, by(&m->w, 0), m->w.coop, coop, NULL, &digest), agreement);
	merge_bench_fill(by(&m->w, 0), coop, 0, asked.items / 2);
	merge_bench_apart("export", m->w.coop, agreement, line, sizeof(line));
	assert_int_equal(sscanf(line, "%lf %599s", mb, dir), 2);
	fixture_end(c);
	return coop;
}

static void import_once(struct merge_world *m, int run)
{
	char dir[600], line[1000];
	double export_mb, checked, s, before, mb;
	long long rows, origins;
	struct uuid coop = receiver(m, run, dir, &export_mb);
	struct call *c = fixture_system();
	if (run == 0)
		peer_make(c, str_of(dir));
	fixture_sql("CHECKPOINT");
	double cpu = merge_bench_cpu_s();
	merge_bench_apart("import", coop, dir, line, sizeof(line));
	assert_int_equal(sscanf(line, "%lf %lf %lf %lf %lld %lld", &checked, &s, &before, &mb, &rows, &origins), 6);
	assert_int_equal(rows, asked.items - asked.items / 2);
	assert_int_equal(origins, asked.items / 2);
	figures[0].v[run] = s;
	figures[8].v[run] = merge_bench_cpu_s() - cpu;
	figures[1].v[run] = peer_once(&figures[9].v[run]);
	figures[2].v[run] = figures[0].v[run] / figures[1].v[run];
	figures[3].v[run] = mb > export_mb ? mb : export_mb;
	figures[5].v[run] = checked;
	figures[6].v[run] = mb - before;
	figures[7].v[run] = mb;
	int64_t from = clock_tick();
	assert_ok(c, merge_near_run(c, coop));
	figures[4].v[run] = merge_bench_s(from);
	fixture_end(c);
	printf("run %d: import %.2f s (check %.2f), ON CONFLICT %.2f s, ratio %.2f, peak %.0f MiB (export %.0f), near duplicates %.1f s\n", run + 1, figures[0].v[run], checked, figures[1].v[run],
		figures[2].v[run], mb, export_mb, figures[4].v[run]);
}

static void bench(void **state)
{
	static struct merge_world m;
	(void)state;
	merge_world_make(&m, NULL);
	merge_bench_fill_world(&m, asked.items);
	for (int run = 0; run < asked.runs; run++)
		import_once(&m, run);
	merge_bench_write(figures, CH_LEN(figures), asked.runs);
}

int main(int argc, char **argv)
{
	int status;
	asked = merge_bench_asked();
	if (merge_bench_is_apart(argc, argv, "export", export_alone, &status) || merge_bench_is_apart(argc, argv, "import", import_alone, &status))
		return status;
	const struct CMUnitTest tests[] = { fixture_test(bench) };
	return fixture_run(tests, CH_LEN(tests));
}
