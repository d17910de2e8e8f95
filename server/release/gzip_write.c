/* The deterministic gzip writer: members of 1 MiB, compressed by several threads, hashed and written in order by one.
 *
 * A ring of slots goes round: the caller fills a slot, a compressor takes the next full one, the finisher takes them in the order in which they were filled. Nobody
 * waits for anybody but through the slots' states, which one lock guards.
 */
#include "commonhold/gzip.h"
#include "commonhold/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <pthread.h>
#include <unistd.h>

#define BLOCK ((size_t)1 << 20)
#define THREADS_MAX 8

enum slot_state { SLOT_EMPTY, SLOT_FULL, SLOT_TAKEN, SLOT_DONE };

/* One member on its way. */
struct slot {
	enum slot_state state;
	uint8_t *raw;       /* BLOCK bytes */
	size_t raw_n;
	uint8_t *packed;    /* room for the worst case */
	size_t packed_n;
};

struct gz_writer {
	int fd;
	char *path;                 /* to remove the file if it fails */
	int level;
	size_t packed_room;         /* worst case of one member */
	struct slot *slots;
	unsigned n_slots;
	unsigned fill, take, finish; /* counts of slots filled, taken for compression, written; positions modulo n_slots */
	bool ending;                /* no more slots will be filled */
	const char *failed;         /* first thing that went wrong, or NULL */
	int failed_errno;
	pthread_mutex_t lock;       /* guards states, counts, ending and failed */
	pthread_cond_t moved;       /* any of them changed */
	pthread_t threads[THREADS_MAX + 1];
	unsigned n_threads;         /* started */
	struct hasher *raw_hash, *file_hash;
	struct gz_result result;
};

static void writer_fail(struct gz_writer *w, const char *what)
{
	int number = errno;
	pthread_mutex_lock(&w->lock);
	if (!w->failed) {
		w->failed = what;
		w->failed_errno = number;
	}
	pthread_cond_broadcast(&w->moved);
	pthread_mutex_unlock(&w->lock);
}

static void slot_move(struct gz_writer *w, struct slot *slot, enum slot_state state)
{
	pthread_mutex_lock(&w->lock);
	slot->state = state;
	pthread_cond_broadcast(&w->moved);
	pthread_mutex_unlock(&w->lock);
}

/* The next full slot that nobody compresses yet; NULL at the end. */
static struct slot *slot_to_compress(struct gz_writer *w)
{
	struct slot *slot = NULL;
	pthread_mutex_lock(&w->lock);
	while (!w->failed && w->take == w->fill && !w->ending)
		pthread_cond_wait(&w->moved, &w->lock);
	if (!w->failed && w->take != w->fill) {
		slot = &w->slots[w->take++ % w->n_slots];
		slot->state = SLOT_TAKEN;
	}
	pthread_mutex_unlock(&w->lock);
	return slot;
}

static void *compress_blocks(void *arg)
{
	struct gz_writer *w = arg;
	struct slot *slot;
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(w->level);
	if (!c) {
		errno = ENOMEM;
		writer_fail(w, "compress");
		return NULL;
	}
	while ((slot = slot_to_compress(w))) {
		slot->packed_n = libdeflate_gzip_compress(c, slot->raw, slot->raw_n, slot->packed, w->packed_room);
		if (slot->packed_n == 0) {
			errno = EOVERFLOW;
			writer_fail(w, "compress");
			break;
		}
		slot_move(w, slot, SLOT_DONE);
	}
	libdeflate_free_compressor(c);
	return NULL;
}

/* The slot that is to be written next, once it is compressed; NULL at the end. */
static struct slot *slot_to_write(struct gz_writer *w)
{
	struct slot *slot = NULL;
	pthread_mutex_lock(&w->lock);
	for (;;) {
		slot = &w->slots[w->finish % w->n_slots];
		bool due = w->finish != w->fill;
		if (w->failed || (!due && w->ending)) {
			slot = NULL;
			break;
		}
		if (due && slot->state == SLOT_DONE)
			break;
		pthread_cond_wait(&w->moved, &w->lock);
	}
	pthread_mutex_unlock(&w->lock);
	return slot;
}

static void *finish_blocks(void *arg)
{
	struct gz_writer *w = arg;
	struct slot *slot;
	while ((slot = slot_to_write(w))) {
		hasher_add(w->raw_hash, slot->raw, slot->raw_n);
		hasher_add(w->file_hash, slot->packed, slot->packed_n);
		w->result.raw_size += (int64_t)slot->raw_n;
		w->result.size += (int64_t)slot->packed_n;
		if (!file_write_all(w->fd, slot->packed, slot->packed_n)) {
			writer_fail(w, "write");
			break;
		}
		slot->raw_n = 0;
		pthread_mutex_lock(&w->lock);
		slot->state = SLOT_EMPTY;
		w->finish++;
		pthread_cond_broadcast(&w->moved);
		pthread_mutex_unlock(&w->lock);
	}
	return NULL;
}

/* The slot being filled; NULL when something failed. */
static struct slot *slot_to_fill(struct gz_writer *w)
{
	struct slot *slot = &w->slots[w->fill % w->n_slots];
	pthread_mutex_lock(&w->lock);
	while (!w->failed && slot->state != SLOT_EMPTY)
		pthread_cond_wait(&w->moved, &w->lock);
	if (w->failed)
		slot = NULL;
	pthread_mutex_unlock(&w->lock);
	return slot;
}

