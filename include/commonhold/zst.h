/* zst.h - Zstandard (RFC 8878) files as co-ops exchange them: a streaming writer that compresses on a thread of its own, and a streaming reader that believes nothing.
 *
 * The writer makes one frame with a content checksum; the same content at the same level is the same file with the same libzstd, however it was cut into pieces when it was added.
 * The reader never allocates by what the file says of itself: the window is bounded, and what comes out is held against the limits with every piece, so that a file of absurd compression
 * costs what the limits allow and no more. A file is one frame: what stands before or behind it, skippable
 * frames too, is refused, since nothing would check it.
 */
#ifndef COMMONHOLD_ZST_H
#define COMMONHOLD_ZST_H

#include "crypto.h"

#define ZST_LEVEL 3          /* what zstd itself takes where nothing is said */
#define ZST_WINDOW_LOG 23    /* the largest window that a reader grants: 8 MiB */

/* What a file is, packed and unpacked. */
struct zst_result {
	int64_t size;             /* bytes of the file */
	int64_t raw_size;         /* bytes before compression */
	struct sha256 sha256;     /* of the file */
	struct sha256 raw_sha256; /* of what was given */
};

struct zst_writer;
/* Creates the file (it must not exist) and the thread. Memory: about 1 MiB and the compressor's own. */
CH_CHECK enum err zst_writer_open(struct zst_writer **out, const char *path, int level, struct error *e);
/* Adds bytes; waits while the compressor is more than a few blocks behind. Errors are kept and said by zst_writer_close. */
void zst_writer_add(struct zst_writer *w, const void *p, size_t n);
/* Bytes given so far. */
int64_t zst_writer_raw(const struct zst_writer *w);
/* Says that nothing more will be added: waits until the rest is compressed and the compressor's memory given back, but not until the file is on the disk, as zst_writer_close does. */
void zst_writer_finish(struct zst_writer *w);
/* Finishes, flushes to the disk and frees the writer; on an error the file is removed. */
CH_CHECK enum err zst_writer_close(struct zst_writer *w, struct zst_result *out, struct error *e);
/* Frees the writer and removes the file. NULL is allowed. */
void zst_writer_abort(struct zst_writer *w);

/* What a reader allows. */
struct zst_limits {
	int64_t raw_max;   /* bytes that may come out */
	int64_t ratio_max; /* bytes that may come out for one that went in, once ZST_RATIO_FROM have come out */
	bool known;        /* the file's digest is known to be that of a file that was read before: what comes out is not hashed again, and raw_sha256 is left zero */
};
#define ZST_RATIO_FROM (1 << 20)

struct zst_reader;
/* Reads `size` bytes from `at` of a regular file's descriptor, which stays the caller's and whose position is neither used nor changed: several readers may share it. */
CH_CHECK enum err zst_reader_open(struct zst_reader **out, int fd, int64_t at, int64_t size, struct zst_limits limits, struct error *e);
/* Up to n bytes; *got is 0 at the end, and only there. ERR_CORRUPT for what is no such file, is cut off or damaged; ERR_TOO_LARGE beyond a limit; ERR_IO. */
CH_CHECK enum err zst_reader_read(struct zst_reader *r, void *to, size_t n, size_t *got, struct error *e);
/* After the end: sizes and digests of all that was read, to be held against what a manifest says. */
void zst_reader_result(struct zst_reader *r, struct zst_result *out);
void zst_reader_close(struct zst_reader *r);

#endif
