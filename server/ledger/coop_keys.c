/* The keys that co-ops sign with: seeds wrapped in the keys database, expanded ones cached for a while. */
#include "server/ledger/ledger.h"
#include "server/ledger/secret_cache.h"

#include <pthread.h>

#define CACHE_KEYS 256
#define SEED_SEALED (32 + SEAL_OVERHEAD)

SQL(key_insert,
	"INSERT INTO coop_key (coop_id, key_no, public_key, wrapped_seed, created_at) VALUES ($1, $5, $2, $3, $4) ON CONFLICT (coop_id, key_no) DO NOTHING");
SQL(key_by_no, "SELECT key_no, public_key, wrapped_seed FROM coop_key WHERE coop_id = $1 AND key_no = $2");
SQL(key_by_public, "SELECT key_no, public_key, wrapped_seed FROM coop_key WHERE coop_id = $1 AND public_key = $2");
SQL(key_in_force, "SELECT public_key FROM signing_key WHERE coop_id = $1 ORDER BY no DESC LIMIT 1");
SQL(head_open, "WITH first AS (INSERT INTO signing_key (coop_id, no, public_key) VALUES ($1, 1, $3)) INSERT INTO log_head (coop_id, origin, public_key) VALUES ($1, $2, $3)");

static const char *host = "commonhold.localhost";
static struct secret_cache *cache;
static pthread_once_t cache_once = PTHREAD_ONCE_INIT;

static void cache_start(void)
{
	cache = secret_cache_new(CACHE_KEYS, sizeof(struct sign_key));
}

void ledger_use_host(const char *name)
{
	host = name;
}

/* What a wrapped seed is bound to. */
static struct str seed_context(struct arena *a, struct uuid coop, int key_no)
{
	struct str id = uuid_format(a, coop);
	return str_fmt(a, "commonhold coop key %.*s %d", STR_ARG(id), key_no);
}

static enum err wrapping_key(struct call *c, const struct seal_key **out)
{
	if (!instance_keys())
		return fail(c, ERR_CONFIG, "The instance's keys are not loaded.");
	*out = instance_seal_key(instance_keys());
	return ERR_OK;
}

/* Opens the key of a row. The public key is compared, so that a swapped row is found out before anything is signed with it. */
static enum err key_open(struct call *c, struct uuid coop, const struct rows *rows, struct sign_key *out)
{
	uint8_t seed[32];
	const struct seal_key *wrap = NULL;
	struct str sealed = row_bytes(rows, 0, 2), public_key = row_bytes(rows, 0, 1);
	TRY(wrapping_key(c, &wrap));
	if (sealed.n != SEED_SEALED || !unseal_into(wrap, seed_context(c->arena, coop, (int)row_int(rows, 0, 0)), sealed, seed))
		return fail(c, ERR_CORRUPT, "The co-op's signing key cannot be opened with the instance's key.");
	sign_key_from_seed(out, seed);
	secret_wipe(seed, sizeof(seed));
	return public_key.n == 32 && memcmp(public_key.p, out->public_key, 32) == 0 ? ERR_OK : fail(c, ERR_CORRUPT, "The co-op's signing key is not the one it says.");
}

enum err coop_key_make(struct call *c, struct uuid coop, int no, struct sign_key *out)
{
	uint8_t seed[32];
	const struct seal_key *wrap = NULL;
	struct rows rows;
	TRY(wrapping_key(c, &wrap));
	random_bytes(seed, sizeof(seed));
	struct sign_key key;
	sign_key_from_seed(&key, seed);
	struct str sealed = seal(c->arena, wrap, seed_context(c->arena, coop, no), str_make(seed, sizeof(seed)));
	secret_wipe(seed, sizeof(seed));
	TRY(db_keys_query(c, key_insert, NULL, A_UUID(coop), A_BYTES(str_make(key.public_key, 32)), A_BYTES(sealed), A_TIME(clock_now()), A_INT(no)));
	secret_wipe(&key, sizeof(key));
	TRY(db_keys_query(c, key_by_no, &rows, A_UUID(coop), A_INT(no)));
	if (rows.n != 1)
		return fail(c, ERR_INTERNAL, "The signing key was not kept.");
	return key_open(c, coop, &rows, out);
}

enum err ledger_key_new(struct call *c, struct uuid coop, uint8_t public_key[32])
{
	struct sign_key key;
	TRY(log_enter(c, coop));
	TRY(coop_key_make(c, coop, 1, &key));
	memcpy(public_key, key.public_key, 32);
	secret_wipe(&key, sizeof(key));
	struct str name = coop_key_name(c->arena, public_key), origin = str_fmt(c->arena, "%s/coop/%.*s", host, STR_ARG(name));
	return db_exec(c, head_open, A_UUID(coop), A_STR(origin), A_BYTES(str_make(public_key, 32)));
}

enum err coop_key_secret(struct call *c, struct uuid coop, const uint8_t public_key[32], struct sign_key *out)
{
	struct rows rows;
	struct secret_name name = { .coop = coop };
	memcpy(name.member.b, public_key, sizeof(name.member.b));
	pthread_once(&cache_once, cache_start);
	if (cache && secret_cache_get(cache, &name, out) && memcmp(out->public_key, public_key, 32) == 0)
		return ERR_OK;
	TRY(db_keys_query(c, key_by_public, &rows, A_UUID(coop), A_BYTES(str_make(public_key, 32))));
	if (rows.n != 1)
		return fail(c, ERR_CORRUPT, "The signing key that is in force is not in the keys database.");
	TRY(key_open(c, coop, &rows, out));
	if (cache)
		secret_cache_put(cache, &name, out);
	return ERR_OK;
}

static enum err key_find(struct call *c, struct uuid coop, uint8_t public_key[32])
{
	struct rows rows;
	bool own = !db_is_open(c);
	if (own)
		TRY(db_begin(c, DB_READ));
	TRY(db_query(c, key_in_force, &rows, A_UUID(coop)));
	struct str key = rows.n ? row_bytes(&rows, 0, 0) : STR("");
	if (own)
		TRY(db_commit(c));
	if (key.n != 32)
		return fail(c, ERR_NOT_FOUND, "This co-op has no signing key.");
	memcpy(public_key, key.p, 32);
	return ERR_OK;
}

enum err ledger_key(struct call *c, struct uuid coop, struct sign_key *out)
{
	uint8_t public_key[32];
	TRY(key_find(c, coop, public_key));
	return coop_key_secret(c, coop, public_key, out);
}
