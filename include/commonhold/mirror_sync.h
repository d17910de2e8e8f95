/* mirror_sync.h - keeping a copy of a co-op's releases in step with the co-op, from outside: no database, no account beyond what access asks for.
 *
 * Trusts nothing but the co-op's public key. The server may be slow, lie, go back in time or be somebody else: what it says is believed only as far as it is signed, not older than
 * what was seen before, and consistent with it (the log by proof, the feed of tombstones by its chain, files by the manifest). A run never leaves less than it found, except what was
 * withdrawn, which goes whatever else fails.
 *
 *   DIR/<version>/       releases, verified, complete; appear and disappear as a whole
 *   DIR/current          link to the newest usable one; absent when there is none
 *   DIR/status.json      the co-op's last signed status
 *   DIR/mirror.json      what was seen: key, log, feed, receipts
 *   DIR/mirror.key       the mirror's own key, mode 0600
 *   DIR/.mirror/         what is under way
 *
 * Versions that the folder holds and the co-op has not withdrawn stay, unless `prune`; they share the files that did not change.
 */
#ifndef COMMONHOLD_MIRROR_SYNC_H
#define COMMONHOLD_MIRROR_SYNC_H

#include "arena.h"
#include "clock.h"
#include "crypto.h"
#include "error.h"
#include "str.h"

struct mirror_sync_options {
	const char *dir;           /* the mirror's folder; made if it is not there */
	struct str url;            /* the co-op's API: https://host/api/v1/coops/name */
	const uint8_t *key;        /* the co-op's, 32 bytes, from elsewhere; NULL: the one remembered */
	bool trust_first;          /* with neither: the one that the server names, once */
	const char *token_file;    /* personal token, for gated releases; NULL: none */
	struct str mirror;         /* id of the registered mirror, for receipts; absent: the one remembered, or no receipts */
	const char *receipt_key;   /* file; NULL: DIR/mirror.key */
	struct str models;         /* said in receipts about models trained on it; absent: nothing */
	const char *ca_file;       /* authorities to trust; NULL: the system's */
	bool prune;                /* older versions go once a newer one is in place */
	bool verify_all;           /* the held version is read and checked again, byte for byte */
	bool allow_http;           /* without TLS, to other machines than this one too */
	int tries;                 /* of a request that fails for a passing reason; 0: 4 */
	long patience_seconds;     /* how long less than 1 KiB a second may come; 0: 30 */
	/* Tells how it goes on, in words and bytes; `total` 0: unknown. NULL: nobody looks. */
	void (*progress)(void *arg, const char *what, int64_t done, int64_t total);
	bool (*go_on)(void *arg);  /* false ends the run soon, with reason "stopped"; NULL: always */
	void *arg;                 /* for both */
};

enum mirror_sync_how { MIRROR_SYNC_NOTHING, MIRROR_SYNC_WHOLE, MIRROR_SYNC_UPDATE, MIRROR_SYNC_PATCH };
const char *mirror_sync_how_name(enum mirror_sync_how h); /* "none", "whole", "update", "patch" */

/* What a run did, as far as it came. */
struct mirror_sync_result {
	struct str version;        /* in `current` now; absent: none */
	struct str before;         /* at the beginning; absent: none */
	enum mirror_sync_how how;  /* the new one came */
	int64_t downloaded;        /* bytes of files */
	int64_t reused, patched;   /* files taken over from a held version; shards made by a patch */
	int64_t shards;            /* of the new version */
	int64_t rows_dropped;      /* by the patch */
	struct str *deleted;       /* versions that went because they were withdrawn */
	size_t n_deleted;
	int64_t upto;              /* last tombstone dealt with; -1: none */
	const char *receipt;       /* "sent", "none" (nothing new to say, or no mirror registered), "failed" */
	struct str receipt_why;    /* why it failed; absent */
};

/* One run. ERR_OK: in step. On an error `out` says what was done all the same; reasons: "locked" (another run is at work), "rollback", "forged", "expired", "lied", "verify", "disk",
 * "key", and those of fetch. Memory of the arena. */
CH_CHECK enum err mirror_sync(struct arena *a, const struct mirror_sync_options *o, struct mirror_sync_result *out, struct error *e);

/* The mirror's own key: read, or made (mode 0600) when there is none and `make` is set. A file that others can read is refused. */
CH_CHECK enum err mirror_key_open(struct arena *a, const char *path, bool make, struct sign_key *out, struct error *e);

/* `commonhold mirror sync|key …`. 0 in step, 1 something failed, 2 wrong usage. */
int mirror_main(int argc, char **argv);

#endif
