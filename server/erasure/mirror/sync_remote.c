/* Asking the co-op's server. What fails for a passing reason is tried again, politely; what it says is for others to believe or not. */
#include "sync_internal.h"

#include "commonhold/config.h"
#include "commonhold/file.h"
#include "commonhold/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES 4
#define PATIENCE 30L
#define LEAST_SPEED 1024L
#define WAIT_MAX 60            /* seconds that a server may ask us to wait within a run */
#define PROGRESS_STEP (1 << 20)

static bool go_on(void *arg)
{
	return !sync_stopped(arg);
}

/* Credentials are for whoever serves the co-op's API, over TLS or on this machine. */
static struct fetch_request request_to(struct sync *s, struct str path)
{
	long patience = s->o->patience_seconds > 0 ? s->o->patience_seconds : PATIENCE;
	return (struct fetch_request){
		.url = str_cat(s->arena, s->o->url, path), .allow_private = true, .allow_http = s->o->allow_http || url_is_loopback(s->o->url), .ca_file = s->o->ca_file, .go_on = go_on,
		.arg = s, .total_ms = 4 * patience * 1000, .least_speed = LEAST_SPEED, .slow_seconds = patience,
	};
}

static bool is_passing(enum err e, const struct error *said, long status)
{
	if (e != ERR_OK)
		return e == ERR_TIMEOUT || (e == ERR_UNAVAILABLE && strcmp(said->reason, "stopped") != 0 && strcmp(said->reason, "tls") != 0);
	return status == 429 || status == 408 || status >= 500;
}

static void wait_seconds(struct sync *s, int64_t seconds)
{
	for (int64_t i = 0; i < seconds * 10 && !sync_stopped(s); i++)
		usleep(100 * 1000);
}

/* Waits longer each time, or as long as we are asked to; true when it is worth another try. */
static bool try_again(struct sync *s, int attempt, const struct fetch_answer *answer)
{
	int tries = s->o->tries > 0 ? s->o->tries : TRIES;
	if (attempt + 1 >= tries || sync_stopped(s))
		return false;
	int64_t wait = fetch_retry_after(answer, (int64_t)1 << (attempt < 5 ? attempt : 5));
	if (wait > WAIT_MAX)
		return false;
	wait_seconds(s, wait);
	return !sync_stopped(s);
}

static enum err ask(struct sync *s, const struct fetch_request *r, struct fetch_answer *out)
{
	for (int attempt = 0;; attempt++) {
		error_clear(s->e);
		enum err e = fetch(s->fetcher, s->arena, r, out, s->e);
		if (!is_passing(e, s->e, out->status) || !try_again(s, attempt, out))
			return e;
	}
}

/* What a refusal says, as far as a person can use it. */
static enum err refused(struct sync *s, struct str path, const struct fetch_answer *answer)
{
	const struct json *problem;
	struct error ignored = { 0 };
	struct str detail = STR_NONE, code = STR_NONE;
	struct str shown = str_sub(path, 0, str_index(path, '?') < 0 ? path.n : (size_t)str_index(path, '?'));
	if (json_parse(s->arena, answer->body, &problem, &ignored) == ERR_OK) {
		detail = json_member_text(problem, "detail");
		code = json_member_text(problem, "code");
	}
	sync_fail(s, answer->status == 410 ? ERR_GONE : ERR_UNAVAILABLE, answer->status == 410 ? "gone" : answer->status == 401 || answer->status == 403 ? "refused" : "unreachable",
		"The server answers %ld for %.*s%s%.*s", answer->status, STR_ARG(shown), detail.n ? ": " : ".", STR_ARG(str_sub(detail, 0, 200)));
	if (answer->status == 401 || answer->status == 403)
		snprintf(s->e->hint, sizeof(s->e->hint), "Releases of this co-op are gated: ask for access, and give a personal token with --token-file.%s%.*s", code.n ? " Reason: " : "",
			STR_ARG(str_sub(code, 0, 60)));
	return s->e->code;
}

/* For what changes: not what some cache on the way remembers, since an older answer than the last is refused. */
static size_t fresh_headers(struct sync *s, struct fetch_header out[2])
{
	out[0] = (struct fetch_header){ STR("Cache-Control"), STR("no-cache") };
	out[1] = (struct fetch_header){ STR("Authorization"), s->token.p ? str_fmt(s->arena, "Bearer %.*s", STR_ARG(s->token)) : STR_NONE };
	return s->token.p ? 2 : 1;
}

