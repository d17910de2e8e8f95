/* archive_internal.h - what the files of the archive share. */
#ifndef COMMONHOLD_ARCHIVE_INTERNAL_H
#define COMMONHOLD_ARCHIVE_INTERNAL_H

#include "commonhold/holdings.h"
#include "commonhold/tar.h"

#define ARCHIVE_CONTRIBUTIONS "contributions"
#define ARCHIVE_ITEMS "items"

/* Rows of one file of an archive: a statement that gives one text a row, a JSON object with "what" it is.
 * Parameters: $1 co-op, $2 membership, $3 its number, $4 account. */
struct archive_rows {
	const char *file; /* "votes.jsonl"; those of one file stand together */
	const char *sql;  /* a COPY */
};
#define ARCHIVE_ARGS 4
extern const struct archive_rows archive_of_account[], archive_of_coop[]; /* ended by a file NULL */

/* A whole file of an archive that is read, of up to `max` bytes. */
CH_CHECK enum err archive_bytes(struct call *c, int fd, const struct tar_file *f, size_t max, struct str *out);

/* What is wrong with somebody's archive is no fault of ours: ERR_REFUSED, "archive_corrupt", with the same sentence. Other errors as they are. */
CH_CHECK enum err archive_refused(struct call *c, enum err e);

/* What the archive's statements deny: of all one's items, of a kind, of single ones. */
struct denials;
CH_CHECK enum err denials_new(struct call *c, struct denials **out);
/* One line of statements.jsonl, oldest first. */
CH_CHECK enum err denials_add(struct denials *d, const struct json *statement, struct error *e);
/* After the last one. */
void denials_settle(struct denials *d);
/* What they deny of an item there, as statements on `here`; at most DENIALS_OF_ITEM. */
#define DENIALS_OF_ITEM 16
size_t denials_of(const struct denials *d, struct uuid there, unsigned kind, struct uuid here, struct statement out[DENIALS_OF_ITEM]);
/* What was said of all items or a kind and stands, as offers. */
CH_CHECK enum err denials_offers(struct call *c, const struct denials *d, struct archive_offer **out, size_t *n);

#endif
