/* The only file that knows SQLSTATEs. It turns what PostgreSQL says into what a person understands: never the server's DETAIL, which quotes data, and its
 * primary message only where a programmer is to mend something. */
#include "store.h"

#include <pthread.h>

#define TABLES_MAX 32 /* modules with constraints of their own */

static const struct db_constraint *tables[TABLES_MAX];
static int table_count;
static pthread_mutex_t tables_lock = PTHREAD_MUTEX_INITIALIZER;

void db_constraints(const struct db_constraint *table)
{
	pthread_mutex_lock(&tables_lock);
	bool known = false;
	for (int i = 0; i < table_count; i++)
		known |= tables[i] == table;
	if (!known && table_count < TABLES_MAX)
		tables[table_count++] = table;
	pthread_mutex_unlock(&tables_lock);
}

static const struct db_constraint *constraint_find(const char *name)
{
	const struct db_constraint *found = NULL;
	pthread_mutex_lock(&tables_lock);
	for (int i = 0; i < table_count && !found; i++)
		for (const struct db_constraint *row = tables[i]; row->name && !found; row++)
			if (strcmp(row->name, name) == 0)
				found = row;
	pthread_mutex_unlock(&tables_lock);
	return found;
}

/* What a state, or a class of states when `state` has two characters, means. First match wins. `message` NULL: the code's own text. */
static const struct { const char *state; enum err code; const char *message; bool for_programmers; } states[] = {
	{ "23505", ERR_EXISTS, NULL, false },
	{ "23503", ERR_CONFLICT, "Something that this refers to is not there, or something still refers to it.", false },
	{ "23514", ERR_REFUSED, NULL, false },
	{ "23502", ERR_INVALID, "A required value is missing.", false },
	{ "23P01", ERR_CONFLICT, NULL, false },
	{ "22021", ERR_BAD_UTF8, NULL, false },
	{ "22P05", ERR_BAD_UTF8, NULL, false },
	{ "22001", ERR_INVALID, "A text is too long.", false },
	{ "22003", ERR_INVALID, "A number is out of range.", false },
	{ "22008", ERR_INVALID, "A date or time is out of range.", false },
	{ "22P03", ERR_INTERNAL, NULL, true },
	{ "22", ERR_INVALID, "A value is not of the right form.", false },
	{ "40", ERR_RETRY, NULL, false },
	{ "55P03", ERR_RETRY, NULL, false },
	{ "57014", ERR_UNAVAILABLE, "The database took too long to answer. Try again shortly.", false },
	{ "57", ERR_UNAVAILABLE, NULL, false },
	{ "53", ERR_UNAVAILABLE, "The database is short of a resource. Try again shortly.", true },
	{ "08", ERR_UNAVAILABLE, NULL, false },
	{ "25P03", ERR_UNAVAILABLE, "The transaction stood idle for too long. Nothing was changed. Try again.", false },
	{ "42501", ERR_FORBIDDEN, NULL, true },
	{ "CH001", ERR_REFUSED, "This is a permanent record. It cannot be changed or removed.", false },
	{ "XX001", ERR_CORRUPT, NULL, true },
	{ "XX002", ERR_CORRUPT, NULL, true },
	{ "", ERR_DB, NULL, true },
};

static size_t state_row(const char *state)
{
	size_t i = 0;
	while (strncmp(states[i].state, state, strlen(states[i].state)) != 0)
		i++;
	return i;
}

bool db_error_is_loss(const PGconn *pg, const PGresult *result)
{
	if (!pg || PQstatus(pg) == CONNECTION_BAD)
		return true;
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	if (!state)
		return true;
	return strncmp(state, "08", 2) == 0 || strncmp(state, "57P0", 4) == 0 || strcmp(state, "25P03") == 0;
}

/* "cached plan must not change result type" shares its state with everything that is not supported; where it was raised tells it apart, in any language. */
bool db_error_is_stale(const PGresult *result)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE), *function = PQresultErrorField(result, PG_DIAG_SOURCE_FUNCTION);
	return state && (strcmp(state, "26000") == 0 || (strcmp(state, "0A000") == 0 && function && strcmp(function, "RevalidateCachedQuery") == 0));
}

/* "vote_only_while_ballot_is_open" → "Vote only while ballot is open." */
static void sentence_of(char out[160], const char *name)
{
	size_t n = 0;
	for (; n < 150 && name[n]; n++)
		out[n] = name[n] == '_' ? ' ' : name[n];
	if (n > 0 && out[0] >= 'a' && out[0] <= 'z')
		out[0] = (char)(out[0] - 'a' + 'A');
	out[n] = '.';
	out[n + 1] = '\0';
}

static enum err constraint_say(struct error *e, struct arena *a, enum err code, const char *name)
{
	const struct db_constraint *row = constraint_find(name);
	char sentence[160];
	sentence_of(sentence, name);
	code = error_set(e, row ? row->code : code, "%s", row ? row->message : sentence);
	snprintf(e->reason, sizeof(e->reason), "%s", name);
	if (row && row->pointer && a)
		error_fault(e, a, str_of(row->pointer), "%s", row->message);
	return code;
}

static void detail_say(struct error *e, const char *state, const char *statement, const PGresult *result, bool for_programmers)
{
	const char *primary = for_programmers ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	snprintf(e->detail, sizeof(e->detail), "SQLSTATE %s%s%s%s%s", state, statement ? " in " : "", statement ? statement : "", primary ? ": " : "",
		primary ? primary : "");
}

enum err db_error_say(struct error *e, struct arena *a, const PGconn *pg, const PGresult *result, const char *statement)
{
	const char *state = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	if (!state) {
		enum err code = error_set(e, ERR_UNAVAILABLE, "The connection to the database was lost. Nothing was changed. Try again.");
		if (pg && PQerrorMessage(pg)[0])
			snprintf(e->detail, sizeof(e->detail), "%.*s", (int)strcspn(PQerrorMessage(pg), "\n"), PQerrorMessage(pg));
		return code;
	}
	size_t row = state_row(db_error_is_stale(result) ? "40" : state);
	const char *constraint = PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME);
	enum err code;
	if (constraint && (strncmp(state, "23", 2) == 0 || strncmp(state, "CH", 2) == 0))
		code = constraint_say(e, a, states[row].code == ERR_DB ? ERR_REFUSED : states[row].code, constraint);
	else if (strcmp(state, "CH002") == 0)
		code = error_set(e, ERR_REFUSED, "%s", PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
	else
		code = error_set(e, states[row].code, "%s", states[row].message ? states[row].message : err_text(states[row].code));
	detail_say(e, state, statement, result, states[row].for_programmers);
	return code;
}
