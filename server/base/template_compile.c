/* The compiler of templates: one pass over each text; sections are matched by a chain through the operations, so nothing recurses. */
#include "server/base/template_ops.h"

#include <stdlib.h>

#define NO_SECTION SIZE_MAX

/* A partial whose template is looked for when all are compiled. */
struct wanted { struct wanted *next; struct template *in; size_t op; struct str name; size_t line; };

struct compiler {
	struct arena *arena;
	struct error *error;
	struct template *t;      /* being compiled */
	size_t room;             /* operations that fit */
	const char *begin, *p, *end; /* the text, and where we are */
	struct str open, close;  /* delimiters at hand */
	size_t section;          /* innermost open section, NO_SECTION outside */
	bool line;               /* a tag that prints nothing stood at the beginning of the line: what follows counts as its beginning */
	struct wanted *wanted;
};

/* One tag of the text. */
struct tag {
	const char *from, *to; /* from its opening delimiter to behind its closing one */
	char sigil;            /* # ^ / > ! = & {, or NUL for a plain name */
	struct str name;       /* what is inside, trimmed */
};

static size_t line_of(const char *begin, const char *at)
{
	size_t line = 1;
	for (const char *p = begin; p < at; p++)
		line += *p == '\n';
	return line;
}

static enum err refuse(struct compiler *c, const char *at, const char *what, struct str name)
{
	return error_set(c->error, ERR_INTERNAL, "Template %.*s, line %zu: %s%s%.*s", STR_ARG(c->t->name), line_of(c->begin, at), what, name.n ? " " : "", STR_ARG(str_sub(name, 0, 100)));
}

static const char *find(const char *p, const char *end, struct str needle)
{
	return (size_t)(end - p) < needle.n ? NULL : memmem(p, (size_t)(end - p), needle.p, needle.n);
}

