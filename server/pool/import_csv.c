/* import_csv.c - CSV records into contributions, by a mapping in the shape of schemas/import_mapping.json. */
#include "server/pool/csv.h"
#include "server/pool/import_internal.h"

#define STEPS 8 /* longest pointer, as in the schema */

enum column_as { AS_NOTHING, AS_TEXT, AS_INTEGER, AS_NUMBER, AS_BOOLEAN, AS_WORD, AS_LIST, AS_TAG, AS_ID, AS_USER, AS_DELETED };

static const char *const as_words[] = { "", "text", "integer", "number", "boolean", "word", "list", "tag", "id", "user", "deleted" };

/* What becomes of one column. */
struct column {
	enum column_as as;  /* AS_NOTHING where the mapping does not name it */
	struct str name;    /* from the header */
	struct str to;      /* JSON Pointer into the contribution */
	struct str when;    /* tags: the cell that sets it */
	struct str value;   /* tags: what is set */
	char separator;     /* lists and users */
};

/* A value under construction: struct json with its links open. */
struct node {
	struct json v;
	struct node *first, *last, *after; /* v.child and v.next, writable */
};

/* The run's mapping and one row's work. */
struct mapped {
	struct import *im;
	struct csv csv;
	const char *system;                   /* for origins */
	struct column column[IMPORT_COLUMNS]; /* in order of the header */
	size_t columns;                       /* how many; 0 before the header */
	struct node *root;                    /* the contribution in hand */
	struct str problem, where;            /* what is wrong with the row, and its column */
	struct str *ids, *users;              /* of the row, as the source has them */
	size_t id_count, user_count;
	bool deleted;                         /* the row says so */
};

static struct node *node_new(struct mapped *m, enum json_type type, struct str text)
{
	struct node *n = ARENA_NEW(m->im->row, struct node);
	n->v.type = type;
	n->v.text = text;
	return n;
}

static void append(struct node *parent, struct node *child, struct str key)
{
	child->v.key = key;
	child->v.parent = &parent->v;
	if (parent->last) {
		parent->last->after = child;
		parent->last->v.next = &child->v;
	} else {
		parent->first = child;
		parent->v.child = &child->v;
	}
	parent->last = child;
	parent->v.count++;
}

static struct str unescape(struct mapped *m, struct str token)
{
	if (str_index(token, '~') < 0)
		return token;
	char *out = arena_alloc(m->im->row, token.n);
	size_t n = 0;
	for (size_t i = 0; i < token.n; i++) {
		bool escape = token.p[i] == '~' && i + 1 < token.n;
		out[n++] = escape ? (token.p[i + 1] == '1' ? '/' : '~') : token.p[i];
		i += escape;
	}
	return str_make(out, n);
}

static bool is_index(struct str token)
{
	int64_t v;
	return str_is(token, "-") || str_to_i64(token, 0, IMPORT_MESSAGES, &v);
}

/* The child at a step, made where there is none; NULL when the way leads through something else, or skips places of a list. */
static struct node *step(struct mapped *m, struct node *at, struct str token, struct node *fresh)
{
	if (at->v.type == JSON_OBJECT) {
		struct str key = unescape(m, token);
		for (struct node *c = at->first; c; c = c->after)
			if (str_eq(c->v.key, key))
				return c;
		append(at, fresh, key);
		return fresh;
	}
	int64_t index = at->v.count;
	if (at->v.type != JSON_ARRAY || !is_index(token) || (!str_is(token, "-") && !str_to_i64(token, 0, IMPORT_MESSAGES, &index)) || index > at->v.count)
		return NULL;
	if (index == at->v.count) {
		append(at, fresh, STR_NONE);
		return fresh;
	}
	struct node *c = at->first;
	for (int64_t i = 0; i < index; i++)
		c = c->after;
	return c;
}

