/* Two servers, one client: reading one contribution and submitting one, by a token, over kept-alive connections. The client runs on the last core; what counts is the processor time
 * that the server's process takes, so that it does not matter who else has the machine. The peer answers twice: with the same duties, and with as few as possible ("bare"). */
#include "tests/bench/release/main.h"

#include "commonhold/clock.h"
#include "tests/bench/release/pool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONNECTIONS 16
#define READS 20000
#define WRITES 8000
#define KNOWN 5000       /* different items that are read */
#define REQUEST_MAX 8192
#define ANSWER_MAX 65536

/* A server that was started. */
struct server {
	const char *name;        /* in figures: "http", "peer", "bare" */
	const char *prefix;      /* of its paths */
	pid_t pid;
	int port;
	const char *stats;       /* path, and a filter, that give its count of queries */
};

struct connection {
	int fd;
	char out[REQUEST_MAX];
	size_t out_n, sent;
	char in[ANSWER_MAX];
	size_t in_n;
	bool busy;
};

struct client {
	const struct server *server;
	const char *token;
	bool writes;
	uint64_t first;          /* number of the first item that is written */
	int64_t begun, done, total;
	struct connection at[CONNECTIONS];
};

static char known[KNOWN][40];

static int port_free(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 || getsockname(fd, (struct sockaddr *)&a, &n) != 0)
		give_up("a port");
	close(fd);
	return ntohs(a.sin_port);
}

static int connect_to(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
		close(fd);
		fd = -1;
	}
	return fd;
}

static void await(struct server *s)
{
	for (int i = 0; i < 600; i++) {
		int fd = connect_to(s->port);
		if (fd >= 0) {
			close(fd);
			return;
		}
		if (waitpid(s->pid, NULL, WNOHANG) == s->pid)
			break;
		usleep(50000);
	}
	give_up(s->name);
}

static void server_start(struct server *s)
{
	char address[40], url[60], port[12], peer[300];
	s->port = port_free();
	snprintf(address, sizeof(address), "127.0.0.1:%d", s->port);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d", s->port);
	snprintf(port, sizeof(port), "%d", s->port);
	s->pid = fork();
	if (s->pid == 0) {
		setenv("COMMONHOLD_LISTEN", address, 1);
		setenv("COMMONHOLD_BASE_URL", url, 1);
		setenv("COMMONHOLD_JOB_WORKERS", "0", 1);
		setenv("BENCH_PEER_PORT", port, 1);
		setenv("NODE_ENV", "production", 1);
		snprintf(peer, sizeof(peer), "%s/peer.mjs", getenv("BENCH_PEER"));
		if (strcmp(s->name, "peer") == 0)
			execlp("node", "node", peer, (char *)NULL);
		else
			execlp(getenv("BENCH_SERVER"), "commonhold", "serve", (char *)NULL);
		_exit(127);
	}
	await(s);
}

static void server_stop(struct server *s)
{
	kill(s->pid, SIGTERM);
	waitpid(s->pid, NULL, 0);
}

/* User and system time of the process, in microseconds. */
static double server_cpu(const struct server *s)
{
	char path[64], text[1024];
	unsigned long user = 0, system = 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", s->pid);
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	if (f)
		fclose(f);
	text[n] = '\0';
	const char *after_name = strrchr(text, ')');
	if (!after_name || sscanf(after_name + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system) != 2)
		give_up("reading processor time");
	return (double)(user + system) * 1e6 / (double)sysconf(_SC_CLK_TCK);
}

static double server_memory(const struct server *s)
{
	char answer[100];
	shell(answer, sizeof(answer), "awk '/VmHWM/ { print \"mb \" $2 / 1024 }' /proc/%d/status", s->pid);
	return value_of(answer, "mb");
}

static double server_queries(const struct server *s)
{
	char answer[100];
	shell(answer, sizeof(answer), "curl -s http://127.0.0.1:%d%s", s->port, s->stats);
	return strtod(answer, NULL);
}

/* ---- The client ---- */

