/* One exchange with another machine, and the redirects behind it. */
#include "commonhold/fetch.h"

#include "commonhold/clock.h"
#include "commonhold/limits.h"

#include <curl/curl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECT_MS 5000L
#define LEAST_SPEED 256L
#define SLOW_SECONDS 20L
#define HEADS_MAX 96                /* fields of an answer; more are not honest */
#define HEAD_MAX (256 * KIB)        /* bytes of them */
#define REDIRECTS_MAX 10

struct fetcher {
	CURL *curl;
	bool private_ok;                /* how its open connections were checked */
};

/* One hop under way. Callbacks of libcurl must not jump out of it: what they keep is heap memory, copied to the arena afterwards. */
struct exchange {
	const struct fetch_request *request;
	CURL *curl;
	struct curl_slist *fields;      /* as sent */
	struct fetcher *own;            /* when the caller brought none */
	struct buf head;                /* header lines of the answer under way */
	struct fetch_header heads[HEADS_MAX]; /* into head */
	struct buf body;
	struct fetch_answer seen;       /* as far as it came */
	struct str host;                /* for messages */
	int64_t max;                    /* of the body */
	int64_t sent;                   /* of the part */
	bool opened, refused;           /* a socket was; an address was turned away */
	bool head_done;                 /* status and headers are whole */
	bool large, sink_failed, stopped, cut, odd; /* why a callback ended it; cut: enough was kept of a refusal */
};

