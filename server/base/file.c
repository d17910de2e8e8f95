#include "commonhold/file.h"

#include "commonhold/arena.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static bool read_to_end(FILE *f, struct buf *b)
{
	char block[4096];
	size_t n;
	while (!b->failed && (n = fread(block, 1, sizeof(block), f)) > 0)
		buf_add(b, block, n);
	return !ferror(f);
}

enum err file_read(struct arena *a, const char *what, const char *path, size_t max, struct str *out, struct error *e)
{
	struct buf b;
	bool standard = str_is(str_of(path), "-");
	FILE *f = standard ? stdin : fopen(path, "re");
	if (!f)
		return error_set(e, ERR_IO, "%s %s cannot be read: %s.", what, path, strerrorname_np(errno));
	buf_init(&b, max);
	bool whole = read_to_end(f, &b);
	const char *reason = whole ? "" : strerrorname_np(errno);
	if (!standard)
		fclose(f);
	*out = buf_take(a, &b);
	if (!whole)
		return error_set(e, ERR_IO, "%s %s cannot be read: %s.", what, path, reason);
	return out->p ? ERR_OK : error_set(e, ERR_TOO_LARGE, "%s %s is too large.", what, path);
}

bool file_write_all(int fd, const void *p, size_t n)
{
	const char *from = p;
	while (n) {
		ssize_t done = write(fd, from, n);
		if (done < 0 && errno == EINTR)
			continue;
		if (done == 0)
			errno = ENOSPC;
		if (done <= 0)
			return false;
		from += done;
		n -= (size_t)done;
	}
	return true;
}

enum err file_make_parents(const char *path, struct error *e)
{
	char part[PATH_MAX];
	int n = snprintf(part, sizeof(part), "%s", path);
	if (n <= 0 || (size_t)n >= sizeof(part))
		return error_set(e, ERR_IO, "The path %.64s… is too long.", path);
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0755) != 0 && errno != EEXIST)
			return error_set(e, ERR_IO, "The folder %s cannot be made: %s.", part, strerrorname_np(errno));
		*slash = '/';
	}
	return ERR_OK;
}
