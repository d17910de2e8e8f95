/* db.h - PostgreSQL through libpq: a pool of connections, one transaction helper, one call shape, COPY streams.
 *
 * SQL lives as named statements at the top of the file that owns the table (SQL(name, "…")), is always parameterised, and is prepared on
 * each connection at its first use. Parameters and results travel in binary; columns are read in the order of the SELECT. Parameters are declared with the
 * types of the arguments: a text for a column of another type needs its cast in the SQL ($1::jsonb), a sum of bigint is numeric and needs ::bigint.
 *
 * A transaction begins with the actor and the injected clock told to the database in the same round trip, so that row-level security and
 * commonhold_now() hold inside it. Only store/db_error.c knows SQLSTATEs: it maps them, and constraint names, to errors that a person understands.
 */
#ifndef COMMONHOLD_DB_H
#define COMMONHOLD_DB_H

#include "call.h"

struct db_pool;
struct db;

/* A named statement. Its SQL is a constant: connections remember by its address what they have prepared. */
struct db_stmt { const char *name; const char *sql; };
#define SQL(ident, ...) static const struct db_stmt ident = { #ident, __VA_ARGS__ }

enum db_type {
	DB_NULL, DB_BOOL, DB_INT4, DB_INT8, DB_TEXT, DB_BYTEA, DB_UUID, DB_TIME,
	DB_TEXT_ARRAY, DB_BYTEA_ARRAY, DB_UUID_ARRAY, DB_INT8_ARRAY, DB_TIME_ARRAY
};

/* One parameter. */
struct db_arg {
	enum db_type type;       /* declared to the server even when the value is NULL */
	bool null;               /* a typed NULL */
	int64_t i;               /* bool, integers, instant */
	struct str s;            /* text, bytes */
	struct uuid u;
	const void *array;       /* struct str[], struct uuid[], int64_t[] or instant[] */
	size_t count;            /* elements of the array */
};
#define DB_ARGS_MAX 32       /* parameters of one statement */
#define A_NULL ((struct db_arg){ .type = DB_NULL })
#define A_BOOL(v) ((struct db_arg){ .type = DB_BOOL, .i = (v) })
#define A_INT(v) ((struct db_arg){ .type = DB_INT4, .i = (v) })
#define A_I64(v) ((struct db_arg){ .type = DB_INT8, .i = (v) })
#define A_STR(v) db_arg_text(v) /* absent text is NULL */
#define A_Z(v) db_arg_text(str_of(v))
#define A_BYTES(v) db_arg_bytes(v)
#define A_UUID(v) ((struct db_arg){ .type = DB_UUID, .u = (v) })
#define A_UUID_OR_NULL(v) db_arg_uuid_or_null(v) /* the nil UUID is NULL */
#define A_TIME(v) db_arg_time(v) /* INSTANT_NONE is NULL, INSTANT_NEVER infinity */
#define A_TEXTS(p, n) ((struct db_arg){ .type = DB_TEXT_ARRAY, .array = (p), .count = (n) })
#define A_BYTEAS(p, n) ((struct db_arg){ .type = DB_BYTEA_ARRAY, .array = (p), .count = (n) })
#define A_UUIDS(p, n) ((struct db_arg){ .type = DB_UUID_ARRAY, .array = (p), .count = (n) })
#define A_I64S(p, n) ((struct db_arg){ .type = DB_INT8_ARRAY, .array = (p), .count = (n) })
#define A_TIMES(p, n) ((struct db_arg){ .type = DB_TIME_ARRAY, .array = (p), .count = (n) })
struct db_arg db_arg_text(struct str s);
struct db_arg db_arg_bytes(struct str s);
struct db_arg db_arg_time(instant t);
struct db_arg db_arg_uuid_or_null(struct uuid u);

/* The rows of one answer. They belong to the call's arena; text and bytes point into them. */
struct rows { void *result; /* PGresult */ int n; /* rows */ int64_t affected; /* rows changed */ };

