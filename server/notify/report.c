/* report.c - a delivery report (RFC 3464) taken apart: the little of MIME that it takes. Pure; bounded by the message, which is not copied. */
#include "server/notify/report.h"

#define PARTS_MAX 16
#define TAG_LETTERS 52

/* The next line, without its end. */
static bool next_line(struct str *rest, struct str *line)
{
	if (!rest->p || !rest->n)
		return false;
	if (!str_split(rest, '\n', line))
		return false;
	if (line->n && line->p[line->n - 1] == '\r')
		line->n--;
	return true;
}

/* Up to the first empty line; *rest is what follows it. */
static struct str take_head(struct str *rest)
{
	struct str line, all = *rest;
	while (next_line(rest, &line))
		if (!line.n)
			break;
	return str_sub(all, 0, rest->p ? (size_t)(rest->p - all.p) : all.n);
}

/* The value of a field, unfolded; absent when there is none. The first counts. */
static struct str field_of(struct arena *a, struct str head, const char *name)
{
	struct str line;
	struct buf b;
	bool in = false;
	buf_init(&b, 16 * KIB);
	while (next_line(&head, &line)) {
		bool folded = line.n && (line.p[0] == ' ' || line.p[0] == '\t');
		if (in && !folded)
			break;
		ptrdiff_t colon = str_index(line, ':');
		if (!folded && colon > 0 && str_eq_nocase(str_sub(line, 0, (size_t)colon), name)) {
			in = true;
			buf_add_str(&b, str_sub(line, (size_t)colon + 1, line.n));
		} else if (in) {
			buf_add_str(&b, line);
		}
	}
	struct str value = buf_take(a, &b);
	return in ? str_trim(value) : STR_NONE;
}

/* The media type of a Content-Type, in lower case. */
static struct str media_type(struct arena *a, struct str value)
{
	struct str type;
	return str_split(&value, ';', &type) ? str_lower(a, str_trim(type)) : STR("");
}

static struct str boundary_of(struct arena *a, struct str value)
{
	struct str part, lower;
	while (str_split(&value, ';', &part)) {
		part = str_trim(part);
		lower = str_lower(a, part);
		if (!str_starts(lower, "boundary="))
			continue;
		part = str_trim(str_sub(part, 9, part.n));
		return part.n >= 2 && part.p[0] == '"' ? str_sub(part, 1, part.n - 2) : part;
	}
	return STR_NONE;
}

/* What could be an id of ours: so many letters in front of an @, anywhere in a text. */
static void find_tags(struct str text, struct mail_report *out)
{
	for (size_t i = TAG_LETTERS; i < text.n && out->n_tags < MAIL_REPORT_TAGS; i++)
		if (text.p[i] == '@')
			out->tags[out->n_tags++] = str_sub(text, i - TAG_LETTERS, TAG_LETTERS);
}

/* Groups of fields: the first is about the message, each other about one recipient. */
static void read_status(struct arena *a, struct str body, struct mail_report *out)
{
	out->has_status = true;
	while (body.p && body.n && !out->failed) {
		struct str group = take_head(&body), action = str_lower(a, field_of(a, group, "Action"));
		if (!str_is(action, "failed"))
			continue;
		out->failed = true;
		out->status = field_of(a, group, "Status");
		out->diagnostic = field_of(a, group, "Diagnostic-Code");
	}
}

static void read_part(struct arena *a, struct str part, struct mail_report *out)
{
	struct str head = take_head(&part), type = media_type(a, field_of(a, head, "Content-Type"));
	if (str_is(type, "message/delivery-status") || str_is(type, "message/global-delivery-status"))
		read_status(a, part, out);
	else if ((str_is(type, "message/rfc822") || str_starts(type, "text/rfc822-headers") || str_starts(type, "message/global")))
		find_tags(field_of(a, take_head(&part), "Message-ID"), out);
}

/* Whether a line is the boundary, or (*last) the one after the last part. */
static bool is_boundary(struct str line, struct str boundary, bool *last)
{
	struct str rest = str_sub(line, 2, line.n);
	if (!str_starts(line, "--") || rest.n < boundary.n || !str_eq(str_sub(rest, 0, boundary.n), boundary))
		return false;
	rest = str_trim(str_sub(rest, boundary.n, rest.n));
	*last = str_is(rest, "--");
	return *last || !rest.n;
}

static void read_parts(struct arena *a, struct str body, struct str boundary, struct mail_report *out)
{
	const char *begin = NULL;
	struct str line;
	bool last = false;
	for (int parts = 0; parts < PARTS_MAX && !last && next_line(&body, &line);) {
		if (!is_boundary(line, boundary, &last))
			continue;
		if (begin)
			read_part(a, str_make(begin, (size_t)(line.p - begin)), out);
		parts++;
		begin = body.p ? body.p : line.p + line.n;
	}
}

/* A class, a subject and a detail, nothing else. */
static struct str clean_status(struct str status)
{
	bool ok = status.n >= 5 && status.n <= 9 && status.p[1] == '.';
	for (size_t i = 0; ok && i < status.n; i++)
		ok = status.p[i] == '.' || (status.p[i] >= '0' && status.p[i] <= '9');
	return ok ? status : STR("5.0.0");
}

enum err mail_report_read(struct arena *a, struct str message, struct mail_report *out, struct error *e)
{
	struct str body = message, head = take_head(&body), type = field_of(a, head, "Content-Type"), boundary = boundary_of(a, type);
	*out = (struct mail_report){ 0 };
	if (message.n > MAIL_REPORT_MAX)
		return error_set(e, ERR_TOO_LARGE, "The report is longer than a report may be.");
	if (!str_is(media_type(a, type), "multipart/report") || !boundary.n)
		return error_set(e, ERR_BAD_REQUEST, "This is no delivery report (RFC 3464).");
	find_tags(head, out);
	read_parts(a, body, boundary, out);
	if (!out->has_status)
		return error_set(e, ERR_BAD_REQUEST, "This report says nothing about a delivery.");
	out->status = clean_status(out->status);
	return ERR_OK;
}
