/* The parser. One pass over the text, no recursion: the open containers are a small stack. Strings are scanned eight bytes at a time, stay where they
 * are unless they hold an escape, and nodes come from slabs. */
#include "commonhold/json.h"
#include "server/base/json_order.h"
#include "server/base/utf8.h"

#define SLAB_MIN 8
#define SLAB_MAX 256
/* Up to this many members are compared each with each; more are sorted. */
#define PAIRWISE_MAX 16

/* A container that is not closed yet. */
struct level {
	struct json *container; /* the array or object */
	struct json *last;      /* its newest child, NULL while empty */
	uint64_t seen;          /* a bit for each kind of name met (see name_bit) */
	bool suspect;           /* two names share a bit: look for duplicates at the end */
};

struct parser {
	struct arena *arena;
	struct error *error;
	const char *begin, *p, *end;   /* the text, and where we are */
	struct json *slab;             /* unused nodes */
	size_t slab_left;              /* how many */
	size_t nodes;                  /* values so far */
	struct str key;                /* name of the member whose value comes next */
	struct level *top;             /* innermost open container; levels[0] is the document's own place */
	struct json *root;
	struct level levels[LIMIT_JSON_DEPTH + 1];
};

static enum err fail_at(struct parser *s, const char *at, enum err code, const char *what)
{
	size_t line = 1, column = 1;
	for (const char *p = s->begin; p < at; p++) {
		if (*p == '\n') {
			line++;
			column = 1;
		} else if (!utf8_is_tail(*p)) {
			column++;
		}
	}
	return error_set(s->error, code, "Line %zu, column %zu: %s.", line, column, what);
}

static enum err fail_here(struct parser *s, const char *what)
{
	return fail_at(s, s->p, ERR_BAD_JSON, s->p < s->end ? what : "the text ends too early");
}

