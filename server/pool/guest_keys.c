/* guest_keys.c - the content keys of guests who have nothing here any more. What was theirs is purged; the key that it was sealed with goes as well, and whatever old copies of the database hold of it
 * cannot be read. The guest stays known by their home's word, under a new id with a key of its own, so that what their home sends later can come in. */
#include "commonhold/db.h"
#include "commonhold/keyring.h"
#include "commonhold/pool.h"

#define AT_ONCE 200

SQL(taking_alone, "SELECT pg_try_advisory_xact_lock(hashtextextended('merge ' || $1::text, 0))"); /* as merge_apply does, which holds keys of guests while it works */
/* Something of theirs was here under this id, and nothing stands: no row, no content that the law keeps, no further origin. */
SQL(guests_without,
	"SELECT g.id FROM guest g WHERE g.coop_id = $1 AND EXISTS (SELECT FROM contribution c WHERE c.coop_id = $1 AND c.member_no = g.number AND c.member_id = g.id) "
	"AND NOT EXISTS (SELECT FROM contribution c WHERE c.coop_id = $1 AND c.member_no = g.number AND ((c.word & 4096) = 0 "
	"OR EXISTS (SELECT FROM contribution_content t WHERE t.coop_id = $1 AND t.shard = c.shard AND t.id = c.id))) "
	"AND NOT EXISTS (SELECT FROM item_origin o WHERE o.coop_id = $1 AND o.member_no = g.number) ORDER BY g.number LIMIT $2");
SQL(guest_renew, "UPDATE guest SET id = $3 WHERE coop_id = $1 AND id = $2");
SQL(guest_mark, "INSERT INTO erased_member (coop_id, member_id, erased_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING");

/* The old key first: were this cut off, the guest would have none until the next day, and nothing would be left that nobody looks after. */
static enum err renew(struct call *c, struct uuid coop, const struct rows *r)
{
	struct uuid *fresh = ARENA_ARRAY(c->arena, (size_t)r->n, struct uuid);
	for (int i = 0; i < r->n; i++)
		fresh[i] = uuid_new();
	TRY(keyring_make_many(c, coop, fresh, (size_t)r->n));
	for (int i = 0; i < r->n; i++) {
		TRY(db_keys_query(c, guest_mark, NULL, A_UUID(coop), A_UUID(row_uuid(r, i, 0)), A_TIME(clock_now())));
		TRY(keyring_destroy(c, coop, row_uuid(r, i, 0)));
		TRY(db_exec(c, guest_renew, A_UUID(coop), A_UUID(row_uuid(r, i, 0)), A_UUID(fresh[i])));
	}
	keyring_forget();
	return ERR_OK;
}

enum err pool_guest_keys(struct call *c, struct uuid coop, int64_t *gone)
{
	struct rows r, alone;
	do {
		struct arena_mark mark = arena_mark(c->arena);
		TRY(db_begin_in(c, coop, DB_WRITE));
		TRY(db_one(c, taking_alone, &alone, A_UUID(coop)));
		if (!row_bool(&alone, 0, 0)) /* a bundle is being taken: tomorrow */
			return db_commit(c);
		TRY(pool_lock(c, coop));
		TRY(db_query(c, guests_without, &r, A_UUID(coop), A_INT(AT_ONCE)));
		int n = r.n;
		if (n)
			TRY(renew(c, coop, &r));
		TRY(db_commit(c));
		*gone += n;
		r.n = n;
		arena_rewind(c->arena, mark);
	} while (r.n == AT_ONCE);
	return ERR_OK;
}
