/* What is known of the files that the folder holds: their hashes, so that nothing is fetched that is here, and place and time, so that what did not change is not read again. */
#include "sync_internal.h"

#include "commonhold/file.h"
#include "commonhold/limits.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define INDEX_MAX (64 * MIB)

struct str held_path(struct sync *s, const struct held_file *f)
{
	return folder_path(s, "%.*s/%.*s", STR_ARG(f->folder), STR_ARG(f->path));
}

static struct held_file *held_add(struct sync *s, struct held *to)
{
	if (to->n == to->cap) {
		size_t cap = to->cap ? to->cap * 2 : 64;
		struct held_file *grown = ARENA_ARRAY(s->arena, cap, struct held_file);
		if (to->n)
			memcpy(grown, to->at, to->n * sizeof(*grown));
		to->at = grown;
		to->cap = cap;
	}
	struct held_file *f = &to->at[to->n++];
	*f = (struct held_file){ 0 };
	return f;
}

void held_add_unknown(struct sync *s, struct held *to, struct str folder, struct str path, struct sha256 sha256, int64_t size)
{
	struct held_file *f = held_add(s, to);
	f->folder = folder;
	f->path = path;
	f->sha256 = sha256;
	f->size = size;
}

enum err held_note(struct sync *s, struct held *to, const char *at, struct str path, struct sha256 sha256)
{
	struct stat st;
	if (lstat(at, &st) != 0 || !S_ISREG(st.st_mode))
		return sync_fail(s, ERR_IO, "disk", "%.*s cannot be looked at.", STR_ARG(path));
	struct held_file *f = held_add(s, to);
	*f = (struct held_file){ sha256, STR_NONE, path, st.st_size, st.st_mtim.tv_sec, st.st_mtim.tv_nsec, st.st_ino };
	return ERR_OK;
}

/* ---- the list of a folder ---- */

static struct str index_name(struct sync *s, struct str folder)
{
	return str_starts(folder, ".mirror/") ? str_fmt(s->arena, "%.*s.files", STR_ARG(folder)) : str_fmt(s->arena, ".mirror/%.*s.files", STR_ARG(folder));
}

/* "<sha256> <size> <seconds> <nanoseconds> <inode> <path>" */
enum err held_write(struct sync *s, struct str folder, const struct held *files)
{
	struct buf b;
	buf_init(&b, INDEX_MAX);
	for (size_t i = 0; i < files->n; i++) {
		const struct held_file *f = &files->at[i];
		buf_addf(&b, "%.*s %lld %lld %lld %llu %.*s\n", STR_ARG(sha256_hex(s->arena, f->sha256)), (long long)f->size, (long long)f->seconds, (long long)f->nanoseconds,
			(unsigned long long)f->inode, STR_ARG(f->path));
	}
	struct str text = buf_take(s->arena, &b);
	if (!text.p)
		return sync_fail(s, ERR_TOO_LARGE, "state", "There are more files than a mirror can remember.");
	const char *name = index_name(s, folder).p;
	char temporary[256];
	snprintf(temporary, sizeof(temporary), "%s.new", name);
	int fd = openat(s->dir, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	bool ok = fd >= 0 && file_write_all(fd, text.p, text.n) && fsync(fd) == 0;
	if (fd >= 0)
		close(fd);
	if (!ok || renameat(s->dir, temporary, s->dir, name) != 0)
		return sync_fail(s, ERR_IO, "disk", "The list of files cannot be written: %s.", strerrorname_np(errno));
	return ERR_OK;
}

static bool line_read(struct str line, struct held_file *f)
{
	struct str hex, number[4];
	int64_t value[4];
	if (!str_split(&line, ' ', &hex) || !sha256_parse(hex, &f->sha256))
		return false;
	for (int i = 0; i < 4; i++)
		if (!str_split(&line, ' ', &number[i]) || !str_to_i64(number[i], INT64_MIN, INT64_MAX, &value[i]))
			return false;
	f->size = value[0];
	f->seconds = value[1];
	f->nanoseconds = value[2];
	f->inode = (uint64_t)value[3];
	f->path = line;
	return line.n > 0;
}

static bool index_read(struct sync *s, struct str folder)
{
	struct str text, line;
	struct error e = { 0 };
	struct held_file f;
	const char *path = folder_path(s, "%.*s", STR_ARG(index_name(s, folder))).p;
	if (access(path, F_OK) != 0 || file_read(s->arena, "The list", path, INDEX_MAX, &text, &e) != ERR_OK || !str_ends(text, "\n"))
		return false;
	text.n--;
	while (str_split(&text, '\n', &line)) {
		f = (struct held_file){ .folder = folder };
		if (!line_read(line, &f))
			return false;
		*held_add(s, &s->held) = f;
	}
	return true;
}

/* Without a list, the manifest that came with the files says what they should be. */
static void manifest_index(struct sync *s, struct str folder)
{
	struct str text;
	const struct json *j;
	struct error e = { 0 };
	const char *path = folder_path(s, "%.*s/manifest.json", STR_ARG(folder)).p;
	if (access(path, F_OK) != 0 || file_read(s->arena, "The manifest", path, LIMIT_MANIFEST, &text, &e) != ERR_OK || json_parse(s->arena, text, &j, &e) != ERR_OK)
		return;
	json_each(file, json_get(j, "files")) {
		struct sha256 sha;
		struct str name = json_member_text(file, "path");
		if (name.n && name.n < 256 && !str_starts(name, "/") && !memmem(name.p, name.n, "..", 2) && sha256_parse(json_member_text(file, "sha256"), &sha))
			held_add_unknown(s, &s->held, folder, name, sha, json_int(json_get(file, "size"), -1));
	}
}

static int by_hash(const void *a, const void *b)
{
	return memcmp(((const struct held_file *)a)->sha256.b, ((const struct held_file *)b)->sha256.b, 32);
}

static void bases_read(struct sync *s)
{
	DIR *d = opendir(folder_path(s, ".mirror/base").p);
	struct dirent *entry;
	while (d && (entry = readdir(d)))
		if (version_ok(str_of(entry->d_name)))
			(void)index_read(s, str_fmt(s->arena, ".mirror/base/%s", entry->d_name));
	if (d)
		closedir(d);
}

enum err held_load(struct sync *s)
{
	struct names versions;
	s->held = (struct held){ 0 };
	TRY(folder_versions(s, &versions));
	for (size_t i = 0; i < versions.n; i++) {
		size_t before = s->held.n;
		if (!index_read(s, versions.at[i])) {
			s->held.n = before;
			manifest_index(s, versions.at[i]);
		}
	}
	bases_read(s);
	if (s->held.n)
		qsort(s->held.at, s->held.n, sizeof(*s->held.at), by_hash);
	return ERR_OK;
}

/* ---- using them ---- */

static bool is_unchanged(const struct held_file *f, const struct stat *st)
{
	return f->inode && st->st_ino == f->inode && st->st_mtim.tv_sec == f->seconds && st->st_mtim.tv_nsec == f->nanoseconds;
}

static bool is_usable(struct sync *s, const struct held_file *f, bool *trusted)
{
	struct stat st;
	struct sha256 now;
	const char *path = held_path(s, f).p;
	if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size != f->size)
		return false;
	*trusted = is_unchanged(f, &st);
	return *trusted || (file_sha256(s, path, &now) == ERR_OK && sha256_eq(now, f->sha256));
}

