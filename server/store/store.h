/* store.h - what the files of store/ share: a connection, its transaction state and the trip under way. Nothing outside store/ includes it.
 *
 * A trip is one round to the server in libpq's pipeline mode: what is owed (BEGIN and settings), queued statements, the statement itself, perhaps COMMIT,
 * then one Sync. Between the first PQsend… of a trip and its last result nothing is allocated from an arena, since that may jump away.
 */
#ifndef COMMONHOLD_STORE_H
#define COMMONHOLD_STORE_H

#include "commonhold/db.h"

#include <libpq-fe.h>

/* Where a connection stands with its transaction. */
enum tx {
	TX_NONE,   /* none open */
	TX_WANTED, /* db_begin was called; BEGIN travels with the next trip */
	TX_OPEN,   /* open on the server, or being opened by the trip under way */
	TX_FAILED, /* a statement failed or the connection went away: only a rollback helps */
};

enum op_kind { OP_BEGIN, OP_SETTINGS, OP_PREPARE, OP_QUEUED, OP_ASKED, OP_MAIN, OP_COMMIT, OP_ROLLBACK };

struct asked;

/* One command of a trip. */
struct op {
	enum op_kind kind;          /* what its answer means */
	const struct db_stmt *stmt; /* for messages */
	uint64_t key;               /* of the statement that OP_PREPARE prepares */
	struct asked *asked;        /* whose answer OP_ASKED brings; NULL when nobody wants it any more */
};

#define TRIP_MAX 512  /* commands in one trip; queued statements beyond it make a trip of their own */
#define TRIP_SPARE 8  /* room kept for the commands that begin and end one */

/* One connection. It belongs to one call at a time and is used by one thread at a time. */
struct db {
	struct db_pool *pool;     /* where it returns to */
	PGconn *pg;               /* NULL until first used and after a failure */
	unsigned generation;      /* the pool's when it was made */
	enum tx tx;               /* one mutator: tx_set in db.c */
	enum db_mode mode;        /* of the transaction */
	bool patient;             /* the transaction has generous time limits */
	bool owed;                /* the answer to a read's COMMIT has yet to be fetched */
	bool copying;             /* a COPY is under way; only its end or closing ends it */
	bool stale;               /* close it instead of using it again */
	bool repeatable;          /* all of the trip under way but the transaction's beginning is in `asked`, so that it can be made again */
	struct asked *asked;      /* that, in order; memory of the call's arena */
	struct asked **asked_end; /* where the next goes */
	char *copy_row;           /* the row of a COPY being looked at; libpq's memory */
	struct op ops[TRIP_MAX];  /* the trip under way */
	int op_count;             /* commands in it */
	uint64_t *prepared;       /* open hash of the keys prepared here; 0 is empty */
	size_t prepared_cap;      /* a power of two, or 0 */
	size_t prepared_count;
};

/* pool.c */
CH_CHECK enum err pool_take(struct db_pool *p, struct db **out, struct error *e);
/* One that is free while more than half of them are; NULL otherwise. */
struct db *pool_take_spare(struct db_pool *p);
void pool_return(struct db *db);
/* Closes the connection; the next use makes a new one. */
void conn_close(struct db *db);
/* Makes the connection if there is none, or the one that there is has gone; the latter is not looked at where the first trip will be made again anyway. */
CH_CHECK enum err conn_ensure(struct db *db, bool first_trip_repeats, struct error *e);
/* A connection of the pool's URL with none of the pool's settings: the owner's, for migrations. NULL on failure. */
PGconn *pool_owner_connection(struct db_pool *p, struct error *e);
/* Connections made before this are remade before their next use. */
void pool_renew(struct db_pool *p);
void pool_count_queries(struct db_pool *p, int n);
bool prepared_has(const struct db *db, uint64_t key);
void prepared_add(struct db *db, uint64_t key);

/* args.c: arguments in the form that libpq wants. Arrays are encoded in the arena; texts and bytes stay where they are; the rest is in `scratch`. */
struct wire_args {
	int n;                            /* parameters */
	Oid types[DB_ARGS_MAX];           /* 0: left to the server */
	const char *values[DB_ARGS_MAX];  /* NULL is NULL */
	int lengths[DB_ARGS_MAX];
	int formats[DB_ARGS_MAX];         /* all binary */
	uint8_t scratch[DB_ARGS_MAX][16]; /* numbers in network order, UUIDs */
};

/* A statement that was put on the way and whose answer is wanted. Its texts and bytes stay where the caller has them. */
struct asked {
	const struct db_stmt *stmt;
	struct wire_args args;
	PGresult **place;   /* in the arena, which owns what is put there */
	struct rows *out;   /* the caller's */
	struct asked *next; /* of the same trip */
};
CH_CHECK enum err args_encode(struct arena *a, struct wire_args *w, const struct db_arg *args, size_t n, struct error *e);
/* A copy of `sql` with $1… replaced by literals, for COPY, which takes no parameters. */
CH_CHECK enum err args_literal(struct arena *a, const char *sql, const struct db_arg *args, size_t n, const char **out, struct error *e);

/* Microseconds from PostgreSQL's epoch, 2000-01-01, to ours, and back; infinities kept. */
int64_t pg_time_of(instant t);
instant pg_time_to(int64_t t);

static inline void put16(uint8_t *p, uint16_t v) { v = __builtin_bswap16(v); memcpy(p, &v, 2); }
static inline void put32(uint8_t *p, uint32_t v) { v = __builtin_bswap32(v); memcpy(p, &v, 4); }
static inline void put64(uint8_t *p, uint64_t v) { v = __builtin_bswap64(v); memcpy(p, &v, 8); }
static inline uint16_t get16(const void *p) { uint16_t v; memcpy(&v, p, 2); return __builtin_bswap16(v); }
static inline uint32_t get32(const void *p) { uint32_t v; memcpy(&v, p, 4); return __builtin_bswap32(v); }
static inline uint64_t get64(const void *p) { uint64_t v; memcpy(&v, p, 8); return __builtin_bswap64(v); }

/* db.c: what COPY and scripts need of the transaction. Sends what is owed or queued and leaves pipeline mode; the connection is then plain. */
CH_CHECK enum err tx_settle(struct call *c);
/* Takes note of how the connection stands after a plain command. */
void tx_note(struct db *db);
/* Fetches the answer to a read's COMMIT, when one is owed; false when the connection is lost. */
bool tx_fetch_owed(struct db *db);

/* db_error.c. `result` may be NULL when the connection is lost. `a` is where a fault's pointer goes, or NULL. */
enum err db_error_say(struct error *e, struct arena *a, const PGconn *pg, const PGresult *result, const char *statement);
/* The connection or the server went away, as opposed to a statement that failed. */
bool db_error_is_loss(const PGconn *pg, const PGresult *result);
/* A prepared statement no longer fits, or is gone. */
bool db_error_is_stale(const PGresult *result);

#endif
