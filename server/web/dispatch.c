/* One request from its first check to its log line, in the order that http.h states. */
#include "server/web/web.h"

#include "commonhold/db.h"
#include "commonhold/log.h"

#include <unistd.h>

#define ATTEMPTS 4 /* a transaction that met another one is tried again so often */

static bool is_request_id(struct str s)
{
	if (!s.n || s.n > 64)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
		if (!plain)
			return false;
	}
	return true;
}

/* The last `digits` digits of a number. */
static char *put_hex(char *to, uint64_t v, int digits)
{
	for (int i = 0; i < digits; i++)
		to[i] = "0123456789abcdef"[v >> (4 * (digits - 1 - i)) & 15];
	return to + digits;
}

/* The id of a proxy that we trust is kept, so that its log and ours tell the same story. */
static void exchange_name(struct exchange *x)
{
	struct str given = exchange_header(x, "X-Request-Id");
	if (x->server->options.trust_proxy && x->peer_loopback && is_request_id(given)) {
		memcpy(x->request_id, given.p, given.n);
		x->request_id[given.n] = '\0';
	} else {
		static atomic_uint_fast64_t serial;
		const uint8_t *s = x->server->secret;
		char *to = put_hex(x->request_id, (uint64_t)s[28] << 24 | (uint64_t)s[29] << 16 | (uint64_t)s[30] << 8 | s[31], 8);
		*to++ = '-';
		*put_hex(to, (uint64_t)(x->started / 1000 * 4096) + atomic_fetch_add(&serial, 1) % 4096, 14) = '\0';
	}
	x->call.request_id = str_of(x->request_id);
}

static bool is_address(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == '.' || c == ':'))
			return false;
	}
	return s.n > 0 && s.n <= 45;
}

/* Our proxy appends the peer that it saw; what stands before that is hearsay. */
static void exchange_address(struct exchange *x)
{
	if (!x->server->options.trust_proxy || !x->peer_loopback)
		return;
	struct str rest = exchange_header(x, "X-Forwarded-For"), part, last = STR_NONE;
	while (str_split(&rest, ',', &part))
		last = str_trim(part);
	if (last.p && is_address(last))
		x->address = last;
}

static enum err exchange_route(struct exchange *x)
{
	router_match(x->server->router, x->method, x->rq.path, &x->match);
	if (x->match.route) {
		x->rq.route = x->match.route;
		return ERR_OK;
	}
	if (!x->match.path_known)
		return fail(&x->call, ERR_NOT_FOUND, "There is nothing at this address.");
	x->allow = x->match.allow;
	if (str_is(x->method, "OPTIONS")) {
		x->rs.status = 204;
		x->rs.content_type = NULL;
		return ERR_OK;
	}
	return fail(&x->call, ERR_METHOD, "%s", err_text(ERR_METHOD));
}

static enum err exchange_params(struct exchange *x)
{
	for (size_t i = 0; i < x->match.params; i++) {
		struct str *value = &x->rq.param[i];
		if (!str_url_decode(x->call.arena, x->match.raw[i], false, value) || !str_is_utf8(*value))
			return fail(&x->call, ERR_BAD_UTF8, "The address is not percent-encoded UTF-8.");
	}
	return ERR_OK;
}

static void handler_pause(int attempt)
{
	uint8_t r;
	random_bytes(&r, 1);
	usleep((useconds_t)(500 + r * 16) << attempt);
}

/* Runs the handler, again when its transaction met another one and nothing of the answer is out. */
static enum err handler_run(struct exchange *x)
{
	struct call *c = &x->call;
	const struct route *route = x->rq.route;
	struct uuid coop = c->coop;
	struct arena_mark mark = arena_mark(c->arena);
	for (int attempt = 1;; attempt++) {
		enum err e = route->handler(&x->rq, &x->rs);
		if (e != ERR_RETRY || attempt == ATTEMPTS || x->rs.streamed || (route->flags & ROUTE_STREAM_BODY))
			return e;
		metric_add("commonhold_http_retries_total", "", 1);
		db_rollback(c);
		error_clear(&c->error);
		c->coop = coop;
		x->rq.ahead = NULL; /* what was asked before the other one is out of date */
		arena_rewind(c->arena, mark);
		response_clear(&x->rs);
		handler_pause(attempt);
	}
}

static enum err exchange_handle(struct exchange *x)
{
	bool repeated = false;
	if (x->rq.route->flags & ROUTE_IDEMPOTENT)
		TRY(idempotency_begin(x, &repeated));
	return repeated ? ERR_OK : handler_run(x);
}

