#include "tests/bench/release/phases.h"

#include "commonhold/account.h"
#include "commonhold/config.h"
#include "commonhold/db.h"
#include "commonhold/ledger.h"
#include "commonhold/log.h"
#include "commonhold/release.h"
#include "tests/bench/release/pool.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

static struct call *call_new(void)
{
	struct call *c = calloc(1, sizeof(*c));
	c->arena = arena_new(LIMIT_JOB_ARENA);
	c->request_id = STR("bench");
	c->locale = STR("en");
	c->actor.kind = AUTH_SYSTEM;
	return c;
}

/* The program's parts as a server has them, on the databases that the parent runs. */
static struct call *start(void)
{
	struct call *c = call_new();
	struct db_pool *content, *keys;
	struct instance_keys *instance;
	if (!crypto_start())
		abort();
	NEED(c, config_load(&c->error));
	NEED(c, db_pool_open(&content, config()->database_url, 4, &c->error));
	NEED(c, db_pool_open(&keys, config()->keys_url, 2, &c->error));
	db_use_pool(content, keys);
	mkdir(config()->releases_dir, 0755);
	NEED(c, instance_keys_open(config()->key_dir, &instance, &c->error));
	instance_keys_use(instance);
	ledger_use_host("bench.example");
	return c;
}

static void say(const char *name, double value)
{
	printf("%s %.6f\n", name, value);
}

/* Peak resident memory of this process. */
static void say_memory(void)
{
	char line[256];
	FILE *f = fopen("/proc/self/status", "re");
	while (f && fgets(line, sizeof(line), f)) {
		int64_t kib;
		struct str text = str_of(line);
		if (str_starts(text, "VmHWM:") && str_to_i64(str_trim(str_sub(text, 6, (size_t)str_index(text, 'k') - 6)), 0, INT64_MAX, &kib))
			say("rss_mb", (double)kib / 1024);
	}
	if (f)
		fclose(f);
}

