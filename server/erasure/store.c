#include "erasure_internal.h"

#include "commonhold/origin.h"
#include "commonhold/ledger.h"

#include <stdlib.h>

/* Requests as rows: reading them, and the one place that moves them on. */

#define LOCKED ", e.items, e.restriction_id, e.restricted_until IS NULL, e.marked_at IS NOT NULL, e.purged_upto"

SQL(erasure_by_id, "SELECT " ERASURE_COLUMNS " FROM erasure e WHERE e.coop_id = $1 AND e.id = $2");
SQL(erasure_for_update, "SELECT " ERASURE_COLUMNS LOCKED " FROM erasure e WHERE e.coop_id = $1 AND e.id = $2 FOR UPDATE OF e");
SQL(erasure_items_read, "SELECT " ERASURE_COLUMNS ", e.items FROM erasure e WHERE e.coop_id = $1 AND e.id = $2");
SQL(erasure_mine_page,
	"SELECT " ERASURE_COLUMNS " FROM erasure e WHERE e.coop_id = $1 AND (" ERASURE_ASKED " OR e.member_id = (SELECT id FROM membership WHERE coop_id = $1 AND account_id = $2)) "
	"AND ($3::timestamptz IS NULL OR (e.received_at, e.id) < ($3, $4)) ORDER BY e.received_at DESC, e.id DESC LIMIT $5");
SQL(erasure_queue_page,
	"SELECT " ERASURE_COLUMNS " FROM erasure e WHERE e.coop_id = $1 AND ($2::text IS NULL OR e.state = $2) AND ($3 OR e.state NOT IN ('completed', 'denied', 'cancelled')) "
	"AND ($4::timestamptz IS NULL OR (e.due_at, e.id) > ($4, $5)) ORDER BY e.due_at, e.id LIMIT $6");
SQL(erasure_insert_row,
	"INSERT INTO erasure (coop_id, id, kind, scope, asker, account_id, member_id, agent_id, account_request_id, digest, state, n_items, items, reason_code, received_at, verified_at, "
	"due_at, restriction_id, replacement_id, until) "
	"VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)");
SQL(erasure_event_insert, "INSERT INTO erasure_event (coop_id, erasure_id, event, by, at, note) VALUES ($1, $2, $3, $4, commonhold_now(), $5) ON CONFLICT DO NOTHING");
SQL(erasure_event_list, "SELECT at, event, note, by FROM erasure_event WHERE coop_id = $1 AND erasure_id = $2 ORDER BY seq");
SQL(erasure_items_named,
	"SELECT c.id, c.item_no, EXISTS (SELECT FROM erasure_held h WHERE h.coop_id = $1 AND h.erasure_id = $2 AND h.item_no = c.item_no) "
	"FROM contribution c WHERE c.coop_id = $1 AND c.item_no = ANY ($3) ORDER BY c.item_no");
SQL(erasure_items_of_member,
	"SELECT c.id, c.item_no, EXISTS (SELECT FROM erasure_held h WHERE h.coop_id = $1 AND h.erasure_id = $2 AND h.item_no = c.item_no) "
	"FROM contribution c JOIN membership m ON m.coop_id = c.coop_id AND m.number = c.member_no LEFT JOIN withdrawal w ON w.coop_id = $1 AND w.id = $2 "
	"WHERE c.coop_id = $1 AND m.id = $3 AND c.item_no > $4 AND c.item_no < coalesce(w.upto, c.item_no + 1) ORDER BY c.item_no LIMIT $5");

