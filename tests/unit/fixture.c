#include "fixture.h"
#include "commonhold/crypto.h"
#include "commonhold/log.h"

#include <dirent.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CALLS_MAX 64    /* of one test */
#define TEXTS_MAX 256   /* answers of fixture_text in one test */

static struct {
	struct cluster *cluster;     /* NULL until the first use */
	char dir[64];                /* of the program */
	char database[2][32];        /* of the test: content, keys */
	char urls[2][256];
	int number;                  /* of the test's database */
	PGconn *maker, *dropper;     /* superuser, in the database postgres; each may have a command under way */
	PGconn *inside[2];           /* superuser, in the test's databases; opened when needed */
	struct db_pool *pools[2];
	struct call *calls[CALLS_MAX];
	int call_count;
	PGresult *texts[TEXTS_MAX];
	int text_count;
} fix;

/* Sends a signal to every process that works below the directory: PostgreSQL's all do. How many there are. */
static int signal_below(const char *dir, int sig)
{
	DIR *proc = opendir("/proc");
	int found = 0;
	for (struct dirent *entry; proc && (entry = readdir(proc)) != NULL;) {
		char link[64], where[256];
		int64_t pid;
		snprintf(link, sizeof(link), "/proc/%.20s/cwd", entry->d_name);
		ssize_t n = readlink(link, where, sizeof(where) - 1);
		if (n <= (ssize_t)strlen(dir) || memcmp(where, dir, strlen(dir)) != 0 || where[strlen(dir)] != '/')
			continue;
		if (str_to_i64(str_of(entry->d_name), 2, INT32_MAX, &pid) && kill((pid_t)pid, sig) == 0)
			found++;
	}
	if (proc)
		closedir(proc);
	return found;
}

/* A process that outlives this one and takes its clusters away, so that a test that crashes leaves nothing behind. */
static void cleaner_run(int watched)
{
	char byte;
	setsid();
	while (read(watched, &byte, 1) > 0)
		continue;
	for (int i = 0; i < 500 && signal_below(fix.dir, SIGKILL) > 0; i++)
		usleep(10000);
	execlp("rm", "rm", "-rf", "--", fix.dir, (char *)NULL);
	_exit(1);
}

static void cleaner_start(void)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) != 0)
		abort();
	pid_t pid = fork();
	if (pid != 0) {
		close(ends[0]);
		return;
	}
	/* Whoever reads the test's output must not wait for this process. */
	int nowhere = open("/dev/null", O_RDWR);
	for (int i = 0; i < 3; i++)
		dup2(nowhere, i);
	close(ends[1]);
	cleaner_run(ends[0]);
}

static void write_settings(void)
{
	static const char settings[] = "fsync = off\nfull_page_writes = off\nsynchronous_commit = off\nmax_connections = 100\nshared_buffers = 64MB\n"
		"autovacuum = off\nwal_level = minimal\nmax_wal_senders = 0\ncheckpoint_timeout = 1h\n";
	char path[128];
	snprintf(path, sizeof(path), "%s/var", fix.dir);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/var/postgres.conf", fix.dir);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, settings, sizeof(settings) - 1) < 0 || close(fd) != 0)
		abort();
}

static void complain(const char *what, const struct error *e)
{
	fprintf(stderr, "%s: %s %s %s\n", what, e->message, e->detail, e->hint);
}

static PGconn *connect_admin(const char *database)
{
	PGconn *pg = PQconnectdb(fixture_admin_url(database));
	if (PQstatus(pg) != CONNECTION_OK)
		fail_msg("%s", PQerrorMessage(pg));
	return pg;
}

static PGresult *admin_run(PGconn *pg, const char *sql)
{
	PGresult *r = PQexec(pg, sql);
	ExecStatusType status = PQresultStatus(r);
	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		fail_msg("%s in %s", PQresultErrorMessage(r), sql);
	return r;
}

/* Waits for the command under way, if any. */
static void admin_wait(PGconn *pg)
{
	PGresult *r;
	while (pg && (r = PQgetResult(pg)) != NULL) {
		ExecStatusType status = PQresultStatus(r);
		PQclear(r);
		if (status != PGRES_COMMAND_OK)
			fail_msg("%s", PQerrorMessage(pg));
	}
}

