/* promote.c - what becomes of the origins of a row that goes: another row of the same content takes them over, or the first of them becomes a row of its own.
 *
 * The content is opened with the key of whoever goes and sealed under the key of whoever stays, in memory alone and before the one who goes is forgotten; nothing of theirs goes along.
 */
#include "server/pool/suppress.h"

#include "commonhold/db.h"
#include "commonhold/origin.h"
#include "server/pool/promote.h"

SQL(rows_of_contents,
	"SELECT c.content_sha256, c.item_no, c.member_no, pool_item_stands(c.word) FROM contribution c WHERE c.coop_id = $1 AND c.content_sha256 = ANY ($2) ORDER BY c.item_no");
SQL(origins_move, "UPDATE item_origin o SET item_no = d.after FROM unnest($2::bigint[], $3::bigint[]) AS d(before, after) WHERE o.coop_id = $1 AND o.item_no = d.before");
SQL(origin_taken, "DELETE FROM item_origin WHERE coop_id = $1 AND item_no = $2 AND origin = $3 AND id = $4");
SQL(origins_gone, "DELETE FROM item_origin WHERE coop_id = $1 AND item_no = $2");
SQL(content_sealed, "SELECT sealed FROM contribution_content WHERE coop_id = $1 AND shard = $2 AND id = $3");
SQL(content_put, "INSERT INTO contribution_content (coop_id, shard, id, lang, sealed) VALUES ($1, $2, $3, $4, $5)");
SQL(row_put,
	"INSERT INTO contribution (coop_id, id, item_no, member_id, member_no, shard, kind, licence, lang, content_sha256, bytes, submitted_at, word, more, leaf, salt, findings, sealed_facts) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)");
SQL(next_item, "UPDATE pool_head SET next_item = next_item + 1 WHERE coop_id = $1 RETURNING next_item - 1");
SQL(changes, "INSERT INTO guest_head (coop_id, changes) VALUES ($1, 1) ON CONFLICT (coop_id) DO UPDATE SET changes = guest_head.changes + 1");

/* The rows of the same contents, by item number. */
struct standing { const struct rows *rows; };

static bool row_has(const struct standing *s, int i, struct sha256 hash)
{
	struct str h = row_bytes(s->rows, i, 0);
	return h.n == 32 && memcmp(h.p, hash.b, 32) == 0;
}

static bool is_leaving(const struct promote_row *rows, size_t n, int64_t item)
{
	for (size_t i = 0; i < n; i++)
		if (rows[i].item_no == item)
			return true;
	return false;
}

/* The first row of the same content that stays and stands; -1: none does. */
static int64_t heir(const struct standing *s, const struct promote_row *rows, size_t n, struct sha256 hash)
{
	for (int i = 0; i < s->rows->n; i++)
		if (row_has(s, i, hash) && row_bool(s->rows, i, 3) && !is_leaving(rows, n, row_int(s->rows, i, 1)))
			return row_int(s->rows, i, 1);
	return -1;
}

/* A contributor has one row of a content, whatever became of it. */
static bool has_row(const struct standing *s, struct sha256 hash, uint32_t member_no)
{
	for (int i = 0; i < s->rows->n; i++)
		if (row_has(s, i, hash) && row_int(s->rows, i, 2) == (int64_t)member_no)
			return true;
	return false;
}

/* ---- A row of its own ---- */

/* The content, sealed anew. Absent where either key is gone. */
static enum err reseal(struct call *c, struct uuid coop, const struct promote_row *row, const struct origin *o, struct str *sealed)
{
	struct rows r;
	struct uuid who[2] = { row->member, o->member };
	struct seal_key keys[2];
	bool present[2];
	uint8_t context[32];
	struct str plain;
	*sealed = STR_NONE;
	TRY(db_query(c, content_sealed, &r, A_UUID(coop), A_INT((int)row->shard), A_UUID(row->id)));
	TRY(keyring_get(c, coop, who, 2, keys, present));
	if (r.n == 0 || !present[0] || !present[1])
		return ERR_OK;
	pool_seal_context(coop, row->id.b, context);
	bool opened = unseal(c->arena, &keys[0], str_make(context, sizeof(context)), row_bytes(&r, 0, 0), &plain);
	if (opened) {
		pool_seal_context(coop, o->id.b, context);
		*sealed = seal(c->arena, &keys[1], str_make(context, sizeof(context)), plain);
		secret_wipe((void *)(uintptr_t)plain.p, plain.n);
	}
	secret_wipe(keys, sizeof(keys));
	return opened ? ERR_OK : fail(c, ERR_CORRUPT, "The stored content of a contribution cannot be opened.");
}

