#include "store.h"

#define PG_EPOCH INT64_C(946684800000000) /* 2000-01-01T00:00:00Z in microseconds since 1970 */
#define ARG_BYTES_MAX ((size_t)512 * MIB) /* the server's own limit for a value is 1 GB, hex-free */

/* How each type is called by the server; arrays with the type of their elements. */
static const struct { Oid oid; Oid element; } pg_types[] = {
	[DB_NULL] = { 0, 0 },
	[DB_BOOL] = { 16, 0 },
	[DB_INT4] = { 23, 0 },
	[DB_INT8] = { 20, 0 },
	[DB_TEXT] = { 25, 0 },
	[DB_BYTEA] = { 17, 0 },
	[DB_UUID] = { 2950, 0 },
	[DB_TIME] = { 1184, 0 },
	[DB_TEXT_ARRAY] = { 1009, 25 },
	[DB_BYTEA_ARRAY] = { 1001, 17 },
	[DB_UUID_ARRAY] = { 2951, 2950 },
	[DB_INT8_ARRAY] = { 1016, 20 },
	[DB_TIME_ARRAY] = { 1185, 1184 },
};

struct db_arg db_arg_text(struct str s) { return (struct db_arg){ .type = DB_TEXT, .null = !s.p, .s = s }; }
struct db_arg db_arg_bytes(struct str s) { return (struct db_arg){ .type = DB_BYTEA, .null = !s.p, .s = s }; }
struct db_arg db_arg_time(instant t) { return (struct db_arg){ .type = DB_TIME, .null = t == INSTANT_NONE, .i = t }; }
struct db_arg db_arg_uuid_or_null(struct uuid u) { return (struct db_arg){ .type = DB_UUID, .null = uuid_is_nil(u), .u = u }; }

int64_t pg_time_of(instant t)
{
	return t == INSTANT_NEVER || t == INSTANT_NONE ? t : t - PG_EPOCH;
}

instant pg_time_to(int64_t t)
{
	return t == INSTANT_NEVER || t == INSTANT_NONE ? t : t + PG_EPOCH;
}

/* Bytes of one element; a size of -1 is NULL. */
static int64_t element_size(const struct db_arg *arg, size_t i)
{
	switch (pg_types[arg->type].element) {
	case 2950:
		return 16;
	case 20:
		return 8;
	case 1184:
		return ((const instant *)arg->array)[i] == INSTANT_NONE ? -1 : 8;
	default:
		return ((const struct str *)arg->array)[i].p ? (int64_t)((const struct str *)arg->array)[i].n : -1;
	}
}

static void element_put(uint8_t *to, const struct db_arg *arg, size_t i, size_t size)
{
	switch (pg_types[arg->type].element) {
	case 2950:
		memcpy(to, ((const struct uuid *)arg->array)[i].b, 16);
		return;
	case 20:
		put64(to, (uint64_t)((const int64_t *)arg->array)[i]);
		return;
	case 1184:
		put64(to, (uint64_t)pg_time_of(((const instant *)arg->array)[i]));
		return;
	default:
		if (size)
			memcpy(to, ((const struct str *)arg->array)[i].p, size);
	}
}

/* The server's binary form of a one-dimensional array: dimensions, has-nulls, element type, count, lower bound, then each element with its length. */
static struct str array_encode(struct arena *a, const struct db_arg *arg)
{
	size_t total = 20;
	bool nulls = false;
	for (size_t i = 0; i < arg->count; i++) {
		int64_t size = element_size(arg, i);
		nulls |= size < 0;
		total += 4 + (size < 0 ? 0 : (size_t)size);
		if (total > ARG_BYTES_MAX)
			return STR_NONE;
	}
	uint8_t *start = arena_take(a, total), *p = start;
	put32(p, arg->count ? 1 : 0);
	put32(p + 4, nulls);
	put32(p + 8, pg_types[arg->type].element);
	if (arg->count == 0)
		return str_make(start, 12);
	put32(p + 12, (uint32_t)arg->count);
	put32(p + 16, 1);
	p += 20;
	for (size_t i = 0; i < arg->count; i++) {
		int64_t size = element_size(arg, i);
		put32(p, (uint32_t)size);
		p += 4;
		if (size < 0)
			continue;
		element_put(p, arg, i, (size_t)size);
		p += size;
	}
	return str_make(start, total);
}

static void wire_set(struct wire_args *w, size_t i, const void *p, size_t n)
{
	w->values[i] = p;
	w->lengths[i] = (int)n;
}

