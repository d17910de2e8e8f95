/* The checker of JSON Schemas. Applications of a schema to a value are frames of a linked stack, so that neither a deep value nor a
 * chain of references deepens the C stack; and every step is paid from a budget, so that no schema makes a small document expensive. */
#include "server/base/json_order.h"
#include "server/base/json_schema.h"
#include "server/base/utf8.h"

#include <stdarg.h>
#include <stdlib.h>

#define FRAMES_MAX 1000          /* 32 levels of a document, with some 30 schemas applied in place at each */
#define BUDGET 20000000          /* steps; the largest allowed document with a rich schema needs a tenth */
#define PATTERN_COST 200         /* steps that one match of a pattern is charged with */
#define PATTERN_STEPS 1000       /* PCRE2's own count of steps that those pay for, and some for each byte of the text */
#define PATTERN_LIMIT 50000      /* steps of a match that needs more, which is charged with all of them; no honest pattern comes near */

/* One schema being applied to one value. */
struct frame {
	struct frame *below;        /* the application that asked for this one */
	struct frame *above;        /* kept for reuse after it is done */
	const struct json_schema *schema;
	const struct json *value;
	const struct rule *rule;    /* at hand */
	const struct json *child;   /* rules that go over children: the next one */
	size_t at;                  /* applications of this rule so far; for members, of this child */
	size_t matched;             /* tentative applications that held */
	bool known;                 /* members: a property or pattern has claimed this child */
	bool quiet;                 /* faults are not told, since another alternative may hold */
	bool tentative;             /* its result only counts; it does not fail the frame below */
	bool naming;                /* the value is the name of a member */
	bool failed;
};

struct check {
	struct arena *arena;
	struct error *error;
	struct frame *base;          /* first frame of the stack */
	struct frame *top;           /* innermost, NULL when all is done */
	size_t depth;                /* frames in use */
	size_t faults;               /* told */
	int64_t budget;              /* steps left */
	bool stopped;                /* too deep, too expensive or out of memory */
	pcre2_match_data *match;     /* made when the first pattern is met */
	pcre2_match_context *limits;
};

/* An application that a rule asks for. */
struct application { const struct json_schema *schema; const struct json *value; bool quiet, tentative, naming; };

static void fault_at(struct check *c, struct frame *f, const struct json *at, const char *fmt, ...) CH_PRINTF(4, 5);

static void fault_at(struct check *c, struct frame *f, const struct json *at, const char *fmt, ...)
{
	f->failed = true;
	if (f->quiet || c->faults++ >= LIMIT_FAULTS)
		return;
	char message[512];
	va_list args;
	va_start(args, fmt);
	vsnprintf(message, sizeof(message), fmt, args);
	va_end(args);
	error_fault(c->error, c->arena, json_pointer(c->arena, at), "%s%s", f->naming ? "The name " : "", message);
}
#define fault(c, f, ...) fault_at((c), (f), (f)->value, __VA_ARGS__)

static bool pay(struct check *c, size_t steps)
{
	c->budget -= (int64_t)(steps > BUDGET ? BUDGET : steps);
	if (c->budget < 0)
		c->stopped = true;
	return !c->stopped;
}

static bool accepts_type(unsigned types, const struct json *v)
{
	return (types & TYPE_BIT(v->type)) || ((types & TYPE_INTEGER) && v->type == JSON_NUMBER && number_is_integer_text(v->text));
}

/* A fault that nobody is told of needs no words, which cost more than finding it. */
static bool fails_quietly(struct frame *f)
{
	f->failed |= f->quiet;
	return f->quiet;
}

