/* Chains of keys: what a hand-over takes, what a retired key may no longer do, and that nothing forged passes; rotation on the server, and releases across it. */
#include "world.h"

#include "commonhold/keychain.h"
#include "commonhold/ledger.h"
#include "commonhold/tombstone.h"
#include "commonhold/verify.h"
#include "server/release/release_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define T0 INT64_C(1767258000000000)
#define KEYS 6

static struct arena *arena;
static uint64_t random_state = 88172645463325252ULL;

static uint64_t rnd(uint64_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % below;
}

static int pure_setup(void **state)
{
	(void)state;
	arena = arena_new(256 * MIB);
	return crypto_start() ? 0 : -1;
}

static int pure_teardown(void **state)
{
	(void)state;
	arena_free(arena);
	return 0;
}

/* A chain of n keys; the i-th took over at T0 + i hours, at 10 * i leaves. */
static struct keychain chain_of(struct sign_key *keys, size_t n)
{
	struct error e = { 0 };
	sign_key_new(&keys[0]);
	struct keychain chain = keychain_single(arena, keys[0].public_key);
	for (size_t i = 1; i < n; i++) {
		sign_key_new(&keys[i]);
		assert_int_equal(keychain_extend(arena, &chain, &keys[i - 1], &keys[i], T0 + (instant)i * CLOCK_HOUR, (int64_t)i * 10, &chain, &e), ERR_OK);
	}
	return chain;
}

static enum err reads(struct str text, struct keychain *out)
{
	struct error e = { 0 };
	return keychain_read(arena, text, out, &e);
}

static void a_chain_reads_back_as_it_was_written(void **state)
{
	struct sign_key keys[KEYS];
	struct keychain chain = chain_of(keys, KEYS), again;
	(void)state;
	assert_int_equal(reads(chain.text, &again), ERR_OK);
	assert_true(str_eq(again.text, chain.text));
	assert_true(str_eq(again.name, coop_key_name(arena, keys[0].public_key)));
	assert_int_equal(again.n, KEYS);
	assert_memory_equal(keychain_current(&again), keys[KEYS - 1].public_key, 32);
	assert_true(keychain_continues(&again, &chain) && keychain_continues(&chain, &again));
	for (size_t i = 0; i < KEYS; i++)
		assert_int_equal(keychain_find(&again, keys[i].public_key), (int)i);
}

static void a_key_is_followed_only_by_one_that_both_have_signed_for(void **state)
{
	struct sign_key keys[2], stranger;
	struct error e = { 0 };
	(void)state;
	struct keychain chain = chain_of(keys, 1), out;
	sign_key_new(&stranger);
	sign_key_new(&keys[1]);
	assert_int_equal(keychain_extend(arena, &chain, &stranger, &keys[1], T0, 10, &out, &e), ERR_INVALID); /* not the key in force */
	assert_int_equal(keychain_extend(arena, &chain, &keys[0], &keys[0], T0, 10, &out, &e), ERR_INVALID); /* itself */
	assert_int_equal(keychain_extend(arena, &chain, &keys[0], &keys[1], T0, 10, &out, &e), ERR_OK);
	struct keychain back;
	assert_int_equal(keychain_extend(arena, &out, &keys[1], &keys[0], T0 + CLOCK_HOUR, 20, &back, &e), ERR_INVALID); /* an old key never comes back */
	assert_int_equal(keychain_extend(arena, &out, &keys[1], &stranger, T0, 20, &back, &e), ERR_INVALID); /* no time has passed */
	assert_int_equal(keychain_extend(arena, &out, &keys[1], &stranger, T0 + CLOCK_HOUR, 10, &back, &e), ERR_INVALID); /* the log has not grown */
	/* A statement that only the old key has signed. */
	struct str payload, half;
	const uint8_t(*one)[32] = (const uint8_t(*)[32])keys[0].public_key;
	assert_int_equal(dsse_verify(arena, out.keys[1].rotation, one, 1, 1, STR(KEY_ROTATION_TYPE), &payload, &e), ERR_OK);
	for (int who = 0; who < 2; who++) {
		half = dsse_sign(arena, &keys[who], 1, STR(KEY_ROTATION_TYPE), payload);
		struct str publics[] = { str_make(keys[0].public_key, 32), str_make(keys[1].public_key, 32) }, rotations[] = { STR_NONE, half };
		assert_int_equal(keychain_make(arena, publics, rotations, 2, &back, &e), ERR_CORRUPT);
		/* nor with the other's made up */
		struct dsse_signature both[2];
		for (int i = 0; i < 2; i++) {
			dsse_signature_make(arena, i == who ? &keys[i] : &stranger, STR(KEY_ROTATION_TYPE), payload, &both[i]);
			memcpy(both[i].public_key, keys[i].public_key, 32);
		}
		rotations[1] = dsse_write(arena, both, 2, STR(KEY_ROTATION_TYPE), payload);
		assert_int_equal(keychain_make(arena, publics, rotations, 2, &back, &e), ERR_CORRUPT);
	}
}