/* Puts a value where the pointer says. */
static void put(struct mapped *m, struct str pointer, struct node *value)
{
	struct str rest = str_sub(pointer, 1, pointer.n), token, next;
	struct node *at = m->root;
	bool more = str_split(&rest, '/', &token);
	for (int steps = 0; more && at && steps < STEPS; steps++) {
		struct str ahead = rest;
		more = str_split(&ahead, '/', &next);
		struct node *fresh = !more ? value : node_new(m, is_index(next) ? JSON_ARRAY : JSON_OBJECT, STR_NONE);
		struct node *found = step(m, at, token, fresh);
		if (!more && found != value)
			found = NULL;
		at = found;
		rest = ahead;
		token = next;
	}
	if (!at && !m->problem.p)
		m->problem = STR("The mapping puts two values in one place, or leaves out places of a list.");
}

static void put_text(struct mapped *m, struct str pointer, struct str text)
{
	put(m, pointer, node_new(m, JSON_STRING, text));
}

static bool truth(struct str cell, bool *out)
{
	static const char *const yes[] = { "true", "1", "yes", "y", "t" }, *const no[] = { "false", "0", "no", "n", "f" };
	for (size_t i = 0; i < CH_LEN(yes); i++) {
		if (str_eq_nocase(cell, yes[i]))
			return *out = true, true;
		if (str_eq_nocase(cell, no[i]))
			return *out = false, true;
	}
	return false;
}

/* RFC 8259's grammar of numbers. */
static bool is_number(struct str s)
{
	size_t i = 0, digits = 0;
	i += s.n > 0 && s.p[0] == '-';
	size_t whole = i;
	while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
		i++;
	if (i == whole || (s.p[whole] == '0' && i > whole + 1))
		return false;
	if (i < s.n && s.p[i] == '.') {
		for (i++; i < s.n && s.p[i] >= '0' && s.p[i] <= '9'; i++)
			digits++;
		if (digits == 0)
			return false;
	}
	return i == s.n && s.n <= 40;
}

static void fault(struct mapped *m, const struct column *c, const char *sentence)
{
	if (m->problem.p)
		return;
	m->problem = str_of(sentence);
	m->where = c->name;
}

static struct str as_word(struct mapped *m, struct str cell)
{
	struct str lower = str_lower(m->im->row, cell);
	char *p = arena_alloc(m->im->row, lower.n + 1);
	for (size_t i = 0; i < lower.n; i++)
		p[i] = (char)((lower.p[i] >= 'a' && lower.p[i] <= 'z') || (lower.p[i] >= '0' && lower.p[i] <= '9') ? lower.p[i] : '_');
	return str_make(p, lower.n);
}

/* Each part between separators, trimmed, that is not empty. */
static void take_parts(struct mapped *m, const struct column *c, struct str cell)
{
	struct str rest = cell, part;
	while (str_split(&rest, c->separator, &part)) {
		part = str_trim(part);
		if (part.n == 0)
			continue;
		if (c->as == AS_LIST)
			put_text(m, c->to, part);
		else if (m->user_count < IMPORT_COLUMNS)
			m->users[m->user_count++] = part;
	}
}

static void take_cell(struct mapped *m, const struct column *c, struct str cell)
{
	bool yes = false;
	int64_t integer;
	switch (c->as) {
	case AS_TEXT:
		put_text(m, c->to, cell);
		break;
	case AS_WORD:
		put_text(m, c->to, as_word(m, str_trim(cell)));
		break;
	case AS_INTEGER:
		if (!str_to_i64(str_trim(cell), INT64_MIN, INT64_MAX, &integer))
			fault(m, c, "It should be a whole number.");
		else
			put(m, c->to, node_new(m, JSON_NUMBER, str_fmt(m->im->row, "%lld", (long long)integer)));
		break;
	case AS_NUMBER:
		if (!is_number(str_trim(cell)))
			fault(m, c, "It should be a number.");
		else
			put(m, c->to, node_new(m, JSON_NUMBER, str_trim(cell)));
		break;
	case AS_BOOLEAN:
	case AS_DELETED:
		if (!truth(str_trim(cell), &yes))
			fault(m, c, "It should be true or false.");
		else if (c->as == AS_BOOLEAN)
			put(m, c->to, node_new(m, yes ? JSON_TRUE : JSON_FALSE, STR_NONE));
		m->deleted = m->deleted || (c->as == AS_DELETED && yes);
		break;
	case AS_TAG:
		if (c->when.p ? str_eq(cell, c->when) : truth(str_trim(cell), &yes) && yes)
			put_text(m, c->to, c->value.p ? c->value : c->name);
		break;
	case AS_LIST:
	case AS_USER:
		take_parts(m, c, cell);
		break;
	case AS_ID:
		if (m->id_count < IMPORT_COLUMNS && cell.n <= IMPORT_ID_BYTES)
			m->ids[m->id_count++] = cell;
		else
			fault(m, c, "The id is too long.");
		break;
	case AS_NOTHING:
		break;
	}
}

