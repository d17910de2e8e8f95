/* Who has downloaded what, for as long as deletions have to reach them, and who gets no new grants until they have confirmed one. */
#include "access_internal.h"

#include "commonhold/ledger.h"

SQL(note_download,
	"WITH used AS (INSERT INTO access_use AS u (coop_id, release_id, account_id, grant_id, first_at, last_at) "
	"  SELECT $1, $4, $2, coalesce($3, '00000000-0000-0000-0000-000000000000'), commonhold_now(), commonhold_now() WHERE $2::uuid IS NOT NULL "
	"  ON CONFLICT (coop_id, release_id, account_id, grant_id) DO UPDATE SET last_at = excluded.last_at "
	"  WHERE u.last_at < excluded.last_at - interval '1 hour' OR (u.last_at <= u.gone_at AND excluded.last_at > u.gone_at)) "
	"INSERT INTO access_log (coop_id, at, account_id, grant_id, release_id, path, status, first_byte, bytes) "
	"VALUES ($1, commonhold_now(), $2, $3, $4, $5, $6::integer::smallint, $7, $8)");
SQL(users,
	"SELECT u.account_id, nullif(u.grant_id, '00000000-0000-0000-0000-000000000000'), g.purge_days, array_agg(DISTINCT r.version), max(u.last_at) "
	"FROM access_use u JOIN release r ON r.coop_id = u.coop_id AND r.id = u.release_id LEFT JOIN access_grant g ON g.coop_id = u.coop_id AND g.id = u.grant_id "
	"WHERE u.coop_id = $1 AND r.version = ANY ($2) AND (u.gone_at IS NULL OR u.last_at > u.gone_at) AND ($3::uuid IS NULL OR u.account_id = $3) "
	"GROUP BY 1, 2, 3 ORDER BY 1, 2");
SQL(use_gone,
	"UPDATE access_use SET gone_at = commonhold_now() WHERE coop_id = $1 AND account_id = $2 AND ($3::uuid IS NULL OR grant_id = $3) "
	"AND release_id IN (SELECT id FROM release WHERE coop_id = $1 AND version = ANY ($4)) AND (gone_at IS NULL OR last_at > gone_at)");
SQL(block_insert, "INSERT INTO access_block (coop_id, account_id, reason, since) VALUES ($1, $2, $3, commonhold_now()) ON CONFLICT DO NOTHING");
SQL(block_delete, "DELETE FROM access_block WHERE coop_id = $1 AND account_id = $2");
SQL(block_of, "SELECT reason FROM access_block WHERE coop_id = $1 AND account_id = $2");
SQL(revoke_all,
	"UPDATE access_grant SET revoked_at = commonhold_now(), reason = $3 WHERE coop_id = $1 AND account_id = $2 AND revoked_at IS NULL RETURNING id, release_id, request_id");

enum err access_note(struct call *c, struct uuid coop, struct uuid release, struct uuid grant, struct str path, int status, int64_t first, int64_t bytes)
{
	TRY(db_begin_in(c, coop, DB_WRITE));
	return db_finish(c, note_download, NULL, A_UUID(coop), A_UUID_OR_NULL(c->actor.account), A_UUID_OR_NULL(grant), A_UUID(release), A_STR(path), A_INT(status),
		A_I64(first), A_I64(bytes));
}

enum err access_users(struct call *c, struct uuid coop, const struct str *versions, size_t n, struct uuid account, struct access_user **out, size_t *n_out)
{
	struct rows r;
	TRY(db_query(c, users, &r, A_UUID(coop), A_TEXTS(versions, n), A_UUID_OR_NULL(account)));
	*n_out = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n_out + 1, struct access_user);
	for (int i = 0; i < r.n; i++) {
		struct access_user *u = &(*out)[i];
		*u = (struct access_user){ .account = row_uuid(&r, i, 0), .grant = row_uuid(&r, i, 1), .purge_days = (int)row_int(&r, i, 2), .last_at = row_time(&r, i, 4) };
		u->n_versions = row_strs(c->arena, &r, i, 3, &u->versions);
	}
	return ERR_OK;
}

enum err access_use_gone(struct call *c, struct uuid coop, struct uuid account, struct uuid grant, const struct str *versions, size_t n)
{
	return db_exec(c, use_gone, A_UUID(coop), A_UUID(account), A_UUID_OR_NULL(grant), A_TEXTS(versions, n));
}

enum err access_block(struct call *c, struct uuid coop, struct uuid account, struct str reason, bool *made)
{
	struct rows r;
	TRY(db_query(c, block_insert, &r, A_UUID(coop), A_UUID(account), A_STR(reason)));
	*made = r.affected == 1;
	return ERR_OK;
}

enum err access_unblock(struct call *c, struct uuid coop, struct uuid account, bool *lifted)
{
	struct rows r;
	TRY(db_query(c, block_delete, &r, A_UUID(coop), A_UUID(account)));
	*lifted = r.affected == 1;
	return ERR_OK;
}

enum err access_require_unblocked(struct call *c, struct uuid coop, struct uuid account)
{
	struct rows r;
	TRY(db_query(c, block_of, &r, A_UUID(coop), A_UUID(account)));
	return r.n == 0 ? ERR_OK : fail_reason(c, ERR_FORBIDDEN, "deletion_overdue", "%.*s", STR_ARG(row_str(&r, 0, 0)));
}

enum err access_revoke_all(struct call *c, struct uuid coop, struct uuid account, struct str reason, int64_t *n)
{
	struct rows r;
	TRY(db_query(c, revoke_all, &r, A_UUID(coop), A_UUID(account), A_STR(reason)));
	*n = r.n;
	for (int i = 0; i < r.n; i++) {
		struct access_grant g = { .id = row_uuid(&r, i, 0), .release = row_uuid(&r, i, 1), .request = row_uuid(&r, i, 2) };
		TRY(note_grant(c, coop, "access.revoked", &g));
	}
	return ERR_OK;
}
