/* verify_internal.h - what the files of the verifier share. */
#ifndef COMMONHOLD_RELEASE_VERIFY_INTERNAL_H
#define COMMONHOLD_RELEASE_VERIFY_INTERNAL_H

#include "commonhold/json.h"
#include "commonhold/keychain.h"
#include "commonhold/ledger.h"
#include "commonhold/verify.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#define VERIFY_LINE_MAX (2 * MIB)   /* a row or a tombstone: twice the largest contribution */
#define VERIFY_FILES_MAX 200000     /* files of a release */
#define VERIFY_DEPTH_MAX 4          /* folders in folders: LICENSES/, data/<kind>/, media/<two digits>/ */
#define VERIFY_ARENA (512 * MIB)    /* largest manifest, its envelope and their trees */
#define VERIFY_LINE_ARENA (64 * MIB) /* one line's tree */

/* What changes when a file is written or replaced. */
struct identity {
	dev_t device;
	ino_t inode;
	struct timespec modified, changed;
};

/* A file of the folder. */
struct found {
	struct str path;            /* from the folder */
	int64_t size;
	struct identity identity;   /* when it was listed, before it was read */
	bool settled;               /* and had not changed for a while by then, so that a later change shows in its times */
	bool hashed;                /* sha256 is known */
	struct sha256 sha256;       /* of the bytes read */
	const struct json *entry;   /* in the manifest's files; NULL for those that are not there */
};

/* A number that the manifest claims for a key, and what the rows add up to. */
struct tally {
	struct str key;
	int64_t claimed;
	_Atomic int64_t counted;
};
struct tallies {
	const char *name;           /* "by_kind" */
	struct tally *at;
	size_t n;
};

/* A set of rids by the first eight bytes of their leaf hash. */
struct rid_set {
	_Atomic uint64_t *slots;    /* 0: free */
	size_t mask;                /* slots - 1 */
};
/* Room for n; false when memory is short. */
CH_CHECK bool rid_set_init(struct rid_set *s, size_t n);
void rid_set_release(struct rid_set *s);
/* False when it was there already. Several threads may add at once. */
bool rid_set_add(struct rid_set *s, struct sha256 leaf_hash);
bool rid_set_has(const struct rid_set *s, struct sha256 leaf_hash);

/* One verification. */
struct verifying {
	struct arena *arena;        /* of the verification: trees, paths, texts */
	const struct verify_options *options;
	struct verify_result *result;
	int dir;                    /* the folder */
	struct found *files;        /* in byte order of path */
	size_t n_files;
	struct str manifest_bytes;
	const struct json *manifest;
	struct sha256 manifest_sha256;
	uint8_t key[32];            /* what signatures are checked with */
	struct keychain chain;      /* of the co-op, as far as known here */
	size_t key_no;              /* which of its keys that is, from 0 */
	struct tallies kinds, licences, coops;
	struct rid_set tombstoned;  /* rids that must not appear */
	struct rid_set seen;        /* rids of all rows; no slots when there are too many to hold */
	const struct json *joint;   /* the manifest's member: made by two co-ops; NULL: by one */
	struct buf leaves;          /* of its rows (release_joint.h), in no order */
	pthread_mutex_t leaves_lock; /* over them */
	bool has_lock;              /* it was made */
	char said[1024];            /* sentence of the check that is under way */
};

/* Says why a check fails (false) or what it found (true). */
bool verify_bad(struct verifying *v, const char *fmt, ...) CH_PRINTF(2, 3);
bool verify_good(struct verifying *v, const char *fmt, ...) CH_PRINTF(2, 3);

/* --- verify_files.c --- */
/* Lists the folder. */
bool files_list(struct verifying *v);
struct found *files_find(struct verifying *v, struct str path);
/* Opens a regular file below the folder, following no link; -1. */
int files_open(const struct verifying *v, struct str path);
/* The whole of a small file. */
bool files_read(struct verifying *v, const char *path, size_t max, struct str *out);
/* Its hash, read now if it is not known; false when it cannot be read. */
bool files_hash(struct verifying *v, struct found *f);
/* The same without a word about it; threads may do this at once, each with another file. */
bool files_hash_quietly(const struct verifying *v, struct found *f);
/* Takes the hashes of unchanged files from the memory, and leaves all hashes there for the next time. */
void files_recall(struct verifying *v);
void files_remember(const struct verifying *v);
/* SHA256SUMS names every file and no other, with its hash. */
bool files_sums(struct verifying *v);
/* The manifest names every file and no other, with its size. */
bool files_claimed(struct verifying *v);
/* Every file has the hash that the manifest gives it. */
bool files_hashes(struct verifying *v);

/* --- verify_lines.c: files of lines --- */
typedef bool (*line_fn)(void *arg, struct str line);
struct line_reader {
	struct buf held;            /* the beginning of a line that is not whole yet */
	line_fn fn;
	void *arg;
	const char *fault;          /* a line too long, or the last one not ended */
};
void lines_init(struct line_reader *r, line_fn fn, void *arg);
void lines_release(struct line_reader *r);
/* Hands out whole lines; false when fn said so or a line is too long. */
CH_CHECK bool lines_feed(struct line_reader *r, const char *p, size_t n);
CH_CHECK bool lines_end(struct line_reader *r);
/* Parses a line that must be a canonical JSON object; NULL with *why otherwise. `scratch` keeps its memory. */
const struct json *line_object(struct arena *a, struct buf *scratch, struct str line, const char **why);

/* --- verify_documents.c --- */
bool documents_report(struct verifying *v);
bool documents_croissant(struct verifying *v);
bool documents_licences(struct verifying *v);

/* --- verify_tombstones.c --- */
bool documents_tombstones(struct verifying *v);

/* --- verify_patch.c --- */
bool patches_check(struct verifying *v);

/* --- verify_rows.c --- */
bool rows_check(struct verifying *v);

/* --- verify_joint.c --- */
/* Before the rows are read; and at the end. */
bool joint_begin(struct verifying *v);
void joint_release(struct verifying *v);
/* Notes a row. Several threads may at once, each with a buffer of its own. */
void joint_row(struct verifying *v, const struct json *row, struct buf *scratch);
bool joint_check(struct verifying *v);

/* --- verify_log.c --- */
bool log_check(struct verifying *v);

#endif