static void put_constants(struct mapped *m)
{
	const struct import_options *o = m->im->options;
	put_text(m, STR("/kind"), json_member_text(o->mapping, "kind"));
	json_each (constant, json_get(o->mapping, "constants"))
		put(m, constant->key, node_new(m, constant->type, constant->text));
}

/* The options' defaults, and where the row is from. */
static void put_defaults(struct mapped *m)
{
	const struct import_options *o = m->im->options;
	const struct { const char *key; struct str value; } defaults[] = { { "lang", o->lang }, { "licence", o->licence }, { "attribution", o->attribution } };
	for (size_t i = 0; i < CH_LEN(defaults); i++)
		if (defaults[i].value.p && !json_get(&m->root->v, defaults[i].key))
			put_text(m, str_fmt(m->im->row, "/%s", defaults[i].key), defaults[i].value);
	if (!json_at(&m->root->v, "/source/system"))
		put_text(m, STR("/source/system"), str_of(m->system));
	for (size_t i = 0; i < m->id_count; i++)
		put_text(m, STR("/source/ids/-"), m->ids[i]);
	for (size_t i = 0; i < m->user_count; i++)
		put_text(m, STR("/source/authors/-"), import_pseudonym(m->im, m->system, m->users[i]));
}

/* One record, as import_guarded hands it on. */
static enum err take_record(void *arg)
{
	struct mapped *m = arg;
	struct import *im = m->im;
	m->root = node_new(m, JSON_OBJECT, STR_NONE);
	m->problem = m->where = STR_NONE;
	m->ids = ARENA_ARRAY(im->row, IMPORT_COLUMNS, struct str);
	m->users = ARENA_ARRAY(im->row, IMPORT_COLUMNS, struct str);
	m->id_count = m->user_count = 0;
	m->deleted = false;
	put_constants(m);
	for (size_t i = 0; i < m->columns; i++) {
		struct str cell = csv_field(&m->csv, i);
		if (cell.n == 0 || m->column[i].as == AS_NOTHING)
			continue;
		if (!str_is_utf8(cell))
			fault(m, &m->column[i], "It is not UTF-8.");
		else
			take_cell(m, &m->column[i], cell);
	}
	struct str id = m->id_count ? m->ids[0] : STR_NONE;
	if (m->deleted || m->problem.p) {
		import_refuse(im, im->line, m->deleted ? IMPORT_REASON_DELETED : IMPORT_REASON_INVALID, m->where, m->deleted ? STR_NONE : m->problem, id);
		return ERR_OK;
	}
	put_defaults(m);
	return import_emit(im, &m->root->v, m->user_count ? m->users[0] : STR_NONE, m->ids, m->id_count);
}

static enum column_as as_of(struct str word)
{
	for (size_t i = 1; i < CH_LEN(as_words); i++)
		if (str_is(word, as_words[i]))
			return (enum column_as)i;
	return AS_NOTHING;
}

static struct column read_column(struct mapped *m, struct str name, const struct json *spec)
{
	struct str separator = json_member_text(spec, "separator");
	struct column c = { as_of(json_member_text(spec, "as")), str_copy(m->im->keep, name), json_member_text(spec, "to"), json_member_text(spec, "when"),
		json_member_text(spec, "value"), separator.n ? separator.p[0] : ',' };
	/* a list's parts are appended one by one */
	if (c.as == AS_LIST && !str_ends(c.to, "/-"))
		c.to = str_fmt(m->im->keep, "%.*s/-", STR_ARG(c.to));
	return c;
}

