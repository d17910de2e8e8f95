#include "server/erasure/erasure_web.h"

#include "commonhold/contribution.h"
#include "commonhold/pool.h"
#include "commonhold/routes.h"
#include "commonhold/words.h"

/* Asking: for what one gave, chosen item by item or all of it; and for what somebody else gave and is about oneself. */

#define CHOSEN_MAX LIMIT_PAGE /* items that a form names: a page of the list of contributions has fewer */
#define TEXTS_MAX 60          /* texts of one contribution that the form for its replacement shows */

/* ---- Choosing ---- */

static size_t chosen(struct request *rq, struct str **out)
{
	if (rq->body.n)
		return request_form_all(rq, "item", out);
	*out = ARENA_ARRAY(rq->call->arena, CHOSEN_MAX + 1, struct str);
	return request_query_all(rq, "item", *out, CHOSEN_MAX);
}

static bool wants_all(const struct request *rq)
{
	return str_is(rq->body.n ? request_form(rq, "all") : request_query(rq, "all"), "yes");
}

static bool is_technical(struct str key)
{
	return str_is(key, "sha256") || str_is(key, "size") || str_is(key, "media_type") || str_is(key, "role") || str_is(key, "id") || str_is(key, "kind");
}

/* The texts of the content that is to be replaced, each in a field of its own; what was typed comes back. */
static enum err texts_write(struct json_writer *w, struct request *rq, struct str content)
{
	struct arena *a = rq->call->arena;
	const struct json *json = NULL;
	size_t n = 0;
	if (content.p)
		TRY(json_parse(a, content, &json, &rq->call->error));
	jw_key(w, "fields");
	jw_array(w);
	for (const struct json *v = json; v && n < TEXTS_MAX; v = json_next(v)) {
		if (v->type != JSON_STRING || is_technical(v->key))
			continue;
		struct str pointer = json_pointer(a, v), typed = rq->body.n ? request_form(rq, str_fmt(a, "content.%.*s", STR_ARG(pointer)).p) : STR_NONE;
		jw_object(w);
		jw_kint(w, "at", (int64_t)n++);
		jw_kstr(w, "pointer", pointer);
		jw_kstr(w, "where", words_field(a, pointer));
		jw_kstr(w, "text", typed.p ? typed : v->text);
		jw_end_object(w);
	}
	jw_end_array(w);
	jw_kbool(w, "correctable", n > 0);
	return ERR_OK;
}

static enum err items_write(struct json_writer *w, struct request *rq, size_t *count)
{
	struct arena *a = rq->call->arena;
	struct str *ids, content = STR_NONE;
	size_t n = chosen(rq, &ids);
	*count = 0;
	jw_key(w, "items");
	jw_array(w);
	for (size_t i = 0; i < n && i < CHOSEN_MAX; i++) {
		struct uuid id;
		struct contribution item;
		if (!uuid_parse(ids[i], &id))
			continue;
		TRY(pool_read(rq->call, rq->coop.id, id, &item, &content));
		jw_object(w);
		jw_kstr(w, "id", uuid_format(a, id));
		jw_kstr(w, "words", str_fmt(a, "%s of %.*s, in %.*s", words_kind(item.kind), STR_ARG(words_day(a, item.submitted_at)), STR_ARG(words_language(a, item.lang))));
		jw_end_object(w);
		++*count;
	}
	jw_end_array(w);
	jw_kbool(w, "one", *count == 1);
	return *count == 1 ? texts_write(w, rq, content) : ERR_OK;
}

static void typed_write(struct json_writer *w, struct request *rq, const char *const *names, size_t n)
{
	jw_key(w, "typed");
	jw_object(w);
	for (size_t i = 0; i < n; i++)
		jw_kstr(w, names[i], rq->body.n && request_form(rq, names[i]).p ? request_form(rq, names[i]) : STR(""));
	jw_end_object(w);
}

static void kind_write(struct json_writer *w, struct request *rq)
{
	struct str kind = rq->body.n ? request_form(rq, "kind") : request_query(rq, "kind");
	static const char *const names[] = { "until" };
	for (unsigned k = 0; k < ERASURE_KIND_COUNT; k++)
		jw_kbool(w, str_fmt(rq->call->arena, "is_%s", erasure_kind_name(k)).p, kind.p && str_is(kind, erasure_kind_name(k)));
	typed_write(w, rq, names, CH_LEN(names));
}

