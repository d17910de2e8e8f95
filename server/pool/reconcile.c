/* reconcile.c - after a restored backup: what was erased since it was made is erased again, by the marks in the keys database. And rows from before circumstances were sealed are
 * sealed. */
#include "server/pool/pool_internal.h"

#include "commonhold/db.h"
#include "commonhold/job.h"
#include "commonhold/log.h"

#define MARKS_AT_ONCE 5000

SQL(marks_expire, "DELETE FROM erased_item WHERE keep_until < $1");
SQL(marks_next, "SELECT coop_id, item_id FROM erased_item WHERE (coop_id, item_id) > ($1, $2) ORDER BY coop_id, item_id LIMIT $3");
SQL(members_marked, "SELECT coop_id, member_id FROM erased_member WHERE (coop_id, member_id) > ($1, $2) ORDER BY coop_id, member_id LIMIT $3");
SQL(items_back, "SELECT item_no FROM contribution WHERE coop_id = $1 AND id = ANY ($2) AND (word & 4096) = 0 ORDER BY item_no");
SQL(items_of_members_back,
	"SELECT c.item_no FROM contribution c JOIN membership m ON m.coop_id = c.coop_id AND m.number = c.member_no "
	"WHERE c.coop_id = $1 AND m.id = ANY ($2) AND (c.word & 4096) = 0 ORDER BY c.item_no");
SQL(all_coops, "SELECT id FROM coop ORDER BY id");
SQL(open_facts, "SELECT item_no, id, member_id, facts FROM contribution WHERE coop_id = $1 AND facts <> '{}' ORDER BY item_no LIMIT $2");
SQL(facts_seal,
	"UPDATE contribution c SET facts = '{}', sealed_facts = d.sealed FROM unnest($2, $3) AS d(item_no, sealed) WHERE c.coop_id = $1 AND c.item_no = d.item_no AND c.facts <> '{}'");

/* ---- What a backup brought back ---- */

static enum err purge_again(struct call *c, struct uuid coop, const int64_t *items, size_t n)
{
	for (size_t from = 0; from < n; from += POOL_PURGE_GROUP) {
		struct pool_purged purged;
		TRY(db_begin_in(c, coop, DB_WRITE));
		TRY(pool_purge(c, coop, items + from, n - from < POOL_PURGE_GROUP ? n - from : POOL_PURGE_GROUP, &purged));
		TRY(db_commit(c));
	}
	return ERR_OK;
}

/* Ids of one co-op: of items, or of members whose items are all erased. */
static enum err look_after(struct call *c, struct uuid coop, const struct uuid *ids, size_t n, bool of_members, bool only_look, struct pool_reconciled *out)
{
	struct rows r;
	TRY(db_begin_in(c, coop, DB_READ));
	if (of_members)
		TRY(db_query(c, items_of_members_back, &r, A_UUID(coop), A_UUIDS(ids, n)));
	else
		TRY(db_query(c, items_back, &r, A_UUID(coop), A_UUIDS(ids, n)));
	TRY(db_commit(c));
	int64_t *items = ARENA_ARRAY(c->arena, (size_t)r.n, int64_t);
	for (int i = 0; i < r.n; i++)
		items[i] = row_int(&r, i, 0);
	out->marks += (int64_t)n;
	out->brought_back += r.n;
	return only_look ? ERR_OK : purge_again(c, coop, items, (size_t)r.n);
}

/* One page of marks, a co-op's run at a time; *more tells whether there may be others. */
static enum err page_of_marks(struct call *c, bool of_members, bool only_look, struct uuid *coop, struct uuid *id, bool *more, struct pool_reconciled *out)
{
	struct rows r;
	if (of_members)
		TRY(db_keys_query(c, members_marked, &r, A_UUID(*coop), A_UUID(*id), A_INT(MARKS_AT_ONCE)));
	else
		TRY(db_keys_query(c, marks_next, &r, A_UUID(*coop), A_UUID(*id), A_INT(MARKS_AT_ONCE)));
	*more = r.n == MARKS_AT_ONCE;
	struct uuid *ids = ARENA_ARRAY(c->arena, (size_t)r.n, struct uuid);
	for (int from = 0, to; from < r.n; from = to) {
		*coop = row_uuid(&r, from, 0);
		for (to = from; to < r.n && uuid_eq(row_uuid(&r, to, 0), *coop); to++)
			ids[to] = row_uuid(&r, to, 1);
		*id = ids[to - 1];
		TRY(look_after(c, *coop, ids + from, (size_t)(to - from), of_members, only_look, out));
	}
	return ERR_OK;
}

