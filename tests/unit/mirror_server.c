/* The made-up co-op's server: one thread, one request a connection, and the fault of the moment. */
#include "mirror_world_internal.h"

#include "commonhold/access.h"
#include "commonhold/file.h"
#include "commonhold/json.h"
#include "commonhold/ledger.h"
#include "commonhold/limits.h"
#include "commonhold/tombstone.h"
#include "commonhold/verify.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MAX (256 * KIB)

/* A request under way. */
struct asked {
	struct world *w;
	struct arena *arena;        /* of this request */
	int fd;
	char text[REQUEST_MAX];
	size_t n;
	struct str method, path, query, body;
};

static void send_all(int fd, struct str s)
{
	while (s.n) {
		ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		s = str_sub(s, (size_t)n, s.n);
	}
}

static void answer(struct asked *q, int status, const char *fields, struct str body)
{
	send_all(q->fd, str_fmt(q->arena, "HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n", status, body.n, fields));
	if (!str_is(q->method, "HEAD"))
		send_all(q->fd, body);
}

static struct str header_of(struct asked *q, const char *name)
{
	struct str rest = str_make(q->text, (size_t)(strstr(q->text, "\r\n\r\n") - q->text)), line;
	while (str_split(&rest, '\n', &line)) {
		ptrdiff_t colon = str_index(line, ':');
		if (colon > 0 && str_eq_nocase(str_sub(line, 0, (size_t)colon), name))
			return str_trim(str_sub(line, (size_t)colon + 1, line.n));
	}
	return STR_NONE;
}

static int64_t query_number(struct asked *q, const char *name, int64_t or_else)
{
	struct str rest = q->query, part;
	int64_t value;
	while (str_split(&rest, '&', &part)) {
		ptrdiff_t is = str_index(part, '=');
		if (is > 0 && str_is(str_sub(part, 0, (size_t)is), name) && str_to_i64(str_sub(part, (size_t)is + 1, part.n), -1, INT64_MAX, &value))
			return value;
	}
	return or_else;
}

/* ---- status ---- */

static struct str versions_text(struct asked *q, bool withdrawn)
{
	struct world *w = q->w;
	enum world_fault fault = w->fault;
	struct buf b;
	buf_init(&b, 64 * KIB);
	for (size_t i = 0; i < w->n_versions; i++) {
		bool is = w->versions[i].withdrawn && fault != WORLD_WITHDRAWN_AGAIN_USABLE;
		if (is == withdrawn && fault != WORLD_VERSION_FORGOTTEN)
			buf_addf(&b, "%s\"%s\"", b.n ? "," : "", w->versions[i].version);
	}
	return buf_take(q->arena, &b);
}

static struct str status_text(struct asked *q)
{
	struct world *w = q->w;
	enum world_fault fault = w->fault;
	instant now = w->created != INSTANT_NONE ? w->created : clock_now();
	struct sha256 root = merkle_root(w->leaves, w->n_leaves);
	size_t size = w->n_leaves;
	if (fault == WORLD_STATUS_EXPIRED)
		now -= 25 * CLOCK_HOUR;
	if (fault == WORLD_STATUS_FUTURE)
		now += CLOCK_HOUR;
	if (fault == WORLD_LOG_FORKED)
		root.b[0] ^= 1;
	if (fault == WORLD_LOG_SHORTER)
		root = merkle_root(w->leaves, --size);
	struct str usable = versions_text(q, false), withdrawn = versions_text(q, true);
	struct str text = str_fmt(q->arena, "{\"created\":\"%.*s\",\"expires\":\"%.*s\",\"log\":\"%.*s\",\"min_usable\":null,\"root\":\"%.*s\",\"size\":%zu,\"tombstones_upto\":%lld,\"usable\":[%.*s],\"v\":1,\"withdrawn\":[%.*s]}",
		STR_ARG(clock_format(q->arena, now)), STR_ARG(clock_format(q->arena, now + STATUS_LIFE)), STR_ARG(w->origin), STR_ARG(sha256_hex(q->arena, root)), size, (long long)w->n_lines - 1, STR_ARG(usable),
		STR_ARG(withdrawn));
	return dsse_sign(q->arena, fault == WORLD_STATUS_FORGED ? &w->other : &w->key, 1, STR(STATUS_PAYLOAD_TYPE), text);
}

static void serve_status(struct asked *q)
{
	answer(q, 200, "", q->w->fault == WORLD_STATUS_REPLAYED ? q->w->old_status : status_text(q));
}