/* The document with one thing about it changed; absent when the change is none. */
static struct str mutate(const struct keychain *chain, const struct sign_key *keys)
{
	struct str publics[KEYS], rotations[KEYS];
	struct error e = { 0 };
	struct keychain out;
	size_t at = 1 + rnd(KEYS - 1), other = rnd(KEYS);
	for (size_t i = 0; i < KEYS; i++) {
		publics[i] = str_make(chain->keys[i].public_key, 32);
		rotations[i] = chain->keys[i].rotation;
	}
	switch (rnd(5)) {
	case 0: { /* a byte */
		char *copy = arena_alloc(arena, chain->text.n);
		memcpy(copy, chain->text.p, chain->text.n);
		size_t place = rnd(chain->text.n);
		copy[place] = (char)(copy[place] ^ (1 << rnd(7)));
		return str_make(copy, chain->text.n);
	}
	case 1: { /* a piece cut out */
		size_t from = rnd(chain->text.n), n = 1 + rnd(chain->text.n - from);
		return str_cat(arena, str_sub(chain->text, 0, from), str_sub(chain->text, from + n, chain->text.n));
	}
	case 2: { /* two hand-overs swapped, or one in the place of another */
		if (other == at || other == 0)
			return STR_NONE;
		rotations[at] = rotations[other];
		return keychain_make(arena, publics, rotations, KEYS, &out, &e) == ERR_OK ? out.text : STR("");
	}
	case 3: { /* a step signed by a thief who has the key before the last */
		struct sign_key thief;
		sign_key_new(&thief);
		publics[at] = str_make(thief.public_key, 32);
		struct keychain shorter = *chain;
		shorter.n = at;
		if (keychain_extend(arena, &shorter, &keys[at - 1], &thief, T0 + (instant)at * CLOCK_HOUR, (int64_t)at * 10, &out, &e) != ERR_OK)
			return STR("");
		rotations[at] = out.keys[at].rotation;
		/* what follows was signed by the key that was put away: the chain breaks there; a thief's chain on its own is no continuation of the one that was seen */
		if (at + 1 == KEYS)
			return keychain_continues(&out, chain) ? out.text : STR("");
		return keychain_make(arena, publics, rotations, KEYS, &out, &e) == ERR_OK ? out.text : STR("");
	}
	default: /* a key left out in the middle */
		if (at + 1 == KEYS)
			return STR_NONE;
		memmove(&publics[at], &publics[at + 1], (KEYS - at - 1) * sizeof(*publics));
		memmove(&rotations[at], &rotations[at + 1], (KEYS - at - 1) * sizeof(*rotations));
		return keychain_make(arena, publics, rotations, KEYS - 1, &out, &e) == ERR_OK ? out.text : STR("");
	}
}

static void no_forged_step_passes(void **state)
{
	const char *given = getenv("COMMONHOLD_TEST_SEED");
	struct sign_key keys[KEYS];
	(void)state;
	uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)clock_tick() | 1;
	print_message("seed %llu\n", (unsigned long long)seed);
	random_state = seed;
	struct keychain chain = chain_of(keys, KEYS), out;
	for (int i = 0; i < 400; i++) {
		struct arena_mark mark = arena_mark(arena);
		struct str forged = mutate(&chain, keys);
		bool same = str_eq(forged, chain.text);
		if (forged.p && !same)
			assert_true(reads(forged, &out) != ERR_OK);
		arena_rewind(arena, mark);
	}
}

