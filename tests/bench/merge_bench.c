#include "tests/bench/merge_bench.h"

#include "commonhold/config.h"

#include <dirent.h>
#include <inttypes.h>
#include <sys/resource.h>

/* ---- What is asked for, and what is said ---- */

struct merge_bench merge_bench_asked(void)
{
	struct merge_bench b = { 1000000, FIGURE_RUNS };
	const char *items = getenv("BENCH_ITEMS"), *runs = getenv("BENCH_RUNS");
	if (items)
		b.items = strtoll(items, NULL, 10);
	if (runs)
		b.runs = (int)strtol(runs, NULL, 10);
	if (b.runs < 1 || b.runs > FIGURE_RUNS)
		b.runs = FIGURE_RUNS;
	setvbuf(stdout, NULL, _IOLBF, 0);
	return b;
}

double merge_bench_s(int64_t tick)
{
	return (double)(clock_tick() - tick) / 1e6;
}

double merge_bench_shell(const char *command)
{
	int64_t from = clock_tick();
	if (system(command) != 0)
		fail_msg("%s", command);
	return merge_bench_s(from);
}

/* The parent of a process, and its CPU seconds (with those of children that it has reaped). */
static double process_cpu_s(long pid, long *parent)
{
	char path[64], line[1000];
	unsigned long used[4] = { 0 };
	*parent = 0;
	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	FILE *f = fopen(path, "re");
	const char *end = f && fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
	if (end)
		(void)sscanf(end + 1, " %*c %ld %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %lu %lu", parent, &used[0], &used[1], &used[2], &used[3]);
	if (f)
		fclose(f);
	return (double)(used[0] + used[1] + used[2] + used[3]) / (double)sysconf(_SC_CLK_TCK);
}

double merge_bench_cpu_s(void)
{
	long postmaster, parent;
	struct rusage ended;
	process_cpu_s((long)fixture_int("SELECT pg_backend_pid()::bigint"), &postmaster);
	getrusage(RUSAGE_CHILDREN, &ended);
	double s = process_cpu_s(postmaster, &parent) + (double)(ended.ru_utime.tv_sec + ended.ru_stime.tv_sec) + (double)(ended.ru_utime.tv_usec + ended.ru_stime.tv_usec) / 1e6;
	DIR *all = opendir("/proc");
	for (struct dirent *e; all && (e = readdir(all));) {
		double used = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? process_cpu_s(strtol(e->d_name, NULL, 10), &parent) : (parent = 0, 0);
		s += parent == postmaster ? used : 0;
	}
	if (all)
		closedir(all);
	return s;
}

