/* The compiler of JSON Schemas: every keyword has a row in one table; an unknown one fails here, not in production. Schemas are found by a
 * worklist, and references by the place in the document that they name, so nothing recurses. */
#include "server/base/json_schema.h"

#include <stdlib.h>

/* Schemas in one document: each is looked for among the others, so that the number is bounded. */
#define SCHEMAS_MAX 2000

struct schema_set {
	const struct json *document;   /* our own copy */
	struct json_schema *first;     /* the document's own schema */
	struct json_schema *last;      /* newest */
	size_t count;                  /* schemas found */
};

struct compiler {
	struct arena *arena;
	struct error *error;
	const struct json_schema *(*resolve)(void *arg, struct str file);
	void *resolve_arg;
	struct schema_set *set;
};

static enum err refuse(struct compiler *c, const struct json *at, const char *what)
{
	struct str pointer = json_pointer(c->arena, at);
	return error_set(c->error, ERR_INVALID, "The schema cannot be used: %s at \"%.*s\".", what, STR_ARG(str_sub(pointer, 0, 200)));
}

static struct json_schema *find(const struct schema_set *set, const struct json *at)
{
	struct json_schema *s = set->first;
	while (s && s->at != at)
		s = s->next;
	return s;
}

/* The schema at a place of the document, noted for compilation when it is new. */
static enum err intern(struct compiler *c, const struct json *at, struct json_schema **out)
{
	struct json_schema *s = find(c->set, at);
	if (!s) {
		if (at->type != JSON_OBJECT && at->type != JSON_TRUE && at->type != JSON_FALSE)
			return refuse(c, at, "a schema must be an object, true or false");
		if (c->set->count == SCHEMAS_MAX)
			return refuse(c, at, "too many schemas");
		s = ARENA_NEW(c->arena, struct json_schema);
		if (!s)
			return error_set(c->error, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
		*s = (struct json_schema){ .at = at, .set = c->set, .types = TYPE_ANY };
		if (c->set->last)
			c->set->last->next = s;
		else
			c->set->first = s;
		c->set->last = s;
		c->set->count++;
	}
	*out = s;
	return ERR_OK;
}

static enum err rule_new(struct compiler *c, struct json_schema *s, enum rule_kind kind, struct rule **out)
{
	struct rule **last = &s->rules;
	while (*last)
		last = &(*last)->next;
	*out = *last = ARENA_NEW(c->arena, struct rule);
	if (!*out)
		return error_set(c->error, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	(*out)->kind = kind;
	return ERR_OK;
}

static enum err rule_room(struct compiler *c, struct rule *r, size_t n)
{
	r->schemas = ARENA_ARRAY(c->arena, n, struct json_schema *);
	r->schema_count = n;
	return r->schemas ? ERR_OK : error_set(c->error, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
}

static const struct { const char *name; unsigned bits; } type_names[] = {
	{ "null", TYPE_BIT(JSON_NULL) }, { "boolean", TYPE_BIT(JSON_TRUE) | TYPE_BIT(JSON_FALSE) }, { "number", TYPE_BIT(JSON_NUMBER) }, { "integer", TYPE_INTEGER },
	{ "string", TYPE_BIT(JSON_STRING) }, { "array", TYPE_BIT(JSON_ARRAY) }, { "object", TYPE_BIT(JSON_OBJECT) },
};

static enum err add_type(struct compiler *c, struct rule *r, const struct json *name)
{
	for (size_t i = 0; i < CH_LEN(type_names); i++) {
		if (json_is(name, JSON_STRING) && str_is(name->text, type_names[i].name)) {
			r->types |= type_names[i].bits;
			return ERR_OK;
		}
	}
	return refuse(c, name, "unknown type");
}

static enum err compile_type(struct compiler *c, struct json_schema *s, enum rule_kind kind, const struct json *v)
{
	struct rule *r = NULL;
	TRY(rule_new(c, s, kind, &r));
	if (v->type != JSON_ARRAY)
		TRY(add_type(c, r, v));
	else
		json_each(name, v)
			TRY(add_type(c, r, name));
	s->types = r->types & TYPE_INTEGER ? r->types | TYPE_BIT(JSON_NUMBER) : r->types;
	return ERR_OK;
}

static enum err compile_value(struct compiler *c, struct json_schema *s, enum rule_kind kind, const struct json *v)
{
	struct rule *r = NULL;
	if (kind == RULE_ENUM && (v->type != JSON_ARRAY || v->count == 0))
		return refuse(c, v, "enum must be a list of values");
	TRY(rule_new(c, s, kind, &r));
	r->value = v;
	return ERR_OK;
}

static enum err compile_count(struct compiler *c, struct json_schema *s, enum rule_kind kind, const struct json *v)
{
	struct rule *r = NULL;
	TRY(rule_new(c, s, kind, &r));
	r->count = json_int(v, -1);
	if (r->count < 0 || (kind == RULE_MULTIPLE_OF && (r->count < 1 || r->count > INT64_C(1) << 53)))
		return refuse(c, v, "a whole number is expected");
	return ERR_OK;
}

static enum err compile_bound(struct compiler *c, struct json_schema *s, enum rule_kind kind, const struct json *v)
{
	struct rule *r = NULL;
	if (v->type != JSON_NUMBER)
		return refuse(c, v, "a number is expected");
	TRY(rule_new(c, s, kind, &r));
	r->bound = decimal_of(v->text);
	r->value = v;
	return ERR_OK;
}

static enum err compile_unique(struct compiler *c, struct json_schema *s, enum rule_kind kind, const struct json *v)
{
	struct rule *r = NULL;
	if (v->type != JSON_TRUE && v->type != JSON_FALSE)
		return refuse(c, v, "true or false is expected");
	return v->type == JSON_TRUE ? rule_new(c, s, kind, &r) : ERR_OK;
}

static enum err compile_required(struct compiler *c, struct json_schema *s, enum rule_kind kind, const struct json *v)
{
	struct rule *r = NULL;
	bool names = v->type == JSON_ARRAY;
	json_each(name, v)
		names = names && name->type == JSON_STRING;
	if (!names)
		return refuse(c, v, "a list of names is expected");
	TRY(rule_new(c, s, kind, &r));
	r->value = v;
	return ERR_OK;
}

static void free_pattern(void *code)
{
	pcre2_code_free(code);
}

/* ECMA-262's reading of patterns, as far as PCRE2 has it: $ is the very end, \u escapes, code points. */
static enum err compile_regex(struct compiler *c, const struct json *at, struct str text, pcre2_code **out)
{
	int code;
	PCRE2_SIZE offset;
	uint32_t options = PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_ALT_BSUX | PCRE2_MATCH_UNSET_BACKREF | PCRE2_NEVER_BACKSLASH_C;
	*out = pcre2_compile((PCRE2_SPTR)(text.n ? text.p : ""), text.n, options, &code, &offset, NULL);
	if (!*out)
		return refuse(c, at, "the pattern is not understood");
	if (!arena_defer(c->arena, free_pattern, *out))
		return error_set(c->error, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	/* Without a compiler for it, it is interpreted; no difference but speed. */
	(void)pcre2_jit_compile(*out, PCRE2_JIT_COMPLETE);
	return ERR_OK;
}

static enum err compile_pattern(struct compiler *c, struct json_schema *s, enum rule_kind kind, const struct json *v)
{
	struct rule *r = NULL;
	if (v->type != JSON_STRING)
		return refuse(c, v, "a pattern is expected");
	TRY(rule_new(c, s, kind, &r));
	r->text = v->text;
	return compile_regex(c, v, v->text, &r->pattern);
}

static enum err compile_format(struct compiler *c, struct json_schema *s, enum rule_kind kind, const struct json *v)
{
	for (size_t i = 0; i < schema_format_count; i++) {
		if (json_is(v, JSON_STRING) && str_is(v->text, schema_formats[i].name)) {
			struct rule *r = NULL;
			TRY(rule_new(c, s, kind, &r));
			r->format = &schema_formats[i];
			return ERR_OK;
		}
	}
	return refuse(c, v, "unknown format");
}

static enum err compile_list(struct compiler *c, struct json_schema *s, enum rule_kind kind, const struct json *v)
{
	struct rule *r = NULL;
	if (v->type != JSON_ARRAY || v->count == 0)
		return refuse(c, v, "a list of schemas is expected");
	TRY(rule_new(c, s, kind, &r));
	TRY(rule_room(c, r, v->count));
	size_t i = 0;
	json_each(item, v)
		TRY(intern(c, item, &r->schemas[i++]));
	return ERR_OK;
}

static enum err compile_one(struct compiler *c, struct json_schema *s, enum rule_kind kind, const struct json *v)
{
	struct rule *r = NULL;
	TRY(rule_new(c, s, kind, &r));
	TRY(rule_room(c, r, 1));
	return intern(c, v, &r->schemas[0]);
}

static enum err compile_if(struct compiler *c, struct json_schema *s, enum rule_kind kind, const struct json *v)
{
	struct rule *r = NULL;
	const struct json *parts[] = { v, json_get(s->at, "then"), json_get(s->at, "else") };
	TRY(rule_new(c, s, kind, &r));
	TRY(rule_room(c, r, CH_LEN(parts)));
	for (size_t i = 0; i < CH_LEN(parts); i++)
		if (parts[i])
			TRY(intern(c, parts[i], &r->schemas[i]));
	return ERR_OK;
}

static enum err compile_items(struct compiler *c, struct json_schema *s, enum rule_kind kind, const struct json *v)
{
	const struct json *prefix = json_get(s->at, "prefixItems"), *items = json_get(s->at, "items");
	struct rule *r = NULL;
	if (prefix && v != prefix)
		return ERR_OK; /* done with prefixItems */
	if (prefix && (prefix->type != JSON_ARRAY || prefix->count == 0))
		return refuse(c, prefix, "a list of schemas is expected");
	TRY(rule_new(c, s, kind, &r));
	TRY(rule_room(c, r, (prefix ? prefix->count : 0) + 1));
	size_t i = 0;
	json_each(item, prefix)
		TRY(intern(c, item, &r->schemas[i++]));
	return items ? intern(c, items, &r->schemas[i]) : ERR_OK;
}

static enum err add_properties(struct compiler *c, const struct json *from, bool patterns, struct property **out, size_t *count)
{
	if (!from)
		return ERR_OK;
	if (from->type != JSON_OBJECT)
		return refuse(c, from, "an object of schemas is expected");
	struct property *p = ARENA_ARRAY(c->arena, from->count, struct property);
	if (!p)
		return error_set(c->error, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	*out = p;
	*count = from->count;
	json_each(member, from) {
		p->name = member->key;
		if (patterns)
			TRY(compile_regex(c, member, member->key, &p->pattern));
		TRY(intern(c, member, &p->schema));
		p++;
	}
	return ERR_OK;
}

static int property_cmp(const void *a, const void *b)
{
	const struct property *left = a, *right = b;
	return str_cmp(left->name, right->name);
}

/* properties, patternProperties and additionalProperties are one rule: which of them holds for a member depends on the others. */
static enum err compile_members(struct compiler *c, struct json_schema *s, enum rule_kind kind, const struct json *v)
{
	const struct json *properties = json_get(s->at, "properties"), *patterns = json_get(s->at, "patternProperties"), *rest = json_get(s->at, "additionalProperties");
	struct rule *r = NULL;
	if (v != (properties ? properties : patterns ? patterns : rest))
		return ERR_OK; /* done with the first of the three */
	TRY(rule_new(c, s, kind, &r));
	TRY(add_properties(c, properties, false, &r->properties, &r->property_count));
	TRY(add_properties(c, patterns, true, &r->patterns, &r->pattern_count));
	if (r->property_count)
		qsort(r->properties, r->property_count, sizeof(*r->properties), property_cmp);
	return rest ? intern(c, rest, &r->rest) : ERR_OK;
}

static enum err compile_ref(struct compiler *c, struct json_schema *s, enum rule_kind kind, const struct json *v)
{
	struct rule *r = NULL;
	struct str text = json_text(v);
	ptrdiff_t hash = str_index(text, '#');
	struct str file = hash < 0 ? text : str_sub(text, 0, (size_t)hash);
	struct str fragment = hash < 0 ? STR("") : str_sub(text, (size_t)hash + 1, text.n);
	struct str pointer;
	if (!text.p || !str_url_decode(c->arena, fragment, false, &pointer))
		return refuse(c, v, "a reference is expected");
	const char *path = str_z(c->arena, pointer);
	if (!path)
		return error_set(c->error, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	TRY(rule_new(c, s, kind, &r));
	TRY(rule_room(c, r, 1));
	const struct json_schema *other = file.n == 0 ? c->set->first : c->resolve ? c->resolve(c->resolve_arg, file) : NULL;
	const struct json *at = other ? json_at(other->set->document, path) : NULL;
	if (!at)
		return refuse(c, v, "the reference leads nowhere");
	if (other->set == c->set)
		return intern(c, at, &r->schemas[0]);
	r->schemas[0] = find(other->set, at);
	return r->schemas[0] ? ERR_OK : refuse(c, v, "the reference leads to no schema");
}

static enum err compile_defs(struct compiler *c, struct json_schema *s, enum rule_kind kind, const struct json *v)
{
	(void)s;
	(void)kind;
	struct json_schema *found = NULL;
	if (v->type != JSON_OBJECT)
		return refuse(c, v, "an object of schemas is expected");
	json_each(member, v)
		TRY(intern(c, member, &found));
	return ERR_OK;
}

/* In order of checking. Those without a function have no effect of their own. */
static const struct keyword {
	const char *name;
	enum rule_kind kind;
	enum err (*compile)(struct compiler *, struct json_schema *, enum rule_kind, const struct json *);
} keywords[] = {
	{ "type", RULE_TYPE, compile_type },
	{ "const", RULE_CONST, compile_value },
	{ "enum", RULE_ENUM, compile_value },
	{ "minLength", RULE_MIN_LENGTH, compile_count },
	{ "maxLength", RULE_MAX_LENGTH, compile_count },
	{ "format", RULE_FORMAT, compile_format },
	{ "pattern", RULE_PATTERN, compile_pattern },
	{ "minimum", RULE_MINIMUM, compile_bound },
	{ "maximum", RULE_MAXIMUM, compile_bound },
	{ "exclusiveMinimum", RULE_ABOVE, compile_bound },
	{ "exclusiveMaximum", RULE_BELOW, compile_bound },
	{ "multipleOf", RULE_MULTIPLE_OF, compile_count },
	{ "minItems", RULE_MIN_ITEMS, compile_count },
	{ "maxItems", RULE_MAX_ITEMS, compile_count },
	{ "uniqueItems", RULE_UNIQUE, compile_unique },
	{ "minProperties", RULE_MIN_PROPERTIES, compile_count },
	{ "maxProperties", RULE_MAX_PROPERTIES, compile_count },
	{ "required", RULE_REQUIRED, compile_required },
	{ "propertyNames", RULE_NAMES, compile_one },
	{ "properties", RULE_MEMBERS, compile_members },
	{ "patternProperties", RULE_MEMBERS, compile_members },
	{ "additionalProperties", RULE_MEMBERS, compile_members },
	{ "prefixItems", RULE_ITEMS, compile_items },
	{ "items", RULE_ITEMS, compile_items },
	{ "contains", RULE_CONTAINS, compile_one },
	{ "$ref", RULE_ALL_OF, compile_ref },
	{ "allOf", RULE_ALL_OF, compile_list },
	{ "anyOf", RULE_ANY_OF, compile_list },
	{ "oneOf", RULE_ONE_OF, compile_list },
	{ "not", RULE_NOT, compile_one },
	{ "if", RULE_IF, compile_if },
	{ "$defs", RULE_NEVER, compile_defs },
	{ "then", RULE_NEVER, NULL },
	{ "else", RULE_NEVER, NULL },
	{ "$schema", RULE_NEVER, NULL },
	{ "$id", RULE_NEVER, NULL },
	{ "$comment", RULE_NEVER, NULL },
	{ "title", RULE_NEVER, NULL },
	{ "description", RULE_NEVER, NULL },
	{ "default", RULE_NEVER, NULL },
	{ "examples", RULE_NEVER, NULL },
	{ "deprecated", RULE_NEVER, NULL },
	{ "readOnly", RULE_NEVER, NULL },
	{ "writeOnly", RULE_NEVER, NULL },
};

static bool is_keyword(struct str name)
{
	for (size_t i = 0; i < CH_LEN(keywords); i++)
		if (str_is(name, keywords[i].name))
			return true;
	return false;
}

static enum err compile_schema(struct compiler *c, struct json_schema *s)
{
	struct rule *r = NULL;
	if (s->at->type == JSON_FALSE)
		return rule_new(c, s, RULE_NEVER, &r);
	json_each(member, s->at)
		if (!is_keyword(member->key))
			return refuse(c, member, "unknown keyword");
	for (size_t i = 0; i < CH_LEN(keywords) && s->at->child; i++) {
		const struct json *v = keywords[i].compile ? json_get(s->at, keywords[i].name) : NULL;
		if (v)
			TRY(keywords[i].compile(c, s, keywords[i].kind, v));
	}
	return ERR_OK;
}

/* Calls fn for every schema of the same document that this one applies to the value itself. */
static void each_in_place(const struct json_schema *s, void (*fn)(struct json_schema *, void *), void *arg)
{
	for (const struct rule *r = s->rules; r; r = r->next)
		for (size_t i = 0; r->kind >= RULE_ALL_OF && r->kind <= RULE_IF && i < r->schema_count; i++)
			if (r->schemas[i] && r->schemas[i]->set == s->set)
				fn(r->schemas[i], arg);
}

static void count_waiting(struct json_schema *s, void *arg)
{
	(void)arg;
	s->waiting++;
}

struct queue { struct json_schema **items; size_t n; };

static void release_waiting(struct json_schema *s, void *arg)
{
	struct queue *q = arg;
	if (--s->waiting == 0)
		q->items[q->n++] = s;
}

/* A schema that applies itself to the same value would never end. Kahn's order: what no schema applies goes first; what never comes is in a cycle. */
static enum err refuse_cycles(struct compiler *c)
{
	struct queue q = { ARENA_ARRAY(c->arena, c->set->count, struct json_schema *), 0 };
	if (!q.items)
		return error_set(c->error, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	for (struct json_schema *s = c->set->first; s; s = s->next)
		each_in_place(s, count_waiting, NULL);
	for (struct json_schema *s = c->set->first; s; s = s->next)
		if (s->waiting == 0)
			q.items[q.n++] = s;
	for (size_t i = 0; i < q.n; i++)
		each_in_place(q.items[i], release_waiting, &q);
	for (struct json_schema *s = c->set->first; s; s = s->next)
		if (s->waiting)
			return refuse(c, s->at, "a schema that applies itself without end");
	return ERR_OK;
}

static void release_buf(void *buf)
{
	buf_release(buf);
}

/* A copy of the document in the schema's own memory. */
static enum err copy_document(struct compiler *c, const struct json *document)
{
	struct buf *text = ARENA_NEW(c->arena, struct buf);
	struct json_writer w;
	if (!text)
		return error_set(c->error, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	buf_init(text, LIMIT_JOB_ARENA);
	/* Released below, and also when the arena jumps before that. */
	if (!arena_defer(c->arena, release_buf, text))
		return error_set(c->error, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	jw_init(&w, text);
	jw_json(&w, document);
	struct str copy = text->failed ? STR_NONE : str_copy(c->arena, buf_str(text));
	buf_release(text);
	if (!copy.p)
		return error_set(c->error, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	return json_parse(c->arena, copy, &c->set->document, c->error);
}

enum err json_schema_compile(struct arena *a, const struct json *document, const struct json_schema *(*resolve)(void *arg, struct str file), void *arg,
	const struct json_schema **out, struct error *e)
{
	struct compiler c = { a, e, resolve, arg, ARENA_NEW(a, struct schema_set) };
	struct json_schema *first = NULL;
	*out = NULL;
	if (!c.set)
		return error_set(e, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY));
	TRY(copy_document(&c, document));
	TRY(intern(&c, c.set->document, &first));
	for (struct json_schema *s = c.set->first; s; s = s->next)
		TRY(compile_schema(&c, s));
	TRY(refuse_cycles(&c));
	*out = c.set->first;
	return ERR_OK;
}
