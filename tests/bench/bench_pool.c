/* Batch submission against a bare COPY of the same rows into the same tables without row-level security, and scanning the packed columns. In a cluster of its own.
 *
 *   LINES=100000   lines of the batch, about 1 KB each
 *   SCAN=2000000   items to scan
 */
#include "commonhold/account.h"
#include "commonhold/coop.h"
#include "commonhold/db.h"
#include "commonhold/log.h"
#include "commonhold/pool.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[] = "/tmp/commonhold-bench-XXXXXX";
static struct cluster *cluster;
static PGconn *admin;

static void need(const struct call *c, enum err err, const char *what)
{
	if (err == ERR_OK)
		return;
	fprintf(stderr, "%s: %s %s\n", what, c->error.message, c->error.detail);
	for (const struct fault *f = c->error.faults; f; f = f->next)
		fprintf(stderr, "  %.*s %.*s\n", STR_ARG(f->pointer), STR_ARG(f->message));
	cluster_stop(cluster);
	exit(1);
}
#define NEED(c, expression) need((c), (expression), #expression)

static struct call *call_new(void)
{
	struct call *c = calloc(1, sizeof(*c));
	c->arena = arena_new(LIMIT_JOB_ARENA);
	c->request_id = STR("bench");
	c->locale = STR("en");
	return c;
}

static void start(void)
{
	struct call *c = call_new();
	struct db_pool *content, *keys;
	struct instance_keys *instance;
	char path[100];
	log_configure(LOG_ERROR, true);
	if (!crypto_start() || !mkdtemp(dir))
		abort();
	snprintf(path, sizeof(path), "%s/var", dir);
	NEED(c, cluster_start(&cluster, path, &c->error));
	NEED(c, db_pool_open(&content, cluster_url(cluster, false), 4, &c->error));
	NEED(c, db_pool_open(&keys, cluster_url(cluster, true), 2, &c->error));
	NEED(c, db_migrate(content, false, NULL, &c->error));
	NEED(c, db_migrate(keys, true, NULL, &c->error));
	db_use_pool(content, keys);
	snprintf(path, sizeof(path), "%s/keys", dir);
	NEED(c, instance_keys_open(path, &instance, &c->error));
	instance_keys_use(instance);
	snprintf(path, sizeof(path), "host=%s user=postgres dbname=commonhold", cluster_socket_dir(cluster));
	admin = PQconnectdb(path);
	if (PQstatus(admin) != CONNECTION_OK)
		fprintf(stderr, "%s\n", PQerrorMessage(admin));
	arena_free(c->arena);
	free(c);
}

static void sql(const char *text)
{
	PGresult *r = PQexec(admin, text);
	if (PQresultStatus(r) != PGRES_COMMAND_OK && PQresultStatus(r) != PGRES_TUPLES_OK)
		fprintf(stderr, "%s: %s\n", text, PQresultErrorMessage(r));
	PQclear(r);
}

static void member(struct call *c, struct coop *coop)
{
	struct account account;
	const struct json *draft;
	NEED(c, account_register(c, STR("bench@example.org"), STR("Bench"), STR("a long enough pass phrase"), &account));
	c->actor = (struct actor){ .kind = AUTH_SESSION, .account = account.id, .email = account.email, .name = account.name };
	NEED(c, json_parse(c->arena, STR("{\"name\":\"Bench\",\"scope\":{\"domain\":\"text\"},\"release\":{\"uses\":[\"train.gen\"],\"purposes\":[\"research\"]}}"), &draft, &c->error));
	NEED(c, coop_found(c, STR("bench"), draft, coop));
}

static const char *const words[] = { "water", "the", "landlord", "and", "a", "kind", "of", "letter", "from", "under", "every", "stone", "in", "August", "it", "rains", "where",
	"nobody", "asked", "Gr\xc3\xbc\xc3\x9f" "e", "caf\xc3\xa9", "2026", "to", "be", "or", "machine", "learning", "with", "care", "slowly" };

