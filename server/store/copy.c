#include "store.h"

#define COPY_FIELDS_MAX 64              /* columns of a stream; ours have a dozen */
#define COPY_FLUSH ((size_t)256 * KIB)  /* sent when this much is buffered: past it larger writes gain nothing */
#define COPY_BUFFER_MAX ((size_t)64 * MIB) /* one row and what was not flushed before it */

static const char copy_signature[] = "PGCOPY\n\377\r\n"; /* and its terminating NUL: eleven bytes */
#define COPY_HEADER 19                  /* signature, flags, length of the extension */

static enum err copy_require(struct call *c)
{
	if (!c->db || (c->db->tx != TX_WANTED && c->db->tx != TX_OPEN) || c->db->copying)
		return fail(c, ERR_INTERNAL, "A COPY needs an open transaction without another COPY.");
	return ERR_OK;
}

static enum err copy_start(struct call *c, const char *sql, ExecStatusType wanted)
{
	struct db *db = c->db;
	PGresult *r = PQexec(db->pg, sql);
	enum err code = ERR_OK;
	c->queries++;
	pool_count_queries(db->pool, 1);
	if (PQresultStatus(r) == wanted && PQbinaryTuples(r))
		db->copying = true;
	else if (PQresultStatus(r) == wanted)
		db->copying = true, code = fail(c, ERR_INTERNAL, "A COPY stream was not binary.");
	else
		code = db_error_say(&c->error, NULL, db->pg, r, "copy");
	PQclear(r);
	if (!db->copying)
		tx_note(db);
	return code;
}

/* The answer after the stream. */
static enum err copy_finish(struct call *c, int64_t *rows)
{
	struct db *db = c->db;
	enum err code = ERR_OK;
	PGresult *r;
	while ((r = PQgetResult(db->pg)) != NULL) {
		if (PQresultStatus(r) != PGRES_COMMAND_OK && code == ERR_OK)
			code = db_error_say(&c->error, c->arena, db->pg, r, "copy");
		else if (rows && !str_to_i64(str_of(PQcmdTuples(r)), 0, INT64_MAX, rows))
			*rows = 0;
		PQclear(r);
		if (PQstatus(db->pg) == CONNECTION_BAD)
			break;
	}
	db->copying = false;
	tx_note(db);
	return code;
}

/* One row's fields; the server's own framing is checked all the same. -1 is the trailer. */
static int copy_fields(const uint8_t *p, size_t n, struct copy_field fields[COPY_FIELDS_MAX])
{
	if (n < 2)
		return -2;
	int count = (int16_t)get16(p);
	if (count == -1)
		return -1;
	if (count < 0 || count > COPY_FIELDS_MAX)
		return -2;
	size_t at = 2;
	for (int i = 0; i < count; i++) {
		if (n - at < 4)
			return -2;
		int32_t length = (int32_t)get32(p + at);
		at += 4;
		if (length > 0 && (size_t)length > n - at)
			return -2;
		fields[i] = (struct copy_field){ p + at, length };
		at += length > 0 ? (size_t)length : 0;
	}
	return count;
}

/* libpq gives one row at a time; the header precedes the first in the same piece. */
static enum err copy_piece(struct call *c, const uint8_t *p, size_t n, bool *begun, copy_row_fn row, void *arg)
{
	struct copy_field fields[COPY_FIELDS_MAX];
	if (!*begun) {
		if (n < COPY_HEADER || memcmp(p, copy_signature, 11) != 0 || get32(p + 11) != 0)
			return fail(c, ERR_DB, "A COPY stream began in a way that is not understood.");
		size_t skip = COPY_HEADER + get32(p + 15);
		*begun = true;
		if (n <= skip)
			return n == skip ? ERR_OK : fail(c, ERR_DB, "A COPY stream began in a way that is not understood.");
		p += skip;
		n -= skip;
	}
	int count = copy_fields(p, n, fields);
	if (count == -1)
		return ERR_OK;
	return count < 0 ? fail(c, ERR_DB, "A row of a COPY stream is not understood.") : row(arg, fields, count);
}

enum err db_copy_out(struct call *c, const char *sql, const struct db_arg *args, size_t n, copy_row_fn row, void *arg)
{
	const char *text;
	TRY(copy_require(c));
	TRY(args_literal(c->arena, sql, args, n, &text, &c->error));
	TRY(tx_settle(c));
	TRY(copy_start(c, text, PGRES_COPY_OUT));
	struct db *db = c->db;
	bool begun = false;
	enum err code = ERR_OK;
	int size;
	while (code == ERR_OK && (size = PQgetCopyData(db->pg, &db->copy_row, 0)) > 0) {
		code = copy_piece(c, (const uint8_t *)db->copy_row, (size_t)size, &begun, row, arg);
		PQfreemem(db->copy_row);
		db->copy_row = NULL;
	}
	/* A stream that is stopped has no cheap end: the rollback that must follow closes the connection. */
	return code == ERR_OK ? copy_finish(c, NULL) : code;
}

struct copy_in {
	struct call *call; /* whose transaction it runs in */
	struct buf out;    /* rows not sent yet; heap, released with the arena */
	struct str settle; /* run at the end, when the rows went to a temporary table */
};

static void copy_in_release(void *s)
{
	buf_release(&((struct copy_in *)s)->out);
}