bool fetch_start(void)
{
	return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

struct fetcher *fetcher_new(void)
{
	return calloc(1, sizeof(struct fetcher));
}

void fetcher_free(struct fetcher *f)
{
	if (f)
		curl_easy_cleanup(f->curl);
	free(f);
}

/* Connections that were opened under a laxer rule are not used under a stricter one. */
static CURL *fetcher_handle(struct fetcher *f, bool private_ok)
{
	if (f->curl && f->private_ok != private_ok) {
		curl_easy_cleanup(f->curl);
		f->curl = NULL;
	}
	if (!f->curl)
		f->curl = curl_easy_init();
	else
		curl_easy_reset(f->curl);
	f->private_ok = private_ok;
	return f->curl;
}

static void exchange_release(void *arg)
{
	struct exchange *x = arg;
	if (x->curl)
		curl_easy_reset(x->curl);
	curl_slist_free_all(x->fields);
	fetcher_free(x->own);
	buf_release(&x->head);
	buf_release(&x->body);
	x->curl = NULL;
	x->fields = NULL;
	x->own = NULL;
}

static enum err wrong(struct error *e, enum err code, const char *reason, const char *fmt, ...) CH_PRINTF(4, 5);
static enum err wrong(struct error *e, enum err code, const char *reason, const char *fmt, ...)
{
	char text[256];
	va_list args;
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	error_set(e, code, "%s", text);
	snprintf(e->reason, sizeof(e->reason), "%s", reason);
	return code;
}

/* ---- what libcurl asks ---- */

/* The address that is about to be connected to, after all resolving: what is refused here is never sent a byte. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
	struct exchange *x = arg;
	(void)purpose;
	if (!x->request->allow_private && !fetch_address_is_public(&to->addr)) {
		x->refused = true;
		return CURL_SOCKET_BAD;
	}
	curl_socket_t s = socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
	x->opened = x->opened || s != CURL_SOCKET_BAD;
	return s;
}

static bool is_success(const struct exchange *x)
{
	return x->seen.status >= 200 && x->seen.status < 300;
}

static void heads_parse(struct exchange *x)
{
	struct str rest = buf_str(&x->head), line;
	x->seen.n_headers = 0;
	while (x->seen.n_headers < HEADS_MAX && str_split(&rest, '\n', &line)) {
		ptrdiff_t colon = str_index(line, ':');
		if (colon > 0)
			x->heads[x->seen.n_headers++] = (struct fetch_header){ str_sub(line, 0, (size_t)colon), str_trim(str_sub(line, (size_t)colon + 1, line.n)) };
	}
	x->seen.headers = x->heads;
}

/* The empty line behind the fields. */
static bool head_end(struct exchange *x)
{
	curl_off_t length = -1;
	heads_parse(x);
	x->head_done = true;
	curl_easy_getinfo(x->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
	x->seen.length = length;
	if (!is_success(x))
		return true;
	if (length > x->max && !str_is(str_of(x->request->method ? x->request->method : ""), "HEAD")) {
		x->large = true;
		return false;
	}
	x->sink_failed = x->request->head && !x->request->head(x->request->arg, &x->seen);
	return !x->sink_failed;
}

static size_t take_head(char *p, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	struct str line = str_make(p, size * n);
	if (x->head_done)
		return line.n; /* trailers */
	if (str_starts(line, "HTTP/"))
		buf_clear(&x->head);
	curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &x->seen.status);
	if (str_trim(line).n > 0)
		buf_add_str(&x->head, line);
	else if (x->seen.status >= 200 && !head_end(x))
		return 0;
	x->odd = x->odd || x->head.failed;
	return x->head.failed ? 0 : line.n;
}

static bool keep(struct exchange *x, const char *p, size_t n)
{
	buf_add(&x->body, p, n);
	return !x->body.failed;
}

static bool keep_refusal(struct exchange *x, const char *p, size_t n)
{
	size_t room = FETCH_REFUSAL_MAX > x->body.n ? FETCH_REFUSAL_MAX - x->body.n : 0;
	x->cut = n > room;
	return keep(x, p, n < room ? n : room) && !x->cut;
}

static size_t take_body(char *p, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	const struct fetch_request *r = x->request;
	size *= n;
	x->seen.received += (int64_t)size;
	if (r->sink && !is_success(x))
		return keep_refusal(x, p, size) ? size : 0;
	if (x->seen.received > x->max) {
		x->large = true;
		return 0;
	}
	if (!r->sink)
		return keep(x, p, size) ? size : 0;
	x->sink_failed = !r->sink(r->arg, p, size);
	return x->sink_failed ? 0 : size;
}

static size_t give_part(char *to, size_t size, size_t n, void *arg)
{
	struct exchange *x = arg;
	const struct fetch_part *part = x->request->part;
	int64_t left = part->size - x->sent;
	size_t want = size * n;
	if ((int64_t)want > left)
		want = (size_t)left;
	ssize_t got = want ? pread(part->fd, to, want, (off_t)(part->offset + x->sent)) : 0;
	if (got < 0 || (want && got == 0))
		return CURL_READFUNC_ABORT;
	x->sent += got;
	return (size_t)got;
}

/* When a kept connection turns out to be closed, libcurl begins again on another. */
static int rewind_part(void *arg, curl_off_t offset, int origin)
{
	struct exchange *x = arg;
	if (origin != SEEK_SET || offset < 0 || offset > x->request->part->size)
		return CURL_SEEKFUNC_CANTSEEK;
	x->sent = offset;
	return CURL_SEEKFUNC_OK;
}

static int look_on(void *arg, curl_off_t total, curl_off_t got, curl_off_t upload_total, curl_off_t sent)
{
	struct exchange *x = arg;
	(void)total, (void)got, (void)upload_total, (void)sent;
	x->stopped = x->request->go_on && !x->request->go_on(x->request->arg);
	return x->stopped;
}

/* ---- what is sent ---- */

static bool is_token(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= 'A' && s.p[i] <= 'Z') || (s.p[i] >= '0' && s.p[i] <= '9') || memchr("!#$%&'*+-.^_`|~", s.p[i], 15)))
			return false;
	return s.n > 0;
}