/* About 1 KB of content; the same number, the same line. */
static size_t line_of(char *to, size_t size, unsigned no)
{
	uint64_t x = no * UINT64_C(0x9e3779b97f4a7c15) + 1;
	size_t at = (size_t)snprintf(to, size, "{\"kind\":\"chat\",\"lang\":\"en\",\"application\":\"bench\",\"content\":{\"messages\":[{\"role\":\"user\",\"content\":\"Number %u:", no);
	for (int part = 0; part < 2; part++) {
		for (size_t end = at + (part ? 640 : 230); at < end;) {
			x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
			at += (size_t)snprintf(to + at, size - at, " %s", words[(x >> 33) % CH_LEN(words)]);
		}
		at += (size_t)snprintf(to + at, size - at, part ? "\"}]}}" : "\"},{\"role\":\"assistant\",\"content\":\"");
	}
	return at;
}

static enum err count(void *arg, const struct verdict *v)
{
	*(int64_t *)arg += v->receipt && !v->receipt->duplicate;
	return v->err;
}

/* Lines are made beforehand: a client's work is not measured. */
static double submit(struct call *c, struct uuid coop, unsigned first, unsigned lines)
{
	struct pool_batch *b;
	struct buf text;
	int64_t taken = 0;
	char line[2048];
	buf_init(&text, (size_t)lines * sizeof(line));
	for (unsigned i = 0; i < lines; i++) {
		buf_add(&text, line, line_of(line, sizeof(line), first + i));
		buf_add_byte(&text, '\n');
	}
	struct str rest = str_sub(buf_str(&text), 0, text.n - 1), next;
	int64_t from = clock_tick();
	NEED(c, pool_batch_begin(c, coop, count, &taken, &b));
	while (str_split(&rest, '\n', &next))
		NEED(c, pool_batch_line(b, next));
	NEED(c, pool_batch_end(b));
	double s = (double)(clock_tick() - from) / 1e6;
	printf("%-44s %8.0f lines/s %7.1f MB/s  %.2f s\n", "batch submission", (double)taken / s, (double)text.n / s / 1e6, s);
	buf_release(&text);
	return s;
}

static void submit_singly(struct call *c, struct uuid coop, unsigned first, unsigned n)
{
	char line[2048];
	int queries = c->queries;
	int64_t took = 0;
	for (unsigned i = 0; i < n; i++) {
		struct arena_mark mark = arena_mark(c->arena);
		const struct json *json;
		struct receipt r;
		size_t size = line_of(line, sizeof(line), first + i);
		int64_t from = clock_tick();
		NEED(c, json_parse(c->arena, str_make(line, size), &json, &c->error));
		NEED(c, pool_submit(c, coop, json, &r));
		took += clock_tick() - from;
		arena_rewind(c->arena, mark);
	}
	printf("%-44s %8.0f /s  %.1f statements each\n", "single submissions, one after another", n / ((double)took / 1e6), (double)(c->queries - queries) / n);
}

static double copy_table(const char *table, const char *options)
{
	char text[400];
	snprintf(text, sizeof(text), "CREATE TABLE bare_%s (LIKE %s %s); COPY %s TO '%s/%s.copy' (FORMAT binary)", table, table, options, table, dir, table);
	sql(text);
	snprintf(text, sizeof(text), "%s/%s.copy", dir, table);
	FILE *f = fopen(text, "re");
	if (!f)
		return 0;
	static char block[256 * 1024];
	int64_t from = clock_tick();
	snprintf(text, sizeof(text), "COPY bare_%s FROM STDIN (FORMAT binary)", table);
	PQclear(PQexec(admin, text));
	for (size_t n; (n = fread(block, 1, sizeof(block), f)) > 0;)
		PQputCopyData(admin, block, (int)n);
	PQputCopyEnd(admin, NULL);
	for (PGresult *r; (r = PQgetResult(admin)) != NULL; PQclear(r))
		if (PQresultStatus(r) != PGRES_COMMAND_OK)
			fprintf(stderr, "%s", PQresultErrorMessage(r));
	double s = (double)(clock_tick() - from) / 1e6;
	fclose(f);
	snprintf(text, sizeof(text), "DROP TABLE bare_%s", table);
	sql(text);
	return s;
}

static enum err add(void *arg, const struct pool_segment *s)
{
	int64_t *items = arg;
	*items += (int64_t)s->n;
	return ERR_OK;
}

