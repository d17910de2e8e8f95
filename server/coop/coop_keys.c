/* A co-op hands its signing over to a new key: who may, and who is told. */
#include "server/coop/coop_internal.h"

#include "commonhold/notify.h"

SQL(admins_told, "SELECT m.account_id, c.slug FROM membership m JOIN coop c ON c.id = m.coop_id WHERE m.coop_id = $1 AND m.is_admin AND m.state IN ('active', 'due', 'grace')");

static enum err tell(struct call *c, struct uuid coop, const struct keychain *chain)
{
	struct rows r;
	struct buf b;
	struct json_writer w;
	TRY(db_query(c, admins_told, &r, A_UUID(coop)));
	if (r.n == 0)
		return ERR_OK;
	struct uuid *accounts = ARENA_ARRAY(c->arena, (size_t)r.n, struct uuid);
	for (int i = 0; i < r.n; i++)
		accounts[i] = row_uuid(&r, i, 0);
	struct str fingerprint = keychain_fingerprint(c->arena, keychain_current(chain));
	buf_init(&b, 4 * KIB);
	jw_init(&w, &b);
	jw_object(&w);
	jw_kz(&w, "title", "The co-op signs with a new key");
	jw_kstr(&w, "text", str_fmt(c->arena, "Its fingerprint is %.*s. Whoever knows the key before is led to it by a statement that both have signed. If nobody among you did this, act at once.", STR_ARG(fingerprint)));
	jw_kstr(&w, "url", str_fmt(c->arena, "/coops/%.*s/log", STR_ARG(row_str(&r, 0, 1))));
	jw_end_object(&w);
	struct notice notice = { .kind = "key.rotated", .coop = coop, .data = buf_take(c->arena, &b), .essential = true };
	notice.key = str_fmt(c->arena, "%.*s %zu", STR_ARG(chain->name), chain->n);
	return notify_many(c, &notice, accounts, (size_t)r.n);
}

enum err coop_key_rotate(struct call *c, struct uuid coop, struct keychain *out)
{
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(member_require_admin(c, coop));
	TRY(keychain_rotate_in(c, coop, out));
	TRY(tell(c, coop, out));
	return db_commit(c);
}