static enum err exchange_answer(struct exchange *x)
{
	TRY(guard_check(x));
	x->head = str_is(x->method, "HEAD");
	x->rq.method = x->head ? STR("GET") : x->method;
	TRY(exchange_route(x));
	if (!x->rq.route)
		return ERR_OK;
	bool form = x->rq.route->request && strcmp(x->rq.route->request, "form") == 0;
	TRY(exchange_params(x));
	TRY(body_check(x));
	TRY(request_check_query(x));
	TRY(auth_identify(x));
	TRY(csrf_check_origin(x));
	if (!form)
		TRY(csrf_check_token(x));
	TRY(permission_check(x));
	TRY(ratelimit_take(x, x->rq.route->flags & ROUTE_EXPENSIVE ? 10 : 1));
	if (x->rq.route->flags & ROUTE_STREAM_BODY)
		TRY(stream_enter(x));
	else
		TRY(body_read(x));
	if (form)
		TRY(csrf_check_token(x));
	return exchange_handle(x);
}

/* The same, with a place to come back to when the arena is full. */
static enum err exchange_guarded(struct exchange *x)
{
	jmp_buf full;
	if (setjmp(full)) {
		arena_guard(x->call.arena, NULL);
		return error_set(&x->call.error, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	}
	arena_guard(x->call.arena, &full);
	enum err e = exchange_answer(x);
	arena_guard(x->call.arena, NULL);
	return e;
}

/* Gives the arena's memory back after it ran out, with everything that pointed into it. */
static void exchange_forget(struct exchange *x)
{
	struct call *c = &x->call;
	c->actor = (struct actor){ .kind = AUTH_NONE };
	c->error.faults = NULL;
	c->locale = STR("en");
	x->form = NULL;
	memset(x->rq.param, 0, sizeof(x->rq.param));
	arena_reset(c->arena);
}

static void exchange_problem(struct exchange *x)
{
	jmp_buf full;
	if (setjmp(full)) {
		x->rs.content_type = "application/problem+json";
		buf_clear(&x->rs.body);
		problem_json(&x->rs.body, &x->call.error, str_of(x->request_id));
	} else {
		arena_guard(x->call.arena, &full);
		problem_answer(x);
	}
	arena_guard(x->call.arena, NULL);
}

/* Settles what the answer is, whatever the handler left behind. */
static void exchange_settle(struct exchange *x, enum err e)
{
	struct error *error = &x->call.error;
	if (e == ERR_OK && (x->rs.fault || x->rs.headers.failed))
		e = error_set(error, ERR_INTERNAL, "A header of the answer was unfit to be sent.");
	else if (e == ERR_OK && x->rs.body.failed)
		e = error_set(error, ERR_INTERNAL, "The answer is larger than a buffered answer may be.");
	else if (e != ERR_OK && error->code != e)
		e = error_set(error, e, "%s", err_text(e));
	if (x->rs.streamed) {
		if (e != ERR_OK)
			stream_abandon(x);
		return;
	}
	if (e != ERR_OK) {
		if (e == ERR_NO_MEMORY)
			exchange_forget(x);
		exchange_problem(x);
	}
	if (x->rs.status == 0)
		x->rs.status = x->rq.route ? x->rq.route->status : 200;
	if (x->rs.body.n == 0 && x->rs.status != 200)
		x->rs.content_type = NULL;
}

static void exchange_log(const struct exchange *x, int queries)
{
	int64_t us = clock_tick() - x->started;
	const struct log_field fields[] = {
		LOG_Z("route", x->rq.route ? x->rq.route->id : ""), LOG_N("status", x->rs.status), LOG_N("us", us), LOG_N("bytes", x->bytes_out), LOG_N("queries", queries),
	};
	log_write(LOG_INFO, "request", str_of(x->request_id), fields, CH_LEN(fields));
	metrics_request(x->server->counts, x->rq.route ? x->match.number : SIZE_MAX, x->rs.status, us);
}

static void exchange_keep(struct exchange *x)
{
	jmp_buf full;
	if (setjmp(full)) {
		db_rollback(&x->call);
		metric_add("commonhold_http_idempotency_lost_total", "", 1);
	} else {
		arena_guard(x->call.arena, &full);
		idempotency_end(x);
	}
	arena_guard(x->call.arena, NULL);
}

void exchange_run(struct exchange *x)
{
	struct call *c = &x->call;
	exchange_name(x);
	exchange_address(x);
	enum err e = exchange_guarded(x);
	db_rollback(c);
	exchange_settle(x, e);
	if (x->idempotent)
		exchange_keep(x);
	int queries = c->queries;
	db_release(c);
	if (!x->rs.streamed)
		response_send(x);
	exchange_log(x, queries);
}