static void request_make(struct client *c, struct connection *k)
{
	static struct made_item item;
	int64_t no = c->begun++;
	if (c->writes) {
		char body[4600];
		made_item(c->first + (uint64_t)no, 1, &item);
		int n = snprintf(body, sizeof(body), "{\"kind\":\"%s\",\"lang\":\"%s\",\"application\":\"bench\",\"content\":%.*s}", policy_kind_name(item.kind), item.lang, (int)item.n, item.content);
		k->out_n = (size_t)snprintf(k->out, sizeof(k->out), "POST %s/coops/bench/contributions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n"
			"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", c->server->prefix, c->server->port, c->token, n, body);
	} else {
		k->out_n = (size_t)snprintf(k->out, sizeof(k->out), "GET %s/coops/bench/contributions/%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n\r\n",
			c->server->prefix, known[made_number(9, (uint64_t)no) % KNOWN], c->server->port, c->token);
	}
	k->sent = k->in_n = 0;
	k->busy = true;
}

static void request_send(struct client *c, struct connection *k)
{
	while (k->sent < k->out_n) {
		ssize_t n = send(k->fd, k->out + k->sent, k->out_n - k->sent, MSG_NOSIGNAL);
		if (n > 0) {
			k->sent += (size_t)n;
			continue;
		}
		/* the server ended the connection: it may */
		close(k->fd);
		k->fd = connect_to(c->server->port);
		k->sent = 0;
		if (k->fd < 0)
			give_up("connecting");
	}
}

/* Whether the whole answer is there. */
static bool answer_whole(struct connection *k)
{
	k->in[k->in_n] = '\0';
	const char *end = strstr(k->in, "\r\n\r\n"), *length = strcasestr(k->in, "\r\ncontent-length:");
	if (!end || !length)
		return false;
	return k->in_n >= (size_t)(end - k->in) + 4 + strtoul(length + 17, NULL, 10);
}

static void answer_take(struct client *c, struct connection *k)
{
	ssize_t n = recv(k->fd, k->in + k->in_n, sizeof(k->in) - 1 - k->in_n, 0);
	if (n <= 0 && k->in_n == 0) {
		k->sent = 0;
		close(k->fd);
		k->fd = connect_to(c->server->port);
		if (k->fd < 0)
			give_up("connecting");
		request_send(c, k);
		return;
	}
	k->in_n += n > 0 ? (size_t)n : 0;
	if (!answer_whole(k)) {
		if (n <= 0)
			give_up("an answer");
		return;
	}
	if (strncmp(k->in, "HTTP/1.1 20", 11) != 0) {
		fprintf(stderr, "%s\n", k->in);
		give_up(c->server->name);
	}
	c->done++;
	k->busy = false;
}

static void client_run(struct client *c)
{
	struct pollfd polled[CONNECTIONS];
	while (c->done < c->total) {
		for (int i = 0; i < CONNECTIONS; i++) {
			struct connection *k = &c->at[i];
			if (!k->busy && c->begun < c->total) {
				request_make(c, k);
				request_send(c, k);
			}
			polled[i] = (struct pollfd){ .fd = k->busy ? k->fd : -1, .events = POLLIN };
		}
		if (poll(polled, CONNECTIONS, 10000) <= 0)
			give_up("waiting for answers");
		for (int i = 0; i < CONNECTIONS; i++)
			if (polled[i].revents)
				answer_take(c, &c->at[i]);
	}
}

/* Processor time a request in microseconds. */
static double measure(const struct server *s, const char *token, bool writes, int64_t total, uint64_t first, bool counted)
{
	static struct client c;
	char figure[64];
	const char *what = writes ? "write" : "read";
	memset(&c, 0, sizeof(c));
	c.server = s, c.token = token, c.writes = writes, c.first = first, c.total = total;
	for (int i = 0; i < CONNECTIONS; i++)
		if ((c.at[i].fd = connect_to(s->port)) < 0)
			give_up("connecting");
	double queries = server_queries(s), cpu = server_cpu(s);
	int64_t from = clock_tick();
	client_run(&c);
	double us = (double)(clock_tick() - from);
	cpu = (server_cpu(s) - cpu) / (double)total;
	queries = (server_queries(s) - queries) / (double)total;
	for (int i = 0; i < CONNECTIONS; i++)
		close(c.at[i].fd);
	if (counted) {
		snprintf(figure, sizeof(figure), "%s_%s_cpu_us", s->name, what);
		note(figure, cpu);
		snprintf(figure, sizeof(figure), "%s_%s_per_s", s->name, what);
		note(figure, (double)total / us * 1e6);
		snprintf(figure, sizeof(figure), "%s_%s_queries", s->name, what);
		note(figure, queries);
	}
	return cpu;
}

