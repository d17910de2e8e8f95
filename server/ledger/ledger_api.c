/* The public log over HTTP: checkpoint and tiles as C2SP tlog-tiles has them (the prefix is …/log), proofs and a listing as JSON. */
#include "server/ledger/ledger.h"
#include "server/ledger/log_page.h"

#include "commonhold/keychain.h"
#include "commonhold/routes.h"

#define CHECKPOINT_TYPE "text/plain; charset=utf-8"
#define TILE_TYPE "application/octet-stream"

static enum err answer_bytes(struct response *rs, struct str bytes, const char *type)
{
	rs->content_type = type;
	buf_add_str(&rs->body, bytes);
	return rs->body.failed ? ERR_TOO_LARGE : ERR_OK;
}

static enum err read_checkpoint(struct request *rq, struct response *rs)
{
	struct str note;
	TRY(ledger_checkpoint(rq->call, rq->coop.id, &note));
	response_header(rs, "Cache-Control", STR("no-cache"));
	return answer_bytes(rs, note, CHECKPOINT_TYPE);
}

static enum err read_tile(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct tile_path path;
	struct str bytes;
	if (!tile_path_parse(rq->param[1], &path))
		return fail(c, ERR_NOT_FOUND, "This is not the address of a tile.");
	TRY(db_begin_in(c, rq->coop.id, DB_READ));
	TRY(ledger_tile(c, rq->coop.id, path, &bytes));
	TRY(db_commit(c));
	/* a tile that is there never changes; what a member alone may see is not for shared caches */
	response_header(rs, "Cache-Control", c->actor.kind == AUTH_NONE ? STR("public, max-age=31536000, immutable") : STR("private, max-age=31536000, immutable"));
	return answer_bytes(rs, bytes, TILE_TYPE);
}

/* A query parameter that is a count or an index; -1 when absent. */
static enum err query_number(struct request *rq, const char *name, int64_t *out)
{
	struct str text = request_query(rq, name);
	*out = -1;
	if (!text.p || str_to_i64(text, 0, INT64_MAX, out))
		return ERR_OK;
	struct str pointer = str_fmt(rq->call->arena, "query/%s", name);
	return fail_field(rq->call, str_z(rq->call->arena, pointer), "This must be a whole number that is not negative.");
}

static void write_path(struct json_writer *w, struct arena *a, const struct sha256 *path, size_t n)
{
	jw_key(w, "path");
	jw_array(w);
	for (size_t i = 0; i < n; i++)
		jw_str(w, str_base64(a, path[i].b, 32));
	jw_end_array(w);
}

