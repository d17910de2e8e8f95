/* import_oasst.c - gathers OpenAssistant messages into trees: flat rows by message_tree_id behind a bounded window, nested trees at once. */
#include "server/pool/import_oasst.h"

#include <sodium.h>

#define BUCKETS 4096
#define SEARCH_DEPTH 64 /* levels of a nested tree; the JSON parser allows fewer */

struct oasst {
	struct import *im;                  /* the run */
	struct oasst_tree *bucket[BUCKETS]; /* open trees by id */
	struct oasst_tree *oldest, *newest; /* open trees by last message */
	struct oasst_tree *ready;           /* a nested tree that is complete */
	size_t held;                        /* bytes of all open trees */
};

struct str oasst_view(const struct oasst_tree *t, struct oasst_text v)
{
	return v.n ? str_make(t->text.p + v.at, v.n) : STR_NONE;
}

static struct oasst_tree *tree_new(struct str id)
{
	struct oasst_tree *t = calloc(1, sizeof(*t));
	char *copy = malloc(id.n + 1);
	if (!t || !copy) {
		free(t);
		free(copy);
		return NULL;
	}
	if (id.n)
		memcpy(copy, id.p, id.n);
	t->id = str_make(copy, id.n);
	t->held = sizeof(*t) + id.n;
	buf_init(&t->text, IMPORT_TREE_BYTES);
	return t;
}

static void tree_free(struct oasst_tree *t)
{
	if (!t)
		return;
	buf_release(&t->text);
	free(t->node);
	free((void *)(uintptr_t)t->id.p);
	free(t);
}

struct oasst *oasst_new(struct import *im)
{
	struct oasst *o = calloc(1, sizeof(*o));
	if (o)
		o->im = im;
	return o;
}

void oasst_free(struct oasst *o)
{
	while (o->oldest) {
		struct oasst_tree *t = o->oldest;
		o->oldest = t->newer;
		tree_free(t);
	}
	tree_free(o->ready);
	free(o);
}

/* Keyed, so that nobody can make all trees share a bucket. */
static struct oasst_tree **find_tree(struct oasst *o, struct str id)
{
	unsigned char hash[crypto_shorthash_BYTES];
	uint32_t h;
	crypto_shorthash(hash, (const unsigned char *)id.p, id.n, o->im->options->pseudonym_key);
	memcpy(&h, hash, sizeof(h));
	struct oasst_tree **at = &o->bucket[h % BUCKETS];
	while (*at && !str_eq((*at)->id, id))
		at = &(*at)->chain;
	return at;
}

static void unlink_age(struct oasst *o, struct oasst_tree *t)
{
	*(t->older ? &t->older->newer : &o->oldest) = t->newer;
	*(t->newer ? &t->newer->older : &o->newest) = t->older;
	t->older = t->newer = NULL;
}

static void link_newest(struct oasst *o, struct oasst_tree *t)
{
	t->older = o->newest;
	*(o->newest ? &o->newest->newer : &o->oldest) = t;
	o->newest = t;
}

static struct oasst_text keep_text(struct oasst_tree *t, struct str s)
{
	struct oasst_text v = { (uint32_t)t->text.n, (uint32_t)s.n };
	if (s.n)
		buf_add_str(&t->text, s);
	return v;
}

