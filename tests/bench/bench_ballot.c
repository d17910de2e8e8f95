/* Closing a ballot with everybody's choice, path and reason stored, and one person's path, in a cluster of its own. Peers in the same run on the same rows: a bare load, resolve
 * and COPY back without row-level security, constraints or paths; and a resolution by recursion in SQL over a view of the effective delegations, as LiquidFeedback core does it.
 *
 *   MEMBERS=1000000   members of the largest co-op
 */
#include "commonhold/account.h"
#include "commonhold/ballot.h"
#include "commonhold/db.h"
#include "commonhold/delegation.h"
#include "commonhold/log.h"

#include "figures.h"

#include <libpq-fe.h>
#include <stdarg.h>
#include <string.h>

static char dir[] = "/tmp/commonhold-bench-XXXXXX";
static struct cluster *cluster;
static PGconn *admin;

#define OPENS INT64_C(1780000000000000)
#define CLOSES (OPENS + 7 * CLOCK_DAY)

/* Leaves nothing behind, however it ends: a large co-op takes gigabytes. */
static void finish(void)
{
	char command[100];
	PQfinish(admin);
	if (cluster)
		cluster_stop(cluster);
	snprintf(command, sizeof(command), "rm -rf -- %s", dir);
	if (strstr(dir, "XXXXXX") == NULL && system(command) != 0)
		fprintf(stderr, "%s is left behind\n", dir);
}

static void quit(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	finish();
	exit(1);
}

static void need(const struct call *c, enum err err, const char *what)
{
	if (err != ERR_OK)
		quit(what, str_fmt(c->arena, "%s %s", c->error.message, c->error.detail).p);
}
#define NEED(c, expression) need((c), (expression), #expression)

static struct call *call_new(void)
{
	struct call *c = calloc(1, sizeof(*c));
	c->arena = arena_new(LIMIT_JOB_ARENA);
	c->request_id = STR("bench");
	c->locale = STR("en");
	c->actor.kind = AUTH_SYSTEM;
	return c;
}

static void call_end(struct call *c)
{
	db_release(c);
	arena_free(c->arena);
	free(c);
}

