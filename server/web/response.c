/* The answer: its head, its buffered body, and the one write that sends both. */
#include "server/web/web.h"

#define INLINE_BODY (64 * KIB) /* up to here a body is copied behind its head, so that both go in one write */

void response_init(struct response *rs)
{
	buf_init(&rs->body, LIMIT_RESPONSE);
	buf_init(&rs->headers, 8 * KIB);
}

void response_release(struct response *rs)
{
	buf_release(&rs->body);
	buf_release(&rs->headers);
}

void response_clear(struct response *rs)
{
	buf_clear(&rs->body);
	buf_clear(&rs->headers);
	if (rs->body.cap > 256 * KIB)
		buf_release(&rs->body);
	rs->body.failed = rs->headers.failed = false;
	rs->status = 0;
	rs->content_type = "application/json";
	rs->streamed = false;
	rs->fault = false;
}

static bool header_value_is_safe(struct str value)
{
	for (size_t i = 0; i < value.n; i++) {
		unsigned char c = (unsigned char)value.p[i];
		if (c < 0x20 || c == 0x7F)
			return false;
	}
	return true;
}

void response_header(struct response *rs, const char *name, struct str value)
{
	if (!header_value_is_safe(value)) {
		rs->fault = true;
		return;
	}
	buf_add_z(&rs->headers, name);
	buf_add(&rs->headers, ": ", 2);
	buf_add_str(&rs->headers, value);
	buf_add(&rs->headers, "\r\n", 2);
}

void response_etag(struct response *rs, struct str tag)
{
	if (!header_value_is_safe(tag) || str_index(tag, '"') >= 0) {
		rs->fault = true;
		return;
	}
	buf_add_z(&rs->headers, "ETag: \"");
	buf_add_str(&rs->headers, tag);
	buf_add_z(&rs->headers, "\"\r\n");
}

bool etag_listed(struct str list, struct str tag, bool weak_too)
{
	if (str_is(str_trim(list), "*"))
		return true;
	struct str rest = list, part;
	while (str_split(&rest, ',', &part)) {
		part = str_trim(part);
		if (str_starts(part, "W/")) {
			if (!weak_too)
				continue;
			part = str_sub(part, 2, part.n);
		}
		if (part.n == tag.n + 2 && part.p[0] == '"' && part.p[part.n - 1] == '"' && str_eq(str_sub(part, 1, tag.n), tag))
			return true;
	}
	return false;
}

bool response_not_modified(struct request *rq, struct response *rs, struct str tag)
{
	struct str list = request_header(rq, "If-None-Match");
	response_etag(rs, tag);
	if (!list.p || !etag_listed(list, tag, true))
		return false;
	rs->status = 304;
	buf_clear(&rs->body);
	return true;
}

struct json_writer response_json(struct response *rs)
{
	struct json_writer w;
	rs->content_type = "application/json";
	jw_init(&w, &rs->body);
	return w;
}

struct json_writer response_list(struct response *rs)
{
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_key(&w, "items");
	jw_array(&w);
	return w;
}

void response_list_end(struct json_writer *w)
{
	jw_end_array(w);
	jw_end_object(w);
}

void response_list_end_page(struct json_writer *w, struct str next)
{
	jw_end_array(w);
	jw_kstr(w, "next", next);
	jw_end_object(w);
}

void response_redirect(struct response *rs, struct str to)
{
	rs->status = 303;
	rs->content_type = NULL;
	buf_clear(&rs->body);
	/* A path of this site and of no other: neither "//host" nor "/\host". */
	if (to.n == 0 || to.p[0] != '/' || (to.n > 1 && (to.p[1] == '/' || to.p[1] == '\\')))
		to = STR("/");
	response_header(rs, "Location", to);
}

