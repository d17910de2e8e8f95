/* web.h - what the files of server/web/ share: the server, the exchange (one request and its answer) and their steps.
 *
 * engine.c alone knows civetweb; everybody else sees the exchange. An exchange lives in its worker thread and is used again for the next request, so nothing
 * may keep a pointer into it. The steps are called by dispatch.c, in the order that http.h states.
 */
#ifndef COMMONHOLD_WEB_H
#define COMMONHOLD_WEB_H

#include "commonhold/crypto.h"
#include "commonhold/http.h"

#include <stdatomic.h>

#define KEEP_ALIVE_SECONDS "2" /* an idle connection owns a worker */

/* One header field as it came in. */
struct field {
	struct str name;  /* a token */
	struct str value; /* without white space around it */
};

/* What a path leads to. */
struct route_match {
	const struct route *route; /* NULL when nothing matched */
	size_t number;             /* its place in the server's list, for metrics */
	bool path_known;           /* the path exists, with other methods */
	struct str allow;          /* those methods, for 405 and OPTIONS; memory of the router */
	struct str raw[LIMIT_PATH_PARAMS]; /* undecoded parameters in the route's order */
	size_t params;
};

struct router;
struct schemas;
struct pages;
struct ratelimit;
struct request_counts;

struct http_server {
	struct http_options options;
	const struct route *const *tables; /* those of the options and web's own, NULL-terminated */
	struct arena *arena;       /* what lives as long as the server: router, schemas, templates, OpenAPI */
	struct router *router;
	struct schemas *schemas;
	struct pages *pages;       /* compiled templates */
	struct ratelimit *limiter; /* NULL: no limit */
	struct request_counts *counts; /* requests by route */
	struct str base_url;       /* without a slash at the end */
	struct str authority;      /* of base_url: "example.org:8443" */
	bool https;                /* base_url's scheme */
	uint8_t secret[32];        /* signs what browsers keep for us without a session */
	struct str session_cookie; /* its name */
	struct str flash_cookie;
	struct str openapi;        /* the document, made at start */
	struct str openapi_etag;
	void *engine;              /* struct mg_context */
	int port;
	atomic_bool draining;      /* new requests get 503 */
	atomic_int in_flight;      /* requests between their guard and their last byte */
	atomic_int streams;        /* long answers under way */
};

struct form;

/* A long answer under way. */
struct stream {
	bool open;        /* stream_begin was called */
	bool chunked;     /* no length was given */
	bool failed;      /* the client went away */
	bool counted;     /* it holds one of LIMIT_STREAMS */
	int64_t left;     /* bytes still to come of a fixed length */
	size_t data_at;   /* where the pending chunk's data begin in the output buffer */
};

struct worker;

struct exchange {
	struct request rq;
	struct response rs;
	struct call call;
	struct http_server *server;
	struct worker *worker;
	void *conn;                  /* struct mg_connection */
	struct field fields[LIMIT_HEADERS];
	size_t field_count;
	struct route_match match;
	struct str method;           /* as sent: HEAD stays HEAD; rq.method is GET then */
	struct str address;          /* of the caller */
	bool peer_loopback;          /* the TCP peer is this machine */
	bool http10;                 /* HTTP/1.0: no chunks, no keep-alive */
	bool head;                   /* headers only */
	bool close;                  /* the connection ends with this answer */
	bool wrote;                  /* bytes of the answer went out */
	bool broken;                 /* the client is gone or too slow */
	int64_t content_length;      /* of the request; -1 when not said */
	int64_t body_read;           /* bytes taken so far */
	bool continue_sent;          /* 100 Continue */
	struct str session;          /* secret of the session cookie, STR_NONE without one */
	char csrf[48];               /* request_csrf's answer once computed */
	struct form *form;           /* parsed once */
	struct stream stream;
	struct str key;              /* Idempotency-Key */
	char key_actor[40];          /* whose it is */
	bool idempotent;             /* the key is ours to answer */
	int64_t rate_limit, rate_left, rate_reset; /* for the RateLimit headers; limit 0: none */
	int64_t retry_after;         /* seconds, for 429 and 503 */
	struct str allow;            /* for 405 */
	int64_t unsatisfied;         /* size of the file whose range was refused: for 416; -1 otherwise */
	int64_t started;             /* clock_tick */
	int64_t bytes_out;           /* of the answer */
	char request_id[72];
	bool flash_shown;            /* the page shows it: the cookie is to be cleared */
};

/* One thread's reusable memory. */
struct worker {
	struct arena *arena;
	struct buf out;          /* head and body of an answer, or a stream's pending bytes */
	struct exchange x;
};

static inline struct exchange *exchange_of(const struct request *rq) { return rq->engine; }
static inline bool exchange_is_page(const struct exchange *x) { return x->rq.route && str_starts(str_of(x->rq.route->id), "page_"); }

/* engine.c: bytes in and out. */
/* Reads up to n bytes of the body; 0 at its end or when the client is gone or too slow (then x->close is set). */
size_t engine_read(struct exchange *x, void *to, size_t n);
/* Writes everything; false when the client is gone. */
bool engine_write(struct exchange *x, const void *p, size_t n);
CH_CHECK enum err engine_start(struct http_server *s, struct error *e);
void engine_stop(struct http_server *s);