enum err args_encode(struct arena *a, struct wire_args *w, const struct db_arg *args, size_t n, struct error *e)
{
	if (n > DB_ARGS_MAX)
		return error_set(e, ERR_INTERNAL, "A statement has more than %d parameters.", DB_ARGS_MAX);
	w->n = (int)n;
	for (size_t i = 0; i < n; i++) {
		const struct db_arg *arg = &args[i];
		w->types[i] = pg_types[arg->type].oid;
		w->formats[i] = 1;
		wire_set(w, i, NULL, 0);
		if (arg->null || arg->type == DB_NULL)
			continue;
		switch (arg->type) {
		case DB_BOOL:
			w->scratch[i][0] = arg->i != 0;
			wire_set(w, i, w->scratch[i], 1);
			break;
		case DB_INT4:
			if (arg->i < INT32_MIN || arg->i > INT32_MAX)
				return error_set(e, ERR_INVALID, "A number is out of range.");
			put32(w->scratch[i], (uint32_t)(int32_t)arg->i);
			wire_set(w, i, w->scratch[i], 4);
			break;
		case DB_INT8:
			put64(w->scratch[i], (uint64_t)arg->i);
			wire_set(w, i, w->scratch[i], 8);
			break;
		case DB_TIME:
			put64(w->scratch[i], (uint64_t)pg_time_of(arg->i));
			wire_set(w, i, w->scratch[i], 8);
			break;
		case DB_UUID:
			memcpy(w->scratch[i], arg->u.b, 16);
			wire_set(w, i, w->scratch[i], 16);
			break;
		case DB_TEXT:
		case DB_BYTEA:
			if (arg->s.n > ARG_BYTES_MAX)
				return error_set(e, ERR_TOO_LARGE, "A value is too large to be stored.");
			wire_set(w, i, arg->s.p, arg->s.n);
			break;
		default: {
			struct str array = array_encode(a, arg);
			if (!array.p)
				return error_set(e, ERR_TOO_LARGE, "A list is too large to be stored.");
			wire_set(w, i, array.p, array.n);
		}
		}
	}
	return ERR_OK;
}

/* E'' strings are not needed: standard_conforming_strings is on, and NUL cannot occur in valid text. */
static void literal_text(struct buf *b, struct str s)
{
	buf_add_byte(b, '\'');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\'')
			buf_add_byte(b, '\'');
		buf_add_byte(b, s.p[i]);
	}
	buf_add_byte(b, '\'');
}

static bool literal_add(struct buf *b, struct arena *a, const struct db_arg *arg)
{
	if (arg->null || arg->type == DB_NULL) {
		buf_add_z(b, "NULL");
		return true;
	}
	switch (arg->type) {
	case DB_BOOL:
		buf_add_z(b, arg->i ? "true" : "false");
		return true;
	case DB_INT4:
	case DB_INT8:
		buf_addf(b, "(%lld)", (long long)arg->i);
		return true;
	case DB_TEXT:
		literal_text(b, arg->s);
		return str_is_utf8(arg->s);
	case DB_BYTEA:
		buf_addf(b, "'\\x%.*s'::bytea", STR_ARG(str_hex(a, arg->s.p, arg->s.n)));
		return true;
	case DB_UUID:
		buf_addf(b, "'%.*s'::uuid", STR_ARG(uuid_format(a, arg->u)));
		return true;
	case DB_TIME:
		if (arg->i == INSTANT_NEVER)
			buf_add_z(b, "'infinity'::timestamptz");
		else
			buf_addf(b, "'%.*s'::timestamptz", STR_ARG(clock_format(a, arg->i)));
		return true;
	default:
		return false;
	}
}

static void literal_release(void *b)
{
	buf_release(b);
}

enum err args_literal(struct arena *a, const char *sql, const struct db_arg *args, size_t n, const char **out, struct error *e)
{
	struct buf *b = ARENA_NEW(a, struct buf);
	buf_init(b, 8 * MIB);
	arena_defer(a, literal_release, b);
	bool ok = true;
	for (const char *p = sql; *p && ok;) {
		if (p[0] != '$' || p[1] < '1' || p[1] > '9') {
			buf_add_byte(b, *p++);
			continue;
		}
		size_t index = 0;
		for (p++; *p >= '0' && *p <= '9' && index <= DB_ARGS_MAX; p++)
			index = index * 10 + (size_t)(*p - '0');
		ok = index <= n && literal_add(b, a, &args[index - 1]);
	}
	/* The terminating NUL that libpq wants. */
	buf_add_byte(b, '\0');
	if (!ok || b->failed)
		return error_set(e, ERR_INTERNAL, "A COPY statement has a parameter that it cannot have.");
	*out = b->p;
	return ERR_OK;
}
