/* Files of lines, each a canonical JSON object. */
#include "verify_internal.h"

void lines_init(struct line_reader *r, line_fn fn, void *arg)
{
	*r = (struct line_reader){ .fn = fn, .arg = arg };
	buf_init(&r->held, VERIFY_LINE_MAX);
}

void lines_release(struct line_reader *r)
{
	buf_release(&r->held);
}

static bool hold(struct line_reader *r, const char *p, size_t n)
{
	buf_add(&r->held, p, n);
	if (r->held.failed)
		r->fault = "a line is longer than a line may be";
	return !r->held.failed;
}

bool lines_feed(struct line_reader *r, const char *p, size_t n)
{
	while (n) {
		const char *end = memchr(p, '\n', n);
		if (!end)
			return hold(r, p, n);
		size_t length = (size_t)(end - p);
		bool whole = r->held.n == 0;
		if (!whole && !hold(r, p, length))
			return false;
		if (!r->fn(r->arg, whole ? str_make(p, length) : buf_str(&r->held)))
			return false;
		buf_clear(&r->held);
		p = end + 1;
		n -= length + 1;
	}
	return true;
}

bool lines_end(struct line_reader *r)
{
	if (r->held.n == 0)
		return true;
	r->fault = "the last line is not ended";
	return false;
}

const struct json *line_object(struct arena *a, struct buf *scratch, struct str line, const char **why)
{
	const struct json *v;
	struct error e = { 0 };
	*why = "it is not JSON";
	if (json_parse(a, line, &v, &e) != ERR_OK)
		return NULL;
	*why = "it is not an object";
	if (v->type != JSON_OBJECT)
		return NULL;
	*why = "it is not in canonical form";
	buf_clear(scratch);
	json_canonical(scratch, v, true);
	return !scratch->failed && str_eq(buf_str(scratch), line) ? v : NULL;
}