static void a_shortened_chain_is_sound_but_no_continuation(void **state)
{
	struct sign_key keys[3];
	struct keychain chain = chain_of(keys, 3), shorter = chain, other, read;
	struct sign_key thief;
	struct error e = { 0 };
	(void)state;
	shorter.n = 2;
	assert_true(keychain_continues(&chain, &shorter));
	assert_false(keychain_continues(&shorter, &chain));
	sign_key_new(&thief);
	assert_int_equal(keychain_extend(arena, &shorter, &keys[1], &thief, T0 + 3 * CLOCK_HOUR, 30, &other, &e), ERR_OK);
	assert_int_equal(reads(other.text, &read), ERR_OK); /* nothing tells a thief's chain from the true one but having seen the true one */
	assert_false(keychain_continues(&other, &chain) || keychain_continues(&chain, &other));
}

static void a_retired_key_signs_for_no_longer_log_and_a_new_one_for_no_shorter(void **state)
{
	struct sign_key keys[3];
	struct keychain chain = chain_of(keys, 3);
	struct str origin = STR("commonhold.example/coop/x");
	struct sha256 root = sha256(STR("root")), read;
	(void)state;
	for (uint64_t size = 1; size < 40; size++)
		for (size_t k = 0; k < 3; k++) {
			struct error e = { 0 };
			uint64_t got;
			struct str note = checkpoint_sign(arena, origin, size, root, &keys[k]);
			bool due = k == (size <= 10 ? 0 : size <= 20 ? 1 : 2);
			assert_int_equal(keychain_checkpoint_verify(arena, &chain, note, origin, &got, &read, &e) == ERR_OK, due);
			assert_int_equal(keychain_signs_size(&chain, k, (int64_t)size), due);
		}
	assert_false(keychain_signs_size(&chain, 3, 5));
}

static void a_key_is_in_force_from_its_hand_over_to_the_next(void **state)
{
	struct sign_key keys[3];
	struct keychain chain = chain_of(keys, 3);
	(void)state;
	assert_true(keychain_in_force(&chain, 0, T0, T0));
	assert_true(keychain_in_force(&chain, 0, T0 + CLOCK_HOUR, T0 + CLOCK_HOUR)); /* the very instant belongs to both */
	assert_true(keychain_in_force(&chain, 1, T0 + CLOCK_HOUR, T0 + CLOCK_HOUR));
	assert_false(keychain_in_force(&chain, 0, T0 + CLOCK_HOUR + 1, T0 + CLOCK_HOUR + 1));
	assert_false(keychain_in_force(&chain, 1, T0, T0 + CLOCK_HOUR - 1));
	assert_true(keychain_in_force(&chain, 2, T0 + 100 * CLOCK_DAY, T0 + 100 * CLOCK_DAY));
	assert_false(keychain_in_force(&chain, 3, T0, T0));
}

static bool settles(const uint8_t *pin, const struct keychain *known, const struct keychain *carried, struct str name, const struct sign_key *claimed, bool *pinned)
{
	struct error e = { 0 };
	struct keychain chain;
	size_t which;
	const struct keychain_trust trust = { pin, known };
	return keychain_settle(arena, &trust, carried, name, claimed->public_key, &chain, &which, pinned, &e) == ERR_OK;
}

static void trust_in_one_key_leads_along_the_chain_and_nowhere_else(void **state)
{
	struct sign_key keys[3], strange[2];
	struct keychain chain = chain_of(keys, 3), stranger = chain_of(strange, 2), shorter;
	bool pinned;
	(void)state;
	shorter = keychain_single(arena, keys[0].public_key);
	struct str name = chain.name;
	assert_true(settles(keys[0].public_key, NULL, &chain, name, &keys[2], &pinned) && pinned);
	assert_true(settles(keys[2].public_key, NULL, &chain, name, &keys[1], &pinned) && pinned); /* made before */
	assert_true(settles(NULL, NULL, &chain, name, &keys[2], &pinned) && !pinned);
	assert_true(settles(NULL, &chain, &shorter, name, &keys[0], &pinned) && pinned);
	assert_true(settles(NULL, &shorter, &chain, name, &keys[2], &pinned));
	assert_true(settles(keys[1].public_key, NULL, NULL, name, &keys[1], &pinned)); /* of before there were chains */
	assert_false(settles(keys[0].public_key, NULL, NULL, name, &keys[1], &pinned));
	assert_false(settles(NULL, NULL, NULL, name, &keys[1], &pinned));
	assert_false(settles(strange[0].public_key, NULL, &chain, name, &keys[2], &pinned));
	assert_false(settles(keys[0].public_key, NULL, &chain, name, &strange[1], &pinned));
	assert_false(settles(keys[0].public_key, NULL, &stranger, name, &strange[1], &pinned));
	assert_false(settles(NULL, NULL, &stranger, name, &strange[1], &pinned)); /* another co-op's chain */
	assert_false(settles(NULL, &chain, &stranger, name, &keys[2], &pinned));
}

