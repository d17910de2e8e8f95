/* tombstone.h - the tombstones of a co-op: one signed line for every contribution that holders of a release must no longer keep, in one dense, append-only, chained sequence.
 *
 * A tombstone names an id and what is to be done by when. It never holds content, a contributor, a free text, or anything that two tombstones of one person would share: one id a
 * line, instants in whole hours. Lines are made once, stored as they were signed, and served as they are stored; nothing rewrites, removes or reorders them.
 *
 * The feed, GET /api/v1/coops/{coop}/tombstones?since=IDX[&limit=N] (public, application/x-ndjson): every line whose idx is greater than `since` (without it: from 0), in order of
 * idx, and then one line more, the head. A line is canonical JSON (RFC 8785) ended by "\n":
 *
 *   {"effective":INSTANT,"idx":0,"kind":"erase","prev":HEX,"purge_by":INSTANT,"reason_code":"…","releases":["1.0.0",…],"rid":["dc:<coop>:<uuid>"],"sig":BASE64,"t":INSTANT}
 *
 *   idx          dense from 0
 *   t            when it was made, the hour it began in;  effective: since when, rounded up to the hour;  purge_by: by when holders have purged it
 *   kind         "erase", "correct": delete it from every copy;  "withdraw_future": absent from every release that follows, copies of older ones may stay;  "embargo": the same until "until"
 *   until        kind "embargo" only: when it ends
 *   replacement  kind "correct" only: rid of the contribution that takes its place
 *   releases     versions that held it, oldest first; may be empty
 *   prev         hex SHA-256 of the line before, as it stands in the feed without its "\n"; for idx 0 the SHA-256 of the log's origin ("<host>/coop/<name>")
 *   sig          base64 (RFC 4648, padded) of Ed25519 by the co-op's key over "commonhold/tombstone/1\n" and the line's canonical JSON without the member "sig"
 *
 * Since each line signs the digest of the one before, one good signature covers every line up to it: to check a feed, follow the chain and check the last. A reader keeps (idx, digest
 * of that line) and goes on from there.
 *
 * The head is a DSSE envelope of TOMBSTONE_HEAD_TYPE, by the same key, as one line (it has "payloadType", no tombstone has):
 *
 *   {"chain":HEX,"created":INSTANT,"expires":INSTANT,"log":ORIGIN,"root":HEX,"size":N,"upto":IDX,"v":1}
 *
 *   upto         idx of the last tombstone there is, -1: none;  chain: its digest, what the next one's prev will be
 *   log,size,root the log's origin, number of leaves and root at that moment, as in status.json
 *
 * With limit, a page: at most so many tombstones; it is the last one when its last idx is the head's upto. A `since` above upto gives the head alone: whoever has seen more than
 * the head admits is being shown an old or another feed, and must refuse it. ETag: 304 while nothing was added.
 */
#ifndef COMMONHOLD_TOMBSTONE_H
#define COMMONHOLD_TOMBSTONE_H

#include "call.h"
#include "crypto.h"
#include "keychain.h"

#define TOMBSTONE_HEAD_TYPE "application/vnd.commonhold.tombstone-head+json"
#define TOMBSTONE_LINE_MAX 65536 /* longest line, with a name of every version that a co-op may come to have */
#define TOMBSTONE_HEAD_LIFE (24 * CLOCK_HOUR)

#define TOMBSTONE_KINDS(X) X(ERASE, "erase") X(WITHDRAW_FUTURE, "withdraw_future") X(EMBARGO, "embargo") X(CORRECT, "correct")
enum tombstone_kind {
#define X(name, text) TOMBSTONE_##name,
	TOMBSTONE_KINDS(X)
#undef X
	TOMBSTONE_KIND_COUNT
};
const char *tombstone_kind_name(enum tombstone_kind k);
CH_CHECK bool tombstone_kind_parse(struct str text, enum tombstone_kind *out);
/* Whether holders must purge copies that they have: erase and correct. */
static inline bool tombstone_purges(enum tombstone_kind k) { return k == TOMBSTONE_ERASE || k == TOMBSTONE_CORRECT; }

/* ---- on the server ---- */

