/* Writing: the streaming writer, whole trees, and the canonical form. Trees are walked with a small stack of open containers, never by recursion. */
#include "commonhold/json.h"
#include "server/base/json_number.h"
#include "server/base/json_order.h"
#include "server/base/utf8.h"

#include <math.h>
#include <stdlib.h>

enum number_form {
	NUMBER_AS_WRITTEN,
	NUMBER_ES6,   /* RFC 8785 to the letter */
	NUMBER_EXACT, /* integers every reader keeps; otherwise as written */
	NUMBER_VALUE, /* one spelling for each decimal value; for comparing only */
};

/* The escape of a byte that cannot stand in a string as it is: a quote, a backslash or a control. */
static void put_escape(struct buf *out, unsigned char c)
{
	static const char hex[] = "0123456789abcdef", raw[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
	const char *at = c ? strchr(raw, c) : NULL;
	if (at)
		buf_add(out, (char[]){ '\\', names[at - raw] }, 2);
	else if (c)
		buf_add(out, (char[]){ '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] }, 6);
	else
		buf_add(out, "\xef\xbf\xbd", 3);
}

static void put_string(struct buf *out, struct str s)
{
	const char *from = s.p, *p = s.p, *end = s.p + s.n;
	buf_add_byte(out, '"');
	while (s.n && (p = utf8_skip_plain(p, end)) != end) {
		size_t n = (unsigned char)*p >= 0x80 ? utf8_sequence(p, end) : 0;
		if (n == 0) {
			buf_add(out, from, (size_t)(p - from));
			if ((unsigned char)*p >= 0x80)
				buf_add(out, "\xef\xbf\xbd", 3);
			else
				put_escape(out, (unsigned char)*p);
			from = p + 1;
		}
		p += n ? n : 1;
	}
	if (s.n)
		buf_add(out, from, (size_t)(end - from));
	buf_add_byte(out, '"');
}

static void put_value_form(struct buf *out, struct str text)
{
	struct decimal d = decimal_of(text);
	buf_add_byte(out, d.negative ? '-' : '+');
	for (size_t i = 0; i < d.digits.n; i++)
		if (d.digits.p[i] != '.')
			buf_add_byte(out, d.digits.p[i]);
	buf_add_byte(out, 'e');
	buf_add_i64(out, d.exponent);
}

static void put_number(struct buf *out, struct str text, enum number_form form)
{
	if (form == NUMBER_VALUE) {
		put_value_form(out, text);
	} else if (form != NUMBER_AS_WRITTEN && str_is(text, "-0")) {
		buf_add_byte(out, '0');
	} else if (form != NUMBER_ES6 || number_is_safe_integer(text)) {
		buf_add_str(out, text);
	} else {
		char spelt[40];
		double v = number_to_double(text);
		if (isfinite(v))
			buf_add(out, spelt, number_format(v, spelt));
		else
			out->failed = true;
	}
}

static void put_scalar(struct buf *out, const struct json *v, enum number_form form)
{
	switch (v->type) {
	case JSON_NULL:
		buf_add(out, "null", 4);
		break;
	case JSON_TRUE:
		buf_add(out, "true", 4);
		break;
	case JSON_FALSE:
		buf_add(out, "false", 5);
		break;
	case JSON_NUMBER:
		put_number(out, v->text, form);
		break;
	case JSON_STRING:
		put_string(out, v->text);
		break;
	case JSON_ARRAY:
	case JSON_OBJECT:
		break;
	}
}

/* An open container of the tree that is being written. */
struct frame {
	const struct json *next; /* next child, where they go in document order */
	size_t at, end;          /* next child and end of them in `sorted`, where they do not */
	size_t start;            /* what `sorted` held before this container */
	bool object;             /* or an array */
	bool comma;              /* a child was written */
};

struct tree_writer {
	struct buf *out;
	enum number_form form;
	bool sort;                          /* canonical order of members */
	size_t depth;                       /* open containers */
	struct frame frames[LIMIT_JSON_DEPTH];
	const struct json **sorted;         /* members of the open objects that were not in order */
	size_t sorted_count, sorted_size;   /* used and available */
	const struct json *few[64];         /* their place while they are few */
};

static bool sorted_reserve(struct tree_writer *w, size_t n)
{
	if (w->sorted_size - w->sorted_count >= n)
		return true;
	size_t size = w->sorted_size * 2 > w->sorted_count + n ? w->sorted_size * 2 : w->sorted_count + n;
	const struct json **more = malloc(size * sizeof(const struct json *));
	if (!more)
		return false;
	memcpy(more, w->sorted, w->sorted_count * sizeof(*more));
	if (w->sorted != w->few)
		free(w->sorted);
	w->sorted = more;
	w->sorted_size = size;
	return true;
}

static bool tree_open(struct tree_writer *w, const struct json *v)
{
	if (w->depth == LIMIT_JSON_DEPTH)
		return false;
	struct frame *f = &w->frames[w->depth];
	*f = (struct frame){ .next = v->child, .start = w->sorted_count, .object = v->type == JSON_OBJECT };
	if (f->object && w->sort && !json_members_in_order(v)) {
		if (!sorted_reserve(w, v->count))
			return false;
		json_members_sort(v, w->sorted + w->sorted_count);
		f->next = NULL;
		f->at = w->sorted_count;
		f->end = w->sorted_count += v->count;
	}
	w->depth++;
	buf_add_byte(w->out, f->object ? '{' : '[');
	return true;
}

/* The next child of the innermost container, or NULL after closing it. */
static const struct json *tree_next(struct tree_writer *w)
{
	struct frame *f = &w->frames[w->depth - 1];
	const struct json *v = f->next;
	if (v) {
		f->next = v->next;
	} else if (f->at < f->end) {
		v = w->sorted[f->at++];
	} else {
		buf_add_byte(w->out, f->object ? '}' : ']');
		w->sorted_count = f->start;
		w->depth--;
		return NULL;
	}
	if (f->comma)
		buf_add_byte(w->out, ',');
	f->comma = true;
	if (f->object) {
		put_string(w->out, v->key);
		buf_add_byte(w->out, ':');
	}
	return v;
}

static void put_tree(struct buf *out, const struct json *v, enum number_form form, bool sort)
{
	struct tree_writer w;
	w.out = out;
	w.form = form;
	w.sort = sort;
	w.depth = 0;
	w.sorted = w.few;
	w.sorted_count = 0;
	w.sorted_size = CH_LEN(w.few);
	bool fits = true;
	do {
		if (v && (v->type == JSON_ARRAY || v->type == JSON_OBJECT))
			fits = tree_open(&w, v);
		else if (v)
			put_scalar(out, v, form);
		v = fits && w.depth ? tree_next(&w) : NULL;
	} while (fits && w.depth && !out->failed);
	if (!fits)
		out->failed = true;
	if (w.sorted != w.few)
		free(w.sorted);
}

void json_canonical(struct buf *out, const struct json *v, bool exact_numbers)
{
	put_tree(out, v, exact_numbers ? NUMBER_EXACT : NUMBER_ES6, true);
}

void json_put_comparable(struct buf *out, const struct json *v)
{
	put_tree(out, v, NUMBER_VALUE, true);
}

bool json_equal(const struct json *a, const struct json *b)
{
	if (a == b || !a || !b)
		return a == b;
	if (a->type != b->type || a->count != b->count)
		return false;
	if (a->type == JSON_STRING)
		return str_eq(a->text, b->text);
	if (a->type == JSON_NUMBER && str_eq(a->text, b->text))
		return true;
	struct buf left, right;
	buf_init(&left, LIMIT_JOB_ARENA);
	buf_init(&right, LIMIT_JOB_ARENA);
	json_put_comparable(&left, a);
	json_put_comparable(&right, b);
	bool same = !left.failed && !right.failed && str_eq(buf_str(&left), buf_str(&right));
	buf_release(&left);
	buf_release(&right);
	return same;
}

void jw_init(struct json_writer *w, struct buf *out)
{
	*w = (struct json_writer){ .out = out };
}

/* The comma before a value or a name, where one is due. */
static void jw_separate(struct json_writer *w)
{
	if (w->after_key) {
		w->after_key = false;
		return;
	}
	if (w->comma[w->depth])
		buf_add_byte(w->out, ',');
	w->comma[w->depth] = true;
}

static void jw_open(struct json_writer *w, char bracket)
{
	jw_separate(w);
	buf_add_byte(w->out, bracket);
	if (w->depth == LIMIT_JSON_DEPTH)
		w->out->failed = true;
	else
		w->comma[++w->depth] = false;
}

static void jw_close(struct json_writer *w, char bracket)
{
	buf_add_byte(w->out, bracket);
	if (w->depth)
		w->depth--;
}

void jw_object(struct json_writer *w) { jw_open(w, '{'); }
void jw_end_object(struct json_writer *w) { jw_close(w, '}'); }
void jw_array(struct json_writer *w) { jw_open(w, '['); }
void jw_end_array(struct json_writer *w) { jw_close(w, ']'); }

void jw_key_str(struct json_writer *w, struct str key)
{
	jw_separate(w);
	put_string(w->out, key);
	buf_add_byte(w->out, ':');
	w->after_key = true;
}

void jw_str(struct json_writer *w, struct str s)
{
	if (!s.p) {
		jw_null(w);
		return;
	}
	jw_separate(w);
	put_string(w->out, s);
}

void jw_int(struct json_writer *w, int64_t v)
{
	jw_separate(w);
	buf_add_i64(w->out, v);
}

void jw_raw(struct json_writer *w, struct str json)
{
	jw_separate(w);
	buf_add_str(w->out, json);
}

void jw_json(struct json_writer *w, const struct json *v)
{
	jw_separate(w);
	if (v)
		put_tree(w->out, v, NUMBER_AS_WRITTEN, false);
	else
		buf_add(w->out, "null", 4);
}

void jw_key(struct json_writer *w, const char *key) { jw_key_str(w, str_of(key)); }
void jw_z(struct json_writer *w, const char *z) { jw_str(w, str_of(z)); }
void jw_bool(struct json_writer *w, bool v) { jw_raw(w, v ? STR("true") : STR("false")); }
void jw_null(struct json_writer *w) { jw_raw(w, STR("null")); }

void jw_kstr(struct json_writer *w, const char *key, struct str s)
{
	jw_key(w, key);
	jw_str(w, s);
}

void jw_kz(struct json_writer *w, const char *key, const char *z)
{
	jw_key(w, key);
	jw_z(w, z);
}

void jw_kint(struct json_writer *w, const char *key, int64_t v)
{
	jw_key(w, key);
	jw_int(w, v);
}

void jw_kbool(struct json_writer *w, const char *key, bool v)
{
	jw_key(w, key);
	jw_bool(w, v);
}

void jw_knames(struct json_writer *w, const char *key, uint64_t bits, unsigned count, const char *(*name)(unsigned no))
{
	jw_key(w, key);
	jw_array(w);
	for (unsigned i = 0; i < count; i++)
		if (bits >> i & 1)
			jw_z(w, name(i));
	jw_end_array(w);
}