static void a_fingerprint_is_typed_in_full_or_not_at_all(void **state)
{
	struct sign_key key;
	struct str shown;
	(void)state;
	sign_key_new(&key);
	shown = keychain_fingerprint(arena, key.public_key);
	assert_int_equal(shown.n, 79);
	assert_true(keychain_fingerprint_is(shown, key.public_key));
	assert_true(keychain_fingerprint_is(key_id(arena, key.public_key), key.public_key));
	assert_false(keychain_fingerprint_is(str_sub(shown, 0, 74), key.public_key));
	assert_false(keychain_fingerprint_is(str_cat(arena, shown, STR("0")), key.public_key));
	assert_false(keychain_fingerprint_is(STR(""), key.public_key));
	char upper[128];
	snprintf(upper, sizeof(upper), "%.*s", STR_ARG(shown));
	for (char *p = upper; *p; p++)
		*p = *p == ' ' ? '-' : (char)(*p >= 'a' && *p <= 'f' ? *p - 'a' + 'A' : *p);
	assert_true(keychain_fingerprint_is(str_of(upper), key.public_key));
	upper[0] = upper[0] == '0' ? '1' : '0';
	assert_false(keychain_fingerprint_is(str_of(upper), key.public_key));
}

static void two_keys_share_a_secret_that_depends_on_its_label(void **state)
{
	struct sign_key a, b, c;
	uint8_t one[32], two[32], zero[32] = { 0 };
	(void)state;
	sign_key_new(&a);
	sign_key_new(&b);
	sign_key_new(&c);
	assert_true(pairwise_secret(&a, b.public_key, STR("x"), one) && pairwise_secret(&b, a.public_key, STR("x"), two));
	assert_memory_equal(one, two, 32);
	assert_true(pairwise_secret(&b, a.public_key, STR("y"), two));
	assert_memory_not_equal(one, two, 32);
	assert_true(pairwise_secret(&c, a.public_key, STR("x"), two));
	assert_memory_not_equal(one, two, 32);
	zero[0] = 1; /* the neutral element */
	assert_false(pairwise_secret(&a, zero, STR("x"), two));
}

/* ---- on the server ---- */

static struct keychain server_chain(struct call *c, struct uuid coop)
{
	struct keychain chain;
	assert_ok(c, db_begin_in(c, coop, DB_READ));
	assert_ok(c, keychain_of(c, coop, &chain));
	assert_ok(c, db_commit(c));
	return chain;
}

static void a_rotation_is_a_leaf_and_divides_what_each_key_signs(void **state)
{
	struct world w;
	struct keychain chain, after;
	struct str before_note, note, origin;
	struct sha256 root;
	struct error e = { 0 };
	struct sign_key key;
	uint64_t size, before;
	(void)state;
	world_make(&w, NULL);
	struct call *c = w.system;
	chain = server_chain(c, w.coop);
	assert_int_equal(chain.n, 1);
	assert_ok(c, ledger_checkpoint(c, w.coop, &before_note));
	clock_set(WORLD_START + CLOCK_HOUR);
	assert_ok(c, coop_key_rotate(c, w.coop, &after));
	assert_int_equal(after.n, 2);
	assert_true(keychain_continues(&after, &chain));
	struct keychain stored = server_chain(c, w.coop);
	assert_true(str_eq(stored.text, after.text));
	assert_ok(c, ledger_key(c, w.coop, &key));
	assert_memory_equal(key.public_key, keychain_current(&after), 32);
	assert_ok(c, db_begin_in(c, w.coop, DB_READ));
	assert_ok(c, ledger_origin(c, w.coop, &origin));
	assert_ok(c, db_commit(c));
	assert_ok(c, ledger_checkpoint(c, w.coop, &note));
	assert_int_equal(keychain_checkpoint_verify(c->arena, &after, before_note, origin, &before, &root, &e), ERR_OK);
	assert_int_equal(keychain_checkpoint_verify(c->arena, &after, note, origin, &size, &root, &e), ERR_OK);
	assert_int_equal(size, before + 1);
	assert_int_equal(after.keys[1].size, before);
	assert_int_equal(fixture_int("SELECT idx FROM log_leaf WHERE type = 'key.rotated'"), before);
	assert_int_equal(checkpoint_verify(c->arena, note, origin, keychain_first(&after), &size, &root, &e), ERR_INVALID);
	/* The other admins are told, once each. */
	assert_int_equal(fixture_int("SELECT count(*) FROM notice WHERE kind = 'key.rotated'"), 3);
	/* Everybody else sees the key in force, and the co-op keeps its name. */
	struct coop coop;
	assert_ok(c, coop_read(c, w.coop, &coop));
	assert_memory_equal(coop.public_key, key.public_key, 32);
	assert_true(str_eq(coop.key_name, after.name));
}