/* When each state was come to, as columns of their own. */
SQL(move_verified, "UPDATE erasure SET state = 'verified', verified_at = commonhold_now() WHERE coop_id = $1 AND id = $2");
SQL(move_effective, "UPDATE erasure SET state = 'effective', verified_at = coalesce(verified_at, commonhold_now()), effective_at = commonhold_now() WHERE coop_id = $1 AND id = $2");
SQL(move_purged, "UPDATE erasure SET state = 'purged', purged_at = commonhold_now() WHERE coop_id = $1 AND id = $2");
SQL(move_propagating, "UPDATE erasure SET state = 'propagating', propagating_at = commonhold_now() WHERE coop_id = $1 AND id = $2");
SQL(move_completed, "UPDATE erasure SET state = 'completed', completed_at = commonhold_now() WHERE coop_id = $1 AND id = $2");
SQL(move_denied, "UPDATE erasure SET state = 'denied', denied_at = commonhold_now(), denial_code = $3, denial_reason = $4, appeal_until = $5 WHERE coop_id = $1 AND id = $2");
SQL(move_cancelled, "UPDATE erasure SET state = 'cancelled', completed_at = NULL, cancelled_at = commonhold_now() WHERE coop_id = $1 AND id = $2");

static const struct db_constraint constraints[] = {
	{ "the_same_is_asked_once", ERR_RETRY, NULL, "The very same is being asked at this moment. Try again." },
	{ "one_open_erasure_an_account", ERR_RETRY, NULL, "The very same is being asked at this moment. Try again." },
	{ "agent_is_authorised_once", ERR_EXISTS, "/account", "This agent is authorised already. End that first to change it." },
	{ "one_hold_an_item", ERR_EXISTS, NULL, "The item is under a legal hold already." },
	DB_CONSTRAINTS_END
};

__attribute__((constructor)) static void register_constraints(void)
{
	db_constraints(constraints);
}

/* ---- Rows ---- */

static unsigned word_no(struct str word, const char *(*name)(unsigned no), unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		if (str_is(word, name(i)))
			return i;
	return 0;
}

static const char *scope_word(unsigned no)
{
	return erasure_scope_name((enum erasure_scope)no);
}

static const char *asker_word(unsigned no)
{
	return erasure_asker_name((enum erasure_asker)no);
}

struct erasure erasure_of_row(const struct rows *r, int i)
{
	struct erasure e = {
		.coop = row_uuid(r, i, 0), .id = row_uuid(r, i, 1), .scope = (enum erasure_scope)word_no(row_str(r, i, 3), scope_word, ERASURE_SCOPE_COUNT),
		.asker = (enum erasure_asker)word_no(row_str(r, i, 4), asker_word, ERASURE_ASKER_COUNT), .account = row_uuid(r, i, 5), .member = row_uuid(r, i, 6), .agent = row_uuid(r, i, 7),
		.account_request = row_uuid(r, i, 8), .n_items = row_int(r, i, 10), .n_held = row_int(r, i, 11), .reason_code = row_str(r, i, 12), .received_at = row_time(r, i, 13),
		.verified_at = row_time(r, i, 14), .effective_at = row_time(r, i, 15), .purged_at = row_time(r, i, 16), .propagating_at = row_time(r, i, 17), .completed_at = row_time(r, i, 18),
		.denied_at = row_time(r, i, 19), .cancelled_at = row_time(r, i, 20), .extended_at = row_time(r, i, 21), .due_at = row_time(r, i, 22), .extended_reason = row_str(r, i, 23),
		.denial_code = row_str(r, i, 24), .denial_reason = row_str(r, i, 25), .appeal_until = row_time(r, i, 26), .appeal_ballot = row_uuid(r, i, 27), .appeal_outcome = row_str(r, i, 28),
		.replacement = row_uuid(r, i, 29), .until = row_time(r, i, 30), .first_idx = row_int(r, i, 31), .last_idx = row_int(r, i, 32), .key_gone_at = row_time(r, i, 33),
		.backups_until = row_time(r, i, 34), .mine = row_bool(r, i, 35),
	};
	if (!erasure_kind_parse(row_str(r, i, 2), &e.kind) || !erasure_state_parse(row_str(r, i, 9), &e.state))
		e.state = ERASURE_STATE_COUNT; /* the constraints keep such rows out */
	return e;
}

enum err erasure_get(struct call *c, struct uuid coop, struct uuid id, struct erasure *out)
{
	struct rows r;
	TRY(db_query(c, erasure_by_id, &r, A_UUID(coop), A_UUID(id)));
	if (r.n != 1)
		return fail(c, ERR_NOT_FOUND, "There is no such request.");
	*out = erasure_of_row(&r, 0);
	return ERR_OK;
}

