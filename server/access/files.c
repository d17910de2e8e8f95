/* The files of a release on disk. What may be opened is what the release lists, and its seals; a path that was asked for is only ever compared, and what is opened is opened step by
 * step below the release's own folder, following no link. */
#include "access_internal.h"

#include "commonhold/release_joint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Written after the list was closed: they are about it. */
static const char *const seals[] = { "SHA256SUMS", "SHA256SUMS.minisig", "checkpoint", "manifest.dsse.json", "manifest.json", "release.tlog-proof" };
/* One that comes later, or never: the partner's, of a redaction of what two co-ops made. */
static const char *const later_seals[] = { JOINT_PARTNER_SEAL };

static const char *seal_named(struct str path)
{
	int no = str_which(path, seals, CH_LEN(seals)), later = str_which(path, later_seals, CH_LEN(later_seals));
	return no >= 0 ? seals[no] : later >= 0 ? later_seals[later] : NULL;
}

static enum err missing(struct call *c, struct str path)
{
	return fail(c, ERR_IO, "The file %.*s of a release cannot be opened: %s.", STR_ARG(path), strerrorname_np(errno));
}

/* One step down; closes where it came from. */
static int step(int at, const char *name, int flags)
{
	int fd = openat(at, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | flags);
	int why = errno;
	close(at);
	errno = why;
	return fd;
}

static bool is_plain(struct str part)
{
	return part.n > 0 && !str_is(part, ".") && !str_is(part, "..");
}

static enum err open_below(struct call *c, struct str dir, struct str path, int *out)
{
	struct str rest = path, part;
	int fd = open(str_z(c->arena, dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return missing(c, path);
	while (str_split(&rest, '/', &part)) {
		if (!is_plain(part)) {
			close(fd);
			return fail(c, ERR_CORRUPT, "A release lists a file by a path that is not plain.");
		}
		fd = step(fd, str_z(c->arena, part), rest.p ? O_DIRECTORY : O_NONBLOCK);
		if (fd < 0)
			return missing(c, path);
	}
	*out = fd;
	return ERR_OK;
}

static enum err regular_size(struct call *c, int fd, int64_t *size)
{
	struct stat st;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
		return fail(c, ERR_CORRUPT, "A file of a release is not a regular file.");
	*size = st.st_size;
	return ERR_OK;
}

/* A seal is small, and nothing keeps its digest. */
static enum err hash_file(struct call *c, int fd, struct sha256 *out)
{
	struct hasher *h = hasher_new(c->arena);
	char block[16384];
	ssize_t n;
	int64_t at = 0;
	while ((n = pread(fd, block, sizeof(block), at)) > 0) {
		hasher_add(h, block, (size_t)n);
		at += n;
	}
	*out = hasher_end(h);
	return n == 0 ? ERR_OK : fail(c, ERR_IO, "A file of a release cannot be read: %s.", strerrorname_np(errno));
}

static enum err open_seal(struct call *c, struct uuid coop, struct uuid release, const char *name, struct access_file *out)
{
	*out = (struct access_file){ .path = str_of(name), .fd = -1 };
	TRY(open_below(c, release_dir(c->arena, coop, release), out->path, &out->fd));
	enum err e = regular_size(c, out->fd, &out->size);
	if (e == ERR_OK)
		e = hash_file(c, out->fd, &out->sha256);
	if (e != ERR_OK)
		close(out->fd);
	return e;
}

static enum err open_listed(struct call *c, struct uuid coop, struct uuid release, struct str path, struct access_file *out)
{
	struct release_file listed;
	int64_t size = 0;
	TRY(release_file_find(c, coop, release, path, &listed));
	*out = (struct access_file){ .path = listed.path, .fd = -1, .size = listed.size, .sha256 = listed.sha256 };
	TRY(open_below(c, release_dir(c->arena, coop, release), listed.path, &out->fd));
	enum err e = regular_size(c, out->fd, &size);
	if (e == ERR_OK && size != listed.size)
		e = fail(c, ERR_CORRUPT, "A file of a release has another size than it was published with.");
	if (e != ERR_OK)
		close(out->fd);
	return e;
}

/* Of the seals that come later; the others are always there. */
static bool is_there(struct call *c, struct uuid coop, struct uuid release, const char *seal)
{
	struct str dir = release_dir(c->arena, coop, release);
	struct stat st;
	for (size_t i = 0; i < CH_LEN(later_seals); i++)
		if (strcmp(seal, later_seals[i]) == 0)
			return lstat(str_fmt(c->arena, "%.*s/%s", STR_ARG(dir), seal).p, &st) == 0;
	return true;
}

enum err access_file_open(struct call *c, struct uuid coop, const struct release *release, struct str path, struct access_file *out)
{
	const char *seal = seal_named(path);
	if (seal && !is_there(c, coop, release->id, seal))
		return fail(c, ERR_NOT_FOUND, "The release has no such file.");
	if (seal)
		return open_seal(c, coop, release->id, seal, out);
	if (!path.n || !str_is_utf8(path))
		return fail(c, ERR_NOT_FOUND, "The release has no such file.");
	return open_listed(c, coop, release->id, path, out);
}

static int by_path(const void *a, const void *b)
{
	return str_cmp(((const struct release_file *)a)->path, ((const struct release_file *)b)->path);
}

enum err access_files(struct call *c, struct uuid coop, const struct release *release, struct release_file **out, size_t *n)
{
	struct release_file *listed;
	size_t n_listed;
	TRY(release_files(c, coop, release->id, &listed, &n_listed));
	*out = ARENA_ARRAY(c->arena, n_listed + CH_LEN(seals) + CH_LEN(later_seals), struct release_file);
	if (n_listed)
		memcpy(*out, listed, n_listed * sizeof(**out));
	*n = n_listed;
	for (size_t i = 0; i < CH_LEN(seals) + CH_LEN(later_seals); i++) {
		const char *seal = i < CH_LEN(seals) ? seals[i] : later_seals[i - CH_LEN(seals)];
		struct access_file f;
		if (!is_there(c, coop, release->id, seal))
			continue;
		TRY(open_seal(c, coop, release->id, seal, &f));
		close(f.fd);
		(*out)[(*n)++] = (struct release_file){ .path = f.path, .size = f.size, .sha256 = f.sha256 };
	}
	qsort(*out, *n, sizeof(**out), by_path);
	return ERR_OK;
}