static void only_admins_hand_a_key_over(void **state)
{
	struct world w;
	struct keychain chain;
	(void)state;
	world_make(&w, NULL);
	assert_err(by(&w, 5), ERR_FORBIDDEN, coop_key_rotate(by(&w, 5), w.coop, &chain));
	assert_ok(by(&w, 1), coop_key_rotate(by(&w, 1), w.coop, &chain));
	assert_int_equal(fixture_int("SELECT count(*) FROM signing_key"), 2);
}

static void a_rotation_that_is_rolled_back_leaves_the_old_key_in_force(void **state)
{
	struct world w;
	struct keychain chain, again;
	struct sign_key key;
	(void)state;
	world_make(&w, NULL);
	struct call *c = w.system;
	struct keychain first = server_chain(c, w.coop);
	clock_set(WORLD_START + CLOCK_HOUR);
	assert_ok(c, db_begin_in(c, w.coop, DB_WRITE));
	assert_ok(c, keychain_rotate_in(c, w.coop, &chain));
	db_rollback(c);
	assert_ok(c, ledger_key(c, w.coop, &key));
	assert_memory_equal(key.public_key, keychain_first(&first), 32);
	clock_set(WORLD_START + 2 * CLOCK_HOUR);
	assert_ok(c, coop_key_rotate(c, w.coop, &again)); /* with the key that was made then */
	assert_memory_equal(keychain_current(&again), keychain_current(&chain), 32);
}

static void keys_are_neither_changed_nor_removed(void **state)
{
	static const char *const attempts[] = { "UPDATE signing_key SET public_key = decode(repeat('00', 32), 'hex')", "DELETE FROM signing_key" };
	struct world w;
	(void)state;
	world_make(&w, NULL);
	struct call *c = w.system;
	for (size_t i = 0; i < CH_LEN(attempts); i++) {
		assert_ok(c, db_begin_in(c, w.coop, DB_WRITE));
		assert_true(db_script(c, str_of(attempts[i])) != ERR_OK);
		db_rollback(c);
		error_clear(&c->error);
	}
}

static void the_instance_changes_its_key_as_well(void **state)
{
	struct world w;
	struct keychain chain, second;
	struct sign_key key;
	struct uuid nil = { { 0 } };
	(void)state;
	world_make(&w, NULL);
	struct call *c = w.system;
	assert_ok(c, instance_key(c, &key));
	assert_memory_equal(key.public_key, instance_sign_key(instance_keys())->public_key, 32);
	clock_set(WORLD_START + CLOCK_HOUR);
	assert_ok(c, keychain_rotate(c, nil, &chain));
	clock_set(WORLD_START + 2 * CLOCK_HOUR);
	assert_ok(c, keychain_rotate(c, nil, &second));
	assert_true(second.n == 3 && keychain_continues(&second, &chain));
	assert_ok(c, instance_key(c, &key));
	assert_memory_equal(key.public_key, keychain_current(&second), 32);
	assert_int_equal(fixture_int("SELECT count(*) FROM log_leaf WHERE type = 'key.rotated'"), 0);
}

static void the_secret_of_two_coops_outlives_rotations(void **state)
{
	struct world w;
	struct sign_key other;
	struct keychain chain;
	uint8_t one[32], two[32], theirs[32];
	(void)state;
	world_make(&w, NULL);
	struct call *c = w.system;
	sign_key_new(&other);
	assert_ok(c, pairwise_key(c, w.coop, other.public_key, STR("suppression"), one));
	clock_set(WORLD_START + CLOCK_HOUR);
	assert_ok(c, coop_key_rotate(c, w.coop, &chain));
	assert_ok(c, pairwise_key(c, w.coop, other.public_key, STR("suppression"), two));
	assert_memory_equal(one, two, 32);
	assert_true(pairwise_secret(&other, keychain_first(&chain), STR("suppression"), theirs));
	assert_memory_equal(one, theirs, 32);
}