enum err db_copy_in_begin(struct call *c, const char *sql, struct copy_in **out)
{
	TRY(copy_require(c));
	struct copy_in *s = ARENA_NEW(c->arena, struct copy_in);
	s->call = c;
	buf_init(&s->out, COPY_BUFFER_MAX);
	arena_defer(c->arena, copy_in_release, s);
	TRY(tx_settle(c));
	TRY(copy_start(c, sql, PGRES_COPY_IN));
	buf_add(&s->out, copy_signature, 11);
	buf_add(&s->out, "\0\0\0\0\0\0\0\0", 8);
	*out = s;
	return ERR_OK;
}

/* Without the constraints, which the table itself holds against what arrives in it. */
enum err db_copy_into(struct call *c, const char *table, const char *columns, struct copy_in **out)
{
	struct str make = str_fmt(c->arena, "CREATE TEMPORARY TABLE incoming_%s ON COMMIT DROP AS SELECT %s FROM %s WITH NO DATA", table, columns, table);
	struct str copy = str_fmt(c->arena, "COPY incoming_%s (%s) FROM STDIN (FORMAT binary)", table, columns);
	struct str settle = str_fmt(c->arena, "INSERT INTO %s (%s) SELECT %s FROM incoming_%s; DROP TABLE incoming_%s", table, columns, columns, table, table);
	TRY(db_script(c, make));
	TRY(db_copy_in_begin(c, copy.p, out));
	(*out)->settle = settle;
	return ERR_OK;
}

static void copy_in_field(struct copy_in *s, const void *p, size_t n)
{
	uint8_t *to = (uint8_t *)buf_reserve(&s->out, n + 4);
	if (!to)
		return;
	put32(to, (uint32_t)n);
	if (n)
		memcpy(to + 4, p, n);
	s->out.n += n + 4;
}

void copy_in_row(struct copy_in *s, int fields)
{
	uint8_t count[2];
	put16(count, (uint16_t)fields);
	buf_add(&s->out, count, sizeof(count));
}

void copy_in_null(struct copy_in *s)
{
	buf_add(&s->out, "\377\377\377\377", 4);
}

void copy_in_int2(struct copy_in *s, int16_t v)
{
	uint8_t b[2];
	put16(b, (uint16_t)v);
	copy_in_field(s, b, sizeof(b));
}

void copy_in_int4(struct copy_in *s, int32_t v)
{
	uint8_t b[4];
	put32(b, (uint32_t)v);
	copy_in_field(s, b, sizeof(b));
}

void copy_in_i64(struct copy_in *s, int64_t v)
{
	uint8_t b[8];
	put64(b, (uint64_t)v);
	copy_in_field(s, b, sizeof(b));
}

void copy_in_bool(struct copy_in *s, bool v)
{
	uint8_t b = v;
	copy_in_field(s, &b, 1);
}

void copy_in_str(struct copy_in *s, struct str v)
{
	if (v.p)
		copy_in_field(s, v.p, v.n);
	else
		copy_in_null(s);
}

void copy_in_uuid(struct copy_in *s, struct uuid v)
{
	copy_in_field(s, v.b, sizeof(v.b));
}

void copy_in_time(struct copy_in *s, instant t)
{
	if (t == INSTANT_NONE)
		copy_in_null(s);
	else
		copy_in_i64(s, pg_time_of(t));
}

/* One dimension from 1, no NULLs. */
void copy_in_i64s(struct copy_in *s, const int64_t *v, size_t n)
{
	enum { HEAD = 20, ELEMENT = 12, INT8 = 20 /* its type's number */ };
	size_t size = n ? HEAD + n * ELEMENT : 12;
	uint8_t *to = (uint8_t *)buf_reserve(&s->out, size + 4);
	if (!to)
		return;
	put32(to, (uint32_t)size);
	put32(to + 4, n ? 1 : 0);
	put32(to + 8, 0);
	put32(to + 12, INT8);
	if (n) {
		put32(to + 16, (uint32_t)n);
		put32(to + 20, 1);
	}
	for (size_t i = 0; i < n; i++) {
		put32(to + 4 + HEAD + i * ELEMENT, 8);
		put64(to + 8 + HEAD + i * ELEMENT, (uint64_t)v[i]);
	}
	s->out.n += size + 4;
}

static enum err copy_in_send(struct copy_in *s)
{
	struct call *c = s->call;
	if (s->out.failed)
		return fail(c, ERR_TOO_LARGE, "A row is too large to be stored.");
	if (s->out.n && PQputCopyData(c->db->pg, s->out.p, (int)s->out.n) != 1)
		return db_error_say(&c->error, NULL, c->db->pg, NULL, "copy");
	buf_clear(&s->out);
	return ERR_OK;
}

enum err copy_in_flush(struct copy_in *s)
{
	return s->out.n >= COPY_FLUSH || s->out.failed ? copy_in_send(s) : ERR_OK;
}

enum err db_copy_in_end(struct copy_in *s, int64_t *rows)
{
	struct call *c = s->call;
	buf_add(&s->out, "\377\377", 2);
	TRY(copy_in_send(s));
	if (PQputCopyEnd(c->db->pg, NULL) != 1)
		return db_error_say(&c->error, NULL, c->db->pg, NULL, "copy");
	TRY(copy_finish(c, rows));
	return s->settle.p ? db_script(c, s->settle) : ERR_OK;
}