static enum err ask_data(struct json_writer *w, struct request *rq, struct response *rs, enum err refused)
{
	struct arena *a = rq->call->arena;
	size_t n = 0;
	bool all = wants_all(rq);
	TRY(page_form_refused(rq, rs, refused, w));
	if (!all)
		TRY(items_write(w, rq, &n));
	jw_kstr(w, "title", all ? STR("Take out everything of mine") : n == 1 ? STR("Take out one contribution") : n ? str_fmt(a, "Take out %zu contributions", n) : STR("Take something out"));
	jw_kstr(w, "coop", rq->coop.slug);
	jw_kbool(w, "all", all);
	jw_kbool(w, "any", n > 0);
	jw_kbool(w, "none", !all && n == 0);
	jw_kstr(w, "tomorrow", words_day_iso(a, clock_now() + CLOCK_DAY));
	jw_kstr(w, "backups_until", words_day(a, pool_backups_until(clock_now()).content));
	kind_write(w, rq);
	return ERR_OK;
}

static enum err ask_again(struct request *rq, struct response *rs, enum err refused)
{
	struct buf b;
	struct json_writer w = page_begin(&b);
	return page_end(rq, rs, "page/deletion_new", &b, &w, ask_data(&w, rq, rs, refused));
}

static enum err ask_page(struct request *rq, struct response *rs)
{
	return ask_again(rq, rs, ERR_OK);
}

/* ---- What the form says ---- */

/* The content with what was typed in the place of its texts; how it may be used stays as it was said. */
static enum err replacement_of_form(struct request *rq, struct uuid id, const struct json **out)
{
	struct call *c = rq->call;
	struct contribution item;
	struct str content;
	const struct json *json;
	struct json_writer w;
	struct buf b;
	TRY(pool_read(c, rq->coop.id, id, &item, &content));
	if (!content.p)
		return fail(c, ERR_GONE, "This contribution was erased already.");
	TRY(json_parse(c->arena, content, &json, &c->error));
	for (const struct json *v = json; v; v = json_next(v)) {
		struct str typed = v->type == JSON_STRING ? request_form(rq, str_fmt(c->arena, "content.%.*s", STR_ARG(json_pointer(c->arena, v))).p) : STR_NONE;
		if (typed.p)
			((struct json *)(uintptr_t)v)->text = typed; /* the tree was parsed for this form alone */
	}
	buf_init(&b, LIMIT_BODY_ITEM * 2);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kz(&w, "kind", contribution_kind_word(item.kind));
	jw_kstr(&w, "lang", item.lang);
	jw_kz(&w, "licence", policy_licence_get(item.licence)->spdx);
	jw_key(&w, "content");
	jw_json(&w, json);
	jw_end_object(&w);
	struct str text = buf_take(c->arena, &b);
	return text.p ? json_parse(c->arena, text, out, &c->error) : fail(c, ERR_TOO_LARGE, "This is more than one contribution may hold.");
}

static enum err items_of_form(struct request *rq, struct erasure_wish *wish)
{
	struct str *ids;
	size_t n = request_form_all(rq, "item", &ids);
	struct uuid *items = ARENA_ARRAY(rq->call->arena, n + 1, struct uuid);
	for (size_t i = 0; i < n; i++)
		if (uuid_parse(ids[i], &items[wish->n_items]))
			wish->n_items++;
	wish->items = items;
	return wish->n_items ? ERR_OK : fail_field(rq->call, "/items", "Choose what it is about.");
}

static enum err wish_of_form(struct request *rq, struct erasure_wish *wish)
{
	struct call *c = rq->call;
	*wish = (struct erasure_wish){ .scope = wants_all(rq) ? ERASURE_COOP : ERASURE_ITEMS, .until = INSTANT_NONE, .issued_at = INSTANT_NONE, .expires_at = INSTANT_NONE };
	if (!erasure_kind_parse(request_form(rq, "kind"), &wish->kind))
		return fail_field(c, "/kind", "Choose what shall happen to it.");
	if (wish->scope == ERASURE_ITEMS)
		TRY(items_of_form(rq, wish));
	if (wish->kind == ERASURE_EMBARGO && !form_day(request_form(rq, "until"), &wish->until))
		return fail_field(c, "/until", "Say until which day.");
	if (wish->kind == ERASURE_CORRECT && wish->n_items == 1)
		TRY(replacement_of_form(rq, wish->items[0], &wish->replacement));
	return ERR_OK;
}

static const char *ask_flash(const struct erasure *e)
{
	switch (e->kind) {
	case ERASURE_WITHDRAW_FUTURE:
		return "Done: no new release has it.";
	case ERASURE_EMBARGO:
		return "Done: it is kept back until then.";
	case ERASURE_CORRECT:
		return "Done: the new one is in the pool, and the old one is being erased everywhere.";
	default:
		return "It counts from now on. The content is being destroyed.";
	}
}

