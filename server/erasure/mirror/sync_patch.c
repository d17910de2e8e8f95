/* Redaction patches: a shard without some of its lines, made from the one that is held; and what can be kept of a version that goes before its successor comes.
 *
 * Lines that stay are copied as they are and never parsed; the house's gzip makes of them the very file that the co-op's manifest names.
 */
#include "sync_internal.h"

#include "commonhold/file.h"
#include "commonhold/gzip.h"
#include "commonhold/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHARD_LEVEL 6               /* as release.h says of patches */
#define LINE_MAX_BYTES (2 * MIB)    /* of a row, as the verifier has it */
#define PATCH_LINE_MAX (16 * MIB)   /* row numbers of one shard */
#define PATCH_LINES_MAX 100000
#define BLOCK 65536

/* ---- reading a patch ---- */

static bool rows_sound(const struct json *rows)
{
	int64_t before = -1;
	json_each(row, rows) {
		int64_t n = json_int(row, -1);
		if (n <= before)
			return false;
		before = n;
	}
	return json_is(rows, JSON_ARRAY) && rows->count > 0;
}

static bool line_parse(struct sync *s, struct str text, struct patch_line *out)
{
	const struct json *j;
	if (json_parse(s->arena, text, &j, s->e) != ERR_OK)
		return false;
	struct str path = json_member_text(j, "path"), after = json_member_text(j, "path_after");
	*out = (struct patch_line){ .path = path, .path_after = after, .rows = json_get(j, "rows"), .size_after = json_int(json_get(j, "size_after"), -1) };
	if (!path.n || !rows_sound(out->rows))
		return false;
	return !after.p || (sha256_parse(json_member_text(j, "sha256_after"), &out->sha256_after) && out->size_after >= 0);
}

/* A patch in the signed manifest is as the co-op meant it; one that cannot be read is no reason to fail, since what it makes can be downloaded. */
enum err patch_read(struct sync *s, const char *path, struct patch *out)
{
	FILE *f = fopen(path, "re");
	char *text = NULL;
	size_t room = 0, cap = 0;
	ssize_t n;
	bool ok = f != NULL;
	*out = (struct patch){ 0 };
	while (ok && (n = getline(&text, &room, f)) > 0) {
		ok = (size_t)n <= PATCH_LINE_MAX && out->n < PATCH_LINES_MAX && text[n - 1] == '\n';
		if (ok && out->n == cap) {
			cap = cap ? cap * 2 : 64;
			struct patch_line *grown = ARENA_ARRAY(s->arena, cap, struct patch_line);
			if (out->n)
				memcpy((void *)grown, out->lines, out->n * sizeof(*grown));
			out->lines = grown;
		}
		ok = ok && line_parse(s, str_copy(s->arena, str_make(text, (size_t)n - 1)), &out->lines[out->n]);
		out->n += ok;
	}
	free(text);
	if (f)
		fclose(f);
	return ok ? ERR_OK : sync_fail(s, ERR_CORRUPT, "lied", "The patch cannot be understood.");
}

/* ---- dropping lines ---- */

/* A shard on its way through. Lines go by their number (row) or by their rid (rids). */
struct dropping {
	struct sync *s;
	struct gz_writer *out;
	const struct json *row;     /* next number to drop; NULL: none is left, or they go by rid */
	const struct names *rids;   /* sorted; NULL: by number */
	int64_t line, dropped;
	struct buf held;            /* the line that may go, as far as it came */
	struct names *dropped_rids; /* takes what went; may be NULL */
	bool failed;                /* a line is too long or is no row, or too much stays */
	int64_t written, max;       /* bytes that stay; and how many may */
};

/* A row is canonical JSON: its own rid is the last member of that name, and inside of strings quotes are escaped. */
static struct str rid_of(struct str line)
{
	static const char mark[] = "\"rid\":\"";
	const size_t n = sizeof(mark) - 1;
	for (size_t at = line.n >= n ? line.n - n + 1 : 0; at-- > 0;)
		if (line.p[at] == '"' && memcmp(line.p + at, mark, n) == 0) {
			struct str rest = str_sub(line, at + n, line.n);
			ptrdiff_t end = str_index(rest, '"');
			return end > 0 ? str_sub(rest, 0, (size_t)end) : STR_NONE;
		}
	return STR_NONE;
}

