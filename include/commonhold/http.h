/* http.h - what a handler sees of HTTP: a request view in, one buffered response (or a paced stream) out, and the table of routes.
 *
 * civetweb stands behind this file and nowhere else. The router does, in this order: guard (framing, sizes, draining), request id, route, authentication, CSRF for
 * session writes, permission, rate limit, body (read, UTF-8, JSON, schema), Idempotency-Key, handler, problem+json for an error, security headers, log line, metrics.
 * A handler parses, calls one operation and renders.
 */
#ifndef COMMONHOLD_HTTP_H
#define COMMONHOLD_HTTP_H

#include "call.h"
#include "job.h"
#include "json.h"

struct http_server;

/* Who may call a route. Co-op roles are looked up for the {coop} of the path; a co-op that the actor may not see answers 404. */
enum permission {
	PERM_PUBLIC,     /* anyone */
	PERM_OPTIONAL,   /* anyone; the actor is known when there is one */
	PERM_ACCOUNT,    /* any signed-in account */
	PERM_MEMBER,     /* a member of {coop} (any state but left and removed) */
	PERM_ACTIVE,     /* a member whose standing lets them vote and contribute */
	PERM_ADMIN,      /* an admin of {coop} */
	PERM_GRANT,      /* a member, or the holder of an access token for the release */
};

/* The co-op named by {coop}, resolved by the router before the handler runs. */
struct coop_ref {
	struct uuid id;          /* nil when the route has no {coop} */
	struct str name;         /* its key name, as in ids and URLs ("slug" or key name both resolve) */
	struct str slug;
	bool is_member, is_active, is_admin;
	struct uuid member;      /* the actor's membership; nil when none */
	struct str title;        /* what the co-op calls itself, for pages; absent: the slug is shown */
};

struct request {
	struct call *call;        /* memory, database, actor, error */
	const struct route *route;
	struct str method;        /* "GET" … */
	struct str path;          /* undecoded, without the query */
	struct str query;         /* undecoded */
	struct str param[LIMIT_PATH_PARAMS]; /* decoded values of {…} in the route's order; the rest of the path for {path*} */
	struct coop_ref coop;
	struct str body;          /* raw, when the route takes a body and does not stream it */
	const struct json *json;  /* parsed and checked against the route's schema */
	void *ahead;              /* what the route's `ahead` has asked for; NULL: nothing was, so the handler asks itself */
	void *engine;             /* of web/ only */
};

struct str request_header(const struct request *rq, const char *name);
/* The value of a cookie of ours, by its name without prefix; STR_NONE when absent or not of a secret's length. */
struct str request_cookie(const struct request *rq, const char *name);
/* Where the caller comes from, as tries are counted: an address, for IPv6 its network of 64 bits. */
struct str request_network(const struct request *rq);
/* The token of "Authorization: Bearer", as sent but for a leading "hf_"; STR_NONE without one. */
struct str request_bearer(const struct request *rq);
/* Decoded query parameter; STR_NONE when absent. */
struct str request_query(const struct request *rq, const char *name);
/* Several values of one name, in order, at most `cap`. */
size_t request_query_all(const struct request *rq, const char *name, struct str *out, size_t cap);
/* A form field (urlencoded or multipart text field); STR_NONE when absent. Parsed once by our own parser. */
struct str request_form(const struct request *rq, const char *name);
/* Several values of one name, in order. */
size_t request_form_all(const struct request *rq, const char *name, struct str **out);
/* An uploaded file of a multipart form. */
struct form_file { struct str name, content_type, content; };
bool request_file(const struct request *rq, const char *name, struct form_file *out);
/* The token that session writes carry, in X-CSRF-Token or the form field "csrf" (pages have it as {{csrf}}); empty without a session. */
struct str request_csrf(const struct request *rq);
/* The id that the path has as parameter `i`; ERR_NOT_FOUND when that is no UUID, since nothing can be there. */
CH_CHECK enum err request_param_uuid(struct request *rq, size_t i, struct uuid *out);
/* Page cursor and limit of list routes ("cursor", "limit"); checks them. */
CH_CHECK enum err request_page(struct request *rq, struct str *cursor, int *limit);
/* For streamed bodies: reads up to n bytes; *got is 0 at the end. Enforces the route's cap and the pace limit. */
CH_CHECK enum err request_read(struct request *rq, void *to, size_t n, size_t *got);
/* Scheme and authority under which the instance is reached ("https://example.org"), from the configuration. */
struct str request_base_url(const struct request *rq);

