/* The folder of a release: which files there are, and their hashes. Names come from strangers: each is checked before it is opened. */
#include "verify_internal.h"

#include "commonhold/release_joint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Times of files are as coarse as a clock's tick, or a second or two where the file system is an old one, and a page that is mapped and dirty may be written once more without a
 * word: of a file that changed so shortly ago nobody can tell whether it changed again. */
#define SETTLING_SECONDS 3

/* What is not in the manifest, because it came after it. */
static const char *const beside_manifest[] = { "SHA256SUMS", "SHA256SUMS.minisig", "checkpoint", "manifest.dsse.json", "manifest.json", JOINT_PARTNER_SEAL, "release.tlog-proof" };

static bool name_ok(const char *name)
{
	size_t n = strlen(name);
	for (size_t i = 0; i < n; i++) {
		char c = name[i];
		bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
		if (!word && (i == 0 || (c != '.' && c != '+' && c != '-')))
			return false;
	}
	return n > 0;
}

/* A folder that is still to be read. */
struct pending {
	struct str path;   /* "" for the top */
	unsigned depth;
	struct pending *next;
};

struct listing {
	struct verifying *v;
	struct pending *pending;
	size_t cap;
};

/* By the machine's own clock, which files' times come from. */
static bool has_settled(const struct stat *st)
{
	struct timespec now;
	return clock_gettime(CLOCK_REALTIME_COARSE, &now) == 0 && now.tv_sec - st->st_ctim.tv_sec >= SETTLING_SECONDS;
}

static bool file_add(struct listing *l, struct str path, const struct stat *st)
{
	struct verifying *v = l->v;
	if (v->n_files == VERIFY_FILES_MAX)
		return verify_bad(v, "The folder holds more than %d files.", VERIFY_FILES_MAX);
	if (v->n_files == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 256;
		struct found *grown = ARENA_ARRAY(v->arena, cap, struct found);
		if (v->n_files)
			memcpy(grown, v->files, v->n_files * sizeof(*grown));
		v->files = grown;
		l->cap = cap;
	}
	v->files[v->n_files++] = (struct found){
		.path = path, .size = st->st_size, .identity = { st->st_dev, st->st_ino, st->st_mtim, st->st_ctim }, .settled = has_settled(st),
	};
	return true;
}

static bool entry_add(struct listing *l, const struct pending *folder, int fd, const char *name)
{
	struct verifying *v = l->v;
	struct stat st;
	if (!name_ok(name))
		return verify_bad(v, "The folder holds a file whose name is not one of a release (in \"%.*s\").", STR_ARG(folder->path));
	struct str path = folder->path.n ? str_fmt(v->arena, "%.*s/%s", STR_ARG(folder->path), name) : str_copy(v->arena, str_of(name));
	if (path.n > 255 || fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return verify_bad(v, "The file \"%.*s\" cannot be looked at.", STR_ARG(path));
	if (S_ISREG(st.st_mode))
		return file_add(l, path, &st);
	if (!S_ISDIR(st.st_mode) || folder->depth == VERIFY_DEPTH_MAX)
		return verify_bad(v, "\"%.*s\" is neither a plain file nor a folder of a release.", STR_ARG(path));
	struct pending *below = ARENA_NEW(v->arena, struct pending);
	*below = (struct pending){ path, folder->depth + 1, l->pending };
	l->pending = below;
	return true;
}

static void close_folder(void *dir)
{
	closedir(dir);
}

static bool folder_list(struct listing *l, const struct pending *folder)
{
	struct verifying *v = l->v;
	int fd = openat(v->dir, folder->path.n ? str_z(v->arena, folder->path) : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return verify_bad(v, "The folder \"%.*s\" cannot be read: %s.", STR_ARG(folder->path), strerror(errno));
	}
	arena_defer(v->arena, close_folder, dir);
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 && !entry_add(l, folder, fd, entry->d_name))
			return false;
	return true;
}

static int by_path(const void *a, const void *b)
{
	return str_cmp(((const struct found *)a)->path, ((const struct found *)b)->path);
}

struct found *files_find(struct verifying *v, struct str path)
{
	const struct found key = { .path = path };
	return v->n_files ? bsearch(&key, v->files, v->n_files, sizeof(key), by_path) : NULL;
}

static bool required_there(struct verifying *v)
{
	static const char *const always[] = { "README.md", "TERMS.md", "croissant.json", "manifest.dsse.json", "manifest.json", "policy.json", "report.json", "tombstones.jsonl" };
	static const char *const published[] = { "SHA256SUMS", "SHA256SUMS.minisig", "checkpoint", "release.tlog-proof" };
	for (size_t i = 0; i < CH_LEN(always); i++)
		if (!files_find(v, str_of(always[i])))
			return verify_bad(v, "The file \"%s\" is missing.", always[i]);
	for (size_t i = 0; i < CH_LEN(published) && !v->options->staged; i++)
		if (!files_find(v, str_of(published[i])))
			return verify_bad(v, "The file \"%s\" is missing.", published[i]);
	return true;
}

