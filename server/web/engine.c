/* The HTTP engine: civetweb with the settings that were measured to be right, and nothing of it beyond sockets, the parsing of heads, and worker threads.
 *
 * Never its TLS (crashes with OpenSSL 3), its form parser (spins on a NUL), its document root (turns on CGI and listings), or its helpers for answers (three
 * and more writes each). What its lenient parser lets through ambiguously is found again here, in the bytes it left in its buffer, and refused.
 */
#include "server/web/web.h"

#include "commonhold/log.h"

/* Its header declares what banned.h bans by macros; afterwards the compiler itself refuses the names. */
#undef mg_handle_form_request
#undef mg_send_http_ok
#include <civetweb.h>
#pragma GCC poison mg_handle_form_request mg_send_http_ok
#include <pthread.h>
#include <unistd.h>

#define LINGER_MS 2000    /* how long what a refused client still sends is thrown away, so that it can read the answer */
#define WRITE_MS 10000    /* grace for a client that reads an answer slowly; then LIMIT_PACE holds */

size_t engine_read(struct exchange *x, void *to, size_t n)
{
	int64_t left = x->content_length - x->body_read;
	if (left <= 0 || x->broken)
		return 0;
	if ((uint64_t)left < n)
		n = (size_t)left;
	if (n > MIB)
		n = MIB;
	if (!x->continue_sent && str_eq_nocase(exchange_header(x, "Expect"), "100-continue") && !x->wrote) {
		static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
		if (mg_write(x->conn, go_on, sizeof(go_on) - 1) <= 0)
			x->close = x->broken = true;
	}
	x->continue_sent = true;
	pace_begin(x->server->options.request_timeout_ms);
	int got = mg_read(x->conn, to, n);
	pace_end();
	/* It gives less than was asked for only when the client is gone, or fell behind the pace. */
	if (got < (int)n)
		x->close = x->broken = true;
	if (got <= 0)
		return 0;
	x->body_read += got;
	return (size_t)got;
}

bool engine_write(struct exchange *x, const void *p, size_t n)
{
	x->wrote = true;
	pace_begin(WRITE_MS);
	bool ok = n == 0 || mg_write(x->conn, p, n) == (int)n;
	pace_end();
	if (ok)
		x->bytes_out += (int64_t)n;
	else
		x->close = x->broken = true;
	return ok;
}

/* Throws away what a refused client is still sending: closing with bytes unread resets the connection, and the client, or a proxy, might never see why. */
static void engine_linger(struct exchange *x)
{
	struct buf *window = &x->worker->out;
	int64_t end = clock_tick() + LINGER_MS * 1000;
	buf_clear(window);
	char *to = buf_reserve(window, 64 * KIB);
	pace_begin(LINGER_MS);
	while (to && x->content_length > x->body_read && clock_tick() < end) {
		int got = mg_read(x->conn, to, 64 * KIB);
		if (got <= 0)
			break;
		x->body_read += got;
	}
	pace_end();
}

/* civetweb ends every part of the head with NULs in place: "GET\0/path\0query\0HTTP/1.1\0\0Name\0 value\0\0…\0\0\r\0". Anything else there means that its parser was
 * lenient: a bare LF, white space before a colon, a folded line or what followed it and was dropped. */
static bool head_is_strict(const struct mg_request_info *info)
{
	const char *method_end = info->request_method + strlen(info->request_method);
	if (info->request_uri != method_end + 1)
		return false;
	const char *end = info->request_uri + strlen(info->request_uri);
	if (info->query_string) {
		if (info->query_string != end + 1)
			return false;
		end = info->query_string + strlen(info->query_string);
	}
	const char *version = info->http_version;
	if (version != end + 1 + strlen("HTTP/"))
		return false;
	const char *line = version + strlen(version);
	for (int i = 0; i < info->num_headers; i++) {
		if (line[0] || line[1] || info->http_headers[i].name != line + 2)
			return false;
		const char *name_end = info->http_headers[i].name + strlen(info->http_headers[i].name);
		const char *value = name_end + 1;
		while (value < info->http_headers[i].value && (*value == ' ' || *value == '\t'))
			value++;
		if (value != info->http_headers[i].value)
			return false;
		line = value + strlen(value);
	}
	return !line[0] && !line[1] && line[2] == '\r' && !line[3];
}

static bool is_loopback(struct str address)
{
	return str_starts(address, "127.") || str_is(address, "::1");
}

/* Takes over what the engine parsed; false when its head was not strict HTTP. */
static bool exchange_view(struct exchange *x, const struct mg_request_info *info)
{
	if (!info->local_uri_raw || info->request_uri[0] != '/' || info->num_headers > LIMIT_HEADERS)
		return info->num_headers > LIMIT_HEADERS;
	if (!head_is_strict(info))
		return false;
	x->method = str_of(info->request_method);
	x->rq.path = str_of(info->request_uri);
	x->rq.query = info->query_string ? str_of(info->query_string) : STR("");
	x->http10 = strcmp(info->http_version, "1.0") == 0;
	x->address = str_of(info->remote_addr);
	x->peer_loopback = is_loopback(x->address);
	for (int i = 0; i < info->num_headers; i++)
		x->fields[i] = (struct field){ str_of(info->http_headers[i].name), str_trim(str_of(info->http_headers[i].value)) };
	x->field_count = (size_t)info->num_headers;
	return true;
}

static void worker_begin(struct exchange *x, struct worker *w, struct mg_connection *conn)
{
	struct response kept = x->rs;
	*x = (struct exchange){ .rs = kept, .worker = w, .conn = conn, .server = mg_get_user_context_data(conn), .content_length = -1, .unsatisfied = -1 };
	response_clear(&x->rs);
	x->call.arena = w->arena;
	x->call.locale = STR("en");
	x->rq.call = &x->call;
	x->rq.engine = x;
	x->started = clock_tick();
}

