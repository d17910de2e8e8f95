#include "server/merge/bundle/bundle_manifest.h"
#include "server/merge/fork/fork_internal.h"

#include "commonhold/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder that is being written, file after file, with what its manifest has to say of each. */

static struct str path_in(const struct fork_folder *f, struct str name)
{
	return str_fmt(f->c->arena, "%s/%.*s", f->dir, STR_ARG(name));
}

enum err fork_folder_make(struct call *c, const char *dir, struct fork_folder *out)
{
	*out = (struct fork_folder){ .c = c, .dir = dir };
	if (mkdir(dir, 0700) != 0)
		return fail(c, ERR_IO, "%s cannot be made: %s.", dir, strerrorname_np(errno));
	return ERR_OK;
}

/* Of the folder itself, not of the arena: lines are added while callers take back what they have used. */
static enum err file_add(struct fork_folder *f, struct str name, struct fork_file **out)
{
	if (f->n == f->room) {
		size_t room = f->room ? 2 * f->room : 16;
		struct fork_file *files = realloc(f->files, room * sizeof(*files));
		if (!files)
			return fail(f->c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
		f->files = files;
		f->room = room;
	}
	struct fork_file *file = &f->files[f->n++];
	*file = (struct fork_file){ .size = 0 };
	snprintf(file->path, sizeof(file->path), "%.*s", STR_ARG(name));
	*out = file;
	return ERR_OK;
}

enum err fork_folder_put(struct fork_folder *f, struct str name, struct str bytes, int64_t lines)
{
	struct fork_file *file;
	TRY(fork_folder_end_part(f));
	TRY(file_add(f, name, &file));
	int fd = open(str_z(f->c->arena, path_in(f, name)), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(f->c, ERR_IO, "The export cannot be written: %s.", strerrorname_np(errno));
	enum err e = ERR_OK;
	if (!file_write_all(fd, bytes.p, bytes.n) || fsync(fd) != 0)
		e = fail(f->c, ERR_IO, "The export cannot be written: %s.", strerrorname_np(errno));
	close(fd);
	file->lines = lines;
	file->size = file->raw_size = (int64_t)bytes.n;
	file->sha256 = file->raw_sha256 = sha256(bytes);
	return e;
}

enum err fork_folder_note(struct fork_folder *f, struct str name)
{
	char chunk[64 * KIB];
	ssize_t n = 0;
	struct fork_file *file;
	struct hasher *h = hasher_new(f->c->arena);
	TRY(fork_folder_end_part(f));
	TRY(file_add(f, name, &file));
	int fd = open(str_z(f->c->arena, path_in(f, name)), O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return fail(f->c, ERR_IO, "The export cannot be read back: %s.", strerrorname_np(errno));
	while ((n = read(fd, chunk, sizeof(chunk))) > 0) {
		hasher_add(h, chunk, (size_t)n);
		file->size += n;
	}
	close(fd);
	file->raw_size = file->size;
	file->sha256 = file->raw_sha256 = hasher_end(h);
	return n == 0 ? ERR_OK : fail(f->c, ERR_IO, "The export cannot be read back.");
}

enum err fork_folder_end_part(struct fork_folder *f)
{
	struct zst_result r;
	if (!f->zst)
		return ERR_OK;
	struct zst_writer *zst = f->zst;
	struct fork_file *file = &f->files[f->n - 1];
	f->zst = NULL;
	TRY(zst_writer_close(zst, &r, &f->c->error));
	file->lines = f->lines;
	file->size = r.size;
	file->raw_size = r.raw_size;
	file->sha256 = r.sha256;
	file->raw_sha256 = r.raw_sha256;
	return ERR_OK;
}

enum err fork_folder_line(struct fork_folder *f, const char *part, struct str line)
{
	if (f->zst && (strcmp(part, f->part) != 0 || zst_writer_raw(f->zst) + (int64_t)line.n + 1 > FORK_PART_BYTES))
		TRY(fork_folder_end_part(f));
	if (!f->zst) {
		f->part_no = f->part && strcmp(part, f->part) == 0 ? f->part_no + 1 : 0;
		f->part = part;
		f->lines = 0;
		struct fork_file *file;
		TRY(file_add(f, str_fmt(f->c->arena, "%s-%05d.jsonl.zst", part, f->part_no), &file));
		TRY(zst_writer_open(&f->zst, str_z(f->c->arena, path_in(f, str_of(file->path))), ZST_LEVEL, &f->c->error));
	}
	zst_writer_add(f->zst, line.p, line.n);
	zst_writer_add(f->zst, "\n", 1);
	f->lines++;
	return ERR_OK;
}

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct fork_file *)a)->path, ((const struct fork_file *)b)->path);
}

void fork_folder_list(struct fork_folder *f, struct json_writer *w)
{
	struct arena *a = f->c->arena;
	qsort(f->files, f->n, sizeof(*f->files), by_path);
	jw_key(w, "files");
	jw_array(w);
	for (size_t i = 0; i < f->n; i++) {
		const struct fork_file *file = &f->files[i];
		manifest_file_write(w, a, str_of(file->path), file->lines, &(struct zst_result){ file->size, file->raw_size, file->sha256, file->raw_sha256 });
	}
	jw_end_array(w);
}

enum err fork_folder_pack(struct fork_folder *f, const char *to, instant at)
{
	struct str *names = ARENA_ARRAY(f->c->arena, f->n + 1, struct str);
	for (size_t i = 0; i < f->n; i++)
		names[i] = str_of(f->files[i].path);
	return tar_pack(to, f->dir, names, f->n, at, &f->c->error);
}

void fork_folder_remove(struct fork_folder *f)
{
	if (f->zst)
		zst_writer_abort(f->zst);
	f->zst = NULL;
	for (size_t i = 0; i < f->n; i++)
		unlink(str_z(f->c->arena, path_in(f, str_of(f->files[i].path))));
	rmdir(f->dir);
	fork_folder_free(f);
}

void fork_folder_free(struct fork_folder *f)
{
	free(f->files);
	f->files = NULL;
	f->n = f->room = 0;
}
