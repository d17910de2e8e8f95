/* keychain.h - who signs for a co-op or an instance, now and before: its keys, each handed to the next by a statement that both have signed.
 *
 * A co-op is named after its first key (coop_key_name), and that name never changes. A rotation is a DSSE envelope of KEY_ROTATION_TYPE, signed by the old and by the new key, over the
 * canonical JSON {"at","coop","new","no","old","size","v":1}: at is the instant, no the number of the new key, old and new are 64 hex digits, size is how many leaves the co-op's log had
 * (0 for an instance). It is the log's next leaf, "key.rotated". Whoever knows the name, or any one of the keys, follows the chain to the key that signs today.
 *
 * keys.json, the document, is canonical JSON:
 *
 *   {"keys":[{"key":HEX,"no":1},{"key":HEX,"no":2,"rotation":{the envelope}}],"name":16 letters and digits,"v":1}
 *
 * A retired key counts for what was made while it was in force and for nothing else: where the thing says how many leaves the log had (checkpoint, status, head of the feed), that decides,
 * to the leaf; where it only gives an instant, that does.
 *
 * The first half is pure (no database) and serves `commonhold verify` and auditors too. It must never believe a document for having been served by the right host: only names and pins lead.
 */
#ifndef COMMONHOLD_KEYCHAIN_H
#define COMMONHOLD_KEYCHAIN_H

#include "call.h"
#include "crypto.h"
#include "json.h"

#define KEY_ROTATION_TYPE "application/vnd.commonhold.key-rotation+json"
#define INSTANCE_PAYLOAD_TYPE "application/vnd.commonhold.instance+json" /* of what /.well-known/commonhold has signed */
#define KEYCHAIN_KEYS_MAX 100            /* of one chain: 99 rotations */
#define KEYCHAIN_TEXT_MAX (256 * 1024)   /* of keys.json */

struct keychain_key {
	uint8_t public_key[32];
	instant from;               /* in force since; INSTANT_NONE for the first: always */
	int64_t size;               /* leaves that the log had when it took over: every larger log is this key's; -1 for the first */
	struct str rotation;        /* the envelope by which it took over, canonical; absent for the first */
};
struct keychain {
	struct str name;            /* 16 characters, of the first key */
	struct keychain_key *keys;  /* oldest first; the last one is in force */
	size_t n;                   /* at least 1 */
	struct str text;            /* keys.json, without a newline at the end */
};

/* ---- anywhere, without a database ---- */

/* Reads keys.json and checks every step: the name is the first key's, each rotation is signed by both keys and follows the one before in number, instant and size. */
CH_CHECK enum err keychain_read(struct arena *a, struct str text, struct keychain *out, struct error *e);
/* The same of a document that is part of a larger one, such as the member "keys" of a receipt. */
CH_CHECK enum err keychain_read_json(struct arena *a, const struct json *value, struct keychain *out, struct error *e);
/* The chain of a single key that was never rotated. */
struct keychain keychain_single(struct arena *a, const uint8_t public_key[32]);
/* Adds a key: signs the hand-over with both. `size`: leaves of the log. ERR_REFUSED when there are as many as there may be, ERR_INVALID where it would not follow. */
CH_CHECK enum err keychain_extend(struct arena *a, const struct keychain *chain, const struct sign_key *old, const struct sign_key *next, instant at, int64_t size, struct keychain *out,
	struct error *e);