enum err erasure_lock(struct call *c, struct uuid coop, struct uuid id, struct erasure_locked *out)
{
	struct rows r;
	TRY(db_query(c, erasure_for_update, &r, A_UUID(coop), A_UUID(id)));
	if (r.n != 1)
		return fail(c, ERR_NOT_FOUND, "There is no such request.");
	*out = (struct erasure_locked){
		.e = erasure_of_row(&r, 0), .items = row_bytes(&r, 0, 36), .restriction = row_uuid(&r, 0, 37), .marked = row_bool(&r, 0, 39), .purged_upto = row_int(&r, 0, 40),
	};
	out->restricted = !uuid_is_nil(out->restriction) && row_bool(&r, 0, 38);
	return ERR_OK;
}

enum err erasure_lock_for(struct call *c, struct uuid coop, struct uuid id, struct erasure_locked *out, bool *admin)
{
	bool is_admin = false;
	TRY(member_is_admin(c, coop, &is_admin));
	TRY(erasure_lock(c, coop, id, out));
	if (admin)
		*admin = is_admin;
	return is_admin || out->e.mine ? ERR_OK : fail(c, ERR_NOT_FOUND, "There is no such request.");
}

enum err erasure_read(struct call *c, struct uuid coop, struct uuid id, struct erasure *out)
{
	bool admin = false;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_is_admin(c, coop, &admin));
	TRY(erasure_get(c, coop, id, out));
	if (!admin && !out->mine)
		return fail(c, ERR_NOT_FOUND, "There is no such request.");
	return db_commit(c);
}

static enum err page_of(struct call *c, const struct rows *r, int limit, bool by_due, struct erasure **out, size_t *n, struct str *next)
{
	*n = (size_t)(r->n > limit ? limit : r->n);
	*out = ARENA_ARRAY(c->arena, *n + 1, struct erasure);
	for (size_t i = 0; i < *n; i++)
		(*out)[i] = erasure_of_row(r, (int)i);
	*next = STR_NONE;
	if (r->n > limit)
		*next = page_cursor_write(c->arena, by_due ? (*out)[*n - 1].due_at : (*out)[*n - 1].received_at, (*out)[*n - 1].id);
	return db_commit(c);
}

enum err erasure_list(struct call *c, struct uuid coop, struct str cursor, int limit, struct erasure **out, size_t *n, struct str *next_cursor)
{
	struct page_cursor from;
	struct rows r;
	if (uuid_is_nil(c->actor.account))
		return fail(c, ERR_UNAUTHENTICATED, "%s", err_text(ERR_UNAUTHENTICATED));
	TRY(page_cursor_read(c, cursor, &from));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_query(c, erasure_mine_page, &r, A_UUID(coop), A_UUID(c->actor.account), A_TIME(from.at), A_UUID_OR_NULL(from.id), A_INT(limit + 1)));
	return page_of(c, &r, limit, false, out, n, next_cursor);
}

enum err erasure_queue(struct call *c, struct uuid coop, struct str state, bool all, struct str cursor, int limit, struct erasure **out, size_t *n, struct str *next_cursor)
{
	struct page_cursor from;
	struct rows r;
	enum erasure_state wanted;
	if (state.p && !erasure_state_parse(state, &wanted))
		return fail_field(c, "query/state", "There is no such state.");
	TRY(page_cursor_read(c, cursor, &from));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_require_admin(c, coop));
	TRY(db_query(c, erasure_queue_page, &r, A_UUID(coop), A_STR(state), A_BOOL(all || state.p), A_TIME(from.at), A_UUID_OR_NULL(from.id), A_INT(limit + 1)));
	return page_of(c, &r, limit, true, out, n, next_cursor);
}