static void files_vouched(struct verifying *v)
{
	for (size_t i = 0; v->options->hashed && i < v->n_files; i++)
		v->files[i].hashed = v->files[i].hashed || v->options->hashed(v->options->arg, v->files[i].path, &v->files[i].sha256);
}

bool files_list(struct verifying *v)
{
	struct listing l = { .v = v, .pending = ARENA_NEW(v->arena, struct pending) };
	*l.pending = (struct pending){ .path = STR("") };
	while (l.pending) {
		struct pending *folder = l.pending;
		l.pending = folder->next;
		if (!folder_list(&l, folder))
			return false;
	}
	if (v->n_files)
		qsort(v->files, v->n_files, sizeof(*v->files), by_path);
	files_recall(v);
	files_vouched(v);
	return required_there(v) && verify_good(v, "%zu files, none of the necessary ones missing.", v->n_files);
}

int files_open(const struct verifying *v, struct str path)
{
	struct stat st;
	char z[256];
	if (path.n >= sizeof(z))
		return -1;
	memcpy(z, path.p, path.n);
	z[path.n] = '\0';
	/* O_NONBLOCK: a pipe put in the file's place must not hold us */
	int fd = openat(v->dir, z, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
		close(fd);
		return -1;
	}
	return fd;
}

static ssize_t read_some(int fd, void *to, size_t n)
{
	ssize_t got;
	do
		got = read(fd, to, n);
	while (got < 0 && errno == EINTR);
	return got;
}

bool files_read(struct verifying *v, const char *path, size_t max, struct str *out)
{
	const struct found *f = files_find(v, str_of(path));
	if (!f || (uint64_t)f->size > max)
		return verify_bad(v, f ? "The file \"%s\" is too large." : "The file \"%s\" is missing.", path);
	char *p = arena_alloc(v->arena, (size_t)f->size + 1);
	int fd = files_open(v, f->path);
	size_t n = 0;
	ssize_t got = -1;
	while (fd >= 0 && n <= (size_t)f->size && (got = read_some(fd, p + n, (size_t)f->size + 1 - n)) > 0)
		n += (size_t)got;
	if (fd >= 0)
		close(fd);
	if (got != 0 || n != (size_t)f->size)
		return verify_bad(v, "The file \"%s\" cannot be read.", path);
	*out = str_make(p, n);
	return true;
}

bool files_hash_quietly(const struct verifying *v, struct found *f)
{
	char block[65536];
	ssize_t got = -1;
	if (f->hashed)
		return true;
	int fd = files_open(v, f->path);
	struct hasher *h = fd >= 0 ? hasher_new(NULL) : NULL;
	while (h && (got = read_some(fd, block, sizeof(block))) > 0)
		hasher_add(h, block, (size_t)got);
	if (fd >= 0)
		close(fd);
	if (h && got == 0) {
		f->sha256 = hasher_end(h);
		f->hashed = true;
	}
	hasher_free(h);
	return f->hashed;
}

bool files_hash(struct verifying *v, struct found *f)
{
	return files_hash_quietly(v, f) ? true : verify_bad(v, "The file \"%.*s\" cannot be read.", STR_ARG(f->path));
}

/* Files of the last verification, in byte order of path. */
struct verify_memory {
	struct arena *arena;    /* the caller's: the verification's own ends with it */
	struct found *files;
	size_t n;
};

struct verify_memory *verify_memory_new(struct arena *a)
{
	struct verify_memory *m = ARENA_NEW(a, struct verify_memory);
	if (m)
		m->arena = a;
	return m;
}

static bool same_file(const struct found *a, const struct found *b)
{
	const struct identity *x = &a->identity, *y = &b->identity;
	return a->size == b->size && x->device == y->device && x->inode == y->inode && x->modified.tv_sec == y->modified.tv_sec && x->modified.tv_nsec == y->modified.tv_nsec
		&& x->changed.tv_sec == y->changed.tv_sec && x->changed.tv_nsec == y->changed.tv_nsec;
}

void files_recall(struct verifying *v)
{
	const struct verify_memory *m = v->options->memory;
	for (size_t i = 0; m && m->n && i < v->n_files; i++) {
		struct found *f = &v->files[i];
		const struct found *before = bsearch(f, m->files, m->n, sizeof(*f), by_path);
		if (!before || !before->hashed || !before->settled || !same_file(before, f))
			continue;
		f->sha256 = before->sha256;
		f->hashed = true;
	}
}

