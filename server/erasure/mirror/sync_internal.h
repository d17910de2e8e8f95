/* sync_internal.h - what the files of the mirror tool share: one run, its folder and what it remembers. */
#ifndef COMMONHOLD_ERASURE_SYNC_INTERNAL_H
#define COMMONHOLD_ERASURE_SYNC_INTERNAL_H

#include "commonhold/fetch.h"
#include "commonhold/json.h"
#include "commonhold/keychain.h"
#include "commonhold/mirror_sync.h"
#include "commonhold/tombstone.h"

#define SYNC_VERSION_MAX 33         /* "999999999.999999999.999999999" */
#define SYNC_TOKEN_MAX 8192
#define SYNC_NAMES_MAX 100000       /* versions a status may name */

/* A growing list of texts in the run's arena. */
struct names { struct str *at; size_t n, cap; };
void names_add(struct arena *a, struct names *to, struct str name);
bool names_has(const struct names *in, struct str name);
void names_sort(struct names *n);
bool names_sorted_has(const struct names *in, struct str name);

/* What a mirror remembers from run to run: mirror.json. */
struct sync_state {
	bool seen;                  /* there was one */
	uint8_t key[32];            /* the co-op's, pinned */
	struct keychain keys;       /* its keys as last seen; .n is 0 before: later ones must continue them */
	struct str origin;          /* of its log; absent before the first status */
	int64_t size;               /* leaves of the log in the last status, */
	struct sha256 root;         /* and its root */
	instant created;            /* of the last status */
	int64_t status_upto;        /* tombstones it spoke of */
	struct tombstone_chain chain; /* the feed as far as it was dealt with */
	struct names withdrawn;     /* every version ever withdrawn */
	struct names named, named_in; /* rids that tombstones name in the version held without its having to go, and the newest version that held each: absent from what follows */
	bool named_more;            /* and more than could be remembered */
	struct str mirror;          /* id of the registered mirror; absent: none */
	int64_t receipt_upto;       /* of the last receipt that was taken; -2: none yet */
	instant receipt_at;         /* and its time; INSTANT_NONE: none yet */
	struct names receipt_held;  /* and what it said is held */
	instant base_until;         /* what is kept of withdrawn versions goes then; INSTANT_NONE: there is nothing */
	struct str method;          /* to be said in the next one: what was done since the last; absent: nothing */
};

/* The co-op's status, once it is believed. */
struct sync_status {
	struct str envelope, origin;
	int64_t size, upto;
	struct sha256 root;
	instant created, expires;
	struct names usable, withdrawn;
};

/* A file that the folder holds, whose bytes were checked when it came. */
struct held_file {
	struct sha256 sha256;
	struct str folder, path;    /* "1.0.0", or ".mirror/base/1.0.0" for what is kept of a version that went; and the path in it */
	int64_t size, seconds, nanoseconds; /* size and time of change, */
	uint64_t inode;             /* and place when it was checked */
};
struct held { struct held_file *at; size_t n, cap; };

/* One run. */
struct sync {
	struct arena *arena;
	const struct mirror_sync_options *o;
	struct mirror_sync_result *out;
	struct error *e;
	int dir, lock;              /* the folder; its lock */
	struct fetcher *fetcher;
	struct str token;           /* personal; absent: none */
	struct str bearer;          /* for files: a grant's token, or the personal one; absent: none */
	char bearer_text[SYNC_TOKEN_MAX]; /* holds a grant's token, which outlives what was allocated with it */
	struct str bearer_for;      /* the version it was made for */
	struct sync_state state;
	struct sync_status status;
	struct tombstone_chain chain; /* as far as the feed was read in this run */
	struct names doomed;        /* versions that must go: withdrawn, or named by a tombstone that purges */
	struct names rids;          /* that such tombstones name in the version held at the beginning */
	struct names named, named_in; /* every rid that a tombstone of any kind names, and the newest version that held it, since the version held came */
	struct held held;
	struct str current;         /* version that `current` leads to; absent: none */
};

/* Says what is wrong, with a reason for machines. */
enum err sync_fail(struct sync *s, enum err code, const char *reason, const char *fmt, ...) CH_PRINTF(4, 5);
bool sync_stopped(struct sync *s);
void sync_progress(struct sync *s, const char *what, int64_t done, int64_t total);
/* Semantic versions without leading zeros, the only names of folders that are ours. */
CH_CHECK bool version_ok(struct str version);
int version_compare(struct str a, struct str b);

/* ---- sync_state.c ---- */
CH_CHECK enum err state_load(struct sync *s);
CH_CHECK enum err state_save(struct sync *s);
/* Replaces a file of the folder as a whole. */
CH_CHECK enum err folder_write(struct sync *s, const char *name, struct str content, unsigned mode);