static void serve_proof(struct asked *q)
{
	struct world *w = q->w;
	struct sha256 *path;
	size_t n;
	struct buf b;
	if (merkle_consistency(q->arena, (uint64_t)query_number(q, "from", 0), (uint64_t)query_number(q, "to", 0), world_hash_at, w->leaves, &path, &n) != ERR_OK) {
		answer(q, 404, "", STR("{}"));
		return;
	}
	buf_init(&b, 64 * KIB);
	buf_add_z(&b, "{\"path\":[");
	for (size_t i = 0; i < n; i++)
		buf_addf(&b, "%s\"%.*s\"", i ? "," : "", STR_ARG(str_base64(q->arena, path[i].b, 32)));
	buf_add_z(&b, "]}");
	answer(q, 200, "", buf_take(q->arena, &b));
}

/* ---- the feed ---- */

static struct str head_text(struct asked *q, int64_t upto)
{
	struct world *w = q->w;
	struct sha256 chain = w->chain;
	instant now = clock_now();
	now -= now % CLOCK_SECOND;
	if (upto < w->n_lines - 1)
		chain = upto < 0 ? sha256(w->origin) : sha256(str_make(w->feed.p + w->line_at[upto], w->line_at[upto + 1] - w->line_at[upto] - 1));
	struct str text = str_fmt(q->arena, "{\"chain\":\"%.*s\",\"created\":\"%.*s\",\"expires\":\"%.*s\",\"log\":\"%.*s\",\"root\":\"%.*s\",\"size\":%zu,\"upto\":%lld,\"v\":1}", STR_ARG(sha256_hex(q->arena, chain)),
		STR_ARG(clock_format(q->arena, now)), STR_ARG(clock_format(q->arena, now + TOMBSTONE_HEAD_LIFE)), STR_ARG(w->origin), STR_ARG(sha256_hex(q->arena, merkle_root(w->leaves, w->n_leaves))), w->n_leaves,
		(long long)upto);
	return dsse_sign(q->arena, w->fault == WORLD_FEED_FORGED ? &w->other : &w->key, 1, STR(TOMBSTONE_HEAD_TYPE), text);
}

static struct str line_text(struct asked *q, int64_t idx)
{
	struct world *w = q->w;
	size_t from = w->line_at[idx], to = idx + 1 < w->n_lines ? w->line_at[idx + 1] : w->feed.n;
	char *copy = memcpy(arena_alloc(q->arena, to - from), w->feed.p + from, to - from);
	if (w->fault == WORLD_FEED_LINE_FORGED && idx == w->n_lines - 1) {
		char *at = memmem(copy, to - from, "\"sig\":\"", 7);
		at[7] = at[7] == 'A' ? 'B' : 'A';
	}
	return str_make(copy, to - from);
}

static void serve_feed(struct asked *q)
{
	struct world *w = q->w;
	enum world_fault fault = w->fault;
	int64_t since = query_number(q, "since", -1), limit = query_number(q, "limit", INT64_MAX), last = w->n_lines - 1, upto = last;
	struct buf b;
	buf_init(&b, 64 * MIB);
	if (fault == WORLD_FEED_TRUNCATED || fault == WORLD_FEED_REPLAYED)
		last--;
	if (fault == WORLD_FEED_REPLAYED)
		upto = last;
	if (fault == WORLD_FEED_OF_ANOTHER)
		since = since > -1 ? since - 1 : since;
	for (int64_t i = since + 1; i <= last && i - since <= limit; i++) {
		int64_t which = fault == WORLD_FEED_REORDERED && (i == last || i == last - 1) ? 2 * last - 1 - i : i;
		buf_add_str(&b, line_text(q, which));
	}
	for (int i = 0; fault == WORLD_FEED_ENDLESS_LINE && i < 3 * (int)MIB; i++)
		buf_add_byte(&b, 'x');
	struct str head = head_text(q, upto);
	if (fault != WORLD_FEED_HEADLESS)
		buf_addf(&b, "%.*s\n", STR_ARG(head));
	answer(q, 200, "Content-Type: application/x-ndjson\r\n", buf_take(q->arena, &b));
}

/* ---- files ---- */

static struct str manifest_fault(struct asked *q, struct str envelope)
{
	struct world *w = q->w;
	const struct json *j;
	struct error e = { 0 };
	struct str payload;
	const char *wrong = w->fault == WORLD_MANIFEST_CLIMBS ? "../../../../tmp/climbed" : w->fault == WORLD_MANIFEST_ABSOLUTE ? "/tmp/climbed" : w->fault == WORLD_MANIFEST_HIDDEN ? ".mirror/lock" : NULL;
	if (json_parse(q->arena, envelope, &j, &e) != ERR_OK || !str_unbase64(q->arena, json_member_text(j, "payload"), &payload))
		return envelope;
	if (w->fault == WORLD_MANIFEST_OF_ANOTHER_KEY)
		return dsse_sign(q->arena, &w->other, 1, STR(RELEASE_PAYLOAD_TYPE), payload);
	const char *at = wrong ? memmem(payload.p, payload.n, "README.md", 9) : NULL;
	if (!at)
		return envelope;
	struct str changed = str_fmt(q->arena, "%.*s%s%.*s", (int)(at - payload.p), payload.p, wrong, (int)(payload.n - (size_t)(at - payload.p) - 9), at + 9);
	return dsse_sign(q->arena, &w->key, 1, STR(RELEASE_PAYLOAD_TYPE), changed);
}