static int64_t cpu_us(void)
{
	struct rusage r;
	getrusage(RUSAGE_SELF, &r);
	return (int64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000 + r.ru_utime.tv_usec + r.ru_stime.tv_usec;
}

static int64_t number(const char *text)
{
	int64_t v;
	if (!text || !str_to_i64(str_of(text), 0, INT64_MAX, &v))
		exit(2);
	return v;
}

static PGconn *admin_open(void)
{
	PGconn *pg = PQconnectdb(getenv("BENCH_ADMIN_URL"));
	if (PQstatus(pg) != CONNECTION_OK) {
		fprintf(stderr, "%s", PQerrorMessage(pg));
		exit(1);
	}
	return pg;
}

static struct uuid coop_there(struct call *c)
{
	struct coop coop;
	NEED(c, db_begin(c, DB_READ));
	NEED(c, coop_find(c, STR("bench"), &coop));
	NEED(c, db_commit(c));
	return coop.id;
}

/* The founder: an admin, so may read every item, and contributes. */
static void act_as_founder(struct call *c)
{
	struct account account;
	NEED(c, account_find(c, STR("founder@example.org"), &account));
	c->actor = (struct actor){ .kind = AUTH_TOKEN, .account = account.id, .email = account.email, .name = account.name };
}

static int make(char **argv)
{
	struct error e = { 0 };
	struct call *c = start();
	struct token_row token;
	struct uuid coop;
	struct str secret;
	if (db_migrate(db_content_pool(), false, NULL, &e) != ERR_OK || db_migrate(db_keys_pool(), true, NULL, &e) != ERR_OK) {
		fprintf(stderr, "%s\n", e.message);
		return 1;
	}
	PGconn *admin = admin_open();
	pool_make(c, admin, getenv("BENCH_ADMIN_URL"), number(argv[0]), &coop);
	act_as_founder(c);
	NEED(c, token_create(c, STR("bench"), INSTANT_NONE, &token, &secret));
	printf("token %.*s\n", STR_ARG(secret));
	PQfinish(admin);
	return 0;
}

static int grow(char **argv)
{
	struct call *c = start();
	PGconn *admin = admin_open();
	pool_grow(c, admin, getenv("BENCH_ADMIN_URL"), coop_there(c), number(argv[0]), number(argv[1]));
	PQfinish(admin);
	return 0;
}

static int pack(char **argv)
{
	struct call *c = start();
	(void)argv;
	pool_pack_all(c, coop_there(c));
	db_release(c);
	return 0;
}

static int on_release(char **argv, enum err (*what)(struct call *c, struct uuid coop, struct uuid release))
{
	struct call *c = start();
	struct uuid release, coop = coop_there(c);
	if (!uuid_parse(str_of(argv[0]), &release))
		return 2;
	int64_t cpu = cpu_us(), from = clock_tick();
	NEED(c, what(c, coop, release));
	say("us", (double)(clock_tick() - from));
	say("cpu_us", (double)(cpu_us() - cpu));
	say_memory();
	db_release(c);
	return 0;
}

static int freeze(char **argv) { return on_release(argv, release_freeze); }
static int build(char **argv) { return on_release(argv, release_build); }

/* A batch as a client has it, and the same rows as COPY takes them. */
static int lines(char **argv)
{
	static struct made_item item;
	int64_t first = number(argv[2]), n = number(argv[3]);
	FILE *batch = fopen(argv[0], "we"), *copy = fopen(argv[1], "we");
	if (!batch || !copy || !crypto_start())
		return 1;
	struct arena *a = arena_new(MIB);
	for (int64_t i = 0; i < n; i++) {
		made_item((uint64_t)(first + i), 1, &item);
		const char *kind = policy_kind_name(item.kind);
		struct str id = uuid_format(a, item.id);
		fprintf(batch, "{\"kind\":\"%s\",\"lang\":\"%s\",\"application\":\"bench\",\"content\":%.*s}\n", kind, item.lang, (int)item.n, item.content);
		fprintf(copy, "%.*s\t%u\t%s\t%s\tbench\t%.*s\n", STR_ARG(id), item.member, kind, item.lang, (int)item.n, item.content);
		arena_reset(a);
	}
	arena_free(a);
	return fclose(batch) == 0 && fclose(copy) == 0 ? 0 : 1;
}

static enum err count(void *arg, const struct verdict *v)
{
	*(int64_t *)arg += v->receipt && !v->receipt->duplicate;
	return v->err;
}

static int submit(char **argv)
{
	struct call *c = start();
	struct uuid coop = coop_there(c);
	struct pool_batch *b;
	int64_t taken = 0;
	char *line = NULL;
	size_t room = 0;
	ssize_t length;
	FILE *f = fopen(argv[0], "re");
	if (!f)
		return 1;
	act_as_founder(c);
	int64_t cpu = cpu_us(), from = clock_tick();
	NEED(c, pool_batch_begin(c, coop, count, &taken, &b));
	while ((length = getline(&line, &room, f)) > 0)
		NEED(c, pool_batch_line(b, str_make(line, (size_t)length)));
	NEED(c, pool_batch_end(b));
	say("us", (double)(clock_tick() - from));
	say("cpu_us", (double)(cpu_us() - cpu));
	say("taken", (double)taken);
	say_memory();
	free(line);
	fclose(f);
	db_release(c);
	return 0;
}

int phase_run(int argc, char **argv)
{
	static const struct { const char *name; int args; int (*run)(char **argv); } phases[] = {
		{ "make", 1, make }, { "grow", 2, grow }, { "pack", 0, pack }, { "freeze", 1, freeze }, { "build", 1, build }, { "lines", 4, lines }, { "submit", 1, submit },
	};
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < CH_LEN(phases); i++)
		if (argc == phases[i].args + 1 && str_is(str_of(argv[0]), phases[i].name))
			return phases[i].run(argv + 1);
	return 2;
}