static void peer_tables_make(void)
{
	sql("CREATE TABLE peer_item (id uuid PRIMARY KEY, member_no integer NOT NULL, kind text NOT NULL, lang text NOT NULL, content_sha256 bytea NOT NULL, bytes integer NOT NULL, "
		"submitted_at timestamptz NOT NULL, status text NOT NULL, content text NOT NULL)");
	sql("INSERT INTO peer_item SELECT id, member_no, 'chat', lang, content_sha256, bytes, submitted_at, 'approved', "
		"'{\"messages\":[{\"content\":\"' || left(repeat(md5(id::text), 1 + bytes / 32), greatest(bytes - 88, 1)) || '\",\"role\":\"user\"}]}' FROM contribution");
	sql("CREATE TABLE peer_sent (id uuid PRIMARY KEY, member_id uuid NOT NULL, member_no integer NOT NULL, kind text NOT NULL, lang text NOT NULL, content_sha256 bytea NOT NULL, "
		"bytes integer NOT NULL, submitted_at timestamptz NOT NULL, status text NOT NULL, facts text NOT NULL, leaf bigint NOT NULL, UNIQUE (member_id, content_sha256))");
	sql("CREATE TABLE peer_sealed (id uuid PRIMARY KEY, sealed bytea NOT NULL)");
	sql("CREATE TABLE peer_leaf (idx bigint PRIMARY KEY, entry text NOT NULL, hash bytea NOT NULL)");
	sql("CREATE TABLE peer_head AS SELECT 0::bigint AS size");
	sql("GRANT ALL ON peer_item, peer_sent, peer_sealed, peer_leaf, peer_head TO commonhold, commonhold_app");
	sql("CREATE INDEX peer_item_of_member ON peer_item (member_no, submitted_at)");
	sql("VACUUM ANALYZE peer_item");
	sql("CHECKPOINT");
}

static void known_make(int64_t items)
{
	static struct made_item item;
	struct arena *a = arena_new(4 * MIB);
	for (int i = 0; i < KNOWN; i++) {
		made_item(made_number(8, (uint64_t)i) % (uint64_t)items, (uint64_t)items, &item);
		struct str id = uuid_format(a, item.id);
		snprintf(known[i], sizeof(known[i]), "%.*s", STR_ARG(id));
	}
	arena_free(a);
}

static void last_core_only(void)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET((int)sysconf(_SC_NPROCESSORS_ONLN) - 1, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/* One server's figures of one run. */
struct measured { double read, write; };

static struct measured measure_both(const struct server *s, const char *token, uint64_t first, bool counted)
{
	return (struct measured){ measure(s, token, false, READS, 0, counted), measure(s, token, true, WRITES, first, counted) };
}

void requests(const char *token, int64_t items, int runs)
{
	struct server ours = { .name = "http", .prefix = "/api/v1", .stats = "/metrics | sed -n 's/^commonhold_db_queries_total //p'" };
	struct server peer = { .name = "peer", .prefix = "/api/v1", .stats = "/stats | sed 's/[^0-9]//g'" };
	peer_tables_make();
	known_make(items);
	server_start(&ours);
	server_start(&peer);
	struct server bare = peer;
	bare.name = "bare";
	bare.prefix = "/bare";
	last_core_only();
	uint64_t first = (uint64_t)items * 100;
	for (int run = -1; run < runs; run++, first += WRITES) {
		/* the first run is not counted: it warms up plans, caches and compiled code */
		struct measured a = measure_both(&ours, token, first, run >= 0), b = measure_both(&peer, token, first, run >= 0), c = measure_both(&bare, token, first, run >= 0);
		if (run < 0)
			continue;
		double read = b.read / a.read, write = b.write / a.write;
		note("http_read_cpu_ratio_to_peer", read);
		note("http_write_cpu_ratio_to_peer", write);
		note("http_cpu_ratio_to_peer", read < write ? read : write);
		note("http_read_cpu_ratio_to_bare", c.read / a.read);
		note("http_write_cpu_ratio_to_bare", c.write / a.write);
		note("http_rss_mb", server_memory(&ours));
	}
	server_stop(&ours);
	server_stop(&peer);
}
