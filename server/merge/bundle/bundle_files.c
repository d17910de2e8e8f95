/* The files of a bundle that is being written: parts that grow line by line, and small ones at once. */
#include "bundle_internal.h"

#include "commonhold/file.h"
#include "commonhold/zst.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define HELD (256 * KIB)

void bundle_folder_remove(const char *dir)
{
	DIR *d = opendir(dir);
	if (!d)
		return;
	for (struct dirent *entry; (entry = readdir(d));)
		if (entry->d_type != DT_DIR)
			unlinkat(dirfd(d), entry->d_name, 0);
	closedir(d);
	rmdir(dir);
}

enum err bundle_writer_begin(struct call *c, struct str dir, struct bundle_writer *out)
{
	*out = (struct bundle_writer){ .c = c, .dir = dir, .lock = PTHREAD_MUTEX_INITIALIZER };
	out->files = ARENA_ARRAY(c->arena, BUNDLE_FILES_MAX + 1, struct bundle_file);
	out->names = arena_array(c->arena, BUNDLE_FILES_MAX + 1, BUNDLE_NAME);
	bundle_folder_remove(dir.p);
	TRY(file_make_parents(dir.p, &c->error));
	if (mkdir(dir.p, 0700) != 0)
		return fail(c, ERR_IO, "The folder %s cannot be made: %s.", dir.p, strerror(errno));
	return ERR_OK;
}

static enum err file_note(struct bundle_writer *w, const char *path, int64_t lines, const struct zst_result *r, struct error *e)
{
	pthread_mutex_lock(&w->lock);
	bool room = w->n_files < BUNDLE_FILES_MAX;
	if (room) {
		char *name = w->names[w->n_files];
		snprintf(name, BUNDLE_NAME, "%s", path);
		w->files[w->n_files++] = (struct bundle_file){ .path = str_of(name), .part = bundle_part_of(str_of(name)), .fd = -1, .at = -1, .lines = lines, .size = r->size, .raw_size = r->raw_size,
			.sha256 = r->sha256, .raw_sha256 = r->raw_sha256 };
		w->size += r->size;
		w->raw_size += r->raw_size;
	}
	pthread_mutex_unlock(&w->lock);
	return room ? ERR_OK : error_set(e, ERR_TOO_LARGE, "The bundle would have more files than a bundle may.");
}

/* Where a file of it lies; false when that is longer than a path may be. */
static bool place_of(const struct bundle_writer *w, const char *path, char out[PATH_MAX])
{
	return snprintf(out, PATH_MAX, "%.*s/%s", STR_ARG(w->dir), path) < PATH_MAX;
}