SQL(seeds_gone, "SELECT count(*) FROM coop_key WHERE wrapped_seed IS NULL AND key_no > $1");

static int64_t gone_after(struct call *c, int no)
{
	struct rows r;
	assert_ok(c, db_keys_query(c, seeds_gone, &r, A_INT(no)));
	return row_int(&r, 0, 0);
}

/* The one in force signs, the first is what secrets of two are made of; those between are of no use to anybody but a thief, once no backup brings their day back. */
static void the_secret_halves_of_keys_between_go_when_no_backup_needs_them(void **state)
{
	struct world w;
	struct sign_key key, other;
	struct keychain chain;
	uint8_t one[32];
	(void)state;
	world_make(&w, NULL);
	struct call *c = w.system;
	for (int i = 1; i <= 3; i++) {
		clock_set(WORLD_START + i * CLOCK_DAY);
		assert_ok(c, coop_key_rotate(c, w.coop, &chain));
	}
	assert_ok(c, ledger_keys_forget(c, w.coop, WORLD_START + 2 * CLOCK_DAY));
	assert_int_equal(gone_after(c, 0), 0); /* the second was in force until then */
	assert_ok(c, ledger_keys_forget(c, w.coop, WORLD_START + 2 * CLOCK_DAY + 1));
	assert_int_equal(gone_after(c, 1), 1);
	assert_ok(c, ledger_keys_forget(c, w.coop, WORLD_START + 10 * CLOCK_DAY));
	assert_int_equal(gone_after(c, 1), 2);
	assert_ok(c, db_begin_in(c, w.coop, DB_READ));
	assert_ok(c, ledger_key(c, w.coop, &key));
	assert_ok(c, db_commit(c));
	assert_memory_equal(key.public_key, keychain_current(&chain), 32);
	sign_key_new(&other);
	assert_ok(c, pairwise_key(c, w.coop, other.public_key, STR("suppression"), one));
	clock_set(WORLD_START + 11 * CLOCK_DAY);
	assert_ok(c, coop_key_rotate(c, w.coop, &chain));
}

static bool verifies(struct call *c, struct str dir, const uint8_t *pin, const struct keychain *known, const char **failed)
{
	struct verify_options options = { .public_key = pin, .keys = known };
	struct verify_result result;
	struct error e = { 0 };
	assert_int_equal(verify_release(c->arena, str_z(c->arena, dir), &options, &result, &e), ERR_OK);
	*failed = NULL;
	for (const struct check *k = result.checks; k; k = k->next)
		if (!k->ok && !*failed)
			*failed = k->id;
	return result.ok;
}

static void releases_verify_across_a_rotation_and_a_retired_key_releases_no_more(void **state)
{
	struct world w;
	struct keychain chain, short_lived, foreign;
	struct sign_key first, strange;
	const char *failed;
	struct error e = { 0 };
	(void)state;
	world_make(&w, NULL);
	struct call *c = w.system;
	for (int m = 0; m < WORLD_MEMBERS; m++) {
		world_say(&w, m, "allow");
		world_contribute(&w, m, "a text that is there");
	}
	struct release r = world_release(&w);
	world_until(&w, r.cutoff_at);
	assert_ok(c, ledger_key(c, w.coop, &first));
	assert_ok(c, coop_key_rotate(c, w.coop, &chain)); /* between freezing and publishing */
	world_publish(&w, r.id);
	struct str dir = release_dir(c->arena, w.coop, r.id);
	const uint8_t *new_key = keychain_current(&chain);
	assert_true(verifies(c, dir, NULL, NULL, &failed));
	assert_true(verifies(c, dir, first.public_key, NULL, &failed)); /* the chain in keys.json leads from the pinned key */
	assert_true(verifies(c, dir, new_key, NULL, &failed));
	assert_true(verifies(c, dir, NULL, &chain, &failed));
	sign_key_new(&strange);
	assert_false(verifies(c, dir, strange.public_key, NULL, &failed));
	assert_string_equal(failed, "key");
	/* Somebody who knows of a later hand-over refuses what the key before signs about a longer log. */
	struct sign_key second;
	assert_ok(c, ledger_key(c, w.coop, &second));
	assert_int_equal(keychain_extend(c->arena, &chain, &second, &strange, chain.keys[1].from + 1, chain.keys[1].size + 1, &short_lived, &e), ERR_OK);
	assert_false(verifies(c, dir, NULL, &short_lived, &failed));
	assert_string_equal(failed, "log");
	/* A chain of another co-op, or one that was rewritten, is no way in. */
	foreign = keychain_single(c->arena, strange.public_key);
	assert_false(verifies(c, dir, NULL, &foreign, &failed));
	assert_string_equal(failed, "key");
}