/* One request. civetweb is told the status, for its own accounts. */
static int engine_request(struct mg_connection *conn)
{
	const struct mg_request_info *info = mg_get_request_info(conn);
	struct worker *w = mg_get_thread_pointer(conn);
	struct http_server *s = mg_get_user_context_data(conn);
	struct exchange *x = &w->x;
	pace_end();
	atomic_fetch_add(&s->in_flight, 1);
	worker_begin(x, w, conn);
	if (info->num_headers > LIMIT_HEADERS) {
		x->close = true;
		(void)error_set(&x->call.error, ERR_HEADERS, "%s", err_text(ERR_HEADERS));
	} else if (!exchange_view(x, info)) {
		x->close = true;
		(void)error_set(&x->call.error, ERR_BAD_REQUEST, "The head of the request is not well-formed HTTP/1.1.");
	}
	exchange_run(x);
	int status = x->rs.status;
	if (x->content_length > x->body_read)
		x->close = true;
	if (x->content_length > x->body_read && !x->broken)
		engine_linger(x);
	if (x->close)
		mg_disable_connection_keep_alive(conn);
	buf_clear(&w->out);
	if (w->out.cap > 256 * KIB)
		buf_release(&w->out);
	arena_reset(w->arena);
	atomic_fetch_sub(&s->in_flight, 1);
	/* Until the next request's first byte, or while the rest of this one is thrown away. */
	pace_begin(x->close ? LINGER_MS : s->options.request_timeout_ms + 2000);
	return status > 0 ? status : 500;
}

/* What the engine refuses by itself, before there is a request. */
static int engine_refusal(struct mg_connection *conn, int status, const char *message)
{
	(void)message;
	char date[48], answer[768];
	clock_http_date(clock_now(), date);
	const char *body = "{\"type\":\"about:blank\",\"title\":\"The request cannot be understood.\",\"status\":400,\"code\":\"bad_request\"}";
	if (status < 400 || status > 499)
		status = 400;
	int n = snprintf(answer, sizeof(answer),
		"HTTP/1.1 400 Bad Request\r\nDate: %s\r\nContent-Type: application/problem+json\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n"
		"X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n%s", date, strlen(body), body);
	metric_add("commonhold_http_malformed_total", "", 1);
	mg_write(conn, answer, (size_t)n);
	mg_disable_connection_keep_alive(conn);
	pace_begin(LINGER_MS);
	return 0;
}

static int engine_connection(const struct mg_connection *conn, void **data)
{
	(void)data;
	const struct http_server *s = mg_get_user_context_data(conn);
	pace_begin(s->options.request_timeout_ms);
	return 0;
}

static int engine_message(const struct mg_connection *conn, const char *message)
{
	(void)conn;
	(void)message; /* may hold what a client sent */
	metric_add("commonhold_http_engine_messages_total", "", 1);
	return 1;
}

static void *worker_start(const struct mg_context *ctx, int type)
{
	(void)ctx;
	if (type != 1)
		return NULL;
	struct worker *w = calloc(1, sizeof(*w));
	if (!w)
		abort();
	w->arena = arena_new(LIMIT_REQUEST_ARENA);
	if (!w->arena)
		abort();
	buf_init(&w->out, LIMIT_RESPONSE + 64 * KIB);
	response_init(&w->x.rs);
	return w;
}

static void worker_stop(const struct mg_context *ctx, int type, void *pointer)
{
	(void)ctx;
	struct worker *w = pointer;
	if (type != 1 || !w)
		return;
	response_release(&w->x.rs);
	buf_release(&w->out);
	arena_free(w->arena);
	free(w);
}

enum err engine_start(struct http_server *s, struct error *e)
{
	interpose_link();
	const struct http_options *o = &s->options;
	char threads[16], timeout[16];
	snprintf(threads, sizeof(threads), "%d", o->workers);
	snprintf(timeout, sizeof(timeout), "%d", o->request_timeout_ms);
	const char *settings[] = {
		"listening_ports", o->listen,
		"num_threads", threads,
		"request_timeout_ms", timeout,
		"tcp_nodelay", "1",               /* an answer in two segments waits 40 ms for an ACK otherwise */
		"enable_keep_alive", "yes",
		"keep_alive_timeout_ms", KEEP_ALIVE_SECONDS "000", /* an idle connection owns a worker */
		"connection_queue", "1000",
		"listen_backlog", "1024",
		"decode_url", "no",               /* %2F and %00 must not reach the router decoded */
		"enable_directory_listing", "no",
		"cgi_pattern", "",
		NULL,
	};
	const struct mg_callbacks callbacks = {
		.begin_request = engine_request,
		.http_error = engine_refusal,
		.log_message = engine_message,
		.init_connection = engine_connection,
		.init_thread = worker_start,
		.exit_thread = worker_stop,
	};
	char why[256] = "";
	struct mg_init_data init = { .callbacks = &callbacks, .user_data = s, .configuration_options = settings };
	struct mg_error_data told = { .text = why, .text_buffer_size = sizeof(why) };
	mg_init_library(0);
	s->engine = mg_start2(&init, &told);
	if (!s->engine) {
		mg_exit_library();
		return error_hint(e, ERR_CONFIG, "Is another server running there? Choose another address.", "Cannot listen on %s: %s", o->listen, why);
	}
	struct mg_server_port ports[2];
	if (mg_get_server_ports(s->engine, 2, ports) > 0)
		s->port = ports[0].port;
	return ERR_OK;
}

void engine_stop(struct http_server *s)
{
	mg_stop(s->engine);
	s->engine = NULL;
	mg_exit_library();
}
