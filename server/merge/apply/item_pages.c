#include "server/merge/merge_internal.h"
#include "server/merge/merge_pages.h"

#include "commonhold/db.h"
#include "commonhold/origin.h"
#include "commonhold/routes.h"
#include "commonhold/words.h"

/* One item for admins, wherever it comes from: whose it is and what it says; a record of a foreign schema beside the same in our words, as the agreement maps it. */

#define EXCERPT 160 /* bytes of an item's text in a list */

/* ---- Names ---- */

struct str home_called(const struct origin_names *names, struct str home, struct str own)
{
	if (str_eq(home, names->key_name[0]))
		return own;
	for (size_t i = 1; i <= ORIGIN_MAX; i++)
		if (names->key_name[i].p && str_eq(home, names->key_name[i]) && names->title[i].n)
			return names->title[i];
	return home;
}

enum err home_names(struct call *c, struct uuid coop, struct origin_names *out)
{
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(origin_names_load(c, coop, out));
	return db_commit(c);
}

/* "dc:<home>:<id>" in its parts; false for what is none. */
bool rid_parts(struct str rid, struct str *home, struct uuid *id)
{
	struct str rest = rid, dc, text;
	return str_split(&rest, ':', &dc) && str_is(dc, "dc") && str_split(&rest, ':', home) && str_split(&rest, ':', &text) && uuid_parse(text, id);
}

/* The first words of a content. */
struct str item_excerpt(struct call *c, struct uuid coop, struct uuid id)
{
	struct contribution item;
	struct str content;
	const struct json *json;
	struct error ignored = { 0 };
	if (pool_read(c, coop, id, &item, &content) != ERR_OK) {
		db_rollback(c);
		error_clear(&c->error);
		return STR_NONE;
	}
	if (!content.p || json_parse(c->arena, content, &json, &ignored) != ERR_OK)
		return STR_NONE;
	for (const struct json *v = json; v; v = json_next(v))
		if (v->type == JSON_STRING && v->text.n)
			return v->text.n <= EXCERPT ? v->text : str_fmt(c->arena, "%.*s …", STR_ARG(str_utf8_head(v->text, EXCERPT)));
	return STR_NONE;
}

/* ---- What it says ---- */

static void texts_write(struct json_writer *w, struct arena *a, const char *name, const struct json *from)
{
	size_t above = from ? json_pointer(a, from).n : 0;
	jw_key(w, name);
	jw_array(w);
	for (const struct json *v = from; v; v = json_next_in(from, v)) {
		if (v->type == JSON_OBJECT || v->type == JSON_ARRAY)
			continue;
		jw_object(w);
		jw_kstr(w, "where", words_field(a, str_sub(json_pointer(a, v), above, SIZE_MAX)));
		jw_kstr(w, "text", v->type == JSON_STRING || v->type == JSON_NUMBER ? v->text : v->type == JSON_TRUE ? STR("yes") : v->type == JSON_FALSE ? STR("no") : STR("nothing"));
		jw_end_object(w);
	}
	jw_end_array(w);
}

/* The table of mappings of the agreement that has one for this schema of this home. */
static enum err mappings_of(struct request *rq, struct str home, struct str schema, const struct json **mappings)
{
	struct call *c = rq->call;
	struct agreement *all;
	size_t n;
	*mappings = NULL;
	TRY(db_begin_in(c, rq->coop.id, DB_READ));
	TRY(agreement_all(c, rq->coop.id, (struct uuid){ { 0 } }, AGREEMENT_LIVE, &all, &n));
	TRY(db_commit(c));
	for (size_t i = 0; i < n && !*mappings; i++)
		if (merge_map_find(all[i].terms.schemas, home, schema))
			*mappings = all[i].terms.schemas;
	return ERR_OK;
}

/* A record as it came, and in our words. */
static enum err mapped_write(struct json_writer *w, struct request *rq, struct str home, const struct json *content)
{
	struct arena *a = rq->call->arena;
	struct str schema = json_member_text(content, "schema"), mapped = STR_NONE;
	const struct json *mappings, *ours = NULL;
	struct error ignored = { 0 };
	TRY(mappings_of(rq, home, schema, &mappings));
	if (mappings && merge_map_record(a, mappings, home, content, &mapped, &ignored) == ERR_OK && json_parse(a, mapped, &ours, &ignored) != ERR_OK)
		ours = NULL;
	jw_kstr(w, "schema", schema);
	jw_kbool(w, "mapped", ours != NULL);
	jw_kstr(w, "our_schema", ours ? json_member_text(ours, "schema") : STR_NONE);
	texts_write(w, a, "raw_texts", json_get(content, "data"));
	texts_write(w, a, "mapped_texts", ours ? json_get(ours, "data") : NULL);
	return ERR_OK;
}

static enum err item_data(struct json_writer *w, struct request *rq)
{
	struct call *c = rq->call;
	struct contribution item;
	struct origin_names names;
	struct str content, home;
	struct uuid id, same;
	const struct json *json = NULL;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(pool_read(c, rq->coop.id, id, &item, &content));
	TRY(home_names(c, rq->coop.id, &names));
	if (!rid_parts(item.rid, &home, &same))
		home = names.key_name[0];
	bool foreign = !str_eq(home, names.key_name[0]);
	jw_kstr(w, "title", str_fmt(c->arena, "%s of %.*s", words_kind(item.kind), STR_ARG(words_day(c->arena, item.submitted_at))));
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kstr(w, "id", uuid_format(c->arena, id));
	jw_kstr(w, "home", home_called(&names, home, rq->coop.title));
	jw_kbool(w, "foreign", foreign);
	jw_kstr(w, "rid", item.rid);
	jw_kstr(w, "licence", str_of(policy_licence_get(item.licence)->spdx));
	jw_kstr(w, "language", words_language(c->arena, item.lang));
	jw_kbool(w, "gone", !content.p);
	if (content.p)
		TRY(json_parse(c->arena, content, &json, &c->error));
	bool record = json && item.kind == POLICY_KIND_RECORD;
	jw_kbool(w, "record", record);
	jw_kstr(w, "json", content);
	if (record)
		return mapped_write(w, rq, home, json);
	texts_write(w, c->arena, "texts", json);
	return ERR_OK;
}

static enum err item_page(struct request *rq, struct response *rs)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	return page_end(rq, rs, "page/item", &b, &w, item_data(&w, rq));
}

const struct route item_page_routes[] = {
	{ "GET", "/coops/{coop}/items/{item}", "page_item", PERM_ADMIN, 0, NULL, "text/html", 200, item_page, "One item, with what it says in the words of its home and in ours" },
	ROUTE_TABLE_END
};