static enum err all_marks(struct call *c, bool of_members, bool only_look, struct pool_reconciled *out)
{
	struct uuid coop = { { 0 } }, id = { { 0 } };
	bool more = true;
	while (more) {
		struct arena_mark mark = arena_mark(c->arena);
		TRY(page_of_marks(c, of_members, only_look, &coop, &id, &more, out));
		arena_rewind(c->arena, mark);
		if (c->job)
			TRY(job_extend(c));
	}
	return ERR_OK;
}

enum err pool_reconcile(struct call *c, bool only_look, struct pool_reconciled *out)
{
	*out = (struct pool_reconciled){ 0 };
	if (!only_look)
		TRY(db_keys_query(c, marks_expire, NULL, A_TIME(clock_now())));
	TRY(all_marks(c, false, only_look, out));
	return all_marks(c, true, only_look, out);
}

/* ---- Circumstances from before they were sealed ---- */

#define FACTS_AT_ONCE 500

static enum err seal_some(struct call *c, struct uuid coop, int *n)
{
	struct rows r;
	uint8_t context[48];
	TRY(db_begin_in(c, coop, DB_WRITE));
	TRY(pool_lock(c, coop));
	TRY(db_query(c, open_facts, &r, A_UUID(coop), A_INT(FACTS_AT_ONCE)));
	*n = r.n;
	if (r.n == 0)
		return db_commit(c);
	size_t count = (size_t)r.n;
	struct uuid *members = ARENA_ARRAY(c->arena, count, struct uuid);
	struct seal_key *keys = ARENA_ARRAY(c->arena, count, struct seal_key);
	bool *present = ARENA_ARRAY(c->arena, count, bool);
	int64_t *items = ARENA_ARRAY(c->arena, count, int64_t);
	struct str *sealed = ARENA_ARRAY(c->arena, count, struct str);
	for (size_t i = 0; i < count; i++)
		members[i] = row_uuid(&r, (int)i, 2);
	TRY(keyring_get(c, coop, members, count, keys, present));
	for (size_t i = 0; i < count; i++) {
		items[i] = row_int(&r, (int)i, 0);
		/* Where the key is gone, what was under it is to be gone too. */
		sealed[i] = present[i] ? seal(c->arena, &keys[i], pool_facts_context(coop, row_uuid(&r, (int)i, 1), context), row_str(&r, (int)i, 3)) : STR_NONE;
	}
	secret_wipe(keys, count * sizeof(*keys));
	TRY(db_exec(c, facts_seal, A_UUID(coop), A_I64S(items, count), A_BYTEAS(sealed, count)));
	return db_commit(c);
}

enum err pool_seal_open_facts(struct call *c)
{
	struct rows coops;
	TRY(db_begin(c, DB_READ));
	TRY(db_query0(c, all_coops, &coops));
	TRY(db_commit(c));
	for (int i = 0; i < coops.n; i++)
		for (int n = 1; n > 0;) {
			struct arena_mark mark = arena_mark(c->arena);
			TRY(seal_some(c, row_uuid(&coops, i, 0), &n));
			arena_rewind(c->arena, mark);
			if (c->job)
				TRY(job_extend(c));
		}
	return ERR_OK;
}

/* ---- What charters promise of backups ---- */

enum err pool_backups_overlong(struct call *c, struct pool_overlong **out, size_t *n)
{
	struct rows coops;
	struct charter charter;
	*n = 0;
	TRY(db_begin(c, DB_READ));
	TRY(db_query0(c, all_coops, &coops));
	TRY(db_commit(c));
	*out = ARENA_ARRAY(c->arena, (size_t)coops.n, struct pool_overlong);
	for (int i = 0; i < coops.n; i++) {
		TRY(db_begin_in(c, row_uuid(&coops, i, 0), DB_READ));
		TRY(charter_current(c, c->coop, &charter));
		TRY(db_commit(c));
		instant now = clock_now();
		int64_t promised = duration_add(now, charter.retention_backups, 1) - now;
		if (promised > 0 && pool_backups_until(now).content - now > promised)
			(*out)[(*n)++] = (struct pool_overlong){ charter.name, promised / CLOCK_DAY };
	}
	return ERR_OK;
}

/* ---- At start ---- */

static enum err job_reconcile(struct call *c, const struct json *args)
{
	(void)args;
	struct pool_reconciled done;
	TRY(pool_reconcile(c, false, &done));
	if (done.brought_back)
		log_event(LOG_WARN, "erasure.reconciled", LOG_N("items", done.brought_back), LOG_N("marks", done.marks));
	return pool_seal_open_facts(c);
}

const struct job_kind pool_jobs[] = {
	{ "erasure.reconcile", job_reconcile, 10, 120 },
	JOB_TABLE_END,
};