struct response {
	int status;               /* 200 unless set */
	struct buf body;          /* capped at LIMIT_RESPONSE */
	struct buf headers;       /* extra header lines, set by response_header */
	const char *content_type; /* "application/json" unless set; NULL with an empty body */
	bool streamed;            /* the handler took over with stream_begin */
	bool fault;               /* a header was unfit to be sent: the answer becomes ERR_INTERNAL */
};
/* CR, LF and other controls in the value make it ERR_INTERNAL: no header injection. */
void response_header(struct response *rs, const char *name, struct str value);
void response_etag(struct response *rs, struct str tag);
/* 304 when If-None-Match has the tag: true means the handler is done. */
bool response_not_modified(struct request *rq, struct response *rs, struct str tag);
/* ERR_STALE when If-Match is present and lacks the tag. */
CH_CHECK enum err request_if_match(struct request *rq, struct str tag);
/* Starts a JSON answer: the writer appends to rs->body. */
struct json_writer response_json(struct response *rs);
/* Starts the answer of a list, {"items": [ … ]}: the caller writes the items, then ends it; a page of a list says where the next one begins, null after the last. */
struct json_writer response_list(struct response *rs);
void response_list_end(struct json_writer *w);
void response_list_end_page(struct json_writer *w, struct str next);
/* See Other. `to` is a path of this site. */
void response_redirect(struct response *rs, struct str to);
/* A page: renders templates/<name> inside the layout. Besides the members of `data` (its "title" is the page's; "refresh", seconds, has browsers without script load it again) every template has: lang, path, path_encoded, base_url, csrf,
 * signed_in, account {name}, flash, nav, and on paths with {coop} at_coop {href, slug, name, is_member, is_active, is_admin, nav}. */
CH_CHECK enum err response_page(struct request *rq, struct response *rs, const char *name, const struct json *data);
/* The same with the data as JSON text in a buffer, which is released. */
CH_CHECK enum err response_page_text(struct request *rq, struct response *rs, const char *name, struct buf *data);
/* The usual way to a page: its data begin as an object in `b`, the handler writes the members, "title" first, and the page is rendered from them. `e` is what the
 * handler met on the way: anything but ERR_OK is returned instead. page_end releases the buffer in every case. */
struct json_writer page_begin(struct buf *b);
CH_CHECK enum err page_end(struct request *rq, struct response *rs, const char *name, struct buf *b, struct json_writer *w, enum err e);
/* Signs the browser in (or out): the session cookie with its attributes. The secret is secret_token_new's; `expires` ends the cookie. */
void response_set_session(struct request *rq, struct response *rs, struct str secret, instant expires);
void response_end_session(struct request *rq, struct response *rs);
/* Keeps a secret in this browser for some seconds, 0 to take it away; with the session's attributes. `name` is a constant without prefix. */
void response_cookie(struct request *rq, struct response *rs, const char *name, struct str value, int64_t seconds);
/* For a form that cannot be taken as it is: rolls back, writes "problem" (a sentence), "problem_code" (its stable code) and "wrong" ({field: sentence}, fields by the last part of their pointers) into the
 * page's data, sets the status and forgets the error, so that the form is shown again. Writes nothing for ERR_OK. Errors that no form can mend are returned. */
CH_CHECK enum err page_form_refused(struct request *rq, struct response *rs, enum err refused, struct json_writer *w);
/* The same where the page is the best answer to whatever was refused, as it is for signing in: only faults of our own are returned. */
CH_CHECK enum err page_form_said(struct request *rq, struct response *rs, enum err refused, struct json_writer *w);
/* A one-time message shown on the next page of this browser. */
void response_flash(struct request *rq, struct response *rs, struct str message);
/* A page of the co-op that the request is in: "/coops/<slug>/<place>". */
struct str coop_place(struct request *rq, const char *place);
/* What a form ends with: a message, and See Other to the page that shows it. */
CH_CHECK enum err response_done(struct request *rq, struct response *rs, struct str message, struct str to);

/* A paced stream: headers at once, then chunks. For NDJSON verdicts, feeds, exports. Data go out in writes of 32 KiB and more. Caps on concurrency: LIMIT_STREAMS. */
CH_CHECK enum err stream_begin(struct request *rq, struct response *rs, int status, const char *content_type, int64_t content_length /* -1: chunked */);
CH_CHECK enum err stream_write(struct request *rq, const void *p, size_t n);
CH_CHECK enum err stream_end(struct request *rq);
/* What response_file will answer (200, 206, 304 or 416) and which bytes of the file go out: for logs that must be written first. */
struct file_part { int status; int64_t first, bytes; };
struct file_part response_file_part(const struct request *rq, struct str etag, int64_t size);
/* Sends a file (or its Range) with Accept-Ranges, ETag and If-Range handling; 416 when out of range. The tag is the
 * only validator: a date would be the file system's. `fd` is closed by the call's arena. */
CH_CHECK enum err response_file(struct request *rq, struct response *rs, int fd, int64_t size, const char *content_type, struct str etag);

typedef enum err (*route_fn)(struct request *rq, struct response *rs);
/* Asks the database, by db_ask alone, for what the handler will want, in the very trip that finds out who calls, and leaves it in rq->ahead. Neither the actor nor the co-op is
 * known yet: the statements name commonhold_account() and commonhold_coop(), which are set by then, and row-level security shows them the co-op's rows only where the caller is
 * a member of it. What came back is looked at by the handler alone, after the permission was checked. */
typedef enum err (*ahead_fn)(struct request *rq);

