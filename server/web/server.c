/* Starting and stopping the server: everything that can be wrong with routes, schemas and templates is found here, before the first request. */
#include "server/web/web.h"

#include <stdlib.h>
#include <unistd.h>

#define TABLES_MAX 128
#define SERVER_ARENA (64 * MIB) /* compiled schemas, templates, routes, the rate limiter's table and the OpenAPI document */

static const struct route *const *running_tables;

const struct route *const *http_tables(void)
{
	return running_tables;
}

int http_port(const struct http_server *s)
{
	return s->port;
}

static enum err server_base_url(struct http_server *s, struct error *e)
{
	struct str url = str_of(s->options.base_url);
	while (str_ends(url, "/"))
		url.n--;
	s->https = str_starts(url, "https://");
	if (!s->https && !str_starts(url, "http://"))
		return error_hint(e, ERR_CONFIG, "Give it as https://example.org.", "The base URL is not an http or https address.");
	s->base_url = str_copy(s->arena, url);
	s->authority = str_sub(s->base_url, s->https ? 8 : 7, url.n);
	if (!s->authority.n || str_index(s->authority, '/') >= 0)
		return error_hint(e, ERR_CONFIG, "Give it as https://example.org, without a path.", "The base URL must be a scheme and an authority.");
	s->session_cookie = s->https ? STR("__Host-commonhold") : STR("commonhold");
	s->flash_cookie = s->https ? STR("__Host-flash") : STR("flash");
	return ERR_OK;
}

static enum err server_tables(struct http_server *s, struct error *e)
{
	const struct route **all = ARENA_ARRAY(s->arena, TABLES_MAX + 2, const struct route *);
	size_t n = 0;
	bool ours = false;
	for (const struct route *const *t = s->options.tables; t && *t; t++) {
		ours |= *t == web_routes;
		if (n == TABLES_MAX)
			return error_set(e, ERR_CONFIG, "There are more than %d tables of routes.", TABLES_MAX);
		all[n++] = *t;
	}
	if (!ours)
		all[n] = web_routes;
	s->tables = all;
	return ERR_OK;
}

static void server_secret(struct http_server *s)
{
	if (s->options.secret.n) {
		struct sha256 derived = hmac_sha256(s->options.secret, STR("commonhold web"));
		memcpy(s->secret, derived.b, sizeof(s->secret));
	} else {
		random_bytes(s->secret, sizeof(s->secret));
	}
}

static enum err server_prepare(struct http_server *s, struct error *e)
{
	TRY(server_base_url(s, e));
	server_secret(s);
	TRY(server_tables(s, e));
	TRY(schemas_load(s->arena, &s->schemas, e));
	TRY(pages_load(s->arena, &s->pages, e));
	TRY(router_new(s->arena, s, &s->router, e));
	TRY(ratelimit_new(s->arena, s->options.rate_per_minute, &s->limiter, e));
	TRY(openapi_make(s, e));
	s->counts = metrics_requests_new(s->arena, s->router);
	return ERR_OK;
}

/* The same, with a place to come back to when memory is short. */
static enum err server_prepare_guarded(struct http_server *s, struct error *e)
{
	jmp_buf full;
	if (setjmp(full)) {
		arena_guard(s->arena, NULL);
		return error_set(e, ERR_NO_MEMORY, "There is not enough memory for routes, schemas and templates.");
	}
	arena_guard(s->arena, &full);
	enum err failed = server_prepare(s, e);
	arena_guard(s->arena, NULL);
	return failed;
}

enum err http_start(struct http_server **out, const struct http_options *options, struct error *e)
{
	struct http_server *s = calloc(1, sizeof(*s));
	if (!s)
		return error_set(e, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	s->options = *options;
	if (s->options.workers <= 0)
		s->options.workers = LIMIT_WORKERS;
	if (s->options.request_timeout_ms <= 0)
		s->options.request_timeout_ms = 5000;
	s->arena = arena_new(SERVER_ARENA);
	enum err failed = !s->arena ? error_set(e, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY)) : server_prepare_guarded(s, e);
	if (failed == ERR_OK)
		failed = engine_start(s, e);
	if (failed != ERR_OK) {
		arena_free(s->arena);
		free(s);
		return failed;
	}
	running_tables = s->tables;
	metrics_requests_show(s->counts);
	*out = s;
	return ERR_OK;
}

void http_stop(struct http_server *s)
{
	if (!s)
		return;
	atomic_store(&s->draining, true);
	for (int waited = 0; waited < LIMIT_DRAIN_MS && atomic_load(&s->in_flight) > 0; waited += 10)
		usleep(10000);
	engine_stop(s);
	running_tables = NULL;
	metrics_requests_show(NULL);
	arena_free(s->arena);
	free(s);
}
