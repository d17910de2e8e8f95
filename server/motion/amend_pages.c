#include "motion_pages.h"

#include "commonhold/assets.h"
#include "commonhold/words.h"

/* The form to propose an amendment: every term of the charter by its group, as it stands, to be changed; what is left alone stays. It follows the charter's schema, so that a
 * field that is added there is in the form. Depth is that of the schema, which is ours. */

#define LONG_TEXT 1000        /* a text that may be longer gets an area */

enum control_shape { SHAPE_TEXT, SHAPE_LONG, SHAPE_NUMBER, SHAPE_ONE, SHAPE_MANY, SHAPE_TAGS, SHAPE_RULE, SHAPE_PREFERENCE, SHAPE_DURATION, SHAPE_CADENCE, SHAPE_BOOLEAN, SHAPE_JSON };

struct leaf {
	struct str name;             /* its pointer: the field's name in the form */
	const struct json *schema;
	const struct json *now;      /* in the charter in force; NULL: not there */
	enum control_shape shape;
	struct charter_field words;
};

struct form {
	struct request *rq;
	const struct json *schema;   /* the charter's */
	struct charter charter;      /* in force */
	struct leaf leaves[128];
	size_t n;
	bool posted;
	const struct fault *faults;  /* of what was sent */
};

/* ---- Leaves ---- */

static bool refers(const struct json *schema, const char *to)
{
	return str_is(json_member_text(schema, "$ref"), to);
}

static enum control_shape shape_of(const struct json *schema)
{
	const struct json *items = json_get(schema, "items");
	struct str type = json_member_text(schema, "type");
	if (refers(schema, "#/$defs/rule"))
		return SHAPE_RULE;
	if (refers(schema, "#/$defs/preference"))
		return SHAPE_PREFERENCE;
	if (refers(schema, "#/$defs/duration"))
		return SHAPE_DURATION;
	if (json_get(schema, "enum"))
		return SHAPE_ONE;
	if (items && (json_get(items, "enum") || refers(items, "#/$defs/use") || refers(items, "#/$defs/purpose") || refers(items, "#/$defs/licence")))
		return SHAPE_MANY;
	if (items && str_is(json_member_text(items, "type"), "string"))
		return SHAPE_TAGS;
	if (str_is(type, "integer"))
		return SHAPE_NUMBER;
	if (str_is(type, "boolean"))
		return SHAPE_BOOLEAN;
	if (str_is(type, "object") || items)
		return SHAPE_JSON;
	return json_int(json_get(schema, "maxLength"), 0) > LONG_TEXT ? SHAPE_LONG : SHAPE_TEXT;
}

static bool words_of(struct str pointer, struct charter_field *out)
{
	for (size_t i = 0; charter_field(i, out); i++)
		if (str_is(pointer, out->pointer))
			return true;
	return false;
}

/* Depth is that of inline objects in our own schema: three. */
static void add_leaves(struct form *f, const struct json *properties, struct str prefix, const struct json *now)
{
	json_each(schema, properties) {
		struct str pointer = str_fmt(f->rq->call->arena, "%.*s/%.*s", STR_ARG(prefix), STR_ARG(schema->key));
		const struct json *inner = json_get(schema, "properties"), *value = json_get_str(now, schema->key);
		if (inner && !json_get(schema, "$ref")) {
			add_leaves(f, inner, pointer, value);
			continue;
		}
		struct leaf leaf = { .name = pointer, .schema = schema, .now = value, .shape = str_is(pointer, "/cadence/rrule") ? SHAPE_CADENCE : shape_of(schema) };
		if (f->n < CH_LEN(f->leaves) && words_of(pointer, &leaf.words))
			f->leaves[f->n++] = leaf;
	}
}

