/* The bounded Zstandard reader: a window of packed bytes, one frame, every piece that comes out held against the limits. */
#include "commonhold/zst.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <zstd.h>

#define WINDOW ((size_t)128 * 1024)

struct zst_reader {
	int fd;
	int64_t at, end;          /* where the next packed byte is read, and where they end */
	struct zst_limits limits;
	ZSTD_DCtx *z;
	ZSTD_inBuffer in;
	bool in_frame;            /* a frame has begun and not ended */
	bool any;                 /* at least one has ended */
	struct hasher *raw_hash, *file_hash;
	struct zst_result result; /* sizes as they grow */
	uint8_t window[WINDOW];
};

enum err zst_reader_open(struct zst_reader **out, int fd, int64_t at, int64_t size, struct zst_limits limits, struct error *e)
{
	struct zst_reader *r = calloc(1, sizeof(*r));
	if (r) {
		r->z = ZSTD_createDCtx();
		r->raw_hash = hasher_new(NULL);
		r->file_hash = hasher_new(NULL);
	}
	if (!r || !r->z || !r->raw_hash || !r->file_hash || ZSTD_isError(ZSTD_DCtx_setParameter(r->z, ZSTD_d_windowLogMax, ZST_WINDOW_LOG))) {
		zst_reader_close(r);
		return error_set(e, ERR_NO_MEMORY, "There is no memory to decompress with.");
	}
	r->fd = fd;
	r->at = at;
	r->end = at + size;
	r->limits = limits;
	r->in.src = r->window;
	*out = r;
	return ERR_OK;
}

void zst_reader_close(struct zst_reader *r)
{
	if (!r)
		return;
	ZSTD_freeDCtx(r->z);
	hasher_free(r->raw_hash);
	hasher_free(r->file_hash);
	free(r);
}

static enum err window_fill(struct zst_reader *r, struct error *e)
{
	size_t want = r->end - r->at < (int64_t)WINDOW ? (size_t)(r->end - r->at) : WINDOW;
	ssize_t n;
	do
		n = pread(r->fd, r->window, want, r->at);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_set(e, ERR_IO, "The file could not be read: %s.", strerror(errno));
	if (n == 0)
		return error_set(e, ERR_CORRUPT, "The compressed data ends too early.");
	hasher_add(r->file_hash, r->window, (size_t)n);
	r->at += n;
	r->result.size += n;
	r->in.size = (size_t)n;
	r->in.pos = 0;
	return ERR_OK;
}

/* What came out so far, against the limits. The packed bytes that count are those taken in, not those waiting in the window. */
static enum err within_limits(const struct zst_reader *r, struct error *e)
{
	int64_t packed = r->result.size - (int64_t)(r->in.size - r->in.pos);
	if (r->result.raw_size > r->limits.raw_max)
		return error_set(e, ERR_TOO_LARGE, "The compressed data holds more than %lld bytes.", (long long)r->limits.raw_max);
	if (r->result.raw_size > ZST_RATIO_FROM && r->result.raw_size / r->limits.ratio_max >= packed)
		return error_set(e, ERR_TOO_LARGE, "The data is compressed more than %lld times, which no honest text is.", (long long)r->limits.ratio_max);
	return ERR_OK;
}

/* One frame of content from the first byte to the last: a skippable one, or what stands behind, is checked by nothing. */
static bool frame_is_ours(const struct zst_reader *r)
{
	const uint8_t *p = r->window;
	return r->in_frame || (!r->any && r->in.pos == 0 && r->in.size >= 4 && p[0] == 0x28 && p[1] == 0xb5 && p[2] == 0x2f && p[3] == 0xfd);
}

static enum err unpack_some(struct zst_reader *r, ZSTD_outBuffer *out, struct error *e)
{
	size_t before = out->pos;
	if (!frame_is_ours(r))
		return error_set(e, ERR_CORRUPT, "The compressed data is not one frame of Zstandard from its first byte to its last.");
	size_t left = ZSTD_decompressStream(r->z, out, &r->in);
	if (ZSTD_isError(left))
		return error_set(e, ERR_CORRUPT, "The compressed data is damaged or of a kind that is not taken: %s.", ZSTD_getErrorName(left));
	r->in_frame = left != 0;
	r->any |= left == 0;
	r->result.raw_size += (int64_t)(out->pos - before);
	return within_limits(r, e);
}

enum err zst_reader_read(struct zst_reader *r, void *to, size_t n, size_t *got, struct error *e)
{
	ZSTD_outBuffer out = { to, n, 0 };
	while (out.pos < n) {
		size_t before = out.pos;
		bool dry = r->in.pos == r->in.size;
		if (dry && r->at < r->end) {
			TRY(window_fill(r, e));
			dry = false;
		}
		/* the decompressor may still hold output of what it has taken in */
		if (dry && !r->in_frame)
			break;
		TRY(unpack_some(r, &out, e));
		if (dry && out.pos == before)
			break;
	}
	if (out.pos == 0 && n && (r->in_frame || !r->any))
		return error_set(e, ERR_CORRUPT, "The compressed data ends too early.");
	if (!r->limits.known)
		hasher_add(r->raw_hash, to, out.pos);
	*got = out.pos;
	return ERR_OK;
}

void zst_reader_result(struct zst_reader *r, struct zst_result *out)
{
	if (!r->limits.known)
		r->result.raw_sha256 = hasher_end(r->raw_hash);
	r->result.sha256 = hasher_end(r->file_hash);
	*out = r->result;
}
