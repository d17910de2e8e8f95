#include "hub.h"

#include "commonhold/limits.h"

#include <stdlib.h>

#define ANSWER_MAX (8 * MIB)
#define PAGES_MAX 2000 /* of a list; each has some hundred entries */
#define LIST_MAX 200000

enum err hub_odd(struct adapter_run *run, const struct fetch_answer *answer, const char *what)
{
	return adapter_odd(run, answer, fetch_header_get(answer, "X-Error-Code"), what);
}

static enum err ask_url(struct adapter_run *run, const char *method, struct str url, struct str body, const char *type, struct fetch_answer *out, const char *what)
{
	struct arena *a = run->c->arena;
	struct fetch_header fields[3] = { { STR("Authorization"), str_cat(a, STR("Bearer "), run->credentials.secret) } };
	size_t n = 1;
	if (body.p)
		fields[n++] = (struct fetch_header){ STR("Content-Type"), str_of(type ? type : "application/json") };
	if (type && strcmp(type, "application/vnd.git-lfs+json") == 0)
		fields[n++] = (struct fetch_header){ STR("Accept"), str_of(type) };
	struct fetch_request q = { .method = method, .url = url, .headers = fields, .n_headers = n, .body = body, .max_bytes = (int64_t)ANSWER_MAX, .slow_seconds = 120 };
	return adapter_ask(run, &q, out, what);
}

enum err hub_ask(struct adapter_run *run, const char *method, struct str path, struct str body, const char *type, struct fetch_answer *out, const char *what)
{
	return ask_url(run, method, str_cat(run->c->arena, run->t.endpoint, path), body, type, out, what);
}

/* An answer that is cut off or no JSON is asked for again later. */
static enum err parse(struct adapter_run *run, const struct fetch_answer *answer, const struct json **out, const char *what)
{
	struct error e = { 0 };
	if (json_parse(run->c->arena, answer->body, out, &e) == ERR_OK)
		return ERR_OK;
	return adapter_fail(run, false, "The place answers with something else when asked to %s.", what);
}

enum err hub_do(struct adapter_run *run, const char *method, struct str path, struct str body, const struct json **json, const char *what)
{
	struct fetch_answer answer;
	TRY(hub_ask(run, method, path, body, NULL, &answer, what));
	if (answer.status < 200 || answer.status >= 300)
		return hub_odd(run, &answer, what);
	return json ? parse(run, &answer, json, what) : ERR_OK;
}

struct str hub_path(struct adapter_run *run, struct str rest)
{
	return str_cat(run->c->arena, STR("/api/datasets/"), run->t.place, rest);
}

enum err hub_info_read(struct adapter_run *run, struct hub_info *out)
{
	struct fetch_answer answer;
	const struct json *tree;
	*out = (struct hub_info){ 0 };
	TRY(hub_ask(run, "GET", hub_path(run, STR("")), STR_NONE, NULL, &answer, "look at the repository"));
	if (answer.status == 404)
		return ERR_OK;
	if (answer.status != 200)
		return hub_odd(run, &answer, "look at the repository");
	TRY(parse(run, &answer, &tree, "look at the repository"));
	struct str gated = json_member_text(tree, "gated");
	*out = (struct hub_info){ true, json_bool(json_get(tree, "private"), false), gated.p ? gated : STR(""), json_member_text(tree, "sha") };
	return out->head.n ? ERR_OK : adapter_fail(run, false, "The repository does not say what its head is.");
}

/* ---- lists, page by page ---- */

/* <…>; rel="next", on the same host; absent: this was the last page. */
static struct str next_page(struct adapter_run *run, const struct fetch_answer *answer)
{
	struct str rest = fetch_header_get(answer, "Link"), part;
	while (rest.p && str_split(&rest, ',', &part)) {
		part = str_trim(part);
		ptrdiff_t end = str_index(part, '>');
		if (str_starts(part, "<") && end > 1 && memmem(part.p + end, part.n - (size_t)end, "rel=\"next\"", 10)) {
			struct str url = str_sub(part, 1, (size_t)end - 1);
			bool ours = url.n > run->t.endpoint.n && memcmp(url.p, run->t.endpoint.p, run->t.endpoint.n) == 0 && url.p[run->t.endpoint.n] == '/';
			return ours ? url : STR_NONE;
		}
	}
	return STR_NONE;
}

