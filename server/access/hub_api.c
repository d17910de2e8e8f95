#include "commonhold/hub.h"

#include "access_web.h"

#include "commonhold/release_api.h"

#define TREE_PAGE 1000     /* entries of one page, as on the Hub */
#define SIBLINGS_MAX 20000 /* files that a dataset's description lists; more are in the tree */
#define PATHS_MAX 1000     /* paths of one question */
#define POINTER_MAX 200    /* a Git LFS pointer is shorter */

/* ---- errors as the Hub says them ---- */

/* The answer's status and code instead of problem+json: its clients tell these cases apart by the header. Other failures stay what they are. */
static enum err hub_error(struct request *rq, struct response *rs, enum err e, const char *missing)
{
	struct call *c = rq->call;
	const char *code = NULL;
	if (e == ERR_UNAUTHENTICATED || e == ERR_FORBIDDEN || e == ERR_TERMS)
		code = "GatedRepo";
	else if (e == ERR_NOT_FOUND)
		code = missing;
	else if (e == ERR_GONE)
		code = "RevisionNotFound";
	if (!code || rs->streamed)
		return e;
	struct str message = str_copy(c->arena, str_of(c->error.message[0] ? c->error.message : err_text(e))), more = c->error.more;
	const char *more_name = c->error.more_name;
	db_rollback(c);
	error_clear(&c->error);
	buf_clear(&rs->headers);
	rs->status = err_status(e);
	response_header(rs, "X-Error-Code", str_of(code));
	response_header(rs, "X-Error-Message", message);
	if (rs->status == 401)
		response_header(rs, "WWW-Authenticate", STR("Bearer"));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kstr(&w, "error", message);
	if (more_name) {
		jw_key(&w, more_name);
		jw_raw(&w, more);
	}
	jw_end_object(&w);
	return ERR_OK;
}

/* ---- what is named ---- */

static bool is_line(struct str name)
{
	return str_is(name, "releases") || str_is(name, "main");
}

static struct str revision_name(struct str revision)
{
	if (!revision.n || str_is(revision, "main") || str_is(revision, "HEAD") || str_is(revision, "refs/heads/main"))
		return STR("latest");
	if (revision.n > 1 && revision.p[0] == 'v' && revision.p[1] >= '0' && revision.p[1] <= '9')
		return str_sub(revision, 1, revision.n);
	return revision;
}

/* The release of {coop}/{line} at a revision. False: the answer has been given, or *e says why not. */
static bool hub_release(struct request *rq, struct response *rs, struct str revision, struct release *out, enum err *e)
{
	if (!is_line(rq->param[1])) {
		*e = hub_error(rq, rs, fail(rq->call, ERR_NOT_FOUND, "There is no such dataset here; a co-op's is called releases."), "RepoNotFound");
		return false;
	}
	*e = release_find(rq->call, rq->coop.id, revision_name(revision), out);
	if (*e == ERR_OK)
		*e = release_usable(rq->call, out, false);
	if (*e != ERR_OK)
		*e = hub_error(rq, rs, *e, "RevisionNotFound");
	return *e == ERR_OK && !rs->status;
}

static struct str commit_of(struct arena *a, const struct release *r)
{
	return str_hex(a, r->manifest_sha256.b, 20);
}

static struct str oid_of(struct arena *a, struct sha256 h)
{
	return str_hex(a, h.b, 20);
}

/* ---- what a release is ---- */

