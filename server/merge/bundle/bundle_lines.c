/* Reading a bundle line by line, and the forms of its lines. */
#include "bundle_internal.h"

#include "commonhold/policy_licence.h"
#include "commonhold/policy_vocab.h"
#include "commonhold/zst.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BLOCK ((size_t)256 * 1024)

struct bundle_lines {
	const struct bundle *b;
	enum bundle_section part;
	size_t file;               /* the one that is read: position in b->files; b->n_files at the end */
	int64_t line;              /* lines handed out of it */
	int fd;                    /* of a file of its own, to be closed; -1 */
	bool open;                 /* one is being read */
	struct zst_reader *zst;    /* NULL: it is not compressed */
	struct hasher *hasher;     /* of one that is not */
	int64_t at, left;          /* of that: next byte, bytes left */
	struct buf text;           /* what was read and not yet handed out */
	size_t used;               /* of it: handed out already */
	bool ended;                /* the file has no more bytes */
};

static void file_close(struct bundle_lines *l)
{
	zst_reader_close(l->zst);
	l->zst = NULL;
	if (l->fd >= 0)
		close(l->fd);
	l->fd = -1;
	l->open = false;
}

static void lines_end(void *arg)
{
	struct bundle_lines *l = arg;
	file_close(l);
	hasher_free(l->hasher);
	buf_release(&l->text);
}