static int by_text(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

void names_sort(struct names *n)
{
	if (n->n)
		qsort((void *)n->at, n->n, sizeof(*n->at), by_text);
}

bool names_sorted_has(const struct names *in, struct str name)
{
	return in->n && bsearch(&name, in->at, in->n, sizeof(*in->at), by_text);
}

static void stay(struct dropping *d, const char *p, size_t n)
{
	d->written += (int64_t)n;
	d->failed = d->failed || d->written > d->max;
	if (!d->failed)
		gz_writer_add(d->out, p, n);
}

static bool is_candidate(const struct dropping *d)
{
	return d->rids || (d->row && json_int(d->row, -1) == d->line);
}

/* A whole line that might go, without its end. */
static void candidate_end(struct dropping *d)
{
	struct str line = buf_str(&d->held), rid = rid_of(line);
	d->failed = d->failed || !rid.p;
	if (d->failed)
		return;
	if (!d->rids || names_sorted_has(d->rids, rid)) {
		d->dropped++;
		if (d->dropped_rids)
			names_add(d->s->arena, d->dropped_rids, str_copy(d->s->arena, rid));
	} else {
		stay(d, line.p, line.n);
		stay(d, "\n", 1);
	}
	if (!d->rids)
		d->row = d->row->next;
	buf_clear(&d->held);
}

static void drop_block(struct dropping *d, const char *p, size_t n)
{
	while (n && !d->failed) {
		const char *end = memchr(p, '\n', n);
		size_t length = end ? (size_t)(end - p) : n, taken = length + (end != NULL);
		if (is_candidate(d)) {
			buf_add(&d->held, p, length);
			d->failed = d->held.failed;
			if (end)
				candidate_end(d);
		} else {
			stay(d, p, taken);
		}
		d->line += end != NULL;
		p += taken;
		n -= taken;
	}
}

static bool drop_stream(struct dropping *d, int fd)
{
	static _Thread_local char block[BLOCK];
	struct gz_reader *in = NULL;
	struct error e = { 0 };
	size_t got = 0;
	bool ok = gz_reader_open(&in, fd, NULL, NULL, &e) == ERR_OK;
	while (ok && !d->failed && (ok = gz_reader_read(in, block, sizeof(block), &got, &e) == ERR_OK) && got > 0)
		drop_block(d, block, got);
	gz_reader_close(in);
	return ok && !d->failed && !d->row && d->held.n == 0;
}

static enum err disk_failed(struct sync *s, enum err e)
{
	struct str why = str_copy(s->arena, str_of(s->e->message));
	return sync_fail(s, e, "disk", "%.*s", STR_ARG(why));
}

/* Rewrites a shard. *made is false when it is no shard, or not one with these lines: nothing is then left at `to`. An error is one of this machine. */
static enum err shard_rewrite(struct dropping *d, const char *from, const char *to, struct gz_result *result, bool *made)
{
	struct sync *s = d->s;
	int fd = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	*made = false;
	if (fd < 0)
		return ERR_OK;
	(void)unlink(to);
	buf_init(&d->held, LINE_MAX_BYTES);
	enum err e = gz_writer_open(&d->out, to, SHARD_LEVEL, 0, s->e);
	if (e == ERR_OK) {
		*made = drop_stream(d, fd);
		if (*made)
			e = gz_writer_close(d->out, result, s->e);
		else
			gz_writer_abort(d->out);
	}
	buf_release(&d->held);
	close(fd);
	return e == ERR_OK ? ERR_OK : disk_failed(s, e);
}

static bool is_result(const struct patch_line *line, const struct gz_result *r)
{
	return line->path_after.p ? r->size == line->size_after && sha256_eq(r->sha256, line->sha256_after) : r->raw_size == 0;
}

enum err patch_apply(struct sync *s, const struct patch_line *line, const char *from, const char *to, int64_t raw_max, struct names *dropped, bool *made)
{
	struct dropping d = { .s = s, .row = line->rows->child, .dropped_rids = dropped, .max = raw_max };
	struct gz_result result = { 0 };
	TRY(shard_rewrite(&d, from, to, &result, made));
	bool right = *made && is_result(line, &result);
	if (*made && (!right || !line->path_after.p))
		(void)unlink(to);
	*made = right;
	s->out->rows_dropped += right ? d.dropped : 0;
	return ERR_OK;
}

/* ---- the base: what can be kept ---- */

/* Whether one of its rows must go; true for what cannot be read. */
static bool shard_is_hit(struct sync *s, const char *path)
{
	char block[BLOCK];
	struct gz_reader *in = NULL;
	struct error e = { 0 };
	struct buf line;
	size_t got = 0;
	bool hit = false;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	buf_init(&line, LINE_MAX_BYTES);
	bool ok = fd >= 0 && gz_reader_open(&in, fd, NULL, NULL, &e) == ERR_OK;
	while (ok && !hit && (ok = gz_reader_read(in, block, sizeof(block), &got, &e) == ERR_OK) && got > 0)
		for (const char *p = block, *end; got && !hit;) {
			end = memchr(p, '\n', got);
			size_t length = end ? (size_t)(end - p) : got;
			buf_add(&line, p, length);
			if (end) {
				struct str rid = rid_of(buf_str(&line));
				hit = !rid.p || names_sorted_has(&s->rids, rid);
				buf_clear(&line);
			}
			p += length + (end != NULL);
			got -= length + (end != NULL);
		}
	gz_reader_close(in);
	hit = hit || !ok || line.failed;
	buf_release(&line);
	if (fd >= 0)
		close(fd);
	return hit;
}

static enum err base_add(struct sync *s, const struct held_file *f, const char *to, struct sha256 *sha)
{
	struct dropping d = { .s = s, .rids = &s->rids, .max = INT64_MAX };
	struct gz_result result;
	bool made;
	const char *from = held_path(s, f).p;
	*sha = f->sha256;
	if (!shard_is_hit(s, from))
		return file_take_over(s, from, to, f->size);
	TRY(shard_rewrite(&d, from, to, &result, &made));
	if (!made)
		return sync_fail(s, ERR_CORRUPT, "state", "A shard cannot be read.");
	*sha = result.sha256;
	return ERR_OK;
}

static enum err base_fill(struct sync *s, struct str version, struct str folder, struct held *kept)
{
	for (size_t i = 0; i < s->held.n; i++) {
		const struct held_file *f = &s->held.at[i];
		struct sha256 sha;
		if (!str_eq(f->folder, version) || !str_starts(f->path, "data/"))
			continue;
		struct str to = folder_path(s, "%.*s/%.*s", STR_ARG(folder), STR_ARG(f->path));
		TRY(file_make_parents(to.p, s->e));
		TRY(base_add(s, f, to.p, &sha));
		TRY(held_note(s, kept, to.p, f->path, sha));
	}
	return held_write(s, folder, kept);
}

/* Not served, and never whole: only so that what did not change need not be fetched once the co-op has made a version without what was erased. Whatever fails, nothing is kept. */
void base_keep(struct sync *s, struct str version)
{
	struct str folder = str_fmt(s->arena, ".mirror/base/%.*s", STR_ARG(version));
	struct held kept = { 0 };
	if (!s->rids.n)
		return;
	names_sort(&s->rids);
	folder_clear(s, folder);
	if (base_fill(s, version, folder, &kept) != ERR_OK)
		base_clear(s);
	error_clear(s->e);
}

void base_clear(struct sync *s)
{
	folder_clear(s, STR(".mirror/base"));
	(void)mkdirat(s->dir, ".mirror/base", 0755);
}
