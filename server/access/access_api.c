#include "access_web.h"

#include "commonhold/release_api.h"

#include <unistd.h>

/* As schemas/access_request.json. */
static void write_request(struct json_writer *w, struct arena *a, const struct access_request *q)
{
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, q->id));
	jw_kstr(w, "account", uuid_format(a, q->account));
	jw_kstr(w, "name", q->account_name);
	jw_kstr(w, "release", uuid_format_or_none(a, q->release));
	jw_kstr(w, "purpose", q->purpose);
	jw_kstr(w, "description", q->description);
	jw_kstr(w, "organisation", q->organisation);
	jw_kstr(w, "terms_sha256", sha256_hex(a, q->terms));
	jw_kstr(w, "state", q->state);
	jw_kstr(w, "reason", q->reason);
	jw_kstr(w, "created_at", clock_format(a, q->created_at));
	jw_kstr(w, "decided_at", clock_format_or_none(a, q->decided_at));
	jw_kstr(w, "grant", uuid_format_or_none(a, q->grant));
	jw_end_object(w);
}

/* As schemas/access_grant.json. */
static void write_grant(struct json_writer *w, struct arena *a, const struct access_grant *g)
{
	jw_object(w);
	jw_kstr(w, "id", uuid_format(a, g->id));
	jw_kstr(w, "request", uuid_format(a, g->request));
	jw_kstr(w, "account", uuid_format(a, g->account));
	jw_kstr(w, "name", g->account_name);
	jw_kstr(w, "release", uuid_format_or_none(a, g->release));
	jw_kstr(w, "purpose", g->purpose);
	jw_kstr(w, "terms_sha256", sha256_hex(a, g->terms));
	jw_kstr(w, "granted_at", clock_format(a, g->granted_at));
	jw_kstr(w, "expires_at", clock_format(a, g->expires_at));
	jw_kstr(w, "revoked_at", clock_format_or_none(a, g->revoked_at));
	jw_kbool(w, "automatic", g->automatic);
	jw_kint(w, "purge_days", g->purge_days);
	jw_end_object(w);
}

/* ---- terms ---- */

static enum err read_terms(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct release r;
	struct access_offer offer;
	struct str which = request_query(rq, "release");
	if (which.p)
		TRY(release_find(c, rq->coop.id, which, &r));
	TRY(access_offer_read(c, rq->coop.id, which.p ? &r : NULL, &offer));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kz(&w, "audience", policy_audience_name(offer.audience));
	jw_knames(&w, "purposes", offer.purposes, POLICY_PURPOSE_COUNT, policy_purpose_name);
	jw_knames(&w, "may_ask_for", offer.purposes_covered, POLICY_PURPOSE_COUNT, policy_purpose_name);
	jw_kstr(&w, "terms", offer.terms);
	jw_kstr(&w, "terms_sha256", sha256_hex(c->arena, offer.terms_sha256));
	jw_kint(&w, "purge_days", offer.purge_days);
	jw_end_object(&w);
	return ERR_OK;
}

/* ---- requests ---- */

/* null or absent: the line. */
static enum err asked_release(struct request *rq, struct uuid *out)
{
	struct release r;
	struct str which = json_member_text(rq->json, "release");
	*out = (struct uuid){ { 0 } };
	if (!which.p)
		return ERR_OK;
	TRY(release_find(rq->call, rq->coop.id, which, &r));
	*out = r.id;
	return ERR_OK;
}

static enum err ask(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct uuid release;
	struct sha256 terms;
	struct access_request q;
	struct access_grant g;
	TRY(asked_release(rq, &release));
	if (!sha256_parse(json_member_text(rq->json, "terms_sha256"), &terms))
		return fail_field(c, "/terms_sha256", "This is no SHA-256 in hex.");
	TRY(access_ask(c, rq->coop.id, release, json_member_text(rq->json, "purpose"), json_member_text(rq->json, "description"),
		json_member_text(rq->json, "organisation"), terms, &q, &g));
	struct json_writer w = response_json(rs);
	write_request(&w, c->arena, &q);
	return ERR_OK;
}

/* Admins see everybody's unless they ask for their own. */
static bool wants_all(const struct request *rq)
{
	struct str mine = request_query(rq, "mine");
	return rq->coop.is_admin && !str_is(mine, "true");
}

static enum err list_requests(struct request *rq, struct response *rs)
{
	struct access_request *items;
	struct str cursor, next;
	size_t n;
	int limit;
	TRY(request_page(rq, &cursor, &limit));
	TRY(access_requests(rq->call, rq->coop.id, wants_all(rq), request_query(rq, "state"), cursor, limit, &items, &n, &next));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		write_request(&w, rq->call->arena, &items[i]);
	response_list_end_page(&w, next);
	return ERR_OK;
}

