#include "s3.h"
#include "s3_xml.h"

#include "commonhold/limits.h"

#include <stdlib.h>

#define LISTING_MAX (8 * MIB) /* a page of a thousand keys has half a megabyte */

/* ---- requests ---- */

/* A key as part of a path: each segment in percent-encoding, as it is signed. */
static void add_path(struct adapter_run *run, struct buf *b, struct str key)
{
	struct str rest = key, part;
	while (str_split(&rest, '/', &part)) {
		buf_add_byte(b, '/');
		buf_add_str(b, str_url_encode(run->c->arena, part));
	}
}

/* The bucket as a part of the host: behind the scheme. */
static struct str url_of(struct adapter_run *run, const struct s3_request *q)
{
	struct buf b;
	const struct adapter_target *t = &run->t;
	size_t at = str_starts(t->endpoint, "https://") ? 8 : 7;
	buf_init(&b, 16 * KIB);
	if (t->path_style) {
		buf_add_str(&b, t->endpoint);
		buf_add_byte(&b, '/');
		buf_add_str(&b, t->place);
	} else {
		buf_add_str(&b, str_sub(t->endpoint, 0, at));
		buf_add_str(&b, t->place);
		buf_add_byte(&b, '.');
		buf_add_str(&b, str_sub(t->endpoint, at, t->endpoint.n));
	}
	if (q->key.n)
		add_path(run, &b, q->key);
	else
		buf_add_byte(&b, '/');
	if (q->query.n) {
		buf_add_byte(&b, '?');
		buf_add_str(&b, q->query);
	}
	return buf_take(run->c->arena, &b);
}

void s3_field(struct s3_request *q, const char *name, struct str value)
{
	if (q->n_fields < S3_FIELDS_MAX)
		q->fields[q->n_fields++] = (struct fetch_header){ str_of(name), value };
}

struct str s3_code(struct adapter_run *run, const struct fetch_answer *answer)
{
	return s3_xml_is(answer->body, "Error") ? s3_xml_text(run->c->arena, answer->body, "Code") : STR_NONE;
}

/* Refusals that say "not now" by another number. */
static bool is_passing(struct str code)
{
	static const char *const codes[] = { "RequestTimeout", "OperationAborted", "SlowDown", "InternalError", "ServiceUnavailable", "BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch",
		"ConditionalRequestConflict" };
	return str_which(code, codes, CH_LEN(codes)) >= 0;
}

enum err s3_odd(struct adapter_run *run, const struct fetch_answer *answer, const char *what)
{
	struct str code = s3_code(run, answer);
	enum err e = adapter_odd(run, answer, code, what);
	if (code.p && is_passing(code)) {
		run->final = false;
		run->c->error.code = ERR_RETRY;
		return ERR_RETRY;
	}
	return e;
}

enum err s3_ask(struct adapter_run *run, struct s3_request *q, struct fetch_answer *out, const char *what)
{
	struct arena *a = run->c->arena;
	struct str scope = str_fmt(a, "aws:amz:%.*s:s3", STR_ARG(run->t.region));
	struct fetch_header fields[S3_FIELDS_MAX + 1];
	memcpy(fields, q->fields, sizeof(q->fields));
	size_t n = q->n_fields;
	if (!q->unsigned_)
		fields[n++] = (struct fetch_header){ STR("x-amz-content-sha256"), sha256_hex(a, q->part ? q->sha256 : sha256(q->body.p ? q->body : STR(""))) };
	struct fetch_request r = {
		.method = q->method, .url = url_of(run, q), .headers = fields, .n_headers = n, .body = q->body, .part = q->part, .max_bytes = q->watch ? q->watch_max : (int64_t)LISTING_MAX,
		.slow_seconds = q->slow_seconds, .sink = q->watch ? adapter_hash_sink : NULL, .arg = q->watch,
	};
	if (!q->unsigned_) {
		r.user = run->credentials.key_id;
		r.password = run->credentials.secret;
		r.aws_sigv4 = scope.p;
	}
	return adapter_ask(run, &r, out, what);
}

struct str s3_key(struct adapter_run *run, struct str version, struct str path)
{
	struct arena *a = run->c->arena;
	struct str base = run->t.prefix.n ? str_cat(a, run->t.prefix, STR("/")) : STR("");
	return version.p ? str_cat(a, base, version, STR("/"), path) : str_cat(a, base, path);
}

/* ---- listings ---- */

struct listing { const char *first; const char *element[2]; const char *root; const char *id; const char *what; };
static const struct listing listings[] = {
	[S3_OBJECTS] = { "list-type=2", { "Contents", NULL }, "ListBucketResult", NULL, "list objects" },
	[S3_VERSIONS] = { "versions=", { "Version", "DeleteMarker" }, "ListVersionsResult", "VersionId", "list object versions" },
	[S3_UPLOADS] = { "uploads=", { "Upload", NULL }, "ListMultipartUploadsResult", "UploadId", "list uploads" },
};

static enum err list_add(struct adapter_run *run, const struct listing *l, struct str element, struct s3_list *out)
{
	struct arena *a = run->c->arena;
	struct s3_item item = { .etag = s3_xml_text(a, element, "ETag") };
	struct str key = s3_xml_text(a, element, "Key"), size = s3_xml_text(a, element, "Size");
	if (!key.p || !str_url_decode(a, key, false, &item.key) || (size.p && !str_to_i64(size, 0, INT64_MAX, &item.size)))
		return adapter_fail(run, false, "The place's list of what it holds cannot be read.");
	if (l->id)
		item.id = s3_xml_text(a, element, l->id);
	if (out->n == S3_LIST_MAX)
		return adapter_fail(run, true, "There is more under the prefix than is looked through.");
	if (out->n == out->cap) {
		size_t cap = out->cap ? out->cap * 2 : 256;
		struct s3_item *grown = ARENA_ARRAY(a, cap, struct s3_item);
		if (out->n)
			memcpy(grown, out->items, out->n * sizeof(*grown));
		out->items = grown;
		out->cap = cap;
	}
	out->items[out->n++] = item;
	return ERR_OK;
}