static bool is_value(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((uint8_t)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	return true;
}

/* What may be told to whoever a redirect leads to: nothing that could be a secret. */
static bool is_harmless(struct str name)
{
	static const char *const names[] = { "accept", "accept-language", "range", "if-none-match", "if-range", "if-modified-since", "user-agent" };
	for (size_t i = 0; i < CH_LEN(names); i++)
		if (str_eq_nocase(name, names[i]))
			return true;
	return false;
}

static bool field_add(struct exchange *x, const char *field)
{
	struct curl_slist *longer = field ? curl_slist_append(x->fields, field) : NULL;
	if (longer)
		x->fields = longer;
	return longer != NULL;
}

static bool field_sent(const struct fetch_request *r, const char *name)
{
	for (size_t i = 0; i < r->n_headers; i++)
		if (str_eq_nocase(r->headers[i].name, name))
			return true;
	return false;
}

/* libcurl sends an empty field when it is written with a semicolon. Its own additions, a type for bodies and a question before them, are taken out. */
static enum err fields_make(struct exchange *x, struct arena *a, bool other_host, struct error *e)
{
	const struct fetch_request *r = x->request;
	/* A signature covers every field in this list, also those that only take one of libcurl's own out. */
	bool ok = r->aws_sigv4 || field_add(x, "Expect:");
	for (size_t i = 0; i < r->n_headers && ok; i++) {
		const struct fetch_header *h = &r->headers[i];
		if (!is_token(h->name) || !is_value(h->value))
			return wrong(e, ERR_REFUSED, "url_refused", "A header field cannot be sent as it is.");
		if (other_host && !is_harmless(h->name))
			continue;
		struct str field = h->value.n ? str_fmt(a, "%.*s: %.*s", STR_ARG(h->name), STR_ARG(h->value)) : str_fmt(a, "%.*s;", STR_ARG(h->name));
		ok = field_add(x, str_z(a, field));
	}
	if (ok && !r->aws_sigv4 && !field_sent(r, "Content-Type"))
		ok = field_add(x, "Content-Type:");
	return ok ? ERR_OK : error_set(e, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
}

static enum err method_set(struct exchange *x, const char *method, bool with_body, struct error *e)
{
	const struct fetch_request *r = x->request;
	if (method && !is_token(str_of(method)))
		return wrong(e, ERR_REFUSED, "url_refused", "This is no HTTP method.");
	if (with_body && r->part) {
		curl_easy_setopt(x->curl, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(x->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)r->part->size);
		curl_easy_setopt(x->curl, CURLOPT_READFUNCTION, give_part);
		curl_easy_setopt(x->curl, CURLOPT_READDATA, x);
		curl_easy_setopt(x->curl, CURLOPT_SEEKFUNCTION, rewind_part);
		curl_easy_setopt(x->curl, CURLOPT_SEEKDATA, x);
		method = method ? method : "POST";
	} else if (with_body && r->body.p) {
		curl_easy_setopt(x->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
		curl_easy_setopt(x->curl, CURLOPT_POSTFIELDS, r->body.p);
	} else if (method && strcmp(method, "HEAD") == 0) {
		curl_easy_setopt(x->curl, CURLOPT_NOBODY, 1L);
		return ERR_OK;
	} else if (method && strcmp(method, "POST") == 0) {
		curl_easy_setopt(x->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)0);
		curl_easy_setopt(x->curl, CURLOPT_POSTFIELDS, "");
	}
	if (method)
		curl_easy_setopt(x->curl, CURLOPT_CUSTOMREQUEST, method);
	return ERR_OK;
}

static void credentials_set(struct exchange *x, struct arena *a)
{
	const struct fetch_request *r = x->request;
	if (!r->user.p)
		return;
	curl_easy_setopt(x->curl, CURLOPT_USERNAME, str_z(a, r->user));
	curl_easy_setopt(x->curl, CURLOPT_PASSWORD, str_z(a, r->password.p ? r->password : STR("")));
	if (r->aws_sigv4)
		curl_easy_setopt(x->curl, CURLOPT_AWS_SIGV4, r->aws_sigv4);
	else
		curl_easy_setopt(x->curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
}

static void limits_set(struct exchange *x)
{
	const struct fetch_request *r = x->request;
	CURL *c = x->curl;
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, r->allow_http ? "http,https" : "https");
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(c, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
	curl_easy_setopt(c, CURLOPT_PROXY, "");
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
	if (r->ca_file)
		curl_easy_setopt(c, CURLOPT_CAINFO, r->ca_file);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, r->connect_ms ? r->connect_ms : CONNECT_MS);
	if (r->total_ms >= 0)
		curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, r->total_ms ? r->total_ms : (long)FETCH_TOTAL_MS);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, r->least_speed ? r->least_speed : LEAST_SPEED);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, r->slow_seconds ? r->slow_seconds : SLOW_SECONDS);
}

static void callbacks_set(struct exchange *x)
{
	CURL *c = x->curl;
	curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, x);
	curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_head);
	curl_easy_setopt(c, CURLOPT_HEADERDATA, x);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, x);
	curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, look_on);
	curl_easy_setopt(c, CURLOPT_XFERINFODATA, x);
	curl_easy_setopt(c, CURLOPT_NOPROGRESS, x->request->go_on ? 0L : 1L);
}

/* ---- what came of it ---- */

