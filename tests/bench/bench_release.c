/* The release bench: a pool of a million contributions in a throwaway cluster, and on it, each against its peer in the same run:
 *
 *   freezing        release_freeze, end to end, with its decisions written
 *   building        release_build against psql | tee >(sha256sum) | gzip of the same bytes, kept as plain text in a table that holds the eligible rows and nothing else
 *   again           freezing and building when the last month has got 1 % of the pool more
 *   submission      pool_batch against a bare COPY of the same rows into a table with a primary key
 *   requests        `commonhold serve` against Fastify and pg: processor time of the server's process
 *   memory          the peak of the process that freezes, that builds, that takes a batch
 *
 * What is measured of ours runs in a process of its own (release/phases.c). Writes build/bench/release.json. Settings: release.mk. */
#include "tests/bench/release/main.h"

#include "commonhold/clock.h"
#include "commonhold/crypto.h"
#include "commonhold/db.h"
#include "commonhold/log.h"
#include "tests/bench/release/phases.h"
#include "tests/bench/release/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUNS_MAX 50
#define RELEASES 400 /* that can be scheduled */

struct figure_runs { const char *name, *unit; double v[RUNS_MAX]; int n; };

static struct figure_runs figures[] = {
	{ "freeze_items_per_s", "1/s", { 0 }, 0 }, { "build_mb_per_s", "MB/s", { 0 }, 0 }, { "pipe_mb_per_s", "MB/s", { 0 }, 0 }, { "build_speedup_over_pipe", "x", { 0 }, 0 },
	{ "build_cpu_s", "s", { 0 }, 0 }, { "second_freeze_s", "s", { 0 }, 0 }, { "second_build_s", "s", { 0 }, 0 }, { "second_build_cpu_s", "s", { 0 }, 0 }, { "second_release_share", "ratio", { 0 }, 0 },
	{ "submit_lines_per_s", "1/s", { 0 }, 0 }, { "copy_rows_per_s", "1/s", { 0 }, 0 }, { "submit_ratio_to_copy", "x", { 0 }, 0 },
	{ "http_read_cpu_us", "us", { 0 }, 0 }, { "peer_read_cpu_us", "us", { 0 }, 0 }, { "http_read_per_s", "1/s", { 0 }, 0 }, { "peer_read_per_s", "1/s", { 0 }, 0 },
	{ "http_read_queries", "1", { 0 }, 0 }, { "peer_read_queries", "1", { 0 }, 0 }, { "http_write_cpu_us", "us", { 0 }, 0 }, { "peer_write_cpu_us", "us", { 0 }, 0 },
	{ "http_write_per_s", "1/s", { 0 }, 0 }, { "peer_write_per_s", "1/s", { 0 }, 0 }, { "http_write_queries", "1", { 0 }, 0 }, { "peer_write_queries", "1", { 0 }, 0 },
	{ "bare_read_cpu_us", "us", { 0 }, 0 }, { "bare_read_per_s", "1/s", { 0 }, 0 }, { "bare_read_queries", "1", { 0 }, 0 },
	{ "bare_write_cpu_us", "us", { 0 }, 0 }, { "bare_write_per_s", "1/s", { 0 }, 0 }, { "bare_write_queries", "1", { 0 }, 0 },
	{ "http_read_cpu_ratio_to_bare", "x", { 0 }, 0 }, { "http_write_cpu_ratio_to_bare", "x", { 0 }, 0 },
	{ "http_read_cpu_ratio_to_peer", "x", { 0 }, 0 }, { "http_write_cpu_ratio_to_peer", "x", { 0 }, 0 }, { "http_cpu_ratio_to_peer", "x", { 0 }, 0 },
	{ "freeze_rss_mb", "MiB", { 0 }, 0 }, { "build_rss_mb", "MiB", { 0 }, 0 }, { "submit_rss_mb", "MiB", { 0 }, 0 }, { "http_rss_mb", "MiB", { 0 }, 0 }, { "server_rss_mb", "MiB", { 0 }, 0 },
};

static char dir[] = "/tmp/commonhold-bench-XXXXXX";
static char self[512];
static struct cluster *cluster;
static PGconn *admin;
static int64_t items, batch_lines, runs;
static int64_t raw_bytes;      /* of the rows of a first release */
static char raw_sha256[65];    /* of the same, one shard after another */
static int releases;           /* made so far */

