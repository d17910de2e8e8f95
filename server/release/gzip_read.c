/* The bounded gzip reader: zlib over a window of compressed bytes, member after member. */
#include "commonhold/gzip.h"

#include <errno.h>
#include <unistd.h>
#include <zlib.h>

#define WINDOW ((size_t)64 * 1024)

struct gz_reader {
	int fd;
	void (*on_compressed)(void *arg, const void *p, size_t n);
	void *arg;
	z_stream z;
	bool in_member;     /* a member has begun and not ended */
	bool any;           /* at least one member has ended */
	bool at_end;        /* the file has no more bytes */
	uint8_t window[WINDOW];
};

enum err gz_reader_open(struct gz_reader **out, int fd, void (*on_compressed)(void *arg, const void *p, size_t n), void *arg, struct error *e)
{
	struct gz_reader *r = calloc(1, sizeof(*r));
	/* 16 + 15: gzip framing alone, largest window */
	if (!r || inflateInit2(&r->z, 16 + 15) != Z_OK) {
		free(r);
		return error_set(e, ERR_NO_MEMORY, "There is no memory to decompress with.");
	}
	r->fd = fd;
	r->on_compressed = on_compressed;
	r->arg = arg;
	*out = r;
	return ERR_OK;
}

void gz_reader_close(struct gz_reader *r)
{
	if (!r)
		return;
	inflateEnd(&r->z);
	free(r);
}

static enum err window_fill(struct gz_reader *r, struct error *e)
{
	ssize_t n;
	do
		n = read(r->fd, r->window, sizeof(r->window));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return error_set(e, ERR_IO, "The file could not be read: %s.", strerror(errno));
	if (n == 0)
		r->at_end = true;
	else if (r->on_compressed)
		r->on_compressed(r->arg, r->window, (size_t)n);
	r->z.next_in = r->window;
	r->z.avail_in = (unsigned)n;
	return ERR_OK;
}

/* One step of zlib; at the end of a member the stream is made ready for the next. */
static enum err inflate_some(struct gz_reader *r, struct error *e)
{
	r->in_member = true;
	int status = inflate(&r->z, Z_NO_FLUSH);
	if (status == Z_STREAM_END) {
		r->in_member = false;
		r->any = true;
		inflateReset(&r->z);
	} else if (status != Z_OK && status != Z_BUF_ERROR) {
		return error_set(e, ERR_CORRUPT, "The compressed data is damaged: %s.", r->z.msg ? r->z.msg : "unknown");
	}
	return ERR_OK;
}

enum err gz_reader_read(struct gz_reader *r, void *to, size_t n, size_t *got, struct error *e)
{
	unsigned room = n < (1u << 30) ? (unsigned)n : 1u << 30;
	r->z.next_out = to;
	r->z.avail_out = room;
	while (r->z.avail_out) {
		unsigned before = r->z.avail_out;
		if (r->z.avail_in == 0 && !r->at_end)
			TRY(window_fill(r, e));
		/* zlib may still hold output of what it has taken in */
		if (r->z.avail_in == 0 && !r->in_member)
			break;
		TRY(inflate_some(r, e));
		if (r->at_end && r->z.avail_in == 0 && r->z.avail_out == before)
			break;
	}
	*got = room - r->z.avail_out;
	if (*got == 0 && room && (r->in_member || !r->any))
		return error_set(e, ERR_CORRUPT, "The compressed data ends too early.");
	return ERR_OK;
}