struct tombstone_draft {
	struct uuid item;            /* contribution */
	struct str home;             /* key name of the co-op whose item it is, and its replacement; absent: this one */
	enum tombstone_kind kind;
	struct str reason_code;      /* lower-case words with underscores, of a fixed set; no free text */
	const struct str *releases;  /* versions that held it, oldest first (release_holding_versions) */
	size_t n_releases;           /* how many */
	instant effective;           /* rounded up to the hour here */
	instant purge_by;            /* rounded up to the hour here */
	instant until;               /* embargo: its end; INSTANT_NONE otherwise */
	struct uuid replacement;     /* correct: the contribution that takes its place; nil otherwise */
	struct uuid erasure;         /* the request; never leaves the server; nil: none */
};
/* Appends inside the open transaction, in an order drawn at random: the pool and the log are locked from here until it ends. Soon after the
 * hour the log gets the chain (tombstone_seal): a leaf here would say for ever which tombstones came together. An item that has
 * one of the same erasure already gets no second one. *first_idx: index of the first appended, -1 when none was (may be NULL); the last is tombstone_upto's. */
CH_CHECK enum err tombstone_append(struct call *c, struct uuid coop, const struct tombstone_draft *drafts, size_t n, int64_t *first_idx);
/* The last index and its digest (of the origin when there is none; *upto is then -1). `chain` may be NULL. Inside. */
CH_CHECK enum err tombstone_upto(struct call *c, struct uuid coop, int64_t *upto, struct sha256 *chain);
/* Puts the chain as it stands into the log, leaf "tombstones.sealed" {chain, upto}, unless it is there (job "tombstone.seal"). Opens its own transaction. */
CH_CHECK enum err tombstone_seal(struct call *c, struct uuid coop);
/* Where the tombstones of an erasure lie: the least and the greatest index, -1 when there are none. Inside. */
CH_CHECK enum err tombstone_of_erasure(struct call *c, struct uuid coop, struct uuid erasure, int64_t *first, int64_t *last, int64_t *n);
/* The stored lines with an index in [from, upto], each ended by "\n", up to `max` of them, appended to `out`; *last is the index of the last one, from - 1 when there was none. Inside. */
CH_CHECK enum err tombstone_lines(struct call *c, struct uuid coop, int64_t from, int64_t upto, int64_t max, struct buf *out, int64_t *last);
/* The signed head as it stands: the envelope without "\n". Opens its own transaction. *upto may be NULL. */
CH_CHECK enum err tombstone_head(struct call *c, struct uuid coop, struct str *envelope, int64_t *upto, struct sha256 *chain);

/* ---- anywhere, without a database ---- */

/* Follows a feed or a file of tombstones from where a reader stands. */
struct tombstone_chain {
	int64_t upto;           /* index of the last line that was taken; -1: none yet */
	struct sha256 digest;   /* of that line; of the origin when there is none */
};
struct tombstone_chain tombstone_chain_start(struct str origin);
/* A tombstone as it was read; texts point into the line or the arena. */
struct tombstone {
	int64_t idx;
	enum tombstone_kind kind;
	struct str rid, replacement; /* replacement absent unless the kind is correct */
	struct str reason_code;
	struct str *releases;        /* versions that held it */
	size_t n_releases;           /* how many */
	instant t, effective, purge_by;
	instant until;               /* INSTANT_NONE unless the kind is embargo */
};
/* Takes the next line (without "\n"): canonical, the next index, and the digest of the one before. Its signature is looked at when a key is given: needed for the last line only. What is
 * wrong is ERR_CORRUPT with a sentence; the chain is then as it was. `out` may be NULL. */
CH_CHECK enum err tombstone_take(struct arena *a, struct tombstone_chain *chain, struct str line, const uint8_t public_key[32], struct tombstone *out, struct error *e);
/* The same, and the line must be signed by a key of the co-op's that was in force at its time. */
CH_CHECK enum err tombstone_take_signed(struct arena *a, struct tombstone_chain *chain, struct str line, const struct keychain *keys, struct tombstone *out, struct error *e);
/* Reads a head, of the log with this origin, and its signature. */
struct tombstone_head {
	int64_t upto;
	struct sha256 chain, root;
	struct str log;              /* origin */
	int64_t size;                /* leaves of the log */
	instant created, expires;
};
CH_CHECK enum err tombstone_head_read(struct arena *a, struct str envelope, const uint8_t public_key[32], struct str origin, struct tombstone_head *out, struct error *e);
/* The same by whichever of the co-op's keys signs for a log of the size that the head names. */
CH_CHECK enum err tombstone_head_read_signed(struct arena *a, struct str envelope, const struct keychain *keys, struct str origin, struct tombstone_head *out, struct error *e);
/* Holds it against the chain that was read: it may not end before what was seen, and where it ends at the same index it must name the same digest. ERR_CORRUPT. */
CH_CHECK enum err tombstone_head_fits(const struct tombstone_head *head, const struct tombstone_chain *chain, struct error *e);

#endif
