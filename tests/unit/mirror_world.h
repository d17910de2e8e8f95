/* mirror_world.h - a co-op as a mirror sees it, made of files in a temporary folder and a thread that serves them: honest, or with one fault at a time.
 *
 * Its releases are whole and verify; its log, status, tombstones and patches are signed with its key. No database. For the tests of the mirror tool and its bench.
 */
#ifndef COMMONHOLD_TESTS_MIRROR_WORLD_H
#define COMMONHOLD_TESTS_MIRROR_WORLD_H

#include "commonhold/arena.h"
#include "commonhold/clock.h"
#include "commonhold/crypto.h"
#include "commonhold/keychain.h"
#include "commonhold/mirror_sync.h"

#include <pthread.h>
#include <stdatomic.h>

/* What the server does wrong. */
enum world_fault {
	WORLD_HONEST, WORLD_STATUS_FORGED, WORLD_STATUS_EXPIRED, WORLD_STATUS_REPLAYED, WORLD_STATUS_FUTURE, WORLD_LOG_FORKED, WORLD_LOG_SHORTER, WORLD_WITHDRAWN_AGAIN_USABLE, WORLD_VERSION_FORGOTTEN,
	WORLD_FEED_FORGED, WORLD_FEED_LINE_FORGED, WORLD_FEED_TRUNCATED, WORLD_FEED_REPLAYED, WORLD_FEED_HEADLESS, WORLD_FEED_REORDERED, WORLD_FEED_OF_ANOTHER, WORLD_FEED_ENDLESS_LINE,
	WORLD_FILE_CHANGED, WORLD_FILE_SHORT, WORLD_FILE_ENDLESS, WORLD_FILE_SLOW, WORLD_FILE_REDIRECTED, WORLD_FILE_GONE, WORLD_FILE_IGNORES_RANGE, WORLD_FILE_WRONG_RANGE,
	WORLD_FILE_CUT_ONCE, WORLD_FILE_BUSY_ONCE, WORLD_FILE_CUT, WORLD_MANIFEST_OF_ANOTHER_KEY, WORLD_MANIFEST_OF_ANOTHER_VERSION, WORLD_MANIFEST_CLIMBS, WORLD_MANIFEST_ABSOLUTE, WORLD_MANIFEST_HIDDEN,
	WORLD_SUMS_CHANGED, WORLD_RECEIPT_REFUSED, WORLD_FAULTS
};

#define WORLD_VERSIONS 8
#define WORLD_LEAVES 64

struct world_version {
	char version[16];
	bool withdrawn;
};

struct world {
	struct arena *arena;
	char dir[64];                /* temporary; DIR/<version>/ are the releases */
	struct sign_key key, other;
	struct keychain keys;        /* that led to `key`; n is 0 for a server of before there were chains */
	struct str coop, origin;     /* key name; the log's */
	struct sha256 leaves[WORLD_LEAVES];
	size_t n_leaves;
	struct buf feed;             /* signed lines */
	size_t line_at[4096];        /* where each begins */
	int64_t n_lines;
	struct sha256 chain;         /* digest of the last */
	struct world_version versions[WORLD_VERSIONS];
	size_t n_versions;
	int rows, per_shard, row_bytes; /* of the first release */
	bool *erased;                /* rows that are gone */
	/* the server */
	int socket, port;
	pthread_t thread;
	_Atomic enum world_fault fault;
	_Atomic int asked_files, asked_bytes, asked_tokens, busy; /* file requests answered with data; their bytes; grant tokens made; passing faults so far */
	const char *fault_path;      /* files that the file faults are about: those whose path ends so; NULL: shards */
	bool gated;                  /* files need a grant's token */
	instant created;             /* of the status; INSTANT_NONE: now */
	struct str old_status;       /* for WORLD_STATUS_REPLAYED */
	char receipt[65536];         /* the last that was taken; empty: none */
	_Atomic int receipts;
};

/* A co-op with `rows` rows in shards of `per_shard`, each row about so many bytes, and nothing published. */
struct world *world_new(int rows, int per_shard, int row_bytes);
void world_free(struct world *w);
/* Publishes what is not erased. `from`: the version that this one is a redaction of, with a patch; NULL: an ordinary release. */
void world_publish_version(struct world *w, const char *version, const char *from);
/* Erases rows: withdraws the versions that hold them and writes their tombstones. */
void world_erase(struct world *w, const int *rows, size_t n);
/* Only tombstones, naming a version. */
void world_tombstone(struct world *w, int row, const char *kind, const char *release);
void world_withdraw(struct world *w, const char *version);
/* Hands over to a new key. */
void world_rotate(struct world *w);
/* Remembers the present status, to be shown again. */
void world_keep_status(struct world *w);
struct str world_url(struct world *w, struct arena *a);
struct str world_rid(struct world *w, struct arena *a, int row);
const char *world_path(struct world *w, const char *version, const char *path);

#endif