static void scan(struct call *c, struct uuid coop, unsigned columns, const char *what)
{
	double best = 0;
	for (int round = 0; round < 3; round++) {
		int64_t items = 0, from = clock_tick();
		NEED(c, db_begin_in(c, coop, DB_SERIAL));
		NEED(c, pool_scan_columns(c, coop, columns, add, &items));
		NEED(c, db_commit(c));
		double rate = (double)items / (double)(clock_tick() - from);
		best = rate > best ? rate : best;
	}
	printf("%-44s %8.1f M items/s\n", what, best);
}

static enum err add_bytes(void *arg, const uint8_t id[16], struct str lang, struct str sealed)
{
	(void)id;
	(void)lang;
	*(int64_t *)arg += (int64_t)sealed.n;
	return ERR_OK;
}

static void scan_contents(struct call *c, struct uuid coop)
{
	uint8_t first[16] = { 0 }, last[16];
	int64_t bytes = 0, from = clock_tick();
	memset(last, 0xff, sizeof(last));
	NEED(c, db_begin_in(c, coop, DB_SERIAL));
	NEED(c, pool_scan_content(c, coop, 0, first, last, add_bytes, &bytes));
	NEED(c, db_commit(c));
	printf("%-44s %8.1f MB/s\n", "sealed contents in order of id", (double)bytes / (double)(clock_tick() - from));
}

static unsigned setting(const char *name, unsigned or_else)
{
	const char *text = getenv(name);
	int64_t v;
	return text && str_to_i64(str_of(text), 1, 100000000, &v) ? (unsigned)v : or_else;
}

static void measure_scan(struct call *c, struct uuid coop, unsigned items)
{
	char text[400];
	int64_t packed, from = clock_tick();
	sql("UPDATE pool_segment SET dirty = true");
	NEED(c, db_begin_in(c, coop, DB_WRITE));
	NEED(c, pool_pack(c, coop, &packed));
	NEED(c, db_commit(c));
	printf("%-44s %8.2f M items/s\n", "packing", (double)packed * POOL_SEGMENT / (double)(clock_tick() - from));
	snprintf(text, sizeof(text),
		"DELETE FROM pool_segment WHERE items < 4096; WITH n AS (SELECT max(no) + 1 AS n FROM pool_segment) INSERT INTO pool_segment SELECT coop_id, no + n * k, items, "
		"(no + n * k + 1) * 4096::bigint, ids, members, words, mores, hashes, shards, false FROM pool_segment, n, generate_series(1, %u / 4096 / n - 1) k; "
		"UPDATE pool_head SET next_item = (SELECT max(upto) FROM pool_segment)", items);
	sql(text);
	scan(c, coop, POOL_MEMBERS | POOL_WORDS, "scanning members and words");
	scan(c, coop, POOL_MEMBERS | POOL_WORDS | POOL_IDS | POOL_SHARDS, "scanning members, words, ids, shards");
	scan(c, coop, POOL_COLUMNS_ALL, "scanning everything");
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	unsigned lines = setting("LINES", 100000);
	struct coop coop;
	start();
	struct call *c = call_new();
	member(c, &coop);
	submit(c, coop.id, 0, 5000); /* warm */
	double ours = submit(c, coop.id, 5000, lines - 5000);
	submit_singly(c, coop.id, 10000000, 3000);
	double bare = copy_table("contribution", "INCLUDING INDEXES") + copy_table("contribution_content", "INCLUDING INDEXES INCLUDING STORAGE");
	printf("%-44s %8.0f rows/s   %.2f s\n", "bare COPY of the same rows, with indexes", lines / bare, bare);
	double heap = copy_table("contribution", "") + copy_table("contribution_content", "INCLUDING STORAGE");
	printf("%-44s %8.0f rows/s   %.2f s\n", "bare COPY of the same rows, without indexes", lines / heap, heap);
	printf("%-44s %8.2f (with indexes), %.2f (without)\n", "ratio to COPY", ours / bare, ours / heap);
	scan_contents(c, coop.id);
	measure_scan(c, coop.id, setting("SCAN", 2000000));
	db_release(c);
	PQfinish(admin);
	cluster_stop(cluster);
	execlp("rm", "rm", "-rf", "--", dir, (char *)NULL);
	return 0;
}
