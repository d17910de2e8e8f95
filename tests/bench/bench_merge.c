/* What carrying a pool to a partner costs: a million records of 1 KB, each run against its peer.
 *
 *   export_s                a whole bundle: decided, opened, put into lines, compressed, with the log's slice, every digest and the signatures
 *   copy_zstd_s             psql -c 'COPY (SELECT line FROM bench_peer) TO STDOUT' | zstd of the same lines, plain, at the same level with one worker thread (-T1), which is what each of our files has;
 *                           its file is not brought to the disk (fsync), ours are
 *   export_ratio_to_copy    the one by the other
 *   export_rss_mb           most memory that a process had resident which did this one export and nothing else (VmHWM)
 *   export_cpu_s            processor time of that process, PostgreSQL's not counted
 *   check_s                 bundle_check of what was written
 *
 * In a throwaway cluster (fsync off, the same for both). Adds its lines to the file that COMMONHOLD_BENCH_FIGURES names. BENCH_ITEMS says how many records, BENCH_RUNS how many runs. */
#include "tests/bench/merge_bench.h"

#include "commonhold/bundle.h"
#include "commonhold/zst.h"

#include <sys/resource.h>

static struct figure figures[] = {
	{ "export_s", "s", { 0 } }, { "copy_zstd_s", "s", { 0 } }, { "export_ratio_to_copy", "x", { 0 } }, { "export_rss_mb", "MiB", { 0 } }, { "check_s", "s", { 0 } }, { "export_mb_per_s", "MB/s", { 0 } },
	{ "export_cpu_s", "s", { 0 } },
};
static struct merge_bench asked;

/* One export: says seconds, of the processor, MiB, records, bytes and where it lies. */
static int export_alone(struct call *c, struct uuid coop, const char *which)
{
	struct uuid agreement;
	struct bundle_report r;
	struct rusage used;
	const struct bundle_how how = { .whole = true };
	if (!uuid_parse(str_of(which), &agreement))
		return 1;
	int64_t from = clock_tick();
	if (bundle_write(c, coop, agreement, &how, &r) != ERR_OK)
		return 1;
	double s = merge_bench_s(from);
	getrusage(RUSAGE_SELF, &used);
	double cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
	printf("%.6f %.6f %.2f %lld %lld %lld %lld %.*s\n", s, cpu, merge_bench_peak_mb(), (long long)r.counts.records, (long long)r.raw_size, (long long)r.size, (long long)r.seq, STR_ARG(r.dir));
	return 0;
}

/* Hands out the bundle's folder. */
static struct str export_once(struct merge_world *m, int run)
{
	struct call *c = fixture_system();
	struct bundle *b;
	struct bundle_expected x;
	double s, cpu, mb;
	long long records, raw, size, seq;
	char line[1000], dir[600], agreement[UUID_TEXT + 1] = { 0 };
	fixture_sql("TRUNCATE bundle_sent, bundle_said"); /* each is a first one */
	uuid_write(m->agreement, agreement);
	merge_bench_apart("export", m->w.coop, agreement, line, sizeof(line));
	assert_int_equal(sscanf(line, "%lf %lf %lf %lld %lld %lld %lld %599s", &s, &cpu, &mb, &records, &raw, &size, &seq, dir), 8);
	assert_int_equal(records, asked.items);
	assert_ok(c, bundle_open(c->arena, dir, &b, &c->error));
	assert_ok(c, bundle_expect(c, m->other, b, &x));
	int64_t from = clock_tick();
	assert_ok(c, bundle_check(c->arena, b, &x, &c->error));
	if (run >= 0) {
		figures[0].v[run] = s;
		figures[3].v[run] = mb;
		figures[4].v[run] = merge_bench_s(from);
		figures[5].v[run] = (double)raw / 1e6 / s;
		figures[6].v[run] = cpu;
		assert_ok(c, bundle_taken_upto(c, m->w.coop, m->agreement, seq));
	}
	printf("%s: %lld records, %.0f MB raw, %.0f MB packed, %.2f s (%.2f s of the processor), %.0f MiB\n", run < 0 ? "warming up" : "export", records, (double)raw / 1e6, (double)size / 1e6, s, cpu, mb);
	fixture_end(c);
	return str_copy(m->w.system->arena, str_of(dir));
}

static double peer_once(void)
{
	char command[300];
	snprintf(command, sizeof(command), "psql -qX \"$BENCH_URL\" -c 'COPY (SELECT line FROM bench_peer ORDER BY no) TO STDOUT' | zstd -q -f -%d -T1 -o \"%s/peer.zst\"", ZST_LEVEL, fixture_dir());
	return merge_bench_shell(command);
}

static void bench(void **state)
{
	static struct merge_world m;
	(void)state;
	merge_world_make(&m, NULL);
	merge_bench_fill_world(&m, asked.items);
	merge_bench_lines(m.w.system, export_once(&m, -1), "bench_peer");
	fixture_sql("VACUUM ANALYZE bench_peer");
	assert_int_equal(fixture_int("SELECT count(*) FROM bench_peer"), asked.items);
	peer_once();
	for (int run = 0; run < asked.runs; run++) {
		if (run % 2)
			figures[1].v[run] = peer_once();
		export_once(&m, run);
		if (run % 2 == 0)
			figures[1].v[run] = peer_once();
		figures[2].v[run] = figures[0].v[run] / figures[1].v[run];
	}
	merge_bench_write(figures, CH_LEN(figures), asked.runs);
}

int main(int argc, char **argv)
{
	int status;
	asked = merge_bench_asked();
	if (merge_bench_is_apart(argc, argv, "export", export_alone, &status))
		return status;
	const struct CMUnitTest tests[] = { fixture_test(bench) };
	return fixture_run(tests, CH_LEN(tests));
}