static enum err form_open(struct request *rq, struct form *f)
{
	*f = (struct form){ .rq = rq, .posted = str_is(rq->method, "POST") };
	TRY(json_parse(rq->call->arena, asset_find(STR("schemas/charter.json")), &f->schema, &rq->call->error));
	TRY(charter_view(rq->call, rq->coop.id, 0, &f->charter));
	add_leaves(f, json_get(f->schema, "properties"), STR(""), f->charter.json);
	return ERR_OK;
}

static const struct leaf *leaf_at(const struct form *f, struct str pointer)
{
	for (size_t i = 0; i < f->n; i++)
		if (str_eq(f->leaves[i].name, pointer))
			return &f->leaves[i];
	return NULL;
}

/* ---- Durations: a number and a unit, where they are of one unit ---- */

static const struct unit { const char *letter, *words; bool time; } units[] = {
	{ "H", "hours", true }, { "D", "days", false }, { "M", "months", false }, { "Y", "years", false },
};

/* "P7D" is 7 of the unit 1; false for what has several units or none. */
static bool of_one_unit(struct str text, int64_t *n, size_t *unit)
{
	struct duration d;
	if (!duration_parse(text, &d))
		return false;
	const int64_t parts[] = { d.seconds % 3600 ? -1 : d.seconds / 3600, d.days, d.months, d.years };
	int set = 0;
	*n = 0;
	*unit = 1;
	for (size_t i = 0; i < CH_LEN(parts); i++)
		if (parts[i]) {
			*n = parts[i];
			*unit = i;
			set++;
		}
	return set <= 1 && *n >= 0;
}

/* What was written into both fields as one text; whatever is no number is left for the schema to refuse. */
static struct str duration_text(struct arena *a, struct str number, struct str letter)
{
	int64_t n;
	number = str_trim(number);
	for (size_t i = 0; i < CH_LEN(units); i++)
		if (str_is(letter, units[i].letter) && str_to_i64(number, 0, 1000000, &n))
			return str_fmt(a, "P%s%lld%s", units[i].time ? "T" : "", (long long)n, units[i].letter);
	return number;
}

/* ---- Values ---- */

static struct str json_text_of(struct arena *a, const struct json *v)
{
	struct buf b;
	if (!v)
		return STR("");
	buf_init(&b, LIMIT_CHARTER_FILLED);
	json_canonical(&b, v, false);
	return buf_take(a, &b);
}

static struct str posted(const struct form *f, const struct leaf *l)
{
	return f->posted ? request_form(f->rq, str_z(f->rq->call->arena, l->name)) : STR_NONE;
}

/* Browsers end lines with CR LF; the charter's do not. */
static struct str own_lines(struct arena *a, struct str text)
{
	char *out = arena_alloc(a, text.n + 1);
	size_t n = 0;
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] != '\r' || i + 1 == text.n || text.p[i + 1] != '\n')
			out[n++] = text.p[i];
	return str_make(out, n);
}

static struct str tags_of(struct arena *a, const struct json *list)
{
	struct str text = STR("");
	json_each(v, list)
		text = str_fmt(a, "%.*s%s%.*s", STR_ARG(text), text.n ? ", " : "", STR_ARG(json_text(v)));
	return text;
}

/* What the field shows when nothing was sent. */
static struct str value_now(struct arena *a, const struct leaf *l)
{
	switch (l->shape) {
	case SHAPE_NUMBER:
		return l->now ? str_fmt(a, "%lld", (long long)json_int(l->now, 0)) : str_fmt(a, "%lld", (long long)json_int(json_get(l->schema, "default"), 0));
	case SHAPE_TAGS:
		return tags_of(a, l->now);
	case SHAPE_JSON:
		return json_text_of(a, l->now);
	case SHAPE_BOOLEAN:
		return json_bool(l->now ? l->now : json_get(l->schema, "default"), false) ? STR("true") : STR("false");
	case SHAPE_RULE:
	case SHAPE_CADENCE:
		return STR("");
	case SHAPE_PREFERENCE:
		return l->now ? json_member_text(l->now, "effect") : STR("");
	default:
		return l->now ? json_text(l->now) : json_member_text(l->schema, "default");
	}
}