enum err erasure_history(struct call *c, struct uuid coop, struct uuid id, struct erasure_event **out, size_t *n)
{
	struct erasure e;
	struct rows r;
	TRY(erasure_read(c, coop, id, &e));
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(db_query(c, erasure_event_list, &r, A_UUID(coop), A_UUID(id)));
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct erasure_event);
	for (int i = 0; i < r.n; i++)
		(*out)[i] = (struct erasure_event){ .at = row_time(&r, i, 0), .event = row_str(&r, i, 1), .note = row_str(&r, i, 2), .by = row_str(&r, i, 3) };
	return db_commit(c);
}

/* ---- Items ---- */

static int by_number(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

struct str items_pack(struct arena *a, const int64_t *items, size_t n)
{
	int64_t *sorted = ARENA_ARRAY(a, n + 1, int64_t);
	uint8_t *packed = arena_alloc(a, n * 4 + 1);
	size_t kept = 0;
	memcpy(sorted, items, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), by_number);
	for (size_t i = 0; i < n; i++) {
		if (i && sorted[i] == sorted[i - 1])
			continue;
		for (int b = 0; b < 4; b++)
			packed[kept * 4 + (size_t)b] = (uint8_t)((uint64_t)sorted[i] >> (8 * b));
		kept++;
	}
	return str_make(packed, kept * 4);
}