static void fault_type(struct check *c, struct frame *f)
{
	static const struct { unsigned bit; const char *name; } names[] = {
		{ TYPE_BIT(JSON_STRING), "text" }, { TYPE_BIT(JSON_NUMBER), "a number" }, { TYPE_INTEGER, "a whole number" }, { TYPE_BIT(JSON_TRUE), "true or false" },
		{ TYPE_BIT(JSON_ARRAY), "a list" }, { TYPE_BIT(JSON_OBJECT), "an object" }, { TYPE_BIT(JSON_NULL), "null" },
	};
	char text[160] = "";
	size_t n = 0;
	if (fails_quietly(f))
		return;
	for (size_t i = 0; i < CH_LEN(names); i++)
		if (f->rule->types & names[i].bit)
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s", n ? " or " : "", names[i].name);
	fault(c, f, "must be %s", text);
}

/* "a", "b", "c", as many as fit. */
static void fault_enum(struct check *c, struct frame *f)
{
	struct buf text;
	if (fails_quietly(f))
		return;
	buf_init(&text, 4000);
	json_each(value, f->rule->value) {
		size_t before = text.n;
		buf_add_z(&text, before ? ", " : "");
		json_canonical(&text, value, true);
		if (text.failed || text.n > 400) {
			text.failed = false;
			text.n = before;
			buf_add_z(&text, before ? ", …" : "the allowed values");
			break;
		}
	}
	char list[500];
	snprintf(list, sizeof(list), "%.*s", STR_ARG(buf_str(&text)));
	buf_release(&text);
	/* Nothing of the heap is held here: telling a fault may jump. */
	fault(c, f, f->rule->value->count > 1 ? "must be one of %s" : "must be %s", list);
}

static void fault_const(struct check *c, struct frame *f)
{
	struct buf text;
	char value[401];
	if (fails_quietly(f))
		return;
	buf_init(&text, sizeof(value) - 1);
	json_canonical(&text, f->rule->value, true);
	snprintf(value, sizeof(value), "%.*s", text.failed ? 0 : (int)text.n, buf_str(&text).p);
	buf_release(&text);
	if (value[0])
		fault(c, f, "must be %s", value);
	else
		fault(c, f, "is not the value that is expected here");
}

static bool is_listed(struct check *c, const struct json *v, const struct json *list)
{
	/* Values that are alike for long cost as much as they have members. */
	pay(c, (size_t)list->count * (1 + v->count));
	json_each(value, list)
		if (!c->stopped && json_equal(v, value))
			return true;
	return false;
}

static int64_t characters(struct str s)
{
	int64_t n = 0;
	for (size_t i = 0; i < s.n; i++)
		n += !utf8_is_tail(s.p[i]);
	return n;
}

static void free_match_data(void *p) { pcre2_match_data_free(p); }
static void free_match_context(void *p) { pcre2_match_context_free(p); }

static bool match_prepare(struct check *c)
{
	if (c->match)
		return true;
	c->limits = pcre2_match_context_create(NULL);
	bool kept = c->limits && arena_defer(c->arena, free_match_context, c->limits);
	c->match = kept ? pcre2_match_data_create(1, NULL) : NULL;
	if (!c->match || !arena_defer(c->arena, free_match_data, c->match)) {
		c->match = NULL;
		c->stopped = true;
		return false;
	}
	return true;
}

static int match_within(struct check *c, const pcre2_code *pattern, struct str text, size_t steps)
{
	pcre2_set_match_limit(c->limits, (uint32_t)steps);
	pcre2_set_depth_limit(c->limits, (uint32_t)steps);
	return pcre2_match(pattern, (PCRE2_SPTR)(text.n ? text.p : ""), text.n, 0, PCRE2_NO_UTF_CHECK, c->match, c->limits);
}

/* A match that takes too long is no match: the value is refused. PCRE2 does not tell how many steps it took, so one that is not done within a few is paid for in full and
 * tried again. */
static bool matches(struct check *c, const pcre2_code *pattern, struct str text)
{
	size_t few = PATTERN_STEPS + 4 * (text.n < PATTERN_LIMIT ? text.n : PATTERN_LIMIT);
	if (!pay(c, PATTERN_COST + text.n / 8) || !match_prepare(c))
		return false;
	int found = match_within(c, pattern, text, few);
	if (found < PCRE2_ERROR_PARTIAL && few < PATTERN_LIMIT) {
		if (!pay(c, PATTERN_LIMIT))
			return false;
		found = match_within(c, pattern, text, PATTERN_LIMIT);
	}
	if (found < PCRE2_ERROR_PARTIAL)
		pay(c, PATTERN_LIMIT);
	return found >= 0;
}

