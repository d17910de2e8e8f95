/* The Zstandard writer: the caller fills and hashes blocks, a thread compresses and writes them in the order in which they were filled. A ring of blocks goes round; one lock guards its counts. */
#include "commonhold/zst.h"
#include "commonhold/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
#include <zstd.h>

#define BLOCK ((size_t)256 * 1024)
#define BLOCKS 4
#define WRITTEN_ON ((int64_t)8 << 20) /* the system begins to bring so much to the disk at a time, so that little is left to wait for at the end */

struct zst_writer {
	int fd;
	char *path;               /* to remove the file if it fails */
	ZSTD_CCtx *z;
	uint8_t *blocks;          /* BLOCKS of BLOCK bytes */
	size_t filled[BLOCKS];    /* bytes in each */
	uint8_t *packed;
	size_t packed_room;
	int64_t raw;              /* bytes given */
	int64_t written_on;       /* bytes of the file that are on their way to the disk */
	bool filling;             /* the block to fill is known to be free */
	unsigned fill, take;      /* counts of blocks handed over and done with; positions modulo BLOCKS */
	bool finished;            /* the caller gives no more … */
	bool ending;              /* … and the thread knows it … */
	bool packed_all;          /* … and has compressed the rest and given back what that took */
	const char *failed;       /* first thing that went wrong, or NULL */
	pthread_mutex_t lock;     /* guards the counts, ending, packed_all and failed */
	pthread_cond_t moved;     /* any of them changed */
	pthread_t thread;
	bool started;             /* the thread runs */
	struct hasher *raw_hash, *file_hash;
	struct zst_result result;
};

static void writer_fail(struct zst_writer *w, const char *what)
{
	pthread_mutex_lock(&w->lock);
	if (!w->failed)
		w->failed = what;
	pthread_cond_broadcast(&w->moved);
	pthread_mutex_unlock(&w->lock);
}

static bool file_add(struct zst_writer *w, const uint8_t *p, size_t n)
{
	hasher_add(w->file_hash, p, n);
	w->result.size += (int64_t)n;
	if (!file_write_all(w->fd, p, n)) {
		writer_fail(w, strerrordesc_np(errno));
		return false;
	}
	if (w->result.size - w->written_on >= WRITTEN_ON) {
		(void)sync_file_range(w->fd, w->written_on, w->result.size - w->written_on, SYNC_FILE_RANGE_WRITE); /* fsync says what fails */
		w->written_on = w->result.size;
	}
	return true;
}

/* Compresses what is given, all of it; with ZSTD_e_end the frame is finished. */
static bool pack(struct zst_writer *w, const uint8_t *p, size_t n, ZSTD_EndDirective how)
{
	ZSTD_inBuffer in = { p, n, 0 };
	for (;;) {
		ZSTD_outBuffer out = { w->packed, w->packed_room, 0 };
		size_t left = ZSTD_compressStream2(w->z, &out, &in, how);
		if (ZSTD_isError(left)) {
			writer_fail(w, ZSTD_getErrorName(left));
			return false;
		}
		if (out.pos && !file_add(w, w->packed, out.pos))
			return false;
		if (how == ZSTD_e_end ? left == 0 : in.pos == in.size)
			return true;
	}
}

/* What the next thing to do is. */
enum next { NEXT_BLOCK, NEXT_END, NEXT_NOTHING /* it failed */ };

static enum next block_wait(struct zst_writer *w)
{
	pthread_mutex_lock(&w->lock);
	while (!w->failed && w->take == w->fill && !w->ending)
		pthread_cond_wait(&w->moved, &w->lock);
	enum next next = w->failed ? NEXT_NOTHING : w->take != w->fill ? NEXT_BLOCK : NEXT_END;
	pthread_mutex_unlock(&w->lock);
	return next;
}

/* The frame's end, and all of it on the disk. What compressing took is given back before that is waited for. */
static void compress_end(struct zst_writer *w)
{
	bool good = pack(w, w->blocks, 0, ZSTD_e_end);
	ZSTD_freeCCtx(w->z);
	free(w->blocks);
	w->z = NULL;
	w->blocks = NULL;
	pthread_mutex_lock(&w->lock);
	w->packed_all = true;
	pthread_cond_broadcast(&w->moved);
	pthread_mutex_unlock(&w->lock);
	if (good && fsync(w->fd) != 0)
		writer_fail(w, strerrordesc_np(errno));
}

static void *compress_blocks(void *arg)
{
	struct zst_writer *w = arg;
	enum next next;
	while ((next = block_wait(w)) == NEXT_BLOCK) {
		unsigned at = w->take % BLOCKS;
		if (!pack(w, w->blocks + at * BLOCK, w->filled[at], ZSTD_e_continue))
			return NULL;
		pthread_mutex_lock(&w->lock);
		w->filled[at] = 0;
		w->take++;
		pthread_cond_broadcast(&w->moved);
		pthread_mutex_unlock(&w->lock);
	}
	if (next == NEXT_END)
		compress_end(w);
	return NULL;
}