static enum err prove_inclusion(struct request *rq, struct response *rs, int64_t index)
{
	struct call *c = rq->call;
	struct str text;
	struct tlog_proof proof;
	TRY(db_begin_in(c, rq->coop.id, DB_READ));
	TRY(ledger_prove_inclusion(c, rq->coop.id, index, &text));
	TRY(db_commit(c));
	TRY(tlog_proof_read(c->arena, text, &proof, &c->error));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kstr(&w, "checkpoint", proof.checkpoint);
	jw_kint(&w, "index", index);
	write_path(&w, c->arena, proof.path, proof.n);
	jw_kstr(&w, "tlog_proof", text);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err prove_consistency(struct request *rq, struct response *rs, int64_t from, int64_t to)
{
	struct call *c = rq->call;
	struct sha256 *path;
	size_t n;
	TRY(db_begin_in(c, rq->coop.id, DB_READ));
	TRY(ledger_prove_consistency(c, rq->coop.id, from, to, &path, &n));
	TRY(db_commit(c));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_kint(&w, "from", from);
	write_path(&w, c->arena, path, n);
	jw_kint(&w, "to", to);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err read_proof(struct request *rq, struct response *rs)
{
	int64_t index, from, to;
	TRY(query_number(rq, "index", &index));
	TRY(query_number(rq, "from", &from));
	TRY(query_number(rq, "to", &to));
	if (index >= 0 && from < 0 && to < 0)
		return prove_inclusion(rq, rs, index);
	if (index < 0 && from >= 0 && to >= 0)
		return prove_consistency(rq, rs, from, to);
	return fail_field(rq->call, "query/index", "Ask either for index, or for from and to.");
}

enum err log_page_read(struct request *rq, struct str cursor, int limit, struct log_page *out)
{
	struct call *c = rq->call;
	int64_t before = INT64_MAX;
	struct str origin;
	uint8_t public_key[32];
	if (cursor.p && !str_to_i64(cursor, 0, INT64_MAX, &before))
		return fail_field(c, "query/cursor", "This is not a cursor of this list.");
	TRY(db_begin_in(c, rq->coop.id, DB_READ));
	TRY(ledger_head(c, rq->coop.id, &out->size, &out->root));
	TRY(ledger_origin(c, rq->coop.id, &origin));
	TRY(log_public_key(c, rq->coop.id, public_key));
	TRY(ledger_entries(c, rq->coop.id, before, limit, &out->entries, &out->n));
	TRY(db_commit(c));
	out->origin = origin;
	out->verifier_key = note_verifier_key(c->arena, origin, public_key);
	int64_t last = out->n ? out->entries[out->n - 1].index : 0;
	out->next = last > 0 ? str_fmt(c->arena, "%lld", (long long)last) : STR_NONE;
	return ERR_OK;
}

static enum err list_entries(struct request *rq, struct response *rs)
{
	struct arena *a = rq->call->arena;
	struct log_page page;
	struct str cursor;
	int limit;
	TRY(request_page(rq, &cursor, &limit));
	TRY(log_page_read(rq, cursor, limit, &page));
	struct json_writer w = response_json(rs);
	jw_object(&w);
	jw_key(&w, "items");
	jw_array(&w);
	for (size_t i = 0; i < page.n; i++) {
		jw_object(&w);
		jw_key(&w, "entry");
		jw_raw(&w, page.entries[i].entry);
		jw_kstr(&w, "hash", sha256_hex(a, page.entries[i].hash));
		jw_kint(&w, "index", page.entries[i].index);
		jw_end_object(&w);
	}
	jw_end_array(&w);
	jw_kstr(&w, "next", page.next);
	jw_kstr(&w, "origin", page.origin);
	jw_kstr(&w, "root", sha256_hex(a, page.root));
	jw_kint(&w, "size", page.size);
	jw_kstr(&w, "verifier_key", page.verifier_key);
	jw_end_object(&w);
	return ERR_OK;
}

static enum err read_keys(struct request *rq, struct response *rs)
{
	struct call *c = rq->call;
	struct keychain chain;
	TRY(db_begin_in(c, rq->coop.id, DB_READ));
	TRY(keychain_of(c, rq->coop.id, &chain));
	TRY(db_commit(c));
	response_header(rs, "Cache-Control", STR("no-cache"));
	return answer_bytes(rs, chain.text, "application/json");
}

const struct route ledger_routes[] = {
	{ "GET", "/api/v1/coops/{coop}/keys.json", "coop_keys", PERM_OPTIONAL, 0, NULL, "keychain", 200, read_keys,
		"The keys that the co-op has signed with, each handed over to the next by a statement of both" },
	{ "GET", "/api/v1/coops/{coop}/log/checkpoint", "log_checkpoint", PERM_OPTIONAL, 0, NULL, CHECKPOINT_TYPE, 200, read_checkpoint,
		"The signed checkpoint of the co-op's log (c2sp.org/tlog-checkpoint)" },
	{ "GET", "/api/v1/coops/{coop}/log/tile/{path*}", "log_tile", PERM_OPTIONAL, 0, NULL, TILE_TYPE, 200, read_tile,
		"A tile of hashes or a bundle of entries (c2sp.org/tlog-tiles)" },
	{ "GET", "/api/v1/coops/{coop}/log/proof", "log_proof", PERM_OPTIONAL, 0, NULL, "log_proof", 200, read_proof,
		"Proof that a leaf is in the log (index), or that the log only grew (from, to)", 0, "index from to" },
	{ "GET", "/api/v1/coops/{coop}/log/entries", "log_entries", PERM_OPTIONAL, 0, NULL, "log_entry_list", 200, list_entries, "What the log records, newest first", 0,
		"cursor limit" },
	ROUTE_TABLE_END,
};
