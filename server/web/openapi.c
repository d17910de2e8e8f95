/* The OpenAPI 3.1 document, made once at start from the tables of routes and the schemas: what is not in a table cannot be in the document, and what is in a table cannot be
 * missing from it.
 */
#include "server/web/web.h"

#define DOCUMENT_MAX (4 * MIB)

/* "{path*}" is written "{path}". */
static struct str openapi_path(struct arena *a, const char *path)
{
	char *out = arena_alloc(a, strlen(path) + 1);
	size_t n = 0;
	for (const char *p = path; *p; p++) {
		if (*p != '*')
			out[n++] = *p;
	}
	return str_make(out, n);
}

static void write_schema_ref(struct json_writer *w, struct arena *a, const char *name)
{
	jw_object(w);
	jw_kstr(w, "$ref", str_fmt(a, "#/components/schemas/%s", name));
	jw_end_object(w);
}

static void write_parameter(struct json_writer *w, struct str name, const char *in, bool required)
{
	jw_object(w);
	jw_kstr(w, "name", name);
	jw_kz(w, "in", in);
	jw_kbool(w, "required", required);
	jw_key(w, "schema");
}

static void write_text_schema(struct json_writer *w, int max)
{
	jw_object(w);
	jw_kz(w, "type", "string");
	jw_kint(w, "minLength", 1);
	if (max)
		jw_kint(w, "maxLength", max);
	jw_end_object(w);
}

/* One entry of a route's query list: "cursor", "state=open|closed". */
static void write_query_parameter(struct json_writer *w, struct str entry)
{
	ptrdiff_t equals = str_index(entry, '=');
	struct str name = equals < 0 ? entry : str_sub(entry, 0, (size_t)equals);
	write_parameter(w, name, "query", false);
	jw_object(w);
	if (str_is(name, "limit")) {
		jw_kz(w, "type", "integer");
		jw_kint(w, "minimum", 1);
		jw_kint(w, "maximum", LIMIT_PAGE);
		jw_kint(w, "default", LIMIT_PAGE_DEFAULT);
	} else {
		jw_kz(w, "type", "string");
	}
	if (equals >= 0) {
		struct str rest = str_sub(entry, (size_t)equals + 1, entry.n), choice;
		jw_key(w, "enum");
		jw_array(w);
		while (str_split(&rest, '|', &choice))
			jw_str(w, choice);
		jw_end_array(w);
	}
	jw_end_object(w);
	jw_end_object(w);
}

static void write_parameters(struct json_writer *w, const struct route *r)
{
	struct str names[LIMIT_PATH_PARAMS], rest = str_of(r->query), entry;
	size_t n = route_params(r, names);
	jw_key(w, "parameters");
	jw_array(w);
	for (size_t i = 0; i < n; i++) {
		write_parameter(w, names[i], "path", true);
		write_text_schema(w, 0);
		jw_end_object(w);
	}
	while (str_split(&rest, ' ', &entry)) {
		if (entry.n)
			write_query_parameter(w, entry);
	}
	if (r->flags & ROUTE_IDEMPOTENT) {
		write_parameter(w, STR("Idempotency-Key"), "header", false);
		write_text_schema(w, 255);
		jw_end_object(w);
	}
	jw_end_array(w);
}

static void write_requirement(struct json_writer *w, const char *first, const char *second)
{
	jw_object(w);
	const char *const names[] = { first, second };
	for (size_t i = 0; i < 2 && names[i]; i++) {
		jw_key(w, names[i]);
		jw_array(w);
		jw_end_array(w);
	}
	jw_end_object(w);
}

static void write_security(struct json_writer *w, const struct route *r)
{
	bool csrf = strcmp(r->method, "GET") != 0 && !(r->flags & ROUTE_NO_CSRF);
	jw_key(w, "security");
	jw_array(w);
	if (r->permission == PERM_OPTIONAL)
		jw_object(w), jw_end_object(w);
	if (r->permission != PERM_PUBLIC) {
		write_requirement(w, "token", NULL);
		write_requirement(w, "session", csrf ? "csrf" : NULL);
	}
	jw_end_array(w);
}