typedef enum err (*item_fn)(struct adapter_run *run, const struct json *item, void *arg);

static enum err each_item(struct adapter_run *run, struct str path, item_fn fn, void *arg, const char *what)
{
	struct str url = str_cat(run->c->arena, run->t.endpoint, path);
	for (int page = 0; url.p && page < PAGES_MAX; page++) {
		struct fetch_answer answer;
		const struct json *list;
		TRY(ask_url(run, "GET", url, STR_NONE, NULL, &answer, what));
		if (answer.status != 200)
			return hub_odd(run, &answer, what);
		TRY(parse(run, &answer, &list, what));
		if (!json_is(list, JSON_ARRAY))
			return adapter_fail(run, false, "The place answers with something else when asked to %s.", what);
		json_each (item, list)
			TRY(fn(run, item, arg));
		url = next_page(run, &answer);
	}
	return url.p ? adapter_fail(run, true, "There is more in the repository than is looked through.") : ERR_OK;
}

/* Room for one more in an array that grows. */
static void *grow(struct arena *a, void *items, size_t n, size_t *cap, size_t size)
{
	if (n < *cap)
		return items;
	size_t more = *cap ? *cap * 2 : 128;
	void *grown = arena_array(a, more, size);
	if (n)
		memcpy(grown, items, n * size);
	*cap = more;
	return grown;
}

struct tree_list { struct hub_tree *tree; size_t cap; };

static enum err add_entry(struct adapter_run *run, const struct json *item, void *arg)
{
	struct tree_list *l = arg;
	struct hub_tree *t = l->tree;
	if (!str_is(json_member_text(item, "type"), "file"))
		return ERR_OK;
	if (t->n == LIST_MAX)
		return adapter_fail(run, true, "There are more files in the repository than are looked through.");
	t->entries = grow(run->c->arena, t->entries, t->n, &l->cap, sizeof(*t->entries));
	t->entries[t->n++] = (struct hub_entry){ json_member_text(item, "path"), json_member_text(item, "oid"), json_text(json_at(item, "/lfs/oid")), json_int(json_get(item, "size"), -1) };
	return ERR_OK;
}

static int by_path(const void *a, const void *b)
{
	return str_cmp(((const struct hub_entry *)a)->path, ((const struct hub_entry *)b)->path);
}

enum err hub_tree_read(struct adapter_run *run, struct str revision, struct hub_tree *out)
{
	struct tree_list l = { out, 0 };
	*out = (struct hub_tree){ 0 };
	struct str rest = str_cat(run->c->arena, STR("/tree/"), str_url_encode(run->c->arena, revision), STR("?recursive=true"));
	TRY(each_item(run, hub_path(run, rest), add_entry, &l, "list its files"));
	if (out->n)
		qsort(out->entries, out->n, sizeof(*out->entries), by_path);
	return ERR_OK;
}

const struct hub_entry *hub_entry_find(const struct hub_tree *t, struct str path)
{
	struct hub_entry wanted = { .path = path };
	return t->n ? bsearch(&wanted, t->entries, t->n, sizeof(wanted), by_path) : NULL;
}

struct sha_list { struct str *shas; size_t n, cap; };

static enum err add_sha(struct adapter_run *run, const struct json *item, void *arg)
{
	struct sha_list *l = arg;
	struct str sha = json_member_text(item, "fileOid");
	if (sha.n != 64)
		return adapter_fail(run, false, "The repository's list of stored files cannot be read.");
	if (l->n == LIST_MAX)
		return adapter_fail(run, true, "There are more stored files than are looked through.");
	l->shas = grow(run->c->arena, l->shas, l->n, &l->cap, sizeof(*l->shas));
	l->shas[l->n++] = sha;
	return ERR_OK;
}