/* The chain of rows: keys with the envelopes that made them (absent for the first); checked like a document. */
CH_CHECK enum err keychain_make(struct arena *a, const struct str *public_keys, const struct str *rotations, size_t n, struct keychain *out, struct error *e);
/* The key in force. */
static inline const uint8_t *keychain_current(const struct keychain *c) { return c->keys[c->n - 1].public_key; }
static inline const uint8_t *keychain_first(const struct keychain *c) { return c->keys[0].public_key; }
/* Its position; -1 when it is none of the chain. */
ptrdiff_t keychain_find(const struct keychain *c, const uint8_t public_key[32]);
/* Whether `longer` begins with all of `shorter`, or is the same. */
bool keychain_continues(const struct keychain *longer, const struct keychain *shorter);
/* Whether the i-th key was in force at some time between two instants, both included. Pass the same twice where the instant is exact. */
bool keychain_in_force(const struct keychain *c, size_t i, instant from, instant to);
/* Whether the i-th key signs for a log of so many leaves. */
bool keychain_signs_size(const struct keychain *c, size_t i, int64_t size);
/* Verifies an envelope by any key of the chain and says which; whether that key was in force for what it says is the caller's to ask, by one of the two above. */
CH_CHECK enum err keychain_dsse_verify(struct arena *a, const struct keychain *c, struct str envelope, struct str payload_type, struct str *payload, size_t *which, struct error *e);
/* The same for bare signatures. */
CH_CHECK bool keychain_signed(const struct keychain *c, struct str message, const uint8_t signature[64], size_t *which);
/* A checkpoint, by the key that signs for a log of its size: a retired key's word about a larger log is refused. */
CH_CHECK enum err keychain_checkpoint_verify(struct arena *a, const struct keychain *c, struct str note, struct str origin, uint64_t *size, struct sha256 *root, struct error *e);
/* What a reader trusts: one key, or a whole chain that they got elsewhere, or both, or (neither) the name alone. */
struct keychain_trust {
	const uint8_t *pin;           /* 32 bytes; NULL: none given */
	const struct keychain *known; /* NULL: none given */
};
/* Whether what claims to be signed by `claimed`, for the co-op called `name` (absent: any), may be: the claimed key and the pinned one must both be in one chain, which is the longer of the known one and of the
 * one that the thing carries (NULL: none), and neither may contradict the other. Without trust the chain must be the name's. Gives the chain, and which of its keys it is: whether that one was in force is still
 * to be asked. *pinned: the reader's trust decided. ERR_INVALID with what goes on from "The manifest …". */
CH_CHECK enum err keychain_settle(struct arena *a, const struct keychain_trust *trust, const struct keychain *carried, struct str name, const uint8_t claimed[32], struct keychain *out, size_t *which,
	bool *pinned, struct error *e);
/* For people to compare: the key's id (hex SHA-256 of it) in groups of four. */
struct str keychain_fingerprint(struct arena *a, const uint8_t public_key[32]);
/* Whether somebody typed exactly that: spaces, hyphens, colons and case do not count, every digit does. */
CH_CHECK bool keychain_fingerprint_is(struct str typed, const uint8_t public_key[32]);

/* ---- on the server ---- */

/* The co-op's chain as it stands; the nil id means the instance's. Inside. */
CH_CHECK enum err keychain_of(struct call *c, struct uuid coop, struct keychain *out);
/* Makes a new key and hands over to it, in a transaction of its own: leaf "key.rotated" {"new","no","old","rotation":digest of the envelope}. The nil id means the instance's (no leaf).
 * Whoever calls this has asked whether the actor may. */
CH_CHECK enum err keychain_rotate(struct call *c, struct uuid coop, struct keychain *out);
/* The same inside: the co-op's log is locked from here until the transaction ends. */
CH_CHECK enum err keychain_rotate_in(struct call *c, struct uuid coop, struct keychain *out);
/* The instance's key in force. Inside, or in a transaction of its own. */
CH_CHECK enum err instance_key(struct call *c, struct sign_key *out);
/* A secret that this co-op and another share and nobody else can compute: X25519 of the first keys of both (converted from Ed25519), then HKDF-SHA-256 with `label` and both public keys. The
 * first keys, so that both sides always mean the same pair, whatever was rotated since. `theirs` is keychain_first() of the other's chain. */
CH_CHECK enum err pairwise_key(struct call *c, struct uuid coop, const uint8_t theirs[32], struct str label, uint8_t out[32]);
/* Destroys the secret halves of keys that were handed over before `before`: all between the first, which pairwise secrets and pseudonyms are derived from for as long as the co-op is there, and the one
 * in force. Nothing is read or signed by them; they are only kept for as long as a backup could bring the day back on which one was in force, and the keys database's own backups (days) after that.
 * The nil id: the instance's. Idempotent, daily; transactions of its own. */
CH_CHECK enum err ledger_keys_forget(struct call *c, struct uuid coop, instant before);

#endif
