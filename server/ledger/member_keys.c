/* Members' content keys: made, fetched in batches, destroyed; wrapped in the keys database, cached unwrapped for a while. */
#include "commonhold/keyring.h"
#include "commonhold/db.h"
#include "server/ledger/secret_cache.h"

#include <pthread.h>

#define CACHE_KEYS 65536
#define KEY_SEALED (32 + SEAL_OVERHEAD)
/* Keys asked for in one statement. */
#define BATCH 4096

SQL(key_insert,
	"INSERT INTO member_key (coop_id, member_id, wrapped, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (coop_id, member_id) DO NOTHING");
SQL(keys_insert,
	"INSERT INTO member_key (coop_id, member_id, wrapped, created_at) SELECT $1, unnest($2::uuid[]), unnest($3::bytea[]), $4 ON CONFLICT (coop_id, member_id) DO NOTHING");
SQL(keys_read, "SELECT member_id, wrapped FROM member_key WHERE coop_id = $1 AND member_id = ANY ($2::uuid[])");
SQL(key_destroy,
	"INSERT INTO member_key AS k (coop_id, member_id, wrapped, created_at, destroyed_at) VALUES ($1, $2, NULL, $3, $3)"
	" ON CONFLICT (coop_id, member_id) DO UPDATE SET wrapped = NULL, destroyed_at = $3 WHERE k.wrapped IS NOT NULL");

static struct secret_cache *cache;
static pthread_once_t cache_once = PTHREAD_ONCE_INIT;

static void cache_start(void)
{
	cache = secret_cache_new(CACHE_KEYS, sizeof(struct seal_key));
}

static enum err keyring_open(struct call *c, const struct seal_key **wrap)
{
	pthread_once(&cache_once, cache_start);
	if (!instance_keys())
		return fail(c, ERR_CONFIG, "The instance's keys are not loaded.");
	if (!cache)
		return fail(c, ERR_NO_MEMORY, "There is no memory for keys.");
	*wrap = instance_seal_key(instance_keys());
	return ERR_OK;
}

/* What a wrapped key is bound to. */
struct context { char bytes[20 + 32]; };

static struct str key_context(struct context *x, struct uuid coop, struct uuid member)
{
	memcpy(x->bytes, "commonhold memberkey", 20);
	memcpy(x->bytes + 20, coop.b, 16);
	memcpy(x->bytes + 36, member.b, 16);
	return str_make(x->bytes, sizeof(x->bytes));
}

static enum err key_unwrap(struct call *c, const struct seal_key *wrap, struct uuid coop, struct uuid member, struct str wrapped, struct seal_key *out)
{
	struct context x;
	if (wrapped.n != KEY_SEALED || !unseal_into(wrap, key_context(&x, coop, member), wrapped, out->b))
		return fail(c, ERR_CORRUPT, "A member's key cannot be opened with the instance's key.");
	const struct secret_name name = { coop, member };
	secret_cache_put(cache, &name, out);
	return ERR_OK;
}

/* The position of a member in a list sorted by id. */
struct wanted { struct uuid member; size_t at; };

static int wanted_cmp(const void *a, const void *b)
{
	return uuid_cmp(((const struct wanted *)a)->member, ((const struct wanted *)b)->member);
}

/* Reads up to BATCH keys that are not cached; a member may be wanted more than once. */
static enum err keys_fetch(struct call *c, const struct seal_key *wrap, struct uuid coop, struct wanted *wanted, size_t n, struct seal_key *out, bool *present)
{
	struct rows rows;
	struct uuid *ids = ARENA_ARRAY(c->arena, n, struct uuid);
	qsort(wanted, n, sizeof(*wanted), wanted_cmp);
	for (size_t i = 0; i < n; i++)
		ids[i] = wanted[i].member;
	TRY(db_keys_query(c, keys_read, &rows, A_UUID(coop), A_UUIDS(ids, n)));
	for (int i = 0; i < rows.n; i++) {
		const struct wanted one = { .member = row_uuid(&rows, i, 0) };
		const struct wanted *found = bsearch(&one, wanted, n, sizeof(*wanted), wanted_cmp);
		if (!found || row_null(&rows, i, 1))
			continue;
		struct seal_key key;
		TRY(key_unwrap(c, wrap, coop, one.member, row_bytes(&rows, i, 1), &key));
		while (found > wanted && uuid_eq(found[-1].member, one.member))
			found--;
		for (; found < wanted + n && uuid_eq(found->member, one.member); found++) {
			out[found->at] = key;
			present[found->at] = true;
		}
		secret_wipe(&key, sizeof(key));
	}
	return ERR_OK;
}