void note(const char *figure, double value)
{
	for (size_t i = 0; i < CH_LEN(figures); i++) {
		struct figure_runs *f = &figures[i];
		if (strcmp(f->name, figure) == 0 && f->n < RUNS_MAX)
			f->v[f->n++] = value;
	}
}

static int ended = -1; /* the cleaner's pipe: a byte says that the cluster was stopped */

/* A process that outlives this one: however the bench ends, no cluster and no folder stay behind. */
static void cleaner_start(void)
{
	int ends[2];
	char byte = 0;
	if (pipe2(ends, O_CLOEXEC) != 0)
		return;
	pid_t postmaster = cluster_pid(cluster), pid = fork();
	if (pid != 0) {
		close(ends[0]);
		ended = ends[1];
		return;
	}
	setsid();
	close(ends[1]);
	for (int i = 0, nowhere = open("/dev/null", O_RDWR); i < 3; i++)
		dup2(nowhere, i);
	while (read(ends[0], &byte, 1) < 0 && errno == EINTR)
		continue;
	if (byte == 0 && postmaster > 1) {
		kill(postmaster, SIGQUIT);
		for (int i = 0; i < 200 && kill(postmaster, 0) == 0; i++)
			usleep(50000);
	}
	execlp("rm", "rm", "-rf", "--", dir, (char *)NULL);
	_exit(1);
}

static void finish(void)
{
	cluster_stop(cluster);
	if (ended >= 0 && write(ended, "x", 1) != 1)
		perror("bench-release");
}

void give_up(const char *what)
{
	fprintf(stderr, "bench-release: %s failed\n", what);
	finish();
	_exit(1);
}

const char *bench_dir(void) { return dir; }

char *sql(const char *fmt, ...)
{
	char text[2000];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	PGresult *r = PQexec(admin, text);
	ExecStatusType status = PQresultStatus(r);
	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
		fprintf(stderr, "%s: %s\n", text, PQresultErrorMessage(r));
		give_up("SQL");
	}
	static char first[8][400];
	static unsigned next;
	char *out = first[next++ % 8];
	snprintf(out, sizeof(first[0]), "%s", status == PGRES_TUPLES_OK && PQntuples(r) ? PQgetvalue(r, 0, 0) : "");
	PQclear(r);
	return out;
}

double shell(char *answer, size_t size, const char *fmt, ...)
{
	char command[2000];
	va_list args;
	va_start(args, fmt);
	vsnprintf(command, sizeof(command), fmt, args);
	va_end(args);
	setenv("BENCH_COMMAND", command, 1);
	int64_t from = clock_tick();
	FILE *p = popen("exec bash -o pipefail -c \"$BENCH_COMMAND\"", "re");
	size_t n = p ? fread(answer, 1, size - 1, p) : 0;
	answer[n] = '\0';
	if (!p || pclose(p) != 0) {
		fprintf(stderr, "%s\n", command);
		give_up("a command");
	}
	while (n && answer[n - 1] == '\n')
		answer[--n] = '\0';
	return (double)(clock_tick() - from) / 1e6;
}

double value_of(const char *answer, const char *name)
{
	size_t n = strlen(name);
	for (const char *at = answer; at; at = strchr(at, '\n')) {
		at += *at == '\n';
		if (strncmp(at, name, n) == 0 && at[n] == ' ')
			return strtod(at + n + 1, NULL);
	}
	give_up(name);
	return 0;
}

/* ---- The cluster ---- */

static void settings_write(const char *var)
{
	/* The same for both sides: nothing waits for the disk, nothing runs in the background. */
	static const char settings[] = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nautovacuum = off\nshared_buffers = 512MB\nmax_wal_size = 16GB\n"
		"checkpoint_timeout = 1h\nwal_level = minimal\nmax_wal_senders = 0\nmaintenance_work_mem = 256MB\nmax_connections = 60\n";
	char path[400];
	mkdir(var, 0700);
	snprintf(path, sizeof(path), "%s/postgres.conf", var);
	FILE *f = fopen(path, "we");
	if (!f || fputs(settings, f) < 0 || fclose(f) != 0)
		give_up("settings");
}

