/* error.h - errors as values: one table of codes, one struct that says what is wrong, where and what to do.
 *
 * A fallible function returns `enum err`, 0 for success, and describes the failure in a `struct error` that the
 * caller owns (usually the request's or job's, see call.h). It is said once, by the function that knows most;
 * functions between pass the code on with TRY; the place that handles it logs it or answers with it.
 */
#ifndef COMMONHOLD_ERROR_H
#define COMMONHOLD_ERROR_H

#include "str.h"

/* X(name, HTTP status, stable string for machines, text when the function says nothing better) */
#define ERRORS(X) \
	X(BAD_REQUEST, 400, "bad_request", "The request cannot be understood.") \
	X(BAD_JSON, 400, "bad_json", "The body is not well-formed JSON.") \
	X(BAD_UTF8, 400, "bad_utf8", "The text is not valid UTF-8.") \
	X(UNAUTHENTICATED, 401, "unauthenticated", "Sign in, or send a valid token.") \
	X(BAD_CREDENTIALS, 401, "bad_credentials", "E-mail or password is wrong.") \
	X(TOKEN_INVALID, 401, "token_invalid", "The token is not valid.") \
	X(TOKEN_EXPIRED, 401, "token_expired", "The token has expired.") \
	X(FORBIDDEN, 403, "forbidden", "You may not do this.") \
	X(CSRF, 403, "csrf", "The form is out of date. Reload the page and try again.") \
	X(TERMS, 403, "terms_not_accepted", "Accept the current terms first.") \
	X(NOT_FOUND, 404, "not_found", "There is nothing here, or it is not yours to see.") \
	X(METHOD, 405, "method_not_allowed", "This address does not take that method.") \
	X(NOT_ACCEPTABLE, 406, "not_acceptable", "No representation of this kind is offered.") \
	X(TIMEOUT, 408, "timeout", "The request took too long to arrive.") \
	X(CONFLICT, 409, "conflict", "This does not fit the present state.") \
	X(EXISTS, 409, "exists", "This exists already.") \
	X(STATE, 409, "wrong_state", "This is not possible in the present state.") \
	X(IDEMPOTENCY, 409, "idempotency_mismatch", "The same Idempotency-Key was used for another request.") \
	X(GONE, 410, "gone", "This was withdrawn.") \
	X(LENGTH_REQUIRED, 411, "length_required", "Say how long the body is.") \
	X(STALE, 412, "stale", "It has changed since you read it.") \
	X(TOO_LARGE, 413, "too_large", "The body is too large.") \
	X(MEDIA_TYPE, 415, "unsupported_media_type", "This type of body is not understood here.") \
	X(RANGE, 416, "range_not_satisfiable", "The range lies outside the file.") \
	X(INVALID, 422, "invalid", "Some fields are not right.") \
	X(REFUSED, 422, "refused", "This is not allowed by the rules.") \
	X(TOO_MANY, 429, "too_many_requests", "Too many requests. Wait a moment.") \
	X(HEADERS, 431, "headers_too_large", "Too many or too large header fields.") \
	X(INTERNAL, 500, "internal", "Something went wrong on our side. Nothing was changed.") \
	X(DB, 500, "database", "The database refused an operation. Nothing was changed.") \
	X(IO, 500, "io", "Reading or writing a file failed.") \
	X(CORRUPT, 500, "corrupt", "Stored data does not match its checksum.") \
	X(UNAVAILABLE, 503, "unavailable", "The service is busy or stopping. Try again shortly.") \
	X(NO_MEMORY, 503, "no_memory", "The request needs more memory than it may have.") \
	X(RETRY, 503, "retry", "Somebody else changed the same thing at the same moment. Try again.") \
	X(CONFIG, 500, "configuration", "The configuration is not usable.")

enum err {
	ERR_OK = 0,
#define X(name, status, code, text) ERR_##name,
	ERRORS(X)
#undef X
	ERR_COUNT
};

/* One fault at one place of the input. */
struct fault {
	struct str pointer; /* JSON Pointer (RFC 6901) into what was sent, or "query/x", "header/x" */
	struct str message; /* a sentence for a person */
	struct fault *next;
};

struct error {
	enum err code;       /* 0 while nothing was said */
	char message[512];   /* what is wrong */
	char detail[512];    /* more, for whoever has to mend it; may be empty */
	char hint[256];      /* what to do; may be empty */
	char reason[64];     /* a narrower stable code than the table's, such as "delegation_cycle"; may be empty */
	const char *more_name; /* a member of its own that the answer gets; NULL: none */
	struct str more;       /* and its value, JSON; memory of the request's arena */
	struct fault *faults; /* per field, newest last; memory of the request's arena */
};

/* Stable string, HTTP status and default text of a code; ERR_INTERNAL's for a number out of range. */
const char *err_code(enum err e);
const char *err_text(enum err e);
int err_status(enum err e);

/* Says the error (first saying wins nothing: a later one replaces it) and returns the code. */
enum err error_set(struct error *e, enum err code, const char *fmt, ...) CH_PRINTF(3, 4);
enum err error_hint(struct error *e, enum err code, const char *hint, const char *fmt, ...) CH_PRINTF(4, 5);
void error_clear(struct error *e);
/* Adds a fault at a pointer; sets ERR_INVALID when nothing was said. At most 32 are kept. */
void error_fault(struct error *e, struct arena *a, struct str pointer, const char *fmt, ...) CH_PRINTF(4, 5);

/* Passes a failure on. */
#define TRY(expression) do { enum err try_err_ = (expression); if (try_err_ != ERR_OK) return try_err_; } while (0)

#endif
