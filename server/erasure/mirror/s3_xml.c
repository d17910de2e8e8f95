#include "s3_xml.h"

/* Where `what` begins in `s`; the length of `s` when nowhere. */
static size_t find(struct str s, const char *what, size_t n)
{
	const char *at = s.n >= n ? memmem(s.p, s.n, what, n) : NULL;
	return at ? (size_t)(at - s.p) : s.n;
}

static bool ends_name(char ch)
{
	return ch == '>' || ch == '/' || ch == ' ' || ch == '\t' || ch == '\r' || ch == '\n';
}

/* The next opening tag of that name: *from is where it begins, *to behind its '>'; *empty for <name/>. */
static bool open_tag(struct str s, const char *name, size_t *from, size_t *to, bool *empty)
{
	size_t n = strlen(name), at = 0;
	while (at < s.n) {
		at += find(str_sub(s, at, s.n), "<", 1);
		if (at + 1 + n >= s.n)
			return false;
		if (memcmp(s.p + at + 1, name, n) == 0 && ends_name(s.p[at + 1 + n])) {
			size_t end = at + find(str_sub(s, at, s.n), ">", 1);
			if (end >= s.n)
				return false;
			*from = at;
			*to = end + 1;
			*empty = s.p[end - 1] == '/';
			return true;
		}
		at++;
	}
	return false;
}

bool s3_xml_is(struct str document, const char *root)
{
	struct str s = str_trim(document);
	size_t from, to;
	bool empty;
	if (str_starts(s, "\xef\xbb\xbf"))
		s = str_sub(s, 3, s.n);
	if (str_starts(s, "<?")) {
		size_t end = find(s, "?>", 2);
		s = end < s.n ? str_trim(str_sub(s, end + 2, s.n)) : s;
	}
	return open_tag(s, root, &from, &to, &empty) && from == 0;
}

bool s3_xml_next(struct str *rest, const char *name, struct str *inside)
{
	size_t from, to, n = strlen(name);
	bool empty;
	if (!rest->p || n > 60 || !open_tag(*rest, name, &from, &to, &empty))
		return false;
	struct str after = str_sub(*rest, to, rest->n);
	if (empty) {
		*inside = STR("");
		*rest = after;
		return true;
	}
	char closing[64] = "</";
	memcpy(closing + 2, name, n);
	closing[n + 2] = '>';
	size_t end = find(after, closing, n + 3);
	if (end >= after.n)
		return false;
	*inside = str_sub(after, 0, end);
	*rest = str_sub(after, end + n + 3, after.n);
	return true;
}

static bool number(struct str digits, unsigned long *out)
{
	int64_t v;
	if (str_starts(digits, "x")) {
		unsigned long sum = 0;
		if (digits.n < 2 || digits.n > 7)
			return false;
		for (size_t i = 1; i < digits.n; i++) {
			char ch = digits.p[i];
			unsigned d = ch >= '0' && ch <= '9' ? (unsigned)(ch - '0') : ch >= 'a' && ch <= 'f' ? (unsigned)(ch - 'a') + 10 : ch >= 'A' && ch <= 'F' ? (unsigned)(ch - 'A') + 10 : 99;
			if (d > 15)
				return false;
			sum = sum * 16 + d;
		}
		*out = sum;
		return true;
	}
	if (!str_to_i64(digits, 1, 0x10ffff, &v))
		return false;
	*out = (unsigned long)v;
	return true;
}

/* One reference, without & and ;. Numbers beyond ASCII do not occur: names are asked for in their URL encoding. */
static char entity(struct str name)
{
	static const struct { const char *name; char ch; } known[] = { { "amp", '&' }, { "lt", '<' }, { "gt", '>' }, { "quot", '"' }, { "apos", '\'' } };
	unsigned long v;
	for (size_t i = 0; i < CH_LEN(known); i++)
		if (str_is(name, known[i].name))
			return known[i].ch;
	return str_starts(name, "#") && number(str_sub(name, 1, name.n), &v) && v > 0 && v < 0x80 ? (char)v : '\0';
}

struct str s3_xml_text(struct arena *a, struct str document, const char *name)
{
	struct str rest = document, inside;
	if (!s3_xml_next(&rest, name, &inside))
		return STR_NONE;
	char *out = arena_take(a, inside.n + 1);
	size_t n = 0;
	for (size_t i = 0; i < inside.n; i++) {
		if (inside.p[i] == '<')
			return STR_NONE;
		if (inside.p[i] != '&') {
			out[n++] = inside.p[i];
			continue;
		}
		struct str tail = str_sub(inside, i + 1, 10);
		ptrdiff_t end = str_index(tail, ';');
		char ch = end > 0 ? entity(str_sub(tail, 0, (size_t)end)) : '\0';
		if (!ch)
			return STR_NONE;
		out[n++] = ch;
		i += (size_t)end + 1;
	}
	return str_make(out, n);
}

void s3_xml_add(struct buf *out, struct str text)
{
	for (size_t i = 0; i < text.n; i++) {
		switch (text.p[i]) {
		case '&': buf_add_z(out, "&amp;"); break;
		case '<': buf_add_z(out, "&lt;"); break;
		case '>': buf_add_z(out, "&gt;"); break;
		case '"': buf_add_z(out, "&quot;"); break;
		default: buf_add_byte(out, text.p[i]);
		}
	}
}