enum err remote_read(struct sync *s, struct str path, size_t max, long also, struct document *out)
{
	struct fetch_request r = request_to(s, path);
	struct fetch_answer answer;
	struct fetch_header headers[2];
	r.headers = headers;
	r.n_headers = fresh_headers(s, headers);
	r.max_bytes = (int64_t)max;
	TRY(ask(s, &r, &answer));
	if (answer.status != 200 && answer.status != also)
		return refused(s, path, &answer);
	*out = (struct document){ answer.status, answer.body };
	return ERR_OK;
}

enum err remote_post(struct sync *s, struct str path, struct str body, const char *type, struct document *out)
{
	struct fetch_request r = request_to(s, path);
	struct fetch_answer answer;
	struct fetch_header headers[2] = { { STR("Content-Type"), str_of(type) }, { STR("Authorization"), s->token.p ? str_fmt(s->arena, "Bearer %.*s", STR_ARG(s->token)) : STR_NONE } };
	r.headers = headers;
	r.n_headers = s->token.p ? 2 : 1;
	r.body = body;
	TRY(ask(s, &r, &answer));
	*out = (struct document){ answer.status, answer.body };
	return answer.status >= 200 && answer.status < 300 ? ERR_OK : refused(s, path, &answer);
}

/* ---- what is written down as it comes ---- */

struct pouring {
	struct sync *s;
	struct str what;            /* for whoever looks on */
	int fd;
	struct hasher *hash;        /* of all bytes so far; NULL: nobody asks */
	int64_t at, total, shown;   /* bytes written, with those of earlier runs; expected; last told */
	bool resumed;               /* we asked for the rest only */
	int failed;                 /* errno of a write */
};

static bool pour_head(void *arg, const struct fetch_answer *answer)
{
	struct pouring *p = arg;
	/* A server that sends the whole in spite of what was asked begins anew. */
	if (p->resumed && answer->status != 206) {
		p->at = 0;
		p->resumed = false;
		if (ftruncate(p->fd, 0) != 0 || lseek(p->fd, 0, SEEK_SET) != 0)
			return false;
		if (p->hash)
			(void)hasher_end(p->hash);
	}
	return true;
}

static bool pour(void *arg, const void *bytes, size_t n)
{
	struct pouring *p = arg;
	if (p->hash)
		hasher_add(p->hash, bytes, n);
	if (!file_write_all(p->fd, bytes, n)) {
		p->failed = errno;
		return false;
	}
	p->at += (int64_t)n;
	if (p->at - p->shown >= PROGRESS_STEP || p->at == p->total) {
		p->shown = p->at;
		if (p->s->o->progress)
			p->s->o->progress(p->s->o->arg, p->what.p, p->at, p->total);
	}
	return true;
}

static bool pour_go_on(void *arg)
{
	struct pouring *p = arg;
	return !sync_stopped(p->s);
}

static enum err pour_failed(struct sync *s, const struct pouring *p, enum err e)
{
	if (p->failed)
		return sync_fail(s, ERR_IO, "disk", "%.*s cannot be written: %s.", STR_ARG(p->what), strerrorname_np(p->failed));
	return e;
}

enum err remote_spool(struct sync *s, struct str path, const char *to, int64_t max)
{
	struct fetch_request r = request_to(s, path);
	struct fetch_answer answer = { 0 };
	struct fetch_header headers[2];
	for (int attempt = 0;; attempt++) {
		struct pouring p = { .s = s, .what = STR("the list of tombstones"), .fd = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644) };
		if (p.fd < 0)
			return sync_fail(s, ERR_IO, "disk", "A file cannot be made: %s.", strerrorname_np(errno));
		r.headers = headers;
		r.n_headers = fresh_headers(s, headers);
		r.sink = pour;
		r.go_on = pour_go_on;
		r.arg = &p;
		r.max_bytes = max;
		r.total_ms = FETCH_FOREVER;
		error_clear(s->e);
		enum err e = fetch(s->fetcher, s->arena, &r, &answer, s->e);
		close(p.fd);
		if (!is_passing(e, s->e, answer.status) || !try_again(s, attempt, &answer)) {
			TRY(pour_failed(s, &p, e));
			return answer.status == 200 ? ERR_OK : refused(s, path, &answer);
		}
	}
}

/* ---- what opens gated files ---- */

