/* tar.h - POSIX tar (ustar, IEEE Std 1003.1-1988), as much of it as a person's archive or a bundle of co-ops needs: plain files with short names, written and read in one pass.
 *
 * The writer needs each file's size before its first byte. The reader believes nothing: another type than a plain file (links, devices, folders, extended headers), a name that leads
 * elsewhere, a wrong checksum or a size beyond the file ends the reading. It never writes to the disk: a file of a tar is a range of bytes of it, and is read where it lies.
 */
#ifndef COMMONHOLD_TAR_H
#define COMMONHOLD_TAR_H

#include "clock.h"
#include "error.h"
#include "str.h"

#define TAR_BLOCK 512
#define TAR_NAME_MAX 100
#define TAR_SIZE_MAX INT64_C(0x1ffffffff) /* eleven octal digits */

/* A header's block. False when the name or the size does not fit. */
CH_CHECK bool tar_header(uint8_t block[TAR_BLOCK], struct str name, int64_t size, instant at);
/* How many bytes of zeros follow a file of this size. */
static inline size_t tar_padding(int64_t size) { return (size_t)((TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK); }
#define TAR_END_BYTES (2 * TAR_BLOCK) /* two blocks of zeros end it */

/* Writes files of one folder one after another into a new tar, which must not exist; every file gets the same instant. On an error the tar is removed. ERR_IO, and ERR_INVALID for a name
 * that is none of ours. */
CH_CHECK enum err tar_pack(const char *to, const char *folder, const struct str *names, size_t n, instant at, struct error *e);

/* One file of a tar that is read: its name (NUL behind it), and where its bytes are. */
struct tar_file { char name[TAR_NAME_MAX + 1]; int64_t at, size; };
/* The file whose header stands at `*at` of a regular file of `end` bytes; `*at` is moved behind it. *found is false at the end. ERR_CORRUPT for what is no such tar. */
CH_CHECK enum err tar_next(int fd, int64_t end, int64_t *at, struct tar_file *out, bool *found, struct error *e);

#endif