static enum err op_new(struct compiler *c, enum op_kind kind, const char *at, struct op **out)
{
	if (c->t->count == c->room) {
		size_t room = c->room ? c->room * 2 : 16;
		struct op *ops = ARENA_ARRAY(c->arena, room, struct op);
		if (!ops)
			return error_set(c->error, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
		if (c->t->count)
			memcpy(ops, c->t->ops, c->t->count * sizeof(*ops));
		c->t->ops = ops;
		c->room = room;
	}
	*out = &c->t->ops[c->t->count++];
	**out = (struct op){ .kind = kind, .line = c->line || at == c->begin || at[-1] == '\n' };
	c->line = false;
	return ERR_OK;
}

static enum err add_text(struct compiler *c, const char *from, const char *to)
{
	struct op *op = NULL;
	if (from == to)
		return ERR_OK;
	TRY(op_new(c, OP_TEXT, from, &op));
	op->text = str_make(from, (size_t)(to - from));
	return ERR_OK;
}

static enum err name_parts(struct compiler *c, struct op *op, const struct tag *tag)
{
	struct str rest = tag->name, part;
	op->text = tag->name;
	if (tag->name.n == 0)
		return refuse(c, tag->from, "a tag without a name", STR_NONE);
	for (size_t i = 0; i < tag->name.n; i++)
		if (strchr(" \t\r\n", tag->name.p[i]))
			return refuse(c, tag->from, "white space inside the name", tag->name);
	if (str_is(tag->name, "."))
		return ERR_OK;
	size_t count = 1;
	for (size_t i = 0; i < tag->name.n; i++)
		count += tag->name.p[i] == '.';
	struct str *parts = ARENA_ARRAY(c->arena, count, struct str);
	if (!parts)
		return error_set(c->error, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	op->parts = parts;
	while (str_split(&rest, '.', &part))
		parts[op->part_count++] = part;
	return ERR_OK;
}

static enum err add_value(struct compiler *c, const struct tag *tag)
{
	struct op *op = NULL;
	TRY(op_new(c, tag->sigil ? OP_RAW : OP_ESCAPED, tag->from, &op));
	return name_parts(c, op, tag);
}

static enum err open_section(struct compiler *c, const struct tag *tag)
{
	struct op *op = NULL;
	TRY(op_new(c, tag->sigil == '#' ? OP_SECTION : OP_INVERTED, tag->from, &op));
	op->other = c->section;
	c->section = c->t->count - 1;
	return name_parts(c, op, tag);
}

static enum err close_section(struct compiler *c, const struct tag *tag)
{
	struct op *op = NULL;
	if (c->section == NO_SECTION)
		return refuse(c, tag->from, "nothing to close with", tag->name);
	TRY(op_new(c, OP_END, tag->from, &op));
	c->line = op->line;
	op->line = false;
	struct op *section = &c->t->ops[c->section];
	if (!str_eq(section->text, tag->name))
		return refuse(c, tag->from, "this does not close the innermost section:", tag->name);
	op->other = c->section;
	c->section = section->other;
	section->other = c->t->count - 1;
	return ERR_OK;
}

static enum err add_partial(struct compiler *c, const struct tag *tag, struct str indent, bool standalone)
{
	struct op *op = NULL;
	if (tag->name.n == 0)
		return refuse(c, tag->from, "a tag without a name", STR_NONE);
	TRY(op_new(c, OP_PARTIAL, tag->from, &op));
	op->text = indent;
	op->standalone = standalone;
	struct wanted *w = ARENA_NEW(c->arena, struct wanted);
	if (!w)
		return error_set(c->error, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	*w = (struct wanted){ c->wanted, c->t, c->t->count - 1, tag->name, line_of(c->begin, tag->from) };
	c->wanted = w;
	return ERR_OK;
}

static enum err set_delimiters(struct compiler *c, const struct tag *tag)
{
	size_t gap = 0;
	while (gap < tag->name.n && !strchr(" \t\r\n", tag->name.p[gap]))
		gap++;
	struct str open = str_sub(tag->name, 0, gap), close = str_trim(str_sub(tag->name, gap, tag->name.n));
	bool fine = open.n && close.n;
	for (size_t i = 0; i < close.n; i++)
		fine = fine && !strchr(" \t\r\n=", close.p[i]);
	if (!fine || str_index(open, '=') >= 0)
		return refuse(c, tag->from, "two delimiters are expected", STR_NONE);
	c->open = open;
	c->close = close;
	return ERR_OK;
}

/* The tag whose opening delimiter is at `from`. */
static enum err take_tag(struct compiler *c, const char *from, struct tag *tag)
{
	const char *p = from + c->open.n;
	while (p < c->end && strchr(" \t\r\n", *p) && *p)
		p++;
	char sigil = p < c->end && *p && strchr("#^/>!=&{", *p) ? *p : '\0';
	p += sigil != '\0';
	const char *close = NULL;
	if (sigil == '{' || sigil == '=') {
		/* These close with a sign of their own before the delimiter. */
		char mark = sigil == '{' ? '}' : '=';
		close = find(p, c->end, c->close);
		while (close && (close == p || close[-1] != mark))
			close = find(close + 1, c->end, c->close);
	} else {
		close = find(p, c->end, c->close);
	}
	if (!close)
		return refuse(c, from, "a tag without an end", STR_NONE);
	size_t length = (size_t)(close - p) - (sigil == '{' || sigil == '=');
	*tag = (struct tag){ from, close + c->close.n, sigil, str_trim(str_make(p, length)) };
	return ERR_OK;
}

/* Whether the tag has its line for itself; then `from` and `to` are widened to the whole line. */
static bool alone_on_line(const struct compiler *c, const struct tag *tag, const char **from, const char **to)
{
	const char *left = tag->from, *right = tag->to;
	if (tag->sigil == '\0' || tag->sigil == '&' || tag->sigil == '{')
		return false;
	while (left > c->begin && (left[-1] == ' ' || left[-1] == '\t'))
		left--;
	if (left > c->begin && left[-1] != '\n')
		return false;
	while (right < c->end && (*right == ' ' || *right == '\t'))
		right++;
	if (c->end - right >= 2 && right[0] == '\r' && right[1] == '\n')
		right++;
	if (right < c->end && *right != '\n')
		return false;
	*from = left;
	*to = right < c->end ? right + 1 : right;
	return true;
}

static enum err add_tag(struct compiler *c, const struct tag *tag, struct str indent, bool standalone)
{
	switch (tag->sigil) {
	case '!':
		return ERR_OK;
	case '=':
		return set_delimiters(c, tag);
	case '#':
	case '^':
		return open_section(c, tag);
	case '/':
		return close_section(c, tag);
	case '>':
		return add_partial(c, tag, indent, standalone);
	default:
		return add_value(c, tag);
	}
}

static enum err compile_text(struct compiler *c)
{
	const char *at;
	while ((at = find(c->p, c->end, c->open)) != NULL) {
		struct tag tag = { 0 };
		TRY(take_tag(c, at, &tag));
		const char *from = tag.from, *to = tag.to;
		bool standalone = alone_on_line(c, &tag, &from, &to) && from >= c->p;
		if (!standalone) {
			from = tag.from;
			to = tag.to;
		}
		TRY(add_text(c, c->p, from));
		size_t before = c->t->count;
		TRY(add_tag(c, &tag, str_make(from, (size_t)(tag.from - from)), standalone));
		if (standalone && c->t->count > before)
			c->t->ops[before].line = c->line = false;
		else if (!standalone && c->t->count == before)
			c->line |= from == c->begin || from[-1] == '\n';
		c->p = to;
	}
	TRY(add_text(c, c->p, c->end));
	if (c->section != NO_SECTION)
		return refuse(c, c->end, "this section is not closed:", c->t->ops[c->section].text);
	return ERR_OK;
}

static int template_cmp(const void *a, const void *b)
{
	const struct template *left = a, *right = b;
	return str_cmp(left->name, right->name);
}

const struct template *template_find(const struct template_set *set, struct str name)
{
	size_t low = 0, high = set->count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = str_cmp(set->templates[middle].name, name);
		if (order == 0)
			return &set->templates[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

static enum err compile_source(struct compiler *c, struct template *t)
{
	c->t = t;
	c->room = 0;
	c->begin = c->p = t->text.n ? t->text.p : "";
	c->end = c->begin + t->text.n;
	c->open = STR("{{");
	c->close = STR("}}");
	c->section = NO_SECTION;
	c->line = false;
	return compile_text(c);
}

static enum err resolve_partials(struct compiler *c, const struct template_set *set, bool strict)
{
	for (struct wanted *w = c->wanted; w; w = w->next) {
		const struct template *partial = template_find(set, w->name);
		if (!partial && strict)
			return error_set(c->error, ERR_INTERNAL, "Template %.*s, line %zu: there is no partial %.*s", STR_ARG(w->in->name), w->line, STR_ARG(w->name));
		w->in->ops[w->op].partial = partial;
	}
	return ERR_OK;
}

enum err template_compile(struct arena *a, const struct template_source *sources, size_t n, bool strict, struct template_set **out, struct error *e)
{
	struct compiler c = { .arena = a, .error = e };
	struct template_set *set = ARENA_NEW(a, struct template_set);
	*out = NULL;
	if (!set || !(set->templates = ARENA_ARRAY(a, n, struct template)))
		return error_set(e, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	set->count = n;
	for (size_t i = 0; i < n; i++) {
		struct template *t = &set->templates[i];
		*t = (struct template){ .name = str_copy(a, sources[i].name), .text = str_copy(a, sources[i].text) };
		if ((sources[i].name.p && !t->name.p) || (sources[i].text.p && !t->text.p))
			return error_set(e, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	}
	qsort(set->templates, n, sizeof(*set->templates), template_cmp);
	for (size_t i = 0; i < n; i++)
		TRY(compile_source(&c, &set->templates[i]));
	TRY(resolve_partials(&c, set, strict));
	*out = set;
	return ERR_OK;
}