static enum err put_row(struct call *c, struct uuid coop, const struct promote_row *row, const struct origin *o, struct str sealed, int64_t *item_no)
{
	struct rows r;
	int shard;
	unsigned kind = (unsigned)(o->word & 7);
	TRY(shard_number(c, coop, shard_key_of(kind, o->licence, o->at), &shard));
	TRY(db_one(c, next_item, &r, A_UUID(coop)));
	*item_no = row_int(&r, 0, 0);
	TRY(db_queue(c, row_put, A_UUID(coop), A_UUID(o->id), A_I64(*item_no), A_UUID(o->member), A_INT((int)o->member_no), A_INT(shard), A_INT((int)kind), A_INT((int)o->licence), A_STR(o->lang),
		A_BYTES(str_make(row->hash.b, 32)), A_INT((int)row->bytes), A_TIME(o->at), A_I64((int64_t)(o->word & ~(uint64_t)POLICY_ITEM_DUPLICATE)), A_I64((int64_t)o->more), A_I64(o->leaf),
		A_BYTES(str_make(o->salt, sizeof(o->salt))), A_INT((int)o->findings), A_BYTES(o->sealed_facts)));
	return db_exec(c, content_put, A_UUID(coop), A_INT(shard), A_UUID(o->id), A_STR(o->lang), A_BYTES(sealed));
}

/* The first of a row's origins that can be a row of its own takes its place, and the others with it. None can: they go with the row. */
static enum err promote(struct call *c, struct uuid coop, const struct promote_row *row, const struct standing *s, const struct origin *o, size_t n, size_t *promoted)
{
	for (size_t i = 0; i < n; i++) {
		struct str sealed;
		int64_t item_no;
		if (has_row(s, row->hash, o[i].member_no))
			continue;
		TRY(reseal(c, coop, row, &o[i], &sealed));
		if (!sealed.p)
			continue;
		TRY(put_row(c, coop, row, &o[i], sealed, &item_no));
		TRY(db_exec(c, origin_taken, A_UUID(coop), A_I64(row->item_no), A_INT((int)o[i].origin), A_UUID(o[i].id)));
		(*promoted)++;
		return db_exec(c, origins_move, A_UUID(coop), A_I64S(&row->item_no, 1), A_I64S(&item_no, 1));
	}
	return db_exec(c, origins_gone, A_UUID(coop), A_I64(row->item_no));
}

enum err origins_inherit(struct call *c, struct uuid coop, const struct promote_row *rows, size_t n, size_t *promoted)
{
	struct rows same;
	struct origin *origins;
	size_t n_origins, at = 0;
	int64_t *items = ARENA_ARRAY(c->arena, n, int64_t);
	struct str *hashes = ARENA_ARRAY(c->arena, n, struct str);
	*promoted = 0;
	for (size_t i = 0; i < n; i++) {
		items[i] = rows[i].item_no;
		hashes[i] = str_make(rows[i].hash.b, 32);
	}
	TRY(origins_of_items(c, coop, items, n, &origins, &n_origins));
	if (n_origins == 0)
		return ERR_OK;
	TRY(db_query(c, rows_of_contents, &same, A_UUID(coop), A_BYTEAS(hashes, n)));
	struct standing s = { &same };
	for (size_t i = 0; i < n; i++) {
		size_t from = at;
		while (at < n_origins && origins[at].item_no == rows[i].item_no)
			at++;
		if (at == from)
			continue;
		int64_t other = heir(&s, rows, n, rows[i].hash);
		if (other >= 0)
			TRY(db_exec(c, origins_move, A_UUID(coop), A_I64S(&rows[i].item_no, 1), A_I64S(&other, 1)));
		else
			TRY(promote(c, coop, &rows[i], &s, origins + from, at - from, promoted));
	}
	return db_exec(c, changes, A_UUID(coop));
}
