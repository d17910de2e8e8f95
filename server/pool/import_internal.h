/* import_internal.h - what the importers share: the input window, the output, verdicts. One file per family of formats. */
#ifndef POOL_IMPORT_INTERNAL_H
#define POOL_IMPORT_INTERNAL_H

#include "commonhold/import.h"

#include <setjmp.h>
#include <zlib.h>

#define IMPORT_ID_BYTES 200       /* longest id of a row, as in contribution.json */
#define IMPORT_MESSAGES 1000      /* longest conversation, as in chat.json */

/* The input, inflated where it must be, behind a window that holds one value. */
struct import_reader {
	const struct import_source *source; /* the caller's bytes */
	struct import_counts *counts;       /* bytes read are counted there */
	char *window;                       /* heap memory; bytes [start, end) are not yet used */
	size_t start, end, size;            /* size grows to IMPORT_VALUE_BYTES and one chunk */
	uint64_t line;                      /* line of window[start], from 1 */
	unsigned char *raw;                 /* compressed bytes, when there are any */
	size_t raw_used, raw_end;           /* position in it */
	z_stream z;                         /* inflater */
	bool gzip;                          /* whether z is in use */
	bool member_open;                   /* inside a gzip member */
	bool damaged;                       /* it cannot be inflated further */
	bool eof;                           /* the source has ended */
	bool array;                         /* values are elements of one array rather than lines */
	bool array_over;                    /* its closing bracket was seen */
};

CH_CHECK enum err import_reader_open(struct import_reader *r, const struct import_source *source, struct import_counts *counts, struct error *e);
void import_reader_release(struct import_reader *r);
/* Reads more behind the window's end; *got is false at the end of the input or when the window is full. */
CH_CHECK enum err import_reader_fill(struct import_reader *r, bool *got, struct error *e);

/* What import_reader_value found. */
enum import_value { IMPORT_VALUE_END, IMPORT_VALUE_READY, IMPORT_VALUE_TOO_LARGE, IMPORT_VALUE_CUT };
/* The next line that is not blank, or the next element when the input begins with '['. The view lives until the next call. */
CH_CHECK enum err import_reader_value(struct import_reader *r, enum import_value *what, struct str *value, uint64_t *line, struct error *e);

/* One run. */
struct import {
	const struct import_options *options; /* what the caller wants */
	const struct import_sink *sink;       /* where it goes */
	struct import_counts *counts;         /* how far it got */
	struct error *e;                      /* the run's error, when one ends it */
	struct import_reader in;              /* the input */
	struct arena *keep;                   /* memory of the run: the compiled mapping */
	struct arena *row;                    /* memory of one row, rewound after it */
	struct buf text;                      /* an item while it is written */
	struct buf canonical;                 /* its canonical form */
	uint64_t line;                        /* line of the row in hand */
	uint64_t told;                        /* bytes at the last progress report */
	jmp_buf out_of_memory;                /* where the row's arena jumps when one row wants too much */
};

/* Runs fn(arg) with the row's arena, which is as before afterwards. *exhausted says that it wanted more memory than a row may have. */
CH_CHECK enum err import_guarded(struct import *im, enum err (*fn)(void *arg), void *arg, bool *exhausted);
/* Tells the sink how far it got, when that is due. */
void import_progress(struct import *im, bool last);
/* Adds a refused row to the counts and tells the sink. Pointer, message and id may be absent; the reason's sentence stands in. */
void import_refuse(struct import *im, uint64_t line, enum import_reason reason, struct str pointer, struct str message, struct str source_id);
/* Checks an item's tree against contribution.json and gives its canonical form to the sink; what does not pass becomes a verdict. */
CH_CHECK enum err import_emit(struct import *im, const struct json *contribution, struct str source_user, const struct str *ids, size_t n);
/* The same for what was written into im->text. */
CH_CHECK enum err import_emit_text(struct import *im, struct str source_user, const struct str *ids, size_t n);
/* "a-" and 16 base32 characters of HMAC-SHA-256 of the source's system and user. */
struct str import_pseudonym(struct import *im, const char *system, struct str user);
/* Begins an item in im->text: {"kind":…,"lang":…,"licence":…,"attribution":…, ready for "content". */
void import_begin(struct import *im, struct json_writer *w, enum policy_kind kind, struct str lang);
/* Ends it with "source": {system, ids, authors}; authors may be NULL. */
void import_end(struct import *im, struct json_writer *w, const char *system, const struct str *ids, const struct str *authors, size_t n);
/* {"role":…,"content":…} */
void import_message(struct json_writer *w, const char *role, struct str content);
/* Our word for a role by any name that the formats use ("human", "gpt", "prompter" …); NULL when it is none. */
const char *import_role(struct str name);
/* A row that says of itself that it is deleted. */
bool import_is_deleted(const struct json *row);

/* The importers: one JSON value each, already parsed. */
enum err import_row_jsonl(struct import *im, const struct json *row);
enum err import_row_sharegpt(struct import *im, const struct json *row);
enum err import_row_preference(struct import *im, const struct json *row);
enum err import_row_openai(struct import *im, const struct json *row);
enum err import_row_anthropic(struct import *im, const struct json *row);
/* One turn, read from any of the formats. */
struct import_turn {
	const char *role;    /* our word for it */
	struct str content;  /* its text */
};
/* Reads a list of messages, by any of the names that formats use for roles and texts; false when it is none. Memory of the row. */
CH_CHECK bool import_turns(struct import *im, const struct json *list, struct import_turn **turns, size_t *n);
/* "key": [messages] */
void import_write_turns(struct json_writer *w, const char *key, const struct import_turn *turns, size_t n);

/* OpenAssistant keeps trees between rows. */
struct oasst;
struct oasst *oasst_new(struct import *im);
void oasst_free(struct oasst *o);
/* Keeps a message or a whole tree. */
CH_CHECK enum err oasst_row(struct oasst *o, const struct json *row);
/* Between rows: finishes trees that are complete, and the longest waiting while the window is full. */
CH_CHECK enum err oasst_settle(struct oasst *o);
/* Finishes the trees that are still open. */
CH_CHECK enum err oasst_finish(struct oasst *o);

/* CSV reads the window itself. */
CH_CHECK enum err import_csv(struct import *im);

#endif