static bool grant_serves(struct sync *s, const struct json *grant, struct str release)
{
	instant ends;
	struct str of = json_member_text(grant, "release");
	(void)s;
	if (json_text(json_get(grant, "revoked_at")).p || !clock_parse(json_member_text(grant, "expires_at"), &ends) || ends <= clock_now())
		return false;
	return !of.p || str_eq(of, release);
}

static enum err grant_token(struct sync *s, struct str grant)
{
	struct document made;
	const struct json *j;
	struct uuid id;
	if (!uuid_parse(grant, &id))
		return sync_fail(s, ERR_CORRUPT, "lied", "The server names a grant that is none.");
	TRY(remote_post(s, str_fmt(s->arena, "/grants/%.*s/token", STR_ARG(grant)), STR(""), "application/json", &made));
	TRY(json_parse(s->arena, made.body, &j, s->e));
	struct str token = json_member_text(j, "token");
	if (!token.n || token.n > sizeof(s->bearer_text))
		return sync_fail(s, ERR_CORRUPT, "lied", "The server makes a token that is none.");
	memcpy(s->bearer_text, token.p, token.n);
	s->bearer = str_make(s->bearer_text, token.n);
	return ERR_OK;
}

/* A token for one version: from a grant that opens it; the personal one where there is none, since members of the co-op may need none. */
static enum err bearer_make(struct sync *s, struct str version)
{
	struct document got;
	const struct json *j;
	s->bearer = s->token;
	s->bearer_for = version;
	if (!s->token.p)
		return ERR_OK;
	TRY(remote_read(s, str_fmt(s->arena, "/releases/%.*s", STR_ARG(version)), MIB, 0, &got));
	TRY(json_parse(s->arena, got.body, &j, s->e));
	struct str release = json_member_text(j, "id");
	TRY(remote_read(s, STR("/grants?mine=true&limit=200"), 4 * MIB, 0, &got));
	TRY(json_parse(s->arena, got.body, &j, s->e));
	json_each(grant, json_get(j, "items"))
		if (grant_serves(s, grant, release))
			return grant_token(s, json_member_text(grant, "id"));
	return ERR_OK;
}

static enum err bearer_ready(struct sync *s, struct str version)
{
	return s->bearer_for.p && str_eq(s->bearer_for, version) ? ERR_OK : bearer_make(s, version);
}

static struct str file_path(struct sync *s, struct str version, struct str path)
{
	return str_fmt(s->arena, "/releases/%.*s/files/%.*s", STR_ARG(version), STR_ARG(path));
}

static struct fetch_header bearer_header(struct sync *s)
{
	return (struct fetch_header){ STR("Authorization"), s->bearer.p ? str_fmt(s->arena, "Bearer %.*s", STR_ARG(s->bearer)) : STR_NONE };
}

enum err remote_file(struct sync *s, struct str version, const char *path, size_t max, struct str *out)
{
	struct str asked = file_path(s, version, str_of(path));
	for (int attempt = 0; attempt < 2; attempt++) {
		struct fetch_answer answer;
		TRY(bearer_ready(s, version));
		struct fetch_request r = request_to(s, asked);
		struct fetch_header auth = bearer_header(s);
		r.headers = &auth;
		r.n_headers = s->bearer.p ? 1 : 0;
		r.max_bytes = (int64_t)max;
		TRY(ask(s, &r, &answer));
		if (answer.status == 200) {
			*out = answer.body;
			s->out->downloaded += answer.received;
			return ERR_OK;
		}
		/* A grant's token is short-lived: another one, once. */
		if (answer.status != 401 || !s->token.p || attempt)
			return refused(s, asked, &answer);
		s->bearer_for = STR_NONE;
	}
	return ERR_OK;
}

/* ---- files ---- */

/* Takes up what an earlier run got of it: hashes it, and says from where to go on. */
static enum err part_resume(struct sync *s, struct pouring *p, const char *part, int64_t size)
{
	char block[65536];
	ssize_t got;
	struct stat st;
	p->fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (p->fd < 0 || fstat(p->fd, &st) != 0)
		return sync_fail(s, ERR_IO, "disk", "A file cannot be made: %s.", strerrorname_np(errno));
	if (st.st_size > size && ftruncate(p->fd, 0) != 0)
		return sync_fail(s, ERR_IO, "disk", "A file cannot be begun anew: %s.", strerrorname_np(errno));
	while ((got = read(p->fd, block, sizeof(block))) > 0) {
		hasher_add(p->hash, block, (size_t)got);
		p->at += got;
	}
	if (got < 0)
		return sync_fail(s, ERR_IO, "disk", "A file cannot be read: %s.", strerrorname_np(errno));
	p->resumed = p->at > 0;
	return ERR_OK;
}

