/* Long answers: a head at once, then data in writes of at least STREAM_WRITE bytes, chunked or of an announced length. A stream holds one of LIMIT_STREAMS places to its
 * end, so that slow readers cannot take every worker; so does a streamed body, so that slow writers cannot.
 */
#include "server/web/web.h"

#define STREAM_WRITE (32 * KIB)
#define CHUNK_HEAD 10 /* eight hex digits and CRLF, kept free before the data and filled in when their number is known */

static void stream_open_chunk(struct exchange *x)
{
	struct buf *out = &x->worker->out;
	if (x->stream.chunked)
		buf_add(out, "00000000\r\n", CHUNK_HEAD);
	x->stream.data_at = out->n;
}

/* Sends what is pending: the head when it is still there, and one chunk. */
static enum err stream_send(struct exchange *x)
{
	struct buf *out = &x->worker->out;
	size_t data = out->n - x->stream.data_at;
	if (x->stream.chunked && data > 0) {
		char head[CHUNK_HEAD + 1];
		snprintf(head, sizeof(head), "%08x\r\n", (unsigned)data);
		memcpy(out->p + x->stream.data_at - CHUNK_HEAD, head, CHUNK_HEAD);
		buf_add(out, "\r\n", 2);
	} else if (x->stream.chunked) {
		out->n -= CHUNK_HEAD;
	}
	bool ok = out->n == 0 || (!out->failed && engine_write(x, out->p, out->n));
	buf_clear(out);
	stream_open_chunk(x);
	if (ok)
		return ERR_OK;
	x->stream.failed = true;
	return fail(&x->call, ERR_IO, "The reader went away.");
}

static void stream_leave(void *arg)
{
	struct exchange *x = arg;
	if (x->stream.counted)
		atomic_fetch_sub(&x->server->streams, 1);
	x->stream.counted = false;
}

enum err stream_enter(struct exchange *x)
{
	if (x->stream.counted)
		return ERR_OK;
	if (atomic_fetch_add(&x->server->streams, 1) >= LIMIT_STREAMS) {
		atomic_fetch_sub(&x->server->streams, 1);
		x->retry_after = 10;
		return fail(&x->call, ERR_UNAVAILABLE, "Too many downloads and uploads are under way. Try again shortly.");
	}
	x->stream.counted = true;
	arena_defer(x->call.arena, stream_leave, x);
	return ERR_OK;
}

enum err stream_begin(struct request *rq, struct response *rs, int status, const char *content_type, int64_t content_length)
{
	struct exchange *x = exchange_of(rq);
	if (rs->fault || rs->headers.failed)
		return fail(rq->call, ERR_INTERNAL, "A header of the answer was unfit to be sent.");
	TRY(stream_enter(x));
	rs->status = status;
	rs->content_type = content_type;
	rs->streamed = true;
	x->stream.open = true;
	x->stream.chunked = content_length < 0 && !x->http10 && !x->head;
	x->stream.left = content_length;
	/* Without a length and without chunks, the end of the connection is the end of the answer. What is left of a body must not become a request either; a handler that
	 * streams its body goes on reading it, and the engine looks afterwards whether it did to the end. */
	x->close = x->close || x->http10 || (!(rq->route->flags & ROUTE_STREAM_BODY) && x->content_length > x->body_read);
	buf_clear(&x->worker->out);
	response_head(x, &x->worker->out, content_length);
	stream_open_chunk(x);
	return ERR_OK;
}

enum err stream_write(struct request *rq, const void *p, size_t n)
{
	struct exchange *x = exchange_of(rq);
	struct stream *s = &x->stream;
	const char *from = p;
	if (s->failed)
		return fail(rq->call, ERR_IO, "The reader went away.");
	if (!s->chunked && s->left >= 0) {
		if ((uint64_t)s->left < n)
			return fail(rq->call, ERR_INTERNAL, "A stream grew longer than was announced.");
		s->left -= (int64_t)n;
	}
	if (x->head)
		return ERR_OK;
	while (n > 0) {
		size_t pending = x->worker->out.n - s->data_at;
		size_t part = pending < 2 * STREAM_WRITE ? 2 * STREAM_WRITE - pending : 0;
		if (part > n)
			part = n;
		buf_add(&x->worker->out, from, part);
		from += part;
		n -= part;
		if (x->worker->out.n - s->data_at >= STREAM_WRITE)
			TRY(stream_send(x));
	}
	return ERR_OK;
}

enum err stream_end(struct request *rq)
{
	struct exchange *x = exchange_of(rq);
	if (x->stream.failed)
		return fail(rq->call, ERR_IO, "The reader went away.");
	if (!x->head && !x->stream.chunked && x->stream.left > 0) {
		x->close = true;
		return fail(rq->call, ERR_INTERNAL, "A stream ended before the length that was announced.");
	}
	TRY(stream_send(x));
	x->stream.open = false;
	if (x->stream.chunked && !engine_write(x, "0\r\n\r\n", 5))
		x->stream.failed = true;
	stream_leave(x);
	return ERR_OK;
}

/* An error after the head went out: the reader must not take the part for the whole, so the connection ends without the last chunk. */
void stream_abandon(struct exchange *x)
{
	if (!x->stream.open)
		return;
	x->close = true;
	x->stream.open = false;
	metric_add("commonhold_http_streams_cut_total", "", 1);
	stream_leave(x);
}
