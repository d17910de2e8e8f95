#include "server/coop/charter.h"

#include "commonhold/assets.h"

#include <pthread.h>

/* Of the schema's text, tree and compiled form; it lives as long as the program. */
#define SCHEMA_ARENA (4 * MIB)

static pthread_once_t schema_once = PTHREAD_ONCE_INIT;
static struct charter_schema schema_loaded;
static struct error schema_error;
static struct arena *schema_arena __attribute__((used)); /* so that leak checkers see whose the memory is */

static enum err schema_load(struct arena *a, struct charter_schema *out, struct error *e)
{
	struct str text = asset_find(STR("schemas/charter.json"));
	if (!text.p)
		return error_set(e, ERR_INTERNAL, "schemas/charter.json is missing from the program");
	TRY(json_parse(a, text, &out->document, e));
	return json_schema_compile(a, out->document, NULL, NULL, &out->compiled, e);
}

static void schema_load_once(void)
{
	schema_arena = arena_new(SCHEMA_ARENA);
	if (!schema_arena)
		schema_error = (struct error){ .code = ERR_NO_MEMORY };
	else if (schema_load(schema_arena, &schema_loaded, &schema_error) != ERR_OK)
		schema_loaded = (struct charter_schema){ NULL, NULL };
}

const struct charter_schema *charter_schema(struct error *e)
{
	pthread_once(&schema_once, schema_load_once);
	if (schema_loaded.compiled)
		return &schema_loaded;
	*e = schema_error;
	return NULL;
}

/* Whether an object that is left out may be made of its members' defaults alone. */
static bool can_stand_empty(const struct json *schema)
{
	return json_get(schema, "properties") && !json_get(schema, "required");
}

/* The one default that depends on another field: who gets a release is whom access is given to. */
static struct str audience_of_access(const struct json *draft)
{
	struct str mode = json_text(json_at(draft, "/access/mode"));
	return mode.p ? mode : STR("gated_manual");
}

/* Depth follows the nesting of inline schemas, which is ours: a $ref is not entered, so what people nest (rules, predicates) is copied as it is. */
static void fill(struct json_writer *w, const struct json *schema, const struct json *value, const struct json *draft)
{
	const struct json *properties = json_get(schema, "properties"), *items = json_get(schema, "items");
	if (properties && (!value || value->type == JSON_OBJECT)) {
		jw_object(w);
		json_each(member, value) {
			jw_key_str(w, member->key);
			fill(w, json_get_str(properties, member->key), member, draft);
		}
		json_each(property, properties) {
			if (json_get_str(value, property->key))
				continue;
			const struct json *given = json_get(property, "default");
			if (given) {
				jw_key_str(w, property->key);
				jw_json(w, given);
			} else if (can_stand_empty(property)) {
				jw_key_str(w, property->key);
				fill(w, property, NULL, draft);
			} else if (str_is(property->key, "audience")) {
				jw_kstr(w, "audience", audience_of_access(draft));
			}
		}
		jw_end_object(w);
	} else if (items && json_is(value, JSON_ARRAY)) {
		jw_array(w);
		json_each(item, value)
			fill(w, items, item, draft);
		jw_end_array(w);
	} else {
		jw_json(w, value);
	}
}

enum err charter_fill(struct arena *a, const struct json *schema, const struct json *draft, const struct json **out, struct error *e)
{
	struct buf b;
	buf_init(&b, LIMIT_CHARTER_FILLED);
	struct json_writer w;
	jw_init(&w, &b);
	fill(&w, schema, draft, draft);
	struct str text = buf_take(a, &b);
	if (!text.p)
		return error_set(e, ERR_TOO_LARGE, "The charter is too large.");
	return json_parse(a, text, out, e);
}
