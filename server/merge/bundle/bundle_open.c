/* Opening a bundle: its manifest, and where the bytes of each file lie. Nothing is believed here, nothing is written. */
#include "bundle_internal.h"

#include "commonhold/tar.h"
#include "commonhold/terms.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

const char *bundle_reason_code(enum bundle_reason r)
{
	static const char *const codes[] = {
#define X(name, code, text) code,
		BUNDLE_REASONS(X)
#undef X
	};
	return r < BUNDLE_REASON_COUNT ? codes[r] : "";
}

enum err bundle_refuse(struct error *e, enum bundle_reason r, const char *fmt, ...)
{
	static const char *const texts[] = {
#define X(name, code, text) text,
		BUNDLE_REASONS(X)
#undef X
	};
	char said[400];
	va_list args;
	va_start(args, fmt);
	vsnprintf(said, sizeof(said), fmt, args);
	va_end(args);
	error_set(e, ERR_REFUSED, "%s %s", texts[r], said);
	snprintf(e->reason, sizeof(e->reason), "%s", bundle_reason_code(r));
	return ERR_REFUSED;
}

/* ---- Where the bytes are ---- */

static void close_fd(void *arg)
{
	close(*(int *)arg);
}

static enum err keep_fd(struct arena *a, int fd, struct error *e)
{
	int *kept = ARENA_NEW(a, int);
	*kept = fd;
	return arena_defer(a, close_fd, kept) ? ERR_OK : error_set(e, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
}

/* Files found, before it is known which of them are listed. */
struct found { struct tar_file *files; size_t n, cap; int fd; bool folder; };

static enum err found_add(struct arena *a, struct found *f, const struct tar_file *file, struct error *e)
{
	if (f->n == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 32;
		struct tar_file *more = ARENA_ARRAY(a, cap, struct tar_file);
		if (f->n)
			memcpy(more, f->files, f->n * sizeof(*more));
		f->files = more;
		f->cap = cap;
	}
	if (f->n == BUNDLE_FILES_MAX + 2)
		return bundle_refuse(e, BUNDLE_REASON_TOO_LARGE, "It has more than %d files.", BUNDLE_FILES_MAX);
	f->files[f->n++] = *file;
	return ERR_OK;
}

/* Lower-case letters, digits, dots and hyphens; it does not begin with a dot. */
static bool name_is_ours(struct str name)
{
	if (name.n == 0 || name.n > TAR_NAME_MAX || name.p[0] == '.')
		return false;
	for (size_t i = 0; i < name.n; i++) {
		char ch = name.p[i];
		if (!((ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') || ch == '.' || ch == '-'))
			return false;
	}
	return true;
}

static enum err walk_tar(struct arena *a, int64_t end, struct found *f, struct error *e)
{
	int64_t at = 0;
	struct tar_file file;
	for (bool more = true;;) {
		enum err said = tar_next(f->fd, end, &at, &file, &more, e);
		if (said == ERR_CORRUPT) {
			char why[200];
			snprintf(why, sizeof(why), "%.199s", e->message);
			return bundle_refuse(e, BUNDLE_REASON_MALFORMED, "%s", why);
		}
		TRY(said);
		if (!more)
			return ERR_OK;
		if (!name_is_ours(str_of(file.name)))
			return bundle_refuse(e, BUNDLE_REASON_FILES, "One of them has a name that is not taken.");
		TRY(found_add(a, f, &file, e));
	}
}

static enum err walk_entry(struct arena *a, struct found *f, const char *name, struct error *e)
{
	struct tar_file file = { .at = -1 };
	struct stat st;
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return ERR_OK;
	if (!name_is_ours(str_of(name)) || fstatat(f->fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
		return bundle_refuse(e, BUNDLE_REASON_FILES, "One of them has a name that is not taken, or is no plain file.");
	memcpy(file.name, name, strlen(name));
	file.size = st.st_size;
	return found_add(a, f, &file, e);
}

static enum err walk_folder(struct arena *a, struct found *f, struct error *e)
{
	enum err said = ERR_OK;
	int fd = dup(f->fd);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return error_set(e, ERR_IO, "The folder cannot be read: %s.", strerror(errno));
	}
	for (struct dirent *entry; said == ERR_OK && (entry = readdir(dir));)
		said = walk_entry(a, f, entry->d_name, e);
	closedir(dir);
	return said;
}

static const struct tar_file *found_get(const struct found *f, struct str name)
{
	for (size_t i = 0; i < f->n; i++)
		if (str_is(name, f->files[i].name))
			return &f->files[i];
	return NULL;
}

/* Reads a file of a folder or a tar as a whole. */
static enum err text_at(struct arena *a, int fd, const char *name, int64_t at, int64_t size, size_t max, struct str *out, struct error *e)
{
	if (size < 0 || (uint64_t)size > max)
		return bundle_refuse(e, BUNDLE_REASON_TOO_LARGE, "The file %s is larger than it may be.", name);
	int from = at < 0 ? openat(fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : fd;
	if (from < 0)
		return error_set(e, ERR_IO, "The file %s cannot be read: %s.", name, strerror(errno));
	char *to = arena_alloc(a, (size_t)size + 1);
	ssize_t got = pread(from, to, (size_t)size, at < 0 ? 0 : at);
	if (at < 0)
		close(from);
	if (got != size)
		return error_set(e, ERR_IO, "The file %s cannot be read.", name);
	*out = str_make(to, (size_t)size);
	return ERR_OK;
}

enum err bundle_file_text(struct arena *a, const struct bundle *b, const struct bundle_file *f, size_t max, struct str *out, struct error *e)
{
	(void)b;
	return text_at(a, f->fd, str_z(a, f->path), f->at, f->size, max, out, e);
}

const struct bundle_file *bundle_file_find(const struct bundle *b, const char *path)
{
	for (size_t i = 0; i < b->n_files; i++)
		if (str_is(b->files[i].path, path))
			return &b->files[i];
	return NULL;
}

/* ---- The manifest ---- */

/* A numbered file: "records-00017.jsonl.zst". */
static bool is_numbered(struct str path, const char *what)
{
	size_t n = strlen(what);
	if (!str_starts(path, what) || path.n != n + 5 + 10 || !str_ends(path, ".jsonl.zst"))
		return false;
	for (size_t i = n; i < n + 5; i++)
		if (path.p[i] < '0' || path.p[i] > '9')
			return false;
	return true;
}

enum bundle_section bundle_part_of(struct str path)
{
	if (is_numbered(path, "events-"))
		return BUNDLE_EVENTS;
	if (is_numbered(path, "records-"))
		return BUNDLE_RECORDS;
	if (str_is(path, "tombstones.jsonl"))
		return BUNDLE_TOMBSTONES;
	if (str_is(path, "statements.jsonl"))
		return BUNDLE_STATEMENTS;
	if (str_is(path, "labels.jsonl.zst"))
		return BUNDLE_LABELS;
	if (str_is(path, "keys.json") || str_is(path, "checkpoint") || str_is(path, "consistency.proof"))
		return BUNDLE_OTHER;
	return BUNDLE_NO_SECTION;
}

/* What is being read, and whether it was right so far. */
struct reading { struct arena *a; struct bundle *b; bool right; };

static int64_t number(struct reading *r, const struct json *o, const char *key, int64_t least)
{
	int64_t v = json_int(json_get(o, key), INT64_MIN);
	r->right &= v >= least;
	return v >= least ? v : least;
}

static struct sha256 digest(struct reading *r, const struct json *o, const char *key)
{
	struct sha256 h = { { 0 } };
	struct str text = json_member_text(o, key);
	r->right &= sha256_parse(text, &h);
	return h;
}

static struct str text(struct reading *r, const struct json *o, const char *key)
{
	struct str s = json_member_text(o, key);
	r->right &= s.n > 0;
	return s;
}

static instant when(struct reading *r, const struct json *o, const char *key)
{
	instant t = INSTANT_NONE;
	r->right &= clock_parse(json_member_text(o, key), &t);
	return t;
}

/* An object with exactly so many members. */
static const struct json *object(struct reading *r, const struct json *o, unsigned members)
{
	r->right &= json_is(o, JSON_OBJECT) && o->count == members;
	return o;
}

static void read_file_entry(struct reading *r, const struct json *o, struct bundle_file *f)
{
	object(r, o, 6);
	f->path = text(r, o, "path");
	f->lines = number(r, o, "lines", 0);
	f->size = number(r, o, "size", 0);
	f->raw_size = number(r, o, "raw_size", 0);
	f->sha256 = digest(r, o, "sha256");
	f->raw_sha256 = digest(r, o, "raw_sha256");
	f->part = bundle_part_of(f->path);
	r->right &= f->part != BUNDLE_NO_SECTION && f->raw_size <= BUNDLE_FILE_MAX;
	if (!str_ends(f->path, ".zst"))
		r->right &= f->size == f->raw_size && sha256_eq(f->sha256, f->raw_sha256);
}

static void read_files(struct reading *r, const struct json *list)
{
	struct bundle *b = r->b;
	r->right &= json_is(list, JSON_ARRAY) && list->count <= BUNDLE_FILES_MAX;
	if (!r->right)
		return;
	b->files = ARENA_ARRAY(r->a, (size_t)list->count + 1, struct bundle_file);
	json_each (o, list) {
		read_file_entry(r, o, &b->files[b->n_files]);
		r->right &= b->n_files == 0 || str_cmp(b->files[b->n_files - 1].path, b->files[b->n_files].path) < 0;
		b->n_files++;
	}
}

/* The text of a member of a canonical document: it is that member's own canonical form. */
static struct str canonical(struct reading *r, const struct json *o)
{
	struct buf b;
	r->right &= json_is(o, JSON_OBJECT);
	if (!r->right)
		return STR_NONE;
	buf_init(&b, AGREEMENT_DOCUMENT_MAX);
	json_canonical(&b, o, false);
	r->right &= !b.failed;
	return buf_take(r->a, &b);
}

static void read_homes(struct reading *r, const struct json *list)
{
	struct bundle *b = r->b;
	struct error e = { 0 };
	r->right &= json_is(list, JSON_ARRAY) && list->count <= BUNDLE_HOMES_MAX;
	if (!r->right)
		return;
	b->homes = ARENA_ARRAY(r->a, (size_t)list->count + 1, struct bundle_home);
	json_each (o, list) {
		struct bundle_home *h = &b->homes[b->n_homes++];
		object(r, o, 5);
		h->document = canonical(r, json_get(o, "agreement"));
		h->assent = canonical(r, json_get(o, "assent"));
		h->home = text(r, o, "home");
		h->checkpoint = text(r, o, "checkpoint");
		h->origin = bundle_note_origin(h->checkpoint);
		r->right &= keychain_read_json(r->a, json_get(o, "keys"), &h->keys, &e) == ERR_OK && str_eq(h->keys.name, h->home);
		r->right &= b->n_homes == 1 || str_cmp(b->homes[b->n_homes - 2].home, h->home) < 0;
	}
}

static void read_counts(struct reading *r, const struct json *o)
{
	struct bundle_counts *k = &r->b->counts;
	object(r, o, 7);
	k->events = number(r, o, "events", 0);
	k->tombstones = number(r, o, "tombstones", 0);
	k->statements = number(r, o, "statements", 0);
	k->out = number(r, o, "out", 0);
	k->back = number(r, o, "back", 0);
	k->records = number(r, o, "records", 0);
	k->labels = number(r, o, "labels", 0);
}

static void read_places(struct reading *r, const struct json *o)
{
	struct bundle *b = r->b;
	const struct json *base = object(r, json_get(o, "base"), 2), *head = object(r, json_get(o, "head"), 2), *t = object(r, json_get(o, "tombstones"), 2);
	const struct json *charter = object(r, json_get(o, "charter"), 2), *prev = json_get(o, "prev");
	b->base_size = number(r, base, "size", 0);
	b->base_root = digest(r, base, "root");
	b->head_size = number(r, head, "size", 1);
	b->head_root = digest(r, head, "root");
	b->tombstones_from = number(r, t, "from", 0);
	b->tombstones_upto = number(r, t, "upto", -1);
	b->charter_version = (int)number(r, charter, "version", 1);
	b->charter = digest(r, charter, "digest");
	b->whole = json_is(prev, JSON_NULL);
	if (!b->whole)
		b->prev = digest(r, o, "prev");
	r->right &= b->base_size <= b->head_size && b->tombstones_upto >= b->tombstones_from - 1;
	r->right &= !b->whole || (b->base_size == 0 && b->tombstones_from == 0);
}

static bool is_canonical(const struct json *json, struct str text_read)
{
	struct buf b;
	buf_init(&b, text_read.n + 64);
	json_canonical(&b, json, false);
	bool same = !b.failed && str_eq(buf_str(&b), text_read);
	buf_release(&b);
	return same;
}

static enum err manifest_read(struct arena *a, struct bundle *b, struct error *e)
{
	const struct json *o;
	struct error why = { 0 };
	struct reading r = { a, b, true };
	if (json_parse(a, b->manifest, &o, &why) != ERR_OK || !is_canonical(o, b->manifest))
		return bundle_refuse(e, BUNDLE_REASON_MALFORMED, "bundle.json is not canonical JSON.");
	object(&r, o, 15);
	r.right &= number(&r, o, "v", 1) == 1;
	b->agreement = digest(&r, o, "agreement");
	b->as_of = when(&r, o, "as_of");
	b->created = when(&r, o, "created");
	b->from = text(&r, o, "from");
	b->to = text(&r, o, "to");
	b->seq = number(&r, o, "seq", 1);
	read_counts(&r, json_get(o, "counts"));
	read_places(&r, o);
	read_files(&r, json_get(o, "files"));
	read_homes(&r, json_get(o, "homes"));
	return r.right ? ERR_OK : bundle_refuse(e, BUNDLE_REASON_MALFORMED, "bundle.json lacks something, or says something that cannot be.");
}

struct str bundle_note_origin(struct str note)
{
	ptrdiff_t end = str_index(note, '\n');
	return end > 0 ? str_sub(note, 0, (size_t)end) : STR("");
}

/* Every file that is listed is there, in its size, and no other. */
static enum err files_match(struct bundle *b, const struct found *f, struct error *e)
{
	for (size_t i = 0; i < b->n_files; i++) {
		const struct tar_file *there = found_get(f, b->files[i].path);
		if (!there || there->size != b->files[i].size)
			return bundle_refuse(e, BUNDLE_REASON_FILES, "%.*s is missing or has another size.", STR_ARG(b->files[i].path));
		b->files[i].fd = f->fd;
		b->files[i].at = there->at;
	}
	return f->n == b->n_files + 2 ? ERR_OK : bundle_refuse(e, BUNDLE_REASON_FILES, "There are others, or the same twice.");
}

static enum err keys_read(struct arena *a, struct bundle *b, struct error *e)
{
	const struct bundle_file *keys = bundle_file_find(b, "keys.json"), *note = bundle_file_find(b, "checkpoint");
	struct str chain;
	struct error why = { 0 };
	if (!keys || !note || !bundle_file_find(b, "consistency.proof"))
		return bundle_refuse(e, BUNDLE_REASON_FILES, "keys.json, checkpoint or consistency.proof is missing.");
	TRY(bundle_file_text(a, b, keys, KEYCHAIN_TEXT_MAX, &chain, e));
	TRY(bundle_file_text(a, b, note, LIMIT_NOTE, &b->checkpoint, e));
	if (keychain_read(a, chain, &b->keys, &why) != ERR_OK || !str_eq(b->keys.name, b->from))
		return bundle_refuse(e, BUNDLE_REASON_KEYS, "keys.json is not the sender's chain.");
	b->origin = bundle_note_origin(b->checkpoint);
	return ERR_OK;
}

/* The manifest's signature by a key of the chain that came with it; whether that chain is the sender's is for bundle_check to say. */
static enum err signature_check(struct arena *a, struct bundle *b, struct str envelope, struct error *e)
{
	struct str payload;
	size_t which;
	struct error why = { 0 };
	if (keychain_dsse_verify(a, &b->keys, envelope, STR(BUNDLE_TYPE), &payload, &which, &why) != ERR_OK || !str_eq(payload, b->manifest) || !keychain_signs_size(&b->keys, which, b->head_size))
		return bundle_refuse(e, BUNDLE_REASON_SIGNATURE, "bundle.dsse.json is not the sender's signature of bundle.json.");
	b->signed_by = which;
	return ERR_OK;
}

static enum err place_open(struct arena *a, const char *path, struct found *f, int64_t *size, struct error *e)
{
	struct stat st;
	f->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (f->fd < 0)
		return error_set(e, ERR_IO, "%s cannot be opened: %s.", path, strerror(errno));
	TRY(keep_fd(a, f->fd, e));
	if (fstat(f->fd, &st) != 0 || (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
		return error_set(e, ERR_IO, "%s is neither a folder nor a file.", path);
	f->folder = S_ISDIR(st.st_mode);
	*size = st.st_size;
	return ERR_OK;
}

enum err bundle_open(struct arena *a, const char *path, struct bundle **out, struct error *e)
{
	struct found f = { .fd = -1 };
	struct bundle *b = ARENA_NEW(a, struct bundle);
	struct str envelope;
	int64_t size = 0;
	TRY(place_open(a, path, &f, &size, e));
	TRY(f.folder ? walk_folder(a, &f, e) : walk_tar(a, size, &f, e));
	const struct tar_file *manifest = found_get(&f, STR("bundle.json")), *signature = found_get(&f, STR("bundle.dsse.json"));
	if (!manifest || !signature)
		return bundle_refuse(e, BUNDLE_REASON_FILES, "bundle.json or bundle.dsse.json is missing.");
	TRY(text_at(a, f.fd, manifest->name, manifest->at, manifest->size, BUNDLE_MANIFEST_MAX, &b->manifest, e));
	TRY(text_at(a, f.fd, signature->name, signature->at, signature->size, 2 * BUNDLE_MANIFEST_MAX, &envelope, e));
	b->envelope = envelope;
	b->digest = sha256(b->manifest);
	TRY(manifest_read(a, b, e));
	TRY(files_match(b, &f, e));
	TRY(keys_read(a, b, e));
	TRY(signature_check(a, b, envelope, e));
	*out = b;
	return ERR_OK;
}