/* ---- sync_folder.c ---- */
/* Opens and locks the folder, and clears what an interrupted run left. */
CH_CHECK enum err folder_open(struct sync *s);
void folder_close(struct sync *s);
/* Versions that are there, oldest first. */
CH_CHECK enum err folder_versions(struct sync *s, struct names *out);
bool folder_has(const struct sync *s, struct str version);
/* A path below the folder. */
struct str folder_path(struct sync *s, const char *fmt, ...) CH_PRINTF(2, 3);
/* Leads `current` to a version, or nowhere. */
CH_CHECK enum err folder_switch(struct sync *s, struct str version);
/* Takes a version (and what is known of its files) out of the folder at once, then deletes it. */
CH_CHECK enum err folder_remove(struct sync *s, struct str version);
/* Deletes a folder below .mirror with all that is in it. */
void folder_clear(struct sync *s, struct str path);
/* fsync of a folder: its entries last. */
CH_CHECK enum err folder_sync(struct sync *s, const char *path);

/* ---- sync_held.c: what is known of the files that are there, in .mirror/<version>.files ---- */
CH_CHECK enum err held_load(struct sync *s);
CH_CHECK enum err held_write(struct sync *s, struct str folder, const struct held *files);
/* A file with these bytes; *trusted: it is what it was when it was checked, and was not read now. NULL: none. */
const struct held_file *held_find(struct sync *s, struct sha256 sha256, int64_t size, bool *trusted);
/* The file at a path of a folder. */
const struct held_file *held_at(struct sync *s, struct str folder, struct str path);
struct str held_path(struct sync *s, const struct held_file *f);
/* Notes a file, which lies at `at` for now, as `path` of its folder. */
CH_CHECK enum err held_note(struct sync *s, struct held *to, const char *at, struct str path, struct sha256 sha256);
/* Takes up one more whose place and time are not known: it is read before it is used. */
void held_add_unknown(struct sync *s, struct held *to, struct str folder, struct str path, struct sha256 sha256, int64_t size);
/* The same bytes at another place: a link, else shared blocks, else a copy. */
CH_CHECK enum err file_take_over(struct sync *s, const char *from, const char *to, int64_t size);
CH_CHECK enum err file_sha256(struct sync *s, const char *path, struct sha256 *out);

/* ---- sync_remote.c ---- */
struct document { long status; struct str body; };
/* A small document below the co-op's address. Tries again where that may help; any status that is not 200, and not `also`, is an error. */
CH_CHECK enum err remote_read(struct sync *s, struct str path, size_t max, long also, struct document *out);
/* A document into a file (made anew), for what may be long. */
CH_CHECK enum err remote_spool(struct sync *s, struct str path, const char *to, int64_t max);
CH_CHECK enum err remote_post(struct sync *s, struct str path, struct str body, const char *type, struct document *out);
/* A small file of a version, gated as it may be. */
CH_CHECK enum err remote_file(struct sync *s, struct str version, const char *path, size_t max, struct str *out);
/* A file of a version with known size and hash into `to`, resumed from what an earlier run got of it. */
CH_CHECK enum err remote_download(struct sync *s, struct str version, struct str path, int64_t size, struct sha256 sha256, const char *to);

/* ---- sync_status.c, sync_feed.c ---- */
CH_CHECK enum err key_settle(struct sync *s);
CH_CHECK enum err status_fetch(struct sync *s);
CH_CHECK enum err log_consistent(struct sync *s, int64_t size, struct sha256 root, int64_t later, struct sha256 later_root);
CH_CHECK enum err feed_fetch(struct sync *s);

/* ---- sync_acquire.c ---- */
/* A file as the signed manifest describes it. */
struct listed_file {
	struct str path;
	int64_t size, raw_size;
	struct sha256 sha256;
	bool shard;
	bool trusted;               /* taken over from what was checked before */
	const struct patch_line *patch; /* how it is made from what is held; NULL: it is not */
};
CH_CHECK enum err acquire(struct sync *s, struct str version);
/* Reads and checks every byte of a version that is in place. */
CH_CHECK enum err recheck(struct sync *s, struct str version);

/* ---- sync_patch.c ---- */
struct patch_line {
	struct str path, path_after; /* path_after absent: nothing is left */
	struct sha256 sha256_after;
	int64_t size_after;
	const struct json *rows;    /* numbers of lines to drop, ascending */
};
struct patch { struct patch_line *lines; size_t n; };
CH_CHECK enum err patch_read(struct sync *s, const char *path, struct patch *out);
/* Makes a shard from one that is held (of one that vanishes, nothing). *made is false when the result is not what it should be: then it is to be downloaded. Rids of dropped rows
 * are added to `dropped`. */
CH_CHECK enum err patch_apply(struct sync *s, const struct patch_line *line, const char *from, const char *to, int64_t raw_max, struct names *dropped, bool *made);
/* Keeps what can be kept of a version that must go before its successor can be had: shards in which no tombstone names a row. */
void base_keep(struct sync *s, struct str version);
void base_clear(struct sync *s);

/* ---- sync_receipt.c ---- */
/* Signs and sends a receipt if there is something new to say. Never an error: the next run tries again. */
void receipt_send(struct sync *s);

#endif
