/* multipart/form-data (RFC 7578): parts between boundaries, each with a small head. Text fields join the form's values; parts with a filename are its files. */
#include "server/web/web.h"

#define PART_HEAD_MAX (4 * KIB)

/* Index of `needle` in s from `at` on, or -1. */
static ptrdiff_t find_from(struct str s, size_t at, struct str needle)
{
	if (at > s.n)
		return -1;
	const char *hit = memmem(s.p + at, s.n - at, needle.p, needle.n);
	return hit ? hit - s.p : -1;
}

static struct str part_header(struct str head, const char *name)
{
	struct str rest = head, line;
	while (str_split(&rest, '\n', &line)) {
		ptrdiff_t colon = str_index(line, ':');
		if (colon > 0 && str_eq_nocase(str_sub(line, 0, (size_t)colon), name))
			return str_trim(str_sub(line, (size_t)colon + 1, line.n));
	}
	return STR_NONE;
}

static enum err part_add(struct call *c, struct form *f, struct str head, struct str content)
{
	struct str disposition = part_header(head, "Content-Disposition");
	if (!str_starts(disposition, "form-data"))
		return fail(c, ERR_BAD_REQUEST, "A part of the form has no Content-Disposition: form-data.");
	struct str name = header_parameter(c->arena, disposition, "name"), file = header_parameter(c->arena, disposition, "filename");
	if (!name.p)
		return fail(c, ERR_BAD_REQUEST, "A part of the form has no name.");
	if (!file.p)
		return form_add(c, f, name, content);
	if (f->count++ >= LIMIT_FORM_FIELDS)
		return fail(c, ERR_TOO_LARGE, "A form may have at most %d fields.", LIMIT_FORM_FIELDS);
	if (!str_is_utf8(name) || !str_is_utf8(file))
		return fail(c, ERR_BAD_UTF8, "The name of a file is not UTF-8 text.");
	struct form_upload *u = ARENA_NEW(c->arena, struct form_upload);
	struct str type = part_header(head, "Content-Type");
	u->name = name;
	u->file = (struct form_file){ .name = file, .content_type = type.p ? type : STR("application/octet-stream"), .content = content };
	*f->last_upload = u;
	f->last_upload = &u->next;
	return ERR_OK;
}

enum err multipart_parse(struct call *c, struct str boundary, struct str body, struct form *f)
{
	if (!boundary.p || boundary.n == 0 || boundary.n > 70)
		return fail(c, ERR_BAD_REQUEST, "The multipart form has no usable boundary.");
	struct str mark = str_fmt(c->arena, "\r\n--%.*s", STR_ARG(boundary));
	struct str opening = str_sub(mark, 2, mark.n);
	/* The first boundary stands at the very beginning or after a preamble and CRLF. */
	size_t here = opening.n;
	if (!str_eq(str_sub(body, 0, opening.n), opening)) {
		ptrdiff_t at = find_from(body, 0, mark);
		if (at < 0)
			return fail(c, ERR_BAD_REQUEST, "The multipart form lacks its boundary.");
		here = (size_t)at + mark.n;
	}
	for (;;) {
		struct str after = str_sub(body, here, body.n);
		if (str_starts(after, "--"))
			return ERR_OK;
		if (!str_starts(after, "\r\n"))
			return fail(c, ERR_BAD_REQUEST, "The multipart form is not well-formed.");
		size_t head_at = here + 2;
		ptrdiff_t head_end = find_from(body, here, STR("\r\n\r\n"));
		ptrdiff_t end = head_end < 0 ? -1 : find_from(body, (size_t)head_end + 2, mark);
		if (end < 0 || (size_t)head_end > head_at + PART_HEAD_MAX)
			return fail(c, ERR_BAD_REQUEST, "The multipart form is not well-formed.");
		struct str head = (size_t)head_end > head_at ? str_sub(body, head_at, (size_t)head_end - head_at) : STR("");
		size_t content_at = (size_t)head_end + 4;
		struct str content = (size_t)end > content_at ? str_sub(body, content_at, (size_t)end - content_at) : STR("");
		TRY(part_add(c, f, head, content));
		here = (size_t)end + mark.n;
	}
}