static bool is_multiple(struct str number, int64_t of)
{
	struct decimal d = decimal_of(number);
	uint64_t rest = 0;
	/* Beyond a thousand digits nothing honest is checked. */
	if (!decimal_is_whole(&d) || d.exponent > 1000)
		return false;
	for (size_t i = 0; i < d.digits.n; i++)
		if (d.digits.p[i] != '.')
			rest = (rest * 10 + (uint64_t)(d.digits.p[i] - '0')) % (uint64_t)of;
	for (int64_t zeros = d.exponent - (int64_t)d.count; zeros > 0; zeros--)
		rest = rest * 10 % (uint64_t)of;
	return rest == 0;
}

/* An element and the text that equal elements share. */
struct comparable { size_t from, to; const char *base; const struct json *v; };

static int comparable_cmp(const void *a, const void *b)
{
	const struct comparable *l = a, *r = b;
	int order = str_cmp(str_make(l->base + l->from, l->to - l->from), str_make(r->base + r->from, r->to - r->from));
	return order ? order : (l < r ? -1 : l > r);
}

static bool same_comparable(const struct comparable *l, const struct comparable *r)
{
	return l->to - l->from == r->to - r->from && memcmp(l->base + l->from, r->base + r->from, l->to - l->from) == 0;
}

static void check_unique(struct check *c, struct frame *f)
{
	size_t n = f->value->count, i = 0;
	struct buf text;
	struct comparable *items = calloc(n ? n : 1, sizeof(*items));
	const struct json *twice[LIMIT_FAULTS];
	size_t twice_count = 0;
	buf_init(&text, LIMIT_JOB_ARENA);
	json_each(item, f->value) {
		size_t from = text.n;
		json_put_comparable(&text, item);
		if (items)
			items[i++] = (struct comparable){ from, text.n, NULL, item };
	}
	if (!items || text.failed) {
		c->stopped = true;
	} else {
		for (i = 0; i < n; i++)
			items[i].base = text.p;
		qsort(items, n, sizeof(*items), comparable_cmp);
		for (i = 1; i < n; i++)
			if (twice_count < LIMIT_FAULTS && same_comparable(&items[i - 1], &items[i]))
				twice[twice_count++] = items[i].v;
		pay(c, n + text.n / 8);
	}
	buf_release(&text);
	free(items);
	for (i = 0; i < twice_count; i++)
		fault_at(c, f, twice[i], "appears more than once");
}

static void check_required(struct check *c, struct frame *f)
{
	pay(c, (size_t)f->rule->value->count * (1 + f->value->count / 8));
	json_each(name, f->rule->value) {
		if (c->stopped || json_get_str(f->value, name->text))
			continue;
		struct json absent = { .type = JSON_NULL, .key = name->text, .parent = f->value };
		fault_at(c, f, &absent, "is missing");
	}
}

static const char *plural(int64_t n, const char *one, const char *many)
{
	return n == 1 ? one : many;
}

static void check_string(struct check *c, struct frame *f)
{
	const struct rule *r = f->rule;
	struct str text = f->value->text;
	switch (r->kind) {
	case RULE_MIN_LENGTH:
		/* a character has at most four bytes, so a long text needs no counting */
		if (text.n / 4 < (size_t)r->count && characters(text) < r->count) {
			if (r->count == 1)
				fault(c, f, "must not be empty");
			else
				fault(c, f, "must have at least %lld characters", (long long)r->count);
		}
		break;
	case RULE_MAX_LENGTH:
		if (text.n > (size_t)r->count && characters(text) > r->count)
			fault(c, f, "must have at most %lld %s", (long long)r->count, plural(r->count, "character", "characters"));
		break;
	case RULE_FORMAT:
		if (!r->format->holds(text))
			fault(c, f, "%s", r->format->message);
		break;
	default:
		if (!matches(c, r->pattern, text))
			fault(c, f, "is not written as expected (%.*s)", STR_ARG(str_sub(r->text, 0, 200)));
		break;
	}
}