void files_remember(const struct verifying *v)
{
	struct verify_memory *m = v->options->memory;
	struct found *files = m && v->n_files ? ARENA_ARRAY(m->arena, v->n_files, struct found) : NULL;
	if (!files)
		return;
	for (size_t i = 0; i < v->n_files; i++) {
		files[i] = v->files[i];
		files[i].path = str_copy(m->arena, v->files[i].path);
		files[i].entry = NULL;
	}
	m->files = files;
	m->n = v->n_files;
}

/* "<64 hex digits>  <path>", as sha256sum writes and reads it. */
static bool sums_line(struct verifying *v, struct str line, struct found **out, struct sha256 *hash)
{
	struct str hex = str_sub(line, 0, 64), path = str_sub(line, 66, line.n);
	for (size_t i = 0; i < hex.n; i++)
		if (hex.p[i] >= 'A' && hex.p[i] <= 'F')
			return verify_bad(v, "SHA256SUMS has a line that is not in its plain form.");
	if (!str_is(str_sub(line, 64, 2), "  ") || !sha256_parse(hex, hash))
		return verify_bad(v, "SHA256SUMS has a line that is not a hash and a path.");
	*out = files_find(v, path);
	return *out ? true : verify_bad(v, "SHA256SUMS names \"%.*s\", which is not there.", STR_ARG(str_sub(path, 0, 255)));
}

static bool may_be_unlisted(const struct found *f)
{
	return str_is(f->path, "SHA256SUMS") || str_is(f->path, "SHA256SUMS.minisig") || str_is(f->path, "checkpoint") || str_is(f->path, "release.tlog-proof") || str_is(f->path, JOINT_PARTNER_SEAL);
}

bool files_sums(struct verifying *v)
{
	struct str text, line;
	if (!files_read(v, "SHA256SUMS", LIMIT_MANIFEST, &text))
		return false;
	if (!text.n || text.p[text.n - 1] != '\n')
		return verify_bad(v, "SHA256SUMS does not end with a line.");
	bool *listed = ARENA_ARRAY(v->arena, v->n_files, bool);
	struct str rest = str_sub(text, 0, text.n - 1);
	while (str_split(&rest, '\n', &line)) {
		struct found *f = NULL;
		struct sha256 hash;
		if (!sums_line(v, line, &f, &hash) || !files_hash(v, f))
			return false;
		if (memcmp(hash.b, f->sha256.b, 32) != 0)
			return verify_bad(v, "\"%.*s\" is not the file that SHA256SUMS speaks of: its hash differs.", STR_ARG(f->path));
		if (listed[f - v->files])
			return verify_bad(v, "SHA256SUMS names \"%.*s\" twice.", STR_ARG(f->path));
		listed[f - v->files] = true;
	}
	for (size_t i = 0; i < v->n_files; i++)
		if (!listed[i] && !may_be_unlisted(&v->files[i]))
			return verify_bad(v, "\"%.*s\" is not in SHA256SUMS.", STR_ARG(v->files[i].path));
	return verify_good(v, "Every file has the hash that SHA256SUMS gives it, and none is left out.");
}

static bool is_beside_manifest(struct str path)
{
	return str_which(path, beside_manifest, CH_LEN(beside_manifest)) >= 0;
}

bool files_claimed(struct verifying *v)
{
	json_each(entry, json_get(v->manifest, "files")) {
		struct str path = json_member_text(entry, "path");
		struct found *f = files_find(v, path);
		if (!f || is_beside_manifest(path))
			return verify_bad(v, f ? "The manifest names \"%.*s\", which comes after it." : "The manifest names \"%.*s\", which is not there.", STR_ARG(path));
		if (f->size != json_int(json_get(entry, "size"), -1))
			return verify_bad(v, "\"%.*s\" has %lld bytes; the manifest says another number.", STR_ARG(path), (long long)f->size);
		f->entry = entry;
	}
	for (size_t i = 0; i < v->n_files; i++)
		if (!v->files[i].entry && !is_beside_manifest(v->files[i].path))
			return verify_bad(v, "\"%.*s\" is not in the manifest.", STR_ARG(v->files[i].path));
	return verify_good(v, "The manifest names every file, and no other.");
}

bool files_hashes(struct verifying *v)
{
	for (size_t i = 0; i < v->n_files; i++) {
		struct found *f = &v->files[i];
		struct sha256 claimed;
		if (!f->entry)
			continue;
		if (!files_hash(v, f))
			return false;
		if (!sha256_parse(json_member_text(f->entry, "sha256"), &claimed) || memcmp(claimed.b, f->sha256.b, 32) != 0)
			return verify_bad(v, "\"%.*s\" is not the file that the manifest speaks of: its hash differs.", STR_ARG(f->path));
	}
	return verify_good(v, "Every file has the hash that the manifest gives it.");
}