static void begin(void)
{
	struct error e = { 0 };
	char var[300], text[400];
	log_configure(LOG_ERROR, true);
	if (!crypto_start() || !mkdtemp(dir))
		exit(1);
	snprintf(var, sizeof(var), "%s/var", dir);
	settings_write(var);
	if (cluster_start(&cluster, var, &e) != ERR_OK) {
		fprintf(stderr, "%s %s\n", e.message, e.detail);
		give_up("the cluster");
	}
	cleaner_start();
	setenv("COMMONHOLD_DIR", var, 1);
	setenv("COMMONHOLD_LOG", "warn", 1);
	setenv("COMMONHOLD_RATE_LIMIT", "0", 1);
	setenv("COMMONHOLD_CLOCK", "2026-01-03T12:00:00Z", 1);
	setenv("COMMONHOLD_DATABASE_URL", cluster_url(cluster, false), 1);
	setenv("COMMONHOLD_KEYS_URL", cluster_url(cluster, true), 1);
	setenv("BENCH_SOCKET", cluster_socket_dir(cluster), 1);
	snprintf(text, sizeof(text), "host=%s user=postgres dbname=commonhold options='-c client_min_messages=warning'", cluster_socket_dir(cluster));
	setenv("BENCH_ADMIN_URL", text, 1);
	admin = PQconnectdb(text);
	if (PQstatus(admin) != CONNECTION_OK)
		give_up("the superuser's connection");
}

/* Runs a phase in a process of its own. */
static const char *phase(const char *fmt, ...)
{
	static char answer[2000];
	char args[500];
	va_list list;
	va_start(list, fmt);
	vsnprintf(args, sizeof(args), fmt, list);
	va_end(list);
	shell(answer, sizeof(answer), "exec '%s' --phase %s", self, args);
	return answer;
}

/* ---- Releases ---- */

static const char *release_schedule(void)
{
	return sql("INSERT INTO release (coop_id, id, charter, cutoff_at, state, state_at, spec, seed) SELECT id, gen_random_uuid(), 1, '2026-01-01Z'::timestamptz + '%d minutes', "
		"'scheduled', '2026-01-01Z', '{}', decode(repeat('07', 32), 'hex') FROM coop RETURNING id", ++releases);
}

/* The admins have agreed, and the cooling-off is over. */
static void release_agree(const char *id)
{
	sql("UPDATE release SET state = 'cooling_off', build_after = '2026-01-03Z' WHERE id = '%s'", id);
}

/* Nothing was ever released, nor submitted beyond the pool. */
static void forget(void)
{
	char answer[100];
	sql("SET session_replication_role = replica");
	sql("TRUNCATE release_file, release_segment, release_reason");
	sql("UPDATE release SET state = 'expired', version = NULL, published_at = NULL");
	sql("DELETE FROM contribution_content k USING contribution c WHERE c.item_no >= %lld AND k.coop_id = c.coop_id AND k.shard = c.shard AND k.id = c.id", (long long)items);
	sql("DELETE FROM contribution WHERE item_no >= %lld", (long long)items);
	sql("DELETE FROM pool_segment WHERE upto > %lld", (long long)items);
	sql("UPDATE pool_head SET next_item = %lld", (long long)items);
	sql("RESET session_replication_role");
	shell(answer, sizeof(answer), "rm -rf '%s'/var/releases/*", dir);
	phase("pack");
	sql("CHECKPOINT");
}

static void freeze_first(const char *id, bool counted)
{
	const char *answer = phase("freeze %s", id);
	if (!counted)
		return;
	note("freeze_items_per_s", (double)items / (value_of(answer, "us") / 1e6));
	note("freeze_rss_mb", value_of(answer, "rss_mb"));
}

static double build(const char *id, bool counted, double *cpu)
{
	release_agree(id);
	const char *answer = phase("build %s", id);
	const char *state = sql("SELECT state || ' ' || included || ' ' || coalesce(failure, '') FROM release WHERE id = '%s'", id);
	if (strncmp(state, "published", 9) != 0)
		give_up(sql("SELECT '%s: ' || string_agg(stage || ' ' || reason || ' ' || items, ', ') FROM release_reason WHERE release_id = '%s'", state, id));
	double s = value_of(answer, "us") / 1e6;
	*cpu = value_of(answer, "cpu_us") / 1e6;
	if (counted) {
		note("build_mb_per_s", (double)raw_bytes / 1e6 / s);
		note("build_cpu_s", *cpu);
		note("build_rss_mb", value_of(answer, "rss_mb"));
	}
	return s;
}