/* Sends a command with a database's number and goes on: databases are made and dropped while tests run. */
static void admin_send(PGconn *pg, const char *before, int number, const char *after)
{
	char sql[128];
	snprintf(sql, sizeof(sql), "%s test_%d %s", before, number, after);
	admin_wait(pg);
	if (!PQsendQuery(pg, sql))
		fail_msg("%s: %s", sql, PQerrorMessage(pg));
}

static void database_order(int number)
{
	admin_send(fix.maker, "CREATE DATABASE", number, "TEMPLATE commonhold OWNER commonhold");
}

/* Migrates the cluster's two databases once; they are the templates. */
static bool templates_make(struct error *e)
{
	for (int keys = 0; keys < 2; keys++) {
		struct db_pool *p;
		if (db_pool_open(&p, cluster_url(fix.cluster, keys), 1, e) != ERR_OK)
			return false;
		enum err code = db_migrate(p, keys, NULL, e);
		db_pool_close(p);
		if (code != ERR_OK)
			return false;
	}
	return true;
}

const char *fixture_dir(void)
{
	if (fix.dir[0])
		return fix.dir;
	const char *tmp = getenv("TMPDIR");
	snprintf(fix.dir, sizeof(fix.dir), "%s/commonhold-test-XXXXXX", tmp && strlen(tmp) < 32 ? tmp : "/tmp");
	if (!crypto_start() || !mkdtemp(fix.dir))
		abort();
	log_configure(LOG_ERROR, true);
	cleaner_start();
	return fix.dir;
}

static bool cluster_make(void)
{
	struct error e = { 0 };
	fixture_dir();
	write_settings();
	char var[80];
	snprintf(var, sizeof(var), "%s/var", fix.dir);
	if (cluster_start(&fix.cluster, var, &e) != ERR_OK || !templates_make(&e)) {
		complain("The test cluster", &e);
		return false;
	}
	return true;
}

static bool postgres_is_there(void)
{
	return access("/usr/lib/postgresql", X_OK) == 0;
}

static void pools_open(void)
{
	struct error e = { 0 };
	for (int keys = 0; keys < 2; keys++)
		if (db_pool_open(&fix.pools[keys], fix.urls[keys], FIXTURE_DB_POOL, &e) != ERR_OK)
			fail_msg("%s", e.message);
	db_use_pool(fix.pools[0], fix.pools[1]);
}

int fixture_setup(void **state)
{
	(void)state;
	if (!postgres_is_there())
		return 0;
	if (!fix.cluster && !cluster_make())
		return -1;
	if (!fix.maker) {
		fix.maker = connect_admin("postgres");
		fix.dropper = connect_admin("postgres");
		database_order(1);
	}
	clock_set(INSTANT_NONE);
	clock_shift(0);
	admin_wait(fix.maker);
	snprintf(fix.database[0], sizeof(fix.database[0]), "test_%d", ++fix.number);
	snprintf(fix.database[1], sizeof(fix.database[1]), "commonhold_keys");
	for (int keys = 0; keys < 2; keys++) {
		char name[32];
		memcpy(name, fix.database[keys], sizeof(name));
		snprintf(fix.urls[keys], sizeof(fix.urls[keys]), "host=%s user=commonhold dbname=%s", cluster_socket_dir(fix.cluster), name);
	}
	fixture_keys_sql("TRUNCATE member_key, coop_key");
	database_order(fix.number + 1);
	pools_open();
	return 0;
}

int fixture_teardown(void **state)
{
	(void)state;
	while (fix.call_count)
		fixture_end(fix.calls[fix.call_count - 1]);
	while (fix.text_count)
		PQclear(fix.texts[--fix.text_count]);
	PQfinish(fix.inside[0]);
	fix.inside[0] = NULL;
	for (int keys = 0; keys < 2; keys++) {
		db_pool_close(fix.pools[keys]);
		fix.pools[keys] = NULL;
	}
	if (fix.dropper)
		admin_send(fix.dropper, "DROP DATABASE IF EXISTS", fix.number, "WITH (FORCE)");
	clock_set(INSTANT_NONE);
	clock_shift(0);
	return 0;
}