static PGresult *sql(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static PGresult *sql(const char *fmt, ...)
{
	char text[4000];
	static PGresult *last;
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	PQclear(last);
	last = PQexec(admin, text);
	if (PQresultStatus(last) != PGRES_COMMAND_OK && PQresultStatus(last) != PGRES_TUPLES_OK)
		quit(text, PQresultErrorMessage(last));
	return last;
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
		quit("connect", PQerrorMessage(admin));
	sql("SET session_replication_role = replica; SET search_path = public");
	call_end(c);
}

/* ---- A co-op with its delegations and an open ballot ---- */

enum shape { FOREST, STAR, CHAIN };

struct place {
	struct coop coop;
	struct uuid ballot;
	char coop_id[40], ballot_id[40];
	unsigned members;
};

static struct actor founder(void)
{
	struct call *c = call_new();
	struct account account;
	static int no;
	NEED(c, account_create(c, str_fmt(c->arena, "bench%d@example.org", no++), STR("Bench"), &account));
	struct actor a = { .kind = AUTH_SESSION, .account = account.id };
	call_end(c);
	return a;
}

static void people(const struct place *p)
{
	sql("INSERT INTO membership (coop_id, id, account_id, number, state, applied_at, joined_at, due_at, state_at, pseudonym) "
		"SELECT '%s', gen_random_uuid(), gen_random_uuid(), g, 'active', t, t, t + interval '1 year', t, 'p' || g "
		"FROM generate_series(1, %u) g, (SELECT to_timestamp(%lld) AS t) x", p->coop_id, p->members - 1, (long long)(OPENS / CLOCK_SECOND - 90 * 86400));
}

#define EDGE_COLUMNS "coop_id, edge, delegation_id, principal_no, delegate_no, question, scope, topics, target, accepted_at, starts, ends, revoked_at, state"
#define EDGE_TIMES "t, t, t + interval '1 year', 'infinity', 'standing'"

/* A delegation of each of `from`: member number g lets `to` decide. */
static void edges(const struct place *p, const char *from, const char *to, int scope, int topics, long long target)
{
	sql("INSERT INTO delegation_now (" EDGE_COLUMNS ") SELECT '%s', e.n + row_number() OVER (), gen_random_uuid(), g, %s, 0, %d, %d, %lld, " EDGE_TIMES " FROM %s g, "
		"(SELECT to_timestamp(%lld) AS t) x, (SELECT coalesce(max(edge), 0) AS n FROM delegation_now) e", p->coop_id, to, scope, topics, target, from,
		(long long)(OPENS / CLOCK_SECOND - 86400));
}

static void delegate(const struct place *p, enum shape shape)
{
	char range[100];
	unsigned first = shape == FOREST ? p->members / 5 : 1;
	snprintf(range, sizeof(range), "generate_series(%u, %u)", first, p->members - 1);
	edges(p, range, shape == FOREST ? "floor(random() * g)::int" : shape == STAR ? "0" : "g - 1", 0, 0, 0);
	if (shape != FOREST)
		return;
	snprintf(range, sizeof(range), "(SELECT g FROM generate_series(%u, %u) g WHERE random() < 0.2) AS", first, p->members - 1);
	edges(p, range, "floor(random() * g)::int", 1, 1 << POLICY_BALLOT_TOGGLE, 0);
	snprintf(range, sizeof(range), "(SELECT g FROM generate_series(%u, %u) g WHERE random() < 0.1) AS", first, p->members - 1);
	edges(p, range, "floor(random() * g)::int", 2, 0, (long long)delegation_target(p->ballot));
}

static void vote(const struct place *p, enum shape shape)
{
	sql("INSERT INTO vote (coop_id, ballot_id, member_id, member_no, choice, at, salt) SELECT coop_id, ballot_id, member_id, member_no, "
		"(ARRAY['for', 'for', 'against', 'abstain'])[1 + floor(random() * 4)], to_timestamp(%lld), decode(repeat('00', 32), 'hex') "
		"FROM ballot_roll WHERE coop_id = '%s' AND ballot_id = '%s' AND member_no < %u", (long long)(OPENS / CLOCK_SECOND + 3600), p->coop_id, p->ballot_id,
		shape == FOREST ? p->members / 5 : 1);
}

static struct place make(const char *slug, unsigned members, enum shape shape)
{
	static const char draft[] =
		"{\"name\":\"Bench\",\"scope\":{\"domain\":\"text\"},\"release\":{\"uses\":[\"train.gen\"],\"purposes\":[\"research\"]},\"delegation\":{\"depth\":8,\"cap\":0}}";
	struct place p = { .members = members };
	struct call *c = call_new();
	const struct json *json;
	clock_set(OPENS - 100 * CLOCK_DAY);
	c->actor = founder();
	NEED(c, json_parse(c->arena, str_of(draft), &json, &c->error));
	NEED(c, coop_found(c, str_of(slug), json, &p.coop));
	uuid_write(p.coop.id, p.coop_id);
	c->actor = (struct actor){ .kind = AUTH_SYSTEM };
	people(&p);
	struct ballot_draft ballot = { .kind = "toggle", .subject = uuid_new(), .digest = sha256(STR("bench")), .title = STR("A question"), .question = STR("Shall it be?"),
		.charter = 1, .opens_at = OPENS, .closes_at = CLOSES };
	NEED(c, json_parse(c->arena, STR("{\"rule\":\"majority\",\"roll\":\"members\"}"), &ballot.rule, &c->error));
	NEED(c, db_begin_in(c, p.coop.id, DB_WRITE));
	NEED(c, ballot_create(c, p.coop.id, &ballot, &p.ballot));
	NEED(c, db_commit(c));
	uuid_write(p.ballot, p.ballot_id);
	delegate(&p, shape);
	int64_t from = clock_tick();
	clock_set(OPENS);
	NEED(c, ballot_advance(c, p.coop.id, p.ballot));
	if (members > 100000)
		printf("%-36s %12.2f ms\n", "opening: the roll frozen", (double)(clock_tick() - from) / 1e3);
	vote(&p, shape);
	sql("VACUUM ANALYZE");
	call_end(c);
	return p;
}

/* ---- Ours ---- */

static double close_once(const struct place *p)
{
	struct call *c = call_new();
	sql("UPDATE ballot SET state = 'open', closed_at = NULL, result = NULL WHERE id = '%s'", p->ballot_id);
	sql("DELETE FROM ballot_count; TRUNCATE ballot_resolution; DELETE FROM job");
	clock_set(CLOSES);
	NEED(c, db_begin_in(c, p->coop.id, DB_READ)); /* a connection, as a worker has one */
	NEED(c, db_commit(c));
	int64_t from = clock_tick();
	NEED(c, ballot_advance(c, p->coop.id, p->ballot));
	double ms = (double)(clock_tick() - from) / 1e3;
	call_end(c);
	return ms;
}

static void measure_close(const struct place *p, struct figure *f)
{
	(void)close_once(p);
	for (int run = 0; run < FIGURE_RUNS; run++)
		f->v[run] = close_once(p);
}

static int time_order(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

/* One person's path, inside a transaction, as an open ballot's page and the checkup ask for it. */
static void measure_resolve(const struct place *p, struct figure *f)
{
	enum { ASKED = 2000 };
	static int64_t took[ASKED];
	PGresult *r = sql("SELECT encode(uuid_send(id), 'hex') FROM membership WHERE coop_id = '%s' AND number > 0 ORDER BY random() LIMIT %d", p->coop_id, ASKED);
	int n = PQntuples(r);
	struct uuid *who = calloc((size_t)n, sizeof(*who));
	for (int i = 0; i < n; i++)
		for (int j = 0; j < 16; j++)
			sscanf(PQgetvalue(r, i, 0) + 2 * j, "%2hhx", &who[i].b[j]);
	clock_set(OPENS + CLOCK_DAY);
	for (int run = -1; run < FIGURE_RUNS; run++) {
		struct call *c = call_new();
		NEED(c, db_begin_in(c, p->coop.id, DB_READ));
		for (int i = 0; i < n; i++) {
			struct arena_mark mark = arena_mark(c->arena);
			struct delegation_path path;
			int64_t from = clock_tick();
			NEED(c, delegation_resolve_one(c, p->coop.id, who[i], POLICY_QUESTION_VOTE, POLICY_BALLOT_TOGGLE, p->ballot, &path));
			took[i] = clock_tick() - from;
			arena_rewind(c->arena, mark);
		}
		NEED(c, db_commit(c));
		call_end(c);
		qsort(took, (size_t)n, sizeof(took[0]), time_order);
		if (run >= 0)
			f->v[run] = (double)took[n * 99 / 100];
	}
	free(who);
}

/* ---- Peers ---- */

static void *peer_alloc(void *ctx, size_t size)
{
	(void)ctx;
	return malloc(size); /* of a bench's process: given back at its end */
}

static uint32_t be32(const char *p)
{
	uint32_t v;
	memcpy(&v, p, 4);
	return __builtin_bswap32(v);
}

static void put_be32(char *p, uint32_t v)
{
	v = __builtin_bswap32(v);
	memcpy(p, &v, 4);
}

/* Edges and votes in by COPY, resolved by the same engine, deciders back by COPY into a table without keys. */
static double peer_bare(const struct place *p)
{
	char text[400], *row;
	sql("DROP TABLE IF EXISTS bare; CREATE UNLOGGED TABLE bare (member_no integer, decider_no integer, via integer)");
	int64_t from = clock_tick();
	size_t n = 0, room = (size_t)p->members * 2;
	struct policy_edge *edge = calloc(room, sizeof(*edge));
	uint8_t *decided = calloc(p->members + 1, 1);
	snprintf(text, sizeof(text), "COPY (SELECT principal_no, delegate_no, scope::int FROM delegation_now WHERE coop_id = '%s') TO STDOUT (FORMAT binary)", p->coop_id);
	PQclear(PQexec(admin, text));
	for (int size, first = 19; (size = PQgetCopyData(admin, &row, 0)) > 0; first = 0, PQfreemem(row))
		if (size >= first + 26 && n < room) {
			const char *at = row + first;
			edge[n] = (struct policy_edge){ .id = n, .principal = be32(at + 6), .delegate = be32(at + 14), .scope = (uint8_t)be32(at + 22), .topics = UINT32_MAX, .ends = POLICY_NEVER,
				.revoked_at = POLICY_NEVER };
			n++;
		}
	PQclear(PQgetResult(admin));
	PQclear(PQgetResult(admin));
	snprintf(text, sizeof(text), "COPY (SELECT member_no FROM vote WHERE ballot_id = '%s') TO STDOUT (FORMAT binary)", p->ballot_id);
	PQclear(PQexec(admin, text));
	for (int size, first = 19; (size = PQgetCopyData(admin, &row, 0)) > 0; first = 0, PQfreemem(row))
		if (size >= first + 10 && be32(row + first + 6) < p->members)
			decided[be32(row + first + 6)] = 1;
	PQclear(PQgetResult(admin));
	PQclear(PQgetResult(admin));
	struct policy_path *paths = calloc(p->members, sizeof(*paths));
	struct policy_mem mem = { peer_alloc, NULL };
	struct policy_voices voices = { .n = p->members, .decided = decided };
	struct policy_ask ask = { .question = POLICY_QUESTION_VOTE, .topic = POLICY_BALLOT_TOGGLE, .depth = 8, .board_active = 1, .at = 1 };
	if (policy_delegation_resolve(edge, n, &voices, &ask, &mem, paths) != POLICY_OK)
		quit("peer", "cannot resolve");
	PQclear(PQexec(admin, "COPY bare FROM STDIN (FORMAT binary)"));
	char *out = malloc((size_t)p->members * 26 + 21), *to = out;
	memcpy(to, "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
	to += 19;
	for (uint32_t m = 0; m < p->members; m++, to += 26) {
		memcpy(to, "\0\003\0\0\0\004", 6);
		put_be32(to + 6, m);
		put_be32(to + 10, 4);
		put_be32(to + 14, paths[m].decider);
		put_be32(to + 18, 4);
		put_be32(to + 22, paths[m].via);
	}
	memcpy(to, "\377\377", 2);
	PQputCopyData(admin, out, (int)(to + 2 - out));
	PQputCopyEnd(admin, NULL);
	for (PGresult *r; (r = PQgetResult(admin)) != NULL; PQclear(r))
		if (PQresultStatus(r) != PGRES_COMMAND_OK)
			quit("peer", PQresultErrorMessage(r));
	double ms = (double)(clock_tick() - from) / 1e3;
	free(edge);
	free(decided);
	free(paths);
	free(out);
	return ms;
}

/* A view with DISTINCT ON over the delegations, asked again for everybody on the way: the design of LiquidFeedback core's close. Gives who decided for whom. */
static double peer_recursive(const struct place *p)
{
	sql("DROP TABLE IF EXISTS delegating CASCADE; DROP VIEW IF EXISTS effective CASCADE; DROP TABLE IF EXISTS direct CASCADE");
	sql("CREATE TABLE delegating (member_no integer PRIMARY KEY, decider_no integer, hops integer)");
	sql("CREATE TABLE direct AS SELECT member_no FROM vote WHERE ballot_id = '%s'; ALTER TABLE direct ADD PRIMARY KEY (member_no)", p->ballot_id);
	sql("CREATE VIEW effective AS SELECT DISTINCT ON (principal_no) principal_no, delegate_no FROM delegation_now WHERE coop_id = '%s' AND question = 0 AND revoked_at = 'infinity' "
		"ORDER BY principal_no, scope DESC, accepted_at DESC, edge DESC", p->coop_id);
	sql("CREATE OR REPLACE FUNCTION weight_of(head integer, at_no integer, hop integer) RETURNS integer LANGUAGE plpgsql AS $$ DECLARE d record; w integer := 1; BEGIN "
		"FOR d IN SELECT principal_no FROM effective WHERE delegate_no = at_no LOOP "
		"IF NOT EXISTS (SELECT FROM direct WHERE member_no = d.principal_no) AND NOT EXISTS (SELECT FROM delegating WHERE member_no = d.principal_no) THEN "
		"INSERT INTO delegating VALUES (d.principal_no, head, hop); w := w + weight_of(head, d.principal_no, hop + 1); END IF; END LOOP; RETURN w; END $$");
	int64_t from = clock_tick();
	sql("SELECT sum(weight_of(member_no, member_no, 1)) FROM direct");
	double ms = (double)(clock_tick() - from) / 1e3;
	PGresult *r = sql("SELECT count(*) FROM ballot_resolution s FULL JOIN delegating g USING (member_no) WHERE s.via NOT IN ('own') AND (g.hops IS NULL OR g.hops <= 8) "
		"AND s.decider_no IS DISTINCT FROM g.decider_no");
	if (strcmp(PQgetvalue(r, 0, 0), "0") != 0)
		quit("peer", "decides otherwise");
	return ms;
}

/* ---- Figures of other programs ---- */

static size_t add_figures(struct figure *figures, size_t n, size_t room)
{
	static char names[16][2][64];
	const char *path = getenv("COMMONHOLD_BENCH_FIGURES");
	FILE *f = path ? fopen(path, "re") : NULL;
	double v[FIGURE_RUNS];
	for (size_t i = 0; f && i < CH_LEN(names) && n < room; i++, n++) {
		if (fscanf(f, "%63s %63s %lf %lf %lf %lf %lf", names[i][0], names[i][1], &v[0], &v[1], &v[2], &v[3], &v[4]) != 7)
			break;
		figures[n] = (struct figure){ names[i][0], names[i][1], { v[0], v[1], v[2], v[3], v[4] } };
	}
	if (f)
		fclose(f);
	return n;
}

int main(void)
{
	struct figure figures[32] = {
		{ "close_10k_forest_ms", "ms", { 0 } }, { "close_10k_star_ms", "ms", { 0 } }, { "close_10k_chain_ms", "ms", { 0 } }, { "close_1m_forest_ms", "ms", { 0 } },
		{ "resolve_p99_us", "us", { 0 } }, { "close_1k_forest_ms", "ms", { 0 } }, { "peer_bare_10k_forest_ms", "ms", { 0 } }, { "peer_bare_1m_forest_ms", "ms", { 0 } },
		{ "peer_recursive_1k_forest_ms", "ms", { 0 } },
	};
	int64_t most = 1000000;
	const char *members = getenv("MEMBERS");
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (members && !str_to_i64(str_of(members), 10, 5000000, &most))
		quit("MEMBERS", "is no number");
	start();
	struct place p = make("forest-1k", 1000, FOREST);
	measure_close(&p, &figures[5]);
	for (int run = 0; run < FIGURE_RUNS; run++)
		figures[8].v[run] = peer_recursive(&p);
	p = make("star", 10000, STAR);
	measure_close(&p, &figures[1]);
	p = make("chain", 10000, CHAIN);
	measure_close(&p, &figures[2]);
	p = make("forest", 10000, FOREST);
	measure_resolve(&p, &figures[4]);
	measure_close(&p, &figures[0]);
	for (int run = 0; run < FIGURE_RUNS; run++)
		figures[6].v[run] = peer_bare(&p);
	p = make("large", (unsigned)most, FOREST);
	measure_close(&p, &figures[3]);
	for (int run = 0; run < FIGURE_RUNS; run++)
		figures[7].v[run] = peer_bare(&p);
	figures_report("ballot", figures, add_figures(figures, 9, CH_LEN(figures)));
	finish();
	return 0;
}
