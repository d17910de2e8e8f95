/* ledger.h - a co-op's audit log: an append-only Merkle log (RFC 6962 hashing) in C2SP tlog-tiles form with signed checkpoints.
 *
 * Every governance act is a leaf: canonical JSON {"at","by","data","t"} that holds ids, digests and decisions, never content or personal
 * data; what must stay deletable enters as a salted commitment. Leaves are appended inside the transaction of the act that they record, in
 * the order of a per-co-op lock, so that there is no act without its leaf and no leaf without its act.
 *
 * The first half is pure (no database) and serves `commonhold verify` and auditors too.
 */
#ifndef COMMONHOLD_LEDGER_H
#define COMMONHOLD_LEDGER_H

#include "call.h"
#include "crypto.h"
#include "json.h"

/* RFC 6962: H(0x00 || leaf), H(0x01 || left || right). */
struct sha256 merkle_leaf(struct str leaf);
struct sha256 merkle_node(struct sha256 left, struct sha256 right);
struct sha256 merkle_root(const struct sha256 *leaf_hashes, size_t n);
/* The same for leaves that stream by: constant memory. Zero-initialise; add leaf hashes in order; the root may be asked for at any time. */
struct merkle_builder {
	struct sha256 stack[64]; /* roots of the perfect subtrees that make up the leaves so far, largest first */
	unsigned depth;          /* how many there are: the one bits of size */
	uint64_t size;           /* leaves added */
};
void merkle_add(struct merkle_builder *b, struct sha256 leaf_hash);
struct sha256 merkle_builder_root(const struct merkle_builder *b);
/* Proofs (RFC 6962 section 2.1). `hash_at` gives the hash of a perfect subtree: level 0 is leaves; index counts subtrees of that level. */
typedef enum err (*merkle_hash_fn)(void *arg, unsigned level, uint64_t index, struct sha256 *out);
CH_CHECK enum err merkle_inclusion(struct arena *a, uint64_t index, uint64_t size, merkle_hash_fn hash_at, void *arg, struct sha256 **path, size_t *n);
CH_CHECK enum err merkle_consistency(struct arena *a, uint64_t old_size, uint64_t size, merkle_hash_fn hash_at, void *arg, struct sha256 **path, size_t *n);
CH_CHECK bool merkle_inclusion_ok(struct sha256 leaf, uint64_t index, uint64_t size, const struct sha256 *path, size_t n, struct sha256 root);
CH_CHECK bool merkle_consistency_ok(uint64_t old_size, struct sha256 old_root, uint64_t size, struct sha256 root, const struct sha256 *path, size_t n);

/* C2SP signed note and checkpoint. The name (origin) is the instance's host and the co-op: "commonhold.example/coop/<coop name>". */
struct str checkpoint_sign(struct arena *a, struct str origin, uint64_t size, struct sha256 root, const struct sign_key *k);
CH_CHECK enum err checkpoint_verify(struct arena *a, struct str note, struct str origin, const uint8_t public_key[32], uint64_t *size, struct sha256 *root, struct error *e);
/* The verifier key in C2SP note form: "<origin>+<key id hex>+<base64>". */
struct str note_verifier_key(struct arena *a, struct str origin, const uint8_t public_key[32]);
/* Reads such a key. */
CH_CHECK bool note_verifier_parse(struct arena *a, struct str key, struct str *origin, uint8_t public_key[32]);
/* c2sp.org/tlog-proof@v1: the leaf's entry as extra data (absent: none), index, path, checkpoint. */
struct tlog_proof {
	struct str entry;          /* bytes of the leaf; unauthenticated until its hash is led to the checkpoint's root */
	uint64_t index;
	const struct sha256 *path; /* from the leaf's sibling upwards */
	size_t n;                  /* hashes in path */
	struct str checkpoint;     /* the signed note, verbatim */
};
struct str tlog_proof_write(struct arena *a, const struct tlog_proof *p);
CH_CHECK enum err tlog_proof_read(struct arena *a, struct str text, struct tlog_proof *out, struct error *e);
/* Tile addresses of C2SP tlog-tiles (what follows "tile/"): "0/x001/234.p/7", "entries/000". */
struct tile_path { bool entries; unsigned level; uint64_t index; unsigned width /* 256 when full */; };
CH_CHECK bool tile_path_parse(struct str path, struct tile_path *out);
struct str tile_path_format(struct arena *a, struct tile_path p);

