/* import_read.c - the input's window: bytes from the source, inflated where they are gzip, cut into lines or array elements. */
#include "server/pool/import_internal.h"

#define CHUNK (256 * KIB)

/* Bytes of the source as they are; *n is 0 at the end. */
static enum err read_source(struct import_reader *r, void *to, size_t room, size_t *n, struct error *e)
{
	ptrdiff_t got = r->source->read(r->source->arg, to, room);
	if (got < 0 || (size_t)got > room)
		return error_set(e, ERR_IO, "Reading the file failed.");
	r->counts->bytes += (uint64_t)got;
	*n = (size_t)got;
	return ERR_OK;
}

/* Refills the compressed bytes and opens the next member where there is one (RFC 1952); *more is false at the end. */
static enum err next_compressed(struct import_reader *r, bool *more, struct error *e)
{
	*more = true;
	if (r->raw_used == r->raw_end) {
		r->raw_used = 0;
		TRY(read_source(r, r->raw, CHUNK, &r->raw_end, e));
		*more = r->raw_end > 0;
		r->damaged = !*more && r->member_open;
	}
	if (*more && !r->member_open) {
		r->damaged = inflateReset(&r->z) != Z_OK;
		r->member_open = true;
	}
	return ERR_OK;
}

/* Inflates into `to`. *n is 0 at the end. What came before damage is given first. */
static enum err read_gzip(struct import_reader *r, void *to, size_t room, size_t *n, struct error *e)
{
	bool more = true;
	r->z.next_out = to;
	r->z.avail_out = (uInt)room;
	while (r->z.avail_out == room && !r->damaged) {
		TRY(next_compressed(r, &more, e));
		if (!more || r->damaged)
			break;
		r->z.next_in = r->raw + r->raw_used;
		r->z.avail_in = (uInt)(r->raw_end - r->raw_used);
		int code = inflate(&r->z, Z_NO_FLUSH);
		r->raw_used = r->raw_end - r->z.avail_in;
		if (code == Z_STREAM_END)
			r->member_open = false;
		else if (code != Z_OK && code != Z_BUF_ERROR)
			r->damaged = true;
	}
	*n = room - r->z.avail_out;
	if (*n == 0 && r->damaged)
		return error_set(e, ERR_BAD_REQUEST, "The compressed file is damaged or cut short.");
	return ERR_OK;
}

/* Room for at least one chunk behind the window's end, if the maximum allows. */
static enum err make_room(struct import_reader *r, struct error *e)
{
	if (r->start > 0) {
		memmove(r->window, r->window + r->start, r->end - r->start);
		r->end -= r->start;
		r->start = 0;
	}
	if (r->size - r->end >= CHUNK || r->size >= IMPORT_VALUE_BYTES + 2 * CHUNK)
		return ERR_OK;
	char *grown = realloc(r->window, r->size * 2);
	if (!grown)
		return error_set(e, ERR_NO_MEMORY, "There is no memory for reading the file.");
	r->window = grown;
	r->size *= 2;
	return ERR_OK;
}

enum err import_reader_fill(struct import_reader *r, bool *got, struct error *e)
{
	*got = false;
	if (r->eof)
		return ERR_OK;
	if (r->size - r->end < CHUNK)
		TRY(make_room(r, e));
	size_t room = r->size - r->end, n = 0;
	if (room == 0)
		return ERR_OK;
	if (r->gzip)
		TRY(read_gzip(r, r->window + r->end, room, &n, e));
	else
		TRY(read_source(r, r->window + r->end, room, &n, e));
	r->end += n;
	r->eof = n == 0;
	*got = n > 0;
	return ERR_OK;
}

static enum err begin_gzip(struct import_reader *r, struct error *e)
{
	r->raw = malloc(CHUNK);
	if (!r->raw || inflateInit2(&r->z, 15 + 16) != Z_OK)
		return error_set(e, ERR_NO_MEMORY, "There is no memory for reading the file.");
	r->gzip = true;
	memcpy(r->raw, r->window, r->end);
	r->raw_end = r->end;
	r->end = 0;
	bool got;
	return import_reader_fill(r, &got, e);
}

/* A byte order mark is skipped; the first byte that is not white space says whether the values are elements of an array. */
static enum err find_form(struct import_reader *r, struct error *e)
{
	bool got = true;
	while (r->end < 3 && got)
		TRY(import_reader_fill(r, &got, e));
	if (r->end >= 3 && memcmp(r->window, "\xef\xbb\xbf", 3) == 0)
		r->start = 3;
	size_t i = r->start;
	do {
		while (i < r->end && (r->window[i] == ' ' || r->window[i] == '\t' || r->window[i] == '\r' || r->window[i] == '\n'))
			i++;
		if (i < r->end || r->end >= CHUNK / 2)
			break;
		/* filling may move the window's bytes to its front */
		i -= r->start;
		TRY(import_reader_fill(r, &got, e));
		i += r->start;
	} while (got);
	r->array = i < r->end && r->window[i] == '[';
	return ERR_OK;
}

/* The first bytes say whether the file is compressed and whether it is one array. */
static enum err look_at_beginning(struct import_reader *r, struct error *e)
{
	size_t n = 0;
	do {
		TRY(read_source(r, r->window + r->end, CHUNK - r->end, &n, e));
		r->end += n;
	} while (n > 0 && r->end < 4);
	r->eof = n == 0;
	if (r->end >= 4 && memcmp(r->window, "PK\x03\x04", 4) == 0)
		return error_hint(e, ERR_MEDIA_TYPE, "Unpack it and give the file inside, for account exports conversations.json.", "This is a zip archive.");
	if (r->end >= 2 && memcmp(r->window, "\x1f\x8b", 2) == 0) {
		r->eof = false;
		TRY(begin_gzip(r, e));
	}
	return find_form(r, e);
}