static enum err fail_memory(struct parser *s)
{
	return error_set(s->error, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
}

static inline void skip_space(struct parser *s)
{
	const char *p = s->p;
	while (p < s->end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
		p++;
	s->p = p;
}

/* The byte at hand; NUL, which no JSON text holds, at the end. */
static inline char peek(const struct parser *s)
{
	return s->p < s->end ? *s->p : '\0';
}

static enum err node_new(struct parser *s, struct json **out)
{
	if (s->nodes == LIMIT_JSON_NODES)
		return fail_at(s, s->p, ERR_TOO_LARGE, "the document has too many values");
	if (s->slab_left == 0) {
		size_t want = (size_t)(s->end - s->p) / 16 + 1;
		s->slab_left = want < SLAB_MIN ? SLAB_MIN : want > SLAB_MAX ? SLAB_MAX : want;
		s->slab = ARENA_ARRAY(s->arena, s->slab_left, struct json);
		if (!s->slab) {
			s->slab_left = 0;
			return fail_memory(s);
		}
	}
	s->slab_left--;
	s->nodes++;
	struct json *v = s->slab++;
	struct level *level = s->top;
	v->key = s->key;
	v->parent = level->container;
	if (level->last)
		level->last->next = v;
	else if (level->container)
		level->container->child = v;
	else
		s->root = v;
	level->last = v;
	if (level->container)
		level->container->count++;
	*out = v;
	return ERR_OK;
}

static int hex4(const char *p)
{
	int v = 0;
	for (int i = 0; i < 4; i++) {
		char c = p[i];
		int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
		if (digit < 0)
			return -1;
		v = v << 4 | digit;
	}
	return v;
}

/* A \u escape with p behind the u; a surrogate must come as a pair. Leaves p behind it. */
static enum err take_unicode(struct parser *s, const char **p, const char *end, uint32_t *out)
{
	const char *at = *p - 2;
	int high = end - *p >= 4 ? hex4(*p) : -1;
	if (high < 0)
		return fail_at(s, at, ERR_BAD_JSON, "\\u needs four hexadecimal digits");
	if (high == 0)
		return fail_at(s, at, ERR_BAD_JSON, "the character NUL is not allowed");
	*p += 4;
	*out = (uint32_t)high;
	if (high < 0xd800 || high > 0xdfff)
		return ERR_OK;
	int low = high < 0xdc00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u' ? hex4(*p + 2) : -1;
	if (low < 0xdc00 || low > 0xdfff)
		return fail_at(s, at, ERR_BAD_JSON, "half of a surrogate pair");
	*p += 6;
	*out = 0x10000 + (((uint32_t)high - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
	return ERR_OK;
}

/* The text of a string with escapes, from its raw bytes. */
static enum err unescape(struct parser *s, struct str raw, struct str *out)
{
	static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	char *text = arena_alloc(s->arena, raw.n);
	if (!text)
		return fail_memory(s);
	size_t n = 0;
	const char *p = raw.p, *end = raw.p + raw.n;
	for (;;) {
		const char *slash = memchr(p, '\\', (size_t)(end - p));
		size_t run = (size_t)((slash ? slash : end) - p);
		memcpy(text + n, p, run);
		n += run;
		if (!slash)
			break;
		p = slash + 2;
		if (slash[1] == 'u') {
			uint32_t c = 0;
			TRY(take_unicode(s, &p, end, &c));
			n += utf8_put(text + n, c);
		} else {
			const char *name = memchr(names, slash[1], sizeof(names) - 1);
			if (!name)
				return fail_at(s, slash, ERR_BAD_JSON, "unknown escape");
			text[n++] = meant[name - names];
		}
	}
	*out = str_make(text, n);
	return ERR_OK;
}

/* A string, with s->p at its opening quote. */
static enum err take_string(struct parser *s, struct str *out)
{
	const char *from = s->p + 1, *p = from;
	bool escaped = false;
	for (;;) {
		p = utf8_skip_plain(p, s->end);
		if (p == s->end)
			return fail_at(s, s->p, ERR_BAD_JSON, "this string has no end");
		unsigned char c = (unsigned char)*p;
		if (c == '"')
			break;
		if (c == '\\') {
			if (s->end - p < 2)
				return fail_at(s, s->p, ERR_BAD_JSON, "this string has no end");
			if ((unsigned char)p[1] < 0x20 || (unsigned char)p[1] >= 0x80)
				return fail_at(s, p, ERR_BAD_JSON, "unknown escape");
			escaped = true;
			p += 2;
		} else if (c < 0x20) {
			return fail_at(s, p, ERR_BAD_JSON, c ? "a control character in a string must be escaped" : "the character NUL is not allowed");
		} else {
			while (p < s->end && (unsigned char)*p >= 0x80) {
				size_t n = utf8_sequence(p, s->end);
				if (n == 0)
					return fail_at(s, p, ERR_BAD_UTF8, "not valid UTF-8");
				p += n;
			}
		}
	}
	struct str raw = str_make(from, (size_t)(p - from));
	if (escaped)
		TRY(unescape(s, raw, out));
	else
		*out = raw;
	s->p = p + 1;
	return ERR_OK;
}

static inline const char *skip_digits(const char *p, const char *end)
{
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p;
}

static enum err take_number(struct parser *s, struct json *v)
{
	const char *from = s->p, *p = from + (*from == '-');
	const char *whole = p;
	p = skip_digits(p, s->end);
	if (p == whole) {
		s->p = p;
		return fail_here(s, whole == from ? "a value is missing" : "a digit is missing");
	}
	if (*whole == '0' && p - whole > 1)
		return fail_here(s, "a number must not begin with 0");
	if (p < s->end && *p == '.') {
		const char *digits = ++p;
		p = skip_digits(p, s->end);
		s->p = p;
		if (p == digits)
			return fail_here(s, "a digit is missing");
	}
	if (p < s->end && (*p == 'e' || *p == 'E')) {
		p++;
		p += p < s->end && (*p == '+' || *p == '-');
		const char *digits = p;
		p = skip_digits(p, s->end);
		s->p = p;
		if (p == digits)
			return fail_here(s, "a digit is missing");
	}
	v->type = JSON_NUMBER;
	v->text = str_make(from, (size_t)(p - from));
	s->p = p;
	return ERR_OK;
}

static enum err take_word(struct parser *s, struct json *v, const char *word, size_t n, enum json_type type)
{
	if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0)
		return fail_here(s, "a value is missing");
	s->p += n;
	v->type = type;
	return ERR_OK;
}

static enum err open_container(struct parser *s, struct json *v, enum json_type type)
{
	if (s->top == &s->levels[LIMIT_JSON_DEPTH])
		return fail_at(s, s->p, ERR_TOO_LARGE, "nested too deeply");
	v->type = type;
	s->top++;
	*s->top = (struct level){ .container = v };
	s->p++;
	return ERR_OK;
}

static enum err take_value(struct parser *s)
{
	struct json *v = NULL;
	if (s->p == s->end)
		return fail_here(s, "");
	TRY(node_new(s, &v));
	switch (*s->p) {
	case '"':
		v->type = JSON_STRING;
		return take_string(s, &v->text);
	case '{':
		return open_container(s, v, JSON_OBJECT);
	case '[':
		return open_container(s, v, JSON_ARRAY);
	case 't':
		return take_word(s, v, "true", 4, JSON_TRUE);
	case 'f':
		return take_word(s, v, "false", 5, JSON_FALSE);
	case 'n':
		return take_word(s, v, "null", 4, JSON_NULL);
	default:
		return take_number(s, v);
	}
}

/* One of 64 kinds of names: most small objects have no two names of one kind, so no duplicate. */
static inline uint64_t name_bit(struct str key)
{
	if (key.n == 0)
		return 1;
	unsigned first = (unsigned char)key.p[0], middle = (unsigned char)key.p[key.n / 2], last = (unsigned char)key.p[key.n - 1];
	return UINT64_C(1) << ((first * 7 + middle * 13 + last * 29 + (unsigned)key.n * 3) & 63);
}

static enum err take_key(struct parser *s)
{
	if (peek(s) != '"')
		return fail_here(s, "a name in quotes is expected");
	TRY(take_string(s, &s->key));
	skip_space(s);
	if (peek(s) != ':')
		return fail_here(s, "a colon is missing");
	s->p++;
	skip_space(s);
	uint64_t bit = name_bit(s->key);
	s->top->suspect |= (s->top->seen & bit) != 0;
	s->top->seen |= bit;
	return ERR_OK;
}

static const struct json *duplicate_among_few(const struct json *object)
{
	for (const struct json *m = object->child; m; m = m->next)
		for (const struct json *other = object->child; other != m; other = other->next)
			if (str_eq(m->key, other->key))
				return m;
	return NULL;
}

/* By sorting, so that no choice of names makes it slow. The room for it is given back. */
static enum err duplicate_among_many(struct parser *s, const struct json *object, const struct json **out)
{
	*out = NULL;
	if (json_members_in_order(object))
		return ERR_OK;
	struct arena_mark mark = arena_mark(s->arena);
	const struct json **members = ARENA_ARRAY(s->arena, object->count, const struct json *);
	if (!members)
		return fail_memory(s);
	json_members_sort(object, members);
	for (unsigned i = 1; i < object->count && !*out; i++)
		if (str_eq(members[i - 1]->key, members[i]->key))
			*out = members[i];
	arena_rewind(s->arena, mark);
	return ERR_OK;
}

static enum err check_duplicates(struct parser *s, const struct json *object)
{
	const struct json *twice = NULL;
	if (object->count <= PAIRWISE_MAX)
		twice = duplicate_among_few(object);
	else
		TRY(duplicate_among_many(s, object, &twice));
	if (!twice)
		return ERR_OK;
	bool in_place = twice->key.p >= s->begin && twice->key.p <= s->end;
	struct str shown = str_sub(twice->key, 0, 64);
	while (shown.n < twice->key.n && shown.n && utf8_is_tail(twice->key.p[shown.n]))
		shown.n--;
	char what[96];
	snprintf(what, sizeof(what), "the name \"%.*s\" appears twice", STR_ARG(shown));
	return fail_at(s, in_place ? twice->key.p - 1 : s->p, ERR_BAD_JSON, what);
}

static enum err close_container(struct parser *s)
{
	if (s->top->suspect)
		TRY(check_duplicates(s, s->top->container));
	s->top--;
	s->p++;
	return ERR_OK;
}

/* From behind a value, or behind a container's opening, to where the next value begins: over closing brackets, a comma, a member's name. */
static enum err take_between(struct parser *s, bool *more)
{
	*more = false;
	for (;;) {
		skip_space(s);
		const struct json *container = s->top->container;
		if (!container)
			return ERR_OK;
		bool object = container->type == JSON_OBJECT;
		char c = peek(s);
		if (c == (object ? '}' : ']')) {
			TRY(close_container(s));
			continue;
		}
		if (s->top->last) {
			if (c != ',')
				return fail_here(s, object ? "a comma or } is missing" : "a comma or ] is missing");
			s->p++;
			skip_space(s);
		}
		*more = true;
		s->key = STR_NONE;
		return object ? take_key(s) : ERR_OK;
	}
}

enum err json_parse(struct arena *a, struct str text, const struct json **out, struct error *e)
{
	struct parser s;
	s.arena = a;
	s.error = e;
	s.begin = s.p = text.p ? text.p : "";
	s.end = s.begin + text.n;
	s.slab = s.root = NULL;
	s.slab_left = s.nodes = 0;
	s.key = STR_NONE;
	s.top = s.levels;
	s.levels[0] = (struct level){ 0 };
	*out = NULL;
	bool more = true;
	skip_space(&s);
	while (more) {
		TRY(take_value(&s));
		TRY(take_between(&s, &more));
	}
	if (s.p != s.end)
		return fail_at(&s, s.p, ERR_BAD_JSON, "something follows the value");
	*out = s.root;
	return ERR_OK;
}