static void check_number(struct check *c, struct frame *f)
{
	const struct rule *r = f->rule;
	struct decimal d = decimal_of(f->value->text);
	struct str bound = json_is(r->value, JSON_NUMBER) ? r->value->text : STR("");
	if (r->kind == RULE_MULTIPLE_OF) {
		if (!is_multiple(f->value->text, r->count))
			fault(c, f, "must be a multiple of %lld", (long long)r->count);
		return;
	}
	int order = decimal_cmp(&d, &r->bound);
	if (r->kind == RULE_MINIMUM && order < 0)
		fault(c, f, "must be at least %.*s", STR_ARG(bound));
	else if (r->kind == RULE_MAXIMUM && order > 0)
		fault(c, f, "must be at most %.*s", STR_ARG(bound));
	else if (r->kind == RULE_ABOVE && order <= 0)
		fault(c, f, "must be more than %.*s", STR_ARG(bound));
	else if (r->kind == RULE_BELOW && order >= 0)
		fault(c, f, "must be less than %.*s", STR_ARG(bound));
}

static void check_count(struct check *c, struct frame *f, bool at_least, const char *one, const char *many)
{
	int64_t n = f->value->count, bound = f->rule->count;
	if (at_least ? n < bound : n > bound)
		fault(c, f, "must have at %s %lld %s", at_least ? "least" : "most", (long long)bound, plural(bound, one, many));
}

/* A rule about the value itself. */
static void check_value(struct check *c, struct frame *f)
{
	const struct rule *r = f->rule;
	enum json_type type = f->value->type;
	if (r->kind == RULE_NEVER)
		fault(c, f, "is not allowed here");
	else if (r->kind == RULE_TYPE && !accepts_type(r->types, f->value))
		fault_type(c, f);
	else if (r->kind == RULE_ENUM && !is_listed(c, f->value, r->value))
		fault_enum(c, f);
	else if (r->kind == RULE_CONST && pay(c, f->value->count) && !json_equal(f->value, r->value))
		fault_const(c, f);
	else if (r->kind >= RULE_MIN_LENGTH && r->kind <= RULE_FORMAT && type == JSON_STRING)
		check_string(c, f);
	else if (r->kind >= RULE_MINIMUM && r->kind <= RULE_MULTIPLE_OF && type == JSON_NUMBER)
		check_number(c, f);
	else if ((r->kind == RULE_MIN_ITEMS || r->kind == RULE_MAX_ITEMS) && type == JSON_ARRAY)
		check_count(c, f, r->kind == RULE_MIN_ITEMS, "entry", "entries");
	else if (r->kind == RULE_UNIQUE && type == JSON_ARRAY)
		check_unique(c, f);
	else if ((r->kind == RULE_MIN_PROPERTIES || r->kind == RULE_MAX_PROPERTIES) && type == JSON_OBJECT)
		check_count(c, f, r->kind == RULE_MIN_PROPERTIES, "field", "fields");
	else if (r->kind == RULE_REQUIRED && type == JSON_OBJECT)
		check_required(c, f);
}

static bool push(struct check *c, const struct application *a)
{
	struct frame *f = c->top ? c->top->above : c->base;
	if (!pay(c, 1) || c->depth == FRAMES_MAX) {
		c->stopped = true;
		return false;
	}
	if (!f) {
		f = ARENA_NEW(c->arena, struct frame);
		if (!f) {
			c->stopped = true;
			return false;
		}
		if (c->top)
			c->top->above = f;
		else
			c->base = f;
	}
	bool quiet = a->quiet || (c->top && c->top->quiet);
	*f = (struct frame){ .below = c->top, .above = f->above, .schema = a->schema, .value = a->value, .rule = a->schema->rules, .quiet = quiet,
		.tentative = a->tentative, .naming = a->naming || (c->top && c->top->naming && a->value == c->top->value) };
	c->top = f;
	c->depth++;
	return true;
}