/* Opens `size` connections' worth of pool to a libpq URL (several hosts allowed). Connections are made when first needed and remade after a
 * failure. */
CH_CHECK enum err db_pool_open(struct db_pool **out, const char *url, int size, struct error *e);
void db_pool_close(struct db_pool *p);
struct db_pool_stats {
	int size, in_use, waiting;  /* connections, those taken, and callers waiting for one now */
	int64_t waits, timeouts;    /* how often a caller had to wait, and waited in vain */
	int64_t connects, queries;  /* connections made, statements sent */
};
struct db_pool_stats db_pool_stats(struct db_pool *p);
/* The pool that calls draw from; set once at start. The keys database has a pool of its own. */
void db_use_pool(struct db_pool *content, struct db_pool *keys);
struct db_pool *db_content_pool(void);
struct db_pool *db_keys_pool(void);
/* The URL of the keys database that belongs to a content database's URL: the same server, the database's name with "_keys" behind it. STR_NONE when
 * `url` is no connection string. NUL-terminated. */
struct str db_keys_url(struct arena *a, const char *url);

/* What a violated constraint means for a person. Modules register a table each at start; a constraint that is in none is told by its own name, which is
 * a sentence ("vote_only_while_ballot_is_open"). A trigger that refuses something raises SQLSTATE CH002 with CONSTRAINT = '…' and is looked up the same way. */
struct db_constraint {
	const char *name;     /* of the constraint or unique index */
	enum err code;        /* what it is for the caller, such as ERR_EXISTS */
	const char *pointer;  /* JSON Pointer of the field to blame ("/email"), or NULL */
	const char *message;  /* a sentence for a person */
};
#define DB_CONSTRAINTS_END { .name = NULL }
void db_constraints(const struct db_constraint *table);

/* Transactions. db_begin is lazy: its commands travel with the first statement. Nested begins are an error. When the connection turns out dead on the first
 * trip of a transaction, that trip is made again on a fresh one; later failures end in ERR_UNAVAILABLE and nothing is ever replayed.
 * System calls and DB_SERIAL have generous time limits, others a few seconds. */
enum db_mode { DB_READ /* read only, one snapshot */, DB_WRITE /* read committed */, DB_SERIAL /* repeatable read, for freezing and building */ };
CH_CHECK enum err db_begin(struct call *c, enum db_mode mode);
CH_CHECK enum err db_commit(struct call *c);
/* Whether a transaction of the call is open: for reads that are made inside one and on their own. */
bool db_is_open(const struct call *c);
/* Rolls back if anything is open; never fails. */
void db_rollback(struct call *c);
/* Gives the connection back to the pool (after a rollback if something is open). The call's owner does it. */
void db_release(struct call *c);
/* Takes a connection for the call while more than half of the pool is free, and never waits; false otherwise. For work that a second connection makes faster and that goes on
 * without. */
