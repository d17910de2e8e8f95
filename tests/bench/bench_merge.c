/* What carrying a pool to a partner costs: a million records of 1 KB, each run against its peer.
 *
 *   export_s                a whole bundle: decided, opened, put into lines, compressed, with the log's slice, every digest and the signatures
 *   copy_zstd_s             psql -c 'COPY (SELECT line FROM bench_peer) TO STDOUT' | zstd of the same lines, plain, at the same level
 *   export_ratio_to_copy    the one by the other
 *   export_rss_mb           peak of the process while it writes
 *   check_s                 bundle_check of what was written
 *
 * In a throwaway cluster (fsync off, the same for both). Adds its lines to the file that COMMONHOLD_BENCH_FIGURES names. BENCH_ITEMS says how many records. */
#include "tests/unit/merge_world.h"

#include "commonhold/bundle.h"
#include "commonhold/config.h"
#include "commonhold/zst.h"

#include "tests/bench/figures.h"

#include <inttypes.h>
#include <stdarg.h>

static struct figure figures[] = {
	{ "export_s", "s", { 0 } }, { "copy_zstd_s", "s", { 0 } }, { "export_ratio_to_copy", "x", { 0 } }, { "export_rss_mb", "MiB", { 0 } }, { "check_s", "s", { 0 } }, { "export_mb_per_s", "MB/s", { 0 } },
};
static int64_t items = 1000000;

static double s_since(int64_t tick)
{
	return (double)(clock_tick() - tick) / 1e6;
}

/* ---- The pool ---- */

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

static void fill(struct merge_world *m)
{
	char line[2048], text[1200];
	for (int member = 0; member < WORLD_MEMBERS; member++) {
		struct pool_batch *batch;
		struct call *c = by(&m->w, member);
		int64_t taken = 0, from = items * member / WORLD_MEMBERS, to = items * (member + 1) / WORLD_MEMBERS;
		world_say(&m->w, member, "allow");
		assert_ok(c, pool_batch_begin(c, m->w.coop, verdict, &taken, &batch));
		for (int64_t i = from; i < to; i++) {
			words((uint64_t)i, text, 920);
			int n = snprintf(line, sizeof(line), "{\"kind\":\"example\",\"lang\":\"en\",\"content\":{\"input\":\"%s\",\"output\":\"Answer %" PRId64 " to it.\"}}", text, i);
			assert_ok(c, pool_batch_line(batch, str_make(line, (size_t)n)));
		}
		assert_ok(c, pool_batch_end(batch));
		assert_int_equal(taken, to - from);
	}
	fixture_sql("VACUUM ANALYZE");
}

/* ---- Runs ---- */

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

/* One export, in a process of its own whose memory is the export's alone: says seconds, MiB, records, bytes and where it lies. */
static int export_alone(char **argv)
{
	struct error e = { 0 };
	struct db_pool *content = NULL, *keys = NULL;
	struct instance_keys *instance;
	struct bundle_report r;
	struct uuid coop, agreement;
	const struct bundle_how how = { .whole = true };
	struct call c = { .arena = arena_new(LIMIT_JOB_ARENA), .actor = { .kind = AUTH_SYSTEM }, .locale = STR("en") };
	if (!c.arena || !crypto_start() || config_load(&e) != ERR_OK || instance_keys_open(config()->key_dir, &instance, &e) != ERR_OK || db_pool_open(&content, argv[2], 2, &e) != ERR_OK ||
		db_pool_open(&keys, argv[3], 2, &e) != ERR_OK || !uuid_parse(str_of(argv[4]), &coop) || !uuid_parse(str_of(argv[5]), &agreement))
		return 1;
	instance_keys_use(instance);
	db_use_pool(content, keys);
	clock_set(strtoll(argv[6], NULL, 10));
	int64_t from = clock_tick();
	if (bundle_write(&c, coop, agreement, &how, &r) != ERR_OK) {
		fprintf(stderr, "%s\n", c.error.message);
		return 1;
	}
	double s = s_since(from);
	printf("%.6f %.2f %lld %lld %lld %lld %.*s\n", s, peak_mb(), (long long)r.counts.records, (long long)r.raw_size, (long long)r.size, (long long)r.seq, STR_ARG(r.dir));
	return 0;
}