static double pipe_once(void)
{
	char answer[200];
	double s = shell(answer, sizeof(answer), "psql -qX \"$BENCH_ADMIN_URL\" -c 'COPY (SELECT line FROM peer_row ORDER BY no) TO STDOUT' | tee >(sha256sum >%s/pipe.sha256) | gzip -6 >%s/pipe.gz", dir, dir);
	return s;
}

/* The rows of a first release become the peer's table, in their order, so that both write the same bytes. */
static void peer_rows_make(const char *id)
{
	char answer[200], shards[400];
	snprintf(shards, sizeof(shards), "find %s/var/releases/*/%s/data -name '*.gz' | LC_ALL=C sort | xargs gzip -dc", dir, id);
	sql("CREATE TABLE peer_row (no bigserial PRIMARY KEY, line text)");
	shell(answer, sizeof(answer), "%s | tee %s/rows.jsonl | sha256sum | cut -c1-64", shards, dir);
	memcpy(raw_sha256, answer, 64);
	shell(answer, sizeof(answer), "psql -qX \"$BENCH_ADMIN_URL\" -c 'COPY peer_row (line) FROM STDIN' <%s/rows.jsonl && rm %s/rows.jsonl", dir, dir);
	raw_bytes = strtoll(sql("SELECT sum(raw_size) FROM release_file"), NULL, 10);
	sql("VACUUM ANALYZE peer_row");
	printf("pool: %lld contributions by %d members over %d months; %s eligible, %.0f MB of rows in %s shards\n", (long long)items, MADE_MEMBERS - 1, MADE_MONTHS,
		sql("SELECT sum(rows) FROM release_file"), (double)raw_bytes / 1e6, sql("SELECT count(rows) FROM release_file"));
	pipe_once();
	shell(answer, sizeof(answer), "gzip -dc %s/pipe.gz | sha256sum | cut -c1-64", dir);
	if (strncmp(answer, raw_sha256, 64) != 0)
		give_up("comparing the bytes of both sides");
}

static void releases_once(int run)
{
	double pipe = 0, cpu, ours, second;
	bool counted = run >= 0;
	if (counted && run % 2)
		pipe = pipe_once();
	char first[40];
	snprintf(first, sizeof(first), "%s", release_schedule());
	freeze_first(first, counted);
	ours = build(first, counted, &cpu);
	if (!counted) {
		peer_rows_make(first);
		forget();
		return;
	}
	if (run % 2 == 0)
		pipe = pipe_once();
	note("pipe_mb_per_s", (double)raw_bytes / 1e6 / pipe);
	note("build_speedup_over_pipe", pipe / ours);
	phase("grow %lld %lld", (long long)items, (long long)(items / 100));
	snprintf(first, sizeof(first), "%s", release_schedule());
	note("second_freeze_s", value_of(phase("freeze %s", first), "us") / 1e6);
	second = build(first, false, &cpu);
	note("second_build_s", second);
	note("second_build_cpu_s", cpu);
	note("second_release_share", second / ours);
	forget();
}

/* ---- Submission ---- */

static double copy_once(void)
{
	char answer[200];
	sql("TRUNCATE peer_copy");
	return shell(answer, sizeof(answer), "psql -qX \"$BENCH_ADMIN_URL\" -c 'COPY peer_copy FROM STDIN' <%s/batch.copy", dir);
}

static void submission_once(int run)
{
	double copy = 0;
	phase("lines %s/batch.ndjson %s/batch.copy %lld %lld", dir, dir, (long long)(items * 2 + (run + 1) * batch_lines), (long long)batch_lines);
	if (run % 2)
		copy = copy_once();
	const char *answer = phase("submit %s/batch.ndjson", dir);
	double ours = value_of(answer, "us") / 1e6;
	if ((int64_t)value_of(answer, "taken") != batch_lines)
		give_up("submission");
	double memory = value_of(answer, "rss_mb");
	if (run % 2 == 0)
		copy = copy_once();
	if (run >= 0) {
		note("submit_lines_per_s", (double)batch_lines / ours);
		note("copy_rows_per_s", (double)batch_lines / copy);
		note("submit_ratio_to_copy", ours / copy);
		note("submit_rss_mb", memory);
	}
	forget();
}

