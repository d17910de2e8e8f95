/* What the store costs: primary-key look-ups through the pool against pgbench, COPY streams against psql, on one throwaway cluster in the same run. Rounds of ours and
 * of the peer's alternate. Writes build/bench/store.json. */
#include "tests/unit/fixture.h"

#include <fcntl.h>
#include <libpq-fe.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROUNDS 5
#define ROWS 200000       /* of about 200 bytes */
#define LOOK_UPS_US 1000000
#define THREADS 4

SQL(look_up, "SELECT id, body FROM item WHERE id = $1");

/* One figure over the rounds. */
struct figure { const char *name, *unit; double v[ROUNDS]; };

static struct figure figures[] = {
	{ "look_ups_one_trip_per_s", "1/s", { 0 } }, { "look_ups_in_one_transaction_per_s", "1/s", { 0 } }, { "look_ups_4_threads_per_s", "1/s", { 0 } },
	{ "pgbench_prepared_per_s", "1/s", { 0 } }, { "pgbench_tenant_transaction_per_s", "1/s", { 0 } },
	{ "copy_out_rows_per_s", "rows/s", { 0 } }, { "psql_copy_out_rows_per_s", "rows/s", { 0 } },
	{ "copy_in_rows_per_s", "rows/s", { 0 } }, { "psql_copy_in_rows_per_s", "rows/s", { 0 } },
};

static void need(struct call *c, enum err code)
{
	if (code == ERR_OK)
		return;
	fprintf(stderr, "%s %s\n", c->error.message, c->error.detail);
	exit(1);
}

static double per_second(int64_t n, int64_t us)
{
	return (double)n * 1e6 / (double)(us ? us : 1);
}

/* Each a transaction with its settings, and its connection taken from the pool and returned. */
static int64_t look_ups(struct call *c, int64_t *us)
{
	int64_t n = 0, from = clock_tick();
	struct arena_mark mark = arena_mark(c->arena);
	do {
		struct rows r;
		need(c, db_begin(c, DB_READ));
		need(c, db_finish(c, look_up, &r, A_INT(1 + n * 7919 % ROWS)));
		db_release(c);
		if (r.n != 1)
			abort();
		arena_rewind(c->arena, mark);
		n++;
	} while ((*us = clock_tick() - from) < LOOK_UPS_US);
	return n;
}

static double look_ups_alone(struct call *c)
{
	int64_t us, n = look_ups(c, &us);
	return per_second(n, us);
}

static double look_ups_inside(struct call *c)
{
	int64_t n = 0, from = clock_tick(), us;
	struct arena_mark mark = arena_mark(c->arena);
	need(c, db_begin(c, DB_READ));
	do {
		struct rows r;
		need(c, db_query(c, look_up, &r, A_INT(1 + n * 7919 % ROWS)));
		arena_rewind(c->arena, mark);
		n++;
	} while ((us = clock_tick() - from) < LOOK_UPS_US);
	need(c, db_commit(c));
	db_release(c);
	return per_second(n, us);
}

static void *look_up_thread(void *arg)
{
	int64_t us;
	return (void *)(intptr_t)look_ups(arg, &us);
}

static double look_ups_threaded(void)
{
	pthread_t threads[THREADS];
	int64_t total = 0, from = clock_tick();
	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&threads[i], NULL, look_up_thread, fixture_call()) != 0)
			abort();
	for (int i = 0; i < THREADS; i++) {
		void *n;
		pthread_join(threads[i], &n);
		total += (intptr_t)n;
	}
	return per_second(total, clock_tick() - from);
}

/* A command of the peer's; the time it took. Sockets and names come from us, not from outside. */
static int64_t shell(const char *command)
{
	int64_t from = clock_tick();
	if (system(command) != 0) {
		fprintf(stderr, "failed: %s\n", command);
		exit(1);
	}
	return clock_tick() - from;
}

static double pgbench(const char *script)
{
	char path[128], command[512], line[64] = "";
	snprintf(path, sizeof(path), "%s/script.sql", fixture_dir());
	FILE *f = fopen(path, "w");
	if (!f || fputs(script, f) < 0 || fclose(f) != 0)
		abort();
	snprintf(command, sizeof(command), "pgbench -n -M prepared -c 1 -T 1 -f %s '%s' 2>/dev/null | sed -n 's/^tps = \\([0-9]*\\).*/\\1/p' >%s/tps", path, fixture_url(false),
		fixture_dir());
	shell(command);
	snprintf(path, sizeof(path), "%s/tps", fixture_dir());
	f = fopen(path, "r");
	if (!f || !fgets(line, sizeof(line), f))
		abort();
	fclose(f);
	return strtod(line, NULL);
}

static double pgbench_bare(void)
{
	return pgbench("\\set i random(1, 200000)\nSELECT id, body FROM item WHERE id = :i;\n");
}