int fixture_run_group(const char *file, const struct CMUnitTest *tests, size_t count)
{
	int failed = _cmocka_run_group_tests(file, tests, count, NULL, NULL);
	admin_wait(fix.maker);
	PQfinish(fix.maker);
	PQfinish(fix.dropper);
	PQfinish(fix.inside[1]);
	cluster_stop(fix.cluster);
	return failed ? 1 : 0;
}

struct call *fixture_call(void)
{
	if (!fix.cluster)
		skip();
	if (fix.call_count == CALLS_MAX)
		fail_msg("A test has more than %d calls", CALLS_MAX);
	struct arena *arena = arena_new(LIMIT_JOB_ARENA);
	struct call *c = calloc(1, sizeof(*c));
	if (!arena || !c)
		abort();
	c->arena = arena;
	c->request_id = STR("test");
	c->locale = STR("en");
	fix.calls[fix.call_count++] = c;
	return c;
}

struct call *fixture_system(void)
{
	struct call *c = fixture_call();
	c->actor.kind = AUTH_SYSTEM;
	return c;
}

void fixture_end(struct call *c)
{
	for (int i = 0; i < fix.call_count; i++)
		if (fix.calls[i] == c)
			fix.calls[i] = fix.calls[--fix.call_count];
	db_release(c);
	arena_free(c->arena);
	free(c);
}

static PGconn *inside(bool keys)
{
	if (!fix.cluster)
		skip();
	if (!fix.inside[keys])
		fix.inside[keys] = connect_admin(fix.database[keys]);
	return fix.inside[keys];
}

void fixture_sql(const char *sql) { PQclear(admin_run(inside(false), sql)); }
void fixture_keys_sql(const char *sql) { PQclear(admin_run(inside(true), sql)); }

const char *fixture_text(const char *sql)
{
	PGresult *r = admin_run(inside(false), sql);
	if (fix.text_count == TEXTS_MAX)
		fail_msg("A test asks for more than %d texts", TEXTS_MAX);
	fix.texts[fix.text_count++] = r;
	return PQntuples(r) && !PQgetisnull(r, 0, 0) ? PQgetvalue(r, 0, 0) : NULL;
}

int64_t fixture_int(const char *sql)
{
	int64_t v = 0;
	PGresult *r = admin_run(inside(false), sql);
	const char *text = PQntuples(r) && !PQgetisnull(r, 0, 0) ? PQgetvalue(r, 0, 0) : NULL;
	bool number = text && str_to_i64(str_of(text), INT64_MIN, INT64_MAX, &v);
	PQclear(r);
	if (!number)
		fail_msg("%s gives no number", sql);
	return v;
}

const char *fixture_url(bool keys) { return fix.urls[keys]; }
struct cluster *fixture_cluster(void) { return fix.cluster; }

const char *fixture_admin_url(const char *database)
{
	static _Thread_local char url[256];
	snprintf(url, sizeof(url), "host=%s user=postgres dbname=%s options='-c client_min_messages=warning'", cluster_socket_dir(fix.cluster), database);
	return url;
}

static void say_error(const struct call *c, const char *what)
{
	const struct error *e = &c->error;
	print_error("%s: %s: %s\n%s%s%s%s", what, err_code(e->code), e->message, e->detail, e->detail[0] ? "\n" : "", e->hint, e->hint[0] ? "\n" : "");
	for (const struct fault *f = e->faults; f; f = f->next)
		print_error("  %.*s: %.*s\n", STR_ARG(f->pointer), STR_ARG(f->message));
}

void fixture_assert_ok(const struct call *c, enum err code, const char *what, const char *file, int line)
{
	if (code == ERR_OK)
		return;
	say_error(c, what);
	_fail(file, line);
}

void fixture_assert_err(struct call *c, enum err wanted, enum err code, const char *what, const char *file, int line)
{
	if (code != wanted) {
		print_error("%s gives %s, not %s\n", what, err_code(code), err_code(wanted));
		if (code != ERR_OK)
			say_error(c, what);
		_fail(file, line);
	}
	db_rollback(c);
}

void fixture_assert_str(struct str s, const char *z, const char *file, int line)
{
	if (str_is(s, z))
		return;
	print_error("\"%.*s\" is not \"%s\"\n", STR_ARG(s), z);
	_fail(file, line);
}
