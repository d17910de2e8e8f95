/* A release in a dataset repository of the Hub: one commit that makes main show exactly its files, a tag of the version's name, and the gate. */
#include "hub.h"

#include "commonhold/access.h"

#include "server/base/openssl.h"
#include <stdio.h>
#include <unistd.h>

#define PREUPLOAD 200                 /* files a call; the Hub takes 256 */
#define SAMPLE 512
#define REGULAR_MAX (16 * MIB)        /* an ordinary file is sent whole, inside the commit */
#define COMMIT_MAX (96 * MIB)

/* ---- who can read there ---- */

/* The audience of a repository as it stands: a private one is for its namespace's members. */
static unsigned audience_of(const struct hub_info *info)
{
	if (info->is_private)
		return POLICY_AUDIENCE_MEMBERS;
	if (str_is(info->gated, "manual"))
		return POLICY_AUDIENCE_GATED_MANUAL;
	return str_is(info->gated, "auto") ? POLICY_AUDIENCE_GATED_AUTO : POLICY_AUDIENCE_PUBLIC;
}

static enum err set_private(struct adapter_run *run)
{
	return hub_do(run, "PUT", hub_path(run, STR("/settings")), STR("{\"visibility\":\"private\"}"), NULL, "make the repository private");
}

static enum err set_open(struct adapter_run *run)
{
	static const char *const settings[POLICY_AUDIENCE_COUNT] = {
		[POLICY_AUDIENCE_MEMBERS] = "{\"gated\":\"manual\",\"visibility\":\"private\"}",
		[POLICY_AUDIENCE_GATED_MANUAL] = "{\"gated\":\"manual\",\"visibility\":\"public\"}",
		[POLICY_AUDIENCE_GATED_AUTO] = "{\"gated\":\"auto\",\"visibility\":\"public\"}",
		[POLICY_AUDIENCE_PUBLIC] = "{\"gated\":false,\"visibility\":\"public\"}",
	};
	return hub_do(run, "PUT", hub_path(run, STR("/settings")), str_of(settings[run->t.audience]), NULL, "set the repository's gate");
}

/* The gate before the visibility, in two requests: there is no moment at which it is public and not gated, however the place orders what one request asks for. */
static enum err set_gate(struct adapter_run *run)
{
	static const char *const gates[POLICY_AUDIENCE_COUNT] = {
		[POLICY_AUDIENCE_MEMBERS] = "{\"gated\":\"manual\"}", [POLICY_AUDIENCE_GATED_MANUAL] = "{\"gated\":\"manual\"}", [POLICY_AUDIENCE_GATED_AUTO] = "{\"gated\":\"auto\"}",
	};
	if (gates[run->t.audience])
		TRY(hub_do(run, "PUT", hub_path(run, STR("/settings")), str_of(gates[run->t.audience]), NULL, "set the repository's gate"));
	return set_open(run);
}

static enum err create(struct adapter_run *run)
{
	struct arena *a = run->c->arena;
	ptrdiff_t slash = str_index(run->t.place, '/');
	struct str space = str_sub(run->t.place, 0, (size_t)slash), name = str_sub(run->t.place, (size_t)slash + 1, run->t.place.n);
	struct str body = str_fmt(a, "{\"name\":\"%.*s\",\"organization\":\"%.*s\",\"private\":true,\"type\":\"dataset\"}", STR_ARG(name), STR_ARG(space));
	struct fetch_answer answer;
	TRY(hub_ask(run, "POST", STR("/api/repos/create"), body, NULL, &answer, "make the repository"));
	/* Made already, by an answer that was lost. */
	return answer.status == 409 || (answer.status >= 200 && answer.status < 300) ? ERR_OK : hub_odd(run, &answer, "make the repository");
}

/* Before anything is sent the repository is there, and no more people can read it than may. */
static enum err prepare(struct adapter_run *run, struct hub_info *info)
{
	TRY(hub_info_read(run, info));
	if (!info->exists) {
		TRY(create(run));
		TRY(hub_info_read(run, info));
		if (!info->exists)
			return adapter_fail(run, false, "The repository was made and is not to be found.");
	}
	if (audience_of(info) <= run->t.audience)
		return ERR_OK;
	TRY(set_private(run));
	TRY(hub_info_read(run, info));
	return info->is_private ? ERR_OK : adapter_fail(run, true, "The repository cannot be made private. Nothing was put there.");
}

/* ---- which way each file goes ---- */