static void write_any_text(struct json_writer *w, const char *media)
{
	jw_object(w);
	jw_key(w, media);
	jw_object(w);
	jw_key(w, "schema");
	jw_object(w);
	if (str_ends(str_of(media), "json"))
		jw_kbool(w, "additionalProperties", true);
	else
		jw_kz(w, "type", "string");
	jw_end_object(w);
	jw_end_object(w);
	jw_end_object(w);
}

static void write_media(struct json_writer *w, struct arena *a, const char *media, const char *schema)
{
	jw_key(w, media);
	jw_object(w);
	jw_key(w, "schema");
	write_schema_ref(w, a, schema);
	jw_end_object(w);
}

static void write_json_content(struct json_writer *w, struct arena *a, const char *media, const char *schema)
{
	jw_object(w);
	write_media(w, a, media, schema);
	jw_end_object(w);
}

static void write_request_body(struct json_writer *w, struct arena *a, const struct route *r)
{
	if (!r->request)
		return;
	jw_key(w, "requestBody");
	jw_object(w);
	jw_kbool(w, "required", true);
	jw_key(w, "content");
	if (str_starts(str_of(r->request), "stream:"))
		write_any_text(w, r->request + strlen("stream:"));
	else if (strcmp(r->request, "form") == 0)
		write_any_text(w, "application/x-www-form-urlencoded");
	else
		write_json_content(w, a, "application/json", r->request);
	jw_end_object(w);
}

static void write_response(struct json_writer *w, struct arena *a, const struct route *r, int status)
{
	jw_key_str(w, str_fmt(a, "%d", status));
	jw_object(w);
	jw_kz(w, "description", status_text(status));
	if (r->response) {
		jw_key(w, "content");
		if (strchr(r->response, '/'))
			write_any_text(w, r->response);
		else
			write_json_content(w, a, "application/json", r->response);
	}
	jw_end_object(w);
}

static void write_responses(struct json_writer *w, struct arena *a, const struct route *r)
{
	jw_key(w, "responses");
	jw_object(w);
	if (r->flags & ROUTE_OR_THERE)
		write_response(w, a, r, 200);
	write_response(w, a, r, r->status);
	jw_key(w, "default");
	jw_object(w);
	jw_kz(w, "$ref", r->flags & ROUTE_OWN_ERRORS ? "#/components/responses/Error" : "#/components/responses/Problem");
	jw_end_object(w);
	jw_end_object(w);
}

/* "/api/v1/coops/{coop}/ballots" belongs to "ballots", "/api/v1/me" to "me". */
static struct str route_tag(const struct route *r)
{
	struct str rest = str_of(r->path + 1), segment, first = STR("operations"), tag = STR_NONE;
	if (!str_starts(rest, "api/v1/"))
		return first;
	rest = str_sub(rest, 7, rest.n);
	while (str_split(&rest, '/', &segment)) {
		if (!tag.p)
			tag = segment;
		else if (str_is(tag, "coops") && str_index(segment, '{') < 0) {
			tag = segment;
			break;
		}
	}
	ptrdiff_t dot = str_index(tag, '.');
	return dot > 0 ? str_sub(tag, 0, (size_t)dot) : tag;
}

static void write_operation(struct json_writer *w, struct arena *a, const struct route *r)
{
	jw_key_str(w, str_lower(a, str_of(r->method)));
	jw_object(w);
	jw_kz(w, "operationId", r->id);
	jw_kz(w, "summary", r->summary);
	jw_key(w, "tags");
	jw_array(w);
	jw_str(w, route_tag(r));
	jw_end_array(w);
	write_security(w, r);
	write_parameters(w, r);
	write_request_body(w, a, r);
	write_responses(w, a, r);
	jw_end_object(w);
}

static bool is_documented(const struct route *r)
{
	return !str_starts(str_of(r->id), "page_");
}

