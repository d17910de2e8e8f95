#include "server/coop/charter.h"

#include "commonhold/job.h"

#include "server/coop/coop_internal.h"

#include <pthread.h>

/* Charters in the database, and the parsed ones that are kept: a version never changes, so it is parsed once. Entries are counted: a call that uses one holds it until its
 * arena is reset, however soon the cache lets it go. */

#define CACHE_ENTRIES 32
#define CACHE_ENTRY_MAX (1 * MIB) /* parsed size of a charter that is worth keeping; larger ones are parsed for each call */

SQL(charter_newest, "SELECT version, adopted_at, notice_min FROM charter WHERE coop_id = $1 ORDER BY version DESC LIMIT 1");
SQL(charter_exists, "SELECT version, adopted_at, notice_min FROM charter WHERE coop_id = $1 AND version = $2");
SQL(charter_document, "SELECT document FROM charter WHERE coop_id = $1 AND version = $2");
SQL(charter_insert,
	"INSERT INTO charter (coop_id, version, document, digest, name, domain, region, languages, admission, ballot_id, adopted_at, notice_min) "
	"SELECT $1, (SELECT coalesce(max(version), 0) + 1 FROM charter WHERE coop_id = $1), $2, $3, $4, $5, $6, $7, $8, $9, commonhold_now(), $10 RETURNING version");
SQL(charter_versions, "SELECT version, digest, ballot_id, adopted_at FROM charter WHERE coop_id = $1 ORDER BY version DESC LIMIT 1000");

struct entry {
	struct arena *arena;     /* everything the charter points to */
	struct charter charter;  /* parsed; adopted_at and the defaults' instant filled in */
	int users;               /* calls that hold it, and one for the cache */
	uint64_t used;           /* tick of the last use */
};

static pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry *cache[CACHE_ENTRIES];
static uint64_t cache_tick;

static void entry_drop_locked(struct entry *e)
{
	if (--e->users > 0)
		return;
	arena_free(e->arena);
	free(e);
}

static void entry_release(void *arg)
{
	pthread_mutex_lock(&cache_lock);
	entry_drop_locked(arg);
	pthread_mutex_unlock(&cache_lock);
}

/* Found, and held for the call; NULL when it is not there. */
static struct entry *cache_find(struct uuid coop, int version)
{
	struct entry *found = NULL;
	pthread_mutex_lock(&cache_lock);
	for (size_t i = 0; i < CACHE_ENTRIES && !found; i++)
		if (cache[i] && cache[i]->charter.version == version && uuid_eq(cache[i]->charter.coop, coop))
			found = cache[i];
	if (found) {
		found->users++;
		found->used = ++cache_tick;
	}
	pthread_mutex_unlock(&cache_lock);
	return found;
}

/* Takes the place of the one least recently used. */
static void cache_keep(struct entry *e)
{
	pthread_mutex_lock(&cache_lock);
	size_t at = 0;
	for (size_t i = 1; i < CACHE_ENTRIES && cache[at]; i++)
		if (!cache[i] || cache[i]->used < cache[at]->used)
			at = i;
	if (cache[at])
		entry_drop_locked(cache[at]);
	cache[at] = e;
	e->users++;
	e->used = ++cache_tick;
	pthread_mutex_unlock(&cache_lock);
}

static void stamp(struct charter *charter, struct uuid coop, int version, instant adopted_at, int notice_min)
{
	charter->coop = coop;
	charter->notice_min = notice_min;
	charter->version = version;
	charter->adopted_at = adopted_at;
	for (size_t i = 0; i < charter->n_defaults; i++)
		charter->defaults[i].declared_at = adopted_at;
}

static enum err parse_guarded(struct arena *a, struct str document, struct charter *out, struct error *e)
{
	jmp_buf full;
	if (setjmp(full)) {
		arena_guard(a, NULL);
		return error_set(e, ERR_NO_MEMORY, "A charter needs more memory than it may have.");
	}
	arena_guard(a, &full);
	enum err err = charter_parse(a, str_copy(a, document), out, e);
	arena_guard(a, NULL);
	return err;
}

static enum err entry_make(struct call *c, struct uuid coop, int version, instant adopted_at, int notice_min, struct str document, struct entry **out)
{
	struct entry *e = calloc(1, sizeof *e);
	if (!e)
		return fail(c, ERR_NO_MEMORY, "Memory is short.");
	e->arena = arena_new(LIMIT_REQUEST_ARENA);
	if (!e->arena) {
		free(e);
		return fail(c, ERR_NO_MEMORY, "Memory is short.");
	}
	enum err err = parse_guarded(e->arena, document, &e->charter, &c->error);
	if (err != ERR_OK) {
		/* Its faults lie in the arena that goes: say it without them. */
		arena_free(e->arena);
		free(e);
		error_clear(&c->error);
		return fail(c, err == ERR_NO_MEMORY ? err : ERR_CORRUPT, "Version %d of a charter cannot be read.", version);
	}
	stamp(&e->charter, coop, version, adopted_at, notice_min);
	e->users = 1;
	if (arena_used(e->arena) <= CACHE_ENTRY_MAX)
		cache_keep(e);
	*out = e;
	return ERR_OK;
}