bool db_take_spare(struct call *c);
/* Enters a co-op: sets c->coop and tells an open transaction, so that row-level security shows that co-op's rows and no others. */
CH_CHECK enum err db_enter_coop(struct call *c, struct uuid coop);
/* Tells the open transaction the time anew: what follows is dated after whatever it had to wait for, and not at its beginning. */
CH_CHECK enum err db_tell_time(struct call *c);
/* The usual start of an operation on a co-op's rows. */
static inline CH_CHECK enum err db_begin_in(struct call *c, struct uuid coop, enum db_mode mode)
{
	TRY(db_enter_coop(c, coop));
	return db_begin(c, mode);
}
/* Runs one statement inside the open transaction. `out` may be NULL. */
CH_CHECK enum err db_run(struct call *c, const struct db_stmt *s, struct rows *out, const struct db_arg *args, size_t n);
#define db_query(c, stmt, rows, ...) db_run((c), &(stmt), (rows), (struct db_arg[]){ __VA_ARGS__ }, CH_LEN(((struct db_arg[]){ __VA_ARGS__ })))
#define db_query0(c, stmt, rows) db_run((c), &(stmt), (rows), NULL, 0)
/* The same and requires exactly one row; ERR_NOT_FOUND otherwise. */
CH_CHECK enum err db_run_one(struct call *c, const struct db_stmt *s, struct rows *out, const struct db_arg *args, size_t n);
#define db_one(c, stmt, rows, ...) db_run_one((c), &(stmt), (rows), (struct db_arg[]){ __VA_ARGS__ }, CH_LEN(((struct db_arg[]){ __VA_ARGS__ })))
/* The same for commands without an answer that is looked at. */
#define db_exec(c, stmt, ...) db_query(c, stmt, NULL, __VA_ARGS__)
/* Queues a statement whose answer is not needed; sent with the next db_* call; its error surfaces there. For many small writes. */
CH_CHECK enum err db_queue_run(struct call *c, const struct db_stmt *s, const struct db_arg *args, size_t n);
#define db_queue(c, stmt, ...) db_queue_run((c), &(stmt), (struct db_arg[]){ __VA_ARGS__ }, CH_LEN(((struct db_arg[]){ __VA_ARGS__ })))
#define db_queue0(c, stmt) db_queue_run((c), &(stmt), NULL, 0)
/* Asks without waiting: the statement travels with the next db_* call that waits for an answer (db_wait, if for nothing else, or db_commit), and `out` is set when that
 * returns; a failure surfaces there. Texts and bytes among the arguments, and `out`, must stay where they are until then. Statements that were asked together before
 * anything else are one trip, and share the second attempt of a transaction's first one. */
CH_CHECK enum err db_ask_run(struct call *c, const struct db_stmt *s, struct rows *out, const struct db_arg *args, size_t n);
#define db_ask(c, stmt, rows, ...) db_ask_run((c), &(stmt), (rows), (struct db_arg[]){ __VA_ARGS__ }, CH_LEN(((struct db_arg[]){ __VA_ARGS__ })))
CH_CHECK enum err db_wait(struct call *c);
/* Sends what is queued now, so that the database works on it while the caller does something else. */
CH_CHECK enum err db_push(struct call *c);
/* The last statement of a transaction: commits in the same round trip. With db_begin before it, a whole transaction in one trip. */
CH_CHECK enum err db_run_commit(struct call *c, const struct db_stmt *s, struct rows *out, const struct db_arg *args, size_t n);
#define db_finish(c, stmt, rows, ...) \
	db_run_commit((c), &(stmt), (rows), (struct db_arg[]){ __VA_ARGS__ }, CH_LEN(((struct db_arg[]){ __VA_ARGS__ })))
#define db_finish0(c, stmt, rows) db_run_commit((c), &(stmt), (rows), NULL, 0)
/* One statement in the keys database, a transaction of its own that neither needs nor touches the call's. */
CH_CHECK enum err db_keys_run(struct call *c, const struct db_stmt *s, struct rows *out, const struct db_arg *args, size_t n);
#define db_keys_query(c, stmt, rows, ...) \
	db_keys_run((c), &(stmt), (rows), (struct db_arg[]){ __VA_ARGS__ }, CH_LEN(((struct db_arg[]){ __VA_ARGS__ })))
/* Free text SQL without parameters or results: migrations, DDL in tests and benches only. */
CH_CHECK enum err db_script(struct call *c, struct str sql);

/* Reading columns by position; NULL gives the neutral value. The type must match what the column is: a mismatch is a programming error; it is logged and
 * gives the neutral value, and ends the process in sanitizer builds, so that tests find it. */
bool row_null(const struct rows *r, int row, int col);
bool row_bool(const struct rows *r, int row, int col);
int64_t row_int(const struct rows *r, int row, int col);     /* int2, int4, int8 */
struct str row_str(const struct rows *r, int row, int col);  /* text, json, enum, name; absent for NULL */
struct str row_bytes(const struct rows *r, int row, int col);
struct uuid row_uuid(const struct rows *r, int row, int col);
instant row_time(const struct rows *r, int row, int col);    /* timestamptz, date; INSTANT_NONE for NULL */
/* text[] (and bytea[]) and uuid[]: allocates from the arena. A NULL element is absent or nil. */
size_t row_strs(struct arena *a, const struct rows *r, int row, int col, struct str **out);
size_t row_uuids(struct arena *a, const struct rows *r, int row, int col, struct uuid **out);

