/* web_fixture.h - a server in the test's own process, with routes that show what the web base does and hooks that know three people. Each test program has one. */
#ifndef COMMONHOLD_TESTS_WEB_FIXTURE_H
#define COMMONHOLD_TESTS_WEB_FIXTURE_H

#include "web_client.h"

#include "commonhold/crypto.h"
#include "commonhold/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <sys/mman.h>

#define GOOD_SESSION "ch_ses_0123456789012345678901234567890123456789012"
#define GOOD_TOKEN "ch_pat_0123456789012345678901234567890123456789012"
#define FILE_SIZE 1000

/* What handlers tell the test. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int runs;          /* of the handler under test */
	bool waiting;      /* a handler waits to be let go */
	bool go;           /* it may */
} seen = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static inline enum err answer_text(struct response *rs, const char *key, struct str value)
{
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kstr(&w, key, value);
	jw_end_object(&w);
	return ERR_OK;
}

static inline void count_run(void)
{
	pthread_mutex_lock(&seen.lock);
	seen.runs++;
	pthread_mutex_unlock(&seen.lock);
}

static inline int runs(void)
{
	pthread_mutex_lock(&seen.lock);
	int n = seen.runs;
	pthread_mutex_unlock(&seen.lock);
	return n;
}

static enum err on_hello(struct request *rq, struct response *rs)
{
	count_run();
	return answer_text(rs, "status", rq->method);
}

static enum err on_echo(struct request *rq, struct response *rs)
{
	count_run();
	struct json_writer w = response_json(rs);
	jw_json(&w, rq->json);
	return ERR_OK;
}

static enum err on_raw(struct request *rq, struct response *rs)
{
	count_run();
	struct sha256 digest = sha256(rq->body);
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kint(&w, "bytes", (int64_t)rq->body.n);
	jw_kstr(&w, "sha256", sha256_hex(rq->call->arena, digest));
	jw_end_object(&w);
	return ERR_OK;
}