static enum err charter_load(struct call *c, struct uuid coop, int version, instant adopted_at, int notice_min, struct charter *out)
{
	struct entry *e = cache_find(coop, version);
	if (!e) {
		struct rows r;
		TRY(db_one(c, charter_document, &r, A_UUID(coop), A_INT(version)));
		TRY(entry_make(c, coop, version, adopted_at, notice_min, row_str(&r, 0, 0), &e));
	}
	arena_defer(c->arena, entry_release, e);
	*out = e->charter;
	return ERR_OK;
}

enum err charter_current(struct call *c, struct uuid coop, struct charter *out)
{
	struct rows r;
	TRY(db_query(c, charter_newest, &r, A_UUID(coop)));
	if (r.n != 1)
		return fail(c, ERR_NOT_FOUND, "There is no such co-op.");
	return charter_load(c, coop, (int)row_int(&r, 0, 0), row_time(&r, 0, 1), (int)row_int(&r, 0, 2), out);
}

enum err charter_version(struct call *c, struct uuid coop, int version, struct charter *out)
{
	struct rows r;
	TRY(db_query(c, charter_exists, &r, A_UUID(coop), A_INT(version)));
	if (r.n != 1)
		return fail(c, ERR_NOT_FOUND, "The charter has no such version.");
	return charter_load(c, coop, version, row_time(&r, 0, 1), (int)row_int(&r, 0, 2), out);
}

enum err charter_view(struct call *c, struct uuid coop, int version, struct charter *out)
{
	TRY(db_begin_in(c, coop, DB_READ));
	if (version)
		TRY(charter_version(c, coop, version, out));
	else
		TRY(charter_current(c, coop, out));
	return db_commit(c);
}

enum err charter_list(struct call *c, struct uuid coop, struct charter_row **out, size_t *n)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_finish(c, charter_versions, &r, A_UUID(coop)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct charter_row);
	for (int i = 0; i < r.n; i++) {
		(*out)[i] = (struct charter_row){ .version = (int)row_int(&r, i, 0), .digest = sha256_load(row_bytes(&r, i, 1)), .ballot = row_uuid(&r, i, 2), .adopted_at = row_time(&r, i, 3) };
	}
	return ERR_OK;
}

/* The oldest words that consents may be to, once this version follows that one: its own where it widens what members agreed to. */
static enum err notice_after(struct call *c, const struct charter *before, const struct charter *after, int version, int *out)
{
	struct charter_term *terms;
	size_t n;
	TRY(charter_compare(c->arena, before, after, &terms, &n, &c->error));
	*out = before->notice_min;
	for (size_t i = 0; i < n; i++)
		if (terms[i].widens)
			*out = version;
	return ERR_OK;
}

enum err charter_as_adopted(struct call *c, const struct charter *now, struct str document, struct charter *out)
{
	int notice_min;
	TRY(charter_parse(c->arena, document, out, &c->error));
	TRY(notice_after(c, now, out, now->version + 1, &notice_min));
	stamp(out, now->coop, now->version + 1, clock_now(), notice_min);
	return ERR_OK;
}

enum err charter_adopt(struct call *c, struct uuid coop, struct str document, struct uuid ballot, struct uuid by, int *version)
{
	struct charter charter, before;
	struct rows r;
	int notice_min = 0;
	TRY(charter_parse(c->arena, document, &charter, &c->error));
	if (!uuid_is_nil(ballot)) {
		TRY(charter_current(c, coop, &before));
		TRY(notice_after(c, &before, &charter, before.version + 1, &notice_min));
	}
	TRY(db_one(c, charter_insert, &r, A_UUID(coop), A_STR(document), A_BYTES(str_make(charter.digest.b, 32)), A_STR(charter.name), A_STR(charter.domain),
		A_STR(charter.region), A_TEXTS(charter.languages, charter.n_languages), A_STR(charter.admission), A_UUID_OR_NULL(ballot), A_INT(notice_min)));
	*version = (int)row_int(&r, 0, 0);

	struct buf b;
	buf_init(&b, 4 * KIB);
	struct json_writer w;
	jw_init(&w, &b);
	jw_object(&w);
	if (!uuid_is_nil(ballot))
		jw_kstr(&w, "ballot", uuid_format(c->arena, ballot));
	jw_kstr(&w, "sha256", sha256_hex(c->arena, charter.digest));
	jw_kint(&w, "version", *version);
	jw_end_object(&w);
	struct str data = buf_take(c->arena, &b);
	TRY(log_act(c, coop, "charter.adopted", data, by));
	/* So for agreements with other co-ops, which may be looser than the new charter. */
	if (!uuid_is_nil(ballot)) {
		struct str id = uuid_format(c->arena, coop);
		TRY(job_queue(c, "charter.changed", id, str_fmt(c->arena, "{\"coop\":\"%.*s\"}", STR_ARG(id)), clock_now()));
	}
	/* A new cadence needs its next release scheduled: the business of a module above this one, so by way of the queue. */
	return job_queue(c, "release.schedule", uuid_format(c->arena, coop), STR_NONE, clock_now());
}