static void tombstones_and_their_head_are_believed_by_the_key_of_their_time(void **state)
{
	struct world w;
	struct keychain chain;
	struct str head, origin, line;
	struct tombstone_head read;
	struct tombstone_chain at;
	struct error e = { 0 };
	struct buf b;
	int64_t last;
	(void)state;
	world_make(&w, NULL);
	struct call *c = w.system;
	for (int i = 0; i < 2; i++) {
		struct tombstone_draft d = { .item = uuid_new(), .kind = TOMBSTONE_ERASE, .reason_code = STR("member_request"), .effective = WORLD_START, .purge_by = WORLD_START + 30 * CLOCK_DAY,
			.until = INSTANT_NONE };
		clock_set(WORLD_START + (1 + 3 * i) * CLOCK_HOUR);
		assert_ok(c, db_begin_in(c, w.coop, DB_WRITE));
		assert_ok(c, tombstone_append(c, w.coop, &d, 1, NULL));
		assert_ok(c, db_commit(c));
		clock_set(WORLD_START + (2 + 3 * i) * CLOCK_HOUR);
		assert_ok(c, coop_key_rotate(c, w.coop, &chain));
	}
	assert_ok(c, tombstone_head(c, w.coop, &head, NULL, NULL));
	buf_init(&b, MIB);
	assert_ok(c, db_begin_in(c, w.coop, DB_READ));
	assert_ok(c, tombstone_lines(c, w.coop, 0, INT64_MAX, 10, &b, &last));
	assert_ok(c, ledger_origin(c, w.coop, &origin));
	assert_ok(c, db_commit(c));
	struct str rest = buf_take(c->arena, &b);
	rest = str_sub(rest, 0, rest.n - 1);
	at = tombstone_chain_start(origin);
	while (str_split(&rest, '\n', &line))
		assert_int_equal(tombstone_take_signed(c->arena, &at, line, &chain, NULL, &e), ERR_OK);
	assert_int_equal(at.upto, 1);
	assert_int_equal(tombstone_head_read_signed(c->arena, head, &chain, origin, &read, &e), ERR_OK);
	/* The same head, signed with the key that was retired. */
	struct keychain before = chain;
	before.n = 2;
	assert_int_equal(tombstone_head_read_signed(c->arena, head, &before, origin, &read, &e), ERR_INVALID);
}

#define pure(f) cmocka_unit_test_setup_teardown(f, pure_setup, pure_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		pure(a_chain_reads_back_as_it_was_written),
		pure(a_key_is_followed_only_by_one_that_both_have_signed_for),
		pure(no_forged_step_passes),
		pure(a_shortened_chain_is_sound_but_no_continuation),
		pure(a_retired_key_signs_for_no_longer_log_and_a_new_one_for_no_shorter),
		pure(a_key_is_in_force_from_its_hand_over_to_the_next),
		pure(trust_in_one_key_leads_along_the_chain_and_nowhere_else),
		pure(a_fingerprint_is_typed_in_full_or_not_at_all),
		pure(two_keys_share_a_secret_that_depends_on_its_label),
		fixture_test(a_rotation_is_a_leaf_and_divides_what_each_key_signs),
		fixture_test(only_admins_hand_a_key_over),
		fixture_test(a_rotation_that_is_rolled_back_leaves_the_old_key_in_force),
		fixture_test(keys_are_neither_changed_nor_removed),
		fixture_test(the_instance_changes_its_key_as_well),
		fixture_test(the_secret_of_two_coops_outlives_rotations),
		fixture_test(the_secret_halves_of_keys_between_go_when_no_backup_needs_them),
		fixture_test(releases_verify_across_a_rotation_and_a_retired_key_releases_no_more),
		fixture_test(tombstones_and_their_head_are_believed_by_the_key_of_their_time),
	};
	return fixture_run(tests, CH_LEN(tests));
}