void merge_bench_write(struct figure *figures, size_t n, int runs)
{
	const char *path = getenv("COMMONHOLD_BENCH_FIGURES");
	FILE *f = path ? fopen(path, "ae") : NULL;
	for (size_t i = 0; i < n; i++) {
		double *v = figures[i].v;
		if (f) {
			fprintf(f, "%s %s", figures[i].name, figures[i].unit);
			for (int run = 0; run < runs; run++)
				fprintf(f, " %.4f", v[run]);
			fputc('\n', f);
		}
		qsort(v, (size_t)runs, sizeof(v[0]), figure_order);
		printf("%-28s %10.2f %-5s (%.2f to %.2f)\n", figures[i].name, v[runs / 2], figures[i].unit, v[0], v[runs - 1]);
	}
	if (f)
		fclose(f);
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

void merge_bench_fill(struct call *member, struct uuid coop, int64_t from, int64_t to)
{
	char line[2048], text[1200];
	struct pool_batch *batch;
	int64_t taken = 0;
	assert_ok(member, pool_batch_begin(member, coop, verdict, &taken, &batch));
	for (int64_t i = from; i < to; i++) {
		words((uint64_t)i, text, 920);
		int n = snprintf(line, sizeof(line), "{\"kind\":\"example\",\"lang\":\"en\",\"content\":{\"input\":\"%s\",\"output\":\"Answer %" PRId64 " to it.\"}}", text, i);
		assert_ok(member, pool_batch_line(batch, str_make(line, (size_t)n)));
	}
	assert_ok(member, pool_batch_end(batch));
	assert_int_equal(taken, to - from);
}

void merge_bench_fill_world(struct merge_world *m, int64_t items)
{
	int64_t tick = clock_tick();
	for (int member = 0; member < WORLD_MEMBERS; member++) {
		world_say(&m->w, member, "allow");
		merge_bench_fill(by(&m->w, member), m->w.coop, items * member / WORLD_MEMBERS, items * (member + 1) / WORLD_MEMBERS);
	}
	fixture_sql("VACUUM ANALYZE");
	printf("pool: %lld contributions of 1 KB in %.0f s\n", (long long)items, merge_bench_s(tick));
}

/* ---- The peer ---- */

void merge_bench_lines(struct call *c, struct str dir, const char *table)
{
	struct str url = str_of(fixture_admin_url(fixture_text("SELECT current_database()::text")));
	setenv("BENCH_URL", str_z(c->arena, url), 1);
	fixture_sql(str_fmt(c->arena, "CREATE TABLE %s (no bigserial PRIMARY KEY, line text)", table).p);
	merge_bench_shell(str_fmt(c->arena, "zstd -dcq '%.*s'/records-*.jsonl.zst | sed 's/\\\\/\\\\\\\\/g' | psql -qX \"$BENCH_URL\" -c 'COPY %s (line) FROM STDIN'", STR_ARG(dir), table).p);
}

/* ---- A process of its own ---- */

void merge_bench_apart(const char *what, struct uuid coop, const char *which, char *line, size_t n)
{
	char command[2000], id[UUID_TEXT + 1] = { 0 }, self[500] = { 0 };
	uuid_write(coop, id);
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) <= 0)
		fail_msg("where this program is");
	snprintf(command, sizeof(command), "'%s' --%s '%s' '%s' %lld %s '%s'", self, what, fixture_url(false), fixture_url(true), (long long)clock_now(), id, which);
	FILE *p = popen(command, "re");
	if (!p || !fgets(line, (int)n, p) || pclose(p) != 0)
		fail_msg("%s", command);
}

/* What `commonhold bundle` opens, and no more. */
static struct call *call_apart(char **argv)
{
	struct error e = { 0 };
	struct db_pool *content, *keys;
	struct instance_keys *instance;
	static struct call c;
	if (!crypto_start() || config_load(&e) != ERR_OK || instance_keys_open(config()->key_dir, &instance, &e) != ERR_OK || db_pool_open(&content, argv[2], 4, &e) != ERR_OK ||
		db_pool_open(&keys, argv[3], 2, &e) != ERR_OK) {
		fprintf(stderr, "%s %s\n", e.message, e.detail);
		return NULL;
	}
	c = (struct call){ .arena = arena_new(LIMIT_JOB_ARENA), .actor = { .kind = AUTH_SYSTEM }, .locale = STR("en") };
	instance_keys_use(instance);
	db_use_pool(content, keys);
	clock_set(strtoll(argv[4], NULL, 10));
	return c.arena ? &c : NULL;
}

bool merge_bench_is_apart(int argc, char **argv, const char *what, merge_bench_work work, int *status)
{
	struct uuid coop;
	if (argc != 7 || strncmp(argv[1], "--", 2) != 0 || strcmp(argv[1] + 2, what) != 0)
		return false;
	struct call *c = uuid_parse(str_of(argv[5]), &coop) ? call_apart(argv) : NULL;
	*status = c ? work(c, coop, argv[6]) : 1;
	if (*status && c)
		fprintf(stderr, "%s %s\n", c->error.message, c->error.detail);
	return true;
}

/* A line "name: … kB" of this process's state. */
static double memory_mb(const char *name)
{
	char line[256];
	double kb = 0;
	size_t n = strlen(name);
	FILE *f = fopen("/proc/self/status", "re");
	while (f && fgets(line, sizeof(line), f))
		if (strncmp(line, name, n) == 0)
			kb = strtod(line + n, NULL);
	if (f)
		fclose(f);
	return kb / 1024;
}

double merge_bench_peak_mb(void)
{
	return memory_mb("VmHWM:");
}

double merge_bench_now_mb(void)
{
	return memory_mb("VmRSS:");
}
