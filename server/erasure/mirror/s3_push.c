/* A release in a bucket: <prefix>/<version>/<path>, and <prefix>/latest.json, which is written last and names the version that readers take. */
#include "s3.h"
#include "s3_xml.h"

#include "commonhold/access.h"
#include "commonhold/json.h"

#include <stdlib.h>
#include <unistd.h>

#define COPY_MAX ((int64_t)5 * 1024 * 1024 * 1024) /* what one request may copy */
#define PARTS_MAX 10000
#define PATIENT_SECONDS 300                         /* for putting parts together and copying, which takes as long as it takes */

/* Every version that was ever put under the key or prefix, delete markers too; where the service keeps none, the objects. */
static enum err delete_all(struct adapter_run *run, struct str prefix)
{
	struct s3_list list;
	TRY(s3_list_all(run, S3_VERSIONS, prefix, &list));
	if (!list.known)
		TRY(s3_list_all(run, S3_OBJECTS, prefix, &list));
	for (size_t i = 0; i < list.n; i++)
		TRY(s3_delete(run, list.items[i].key, list.items[i].id));
	return ERR_OK;
}

/* ---- who can read there ---- */

static enum err is_open(struct adapter_run *run, struct str key, struct str query, const char *what, bool *open)
{
	struct fetch_answer answer;
	struct s3_request q = { .method = "GET", .key = key, .query = query, .unsigned_ = true };
	TRY(s3_ask(run, &q, &answer, what));
	*open = *open || (answer.status >= 200 && answer.status < 300);
	return ERR_OK;
}

/* A word that says nothing is put there and asked for as anybody would: an answer means that everybody can read what this target is trusted with. */
static enum err check_closed(struct adapter_run *run)
{
	struct str key = s3_key(run, STR_NONE, STR("access-check.json")), etag, id;
	bool open = false;
	if (run->t.audience == POLICY_AUDIENCE_PUBLIC)
		return ERR_OK;
	TRY(s3_put_small(run, key, STR("{}\n"), STR_NONE, &etag, &id));
	enum err e = is_open(run, key, STR_NONE, "see whether anybody can read there", &open);
	if (e == ERR_OK)
		e = is_open(run, STR(""), STR("list-type=2&max-keys=1"), "see whether anybody can list there", &open);
	struct error why = run->c->error;
	enum err gone = delete_all(run, key);
	if (e != ERR_OK) {
		run->c->error = why;
		return e;
	}
	TRY(gone);
	if (open)
		return adapter_fail(run, true, "Anybody can read the bucket without credentials, and the target says that only \"%s\" can. Nothing was put there.", policy_audience_name(run->t.audience));
	return ERR_OK;
}

/* ---- one file ---- */

static struct str content_type(struct str path)
{
	static const struct { const char *suffix, *type; } types[] = { { ".gz", "application/gzip" }, { ".jsonl", "application/jsonlines" }, { ".json", "application/json" }, { ".md", "text/markdown" } };
	for (size_t i = 0; i < CH_LEN(types); i++)
		if (str_ends(path, types[i].suffix))
			return str_of(types[i].type);
	return STR("application/octet-stream");
}

static struct str base64_of(struct adapter_run *run, struct sha256 h)
{
	return str_base64(run->c->arena, h.b, sizeof(h.b));
}

/* An ETag without its quotes, if it is an MD5. */
static bool etag_md5(struct str etag, uint8_t md5[16])
{
	if (etag.n >= 2 && etag.p[0] == '"' && etag.p[etag.n - 1] == '"')
		etag = str_sub(etag, 1, etag.n - 2);
	return etag.n == 32 && str_unhex(etag, md5, 16);
}