static enum err sample_of(struct adapter_run *run, const struct adapter_version *v, const struct adapter_file *f, struct str *out)
{
	struct access_file open;
	char head[SAMPLE];
	TRY(access_file_open(run->c, run->t.coop, &v->release, f->path, &open));
	ssize_t n = pread(open.fd, head, sizeof(head), 0);
	close(open.fd);
	if (n < 0)
		return fail(run->c, ERR_IO, "A file of a release cannot be read.");
	*out = str_base64(run->c->arena, head, (size_t)n);
	return ERR_OK;
}

/* Only the name, the size and a sample of what is no content are told before the gate is known to hold: a shard's sample is its compressed head. */
static enum err ask_ways(struct adapter_run *run, const struct adapter_version *v, size_t from, size_t to, bool *in_lfs)
{
	struct buf b;
	struct json_writer w;
	const struct json *tree;
	enum err e = ERR_OK;
	buf_init(&b, MIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_key(&w, "files");
	jw_array(&w);
	for (size_t i = from; i < to && e == ERR_OK; i++) {
		struct str sample = STR("");
		e = sample_of(run, v, &v->files[i], &sample);
		jw_object(&w);
		jw_kstr(&w, "path", v->files[i].path);
		jw_kstr(&w, "sample", sample);
		jw_kint(&w, "size", v->files[i].size);
		jw_end_object(&w);
	}
	jw_end_array(&w);
	jw_end_object(&w);
	struct str body = buf_take(run->c->arena, &b);
	TRY(e);
	TRY(hub_do(run, "POST", hub_path(run, STR("/preupload/main")), body, &tree, "prepare files"));
	json_each (item, json_get(tree, "files"))
		for (size_t i = from; i < to; i++)
			if (str_eq(v->files[i].path, json_member_text(item, "path")))
				in_lfs[i] = str_is(json_member_text(item, "uploadMode"), "lfs");
	return ERR_OK;
}

/* Members' content may only lie where it can be erased for good: beside git, never in it. */
static enum err ways(struct adapter_run *run, const struct adapter_version *v, bool *in_lfs)
{
	for (size_t i = 0; i < v->n_files; i += PREUPLOAD)
		TRY(ask_ways(run, v, i, i + PREUPLOAD < v->n_files ? i + PREUPLOAD : v->n_files, in_lfs));
	for (size_t i = 0; i < v->n_files; i++)
		if (!in_lfs[i] && str_starts(v->files[i].path, "data/") && v->files[i].size > 0)
			return adapter_fail(run, true, "The repository would keep data files as ordinary ones, which could not be erased. Have its .gitattributes keep *.gz in LFS.");
	return ERR_OK;
}

/* ---- the commit ---- */

/* Git's name of an ordinary file's content. */
static enum err blob_oid(struct adapter_run *run, struct str content, struct str *out)
{
	char head[40];
	uint8_t digest[20];
	int n = snprintf(head, sizeof(head), "blob %zu", content.n);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool ok = md && EVP_DigestInit_ex(md, EVP_sha1(), NULL) == 1 && EVP_DigestUpdate(md, head, (size_t)n + 1) == 1 && EVP_DigestUpdate(md, content.p, content.n) == 1 &&
		EVP_DigestFinal_ex(md, digest, NULL) == 1;
	EVP_MD_CTX_free(md);
	*out = str_hex(run->c->arena, digest, sizeof(digest));
	return ok ? ERR_OK : fail(run->c, ERR_INTERNAL, "SHA-1 is not to be had.");
}

static enum err read_whole(struct adapter_run *run, const struct adapter_version *v, const struct adapter_file *f, struct str *out)
{
	struct access_file open;
	if (f->size > (int64_t)REGULAR_MAX)
		return adapter_fail(run, true, "An ordinary file of the release is larger than can be sent inside a commit.");
	char *p = arena_take(run->c->arena, (size_t)f->size + 1);
	size_t n = 0;
	TRY(access_file_open(run->c, run->t.coop, &v->release, f->path, &open));
	for (ssize_t got = 1; got > 0 && n < (size_t)f->size; n += (size_t)(got > 0 ? got : 0))
		got = pread(open.fd, p + n, (size_t)f->size - n, (off_t)n);
	close(open.fd);
	*out = str_make(p, n);
	return n == (size_t)f->size && sha256_eq(sha256(*out), f->sha256) ? ERR_OK : fail(run->c, ERR_CORRUPT, "A file of a release is not what was published.");
}

static void line_begin(struct json_writer *w, struct buf *b, const char *key)
{
	jw_init(w, b);
	jw_object(w);
	jw_kz(w, "key", key);
	jw_key(w, "value");
	jw_object(w);
}

static void line_end(struct json_writer *w)
{
	jw_end_object(w);
	jw_end_object(w);
	buf_add_byte(w->out, '\n');
}

static void add_pointer(struct adapter_run *run, const struct adapter_file *f, const struct hub_entry *there, struct buf *lines)
{
	struct str sha = sha256_hex(run->c->arena, f->sha256);
	struct json_writer w;
	if (there && str_eq(there->lfs, sha) && there->size == f->size)
		return;
	line_begin(&w, lines, "lfsFile");
	jw_kz(&w, "algo", "sha256");
	jw_kstr(&w, "oid", sha);
	jw_kstr(&w, "path", f->path);
	jw_kint(&w, "size", f->size);
	line_end(&w);
}

static enum err add_content(struct adapter_run *run, const struct adapter_version *v, const struct adapter_file *f, const struct hub_entry *there, struct buf *lines)
{
	struct arena_mark mark = arena_mark(run->c->arena);
	struct str content, oid;
	struct json_writer w;
	TRY(read_whole(run, v, f, &content));
	TRY(blob_oid(run, content, &oid));
	if (!there || there->lfs.p || !str_eq(there->oid, oid)) {
		line_begin(&w, lines, "file");
		jw_kstr(&w, "content", str_base64(run->c->arena, content.p, content.n));
		jw_kz(&w, "encoding", "base64");
		jw_kstr(&w, "path", f->path);
		line_end(&w);
	}
	arena_rewind(run->c->arena, mark);
	return ERR_OK;
}

static bool is_in(const struct adapter_version *v, struct str path)
{
	for (size_t i = 0; i < v->n_files; i++)
		if (str_eq(v->files[i].path, path))
			return true;
	return str_is(path, ".gitattributes");
}

/* What turns the tree into the version; nothing where it is that already. */
static enum err changes(struct adapter_run *run, const struct adapter_version *v, const bool *in_lfs, const struct hub_tree *tree, struct buf *lines)
{
	struct json_writer w;
	for (size_t i = 0; i < v->n_files; i++) {
		const struct adapter_file *f = &v->files[i];
		const struct hub_entry *there = hub_entry_find(tree, f->path);
		if (in_lfs[i])
			add_pointer(run, f, there, lines);
		else
			TRY(add_content(run, v, f, there, lines));
	}
	for (size_t i = 0; i < tree->n; i++) {
		if (is_in(v, tree->entries[i].path))
			continue;
		line_begin(&w, lines, "deletedFile");
		jw_kstr(&w, "path", tree->entries[i].path);
		line_end(&w);
	}
	return lines->failed ? adapter_fail(run, true, "The release's ordinary files are larger together than can be sent in one commit.") : ERR_OK;
}

enum err hub_commit(struct adapter_run *run, struct str parent, struct str summary, struct str lines, struct str *commit)
{
	struct buf b;
	struct json_writer w;
	struct fetch_answer answer;
	const struct json *tree;
	struct error e = { 0 };
	buf_init(&b, COMMIT_MAX + 64 * KIB);
	line_begin(&w, &b, "header");
	jw_kz(&w, "description", "");
	jw_kstr(&w, "parentCommit", parent);
	jw_kstr(&w, "summary", summary);
	line_end(&w);
	buf_add_str(&b, lines);
	enum err asked = b.failed ? fail(run->c, ERR_NO_MEMORY, "%s", err_text(ERR_NO_MEMORY))
		: hub_ask(run, "POST", hub_path(run, STR("/commit/main")), buf_str(&b), "application/x-ndjson", &answer, "commit");
	buf_release(&b);
	TRY(asked);
	if (answer.status == 412 || answer.status == 409)
		return adapter_fail(run, false, "Somebody else has committed to the repository meanwhile.");
	if (answer.status < 200 || answer.status >= 300)
		return hub_odd(run, &answer, "commit");
	if (json_parse(run->c->arena, answer.body, &tree, &e) != ERR_OK || json_member_text(tree, "commitOid").n != 40)
		return adapter_fail(run, false, "The place does not say what it has committed.");
	*commit = json_member_text(tree, "commitOid");
	return ERR_OK;
}

/* Never repeated blindly: what the head shows is looked at first, so that a commit whose answer was lost is found done. */
enum err hub_show(struct adapter_run *run, struct adapter_version *v, struct str *commit)
{
	struct hub_info info;
	struct hub_tree tree;
	struct buf lines;
	bool *in_lfs = ARENA_ARRAY(run->c->arena, v->n_files + 1, bool);
	TRY(ways(run, v, in_lfs));
	TRY(hub_lfs_upload(run, v, in_lfs));
	TRY(hub_info_read(run, &info));
	if (!info.exists)
		return adapter_fail(run, false, "The repository is gone.");
	TRY(hub_tree_read(run, info.head, &tree));
	buf_init(&lines, COMMIT_MAX);
	enum err e = changes(run, v, in_lfs, &tree, &lines);
	*commit = info.head;
	if (e == ERR_OK)
		e = adapter_store_still(run, v);
	if (e == ERR_OK && lines.n)
		e = hub_commit(run, info.head, str_cat(run->c->arena, STR("Release "), v->release.version), buf_str(&lines), commit);
	buf_release(&lines);
	return e;
}

/* As an outsider with the token sees it: the commit shows every file as it was published, and nothing else. */
static enum err check(struct adapter_run *run, struct adapter_version *v, struct str commit)
{
	struct hub_tree tree;
	struct buf lines;
	bool *in_lfs = ARENA_ARRAY(run->c->arena, v->n_files + 1, bool);
	TRY(hub_tree_read(run, commit, &tree));
	for (size_t i = 0; i < v->n_files; i++) {
		const struct hub_entry *there = hub_entry_find(&tree, v->files[i].path);
		in_lfs[i] = there && there->lfs.p;
	}
	buf_init(&lines, COMMIT_MAX);
	enum err e = changes(run, v, in_lfs, &tree, &lines);
	if (e == ERR_OK && lines.n)
		e = adapter_fail(run, false, "What the repository shows is not what was committed.");
	buf_release(&lines);
	return e;
}

/* ---- opening ---- */

/* A file of content, asked for as anybody would: an answer means that the gate does not hold, and the repository is closed again. */
static enum err check_closed(struct adapter_run *run, const struct adapter_version *v, struct str commit)
{
	struct arena *a = run->c->arena;
	const struct adapter_file *probe = NULL;
	struct fetch_answer answer;
	for (size_t i = 0; i < v->n_files && run->t.audience != POLICY_AUDIENCE_PUBLIC; i++)
		if (str_starts(v->files[i].path, "data/") && (!probe || v->files[i].size < probe->size))
			probe = &v->files[i];
	if (!probe)
		return ERR_OK;
	struct fetch_header range = { STR("Range"), STR("bytes=0-0") };
	struct fetch_request q = { .method = "GET", .url = str_cat(a, run->t.endpoint, STR("/datasets/"), run->t.place, STR("/resolve/"), commit, STR("/"), probe->path), .headers = &range, .n_headers = 1,
		.max_bytes = 1 };
	struct adapter_watch watch = { .run = run, .hash = hasher_new(a) };
	q.sink = adapter_hash_sink;
	q.arg = &watch;
	enum err e = adapter_ask(run, &q, &answer, "see whether anybody can read there");
	if (e != ERR_TOO_LARGE)
		TRY(e);
	error_clear(&run->c->error); /* content, and more than was asked for */
	if (answer.status == 401 || answer.status == 403 || answer.status == 404)
		return ERR_OK;
	TRY(set_private(run));
	return adapter_fail(run, true, "Anybody could read the repository although its gate is set. It was made private.");
}

static enum err open_gate(struct adapter_run *run, const struct adapter_version *v, struct str commit)
{
	struct hub_info info;
	TRY(set_gate(run));
	TRY(hub_info_read(run, &info));
	if (!info.exists || audience_of(&info) != run->t.audience) {
		TRY(set_private(run));
		return adapter_fail(run, true, "The repository does not keep the gate that is asked for. It was made private.");
	}
	return check_closed(run, v, commit);
}

enum err hub_publish(struct adapter_run *run, struct adapter_version *v)
{
	struct hub_info info;
	struct str commit;
	TRY(prepare(run, &info));
	TRY(hub_show(run, v, &commit));
	TRY(check(run, v, commit));
	TRY(hub_tag(run, v->release.version, commit, str_cat(run->c->arena, STR("Release "), v->release.version)));
	TRY(adapter_store_still(run, v));
	TRY(open_gate(run, v, commit));
	TRY(adapter_store_latest(run, v->release.version, STR_NONE));
	return adapter_store_published(run, v, commit);
}