static enum err on_thing(struct request *rq, struct response *rs)
{
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kstr(&w, "coop", rq->param[0]);
	jw_kstr(&w, "thing", rq->param[1]);
	jw_kbool(&w, "member", rq->coop.is_member);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err on_rest(struct request *rq, struct response *rs)
{
	return answer_text(rs, "rest", rq->param[0]);
}

static enum err on_named(struct request *rq, struct response *rs)
{
	return answer_text(rs, "name", rq->param[0]);
}

static enum err on_tagged(struct request *rq, struct response *rs)
{
	count_run();
	if (strcmp(rq->route->method, "PUT") == 0) {
		enum err e = request_if_match(rq, STR("v1"));
		return e ? e : answer_text(rs, "status", STR("changed"));
	}
	return response_not_modified(rq, rs, STR("v1")) ? ERR_OK : answer_text(rs, "status", STR("fresh"));
}

static enum err on_file(struct request *rq, struct response *rs)
{
	int fd = memfd_create("file", 0);
	char bytes[FILE_SIZE];
	for (int i = 0; i < FILE_SIZE; i++)
		bytes[i] = (char)('a' + i % 26);
	int64_t size = str_is(rq->param[0], "empty") ? 0 : FILE_SIZE;
	if (write(fd, bytes, (size_t)size) != size)
		return error_set(&rq->call->error, ERR_IO, "no file");
	return response_file(rq, rs, fd, size, "application/octet-stream", STR("tag"));
}

static enum err on_stream(struct request *rq, struct response *rs)
{
	int64_t n = 0;
	if (!str_to_i64(request_query(rq, "n"), 0, 1 << 30, &n))
		return error_set(&rq->call->error, ERR_BAD_REQUEST, "n");
	enum err e = stream_begin(rq, rs, 200, "application/octet-stream", -1);
	for (int64_t i = 0; i < n && e == ERR_OK; i++)
		e = stream_write(rq, "0123456789", 10);
	if (e == ERR_OK && request_query(rq, "broken").p)
		return error_set(&rq->call->error, ERR_CORRUPT, "broken on the way");
	return e ? e : stream_end(rq);
}

static enum err on_upload(struct request *rq, struct response *rs)
{
	char window[4096];
	size_t got;
	int64_t total = 0;
	do {
		enum err e = request_read(rq, window, sizeof(window), &got);
		if (e)
			return e;
		total += (int64_t)got;
	} while (got);
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kint(&w, "bytes", total);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err on_wait(struct request *rq, struct response *rs)
{
	(void)rq;
	pthread_mutex_lock(&seen.lock);
	seen.waiting = true;
	pthread_cond_broadcast(&seen.changed);
	while (!seen.go)
		pthread_cond_wait(&seen.changed, &seen.lock);
	pthread_mutex_unlock(&seen.lock);
	return answer_text(rs, "status", STR("finished"));
}

__attribute__((noinline)) static int use_stack(void)
{
	volatile char frame[768 * 1024];
	for (size_t i = 0; i < sizeof(frame); i += 1024)
		frame[i] = (char)i;
	return frame[1024];
}

static enum err on_deep(struct request *rq, struct response *rs)
{
	(void)rq;
	return use_stack() == 0 ? answer_text(rs, "status", STR("stood")) : ERR_INTERNAL;
}

static enum err on_inject(struct request *rq, struct response *rs)
{
	response_header(rs, "X-Value", request_query(rq, "v"));
	return answer_text(rs, "status", STR("sent"));
}

static enum err on_redirect(struct request *rq, struct response *rs)
{
	response_redirect(rs, request_query(rq, "to"));
	return ERR_OK;
}

static enum err on_retry(struct request *rq, struct response *rs)
{
	count_run();
	arena_alloc(rq->call->arena, 4 * MIB); /* four times would not fit if attempts kept their memory */
	if (runs() < 4 || request_query(rq, "always").p) {
		response_header(rs, "X-Attempt", STR("lost"));
		return error_set(&rq->call->error, ERR_RETRY, "again");
	}
	return answer_text(rs, "status", STR("done"));
}

static enum err on_hungry(struct request *rq, struct response *rs)
{
	(void)rs;
	while (arena_alloc(rq->call->arena, MIB))
		continue;
	return ERR_INTERNAL;
}

static enum err on_silent(struct request *rq, struct response *rs)
{
	(void)rq;
	(void)rs;
	return ERR_STATE;
}

static enum err on_page_list(struct request *rq, struct response *rs)
{
	struct str cursor;
	int limit;
	enum err e = request_page(rq, &cursor, &limit);
	return e ? e : answer_text(rs, "limit", str_fmt(rq->call->arena, "%d", limit));
}

static enum err on_sign_in(struct request *rq, struct response *rs)
{
	response_set_session(rq, rs, STR(GOOD_SESSION), clock_now() + CLOCK_HOUR);
	response_flash(rq, rs, STR("Welcome <back>"));
	response_redirect(rs, STR("/page"));
	return ERR_OK;
}

static enum err on_form(struct request *rq, struct response *rs)
{
	count_run();
	struct str *all;
	struct form_file file;
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kstr(&w, "a", request_form(rq, "a"));
	jw_kint(&w, "count", (int64_t)request_form_all(rq, "a", &all));
	if (request_file(rq, "file", &file)) {
		jw_kstr(&w, "file", file.name);
		jw_kstr(&w, "type", file.content_type);
		jw_kstr(&w, "sha256", sha256_hex(rq->call->arena, sha256(file.content)));
		jw_kint(&w, "bytes", (int64_t)file.content.n);
	}
	jw_end_object(&w);
	return ERR_OK;
}

static enum err on_page(struct request *rq, struct response *rs)
{
	const struct json *data;
	enum err e = json_parse(rq->call->arena, STR("{\"title\":\"A <title>\",\"status\":\"0\",\"message\":\"A page\"}"), &data, &rq->call->error);
	return e ? e : response_page(rq, rs, "page/error", data);
}

static enum err on_csrf(struct request *rq, struct response *rs)
{
	return answer_text(rs, "csrf", request_csrf(rq));
}

/* "hello" answers with a "status" member like schemas/health.json, but these tests do not hold answers against schemas: others do. */
static const struct route test_routes[] = {
	{ "GET", "/api/v1/hello", "hello", PERM_PUBLIC, 0, NULL, "health", 200, on_hello, "Greets", ROUTE_FREE },
	{ "POST", "/api/v1/echo", "echo", PERM_PUBLIC, LIMIT_BODY_ITEM, "message", "message", 200, on_echo, "Says it back", ROUTE_FREE | ROUTE_IDEMPOTENT },
	{ "POST", "/api/v1/raw", "raw", PERM_PUBLIC, 4 * MIB, NULL, "health", 200, on_raw, "Counts bytes", ROUTE_FREE },
	{ "POST", "/api/v1/upload", "upload", PERM_PUBLIC, 64 * MIB, "stream:application/x-ndjson", "health", 200, on_upload, "Takes a stream", ROUTE_FREE | ROUTE_STREAM_BODY },
	{ "GET", "/api/v1/coops/{coop}/things/{thing}", "thing_get", PERM_OPTIONAL, 0, NULL, "health", 200, on_thing, "Shows a thing", ROUTE_FREE },
	{ "GET", "/api/v1/coops/{coop}/things/mine", "thing_mine", PERM_OPTIONAL, 0, NULL, "health", 200, on_hello, "Shows mine", ROUTE_FREE },
	{ "DELETE", "/api/v1/coops/{coop}/things/{thing}", "thing_delete", PERM_ADMIN, 0, NULL, "health", 200, on_thing, "Deletes a thing", ROUTE_FREE },
	{ "GET", "/api/v1/coops/{coop}/inner", "inner", PERM_MEMBER, 0, NULL, "health", 200, on_hello, "For members", ROUTE_FREE },
	{ "GET", "/api/v1/coops/{coop}/active", "active", PERM_ACTIVE, 0, NULL, "health", 200, on_hello, "For active members", ROUTE_FREE },
	{ "GET", "/api/v1/coops/{coop}/download", "download", PERM_GRANT, 0, NULL, "health", 200, on_hello, "For holders of grants", ROUTE_FREE },
	{ "GET", "/api/v1/rest/{path*}", "rest", PERM_PUBLIC, 0, NULL, "health", 200, on_rest, "The rest", ROUTE_FREE },
	{ "GET", "/api/v1/named/{name}.json", "named", PERM_PUBLIC, 0, NULL, "health", 200, on_named, "A name before an ending", ROUTE_FREE },
	{ "GET", "/api/v1/tagged", "tagged", PERM_PUBLIC, 0, NULL, "health", 200, on_tagged, "Has a tag", ROUTE_FREE },
	{ "PUT", "/api/v1/tagged", "tagged_put", PERM_PUBLIC, 0, NULL, "health", 200, on_tagged, "Changes what has a tag", ROUTE_FREE },
	{ "GET", "/api/v1/files/{name}", "file", PERM_PUBLIC, 0, NULL, "application/octet-stream", 200, on_file, "A file", ROUTE_FREE },
	{ "GET", "/api/v1/stream", "stream", PERM_PUBLIC, 0, NULL, "application/octet-stream", 200, on_stream, "A stream", ROUTE_FREE, "n broken" },
	{ "GET", "/api/v1/wait", "wait", PERM_PUBLIC, 0, NULL, "health", 200, on_wait, "Waits", ROUTE_FREE },
	{ "GET", "/api/v1/deep", "deep", PERM_PUBLIC, 0, NULL, "health", 200, on_deep, "Needs stack", ROUTE_FREE },
	{ "GET", "/api/v1/inject", "inject", PERM_PUBLIC, 0, NULL, "health", 200, on_inject, "Sets a header", ROUTE_FREE, "v" },
	{ "GET", "/api/v1/redirect", "redirect", PERM_PUBLIC, 0, NULL, NULL, 303, on_redirect, "Goes elsewhere", ROUTE_FREE, "to" },
	{ "POST", "/api/v1/retry", "retry", PERM_PUBLIC, 0, NULL, "health", 200, on_retry, "Meets another transaction", ROUTE_FREE, "always" },
	{ "GET", "/api/v1/hungry", "hungry", PERM_PUBLIC, 0, NULL, "health", 200, on_hungry, "Eats memory", ROUTE_FREE },
	{ "GET", "/api/v1/silent", "silent", PERM_PUBLIC, 0, NULL, "health", 200, on_silent, "Fails without a word", ROUTE_FREE },
	{ "GET", "/api/v1/list", "list", PERM_PUBLIC, 0, NULL, "health", 200, on_page_list, "A list", ROUTE_FREE, "cursor limit state=open|closed" },
	{ "GET", "/api/v1/limited", "limited", PERM_OPTIONAL, 0, NULL, "health", 200, on_hello, "Counts", 0 },
	{ "GET", "/api/v1/expensive", "expensive", PERM_OPTIONAL, 0, NULL, "health", 200, on_hello, "Counts tenfold", ROUTE_EXPENSIVE },
	{ "POST", "/api/v1/guess", "guess", PERM_PUBLIC, 0, NULL, "health", 200, on_hello, "Takes a password", ROUTE_EXPENSIVE | ROUTE_NO_CSRF },
	{ "GET", "/api/v1/me", "me", PERM_ACCOUNT, 0, NULL, "health", 200, on_csrf, "Who I am", ROUTE_FREE },
	{ "POST", "/api/v1/me", "me_change", PERM_ACCOUNT, LIMIT_BODY_SMALL, "message", "message", 200, on_echo, "Changes me", ROUTE_FREE },
	{ "POST", "/api/v1/sessions", "session_make", PERM_PUBLIC, 0, NULL, NULL, 303, on_sign_in, "Signs in", ROUTE_FREE | ROUTE_NO_CSRF },
	{ "POST", "/form", "page_form", PERM_PUBLIC, 2 * MIB, "form", NULL, 200, on_form, NULL, ROUTE_FREE },
	{ "POST", "/account/form", "page_account_form", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", NULL, 200, on_form, NULL, ROUTE_FREE },
	{ "GET", "/page", "page_page", PERM_OPTIONAL, 0, NULL, NULL, 200, on_page, NULL, ROUTE_FREE },
	{ "GET", "/account", "page_account", PERM_ACCOUNT, 0, NULL, NULL, 200, on_page, NULL, ROUTE_FREE },
	ROUTE_TABLE_END,
};

static enum err test_identify(struct call *c, const struct http_identity *who, struct coop_ref *coop)
{
	struct uuid account = { .b = { 1, 2, 3 } };
	if (who->kind == AUTH_SESSION && str_is(who->secret, GOOD_SESSION)) {
		c->actor = (struct actor){ .kind = AUTH_SESSION, .account = account, .session = account, .name = STR("Ada & Co") };
	} else if (who->kind == AUTH_TOKEN && str_is(who->secret, GOOD_TOKEN)) {
		c->actor = (struct actor){ .kind = AUTH_TOKEN, .account = account, .session = account };
	} else if (who->kind == AUTH_GRANT && str_is(who->secret, "good.grant.jwt")) {
		c->actor = (struct actor){ .kind = AUTH_GRANT };
	} else if (who->kind == AUTH_TOKEN || who->kind == AUTH_GRANT) {
		return error_set(&c->error, ERR_TOKEN_INVALID, "That token is not known.");
	}
	if (!who->coop.p)
		return ERR_OK;
	if (str_is(who->coop, "hidden"))
		return error_set(&c->error, ERR_NOT_FOUND, "There is no such co-op.");
	*coop = (struct coop_ref){ .id = { .b = { 9 } }, .name = who->coop, .slug = who->coop };
	bool known = c->actor.kind == AUTH_SESSION || c->actor.kind == AUTH_TOKEN;
	coop->is_member = known && (str_is(who->coop, "mine") || str_is(who->coop, "asleep"));
	coop->is_active = known && str_is(who->coop, "mine");
	return ERR_OK;
}

static const struct route *const test_tables[] = { test_routes, NULL };

static inline struct http_options test_options(void)
{
	return (struct http_options){
		.listen = "127.0.0.1:0", .base_url = "http://127.0.0.1", .tables = test_tables, .hooks = { .identify = test_identify },
		.secret = STR("a secret of the tests"), .workers = 8, .request_timeout_ms = 400,
	};
}

static inline struct http_server *test_server(const struct http_options *o)
{
	struct http_server *s = NULL;
	struct error e = { 0 };
	log_configure(LOG_ERROR + 1, false);
	if (!crypto_start() || http_start(&s, o, &e) != ERR_OK)
		fail_msg("%s %s", e.message, e.hint);
	seen.runs = 0;
	seen.go = seen.waiting = false;
	return s;
}

static inline void assert_contains(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("\"%s\" is not in:\n%.800s", part, strstr(text, "<main") ? strstr(text, "<main") : text);
}

static inline void assert_lacks(const char *text, const char *part)
{
	if (strstr(text, part))
		fail_msg("\"%s\" is in:\n%.2000s", part, text);
}

static inline void assert_status(const struct answer *a, int status, const char *asked)
{
	if (a->status != status)
		fail_msg("%d instead of %d for:\n%.300s\nanswer:\n%.1500s", a->status, status, asked, a->text);
}

#endif
