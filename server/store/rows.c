#include "store.h"
#include "commonhold/log.h"

#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MISREAD() abort()
#else
#define MISREAD() ((void)0)
#endif

/* The types that each reader takes, ended by 0. */
static const Oid bools[] = { 16, 0 };
static const Oid integers[] = { 20, 23, 21, 26, 0 };
static const Oid texts[] = { 25, 1043, 1042, 114, 19, 18, 3802, 705, 0 };
static const Oid byteas[] = { 17, 0 };
static const Oid uuids[] = { 2950, 0 };
static const Oid times[] = { 1184, 1114, 1082, 0 };
static const Oid text_arrays[] = { 1009, 1015, 1003, 1001, 0 };
static const Oid uuid_arrays[] = { 2951, 0 };

/* Whether there is a value of one of the types. Reading a column as what it is not is a fault of the program. */
static bool cell_is(const struct rows *r, int row, int col, const Oid *types)
{
	if (PQgetisnull(r->result, row, col))
		return false;
	Oid type = PQftype(r->result, col);
	for (; *types; types++)
		if (*types == type)
			return true;
	const char *name = PQfname(r->result, col);
	log_event(LOG_ERROR, "db.column_misread", LOG_Z("column", name ? name : "?"), LOG_N("number", col), LOG_N("type", type));
	MISREAD();
	return false;
}

static const char *cell(const struct rows *r, int row, int col) { return PQgetvalue(r->result, row, col); }
static size_t cell_size(const struct rows *r, int row, int col) { return (size_t)PQgetlength(r->result, row, col); }

bool row_null(const struct rows *r, int row, int col)
{
	return PQgetisnull(r->result, row, col) != 0;
}

bool row_bool(const struct rows *r, int row, int col)
{
	return cell_is(r, row, col, bools) && cell(r, row, col)[0] != 0;
}

static int64_t int_of(const void *p, size_t n)
{
	switch (n) {
	case 2:
		return (int16_t)get16(p);
	case 4:
		return (int32_t)get32(p);
	case 8:
		return (int64_t)get64(p);
	default:
		return 0;
	}
}

int64_t row_int(const struct rows *r, int row, int col)
{
	return cell_is(r, row, col, integers) ? int_of(cell(r, row, col), cell_size(r, row, col)) : 0;
}

/* jsonb travels with its version in a first byte. */
struct str row_str(const struct rows *r, int row, int col)
{
	if (!cell_is(r, row, col, texts))
		return STR_NONE;
	struct str s = str_make(cell(r, row, col), cell_size(r, row, col));
	return PQftype(r->result, col) == 3802 ? str_sub(s, 1, s.n) : s;
}

struct str row_bytes(const struct rows *r, int row, int col)
{
	return cell_is(r, row, col, byteas) ? str_make(cell(r, row, col), cell_size(r, row, col)) : STR_NONE;
}

struct uuid row_uuid(const struct rows *r, int row, int col)
{
	struct uuid u = { { 0 } };
	if (cell_is(r, row, col, uuids))
		memcpy(u.b, cell(r, row, col), sizeof(u.b));
	return u;
}

instant row_time(const struct rows *r, int row, int col)
{
	if (!cell_is(r, row, col, times))
		return INSTANT_NONE;
	int64_t v = int_of(cell(r, row, col), cell_size(r, row, col));
	return pg_time_to(PQftype(r->result, col) == 1082 ? v * CLOCK_DAY : v);
}

/* A walk over a one-dimensional array in binary form. */
struct array_walk {
	const char *p;  /* the next element's length */
	size_t left;    /* bytes from p on */
	size_t count;   /* elements */
};

static struct array_walk array_walk(const struct rows *r, int row, int col, const Oid *types)
{
	struct array_walk w = { NULL, 0, 0 };
	if (!cell_is(r, row, col, types) || cell_size(r, row, col) < 20)
		return w;
	const char *p = cell(r, row, col);
	size_t n = cell_size(r, row, col);
	if (get32(p) != 1)
		return w;
	w = (struct array_walk){ p + 20, n - 20, get32(p + 12) };
	if (w.count > w.left / 4)
		w.count = w.left / 4;
	return w;
}

static struct str array_next(struct array_walk *w)
{
	if (w->left < 4)
		return STR_NONE;
	int32_t n = (int32_t)get32(w->p);
	w->p += 4;
	w->left -= 4;
	if (n < 0 || (size_t)n > w->left)
		return STR_NONE;
	struct str s = str_make(w->p, (size_t)n);
	w->p += n;
	w->left -= (size_t)n;
	return s;
}

size_t row_strs(struct arena *a, const struct rows *r, int row, int col, struct str **out)
{
	struct array_walk w = array_walk(r, row, col, text_arrays);
	*out = ARENA_ARRAY(a, w.count, struct str);
	for (size_t i = 0; i < w.count; i++)
		(*out)[i] = array_next(&w);
	return w.count;
}

size_t row_uuids(struct arena *a, const struct rows *r, int row, int col, struct uuid **out)
{
	struct array_walk w = array_walk(r, row, col, uuid_arrays);
	*out = ARENA_ARRAY(a, w.count, struct uuid);
	for (size_t i = 0; i < w.count; i++) {
		struct str s = array_next(&w);
		if (s.n == 16)
			memcpy((*out)[i].b, s.p, 16);
	}
	return w.count;
}

int64_t copy_int(struct copy_field f) { return f.n < 0 ? 0 : int_of(f.p, (size_t)f.n); }
instant copy_time(struct copy_field f) { return f.n == 8 ? pg_time_to((int64_t)get64(f.p)) : INSTANT_NONE; }
struct str copy_bytes(struct copy_field f) { return f.n < 0 ? STR_NONE : str_make(f.p, (size_t)f.n); }

struct uuid copy_uuid(struct copy_field f)
{
	struct uuid u = { { 0 } };
	if (f.n == 16)
		memcpy(u.b, f.p, 16);
	return u;
}
