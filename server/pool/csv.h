/* csv.h - RFC 4180, fed piece by piece: quotes, doubled quotes, line breaks inside quotes, CRLF, LF or CR, a byte order mark at the start.
 *
 * Strict where the RFC is: a quotation mark inside an unquoted field, or text after a closing one, makes the record bad; reading goes on at the next line.
 * Whatever the cuts between pieces, the records are the same. Memory: one record, at most csv_init's maximum.
 */
#ifndef POOL_CSV_H
#define POOL_CSV_H

#include "commonhold/import.h"

enum csv_result {
	CSV_MORE,      /* all bytes used, no record complete */
	CSV_RECORD,    /* a record is complete */
	CSV_BAD,       /* a record is not well-formed: `problem` says why */
	CSV_TOO_LARGE, /* a record is larger than the maximum */
};

enum csv_state { CSV_START, CSV_PLAIN, CSV_QUOTED, CSV_QUOTE_IN_QUOTED, CSV_SKIP_LINE };

struct csv {
	struct buf text;               /* the fields' text, one after the other */
	size_t end[IMPORT_COLUMNS];    /* where each field ends in it */
	size_t fields;                 /* complete fields of the record */
	uint64_t line;                 /* where the record began, from 1 */
	uint64_t next_line;            /* line of the next byte */
	const char *problem;           /* sentence for CSV_BAD */
	enum csv_state state;
	char delimiter;
	unsigned mark;                 /* bytes of a byte order mark seen, 3 once that is settled */
	bool after_cr;                 /* an LF now belongs to the CR before it */
	bool complete;                 /* the record was handed out: the next byte begins another */
	bool overflow;                 /* the record is too large: read on without keeping it */
	bool touched;                  /* the record has at least a byte: blank lines are none */
};

void csv_init(struct csv *c, char delimiter, size_t max_record);
void csv_release(struct csv *c);
/* Reads up to the end of a record; *used says how many bytes it took. */
enum csv_result csv_feed(struct csv *c, const char *p, size_t n, size_t *used);
/* At the end of the input: the last record when no line break followed it. CSV_MORE: there is none. */
enum csv_result csv_finish(struct csv *c);
/* A field of the record, valid until the next call. */
struct str csv_field(const struct csv *c, size_t i);

#endif
