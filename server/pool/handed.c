/* handed.c - items of some members, opened, for handing them over to another co-op as those members said. */
#include "server/pool/pool_internal.h"

#include "commonhold/db.h"

#define PAGE_ITEMS 500
#define PAGE_BYTES (3 * MIB)
#define OUT_BITS (POLICY_ITEM_TOMBSTONED | POLICY_ITEM_ERASURE | POLICY_ITEM_RESTRICTED | POLICY_ITEM_WITHDRAWN | POLICY_ITEM_EMBARGOED)

/* A page of what stands of them, up to so many bytes and at least one. Numbers of items and of leaves are given out together, so that the order of one is that of the other. */
SQL(items_handed,
	"SELECT c.id, c.item_no, c.member_id, c.member_no, c.kind, c.licence, c.lang, c.content_sha256, c.submitted_at, c.leaf, c.salt, c.facts, c.sealed_facts, k.sealed, " ITEM_WORD " "
	"FROM (SELECT o.*, sum(o.bytes + coalesce(length(o.sealed_facts), 0)) OVER (ORDER BY o.item_no) - o.bytes - coalesce(length(o.sealed_facts), 0) AS before_it FROM ("
	"SELECT * FROM contribution WHERE coop_id = $1 AND member_no = ANY ($2::bigint[]) AND item_no > $3 ORDER BY item_no LIMIT $4) o) c "
	"LEFT JOIN contribution_content k ON k.coop_id = c.coop_id AND k.shard = c.shard AND k.id = c.id "
	"WHERE c.before_it < $5 OR c.before_it = 0 ORDER BY c.item_no");

static enum err opened(struct call *c, const struct seal_key *key, const struct rows *r, int i, struct pool_handed *out)
{
	uint8_t facts[48], content[32];
	struct str sealed_facts = row_bytes(r, i, 12), sealed = row_bytes(r, i, 13);
	pool_seal_context(c->coop, out->id.b, content);
	out->facts = row_str(r, i, 11);
	bool ok = sealed.p && unseal(c->arena, key, str_make(content, sizeof(content)), sealed, &out->content);
	if (ok && sealed_facts.p)
		ok = unseal(c->arena, key, pool_facts_context(c->coop, out->id, facts), sealed_facts, &out->facts);
	return ok ? ERR_OK : fail(c, ERR_CORRUPT, "The stored content of a contribution cannot be opened.");
}

static bool stands(uint64_t word)
{
	return ITEM_MODERATION(word) == POLICY_MODERATION_APPROVED && !(word & OUT_BITS);
}

static enum err page_give(struct call *c, const struct rows *r, pool_handed_fn fn, void *arg)
{
	struct uuid *members = ARENA_ARRAY(c->arena, (size_t)r->n, struct uuid);
	struct seal_key *keys = ARENA_ARRAY(c->arena, (size_t)r->n, struct seal_key);
	bool *present = ARENA_ARRAY(c->arena, (size_t)r->n, bool);
	enum err e = ERR_OK;
	for (int i = 0; i < r->n; i++)
		members[i] = row_uuid(r, i, 2);
	TRY(keyring_get(c, c->coop, members, (size_t)r->n, keys, present));
	for (int i = 0; i < r->n && e == ERR_OK; i++) {
		struct str salt = row_bytes(r, i, 10);
		struct pool_handed item = {
			.id = row_uuid(r, i, 0), .item_no = row_int(r, i, 1), .member_no = (uint32_t)row_int(r, i, 3), .kind = (unsigned)row_int(r, i, 4), .licence = (unsigned)row_int(r, i, 5),
			.lang = row_str(r, i, 6), .hash = sha256_load(row_bytes(r, i, 7)), .at = row_time(r, i, 8), .leaf = row_int(r, i, 9),
		};
		if (!stands((uint64_t)row_int(r, i, 14)) || !present[i] || salt.n != 32)
			continue;
		struct arena_mark mark = arena_mark(c->arena);
		memcpy(item.salt, salt.p, 32);
		e = opened(c, &keys[i], r, i, &item);
		if (e == ERR_OK)
			e = fn(arg, &item);
		arena_rewind(c->arena, mark);
	}
	secret_wipe(keys, (size_t)r->n * sizeof(*keys));
	return e;
}

enum err pool_hand_over(struct call *c, struct uuid coop, const int64_t *member_nos, size_t n, pool_handed_fn fn, void *arg)
{
	for (int64_t after = -1; n;) {
		struct rows r;
		struct arena_mark mark = arena_mark(c->arena);
		TRY(db_query(c, items_handed, &r, A_UUID(coop), A_I64S(member_nos, n), A_I64(after), A_INT(PAGE_ITEMS), A_I64((int64_t)PAGE_BYTES)));
		if (r.n == 0)
			return ERR_OK;
		after = row_int(&r, r.n - 1, 1);
		TRY(page_give(c, &r, fn, arg));
		arena_rewind(c->arena, mark);
	}
	return ERR_OK;
}