/* ---- From the form to the charter ---- */

static void write_now(struct json_writer *w, const struct leaf *l)
{
	if (!l->now)
		return;
	jw_key_str(w, l->now->key);
	jw_json(w, l->now);
}

static void write_json(struct form *f, struct json_writer *w, struct str key, const struct leaf *l, struct str text)
{
	struct call *c = f->rq->call;
	const struct json *v;
	struct error e = { 0 };
	if (json_parse(c->arena, text, &v, &e) != ERR_OK) {
		error_fault(&c->error, c->arena, str_fmt(c->arena, "/document%.*s", STR_ARG(l->name)), "This cannot be read as JSON: %s", e.message);
		return;
	}
	jw_key_str(w, key);
	jw_json(w, v);
}

static void write_preference(struct json_writer *w, struct str key, const struct leaf *l, struct str said)
{
	if (!said.n)
		return;
	if (str_eq(said, json_member_text(l->now, "effect"))) {
		write_now(w, l);
		return;
	}
	jw_key_str(w, key);
	jw_object(w);
	jw_kstr(w, "effect", said);
	if (str_is(said, "allow_if")) {
		jw_key(w, "duties");
		jw_array(w);
		jw_z(w, "credit");
		jw_end_array(w);
	}
	jw_end_object(w);
}

static void write_many(struct form *f, struct json_writer *w, struct str key, const struct leaf *l)
{
	struct arena *a = f->rq->call->arena;
	struct str *values;
	struct str marker = request_form(f->rq, str_fmt(a, "%.*s.shown", STR_ARG(l->name)).p);
	size_t n = request_form_all(f->rq, str_z(a, l->name), &values);
	if (!marker.p) {
		write_now(w, l);
		return;
	}
	jw_key_str(w, key);
	jw_array(w);
	for (size_t i = 0; i < n; i++)
		jw_str(w, values[i]);
	jw_end_array(w);
}

static void write_tags(struct json_writer *w, struct str key, struct str text)
{
	struct str rest = text, one;
	jw_key_str(w, key);
	jw_array(w);
	while (rest.p && str_split(&rest, ',', &one))
		if (str_trim(one).n)
			jw_str(w, str_trim(one));
	jw_end_array(w);
}

static void write_leaf(struct form *f, struct json_writer *w, struct str key, const struct leaf *l)
{
	struct arena *a = f->rq->call->arena;
	struct str said = posted(f, l), own = STR_NONE;
	int64_t n;
	if (l->shape == SHAPE_MANY) {
		write_many(f, w, key, l);
		return;
	}
	if (!said.p) {
		write_now(w, l);
		return;
	}
	said = own_lines(a, said);
	switch (l->shape) {
	case SHAPE_NUMBER:
		jw_key_str(w, key);
		if (str_to_i64(str_trim(said), INT32_MIN, INT32_MAX, &n))
			jw_int(w, n);
		else
			jw_str(w, said);
		return;
	case SHAPE_BOOLEAN:
		jw_key_str(w, key);
		jw_bool(w, str_is(said, "true"));
		return;
	case SHAPE_TAGS:
		write_tags(w, key, said);
		return;
	case SHAPE_DURATION: {
		struct str unit = request_form(f->rq, str_fmt(a, "%.*s.unit", STR_ARG(l->name)).p);
		struct str text = unit.p ? duration_text(a, said, unit) : said;
		struct duration was, is;
		bool same = l->now && duration_parse(json_text(l->now), &was) && duration_parse(text, &is) && was.years == is.years && was.months == is.months && was.days == is.days &&
			was.seconds == is.seconds;
		jw_key_str(w, key);
		jw_str(w, same ? json_text(l->now) : text); /* P1W and P7D are the same to people */
		return;
	}
	case SHAPE_CADENCE:
		own = request_form(f->rq, str_fmt(a, "%.*s.own", STR_ARG(l->name)).p);
		jw_key_str(w, key);
		jw_str(w, own.p && str_trim(own).n ? str_trim(own) : said.n || !l->now ? said : json_text(l->now));
		return;
	case SHAPE_RULE:
		own = request_form(f->rq, str_fmt(a, "%.*s.own", STR_ARG(l->name)).p);
		if (own.p && str_trim(own).n)
			write_json(f, w, key, l, own);
		else if (said.n)
			write_json(f, w, key, l, said);
		else
			write_now(w, l);
		return;
	case SHAPE_JSON:
		if (str_trim(said).n)
			write_json(f, w, key, l, said);
		return;
	case SHAPE_PREFERENCE:
		write_preference(w, key, l, said);
		return;
	default:
		jw_key_str(w, key);
		/* What was left alone is the same but for the ends of lines that a browser cannot keep. */
		jw_str(w, l->now && str_eq(own_lines(a, json_text(l->now)), said) ? json_text(l->now) : said);
	}
}

