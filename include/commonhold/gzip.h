/* gzip.h - the two ways in which releases meet gzip: a deterministic parallel writer and a bounded streaming reader.
 *
 * The writer cuts what it is given into members of 1 MiB and compresses them with libdeflate on several threads; the members depend on the content and
 * the level alone (no time, no name), so that the same content is the same file, on any machine and with any number of threads. RFC 1952 allows
 * concatenated members; gunzip, zcat, Python and every browser read them as one stream.
 *
 * The reader inflates into a window of the caller's and never holds more than that.
 */
#ifndef COMMONHOLD_GZIP_H
#define COMMONHOLD_GZIP_H

#include "crypto.h"

struct gz_writer;
/* What was written. */
struct gz_result {
	int64_t size;             /* bytes of the file */
	int64_t raw_size;         /* bytes before compression */
	struct sha256 sha256;     /* of the file */
	struct sha256 raw_sha256; /* of what was given */
};

/* Creates the file (it must not exist). `level` is libdeflate's, 1 to 12; `threads` compress (0: one per core, at most 8). Memory: about 4 MiB and
 * 2 MiB more per thread. */
CH_CHECK enum err gz_writer_open(struct gz_writer **out, const char *path, int level, int threads, struct error *e);
/* Adds bytes. Errors are kept and said by gz_writer_close. */
void gz_writer_add(struct gz_writer *w, const void *p, size_t n);
/* Finishes, flushes to the disk and frees the writer; on an error the file is removed. */
CH_CHECK enum err gz_writer_close(struct gz_writer *w, struct gz_result *out, struct error *e);
/* Frees the writer and removes the file. NULL is allowed. */
void gz_writer_abort(struct gz_writer *w);

struct gz_reader;
/* Reads members from a file descriptor, which stays the caller's. `on_compressed`, when given, sees every compressed byte in order (to hash it). */
CH_CHECK enum err gz_reader_open(struct gz_reader **out, int fd, void (*on_compressed)(void *arg, const void *p, size_t n), void *arg, struct error *e);
/* Up to n inflated bytes; *got is 0 at the end. Garbage, a bad checksum or a cut file is ERR_CORRUPT. */
CH_CHECK enum err gz_reader_read(struct gz_reader *r, void *to, size_t n, size_t *got, struct error *e);
void gz_reader_close(struct gz_reader *r);

#endif
