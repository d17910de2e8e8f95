/* mapping.c - a record of a foreign schema in the words of one of ours, as the agreement says. Pure. The record itself keeps its bytes: they are what its home has signed. */
#include "server/merge/merge_internal.h"

#define MAPS_MAX 200    /* schemas that an agreement maps */
#define FIELDS_MAX 500  /* of one schema */
#define VALUES_MAX 1000 /* of one field */

/* ---- What a table may look like ---- */

static void wrong(struct arena *a, struct error *e, const struct json *at, const char *sentence)
{
	if (e->code == ERR_OK)
		error_set(e, ERR_INVALID, "The schema mappings are not as they should be.");
	error_fault(e, a, json_pointer(a, at), "%s", sentence);
}

static bool is_word(const struct json *v)
{
	struct str s = json_text(v);
	return s.p && s.n >= 1 && s.n <= 200;
}

/* "theirs", or {"is":"theirs","values":{"theirs":"ours",…}}. */
static void check_field(struct arena *a, const struct json *field, struct error *e)
{
	if (json_is(field, JSON_STRING) && is_word(field))
		return;
	const struct json *values = json_get(field, "values");
	if (!json_is(field, JSON_OBJECT) || !is_word(json_get(field, "is")) || !json_is(values, JSON_OBJECT) || values->count > VALUES_MAX || field->count != 2)
		wrong(a, e, field, "A field is the name of one of theirs, or {\"is\": its name, \"values\": {theirs: ours}}.");
}

static void check_map(struct arena *a, const struct json *map, struct error *e)
{
	const struct json *fields = json_get(map, "fields");
	if (!is_word(json_get(map, "from")) || !is_word(json_get(map, "to")) || !is_word(json_get(map, "home")))
		wrong(a, e, map, "A mapping says \"home\" (key name), \"from\" (their schema), \"to\" (ours) and \"fields\".");
	if (!json_is(fields, JSON_OBJECT) || fields->count == 0 || fields->count > FIELDS_MAX) {
		wrong(a, e, map, "A mapping has between 1 and 500 fields.");
		return;
	}
	json_each(field, fields)
		check_field(a, field, e);
}

static bool same_source(const struct json *a, const struct json *b)
{
	return str_eq(json_member_text(a, "from"), json_member_text(b, "from")) && str_eq(json_member_text(a, "home"), json_member_text(b, "home"));
}

enum err merge_mappings_check(struct arena *a, const struct json *mappings, struct error *e)
{
	const struct json *maps = json_get(mappings, "maps");
	if (!mappings || json_is(mappings, JSON_NULL) || (json_is(mappings, JSON_OBJECT) && mappings->count == 0))
		return ERR_OK; /* nothing is mapped */
	if (json_int(json_get(mappings, "version"), 0) < 1)
		wrong(a, e, mappings, "Mappings have a version, from 1.");
	if (!json_is(maps, JSON_ARRAY) || maps->count > MAPS_MAX) {
		wrong(a, e, mappings, "\"maps\" is a list of at most 200 mappings.");
		return e->code;
	}
	json_each(map, maps) {
		check_map(a, map, e);
		for (const struct json *later = map->next; later; later = later->next)
			if (same_source(map, later))
				wrong(a, e, later, "This schema of this co-op is mapped twice.");
	}
	return e->code;
}

/* ---- Mapping ---- */

const struct json *merge_map_find(const struct json *mappings, struct str home, struct str schema)
{
	json_each(map, json_get(mappings, "maps"))
		if (str_eq(json_member_text(map, "from"), schema) && str_eq(json_member_text(map, "home"), home))
			return map;
	return NULL;
}

/* A value in our words; one that the mapping does not name stays as it is. */
static void write_value(struct json_writer *w, const struct json *field, const struct json *value)
{
	const struct json *values = json_get(field, "values");
	const struct json *ours = json_is(value, JSON_STRING) && values ? json_get_str(values, value->text) : NULL;
	jw_json(w, ours ? ours : value);
}

static void write_data(struct json_writer *w, const struct json *fields, const struct json *data)
{
	jw_object(w);
	json_each(field, fields) {
		const struct json *value = json_get_str(data, json_is(field, JSON_STRING) ? field->text : json_member_text(field, "is"));
		if (!value)
			continue;
		jw_key_str(w, field->key);
		write_value(w, json_is(field, JSON_OBJECT) ? field : NULL, value);
	}
	jw_end_object(w);
}

enum err merge_map_record(struct arena *a, const struct json *mappings, struct str home, const struct json *content, struct str *out, struct error *e)
{
	const struct json *map = merge_map_find(mappings, home, json_member_text(content, "schema")), *parsed;
	struct buf plain, canonical;
	struct json_writer w;
	if (!map)
		return error_set(e, ERR_NOT_FOUND, "The agreement has no mapping for this schema.");
	buf_init(&plain, LIMIT_BODY_ITEM * 2);
	buf_init(&canonical, LIMIT_BODY_ITEM * 2);
	jw_init(&w, &plain);
	jw_object(&w);
	jw_key(&w, "data");
	write_data(&w, json_get(map, "fields"), json_get(content, "data"));
	jw_kstr(&w, "schema", json_member_text(map, "to"));
	jw_end_object(&w);
	struct str text = buf_take(a, &plain);
	TRY(json_parse(a, text, &parsed, e));
	json_canonical(&canonical, parsed, true);
	*out = buf_take(a, &canonical);
	return out->p ? ERR_OK : error_set(e, ERR_TOO_LARGE, "The record is too large.");
}