static void write_properties(struct form *f, struct json_writer *w, const struct json *properties, struct str prefix)
{
	json_each(schema, properties) {
		struct str pointer = str_fmt(f->rq->call->arena, "%.*s/%.*s", STR_ARG(prefix), STR_ARG(schema->key));
		const struct json *inner = json_get(schema, "properties");
		const struct leaf *l = leaf_at(f, pointer);
		if (l) {
			write_leaf(f, w, schema->key, l);
		} else if (inner) {
			jw_key_str(w, schema->key);
			jw_object(w);
			write_properties(f, w, inner, pointer);
			jw_end_object(w);
		}
	}
}

static enum err draft_of(struct form *f, const struct json **out)
{
	struct call *c = f->rq->call;
	struct buf b;
	struct json_writer w;
	buf_init(&b, LIMIT_CHARTER_FILLED);
	jw_init(&w, &b);
	jw_object(&w);
	write_properties(f, &w, json_get(f->schema, "properties"), STR(""));
	jw_end_object(&w);
	struct str text = buf_take(c->arena, &b);
	if (c->error.code != ERR_OK)
		return c->error.code;
	return text.p ? json_parse(c->arena, text, out, &c->error) : fail(c, ERR_TOO_LARGE, "The charter is too large.");
}

/* ---- The page ---- */

static struct str fault_of(const struct form *f, const struct leaf *l)
{
	struct str below = str_fmt(f->rq->call->arena, "/document%.*s", STR_ARG(l->name));
	for (const struct fault *x = f->faults; x; x = x->next)
		if (str_eq(x->pointer, below) || (x->pointer.n > below.n && memcmp(x->pointer.p, below.p, below.n) == 0 && x->pointer.p[below.n] == '/'))
			return x->message;
	return STR_NONE;
}

static void option(struct json_writer *w, struct str value, struct str words, bool chosen)
{
	jw_object(w);
	jw_kstr(w, "value", value);
	jw_kstr(w, "words", words);
	jw_kbool(w, "chosen", chosen);
	jw_end_object(w);
}

static void one_options(struct json_writer *w, const struct leaf *l, struct str chosen)
{
	json_each(v, json_get(l->schema, "enum"))
		option(w, json_text(v), charter_word(l->words.pointer, json_text(v)), str_eq(json_text(v), chosen));
}

static void preference_options(struct json_writer *w, struct str chosen)
{
	option(w, STR(""), STR("left open"), chosen.n == 0);
	option(w, STR("allow"), STR("yes"), str_is(chosen, "allow"));
	option(w, STR("allow_if"), STR("yes, on conditions (credit, unless there are others already)"), str_is(chosen, "allow_if"));
	option(w, STR("deny"), STR("no"), str_is(chosen, "deny"));
}