static enum err keys_all_present(struct call *c, const bool *present, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!present[i])
			return fail(c, ERR_GONE, "A member's key is no longer there: what it sealed was erased.");
	return ERR_OK;
}

enum err keyring_get(struct call *c, struct uuid coop, const struct uuid *members, size_t n, struct seal_key *out, bool *present)
{
	const struct seal_key *wrap = NULL;
	struct arena_mark mark = arena_mark(c->arena);
	bool *there = present ? present : ARENA_ARRAY(c->arena, n ? n : 1, bool);
	struct wanted *wanted = ARENA_ARRAY(c->arena, n < BATCH ? n : BATCH, struct wanted);
	size_t missing = 0;
	TRY(keyring_open(c, &wrap));
	for (size_t i = 0; i < n; i++) {
		const struct secret_name name = { coop, members[i] };
		there[i] = secret_cache_get(cache, &name, &out[i]);
		if (!there[i])
			wanted[missing++] = (struct wanted){ members[i], i };
		if (missing == BATCH || (missing && i + 1 == n)) {
			TRY(keys_fetch(c, wrap, coop, wanted, missing, out, there));
			missing = 0;
		}
	}
	TRY(present ? ERR_OK : keys_all_present(c, there, n));
	arena_rewind(c->arena, mark);
	return ERR_OK;
}

enum err keyring_make(struct call *c, struct uuid coop, struct uuid member, struct seal_key *out)
{
	const struct seal_key *wrap = NULL;
	struct context x;
	bool there;
	TRY(keyring_get(c, coop, &member, 1, out, &there));
	if (there)
		return ERR_OK;
	TRY(keyring_open(c, &wrap));
	struct seal_key key;
	random_bytes(&key, sizeof(key));
	struct str sealed = seal(c->arena, wrap, key_context(&x, coop, member), str_make(key.b, sizeof(key.b)));
	secret_wipe(&key, sizeof(key));
	/* Read back what is there: another process may have made one at the same moment, and a destroyed one stays destroyed. */
	TRY(db_keys_query(c, key_insert, NULL, A_UUID(coop), A_UUID(member), A_BYTES(sealed), A_TIME(clock_now())));
	return keyring_get(c, coop, &member, 1, out, NULL);
}

enum err keyring_make_many(struct call *c, struct uuid coop, const struct uuid *members, size_t n)
{
	const struct seal_key *wrap = NULL;
	struct context x;
	TRY(keyring_open(c, &wrap));
	for (size_t from = 0; from < n; from += BATCH) {
		size_t some = n - from < BATCH ? n - from : BATCH;
		struct arena_mark mark = arena_mark(c->arena);
		struct str *wrapped = ARENA_ARRAY(c->arena, some, struct str);
		for (size_t i = 0; i < some; i++) {
			struct seal_key key;
			random_bytes(&key, sizeof(key));
			wrapped[i] = seal(c->arena, wrap, key_context(&x, coop, members[from + i]), str_make(key.b, sizeof(key.b)));
			secret_wipe(&key, sizeof(key));
		}
		TRY(db_keys_query(c, keys_insert, NULL, A_UUID(coop), A_UUIDS(members + from, some), A_BYTEAS(wrapped, some), A_TIME(clock_now())));
		arena_rewind(c->arena, mark);
	}
	return ERR_OK;
}

enum err keyring_destroy(struct call *c, struct uuid coop, struct uuid member)
{
	const struct seal_key *wrap = NULL;
	const struct secret_name name = { coop, member };
	TRY(keyring_open(c, &wrap));
	secret_cache_drop(cache, &name);
	TRY(db_keys_query(c, key_destroy, NULL, A_UUID(coop), A_UUID(member), A_TIME(clock_now())));
	/* once more: a reader may have put it back between the two */
	secret_cache_drop(cache, &name);
	return ERR_OK;
}

void keyring_forget(void)
{
	pthread_once(&cache_once, cache_start);
	if (cache)
		secret_cache_clear(cache);
}
