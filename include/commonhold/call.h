/* call.h - what every operation is given: one request's or one job's memory, database transaction, actor and error.
 *
 * An operation has the shape
 *     enum err ballot_read(struct call *c, struct uuid coop, struct uuid ballot, struct ballot *out);
 * reads and writes through c->db inside one transaction that it begins and commits itself, allocates from c->arena,
 * and says what went wrong with fail(). Whoever made the call (router, job runner, command line) owns it: on an error it
 * rolls back what is open, and at the end it resets the arena and returns the connection.
 */
#ifndef COMMONHOLD_CALL_H
#define COMMONHOLD_CALL_H

#include "arena.h"
#include "clock.h"
#include "error.h"
#include "id.h"
#include "limits.h"
#include "str.h"

struct db;
struct job_run;

/* How the caller proved who they are. */
enum auth_kind {
	AUTH_NONE,    /* nobody: public routes */
	AUTH_SESSION, /* browser session; writes need the CSRF token */
	AUTH_TOKEN,   /* personal token */
	AUTH_GRANT,   /* a JWT made from an access grant: downloads only */
	AUTH_SYSTEM,  /* a job or the command line: the instance itself */
};

/* Who acts. */
struct actor {
	enum auth_kind kind;
	struct uuid account;  /* nil unless session or token */
	struct uuid session;  /* the session or personal token, for revocation and CSRF */
	struct str email;     /* of the account */
	struct str name;      /* display name of the account */
};

/* One call. */
struct call {
	struct arena *arena;    /* all memory of the call */
	struct db *db;          /* the pool's connection, taken at the first db_begin and kept to the end */
	struct actor actor;     /* who acts */
	struct uuid coop;       /* the co-op whose rows the call sees (row-level security); nil outside one */
	struct error error;     /* what went wrong, said once */
	struct str request_id;  /* for logs; printable, at most 64 bytes */
	struct str locale;      /* BCP 47 language of the answer; "en" */
	int queries;            /* statements sent so far: tests and metrics assert budgets on it */
	struct job_run *job;    /* the job this call runs for; NULL for others. Of job/ only */
};

/* Says what is wrong in c->error and returns the code. */
#define fail(c, code, ...) error_set(&(c)->error, (code), __VA_ARGS__)
/* The same, with a stable reason for machines, narrower than the code. */
enum err fail_reason(struct call *c, enum err code, const char *reason, const char *fmt, ...) CH_PRINTF(4, 5);
/* A fault at a field (JSON Pointer literal); returns ERR_INVALID. */
enum err fail_field(struct call *c, const char *pointer, const char *fmt, ...) CH_PRINTF(3, 4);

/* A text of `least` to `most` characters, in UTF-8; a fault at the field otherwise. */
CH_CHECK enum err call_check_text(struct call *c, const char *pointer, struct str text, size_t least, size_t most);

/* The cursor of lists that are ordered by (instant, id), newest first: opaque to clients. An absent cursor reads as INSTANT_NONE and the nil id. */
struct page_cursor { instant at; struct uuid id; };
CH_CHECK enum err page_cursor_read(struct call *c, struct str text, struct page_cursor *out);
struct str page_cursor_write(struct arena *a, instant at, struct uuid id);

#endif