/* One leaf to append. */
struct leaf {
	const char *type;   /* "coop.founded", "statement.made", "release.published" … */
	struct str data;    /* JSON object with the facts; put into canonical form here */
	struct uuid by;     /* the member who acted, where the public may know; nil: not said */
	bool canonical;     /* data is in canonical form already and nobody is named, as in all leaves it is appended with */
};
/* Longest entry: the format allows 65,535 bytes, but a bundle of 256 must fit one answer (LIMIT_RESPONSE). */
#define LEDGER_ENTRY_MAX 32000
/* Appends inside the open transaction; hands out the leaf's index (NULL: nobody asks). The co-op's log stays locked until that transaction ends: append as late in it as possible.
 * An entry longer than LEDGER_ENTRY_MAX is ERR_TOO_LARGE; data that is no JSON object is ERR_INVALID. */
CH_CHECK enum err ledger_append(struct call *c, struct uuid coop, const struct leaf *leaf, int64_t *index);
/* Appends many at once (a batch of contributions): one lock, one stream; gives the first index. */
CH_CHECK enum err ledger_append_many(struct call *c, struct uuid coop, const char *type, const struct str *data, size_t n, int64_t *first);
/* The same for those who take other locks in the same trip: the log's lock is asked for (db_ask), as the last of them, and once that trip is made up to LEDGER_TOGETHER leaves are
 * appended. What was appended is remembered (memory of the call's arena), so that each leaf can be proved without the database. */
#define LEDGER_TOGETHER 64
struct ledger_place;
struct ledger_appended {
	struct str origin;
	uint8_t public_key[32];              /* that signs for the log, as it stood under the lock */
	struct merkle_builder before, after; /* the log without and with them */
	struct str *entries;                 /* the leaves */
	struct sha256 *hashes;
	size_t n;
};
CH_CHECK enum err ledger_ask_lock(struct call *c, struct uuid coop, struct ledger_place **out);
CH_CHECK enum err ledger_append_at(struct call *c, struct uuid coop, const struct ledger_place *place, const char *type, const struct str *data, size_t n, struct ledger_appended *out);
/* At such a place, too: any number of leaves whose facts are canonical JSON objects already, and are taken as they are; and the index of the first of them. The log's tail is asked
 * for behind its lock. */
CH_CHECK enum err ledger_ask_tail(struct call *c, struct uuid coop, struct ledger_place *place);
CH_CHECK enum err ledger_place_next(struct call *c, const struct ledger_place *place, int64_t *index);
CH_CHECK enum err ledger_append_canonical(struct call *c, struct uuid coop, const struct ledger_place *place, const char *type, const struct str *data, size_t n);
/* After the commit and not before (see ledger_prove_inclusion): the signed checkpoint of the log up to them, and the proof of the i-th against it. The latter is pure. */
CH_CHECK enum err ledger_appended_sign(struct call *c, struct uuid coop, const struct ledger_appended *appended, struct str *checkpoint);
CH_CHECK enum err ledger_appended_prove(struct arena *a, const struct ledger_appended *appended, size_t i, struct str checkpoint, struct str *tlog_proof);
/* Locks the co-op's log until the open transaction ends: nothing can be said, withdrawn or submitted in the meantime, since every such act appends a leaf. For publishing. */
CH_CHECK enum err ledger_lock(struct call *c, struct uuid coop);
/* The commitment to something deletable: SHA-256(salt32 || content hash). */
struct sha256 ledger_commitment(const uint8_t salt[32], struct sha256 content);
/* Signed checkpoint of all leaves committed so far. Opens its own transaction. */
CH_CHECK enum err ledger_checkpoint(struct call *c, struct uuid coop, struct str *note);
/* Inside an open transaction. The inclusion proof carries the leaf's entry. ERR_NOT_FOUND for a leaf or size that is not there. A proof made in the transaction that appended
 * must not leave the server before its commit: a checkpoint is a promise for ever, and until then the leaves may still be rolled back. */
