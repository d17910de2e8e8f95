/* The guard: what is ambiguous, too much or comes too late is refused before anything else looks at it. Two readers of one stream of bytes who disagree about where
 * a request ends are how requests are smuggled past a proxy, so there is one reading or none.
 */
#include "server/web/web.h"

static bool is_token(struct str s)
{
	if (!s.n)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!letter && !memchr("!#$%&'*+-.^_`|~", c, 15))
			return false;
	}
	return true;
}

/* RFC 9110: no controls but the tab. */
static bool is_field_value(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if ((c < 0x20 && c != '\t') || c == 0x7F)
			return false;
	}
	return true;
}

static enum err guard_fields(struct exchange *x)
{
	int hosts = 0, lengths = 0;
	for (size_t i = 0; i < x->field_count; i++) {
		const struct field *f = &x->fields[i];
		if (!is_token(f->name) || !is_field_value(f->value))
			return fail(&x->call, ERR_BAD_REQUEST, "A header field holds characters that it may not hold.");
		if (str_eq_nocase(f->name, "Host"))
			hosts++;
		if (str_eq_nocase(f->name, "Transfer-Encoding"))
			return fail(&x->call, ERR_LENGTH_REQUIRED, "Chunked bodies are not taken here: send Content-Length.");
		if (str_eq_nocase(f->name, "Content-Length")) {
			lengths++;
			bool digits = f->value.n > 0 && f->value.n <= 15;
			for (size_t k = 0; k < f->value.n && digits; k++)
				digits = f->value.p[k] >= '0' && f->value.p[k] <= '9';
			if (!digits || !str_to_i64(f->value, 0, INT64_MAX, &x->content_length))
				return fail(&x->call, ERR_BAD_REQUEST, "Content-Length is not a number of bytes.");
		}
	}
	if (hosts != 1)
		return fail(&x->call, ERR_BAD_REQUEST, "There must be exactly one Host.");
	if (lengths > 1)
		return fail(&x->call, ERR_BAD_REQUEST, "There must be at most one Content-Length.");
	return ERR_OK;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The undecoded path: visible ASCII; what decodes to a control, a slash or a backslash is refused, and so are dot segments, encoded or not. */
static enum err guard_path(struct exchange *x)
{
	struct str path = x->rq.path;
	size_t segment = 0, dots = 0; /* bytes of the segment so far, how many of them are dots */
	for (size_t i = 0; i < path.n; i++) {
		unsigned char c = (unsigned char)path.p[i];
		if (c <= 0x20 || c >= 0x7F || c == '\\')
			return fail(&x->call, ERR_BAD_REQUEST, "The address holds a character that must be encoded.");
		if (c == '%') {
			bool whole = path.n - i > 2;
			int high = whole ? hex_digit(path.p[i + 1]) : -1, low = whole ? hex_digit(path.p[i + 2]) : -1;
			if (high < 0 || low < 0)
				return fail(&x->call, ERR_BAD_REQUEST, "The address holds a broken percent-encoding.");
			c = (unsigned char)(high * 16 + low);
			if (c < 0x20 || c == 0x7F || c == '/' || c == '\\')
				return fail(&x->call, ERR_BAD_REQUEST, "The address holds an encoded slash or control character.");
			i += 2;
		} else if (c == '/') {
			if (segment > 0 && segment == dots && dots <= 2)
				return fail(&x->call, ERR_BAD_REQUEST, "The address holds a dot segment.");
			segment = dots = 0;
			continue;
		}
		segment++;
		dots += c == '.';
	}
	if (segment > 0 && segment == dots && dots <= 2)
		return fail(&x->call, ERR_BAD_REQUEST, "The address holds a dot segment.");
	return ERR_OK;
}

static enum err guard_query(struct exchange *x)
{
	for (size_t i = 0; i < x->rq.query.n; i++) {
		unsigned char c = (unsigned char)x->rq.query.p[i];
		if (c <= 0x20 || c >= 0x7F)
			return fail(&x->call, ERR_BAD_REQUEST, "The query holds a character that must be encoded.");
	}
	return ERR_OK;
}

static enum err guard_all(struct exchange *x)
{
	TRY(x->call.error.code);
	TRY(guard_fields(x));
	TRY(guard_path(x));
	TRY(guard_query(x));
	if (atomic_load(&x->server->draining)) {
		x->retry_after = 5;
		return fail(&x->call, ERR_UNAVAILABLE, "The service is stopping. Try again shortly.");
	}
	return ERR_OK;
}

/* Where a request was refused here, nobody can be sure where the next one begins: the connection ends. */
enum err guard_check(struct exchange *x)
{
	enum err e = guard_all(x);
	if (e != ERR_OK)
		x->close = true;
	return e;
}