static void submission(void)
{
	sql("CREATE TABLE peer_copy (id uuid PRIMARY KEY, member_no integer NOT NULL, kind text NOT NULL, lang text NOT NULL, application text NOT NULL, content text NOT NULL)");
	for (int run = -1; run < runs; run++)
		submission_once(run);
}

/* ---- The report ---- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double highest(const char *name)
{
	double most = 0;
	for (size_t i = 0; i < CH_LEN(figures); i++)
		for (int run = 0; run < figures[i].n && strcmp(figures[i].name, name) == 0; run++)
			most = figures[i].v[run] > most ? figures[i].v[run] : most;
	return most;
}

/* Of all processes of ours, run by run the one that took most. */
static void memory_sum_up(void)
{
	static const char *const of[] = { "freeze_rss_mb", "build_rss_mb", "submit_rss_mb", "http_rss_mb" };
	for (int run = 0; run < runs; run++) {
		double most = 0;
		for (size_t i = 0; i < CH_LEN(figures); i++)
			for (size_t k = 0; k < CH_LEN(of); k++)
				if (strcmp(figures[i].name, of[k]) == 0 && run < figures[i].n && figures[i].v[run] > most)
					most = figures[i].v[run];
		if (most > 0)
			note("server_rss_mb", most);
	}
}

static void report(void)
{
	char versions[400];
	bool any = false;
	memory_sum_up();
	shell(versions, sizeof(versions), "printf '%%s, ' \"$(psql --version)\" \"node $(node --version)\" \"$(gzip --version | head -1)\"; uname -rm");
	printf("%ld cores, %s; fsync off, medians of %lld runs (least to most)\n", sysconf(_SC_NPROCESSORS_ONLN), versions, (long long)runs);
	mkdir("build", 0755);
	mkdir("build/bench", 0755);
	FILE *f = fopen("build/bench/release.json", "we");
	if (!f)
		give_up("build/bench/release.json");
	fprintf(f, "{\"bench\":\"release\",\"figures\":{");
	for (size_t i = 0; i < CH_LEN(figures); i++) {
		struct figure_runs *g = &figures[i];
		if (g->n == 0)
			continue;
		qsort(g->v, (size_t)g->n, sizeof(g->v[0]), by_value);
		double median = g->n % 2 ? g->v[g->n / 2] : (g->v[g->n / 2 - 1] + g->v[g->n / 2]) / 2;
		printf("%-32s %14.3f %-6s (%.3f to %.3f)\n", g->name, median, g->unit, g->v[0], g->v[g->n - 1]);
		fprintf(f, "%s\"%s\":{\"median\":%.4f,\"min\":%.4f,\"max\":%.4f,\"n\":%d,\"unit\":\"%s\"}", any ? "," : "", g->name, median, g->v[0], g->v[g->n - 1], g->n, g->unit);
		any = true;
	}
	fprintf(f, "}}\n");
	fclose(f);
	printf("highest memory: %.0f MiB\n", highest("server_rss_mb"));
}

static int64_t setting(const char *name, int64_t otherwise, int64_t most)
{
	const char *text = getenv(name);
	int64_t v;
	return text && str_to_i64(str_of(text), 1, most, &v) ? v : otherwise;
}

static bool wanted(const char *part)
{
	const char *parts = getenv("BENCH_PARTS");
	return !parts || strstr(parts, part);
}

int main(int argc, char **argv)
{
	if (argc > 2 && strcmp(argv[1], "--phase") == 0)
		return phase_run(argc - 2, argv + 2);
	char token[400];
	setvbuf(stdout, NULL, _IOLBF, 0);
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n <= 0)
		return 1;
	items = setting("BENCH_ITEMS", 1000000, 20000000);
	batch_lines = setting("BENCH_LINES", 100000, 5000000);
	runs = setting("BENCH_RUNS", 5, RUNS_MAX);
	begin();
	snprintf(token, sizeof(token), "%.*s", 399, strchr(phase("make %lld", (long long)items), ' ') + 1);
	token[strcspn(token, "\n")] = '\0';
	for (int run = -1; wanted("build") && run < runs; run++)
		releases_once(run);
	if (wanted("submit"))
		submission();
	if (wanted("http"))
		requests(token, items, (int)runs);
	report();
	PQfinish(admin);
	finish();
	return 0;
}