static bool is_meant(struct world *w, struct str path)
{
	return w->fault_path ? str_ends(path, w->fault_path) : str_ends(path, ".jsonl.gz");
}

/* An answer that is wrong in itself; true when it was given. */
static bool file_fault(struct asked *q, struct str path, struct str content)
{
	struct world *w = q->w;
	static const char block[65536];
	switch ((enum world_fault)w->fault) {
	case WORLD_FILE_SHORT:
		answer(q, 200, "", str_sub(content, 0, content.n / 2));
		return true;
	case WORLD_FILE_ENDLESS:
		send_all(q->fd, STR("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"));
		for (int i = 0; i < 1600; i++)
			send_all(q->fd, str_make(block, sizeof(block)));
		return true;
	case WORLD_FILE_SLOW:
		send_all(q->fd, str_fmt(q->arena, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n", content.n));
		for (int i = 0; i < 60 && w->fault == WORLD_FILE_SLOW; i++) {
			send_all(q->fd, STR("x"));
			usleep(50 * 1000);
		}
		return true;
	case WORLD_FILE_REDIRECTED:
		answer(q, 302, "Location: http://127.0.0.1:1/elsewhere\r\n", STR(""));
		return true;
	case WORLD_FILE_GONE:
		answer(q, 410, "", STR("{\"code\":\"gone\",\"detail\":\"This was withdrawn.\"}"));
		return true;
	case WORLD_FILE_BUSY_ONCE:
		if (w->busy++)
			return false;
		answer(q, 503, "Retry-After: 0\r\n", STR("{}"));
		return true;
	case WORLD_FILE_CUT_ONCE:
	case WORLD_FILE_CUT:
		if (w->busy++ && w->fault == WORLD_FILE_CUT_ONCE)
			return false;
		send_all(q->fd, str_fmt(q->arena, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", content.n));
		send_all(q->fd, str_sub(content, 0, content.n / 2));
		return true;
	default:
		(void)path;
		return false;
	}
}

static bool opened(struct asked *q)
{
	return !q->w->gated || str_is(header_of(q, "Authorization"), "Bearer jwt-of-a-grant");
}

static void serve_file(struct asked *q, struct str version, struct str path)
{
	struct world *w = q->w;
	struct str content, range = header_of(q, "Range");
	struct error e = { 0 };
	int64_t first = 0;
	bool meant = is_meant(w, path);
	if (!opened(q)) {
		answer(q, 401, "", STR("{\"code\":\"unauthenticated\",\"detail\":\"Sign in, or send a valid token.\"}"));
		return;
	}
	if (file_read(q->arena, "x", str_fmt(q->arena, "%s/%.*s/%.*s", w->dir, STR_ARG(version), STR_ARG(path)).p, 512 * MIB, &content, &e) != ERR_OK) {
		answer(q, 404, "", STR("{}"));
		return;
	}
	w->asked_files++;
	if (meant && file_fault(q, path, content))
		return;
	if (str_is(path, "manifest.dsse.json"))
		content = manifest_fault(q, content);
	if ((meant && w->fault == WORLD_FILE_CHANGED) || (str_is(path, "SHA256SUMS") && w->fault == WORLD_SUMS_CHANGED))
		((char *)(uintptr_t)content.p)[content.n / 2] ^= 1;
	bool part = str_starts(range, "bytes=") && str_to_i64(str_sub(range, 6, range.n - 7), 0, INT64_MAX, &first) && w->fault != WORLD_FILE_IGNORES_RANGE;
	if (part && w->fault == WORLD_FILE_WRONG_RANGE)
		first = 0;
	struct str body = part ? str_sub(content, (size_t)first, content.n) : content;
	w->asked_bytes += (int)body.n;
	answer(q, part ? 206 : 200, "", body);
}

/* ---- the rest ---- */

static void serve_release(struct asked *q, struct str rest)
{
	struct str version;
	(void)str_split(&rest, '/', &version);
	if (q->w->fault == WORLD_MANIFEST_OF_ANOTHER_VERSION && str_starts(rest, "files/"))
		version = str_of(q->w->versions[0].version);
	if (str_starts(rest, "files/"))
		serve_file(q, version, str_sub(rest, 6, rest.n));
	else
		answer(q, 200, "", STR("{\"id\":\"11111111-1111-4111-8111-111111111111\"}"));
}

static void take_receipt(struct asked *q)
{
	struct world *w = q->w;
	if (w->fault == WORLD_RECEIPT_REFUSED) {
		answer(q, 422, "", STR("{\"code\":\"refused\",\"detail\":\"This mirror is not registered.\"}"));
		return;
	}
	snprintf(w->receipt, sizeof(w->receipt), "%.*s", STR_ARG(q->body));
	w->receipts++;
	answer(q, 201, "", STR("{}"));
}

static void serve_coop(struct asked *q)
{
	answer(q, 200, "", str_fmt(q->arena, "{\"public_key\":\"%.*s\"}", STR_ARG(minisign_public_key(q->arena, q->w->key.public_key))));
}

static void route(struct asked *q)
{
	struct str path = q->path;
	if (!str_starts(path, "/api/v1/coops/test")) {
		answer(q, 404, "", STR("{}"));
		return;
	}
	path = str_sub(path, 18, path.n);
	if (path.n == 0)
		serve_coop(q);
	else if (str_is(path, "/keys.json") && q->w->keys.n)
		answer(q, 200, "", q->w->keys.text);
	else if (str_is(path, "/status.json"))
		serve_status(q);
	else if (str_is(path, "/tombstones"))
		serve_feed(q);
	else if (str_is(path, "/log/proof"))
		serve_proof(q);
	else if (str_is(path, "/grants"))
		answer(q, 200, "", STR("{\"items\":[{\"id\":\"22222222-2222-4222-8222-222222222222\",\"release\":null,\"expires_at\":\"2999-01-01T00:00:00Z\",\"revoked_at\":null}],\"next_cursor\":null}"));
	else if (str_starts(path, "/grants/") && str_ends(path, "/token")) {
		q->w->asked_tokens++;
		answer(q, 201, "", STR("{\"token\":\"jwt-of-a-grant\",\"type\":\"Bearer\",\"expires_at\":\"2999-01-01T00:00:00Z\"}"));
	} else if (str_starts(path, "/mirrors/"))
		take_receipt(q);
	else if (str_starts(path, "/releases/"))
		serve_release(q, str_sub(path, 10, path.n));
	else
		answer(q, 404, "", STR("{}"));
}

static bool request_read(struct asked *q)
{
	q->n = 0;
	while (q->n < sizeof(q->text) - 1) {
		ssize_t got = read(q->fd, q->text + q->n, sizeof(q->text) - 1 - q->n);
		if (got <= 0)
			return false;
		q->n += (size_t)got;
		q->text[q->n] = '\0';
		const char *end = strstr(q->text, "\r\n\r\n");
		int64_t length = 0;
		if (!end)
			continue;
		(void)!str_to_i64(header_of(q, "Content-Length"), 0, REQUEST_MAX, &length);
		size_t head = (size_t)(end + 4 - q->text);
		if (q->n < head + (size_t)length)
			continue;
		struct str first = str_make(q->text, strcspn(q->text, "\r"));
		q->body = str_make(q->text + head, (size_t)length);
		(void)str_split(&first, ' ', &q->method);
		struct str target;
		(void)str_split(&first, ' ', &target);
		q->query = target;
		(void)str_split(&q->query, '?', &q->path);
		return true;
	}
	return false;
}

static void *serve(void *arg)
{
	struct asked *q = arg;
	for (;;) {
		q->fd = accept(q->w->socket, NULL, NULL);
		if (q->fd < 0)
			break;
		arena_reset(q->arena);
		if (request_read(q))
			route(q);
		shutdown(q->fd, SHUT_WR);
		close(q->fd);
	}
	arena_free(q->arena);
	free(q);
	return NULL;
}

void world_serve(struct world *w)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(at);
	struct asked *q = calloc(1, sizeof(*q));
	w->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!q || bind(w->socket, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(w->socket, 64) != 0 || getsockname(w->socket, (struct sockaddr *)&at, &size) != 0)
		world_die("no socket");
	w->port = ntohs(at.sin_port);
	q->w = w;
	q->arena = arena_new(1024 * MIB);
	if (!q->arena || pthread_create(&w->thread, NULL, serve, q) != 0)
		world_die("no thread");
}

void world_stop(struct world *w)
{
	shutdown(w->socket, SHUT_RDWR);
	pthread_join(w->thread, NULL);
	close(w->socket);
}

void world_keep_status(struct world *w)
{
	struct asked q = { .w = w, .arena = w->arena };
	w->old_status = status_text(&q);
}

struct str world_url(struct world *w, struct arena *a)
{
	return str_fmt(a, "http://127.0.0.1:%d/api/v1/coops/test", w->port);
}
