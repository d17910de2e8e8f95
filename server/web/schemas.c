/* The product's JSON schemas, compiled at start under their file's name. Schemas refer to each other by file; each is compiled once, when it is first asked for. */
#include "server/web/web.h"

#include "commonhold/assets.h"

#define SCHEMAS_MAX 256

struct schema_entry {
	struct str name;                   /* "contribution" */
	struct str text;                   /* the document as embedded */
	const struct json_schema *schema;  /* NULL until compiled */
	bool busy;                         /* being compiled: a reference back to it is a circle */
};

struct schemas {
	struct arena *arena;
	struct schema_entry at[SCHEMAS_MAX];
	size_t count;
	struct error *error;               /* of schemas_load, while it runs */
};

static void schemas_add(void *arg, const struct asset *asset)
{
	struct schemas *s = arg;
	struct str path = str_of(asset->path);
	if (!str_ends(path, ".json") || s->count == SCHEMAS_MAX)
		return;
	size_t folder = strlen("schemas/");
	s->at[s->count++] = (struct schema_entry){ .name = str_sub(path, folder, path.n - folder - 5), .text = asset->content };
}

static const struct json_schema *schemas_resolve(void *arg, struct str file);

static enum err schema_compile(struct schemas *s, struct schema_entry *entry, struct error *e)
{
	const struct json *document;
	if (entry->schema)
		return ERR_OK;
	if (entry->busy)
		return error_set(e, ERR_CONFIG, "schemas/%.*s.json refers to itself in a circle.", STR_ARG(entry->name));
	entry->busy = true;
	TRY(json_parse(s->arena, entry->text, &document, e));
	enum err failed = json_schema_compile(s->arena, document, schemas_resolve, s, &entry->schema, e);
	entry->busy = false;
	if (failed) {
		struct error inner = *e;
		return error_set(e, ERR_CONFIG, "schemas/%.*s.json: %s", STR_ARG(entry->name), inner.message);
	}
	return ERR_OK;
}

static struct schema_entry *schema_entry(const struct schemas *s, struct str name)
{
	for (size_t i = 0; i < s->count; i++) {
		if (str_eq(s->at[i].name, name))
			return (struct schema_entry *)&s->at[i];
	}
	return NULL;
}

/* As deep as schemas refer to each other, which `busy` bounds by their number. */
static const struct json_schema *schemas_resolve(void *arg, struct str file)
{
	struct schemas *s = arg;
	if (!str_ends(file, ".json"))
		return NULL;
	struct schema_entry *entry = schema_entry(s, str_sub(file, 0, file.n - 5));
	if (!entry || schema_compile(s, entry, s->error) != ERR_OK)
		return NULL;
	return entry->schema;
}

enum err schemas_load(struct arena *a, struct schemas **out, struct error *e)
{
	struct schemas *s = ARENA_NEW(a, struct schemas);
	s->arena = a;
	s->error = e;
	asset_each("schemas/", schemas_add, s);
	for (size_t i = 0; i < s->count; i++)
		TRY(schema_compile(s, &s->at[i], e));
	s->error = NULL;
	*out = s;
	return ERR_OK;
}

const struct json_schema *schema_find(const struct schemas *s, struct str name)
{
	const struct schema_entry *entry = schema_entry(s, name);
	return entry ? entry->schema : NULL;
}

size_t schemas_count(const struct schemas *s) { return s->count; }

struct str schemas_at(const struct schemas *s, size_t i, struct str *text)
{
	*text = s->at[i].text;
	return s->at[i].name;
}