size_t items_unpack(struct arena *a, struct str packed, int64_t **out)
{
	size_t n = packed.n / 4;
	const uint8_t *p = (const uint8_t *)packed.p;
	*out = ARENA_ARRAY(a, n + 1, int64_t);
	for (size_t i = 0; i < n; i++, p += 4)
		(*out)[i] = (int64_t)((uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
	return n;
}

/* The part of the named items that comes after one, for a page. */
static size_t items_after(const int64_t *items, size_t n, int64_t after, int limit, const int64_t **out)
{
	size_t at = 0;
	while (at < n && items[at] <= after)
		at++;
	*out = items + at;
	return n - at < (size_t)limit ? n - at : (size_t)limit;
}

enum err erasure_items(struct call *c, struct uuid coop, struct uuid id, int64_t after, int limit, struct erasure_item **out, size_t *n)
{
	struct rows r;
	bool admin = false;
	TRY(db_begin_in(c, coop, DB_READ));
	TRY(member_is_admin(c, coop, &admin));
	TRY(db_query(c, erasure_items_read, &r, A_UUID(coop), A_UUID(id)));
	struct erasure e = r.n == 1 ? erasure_of_row(&r, 0) : (struct erasure){ .mine = false };
	if (r.n != 1 || (!admin && !e.mine))
		return fail(c, ERR_NOT_FOUND, "There is no such request.");
	struct str packed = row_bytes(&r, 0, 36);
	if (packed.p) {
		int64_t *items;
		const int64_t *wanted;
		size_t all = items_unpack(c->arena, packed, &items), some = items_after(items, all, after, limit, &wanted);
		TRY(db_query(c, erasure_items_named, &r, A_UUID(coop), A_UUID(id), A_I64S(wanted, some)));
	} else {
		TRY(db_query(c, erasure_items_of_member, &r, A_UUID(coop), A_UUID(id), A_UUID(e.member), A_I64(after), A_INT(limit)));
	}
	*n = (size_t)r.n;
	*out = ARENA_ARRAY(c->arena, *n + 1, struct erasure_item);
	struct uuid *ids = ARENA_ARRAY(c->arena, *n + 1, struct uuid);
	struct str *rids = ARENA_ARRAY(c->arena, *n + 1, struct str);
	for (int i = 0; i < r.n; i++)
		ids[i] = row_uuid(&r, i, 0);
	TRY(pool_rids(c, coop, ids, *n, rids));
	for (int i = 0; i < r.n; i++) {
		(*out)[i] = (struct erasure_item){ .contribution = ids[i], .rid = rids[i], .item_no = row_int(&r, i, 1), .held = row_bool(&r, i, 2) };
	}
	return db_commit(c);
}

/* ---- Writing ---- */

enum err erasure_note(struct call *c, const struct erasure *e, const char *event, const char *by, const char *note)
{
	return db_exec(c, erasure_event_insert, A_UUID(e->coop), A_UUID(e->id), A_Z(event), A_Z(by), A_Z(note));
}

enum err erasure_leaf(struct call *c, const struct erasure *e, const char *type)
{
	struct str id = uuid_format(c->arena, e->id);
	struct str facts = str_fmt(c->arena, "{\"asker\":\"%s\",\"kind\":\"%s\",\"request\":\"%.*s\"}", erasure_asker_name(e->asker), erasure_kind_name(e->kind), STR_ARG(id));
	return ledger_append(c, e->coop, &(struct leaf){ .type = type, .data = facts }, NULL);
}

static enum err leaf_of_state(struct call *c, const struct erasure *e)
{
	struct str type = str_fmt(c->arena, "deletion.%s", erasure_state_name(e->state));
	return erasure_leaf(c, e, str_z(c->arena, type));
}

enum err erasure_insert(struct call *c, const struct erasure_new *n)
{
	const struct erasure *e = &n->e;
	const char *by = e->asker == ERASURE_RULE || e->asker == ERASURE_PARTNER ? "instance" : "asker";
	TRY(db_exec(c, erasure_insert_row, A_UUID(e->coop), A_UUID(e->id), A_Z(erasure_kind_name(e->kind)), A_Z(erasure_scope_name(e->scope)), A_Z(erasure_asker_name(e->asker)),
		A_UUID_OR_NULL(e->account), A_UUID_OR_NULL(e->member), A_UUID_OR_NULL(e->agent), A_UUID_OR_NULL(e->account_request), A_BYTES(str_make(n->digest.b, 32)),
		A_Z(erasure_state_name(e->state)), A_I64(e->n_items), A_BYTES(n->items), A_STR(e->reason_code), A_TIME(e->received_at), A_TIME(e->verified_at), A_TIME(e->due_at),
		A_UUID_OR_NULL(n->restriction), A_UUID_OR_NULL(e->replacement), A_TIME(e->until)));
	TRY(erasure_note(c, e, "received", by, ""));
	return e->state == ERASURE_RECEIVED ? ERR_OK : erasure_note(c, e, erasure_state_name(e->state), by, "");
}

static enum err write_state(struct call *c, const struct erasure *e)
{
	struct db_arg coop = A_UUID(e->coop), id = A_UUID(e->id);
	switch (e->state) {
	case ERASURE_VERIFIED:
		return db_exec(c, move_verified, coop, id);
	case ERASURE_EFFECTIVE:
		return db_exec(c, move_effective, coop, id);
	case ERASURE_PURGED:
		return db_exec(c, move_purged, coop, id);
	case ERASURE_PROPAGATING:
		return db_exec(c, move_propagating, coop, id);
	case ERASURE_COMPLETED:
		return db_exec(c, move_completed, coop, id);
	case ERASURE_DENIED:
		return db_exec(c, move_denied, coop, id, A_STR(e->denial_code), A_STR(e->denial_reason), A_TIME(e->appeal_until));
	case ERASURE_CANCELLED:
		return db_exec(c, move_cancelled, coop, id);
	case ERASURE_RECEIVED:
	case ERASURE_STATE_COUNT:
		break;
	}
	return fail(c, ERR_INTERNAL, "no request moves to %s", erasure_state_name(e->state));
}

enum err erasure_move(struct call *c, struct erasure_locked *l, enum erasure_state to, const char *by, const char *note)
{
	TRY(lifecycle_step(&erasure_life, l->e.state, to, NULL, &c->error));
	l->e.state = to;
	TRY(write_state(c, &l->e));
	TRY(erasure_note(c, &l->e, erasure_state_name(to), by, note));
	TRY(account_part_moved(c, &l->e));
	return leaf_of_state(c, &l->e);
}

enum err erasure_queue_carry(struct call *c, struct uuid coop, struct uuid id, instant due)
{
	return job_queue(c, "erasure.carry", uuid_format(c->arena, id), job_args(c->arena, coop, "erasure", id), due);
}

enum err erasure_queue_complete(struct call *c, struct uuid coop, struct uuid id)
{
	return job_queue(c, "erasure.complete", uuid_format(c->arena, id), job_args(c->arena, coop, "erasure", id), clock_now());
}
