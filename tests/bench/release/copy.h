/* copy.h - COPY … FROM STDIN (FORMAT binary) as the superuser: rows past the walls, for making pools only. */
#ifndef COMMONHOLD_BENCH_COPY_H
#define COMMONHOLD_BENCH_COPY_H

#include "commonhold/clock.h"
#include "commonhold/id.h"

#include <libpq-fe.h>

#define COPY_BLOCK ((size_t)256 << 10)

struct loading {
	PGconn *pg;
	char block[COPY_BLOCK + 65536]; /* a row may run over the end */
	size_t n;
};

static inline void load_bytes(struct loading *l, const void *p, size_t n)
{
	memcpy(l->block + l->n, p, n);
	l->n += n;
}

static inline void load_number(struct loading *l, uint64_t v, unsigned bytes)
{
	for (unsigned i = bytes; i-- > 0;)
		l->block[l->n++] = (char)(v >> i * 8);
}

static inline void load_flush(struct loading *l)
{
	if (l->n && PQputCopyData(l->pg, l->block, (int)l->n) != 1)
		fprintf(stderr, "%s", PQerrorMessage(l->pg));
	l->n = 0;
}

static inline void load_begin(struct loading *l, PGconn *pg, const char *table)
{
	char sql[600];
	snprintf(sql, sizeof(sql), "COPY %s FROM STDIN (FORMAT binary)", table);
	*l = (struct loading){ .pg = pg };
	PGresult *r = PQexec(pg, sql);
	if (PQresultStatus(r) != PGRES_COPY_IN)
		fprintf(stderr, "%s", PQerrorMessage(pg));
	PQclear(r);
	load_bytes(l, "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
}

static inline void load_row(struct loading *l, unsigned fields)
{
	if (l->n >= COPY_BLOCK)
		load_flush(l);
	load_number(l, fields, 2);
}

static inline void load_int(struct loading *l, int64_t v, unsigned bytes)
{
	load_number(l, bytes, 4);
	load_number(l, (uint64_t)v, bytes);
}

static inline void load_field(struct loading *l, const void *p, size_t n)
{
	load_number(l, n, 4);
	load_bytes(l, p, n);
}

static inline void load_text(struct loading *l, const char *z) { load_field(l, z, strlen(z)); }
static inline void load_uuid(struct loading *l, struct uuid u) { load_field(l, u.b, 16); }
static inline void load_bool(struct loading *l, bool v) { load_field(l, &v, 1); }
/* PostgreSQL counts from 2000-01-01. */
static inline void load_time(struct loading *l, instant t) { load_int(l, t - INT64_C(946684800000000), 8); }

/* A text[] of one. */
static inline void load_text_array(struct loading *l, const char *z)
{
	size_t n = strlen(z);
	load_number(l, 20 + 4 + n, 4);
	load_number(l, 1, 4);
	load_number(l, 0, 4);
	load_number(l, 25, 4);
	load_number(l, 1, 4);
	load_number(l, 1, 4);
	load_field(l, z, n);
}

static inline bool load_end(struct loading *l)
{
	bool ok = true;
	load_number(l, 0xffff, 2);
	load_flush(l);
	PQputCopyEnd(l->pg, NULL);
	for (PGresult *r; (r = PQgetResult(l->pg)) != NULL; PQclear(r)) {
		if (PQresultStatus(r) != PGRES_COMMAND_OK) {
			fprintf(stderr, "%s", PQresultErrorMessage(r));
			ok = false;
		}
	}
	return ok;
}

#endif