static void slot_send(struct gz_writer *w, struct slot *slot)
{
	pthread_mutex_lock(&w->lock);
	slot->state = SLOT_FULL;
	w->fill++;
	pthread_cond_broadcast(&w->moved);
	pthread_mutex_unlock(&w->lock);
}

void gz_writer_add(struct gz_writer *w, const void *p, size_t n)
{
	const uint8_t *from = p;
	while (n) {
		struct slot *slot = slot_to_fill(w);
		if (!slot)
			return;
		size_t room = BLOCK - slot->raw_n, count = n < room ? n : room;
		memcpy(slot->raw + slot->raw_n, from, count);
		slot->raw_n += count;
		from += count;
		n -= count;
		if (slot->raw_n == BLOCK)
			slot_send(w, slot);
	}
}

/* Lets the threads come to their end and waits for them. */
static void threads_end(struct gz_writer *w)
{
	pthread_mutex_lock(&w->lock);
	w->ending = true;
	pthread_cond_broadcast(&w->moved);
	pthread_mutex_unlock(&w->lock);
	for (unsigned i = 0; i < w->n_threads; i++)
		pthread_join(w->threads[i], NULL);
	w->n_threads = 0;
}

static void writer_free(struct gz_writer *w)
{
	if (w->fd >= 0)
		close(w->fd);
	for (unsigned i = 0; w->slots && i < w->n_slots; i++) {
		free(w->slots[i].raw);
		free(w->slots[i].packed);
	}
	free(w->slots);
	hasher_free(w->raw_hash);
	hasher_free(w->file_hash);
	pthread_cond_destroy(&w->moved);
	pthread_mutex_destroy(&w->lock);
	free(w->path);
	free(w);
}

static bool slots_make(struct gz_writer *w, unsigned n)
{
	struct libdeflate_compressor *c = libdeflate_alloc_compressor(w->level);
	if (!c)
		return false;
	w->packed_room = libdeflate_gzip_compress_bound(c, BLOCK);
	libdeflate_free_compressor(c);
	w->slots = calloc(n, sizeof(*w->slots));
	if (!w->slots)
		return false;
	w->n_slots = n;
	for (unsigned i = 0; i < n; i++) {
		w->slots[i].raw = malloc(BLOCK);
		w->slots[i].packed = malloc(w->packed_room);
		if (!w->slots[i].raw || !w->slots[i].packed)
			return false;
	}
	return true;
}

static bool threads_start(struct gz_writer *w, unsigned compressors)
{
	for (unsigned i = 0; i <= compressors; i++) {
		if (pthread_create(&w->threads[i], NULL, i == compressors ? finish_blocks : compress_blocks, w) != 0)
			return false;
		w->n_threads++;
	}
	return true;
}

static unsigned thread_count(int wanted)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	long n = wanted > 0 ? wanted : cores > 0 ? cores : 1;
	return (unsigned)(n < THREADS_MAX ? n : THREADS_MAX);
}

enum err gz_writer_open(struct gz_writer **out, const char *path, int level, int threads, struct error *e)
{
	struct gz_writer *w = calloc(1, sizeof(*w));
	if (!w)
		return error_set(e, ERR_NO_MEMORY, "There is no memory to compress with.");
	unsigned compressors = thread_count(threads);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->moved, NULL);
	w->level = level;
	w->raw_hash = hasher_new(NULL);
	w->file_hash = hasher_new(NULL);
	w->path = strdup(path);
	w->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (w->fd < 0) {
		int number = errno;
		writer_free(w);
		return error_set(e, ERR_IO, "The file %s cannot be created: %s.", path, strerror(number));
	}
	if (!w->raw_hash || !w->file_hash || !w->path || !slots_make(w, compressors + 2) || !threads_start(w, compressors)) {
		gz_writer_abort(w);
		return error_set(e, ERR_NO_MEMORY, "There is no memory to compress with.");
	}
	*out = w;
	return ERR_OK;
}

enum err gz_writer_close(struct gz_writer *w, struct gz_result *out, struct error *e)
{
	struct slot *slot = slot_to_fill(w);
	/* an empty file is one empty member */
	if (slot && (slot->raw_n || w->fill == 0))
		slot_send(w, slot);
	threads_end(w);
	if (!w->failed && fsync(w->fd) != 0)
		writer_fail(w, "flush");
	if (w->failed) {
		error_set(e, ERR_IO, "The file %s could not be written (%s): %s.", w->path, w->failed, strerror(w->failed_errno));
		gz_writer_abort(w);
		return ERR_IO;
	}
	w->result.raw_sha256 = hasher_end(w->raw_hash);
	w->result.sha256 = hasher_end(w->file_hash);
	*out = w->result;
	writer_free(w);
	return ERR_OK;
}

void gz_writer_abort(struct gz_writer *w)
{
	if (!w)
		return;
	errno = ECANCELED;
	writer_fail(w, "abort");
	threads_end(w);
	unlink(w->path);
	writer_free(w);
}