/* interpose.c: the C library's calls that civetweb gets from us. */
/* From now on this thread's receives and sends must keep the pace: `allowance_ms`, plus the time the bytes take at LIMIT_PACE. */
void pace_begin(int allowance_ms);
void pace_end(void);
void interpose_link(void);

/* guard.c: refuses what is ambiguous or too much. Says the error. */
CH_CHECK enum err guard_check(struct exchange *x);

/* router.c */
CH_CHECK enum err router_new(struct arena *a, const struct http_server *s, struct router **out, struct error *e);
void router_match(const struct router *r, struct str method, struct str path, struct route_match *out);
size_t router_count(const struct router *r);
const struct route *router_at(const struct router *r, size_t i);
/* The names of a path's parameters in order. */
size_t route_params(const struct route *route, struct str names[LIMIT_PATH_PARAMS]);

/* dispatch.c: one request from its first check to its log line. */
void exchange_run(struct exchange *x);

/* request.c */
struct str exchange_header(const struct exchange *x, const char *name);
struct str exchange_cookie(const struct exchange *x, struct str name);
CH_CHECK enum err request_check_query(struct exchange *x);

/* body.c */
CH_CHECK enum err body_check(struct exchange *x);
CH_CHECK enum err body_read(struct exchange *x);

/* auth.c, csrf.c, permission.c */
CH_CHECK enum err auth_identify(struct exchange *x);
CH_CHECK enum err csrf_check_origin(struct exchange *x);
CH_CHECK enum err csrf_check_token(struct exchange *x);
CH_CHECK enum err permission_check(struct exchange *x);

/* forms.c, multipart.c */
struct form_value { struct str name, value; struct form_value *next; };
struct form_upload { struct str name; struct form_file file; struct form_upload *next; };
struct form {
	struct form_value *values, **last;
	struct form_upload *uploads, **last_upload;
	size_t count;
};
CH_CHECK enum err form_parse(struct call *c, struct str content_type, struct str body, struct form **out);
CH_CHECK enum err multipart_parse(struct call *c, struct str boundary, struct str body, struct form *f);
CH_CHECK enum err form_add(struct call *c, struct form *f, struct str name, struct str value);
/* A parameter of a header value, such as boundary in a Content-Type; quoted strings are understood. STR_NONE when absent. */
struct str header_parameter(struct arena *a, struct str value, const char *name);

/* response.c */
void response_init(struct response *rs);
void response_release(struct response *rs);
void response_clear(struct response *rs);
/* Writes the head into out. `length` < 0: chunked. */
void response_head(struct exchange *x, struct buf *out, int64_t length);
/* Sends the buffered answer with one write. */
void response_send(struct exchange *x);
const char *status_text(int status);
bool etag_listed(struct str list, struct str tag, bool weak_too);

/* problem.c: turns x->call.error into the answer. Allocates nothing from the arena. */
void problem_answer(struct exchange *x);
void problem_json(struct buf *out, const struct error *e, struct str request_id);

/* security.c */
void security_headers(const struct exchange *x, struct buf *out, bool html);

/* stream.c */
/* Takes one of the places for what may be slow, kept until the end of the request or of its stream. */
CH_CHECK enum err stream_enter(struct exchange *x);
void stream_abandon(struct exchange *x);

/* schemas.c */
CH_CHECK enum err schemas_load(struct arena *a, struct schemas **out, struct error *e);
const struct json_schema *schema_find(const struct schemas *s, struct str name);
size_t schemas_count(const struct schemas *s);
/* Name and text of one. */
struct str schemas_at(const struct schemas *s, size_t i, struct str *text);

/* pages.c */
CH_CHECK enum err pages_load(struct arena *a, struct pages **out, struct error *e);
bool page_error(struct exchange *x, int status);

/* idempotency.c */
/* True when the answer is there already (repeated, or x->call.error says why not). */
CH_CHECK enum err idempotency_begin(struct exchange *x, bool *repeated);
void idempotency_end(struct exchange *x);

/* ratelimit.c */
CH_CHECK enum err ratelimit_new(struct arena *a, int per_minute, struct ratelimit **out, struct error *e);
CH_CHECK enum err ratelimit_take(struct exchange *x, int cost);

/* metrics.c */
struct request_counts *metrics_requests_new(struct arena *a, const struct router *r);
/* Which server's requests /metrics tells; NULL: none. */
void metrics_requests_show(struct request_counts *c);
void metrics_request(struct request_counts *c, size_t route, int status, int64_t us);

/* openapi.c, static.c, ops_api.c */
CH_CHECK enum err openapi_make(struct http_server *s, struct error *e);
extern const struct route web_routes[];
enum err openapi_document(struct request *rq, struct response *rs);
enum err openapi_schema(struct request *rq, struct response *rs);
enum err static_file(struct request *rq, struct response *rs);
/* The first 16 hex digits of a file's digest, and a link with it. */
struct str static_tag(struct arena *a, struct str content);
struct str static_link(struct arena *a, const char *name);

#endif