enum err bundle_lines_open(struct arena *a, struct bundle *b, enum bundle_section part, struct bundle_lines **out, struct error *e)
{
	struct bundle_lines *l = ARENA_NEW(a, struct bundle_lines);
	*l = (struct bundle_lines){ .b = b, .part = part, .fd = -1, .hasher = hasher_new(NULL) };
	buf_init(&l->text, BUNDLE_LINE_MAX + BLOCK);
	if (!arena_defer(a, lines_end, l) || !l->hasher)
		return error_set(e, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	while (l->file < b->n_files && b->files[l->file].part != part)
		l->file++;
	*out = l;
	return ERR_OK;
}

struct str bundle_lines_place(struct arena *a, const struct bundle_lines *l)
{
	struct str path = l->file < l->b->n_files ? l->b->files[l->file].path : STR("the end");
	return str_fmt(a, "%.*s, line %lld", STR_ARG(path), (long long)l->line);
}

static enum err file_begin(struct bundle_lines *l, struct error *e)
{
	const struct bundle_file *f = &l->b->files[l->file];
	char name[128];
	snprintf(name, sizeof(name), "%.*s", STR_ARG(f->path));
	int fd = f->fd;
	if (f->at < 0) {
		l->fd = fd = openat(f->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd < 0)
			return error_set(e, ERR_IO, "The file %s cannot be read: %s.", name, strerror(errno));
	}
	l->at = f->at < 0 ? 0 : f->at;
	l->left = f->size;
	l->line = 0;
	l->ended = false;
	l->open = true;
	buf_clear(&l->text);
	l->used = 0;
	if (!str_ends(f->path, ".zst"))
		return ERR_OK;
	struct zst_limits limits = { f->raw_size, BUNDLE_RATIO_MAX, l->b->checked };
	return zst_reader_open(&l->zst, fd, l->at, f->size, limits, e);
}

/* What a reader said, in the words of a bundle. */
static enum err bad_file(const struct bundle_lines *l, enum err said, struct error *e)
{
	char why[256];
	struct str path = l->b->files[l->file].path;
	if (said != ERR_CORRUPT && said != ERR_TOO_LARGE)
		return said;
	snprintf(why, sizeof(why), "%.255s", e->message);
	return bundle_refuse(e, said == ERR_CORRUPT ? BUNDLE_REASON_FILES : BUNDLE_REASON_COMPRESSION, "%.*s: %s", STR_ARG(path), why);
}

static enum err plain_read(struct bundle_lines *l, char *to, size_t n, size_t *got, struct error *e)
{
	const struct bundle_file *f = &l->b->files[l->file];
	size_t want = l->left < (int64_t)n ? (size_t)l->left : n;
	ssize_t done = want ? pread(l->fd >= 0 ? l->fd : f->fd, to, want, l->at) : 0;
	if (done < 0)
		return error_set(e, ERR_IO, "The file %.*s cannot be read: %s.", STR_ARG(f->path), strerror(errno));
	if (done == 0 && want)
		return error_set(e, ERR_CORRUPT, "it is cut off");
	hasher_add(l->hasher, to, (size_t)done);
	l->at += done;
	l->left -= done;
	*got = (size_t)done;
	return ERR_OK;
}

/* Takes in more; what was handed out goes. */
static enum err text_fill(struct bundle_lines *l, struct error *e)
{
	size_t got = 0;
	if (l->used)
		memmove(l->text.p, l->text.p + l->used, l->text.n - l->used);
	l->text.n -= l->used;
	l->used = 0;
	if (l->text.n > BUNDLE_LINE_MAX)
		return bundle_refuse(e, BUNDLE_REASON_TOO_LARGE, "%.*s has a line of more than %zu bytes.", STR_ARG(l->b->files[l->file].path), BUNDLE_LINE_MAX);
	char *to = buf_reserve(&l->text, BLOCK);
	if (!to)
		return error_set(e, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	enum err said = l->zst ? zst_reader_read(l->zst, to, BLOCK, &got, e) : plain_read(l, to, BLOCK, &got, e);
	if (said != ERR_OK)
		return bad_file(l, said, e);
	l->text.n += got;
	l->ended = got == 0;
	return ERR_OK;
}

/* At the end of a file: it was what the manifest says. Of one that was checked before, the digest of its packed bytes says that it is the same, and so that what came out of it is. */
static enum err file_end(struct bundle_lines *l, struct error *e)
{
	const struct bundle_file *f = &l->b->files[l->file];
	struct zst_result r = { .size = f->size - l->left, .raw_size = f->size - l->left };
	if (l->zst)
		zst_reader_result(l->zst, &r);
	if (l->zst && l->b->checked)
		r.raw_sha256 = f->raw_sha256;
	else if (!l->zst)
		r.sha256 = r.raw_sha256 = hasher_end(l->hasher);
	bool right = l->text.n == l->used && r.size == f->size && r.raw_size == f->raw_size && sha256_eq(r.sha256, f->sha256) && sha256_eq(r.raw_sha256, f->raw_sha256) && l->line == f->lines;
	file_close(l);
	if (!right)
		return bundle_refuse(e, BUNDLE_REASON_FILES, "%.*s is not the file that bundle.json lists.", STR_ARG(f->path));
	do
		l->file++;
	while (l->file < l->b->n_files && l->b->files[l->file].part != l->part);
	return ERR_OK;
}

enum err bundle_lines_next(struct bundle_lines *l, struct str *line, struct error *e)
{
	size_t looked = 0; /* of what is not handed out, already searched */
	*line = STR_NONE;
	while (l->file < l->b->n_files) {
		if (!l->open)
			TRY(file_begin(l, e));
		size_t there = l->text.n - l->used;
		const char *from = l->text.p ? l->text.p + l->used : "", *end = there > looked ? memchr(from + looked, '\n', there - looked) : NULL;
		if (end) {
			*line = str_make(from, (size_t)(end - from));
			l->used += line->n + 1;
			l->line++;
			return line->n <= BUNDLE_LINE_MAX ? ERR_OK : bundle_refuse(e, BUNDLE_REASON_TOO_LARGE, "%.*s has a line that is too long.", STR_ARG(l->b->files[l->file].path));
		}
		looked = there;
		if (l->ended) {
			TRY(file_end(l, e));
			looked = 0;
		} else {
			TRY(text_fill(l, e));
		}
	}
	return ERR_OK;
}

/* ---- The form of a record ---- */

/* A line that is taken apart from left to right. */
struct cursor { const char *p, *end; bool right; };

static void take_bytes(struct cursor *k, const char *literal, size_t n)
{
	k->right = k->right && (size_t)(k->end - k->p) >= n && memcmp(k->p, literal, n) == 0;
	if (k->right)
		k->p += n;
}
#define take(k, literal) take_bytes((k), "" literal, sizeof(literal) - 1)

/* Up to the next quote; nothing in it may need an escape. */
static struct str take_text(struct cursor *k)
{
	const char *from = k->p, *p = from;
	while (k->right && p < k->end && *p >= 0x20 && *p < 0x7f && *p != '"' && *p != '\\')
		p++;
	k->right = k->right && p < k->end && *p == '"';
	if (!k->right)
		return STR("");
	k->p = p + 1;
	return str_make(from, (size_t)(p - from));
}

static int64_t take_number(struct cursor *k)
{
	const char *from = k->p;
	int64_t v = -1;
	while (k->right && k->p < k->end && *k->p >= '0' && *k->p <= '9')
		k->p++;
	k->right = k->right && (k->p - from == 1 || (k->p > from && *from != '0')) && str_to_i64(str_make(from, (size_t)(k->p - from)), 0, INT64_MAX, &v);
	return v;
}

/* Behind the string that begins at p (its quote). */
static const char *string_end(const char *p, const char *end)
{
	for (const char *from = p++; (p = memchr(p, '"', (size_t)(end - p))); p++) {
		const char *slash = p;
		while (slash > from + 1 && slash[-1] == '\\')
			slash--;
		if ((p - slash) % 2 == 0)
			return p + 1;
	}
	return end;
}

const char *bundle_value_end(const char *p, const char *end)
{
	unsigned depth = 0;
	do {
		if (p >= end)
			return NULL;
		if (*p == '"') {
			p = string_end(p, end);
		} else if (*p == '{' || *p == '[') {
			depth++;
			p++;
		} else if (*p == '}' || *p == ']') {
			if (depth == 0)
				return NULL;
			depth--;
			p++;
		} else {
			const char *from = p;
			while (p < end && *p != ',' && *p != '}' && *p != ']' && *p != '"' && *p != '{' && *p != '[')
				p++;
			p += p == from; /* a comma between values */
		}
	} while (depth);
	return p;
}

/* An object or array as a whole, by its brackets alone: whether it is JSON is for a parser to say. */
static struct str take_value(struct cursor *k, char open)
{
	const char *from = k->p, *end = NULL;
	if (k->right && k->p < k->end && *k->p == open)
		end = bundle_value_end(k->p, k->end);
	k->right = end != NULL;
	if (!end)
		return STR("");
	k->p = end;
	return str_make(from, (size_t)(end - from));
}

/* So many bytes in lower case, and the quote behind them. */
static void take_hex(struct cursor *k, uint8_t *out, size_t n)
{
	k->right = k->right && (size_t)(k->end - k->p) > n * 2 && str_unhex_lower(str_make(k->p, n * 2), out, n) && k->p[n * 2] == '"';
	if (k->right)
		k->p += n * 2 + 1;
}

/* An instant in the one form that it has in canonical documents. */
static void take_instant(struct cursor *k, instant *out)
{
	struct str s = take_text(k);
	k->right = k->right && clock_parse_written(s, out);
}

enum err bundle_record_read(struct arena *a, struct str line, struct bundle_record *out, struct error *e)
{
	struct cursor k = { line.p, line.p + line.n, true };
	struct str home;
	(void)a;
	*out = (struct bundle_record){ .path = STR_NONE };
	take(&k, "{\"at\":\"");
	take_instant(&k, &out->at);
	take(&k, ",\"content\":");
	out->content = take_value(&k, '{');
	take(&k, ",\"contributor\":\"");
	take_hex(&k, out->contributor, 16);
	take(&k, ",\"facts\":");
	out->facts = take_value(&k, '{');
	take(&k, ",\"home\":\"");
	out->home = take_text(&k);
	take(&k, ",\"kind\":\"");
	struct str kind = take_text(&k);
	take(&k, ",\"lang\":\"");
	out->lang = take_text(&k);
	take(&k, ",\"leaf\":");
	out->leaf = take_number(&k);
	take(&k, ",\"licence\":\"");
	struct str licence = take_text(&k);
	if (k.right && k.end - k.p > 8 && memcmp(k.p, ",\"path\":", 8) == 0) {
		take(&k, ",\"path\":");
		out->path = take_value(&k, '[');
	}
	take(&k, ",\"rid\":\"");
	out->rid = take_text(&k);
	take(&k, ",\"salt\":\"");
	take_hex(&k, out->salt, 32);
	take(&k, "}");
	int kind_no = k.right ? policy_kind_find(kind.p, kind.n) : -1;
	out->kind = kind_no < 0 ? 0 : (unsigned)kind_no;
	out->licence = k.right ? policy_licence_find(licence.p, licence.n) : 0;
	if (!k.right || k.p != k.end || kind_no < 0 || out->lang.n == 0 || !rid_parse(out->rid, &home, &out->id) || !str_eq(home, out->home))
		return bundle_refuse(e, BUNDLE_REASON_MALFORMED, "A line of its records is none.");
	return ERR_OK;
}

/* ---- The form of what was said ---- */

struct str bundle_said_text(struct arena *a, struct str head, struct str tail)
{
	return str_cat(a, STR(BUNDLE_SAID_PREFIX), head, tail);
}

/* The line's canonical text without its member "sig", behind the prefix; absent when it has none. The signature's own text says where it stands: base64 needs no escapes. */
static struct str signed_text(struct arena *a, struct str line, struct str sig)
{
	struct str member = str_cat(a, STR(",\"sig\":\""), sig, STR("\""));
	const char *at = memmem(line.p, line.n, member.p, member.n);
	if (!at)
		return STR_NONE;
	size_t head = (size_t)(at - line.p);
	return bundle_said_text(a, str_sub(line, 0, head), str_sub(line, head + member.n, line.n));
}

/* Several members called alike would be one at the top alone, since a tree has no two of a name: a text inside another value could hold the same letters only with its quotes escaped. */
static bool said_signed(struct arena *a, struct str line, const struct json *o, const struct keychain *keys, int64_t rev)
{
	struct str sig = json_member_text(o, "sig"), bytes;
	uint8_t signature[64];
	size_t which;
	if (!sig.p || !str_unbase64(a, sig, &bytes) || bytes.n != 64)
		return false;
	memcpy(signature, bytes.p, 64);
	struct str message = signed_text(a, line, sig);
	if (!message.p)
		return false;
	return !keys || (keychain_signed(keys, message, signature, &which) && keychain_signs_size(keys, which, rev));
}

static bool rids_read(struct arena *a, const struct json *list, struct bundle_said *out)
{
	struct str home;
	struct uuid id;
	if (!json_is(list, JSON_ARRAY) || list->count == 0 || list->count > BUNDLE_RIDS)
		return false;
	out->rids = ARENA_ARRAY(a, list->count, struct str);
	json_each (rid, list) {
		if (!rid_parse(json_text(rid), &home, &id))
			return false;
		out->rids[out->n_rids++] = json_text(rid);
	}
	return true;
}

static bool said_form(struct arena *a, const struct json *o, struct bundle_said *out)
{
	const struct json *gone = json_get(o, "out"), *again = json_get(o, "back");
	out->home = json_member_text(o, "home");
	out->rev = json_int(json_get(o, "rev"), -1);
	if (!json_is(o, JSON_OBJECT) || out->home.n != 16 || out->rev < 1)
		return false;
	if (gone || again) {
		out->what = gone ? BUNDLE_OUT : BUNDLE_BACK;
		return o->count == 4 && rids_read(a, gone ? gone : again, out);
	}
	out->what = BUNDLE_WORDS;
	return o->count == 9 && str_unhex(json_member_text(o, "contributor"), out->contributor, 16);
}

enum err bundle_said_read(struct arena *a, struct str line, const struct keychain *keys, struct bundle_said *out, struct error *e)
{
	struct error why = { 0 };
	struct buf b;
	*out = (struct bundle_said){ .rev = -1 };
	if (json_parse(a, line, &out->json, &why) != ERR_OK || !said_form(a, out->json, out))
		return bundle_refuse(e, BUNDLE_REASON_MALFORMED, "A line of its statements is none.");
	buf_init(&b, line.n + 64);
	json_canonical(&b, out->json, false);
	bool canonical = !b.failed && str_eq(buf_str(&b), line);
	buf_release(&b);
	if (!canonical)
		return bundle_refuse(e, BUNDLE_REASON_MALFORMED, "A line of its statements is not canonical JSON.");
	return said_signed(a, line, out->json, keys, out->rev) ? ERR_OK : bundle_refuse(e, BUNDLE_REASON_SIGNATURE, "A statement is not signed by its home.");
}

/* ---- The form of a label ---- */

enum err bundle_label_read(struct arena *a, struct str line, struct bundle_label *out, struct error *e)
{
	struct error why = { 0 };
	struct str home;
	struct buf b;
	const struct json *o, *value;
	*out = (struct bundle_label){ .value = STR_NONE };
	if (json_parse(a, line, &o, &why) != ERR_OK || !json_is(o, JSON_OBJECT))
		return bundle_refuse(e, BUNDLE_REASON_MALFORMED, "A line of its labels is none.");
	value = json_get(o, "value");
	out->by_home = json_member_text(o, "by_home");
	out->home = json_member_text(o, "home");
	out->rid = json_member_text(o, "rid");
	out->label = json_member_text(o, "label");
	bool right = o->count == 6u + (value ? 1u : 0u) && out->by_home.n == 16 && out->label.n > 0 && out->label.n <= 100 && str_unhex(json_member_text(o, "by"), out->by, 16) &&
		rid_parse(out->rid, &home, &out->id) && str_eq(home, out->home) && clock_parse(json_member_text(o, "at"), &out->at);
	right = right && json_is_canonical(line);
	buf_init(&b, line.n * 2 + 64);
	if (right && value) {
		json_canonical(&b, value, true);
		out->value = str_copy(a, buf_str(&b));
	}
	buf_release(&b);
	return right ? ERR_OK : bundle_refuse(e, BUNDLE_REASON_MALFORMED, "A line of its labels is none.");
}
