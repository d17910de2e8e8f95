/* Files and parts of files (RFC 9110, 14): one range, If-Range, validators. Several ranges in one request get the whole file, as the RFC allows. */
#include "server/web/web.h"

#include <unistd.h>

struct range {
	bool wanted;       /* a single satisfiable range was asked for */
	bool outside;      /* it lies outside the file */
	int64_t first, length;
};

/* "bytes=a-b", "bytes=a-", "bytes=-n". Anything else is no range at all and is ignored, as the RFC says. */
static struct range range_parse(struct str value, int64_t size)
{
	struct range r = { .wanted = false, .length = size };
	if (value.n < 7 || !str_eq_nocase(str_sub(value, 0, 6), "bytes=") || str_index(value, ',') >= 0)
		return r;
	struct str spec = str_trim(str_sub(value, 6, value.n));
	ptrdiff_t dash = str_index(spec, '-');
	if (dash < 0)
		return r;
	struct str from = str_sub(spec, 0, (size_t)dash), to = str_sub(spec, (size_t)dash + 1, spec.n);
	int64_t a = 0, b = 0;
	for (size_t i = 0; i < spec.n; i++) {
		if ((ptrdiff_t)i != dash && (spec.p[i] < '0' || spec.p[i] > '9'))
			return r;
	}
	if ((from.n && !str_to_i64(from, 0, INT64_MAX, &a)) || (to.n && !str_to_i64(to, 0, INT64_MAX, &b)) || (!from.n && !to.n))
		return r;
	if (!from.n) {
		r.outside = b == 0 || size == 0;
		a = b < size ? size - b : 0;
		b = size - 1;
	} else {
		if (to.n && b < a)
			return r;
		r.outside = a >= size;
		if (!to.n || b >= size)
			b = size - 1;
	}
	r.wanted = true;
	r.first = a;
	r.length = b - a + 1;
	return r;
}

static void file_close(void *arg)
{
	close((int)(intptr_t)arg);
}

static enum err file_send(struct request *rq, int fd, int64_t at, int64_t left)
{
	size_t window = 64 * KIB;
	char *buffer = arena_alloc(rq->call->arena, window);
	while (left > 0) {
		size_t n = (uint64_t)left < window ? (size_t)left : window;
		ssize_t got = pread(fd, buffer, n, at);
		if (got <= 0)
			return fail(rq->call, ERR_IO, "A file became shorter while it was sent.");
		TRY(stream_write(rq, buffer, (size_t)got));
		at += got;
		left -= got;
	}
	return stream_end(rq);
}

/* The range that is asked for; If-Range: the part only while the file is the same; a date is no strong validator of ours. */
static struct range range_asked(const struct request *rq, struct str etag, int64_t size)
{
	struct str asked = request_header(rq, "Range"), condition = request_header(rq, "If-Range");
	if (asked.p && (!condition.p || etag_listed(condition, etag, false)))
		return range_parse(asked, size);
	return (struct range){ .length = size };
}

struct file_part response_file_part(const struct request *rq, struct str etag, int64_t size)
{
	struct str known = request_header(rq, "If-None-Match");
	struct range r = range_asked(rq, etag, size);
	if (known.p && etag_listed(known, etag, true))
		return (struct file_part){ .status = 304 };
	if (r.outside)
		return (struct file_part){ .status = 416 };
	return (struct file_part){ r.wanted ? 206 : 200, r.first, exchange_of(rq)->head ? 0 : r.length };
}

enum err response_file(struct request *rq, struct response *rs, int fd, int64_t size, const char *content_type, struct str etag)
{
	struct arena *a = rq->call->arena;
	arena_defer(a, file_close, (void *)(intptr_t)fd);
	if (response_not_modified(rq, rs, etag))
		return ERR_OK;
	response_header(rs, "Accept-Ranges", STR("bytes"));
	struct range r = range_asked(rq, etag, size);
	if (r.outside) {
		exchange_of(rq)->unsatisfied = size;
		return fail(rq->call, ERR_RANGE, "The file has %lld bytes.", (long long)size);
	}
	if (r.wanted)
		response_header(rs, "Content-Range", str_fmt(a, "bytes %lld-%lld/%lld", (long long)r.first, (long long)(r.first + r.length - 1), (long long)size));
	TRY(stream_begin(rq, rs, r.wanted ? 206 : 200, content_type, r.length));
	if (exchange_of(rq)->head)
		return stream_end(rq);
	return file_send(rq, fd, r.first, r.length);
}