static enum err decide(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct access_request q;
	struct access_grant g;
	TRY(request_param_uuid(rq, 1, &id));
	bool grant = str_is(json_member_text(rq->json, "decision"), "grant");
	TRY(access_decide(rq->call, rq->coop.id, id, grant, json_member_text(rq->json, "reason"), &q, &g));
	struct json_writer w = response_json(rs);
	write_request(&w, rq->call->arena, &q);
	return ERR_OK;
}

/* ---- grants ---- */

static enum err list_grants(struct request *rq, struct response *rs)
{
	struct access_grant *items;
	struct str cursor, next;
	size_t n;
	int limit;
	TRY(request_page(rq, &cursor, &limit));
	TRY(access_grants(rq->call, rq->coop.id, wants_all(rq), cursor, limit, &items, &n, &next));
	struct json_writer w = response_list(rs);
	for (size_t i = 0; i < n; i++)
		write_grant(&w, rq->call->arena, &items[i]);
	response_list_end_page(&w, next);
	return ERR_OK;
}

static enum err revoke_grant(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct access_grant g;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(access_revoke(rq->call, rq->coop.id, id, request_query(rq, "reason"), &g));
	struct json_writer w = response_json(rs);
	write_grant(&w, rq->call->arena, &g);
	return ERR_OK;
}

static enum err make_token(struct request *rq, struct response *rs)
{
	struct uuid id;
	struct str jwt;
	instant expires;
	TRY(request_param_uuid(rq, 1, &id));
	TRY(access_token(rq->call, rq->coop.id, id, &jwt, &expires));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kstr(&w, "token", jwt);
	jw_kz(&w, "type", "Bearer");
	jw_kstr(&w, "expires_at", clock_format(rq->call->arena, expires));
	jw_end_object(&w);
	return ERR_OK;
}

/* ---- downloads ---- */

/* The raw JWT of the request; absent when it carried none. */
static struct str request_jwt(const struct request *rq)
{
	return rq->call->actor.kind == AUTH_GRANT ? request_bearer(rq) : STR_NONE;
}

static const char *media_type(struct str path)
{
	static const struct { const char *suffix, *type; } types[] = {
		{ ".gz", "application/gzip" }, { ".jsonl", "application/jsonlines" }, { ".json", "application/json" }, { ".md", "text/markdown; charset=utf-8" },
		{ ".txt", "text/plain; charset=utf-8" }, { ".minisig", "text/plain; charset=utf-8" }, { ".tlog-proof", "text/plain; charset=utf-8" },
		{ "SHA256SUMS", "text/plain; charset=utf-8" }, { "checkpoint", "text/plain; charset=utf-8" },
	};
	for (size_t i = 0; i < CH_LEN(types); i++)
		if (str_ends(path, types[i].suffix))
			return types[i].type;
	return "application/octet-stream";
}

/* A shard lands in a folder of downloads among others: its name says whose it is. */
static void name_shard(struct request *rq, struct response *rs, const struct release *release, struct str path)
{
	if (!str_starts(path, "data/"))
		return;
	char *name = memcpy(arena_alloc(rq->call->arena, path.n + 1), path.p, path.n);
	for (size_t i = 0; i < path.n; i++)
		if (name[i] == '/' || name[i] == '"' || name[i] == '\\')
			name[i] = '-';
	struct str plain = str_make(name + 5, path.n - 5);
	response_header(rs, "Content-Disposition", str_fmt(rq->call->arena, "attachment; filename=\"%.*s-%.*s-%.*s\"", STR_ARG(rq->coop.slug), STR_ARG(release->version),
		STR_ARG(plain)));
}

static enum err say_usage(struct request *rq, struct response *rs, const struct release *release)
{
	struct access_offer made = { 0 };
	TRY(offer_by_release(rq->call, release, &made));
	struct str usage = content_usage(rq->call->arena, made.uses, made.uses_conditional);
	if (usage.n)
		response_header(rs, "Content-Usage", usage);
	return ERR_OK;
}

/* The log first: what cannot be noted is not sent. What is refused or out of range is no download. */
static enum err note(struct request *rq, const struct release *release, struct uuid grant, const struct access_file *file, struct str etag)
{
	struct file_part part = response_file_part(rq, etag, file->size);
	if (part.status == 416 && file->size > 0)
		return ERR_OK;
	if (part.status == 416)
		part.status = 200;
	return access_note(rq->call, rq->coop.id, release->id, grant, file->path, part.status, part.first, part.bytes);
}