/* Waits until the block to fill is free; false after a failure. */
static bool block_free(struct zst_writer *w)
{
	pthread_mutex_lock(&w->lock);
	while (!w->failed && w->fill - w->take == BLOCKS)
		pthread_cond_wait(&w->moved, &w->lock);
	bool good = !w->failed;
	pthread_mutex_unlock(&w->lock);
	return good;
}

static void block_send(struct zst_writer *w)
{
	unsigned at = w->fill % BLOCKS;
	hasher_add(w->raw_hash, w->blocks + at * BLOCK, w->filled[at]);
	pthread_mutex_lock(&w->lock);
	w->fill++;
	w->filling = false;
	pthread_cond_broadcast(&w->moved);
	pthread_mutex_unlock(&w->lock);
}

void zst_writer_add(struct zst_writer *w, const void *p, size_t n)
{
	const uint8_t *from = p;
	w->raw += (int64_t)n;
	while (n) {
		unsigned at = w->fill % BLOCKS;
		if (!w->filling && !block_free(w))
			return;
		w->filling = true;
		size_t room = BLOCK - w->filled[at], count = n < room ? n : room;
		memcpy(w->blocks + at * BLOCK + w->filled[at], from, count);
		w->filled[at] += count;
		from += count;
		n -= count;
		if (w->filled[at] == BLOCK)
			block_send(w);
	}
}

int64_t zst_writer_raw(const struct zst_writer *w)
{
	return w->raw;
}

void zst_writer_finish(struct zst_writer *w)
{
	if (w->finished)
		return;
	w->finished = true;
	if (block_free(w) && w->filled[w->fill % BLOCKS])
		block_send(w);
	pthread_mutex_lock(&w->lock);
	w->ending = true;
	pthread_cond_broadcast(&w->moved);
	while (!w->failed && !w->packed_all)
		pthread_cond_wait(&w->moved, &w->lock);
	pthread_mutex_unlock(&w->lock);
}

static void thread_end(struct zst_writer *w)
{
	if (!w->started)
		return;
	pthread_join(w->thread, NULL);
	w->started = false;
}

static void writer_free(struct zst_writer *w)
{
	if (w->fd >= 0)
		close(w->fd);
	ZSTD_freeCCtx(w->z);
	free(w->blocks);
	free(w->packed);
	hasher_free(w->raw_hash);
	hasher_free(w->file_hash);
	pthread_cond_destroy(&w->moved);
	pthread_mutex_destroy(&w->lock);
	free(w->path);
	free(w);
}

static bool writer_make(struct zst_writer *w, int level)
{
	w->packed_room = ZSTD_CStreamOutSize();
	w->z = ZSTD_createCCtx();
	w->blocks = malloc(BLOCKS * BLOCK);
	w->packed = malloc(w->packed_room);
	w->raw_hash = hasher_new(NULL);
	w->file_hash = hasher_new(NULL);
	if (!w->z || !w->blocks || !w->packed || !w->raw_hash || !w->file_hash)
		return false;
	return !ZSTD_isError(ZSTD_CCtx_setParameter(w->z, ZSTD_c_compressionLevel, level)) && !ZSTD_isError(ZSTD_CCtx_setParameter(w->z, ZSTD_c_checksumFlag, 1));
}

enum err zst_writer_open(struct zst_writer **out, const char *path, int level, struct error *e)
{
	struct zst_writer *w = calloc(1, sizeof(*w));
	if (!w)
		return error_set(e, ERR_NO_MEMORY, "There is no memory to compress with.");
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->moved, NULL);
	w->path = strdup(path);
	w->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (w->fd < 0) {
		int number = errno;
		writer_free(w);
		return error_set(e, ERR_IO, "The file %s cannot be created: %s.", path, strerror(number));
	}
	if (w->path && writer_make(w, level))
		w->started = pthread_create(&w->thread, NULL, compress_blocks, w) == 0;
	if (!w->started) {
		unlink(path);
		writer_free(w);
		return error_set(e, ERR_NO_MEMORY, "There is no memory to compress with.");
	}
	*out = w;
	return ERR_OK;
}

enum err zst_writer_close(struct zst_writer *w, struct zst_result *out, struct error *e)
{
	zst_writer_finish(w);
	thread_end(w);
	if (w->failed) {
		error_set(e, ERR_IO, "The file %s could not be written: %s.", w->path, w->failed);
		zst_writer_abort(w);
		return ERR_IO;
	}
	w->result.raw_size = w->raw;
	w->result.raw_sha256 = hasher_end(w->raw_hash);
	w->result.sha256 = hasher_end(w->file_hash);
	*out = w->result;
	writer_free(w);
	return ERR_OK;
}

void zst_writer_abort(struct zst_writer *w)
{
	if (!w)
		return;
	writer_fail(w, "it was given up");
	thread_end(w);
	unlink(w->path);
	writer_free(w);
}
