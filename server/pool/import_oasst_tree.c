/* import_oasst_tree.c - what becomes of one OpenAssistant tree: chats, preferences, signals and feedback of its live messages. */
#include "server/pool/import_oasst.h"

#define SYSTEM "openassistant"
#define TREE_OUTPUT (64 * MIB) /* all that one tree may give: pairs repeat their whole prompt */

/* One tree being turned into contributions. */
struct work {
	struct import *im;         /* the run */
	struct oasst_tree *t;      /* the tree */
	uint32_t *by_id;           /* indices of the nodes in order of id, then of the file */
	int32_t *path;             /* from the root to the message in hand */
	size_t depth;              /* of it */
	struct str *ids, *authors; /* of the path */
	uint64_t bytes, items;     /* given so far */
};

static struct str node_id(const struct oasst_tree *t, size_t i)
{
	return oasst_view(t, t->node[i].id);
}

static int by_id(const void *a, const void *b, void *arg)
{
	const struct oasst_tree *t = arg;
	uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
	int order = str_cmp(node_id(t, i), node_id(t, k));
	return order ? order : i < k ? -1 : i > k;
}

static int32_t find_node(const struct work *w, struct str id)
{
	size_t low = 0, high = w->t->nodes;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (str_cmp(node_id(w->t, w->by_id[middle]), id) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < w->t->nodes && str_eq(node_id(w->t, w->by_id[low]), id) ? (int32_t)w->by_id[low] : -1;
}

/* The same id twice: the first stands, but if any of them is marked deleted, so is the message. */
static void mark_duplicates(struct work *w)
{
	struct oasst_node *node = w->t->node;
	for (size_t i = 1, first = 0; i < w->t->nodes; i++) {
		if (!str_eq(node_id(w->t, w->by_id[i]), node_id(w->t, w->by_id[first]))) {
			first = i;
			continue;
		}
		node[w->by_id[i]].duplicate = true;
		node[w->by_id[first]].deleted = node[w->by_id[first]].deleted || node[w->by_id[i]].deleted;
	}
}

/* Children in order of the file, then life from the roots down, breadth first: a cycle or a lost branch is never reached. */
static void link_and_enliven(struct work *w)
{
	struct oasst_node *node = w->t->node;
	uint32_t *queue = ARENA_ARRAY(w->im->row, w->t->nodes, uint32_t);
	size_t head = 0, tail = 0;
	for (size_t i = 0; i < w->t->nodes; i++) {
		struct oasst_node *n = &node[i];
		if (n->duplicate)
			continue;
		if (n->parent.n == 0) {
			n->live = !n->deleted;
			if (n->live)
				queue[tail++] = (uint32_t)i;
			continue;
		}
		n->up = find_node(w, oasst_view(w->t, n->parent));
		if (n->up < 0)
			continue;
		struct oasst_node *up = &node[n->up];
		*(up->last < 0 ? &up->first : &node[up->last].next) = (int32_t)i;
		up->last = (int32_t)i;
	}
	while (head < tail)
		for (int32_t c = node[queue[head++]].first; c >= 0; c = node[c].next)
			if (!node[c].deleted) {
				node[c].live = true;
				queue[tail++] = (uint32_t)c;
			}
}

/* Whether something above it is deleted; otherwise what it lacks is a parent. */
static bool under_deleted(const struct oasst_tree *t, const struct oasst_node *n)
{
	size_t steps = 0;
	for (int32_t up = n->up; up >= 0 && steps <= t->nodes; up = t->node[up].up, steps++)
		if (t->node[up].deleted)
			return true;
	return false;
}

static void refuse_the_dead(struct work *w)
{
	for (size_t i = 0; i < w->t->nodes; i++) {
		const struct oasst_node *n = &w->t->node[i];
		if (n->live)
			continue;
		enum import_reason reason = n->duplicate ? IMPORT_REASON_DUPLICATE_ID : n->deleted ? IMPORT_REASON_DELETED
			: under_deleted(w->t, n) ? IMPORT_REASON_UNDER_DELETED : IMPORT_REASON_PARENT_MISSING;
		import_refuse(w->im, n->line, reason, STR_NONE, STR_NONE, node_id(w->t, i));
	}
}

/* Pairs of assistants' rows with one parent id and different ranks, over the rows as they are. */
static void count_ranked_pairs(struct work *w)
{
	uint32_t tally[1000];
	struct oasst_tree *t = w->t;
	uint32_t *first_of = ARENA_ARRAY(w->im->row, t->nodes, uint32_t), groups = 0;
	int32_t *next = ARENA_ARRAY(w->im->row, t->nodes, int32_t);
	/* siblings share a parent id; where the parent is there they are linked already, the others are few */
	for (size_t i = 0; i < t->nodes; i++) {
		next[i] = -1;
		if (t->node[i].rank < 0 || !t->node[i].assistant || t->node[i].parent.n == 0 || t->node[i].duplicate)
			continue;
		size_t g = 0;
		for (; g < groups; g++) {
			const struct oasst_node *other = &t->node[first_of[g]];
			if (t->node[i].up >= 0 ? other->up == t->node[i].up : str_eq(oasst_view(t, other->parent), oasst_view(t, t->node[i].parent)))
				break;
		}
		if (g == groups)
			first_of[groups++] = (uint32_t)i;
		else {
			next[i] = next[first_of[g]];
			next[first_of[g]] = (int32_t)i;
		}
	}
	for (uint32_t g = 0; g < groups; g++) {
		uint64_t before = 0;
		memset(tally, 0, sizeof(tally));
		for (int32_t i = (int32_t)first_of[g]; i >= 0; i = next[i]) {
			w->im->counts->pairs_ranked += before++ - tally[t->node[i].rank];
			tally[t->node[i].rank]++;
		}
	}
}

/* Fills path, ids and authors with what leads to node i; 0 when it is longer than a conversation may be. */
static size_t walk_up(struct work *w, int32_t i)
{
	size_t depth = 0;
	for (int32_t at = i; at >= 0; at = w->t->node[at].up)
		depth++;
	if (depth > IMPORT_MESSAGES)
		return 0;
	w->depth = depth;
	for (int32_t at = i; at >= 0; at = w->t->node[at].up) {
		depth--;
		w->path[depth] = at;
		w->ids[depth] = node_id(w->t, (size_t)at);
		w->authors[depth] = oasst_view(w->t, w->t->node[at].user);
	}
	return w->depth;
}

static void write_node(struct work *w, struct json_writer *out, int32_t i)
{
	const struct oasst_node *n = &w->t->node[i];
	import_message(out, n->assistant ? "assistant" : "user", oasst_view(w->t, n->text));
}

static void write_path(struct work *w, struct json_writer *out, const char *key)
{
	jw_key(out, key);
	jw_array(out);
	for (size_t i = 0; i < w->depth; i++)
		write_node(w, out, w->path[i]);
	jw_end_array(out);
}

static void begin(struct work *w, struct json_writer *out, enum policy_kind kind, const struct oasst_node *n)
{
	instant created;
	w->im->line = n->line;
	import_begin(w->im, out, kind, oasst_view(w->t, n->lang));
	jw_kz(out, "application", "Open Assistant");
	jw_kz(out, "prompted", "task");
	if (clock_parse(oasst_view(w->t, n->created), &created))
		jw_kstr(out, "created", oasst_view(w->t, n->created));
	if (n->model.n && n->model.n <= 200)
		jw_kstr(out, "model", oasst_view(w->t, n->model));
	jw_key(out, "content");
	jw_object(out);
}

/* Ends the item and gives it on; a tree that makes too much is cut off with a verdict. */
static enum err finish(struct work *w, struct json_writer *out, struct str user, const struct str *ids, const struct str *authors, size_t n)
{
	jw_end_object(out);
	import_end(w->im, out, SYSTEM, ids, authors, n);
	w->bytes += w->im->text.n;
	if (++w->items > IMPORT_TREE_ITEMS || w->bytes > TREE_OUTPUT) {
		import_refuse(w->im, w->im->line, IMPORT_REASON_TREE_TOO_LARGE, STR_NONE, STR_NONE, n ? ids[n - 1] : STR_NONE);
		return ERR_OK;
	}
	return import_emit_text(w->im, user, ids, n);
}

static bool has_live_child(const struct oasst_tree *t, const struct oasst_node *n)
{
	for (int32_t c = n->first; c >= 0; c = t->node[c].next)
		if (t->node[c].live)
			return true;
	return false;
}

static enum err emit_chat(struct work *w, int32_t leaf)
{
	const struct oasst_node *n = &w->t->node[leaf];
	bool answered = false;
	if (!walk_up(w, leaf)) {
		import_refuse(w->im, n->line, IMPORT_REASON_TOO_LARGE, STR_NONE, STR_NONE, node_id(w->t, (size_t)leaf));
		return ERR_OK;
	}
	for (size_t i = 0; i < w->depth; i++)
		answered = answered || w->t->node[w->path[i]].assistant;
	if (!answered || w->depth < 2) {
		import_refuse(w->im, n->line, IMPORT_REASON_EMPTY, STR_NONE, STR_NONE, node_id(w->t, (size_t)leaf));
		return ERR_OK;
	}
	struct json_writer out;
	begin(w, &out, POLICY_KIND_CHAT, n);
	write_path(w, &out, "messages");
	return finish(w, &out, oasst_view(w->t, n->user), w->ids, w->authors, w->depth);
}

static int by_rank(const void *a, const void *b, void *arg)
{
	const struct oasst_tree *t = arg;
	int32_t i = *(const int32_t *)a, k = *(const int32_t *)b;
	int order = (t->node[i].rank > t->node[k].rank) - (t->node[i].rank < t->node[k].rank);
	return order ? order : (i > k) - (i < k);
}

static enum err emit_pair(struct work *w, int32_t better, int32_t worse)
{
	const struct oasst_tree *t = w->t;
	struct json_writer out;
	struct str text[2] = { oasst_view(t, t->node[better].text), oasst_view(t, t->node[worse].text) };
	w->ids[w->depth] = node_id(t, (size_t)better);
	w->ids[w->depth + 1] = node_id(t, (size_t)worse);
	w->authors[w->depth] = oasst_view(t, t->node[better].user);
	w->authors[w->depth + 1] = oasst_view(t, t->node[worse].user);
	begin(w, &out, POLICY_KIND_PREFERENCE, &t->node[worse]);
	write_path(w, &out, "prompt");
	import_write_turns(&out, "chosen", &(struct import_turn){ "assistant", text[0] }, 1);
	import_write_turns(&out, "rejected", &(struct import_turn){ "assistant", text[1] }, 1);
	jw_key(&out, "ranks");
	jw_array(&out);
	jw_int(&out, t->node[better].rank);
	jw_int(&out, t->node[worse].rank);
	jw_end_array(&out);
	uint64_t before = w->im->counts->by_kind[POLICY_KIND_PREFERENCE];
	enum err code = finish(w, &out, STR_NONE, w->ids, w->authors, w->depth + 2);
	w->im->counts->pairs_withheld -= w->im->counts->by_kind[POLICY_KIND_PREFERENCE] - before;
	return code;
}

static enum err emit_pairs(struct work *w, int32_t prompt)
{
	struct oasst_tree *t = w->t;
	struct arena_mark mark = arena_mark(w->im->row);
	size_t n = 0;
	for (int32_t c = t->node[prompt].first; c >= 0; c = t->node[c].next)
		n += t->node[c].live && t->node[c].assistant && t->node[c].rank >= 0;
	if (n < 2 || !walk_up(w, prompt))
		return ERR_OK;
	int32_t *answer = ARENA_ARRAY(w->im->row, n, int32_t);
	n = 0;
	for (int32_t c = t->node[prompt].first; c >= 0; c = t->node[c].next)
		if (t->node[c].live && t->node[c].assistant && t->node[c].rank >= 0)
			answer[n++] = c;
	qsort_r(answer, n, sizeof(*answer), by_rank, t);
	for (size_t i = 0; i < n; i++)
		for (size_t k = i + 1; k < n && w->items <= IMPORT_TREE_ITEMS && w->bytes <= TREE_OUTPUT; k++) {
			struct arena_mark item = arena_mark(w->im->row);
			if (t->node[answer[i]].rank != t->node[answer[k]].rank)
				TRY(emit_pair(w, answer[i], answer[k]));
			arena_rewind(w->im->row, item);
		}
	arena_rewind(w->im->row, mark);
	return ERR_OK;
}

static void write_target(struct json_writer *out, struct str id)
{
	jw_key(out, "target");
	jw_object(out);
	jw_kz(out, "system", SYSTEM);
	jw_kstr(out, "id", id);
	jw_end_object(out);
}

static enum err emit_signals(struct work *w, int32_t i)
{
	static const char *const words[OASST_SIGNALS] = { "thumbs_up", "thumbs_down", "flag" };
	const struct oasst_node *n = &w->t->node[i];
	struct str id = node_id(w->t, (size_t)i);
	for (int s = 0; s < OASST_SIGNALS; s++) {
		struct json_writer out;
		if (n->signal[s] == 0)
			continue;
		begin(w, &out, POLICY_KIND_SIGNAL, n);
		write_target(&out, id);
		jw_kz(&out, "signal", words[s]);
		jw_kint(&out, "count", n->signal[s]);
		TRY(finish(w, &out, STR_NONE, &id, NULL, 1));
	}
	return ERR_OK;
}

static enum err emit_feedback(struct work *w, int32_t i)
{
	const struct oasst_node *n = &w->t->node[i];
	struct str id = node_id(w->t, (size_t)i);
	struct json_writer out;
	if (n->ratings.n == 0)
		return ERR_OK;
	begin(w, &out, POLICY_KIND_FEEDBACK, n);
	write_target(&out, id);
	jw_key(&out, "ratings");
	jw_raw(&out, oasst_view(w->t, n->ratings));
	return finish(w, &out, STR_NONE, &id, NULL, 1);
}

/* All that one live message gives rise to. */
static enum err emit_node(struct work *w, int32_t i)
{
	struct arena_mark mark = arena_mark(w->im->row);
	if (!has_live_child(w->t, &w->t->node[i]))
		TRY(emit_chat(w, i));
	arena_rewind(w->im->row, mark);
	TRY(emit_pairs(w, i));
	TRY(emit_signals(w, i));
	TRY(emit_feedback(w, i));
	arena_rewind(w->im->row, mark);
	return ERR_OK;
}

enum err oasst_tree_emit(struct import *im, struct oasst_tree *t)
{
	struct work w = { .im = im, .t = t };
	uint64_t ranked = im->counts->pairs_ranked;
	if (t->nodes == 0)
		return ERR_OK;
	w.by_id = ARENA_ARRAY(im->row, t->nodes, uint32_t);
	w.path = ARENA_ARRAY(im->row, IMPORT_MESSAGES + 2, int32_t);
	w.ids = ARENA_ARRAY(im->row, IMPORT_MESSAGES + 2, struct str);
	w.authors = ARENA_ARRAY(im->row, IMPORT_MESSAGES + 2, struct str);
	for (size_t i = 0; i < t->nodes; i++)
		w.by_id[i] = (uint32_t)i;
	qsort_r(w.by_id, t->nodes, sizeof(*w.by_id), by_id, t);
	mark_duplicates(&w);
	link_and_enliven(&w);
	count_ranked_pairs(&w);
	im->counts->pairs_withheld += im->counts->pairs_ranked - ranked;
	refuse_the_dead(&w);
	for (size_t i = 0; i < t->nodes; i++)
		if (t->node[i].live)
			TRY(emit_node(&w, (int32_t)i));
	return ERR_OK;
}