static enum err ask_form(struct request *rq, struct response *rs)
{
	struct erasure_wish wish;
	struct erasure e;
	enum err err = wish_of_form(rq, &wish);
	if (err == ERR_OK)
		err = erasure_ask(rq->call, rq->coop.id, &wish, &e);
	if (err != ERR_OK)
		return ask_again(rq, rs, err);
	return response_done(rq, rs, str_of(ask_flash(&e)), erasure_path(rq->call->arena, rq->coop.slug, &e));
}

/* ---- About me, by somebody else ---- */

static enum err claim_again(struct request *rq, struct response *rs, enum err refused)
{
	static const char *const names[] = { "item", "statement" };
	struct buf b;
	struct json_writer w = page_begin(&b);
	enum err e = page_form_refused(rq, rs, refused, &w);
	jw_kz(&w, "title", "Something here is about me");
	jw_kstr(&w, "coop", rq->coop.slug);
	jw_kbool(&w, "signed_in", !uuid_is_nil(rq->call->actor.account));
	typed_write(&w, rq, names, CH_LEN(names));
	return page_end(rq, rs, "page/claim", &b, &w, e);
}

/* The address of the page may name the item, as a release's rows do. */
static enum err claim_page(struct request *rq, struct response *rs)
{
	return claim_again(rq, rs, ERR_OK);
}

/* One number a line or separated by spaces: "dc:<co-op>:<id>", or the id alone. */
static enum err claimed_items(struct request *rq, struct erasure_wish *wish)
{
	struct str rest = str_copy(rq->call->arena, request_form(rq, "item")), line, coop;
	struct uuid *items = ARENA_ARRAY(rq->call->arena, ERASURE_CLAIM_ITEMS, struct uuid);
	for (size_t i = 0; i < rest.n; i++)
		if (rest.p[i] == '\r' || rest.p[i] == ' ' || rest.p[i] == ',')
			((char *)(uintptr_t)rest.p)[i] = '\n';
	while (rest.p && str_split(&rest, '\n', &line)) {
		struct uuid id;
		line = str_trim(line);
		if (!line.n)
			continue;
		if (!rid_parse(line, &coop, &id) && !uuid_parse(line, &id))
			return fail_field(rq->call, "/item", "This is no number of an item: it looks like dc:, the co-op's name and an id.");
		if (wish->n_items == ERASURE_CLAIM_ITEMS)
			return fail_field(rq->call, "/item", "Name at most %d at a time.", ERASURE_CLAIM_ITEMS);
		items[wish->n_items++] = id;
	}
	wish->items = items;
	return wish->n_items ? ERR_OK : fail_field(rq->call, "/item", "Say which item.");
}

/* What the operation calls "claim" and "items" is called otherwise in the form. */
static enum err claim_refused(struct request *rq, struct response *rs, enum err err)
{
	for (struct fault *f = rq->call->error.faults; f; f = f->next) {
		if (str_starts(f->pointer, "/items"))
			f->pointer = STR("/item");
		else if (str_is(f->pointer, "/claim"))
			f->pointer = STR("/statement");
	}
	return claim_again(rq, rs, err);
}

static enum err claim_form(struct request *rq, struct response *rs)
{
	struct erasure_wish wish = { .kind = ERASURE_ERASE, .scope = ERASURE_ITEMS, .until = INSTANT_NONE, .about_me = true, .claim = str_trim(request_form(rq, "statement")), .issued_at = INSTANT_NONE, .expires_at = INSTANT_NONE };
	struct erasure e;
	enum err err = claimed_items(rq, &wish);
	if (err == ERR_OK)
		err = erasure_ask(rq->call, rq->coop.id, &wish, &e);
	if (err == ERR_NOT_FOUND)
		err = fail_field(rq->call, "/item", "There is no such item here. Perhaps it was taken out already.");
	if (err != ERR_OK)
		return claim_refused(rq, rs, err);
	return response_done(rq, rs, STR("It is held back from every release from now on. An admin of the co-op decides about it."), erasure_path(rq->call->arena, rq->coop.slug, &e));
}

const struct route erasure_ask_page_routes[] = {
	{ "GET", "/coops/{coop}/deletions/new", "page_deletion_new", PERM_MEMBER, 0, NULL, "text/html", 200, ask_page, "Ask for a deletion" },
	{ "POST", "/coops/{coop}/deletions", "page_deletion_ask", PERM_MEMBER, LIMIT_BODY_ITEM, "form", "text/html", 303, ask_form, "Ask for a deletion" },
	{ "GET", "/coops/{coop}/claim", "page_claim", PERM_OPTIONAL, 0, NULL, "text/html", 200, claim_page, "An item is about me" },
	{ "POST", "/coops/{coop}/claim", "page_claim_form", PERM_ACCOUNT, LIMIT_BODY_SMALL, "form", "text/html", 303, claim_form, "An item is about me" },
	ROUTE_TABLE_END,
};