/* Labels are {"name": {"value", "count"}} in one export and parallel lists in the other; both become ratings. */
static void write_rating(struct json_writer *w, struct str name, const struct json *value, int64_t raters)
{
	char word[50];
	if (name.n == 0 || name.n > sizeof(word) || !json_is(value, JSON_NUMBER))
		return;
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		word[i] = (char)(c >= 'A' && c <= 'Z' ? c | 32 : (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9' && i > 0) ? c : '_');
	}
	jw_object(w);
	jw_kstr(w, "name", str_make(word, name.n));
	if (raters > 0)
		jw_kint(w, "raters", raters);
	jw_key(w, "value");
	jw_json(w, value);
	jw_end_object(w);
}

/* The i-th of a list; lists are short and read in step. */
static const struct json *next_of(const struct json *v)
{
	return v ? v->next : NULL;
}

static struct oasst_text keep_ratings(struct oasst_tree *t, const struct json *labels)
{
	struct oasst_text v = { (uint32_t)t->text.n, 0 };
	const struct json *names = json_get(labels, "name");
	struct json_writer w;
	if (!json_is(labels, JSON_OBJECT))
		return v;
	jw_init(&w, &t->text);
	jw_array(&w);
	if (json_is(names, JSON_ARRAY)) {
		const struct json *values = json_get(labels, "value"), *counts = json_get(labels, "count");
		const struct json *value = values ? values->child : NULL, *count = counts ? counts->child : NULL;
		json_each (name, names) {
			write_rating(&w, json_text(name), value, json_int(count, 0));
			value = next_of(value);
			count = next_of(count);
		}
	} else {
		json_each (label, labels)
			write_rating(&w, label->key, json_get(label, "value"), json_int(json_get(label, "count"), 0));
	}
	jw_end_array(&w);
	v.n = (uint32_t)(t->text.n - v.at);
	if (v.n == 2)
		v.n = 0;
	return v;
}

static void keep_signal(struct oasst *o, struct oasst_node *node, struct str name, int64_t count)
{
	int which = str_is(name, "+1") ? OASST_UP : str_is(name, "-1") ? OASST_DOWN : str_is(name, "red_flag") ? OASST_FLAG : -1;
	if (which >= 0 && count > 0 && count <= 1000000000)
		node->signal[which] += (uint32_t)count;
	else
		o->im->counts->ignored++;
}

static void keep_signals(struct oasst *o, struct oasst_node *node, const struct json *emojis)
{
	const struct json *names = json_get(emojis, "name");
	if (!json_is(names, JSON_ARRAY)) {
		if (json_is(emojis, JSON_OBJECT))
			json_each (emoji, emojis)
				keep_signal(o, node, emoji->key, json_int(emoji, 0));
		return;
	}
	const struct json *counts = json_get(emojis, "count"), *count = counts ? counts->child : NULL;
	json_each (name, names) {
		keep_signal(o, node, json_text(name), json_int(count, 0));
		count = next_of(count);
	}
}

static struct oasst_node *add_node(struct oasst_tree *t)
{
	if (t->nodes == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 8;
		struct oasst_node *grown = cap > 2 * IMPORT_TREE_MESSAGES ? NULL : realloc(t->node, cap * sizeof(*grown));
		if (!grown)
			return NULL;
		t->node = grown;
		t->cap = cap;
	}
	if (t->nodes >= IMPORT_TREE_MESSAGES)
		return NULL;
	t->node[t->nodes] = (struct oasst_node){ .rank = -1, .up = -1, .first = -1, .next = -1, .last = -1 };
	return &t->node[t->nodes++];
}

/* Why a row is no message; NULL when it is one. A deleted one may have lost its text. */
static const char *message_problem(const struct json *row, const char **pointer)
{
	struct str id = json_member_text(row, "message_id"), role = json_member_text(row, "role");
	*pointer = "/message_id";
	if (id.n == 0 || id.n > IMPORT_ID_BYTES)
		return "It has no id, or one that is too long.";
	*pointer = "/role";
	if (!import_role(role))
		return "It says nobody's role.";
	*pointer = "/text";
	if (!import_is_deleted(row) && json_member_text(row, "text").n == 0)
		return "It has no text.";
	return NULL;
}

/* Copies a message into the tree. `parent` is what the nesting says, or absent where the row says it itself. */
static void keep_message(struct oasst *o, struct oasst_tree *t, const struct json *row, struct str parent)
{
	const char *pointer, *problem = message_problem(row, &pointer);
	struct str id = json_member_text(row, "message_id");
	if (problem) {
		import_refuse(o->im, o->im->line, IMPORT_REASON_INVALID, str_of(pointer), str_of(problem), id);
		return;
	}
	size_t before = t->text.n, nodes_before = t->cap;
	struct oasst_node *node = t->too_large ? NULL : add_node(t);
	if (node) {
		const char *role = import_role(json_member_text(row, "role"));
		node->id = keep_text(t, id);
		node->parent = keep_text(t, parent.p ? parent : json_member_text(row, "parent_id"));
		node->user = keep_text(t, json_member_text(row, "user_id"));
		node->text = keep_text(t, json_member_text(row, "text"));
		node->lang = keep_text(t, json_member_text(row, "lang"));
		node->created = keep_text(t, json_member_text(row, "created_date"));
		node->model = keep_text(t, json_member_text(row, "model_name"));
		node->ratings = keep_ratings(t, json_get(row, "labels"));
		keep_signals(o, node, json_get(row, "emojis"));
		node->rank = (int32_t)json_int(json_get(row, "rank"), -1);
		node->rank = node->rank < -1 || node->rank >= 1000 ? -1 : node->rank;
		node->assistant = strcmp(role, "assistant") == 0;
		node->deleted = import_is_deleted(row);
		node->line = o->im->line;
	}
	if (!node || t->text.failed) {
		t->too_large = true;
		import_refuse(o->im, o->im->line, IMPORT_REASON_TREE_TOO_LARGE, STR_NONE, STR_NONE, id);
	}
	t->held += t->text.n - before + (t->cap - nodes_before) * sizeof(*t->node);
}

/* Walks a nested tree in document order, without recursion. */
static enum err keep_nested(struct oasst *o, const struct json *row)
{
	const struct json *root = json_get(row, "prompt");
	struct oasst_tree *t = tree_new(json_member_text(row, "message_tree_id"));
	if (!t)
		return error_set(o->im->e, ERR_NO_MEMORY, "There is no memory for the import.");
	o->ready = t;
	o->im->counts->rows--;
	const struct json *path[SEARCH_DEPTH];
	size_t depth = 0;
	const struct json *at = root;
	while (at) {
		o->im->counts->rows++;
		keep_message(o, t, at, depth ? json_member_text(path[depth - 1], "message_id") : STR(""));
		const struct json *replies = json_get(at, "replies");
		if (json_is(replies, JSON_ARRAY) && replies->child && depth < SEARCH_DEPTH) {
			path[depth++] = at;
			at = replies->child;
			continue;
		}
		while (at && !at->next && depth > 0)
			at = path[--depth];
		at = depth > 0 && at ? at->next : NULL;
	}
	return ERR_OK;
}

enum err oasst_row(struct oasst *o, const struct json *row)
{
	if (json_is(json_get(row, "prompt"), JSON_OBJECT))
		return keep_nested(o, row);
	struct str tree = json_member_text(row, "message_tree_id");
	if (tree.n == 0 || tree.n > IMPORT_ID_BYTES) {
		import_refuse(o->im, o->im->line, IMPORT_REASON_INVALID, STR("/message_tree_id"), STR("It does not say to which tree it belongs."),
			json_member_text(row, "message_id"));
		return ERR_OK;
	}
	struct oasst_tree **slot = find_tree(o, tree), *t = *slot;
	if (t) {
		unlink_age(o, t);
	} else {
		t = *slot = tree_new(tree);
		if (!t)
			return error_set(o->im->e, ERR_NO_MEMORY, "There is no memory for the import.");
		o->held += t->held;
	}
	link_newest(o, t);
	size_t before = t->held;
	keep_message(o, t, row, STR_NONE);
	o->held += t->held - before;
	return ERR_OK;
}

/* A tree, as import_guarded hands it on. */
struct tree_in_hand { struct import *im; struct oasst_tree *t; };

static enum err emit_tree(void *arg)
{
	struct tree_in_hand *h = arg;
	return oasst_tree_emit(h->im, h->t);
}

/* Emits and frees a tree that is linked nowhere any more. */
static enum err finish_tree(struct oasst *o, struct oasst_tree *t)
{
	bool exhausted = false;
	uint64_t line = t->nodes ? t->node[t->nodes - 1].line : o->im->line;
	enum err code = t->too_large ? ERR_OK : import_guarded(o->im, emit_tree, &(struct tree_in_hand){ o->im, t }, &exhausted);
	for (size_t i = 0; t->too_large && i < t->nodes; i++)
		import_refuse(o->im, t->node[i].line, IMPORT_REASON_TREE_TOO_LARGE, STR_NONE, STR_NONE, STR_NONE);
	if (exhausted)
		import_refuse(o->im, line, IMPORT_REASON_TREE_TOO_LARGE, STR_NONE, STR_NONE, STR_NONE);
	tree_free(t);
	return code;
}

static enum err finish_oldest(struct oasst *o)
{
	struct oasst_tree *t = o->oldest;
	unlink_age(o, t);
	*find_tree(o, t->id) = t->chain;
	o->held -= t->held;
	return finish_tree(o, t);
}

enum err oasst_settle(struct oasst *o)
{
	if (o->ready) {
		struct oasst_tree *t = o->ready;
		o->ready = NULL;
		TRY(finish_tree(o, t));
	}
	while (o->held > IMPORT_WINDOW)
		TRY(finish_oldest(o));
	return ERR_OK;
}

enum err oasst_finish(struct oasst *o)
{
	TRY(oasst_settle(o));
	while (o->oldest)
		TRY(finish_oldest(o));
	return ERR_OK;
}
