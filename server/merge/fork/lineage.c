#include "server/merge/fork/fork_internal.h"

#include "commonhold/config.h"
#include "commonhold/db.h"
#include "commonhold/ledger.h"

/* Parents, and forks that stand. */

#define FORKS_SHOWN 500

SQL(lineage_parents, "SELECT depth, name, title, url, at, size, root, checkpoint, keys, charter FROM lineage WHERE coop_id = $1 ORDER BY depth DESC");
SQL(lineage_forks, "SELECT fork_name, title, fork_url, state_at, size, root FROM fork_offer WHERE coop_id = $1 AND state = 'founded' ORDER BY state_at, id LIMIT $2");
SQL(lineage_charter_rows, "SELECT name, version, digest, adopted_at, document FROM lineage_charter WHERE coop_id = $1 ORDER BY adopted_at, version");

static struct lineage_node parent_of_row(const struct rows *r, int i)
{
	return (struct lineage_node){
		.depth = (int)row_int(r, i, 0), .name = row_str(r, i, 1), .title = row_str(r, i, 2), .url = row_str(r, i, 3), .at = row_time(r, i, 4), .size = row_int(r, i, 5),
		.root = sha256_load(row_bytes(r, i, 6)), .checkpoint = row_str(r, i, 7), .keys = row_str(r, i, 8), .charter = (int)row_int(r, i, 9),
	};
}

static struct lineage_node fork_of_row(const struct rows *r, int i)
{
	return (struct lineage_node){
		.depth = -1, .name = row_str(r, i, 0), .title = row_str(r, i, 1), .url = row_str(r, i, 2), .at = row_time(r, i, 3), .size = row_int(r, i, 4),
		.root = sha256_load(row_bytes(r, i, 5)),
	};
}

enum err lineage_get(struct call *c, struct uuid coop, struct lineage_node **out, size_t *n)
{
	struct rows parents, forks;
	struct coop here;
	TRY(coop_get(c, coop, &here));
	TRY(db_query(c, lineage_parents, &parents, A_UUID(coop)));
	TRY(db_query(c, lineage_forks, &forks, A_UUID(coop), A_INT(FORKS_SHOWN)));
	*n = (size_t)parents.n + 1 + (size_t)forks.n;
	struct lineage_node *nodes = *out = ARENA_ARRAY(c->arena, *n, struct lineage_node);
	for (int i = 0; i < parents.n; i++)
		*nodes++ = parent_of_row(&parents, i);
	*nodes++ = (struct lineage_node){ .name = here.key_name, .title = here.name, .url = str_of(config()->base_url), .at = here.founded_at, .charter = here.charter_version };
	for (int i = 0; i < forks.n; i++)
		*nodes++ = fork_of_row(&forks, i);
	return ERR_OK;
}

enum err lineage_read(struct call *c, struct uuid coop, struct lineage_node **out, size_t *n)
{
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(lineage_get(c, coop, out, n));
	return db_commit(c);
}

void lineage_node_write(struct json_writer *w, struct arena *a, const struct lineage_node *node)
{
	jw_object(w);
	jw_kstr(w, "at", clock_format(a, node->at));
	jw_kint(w, "charter", node->charter);
	jw_kstr(w, "checkpoint", node->checkpoint);
	jw_kint(w, "depth", node->depth);
	jw_kstr(w, "keys", node->keys);
	jw_kstr(w, "name", node->name);
	jw_kstr(w, "root", sha256_hex_or_none(a, node->root));
	jw_kint(w, "size", node->size);
	jw_kstr(w, "title", node->title);
	jw_kstr(w, "url", node->url);
	jw_end_object(w);
}

void lineage_write(struct json_writer *w, struct arena *a, const struct lineage_node *nodes, size_t n)
{
	struct str coop = STR_NONE;
	for (size_t i = 0; i < n; i++)
		if (nodes[i].depth == 0)
			coop = nodes[i].name;
	jw_object(w);
	jw_kstr(w, "at", clock_format(a, clock_now()));
	jw_kstr(w, "coop", coop);
	jw_key(w, "nodes");
	jw_array(w);
	for (size_t i = 0; i < n; i++)
		lineage_node_write(w, a, &nodes[i]);
	jw_end_array(w);
	jw_end_object(w);
}

enum err lineage_signed(struct call *c, struct uuid coop, struct str *dsse)
{
	struct lineage_node *nodes;
	struct sign_key key;
	struct buf b;
	struct json_writer w;
	size_t n;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(lineage_get(c, coop, &nodes, &n));
	TRY(ledger_key(c, coop, &key));
	TRY(db_commit(c));
	buf_init(&b, LIMIT_RESPONSE);
	jw_init(&w, &b);
	lineage_write(&w, c->arena, nodes, n);
	struct str text = buf_take(c->arena, &b);
	*dsse = text.p ? dsse_sign(c->arena, &key, 1, STR(LINEAGE_TYPE), text) : STR_NONE;
	secret_wipe(&key, sizeof(key));
	return dsse->p ? ERR_OK : fail(c, ERR_TOO_LARGE, "The lineage is too long to be signed.");
}

static bool node_read(const struct json *v, struct lineage_node *out)
{
	struct str root = json_member_text(v, "root");
	*out = (struct lineage_node){
		.depth = (int)json_int(json_get(v, "depth"), -2), .name = json_member_text(v, "name"), .title = json_member_text(v, "title"), .url = json_member_text(v, "url"),
		.size = json_int(json_get(v, "size"), -1), .checkpoint = json_member_text(v, "checkpoint"), .keys = json_member_text(v, "keys"),
		.charter = (int)json_int(json_get(v, "charter"), 0),
	};
	bool at = json_member_text(v, "at").n && clock_parse(json_member_text(v, "at"), &out->at);
	bool rooted = out->depth == 0 || sha256_parse(root, &out->root);
	return at && rooted && out->name.n == 16 && out->title.n && out->size >= 0 && out->depth >= -1 && out->depth <= LINEAGE_DEPTH;
}

enum err lineage_nodes_read(struct arena *a, const struct json *nodes, struct lineage_node **out, size_t *n, struct error *e)
{
	size_t count = 0;
	json_each (v, nodes)
		count++;
	if (!json_is(nodes, JSON_ARRAY) || count > LINEAGE_DEPTH + 1 + FORKS_SHOWN)
		return error_set(e, ERR_CORRUPT, "This is no lineage.");
	*out = ARENA_ARRAY(a, count + 1, struct lineage_node);
	*n = 0;
	json_each (v, nodes)
		if (!node_read(v, &(*out)[(*n)++]))
			return error_set(e, ERR_CORRUPT, "A co-op of the lineage is not as it must be.");
	return ERR_OK;
}

bool lineage_prefix_ok(const struct lineage_node *parent, int64_t size, struct sha256 root, const struct sha256 *path, size_t n)
{
	return parent->size > 0 && parent->size <= size && merkle_consistency_ok((uint64_t)parent->size, parent->root, (uint64_t)size, root, path, n);
}

enum err lineage_charters(struct call *c, struct uuid coop, struct lineage_charter **out, size_t *n)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_finish(c, lineage_charter_rows, &r, A_UUID(coop)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct lineage_charter);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = (struct lineage_charter){ row_str(&r, i, 0), (int)row_int(&r, i, 1), sha256_load(row_bytes(&r, i, 2)), row_time(&r, i, 3), row_str(&r, i, 4) };
	return ERR_OK;
}