static void export_once(struct merge_world *m, int run)
{
	struct call *c = fixture_system();
	struct bundle *b;
	struct bundle_expected x;
	double s, mb;
	long long records, raw, size, seq;
	char dir[600], self[500] = { 0 };
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) <= 0)
		fail_msg("where this program is");
	fixture_sql("TRUNCATE bundle_sent, bundle_said"); /* each is a first one */
	struct str coop = uuid_format(c->arena, m->w.coop), agreement = uuid_format(c->arena, m->agreement);
	FILE *p = popen(str_fmt(c->arena, "'%s' --export '%s' '%s' %.*s %.*s %lld", self, fixture_url(false), fixture_url(true), STR_ARG(coop), STR_ARG(agreement), (long long)clock_now()).p, "re");
	if (!p || fscanf(p, "%lf %lf %lld %lld %lld %lld %599s", &s, &mb, &records, &raw, &size, &seq, dir) != 7 || pclose(p) != 0)
		fail_msg("the export");
	assert_int_equal(records, items);
	assert_ok(c, bundle_open(c->arena, dir, &b, &c->error));
	assert_ok(c, bundle_expect(c, m->other, b, &x));
	int64_t from = clock_tick();
	assert_ok(c, bundle_check(c->arena, b, &x, &c->error));
	if (run >= 0) {
		figures[0].v[run] = s;
		figures[3].v[run] = mb;
		figures[4].v[run] = s_since(from);
		figures[5].v[run] = (double)raw / 1e6 / s;
		assert_ok(c, bundle_taken_upto(c, m->w.coop, m->agreement, seq));
	} else {
		setenv("BENCH_RECORDS", dir, 1);
	}
	printf("%s: %lld records, %.0f MB raw, %.0f MB packed, %.2f s, %.0f MiB\n", run < 0 ? "warming up" : "export", records, (double)raw / 1e6, (double)size / 1e6, s, mb);
	fixture_end(c);
}

static double shell_s(const char *command)
{
	int64_t from = clock_tick();
	if (system(command) != 0)
		fail_msg("%s", command);
	return s_since(from);
}

/* The peer has the very lines, in a table of their own, in their order. */
static void peer_make(struct call *c)
{
	struct str url = str_of(fixture_admin_url(fixture_text("SELECT current_database()::text")));
	setenv("BENCH_URL", str_z(c->arena, url), 1);
	fixture_sql("CREATE TABLE bench_peer (no bigserial PRIMARY KEY, line text)");
	shell_s("zstd -dcq $BENCH_RECORDS/records-*.jsonl.zst | sed 's/\\\\/\\\\\\\\/g' | psql -qX \"$BENCH_URL\" -c 'COPY bench_peer (line) FROM STDIN'");
	fixture_sql("VACUUM ANALYZE bench_peer");
	assert_int_equal(fixture_int("SELECT count(*) FROM bench_peer"), items);
}

static double peer_once(void)
{
	char command[300];
	snprintf(command, sizeof(command), "psql -qX \"$BENCH_URL\" -c 'COPY (SELECT line FROM bench_peer ORDER BY no) TO STDOUT' | zstd -q -f -%d -T1 -o \"%s/peer.zst\"", ZST_LEVEL, fixture_dir());
	return shell_s(command);
}

static void write_figures(void)
{
	const char *path = getenv("COMMONHOLD_BENCH_FIGURES");
	FILE *f = path ? fopen(path, "ae") : NULL;
	for (size_t i = 0; i < CH_LEN(figures); i++) {
		double v[FIGURE_RUNS];
		memcpy(v, figures[i].v, sizeof(v));
		qsort(v, FIGURE_RUNS, sizeof(v[0]), figure_order);
		printf("%-24s %10.2f %-5s (%.2f to %.2f)\n", figures[i].name, v[FIGURE_RUNS / 2], figures[i].unit, v[0], v[FIGURE_RUNS - 1]);
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
	fill(&m);
	printf("pool: %lld contributions of 1 KB in %.0f s\n", (long long)items, s_since(from));
	export_once(&m, -1);
	peer_make(m.w.system);
	peer_once();
	for (int run = 0; run < FIGURE_RUNS; run++) {
		if (run % 2)
			figures[1].v[run] = peer_once();
		export_once(&m, run);
		if (run % 2 == 0)
			figures[1].v[run] = peer_once();
		figures[2].v[run] = figures[0].v[run] / figures[1].v[run];
	}
	write_figures();
}

int main(int argc, char **argv)
{
	if (argc == 7 && strcmp(argv[1], "--export") == 0)
		return export_alone(argv);
	const char *n = getenv("BENCH_ITEMS");
	if (n)
		items = strtoll(n, NULL, 10);
	setvbuf(stdout, NULL, _IOLBF, 0);
	const struct CMUnitTest tests[] = { fixture_test(bench) };
	return fixture_run(tests, CH_LEN(tests));
}
