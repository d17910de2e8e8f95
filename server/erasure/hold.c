#include "commonhold/origin.h"
#include "erasure_internal.h"

#include "commonhold/ledger.h"
#include "commonhold/pool.h"

/* Legal holds: what the law makes the co-op keep, although the item is in nothing. */

SQL(hold_item, "SELECT id, item_no, (word & 4096) <> 0 FROM contribution WHERE coop_id = $1 AND id = $2");
SQL(hold_insert, "INSERT INTO legal_hold (coop_id, contribution_id, placed_at, ground, reason, placed_by) VALUES ($1, $2, commonhold_now(), $3, $4, $5)");
SQL(hold_set_lifted, "UPDATE legal_hold SET lifted_at = commonhold_now(), lifted_by = $3 WHERE coop_id = $1 AND contribution_id = $2 AND lifted_at IS NULL");
/* Bit 15 of the word (policy.h): the engine leaves the item out, and purging leaves its content. */
SQL(hold_mark, "UPDATE contribution SET word = word | 32768 WHERE coop_id = $1 AND id = $2");
SQL(hold_unmark, "UPDATE contribution SET word = word & ~32768::bigint WHERE coop_id = $1 AND id = $2");
SQL(hold_newest, "SELECT contribution_id, ground, reason, placed_at, lifted_at FROM legal_hold WHERE coop_id = $1 AND contribution_id = $2 ORDER BY placed_at DESC LIMIT 1");
SQL(hold_page,
	"SELECT contribution_id, ground, reason, placed_at, lifted_at FROM legal_hold WHERE coop_id = $1 AND ($2::timestamptz IS NULL OR (placed_at, contribution_id) < ($2, $3)) "
	"ORDER BY placed_at DESC, contribution_id DESC LIMIT $4");
SQL(hold_waiting, "SELECT erasure_id FROM erasure_held WHERE coop_id = $1 AND item_no = $2");

static const char *const grounds[] = { "expression", "legal_obligation", "public_health", "archiving", "legal_claims" };

static bool ground_known(struct str ground)
{
	return str_which(ground, grounds, CH_LEN(grounds)) >= 0;
}

static struct legal_hold hold_of_row(struct uuid coop, const struct rows *r, int i)
{
	return (struct legal_hold){ .coop = coop, .contribution = row_uuid(r, i, 0), .ground = row_str(r, i, 1), .reason = row_str(r, i, 2), .placed_at = row_time(r, i, 3), .lifted_at = row_time(r, i, 4) };
}

static enum err hold_leaf(struct call *c, struct uuid coop, struct uuid contribution, const char *type, struct str ground)
{
	struct str id = uuid_format(c->arena, contribution);
	struct str facts = str_fmt(c->arena, "{\"contribution\":\"%.*s\",\"ground\":\"%.*s\"}", STR_ARG(id), STR_ARG(ground));
	return ledger_append(c, coop, &(struct leaf){ .type = type, .data = facts }, NULL);
}

static enum err begin(struct call *c, struct uuid coop, struct uuid contribution, struct rows *item)
{
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(pool_lock(c, coop));
	TRY(member_require_admin(c, coop));
	TRY(db_query(c, hold_item, item, A_UUID(coop), A_UUID(contribution)));
	return item->n == 1 ? ERR_OK : fail(c, ERR_NOT_FOUND, "There is no such contribution.");
}

static enum err finish(struct call *c, struct uuid coop, struct uuid contribution, struct legal_hold *out)
{
	struct rows r;
	TRY(db_one(c, hold_newest, &r, A_UUID(coop), A_UUID(contribution)));
	*out = hold_of_row(coop, &r, 0);
	return ERR_OK;
}

enum err hold_place(struct call *c, struct uuid coop, struct uuid contribution, struct str ground, struct str reason, struct legal_hold *out)
{
	struct rows item;
	if (!ground_known(ground))
		return fail_field(c, "/ground", "Name the ground of Art. 17(3): expression, legal_obligation, public_health, archiving or legal_claims.");
	TRY(call_check_text(c, "/reason", reason.p ? reason : STR(""), 3, LIMIT_TEXT_NOTE));
	TRY(begin(c, coop, contribution, &item));
	if (row_bool(&item, 0, 2))
		return fail(c, ERR_GONE, "This is erased already: there is nothing to keep.");
	TRY(db_exec(c, hold_insert, A_UUID(coop), A_UUID(contribution), A_STR(ground), A_STR(reason), A_UUID_OR_NULL(c->actor.account)));
	TRY(db_exec(c, hold_mark, A_UUID(coop), A_UUID(contribution)));
	TRY(finish(c, coop, contribution, out));
	TRY(hold_leaf(c, coop, contribution, "hold.placed", ground));
	return db_commit(c);
}

enum err hold_lift(struct call *c, struct uuid coop, struct uuid contribution, struct legal_hold *out)
{
	struct rows item, r;
	TRY(begin(c, coop, contribution, &item));
	TRY(db_query(c, hold_newest, &r, A_UUID(coop), A_UUID(contribution)));
	if (r.n == 0)
		return fail(c, ERR_NOT_FOUND, "This is under no legal hold.");
	*out = hold_of_row(coop, &r, 0);
	if (out->lifted_at != INSTANT_NONE)
		return db_commit(c);
	TRY(db_exec(c, hold_set_lifted, A_UUID(coop), A_UUID(contribution), A_UUID_OR_NULL(c->actor.account)));
	TRY(db_exec(c, hold_unmark, A_UUID(coop), A_UUID(contribution)));
	TRY(db_query(c, hold_waiting, &r, A_UUID(coop), A_I64(row_int(&item, 0, 1))));
	for (int i = 0; i < r.n; i++)
		TRY(erasure_queue_carry(c, coop, row_uuid(&r, i, 0), clock_now()));
	TRY(finish(c, coop, contribution, out));
	TRY(hold_leaf(c, coop, contribution, "hold.lifted", out->ground));
	return db_commit(c);
}

enum err hold_list(struct call *c, struct uuid coop, struct str cursor, int limit, struct legal_hold **out, size_t *n, struct str *next_cursor)
{
	struct page_cursor from;
	struct rows r;
	TRY(page_cursor_read(c, cursor, &from));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_require_admin(c, coop));
	TRY(db_query(c, hold_page, &r, A_UUID(coop), A_TIME(from.at), A_UUID_OR_NULL(from.id), A_INT(limit + 1)));
	*n = (size_t)(r.n > limit ? limit : r.n);
	*out = ARENA_ARRAY(c->arena, *n + 1, struct legal_hold);
	struct uuid *ids = ARENA_ARRAY(c->arena, *n + 1, struct uuid);
	struct str *rids = ARENA_ARRAY(c->arena, *n + 1, struct str);
	for (size_t i = 0; i < *n; i++) {
		(*out)[i] = hold_of_row(coop, &r, (int)i);
		ids[i] = (*out)[i].contribution;
	}
	TRY(pool_rids(c, coop, ids, *n, rids));
	for (size_t i = 0; i < *n; i++)
		(*out)[i].rid = rids[i];
	*next_cursor = STR_NONE;
	if (r.n > limit)
		*next_cursor = page_cursor_write(c->arena, (*out)[*n - 1].placed_at, (*out)[*n - 1].contribution);
	return db_commit(c);
}
