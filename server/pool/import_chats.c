/* import_chats.c - conversations: our own lines, ShareGPT, and the exports of OpenAI and Anthropic accounts. */
#include "server/pool/import_internal.h"

#define CLIMB 20000 /* longest branch of an account's conversation that is followed, hidden steps included */

/* The text of a message's content: a string, or the text parts of a list; *left_out counts the other parts. STR_NONE when there is none. */
static struct str import_content_text(struct import *im, const struct json *content, size_t *left_out)
{
	if (json_is(content, JSON_STRING))
		return content->text;
	if (!json_is(content, JSON_ARRAY))
		return STR_NONE;
	size_t room = 0, n = 0;
	json_each (part, content)
		room += 2 + (json_is(part, JSON_STRING) ? part->text.n : json_member_text(part, "text").n);
	char *joined = arena_alloc(im->row, room + 1);
	json_each (part, content) {
		struct str text = json_is(part, JSON_STRING) ? part->text : json_member_text(part, "text");
		if (!text.p) {
			++*left_out;
			continue;
		}
		if (n && text.n) {
			memcpy(joined + n, "\n\n", 2);
			n += 2;
		}
		if (text.n)
			memcpy(joined + n, text.p, text.n);
		n += text.n;
	}
	return n ? str_make(joined, n) : STR_NONE;
}

/* The first of a message's members that formats use for the same thing. */
static const struct json *either(const struct json *o, const char *a, const char *b, const char *c)
{
	const struct json *v = json_get(o, a);
	if (!v)
		v = json_get(o, b);
	return v ? v : json_get(o, c);
}

bool import_turns(struct import *im, const struct json *list, struct import_turn **turns, size_t *n)
{
	*n = 0;
	if (!json_is(list, JSON_ARRAY))
		return false;
	*turns = ARENA_ARRAY(im->row, list->count ? list->count : 1, struct import_turn);
	json_each (message, list) {
		size_t left_out = 0;
		const char *role = import_role(json_text(either(message, "role", "from", "sender")));
		struct str content = import_content_text(im, either(message, "content", "value", "text"), &left_out);
		if (!role || !content.p)
			return false;
		(*turns)[(*n)++] = (struct import_turn){ role, content };
	}
	return true;
}

void import_write_turns(struct json_writer *w, const char *key, const struct import_turn *turns, size_t n)
{
	jw_key(w, key);
	jw_array(w);
	for (size_t i = 0; i < n; i++)
		import_message(w, turns[i].role, turns[i].content);
	jw_end_array(w);
}

static bool answered(const struct import_turn *turns, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(turns[i].role, "assistant") == 0)
			return n >= 2;
	return false;
}

/* Members of a row of our own that the options fill in where they are missing. */
static bool lacks_default(const struct import *im, const struct json *row)
{
	const struct import_options *o = im->options;
	return (o->lang.p && !json_get(row, "lang")) || (o->licence.p && !json_get(row, "licence")) || (o->attribution.p && !json_get(row, "attribution"));
}

static void write_missing(struct json_writer *w, const struct json *row, const char *key, struct str value)
{
	if (value.p && !json_get(row, key))
		jw_kstr(w, key, value);
}

enum err import_row_jsonl(struct import *im, const struct json *row)
{
	const struct json *given = json_at(row, "/source/ids");
	size_t n = 0;
	struct str *ids = ARENA_ARRAY(im->row, json_is(given, JSON_ARRAY) && given->count ? given->count : 1, struct str);
	if (json_is(given, JSON_ARRAY))
		json_each (id, given)
			ids[n++] = json_text(id);
	if (!lacks_default(im, row))
		return import_emit(im, row, STR_NONE, ids, n);
	struct json_writer w;
	buf_clear(&im->text);
	im->text.failed = false;
	jw_init(&w, &im->text);
	jw_object(&w);
	json_each (member, row) {
		jw_key_str(&w, member->key);
		jw_json(&w, member);
	}
	write_missing(&w, row, "lang", im->options->lang);
	write_missing(&w, row, "licence", im->options->licence);
	write_missing(&w, row, "attribution", im->options->attribution);
	jw_end_object(&w);
	return import_emit_text(im, STR_NONE, ids, n);
}

/* A row's own id, in the forms that occur; at most one. */
static size_t row_id(struct import *im, const struct json *row, struct str *id)
{
	const struct json *v = either(row, "id", "conversation_id", "uuid");
	*id = json_is(v, JSON_NUMBER) ? v->text : json_text(v);
	if (id->n > IMPORT_ID_BYTES)
		*id = str_fmt(im->row, "sha256:%.*s", STR_ARG(sha256_hex(im->row, sha256(*id))));
	return id->n > 0;
}

