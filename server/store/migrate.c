#include "store.h"
#include "commonhold/assets.h"
#include "commonhold/crypto.h"
#include "commonhold/log.h"

#define MIGRATIONS_MAX 256 /* of one series; far more than a release makes */

/* One file of the series. */
struct migration {
	int64_t number;        /* of its name, "0001_store.sql" */
	struct str name;       /* without folder */
	struct str sql;
	struct sha256 checksum;
};

struct series {
	const char *folder;    /* "sql/" or "sql/keys/" */
	struct migration at[MIGRATIONS_MAX]; /* by number */
	int count;
	bool malformed;        /* a name without a number, or too many */
};

/* The lock of both series: "commonhold" in ASCII, cut to eight bytes. */
#define MIGRATION_LOCK "7165065870166025072"

static void series_add(void *arg, const struct asset *asset)
{
	struct series *s = arg;
	struct str name = str_sub(str_of(asset->path), strlen(s->folder), SIZE_MAX);
	if (str_index(name, '/') >= 0 || !str_ends(name, ".sql"))
		return;
	int64_t number;
	if (s->count == MIGRATIONS_MAX || !str_to_i64(str_sub(name, 0, 4), 1, 9999, &number) || (s->count && s->at[s->count - 1].number >= number)) {
		s->malformed = true;
		return;
	}
	s->at[s->count++] = (struct migration){ number, name, asset->content, sha256(asset->content) };
}

/* What the database says it has. */
static const struct migration *series_find(const struct series *s, int64_t number)
{
	for (int i = 0; i < s->count; i++)
		if (s->at[i].number == number)
			return &s->at[i];
	return NULL;
}

static enum err simple(PGconn *pg, const char *sql, const char *what, struct error *e)
{
	PGresult *r = PQexec(pg, sql);
	ExecStatusType status = PQresultStatus(r);
	enum err code = ERR_OK;
	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		code = db_error_say(e, NULL, pg, r, what);
	PQclear(r);
	return code;
}

static const char table_sql[] =
	"SET timezone = 'UTC'; SET search_path = public; SET client_min_messages = warning; SET statement_timeout = 0; SET lock_timeout = 0;"
	"SELECT pg_advisory_lock(" MIGRATION_LOCK ");"
	"CREATE TABLE IF NOT EXISTS commonhold_migration ("
	" number integer PRIMARY KEY, name text NOT NULL, checksum bytea NOT NULL CONSTRAINT migration_checksum_is_sha256 CHECK (length(checksum) = 32),"
	" applied_at timestamptz NOT NULL);"
	"COMMENT ON TABLE commonhold_migration IS 'Which migrations this database has, with the SHA-256 of their text';"
	"COMMENT ON COLUMN commonhold_migration.number IS 'Of the file';"
	"COMMENT ON COLUMN commonhold_migration.name IS 'Of the file';"
	"COMMENT ON COLUMN commonhold_migration.checksum IS 'SHA-256 of the file as it was applied';"
	"COMMENT ON COLUMN commonhold_migration.applied_at IS 'When it was applied'";

/* Checks one applied migration against the program's. */
static enum err applied_check(const struct series *s, int64_t number, struct str name, struct str checksum, struct error *e)
{
	const struct migration *m = series_find(s, number);
	if (!m)
		return error_hint(e, ERR_CONFIG, "Start the version of commonhold that made it, or a newer one.",
			"The database has migration %.*s, which this program does not know: it is newer than the program.", STR_ARG(name));
	if (!str_eq(checksum, str_make(m->checksum.b, sizeof(m->checksum.b))))
		return error_hint(e, ERR_CONFIG, "Migrations are never edited once they are applied; use the program that the database was made with.",
			"Migration %.*s was applied with another text than this program has.", STR_ARG(m->name));
	return ERR_OK;
}

static enum err applied_load(PGconn *pg, const struct series *s, bool applied[MIGRATIONS_MAX], struct error *e)
{
	PGresult *r = PQexecParams(pg, "SELECT number, name, checksum FROM commonhold_migration ORDER BY number", 0, NULL, NULL, NULL, NULL, 1);
	enum err code = PQresultStatus(r) == PGRES_TUPLES_OK ? ERR_OK : db_error_say(e, NULL, pg, r, "migration list");
	for (int i = 0; code == ERR_OK && i < PQntuples(r); i++) {
		int64_t number = (int32_t)get32(PQgetvalue(r, i, 0));
		struct str name = str_make(PQgetvalue(r, i, 1), (size_t)PQgetlength(r, i, 1));
		struct str checksum = str_make(PQgetvalue(r, i, 2), (size_t)PQgetlength(r, i, 2));
		code = applied_check(s, number, name, checksum, e);
		if (code == ERR_OK)
			applied[series_find(s, number) - s->at] = true;
	}
	PQclear(r);
	return code;
}