/* Whether what arrived is what was sent, as far as the answer tells: by its checksum, or by an ETag that is an MD5, as it is without encryption under a key of their own. */
static bool arrived(struct adapter_run *run, const struct fetch_answer *answer, const struct adapter_digests *d)
{
	struct str sum = fetch_header_get(answer, "x-amz-checksum-sha256"), seal = fetch_header_get(answer, "x-amz-server-side-encryption");
	uint8_t md5[16];
	if (sum.p)
		return str_eq(sum, base64_of(run, d->sha256));
	if (str_starts(seal, "aws:kms") || !etag_md5(fetch_header_get(answer, "ETag"), md5))
		return true;
	return memcmp(md5, d->md5, 16) == 0;
}

/* The object as it lies there, read back: size and content decide, and its ETag is the one to remember. */
static enum err read_back(struct adapter_run *run, struct str key, const struct adapter_file *f, struct str *etag, bool *same)
{
	struct fetch_answer answer;
	struct adapter_watch watch = { .run = run, .hash = hasher_new(run->c->arena) };
	struct s3_request q = { .method = "GET", .key = key, .watch = &watch, .watch_max = f->size > 0 ? f->size : 1 };
	*same = false;
	enum err e = s3_ask(run, &q, &answer, "read an object back");
	if (e == ERR_TOO_LARGE) {
		/* Longer than what was sent is something else, and a place may go on for ever. */
		error_clear(&run->c->error);
		run->remote = false;
		return ERR_OK;
	}
	TRY(e);
	if (answer.status == 404)
		return ERR_OK;
	if (answer.status != 200)
		return s3_odd(run, &answer, "read an object back");
	*same = watch.bytes == f->size && sha256_eq(hasher_end(watch.hash), f->sha256);
	*etag = fetch_header_get(&answer, "ETag");
	return ERR_OK;
}

/* For an answer that is in doubt. */
static enum err settle(struct adapter_run *run, const struct adapter_version *v, struct adapter_file *f, struct str key)
{
	struct str etag = STR_NONE;
	bool same;
	TRY(read_back(run, key, f, &etag, &same));
	if (!same || !etag.p)
		return adapter_fail(run, false, "What lies there is not what was sent; it is sent again.");
	return adapter_store_done(run, v, f, etag);
}

static enum err put_whole(struct adapter_run *run, const struct adapter_version *v, struct adapter_file *f, int fd, struct str key)
{
	struct arena *a = run->c->arena;
	struct fetch_part part = { fd, 0, f->size };
	struct fetch_answer answer;
	struct adapter_digests d;
	TRY(adapter_digest(run, fd, 0, f->size, &d));
	if (!sha256_eq(d.sha256, f->sha256))
		return fail(run->c, ERR_CORRUPT, "A file of a release is not what was published.");
	struct s3_request q = { .method = "PUT", .key = key, .part = f->size ? &part : NULL, .body = f->size ? STR_NONE : STR(""), .sha256 = d.sha256 };
	s3_field(&q, "Content-Type", content_type(f->path));
	s3_field(&q, "x-amz-checksum-sha256", base64_of(run, d.sha256));
	s3_field(&q, "x-amz-meta-sha256", sha256_hex(a, f->sha256));
	TRY(s3_ask(run, &q, &answer, "put a file"));
	if (answer.status != 200)
		return s3_odd(run, &answer, "put a file");
	struct str etag = fetch_header_get(&answer, "ETag");
	return etag.p && arrived(run, &answer, &d) ? adapter_store_done(run, v, f, etag) : settle(run, v, f, key);
}

/* ---- in parts ---- */

