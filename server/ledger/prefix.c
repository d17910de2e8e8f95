/* The log of a fork begins with the leaves of its parent: taking them in as they are, and giving them out. */
#include "server/ledger/ledger.h"
#include "commonhold/json.h"

#define PREFIX_CHUNK 4096              /* leaves in one statement: a multiple of a tile */
#define PREFIX_BYTES (4 * MIB)         /* or entries of so many bytes */

SQL(prefix_insert,
	"INSERT INTO log_leaf (coop_id, idx, at, type, entry, hash) SELECT $1, $2 + leaf.no - 1, leaf.at, leaf.type, leaf.entry, leaf.hash "
	"FROM unnest($3::timestamptz[], $4::text[], $5::bytea[], $6::bytea[]) WITH ORDINALITY AS leaf (at, type, entry, hash, no)");

struct ledger_prefix {
	struct call *call;
	struct uuid coop;
	struct log_head head;
	struct arena_mark mark;      /* where the memory of the leaves at hand begins */
	size_t n, bytes;             /* of them */
	instant at[PREFIX_CHUNK];
	struct str type[PREFIX_CHUNK], entry[PREFIX_CHUNK];
	struct sha256 hash[PREFIX_CHUNK];
};

bool ledger_entry_read(struct arena *a, struct str entry, instant *at, struct str *type, const struct json **data)
{
	const struct json *json;
	struct error e = { 0 };
	if (entry.n == 0 || entry.n > LEDGER_ENTRY_MAX || json_parse(a, entry, &json, &e) != ERR_OK || json->type != JSON_OBJECT)
		return false;
	*type = json_member_text(json, "t");
	*data = json_get(json, "data");
	return type->n && json_is(*data, JSON_OBJECT) && json_member_text(json, "at").n && clock_parse(json_member_text(json, "at"), at);
}

enum err ledger_prefix_begin(struct call *c, struct uuid coop, struct ledger_prefix **out)
{
	struct ledger_prefix *p = ARENA_NEW(c->arena, struct ledger_prefix);
	p->call = c;
	p->coop = coop;
	TRY(log_head_read(c, coop, true, &p->head));
	if (p->head.size)
		return fail(c, ERR_STATE, "The log has leaves of its own already.");
	p->mark = arena_mark(c->arena);
	*out = p;
	return ERR_OK;
}

static enum err prefix_flush(struct ledger_prefix *p)
{
	struct call *c = p->call;
	struct str *hashes = ARENA_ARRAY(c->arena, p->n + 1, struct str);
	if (p->n == 0)
		return ERR_OK;
	for (size_t i = 0; i < p->n; i++)
		hashes[i] = str_make(p->hash[i].b, 32);
	TRY(db_exec(c, prefix_insert, A_UUID(p->coop), A_I64((int64_t)p->head.size), A_TIMES(p->at, p->n), A_TEXTS(p->type, p->n), A_BYTEAS(p->entry, p->n), A_BYTEAS(hashes, p->n)));
	TRY(log_grow(c, p->coop, &p->head, p->hash, p->n));
	TRY(db_wait(c));
	arena_rewind(c->arena, p->mark);
	p->n = p->bytes = 0;
	return ERR_OK;
}

enum err ledger_prefix_add(struct ledger_prefix *p, struct str entry)
{
	const struct json *data;
	size_t i = p->n;
	p->entry[i] = str_copy(p->call->arena, entry); /* the type is a view into it */
	if (!ledger_entry_read(p->call->arena, p->entry[i], &p->at[i], &p->type[i], &data))
		return fail(p->call, ERR_CORRUPT, "Leaf %llu of the parent's log is none.", (unsigned long long)(p->head.size + i));
	p->hash[i] = merkle_leaf(entry);
	p->n++;
	p->bytes += entry.n;
	return p->n == PREFIX_CHUNK || p->bytes >= PREFIX_BYTES ? prefix_flush(p) : ERR_OK;
}

enum err ledger_prefix_end(struct ledger_prefix *p, int64_t *size, struct sha256 *root)
{
	TRY(prefix_flush(p));
	*size = (int64_t)p->head.size;
	*root = merkle_builder_root(&p->head.builder);
	return ERR_OK;
}

/* ---- Giving them out ---- */

struct stream { enum err (*entry)(void *arg, struct str bytes); void *arg; };

static enum err stream_row(void *arg, const struct copy_field *fields, int n)
{
	const struct stream *s = arg;
	(void)n;
	return s->entry(s->arg, copy_bytes(fields[0]));
}

enum err ledger_entries_stream(struct call *c, struct uuid coop, int64_t upto, enum err (*entry)(void *arg, struct str bytes), void *arg)
{
	struct stream s = { entry, arg };
	const struct db_arg args[] = { A_UUID(coop), A_I64(upto) };
	TRY(log_enter(c, coop));
	return db_copy_out(c, "COPY (SELECT entry FROM log_leaf WHERE coop_id = $1 AND idx < $2 ORDER BY idx) TO STDOUT (FORMAT binary)", args, CH_LEN(args), stream_row, &s);
}

enum err ledger_checkpoint_seen(struct call *c, struct uuid coop, int64_t *size, struct sha256 *root, struct str *note)
{
	struct log_head head;
	TRY(log_head_read(c, coop, false, &head));
	*size = (int64_t)head.size;
	*root = merkle_builder_root(&head.builder);
	return log_head_sign(c, coop, &head, note);
}