enum err import_row_sharegpt(struct import *im, const struct json *row)
{
	struct import_turn *turns;
	size_t n;
	struct str id, model = json_member_text(row, "model"), system = json_member_text(row, "system");
	size_t ids = row_id(im, row, &id);
	if (!import_turns(im, either(row, "conversations", "messages", "conversation"), &turns, &n)) {
		import_refuse(im, im->line, IMPORT_REASON_INVALID, STR("/conversations"), STR("It is no list of messages with a role and a text each."), id);
		return ERR_OK;
	}
	if (!answered(turns, n)) {
		import_refuse(im, im->line, IMPORT_REASON_EMPTY, STR_NONE, STR_NONE, id);
		return ERR_OK;
	}
	struct json_writer w;
	import_begin(im, &w, POLICY_KIND_CHAT, json_member_text(row, "lang"));
	if (model.n)
		jw_kstr(&w, "model", model);
	jw_key(&w, "content");
	jw_object(&w);
	jw_key(&w, "messages");
	jw_array(&w);
	if (system.n)
		import_message(&w, "system", system);
	for (size_t i = 0; i < n; i++)
		import_message(&w, turns[i].role, turns[i].content);
	jw_end_array(&w);
	jw_end_object(&w);
	import_end(im, &w, "sharegpt", &id, NULL, ids);
	return import_emit_text(im, STR_NONE, &id, ids);
}

/* What an account export tells about one conversation, whichever service it is from. */
struct account_chat {
	const char *system, *application, *provider; /* who ran it */
	struct str title, model;                     /* as exported; may be absent */
	instant created;                             /* INSTANT_NONE when it does not say */
	struct import_turn *turns;                   /* what is shown to the account's holder, in order */
	struct str *ids;                             /* the turns' ids */
	size_t n;                                    /* how many turns */
	size_t left_out;                             /* parts that are no text: pictures, sounds, files */
};

static enum err emit_account_chat(struct import *im, const struct account_chat *c, struct str id)
{
	if (!answered(c->turns, c->n)) {
		import_refuse(im, im->line, IMPORT_REASON_EMPTY, STR_NONE, STR_NONE, id);
		return ERR_OK;
	}
	struct json_writer w;
	import_begin(im, &w, POLICY_KIND_CHAT, STR_NONE);
	jw_kz(&w, "application", c->application);
	jw_key(&w, "provider");
	jw_object(&w);
	jw_kz(&w, "name", c->provider);
	jw_end_object(&w);
	if (c->model.n)
		jw_kstr(&w, "model", c->model);
	if (c->created != INSTANT_NONE)
		jw_kstr(&w, "created", clock_format(im->row, c->created));
	if (c->left_out) {
		jw_key(&w, "processing");
		jw_array(&w);
		jw_object(&w);
		jw_kz(&w, "processor", "commonhold import");
		jw_kz(&w, "stage", "pre_submission");
		jw_key(&w, "found");
		jw_object(&w);
		jw_kint(&w, "parts_without_text_left_out", (int64_t)c->left_out);
		jw_end_object(&w);
		jw_end_object(&w);
		jw_end_array(&w);
	}
	jw_key(&w, "content");
	jw_object(&w);
	if (c->title.n)
		jw_kstr(&w, "title", c->title);
	import_write_turns(&w, "messages", c->turns, c->n);
	jw_end_object(&w);
	import_end(im, &w, c->system, c->ids, NULL, c->n);
	return import_emit_text(im, STR_NONE, c->ids, c->n);
}

static bool is_id(struct str id)
{
	return id.n > 0 && id.n <= IMPORT_ID_BYTES;
}