const char *status_text(int status)
{
	static const struct { int status; const char *text; } texts[] = {
		{ 200, "OK" }, { 201, "Created" }, { 202, "Accepted" }, { 204, "No Content" }, { 206, "Partial Content" }, { 301, "Moved Permanently" },
		{ 302, "Found" }, { 303, "See Other" }, { 304, "Not Modified" }, { 307, "Temporary Redirect" }, { 308, "Permanent Redirect" },
		{ 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" }, { 405, "Method Not Allowed" },
		{ 406, "Not Acceptable" }, { 408, "Request Timeout" }, { 409, "Conflict" }, { 410, "Gone" }, { 411, "Length Required" },
		{ 412, "Precondition Failed" }, { 413, "Content Too Large" }, { 415, "Unsupported Media Type" }, { 416, "Range Not Satisfiable" },
		{ 422, "Unprocessable Content" }, { 429, "Too Many Requests" }, { 431, "Request Header Fields Too Large" },
		{ 500, "Internal Server Error" }, { 503, "Service Unavailable" },
	};
	for (size_t i = 0; i < CH_LEN(texts); i++) {
		if (texts[i].status == status)
			return texts[i].text;
	}
	return "Status";
}

static void head_rate(const struct exchange *x, struct buf *out)
{
	if (x->rate_limit > 0) {
		buf_addf(out, "RateLimit-Policy: \"default\";q=%lld;w=60\r\n", (long long)x->rate_limit);
		buf_addf(out, "RateLimit: \"default\";r=%lld;t=%lld\r\n", (long long)x->rate_left, (long long)x->rate_reset);
	}
	if (x->retry_after > 0)
		buf_addf(out, "Retry-After: %lld\r\n", (long long)x->retry_after);
}

static void head_line(struct buf *out, const char *name, const char *value)
{
	buf_add_z(out, name);
	buf_add_z(out, value);
	buf_add(out, "\r\n", 2);
}

void response_head(struct exchange *x, struct buf *out, int64_t length)
{
	const struct response *rs = &x->rs;
	char date[48];
	clock_http_date(clock_now(), date);
	bool html = rs->content_type && str_starts(str_of(rs->content_type), "text/html");
	bool bodiless = rs->status == 204 || rs->status == 304;
	buf_add_z(out, "HTTP/1.1 ");
	buf_add_i64(out, rs->status);
	buf_add_byte(out, ' ');
	head_line(out, "", status_text(rs->status));
	head_line(out, "Date: ", date);
	if (rs->content_type && !bodiless)
		head_line(out, "Content-Type: ", rs->content_type);
	if (length >= 0 && !bodiless) {
		buf_add_z(out, "Content-Length: ");
		buf_add_i64(out, length);
		buf_add_z(out, "\r\n");
	} else if (!bodiless && !x->http10) {
		buf_add_z(out, "Transfer-Encoding: chunked\r\n");
	}
	head_line(out, "X-Request-Id: ", x->request_id);
	security_headers(x, out, html);
	head_rate(x, out);
	if (x->allow.p)
		buf_addf(out, "Allow: %.*s\r\n", STR_ARG(x->allow));
	if (x->unsatisfied >= 0)
		buf_addf(out, "Content-Range: bytes */%lld\r\n", (long long)x->unsatisfied);
	buf_add_str(out, buf_str(&rs->headers));
	/* Said, so that clients do not send their next request into a connection that is being closed. */
	buf_add_z(out, x->close ? "Connection: close\r\n\r\n" : "Keep-Alive: timeout=" KEEP_ALIVE_SECONDS "\r\n\r\n");
}

void response_send(struct exchange *x)
{
	struct buf *out = &x->worker->out;
	struct str body = buf_str(&x->rs.body);
	if (x->content_length > x->body_read || x->http10)
		x->close = true;
	buf_clear(out);
	response_head(x, out, (int64_t)body.n);
	bool send_body = !x->head && body.n > 0 && x->rs.status != 204 && x->rs.status != 304;
	if (send_body && body.n <= INLINE_BODY)
		buf_add_str(out, body);
	if (engine_write(x, out->p, out->n) && send_body && body.n > INLINE_BODY)
		engine_write(x, body.p, body.n);
}
