#include "store.h"
#include "commonhold/log.h"

/* The transaction's own commands. The instant, the account and the co-op are told to the server, where row-level security and commonhold_now() read them. */
SQL(begin_read, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
SQL(begin_write, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE");
SQL(begin_serial, "BEGIN ISOLATION LEVEL REPEATABLE READ READ WRITE");
SQL(commit, "COMMIT");
SQL(roll_back, "ROLLBACK");
SQL(tell_settings, "SELECT set_config('commonhold.now', $1, true), set_config('commonhold.account', $2, true), set_config('commonhold.coop', $3, true)");
SQL(tell_patience, "SELECT set_config('statement_timeout', '1h', true), set_config('idle_in_transaction_session_timeout', '1h', true),"
	" set_config('lock_timeout', '60s', true)");
SQL(tell_coop, "SELECT set_config('commonhold.coop', $1, true)");
SQL(tell_now, "SELECT set_config('commonhold.now', $1, true)");

static const struct db_stmt *const begin_of[] = { [DB_READ] = &begin_read, [DB_WRITE] = &begin_write, [DB_SERIAL] = &begin_serial };

/* The only place where a connection's transaction state changes. */
static void tx_set(struct db *db, enum tx tx)
{
	db->tx = tx;
}

void tx_note(struct db *db)
{
	switch (db->pg ? PQtransactionStatus(db->pg) : PQTRANS_UNKNOWN) {
	case PQTRANS_IDLE:
		tx_set(db, TX_NONE);
		return;
	case PQTRANS_INTRANS:
		tx_set(db, TX_OPEN);
		return;
	default:
		tx_set(db, TX_FAILED);
	}
}

/* What a connection knows a prepared statement by: its SQL's address and its parameters' types. */
static uint64_t statement_key(const struct db_stmt *s, const struct wire_args *w)
{
	uint64_t h = (uint64_t)(uintptr_t)s->sql;
	for (int i = 0; i < w->n; i++)
		h = (h ^ w->types[i]) * UINT64_C(0x9e3779b97f4a7c15) + 1;
	h ^= h >> 29;
	h *= UINT64_C(0xbf58476d1ce4e5b9);
	h ^= h >> 32;
	return h ? h : 1;
}

/* "q" and 16 hex digits. */
static void statement_name(char out[24], uint64_t key)
{
	out[0] = 'q';
	for (int i = 0; i < 16; i++)
		out[1 + i] = "0123456789abcdef"[key >> (60 - 4 * i) & 15];
	out[17] = '\0';
}

static void trip_add(struct db *db, enum op_kind kind, const struct db_stmt *s, uint64_t key)
{
	db->ops[db->op_count++] = (struct op){ kind, s, key, NULL };
}

static bool trip_prepares(const struct db *db, uint64_t key)
{
	for (int i = 0; i < db->op_count; i++)
		if (db->ops[i].kind == OP_PREPARE && db->ops[i].key == key)
			return true;
	return false;
}

/* Puts a statement on the way, preparing it before where needed. libpq copies the arguments. False when the connection is lost. */
static bool trip_send(struct db *db, enum op_kind kind, const struct db_stmt *s, const struct wire_args *w)
{
	char name[24];
	uint64_t key = statement_key(s, w);
	statement_name(name, key);
	if (PQpipelineStatus(db->pg) == PQ_PIPELINE_OFF && !PQenterPipelineMode(db->pg))
		return false;
	if (!prepared_has(db, key) && !trip_prepares(db, key)) {
		if (!PQsendPrepare(db->pg, name, s->sql, w->n, w->types))
			return false;
		trip_add(db, OP_PREPARE, s, key);
	}
	if (!PQsendQueryPrepared(db->pg, name, w->n, w->values, w->lengths, w->formats, 1))
		return false;
	trip_add(db, kind, s, key);
	return true;
}

static bool trip_send_plain(struct db *db, enum op_kind kind, const struct db_stmt *s)
{
	static const struct wire_args none = { .n = 0 };
	return trip_send(db, kind, s, &none);
}

static void wire_text(struct wire_args *w, int i, const char *p, size_t n)
{
	w->types[i] = 25;
	w->formats[i] = 1;
	w->values[i] = p;
	w->lengths[i] = (int)n;
}

/* Without an arena: this runs between the commands of a trip. */
static size_t uuid_text(char out[UUID_TEXT], struct uuid u)
{
	if (uuid_is_nil(u))
		return 0;
	uuid_write(u, out);
	return UUID_TEXT;
}

/* BEGIN and the settings, when they are owed. */
static bool trip_begin(struct call *c)
{
	struct db *db = c->db;
	if (db->tx != TX_WANTED)
		return true;
	char now[CLOCK_TEXT], account[UUID_TEXT], coop[UUID_TEXT];
	struct wire_args w = { .n = 3 };
	wire_text(&w, 0, now, clock_write(clock_now(), now));
	wire_text(&w, 1, account, uuid_text(account, c->actor.account));
	wire_text(&w, 2, coop, uuid_text(coop, c->coop));
	tx_set(db, TX_OPEN);
	return trip_send_plain(db, OP_BEGIN, begin_of[db->mode]) && trip_send(db, OP_SETTINGS, &tell_settings, &w) &&
		(!db->patient || trip_send_plain(db, OP_SETTINGS, &tell_patience));
}

/* What came of a trip. */
struct outcome {
	bool lost;              /* the connection or the server went away */
	PGresult *answer;       /* of OP_MAIN; owned by whoever asked */
	PGresult *fault;        /* the first failure; owned likewise */
	const struct db_stmt *at; /* the statement that failed */
};

static void outcome_clear(struct outcome *o)
{
	PQclear(o->answer);
	PQclear(o->fault);
	*o = (struct outcome){ 0 };
}

static void rows_set(struct rows *out, PGresult *r);

static void outcome_take(struct db *db, const struct op *op, PGresult *r, struct outcome *o)
{
	switch (PQresultStatus(r)) {
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
		if (op->kind == OP_PREPARE)
			prepared_add(db, op->key);
		if (op->kind == OP_MAIN && !o->answer) {
			o->answer = r;
		} else if (op->asked && !*op->asked->place) {
			*op->asked->place = r;
			rows_set(op->asked->out, r);
		} else {
			PQclear(r);
		}
		return;
	case PGRES_PIPELINE_ABORTED:
		PQclear(r);
		return;
	default:
		if (o->fault) {
			PQclear(r);
		} else {
			o->fault = r;
			o->at = op->stmt;
		}
	}
}

/* One command's answer and the NULL behind it. */
static void outcome_read(struct db *db, const struct op *op, struct outcome *o)
{
	PGresult *r = PQgetResult(db->pg);
	if (!r) {
		o->lost = true;
		return;
	}
	outcome_take(db, op, r, o);
	while ((r = PQgetResult(db->pg)) != NULL) {
		PQclear(r);
		if (PQstatus(db->pg) == CONNECTION_BAD)
			break;
	}
	o->lost = PQstatus(db->pg) == CONNECTION_BAD;
}

static void trip_receive(struct db *db, struct outcome *o)
{
	for (int i = 0; i < db->op_count && !o->lost; i++)
		outcome_read(db, &db->ops[i], o);
	if (!o->lost) {
		PGresult *sync = PQgetResult(db->pg);
		o->lost = PQresultStatus(sync) != PGRES_PIPELINE_SYNC || !PQexitPipelineMode(db->pg);
		PQclear(sync);
	}
	o->lost |= o->fault && db_error_is_loss(db->pg, o->fault);
	db->op_count = 0;
}

/* From here on nothing of what was asked is sent again. */
static void asked_forget(struct db *db)
{
	db->repeatable = false;
	db->asked = NULL;
}

/* Sends what was put on the way and reads every answer. */
static void trip_make(struct db *db, bool sent, struct outcome *o)
{
	o->lost = !sent || !PQpipelineSync(db->pg);
	if (!o->lost)
		trip_receive(db, o);
	db->op_count = 0;
	if (o->lost) {
		PGresult *fault = o->fault;
		o->fault = NULL;
		outcome_clear(o);
		o->fault = fault;
		o->lost = true;
		conn_close(db);
		tx_set(db, TX_FAILED);
	} else {
		/* A prepared statement that its tables have outgrown, or that a pooler between has lost: prepare afresh next time. */
		db->stale |= o->fault && db_error_is_stale(o->fault);
		tx_note(db);
	}
}

bool tx_fetch_owed(struct db *db)
{
	if (!db->owed)
		return true;
	db->owed = false;
	struct outcome o = { 0 };
	trip_receive(db, &o);
	bool ok = !o.lost && !o.fault;
	outcome_clear(&o);
	return ok;
}

enum err db_begin(struct call *c, enum db_mode mode)
{
	if (c->db && c->db->tx != TX_NONE)
		return fail(c, ERR_INTERNAL, "A transaction was begun inside another.");
	if (!c->db)
		TRY(pool_take(db_content_pool(), &c->db, &c->error));
	TRY(conn_ensure(c->db, mode == DB_READ, &c->error));
	c->db->mode = mode;
	c->db->patient = mode == DB_SERIAL || c->actor.kind == AUTH_SYSTEM;
	tx_set(c->db, TX_WANTED);
	asked_forget(c->db);
	return ERR_OK;
}

/* A statement needs a transaction that is open, or about to be. */
static enum err require_open(struct call *c, const struct db_stmt *s)
{
	if (!c->db || c->db->tx == TX_NONE)
		return fail(c, ERR_INTERNAL, "The statement %s was run outside a transaction.", s->name);
	if (c->db->tx == TX_FAILED)
		return fail(c, ERR_INTERNAL, "The statement %s was run in a transaction that had failed.", s->name);
	if (c->db->copying)
		return fail(c, ERR_INTERNAL, "The statement %s was run during a COPY.", s->name);
	return ERR_OK;
}

static enum err outcome_fail(struct call *c, struct outcome *o, bool commits)
{
	enum err code;
	if (o->lost && commits) {
		code = fail_reason(c, ERR_UNAVAILABLE, "outcome_unknown",
			"The connection to the database was lost at the last step. Look whether the change was made before trying again.");
	} else {
		code = db_error_say(&c->error, c->arena, c->db ? c->db->pg : NULL, o->fault, o->at ? o->at->name : NULL);
	}
	return code;
}

static void release_result(void *result)
{
	PQclear(*(PGresult **)result);
}

/* A place in the arena that owns a result: made before the trip, since the arena may jump away. */
static PGresult **result_place(struct arena *a)
{
	PGresult **place = ARENA_NEW(a, PGresult *);
	arena_defer(a, release_result, place);
	return place;
}

static void rows_set(struct rows *out, PGresult *r)
{
	int64_t affected = 0;
	if (!str_to_i64(str_of(PQcmdTuples(r)), 0, INT64_MAX, &affected))
		affected = 0;
	*out = (struct rows){ r, PQntuples(r), affected };
}

/* The last of a trip: a statement whose answer is wanted, COMMIT, both or neither. */
struct trip_end {
	const struct db_stmt *stmt; /* NULL: none */
	const struct wire_args *args;
	bool commits;
};

static bool trip_send_end(struct call *c, const struct trip_end *end)
{
	return trip_begin(c) && (!end->stmt || trip_send(c->db, OP_MAIN, end->stmt, end->args)) && (!end->commits || trip_send_plain(c->db, OP_COMMIT, &commit));
}

static bool asked_send(struct call *c, struct asked *one)
{
	if (!trip_begin(c) || !trip_send(c->db, OP_ASKED, one->stmt, &one->args))
		return false;
	c->db->ops[c->db->op_count - 1].asked = one;
	return true;
}

static bool asked_send_again(struct call *c)
{
	for (struct asked *one = c->db->asked; one; one = one->next) {
		PQclear(*one->place);
		*one->place = NULL;
		if (!asked_send(c, one))
			return false;
	}
	return true;
}

/* Makes a trip. A transaction's first, without a write's COMMIT, leaves nothing behind when the connection turns out dead, so it is made again on a fresh one. */
static enum err trip_run(struct call *c, const struct trip_end *end, struct outcome *o)
{
	struct db *db = c->db;
	bool may_repeat = (db->tx == TX_WANTED || db->repeatable) && (!end->commits || db->mode == DB_READ);
	trip_make(db, trip_send_end(c, end), o);
	if (o->lost && may_repeat) {
		outcome_clear(o);
		TRY(conn_ensure(db, false, &c->error));
		tx_set(db, TX_WANTED);
		trip_make(db, asked_send_again(c) && trip_send_end(c, end), o);
	}
	asked_forget(db);
	if (!o->lost && !o->fault)
		return ERR_OK;
	enum err code = outcome_fail(c, o, end->commits && db->mode != DB_READ);
	outcome_clear(o);
	return code;
}

static enum err statement_run(struct call *c, const struct db_stmt *s, struct rows *out, const struct db_arg *args, size_t n, bool commits)
{
	struct wire_args w;
	struct outcome o = { 0 };
	TRY(require_open(c, s));
	TRY(args_encode(c->arena, &w, args, n, &c->error));
	PGresult **place = result_place(c->arena);
	c->queries++;
	pool_count_queries(c->db->pool, 1);
	TRY(trip_run(c, &(struct trip_end){ s, &w, commits }, &o));
	*place = o.answer;
	if (out)
		rows_set(out, o.answer);
	return ERR_OK;
}

enum err db_run(struct call *c, const struct db_stmt *s, struct rows *out, const struct db_arg *args, size_t n)
{
	return statement_run(c, s, out, args, n, false);
}

enum err db_run_commit(struct call *c, const struct db_stmt *s, struct rows *out, const struct db_arg *args, size_t n)
{
	return statement_run(c, s, out, args, n, true);
}

enum err db_run_one(struct call *c, const struct db_stmt *s, struct rows *out, const struct db_arg *args, size_t n)
{
	TRY(db_run(c, s, out, args, n));
	if (out->n == 0)
		return fail(c, ERR_NOT_FOUND, "%s", err_text(ERR_NOT_FOUND));
	if (out->n > 1)
		return fail(c, ERR_INTERNAL, "The statement %s gave %d rows instead of one.", s->name, out->n);
	return ERR_OK;
}

/* Makes the trip for what is queued, keeping the transaction open. */
static enum err trip_flush(struct call *c)
{
	struct outcome o = { 0 };
	if (c->db->tx != TX_WANTED && c->db->op_count == 0)
		return ERR_OK;
	return trip_run(c, &(struct trip_end){ 0 }, &o);
}

/* Nothing more can be sent: the connection is gone. */
static enum err queue_failed(struct call *c, const struct db_stmt *s)
{
	conn_close(c->db);
	tx_set(c->db, TX_FAILED);
	return db_error_say(&c->error, c->arena, NULL, NULL, s->name);
}

enum err db_queue_run(struct call *c, const struct db_stmt *s, const struct db_arg *args, size_t n)
{
	struct wire_args w;
	TRY(require_open(c, s));
	TRY(args_encode(c->arena, &w, args, n, &c->error));
	if (c->db->op_count > TRIP_MAX - TRIP_SPARE)
		TRY(trip_flush(c));
	c->queries++;
	pool_count_queries(c->db->pool, 1);
	asked_forget(c->db);
	if (trip_begin(c) && trip_send(c->db, OP_QUEUED, s, &w))
		return ERR_OK;
	return queue_failed(c, s);
}

/* What is asked first in a transaction is remembered, so that it can be asked again. */
static void asked_remember(struct db *db, struct asked *one)
{
	if (db->tx == TX_WANTED) {
		db->repeatable = true;
		db->asked = NULL;
		db->asked_end = &db->asked;
	}
	if (db->repeatable) {
		*db->asked_end = one;
		db->asked_end = &one->next;
	}
}

enum err db_ask_run(struct call *c, const struct db_stmt *s, struct rows *out, const struct db_arg *args, size_t n)
{
	TRY(require_open(c, s));
	struct asked *one = ARENA_NEW(c->arena, struct asked);
	one->stmt = s;
	one->out = out;
	one->place = result_place(c->arena);
	TRY(args_encode(c->arena, &one->args, args, n, &c->error));
	if (c->db->op_count > TRIP_MAX - TRIP_SPARE)
		TRY(trip_flush(c));
	c->queries++;
	pool_count_queries(c->db->pool, 1);
	asked_remember(c->db, one);
	/* where sending fails here, the trip finds the connection lost and makes itself again */
	if (asked_send(c, one) || c->db->repeatable)
		return ERR_OK;
	return queue_failed(c, s);
}

enum err db_wait(struct call *c)
{
	static const struct db_stmt what = { "wait", "" };
	TRY(require_open(c, &what));
	return trip_flush(c);
}

/* What cannot be sent is noticed by whoever waits for the answer. */
enum err db_push(struct call *c)
{
	static const struct db_stmt what = { "push", "" };
	TRY(require_open(c, &what));
	if (c->db->op_count)
		(void)PQflush(c->db->pg);
	return ERR_OK;
}

enum err tx_settle(struct call *c)
{
	return trip_flush(c);
}

/* A read's COMMIT is sent and not waited for: its answer is fetched before the connection's next use. */
static enum err commit_read(struct db *db)
{
	if (trip_send_plain(db, OP_COMMIT, &commit) && PQpipelineSync(db->pg) && PQflush(db->pg) == 0) {
		db->owed = true;
	} else {
		conn_close(db);
	}
	tx_set(db, TX_NONE);
	return ERR_OK;
}

enum err db_commit(struct call *c)
{
	struct db *db = c->db;
	static const struct db_stmt end = { "commit", "" };
	TRY(require_open(c, &end));
	if (db->tx == TX_WANTED) {
		tx_set(db, TX_NONE);
		return ERR_OK;
	}
	if (db->mode == DB_READ && db->op_count == 0)
		return commit_read(db);
	struct outcome o = { 0 };
	return trip_run(c, &(struct trip_end){ .commits = true }, &o);
}

/* Ends what is open without a call: rolls back or closes. The first trip may be cut short by a queued statement that fails; the second then gets through. */
static void tx_abandon(struct db *db)
{
	asked_forget(db);
	for (int i = 0; i < db->op_count; i++)
		db->ops[i].asked = NULL;
	for (int i = 0; i < 2 && (db->tx == TX_OPEN || db->tx == TX_FAILED) && db->pg && !db->copying; i++) {
		struct outcome o = { 0 };
		trip_make(db, trip_send_plain(db, OP_ROLLBACK, &roll_back), &o);
		outcome_clear(&o);
	}
	if (db->copying || db->tx == TX_OPEN || db->tx == TX_FAILED)
		conn_close(db);
	tx_set(db, TX_NONE);
}

void db_rollback(struct call *c)
{
	if (c->db)
		tx_abandon(c->db);
}

bool db_is_open(const struct call *c)
{
	return c->db && c->db->tx != TX_NONE;
}

bool db_take_spare(struct call *c)
{
	if (!c->db && db_content_pool())
		c->db = pool_take_spare(db_content_pool());
	return c->db != NULL;
}

void db_release(struct call *c)
{
	if (!c->db)
		return;
	tx_abandon(c->db);
	pool_return(c->db);
	c->db = NULL;
}

enum err db_enter_coop(struct call *c, struct uuid coop)
{
	c->coop = coop;
	if (!c->db || c->db->tx != TX_OPEN)
		return ERR_OK;
	int queries = c->queries;
	char text[UUID_TEXT];
	size_t n = uuid_text(text, coop);
	TRY(db_queue(c, tell_coop, A_STR(str_make(text, n))));
	c->queries = queries;
	return ERR_OK;
}

enum err db_tell_time(struct call *c)
{
	int queries = c->queries;
	char now[CLOCK_TEXT];
	size_t n = clock_write(clock_now(), now);
	TRY(db_queue(c, tell_now, A_STR(str_make(now, n))));
	c->queries = queries;
	return ERR_OK;
}

/* A statement outside any transaction of ours is one by itself. It is not sent twice: a write may have been made. */
static enum err single_run(struct call *c, struct db *db, const struct db_stmt *s, const struct wire_args *w, PGresult **answer)
{
	struct outcome o = { 0 };
	TRY(conn_ensure(db, false, &c->error));
	trip_make(db, trip_send(db, OP_MAIN, s, w), &o);
	enum err code = ERR_OK;
	if (o.lost || o.fault)
		code = db_error_say(&c->error, NULL, db->pg, o.fault, s->name);
	else
		*answer = o.answer;
	o.answer = NULL;
	outcome_clear(&o);
	return code;
}

enum err db_keys_run(struct call *c, const struct db_stmt *s, struct rows *out, const struct db_arg *args, size_t n)
{
	struct wire_args w;
	struct db *db;
	TRY(args_encode(c->arena, &w, args, n, &c->error));
	PGresult **place = result_place(c->arena);
	TRY(pool_take(db_keys_pool(), &db, &c->error));
	enum err code = single_run(c, db, s, &w, place);
	c->queries++;
	pool_count_queries(db->pool, 1);
	tx_abandon(db);
	pool_return(db);
	if (code == ERR_OK && out)
		rows_set(out, *place);
	return code;
}

enum err db_script(struct call *c, struct str sql)
{
	static const struct db_stmt script = { "script", "" };
	TRY(require_open(c, &script));
	const char *text = str_z(c->arena, sql);
	TRY(tx_settle(c));
	PGresult *r = PQexec(c->db->pg, text);
	ExecStatusType status = PQresultStatus(r);
	enum err code = ERR_OK;
	tx_note(c->db);
	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY)
		code = db_error_say(&c->error, c->arena, c->db->pg, r, "script");
	PQclear(r);
	return code;
}