static enum err judge_own(const struct exchange *x, struct error *e)
{
	if (x->large)
		return wrong(e, ERR_TOO_LARGE, "too_large", "%.*s answers with more than can be taken.", STR_ARG(x->host));
	if (x->sink_failed)
		return wrong(e, ERR_IO, "sink", "What %.*s sent could not be kept.", STR_ARG(x->host));
	if (x->stopped)
		return wrong(e, ERR_UNAVAILABLE, "stopped", "Stopped while talking to %.*s.", STR_ARG(x->host));
	return wrong(e, ERR_UNAVAILABLE, "unreachable", "%.*s does not answer as HTTP asks.", STR_ARG(x->host));
}

static bool is_tls(CURLcode code)
{
	return code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_CACERT_BADFILE ||
		code == CURLE_SSL_CIPHER || code == CURLE_SSL_ISSUER_ERROR || code == CURLE_SSL_INVALIDCERTSTATUS;
}

static bool is_cut_off(CURLcode code)
{
	return code == CURLE_PARTIAL_FILE || code == CURLE_RECV_ERROR || code == CURLE_HTTP2_STREAM || code == CURLE_HTTP2 || code == CURLE_BAD_CONTENT_ENCODING;
}

/* libcurl's own texts are about kinds of failure and name neither address nor content. */
static enum err judge(const struct exchange *x, CURLcode code, struct error *e)
{
	if (code == CURLE_OK || (x->cut && code == CURLE_WRITE_ERROR))
		return ERR_OK;
	if (x->large || x->sink_failed || x->stopped || x->odd)
		return judge_own(x, e);
	if (x->refused && !x->opened)
		return wrong(e, ERR_REFUSED, "address_refused", "%.*s is on this machine, on a private network or for special use.", STR_ARG(x->host));
	if (code == CURLE_OPERATION_TIMEDOUT)
		return wrong(e, ERR_TIMEOUT, "too_slow", "%.*s takes too long.", STR_ARG(x->host));
	if (code == CURLE_OUT_OF_MEMORY || x->body.failed)
		return error_set(e, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	if (is_tls(code))
		return wrong(e, ERR_UNAVAILABLE, "tls", "%.*s cannot be trusted: %s.", STR_ARG(x->host), curl_easy_strerror(code));
	bool cut = x->head_done && is_cut_off(code);
	return wrong(e, ERR_UNAVAILABLE, cut ? "cut_off" : "unreachable", "%.*s %s: %s.", STR_ARG(x->host), cut ? "broke off" : "cannot be reached", curl_easy_strerror(code));
}

/* Into the arena, so that nothing of the exchange is needed any more. */
static bool answer_copy(struct arena *a, const struct exchange *x, struct str url, struct fetch_answer *out)
{
	struct fetch_header *headers = ARENA_ARRAY(a, x->seen.n_headers + 1, struct fetch_header);
	*out = x->seen;
	out->headers = headers;
	out->n_headers = 0;
	for (size_t i = 0; headers && i < x->seen.n_headers; i++)
		headers[out->n_headers++] = (struct fetch_header){ str_copy(a, x->heads[i].name), str_copy(a, x->heads[i].value) };
	out->body = str_copy(a, buf_str(&x->body));
	out->url = url;
	return headers && out->body.p;
}

/* ---- hops ---- */

/* One hop of a request. */
struct hop {
	struct str url;
	const char *method;
	bool with_body;
	bool other_host;           /* than the one that was asked at first: gets no secrets */
};

static enum err exchange_run(struct exchange *x, struct fetcher *f, struct arena *a, const struct hop *hop, struct str *next, struct error *e)
{
	TRY(fetch_url_check(a, hop->url, x->request->allow_private, x->request->allow_http, &x->host, e));
	x->own = f ? NULL : fetcher_new();
	if (f || x->own)
		x->curl = fetcher_handle(f ? f : x->own, x->request->allow_private);
	if (!x->curl)
		return error_set(e, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	TRY(fields_make(x, a, hop->other_host, e));
	TRY(method_set(x, hop->method, hop->with_body, e));
	limits_set(x);
	callbacks_set(x);
	if (!hop->other_host)
		credentials_set(x, a);
	if (!field_sent(x->request, "User-Agent"))
		curl_easy_setopt(x->curl, CURLOPT_USERAGENT, "commonhold");
	curl_easy_setopt(x->curl, CURLOPT_HTTPHEADER, x->fields);
	curl_easy_setopt(x->curl, CURLOPT_URL, str_z(a, hop->url));
	CURLcode code = curl_easy_perform(x->curl);
	char *to = NULL;
	if (code == CURLE_OK && curl_easy_getinfo(x->curl, CURLINFO_REDIRECT_URL, &to) == CURLE_OK && to)
		*next = str_copy(a, str_of(to));
	return judge(x, code, e);
}

static enum err hop_make(struct fetcher *f, struct arena *a, const struct fetch_request *r, const struct hop *hop, struct fetch_answer *out, struct str *next, struct error *e)
{
	struct exchange *x = ARENA_NEW(a, struct exchange);
	if (!x)
		return error_set(e, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	x->request = r;
	x->seen.length = -1;
	x->max = r->max_bytes > 0 ? r->max_bytes : FETCH_BODY_MAX;
	buf_init(&x->head, HEAD_MAX);
	buf_init(&x->body, r->sink ? FETCH_REFUSAL_MAX : (size_t)x->max);
	if (!arena_defer(a, exchange_release, x))
		return error_set(e, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	enum err result = exchange_run(x, f, a, hop, next, e);
	bool copied = answer_copy(a, x, hop->url, out);
	exchange_release(x);
	return result == ERR_OK && !copied ? error_set(e, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY)) : result;
}

/* Scheme, host and port: what comes before the path. */
static struct str origin_of(struct str url)
{
	size_t at = str_starts(url, "https://") ? 8 : 7, end = at;
	while (end < url.n && url.p[end] != '/' && url.p[end] != '?' && url.p[end] != '#')
		end++;
	return str_sub(url, 0, end);
}

static bool is_redirect(long status)
{
	return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* A POST becomes a GET as browsers and libcurl have it; 307 and 308 repeat what was asked. */
static enum err hop_follow(struct arena *a, const struct fetch_request *r, struct hop *hop, struct str to, long status, struct error *e)
{
	bool repeats = status == 307 || status == 308;
	if (str_starts(hop->url, "https://") && !str_starts(to, "https://"))
		return wrong(e, ERR_REFUSED, "redirect_refused", "A redirect leads away from https.");
	hop->other_host = hop->other_host || !str_eq(str_lower(a, origin_of(to)), str_lower(a, origin_of(r->url)));
	if (repeats && hop->with_body && hop->other_host)
		return wrong(e, ERR_REFUSED, "redirect_refused", "A redirect would send a body to another host.");
	if (!repeats && (hop->with_body || (hop->method && strcmp(hop->method, "HEAD") != 0))) {
		hop->method = NULL;
		hop->with_body = false;
	}
	hop->url = to;
	return ERR_OK;
}

enum err fetch(struct fetcher *f, struct arena *a, const struct fetch_request *request, struct fetch_answer *out, struct error *e)
{
	struct hop hop = { request->url, request->method, request->body.p || request->part, false };
	int allowed = request->redirects < REDIRECTS_MAX ? request->redirects : REDIRECTS_MAX;
	for (int i = 0;; i++) {
		struct str next = STR_NONE;
		*out = (struct fetch_answer){ .length = -1 };
		TRY(hop_make(f, a, request, &hop, out, &next, e));
		if (allowed == 0 || !is_redirect(out->status) || !next.p)
			return ERR_OK;
		if (i == allowed)
			return wrong(e, ERR_REFUSED, "redirect_refused", "There are more redirects than are followed.");
		TRY(hop_follow(a, request, &hop, next, out->status, e));
	}
}

struct str fetch_header_get(const struct fetch_answer *answer, const char *name)
{
	for (size_t i = 0; i < answer->n_headers; i++)
		if (str_eq_nocase(answer->headers[i].name, name))
			return answer->headers[i].value;
	return STR_NONE;
}

int64_t fetch_retry_after(const struct fetch_answer *answer, int64_t or_else)
{
	struct str value = fetch_header_get(answer, "Retry-After");
	char text[64];
	int64_t seconds;
	if (str_to_i64(value, 0, INT32_MAX, &seconds))
		return seconds;
	snprintf(text, sizeof(text), "%.*s", STR_ARG(value));
	time_t at = value.n > 0 && value.n < sizeof(text) ? curl_getdate(text, NULL) : -1;
	if (at < 0)
		return or_else;
	seconds = (int64_t)at - clock_now() / CLOCK_SECOND;
	return seconds > 0 ? seconds : 0;
}