static int create(struct bundle_writer *w, const char *path)
{
	char place[PATH_MAX];
	errno = ENAMETOOLONG;
	return !place_of(w, path, place) ? -1 : open(place, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
}

static enum err io_error(struct error *e, const char *path)
{
	return error_set(e, ERR_IO, "The file %s of a bundle cannot be written: %s.", path, strerror(errno));
}

enum err bundle_writer_text(struct bundle_writer *w, const char *path, struct str text, bool listed)
{
	int fd = create(w, path);
	if (fd < 0)
		return io_error(&w->c->error, path);
	bool good = file_write_all(fd, text.p, text.n) && fsync(fd) == 0;
	close(fd);
	if (!good)
		return io_error(&w->c->error, path);
	struct sha256 h = sha256(text);
	int64_t lines = 0;
	for (size_t i = 0; i < text.n; i++)
		lines += text.p[i] == '\n';
	return listed ? file_note(w, path, lines, &(struct zst_result){ (int64_t)text.n, (int64_t)text.n, h, h }, &w->c->error) : ERR_OK;
}

/* ---- Parts ---- */

/* Whatever ends the call ends the thread and the descriptor, too. */
static void stream_drop(void *arg)
{
	struct bundle_stream *s = arg;
	zst_writer_abort(s->zst);
	zst_writer_abort(s->closing);
	s->zst = s->closing = NULL;
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	hasher_free(s->hasher);
	s->hasher = NULL;
	buf_release(&s->held);
}

void bundle_stream_begin(struct bundle_writer *w, struct bundle_stream *s, const char *stem, bool numbered, bool plain)
{
	*s = (struct bundle_stream){ .w = w, .stem = stem, .numbered = numbered, .plain = plain, .error = &w->c->error, .fd = -1 };
	buf_init(&s->held, BUNDLE_LINE_MAX + 2 * HELD);
	arena_defer(w->c->arena, stream_drop, s);
}

static enum err file_begin(struct bundle_stream *s)
{
	struct bundle_writer *w = s->w;
	char place[PATH_MAX];
	if (s->numbered)
		snprintf(s->path, sizeof(s->path), "%s-%05d.jsonl.zst", s->stem, s->no);
	else
		snprintf(s->path, sizeof(s->path), "%s%s", s->stem, s->plain ? "" : ".jsonl.zst");
	s->lines = s->raw = 0;
	if (!s->plain)
		return place_of(w, s->path, place) ? zst_writer_open(&s->zst, place, ZST_LEVEL, s->error) : io_error(s->error, s->path);
	s->fd = create(w, s->path);
	s->hasher = hasher_new(NULL);
	return s->fd >= 0 && s->hasher ? ERR_OK : io_error(s->error, s->path);
}

static enum err held_write(struct bundle_stream *s)
{
	hasher_add(s->hasher, s->held.p, s->held.n);
	if (!file_write_all(s->fd, s->held.p, s->held.n))
		return io_error(s->error, s->path);
	buf_clear(&s->held);
	return ERR_OK;
}

/* Waits for the file before, if one is still on its way. */
static enum err file_closed(struct bundle_stream *s)
{
	struct zst_result r;
	struct zst_writer *z = s->closing;
	if (!z)
		return ERR_OK;
	s->closing = NULL;
	TRY(zst_writer_close(z, &r, s->error));
	return file_note(s->w, s->closing_path, s->closing_lines, &r, s->error);
}

static enum err plain_end(struct bundle_stream *s)
{
	struct zst_result r = { s->raw, s->raw, { { 0 } }, { { 0 } } };
	if (s->held.n)
		TRY(held_write(s));
	r.sha256 = r.raw_sha256 = hasher_end(s->hasher);
	hasher_free(s->hasher);
	s->hasher = NULL;
	bool good = fsync(s->fd) == 0;
	close(s->fd);
	s->fd = -1;
	return good ? file_note(s->w, s->path, s->lines, &r, s->error) : io_error(s->error, s->path);
}

/* A compressed file is finished by its own thread, while the next one is written. */
static enum err file_end(struct bundle_stream *s)
{
	if (!s->zst)
		return plain_end(s);
	TRY(file_closed(s));
	zst_writer_finish(s->zst);
	s->closing = s->zst;
	s->zst = NULL;
	memcpy(s->closing_path, s->path, sizeof(s->path));
	s->closing_lines = s->lines;
	s->no++;
	return ERR_OK;
}

enum err bundle_stream_line(struct bundle_stream *s, const char *p, size_t n)
{
	if (n > BUNDLE_LINE_MAX)
		return error_set(s->error, ERR_TOO_LARGE, "A line of a bundle would be longer than a line may be.");
	bool open = s->zst || s->fd >= 0;
	if (open && s->raw + (int64_t)n + 1 > BUNDLE_FILE_MAX) {
		if (!s->numbered)
			return error_set(s->error, ERR_TOO_LARGE, "A file of a bundle would be larger than a file may be.");
		TRY(file_end(s));
		open = false;
	}
	if (!open)
		TRY(file_begin(s));
	s->lines++;
	s->raw += (int64_t)n + 1;
	if (s->zst) {
		zst_writer_add(s->zst, p, n);
		zst_writer_add(s->zst, "\n", 1);
		return ERR_OK;
	}
	buf_add(&s->held, p, n);
	buf_add_byte(&s->held, '\n');
	return s->held.n >= HELD ? held_write(s) : ERR_OK;
}

enum err bundle_stream_end(struct bundle_stream *s)
{
	if (s->zst || s->fd >= 0)
		TRY(file_end(s));
	return file_closed(s);
}

static int by_path(const void *a, const void *b)
{
	return str_cmp(((const struct bundle_file *)a)->path, ((const struct bundle_file *)b)->path);
}

void bundle_writer_sort(struct bundle_writer *w)
{
	if (w->n_files)
		qsort(w->files, w->n_files, sizeof(*w->files), by_path);
}