/* Where the next page begins, as parts of a query in order of their names; absent: this was the last. */
struct page { struct str after, id; };

static struct str page_query(struct adapter_run *run, enum s3_listing which, struct str prefix, const struct page *p)
{
	struct arena *a = run->c->arena;
	struct str coded = str_url_encode(a, prefix), after = p->after.p ? str_url_encode(a, p->after) : STR_NONE, id = p->id.p ? str_url_encode(a, p->id) : STR_NONE;
	if (which == S3_OBJECTS)
		return after.p ? str_cat(a, STR("continuation-token="), after, STR("&encoding-type=url&list-type=2&prefix="), coded) : str_cat(a, STR("encoding-type=url&list-type=2&prefix="), coded);
	struct str marker = after.p ? str_cat(a, STR("&key-marker="), after) : STR("");
	if (which == S3_UPLOADS)
		return str_cat(a, STR("encoding-type=url"), marker, STR("&prefix="), coded, id.p ? str_cat(a, STR("&upload-id-marker="), id) : STR(""), STR("&uploads="));
	return str_cat(a, STR("encoding-type=url"), marker, STR("&prefix="), coded, id.p ? str_cat(a, STR("&version-id-marker="), id) : STR(""), STR("&versions="));
}

static enum err page_next(struct adapter_run *run, enum s3_listing which, struct str body, struct page *p)
{
	struct arena *a = run->c->arena;
	struct page before = *p;
	*p = (struct page){ STR_NONE, STR_NONE };
	if (!str_is(s3_xml_text(a, body, "IsTruncated"), "true"))
		return ERR_OK;
	if (which == S3_OBJECTS) {
		p->after = s3_xml_text(a, body, "NextContinuationToken");
	} else {
		struct str key = s3_xml_text(a, body, "NextKeyMarker");
		if (!key.p || !str_url_decode(a, key, false, &p->after))
			p->after = STR_NONE;
		p->id = s3_xml_text(a, body, which == S3_UPLOADS ? "NextUploadIdMarker" : "NextVersionIdMarker");
	}
	if (!p->after.p || (str_eq(p->after, before.after) && str_eq(p->id, before.id)))
		return adapter_fail(run, false, "The place's list of what it holds does not come to an end.");
	return ERR_OK;
}

static enum err page_read(struct adapter_run *run, enum s3_listing which, struct str body, struct s3_list *out)
{
	const struct listing *l = &listings[which];
	if (!s3_xml_is(body, l->root))
		return adapter_fail(run, false, "The place answers with something else when asked to %s.", l->what);
	for (size_t i = 0; i < 2 && l->element[i]; i++) {
		struct str rest = body, element;
		while (s3_xml_next(&rest, l->element[i], &element))
			TRY(list_add(run, l, element, out));
	}
	return ERR_OK;
}

enum err s3_list_all(struct adapter_run *run, enum s3_listing which, struct str prefix, struct s3_list *out)
{
	struct page p = { STR_NONE, STR_NONE };
	*out = (struct s3_list){ .known = true };
	do {
		struct s3_request q = { .method = "GET", .key = STR(""), .query = page_query(run, which, prefix, &p) };
		struct fetch_answer answer;
		TRY(s3_ask(run, &q, &answer, listings[which].what));
		if (which != S3_OBJECTS && (answer.status == 501 || answer.status == 405)) {
			out->known = false;
			return ERR_OK;
		}
		if (answer.status != 200)
			return s3_odd(run, &answer, listings[which].what);
		TRY(page_read(run, which, answer.body, out));
		TRY(page_next(run, which, answer.body, &p));
	} while (p.after.p);
	return ERR_OK;
}

/* ---- single objects ---- */

enum err s3_delete(struct adapter_run *run, struct str key, struct str id)
{
	struct fetch_answer answer;
	struct s3_request q = { .method = "DELETE", .key = key, .query = id.p ? str_cat(run->c->arena, STR("versionId="), str_url_encode(run->c->arena, id)) : STR_NONE };
	TRY(s3_ask(run, &q, &answer, "delete an object"));
	if (answer.status == 404 || (answer.status >= 200 && answer.status < 300))
		return ERR_OK;
	return s3_odd(run, &answer, "delete an object");
}

enum err s3_put_small(struct adapter_run *run, struct str key, struct str body, struct str if_match, struct str *etag, struct str *version_id)
{
	struct fetch_answer answer;
	struct s3_request q = { .method = "PUT", .key = key, .body = body };
	s3_field(&q, "Content-Type", STR("application/json"));
	s3_field(&q, "Cache-Control", STR("no-cache"));
	if (if_match.p && if_match.n == 0)
		s3_field(&q, "If-None-Match", STR("*"));
	else if (if_match.p)
		s3_field(&q, "If-Match", if_match);
	TRY(s3_ask(run, &q, &answer, "put an object"));
	if (if_match.p && (answer.status == 412 || answer.status == 404 || answer.status == 409))
		return ERR_STALE;
	if (if_match.p && answer.status == 501)
		return s3_put_small(run, key, body, STR_NONE, etag, version_id);
	if (answer.status != 200)
		return s3_odd(run, &answer, "put an object");
	*etag = fetch_header_get(&answer, "ETag");
	*version_id = fetch_header_get(&answer, "x-amz-version-id");
	return ERR_OK;
}