static enum err migration_record(PGconn *pg, const struct migration *m, struct error *e)
{
	uint8_t number[4], now[8];
	put32(number, (uint32_t)m->number);
	put64(now, (uint64_t)pg_time_of(clock_now()));
	const char *values[] = { (const char *)number, m->name.p, (const char *)m->checksum.b, (const char *)now };
	const int lengths[] = { 4, (int)m->name.n, 32, 8 }, formats[] = { 1, 1, 1, 1 };
	const Oid types[] = { 23, 25, 17, 1184 };
	PGresult *r = PQexecParams(pg, "INSERT INTO commonhold_migration (number, name, checksum, applied_at) VALUES ($1, $2, $3, $4)", 4, types, values, lengths,
		formats, 1);
	enum err code = PQresultStatus(r) == PGRES_COMMAND_OK ? ERR_OK : db_error_say(e, NULL, pg, r, "migration record");
	PQclear(r);
	return code;
}

/* Where in the file an error stands, for whoever writes migrations. */
static enum err migration_blame(const struct migration *m, const PGresult *r, PGconn *pg, struct error *e)
{
	enum err code = db_error_say(e, NULL, pg, r, NULL);
	const char *position = PQresultErrorField(r, PG_DIAG_STATEMENT_POSITION), *primary = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);
	int64_t at = 0, line = 1;
	if (position && str_to_i64(str_of(position), 1, INT64_MAX, &at))
		for (size_t i = 0; i + 1 < (size_t)at && i < m->sql.n; i++)
			line += m->sql.p[i] == '\n';
	const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
	snprintf(e->detail, sizeof(e->detail), "%.*s line %lld: %s (SQLSTATE %s)", STR_ARG(m->name), (long long)line, primary ? primary : "connection lost",
		state ? state : "none");
	snprintf(e->message, sizeof(e->message), "The migration %.*s failed. Nothing of it was kept.", STR_ARG(m->name));
	return code;
}

static enum err migration_text(PGconn *pg, const struct migration *m, struct error *e)
{
	char *text = strndup(m->sql.p, m->sql.n);
	if (!text)
		return error_set(e, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	PGresult *r = PQexec(pg, text);
	ExecStatusType status = PQresultStatus(r);
	enum err code = ERR_OK;
	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY)
		code = migration_blame(m, r, pg, e);
	PQclear(r);
	free(text);
	return code;
}

static enum err migration_apply(PGconn *pg, const struct migration *m, struct error *e)
{
	TRY(simple(pg, "BEGIN", "migration begin", e));
	TRY(migration_text(pg, m, e));
	TRY(migration_record(pg, m, e));
	TRY(simple(pg, "COMMIT", "migration commit", e));
	log_event(LOG_INFO, "db.migrated", LOG_S("migration", m->name));
	return ERR_OK;
}

static enum err series_apply(PGconn *pg, const struct series *s, int *count, struct error *e)
{
	bool applied[MIGRATIONS_MAX] = { false };
	TRY(simple(pg, table_sql, "migration table", e));
	TRY(applied_load(pg, s, applied, e));
	for (int i = 0; i < s->count; i++) {
		if (applied[i])
			continue;
		TRY(migration_apply(pg, &s->at[i], e));
		++*count;
	}
	return ERR_OK;
}

enum err db_migrate(struct db_pool *p, bool keys, int *applied, struct error *e)
{
	struct series s = { .folder = keys ? "sql/keys/" : "sql/" };
	int count = 0;
	asset_each(s.folder, series_add, &s);
	if (s.malformed)
		return error_set(e, ERR_INTERNAL, "The migrations in %s are not numbered one by one.", s.folder);
	PGconn *pg = pool_owner_connection(p, e);
	if (!pg)
		return e->code;
	/* Closing the connection gives the advisory lock back and undoes what was not committed. */
	enum err code = series_apply(pg, &s, &count, e);
	PQfinish(pg);
	if (count)
		pool_renew(p);
	if (applied)
		*applied = count;
	return code;
}
