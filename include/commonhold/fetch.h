/* fetch.h - the one HTTP client of the house: what this program asks of other machines goes through here.
 *
 * The other side is taken for hostile. Addresses are looked at on the very socket that is opened, so that a name that resolves to something else the second time gains nothing: machines of
 * this network (loopback, private, link-local, carrier-grade NAT, multicast, the metadata services of clouds) are refused unless the caller says otherwise. No redirect is followed unless
 * asked for, and then each hop is checked again and other hosts see none of the headers that may hold secrets. TLS is 1.2 at least and always verified; proxies of the environment are not used;
 * nothing is inflated; every answer has a maximum of bytes, a maximum of time and a minimum of speed.
 *
 * It must never write an address's query, a header or a body into a log or an error: messages name the host alone. It opens no database and holds no lock while it waits.
 */
#ifndef COMMONHOLD_FETCH_H
#define COMMONHOLD_FETCH_H

#include "arena.h"
#include "error.h"
#include "str.h"

struct sockaddr;

#define FETCH_BODY_MAX (1024 * 1024)     /* of an answer that is collected, unless the caller says otherwise */
#define FETCH_REFUSAL_MAX (64 * 1024)    /* kept of an answer that is not 2xx while there is a sink: enough for what it says */
#define FETCH_TOTAL_MS 30000             /* an exchange, unless the caller says otherwise */
#define FETCH_FOREVER (-1)

/* A header field, sent or received. Names are compared without regard to case. */
struct fetch_header { struct str name, value; };

/* A part of an open file, to be sent. The descriptor stays the caller's; its own offset is neither used nor moved. */
struct fetch_part { int fd; int64_t offset, size; };

struct fetch_answer {
	long status;                    /* of HTTP; 0 before there was one */
	const struct fetch_header *headers; /* the last answer's, in order of arrival */
	size_t n_headers;
	struct str body;                /* what no sink took; a copy in the arena */
	int64_t length;                 /* Content-Length as announced; -1: not said */
	int64_t received;               /* bytes of body */
	struct str url;                 /* that answered in the end: another one than asked for only after a redirect */
};

/* One exchange. Zero means the default everywhere; lengths of headers and addresses are checked here. */
struct fetch_request {
	const char *method;             /* NULL: GET, or POST where there is a body */
	struct str url;                 /* http or https; without user or password in it */
	const struct fetch_header *headers;
	size_t n_headers;
	struct str body;                /* absent: none. Not copied */
	const struct fetch_part *part;  /* instead of body */
	struct str user, password;      /* of Basic authentication, or key id and secret of `aws_sigv4`; absent: none */
	const char *aws_sigv4;          /* "aws:amz:<region>:s3": libcurl signs the request */
	const char *ca_file;            /* authorities to trust in place of the system's; NULL: the system's */
	/* Takes the body of a 2xx answer as it comes; false ends the exchange with ERR_IO. NULL: it is collected. */
	bool (*sink)(void *arg, const void *p, size_t n);
	/* Sees status and headers of a 2xx answer before its first byte; false ends the exchange. May be NULL. */
	bool (*head)(void *arg, const struct fetch_answer *answer);
	/* Asked about once a second, and more often while bytes come; false ends the exchange with reason "stopped". May be NULL. */
	bool (*go_on)(void *arg);
	void *arg;                      /* for the three */
	int64_t max_bytes;              /* of the answer's body; 0: FETCH_BODY_MAX. More is ERR_TOO_LARGE */
	long connect_ms;                /* 0: 5,000 */
	long total_ms;                  /* 0: FETCH_TOTAL_MS; FETCH_FOREVER: only the speed counts */
	long least_speed;               /* bytes a second, over `slow_seconds`; 0: 256 */
	long slow_seconds;              /* 0: 20 */
	int redirects;                  /* hops that are followed; 0: none, the 3xx is the answer */
	bool allow_private;             /* addresses of this machine and its network may be asked */
	bool allow_http;                /* without TLS */
};

/* Keeps connections between exchanges with the same hosts. One thread at a time. */
struct fetcher;
struct fetcher *fetcher_new(void);
void fetcher_free(struct fetcher *f);

/* One exchange; `f` may be NULL. ERR_OK: an answer came in full, whatever its status. Otherwise, with the reason in error.reason:
 * ERR_REFUSED "address_refused" (where it leads), "url_refused" (what it is), "redirect_refused"; ERR_TOO_LARGE "too_large"; ERR_TIMEOUT "too_slow"; ERR_UNAVAILABLE "unreachable", "cut_off" (the
 * body ended early), "tls" or "stopped"; ERR_IO "sink". After a failure `out` still holds the status where there was one. Needs curl_global_init (fetch_start does it). */
CH_CHECK enum err fetch(struct fetcher *f, struct arena *a, const struct fetch_request *request, struct fetch_answer *out, struct error *e);
/* Once, before threads. */
CH_CHECK bool fetch_start(void);
/* The first field of that name; absent when there is none. */
struct str fetch_header_get(const struct fetch_answer *answer, const char *name);
/* Retry-After in seconds from now on (a number or a date); or_else where it is absent or senseless. */
int64_t fetch_retry_after(const struct fetch_answer *answer, int64_t or_else);

/* Whether an address belongs to the public internet, and is no metadata service. Pure. */
bool fetch_address_is_public(const struct sockaddr *address);
/* What can be said of a URL before asking it: form, scheme, no credentials, no literal address that is not public. For whoever takes such a URL into their keeping. The same
 * errors as fetch; `host` (may be NULL) is for messages. */
CH_CHECK enum err fetch_url_check(struct arena *a, struct str url, bool allow_private, bool allow_http, struct str *host, struct error *e);

#endif