enum err hub_lfs_list(struct adapter_run *run, struct str **out, size_t *n)
{
	struct sha_list l = { 0 };
	TRY(each_item(run, hub_path(run, STR("/lfs-files")), add_sha, &l, "list stored files"));
	*out = l.shas;
	*n = l.n;
	return ERR_OK;
}

/* ---- references ---- */

static size_t refs_of(struct adapter_run *run, const struct json *list, bool but_main, struct hub_ref **out, size_t n, size_t *cap)
{
	json_each (item, list) {
		struct hub_ref r = { json_member_text(item, "name"), json_member_text(item, "ref"), json_member_text(item, "targetCommit") };
		if (but_main && str_is(r.name, "main"))
			continue;
		*out = grow(run->c->arena, *out, n, cap, sizeof(**out));
		(*out)[n++] = r;
	}
	return n;
}

enum err hub_refs_read(struct adapter_run *run, struct hub_refs *out)
{
	const struct json *tree;
	size_t cap_tags = 0, cap_others = 0;
	*out = (struct hub_refs){ 0 };
	TRY(hub_do(run, "GET", hub_path(run, STR("/refs?include_prs=1")), STR_NONE, &tree, "list its references"));
	if (!json_is(json_get(tree, "branches"), JSON_ARRAY) || !json_is(json_get(tree, "tags"), JSON_ARRAY))
		return adapter_fail(run, false, "The repository's references cannot be read.");
	out->n_tags = refs_of(run, json_get(tree, "tags"), false, &out->tags, 0, &cap_tags);
	out->n_others = refs_of(run, json_get(tree, "branches"), true, &out->others, 0, &cap_others);
	out->n_others = refs_of(run, json_get(tree, "converts"), false, &out->others, out->n_others, &cap_others);
	out->n_others = refs_of(run, json_get(tree, "pullRequests"), false, &out->others, out->n_others, &cap_others);
	return ERR_OK;
}

enum err hub_revision_is_there(struct adapter_run *run, struct str revision, bool *there)
{
	struct fetch_answer answer;
	struct str rest = str_cat(run->c->arena, STR("/revision/"), str_url_encode(run->c->arena, revision));
	TRY(hub_ask(run, "GET", hub_path(run, rest), STR_NONE, NULL, &answer, "ask for a revision"));
	*there = answer.status == 200;
	return answer.status == 200 || answer.status == 404 ? ERR_OK : hub_odd(run, &answer, "ask for a revision");
}

enum err hub_untag(struct adapter_run *run, struct str tag)
{
	struct fetch_answer answer;
	struct str rest = str_cat(run->c->arena, STR("/tag/"), str_url_encode(run->c->arena, tag));
	TRY(hub_ask(run, "DELETE", hub_path(run, rest), STR_NONE, NULL, &answer, "delete a tag"));
	return answer.status == 404 || (answer.status >= 200 && answer.status < 300) ? ERR_OK : hub_odd(run, &answer, "delete a tag");
}

enum err hub_tag(struct adapter_run *run, struct str tag, struct str commit, struct str message)
{
	struct arena *a = run->c->arena;
	struct hub_refs refs;
	struct fetch_answer answer;
	TRY(hub_refs_read(run, &refs));
	for (size_t i = 0; i < refs.n_tags; i++) {
		if (!str_eq(refs.tags[i].name, tag))
			continue;
		if (str_eq(refs.tags[i].commit, commit))
			return ERR_OK;
		TRY(hub_untag(run, tag));
	}
	struct buf b;
	struct json_writer w;
	buf_init(&b, 4 * KIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "message", message);
	jw_kstr(&w, "tag", tag);
	jw_end_object(&w);
	TRY(hub_ask(run, "POST", hub_path(run, str_cat(a, STR("/tag/"), commit)), buf_take(a, &b), NULL, &answer, "tag a revision"));
	if (answer.status == 409)
		return adapter_fail(run, false, "Somebody else tags revisions of the repository.");
	return answer.status >= 200 && answer.status < 300 ? ERR_OK : hub_odd(run, &answer, "tag a revision");
}