const struct held_file *held_find(struct sync *s, struct sha256 sha256, int64_t size, bool *trusted)
{
	size_t low = 0, high = s->held.n;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (memcmp(s->held.at[middle].sha256.b, sha256.b, 32) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < s->held.n && sha256_eq(s->held.at[low].sha256, sha256); low++)
		if (s->held.at[low].size == size && is_usable(s, &s->held.at[low], trusted))
			return &s->held.at[low];
	return NULL;
}

const struct held_file *held_at(struct sync *s, struct str folder, struct str path)
{
	for (size_t i = 0; i < s->held.n; i++)
		if (str_eq(s->held.at[i].path, path) && str_eq(s->held.at[i].folder, folder))
			return &s->held.at[i];
	return NULL;
}

enum err file_sha256(struct sync *s, const char *path, struct sha256 *out)
{
	char block[65536];
	ssize_t got = -1;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	struct hasher *h = fd >= 0 ? hasher_new(NULL) : NULL;
	while (h && (got = read(fd, block, sizeof(block))) > 0)
		hasher_add(h, block, (size_t)got);
	if (fd >= 0)
		close(fd);
	if (h && got == 0)
		*out = hasher_end(h);
	hasher_free(h);
	return h && got == 0 ? ERR_OK : sync_fail(s, ERR_IO, "disk", "A file of the mirror cannot be read.");
}

static bool copy_all(int from, int to, int64_t size)
{
	char block[65536];
	ssize_t got;
	if (ioctl(to, FICLONE, from) == 0)
		return true;
	while ((got = read(from, block, sizeof(block))) > 0) {
		size -= got;
		if (write(to, block, (size_t)got) != got)
			return false;
	}
	return got == 0 && size == 0;
}

enum err file_take_over(struct sync *s, const char *from, const char *to, int64_t size)
{
	if (link(from, to) == 0)
		return ERR_OK;
	int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	bool ok = in >= 0 && out >= 0 && copy_all(in, out, size) && fsync(out) == 0;
	int number = errno;
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return ok ? ERR_OK : sync_fail(s, ERR_IO, "disk", "A file cannot be taken over: %s.", strerrorname_np(number));
}