static void write_siblings(struct json_writer *w, const struct release_file *files, size_t n)
{
	jw_key(w, "siblings");
	jw_array(w);
	for (size_t i = 0; i < n && i < SIBLINGS_MAX; i++) {
		jw_object(w);
		jw_kstr(w, "rfilename", files[i].path);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static void write_dataset(struct json_writer *w, struct request *rq, const struct release *r, unsigned audience, const struct release_file *files, size_t n)
{
	static const char *const gates[POLICY_AUDIENCE_COUNT] = { [POLICY_AUDIENCE_GATED_MANUAL] = "manual", [POLICY_AUDIENCE_GATED_AUTO] = "auto" };
	struct arena *a = rq->call->arena;
	jw_object(w);
	jw_kstr(w, "_id", str_hex(a, rq->coop.id.b, 12));
	jw_kstr(w, "id", str_fmt(a, "%.*s/releases", STR_ARG(rq->coop.slug)));
	jw_kstr(w, "author", rq->coop.slug);
	jw_kstr(w, "sha", commit_of(a, r));
	jw_kstr(w, "createdAt", clock_format(a, r->published_at));
	jw_kstr(w, "lastModified", clock_format(a, r->published_at));
	jw_kbool(w, "private", audience == POLICY_AUDIENCE_MEMBERS);
	jw_key(w, "gated");
	if (gates[audience])
		jw_z(w, gates[audience]);
	else
		jw_bool(w, false);
	jw_kbool(w, "disabled", false);
	jw_kint(w, "downloads", 0);
	jw_kint(w, "likes", 0);
	jw_key(w, "tags");
	jw_array(w);
	jw_end_array(w);
	jw_kstr(w, "version", r->version);
	write_siblings(w, files, n);
	jw_end_object(w);
}

static enum err answer_dataset(struct request *rq, struct response *rs, struct str revision)
{
	struct call *c = rq->call;
	struct release r;
	struct access_offer offer;
	struct release_file *files;
	size_t n;
	enum err e;
	if (!hub_release(rq, rs, revision, &r, &e))
		return e;
	TRY(access_offer_read(c, rq->coop.id, &r, &offer));
	TRY(access_files(c, rq->coop.id, &r, &files, &n));
	response_header(rs, "X-Repo-Commit", commit_of(c->arena, &r));
	struct json_writer w = response_json(rs);
	write_dataset(&w, rq, &r, offer.audience, files, n);
	return ERR_OK;
}

static enum err read_dataset(struct request *rq, struct response *rs)
{
	return answer_dataset(rq, rs, STR("main"));
}

static enum err read_revision(struct request *rq, struct response *rs)
{
	return answer_dataset(rq, rs, rq->param[2]);
}

/* ---- trees ---- */

/* How long the pointer file of Git LFS would be, which clients are told. */
static int64_t pointer_size(int64_t size)
{
	char text[POINTER_MAX];
	return snprintf(text, sizeof(text), "version https://git-lfs.github.com/spec/v1\noid sha256:%064d\nsize %lld\n", 0, (long long)size);
}

static void write_commit(struct json_writer *w, struct arena *a, const struct release *r)
{
	jw_key(w, "lastCommit");
	jw_object(w);
	jw_kstr(w, "id", commit_of(a, r));
	jw_kstr(w, "title", str_fmt(a, "Release %.*s", STR_ARG(r->version)));
	jw_kstr(w, "date", clock_format(a, r->published_at));
	jw_end_object(w);
}

static void write_file(struct json_writer *w, struct arena *a, const struct release *r, const struct release_file *f, bool expand)
{
	jw_object(w);
	jw_kz(w, "type", "file");
	jw_kstr(w, "oid", oid_of(a, f->sha256));
	jw_kint(w, "size", f->size);
	jw_kstr(w, "path", f->path);
	jw_key(w, "lfs");
	jw_object(w);
	jw_kstr(w, "oid", sha256_hex(a, f->sha256));
	jw_kint(w, "size", f->size);
	jw_kint(w, "pointerSize", pointer_size(f->size));
	jw_end_object(w);
	if (expand)
		write_commit(w, a, r);
	jw_end_object(w);
}

static void write_folder(struct json_writer *w, struct arena *a, const struct release *r, struct str path, bool expand)
{
	jw_object(w);
	jw_kz(w, "type", "directory");
	jw_kstr(w, "oid", oid_of(a, sha256(path)));
	jw_kint(w, "size", 0);
	jw_kstr(w, "path", path);
	if (expand)
		write_commit(w, a, r);
	jw_end_object(w);
}

/* One entry of a tree. */
struct entry {
	struct str path;
	const struct release_file *file; /* NULL: a folder */
};

/* The tree below a folder, in the order of the files' paths, each folder before what is in it. */
struct tree {
	struct str folder;     /* "" or ending with a slash */
	bool recursive;
	struct entry *entries;
	size_t n, cap;
};

static void tree_add(struct arena *a, struct tree *t, struct entry e)
{
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 64;
		struct entry *grown = ARENA_ARRAY(a, cap, struct entry);
		if (t->n)
			memcpy(grown, t->entries, t->n * sizeof(*grown));
		t->entries = grown;
		t->cap = cap;
	}
	t->entries[t->n++] = e;
}

static bool is_below(struct str path, struct str folder)
{
	return path.n > folder.n && (folder.n == 0 || memcmp(path.p, folder.p, folder.n) == 0);
}

/* Adds the folders of `path` that `before`, the path added last, is not in. */
static void tree_add_folders(struct arena *a, struct tree *t, struct str path, struct str before)
{
	for (size_t i = t->folder.n; i < path.n; i++) {
		if (path.p[i] != '/')
			continue;
		bool known = before.n > i && memcmp(before.p, path.p, i + 1) == 0;
		if (!known)
			tree_add(a, t, (struct entry){ str_sub(path, 0, i), NULL });
		if (!t->recursive)
			return;
	}
}

static void tree_build(struct arena *a, struct tree *t, const struct release_file *files, size_t n)
{
	struct str before = STR("");
	for (size_t i = 0; i < n; i++) {
		struct str path = files[i].path;
		if (!is_below(path, t->folder))
			continue;
		tree_add_folders(a, t, path, before);
		bool direct = str_index(str_sub(path, t->folder.n, path.n), '/') < 0;
		if (t->recursive || direct)
			tree_add(a, t, (struct entry){ path, &files[i] });
		before = path;
	}
}

static enum err tree_window(struct request *rq, size_t *from, size_t *limit)
{
	struct call *c = rq->call;
	struct str cursor = request_query(rq, "cursor"), most = request_query(rq, "limit");
	int64_t at = 0, n = TREE_PAGE;
	if ((cursor.p && !str_to_i64(cursor, 0, INT32_MAX, &at)) || (most.p && !str_to_i64(most, 1, INT32_MAX, &n)))
		return fail(c, ERR_BAD_REQUEST, "cursor and limit must be numbers.");
	*from = (size_t)at;
	*limit = (size_t)(n < TREE_PAGE ? n : TREE_PAGE);
	return ERR_OK;
}

/* "data/chat/" as it stands in an address. */
static struct str folder_link(struct arena *a, struct str folder)
{
	struct str rest = str_sub(folder, 0, folder.n - 1), part, out = STR("");
	while (str_split(&rest, '/', &part))
		out = str_fmt(a, "%.*s/%.*s", STR_ARG(out), STR_ARG(str_url_encode(a, part)));
	return out;
}

static void link_next(struct request *rq, struct response *rs, const struct release *r, const struct tree *t, size_t from, size_t limit, bool expand)
{
	struct arena *a = rq->call->arena;
	struct str base = request_base_url(rq), commit = commit_of(a, r), folder = STR("");
	if (t->folder.n)
		folder = folder_link(a, t->folder);
	struct str most = limit < TREE_PAGE ? str_fmt(a, "&limit=%zu", limit) : STR("");
	response_header(rs, "Link", str_fmt(a, "<%.*s/api/datasets/%.*s/releases/tree/%.*s%.*s?recursive=%s&expand=%s%.*s&cursor=%zu>; rel=\"next\"", STR_ARG(base),
		STR_ARG(rq->coop.slug), STR_ARG(commit), STR_ARG(folder), t->recursive ? "true" : "false", expand ? "true" : "false", STR_ARG(most), from));
}

static bool is_true(const struct request *rq, const char *name)
{
	struct str v = request_query(rq, name);
	return str_is(v, "true") || str_is(v, "1") || str_is(v, "True");
}

static enum err answer_tree(struct request *rq, struct response *rs, struct str folder)
{
	struct call *c = rq->call;
	struct release r;
	struct release_file *files;
	size_t n, from = 0, limit = TREE_PAGE;
	enum err e;
	bool expand = is_true(rq, "expand");
	if (!hub_release(rq, rs, rq->param[2], &r, &e))
		return e;
	TRY(tree_window(rq, &from, &limit));
	TRY(access_files(c, rq->coop.id, &r, &files, &n));
	struct tree t = { .folder = folder.n ? str_fmt(c->arena, "%.*s/", STR_ARG(folder)) : STR(""), .recursive = is_true(rq, "recursive") };
	tree_build(c->arena, &t, files, n);
	if (folder.n && t.n == 0)
		return hub_error(rq, rs, fail(c, ERR_NOT_FOUND, "The release has no such folder."), "EntryNotFound");
	size_t end = from < t.n && limit < t.n - from ? from + limit : t.n;
	if (end < t.n)
		link_next(rq, rs, &r, &t, end, limit, expand);
	struct json_writer w = response_json(rs);
	jw_array(&w);
	for (size_t i = from; i < end; i++) {
		if (t.entries[i].file)
			write_file(&w, c->arena, &r, t.entries[i].file, expand);
		else
			write_folder(&w, c->arena, &r, t.entries[i].path, expand);
	}
	jw_end_array(&w);
	return ERR_OK;
}

static enum err read_tree(struct request *rq, struct response *rs)
{
	return answer_tree(rq, rs, STR(""));
}

static enum err read_folder(struct request *rq, struct response *rs)
{
	struct str folder = rq->param[3];
	while (folder.n && folder.p[folder.n - 1] == '/')
		folder.n--;
	return answer_tree(rq, rs, folder);
}

static const struct release_file *file_named(const struct release_file *files, size_t n, struct str path)
{
	size_t low = 0, high = n;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = str_cmp(files[mid].path, path);
		if (order == 0)
			return &files[mid];
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

/* Files among the paths asked for; what is not there is left out, as on the Hub. */
static enum err read_paths(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct release r;
	struct release_file *files;
	size_t n, asked = 0;
	enum err e;
	if (!hub_release(rq, rs, rq->param[2], &r, &e))
		return e;
	TRY(access_files(c, rq->coop.id, &r, &files, &n));
	bool expand = json_bool(json_get(rq->json, "expand"), false);
	struct json_writer w = response_json(rs);
	jw_array(&w);
	json_each (path, json_get(rq->json, "paths")) {
		const struct release_file *f = asked++ < PATHS_MAX ? file_named(files, n, path->text) : NULL;
		if (f)
			write_file(&w, c->arena, &r, f, expand);
	}
	jw_end_array(&w);
	return ERR_OK;
}

/* ---- bytes ---- */

static void say_linked(struct request *rq, struct response *rs, const struct release *r, const struct access_file *file)
{
	struct arena *a = rq->call->arena;
	response_header(rs, "X-Repo-Commit", commit_of(a, r));
	response_header(rs, "X-Linked-Size", str_fmt(a, "%lld", (long long)file->size));
	response_header(rs, "X-Linked-ETag", str_fmt(a, "\"%.*s\"", STR_ARG(sha256_hex(a, file->sha256))));
	/* The client learns a size by asking for the first byte, which an empty file has not: it is told where it looks. */
	if (file->size == 0)
		response_header(rs, "Content-Range", STR("bytes */0"));
}

static enum err resolve(struct request *rq, struct response *rs)
{
	struct release r;
	enum err e;
	if (!hub_release(rq, rs, rq->param[2], &r, &e))
		return e;
	e = download_file(rq, rs, &r, rq->param[3], say_linked);
	return e == ERR_OK ? e : hub_error(rq, rs, e, "EntryNotFound");
}

#define DATASET "/api/datasets/{coop}/{line}"
#define FIELDS "expand expand[] full blobs securityStatus"

const struct route hub_routes[] = {
	{ "GET", DATASET, "hub_dataset", PERM_OPTIONAL, 0, NULL, "hub_dataset", 200, read_dataset, "The latest release as the Hugging Face Hub describes a dataset", ROUTE_OWN_ERRORS, FIELDS },
	{ "GET", DATASET "/revision/{revision}", "hub_revision", PERM_OPTIONAL, 0, NULL, "hub_dataset", 200, read_revision,
		"One release as the Hugging Face Hub describes a dataset", ROUTE_OWN_ERRORS, FIELDS },
	{ "GET", DATASET "/tree/{revision}", "hub_tree", PERM_OPTIONAL, 0, NULL, "hub_tree", 200, read_tree, "Its files and folders", ROUTE_OWN_ERRORS, "recursive expand limit cursor" },
	{ "GET", DATASET "/tree/{revision}/{path*}", "hub_folder", PERM_OPTIONAL, 0, NULL, "hub_tree", 200, read_folder, "Files and folders below a folder", ROUTE_OWN_ERRORS,
		"recursive expand limit cursor" },
	{ "POST", DATASET "/paths-info/{revision}", "hub_paths", PERM_OPTIONAL, LIMIT_BODY_SMALL, "hub_paths", "hub_tree", 200, read_paths, "Its files of these paths",
		ROUTE_NO_CSRF | ROUTE_OWN_ERRORS },
	{ "GET", "/datasets/{coop}/{line}/resolve/{revision}/{path*}", "hub_resolve", PERM_OPTIONAL, 0, NULL, "*/*", 200, resolve,
		"A file of a release, gated, at the Hub's address", ROUTE_OWN_ERRORS, "download noContentDisposition" },
	{ "GET", "/datasets/{coop}/{line}/raw/{revision}/{path*}", "hub_raw", PERM_OPTIONAL, 0, NULL, "*/*", 200, resolve, "The same", ROUTE_OWN_ERRORS, "download noContentDisposition" },
	ROUTE_TABLE_END,
};