/* Rules that most co-ops want; others are written out. */
static void rule_options(struct form *f, struct json_writer *w, const struct leaf *l, struct str chosen)
{
	static const char *const usual[] = {
		"{\"roll\":\"members\",\"rule\":\"majority\"}",
		"{\"d\":3,\"n\":2,\"roll\":\"members\",\"rule\":\"majority\",\"strict\":false}",
		"{\"of\":[{\"roll\":\"members\",\"rule\":\"majority\"},{\"roll\":\"admins\",\"rule\":\"majority\"}],\"rule\":\"all_of\"}",
		"{\"of\":[{\"roll\":\"members\",\"rule\":\"majority\"},{\"d\":4,\"n\":1,\"roll\":\"members\",\"rule\":\"turnout_quorum\"}],\"rule\":\"all_of\"}",
		"{\"d\":3,\"n\":1,\"roll\":\"members\",\"rule\":\"approval_quorum\"}",
		"{\"d\":2,\"n\":1,\"roll\":\"members\",\"rule\":\"approval_quorum\"}",
		"{\"n\":2,\"rule\":\"n_of_m_admins\"}",
	};
	struct arena *a = f->rq->call->arena;
	struct str words = ballot_rule_words(a, l->now);
	option(w, STR(""), str_fmt(a, "as now: %.*s", STR_ARG(words)), chosen.n == 0);
	for (size_t i = 0; i < CH_LEN(usual); i++) {
		const struct json *rule;
		struct error e = { 0 };
		if (json_parse(a, str_of(usual[i]), &rule, &e) == ERR_OK && !json_equal(rule, l->now))
			option(w, str_of(usual[i]), ballot_rule_words(a, rule), str_is(chosen, usual[i]));
	}
}

static void cadence_options(struct json_writer *w, struct arena *a, const struct leaf *l, struct str chosen)
{
	static const char *const usual[][2] = {
		{ "FREQ=WEEKLY;BYDAY=MO", "every week, on Monday" }, { "FREQ=MONTHLY;BYMONTHDAY=1", "every month, on the first" },
		{ "FREQ=MONTHLY;INTERVAL=3;BYMONTHDAY=1", "every three months, on the first" }, { "FREQ=YEARLY", "every year, on the day of the first" },
	};
	struct str now = json_text(l->now), words = now;
	for (size_t i = 0; i < CH_LEN(usual); i++)
		if (str_is(now, usual[i][0]))
			words = str_of(usual[i][1]);
	option(w, STR(""), str_fmt(a, "as now: %.*s", STR_ARG(words)), chosen.n == 0);
	for (size_t i = 0; i < CH_LEN(usual); i++)
		if (!str_is(now, usual[i][0]))
			option(w, str_of(usual[i][0]), str_of(usual[i][1]), str_is(chosen, usual[i][0]));
}

static void unit_options(struct form *f, struct json_writer *w, const struct leaf *l, size_t unit)
{
	struct str sent = f->posted ? request_form(f->rq, str_fmt(f->rq->call->arena, "%.*s.unit", STR_ARG(l->name)).p) : STR_NONE;
	for (size_t i = 0; i < CH_LEN(units); i++)
		option(w, str_of(units[i].letter), str_of(units[i].words), sent.p ? str_is(sent, units[i].letter) : i == unit);
}

static bool in_list(const struct json *list, struct str word)
{
	json_each(v, list)
		if (str_eq(json_text(v), word))
			return true;
	return false;
}

static bool is_chosen(struct form *f, const struct leaf *l, struct str word)
{
	struct arena *a = f->rq->call->arena;
	if (!f->posted || !request_form(f->rq, str_fmt(a, "%.*s.shown", STR_ARG(l->name)).p).p)
		return in_list(l->now, word);
	struct str *values;
	size_t n = request_form_all(f->rq, str_z(a, l->name), &values);
	for (size_t i = 0; i < n; i++)
		if (str_eq(values[i], word))
			return true;
	return false;
}