static double pgbench_tenant(void)
{
	return pgbench("\\set i random(1, 200000)\nBEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\n"
		"SELECT set_config('commonhold.now', 'x', true), set_config('commonhold.account', 'x', true), set_config('commonhold.coop', 'x', true);\n"
		"SELECT id, body FROM item WHERE id = :i;\nCOMMIT;\n");
}

static enum err add_bytes(void *arg, const struct copy_field *f, int n)
{
	*(int64_t *)arg += f[n - 1].n;
	return ERR_OK;
}

static double copy_out(struct call *c)
{
	int64_t bytes = 0, from = clock_tick();
	need(c, db_begin(c, DB_READ));
	need(c, db_copy_out(c, "COPY item TO STDOUT (FORMAT binary)", NULL, 0, add_bytes, &bytes));
	need(c, db_commit(c));
	db_release(c);
	return per_second(ROWS, clock_tick() - from);
}

static double psql_copy_out(void)
{
	char command[256];
	snprintf(command, sizeof(command), "psql -qX '%s' -c 'COPY item TO STDOUT (FORMAT binary)' >%s/rows", fixture_url(false), fixture_dir());
	return per_second(ROWS, shell(command));
}

static double psql_copy_in(void)
{
	char command[256];
	fixture_sql("TRUNCATE copied");
	snprintf(command, sizeof(command), "psql -qX '%s' -c 'COPY copied FROM STDIN (FORMAT binary)' <%s/rows", fixture_url(false), fixture_dir());
	return per_second(ROWS, shell(command));
}

static double copy_in(struct call *c)
{
	static const char body[] = "A contribution of two hundred bytes or thereabouts, which is what a short message takes up when it is stored as "
		"canonical text and nothing else, and which this bench copies a great many times.";
	struct copy_in *in;
	int64_t rows;
	fixture_sql("TRUNCATE copied");
	int64_t from = clock_tick();
	need(c, db_begin(c, DB_WRITE));
	need(c, db_copy_in_begin(c, "COPY copied FROM STDIN (FORMAT binary)", &in));
	for (int i = 0; i < ROWS; i++) {
		copy_in_row(in, 2);
		copy_in_int4(in, i);
		copy_in_str(in, str_make(body, sizeof(body) - 1));
		need(c, copy_in_flush(in));
	}
	need(c, db_copy_in_end(in, &rows));
	need(c, db_commit(c));
	db_release(c);
	return per_second(rows, clock_tick() - from);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void report(void)
{
	mkdir("build", 0755);
	mkdir("build/bench", 0755);
	FILE *f = fopen("build/bench/store.json", "w");
	if (!f)
		exit(1);
	fprintf(f, "{\"bench\":\"store\",\"figures\":{");
	printf("%ld cores, PostgreSQL %s, libpq %d, fsync off\n", sysconf(_SC_NPROCESSORS_ONLN), fixture_text("SHOW server_version"), PQlibVersion());
	for (size_t i = 0; i < CH_LEN(figures); i++) {
		struct figure *g = &figures[i];
		qsort(g->v, ROUNDS, sizeof(g->v[0]), by_value);
		printf("%-36s %10.0f %-7s (%.0f to %.0f)\n", g->name, g->v[ROUNDS / 2], g->unit, g->v[0], g->v[ROUNDS - 1]);
		fprintf(f, "%s\"%s\":{\"median\":%.0f,\"min\":%.0f,\"max\":%.0f,\"n\":%d,\"unit\":\"%s\"}", i ? "," : "", g->name, g->v[ROUNDS / 2], g->v[0], g->v[ROUNDS - 1],
			ROUNDS, g->unit);
	}
	fprintf(f, "}}\n");
	fclose(f);
}

static void bench(void **state)
{
	(void)state;
	struct call *c = fixture_call();
	fixture_sql("CREATE TABLE item AS SELECT g AS id, repeat(md5(g::text), 6) AS body FROM generate_series(1, 200000) g; ALTER TABLE item ADD PRIMARY KEY (id);"
		"CREATE UNLOGGED TABLE copied (id integer, body text); GRANT ALL ON item, copied TO commonhold_app, commonhold;");
	fixture_sql("VACUUM ANALYZE item");
	for (int i = 0; i < ROUNDS; i++) {
		figures[0].v[i] = look_ups_alone(c);
		figures[3].v[i] = pgbench_bare();
		figures[4].v[i] = pgbench_tenant();
		figures[1].v[i] = look_ups_inside(c);
		figures[2].v[i] = look_ups_threaded();
		figures[5].v[i] = copy_out(c);
		figures[6].v[i] = psql_copy_out();
		figures[7].v[i] = copy_in(c);
		figures[8].v[i] = psql_copy_in();
	}
	report();
}

int main(void)
{
	const struct CMUnitTest tests[] = { fixture_test(bench) };
	return fixture_run(tests, CH_LEN(tests));
}