/* The header names the columns; every column of the mapping must be among them. */
static enum err take_header(struct mapped *m)
{
	const struct json *columns = json_get(m->im->options->mapping, "columns");
	for (size_t i = 0; i < m->csv.fields; i++) {
		struct str name = str_trim(csv_field(&m->csv, i));
		m->column[i] = read_column(m, name, json_get_str(columns, name));
	}
	m->columns = m->csv.fields;
	json_each (spec, columns) {
		bool found = false;
		for (size_t i = 0; i < m->columns; i++)
			found = found || str_eq(m->column[i].name, spec->key);
		if (!found)
			return error_set(m->im->e, ERR_INVALID, "The file has no column named \"%.*s\".", STR_ARG(spec->key));
		enum column_as as = as_of(json_member_text(spec, "as"));
		if (as != AS_ID && as != AS_USER && as != AS_DELETED && !json_get(spec, "to"))
			return error_set(m->im->e, ERR_INVALID, "The mapping does not say where the column \"%.*s\" goes.", STR_ARG(spec->key));
	}
	return ERR_OK;
}

static enum err take_result(struct mapped *m, enum csv_result result)
{
	struct import *im = m->im;
	bool exhausted = false;
	im->line = m->csv.line;
	if (m->columns == 0)
		return result == CSV_RECORD ? take_header(m) : error_set(im->e, ERR_INVALID, "The first row, which should name the columns, cannot be read.");
	im->counts->rows++;
	if (result == CSV_BAD)
		import_refuse(im, im->line, IMPORT_REASON_BAD_CSV, STR_NONE, str_of(m->csv.problem), STR_NONE);
	else if (result == CSV_TOO_LARGE)
		import_refuse(im, im->line, IMPORT_REASON_TOO_LARGE, STR_NONE, STR_NONE, STR_NONE);
	else if (m->csv.fields != m->columns)
		import_refuse(im, im->line, IMPORT_REASON_BAD_CSV, STR_NONE, STR("It has not as many columns as the first row."), STR_NONE);
	else
		TRY(import_guarded(im, take_record, m, &exhausted));
	if (exhausted)
		import_refuse(im, im->line, IMPORT_REASON_TOO_LARGE, STR_NONE, STR_NONE, STR_NONE);
	import_progress(im, false);
	return ERR_OK;
}

static enum err read_records(struct mapped *m)
{
	struct import_reader *r = &m->im->in;
	for (;;) {
		while (r->start < r->end) {
			size_t used = 0;
			enum csv_result result = csv_feed(&m->csv, r->window + r->start, r->end - r->start, &used);
			r->start += used;
			if (result != CSV_MORE)
				TRY(take_result(m, result));
		}
		bool got;
		TRY(import_reader_fill(r, &got, m->im->e));
		if (!got)
			break;
	}
	enum csv_result last = csv_finish(&m->csv);
	if (last != CSV_MORE)
		TRY(take_result(m, last));
	return m->columns ? ERR_OK : error_set(m->im->e, ERR_INVALID, "The file is empty.");
}

enum err import_csv(struct import *im)
{
	const struct json *mapping = im->options->mapping;
	struct str delimiter = json_member_text(mapping, "delimiter"), system = json_member_text(mapping, "system");
	if (!mapping)
		return error_set(im->e, ERR_INVALID, "A CSV file needs a mapping of its columns.");
	/* faults would point into memory that ends with the run, so the first one is told in the message */
	struct error faults = { 0 };
	if (json_schema_check(im->keep, contribution_schema(im->options->schemas, STR("import_mapping.json")), mapping, &faults) != ERR_OK)
		return error_set(im->e, ERR_INVALID, "The mapping is not right at %.*s: %.*s", STR_ARG(faults.faults->pointer), STR_ARG(faults.faults->message));
	struct mapped *m = ARENA_NEW(im->keep, struct mapped);
	m->im = im;
	m->system = system.p ? str_z(im->keep, system) : "csv";
	csv_init(&m->csv, delimiter.n ? delimiter.p[0] : ',', IMPORT_VALUE_BYTES);
	enum err code = read_records(m);
	csv_release(&m->csv);
	return code;
}
