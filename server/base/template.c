/* Runs compiled templates. Open sections and partials are frames of a linked stack with a maximum, and every operation is paid from a budget: a template
 * that includes itself without end is refused, not followed. */
#include "server/base/template_ops.h"

#define FRAMES_MAX 200        /* open sections and partials; pages need a dozen */
#define STEPS_MAX 4000000     /* operations in one rendering; the longest list of a page needs a tenth */

/* An open section or partial. */
struct frame {
	struct frame *below;
	struct frame *above;           /* kept for reuse after it is closed */
	const struct template *t;      /* whose operations run */
	size_t at;                     /* the next of them; for frames below, where to go on */
	const struct json *context;    /* pushed value, NULL when none was */
	const struct json *item;       /* the element at hand of a list */
	struct str indent;             /* before each line of this partial */
};

struct renderer {
	struct arena *arena;
	struct buf *out;
	struct error *error;
	struct frame *top;
	size_t depth; /* frames in use */
};

static enum err push(struct renderer *r, struct frame f)
{
	struct frame *above = r->top->above;
	if (r->depth == FRAMES_MAX)
		return error_set(r->error, ERR_INTERNAL, "Template %.*s: sections and partials nest too deeply.", STR_ARG(r->top->t->name));
	if (!above) {
		above = ARENA_NEW(r->arena, struct frame);
		if (!above)
			return error_set(r->error, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	}
	f.below = r->top;
	f.above = above->above;
	*above = f;
	r->top->above = above;
	r->top = above;
	r->depth++;
	return ERR_OK;
}

static void pop(struct renderer *r)
{
	r->top = r->top->below;
	r->depth--;
}

/* The value of a name: its first part is looked for from the innermost context outwards, the others only inside what was found. */
static const struct json *look_up(const struct renderer *r, const struct op *op)
{
	const struct json *v = NULL;
	const struct frame *f = r->top;
	for (; f && !v; f = f->below)
		if (f->context)
			v = op->part_count ? json_get_str(f->context, op->parts[0]) : f->context;
	for (size_t i = 1; v && i < op->part_count; i++)
		v = json_get_str(v, op->parts[i]);
	return v;
}

static bool is_false(const struct json *v)
{
	return !v || v->type == JSON_NULL || v->type == JSON_FALSE || (v->type == JSON_ARRAY && !v->child) || (v->type == JSON_STRING && v->text.n == 0);
}

static void put_value(struct renderer *r, const struct op *op)
{
	const struct json *v = look_up(r, op);
	if (json_is(v, JSON_TRUE) || json_is(v, JSON_FALSE))
		buf_add_z(r->out, v->type == JSON_TRUE ? "true" : "false");
	else if (json_is(v, JSON_NUMBER))
		buf_add_str(r->out, v->text);
	else if (json_is(v, JSON_STRING) && v->text.n && op->kind == OP_RAW)
		buf_add_str(r->out, v->text);
	else if (json_is(v, JSON_STRING) && v->text.n)
		buf_add_html(r->out, v->text);
}

/* Literal text; inside an indented partial every further line of it is indented too. */
static void put_text(struct renderer *r, struct str text)
{
	struct str line;
	if (r->top->indent.n == 0) {
		buf_add_str(r->out, text);
		return;
	}
	for (bool first = true; str_split(&text, '\n', &line); first = false) {
		if (!first && (line.n || text.p))
			buf_add_str(r->out, r->top->indent);
		buf_add_str(r->out, line);
		if (text.p)
			buf_add_byte(r->out, '\n');
	}
}

/* Enters a section, or goes behind it. */
static enum err enter_section(struct renderer *r, const struct op *op)
{
	struct frame *f = r->top;
	const struct json *v = look_up(r, op);
	size_t body = f->at;
	if (is_false(v) != (op->kind == OP_INVERTED)) {
		f->at = op->other + 1;
		return ERR_OK;
	}
	struct frame inner = { .t = f->t, .at = body, .indent = f->indent };
	if (op->kind == OP_SECTION) {
		inner.item = v->type == JSON_ARRAY ? v->child : NULL;
		inner.context = inner.item ? inner.item : v;
	}
	f->at = op->other + 1;
	return push(r, inner);
}

/* At a section's end: the next element of its list, or on behind it. */
static void leave_section(struct renderer *r, const struct op *op)
{
	struct frame *f = r->top;
	if (f->item && f->item->next) {
		f->context = f->item = f->item->next;
		f->at = op->other + 1;
	} else {
		pop(r);
	}
}

static enum err enter_partial(struct renderer *r, const struct op *op)
{
	struct frame inner = { .t = op->partial };
	if (!op->partial)
		return ERR_OK;
	if (op->standalone && r->top->indent.n && op->text.n) {
		inner.indent = str_fmt(r->arena, "%.*s%.*s", STR_ARG(r->top->indent), STR_ARG(op->text));
		if (!inner.indent.p)
			return error_set(r->error, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	} else if (op->standalone) {
		inner.indent = op->text.n ? op->text : r->top->indent;
	}
	return push(r, inner);
}

static enum err run(struct renderer *r, const struct op *op)
{
	if (op->line && r->top->indent.n)
		buf_add_str(r->out, r->top->indent);
	switch (op->kind) {
	case OP_TEXT:
		put_text(r, op->text);
		return ERR_OK;
	case OP_ESCAPED:
	case OP_RAW:
		put_value(r, op);
		return ERR_OK;
	case OP_SECTION:
	case OP_INVERTED:
		return enter_section(r, op);
	case OP_END:
		leave_section(r, op);
		return ERR_OK;
	case OP_PARTIAL:
		return enter_partial(r, op);
	}
	return ERR_OK;
}

bool template_exists(const struct template_set *set, const char *name)
{
	return template_find(set, str_of(name)) != NULL;
}

enum err template_render(const struct template_set *set, struct arena *scratch, const char *name, const struct json *data, struct buf *out, struct error *e)
{
	const struct template *t = template_find(set, str_of(name));
	if (!t)
		return error_set(e, ERR_INTERNAL, "There is no template %s.", name);
	struct frame base = { .t = t, .context = data };
	struct renderer r = { scratch, out, e, &base, 1 };
	for (size_t steps = 0; r.top; steps++) {
		struct frame *f = r.top;
		if (steps == STEPS_MAX)
			return error_set(e, ERR_INTERNAL, "Template %s takes too long.", name);
		if (f->at == f->t->count)
			pop(&r);
		else
			TRY(run(&r, &f->t->ops[f->at++]));
	}
	return out->failed ? error_set(e, ERR_TOO_LARGE, "The page is too large.") : ERR_OK;
}
