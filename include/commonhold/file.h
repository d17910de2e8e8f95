/* file.h - small files as a whole, writing all of something, and the folders above a path.
 *
 * Not for what is larger than memory should hold, for secrets, or for folders that others may write to: those look at owners and modes (crypto, the cluster).
 */
#ifndef COMMONHOLD_FILE_H
#define COMMONHOLD_FILE_H

#include "error.h"
#include "str.h"

/* Reads a file, or standard input for "-". ERR_IO when it cannot be read, ERR_TOO_LARGE over `max` bytes; `what` names it in messages ("The mapping"). */
CH_CHECK enum err file_read(struct arena *a, const char *what, const char *path, size_t max, struct str *out, struct error *e);
/* Writes all of it, whatever interrupts; false with errno. */
CH_CHECK bool file_write_all(int fd, const void *p, size_t n);
/* Makes the folders above `path` that are missing, readable by all. ERR_IO. */
CH_CHECK enum err file_make_parents(const char *path, struct error *e);

#endif