/* One row of the table of routes. OpenAPI, the permission test and the router come from it. Rows may leave off the tail. */
struct route {
	const char *method;      /* "GET" … */
	const char *path;        /* "/api/v1/coops/{coop}/ballots/{ballot}" ; "{path*}" takes the rest */
	const char *id;          /* operationId, unique: "ballot_vote"; pages begin with "page_" and are left out of OpenAPI */
	enum permission permission;
	size_t body_max;         /* 0: takes no body */
	const char *request;     /* schemas/<request>.json, or NULL; "form" for HTML forms; "stream:<media type>" for streamed bodies */
	const char *response;    /* schemas/<response>.json of the success answer; a media type ("application/x-ndjson") when it is no JSON; NULL without a body */
	int status;              /* the success status documented */
	route_fn handler;
	const char *summary;     /* a line for OpenAPI */
	unsigned flags;
	const char *query;       /* query parameters, "cursor limit state=open|closed release": one outside the list answers 400, and so does another value where
	                          * values are listed; NULL: none ("page_" routes with NULL take any) */
	ahead_fn ahead;          /* may be NULL */
};
#define ROUTE_NO_CSRF 1u       /* session creation and the like, protected otherwise */
#define ROUTE_IDEMPOTENT 2u    /* honours Idempotency-Key: the first answer is stored and repeated */
#define ROUTE_STREAM_BODY 4u   /* the handler reads the body itself */
#define ROUTE_EXPENSIVE 8u     /* counts tenfold against the rate limit: password hashing, exports */
#define ROUTE_FREE 16u          /* not counted against the rate limit */
#define ROUTE_NO_AUTH 32u       /* nobody is asked who they are, not even when they say so: no database trip */
#define ROUTE_OR_THERE 64u      /* besides its status it may answer 200 with the same body: what was asked for was there already */
#define ROUTE_OWN_ERRORS 128u   /* clients of others set the shape of its errors: {"error": a sentence} where the handler says them */
#define ROUTE_TABLE_END { .method = NULL }

/* What a request claims about its caller. */
struct http_identity {
	enum auth_kind kind;  /* AUTH_NONE; AUTH_SESSION: a cookie; AUTH_TOKEN: a personal token ("ch_…"); AUTH_GRANT: a JWT */
	struct str secret;    /* the cookie's value or the bearer token, as sent: not to be believed yet */
	struct str coop;      /* {coop} of the path; absent where the route has none */
	ahead_fn ahead;       /* to be called with `rq` while the transaction that identifies is open; NULL: nothing is asked ahead */
	struct request *rq;
};

/* What the router asks of the domains, so that web/ depends on none of them. main sets it; any member may be NULL in tests. */
struct http_hooks {
	/* Finds out who calls and which co-op is meant, in one read transaction of its own: sets c->actor, c->locale, c->coop and *coop. An unknown or ended session
	 * leaves AUTH_NONE and is no error; a bad bearer token is ERR_TOKEN_INVALID or ERR_TOKEN_EXPIRED; a co-op that this caller may not see ERR_NOT_FOUND. */
	enum err (*identify)(struct call *c, const struct http_identity *who, struct coop_ref *coop);
	/* /readyz: ERR_OK when the database answers and has this program's migrations. */
	enum err (*ready)(struct call *c);
	/* Before /metrics is written: sets gauges (pool, jobs). */
	void (*gauges)(void);
};

/* Starts answering. `tables` is a NULL-terminated list of tables ended by ROUTE_TABLE_END; they are checked first (unique ids and paths, schemas exist,
 * permission known) and a fault ends the start. Handlers run on up to LIMIT_WORKERS threads. */
struct http_options {
	const char *listen;       /* "127.0.0.1:8080"; port 0 picks one */
	const char *base_url;     /* public URL; its scheme decides __Host- cookies and HSTS */
	const struct route *const *tables;
	struct http_hooks hooks;
	struct str secret;        /* of the instance: signs what is kept in the browser without a session; absent: made at random for this process */
	struct str metrics_token; /* bearer token for /metrics from other machines; absent: loopback only */
	int workers;
	int request_timeout_ms;   /* a gap in a request or body longer than this ends it */
	int rate_per_minute;      /* per account or, without one, per address; 0: no limit */
	bool trust_proxy;         /* X-Forwarded-For from loopback peers is believed */
};
CH_CHECK enum err http_start(struct http_server **out, const struct http_options *options, struct error *e);
int http_port(const struct http_server *s);
/* Drains: refuses new requests with 503, waits for those in flight up to LIMIT_DRAIN_MS, then stops. */
void http_stop(struct http_server *s);
/* The tables a server runs, for OpenAPI. */
const struct route *const *http_tables(void);

/* Metrics: counters and gauges in Prometheus text, at /metrics. Names are constants. */
void metric_add(const char *name, const char *labels /* "a=\"b\"" or "" */, int64_t by);
void metric_set(const char *name, const char *labels, int64_t value);
void metrics_write(struct buf *out);

/* web.forget: kept answers to repeated requests go when their day is over. */
extern const struct job_kind web_jobs[];

#endif