static enum err upload_begin(struct adapter_run *run, const struct adapter_version *v, struct adapter_file *f, struct str key)
{
	struct fetch_answer answer;
	struct s3_request q = { .method = "POST", .key = key, .query = STR("uploads="), .body = STR("") };
	s3_field(&q, "Content-Type", content_type(f->path));
	s3_field(&q, "x-amz-checksum-algorithm", STR("SHA256"));
	s3_field(&q, "x-amz-meta-sha256", sha256_hex(run->c->arena, f->sha256));
	TRY(s3_ask(run, &q, &answer, "begin an upload"));
	if (answer.status != 200)
		return s3_odd(run, &answer, "begin an upload");
	struct str id = s3_xml_is(answer.body, "InitiateMultipartUploadResult") ? s3_xml_text(run->c->arena, answer.body, "UploadId") : STR_NONE;
	if (!id.n || id.n > 2000)
		return adapter_fail(run, false, "The place began an upload and gave it no name.");
	int64_t size = run->t.part_bytes;
	if (f->size / PARTS_MAX >= size)
		size = f->size / PARTS_MAX + 1;
	return adapter_store_upload(run, v, f, id, size);
}

/* The upload is not there any more: it ended, by an answer that was lost, or was thrown away. */
static enum err upload_lost(struct adapter_run *run, const struct adapter_version *v, struct adapter_file *f, struct str key)
{
	struct str etag = STR_NONE;
	bool same;
	TRY(read_back(run, key, f, &etag, &same));
	if (same && etag.p)
		return adapter_store_done(run, v, f, etag);
	TRY(adapter_store_upload(run, v, f, STR_NONE, 0));
	return adapter_fail(run, false, "The place has thrown an upload away; it is begun anew.");
}

static bool is_lost(struct adapter_run *run, const struct fetch_answer *answer)
{
	struct str code = s3_code(run, answer);
	return str_is(code, "NoSuchUpload") || str_is(code, "InvalidPart") || str_is(code, "InvalidPartOrder") || str_is(code, "EntityTooSmall");
}

static struct str upload_query(struct adapter_run *run, const struct adapter_file *f, int part)
{
	struct str id = str_url_encode(run->c->arena, f->upload_id);
	return part ? str_fmt(run->c->arena, "partNumber=%d&uploadId=%.*s", part, STR_ARG(id)) : str_cat(run->c->arena, STR("uploadId="), id);
}

static enum err part_put(struct adapter_run *run, const struct adapter_version *v, struct adapter_file *f, int fd, struct str key, int no, struct adapter_part *out)
{
	int64_t at = (int64_t)(no - 1) * f->part_bytes, n = f->size - at < f->part_bytes ? f->size - at : f->part_bytes;
	struct fetch_part part = { fd, at, n };
	struct fetch_answer answer;
	struct adapter_digests d;
	TRY(adapter_digest(run, fd, at, n, &d));
	struct s3_request q = { .method = "PUT", .key = key, .query = upload_query(run, f, no), .part = &part, .sha256 = d.sha256 };
	s3_field(&q, "x-amz-checksum-sha256", base64_of(run, d.sha256));
	TRY(s3_ask(run, &q, &answer, "put a part"));
	if (is_lost(run, &answer))
		return upload_lost(run, v, f, key);
	if (answer.status != 200)
		return s3_odd(run, &answer, "put a part");
	*out = (struct adapter_part){ no, fetch_header_get(&answer, "ETag"), d.sha256 };
	if (!out->etag.p || !arrived(run, &answer, &d))
		return adapter_fail(run, false, "A part arrived as something else; it is sent again.");
	return adapter_store_part(run, v, f, out);
}