static void many_options(struct form *f, struct json_writer *w, const struct leaf *l)
{
	const struct json *items = json_get(l->schema, "items");
	bool uses = refers(items, "#/$defs/use"), purposes = refers(items, "#/$defs/purpose"), kinds = strcmp(l->words.pointer, "/kinds") == 0;
	if (refers(items, "#/$defs/licence")) {
		for (unsigned no = 1; no < POLICY_LICENCE_COUNT; no++) {
			struct str id = str_of(policy_licence_get(no)->spdx);
			if (policy_licence_get(no)->shares || in_list(l->now, id))
				option(w, id, id, is_chosen(f, l, id));
		}
		return;
	}
	const struct json *words = uses ? json_at(f->schema, "/$defs/use/enum") : purposes ? json_at(f->schema, "/$defs/purpose/enum") : json_get(items, "enum");
	json_each(v, words) {
		struct str word = json_text(v);
		struct str said = uses ? str_of(words_use((unsigned)policy_use_find(word.p, word.n))) : purposes ? str_of(words_purpose((unsigned)policy_purpose_find(word.p, word.n)))
			: kinds ? str_of(words_kind((unsigned)policy_kind_find(word.p, word.n))) : charter_word(l->words.pointer, word);
		option(w, word, said, is_chosen(f, l, word));
	}
}

/* An id for the page: "f-release-uses". */
static struct str id_of(struct arena *a, struct str pointer)
{
	struct str id = str_fmt(a, "f%.*s", STR_ARG(pointer));
	char *p = arena_alloc(a, id.n + 1);
	for (size_t i = 0; i < id.n; i++)
		p[i] = id.p[i] == '/' || id.p[i] == '.' || id.p[i] == '_' ? '-' : id.p[i];
	return str_make(p, id.n);
}

static void leaf_data(struct form *f, struct json_writer *w, const struct leaf *l)
{
	struct arena *a = f->rq->call->arena;
	struct str said = posted(f, l), value = said.p ? said : value_now(a, l);
	int64_t number = 0;
	size_t unit = 1;
	bool simple = l->shape == SHAPE_DURATION && of_one_unit(value_now(a, l), &number, &unit);
	if (simple && !said.p)
		value = str_fmt(a, "%lld", (long long)number);
	jw_object(w);
	jw_kstr(w, "id", id_of(a, l->name));
	jw_kstr(w, "name", l->name);
	jw_kz(w, "label", l->words.label);
	jw_kstr(w, "hint", json_member_text(l->schema, "description"));
	jw_kstr(w, "error", fault_of(f, l));
	jw_kstr(w, "value", value);
	jw_kbool(w, "is_text", l->shape == SHAPE_TEXT || l->shape == SHAPE_TAGS || (l->shape == SHAPE_DURATION && !simple));
	jw_kbool(w, "is_duration", simple);
	jw_kbool(w, "is_cadence", l->shape == SHAPE_CADENCE);
	jw_kbool(w, "is_long", l->shape == SHAPE_LONG);
	jw_kbool(w, "is_json", l->shape == SHAPE_JSON);
	jw_kbool(w, "is_number", l->shape == SHAPE_NUMBER);
	jw_kbool(w, "is_one", l->shape == SHAPE_ONE || l->shape == SHAPE_PREFERENCE || l->shape == SHAPE_BOOLEAN);
	jw_kbool(w, "is_rule", l->shape == SHAPE_RULE);
	jw_kbool(w, "is_many", l->shape == SHAPE_MANY);
	if (l->shape == SHAPE_RULE || l->shape == SHAPE_CADENCE)
		jw_kstr(w, "own", f->posted ? request_form(f->rq, str_fmt(a, "%.*s.own", STR_ARG(l->name)).p) : STR_NONE);
	jw_key(w, "options");
	jw_array(w);
	if (l->shape == SHAPE_ONE)
		one_options(w, l, value);
	else if (l->shape == SHAPE_PREFERENCE)
		preference_options(w, value);
	else if (l->shape == SHAPE_BOOLEAN) {
		option(w, STR("true"), STR("yes"), str_is(value, "true"));
		option(w, STR("false"), STR("no"), str_is(value, "false"));
	}
	else if (l->shape == SHAPE_RULE)
		rule_options(f, w, l, said.p ? said : STR(""));
	else if (l->shape == SHAPE_CADENCE)
		cadence_options(w, a, l, said.p ? said : STR(""));
	else if (simple)
		unit_options(f, w, l, unit);
	else if (l->shape == SHAPE_MANY)
		many_options(f, w, l);
	jw_end_array(w);
	jw_end_object(w);
}

