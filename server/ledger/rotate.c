/* Handing a co-op's or the instance's signing over to a new key. The content database says which key is in force, in the transaction that puts the hand-over into the log; the secret half is made
 * before, in the keys database, and does nothing until then. */
#include "commonhold/json.h"
#include "commonhold/keychain.h"
#include "server/ledger/ledger.h"

SQL(keys_read, "SELECT public_key, rotation FROM signing_key WHERE coop_id = $1 ORDER BY no");
SQL(key_add, "INSERT INTO signing_key (coop_id, no, public_key, at, size, rotation) VALUES ($1, $2, $3, $4, $5, $6)");
/* Between the first, which what co-ops keep in pairs is derived from, and the one in force. */
SQL(keys_retired, "SELECT k.public_key FROM signing_key k JOIN signing_key next ON next.coop_id = k.coop_id AND next.no = k.no + 1 WHERE k.coop_id = $1 AND k.no > 1 AND next.at < $2 ORDER BY k.no");
SQL(seed_destroy, "UPDATE coop_key SET wrapped_seed = NULL, retired_at = $3 WHERE coop_id = $1 AND public_key = $2 AND wrapped_seed IS NOT NULL");
SQL(key_first_add, "INSERT INTO signing_key (coop_id, no, public_key) VALUES ($1, 1, $2) ON CONFLICT (coop_id, no) DO NOTHING");
SQL(head_rekey, "UPDATE log_head SET public_key = $2 WHERE coop_id = $1");

static const struct db_constraint constraints[] = {
	{ "signing_key_pkey", ERR_CONFLICT, NULL, "Somebody else changed the key at the same moment." },
	DB_CONSTRAINTS_END
};

/* The instance's first key is a file: its row is made by the first rotation, and must fit the file from then on. */
static enum err instance_chain(struct call *c, struct keychain *chain)
{
	if (!instance_keys())
		return fail(c, ERR_CONFIG, "The instance's keys are not loaded.");
	const uint8_t *first = instance_sign_key(instance_keys())->public_key;
	if (chain->n == 0)
		*chain = keychain_single(c->arena, first);
	if (memcmp(keychain_first(chain), first, 32) != 0)
		return error_hint(&c->error, ERR_CONFIG, "Restore the folder of keys that belongs to this database.", "The file \"sign\" is not the key that the instance began with.");
	return ERR_OK;
}

enum err keychain_of(struct call *c, struct uuid coop, struct keychain *out)
{
	struct rows rows;
	TRY(db_query(c, keys_read, &rows, A_UUID(coop)));
	*out = (struct keychain){ 0 };
	if (rows.n == 0 && !uuid_is_nil(coop))
		return fail(c, ERR_NOT_FOUND, "This co-op has no signing key.");
	struct str *keys = ARENA_ARRAY(c->arena, (size_t)rows.n + 1, struct str), *rotations = ARENA_ARRAY(c->arena, (size_t)rows.n + 1, struct str);
	for (int i = 0; i < rows.n; i++) {
		keys[i] = row_bytes(&rows, i, 0);
		rotations[i] = row_str(&rows, i, 1);
	}
	if (rows.n)
		TRY(keychain_make(c->arena, keys, rotations, (size_t)rows.n, out, &c->error));
	return uuid_is_nil(coop) ? instance_chain(c, out) : ERR_OK;
}

static enum err secret_of(struct call *c, struct uuid coop, const struct keychain *chain, const uint8_t public_key[32], struct sign_key *out)
{
	bool file = uuid_is_nil(coop) && memcmp(keychain_first(chain), public_key, 32) == 0;
	if (!file)
		return coop_key_secret(c, coop, public_key, out);
	*out = *instance_sign_key(instance_keys());
	return ERR_OK;
}

/* "key.rotated": what an auditor of the log sees of it; the envelope itself is in keys.json. */
static enum err leaf_append(struct call *c, struct uuid coop, const struct keychain *chain)
{
	const struct keychain_key *last = &chain->keys[chain->n - 1];
	struct str new_key = str_hex(c->arena, last->public_key, 32), old = str_hex(c->arena, last[-1].public_key, 32), rotation = sha256_hex(c->arena, sha256(last->rotation));
	struct str data = str_fmt(c->arena, "{\"new\":\"%.*s\",\"no\":%zu,\"old\":\"%.*s\",\"rotation\":\"%.*s\"}", STR_ARG(new_key), chain->n, STR_ARG(old), STR_ARG(rotation));
	return ledger_append(c, coop, &(struct leaf){ .type = "key.rotated", .data = data }, NULL);
}