/* An empty file has no range that could be satisfied, yet clients that probe with one want to have it: a range is ignored here, as RFC 9110 lets us. */
static enum err send_empty(struct request *rq, struct response *rs, const struct access_file *file, struct str etag)
{
	close(file->fd);
	if (response_not_modified(rq, rs, etag))
		return ERR_OK;
	rs->status = 200;
	rs->content_type = media_type(file->path);
	return ERR_OK;
}

enum err download_file(struct request *rq, struct response *rs, const struct release *release, struct str path, download_headers extra)
{
	struct call *c = rq->call;
	struct access_file file;
	struct uuid grant;
	TRY(access_check(c, rq->coop.id, release, request_jwt(rq), &grant));
	TRY(say_usage(rq, rs, release));
	TRY(access_file_open(c, rq->coop.id, release, path, &file));
	struct str etag = sha256_hex(c->arena, file.sha256);
	enum err e = note(rq, release, grant, &file, etag);
	if (e != ERR_OK) {
		close(file.fd);
		return e;
	}
	/* A slow reader must not hold one of the few connections. */
	db_release(c);
	response_header(rs, "Cache-Control", STR("private, no-cache"));
	name_shard(rq, rs, release, file.path);
	if (extra)
		extra(rq, rs, release, &file);
	if (file.size == 0)
		return send_empty(rq, rs, &file, etag);
	return response_file(rq, rs, file.fd, file.size, media_type(file.path), etag);
}

static enum err download(struct request *rq, struct response *rs)
{
	struct release r;
	TRY(release_of_request(rq, 1, &r));
	return download_file(rq, rs, &r, rq->param[2], NULL);
}

/* ---- status and keys ---- */

static enum err read_status(struct request *rq, struct response *rs)
{
	struct str envelope;
	TRY(status_read(rq->call, rq->coop.id, &envelope));
	response_header(rs, "Cache-Control", STR("public, max-age=300"));
	buf_add_str(&rs->body, envelope);
	return ERR_OK;
}

static enum err read_jwks(struct request *rq, struct response *rs)
{
	rs->content_type = "application/jwk-set+json";
	response_header(rs, "Cache-Control", STR("public, max-age=3600"));
	buf_add_str(&rs->body, access_jwks(rq->call->arena, instance_keys()));
	return ERR_OK;
}

#define COOP "/api/v1/coops/{coop}"

const struct route access_routes[] = {
	{ "GET", COOP "/access-terms", "access_terms", PERM_OPTIONAL, 0, NULL, "access_terms", 200, read_terms,
		"Who may get releases, for what, under which terms; with a release, of that one", 0, "release" },
	{ "POST", COOP "/access-requests", "access_ask", PERM_ACCOUNT, LIMIT_BODY_SMALL, "access_ask", "access_request", 201, ask,
		"Ask for access to the co-op's releases, accepting its terms by their hash", ROUTE_IDEMPOTENT },
	{ "GET", COOP "/access-requests", "access_request_list", PERM_ACCOUNT, 0, NULL, "access_request_list", 200, list_requests,
		"Requests, newest first: the actor's own, or everybody's for an admin", 0, "cursor limit state=pending|granted|refused|cancelled mine=true|false" },
	{ "POST", COOP "/access-requests/{request}/decision", "access_decide", PERM_ADMIN, LIMIT_BODY_SMALL, "access_decision", "access_request", 200, decide,
		"Grant or refuse a request", ROUTE_IDEMPOTENT },
	{ "GET", COOP "/grants", "access_grant_list", PERM_ACCOUNT, 0, NULL, "access_grant_list", 200, list_grants,
		"Grants, newest first: the actor's own, or everybody's for an admin", 0, "cursor limit mine=true|false" },
	{ "DELETE", COOP "/grants/{grant}", "access_revoke", PERM_ACCOUNT, 0, NULL, "access_grant", 200, revoke_grant,
		"Revoke a grant: any, for an admin; otherwise one's own", 0, "reason" },
	{ "POST", COOP "/grants/{grant}/token", "access_token", PERM_ACCOUNT, 0, NULL, "access_token", 201, make_token, "A short-lived download token from the actor's own grant" },
	{ "GET", COOP "/releases/{release}/files/{path*}", "release_download", PERM_OPTIONAL, 0, NULL, "*/*", 200, download,
		"A file of a release, or a part of it; gated by the co-op's terms" },
	{ "GET", COOP "/status.json", "status", PERM_PUBLIC, 0, NULL, "dsse", 200, read_status,
		"The co-op's signed status: versions that may be used, those withdrawn, the log's head; valid for a day" },
	{ "GET", "/.well-known/jwks.json", "jwks", PERM_PUBLIC, 0, NULL, "application/jwk-set+json", 200, read_jwks, "Public keys of download tokens", ROUTE_FREE | ROUTE_NO_AUTH },
	ROUTE_TABLE_END,
};