static bool heads_a_group(const struct form *f, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (strcmp(f->leaves[k].words.group, f->leaves[i].words.group) == 0)
			return false;
	return true;
}

static void groups_data(struct form *f, struct json_writer *w)
{
	jw_key(w, "groups");
	jw_array(w);
	for (size_t i = 0; i < f->n; i++) {
		bool wrong = false;
		if (!heads_a_group(f, i))
			continue;
		jw_object(w);
		jw_kz(w, "heading", f->leaves[i].words.group);
		jw_key(w, "fields");
		jw_array(w);
		for (size_t k = i; k < f->n; k++) {
			if (strcmp(f->leaves[k].words.group, f->leaves[i].words.group) != 0)
				continue;
			leaf_data(f, w, &f->leaves[k]);
			wrong |= fault_of(f, &f->leaves[k]).p != NULL;
		}
		jw_end_array(w);
		jw_kbool(w, "open", wrong);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static enum err amend_data(struct form *f, struct response *rs, enum err refused, struct json_writer *w)
{
	struct request *rq = f->rq;
	f->faults = rq->call->error.faults;
	TRY(page_form_refused(rq, rs, refused, w));
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kint(w, "version", f->charter.version);
	jw_kstr(w, "reason_value", f->posted ? request_form(rq, "reason") : STR_NONE);
	groups_data(f, w);
	return ERR_OK;
}

static enum err amend_form(struct form *f, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	jw_kz(&w, "title", "Propose an amendment");
	enum err e = amend_data(f, rs, refused, &w);
	return page_end(f->rq, rs, "page/amend", &b, &w, e);
}

enum err amend_page(struct request *rq, struct response *rs)
{
	struct form *f = ARENA_NEW(rq->call->arena, struct form);
	TRY(form_open(rq, f));
	return amend_form(f, rs, ERR_OK);
}

enum err amend_submit(struct request *rq, struct response *rs)
{
	struct form *f = ARENA_NEW(rq->call->arena, struct form);
	const struct json *draft;
	struct motion m;
	int64_t based_on = 0;
	struct str version = request_form(rq, "based_on"), reason = request_form(rq, "reason");
	TRY(form_open(rq, f));
	if (version.p && !str_to_i64(version, 1, INT32_MAX, &based_on))
		based_on = 0;
	enum err e = draft_of(f, &draft);
	if (e == ERR_OK)
		e = motion_amend(rq->call, rq->coop.id, draft, (int)based_on, reason.p ? str_trim(reason) : STR_NONE, &m);
	if (e == ERR_STALE) /* the form as it would be now, with what was written */
		e = error_set(&rq->call->error, ERR_STATE, "%s", "The charter has changed since you opened this form. Look at what it says now, and propose again.");
	if (e != ERR_OK)
		return amend_form(f, rs, e);
	response_flash(rq, rs, m.state == MOTION_SEEKING ? STR("Your amendment is proposed, and now looks for seconders.") : STR("Your amendment is proposed. Everybody is told, and voting begins after the notice."));
	motion_redirect(rq, rs, m.id);
	return ERR_OK;
}
