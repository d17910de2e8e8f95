/* The mirror's folder: its lock, its versions, and the link to the newest. Names in it are ours: anything else is left alone. */
#include "sync_internal.h"

#include "commonhold/file.h"
#include "commonhold/limits.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

bool version_ok(struct str version)
{
	struct str rest = version, part;
	int parts = 0;
	while (str_split(&rest, '.', &part)) {
		int64_t number;
		bool plain = part.n > 0 && part.n <= 9 && (part.n == 1 || part.p[0] != '0') && part.p[0] >= '0' && part.p[0] <= '9';
		if (!plain || !str_to_i64(part, 0, 999999999, &number))
			return false;
		parts++;
	}
	return parts == 3;
}

int version_compare(struct str a, struct str b)
{
	struct str x, y;
	while (str_split(&a, '.', &x) && str_split(&b, '.', &y)) {
		int64_t m = 0, n = 0;
		if (str_to_i64(x, 0, INT32_MAX, &m) && str_to_i64(y, 0, INT32_MAX, &n) && m != n)
			return m < n ? -1 : 1;
	}
	return 0;
}

struct str folder_path(struct sync *s, const char *fmt, ...)
{
	char below[1024];
	va_list args;
	va_start(args, fmt);
	vsnprintf(below, sizeof(below), fmt, args);
	va_end(args);
	return str_fmt(s->arena, "%s/%s", s->o->dir, below);
}

/* ---- opening ---- */

static enum err lock_take(struct sync *s)
{
	s->lock = openat(s->dir, ".mirror/lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (s->lock < 0)
		return sync_fail(s, ERR_IO, "disk", "The folder %s cannot be locked: %s.", s->o->dir, strerrorname_np(errno));
	if (flock(s->lock, LOCK_EX | LOCK_NB) != 0)
		return sync_fail(s, ERR_STATE, "locked", "Another run is at work in %s.", s->o->dir);
	return ERR_OK;
}

static enum err folder_make(struct sync *s, const char *name)
{
	if (mkdirat(s->dir, name, 0755) != 0 && errno != EEXIST)
		return sync_fail(s, ERR_IO, "disk", "The folder %s/%s cannot be made: %s.", s->o->dir, name, strerrorname_np(errno));
	return ERR_OK;
}

static void current_read(struct sync *s)
{
	char to[SYNC_VERSION_MAX + 1];
	ssize_t n = readlinkat(s->dir, "current", to, sizeof(to) - 1);
	struct str version = n > 0 ? str_make(to, (size_t)n) : STR_NONE;
	s->current = version.p && version_ok(version) && folder_has(s, version) ? str_copy(s->arena, version) : STR_NONE;
}

enum err folder_open(struct sync *s)
{
	static const char *const below[] = { ".mirror", ".mirror/incoming", ".mirror/parts", ".mirror/trash", ".mirror/base" };
	TRY(file_make_parents(str_fmt(s->arena, "%s/", s->o->dir).p, s->e));
	s->dir = open(s->o->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir < 0)
		return sync_fail(s, ERR_IO, "disk", "The folder %s cannot be opened: %s.", s->o->dir, strerrorname_np(errno));
	TRY(folder_make(s, below[0]));
	TRY(lock_take(s));
	for (size_t i = 1; i < CH_LEN(below); i++)
		TRY(folder_make(s, below[i]));
	folder_clear(s, STR(".mirror/trash"));
	TRY(folder_make(s, ".mirror/trash"));
	current_read(s);
	return ERR_OK;
}

void folder_close(struct sync *s)
{
	if (s->lock >= 0)
		close(s->lock);
	if (s->dir >= 0)
		close(s->dir);
	s->lock = s->dir = -1;
}

enum err folder_sync(struct sync *s, const char *path)
{
	int fd = openat(s->dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	bool ok = fd >= 0 && fsync(fd) == 0;
	if (fd >= 0)
		close(fd);
	return ok ? ERR_OK : sync_fail(s, ERR_IO, "disk", "The folder %s cannot be made durable: %s.", s->o->dir, strerrorname_np(errno));
}

/* ---- versions ---- */

bool folder_has(const struct sync *s, struct str version)
{
	char name[SYNC_VERSION_MAX + 1];
	struct stat st;
	snprintf(name, sizeof(name), "%.*s", STR_ARG(version));
	return fstatat(s->dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static int by_version(const void *a, const void *b)
{
	return version_compare(*(const struct str *)a, *(const struct str *)b);
}

enum err folder_versions(struct sync *s, struct names *out)
{
	DIR *d = opendir(s->o->dir);
	struct dirent *entry;
	*out = (struct names){ 0 };
	if (!d)
		return sync_fail(s, ERR_IO, "disk", "The folder %s cannot be read: %s.", s->o->dir, strerrorname_np(errno));
	while ((entry = readdir(d))) {
		struct str name = str_of(entry->d_name);
		if (version_ok(name) && folder_has(s, name))
			names_add(s->arena, out, str_copy(s->arena, name));
	}
	closedir(d);
	if (out->n)
		qsort((void *)out->at, out->n, sizeof(*out->at), by_version);
	return ERR_OK;
}

enum err folder_switch(struct sync *s, struct str version)
{
	if (!version.p) {
		if (unlinkat(s->dir, "current", 0) != 0 && errno != ENOENT)
			return sync_fail(s, ERR_IO, "disk", "The link \"current\" cannot be taken away: %s.", strerrorname_np(errno));
	} else {
		const char *to = str_z(s->arena, version);
		(void)unlinkat(s->dir, ".mirror/current.new", 0);
		if (symlinkat(to, s->dir, ".mirror/current.new") != 0 || renameat(s->dir, ".mirror/current.new", s->dir, "current") != 0)
			return sync_fail(s, ERR_IO, "disk", "The link \"current\" cannot be set: %s.", strerrorname_np(errno));
	}
	TRY(folder_sync(s, "."));
	s->current = version;
	return ERR_OK;
}

/* ---- deleting ---- */

/* Follows no link and leaves the file system of the folder. What cannot be deleted now is in the trash of the next run. */
void folder_clear(struct sync *s, struct str path)
{
	char *roots[] = { (char *)folder_path(s, "%.*s", STR_ARG(path)).p, NULL };
	FTS *tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	FTSENT *entry;
	while (tree && (entry = fts_read(tree))) {
		if (entry->fts_info == FTS_DP)
			(void)rmdir(entry->fts_accpath);
		else if (entry->fts_info != FTS_D && entry->fts_info != FTS_DNR)
			(void)unlink(entry->fts_accpath);
	}
	if (tree)
		fts_close(tree);
}

enum err folder_remove(struct sync *s, struct str version)
{
	struct str name = str_fmt(s->arena, "%.*s", STR_ARG(version)), trash = str_fmt(s->arena, ".mirror/trash/%.*s", STR_ARG(version));
	struct str files = str_fmt(s->arena, ".mirror/%.*s.files", STR_ARG(version));
	folder_clear(s, trash);
	if (renameat(s->dir, name.p, s->dir, trash.p) != 0)
		return sync_fail(s, ERR_IO, "disk", "The version %.*s cannot be taken away: %s.", STR_ARG(version), strerrorname_np(errno));
	(void)unlinkat(s->dir, files.p, 0);
	TRY(folder_sync(s, "."));
	folder_clear(s, trash);
	if (faccessat(s->dir, trash.p, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return sync_fail(s, ERR_IO, "disk", "The version %.*s was taken away, but not all of it can be deleted from .mirror/trash.", STR_ARG(version));
	return ERR_OK;
}