static enum err chain_store(struct call *c, struct uuid coop, const struct keychain *chain)
{
	const struct keychain_key *last = &chain->keys[chain->n - 1];
	struct str key = str_make(last->public_key, 32);
	if (uuid_is_nil(coop) && chain->n == 2)
		TRY(db_exec(c, key_first_add, A_UUID(coop), A_BYTES(str_make(keychain_first(chain), 32))));
	TRY(db_exec(c, key_add, A_UUID(coop), A_INT((int)chain->n), A_BYTES(key), A_TIME(last->from), A_I64(last->size), A_STR(last->rotation)));
	if (uuid_is_nil(coop))
		return ERR_OK;
	TRY(db_exec(c, head_rekey, A_UUID(coop), A_BYTES(key)));
	return leaf_append(c, coop, chain);
}

enum err keychain_rotate_in(struct call *c, struct uuid coop, struct keychain *out)
{
	struct log_head head = { .size = 0 };
	struct keychain chain;
	struct sign_key old, next;
	db_constraints(constraints);
	if (!uuid_is_nil(coop))
		TRY(log_head_read(c, coop, true, &head));
	TRY(keychain_of(c, coop, &chain));
	if (chain.n >= KEYCHAIN_KEYS_MAX)
		return fail(c, ERR_REFUSED, "There have been %d keys already: that is as many as there may be.", KEYCHAIN_KEYS_MAX);
	TRY(secret_of(c, coop, &chain, keychain_current(&chain), &old));
	TRY(coop_key_make(c, coop, (int)chain.n + 1, &next));
	enum err e = keychain_extend(c->arena, &chain, &old, &next, clock_now(), (int64_t)head.size, out, &c->error);
	secret_wipe(&old, sizeof(old));
	secret_wipe(&next, sizeof(next));
	TRY(e);
	return chain_store(c, coop, out);
}

enum err keychain_rotate(struct call *c, struct uuid coop, struct keychain *out)
{
	TRY(uuid_is_nil(coop) ? db_begin(c, DB_WRITE) : db_begin_in(c, coop, DB_WRITE));
	TRY(keychain_rotate_in(c, coop, out));
	return db_commit(c);
}

enum err instance_key(struct call *c, struct sign_key *out)
{
	struct keychain chain;
	struct uuid nil = { { 0 } };
	bool own = !db_is_open(c);
	if (own)
		TRY(db_begin(c, DB_READ));
	TRY(keychain_of(c, nil, &chain));
	if (own)
		TRY(db_commit(c));
	return secret_of(c, nil, &chain, keychain_current(&chain), out);
}

enum err pairwise_key(struct call *c, struct uuid coop, const uint8_t theirs[32], struct str label, uint8_t out[32])
{
	struct keychain chain;
	struct sign_key own;
	bool alone = !db_is_open(c);
	if (alone)
		TRY(db_begin(c, DB_READ));
	TRY(keychain_of(c, coop, &chain));
	if (alone)
		TRY(db_commit(c));
	TRY(coop_key_secret(c, coop, keychain_first(&chain), &own));
	bool ok = pairwise_secret(&own, theirs, label, out);
	secret_wipe(&own, sizeof(own));
	return ok ? ERR_OK : fail(c, ERR_INVALID, "The other co-op's key cannot be used for a shared secret.");
}

enum err ledger_keys_forget(struct call *c, struct uuid coop, instant before)
{
	struct rows r;
	if (uuid_is_nil(coop))
		TRY(db_begin(c, DB_READ));
	else
		TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_finish(c, keys_retired, &r, A_UUID(coop), A_TIME(before)));
	for (int i = 0; i < r.n; i++)
		TRY(db_keys_query(c, seed_destroy, NULL, A_UUID(coop), A_BYTES(row_bytes(&r, i, 0)), A_TIME(clock_now())));
	return ERR_OK;
}
