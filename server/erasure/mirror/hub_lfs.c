/* Files that are kept beside git, by Git LFS: asked for in batches, sent in one piece or in parts as the answer has it, and confirmed. */
#include "hub.h"

#include "commonhold/access.h"

#include <unistd.h>

#define BATCH 100
#define LFS_TYPE "application/vnd.git-lfs+json"
#define HEADERS_MAX 16
#define PARTS_MAX 10000

static struct str batch_body(struct adapter_run *run, const struct adapter_version *v, const size_t *which, size_t n)
{
	struct buf b;
	struct json_writer w;
	buf_init(&b, MIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kz(&w, "operation", "upload");
	jw_key(&w, "transfers");
	jw_array(&w);
	jw_z(&w, "basic");
	jw_z(&w, "multipart");
	jw_end_array(&w);
	jw_kz(&w, "hash_algo", "sha256");
	jw_key(&w, "ref");
	jw_object(&w);
	jw_kz(&w, "name", "main");
	jw_end_object(&w);
	jw_key(&w, "objects");
	jw_array(&w);
	for (size_t i = 0; i < n; i++) {
		const struct adapter_file *f = &v->files[which[i]];
		jw_object(&w);
		jw_kstr(&w, "oid", sha256_hex(run->c->arena, f->sha256));
		jw_kint(&w, "size", f->size);
		jw_end_object(&w);
	}
	jw_end_array(&w);
	jw_end_object(&w);
	return buf_take(run->c->arena, &b);
}

/* ---- storage: links that are signed by themselves ---- */

/* The fields that an action wants sent along; part links and their size are none. A field that would be ours is not sent: the token goes nowhere else. */
static size_t action_fields(const struct json *header, struct fetch_header *out)
{
	size_t n = 0;
	json_each (field, header) {
		bool is_number = field->key.n > 0 && field->key.p[0] >= '0' && field->key.p[0] <= '9';
		if (is_number || str_is(field->key, "chunk_size") || field->type != JSON_STRING || n == HEADERS_MAX)
			continue;
		out[n++] = (struct fetch_header){ field->key, field->text };
	}
	return n;
}

static enum err put_link(struct adapter_run *run, struct str href, const struct json *header, int fd, int64_t offset, int64_t size, struct str *etag)
{
	struct fetch_header fields[HEADERS_MAX];
	struct fetch_part part = { fd, offset, size };
	struct fetch_answer answer;
	struct fetch_request q = { .method = "PUT", .url = href, .headers = fields, .n_headers = action_fields(header, fields), .part = &part };
	TRY(adapter_ask(run, &q, &answer, "store a file"));
	/* A link that has run out is given anew with the next batch. */
	if (answer.status < 200 || answer.status >= 300)
		return adapter_fail(run, false, "The place's storage answered %ld when asked to store a file.", answer.status);
	*etag = fetch_header_get(&answer, "ETag");
	return ERR_OK;
}

static const struct json *part_link(const struct json *header, int no)
{
	int64_t n;
	json_each (field, header)
		if (field->type == JSON_STRING && !str_is(field->key, "chunk_size") && str_to_i64(field->key, 1, PARTS_MAX, &n) && n == no)
			return field;
	return NULL;
}

static enum err complete(struct adapter_run *run, struct str href, struct str body)
{
	struct fetch_header fields[2] = { { STR("Accept"), STR(LFS_TYPE) }, { STR("Content-Type"), STR(LFS_TYPE) } };
	struct fetch_request q = { .method = "POST", .url = href, .headers = fields, .n_headers = 2, .body = body, .slow_seconds = 120 };
	struct fetch_answer answer;
	TRY(adapter_ask(run, &q, &answer, "put a stored file together"));
	return answer.status >= 200 && answer.status < 300 ? ERR_OK : adapter_fail(run, false, "The place's storage answered %ld when asked to put a file together.", answer.status);
}

static enum err put_parts(struct adapter_run *run, const struct json *upload, const struct adapter_file *f, int fd, int64_t chunk)
{
	const struct json *header = json_get(upload, "header");
	int n = (int)((f->size + chunk - 1) / chunk);
	struct buf b;
	struct json_writer w;
	enum err e = ERR_OK;
	buf_init(&b, 2 * MIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "oid", sha256_hex(run->c->arena, f->sha256));
	jw_key(&w, "parts");
	jw_array(&w);
	for (int no = 1; no <= n && e == ERR_OK; no++) {
		const struct json *link = part_link(header, no);
		int64_t at = (no - 1) * chunk;
		struct str etag = STR_NONE;
		e = link ? put_link(run, link->text, NULL, fd, at, f->size - at < chunk ? f->size - at : chunk, &etag) : adapter_fail(run, false, "The place gives no link for a part.");
		if (e == ERR_OK && !etag.n)
			e = adapter_fail(run, false, "The place's storage does not say what it has stored.");
		jw_object(&w);
		jw_kint(&w, "partNumber", no);
		jw_kstr(&w, "etag", etag);
		jw_end_object(&w);
	}
	jw_end_array(&w);
	jw_end_object(&w);
	if (e == ERR_OK)
		e = complete(run, json_member_text(upload, "href"), buf_str(&b));
	buf_release(&b);
	return e;
}

/* ---- one object ---- */

static enum err confirm(struct adapter_run *run, const struct json *verify, const struct adapter_file *f)
{
	struct arena *a = run->c->arena;
	struct str href = json_member_text(verify, "href"), sha = sha256_hex(a, f->sha256);
	struct fetch_header fields[HEADERS_MAX + 2];
	struct fetch_answer answer;
	if (!verify)
		return ERR_OK;
	size_t n = action_fields(json_get(verify, "header"), fields);
	fields[n++] = (struct fetch_header){ STR("Content-Type"), STR("application/json") };
	/* The one link that the token goes with, and only at the endpoint itself. */
	if (href.n > run->t.endpoint.n && memcmp(href.p, run->t.endpoint.p, run->t.endpoint.n) == 0 && href.p[run->t.endpoint.n] == '/')
		fields[n++] = (struct fetch_header){ STR("Authorization"), str_cat(a, STR("Bearer "), run->credentials.secret) };
	struct str body = str_fmt(a, "{\"oid\":\"%.*s\",\"size\":%lld}", STR_ARG(sha), (long long)f->size);
	struct fetch_request q = { .method = "POST", .url = href, .headers = fields, .n_headers = n, .body = body };
	TRY(adapter_ask(run, &q, &answer, "confirm a stored file"));
	return answer.status >= 200 && answer.status < 300 ? ERR_OK : adapter_fail(run, false, "The place answered %ld when asked to confirm a stored file.", answer.status);
}

static enum err send(struct adapter_run *run, const struct adapter_version *v, const struct adapter_file *f, const struct json *upload)
{
	struct access_file open;
	struct adapter_digests d;
	struct str chunk = json_text(json_at(upload, "/header/chunk_size")), etag;
	int64_t size = 0;
	if (chunk.p && (!str_to_i64(chunk, 1, INT64_MAX / 2, &size) || f->size / size >= PARTS_MAX))
		return adapter_fail(run, false, "The place gives parts of a size that makes no sense.");
	TRY(access_file_open(run->c, run->t.coop, &v->release, f->path, &open));
	enum err e = adapter_digest(run, open.fd, 0, open.size, &d);
	if (e == ERR_OK && (open.size != f->size || !sha256_eq(d.sha256, f->sha256)))
		e = fail(run->c, ERR_CORRUPT, "A file of a release is not what was published.");
	if (e == ERR_OK)
		e = size ? put_parts(run, upload, f, open.fd, size) : put_link(run, json_member_text(upload, "href"), json_get(upload, "header"), open.fd, 0, f->size, &etag);
	close(open.fd);
	return e;
}

static const struct json *object_of(struct adapter_run *run, const struct json *objects, const struct adapter_file *f)
{
	struct str sha = sha256_hex(run->c->arena, f->sha256);
	json_each (o, objects)
		if (str_eq(json_member_text(o, "oid"), sha))
			return o;
	return NULL;
}

/* An object without actions is stored already, by whichever version. */
static enum err upload(struct adapter_run *run, const struct adapter_version *v, struct adapter_file *f, const struct json *object)
{
	const struct json *actions = json_get(object, "actions");
	if (!object || json_get(object, "error"))
		return adapter_fail(run, true, "The place does not take a file of the release: its size or name does not suit it.");
	if (actions) {
		TRY(send(run, v, f, json_get(actions, "upload")));
		TRY(confirm(run, json_get(actions, "verify"), f));
	}
	return adapter_store_done(run, v, f, sha256_hex(run->c->arena, f->sha256));
}

static enum err batch(struct adapter_run *run, struct adapter_version *v, const size_t *which, size_t n)
{
	struct str path = str_cat(run->c->arena, STR("/datasets/"), run->t.place, STR(".git/info/lfs/objects/batch"));
	struct fetch_answer answer;
	const struct json *tree;
	struct error e = { 0 };
	TRY(hub_ask(run, "POST", path, batch_body(run, v, which, n), LFS_TYPE, &answer, "prepare an upload"));
	if (answer.status != 200)
		return hub_odd(run, &answer, "prepare an upload");
	if (json_parse(run->c->arena, answer.body, &tree, &e) != ERR_OK)
		return adapter_fail(run, false, "The place answers with something else when asked to prepare an upload.");
	for (size_t i = 0; i < n; i++)
		TRY(upload(run, v, &v->files[which[i]], object_of(run, json_get(tree, "objects"), &v->files[which[i]])));
	return ERR_OK;
}

enum err hub_lfs_upload(struct adapter_run *run, struct adapter_version *v, const bool *in_lfs)
{
	size_t which[BATCH], n = 0;
	/* Those that were sent before are asked about, too: what no commit refers to may have been cleared away. */
	for (size_t i = 0; i < v->n_files; i++) {
		if (in_lfs[i])
			which[n++] = i;
		if (n == BATCH || (n && i + 1 == v->n_files)) {
			TRY(batch(run, v, which, n));
			n = 0;
		}
	}
	return ERR_OK;
}