static void pop(struct check *c)
{
	struct frame *f = c->top;
	c->top = f->below;
	c->depth--;
	if (!c->top)
		return;
	if (f->tentative)
		c->top->matched += !f->failed;
	else
		c->top->failed |= f->failed;
}

static void rule_begin(struct frame *f, const struct rule *r)
{
	f->rule = r;
	f->child = NULL;
	f->at = f->matched = 0;
	f->known = false;
}

static const struct property *find_property(const struct rule *r, struct str name)
{
	size_t low = 0, high = r->property_count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = str_cmp(r->properties[middle].name, name);
		if (order == 0)
			return &r->properties[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* The next schema that the member at hand must hold: its property's, each matching pattern's, or, when there was none, that of the rest. */
static const struct json_schema *next_of_member(struct check *c, struct frame *f)
{
	const struct rule *r = f->rule;
	while (f->at <= r->pattern_count + 1) {
		size_t at = f->at++;
		const struct property *p = NULL;
		if (at == 0)
			p = find_property(r, f->child->key);
		else if (at <= r->pattern_count && matches(c, r->patterns[at - 1].pattern, f->child->key))
			p = &r->patterns[at - 1];
		else if (at > r->pattern_count && !f->known && r->rest)
			return r->rest;
		if (p) {
			f->known = true;
			return p->schema;
		}
	}
	return NULL;
}

static bool next_member(struct check *c, struct frame *f, struct application *a)
{
	if (!f->child && f->at == 0)
		f->child = f->value->child;
	for (; f->child && !c->stopped; f->child = f->child->next, f->at = 0, f->known = false) {
		pay(c, 1);
		const struct json_schema *s;
		while ((s = next_of_member(c, f)) != NULL) {
			if (s->at->type == JSON_FALSE && !f->known) {
				fault_at(c, f, f->child, "is not a known field");
				continue;
			}
			*a = (struct application){ .schema = s, .value = f->child };
			return true;
		}
	}
	return false;
}

/* The next child of the value, whatever it is. */
static bool next_child(struct frame *f)
{
	f->child = f->at++ ? f->child->next : f->value->child;
	return f->child != NULL;
}

static bool next_name(struct check *c, struct frame *f, struct application *a)
{
	if (!next_child(f))
		return false;
	struct json *name = ARENA_NEW(c->arena, struct json);
	if (!name) {
		c->stopped = true;
		return false;
	}
	*name = (struct json){ .type = JSON_STRING, .key = f->child->key, .text = f->child->key, .parent = f->value };
	*a = (struct application){ .schema = f->rule->schemas[0], .value = name, .naming = true };
	return true;
}

static bool next_item(struct frame *f, struct application *a)
{
	if (!next_child(f))
		return false;
	size_t index = f->at - 1, last = f->rule->schema_count - 1;
	a->schema = f->rule->schemas[index < last ? index : last];
	a->value = f->child;
	return a->schema != NULL;
}

/* When no alternative holds: the only one whose type fits the value, so that its faults can be told in place of "none of them". */
static const struct json_schema *only_candidate(const struct frame *f)
{
	const struct json_schema *found = NULL;
	for (size_t i = 0; i < f->rule->schema_count; i++) {
		const struct json_schema *s = f->rule->schemas[i];
		for (int hops = 0; hops < 8 && s->rules && s->rules->kind == RULE_ALL_OF && s->rules->schema_count == 1; hops++)
			s = s->rules->schemas[0];
		if (!accepts_type(s->types, f->value))
			continue;
		if (found)
			return NULL;
		found = s;
	}
	return found;
}

static bool next_alternative(struct check *c, struct frame *f, struct application *a, size_t enough)
{
	const struct rule *r = f->rule;
	*a = (struct application){ .value = f->value, .quiet = true, .tentative = true };
	if (f->at < r->schema_count && f->matched < enough) {
		a->schema = r->schemas[f->at++];
		return true;
	}
	if (f->matched > 1)
		fault(c, f, "fits more than one of the allowed forms");
	else if (f->matched == 0 && f->at == r->schema_count) {
		const struct json_schema *candidate = f->quiet ? NULL : only_candidate(f);
		if (candidate) {
			f->at++;
			*a = (struct application){ .schema = candidate, .value = f->value };
			return true;
		}
		fault(c, f, "fits none of the allowed forms");
	}
	return false;
}

static bool next_condition(struct frame *f, struct application *a)
{
	size_t at = f->at++;
	a->value = f->value;
	if (at == 0) {
		a->quiet = a->tentative = true;
		a->schema = f->rule->schemas[0];
	} else {
		a->schema = at == 1 ? f->rule->schemas[f->matched ? 1 : 2] : NULL;
	}
	return a->schema != NULL;
}

static bool next_contained(struct check *c, struct frame *f, struct application *a)
{
	if (f->matched == 0 && next_child(f)) {
		*a = (struct application){ .schema = f->rule->schemas[0], .value = f->child, .quiet = true, .tentative = true };
		return true;
	}
	if (f->matched == 0)
		fault(c, f, "has none of the entries that it must have");
	return false;
}

static bool next_negation(struct check *c, struct frame *f, struct application *a)
{
	if (f->at++ == 0) {
		*a = (struct application){ .schema = f->rule->schemas[0], .value = f->value, .quiet = true, .tentative = true };
		return true;
	}
	if (f->matched)
		fault(c, f, "is not allowed here");
	return false;
}

/* The next application that the rule at hand asks for; false when it is done. */
static bool next_application(struct check *c, struct frame *f, struct application *a)
{
	enum json_type type = f->value->type;
	switch (f->rule->kind) {
	case RULE_ALL_OF:
		if (f->at == f->rule->schema_count)
			return false;
		*a = (struct application){ .schema = f->rule->schemas[f->at++], .value = f->value };
		return true;
	case RULE_ANY_OF:
		return next_alternative(c, f, a, 1);
	case RULE_ONE_OF:
		return next_alternative(c, f, a, 2);
	case RULE_NOT:
		return next_negation(c, f, a);
	case RULE_IF:
		return next_condition(f, a);
	case RULE_ITEMS:
		return type == JSON_ARRAY && next_item(f, a);
	case RULE_CONTAINS:
		return type == JSON_ARRAY && next_contained(c, f, a);
	case RULE_NAMES:
		return type == JSON_OBJECT && next_name(c, f, a);
	default:
		return type == JSON_OBJECT && next_member(c, f, a);
	}
}

/* One rule, or one application of it. */
static void step(struct check *c, struct frame *f)
{
	const struct rule *r = f->rule;
	struct application a = { 0 };
	/* Behind a wrong type everything else is noise; quietly, one failure is enough. */
	bool wrong_type = f->failed && f->schema->rules != r && f->schema->rules->kind == RULE_TYPE && !accepts_type(f->schema->rules->types, f->value);
	if (!r || wrong_type || (f->failed && f->quiet)) {
		pop(c);
	} else if (r->kind < RULE_ALL_OF) {
		check_value(c, f);
		rule_begin(f, r->next);
	} else if (next_application(c, f, &a)) {
		push(c, &a);
	} else {
		rule_begin(f, r->next);
	}
}

enum err json_schema_check(struct arena *a, const struct json_schema *s, const struct json *v, struct error *e)
{
	struct check c = { .arena = a, .error = e, .budget = BUDGET };
	struct application whole = { .schema = s, .value = v };
	bool pushed = push(&c, &whole);
	struct frame *first = c.base;
	while (c.top && !c.stopped && c.faults <= LIMIT_FAULTS)
		step(&c, c.top);
	if (!pushed || c.stopped)
		return error_set(e, ERR_TOO_LARGE, "The document is too large to be checked.");
	return first->failed || c.faults ? ERR_INVALID : ERR_OK;
}