static bool path_seen(const struct router *router, size_t before)
{
	for (size_t i = 0; i < before; i++) {
		if (is_documented(router_at(router, i)) && strcmp(router_at(router, i)->path, router_at(router, before)->path) == 0)
			return true;
	}
	return false;
}

static void write_paths(struct json_writer *w, struct arena *a, const struct router *router)
{
	jw_key(w, "paths");
	jw_object(w);
	for (size_t i = 0; i < router_count(router); i++) {
		const struct route *first = router_at(router, i);
		if (!is_documented(first) || path_seen(router, i))
			continue;
		jw_key_str(w, openapi_path(a, first->path));
		jw_object(w);
		for (size_t k = i; k < router_count(router); k++) {
			if (is_documented(router_at(router, k)) && strcmp(router_at(router, k)->path, first->path) == 0)
				write_operation(w, a, router_at(router, k));
		}
		jw_end_object(w);
	}
	jw_end_object(w);
}

/* A reference of a schema's file as one into the document: "chat.json#/$defs/x" or "#/$defs/x". */
static struct str reference_moved(struct arena *a, struct str file, struct str reference)
{
	ptrdiff_t hash = str_index(reference, '#');
	struct str target = hash < 0 ? reference : str_sub(reference, 0, (size_t)hash);
	struct str inside = hash < 0 ? STR("") : str_sub(reference, (size_t)hash + 1, reference.n);
	if (str_ends(target, ".json"))
		target.n -= 5;
	return str_fmt(a, "#/components/schemas/%.*s%.*s", STR_ARG(target.n ? target : file), STR_ARG(inside));
}

static bool is_identity(const struct json *v)
{
	return !v->parent->parent && (str_is(v->key, "$id") || str_is(v->key, "$schema"));
}

/* Copies a schema, moving its references. Goes down and up by the tree's own links. */
static void write_schema(struct json_writer *w, struct arena *a, struct str file, const struct json *root)
{
	const struct json *v = root;
	for (;;) {
		bool inside = (v->type == JSON_OBJECT || v->type == JSON_ARRAY);
		bool skipped = v != root && v->parent->type == JSON_OBJECT && is_identity(v);
		if (v != root && v->parent->type == JSON_OBJECT && !skipped)
			jw_key_str(w, v->key);
		if (inside && v->type == JSON_OBJECT)
			jw_object(w);
		else if (inside)
			jw_array(w);
		else if (!skipped && v->type == JSON_STRING && str_is(v->key, "$ref"))
			jw_str(w, reference_moved(a, file, v->text));
		else if (!skipped)
			jw_json(w, v);
		if (inside && v->child) {
			v = v->child;
			continue;
		}
		if (inside)
			v->type == JSON_OBJECT ? jw_end_object(w) : jw_end_array(w);
		while (v != root && !v->next) {
			v = v->parent;
			v->type == JSON_OBJECT ? jw_end_object(w) : jw_end_array(w);
		}
		if (v == root)
			return;
		v = v->next;
	}
}

static enum err write_schemas(struct json_writer *w, struct arena *a, const struct schemas *s, struct error *e)
{
	jw_key(w, "schemas");
	jw_object(w);
	for (size_t i = 0; i < schemas_count(s); i++) {
		struct str text, name = schemas_at(s, i, &text);
		const struct json *document;
		TRY(json_parse(a, text, &document, e));
		jw_key_str(w, name);
		write_schema(w, a, name, document);
	}
	jw_end_object(w);
	return ERR_OK;
}

static void write_scheme(struct json_writer *w, const char *name, const char *type, const char *in, const char *field, const char *says)
{
	jw_key(w, name);
	jw_object(w);
	jw_kz(w, "type", type);
	if (in) {
		jw_kz(w, "in", in);
		jw_kz(w, "name", field);
	} else {
		jw_kz(w, "scheme", "bearer");
	}
	jw_kz(w, "description", says);
	jw_end_object(w);
}