CH_CHECK enum err ledger_prove_inclusion(struct call *c, struct uuid coop, int64_t index, struct str *tlog_proof);
CH_CHECK enum err ledger_prove_consistency(struct call *c, struct uuid coop, int64_t from, int64_t to, struct sha256 **path, size_t *n);
/* How many leaves there are, and the root over them. */
CH_CHECK enum err ledger_head(struct call *c, struct uuid coop, int64_t *size, struct sha256 *root);
/* A tile or a bundle of entries as bytes. ERR_NOT_FOUND when the log has not come so far. */
CH_CHECK enum err ledger_tile(struct call *c, struct uuid coop, struct tile_path path, struct str *bytes);
/* Leaves from the newest down, for people: those below `before` (INT64_MAX: from the top), at most `limit`. */
struct log_entry {
	int64_t index;
	instant at;
	struct str type;     /* "release.published" */
	struct str entry;    /* the leaf's bytes */
	struct sha256 hash;  /* of the leaf */
};
CH_CHECK enum err ledger_entries(struct call *c, struct uuid coop, int64_t before, int limit, struct log_entry **out, size_t *n);
/* Opens the log of a co-op that is being founded, inside the founding transaction: makes the co-op's signing key (sealed, in the keys database) and the empty log. Repeating
 * it after a rolled-back founding finds the same key. */
CH_CHECK enum err ledger_key_new(struct call *c, struct uuid coop, uint8_t public_key[32]);
/* The key in force, see keychain.h. Inside, or in a transaction of its own. What is signed with it must be of the same snapshot, or made under the log's lock. */
CH_CHECK enum err ledger_key(struct call *c, struct uuid coop, struct sign_key *out);
/* Fills the empty log of a co-op that is being founded as a fork with the first leaves of its parent, byte for byte, inside the founding transaction: entries in order, as many as there are; what
 * is no leaf ({"at","data","t"} in canonical form) is ERR_CORRUPT. Hands out the size and root that they come to, for the caller to hold against what the parent has signed before anything
 * is committed. Memory of a few thousand entries at a time. */
struct ledger_prefix;
CH_CHECK enum err ledger_prefix_begin(struct call *c, struct uuid coop, struct ledger_prefix **out);
CH_CHECK enum err ledger_prefix_add(struct ledger_prefix *p, struct str entry);
CH_CHECK enum err ledger_prefix_end(struct ledger_prefix *p, int64_t *size, struct sha256 *root);
/* Whether a text is a leaf's entry; its instant and type (memory of the arena). */
CH_CHECK bool ledger_entry_read(struct arena *a, struct str entry, instant *at, struct str *type, const struct json **data);
/* The entries from the first on, below `upto`, streamed; inside. */
CH_CHECK enum err ledger_entries_stream(struct call *c, struct uuid coop, int64_t upto, enum err (*entry)(void *arg, struct str bytes), void *arg);
/* The entries with an index in [from, to), streamed in order; inside. */
typedef enum err (*ledger_entry_fn)(void *arg, int64_t index, struct str entry);
CH_CHECK enum err ledger_slice(struct call *c, struct uuid coop, int64_t from, int64_t to, ledger_entry_fn fn, void *arg);
/* Inclusion paths of many leaves in the log as it was at one size: each tile is read once while the indices ascend. Inside; memory from the call's arena, which the caller may rewind to before
 * `path` after each, and to before the prover when done with it. */
struct ledger_prover;
CH_CHECK enum err ledger_prover_new(struct call *c, struct uuid coop, int64_t size, struct ledger_prover **out);
CH_CHECK enum err ledger_prover_path(struct ledger_prover *p, int64_t index, struct str *entry, struct sha256 **path, size_t *n);
/* The signed checkpoint of what the open transaction sees, for one that appends nothing: it must be a snapshot of what is committed. Inside. */
CH_CHECK enum err ledger_checkpoint_seen(struct call *c, struct uuid coop, int64_t *size, struct sha256 *root, struct str *note);
/* The host that the origins of new logs begin with ("commonhold.example"); set once at start. */
void ledger_use_host(const char *host);
/* Name used in checkpoints: fixed when the log is opened. */
CH_CHECK enum err ledger_origin(struct call *c, struct uuid coop, struct str *origin);

#endif