/* COPY … TO STDOUT (FORMAT binary): calls `row` for every row with its fields (length -1 for NULL; views valid during the call). The SQL is a
 * constant text with $1… replaced safely from args (integers, uuids, instants, bytes, text as quoted literals). A non-zero return stops the stream and is passed on;
 * the transaction is then to be rolled back. Row-level security filters what is read. */
struct copy_field { const uint8_t *p; int32_t n; };
typedef enum err (*copy_row_fn)(void *arg, const struct copy_field *fields, int n);
CH_CHECK enum err db_copy_out(struct call *c, const char *sql, const struct db_arg *args, size_t n, copy_row_fn row, void *arg);
int64_t copy_int(struct copy_field f);   /* 2, 4 or 8 bytes; 0 for NULL */
struct uuid copy_uuid(struct copy_field f);
instant copy_time(struct copy_field f);
struct str copy_bytes(struct copy_field f);

/* COPY … FROM STDIN (FORMAT binary). PostgreSQL refuses it on tables with row-level security: use db_copy_into for those. No other db_* call until
 * db_copy_in_end. */
struct copy_in;
CH_CHECK enum err db_copy_in_begin(struct call *c, const char *sql, struct copy_in **out);
/* The same into a table behind row-level security: the rows go into a temporary table, and from there through the wall at db_copy_in_end. `columns` as in COPY's
 * list, "coop_id, id, sealed"; both are constants. */
CH_CHECK enum err db_copy_into(struct call *c, const char *table, const char *columns, struct copy_in **out);
void copy_in_row(struct copy_in *s, int fields);
void copy_in_null(struct copy_in *s);
void copy_in_int4(struct copy_in *s, int32_t v);
void copy_in_int2(struct copy_in *s, int16_t v);
void copy_in_i64(struct copy_in *s, int64_t v);
void copy_in_bool(struct copy_in *s, bool v);
void copy_in_str(struct copy_in *s, struct str v);   /* text and bytea; absent is NULL */
void copy_in_uuid(struct copy_in *s, struct uuid v);
void copy_in_time(struct copy_in *s, instant t);
void copy_in_i64s(struct copy_in *s, const int64_t *v, size_t n); /* bigint[] */
/* Sends what is buffered when it is large; call after each row. */
CH_CHECK enum err copy_in_flush(struct copy_in *s);
CH_CHECK enum err db_copy_in_end(struct copy_in *s, int64_t *rows);

/* Migrations (sql/NNNN_name.sql, embedded): under an advisory lock, each in its transaction, with checksums kept. Refuses a database that has a migration this program
 * does not know (newer), or one whose text differs. `keys` selects the keys database's own series (sql/keys/). */
CH_CHECK enum err db_migrate(struct db_pool *p, bool keys, int *applied, struct error *e);

/* The embedded cluster. Creates (initdb) and starts a private PostgreSQL in `dir` (Unix socket only, unprivileged), or adopts one that runs there already after a crash
 * of ours; gives the URLs of its content and keys databases. A thread watches it and starts it again when it dies. */
struct cluster;
CH_CHECK enum err cluster_start(struct cluster **out, const char *dir, struct error *e);
const char *cluster_url(const struct cluster *c, bool keys);
/* The directory of its Unix socket, and the postmaster's process id (0 while it is down): for tests and doctor. */
const char *cluster_socket_dir(const struct cluster *c);
int cluster_pid(const struct cluster *c);
/* Ends the supervision and, when this process owns the cluster (the first of those that share `dir`), stops PostgreSQL fast and waits for the end. */
void cluster_stop(struct cluster *c);

#endif