/* One attempt at the rest of a file. */
static enum err part_fetch(struct sync *s, struct pouring *p, struct str url, struct sha256 sha256, int64_t size, struct fetch_answer *answer)
{
	struct fetch_request r = request_to(s, url);
	struct fetch_header headers[3];
	size_t n = 0;
	int64_t before = p->at;
	if (s->bearer.p)
		headers[n++] = bearer_header(s);
	if (p->resumed) {
		headers[n++] = (struct fetch_header){ STR("Range"), str_fmt(s->arena, "bytes=%lld-", (long long)p->at) };
		headers[n++] = (struct fetch_header){ STR("If-Range"), str_fmt(s->arena, "\"%.*s\"", STR_ARG(sha256_hex(s->arena, sha256))) };
	}
	r.headers = headers;
	r.n_headers = n;
	r.sink = pour;
	r.head = pour_head;
	r.go_on = pour_go_on;
	r.arg = p;
	r.max_bytes = size > 0 ? size : 1;
	r.total_ms = FETCH_FOREVER;
	error_clear(s->e);
	enum err e = fetch(s->fetcher, s->arena, &r, answer, s->e);
	s->out->downloaded += p->resumed ? p->at - before : p->at;
	return pour_failed(s, p, e);
}

static enum err part_complete(struct sync *s, struct pouring *p, struct str url, struct str version, struct sha256 sha256, int64_t size)
{
	bool renewed = false;
	for (int attempt = 0; p->at < size || size == 0; attempt++) {
		struct fetch_answer answer = { 0 };
		enum err e = part_fetch(s, p, url, sha256, size, &answer);
		p->resumed = p->at > 0;
		if (e == ERR_OK && (answer.status == 200 || answer.status == 206))
			return ERR_OK;
		if (e == ERR_OK && answer.status == 401 && s->token.p && !renewed) {
			renewed = true;
			TRY(bearer_make(s, version));
			continue;
		}
		if (is_passing(e, s->e, answer.status) && try_again(s, attempt, &answer))
			continue;
		return e != ERR_OK ? e : refused(s, url, &answer);
	}
	return ERR_OK;
}

/* One try at a whole file, from what there is of it. *right: it is the one that is meant; if not, nothing is kept of it. */
static enum err download_try(struct sync *s, struct str version, struct str path, int64_t size, struct sha256 sha256, const char *part, bool *resumed, bool *right)
{
	struct pouring p = { .s = s, .what = str_of(str_z(s->arena, path)), .fd = -1, .total = size, .hash = hasher_new(s->arena) };
	enum err e = part_resume(s, &p, part, size);
	*resumed = p.resumed;
	if (e == ERR_OK)
		e = part_complete(s, &p, file_path(s, version, path), version, sha256, size);
	if (e == ERR_OK && fsync(p.fd) != 0)
		e = sync_fail(s, ERR_IO, "disk", "%.*s cannot be made durable: %s.", STR_ARG(path), strerrorname_np(errno));
	if (p.fd >= 0)
		close(p.fd);
	*right = e == ERR_OK && p.at == size && sha256_eq(hasher_end(p.hash), sha256);
	if (e == ERR_OK && !*right)
		(void)unlink(part);
	return e;
}

enum err remote_download(struct sync *s, struct str version, struct str path, int64_t size, struct sha256 sha256, const char *to)
{
	const char *part = folder_path(s, ".mirror/parts/%.*s", STR_ARG(sha256_hex(s->arena, sha256))).p;
	bool resumed = false, right = false;
	TRY(bearer_ready(s, version));
	TRY(download_try(s, version, path, size, sha256, part, &resumed, &right));
	/* What an earlier run got may have been wrong. */
	if (!right && resumed)
		TRY(download_try(s, version, path, size, sha256, part, &resumed, &right));
	if (!right)
		return sync_fail(s, ERR_CORRUPT, "lied", "%.*s is not the file that the signed manifest speaks of: its hash differs.", STR_ARG(path));
	if (rename(part, to) != 0)
		return sync_fail(s, ERR_IO, "disk", "%.*s cannot be put in place: %s.", STR_ARG(path), strerrorname_np(errno));
	return ERR_OK;
}
