/* adapter_internal.h - what the files about publishing adapters share: one run of one target. */
#ifndef COMMONHOLD_ADAPTER_INTERNAL_H
#define COMMONHOLD_ADAPTER_INTERNAL_H

#include "commonhold/adapter.h"
#include "commonhold/crypto.h"
#include "commonhold/db.h"
#include "commonhold/fetch.h"
#include "commonhold/release.h"

/* A file of a version, as far as it is there. */
struct adapter_file {
	struct str path;       /* inside the release */
	int64_t size;
	struct sha256 sha256;
	struct str upload_id;  /* of the multipart upload under way; absent: none */
	int64_t part_bytes;    /* of that upload; 0: none */
	struct str etag;       /* what the place calls it; absent before */
	bool done;             /* it is there */
};
struct adapter_part { int no; struct str etag; struct sha256 sha256; };

/* A version at a target, with its release. */
struct adapter_version {
	struct release release;
	enum adapter_copy_state state;
	struct str revision;       /* of the Hub */
	instant begun_at;
	bool doomed;               /* it may not stay there */
	struct adapter_file *files; /* by path; of those that a step has asked for */
	size_t n_files;
};

/* What is to be done. Made in one transaction, so that `upto` and the releases' states belong together. */
struct adapter_plan {
	struct adapter_version *copies; /* those that are there, or may be: not erased; in order of their beginning */
	size_t n;
	size_t n_doomed;
	struct adapter_version newest;  /* to be put there: a nil release id when there is nothing to put */
	bool waits;                /* for the release that comes in place of a withdrawn one: its files are had from what is there */
	instant waits_until;
	int64_t upto;              /* last tombstone there is */
	bool owes;                 /* the mirror has not confirmed something up to there */
};

struct adapter_run {
	struct call *c;
	struct adapter_target t;
	struct adapter_credentials credentials;
	struct str latest_etag;    /* of S3's pointer as we left it */
	bool ending;               /* everything goes, and then the target */
	bool suspended;            /* nothing new is put there */
	struct fetcher *fetcher;
	struct buf checked;        /* what was asked after erasing, and answered: members of a JSON array */
	bool remote;               /* what went wrong, went wrong there: told in the target, and tried again by its rules */
	bool final;                /* trying again changes nothing before somebody acts */
	int64_t wait_seconds;      /* what the place asked for; 0: nothing */
	bool further;              /* this run has got something done */
	int64_t asked_at;          /* clock_tick when the lease was prolonged last */
	enum err stopped;          /* why it must not go on; ERR_OK: it may */
};

/* ---- adapter.c ---- */
#define ADAPTER_TARGET_COLUMNS \
	"t.kind, t.endpoint, t.place, t.prefix, t.region, t.path_style, t.part_bytes, t.recreate, t.audience, t.confirmed_by, t.set_at, t.state, t.error, t.attempts, t.run_at, t.next_at, t.latest"
#define ADAPTER_TARGET_N 17
void adapter_target_read(struct adapter_target *t, const struct rows *r, int i);
/* What credentials are sealed with. */
struct str adapter_seal_context(struct arena *a, struct uuid coop, struct uuid mirror);
int adapter_copy_state_find(struct str name);

/* ---- adapter_store.c: each a transaction of its own, so that the next run knows ---- */
/* The target with its credentials; ERR_NOT_FOUND without one. */
CH_CHECK enum err adapter_store_load(struct adapter_run *run);
CH_CHECK enum err adapter_store_plan(struct adapter_run *run, struct adapter_plan *out);
/* The copy and its files are on record before the first byte is sent. */
CH_CHECK enum err adapter_store_begin(struct adapter_run *run, struct adapter_version *v);
CH_CHECK enum err adapter_store_files(struct adapter_run *run, struct adapter_version *v);
/* Whether the version may still go there: asked last before it is named, since what was withdrawn meanwhile must not be. */
CH_CHECK enum err adapter_store_still(struct adapter_run *run, const struct adapter_version *v);
CH_CHECK enum err adapter_store_upload(struct adapter_run *run, const struct adapter_version *v, struct adapter_file *f, struct str upload_id, int64_t part_bytes);
CH_CHECK enum err adapter_store_part(struct adapter_run *run, const struct adapter_version *v, const struct adapter_file *f, const struct adapter_part *p);
CH_CHECK enum err adapter_store_parts(struct adapter_run *run, const struct adapter_version *v, const struct adapter_file *f, struct adapter_part **out, size_t *n);
/* It is there, or (absent etag) it is not after all. */
CH_CHECK enum err adapter_store_done(struct adapter_run *run, const struct adapter_version *v, struct adapter_file *f, struct str etag);
/* A file of the same content that is there already: its version and path; ERR_NOT_FOUND. */
CH_CHECK enum err adapter_store_same(struct adapter_run *run, const struct adapter_version *v, const struct adapter_file *f, struct str *version, struct str *path, struct str *etag);
CH_CHECK enum err adapter_store_published(struct adapter_run *run, struct adapter_version *v, struct str revision);
CH_CHECK enum err adapter_store_latest(struct adapter_run *run, struct str version, struct str etag);
CH_CHECK enum err adapter_store_erasing(struct adapter_run *run, const struct adapter_plan *p);
/* What was found gone; with it the receipt. */
CH_CHECK enum err adapter_store_erased(struct adapter_run *run, const struct adapter_plan *p);
CH_CHECK enum err adapter_store_state(struct adapter_run *run, enum adapter_state state, struct str error, int attempts, instant next_at);
CH_CHECK enum err adapter_store_end(struct adapter_run *run);

/* ---- adapter_ask.c ---- */
/* Is also the `arg` of the exchange's callbacks. */
struct adapter_watch { struct adapter_run *run; struct hasher *hash; int64_t bytes; };
/* One exchange. ERR_OK: an answer that is not "later". */
CH_CHECK enum err adapter_ask(struct adapter_run *run, struct fetch_request *q, struct fetch_answer *out, const char *what);
/* An answer that nothing can be done with: says which, by status and the place's own code. */
enum err adapter_odd(struct adapter_run *run, const struct fetch_answer *answer, struct str code, const char *what);
/* The place cannot be brought further for now, or (final) before somebody acts. */
enum err adapter_fail(struct adapter_run *run, bool final, const char *fmt, ...) CH_PRINTF(3, 4);
/* Whether the run may go on; prolongs its lease. */
bool adapter_goes_on(struct adapter_run *run);
/* Hashes a part of a file, as it is about to be sent. */
struct adapter_digests { struct sha256 sha256; uint8_t md5[16]; };
CH_CHECK enum err adapter_digest(struct adapter_run *run, int fd, int64_t offset, int64_t size, struct adapter_digests *out);
/* Takes a body and hashes it; `arg` is a watch with a hasher. */
bool adapter_hash_sink(void *arg, const void *p, size_t n);
/* Notes what was asked after erasing, and how much was found. */
void adapter_note(struct adapter_run *run, const char *what, struct str of, int64_t found);

/* ---- the two services ---- */
CH_CHECK enum err s3_publish(struct adapter_run *run, struct adapter_version *v);
CH_CHECK enum err s3_erase(struct adapter_run *run, struct adapter_plan *p);
CH_CHECK enum err hub_publish(struct adapter_run *run, struct adapter_version *v);
CH_CHECK enum err hub_erase(struct adapter_run *run, struct adapter_plan *p);

#endif
