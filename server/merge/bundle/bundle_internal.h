/* bundle_internal.h - what the files about bundles share. Of server/merge only. */
#ifndef COMMONHOLD_BUNDLE_INTERNAL_H
#define COMMONHOLD_BUNDLE_INTERNAL_H

#include "commonhold/bundle.h"

#include <pthread.h>

/* Refuses, with a reason of BUNDLE_REASONS and a sentence; ERR_REFUSED. */
enum err bundle_refuse(struct error *e, enum bundle_reason r, const char *fmt, ...) CH_PRINTF(3, 4);
/* A small file of an open bundle as a whole; NUL-terminated. */
CH_CHECK enum err bundle_file_text(struct arena *a, const struct bundle *b, const struct bundle_file *f, size_t max, struct str *out, struct error *e);
/* The file with this path; NULL when the bundle has none. */
const struct bundle_file *bundle_file_find(const struct bundle *b, const char *path);
/* The origin in a note's first line. */
struct str bundle_note_origin(struct str note);
/* The size in its second; 0 for what is none. */
int64_t bundle_note_size(struct str note);
/* Whether an envelope is a co-op's assent to an agreement (agreement.h), by a key of its own that was in force. Pure. */
bool bundle_assent_is(struct arena *a, const struct keychain *keys, struct str envelope, struct str coop, struct sha256 agreement);
/* Checks an entry of `homes`, and sets what bundle_check sets of it. Pure. */
CH_CHECK enum err bundle_home_check(struct arena *a, const struct bundle *b, const struct bundle_expected *x, struct bundle_home *h, struct error *e);
/* For tests: how many threads look at records, and how many of them at a time; 0: as usual. */
void bundle_check_workers_use(unsigned workers, size_t lines);
/* Which part a path belongs to by its name. */
enum bundle_section bundle_part_of(struct str path);
/* Behind the JSON value that begins at `p`, by its brackets and quotes alone; NULL where there is no end to it. Whether it is JSON is for a parser to say. */
const char *bundle_value_end(const char *p, const char *end);
/* A signed line of ours without its signature: `head` and `tail` are the parts before and behind it. */
struct str bundle_said_text(struct arena *a, struct str head, struct str tail);

/* bundle_onward.c: keeps the leaves of a bundle's events, from `first` on, where its agreement lets us pass records on: in order, then the end. Inside. */
struct bundle_entries;
CH_CHECK enum err bundle_entries_begin(struct call *c, struct uuid coop, const struct bundle *b, int64_t first, struct bundle_entries **out);
CH_CHECK enum err bundle_entries_add(struct bundle_entries *s, struct str entry);
CH_CHECK enum err bundle_entries_end(struct bundle_entries *s);

/* ---- bundle_take.c: how long and how much a partner may send while its bundles are got ---- */

struct bundle_fetch_limits {
	long least_speed;   /* bytes a second, over slow_seconds: below it the exchange ends */
	long slow_seconds;
	int64_t pace;       /* bytes a second over a whole file, beside ten seconds for each: a file takes no longer than that */
	int64_t run_ms;     /* of one run of the job, which then goes on another time: what was got stays */
	int64_t total;      /* packed bytes of one bundle */
	int64_t room;       /* bytes that stay free on the disk */
	int bundles;        /* in one run */
};
/* For tests; NULL: the usual ones. */
void bundle_fetch_limits_use(const struct bundle_fetch_limits *limits);
/* Those that hold now. */
const struct bundle_fetch_limits *bundle_fetch_limits(void);

/* Jobs. */
CH_CHECK enum err bundle_export_job(struct call *c, const struct json *args);
CH_CHECK enum err bundle_fetch_job(struct call *c, const struct json *args);
CH_CHECK enum err bundle_tick_job(struct call *c, const struct json *args);
/* Looks for the partner's bundles at that time. Inside. */
CH_CHECK enum err bundle_fetch_later(struct call *c, struct uuid coop, struct uuid agreement, instant due);

/* ---- bundle_files.c: the files of a bundle that is being written ---- */

#define BUNDLE_NAME 40 /* bytes of a path that is written here, with its NUL */
/* A bundle's folder as it grows. Nothing of it is allocated while it does, so that its writers may rewind the call's arena. Streams may be written by several threads, each by one. */
struct bundle_writer {
	struct call *c;
	struct str dir;                 /* staging folder */
	pthread_mutex_t lock;           /* guards the finished files */
	struct bundle_file *files;      /* finished ones */
	size_t n_files;
	char (*names)[BUNDLE_NAME];     /* of them */
	int64_t size, raw_size;         /* of all */
};
/* Lines on their way into a part: a compressed one is cut into files when it grows too long. */
struct bundle_stream {
	struct bundle_writer *w;
	const char *stem;               /* "records": a numbered part; "labels": a single compressed file; "tombstones.jsonl": a plain one */
	bool numbered, plain;
	int no;                         /* of the file that is being written */
	struct error *error;            /* where what goes wrong is said: the call's, unless another thread writes the part */
	struct zst_writer *zst;
	struct zst_writer *closing;     /* the file before, which is still on its way to the disk … */
	char closing_path[BUNDLE_NAME]; /* … and what stands about it in the manifest */
	int64_t closing_lines;
	int fd;                         /* of a plain one */
	struct hasher *hasher;          /* of a plain one */
	struct buf held;                /* of a plain one: not yet written */
	int64_t lines, raw;             /* in this file */
	char path[BUNDLE_NAME];
};
/* Makes an empty folder in place of what was there. */
CH_CHECK enum err bundle_writer_begin(struct call *c, struct str dir, struct bundle_writer *out);
void bundle_stream_begin(struct bundle_writer *w, struct bundle_stream *s, const char *stem, bool numbered, bool plain);
/* Adds a line without its "\n". Needs nothing of the call: any one thread may do it. */
CH_CHECK enum err bundle_stream_line(struct bundle_stream *s, const char *p, size_t n);
/* Finishes the part; without a line there is no file. */
CH_CHECK enum err bundle_stream_end(struct bundle_stream *s);
/* A small file at once. `listed`: in the manifest. */
CH_CHECK enum err bundle_writer_text(struct bundle_writer *w, const char *path, struct str text, bool listed);
/* In order of path. */
void bundle_writer_sort(struct bundle_writer *w);
/* Removes a folder of ours with the files in it. */
void bundle_folder_remove(const char *dir);

#endif