/* Adds a message of an OpenAI export when its reader saw it: not hidden, not a call to a tool, with some text. */
static void add_openai_turn(struct import *im, struct account_chat *c, const struct json *node)
{
	const struct json *message = json_get(node, "message"), *content = json_get(message, "content"), *meta = json_get(message, "metadata");
	const char *role = import_role(json_text(json_at(message, "/author/role")));
	struct str type = json_member_text(content, "content_type"), recipient = json_member_text(message, "recipient"), id = json_member_text(message, "id");
	const struct json *weight = json_get(message, "weight");
	if (!role || (strcmp(role, "user") != 0 && strcmp(role, "assistant") != 0) || !is_id(id) || c->n == IMPORT_MESSAGES)
		return;
	if ((recipient.p && !str_is(recipient, "all")) || json_bool(json_get(meta, "is_visually_hidden_from_conversation"), false))
		return;
	if ((!str_is(type, "text") && !str_is(type, "multimodal_text")) || (json_is(weight, JSON_NUMBER) && json_int(weight, 1) == 0))
		return;
	struct str text = import_content_text(im, json_get(content, "parts"), &c->left_out);
	if (!text.p)
		return;
	struct str model = json_member_text(meta, "model_slug");
	if (model.n && strcmp(role, "assistant") == 0 && !c->model.n)
		c->model = model;
	c->turns[c->n] = (struct import_turn){ role, text };
	c->ids[c->n++] = id;
}

static instant from_epoch_seconds(const struct json *v)
{
	int64_t seconds;
	struct str whole = STR_NONE, rest = json_is(v, JSON_NUMBER) ? v->text : STR_NONE;
	if (!rest.p || !str_split(&rest, '.', &whole) || !str_to_i64(whole, 0, INT64_C(253402300799), &seconds))
		return INSTANT_NONE;
	return seconds * CLOCK_SECOND;
}

/* The conversation is a tree of edits; what its owner last saw is the branch that ends at current_node. */
enum err import_row_openai(struct import *im, const struct json *row)
{
	const struct json *mapping = json_get(row, "mapping"), *title = json_get(row, "title");
	struct str id, at = json_member_text(row, "current_node");
	row_id(im, row, &id);
	if (!json_is(mapping, JSON_OBJECT) || !at.p) {
		import_refuse(im, im->line, IMPORT_REASON_INVALID, STR("/mapping"), STR("It is no conversation of an OpenAI account export."), id);
		return ERR_OK;
	}
	const struct json **branch = ARENA_ARRAY(im->row, CLIMB, const struct json *);
	size_t steps = 0;
	for (const struct json *node; steps < CLIMB && steps < mapping->count && at.p && (node = json_get_str(mapping, at)); at = json_member_text(node, "parent"))
		branch[steps++] = node;
	struct account_chat c = { "openai", "ChatGPT", "OpenAI", .title = json_text(title), .created = from_epoch_seconds(json_get(row, "create_time")) };
	c.turns = ARENA_ARRAY(im->row, IMPORT_MESSAGES, struct import_turn);
	c.ids = ARENA_ARRAY(im->row, IMPORT_MESSAGES, struct str);
	size_t all = steps;
	while (steps > 0)
		add_openai_turn(im, &c, branch[--steps]);
	if (c.n == IMPORT_MESSAGES || all == CLIMB) {
		import_refuse(im, im->line, IMPORT_REASON_TOO_LARGE, STR("/mapping"), STR("It has more messages than a conversation may have."), id);
		return ERR_OK;
	}
	return emit_account_chat(im, &c, id);
}

enum err import_row_anthropic(struct import *im, const struct json *row)
{
	const struct json *messages = json_get(row, "chat_messages");
	struct str id;
	row_id(im, row, &id);
	if (!json_is(messages, JSON_ARRAY)) {
		import_refuse(im, im->line, IMPORT_REASON_INVALID, STR("/chat_messages"), STR("It is no conversation of an Anthropic account export."), id);
		return ERR_OK;
	}
	struct account_chat c = { "anthropic", "Claude", "Anthropic", .title = json_member_text(row, "name"), .model = json_member_text(row, "model") };
	if (!clock_parse(json_member_text(row, "created_at"), &c.created))
		c.created = INSTANT_NONE;
	c.turns = ARENA_ARRAY(im->row, messages->count ? messages->count : 1, struct import_turn);
	c.ids = ARENA_ARRAY(im->row, messages->count ? messages->count : 1, struct str);
	json_each (message, messages) {
		const char *role = import_role(json_member_text(message, "sender"));
		struct str text = import_content_text(im, json_get(message, "content"), &c.left_out), message_id = json_member_text(message, "uuid");
		const struct json *files = json_get(message, "files");
		if (!text.p)
			text = json_member_text(message, "text");
		c.left_out += json_is(files, JSON_ARRAY) ? files->count : 0;
		if (!role || !text.n || !is_id(message_id))
			continue;
		c.turns[c.n] = (struct import_turn){ role, text };
		c.ids[c.n++] = message_id;
	}
	return emit_account_chat(im, &c, id);
}