/* An answer that says what went wrong: as a problem, and in a shape of others' where there is one. */
static void write_fault(struct json_writer *w, struct arena *a, const char *name, const char *says, const char *other)
{
	jw_key(w, name);
	jw_object(w);
	jw_kz(w, "description", says);
	jw_key(w, "content");
	jw_object(w);
	write_media(w, a, "application/problem+json", "problem");
	if (other)
		write_media(w, a, "application/json", other);
	jw_end_object(w);
	jw_end_object(w);
}

static enum err write_components(struct json_writer *w, struct http_server *s, struct arena *a, struct error *e)
{
	jw_key(w, "components");
	jw_object(w);
	TRY(write_schemas(w, a, s->schemas, e));
	jw_key(w, "securitySchemes");
	jw_object(w);
	write_scheme(w, "token", "http", NULL, NULL, "A personal token (ch_…), or for downloads a token made from an access grant");
	write_scheme(w, "session", "apiKey", "cookie", str_z(a, s->session_cookie), "The session of a browser");
	write_scheme(w, "csrf", "apiKey", "header", "X-CSRF-Token", "Goes with the session cookie on writes");
	jw_end_object(w);
	jw_key(w, "responses");
	jw_object(w);
	write_fault(w, a, "Problem", "What went wrong (RFC 9457)", NULL);
	write_fault(w, a, "Error", "What went wrong, as this address's clients read it, or (RFC 9457) where the request never reached it", "error");
	jw_end_object(w);
	jw_end_object(w);
	return ERR_OK;
}

static void write_info(struct json_writer *w, const struct http_server *s)
{
	jw_kz(w, "openapi", "3.1.0");
	jw_key(w, "info");
	jw_object(w);
	jw_kz(w, "title", "Commonhold");
	jw_kz(w, "version", "1.0.0");
	jw_kz(w, "description", "The governance server of a data co-operative: contributions, choices, ballots, releases, access.");
	jw_key(w, "license");
	jw_object(w);
	jw_kz(w, "name", "Apache-2.0");
	jw_kz(w, "identifier", "Apache-2.0");
	jw_end_object(w);
	jw_end_object(w);
	jw_key(w, "servers");
	jw_array(w);
	jw_object(w);
	jw_kstr(w, "url", s->base_url);
	jw_end_object(w);
	jw_end_array(w);
}

enum err openapi_make(struct http_server *s, struct error *e)
{
	struct buf out;
	struct json_writer w;
	buf_init(&out, DOCUMENT_MAX);
	jw_init(&w, &out);
	jw_object(&w);
	write_info(&w, s);
	write_paths(&w, s->arena, s->router);
	enum err failed = write_components(&w, s, s->arena, e);
	jw_end_object(&w);
	if (failed == ERR_OK && out.failed)
		failed = error_set(e, ERR_CONFIG, "The OpenAPI document is larger than it may be.");
	if (failed == ERR_OK) {
		s->openapi = str_copy(s->arena, buf_str(&out));
		s->openapi_etag = static_tag(s->arena, s->openapi);
	}
	buf_release(&out);
	return failed;
}

enum err openapi_document(struct request *rq, struct response *rs)
{
	const struct http_server *s = exchange_of(rq)->server;
	response_header(rs, "Cache-Control", STR("no-cache"));
	rs->content_type = "application/openapi+json";
	if (!response_not_modified(rq, rs, s->openapi_etag))
		buf_add_str(&rs->body, s->openapi);
	return ERR_OK;
}

enum err openapi_schema(struct request *rq, struct response *rs)
{
	const struct schemas *s = exchange_of(rq)->server->schemas;
	for (size_t i = 0; i < schemas_count(s); i++) {
		struct str text;
		if (!str_eq(schemas_at(s, i, &text), rq->param[0]))
			continue;
		response_header(rs, "Cache-Control", STR("no-cache"));
		rs->content_type = "application/schema+json";
		if (!response_not_modified(rq, rs, static_tag(rq->call->arena, text)))
			buf_add_str(&rs->body, text);
		return ERR_OK;
	}
	return fail(rq->call, ERR_NOT_FOUND, "There is no such schema.");
}
