#include "server/pool/csv.h"

void csv_init(struct csv *c, char delimiter, size_t max_record)
{
	*c = (struct csv){ .delimiter = delimiter, .line = 1, .next_line = 1, .complete = true };
	buf_init(&c->text, max_record);
}

void csv_release(struct csv *c)
{
	buf_release(&c->text);
}

struct str csv_field(const struct csv *c, size_t i)
{
	if (i >= c->fields)
		return STR_NONE;
	size_t from = i ? c->end[i - 1] : 0;
	return str_make(buf_str(&c->text).p + from, c->end[i] - from);
}

static void begin_record(struct csv *c)
{
	buf_clear(&c->text);
	c->text.failed = false;
	c->fields = 0;
	c->line = c->next_line;
	c->problem = NULL;
	c->state = CSV_START;
	c->complete = c->overflow = c->touched = false;
}

static void keep(struct csv *c, const char *p, size_t n)
{
	if (c->overflow)
		return;
	buf_add(&c->text, p, n);
	if (c->text.failed) {
		buf_clear(&c->text);
		c->overflow = true;
	}
}

static void end_field(struct csv *c)
{
	if (c->fields == IMPORT_COLUMNS)
		c->problem = c->problem ? c->problem : "It has more columns than a file may have.";
	else
		c->end[c->fields++] = c->text.n;
	c->state = CSV_START;
}

static void refuse(struct csv *c, const char *problem)
{
	c->problem = c->problem ? c->problem : problem;
	c->state = CSV_SKIP_LINE;
}

/* The record is over; a blank line is none. */
static enum csv_result end_record(struct csv *c)
{
	if (!c->touched) {
		c->complete = true;
		return CSV_MORE;
	}
	if (c->state != CSV_SKIP_LINE)
		end_field(c);
	c->complete = true;
	return c->problem ? CSV_BAD : c->overflow ? CSV_TOO_LARGE : CSV_RECORD;
}

/* A byte order mark may only be the very first bytes; anything else that begins like one is text. */
static size_t skip_mark(struct csv *c, const char *p, size_t n)
{
	static const char mark[] = "\xef\xbb\xbf";
	size_t i = 0;
	while (c->mark < 3 && i < n) {
		if (p[i] == mark[c->mark]) {
			c->mark++;
			i++;
			continue;
		}
		if (c->mark > 0) {
			begin_record(c);
			c->touched = true;
			c->state = CSV_PLAIN;
			keep(c, mark, c->mark);
		}
		c->mark = 3;
	}
	return i;
}

/* How many bytes from p on are plain text in this state; line breaks inside quotes are counted. */
static size_t plain_span(struct csv *c, const char *p, size_t n)
{
	if (c->state == CSV_QUOTED) {
		const char *quote = memchr(p, '"', n);
		size_t span = quote ? (size_t)(quote - p) : n;
		for (const char *at = p; (at = memchr(at, '\n', span - (size_t)(at - p))) != NULL; at++)
			c->next_line++;
		return span;
	}
	size_t i = 0;
	while (i < n && p[i] != c->delimiter && p[i] != '\n' && p[i] != '\r' && p[i] != '"')
		i++;
	return i;
}

/* One byte that means something where it stands; says whether the record ends with it. */
static bool take(struct csv *c, char b)
{
	bool line_end = b == '\n' || b == '\r';
	if (c->state == CSV_QUOTED) {
		c->state = CSV_QUOTE_IN_QUOTED;
		return false;
	}
	if (line_end) {
		c->next_line++;
		c->after_cr = b == '\r';
		return true;
	}
	c->touched = true;
	if (c->state == CSV_SKIP_LINE)
		return false;
	if (b == c->delimiter)
		end_field(c);
	else if (c->state == CSV_START)
		c->state = CSV_QUOTED;
	else if (c->state == CSV_QUOTE_IN_QUOTED) {
		keep(c, "\"", 1);
		c->state = CSV_QUOTED;
	} else
		refuse(c, "A quotation mark stands inside a field that does not begin with one.");
	return false;
}

enum csv_result csv_feed(struct csv *c, const char *p, size_t n, size_t *used)
{
	size_t i = skip_mark(c, p, n);
	while (i < n) {
		if (c->after_cr) {
			c->after_cr = false;
			if (p[i] == '\n') {
				i++;
				continue;
			}
		}
		if (c->complete)
			begin_record(c);
		size_t span = plain_span(c, p + i, n - i);
		if (span) {
			c->touched = true;
			if (c->state == CSV_QUOTE_IN_QUOTED)
				refuse(c, "Text follows the quotation mark that closes a field.");
			if (memchr(p + i, 0, span))
				c->problem = "It holds a NUL byte.";
			if (c->state == CSV_START)
				c->state = CSV_PLAIN;
			if (c->state != CSV_SKIP_LINE)
				keep(c, p + i, span);
			i += span;
			continue;
		}
		if (take(c, p[i++])) {
			enum csv_result r = end_record(c);
			if (r != CSV_MORE) {
				*used = i;
				return r;
			}
		}
	}
	*used = n;
	return CSV_MORE;
}

enum csv_result csv_finish(struct csv *c)
{
	if (c->mark > 0 && c->mark < 3) {
		size_t n = c->mark;
		c->mark = 3;
		begin_record(c);
		c->touched = true;
		keep(c, "\xef\xbb\xbf", n);
	}
	if (c->complete)
		return CSV_MORE;
	if (c->state == CSV_QUOTED)
		c->problem = "It ends inside quotation marks.";
	return end_record(c);
}