enum err import_reader_open(struct import_reader *r, const struct import_source *source, struct import_counts *counts, struct error *e)
{
	*r = (struct import_reader){ .source = source, .counts = counts, .line = 1, .size = CHUNK };
	counts->size = source->size;
	r->window = malloc(r->size);
	if (!r->window)
		return error_set(e, ERR_NO_MEMORY, "There is no memory for reading the file.");
	return look_at_beginning(r, e);
}

void import_reader_release(struct import_reader *r)
{
	if (r->gzip)
		inflateEnd(&r->z);
	free(r->raw);
	free(r->window);
	*r = (struct import_reader){ 0 };
}

static uint64_t count_lines(const char *p, size_t n)
{
	uint64_t lines = 0;
	for (const char *at = p; (at = memchr(at, '\n', n - (size_t)(at - p))) != NULL; at++)
		lines++;
	return lines;
}

/* Gives up the first n bytes of the window. */
static void consume(struct import_reader *r, size_t n)
{
	r->line += count_lines(r->window + r->start, n);
	r->start += n;
}

/* A line without its end. Too long a one is skipped to its end and said to be so. */
static enum err next_line(struct import_reader *r, enum import_value *what, struct str *value, uint64_t *line, struct error *e)
{
	size_t seen = 0;
	bool too_large = false;
	*line = r->line;
	for (;;) {
		size_t have = r->end - r->start;
		const char *nl = memchr(r->window + r->start + seen, '\n', have - seen);
		size_t n = nl ? (size_t)(nl - r->window) - r->start : have;
		if (nl || r->eof) {
			*value = str_make(r->window + r->start, n);
			*what = !nl && have == 0 && !too_large ? IMPORT_VALUE_END : too_large || n > IMPORT_VALUE_BYTES ? IMPORT_VALUE_TOO_LARGE : IMPORT_VALUE_READY;
			r->start += n + (nl != NULL);
			r->line += nl != NULL;
			return ERR_OK;
		}
		if (have > IMPORT_VALUE_BYTES) {
			too_large = true;
			r->start = r->end;
			have = 0;
		}
		seen = have;
		bool got;
		TRY(import_reader_fill(r, &got, e));
	}
}

/* Position inside a JSON value that is being cut out of an array, without parsing it. */
struct cut { size_t depth; bool string, escape, scalar; };

/* How many of the bytes belong to the value; *over when it ends before the next one. */
static size_t cut_value(struct cut *c, const char *p, size_t n, bool *over)
{
	for (size_t i = 0; i < n; i++) {
		char b = p[i];
		if (c->string) {
			if (c->escape)
				c->escape = false;
			else if (b == '\\')
				c->escape = true;
			else if (b == '"')
				c->string = false;
			continue;
		}
		if (c->depth == 0 && c->scalar && (b == ',' || b == ']' || b == '\n')) {
			*over = true;
			return i;
		}
		if (b == '"') {
			c->string = true;
			c->scalar = c->scalar || c->depth == 0;
		} else if (b == '{' || b == '[') {
			c->depth++;
		} else if ((b == '}' || b == ']') && c->depth > 0) {
			if (--c->depth == 0 && !c->scalar) {
				*over = true;
				return i + 1;
			}
		} else {
			c->scalar = c->scalar || c->depth == 0;
		}
	}
	return n;
}

/* White space and commas between elements, the opening bracket before the first; reads on where the window ends. */
static enum err skip_between(struct import_reader *r, bool opening, struct error *e)
{
	for (;;) {
		size_t i = r->start;
		while (i < r->end && (r->window[i] == ' ' || r->window[i] == '\t' || r->window[i] == '\r' || r->window[i] == '\n' ||
				(r->window[i] == (opening ? '[' : ','))))
			if (r->window[i++] == '[')
				opening = false;
		consume(r, i - r->start);
		if (r->start < r->end || r->eof)
			return ERR_OK;
		bool got;
		TRY(import_reader_fill(r, &got, e));
	}
}

static enum err next_element(struct import_reader *r, enum import_value *what, struct str *value, uint64_t *line, struct error *e)
{
	TRY(skip_between(r, r->counts->rows == 0, e));
	*line = r->line;
	*what = IMPORT_VALUE_END;
	if (r->start == r->end || r->array_over)
		return ERR_OK;
	if (r->window[r->start] == ']') {
		r->array_over = true;
		return ERR_OK;
	}
	struct cut c = { 0 };
	size_t seen = 0;
	bool too_large = false, over = false;
	for (;;) {
		size_t have = r->end - r->start;
		size_t n = seen + cut_value(&c, r->window + r->start + seen, have - seen, &over);
		if (over || r->eof) {
			*value = str_make(r->window + r->start, n);
			*what = too_large || n > IMPORT_VALUE_BYTES ? IMPORT_VALUE_TOO_LARGE : over ? IMPORT_VALUE_READY : IMPORT_VALUE_CUT;
			consume(r, n);
			return ERR_OK;
		}
		if (have > IMPORT_VALUE_BYTES) {
			too_large = true;
			consume(r, have);
			have = 0;
		}
		seen = have;
		bool got;
		TRY(import_reader_fill(r, &got, e));
	}
}

enum err import_reader_value(struct import_reader *r, enum import_value *what, struct str *value, uint64_t *line, struct error *e)
{
	if (r->array)
		return next_element(r, what, value, line, e);
	do
		TRY(next_line(r, what, value, line, e));
	while (*what == IMPORT_VALUE_READY && str_trim(*value).n == 0);
	return ERR_OK;
}