static enum err upload_end(struct adapter_run *run, const struct adapter_version *v, struct adapter_file *f, struct str key, const struct adapter_part *parts, int n)
{
	struct buf b;
	struct fetch_answer answer;
	buf_init(&b, 4 * MIB);
	buf_add_z(&b, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
	for (int i = 0; i < n; i++) {
		buf_addf(&b, "<Part><PartNumber>%d</PartNumber><ETag>", parts[i].no);
		s3_xml_add(&b, parts[i].etag);
		buf_add_z(&b, "</ETag><ChecksumSHA256>");
		buf_add_str(&b, base64_of(run, parts[i].sha256));
		buf_add_z(&b, "</ChecksumSHA256></Part>");
	}
	buf_add_z(&b, "</CompleteMultipartUpload>");
	struct s3_request q = { .method = "POST", .key = key, .query = upload_query(run, f, 0), .body = buf_take(run->c->arena, &b), .slow_seconds = PATIENT_SECONDS };
	s3_field(&q, "Content-Type", STR("application/xml"));
	TRY(s3_ask(run, &q, &answer, "end an upload"));
	if (is_lost(run, &answer))
		return upload_lost(run, v, f, key);
	/* A 200 is sent before the parts are put together: what came of it is in the body. */
	if (answer.status != 200 || s3_xml_is(answer.body, "Error"))
		return s3_odd(run, &answer, "end an upload");
	if (!s3_xml_is(answer.body, "CompleteMultipartUploadResult"))
		return adapter_fail(run, false, "The place answers with something else when asked to end an upload.");
	return settle(run, v, f, key);
}

static enum err put_parts(struct adapter_run *run, const struct adapter_version *v, struct adapter_file *f, int fd, struct str key)
{
	struct adapter_part *there, *all;
	size_t n_there, next = 0;
	if (!f->upload_id.p)
		TRY(upload_begin(run, v, f, key));
	TRY(adapter_store_parts(run, v, f, &there, &n_there));
	int n = (int)((f->size + f->part_bytes - 1) / f->part_bytes);
	all = ARENA_ARRAY(run->c->arena, (size_t)n, struct adapter_part);
	for (int no = 1; no <= n; no++) {
		if (next < n_there && there[next].no == no) {
			all[no - 1] = there[next++];
			continue;
		}
		TRY(part_put(run, v, f, fd, key, no, &all[no - 1]));
		if (f->done)
			return ERR_OK;
	}
	return upload_end(run, v, f, key, all, n);
}

/* ---- what lies there already ---- */

/* A shard of another version that is the same file is copied over there. ERR_NOT_FOUND: there is none, or no longer. */
static enum err copy_same(struct adapter_run *run, const struct adapter_version *v, struct adapter_file *f, struct str key)
{
	struct arena *a = run->c->arena;
	struct str version, path, etag, source;
	struct fetch_answer answer;
	if (f->size > COPY_MAX || f->size == 0)
		return ERR_NOT_FOUND;
	TRY(adapter_store_same(run, v, f, &version, &path, &etag));
	struct buf b;
	struct str rest = str_cat(a, run->t.place, STR("/"), s3_key(run, version, path)), part;
	buf_init(&b, 16 * KIB);
	while (str_split(&rest, '/', &part)) {
		buf_add_byte(&b, '/');
		buf_add_str(&b, str_url_encode(a, part));
	}
	source = buf_take(a, &b);
	struct s3_request q = { .method = "PUT", .key = key, .body = STR(""), .slow_seconds = PATIENT_SECONDS };
	s3_field(&q, "x-amz-copy-source", source);
	s3_field(&q, "x-amz-metadata-directive", STR("COPY"));
	TRY(s3_ask(run, &q, &answer, "copy a file"));
	if (answer.status == 404 || answer.status == 412 || answer.status == 501)
		return ERR_NOT_FOUND;
	if (answer.status != 200 || s3_xml_is(answer.body, "Error"))
		return s3_odd(run, &answer, "copy a file");
	/* The same ETag is the same content; another one, as a file that came in parts gets, is looked at. (A condition on the source cannot be signed by libcurl 7.88, which sorts
	 * x-amz-copy-source behind x-amz-copy-source-if-match.) */
	struct str made = s3_xml_text(a, answer.body, "ETag");
	return made.p && str_eq(made, etag) ? adapter_store_done(run, v, f, made) : settle(run, v, f, key);
}

static enum err put_file(struct adapter_run *run, const struct adapter_version *v, struct adapter_file *f)
{
	struct call *c = run->c;
	struct access_file open;
	struct str key = s3_key(run, v->release.version, f->path);
	if (!f->upload_id.p) {
		enum err copied = copy_same(run, v, f, key);
		if (copied != ERR_NOT_FOUND)
			return copied;
		error_clear(&c->error);
	}
	TRY(access_file_open(c, run->t.coop, &v->release, f->path, &open));
	enum err e = open.size != f->size ? fail(c, ERR_CORRUPT, "A file of a release has another size than it was published with.")
		: f->size > run->t.part_bytes || f->upload_id.p ? put_parts(run, v, f, open.fd, key) : put_whole(run, v, f, open.fd, key);
	close(open.fd);
	return e;
}

/* ---- a version ---- */

static int by_key(const void *a, const void *b)
{
	return str_cmp(((const struct s3_item *)a)->key, ((const struct s3_item *)b)->key);
}

/* The folder as its readers would list it: every file with the size and ETag that it was put with, and nothing else. */
static enum err check_listing(struct adapter_run *run, struct adapter_version *v)
{
	struct s3_list list;
	size_t wrong = 0;
	TRY(s3_list_all(run, S3_OBJECTS, s3_key(run, v->release.version, STR("")), &list));
	if (list.n)
		qsort(list.items, list.n, sizeof(*list.items), by_key);
	for (size_t i = 0; i < v->n_files; i++) {
		struct adapter_file *f = &v->files[i];
		struct s3_item wanted = { .key = s3_key(run, v->release.version, f->path) };
		const struct s3_item *found = list.n ? bsearch(&wanted, list.items, list.n, sizeof(*list.items), by_key) : NULL;
		if (found && found->size == f->size && str_eq(found->etag, f->etag))
			continue;
		wrong++;
		TRY(adapter_store_done(run, v, f, STR_NONE));
	}
	if (wrong)
		return adapter_fail(run, false, "%zu files of the version are not there as they were put; they are put again.", wrong);
	if (list.n > v->n_files)
		return adapter_fail(run, true, "There is more in the version's folder than was put there. Somebody else writes to it.");
	return ERR_OK;
}

static struct str latest_text(struct adapter_run *run, const struct release *r)
{
	struct arena *a = run->c->arena;
	struct buf b;
	struct json_writer w;
	buf_init(&b, 4 * KIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kstr(&w, "manifest_sha256", sha256_hex(a, r->manifest_sha256));
	jw_kstr(&w, "path", str_cat(a, r->version, STR("/")));
	jw_kstr(&w, "published_at", clock_format(a, r->published_at));
	jw_kstr(&w, "version", r->version);
	jw_end_object(&w);
	buf_add_byte(&b, '\n');
	return buf_take(a, &b);
}

/* As it lies there now. */
static enum err latest_read(struct adapter_run *run, struct str key, struct str *text, struct str *etag)
{
	struct fetch_answer answer;
	struct s3_request q = { .method = "GET", .key = key };
	*text = *etag = STR_NONE;
	TRY(s3_ask(run, &q, &answer, "read what is named as the latest"));
	if (answer.status == 404)
		return ERR_OK;
	if (answer.status != 200)
		return s3_odd(run, &answer, "read what is named as the latest");
	*text = answer.body;
	*etag = fetch_header_get(&answer, "ETag");
	return ERR_OK;
}

/* Replaced only as it was seen: a reader finds the old version or the new one, and a second writer would be noticed. */
static enum err latest_write(struct adapter_run *run, const struct release *r)
{
	struct str key = s3_key(run, STR_NONE, STR("latest.json")), text = latest_text(run, r), there, etag, id;
	enum err e = s3_put_small(run, key, text, run->latest_etag.p ? run->latest_etag : STR(""), &etag, &id);
	if (e == ERR_STALE) {
		error_clear(&run->c->error);
		TRY(latest_read(run, key, &there, &etag));
		e = str_eq(there, text) && etag.p ? ERR_OK : s3_put_small(run, key, text, etag.p ? etag : STR(""), &etag, &id);
	}
	if (e == ERR_STALE)
		return adapter_fail(run, false, "Somebody else writes to what is named as the latest.");
	TRY(e);
	return adapter_store_latest(run, r->version, etag);
}

enum err s3_publish(struct adapter_run *run, struct adapter_version *v)
{
	TRY(check_closed(run));
	for (size_t i = 0; i < v->n_files; i++) {
		struct arena_mark mark = arena_mark(run->c->arena);
		struct adapter_file f = v->files[i];
		if (f.done)
			continue;
		TRY(put_file(run, v, &f));
		arena_rewind(run->c->arena, mark);
	}
	TRY(adapter_store_files(run, v));
	TRY(check_listing(run, v));
	TRY(adapter_store_still(run, v));
	TRY(latest_write(run, &v->release));
	return adapter_store_published(run, v, STR_NONE);
}

/* ---- erasing ---- */

/* The newest version that stays and is whole; NULL: none. */
static const struct adapter_version *newest_kept(const struct adapter_plan *p)
{
	const struct adapter_version *best = NULL;
	for (size_t i = 0; i < p->n; i++)
		if (!p->copies[i].doomed && p->copies[i].state == ADAPTER_COPY_PUBLISHED && (!best || p->copies[i].release.published_at > best->release.published_at))
			best = &p->copies[i];
	return best;
}

static enum err abort_uploads(struct adapter_run *run, struct str prefix)
{
	struct s3_list list;
	TRY(s3_list_all(run, S3_UPLOADS, prefix, &list));
	for (size_t i = 0; i < list.n; i++) {
		struct fetch_answer answer;
		struct s3_request q = { .method = "DELETE", .key = list.items[i].key, .query = str_cat(run->c->arena, STR("uploadId="), str_url_encode(run->c->arena, list.items[i].id)) };
		TRY(s3_ask(run, &q, &answer, "throw an upload away"));
		if (answer.status != 404 && (answer.status < 200 || answer.status >= 300))
			return s3_odd(run, &answer, "throw an upload away");
	}
	return ERR_OK;
}

static enum err found_gone(struct adapter_run *run, enum s3_listing which, struct str prefix, const char *what)
{
	struct s3_list list;
	TRY(s3_list_all(run, which, prefix, &list));
	if (list.n)
		return adapter_fail(run, false, "Of a withdrawn version %zu %s are still there.", list.n, what);
	if (list.known)
		adapter_note(run, what, prefix, 0);
	return ERR_OK;
}

static enum err erase_version(struct adapter_run *run, const struct adapter_version *v)
{
	struct str prefix = s3_key(run, v->release.version, STR(""));
	TRY(abort_uploads(run, prefix));
	TRY(delete_all(run, prefix));
	TRY(found_gone(run, S3_UPLOADS, prefix, "unfinished uploads"));
	TRY(found_gone(run, S3_VERSIONS, prefix, "object versions"));
	return found_gone(run, S3_OBJECTS, prefix, "objects");
}

/* What readers are sent to goes first, so that nobody is sent to what is being deleted. */
static enum err latest_turn(struct adapter_run *run, const struct adapter_plan *p)
{
	const struct adapter_version *kept = newest_kept(p);
	if (kept && str_eq(run->t.latest, kept->release.version))
		return ERR_OK;
	if (kept)
		return latest_write(run, &kept->release);
	TRY(delete_all(run, s3_key(run, STR_NONE, STR("latest.json"))));
	return adapter_store_latest(run, STR_NONE, STR_NONE);
}

enum err s3_erase(struct adapter_run *run, struct adapter_plan *p)
{
	TRY(latest_turn(run, p));
	for (size_t i = 0; i < p->n; i++)
		if (p->copies[i].doomed)
			TRY(erase_version(run, &p->copies[i]));
	return ERR_OK;
}
